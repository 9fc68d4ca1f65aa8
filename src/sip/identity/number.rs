//! Numbers and addresses in the one form that is signed (RFC 8224 §8.3, §8.5).

use crate::sip::wire::Uri;

/// The longest number of E.164; what is longer is none.
const DIGITS_MAX: usize = 15;

/// Who calls or is called, canonical.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Party {
    /// Digits, without a plus sign.
    Number(String),
    Uri(String),
}

/// A telephone number's digits, `*` and `#`: its plus sign and visual separators are dropped (RFC 3966 §5.1.1). `None` if it is none.
pub fn number(text: &str) -> Option<String> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits: String = text.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' ')).collect();
    let is_number = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#'))
        && digits.bytes().any(|b| b.is_ascii_digit());
    (is_number && digits.len() <= DIGITS_MAX).then_some(digits)
}

impl Party {
    /// A user's name or number in a domain.
    pub fn of_user(user: &str, domain: &str) -> Party {
        match number(user) {
            Some(digits) => Party::Number(digits),
            None => Party::Uri(format!("sip:{user}@{}", domain.to_ascii_lowercase())),
        }
    }

    /// Of a header's URI; ports and parameters are no part of an identity.
    pub fn of_uri(uri: &Uri<'_>) -> Party {
        Party::of_user(&uri.user_decoded(), uri.host)
    }

    pub fn as_number(&self) -> Option<&str> {
        match self {
            Party::Number(digits) => Some(digits),
            Party::Uri(_) => None,
        }
    }
}
