//! A recording at rest: AES-256-GCM in chunks, under a key of its own that is wrapped by the operator's key.
//!
//! ```text
//! file   = header chunk*                      integers are big-endian
//! header = "TANDEMR1" id-len:1 key-id wrap-nonce:12 wrapped-file-key:32+16 nonce-prefix:7
//! chunk  = word:4 sealed:len+16               word = last:1bit len:31bits
//! ```
//!
//! Nonces are those of STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015): prefix, the chunk's number, whether it is the last. So
//! chunks cannot be dropped, doubled, exchanged or cut off unseen. Each chunk can be opened when it is there: what was written
//! before a crash is read after it.

use super::crc::{Sha, hex, unhex};
use aes_gcm::aead::{Aead as _, AeadInOut as _, Payload};
use aes_gcm::{Aes256Gcm, Key as CipherKey, KeyInit as _, Nonce};
use std::fmt;

const MAGIC: &[u8; 8] = b"TANDEMR1";
const TAG_LEN: usize = 16;
const PREFIX_LEN: usize = 7;
const LAST: u32 = 1 << 31;
/// Longest chunk in bytes of plain text.
pub const CHUNK_MAX: usize = 1 << 20;
/// Longest chunk in bytes of the file.
pub const SEALED_MAX: usize = 4 + CHUNK_MAX + TAG_LEN;
/// Random bytes that a file takes: its key, the nonce of the wrapping, the prefix of its nonces.
pub const RANDOM_LEN: usize = 32 + 12 + PREFIX_LEN;

/// A key-encryption key, and the name by which files tell which one they need.
#[derive(Clone)]
pub struct Key {
    id: String,
    bytes: [u8; 32],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl Key {
    /// 64 hexadecimal digits; `None` for anything else. Its name is 8 digits of its SHA-256.
    pub fn parse(text: &str) -> Option<Key> {
        let bytes: [u8; 32] = unhex(text.trim())?.try_into().ok()?;
        let id = hex(Sha::of(&bytes).get(..4)?);
        Some(Key { id, bytes })
    }

    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Why a sealed file cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    NotSealed,
    /// The file needs this key.
    NoKey(String),
    /// The key of this name does not open it: another key, or a header that was altered.
    WrongKey(String),
    /// The chunk of this number does not open: it was altered, exchanged or cut.
    Damaged(u32),
    /// It ends without its last chunk.
    Unfinished,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NotSealed => f.write_str("this is no sealed recording"),
            Fault::NoKey(id) => {
                write!(f, "the recording is sealed with key {id}, which recording.encryption does not have")
            }
            Fault::WrongKey(id) => write!(f, "key {id} does not open the recording: its header was altered"),
            Fault::Damaged(n) => write!(f, "part {n} of the recording was altered or damaged"),
            Fault::Unfinished => f.write_str("the recording ends before its end; `tandem recordings recover` mends it"),
        }
    }
}

fn cipher(key: &[u8; 32]) -> Aes256Gcm {
    Aes256Gcm::new(&CipherKey::<Aes256Gcm>::from(*key))
}

fn nonce(prefix: [u8; PREFIX_LEN], number: u32, last: bool) -> [u8; 12] {
    let mut out = [0; 12];
    let (head, tail) = out.split_at_mut(PREFIX_LEN);
    head.copy_from_slice(&prefix);
    if let Some((flag, count)) = tail.split_last_mut() {
        count.copy_from_slice(&number.to_be_bytes());
        *flag = u8::from(last);
    }
    out
}

/// Seals one file.
pub struct Sealer {
    cipher: Aes256Gcm,
    prefix: [u8; PREFIX_LEN],
    number: u32,
}

impl Sealer {
    /// The sealer and the file's header. `random` comes from the system, never twice the same.
    pub fn new(key: &Key, random: &[u8; RANDOM_LEN]) -> Option<(Sealer, Vec<u8>)> {
        let (file_key, rest) = random.split_first_chunk::<32>()?;
        let (wrap_nonce, rest) = rest.split_first_chunk::<12>()?;
        let prefix = *rest.first_chunk::<PREFIX_LEN>()?;
        let mut header = opening(&key.id);
        let payload = Payload { msg: file_key, aad: &header };
        let wrapped = cipher(&key.bytes).encrypt(&Nonce::from(*wrap_nonce), payload).ok()?;
        header.extend_from_slice(wrap_nonce);
        header.extend_from_slice(&wrapped);
        header.extend_from_slice(&prefix);
        Some((Sealer { cipher: cipher(file_key), prefix, number: 0 }, header))
    }

    /// Goes on with a file that was opened up to its end.
    pub fn resume(opener: Opener) -> Sealer {
        Sealer { cipher: opener.cipher, prefix: opener.prefix, number: opener.number }
    }

    /// One chunk; more than [`CHUNK_MAX`] bytes are several. The `last` may be empty.
    pub fn seal(&mut self, plain: &[u8], last: bool, out: &mut Vec<u8>) {
        let mut pieces = plain.chunks(CHUNK_MAX).peekable();
        if last && pieces.peek().is_none() {
            return self.chunk(&[], true, out);
        }
        while let Some(piece) = pieces.next() {
            let is_last = last && pieces.peek().is_none();
            self.chunk(piece, is_last, out);
        }
    }

    fn chunk(&mut self, plain: &[u8], last: bool, out: &mut Vec<u8>) {
        let word = plain.len() as u32 | if last { LAST } else { 0 };
        out.extend_from_slice(&word.to_be_bytes());
        let start = out.len();
        out.extend_from_slice(plain);
        let nonce = Nonce::from(nonce(self.prefix, self.number, last));
        let sealed = out.get_mut(start..).unwrap_or_default();
        // It fails beyond 64 GiB only; a chunk has at most one MiB.
        match self.cipher.encrypt_inout_detached(&nonce, &[], sealed.into()) {
            Ok(tag) => out.extend_from_slice(&tag),
            Err(_) => crate::bug!("a chunk of {} bytes cannot be sealed", plain.len()),
        }
        self.number = self.number.saturating_add(1);
    }
}

fn opening(id: &str) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.push(id.len() as u8);
    out.extend_from_slice(id.as_bytes());
    out
}

/// The name of the key that a file needs, and the length of its header.
pub fn key_id(file: &[u8]) -> Option<(&str, usize)> {
    let rest = file.strip_prefix(MAGIC)?;
    let (len, rest) = rest.split_first()?;
    let id = std::str::from_utf8(rest.get(..usize::from(*len))?).ok()?;
    Some((id, MAGIC.len() + 1 + usize::from(*len) + 12 + 32 + TAG_LEN + PREFIX_LEN))
}

/// Opens one file, chunk by chunk.
pub struct Opener {
    cipher: Aes256Gcm,
    prefix: [u8; PREFIX_LEN],
    number: u32,
}

/// What stands at a place of a sealed file.
#[derive(PartialEq, Eq, Debug)]
pub enum Chunk {
    /// Its plain text, its length in the file, and whether the file ends with it.
    Whole { plain: Vec<u8>, len: usize, last: bool },
    /// The file ends within it.
    Cut,
}

impl Opener {
    /// Reads the header with whichever of the keys it names; the opener and the header's length.
    pub fn new(keys: &[Key], file: &[u8]) -> Result<(Opener, usize), Fault> {
        let (id, len) = key_id(file).ok_or(Fault::NotSealed)?;
        let key = keys.iter().find(|k| k.id == id).ok_or_else(|| Fault::NoKey(id.to_owned()))?;
        let opening = opening(id);
        let rest = file.get(opening.len()..len).ok_or(Fault::NotSealed)?;
        let (wrap_nonce, rest) = rest.split_first_chunk::<12>().ok_or(Fault::NotSealed)?;
        let (wrapped, prefix) = rest.split_first_chunk::<{ 32 + TAG_LEN }>().ok_or(Fault::NotSealed)?;
        let payload = Payload { msg: wrapped, aad: &opening };
        let opened = cipher(&key.bytes).decrypt(&Nonce::from(*wrap_nonce), payload);
        let file_key: Option<[u8; 32]> = opened.ok().and_then(|k| k.try_into().ok());
        let (Some(file_key), Some(prefix)) = (file_key, prefix.first_chunk::<PREFIX_LEN>()) else {
            return Err(Fault::WrongKey(id.to_owned()));
        };
        Ok((Opener { cipher: cipher(&file_key), prefix: *prefix, number: 0 }, len))
    }

    /// The chunk with which `rest` of the file begins.
    pub fn open(&mut self, rest: &[u8]) -> Result<Chunk, Fault> {
        let Some((word, body)) = rest.split_first_chunk::<4>() else { return Ok(Chunk::Cut) };
        let word = u32::from_be_bytes(*word);
        let (plain_len, last) = ((word & !LAST) as usize, word & LAST != 0);
        if plain_len > CHUNK_MAX {
            return Err(Fault::Damaged(self.number));
        }
        let Some(sealed) = body.get(..plain_len + TAG_LEN) else { return Ok(Chunk::Cut) };
        let nonce = Nonce::from(nonce(self.prefix, self.number, last));
        let plain = self.cipher.decrypt(&nonce, sealed).map_err(|_| Fault::Damaged(self.number))?;
        self.number = self.number.saturating_add(1);
        Ok(Chunk::Whole { plain, len: 4 + plain_len + TAG_LEN, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Key {
        Key::parse(&hex(&[n; 32])).unwrap()
    }

    fn sealed(key: &Key, chunks: &[&[u8]], ended: bool) -> Vec<u8> {
        let (mut sealer, mut file) = Sealer::new(key, &[7; RANDOM_LEN]).unwrap();
        for (n, chunk) in chunks.iter().enumerate() {
            sealer.seal(chunk, ended && n + 1 == chunks.len(), &mut file);
        }
        file
    }

    /// The plain text up to a fault or the end; whether it is whole.
    fn open(keys: &[Key], file: &[u8]) -> (Vec<u8>, Result<(), Fault>) {
        let mut plain = Vec::new();
        let (mut opener, mut at) = match Opener::new(keys, file) {
            Ok(opened) => opened,
            Err(fault) => return (plain, Err(fault)),
        };
        loop {
            match opener.open(&file[at..]) {
                Ok(Chunk::Whole { plain: p, len, last }) => {
                    plain.extend(p);
                    at += len;
                    if last {
                        return (plain, Ok(()));
                    }
                }
                Ok(Chunk::Cut) => return (plain, Err(Fault::Unfinished)),
                Err(fault) => return (plain, Err(fault)),
            }
        }
    }

    #[test]
    fn the_right_key_opens_and_a_wrong_one_is_told() {
        let file = sealed(&key(1), &[b"one", b"two", b""], true);
        assert_eq!(open(&[key(2), key(1)], &file), (b"onetwo".to_vec(), Ok(())));
        assert_eq!(open(&[key(2)], &file), (vec![], Err(Fault::NoKey(key(1).id))));
        let impostor = Key { id: key(1).id, bytes: [9; 32] };
        assert_eq!(open(&[impostor], &file), (vec![], Err(Fault::WrongKey(key(1).id))));
        assert_eq!(open(&[key(1)], b"RIFF"), (vec![], Err(Fault::NotSealed)));
        assert!(Fault::NoKey("ab12".into()).to_string().contains("ab12"));
        assert!(Key::parse("short").is_none() && format!("{:?}", key(1)).len() < 20);
    }

    #[test]
    fn no_altered_byte_passes_and_no_cut_is_unseen() {
        let file = sealed(&key(1), &[b"first", b"second", b"third"], true);
        for at in 0..file.len() {
            let mut bent = file.clone();
            bent[at] ^= 0x10;
            let (plain, result) = open(&[key(1)], &bent);
            assert!(result.is_err(), "byte {at}");
            assert!(b"firstsecondthird".starts_with(&plain), "byte {at}: noise");
            let (plain, result) = open(&[key(1)], &file[..at]);
            assert!(result.is_err() && b"firstsecondthird".starts_with(&plain), "cut at {at}");
        }
        let (_, header) = key_id(&file).unwrap();
        let (a, b) = (4 + 5 + TAG_LEN, 4 + 6 + TAG_LEN);
        let swapped =
            [&file[..header], &file[header + a..header + a + b], &file[header..header + a], &file[header + a + b..]];
        assert_eq!(open(&[key(1)], &swapped.concat()), (vec![], Err(Fault::Damaged(0))));
    }

    #[test]
    fn what_was_cut_off_can_be_ended() {
        let mut file = sealed(&key(1), &[b"one", b"two", b"lost"], false);
        file.truncate(file.len() - 3);
        let (mut opener, mut at) = Opener::new(&[key(1)], &file).unwrap();
        while let Ok(Chunk::Whole { len, .. }) = opener.open(&file[at..]) {
            at += len;
        }
        file.truncate(at);
        Sealer::resume(opener).seal(b"", true, &mut file);
        assert_eq!(open(&[key(1)], &file), (b"onetwo".to_vec(), Ok(())));
    }

    #[test]
    fn long_portions_are_several_chunks() {
        let long = vec![5; CHUNK_MAX + 3];
        assert_eq!(open(&[key(1)], &sealed(&key(1), &[&long], true)), (long, Ok(())));
    }
}
