//! Twilio's voice REST interface, `/2010-04-01/…`, by its published description: who asks, of which account, how often; then
//! each resource's own room. Any Host is taken, so that clients can keep the one that they know.

mod accounts;
mod answer;
mod calls;
mod carriers;
mod conferences;
mod form;
mod kinds;
mod payments;
mod placing;
mod queues;
mod recordings;
mod routes;
mod settings;
mod sound;
#[cfg(test)]
mod tests;

use super::Api;
use crate::base::base64::decode;
use crate::base::limit::Bucket;
use crate::base::pii::constant_time_eq;
use crate::shell::clock::Clock;
use crate::shell::store::{Setting, Settings};
use crate::switch::{Operator, Reply};
use answer::Failure;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use form::{Form, decode_segment};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The largest body of a request.
const BODY_MAX: usize = 128 * 1024;
/// Requests a second by one name, and names that are remembered.
const RATE: u32 = 100;
const NAMES_MAX: usize = 1_000;
/// The account of a switch that asks for no credentials.
const NOBODY: &str = "AC00000000000000000000000000000000";

/// What the handlers are given.
pub struct Rest {
    api: Arc<Api>,
    clock: Clock,
    rates: Mutex<BTreeMap<String, Bucket>>,
}

/// One request, read.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: Method,
    /// Without `.json`.
    pub path: String,
    /// The account that it is about.
    pub account: String,
    pub query: Form,
    pub form: Form,
    /// The part of a recording's sound that is asked for.
    pub range: Option<String>,
}

impl Ask {
    pub fn not_found(&self) -> Failure {
        Failure::not_found(&format!("{}.json", self.path))
    }
}

impl Rest {
    pub fn new(api: Arc<Api>) -> Arc<Rest> {
        Arc::new(Rest { api, clock: Clock::new(), rates: Mutex::default() })
    }

    /// Asks the store on a thread that may wait.
    async fn store<T, F>(&self, ask: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Settings) -> Result<T, Failure> + Send + 'static,
    {
        let path = self.api.store.clone();
        let done = tokio::task::spawn_blocking(move || ask(&Settings::open(&path)?)).await;
        done.map_err(|_| Failure::unavailable("the store's thread broke off"))?
    }

    /// Settings may have changed: calls know of them from now on.
    async fn publish(&self, ask: &Ask) {
        if ask.method == Method::GET {
            return;
        }
        let (path, realm) = (self.api.store.clone(), self.api.realm.clone());
        let known = tokio::task::spawn_blocking(move || crate::shell::store::known(&path, &realm)).await;
        match known {
            Ok(Ok(settings)) => _ = self.operate(Operator::Settings(Box::new(settings))).await,
            Ok(Err(fault)) => tracing::warn!(%fault, "the settings of the REST interface cannot be read"),
            Err(_) => tracing::warn!("the store's thread broke off"),
        }
    }

    /// Asks the control thread.
    async fn operate(&self, ask: Operator) -> Result<Reply, Failure> {
        self.api.mail.operator(ask).await.ok_or_else(|| Failure::unavailable("the switch is stopping"))
    }

    /// The main account's number.
    fn main(&self) -> &str {
        self.api.credentials.as_ref().map_or(NOBODY, |c| c.account_sid.as_str())
    }

    /// Whose credentials these are: the account's own, a subaccount's, or a key's.
    async fn account_of(&self, authorization: &str) -> Result<String, Failure> {
        let given = authorization.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
        let given = given.and_then(|(_, value)| decode(value.trim())).and_then(|v| String::from_utf8(v).ok());
        let pair = given.as_deref().and_then(|text| text.split_once(':'));
        let Some((name, token)) = pair.map(|(n, t)| (n.to_owned(), t.to_owned())) else {
            return match self.api.credentials {
                Some(_) => Err(Failure::denied()),
                None => Ok(NOBODY.into()),
            };
        };
        self.admit(&name)?;
        match &self.api.credentials {
            None => return Ok(NOBODY.into()),
            Some(own) if own.are(&name, &token) => return Ok(own.account_sid.clone()),
            Some(_) => {}
        }
        if !answer::is_sid(&name, "AC") && !answer::is_sid(&name, "SK") {
            return Err(Failure::denied());
        }
        let found = self
            .store(move |store| {
                let kinds: &[&str] = if name.starts_with("AC") { &["Accounts"] } else { &["Keys", "SigningKeys"] };
                for kind in kinds {
                    if let Some(found) = store.find(kind, &name)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            })
            .await?;
        found.and_then(|setting| opened(&setting, &token)).ok_or_else(Failure::denied)
    }

    /// 429 for a name that asks too often.
    fn admit(&self, name: &str) -> Result<(), Failure> {
        let now = self.clock.mono();
        let mut rates = self.rates.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if rates.len() >= NAMES_MAX && !rates.contains_key(name) {
            rates.clear();
        }
        match rates.entry(name.to_owned()).or_insert_with(|| Bucket::new(RATE, now)).take(now) {
            true => Ok(()),
            false => Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, 20_429, "Too Many Requests")),
        }
    }
}

/// How a key's secret is kept: SHA-256, since it is 128 random bits that nobody can try through.
fn hash_of(secret: &str) -> String {
    crate::shell::web::sha256_hex(secret.as_bytes())
}

/// The account that a key or a subaccount opens with this token.
fn opened(setting: &Setting, token: &str) -> Option<String> {
    let body: serde_json::Value = serde_json::from_str(&setting.body).ok()?;
    let hashed = hash_of(token);
    let (kept, given, account) = match setting.kind.as_str() {
        "Accounts" if body["status"] != "active" => return None,
        "Accounts" => (body["auth_token"].as_str()?, token, &setting.sid),
        // Keys that were made before secrets were kept as hashes lie there as they are.
        _ => match body["secret_sha256"].as_str() {
            Some(kept) => (kept, &*hashed, &setting.account),
            None => (body["secret"].as_str()?, token, &setting.account),
        },
    };
    constant_time_eq(kept.as_bytes(), given.as_bytes()).then(|| account.clone())
}

/// Every request below `/2010-04-01`.
pub async fn enter(State(rest): State<Arc<Rest>>, request: Request) -> Response {
    perform(&rest, request).await.unwrap_or_else(IntoResponse::into_response)
}

/// Every request below `/v1`: who asks is the account.
pub async fn enter_v1(State(rest): State<Arc<Rest>>, request: Request) -> Response {
    perform_v1(&rest, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn perform_v1(rest: &Rest, request: Request) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    let full = head.uri.path().to_owned();
    let account = rest.enter(&head).await?;
    let segments = segments(full.trim_start_matches("/v1")).ok_or_else(|| Failure::not_found(&full))?;
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let allowed = carriers::methods(&parts).ok_or_else(|| Failure::not_found(&full))?;
    let method = method_of(&head);
    if !allowed.split(", ").any(|name| name == method.as_str()) {
        return Err(Failure::not_of(allowed));
    }
    let (query, form) = read(&head, body).await?;
    let host = head.headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or("voice.twilio.com");
    // Who asks by a published name does so by HTTPS.
    let scheme = if host.ends_with(".twilio.com") { "https" } else { "http" };
    let path = format!("{scheme}://{host}{full}");
    carriers::answer(rest, &Ask { method, path, account, query, form, range: None }, &parts).await
}

/// Who asks for the head of an answer gets that of GET's; the server leaves the body out.
fn method_of(head: &Parts) -> Method {
    if head.method == Method::HEAD { Method::GET } else { head.method.clone() }
}

fn segments(below: &str) -> Option<Vec<String>> {
    below.split('/').skip(1).filter(|s| !s.is_empty()).map(decode_segment).collect()
}

/// A request's query, and its body.
async fn read(head: &Parts, body: Body) -> Result<(Form, Form), Failure> {
    let query = Form::read(head.uri.query().unwrap_or_default());
    let query = query.ok_or_else(|| Failure::bad(20_001, "the query cannot be read"))?;
    let body = to_bytes(body, BODY_MAX).await;
    let body = body.map_err(|_| Failure::new(StatusCode::PAYLOAD_TOO_LARGE, 20_001, "the body is too large"))?;
    let form = std::str::from_utf8(&body).ok().and_then(Form::read);
    let form = form.ok_or_else(|| Failure::bad(20_001, "the body is not application/x-www-form-urlencoded"))?;
    Ok((query, form))
}

async fn perform(rest: &Rest, request: Request) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    let full = head.uri.path().to_owned();
    let method = method_of(&head);
    let range = head.headers.get(header::RANGE).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let own = rest.enter(&head).await?;
    let (path, media) = match full.rsplit_once('.') {
        Some((path, "json")) => (path, None),
        Some((path, kind @ ("wav" | "mp3" | "ogg"))) => (path, Some(kind.to_owned())),
        // Without a suffix a recording is its sound.
        _ if full.contains("/Recordings/RE") && method == Method::GET => (full.as_str(), Some(String::new())),
        _ => (full.as_str(), None),
    };
    let below = path.strip_prefix("/2010-04-01/Accounts").ok_or_else(|| Failure::not_found(&full))?;
    let segments = segments(below).ok_or_else(|| Failure::not_found(&full))?;
    let (query, form) = read(&head, body).await?;
    let account = match segments.first() {
        None => own.clone(),
        // Without credentials there is one account, by whatever name.
        Some(named) if rest.api.credentials.is_none() && answer::is_sid(named, "AC") => named.clone(),
        Some(named) => named.clone(),
    };
    if !segments.is_empty() {
        rest.may(&own, &account, &full).await?;
    }
    let ask = Ask { method, path: path.to_owned(), account, query, form, range };
    let parts: Vec<&str> = segments.iter().skip(1).map(String::as_str).collect();
    let allowed = routes::methods(&parts).ok_or_else(|| Failure::not_found(&full))?;
    if !allowed.split(", ").any(|method| method == ask.method.as_str()) {
        return Err(Failure::not_of(allowed));
    }
    match (segments.len(), media) {
        (0, None) => accounts::all(rest, &ask, &own).await,
        (1, None) => accounts::one(rest, &ask).await,
        (_, media) => dispatch(rest, &ask, &parts, media.as_deref()).await,
    }
}

impl Rest {
    /// The account of who asks.
    async fn enter(&self, head: &Parts) -> Result<String, Failure> {
        let authorization = head.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if authorization.is_empty() && self.api.credentials.is_none() && super::auth::is_from_page(head) {
            return Err(Failure::new(StatusCode::FORBIDDEN, 20_003, "a web page may not give orders here"));
        }
        self.account_of(authorization).await
    }

    /// An account opens itself, the main one all others.
    async fn may(&self, own: &str, account: &str, path: &str) -> Result<(), Failure> {
        if own == account || self.api.credentials.is_none() {
            return Ok(());
        }
        let named = account.to_owned();
        let is_sub = own == self.main() && self.store(move |s| Ok(s.find("Accounts", &named)?.is_some())).await?;
        if is_sub { Ok(()) } else { Err(Failure::not_found(path)) }
    }
}

/// What a subaccount may not see: calls that it has not placed and their recordings; recordings beside their calls and conferences,
/// which do not say whose they are.
async fn may_see(rest: &Rest, ask: &Ask, parts: &[&str]) -> Result<bool, Failure> {
    if rest.api.credentials.is_none() || ask.account == rest.main() {
        return Ok(true);
    }
    match parts {
        ["Calls", call, ..] => calls::is_of(rest, &ask.account, call).await,
        ["Recordings" | "Conferences", ..] => Ok(false),
        _ => Ok(true),
    }
}

async fn dispatch(rest: &Rest, ask: &Ask, parts: &[&str], media: Option<&str>) -> Result<Response, Failure> {
    if !may_see(rest, ask, parts).await? {
        return Err(ask.not_found());
    }
    match (parts, media) {
        (["Recordings", rest_of @ ..], _) => {
            recordings::answer(rest, ask, recordings::Of::Account, rest_of, media).await
        }
        (["Calls", call, "Recordings", rest_of @ ..], _) => {
            recordings::answer(rest, ask, recordings::of_call(ask, call)?, rest_of, media).await
        }
        (_, Some(_)) => Err(ask.not_found()),
        (["Calls", call, "Payments", rest_of @ ..], None) => payments::answer(rest, ask, call, rest_of).await,
        (["Calls", rest_of @ ..], None) => calls::answer(rest, ask, rest_of).await,
        // Warnings and errors lie on the timelines of calls; here are none.
        (["Notifications"], None) => {
            Ok(answer::ok(&answer::Paging::read(&ask.query)?.page(&ask.path, "notifications", Vec::new())))
        }
        (["Notifications", _], None) => Err(ask.not_found()),
        (["Conferences", rest_of @ ..], None) => conferences::answer(rest, ask, rest_of).await,
        (["Queues", rest_of @ ..], None) => {
            let answered = queues::answer(rest, ask, rest_of).await;
            rest.publish(ask).await;
            answered
        }
        (parts, None) => match settings::answer(rest, ask, parts).await {
            Some(answered) => {
                rest.publish(ask).await;
                answered
            }
            None => Err(ask.not_found()),
        },
    }
}
