//! What every leg needs to speak SIP: transactions, our addresses, fresh identifiers.

use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::config::{Network, SessionTimers};
use crate::sip::dialog::{Dialog, Tag};
use crate::sip::locate::{Hop, Locator, Target};
use crate::sip::transaction::{ClientId, ServerId, Transactions, Way};
use crate::sip::transport::{Flow, Listener, NameId, Transport};
use crate::sip::wire::{HeaderName, Message, Method, Uri, Writer, parse_ip, reason_phrase};
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

pub use super::body::Body;

/// Methods that Tandem answers with something other than 405.
pub const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, INFO, UPDATE, PRACK, REFER, NOTIFY, SUBSCRIBE, PUBLISH, MESSAGE";

/// Extensions that Tandem speaks.
pub const SUPPORTED: &str = "100rel, timer, replaces, norefersub";
/// Those that only a REGISTER may require.
const OF_REGISTRAR: [&str; 3] = ["path", "outbound", "gruu"];

/// What a request requires that is not spoken here, for the Unsupported of a 420 (RFC 3261 §8.2.2.3).
pub fn unsupported(request: &Message) -> Option<String> {
    let own: &[&str] = if request.method() == Method::Register { &OF_REGISTRAR } else { &[] };
    let known = |tag: &str| SUPPORTED.split(", ").chain(own.iter().copied()).any(|s| s.eq_ignore_ascii_case(tag));
    let unknown: Vec<&str> = request.headers(HeaderName::Require).filter(|tag| !known(tag)).collect();
    (!unknown.is_empty()).then(|| unknown.join(", "))
}

/// Max-Forwards of requests that begin here (RFC 3261 §8.1.1.6).
pub const MAX_FORWARDS: u8 = 70;

/// Writes what bodies we read, as a 415 must say (RFC 3261 §21.4.13).
pub fn accepts(writer: Writer) -> Writer {
    writer.header(HeaderName::Accept, "application/sdp, multipart/mixed").raw_header("Accept-Encoding", "identity")
}

/// What a text may be, as a 415 to a MESSAGE says it.
pub const TEXT_TYPES: &str = "text/*, message/cpim, message/imdn+xml, application/im-iscomposing+xml";

/// Writes what a 200 to OPTIONS says of us (RFC 3261 §11.2): texts are taken too (RFC 3428 §9).
pub fn capabilities(writer: Writer) -> Writer {
    let writer = accepts(writer.header(HeaderName::Allow, ALLOW)).header(HeaderName::Accept, TEXT_TYPES);
    writer.raw_header("Accept-Language", "en").header(HeaderName::Supported, SUPPORTED)
}

/// Ends a message with its body, if it has one.
pub fn finish(writer: Writer, body: Option<&Body>) -> Bytes {
    match body {
        Some(body) => writer.finish_with_body(&body.content_type, &body.bytes),
        None => writer.finish(),
    }
}

pub struct Endpoint {
    pub transactions: Transactions,
    /// `sip.session_timers`, as in force.
    pub session_timers: SessionTimers,
    listeners: Vec<Listener>,
    rng: Rng,
    user_agent: Box<str>,
    /// Names of hosts, and which addresses have failed of late.
    pub locator: Locator,
    /// The moment of the input that is handled.
    pub now: Instant,
    /// Our address on the far side of a NAT, and the networks on this side of it.
    pub external: Option<IpAddr>,
    pub local_nets: Vec<Network>,
    /// Longer requests go by TCP, in octets; 0: never.
    pub udp_max: usize,
    /// Transports and families (true: IPv4) that there are listeners for.
    reach: Vec<(Transport, bool)>,
    /// What was sent since the owner last looked, for timelines and for finding the sender of a transaction.
    sent: Vec<Sent>,
    /// Streams that have broken, the latest; their numbers are never used again.
    closed: BTreeSet<u64>,
    /// Dialogs of forks and of calls that were over, by their tags, that have been hung up; the newest first.
    hung_up: VecDeque<(Tag, Box<str>)>,
}

/// Forks hung up that are remembered: their 2xx comes again for half a minute at most.
const HUNG_UP_MAX: usize = 256;

/// Broken streams remembered: many more than break while a call on one of them lasts.
const CLOSED_MAX: usize = 10_000;

/// How many leading bits two addresses of one family share.
fn common_bits(a: IpAddr, b: IpAddr) -> u32 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => 0,
    }
}

/// The most further ways on which one request is tried.
const WAYS_MAX: usize = 3;

/// The ways to a URI, best first.
#[derive(Debug, PartialEq, Eq)]
pub struct Ways {
    pub flows: Vec<Flow>,
    /// No name server is waited for.
    pub is_complete: bool,
}

/// One message that went out, in short.
#[derive(Debug)]
pub struct Sent {
    pub line: Box<str>,
    pub cseq: u32,
    pub target: SocketAddr,
    /// The transaction that a request began.
    pub began: Option<(ClientId, Method)>,
}

impl Endpoint {
    pub fn new(listeners: Vec<Listener>, rng: Rng, user_agent: &str) -> Endpoint {
        let mut reach: Vec<_> = listeners.iter().map(|l| (l.transport, l.local.is_ipv4())).collect();
        reach.sort_unstable();
        reach.dedup();
        Endpoint {
            locator: Locator::default(),
            now: Instant::default(),
            external: None,
            local_nets: Vec::new(),
            udp_max: 0,
            reach,
            transactions: Transactions::default(),
            session_timers: SessionTimers::default(),
            listeners,
            rng,
            user_agent: user_agent.into(),
            sent: Vec::new(),
            closed: BTreeSet::new(),
            hung_up: VecDeque::new(),
        }
    }

    pub fn set_user_agent(&mut self, user_agent: &str) {
        self.user_agent = user_agent.into();
    }

    pub const fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Whether this dialog, which nobody wants, has not been hung up yet; its 2xx may come several times.
    pub fn is_first_hang_up(&mut self, local: Tag, remote: &str) -> bool {
        let is_first = !self.hung_up.iter().any(|(l, r)| *l == local && **r == *remote);
        if is_first {
            self.hung_up.truncate(HUNG_UP_MAX - 1);
            self.hung_up.push_front((local, remote.into()));
        }
        is_first
    }

    pub fn new_tag(&mut self) -> Tag {
        Tag(self.rng.next_u64())
    }

    pub fn new_call_id(&mut self) -> String {
        format!("{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64())
    }

    fn new_branch(&mut self) -> String {
        format!("z9hG4bK{:016x}", self.rng.next_u64())
    }

    /// The listener that a flow uses; the first one if the flow names none that exists.
    fn listener(&self, flow: Flow) -> Option<&Listener> {
        self.listeners.get(usize::from(flow.listener.0)).or(self.listeners.first())
    }

    /// `host:port` that peers on this flow know us by.
    pub fn advertised(&self, flow: Flow) -> SocketAddr {
        let own = self.listener(flow).map_or(SocketAddr::from(([0, 0, 0, 0], 0)), |l| l.advertised);
        SocketAddr::new(self.outward(flow.peer.ip(), own.ip()), own.port())
    }

    /// What a peer knows one of our addresses by: the external one of its family, unless the peer is on this side of the NAT.
    pub fn outward(&self, peer: IpAddr, own: IpAddr) -> IpAddr {
        let is_near = || self.local_nets.iter().any(|net| net.contains(peer));
        self.external.filter(|e| e.is_ipv4() == own.is_ipv4() && !is_near()).unwrap_or(own)
    }

    fn via(&self, flow: Flow, branch: &str) -> String {
        // The peer may send its own requests on the connection, if our certificate proves us to it (RFC 5923 §5.1).
        let alias = if flow.transport == Transport::Tls { ";alias" } else { "" };
        format!("{};branch={branch};rport{alias}", self.sent_by(flow))
    }

    /// Our Via on a flow, up to its parameters.
    fn sent_by(&self, flow: Flow) -> String {
        format!("SIP/2.0/{} {}", flow.transport.as_str(), self.advertised(flow))
    }

    /// Our Contact value on a flow.
    pub fn contact(&self, flow: Flow) -> String {
        match flow.transport {
            Transport::Udp => format!("<sip:{}>", self.advertised(flow)),
            // RFC 7118 §5.2.1: WSS has no parameter of its own.
            Transport::Wss => format!("<sip:{};transport=ws>", self.advertised(flow)),
            other => format!("<sip:{};transport={}>", self.advertised(flow), other.as_param()),
        }
    }

    /// True if a host (and port) written in a URI is this switch.
    pub fn is_us(&self, host: IpAddr, port: Option<u16>) -> bool {
        self.listeners.iter().any(|l| {
            let ours =
                |a: SocketAddr| (a.ip() == host || a.ip().is_unspecified()) && port.is_none_or(|p| p == a.port());
            let outside = self.external.map(|ip| SocketAddr::new(ip, l.local.port()));
            ours(l.local) || ours(l.advertised) || outside.is_some_and(ours)
        })
    }

    /// The best way to a URI that is known now; `None` if there is none: its name is unknown (and is being asked for), or no
    /// listener of that transport and address family exists.
    pub fn flow_to(&mut self, uri: &str, default: Transport) -> Option<Flow> {
        self.ways(uri, default).flows.first().copied()
    }

    /// All ways to a URI, by RFC 3263; `default` is the transport of an address without one.
    pub fn ways(&mut self, uri: &str, default: Transport) -> Ways {
        let nowhere = Ways { flows: Vec::new(), is_complete: true };
        let Some((uri, mut target)) = Uri::parse(uri).and_then(|uri| Some((uri, Target::of(&uri)?))) else {
            return nowhere;
        };
        if target.transport.is_none() && !target.is_secure && parse_ip(&target.host).is_some() {
            target.transport = Some(default);
        }
        let found = self.locator.locate(self.now, &target, &self.reach, &mut self.rng);
        // Over TLS a peer that was called by a name has to prove that name (RFC 5922 §4).
        let name = uri.ip().is_none().then(|| NameId::of(uri.host));
        let flow = |hop: &Hop| {
            let flow = self.flow_to_address(hop.address, hop.transport)?;
            Some(match name.filter(|_| hop.transport == Transport::Tls) {
                Some(name) => flow.to_named(name),
                None => flow,
            })
        };
        Ways { flows: found.hops.iter().filter_map(flow).collect(), is_complete: found.is_complete }
    }

    /// What was sent there got no answer, or 503; for a while other ways to the same host come first.
    pub fn failed(&mut self, flow: Flow, retry_after: Option<Duration>) {
        let hop = Hop { transport: flow.transport, address: flow.peer };
        self.locator.failed(self.now, hop, retry_after);
    }

    /// There is another way to the URI than those that have failed of late.
    pub fn has_fresh_way(&mut self, uri: &str, default: Transport) -> bool {
        let flows = self.ways(uri, default).flows;
        let first = flows.first().filter(|_| flows.len() > 1);
        first.is_some_and(|f| !self.locator.is_shunned(self.now, Hop { transport: f.transport, address: f.peer }))
    }

    /// TCP to the peer of a UDP flow, for a request of `bytes` that is too long for a datagram (RFC 3261 §18.1.1): unless the URI
    /// asks for UDP, there is no listener, or TCP has failed there of late.
    fn by_tcp(&self, flow: Flow, uri: &str, bytes: usize) -> Option<Flow> {
        if flow.transport != Transport::Udp || self.udp_max == 0 || bytes <= self.udp_max {
            return None;
        }
        let is_udp_only = Uri::parse(uri).is_some_and(|uri| uri.params.get("transport").is_some());
        let tcp = self.flow_to_address(flow.peer, Transport::Tcp)?;
        let is_shunned = self.locator.is_shunned(self.now, Hop { transport: Transport::Tcp, address: flow.peer });
        (!is_udp_only && !is_shunned).then_some(tcp)
    }

    /// The way to an address: the listener of that transport and family; where there are several, loopback for loopback, an
    /// address of a local network for one of those, the nearest of them, and else the first as configured.
    pub fn flow_to_address(&self, peer: SocketAddr, transport: Transport) -> Option<Flow> {
        let is_near = |ip: IpAddr| self.local_nets.iter().any(|net| net.contains(ip));
        let rank = |l: &Listener| {
            let (own, far) = (l.advertised.ip(), peer.ip());
            let common = if is_near(own) && is_near(far) { common_bits(own, far) } else { 0 };
            (own.is_loopback() == far.is_loopback(), is_near(own) == is_near(far), common)
        };
        let fits = self.listeners.iter().filter(|l| l.transport == transport && l.local.is_ipv4() == peer.is_ipv4());
        // The first of the best: `max_by_key` would give the last.
        let listener = fits.rev().max_by_key(|l| rank(l))?;
        Some(Flow { listener: listener.id, transport, peer, connection: 0 })
    }

    /// The ways of a request that is written for `flow`: TCP before it if it is too long, others after it.
    fn one_after_another(&self, tcp: Option<Flow>, flow: Flow, others: Vec<Flow>) -> (Way, Vec<Way>) {
        let way = |flow: Flow| Way { flow, via: self.sent_by(flow).into() };
        let others = others.into_iter().take(WAYS_MAX).map(way);
        match tcp {
            Some(tcp) => (way(tcp), [way(flow)].into_iter().chain(others).collect()),
            None => (Way { flow, via: "".into() }, others.collect()),
        }
    }

    /// A hop has answered.
    pub fn reached(&mut self, flow: Flow) {
        self.locator.reached(Hop { transport: flow.transport, address: flow.peer });
    }

    /// Where a dialog's next request goes: along its flow if it is sticky or an open stream, else to its route set or target.
    pub fn dialog_flow(&mut self, dialog: &Dialog) -> Flow {
        self.dialog_flows(dialog).0
    }

    /// As [`Endpoint::dialog_flow`], with what is tried when that fails.
    fn dialog_flows(&mut self, dialog: &Dialog) -> (Flow, Vec<Flow>) {
        let flow = dialog.flow();
        let is_open = flow.transport.is_reliable() && !self.closed.contains(&flow.connection);
        if is_open {
            return (flow, Vec::new());
        }
        // What a phone behind a NAT writes into its Contact leads nowhere: it is where it came from.
        let anew = Flow { connection: 0, ..flow };
        if dialog.is_sticky() {
            return (anew, Vec::new());
        }
        let mut flows = self.ways(dialog.next_hop(), flow.transport).flows;
        if flows.is_empty() {
            return (anew, flows);
        }
        // An INVITE that makes a dialog goes where its owner hunts: each way is an attempt of its own.
        if dialog.remote_tag().is_empty() && flows.contains(&anew) {
            return (anew, Vec::new());
        }
        (flows.remove(0), flows)
    }

    /// A stream has broken: dialogs that used it open another one (RFC 3261 §18.1.1).
    pub fn flow_failed(&mut self, now: Instant, flow: Flow) {
        if flow.is_connection() {
            if self.closed.len() >= CLOSED_MAX {
                self.closed.pop_first();
            }
            self.closed.insert(flow.connection);
        }
        self.transactions.flow_failed(now, flow);
    }

    /// Sends a request inside (or, for INVITE, creating) a dialog. `add` puts in what is the method's own and ends the message.
    pub fn request(
        &mut self,
        now: Instant,
        dialog: &mut Dialog,
        method: Method,
        max_forwards: u8,
        add: impl FnOnce(Writer) -> Bytes,
    ) -> ClientId {
        let (flow, others) = self.dialog_flows(dialog);
        let branch = self.new_branch();
        let cseq = dialog.next_cseq();
        let writer = dialog.request(method.as_str(), cseq, &self.via(flow, &branch), max_forwards);
        let bytes = add(writer.header(HeaderName::UserAgent, &self.user_agent));
        let tcp = self.by_tcp(flow, dialog.next_hop(), bytes.len()).filter(|_| !dialog.is_sticky());
        let ways = self.one_after_another(tcp, flow, others);
        let id = self.transactions.request_by(now, ways, method, &branch, bytes);
        let line = format!("{} {}", method.as_str(), dialog.target()).into();
        self.sent.push(Sent { line, cseq, target: flow.peer, began: Some((id, method)) });
        id
    }

    /// What was sent since the last call of this function.
    pub fn take_sent(&mut self) -> impl Iterator<Item = Sent> {
        self.sent.drain(..)
    }

    /// Gives up an INVITE that has no final response, with a Reason value (RFC 3326) or "".
    pub fn cancel(&mut self, now: Instant, dialog: &Dialog, id: ClientId, reason: &str) {
        self.transactions.cancel_because(now, id, reason);
        let line = format!("CANCEL {}", dialog.target()).into();
        self.sent.push(Sent { line, cseq: dialog.local_cseq(), target: dialog.flow().peer, began: None });
    }

    /// Sends the ACK to a 2xx (§13.2.2.4): CSeq number of the INVITE, no transaction.
    pub fn ack(&mut self, dialog: &Dialog, cseq: u32, body: Option<&Body>) {
        self.ack_with(dialog, cseq, &[], body);
    }

    /// As [`Endpoint::ack`], with the credentials that the INVITE carried (§22.1).
    pub fn ack_with(&mut self, dialog: &Dialog, cseq: u32, credentials: &[(HeaderName, String)], body: Option<&Body>) {
        let flow = self.dialog_flow(dialog);
        let branch = self.new_branch();
        let mut writer = dialog.request("ACK", cseq, &self.via(flow, &branch), MAX_FORWARDS);
        for (name, value) in credentials {
            writer = writer.header(*name, value);
        }
        self.transactions.send(flow, finish(writer, body));
        self.sent.push(Sent { line: "ACK".into(), cseq, target: flow.peer, began: None });
    }

    /// Sends a request outside any dialog (OPTIONS ping, …) to a flow; From and To are made of `from` and `uri`.
    pub fn standalone(&mut self, now: Instant, flow: Flow, method: Method, uri: &str, from: &str) -> ClientId {
        let (call_id, tag, contact) = (self.new_call_id(), self.new_tag(), self.contact(flow));
        self.request_outside(now, flow, method, uri, |w| {
            w.header(HeaderName::From, format_args!("<{from}>;tag={tag}"))
                .header(HeaderName::To, format_args!("<{uri}>"))
                .header(HeaderName::CallId, call_id)
                .header(HeaderName::CSeq, format_args!("1 {}", method.as_str()))
                .header(HeaderName::Contact, contact)
                .finish()
        })
    }

    /// Sends a request outside any dialog; `add` puts in all but Via, Max-Forwards and User-Agent, and ends the message.
    pub fn request_outside(
        &mut self,
        now: Instant,
        flow: Flow,
        method: Method,
        uri: &str,
        add: impl FnOnce(Writer) -> Bytes,
    ) -> ClientId {
        let branch = self.new_branch();
        let writer = Writer::request(method.as_str(), uri)
            .header(HeaderName::Via, self.via(flow, &branch))
            .header(HeaderName::MaxForwards, MAX_FORWARDS)
            .header(HeaderName::UserAgent, &self.user_agent);
        let bytes = add(writer);
        let tcp = self.by_tcp(flow, uri, bytes.len());
        let ways = self.one_after_another(tcp, flow, Vec::new());
        self.transactions.request_by(now, ways, method, &branch, bytes)
    }

    /// Answers a request in its server transaction; `add` puts in what is the response's own and ends the message.
    pub fn respond(
        &mut self,
        now: Instant,
        id: ServerId,
        status: u16,
        reason: &str,
        tag: Option<Tag>,
        add: impl FnOnce(Writer) -> Bytes,
    ) -> bool {
        let Some(bytes) = self.response(id, status, reason, tag, add) else { return false };
        self.transactions.respond(now, id, status, bytes)
    }

    /// Writes a response to a request whose transaction lives, and books it as sent.
    pub(super) fn response(
        &mut self,
        id: ServerId,
        status: u16,
        reason: &str,
        tag: Option<Tag>,
        add: impl FnOnce(Writer) -> Bytes,
    ) -> Option<Bytes> {
        let (request, flow) = self.transactions.server_request(id)?;
        let tag = tag.map_or(String::new(), |t| t.to_string());
        let mut writer = Writer::response_to(request, status, reason, &tag, flow.peer);
        // A response that makes a dialog hands the proxies between back, or the caller's BYE passes them by (RFC 3261 §12.1.1).
        if request.method() == Method::Invite && (101..300).contains(&status) {
            for value in request.headers(HeaderName::RecordRoute) {
                writer = writer.header(HeaderName::RecordRoute, value);
            }
        }
        let (method, cseq) = (request.method_str(), request.cseq().map_or(0, |c| c.number));
        let phrase = if reason.is_empty() { reason_phrase(status) } else { reason };
        self.sent.push(Sent {
            line: format!("{status} {phrase} ({method})").into(),
            cseq,
            target: flow.peer,
            began: None,
        });
        Some(add(writer.header(HeaderName::Server, &self.user_agent)))
    }

    /// Answers with a status and nothing else, under a fresh To tag if the request has none.
    pub fn refuse(&mut self, now: Instant, id: ServerId, status: u16, reason: &str) -> bool {
        let tag = self.new_tag();
        self.respond(now, id, status, reason, Some(tag), |w| match status {
            405 => w.header(HeaderName::Allow, ALLOW).finish(),
            415 => accepts(w).finish(),
            500 | 503 => w.header(HeaderName::RetryAfter, 5).finish(),
            _ => w.finish(),
        })
    }

    /// 500 to an offer that crosses one which is not answered yet: the peer asks again after 0 to 10 s (RFC 3261 §14.2, RFC 3311 §5.2).
    pub fn refuse_for_now(&mut self, now: Instant, id: ServerId) -> bool {
        let (tag, seconds) = (self.new_tag(), self.rng.below(11));
        self.respond(now, id, 500, "", Some(tag), |w| w.header(HeaderName::RetryAfter, seconds).finish())
    }
}
