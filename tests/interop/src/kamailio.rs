//! Kamailio as a proxy in front of a callee, or as a trunk that challenges.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::process::{Process, on_cores, until};
use crate::scratch::top;

/// What the trunk asks for: user and password.
pub const CREDENTIALS: (&str, &str) = ("tandem", "trunk-secret");

/// What Kamailio is in a test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Role {
    /// Lets every call through to one callee.
    Proxy,
    /// As a proxy, for those who answer its challenge.
    Trunk,
    /// Registers phones and calls them.
    Registrar,
}

/// Starts Kamailio with `tests/peers/kamailio.cfg` at `listen`, UDP and TCP; calls go on to `next`. `cores` as taskset
/// writes them; any where none.
pub fn start(folder: &Path, listen: SocketAddr, next: SocketAddr, role: Role, cores: Option<&str>) -> Process {
    let mut command = on_cores("kamailio".as_ref(), cores);
    command.arg("-f").arg(top().join("tests/peers/kamailio.cfg")).args(["-DD", "-E", "-m", "512", "-M", "16"]);
    command.args(["-A", &format!("LISTEN={listen}"), "-A", &format!("NEXT=\"sip:{next}\"")]);
    command.arg("-Y").arg(folder).arg("-w").arg(folder);
    match role {
        Role::Proxy => {}
        Role::Trunk => _ = command.args(["-A", "CHALLENGE"]),
        Role::Registrar => _ = command.args(["-A", "REGISTRAR"]),
    }
    let mut process = Process::start("kamailio", &mut command, folder);
    let up = until(Duration::from_secs(10), || {
        assert!(process.ended().is_none(), "kamailio ended:\n{}", process.tail());
        TcpStream::connect(listen).ok()
    });
    assert!(up.is_some(), "kamailio does not listen at {listen}:\n{}", process.tail());
    process
}
