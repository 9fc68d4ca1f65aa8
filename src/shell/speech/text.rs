//! What is spoken, in parts: plain text by sentences, SSML reduced to what an engine may see.

/// A sentence longer than this is spoken in pieces, in characters.
const PART_CHARS_MAX: usize = 400;
/// Longest pause that an SSML document may ask for, and how many pauses.
const BREAK_MS_MAX: u64 = 10_000;
const BREAKS_MAX: usize = 20;

/// Elements that engines understand, and their attributes. Others go, and what stands in them stays.
const ELEMENTS: &[(&str, &[&str])] = &[
    ("break", &["time", "strength"]),
    ("prosody", &["rate", "pitch", "volume"]),
    ("say-as", &["interpret-as", "format"]),
    ("sub", &["alias"]),
    ("p", &[]),
    ("s", &[]),
    ("emphasis", &["level"]),
];

/// Sentences in their order, none empty; the first is short, so that speaking starts soon.
pub fn sentences(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(last) = parts.last_mut() else { break };
        if !last.is_empty() && last.chars().count() + word.chars().count() >= PART_CHARS_MAX {
            parts.push(word.to_owned());
            continue;
        }
        if !last.is_empty() {
            last.push(' ');
        }
        last.push_str(word);
        // A number's or an abbreviation's point ends nothing: a sentence has three words at least.
        if word.ends_with(['.', '!', '?', '。', '！', '？']) && last.split(' ').count() >= 3 {
            parts.push(String::new());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// SSML with the known elements only and its pauses bounded; `None` if no word is in it.
pub fn ssml(text: &str) -> Option<String> {
    let (mut out, mut rest, mut breaks, mut has_words) = (String::new(), text, 0, false);
    let mut open: Vec<&str> = Vec::new();
    while let Some(at) = rest.find('<') {
        let (before, tagged) = rest.split_at(at);
        has_words |= !before.trim_ascii().is_empty();
        out.push_str(before);
        let end = tagged.find('>').unwrap_or(tagged.len());
        rest = tagged.get(end + 1..).unwrap_or_default();
        let tag = &tagged[1..end];
        let name =
            tag.trim_start_matches('/').split(|c: char| c.is_whitespace() || c == '/').next().unwrap_or_default();
        let Some((name, attributes)) = ELEMENTS.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) else { continue };
        let is_break = *name == "break";
        if tag.starts_with('/') {
            // Only what was opened last is closed, so that the document stays one.
            if open.last() == Some(name) {
                open.pop();
                out.push_str(&format!("</{name}>"));
            }
        } else if !is_break || breaks < BREAKS_MAX {
            breaks += usize::from(is_break);
            out.push_str(&format!("<{name}"));
            for attribute in *attributes {
                if let Some(value) =
                    value_of(tag, attribute).map(|v| if *attribute == "time" { pause(v) } else { v.into() })
                {
                    out.push_str(&format!(" {attribute}=\"{value}\""));
                }
            }
            let is_empty = is_break || tag.ends_with('/');
            out.push_str(if is_empty { "/>" } else { ">" });
            if !is_empty {
                open.push(name);
            }
        }
    }
    has_words |= !rest.trim_ascii().is_empty();
    out.push_str(rest);
    open.iter().rev().for_each(|name| out.push_str(&format!("</{name}>")));
    (has_words || breaks > 0).then_some(out)
}

/// A whole tag's attribute.
fn value_of<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = tag;
    while let Some(at) = rest.find(name) {
        let is_name = rest[..at].ends_with(char::is_whitespace);
        rest = &rest[at + name.len()..];
        let Some(value) = rest.trim_ascii_start().strip_prefix('=').map(str::trim_ascii_start).filter(|_| is_name)
        else {
            continue;
        };
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let value = &value[1..];
        return Some(&value[..value.find(quote)?]).filter(|v| !v.contains(['"', '<', '&']) && v.len() <= 128);
    }
    None
}

/// A pause within bounds, in milliseconds.
fn pause(text: &str) -> String {
    let text = text.trim_ascii();
    let ms = match text.strip_suffix("ms") {
        Some(ms) => ms.trim_ascii().parse::<f64>().ok(),
        None => text.strip_suffix('s').and_then(|s| s.trim_ascii().parse::<f64>().ok()).map(|s| s * 1_000.0),
    };
    let ms = ms.filter(|ms| *ms >= 0.0).map_or(0, |ms| (ms as u64).min(BREAK_MS_MAX));
    format!("{ms}ms")
}

/// Plain text inside a document.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_sentences_and_never_loses_a_word() {
        let rows: &[(&str, &[&str])] = &[
            ("Hello.", &["Hello."]),
            ("  Press one. \n Press two please!  Thank you ", &["Press one. Press two please!", "Thank you"]),
            (
                "You have 3.5 new messages. The first is from Dr. Who. Bye.",
                &["You have 3.5 new messages.", "The first is from Dr.", "Who. Bye."],
            ),
            ("", &[]),
            (" \n ", &[]),
        ];
        for (text, parts) in rows {
            assert_eq!(sentences(text), *parts, "{text:?}");
        }
        let long = "word ".repeat(1_000);
        let parts = sentences(&long);
        assert!(parts.len() > 10 && parts.iter().all(|p| p.chars().count() <= PART_CHARS_MAX));
        assert_eq!(parts.join(" "), long.trim());
    }

    #[test]
    fn ssml_keeps_what_an_engine_knows_and_is_always_closed() {
        let rows = [
            ("Hi <break time=\"500ms\"/> you", Some("Hi <break time=\"500ms\"/> you")),
            ("a<break time='3600s' x=\"1\"/>", Some("a<break time=\"10000ms\"/>")),
            ("a<break time=\"-5s\">", Some("a<break time=\"0ms\"/>")),
            ("<speak>Hi <audio src=\"/etc/passwd\"/><mark name=\"x\"/>there</speak>", Some("Hi there")),
            ("<prosody rate=\"slow\" evil=\"1\">slow</prosody>", Some("<prosody rate=\"slow\">slow</prosody>")),
            ("<say-as interpret-as=\"digits\">12", Some("<say-as interpret-as=\"digits\">12</say-as>")),
            ("<p><s>one</p>", Some("<p><s>one</s></p>")),
            ("</s>one", Some("one")),
            ("<sub alias=\"World Wide Web\">WWW</sub>", Some("<sub alias=\"World Wide Web\">WWW</sub>")),
            ("<emphasis level=\"a<b\">x</emphasis>", Some("<emphasis>x</emphasis>")),
            ("one < two", Some("one ")),
            ("<speak></speak>", None),
        ];
        for (text, expected) in rows {
            assert_eq!(ssml(text).as_deref(), expected, "{text}");
        }
        assert_eq!(ssml(&format!("a{}", "<break/>".repeat(99))).map(|s| s.matches("<break").count()), Some(BREAKS_MAX));
    }
}
