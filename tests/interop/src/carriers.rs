//! The stage of most tests: a carrier that calls (127.0.0.2), two far sides (127.0.0.3, 127.0.0.4), the switch between.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::rtp::RtpEnd;
use crate::scratch::{Scratch, free_ports};
use crate::sipp::{Running, Side, Sipp, Step};
use crate::tandem::{Setup, Tandem};

pub const NEAR: &str = "127.0.0.2";
pub const FAR: &str = "127.0.0.3";
pub const FARTHER: &str = "127.0.0.4";

/// A switch with three trunks, `near`, `far` and `farther`.
#[derive(Debug)]
pub struct Carriers {
    pub tandem: Tandem,
    pub scratch: Scratch,
    port: u16,
}

impl Carriers {
    /// `rules` is what stands under `from-carrier:`, indented by four.
    pub fn new(name: &str, rules: &str) -> Carriers {
        Carriers::with(name, rules, &Setup::default())
    }

    /// As `new`, with the rest of the configuration.
    pub fn with(name: &str, rules: &str, setup: &Setup<'_>) -> Carriers {
        let scratch = Scratch::new(name);
        let port = free_ports(20);
        let trunk = |name: &str, ip: &str, port: u16| {
            format!(
                "  - {{ name: {name}, targets: [\"sip:{ip}:{port}\"], inbound: [{ip}/32], context: from-carrier }}\n"
            )
        };
        let trunks = trunk("near", NEAR, port) + &trunk("far", FAR, port + 1) + &trunk("farther", FARTHER, port + 2);
        let dialplan = format!("contexts:\n  from-carrier:\n{rules}");
        let setup = Setup { trunks: &(trunks + setup.trunks), dialplan: &dialplan, ..setup.clone() };
        Carriers { tandem: Tandem::start(scratch.path(), &setup), scratch, port }
    }

    /// SIPp that calls `to`.
    pub fn caller<'a>(&self, to: &'a str, steps: &'a [Step]) -> Sipp<'a> {
        let rtp_port = self.port + 4;
        Sipp { to, rtp_port, ..Sipp::new("near", Side::Caller, steps, NEAR, self.port, self.tandem.sip()) }
    }

    /// SIPp that is called as trunk `far`.
    pub fn callee<'a>(&self, steps: &'a [Step]) -> Sipp<'a> {
        let rtp_port = self.port + 6;
        Sipp { rtp_port, ..Sipp::new("far", Side::Callee, steps, FAR, self.port + 1, self.tandem.sip()) }
    }

    /// SIPp that is called as trunk `farther`.
    pub fn other_callee<'a>(&self, steps: &'a [Step]) -> Sipp<'a> {
        let rtp_port = self.port + 8;
        Sipp { rtp_port, ..Sipp::new("farther", Side::Callee, steps, FARTHER, self.port + 2, self.tandem.sip()) }
    }

    /// The sound of a party whose SDP names `sipp.rtp_port`.
    pub fn sound(&self, sipp: &Sipp<'_>, signal: &[i16], payload_type: u8) -> RtpEnd {
        RtpEnd::start(sipp.ip, sipp.rtp_port, signal, payload_type)
    }

    pub fn start(&self, sipp: &Sipp<'_>) -> Running {
        sipp.start(self.scratch.path())
    }

    /// A port pair that no party uses.
    pub fn spare(&self) -> SocketAddr {
        ([127, 0, 0, 2], self.port + 10).into()
    }

    /// Both sides run to their end, one call each; the call's record.
    pub fn play(&self, caller: &Sipp<'_>, callee: &Sipp<'_>) -> Value {
        let mut callee = self.start(callee);
        let mut caller = self.start(caller);
        self.finish(&mut caller, &mut [&mut callee])
    }

    /// Waits for every side; the call's record. A failure shows what the caller saw and the call's timeline.
    pub fn finish(&self, caller: &mut Running, callees: &mut [&mut Running]) -> Value {
        let limit = Duration::from_secs(30);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            caller.finish(limit);
            for callee in callees.iter_mut() {
                callee.finish(limit);
            }
        }));
        if let Err(panic) = outcome {
            eprintln!("--- the caller saw:\n{}", caller.messages());
            eprintln!("--- tandem trace last:\n{}", self.tandem.command(&["trace", "last"]).1);
            std::panic::resume_unwind(panic);
        }
        self.tandem.cdrs(1).remove(0)
    }
}

/// Class and reason of a record's ending.
pub fn ending(record: &Value) -> (&str, &str) {
    let text = |key: &str| record["ending"][key].as_str().unwrap_or("");
    (text("class"), text("reason"))
}
