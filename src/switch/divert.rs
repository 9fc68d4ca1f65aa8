//! What users have set for calls that come to them: forwarding, do-not-disturb, call waiting; and how whom a call is forwarded to
//! hears of it (Diversion, RFC 5806; History-Info, RFC 7044, with the causes of RFC 4458).

use super::call::{Call, Doing};
use super::dialing::{Attempt, phones_of};
use super::forward::HOPS_MAX;
use super::world::{CallTimer, World};
use crate::b2bua::hunt::Track;
use crate::b2bua::leg::Peer;
use crate::config::Diversions;
use crate::event::{Side, TransferCdr, TransferKind, What};
use crate::sip::wire::Message;
use crate::verb::Dial;
use std::sync::Arc;

/// Why a user's call goes elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Always,
    Busy,
    NoAnswer,
    DoNotDisturb,
    /// No phone is registered.
    Unavailable,
    /// Its phone has said 3xx.
    Deflected,
}

impl Why {
    /// As Diversion names it.
    const fn as_str(self) -> &'static str {
        match self {
            Why::Always => "unconditional",
            Why::Busy => "user-busy",
            Why::NoAnswer => "no-answer",
            Why::DoNotDisturb => "do-not-disturb",
            Why::Unavailable => "unavailable",
            Why::Deflected => "deflection",
        }
    }

    /// As the record of a call names it.
    const fn recorded(self) -> &'static str {
        match self {
            Why::Always => "forwarded_always",
            Why::Busy => "forwarded_busy",
            Why::NoAnswer => "forwarded_no_answer",
            Why::DoNotDisturb => "forwarded_dnd",
            Why::Unavailable => "forwarded_unavailable",
            Why::Deflected => "forwarded_deflected",
        }
    }

    /// As RFC 7544 §5 translates that.
    const fn cause(self) -> u16 {
        match self {
            Why::Always => 302,
            Why::Busy => 486,
            Why::NoAnswer => 408,
            Why::DoNotDisturb => 404,
            Why::Unavailable => 503,
            Why::Deflected => 480,
        }
    }
}

/// A user who has forwarded a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diverted {
    pub user: String,
    pub why: Why,
}

/// What an attempt knows of how its call came to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The first one first.
    pub by: Vec<Diverted>,
    /// As the rule has it by which the forwarding user calls.
    pub caller_id: Option<String>,
    pub caller_name: Option<String>,
}

impl Forwarded {
    /// Marks what `dial` has planned.
    pub fn mark(tracks: &mut [Track<Attempt>], by: &[Diverted], dial: &Dial) {
        let (caller_id, caller_name) = (dial.caller_id.clone(), dial.caller_name.clone());
        let forwarded = Arc::new(Forwarded { by: by.to_vec(), caller_id, caller_name });
        for attempt in tracks.iter_mut().flat_map(Track::attempts_mut) {
            attempt.forwarded.get_or_insert_with(|| Arc::clone(&forwarded));
        }
    }

    /// Headers that tell of it, the latest first as RFC 5806 §5 has it; `uri` is who is called now.
    pub fn headers(&self, told: Diversions, domain: &str, uri: &str) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        let address = |user: &str| format!("sip:{}@{domain}", super::dialing::escape_user(user));
        if matches!(told, Diversions::Diversion | Diversions::Both) {
            let line = |d: &Diverted| format!("<{}>;reason={};counter=1", address(&d.user), d.why.as_str());
            headers.extend(self.by.iter().rev().map(|d| ("Diversion".to_owned(), line(d))));
        }
        if matches!(told, Diversions::HistoryInfo | Diversions::Both) {
            let (mut index, mut entries) = ("1".to_owned(), Vec::new());
            for (at, diverted) in self.by.iter().enumerate() {
                let earlier = at.checked_sub(1).and_then(|before| self.by.get(before));
                entries.push(entry(&address(&diverted.user), earlier, &index));
                index.push_str(".1");
            }
            entries.push(entry(uri.split(';').next().unwrap_or(uri), self.by.last(), &index));
            headers.push(("History-Info".to_owned(), entries.join(", ")));
        }
        headers
    }
}

/// One entry of History-Info; `from` has sent the call there.
fn entry(uri: &str, from: Option<&Diverted>, index: &str) -> String {
    match (from, index.strip_suffix(".1")) {
        (Some(from), Some(before)) => format!("<{uri};cause={}>;index={index};mp={before}", from.why.cause()),
        _ => format!("<{uri}>;index={index}"),
    }
}

/// How often a call had been forwarded before it came to us.
pub fn diversions_of(invite: &Message) -> usize {
    let lines = invite.fields().filter(|(name, _)| name.eq_ignore_ascii_case("Diversion"));
    lines.map(|(_, value)| value.split(',').filter(|entry| entry.contains("reason=")).count().max(1)).sum()
}

impl Call {
    /// Whom a dial of a user calls: its phones, or where it has its calls sent.
    pub fn user_tracks(&mut self, w: &mut World, name: &str) -> Vec<Track<Attempt>> {
        let instance = self.phone.as_ref().filter(|phone| phone.user == name).map(|phone| phone.instance.clone());
        let Some(set) = w.availability(name) else { return phones_of(w, name, instance.as_deref()) };
        if let Some(to) = &set.forward.always
            && let Some(tracks) = self.divert(w, name, to, Why::Always)
        {
            return tracks;
        }
        let engaged = !set.call_waiting && w.has_line(name);
        let bar = if set.dnd { Some(Why::DoNotDisturb) } else { engaged.then_some(Why::Busy) };
        if let Some(why) = bar {
            if let Some(to) = &set.forward.busy
                && let Some(tracks) = self.divert(w, name, to, why)
            {
                return tracks;
            }
            let text = if why == Why::Busy { "has no call waiting" } else { "is not to be disturbed" };
            self.note(w, Side::Call, What::Note(format!("{name} {text}").into()));
            return vec![Track::new([Attempt::barred(name)])];
        }
        let tracks = phones_of(w, name, instance.as_deref());
        if tracks.is_empty()
            && let Some(to) = &set.forward.no_answer
            && let Some(tracks) = self.divert(w, name, to, Why::Unavailable)
        {
            return tracks;
        }
        tracks
    }

    /// Whom the dialplan has `name` call for `to`; `None` if that may not be, with a line on the timeline.
    fn divert(&mut self, w: &mut World, name: &str, to: &str, why: Why) -> Option<Vec<Track<Attempt>>> {
        // Whom all calls are forwarded to may call the one who forwards.
        if matches!(&self.source, Peer::User(caller) if caller == to) {
            return None;
        }
        let key = format!("{name} {to}");
        let known = self.redirected.contains(&key);
        let planned = if known {
            Err("in a circle".to_owned())
        } else if self.redirected.len() + self.diversions >= HOPS_MAX {
            Err("too often".to_owned())
        } else {
            self.redirected.push(key);
            self.diverting.push(Diverted { user: name.to_owned(), why });
            let planned = self.routed(w, name, to);
            self.diverting.pop();
            planned
        };
        let (text, tracks) = match planned {
            Ok(tracks) if tracks.is_empty() => (": nowhere to call".to_owned(), None),
            Ok(tracks) => (String::new(), Some(tracks)),
            Err(fault) => (format!(": not done, {fault}"), None),
        };
        if tracks.is_some() {
            self.note_forwarded(w, name, to, why);
        }
        let text = format!("{name} forwards to {to} ({}){text}", why.as_str());
        self.note(w, Side::Call, What::Note(text.into()));
        tracks
    }

    /// Keeps for the record who has sent the call where.
    pub fn note_forwarded(&mut self, w: &World, by: &str, to: &str, why: Why) {
        if self.transfers.len() < super::call::TRANSFERS_MAX {
            let (kind, by, to) = (TransferKind::Forwarded(why.recorded()), by.to_owned(), to.to_owned());
            self.transfers.push(TransferCdr { at: w.now.wall, kind, by, to, status: 200, call: None });
        }
    }

    /// A user's phone has refused: where the user has such calls sent, once none of its other phones rings.
    pub fn on_user_refused(&mut self, w: &mut World, index: u8, status: u16) {
        let why = match status {
            486 => Why::Busy,
            408 | 480 => Why::NoAnswer,
            _ => return,
        };
        let Some(Peer::User(name)) = self.legs.get(usize::from(index)).map(|leg| leg.peer.clone()) else { return };
        let Some(forward) = w.availability(&name).map(|own| own.forward) else { return };
        let to = if why == Why::Busy { forward.busy } else { forward.no_answer };
        let (Some(to), true) = (to, self.phones_ringing(&name).is_empty()) else { return };
        let Doing::Dialing(dialing) = &self.doing else { return };
        self.diverting = dialing.forwarded(index).map_or_else(Vec::new, |f| f.by.clone());
        let tracks = self.divert(w, &name, &to, why);
        self.diverting.clear();
        if let (Some(tracks), Doing::Dialing(dialing)) = (tracks, &mut self.doing) {
            let ring = dialing.ring();
            dialing.add(tracks);
            self.set_timer(w, CallTimer::Ring, ring);
        }
    }

    /// Legs at phones of a user that the dial still waits for.
    fn phones_ringing(&self, name: &str) -> Vec<u8> {
        let Doing::Dialing(dialing) = &self.doing else { return Vec::new() };
        let is_one = |leg: &&crate::b2bua::leg::Leg| matches!(&leg.peer, Peer::User(user) if user == name);
        self.legs.iter().filter(is_one).map(|leg| leg.index).filter(|i| dialing.runs(*i)).collect()
    }

    /// A phone begins to be called: how long its user lets it ring.
    pub fn expect_answer(&mut self, w: &mut World, index: u8) {
        let Some(Peer::User(name)) = self.legs.get(usize::from(index)).map(|leg| &leg.peer) else { return };
        let Some(forward) = w.availability(name).map(|own| own.forward) else { return };
        if forward.no_answer.is_some() {
            let after = forward.after;
            self.set_timer(w, CallTimer::NoAnswer(index), after);
        }
    }

    /// Nobody has answered at a user's phones: they stop ringing, and the call goes where the user has it sent.
    pub fn on_no_answer(&mut self, w: &mut World, index: u8) {
        let Some(Peer::User(name)) = self.legs.get(usize::from(index)).map(|leg| leg.peer.clone()) else { return };
        let ringing = self.phones_ringing(&name);
        if !ringing.contains(&index) {
            return;
        }
        for index in ringing {
            self.cancel_timer(w, CallTimer::NoAnswer(index));
            self.with_leg(w, index, |leg, ep, now| leg.hang_up(ep, now, 0, ""));
            self.on_refused(w, index, 480, "");
        }
    }

    /// The dial's time is over: of those legs, one whose user alone rings and forwards what nobody answers.
    pub fn forwards_unanswered(&self, w: &World, ringing: &[u8]) -> Option<u8> {
        let first = *ringing.first()?;
        let Peer::User(name) = &self.legs.get(usize::from(first))?.peer else { return None };
        w.availability(name)?.forward.no_answer?;
        (self.phones_ringing(name).len() == ringing.len()).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_call_is_forwarded_to_is_told_by_policy() {
        let by = |list: &[(&str, Why)]| Forwarded {
            by: list.iter().map(|(user, why)| Diverted { user: (*user).to_owned(), why: *why }).collect(),
            caller_id: None,
            caller_name: None,
        };
        let one = by(&[("bob", Why::Busy)]);
        let two = by(&[("bob", Why::NoAnswer), ("carol", Why::Always)]);
        const BOB: &str = "Diversion: <sip:bob@p>;reason=user-busy;counter=1";
        const HISTORY: &str = "History-Info: <sip:bob@p>;index=1, <sip:9@t;cause=486>;index=1.1;mp=1";
        let rows: [(&Forwarded, Diversions, &[&str]); 5] = [
            (&one, Diversions::Off, &[]),
            (&one, Diversions::Diversion, &[BOB]),
            (&one, Diversions::HistoryInfo, &[HISTORY]),
            (&one, Diversions::Both, &[BOB, HISTORY]),
            (
                &two,
                Diversions::Both,
                &[
                    "Diversion: <sip:carol@p>;reason=unconditional;counter=1",
                    "Diversion: <sip:bob@p>;reason=no-answer;counter=1",
                    "History-Info: <sip:bob@p>;index=1, <sip:carol@p;cause=408>;index=1.1;mp=1, <sip:9@t;cause=302>;index=1.1.1;mp=1.1",
                ],
            ),
        ];
        for (forwarded, told, want) in rows {
            let headers = forwarded.headers(told, "p", "sip:9@t;transport=tcp");
            let lines: Vec<String> = headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
            assert_eq!(lines, want, "{told:?}");
        }
    }
}
