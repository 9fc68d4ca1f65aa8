//! What was spoken, on disk, by text, voice and rate.

use super::engine::Part;
use crate::speech::{Fault, Reason};
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// All files together; beyond, those go that were asked for longest ago.
const KEPT_BYTES_MAX: u64 = 512 << 20;

pub struct Store {
    folder: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Octets and last use of each file, by its name.
    files: BTreeMap<String, (u64, u64)>,
    bytes: u64,
    uses: u64,
}

impl Kept {
    /// Counts a use; false if the file is not there.
    fn touch(&mut self, name: &str) -> bool {
        self.uses += 1;
        let uses = self.uses;
        self.files.get_mut(name).map(|(_, last)| *last = uses).is_some()
    }

    fn add(&mut self, name: String, bytes: u64) -> Vec<String> {
        self.uses += 1;
        let before = self.files.insert(name, (bytes, self.uses));
        self.bytes = self.bytes + bytes - before.map_or(0, |(bytes, _)| bytes);
        let mut gone = Vec::new();
        while self.bytes > KEPT_BYTES_MAX && self.files.len() > 1 {
            let Some(oldest) = self.files.iter().min_by_key(|(_, (_, last))| *last).map(|(n, _)| n.clone()) else {
                break;
            };
            self.bytes -= self.files.remove(&oldest).map_or(0, |(bytes, _)| bytes);
            gone.push(oldest);
        }
        gone
    }
}

impl Store {
    /// What lies in the folder from before is used again.
    pub fn open(folder: &Path) -> io::Result<Store> {
        std::fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let mut kept = Kept::default();
        for entry in std::fs::read_dir(&folder)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            match entry.metadata() {
                Ok(file) if name.ends_with(".wav") && file.is_file() => drop(kept.add(name, file.len())),
                _ if name.ends_with(".part") => std::fs::remove_file(entry.path())?,
                _ => {}
            }
        }
        Ok(Store { folder, kept: Mutex::new(kept) })
    }

    /// The path of a part's file, which `make` writes if it is not there.
    pub fn file(&self, part: &Part<'_>, make: impl FnOnce(&Path) -> Result<(), Fault>) -> Result<Arc<str>, Fault> {
        let name = name(part);
        let path = self.folder.join(&name);
        let shown: Arc<str> = path.to_string_lossy().into();
        if self.kept.lock().unwrap_or_else(PoisonError::into_inner).touch(&name) && path.exists() {
            return Ok(shown);
        }
        // Two threads may make the same; each its own, and the last one stays.
        let thread = format!("{:?}", std::thread::current().id()).replace(|c: char| !c.is_ascii_alphanumeric(), "");
        let own = self.folder.join(format!("{name}-{thread}.part"));
        let disk = |e: io::Error| Fault::new(Reason::Text, format!("the cache cannot be written: {e}"));
        make(&own).inspect_err(|_| drop(std::fs::remove_file(&own)))?;
        let bytes = std::fs::metadata(&own).map_err(disk)?.len();
        std::fs::rename(&own, &path).map_err(disk)?;
        let gone = self.kept.lock().unwrap_or_else(PoisonError::into_inner).add(name, bytes);
        gone.iter().for_each(|old| drop(std::fs::remove_file(self.folder.join(old))));
        Ok(shown)
    }
}

fn name(part: &Part<'_>) -> String {
    let kind = if part.is_ssml { "ssml" } else { "text" };
    let key = [part.voice, part.asked_language, part.asked_voice, kind, part.text].join("\0");
    let hash = Sha1::digest(key.as_bytes()).iter().fold(String::new(), |hex, b| format!("{hex}{b:02x}"));
    format!("{hash}.wav")
}
