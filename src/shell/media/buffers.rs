//! The memory that io_uring receives packets into.

use crate::base::time::Wall;
use crate::shell::net::read_address;
use io_uring::types;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// Buffers that packets are received into, a power of two. What finds none stays in its socket.
pub const BUFFERS: u16 = 512;
/// A buffer's parts: the kernel's header, the source's address, when it came, the packet.
pub const BUFFER: usize = 2_048;
/// From one buffer to the next: an odd number of cache lines, or the beginnings of all would meet in a few sets of the cache.
const STRIDE: usize = BUFFER + 5 * 64;
pub const HEADER: usize = 16;
pub const NAME: usize = mem::size_of::<libc::sockaddr_in6>();
pub const STAMP: usize = mem::size_of::<libc::cmsghdr>() + mem::size_of::<libc::timespec>();
pub const PACKET: usize = HEADER + NAME + STAMP;

/// The memory that packets are received into: a ring of places that the kernel takes buffers from, and the buffers.
pub struct Buffers {
    memory: NonNull<u8>,
    tail: u16,
}

// SAFETY: the mapping is this value's alone.
unsafe impl Send for Buffers {}

impl Buffers {
    const RING: usize = BUFFERS as usize * mem::size_of::<types::BufRingEntry>();
    const LEN: usize = Buffers::RING + BUFFERS as usize * STRIDE;

    pub fn new() -> io::Result<Buffers> {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping of our own.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), Buffers::LEN, access, kind, -1, 0) };
        let memory = NonNull::new(memory.cast()).filter(|_| memory != libc::MAP_FAILED);
        let mut buffers = Buffers { memory: memory.ok_or_else(io::Error::last_os_error)?, tail: 0 };
        (0..BUFFERS).for_each(|id| buffers.give(id));
        Ok(buffers)
    }

    /// Where the ring of places begins.
    pub fn ring(&self) -> u64 {
        self.memory.as_ptr() as u64
    }

    /// One buffer's bytes.
    pub fn get(&mut self, id: u16) -> &mut [u8] {
        let at = Buffers::RING + usize::from(id % BUFFERS) * STRIDE;
        // SAFETY: within the mapping; the kernel has given this buffer to us and does not write to it until `give`.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr().add(at), BUFFER) }
    }

    /// Where the packet in a buffer came from.
    pub fn source(&mut self, id: u16) -> Option<SocketAddr> {
        let name = self.get(id).get(HEADER..HEADER + mem::size_of::<libc::sockaddr_storage>())?;
        // SAFETY: as long as a storage, initialised, and aligned: buffers begin at multiples of 64, names 16 bytes later. What
        // lies beyond the address is the packet's and not read for either family.
        read_address(unsafe { &*name.as_ptr().cast() })
    }

    /// When the packet in a buffer came: the one message beside it that is asked for.
    pub fn stamp(&mut self, id: u16) -> Option<Wall> {
        let control = self.get(id).get(HEADER + NAME..PACKET)?;
        let message = control.as_ptr().cast::<libc::cmsghdr>();
        // SAFETY: header and time lie within `control`; neither need be aligned.
        let (header, time) =
            unsafe { (message.read_unaligned(), message.add(1).cast::<libc::timespec>().read_unaligned()) };
        let is_time = header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_TIMESTAMPNS;
        is_time.then(|| Wall(time.tv_sec * 1_000_000 + time.tv_nsec / 1_000))
    }

    /// Gives a buffer to the kernel.
    pub fn give(&mut self, id: u16) {
        let address = self.get(id).as_ptr() as u64;
        let place = usize::from(self.tail % BUFFERS);
        let ring = self.memory.as_ptr().cast::<types::BufRingEntry>();
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the place is within the ring and not the kernel's until the tail has passed it. The tail lies in the first
        // place's spare field, is aligned and written by us alone.
        unsafe {
            let entry = &mut *ring.add(place);
            entry.set_addr(address);
            entry.set_len(BUFFER as u32);
            entry.set_bid(id);
            let tail = types::BufRingEntry::tail(ring).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; the ring that knew it is gone: it is dropped before.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), Buffers::LEN) };
    }
}
