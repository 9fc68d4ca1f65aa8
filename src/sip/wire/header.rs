use super::*;
use std::net::{IpAddr, SocketAddr};

/// Header names that Tandem knows; compact forms are the same name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum HeaderName {
    Accept,
    Alert,
    Allow,
    Authorization,
    AuthenticationInfo,
    CallId,
    CSeq,
    Contact,
    ContentDisposition,
    ContentEncoding,
    ContentLength,
    ContentType,
    Date,
    Diversion,
    Event,
    Expires,
    From,
    HistoryInfo,
    MaxForwards,
    MinExpires,
    MinSe,
    PAssertedIdentity,
    PPreferredIdentity,
    Path,
    Privacy,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyRequire,
    RAck,
    RSeq,
    Reason,
    RecordRoute,
    ReferTo,
    ReferredBy,
    Replaces,
    Require,
    RetryAfter,
    Route,
    Server,
    ServiceRoute,
    SessionExpires,
    Subject,
    SubscriptionState,
    Supported,
    Timestamp,
    To,
    Unsupported,
    UserAgent,
    Via,
    Warning,
    WwwAuthenticate,
    Other,
}

impl HeaderName {
    /// Canonical long form as written out; "" for `Other`.
    pub const fn as_str(self) -> &'static str {
        todo!()
    }
    /// Any case, compact or long.
    pub fn from_token(token: &str) -> HeaderName {
        let _ = token;
        todo!()
    }
}

/// `;name=value;flag` parameters, as written after a value. Names compare without case; quoted values are unquoted on demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(pub &'a str);

impl<'a> Params<'a> {
    /// `None` if absent; `Some("")` for a flag.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let _ = name;
        todo!()
    }
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        std::iter::empty()
    }
}

/// One Via value (RFC 3261 §20.42).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// "UDP", "TCP", "TLS", "WS", "WSS" or anything else, as written.
    pub transport: &'a str,
    pub host: &'a str,
    pub port: Option<u16>,
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    pub fn parse(value: &'a str) -> Option<Via<'a>> {
        let _ = value;
        todo!()
    }
    pub fn branch(&self) -> &'a str {
        todo!()
    }
    /// Where a response goes by RFC 3261 §18.2.2 and RFC 3581, given where the request came from.
    pub fn response_target(&self, source: SocketAddr) -> SocketAddr {
        let _ = source;
        todo!()
    }
}

/// `"Display" <uri>;params` or `uri;params` (From, To, Contact, Route, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// As written, quotes included; "" if none.
    pub display_raw: &'a str,
    /// The URI as written, without <>.
    pub uri: &'a str,
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    pub fn parse(value: &'a str) -> Option<NameAddr<'a>> {
        let _ = value;
        todo!()
    }
    /// Display name, unquoted and unescaped.
    pub fn display(&self) -> std::borrow::Cow<'a, str> {
        todo!()
    }
    pub fn tag(&self) -> &'a str {
        self.params.get("tag").unwrap_or("")
    }
    pub fn parsed_uri(&self) -> Option<Uri<'a>> {
        Uri::parse(self.uri)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq {
    pub number: u32,
    pub method: Method,
}

/// An IP address literal in a host position, with or without [].
pub fn parse_ip(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}
