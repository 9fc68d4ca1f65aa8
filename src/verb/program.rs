//! What a notation parses into: blocks of steps.

use super::condition::Condition;
use super::pay::Pay;
use super::text::{Text, variable_name};
use super::{
    AfterDial, Beep, Callee, ConferenceHooks, Dequeue, DialRecord, Enqueue, Feature, Gather, MediaMode, Outcome,
    Prompt, Record, RecordCall, Redirect, Refer, Say, Sms, StatusHook, Strategy, Unavailable,
};
use crate::base::time::Duration;
use crate::media::command::Tone;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A block of a [`Program`], by its place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BlockId(pub u32);

/// A parsed script: blocks of steps, entered at one of them. Immutable, shared by all calls that run it.
#[derive(Debug, Default)]
pub struct Program {
    pub(super) blocks: Vec<Vec<Step>>,
}

#[derive(Debug)]
pub struct Step {
    pub verb: Verb,
    /// The block entered after an outcome.
    pub on: Vec<(Outcome, BlockId)>,
    /// `file:line`.
    pub at: Arc<str>,
}

/// The instruction set. A verb that exists in one notation exists in all.
#[derive(Debug)]
pub enum Verb {
    Answer,
    Reject {
        status: u16,
        reason: Text,
    },
    /// `loops` 0 is for ever.
    Play {
        file: Text,
        loops: u32,
    },
    Say(Box<Say<Text>>),
    SendDigits(Text),
    Gather {
        gather: Box<Gather<Text>>,
        /// By what was entered; what is none of these is `Outcome::Done`.
        cases: Vec<(String, BlockId)>,
    },
    Pay(Box<Pay<Text>>),
    Enqueue(Box<Enqueue<Text>>),
    Dequeue(Box<Dequeue<Text>>),
    Leave,
    Redirect(Redirect<Text>),
    Refer(Box<Refer<Text>>),
    Sms(Box<Sms<Text>>),
    Unavailable(Box<Unavailable>),
    Feature(Box<Feature<Text>>),
    Tone {
        tone: Tone,
        /// `None`: the configuration's.
        country: Option<Arc<str>>,
        duration: Option<Duration>,
    },
    Echo {
        duration: Option<Duration>,
    },
    Dial(Box<DialStep>),
    Conference(Box<ConferenceStep>),
    Set(Vec<(Arc<str>, Text)>),
    /// The first condition that holds; else the last block, if there is one.
    Branch {
        cases: Vec<(Condition, BlockId)>,
        otherwise: Option<BlockId>,
    },
    /// Leaves all blocks and goes on there.
    Goto(BlockId),
    Record(Box<Record>),
    RecordCall(RecordCall, Option<Box<StatusHook>>),
    Pause(Duration),
    Hangup {
        reason: Text,
    },
    Log(Text),
}

/// `dial` before its variables are expanded.
#[derive(Debug)]
pub struct DialStep {
    pub targets: Vec<TargetStep>,
    pub strategy: Strategy,
    /// Draw the order by the targets' weights.
    pub weighted: bool,
    pub timeout: Duration,
    pub caller_id: Option<Text>,
    pub caller_name: Option<Text>,
    pub attest: Option<String>,
    pub media: MediaMode,
    pub codecs: Vec<String>,
    pub time_limit: Option<Duration>,
    pub ringback: Option<Arc<str>>,
    pub record: Option<DialRecord>,
    pub headers: Vec<(String, Text)>,
    pub after: AfterDial,
    /// In the order of `targets`; may be shorter.
    pub callees: Vec<Callee>,
}

impl DialStep {
    /// Rings one SIP URI for a minute.
    pub fn to_uri(uri: &str) -> DialStep {
        DialStep::to(TargetKind::Uri(Text::literal(uri)))
    }

    /// Rings one target for a minute.
    pub fn to(kind: TargetKind) -> DialStep {
        DialStep {
            targets: vec![TargetStep { weight: 1, kind }],
            strategy: Strategy::Sequential,
            weighted: false,
            timeout: Duration::from_secs(60),
            caller_id: None,
            caller_name: None,
            attest: None,
            media: MediaMode::Anchored,
            codecs: Vec::new(),
            time_limit: None,
            ringback: None,
            record: None,
            headers: Vec::new(),
            after: AfterDial::default(),
            callees: Vec::new(),
        }
    }
}

/// `conference` before its variables are expanded.
#[derive(Debug)]
pub struct ConferenceStep {
    pub name: Text,
    pub beep: Beep,
    pub muted: bool,
    pub coach: Option<Text>,
    pub start_on_enter: bool,
    pub end_on_exit: bool,
    pub max_participants: u32,
    pub wait: Option<Text>,
    pub hooks: ConferenceHooks,
}

#[derive(Debug)]
pub struct TargetStep {
    pub weight: u32,
    pub kind: TargetKind,
}

#[derive(Debug)]
pub enum TargetKind {
    User(Text),
    Number { number: Text, trunks: Vec<Text>, lcr: bool },
    Uri(Text),
}

/// What is fetched, and no file of ours.
pub fn is_url(name: &str) -> bool {
    let scheme = |s: &str| name.get(..s.len()).is_some_and(|head| head.eq_ignore_ascii_case(s));
    scheme("http://") || scheme("https://")
}

impl Program {
    pub fn add(&mut self, steps: Vec<Step>) -> BlockId {
        self.blocks.push(steps);
        BlockId(u32::try_from(self.blocks.len() - 1).unwrap_or(u32::MAX))
    }

    /// Fills a block that was added empty, so that steps can go to it before it is written.
    pub fn fill(&mut self, block: BlockId, steps: Vec<Step>) {
        if let Some(place) = self.blocks.get_mut(block.0 as usize) {
            *place = steps;
        }
    }

    /// Puts the steps of another program's block before those of a block; they lead nowhere else.
    pub fn begin_with(&mut self, block: BlockId, mut other: Program, first: BlockId) {
        let steps = other.blocks.get_mut(first.0 as usize).map(std::mem::take).unwrap_or_default();
        if let Some(place) = self.blocks.get_mut(block.0 as usize) {
            place.splice(0..0, steps.into_iter().filter(|step| step.on.is_empty()));
        }
    }

    pub(super) fn step(&self, block: BlockId, index: u32) -> Option<&Step> {
        self.blocks.get(block.0 as usize)?.get(index as usize)
    }

    /// All steps, block by block.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.blocks.iter().flatten()
    }

    /// Prompt files that are named without a variable, in order.
    pub fn prompts(&self) -> impl Iterator<Item = &str> {
        let files = self.steps().filter_map(|step| match &step.verb {
            Verb::Play { file, .. } => file.as_literal(),
            Verb::Conference(conference) => conference.wait.as_ref()?.as_literal(),
            Verb::Enqueue(enqueue) => enqueue.music.as_ref()?.as_literal(),
            Verb::Feature(feature) => feature.music()?.as_literal(),
            _ => None,
        });
        let asked = self.steps().flat_map(|step| match &step.verb {
            Verb::Gather { gather, .. } => gather.prompts.iter().collect(),
            Verb::Pay(pay) => pay.prompts.iter().flat_map(|p| &p.prompts).collect(),
            _ => Vec::new(),
        });
        let asked = asked.filter_map(|prompt| match prompt {
            Prompt::Play { file, .. } => file.as_literal(),
            Prompt::Say(_) | Prompt::Pause(_) => None,
        });
        files.chain(asked).filter(|file| !is_url(file)).collect::<BTreeSet<_>>().into_iter()
    }

    /// Whether some step asks for what nobody else may know.
    pub fn is_pci(&self) -> bool {
        self.steps().any(|step| match &step.verb {
            Verb::Gather { gather, .. } => gather.pci,
            Verb::Pay(_) => true,
            _ => false,
        })
    }

    /// Names of the headers that some step reads.
    pub fn headers(&self) -> Vec<String> {
        let mut names = BTreeSet::new();
        for step in self.steps() {
            step.variables(&mut |name| {
                names.extend(name.strip_prefix("header.").map(str::to_owned));
            });
        }
        names.into_iter().collect()
    }
}

impl Step {
    /// Every variable that the step reads.
    pub fn variables(&self, see: &mut dyn FnMut(&str)) {
        let mut text = |t: &Text| t.variables().for_each(|name| see(&variable_name(name)));
        match &self.verb {
            Verb::Reject { reason, .. } | Verb::Hangup { reason } => text(reason),
            Verb::Play { file, .. } => text(file),
            Verb::Log(line) => text(line),
            Verb::Set(pairs) => pairs.iter().for_each(|(_, value)| text(value)),
            Verb::Branch { cases, .. } => cases.iter().for_each(|(condition, _)| condition.texts(&mut text)),
            Verb::Dial(dial) => dial.texts(&mut text),
            Verb::Conference(c) => {
                [Some(&c.name), c.coach.as_ref(), c.wait.as_ref()].into_iter().flatten().for_each(text)
            }
            Verb::Say(say) => drop(say.map(&mut text)),
            Verb::SendDigits(digits) => text(digits),
            Verb::Gather { gather, .. } => drop(gather.map(&mut text)),
            Verb::Pay(pay) => drop(pay.map(&mut text)),
            Verb::Enqueue(enqueue) => drop(enqueue.map(&mut text)),
            Verb::Feature(feature) => drop(feature.map(&mut text)),
            Verb::Dequeue(dequeue) => drop(dequeue.map(&mut text)),
            Verb::Redirect(redirect) => drop(redirect.map(&mut text)),
            Verb::Refer(refer) => drop(refer.map(&mut text)),
            Verb::Sms(sms) => drop(sms.map(&mut text)),
            Verb::Answer
            | Verb::Leave
            | Verb::Unavailable(_)
            | Verb::Tone { .. }
            | Verb::Echo { .. }
            | Verb::Goto(_)
            | Verb::Record(_)
            | Verb::RecordCall(..)
            | Verb::Pause(_) => {}
        }
    }
}

impl DialStep {
    fn texts(&self, see: &mut dyn FnMut(&Text)) {
        for target in &self.targets {
            match &target.kind {
                TargetKind::User(text) | TargetKind::Uri(text) => see(text),
                TargetKind::Number { number, trunks, .. } => {
                    see(number);
                    trunks.iter().for_each(&mut *see);
                }
            }
        }
        self.caller_id.iter().chain(&self.caller_name).for_each(&mut *see);
        self.headers.iter().for_each(|(_, value)| see(value));
    }
}
