//! Recordings: of an account or of one call; started, paused and stopped, read, heard, removed.

use super::answer::{Failure, Paging, created, date, gone, ok};
use super::{Ask, Rest, calls};
use crate::base::time::Wall;
use crate::event::{CallId, RecordingId};
use crate::shell::clock::wall;
use crate::shell::recording::export;
use crate::shell::store::{Recordings, Stored};
use crate::switch::{Operator, Reply};
use crate::verb::{Channels, RecordCall};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Sound is read whole into memory: longer recordings are for `tandem recordings export`.
const SOUND_MAX: u64 = 256 * 1024 * 1024;

/// What is shown of a recording; `of_call`: below its call, where a few fields differ.
fn show(account: &str, r: &Stored, of_call: bool) -> Value {
    let seconds = r.duration.as_millis().div_ceil(1_000);
    let status = if r.status == "failed" { "absent" } else { "completed" };
    shape(account, (r.id, r.call), of_call, r.started, status, Some(seconds.to_string()), r.channels)
}

fn shape(
    account: &str,
    (id, call): (RecordingId, CallId),
    of_call: bool,
    started: Wall,
    status: &str,
    duration: Option<String>,
    channels: u8,
) -> Value {
    let base = format!("/2010-04-01/Accounts/{account}");
    let own = format!("{base}/Recordings/{id}");
    let mut body = json!({
        "account_sid": account, "api_version": "2010-04-01", "call_sid": call.to_string(), "conference_sid": null,
        "sid": id.to_string(), "channels": channels, "date_created": date(started), "date_updated": date(started),
        "start_time": date(started), "duration": duration, "price": null, "price_unit": "USD",
        "source": "StartCallRecordingAPI", "status": status, "error_code": null, "encryption_details": null,
    });
    if of_call {
        body["uri"] = format!("{base}/Calls/{call}/Recordings/{id}.json").into();
        body["track"] = "both".into();
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

pub async fn answer(
    rest: &Rest,
    ask: &Ask,
    call: Option<&str>,
    parts: &[&str],
    media: Option<&str>,
) -> Result<Response, Failure> {
    let call: Option<CallId> = match call {
        Some(text) => Some(text.parse().map_err(|()| ask.not_found())?),
        None => None,
    };
    match (parts, ask.method.clone(), media) {
        ([], Method::GET, None) => list(rest, ask, call).await,
        ([], Method::POST, None) if call.is_some() => start(rest, ask, call).await,
        ([id], Method::GET, Some(kind)) => sound(rest, ask, id, kind.to_owned()).await,
        ([id], Method::GET, None) => {
            let row = find(rest, ask, call, id).await?;
            Ok(ok(&show(&ask.account, &row, call.is_some())))
        }
        ([id], Method::POST, None) if call.is_some() => change(rest, ask, call, id).await,
        ([id], Method::DELETE, None) => remove(rest, ask, call, id).await,
        ([] | [_], _, _) => Err(Failure::method()),
        _ => Err(ask.not_found()),
    }
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

async fn list(rest: &Rest, ask: &Ask, call: Option<CallId>) -> Result<Response, Failure> {
    let paging = Paging::read(&ask.query)?;
    let call = match (call, ask.query.some("CallSid")) {
        (Some(call), _) => {
            calls::fetch(rest, ask, call).await?;
            Some(call)
        }
        (None, Some(text)) => match text.parse() {
            Ok(call) => Some(call),
            Err(()) => return Err(Failure::parameter("CallSid", text, "CA and 32 hexadecimal digits")),
        },
        (None, None) => None,
    };
    let (account, of_call) = (ask.account.clone(), ask.path.contains("/Calls/"));
    let most = paging.offset() + paging.limit();
    let offset = paging.offset();
    let found = rows(rest, move |rows| Ok(rows.list(call, most)?)).await?;
    let shown = found.iter().skip(offset).map(|r| show(&account, r, of_call)).collect();
    Ok(ok(&paging.page(&ask.path, "recordings", shown)))
}

async fn find(rest: &Rest, ask: &Ask, call: Option<CallId>, id: &str) -> Result<Stored, Failure> {
    let id: RecordingId = id.parse().map_err(|()| ask.not_found())?;
    let found = rows(rest, move |rows| Ok(rows.get(id)?)).await?;
    found.filter(|r| call.is_none_or(|c| r.call == c)).ok_or_else(|| ask.not_found())
}

async fn start(rest: &Rest, ask: &Ask, call: Option<CallId>) -> Result<Response, Failure> {
    let call = call.ok_or_else(|| ask.not_found())?;
    calls::fetch(rest, ask, call).await?;
    let channels = match ask.form.some("RecordingChannels") {
        Some("dual") => Channels::Dual,
        None | Some("mono") => Channels::Mono,
        Some(other) => return Err(Failure::parameter("RecordingChannels", other, "mono or dual")),
    };
    match rest.operate(Operator::Record { call, asked: RecordCall::Start(Some(channels)) }).await? {
        Reply::Recording(id) => {
            let count = if channels == Channels::Dual { 2 } else { 1 };
            let shown = shape(&ask.account, (id, call), true, wall(), "in-progress", None, count);
            Ok(created(&shown))
        }
        Reply::NotFound => Err(Failure::bad(21_220, "Requested resource is not eligible for recording")),
        _ => Err(Failure::bad(21_220, "the call cannot be recorded, or is recorded already")),
    }
}

async fn change(rest: &Rest, ask: &Ask, call: Option<CallId>, id: &str) -> Result<Response, Failure> {
    let call = call.ok_or_else(|| ask.not_found())?;
    calls::fetch(rest, ask, call).await?;
    let (asked, status) = match ask.form.some("Status") {
        Some("paused") => {
            let skip = ask.form.some("PauseBehavior") == Some("skip");
            (RecordCall::Pause { skip }, "paused")
        }
        Some("in-progress") => (RecordCall::Resume, "in-progress"),
        Some("stopped") => (RecordCall::Stop, "stopped"),
        other => return Err(Failure::parameter("Status", other.unwrap_or_default(), "paused, in-progress or stopped")),
    };
    let named: Option<RecordingId> = match id {
        "Twilio.CURRENT" => None,
        id => Some(id.parse().map_err(|()| ask.not_found())?),
    };
    match rest.operate(Operator::Record { call, asked }).await? {
        Reply::Recording(id) if named.is_none_or(|n| n == id) => {
            Ok(ok(&shape(&ask.account, (id, call), true, wall(), status, None, 1)))
        }
        Reply::Refused(_) => Err(Failure::bad(21_220, "the call is not recorded")),
        _ => Err(ask.not_found()),
    }
}

async fn remove(rest: &Rest, ask: &Ask, call: Option<CallId>, id: &str) -> Result<Response, Failure> {
    let row = find(rest, ask, call, id).await?;
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

/// The sound as it was recorded: WAV or Ogg; without a suffix whichever it is.
async fn sound(rest: &Rest, ask: &Ask, id: &str, kind: String) -> Result<Response, Failure> {
    let row = find(rest, ask, None, id).await?;
    let own = if row.format.contains("wav") { "wav" } else { "ogg" };
    if !kind.is_empty() && kind != own {
        let why = format!("this recording is kept as .{own}");
        return Err(Failure::new(StatusCode::NOT_FOUND, 20_404, why));
    }
    if row.bytes > SOUND_MAX {
        return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, 20_001, "too long for here: tandem recordings export"));
    }
    let settings = rest.api.recordings.clone();
    let path = settings.folder.clone();
    let read = move || -> Result<Vec<u8>, String> {
        let mut plain = Vec::new();
        export::export(&settings, &row, || Ok(&mut plain))?;
        Ok(plain)
    };
    let plain = tokio::task::spawn_blocking(read).await;
    let plain = plain.map_err(|_| Failure::unavailable("the reader broke off"))?.map_err(|why| {
        tracing::error!(%why, folder = %path.display(), "a recording cannot be opened");
        Failure::unavailable("the recording cannot be opened")
    })?;
    let kind = if own == "wav" { "audio/x-wav" } else { "audio/ogg" };
    Ok(([(header::CONTENT_TYPE, kind)], plain).into_response())
}
