//! What the REST API keeps in the store and calls must know of; replaced whole when it changes.

use super::Switch;
use super::domains::DomainSetting;
use super::io::Reply;
use super::queue::QueueId;
use super::world::World;
use crate::base::time::Wall;
use crate::config::Trunk;
use crate::verb::{DialRecord, DialStep, Hook, Outcome, Program, Redirect, Script, Step, TargetKind, Text, Verb};
use crate::web::Address;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Settings {
    pub queues: Vec<QueueSetting>,
    /// Numbers whose calls an application answers, by their digits ([`digits_of`]).
    pub numbers: BTreeMap<String, NumberSetting>,
    /// Domains where phones call and register, by their names in lower case.
    pub domains: BTreeMap<String, Arc<DomainSetting>>,
    /// Called where they are named (`byoc`, or by a number that is theirs), and never of themselves: what goes by any trunk goes by the
    /// files'.
    pub trunks: Vec<Trunk>,
}

/// What becomes of a call to a number for which the dialplan has no rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NumberSetting {
    pub sid: String,
    pub answers: Answers,
    /// Told when the call is over.
    pub status: Option<Address>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answers {
    /// An application, and who is asked where its document fails.
    Application { voice: Address, fallback: Option<Address> },
    /// Who is called by a trunk of the REST API, and the document of when nobody there can be reached.
    Trunk { name: String, disaster: Option<Address>, record: Option<DialRecord> },
}

/// How a call that a trunk of the REST API is part of goes on.
pub(super) struct Onward<'a> {
    /// The resource that says so.
    pub sid: &'a str,
    pub to: &'a str,
    /// Empty: all of the files'.
    pub trunks: &'a [String],
    /// Asked for a document where nobody can be reached.
    pub disaster: Option<&'a Address>,
    pub record: Option<DialRecord>,
}

/// A number as it is compared: +1 (415) 555-0100 and 14155550100 are one.
pub fn digits_of(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueSetting {
    pub id: QueueId,
    pub name: String,
    /// Who comes when so many wait does not get in.
    pub max: u32,
}

impl Switch {
    pub(super) fn take_settings(&mut self, settings: Settings) -> Reply {
        self.set_settings(settings);
        Reply::Done
    }

    /// What the store holds; before the first call, and whenever it changes.
    pub fn set_settings(&mut self, settings: Settings) {
        let w = &mut self.world;
        let before = std::mem::replace(&mut w.settings, settings);
        let file = w.config.sip.domain.to_ascii_lowercase();
        w.settings.domains.remove(&file);
        w.queues_set();
        if before.trunks != w.settings.trunks {
            w.stop_pings();
            w.set_trunks();
            w.start_names();
            w.start_pings();
        }
    }
}

/// What a number of the REST API does with a call.
pub struct Answering {
    pub script: Script,
    pub rule: String,
    pub why: String,
    pub status: Option<Address>,
}

impl World {
    /// Trunks of the configuration in force and those of the REST API, of which the files' win.
    pub fn set_trunks(&mut self) {
        let files = &self.config.trunks;
        let others = self.settings.trunks.iter().filter(|own| files.iter().all(|t| t.name != own.name));
        self.trunks.reload(files.iter().chain(others), self.now.mono);
    }

    /// The application of a number; `None`: nobody has one for it.
    pub fn number_for(&self, to: &str, at: Wall) -> Option<Answering> {
        let digits = digits_of(to);
        // An extension is no number of anybody's by its digits alone.
        let setting = self.settings.numbers.get(&digits).filter(|_| !digits.is_empty())?;
        match &setting.answers {
            Answers::Application { voice, fallback } => {
                let addresses = (voice, fallback.as_ref(), setting.status.as_ref());
                Some(answering(&setting.sid, "number", addresses, at))
            }
            Answers::Trunk { name, disaster, record } => {
                let why = format!("no rule of the dialplan takes it; the number {} is the trunk {name}'s", setting.sid);
                let (trunks, disaster) = (std::slice::from_ref(name), disaster.as_ref());
                let script = Onward { sid: name, to, trunks, disaster, record: *record }.script(at);
                Some(Answering { script, rule: setting.sid.clone(), why, status: setting.status.clone() })
            }
        }
    }
}

impl Onward<'_> {
    pub fn script(&self, at: Wall) -> Script {
        let step = |verb, on| vec![Step { verb, on, at: self.sid.into() }];
        let mut program = Program::default();
        let mut on = Vec::new();
        if let Some(Address { url, method, .. }) = self.disaster {
            let to = Redirect { to: Hook::new(Text::literal(url), *method), fallback: None };
            on.push((Outcome::Failed, program.add(step(Verb::Redirect(to), Vec::new()))));
        }
        let trunks = self.trunks.iter().map(|name| Text::literal(name)).collect();
        let kind = TargetKind::Number { number: Text::literal(self.to), trunks, lcr: false };
        let dial = DialStep { record: self.record, ..DialStep::to(kind) };
        let entry = program.add(step(Verb::Dial(Box::new(dial)), on));
        Script::new(Arc::new(program), entry, at)
    }
}

/// A script that asks an application: its address, where else to ask, and who is told how it went.
pub(super) fn answering(
    sid: &str,
    what: &str,
    (voice, fallback, status): (&Address, Option<&Address>, Option<&Address>),
    at: Wall,
) -> Answering {
    let hook = |address: &Address| Hook::new(Text::literal(&address.url), address.method);
    let to = Redirect { to: hook(voice), fallback: fallback.map(hook) };
    let mut program = Program::default();
    let entry = program.add(vec![Step { verb: Verb::Redirect(to), on: Vec::new(), at: sid.into() }]);
    let url = super::web::without_secrets(&voice.url);
    Answering {
        script: Script::new(Arc::new(program), entry, at),
        rule: sid.to_owned(),
        why: format!("no rule of the dialplan takes it; the {what} {sid} is answered by {url}"),
        status: status.cloned(),
    }
}
