//! What a value is compared with: a literal, or `/a regular expression/` with captures. The only place that names `regex`.

use regex::{Regex, RegexBuilder};
use std::fmt;

/// Memory bound of one compiled expression, in bytes.
const SIZE_MAX: usize = 1 << 20;

#[derive(Clone, Debug)]
pub enum Pattern {
    Literal(String),
    /// As written between the slashes, unanchored unless it says so; matching takes time linear in the value.
    Expression(Box<Regex>),
}

impl Pattern {
    /// `/…/` and `/…/i` are expressions, all else is literal. `Err` says what is wrong with an expression.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let Some(rest) = text.strip_prefix('/') else { return Ok(Pattern::Literal(text.to_owned())) };
        let (body, fold) = match (rest.strip_suffix("/i"), rest.strip_suffix('/')) {
            (Some(body), _) => (body, true),
            (None, Some(body)) => (body, false),
            (None, None) => return Err(format!("the regular expression \"{text}\" has no \"/\" at its end")),
        };
        // A slash is written \/ here and is nothing special to the engine.
        let body = body.replace("\\/", "/");
        let built = RegexBuilder::new(&body).size_limit(SIZE_MAX).case_insensitive(fold).build();
        built.map(|r| Pattern::Expression(Box::new(r))).map_err(|e| {
            let text = e.to_string();
            let reason = text.lines().last().unwrap_or_default().trim();
            format!("this is no regular expression: {}", reason.trim_start_matches("error: "))
        })
    }

    /// What the groups caught (empty for a literal), or `None`.
    pub fn captures(&self, value: &str) -> Option<Vec<String>> {
        match self {
            Pattern::Literal(text) => (text == value).then(Vec::new),
            Pattern::Expression(regex) => {
                let found = regex.captures(value)?;
                Some(found.iter().skip(1).map(|c| c.map_or(String::new(), |m| m.as_str().to_owned())).collect())
            }
        }
    }

    pub fn matches(&self, value: &str) -> bool {
        match self {
            Pattern::Literal(text) => text == value,
            Pattern::Expression(regex) => regex.is_match(value),
        }
    }

    /// How many groups it has.
    pub fn groups(&self) -> usize {
        match self {
            Pattern::Literal(_) => 0,
            Pattern::Expression(regex) => regex.captures_len() - 1,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Literal(text) => write!(f, "\"{text}\""),
            Pattern::Expression(regex) => write!(f, "/{}/", regex.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_written() {
        let rows: [(&str, &str, Option<&[&str]>); 8] = [
            ("100", "100", Some(&[])),
            ("100", "1000", None),
            (r"/^\+1(\d{3})(\d*)$/", "+14155", Some(&["415", "5"])),
            ("/55/", "1555", Some(&[])),
            ("/^abc/i", "ABCd", Some(&[])),
            ("/(a)|(b)/", "b", Some(&["", "b"])),
            (r"/^a\/b$/", "a/b", Some(&[])),
            ("+1.5", "+1x5", None),
        ];
        for (pattern, value, want) in rows {
            let got = Pattern::parse(pattern).unwrap().captures(value);
            let want = want.map(|w| w.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
            assert_eq!(got, want, "{pattern} {value}");
        }
        for bad in ["/abc", "/", "/(/", "/a{999999}{999999}/"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
