//! A live switch for the torture messages: a trunk by its source, a dialplan that answers, a registrar with users, and media
//! that gives every leg a port at once.

use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use tandem::base::time::{Duration, Instant, Now, Wall};
use tandem::config::{Config, NoSecrets};
use tandem::dialplan::{Dialplan, Names};
use tandem::event::Fact;
use tandem::media::command as media;
use tandem::sip::transport::{Flow, Listener, ListenerId, Transport};
use tandem::sip::wire::{Fault, Framer, Message, Writer};
use tandem::switch::{Input, Operator, Output, Reply, Setup, Switch};

pub const TRUNK: &str = "192.0.2.200:5062";
pub const STRANGER: &str = "198.51.100.9:5062";

const CONFIG: &str = "
sip: { domain: pbx.test }
media: { codecs: [pcmu, pcma] }
trunks:
  - { name: carrier, targets: [\"sip:192.0.2.200:5062\"], inbound: [192.0.2.200/32], context: any }
users:
  - { name: anna, password: secret, context: any }
  - { name: j.user, password: secret, context: any }
  - { name: user, password: secret, context: any }
  - { name: watson, password: secret, context: any }
";

const PLAN: &str = "contexts:\n  any:\n    - match: { to: /.*/ }\n      do: [ answer, echo ]\n";

fn setup() -> Setup {
    let config = Config::read("torture.yaml", CONFIG, &NoSecrets).expect("the test's configuration").config;
    let dialplan = Dialplan::load(&[("torture.yaml".into(), PLAN.into())], &Names::ANY).expect("the test's dialplan");
    let local = SocketAddr::from(([192, 0, 2, 1], 5060));
    let listener = |id, transport| Listener { id: ListenerId(id), transport, local, advertised: local };
    Setup {
        config: Arc::new(config),
        dialplan: Arc::new(dialplan),
        rates: Default::default(),
        listeners: vec![listener(0, Transport::Udp), listener(1, Transport::Tcp)],
    }
}

pub fn udp(peer: &str) -> Flow {
    let peer = peer.parse().expect("an address");
    Flow { listener: ListenerId(0), transport: Transport::Udp, peer, connection: 0 }
}

pub fn tcp(peer: &str) -> Flow {
    Flow { listener: ListenerId(1), transport: Transport::Tcp, connection: 7, ..udp(peer) }
}

/// A message that the switch sent, read line by line and not by the library that is under test.
#[derive(Clone, Debug)]
pub struct Sent {
    pub peer: SocketAddr,
    pub text: String,
}

impl Sent {
    /// "" for a request.
    pub fn status(&self) -> u16 {
        self.text.strip_prefix("SIP/2.0 ").map_or(0, |rest| rest[..3].parse().expect("a status"))
    }

    /// Values of a header in its canonical form, in order.
    pub fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        head.split("\r\n").skip(1).filter_map(move |line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub fn field<'a>(&'a self, name: &'a str) -> &'a str {
        self.fields(name).next().unwrap_or_default()
    }

    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    pub fn is_request(&self, method: &str) -> bool {
        self.text.strip_prefix(method).is_some_and(|rest| rest.starts_with(' '))
    }
}

pub struct Bench {
    pub switch: Switch,
    now: Now,
    pub sent: Vec<Sent>,
    pub records: u64,
    pub media_commands: u64,
    pub replies: Vec<Reply>,
    ports: u16,
}

impl Bench {
    pub fn new() -> Bench {
        let now = Now { mono: Instant::from_micros(1), wall: Wall(1_000_000) };
        let switch = Switch::new(setup(), 7, now);
        Bench { switch, now, sent: Vec::new(), records: 0, media_commands: 0, replies: Vec::new(), ports: 30_000 }
    }

    pub fn input(&mut self, input: Input) {
        self.switch.handle(self.now, input);
        let mut follow_ups = Vec::new();
        while let Some(output) = self.switch.poll() {
            follow_ups.extend(self.output(output));
        }
        follow_ups.into_iter().for_each(|input| self.input(input));
    }

    /// Takes an output; the answer to it if the rest of the program gives one.
    fn output(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Send { flow, bytes } => {
                let text = String::from_utf8(bytes.to_vec()).expect("what is sent is UTF-8");
                self.sent.push(Sent { peer: flow.peer, text });
            }
            Output::Media(command) => {
                self.media_commands += 1;
                return self.media(command);
            }
            Output::Fact(Fact::CallEnded(record)) => {
                self.records += 1;
                return Some(Input::Stored { call: record.cdr.call });
            }
            Output::Reply { reply, .. } => self.replies.push(reply),
            Output::Fact(_)
            | Output::Close { .. }
            | Output::Record(_)
            | Output::Web(_)
            | Output::Speech(_)
            | Output::Leg { .. }
            | Output::Resolve(_)
            | Output::Identity(_) => {}
        }
        None
    }

    fn media(&mut self, command: media::Command) -> Option<Input> {
        let event = match command {
            media::Command::Open { leg, .. } => {
                self.ports = if self.ports < 39_998 { self.ports + 2 } else { 30_000 };
                media::Event::Opened { leg, rtp: SocketAddr::from(([192, 0, 2, 1], self.ports)) }
            }
            media::Command::Close { leg } => media::Event::Closed { leg, quality: Box::default() },
            _ => return None,
        };
        Some(Input::Media(event))
    }

    pub fn datagram(&mut self, flow: Flow, bytes: Bytes) {
        self.input(Input::Received { flow, bytes });
    }

    /// What the stream reader of the program does with octets: cuts messages; answers what breaks the frame, and says that it
    /// is lost.
    pub fn stream(&mut self, flow: Flow, bytes: &[u8]) -> bool {
        let mut framer = Framer::default();
        framer.push(bytes);
        loop {
            match framer.next_message() {
                Ok(Some(bytes)) => self.input(Input::Received { flow, bytes }),
                Ok(None) => return false,
                Err(Fault::BadRequest { status, reason }) => {
                    let partial = framer.partial().filter(Message::is_request);
                    let answer = partial.and_then(|m| Writer::stateless_response(&m, status, reason, flow.peer));
                    let text = answer.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                    self.sent.extend(text.map(|text| Sent { peer: flow.peer, text }));
                    return true;
                }
                Err(_) => return true,
            }
        }
    }

    pub fn ask(&mut self, ask: Operator) -> Reply {
        self.input(Input::Operator { id: 1, ask });
        self.replies.pop().expect("an operator is answered")
    }

    pub fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while let Some((at, _)) = self.switch.deadline().filter(|(at, _)| *at <= end) {
            self.set_time(at.max(self.now.mono));
            self.input(Input::Tick);
        }
        self.set_time(end);
    }

    fn set_time(&mut self, at: Instant) {
        self.now = Now { mono: at, wall: Wall(1_000_000 + at.as_micros() as i64) };
    }

    /// Final responses since the last look.
    pub fn finals(&mut self) -> Vec<Sent> {
        let sent = std::mem::take(&mut self.sent);
        sent.into_iter().filter(|m| m.status() >= 200).collect()
    }

    /// Nothing is left of anything, and every call has its record.
    pub fn assert_empty(&mut self, of: &str) {
        let c = self.switch.counters();
        assert_eq!((c.calls_active, c.legs_active, c.media_legs_active), (0, 0, 0), "{of}: calls, legs, media");
        assert_eq!((c.transactions_server, c.transactions_client, c.timers), (0, 0, 0), "{of}: transactions, timers");
        assert_eq!((c.cdrs_unacknowledged, c.registrations), (0, 0), "{of}: records, registrations");
        assert_eq!(self.records, c.calls_total, "{of}: a record a call");
        assert_eq!(self.switch.deadline(), None, "{of}: something is still due");
        match self.ask(Operator::Trunks) {
            Reply::Trunks(trunks) => {
                assert!(trunks.iter().all(|t| t.calls == 0), "{of}: a trunk's place is still taken")
            }
            other => panic!("{other:?}"),
        }
    }
}
