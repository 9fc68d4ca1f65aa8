//! Files → contexts and rules.

use super::rule::{Match, Property, When};
use super::shapes;
use super::steps::Compiler;
use super::{Context, Dialplan, Names, Rule, expect};
use crate::base::yaml::{Fault, Fields, Kind, Node, Reader, Type, parse};
use crate::verb::{BlockId, Dates, Hours, Pattern, Program};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) static FILE: Type = Type::Map(&shapes::FILE);

/// Where `goto` can go: by context and by the rule's name.
pub(super) type Entries = BTreeMap<String, BTreeMap<String, BlockId>>;

/// A context before its steps are compiled.
struct Outline<'n> {
    file: usize,
    context: Context,
    /// What stands under `do`, rule by rule.
    steps: Vec<Option<&'n Node>>,
}

pub(super) fn load(files: &[(String, String)], names: &Names<'_>) -> Result<Dialplan, Vec<Fault>> {
    let mut readers: Vec<Reader> = files.iter().map(|(path, _)| Reader::new(path)).collect();
    let mut faults = Vec::new();
    let mut nodes = Vec::new();
    for ((path, text), reader) in files.iter().zip(&mut readers) {
        match parse(path, text) {
            Ok(node) => {
                reader.check(&node, &FILE);
                nodes.push(Some(node));
            }
            Err(fault) => {
                faults.push(fault);
                nodes.push(None);
            }
        }
    }
    let mut program = Program::default();
    let mut entries = Entries::new();
    let mut outlines: Vec<Outline<'_>> = Vec::new();
    for (file, (node, reader)) in nodes.iter().zip(&mut readers).enumerate() {
        let Some(contexts) = node.as_ref().and_then(|n| n.get("contexts")) else { continue };
        for (name, rules) in contexts.pairs() {
            let context = name.text().unwrap_or_default();
            if let Some(other) = outlines.iter().find(|o| o.context.name == context) {
                let place = files.get(other.file).map_or("", |(path, _)| path.as_str());
                let what = format!("the context \"{context}\" is also defined in {place}");
                reader.fault(name.at, what, "expected all rules of a context in one file");
                continue;
            }
            outlines.push(outline(
                reader,
                file,
                context,
                rules,
                &mut program,
                entries.entry(context.into()).or_default(),
            ));
        }
    }
    let mut compiler = Compiler::new(program, entries, names);
    for outline in &outlines {
        if let Some(reader) = readers.get_mut(outline.file) {
            compiler.context(reader, &outline.context.name, &outline.context.rules, &outline.steps);
        }
    }
    let has_rule = |name: &str| outlines.iter().any(|o| o.context.rules.iter().any(|r| r.name == name));
    let mut tests = Vec::new();
    for (node, reader) in nodes.iter().zip(&mut readers) {
        let Some(list) = node.as_ref().and_then(|n| n.get("tests")) else { continue };
        let Kind::Seq(items) = &list.kind else { continue };
        tests.extend(items.iter().filter_map(|n| expect::read(reader, n, names, &has_rule)));
    }
    let (program, more) = compiler.finish();
    faults.extend(more);
    faults.extend(readers.into_iter().flat_map(Reader::into_faults));
    if !faults.is_empty() {
        return Err(faults);
    }
    let headers = program.headers();
    let contexts = outlines.into_iter().map(|o| o.context).collect();
    Ok(Dialplan { contexts, program: Arc::new(program), headers, tests })
}

fn outline<'n>(
    reader: &mut Reader,
    file: usize,
    context: &str,
    rules: &'n Node,
    program: &mut Program,
    entries: &mut BTreeMap<String, BlockId>,
) -> Outline<'n> {
    let mut found = Vec::new();
    let mut steps = Vec::new();
    for node in rules.items().iter().filter(|n| matches!(n.kind, Kind::Map(_))) {
        let fields = Fields::of(node, &shapes::RULE);
        let entry = program.add(Vec::new());
        let at: Arc<str> = format!("{}:{}", reader.file(), node.at.line).into();
        let name = fields.text("name").map_or_else(|| at.to_string(), str::to_owned);
        if entries.insert(name.clone(), entry).is_some() {
            let what = format!("the context \"{context}\" has two rules named \"{name}\"");
            reader.fault(node.at, what, "expected a name of its own for each");
        }
        let matches = fields.get("match").map_or_else(Vec::new, |m| read_matches(reader, m));
        let when = fields.get("when").map(|w| read_when(reader, w));
        found.push(Rule { name, at, matches, when, entry });
        steps.push(fields.get("do"));
    }
    Outline { file, context: Context { name: context.to_owned(), rules: found }, steps }
}

fn read_matches(reader: &mut Reader, node: &Node) -> Vec<Match> {
    let mut matches = Vec::new();
    for (key, value) in node.pairs() {
        let property = match key.text().unwrap_or_default() {
            "to" => Property::To,
            "from" => Property::From,
            "trunk" => Property::Trunk,
            "user" => Property::User,
            other => match other.strip_prefix("header.") {
                Some(name) => Property::Header(name.to_owned()),
                None => continue,
            },
        };
        let mut patterns = Vec::new();
        for item in value.items() {
            match item.text().map(Pattern::parse) {
                Some(Ok(pattern)) => patterns.push(pattern),
                Some(Err(what)) => reader.fault(item.at, what, "expected a literal or /a regular expression/"),
                None => {}
            }
        }
        if patterns.is_empty() && !value.items().is_empty() {
            continue;
        }
        if patterns.is_empty() {
            reader.fault(value.at, "nothing can match an empty list", "expected at least one pattern");
        }
        matches.push(Match { property, patterns });
    }
    matches.sort_by(|a, b| a.property.cmp(&b.property));
    matches
}

fn read_when(reader: &mut Reader, node: &Node) -> When {
    let fields = Fields::of(node, &shapes::WHEN);
    // An unknown zone was told of by its shape; the hours themselves can still be read.
    let zone = fields.text("timezone").filter(|z| crate::verb::is_time_zone(z)).unwrap_or("UTC");
    let mut hours = Vec::new();
    for item in fields.items("hours") {
        match item.text().map(|text| Hours::parse(text, zone)) {
            Some(Ok(h)) => hours.push(h),
            Some(Err(what)) => {
                reader.fault(item.at, what, "expected hours such as mon-fri 09:00-18:00, sat 10:00-14:00")
            }
            None => {}
        }
    }
    let texts = fields.items("dates").iter().filter_map(Node::text);
    let dates = match Dates::parse(texts, zone) {
        Ok(dates) => fields.get("dates").map(|_| dates),
        Err(what) => {
            let at = fields.get("dates").map_or(node.at, |n| n.at);
            reader.fault(at, what, "expected days such as 2026-12-25, 2026-12-24..2027-01-01 or 12-25");
            None
        }
    };
    let not = fields.get("not").map(|n| Box::new(read_when(reader, n)));
    let verstat = fields.texts("verstat");
    let is_empty = fields.get("hours").is_none() && fields.get("dates").is_none() && verstat.is_empty();
    if is_empty && not.is_none() {
        reader.fault(node.at, "this `when` says nothing", "expected hours, dates, verstat or not");
    }
    When { hours, dates, verstat, not }
}
