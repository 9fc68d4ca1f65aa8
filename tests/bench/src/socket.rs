//! A UDP socket whose datagrams come with the moment at which the kernel got them.

use std::io;
use std::mem::{size_of_val, zeroed};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// The wall clock in nanoseconds, which is the clock of the kernel's stamps.
pub fn now_ns() -> u64 {
    clock_ns(libc::CLOCK_REALTIME)
}

/// The monotonic clock in nanoseconds, by which senders keep time.
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// CPU time of the calling thread in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of this frame.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sleeps until a moment of the monotonic clock; returns at once when it has passed.
pub fn sleep_until_ns(at: u64) {
    let time = libc::timespec { tv_sec: (at / 1_000_000_000) as i64, tv_nsec: (at % 1_000_000_000) as i64 };
    // SAFETY: both pointers are valid or null as the call allows.
    unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &time, std::ptr::null_mut()) };
}

/// Lets this thread's sleeps end on time instead of up to 50 µs later.
pub fn sleep_exactly() {
    // SAFETY: this option takes one number and changes the calling thread only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

/// An IPv4 UDP socket.
#[derive(Debug)]
pub struct Socket {
    inner: UdpSocket,
}

impl Socket {
    pub fn bind(address: SocketAddr) -> io::Result<Socket> {
        let inner = UdpSocket::bind(address)?;
        inner.set_nonblocking(true)?;
        let set = |name, value: i32| {
            // SAFETY: the option's value is an int of this frame whose size is given.
            unsafe {
                libc::setsockopt(
                    inner.as_raw_fd(),
                    libc::SOL_SOCKET,
                    name,
                    (&raw const value).cast(),
                    size_of_val(&value) as u32,
                )
            }
        };
        set(libc::SO_TIMESTAMPNS, 1);
        // Root may exceed the system's limit; others get what they get.
        if set(libc::SO_RCVBUFFORCE, 16 << 20) != 0 {
            set(libc::SO_RCVBUF, 4 << 20);
        }
        Ok(Socket { inner })
    }

    /// Where it is bound.
    pub fn address(&self) -> SocketAddr {
        self.inner.local_addr().expect("a bound socket has an address")
    }

    pub fn fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }

    pub fn send(&self, bytes: &[u8], target: SocketAddr) {
        // A full send buffer on loopback is a lost datagram, which every measurement counts by itself.
        let _ = self.inner.send_to(bytes, target);
    }

    /// The next datagram, if one waits: its length, its source's port, when the kernel got it (wall clock, nanoseconds).
    pub fn receive(&self, buffer: &mut [u8]) -> Option<(usize, SocketAddrV4, u64)> {
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let mut control = [0u64; 16];
        // SAFETY: both are plain data for which zero is a valid value.
        let (mut from, mut message): (libc::sockaddr_in, libc::msghdr) = unsafe { (zeroed(), zeroed()) };
        message.msg_name = (&raw mut from).cast();
        message.msg_namelen = size_of_val(&from) as u32;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: every pointer in `message` is to memory of this frame or the caller's, with its true length.
        let length = unsafe { libc::recvmsg(self.fd(), &raw mut message, 0) };
        let length = usize::try_from(length).ok()?;
        // SAFETY: the kernel filled `control`; the macros stay within msg_controllen.
        let stamp = unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            match header.is_null() || (*header).cmsg_type != libc::SCM_TIMESTAMPNS {
                true => now_ns(),
                false => {
                    let time: libc::timespec = std::ptr::read_unaligned(libc::CMSG_DATA(header).cast());
                    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
                }
            }
        };
        let address = SocketAddrV4::new(u32::from_be(from.sin_addr.s_addr).into(), u16::from_be(from.sin_port));
        Some((length, address, stamp))
    }
}

/// Lets what comes gather in the sockets before it is looked at; the kernel says when it came. A receiver that waits for each
/// packet is woken by each, and on one machine the waking is paid by who has sent: the subject. Over a real network nobody's is.
pub fn let_gather() {
    std::thread::sleep(Duration::from_millis(2));
}

/// Waits until one of the sockets has something, at most so long.
pub fn wait(sockets: &[&Socket], limit: Duration) {
    let mut set: Vec<libc::pollfd> =
        sockets.iter().map(|s| libc::pollfd { fd: s.fd(), events: libc::POLLIN, revents: 0 }).collect();
    let limit = libc::timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) };
    // SAFETY: the array and its length belong together; no signal mask is given.
    unsafe { libc::ppoll(set.as_mut_ptr(), set.len() as u64, &limit, std::ptr::null()) };
}
