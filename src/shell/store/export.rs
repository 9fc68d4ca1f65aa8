//! Records as JSON lines (RFC 8259 objects, one a line) or CSV (RFC 4180), streamed.

use super::view::CdrView;
use super::{Fault, Filter, Reader};
use std::io::{self, Write};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Jsonl,
    Csv,
}

/// The record's own columns; the legs' number, codecs and worst quality stand at the end.
const HEADER: &str = "call,node,from,to,trunk,user,context,rule,started,answered,ended,duration_us,billable_us,\
    post_dial_delay_us,class,reason,status,legs,last_peer,codec,mos_min,packets_lost\r\n";

/// The database's fault, or the reader's who went away.
pub enum Broken {
    Store(Fault),
    Write(io::Error),
}

impl From<Fault> for Broken {
    fn from(f: Fault) -> Broken {
        Broken::Store(f)
    }
}

impl From<io::Error> for Broken {
    fn from(e: io::Error) -> Broken {
        Broken::Write(e)
    }
}

/// Writes the records that the filter chooses, the oldest first; how many.
pub fn export(reader: &Reader, filter: &Filter, format: Format, mut out: impl Write) -> Result<u64, Broken> {
    write_cdrs(&[], format, &mut out)?;
    let mut n = 0;
    reader.each(filter, |cdr| -> Result<(), Broken> {
        n += 1;
        Ok(write_cdr(cdr, format, &mut out)?)
    })?;
    out.flush()?;
    Ok(n)
}

/// Writes records that are at hand, below CSV's header.
pub fn write_cdrs(cdrs: &[CdrView], format: Format, out: &mut impl Write) -> io::Result<()> {
    if format == Format::Csv {
        out.write_all(HEADER.as_bytes())?;
    }
    cdrs.iter().try_for_each(|cdr| write_cdr(cdr, format, out))
}

fn write_cdr(cdr: &CdrView, format: Format, out: &mut impl Write) -> io::Result<()> {
    match format {
        Format::Jsonl => {
            serde_json::to_writer(&mut *out, cdr).map_err(io::Error::from)?;
            out.write_all(b"\n")
        }
        Format::Csv => write_csv(cdr, out),
    }
}

fn write_csv(cdr: &CdrView, out: &mut impl Write) -> io::Result<()> {
    let number = |n: Option<u64>| n.map_or_else(String::new, |n| n.to_string());
    let qualities = || cdr.legs.iter().filter_map(|l| l.quality.as_ref());
    let mos = qualities().filter_map(|q| q.mos).fold(f32::INFINITY, f32::min);
    let legs = cdr.legs.len().to_string();
    let (duration, billable) = (cdr.duration_us.to_string(), cdr.billable_us.to_string());
    let (delay, status) = (number(cdr.post_dial_delay_us), cdr.ending.status.to_string());
    let lost = number(qualities().map(|q| q.packets_lost).reduce(|a, b| a + b));
    let mos = if mos.is_finite() { format!("{mos:.2}") } else { String::new() };
    let text = |t: &'_ Option<String>| t.clone().unwrap_or_default();
    let (trunk, user, answered) = (text(&cdr.trunk), text(&cdr.user), text(&cdr.answered));
    let codec = cdr.legs.iter().find_map(|l| l.codec.as_deref()).unwrap_or_default();
    let last = cdr.legs.last().map_or("", |l| &l.peer);
    let fields = [
        &cdr.call,
        &cdr.node,
        &cdr.from,
        &cdr.to,
        &trunk,
        &user,
        &cdr.context,
        &cdr.rule,
        &cdr.started,
        &answered,
        &cdr.ended,
        &duration,
        &billable,
        &delay,
        &cdr.ending.class,
        &cdr.ending.reason,
        &status,
        &legs,
    ];
    let fields = fields.iter().map(|f| f.as_str()).chain([last, codec, &mos, &lost]);
    for (i, field) in fields.enumerate() {
        if i > 0 {
            out.write_all(b",")?;
        }
        write_field(field, out)?;
    }
    out.write_all(b"\r\n")
}

/// Quoted where RFC 4180 needs it. A field that a spreadsheet would run as a formula is quoted by an apostrophe; a number
/// with its plus sign is none.
fn write_field(field: &str, out: &mut impl Write) -> io::Result<()> {
    let is_number = field.strip_prefix(['+', '-']).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
    let guard = if field.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number { "'" } else { "" };
    if field.contains(['"', ',', '\r', '\n']) {
        write!(out, "\"{guard}{}\"", field.replace('"', "\"\""))
    } else {
        write!(out, "{guard}{field}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_fields_are_quoted_and_formulas_disarmed() {
        let rows = [
            ("plain", "plain"),
            ("", ""),
            ("+14155550100", "+14155550100"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "'=1+1"),
            ("+cmd|x", "'+cmd|x"),
        ];
        for (field, want) in rows {
            let mut out = Vec::new();
            write_field(field, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }
}
