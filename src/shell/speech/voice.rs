//! Twilio's names of voices and languages, as the engine's.

use crate::speech::{Fault, Reason};

/// Languages of espeak-ng, by their codes.
const LANGUAGES: &[&str] = &[
    "af", "am", "ar", "az", "be", "bg", "bn", "bs", "ca", "cmn", "cs", "cy", "da", "de", "el", "en-gb", "en-us", "es",
    "es-419", "et", "eu", "fa", "fi", "fr", "fr-be", "fr-ch", "ga", "gu", "he", "hi", "hr", "hu", "hy", "id", "is",
    "it", "ja", "ka", "kk", "kn", "ko", "lt", "lv", "mk", "ml", "mr", "ms", "my", "nb", "ne", "nl", "pa", "pl", "pt",
    "pt-br", "ro", "ru", "sk", "sl", "sq", "sr", "sv", "sw", "ta", "te", "th", "tr", "uk", "ur", "uz", "vi", "yue",
];

/// Codes whose language has another name there.
const ALIASES: &[(&str, &str)] = &[
    ("en", "en-us"),
    ("en-au", "en-gb"),
    ("en-in", "en-gb"),
    ("en-nz", "en-gb"),
    ("en-za", "en-gb"),
    ("en-ie", "en-gb"),
    ("es-mx", "es-419"),
    ("es-us", "es-419"),
    ("zh", "cmn"),
    ("zh-cn", "cmn"),
    ("zh-tw", "cmn"),
    ("zh-hk", "yue"),
    ("no", "nb"),
    ("fil", "id"),
    ("arb", "ar"),
];

/// Polly's voices whose language is not en-US or that are men's; the other names are women's.
const POLLY: &[(&str, &str, bool)] = &[
    ("matthew", "en-us", true),
    ("joey", "en-us", true),
    ("justin", "en-us", true),
    ("kevin", "en-us", true),
    ("stephen", "en-us", true),
    ("amy", "en-gb", false),
    ("emma", "en-gb", false),
    ("brian", "en-gb", true),
    ("arthur", "en-gb", true),
    ("russell", "en-gb", true),
    ("nicole", "en-gb", false),
    ("olivia", "en-gb", false),
    ("raveena", "en-gb", false),
    ("aditi", "en-gb", false),
    ("geraint", "en-gb", true),
    ("marlene", "de", false),
    ("vicki", "de", false),
    ("hans", "de", true),
    ("daniel", "de", true),
    ("celine", "fr", false),
    ("lea", "fr", false),
    ("mathieu", "fr", true),
    ("remi", "fr", true),
    ("chantal", "fr", false),
    ("gabrielle", "fr", false),
    ("conchita", "es", false),
    ("lucia", "es", false),
    ("enrique", "es", true),
    ("sergio", "es", true),
    ("mia", "es-419", false),
    ("lupe", "es-419", false),
    ("penelope", "es-419", false),
    ("miguel", "es-419", true),
    ("pedro", "es-419", true),
    ("carla", "it", false),
    ("bianca", "it", false),
    ("giorgio", "it", true),
    ("adriano", "it", true),
    ("camila", "pt-br", false),
    ("vitoria", "pt-br", false),
    ("ricardo", "pt-br", true),
    ("thiago", "pt-br", true),
    ("ines", "pt", false),
    ("cristiano", "pt", true),
    ("lotte", "nl", false),
    ("laura", "nl", false),
    ("ruben", "nl", true),
    ("mizuki", "ja", false),
    ("kazuha", "ja", false),
    ("takumi", "ja", true),
    ("seoyeon", "ko", false),
    ("zhiyu", "cmn", false),
    ("ewa", "pl", false),
    ("maja", "pl", false),
    ("jacek", "pl", true),
    ("jan", "pl", true),
    ("tatyana", "ru", false),
    ("maxim", "ru", true),
    ("astrid", "sv", false),
    ("elin", "sv", false),
    ("naja", "da", false),
    ("mads", "da", true),
    ("liv", "nb", false),
    ("ida", "nb", false),
    ("filiz", "tr", false),
    ("carmen", "ro", false),
    ("gwyneth", "cy", false),
    ("dora", "is", false),
    ("karl", "is", true),
];

/// The engine's voice for a markup's: "en-us+f3". An empty language is the voice's own, else American English.
pub fn of(language: &str, voice: &str) -> Result<String, Fault> {
    let voice = voice.to_ascii_lowercase();
    let name = voice.split_once('.').map_or(voice.as_str(), |(_, name)| name);
    let name = name.trim_end_matches("-neural").trim_end_matches("-generative");
    let polly = POLLY.iter().find(|(known, _, _)| *known == name);
    let own = match voice.split_once('.') {
        // "Google.de-DE-Standard-B": the language stands first.
        Some(("google", name)) => name.match_indices('-').nth(1).map_or(name, |(at, _)| &name[..at]),
        _ => polly.map_or("", |(_, language, _)| language),
    };
    let wanted = if language.is_empty() { own } else { language };
    let is_man = voice == "man"
        || polly.is_some_and(|(_, _, is_man)| *is_man)
        || name.ends_with(['b', 'd']) && !own.is_empty() && polly.is_none();
    let code = code(wanted).ok_or_else(|| Fault::new(Reason::Language, format!("no voice speaks {wanted}")))?;
    Ok(format!("{code}+{}", if is_man { "m3" } else { "f3" }))
}

fn code(language: &str) -> Option<&'static str> {
    let language = language.to_ascii_lowercase().replace('_', "-");
    if language.is_empty() {
        return Some("en-us");
    }
    let known = |code: &str| {
        let alias = ALIASES.iter().find(|(from, _)| *from == code).map(|(_, to)| *to);
        alias.or_else(|| LANGUAGES.iter().find(|l| **l == code).copied())
    };
    known(&language).or_else(|| known(language.split('-').next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voices_and_languages_have_the_engines_names() {
        let rows = [
            ("", "", Ok("en-us+f3")),
            ("en-GB", "alice", Ok("en-gb+f3")),
            ("de-DE", "man", Ok("de+m3")),
            ("", "Polly.Joanna", Ok("en-us+f3")),
            ("", "Polly.Matthew-Neural", Ok("en-us+m3")),
            ("", "Polly.Hans", Ok("de+m3")),
            ("fr-CA", "woman", Ok("fr+f3")),
            ("", "Google.es-ES-Standard-A", Ok("es+f3")),
            ("", "Google.de-DE-Wavenet-B", Ok("de+m3")),
            ("zh-HK", "", Ok("yue+f3")),
            ("cmn-CN", "", Ok("cmn+f3")),
            ("pt_BR", "", Ok("pt-br+f3")),
            ("nb-NO", "", Ok("nb+f3")),
            ("xx-YY", "", Err(13_511)),
            ("; rm", "", Err(13_511)),
        ];
        for (language, voice, expected) in rows {
            let found = of(language, voice).map_err(|fault| fault.reason.code());
            assert_eq!(found, expected.map(str::to_owned), "{language} {voice}");
        }
        for (name, language, _) in POLLY {
            assert!(LANGUAGES.contains(language), "{name}");
        }
        assert!(ALIASES.iter().all(|(_, to)| LANGUAGES.contains(to)));
    }
}
