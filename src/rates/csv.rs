//! A rate card as carriers send it: CSV with a line of names (RFC 4180), commas or semicolons.

use super::{Card, Money, Rate};
use crate::base::time::Wall;
use crate::base::yaml::{Fault, Position, nearest};
use crate::verb::{Hours, parse_moment};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows of one card.
pub const ROWS_MAX: usize = 1_000_000;
/// Faults that are told of one card.
pub const FAULTS_MAX: usize = 20;

const COLUMNS: [&str; 9] =
    ["prefix", "price", "name", "setup", "minimum", "increment", "hours", "valid_from", "valid_to"];

/// A field and the column, from 1, at which it begins.
type Field = (u32, String);

struct Reading<'a> {
    file: Arc<str>,
    zone: &'a str,
    faults: Vec<Fault>,
    /// Hours that were read before, by their text.
    hours: BTreeMap<String, Arc<Hours>>,
}

impl Card {
    /// Reads a card; `file` stands in faults, `zone` is that of the hours.
    pub fn read(file: &str, text: &str, zone: &str) -> Result<Card, Vec<Fault>> {
        let mut reading = Reading { file: file.into(), zone, faults: Vec::new(), hours: BTreeMap::new() };
        let mut lines = (1u32..).zip(text.trim_start_matches('\u{feff}').lines());
        let mut lines = lines.by_ref().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
        let Some((at, head)) = lines.next() else {
            return Err(vec![reading.fault_at(
                0,
                0,
                "the rate card is empty".into(),
                "expected a line of column names",
            )]);
        };
        let separator = if head.contains(';') { ';' } else { ',' };
        let columns = reading.columns(at, &split(head, separator));
        let mut card = Card::default();
        for (line, text) in lines {
            if reading.faults.len() >= FAULTS_MAX {
                break;
            }
            if card.rows() >= ROWS_MAX {
                reading.fault(line, 1, format!("more than {ROWS_MAX} rates"), "expected fewer");
                break;
            }
            if let Some(rate) = reading.rate(line, &columns, &split(text, separator)) {
                card.add(rate);
            }
        }
        if reading.faults.is_empty() { Ok(card) } else { Err(reading.faults) }
    }
}

impl Reading<'_> {
    fn fault_at(&self, line: u32, column: u32, what: String, expected: &str) -> Fault {
        Fault { file: Arc::clone(&self.file), at: Position { line, column }, what, expected: expected.into() }
    }

    fn fault(&mut self, line: u32, column: u32, what: String, expected: &str) {
        let fault = self.fault_at(line, column, what, expected);
        self.faults.push(fault);
    }

    /// Each column's name.
    fn columns(&mut self, line: u32, head: &[Field]) -> Vec<Option<&'static str>> {
        let mut columns = Vec::new();
        for (at, name) in head {
            let name = name.trim().to_ascii_lowercase();
            let known = COLUMNS.into_iter().find(|c| *c == name);
            if known.is_none() {
                let hint = nearest(&name, COLUMNS)
                    .map_or(format!("expected some of {}", COLUMNS.join(", ")), |n| format!("did you mean \"{n}\"?"));
                self.fault(line, *at, format!("unknown column \"{name}\""), &hint);
            } else if columns.contains(&known) {
                self.fault(line, *at, format!("the column {name} stands twice"), "expected each once");
            }
            columns.push(known);
        }
        for needed in ["prefix", "price"] {
            if self.faults.is_empty() && !columns.contains(&Some(needed)) {
                self.fault(line, 1, format!("no column {needed}"), "expected prefix and price at least");
            }
        }
        columns
    }

    fn rate(&mut self, line: u32, columns: &[Option<&'static str>], fields: &[Field]) -> Option<Rate> {
        if fields.len() > columns.len() {
            let at = fields.get(columns.len()).map_or(1, |f| f.0);
            self.fault(line, at, format!("{} fields", fields.len()), &format!("expected {}", columns.len()));
            return None;
        }
        let before = self.faults.len();
        let mut rate = Rate {
            prefix: String::new(),
            name: String::new(),
            price: Money(0),
            setup: Money(0),
            minimum_s: 0,
            increment_s: 1,
            hours: None,
            valid_from: None,
            valid_to: None,
            line,
        };
        let mut has_price = false;
        for ((at, text), column) in fields.iter().zip(columns) {
            let text = text.trim();
            let Some(column) = column.filter(|_| !text.is_empty()) else { continue };
            has_price |= column == "price";
            if let Err((what, expected)) = self.put(&mut rate, column, text) {
                self.fault(line, *at, what, expected);
            }
        }
        if !has_price && self.faults.len() == before {
            self.fault(line, 1, "a rate without a price".into(), "expected one such as 0.0125");
        }
        (self.faults.len() == before).then_some(rate)
    }

    fn put(&mut self, rate: &mut Rate, column: &str, text: &str) -> Result<(), (String, &'static str)> {
        let wrong = |expected: &'static str| move || (format!("{column}: \"{text}\""), expected);
        let money =
            || Money::parse(text).ok_or_else(wrong("expected an amount such as 0.0125, of at most six decimals"));
        let seconds = |from: u32| {
            let read = text.parse::<u32>().ok().filter(|s| (from..=86_400).contains(s));
            read.ok_or_else(wrong("expected seconds, at most 86400"))
        };
        let moment = || moment(text).ok_or_else(wrong("expected a day such as 2026-12-01, or a moment with its zone"));
        match column {
            "prefix" => {
                let digits = text.strip_prefix('+').unwrap_or(text);
                let is_prefix = !digits.is_empty() && digits.len() <= 32 && digits.bytes().all(|b| b.is_ascii_digit());
                rate.prefix =
                    is_prefix.then(|| digits.to_owned()).ok_or_else(wrong("expected leading digits such as 1212"))?;
            }
            "price" => rate.price = money()?,
            "setup" => rate.setup = money()?,
            "minimum" => rate.minimum_s = seconds(0)?,
            "increment" => rate.increment_s = seconds(1)?,
            "valid_from" => rate.valid_from = Some(moment()?),
            "valid_to" => rate.valid_to = Some(moment()?),
            "hours" => {
                rate.hours = Some(self.hours(text).map_err(|e| (e, "expected hours such as mon-fri 08:00-18:00"))?)
            }
            _ => text.clone_into(&mut rate.name),
        }
        Ok(())
    }

    fn hours(&mut self, text: &str) -> Result<Arc<Hours>, String> {
        if let Some(known) = self.hours.get(text) {
            return Ok(Arc::clone(known));
        }
        let hours = Arc::new(Hours::parse(text, self.zone)?);
        self.hours.insert(text.to_owned(), Arc::clone(&hours));
        Ok(hours)
    }
}

/// A day begins at midnight UTC.
fn moment(text: &str) -> Option<Wall> {
    let is_day = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if is_day { parse_moment(&format!("{text}T00:00:00Z")).ok() } else { parse_moment(text).ok() }
}

/// Fields of a line; within quotation marks the separator is text, and two of them are one.
fn split(line: &str, separator: char) -> Vec<Field> {
    let mut fields = vec![(1, String::new())];
    let (mut quoted, mut chars) = (false, (1u32..).zip(line.chars()).peekable());
    while let Some((at, c)) = chars.next() {
        let Some((_, field)) = fields.last_mut() else { break };
        match c {
            '"' if quoted && chars.next_if(|(_, next)| *next == '"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            c if c == separator && !quoted => fields.push((at + 1, String::new())),
            c => field.push(c),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_as_rfc_4180_says() {
        for (line, want) in [
            ("a,b", vec![(1, "a"), (3, "b")]),
            ("a,,c", vec![(1, "a"), (3, ""), (4, "c")]),
            ("\"a,b\",c", vec![(1, "a,b"), (7, "c")]),
            ("\"say \"\"hi\"\"\"", vec![(1, "say \"hi\"")]),
        ] {
            let got = split(line, ',');
            assert_eq!(got.iter().map(|(at, t)| (*at, t.as_str())).collect::<Vec<_>>(), want);
        }
    }

    #[test]
    fn faults_say_where_they_are() {
        for (text, want) in [
            ("", "c.csv: the rate card is empty; expected a line of column names"),
            ("prefix,prize\n", "c.csv:1:8: unknown column \"prize\"; did you mean \"price\"?"),
            ("prefix,name\n", "c.csv:1:1: no column price; expected prefix and price at least"),
            ("prefix,price,price\n", "c.csv:1:14: the column price stands twice; expected each once"),
            (
                "prefix,price\n1,x\n",
                "c.csv:2:3: price: \"x\"; expected an amount such as 0.0125, of at most six decimals",
            ),
            ("prefix,price\n\n# all\nab,1\n", "c.csv:4:1: prefix: \"ab\"; expected leading digits such as 1212"),
            ("prefix,price\n1\n", "c.csv:2:1: a rate without a price; expected one such as 0.0125"),
            ("prefix,price\n1,1,1\n", "c.csv:2:5: 3 fields; expected 2"),
            ("prefix;price;increment\n1;1;0\n", "c.csv:2:5: increment: \"0\"; expected seconds, at most 86400"),
            (
                "prefix,price,valid_from\n1,1,soon\n",
                "c.csv:2:5: valid_from: \"soon\"; expected a day such as 2026-12-01, or a moment with its zone",
            ),
        ] {
            let faults = Card::read("c.csv", text, "UTC").expect_err(text);
            let got = faults.first().map(ToString::to_string).unwrap_or_default();
            assert!(got.contains(want), "{got}\n{want}");
        }
        let faults = Card::read("c.csv", "prefix,price,hours\n1,1,fredag\n", "UTC").expect_err("hours");
        assert_eq!(faults.first().map(|f| (f.at.line, f.at.column)), Some((2, 5)));
        let many = "x,1\n".repeat(1_000);
        assert_eq!(
            Card::read("c.csv", &format!("prefix,price\n{many}"), "UTC").map_err(|f| f.len()).err(),
            Some(FAULTS_MAX)
        );
    }
}
