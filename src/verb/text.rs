//! Text with variables in it: `${name}`, `$1`, `${1}`, and `$$` for a dollar sign.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;

/// A call's variables. Header names are kept in lower case.
pub type Variables = BTreeMap<Arc<str>, String>;

/// Longest value of a variable or an expanded text, in bytes; what is longer is cut.
pub const TEXT_MAX: usize = 4_096;

/// A parsed text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Text(Vec<Piece>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Literal(Box<str>),
    Variable(Arc<str>),
}

impl Text {
    /// `Err` says what is wrong with it.
    pub fn parse(text: &str) -> Result<Text, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            let (before, after) = rest.split_at(dollar);
            literal.push_str(before);
            let after = after.get(1..).unwrap_or_default();
            let name;
            (name, rest) = match after.chars().next() {
                Some('$') => ("", after.get(1..).unwrap_or_default()),
                Some(c) if c.is_ascii_digit() => after.split_at(1),
                Some('{') => {
                    let inner = after.get(1..).unwrap_or_default();
                    inner.split_once('}').ok_or("\"${\" has no \"}\"")?
                }
                _ => return Err("a \"$\" names no variable".into()),
            };
            if after.starts_with('$') {
                literal.push('$');
                continue;
            }
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) {
                return Err(format!("\"${{{name}}}\" names no variable"));
            }
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
            }
            pieces.push(Piece::Variable(variable_name(name).into()));
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        Ok(Text(pieces))
    }

    pub fn literal(text: &str) -> Text {
        if text.is_empty() { Text::default() } else { Text(vec![Piece::Literal(text.into())]) }
    }

    /// The text if no variable is in it.
    pub fn as_literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    pub fn variables(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable(name) => Some(name),
            Piece::Literal(_) => None,
        })
    }

    /// As [`Text::expand`], for a URI: what a variable brings cannot move the host or add a parameter or header, unless the
    /// whole text is that variable.
    pub fn expand_uri(&self, variables: &Variables) -> String {
        if let [Piece::Variable(_)] = self.0.as_slice() {
            return self.expand(variables);
        }
        self.expand_with(variables, push_escaped)
    }

    /// Unknown variables are empty. At most [`TEXT_MAX`] bytes.
    pub fn expand(&self, variables: &Variables) -> String {
        self.expand_with(variables, |out, value| out.push_str(value))
    }

    fn expand_with(&self, variables: &Variables, push: impl Fn(&mut String, &str)) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Variable(name) => push(&mut out, variables.get(name).map_or("", String::as_str)),
            }
            if out.len() > TEXT_MAX {
                break;
            }
        }
        cut(&mut out);
        out
    }
}

/// Everything that means something in a URI, and what may not stand in one, becomes %XX; a number's "+" stays.
fn push_escaped(out: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()+".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Header names are compared in any case, other names as written.
pub fn variable_name(name: &str) -> String {
    match name.get(..7) {
        Some(prefix) if prefix.eq_ignore_ascii_case("header.") => name.to_ascii_lowercase(),
        _ => name.to_owned(),
    }
}

/// What came from a network becomes harmless in a header line: no control characters, bounded.
pub fn clean(mut value: String) -> String {
    value.retain(|c| !c.is_control());
    cut(&mut value);
    value
}

fn cut(text: &mut String) {
    if text.len() > TEXT_MAX {
        let end = (0..=TEXT_MAX).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
    }
}

/// As written.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Literal(text) => f.write_str(&text.replace('$', "$$")),
            Piece::Variable(name) => write!(f, "${{{name}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded() {
        let vars: Variables =
            [("to", "100"), ("1", "55"), ("header.x-a", "v")].map(|(k, v)| (Arc::from(k), v.to_owned())).into();
        let rows = [
            ("plain", "plain"),
            ("+$1", "+55"),
            ("${to}-${1}0", "100-550"),
            ("$10", "550"),
            ("${header.X-A}", "v"),
            ("a$$b$$", "a$b$"),
            ("${nothing}", ""),
            ("", ""),
        ];
        for (text, want) in rows {
            let parsed = Text::parse(text).unwrap();
            assert_eq!(parsed.expand(&vars), want, "{text}");
            assert_eq!(Text::parse(&parsed.to_string()), Ok(parsed), "{text}");
        }
        for text in ["$", "a $ b", "${", "${}", "${a b}", "$é"] {
            assert!(Text::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_variable_moves_no_host_of_a_uri() {
        let vars: Variables = [("to", "100@203.0.113.9:5060;x?y&z=\u{e9}"), ("n", "+1-55*"), ("uri", "sip:a@b;c")]
            .map(|(k, v)| (Arc::from(k), v.to_owned()))
            .into();
        let rows = [
            ("sip:${to}@10.0.0.1", "sip:100%40203.0.113.9%3A5060%3Bx%3Fy%26z%3D%C3%A9@10.0.0.1"),
            ("sip:${n}@10.0.0.1;user=phone", "sip:+1-55*@10.0.0.1;user=phone"),
            ("${uri}", "sip:a@b;c"),
            ("${uri};d", "sip%3Aa%40b%3Bc;d"),
            ("sip:a@b;c", "sip:a@b;c"),
        ];
        for (text, want) in rows {
            assert_eq!(Text::parse(text).unwrap().expand_uri(&vars), want, "{text}");
        }
    }

    #[test]
    fn an_expansion_has_a_bound() {
        let vars: Variables = [(Arc::from("a"), "é".repeat(TEXT_MAX))].into();
        let long = Text::parse("x${a}${a}").unwrap().expand(&vars);
        assert!(long.len() <= TEXT_MAX && long.len() > TEXT_MAX - 2);
        assert_eq!(clean("a\r\nX: b".into()), "aX: b");
    }
}
