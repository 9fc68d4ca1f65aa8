//! The program's own code stays in memory: whoever has to read it from the disk first answers as late as the disk does.

use std::io;
use std::ops::Range;

/// Keeps what the process runs in memory (mlock(2)), on a thread of its own: the start does not wait for the disk either. What the
/// system refuses (RLIMIT_MEMLOCK) may leave the memory when it is scarce, and comes back when it is used.
pub fn keep() {
    let thread = std::thread::Builder::new().name("resident".into()).spawn(|| {
        let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
        let (mut kept, mut refused) = (0, None);
        for range in maps.lines().filter_map(code) {
            match lock(&range) {
                Ok(()) => kept += range.len(),
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            None => tracing::debug!(kept, "the code is kept in memory"),
            Some(error) => tracing::debug!(kept, %error, "not all of the code is kept in memory"),
        }
    });
    // Nothing depends on it.
    drop(thread);
}

/// A line of proc_pid_maps(5), if it is code or constants of the program or of a library: `start-end r-xp offset device inode path`.
fn code(line: &str) -> Option<Range<usize>> {
    let mut fields = line.split_whitespace();
    let (range, flags, path) = (fields.next()?, fields.next()?, fields.nth(3)?);
    if !matches!(flags, "r-xp" | "r--p") || !path.starts_with('/') {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let octet = |hex| usize::from_str_radix(hex, 16).ok();
    Some(octet(start)?..octet(end)?)
}

fn lock(range: &Range<usize>) -> io::Result<()> {
    // SAFETY: nothing is read or written through the address; a range that is no longer mapped is refused.
    let failed = unsafe { libc::mlock(range.start as *const libc::c_void, range.len()) != 0 };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_constants_of_files_are_kept_and_nothing_else() {
        let rows = [
            ("5581-5582 r-xp 0000b000 08:02 173521      /usr/bin/tandem", Some(0x5581..0x5582)),
            ("5580-5581 r--p 00000000 08:02 173521      /usr/bin/tandem", Some(0x5580..0x5581)),
            ("5583-5584 rw-p 0000d000 08:02 173521      /usr/bin/tandem", None),
            ("7f00-7f01 r--s 00000000 08:02 99          /var/lib/tandem/x", None),
            ("7ffd-7ffe r-xp 00000000 00:00 0           [vdso]", None),
            ("7f02-7f03 r--p 00000000 00:00 0", None),
            ("", None),
        ];
        for (line, expected) in rows {
            assert_eq!(code(line), expected, "{line}");
        }
    }

    #[test]
    fn what_is_not_mapped_is_refused() {
        assert!(lock(&(0..4_096)).is_err());
    }
}
