//! What NOTIFYs say: dialogs (RFC 4235), messages that wait (RFC 3842), presence (RFC 3863), registrations (RFC 3680). Always the
//! whole state.

use std::fmt::Write;

/// A dialog of a user, as its phone sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Names it as long as it lives.
    pub id: String,
    pub call_id: String,
    pub local_tag: String,
    pub remote_tag: String,
    /// The user's phone placed it.
    pub initiator: bool,
    pub state: LineState,
    /// Number of the other party.
    pub remote: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineState {
    Early,
    Confirmed,
}

impl LineState {
    const fn as_str(self) -> &'static str {
        match self {
            LineState::Early => "early",
            LineState::Confirmed => "confirmed",
        }
    }
}

/// A contact in a reginfo document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registered {
    pub id: String,
    pub uri: String,
    pub expires_s: u64,
}

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n";

/// Text as XML holds it; control characters are left out.
pub fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !c.is_control()) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(c),
        }
    }
    out
}

/// `application/dialog-info+xml`.
pub fn dialog_info(entity: &str, version: u32, domain: &str, lines: &[Line]) -> String {
    let mut out = format!(
        "{HEAD}<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" state=\"full\" entity=\"{}\">\r\n",
        xml(entity)
    );
    for line in lines {
        let direction = if line.initiator { "initiator" } else { "recipient" };
        let tag = |name: &str, value: &str| match value {
            "" => String::new(),
            value => format!(" {name}=\"{}\"", xml(value)),
        };
        // Writing into a String does not fail.
        let _ = write!(
            out,
            "<dialog id=\"{}\"{}{}{} direction=\"{direction}\">\r\n<state>{}</state>\r\n\
             <local><identity>{}</identity><target uri=\"{}\"/></local>\r\n\
             <remote><identity>sip:{}@{}</identity><target uri=\"sip:{}@{}\"/></remote>\r\n</dialog>\r\n",
            xml(&line.id),
            tag("call-id", &line.call_id),
            tag("local-tag", &line.local_tag),
            tag("remote-tag", &line.remote_tag),
            line.state.as_str(),
            xml(entity),
            xml(entity),
            xml(&line.remote),
            xml(domain),
            xml(&line.remote),
            xml(domain),
        );
    }
    out.push_str("</dialog-info>\r\n");
    out
}

/// `application/simple-message-summary`.
pub fn message_summary(account: &str, (new, old): (u32, u32)) -> String {
    let waiting = if new > 0 { "yes" } else { "no" };
    format!("Messages-Waiting: {waiting}\r\nMessage-Account: {account}\r\nVoice-Message: {new}/{old} (0/0)\r\n")
}

/// `application/pidf+xml`.
pub fn presence(entity: &str, open: bool, note: &str) -> String {
    let basic = if open { "open" } else { "closed" };
    let note = if note.is_empty() { String::new() } else { format!("<note>{}</note>", xml(note)) };
    let entity = xml(entity);
    format!(
        "{HEAD}<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{entity}\">\r\n\
         <tuple id=\"tandem\"><status><basic>{basic}</basic></status><contact>{entity}</contact>{note}</tuple>\r\n{note}\r\n</presence>\r\n"
    )
}

/// What a published presence document says: whether the user is reachable, and its first note.
pub fn read_presence(document: &str) -> Option<(bool, String)> {
    let between = |open: &str, close: &str| {
        let from = document.find(open)? + open.len();
        let rest = document.get(from..)?;
        // The tag may have a prefix of its namespace before, and attributes behind.
        let rest = rest.get(rest.find('>')? + 1..)?;
        Some(rest.get(..rest.find(close)?)?.trim())
    };
    let basic = between("basic", "<")?;
    let open = match basic {
        "open" => true,
        "closed" => false,
        _ => return None,
    };
    let note = between("note", "<").unwrap_or_default();
    let plain = note.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    Some((open, plain.chars().filter(|c| !c.is_control()).take(256).collect()))
}

/// `application/reginfo+xml`.
pub fn reginfo(aor: &str, version: u32, contacts: &[Registered]) -> String {
    let state = if contacts.is_empty() { "terminated" } else { "active" };
    let mut out = format!(
        "{HEAD}<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"{version}\" state=\"full\">\r\n\
         <registration aor=\"{}\" id=\"r1\" state=\"{state}\">\r\n",
        xml(aor)
    );
    for c in contacts {
        let _ = write!(
            out,
            "<contact id=\"{}\" state=\"active\" event=\"registered\" expires=\"{}\"><uri>{}</uri></contact>\r\n",
            xml(&c.id),
            c.expires_s,
            xml(&c.uri)
        );
    }
    out.push_str("</registration>\r\n</reginfo>\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialog_is_told_with_what_a_pickup_needs() {
        let line = Line {
            id: "ab".into(),
            call_id: "c<1>".into(),
            local_tag: "l".into(),
            remote_tag: "r".into(),
            initiator: false,
            state: LineState::Early,
            remote: "+1415".into(),
        };
        let text = dialog_info("sip:bob@h", 3, "h", &[line]);
        for part in [
            "version=\"3\" state=\"full\" entity=\"sip:bob@h\"",
            "<dialog id=\"ab\" call-id=\"c&lt;1&gt;\" local-tag=\"l\" remote-tag=\"r\" direction=\"recipient\">",
            "<state>early</state>",
            "<remote><identity>sip:+1415@h</identity>",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!dialog_info("sip:bob@h", 0, "h", &[]).contains("<dialog "));
    }

    #[test]
    fn published_presence_is_read() {
        let check = |text: &str, expected: Option<(bool, &str)>| {
            assert_eq!(read_presence(text), expected.map(|(open, note)| (open, note.to_owned())), "{text}");
        };
        check("<presence><tuple><status><basic>open</basic></status></tuple></presence>", Some((true, "")));
        check("<p:basic x='y'> closed </p:basic><note xml:lang='en'>A &amp; B</note>", Some((false, "A & B")));
        check("<basic>perhaps</basic>", None);
        check("", None);
        check(&presence("sip:a@b", false, "out & <about>"), Some((false, "out & <about>")));
    }

    #[test]
    fn messages_that_wait_are_counted() {
        assert!(message_summary("sip:b@h", (2, 1)).starts_with("Messages-Waiting: yes\r\n"));
        assert!(message_summary("sip:b@h", (0, 1)).contains("Voice-Message: 0/1 (0/0)"));
    }
}
