//! `application/x-www-form-urlencoded`, in queries and bodies: pairs in their order, keys that come again kept.

use super::answer::Failure;
use crate::shell::api::percent::percent_decode as decode;

/// The most pairs that are read.
const PAIRS_MAX: usize = 1_000;

#[derive(Clone, Debug, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// `None`: not of that form, or not UTF-8, or longer than anybody means it to be.
    pub fn read(text: &str) -> Option<Form> {
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|p| !p.is_empty()) {
            if pairs.len() == PAIRS_MAX {
                return None;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(name)?, decode(value)?));
        }
        Some(Form(pairs))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// What is there and not empty.
    pub fn some(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, Failure> {
        match self.some(name) {
            None => Ok(None),
            Some(v) if v.eq_ignore_ascii_case("true") || v == "1" => Ok(Some(true)),
            Some(v) if v.eq_ignore_ascii_case("false") || v == "0" => Ok(Some(false)),
            Some(v) => Err(Failure::parameter(name, v, "true or false")),
        }
    }

    pub fn number(&self, name: &str, least: u64, most: u64) -> Result<Option<u64>, Failure> {
        let Some(text) = self.some(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|n| (least..=most).contains(n));
        let wrong = || Failure::parameter(name, text, &format!("a number from {least} to {most}"));
        number.map(Some).ok_or_else(wrong)
    }
}

/// A part of a path, in which a plus is a plus.
pub fn decode_segment(text: &str) -> Option<String> {
    decode(&text.replace('+', "%2B"))
}

pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(b)),
            _ => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read() {
        let form = Form::read("To=%2B1+2&StatusCallbackEvent=a&StatusCallbackEvent=b&Muted=TRUE&Empty=").unwrap();
        assert_eq!((form.get("To"), form.some("Empty")), (Some("+1 2"), None));
        assert_eq!(form.pairs().filter(|(n, _)| *n == "StatusCallbackEvent").count(), 2);
        assert_eq!(form.flag("Muted").unwrap(), Some(true));
        assert!(form.flag("To").is_err() && form.number("To", 1, 2).is_err());
        assert!(Form::read("a=%zz").is_none() && Form::read("a=%ff").is_none());
        assert_eq!((encode("+1 é"), decode_segment("+1%20é")), ("%2B1%20%C3%A9".into(), Some("+1 é".into())));
    }
}
