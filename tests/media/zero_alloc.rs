//! A shard's thread allocates and frees nothing while its calls go on.

use crate::counting;
use crate::rig::{PCMA, PCMU, keys, packet, peer, state};
use crate::transcode::{G722, OPUS};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tandem::base::time::{Instant, Now, Wall};
use tandem::media::command::{Event, Format, Hears, LegId, LegState, PlayId, Tone};
use tandem::media::leg::Setting;
use tandem::media::player::{Player, Prompt};
use tandem::media::shard::{Order, Shard, Sink, Socket};
use tandem::rtp::packet::Fields;
use tandem::rtp::srtp::{OVERHEAD_MAX, Session, Suite};
use tandem::shell::media::io::Outbox;

/// Queues packets as the thread does, and drops events, of which steady calls have none.
#[derive(Default)]
struct Out {
    outbox: Outbox,
    packets: usize,
    events: usize,
}

impl Sink for Out {
    fn rtp(&mut self, port: u32, to: std::net::SocketAddr, packet: &[u8]) {
        self.packets += 1;
        self.outbox.push(port, Socket::Rtp, to, packet);
    }
    fn rtcp(&mut self, port: u32, to: std::net::SocketAddr, packet: &[u8]) {
        self.packets += 1;
        self.outbox.push(port, Socket::Rtcp, to, packet);
    }
    fn event(&mut self, _: Event) {
        self.events += 1;
    }
    fn spent(&mut self, setting: Box<Setting>) {
        drop(setting);
    }
}

const RELAYED: u64 = 100;
const PLAYING: u64 = 10;
const ECHOING: u64 = 10;
const SOUNDING: u64 = 5;
/// Calls between G.711 and G.722 or Opus, and a prompt to each of the two.
const TRANSCODED: u64 = 10;
const LEGS: u64 = RELAYED + PLAYING + ECHOING + SOUNDING + TRANSCODED;
/// A packet of 20 ms of silence, as Opus has it.
const OPUS_SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

/// The format of a leg.
fn format_of(leg: u64) -> Format {
    match leg {
        125 | 129 | 133 => OPUS,
        127 | 131 | 134 => G722,
        _ if leg % 4 == 1 => PCMA,
        _ => PCMU,
    }
}

struct Bench {
    shard: Shard,
    out: Out,
    now: Instant,
    /// SRTP of the peers that have it: a third of those relayed and all that hear an echo.
    phones: Vec<Option<Session>>,
}

impl Bench {
    /// 50 calls relayed, half of them transcoded, a third with SRTP; 10 prompts for ever, 10 echoes, 5 tones.
    fn new() -> Bench {
        let now = Instant::from_micros(1_000_000);
        let shard = Shard::new(Now { mono: now, wall: Wall(0) }, 1);
        let mut bench = Bench { shard, out: Out::default(), now, phones: Vec::new() };
        let prompt = Arc::new(Prompt { samples: (0..3_001).collect() });
        for n in 0..LEGS {
            let (hears, player) = if n < RELAYED {
                (Hears::Leg(LegId(n ^ 1)), Player::default())
            } else if n < RELAYED + PLAYING {
                let hears = Hears::Play { id: PlayId(n), file: "a.wav".into(), loops: 0 };
                (hears, Player::prompt(prompt.clone(), 0))
            } else if n < RELAYED + PLAYING + ECHOING {
                (Hears::Echo, Player::default())
            } else if (LEGS - TRANSCODED..LEGS - 2).contains(&n) {
                (Hears::Leg(LegId(((n - 1) ^ 1) + 1)), Player::default())
            } else if n >= LEGS - 2 {
                let hears = Hears::Play { id: PlayId(n), file: "a.wav".into(), loops: 0 };
                (hears, Player::prompt(prompt.clone(), 0))
            } else {
                let hears = Hears::Tone { id: PlayId(n), tone: Tone::Ringback, country: "us".into(), duration: None };
                (hears, Player::tone(&codecs::tone::by_name("us", "ringback").unwrap(), None))
            };
            let mut state = state(n as u16, format_of(n), hears);
            let secure = n < RELAYED && n % 3 == 0 || state.hears == Hears::Echo;
            let (ours, theirs) = keys(Suite::ALL[n as usize % 6]);
            state.srtp = secure.then(|| Box::new(ours));
            bench.phones.push(secure.then(|| Session::new(theirs)));
            bench.open(n, state, player);
        }
        bench
    }

    fn open(&mut self, n: u64, state: LegState, player: Player) {
        let open = Order::Open { leg: LegId(n), port: n as u32, setting: Box::default(), account: Box::default() };
        self.shard.order(self.now, open, &mut self.out);
        let setting = Box::new(Setting::new(state, player));
        self.shard.order(self.now, Order::Set { leg: LegId(n), setting }, &mut self.out);
    }

    /// A tick of 20 ms: every peer says a packet, protected where its leg is; every step is run at its time.
    fn tick(&mut self, n: u32, buffer: &[u8; 172]) {
        for leg in 0..LEGS {
            let source = peer(leg as u16);
            let format = format_of(leg);
            let mut room = [0; 172 + OVERHEAD_MAX];
            let len = if format == OPUS { 15 } else { 172 };
            write(&mut room, format, n, leg as u32);
            if format == OPUS {
                room[12..15].copy_from_slice(&OPUS_SILENCE);
            } else {
                room[12..172].copy_from_slice(&buffer[12..]);
            }
            let phone = self.phones.get_mut(leg as usize).and_then(Option::as_mut);
            let len = phone.map_or(len, |p| p.protect_rtp(&mut room, len).unwrap());
            self.shard.packet(self.now, (leg as u32, Socket::Rtp), source, &mut room[..len], &mut self.out);
            self.out.outbox.clear();
        }
        for _ in 0..4 {
            self.now += std::time::Duration::from_millis(5);
            self.shard.tick(self.now, &mut self.out);
            self.out.outbox.clear();
        }
    }
}

fn write(buffer: &mut [u8], format: Format, n: u32, ssrc: u32) {
    let timestamp = n * format.codec.clock_rate() / 50;
    let Format { payload_type, .. } = format;
    Fields { marker: false, payload_type, sequence: n as u16, timestamp, ssrc }.write(buffer);
}

#[test]
fn a_thousand_steady_ticks_allocate_nothing_and_free_nothing() {
    let mut bench = Bench::new();
    let buffer = [0x55; 172];
    // The first ticks latch every peer and size every buffer.
    (0..100).for_each(|n| bench.tick(n, &buffer));
    bench.out = Out { outbox: std::mem::take(&mut bench.out.outbox), ..Out::default() };
    let before = counting::of_this_thread();
    (100..1_100).for_each(|n| bench.tick(n, &buffer));
    let after = counting::of_this_thread();
    assert_eq!((after.0 - before.0, after.1 - before.1), (0, 0), "allocations and frees");
    // Each of 100 + 10 legs relays, 15 make sound, 10 are spoken to by a mouth, and reports were sent.
    assert!(bench.out.packets > 135 * 1_000 && bench.out.events == 0, "{} {}", bench.out.packets, bench.out.events);
    assert_eq!(bench.shard.stats().ticks_late, 0);
}

#[test]
fn a_thread_with_its_sockets_allocates_nothing() {
    use tandem::shell::media::{portable::Portable, uring::Uring};
    thread_turns(Portable::new);
    match Uring::new(tandem::shell::net::Waker::new().unwrap()) {
        Ok(_) => thread_turns(Uring::new),
        Err(error) => println!("this system refuses io_uring: {error}"),
    }
}

/// The whole thread's turn with sockets: orders, wait, receive, relay, sends.
fn thread_turns<I: tandem::shell::media::io::PacketIo>(new: impl Fn(tandem::shell::net::Waker) -> std::io::Result<I>) {
    use rtrb::RingBuffer;
    use tandem::shell::clock::Clock;
    use tandem::shell::media::io::Pair;
    use tandem::shell::media::thread::{Counts, Doorbell, Uplink, Worker};
    use tandem::shell::net::Waker;

    let clock = Clock::new();
    let (_down, orders) = RingBuffer::new(16);
    let (ring, _up) = RingBuffer::new(2_048);
    let (taps, tapped) = RingBuffer::new(4_096);
    let (heard, overheard) = RingBuffer::new(4_096);
    let counts = Arc::new(Counts::default());
    let doorbell = Doorbell { asleep: Arc::new(AtomicBool::new(false)), waker: Waker::new().unwrap() };
    let mut io = new(doorbell.waker.clone()).unwrap();
    let socket = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (rtp, phone) = (socket(), socket());
    let (port, from) = (rtp.local_addr().unwrap(), phone.local_addr().unwrap());
    io.adopt(0, Pair { rtp: rtp.into(), rtcp: socket().into() }).unwrap();
    let uplink = Uplink::new(ring, (taps, heard), Waker::new().unwrap(), counts.clone());
    let shard = Shard::new(clock.now(), 1);
    let outbox = Outbox::default();
    let mut worker = Worker {
        shard,
        io,
        orders,
        doorbell,
        uplink,
        outbox,
        forwarder: None,
        clock,
        counts,
        pace: Default::default(),
        looked: tandem::base::time::Instant::ZERO,
        faults: 0,
    };

    let mut echo = state(0, PCMU, Hears::Echo);
    echo.remote_rtp = Some(from);
    echo.tap = Some(tandem::media::command::TapId(1));
    echo.listener = Some(tandem::media::command::TapId(2));
    let (setting, now) = (Box::<Setting>::default(), clock.mono());
    let open = Order::Open { leg: LegId(1), port: 0, setting, account: Box::default() };
    let mut out = Out::default();
    worker.shard.order(now, open, &mut out);
    let setting = Box::new(Setting::new(echo, Player::default()));
    worker.shard.order(now, Order::Set { leg: LegId(1), setting }, &mut out);

    let mut packets: Vec<Vec<u8>> = (0..1_100u16).map(|n| packet(0, n, 160, 7, &[n as u8; 160])).collect();
    let mut counted = (0, 0);
    for (n, bytes) in packets.iter_mut().enumerate() {
        if n == 100 {
            counted = counting::of_this_thread();
        }
        phone.send_to(bytes, port).unwrap();
        assert!(worker.turn());
        // The wait may have ended for a tick: the packet is there by the next turn.
        let mut answer = [0; 256];
        while worker.shard.stats().packets_relayed == n as u64 {
            assert!(worker.turn());
        }
        // What was relayed may leave with the next wait.
        phone.set_nonblocking(true).unwrap();
        while phone.recv(&mut answer).is_err() {
            assert!(worker.turn());
        }
    }
    let after = counting::of_this_thread();
    assert_eq!(tapped.slots(), 2_200, "what it says and what it hears");
    assert_eq!(overheard.slots(), 1_100, "what it says");
    assert_eq!((after.0 - counted.0, after.1 - counted.1), (0, 0), "allocations and frees");
}
