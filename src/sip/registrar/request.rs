//! What a REGISTER asks for, read and checked before anything is changed.

use super::{Fault, Limits};
use crate::base::time::Duration;
use crate::sip::wire::{HeaderName, Message, NameAddr, Uri};

/// Bounds on what is kept of one binding, in octets.
const CONTACT_MAX: usize = 1024;
const INSTANCE_MAX: usize = 256;
const PATH_MAX: usize = 2048;
const CALL_ID_MAX: usize = 256;
const USER_AGENT_MAX: usize = 128;

/// Below an hour a registrar may ask for more (RFC 3261 §10.2.8, §10.3 step 7).
const HOUR: Duration = Duration::from_secs(3600);

pub(super) struct Register {
    pub asked: Asked,
    pub call_id: String,
    pub cseq: u32,
    pub path: Vec<String>,
    pub user_agent: String,
}

pub(super) enum Asked {
    /// No Contact: only what is bound.
    Nothing,
    /// `Contact: *` with `Expires: 0`.
    RemoveAll,
    Contacts(Vec<Wish>),
}

/// One Contact.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub contact: String,
    /// Zero to be removed.
    pub expires: Duration,
    /// In thousandths.
    pub q: u16,
    /// Without quotes; "" if none.
    pub instance: String,
    pub reg_id: Option<u32>,
}

pub(super) fn read(request: &Message, limits: &Limits) -> Result<Register, Fault> {
    let cseq = request.cseq().ok_or(Fault::new(400, "CSeq Missing"))?.number;
    let call_id = request.call_id();
    let path: Vec<String> = request.headers(HeaderName::Path).map(str::to_owned).collect();
    if call_id.is_empty() || call_id.len() > CALL_ID_MAX || path.iter().map(String::len).sum::<usize>() > PATH_MAX {
        return Err(Fault::new(400, "Bad Call-ID Or Path"));
    }
    let user_agent = request.header(HeaderName::UserAgent).unwrap_or("").chars().take(USER_AGENT_MAX).collect();
    let asked = asked(request, limits)?;
    if matches!(&asked, Asked::Contacts(wishes) if wishes.iter().any(|w| w.reg_id.is_some()))
        && !is_kept(request, &path)
    {
        return Err(Fault::new(439, "First Hop Lacks Outbound Support"));
    }
    Ok(Register { asked, call_id: call_id.to_owned(), cseq, path, user_agent })
}

/// Whether the phone's first hop keeps the flow (RFC 5626 §6): we are it, or it has said so in its Path.
fn is_kept(request: &Message, path: &[String]) -> bool {
    let is_first = request.headers(HeaderName::Via).nth(1).is_none();
    let edge = path.last().and_then(|value| NameAddr::parse(value));
    is_first || edge.and_then(|edge| edge.parsed_uri()).is_some_and(|uri| uri.params.get("ob").is_some())
}

fn asked(request: &Message, limits: &Limits) -> Result<Asked, Fault> {
    let contacts: Vec<&str> = request.headers(HeaderName::Contact).collect();
    let expires = request.header(HeaderName::Expires).map(|text| seconds(text, limits));
    if contacts.is_empty() {
        return Ok(Asked::Nothing);
    }
    if contacts.iter().any(|contact| contact.trim() == "*") {
        return match (contacts.len(), expires) {
            (1, Some(Duration::ZERO)) => Ok(Asked::RemoveAll),
            _ => Err(Fault::new(400, "Contact * Needs Expires 0 And No Other Contact")),
        };
    }
    let outbound = request.lists(HeaderName::Supported, "outbound");
    let mut wishes: Vec<Wish> = Vec::new();
    for text in contacts {
        let wish = wish(text, expires, outbound, limits)?;
        // The same contact twice: the later word counts.
        wishes.retain(|other| other.contact != wish.contact);
        wishes.push(wish);
        if wishes.len() > limits.contacts_per_aor {
            return Err(Fault::new(403, "Too Many Contacts"));
        }
    }
    Ok(Asked::Contacts(wishes))
}

fn wish(text: &str, header: Option<Duration>, outbound: bool, limits: &Limits) -> Result<Wish, Fault> {
    let contact = NameAddr::parse(text).ok_or(Fault::new(400, "Bad Contact"))?;
    let is_sip = Uri::parse(contact.uri).is_some_and(|uri| uri.is_sip());
    let instance = contact.params.get("+sip.instance").unwrap_or("");
    if !is_sip || contact.uri.len() > CONTACT_MAX || instance.len() > INSTANCE_MAX {
        return Err(Fault::new(400, "Bad Contact"));
    }
    let own = contact.params.get("expires").map(|text| seconds(text, limits));
    let asked = own.or(header).unwrap_or(limits.expires_default);
    if asked > Duration::ZERO && asked < limits.expires_min && asked < HOUR {
        let min_s = limits.expires_min.as_secs();
        return Err(Fault::new(423, "Interval Too Brief").with(HeaderName::MinExpires, min_s));
    }
    let reg_id = contact.params.get("reg-id").and_then(|id| id.parse().ok());
    Ok(Wish {
        contact: contact.uri.to_owned(),
        expires: asked.min(limits.expires_max),
        q: contact.params.get("q").and_then(thousandths).unwrap_or(1000),
        instance: instance.to_owned(),
        reg_id: reg_id.filter(|_| outbound && !instance.is_empty()),
    })
}

/// Seconds; what is no number counts as not said (§10.3 step 6), what is too large as the most.
fn seconds(text: &str, limits: &Limits) -> Duration {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return limits.expires_default;
    }
    text.parse().map_or(limits.expires_max, Duration::from_secs)
}

/// `0.5` as 500 (§20.10: at most three digits after the point).
fn thousandths(q: &str) -> Option<u16> {
    let (whole, fraction) = q.split_once('.').unwrap_or((q, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" | "" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preference_is_read_in_thousandths() {
        let rows = [
            ("1", Some(1000)),
            ("1.0", Some(1000)),
            ("1.000", Some(1000)),
            ("0", Some(0)),
            ("0.5", Some(500)),
            (".25", Some(250)),
            ("0.123", Some(123)),
            ("0.1234", None),
            ("1.1", None),
            ("2", None),
            ("-1", None),
            ("0.+1", None),
        ];
        for (text, want) in rows {
            assert_eq!(thousandths(text), want, "{text}");
        }
    }
}
