//! What users do to calls by feature codes.

use super::Compiler;
use crate::base::yaml::{Fields, Reader};
use crate::verb::{Feature, FeatureSettings, Text, Verb};

impl Compiler<'_> {
    pub(super) fn pickup(&mut self, reader: &mut Reader, f: &Fields<'_>) -> Option<Verb> {
        if let (Some(_), Some(node)) = (f.get("user"), f.get("group")) {
            reader.fault(node.at, "one pickup has user and group", "expected one of them");
            return None;
        }
        let (user, group) = (self.field(reader, f, "user"), self.field(reader, f, "group"));
        if let (Some(name), Some(node)) = (&user, f.get("user")) {
            super::known_name(reader, node, name, "user", self.names.users);
        }
        Some(feature(Feature::Pickup { user, group }))
    }

    pub(super) fn park(&mut self, reader: &mut Reader, f: &Fields<'_>) -> Verb {
        let (slot, music) = (self.field(reader, f, "slot"), self.prompt(reader, f, "music"));
        feature(Feature::Park { slot, timeout: f.duration("timeout"), music })
    }

    pub(super) fn retrieve(&mut self, reader: &mut Reader, f: &Fields<'_>) -> Option<Verb> {
        Some(feature(Feature::Retrieve { slot: self.field(reader, f, "slot")? }))
    }

    pub(super) fn forward(&mut self, reader: &mut Reader, f: &Fields<'_>) -> Option<Verb> {
        let set = FeatureSettings {
            always: self.number(reader, f, "always"),
            busy: self.number(reader, f, "busy"),
            no_answer: self.number(reader, f, "no_answer"),
            dnd: f.text("dnd").map(|word| word == "on"),
        };
        if set.always.is_none() && set.busy.is_none() && set.no_answer.is_none() && set.dnd.is_none() {
            reader.fault(f.at(), "this forward changes nothing", "expected always, busy, no_answer or dnd");
            return None;
        }
        Some(feature(Feature::Forward(set)))
    }

    /// A number as a user would dial it; one without a variable is checked now.
    fn number(&mut self, reader: &mut Reader, f: &Fields<'_>, key: &str) -> Option<Text> {
        let number = self.field(reader, f, key)?;
        if let (Some(literal), Some(node)) = (number.as_literal(), f.get(key))
            && !crate::config::is_dialled(literal)
        {
            reader.fault(
                node.at,
                format!("{} is no number", node.shown()),
                "expected a number or name as the user would dial it, or off",
            );
        }
        Some(number)
    }
}

fn feature(feature: Feature<Text>) -> Verb {
    Verb::Feature(Box::new(feature))
}
