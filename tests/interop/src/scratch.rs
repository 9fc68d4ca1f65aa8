//! A folder and ports of its own for each test.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::{env, fs, process};

/// The repository's top folder.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository is there")
}

/// A folder under `target/interop`, removed at the end unless the test failed.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// An empty folder for the test of this name.
    pub fn new(name: &str) -> Scratch {
        let path = top().join("target/interop").join(format!("{name}.{}", process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Scratch { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file in the folder; its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what the programs wrote is kept in {}", self.path.display());
        } else {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The first of `count` ports in a row, even, free for UDP and TCP on every loopback address at this moment. Below the
/// range from which the kernel takes ports by itself.
pub fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_000;
    const SPAN: u16 = 20_000;
    let start = (process::id() % 400) as u16 * 50;
    for _ in 0..SPAN {
        let taken = (count + 1) & !1;
        let from = NEXT.fetch_add(taken, Ordering::Relaxed);
        let first = FIRST + (start.wrapping_add(from) % (SPAN - taken)) / 2 * 2;
        if (first..first + count).all(is_free) {
            return first;
        }
    }
    panic!("no {count} ports in a row are free between {FIRST} and {}", FIRST + SPAN);
}

fn is_free(port: u16) -> bool {
    UdpSocket::bind(("0.0.0.0", port)).is_ok() && TcpListener::bind(("0.0.0.0", port)).is_ok()
}
