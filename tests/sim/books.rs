//! What every message that the switch writes must keep: strict form, topology hiding, order.
//!
//! Each leg of a simulated peer has a marker `zqNNNNq` in every token that the peer makes up (Call-ID, tags, branches, Contact,
//! SDP origin). A marker that the peer did not use under a message's Call-ID has leaked from another leg.

use super::sdp::Sdp;
use super::text::Msg;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

#[derive(Default)]
pub struct Books {
    markers: BTreeMap<String, BTreeSet<String>>,
    cseqs: BTreeMap<(String, String, String), u32>,
    branches: BTreeMap<String, (u32, String)>,
    sdps: BTreeMap<(String, String), Sdp>,
    seen: BTreeSet<u64>,
    /// Call-IDs of mutated messages: what they hold may be echoed.
    mutants: BTreeSet<String>,
    /// Dialogs in which some description passes untouched.
    pub direct: bool,
}

/// The addresses of the simulated world's peers, for the search for leaks.
const PEER_ADDRESSES: &[&str] = &["10.9.", "192.168.", "198.51.100.", "fd00:9::"];

pub fn markers(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("zq")
        .filter_map(|(at, _)| text.get(at..at + 7))
        .filter(|m| m.ends_with('q') && m[2..6].bytes().all(|b| b.is_ascii_hexdigit()))
}

fn call_id_line(text: &str) -> Option<&str> {
    text.split(['\r', '\n'])
        .find_map(|l| l.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case("call-id")))
        .map(|(_, v)| v.trim())
}

/// What names the destination: its addresses and the media addresses that it may be told.
pub struct Target<'a> {
    pub addresses: &'a [SocketAddr],
    pub is_node: bool,
}

impl Books {
    /// What a peer sends: its markers belong to its Call-ID.
    pub fn peer_sent(&mut self, bytes: &[u8], is_mutant: bool) {
        let text = String::from_utf8_lossy(bytes);
        let Some(call_id) = call_id_line(&text) else { return };
        if is_mutant {
            self.mutants.insert(call_id.to_string());
        }
        let known = self.markers.entry(call_id.to_string()).or_default();
        for m in markers(&text) {
            if !known.contains(m) {
                known.insert(m.to_string());
            }
        }
    }

    /// Reads and checks what the switch sends. `owns` tells whether a media address is an open port of the switch.
    pub fn switch_sent(
        &mut self,
        bytes: &[u8],
        target: &Target<'_>,
        owns: &dyn Fn(&Sdp) -> bool,
        own: &[SocketAddr],
    ) -> (Option<Msg>, Vec<(String, String)>) {
        let text = String::from_utf8_lossy(bytes);
        let is_mutant = call_id_line(&text).is_none_or(|c| c.starts_with("mutant") || self.mutants.contains(c));
        let msg = match Msg::parse(bytes) {
            Ok(msg) => msg,
            Err(_) if is_mutant => return (None, vec![]),
            Err(e) => return (None, vec![(String::new(), format!("not strict: {e}\n{text}"))]),
        };
        if is_mutant {
            return (Some(msg), vec![]);
        }
        let mut wrong = self.form(&msg, own);
        wrong.extend(self.leaks(&msg, &text, target));
        let is_new = self.seen.insert(digest(bytes));
        if is_new {
            wrong.extend(self.order(&msg));
            wrong.extend(self.description(&msg, owns));
        }
        let call_id = msg.call_id().to_string();
        (Some(msg), wrong.into_iter().map(|w| (call_id.clone(), w)).collect())
    }

    fn form(&self, m: &Msg, own: &[SocketAddr]) -> Vec<String> {
        let mut wrong = Vec::new();
        let once: &[&str] = match m.is_request() {
            true => &["From", "To", "Call-ID", "CSeq", "Max-Forwards"],
            false => &["From", "To", "Call-ID", "CSeq"],
        };
        for name in once {
            if m.all(name).count() != 1 || m.get(name).is_empty() {
                wrong.push(format!("{}: {name} stands {} times", m.summary(), m.all(name).count()));
            }
        }
        if m.tag_of_from().is_empty() || (m.status() > 100 && m.tag_of_to().is_empty()) {
            wrong.push(format!("{}: no tag", m.summary()));
        }
        if m.is_request() {
            let sent_by = m.get("Via").split([' ', ';']).nth(1).unwrap_or("").to_string();
            if m.all("Via").count() != 1 || !m.branch().starts_with("z9hG4bK") || m.branch().len() < 15 {
                wrong.push(format!("{}: Via {:?}", m.summary(), m.all("Via").collect::<Vec<_>>()));
            }
            if !own.iter().any(|a| a.to_string() == sent_by) {
                wrong.push(format!("{}: Via names {sent_by}, not the switch", m.summary()));
            }
            if m.cseq().1 != m.method() {
                wrong.push(format!("{}: CSeq {}", m.summary(), m.get("CSeq")));
            }
        }
        let makes_dialog = m.method() == "INVITE" && (m.is_request() || (200..300).contains(&m.status()));
        if makes_dialog && !own.iter().any(|a| m.contact().contains(&a.to_string())) {
            wrong.push(format!("{}: Contact {:?} is not the switch", m.summary(), m.get("Contact")));
        }
        wrong
    }

    fn leaks(&self, m: &Msg, text: &str, target: &Target<'_>) -> Vec<String> {
        let mut wrong = Vec::new();
        if m.method() == "REGISTER" {
            return wrong; // lists all contacts of the address of record, as it must
        }
        let text = if self.direct { text.split("\r\n\r\n").next().unwrap_or("") } else { text };
        // A REFER that is passed on may name another dialog of the very peer that it goes to.
        let kept: String;
        let text = if m.method() == "REFER" {
            kept = text.lines().filter(|l| !l.starts_with("Refer-To:")).collect::<Vec<_>>().join("\r\n");
            &kept
        } else {
            text
        };
        let known = self.markers.get(m.call_id());
        for marker in markers(text) {
            if !known.is_some_and(|k| k.contains(marker)) {
                wrong.push(format!("{} leaks {marker} of another leg:\n{text}", m.summary()));
            }
        }
        for prefix in PEER_ADDRESSES {
            for (at, _) in text.match_indices(prefix) {
                let rest = &text[at..];
                let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':')).unwrap_or(rest.len());
                let is_own = target.addresses.iter().any(|a| {
                    let ip = a.ip().to_string();
                    rest[..end].starts_with(&ip) && !rest[ip.len()..].starts_with(|c: char| c.is_ascii_digit())
                });
                if !is_own || target.is_node {
                    wrong.push(format!("{} leaks the address {} of another leg:\n{text}", m.summary(), &rest[..end]));
                }
            }
        }
        wrong
    }

    fn order(&mut self, m: &Msg) -> Vec<String> {
        let mut wrong = Vec::new();
        if !m.is_request() || matches!(m.method(), "ACK" | "CANCEL") {
            return wrong;
        }
        let key = (m.branch().to_string(), m.cseq());
        if let Some(was) = self.branches.insert(key.0, (key.1.0, m.method().to_string())) {
            wrong.push(format!("branch {} of {was:?} is used again for {}", m.branch(), m.get("CSeq")));
        }
        // Forked dialogs of one INVITE share Call-ID and From tag, and each has a CSeq space of its own.
        let dialog = (m.call_id().to_string(), m.tag_of_from().to_string(), m.tag_of_to().to_string());
        let last = self.cseqs.entry(dialog).or_default();
        // The BYE for a 2xx whose call is over is sent without keeping anything: the 2xx again brings the same BYE again.
        let is_again = m.method() == "BYE" && m.cseq().0 == *last;
        if m.cseq().0 <= *last && !is_again {
            wrong.push(format!("CSeq {} after {last}", m.get("CSeq")));
        }
        *last = m.cseq().0.max(*last);
        wrong
    }

    fn description(&mut self, m: &Msg, owns: &dyn Fn(&Sdp) -> bool) -> Vec<String> {
        if m.body.is_empty() || m.get("Content-Type") != "application/sdp" || self.direct {
            return vec![];
        }
        let sdp = match Sdp::parse(&m.body) {
            Ok(sdp) => sdp,
            Err(e) => return vec![format!("{}: session description: {e}", m.summary())],
        };
        let mut wrong = Vec::new();
        if sdp.port != 0 && !owns(&sdp) {
            wrong.push(format!("{}: offers {}:{}, which is no open port", m.summary(), sdp.ip, sdp.port));
        }
        let own_tag = if m.is_request() { m.tag_of_from() } else { m.tag_of_to() };
        let key = (m.call_id().to_string(), own_tag.to_string());
        if let Some(last) = self.sdps.get(&key) {
            let same = Sdp { version: 0, ..last.clone() } == Sdp { version: 0, ..sdp.clone() };
            if last.origin != sdp.origin {
                wrong.push(format!("{}: SDP origin changes from {} to {}", m.summary(), last.origin, sdp.origin));
            } else if sdp.version < last.version || (!same && sdp.version == last.version) {
                let what = if same { "" } else { ", and the description changed" };
                wrong.push(format!("{}: SDP version {} after {}{what}", m.summary(), sdp.version, last.version));
            }
        }
        self.sdps.insert(key, sdp);
        wrong
    }
}

pub fn digest(bytes: &[u8]) -> u64 {
    let mut h = DefaultHasher::new();
    bytes.hash(&mut h);
    h.finish()
}

#[test]
fn a_leak_is_told_and_what_belongs_is_not() {
    let mut books = Books::default();
    books.peer_sent(b"INVITE sip:x SIP/2.0\r\nCall-ID: zq0001q@10.9.1.1\r\nFrom: <sip:a>;tag=zq0001qt\r\n\r\n", false);
    let own: SocketAddr = "10.0.0.1:5060".parse().expect("an address");
    let peer: SocketAddr = "10.9.1.1:5060".parse().expect("an address");
    let mut check = |call_id: &str, subject: &str| {
        let text = format!(
            "BYE sip:x@10.9.1.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{}{call_id}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:b>;tag=1\r\nTo: <sip:a>;tag=zq0001qt\r\nCall-ID: {call_id}\r\nCSeq: 1 BYE\r\n\
             Subject: {subject}\r\nContent-Length: 0\r\n\r\n",
            100 + subject.len()
        );
        let target = Target { addresses: &[peer], is_node: false };
        let told = books.switch_sent(text.as_bytes(), &target, &|_| true, &[own]).1;
        told.len()
    };
    assert_eq!(check("zq0001q@10.9.1.1", "mine"), 0);
    assert_eq!(check("other", "another leg's tag"), 1);
}
