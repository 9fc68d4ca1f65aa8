//! Whether the kernel relays or we do: nobody can tell from the packets, the events or the account. Two shards get the same packets and
//! orders, one of them with a [`Model`] of the kernel before it.

use super::*;
use crate::base::rng::Rng;
use crate::base::time::{Now, Wall};
use crate::event::Quality;
use crate::media::command::{Codec, Event, Format, LegState, Press, TapId};
use crate::media::forward::Model;
use crate::media::leg::Setting;
use crate::media::player::Player;
use crate::media::shard::Socket;
use std::collections::BTreeMap;

const PCMU: Format = Format { codec: Codec::Pcmu, payload_type: 0 };
const OPUS: Format = Format { codec: Codec::Opus, payload_type: 96 };
const EVENTS: u8 = 101;

#[derive(Default)]
struct Network {
    /// `None`: it refuses every stream.
    kernel: Option<BTreeMap<u32, Model>>,
    sent: Vec<(u32, SocketAddr, Vec<u8>)>,
    events: Vec<Event>,
}

impl Sink for Network {
    fn rtp(&mut self, port: u32, to: SocketAddr, packet: &[u8]) {
        self.sent.push((port, to, packet.to_vec()));
    }
    fn rtcp(&mut self, _: u32, _: SocketAddr, _: &[u8]) {}
    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
    fn spent(&mut self, _: Box<Setting>) {}
    fn forward(&mut self, forward: &Forward) -> bool {
        let Some(kernel) = &mut self.kernel else { return false };
        kernel.insert(forward.port, Model::new(*forward));
        true
    }
    fn passed(&mut self, port: u32, end: bool) -> Option<Passed> {
        let kernel = self.kernel.as_mut()?;
        let passed = kernel.get(&port)?.passed;
        if end {
            kernel.remove(&port);
        }
        Some(passed)
    }
}

struct Side {
    shard: Shard,
    network: Network,
}

impl Side {
    fn new(with_kernel: bool) -> Side {
        let now = Now { mono: Instant::from_micros(1_000_000), wall: Wall(1_795_364_100_000_000) };
        let network = Network { kernel: with_kernel.then(BTreeMap::new), ..Network::default() };
        Side { shard: Shard::new(now, 7).giving_away(with_kernel), network }
    }

    fn packet(&mut self, now: Instant, port: u32, source: SocketAddr, packet: &[u8]) {
        let mut bytes = packet.to_vec();
        let model = self.network.kernel.as_mut().and_then(|k| k.get_mut(&port));
        if let Some(model) = model.filter(|m| m.forward.port == port)
            && model.pass(now, source, &mut bytes)
        {
            let Forward { by, to, .. } = model.forward;
            return self.network.sent.push((by, to, bytes));
        }
        self.shard.packet(now, (port, Socket::Rtp), source, &mut bytes, &mut self.network);
    }
}

/// A phone's stream, and what happens to it.
struct Phone {
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    home: SocketAddr,
    /// Where it sends from, now and then beside its home.
    source: SocketAddr,
    format: Format,
    held_up: Option<Vec<u8>>,
}

fn peer(n: u64) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 10_000 + n as u16))
}

fn state(n: u64, format: Format, hears: Hears) -> LegState {
    LegState {
        remote_rtp: Some(peer(n)),
        send: Some(format),
        receive: vec![format],
        dtmf_send: Some(EVENTS),
        dtmf_receive: Some(EVENTS),
        ptime_ms: 20,
        sending: true,
        receiving: true,
        latch: true,
        hears,
        rtp_timeout: Some(Duration::from_secs(3)),
        ..LegState::default()
    }
}

impl Phone {
    fn new(n: u64, format: Format, rng: &mut Rng) -> Phone {
        let (sequence, timestamp, ssrc) = (rng.next_u32() as u16, rng.next_u32(), rng.next_u32());
        Phone { sequence, timestamp, ssrc, home: peer(n), source: peer(n), format, held_up: None }
    }

    /// What arrives in the place of the next packet.
    fn speaks(&mut self, rng: &mut Rng) -> Vec<Vec<u8>> {
        let units = self.format.codec.clock_rate() / 50;
        (self.sequence, self.timestamp) = (self.sequence.wrapping_add(1), self.timestamp.wrapping_add(units));
        let what = rng.below(600);
        if rng.below(20) == 0 {
            self.source = self.home;
        }
        let mut fields = Fields {
            marker: what == 0,
            payload_type: self.format.payload_type,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        };
        let mut bytes = vec![0; 12];
        if what == 1 {
            fields.payload_type = EVENTS;
            bytes.extend([5, 0x80 | 10, 1, 0x40]);
        } else {
            // Of Opus: one frame of 20 ms.
            bytes.extend([0x78; 40]);
            bytes.extend(vec![0xd5; if self.format == PCMU { 120 } else { rng.below(60) as usize }]);
        }
        fields.write(&mut bytes);
        match what {
            2 => return Vec::new(),
            3 => return vec![bytes.clone(), bytes],
            4 => self.held_up = Some(bytes.clone()),
            5 => self.ssrc = rng.next_u32(),
            6 => self.timestamp = self.timestamp.wrapping_add(rng.next_u32() >> rng.below(30)),
            7 => self.sequence = self.sequence.wrapping_add(rng.below(200) as u16),
            8 => self.source.set_port(self.source.port() ^ 1),
            9 => bytes[0] = 0x90,
            10 => bytes.extend([0, 0, 0, 4]),
            11 => bytes[0] |= 0x20,
            _ => {}
        }
        match self.held_up.take_if(|_| what != 4) {
            Some(late) => vec![bytes, late],
            None if what == 4 => Vec::new(),
            None => vec![bytes],
        }
    }
}

fn order(rng: &mut Rng, format: Format, change: u64) -> (u64, LegState) {
    let leg = 1 + rng.below(2);
    let mut state = state(leg, format, Hears::Leg(LegId(3 - leg)));
    match change {
        0 => state.hears = Hears::Silence,
        1 => state.sending = false,
        2 => state.receiving = false,
        3 => state.tap = Some(TapId(1)),
        4 => state.remote_rtp = Some(peer(50 + rng.below(3))),
        5 => state.latch = false,
        6 => state.hears = Hears::Nothing,
        _ => {}
    }
    (leg, state)
}

fn both(sides: &mut [Side; 2], mut act: impl FnMut(&mut Side)) {
    sides.iter_mut().for_each(&mut act);
}

fn set(sides: &mut [Side; 2], now: Instant, leg: u64, state: &LegState) {
    both(sides, |side| {
        let setting = Box::new(Setting::new(state.clone(), Player::default()));
        side.shard.order(now, Order::Set { leg: LegId(leg), setting }, &mut side.network);
    });
}

/// One world; how many packets the kernel passed on, of how many that came.
fn world(seed: u64) -> (u64, u64) {
    let mut rng = Rng::from_seed(seed);
    let format = if rng.below(3) == 0 { OPUS } else { PCMU };
    let mut sides = [Side::new(false), Side::new(true)];
    let mut now = Instant::from_micros(1_000_000);
    for leg in 1..=3u64 {
        both(&mut sides, |side| {
            let (setting, account) = (Box::default(), Box::<Quality>::default());
            let open = Order::Open { leg: LegId(leg), port: leg as u32, setting, account };
            side.shard.order(now, open, &mut side.network);
        });
    }
    for leg in 1..=2u64 {
        set(&mut sides, now, leg, &state(leg, format, Hears::Leg(LegId(3 - leg))));
    }
    let mut phones = [Phone::new(1, format, &mut rng), Phone::new(2, format, &mut rng)];
    let mut came = 0;
    for turn in 0..1_500u64 {
        now = Instant::from_micros(1_000_000 + turn * 20_000);
        let change = rng.below(1_500);
        if change < 14 {
            let (leg, state) = order(&mut rng, format, change);
            set(&mut sides, now, leg, &state);
        } else if change < 17 {
            let third = if change == 14 { Hears::Leg(LegId(1)) } else { Hears::Nothing };
            set(&mut sides, now, 3, &state(3, format, third));
        } else if change < 19 {
            let press = Press { digit: '5', duration_ms: 100 };
            both(&mut sides, |side| {
                let dial = Order::Digits { leg: LegId(2), digits: Box::new([press]) };
                side.shard.order(now, dial, &mut side.network);
            });
        }
        // A pause of both now and then.
        let pauses = turn % 500 > 470 && seed.is_multiple_of(3);
        for (port, phone) in (1..).zip(&mut phones).filter(|_| !pauses) {
            let at = Instant::from_micros(now.as_micros() + rng.below(9_000));
            for bytes in phone.speaks(&mut rng) {
                came += 1;
                both(&mut sides, |side| side.packet(at, port, phone.source, &bytes));
            }
        }
        let end = Instant::from_micros(now.as_micros() + 15_000);
        both(&mut sides, |side| side.shard.tick(end, &mut side.network));
        let [without, with] = &mut sides;
        assert_eq!(without.network.sent, with.network.sent, "seed {seed}, turn {turn}");
        assert_eq!(without.network.events, with.network.events, "seed {seed}, turn {turn}");
        both(&mut sides, |side| {
            side.network.sent.clear();
            side.network.events.clear();
        });
    }
    for leg in 1..=3 {
        both(&mut sides, |side| side.shard.order(now, Order::Close { leg: LegId(leg) }, &mut side.network));
    }
    let [without, with] = &sides;
    assert_eq!(without.network.events, with.network.events, "seed {seed}: the accounts");
    assert!(with.network.kernel.as_ref().is_some_and(BTreeMap::is_empty), "nothing is left in the kernel");
    (with.shard.stats().packets_forwarded, came)
}

#[test]
fn nobody_can_tell_who_relayed() {
    let (mut forwarded, mut came) = (0, 0);
    for seed in 0..100 {
        let world = world(seed);
        (forwarded, came) = (forwarded + world.0, came + world.1);
    }
    assert!(forwarded > came / 6, "{forwarded} of {came}");
}
