//! What the REST API keeps in the store and calls must know of; replaced whole when it changes.

use super::Switch;
use super::io::Reply;
use super::queue::QueueId;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    pub queues: Vec<QueueSetting>,
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
        self.world.queues_set();
    }
}
