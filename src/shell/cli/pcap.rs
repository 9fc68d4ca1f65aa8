//! `tandem pcap`: what is kept of a call's SIP messages.

use super::args::Common;
use super::{Sentence, live};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub fn pcap(common: &Common, call: &str, output: Option<&Path>) -> Result<(), Sentence> {
    let bytes = live::client(common)?.download(&format!("/tandem/v1/calls/{call}/pcap"))?;
    let written = match output {
        Some(path) => {
            let file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path);
            let fault = |e| format!("{}: {}", path.display(), crate::shell::net::describe(&e));
            file.and_then(|mut file| file.write_all(&bytes)).map_err(fault)
        }
        None => match std::io::stdout().write_all(&bytes) {
            // Whoever reads may stop.
            Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(crate::shell::net::describe(&e)),
            _ => Ok(()),
        },
    };
    written.map_err(Sentence::from)
}
