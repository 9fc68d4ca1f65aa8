//! Elements → steps.

use super::attributes::{Attributes, SCHEMA, Warnings};
use super::nouns::{self, Played};
use super::table::{self, Element};
use super::tree::Node;
use super::{Document, dial};
use crate::base::time::Duration;
use crate::verb::{
    BlockId, Channels, Enqueue, Gather, Hook, Listening, Outcome, Program, Record, RecordCall, Redirect, Refer, Say,
    Sms, StatusHook, Step, Text, Unavailable, Verb,
};
use std::sync::Arc;

/// "Twiml verb not supported by this API version."
const UNSUPPORTED: u32 = 13_750;
const KEYS: &str = "1234567890*#";

pub fn compile(root: &Node, text: &str, name: &str) -> Document {
    let mut compiler = Compiler {
        text,
        name: name.split(['?', '#']).next().unwrap_or_default(),
        program: Program::default(),
        // What follows a dial that was answered is the next step, as after any other outcome.
        go_on: BlockId(0),
        steps: Vec::new(),
        answered: false,
        warnings: Warnings::default(),
    };
    compiler.go_on = compiler.program.add(Vec::new());
    check(root, table::find(None, &root.name), &mut compiler.warnings);
    for node in &root.children {
        compiler.verb(node);
    }
    compiler.finish()
}

/// A document that is text: it is said.
pub fn say_all(text: &str, name: &str) -> Document {
    let say =
        Say { text: Text::literal(text), is_ssml: false, voice: String::new(), language: String::new(), loops: 1 };
    single(Verb::Say(Box::new(say)), name)
}

/// A document that is sound: it is played.
pub fn play(url: &str) -> Document {
    single(Verb::Play { file: Text::literal(url), loops: 1 }, url)
}

fn single(verb: Verb, name: &str) -> Document {
    let mut program = Program::default();
    let steps = [Verb::Answer, verb].map(|verb| Step { verb, on: Vec::new(), at: name.into() });
    let entry = program.add(steps.into());
    Document { program, entry, warnings: Vec::new() }
}

/// Tells of each element and attribute that is not in the table.
fn check(node: &Node, known: Option<&'static Element>, warnings: &mut Warnings) {
    let Some(known) = known else { return };
    for attribute in &node.attributes {
        let is_version = attribute.name == "version" && known.key == "VoiceResponse";
        if !is_version && !known.attributes.contains(&attribute.name.as_str()) {
            let what = format!("<{}> has no attribute \"{}\": it is skipped", node.name, attribute.name);
            warnings.tell(SCHEMA, attribute.at, what);
        }
    }
    for child in &node.children {
        let element = table::find(Some(known), &child.name);
        if element.is_none() {
            let code = match known.key {
                "Gather" => 13_320,
                "Dial" => 13_215,
                "Start" => 14_300,
                _ => SCHEMA,
            };
            warnings.tell(code, child.at, format!("no <{}> stands in <{}>: it is skipped", child.name, node.name));
        }
        check(child, element, warnings);
    }
}

struct Compiler<'a> {
    text: &'a str,
    /// The document's address, without its query: it may hold secrets.
    name: &'a str,
    program: Program,
    /// An empty block: behind it comes the next step.
    go_on: BlockId,
    steps: Vec<Step>,
    /// A step that answers has been written.
    answered: bool,
    warnings: Warnings,
}

impl Compiler<'_> {
    fn finish(mut self) -> Document {
        let entry = self.program.add(self.steps);
        Document { program: self.program, entry, warnings: self.warnings.0 }
    }

    fn step(&mut self, node: &Node, verb: Verb) {
        let on = match &verb {
            Verb::Dial(_) | Verb::Dequeue(_) => vec![(Outcome::Answered, self.go_on)],
            _ => Vec::new(),
        };
        let at: Arc<str> = format!("{}:{}", self.name, node.at.line).into();
        self.steps.push(Step { verb, on, at });
    }

    /// What plays or listens needs an answered call; Twilio answers by itself.
    fn answer(&mut self, node: &Node) {
        if !std::mem::replace(&mut self.answered, true) {
            self.step(node, Verb::Answer);
        }
    }

    fn answered(&mut self, node: &Node, verb: Verb) {
        self.answer(node);
        self.step(node, verb);
    }

    fn unavailable(&mut self, node: &Node, what: String) {
        self.step(node, Verb::Unavailable(Box::new(Unavailable { what, code: UNSUPPORTED })));
    }

    fn verb(&mut self, node: &Node) {
        match node.name.as_str() {
            "Say" => {
                if let Some(say) = nouns::say(node, self.text, false, &mut self.warnings) {
                    self.answered(node, Verb::Say(Box::new(say)));
                }
            }
            "Play" => match nouns::play(node, &mut self.warnings) {
                Some(Played::File { file, loops }) => self.answered(node, Verb::Play { file, loops }),
                Some(Played::Digits(digits)) => self.answered(node, Verb::SendDigits(digits)),
                None => {}
            },
            "Pause" => {
                let length = nouns::pause(node, &mut self.warnings);
                self.step(node, Verb::Pause(length));
            }
            "Gather" => self.gather(node),
            "Dial" => self.dial(node),
            "Record" => {
                let record = record(node, &mut self.warnings);
                self.answered(node, Verb::Record(Box::new(record)));
            }
            "Redirect" => {
                let method = Attributes::new(node, &mut self.warnings).method("method", 13_710);
                let to = Hook::new(Text::literal(node.text.trim()), method);
                self.step(node, Verb::Redirect(Redirect { to, fallback: None }));
            }
            "Reject" => {
                let reason = Attributes::new(node, &mut self.warnings).choice("reason", 13_810, &["rejected", "busy"]);
                let status = if reason == "busy" { 486 } else { 603 };
                self.step(node, Verb::Reject { status, reason: Text::default() });
            }
            "Hangup" => {
                // As published: a document that only hangs up has answered; who does not want that rejects.
                if self.steps.is_empty() {
                    self.answer(node);
                }
                self.step(node, Verb::Hangup { reason: Text::default() });
            }
            "Leave" => self.step(node, Verb::Leave),
            "Echo" => self.answered(node, Verb::Echo { duration: None }),
            "Enqueue" => self.enqueue(node),
            "Refer" => self.refer(node),
            "Sms" => self.sms(node),
            "Start" => self.start(node),
            "Stop" | "Connect" => {
                for noun in &node.children {
                    self.unavailable(noun, format!("<{}><{}>", node.name, noun.name));
                }
            }
            "Pay" => {
                let pay = super::pay::pay(node, self.text, &mut self.warnings);
                self.answered(node, Verb::Pay(Box::new(pay)));
            }
            "Prompt" => {
                self.warnings.tell(SCHEMA, node.at, "<Prompt> stands in no <Pay>: it is skipped");
            }
            // What is in the table and stands for nothing alone, and what is in no table.
            _ => {}
        }
    }

    fn gather(&mut self, node: &Node) {
        let known = node.children.iter().filter(|n| matches!(n.name.as_str(), "Say" | "Play" | "Pause"));
        let prompts = known.filter_map(|n| nouns::prompt(n, self.text, &mut self.warnings)).collect();
        let mut a = Attributes::new(node, &mut self.warnings);
        let input = a.choice("input", 13_326, &["dtmf", "speech", "dtmf speech", "speech dtmf"]);
        let finish_on_key = match a.text("finishOnKey") {
            None => Some('#'),
            Some(text) => {
                let key = text.chars().next();
                if text.chars().count() > 1 || key.is_some_and(|k| !KEYS.contains(k)) {
                    let what = format!("finishOnKey=\"{text}\": expected one of 0-9 * #, or nothing");
                    a.warnings.tell(13_310, node.at, what);
                }
                key.map(|k| if KEYS.contains(k) { k } else { '#' })
            }
        };
        let action = a.hook("action", "method", 13_312).unwrap_or_else(|| {
            let method = a.method("method", 13_312);
            Hook::new(String::new(), method)
        });
        let partial = a.hook("partialResultCallback", "partialResultCallbackMethod", 13_329);
        let timeout = a.seconds("timeout", 13_313, 5, (1, 600));
        let speech_timeout = match a.text("speechTimeout") {
            Some("auto") => None,
            None => Some(timeout),
            Some(_) => a.number("speechTimeout", 13_327, (1, 600)).map(|n| Duration::from_secs(u64::from(n))),
        };
        let literal = |hook: &Hook| hook.map(&mut |url| Text::literal(url));
        let gather = Gather {
            dtmf: input.contains("dtmf"),
            speech: input.contains("speech"),
            digits: a.number("numDigits", 13_314, (1, 255)),
            finish_on_key,
            timeout,
            prompts,
            barge_in: a.flag("bargeIn", 13_332, true),
            action: Some(literal(&action)),
            action_on_empty: a.flag("actionOnEmptyResult", 13_338, false),
            // Twilio has no attribute for it: the account's or the trunk's word decides.
            pci: false,
            listening: Listening {
                timeout: speech_timeout,
                max_time: a.seconds("maxSpeechTime", 13_328, 60, (1, 600)),
                language: a.string("language"),
                hints: Text::literal(&a.string("hints")),
                profanity_filter: a.flag("profanityFilter", 13_333, true),
                model: a.string("speechModel"),
                enhanced: a.flag("enhanced", SCHEMA, false),
                partial: partial.as_ref().map(literal),
            },
        };
        self.answered(node, Verb::Gather { gather: Box::new(gather), cases: Vec::new() });
    }

    fn dial(&mut self, node: &Node) {
        let Some(dialled) = dial::dial(node, &mut self.warnings) else { return };
        if dialled.answers {
            self.answer(node);
        }
        for what in dialled.unavailable {
            self.step(node, Verb::Unavailable(Box::new(what)));
        }
        if !matches!(&dialled.verb, Verb::Dial(dial) if dial.targets.is_empty()) {
            self.step(node, dialled.verb);
        }
    }

    fn enqueue(&mut self, node: &Node) {
        let task = node.children.iter().find(|n| n.name == "Task").map(|n| n.text.trim()).unwrap_or_default();
        let mut a = Attributes::new(node, &mut self.warnings);
        let literal = |hook: Hook| hook.map(&mut |url| Text::literal(url));
        let name = node.text.trim();
        let workflow = a.string("workflowSid");
        let enqueue = Enqueue {
            name: Text::literal(name),
            task: Text::literal(task),
            action: a.hook("action", "method", 14_201).map(literal),
            wait: a.hook("waitUrl", "waitUrlMethod", 14_206).map(literal),
            music: None,
            max: a.number("maxQueueSize", SCHEMA, (1, 5_000)).unwrap_or(Enqueue::MAX),
            workflow: Text::literal(&workflow),
        };
        if name.is_empty() && workflow.is_empty() {
            return self.warnings.tell(14_204, node.at, "<Enqueue> without a name");
        }
        if name.chars().count() > 64 {
            return self.warnings.tell(14_205, node.at, "<Enqueue>: a name of more than 64 characters");
        }
        self.answered(node, Verb::Enqueue(Box::new(enqueue)));
    }

    fn refer(&mut self, node: &Node) {
        let Some(sip) = node.children.iter().find(|n| n.name == "Sip") else {
            return self.warnings.tell(SCHEMA, node.at, "<Refer> without <Sip>");
        };
        let action = Attributes::new(node, &mut self.warnings).hook("action", "method", SCHEMA);
        let action = action.map(|hook| hook.map(&mut |url| Text::literal(url)));
        let refer = Refer { uri: Text::literal(sip.text.trim()), action };
        self.answered(node, Verb::Refer(Box::new(refer)));
    }

    fn sms(&mut self, node: &Node) {
        let mut a = Attributes::new(node, &mut self.warnings);
        let some = |text: Option<&str>| text.filter(|t| !t.is_empty()).map(Text::literal);
        let literal = |hook: Hook| hook.map(&mut |url| Text::literal(url));
        let status = a.hook("statusCallback", "method", 14_105);
        let sms = Sms {
            text: Text::literal(node.text.trim()),
            to: some(a.text("to")),
            from: some(a.text("from")),
            action: a.hook("action", "method", 14_104).map(literal),
            status: status.map(|hook| StatusHook { hook: literal(hook), events: Vec::new() }),
        };
        if node.text.trim().is_empty() {
            return self.warnings.tell(14_103, node.at, "<Sms> without a text");
        }
        self.step(node, Verb::Sms(Box::new(sms)));
    }

    fn start(&mut self, node: &Node) {
        for noun in &node.children {
            if noun.name != "Recording" {
                self.unavailable(noun, format!("<Start><{}>", noun.name));
                continue;
            }
            let mut a = Attributes::new(noun, &mut self.warnings);
            let status =
                a.status("recordingStatusCallback", "recordingStatusCallbackEvent", &dial::RECORDING, &["completed"]);
            let channels = match a.choice("channels", SCHEMA, &["dual", "mono"]) {
                "mono" => Channels::Mono,
                _ => Channels::Dual,
            };
            a.choice("track", 13_622, &["both", "inbound", "outbound"]);
            a.choice("trim", 13_699, &["do-not-trim", "trim-silence"]);
            self.step(node, Verb::RecordCall(RecordCall::Start(Some(channels)), status.map(Box::new)));
        }
    }
}

fn record(node: &Node, warnings: &mut Warnings) -> Record {
    let mut a = Attributes::new(node, warnings);
    let finish_on_key = match a.text("finishOnKey") {
        None => KEYS,
        Some(text) if text.chars().all(|c| KEYS.contains(c)) => text,
        Some(text) => {
            a.warnings.tell(13_613, node.at, format!("finishOnKey=\"{text}\": expected some of 0-9 * #"));
            KEYS
        }
    };
    let action = a.hook("action", "method", 13_610).unwrap_or_else(|| {
        let method = a.method("method", 13_610);
        Hook::new(String::new(), method)
    });
    let transcribe = a.flag("transcribe", 13_614, false);
    let callback = a.hook("transcribeCallback", "method", 13_257);
    Record {
        max_length: a.seconds("maxLength", 13_612, 3_600, (1, 14_400)),
        finish_on_key: finish_on_key.to_owned(),
        timeout: a.seconds("timeout", 13_611, 5, (0, 3_600)),
        beep: a.flag("playBeep", 13_616, true),
        trim: a.choice("trim", 13_699, &["trim-silence", "do-not-trim"]) == "trim-silence",
        action: Some(action),
        status: a.status("recordingStatusCallback", "recordingStatusCallbackEvent", &dial::RECORDING, &["completed"]),
        transcribe: callback.filter(|_| transcribe).map(|hook| StatusHook { hook, events: Vec::new() }),
    }
}
