//! Accounts and subaccounts; members of queues.

use super::answer::{Failure, Paging, created, date, new_sid, ok};
use super::{Ask, Rest};
use crate::base::time::Wall;
use crate::shell::clock::wall;
use crate::shell::store::{Setting, Settings};
use axum::http::Method;
use axum::response::Response;
use serde_json::{Map, Value, json};

const KIND: &str = "Accounts";

const PARTS: &[(&str, &str)] = &[
    ("calls", "Calls"),
    ("conferences", "Conferences"),
    ("recordings", "Recordings"),
    ("queues", "Queues"),
    ("incoming_phone_numbers", "IncomingPhoneNumbers"),
    ("outgoing_caller_ids", "OutgoingCallerIds"),
    ("applications", "Applications"),
    ("messages", "Messages"),
    ("keys", "Keys"),
    ("signing_keys", "SigningKeys"),
    ("sip", "SIP"),
];

/// An account as it is shown. Its token is told to whom it opens everything anyway: the main account.
fn show(sid: &str, name: &str, status: &str, owner: &str, token: &str, (made, changed): (Wall, Wall)) -> Value {
    let uri = format!("/2010-04-01/Accounts/{sid}");
    let parts: Map<String, Value> =
        PARTS.iter().map(|(name, tail)| ((*name).into(), format!("{uri}/{tail}.json").into())).collect();
    json!({
        "sid": sid, "friendly_name": name, "status": status, "type": "Full", "owner_account_sid": owner,
        "auth_token": token, "date_created": date(made), "date_updated": date(changed),
        "uri": format!("{uri}.json"), "subresource_uris": parts,
    })
}

fn show_sub(setting: &Setting, owner: &str) -> Value {
    let body: Value = serde_json::from_str(&setting.body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let when = (setting.created, setting.updated);
    show(&setting.sid, &text("friendly_name"), &text("status"), owner, &text("auth_token"), when)
}

fn show_main(sid: &str) -> Value {
    show(sid, "Tandem", "active", sid, "", (Wall(0), Wall(0)))
}

/// `/Accounts`.
pub async fn all(rest: &Rest, ask: &Ask, own: &str) -> Result<Response, Failure> {
    let (ask, main, is_main) = (ask.clone(), rest.main().to_owned(), own == rest.main());
    let own = own.to_owned();
    match ask.method {
        Method::GET => {
            let paging = Paging::read(&ask.query)?;
            rest.store(move |store| {
                let mut shown = Vec::new();
                if is_main {
                    let wanted: Vec<(&str, &str)> = [("friendly_name", "FriendlyName"), ("status", "Status")]
                        .into_iter()
                        .filter_map(|(field, name)| Some((field, ask.query.some(name)?)))
                        .collect();
                    // The main account stands first.
                    let first = paging.offset() == 0 && wanted.is_empty();
                    shown.extend(first.then(|| show_main(&main)));
                    let offset = paging.offset().saturating_sub(1);
                    let found = store.list((KIND, &main, ""), &wanted, (paging.limit(), offset))?;
                    shown.extend(found.iter().map(|s| show_sub(s, &main)));
                    shown.truncate(paging.limit());
                } else if let Some(found) = store.find(KIND, &own)? {
                    shown.push(show_sub(&found, &main));
                }
                Ok(ok(&paging.page("/2010-04-01/Accounts", "accounts", shown)))
            })
            .await
        }
        Method::POST if is_main => {
            let (sid, token) = (new_sid("AC")?, new_sid("")?);
            rest.store(move |store| {
                if store.count(KIND, &main, "")? >= Settings::EACH_MAX {
                    return Err(Failure::bad(20_001, "there are as many subaccounts as there may be"));
                }
                let name = ask.form.some("FriendlyName").unwrap_or("SubAccount");
                let body = json!({ "friendly_name": name, "status": "active", "auth_token": token }).to_string();
                let now = wall();
                let setting = Setting {
                    sid,
                    kind: KIND.into(),
                    account: main.clone(),
                    parent: String::new(),
                    created: now,
                    updated: now,
                    body,
                };
                store.put(&setting)?;
                Ok(created(&show_sub(&setting, &main)))
            })
            .await
        }
        Method::POST => Err(Failure::denied()),
        _ => Err(Failure::method()),
    }
}

/// `/Accounts/{Sid}`.
pub async fn one(rest: &Rest, ask: &Ask) -> Result<Response, Failure> {
    let (ask, main) = (ask.clone(), rest.main().to_owned());
    let is_main = ask.account == main || rest.api.credentials.is_none();
    match ask.method {
        Method::GET if is_main => Ok(ok(&show_main(&ask.account))),
        Method::POST if is_main => {
            Err(Failure::bad(20_001, "the main account is http.auth of tandem.yaml: what the files say wins"))
        }
        Method::GET | Method::POST => {
            rest.store(move |store| {
                let mut found = store.find(KIND, &ask.account)?.ok_or_else(|| ask.not_found())?;
                if ask.method == Method::POST {
                    let mut body: Map<String, Value> = serde_json::from_str(&found.body).unwrap_or_default();
                    if let Some(name) = ask.form.some("FriendlyName") {
                        body.insert("friendly_name".into(), name.into());
                    }
                    match ask.form.some("Status") {
                        None => {}
                        Some(status @ ("active" | "suspended" | "closed")) => {
                            body.insert("status".into(), status.into());
                        }
                        Some(other) => {
                            return Err(Failure::parameter("Status", other, "active, suspended or closed"));
                        }
                    }
                    (found.body, found.updated) = (Value::Object(body).to_string(), wall());
                    store.put(&found)?;
                }
                Ok(ok(&show_sub(&found, &main)))
            })
            .await
        }
        _ => Err(Failure::method()),
    }
}
