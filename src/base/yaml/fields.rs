//! Reading values out of a node that was checked against its shape.

use super::{Kind, Node, Position, Shape, Type, parse_duration};
use crate::base::time::Duration;

/// The values under a shape's keys. A value that is missing or wrong reads as its default; [`super::Reader::check`] has told of it.
pub struct Fields<'n> {
    shape: &'static Shape,
    node: &'n Node,
    /// The key that a node stands for which is no mapping.
    main: Option<&'static str>,
}

impl<'n> Fields<'n> {
    pub const fn of(node: &'n Node, shape: &'static Shape) -> Fields<'n> {
        Fields { shape, node, main: None }
    }

    /// A node that may be the value of `main` alone.
    pub const fn short(node: &'n Node, shape: &'static Shape, main: &'static str) -> Fields<'n> {
        Fields { shape, node, main: Some(main) }
    }

    pub const fn at(&self) -> Position {
        self.node.at
    }

    pub fn get(&self, key: &str) -> Option<&'n Node> {
        if self.shape.key(key).is_none() {
            crate::bug!("the shape of a {} has no key {key}", self.shape.name);
        }
        let found = match (&self.node.kind, self.main) {
            (Kind::Map(_), _) => self.node.get(key),
            (_, Some(main)) if main == key => Some(self.node),
            _ => None,
        };
        found.filter(|node| !node.is_null())
    }

    /// Whether a key stands here whose feature is not there yet (which was told of).
    pub fn has_later(&self) -> bool {
        let later = self.shape.keys.iter().filter(|k| matches!(k.kind, Type::Later));
        later.into_iter().any(|k| self.node.get(k.name).is_some())
    }

    fn default(&self, key: &str) -> Option<&'static str> {
        self.shape.key(key).map(|k| k.default).filter(|d| !d.is_empty())
    }

    /// The text written, or the default.
    pub fn text(&self, key: &str) -> Option<&'n str> {
        self.get(key).and_then(Node::text).or_else(|| self.default(key))
    }

    pub fn string(&self, key: &str) -> String {
        self.text(key).unwrap_or_default().to_owned()
    }

    pub fn flag(&self, key: &str) -> bool {
        self.text(key) == Some("true")
    }

    pub fn int(&self, key: &str) -> u32 {
        let written = self.text(key).and_then(|t| t.parse().ok());
        written.or_else(|| self.default(key).and_then(|t| t.parse().ok())).unwrap_or(0)
    }

    pub fn duration(&self, key: &str) -> Option<Duration> {
        let written = self.text(key).and_then(|t| parse_duration(t).ok());
        written.or_else(|| self.default(key).and_then(|t| parse_duration(t).ok()))
    }

    /// The items of a list, or the one value.
    pub fn items(&self, key: &str) -> &'n [Node] {
        let only_lists = self.shape.key(key).is_some_and(|k| matches!(k.kind, Type::List(_)));
        let found = self.get(key).filter(|node| !only_lists || matches!(node.kind, Kind::Seq(_)));
        found.map_or(&[], Node::items)
    }

    pub fn texts(&self, key: &str) -> Vec<String> {
        self.items(key).iter().filter_map(Node::text).map(str::to_owned).collect()
    }
}
