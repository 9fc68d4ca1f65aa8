//! Two hosts on one machine: network namespaces joined by a cable, for what does not happen on loopback.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;

/// The switch's address on the cable; that of the phones' host is the next, and another one.
pub const SWITCH: &str = "10.77.0.1";
pub const PHONES: [&str; 2] = ["10.77.0.2", "10.77.0.3"];

/// Which host a thread, and what it starts, is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    Switch,
    Phones,
}

/// See the module's documentation. Both hosts are gone when it is dropped.
#[derive(Debug)]
pub struct Lan {
    names: [String; 2],
}

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output().map_err(|e| format!("ip: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("ip {arguments}: {said}")) }
}

impl Lan {
    /// `None`, and a line that says why, where the system makes no namespaces for us.
    pub fn new() -> Option<Lan> {
        let names = ["switch", "phones"].map(|name| format!("tandem-{name}-{}", std::process::id()));
        let lan = Lan { names };
        lan.build().map_err(|why| println!("SKIPPED: two hosts cannot be made here: {why}")).ok()?;
        Some(lan)
    }

    fn build(&self) -> Result<(), String> {
        let [switch, phones] = &self.names;
        ip(&format!("netns add {switch}"))?;
        ip(&format!("netns add {phones}"))?;
        ip(&format!("link add cable0 netns {switch} type veth peer name cable1 netns {phones}"))?;
        for (name, cable, addresses) in [(switch, "cable0", &[SWITCH][..]), (phones, "cable1", &PHONES[..])] {
            for address in addresses {
                ip(&format!("-n {name} addr add {address}/24 dev {cable}"))?;
            }
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("-n {name} link set {cable} up"))?;
        }
        Ok(())
    }

    /// The calling thread goes to a host; what it starts and binds from then on is there.
    pub fn enter(&self, host: Host) {
        let [switch, phones] = &self.names;
        let name = if host == Host::Switch { switch } else { phones };
        let path = CString::new(format!("/run/netns/{name}")).expect("no zero in a path");
        let file = File::open(path.to_str().expect("a path of ASCII")).expect("the namespace is there");
        // SAFETY: a descriptor of a namespace, which lives through the call.
        let entered = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
        assert_eq!(entered, 0, "{path:?}: {}", std::io::Error::last_os_error());
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&format!("netns del {name}"));
        }
    }
}
