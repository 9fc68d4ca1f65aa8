//! Trunks, registrations, readiness; reload and drain.

use super::calls::unexpected;
use super::{Api, Problem};
use crate::switch::{Operator, Reply};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub async fn trunks(State(api): State<Arc<Api>>) -> Result<Json<Value>, Problem> {
    let trunks = match api.mail.operator(Operator::Trunks).await {
        Some(Reply::Trunks(trunks)) => trunks,
        Some(other) => return Err(unexpected(&other)),
        None => return Err(Problem::gone()),
    };
    let target = |((uri, up, why), addresses): (&(String, bool, String), &Vec<String>)| json!({ "uri": uri, "up": up, "why": why, "addresses": addresses });
    let view = |t: &crate::switch::TrunkView| {
        json!({
            "name": t.name, "targets": t.targets.iter().zip(&t.addresses).map(target).collect::<Vec<_>>(), "calls": t.calls,
            "calls_max": t.calls_max, "health": health(t), "registered": t.registration.as_ref().map(|r| r.registered),
            "registration": t.registration.as_ref().map(|r| json!({ "target": r.target, "expires_s": r.expires_s, "why": r.why })),
        })
    };
    Ok(Json(json!({ "trunks": trunks.iter().map(view).collect::<Vec<_>>() })))
}

/// Figures of the trunk's window; null where no call has given one.
fn health(t: &crate::switch::TrunkView) -> Value {
    let f = &t.figures;
    let rounded = |n: f64, decimals: f64| (n * decimals).round() / decimals;
    let seconds = |d: Option<crate::base::time::Duration>| d.map(|d| rounded(d.as_secs_f64(), 1e3));
    json!({
        "state": t.health.0, "why": t.health.1, "calls": f.tried, "asr_percent": f.asr_percent.map(|n| rounded(n.into(), 10.0)),
        "pdd_s": seconds(f.pdd), "ended": f.ended, "acd_s": seconds(f.acd), "mos": f.mos.map(|n| rounded(n.into(), 100.0)),
    })
}

pub async fn registrations(State(api): State<Arc<Api>>) -> Result<Json<Value>, Problem> {
    let registrations = match api.mail.operator(Operator::Registrations).await {
        Some(Reply::Registrations(registrations)) => registrations,
        Some(other) => return Err(unexpected(&other)),
        None => return Err(Problem::gone()),
    };
    let view = |r: &crate::switch::RegistrationView| {
        json!({
            "user": r.user, "contact": r.contact, "source": r.source.to_string(), "transport": r.transport,
            "expires_s": r.expires_s, "user_agent": r.user_agent,
        })
    };
    Ok(Json(json!({ "registrations": registrations.iter().map(view).collect::<Vec<_>>() })))
}

pub async fn bans(State(api): State<Arc<Api>>) -> Result<Json<Value>, Problem> {
    let bans = match api.mail.operator(Operator::Bans).await {
        Some(Reply::Bans(bans)) => bans,
        Some(other) => return Err(unexpected(&other)),
        None => return Err(Problem::gone()),
    };
    let view = |b: &crate::switch::BanView| json!({ "source": b.source.to_string(), "why": b.why, "for_s": b.for_s, "times": b.times });
    Ok(Json(json!({ "bans": bans.iter().map(view).collect::<Vec<_>>() })))
}

pub async fn unban(State(api): State<Arc<Api>>, Path(source): Path<String>) -> Result<Json<Value>, Problem> {
    let nobody = || Problem::not_found(format!("no source {source} is banned"));
    let ip = source.parse().map_err(|_| nobody())?;
    match api.mail.operator(Operator::Unban(ip)).await {
        Some(Reply::Done) => Ok(Json(json!({ "done": true }))),
        Some(Reply::NotFound) => Err(nobody()),
        Some(other) => Err(unexpected(&other)),
        None => Err(Problem::gone()),
    }
}

/// How many messages wait for a user.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    new: u32,
    #[serde(default)]
    old: u32,
}

pub async fn mailbox(
    State(api): State<Arc<Api>>,
    Path(user): Path<String>,
    Json(waiting): Json<Waiting>,
) -> Result<Json<Value>, Problem> {
    let Waiting { new, old } = waiting;
    match api.mail.operator(Operator::Mailbox { user: user.clone(), new, old }).await {
        Some(Reply::Done) => Ok(Json(json!({ "user": user, "new": new, "old": old }))),
        Some(Reply::NotFound) => Err(Problem::not_found(format!("there is no user {user}"))),
        Some(other) => Err(unexpected(&other)),
        None => Err(Problem::gone()),
    }
}

/// What is to change of where a user's calls go; "off": to nobody else.
#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Forwarding {
    always: Option<String>,
    busy: Option<String>,
    no_answer: Option<String>,
    dnd: Option<bool>,
}

pub async fn forwarding(State(api): State<Arc<Api>>, Path(user): Path<String>) -> Result<Json<Value>, Problem> {
    forward(&api, user, Forwarding::default()).await
}

pub async fn set_forwarding(
    State(api): State<Arc<Api>>,
    Path(user): Path<String>,
    body: String,
) -> Result<Json<Value>, Problem> {
    let set = serde_json::from_str(&body)
        .map_err(|e| Problem::bad_request(format!("the body is not what this path takes: {e}")))?;
    forward(&api, user, set).await
}

async fn forward(api: &Api, user: String, set: Forwarding) -> Result<Json<Value>, Problem> {
    let Forwarding { always, busy, no_answer, dnd } = set;
    let set = crate::verb::FeatureSettings { always, busy, no_answer, dnd };
    let view = match api.mail.operator(Operator::Forwarding { user: user.clone(), set }).await {
        Some(Reply::Forwarding(view)) => view,
        Some(Reply::NotFound) => return Err(Problem::not_found(format!("there is no user {user}"))),
        Some(Reply::Refused(why)) => return Err(Problem::bad_request(why)),
        Some(other) => return Err(unexpected(&other)),
        None => return Err(Problem::gone()),
    };
    let (own, c) = (&view.availability, &view.changed);
    let all = [
        ("always", c.always.is_some()),
        ("busy", c.busy.is_some()),
        ("no_answer", c.no_answer.is_some()),
        ("dnd", c.dnd.is_some()),
    ];
    let changed: Vec<&str> = all.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect();
    let forward = &own.forward;
    Ok(Json(json!({
        "user": view.user, "always": forward.always, "busy": forward.busy, "no_answer": forward.no_answer,
        "after_s": forward.after.as_secs_f64(), "dnd": own.dnd, "changed": changed,
    })))
}

pub async fn reload(State(api): State<Arc<Api>>) -> Result<Json<Value>, Problem> {
    (api.reload)().await.map_err(Problem::refused)?;
    Ok(Json(json!({ "reloaded": true })))
}

pub async fn drain(State(api): State<Arc<Api>>) -> Result<Json<Value>, Problem> {
    set_draining(&api, Operator::Drain, true).await
}

pub async fn undrain(State(api): State<Arc<Api>>) -> Result<Json<Value>, Problem> {
    set_draining(&api, Operator::Undrain, false).await
}

async fn set_draining(api: &Api, ask: Operator, draining: bool) -> Result<Json<Value>, Problem> {
    match api.mail.operator(ask).await {
        Some(Reply::Done) => Ok(Json(json!({ "draining": draining }))),
        Some(other) => Err(unexpected(&other)),
        None => Err(Problem::gone()),
    }
}

/// 200 while new calls are welcome: the control thread turns, nobody drains, the store stores.
pub async fn ready(State(api): State<Arc<Api>>) -> Response {
    let report = tokio::time::timeout(Duration::from_secs(2), api.mail.report()).await;
    let why = match report {
        Ok(Some(report)) if report.counters.draining => "draining",
        Ok(Some(_)) if api.condition.is_failing.load(Ordering::Relaxed) => "the store fails",
        Ok(Some(_)) => return "ready\n".into_response(),
        Ok(None) => "stopping",
        Err(_) => "the control thread does not answer",
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response()
}
