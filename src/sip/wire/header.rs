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
    FlowTimer,
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

use HeaderName as N;

/// (name, canonical long form, compact form or 0), in the order of the enum.
const NAMES: [(HeaderName, &str, u8); 53] = [
    (N::Accept, "Accept", 0),
    (N::Alert, "Alert-Info", 0),
    (N::Allow, "Allow", 0),
    (N::Authorization, "Authorization", 0),
    (N::AuthenticationInfo, "Authentication-Info", 0),
    (N::CallId, "Call-ID", b'i'),
    (N::CSeq, "CSeq", 0),
    (N::Contact, "Contact", b'm'),
    (N::ContentDisposition, "Content-Disposition", 0),
    (N::ContentEncoding, "Content-Encoding", b'e'),
    (N::ContentLength, "Content-Length", b'l'),
    (N::ContentType, "Content-Type", b'c'),
    (N::Date, "Date", 0),
    (N::Diversion, "Diversion", 0),
    (N::Event, "Event", b'o'),
    (N::Expires, "Expires", 0),
    (N::FlowTimer, "Flow-Timer", 0),
    (N::From, "From", b'f'),
    (N::HistoryInfo, "History-Info", 0),
    (N::MaxForwards, "Max-Forwards", 0),
    (N::MinExpires, "Min-Expires", 0),
    (N::MinSe, "Min-SE", 0),
    (N::PAssertedIdentity, "P-Asserted-Identity", 0),
    (N::PPreferredIdentity, "P-Preferred-Identity", 0),
    (N::Path, "Path", 0),
    (N::Privacy, "Privacy", 0),
    (N::ProxyAuthenticate, "Proxy-Authenticate", 0),
    (N::ProxyAuthorization, "Proxy-Authorization", 0),
    (N::ProxyRequire, "Proxy-Require", 0),
    (N::RAck, "RAck", 0),
    (N::RSeq, "RSeq", 0),
    (N::Reason, "Reason", 0),
    (N::RecordRoute, "Record-Route", 0),
    (N::ReferTo, "Refer-To", b'r'),
    (N::ReferredBy, "Referred-By", b'b'),
    (N::Replaces, "Replaces", 0),
    (N::Require, "Require", 0),
    (N::RetryAfter, "Retry-After", 0),
    (N::Route, "Route", 0),
    (N::Server, "Server", 0),
    (N::ServiceRoute, "Service-Route", 0),
    (N::SessionExpires, "Session-Expires", b'x'),
    (N::Subject, "Subject", b's'),
    (N::SubscriptionState, "Subscription-State", 0),
    (N::Supported, "Supported", b'k'),
    (N::Timestamp, "Timestamp", 0),
    (N::To, "To", b't'),
    (N::Unsupported, "Unsupported", 0),
    (N::UserAgent, "User-Agent", 0),
    (N::Via, "Via", b'v'),
    (N::Warning, "Warning", 0),
    (N::WwwAuthenticate, "WWW-Authenticate", 0),
    (N::Other, "", 0),
];

/// Compact forms of registered headers that have no [`HeaderName`]: a caller asks for them by text.
const OTHER_COMPACT: [(&str, &str); 6] = [
    ("a", "Accept-Contact"),
    ("d", "Request-Disposition"),
    ("j", "Reject-Contact"),
    ("n", "Identity-Info"),
    ("u", "Allow-Events"),
    ("y", "Identity"),
];

const LENGTH_MAX: usize = 20;
const BUCKET: usize = 8;
const NONE: u8 = u8::MAX;

/// Positions in [`NAMES`] by length of the long form; a bucket that is too small does not compile.
const BY_LENGTH: [[u8; BUCKET]; LENGTH_MAX + 1] = by_length();
const BY_LETTER: [u8; 26] = by_letter();

const fn by_length() -> [[u8; BUCKET]; LENGTH_MAX + 1] {
    let mut buckets = [[NONE; BUCKET]; LENGTH_MAX + 1];
    let mut i = 0;
    while i < NAMES.len() - 1 {
        let length = NAMES[i].1.len();
        let mut slot = 0;
        while buckets[length][slot] != NONE {
            slot += 1;
        }
        buckets[length][slot] = i as u8;
        i += 1;
    }
    buckets
}

const fn by_letter() -> [u8; 26] {
    let mut letters = [NONE; 26];
    let mut i = 0;
    while i < NAMES.len() {
        if NAMES[i].2 != 0 {
            letters[(NAMES[i].2 - b'a') as usize] = i as u8;
        }
        i += 1;
    }
    letters
}

impl HeaderName {
    /// Canonical long form as written out; "" for `Other`.
    pub const fn as_str(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// Any case, compact or long.
    pub fn from_token(token: &str) -> HeaderName {
        HeaderName::from_octets(token.as_bytes())
    }

    pub(super) fn from_octets(token: &[u8]) -> HeaderName {
        let named = |i: u8| NAMES.get(usize::from(i));
        if let [letter] = token {
            let letter = letter.to_ascii_lowercase().wrapping_sub(b'a');
            let entry = BY_LETTER.get(usize::from(letter)).and_then(|i| named(*i));
            return entry.map_or(HeaderName::Other, |entry| entry.0);
        }
        let Some(bucket) = BY_LENGTH.get(token.len()) else { return HeaderName::Other };
        let entries = || bucket.iter().map_while(|i| named(*i));
        // Nearly every sender writes the canonical form.
        let exact = entries().find(|entry| entry.1.as_bytes() == token);
        let entry = exact.or_else(|| entries().find(|entry| entry.1.as_bytes().eq_ignore_ascii_case(token)));
        entry.map_or(HeaderName::Other, |entry| entry.0)
    }

    /// Whether the header field is a comma list (RFC 3261 §7.3.1, §20). Challenges and credentials are not: their
    /// commas separate parameters.
    pub const fn is_list(self) -> bool {
        matches!(
            self,
            N::Accept
                | N::Alert
                | N::Allow
                | N::Contact
                | N::ContentEncoding
                | N::Diversion
                | N::HistoryInfo
                | N::PAssertedIdentity
                | N::PPreferredIdentity
                | N::Path
                | N::ProxyRequire
                | N::Reason
                | N::RecordRoute
                | N::Require
                | N::Route
                | N::ServiceRoute
                | N::Supported
                | N::Unsupported
                | N::Via
                | N::Warning
        )
    }
}

/// Whether two header field names mean the same header, in any case, compact or long.
pub(super) fn same_name(a: &str, b: &str) -> bool {
    if a.eq_ignore_ascii_case(b) {
        return true;
    }
    let known = HeaderName::from_token(a);
    if known != HeaderName::Other {
        return known == HeaderName::from_token(b);
    }
    OTHER_COMPACT.iter().any(|(short, long)| {
        (a.eq_ignore_ascii_case(short) && b.eq_ignore_ascii_case(long))
            || (b.eq_ignore_ascii_case(short) && a.eq_ignore_ascii_case(long))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_the_enum() {
        for (i, (name, text, compact)) in NAMES.iter().enumerate() {
            assert_eq!(*name as usize, i, "{text}");
            assert_eq!(name.as_str(), *text);
            if *name != HeaderName::Other {
                assert_eq!(HeaderName::from_token(text), *name);
                assert_eq!(HeaderName::from_token(&text.to_ascii_uppercase()), *name);
            }
            if *compact != 0 {
                let letter = char::from(*compact).to_string();
                assert_eq!(HeaderName::from_token(&letter), *name);
                assert_eq!(HeaderName::from_token(&letter.to_uppercase()), *name);
            }
        }
    }

    #[test]
    fn unknown_tokens_are_other() {
        for token in ["", "X-Foo", "q", "@", "Vla", "Call-IDs", "a-name-that-is-longer-than-any-known"] {
            assert_eq!(HeaderName::from_token(token), HeaderName::Other, "{token}");
        }
    }

    #[test]
    fn names_without_a_variant_compare_by_text_and_compact_form() {
        assert!(same_name("u", "allow-events"));
        assert!(same_name("Allow-Events", "U"));
        assert!(same_name("X-Foo", "x-foo"));
        assert!(same_name("i", "call-id"));
        assert!(!same_name("u", "y"));
    }
}
