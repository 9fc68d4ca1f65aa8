//! What only the address itself may read: digits of a capture, and the keys with which a gateway is asked.

use crate::base::pii::Secret;

/// Goes to the first address of a fetch alone: to no fallback, and to nobody to whom it redirects. `Debug` shows no value.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Confidential {
    /// Further parameters of the form, behind the others.
    pub form: Vec<(String, Secret)>,
    /// A body of JSON in place of any form.
    pub json: Option<Secret>,
    /// The header Authorization.
    pub authorization: Option<Secret>,
    /// The header Idempotency-Key; no secret.
    pub idempotency_key: Option<String>,
}

impl Confidential {
    pub fn form<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Confidential {
        let form = pairs.into_iter().map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned())));
        Confidential { form: form.collect(), ..Confidential::default() }
    }

    pub fn is_empty(&self) -> bool {
        *self == Confidential::default()
    }
}

/// Whether nobody between us and the server can read what is sent: TLS, or this machine.
pub fn is_private(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    if scheme.eq_ignore_ascii_case("https") {
        return true;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let is_here = host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    scheme.eq_ignore_ascii_case("http") && is_here
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_over_tls_or_stay_on_this_machine() {
        let rows = [
            ("https://pay.example.com/a", true),
            ("HTTPS://u:p@h", true),
            ("http://127.0.0.1:8000/a?b", true),
            ("http://[::1]:8000/", true),
            ("http://u:p@127.0.0.5/", true),
            ("http://pay.example.com/", false),
            ("http://127.0.0.1@evil.example.com/", false),
            ("http://127.0.0.1.example.com/", false),
            ("http://10.0.0.1/", false),
            ("http://localhost/", false),
            ("file:///etc/passwd", false),
            ("a.xml", false),
            ("", false),
        ];
        for (url, expected) in rows {
            assert_eq!(is_private(url), expected, "{url}");
        }
    }

    #[test]
    fn values_are_not_shown() {
        let secret = Confidential::form([("Digits", "4111")]);
        assert!(!format!("{secret:?}").contains("4111") && !secret.is_empty() && Confidential::default().is_empty());
    }
}
