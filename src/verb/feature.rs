//! What users do to calls by feature codes: pick up, park, retrieve, and say where their own calls go.

use crate::base::time::Duration;
use crate::base::yaml::write_duration;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Feature<T = String> {
    /// Answers what rings at somebody else: at a user, at one of a group, or, where neither is named, at one of a pickup group of the
    /// caller's.
    Pickup { user: Option<T>, group: Option<T> },
    /// The caller waits in a parking slot until it is retrieved; without one in the first that is free.
    Park {
        slot: Option<T>,
        /// After it the call returns to whom it was parked by; `None`: the configuration's.
        timeout: Option<Duration>,
        /// A WAV file, again and again; `None`: music of ours.
        music: Option<T>,
    },
    /// Joins the caller to whoever is parked there.
    Retrieve { slot: T },
    /// Changes where the calling user's calls go; "off" takes a way back.
    Forward(Settings<T>),
}

/// What is said is changed, all else stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings<T = String> {
    pub always: Option<T>,
    pub busy: Option<T>,
    pub no_answer: Option<T>,
    pub dnd: Option<bool>,
}

impl<T> Feature<T> {
    pub fn map<U>(&self, f: &mut dyn FnMut(&T) -> U) -> Feature<U> {
        match self {
            Feature::Pickup { user, group } => {
                Feature::Pickup { user: user.as_ref().map(&mut *f), group: group.as_ref().map(f) }
            }
            Feature::Park { slot, timeout, music } => {
                Feature::Park { slot: slot.as_ref().map(&mut *f), timeout: *timeout, music: music.as_ref().map(f) }
            }
            Feature::Retrieve { slot } => Feature::Retrieve { slot: f(slot) },
            Feature::Forward(set) => Feature::Forward(Settings {
                always: set.always.as_ref().map(&mut *f),
                busy: set.busy.as_ref().map(&mut *f),
                no_answer: set.no_answer.as_ref().map(f),
                dnd: set.dnd,
            }),
        }
    }

    pub const fn music(&self) -> Option<&T> {
        match self {
            Feature::Park { music, .. } => music.as_ref(),
            _ => None,
        }
    }

    pub const fn verb(&self) -> &'static str {
        match self {
            Feature::Pickup { .. } => "pickup",
            Feature::Park { .. } => "park",
            Feature::Retrieve { .. } => "retrieve",
            Feature::Forward(_) => "forward",
        }
    }

    /// It cannot come to nothing at once and be repeated without end.
    pub const fn takes_time(&self) -> bool {
        !matches!(self, Feature::Forward(_))
    }
}

impl Feature {
    pub fn fields(&self, out: &mut Vec<(&'static str, String)>) {
        let mut push = |key: &'static str, value: &Option<String>| {
            out.extend(value.iter().map(|value| (key, value.clone())));
        };
        match self {
            Feature::Pickup { user, group } => {
                push("user", user);
                push("group", group);
            }
            Feature::Park { slot, timeout, music } => {
                push("slot", slot);
                push("music", music);
                push("timeout", &timeout.map(write_duration));
            }
            Feature::Retrieve { slot } => push("slot", &Some(slot.clone())),
            Feature::Forward(set) => {
                push("always", &set.always);
                push("busy", &set.busy);
                push("no_answer", &set.no_answer);
                push("dnd", &set.dnd.map(|on| if on { "on" } else { "off" }.to_owned()));
            }
        }
    }

    /// One line for a timeline.
    pub fn describe(&self) -> String {
        let mut fields = Vec::new();
        self.fields(&mut fields);
        let words: Vec<String> = fields.iter().map(|(key, value)| format!(" {key} {value}")).collect();
        format!("{}{}", self.verb(), words.join(","))
    }
}
