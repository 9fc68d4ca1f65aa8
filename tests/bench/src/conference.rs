//! One conference in which everybody speaks: CPU a member and second, and how long sound takes through it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use interop::scratch::Scratch;
use interop::sound::pcmu_encode;
use interop::tandem::{Setup, Tandem};
use serde_json::{Map, Value, json};

use crate::endpoints::Endpoints;
use crate::signalling::round;
use crate::socket::{Socket, let_gather, monotonic_ns, now_ns, sleep_exactly, sleep_until_ns, thread_cpu_ns};
use crate::subject::Places;
use crate::usage::{cores, cpu_ns, pin, unpin};
use crate::{Choice, say};

const SECONDS: u64 = 10;
const FLOOR_SECONDS: u64 = 4;
const FRAME_NS: u64 = 20_000_000;
/// Bytes of RTP: header and 20 ms of G.711.
const LENGTH: usize = 172;
/// Every half second a member says a frame of loud sound, whose way is timed: each time another one, since how long a member's
/// packets wait for the mixing depends on when it sends.
const BURST_FRAMES: u64 = 25;
const BURSTS: u64 = SECONDS * 50 / BURST_FRAMES;
const DIALPLAN: &str = "contexts:\n  in:\n    - match: { to: /^\\d+$/ }\n      \
                        do: [ { conference: { name: all, beep: false, max_participants: 1000 } } ]\n";

/// 50 members, then 1,000, each time on one core.
pub fn conference(choice: &Choice) -> Value {
    if !choice.subject("tandem") {
        return Value::Null;
    }
    let mut found = Map::new();
    for members in [50, 1_000] {
        found.insert(members.to_string(), measure(members));
    }
    json!({ "tandem": found })
}

fn measure(members: usize) -> Value {
    let (scratch, places) = (Scratch::new("bench-conference-tandem"), Places::free());
    let alone = cores() > 1;
    let trunks =
        format!("  - {{ name: near, targets: [\"sip:{}\"], inbound: [127.0.0.2/32], context: in }}\n", places.caller);
    let setup = Setup {
        trunks: &trunks,
        dialplan: DIALPLAN,
        pairs: members as u16 + 20,
        cores: alone.then_some("1"),
        program: Some("target/release/tandem"),
        ..Setup::default()
    };
    if alone {
        pin(0);
    }
    let tandem = Tandem::start(scratch.path(), &setup);
    let socket = Socket::bind(places.media[0]).unwrap_or_else(|e| panic!("{}: {e}", places.media[0]));
    let mut calls = Endpoints::new(tandem.sip(), places.caller, places.callee, places.media);
    calls.run(members, 100.0, None);
    let targets = calls.near_media();
    assert_eq!(targets.len(), members, "members are in: {:?}", calls.tally.complaint);
    let stop = AtomicBool::new(false);
    let (heard, bursts, cpu) = thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(&socket, &stop));
        sleep_exactly();
        // The first two seconds settle: addresses, delays, gates.
        let (mut frame, mut bursts) = (0, Vec::new());
        send(&socket, &targets, 100, &mut frame, &mut bursts);
        bursts.clear();
        let before = cpu_ns(tandem.process.pid());
        send(&socket, &targets, SECONDS * 50, &mut frame, &mut bursts);
        let cpu = cpu_ns(tandem.process.pid()) - before;
        stop.store(true, Ordering::Relaxed);
        (receiver.join().expect("the receiver does not panic"), bursts, cpu)
    });
    let late = tandem.metric("tandem_media_ticks_late_total");
    calls.hang_up_all(200.0);
    drop(tandem);
    let found = figures(members, &heard, &bursts, cpu, late, floor(members, &socket, alone));
    unpin();
    found
}

/// What the system calls alone take, in CPU-ms a member-second: one receive and one send a member each 20 ms, on sockets connected to it.
/// This machine's speed differs by half from one hour to the next: what is told beside it is of the same minute.
fn floor(members: usize, socket: &Socket, alone: bool) -> f64 {
    let peer = socket.address();
    let open = |_| {
        let own = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 3), 0)).expect("a port is free");
        own.connect(peer).expect("its address is known");
        own.set_nonblocking(true).expect("a socket may be told so");
        own
    };
    let sockets: Vec<UdpSocket> = (0..members).map(open).collect();
    let targets: Vec<SocketAddr> = sockets.iter().map(|s| s.local_addr().expect("it is bound")).collect();
    let (stop, frames) = (AtomicBool::new(false), FLOOR_SECONDS * 50);
    let spent = thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(socket, &stop));
        let mixer = scope.spawn(|| {
            pin(usize::from(alone));
            echo(&sockets, frames)
        });
        send(socket, &targets, frames, &mut 0, &mut Vec::new());
        let spent = mixer.join().expect("it does not panic");
        stop.store(true, Ordering::Relaxed);
        receiver.join().expect("the receiver does not panic");
        spent
    });
    spent as f64 / 1e6 / (members as u64 * FLOOR_SECONDS) as f64
}

/// Takes what each socket has and sends as much back, once in 20 ms; the thread's CPU in nanoseconds.
fn echo(sockets: &[UdpSocket], frames: u64) -> u64 {
    sleep_exactly();
    let (begin, before, mut buffer) = (monotonic_ns(), thread_cpu_ns(), [0; 2048]);
    for frame in 1..=frames {
        sleep_until_ns(begin + frame * FRAME_NS);
        for socket in sockets {
            let length = socket.recv(&mut buffer).unwrap_or(LENGTH);
            // What finds no room is missed by nobody.
            let _ = socket.send(&buffer[..length]);
        }
    }
    thread_cpu_ns() - before
}

/// A packet that came: where from, when, and where in it loud sound begins.
type Heard = (u16, u64, Option<usize>);

fn figures(members: usize, heard: &[Heard], bursts: &[u64], cpu_ns: u64, late: Option<f64>, floor_ms: f64) -> Value {
    let mut latencies = Vec::new();
    let mut told: HashMap<u16, usize> = HashMap::new();
    for (from, at, loud) in heard {
        let burst = bursts.partition_point(|sent| sent < at);
        // A burst may end in the packet after the one in which it begins.
        if let (Some(sample), true) = (loud, burst > 0 && told.get(from) != Some(&burst)) {
            told.insert(*from, burst);
            latencies.push((at - bursts[burst - 1]) as f64 / 1e6 + *sample as f64 / 8.0);
        }
    }
    latencies.sort_by(f64::total_cmp);
    let quantile = |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    let (p50, p99) = (quantile(0.5), quantile(0.99));
    let cpu_ms = cpu_ns as f64 / 1e6 / (members as u64 * SECONDS) as f64;
    let begin = bursts.first().copied().unwrap_or(0);
    let received = heard.iter().filter(|(_, at, _)| (begin..begin + SECONDS * 1_000_000_000).contains(at)).count();
    let expected = members as u64 * 50 * SECONDS;
    let share = 100.0 * received as f64 / expected as f64;
    say(
        "tandem",
        &format!(
            "{members} members: {cpu_ms:.4} CPU-ms a member-second ({:.2} times the bare system calls' {floor_ms:.4}); in to out p50 {p50:.1} ms, p99 {p99:.1} ms \
             ({} heard); {share:.2} % of the packets came, late {late:?}",
            cpu_ms / floor_ms,
            latencies.len()
        ),
    );
    json!({ "cpu_ms_per_member_second": round(cpu_ms, 4), "floor_cpu_ms": round(floor_ms, 4), "latency_p50_ms": round(p50, 2), "latency_p99_ms": round(p99, 2),
            "bursts_heard": latencies.len(), "received": received, "expected": expected, "ticks_late": late })
}

/// Every member says so many frames, evenly spread over each 20 ms: noise; the bursts of one or another are noted.
fn send(socket: &Socket, targets: &[SocketAddr], frames: u64, number: &mut u64, bursts: &mut Vec<u64>) {
    let (noise, loud) = sounds();
    let begin = monotonic_ns() + 1_000_000;
    let space = FRAME_NS / targets.len() as u64;
    let mut packet = [0u8; LENGTH];
    for frame in 0..frames {
        let loudest = (frame / BURST_FRAMES % BURSTS) as usize * targets.len() / BURSTS as usize;
        packet[..2].copy_from_slice(&[0x80, 0]);
        packet[2..4].copy_from_slice(&(*number as u16).to_be_bytes());
        packet[4..8].copy_from_slice(&(*number as u32 * 160).to_be_bytes());
        for (index, target) in targets.iter().enumerate() {
            sleep_until_ns(begin + frame * FRAME_NS + index as u64 * space);
            packet[8..12].copy_from_slice(&(0x1000 + index as u32).to_be_bytes());
            let burst = index == loudest && frame % BURST_FRAMES == 0;
            let sound = if burst { &loud } else { &noise[(index + *number as usize * 7) % noise.len()] };
            packet[12..].copy_from_slice(sound);
            if burst {
                bursts.push(now_ns());
            }
            socket.send(&packet, *target);
        }
        *number += 1;
    }
}

/// Frames of faint noise, and one of loud sound.
fn sounds() -> (Vec<[u8; 160]>, [u8; 160]) {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        pcmu_encode((state >> 16) as i16 / 160)
    };
    let frames = (0..61).map(|_| std::array::from_fn(|_| noise())).collect();
    (frames, std::array::from_fn(|n| pcmu_encode(if n / 4 % 2 == 0 { 20_000 } else { -20_000 })))
}

fn receive(socket: &Socket, stop: &AtomicBool) -> Vec<Heard> {
    let (mut heard, mut buffer) = (Vec::with_capacity(1 << 20), [0; 2048]);
    while !stop.load(Ordering::Relaxed) {
        let_gather();
        while let Some((length, from, stamp)) = socket.receive(&mut buffer) {
            if length == LENGTH && buffer[1] & 0x7f == 0 {
                // The upper two segments of µ-law: 8,000 and more.
                let loud = buffer[12..LENGTH].iter().position(|byte| byte & 0x7f < 0x20);
                heard.push((from.port(), stamp, loud));
            }
        }
    }
    heard
}
