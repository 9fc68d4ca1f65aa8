//! `make bench`: what a call, a packet and a second of Tandem cost on this machine, beside Kamailio and rtpengine in the
//! same run. One JSON line on stdout and at the end of `$BENCH_FILE` (target/bench.jsonl).
//!
//! Arguments choose parts: calls, ceiling, relay, delay, crowd, ivr, conference, transcode, quality, recording,
//! srtp, memory, register, tls, flood, overload, webhook; and subjects: tandem, peers. None: everything.

mod conference;
mod endpoints;
mod flood;
mod ivr;
mod media;
mod message;
mod overload;
mod quality;
mod recording;
mod register;
mod relay;
mod rtpengine;
mod secure;
mod signalling;
mod socket;
mod srtp;
mod subject;
mod transcode;
mod usage;
mod webhook;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Command;

use interop::scratch::top;
use serde_json::{Map, Value, json};

/// Measures one part of the line.
type Part = fn(&Choice) -> Value;

/// What was asked for on the command line.
#[derive(Debug)]
pub struct Choice(Vec<String>);

impl Choice {
    /// One of a group is wanted when it is named, or when none of its group is.
    fn wants(&self, group: &[&str], name: &str) -> bool {
        let named = |n: &str| self.0.iter().any(|c| c == n);
        named(name) || !group.iter().any(|n| named(n))
    }

    pub fn part(&self, name: &str) -> bool {
        self.wants(
            &[
                "calls",
                "ceiling",
                "relay",
                "delay",
                "crowd",
                "ivr",
                "conference",
                "transcode",
                "quality",
                "recording",
                "srtp",
                "memory",
                "register",
                "tls",
                "flood",
                "overload",
                "webhook",
            ],
            name,
        )
    }

    pub fn subject(&self, name: &str) -> bool {
        self.wants(&["tandem", "peers"], name)
    }
}

fn main() {
    let choice = Choice(std::env::args().skip(1).collect());
    let mut line = Map::new();
    line.insert("date".to_owned(), json!(printed("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"])));
    line.insert("commit".to_owned(), json!(printed("git", &["describe", "--always", "--dirty", "--abbrev=12"])));
    line.insert("machine".to_owned(), machine());
    let parts: [(&str, Part); 17] = [
        ("calls", signalling::calls),
        ("ceiling", signalling::ceiling),
        ("delay", signalling::delay),
        ("relay", media::relay),
        ("crowd", media::crowd),
        ("ivr", ivr::ivr),
        ("transcode", transcode::transcode),
        ("conference", conference::conference),
        ("quality", quality::quality),
        ("recording", recording::recording),
        ("srtp", srtp::srtp),
        ("memory", media::memory),
        ("register", register::register),
        ("tls", secure::secure),
        ("flood", flood::flood),
        ("overload", overload::overload),
        ("webhook", webhook::webhook),
    ];
    for (name, measure) in parts {
        if choice.part(name) {
            eprintln!("{name}");
            line.insert(name.to_owned(), measure(&choice));
        }
    }
    let text = Value::Object(line).to_string();
    println!("{text}");
    let file = std::env::var("BENCH_FILE").map_or_else(|_| top().join("target/bench.jsonl"), Into::into);
    let opened = OpenOptions::new().create(true).append(true).open(&file);
    if let Err(error) = opened.and_then(|mut f| writeln!(f, "{text}")) {
        eprintln!("{}: {error}", file.display());
    }
}

/// Prints a figure while the run goes on.
pub fn say(subject: &str, text: &str) {
    eprintln!("  {subject:12} {text}");
}

fn machine() -> Value {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("", |m| m.trim_start_matches([' ', '\t', ':']));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    json!({
        "cpu": model,
        "cores": usage::cores(),
        "kernel": printed("uname", &["-r"]),
        // Above 0.5 at the start somebody else was at work, and latencies mean little.
        "load_at_start": load.split(' ').next().and_then(|l| l.parse::<f64>().ok()),
    })
}

fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(top()).output();
    output.map_or_else(|_| String::new(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
}
