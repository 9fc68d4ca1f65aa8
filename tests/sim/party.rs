//! A simulated peer (phone or carrier): its own transaction layer, registration, and the noise it makes. Dialogs: `legs`.
//!
//! A party is sans-IO too: `receive` and `timer` put what it does into `acts`.

use super::digest;
use super::legs::{CallPlan, Leg, LegTimer};
use super::text::{Msg, addr_uri, param};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tandem::base::rng::Rng;
use tandem::base::time::{Duration, Instant};

pub const T1: Duration = Duration::from_millis(500);
pub const T2: Duration = Duration::from_secs(4);
pub const T1_64: Duration = Duration::from_secs(32);

#[derive(Debug)]
pub enum Act {
    Send(Bytes),
    Timer(Duration, Key),
    /// A key is pressed, with the number of the press, and sounds from this address.
    Press {
        call_id: String,
        media: SocketAddr,
        key: (u32, char),
    },
    /// A promise of the switch is broken.
    Fault {
        call_id: String,
        what: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    Call(usize),
    Resend(u64),
    Leg(usize, LegTimer),
    Register,
    Unregister,
    Noise(usize),
}

#[derive(Clone, Debug)]
pub enum Kind {
    Phone {
        user: String,
        password: String,
    },
    /// `challenges`: asks the switch's INVITEs for these credentials.
    Carrier {
        challenges: Option<(String, String)>,
    },
}

/// A request that waits for its final response.
struct Client {
    id: u64,
    method: String,
    branch: String,
    leg: Option<usize>,
    msg: Msg,
    sent: Instant,
    interval: Duration,
    provisional: bool,
    done: bool,
}

/// What a party does beside calling, at some moment.
#[derive(Clone, Debug)]
pub enum Noise {
    Options,
    UnknownMethod,
    Require,
    Bytes(Bytes),
    StrayBye,
}

pub struct Party {
    pub name: String,
    pub kind: Kind,
    /// Where it listens and what it writes into Via and Contact (behind a NAT the switch sees another address).
    pub local: SocketAddr,
    pub is_stream: bool,
    /// The switch's address and SIP domain.
    pub home: SocketAddr,
    pub domain: String,
    pub legs: Vec<Leg>,
    pub calls: Vec<CallPlan>,
    pub noise: Vec<Noise>,
    pub expires_s: u32,
    pub registering: bool,
    /// Messages between this party and the switch are never lost: a timeout is somebody's fault.
    pub lossless: bool,
    /// The last moment at which something happened to it that no protocol can hide (crash, broken stream, new NAT address).
    pub disturbed: Option<Instant>,
    pub acts: Vec<Act>,
    pub rng: Rng,
    pub now: Instant,
    /// Sends each message twice.
    pub pesters: bool,
    pub behaviour: super::legs::Behaviour,
    clients: Vec<Client>,
    servers: BTreeMap<(String, String), Option<Msg>>,
    next_client: u64,
    next_branch: u32,
    /// Base of this party's leg markers; see `books`.
    pub marker_base: u32,
    register_cseq: u32,
    challenge: Option<(String, u32)>,
    nonce: u32,
    /// The whole authorization of a registration that worked at least once.
    pub registered_once: bool,
}

impl Party {
    pub fn new(name: &str, kind: Kind, local: SocketAddr, home: SocketAddr, marker_base: u32, rng: Rng) -> Party {
        Party {
            name: name.into(),
            kind,
            local,
            is_stream: false,
            home,
            domain: "pbx.example.com".into(),
            legs: Vec::new(),
            calls: Vec::new(),
            noise: Vec::new(),
            expires_s: 120,
            registering: false,
            lossless: true,
            disturbed: None,
            acts: Vec::new(),
            rng,
            now: Instant::ZERO,
            pesters: false,
            behaviour: Default::default(),
            clients: Vec::new(),
            servers: BTreeMap::new(),
            next_client: 0,
            next_branch: 0,
            marker_base,
            register_cseq: 0,
            challenge: None,
            nonce: 0,
            registered_once: false,
        }
    }

    pub fn transport(&self) -> &'static str {
        if self.is_stream { "TCP" } else { "UDP" }
    }

    /// Blames the switch, unless a disturbance since `since` excuses it.
    pub fn blame(&mut self, since: Instant, call_id: &str, what: String) {
        if self.disturbed.is_none_or(|at| at < since) {
            self.acts.push(Act::Fault { call_id: call_id.into(), what: format!("{}: {what}", self.name) });
        }
    }

    /// Blames the switch for a silence, which a lossy network excuses too.
    pub fn blame_silence(&mut self, since: Instant, call_id: &str, what: String) {
        if self.lossless {
            self.blame(since, call_id, what);
        }
    }

    pub fn after(&mut self, delay: Duration, key: Key) {
        self.acts.push(Act::Timer(delay, key));
    }

    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.rng.below(to - from + 1))
    }

    pub fn send(&mut self, msg: &Msg) {
        let bytes = msg.bytes();
        if self.pesters && !self.is_stream {
            self.acts.push(Act::Send(bytes.clone()));
        }
        self.acts.push(Act::Send(bytes));
    }

    pub fn new_branch(&mut self, marker: &str) -> String {
        self.next_branch += 1;
        format!("z9hG4bK{marker}-{}-{}", self.name, self.next_branch)
    }

    pub fn via(&self, branch: &str) -> String {
        format!("SIP/2.0/{} {};rport;branch={branch}", self.transport(), self.local)
    }

    pub fn contact(&self, marker: &str) -> String {
        let transport = if self.is_stream { ";transport=tcp" } else { "" };
        format!("<sip:{marker}@{}{transport}>", self.local)
    }

    /// Starts a client transaction.
    pub fn request(&mut self, leg: Option<usize>, msg: Msg) {
        let (id, method, branch) = (self.next_client, msg.method().to_string(), msg.branch().to_string());
        self.next_client += 1;
        self.send(&msg);
        let interval = if self.is_stream { T1_64 } else { T1 };
        self.clients.push(Client {
            id,
            method,
            branch,
            leg,
            msg,
            sent: self.now,
            interval,
            provisional: false,
            done: false,
        });
        self.after(interval, Key::Resend(id));
    }

    /// Answers a request and remembers the answer for its retransmissions.
    pub fn respond(&mut self, request: &Msg, answer: Msg) {
        self.send(&answer);
        self.servers.insert((request.branch().to_string(), request.method().to_string()), Some(answer));
    }

    /// Re-sends the final answer of an INVITE until its ACK.
    pub fn resend_answer(&mut self, msg: &Msg) {
        self.acts.push(Act::Send(msg.bytes()));
    }

    pub fn receive(&mut self, now: Instant, msg: &Msg) {
        self.now = now;
        if !msg.is_request() {
            return self.response(msg);
        }
        let key = (msg.branch().to_string(), msg.method().to_string());
        if msg.method() == "ACK" {
            return self.leg_ack(msg);
        }
        if let Some(answer) = self.servers.get(&key) {
            if let Some(answer) = answer.clone() {
                self.acts.push(Act::Send(answer.bytes()));
            }
            return;
        }
        self.servers.insert(key, None);
        match msg.method() {
            "OPTIONS" if msg.tag_of_to().is_empty() => {
                let answer = Msg::reply(msg, 200, "options");
                self.respond(msg, answer);
            }
            "INVITE" if msg.tag_of_to().is_empty() => self.incoming(msg),
            "CANCEL" => self.leg_cancel(msg),
            _ => self.leg_request(msg),
        }
    }

    fn response(&mut self, msg: &Msg) {
        let (branch, method) = (msg.branch(), msg.method());
        let Some(at) = self.clients.iter().position(|c| c.branch == branch && c.method == method) else {
            return;
        };
        if msg.all("Via").count() != 1 {
            self.blame(self.now, msg.call_id(), format!("{} carries other Vias than mine", msg.summary()));
        }
        let c = &mut self.clients[at];
        let (was_done, leg, request) = (c.done, c.leg, c.msg.clone());
        c.provisional |= msg.status() < 200;
        c.done |= msg.status() >= 200;
        if msg.status() >= 300 && method == "INVITE" {
            self.ack_failure(&request, msg);
        }
        if was_done && !(method == "INVITE" && (200..300).contains(&msg.status())) {
            return;
        }
        if msg.status() == 100 && leg.is_none() {
            return;
        }
        match (leg, method) {
            (Some(leg), _) => self.leg_response(leg, &request, msg),
            (None, "REGISTER") => self.register_response(&request, msg),
            (None, _) => self.noise_response(&request, msg),
        }
    }

    fn ack_failure(&mut self, request: &Msg, response: &Msg) {
        let mut ack = Msg::request("ACK", request.uri());
        for name in ["Via", "Max-Forwards", "From", "Call-ID"] {
            ack = ack.with(name, request.get(name));
        }
        let ack = ack.with("To", response.get("To")).with("CSeq", format!("{} ACK", request.cseq().0));
        self.send(&ack);
    }

    pub fn timer(&mut self, now: Instant, key: Key) {
        self.now = now;
        match key {
            Key::Call(n) => self.start_call(n),
            Key::Resend(id) => self.resend(id),
            Key::Leg(leg, timer) => self.leg_timer(leg, timer),
            Key::Register => self.register(self.expires_s),
            Key::Unregister => {
                self.registering = false;
                if self.rng.chance(500) {
                    self.register(0);
                }
            }
            Key::Noise(n) => self.make_noise(n),
        }
    }

    fn resend(&mut self, id: u64) {
        let Some(at) = self.clients.iter().position(|c| c.id == id) else { return };
        let c = &mut self.clients[at];
        if c.done || (c.provisional && c.method == "INVITE") {
            return;
        }
        if self.now.since(c.sent) >= T1_64 {
            c.done = true;
            let (leg, msg, sent) = (c.leg, c.msg.clone(), c.sent);
            self.blame_silence(sent, msg.call_id(), format!("no answer to {} in 64·T1", msg.method()));
            if let Some(leg) = leg {
                self.leg_timeout(leg, &msg);
            } else if msg.method() == "REGISTER" && self.registering {
                self.after(Duration::from_secs(5), Key::Register);
            }
            return;
        }
        c.interval = if c.method == "INVITE" { c.interval * 2 } else { (c.interval * 2).min(T2) };
        let left = T1_64.saturating_sub(self.now.since(c.sent));
        let (interval, bytes) = (c.interval.min(left), c.msg.bytes());
        self.acts.push(Act::Send(bytes));
        self.after(interval, Key::Resend(id));
    }

    /// The stream broke or the switch was replaced: what was under way there is lost.
    pub fn disturb(&mut self, now: Instant) {
        self.now = now;
        self.disturbed = Some(now);
        if self.registering && self.is_stream {
            self.after(Duration::from_millis(200), Key::Register);
        }
    }

    fn register(&mut self, expires: u32) {
        let Kind::Phone { user, password } = self.kind.clone() else { return };
        if expires > 0 && !self.registering {
            return;
        }
        let branch = self.new_branch("reg");
        self.register_cseq += 1;
        let uri = format!("sip:{}", self.domain);
        let transport = if self.is_stream { ";transport=tcp" } else { "" };
        let mut m = Msg::request("REGISTER", &uri)
            .with("Via", self.via(&branch))
            .with("Max-Forwards", 70)
            .with("From", format!("<sip:{user}@{}>;tag=reg-{}", self.domain, self.register_cseq))
            .with("To", format!("<sip:{user}@{}>", self.domain))
            .with("Call-ID", format!("register-{}", self.name))
            .with("CSeq", format!("{} REGISTER", self.register_cseq))
            .with("Contact", format!("<sip:{user}@{}{transport}>;expires={expires}", self.local));
        if let Some((challenge, nc)) = &mut self.challenge {
            *nc += 1;
            m = m.with("Authorization", digest::credentials(challenge, &user, &password, "REGISTER", &uri, *nc));
        }
        self.request(None, m);
    }

    fn register_response(&mut self, request: &Msg, msg: &Msg) {
        let expires = param(request.get("Contact"), "expires").parse().unwrap_or(0);
        match msg.status() {
            100..200 => {}
            200 if expires > 0 => {
                let mine = addr_uri(request.get("Contact"));
                let Some(bound) = msg.all("Contact").find(|c| addr_uri(c) == mine) else {
                    return self.blame(self.now, msg.call_id(), "200 to REGISTER does not list my Contact".into());
                };
                let granted: u64 = param(bound, "expires").parse().unwrap_or(0);
                if granted == 0 || granted > u64::from(expires) {
                    self.blame(self.now, msg.call_id(), format!("asked {expires} s, granted {granted}"));
                }
                self.registered_once = true;
                self.after(Duration::from_millis(granted.max(2) * 600), Key::Register);
            }
            401 | 407 => {
                let tried = !request.get("Authorization").is_empty();
                let challenges: Vec<&str> = msg.all("WWW-Authenticate").collect();
                let pick = self.rng.below(challenges.len() as u64) as usize;
                let Some(challenge) = challenges.get(pick) else {
                    return self.blame(self.now, msg.call_id(), "401 without a challenge".into());
                };
                let is_stale = super::text::auth_param(challenge, "stale").eq_ignore_ascii_case("true");
                let same = self.challenge.as_ref().is_some_and(|(c, _)| nonce_of(c) == nonce_of(challenge));
                if tried && (same || !is_stale) && self.disturbed.is_none() {
                    self.blame(self.now, msg.call_id(), "401 to good credentials, and not as stale".into());
                }
                self.challenge = Some((challenge.to_string(), 0));
                if tried {
                    self.after(Duration::from_millis(200), Key::Register);
                } else {
                    self.register(expires);
                }
            }
            _ => self.after(Duration::from_secs(10), Key::Register),
        }
    }

    /// Credentials for a challenge to a request of a dialog, or `None` if we have none.
    pub fn answer_challenge(&mut self, msg: &Msg, method: &str, uri: &str) -> Option<(&'static str, String)> {
        let Kind::Phone { user, password } = self.kind.clone() else { return None };
        let (from, to) = match msg.status() {
            401 => ("WWW-Authenticate", "Authorization"),
            _ => ("Proxy-Authenticate", "Proxy-Authorization"),
        };
        let challenges: Vec<&str> = msg.all(from).collect();
        let pick = self.rng.below(challenges.len() as u64) as usize;
        let challenge = challenges.get(pick)?;
        Some((to, digest::credentials(challenge, &user, &password, method, uri, 1)))
    }

    /// A carrier's challenge: `None` if the request carries good credentials or none are wanted.
    pub fn challenge_to(&mut self, request: &Msg) -> Option<String> {
        let Kind::Carrier { challenges: Some((user, password)) } = self.kind.clone() else { return None };
        let nonce = format!("n{}", self.nonce);
        let given = request.get("Proxy-Authorization");
        if !given.is_empty() && digest::verify(given, &user, &password, request.method(), &nonce) {
            return None;
        }
        let stale = if given.is_empty() { "" } else { ", stale=true" };
        if self.rng.chance(200) || !given.is_empty() {
            self.nonce += 1;
        }
        Some(format!("Digest realm=\"carrier\", nonce=\"n{}\", qop=\"auth\", algorithm=MD5{stale}", self.nonce))
    }

    fn make_noise(&mut self, n: usize) {
        let noise = self.noise[n].clone();
        let (method, extra) = match &noise {
            Noise::Bytes(bytes) => return self.acts.push(Act::Send(bytes.clone())),
            Noise::Options => ("OPTIONS", None),
            Noise::UnknownMethod => ("FROBNICATE", None),
            Noise::Require => ("OPTIONS", Some("frobnication")),
            Noise::StrayBye => ("BYE", None),
        };
        let branch = self.new_branch("noise");
        let to_tag = if matches!(noise, Noise::StrayBye) { ";tag=nobody" } else { "" };
        let mut m = Msg::request(method, &format!("sip:{}", self.domain))
            .with("Via", self.via(&branch))
            .with("Max-Forwards", 70)
            .with("From", format!("<sip:noise@{}>;tag=n{n}", self.domain))
            .with("To", format!("<sip:{}>{to_tag}", self.domain))
            .with("Call-ID", format!("noise-{}-{n}", self.name))
            .with("CSeq", format!("1 {method}"))
            .with("Contact", self.contact("noise"));
        if let Some(tag) = extra {
            m = m.with("Require", tag);
        }
        self.request(None, m);
    }

    /// Each kind of noise has its answers; 401 and 503 are always allowed (not known, draining).
    fn noise_response(&mut self, request: &Msg, msg: &Msg) {
        let want: &[u16] = match request.method() {
            "OPTIONS" if !request.get("Require").is_empty() => &[420],
            "OPTIONS" => &[200],
            "BYE" => &[481],
            _ => &[405, 501],
        };
        let status = msg.status();
        if status >= 200 && !want.contains(&status) && ![401, 403, 407, 503].contains(&status) {
            self.blame(self.now, msg.call_id(), format!("{status} to {}, expected {want:?}", request.method()));
        }
        if status == 405 && msg.get("Allow").is_empty() {
            self.blame(self.now, msg.call_id(), "405 without Allow".into());
        }
        if status == 420 && msg.get("Unsupported") != "frobnication" {
            self.blame(self.now, msg.call_id(), "420 without Unsupported".into());
        }
    }
}

fn nonce_of(challenge: &str) -> &str {
    super::text::auth_param(challenge, "nonce")
}
