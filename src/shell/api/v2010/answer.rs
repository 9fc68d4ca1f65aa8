//! The shapes of answers: errors with their published numbers, pages, dates, identifiers.

use super::form::{Form, encode};
use crate::base::time::Wall;
use crate::shell::store::Fault;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// An error as Twilio writes it: `code`, `message`, `more_info`, `status`.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    code: u32,
    message: String,
    /// What a path takes that does not take what was asked.
    allow: Option<&'static str>,
}

impl Failure {
    pub fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Failure {
        Failure { status, code, message: message.into(), allow: None }
    }

    pub fn bad(code: u32, message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 20001: a parameter's value is not what it takes.
    pub fn parameter(name: &str, value: &str, expected: &str) -> Failure {
        let shown: String = value.chars().take(60).collect();
        Failure::bad(20_001, format!("{name}: `{shown}` is not {expected}"))
    }

    pub fn not_found(path: &str) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, 20_404, format!("The requested resource {path} was not found"))
    }

    pub fn method() -> Failure {
        Failure::new(StatusCode::METHOD_NOT_ALLOWED, 20_004, "Method not allowed")
    }

    /// 405 with `Allow`, which RFC 9110 §15.5.6 requires.
    pub fn not_of(allow: &'static str) -> Failure {
        Failure { allow: Some(allow), ..Failure::method() }
    }

    pub fn denied() -> Failure {
        Failure::new(StatusCode::UNAUTHORIZED, 20_003, "Authenticate")
    }

    /// The control thread is ending, or the store does not answer.
    pub fn unavailable(why: impl Into<String>) -> Failure {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, 20_503, why)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        Failure::unavailable(format!("the store does not answer: {fault}"))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = json!({
            "code": self.code, "message": self.message, "status": self.status.as_u16(),
            "more_info": format!("https://www.twilio.com/docs/errors/{}", self.code),
        });
        let mut response = answer(self.status, &body);
        if self.status == StatusCode::UNAUTHORIZED
            && let Ok(challenge) = "Basic realm=\"Twilio API\"".parse()
        {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(allow) = self.allow {
            response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allow));
        }
        response
    }
}

pub fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

pub fn ok(body: &Value) -> Response {
    answer(StatusCode::OK, body)
}

pub fn created(body: &Value) -> Response {
    answer(StatusCode::CREATED, body)
}

pub fn gone() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// `Thu, 30 Jul 2015 20:00:00 +0000` (RFC 2822 §3.3).
pub fn date(at: Wall) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = at.rfc3339();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    let month = part(5..7).parse::<usize>().unwrap_or(1).clamp(1, 12);
    let day = usize::try_from(at.as_micros().div_euclid(86_400_000_000).rem_euclid(7)).unwrap_or(0);
    format!("{}, {} {} {} {} +0000", DAYS[day], part(8..10), MONTHS[month - 1], part(0..4), part(11..19))
}

/// The same of a moment in RFC 3339, as the store's views have it; null for none.
pub fn date_of(text: Option<&str>) -> Value {
    text.and_then(crate::shell::store::parse_when).map_or(Value::Null, |at| date(at).into())
}

/// `AC` and 32 hexadecimal digits, for the prefix `AC`.
pub fn is_sid(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A fresh one, from the operating system's randomness.
pub fn new_sid(prefix: &str) -> Result<String, Failure> {
    let octets: [u8; 16] =
        crate::shell::run::random().map_err(|_| Failure::unavailable("the system gives no random numbers"))?;
    Ok(format!("{prefix}{:032x}", u128::from_be_bytes(octets)))
}

/// Which part of a list is asked for.
#[derive(Clone, Debug)]
pub struct Paging {
    pub size: usize,
    pub page: usize,
    /// The other parameters, for the links.
    others: Vec<(String, String)>,
}

impl Paging {
    const SIZE: usize = 50;
    const SIZE_MAX: usize = 1_000;
    /// Deeper than that nobody turns pages.
    const OFFSET_MAX: usize = 1_000_000;

    pub fn read(query: &Form) -> Result<Paging, Failure> {
        let number = |name: &str| match query.get(name) {
            None | Some("") => Ok(None),
            Some(text) => text.parse::<usize>().map(Some).map_err(|_| Failure::parameter(name, text, "a number")),
        };
        let size = number("PageSize")?.unwrap_or(Self::SIZE);
        if size == 0 {
            return Err(Failure::parameter("PageSize", "0", "from 1 to 1000"));
        }
        let size = size.min(Self::SIZE_MAX);
        let page = number("Page")?.unwrap_or(0);
        if page.saturating_mul(size) > Self::OFFSET_MAX {
            return Err(Failure::parameter("Page", &page.to_string(), "within the first million"));
        }
        let own = ["PageSize", "Page", "PageToken"];
        let others = query.pairs().filter(|(name, _)| !own.contains(name));
        Ok(Paging { size, page, others: others.map(|(n, v)| (n.into(), v.into())).collect() })
    }

    pub const fn offset(&self) -> usize {
        self.page * self.size
    }

    /// One more than the page holds: whether there is a next one.
    pub const fn limit(&self) -> usize {
        self.size + 1
    }

    fn link(&self, path: &str, page: usize) -> String {
        let mut text = format!("{path}.json?");
        for (name, value) in &self.others {
            text.push_str(&format!("{}={}&", encode(name), encode(value)));
        }
        let token = if page == 0 { String::new() } else { format!("&PageToken=PA{page}") };
        format!("{text}PageSize={}&Page={page}{token}", self.size)
    }

    /// A page of what was found, of which there is at most one more than it holds.
    pub fn page(&self, path: &str, key: &str, mut found: Vec<Value>) -> Value {
        let is_more = found.len() > self.size;
        found.truncate(self.size);
        let start = self.offset();
        let mut body = Map::new();
        body.insert("end".into(), (start + found.len().saturating_sub(1)).into());
        body.insert("start".into(), start.into());
        body.insert(key.into(), found.into());
        body.insert("page".into(), self.page.into());
        body.insert("page_size".into(), self.size.into());
        body.insert("first_page_uri".into(), self.link(path, 0).into());
        body.insert("uri".into(), self.link(path, self.page).into());
        let next = is_more.then(|| self.link(path, self.page + 1));
        body.insert("next_page_uri".into(), next.into());
        let previous = self.page.checked_sub(1).map(|page| self.link(path, page));
        body.insert("previous_page_uri".into(), previous.into());
        Value::Object(body)
    }
}

impl Paging {
    /// The same as the interfaces with a version of their own have it: `path` is the whole address.
    pub fn listed(&self, path: &str, key: &str, mut found: Vec<Value>) -> Value {
        let is_more = found.len() > self.size;
        found.truncate(self.size);
        let link = |page| self.link(path, page).replacen(".json?", "?", 1);
        json!({
            key: found,
            "meta": {
                "key": key, "page": self.page, "page_size": self.size, "url": link(self.page),
                "first_page_url": link(0), "next_page_url": is_more.then(|| link(self.page + 1)),
                "previous_page_url": self.page.checked_sub(1).map(link),
            },
        })
    }
}

/// `(808) 925-5327` for a number of the North American plan; all else as it is.
pub fn formatted(number: &str) -> String {
    match number.strip_prefix("+1").filter(|n| n.len() == 10 && n.bytes().all(|b| b.is_ascii_digit())) {
        Some(n) => format!("({}) {}-{}", &n[..3], &n[3..6], &n[6..]),
        None => number.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_numbers_are_written_as_published() {
        let rows = [
            (1_438_286_400_000_000, "Thu, 30 Jul 2015 20:00:00 +0000"),
            (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
            (1_795_364_100_123_000, "Sun, 22 Nov 2026 16:15:00 +0000"),
        ];
        for (us, text) in rows {
            assert_eq!(date(Wall(us)), text);
        }
        assert_eq!(formatted("+18089255327"), "(808) 925-5327");
        assert_eq!(formatted("+442071838750"), "+442071838750");
        assert!(is_sid("AC0123456789abcdef0123456789ABCDEF", "AC"));
        assert!(!is_sid("AC0123456789abcdef0123456789ABCDEG", "AC") && !is_sid("AC", "AC"));
    }

    #[test]
    fn pages_link_to_their_neighbours() {
        let form = Form::read("To=%2B1&PageSize=2&Page=1").unwrap();
        let page = Paging::read(&form).unwrap();
        let body = page.page("/x/Calls", "calls", vec![1.into(), 2.into(), 3.into()]);
        assert_eq!(body["next_page_uri"], "/x/Calls.json?To=%2B1&PageSize=2&Page=2&PageToken=PA2");
        assert_eq!(body["previous_page_uri"], "/x/Calls.json?To=%2B1&PageSize=2&Page=0");
        assert_eq!((body["start"].as_u64(), body["end"].as_u64()), (Some(2), Some(3)));
        assert_eq!(page.page("/x", "calls", vec![1.into()])["next_page_uri"], Value::Null);
        for wrong in ["PageSize=0", "PageSize=x", "Page=-1", "Page=99999999999"] {
            assert!(Paging::read(&Form::read(wrong).unwrap()).is_err(), "{wrong}");
        }
    }
}
