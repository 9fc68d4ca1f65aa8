//! A fetch from its first address to its last: redirects, further attempts, the fallback, and what may come back.

use super::exchange::{Answer, Bounds, Exchange, Failed, Stage};
use super::figures::Figures;
use super::local::Files;
use super::media::Shelf;
use super::message::{Ask, Fields};
use super::url::{Overrides, Policy, Url, shown};
use super::{cookies, form, signature};
use crate::base::base64;
use crate::base::pii::Secret;
use crate::base::rng::Rng;
use crate::event::CallId;
use crate::web::{
    Address, Confidential, Content, DOCUMENT_BYTES_MAX, Fault, Fetch, Method, Page, Parameters, Reason, Want, resolve,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::Instant;

/// Answers in a row that only say where to ask, as Twilio's limit.
const REDIRECTS_MAX: usize = 10;
/// Calls whose cookies are kept; those of further calls are not.
const JARS_MAX: usize = 16 * 1024;

/// What all fetches share.
pub struct Fetcher {
    pub exchange: Exchange,
    pub files: Files,
    pub shelf: Shelf,
    /// Signs requests; without it they are not signed.
    pub token: Option<Secret>,
    pub figures: Arc<Figures>,
    jars: RefCell<BTreeMap<CallId, cookies::Jar>>,
    /// Idempotency tokens; they are no secret.
    rng: RefCell<Rng>,
}

/// What is asked for, by whichever address.
pub struct Wanted<'a> {
    pub call: CallId,
    pub parameters: &'a Parameters,
    /// Further headers, for revalidation.
    pub fields: Fields,
    pub body_max: usize,
    /// Told to the address itself alone.
    pub secret: &'a Confidential,
    /// An answer is one whatever its status.
    pub takes_all: bool,
}

impl Fetcher {
    pub fn new(
        exchange: Exchange,
        files: Files,
        shelf: Shelf,
        token: Option<Secret>,
        figures: Arc<Figures>,
        seed: u64,
    ) -> Fetcher {
        let (jars, rng) = (RefCell::default(), RefCell::new(Rng::from_seed(seed)));
        Fetcher { exchange, files, shelf, token, figures, jars, rng }
    }

    /// The whole of a fetch; its result.
    pub async fn fetch(&self, fetch: &Fetch) -> Result<Box<Page>, Fault> {
        let first = self.page(fetch, &fetch.address, &fetch.parameters, &fetch.secret).await;
        let (Err(fault), Some(fallback)) = (&first, &fetch.fallback) else { return first.map(Box::new) };
        self.figures.fallbacks.fetch_add(1, Relaxed);
        let mut parameters = fetch.parameters.clone();
        parameters.push(("ErrorCode".into(), fault.code().to_string()));
        parameters.push(("ErrorUrl".into(), fetch.address.url.split('#').next().unwrap_or_default().to_owned()));
        let secret = Confidential::default();
        let mut page = Box::pin(self.page(fetch, fallback, &parameters, &secret)).await?;
        page.fell_back = Some(fault.clone());
        Ok(Box::new(page))
    }

    async fn page(
        &self,
        fetch: &Fetch,
        address: &Address,
        parameters: &Parameters,
        secret: &Confidential,
    ) -> Result<Page, Fault> {
        if !is_remote(&address.url) {
            return Box::pin(self.files.page(&address.url, fetch.want, &self.shelf)).await;
        }
        match fetch.want {
            Want::Media => {
                let url: Arc<str> = address.url.clone();
                let file = Box::pin(self.media(fetch.call, address)).await?;
                let content = Content::File(file);
                Ok(Page { url, status: 200, content_type: "audio/wav".into(), content, fell_back: None })
            }
            Want::Document | Want::Reply => {
                let (call, fields, takes_all) = (fetch.call, Fields::default(), fetch.want == Want::Reply);
                let body_max = DOCUMENT_BYTES_MAX;
                let wanted = Wanted { call, parameters, fields, body_max, secret, takes_all };
                let (url, answer) = self.request(address, &wanted).await?;
                if takes_all { Ok(reply(&url, answer)) } else { document(&url, answer) }
            }
        }
    }

    /// Asks an address, with further attempts as its overrides allow. The answer is a success or 304.
    pub async fn request(&self, address: &Address, wanted: &Wanted<'_>) -> Result<(Url, Answer), Fault> {
        let url = Url::parse(&address.url)?;
        let Overrides { retries, policy, total, .. } = url.overrides;
        let until = Instant::now() + total;
        let token = self.idempotency_token();
        let mut left = retries;
        loop {
            match self.follow(url.clone(), address.method, wanted, until, &token).await {
                Ok(answered) => return Ok(answered),
                Err(failed) if left == 0 || Instant::now() >= until || !repeats(policy, failed.stage) => {
                    return Err(Fault { url: shown(&failed.fault.url).into(), ..failed.fault });
                }
                Err(_) => left -= 1,
            }
        }
    }

    async fn follow(
        &self,
        mut url: Url,
        mut method: Method,
        wanted: &Wanted<'_>,
        until: Instant,
        token: &str,
    ) -> Result<(Url, Answer), Failed> {
        let Overrides { connect, read, .. } = url.overrides;
        let bounds = Bounds { connect, read, until, body_max: wanted.body_max };
        let mut parameters = wanted.parameters;
        let none = Parameters::new();
        if method == Method::Get {
            url.add_query(&form::write(parameters));
            parameters = &none;
        }
        let mut is_first = true;
        for _ in 0..=REDIRECTS_MAX {
            let secret = (method == Method::Post).then_some(wanted.secret).filter(|_| is_first);
            is_first = false;
            let ask = self.ask(&url, method, parameters, wanted, token, secret);
            let answer = self.exchange.ask(&url, &ask, &bounds).await?;
            self.take_cookies(wanted.call, &url, &answer);
            let next = redirect(&url, &answer)?;
            // Who repeats the request elsewhere would tell the secret to somebody who may not know it.
            let next = next.filter(|_| wanted.secret.is_empty() || !matches!(answer.status(), 307 | 308));
            let Some(next) = next else {
                return if wanted.takes_all { Ok((url, answer)) } else { judged(url, answer) };
            };
            url = next;
            // 307 and 308 repeat the request (RFC 9110 §15.4.8); after the others it is a GET without the form, as Twilio's.
            if !matches!(answer.status(), 307 | 308) {
                (method, parameters) = (Method::Get, &none);
            }
        }
        let detail = format!("more than {REDIRECTS_MAX} redirects");
        Err(Failed { stage: Stage::Answer, fault: Fault::new(Reason::TooManyRedirects, url.seen(), detail) })
    }

    fn ask(
        &self,
        url: &Url,
        method: Method,
        parameters: &Parameters,
        wanted: &Wanted<'_>,
        token: &str,
        secret: Option<&Confidential>,
    ) -> Ask {
        let full = secret.map_or_else(Disclosed::default, |secret| Disclosed::new(parameters, secret));
        let parameters = if secret.is_some() { &full.0 } else { parameters };
        let mut fields = wanted.fields.clone();
        fields.put("user-agent", "TwilioProxy/1.1");
        fields.put("accept", "*/*");
        fields.put("i-twilio-idempotency-token", token);
        let form = if method == Method::Post { form::write(parameters) } else { String::new() };
        if let Some(key) = self.token.as_ref().filter(|_| !wanted.takes_all) {
            let signed = if method == Method::Post { parameters } else { &Parameters::new() };
            fields.put("x-twilio-signature", &signature::of_form(key.expose(), &url.seen(), signed));
        }
        let json = secret.and_then(|secret| secret.json.as_ref());
        if json.is_some() {
            fields.put("content-type", "application/json");
        } else if method == Method::Post {
            fields.put("content-type", "application/x-www-form-urlencoded; charset=UTF-8");
        }
        let body = json.map_or_else(|| form.into_bytes(), |json| json.expose().as_bytes().to_vec());
        if let Some((user, password)) = &url.credentials {
            let basic = base64::encode(format!("{user}:{password}").as_bytes());
            fields.put("authorization", &format!("Basic {basic}"));
        } else if let Some(authorization) = secret.and_then(|secret| secret.authorization.as_ref()) {
            fields.put("authorization", authorization.expose());
        }
        if let Some(key) = secret.and_then(|secret| secret.idempotency_key.as_ref()) {
            fields.put("idempotency-key", key);
        }
        if let Some(cookie) = self.jars.borrow().get(&wanted.call).and_then(|jar| jar.header(url)) {
            fields.put("cookie", &cookie);
        }
        Ask { method: method.as_str(), fields, body }
    }

    fn take_cookies(&self, call: CallId, url: &Url, answer: &Answer) {
        let mut set = answer.head.all("set-cookie").peekable();
        if set.peek().is_none() {
            return;
        }
        let mut jars = self.jars.borrow_mut();
        if jars.len() < JARS_MAX || jars.contains_key(&call) {
            let jar = jars.entry(call).or_default();
            set.for_each(|header| jar.take(url, header));
        }
    }

    pub fn forget(&self, call: CallId) {
        self.jars.borrow_mut().remove(&call);
    }

    /// A version 4 UUID, one for a request and its repetitions.
    fn idempotency_token(&self) -> String {
        let mut rng = self.rng.borrow_mut();
        let (a, b) = (rng.next_u64(), rng.next_u64());
        let (c, d) = (a & 0xfff | 0x4000, b >> 48 & 0x3fff | 0x8000);
        format!("{:08x}-{:04x}-{c:04x}-{d:04x}-{:012x}", a >> 32, a >> 16 & 0xffff, b & 0xffff_ffff_ffff)
    }
}

pub fn is_remote(url: &str) -> bool {
    url.contains("://") && !url.get(..5).is_some_and(|s| s.eq_ignore_ascii_case("file:"))
}

const fn repeats(policy: Policy, stage: Stage) -> bool {
    match stage {
        Stage::Connect => policy.connect,
        Stage::Read => policy.read,
        Stage::Status(400..=499) => policy.status_4xx,
        Stage::Status(500..=599) => policy.status_5xx,
        _ => false,
    }
}

/// Where an answer sends us.
fn redirect(url: &Url, answer: &Answer) -> Result<Option<Url>, Failed> {
    if !matches!(answer.status(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = answer.header("location") else { return Ok(None) };
    let next = Url::parse(&resolve(&url.base(), location));
    next.map(Some).map_err(|fault| Failed { stage: Stage::Answer, fault })
}

fn judged(url: Url, answer: Answer) -> Result<(Url, Answer), Failed> {
    match answer.status() {
        200..=299 | 304 => Ok((url, answer)),
        status => {
            let fault = Fault::new(Reason::Retrieval, url.seen(), format!("the server answered {status}"));
            Err(Failed { stage: Stage::Status(status), fault })
        }
    }
}

/// A form with what is confidential in it; its values are wiped when it goes.
#[derive(Default)]
struct Disclosed(Parameters);

impl Disclosed {
    fn new(plain: &Parameters, secret: &Confidential) -> Disclosed {
        let secret = secret.form.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
        Disclosed(plain.iter().cloned().chain(secret).collect())
    }
}

impl Drop for Disclosed {
    fn drop(&mut self) {
        for (_, value) in self.0.drain(..) {
            let mut octets = value.into_bytes();
            octets.fill(0);
            std::hint::black_box(&octets);
        }
    }
}

/// An answer as it is.
fn reply(url: &Url, answer: Answer) -> Page {
    let content_type = answer.header("content-type").unwrap_or_default().to_ascii_lowercase();
    let (url, status, content) = (url.base().into(), answer.status(), Content::Body(answer.body));
    Page { url, status, content_type, content, fell_back: None }
}

/// An answer as a document: markup or text, by its type; what has none is told by its first character.
fn document(url: &Url, answer: Answer) -> Result<Page, Fault> {
    let named = answer.header("content-type").unwrap_or_default();
    let content_type = named.split(';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let begin = answer.body.trim_ascii_start();
    let begin = String::from_utf8_lossy(&begin[..begin.len().min(16)]).to_ascii_lowercase();
    let is_page = begin.starts_with("<!doctype html") || begin.starts_with("<html");
    let is_document = match content_type.as_str() {
        "text/xml" | "application/xml" | "text/html" | "application/xhtml+xml" => !is_page,
        "text/plain" => true,
        // No body has no type.
        "" => (begin.starts_with('<') || begin.is_empty()) && !is_page,
        _ => answer.body.is_empty(),
    };
    if !is_document {
        let detail = match is_page {
            true => "the answer is an HTML page".to_owned(),
            false => format!("the answer is {}", if named.is_empty() { "of no type" } else { named }),
        };
        return Err(Fault::new(Reason::ContentType, shown(&url.seen()), detail));
    }
    let (url, status, content) = (url.base().into(), answer.status(), Content::Body(answer.body));
    Ok(Page { url, status, content_type, content, fell_back: None })
}

#[cfg(test)]
mod tests {
    use super::super::message::Head;
    use super::*;

    fn answer(status: u16, fields: &[(&str, &str)], body: &'static str) -> Answer {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut text = format!("HTTP/1.1 {status} X\r\n{fields}\r\n").into_bytes();
        let come = text.len();
        Answer { head: Head::take(&mut text, come).unwrap().unwrap(), body: body.into() }
    }

    #[test]
    fn a_document_is_markup_or_text() {
        let rows = [
            ("text/xml; charset=utf-8", "<Response/>", None),
            ("application/xml", "<Response/>", None),
            ("text/html", "<?xml version=\"1.0\"?><Response/>", None),
            ("TEXT/PLAIN", "Hello", None),
            ("", " <Response/>", None),
            ("", "", None),
            ("text/html", "\n<!DOCTYPE html><p>", Some(12_300)),
            ("text/xml", "<HTML>", Some(12_300)),
            ("application/json", "{}", Some(12_300)),
            ("", "hello", Some(12_300)),
            ("application/octet-stream", "", None),
        ];
        for (kind, body, code) in rows {
            let fields: &[_] = if kind.is_empty() { &[] } else { &[("content-type", kind)] };
            let result = document(&Url::parse("http://h/a?b=1").unwrap(), answer(200, fields, body));
            assert_eq!(result.as_ref().err().map(Fault::code), code, "{kind} {body}");
            if let Ok(page) = result {
                assert_eq!((&*page.url, page.body()), ("http://h/a?b=1", body.as_bytes()));
            }
        }
    }

    #[test]
    fn a_redirect_is_followed_against_the_address_that_gave_it() {
        let url = Url::parse("https://u:p@h/a/b?c=1").unwrap();
        let to = |status, location: &str| {
            let next = redirect(&url, &answer(status, &[("location", location)], ""));
            next.map(|url| url.map(|url| url.base())).map_err(|f| f.fault.code())
        };
        assert_eq!(to(302, "x"), Ok(Some("https://u:p@h/a/x".into())));
        assert_eq!(to(301, "http://other/"), Ok(Some("http://other/".into())));
        assert_eq!(to(307, "file:///etc/passwd"), Err(11_100));
        assert_eq!(to(200, "x"), Ok(None));
    }

    #[test]
    fn an_attempt_is_repeated_as_the_policy_says() {
        let policy = |text: &str| Url::parse(&format!("http://h/#rp={text}")).unwrap().overrides.policy;
        let rows = [
            ("ct", Stage::Connect, true),
            ("ct", Stage::Read, false),
            ("rt", Stage::Read, true),
            ("4xx", Stage::Status(404), true),
            ("4xx", Stage::Status(500), false),
            ("5xx", Stage::Status(503), true),
            ("all", Stage::Status(404), true),
            ("all", Stage::Answer, false),
            ("all", Stage::Before, false),
        ];
        for (text, stage, again) in rows {
            assert_eq!(repeats(policy(text), stage), again, "{text} {stage:?}");
        }
    }
}
