//! Boxes that the kernel puts packets into, for those who look at them only when the time has come: sound that waits for its mixing
//! is taken by a look at memory, without a system call, a wake-up or a buffer of its own.
//!
//! A box has few letters: what finds no room, and what is longer than a letter, comes by the port's socket.

use super::system::{Sharable, Shared};
use codecs::cache::fetch;
use std::cell::UnsafeCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Letters of a box, a power of two: those of 40 ms where others send 10 ms each.
pub const LETTERS: u32 = 4;
/// Octets of the longest datagram that fits: G.711 of 20 ms with SRTP's tag, and more.
pub const LETTER_MAX: usize = 232;
/// Boxes there are at most, of 1,088 bytes each.
const BOXES_MAX: u32 = 8_192;
/// UDP's number in IP's header.
const UDP: u8 = 17;
const UDP_HEADER: u16 = 8;

/// What is told of a datagram beside its octets.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Head {
    length: u16,
    /// UDP's, as it came.
    sum: [u8; 2],
    target: [u8; 4],
    _unused: u32,
}

/// `ready` is the number of the datagram that lies there, beginning with 1; the kernel writes it last.
#[repr(C, align(64))]
#[derive(Debug)]
struct Letter {
    ready: AtomicU32,
    head: UnsafeCell<Head>,
    /// By the system's monotonic clock, in nanoseconds.
    arrived: AtomicU64,
    bytes: UnsafeCell<[u8; LETTER_MAX]>,
}

/// See the module's documentation.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Mailbox {
    /// Letters that we have read since the box is in use.
    taken: AtomicU32,
    _unused: [u32; 15],
    letters: [Letter; LETTERS as usize],
}

// SAFETY: zeroed it is empty; a letter is the kernel's until it is ready, and ours until it is taken.
unsafe impl Sharable for Mailbox {}

const _: () = assert!(size_of::<Letter>() == 256 && size_of::<Mailbox>() == 64 + 256 * LETTERS as usize);

impl Mailbox {
    fn letter(&self, number: u32) -> Option<&Letter> {
        self.letters.get((number % LETTERS) as usize)
    }

    /// Before an entry of which it is the box is put into force. The kernel knows nothing of it then.
    pub fn empty(&self) {
        self.taken.store(0, Ordering::Relaxed);
        self.letters.iter().for_each(|letter| letter.ready.store(0, Ordering::Relaxed));
    }

    /// A datagram is about to be looked for or taken.
    pub fn foresee(&self, number: u32) {
        self.letter(number).into_iter().for_each(fetch);
    }

    /// Whether the datagram of a number, beginning with 0, has come and is not taken.
    pub fn has(&self, number: u32) -> bool {
        self.letter(number).is_some_and(|l| l.ready.load(Ordering::Acquire) == number.wrapping_add(1))
    }

    /// Takes a datagram that the box [has](Mailbox::has): its octets from the beginning of `bytes`, their number, and when it came, by the
    /// system's monotonic clock in nanoseconds. `None` if it is damaged.
    pub fn take(
        &self,
        number: u32,
        from: SocketAddrV4,
        port: u16,
        bytes: &mut [u8; LETTER_MAX],
    ) -> Option<(usize, u64)> {
        let letter = self.letter(number)?;
        // SAFETY: the letter is ours until it is counted as taken.
        let head = unsafe { letter.head.get().read_volatile() };
        let (arrived, length) = (letter.arrived.load(Ordering::Relaxed), usize::from(head.length).min(LETTER_MAX));
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(letter.bytes.get().cast(), bytes.as_mut_ptr(), length) };
        self.taken.store(number.wrapping_add(1), Ordering::Release);
        let ports = [from.port(), port];
        let came = is_intact(&head, from.ip(), ports, bytes.get(..length)?);
        (length > 0 && came).then_some((length, arrived))
    }
}

/// Whether UDP's sum is right (RFC 768). Where the packet has not left the machine the sum may be of the pseudo-header alone: who sends
/// leaves the rest to an interface, and there was none.
fn is_intact(head: &Head, from: &Ipv4Addr, ports: [u16; 2], bytes: &[u8]) -> bool {
    if head.sum == [0; 2] {
        return true;
    }
    let length = UDP_HEADER + head.length;
    let pseudo = add(&from.octets()) + add(&head.target) + u64::from(UDP) + u64::from(length);
    let sum = u16::from_be_bytes(head.sum);
    let rest = u64::from(ports[0]) + u64::from(ports[1]) + u64::from(length) + u64::from(sum);
    fold(pseudo + rest + add(bytes)) == u16::MAX || fold(pseudo) == sum
}

/// The sum of words in the network's order, an odd octet at the end as the upper half of one.
fn add(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let last = rest.first().map_or(0, |b| u64::from(*b) << 8);
    words.iter().map(|w| u64::from(u16::from_be_bytes(*w))).sum::<u64>() + last
}

const fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// All boxes, and which are free.
#[derive(Debug)]
pub struct Boxes {
    shared: Shared<Mailbox>,
    free: Mutex<Vec<u16>>,
}

impl Boxes {
    /// For so many ports.
    pub fn new(ports: u32) -> io::Result<Boxes> {
        let count = ports.clamp(1, BOXES_MAX);
        let free = (0..count).rev().filter_map(|n| u16::try_from(n).ok()).collect();
        Ok(Boxes { shared: Shared::new(count)?, free: Mutex::new(free) })
    }

    pub fn fd(&self) -> std::os::fd::RawFd {
        self.shared.fd()
    }

    pub fn get(&self, number: u16) -> Option<&Mailbox> {
        self.shared.get(usize::from(number))
    }

    /// A box of one's own, until [`Boxes::give`].
    pub fn take(&self) -> Option<u16> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub fn give(&self, number: u16) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_looked_at() {
        let (from, target) = (Ipv4Addr::new(192, 0, 2, 1), [198, 51, 100, 7]);
        for length in [12, 13, 171, 172, 232] {
            let mut bytes: Vec<u8> = (0..length).map(|n| (n * 37) as u8).collect();
            let head = |sum: u16| Head { length: length as u16, sum: sum.to_be_bytes(), target, _unused: 0 };
            let words = u64::from(UDP) + 2 * (8 + length as u64) + 4_000 + 30_010;
            let sum = !fold(words + add(&from.octets()) + add(&target) + add(&bytes));
            let ports = [4_000, 30_010];
            assert!(is_intact(&head(sum), &from, ports, &bytes));
            assert!(is_intact(&head(0), &from, ports, &bytes), "none");
            let pseudo = fold(u64::from(UDP) + 8 + length as u64 + add(&from.octets()) + add(&target));
            assert!(is_intact(&head(pseudo), &from, ports, &bytes), "not yet finished");
            assert!(!is_intact(&head(sum), &from, [4_001, 30_010], &bytes));
            assert!(!is_intact(&head(sum ^ 1), &from, ports, &bytes));
            bytes[length - 1] ^= 4;
            assert!(!is_intact(&head(sum), &from, ports, &bytes), "{length}");
        }
    }
}
