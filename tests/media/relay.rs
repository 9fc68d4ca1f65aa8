//! What the relay costs: calls over loopback, both ways at 50 packets a second, RTP and sockets for each phone.
//!
//! Run it by hand on a quiet machine: `RELAY_CALLS=300 cargo test --release --test media -- --ignored --nocapture relay_costs`.
//! It prints CPU per relayed packet of the media thread, the latency that it adds and what was lost. RSS per call too.

use crate::rig::{PCMU, packet, state};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tandem::media::command::{Command, Event, Family, Hears, LegId};
use tandem::shell::clock::Clock;
use tandem::shell::media::{MediaEngine, MediaSettings, Prompts};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// User and system time of the threads whose name begins with `prefix`, in seconds.
fn cpu_of_threads(prefix: &str) -> f64 {
    let mut ticks = 0u64;
    for entry in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("schedstat")) else { continue };
        let Ok(name) = std::fs::read_to_string(entry.path().join("comm")) else { continue };
        if name.starts_with(prefix) {
            ticks += stat.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    ticks as f64 / 1e9
}

fn rss_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

struct Phone {
    socket: UdpSocket,
    port: SocketAddr,
}

#[test]
#[ignore = "a measurement"]
fn relay_costs() {
    let (calls, seconds) = (setting("RELAY_CALLS", 300), setting("RELAY_SECONDS", 10));
    let clock = Clock::new();
    let settings = MediaSettings {
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        external: None,
        ports: (42_000, 49_999),
        io: Default::default(),
        forwarding: Default::default(),
        threads: Some(setting("RELAY_THREADS", 1) as usize),
        country: "us".into(),
        seed: 1,
    };
    let mut engine = MediaEngine::start(settings, Prompts::new(PathBuf::new()).unwrap(), clock).unwrap();
    let phones: Vec<UdpSocket> = (0..calls * 2).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let before_kb = rss_kb();
    let mut ends = Vec::new();
    for (n, socket) in (0u64..).zip(phones) {
        let open = Command::Open { leg: LegId(n), group: n / 2, family: Family::V4 };
        let Some(Event::Opened { rtp, .. }) = engine.execute(clock.now(), open) else { panic!("no port") };
        socket.set_nonblocking(true).unwrap();
        let mut state = state(0, PCMU, Hears::Leg(LegId(n ^ 1)));
        state.remote_rtp = Some(socket.local_addr().unwrap());
        engine.execute(clock.now(), Command::Set { leg: LegId(n), state: Box::new(state) });
        ends.push(Phone { socket, port: rtp });
    }
    exchange(&ends, 50, 1, &mut engine);
    let per_call_kb = (rss_kb() - before_kb) as f64 / calls as f64;
    let (cpu, relayed) = (cpu_of_threads("media-"), engine.stats().packets_relayed);
    let (sent, mut latencies_us) = exchange(&ends, 50 * seconds, 2, &mut engine);
    let cpu_us = (cpu_of_threads("media-") - cpu) * 1e6;
    std::thread::sleep(Duration::from_millis(50));
    let relayed = engine.stats().packets_relayed - relayed;
    latencies_us.sort_unstable();
    let at = |per_mille: usize| latencies_us.get(latencies_us.len() * per_mille / 1_000).copied().unwrap_or(0);
    let lost = sent - latencies_us.len() as u64;
    println!(
        "{calls} calls: {:.2} us CPU a packet, latency p50 {} us p99 {} us, {relayed} of {sent} relayed, {lost} lost, {per_call_kb:.1} kB a call, {:?}",
        cpu_us / relayed as f64,
        at(500),
        at(990),
        engine.stats()
    );
    assert_eq!(relayed, sent);
}

/// Each phone says `packets` packets, spread over each 20 ms; what came is timed by the time that it carries.
fn exchange(ends: &[Phone], packets: u64, run: u32, engine: &mut MediaEngine) -> (u64, Vec<u32>) {
    let begin = Instant::now();
    let (mut sent, mut latencies) = (0u64, Vec::new());
    let mut buffer = [0u8; 2_048];
    let mut epoll = tandem::shell::net::Epoll::new(256).unwrap();
    for (n, end) in ends.iter().enumerate() {
        epoll.add(end.socket.as_raw_fd(), n as u64).unwrap();
    }
    let period_us = 20_000.0 / ends.len() as f64;
    let total = packets * ends.len() as u64;
    let mut quiet = Instant::now();
    while sent < total || quiet.elapsed() < Duration::from_millis(100) {
        while sent < total && begin.elapsed().as_micros() as f64 >= sent as f64 * period_us {
            let (end, n) = (&ends[(sent % ends.len() as u64) as usize], sent / ends.len() as u64);
            let mut payload = [0u8; 160];
            payload[..8].copy_from_slice(&(begin.elapsed().as_nanos() as u64).to_be_bytes());
            let bytes = packet(0, n as u16, n as u32 * 160, run, &payload);
            end.socket.send_to(&bytes, end.port).unwrap();
            sent += 1;
            quiet = Instant::now();
        }
        epoll.wait(Some(Duration::from_micros(50))).unwrap();
        for ready in (0..epoll.len()).filter_map(|i| epoll.get(i)) {
            while let Ok(len) = ends[ready.token as usize].socket.recv(&mut buffer) {
                if len == 172 {
                    let at = u64::from_be_bytes(buffer[12..20].try_into().unwrap());
                    latencies.push(((begin.elapsed().as_nanos() as u64 - at) / 1_000) as u32);
                }
            }
        }
        while engine.poll_event().is_some() {}
    }
    (sent, latencies)
}

#[test]
#[ignore = "a measurement"]
fn parsing_costs() {
    let packets: Vec<Vec<u8>> = (0..1_024u16).map(|n| packet(0, n, u32::from(n) * 160, 7, &[0x55; 160])).collect();
    let (rounds, begin, mut sum) = (20_000u64, Instant::now(), 0u64);
    for _ in 0..rounds {
        for bytes in &packets {
            let header = tandem::rtp::packet::Header::parse(std::hint::black_box(bytes)).unwrap();
            sum = sum.wrapping_add(u64::from(header.sequence) + header.payload(bytes).len() as u64);
        }
    }
    let ns = begin.elapsed().as_nanos() as f64 / (rounds * packets.len() as u64) as f64;
    println!("parsing a header: {ns:.1} ns ({sum})");
}
