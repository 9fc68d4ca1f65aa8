//! Steps → blocks of a program, with every name looked up.

use super::load::Entries;
use super::shapes;
use super::{Names, Rule, VARIABLES};
use crate::base::time::Duration;
use crate::base::yaml::{Fault, Fields, Kind, Node, Position, Reader};
use crate::config::is_uri;
use crate::media::command::Tone;
use crate::speech::machine;
use crate::verb::{
    AfterDial, BlockId, Callee, Channels, Condition, DialRecord, DialStep, Feature, Gather, Hook, Listening, MediaMode,
    Outcome, Program, Prompt, Record, RecordCall, Redirect, Refer, Say, Step, Strategy, TargetKind, TargetStep, Text,
    Verb, is_url, variable_name,
};
use crate::web::Method;
use std::collections::BTreeSet;
use std::sync::Arc;

mod features;
mod meeting;

/// A variable that some step reads.
struct Use {
    file: Arc<str>,
    at: Position,
    name: String,
    /// The rule in which it stands, and how many groups that has.
    entry: BlockId,
    groups: usize,
}

pub(super) struct Compiler<'a> {
    program: Program,
    entries: Entries,
    names: &'a Names<'a>,
    uses: Vec<Use>,
    /// Variables that some `set` sets, anywhere.
    set: BTreeSet<String>,
    /// Rules that some `goto` goes to: their captures are another rule's.
    gone_to: BTreeSet<BlockId>,
    context: String,
    entry: BlockId,
    groups: usize,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(program: Program, entries: Entries, names: &'a Names<'a>) -> Compiler<'a> {
        Compiler {
            program,
            entries,
            names,
            uses: Vec::new(),
            set: BTreeSet::new(),
            gone_to: BTreeSet::new(),
            context: String::new(),
            entry: BlockId(0),
            groups: 0,
        }
    }

    pub(super) fn context(&mut self, reader: &mut Reader, name: &str, rules: &[Rule], steps: &[Option<&Node>]) {
        name.clone_into(&mut self.context);
        for (rule, steps) in rules.iter().zip(steps) {
            (self.entry, self.groups) = (rule.entry(), rule.groups());
            let steps = steps.map_or_else(Vec::new, |node| self.steps(reader, node));
            self.program.fill(rule.entry(), steps);
        }
    }

    /// The program, and the faults of variables that nothing sets.
    pub(super) fn finish(self) -> (Program, Vec<Fault>) {
        let mut faults = Vec::new();
        for seen in &self.uses {
            let mut reader = Reader::new(&seen.file);
            if let Ok(number) = seen.name.parse::<usize>() {
                if (number == 0 || number > seen.groups) && !self.gone_to.contains(&seen.entry) {
                    let what = format!("${number} is used, but the rule's patterns have {} groups", seen.groups);
                    reader.fault(seen.at, what, "expected a group (…) in `match` for each number");
                }
            } else if !seen.name.starts_with("header.")
                && !VARIABLES.contains(&seen.name.as_str())
                && !self.set.contains(&seen.name)
            {
                let known = VARIABLES.into_iter().chain(self.set.iter().map(String::as_str)).chain(["header.NAME"]);
                reader.unknown(seen.at, "variable", &seen.name, known);
            }
            faults.extend(reader.into_faults());
        }
        faults.dedup();
        (self.program, faults)
    }

    fn steps(&mut self, reader: &mut Reader, node: &Node) -> Vec<Step> {
        node.items().iter().filter_map(|item| self.step(reader, item)).collect()
    }

    fn block(&mut self, reader: &mut Reader, node: &Node) -> BlockId {
        let steps = self.steps(reader, node);
        self.program.add(steps)
    }

    fn step(&mut self, reader: &mut Reader, node: &Node) -> Option<Step> {
        let null = Node::new(node.at, Kind::Null);
        let (name, value) = match &node.kind {
            Kind::Scalar { .. } => (node, &null),
            _ => node.pairs().iter().find(|(key, _)| key.text() != Some("on")).map(|(k, v)| (k, v))?,
        };
        let at: Arc<str> = format!("{}:{}", reader.file(), name.at.line).into();
        let mut verb = self.verb(reader, name.text()?, value)?;
        let mut on = Vec::new();
        for (outcome, steps) in node.get("on").map_or(&[][..], Node::pairs) {
            let key = outcome.text().filter(|key| key.len() == 1);
            if let (Verb::Gather { .. }, Some(key)) = (&verb, key) {
                let block = self.block(reader, steps);
                if let Verb::Gather { cases, .. } = &mut verb {
                    cases.push((key.to_owned(), block));
                }
                continue;
            }
            if let Some(key) = key {
                let what = format!("\"{}\" never is \"{key}\"", name.text().unwrap_or_default());
                reader.fault(outcome.at, what, "expected a digit beside a gather only");
                continue;
            }
            let Some(known) = outcome.text().and_then(read_outcome) else { continue };
            let possible = possible_outcomes(&verb);
            if possible.contains(&known) {
                on.push((known, self.block(reader, steps)));
            } else {
                let words: Vec<&str> = possible.iter().map(|o| o.as_str()).collect();
                let what = format!("\"{}\" never is \"{}\"", name.text().unwrap_or_default(), known.as_str());
                let expected = if words.is_empty() {
                    "expected no `on` here".into()
                } else {
                    format!("expected one of {}", words.join(", "))
                };
                reader.fault(outcome.at, what, expected);
            }
        }
        Some(Step { verb, on, at })
    }

    fn verb(&mut self, reader: &mut Reader, name: &str, value: &Node) -> Option<Verb> {
        let short = |shape, main| Fields::short(value, shape, main);
        Some(match name {
            "answer" => Verb::Answer,
            "reject" => {
                let f = short(&shapes::REJECT, "status");
                let status = f.text("status").and_then(shapes::status).unwrap_or(603);
                Verb::Reject { status, reason: self.field(reader, &f, "reason").unwrap_or_default() }
            }
            "play" => self.play(reader, &short(&shapes::PLAY, "file"))?,
            "say" => Verb::Say(Box::new(self.say(reader, &short(&shapes::SAY, "text"))?)),
            "pay" => {
                let pay = short(&super::pay::PAY, "amount");
                self.pay(reader, &pay)
            }
            "gather" => self.gather(reader, &short(&shapes::GATHER, "digits")),
            "markup" | "redirect" => {
                let f = short(&shapes::REDIRECT, "url");
                let method = method(&f);
                let to = Hook::new(self.document(reader, &f, "url")?, method);
                let fallback = self.document(reader, &f, "fallback").map(|url| Hook::new(url, method));
                Verb::Redirect(Redirect { to, fallback })
            }
            "refer" => {
                let f = short(&shapes::REFER, "uri");
                let (method, uri) = (method(&f), self.field(reader, &f, "uri")?);
                let action = self.field(reader, &f, "action").map(|url| Hook::new(url, method));
                Verb::Refer(Box::new(Refer { uri, action }))
            }
            "tone" => {
                let f = short(&shapes::TONE, "name");
                let tone = f.text("name").and_then(read_tone)?;
                Verb::Tone { tone, country: f.text("country").map(Arc::from), duration: f.duration("duration") }
            }
            "echo" => Verb::Echo { duration: short(&shapes::ECHO, "duration").duration("duration") },
            "dial" => self.dial(reader, &short(&shapes::DIAL, "user"))?,
            "enqueue" => Verb::Enqueue(Box::new(self.enqueue(reader, &short(&shapes::ENQUEUE, "name"))?)),
            "pickup" => self.pickup(reader, &short(&shapes::PICKUP, "user"))?,
            "park" => self.park(reader, &short(&shapes::PARK, "slot")),
            "retrieve" => self.retrieve(reader, &short(&shapes::RETRIEVE, "slot"))?,
            "forward" => self.forward(reader, &short(&shapes::FORWARD, "always"))?,
            "leave" => Verb::Leave,
            "conference" => {
                let f = short(&shapes::CONFERENCE, "name");
                Verb::Conference(Box::new(self.conference(reader, &f)?))
            }
            "record" => Verb::Record(Box::new(record(reader, &short(&shapes::RECORD, "max_length")))),
            "record_call" => Verb::RecordCall(record_call(&short(&shapes::RECORD_CALL, "action")), None),
            "set" => self.set(reader, value),
            "branch" => self.branch(reader, value),
            "goto" => self.goto(reader, &short(&shapes::GOTO, "rule"))?,
            "pause" => Verb::Pause(short(&shapes::PAUSE, "duration").duration("duration")?),
            "hangup" => {
                let reason = self.field(reader, &short(&shapes::HANGUP, "reason"), "reason");
                Verb::Hangup { reason: reason.unwrap_or_default() }
            }
            "log" => Verb::Log(self.field(reader, &short(&shapes::LOG, "text"), "text")?),
            _ => return None,
        })
    }

    fn play(&mut self, reader: &mut Reader, f: &Fields<'_>) -> Option<Verb> {
        match (f.get("file"), f.get("digits")) {
            (Some(_), None) => {
                let file = self.prompt(reader, f, "file")?;
                Some(Verb::Play { file, loops: f.int("loop") })
            }
            (None, Some(digits)) => Some(Verb::SendDigits(Text::literal(digits.text()?))),
            (Some(_), Some(digits)) => {
                reader.fault(digits.at, "one play has a file and digits", "expected one of them");
                None
            }
            (None, None) => {
                reader.fault(f.at(), "this play has nothing to play", "expected file or digits");
                None
            }
        }
    }

    fn say(&mut self, reader: &mut Reader, f: &Fields<'_>) -> Option<Say<Text>> {
        let (voice, language) = (f.string("voice"), f.string("language"));
        let text = self.field(reader, f, "text")?;
        if let (Some(literal), Some(node)) = (text.as_literal(), f.get("text"))
            && literal.trim().is_empty()
        {
            reader.fault(node.at, "nothing is said", "expected a text");
        }
        Some(Say { text, is_ssml: f.flag("ssml"), voice, language, loops: f.int("loop") })
    }

    /// What is heard while something is asked for.
    pub(super) fn prompts(&mut self, reader: &mut Reader, nodes: &[Node]) -> Vec<Prompt<Text>> {
        let mut prompts = Vec::new();
        for node in nodes {
            let Some((name, value)) = node.pairs().first() else { continue };
            let verb = name.text().and_then(|name| self.verb(reader, name, value));
            prompts.extend(match verb {
                Some(Verb::Play { file, loops }) => Some(Prompt::Play { file, loops }),
                Some(Verb::Say(say)) => Some(Prompt::Say(*say)),
                Some(Verb::Pause(duration)) => Some(Prompt::Pause(duration)),
                Some(_) => {
                    reader.fault(
                        name.at,
                        "digits are sent while some are awaited",
                        "expected a file, a text or a pause",
                    );
                    None
                }
                None => None,
            });
        }
        prompts
    }

    fn gather(&mut self, reader: &mut Reader, f: &Fields<'_>) -> Verb {
        let prompts = self.prompts(reader, f.items("prompt"));
        let method = method(f);
        let input = f.text("input").unwrap_or("dtmf");
        let gather = Gather {
            dtmf: input.contains("dtmf"),
            speech: input.contains("speech"),
            digits: f.get("digits").map(|_| f.int("digits")),
            finish_on_key: match f.text("finish_on_key") {
                Some("none") => None,
                Some("*") => Some('*'),
                _ => Some('#'),
            },
            timeout: f.duration("timeout").unwrap_or(Duration::from_secs(5)),
            prompts,
            barge_in: f.text("barge_in") != Some("false"),
            action: self.field(reader, f, "action").map(|url| Hook::new(url, method)),
            action_on_empty: f.flag("action_on_empty"),
            pci: f.flag("pci"),
            listening: Listening {
                timeout: f.duration("speech_timeout"),
                max_time: f.duration("max_speech_time").unwrap_or(Duration::from_secs(60)),
                language: f.string("language"),
                hints: self.field(reader, f, "hints").unwrap_or_default(),
                partial: self.field(reader, f, "partial").map(|url| Hook::new(url, method)),
                ..Listening::default()
            },
        };
        Verb::Gather { gather: Box::new(gather), cases: Vec::new() }
    }

    /// A prompt's name, which is looked up if it is known already.
    fn prompt(&mut self, reader: &mut Reader, f: &Fields<'_>, key: &str) -> Option<Text> {
        let file = self.field(reader, f, key)?;
        if let (Some(name), Some(node)) = (file.as_literal(), f.get(key))
            && !is_url(name)
            && let Err(why) = (self.names.prompt)(name)
        {
            reader.fault(node.at, format!("the prompt \"{name}\" cannot be played: {why}"), "expected a WAV file");
        }
        Some(file)
    }

    fn set(&mut self, reader: &mut Reader, value: &Node) -> Verb {
        let mut pairs = Vec::new();
        for (key, value) in value.pairs() {
            let name = key.text().unwrap_or_default();
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            if !is_name {
                reader.fault(key.at, format!("\"{name}\" is no name of a variable"), "expected letters, digits and _");
            } else if VARIABLES.contains(&name) {
                reader.fault(key.at, format!("the variable \"{name}\" is the call's own"), "expected another name");
            }
            self.set.insert(name.to_owned());
            if let Some(text) = self.text(reader, value) {
                pairs.push((Arc::from(name), text));
            }
        }
        Verb::Set(pairs)
    }

    fn branch(&mut self, reader: &mut Reader, value: &Node) -> Verb {
        let (mut cases, mut otherwise) = (Vec::new(), None);
        for item in value.items() {
            let f = Fields::of(item, &shapes::CASE);
            if let Some(node) = f.get("if") {
                let block = f.get("do").map(|steps| self.block(reader, steps));
                if block.is_none() && f.get("else").is_none() {
                    reader.fault(item.at, "this case does nothing", "expected \"do\" with its steps");
                }
                let block = block.unwrap_or_else(|| self.program.add(Vec::new()));
                cases.extend(self.condition(reader, node).map(|c| (c, block)));
            } else if f.get("else").is_none() {
                reader.fault(item.at, "this case has no condition", "expected \"if\" and \"do\", or \"else\"");
            } else if f.get("do").is_some() {
                reader.fault(
                    item.at,
                    "\"do\" stands beside \"else\" without \"if\"",
                    "expected \"if\" and \"do\", or \"else\"",
                );
            }
            if let Some(steps) = f.get("else") {
                if otherwise.is_some() {
                    reader.fault(steps.at, "a second \"else\"", "expected one, in the last case");
                }
                otherwise = Some(self.block(reader, steps));
            }
        }
        Verb::Branch { cases, otherwise }
    }

    fn condition(&mut self, reader: &mut Reader, node: &Node) -> Option<Condition> {
        let Kind::Scalar { text, quoted } = &node.kind else { return None };
        let shift = |offset: usize| {
            let column = u32::try_from(offset).unwrap_or(0) + u32::from(*quoted);
            Position { line: node.at.line, column: node.at.column.saturating_add(column) }
        };
        match Condition::parse(text) {
            Ok(condition) => {
                condition.texts(&mut |text| self.note(reader, node.at, text));
                Some(condition)
            }
            Err(wrong) => {
                reader.fault(shift(wrong.offset), wrong.what, wrong.expected);
                None
            }
        }
    }

    fn goto(&mut self, reader: &mut Reader, f: &Fields<'_>) -> Option<Verb> {
        let node = f.get("rule")?;
        let rule = node.text()?;
        let context = f.text("context").unwrap_or(&self.context);
        let Some(rules) = self.entries.get(context) else {
            let at = f.get("context").map_or(node.at, |n| n.at);
            reader.unknown(at, "context", context, self.entries.keys().map(String::as_str));
            return None;
        };
        let Some(block) = rules.get(rule).copied() else {
            reader.unknown(node.at, "rule", rule, rules.keys().map(String::as_str));
            return None;
        };
        self.gone_to.insert(block);
        Some(Verb::Goto(block))
    }

    fn dial(&mut self, reader: &mut Reader, f: &Fields<'_>) -> Option<Verb> {
        let kinds = ["user", "number", "uri", "group", "queue", "conference"];
        let kinds: Vec<&str> = kinds.into_iter().filter(|k| f.get(k).is_some()).collect();
        if kinds.len() > 1 {
            let what = format!("one dial has {}", kinds.join(" and "));
            reader.fault(
                f.at(),
                what,
                "expected one of user, number, uri, queue, conference; or a group for several targets",
            );
        }
        if let Some(node) = f.get("url").filter(|_| f.get("queue").is_none()) {
            reader.fault(node.at, "\"url\" stands beside no queue", "expected it beside \"queue\" only");
        }
        match (f.get("queue"), f.get("conference")) {
            (Some(_), _) => self.dial_queue(reader, f),
            (None, Some(node)) => {
                let conference = Fields::short(node, &shapes::CONFERENCE, "name");
                self.conference(reader, &conference).map(|c| Verb::Conference(Box::new(c)))
            }
            (None, None) => self.dial_targets(reader, f).map(|dial| Verb::Dial(Box::new(dial))),
        }
    }

    fn dial_targets(&mut self, reader: &mut Reader, f: &Fields<'_>) -> Option<DialStep> {
        let mut targets = Vec::new();
        let mut strategy = Strategy::Simultaneous;
        let mut weighted = false;
        if let Some(group) = f.get("group") {
            let g = Fields::of(group, &shapes::GROUP);
            weighted = g.text("strategy") == Some("weighted");
            strategy = if g.text("strategy") == Some("simultaneous") { strategy } else { Strategy::Sequential };
            for item in g.items("targets") {
                let t = Fields::short(item, &shapes::TARGET, "user");
                let kind = self.target(reader, &t);
                targets.extend(kind.map(|kind| TargetStep { weight: t.int("weight"), kind }));
            }
            if g.items("targets").is_empty() && g.get("targets").is_some() {
                reader.fault(group.at, "a group without targets", "expected at least one");
            }
        } else {
            targets.extend(self.target(reader, f).map(|kind| TargetStep { weight: 1, kind }));
        }
        let mut headers = Vec::new();
        for (name, value) in f.get("headers").map_or(&[][..], Node::pairs) {
            let text = self.text(reader, value);
            headers.extend(text.map(|text| (read_header_name(reader, name), text)));
        }
        let callees = match f.text("machine_detection") {
            None => Vec::new(),
            Some(wanted) => {
                let settings = machine::Settings { to_end: wanted == "message_end", ..Default::default() };
                let machine_status = f.text("machine_status").map(|url| Hook::new(url.to_owned(), Method::Post));
                vec![Callee { machine: Some(settings), machine_status, ..Callee::default() }; targets.len()]
            }
        };
        Some(DialStep {
            targets,
            strategy,
            weighted,
            timeout: f.duration("timeout").unwrap_or(Duration::from_secs(60)),
            caller_id: self.field(reader, f, "caller_id"),
            caller_name: self.field(reader, f, "caller_name"),
            attest: f.text("attest").map(str::to_owned),
            media: if f.text("media") == Some("direct") { MediaMode::Direct } else { MediaMode::Anchored },
            codecs: f.texts("codecs"),
            time_limit: f.duration("time_limit"),
            ringback: f.text("ringback").map(Arc::from),
            record: f.text("record").and_then(DialRecord::parse).flatten(),
            headers,
            after: AfterDial::default(),
            callees,
        })
    }

    fn target(&mut self, reader: &mut Reader, f: &Fields<'_>) -> Option<TargetKind> {
        if let Some(node) = f.get("user") {
            let name = self.text(reader, node)?;
            known_name(reader, node, &name, "user", self.names.users);
            return Some(TargetKind::User(name));
        }
        if let Some(node) = f.get("number") {
            let number = self.text(reader, node)?;
            let mut trunks = Vec::new();
            for node in f.items("trunks") {
                if let Some(trunk) = self.text(reader, node) {
                    known_name(reader, node, &trunk, "trunk", self.names.trunks);
                    trunks.push(trunk);
                }
            }
            let lcr = f.flag("lcr");
            if trunks.is_empty() && !lcr {
                reader.fault(
                    node.at,
                    "a number without trunks",
                    "expected \"trunks\" beside it: the trunks to try, in order; or \"lcr: true\"",
                );
            }
            return Some(TargetKind::Number { number, trunks, lcr });
        }
        let Some(node) = f.get("uri") else {
            reader.fault(
                f.at(),
                "nobody is named to be called",
                "expected user, number and trunks, uri, group, queue or conference",
            );
            return None;
        };
        let uri = self.text(reader, node)?;
        if uri.as_literal().is_some_and(|u| !is_uri(u)) {
            reader.fault(
                node.at,
                format!("{} is no address", node.shown()),
                "expected one such as sip:bob@example.com",
            );
        }
        Some(TargetKind::Uri(uri))
    }

    pub(super) fn field(&mut self, reader: &mut Reader, f: &Fields<'_>, key: &str) -> Option<Text> {
        f.get(key).and_then(|node| self.text(reader, node))
    }

    pub(super) fn text(&mut self, reader: &mut Reader, node: &Node) -> Option<Text> {
        match Text::parse(node.text()?) {
            Ok(text) => {
                self.note(reader, node.at, &text);
                Some(text)
            }
            Err(what) => {
                reader.fault(node.at, what, "expected ${name}, $1, or $$ for a dollar sign");
                None
            }
        }
    }

    /// Remembers the variables of a text, to be looked up when all `set` are known.
    fn note(&mut self, reader: &Reader, at: Position, text: &Text) {
        let (entry, groups) = (self.entry, self.groups);
        let file = reader.file();
        self.uses.extend(text.variables().map(|name| Use {
            file: Arc::clone(file),
            at,
            name: variable_name(name),
            entry,
            groups,
        }));
    }
}

fn method(f: &Fields<'_>) -> Method {
    f.text("method").and_then(Method::parse).unwrap_or_default()
}

fn known_name(reader: &mut Reader, node: &Node, name: &Text, kind: &str, known: Option<&[String]>) {
    if let (Some(name), Some(known)) = (name.as_literal(), known)
        && !known.iter().any(|k| k == name)
    {
        reader.unknown(node.at, kind, name, known.iter().map(String::as_str));
    }
}

/// Headers that are the call's own are not the dialplan's to write.
fn read_header_name(reader: &mut Reader, node: &Node) -> String {
    const OWN: [&str; 14] = [
        "via",
        "from",
        "to",
        "call-id",
        "cseq",
        "contact",
        "max-forwards",
        "content-length",
        "content-type",
        "route",
        "record-route",
        "authorization",
        "proxy-authorization",
        "require",
    ];
    let name = node.text().unwrap_or_default();
    let token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        reader.fault(node.at, format!("{} is no name of a header", node.shown()), "expected one such as X-Account");
    } else if name.len() == 1 || OWN.contains(&name.to_ascii_lowercase().as_str()) {
        reader.fault(
            node.at,
            format!("the header \"{name}\" is Tandem's own"),
            "expected one that it does not write itself",
        );
    }
    name.to_owned()
}

pub(super) fn read_outcome(text: &str) -> Option<Outcome> {
    let all = [
        Outcome::Done,
        Outcome::Failed,
        Outcome::Answered,
        Outcome::Busy,
        Outcome::NoAnswer,
        Outcome::Cancelled,
        Outcome::None,
    ];
    all.into_iter().find(|o| o.as_str() == text)
}

fn possible_outcomes(verb: &Verb) -> &'static [Outcome] {
    match verb {
        Verb::Dequeue(_) => &[Outcome::Answered, Outcome::NoAnswer, Outcome::Failed],
        Verb::Feature(feature) => match **feature {
            Feature::Park { .. } => {
                &[Outcome::Answered, Outcome::Busy, Outcome::NoAnswer, Outcome::Failed, Outcome::Cancelled]
            }
            Feature::Forward(_) => &[Outcome::Done, Outcome::Failed],
            Feature::Pickup { .. } | Feature::Retrieve { .. } => &[Outcome::Failed],
        },
        Verb::Dial(_) => &[Outcome::Answered, Outcome::Busy, Outcome::NoAnswer, Outcome::Failed, Outcome::Cancelled],
        Verb::Refer(_) => &[Outcome::Done, Outcome::Busy, Outcome::NoAnswer, Outcome::Failed],
        Verb::Gather { .. } => &[Outcome::Done, Outcome::None, Outcome::Failed],
        Verb::Pay(_) => &[Outcome::Done, Outcome::None, Outcome::Cancelled, Outcome::Failed],
        Verb::Answer
        | Verb::Say(_)
        | Verb::SendDigits(_)
        | Verb::Enqueue(_)
        | Verb::Sms(_)
        | Verb::Play { .. }
        | Verb::Tone { .. }
        | Verb::Echo { .. }
        | Verb::Record(_)
        | Verb::RecordCall(..)
        | Verb::Conference(_)
        | Verb::Pause(_) => &[Outcome::Done, Outcome::Failed],
        Verb::Reject { .. }
        | Verb::Set(_)
        | Verb::Branch { .. }
        | Verb::Goto(_)
        | Verb::Leave
        | Verb::Redirect(_)
        | Verb::Unavailable(_)
        | Verb::Hangup { .. }
        | Verb::Log(_) => &[],
    }
}

/// The longest message, and the silence after which it is over.
const MESSAGE_MAX: Duration = Duration::from_secs(3_600);
const MESSAGE_SILENCE: Duration = Duration::from_secs(5);
const KEYS: &str = "1234567890*#";

fn record(reader: &mut Reader, f: &Fields<'_>) -> Record {
    let finish_on_key = f.text("finish_on_key").unwrap_or(KEYS);
    if let Some(node) = f.get("finish_on_key")
        && !finish_on_key.chars().all(|c| KEYS.contains(c))
        && finish_on_key != "none"
    {
        reader.fault(node.at, format!("{} is no set of keys", node.shown()), "expected some of 1234567890*#, or none");
    }
    let max_length = f.duration("max_length").unwrap_or(MESSAGE_MAX);
    if let Some(node) = f.get("max_length")
        && !(Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&max_length)
    {
        reader.fault(node.at, format!("{} is no length of a message", node.shown()), "expected 1s to 1d");
    }
    Record {
        max_length,
        finish_on_key: if finish_on_key == "none" { String::new() } else { finish_on_key.to_owned() },
        timeout: f.duration("timeout").unwrap_or(MESSAGE_SILENCE),
        beep: f.text("beep") != Some("false"),
        trim: f.text("trim") != Some("false"),
        action: None,
        status: None,
        transcribe: None,
    }
}

fn record_call(f: &Fields<'_>) -> RecordCall {
    match f.text("action") {
        Some("stop") => RecordCall::Stop,
        Some("pause") => RecordCall::Pause { skip: f.text("paused") == Some("skip") },
        Some("resume") => RecordCall::Resume,
        _ => RecordCall::Start(f.text("channels").and_then(Channels::parse)),
    }
}

fn read_tone(name: &str) -> Option<Tone> {
    let all = [Tone::Ringback, Tone::Busy, Tone::Congestion, Tone::Dial, Tone::Information];
    all.into_iter().find(|t| crate::verb::tone_name(*t) == name)
}
