//! Queues, those that clients made and those that calls have made, and who waits in them.

use super::answer::{Failure, Paging, date, is_sid, ok};
use super::{Ask, Rest, calls, settings};
use crate::event::CallId;
use crate::shell::store::Setting;
use crate::switch::{MemberView, Operator, QueueId, QueueView, Reply};
use axum::http::Method;
use axum::response::Response;
use serde_json::{Map, Value, json};

const KIND: &str = "Queues";

async fn live(rest: &Rest) -> Result<Vec<QueueView>, Failure> {
    match rest.operate(Operator::Queues).await? {
        Reply::Queues(all) => Ok(all),
        _ => Ok(Vec::new()),
    }
}

/// A queue as the store has it, with who waits in it now.
fn counted(mut shown: Value, live: &[QueueView]) -> Value {
    let id = shown["sid"].as_str().and_then(|sid| sid.parse::<QueueId>().ok());
    if let Some(queue) = live.iter().find(|q| Some(q.id) == id) {
        shown["current_size"] = queue.members.len().into();
        shown["average_wait_time"] = queue.average_s().into();
    }
    shown
}

/// One that a call has made: as it would lie in the store.
fn unstored(account: &str, queue: &QueueView) -> Setting {
    Setting {
        sid: queue.id.to_string(),
        kind: KIND.into(),
        account: account.to_owned(),
        parent: String::new(),
        created: queue.since,
        updated: queue.since,
        body: json!({ "friendly_name": queue.name, "max_size": queue.max }).to_string(),
    }
}

fn show_member(account: &str, queue: QueueId, m: &MemberView) -> Value {
    json!({
        "queue_sid": queue.to_string(), "call_sid": m.call.to_string(), "date_enqueued": date(m.since),
        "wait_time": m.waited_s, "position": m.position,
        "uri": format!("/2010-04-01/Accounts/{account}/Queues/{queue}/Members/{}.json", m.call),
    })
}

/// Calls' queues are the main account's.
fn is_main(rest: &Rest, ask: &Ask) -> bool {
    rest.api.credentials.is_none() || ask.account == rest.main()
}

pub async fn answer(rest: &Rest, ask: &Ask, parts: &[&str]) -> Result<Response, Failure> {
    match (parts, ask.method.clone()) {
        ([], Method::GET) => list(rest, ask).await,
        ([], Method::POST) => create(rest, ask).await,
        ([sid], Method::GET) => Ok(ok(&one(rest, ask, sid).await?)),
        ([sid], Method::POST) => update(rest, ask, sid).await,
        ([sid], Method::DELETE) => remove(rest, ask, sid).await,
        ([sid, "Members"], Method::GET) => members(rest, ask, sid).await,
        ([sid, "Members", call], Method::GET) => {
            let (queue, member) = member(rest, ask, sid, call).await?;
            Ok(ok(&show_member(&ask.account, queue, &member)))
        }
        ([sid, "Members", call], Method::POST) => dequeue(rest, ask, sid, call).await,
        ([] | [_] | [_, "Members"] | [_, "Members", _], _) => Err(Failure::method()),
        _ => Err(ask.not_found()),
    }
}

async fn stored(rest: &Rest, ask: &Ask) -> Result<Vec<Setting>, Failure> {
    let account = ask.account.clone();
    rest.store(move |store| Ok(store.list((KIND, &account, ""), &[], (10_000, 0))?)).await
}

async fn list(rest: &Rest, ask: &Ask) -> Result<Response, Failure> {
    let paging = Paging::read(&ask.query)?;
    let (mut all, live) = (stored(rest, ask).await?, live(rest).await?);
    if is_main(rest, ask) {
        let is_new = |q: &&QueueView| !all.iter().any(|s| s.sid == q.id.to_string());
        let more: Vec<Setting> = live.iter().filter(is_new).map(|q| unstored(&ask.account, q)).collect();
        all.extend(more);
    }
    let page = all.iter().skip(paging.offset()).take(paging.limit());
    let page = page.map(|s| counted(settings::show_queue(s), &live)).collect();
    Ok(ok(&paging.page(&ask.path, "queues", page)))
}

async fn find(rest: &Rest, ask: &Ask, sid: &str) -> Result<(Setting, Vec<QueueView>), Failure> {
    let (all, live) = (stored(rest, ask).await?, live(rest).await?);
    let of_call = live.iter().find(|q| q.id.to_string() == sid).filter(|_| is_main(rest, ask));
    let found = all.into_iter().find(|s| s.sid == sid).or_else(|| of_call.map(|q| unstored(&ask.account, q)));
    found.map(|found| (found, live)).ok_or_else(|| ask.not_found())
}

async fn one(rest: &Rest, ask: &Ask, sid: &str) -> Result<Value, Failure> {
    let (found, live) = find(rest, ask, sid).await?;
    Ok(counted(settings::show_queue(&found), &live))
}

/// A queue that calls know already is the one that is made.
async fn create(rest: &Rest, ask: &Ask) -> Result<Response, Failure> {
    settings::create_queue(rest, ask).await
}

async fn update(rest: &Rest, ask: &Ask, sid: &str) -> Result<Response, Failure> {
    let (found, live) = find(rest, ask, sid).await?;
    let mut body: Map<String, Value> = serde_json::from_str(&found.body).unwrap_or_default();
    settings::take_queue(&ask.form, &mut body)?;
    let name = body.get("friendly_name").cloned().unwrap_or_default();
    let account = ask.account.clone();
    let setting = rest
        .store(move |store| {
            let same =
                store.list((KIND, &account, ""), &[("friendly_name", name.as_str().unwrap_or_default())], (2, 0))?;
            if same.iter().any(|other| other.sid != found.sid) {
                return Err(Failure::bad(22_003, "there is a queue of this name"));
            }
            let now = crate::shell::clock::wall();
            let setting = Setting { body: Value::Object(body).to_string(), updated: now, ..found };
            store.put(&setting)?;
            Ok(setting)
        })
        .await?;
    Ok(ok(&counted(settings::show_queue(&setting), &live)))
}

/// Nobody may wait in it.
async fn remove(rest: &Rest, ask: &Ask, sid: &str) -> Result<Response, Failure> {
    let (found, _) = find(rest, ask, sid).await?;
    if let Ok(id) = found.sid.parse() {
        match rest.operate(Operator::ForgetQueue(id)).await? {
            Reply::Done => {}
            _ => return Err(Failure::bad(20_001, "the queue is not empty")),
        }
    }
    let account = ask.account.clone();
    rest.store(move |store| Ok(store.remove(KIND, &account, "", &found.sid)?)).await?;
    Ok(super::answer::gone())
}

async fn queue(rest: &Rest, ask: &Ask, sid: &str) -> Result<(QueueId, Vec<MemberView>), Failure> {
    let (found, live) = find(rest, ask, sid).await?;
    let id: QueueId = found.sid.parse().map_err(|()| ask.not_found())?;
    let members = live.into_iter().find(|q| q.id == id).map(|q| q.members).unwrap_or_default();
    Ok((id, members))
}

async fn members(rest: &Rest, ask: &Ask, sid: &str) -> Result<Response, Failure> {
    let paging = Paging::read(&ask.query)?;
    let (id, members) = queue(rest, ask, sid).await?;
    let page = members.iter().skip(paging.offset()).take(paging.limit());
    let page = page.map(|m| show_member(&ask.account, id, m)).collect();
    Ok(ok(&paging.page(&ask.path, "queue_members", page)))
}

/// The call that a path names: by its number, or the first.
fn named(ask: &Ask, call: &str) -> Result<Option<CallId>, Failure> {
    match call {
        "Front" => Ok(None),
        call if is_sid(call, "CA") => call.parse().map(Some).map_err(|()| ask.not_found()),
        _ => Err(ask.not_found()),
    }
}

async fn member(rest: &Rest, ask: &Ask, sid: &str, call: &str) -> Result<(QueueId, MemberView), Failure> {
    let (id, members) = queue(rest, ask, sid).await?;
    let call = named(ask, call)?;
    let found = members.into_iter().find(|m| call.is_none_or(|call| m.call == call));
    Ok((id, found.ok_or_else(|| ask.not_found())?))
}

/// One who waits goes on with another document.
async fn dequeue(rest: &Rest, ask: &Ask, sid: &str, call: &str) -> Result<Response, Failure> {
    let (queue, _) = queue(rest, ask, sid).await?;
    let call = named(ask, call)?;
    if ask.form.some("Url").is_none() {
        return Err(Failure::bad(20_001, "Url is required"));
    }
    let runs = calls::script(rest, ask).await?.ok_or_else(|| Failure::bad(20_001, "Url is required"))?;
    match rest.operate(Operator::Dequeue { queue, call, runs }).await? {
        Reply::Member(member) => Ok(ok(&show_member(&ask.account, queue, &member))),
        Reply::Refused(why) => Err(Failure::bad(20_001, why)),
        _ => Err(ask.not_found()),
    }
}
