use super::value::split_host_port;
use super::*;
use std::borrow::Cow;
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
    /// User part as written (may hold %XX), without a password; the number for tel:; "" if none.
    pub user: &'a str,
    /// As written, an IPv6 reference with its []; "" for tel:
    pub host: &'a str,
    pub port: Option<u16>,
    pub params: Params<'a>,
    /// After '?', as written.
    pub headers: &'a str,
}

/// Parameters that two equal URIs both have or both lack (RFC 3261 §19.1.4).
const DECIDING_PARAMS: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

impl<'a> Uri<'a> {
    /// `None` without a scheme, with white space or <> inside, or if a sip: or sips: URI has no sound host and port.
    pub fn parse(text: &'a str) -> Option<Uri<'a>> {
        let raw = text.trim_ascii();
        let (scheme, rest) = raw.split_once(':')?;
        let mut letters = scheme.bytes();
        let sound = letters.next().is_some_and(|b| b.is_ascii_alphabetic())
            && letters.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        if !sound || rest.bytes().any(|b| b <= b' ' || matches!(b, b'<' | b'>' | b'"' | 0x7f)) {
            return None;
        }
        let uri = Uri { raw, scheme, user: "", host: "", port: None, params: Params(""), headers: "" };
        if scheme.eq_ignore_ascii_case("tel") {
            let (user, params) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
            return (!user.is_empty()).then_some(Uri { user, params: Params(params), ..uri });
        }
        if !uri.is_sip() {
            return Some(uri);
        }
        let (userinfo, rest) = rest.split_once('@').unwrap_or(("", rest));
        let user = userinfo.split_once(':').map_or(userinfo, |(user, _)| user);
        let (rest, headers) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, params) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
        let (host, port) = split_host_port(host)?;
        Some(Uri { user, host, port, params: Params(params), headers, ..uri })
    }

    /// sip: or sips:
    pub fn is_sip(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("sip") || self.is_sips()
    }

    pub fn is_sips(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("sips")
    }

    pub fn is_tel(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("tel")
    }

    pub fn ip(&self) -> Option<IpAddr> {
        parse_ip(self.host)
    }

    pub fn host_kind(&self) -> Host<'a> {
        self.ip().map_or(Host::Name(self.host), Host::Ip)
    }

    /// The password of a sip: or sips: URI, as written (RFC 3261 §19.1.1 advises against having one).
    pub fn password(&self) -> Option<&'a str> {
        let (_, rest) = self.raw.split_once(':').filter(|_| self.is_sip())?;
        Some(rest.split_once('@')?.0.split_once(':')?.1)
    }

    /// User part with %XX decoded and, for phone numbers, parameters (`;phone-context`) cut off.
    pub fn user_decoded(&self) -> Cow<'a, str> {
        let user = match self.user.split_once(';') {
            Some((number, _)) if is_phone_number(number) => number,
            _ => self.user,
        };
        percent_decode(user)
    }

    /// Equality by RFC 3261 §19.1.4; for tel: by RFC 3966 §4; other schemes compare as text.
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        if !self.scheme.eq_ignore_ascii_case(other.scheme) {
            return false;
        }
        if self.is_tel() {
            return digits(self.user).eq(digits(other.user))
                && self.same_params(other, &["phone-context", "ext", "isub"]);
        }
        if !self.is_sip() {
            return self.raw.get(self.scheme.len()..) == other.raw.get(other.scheme.len()..);
        }
        let same_password = match (self.password(), other.password()) {
            (Some(a), Some(b)) => percent_decode(a) == percent_decode(b),
            (a, b) => a == b,
        };
        percent_decode(self.user) == percent_decode(other.user)
            && same_password
            && same_host(self.host, other.host)
            && self.port == other.port
            && self.same_params(other, &DECIDING_PARAMS)
            && self.same_headers(other)
    }

    /// `deciding` ones are in both or in neither; any other counts only if it is in both.
    fn same_params(&self, other: &Uri<'_>, deciding: &[&str]) -> bool {
        let one_way = |a: &Params<'_>, b: &Params<'_>| {
            a.iter().all(|(name, value)| match b.get(name) {
                Some(theirs) => percent_decode(value.unwrap_or("")).eq_ignore_ascii_case(&percent_decode(theirs)),
                None => !deciding.iter().any(|d| d.eq_ignore_ascii_case(name)),
            })
        };
        one_way(&self.params, &other.params) && one_way(&other.params, &self.params)
    }

    fn same_headers(&self, other: &Uri<'_>) -> bool {
        let canonical = |headers: &str| {
            let pieces = headers.split('&').filter(|piece| !piece.is_empty());
            let mut all: Vec<_> = pieces
                .map(|piece| {
                    let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
                    (percent_decode(name).to_ascii_lowercase(), percent_decode(value).into_owned())
                })
                .collect();
            all.sort_unstable();
            all
        };
        self.headers == other.headers || canonical(self.headers) == canonical(other.headers)
    }
}

fn is_phone_number(text: &str) -> bool {
    let is_phone_octet = |b: u8| {
        b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'(' | b')' | b'*' | b'#' | b'A'..=b'D' | b'a'..=b'd')
    };
    text.bytes().any(|b| b.is_ascii_digit()) && text.bytes().all(is_phone_octet)
}

/// A number without its visual separators (RFC 3966 §5.1.1).
fn digits(number: &str) -> impl Iterator<Item = u8> {
    number.bytes().filter(|b| !matches!(b, b'-' | b'.' | b'(' | b')')).map(|b| b.to_ascii_lowercase())
}

fn same_host(a: &str, b: &str) -> bool {
    match (parse_ip(a), parse_ip(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a.eq_ignore_ascii_case(b),
    }
}

/// %XX decoded; a % that starts no escape stays; octets that are no UTF-8 become U+FFFD.
/// Text with its %XX decoded; what is no such escape stays as it is.
pub fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match (first, tail) {
            (b'%', [high, low, after @ ..]) => hex(*high).zip(hex(*low)).map(|(h, l)| (h << 4 | l, after)),
            _ => None,
        };
        let (octet, after) = escaped.unwrap_or((*first, tail));
        out.push(octet);
        rest = after;
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scheme, user, host, port, params, headers
    type Parts = (&'static str, &'static str, &'static str, Option<u16>, &'static str, &'static str);

    fn check(text: &str, expected: Option<Parts>) {
        let read = Uri::parse(text).map(|u| (u.scheme, u.user, u.host, u.port, u.params.0, u.headers));
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn uris_split_into_their_parts() {
        check("sip:alice@example.com", Some(("sip", "alice", "example.com", None, "", "")));
        check(
            "SIPS:john.doe@EXAMPLE.com:5061;transport=tcp",
            Some(("SIPS", "john.doe", "EXAMPLE.com", Some(5061), ";transport=tcp", "")),
        );
        check("sip:alice:secret@h?a=b&c=d", Some(("sip", "alice", "h", None, "", "a=b&c=d")));
        check(
            "sip:u;x=1?y@[2001:db8::1]:5070;lr?h=v",
            Some(("sip", "u;x=1?y", "[2001:db8::1]", Some(5070), ";lr", "h=v")),
        );
        check("sip:example.com;lr", Some(("sip", "", "example.com", None, ";lr", "")));
        check("tel:+49-30-1;phone-context=x", Some(("tel", "+49-30-1", "", None, ";phone-context=x", "")));
        check("nobodyKnowsThisScheme:totallyopaquecontent", Some(("nobodyKnowsThisScheme", "", "", None, "", "")));
        check("sip:a@b:70000", None);
        check("sip:a@b:x", None);
        check("sip:a@", None);
        check("sip:", None);
        check("tel:", None);
        check("alice@example.com", None);
        check("sip:a b@c", None);
        check("<sip:a@c>", None);
        check("sip:a@[::1", None);
        check("sip:a@[nonsense]", None);
        check("1sip:a@b", None);
        check("", None);
    }

    #[test]
    fn users_decode() {
        let user = |text| Uri::parse(text).map(|uri| uri.user_decoded().into_owned()).unwrap_or_default();
        assert_eq!(user("sip:sips%3Auser%40example.com@example.net"), "sips:user@example.com");
        assert_eq!(user("sip:+4930123;phone-context=example.com@gw"), "+4930123");
        assert_eq!(user("sip:user;par=u%40example.net@example.com"), "user;par=u@example.net");
        assert_eq!(user("sip:null-%00-null@example.com"), "null-\0-null");
        assert_eq!(user("sip:100%@example.com"), "100%");
        assert_eq!(user("sip:%e9@example.com"), "\u{fffd}");
    }

    #[test]
    fn equality_is_rfc_3261_19_1_4() {
        let same = |a, b| Uri::parse(a).zip(Uri::parse(b)).is_some_and(|(a, b)| a.equivalent(&b) && b.equivalent(&a));
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("sip:a@[2001:db8::1]", "sip:a@[2001:db8:0::1]"),
            ("tel:+49-30(1)", "TEL:+49301"),
        ] {
            assert!(same(a, b), "{a} = {b}");
        }
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:a@b", "sips:a@b"),
            ("sip:null-%00-null@b", "sip:null-@b"),
            ("sip:a:x@b", "sip:a@b"),
        ] {
            assert!(!same(a, b), "{a} ≠ {b}");
        }
    }
}
