//! The engine with its threads and sockets over loopback.

use crate::rig::{EVENTS, PCMA, PCMU, packet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tandem::base::time::Now;
use tandem::config::{Forwarding, MediaIo};
use tandem::event::Quality;
use tandem::media::command::{Command, Event, Family, Format, Hears, LegId, LegState, PlayId, Tone, Tones};
use tandem::rtp::packet::Header;
use tandem::shell::clock::Clock;
use tandem::shell::media::{MediaEngine, MediaSettings, Prompts};

/// Everything here happens within this time, or has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Bench {
    engine: MediaEngine,
    clock: Clock,
}

/// A loopback address that no other run of these tests on this machine has, so that its ports are free.
fn own_address() -> Ipv4Addr {
    let pid = std::process::id();
    Ipv4Addr::new(127, 1 + (pid >> 16) as u8 % 100, (pid >> 8) as u8, pid as u8)
}

struct Phone {
    socket: UdpSocket,
    leg: LegId,
    port: SocketAddr,
}

impl Bench {
    fn new(threads: usize, ports: (u16, u16), folder: PathBuf) -> Bench {
        let clock = Clock::new();
        let addresses = vec![IpAddr::V4(own_address()), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let country = "us".to_string();
        let settings = MediaSettings {
            addresses,
            external: None,
            ports,
            threads: Some(threads),
            io: MediaIo::Auto,
            forwarding: Forwarding::Auto,
            country,
            seed: 3,
        };
        let engine = MediaEngine::start(settings, Prompts::new(folder).unwrap(), clock).unwrap();
        Bench { engine, clock }
    }

    fn now(&self) -> Now {
        self.clock.now()
    }

    fn phone(&mut self, n: u64, group: u64, family: Family) -> Phone {
        let now = self.now();
        let opened = self.engine.execute(now, Command::Open { leg: LegId(n), group, family });
        let Some(Event::Opened { leg, rtp }) = opened else { panic!("{opened:?}") };
        assert_eq!(leg, LegId(n));
        let local = if family == Family::V4 { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(local).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Phone { socket, leg, port: rtp }
    }

    fn set(&mut self, phone: &Phone, format: Format, hears: Hears) {
        let state = LegState {
            opus: tandem::media::command::OpusWanted::default(),
            tap: None,
            listener: None,
            remote_rtp: Some(phone.socket.local_addr().unwrap()),
            remote_rtcp: None,
            send: Some(format),
            receive: vec![format],
            dtmf_send: Some(EVENTS),
            dtmf_receive: Some(EVENTS),
            dtmf_clock: 8_000,
            tones: Tones::Passed,
            ptime_ms: 20,
            sending: true,
            receiving: true,
            latch: true,
            hears,
            rtp_timeout: None,
            datagrams: false,
            srtp: None,
        };
        let now = self.now();
        assert_eq!(self.engine.execute(now, Command::Set { leg: phone.leg, state: Box::new(state) }), None);
    }

    fn event(&mut self) -> Event {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            self.engine.clear();
            if let Some(event) = self.engine.poll_event() {
                return event;
            }
            let mut fd = libc_poll(self.engine.event_fd());
            fd.wait(100);
        }
        panic!("no event came")
    }

    fn close(&mut self, leg: LegId) -> Quality {
        let now = self.now();
        assert_eq!(self.engine.execute(now, Command::Close { leg }), None);
        loop {
            match self.event() {
                Event::Closed { leg: closed, quality } if closed == leg => return *quality,
                _ => {}
            }
        }
    }
}

struct Poll(tandem::shell::net::Epoll);

fn libc_poll(fd: i32) -> Poll {
    let epoll = tandem::shell::net::Epoll::new(1).unwrap();
    epoll.add(fd, 0).unwrap();
    Poll(epoll)
}

impl Poll {
    fn wait(&mut self, ms: u64) {
        self.0.wait(Some(Duration::from_millis(ms))).unwrap();
    }
}

impl Phone {
    fn say(&self, format: Format, n: u16, payload: &[u8]) {
        let bytes = packet(format.payload_type, n, u32::from(n) * 160, 0xabcd, payload);
        self.socket.send_to(&bytes, self.port).unwrap();
    }

    fn hear(&self) -> (Header, Vec<u8>, SocketAddr) {
        let mut buffer = [0; 2_048];
        loop {
            let (len, from) = match self.socket.recv_from(&mut buffer) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                received => received.expect("a packet within the patience"),
            };
            if let Ok(header) = Header::parse(&buffer[..len]) {
                return (header, header.payload(&buffer[..len]).to_vec(), from);
            }
        }
    }
}

#[test]
fn two_phones_hear_each_other_over_both_families() {
    for (family, ports) in [(Family::V4, (41_000, 41_019)), (Family::V6, (41_020, 41_039))] {
        let mut bench = Bench::new(1, ports, PathBuf::new());
        let (a, b) = (bench.phone(1, 1, family), bench.phone(2, 1, family));
        bench.set(&a, PCMU, Hears::Leg(LegId(2)));
        bench.set(&b, PCMA, Hears::Leg(LegId(1)));
        for n in 0..50u16 {
            a.say(PCMU, n, &[n as u8; 160]);
            let (header, payload, from) = b.hear();
            assert_eq!((header.payload_type, from), (8, b.port));
            assert!(payload.iter().all(|c| *c == codecs::g711::ulaw_to_alaw(n as u8)) && payload.len() == 160);
            b.say(PCMA, n, &[n as u8; 160]);
            assert_eq!(a.hear().1, [codecs::g711::alaw_to_ulaw(n as u8); 160]);
        }
        let quality = bench.close(LegId(1));
        assert_eq!((quality.packets_received, quality.packets_sent, quality.packets_lost), (50, 50, 0));
        assert!(quality.mos.is_some_and(|m| m > 4.0), "{quality:?}");
        bench.close(LegId(2));
        bench.engine.shutdown();
        let stats = bench.engine.stats();
        assert_eq!((stats.packets_relayed, stats.legs, stats.packets_unsent, stats.events_dropped), (100, 0, 0, 0));
        assert_eq!((stats.ports_bound, stats.ports_resting), (2, 2));
    }
}

#[test]
fn prompts_and_tones_sound_echo_answers_and_ends_are_told() {
    let folder = std::env::temp_dir().join(format!("tandem-engine-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let samples: Vec<i16> = (0..800).map(|n| n * 20).collect();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(folder.join("ramp.wav"), spec).unwrap();
    samples.iter().for_each(|s| writer.write_sample(*s).unwrap());
    writer.finalize().unwrap();

    let mut bench = Bench::new(2, (41_100, 41_139), folder.clone());
    let a = bench.phone(1, 1, Family::V4);
    // Twice: the first time the prompt is read by the loader.
    for round in 1..=2 {
        bench.set(&a, PCMU, Hears::Play { id: PlayId(round), file: "ramp.wav".into(), loops: 1 });
        assert_eq!(bench.event(), Event::PlayEnded { leg: a.leg, id: PlayId(round), played: true });
        let mut heard = Vec::new();
        for _ in 0..5 {
            heard.extend(a.hear().1);
        }
        let expected: Vec<u8> = samples.iter().map(|s| codecs::g711::ulaw_encode(*s)).collect();
        assert!(heard == expected, "round {round}");
    }
    bench.set(&a, PCMU, Hears::Play { id: PlayId(3), file: "none.wav".into(), loops: 1 });
    assert_eq!(bench.event(), Event::PlayEnded { leg: a.leg, id: PlayId(3), played: false });
    let duration = Some(Duration::from_millis(100));
    bench.set(&a, PCMU, Hears::Tone { id: PlayId(4), tone: Tone::Dial, country: "us".into(), duration });
    assert!(a.hear().1.iter().any(|c| *c != 0xff));
    assert_eq!(bench.event(), Event::PlayEnded { leg: a.leg, id: PlayId(4), played: true });

    let b = bench.phone(2, 2, Family::V4);
    bench.set(&b, PCMU, Hears::Echo);
    b.say(PCMU, 1, &[9; 160]);
    assert_eq!(b.hear().1, [9; 160]);
    let source = b.socket.local_addr().unwrap();
    assert_eq!(bench.event(), Event::Latched { leg: b.leg, source });
    bench.engine.shutdown();
    assert!(bench.engine.stats().ticks >= 15);
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn ports_run_out_and_come_back_and_no_leg_is_closed_without_a_word() {
    let mut bench = Bench::new(1, (41_200, 41_203), PathBuf::new());
    let (now, family) = (bench.now(), Family::V4);
    let mut open = |n: u64| bench.engine.execute(now, Command::Open { leg: LegId(n), group: n, family });
    assert!(matches!(open(1), Some(Event::Opened { .. })));
    assert!(matches!(open(2), Some(Event::Opened { .. })));
    assert_eq!(open(3), Some(Event::OpenFailed { leg: LegId(3), why: "no media port is free" }));
    let closed = bench.engine.execute(now, Command::Close { leg: LegId(3) });
    assert_eq!(closed, Some(Event::Closed { leg: LegId(3), quality: Box::default() }));
    for n in 10..40 {
        bench.close(if n == 10 { LegId(1) } else { LegId(n - 1) });
        let opened = bench.engine.execute(now, Command::Open { leg: LegId(n), group: n, family });
        assert!(matches!(opened, Some(Event::Opened { .. })), "{n}");
    }
    assert_eq!(bench.engine.stats().ports_bound, 2);
}
