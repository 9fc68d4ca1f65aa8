//! Topology hiding over every message of every scenario: nothing that tells one leg from others may stand on another one.
//!
//! What a party sends, and what the switch writes to it, leaves marks: its address, Call-IDs, tags, branches, Contacts, the origin and name
//! of its descriptions, its programs' names, and headers that nobody knows. Each message that leaves the switch is searched, as it is on
//! the wire, for the marks of all other parties. The stage calls this for each message, so that no scenario can leave it out.

use super::stage::address;
use super::text::{Msg, param};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mark {
    Address,
    CallId,
    Tag,
    Branch,
    /// What is written into each message of a party by [`marked`], and its descriptions' origins.
    Own,
}

#[derive(Default)]
pub struct Topology {
    /// Whose they are.
    marks: BTreeMap<(String, Mark), BTreeSet<String>>,
    /// Messages that were searched.
    pub searched: usize,
}

/// A party's message with what must not reach anybody else.
pub fn marked(party: &str, msg: &Msg) -> Msg {
    let own = format!("own-{party}");
    let mut m = msg.clone().with("User-Agent", format!("{own}/1.0")).with("Server", &own).with("Organization", &own);
    m = m.with("X-Own", &own).with("Call-Info", format!("<http://{own}.example/>"));
    // A text's subject is a part of it.
    if msg.method() != "MESSAGE" {
        m = m.with("Subject", &own);
    }
    if m.get("Content-Type") == "application/sdp" {
        m.body = m.body.replacen("s=-", &format!("s={own}\r\ni={own}\r\nu=http://{own}.example/"), 1);
    }
    m
}

impl Topology {
    fn mark(&mut self, party: &str, kind: Mark, text: &str) {
        // Shorter ones stand anywhere.
        if text.len() >= 4 {
            self.marks.entry((text.to_owned(), kind)).or_default().insert(party.to_owned());
        }
    }

    /// Marks of a message on a party's leg, in either direction.
    pub fn learn(&mut self, party: &str, msg: &Msg) {
        self.mark(party, Mark::Address, &address(party).ip().to_string());
        self.mark(party, Mark::Own, &format!("own-{party}"));
        self.mark(party, Mark::CallId, msg.call_id());
        for tag in [msg.tag_of_from(), msg.tag_of_to()] {
            self.mark(party, Mark::Tag, tag);
        }
        self.mark(party, Mark::Branch, param(msg.get("Via"), "branch"));
        for line in msg.body.lines().filter_map(|l| l.strip_prefix("o=")) {
            // User, session and its version: the rest is an address.
            let origin: Vec<&str> = line.split(' ').take(2).collect();
            self.mark(party, Mark::Own, &origin.join(" "));
        }
    }

    /// What of other parties stands in a message to `party`.
    pub fn search(&mut self, party: &str, msg: &Msg) -> Vec<String> {
        self.searched += 1;
        let (head, body) = visible(msg);
        let names_dialogs = msg.get("Content-Type") == "application/dialog-info+xml";
        // Our own registration goes on with the next target of its trunk: there is no other leg.
        let registers = msg.is_request() && msg.method() == "REGISTER";
        let found = self.marks.iter().filter(|((text, kind), whose)| {
            let is_identifier = matches!(kind, Mark::CallId | Mark::Tag);
            let is_told = names_dialogs && is_identifier;
            !(whose.contains(party) || registers && is_identifier)
                && (stands_in(&head, text) || !is_told && stands_in(&body, text))
        });
        found.map(|((text, kind), whose)| format!("{kind:?} {text} of {whose:?} is told to {party}")).collect()
    }
}

/// Head and body without what is passed on because that is its purpose: the contacts of a 3xx (`redirects: pass`), and the dialog that
/// a REFER names (`refer: pass`). A dialog-info body names dialogs, so that they can be picked up (RFC 4235).
fn visible(msg: &Msg) -> (String, String) {
    let is_passed = |name: &str| {
        (300..400).contains(&msg.status()) && name == "Contact" || msg.method() == "REFER" && name == "Refer-To"
    };
    let lines =
        msg.headers.iter().filter(|(name, _)| !is_passed(name)).map(|(name, value)| format!("{name}: {value}\n"));
    (format!("{}\n{}", msg.start, lines.collect::<String>()), msg.body.clone())
}

/// As a word of its own: 10.9.1.1 does not stand in 10.9.1.10.
fn stands_in(text: &str, mark: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.match_indices(mark)
        .any(|(at, _)| !is_part(text[..at].chars().next_back()) && !is_part(text[at + mark.len()..].chars().next()))
}

#[test]
fn each_kind_of_leak_is_found() {
    let of_alice = Msg::request("INVITE", "sip:bob@pbx")
        .with("Via", "SIP/2.0/UDP 10.9.1.1:5060;branch=z9hG4bKalice1")
        .with("From", "<sip:alice@pbx>;tag=tag-alice")
        .with("To", "<sip:bob@pbx>")
        .with("Call-ID", "call-alice-1")
        .with("CSeq", "1 INVITE")
        .sdp("v=0\r\no=alice 1 1 IN IP4 10.9.1.1\r\ns=-\r\n".into());
    let to_bob = Msg::request("INVITE", "sip:bob@10.9.1.2")
        .with("Via", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKours")
        .with("Call-ID", "ours")
        .with("CSeq", "1 INVITE");
    let mut topology = Topology::default();
    topology.learn("alice", &marked("alice", &of_alice));
    assert_eq!(topology.search("bob", &to_bob), Vec::<String>::new());
    let leaks = [
        to_bob.clone().with("Contact", "<sip:alice@10.9.1.1:5060>"),
        to_bob.clone().with("Record-Route", "<sip:10.9.1.1;lr>"),
        to_bob.clone().with("X-Any", "call-alice-1"),
        to_bob.clone().with("From", "<sip:a@pbx>;tag=tag-alice"),
        to_bob.clone().with("Via", "SIP/2.0/UDP x;branch=z9hG4bKalice1"),
        to_bob.clone().with("User-Agent", "own-alice/1.0"),
        to_bob.clone().sdp("v=0\r\no=alice 1 2 IN IP4 10.0.0.1\r\n".into()),
        to_bob.clone().sdp("v=0\r\no=- 1 2 IN IP4 10.0.0.1\r\ns=own-alice\r\n".into()),
        to_bob.clone().sdp("v=0\r\no=- 1 2 IN IP4 10.0.0.1\r\nc=IN IP4 10.9.1.1\r\n".into()),
    ];
    for leak in leaks {
        assert!(!topology.search("bob", &leak).is_empty(), "{leak:?}");
        assert!(topology.search("alice", &leak).is_empty(), "her own");
    }
    assert!(!stands_in("10.9.1.10", "10.9.1.1") && stands_in("<10.9.1.1:5060>", "10.9.1.1"));
}
