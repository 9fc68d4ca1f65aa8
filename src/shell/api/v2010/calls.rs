//! Calls: placed, listed, read, redirected, ended, forgotten.

use super::answer::{Failure, Paging, created, date_of, formatted, gone, is_sid, ok};
use super::form::Form;
use super::placing::{self, escape};
use super::{Ask, Rest};
use crate::base::time::{Duration, Wall};
use crate::event::CallId;
use crate::markup;
use crate::shell::clock::wall;
use crate::shell::store::{CallFilter, CallView, CdrView, Setting, Span, parse_when};
use crate::speech::machine;
use crate::switch::{MachineAsk, Operator, Originate, Reply, Runs};
use crate::verb::{Script, Target};
use crate::web::{self, Address};
use axum::http::Method;
use axum::response::Response;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Milliseconds between the looks at a call whose record is not committed yet; a disk that is busy takes a second and more.
const COMMIT: [u64; 8] = [0, 20, 80, 200, 400, 800, 1_500, 2_000];
/// How long a call rings if nobody says, and may last.
const TIMEOUT_S: u64 = 60;
const TIME_LIMIT_S: u64 = 86_400;

const PARTS: &[(&str, &str)] =
    &[("notifications", "Notifications"), ("recordings", "Recordings"), ("events", "Events")];

/// What is shown of a call that goes on and of one that is over.
struct Shown<'a> {
    sid: &'a str,
    direction: &'a str,
    from: &'a str,
    to: &'a str,
    status: &'a str,
    started: &'a str,
    ended: Option<&'a str>,
    /// Seconds, if it was answered.
    duration: Option<u64>,
    answered_by: Option<&'a str>,
}

fn show(account: &str, c: &Shown<'_>) -> Value {
    let uri = format!("/2010-04-01/Accounts/{account}/Calls/{}", c.sid);
    let parts: Map<String, Value> =
        PARTS.iter().map(|(name, tail)| ((*name).into(), format!("{uri}/{tail}.json").into())).collect();
    let direction = if c.direction == "outbound" { "outbound-api" } else { "inbound" };
    let started = if matches!(c.status, "queued") { Value::Null } else { date_of(Some(c.started)) };
    json!({
        "sid": c.sid, "account_sid": account, "api_version": "2010-04-01", "parent_call_sid": null,
        "from": c.from, "from_formatted": formatted(c.from), "to": c.to, "to_formatted": formatted(c.to),
        "status": c.status, "direction": direction, "date_created": date_of(Some(c.started)),
        "date_updated": date_of(c.ended.or(Some(c.started))), "start_time": started, "end_time": date_of(c.ended),
        "duration": c.duration.map(|s| s.to_string()), "price": null, "price_unit": "USD", "answered_by": c.answered_by,
        "caller_name": null, "forwarded_from": null, "group_sid": null, "phone_number_sid": null, "queue_time": "0",
        "trunk_sid": null, "uri": format!("{uri}.json"), "subresource_uris": parts,
    })
}

fn show_live(account: &str, c: &CallView) -> Value {
    let status = status_of_live(c);
    show(
        account,
        &Shown {
            sid: &c.call,
            direction: &c.direction,
            from: &c.from,
            to: &c.to,
            status,
            started: &c.started,
            ended: None,
            duration: None,
            answered_by: c.answered_by.as_deref(),
        },
    )
}

fn status_of_live(c: &CallView) -> &'static str {
    match (c.state.as_str(), c.direction.as_str()) {
        _ if c.answered.is_some() => "in-progress",
        ("ringing", _) | (_, "inbound") => "ringing",
        _ => "queued",
    }
}

fn show_stored(account: &str, c: &CdrView) -> Value {
    let duration = c.answered.is_some().then_some(c.billable_us.div_ceil(1_000_000));
    show(
        account,
        &Shown {
            sid: &c.call,
            direction: &c.direction,
            from: &c.from,
            to: &c.to,
            status: status_of_stored(c),
            started: &c.started,
            ended: Some(&c.ended),
            duration: duration.or(Some(0)),
            answered_by: c.answered_by.as_deref(),
        },
    )
}

fn status_of_stored(c: &CdrView) -> &'static str {
    match (c.ending.class.as_str(), c.ending.reason.as_str()) {
        _ if c.answered.is_some() => "completed",
        (_, "busy") => "busy",
        (_, "no_answer") => "no-answer",
        ("operator", _) | (_, "cancelled") => "canceled",
        _ => "failed",
    }
}

pub async fn answer(rest: &Rest, ask: &Ask, parts: &[&str]) -> Result<Response, Failure> {
    match (parts, ask.method.clone()) {
        ([], Method::GET) => list(rest, ask).await,
        ([], Method::POST) => place(rest, ask).await,
        ([call], Method::GET) => fetch(rest, ask, read(ask, call)?).await.map(|found| ok(&found)),
        ([call], Method::POST) => update(rest, ask, read(ask, call)?).await,
        ([call], Method::DELETE) => remove(rest, ask, read(ask, call)?).await,
        ([call, "Events"], Method::GET) => nothing_of(rest, ask, read(ask, call)?, "events").await,
        ([call, "Notifications"], Method::GET) => nothing_of(rest, ask, read(ask, call)?, "notifications").await,
        ([] | [_] | [_, "Events" | "Notifications"], _) => Err(Failure::method()),
        _ => Err(ask.not_found()),
    }
}

fn read(ask: &Ask, call: &str) -> Result<CallId, Failure> {
    call.parse().map_err(|()| ask.not_found())
}

// ---- reading -------------------------------------------------------------------------------------------------------

/// Calls of a subaccount's are those that it placed; all others are the main account's.
pub async fn is_of(rest: &Rest, account: &str, call: &str) -> Result<bool, Failure> {
    if rest.api.credentials.is_none() {
        return Ok(true);
    }
    let call = call.to_owned();
    let owner = rest.store(move |store| Ok(store.find("Calls", &call)?.map(|s| s.account))).await?;
    Ok(owner.as_deref().unwrap_or(rest.main()) == account)
}

async fn live(rest: &Rest, call: CallId) -> Result<Option<CallView>, Failure> {
    Ok(match rest.operate(Operator::Call(call)).await? {
        Reply::Call(found) => Some(CallView::from(&found.0)),
        _ => None,
    })
}

/// A call, live or stored, as it is shown.
pub async fn fetch(rest: &Rest, ask: &Ask, call: CallId) -> Result<Value, Failure> {
    if !is_of(rest, &ask.account, &call.to_string()).await? {
        return Err(ask.not_found());
    }
    for patience in COMMIT {
        tokio::time::sleep(std::time::Duration::from_millis(patience)).await;
        let going_on = live(rest, call).await?;
        if let Some(found) = going_on.as_ref().filter(|c| c.state != "ending") {
            return Ok(show_live(&ask.account, found));
        }
        // Asked before the store is: a call that no record is owed for, and that the store has not, has never been.
        let report = rest.api.mail.report().await;
        let is_owed = going_on.is_some() || report.is_some_and(|report| report.counters.cdrs_unacknowledged > 0);
        let path = rest.api.store.clone();
        let stored = tokio::task::spawn_blocking(move || crate::shell::store::Reader::open(&path)?.call(call)).await;
        let stored = stored.map_err(|_| Failure::unavailable("the store's thread broke off"))??;
        if let Some(found) = stored {
            return Ok(show_stored(&ask.account, &found.cdr));
        }
        if !is_owed {
            break;
        }
    }
    match live(rest, call).await? {
        Some(found) => Ok(show_live(&ask.account, &found)),
        None => Err(ask.not_found()),
    }
}

async fn nothing_of(rest: &Rest, ask: &Ask, call: CallId, key: &str) -> Result<Response, Failure> {
    let paging = Paging::read(&ask.query)?;
    fetch(rest, ask, call).await?;
    Ok(ok(&paging.page(&ask.path, key, Vec::new())))
}

/// `StartTime`, `StartTime>` and `StartTime<`: on a day, from a moment on, before one.
fn span(query: &Form, name: &str) -> Result<Span, Failure> {
    let moment = |name: &str| match query.some(name) {
        None => Ok(None),
        Some(text) => match parse_when(text) {
            Some(at) => Ok(Some((at, text.len() <= 10))),
            None => Err(Failure::parameter(name, text, "a day or a moment, as 2026-11-22 or 2026-11-22T16:15:00Z")),
        },
    };
    let mut span = Span::default();
    if let Some((at, _)) = moment(name)? {
        span = Span { since: Some(at), until: Some(Wall(at.as_micros().saturating_add(86_400_000_000))) };
    }
    if let Some((at, _)) = moment(&format!("{name}>"))? {
        span.since = Some(at);
    }
    if let Some((at, is_day)) = moment(&format!("{name}<"))? {
        let day = if is_day { 86_400_000_000 } else { 0 };
        span.until = Some(Wall(at.as_micros().saturating_add(day)));
    }
    Ok(span)
}

async fn list(rest: &Rest, ask: &Ask) -> Result<Response, Failure> {
    let paging = Paging::read(&ask.query)?;
    let text = |name: &str| ask.query.some(name).map(str::to_owned);
    let filter = CallFilter {
        from: text("From"),
        to: text("To"),
        status: text("Status"),
        started: span(&ask.query, "StartTime")?,
        ended: span(&ask.query, "EndTime")?,
    };
    let calls = match rest.operate(Operator::Calls).await? {
        Reply::Calls(calls) => calls,
        _ => Vec::new(),
    };
    let wants_ended = filter.ended.since.or(filter.ended.until).is_some();
    let fits = |c: &CallView| {
        !wants_ended
            && filter.from.as_ref().is_none_or(|f| *f == c.from)
            && filter.to.as_ref().is_none_or(|t| *t == c.to)
            && filter.status.as_ref().is_none_or(|s| s == status_of_live(c))
            && parse_when(&c.started).is_some_and(|at| filter.started.holds(at))
    };
    let mut going_on: Vec<CallView> = calls.iter().map(CallView::from).filter(fits).collect();
    going_on.sort_by(|a, b| (&b.started, &b.call).cmp(&(&a.started, &a.call)));
    if ask.query.some("ParentCallSid").is_some() {
        return Ok(ok(&paging.page(&ask.path, "calls", Vec::new())));
    }
    let (ask, main) = (ask.clone(), rest.main().to_owned());
    let is_open = rest.api.credentials.is_none();
    rest.store(move |store| {
        let (before, skip) = (going_on.len(), paging.offset());
        let is_mine = |sid: &str| -> Result<bool, Failure> {
            let owner = store.find("Calls", sid)?.map(|s| s.account);
            Ok(is_open || owner.as_deref().unwrap_or(&main) == ask.account)
        };
        let mut found = Vec::new();
        for call in going_on.iter().skip(skip).take(paging.limit()) {
            if is_mine(&call.call)? {
                found.push(show_live(&ask.account, call));
            }
        }
        let room = paging.limit().saturating_sub(found.len());
        for cdr in store.calls(&filter, (room, skip.saturating_sub(before)))? {
            let is_live = going_on.iter().any(|c| c.call == cdr.call);
            if !is_live && is_mine(&cdr.call)? {
                found.push(show_stored(&ask.account, &cdr));
            }
        }
        Ok(ok(&paging.page(&ask.path, "calls", found)))
    })
    .await
}

// ---- what a call is to do ------------------------------------------------------------------------------------------

/// The script that `Twiml`, `Url` or `ApplicationSid` name; `None`: none of them is there.
pub async fn script(rest: &Rest, ask: &Ask) -> Result<Option<Runs>, Failure> {
    let form = &ask.form;
    if let Some(text) = form.some("Twiml") {
        return document(form, text.as_bytes(), "Twiml").map(Some);
    }
    let (url, method) = match (form.some("Url"), form.some("ApplicationSid")) {
        (Some(url), _) => (url.to_owned(), form.some("Method").unwrap_or("POST").to_owned()),
        (None, Some(sid)) => {
            let (sid, account) = (sid.to_owned(), ask.account.clone());
            let found = rest.store(move |store| Ok(store.get("Applications", &account, "", &sid)?)).await?;
            let body: Value = found.and_then(|s| serde_json::from_str(&s.body).ok()).unwrap_or_default();
            let Some(url) = body["voice_url"].as_str() else {
                return Err(Failure::bad(21_218, "Invalid ApplicationSid"));
            };
            (url.to_owned(), body["voice_method"].as_str().unwrap_or("POST").to_owned())
        }
        (None, None) => return Ok(None),
    };
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(Failure::bad(21_205, format!("Url is not a valid URL: {url}")));
    }
    if !matches!(method.as_str(), "GET" | "POST") {
        return Err(Failure::parameter("Method", &method, "GET or POST"));
    }
    // Whoever fetches documents for scripts fetches this one too.
    let text = format!("<Response><Redirect method=\"{method}\">{}</Redirect></Response>", escape(&url));
    document(form, text.as_bytes(), &url).map(Some)
}

/// A document's script, after what the form asks for before it.
pub fn document(form: &Form, text: &[u8], name: &str) -> Result<Runs, Failure> {
    let read = |text: &[u8], name: &str| {
        markup::read_xml(text, name).map_err(|fault| Failure::bad(fault.error.code(), fault.to_string()))
    };
    let mut read_whole = read(text, name)?;
    let preface = placing::preface(form)?;
    if !preface.is_empty() {
        let first = read(format!("<Response>{preface}</Response>").as_bytes(), "what the call was placed with")?;
        read_whole.program.begin_with(read_whole.entry, first.program, first.entry);
    }
    let read = read_whole;
    let script = Script::new(Arc::new(read.program), read.entry, wall());
    Ok(Runs::Script { script: Box::new(script), at: name.chars().take(200).collect() })
}

/// A user part that nobody can smuggle a header in with.
fn is_plain(text: &str) -> bool {
    text.len() <= 256 && !text.contains(|c: char| c.is_control() || c.is_whitespace() || "<>\"".contains(c))
}

/// Who is told how the call goes.
fn told(form: &Form) -> Option<(Address, String)> {
    let url = form.some("StatusCallback")?;
    let method = form.some("StatusCallbackMethod").and_then(web::Method::parse).unwrap_or_default();
    let events: Vec<&str> = form.pairs().filter(|(name, _)| *name == "StatusCallbackEvent").map(|(_, v)| v).collect();
    Some((Address::new(url, method), events.join(" ")))
}

/// Who listens to find out whether a person or a machine answers.
fn machine(form: &Form) -> Result<Option<MachineAsk>, Failure> {
    let to_end = match form.some("MachineDetection") {
        None => return Ok(None),
        Some("Enable") => false,
        Some("DetectMessageEnd") => true,
        Some(other) => return Err(Failure::parameter("MachineDetection", other, "Enable or DetectMessageEnd")),
    };
    let usual = machine::Settings::default();
    let ms = |name: &str, least, most, usual| -> Result<Duration, Failure> {
        Ok(form.number(&format!("MachineDetection{name}"), least, most)?.map_or(usual, Duration::from_millis))
    };
    let timeout = form.number("MachineDetectionTimeout", 3, 59)?;
    let settings = machine::Settings {
        to_end,
        timeout: timeout.map_or(usual.timeout, Duration::from_secs),
        speech: ms("SpeechThreshold", 1_000, 6_000, usual.speech)?,
        speech_end: ms("SpeechEndThreshold", 500, 5_000, usual.speech_end)?,
        silence: ms("SilenceTimeout", 2_000, 10_000, usual.silence)?,
    };
    let method = form.some("AsyncAmdStatusCallbackMethod").and_then(web::Method::parse).unwrap_or_default();
    let told = form.some("AsyncAmdStatusCallback").map(|url| Address::new(url, method));
    Ok(Some(MachineAsk { settings, waits: form.flag("AsyncAmd")? != Some(true), told }))
}

/// Whom a call goes to by a customer's own carrier (`Byoc`); else the switch finds out.
fn by_carrier(form: &Form, to: &str) -> Result<Vec<Target>, Failure> {
    let Some(trunk) = form.some("Byoc") else { return Ok(Vec::new()) };
    if !is_sid(trunk, "BY") {
        return Err(Failure::parameter("Byoc", trunk, "BY and 32 hexadecimal digits"));
    }
    let is_number = to.starts_with(|c: char| c == '+' || c.is_ascii_digit());
    let target = || Target::Number { number: to.to_owned(), trunks: vec![trunk.to_owned()], lcr: false };
    Ok(is_number.then(target).into_iter().collect())
}

/// Places a call for `Calls` and `Participants` alike.
pub async fn originate(rest: &Rest, ask: &Ask, runs: Runs) -> Result<CallId, Failure> {
    let form = &ask.form;
    let to = form.some("To").ok_or_else(|| Failure::bad(21_201, "No 'To' number is specified"))?;
    let from = form.some("From").ok_or_else(|| Failure::bad(21_213, "No 'From' number is specified"))?;
    if !is_plain(to) {
        return Err(Failure::bad(21_211, format!("Invalid 'To' Phone Number: {}", to.escape_default())));
    }
    if !is_plain(from) {
        return Err(Failure::bad(21_212, format!("Invalid 'From' Number (caller ID): {}", from.escape_default())));
    }
    let timeout = form.number("Timeout", 1, Originate::TIMEOUT_MAX.as_secs())?.unwrap_or(TIMEOUT_S);
    let limit = form.number("TimeLimit", 1, TIME_LIMIT_S)?;
    let shown = form.some("CallerId").unwrap_or(from);
    let asked = Originate {
        targets: by_carrier(form, to)?,
        to: to.to_owned(),
        from: shown.trim_start_matches("client:").to_owned(),
        from_name: form.some("CallerDisplayName").unwrap_or_default().to_owned(),
        timeout: Duration::from_secs(timeout),
        time_limit: limit.map(Duration::from_secs),
        headers: Vec::new(),
        codecs: Vec::new(),
        runs,
        variables: Vec::new(),
        told: told(form),
        machine: machine(form)?,
    };
    let call = match rest.operate(Operator::Originate(Box::new(asked))).await? {
        Reply::Placed(call) => call,
        Reply::Refused(why) => {
            let busy = axum::http::StatusCode::TOO_MANY_REQUESTS;
            return Err(Failure::new(busy, 20_429, why));
        }
        _ => return Err(Failure::unavailable("the switch answered another question")),
    };
    let (account, now) = (ask.account.clone(), wall());
    let given: Map<String, Value> = form.pairs().map(|(n, v)| (n.into(), v.into())).collect();
    rest.store(move |store| {
        Ok(store.put(&Setting {
            sid: call.to_string(),
            kind: "Calls".into(),
            account,
            parent: String::new(),
            created: now,
            updated: now,
            body: Value::Object(given).to_string(),
        })?)
    })
    .await?;
    Ok(call)
}

async fn place(rest: &Rest, ask: &Ask) -> Result<Response, Failure> {
    for (name, code, what) in [("To", 21_201, "No 'To' number"), ("From", 21_213, "No 'From' number")] {
        if ask.form.some(name).is_none() {
            return Err(Failure::bad(code, format!("{what} is specified")));
        }
    }
    let runs = script(rest, ask).await?.ok_or_else(|| Failure::bad(21_205, "Url parameter is required."))?;
    let call = originate(rest, ask, runs).await?;
    fetch(rest, ask, call).await.map(|shown| created(&shown))
}

async fn update(rest: &Rest, ask: &Ask, call: CallId) -> Result<Response, Failure> {
    let shown = fetch(rest, ask, call).await?;
    let status = shown["status"].as_str().unwrap_or_default().to_owned();
    let is_live = matches!(status.as_str(), "queued" | "ringing" | "in-progress");
    let runs = script(rest, ask).await?;
    let asked = match (ask.form.some("Status"), runs) {
        (Some("completed"), _) => Operator::Hangup(call),
        (Some("canceled"), _) if status == "in-progress" => return Ok(ok(&shown)),
        (Some("canceled"), _) => Operator::Hangup(call),
        (Some(other), _) => return Err(Failure::parameter("Status", other, "canceled or completed")),
        (None, Some(runs)) => Operator::Run { call, runs },
        (None, None) => return Ok(ok(&shown)),
    };
    if !is_live {
        return match asked {
            Operator::Hangup(_) => Ok(ok(&shown)),
            _ => Err(Failure::bad(21_220, "Call is not in-progress. Cannot redirect.")),
        };
    }
    match rest.operate(asked).await? {
        Reply::NotFound => Err(Failure::bad(21_220, "Call is not in-progress. Cannot redirect.")),
        Reply::Refused(why) => Err(Failure::bad(21_220, why)),
        _ => fetch(rest, ask, call).await.map(|shown| ok(&shown)),
    }
}

async fn remove(rest: &Rest, ask: &Ask, call: CallId) -> Result<Response, Failure> {
    let shown = fetch(rest, ask, call).await?;
    if matches!(shown["status"].as_str(), Some("queued" | "ringing" | "in-progress")) {
        return Err(Failure::bad(20_009, "Call is in progress and cannot be deleted"));
    }
    let ask = ask.clone();
    rest.store(move |store| if store.remove_call(call)? { Ok(gone()) } else { Err(ask.not_found()) }).await
}
