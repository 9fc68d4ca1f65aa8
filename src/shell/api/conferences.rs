//! Conferences and queues that go on, and what an operator changes of them.

use super::calls::unexpected;
use super::{Api, Problem};
use crate::event::CallId;
use crate::switch::{Change, ConferenceView, MemberView, Operator, ParticipantView, QueueView, Reply};
use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

fn participant(p: &ParticipantView) -> Value {
    json!({
        "call": p.call.to_string(), "name": p.name, "joined": p.joined.rfc3339(), "muted": p.muted, "hold": p.hold,
        "deaf": p.deaf, "coach": p.coach, "volume_db": p.volume_db, "end_on_exit": p.end_on_exit, "speaking": p.speaking,
    })
}

fn conference(c: &ConferenceView) -> Value {
    json!({
        "name": c.name, "state": c.state, "since": c.since.rfc3339(),
        "participants": c.participants.iter().map(participant).collect::<Vec<_>>(),
    })
}

pub async fn list(State(api): State<Arc<Api>>) -> Result<Json<Value>, Problem> {
    match api.mail.operator(Operator::Conferences).await {
        Some(Reply::Conferences(all)) => {
            Ok(Json(json!({ "conferences": all.iter().map(conference).collect::<Vec<_>>() })))
        }
        Some(other) => Err(unexpected(&other)),
        None => Err(Problem::gone()),
    }
}

pub async fn queues(State(api): State<Arc<Api>>) -> Result<Json<Value>, Problem> {
    let member = |m: &MemberView| json!({ "call": m.call.to_string(), "since": m.since.rfc3339(), "waited_s": m.waited_s, "position": m.position });
    let queue = |q: &QueueView| {
        json!({
            "id": q.id.to_string(), "name": q.name, "max": q.max, "takers": q.takers,
            "members": q.members.iter().map(member).collect::<Vec<_>>(),
        })
    };
    match api.mail.operator(Operator::Queues).await {
        Some(Reply::Queues(all)) => Ok(Json(json!({ "queues": all.iter().map(queue).collect::<Vec<_>>() }))),
        Some(other) => Err(unexpected(&other)),
        None => Err(Problem::gone()),
    }
}

/// What of a participant is to change; what is left out stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    muted: Option<bool>,
    hold: Option<bool>,
    deaf: Option<bool>,
    coach: Option<String>,
    volume_db: Option<i8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Announcement {
    file: String,
}

pub async fn change(
    State(api): State<Arc<Api>>,
    Path((conference, call)): Path<(String, String)>,
    body: String,
) -> Result<Json<Value>, Problem> {
    let wanted: Wanted = read(&body)?;
    if wanted.volume_db.is_some_and(|db| !(-30..=12).contains(&db)) {
        return Err(Problem::bad_request("volume_db goes from -30 to 12"));
    }
    let Wanted { muted, hold, deaf, coach, volume_db } = wanted;
    let change = Change { muted, hold, deaf, coach, volume_db, ..Change::default() };
    ask(&api, Operator::Participant { conference, call: read_call(&call)?, change }).await
}

pub async fn remove(
    State(api): State<Arc<Api>>,
    Path((conference, call)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let only = Some(read_call(&call)?);
    ask(&api, Operator::EndConference { conference, only }).await
}

pub async fn end(State(api): State<Arc<Api>>, Path(conference): Path<String>) -> Result<Json<Value>, Problem> {
    ask(&api, Operator::EndConference { conference, only: None }).await
}

pub async fn announce(
    State(api): State<Arc<Api>>,
    Path(conference): Path<String>,
    body: String,
) -> Result<Json<Value>, Problem> {
    let Announcement { file } = read(&body)?;
    // A prompt lies in media.prompts; the rest of the disk is nobody's business here.
    let inside = !file.is_empty()
        && std::path::Path::new(&file).components().all(|c| matches!(c, std::path::Component::Normal(_)));
    if !inside {
        return Err(Problem::bad_request(format!("`{file}` is no prompt: a file's name, relative to media.prompts")));
    }
    ask(&api, Operator::Announce { conference, file: file.into() }).await
}

fn read<'a, T: Deserialize<'a>>(body: &'a str) -> Result<T, Problem> {
    serde_json::from_str(body).map_err(|e| Problem::bad_request(format!("the body is not what this path takes: {e}")))
}

fn read_call(name: &str) -> Result<CallId, Problem> {
    name.parse().map_err(|()| Problem::bad_request(format!("`{name}` is no call: CA and 32 hexadecimal digits")))
}

async fn ask(api: &Api, operator: Operator) -> Result<Json<Value>, Problem> {
    match api.mail.operator(operator).await {
        Some(Reply::Done) => Ok(Json(json!({ "done": true }))),
        Some(Reply::NotFound) => Err(Problem::not_found("there is no such conference, or the call is not in it")),
        Some(other) => Err(unexpected(&other)),
        None => Err(Problem::gone()),
    }
}
