//! What is measured: Tandem or Kamailio, each carrying calls from one endpoint to another on loopback.

use std::net::SocketAddr;
use std::path::Path;

use interop::kamailio::{self, Role};
use interop::process::Process;
use interop::scratch::free_ports;
use interop::tandem::{Setup, Tandem};

use crate::Choice;

/// Addresses of the two endpoints: the carrier that calls, the far side that is called.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    pub caller: SocketAddr,
    pub callee: SocketAddr,
    pub media: [SocketAddr; 2],
}

impl Places {
    /// The sides have addresses of their own, by which the switch knows the trunks.
    pub fn free() -> Places {
        let port = free_ports(6);
        Places {
            caller: ([127, 0, 0, 2], port).into(),
            callee: ([127, 0, 0, 3], port + 1).into(),
            media: [([127, 0, 0, 2], port + 2).into(), ([127, 0, 0, 3], port + 4).into()],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// SDP untouched, no media through the switch: what a proxy does.
    TandemDirect,
    /// Media ports for each call.
    TandemAnchored,
    /// Anchored, and relayed by the media threads even where the kernel could.
    TandemThreads,
    /// Anchored, and each call recorded with a channel for each party.
    TandemRecording,
    Kamailio,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::TandemDirect => "tandem",
            Kind::TandemAnchored => "tandem_anchored",
            Kind::TandemThreads => "tandem_threads",
            Kind::TandemRecording => "tandem_recording",
            Kind::Kamailio => "kamailio",
        }
    }

    /// Those asked for.
    pub fn chosen(choice: &Choice) -> Vec<Kind> {
        let all = [Kind::TandemDirect, Kind::TandemAnchored, Kind::Kamailio];
        all.into_iter().filter(|k| choice.subject(if *k == Kind::Kamailio { "peers" } else { "tandem" })).collect()
    }
}

/// A running subject.
#[derive(Debug)]
pub enum Subject {
    Tandem(Box<Tandem>),
    Kamailio(Process, SocketAddr),
}

impl Subject {
    /// Starts it so that calls to its address reach `places.callee`. `cores` as taskset writes them.
    pub fn start(kind: Kind, folder: &Path, places: Places, pairs: u16, cores: Option<&str>) -> Subject {
        Subject::start_with(kind, folder, places, pairs, cores, ("", ""))
    }

    /// As [`Subject::start`], with users and lines of `sip:` that a switch of ours is told.
    pub fn start_with(
        kind: Kind,
        folder: &Path,
        places: Places,
        pairs: u16,
        cores: Option<&str>,
        (users, sip): (&str, &str),
    ) -> Subject {
        if kind == Kind::Kamailio {
            let listen = SocketAddr::from(([127, 0, 0, 1], free_ports(2)));
            let process = kamailio::start(folder, listen, places.callee, Role::Proxy, cores);
            return Subject::Kamailio(process, listen);
        }
        let media = if kind == Kind::TandemDirect { "direct" } else { "anchored" };
        let trunks = format!(
            "  - {{ name: near, targets: [\"sip:{}\"], inbound: [127.0.0.2/32], context: in }}\n  \
             - {{ name: far, targets: [\"sip:{}\"], inbound: [127.0.0.3/32], context: in }}\n",
            places.caller, places.callee
        );
        let record = kind == Kind::TandemRecording;
        let dialplan = format!(
            "contexts:\n  in:\n    - match: {{ to: /^\\d+$/ }}\n      do: [ {{ dial: {{ number: \"${{to}}\", trunks: [far], media: {media}, record: {record} }} }} ]\n"
        );
        let setup = Setup {
            trunks: &trunks,
            dialplan: &dialplan,
            users,
            sip,
            pairs,
            cores,
            program: Some("target/release/tandem"),
            forwarding: (kind == Kind::TandemThreads).then_some("threads"),
            ..Setup::default()
        };
        Subject::Tandem(Box::new(Tandem::start(folder, &setup)))
    }

    /// The switch, if it is ours.
    pub fn tandem(&self) -> Option<&Tandem> {
        match self {
            Subject::Tandem(tandem) => Some(tandem),
            Subject::Kamailio(..) => None,
        }
    }

    pub fn address(&self) -> SocketAddr {
        match self {
            Subject::Tandem(tandem) => tandem.sip(),
            Subject::Kamailio(_, listen) => *listen,
        }
    }

    pub fn pid(&self) -> u32 {
        match self {
            Subject::Tandem(tandem) => tandem.process.pid(),
            Subject::Kamailio(process, _) => process.pid(),
        }
    }
}
