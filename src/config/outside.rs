//! What is fetched from servers, and how text becomes sound.

use super::{Network, read, shapes};
use crate::base::yaml::{Fields, Shape, Type, key};
use std::path::PathBuf;

/// Fetches and callbacks.
#[derive(Clone, Debug, PartialEq)]
pub struct Web {
    /// Networks that may be asked though they are not public.
    pub allow_private: Vec<Network>,
    /// Folder of local markup and of what it plays.
    pub files: PathBuf,
    /// Requests to one server at once.
    pub host_requests: u32,
}

/// Who understands what parties say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecogniserKind {
    None,
    /// A Vosk server, by its address.
    Vosk(String),
    PocketSphinx,
    /// Says which tone it hears: for tests.
    Tones,
}

/// How text becomes sound, and sound text.
#[derive(Clone, Debug, PartialEq)]
pub struct Speech {
    /// Takes espeak-ng's options; not used where there is a server.
    pub program: String,
    /// A server that takes JSON and gives audio.
    pub url: Option<String>,
    /// Parts of texts that are made at once.
    pub at_once: u32,
    pub recogniser: RecogniserKind,
    /// Takes pocketsphinx_continuous's options.
    pub recogniser_program: String,
    /// Parties who speak at once and are understood.
    pub recognised_at_once: u32,
}

pub static SPEECH: Shape = Shape {
    name: "speech section",
    doc: "Say, and what callers say to a gather.",
    keys: &[
        key("provider", Type::Choice(&["espeak", "http"]), "espeak", "A program on this machine, or a server."),
        key("program", Type::Text, "espeak-ng", "The program; it takes espeak-ng's options."),
        key(
            "url",
            Type::Form("an address such as http://127.0.0.1:5500/speak", is_http),
            "",
            "The server: it is given JSON with text, ssml, language and voice, and answers with WAV or MP3.",
        ),
        key("at_once", Type::Int(1, 64), "2", "Parts of texts that are made at once."),
        key(
            "recogniser",
            Type::Choice(&["pocketsphinx", "vosk", "tones", "none"]),
            "pocketsphinx",
            "Who understands callers: a program on this machine, a Vosk server, or (for tests) one that names tones.",
        ),
        key(
            "recogniser_url",
            Type::Form("an address such as ws://127.0.0.1:2700", is_ws),
            "",
            "The Vosk server: WebSocket, its published protocol.",
        ),
        key(
            "recogniser_program",
            Type::Text,
            "pocketsphinx_continuous",
            "The program; it takes pocketsphinx_continuous's options.",
        ),
        key("recognised_at_once", Type::Int(1, 1_024), "32", "Callers who speak at once and are understood."),
    ],
    prefixed: None,
};

fn is_ws(text: &str) -> bool {
    text.strip_prefix("ws://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
}

fn is_http(text: &str) -> bool {
    text.strip_prefix("http://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
}

pub(super) fn speech(f: &Fields<'_>) -> Speech {
    let is_http = f.text("provider") == Some("http");
    Speech {
        program: f.string("program"),
        url: f.text("url").filter(|_| is_http).map(str::to_owned),
        at_once: f.int("at_once"),
        recogniser: match (f.text("recogniser"), f.text("recogniser_url")) {
            (Some("none"), _) => RecogniserKind::None,
            (Some("vosk"), url) => RecogniserKind::Vosk(url.unwrap_or_default().to_owned()),
            (Some("tones"), _) => RecogniserKind::Tones,
            _ => RecogniserKind::PocketSphinx,
        },
        recogniser_program: f.string("recogniser_program"),
        recognised_at_once: f.int("recognised_at_once"),
    }
}

pub static WEB: Shape = Shape {
    name: "web section",
    doc: "Webhooks and media by address.",
    keys: &[
        key(
            "allow_private",
            Type::OneOrMore(&shapes::NETWORK),
            "",
            "Networks that may be asked though they are not on the public Internet, such as 127.0.0.0/8.",
        ),
        key("files", Type::Text, "markup", "Folder of local markup and of what it plays."),
        key("host_requests", Type::Int(1, 4_096), "128", "Requests to one server at once; further ones wait."),
    ],
    prefixed: None,
};

pub(super) fn web(f: &Fields<'_>) -> Web {
    let networks = f.texts("allow_private");
    Web {
        allow_private: networks.iter().filter_map(|n| read::network(n)).collect(),
        files: f.string("files").into(),
        host_requests: f.int("host_requests"),
    }
}
