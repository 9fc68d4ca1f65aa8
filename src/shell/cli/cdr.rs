//! `tandem cdr`: records out of the store itself, whether a switch runs or not.

use super::args::{Cdr, CdrCommand, Common, ExportFormat, Filter};
use super::table::{duration, moment, table};
use super::{Sentence, print};
use crate::shell::files;
use crate::shell::store::{self, Broken, CdrView, Format, Reader, export};
use std::io::{BufWriter, ErrorKind, stdout};

/// The store of the configuration, for reading.
pub fn reader(common: &Common) -> Result<Reader, Sentence> {
    let config = files::config(&common.config).map_err(|faults| faults.join("\n"))?;
    let path = store::file(&config.data_dir);
    if !path.exists() {
        return Err(format!("there are no records yet: {} does not exist", path.display()).into());
    }
    Reader::open(&path).map_err(|f| f.to_string().into())
}

fn filter(typed: &Filter) -> Result<store::Filter, Sentence> {
    let mut filter = store::Filter::default();
    let fields = [
        ("since", &typed.since),
        ("until", &typed.until),
        ("from", &typed.caller),
        ("to", &typed.called),
        ("trunk", &typed.trunk),
        ("user", &typed.user),
        ("class", &typed.class),
        ("reason", &typed.reason),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            filter.set(name, value)?;
        }
    }
    Ok(filter)
}

pub fn cdr(common: &Common, typed: &Cdr) -> Result<(), Sentence> {
    match &typed.command {
        CdrCommand::Ls { filter: typed, limit } => {
            let page = reader(common)?.list(&filter(typed)?, None, *limit).map_err(|f| f.to_string())?;
            if common.json {
                print(&format!("{:#}\n", serde_json::json!(page.cdrs)));
            } else {
                print(&list(&page.cdrs));
            }
            Ok(())
        }
        CdrCommand::Export { filter: typed, format } => {
            let format = match format {
                ExportFormat::Jsonl => Format::Jsonl,
                ExportFormat::Csv => Format::Csv,
            };
            match export(&reader(common)?, &filter(typed)?, format, BufWriter::new(stdout().lock())) {
                Ok(_) => Ok(()),
                Err(Broken::Write(e)) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
                Err(Broken::Write(e)) => Err(format!("could not write: {e}").into()),
                Err(Broken::Store(fault)) => Err(fault.to_string().into()),
            }
        }
    }
}

fn list(cdrs: &[CdrView]) -> String {
    let row = |c: &CdrView| {
        let ending = format!("{}: {}", c.ending.class, c.ending.reason);
        let via = c.trunk.as_ref().or(c.user.as_ref()).cloned().unwrap_or_default();
        vec![
            c.call.clone(),
            moment(&c.started),
            c.from.clone(),
            c.to.clone(),
            via,
            duration(c.duration_us),
            duration(c.billable_us),
            ending,
        ]
    };
    let rows: Vec<Vec<String>> = cdrs.iter().map(row).collect();
    table(&["CALL", "STARTED", "FROM", "TO", "VIA", "LASTED", "TALKED", "ENDING"], &rows, "no records")
}
