//! The text of challenges and credentials (RFC 7235 §2.1, RFC 7616 §3.3): tolerant in, strict out.

/// More parameters than any scheme has; the rest is not read.
const PARAMS_MAX: usize = 32;

/// One challenge or one set of credentials.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scheme<'a> {
    name: &'a str,
    params: Vec<(&'a str, String)>,
}

impl Scheme<'_> {
    pub fn is_digest(&self) -> bool {
        self.name.eq_ignore_ascii_case("Digest")
    }

    /// The value, unquoted; "" if absent.
    pub fn get(&self, name: &str) -> &str {
        self.params.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }
}

/// All schemes of one header value: usually one, but some senders join several challenges with commas.
///
/// A word followed by '=' is a parameter, any other word begins a scheme; what is neither is skipped.
pub(super) fn parse(value: &str) -> Vec<Scheme<'_>> {
    let mut schemes: Vec<Scheme<'_>> = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c == '=' || c == '"' || c.is_whitespace());
        if rest.is_empty() {
            return schemes;
        }
        let end = rest.find(|c: char| c == '=' || c == ',' || c.is_whitespace()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let Some(text) = after.trim_start().strip_prefix('=') else {
            schemes.push(Scheme { name: word, params: Vec::new() });
            rest = after;
            continue;
        };
        let (value, after) = read_value(text.trim_start());
        if let Some(scheme) = schemes.last_mut().filter(|s| s.params.len() < PARAMS_MAX) {
            scheme.params.push((word, value));
        }
        rest = after;
    }
}

/// A quoted string, unescaped, or a word up to the next comma or space; and what follows.
fn read_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        return (value.to_owned(), after);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return (value, quoted.get(i + 1..).unwrap_or("")),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

/// Writes one header value parameter by parameter.
pub(super) struct Writer(String);

impl Writer {
    pub fn new() -> Writer {
        Writer("Digest".to_owned())
    }

    pub fn token(self, name: &str, value: &str) -> Writer {
        self.name(name).push(value)
    }

    /// As a quoted string: '"' and '\' escaped, control characters left out.
    pub fn quoted(self, name: &str, value: &str) -> Writer {
        let mut writer = self.name(name).push("\"");
        for c in value.chars().filter(|c| !c.is_control()) {
            if matches!(c, '"' | '\\') {
                writer.0.push('\\');
            }
            writer.0.push(c);
        }
        writer.push("\"")
    }

    pub fn finish(self) -> String {
        self.0
    }

    fn name(self, name: &str) -> Writer {
        let separator = if self.0.ends_with("Digest") { " " } else { ", " };
        self.push(separator).push(name).push("=")
    }

    fn push(mut self, text: &str) -> Writer {
        self.0.push_str(text);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(value: &str) -> String {
        let mut out = String::new();
        for scheme in parse(value) {
            out += &format!("[{}", scheme.name);
            for (name, value) in &scheme.params {
                out += &format!(" {name}={value}");
            }
            out += "]";
        }
        out
    }

    #[test]
    fn what_phones_and_carriers_write_is_read() {
        let rows = [
            (
                r#"Digest realm="a b", nonce=abc==,qop="auth,auth-int""#,
                "[Digest realm=a b nonce=abc== qop=auth,auth-int]",
            ),
            (r#"digest realm = "x" , stale=TRUE"#, "[digest realm=x stale=TRUE]"),
            (r#"Digest username="o\"b\\c", realm="é""#, "[Digest username=o\"b\\c realm=é]"),
            (
                r#"Digest realm="a", nonce="1", Basic realm="b",Digest realm="c""#,
                "[Digest realm=a nonce=1][Basic realm=b][Digest realm=c]",
            ),
            ("Digest", "[Digest]"),
            ("NTLM TlRMTVNTUAAB", "[NTLM][TlRMTVNTUAAB]"),
            (r#"Digest realm="never closed, nonce="#, "[Digest realm=never closed, nonce=]"),
            (r#"Digest realm="x\"#, "[Digest realm=x]"),
            ("realm=\"no scheme\"", ""),
            ("Digest ,,=,\"\" nonce=\"\", =", "[Digest nonce=]"),
            ("", ""),
        ];
        for (value, want) in rows {
            assert_eq!(show(value), want, "{value}");
        }
    }

    #[test]
    fn no_input_makes_more_than_the_bound() {
        let many = format!("Digest {}", "a=b,".repeat(1000));
        assert_eq!(parse(&many)[0].params.len(), PARAMS_MAX);
    }

    #[test]
    fn what_is_written_is_read_back_and_cannot_break_out() {
        for text in ["plain", "quo\"te", "back\\slash\\", "", "ünï"] {
            let value = Writer::new().quoted("realm", text).token("algorithm", "MD5").finish();
            let read = parse(&value);
            assert_eq!((read[0].get("realm"), read[0].get("algorithm")), (text, "MD5"), "{value}");
        }
        assert_eq!(Writer::new().quoted("realm", "a\r\nX: y").finish(), "Digest realm=\"aX: y\"");
    }
}
