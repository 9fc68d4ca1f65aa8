//! What a process that was killed left behind: each journal's recording is checked, cut to what holds, ended, and gets its row.

use super::Settings;
use super::export::Chunks;
use super::keeper::row;
use crate::recording::crc::{Crc, Sha, hex};
use crate::recording::journal::{End, Format, Journal, Record};
use crate::recording::ogg;
use crate::recording::seal::{Key, Sealer};
use crate::recording::wav::{Coding, Layout};
use crate::shell::net::describe;
use crate::shell::store::{Recordings, Stored};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Every journal that is found, and what became of its recording. Nobody else may record there meanwhile.
pub fn recover(settings: &Settings, rows: &mut Recordings) -> Vec<(PathBuf, Result<Stored, String>)> {
    let journals = journals(&settings.folder);
    journals.into_iter().map(|path| (path.clone(), one(settings, rows, &path))).collect()
}

/// The journals below the folder.
pub fn journals(folder: &Path) -> Vec<PathBuf> {
    let listed = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let days = listed(folder).into_iter().filter(|path| path.is_dir());
    let mut found: Vec<PathBuf> = days.flat_map(|day| listed(&day)).collect();
    found.retain(|path| path.extension().is_some_and(|e| e == "journal"));
    found.sort();
    found
}

/// Ends what a journal tells of, unless its process did, and makes its row.
pub fn one(settings: &Settings, rows: &mut Recordings, path: &Path) -> Result<Stored, String> {
    let said = std::fs::read(path).map_err(|e| describe(&e))?;
    let journal = Journal::read(&said).ok_or("its journal does not hold from the first line on")?;
    let begin = &journal.begin;
    let ending =
        if begin.key.is_some() { format!("{}.sealed", begin.format.ending()) } else { begin.format.ending().into() };
    let file = path.with_extension(&ending);
    let (end, status) = match &journal.end {
        Some(end) => (end.clone(), end.status()),
        None => (mend(&journal, &file, &settings.keys)?, "recovered"),
    };
    let below = file.strip_prefix(&settings.folder).unwrap_or(&file);
    let row = row(begin, &end, below, status, None);
    if journal.end.is_none() {
        let mut journal = OpenOptions::new().append(true).open(path).map_err(|e| describe(&e))?;
        journal.write_all(Record::End(end).line().as_bytes()).map_err(|e| describe(&e))?;
    }
    rows.insert(&row).map_err(|fault| fault.to_string())?;
    std::fs::remove_file(path).map_err(|e| describe(&e))?;
    Ok(row)
}

/// Cuts the file to what holds and ends it.
fn mend(journal: &Journal, path: &Path, keys: &[Key]) -> Result<End, String> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(|e| describe(&e))?;
    let len = file.metadata().map_err(|e| describe(&e))?.len();
    let begin = &journal.begin;
    let layout = match begin.format {
        Format::Wav => Some(Coding::Pcm16),
        Format::Ulaw => Some(Coding::Ulaw),
        Format::Opus => None,
    };
    let layout = layout.map(|coding| Layout { coding, channels: u16::from(begin.channels), rate: begin.rate });
    let mended = if begin.key.is_some() {
        mend_sealed(&file, layout, keys)
    } else {
        let holds = verified(journal, &file, len, layout).map_err(|e| describe(&e))?;
        mend_plain(&file, holds, layout).map_err(|e| describe(&e))
    };
    let (bytes, samples) = mended?;
    file.sync_data().map_err(|e| describe(&e))?;
    let mut sha = Sha::default();
    portions(&file, 0, bytes, |p| sha.update(p)).map_err(|e| describe(&e))?;
    Ok(End { bytes, samples, sha256: hex(&sha.finish()), is_partial: false })
}

/// Hands out `len` bytes from `offset` on.
pub fn portions(file: &File, offset: u64, len: u64, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let mut at = 0;
    while at < len {
        let want = usize::try_from(len - at).unwrap_or(usize::MAX).min(buffer.len());
        let portion = buffer.get_mut(..want).unwrap_or_default();
        file.read_exact_at(portion, offset + at)?;
        take(portion);
        at += want as u64;
    }
    Ok(())
}

/// Up to where the file is as the journal says; all of it, if every segment is: what came after the last one was never told of.
fn verified(journal: &Journal, file: &File, len: u64, layout: Option<Layout>) -> io::Result<u64> {
    for segment in &journal.segments {
        if segment.offset.saturating_add(segment.len) > len {
            return Ok(len);
        }
        let mut crc = Crc::default();
        let mut skip = 0;
        // The true header may have been written already.
        if let Some(layout) = layout.filter(|l| segment.offset == 0 && l.header_len() as u64 <= segment.len) {
            crc.update(&layout.header(None));
            skip = layout.header_len() as u64;
        }
        portions(file, segment.offset + skip, segment.len - skip, |p| crc.update(p))?;
        if crc.value() != segment.crc {
            return Ok(segment.offset);
        }
    }
    Ok(len)
}

/// Length of the mended file, and samples of each channel.
fn mend_plain(file: &File, holds: u64, layout: Option<Layout>) -> io::Result<(u64, u64)> {
    if let Some(layout) = layout {
        let header = layout.header_len() as u64;
        let block = u64::from(layout.block().max(1));
        let data = holds.saturating_sub(header) / block * block;
        file.set_len(header + data)?;
        file.write_all_at(&layout.header(Some(data)), 0)?;
        return Ok((header + data, data / block));
    }
    let mut bytes = vec![0; usize::try_from(holds).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, 0)?;
    let (whole, granule) = ogg::whole(&bytes);
    file.set_len(whole as u64)?;
    Ok((whole as u64, granule / 48 * 8))
}

/// A sealed file needs its key: its last chunk says that nothing is missing behind it.
fn mend_sealed(file: &File, layout: Option<Layout>, keys: &[Key]) -> Result<(u64, u64), String> {
    let mut chunks = Chunks::new(file, keys).map_err(|fault| fault.to_string())?;
    let (mut plain, mut ended) = (0, false);
    // Of Opus the pages are looked at when they are together: some ten MiB an hour.
    let mut sound = Vec::new();
    while let Ok(Some((p, last))) = chunks.read() {
        plain += p.len() as u64;
        if layout.is_none() {
            sound.extend(p);
        }
        ended = last;
    }
    let (opener, at) = chunks.into_parts();
    let mut tail = Vec::new();
    if !ended {
        Sealer::resume(opener).seal(&[], true, &mut tail);
    }
    file.set_len(at).and_then(|()| file.write_all_at(&tail, at)).map_err(|e| describe(&e))?;
    let samples = match layout {
        Some(layout) => plain.saturating_sub(layout.header_len() as u64) / u64::from(layout.block().max(1)),
        None => ogg::whole(&sound).1 / 48 * 8,
    };
    Ok((at + tail.len() as u64, samples))
}
