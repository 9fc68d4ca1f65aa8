//! What happened, as an ASCII ladder: one column a party.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use tandem::base::time::Instant;

pub struct Rung {
    pub at: Instant,
    pub from: String,
    pub to: String,
    pub text: String,
    pub call_id: String,
    /// How it came off: "" sent, "lost", "twice".
    pub fate: &'static str,
}

#[derive(Default)]
pub struct Ladder {
    pub rungs: Vec<Rung>,
    /// Registrations and pings are drawn too.
    pub whole: bool,
}

const WIDTH: usize = 26;
const RUNGS_MAX: usize = 400;

impl Ladder {
    pub fn note(&mut self, at: Instant, text: String) {
        self.rungs.push(Rung { at, from: String::new(), to: String::new(), text, call_id: String::new(), fate: "" });
    }

    /// The legs that live while the leg of `call_id` lives, with the notes; all rungs if `call_id` is "".
    pub fn draw(&self, call_id: &str) -> String {
        let of_call = |r: &&Rung| call_id.is_empty() || r.call_id == call_id;
        let (first, last) = match (self.rungs.iter().find(of_call), self.rungs.iter().rfind(of_call)) {
            (Some(a), Some(b)) => (a.at, b.at),
            _ => (Instant::ZERO, Instant::from_micros(u64::MAX)),
        };
        let shown: Vec<&Rung> = self
            .rungs
            .iter()
            .filter(|r| r.at >= first && r.at <= last && (r.call_id == call_id || !is_background(r) || self.whole))
            .collect();
        let mut columns: Vec<&str> = Vec::new();
        let names: BTreeSet<&str> =
            shown.iter().flat_map(|r| [r.from.as_str(), r.to.as_str()]).filter(|n| !n.is_empty()).collect();
        let (nodes, peers): (Vec<&str>, Vec<&str>) =
            names.into_iter().partition(|n| n.starts_with("node") || *n == "tandem");
        let half = peers.len().div_ceil(2);
        columns.extend(&peers[..half]);
        columns.extend(&nodes);
        columns.extend(&peers[half..]);
        let mut out = String::from("            ");
        for c in &columns {
            let _ = write!(out, "{c:^WIDTH$}");
        }
        out.push('\n');
        let skipped = if call_id.is_empty() { 0 } else { shown.len().saturating_sub(RUNGS_MAX) };
        if skipped > 0 {
            let _ = writeln!(out, "  … {skipped} rungs left out");
        }
        for r in shown.iter().skip(skipped) {
            out += &draw_rung(r, &columns);
        }
        out
    }
}

fn is_background(r: &Rung) -> bool {
    r.text.contains("REGISTER") || r.text.contains("OPTIONS") || r.call_id.starts_with("noise")
}

fn draw_rung(r: &Rung, columns: &[&str]) -> String {
    let time = format!("{:>10.3}  ", r.at.as_micros() as f64 / 1e6);
    let place = |name: &str| columns.iter().position(|c| *c == name);
    let (Some(from), Some(to)) = (place(&r.from), place(&r.to)) else {
        return format!("{time}== {}\n", r.text);
    };
    let middle = |c: usize| c * WIDTH + WIDTH / 2;
    let (a, b) = (middle(from.min(to)), middle(from.max(to)));
    let mut line: Vec<char> = vec![' '; columns.len() * WIDTH];
    for c in 0..columns.len() {
        line[middle(c)] = '|';
    }
    line[a + 1..b].fill('-');
    if from < to {
        line[b - 1] = '>';
    } else {
        line[a + 1] = '<';
    }
    let text: Vec<char> = format!(" {} ", r.text).chars().take(b - a - 4).collect();
    let start = a + (b - a - text.len()) / 2;
    line[start..start + text.len()].copy_from_slice(&text);
    let drawn: String = line.into_iter().collect();
    let leg: String = r.call_id.chars().take(6).collect();
    format!("{time}{}  {leg} {}\n", drawn.trim_end(), r.fate)
}
