//! What the REST API keeps in the store and calls must know of; replaced whole when it changes.

use super::Switch;
use super::domains::DomainSetting;
use super::io::Reply;
use super::queue::QueueId;
use super::world::World;
use crate::base::time::Wall;
use crate::verb::{Hook, Program, Redirect, Script, Step, Text, Verb};
use crate::web::Address;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    pub queues: Vec<QueueSetting>,
    /// Numbers whose calls an application answers, by their digits ([`digits_of`]).
    pub numbers: BTreeMap<String, NumberSetting>,
    /// Domains where phones call and register, by their names in lower case.
    pub domains: BTreeMap<String, Arc<DomainSetting>>,
}

/// What becomes of a call to a number for which the dialplan has no rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NumberSetting {
    pub sid: String,
    pub voice: Address,
    /// Asked where a document fails.
    pub fallback: Option<Address>,
    /// Told when the call is over.
    pub status: Option<Address>,
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
        self.world.settings = settings;
        let file = self.world.config.sip.domain.to_ascii_lowercase();
        self.world.settings.domains.remove(&file);
        self.world.queues_set();
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
    /// The application of a number; `None`: nobody has one for it.
    pub fn number_for(&self, to: &str, at: Wall) -> Option<Answering> {
        let digits = digits_of(to);
        // An extension is no number of anybody's by its digits alone.
        let setting = self.settings.numbers.get(&digits).filter(|_| !digits.is_empty())?;
        let addresses = (&setting.voice, setting.fallback.as_ref(), setting.status.as_ref());
        Some(answering(&setting.sid, "number", addresses, at))
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
