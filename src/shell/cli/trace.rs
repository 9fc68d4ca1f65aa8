//! `tandem trace`: a call's timeline as a ladder.

use super::args::Common;
use super::live::{client, plain};
use super::table::duration;
use super::{Sentence, print};
use crate::shell::client::Refusal;
use crate::shell::store::{CdrView, EntryView, LegView, TimelineView};
use serde::Deserialize;
use serde_json::json;
use std::fmt::Write;

#[cfg(test)]
mod tests;

/// A call as the API gives it.
#[derive(Deserialize, Debug)]
pub struct Traced {
    pub live: bool,
    pub state: String,
    pub cdr: CdrView,
    pub timeline: TimelineView<'static>,
}

pub fn trace(common: &Common, call: &str) -> Result<(), Sentence> {
    let value = match client(common)?.get(&format!("/tandem/v1/calls/{}", plain(call)?)) {
        // A switch that is down has left its records.
        Err(Refusal::Unreachable(why)) if common.api.is_none() => stored(common, call, &why)?,
        answered => answered?,
    };
    if common.json {
        print(&format!("{value:#}\n"));
        return Ok(());
    }
    let traced: Traced = serde_json::from_value(value).map_err(|e| format!("the answer cannot be read: {e}"))?;
    print(&ladder(&traced));
    Ok(())
}

fn stored(common: &Common, call: &str, why: &str) -> Result<serde_json::Value, Sentence> {
    let reader = super::cdr::reader(common).map_err(|_| Sentence::from(why))?;
    let fault = |f: crate::shell::store::Fault| f.to_string();
    let id = match call {
        "last" => reader.last().map_err(fault)?.ok_or("there is no call yet")?,
        name => name.parse().map_err(|()| format!("`{name}` is no call: CA and 32 hexadecimal digits, or `last`"))?,
    };
    let found = reader.call(id).map_err(fault)?.ok_or_else(|| format!("there is no call {id}"))?;
    Ok(json!({ "live": false, "state": "ended", "cdr": found.cdr, "timeline": found.timeline }))
}

/// From one column's bar to the next.
const COLUMN: usize = 30;
/// Before the first bar: the time.
const MARGIN: usize = 12;

/// The picture: the caller's bar, Tandem's, then one for each leg called.
pub fn ladder(traced: &Traced) -> String {
    let cdr = &traced.cdr;
    let mut out = String::new();
    let via = match (&cdr.trunk, &cdr.user) {
        (Some(trunk), _) => format!(" by trunk {trunk}"),
        (_, Some(user)) => format!(" by user {user}"),
        _ => String::new(),
    };
    // Writing into a String does not fail.
    let _ = writeln!(out, "{}  {} -> {}{via}", cdr.call, cdr.from, cdr.to);
    let rule = if cdr.rule.is_empty() { "no rule" } else { &cdr.rule };
    let _ = writeln!(out, "{}  node {}, context {}, rule {rule}\n", traced.timeline.started, cdr.node, cdr.context);
    let last_leg = traced.timeline.entries.iter().filter_map(|e| e.leg).max().unwrap_or(0);
    let legs = cdr.legs.len().max(usize::from(last_leg) + 1);
    let picture = Picture { bars: legs + 1 };
    out.push_str(&picture.header(&cdr.legs));
    for entry in &traced.timeline.entries {
        out.push_str(&picture.entry(entry));
    }
    if traced.timeline.dropped > 0 {
        let _ = writeln!(out, "{:>MARGIN$}{} more found no room", "", traced.timeline.dropped);
    }
    out.push('\n');
    out.push_str(&summary(traced));
    out
}

struct Picture {
    bars: usize,
}

impl Picture {
    const fn at(bar: usize) -> usize {
        MARGIN + bar * COLUMN
    }

    /// Tandem stands between the caller's leg and the others.
    fn bar_of(leg: u8) -> usize {
        if leg == 0 { 0 } else { usize::from(leg) + 1 }
    }

    fn header(&self, legs: &[LegView]) -> String {
        let mut line = vec![' '; Self::at(self.bars)];
        let mut name = |bar: usize, text: &str| {
            let text = shorten(text, COLUMN - 2);
            let start = Self::at(bar).saturating_sub(text.chars().count() / 2);
            text.chars().enumerate().for_each(|(i, c)| line[start + i] = c);
        };
        name(1, "Tandem");
        for (leg, view) in legs.iter().enumerate() {
            name(Self::bar_of(u8::try_from(leg).unwrap_or(u8::MAX)), &view.peer);
        }
        format!("{}\n", line.iter().collect::<String>().trim_end())
    }

    fn bars(&self, time: &str) -> Vec<char> {
        let mut line = vec![' '; Self::at(self.bars - 1) + 1];
        (0..self.bars).for_each(|bar| line[Self::at(bar)] = '|');
        let time = format!("{time:>width$}", width = MARGIN - 2);
        time.chars().enumerate().take(MARGIN).for_each(|(i, c)| line[i] = c);
        line
    }

    fn entry(&self, entry: &EntryView<'_>) -> String {
        let mut line = self.bars(&format!("{}.{:01}", entry.at_us / 1_000, entry.at_us / 100 % 10));
        let leg = entry.leg.map(Self::bar_of);
        match (&*entry.kind, leg) {
            ("received", Some(bar)) => arrow(&mut line, bar, 1, &sip(entry)),
            ("sent", Some(bar)) => arrow(&mut line, 1, bar, &sip(entry)),
            _ => {
                line.truncate(Self::at(1) + 1);
                let whose = entry.leg.map_or(String::new(), |leg| format!(" (leg {leg})"));
                let place = entry.place.as_ref().map_or(String::new(), |p| format!("  [{p}]"));
                line.extend(format!(" {}: {}{place}{whose}", entry.kind, entry.text).chars());
            }
        }
        format!("{}\n", line.iter().collect::<String>().trim_end())
    }
}

/// The start line with its CSeq where it tells something.
fn sip(entry: &EntryView<'_>) -> String {
    entry.cseq.map_or_else(|| entry.text.to_string(), |cseq| format!("{} ({cseq})", entry.text))
}

/// Draws `|--- label --->|` between two bars, either way.
fn arrow(line: &mut [char], from: usize, to: usize, label: &str) {
    let (left, right) = (Picture::at(from.min(to)), Picture::at(from.max(to)));
    let Some(shaft) = line.get_mut(left + 1..right) else { return };
    shaft.fill('-');
    let label: Vec<char> = format!(" {} ", shorten(label, shaft.len().saturating_sub(6))).chars().collect();
    let start = (shaft.len() - label.len().min(shaft.len())) / 2;
    label.iter().zip(shaft.iter_mut().skip(start)).for_each(|(c, place)| *place = *c);
    let head = if from < to { shaft.last_mut().map(|c| (c, '>')) } else { shaft.first_mut().map(|c| (c, '<')) };
    if let Some((place, c)) = head {
        *place = c;
    }
}

/// At most `max` characters; a CSeq at the end is kept.
fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.into();
    }
    let tail = text.rfind(" (").map_or("", |at| &text[at..]);
    let room = max.saturating_sub(tail.chars().count() + 2);
    text.chars().take(room).chain("..".chars()).chain(tail.chars()).collect()
}

fn summary(traced: &Traced) -> String {
    let cdr = &traced.cdr;
    let mut out = String::new();
    let _ = if traced.live {
        writeln!(out, "goes on: {}", traced.state)
    } else {
        let EndingText(ending) = EndingText::new(cdr);
        writeln!(out, "ended by {ending}, after {}, talked {}", duration(cdr.duration_us), duration(cdr.billable_us))
    };
    if let Some(delay) = cdr.post_dial_delay_us {
        let _ = writeln!(out, "post-dial delay {}.{:03} ms", delay / 1_000, delay % 1_000);
    }
    for t in &cdr.transfers {
        let other = t.call.as_deref().map_or(String::new(), |call| format!(", with {call}"));
        let _ = writeln!(out, "transfer ({}): by {} to {} at {}, status {}{other}", t.kind, t.by, t.to, t.at, t.status);
    }
    if let Some(i) = &cdr.identity {
        let said = [("verstat", &i.verstat), ("attested", &i.attest), ("fault", &i.why), ("signed", &i.signed)];
        let said = said.iter().filter_map(|(name, text)| Some(format!("{name} {}", text.as_ref()?)));
        let _ = writeln!(out, "identity: {}", said.collect::<Vec<_>>().join(", "));
    }
    for (n, leg) in cdr.legs.iter().enumerate() {
        let codec = leg.codec.as_deref().map_or(String::new(), |c| format!(", {c}"));
        let _ = writeln!(out, "leg {n}: {} {}, {}, status {}{codec}", leg.direction, leg.peer, leg.flow, leg.status);
        if let Some(q) = &leg.quality {
            let mos = q.mos.map_or(String::new(), |m| format!(", MOS {m:.2}"));
            let trip = q.round_trip_ms.map_or(String::new(), |ms| format!(", round trip {ms:.1} ms"));
            let _ = writeln!(
                out,
                "       received {} packets ({} lost, {} refused), sent {}, jitter {:.1} ms (at most {:.1}){trip}{mos}",
                q.packets_received, q.packets_lost, q.packets_refused, q.packets_sent, q.jitter_ms, q.jitter_ms_max
            );
            if let (Some(share), Some(ms)) = (q.concealed, q.buffer_ms) {
                let _ = writeln!(
                    out,
                    "       decoded: {:.2} % of it made up, {:.2} % cut off, {} packets late, {} skipped, waited {ms:.1} ms (at most {:.1})",
                    share * 100.0,
                    q.clipped.unwrap_or(0.0) * 100.0,
                    q.packets_late,
                    q.packets_overflow,
                    q.buffer_ms_max.unwrap_or(ms)
                );
            }
        }
    }
    out
}

struct EndingText(String);

impl EndingText {
    fn new(cdr: &CdrView) -> EndingText {
        let e = &cdr.ending;
        EndingText(match e.status {
            0 => format!("{}: {}", e.class, e.reason),
            status => format!("{}: {} ({status})", e.class, e.reason),
        })
    }
}
