//! What is heard: Say, Play and Pause, alone and inside Gather.

use super::attributes::{Attributes, SCHEMA, Warnings};
use super::tree::Node;
use crate::base::time::Duration;
use crate::verb::{Prompt, Say, Text};

/// Times that something is played; 0 is for ever. Twilio's bound.
const LOOPS_MAX: u32 = 1_000;
/// As Say's longest text, in characters.
const TEXT_CHARS_MAX: usize = 4_096;

/// `None` of what is heard has nothing to be heard in it.
pub fn say(node: &Node, text: &str, inner: bool, warnings: &mut Warnings) -> Option<Say<Text>> {
    let is_ssml = !node.children.is_empty();
    let said = if is_ssml { text.get(node.inside.clone()).unwrap_or_default().trim() } else { node.text.trim() };
    let mut a = Attributes::new(node, warnings);
    let loops = a.number("loop", if inner { 13_322 } else { 13_510 }, (0, LOOPS_MAX)).unwrap_or(1);
    let say =
        Say { text: Text::literal(said), is_ssml, voice: a.string("voice"), language: a.string("language"), loops };
    if node.text.trim().is_empty() && !is_ssml {
        a.warnings.tell(13_520, node.at, "<Say> without a text");
        return None;
    }
    if said.chars().count() > TEXT_CHARS_MAX {
        a.warnings.tell(13_521, node.at, format!("a text of more than {TEXT_CHARS_MAX} characters"));
        return None;
    }
    Some(say)
}

pub enum Played {
    File { file: Text, loops: u32 },
    Digits(Text),
}

pub fn play(node: &Node, warnings: &mut Warnings) -> Option<Played> {
    let mut a = Attributes::new(node, warnings);
    let loops = a.number("loop", 13_410, (0, LOOPS_MAX)).unwrap_or(1);
    if let Some(digits) = a.text("digits") {
        if digits.is_empty() || !digits.chars().all(|c| "0123456789*#ABCDabcdwW".contains(c)) {
            a.warnings.tell(13_430, node.at, format!("digits=\"{digits}\": expected some of 0-9 * # A-D and w"));
            return None;
        }
        return Some(Played::Digits(Text::literal(digits)));
    }
    let file = node.text.trim();
    if file.is_empty() {
        a.warnings.tell(SCHEMA, node.at, "<Play> without an address");
        return None;
    }
    Some(Played::File { file: Text::literal(file), loops })
}

pub fn pause(node: &Node, warnings: &mut Warnings) -> Duration {
    Attributes::new(node, warnings).seconds("length", 13_910, 1, (0, 86_400))
}

/// What Gather lets the caller hear.
pub fn prompt(node: &Node, text: &str, warnings: &mut Warnings) -> Option<Prompt<Text>> {
    match node.name.as_str() {
        "Say" => say(node, text, true, warnings).map(Prompt::Say),
        "Play" => match play(node, warnings)? {
            Played::File { file, loops } => Some(Prompt::Play { file, loops }),
            Played::Digits(_) => {
                warnings.tell(13_320, node.at, "digits cannot be played while some are awaited");
                None
            }
        },
        "Pause" => Some(Prompt::Pause(pause(node, warnings))),
        _ => None,
    }
}
