//! Checking nodes against shapes, and collecting what is wrong.

use super::shape::names;
use super::{Fault, Key, Kind, Node, Position, Shape, Type, Variants, nearest};
use std::sync::Arc;

/// Collects the faults of one file; the first [`Reader::FAULTS_MAX`] are kept.
pub struct Reader {
    file: Arc<str>,
    faults: Vec<Fault>,
}

impl Reader {
    pub const FAULTS_MAX: usize = 100;

    pub fn new(file: &str) -> Reader {
        Reader { file: Arc::from(file), faults: Vec::new() }
    }

    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    pub fn fault(&mut self, at: Position, what: impl Into<String>, expected: impl Into<String>) {
        if self.faults.len() < Self::FAULTS_MAX {
            let file = Arc::clone(&self.file);
            self.faults.push(Fault { file, at, what: what.into(), expected: expected.into() });
        }
    }

    /// A name that nothing defines: suggests the nearest and lists what is known.
    pub fn unknown<'a>(&mut self, at: Position, kind: &str, written: &str, known: impl IntoIterator<Item = &'a str>) {
        let known: Vec<&str> = known.into_iter().collect();
        let expected = suggestion(written, &known, kind);
        self.fault(at, format!("unknown {kind} \"{written}\""), expected);
    }

    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// In the order of the file.
    pub fn into_faults(mut self) -> Vec<Fault> {
        self.faults.sort();
        self.faults.dedup();
        self.faults
    }

    /// Finds everything about a node that the type does not allow. True if nothing.
    pub fn check(&mut self, node: &Node, kind: &'static Type) -> bool {
        let before = self.faults.len();
        self.check_node(node, kind);
        self.faults.len() == before
    }

    fn check_node(&mut self, node: &Node, kind: &'static Type) {
        match (kind, &node.kind) {
            _ if node.is_unresolved() => {}
            (Type::Any, _) => {}
            (Type::As(kind), _) => self.check_node(node, kind),
            (Type::Later, _) => self.fault(node.at, "this is not yet available", "expected it to be left out"),
            (Type::List(item) | Type::OneOrMore(item), Kind::Seq(items)) => {
                items.iter().for_each(|n| self.check_node(n, item));
            }
            (Type::OneOrMore(item), _) => self.check_node(node, item),
            (Type::Map(shape) | Type::Short(shape, _), Kind::Map(_)) => {
                self.check_shape(node, shape);
            }
            (Type::Short(shape, main), _) => match shape.key(main) {
                Some(key) => {
                    self.check_node(node, &key.kind);
                    self.missing(node.at, shape, |name| name == *main);
                }
                None => self.mismatch(node, kind),
            },
            (Type::Dict(item), Kind::Map(pairs)) => pairs.iter().for_each(|(_, v)| self.check_node(v, item)),
            (Type::OneOf(variants), _) => self.check_variant(node, variants),
            (Type::Choice(options), Kind::Scalar { text, .. }) => {
                if !options.contains(&text.as_str()) {
                    let expected = suggestion(text, options, "value");
                    self.fault(node.at, format!("unknown value {}", node.shown()), expected);
                }
            }
            (
                Type::Text | Type::Secret | Type::Bool | Type::Int(..) | Type::Duration | Type::Form(..),
                Kind::Scalar { text, .. },
            ) => {
                if let Err(what) = kind.judge(text, &node.shown()) {
                    self.fault(node.at, what, format!("expected {}", kind.expected()));
                }
            }
            _ => self.mismatch(node, kind),
        }
    }

    fn mismatch(&mut self, node: &Node, kind: &Type) {
        self.fault(node.at, format!("{} stands here", node.shown()), format!("expected {}", kind.expected()));
    }

    fn check_shape(&mut self, node: &Node, shape: &'static Shape) {
        for (key, value) in node.pairs() {
            let name = key.text().unwrap_or_default();
            match (shape.key(name), shape.prefixed) {
                // A key without a value is as if it were not there.
                (Some(known), _) if value.is_null() && !known.required => {}
                (Some(Key { kind: Type::Later, .. }), _) => {
                    self.fault(
                        key.at,
                        format!("\"{name}\" is not yet available in a {}", shape.name),
                        "expected it to be left out",
                    );
                }
                (Some(known), _) => self.check_node(value, &known.kind),
                (None, Some((prefix, kind))) if name.len() > prefix.len() && name.starts_with(prefix) => {
                    self.check_node(value, kind);
                }
                (None, prefixed) => {
                    let more = prefixed.map(|(prefix, _)| prefix);
                    let known: Vec<&str> = shape.keys.iter().map(|k| k.name).chain(more).collect();
                    let expected = suggestion(name, &known, "key");
                    self.fault(key.at, format!("unknown key \"{name}\" in a {}", shape.name), expected);
                }
            }
        }
        self.missing(node.at, shape, |name| node.get(name).is_some());
    }

    fn missing(&mut self, at: Position, shape: &'static Shape, present: impl Fn(&str) -> bool) {
        for key in shape.keys.iter().filter(|k| k.required && !present(k.name)) {
            let what = format!("this {} has no \"{}\"", shape.name, key.name);
            self.fault(at, what, format!("expected {}: {}", key.kind.expected(), key.doc));
        }
    }

    fn check_variant(&mut self, node: &Node, variants: &'static Variants) {
        let Some((name, value)) = self.variant_of(node, variants) else { return };
        let Some(option) = variants.options.iter().find(|o| Some(o.name) == name.text()) else {
            let written = name.text().unwrap_or_default();
            let known: Vec<&str> = variants.options.iter().filter(|o| !o.later).map(|o| o.name).collect();
            let all: Vec<&str> = variants.options.iter().map(|o| o.name).collect();
            let hint =
                nearest(written, all.iter().copied()).map_or_else(String::new, |n| format!("did you mean \"{n}\"? "));
            let expected = format!("{hint}Known {}s: {}", variants.name, known.join(", "));
            self.fault(name.at, format!("unknown {} \"{written}\"", variants.name), expected);
            return;
        };
        if option.later {
            let what = format!("the {} \"{}\" is not yet available", variants.name, option.name);
            let known = names(variants.options.iter().filter(|o| !o.later).map(|o| o.name));
            return self.fault(name.at, what, format!("expected one of {known}"));
        }
        for (key, value) in node.pairs() {
            if let Some(known) = variants.beside.key(key.text().unwrap_or_default()) {
                self.check_node(value, &known.kind);
            }
        }
        match value {
            Some(value) if !(value.is_null() && option.bare) => self.check_node(value, &option.kind),
            None if !option.bare => {
                let what = format!("\"{}\" needs a value", option.name);
                self.fault(name.at, what, format!("expected {}", option.kind.expected()));
            }
            _ => {}
        }
    }

    /// The name that says which variant a node is, and its value; checks the keys beside it.
    fn variant_of<'n>(&mut self, node: &'n Node, variants: &'static Variants) -> Option<(&'n Node, Option<&'n Node>)> {
        let names = || names(variants.options.iter().filter(|o| !o.later).map(|o| o.name));
        match &node.kind {
            Kind::Scalar { .. } => Some((node, None)),
            Kind::Map(pairs) => {
                let beside = |key: &Node| variants.beside.key(key.text().unwrap_or_default());
                let mut mains = pairs.iter().filter(|(key, _)| beside(key).is_none());
                let Some((key, value)) = mains.next() else {
                    self.fault(
                        node.at,
                        format!("no {} stands here", variants.name),
                        format!("expected one of {}", names()),
                    );
                    return None;
                };
                for (more, _) in mains {
                    let (first, more_text) = (key.text().unwrap_or_default(), more.text().unwrap_or_default());
                    let what = format!("\"{more_text}\" stands beside \"{first}\" in one {}", variants.name);
                    let dash = format!("expected one {0} an item: begin each {0} with \"- \"", variants.name);
                    self.fault(more.at, what, dash);
                }
                Some((key, Some(value)))
            }
            _ => {
                let what = format!("{} stands in the place of a {}", node.shown(), variants.name);
                self.fault(node.at, what, format!("expected one of {}", names()));
                None
            }
        }
    }
}

/// The nearest of the known names, and all of them if they are few.
fn suggestion(written: &str, known: &[&str], kind: &str) -> String {
    let hint = nearest(written, known.iter().copied()).map_or_else(String::new, |n| format!("did you mean \"{n}\"? "));
    match known.len() {
        0 => format!("no {kind} is defined"),
        1..=40 => format!("{hint}Known: {}", known.join(", ")),
        more if hint.is_empty() => format!("expected one of the {more} known"),
        _ => hint.trim_end().to_owned(),
    }
}
