//! A stub of the media threads: ports from a pool, prompts that end, quality that is empty; it keeps the account of every leg.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use tandem::base::rng::Rng;
use tandem::base::time::Duration;
use tandem::event::Quality;
use tandem::media::command::{Command, Event, Family, Hears, LegId, Member, PlayId};

struct StubLeg {
    group: u64,
    address: Option<SocketAddr>,
    playing: Option<PlayId>,
    sounds: bool,
    remote: Option<SocketAddr>,
}

pub struct MediaStub {
    legs: BTreeMap<LegId, StubLeg>,
    closed: BTreeMap<LegId, u32>,
    free: Vec<u16>,
    addresses: [IpAddr; 2],
    pub rng: Rng,
    pub faults: Vec<String>,
    /// What comes back, and when.
    pub events: Vec<(Duration, Back)>,
    plays: Vec<PlayId>,
}

pub enum Back {
    Event(Event),
    /// The prompt would end now, if it is still playing.
    Due(LegId, PlayId),
}

impl MediaStub {
    pub fn new(addresses: [IpAddr; 2], ports: usize, rng: Rng) -> MediaStub {
        MediaStub {
            legs: BTreeMap::new(),
            closed: BTreeMap::new(),
            free: (0..ports as u16).rev().map(|n| 30_000 + 2 * n).collect(),
            addresses,
            rng,
            faults: Vec::new(),
            events: Vec::new(),
            plays: Vec::new(),
        }
    }

    pub fn open_legs(&self) -> usize {
        self.legs.len()
    }

    /// Whether a description may name this address: it is a port of a leg that is open.
    pub fn owns(&self, ip: IpAddr, port: u16) -> bool {
        self.legs.values().any(|l| l.address == Some(SocketAddr::new(ip, port)))
    }

    /// A leg at random that the switch expects sound from.
    pub fn some_leg(&mut self) -> Option<LegId> {
        let ids: Vec<LegId> = self.legs.iter().filter(|(_, l)| l.sounds).map(|(id, _)| *id).collect();
        ids.get(self.rng.below(ids.len() as u64) as usize).copied()
    }

    /// The leg that is to hear a peer at this address.
    pub fn leg_from(&self, peer: SocketAddr) -> Option<LegId> {
        self.legs.iter().find(|(_, l)| l.remote == Some(peer)).map(|(id, _)| *id)
    }

    pub fn is_open(&self, leg: LegId) -> bool {
        self.legs.contains_key(&leg)
    }

    /// Legs that will hear nothing any more, because their peer is gone.
    pub fn legs_towards(&self, peers: &[IpAddr]) -> Vec<LegId> {
        let gone = |l: &StubLeg| l.remote.is_some_and(|at| peers.contains(&at.ip()));
        self.legs.iter().filter(|(_, l)| gone(l)).map(|(id, _)| *id).collect()
    }

    pub fn due(&self, leg: LegId, play: PlayId) -> bool {
        self.legs.get(&leg).is_some_and(|l| l.playing == Some(play))
    }

    fn soon(&mut self, event: Event) {
        let delay = Duration::from_micros(50 + self.rng.below(3_000));
        self.events.push((delay, Back::Event(event)));
    }

    fn fault(&mut self, what: String) {
        self.faults.push(format!("media: {what}"));
    }

    pub fn command(&mut self, command: Command) {
        match command {
            Command::Open { leg, group, family } => self.open(leg, group, family),
            Command::Set { leg, state } => {
                let Some(group) = self.legs.get(&leg).map(|l| l.group) else {
                    return self.fault(format!("Set of {leg:?}, which is not open"));
                };
                if let Hears::Leg(other) = state.hears {
                    match self.legs.get(&other).map(|l| l.group) {
                        None => self.fault(format!("{leg:?} hears {other:?}, which is not open")),
                        Some(g) if g != group => self.fault(format!("{leg:?} and {other:?} live on two shards")),
                        _ => {}
                    }
                }
                if state.receive.len() > 8 || !(10..=60).contains(&state.ptime_ms) {
                    self.fault(format!("{leg:?}: {} formats, {} ms", state.receive.len(), state.ptime_ms));
                }
                self.hear(leg, &state.hears);
                if let Some(l) = self.legs.get_mut(&leg) {
                    l.remote = state.remote_rtp;
                    l.sounds = state.receiving && state.rtp_timeout.is_some() && state.remote_rtp.is_some();
                }
            }
            Command::Room { room, group, state } => {
                let legs: Vec<LegId> = state.members.iter().map(|m| m.leg).collect();
                if !legs.is_sorted_by(|a, b| a < b) {
                    self.fault(format!("{room:?}: its members are not in order: {legs:?}"));
                }
                for leg in legs.into_iter().filter(|leg| !self.legs.contains_key(leg)).collect::<Vec<_>>() {
                    self.fault(format!("{leg:?}, which is not open, is in {room:?}"));
                }
                let elsewhere = |m: &Member| self.legs.get(&m.leg).is_some_and(|l| l.group != group);
                if let Some(member) = state.members.iter().find(|m| elsewhere(m)) {
                    self.fault(format!("{:?} and {room:?}, in which it is, live on two shards", member.leg));
                }
            }
            Command::Digits { leg, digits } => {
                if !self.legs.contains_key(&leg) || digits.is_empty() {
                    self.fault(format!("{} digits to {leg:?}", digits.len()));
                }
            }
            Command::Close { leg } => {
                let times = self.closed.entry(leg).or_default();
                *times += 1;
                if *times > 1 {
                    return self.fault(format!("{leg:?} closed twice"));
                }
                // A leg whose port could not be had is closed like any other.
                let gone = self.legs.remove(&leg);
                self.free.extend(gone.and_then(|l| l.address).map(|a| a.port()));
                self.soon(Event::Closed { leg, quality: Box::new(Quality::default()) });
            }
        }
    }

    fn open(&mut self, leg: LegId, group: u64, family: Family) {
        if self.legs.contains_key(&leg) || self.closed.contains_key(&leg) {
            return self.fault(format!("{leg:?} opened twice"));
        }
        let ip = self.addresses[usize::from(family == Family::V6)];
        let address = self.free.pop().map(|port| SocketAddr::new(ip, port));
        let Some(rtp) = address else {
            return self.soon(Event::OpenFailed { leg, why: "no port is free" });
        };
        self.legs.insert(leg, StubLeg { group, address, playing: None, sounds: false, remote: None });
        self.soon(Event::Opened { leg, rtp });
    }

    fn hear(&mut self, leg: LegId, hears: &Hears) {
        let (playing, lasts) = match hears {
            Hears::Play { id, loops, .. } => (Some(*id), (*loops > 0).then(|| 200 + self.rng.below(3_000))),
            Hears::Tone { id, duration, .. } => (Some(*id), duration.map(|d| d.as_millis() as u64)),
            _ => (None, None),
        };
        let Some(l) = self.legs.get_mut(&leg) else { return };
        let is_new = l.playing != playing;
        l.playing = playing;
        if let (Some(id), true) = (playing, is_new) {
            if self.plays.contains(&id) {
                self.fault(format!("{id:?} is used twice"));
            }
            self.plays.push(id);
            if let Some(ms) = lasts {
                self.events.push((Duration::from_millis(ms), Back::Due(leg, id)));
            }
        }
    }
}
