//! The small language of `branch`.
//!
//! ```text
//! condition := and { "or" and }
//! and       := not { "and" not }
//! not       := "not" not | "(" condition ")" | test
//! test      := value ( "==" | "!=" ) value
//!            | value ( "=~" | "!~" ) /regular expression/[i]
//!            | value [ "not" ] "in" "[" value { "," value } "]"
//!            | "hours" "(" "mon-fri 09:00-18:00" [ "," "Europe/Berlin" ] ")"      the call's arrival; UTC if no zone is named
//!            | value                                                              true unless empty, "false" or "0"
//! value     := "text with ${variables}" | 'text' | ${name} | $1 | word
//! ```

use super::hours::Hours;
use super::pattern::Pattern;
use super::text::{Text, Variables};
use crate::base::time::Wall;
use std::fmt;

#[derive(Clone, Debug)]
pub struct Condition {
    written: String,
    root: Expression,
}

#[derive(Clone, Debug)]
enum Expression {
    Or(Vec<Expression>),
    And(Vec<Expression>),
    Not(Box<Expression>),
    Equal(Text, Text),
    Matches(Text, Pattern),
    In(Text, Vec<Text>),
    Hours(Hours),
    Truth(Text),
}

/// What is wrong with a condition: at which character (from 0), what, and what was expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    pub offset: usize,
    pub what: String,
    pub expected: &'static str,
}

impl Condition {
    pub const BYTES_MAX: usize = 4_096;
    const DEPTH_MAX: u32 = 32;

    pub fn parse(text: &str) -> Result<Condition, Wrong> {
        if text.len() > Self::BYTES_MAX {
            let what = "the condition is longer than 4 kB".into();
            return Err(Wrong { offset: 0, what, expected: "expected a shorter one, or several branches" });
        }
        let mut reader = Reader { text, rest: text, depth: 0 };
        let root = reader.or()?;
        reader.skip();
        if reader.rest.is_empty() {
            Ok(Condition { written: text.to_owned(), root })
        } else {
            Err(reader.wrong("expected \"and\", \"or\", a comparison (==, !=, =~, !~, in) or the end"))
        }
    }

    /// `at` is the moment at which the call arrived.
    pub fn holds(&self, variables: &Variables, at: Wall) -> bool {
        self.root.holds(variables, at)
    }

    /// Every text in it.
    pub fn texts(&self, see: &mut dyn FnMut(&Text)) {
        self.root.texts(see);
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Expression {
    fn holds(&self, v: &Variables, at: Wall) -> bool {
        match self {
            Expression::Or(all) => all.iter().any(|e| e.holds(v, at)),
            Expression::And(all) => all.iter().all(|e| e.holds(v, at)),
            Expression::Not(e) => !e.holds(v, at),
            Expression::Equal(a, b) => a.expand(v) == b.expand(v),
            Expression::Matches(text, pattern) => pattern.matches(&text.expand(v)),
            Expression::In(text, list) => {
                let value = text.expand(v);
                list.iter().any(|item| item.expand(v) == value)
            }
            Expression::Hours(hours) => hours.contains(at),
            Expression::Truth(text) => !matches!(text.expand(v).as_str(), "" | "false" | "0"),
        }
    }

    fn texts(&self, see: &mut dyn FnMut(&Text)) {
        match self {
            Expression::Or(all) | Expression::And(all) => all.iter().for_each(|e| e.texts(see)),
            Expression::Not(e) => e.texts(see),
            Expression::Equal(a, b) => [a, b].into_iter().for_each(see),
            Expression::In(a, list) => std::iter::once(a).chain(list).for_each(see),
            Expression::Matches(a, _) | Expression::Truth(a) => see(a),
            Expression::Hours(_) => {}
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    depth: u32,
}

impl<'a> Reader<'a> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn offset(&self) -> usize {
        let consumed = self.text.len() - self.rest.len();
        self.text.get(..consumed).map_or(0, |t| t.chars().count())
    }

    fn wrong(&self, expected: &'static str) -> Wrong {
        let found: String = self.rest.chars().take(20).collect();
        let what = match found.as_str() {
            "" => "the condition ends too early".to_owned(),
            found => format!("\"{found}\" stands in the condition"),
        };
        Wrong { offset: self.offset(), what, expected }
    }

    fn because(&self, what: String, expected: &'static str) -> Wrong {
        Wrong { offset: self.offset(), what, expected }
    }

    /// A symbol, if it is next.
    fn symbol(&mut self, symbol: &str) -> bool {
        self.skip();
        self.rest.strip_prefix(symbol).map(|rest| self.rest = rest).is_some()
    }

    fn need(&mut self, symbol: &str, expected: &'static str) -> Result<(), Wrong> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.wrong(expected)) }
    }

    /// A word by itself, if it is next.
    fn word(&mut self, word: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(word) {
            Some(rest) if !rest.starts_with(is_word) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn or(&mut self) -> Result<Expression, Wrong> {
        self.depth += 1;
        if self.depth > Condition::DEPTH_MAX {
            return Err(self.because("the condition is nested too deep".into(), "expected a flatter one"));
        }
        let mut all = vec![self.and()?];
        while self.word("or") {
            all.push(self.and()?);
        }
        self.depth -= 1;
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::Or(all) })
    }

    fn and(&mut self) -> Result<Expression, Wrong> {
        let mut all = vec![self.not()?];
        while self.word("and") {
            all.push(self.not()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::And(all) })
    }

    fn not(&mut self) -> Result<Expression, Wrong> {
        let mut negated = false;
        while self.word("not") {
            negated = !negated;
        }
        let inner = if self.symbol("(") {
            let inner = self.or()?;
            self.need(")", "expected \")\"")?;
            inner
        } else {
            self.test()?
        };
        Ok(if negated { Expression::Not(Box::new(inner)) } else { inner })
    }

    fn test(&mut self) -> Result<Expression, Wrong> {
        let before = self.rest;
        if self.word("hours") && self.symbol("(") {
            return self.hours();
        }
        self.rest = before;
        let left = self.value()?;
        if self.symbol("==") {
            return Ok(Expression::Equal(left, self.value()?));
        }
        if self.symbol("!=") {
            return Ok(Expression::Not(Box::new(Expression::Equal(left, self.value()?))));
        }
        if self.symbol("=~") {
            return Ok(Expression::Matches(left, self.pattern()?));
        }
        if self.symbol("!~") {
            return Ok(Expression::Not(Box::new(Expression::Matches(left, self.pattern()?))));
        }
        let before = self.rest;
        let negated = self.word("not");
        if self.word("in") {
            let inner = Expression::In(left, self.list()?);
            return Ok(if negated { Expression::Not(Box::new(inner)) } else { inner });
        }
        self.rest = before;
        Ok(Expression::Truth(left))
    }

    fn hours(&mut self) -> Result<Expression, Wrong> {
        const FORM: &str = "expected hours(\"mon-fri 09:00-18:00\", \"Europe/Berlin\")";
        let literal = |this: &mut Self| match this.value()?.as_literal() {
            Some(text) => Ok(text.to_owned()),
            None => Err(this.because("hours takes no variables".into(), FORM)),
        };
        let spec = literal(self)?;
        let zone = if self.symbol(",") { literal(self)? } else { "UTC".to_owned() };
        let hours = Hours::parse(&spec, &zone).map_err(|what| self.because(what, FORM))?;
        self.need(")", "expected \")\"")?;
        Ok(Expression::Hours(hours))
    }

    fn list(&mut self) -> Result<Vec<Text>, Wrong> {
        self.need("[", "expected a list: [\"a\", \"b\"]")?;
        let mut items = vec![self.value()?];
        while self.symbol(",") {
            items.push(self.value()?);
        }
        self.need("]", "expected \",\" or \"]\"")?;
        Ok(items)
    }

    fn value(&mut self) -> Result<Text, Wrong> {
        const EXPECTED: &str = "expected a value: \"text\", ${variable} or a word";
        self.skip();
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (raw, rest) = if let Some(quote) = quote {
            let inner = self.rest.get(1..).unwrap_or_default();
            inner.split_once(quote).ok_or_else(|| self.because("a quotation mark has no second".into(), EXPECTED))?
        } else {
            let end = self.rest.find(|c| !is_value(c)).unwrap_or(self.rest.len());
            self.rest.split_at(end)
        };
        if quote.is_none() && (raw.is_empty() || matches!(raw, "and" | "or" | "in" | "not")) {
            return Err(self.wrong(EXPECTED));
        }
        let text =
            Text::parse(raw).map_err(|what| self.because(what, "expected ${name}, $1, or $$ for a dollar sign"))?;
        self.rest = rest;
        Ok(text)
    }

    fn pattern(&mut self) -> Result<Pattern, Wrong> {
        const EXPECTED: &str = "expected a regular expression between slashes: /^1\\d\\d$/";
        self.skip();
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let end = *c == '/' && !escaped;
            escaped = *c == '\\' && !escaped;
            end
        });
        let (Some((end, _)), true) = (end, self.rest.starts_with('/')) else { return Err(self.wrong(EXPECTED)) };
        let flag = usize::from(self.rest.get(end + 1..).is_some_and(|r| r.starts_with('i')));
        let (raw, rest) = self.rest.split_at(end + 1 + flag);
        let pattern = Pattern::parse(raw).map_err(|what| self.because(what, EXPECTED))?;
        self.rest = rest;
        Ok(pattern)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What a value without quotation marks may hold.
fn is_value(c: char) -> bool {
    is_word(c) || "${}.+-*#:@".contains(c)
}

#[cfg(test)]
mod tests {
    use super::super::hours::parse_moment;
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn check(text: &str) -> Result<bool, (usize, String)> {
        let vars = [("x", "y"), ("to", "+4930"), ("1", "55"), ("empty", ""), ("header.x-a", "Gold")];
        let vars: Variables = vars.map(|(k, v)| (Arc::from(k), v.to_owned())).into();
        let monday = parse_moment("2026-11-23T10:00:00-05:00").unwrap();
        Condition::parse(text).map(|c| c.holds(&vars, monday)).map_err(|w| (w.offset, w.what))
    }

    #[test]
    fn conditions_hold_or_not() {
        let rows = [
            (r#""${x}" == "y""#, true),
            (r#"${x} != y"#, false),
            (r#"${to} =~ /^\+49/"#, true),
            (r#""${to}" !~ /^\+49/"#, false),
            (r#"${header.X-A} =~ /^gold$/i"#, true),
            (r#"$1 in ["44", "55"]"#, true),
            (r#"$1 not in [44, 55]"#, false),
            ("${empty}", false),
            ("${unknown} == ''", true),
            ("not ${empty} and ${x}", true),
            ("${empty} and ${x} or ${x}", true),
            ("${x} and (${empty} or not ${x})", false),
            (r#"hours("mon-fri 09:00-18:00", "America/New_York")"#, true),
            (r#"not hours("sat-sun")"#, true),
            ("hours == hours", true),
        ];
        for (text, want) in rows {
            assert_eq!(check(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn faults_say_at_which_character() {
        let rows = [
            ("", 0),
            ("${x} ==", 7),
            ("${x} = y", 5),
            ("(${x}", 5),
            ("${x} =~ abc", 8),
            ("${x} =~ /(/", 8),
            ("\"abc", 0),
            ("${x} in y", 8),
            ("é == $", 5),
            ("hours(\"xyz\")", 11),
            ("x y", 2),
        ];
        for (text, offset) in rows {
            assert_eq!(check(text).map_err(|e| e.0), Err(offset), "{text}: {:?}", check(text));
        }
        assert!(check(&"(".repeat(2_000)).is_err());
        assert!(check(&"not ".repeat(1_000)).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_read_or_refused(text in "[ a-c\"'$\\{}()=!~/\\[\\],é]{0,40}|\\PC{0,30}") {
            let _ = check(&text);
        }
    }
}
