//! Who calls, as a leg that is called is shown it: From, what is asserted, who forwarded.

use super::Attempt;
use crate::b2bua::leg::{Outgoing, Peer};
use crate::config::identity::Told;
use crate::config::{Diversions, HeaderRule};
use crate::switch::call::Call;
use crate::switch::manners::{self, Caller};
use crate::switch::world::World;

impl Call {
    /// Number and name of who calls: the user's own, or what it wishes to be shown with.
    pub fn caller(&self) -> (&str, &str) {
        match &self.preferred {
            Some((number, name)) => (number, name),
            None => (&self.from, &self.from_name),
        }
    }
}

/// What the leg of an attempt is to be told.
pub(super) fn outgoing(
    w: &World,
    call: &Call,
    (caller_id, caller_name, headers): &(Option<String>, Option<String>, Vec<(String, String)>),
    attempt: Attempt,
) -> Outgoing {
    let to = attempt.uri.split(';').next().unwrap_or(&attempt.uri);
    let mut headers = headers.clone();
    // Only our own phones are told who transferred a call to them (RFC 3892).
    if let (Peer::User(_), Some(by)) = (&attempt.peer, call.referred_by(w)) {
        headers.push(("Referred-By".to_owned(), by));
    }
    if matches!(attempt.peer, Peer::User(_)) {
        tell_diversions(w, &attempt, Diversions::Diversion, &mut headers);
    }
    if let Peer::Trunk(source) = &call.source {
        let rules = w.trunks.get(source).map_or(&[][..], |t| &t.manners.headers_in);
        let passes: Vec<HeaderRule> = rules.iter().filter(|r| matches!(r, HeaderRule::Pass(_))).cloned().collect();
        manners::apply(&passes, &mut headers, &call.kept);
    }
    let from = match &attempt.peer {
        Peer::Trunk(trunk) => {
            let caller = Caller {
                number: caller_id.as_deref().unwrap_or(call.caller().0),
                name: caller_name.as_deref().unwrap_or(if call.withheld { "" } else { call.caller().1 }),
                withheld: call.withheld && caller_id.is_none(),
                verstat: verstat_for(w, call, trunk, caller_id.as_deref()),
            };
            let (from, told) = w.identity_for(trunk, &caller);
            headers.extend(told);
            let rules = w.trunks.get(trunk).map_or(&[][..], |t| &t.manners.headers_out);
            manners::apply(rules, &mut headers, &call.kept);
            let told = w.trunks.get(trunk).map(|t| t.manners.diversions).unwrap_or_default();
            tell_diversions(w, &attempt, told, &mut headers);
            from
        }
        _ => {
            headers.extend(verdict_for_phone(w, call, caller_id.as_deref()));
            shown_caller(w, call, caller_id.as_deref(), caller_name.as_deref())
        }
    };
    Outgoing {
        from,
        to: format!("<{to}>"),
        peer: attempt.peer,
        uri: attempt.uri,
        flow: attempt.flow,
        sticky: attempt.sticky,
        max_forwards: call.max_forwards,
        headers,
        credentials: attempt.credentials,
        codecs: attempt.codecs,
    }
}

/// Our users' forwardings come before those that were passed on (RFC 5806 §5).
fn tell_diversions(w: &World, attempt: &Attempt, told: Diversions, headers: &mut Vec<(String, String)>) {
    if let Some(forwarded) = &attempt.forwarded {
        headers.splice(0..0, forwarded.headers(told, &w.config.sip.domain, &attempt.uri));
    }
}

/// What a customer's trunk is told of the caller's number in P-Asserted-Identity; "" if nothing is.
fn verstat_for(w: &World, call: &Call, trunk: &str, caller_id: Option<&str>) -> &'static str {
    let is_customer = w.trunks.get(trunk).is_some_and(|t| t.identity.numbers.is_some());
    let verdict = call.told_verstat(w, Told::Pai).filter(|_| is_customer && caller_id.is_none());
    verdict.unwrap_or_default()
}

/// P-Asserted-Identity of a caller whose identity was verified, for a phone of ours.
fn verdict_for_phone(w: &World, call: &Call, caller_id: Option<&str>) -> Option<(String, String)> {
    let verstat = call.told_verstat(w, Told::Pai)?;
    if call.withheld || caller_id.is_some() || call.shown.is_some() {
        return None;
    }
    let user = escape_user(&call.from);
    let value = format!("<sip:{user};verstat={verstat}@{};user=phone>", w.config.sip.domain);
    Some(("P-Asserted-Identity".to_owned(), value))
}

/// From of a leg called: what the dial sets, else the caller's own number and name unless they are withheld (RFC 3323 §4.1.1.3).
fn shown_caller(w: &World, call: &Call, caller_id: Option<&str>, caller_name: Option<&str>) -> String {
    let shown = call.shown.as_ref();
    let (number, own_name) = shown.map_or(call.caller(), |(number, name)| (number, name));
    if call.withheld && shown.is_none() && caller_id.is_none() {
        return "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned();
    }
    let own_name = if call.withheld && shown.is_none() { "" } else { own_name };
    let name = caller_name.unwrap_or(own_name).replace(['"', '\\', '\r', '\n'], "");
    let mut user = escape_user(caller_id.unwrap_or(number));
    if let Some(verstat) = call.told_verstat(w, Told::From).filter(|_| caller_id.is_none() && shown.is_none()) {
        user = format!("{user};verstat={verstat}");
    }
    let address = format!("<sip:{user}{}{}>", if user.is_empty() { "" } else { "@" }, w.config.sip.domain);
    if name.is_empty() { address } else { format!("\"{name}\" {address}") }
}

/// A user part with what RFC 3261 §25.1 does not allow in one as %XX.
pub fn escape_user(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/#".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out.replace('#', "%23")
}
