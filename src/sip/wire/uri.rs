use super::*;
use std::net::IpAddr;

/// A host as written in a URI or Via.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    Ip(IpAddr),
    Name(&'a str),
}

/// A sip:, sips: or tel: URI, or any other scheme (then only `scheme` and `raw` mean something). RFC 3261 §19.1, RFC 3966.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    pub raw: &'a str,
    pub scheme: &'a str,
    /// User part as written (may hold %XX); the number for tel:; "" if none.
    pub user: &'a str,
    /// "" for tel:
    pub host: &'a str,
    pub port: Option<u16>,
    pub params: Params<'a>,
    /// After '?', as written.
    pub headers: &'a str,
}

impl<'a> Uri<'a> {
    pub fn parse(text: &'a str) -> Option<Uri<'a>> {
        let _ = text;
        todo!()
    }
    pub fn ip(&self) -> Option<IpAddr> {
        super::header::parse_ip(self.host)
    }
    /// User part with %XX decoded and, for phone numbers, parameters (`;phone-context`) cut off.
    pub fn user_decoded(&self) -> std::borrow::Cow<'a, str> {
        todo!()
    }
    /// Equality by RFC 3261 §19.1.4.
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        let _ = other;
        todo!()
    }
}
