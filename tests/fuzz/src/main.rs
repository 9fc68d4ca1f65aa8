//! Fuzz targets: one a parser, and one for the switch as a whole. `FUZZ_TARGET` names the one to run; see `run`.
#![no_main]

mod parsers;
mod switch;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

type Target = fn(&[u8]);

const TARGETS: &[(&str, Target)] = &[
    ("sip_message", parsers::sip_message),
    ("sip_stream", parsers::sip_stream),
    ("sip_headers", parsers::sip_headers),
    ("sdp", parsers::sdp),
    ("rtp", parsers::rtp),
    ("rtcp", parsers::rtcp),
    ("srtp", parsers::srtp),
    ("yaml_config", parsers::yaml_config),
    ("yaml_dialplan", parsers::yaml_dialplan),
    ("markup", parsers::markup),
    ("wav", parsers::wav),
    ("dns", parsers::dns),
    ("switch_packet", switch::packets),
];

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    match TARGETS.iter().find(|(n, _)| *n == name) {
        Some((_, target)) => *target,
        None => {
            let names: Vec<&str> = TARGETS.iter().map(|(n, _)| *n).collect();
            eprintln!("FUZZ_TARGET is {name:?}; expected one of {}", names.join(", "));
            std::process::exit(2);
        }
    }
});

fuzz_target!(|data: &[u8]| CHOSEN(data));
