//! Where calls meet other calls: conferences and queues.

use super::{Compiler, method};
use crate::base::time::Duration;
use crate::base::yaml::{Fields, Reader};
use crate::verb::{AfterDial, Beep, ConferenceHooks, ConferenceStep, Dequeue, DialRecord, Enqueue, Hook, Text, Verb};

/// The longest name of a queue, as Twilio's.
const NAME_MAX: usize = 64;

impl Compiler<'_> {
    pub(super) fn conference(&mut self, reader: &mut Reader, f: &Fields<'_>) -> Option<ConferenceStep> {
        let name = self.field(reader, f, "name")?;
        if let (Some(""), Some(node)) = (name.as_literal(), f.get("name")) {
            reader.fault(node.at, "a conference without a name", "expected the name that all use who are to meet");
        }
        Some(ConferenceStep {
            name,
            beep: f.text("beep").and_then(Beep::parse).unwrap_or(Beep::Both),
            muted: f.flag("muted"),
            coach: self.field(reader, f, "coach"),
            start_on_enter: f.text("start_on_enter") != Some("false"),
            end_on_exit: f.flag("end_on_exit"),
            max_participants: f.int("max_participants"),
            wait: self.prompt(reader, f, "wait"),
            hooks: ConferenceHooks::default(),
        })
    }

    pub(super) fn enqueue(&mut self, reader: &mut Reader, f: &Fields<'_>) -> Option<Enqueue<Text>> {
        if f.has_later() {
            return None;
        }
        if f.get("name").is_none() {
            reader.fault(f.at(), "no queue is named", "expected \"name\"");
        }
        let name = self.queue_name(reader, f, "name")?;
        if let (Some(_), Some(node)) = (f.get("wait_url"), f.get("wait")) {
            reader.fault(node.at, "one queue has wait and wait_url", "expected one of them");
        }
        let method = method(f);
        Some(Enqueue {
            name,
            workflow: Text::default(),
            task: Text::default(),
            action: self.field(reader, f, "action").map(|url| Hook::new(url, method)),
            wait: self.field(reader, f, "wait_url").map(|url| Hook::new(url, method)),
            music: self.prompt(reader, f, "wait"),
            max: f.int("max"),
        })
    }

    pub(super) fn dial_queue(&mut self, reader: &mut Reader, f: &Fields<'_>) -> Option<Verb> {
        let name = self.queue_name(reader, f, "queue")?;
        Some(Verb::Dequeue(Box::new(Dequeue {
            name,
            url: self.field(reader, f, "url").map(|url| Hook::new(url, Default::default())),
            timeout: f.duration("timeout").unwrap_or(Duration::from_secs(60)),
            time_limit: f.duration("time_limit"),
            record: f.text("record").and_then(DialRecord::parse).flatten(),
            after: AfterDial::default(),
        })))
    }

    /// Where a document is: an address, or a file beside the configuration.
    pub(super) fn document(&mut self, reader: &mut Reader, f: &Fields<'_>, key: &str) -> Option<Text> {
        let url = self.field(reader, f, key)?;
        if let (Some(literal), Some(node)) = (url.as_literal(), f.get(key)) {
            let scheme = literal.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
            let is_known = match scheme.as_deref() {
                Some(scheme) => matches!(scheme, "http" | "https" | "file"),
                // A file has a folder or an ending; what has neither is a slip.
                None => literal.contains(['.', '/']),
            };
            if !is_known || literal.contains(char::is_whitespace) {
                let what = format!("{} is no address of a document", node.shown());
                reader.fault(node.at, what, "expected https://…, or a file such as menu.xml");
            }
        }
        Some(url)
    }

    fn queue_name(&mut self, reader: &mut Reader, f: &Fields<'_>, key: &str) -> Option<Text> {
        let name = self.field(reader, f, key)?;
        if let (Some(literal), Some(node)) = (name.as_literal(), f.get(key))
            && (literal.is_empty() || literal.chars().count() > NAME_MAX)
        {
            reader.fault(
                node.at,
                format!("{} is no name of a queue", node.shown()),
                format!("expected 1 to {NAME_MAX} characters"),
            );
        }
        Some(name)
    }
}
