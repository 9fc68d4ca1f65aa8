//! The stage: one switch, an instant network, peers that do only what the script says.

use super::digest;
use super::identity;
use super::media::{Back, MediaStub};
use super::sdp::{Sdp, Way};
use super::setup::{DOMAIN, config, dialplan, listeners, node_addresses, trunk, user};
use super::text::Msg;
use super::topology::{self, Topology};
use super::ways::{self, Ways};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use tandem::base::rng::Rng;
use tandem::base::time::{Duration, Instant, Now, Wall};
use tandem::config::{Config, Srtp, Trunk, User};
use tandem::event::{CallId, CallRecord, Fact, LegCdr};
use tandem::media::command::Event;
use tandem::rates::{Card, Rates};
use tandem::sip::locate::Query;
use tandem::sip::transport::{Flow, Transport};
use tandem::switch::{Input, Operator, Output, Reply, Setup, Switch};
use tandem::web::{self, Content, Fault, Fetch, Order, Page, Reason};

const PHONES: [&str; 3] = ["alice", "bob", "carol"];
const TRUNKS: [&str; 3] = ["acme", "beta", "gamma"];
const DIALPLAN: &str = include_str!("dialplan.yaml");
const START: u64 = 1_000_000;

/// One dialog of a peer.
#[derive(Default)]
pub struct Dialog {
    pub call_id: String,
    pub local: String,
    pub remote: String,
    pub local_tag: String,
    pub remote_tag: String,
    pub target: String,
    pub cseq: u32,
    /// The INVITE that we sent last, for CANCEL and ACK.
    pub invite: Option<Msg>,
    /// Requests from the switch that have no final answer yet, the newest last.
    pub open: Vec<Msg>,
    pub sdp: Option<Sdp>,
    /// RAck for the last reliable provisional response that came.
    pub rack: String,
    /// RSeq of the last one that went.
    pub rseq: u32,
    /// The last request that was challenged, and the challenge.
    pub challenge: Option<(Msg, Msg)>,
}

struct Rung {
    at: Instant,
    from: String,
    to: String,
    text: String,
    /// Headers that the script wants to see.
    shown: Vec<String>,
}

pub struct Stage {
    switch: Switch,
    media: MediaStub,
    now: Instant,
    pub dialogs: BTreeMap<String, Dialog>,
    rungs: Vec<Rung>,
    columns: Vec<String>,
    quiet: bool,
    due: Vec<(Instant, Back)>,
    records: Vec<CallRecord>,
    /// The call that the operator placed last.
    pub placed: Option<CallId>,
    serial: u32,
    /// The Contact that the switch registered last.
    pub bound: String,
    /// The temporary GRUU that the switch gave last.
    pub gruu: String,
    topology: Topology,
    pub ways: Ways,
    asked: Vec<Query>,
    /// What applications answer, by address.
    pub pages: BTreeMap<String, String>,
    /// Headers of which each message shows its own.
    pub shows: Vec<String>,
    /// What of one party was told to another.
    pub leaks: Vec<String>,
}

pub fn address(party: &str) -> SocketAddr {
    let known = PHONES.iter().chain(&TRUNKS).position(|p| *p == party).unwrap_or(99) as u8;
    SocketAddr::from(([10, 9, 1, 1 + known], 5060))
}

pub fn party_of(dialog: &str) -> &str {
    dialog.split('/').next().unwrap_or(dialog)
}

/// Trunks as a script words them: what stands beside name, context, targets and inbound.
fn worded(name: &str, words: &str, sip: &str) -> Trunk {
    let at = address(name);
    let own = if words.contains("targets:") { String::new() } else { format!("targets: [\"sip:{at}\"], ") };
    // Headers and numbers have an `inbound` of their own.
    let sources = if words.starts_with("inbound:") { String::new() } else { format!("inbound: {}, ", at.ip()) };
    let text = format!("sip: {{ {sip} }}\ntrunks: [{{ name: {name}, context: all, {sources}{own}{words} }}]");
    let read = Config::read("scenario", &text, &tandem::config::NoSecrets);
    read.unwrap_or_else(|faults| panic!("{text}: {faults:?}")).config.trunks.remove(0)
}

/// A phone as a script words it: what stands beside name, password and context.
fn user_worded(name: &str, words: Option<&String>, srtp: &BTreeMap<String, Srtp>) -> User {
    let srtp = srtp.get(name).copied();
    let Some(words) = words else { return User { srtp, ..user(name, "secret") } };
    let text = format!("users: [{{ name: {name}, password: secret, context: all, {words} }}]");
    let read = Config::read("scenario", &text, &tandem::config::NoSecrets);
    let read = read.unwrap_or_else(|faults| panic!("{text}: {faults:?}")).config.users.remove(0);
    User { srtp, ..read }
}

/// Limits, SRTP and trunks by the names that a script gives them.
pub fn new(
    limits: &BTreeMap<String, u32>,
    srtp: &BTreeMap<String, Srtp>,
    (trunks, users): (&BTreeMap<String, String>, &BTreeMap<String, String>),
    cards: &BTreeMap<String, String>,
    (sip, more): (&str, &str),
) -> Stage {
    let addresses = node_addresses(0);
    let mut config = config("tandem", &addresses);
    let text = format!("{{ sip: {{ {sip} }}, {more} }}");
    let read = Config::read("scenario", &text, &tandem::config::NoSecrets);
    let read = read.unwrap_or_else(|faults| panic!("{text}: {faults:?}")).config;
    (config.sip.guard, config.sip.session_timers, config.sip.identity) =
        (read.sip.guard, read.sip.session_timers, read.sip.identity);
    (config.lcr, config.tolls, config.sip.reach) = (read.lcr, read.tolls, read.sip.reach);
    config.limits.emergency = read.limits.emergency;
    config.limits.calls = limits.get("calls").copied().unwrap_or(0);
    config.users = PHONES.iter().map(|p| user_worded(p, users.get(*p), srtp)).collect();
    for name in TRUNKS {
        let auth = (name == "gamma").then(|| ("tandem".to_string(), "pw".to_string()));
        let mut trunk = match trunks.get(name) {
            Some(words) => worded(name, words, sip),
            None => trunk(name, address(name), false, auth),
        };
        trunk.srtp = srtp.get(name).copied();
        trunk.calls_max = limits.get(name).copied().unwrap_or(0);
        config.trunks.push(trunk);
    }
    let mut rates = Rates::default();
    for (trunk, rows) in cards {
        let card = Card::read(trunk, &format!("prefix,price,name,hours\n{}\n", rows.replace(' ', "\n")), "UTC");
        rates.insert(trunk, card.unwrap_or_else(|faults| panic!("{faults:?}")));
    }
    let listeners = ways::listeners(listeners(&addresses));
    let setup = Setup { config: Arc::new(config), dialplan: dialplan(DIALPLAN), rates: Arc::new(rates), listeners };
    let now = Instant::from_micros(START);
    let mut stage = Stage {
        switch: Switch::new(setup, 1, Now { mono: now, wall: Wall(0) }),
        media: MediaStub::new([addresses[0].ip(), addresses[2].ip()], 100, Rng::from_seed(1)),
        now,
        dialogs: BTreeMap::new(),
        rungs: Vec::new(),
        columns: Vec::new(),
        quiet: false,
        due: Vec::new(),
        records: Vec::new(),
        placed: None,
        serial: 0,
        bound: String::new(),
        gruu: String::new(),
        topology: Topology::default(),
        ways: Ways::default(),
        asked: Vec::new(),
        pages: BTreeMap::new(),
        shows: Vec::new(),
        leaks: Vec::new(),
    };
    stage.drain();
    stage
}

impl Stage {
    /// What follows is not drawn.
    pub fn set_quiet(&mut self, quiet: bool) {
        self.quiet = quiet;
    }

    /// An Identity header's value for a call from a number to another.
    pub fn token(&self, what: &str, from: &str, to: &str) -> String {
        identity::token(what, from, to, (self.now.as_micros() / 1_000_000 + 1_795_446_000) as i64)
    }

    pub fn serial(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }

    pub fn via(&mut self, party: &str) -> String {
        let n = self.serial();
        let transport = self.ways.transport(party).as_str();
        format!("SIP/2.0/{transport} {};rport;branch=z9hG4bK{party}{n:06}", self.ways.says(party))
    }

    /// What an operator asks of the switch.
    pub fn operate(&mut self, ask: Operator) {
        self.feed(Input::Operator { id: 1, ask });
    }

    pub fn send(&mut self, party: &str, msg: &Msg) {
        let flow = self.ways.flow(party);
        self.draw_over(flow, party, "tandem", msg);
        let msg = topology::marked(party, msg);
        self.topology.learn(party, &msg);
        self.feed(Input::Received { flow, bytes: msg.bytes() });
    }

    fn feed(&mut self, input: Input) {
        let wall = Wall(1_795_446_000_000_000 + self.now.as_micros() as i64);
        self.switch.handle(Now { mono: self.now, wall }, input);
        self.drain();
        self.resolve();
    }

    /// Answers what was asked of name servers.
    pub fn resolve(&mut self) {
        while let Some(query) = self.asked.pop() {
            let (asked, said, answer) = self.ways.resolve(&query);
            self.note("tandem", "names", asked);
            self.note("names", "tandem", said);
            self.feed(Input::Resolved { id: query.id, answer });
        }
    }

    /// An application answers with the page that the script has for the address, or cannot be had.
    fn fetch(&mut self, fetch: &Fetch) {
        let url = fetch.address.url.to_string();
        let found = self.pages.get(&url).cloned();
        self.note("tandem", "web", format!("{} {url}", fetch.address.method.as_str()));
        self.note("web", "tandem", if found.is_some() { "200".into() } else { "nobody answers".into() });
        let result = match found {
            Some(text) => Ok(Box::new(Page {
                url: url.into(),
                status: 200,
                content_type: "text/xml".into(),
                content: Content::Body(text.into_bytes().into()),
                fell_back: None,
            })),
            None => Err(Fault::new(Reason::Connection, url, "nobody listens")),
        };
        self.feed(Input::Web(web::Event::Fetched { id: fetch.id, result }));
    }

    /// What comes has waited for so long, and did so for a while.
    pub fn late(&mut self, by: Duration) {
        for _ in 0..4 {
            self.feed(Input::Late { by });
            self.pass(Duration::from_millis(50));
        }
        self.feed(Input::Late { by });
    }

    fn drain(&mut self) {
        while let Some(output) = self.switch.poll() {
            match output {
                Output::Send { flow, bytes } => {
                    let msg = Msg::parse(&bytes).unwrap_or_else(|e| panic!("{e}\n{}", String::from_utf8_lossy(&bytes)));
                    self.received(flow, msg);
                }
                Output::Media(command) => self.media.command(command),
                Output::Reply { reply: Reply::Placed(call), .. } => self.placed = Some(call),
                Output::Reply { reply: Reply::Refused(_), .. } => {
                    let (from, to) = (String::from("tandem"), String::from("operator"));
                    for name in [&from, &to].into_iter().filter(|n| !self.columns.contains(n)).collect::<Vec<_>>() {
                        self.columns.push(name.clone());
                    }
                    self.rungs.push(Rung { at: self.now, from, to, text: "refused".into(), shown: Vec::new() });
                }
                Output::Fact(Fact::CallEnded(record)) => self.records.push(*record),
                Output::Resolve(query) => self.asked.push(query),
                Output::Web(Order::Fetch(fetch)) => self.fetch(&fetch),
                Output::Identity(order) => self.feed(Input::Identity(identity::judge(order))),
                _ => {}
            }
        }
        assert!(self.media.faults.is_empty(), "{:?}", self.media.faults);
        for (after, back) in std::mem::take(&mut self.media.events) {
            match back {
                Back::Event(event) => self.feed(Input::Media(event)),
                due => self.due.push((self.now + after, due)),
            }
        }
    }

    /// Lets time pass; timers of the switch and the ends of prompts come in their order.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.due.sort_by_key(|(at, _)| *at);
            let timer = self.switch.deadline().map(|(at, _)| at);
            let prompt = self.due.first().map(|(at, _)| *at);
            let Some(next) = [timer, prompt].into_iter().flatten().min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            if prompt == Some(next) {
                if let (_, Back::Due(leg, id)) = self.due.remove(0)
                    && self.media.due(leg, id)
                {
                    self.feed(Input::Media(Event::PlayEnded { leg, id, played: true }));
                }
            } else {
                self.feed(Input::Tick);
            }
        }
        self.now = end;
    }

    fn received(&mut self, flow: Flow, msg: Msg) {
        let everybody = PHONES.iter().chain(&TRUNKS).chain(&["stranger"]);
        let party = everybody.copied().find(|p| address(p) == flow.peer).unwrap_or("nobody");
        self.ways.sent(party, flow);
        self.leaks.extend(self.topology.search(party, &msg));
        self.topology.learn(party, &msg);
        self.draw_over(flow, "tandem", party, &msg);
        let known = self.dialogs.iter().find(|(n, d)| party_of(n) == party && d.call_id == msg.call_id());
        let name = match known.map(|(n, _)| n.clone()) {
            Some(name) => name,
            None => self.new_dialog(party, msg.call_id()),
        };
        let Some(dialog) = self.dialogs.get_mut(&name) else { return };
        if msg.is_request() {
            if msg.method() == "ACK"
                || dialog.open.iter().any(|m| m.branch() == msg.branch() && m.method() == msg.method())
            {
                return;
            }
            if msg.method() == "INVITE" && msg.tag_of_to().is_empty() {
                dialog.local = msg.get("To").into();
                dialog.remote = msg.get("From").split(";tag=").next().unwrap_or("").into();
                dialog.remote_tag = msg.tag_of_from().into();
                dialog.local_tag = format!("tag-{name}");
            }
            if msg.method() == "INVITE" {
                dialog.target = msg.contact().into();
            }
            if msg.method() == "REGISTER" {
                self.bound = msg.contact().into();
            }
            return dialog.open.push(msg);
        }
        let temporary = msg.all("Contact").filter_map(|value| value.split("temp-gruu=\"").nth(1));
        if let Some(gruu) = temporary.last().and_then(|rest| rest.split('"').next()) {
            self.gruu = gruu.into();
        }
        if matches!(msg.status(), 401 | 407)
            && let Some(request) = dialog.invite.clone().filter(|m| m.branch() == msg.branch())
        {
            dialog.challenge = Some((request, msg.clone()));
        }
        if !msg.get("RSeq").is_empty() {
            dialog.rack = format!("{} {} INVITE", msg.get("RSeq"), msg.cseq().0);
        }
        match msg.status() {
            101..200 if msg.method() == "INVITE" && !msg.tag_of_to().is_empty() => {
                dialog.remote_tag = msg.tag_of_to().into();
                dialog.target = msg.contact().into();
            }
            200..300 if matches!(msg.method(), "INVITE" | "SUBSCRIBE") => {
                dialog.remote_tag = msg.tag_of_to().into();
                dialog.target = msg.contact().into();
            }
            300.. if msg.method() == "INVITE" => self.ack_refusal(&name, &msg),
            _ => {}
        }
    }

    fn ack_refusal(&mut self, name: &str, msg: &Msg) {
        let Some(invite) = self.dialogs[name].invite.clone().filter(|m| m.branch() == msg.branch()) else { return };
        let mut ack = Msg::request("ACK", invite.uri());
        for header in ["Via", "Max-Forwards", "From", "Call-ID"] {
            ack = ack.with(header, invite.get(header));
        }
        ack = ack.with("To", msg.get("To")).with("CSeq", format!("{} ACK", invite.cseq().0));
        self.send(party_of(name), &ack);
    }

    /// A party's dialog as a Replaces names it: from the side of who is to be replaced.
    pub fn replaces(&self, name: &str) -> Result<String, String> {
        let d = self.dialogs.get(name).ok_or(format!("no dialog {name}"))?;
        Ok(format!("{};to-tag={};from-tag={}", d.call_id, d.remote_tag, d.local_tag))
    }

    /// The next free name of a party's dialogs: bob, bob/2, …
    pub fn new_dialog(&mut self, party: &str, call_id: &str) -> String {
        let count = self.dialogs.keys().filter(|n| party_of(n) == party).count();
        let name = if count == 0 { party.to_string() } else { format!("{party}/{}", count + 1) };
        let dialog = Dialog { call_id: call_id.into(), cseq: 1, ..Dialog::default() };
        self.dialogs.insert(name.clone(), dialog);
        name
    }

    pub fn description(party: &str) -> Sdp {
        let at = address(party);
        Sdp {
            origin: format!("{party} 1"),
            version: 1,
            ip: at.ip(),
            port: 4000,
            payloads: vec![0, 8, 101],
            way: Way::SendRecv,
            crypto: vec![],
        }
    }

    /// Credentials for the last challenge of a dialog.
    pub fn credentials(&self, name: &str, method: &str, uri: &str) -> Option<(&'static str, String)> {
        let (_, challenge) = self.dialogs.get(name)?.challenge.as_ref()?;
        let (from, to) = match challenge.status() {
            401 => ("WWW-Authenticate", "Authorization"),
            _ => ("Proxy-Authenticate", "Proxy-Authorization"),
        };
        let value = digest::credentials(challenge.get(from), party_of(name), "secret", method, uri, 1);
        Some((to, value))
    }

    // ---- drawing ----

    fn draw_over(&mut self, flow: Flow, from: &str, to: &str, msg: &Msg) {
        let over = match flow.transport {
            Transport::Udp => String::new(),
            other => format!("{}: ", other.as_str()),
        };
        self.note(from, to, over + &describe(msg));
        let told = (msg.is_request() || msg.method() == "OPTIONS") && msg.method() != "ACK";
        let shown =
            msg.headers.iter().filter(|(name, _)| told && self.shows.iter().any(|s| s.eq_ignore_ascii_case(name)));
        // Our tags and the parties' are another matter.
        let plain = |value: &str| value.split(";tag=").next().unwrap_or_default().to_owned();
        let shown = shown.map(|(name, value)| format!("{name}: {}", plain(value))).collect();
        if let Some(rung) = self.rungs.last_mut().filter(|_| !self.quiet) {
            rung.shown = shown;
        }
    }

    fn note(&mut self, from: &str, to: &str, text: String) {
        if self.quiet {
            return;
        }
        for name in [from, to] {
            if !self.columns.iter().any(|c| c == name) {
                self.columns.push(name.into());
            }
        }
        self.rungs.push(Rung { at: self.now, from: from.into(), to: to.into(), text, shown: Vec::new() });
    }

    /// The ladder, then what the records say.
    pub fn ladder(&self) -> String {
        const WIDTH: usize = 44;
        let mut out = String::from("         ");
        for c in &self.columns {
            let _ = write!(out, "{c:^WIDTH$}");
        }
        out = format!("{}\n", out.trim_end());
        for r in &self.rungs {
            let place = |name: &str| self.columns.iter().position(|c| c == name).unwrap_or(0);
            let middle = |c: usize| c * WIDTH + WIDTH / 2;
            let (from, to) = (place(&r.from), place(&r.to));
            let (a, b) = (middle(from.min(to)), middle(from.max(to)));
            let mut line: Vec<char> = vec![' '; self.columns.len() * WIDTH];
            (0..self.columns.len()).for_each(|c| line[middle(c)] = '|');
            line[a + 1..b].fill('-');
            line[if from < to { b - 1 } else { a + 1 }] = if from < to { '>' } else { '<' };
            let text: Vec<char> = format!(" {} ", r.text).chars().take(b - a - 4).collect();
            let start = a + (b - a - text.len()) / 2;
            line[start..start + text.len()].copy_from_slice(&text);
            let drawn: String = line.into_iter().collect();
            let shown = r.shown.iter().map(|line| format!("           . {line}\n")).collect::<String>();
            let _ = write!(out, "{:>8.3} {}\n{shown}", (r.at.as_micros() - START) as f64 / 1e6, drawn.trim_end());
        }
        for record in &self.records {
            let cost =
                |l: &LegCdr| l.charge.as_ref().map_or(String::new(), |c| format!(" for {} {}", c.currency, c.cost));
            let leg = |l: &LegCdr| format!("{} {}{}", l.peer, l.status, cost(l));
            let legs: Vec<String> = record.cdr.legs.iter().map(leg).collect();
            let answered = if record.cdr.answered.is_some() { "answered" } else { "not answered" };
            let _ = writeln!(out, "record: {}, {answered}; {}", record.cdr.ending, legs.join(", "));
            if let Some(i) = &record.cdr.identity {
                let _ = writeln!(out, "  identity: {}", identity::shown(i));
            }
            for t in &record.cdr.transfers {
                let joined = if t.call.is_some() { ", with another call" } else { "" };
                let _ = writeln!(out, "  {}: {} to {}, {}{joined}", t.kind.as_str(), t.by, t.to, t.status);
            }
        }
        let c = self.switch.counters();
        let _ =
            writeln!(out, "left: {} calls, {} legs, {} ports", c.calls_active, c.legs_active, self.media.open_legs());
        out
    }
}

/// `5:cm80 k1`: tag, suite and what tells one key from another.
fn suite(crypto: &str) -> String {
    let words: Vec<&str> = crypto.split(' ').collect();
    let [tag, suite, key] = words[..] else { return crypto.to_owned() };
    let suite = suite.replace("AES_CM_128_HMAC_SHA1_", "cm").replace("AEAD_AES_", "gcm").replace("_GCM", "");
    format!("{tag}:{suite} {}", &key["inline:".len()..][..3])
}

/// A message in a few words: what a reader of a ladder looks for.
fn describe(msg: &Msg) -> String {
    let mut text = match msg.is_request() {
        true => format!("{} {}", msg.method(), user_of(msg.uri())),
        false => format!("{} {}", &msg.start[8..], if msg.method() == "INVITE" { "" } else { msg.method() }),
    };
    text = text.trim_end().to_string();
    let host = |route: &str| route.trim_start_matches("<sip:").split([';', '>']).next().unwrap_or_default().to_owned();
    let routes: Vec<String> = msg.all("Route").map(host).collect();
    if !routes.is_empty() {
        text += &format!(" by {}", routes.join(", "));
    }
    text += &identity::told(msg);
    if let Ok(sdp) = Sdp::parse(&msg.body) {
        let list: Vec<String> =
            sdp.payloads.iter().map(|p| if *p == super::sdp::FAX { "t38".into() } else { p.to_string() }).collect();
        let way = if sdp.way == Way::SendRecv { String::new() } else { format!(" {:?}", sdp.way).to_lowercase() };
        let keys: Vec<String> = sdp.crypto.iter().map(|c| suite(c)).collect();
        let keys = match &keys[..] {
            [] => String::new(),
            [one] => format!(" srtp {one}"),
            several => format!(" srtp 1-{}", several.len()),
        };
        text += &format!(" [{}{way}{keys}]", list.join(" "));
    }
    if msg.is_request() && !msg.get("Refer-To").is_empty() {
        let named = if msg.get("Refer-To").contains("?Replaces=") { " (a dialog)" } else { "" };
        text += &format!(" to {}{named}", user_of(msg.get("Refer-To").trim_start_matches('<')));
    }
    if !msg.get("Referred-By").is_empty() {
        text += &format!(" by {}", user_of(msg.get("Referred-By").trim_start_matches('<')));
    }
    if !msg.get("Refer-Sub").is_empty() {
        text += " (silent)";
    }
    if let Some(state) = msg.get("Subscription-State").split(';').next().filter(|s| !s.is_empty()) {
        text += &format!(" {state}");
    }
    if msg.get("Content-Type").starts_with("message/sipfrag") {
        text += &format!(" [{}]", msg.body.trim_start_matches("SIP/2.0 ").trim());
    }
    text += &told(msg);
    if !msg.get("Replaces").is_empty() {
        text += " (replaces)";
    }
    if (300..400).contains(&msg.status()) {
        text += &format!(" {}", msg.get("Contact"));
    }
    if let Some((_, cause)) = msg.get("Reason").split_once("Q.850;cause=") {
        text += &format!(" (cause {cause})");
    }
    if msg.get("Reason").contains("cause=200") {
        text += " (answered elsewhere)";
    }
    if !msg.get("RSeq").is_empty() {
        text += " (reliable)";
    }
    for name in ["Session-Expires", "Min-SE"] {
        if !msg.get(name).is_empty() {
            text += &format!(" {name}: {}", msg.get(name));
        }
    }
    for name in ["Allow", "Unsupported", "Retry-After"] {
        if msg.status() >= 400 && !msg.get(name).is_empty() {
            text += &format!(" {name}");
        }
    }
    for name in ["Authorization", "Proxy-Authorization"] {
        if msg.is_request() && !msg.get(name).is_empty() {
            text += " (credentials)";
        }
    }
    if msg.headers.iter().any(|(n, v)| n.ends_with("-Authenticate") && v.contains("stale=true")) {
        text += " (stale)";
    }
    if msg.method() == "REGISTER" && msg.status() == 200 {
        let expires = msg.get("Contact").split(";expires=").nth(1).and_then(|rest| rest.split(';').next());
        text += &format!(" expires={}", expires.unwrap_or_default());
        for (mark, word) in
            [(msg.get("Require") == "outbound", "outbound"), (msg.get("Contact").contains("-gruu="), "gruu")]
        {
            text += &if mark { format!(" ({word})") } else { String::new() };
        }
    }
    if msg.method() == "REGISTER" && msg.is_request() && !msg.get("Expires").is_empty() {
        text += &format!(" expires={}", msg.get("Expires"));
    }
    text
}

/// What a NOTIFY tells of a line, of messages, of presence or of registrations.
fn told(msg: &Msg) -> String {
    let between =
        |open: &'static str| msg.body.split(open).skip(1).map(|rest| rest.split('<').next().unwrap_or("").to_owned());
    match msg.get("Content-Type") {
        "application/dialog-info+xml" => {
            let directions = msg.body.split("direction=\"").skip(1).map(|d| d.split('"').next().unwrap_or(""));
            let lines: Vec<String> = directions
                .zip(between("<state>"))
                .map(|(d, s)| format!("{} {s}", if d == "initiator" { "calls" } else { "called" }))
                .collect();
            let version = msg.body.split("version=\"").nth(2).and_then(|v| v.split('"').next()).unwrap_or("?");
            format!(" [v{version}: {}]", if lines.is_empty() { "idle".into() } else { lines.join(", ") })
        }
        "application/simple-message-summary" => {
            format!(" [{}]", msg.body.lines().last().unwrap_or("").trim_start_matches("Voice-Message: "))
        }
        "application/pidf+xml" => {
            let note = between("<note>").next().map_or(String::new(), |n| format!(", {n}"));
            format!(" [{}{note}]", between("<basic>").next().unwrap_or_default())
        }
        "text/plain" if msg.method() == "MESSAGE" => format!(" \"{}\"", msg.body),
        "application/reginfo+xml" => format!(" [{} contacts]", msg.body.matches("<contact ").count()),
        _ => String::new(),
    }
}

/// The user part of a URI, without the made-up one of our own Contacts.
fn user_of(uri: &str) -> &str {
    let user = uri.trim_start_matches("sip:").split('@').next().unwrap_or("");
    // What is drawn by lot is not a ladder's.
    let user = if user.starts_with("tgruu.") { "tgruu" } else { user };
    if user == DOMAIN || user.starts_with("10.") { "" } else { user }
}
