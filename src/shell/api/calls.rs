//! Calls, live or stored.

use super::{Api, Problem};
use crate::event::CallId;
use crate::shell::capture;
use crate::shell::store::{CallView, CdrView, StoredCall, TimelineView};
use crate::switch::{Operator, Reply};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Longer than a record takes from the call's end to its commit.
const COMMIT: Duration = Duration::from_millis(300);

pub async fn list(State(api): State<Arc<Api>>) -> Result<Json<Value>, Problem> {
    match api.mail.operator(Operator::Calls).await {
        Some(Reply::Calls(calls)) => {
            let calls: Vec<CallView> = calls.iter().map(Into::into).collect();
            Ok(Json(json!({ "calls": calls })))
        }
        Some(other) => Err(unexpected(&other)),
        None => Err(Problem::gone()),
    }
}

/// A reply that does not fit the question is our own fault.
pub fn unexpected(reply: &Reply) -> Problem {
    match reply {
        Reply::Refused(why) => Problem::refused(vec![why.clone()]),
        Reply::NotFound => Problem::not_found("the switch does not know it"),
        _ => Problem::internal("the switch answered another question"),
    }
}

/// `CA…`, or `last`: the live call that began last, else the stored one.
async fn find(api: &Api, name: &str) -> Result<CallId, Problem> {
    if name != "last" {
        return name.parse().map_err(|()| {
            Problem::bad_request(format!("`{name}` is no call: CA and 32 hexadecimal digits, or `last`"))
        });
    }
    if let Some(Reply::Calls(calls)) = api.mail.operator(Operator::Calls).await
        && let Some(newest) = calls.iter().max_by_key(|c| c.started)
    {
        return Ok(newest.call);
    }
    tokio::time::sleep(COMMIT).await;
    let last = api.read(|reader| reader.last()).await?;
    last.ok_or_else(|| Problem::not_found("there is no call yet"))
}

/// The live call with what is recorded so far, else the stored one, as JSON.
async fn look_up(api: &Api, call: CallId) -> Result<Value, Problem> {
    match api.mail.operator(Operator::Call(call)).await {
        Some(Reply::Call(found)) => {
            let (view, record) = *found;
            let timeline = TimelineView::new(record.started, &record.timeline);
            return Ok(json!({
                "live": true, "state": CallView::from(&view).state, "cdr": CdrView::from(&record.cdr), "timeline": timeline,
            }));
        }
        Some(Reply::NotFound) => {}
        Some(other) => return Err(unexpected(&other)),
        None => return Err(Problem::gone()),
    }
    let mut found = api.read(move |reader| reader.call(call)).await?;
    if found.is_none() {
        // A call that has just ended is on its way to the store.
        tokio::time::sleep(COMMIT).await;
        found = api.read(move |reader| reader.call(call)).await?;
    }
    match found {
        Some(StoredCall { cdr, timeline }) => {
            Ok(json!({ "live": false, "state": "ended", "cdr": cdr, "timeline": timeline }))
        }
        None => Err(Problem::not_found(format!("there is no call {call}"))),
    }
}

pub async fn one(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let call = find(&api, &name).await?;
    look_up(&api, call).await.map(Json)
}

pub async fn timeline(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let call = find(&api, &name).await?;
    let mut found = look_up(&api, call).await?;
    Ok(Json(found["timeline"].take()))
}

/// The SIP messages of a call that goes on or has ended lately, as a capture file.
pub async fn pcap(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Result<Response, Problem> {
    let call = find(&api, &name).await?;
    let packets = api.mail.capture(call).await.ok_or_else(Problem::gone)?;
    let packets = packets.ok_or_else(|| {
        Problem::not_found(format!("nothing is kept of the messages of {call}: see `capture` in the configuration"))
    })?;
    let file = format!("attachment; filename=\"{call}.pcap\"");
    let headers = [(CONTENT_TYPE, "application/vnd.tcpdump.pcap".to_owned()), (CONTENT_DISPOSITION, file)];
    Ok((headers, capture::pcap(&packets)).into_response())
}

pub async fn hangup(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let call = find(&api, &name).await?;
    match api.mail.operator(Operator::Hangup(call)).await {
        Some(Reply::Done) => Ok(Json(json!({ "call": call.to_string() }))),
        Some(Reply::NotFound) => Err(Problem::not_found(format!("there is no live call {call}"))),
        Some(other) => Err(unexpected(&other)),
        None => Err(Problem::gone()),
    }
}
