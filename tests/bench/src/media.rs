//! Calls with media: CPU and latency of a relayed packet, memory of an established call.

use std::net::SocketAddr;
use std::path::Path;

use interop::scratch::{Scratch, free_ports};
use serde_json::{Map, Value, json};

use crate::endpoints::Endpoints;
use crate::relay::{Ends, Stream, Traffic, streams};
use crate::rtpengine::Rtpengine;
use crate::signalling::round;
use crate::subject::{Kind, Places, Subject};
use crate::usage::{cores, cpu_ns, pin, rss_kb, unpin};
use crate::{Choice, say};

const CALLS: usize = 300;
const SECONDS: u32 = 20;
const CROWD: usize = 1000;
const MEMORY_CALLS: usize = 1000;
const ROUNDS: usize = 10;

/// 300 calls, a packet every 20 ms each way.
pub fn relay(choice: &Choice) -> Value {
    let mut found = Map::new();
    let places = Places::free();
    let ends = Ends::bind(places.media);
    // What the sender, the kernel and the receiver take with nothing between them.
    let straight: Vec<Stream> = streams(&vec![[places.media[1], places.media[0]]; CALLS]);
    let (baseline, bare) = ends.exchange(&straight, 5, whole);
    found.insert("without_relay".to_owned(), figures("no relay", &baseline, [0, 0], &baseline));
    let bare = bare as f64 / baseline.sent.max(1) as f64;
    if choice.subject("tandem") {
        let scratch = Scratch::new("bench-relay-tandem");
        let subject = Subject::start(Kind::TandemAnchored, scratch.path(), places, 2 * CALLS as u16 + 20, None);
        let mut calls = Endpoints::new(subject.address(), places.caller, places.callee, places.media);
        calls.run(CALLS, 50.0, None);
        let media = calls.media();
        assert_eq!(media.len(), CALLS, "calls are up: {:?}", calls.tally.complaint);
        let used = both_of(&ends, &media, subject.pid(), bare);
        found.insert("tandem".to_owned(), figures("tandem", &used.0, used.1, &baseline));
        calls.hang_up_all(100.0);
    }
    if choice.subject("peers") {
        let scratch = Scratch::new("bench-relay-rtpengine");
        let mut engine = start_rtpengine(scratch.path(), 4 * CALLS as u16 + 40);
        let media: Vec<_> = (0..CALLS).map(|call| engine.relay(call, places.media)).collect();
        let pid = engine.process.pid();
        let used = both_of(&ends, &media, pid, bare);
        found.insert("rtpengine".to_owned(), figures("rtpengine", &used.0, used.1, &baseline));
    }
    Value::Object(found)
}

/// CPU time of this process and all that it has started: on loopback it holds what the kernel does between two processes.
fn whole() -> u64 {
    cpu_ns(std::process::id())
}

/// The traffic through a relay, the CPU time of its process, and what all processes took beyond the `bare` nanoseconds a packet that
/// sending and receiving take alone.
fn both_of(ends: &Ends, media: &[[SocketAddr; 2]], pid: u32, bare: f64) -> (Traffic, [u64; 2]) {
    let all = std::cell::RefCell::new(Vec::new());
    let (traffic, own) = ends.exchange(&streams(media), SECONDS, || {
        all.borrow_mut().push(whole());
        cpu_ns(pid)
    });
    let taken = all.borrow().windows(2).map(|w| w[1] - w[0]).sum::<u64>();
    let beyond = taken as f64 - bare * traffic.sent as f64;
    (traffic, [own, beyond.max(0.0) as u64])
}

/// 1,000 calls relayed on one core.
pub fn crowd(choice: &Choice) -> Value {
    if !choice.subject("tandem") {
        return Value::Null;
    }
    let alone = cores() > 1;
    if alone {
        pin(0);
    }
    let (places, scratch) = (Places::free(), Scratch::new("bench-crowd-tandem"));
    let ends = Ends::bind(places.media);
    let core = if alone { "1" } else { "0" };
    let subject = Subject::start(Kind::TandemAnchored, scratch.path(), places, 2 * CROWD as u16 + 20, Some(core));
    let mut calls = Endpoints::new(subject.address(), places.caller, places.callee, places.media);
    calls.run(CROWD, 200.0, None);
    let media = calls.media();
    assert_eq!(media.len(), CROWD, "calls are up: {:?}", calls.tally.complaint);
    let (traffic, cpu) = ends.exchange(&streams(&media), SECONDS / 2, || cpu_ns(subject.pid()));
    let cpu_us = cpu as f64 / 1e3 / traffic.received.max(1) as f64;
    let lost = traffic.sent.saturating_sub(traffic.received);
    let p50 = traffic.quantile_ms(0.5);
    say("tandem", &format!("{cpu_us:.2} CPU-µs a packet; p50 {p50:.3} ms; {lost} of {} lost", traffic.sent));
    calls.hang_up_all(200.0);
    unpin();
    json!({ "tandem": { "calls": CROWD, "sent": traffic.sent, "lost": lost, "cpu_us_per_packet": round(cpu_us, 3),
                        "p50_ms": round(p50, 4) } })
}

pub fn start_rtpengine(folder: &Path, ports: u16) -> Rtpengine {
    let control = free_ports(2);
    let first = free_ports(ports);
    let threads = (cores() - 1).max(1) as u16;
    Rtpengine::start(folder, ([127, 0, 0, 1], control).into(), (first, first + ports - 1), threads)
}

fn figures(name: &str, traffic: &Traffic, cpu_ns: [u64; 2], baseline: &Traffic) -> Value {
    let [cpu_us, whole_us] = cpu_ns.map(|ns| ns as f64 / 1e3 / traffic.received.max(1) as f64);
    let (p50, p99) = (traffic.quantile_ms(0.5), traffic.quantile_ms(0.99));
    let added = p50 - baseline.quantile_ms(0.5);
    let lost = traffic.sent.saturating_sub(traffic.received);
    say(
        name,
        &format!(
            "{cpu_us:.2} CPU-µs a packet, {whole_us:.2} with the kernel's part elsewhere; p50 {p50:.3} ms (+{added:.3}), p99 {p99:.3} ms; {lost} of {} lost",
            traffic.sent
        ),
    );
    json!({ "calls": CALLS, "sent": traffic.sent, "lost": lost, "cpu_us_per_packet": round(cpu_us, 3),
            "whole_us_per_packet": round(whole_us, 3), "p50_ms": round(p50, 4), "p99_ms": round(p99, 4), "added_p50_ms": round(added, 4) })
}

/// RSS of 1,000 established relayed calls, ten times over.
pub fn memory(choice: &Choice) -> Value {
    let mut found = Map::new();
    let places = Places::free();
    let ends = Ends::bind(places.media);
    if choice.subject("tandem") {
        let scratch = Scratch::new("bench-memory-tandem");
        let subject = Subject::start(Kind::TandemAnchored, scratch.path(), places, 2 * MEMORY_CALLS as u16 + 100, None);
        let mut calls = Endpoints::new(subject.address(), places.caller, places.callee, places.media);
        let idle = rss_kb(subject.pid());
        let rounds = (0..ROUNDS).map(|_| {
            calls.clear();
            calls.run(MEMORY_CALLS, 200.0, None);
            let media = calls.media();
            assert_eq!(media.len(), MEMORY_CALLS, "calls are up: {:?}", calls.tally.complaint);
            ends.exchange(&streams(&media), 1, || 0);
            let full = rss_kb(subject.pid());
            calls.hang_up_all(200.0);
            full
        });
        found.insert("tandem".to_owned(), memory_figures("tandem", idle, rounds.collect()));
    }
    if choice.subject("peers") {
        let scratch = Scratch::new("bench-memory-rtpengine");
        let mut engine = start_rtpengine(scratch.path(), 4 * MEMORY_CALLS as u16 + 200);
        let pid = engine.process.pid();
        let idle = rss_kb(pid);
        let rounds = (0..ROUNDS).map(|turn| {
            let numbers = turn * MEMORY_CALLS..(turn + 1) * MEMORY_CALLS;
            let media: Vec<_> = numbers.clone().map(|call| engine.relay(call, places.media)).collect();
            ends.exchange(&streams(&media), 1, || 0);
            let full = rss_kb(pid);
            numbers.for_each(|call| engine.release(call));
            full
        });
        found.insert("rtpengine".to_owned(), memory_figures("rtpengine", idle, rounds.collect()));
    }
    Value::Object(found)
}

fn memory_figures(name: &str, idle_kb: u64, full_kb: Vec<u64>) -> Value {
    let per_call = |full: &u64| full.saturating_sub(idle_kb) as f64 / MEMORY_CALLS as f64;
    let all: Vec<Value> = full_kb.iter().map(|full| round(per_call(full), 2)).collect();
    let (first, last) = (full_kb.first().map_or(0.0, per_call), full_kb.last().map_or(0.0, per_call));
    say(name, &format!("{first:.1} kB a call in the first round, {last:.1} kB in the last; {idle_kb} kB idle"));
    json!({ "calls": MEMORY_CALLS, "idle_kb": idle_kb, "kb_per_call_by_round": all })
}
