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

/// How text becomes sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Speech {
    /// Takes espeak-ng's options; not used where there is a server.
    pub program: String,
    /// A server that takes JSON and gives audio.
    pub url: Option<String>,
    /// Parts of texts that are made at once.
    pub at_once: u32,
}

pub static SPEECH: Shape = Shape {
    name: "speech section",
    doc: "Say.",
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
    ],
    prefixed: None,
};

fn is_http(text: &str) -> bool {
    text.strip_prefix("http://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
}

pub(super) fn speech(f: &Fields<'_>) -> Speech {
    let is_http = f.text("provider") == Some("http");
    Speech {
        program: f.string("program"),
        url: f.text("url").filter(|_| is_http).map(str::to_owned),
        at_once: f.int("at_once"),
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
