//! HTTP Basic (RFC 7617): the account's name and token, compared in time that does not depend on them.

use super::{Api, Problem};
use crate::base::base64::{decode, encode};
use crate::base::pii::{Secret, constant_time_eq};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// What a client must know.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub account_sid: String,
    pub auth_token: Secret,
}

impl Credentials {
    /// The value of `Authorization`.
    pub fn header(&self) -> String {
        format!("Basic {}", encode(format!("{}:{}", self.account_sid, self.auth_token.expose()).as_bytes()))
    }

    /// Whether name and token are these; both are compared always.
    pub fn are(&self, name: &str, token: &str) -> bool {
        let is_name = constant_time_eq(name.as_bytes(), self.account_sid.as_bytes());
        let is_token = constant_time_eq(token.as_bytes(), self.auth_token.expose().as_bytes());
        is_name & is_token
    }

    fn are_in(&self, header: &str) -> bool {
        let given = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
        let Some(given) = given.and_then(|(_, value)| decode(value.trim())) else { return false };
        let Some(colon) = given.iter().position(|b| *b == b':') else { return false };
        let (name, token) = given.split_at(colon);
        // Both are compared always: the time does not tell which was wrong.
        let is_name = constant_time_eq(name, self.account_sid.as_bytes());
        let is_token = constant_time_eq(token.get(1..).unwrap_or_default(), self.auth_token.expose().as_bytes());
        is_name & is_token
    }
}

/// Lets a request through or answers 401.
pub async fn guard(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let Some(credentials) = &api.credentials else {
        let (head, body) = request.into_parts();
        return match is_from_page(&head) {
            false => next.run(Request::from_parts(head, body)).await,
            true => {
                let sentence = "a web page may not give orders here: set http.auth in tandem.yaml";
                Problem::new(StatusCode::FORBIDDEN, "forbidden", sentence).into_response()
            }
        };
    };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if credentials.are_in(given) {
        return next.run(request).await;
    }
    let sentence = "this needs the account_sid and auth_token of http.auth in tandem.yaml, as HTTP Basic";
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", sentence).into_response();
    let challenge = HeaderValue::from_static("Basic realm=\"tandem\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// Without credentials every program of this machine may ask, but not every web page that a browser on it shows: browsers
/// name the page, and a page that has its name resolve to loopback is betrayed by that name.
pub fn is_from_page(request: &Parts) -> bool {
    let value = |name: header::HeaderName| request.headers.get(name).and_then(|v| v.to_str().ok());
    let host = value(header::HOST).unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(host, |(name, _)| name);
    let is_address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    let is_foreign = |origin: &str| origin.split_once("://").is_none_or(|(_, page)| page != host);
    value(header::ORIGIN).is_some_and(is_foreign) || !(is_address || name.eq_ignore_ascii_case("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_from_pages() {
        let rows = [
            ("127.0.0.1:8080", None, false),
            ("[::1]:8080", None, false),
            ("localhost", None, false),
            ("rebound.example.com:8080", None, true),
            ("", None, true),
            ("127.0.0.1:8080", Some("https://example.com"), true),
            ("127.0.0.1:8080", Some("null"), true),
            ("127.0.0.1:8080", Some("http://127.0.0.1:8080"), false),
        ];
        for (host, origin, want) in rows {
            let request = axum::http::Request::builder().header(header::HOST, host);
            let request = origin.into_iter().fold(request, |r, o| r.header(header::ORIGIN, o));
            assert_eq!(is_from_page(&request.body(()).unwrap().into_parts().0), want, "{host} {origin:?}");
        }
    }

    #[test]
    fn only_the_whole_pair_opens() {
        let credentials = Credentials { account_sid: "AC1".into(), auth_token: Secret::new("s:ecret".into()) };
        let basic = |pair: &str| format!("Basic {}", encode(pair.as_bytes()));
        let rows = [
            (basic("AC1:s:ecret"), true),
            (credentials.header().replace("Basic", "bAsIc"), true),
            (basic("AC1:s:ecre"), false),
            (basic("AC1:"), false),
            (basic("AC1"), false),
            (basic("AC2:s:ecret"), false),
            ("Bearer x".into(), false),
            (String::new(), false),
        ];
        for (header, want) in rows {
            assert_eq!(credentials.are_in(&header), want, "{header}");
        }
    }
}
