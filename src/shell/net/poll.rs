//! Waiting: epoll with a timeout in microseconds, and an eventfd by which other threads wake the waiting one.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One descriptor that can go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ready {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
    /// An error waits on the descriptor (EPOLLERR): its error queue, or the next call, tells it.
    pub error: bool,
}

/// Level-triggered epoll, except for wakers.
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
    ready: usize,
    /// The kernel has epoll_pwait2 (5.11); otherwise timeouts are rounded up to milliseconds.
    precise: bool,
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

impl Epoll {
    pub fn new(events_max: usize) -> io::Result<Epoll> {
        // SAFETY: the returned descriptor is new and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        let events = vec![libc::epoll_event { events: 0, u64: 0 }; events_max.max(1)];
        Ok(Epoll { fd, events, ready: 0, precise: true })
    }

    pub fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, libc::EPOLLIN)
    }

    /// Is told once of each [`Waker::wake`], which is to be answered by [`Waker::hear`].
    pub fn add_waker(&self, waker: &Waker, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, waker.fd(), token, libc::EPOLLIN | libc::EPOLLET)
    }

    /// Asks to be told when `fd` can be written too, or no longer.
    pub fn want_write(&self, fd: RawFd, token: u64, writable: bool) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, libc::EPOLLIN | if writable { libc::EPOLLOUT } else { 0 })
    }

    fn control(&self, op: libc::c_int, fd: RawFd, token: u64, events: libc::c_int) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events as u32, u64: token };
        // SAFETY: `event` lives through the call; the kernel checks both descriptors.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), op, fd, &mut event) }).map(drop)
    }

    /// Waits until something is ready or `timeout` has passed (`None`: for ever). A signal ends the wait early.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.ready = 0;
        match self.wait_once(timeout) {
            Ok(n) => self.ready = usize::try_from(n).unwrap_or(0),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn wait_once(&mut self, timeout: Option<Duration>) -> io::Result<libc::c_int> {
        let (fd, max) = (self.fd.as_raw_fd(), self.events.len() as libc::c_int);
        if self.precise {
            let spec = timeout.map(|t| libc::timespec {
                tv_sec: libc::time_t::try_from(t.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: t.subsec_nanos() as libc::c_long,
            });
            let spec = spec.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
            // SAFETY: `events` has room for `max`, `spec` is null or lives through the call. By number: glibc has the
            // wrapper since 2.35 only.
            let n = unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    fd,
                    self.events.as_mut_ptr(),
                    max,
                    spec,
                    std::ptr::null::<u8>(),
                    8,
                )
            };
            match check(n as libc::c_int) {
                // An old kernel, or a container's filter that is older than the call.
                Err(e) if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => self.precise = false,
                other => return other,
            }
        }
        let ms =
            timeout.map_or(-1, |t| libc::c_int::try_from(t.as_micros().div_ceil(1000)).unwrap_or(libc::c_int::MAX));
        // SAFETY: `events` has room for `max`.
        check(unsafe { libc::epoll_wait(fd, self.events.as_mut_ptr(), max, ms) })
    }

    /// How many descriptors the last [`Epoll::wait`] found.
    pub const fn len(&self) -> usize {
        self.ready
    }

    pub const fn is_empty(&self) -> bool {
        self.ready == 0
    }

    pub fn get(&self, i: usize) -> Option<Ready> {
        let event = self.events[..self.ready].get(i)?;
        let (bits, token) = (event.events as libc::c_int, event.u64);
        Some(Ready {
            token,
            readable: bits & (libc::EPOLLIN | libc::EPOLLHUP) != 0,
            writable: bits & libc::EPOLLOUT != 0,
            error: bits & libc::EPOLLERR != 0,
        })
    }
}

/// Wakes the thread that waits on [`Waker::fd`]. Clones wake the same thread; wakes before a [`Waker::clear`] are one.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Bell>);

#[derive(Debug)]
struct Bell {
    fd: OwnedFd,
    rung: AtomicBool,
}

impl Waker {
    pub fn new() -> io::Result<Waker> {
        // SAFETY: the returned descriptor is new and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?) };
        Ok(Waker(Arc::new(Bell { fd, rung: AtomicBool::new(false) })))
    }

    pub fn fd(&self) -> RawFd {
        self.0.fd.as_raw_fd()
    }

    /// Call it after the queue has what the woken thread shall find.
    pub fn wake(&self) {
        if !self.0.rung.swap(true, Ordering::AcqRel) {
            let one = 1u64;
            // SAFETY: eight bytes are read from `one`. The counter does not overflow: one write a clear, or one a turn for centuries.
            unsafe { libc::write(self.fd(), (&raw const one).cast(), 8) };
        }
    }

    /// Call it before looking into the queues: a wake after it is not lost.
    pub fn clear(&self) {
        let mut count = 0u64;
        // SAFETY: eight bytes are written to `count`; nonblocking.
        unsafe { libc::read(self.fd(), (&raw mut count).cast(), 8) };
        self.hear();
    }

    /// As [`Waker::clear`], where each wake is told once: what is counted need not be read.
    pub fn hear(&self) {
        self.0.rung.swap(false, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_is_seen_once_and_a_timeout_is_short() {
        let (mut epoll, waker) = (Epoll::new(4).unwrap(), Waker::new().unwrap());
        epoll.add(waker.fd(), 7).unwrap();
        let other = waker.clone();
        std::thread::spawn(move || (other.wake(), other.wake())).join().unwrap();
        epoll.wait(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(epoll.get(0).map(|r| (r.token, r.readable)), Some((7, true)));
        waker.clear();
        let begin = std::time::Instant::now();
        epoll.wait(Some(Duration::from_micros(300))).unwrap();
        assert!(epoll.is_empty() && begin.elapsed() >= Duration::from_micros(300));
        waker.wake();
        epoll.wait(None).unwrap();
        assert_eq!(epoll.len(), 1);
    }

    #[test]
    fn each_wake_is_told_once_though_nobody_reads_the_count() {
        let (mut epoll, waker) = (Epoll::new(4).unwrap(), Waker::new().unwrap());
        epoll.add_waker(&waker, 7).unwrap();
        let mut told = || {
            epoll.wait(Some(Duration::from_micros(300))).unwrap();
            epoll.len()
        };
        for _ in 0..3 {
            waker.wake();
            assert_eq!((told(), told()), (1, 0));
            waker.hear();
        }
    }
}
