//! YAML as people write it: every node knows where it stands, scalars stay as written, faults are located sentences.
//!
//! [`parse`] gives [`Node`]s. A [`Shape`] is the one table of what a place in a file may hold: [`Reader::check`] finds
//! unknown keys, wrong types and missing keys by it, [`Fields`] reads values and defaults by it, and the JSON Schema of
//! `tandem schema` is printed from it; so they cannot disagree.

mod fields;
mod parse;
mod reader;
mod scalar;
mod shape;

pub use fields::Fields;
pub use parse::parse;
pub use reader::Reader;
pub use scalar::{nearest, parse_duration, write_duration};
pub use shape::{Key, Shape, Type, Variant, Variants, key, required};

use std::fmt;
use std::sync::Arc;

/// Largest file that is read.
pub const BYTES_MAX: usize = 4 << 20;
/// Deepest nesting.
pub const DEPTH_MAX: usize = 64;
/// Most nodes of one file, after aliases are expanded.
pub const NODES_MAX: usize = 500_000;

/// Where a node begins: both count from 1, columns in characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub at: Position,
    pub kind: Kind,
    /// What stood here before a reference (`env:NAME`) was replaced by its value: shown in faults in the value's place.
    pub written: Option<Box<str>>,
}

#[derive(Clone, Debug)]
pub enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// As written: `+4930`, `007` and `NO` are text. `quoted` tells `"~"` from `~`.
    Scalar {
        text: String,
        quoted: bool,
    },
    Seq(Vec<Node>),
    /// Keys in the order of the file; no key stands twice.
    Map(Vec<(Node, Node)>),
}

impl Node {
    pub const fn new(at: Position, kind: Kind) -> Node {
        Node { at, kind, written: None }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// A reference stands here that has no value, which was told of.
    pub fn is_unresolved(&self) -> bool {
        self.written.as_deref().is_some_and(|w| self.text() == Some(w))
    }

    /// The items of a list, or the one node itself; nothing for null.
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::Seq(items) => items,
            Kind::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// Keys and values; empty if it is no mapping.
    pub fn pairs(&self) -> &[(Node, Node)] {
        match &self.kind {
            Kind::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// The value under a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.pairs().iter().find(|(k, _)| k.text() == Some(key)).map(|(_, v)| v)
    }

    /// For a fault: the text as the file has it, cut short.
    pub fn shown(&self) -> String {
        let text = match (&self.written, &self.kind) {
            (Some(written), _) => return format!("\"{written}\""),
            (_, Kind::Scalar { text, .. }) => text,
            (_, Kind::Null) => return "nothing".into(),
            (_, Kind::Seq(_)) => return "a list".into(),
            (_, Kind::Map(_)) => return "a mapping".into(),
        };
        let mut short: String = text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
        if text.chars().nth(60).is_some() {
            short.push('…');
        }
        format!("\"{short}\"")
    }
}

/// One thing wrong with a file: where, what, and what was expected.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Fault {
    pub file: Arc<str>,
    /// 0:0 for the file as a whole.
    pub at: Position,
    pub what: String,
    pub expected: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.at.line > 0 {
            write!(f, ":{}:{}", self.at.line, self.at.column)?;
        }
        write!(f, ": {}", self.what)?;
        if self.expected.is_empty() { Ok(()) } else { write!(f, "; {}", self.expected) }
    }
}
