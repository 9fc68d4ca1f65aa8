//! Dial and its nouns.

use super::attributes::{Attributes, SCHEMA, Warnings};
use super::tree::Node;
use crate::base::pii::Secret;
use crate::base::time::Duration;
use crate::speech::machine;
use crate::verb::{
    AfterDial, Beep, Callee, Channels, ConferenceHooks, ConferenceStep, Dequeue, DialRecord, DialStep, Hook, MediaMode,
    StatusHook, Strategy, TargetKind, TargetStep, Text, Unavailable, Verb,
};
use std::sync::Arc;

/// Of each party called.
const PROGRESS: [&str; 4] = ["initiated", "ringing", "answered", "completed"];
pub const RECORDING: [&str; 3] = ["in-progress", "completed", "absent"];
const CONFERENCE: [&str; 9] = ["start", "end", "join", "leave", "mute", "hold", "modify", "speaker", "announcement"];
/// Whom one Dial calls at once, as Twilio's.
const TARGETS_MAX: usize = 10;
const TIME_LIMIT: u32 = 14_400;

/// What a Dial becomes.
pub struct Dialled {
    pub verb: Verb,
    /// The caller is answered before.
    pub answers: bool,
    pub unavailable: Vec<Unavailable>,
}

pub fn dial(node: &Node, warnings: &mut Warnings) -> Option<Dialled> {
    let mut a = Attributes::new(node, warnings);
    let answers = !a.flag("answerOnBridge", 13_219, false);
    let common = common(&mut a);
    let nouns = ["Conference", "Queue"];
    let special = node.children.iter().find(|n| nouns.contains(&n.name.as_str()));
    if let Some(noun) = special {
        if node.children.len() > 1 {
            warnings.tell(13_000, noun.at, format!("<{}> stands beside other nouns, and is taken alone", noun.name));
        }
        let verb = match noun.name.as_str() {
            "Conference" => conference(noun, &common, warnings)?,
            _ => queue(noun, &common, warnings)?,
        };
        return Some(Dialled { verb, answers: true, unavailable: Vec::new() });
    }
    let mut targets = Targets::default();
    for noun in &node.children {
        targets.noun(noun, warnings);
    }
    let number = node.text.trim();
    if node.children.is_empty() && !number.is_empty() {
        targets.add(number_target(number, None, node, warnings), Callee::default());
    }
    if targets.all.len() > TARGETS_MAX {
        warnings.tell(13_250, node.at, format!("more than {TARGETS_MAX} are called"));
        targets.all.truncate(TARGETS_MAX);
    }
    if targets.all.is_empty() && targets.unavailable.is_empty() {
        warnings.tell(13_223, node.at, "<Dial> calls nobody");
    }
    let strategy = if common.sequential || targets.in_order { Strategy::Sequential } else { Strategy::Simultaneous };
    let (steps, callees) =
        targets.all.into_iter().map(|(kind, callee)| (TargetStep { weight: 1, kind }, callee)).unzip();
    let after = common.after();
    let verb = Verb::Dial(Box::new(DialStep {
        targets: steps,
        strategy,
        weighted: false,
        timeout: common.timeout,
        caller_id: common.caller_id.as_deref().map(Text::literal),
        caller_name: None,
        attest: None,
        media: MediaMode::Anchored,
        codecs: Vec::new(),
        time_limit: Some(common.time_limit),
        ringback: common.ring_tone,
        record: common.record,
        headers: Vec::new(),
        after,
        callees,
    }));
    Some(Dialled { verb, answers, unavailable: targets.unavailable })
}

/// What all nouns have of Dial.
struct Common {
    action: Option<Hook>,
    timeout: Duration,
    time_limit: Duration,
    hangup_on_star: bool,
    caller_id: Option<String>,
    record: Option<DialRecord>,
    trim: bool,
    recording: Option<StatusHook>,
    ring_tone: Option<Arc<str>>,
    sequential: bool,
    refer: Option<Hook>,
}

impl Common {
    fn after(&self) -> AfterDial {
        AfterDial {
            action: self.action.clone(),
            hangup_on_star: self.hangup_on_star,
            recording: self.recording.clone(),
            trim: self.trim,
            refer: self.refer.clone(),
        }
    }
}

fn common(a: &mut Attributes<'_>) -> Common {
    let records = [
        "do-not-record",
        "false",
        "true",
        "record-from-answer",
        "record-from-ringing",
        "record-from-answer-dual",
        "record-from-ringing-dual",
    ];
    let record = match a.choice("record", 13_217, &records) {
        "do-not-record" | "false" => None,
        kind => Some(DialRecord {
            channels: Some(if kind.ends_with("dual") { Channels::Dual } else { Channels::Mono }),
            from_ringing: kind.contains("ringing"),
        }),
    };
    a.choice("recordingTrack", 13_622, &["both", "inbound", "outbound"]);
    let ring_tone = a.text("ringTone").filter(|t| *t != "automatic" && !t.is_empty()).map(str::to_ascii_lowercase);
    let ring_tone = ring_tone.filter(|country| {
        let known = crate::config::shapes::is_country(country);
        if !known {
            a.warnings.tell(13_220, a.node.at, format!("ringTone=\"{country}\": no country whose tones are known"));
        }
        known
    });
    Common {
        action: a.hook("action", "method", 13_210),
        timeout: a.seconds("timeout", 13_212, 30, (5, 600)),
        time_limit: a.seconds("timeLimit", 13_216, TIME_LIMIT, (1, 86_400)),
        hangup_on_star: a.flag("hangupOnStar", 13_213, false),
        caller_id: a.text("callerId").filter(|c| !c.is_empty()).map(str::to_owned),
        record,
        trim: a.choice("trim", 13_699, &["do-not-trim", "trim-silence"]) == "trim-silence",
        recording: a.status("recordingStatusCallback", "recordingStatusCallbackEvent", &RECORDING, &["completed"]),
        ring_tone: ring_tone.map(Arc::from),
        sequential: a.flag("sequential", 13_218, false),
        refer: a.hook("referUrl", "referMethod", SCHEMA),
    }
}

fn conference(node: &Node, dial: &Common, warnings: &mut Warnings) -> Option<Verb> {
    let name = node.text.trim();
    if name.is_empty() {
        warnings.tell(13_237, node.at, "<Conference> without a name");
        return None;
    }
    let mut a = Attributes::new(node, warnings);
    let beep = match a.choice("beep", 13_235, &["true", "false", "onEnter", "onExit"]) {
        "false" => Beep::Never,
        "onEnter" => Beep::OnEnter,
        "onExit" => Beep::OnExit,
        _ => Beep::Both,
    };
    let record = a.choice("record", SCHEMA, &["do-not-record", "record-from-start", "true", "false"]);
    a.choice("jitterBufferSize", SCHEMA, &["large", "medium", "small", "off"]);
    let trim = a.choice("trim", 13_239, &["trim-silence", "do-not-trim"]) == "trim-silence";
    let status = a.status("statusCallback", "statusCallbackEvent", &CONFERENCE, &["start", "end"]);
    let event_url = a.hook("eventCallbackUrl", "statusCallbackMethod", SCHEMA);
    let usual = || ["start", "end", "join", "leave"].map(String::from).to_vec();
    let hooks = ConferenceHooks {
        action: dial.action.clone(),
        status: status.or(event_url.map(|hook| StatusHook { hook, events: usual() })),
        recording: a.status("recordingStatusCallback", "recordingStatusCallbackEvent", &RECORDING, &["completed"]),
        wait: a.hook("waitUrl", "waitMethod", 13_234),
        time_limit: Some(dial.time_limit),
        hangup_on_star: dial.hangup_on_star,
        record: matches!(record, "record-from-start" | "true"),
        trim,
        label: a.string("participantLabel"),
    };
    Some(Verb::Conference(Box::new(ConferenceStep {
        name: Text::literal(name),
        beep,
        muted: a.flag("muted", 13_230, false),
        coach: a.text("coach").filter(|c| !c.is_empty()).map(Text::literal),
        start_on_enter: a.flag("startConferenceOnEnter", 13_232, true),
        end_on_exit: a.flag("endConferenceOnExit", 13_231, false),
        max_participants: a.number("maxParticipants", SCHEMA, (2, 250)).unwrap_or(250),
        wait: match a.text("waitUrl") {
            // Music unless it is said that there is none.
            None => Some(Text::literal(crate::media::HOLD_MUSIC)),
            Some(_) => None,
        },
        hooks,
    })))
}

fn queue(node: &Node, dial: &Common, warnings: &mut Warnings) -> Option<Verb> {
    let mut a = Attributes::new(node, warnings);
    let url = a.hook("url", "method", 14_210);
    let name = node.text.trim();
    if a.text("reservationSid").is_some() {
        a.warnings.tell(14_219, node.at, "a reservation cannot be taken yet: the queue's first is");
    }
    if name.is_empty() {
        warnings.tell(14_212, node.at, "<Queue> without a name");
        return None;
    }
    Some(Verb::Dequeue(Box::new(Dequeue {
        name: Text::literal(name),
        url: url.map(|hook| hook.map(&mut |url| Text::literal(url))),
        timeout: dial.timeout,
        time_limit: Some(dial.time_limit),
        record: dial.record,
        after: dial.after(),
    })))
}

#[derive(Default)]
struct Targets {
    all: Vec<(TargetKind, Callee)>,
    unavailable: Vec<Unavailable>,
    /// One address in several ways, which are tried one after the other.
    in_order: bool,
}

impl Targets {
    fn add(&mut self, kind: Option<TargetKind>, callee: Callee) {
        self.all.extend(kind.map(|kind| (kind, callee)));
    }

    fn noun(&mut self, noun: &Node, warnings: &mut Warnings) {
        let text = noun.text.trim();
        match noun.name.as_str() {
            "Number" => {
                let callee = callee(noun, warnings);
                let trunk = Attributes::new(noun, warnings).string("byoc");
                let kind = number_target(text, Some(&trunk), noun, warnings);
                self.add(kind, callee);
            }
            "Client" => {
                let identity = noun.children.iter().find(|n| n.name == "Identity").map_or(text, |n| n.text.trim());
                let mut callee = callee(noun, warnings);
                let parameters = noun.children.iter().filter(|n| n.name == "Parameter");
                callee.headers.extend(parameters.filter_map(|n| header(n, "X-", warnings)));
                if identity.is_empty() {
                    return warnings.tell(13_223, noun.at, "<Client> without a name");
                }
                self.add(Some(TargetKind::User(Text::literal(identity))), callee);
            }
            "Sip" => self.sip(noun, warnings),
            other => {
                let what = format!("<Dial> to <{other}>");
                self.unavailable.push(Unavailable { what, code: 13_750 });
            }
        }
    }

    fn sip(&mut self, noun: &Node, warnings: &mut Warnings) {
        let mut callee = callee(noun, warnings);
        let headers = noun.children.iter().filter(|n| n.name == "Headers").flat_map(|n| &n.children);
        callee.headers.extend(headers.filter_map(|n| header(n, "", warnings)));
        let mut uris: Vec<(u32, &Node)> = Vec::new();
        for uri in noun.children.iter().filter(|n| n.name == "Uri") {
            let mut a = Attributes::new(uri, warnings);
            let priority = a.number("priority", SCHEMA, (0, 65_535)).unwrap_or(10);
            a.number("weight", SCHEMA, (0, 65_535));
            uris.push((priority, uri));
        }
        uris.sort_by_key(|(priority, _)| *priority);
        self.in_order |= uris.len() > 1;
        for (_, uri) in &uris {
            let own = credentials(&Attributes::new(uri, warnings));
            let callee = Callee { credentials: own.or_else(|| callee.credentials.clone()), ..callee.clone() };
            self.uri(uri, callee, warnings);
        }
        if uris.is_empty() {
            self.uri(noun, callee, warnings);
        }
    }

    /// An address, with its headers after "?" made headers of the INVITE.
    fn uri(&mut self, node: &Node, mut callee: Callee, warnings: &mut Warnings) {
        let (uri, headers) = node.text.trim().split_once('?').unwrap_or((node.text.trim(), ""));
        for pair in headers.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = unescape(value);
            callee.headers.extend(checked_header(name, &value, node, warnings));
        }
        if !crate::config::is_uri(uri) {
            return warnings.tell(13_243, node.at, format!("\"{uri}\" is no SIP address"));
        }
        self.add(Some(TargetKind::Uri(Text::literal(uri))), callee);
    }
}

/// A trunk of its own, or any.
fn number_target(text: &str, trunk: Option<&str>, node: &Node, warnings: &mut Warnings) -> Option<TargetKind> {
    let number: String = text.chars().filter(|c| !" -().".contains(*c)).collect();
    let digits = number.strip_prefix('+').unwrap_or(&number);
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit() || "*#".contains(c)) {
        warnings.tell(13_223, node.at, format!("\"{text}\" is no number"));
        return None;
    }
    let trunks = trunk.into_iter().filter(|t| !t.is_empty()).map(Text::literal).collect();
    Some(TargetKind::Number { number: Text::literal(&number), trunks, lcr: false })
}

fn credentials(a: &Attributes<'_>) -> Option<(String, Secret)> {
    let name = a.text("username").filter(|u| !u.is_empty())?;
    Some((name.to_owned(), Secret::new(a.string("password"))))
}

fn callee(node: &Node, warnings: &mut Warnings) -> Callee {
    let mut a = Attributes::new(node, warnings);
    let send_digits = a.string("sendDigits");
    if !send_digits.chars().all(|c| "0123456789*#ABCDabcdwW,".contains(c)) {
        a.warnings.tell(13_222, node.at, "sendDigits: expected some of 0-9 * # A-D and w");
    }
    let machine = detection(&mut a);
    Callee {
        url: a.hook("url", "method", 13_221),
        status: a.status("statusCallback", "statusCallbackEvent", &PROGRESS, &["completed"]),
        send_digits: send_digits.chars().filter(|c| *c != ',').collect(),
        credentials: credentials(&a),
        headers: Vec::new(),
        machine,
        machine_status: a.hook("amdStatusCallback", "amdStatusCallbackMethod", SCHEMA),
    }
}

/// How it is found out whether a machine answers.
fn detection(a: &mut Attributes<'_>) -> Option<machine::Settings> {
    let wanted = a.choice("machineDetection", SCHEMA, &["", "Enable", "DetectMessageEnd"]);
    let usual = machine::Settings::default();
    let timeout = a.number("machineDetectionTimeout", SCHEMA, (3, 59));
    let mut ms = |name: &str, bounds, usual| {
        let read = a.number(name, SCHEMA, bounds);
        read.map_or(usual, |ms| Duration::from_millis(ms.into()))
    };
    let settings = machine::Settings {
        to_end: wanted == "DetectMessageEnd",
        timeout: timeout.map_or(usual.timeout, |s| Duration::from_secs(s.into())),
        speech: ms("machineDetectionSpeechThreshold", (1_000, 6_000), usual.speech),
        speech_end: ms("machineDetectionSpeechEndThreshold", (500, 5_000), usual.speech_end),
        silence: ms("machineDetectionSilenceTimeout", (2_000, 10_000), usual.silence),
    };
    (!wanted.is_empty()).then_some(settings)
}

fn header(node: &Node, prefix: &str, warnings: &mut Warnings) -> Option<(String, String)> {
    let a = Attributes::new(node, warnings);
    let (name, value) = (format!("{prefix}{}", a.string("name")), a.string("value"));
    checked_header(&name, &value, node, warnings)
}

/// Headers that markup may add: X-… and User-to-User, as Twilio's.
fn checked_header(name: &str, value: &str, node: &Node, warnings: &mut Warnings) -> Option<(String, String)> {
    let token = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let starts = |s: &str| name.get(..s.len()).is_some_and(|head| head.eq_ignore_ascii_case(s));
    if !token || name.len() < 3 || !(starts("X-") || starts("User-to-User")) {
        warnings.tell(13_252, node.at, format!("the header \"{name}\": expected X-… or User-to-User"));
        return None;
    }
    if name.len() + value.len() > 1_024 {
        warnings.tell(13_253, node.at, format!("the header \"{name}\" is longer than 1024 octets"));
        return None;
    }
    Some((name.to_owned(), value.chars().filter(|c| !c.is_control()).collect()))
}

/// %XX as the octet that it stands for.
fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let octet =
            tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
        match (first, octet) {
            (b'%', Some(octet)) => {
                out.push(octet);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
