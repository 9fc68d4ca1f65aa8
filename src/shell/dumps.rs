//! A process that holds secret digits leaves no image of its memory behind.

use std::io;

/// No core dump from now on, and no other process of this user may read our memory: RLIMIT_CORE is 0 and the process is not
/// dumpable (prctl(2), PR_SET_DUMPABLE), which also takes `/proc/PID/mem` and ptrace from everybody but root. Swap is not locked.
pub fn forbid() -> io::Result<()> {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `none` lives through the call, and prctl is given plain numbers.
    let failed = unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &none) != 0 || libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) != 0
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}
