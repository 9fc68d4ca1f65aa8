//! Text → nodes, on the events of saphyr-parser (the only place that names it).

use super::{BYTES_MAX, DEPTH_MAX, Fault, Kind, NODES_MAX, Node, Position};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reads one document. The first thing that is not YAML ends it.
pub fn parse(file: &str, text: &str) -> Result<Node, Fault> {
    let file: Arc<str> = Arc::from(file);
    let fault = |at, (what, expected): (String, &str)| Fault {
        file: Arc::clone(&file),
        at,
        what,
        expected: expected.to_owned(),
    };
    if text.len() > BYTES_MAX {
        let what = format!("the file has {} bytes", text.len());
        return Err(fault(Position::default(), (what, "expected at most 4 MiB")));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let shielded = shield_patterns(text);
    let mut loader = Loader { shielded: shielded.is_some(), ..Loader::default() };
    let mut parser = Parser::new_from_str(shielded.as_deref().unwrap_or(text));
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|e| {
            let at = position(e.marker().line(), e.marker().col());
            fault(at, (format!("this is not YAML: {}", e.info()), "expected a well-formed document"))
        })?;
        let at = start(&span);
        loader.event(event, at).map_err(|e| fault(loader.blamed.unwrap_or(at), e))?;
    }
    Ok(loader.root.unwrap_or(Node::new(Position { line: 1, column: 1 }, Kind::Null)))
}

fn start(span: &Span) -> Position {
    position(span.start.line(), span.start.col())
}

fn position(line: usize, column_from_0: usize) -> Position {
    let line = u32::try_from(line).unwrap_or(u32::MAX).max(1);
    Position { line, column: u32::try_from(column_from_0).unwrap_or(u32::MAX - 1) + 1 }
}

/// What went wrong and what was expected.
type Wrong = (String, &'static str);

/// A list or mapping that is still open.
struct Open {
    at: Position,
    anchor: usize,
    /// Nodes that were complete when it began, so that an anchor knows its size.
    nodes_before: usize,
    content: Content,
}

enum Content {
    Seq(Vec<Node>),
    Map { pairs: Vec<(Node, Node)>, key: Option<Node>, seen: BTreeMap<String, Position> },
}

#[derive(Default)]
struct Loader {
    stack: Vec<Open>,
    root: Option<Node>,
    /// Anchored nodes and how many nodes each expands to.
    anchors: BTreeMap<usize, (Node, usize)>,
    nodes: usize,
    documents: usize,
    shielded: bool,
    /// Where a fault is that shows only at a later event.
    blamed: Option<Position>,
}

impl Loader {
    fn event(&mut self, event: Event<'_>, at: Position) -> Result<(), Wrong> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(("a second document begins".into(), "expected one document a file"));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                known_tag(tag.as_deref())?;
                let node = Node::new(at, self.scalar(text.into_owned(), style));
                self.complete(node, anchor, self.nodes)
            }
            Event::SequenceStart(anchor, tag) => {
                known_tag(tag.as_deref())?;
                self.open(at, anchor, Content::Seq(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                known_tag(tag.as_deref())?;
                self.open(at, anchor, Content::Map { pairs: Vec::new(), key: None, seen: BTreeMap::new() })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor) else {
                    return Err(("this alias stands inside what it names".into(), "expected an anchor before it"));
                };
                let (node, size) = (node.clone(), *size);
                // The copy's own node is counted when it is completed.
                self.count(size.saturating_sub(1))?;
                self.complete(node, 0, self.nodes)
            }
            _ => Ok(()),
        }
    }

    fn scalar(&self, text: String, style: ScalarStyle) -> Kind {
        let quoted = style != ScalarStyle::Plain;
        if !quoted && matches!(text.as_str(), "" | "~" | "null") {
            return Kind::Null;
        }
        let text = if self.shielded { text.chars().map(unshield).collect() } else { text };
        Kind::Scalar { text, quoted }
    }

    fn count(&mut self, nodes: usize) -> Result<(), Wrong> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            return Err((format!("more than {NODES_MAX} values"), "expected a smaller file, or fewer aliases"));
        }
        Ok(())
    }

    fn open(&mut self, at: Position, anchor: usize, content: Content) -> Result<(), Wrong> {
        if self.stack.len() >= DEPTH_MAX {
            return Err((format!("nested deeper than {DEPTH_MAX}"), "expected a flatter structure"));
        }
        self.stack.push(Open { at, anchor, nodes_before: self.nodes, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Wrong> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let kind = match open.content {
            Content::Seq(items) => Kind::Seq(items),
            Content::Map { pairs, .. } => Kind::Map(pairs),
        };
        self.complete(Node::new(open.at, kind), open.anchor, open.nodes_before)
    }

    fn complete(&mut self, node: Node, anchor: usize, nodes_before: usize) -> Result<(), Wrong> {
        self.count(1)?;
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - nodes_before));
            self.count(self.nodes - nodes_before)?;
        }
        match self.stack.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::Seq(items)) => items.push(node),
            Some(Content::Map { pairs, key, seen }) => match key.take() {
                Some(key) => pairs.push((key, node)),
                None => {
                    self.blamed = Some(node.at);
                    *key = Some(new_key(node, seen)?);
                    self.blamed = None;
                }
            },
        }
        Ok(())
    }
}

fn new_key(node: Node, seen: &mut BTreeMap<String, Position>) -> Result<Node, Wrong> {
    let Some(text) = node.text().or(node.is_null().then_some("null")) else {
        return Err((format!("{} stands as a key", node.shown()), "expected a plain word"));
    };
    if let Some(first) = seen.insert(text.to_owned(), node.at) {
        let what = format!("the key \"{text}\" stands twice, first at {}:{}", first.line, first.column);
        return Err((what, "expected each key once"));
    }
    let kind = Kind::Scalar { text: text.to_owned(), quoted: true };
    Ok(Node { kind, ..node })
}

fn known_tag(tag: Option<&saphyr_parser::Tag>) -> Result<(), Wrong> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => {
            Err((format!("the tag {}{} means nothing here", tag.handle, tag.suffix), "expected a value without a tag"))
        }
        _ => Ok(()),
    }
}

/// Characters that end or split a plain scalar, and what stands for them between the slashes of a pattern.
const SPECIAL: [char; 8] = ['{', '}', '[', ']', ',', ':', '#', '?'];
const SHIELD: u32 = 0x10_FF00;

fn unshield(c: char) -> char {
    let index = u32::from(c).checked_sub(SHIELD).and_then(|i| usize::try_from(i).ok());
    index.and_then(|i| SPECIAL.get(i)).copied().unwrap_or(c)
}

/// `{ to: /^\+1415555(\d{4})$/ }` is what people write, and YAML would end the scalar at the brace. Special characters between
/// `/…/` where a value may begin become private-use characters, one for one, so that columns hold; scalars turn them back.
fn shield_patterns(text: &str) -> Option<String> {
    let shield_of = |c: char| {
        let index = SPECIAL.iter().position(|s| *s == c)?;
        char::from_u32(SHIELD + u32::try_from(index).ok()?)
    };
    if text.chars().any(|c| unshield(c) != c) || !text.contains('/') {
        return None;
    }
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        let mut before = None;
        while let Some(c) = rest.chars().next() {
            let pattern =
                if c == '/' && matches!(before, Some(' ' | '[' | ',' | '{')) { pattern_end(rest) } else { None };
            let (taken, left) = rest.split_at(pattern.unwrap_or(c.len_utf8()));
            out.extend(taken.chars().map(|c| if pattern.is_some() { shield_of(c).unwrap_or(c) } else { c }));
            before = taken.chars().next_back();
            rest = left;
        }
    }
    Some(out)
}

/// `text` begins with a slash: the length to the next unescaped slash, if a value can end there.
fn pattern_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '/' => {
                let after = text.get(i + 1..)?.chars().next();
                return matches!(after, None | Some(' ' | '\t' | '\r' | '\n' | ',' | ']' | '}')).then_some(i + 1);
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One line a node: position and kind.
    fn show(node: &Node, out: &mut String) {
        let at = format!("{}:{}", node.at.line, node.at.column);
        match &node.kind {
            Kind::Null => out.push_str(&format!("{at} null\n")),
            Kind::Scalar { text, quoted } => out.push_str(&format!("{at} {}{text}\n", if *quoted { "q " } else { "" })),
            Kind::Seq(items) => {
                out.push_str(&format!("{at} [\n"));
                items.iter().for_each(|n| show(n, out));
            }
            Kind::Map(pairs) => {
                out.push_str(&format!("{at} {{\n"));
                for (k, v) in pairs {
                    out.push_str(&format!("{}:{} {}=", k.at.line, k.at.column, k.text().unwrap()));
                    show(v, out);
                }
            }
        }
    }

    fn check(text: &str) -> String {
        match parse("f", text) {
            Ok(node) => {
                let mut out = String::new();
                show(&node, &mut out);
                out.trim_end().replace('\n', " | ")
            }
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn nodes_stay_as_written_and_know_their_place() {
        let rows = [
            ("", "1:1 null"),
            (
                "a: +4930\nb: 007\nc: NO\nd: ~\ne:\nf: \"~\"",
                "1:1 { | 1:1 a=1:4 +4930 | 2:1 b=2:4 007 | 3:1 c=3:4 NO | 4:1 d=4:4 null | 5:1 e=5:2 null | 6:1 f=6:4 q ~",
            ),
            ("- x\n- {k: [1, 2]}", "1:1 [ | 1:3 x | 2:3 { | 2:4 k=2:7 [ | 2:8 1 | 2:11 2"),
            ("a: &x {b: 1}\nc: *x", "1:1 { | 1:1 a=1:4 { | 1:8 b=1:11 1 | 2:1 c=1:4 { | 1:8 b=1:11 1"),
        ];
        for (text, want) in rows {
            assert_eq!(check(text), want, "{text}");
        }
    }

    #[test]
    fn patterns_need_no_quotes() {
        let rows = [
            (r"{ to: /^\+1415(\d{4})$/, x: 1 }", r"1:1 { | 1:3 to=1:7 /^\+1415(\d{4})$/ | 1:26 x=1:29 1"),
            (r"[/a{1,2}/, /[^:]#/]", r"1:1 [ | 1:2 /a{1,2}/ | 1:12 /[^:]#/"),
            ("a: /etc/x\nb: \"say /a{1}/\"", "1:1 { | 1:1 a=1:4 /etc/x | 2:1 b=2:4 q say /a{1}/"),
            (r"a: /x\/{2}/", r"1:1 { | 1:1 a=1:4 /x\/{2}/"),
        ];
        for (text, want) in rows {
            assert_eq!(check(text), want, "{text}");
        }
    }

    #[test]
    fn faults_say_where() {
        let rows = [
            ("a: 1\nb: 2\na: 3", "f:3:1: the key \"a\" stands twice, first at 1:1; expected each key once"),
            ("a: !x 1", "f:1:4: the tag !x means nothing here; expected a value without a tag"),
            ("[a, b]: 1", "f:1:1: a list stands as a key; expected a plain word"),
            ("---\na\n---\nb", "f:3:1: a second document begins; expected one document a file"),
        ];
        for (text, want) in rows {
            assert_eq!(check(text), want, "{text}");
        }
        assert!(
            check("a: [1").starts_with("f:2:1: this is not YAML: ") || check("a: [1").starts_with("f:1:"),
            "{}",
            check("a: [1")
        );
        assert!(check(&"[".repeat(100)).contains("nested deeper than 64"));
        assert!(check(&format!("a: {}", " ".repeat(BYTES_MAX))).contains("at most 4 MiB"));
        let laughs: String =
            (1..12).map(|i| format!("a{i}: &x{i} [{}]\n", format!("*x{},", i - 1).repeat(10))).collect();
        assert!(check(&format!("a0: &x0 [x]\n{laughs}")).contains("more than 500000 values"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_read_or_refused(text in "[ a-c:{}\\[\\],\n\t\"'/\\\\&*!|>%@#?~0-9-]{0,60}|\\PC{0,40}") {
            let _ = parse("f", &text);
        }
    }
}
