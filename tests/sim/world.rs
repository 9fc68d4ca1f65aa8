//! The world: nodes, peers and the network between them, on one seeded event heap.

use super::app::{self, Answer, App, Press};
use super::books::{Books, Target, digest};
use super::ladder::{Ladder, Rung};
use super::media::Back;
use super::net::{Conn, Net, Way};
use super::node::Node;
use super::party::{Act, Key, Party};
use super::text::Msg;
use bytes::Bytes;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use tandem::base::rng::Rng;
use tandem::base::time::{Duration, Instant, Now, Wall};
use tandem::event::{CallId, Fact};
use tandem::media::command::{Event as MediaEvent, LegId, PlayId};
use tandem::sip::transport::{Flow, ListenerId, Transport};
use tandem::speech;
use tandem::switch::{Input, Operator, Output};
use tandem::web::FetchId;

/// 2026-11-23T10:00:00-05:00, a Monday.
const WALL_START: i64 = 1_795_446_000_000_000;

pub enum What {
    ToNode { node: usize, flow: Flow, bytes: Bytes },
    ToParty { party: usize, at: SocketAddr, conn: u64, msg: Rc<Msg> },
    Timer { party: usize, key: Key },
    Tick { node: usize, generation: u64 },
    Media { node: usize, epoch: u32, event: MediaEvent },
    Due { node: usize, epoch: u32, leg: LegId, play: PlayId },
    Stored { node: usize, epoch: u32, call: CallId },
    Broken { node: usize, epoch: u32, flow: Flow },
    Disturb { party: usize },
    Press(Press),
    Web { node: usize, epoch: u32, id: FetchId, answer: Box<Answer> },
    Speech { node: usize, epoch: u32, event: speech::Event },
    Chaos(Chaos),
}

#[derive(Clone, Debug)]
pub enum Chaos {
    Crash(usize),
    Restart(usize),
    WallStep(i64),
    Reload(usize),
    Drain(usize),
    Undrain(usize),
    BreakStreams,
    Rebind(usize),
    Ask(usize),
    Silence(usize),
    /// The legs of the first node towards the second hear nothing: it crashed.
    Deaf(usize, usize),
    HangUp(usize),
}

struct Scheduled {
    at: Instant,
    seq: u64,
    what: What,
}

impl PartialEq for Scheduled {
    fn eq(&self, o: &Self) -> bool {
        (self.at, self.seq) == (o.at, o.seq)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, o: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(o))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, o: &Self) -> std::cmp::Ordering {
        (self.at, self.seq).cmp(&(o.at, o.seq))
    }
}

pub struct Fault {
    pub at: Instant,
    pub call_id: String,
    pub what: String,
}

pub struct World {
    pub now: Instant,
    wall_shift: i64,
    heap: BinaryHeap<Reverse<Scheduled>>,
    seq: u64,
    pub rng: Rng,
    pub nodes: Vec<Node>,
    pub parties: Vec<Party>,
    pub net: Net,
    pub books: Books,
    pub app: App,
    /// Of the application and what speaks; apart, so that worlds without it are as before.
    pub app_rng: Rng,
    pub ladder: Ladder,
    pub faults: Vec<Fault>,
    /// Over everything that the switches put out.
    pub hash: u64,
    dead: bool,
    pub steps: u64,
    /// The nodes fall behind now and then.
    is_slow: bool,
}

/// A slow world's nodes are late for the first part of each round: longer than `sip.guard.late`, so that they refuse.
const ROUND_MS: u64 = 20_000;
const LATE_MS: u64 = 6_000;

thread_local! {
    /// The message of the panic under way, with its place.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps panics of the switch quiet: the world tells them with seed and ladder.
pub fn hush() {
    std::panic::set_hook(Box::new(|info| PANIC.with(|p| *p.borrow_mut() = info.to_string())));
}

impl World {
    pub fn new(seed: u64) -> World {
        World {
            now: Instant::from_micros(1_000_000),
            wall_shift: 0,
            heap: BinaryHeap::new(),
            seq: 0,
            rng: Rng::from_seed(seed),
            nodes: Vec::new(),
            parties: Vec::new(),
            net: Net::default(),
            books: Books::default(),
            app: App::default(),
            app_rng: Rng::from_seed(seed ^ 0x61_7070),
            ladder: Ladder::default(),
            faults: Vec::new(),
            hash: 0,
            dead: false,
            steps: 0,
            is_slow: seed % 4 == 1,
        }
    }

    /// How much the nodes have refused because they were late.
    pub fn shed(&self) -> u64 {
        self.nodes.iter().filter_map(|n| n.switch.as_ref()).map(|s| s.counters().overload_refused).sum()
    }

    /// How long what comes now has waited for a node.
    fn lateness(&self) -> Option<Duration> {
        let ms = self.now.as_micros() / 1_000 % ROUND_MS;
        self.is_slow.then(|| Duration::from_millis(if ms < LATE_MS { 105 + ms % 400 } else { 0 }))
    }

    pub fn clock(&self) -> Now {
        Now { mono: self.now, wall: Wall(WALL_START + self.now.as_micros() as i64 + self.wall_shift) }
    }

    pub fn schedule(&mut self, delay: Duration, what: What) {
        self.seq += 1;
        self.heap.push(Reverse(Scheduled { at: self.now + delay, seq: self.seq, what }));
    }

    pub fn fault(&mut self, call_id: &str, what: String) {
        if self.faults.len() < 20 {
            self.ladder.note(self.now, format!("BROKEN: {}", what.lines().next().unwrap_or("")));
            self.faults.push(Fault { at: self.now, call_id: call_id.into(), what });
        }
    }

    pub fn start(&mut self) {
        for n in 0..self.nodes.len() {
            let now = self.clock();
            let made = catch_unwind(AssertUnwindSafe(|| self.nodes[n].start(now)));
            self.survive(made);
            self.after_step(n);
        }
    }

    fn survive(&mut self, made: std::thread::Result<()>) {
        if made.is_err() {
            let what = PANIC.with(|p| p.borrow().clone());
            self.fault("", format!("panic: {what}"));
            self.dead = true;
        }
    }

    /// Runs until this moment, or until nothing is left or the switch panicked.
    pub fn run_until(&mut self, end: Instant) {
        while !self.dead && self.heap.peek().is_some_and(|Reverse(s)| s.at <= end) {
            let Some(Reverse(next)) = self.heap.pop() else { break };
            self.now = self.now.max(next.at);
            self.steps += 1;
            if self.steps > 2_000_000 {
                self.fault("", "two million events: the world does not come to rest".into());
                return;
            }
            self.handle(next.what);
        }
        self.now = self.now.max(end);
    }

    fn handle(&mut self, what: What) {
        match what {
            What::ToNode { node, flow, bytes } => {
                if let Some(by) = self.lateness() {
                    self.feed(node, Input::Late { by });
                }
                self.feed(node, Input::Received { flow, bytes });
            }
            What::ToParty { party, at, conn, msg } => {
                let reachable = if conn > 0 { self.net.is_alive(conn) } else { self.net.public(party) == at };
                if reachable {
                    self.parties[party].receive(self.now, &msg);
                    self.act(party);
                }
            }
            What::Timer { party, key } => {
                self.parties[party].timer(self.now, key);
                self.act(party);
            }
            What::Tick { node, generation } if self.nodes[node].generation == generation => {
                self.feed(node, Input::Tick)
            }
            What::Media { node, epoch, event } if self.nodes[node].epoch == epoch => {
                self.feed(node, Input::Media(event))
            }
            What::Due { node, epoch, leg, play }
                if self.nodes[node].epoch == epoch && self.nodes[node].media.due(leg, play) =>
            {
                let played = !self.rng.chance(20);
                self.feed(node, Input::Media(MediaEvent::PlayEnded { leg, id: play, played }));
            }
            What::Stored { node, epoch, call } if self.nodes[node].epoch == epoch => {
                self.feed(node, Input::Stored { call })
            }
            What::Broken { node, epoch, flow } if self.nodes[node].epoch == epoch => {
                self.feed(node, Input::FlowFailed { flow });
            }
            What::Disturb { party } => {
                self.parties[party].disturb(self.now);
                self.act(party);
            }
            What::Press(press) if self.nodes[press.node].epoch == press.epoch => self.app_pressed(press),
            What::Web { node, epoch, id, answer } if self.nodes[node].epoch == epoch => {
                self.app_answers(node, epoch, id, *answer);
            }
            What::Speech { node, epoch, event } if self.nodes[node].epoch == epoch => {
                self.feed(node, Input::Speech(event));
            }
            What::Chaos(chaos) => self.chaos(chaos),
            _ => {}
        }
    }

    /// One step of a switch, and all that follows from it at once.
    pub fn feed(&mut self, n: usize, input: Input) {
        let (now, info) = (self.clock(), app::info(&input));
        let mut outs = Vec::new();
        let Some(switch) = self.nodes[n].switch.as_mut() else { return };
        let made = catch_unwind(AssertUnwindSafe(|| {
            switch.handle(now, input);
            while let Some(out) = switch.poll() {
                outs.push(out);
                assert!(outs.len() < 10_000, "10,000 outputs from one input");
            }
        }));
        if let Some(info) = info {
            self.info_taken(info, &outs);
        }
        for out in outs {
            self.output(n, out);
        }
        self.survive(made);
        self.after_step(n);
    }

    fn after_step(&mut self, n: usize) {
        if self.dead || self.nodes[n].switch.is_none() {
            return;
        }
        let deadline = self.nodes[n].deadline();
        let node = &mut self.nodes[n];
        node.generation += 1;
        let generation = node.generation;
        if let Some((at, why)) = deadline {
            let late = Duration::from_micros(node.rng.below(500));
            let delay = at.since(self.now);
            node.overdue = if delay.is_zero() { node.overdue + 1 } else { 0 };
            if node.overdue > 2_000 {
                self.fault("", format!("the deadline \"{why}\" stays due after 2,000 ticks"));
                self.dead = true;
            }
            self.schedule(delay + late, What::Tick { node: n, generation });
        }
        for what in self.nodes[n].check() {
            self.fault("", what);
        }
        self.app_check();
    }

    fn output(&mut self, n: usize, out: Output) {
        match out {
            Output::Send { flow, bytes } => {
                self.mix(digest(&bytes) ^ u64::from(flow.peer.port()));
                self.send(n, flow, bytes);
            }
            Output::Close { flow } => {
                if let Some(party) = self.net.close(flow.connection) {
                    self.schedule(Duration::from_millis(5), What::Disturb { party });
                }
            }
            // Nobody records here: a recorder that is silent must hold no call up.
            Output::Record(order) => self.mix(digest(format!("{order:?}").as_bytes())),
            Output::Web(order) => {
                self.mix(digest(format!("{order:?}").as_bytes()));
                self.app_order(n, order);
            }
            Output::Speech(order) => {
                self.mix(digest(format!("{order:?}").as_bytes()));
                self.app_speech(n, order);
            }
            // Nobody answers: no name is called here.
            Output::Identity(_) => {}
            Output::Resolve(query) => self.mix(digest(format!("{query:?}").as_bytes())),
            Output::Media(command) => {
                self.mix(digest(format!("{command:?}").as_bytes()));
                let node = &mut self.nodes[n];
                node.media.command(command);
                let (events, epoch) = (std::mem::take(&mut node.media.events), node.epoch);
                for what in std::mem::take(&mut node.media.faults) {
                    self.fault("", what);
                }
                for (delay, back) in events {
                    self.schedule(
                        delay,
                        match back {
                            Back::Event(event) => What::Media { node: n, epoch, event },
                            Back::Due(leg, play) => What::Due { node: n, epoch, leg, play },
                        },
                    );
                }
            }
            // Nobody keeps messages here.
            Output::Leg { .. } => {}
            Output::Fact(fact) => self.fact(n, fact),
            Output::Reply { id, reply } => {
                self.mix(digest(format!("{reply:?}").as_bytes()));
                for what in self.nodes[n].replied(id, &reply) {
                    self.fault("", what);
                }
            }
        }
    }

    fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
    }

    fn fact(&mut self, n: usize, fact: Fact) {
        self.mix(digest(format!("{fact:?}").as_bytes()));
        let ended = if let Fact::CallEnded(record) = &fact { Some(record.cdr.call) } else { None };
        for (call_id, what) in self.nodes[n].fact(self.now, fact) {
            self.fault(&call_id, what);
        }
        if let Some(call) = ended {
            self.app_ended(call);
            // The store fails at times and is tried again: the acknowledgement comes late.
            let late = if self.rng.chance(100) { 5_000 } else { 20 };
            let (delay, epoch) = (Duration::from_millis(self.rng.below(late) + 1), self.nodes[n].epoch);
            self.schedule(delay, What::Stored { node: n, epoch, call });
        }
    }

    /// Puts what the switch sends on its way.
    fn send(&mut self, n: usize, flow: Flow, bytes: Bytes) {
        let party = self.net.party_at(flow.peer);
        let to_node = self.nodes.iter().position(|o| o.addresses.contains(&flow.peer));
        let addresses = match party {
            Some(p) => vec![self.net.public(p), self.parties[p].local],
            None => vec![flow.peer],
        };
        let target = Target { addresses: &addresses, is_node: to_node.is_some() };
        let node = &self.nodes[n];
        let owns = |sdp: &super::sdp::Sdp| node.media.owns(sdp.ip, sdp.port);
        let (msg, wrong) = self.books.switch_sent(&bytes, &target, &owns, &node.addresses);
        for (call_id, what) in wrong {
            self.fault(&call_id, what);
        }
        let Some(msg) = msg.map(Rc::new) else { return };
        if let Some(other) = to_node {
            return self.between_nodes(n, other, flow, bytes, &msg);
        }
        let hidden = self.parties.iter().any(|p| p.local == flow.peer && p.disturbed.is_some());
        // What a cut or mutated Via asks for.
        let is_mutant = msg.call_id().is_empty() || msg.call_id().starts_with("mutant");
        if party.is_none() && (hidden || is_mutant) {
            // A Contact behind a NAT, tried because the way that it came by is gone: nobody hears it.
            return self.schedule(Duration::from_millis(1), What::Broken { node: n, epoch: self.nodes[n].epoch, flow });
        }
        let Some(party) = party else {
            return self.fault(msg.call_id(), format!("{} goes to {flow}, which nobody knows", msg.summary()));
        };
        let name = self.parties[party].name.clone();
        if flow.transport == Transport::Udp {
            let fates = self.net.transit(&mut self.rng, Way::Datagram);
            self.rung(&self.nodes[n].name.clone(), &name, &msg, fates.len());
            for delay in fates {
                self.schedule(delay, What::ToParty { party, at: flow.peer, conn: 0, msg: msg.clone() });
            }
        } else {
            let epoch = self.nodes[n].epoch;
            match self.net.outbound(n, epoch, party, &flow) {
                Some(conn) => {
                    self.rung(&self.nodes[n].name.clone(), &name, &msg, 1);
                    let delay = self.net.stream_delay(&mut self.rng, self.now, conn, false);
                    self.schedule(delay, What::ToParty { party, at: flow.peer, conn, msg });
                }
                None => {
                    self.rung(&self.nodes[n].name.clone(), &name, &msg, 0);
                    self.schedule(Duration::from_millis(1), What::Broken { node: n, epoch, flow });
                }
            }
        }
    }

    fn between_nodes(&mut self, from: usize, to: usize, flow: Flow, bytes: Bytes, msg: &Msg) {
        let fates = self.net.transit(&mut self.rng, Way::Datagram);
        let (a, b) = (self.nodes[from].name.clone(), self.nodes[to].name.clone());
        self.rung(&a, &b, msg, fates.len());
        let is_v6 = usize::from(flow.peer.is_ipv6()) * 2;
        let peer = self.nodes[from].addresses[is_v6];
        for delay in fates {
            let flow = Flow { listener: ListenerId(is_v6 as u16), transport: Transport::Udp, peer, connection: 0 };
            self.schedule(delay, What::ToNode { node: to, flow, bytes: bytes.clone() });
        }
    }

    fn rung(&mut self, from: &str, to: &str, msg: &Msg, copies: usize) {
        self.ladder.rungs.push(Rung {
            at: self.now,
            from: from.into(),
            to: to.into(),
            text: msg.summary(),
            call_id: msg.call_id().into(),
            fate: ["LOST", "", "twice"][copies.min(2)],
        });
    }

    /// Carries out what a party decided.
    pub fn act(&mut self, party: usize) {
        for act in std::mem::take(&mut self.parties[party].acts) {
            match act {
                Act::Timer(delay, key) => self.schedule(delay, What::Timer { party, key }),
                Act::Fault { call_id, what } => self.fault(&call_id, what),
                Act::Send(bytes) => self.party_sends(party, bytes),
                Act::Press { call_id, media, key } => self.app_press(party, call_id, media, key),
            }
        }
    }

    fn party_sends(&mut self, p: usize, bytes: Bytes) {
        let parsed = Msg::parse(&bytes);
        self.books.peer_sent(&bytes, parsed.is_err());
        let (home, name) = (self.parties[p].home, self.parties[p].name.clone());
        let Some(n) = self.nodes.iter().position(|n| n.addresses.contains(&home)) else { return };
        let listener = ListenerId(self.nodes[n].addresses.iter().position(|a| *a == home).unwrap_or(0) as u16);
        let node_name = self.nodes[n].name.clone();
        let up = self.nodes[n].switch.is_some();
        let shown = parsed.unwrap_or_else(|_| Msg::request("GARBAGE", "sip:x"));
        if !self.parties[p].is_stream {
            let fates = if up { self.net.transit(&mut self.rng, Way::Datagram) } else { vec![] };
            self.rung(&name, &node_name, &shown, fates.len());
            let flow = Flow { listener, transport: Transport::Udp, peer: self.net.public(p), connection: 0 };
            for delay in fates {
                self.schedule(delay, What::ToNode { node: n, flow, bytes: bytes.clone() });
            }
            return;
        }
        // Stream listeners stand one behind the datagram listener of the same family.
        let listener = ListenerId(listener.0 + 1);
        self.rung(&name, &node_name, &shown, usize::from(up));
        if !up {
            return self.schedule(Duration::from_millis(2), What::Disturb { party: p });
        }
        let conn: Conn = self.net.inbound(n, self.nodes[n].epoch, p, listener);
        let delay = self.net.stream_delay(&mut self.rng, self.now, conn.id, true);
        let flow = Flow { listener: conn.listener, transport: Transport::Tcp, peer: conn.peer, connection: conn.id };
        self.schedule(delay, What::ToNode { node: n, flow, bytes });
    }

    /// An operator's question; its answer is awaited.
    pub fn ask(&mut self, n: usize, ask: Operator) {
        if self.nodes[n].switch.is_some() {
            let id = self.nodes[n].asked();
            self.feed(n, Input::Operator { id, ask });
        }
    }

    fn chaos(&mut self, chaos: Chaos) {
        self.ladder.note(self.now, format!("{chaos:?}"));
        match chaos {
            Chaos::Crash(n) => {
                self.nodes[n].crash();
                self.app_crashed(n);
                for other in (0..self.nodes.len()).filter(|o| *o != n) {
                    self.schedule(Duration::from_secs(30), What::Chaos(Chaos::Deaf(other, n)));
                }
                for (party, _) in self.net.break_streams(Some(n)) {
                    self.schedule(Duration::from_millis(1), What::Disturb { party });
                }
                for p in 0..self.parties.len() {
                    self.parties[p].disturb(self.now);
                    self.act(p);
                }
            }
            Chaos::Restart(n) => {
                let now = self.clock();
                let made = catch_unwind(AssertUnwindSafe(|| self.nodes[n].start(now)));
                self.survive(made);
                for p in 0..self.parties.len() {
                    self.parties[p].disturb(self.now);
                    self.act(p);
                }
                self.after_step(n);
            }
            Chaos::WallStep(seconds) => self.wall_shift += seconds * 1_000_000,
            Chaos::Reload(n) => {
                let setup = self.nodes[n].setup.clone();
                self.ask(n, Operator::Reload(Box::new(setup)));
            }
            Chaos::Drain(n) => self.ask(n, Operator::Drain),
            Chaos::Undrain(n) => self.ask(n, Operator::Undrain),
            Chaos::BreakStreams => {
                for (party, broken) in self.net.break_streams(None) {
                    self.parties[party].disturb(self.now);
                    self.act(party);
                    let epoch = self.nodes[broken.node].epoch;
                    let flow = Flow {
                        listener: broken.listener,
                        transport: Transport::Tcp,
                        peer: broken.peer,
                        connection: broken.id,
                    };
                    self.schedule(Duration::from_millis(1), What::Broken { node: broken.node, epoch, flow });
                }
            }
            Chaos::Rebind(p) => {
                self.net.rebind(p);
                self.parties[p].disturb(self.now);
                self.act(p);
            }
            Chaos::Ask(n) => self.questions(n),
            Chaos::Silence(n) => {
                if let Some(leg) = self.nodes[n].media.some_leg() {
                    self.feed(n, Input::Media(MediaEvent::Timeout { leg }));
                }
            }
            Chaos::Deaf(n, gone) => {
                let silent = self.nodes[gone].media_addresses;
                for leg in self.nodes[n].media.legs_towards(&silent) {
                    self.feed(n, Input::Media(MediaEvent::Timeout { leg }));
                }
            }
            Chaos::HangUp(n) => {
                if let Some(call) = self.nodes[n].some_call(&mut self.rng) {
                    self.ask(n, Operator::Hangup(call));
                }
            }
        }
    }

    /// Puts the timelines of calls that did not end onto the ladder.
    pub fn show_stuck(&mut self, n: usize) {
        for call in self.nodes[n].active_calls() {
            self.ask(n, Operator::Call(call));
            for line in std::mem::take(&mut self.nodes[n].told) {
                self.ladder.note(self.now, line);
            }
        }
    }

    fn questions(&mut self, n: usize) {
        self.ask(n, Operator::Calls);
        self.ask(n, Operator::Trunks);
        self.ask(n, Operator::Registrations);
        if let Some(call) = self.nodes[n].some_call(&mut self.rng) {
            self.ask(n, Operator::Call(call));
        }
        self.ask(n, Operator::Call(CallId(7)));
    }
}
