//! The `bpf` system call, as far as it is needed: an array that is shared with the kernel, a program, its place at an interface.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

/// Commands.
const MAP_CREATE: libc::c_int = 0;
const PROG_LOAD: libc::c_int = 5;
#[cfg(test)]
const PROG_TEST_RUN: libc::c_int = 10;
const LINK_CREATE: libc::c_int = 28;

const MAP_TYPE_ARRAY: u32 = 2;
/// The map can be mapped into memory (Linux 5.5).
const MAPPABLE: u32 = 1 << 10;
const PROG_TYPE_TC: u32 = 3;
/// Where packets come in, by links that end with their descriptor (Linux 6.6).
const TCX_INGRESS: u32 = 46;
/// What the kernel says of a program that it refuses.
const LOG_ROOM: usize = 64 << 10;

/// `union bpf_attr`, of which each command reads its beginning.
#[repr(C, align(8))]
struct Attributes([u8; 128]);

impl Attributes {
    fn new() -> Attributes {
        Attributes([0; 128])
    }

    fn word(mut self, at: usize, value: u32) -> Attributes {
        if let Some(place) = self.0.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
        self
    }

    fn double(mut self, at: usize, value: u64) -> Attributes {
        if let Some(place) = self.0.get_mut(at..at + 8) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
        self
    }

    fn call(&mut self, command: libc::c_int) -> io::Result<libc::c_int> {
        // SAFETY: the attributes live through the call, and what they point to does: callers hold it.
        let done = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), self.0.len()) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done as libc::c_int) }
    }

    fn descriptor(&mut self, command: libc::c_int) -> io::Result<OwnedFd> {
        let fd = self.call(command)?;
        // SAFETY: the kernel has just made it for us.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// What may lie in memory that the kernel writes, too.
///
/// # Safety
/// Zeroed memory is a valid value, its size a multiple of 8, and what changes in it is atomic or guarded by what is.
pub unsafe trait Sharable {}

/// An array in our memory and the kernel's.
#[derive(Debug)]
pub struct Shared<T> {
    map: OwnedFd,
    memory: NonNull<T>,
    count: usize,
}

// SAFETY: they are shared with the kernel anyway.
unsafe impl<T: Sharable> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Sharable> Sync for Shared<T> {}

impl<T: Sharable> Shared<T> {
    pub fn new(count: u32) -> io::Result<Shared<T>> {
        let map = Attributes::new()
            .word(0, MAP_TYPE_ARRAY)
            .word(4, 4)
            .word(8, size_of::<T>() as u32)
            .word(12, count)
            .word(16, MAPPABLE)
            .descriptor(MAP_CREATE)?;
        let count = count as usize;
        let bytes = count * size_of::<T>();
        // SAFETY: a new mapping of the map's own size.
        let memory = unsafe {
            let shared = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), bytes, shared, libc::MAP_SHARED, map.as_raw_fd(), 0)
        };
        match NonNull::new(memory.cast::<T>()) {
            Some(memory) if memory.as_ptr().cast() != libc::MAP_FAILED => Ok(Shared { map, memory, count }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub fn fd(&self) -> RawFd {
        self.map.as_raw_fd()
    }

    pub fn get(&self, index: usize) -> Option<&T> {
        // SAFETY: within the mapping, which lives as long as `self`; zeroed memory is a valid value.
        (index < self.count).then(|| unsafe { self.memory.add(index).as_ref() })
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: our own mapping; values are borrowed from `self`.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.count * size_of::<T>()) };
    }
}

/// Loads a program for packets. The error says what the kernel has against it.
pub fn load(code: &[[u8; 8]]) -> io::Result<OwnedFd> {
    let licence = c"Apache-2.0";
    let attributes = || {
        Attributes::new()
            .word(0, PROG_TYPE_TC)
            .word(4, code.len() as u32)
            .double(8, code.as_ptr() as u64)
            .double(16, licence.as_ptr() as u64)
    };
    let refused = match attributes().descriptor(PROG_LOAD) {
        Ok(program) => return Ok(program),
        Err(error) => error,
    };
    let mut log = vec![0u8; LOG_ROOM];
    let again = attributes().word(24, 1).word(28, LOG_ROOM as u32).double(32, log.as_mut_ptr() as u64);
    match { again }.descriptor(PROG_LOAD) {
        Ok(program) => Ok(program),
        Err(_) => {
            let text = String::from_utf8_lossy(log.split(|b| *b == 0).next().unwrap_or_default()).into_owned();
            let last: Vec<&str> = text.lines().rev().take(3).collect();
            let why = if last.is_empty() { String::new() } else { format!(": {}", last.join(" / ")) };
            Err(io::Error::new(refused.kind(), format!("{refused}{why}")))
        }
    }
}

/// Puts a program where an interface's packets come in, until the link is dropped.
pub fn attach(program: &OwnedFd, interface: u32) -> io::Result<OwnedFd> {
    Attributes::new()
        .word(0, program.as_raw_fd() as u32)
        .word(4, interface)
        .word(8, TCX_INGRESS)
        .descriptor(LINK_CREATE)
}

/// Runs a program on a packet; its answer and the packet after.
#[cfg(test)]
pub fn test_run(program: &OwnedFd, packet: &[u8]) -> io::Result<(u32, Vec<u8>)> {
    let mut out = vec![0; packet.len() + 64];
    let mut attributes = Attributes::new()
        .word(0, program.as_raw_fd() as u32)
        .word(8, packet.len() as u32)
        .word(12, out.len() as u32)
        .double(16, packet.as_ptr() as u64)
        .double(24, out.as_mut_ptr() as u64);
    attributes.call(PROG_TEST_RUN)?;
    let word = |at: usize| u32::from_ne_bytes(attributes.0[at..at + 4].try_into().unwrap());
    out.truncate(word(12) as usize);
    Ok((word(4), out))
}
