//! The `tests:` of a dialplan: what they say.

use super::{Names, shapes};
use crate::base::time::Wall;
use crate::base::yaml::{Fields, Kind, Node, Reader, parse_duration, write_duration};
use crate::verb::{Action, Outcome, Pattern, parse_moment};
use std::sync::Arc;

/// One call and what is expected of it.
#[derive(Debug)]
pub(super) struct Test {
    pub name: String,
    /// `file:line`.
    pub at: Arc<str>,
    pub call: Call,
    /// How the steps of a verb go, in order; the last one stays.
    pub outcomes: Vec<(String, Vec<Outcome>)>,
    /// What is entered at each gather in turn.
    pub presses: Vec<String>,
    pub expect: Option<Vec<Expected>>,
    pub exact: bool,
    pub route: Option<String>,
    pub rejected: Option<u16>,
}

#[derive(Debug)]
pub(super) struct Call {
    pub trunk: Option<String>,
    pub user: Option<String>,
    pub context: Option<String>,
    pub from: String,
    pub from_name: String,
    pub to: String,
    pub at: Wall,
    pub headers: Vec<(String, String)>,
    pub verstat: String,
    pub attest: String,
}

/// An action that has to come.
#[derive(Debug)]
pub(super) struct Expected {
    verb: String,
    fields: Vec<(String, Wanted)>,
    /// As the file has it.
    pub shown: String,
    /// `file:line`.
    pub at: Arc<str>,
}

#[derive(Debug)]
enum Wanted {
    /// One of the field's values.
    Any(Pattern),
    /// All of them, in this order.
    All(Vec<Pattern>),
}

/// The fields that an action shows, the main one first.
const FIELDS: [(&str, &[&str]); 23] = [
    ("say", &["text", "voice", "language", "loop"]),
    (
        "gather",
        &["digits", "timeout", "finish_on_key", "input", "prompt", "barge_in", "action", "pci", "language", "hints"],
    ),
    ("pay", &["amount", "currency", "connector", "method", "timeout", "attempts", "action"]),
    ("redirect", &["url", "method"]),
    ("refer", &["uri", "action"]),
    ("answer", &[]),
    ("reject", &["status", "reason"]),
    ("play", &["file", "loop", "digits"]),
    ("tone", &["name", "country", "duration"]),
    ("echo", &["duration"]),
    (
        "dial",
        &[
            "user",
            "number",
            "trunks",
            "uri",
            "timeout",
            "strategy",
            "caller_id",
            "caller_name",
            "attest",
            "media",
            "codecs",
            "time_limit",
            "record",
            "ringback",
            "headers",
            "action",
            "hangup_on_star",
            "queue",
            "url",
        ],
    ),
    ("enqueue", &["name", "workflow", "task", "wait_url", "wait", "action", "max"]),
    ("leave", &[]),
    ("pickup", &["user", "group"]),
    ("park", &["slot", "timeout", "music"]),
    ("retrieve", &["slot"]),
    ("forward", &["always", "busy", "no_answer", "dnd"]),
    ("conference", &["name", "beep", "muted", "coach", "start_on_enter", "end_on_exit", "max_participants", "wait"]),
    ("record", &["max_length", "finish_on_key", "timeout", "beep", "trim", "action"]),
    ("record_call", &["action", "channels", "paused"]),
    ("pause", &["duration"]),
    ("hangup", &["reason"]),
    ("log", &["text"]),
];

pub(super) fn read(
    reader: &mut Reader,
    node: &Node,
    names: &Names<'_>,
    has_rule: &dyn Fn(&str) -> bool,
) -> Option<Test> {
    let f = Fields::of(node, &shapes::TEST);
    let at: Arc<str> = format!("{}:{}", reader.file(), node.at.line).into();
    let call = read_call(reader, &Fields::of(f.get("call")?, &shapes::CALL), names);
    let mut outcomes = Vec::new();
    for (verb, values) in f.get("outcomes").map_or(&[][..], Node::pairs) {
        let name = verb.text().unwrap_or_default();
        if !FIELDS.iter().any(|(known, _)| *known == name) {
            reader.unknown(verb.at, "action", name, FIELDS.iter().map(|(known, _)| *known));
        }
        let values = values.items().iter().filter_map(|v| super::steps::read_outcome(v.text()?));
        outcomes.push((name.to_owned(), values.collect()));
    }
    if let Some(node) = f.get("expect_route")
        && !node.text().is_some_and(has_rule)
    {
        reader.fault(node.at, format!("no rule is named {}", node.shown()), "expected a rule's name");
    }
    let expect = f.get("expect").map(|n| n.items().iter().filter_map(|i| read_expected(reader, i)).collect());
    let rejected = f.get("rejected").and_then(|n| n.text()?.parse().ok());
    if f.get("expect").is_none() && f.get("expect_route").is_none() && f.get("rejected").is_none() {
        reader.fault(node.at, "this test expects nothing", "expected expect, expect_route or rejected");
    }
    Some(Test {
        name: f.text("name").map_or_else(|| format!("call to {}", call.to), str::to_owned),
        at,
        call,
        outcomes,
        presses: f.texts("press"),
        expect,
        exact: f.flag("exact"),
        route: f.text("expect_route").map(str::to_owned),
        rejected,
    })
}

fn read_call(reader: &mut Reader, f: &Fields<'_>, names: &Names<'_>) -> Call {
    for (key, known) in [("trunk", names.trunks), ("user", names.users)] {
        if let (Some(node), Some(known)) = (f.get(key), known)
            && let Some(name) = node.text().filter(|n| !known.iter().any(|k| k == n))
        {
            reader.unknown(node.at, key, name, known.iter().map(String::as_str));
        }
    }
    if f.get("trunk").is_some() && f.get("user").is_some() {
        reader.fault(f.at(), "a call comes by a trunk or from a user", "expected one of trunk and user");
    }
    let text = |key| f.text(key).map(str::to_owned);
    let verstat = f.text("verstat").unwrap_or_default();
    let letter = ["A", "B", "C"].into_iter().find_map(|a| Some((verstat.strip_suffix(a)?.strip_suffix('-')?, a)));
    let verstat = letter.unwrap_or((verstat, ""));
    let user = text("user");
    let headers = f.get("headers").map_or(&[][..], Node::pairs).iter();
    let headers = headers.filter_map(|(k, v)| Some((k.text()?.to_owned(), v.text()?.to_owned())));
    Call {
        trunk: text("trunk"),
        context: text("context"),
        from: text("from").or_else(|| user.clone()).unwrap_or_default(),
        user,
        from_name: f.string("from_name"),
        to: f.string("to"),
        at: f.text("at").and_then(|t| parse_moment(t).ok()).unwrap_or_default(),
        headers: headers.collect(),
        // `TN-Validation-Passed-A` says both.
        verstat: verstat.0.to_owned(),
        attest: verstat.1.to_owned(),
    }
}

fn read_expected(reader: &mut Reader, node: &Node) -> Option<Expected> {
    let null = Node::new(node.at, Kind::Null);
    let (name, value) = match &node.kind {
        Kind::Map(pairs) if pairs.len() == 1 => pairs.first().map(|(k, v)| (k, v))?,
        Kind::Scalar { .. } => (node, &null),
        _ => {
            let what = format!("{} stands in the place of one action", node.shown());
            reader.fault(node.at, what, "expected an action's name, or one name with its fields");
            return None;
        }
    };
    // Two words for one.
    let verb = if name.text()? == "markup" { "redirect" } else { name.text()? };
    let Some((_, known)) = FIELDS.iter().find(|(known, _)| *known == verb) else {
        let is_step = shapes::STEP.options.iter().find(|o| o.name == verb);
        match is_step.map(|o| o.later) {
            Some(true) => {
                let all: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
                let what = format!("the step \"{verb}\" is not yet available");
                reader.fault(name.at, what, format!("expected one of {}", all.join(", ")));
            }
            Some(false) => {
                reader.fault(
                    name.at,
                    format!("\"{verb}\" is done inside the script"),
                    "expected an action that follows",
                );
            }
            None => reader.unknown(name.at, "action", verb, FIELDS.iter().map(|(known, _)| *known)),
        }
        return None;
    };
    let mut fields = Vec::new();
    match (&value.kind, known.first()) {
        (Kind::Null, _) => {}
        (Kind::Map(pairs), _) => {
            for (key, value) in pairs {
                let field = key.text().unwrap_or_default();
                if known.contains(&field) {
                    read_wanted(reader, verb, field, value, &mut fields);
                } else {
                    reader.unknown(key.at, "field", field, known.iter().copied());
                }
            }
        }
        (_, Some(main)) => read_wanted(reader, verb, main, value, &mut fields),
        (_, None) => reader.fault(value.at, format!("\"{verb}\" has no fields"), "expected the name alone"),
    }
    let shown = fields.iter().fold(verb.to_owned(), |out, (field, wanted)| format!("{out} {field}={wanted}"));
    let at = format!("{}:{}", reader.file(), name.at.line).into();
    Some(Expected { verb: verb.to_owned(), fields, shown, at })
}

fn read_wanted(reader: &mut Reader, verb: &str, field: &str, value: &Node, out: &mut Vec<(String, Wanted)>) {
    let mut pattern = |node: &Node, prefix: &str| {
        let text = node.text()?;
        let text = normal(verb, field, text);
        match Pattern::parse(&text) {
            Ok(Pattern::Literal(text)) => Some(Pattern::Literal(format!("{prefix}{text}"))),
            Ok(expression) => Some(expression),
            Err(what) => {
                reader.fault(node.at, what, "expected a literal or /a regular expression/");
                None
            }
        }
    };
    match &value.kind {
        Kind::Seq(items) => {
            let all = items.iter().filter_map(|n| pattern(n, "")).collect();
            out.push((field.to_owned(), Wanted::All(all)));
        }
        Kind::Map(pairs) => {
            let name = |key: &Node| format!("{}: ", key.text().unwrap_or_default());
            let each = pairs.iter().filter_map(|(k, v)| Some((field.to_owned(), Wanted::Any(pattern(v, &name(k))?))));
            out.extend(each);
        }
        _ => out.extend(pattern(value, "").map(|p| (field.to_owned(), Wanted::Any(p)))),
    }
}

/// One way to write what can be written in several.
fn normal(verb: &str, field: &str, text: &str) -> String {
    let status = (verb == "reject" && field == "status").then(|| shapes::status(text)).flatten();
    if let Some(status) = status {
        return status.to_string();
    }
    let timed = matches!(field, "duration" | "timeout" | "time_limit" | "max_length");
    match parse_duration(text) {
        Ok(d) if timed => write_duration(d),
        _ => text.to_owned(),
    }
}

impl Expected {
    pub(super) fn fits(&self, action: &Action) -> bool {
        let fields = action.fields();
        action.verb() == self.verb
            && self.fields.iter().all(|(name, wanted)| {
                let values: Vec<&str> = fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect();
                match wanted {
                    Wanted::Any(pattern) => values.iter().any(|v| pattern.matches(v)),
                    Wanted::All(all) => all.len() == values.len() && all.iter().zip(&values).all(|(p, v)| p.matches(v)),
                }
            })
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let one = |p: &Pattern| match p {
            Pattern::Literal(text) if !text.contains(' ') => text.clone(),
            other => other.to_string(),
        };
        match self {
            Wanted::Any(p) => f.write_str(&one(p)),
            Wanted::All(all) => write!(f, "[{}]", all.iter().map(one).collect::<Vec<_>>().join(", ")),
        }
    }
}
