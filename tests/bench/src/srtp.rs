//! SRTP: what protecting a packet costs by itself, and what it adds to a relayed packet's CPU.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use interop::scratch::Scratch;
use interop::tandem::{Setup, Tandem};
use serde_json::{Map, Value, json};
use tandem::rtp::srtp::{KeySource, Keys, Master, OVERHEAD_MAX, Session, Suite};

use crate::endpoints::Endpoints;
use crate::message::sdp;
use crate::signalling::round;
use crate::socket::{Socket, let_gather, monotonic_ns, sleep_exactly, sleep_until_ns};
use crate::subject::Places;
use crate::usage::cpu_ns;
use crate::{Choice, say};

/// Bytes of RTP: header and 20 ms of G.711.
const LENGTH: usize = 172;
const TAG: usize = 10;
const FRAME_NS: u64 = 20_000_000;
const CALLS: usize = 300;
const SECONDS: u64 = 6;
/// Plain and protected by turns, so that what else the machine does meets both.
const ROUNDS: usize = 5;
/// Packets of one measurement of the transform alone: short, so that the best of many has had the core for itself.
const PACKETS: usize = 200;
const TRIES: usize = 2_000;
/// Key and salt of both endpoints, `A` in Base64.
const KEY: [u8; 30] = [0; 30];
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";

pub fn srtp(choice: &Choice) -> Value {
    let mut found = Map::new();
    for suite in Suite::ALL {
        let [seal, open] = transform_ns(suite);
        say(suite.name(), &format!("{seal:.0} ns to protect {LENGTH} bytes, {open:.0} ns to unprotect them"));
        found.insert(suite.name().to_owned(), json!({ "protect_ns": round(seal, 1), "unprotect_ns": round(open, 1) }));
    }
    if choice.subject("tandem") {
        found.insert("relay".to_owned(), relay());
    }
    Value::Object(found)
}

/// Nanoseconds to protect and to unprotect one packet.
fn transform_ns(suite: Suite) -> [f64; 2] {
    let mut source = KeySource::new([1; 32]);
    let (a, b) = (Master::generate(suite, &mut source), Master::generate(suite, &mut source));
    let mut best = [f64::MAX; 2];
    for _ in 0..TRIES {
        let mut near = Session::new(Keys { send: a.clone(), receive: b.clone() });
        let mut far = Session::new(Keys { send: b.clone(), receive: a.clone() });
        let mut packets: Vec<[u8; LENGTH + OVERHEAD_MAX]> = (0..PACKETS).map(|n| plain(n as u32, 7)).collect();
        let begin = Instant::now();
        let mut length = 0;
        for packet in &mut packets {
            length = near.protect_rtp(black_box(packet), LENGTH).expect("room for the tag");
        }
        best[0] = best[0].min(begin.elapsed().as_nanos() as f64 / PACKETS as f64);
        let begin = Instant::now();
        for packet in &mut packets {
            let taken = far.unprotect_rtp(black_box(&mut packet[..length]));
            assert_eq!(taken, Ok(LENGTH));
        }
        best[1] = best[1].min(begin.elapsed().as_nanos() as f64 / PACKETS as f64);
    }
    best
}

fn plain(number: u32, ssrc: u32) -> [u8; LENGTH + OVERHEAD_MAX] {
    let mut packet = [0xff; LENGTH + OVERHEAD_MAX];
    packet[..2].copy_from_slice(&[0x80, 0]);
    packet[2..4].copy_from_slice(&(number as u16).to_be_bytes());
    packet[4..8].copy_from_slice(&(number.wrapping_mul(160)).to_be_bytes());
    packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
    packet
}

fn with_key(media: SocketAddr, tag: usize) -> String {
    let line = format!("a=crypto:{tag} {SUITE} inline:{}\r\n", "A".repeat(40));
    sdp(media).replace("RTP/AVP", "RTP/SAVP") + &line
}

fn offers(media: SocketAddr) -> String {
    with_key(media, 1)
}

/// By the tag that the suite has in our offers.
fn answers(media: SocketAddr) -> String {
    with_key(media, 1 + Suite::ALL.iter().position(|s| s.name() == SUITE).expect("one of ours"))
}

/// 300 calls with G.711, plain on both sides and protected on both under keys of their own, by turns.
fn relay() -> Value {
    let mut spent: [Vec<f64>; 2] = Default::default();
    for _ in 0..ROUNDS {
        for secure in [false, true] {
            spent[usize::from(secure)].push(relayed_us(secure));
        }
    }
    let [plain, secure] = spent.map(|mut figures| {
        figures.sort_by(f64::total_cmp);
        figures[ROUNDS / 2]
    });
    say(
        "tandem",
        &format!("{plain:.2} CPU-µs a packet plain, {secure:.2} with SRTP on both sides: × {:.2}", secure / plain),
    );
    json!({ "calls": CALLS, "plain_cpu_us_per_packet": round(plain, 3), "srtp_cpu_us_per_packet": round(secure, 3),
            "ratio": round(secure / plain, 3) })
}

/// CPU of one relayed packet, in microseconds.
fn relayed_us(secure: bool) -> f64 {
    let scratch = Scratch::new("bench-srtp-tandem");
    let places = Places::free();
    let srtp = if secure { "required" } else { "off" };
    let trunks = format!(
        "  - {{ name: near, targets: [\"sip:{}\"], inbound: [127.0.0.2/32], context: in, srtp: {srtp} }}\n  \
         - {{ name: far, targets: [\"sip:{}\"], inbound: [127.0.0.3/32], context: in, srtp: {srtp} }}\n",
        places.caller, places.callee
    );
    let setup = Setup {
        trunks: &trunks,
        dialplan: "contexts:\n  in:\n    - match: { to: /^\\d+$/ }\n      do: [ { dial: { number: \"${to}\", trunks: [far] } } ]\n",
        pairs: 2 * CALLS as u16 + 20,
        program: Some("target/release/tandem"),
        // The kernel's relay is of what is plain only.
        forwarding: Some("threads"),
        ..Setup::default()
    };
    let tandem = Tandem::start(scratch.path(), &setup);
    let sockets = places.media.map(|a| Socket::bind(a).unwrap_or_else(|e| panic!("{a}: {e}")));
    let mut calls = Endpoints::new(tandem.sip(), places.caller, places.callee, places.media);
    if secure {
        calls.describes = [offers, answers];
    }
    calls.run(CALLS, 50.0, None);
    let media = calls.media();
    assert_eq!(media.len(), CALLS, "calls are up: {:?}", calls.tally.complaint);
    let pid = tandem.process.pid();
    let (counted, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let wanted = if secure { LENGTH + TAG } else { LENGTH };
    let (received, cpu) = thread::scope(|scope| {
        let receiver = scope.spawn(|| count(&sockets, wanted, &counted, &stop));
        let mut peers = peers(&media, secure);
        send(&sockets, &mut peers, 0..50);
        counted.store(true, Ordering::Relaxed);
        let before = cpu_ns(pid);
        send(&sockets, &mut peers, 50..50 * (SECONDS as u32 + 1));
        let cpu = cpu_ns(pid) - before;
        stop.store(true, Ordering::Relaxed);
        (receiver.join().expect("the receiver does not panic"), cpu)
    });
    let sent = 2 * CALLS as u64 * 50 * SECONDS;
    assert!(received * 100 >= sent * 99, "{received} of {sent} came through");
    calls.hang_up_all(100.0);
    cpu as f64 / 1e3 / received as f64
}

/// One direction of a call.
struct Peer {
    side: usize,
    target: SocketAddr,
    session: Option<Session>,
}

fn peers(media: &[[SocketAddr; 2]], secure: bool) -> Vec<Peer> {
    let suite = Suite::from_name(SUITE).expect("one of ours");
    let session = || {
        let master = Master::new(suite, &KEY, &[]).expect("a key of its length");
        Session::new(Keys { send: master.clone(), receive: master })
    };
    let both =
        |ends: &[SocketAddr; 2]| [0, 1].map(|side| Peer { side, target: ends[side], session: secure.then(session) });
    media.iter().flat_map(both).collect()
}

fn send(sockets: &[Socket; 2], peers: &mut [Peer], frames: std::ops::Range<u32>) {
    sleep_exactly();
    let begin = monotonic_ns() + 1_000_000;
    let space = FRAME_NS / peers.len() as u64;
    let first = frames.start;
    for frame in frames {
        for (index, peer) in peers.iter_mut().enumerate() {
            let mut packet = plain(frame, 0x1000 + index as u32);
            let sealed = peer.session.as_mut().map(|s| s.protect_rtp(&mut packet, LENGTH).expect("room for the tag"));
            sleep_until_ns(begin + u64::from(frame - first) * FRAME_NS + index as u64 * space);
            sockets[peer.side].send(&packet[..sealed.unwrap_or(LENGTH)], peer.target);
        }
    }
}

fn count(sockets: &[Socket; 2], wanted: usize, counted: &AtomicBool, stop: &AtomicBool) -> u64 {
    let (mut received, mut buffer) = (0, [0; 2048]);
    while !stop.load(Ordering::Relaxed) {
        let_gather();
        for socket in sockets {
            while let Some((length, ..)) = socket.receive(&mut buffer) {
                received += u64::from(length == wanted && buffer[1] & 0x7f == 0 && counted.load(Ordering::Relaxed));
            }
        }
    }
    received
}
