//! Recordings: of an account, of one call or of one conference; started, paused and stopped, read, heard, removed.

use super::answer::{Failure, Paging, created, date, gone, ok};
use super::{Ask, Rest, calls};
use crate::base::time::Wall;
use crate::event::{CallId, RecordingId};
use crate::shell::clock::wall;
use crate::shell::recording::export;
use crate::shell::store::{Recordings, Stored};
use crate::switch::{Operator, Reply};
use crate::verb::{Channels, RecordCall};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

/// Sound is read whole into memory: longer recordings are for `tandem recordings export`.
const SOUND_MAX: u64 = 256 * 1024 * 1024;

/// What recordings are asked of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Of {
    Account,
    Call(CallId),
    /// By its number.
    Conference(u128),
}

/// What is shown of a recording, live or kept.
struct Shown {
    id: RecordingId,
    call: CallId,
    conference: Option<u128>,
    started: Wall,
    status: &'static str,
    /// In seconds.
    duration: Option<String>,
    channels: u8,
}

impl Shown {
    fn live(id: RecordingId, call: CallId, status: &'static str, channels: u8) -> Shown {
        Shown { id, call, conference: None, started: wall(), status, duration: None, channels }
    }
}

impl From<&Stored> for Shown {
    fn from(r: &Stored) -> Shown {
        let seconds = r.duration.as_millis().div_ceil(1_000);
        let status = if r.status == "failed" { "absent" } else { "completed" };
        let (duration, Stored { id, call, conference, started, channels, .. }) = (Some(seconds.to_string()), r);
        Shown {
            id: *id,
            call: *call,
            conference: *conference,
            started: *started,
            status,
            duration,
            channels: *channels,
        }
    }
}

/// Below its call or its conference a few fields differ.
fn show(account: &str, of: Of, shown: &Shown) -> Value {
    let Shown { id, call, conference, started, status, duration, channels } = shown;
    let base = format!("/2010-04-01/Accounts/{account}");
    let own = format!("{base}/Recordings/{id}");
    let conference = conference.map(|sid| format!("CF{sid:032x}"));
    let source = if conference.is_some() { "Conference" } else { "StartCallRecordingAPI" };
    let mut body = json!({
        "account_sid": account, "api_version": "2010-04-01", "call_sid": call.to_string(), "conference_sid": conference,
        "sid": id.to_string(), "channels": channels, "date_created": date(*started), "date_updated": date(*started),
        "start_time": date(*started), "duration": duration, "price": null, "price_unit": "USD",
        "source": source, "status": status, "error_code": null, "encryption_details": null,
    });
    if let Of::Call(_) = of {
        body["uri"] = format!("{base}/Calls/{call}/Recordings/{id}.json").into();
        body["track"] = "both".into();
    } else if let Of::Conference(sid) = of {
        body["uri"] = format!("{base}/Conferences/CF{sid:032x}/Recordings/{id}.json").into();
    } else {
        body["uri"] = format!("{own}.json").into();
        body["media_url"] = format!("http://api.twilio.com{own}").into();
        body["subresource_uris"] = json!({
            "add_on_results": format!("{own}/AddOnResults.json"),
            "transcriptions": format!("{own}/Transcriptions.json"),
        });
    }
    body
}

pub async fn answer(rest: &Rest, ask: &Ask, of: Of, parts: &[&str], media: Option<&str>) -> Result<Response, Failure> {
    match (parts, ask.method.clone(), media) {
        ([], Method::GET, None) => list(rest, ask, of).await,
        ([], Method::POST, None) if let Of::Call(call) = of => start(rest, ask, call).await,
        ([id], Method::GET, Some(kind)) => sound(rest, ask, id, kind.to_owned()).await,
        ([id], Method::GET, None) => {
            let row = find(rest, ask, of, id).await?;
            Ok(ok(&show(&ask.account, of, &Shown::from(&row))))
        }
        ([id], Method::POST, None) if let Of::Call(call) = of => change(rest, ask, call, id).await,
        ([id], Method::DELETE, None) => remove(rest, ask, of, id).await,
        ([] | [_], _, _) => Err(Failure::method()),
        _ => Err(ask.not_found()),
    }
}

/// The call that a path names.
pub fn of_call(ask: &Ask, call: &str) -> Result<Of, Failure> {
    call.parse().map(Of::Call).map_err(|()| ask.not_found())
}

/// Asks the recordings' rows on a thread that may wait.
async fn rows<T, F>(rest: &Rest, ask: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce(&mut Recordings) -> Result<T, Failure> + Send + 'static,
{
    let path = rest.api.store.clone();
    let done = tokio::task::spawn_blocking(move || ask(&mut Recordings::open(&path)?)).await;
    done.map_err(|_| Failure::unavailable("the store's thread broke off"))?
}

async fn list(rest: &Rest, ask: &Ask, of: Of) -> Result<Response, Failure> {
    let paging = Paging::read(&ask.query)?;
    let wanted = match (of, ask.query.some("CallSid"), ask.query.some("ConferenceSid")) {
        (Of::Call(call), ..) => {
            calls::fetch(rest, ask, call).await?;
            of
        }
        (Of::Account, Some(text), _) => match text.parse() {
            Ok(call) => Of::Call(call),
            Err(()) => return Err(Failure::parameter("CallSid", text, "CA and 32 hexadecimal digits")),
        },
        (Of::Account, None, Some(text)) => match conference_number(text) {
            Some(sid) => Of::Conference(sid),
            None => return Err(Failure::parameter("ConferenceSid", text, "CF and 32 hexadecimal digits")),
        },
        _ => of,
    };
    let account = ask.account.clone();
    let most = paging.offset() + paging.limit();
    let offset = paging.offset();
    let look = move |rows: &mut Recordings| {
        Ok(match wanted {
            Of::Account => rows.list(None, most)?,
            Of::Call(call) => rows.list(Some(call), most)?,
            Of::Conference(sid) => rows.of_conference(sid, most)?,
        })
    };
    let found = rows(rest, look).await?;
    let shown = found.iter().skip(offset).map(|r| show(&account, of, &Shown::from(r))).collect();
    Ok(ok(&paging.page(&ask.path, "recordings", shown)))
}

/// A conference's number, of its `CF…`.
pub fn conference_number(sid: &str) -> Option<u128> {
    u128::from_str_radix(sid.strip_prefix("CF")?, 16).ok().filter(|_| sid.len() == 34)
}

async fn find(rest: &Rest, ask: &Ask, of: Of, id: &str) -> Result<Stored, Failure> {
    let id: RecordingId = id.parse().map_err(|()| ask.not_found())?;
    let found = rows(rest, move |rows| Ok(rows.get(id)?)).await?;
    let is_its = |r: &Stored| match of {
        Of::Account => true,
        Of::Call(call) => r.call == call,
        Of::Conference(sid) => r.conference == Some(sid),
    };
    found.filter(is_its).ok_or_else(|| ask.not_found())
}

async fn start(rest: &Rest, ask: &Ask, call: CallId) -> Result<Response, Failure> {
    calls::fetch(rest, ask, call).await?;
    let channels = match ask.form.some("RecordingChannels") {
        Some("dual") => Channels::Dual,
        None | Some("mono") => Channels::Mono,
        Some(other) => return Err(Failure::parameter("RecordingChannels", other, "mono or dual")),
    };
    match rest.operate(Operator::Record { call, asked: RecordCall::Start(Some(channels)) }).await? {
        Reply::Recording(id) => {
            let count = if channels == Channels::Dual { 2 } else { 1 };
            Ok(created(&show(&ask.account, Of::Call(call), &Shown::live(id, call, "in-progress", count))))
        }
        Reply::NotFound => Err(Failure::bad(21_220, "Requested resource is not eligible for recording")),
        _ => Err(Failure::bad(21_220, "the call cannot be recorded, or is recorded already")),
    }
}

/// What an update asks of a recording, and the status that it has then.
fn wanted(ask: &Ask) -> Result<(RecordCall, &'static str), Failure> {
    Ok(match ask.form.some("Status") {
        Some("paused") => {
            let skip = ask.form.some("PauseBehavior") == Some("skip");
            (RecordCall::Pause { skip }, "paused")
        }
        Some("in-progress") => (RecordCall::Resume, "in-progress"),
        Some("stopped") => (RecordCall::Stop, "stopped"),
        other => return Err(Failure::parameter("Status", other.unwrap_or_default(), "paused, in-progress or stopped")),
    })
}

/// The recording that a path names; `None` is the one that goes on.
fn named(ask: &Ask, id: &str) -> Result<Option<RecordingId>, Failure> {
    match id {
        "Twilio.CURRENT" => Ok(None),
        id => id.parse().map(Some).map_err(|()| ask.not_found()),
    }
}

async fn change(rest: &Rest, ask: &Ask, call: CallId, id: &str) -> Result<Response, Failure> {
    calls::fetch(rest, ask, call).await?;
    let ((asked, status), named) = (wanted(ask)?, named(ask, id)?);
    match rest.operate(Operator::Record { call, asked }).await? {
        Reply::Recording(id) if named.is_none_or(|n| n == id) => {
            Ok(ok(&show(&ask.account, Of::Call(call), &Shown::live(id, call, status, 1))))
        }
        Reply::Refused(_) => Err(Failure::bad(21_220, "the call is not recorded")),
        _ => Err(ask.not_found()),
    }
}

/// Pauses, resumes or stops the recording of a live conference; `call` is one of its calls.
pub async fn change_conference(
    rest: &Rest,
    ask: &Ask,
    (conference, sid, call): (String, u128, CallId),
    id: &str,
) -> Result<Response, Failure> {
    let ((asked, status), only) = (wanted(ask)?, named(ask, id)?);
    match rest.operate(Operator::RecordConference { conference, only, asked }).await? {
        Reply::Recording(id) => {
            let shown = Shown { conference: Some(sid), ..Shown::live(id, call, status, 1) };
            Ok(ok(&show(&ask.account, Of::Conference(sid), &shown)))
        }
        Reply::Refused(_) => Err(Failure::bad(21_220, "the conference is not recorded")),
        _ => Err(ask.not_found()),
    }
}

async fn remove(rest: &Rest, ask: &Ask, of: Of, id: &str) -> Result<Response, Failure> {
    let row = find(rest, ask, of, id).await?;
    let file = rest.api.recordings.folder.join(&row.path);
    rows(rest, move |rows| {
        // The row goes last: a file without a row is found by nobody, a row without a file says that it is gone.
        match std::fs::remove_file(&file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::unavailable(format!("the recording cannot be removed: {e}")));
            }
            _ => rows.remove(row.id)?,
        }
        Ok(gone())
    })
    .await
}

/// The sound as it was recorded: WAV or Ogg; without a suffix whichever it is. `RequestedChannels=1` mixes both parties of a WAV.
async fn sound(rest: &Rest, ask: &Ask, id: &str, kind: String) -> Result<Response, Failure> {
    let row = find(rest, ask, Of::Account, id).await?;
    let own = if row.format.contains("wav") { "wav" } else { "ogg" };
    if !kind.is_empty() && kind != own {
        let why = format!("this recording is kept as .{own}");
        return Err(Failure::new(StatusCode::NOT_FOUND, 20_404, why));
    }
    let channels = ask.query.number("RequestedChannels", 1, 2)?.unwrap_or_else(|| row.channels.into());
    if channels > row.channels.into() {
        return Err(Failure::parameter("RequestedChannels", "2", "what a recording of one channel has"));
    }
    let is_mixed = channels < row.channels.into();
    if is_mixed && own == "ogg" {
        return Err(Failure::parameter(
            "RequestedChannels",
            "1",
            "what is mixed of Ogg: it is given out as it was recorded",
        ));
    }
    if row.bytes > SOUND_MAX {
        return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, 20_001, "too long for here: tandem recordings export"));
    }
    let settings = rest.api.recordings.clone();
    let path = settings.folder.clone();
    let read = move || -> Result<Vec<u8>, String> {
        let mut plain = Vec::new();
        export::export(&settings, &row, || Ok(&mut plain))?;
        if is_mixed {
            plain = super::sound::mono(&plain).ok_or("it is no WAV file of ours")?;
        }
        Ok(plain)
    };
    let plain = tokio::task::spawn_blocking(read).await;
    let plain = plain.map_err(|_| Failure::unavailable("the reader broke off"))?.map_err(|why| {
        tracing::error!(%why, folder = %path.display(), "a recording cannot be opened");
        Failure::unavailable("the recording cannot be opened")
    })?;
    let kind = if own == "wav" { "audio/x-wav" } else { "audio/ogg" };
    Ok(super::sound::answer(kind, plain, ask.range.as_deref()))
}
