//! Conferences that go on, and who is in them.

use super::answer::{Failure, Paging, created, date, gone, is_sid, ok};
use super::form::Form;
use super::{Ask, Rest, calls, placing, recordings};
use crate::event::CallId;
use crate::switch::{Change, ConferenceView, Operator, ParticipantView, Reply};
use crate::web::{self, Address};
use axum::http::Method;
use axum::response::Response;
use serde_json::{Value, json};

fn show(account: &str, c: &ConferenceView) -> Value {
    let sid = &c.sid;
    let uri = format!("/2010-04-01/Accounts/{account}/Conferences/{sid}");
    json!({
        "sid": sid, "account_sid": account, "api_version": "2010-04-01", "friendly_name": c.name, "region": "us1",
        "status": if c.state == "in-progress" { "in-progress" } else { "init" },
        "date_created": date(c.since), "date_updated": date(c.since),
        "call_sid_ending_conference": null, "uri": format!("{uri}.json"),
        "subresource_uris": {
            "participants": format!("{uri}/Participants.json"), "recordings": format!("{uri}/Recordings.json"),
        },
    })
}

fn show_participant(account: &str, conference: &str, p: &ParticipantView) -> Value {
    let call = p.call.to_string();
    let coach = p.coach.as_deref().filter(|c| is_sid(c, "CA"));
    json!({
        "account_sid": account, "call_sid": call, "conference_sid": conference, "label": Some(&p.label).filter(|l| !l.is_empty()),
        "date_created": date(p.joined), "date_updated": date(p.joined), "muted": p.muted, "hold": p.hold,
        "end_conference_on_exit": p.end_on_exit, "start_conference_on_enter": p.start_on_enter, "status": "connected",
        "coaching": p.coach.is_some(), "call_sid_to_coach": coach, "queue_time": null,
        "uri": format!("/2010-04-01/Accounts/{account}/Conferences/{conference}/Participants/{call}.json"),
    })
}

async fn all(rest: &Rest) -> Result<Vec<ConferenceView>, Failure> {
    match rest.operate(Operator::Conferences).await? {
        Reply::Conferences(all) => Ok(all),
        _ => Ok(Vec::new()),
    }
}

/// By its number, or by its name.
async fn find(rest: &Rest, ask: &Ask, named: &str) -> Result<ConferenceView, Failure> {
    let found = all(rest).await?.into_iter().find(|c| c.sid == named || c.name == named);
    found.ok_or_else(|| ask.not_found())
}

pub async fn answer(rest: &Rest, ask: &Ask, parts: &[&str]) -> Result<Response, Failure> {
    match (parts, ask.method.clone()) {
        ([], Method::GET) => list(rest, ask).await,
        ([name], Method::GET) => Ok(ok(&show(&ask.account, &find(rest, ask, name).await?))),
        ([name], Method::POST) => update(rest, ask, name).await,
        ([name, "Participants"], Method::GET) => participants(rest, ask, name).await,
        ([name, "Participants"], Method::POST) => invite(rest, ask, name).await,
        ([name, "Recordings", id], Method::POST) => {
            let conference = find(rest, ask, name).await?;
            let call = conference.participants.first().map_or(CallId(0), |p| p.call);
            let sid = recordings::conference_number(&conference.sid).ok_or_else(|| ask.not_found())?;
            recordings::change_conference(rest, ask, (conference.name, sid, call), id).await
        }
        ([name, "Recordings", rest_of @ ..], _) => {
            // Recordings outlive their conference.
            let sid = match recordings::conference_number(name) {
                Some(sid) => Some(sid),
                None => recordings::conference_number(&find(rest, ask, name).await?.sid),
            };
            let of = recordings::Of::Conference(sid.ok_or_else(|| ask.not_found())?);
            recordings::answer(rest, ask, of, rest_of, None).await
        }
        ([name, "Participants", call], Method::GET) => participant(rest, ask, name, call).await,
        ([name, "Participants", call], Method::POST) => change(rest, ask, name, call).await,
        ([name, "Participants", call], Method::DELETE) => {
            let (conference, call) = whom(rest, ask, name, call).await?;
            let only = Some(call.call);
            rest.operate(Operator::EndConference { conference: conference.name, only }).await?;
            Ok(gone())
        }
        ([] | [_] | [_, "Participants"] | [_, "Participants", _], _) => Err(Failure::method()),
        _ => Err(ask.not_found()),
    }
}

async fn list(rest: &Rest, ask: &Ask) -> Result<Response, Failure> {
    let paging = Paging::read(&ask.query)?;
    let (name, status) = (ask.query.some("FriendlyName"), ask.query.some("Status"));
    let shown = all(rest).await?.into_iter().filter(|c| name.is_none_or(|n| c.name == n));
    let shown = shown.map(|c| show(&ask.account, &c)).filter(|v| status.is_none_or(|s| v["status"] == s));
    let page = shown.skip(paging.offset()).take(paging.limit()).collect();
    Ok(ok(&paging.page(&ask.path, "conferences", page)))
}

/// `AnnounceUrl` and `AnnounceMethod`, or those of another name.
fn address(form: &Form, name: &str) -> Result<Option<Address>, Failure> {
    let (url, method) = (format!("{name}Url"), format!("{name}Method"));
    let Some(text) = form.some(&url) else { return Ok(None) };
    if !(text.starts_with("http://") || text.starts_with("https://")) {
        return Err(Failure::parameter(&url, text, "an address that begins with http:// or https://"));
    }
    let given = form.some(&method).unwrap_or("POST");
    let read = web::Method::parse(given).ok_or_else(|| Failure::parameter(&method, given, "GET or POST"))?;
    Ok(Some(Address::new(text, read)))
}

async fn update(rest: &Rest, ask: &Ask, name: &str) -> Result<Response, Failure> {
    let conference = find(rest, ask, name).await?;
    let mut shown = show(&ask.account, &conference);
    match ask.form.some("Status") {
        Some("completed") => {
            rest.operate(Operator::EndConference { conference: conference.name, only: None }).await?;
            shown["status"] = "completed".into();
            shown["reason_conference_ended"] = "conference-ended-via-api".into();
        }
        Some(other) => return Err(Failure::parameter("Status", other, "completed")),
        None => {
            if let Some(address) = address(&ask.form, "Announce")? {
                rest.operate(Operator::AnnounceUrl { conference: conference.name, address }).await?;
            }
        }
    }
    Ok(ok(&shown))
}

async fn participants(rest: &Rest, ask: &Ask, name: &str) -> Result<Response, Failure> {
    let paging = Paging::read(&ask.query)?;
    let (muted, hold) = (ask.query.flag("Muted")?, ask.query.flag("Hold")?);
    let conference = find(rest, ask, name).await?;
    let sid = conference.sid.clone();
    let fits = |p: &&ParticipantView| muted.is_none_or(|m| p.muted == m) && hold.is_none_or(|h| p.hold == h);
    let found = conference.participants.iter().filter(fits).skip(paging.offset()).take(paging.limit());
    let shown = found.map(|p| show_participant(&ask.account, &sid, p)).collect();
    Ok(ok(&paging.page(&ask.path, "participants", shown)))
}

async fn whom(rest: &Rest, ask: &Ask, name: &str, call: &str) -> Result<(ConferenceView, ParticipantView), Failure> {
    let conference = find(rest, ask, name).await?;
    let found = conference
        .participants
        .iter()
        .find(|p| p.call.to_string() == call || (!p.label.is_empty() && p.label == call))
        .cloned();
    let found = found.ok_or_else(|| ask.not_found())?;
    Ok((conference, found))
}

async fn participant(rest: &Rest, ask: &Ask, name: &str, call: &str) -> Result<Response, Failure> {
    let (conference, found) = whom(rest, ask, name, call).await?;
    Ok(ok(&show_participant(&ask.account, &conference.sid, &found)))
}

async fn change(rest: &Rest, ask: &Ask, name: &str, call: &str) -> Result<Response, Failure> {
    let (conference, found) = whom(rest, ask, name, call).await?;
    let form = &ask.form;
    let coach = match (form.flag("Coaching")?, form.some("CallSidToCoach")) {
        (Some(false), _) => Some(String::new()),
        (_, Some(other)) if is_sid(other, "CA") => Some(other.to_owned()),
        (_, Some(other)) => return Err(Failure::parameter("CallSidToCoach", other, "CA and 32 hexadecimal digits")),
        (Some(true), None) => return Err(Failure::bad(20_001, "CallSidToCoach is required")),
        (None, None) => None,
    };
    let (hold_url, announce_url) = (address(form, "Hold")?, address(form, "Announce")?);
    let change = Change {
        muted: form.flag("Muted")?,
        hold: form.flag("Hold")?,
        deaf: None,
        coach,
        volume_db: None,
        hold_url,
        announce_url,
    };
    let asked = Operator::Participant { conference: conference.name.clone(), call: found.call, change };
    match rest.operate(asked).await? {
        Reply::Done => participant(rest, ask, name, call).await,
        _ => Err(ask.not_found()),
    }
}

/// Calls somebody into a conference, which need not be there yet.
async fn invite(rest: &Rest, ask: &Ask, named: &str) -> Result<Response, Failure> {
    let form = &ask.form;
    let there = all(rest).await?.into_iter().find(|c| c.sid == named || c.name == named);
    if there.is_none() && is_sid(named, "CF") {
        return Err(ask.not_found());
    }
    let name = there.map_or_else(|| named.to_owned(), |c| c.name);
    let (muted, coach) = (form.flag("Muted")?.unwrap_or(false), form.some("CallSidToCoach"));
    let end = form.flag("EndConferenceOnExit")?.unwrap_or(false);
    let start = form.flag("StartConferenceOnEnter")?.unwrap_or(true);
    let text = placing::into_conference(form, &name)?;
    let runs = calls::document(form, text.as_bytes(), "Participants")?;
    let call: CallId = calls::originate(rest, ask, runs).await?;
    let conference = all(rest).await?.into_iter().find(|c| c.name == name);
    let sid = conference.map(|c| c.sid);
    Ok(created(&json!({
        "account_sid": ask.account, "call_sid": call.to_string(), "conference_sid": sid,
        "label": form.some("Label"), "date_created": date(crate::shell::clock::wall()),
        "date_updated": date(crate::shell::clock::wall()), "muted": muted, "hold": false,
        "end_conference_on_exit": end, "start_conference_on_enter": start, "status": "queued",
        "coaching": coach.is_some(), "call_sid_to_coach": coach, "queue_time": null,
        "uri": format!("{}/{call}.json", ask.path),
    })))
}
