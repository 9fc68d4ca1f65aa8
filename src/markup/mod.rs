//! Call scripts in Twilio's markup → [`Program`]s. Sans-IO: octets in, blocks of steps and warnings out.
//!
//! What is unknown or wrong is told and skipped, or its usual value is taken, as Twilio does; a document that is no XML, or whose
//! root is another, is a [`Fault`] with the published number.

mod attributes;
mod dial;
mod known;
mod nouns;
mod pay;
pub mod table;
mod tree;
mod verbs;

pub use known::{Known, Shared};
pub use tree::Position;

use crate::verb::{BlockId, Program};
use std::fmt;

/// The largest document, in octets.
pub const DOCUMENT_MAX: usize = 64 * 1024;
/// Further warnings are counted in the last one only.
const WARNINGS_MAX: usize = 50;

/// A document that was read.
#[derive(Debug)]
pub struct Document {
    pub program: Program,
    pub entry: BlockId,
    pub warnings: Vec<Warning>,
}

/// Why a document was not read, by Twilio's list of errors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    TooLarge,
    /// No XML, or not all of it.
    Document,
    /// The root's version is none.
    Version,
    /// The root is not `Response`.
    Root,
    /// Neither markup, sound nor text.
    ContentType,
}

impl Error {
    /// The published number.
    pub const fn code(self) -> u32 {
        match self {
            Error::TooLarge => 11_750,
            Error::Document => 12_100,
            Error::Version => 12_101,
            Error::Root => 12_102,
            Error::ContentType => 12_300,
        }
    }

    pub const fn message(self) -> &'static str {
        match self {
            Error::TooLarge => "TwiML response body too large",
            Error::Document => "Document parse failure",
            Error::Version => "Invalid Twilio Markup XML version",
            Error::Root => "Invalid Twilio Markup XML root element: Response",
            Error::ContentType => "Invalid Content-Type",
        }
    }
}

/// A document that cannot be run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    pub error: Error,
    pub at: Position,
    pub what: String,
}

impl Fault {
    fn new(error: Error, at: Position, what: impl Into<String>) -> Fault {
        Fault { error, at, what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, message, Position { line, column }) = (self.error.code(), self.error.message(), self.at);
        write!(f, "{code} {message}: {line}:{column}: {}", self.what)
    }
}

/// Something that is skipped, or taken otherwise than it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Warning {
    /// Of Twilio's list of errors.
    pub code: u32,
    pub at: Position,
    pub what: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}:{}: {}", self.code, self.at.line, self.at.column, self.what)
    }
}

const START: Position = Position { line: 1, column: 1 };

/// Reads what a web server answered, by its type ("text/xml", without parameters; "" if none was named). Text is said, sound is
/// played from `url`; both end the call then. `name` stands before the line of each step.
pub fn read(body: &[u8], content_type: &str, url: &str) -> Result<Document, Fault> {
    match content_type {
        "" | "text/xml" | "application/xml" | "text/html" | "application/xhtml+xml" => read_xml(body, url),
        "text/plain" => {
            let text = text_of(body)?;
            Ok(verbs::say_all(text.trim(), url))
        }
        sound if sound.starts_with("audio/") => Ok(verbs::play(url)),
        other => Err(Fault::new(Error::ContentType, START, format!("\"{other}\" is neither markup, sound nor text"))),
    }
}

fn text_of(body: &[u8]) -> Result<&str, Fault> {
    if body.len() > DOCUMENT_MAX {
        return Err(Fault::new(Error::TooLarge, START, format!("{} octets, at most {DOCUMENT_MAX}", body.len())));
    }
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    std::str::from_utf8(body).map_err(|e| {
        let read = body.get(..e.valid_up_to()).unwrap_or_default();
        let line = 1 + read.iter().filter(|b| **b == b'\n').count() as u32;
        Fault::new(Error::Document, Position { line, column: 1 }, "it is not UTF-8")
    })
}

/// Reads a document of markup; `name` is its address, for the timeline.
pub fn read_xml(body: &[u8], name: &str) -> Result<Document, Fault> {
    let text = text_of(body)?;
    if text.trim().is_empty() {
        return Err(Fault::new(Error::Document, START, "the document is empty"));
    }
    let root = tree::read(text)?;
    if root.name != "Response" {
        let what = format!("the root is <{}>, expected <Response>", root.name);
        return Err(Fault::new(Error::Root, root.at, what));
    }
    if let Some(version) = root.attributes.iter().find(|a| a.name == "version" && a.value != "1.0") {
        return Err(Fault::new(Error::Version, version.at, format!("version=\"{}\"", version.value)));
    }
    Ok(verbs::compile(&root, text, name))
}

#[cfg(test)]
mod tests;
