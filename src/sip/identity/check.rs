//! What an INVITE's Identity headers say of it, as far as no certificate is needed (RFC 8224 §6.2, RFC 8225 §7).

use super::header::{IDENTITIES_MAX, Signed};
use super::passport::{self, Claims};
use super::{Attest, FIELD, Fault, Kind, Party};
use crate::base::time::{Duration, Instant, Wall};
use crate::sip::wire::{HeaderName, Message};
use std::collections::{BTreeMap, VecDeque};

/// A token that fits its call and is yet to be proved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// What is signed.
    pub input: String,
    /// 64 octets.
    pub signature: Vec<u8>,
    /// Where the certificate is.
    pub x5u: String,
    /// Who calls: the certificate must be allowed to say so.
    pub orig: Party,
    /// When the certificate must be valid.
    pub at: Wall,
}

/// What a token claims about where the call began.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Claimed {
    pub attest: Option<Attest>,
    pub origid: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// No token of a kind that we understand.
    Nothing,
    Wrong(Claimed, Fault),
    ToVerify(Claimed, Box<Candidate>),
}

/// Whom the call is from and to: each in every form that counts as the same, as carriers write numbers in several.
pub struct Parties<'a> {
    pub orig: &'a [Party],
    pub dest: &'a [Party],
}

/// Judges the first shaken token, or the first of the base kind if there is none. `fresh`: how far its time may be from `now`.
pub fn check(invite: &Message, orig: &[Party], dest: &[Party], now: Wall, fresh: Duration) -> Found {
    let parties = Parties { orig, dest };
    let fields = invite.fields().filter(|(name, _)| is_identity(name)).take(IDENTITIES_MAX);
    let mut base = None;
    let mut broken = None;
    for (_, value) in fields {
        let Some(signed) = Signed::parse(value) else {
            broken.get_or_insert(Fault::new(Kind::Invalid, "the Identity header cannot be read"));
            continue;
        };
        let head = passport::head(signed.header);
        let ppt = signed.ppt.map(str::to_owned).or_else(|| head.as_ref().and_then(|h| h.ppt.clone()));
        match ppt.as_deref() {
            Some("shaken") => return judge(&signed, head, true, &parties, invite, now, fresh),
            None if base.is_none() => base = Some((signed, head)),
            // What another extension says is for whoever knows it (RFC 8224 §4.1).
            _ => {}
        }
    }
    match (base, broken) {
        (Some((signed, head)), _) => judge(&signed, head, false, &parties, invite, now, fresh),
        (None, Some(fault)) => Found::Wrong(Claimed::default(), fault),
        (None, None) => Found::Nothing,
    }
}

fn is_identity(name: &str) -> bool {
    name.eq_ignore_ascii_case(FIELD) || name.eq_ignore_ascii_case("y")
}

fn judge(
    signed: &Signed<'_>,
    head: Option<passport::Head>,
    is_shaken: bool,
    parties: &Parties<'_>,
    invite: &Message,
    now: Wall,
    fresh: Duration,
) -> Found {
    let read =
        if signed.is_compact() { rebuilt(signed, is_shaken, parties, invite) } else { whole(signed, head, is_shaken) };
    let (input, x5u, claims) = match read {
        Ok(read) => read,
        Err(fault) => return Found::Wrong(Claimed::default(), fault),
    };
    let claimed = Claimed { attest: claims.attest, origid: claims.origid.clone() };
    match fits(&claims, is_shaken, parties, date(invite), now, fresh) {
        Err(fault) => Found::Wrong(claimed, fault),
        Ok(()) => {
            let candidate = Candidate { input, signature: signed.signature.clone(), x5u, orig: claims.orig, at: now };
            Found::ToVerify(claimed, Box::new(candidate))
        }
    }
}

/// The full form: what is signed is what stands there.
fn whole(
    signed: &Signed<'_>,
    head: Option<passport::Head>,
    is_shaken: bool,
) -> Result<(String, String, Claims), Fault> {
    let invalid = |why: &str| Fault::new(Kind::Invalid, why);
    let head = head.ok_or_else(|| invalid("the token's header cannot be read"))?;
    if head.alg != "ES256" || signed.alg.is_some_and(|alg| alg != "ES256") {
        return Err(Fault::new(Kind::Unsupported, "the algorithm is not ES256"));
    }
    if head.typ != "passport" || (head.ppt.as_deref() == Some("shaken")) != is_shaken {
        return Err(invalid("the token is of another type than the Identity header says"));
    }
    if !signed.info.is_empty() && signed.info != head.x5u {
        return Err(Fault::new(Kind::BadInfo, "info and x5u name two certificates"));
    }
    let claims = passport::claims(signed.payload).map_err(invalid)?;
    Ok((format!("{}.{}", signed.header, signed.payload), head.x5u, claims))
}

/// The compact form: what is signed is made again from the INVITE (RFC 8224 §4.1).
fn rebuilt(
    signed: &Signed<'_>,
    is_shaken: bool,
    parties: &Parties<'_>,
    invite: &Message,
) -> Result<(String, String, Claims), Fault> {
    let invalid = |why: &str| Fault::new(Kind::Invalid, why);
    if is_shaken {
        // Attestation and origin stand in the token alone (RFC 8588 §5).
        return Err(invalid("a shaken token in the compact form"));
    }
    if signed.alg.is_some_and(|alg| alg != "ES256") {
        return Err(Fault::new(Kind::Unsupported, "the algorithm is not ES256"));
    }
    if signed.info.is_empty() {
        return Err(Fault::new(Kind::BadInfo, "no certificate is named"));
    }
    let iat = date(invite).ok_or_else(|| invalid("the compact form without a Date"))?;
    let (Some(orig), Some(dest)) = (parties.orig.first(), parties.dest.first()) else {
        return Err(invalid("the INVITE names no parties"));
    };
    let claims = Claims { iat, orig: orig.clone(), dest: vec![dest.clone()], attest: None, origid: None };
    Ok((passport::signing_input(signed.info, &claims), signed.info.to_owned(), claims))
}

fn fits(
    claims: &Claims,
    is_shaken: bool,
    parties: &Parties<'_>,
    date: Option<i64>,
    now: Wall,
    fresh: Duration,
) -> Result<(), Fault> {
    let (now, fresh) = (now.as_micros().div_euclid(1_000_000), i64::try_from(fresh.as_secs()).unwrap_or(i64::MAX));
    let is_fresh = |at: i64| at.abs_diff(now) <= fresh.unsigned_abs();
    if !is_fresh(claims.iat) || date.is_some_and(|date| !is_fresh(date)) {
        let why = format!("signed {} s away from now", i128::from(now) - i128::from(claims.iat));
        return Err(Fault::new(Kind::Stale, why));
    }
    let invalid = |why: &str| Err(Fault::new(Kind::Invalid, why));
    if is_shaken
        && (claims.attest.is_none() || claims.origid.as_deref().is_none_or(|id| id.is_empty() || id.len() > 64))
    {
        return invalid("a shaken token without attest or origid");
    }
    if !parties.orig.contains(&claims.orig) {
        return invalid("another caller was signed");
    }
    if !claims.dest.iter().any(|party| parties.dest.contains(party)) {
        return invalid("it was signed for a call to somebody else");
    }
    Ok(())
}

/// Seconds since 1970 of the Date header (RFC 3261 §20.17); `None` if there is none that can be read.
fn date(invite: &Message) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let value = invite.header(HeaderName::Date)?;
    let (_, rest) = value.split_once(',')?;
    let mut words = rest.split_ascii_whitespace();
    let mut number = || words.next();
    let (day, month, year, clock, zone) = (number()?, number()?, number()?, number()?, number()?);
    let month = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(month))? as i64 + 1;
    let mut clock = clock.split(':').map(|part| part.parse::<u32>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let (day, year) = (day.parse::<u32>().ok()?, year.parse::<u32>().ok()?);
    let is_sound = zone == "GMT" && (1..=31).contains(&day) && (1970..=9999).contains(&year);
    if !is_sound || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (year, month) = if month > 2 { (i64::from(year), month - 3) } else { (i64::from(year) - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + i64::from(day) - 1 - 719_468;
    Some(days * 86_400 + i64::from(hour * 3_600 + minute * 60 + second))
}

/// Tokens remembered until they are stale; beyond, the oldest is forgotten.
const REPLAYS_MAX: usize = 65_536;

/// Tokens that have been used, so that nobody uses them for a second call (RFC 8224 §12.1).
#[derive(Default)]
pub struct Replays {
    /// By the signature's first half, which is as good as random: the call that used it.
    used: BTreeMap<[u8; 32], String>,
    order: VecDeque<(Instant, [u8; 32])>,
}

impl Replays {
    /// Books a token for a Call-ID; false if another one has used it within `fresh`.
    pub fn first(&mut self, now: Instant, fresh: Duration, signature: &[u8], call_id: &str) -> bool {
        while self.order.front().is_some_and(|(until, _)| *until <= now) || self.order.len() >= REPLAYS_MAX {
            if let Some((_, key)) = self.order.pop_front() {
                self.used.remove(&key);
            }
        }
        let mut key = [0; 32];
        key.iter_mut().zip(signature).for_each(|(to, from)| *to = *from);
        if let Some(by) = self.used.get(&key) {
            return by == call_id;
        }
        // A token is believed from `fresh` before its time to `fresh` after it.
        self.order.push_back((now + fresh * 2, key));
        self.used.insert(key, call_id.chars().take(256).collect());
        true
    }
}
