//! The table of what a place in a file may hold.

use super::parse_duration;

/// A mapping with known keys.
pub struct Shape {
    /// What a fault calls it: "trunk", "rule".
    pub name: &'static str,
    pub doc: &'static str,
    pub keys: &'static [Key],
    /// Keys with this prefix are allowed beside the known ones ("header."), with values of this type.
    pub prefixed: Option<(&'static str, &'static Type)>,
}

pub struct Key {
    pub name: &'static str,
    pub kind: Type,
    pub doc: &'static str,
    pub required: bool,
    /// As one would write it; "" for none.
    pub default: &'static str,
}

/// An optional key; `default` as one would write it, "" for none.
pub const fn key(name: &'static str, kind: Type, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, doc, required: false, default }
}

pub const fn required(name: &'static str, kind: Type, doc: &'static str) -> Key {
    Key { name, kind, doc, required: true, default: "" }
}

pub enum Type {
    /// Any scalar.
    Text,
    /// Never printed.
    Secret,
    /// `true` or `false`.
    Bool,
    /// A whole number in the range, inclusive.
    Int(u64, u64),
    /// With a unit.
    Duration,
    Choice(&'static [&'static str]),
    /// A scalar of a form of its own: what was expected ("an IP address"), and whether a text is one.
    Form(&'static str, fn(&str) -> bool),
    List(&'static Type),
    /// A list, or one item without brackets.
    OneOrMore(&'static Type),
    Map(&'static Shape),
    /// A mapping, or the value of this main key alone.
    Short(&'static Shape, &'static str),
    /// A mapping whose keys are the author's names.
    Dict(&'static Type),
    /// One of several named things, as a step is one of the verbs.
    OneOf(&'static Variants),
    /// The same as a type that stands elsewhere: so a table can name itself.
    As(&'static Type),
    /// Read by hand.
    Any,
    /// A known word whose feature is not there yet.
    Later,
}

/// Written as `name`, or `name: value`, with the keys of `beside` beside it.
pub struct Variants {
    /// What a fault calls it: "step".
    pub name: &'static str,
    pub options: &'static [Variant],
    pub beside: &'static Shape,
}

pub struct Variant {
    pub name: &'static str,
    pub doc: &'static str,
    pub kind: Type,
    /// May stand without a value.
    pub bare: bool,
    /// Known, but not yet there.
    pub later: bool,
}

impl Shape {
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|k| k.name == name)
    }
}

impl Type {
    /// What a fault says was expected.
    pub fn expected(&self) -> String {
        match self {
            Type::Text => "a text".into(),
            Type::Secret => "a text, env:NAME or file:PATH".into(),
            Type::Bool => "true or false".into(),
            Type::Int(min, max) if *max >= u64::from(u32::MAX) => format!("a whole number from {min}"),
            Type::Int(min, max) => format!("a whole number from {min} to {max}"),
            Type::Duration => "a number and a unit, such as 20s, 500ms or 1m30s".into(),
            Type::Choice(options) => format!("one of {}", options.join(", ")),
            Type::Form(expected, _) => (*expected).into(),
            Type::List(_) => "a list".into(),
            Type::OneOrMore(item) => format!("{}, or a list of them", item.expected()),
            Type::Map(shape) => format!("the keys of a {}: {}", shape.name, names(shape.keys.iter().map(|k| k.name))),
            Type::Short(shape, main) => {
                let value = shape.key(main).map_or_else(String::new, |k| k.kind.expected());
                format!("{value}, or the keys {}", names(shape.keys.iter().map(|k| k.name)))
            }
            Type::Dict(item) => format!("names, each with {}", item.expected()),
            Type::OneOf(v) => format!("a {}: {}", v.name, names(v.options.iter().filter(|o| !o.later).map(|o| o.name))),
            Type::As(kind) => kind.expected(),
            Type::Any | Type::Later => "a value".into(),
        }
    }

    /// Whether a scalar is one of this type; the fault's first half if not.
    pub(super) fn judge(&self, text: &str, shown: &str) -> Result<(), String> {
        match self {
            Type::Bool if !matches!(text, "true" | "false") => Err(format!("{shown} is neither true nor false")),
            Type::Int(min, max) => match text.parse::<u64>() {
                Ok(n) if n >= *min && n <= *max => Ok(()),
                Ok(_) => Err(format!("{shown} is out of range")),
                Err(_) => Err(format!("{shown} is no whole number")),
            },
            Type::Duration => match parse_duration(text) {
                Err(what) if shown.contains(text) => Err(what),
                Err(_) => Err(format!("{shown} is no duration")),
                Ok(_) => Ok(()),
            },
            Type::Form(_, is) if !is(text) => Err(format!("{shown} does not fit")),
            _ => Ok(()),
        }
    }
}

pub(super) fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
