//! A shard on a table: orders and packets by hand, time as told, everything that it gives kept.

use std::net::SocketAddr;
use tandem::base::time::{Duration, Instant, Now, Wall};
use tandem::event::Quality;
use tandem::media::command::{Codec, Event, Format, Hears, LegId, LegState, Tones};
use tandem::media::leg::Setting;
use tandem::media::player::Player;
use tandem::media::shard::{Order, Shard, Sink, Socket};
use tandem::media::tap::Frame;
use tandem::rtp::packet::{Fields, HEADER_LEN, Header};
use tandem::rtp::srtp::{KeySource, Keys, Master, Suite};

pub const PCMU: Format = Format { codec: Codec::Pcmu, payload_type: 0 };
pub const PCMA: Format = Format { codec: Codec::Pcma, payload_type: 8 };
pub const EVENTS: u8 = 101;
/// The wall clock at the rig's zero: 2026-11-22T16:15:00Z.
pub const WALL: Wall = Wall(1_795_364_100_000_000);

#[derive(Default)]
pub struct Kept {
    pub rtp: Vec<(u32, SocketAddr, Vec<u8>)>,
    pub rtcp: Vec<(u32, SocketAddr, Vec<u8>)>,
    pub events: Vec<Event>,
    pub spent: usize,
    pub tapped: Vec<Frame>,
}

impl Sink for Kept {
    fn rtp(&mut self, port: u32, to: SocketAddr, packet: &[u8]) {
        self.rtp.push((port, to, packet.to_vec()));
    }
    fn rtcp(&mut self, port: u32, to: SocketAddr, packet: &[u8]) {
        self.rtcp.push((port, to, packet.to_vec()));
    }
    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
    fn tap(&mut self, frame: &Frame) {
        self.tapped.push(*frame);
    }
    fn spent(&mut self, _: Box<Setting>) {
        self.spent += 1;
    }
}

pub struct Rig {
    pub shard: Shard,
    pub kept: Kept,
    pub now: Instant,
}

/// A packet that the shard sent.
#[derive(Clone, PartialEq, Debug)]
pub struct Sent {
    pub port: u32,
    pub to: SocketAddr,
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload: Vec<u8>,
}

pub fn peer(n: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 10_000 + n))
}

/// A negotiated leg: towards `peer(n)`, one codec, events at 101, latching.
pub fn state(n: u16, format: Format, hears: Hears) -> LegState {
    LegState {
        opus: tandem::media::command::OpusWanted::default(),
        remote_rtp: Some(peer(n)),
        remote_rtcp: None,
        send: Some(format),
        receive: vec![format],
        dtmf_send: Some(EVENTS),
        dtmf_receive: Some(EVENTS),
        dtmf_clock: format.codec.clock_rate(),
        tones: Tones::Passed,
        ptime_ms: 20,
        sending: true,
        receiving: true,
        latch: true,
        hears,
        tap: None,
        listener: None,
        rtp_timeout: None,
        datagrams: false,
        srtp: None,
    }
}

/// Keys of a leg, and those of its peer.
pub fn keys(suite: Suite) -> (Keys, Keys) {
    let mut source = KeySource::new([5; 32]);
    let (a, b) = (Master::generate(suite, &mut source), Master::generate(suite, &mut source));
    (Keys { send: a.clone(), receive: b.clone() }, Keys { send: b, receive: a })
}

pub fn packet(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    Fields { marker: false, payload_type, sequence, timestamp, ssrc }.write(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

impl Rig {
    pub fn new() -> Rig {
        let now = Instant::from_micros(1_000_000);
        let wall = Wall(WALL.as_micros() + 1_000_000);
        Rig { shard: Shard::new(Now { mono: now, wall }, 7), kept: Kept::default(), now }
    }

    pub fn open(&mut self, n: u64) {
        let order = Order::Open { leg: LegId(n), port: n as u32, setting: Box::default(), account: Box::default() };
        self.shard.order(self.now, order, &mut self.kept);
    }

    pub fn set(&mut self, n: u64, state: LegState) {
        self.play(n, state, Player::default());
    }

    pub fn play(&mut self, n: u64, state: LegState, player: Player) {
        let setting = Box::new(Setting::new(state, player));
        self.shard.order(self.now, Order::Set { leg: LegId(n), setting }, &mut self.kept);
    }

    /// Two legs, 1 and 2, that hear each other; their peers send from `peer(1)` and `peer(2)`.
    pub fn bridged(one: Format, two: Format) -> Rig {
        let mut rig = Rig::new();
        rig.open(1);
        rig.set(1, state(1, one, Hears::Leg(LegId(2))));
        rig.open(2);
        rig.set(2, state(2, two, Hears::Leg(LegId(1))));
        rig
    }

    pub fn receive(&mut self, n: u64, source: SocketAddr, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        self.shard.packet(self.now, (n as u32, Socket::Rtp), source, &mut bytes, &mut self.kept);
    }

    pub fn receive_rtcp(&mut self, n: u64, source: SocketAddr, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        self.shard.packet(self.now, (n as u32, Socket::Rtcp), source, &mut bytes, &mut self.kept);
    }

    /// `peer(n)` says one packet of 20 ms.
    pub fn say(&mut self, n: u64, payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32) {
        self.receive(n, peer(n as u16), &packet(payload_type, sequence, timestamp, ssrc, &[0x55; 160]));
    }

    /// Time goes on; every tick is run at its deadline.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.shard.deadline().filter(|due| *due <= until) {
            self.now = due.max(self.now);
            self.shard.tick(self.now, &mut self.kept);
        }
        self.now = until;
    }

    pub fn pass_ms(&mut self, ms: u64) {
        self.pass(Duration::from_millis(ms));
    }

    /// What was sent since the last call.
    pub fn sent(&mut self) -> Vec<Sent> {
        let read = |(port, to, bytes): (u32, SocketAddr, Vec<u8>)| {
            let h = Header::parse(&bytes).expect("our own RTP");
            let payload = h.payload(&bytes).to_vec();
            let Header { marker, payload_type, sequence, timestamp, ssrc, .. } = h;
            Sent { port, to, marker, payload_type, sequence, timestamp, ssrc, payload }
        };
        self.kept.rtp.drain(..).map(read).collect()
    }

    /// The same as bytes, and where they went.
    pub fn datagrams(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.kept.rtp.drain(..).map(|(_, to, bytes)| (to, bytes)).collect()
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.kept.events)
    }

    pub fn close(&mut self, n: u64) -> Box<Quality> {
        self.shard.order(self.now, Order::Close { leg: LegId(n) }, &mut self.kept);
        let closed = self.events().into_iter().rev().find_map(|e| match e {
            Event::Closed { leg, quality } if leg == LegId(n) => Some(quality),
            _ => None,
        });
        closed.expect("the leg is closed")
    }
}
