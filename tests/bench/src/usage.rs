//! What a process takes: CPU in nanoseconds and resident memory, its children included, from /proc.

use std::collections::BTreeMap;
use std::fs;

/// The process and all that descend from it.
fn family(pid: u32) -> Vec<u32> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The second field is the program's name in parentheses and may hold spaces.
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        parents.insert(id, parent.unwrap_or(0));
    }
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(parent) = all.get(next).copied() {
        all.extend(parents.iter().filter(|(_, p)| **p == parent).map(|(id, _)| *id));
        next += 1;
    }
    all
}

/// CPU time used so far by every thread that still lives, in nanoseconds (first field of schedstat).
pub fn cpu_ns(pid: u32) -> u64 {
    let mut total = 0;
    for id in family(pid) {
        for thread in fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            total += text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    total
}

/// Resident memory in kB. Pages that several processes of a family share are counted once for each.
pub fn rss_kb(pid: u32) -> u64 {
    let own = |id: u32| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim();
        line.trim_end_matches(" kB").parse::<u64>().ok()
    };
    family(pid).into_iter().filter_map(own).sum()
}

/// Keeps the calling thread, and those that it starts from now on, on one core. Not possible: stays where it was.
pub fn pin(core: usize) {
    // SAFETY: the set is a plain bit mask, zeroed before use, whose size is given.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// Gives the calling thread every core again.
pub fn unpin() {
    // SAFETY: as in `pin`.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        (0..cores()).for_each(|core| libc::CPU_SET(core, &mut set));
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// Cores of the machine, whatever this thread is pinned to.
pub fn cores() -> usize {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().filter(|line| line.starts_with("processor")).count().max(1)
}
