//! What users have changed while we run of where their calls go: by a feature code, or by an operator. It stands above tandem.yaml
//! until it is changed again; the shell stores it and hands it in at the next start.

use super::Switch;
use super::call::Call;
use super::io::Reply;
use super::world::World;
use crate::b2bua::leg::Peer;
use crate::config::{Availability, is_dialled};
use crate::event::{Changed, Fact, Side, What};
use crate::verb::{FeatureSettings, Outcome};
use std::collections::BTreeMap;

/// A number as it was given; "off" is none.
fn number(text: Option<&String>) -> Result<Option<Option<String>>, String> {
    match text.map(String::as_str) {
        None => Ok(None),
        Some("off") => Ok(Some(None)),
        Some(text) if is_dialled(text) => Ok(Some(Some(text.to_owned()))),
        Some(text) => Err(format!("\"{text}\" is no number")),
    }
}

/// Takes what is said into what is there: all of it, or nothing where the reason is returned.
fn take(changed: &mut Changed, set: &FeatureSettings) -> Result<(), String> {
    let (always, busy, no_answer) =
        (number(set.always.as_ref())?, number(set.busy.as_ref())?, number(set.no_answer.as_ref())?);
    for (place, new) in [(&mut changed.always, always), (&mut changed.busy, busy), (&mut changed.no_answer, no_answer)]
    {
        if new.is_some() {
            *place = new;
        }
    }
    changed.dnd = set.dnd.or(changed.dnd);
    Ok(())
}

/// Where a user's calls go, for an operator.
#[derive(Clone, Debug)]
pub struct ForwardingView {
    pub user: String,
    /// As in force.
    pub availability: Availability,
    /// What of it is not as tandem.yaml says.
    pub changed: Changed,
}

impl Switch {
    /// An operator changes what is said, and sees what is in force then.
    pub(super) fn forwarding(&mut self, user: String, set: &FeatureSettings) -> Reply {
        if self.world.user(&user).is_none() {
            return Reply::NotFound;
        }
        if let Err(why) = self.world.change_availability(&user, set) {
            return Reply::Refused(why);
        }
        let changed = self.world.changed.get(&user).cloned().unwrap_or_default();
        match self.world.availability(&user) {
            Some(availability) => Reply::Forwarding(Box::new(ForwardingView { user, availability, changed })),
            None => Reply::NotFound,
        }
    }

    /// What users had changed before this start; before the first call.
    pub fn set_changed(&mut self, changed: BTreeMap<String, Changed>) {
        self.world.changed = changed;
    }
}

impl World {
    /// Where a user's calls go, as in force.
    pub fn availability(&self, user: &str) -> Option<Availability> {
        let mut own = self.user(user)?.availability.clone();
        let Some(changed) = self.changed.get(user) else { return Some(own) };
        let forward = &mut own.forward;
        for (place, new) in [
            (&mut forward.always, &changed.always),
            (&mut forward.busy, &changed.busy),
            (&mut forward.no_answer, &changed.no_answer),
        ] {
            if let Some(new) = new {
                place.clone_from(new);
            }
        }
        own.dnd = changed.dnd.unwrap_or(own.dnd);
        Some(own)
    }

    /// Changes it; the reason if that cannot be.
    pub fn change_availability(&mut self, user: &str, set: &FeatureSettings) -> Result<(), String> {
        if self.user(user).is_none() {
            return Err(format!("there is no user {user}"));
        }
        let mut changed = self.changed.get(user).cloned().unwrap_or_default();
        let before = changed.clone();
        take(&mut changed, set)?;
        if changed != before {
            self.changed.insert(user.to_owned(), changed.clone());
            self.fact(Fact::Reached { user: user.to_owned(), changed });
        }
        Ok(())
    }
}

impl Call {
    /// The step `forward`.
    pub fn set_forwarding(&mut self, w: &mut World, set: &FeatureSettings) -> Option<Outcome> {
        let done = match self.legs.first().map(|leg| leg.peer.clone()) {
            Some(Peer::User(name)) => w.change_availability(&name, set),
            _ => Err("who calls is no user".to_owned()),
        };
        match done {
            Ok(()) => Some(Outcome::Done),
            Err(why) => {
                self.note(w, Side::Call, What::Note(why.into()));
                Some(Outcome::Failed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_stays_as_it_is() {
        let set = |always: &str, busy: &str, dnd| FeatureSettings {
            always: (!always.is_empty()).then(|| always.to_owned()),
            busy: (!busy.is_empty()).then(|| busy.to_owned()),
            no_answer: None,
            dnd,
        };
        let mut changed = Changed::default();
        assert_eq!(take(&mut changed, &set("200", "", None)), Ok(()));
        assert_eq!(take(&mut changed, &set("", "off", Some(true))), Ok(()));
        let both = Changed { always: Some(Some("200".into())), busy: Some(None), no_answer: None, dnd: Some(true) };
        assert_eq!(changed, both);
        assert!(take(&mut changed, &set("2 0", "", Some(false))).is_err());
        assert_eq!(changed, both, "nothing of what is refused is taken");
    }
}
