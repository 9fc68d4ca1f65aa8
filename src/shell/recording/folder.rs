//! Where recordings' files are; a test puts a slow one or a full one in its place.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file that is being written.
pub trait Written: Send {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Replaces the first bytes.
    fn begin_with(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns when the disk has it.
    fn sync(&mut self) -> io::Result<()>;
    /// Reads the whole file, portion by portion.
    fn review(&mut self, portion: &mut dyn FnMut(&[u8])) -> io::Result<()>;
}

/// Makes files.
pub trait Folder: Send + Sync + 'static {
    /// A new file at a path below the folder; what lies between is made.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>>;
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A folder of the disk, for its owner's eyes only. The lock on it says that a switch records here.
pub struct OnDisk {
    root: PathBuf,
    _lock: File,
}

impl OnDisk {
    /// Makes the folder and takes its lock; an error of kind `WouldBlock` if another process has it.
    pub fn open(root: &Path) -> io::Result<OnDisk> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(root.join(".lock"))?;
        lock.try_lock().map_err(|e| match e {
            std::fs::TryLockError::Error(e) => e,
            std::fs::TryLockError::WouldBlock => io::Error::from(io::ErrorKind::WouldBlock),
        })?;
        Ok(OnDisk { root: root.into(), _lock: lock })
    }
}

impl Folder for OnDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>> {
        let path = self.root.join(path);
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file = OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(path)?;
        Ok(Box::new(file))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(self.root.join(path))
    }
}

impl Written for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }
    fn begin_with(&mut self, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, 0)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
    fn review(&mut self, portion: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        self.seek(SeekFrom::Start(0))?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match self.read(&mut buffer)? {
                0 => return Ok(()),
                n => portion(buffer.get(..n).unwrap_or_default()),
            }
        }
    }
}
