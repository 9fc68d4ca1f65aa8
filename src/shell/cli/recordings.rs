//! `tandem recordings`: what was recorded, decrypted on the way out, mended after a crash. It reads the store and the disk
//! itself, whether a switch runs or not.

use super::args::{Common, RecordingsCommand};
use super::table::{duration, moment, table};
use super::{Sentence, print};
use crate::event::{CallId, RecordingId};
use crate::shell::files;
use crate::shell::recording::{self, Settings, export, folder::OnDisk, recover};
use crate::shell::store::{self, Recordings, Stored};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub fn recordings(common: &Common, command: &RecordingsCommand) -> Result<(), Sentence> {
    let config = files::config(&common.config).map_err(|faults| faults.join("\n"))?;
    let settings = Settings::of(&config);
    let database = store::file(&config.data_dir);
    match command {
        RecordingsCommand::Ls { call, limit } => {
            let call = call.as_ref().map(|c| c.parse::<CallId>().map_err(|()| format!("`{c}` is no call's number")));
            ls(common, &database, call.transpose()?, *limit)
        }
        RecordingsCommand::Export { recording, output } => export(&settings, &database, recording, output.as_deref()),
        RecordingsCommand::Recover => recovered(common, &settings, &database),
    }
}

fn rows(database: &Path) -> Result<Recordings, Sentence> {
    if !database.exists() {
        return Err(format!("there are no recordings yet: {} does not exist", database.display()).into());
    }
    Recordings::open_to_read(database).map_err(|f| recording::sentence(database, &f).into())
}

fn ls(common: &Common, database: &Path, call: Option<CallId>, limit: usize) -> Result<(), Sentence> {
    let listed = rows(database)?.list(call, limit).map_err(|f| recording::sentence(database, &f))?;
    if common.json {
        let values: Vec<_> = listed.iter().map(json).collect();
        print(&format!("{:#}\n", serde_json::json!(values)));
        return Ok(());
    }
    let row = |r: &Stored| {
        let percent = |share: Option<f32>| share.map_or(String::new(), |s| format!("{:.0} %", s * 100.0));
        vec![
            r.id.to_string(),
            r.call.to_string(),
            moment(&r.started.rfc3339()),
            duration(u64::try_from(r.duration.as_micros()).unwrap_or(u64::MAX)),
            format!("{} {}", r.format, if r.channels == 2 { "dual" } else { "mono" }),
            r.bytes.to_string(),
            percent(r.silence),
            percent(r.crosstalk),
            r.key.clone().unwrap_or_default(),
            r.status.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = listed.iter().map(row).collect();
    let heads = ["RECORDING", "CALL", "STARTED", "LASTED", "FORMAT", "BYTES", "SILENCE", "CROSSTALK", "KEY", "STATUS"];
    print(&table(&heads, &rows, "no recordings"));
    Ok(())
}

fn json(r: &Stored) -> serde_json::Value {
    serde_json::json!({
        "recording": r.id.to_string(),
        "call": r.call.to_string(),
        "started": r.started.rfc3339(),
        "duration_us": u64::try_from(r.duration.as_micros()).unwrap_or(u64::MAX),
        "format": r.format,
        "channels": r.channels,
        "rate": r.rate,
        "bytes": r.bytes,
        "sha256": r.sha256,
        "key": r.key,
        "status": r.status,
        "path": r.path,
        "silence": r.silence,
        "crosstalk": r.crosstalk,
    })
}

fn export(settings: &Settings, database: &Path, typed: &str, output: Option<&Path>) -> Result<(), Sentence> {
    let rows = rows(database)?;
    let found = match typed {
        "last" => rows.list(None, 1).map(|mut newest| newest.pop()),
        _ => {
            let id: RecordingId = typed.parse().map_err(|()| format!("`{typed}` is no recording's number (RE…)"))?;
            rows.get(id)
        }
    };
    let row = found.map_err(|f| recording::sentence(database, &f))?;
    let row = row.ok_or_else(|| format!("there is no recording {typed}"))?;
    // Nothing that does not hold is to lie there under the name of what does: the file is made when all of it was checked.
    let written = export::export(settings, &row, || -> Result<Box<dyn Write>, String> {
        let Some(path) = output else { return Ok(Box::new(Patient(std::io::stdout().lock()))) };
        let file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path);
        Ok(Box::new(file.map_err(|e| format!("{}: {}", path.display(), crate::shell::net::describe(&e)))?))
    });
    written.map_err(Sentence::from)
}

/// Whoever reads may stop: `tandem recordings export last | head -c 44` is no failure.
struct Patient<W>(W);

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.write(bytes) {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(bytes.len()),
            result => result,
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush().or_else(|e| if e.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(e) })
    }
}

fn recovered(common: &Common, settings: &Settings, database: &Path) -> Result<(), Sentence> {
    let _lock = OnDisk::open(&settings.folder).map_err(|e| match e.kind() {
        ErrorKind::WouldBlock => "a switch records there: it has recovered what was left when it started".to_owned(),
        _ => format!("{}: {}", settings.folder.display(), crate::shell::net::describe(&e)),
    })?;
    let mut rows = Recordings::open(database).map_err(|f| recording::sentence(database, &f))?;
    let found = recover::recover(settings, &mut rows);
    let mended: Vec<&Stored> = found.iter().filter_map(|(_, result)| result.as_ref().ok()).collect();
    if common.json {
        let values: Vec<_> = mended.iter().map(|r| json(r)).collect();
        print(&format!("{:#}\n", serde_json::json!(values)));
    } else {
        let line = |r: &&Stored| format!("{} recovered: {:.1} s of call {}\n", r.id, r.duration.as_secs_f32(), r.call);
        let lines: String = mended.iter().map(line).collect();
        print(if lines.is_empty() { "nothing to recover\n" } else { &lines });
    }
    let faults: Vec<String> = found
        .iter()
        .filter_map(|(path, result)| Some(format!("{}: {}", path.display(), result.as_ref().err()?)))
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n").into()) }
}
