//! Resources that are settings: made, listed, read, changed and removed alike, as the table of [`super::kinds`] says.

use super::answer::{Failure, Paging, created, date, formatted, gone, is_sid, new_sid, ok};
use super::carriers;
use super::form::Form;
use super::kinds::{KINDS, Kind, Parameter, Takes};
use super::{Ask, Rest};
use crate::shell::clock::wall;
use crate::shell::store::{Setting, Settings};
use crate::sip::wire::Uri;
use crate::switch::QueueId;
use axum::http::Method;
use axum::response::Response;
use serde_json::{Map, Value, json};

/// Longer values are refused.
const TEXT_MAX: usize = 4_096;

/// The kind whose collection, or one of which, a path names; the number of its parent, and its own.
fn of_path<'a>(kinds: &'static [Kind], segments: &[&'a str]) -> Option<(&'static Kind, &'a str, Option<&'a str>)> {
    kinds.iter().find_map(|kind| {
        let own = match segments.len().checked_sub(kind.path.len()) {
            Some(0) => None,
            Some(1) => segments.last().copied(),
            _ => return None,
        };
        let mut parent = "";
        for (pattern, segment) in kind.path.iter().zip(segments) {
            match *pattern {
                "*" => parent = segment,
                name if name == *segment => {}
                _ => return None,
            }
        }
        Some((kind, parent, own))
    })
}

/// `VoiceUrl` → `voice_url`.
fn field(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for (i, c) in name.char_indices() {
        if c.is_ascii_uppercase() && i > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// What a parameter's value becomes.
fn value(parameter: &Parameter, text: &str) -> Result<Value, Failure> {
    let wrong = |expected: &str| Err(Failure::parameter(parameter.name, text, expected));
    if text.len() > TEXT_MAX || text.contains('\0') {
        return wrong("a text of at most 4096 octets");
    }
    match parameter.takes {
        Takes::Text | Takes::Hidden => Ok(text.into()),
        Takes::Bool if text.eq_ignore_ascii_case("true") => Ok(true.into()),
        Takes::Bool if text.eq_ignore_ascii_case("false") => Ok(false.into()),
        Takes::Bool => wrong("true or false"),
        Takes::Number(least, most) => match text.parse::<u64>() {
            Ok(n) if (least..=most).contains(&n) => Ok(n.into()),
            _ => wrong(&format!("a number from {least} to {most}")),
        },
        Takes::Method => match text.to_ascii_uppercase() {
            method if method == "GET" || method == "POST" => Ok(method.into()),
            _ => wrong("GET or POST"),
        },
        Takes::Url if text.is_empty() => Ok(Value::Null),
        Takes::Url if text.starts_with("http://") || text.starts_with("https://") => Ok(text.into()),
        Takes::Url => wrong("an address that begins with http:// or https://"),
        Takes::Sid(_) if text.is_empty() => Ok(Value::Null),
        Takes::Sid(prefix) if is_sid(text, prefix) => Ok(text.into()),
        Takes::Sid(prefix) => wrong(&format!("{prefix} and 32 hexadecimal digits")),
        Takes::OneOf(words) if words.contains(&text) => Ok(text.into()),
        Takes::OneOf(words) => wrong(&words.join(" or ")),
        Takes::Address if text.parse::<std::net::IpAddr>().is_ok() => Ok(text.into()),
        Takes::Address => wrong("an IP address"),
        Takes::Sip if Uri::parse(text).is_some_and(|uri| uri.is_sip()) => Ok(text.into()),
        Takes::Sip => wrong("an address such as sip:pbx.example.com"),
    }
}

/// Takes the parameters of a request into a body; a new one must have all that are needed.
fn take(kind: &Kind, form: &Form, body: &mut Map<String, Value>, is_new: bool) -> Result<(), Failure> {
    for parameter in kind.parameters {
        let name = field(parameter.name);
        match form.get(parameter.name) {
            Some("") if is_new && parameter.is_required => {
                return Err(Failure::bad(20_001, format!("{} is required", parameter.name)));
            }
            Some(text) => {
                body.insert(name, value(parameter, text)?);
            }
            None if is_new && parameter.is_required => {
                return Err(Failure::bad(20_001, format!("{} is required", parameter.name)));
            }
            None if is_new => {
                body.insert(name, serde_json::from_str(parameter.usual).unwrap_or_default());
            }
            None => {}
        }
    }
    if body.get("friendly_name").is_some_and(|name| name == "")
        && let Some(number) = body.get("phone_number").and_then(Value::as_str)
    {
        body.insert("friendly_name".into(), formatted(number).into());
    }
    Ok(())
}

/// A resource as it is shown.
fn show(kind: &Kind, setting: &Setting) -> Value {
    let mut body: Map<String, Value> = serde_json::from_str(kind.says).unwrap_or_default();
    let own: Map<String, Value> = serde_json::from_str(&setting.body).unwrap_or_default();
    let is_hidden = |name: &str| {
        matches!(name, "secret" | "secret_sha256" | "ha1")
            || kind.parameters.iter().any(|p| p.takes == Takes::Hidden && field(p.name) == name)
    };
    body.extend(own.into_iter().filter(|(name, _)| !is_hidden(name)));
    body.insert("sid".into(), setting.sid.as_str().into());
    body.insert("date_created".into(), date(setting.created).into());
    body.insert("date_updated".into(), date(setting.updated).into());
    if kind.prefix != "SK" {
        body.insert("account_sid".into(), setting.account.as_str().into());
    }
    if let Some(name) = kind.parent_field {
        body.insert(name.into(), setting.parent.as_str().into());
    }
    let path: Vec<&str> = kind.path.iter().map(|p| if *p == "*" { setting.parent.as_str() } else { p }).collect();
    if carriers::has(kind) {
        return carriers::finish(kind, setting, &path.join("/"), body);
    }
    let uri = format!("/2010-04-01/Accounts/{}/{}/{}", setting.account, path.join("/"), setting.sid);
    if kind.has_uri {
        body.insert("uri".into(), format!("{uri}.json").into());
    }
    if !kind.parts.is_empty() {
        let parts = kind.parts.iter().map(|(name, tail)| ((*name).into(), format!("{uri}/{tail}.json").into()));
        body.insert("subresource_uris".into(), Value::Object(parts.collect()));
    }
    Value::Object(body)
}

/// Answers a request to one of the table's paths; `None`: the path is none of them.
pub async fn answer(rest: &Rest, ask: &Ask, segments: &[&str]) -> Option<Result<Response, Failure>> {
    let (segments, only) = match segments {
        [numbers @ "IncomingPhoneNumbers", "Local"] => (&[*numbers][..], Some("local")),
        [numbers @ "IncomingPhoneNumbers", "Mobile"] => (&[*numbers][..], Some("mobile")),
        [numbers @ "IncomingPhoneNumbers", "TollFree"] => (&[*numbers][..], Some("toll-free")),
        _ => (segments, None),
    };
    answer_in(KINDS, rest, ask, segments, only).await
}

/// The same of the kinds of a table.
pub async fn answer_in(
    kinds: &'static [Kind],
    rest: &Rest,
    ask: &Ask,
    segments: &[&str],
    only: Option<&'static str>,
) -> Option<Result<Response, Failure>> {
    let (kind, parent, own) = of_path(kinds, segments)?;
    let here = Place { kind, parent: parent.to_owned(), ask: ask.clone(), only };
    Some(match (ask.method.clone(), own) {
        (Method::GET, None) => here.list(rest).await,
        (Method::POST, None) => here.create(rest).await,
        (Method::GET, Some(sid)) => here.one(rest, sid.to_owned()).await,
        (Method::POST, Some(sid)) if kind.can_update => here.update(rest, sid.to_owned()).await,
        (Method::DELETE, Some(sid)) => here.remove(rest, sid.to_owned()).await,
        _ => Err(Failure::method()),
    })
}

fn queues() -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.key == "queues")
}

pub fn show_queue(setting: &Setting) -> Value {
    queues().map_or(Value::Null, |kind| show(kind, setting))
}

pub fn take_queue(form: &Form, body: &mut Map<String, Value>) -> Result<(), Failure> {
    queues().map_or(Ok(()), |kind| take(kind, form, body, false))
}

pub async fn create_queue(rest: &Rest, ask: &Ask) -> Result<Response, Failure> {
    let Some(kind) = queues() else { return Err(ask.not_found()) };
    Place { kind, parent: String::new(), ask: ask.clone(), only: None }.create(rest).await
}

/// A collection, and what is asked of it.
struct Place {
    kind: &'static Kind,
    parent: String,
    ask: Ask,
    /// Numbers of one type.
    only: Option<&'static str>,
}

impl Place {
    async fn list(self, rest: &Rest) -> Result<Response, Failure> {
        let paging = Paging::read(&self.ask.query)?;
        rest.store(move |store| {
            self.check_parent(store)?;
            let names: Vec<String> = self.kind.filters.iter().map(|name| field(name)).collect();
            let given = self.kind.filters.iter().zip(&names);
            let mut wanted: Vec<(&str, &str)> =
                given.filter_map(|(name, field)| Some((field.as_str(), self.ask.query.some(name)?))).collect();
            wanted.extend(self.only.map(|kind| ("type", kind)));
            let of = (&*self.kind.name(), &*self.ask.account, &*self.parent);
            let found = store.list(of, &wanted, (paging.limit(), paging.offset()))?;
            let shown = found.iter().map(|s| show(self.kind, s)).collect();
            Ok(ok(&match carriers::has(self.kind) {
                true => paging.listed(&self.ask.path, self.kind.key, shown),
                false => paging.page(&self.ask.path, self.kind.key, shown),
            }))
        })
        .await
    }

    async fn create(self, rest: &Rest) -> Result<Response, Failure> {
        let realm = rest.api.realm.clone();
        rest.store(move |store| {
            self.check_parent(store)?;
            let (kind, account) = (self.kind.name(), &self.ask.account);
            if store.count(&kind, account, &self.parent)? >= Settings::EACH_MAX {
                return Err(Failure::bad(20_001, "this account has as many of these as it may have"));
            }
            let mut body = Map::new();
            let mut secret = None;
            take(self.kind, &self.ask.form, &mut body, true)?;
            if self.kind.key == "incoming_phone_numbers" {
                body.insert("type".into(), self.only.unwrap_or("local").into());
            }
            let sid = match self.kind.maps {
                Some((parameter, mapped)) => self.mapped(store, parameter, mapped, &mut body)?,
                None if self.kind.key == "queues" => {
                    // Calls may have made it already: it follows from the name, unless a queue that was renamed has it.
                    let name = body.get("friendly_name").and_then(Value::as_str).unwrap_or_default();
                    let sid = QueueId::of_name(name).to_string();
                    if store.find(&kind, &sid)?.is_some() { new_sid(self.kind.prefix)? } else { sid }
                }
                None => new_sid(self.kind.prefix)?,
            };
            self.refuse_second(store, &body)?;
            self.refuse_file_domain(&realm, &body)?;
            hash_password(&mut body, &realm);
            if self.kind.prefix == "SK" {
                let made = new_sid("")?;
                body.insert("secret_sha256".into(), super::hash_of(&made).into());
                secret = Some(made);
            }
            let now = wall();
            let setting = Setting {
                sid,
                kind,
                account: account.clone(),
                parent: self.parent.clone(),
                created: now,
                updated: now,
                body: Value::Object(body.clone()).to_string(),
            };
            store.put(&setting)?;
            self.tell_parent(store)?;
            let mut shown = show(self.kind, &setting);
            if let (Some(secret), Some(object)) = (secret, shown.as_object_mut()) {
                // Told this once, and never again: only its hash is kept.
                object.insert("secret".into(), secret.into());
            }
            if self.kind.key == "outgoing_caller_ids" {
                // The operator of a switch of its own need not prove a number: the code is for clients that expect one.
                return Ok(ok(&json!({
                    "account_sid": account, "call_sid": null, "validation_code": "000000",
                    "phone_number": body.get("phone_number"), "friendly_name": body.get("friendly_name"),
                })));
            }
            Ok(created(&shown))
        })
        .await
    }

    /// The number of the list that a mapping names, whose name it takes.
    fn mapped(
        &self,
        store: &Settings,
        parameter: &str,
        kind: &str,
        body: &mut Map<String, Value>,
    ) -> Result<String, Failure> {
        let sid = self.ask.form.some(parameter).unwrap_or_default();
        let Some(list) = store.get(kind, &self.ask.account, "", sid)? else {
            return Err(Failure::parameter(parameter, sid, "a list of this account"));
        };
        let own: Map<String, Value> = serde_json::from_str(&list.body).unwrap_or_default();
        body.insert("friendly_name".into(), own.get("friendly_name").cloned().unwrap_or_default());
        Ok(list.sid)
    }

    /// A queue's name, a number and a domain are an account's once.
    fn refuse_second(&self, store: &Settings, body: &Map<String, Value>) -> Result<(), Failure> {
        let (name, code, what) = match self.kind.key {
            "queues" => ("friendly_name", 22_003, "there is a queue of this name"),
            "incoming_phone_numbers" => ("phone_number", 21_422, "this number is in use"),
            "domains" | "trunks" => ("domain_name", 21_232, "this domain is in use"),
            _ => return Ok(()),
        };
        let Some(text) = body.get(name).and_then(Value::as_str) else { return Ok(()) };
        let kind = self.kind.name();
        let is_taken = match self.kind.key {
            // Phones name a domain without its account.
            "domains" | "trunks" => ["SIP/Domains", "Trunks"]
                .iter()
                .map(|kind| store.all(kind))
                .collect::<Result<Vec<_>, _>>()?
                .iter()
                .flatten()
                .any(|s| {
                    let own: Value = serde_json::from_str(&s.body).unwrap_or_default();
                    own["domain_name"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(text))
                }),
            _ => !store.list((&kind, &self.ask.account, &self.parent), &[(name, text)], (1, 0))?.is_empty(),
        };
        if is_taken { Err(Failure::bad(code, what)) } else { Ok(()) }
    }

    /// Parts need what they are parts of.
    fn check_parent(&self, store: &Settings) -> Result<(), Failure> {
        if self.parent.is_empty() {
            return Ok(());
        }
        let above = &self.kind.path[..self.kind.path.iter().position(|p| *p == "*").unwrap_or(0)];
        match store.get(&above.join("/"), &self.ask.account, "", &self.parent)? {
            Some(_) => Ok(()),
            None => Err(self.ask.not_found()),
        }
    }

    fn find(&self, store: &Settings, sid: &str) -> Result<Setting, Failure> {
        let found = store.get(&self.kind.name(), &self.ask.account, &self.parent, sid)?;
        found.ok_or_else(|| self.ask.not_found())
    }

    async fn one(self, rest: &Rest, sid: String) -> Result<Response, Failure> {
        rest.store(move |store| Ok(ok(&show(self.kind, &self.find(store, &sid)?)))).await
    }

    async fn update(self, rest: &Rest, sid: String) -> Result<Response, Failure> {
        let realm = rest.api.realm.clone();
        rest.store(move |store| {
            let mut setting = self.find(store, &sid)?;
            let mut body: Map<String, Value> = serde_json::from_str(&setting.body).unwrap_or_default();
            let username = body.get("username").cloned();
            take(self.kind, &self.ask.form, &mut body, false)?;
            if let Some(name) = username {
                // The hash is of this name: it stays.
                body.insert("username".into(), name);
            }
            self.refuse_file_domain(&realm, &body)?;
            hash_password(&mut body, &realm);
            (setting.body, setting.updated) = (Value::Object(body).to_string(), wall());
            store.put(&setting)?;
            Ok(ok(&show(self.kind, &setting)))
        })
        .await
    }

    async fn remove(self, rest: &Rest, sid: String) -> Result<Response, Failure> {
        rest.store(move |store| match store.remove(&self.kind.name(), &self.ask.account, &self.parent, &sid)? {
            true => self.tell_parent(store).map(|()| gone()),
            false => Err(self.ask.not_found()),
        })
        .await
    }

    /// The `auth_type` of a domain, or a trunk, follows from what is mapped on it.
    fn tell_parent(&self, store: &Settings) -> Result<(), Failure> {
        if self.kind.maps.is_none() {
            return Ok(());
        }
        let above = *self.kind.path.first().unwrap_or(&"");
        let (own, parts): (_, [&[&str]; 2]) = match above {
            "Trunks" => ("Trunks", [&["IpAccessControlLists"], &["CredentialLists"]]),
            _ => (
                "SIP/Domains",
                [
                    &["IpAccessControlListMappings", "Auth/Calls/IpAccessControlListMappings"],
                    &["CredentialListMappings", "Auth/Calls/CredentialListMappings"],
                ],
            ),
        };
        let Some(mut parent) = store.get(own, &self.ask.account, "", &self.parent)? else { return Ok(()) };
        let mut of = Vec::new();
        for (name, tails) in ["IP_ACL", "CREDENTIAL_LIST"].into_iter().zip(parts) {
            let count = |tail: &&str| store.count(&format!("{own}/{tail}"), &self.ask.account, &self.parent);
            let counts = tails.iter().map(count).collect::<Result<Vec<_>, _>>()?;
            of.extend(counts.iter().any(|n| *n > 0).then_some(name));
        }
        let mut body: Map<String, Value> = serde_json::from_str(&parent.body).unwrap_or_default();
        body.insert("auth_type".into(), of.join(",").into());
        parent.body = Value::Object(body).to_string();
        Ok(store.put(&parent)?)
    }

    /// What the files say wins.
    fn refuse_file_domain(&self, file: &str, body: &Map<String, Value>) -> Result<(), Failure> {
        let is_its = |name: &str| name.eq_ignore_ascii_case(file);
        match body.get("domain_name").and_then(Value::as_str) {
            Some(name) if is_its(name) => {
                Err(Failure::bad(21_232, format!("{name} is sip.domain of tandem.yaml: what the files say wins")))
            }
            _ => Ok(()),
        }
    }
}

/// No password is kept: what digests need of it is.
fn hash_password(body: &mut Map<String, Value>, realm: &str) {
    let Some(Value::String(password)) = body.remove("password") else { return };
    let name = body.get("username").and_then(Value::as_str).unwrap_or_default().to_owned();
    body.insert("ha1".into(), crate::shell::store::ha1(&name, realm, &password).into());
}
