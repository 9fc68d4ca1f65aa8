//! Recordings on their way out: checked whole first, then opened and written piece by piece, so that an hour takes no more memory
//! than a second.

use super::Settings;
use super::recover::portions;
use crate::recording::crc::{Sha, hex};
use crate::recording::journal::Format;
use crate::recording::seal::{Chunk, Fault, Key, Opener, SEALED_MAX};
use crate::recording::wav::{Coding, Layout};
use crate::shell::net::describe;
use crate::shell::store::Stored;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// The chunks of a sealed file, one after the other. It keeps at most one of them in memory.
pub struct Chunks<'a> {
    file: &'a File,
    opener: Opener,
    buffer: Vec<u8>,
    /// Of `buffer` in the file, and of the next chunk in `buffer`.
    offset: u64,
    at: usize,
    over: bool,
}

impl<'a> Chunks<'a> {
    /// Reads the header; an error if it needs a key that is not there.
    pub fn new(file: &'a File, keys: &[Key]) -> Result<Chunks<'a>, Fault> {
        let buffer = read_at(file, 0);
        let (opener, at) = Opener::new(keys, &buffer)?;
        Ok(Chunks { file, opener, buffer, offset: 0, at, over: false })
    }

    /// The next chunk's plain text, and whether it is the file's last; `None` behind that.
    ///
    /// # Errors
    ///
    /// [`Fault::Unfinished`] where the file ends without its last chunk, [`Fault::Damaged`] for one that does not open. The
    /// place stays where it is.
    pub fn read(&mut self) -> Result<Option<(Vec<u8>, bool)>, Fault> {
        if self.over {
            return Ok(None);
        }
        let mut chunk = self.opener.open(self.buffer.get(self.at..).unwrap_or_default())?;
        if chunk == Chunk::Cut && self.at > 0 {
            self.offset += self.at as u64;
            (self.buffer, self.at) = (read_at(self.file, self.offset), 0);
            chunk = self.opener.open(&self.buffer)?;
        }
        let Chunk::Whole { plain, len, last } = chunk else { return Err(Fault::Unfinished) };
        self.at += len;
        self.over = last;
        Ok(Some((plain, last)))
    }

    /// The opener behind the last chunk that was read, and that place in the file.
    pub fn into_parts(self) -> (Opener, u64) {
        (self.opener, self.offset + self.at as u64)
    }
}

/// What a chunk can need, from a place on; less where the file ends or cannot be read.
fn read_at(file: &File, offset: u64) -> Vec<u8> {
    let mut buffer = vec![0; SEALED_MAX];
    let mut len = 0;
    while let Some(rest) = buffer.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + len as u64) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
            Ok(n) => len += n,
        }
    }
    buffer.truncate(len);
    buffer
}

/// Opens a recording: its plain bytes go to `out`, with a WAV's true header. An error is a sentence. The whole file is checked
/// before `out` is asked for: nothing that does not hold is ever given out.
pub fn export<W: Write>(
    settings: &Settings,
    row: &Stored,
    out: impl FnOnce() -> Result<W, String>,
) -> Result<(), String> {
    let path = settings.folder.join(&row.path);
    let named = |e: io::Error| format!("{}: {}", path.display(), describe(&e));
    let file = File::open(&path).map_err(named)?;
    let len = file.metadata().map_err(named)?.len();
    let mut sha = Sha::default();
    portions(&file, 0, len, |portion| sha.update(portion)).map_err(named)?;
    if hex(&sha.finish()) != row.sha256 {
        return Err(format!("{}: the file is not what was recorded: its SHA-256 differs", path.display()));
    }
    let unwritten = |e: io::Error| format!("could not write: {}", describe(&e));
    if row.key.is_none() {
        let (mut out, mut written) = (out()?, Ok(()));
        portions(&file, 0, len, |portion| {
            if written.is_ok() {
                written = out.write_all(portion);
            }
        })
        .map_err(named)?;
        return written.and_then(|()| out.flush()).map_err(unwritten);
    }
    let mut plain = 0;
    unseal(&file, &settings.keys, |portion| {
        plain += portion.len() as u64;
        Ok(())
    })?;
    let header = header_of(row, plain).unwrap_or_default();
    let mut out = out()?;
    out.write_all(&header).map_err(unwritten)?;
    let mut skip = header.len();
    unseal(&file, &settings.keys, |portion| {
        let skipped = skip.min(portion.len());
        skip -= skipped;
        out.write_all(portion.get(skipped..).unwrap_or_default()).map_err(unwritten)
    })?;
    out.flush().map_err(unwritten)
}

/// The header with true sizes for a WAV whose own could not be written when it was sealed.
fn header_of(row: &Stored, plain: u64) -> Option<Vec<u8>> {
    let coding = match row.format.parse() {
        Ok(Format::Wav) => Coding::Pcm16,
        Ok(Format::Ulaw) => Coding::Ulaw,
        _ => return None,
    };
    let layout = Layout { coding, channels: u16::from(row.channels), rate: row.rate };
    Some(layout.header(Some(plain.checked_sub(layout.header_len() as u64)?)))
}

fn unseal(file: &File, keys: &[Key], mut take: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(), String> {
    let mut chunks = Chunks::new(file, keys).map_err(|fault| fault.to_string())?;
    while let Some((plain, _)) = chunks.read().map_err(|fault| fault.to_string())? {
        take(&plain)?;
    }
    Ok(())
}
