//! XML to a tree of our own: the only place that knows the parser.

use super::{Error, Fault};
use std::ops::Range;

/// Elements and texts in one document.
const NODES_MAX: u32 = 10_000;
/// How deep elements stand in each other.
const DEPTH_MAX: usize = 32;

/// Where something begins, both from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

/// One element.
#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub at: Position,
    /// In the document's order.
    pub attributes: Vec<Attribute>,
    pub children: Vec<Node>,
    /// All text directly in it, as it stands.
    pub text: String,
    /// What stands between its tags, as octets of the document.
    pub inside: Range<usize>,
}

#[derive(Debug)]
pub struct Attribute {
    pub name: String,
    pub value: String,
    pub at: Position,
}

/// Reads a document. No DTD is taken, so no entities but the five; see the bounds above.
pub fn read(text: &str) -> Result<Node, Fault> {
    check_depth(text)?;
    let options = roxmltree::ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(text, options).map_err(|error| {
        let at = error.pos();
        Fault::new(Error::Document, Position { line: at.row, column: at.col }, error.to_string())
    })?;
    Ok(node(&document, document.root_element(), text))
}

/// Bounds the depth before anything is built that is walked by recursion. Counts tags only; what is no XML the parser says.
fn check_depth(text: &str) -> Result<(), Fault> {
    let (mut depth, mut rest, mut line) = (0usize, text, 1);
    while let Some(open) = rest.find('<') {
        line += rest.get(..open).unwrap_or_default().matches('\n').count() as u32;
        rest = rest.get(open..).unwrap_or_default();
        let end = match rest {
            r if r.starts_with("<!--") => r.find("-->").map(|e| e + 3),
            r if r.starts_with("<![CDATA[") => r.find("]]>").map(|e| e + 3),
            r => tag_end(r),
        };
        let Some(end) = end else { return Ok(()) };
        let tag = rest.get(..end).unwrap_or_default();
        match tag.as_bytes().get(1) {
            Some(b'/') => depth = depth.saturating_sub(1),
            Some(b'!' | b'?') | None => {}
            Some(_) if !tag.ends_with("/>") => depth += 1,
            Some(_) => {}
        }
        if depth > DEPTH_MAX {
            let what = format!("elements stand more than {DEPTH_MAX} deep in each other");
            return Err(Fault::new(Error::Document, Position { line, column: 1 }, what));
        }
        line += tag.matches('\n').count() as u32;
        rest = rest.get(end..).unwrap_or_default();
    }
    Ok(())
}

/// Past the ">" of a tag, which may stand in a quoted value too.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(q), b) if q == b => quote = None,
            _ => {}
        }
    }
    None
}

fn node(document: &roxmltree::Document<'_>, from: roxmltree::Node<'_, '_>, text: &str) -> Node {
    let place = |at: usize| {
        let at = document.text_pos_at(at);
        Position { line: at.row, column: at.col }
    };
    let attribute = |a: roxmltree::Attribute<'_, '_>| Attribute {
        name: match a.namespace() {
            Some("http://www.w3.org/XML/1998/namespace") => format!("xml:{}", a.name()),
            _ => a.name().to_owned(),
        },
        value: a.value().to_owned(),
        at: place(a.range().start),
    };
    let mut said = String::new();
    from.children().filter(|n| n.is_text()).filter_map(|n| n.text()).for_each(|t| said.push_str(t));
    Node {
        name: from.tag_name().name().to_owned(),
        at: place(from.range().start),
        attributes: from.attributes().map(attribute).collect(),
        children: from.children().filter(roxmltree::Node::is_element).map(|n| node(document, n, text)).collect(),
        text: said,
        inside: inside(text, from.range()),
    }
}

/// What stands between the tags of an element that has this range.
fn inside(text: &str, range: Range<usize>) -> Range<usize> {
    let whole = text.get(range.clone()).unwrap_or_default();
    let begin = tag_end(whole).unwrap_or(whole.len());
    let end = whole.rfind("</").unwrap_or(begin).max(begin);
    if whole.get(..begin).is_some_and(|tag| tag.ends_with("/>")) {
        return range.end..range.end;
    }
    range.start + begin..range.start + end
}
