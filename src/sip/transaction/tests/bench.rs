//! The bench on which the machines' table tests run: one layer, one peer, simulated time, and outputs as short text.

use super::super::{ClientId, Event, Limits, Output, ServerId, Transactions};
use crate::base::time::{Duration, Instant};
use crate::sip::transport::{Flow, ListenerId, Transport};
use crate::sip::wire::{Message, Method};
use bytes::Bytes;

pub struct Bench {
    pub layer: Transactions,
    pub now: Instant,
    pub flow: Flow,
    pub server: Option<ServerId>,
    pub client: Option<ClientId>,
    method: String,
    clients: u32,
}

/// Runs each row's step and compares what comes out.
///
/// Steps: `send METHOD`, `< STATUS [METHOD]` (a response), `> METHOD [NAME=VALUE]…` (a request), `respond STATUS`, `once STATUS`, `acked`,
/// `cancel [REASON]`, `fail`, `run MS` (until that moment, each output with its moment in ms).
pub fn check(transport: Transport, rows: &[(&str, &str)]) {
    let mut bench = Bench::new(transport, Limits::default());
    for (i, (step, want)) in rows.iter().enumerate() {
        assert_eq!(bench.step(step), *want, "row {i}: {step}");
    }
}

impl Bench {
    pub fn new(transport: Transport, limits: Limits) -> Bench {
        let connection = u64::from(transport.is_reliable());
        let flow = Flow { listener: ListenerId(0), transport, peer: ([192, 0, 2, 1], 5060).into(), connection };
        let (layer, now, method) = (Transactions::new(limits), Instant::ZERO, String::new());
        Bench { layer, now, flow, server: None, client: None, method, clients: 0 }
    }

    pub fn step(&mut self, step: &str) -> String {
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        match verb {
            "send" => self.send(rest),
            "<" => self.response(rest),
            ">" => self.receive(&request(rest)),
            "respond" => self.respond(rest.parse().unwrap(), false),
            "once" => self.respond(rest.parse().unwrap(), true),
            "reliably" => {
                let (status, id) = (rest.parse().unwrap(), self.server.unwrap());
                let request = self.layer.server_request(id).unwrap().0.clone();
                let bytes =
                    crate::sip::wire::Writer::response_to(&request, status, "", "ours", self.flow.peer).finish();
                self.layer.respond_reliably(self.now, id, status, bytes);
            }
            "pracked" => self.layer.pracked(self.now, self.server.unwrap()),
            "acked" => self.layer.acked(self.now, self.server.unwrap()),
            "cancel" => self.layer.cancel_because(self.now, self.client.unwrap(), rest),
            "fail" => self.layer.flow_failed(self.now, self.flow),
            "run" => return self.run(Instant::ZERO + Duration::from_millis(rest.parse().unwrap())),
            _ => panic!("no such step: {step}"),
        }
        self.drain("").join(", ")
    }

    pub fn receive(&mut self, text: &str) {
        let message = parse(Bytes::from(text.to_owned()));
        self.layer.receive(self.now, self.flow, message);
    }

    /// From deadline to deadline.
    fn run(&mut self, until: Instant) -> String {
        let mut out = Vec::new();
        while let Some((at, _)) = self.layer.deadline().filter(|(at, _)| *at <= until) {
            self.now = at;
            self.layer.handle_timeout(at);
            out.extend(self.drain(&format!("{} ", at.as_micros() / 1000)));
        }
        self.now = until;
        out.join(", ")
    }

    fn send(&mut self, method: &str) {
        self.clients += 1;
        self.method = method.to_owned();
        let bytes = Bytes::from(our_request(method, self.clients));
        let branch = format!("z9hG4bK-ours{}", self.clients);
        let id = self.layer.request(self.now, self.flow, Method::from_token(method), &branch, bytes);
        self.client = Some(id);
    }

    fn response(&mut self, rest: &str) {
        let (status, method) = rest.split_once(' ').unwrap_or((rest, &self.method));
        let n = self.clients;
        let text = format!(
            "SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK-ours{n}\r\nFrom: <sip:a@x>;tag=f\r\n\
             To: <sip:b@y>;tag=t{status}\r\nCall-ID: c{n}\r\nCSeq: 7 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        self.receive(&text);
    }

    fn respond(&mut self, status: u16, once: bool) {
        let id = self.server.unwrap();
        let bytes = match self.layer.server_request(id) {
            Some((request, flow)) => {
                crate::sip::wire::Writer::response_to(request, status, "", "ours", flow.peer).finish()
            }
            None => Bytes::from_static(b"never sent"),
        };
        if once {
            self.layer.respond_once(id, bytes);
        } else {
            self.layer.respond(self.now, id, status, bytes);
        }
    }

    fn drain(&mut self, prefix: &str) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(output) = self.layer.poll() {
            out.push(format!("{prefix}{}", self.describe(output)));
        }
        out
    }

    fn describe(&mut self, output: Output) -> String {
        match output {
            Output::Transmit { bytes, .. } => {
                let message = parse(bytes);
                if message.is_request() {
                    return format!("tx {}", message.method_str());
                }
                format!("tx {} {}", message.status(), message.method_str())
            }
            Output::Event(Event::Request { id, request, .. }) => {
                self.server = Some(id);
                format!("Request {}", request.method_str())
            }
            Output::Event(Event::Response { response, .. }) => format!("Response {}", response.status()),
            Output::Event(Event::StrayResponse { response, .. }) => format!("Stray {}", response.status()),
            Output::Event(Event::Timeout { rang: true, .. }) => "Timeout rang".to_owned(),
            Output::Event(Event::NeverAcked { accepted: true, .. }) => "NeverAcked accepted".to_owned(),
            Output::Event(event) => {
                let text = format!("{event:?}");
                text.split([' ', '{']).next().unwrap_or("").to_owned()
            }
        }
    }
}

pub fn parse(bytes: Bytes) -> Message {
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Message::parse(bytes).unwrap_or_else(|(fault, _)| panic!("{fault:?} in {text}"))
}

/// A request of ours, as the layer's user would write it.
pub fn our_request(method: &str, n: u32) -> String {
    format!(
        "{method} sip:b@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK-ours{n}\r\n\
         Max-Forwards: 70\r\nRoute: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\nFrom: <sip:a@x>;tag=f\r\nTo: <sip:b@y>\r\n\
         Call-ID: c{n}\r\nCSeq: 7 {method}\r\nContact: <sip:a@10.0.0.1>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A request of the peer's: `METHOD [branch=…] [host=…] [to=TAG] [cseq=N] [uri=…]`; `branch=` without a value for RFC 2543.
fn request(rest: &str) -> String {
    let mut words = rest.split(' ');
    let method = words.next().unwrap();
    let (mut branch, mut host, mut to, mut cseq) = ("z9hG4bK-peer", "192.0.2.1", "", "1");
    for (name, value) in words.filter_map(|w| w.split_once('=')) {
        match name {
            "branch" => branch = value,
            "host" => host = value,
            "to" => to = value,
            "cseq" => cseq = value,
            _ => panic!("no such part: {name}"),
        }
    }
    let branch = if branch.is_empty() { String::new() } else { format!(";branch={branch}") };
    let to = if to.is_empty() { String::new() } else { format!(";tag={to}") };
    format!(
        "{method} sip:us@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {host}{branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:p@x>;tag=pf\r\nTo: <sip:us@y>{to}\r\nCall-ID: pc\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:p@192.0.2.1>\r\nContent-Length: 0\r\n\r\n"
    )
}
