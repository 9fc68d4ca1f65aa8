//! One call through the switch by hand: what a reader tries first. The rest is the simulator's.

mod availability;
mod byoc;
mod carrier;
mod conference;
mod digits;
mod domains;
mod edge;
mod guard;
mod identity;
mod markup;
mod markup_effects;
mod markup_nouns;
mod names;
mod pay;
mod pci;
mod queue;
mod recording;
mod refer;
mod registrant;
mod speech;
mod web;

use super::*;
use crate::base::time::{Duration, Wall};
use crate::config::{Config, Http, Limits, Media, Network, Sip, Srtp, Trunk};
use crate::dialplan::{Dialplan, Names};
use crate::sip::transport::{Listener, ListenerId, Transport};
use crate::sip::wire::HeaderName;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

const US: &str = "127.0.0.1:5060";
const CALLER: &str = "127.0.0.1:6000";
const CALLEE: &str = "127.0.0.1:7000";

fn setup(plan: &str) -> Setup {
    let dialplan =
        Dialplan::load(&[("test.yaml".into(), plan.into())], &Names::ANY).expect("the test's dialplan loads");
    let local: SocketAddr = US.parse().unwrap();
    Setup {
        config: Arc::new(minimal()),
        dialplan: Arc::new(dialplan),
        rates: Arc::default(),
        listeners: vec![Listener { id: ListenerId(0), transport: Transport::Udp, local, advertised: local }],
    }
}

fn minimal() -> Config {
    let trunk = Trunk {
        inbound: vec![Network { address: [127, 0, 0, 1].into(), prefix: 32 }],
        context: "any".into(),
        ..Trunk::at("carrier", Vec::new())
    };
    Config {
        lcr: crate::config::Lcr::default(),
        tolls: Vec::new(),
        pci: false,
        pay: Vec::new(),
        capture: Config::default().capture,
        parking: Config::default().parking,
        hep: None,
        recording: Config::default().recording,
        node: "n".into(),
        data_dir: ".".into(),
        store: "sqlite".into(),
        sip: Sip {
            domain: "pbx.test".into(),
            listen: Vec::new(),
            external_address: None,
            user_agent: "Tandem".into(),
            anonymous_context: None,
            tls: None,
            guard: Config::default().sip.guard,
            session_timers: Default::default(),
            reach: Default::default(),
            identity: Default::default(),
        },
        media: Media {
            forwarding: Default::default(),
            io: Default::default(),
            addresses: Vec::new(),
            ports: (30_000, 39_999),
            threads: None,
            codecs: vec!["pcmu".into(), "pcma".into()],
            country: "us".into(),
            prompts: ".".into(),
            srtp: Srtp::Optional,
            rtp_timeout: None,
        },
        http: Http {
            listen: ([127, 0, 0, 1], 8080).into(),
            account_sid: None,
            auth_token: None,
            behind_proxy: false,
            tls: None,
        },
        web: Config::default().web,
        speech: Config::default().speech,
        limits: Limits { calls: 0, cps: 0, call_duration: Duration::ZERO, emergency: Vec::new() },
        trunks: vec![trunk],
        users: Vec::new(),
        dialplans: Vec::new(),
        drain_timeout: Duration::from_secs(60),
    }
}

struct Bench {
    switch: Switch,
    now: Now,
    sent: Vec<(SocketAddr, Message)>,
    ports: u16,
    ended: Vec<crate::event::CallRecord>,
    rooms: BTreeMap<media::RoomId, media::RoomState>,
    hears: BTreeMap<media::LegId, media::Hears>,
    replies: Vec<Reply>,
    taps: BTreeMap<media::LegId, Option<media::TapId>>,
    orders: Vec<crate::recording::command::Order>,
    web: Vec<crate::web::Order>,
    speech: Vec<crate::speech::Order>,
    groups: Vec<u64>,
    states: BTreeMap<media::LegId, media::LegState>,
    dialled: Vec<(media::LegId, media::Press)>,
    queries: Vec<crate::sip::locate::Query>,
    identity: Vec<crate::sip::identity::Order>,
    reached: BTreeMap<String, crate::event::Changed>,
    texts: Vec<crate::event::Outgoing>,
}

impl Bench {
    fn new(plan: &str) -> Bench {
        Bench::with(setup(plan))
    }

    fn with(setup: Setup) -> Bench {
        let now = Now { mono: Instant::from_micros(1), wall: Wall(1_000_000) };
        Bench {
            switch: Switch::new(setup, 7, now),
            now,
            sent: Vec::new(),
            ports: 30_000,
            ended: Vec::new(),
            rooms: BTreeMap::new(),
            hears: BTreeMap::new(),
            replies: Vec::new(),
            taps: BTreeMap::new(),
            orders: Vec::new(),
            web: Vec::new(),
            speech: Vec::new(),
            groups: Vec::new(),
            states: BTreeMap::new(),
            dialled: Vec::new(),
            queries: Vec::new(),
            identity: Vec::new(),
            reached: BTreeMap::new(),
            texts: Vec::new(),
        }
    }

    fn input(&mut self, input: Input) {
        self.switch.handle(self.now, input);
        while let Some(output) = self.switch.poll() {
            match output {
                Output::Send { flow, bytes } => self.sent.push((flow.peer, Message::parse(bytes).expect("strict out"))),
                Output::Media(media::Command::Open { leg, group, .. }) => {
                    self.groups.push(group);
                    self.ports = self.ports % 60_000 + 2;
                    let rtp = SocketAddr::from(([127, 0, 0, 1], self.ports));
                    self.input(Input::Media(media::Event::Opened { leg, rtp }));
                }
                Output::Media(media::Command::Close { leg }) => {
                    self.input(Input::Media(media::Event::Closed { leg, quality: Box::default() }));
                }
                Output::Fact(crate::event::Fact::CallEnded(record)) => {
                    let call = record.cdr.call;
                    self.ended.push(*record);
                    self.input(Input::Stored { call });
                }
                Output::Fact(crate::event::Fact::Outgoing(text)) => self.texts.push(*text),
                Output::Fact(crate::event::Fact::Reached { user, changed }) => _ = self.reached.insert(user, changed),
                Output::Media(media::Command::Set { leg, state }) => {
                    self.hears.insert(leg, state.hears.clone());
                    self.taps.insert(leg, state.tap);
                    self.states.insert(leg, *state);
                }
                Output::Media(media::Command::Digits { leg, digits }) => {
                    self.dialled.extend(digits.iter().map(|press| (leg, *press)));
                }
                Output::Media(media::Command::Room { room, state, .. }) => {
                    self.rooms.insert(room, *state);
                    self.rooms.retain(|_, state| !state.members.is_empty());
                }
                Output::Record(order) => self.orders.push(order),
                Output::Web(order) => self.web.push(order),
                Output::Speech(order) => self.speech.push(order),
                Output::Reply { reply, .. } => self.replies.push(reply),
                Output::Resolve(query) => self.queries.push(query),
                Output::Identity(order) => self.identity.push(order),
                _ => {}
            }
        }
    }

    fn receive(&mut self, from: &str, text: String) {
        let flow =
            Flow { listener: ListenerId(0), transport: Transport::Udp, peer: from.parse().unwrap(), connection: 0 };
        self.input(Input::Received { flow, bytes: Bytes::from(text) });
    }

    /// What was sent to `to` last.
    fn last(&self, to: &str) -> &Message {
        let to: SocketAddr = to.parse().unwrap();
        self.sent.iter().rev().find(|(peer, _)| *peer == to).map(|(_, m)| m).expect("something was sent there")
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while let Some((at, _)) = self.switch.deadline().filter(|(at, _)| *at <= end) {
            self.now.mono = at.max(self.now.mono);
            self.input(Input::Tick);
        }
        self.now.mono = end;
    }

    fn answer(&mut self, from: &str, request: &Message, status: &str, tag: &str, sdp_port: Option<u16>) {
        let copy = |name: HeaderName| request.header(name).unwrap_or_default().to_owned();
        let body = sdp_port.map_or(String::new(), sdp);
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!(
            "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag={tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:callee@{from}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            copy(HeaderName::Via),
            copy(HeaderName::From),
            copy(HeaderName::To),
            copy(HeaderName::CallId),
            copy(HeaderName::CSeq),
            body.len()
        );
        self.receive(from, text);
    }
}

fn sdp(port: u16) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n")
}

fn request(method: &str, n: usize, cseq: u32, to_tag: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:100@{US} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK{method}{n}\r\nMax-Forwards: 70\r\n\
         From: <sip:+1212@{CALLER}>;tag=caller{n}\r\nTo: <sip:100@{US}>{to_tag}\r\nCall-ID: call{n}\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:caller@{CALLER}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const DIAL: &str = "contexts:\n  any:\n    - match: { to: \"100\" }\n      do:\n        - dial: { uri: \"sip:200@127.0.0.1:7000\", timeout: 20s }\n";

/// A whole call: INVITE through, 180, 200, ACK, BYE from the caller.
fn one_call(b: &mut Bench, n: usize) {
    b.receive(CALLER, request("INVITE", n, 1, "", &sdp(4000)));
    let invite = b.last(CALLEE).clone();
    b.answer(CALLEE, &invite, "180 Ringing", "callee", None);
    assert_eq!(b.last(CALLER).status(), 180);
    b.answer(CALLEE, &invite, "200 OK", "callee", Some(5000));
    assert_eq!(b.last(CALLEE).method(), Method::Ack);
    let ok = b.last(CALLER).clone();
    assert_eq!((ok.status(), ok.contact().map(|c| c.uri)), (200, Some("sip:127.0.0.1:5060")));
    let to_tag = format!(";tag={}", ok.to_tag());
    b.receive(CALLER, request("ACK", n, 1, &to_tag, ""));
    b.receive(CALLER, request("BYE", n, 2, &to_tag, ""));
    let bye = b.last(CALLEE).clone();
    assert_eq!((bye.method(), b.last(CALLER).status()), (Method::Bye, 200));
    b.answer(CALLEE, &bye, "200 OK", "", None);
}

#[test]
fn a_call_goes_through_and_leaves_one_record_and_nothing_else() {
    let mut b = Bench::new(DIAL);
    one_call(&mut b, 1);
    let cdr = &b.ended[0].cdr;
    assert_eq!((cdr.ending.class, cdr.ending.reason, cdr.legs.len()), (Class::Caller, "hangup", 2));
    assert_eq!((cdr.from.as_str(), cdr.to.as_str(), cdr.legs[1].status), ("+1212", "100", 200));
    assert!(b.ended[0].timeline.entries().len() > 12);
    b.pass(Duration::from_secs(200));
    let c = b.switch.counters();
    assert_eq!((c.calls_active, c.legs_active, c.media_legs_active, c.cdrs_unacknowledged), (0, 0, 0, 0));
    assert_eq!((c.transactions_server, c.transactions_client, c.timers), (0, 0, 0));
}

#[test]
fn a_refusal_reaches_the_caller() {
    let mut b = Bench::new(DIAL);
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    let invite = b.last(CALLEE).clone();
    b.answer(CALLEE, &invite, "486 Busy Here", "callee", None);
    assert_eq!((b.last(CALLEE).method(), b.last(CALLER).status()), (Method::Ack, 486));
    assert_eq!(b.ended[0].cdr.ending, Ending::new(Class::Callee, "busy", 486));
}

/// Also what to run under `valgrind --tool=callgrind` to see where a call's instructions go.
#[test]
fn a_thousand_calls_in_a_row_leave_nothing() {
    let mut b = Bench::new(DIAL);
    for n in 0..1_000 {
        one_call(&mut b, n);
        b.sent.clear();
        b.pass(Duration::from_millis(1));
    }
    assert_eq!(b.ended.len(), 1_000);
    b.pass(Duration::from_secs(200));
    let c = b.switch.counters();
    assert_eq!((c.calls_total, c.calls_active, c.legs_active, c.media_legs_active, c.timers), (1_000, 0, 0, 0, 0));
    assert_eq!((c.transactions_server, c.transactions_client, c.cdrs_unacknowledged), (0, 0, 0));
}
