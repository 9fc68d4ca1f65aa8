//! Style is a test: layers, vocabulary, lengths, leftovers. Each ban names its replacement.
//!
//! A fault that has to stand for a while gets a line in [`WAIVERS`] with its reason; a waiver that nothing needs any more is a
//! fault itself, so the list only shrinks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layer table of src/ARCHITECTURE.md: a module imports only modules of lower layers.
const LAYERS: &[(&str, u8)] = &[
    ("base", 0),
    ("config", 1),
    ("event", 1),
    ("rtp", 1),
    ("sdp", 1),
    ("media", 2),
    ("sip", 2),
    ("speech", 2),
    ("web", 2),
    ("recording", 3),
    ("verb", 3),
    ("b2bua", 4),
    ("dialplan", 4),
    ("markup", 4),
    ("rates", 4),
    ("switch", 5),
    ("shell", 6),
];
/// Inside these, each submodule imports only those declared above it in mod.rs.
const ORDERED_INSIDE: &[&str] = &["sip", "media"];
/// What a network or a file reaches: nothing here may panic on it.
const REACHED_BY_INPUT: &[&str] =
    &["sip", "sdp", "rtp", "media", "config", "dialplan", "markup", "rates", "recording", "speech", "web"];
const FUNCTION_LINES_MAX: usize = 100;
const FILE_LINES_MAX: usize = 800;
const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "dialplans",
    "codecs",
    "tests",
    "pcap-fixtures",
    "systemd",
    "README.md",
    "CHANGELOG.md",
    "Makefile",
    "LICENSE",
    "rustfmt.toml",
    ".clippy.toml",
    ".gitignore",
    ".ci",
    ".git",
    // Made by building and running; ignored by git.
    "target",
    "data",
];

struct Waiver {
    rule: &'static str,
    path: &'static str,
    /// Part of the fault's sentence or line; "" waives the rule for the whole file.
    what: &'static str,
    reason: &'static str,
}

const WAIVERS: &[Waiver] = &[];

/// Words that may not stand in code, where they are allowed all the same, and what to use instead.
const BANNED: &[(&str, &[&str], &str)] = &[
    ("dbg!", &[], "remove it; what an operator needs is a Fact or a tracing line"),
    ("todo!", &[], "finish it, or do not land it"),
    ("unimplemented!", &[], "finish it, or return an error that says what is missing"),
    ("println!", &["src/main.rs", "src/shell/cli", "tests/", "codecs/tests/"], "tracing, or print from shell::cli"),
    ("eprintln!", &["src/main.rs", "src/shell/cli", "tests/", "codecs/tests/"], "tracing, or print from shell::cli"),
];

/// What the core does not touch: (path as written in code, replacement).
const BANNED_IN_CORE: &[(&str, &str)] = &[
    ("Instant::now", "take the `Now` that came with the input"),
    ("SystemTime", "take the `Now` that came with the input"),
    ("thread::spawn", "the shell owns threads; give an Output"),
    ("thread::sleep", "set a deadline in base::timers"),
    ("std::fs", "the shell reads files and hands over their text"),
    ("std::env", "the shell reads the environment"),
    ("UdpSocket", "give an Output::Send; sockets are the shell's"),
    ("TcpStream", "give an Output::Send; sockets are the shell's"),
    ("TcpListener", "sockets are the shell's"),
    ("RandomState", "a BTreeMap, or a hasher with a fixed key"),
    ("thread_rng", "base::rng with the seed that was given"),
    ("async", "a state machine whose answers come back as inputs"),
    ("unsafe", "safe code; codecs and shell own what needs unsafe"),
];

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    rule: &'static str,
    path: String,
    line: usize,
    sentence: String,
}

/// A source file, cut into what the rules look at. All texts have the file's lines.
struct Source {
    path: String,
    raw: String,
    /// Without comments and the insides of strings.
    code: String,
    /// Without test modules too.
    production: String,
    comments: String,
}

impl Source {
    fn new(path: &str, raw: &str) -> Source {
        let (code, comments) = lex(raw);
        let is_test = path.contains("tests/") || path.ends_with("/tests.rs");
        let production = if is_test { blank(&code) } else { without_tests(&code) };
        Source { path: path.into(), raw: raw.into(), code, production, comments }
    }

    /// `["sip", "wire", "header"]` for src/sip/wire/header.rs; empty for what is not in src/ and for lib.rs and main.rs.
    fn module(&self) -> Vec<&str> {
        let Some(rest) = self.path.strip_prefix("src/").and_then(|p| p.strip_suffix(".rs")) else { return vec![] };
        rest.split('/').filter(|s| !matches!(*s, "mod" | "lib" | "main")).collect()
    }

    fn is_core(&self) -> bool {
        self.path.starts_with("src/") && !matches!(self.module().first(), None | Some(&"shell"))
    }

    fn fault(&self, rule: &'static str, at: usize, text: &str, sentence: String) -> Fault {
        let line = text[..at].matches('\n').count() + 1;
        Fault { rule, path: self.path.clone(), line, sentence }
    }
}

fn blank(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()
}

/// Splits a file into code (comments and insides of literals blanked) and comments (all else blanked).
fn lex(raw: &str) -> (String, String) {
    let c: Vec<char> = raw.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut i = 0;
    while i < c.len() {
        let (end, is_comment) = match (c[i], c.get(i + 1)) {
            ('/', Some('/')) => (line_end(&c, i), true),
            ('/', Some('*')) => (block_end(&c, i), true),
            ('"', _) => (string_end(&c, i), false),
            ('r', Some('"' | '#')) if !follows_word(&c, i) => (raw_string_end(&c, i), false),
            ('b' | 'c', Some('r')) if matches!(c.get(i + 2), Some('"' | '#')) && !follows_word(&c, i) => {
                (raw_string_end(&c, i + 1), false)
            }
            ('\'', _) => (char_end(&c, i), false),
            _ => (i + 1, false),
        };
        for (k, &ch) in c[i..end].iter().enumerate() {
            let gap = if ch == '\n' { '\n' } else { ' ' };
            let edge = end - i == 1 || k == 0 || k == end - i - 1;
            code.push(if !is_comment && edge { ch } else { gap });
            comments.push(if is_comment { ch } else { gap });
        }
        i = end;
    }
    (code, comments)
}

fn follows_word(c: &[char], i: usize) -> bool {
    i > 0 && (c[i - 1].is_alphanumeric() || c[i - 1] == '_')
}
fn line_end(c: &[char], i: usize) -> usize {
    (i..c.len()).find(|&k| c[k] == '\n').unwrap_or(c.len())
}
fn block_end(c: &[char], i: usize) -> usize {
    let (mut depth, mut k) = (0, i);
    while k + 1 < c.len() {
        match (c[k], c[k + 1]) {
            ('/', '*') => (depth, k) = (depth + 1, k + 1),
            ('*', '/') => (depth, k) = (depth - 1, k + 1),
            _ => {}
        }
        k += 1;
        if depth == 0 {
            return k;
        }
    }
    c.len()
}
fn string_end(c: &[char], i: usize) -> usize {
    let mut k = i + 1;
    while k < c.len() && c[k] != '"' {
        k += if c[k] == '\\' { 2 } else { 1 };
    }
    (k + 1).min(c.len())
}
fn raw_string_end(c: &[char], i: usize) -> usize {
    let hashes = c[i + 1..].iter().take_while(|&&h| h == '#').count();
    if c.get(i + 1 + hashes) != Some(&'"') {
        return i + 1; // r#ident
    }
    let mut k = i + 2 + hashes;
    while k < c.len() && !(c[k] == '"' && c[k + 1..].iter().take(hashes).filter(|&&h| h == '#').count() == hashes) {
        k += 1;
    }
    (k + 1 + hashes).min(c.len())
}
/// Past a character literal; a lifetime is one character here.
fn char_end(c: &[char], i: usize) -> usize {
    if c.get(i + 1) == Some(&'\\') {
        return (i + 3..c.len()).find(|&k| c[k] == '\'').map_or(c.len(), |k| k + 1);
    }
    if c.get(i + 2) == Some(&'\'') { i + 3 } else { i + 1 }
}

/// Code with `#[cfg(test)]` items blanked.
fn without_tests(code: &str) -> String {
    let mut out = code.to_string();
    while let Some(at) = out.find("#[cfg(test)]") {
        let rest = &out[at..];
        let end = match (rest.find('{'), rest.find(';')) {
            (Some(open), semicolon) if semicolon.is_none_or(|s| open < s) => close_of(&out, at + open),
            (_, Some(semicolon)) => at + semicolon + 1,
            _ => out.len(),
        };
        out.replace_range(at..end, &blank(&out[at..end]));
    }
    out
}

/// Just past the brace that closes the one at `open`.
fn close_of(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (k, b) in code.bytes().enumerate().skip(open) {
        match b {
            b'{' => depth += 1,
            b'}' if depth == 1 => return k + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

/// Where `word` stands as whole words (it may hold `::` or end in `!`).
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let after = bytes.get(at + word.len()).copied().unwrap_or(b' ');
        (at == 0 || !is_word(bytes[at - 1])) && (word.ends_with('!') || !is_word(after))
    })
}

/// The paths under `root` ("crate" or "super"), use-trees spread out, as (where, segments after the root).
fn paths<'a>(code: &'a str, root: &'a str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for at in words(code, root) {
        let is_head = !code[..at].trim_end().ends_with("::");
        if let (true, Some(rest)) = (is_head, code[at + root.len()..].trim_start().strip_prefix("::")) {
            let mut leaves = Vec::new();
            tree(rest, &mut Vec::new(), &mut leaves);
            found.extend(leaves.into_iter().map(|l| (at, l)));
        }
    }
    found
}

/// Reads one use-tree or path; returns what is left after it.
fn tree<'a>(mut rest: &'a str, prefix: &mut Vec<String>, leaves: &mut Vec<Vec<String>>) -> &'a str {
    rest = rest.trim_start();
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            inside = inside.trim_start().trim_start_matches(',').trim_start();
            if inside.is_empty() || inside.starts_with('}') {
                return inside.strip_prefix('}').unwrap_or("");
            }
            let before = inside.len();
            inside = tree(inside, &mut prefix.clone(), leaves);
            inside = inside.trim_start().strip_prefix("as ").map_or(inside, |i| i.trim_start_matches(is_ident));
            if inside.len() == before {
                return "";
            }
        }
    }
    let word = &rest[..rest.find(|ch: char| !is_ident(ch)).unwrap_or(rest.len())];
    let after = &rest[word.len()..];
    if !word.is_empty() {
        prefix.push(word.to_string());
    }
    match after.trim_start().strip_prefix("::") {
        Some(deeper) if !word.is_empty() => tree(deeper, prefix, leaves),
        _ => {
            leaves.push(prefix.clone());
            after
        }
    }
}

fn is_ident(ch: char) -> bool {
    ch.is_alphanumeric() || ch == '_' || ch == ' '
}

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(m, _)| *m == module).map(|(_, l)| *l)
}

fn check_direction(s: &Source, order: &BTreeMap<&str, Vec<String>>, faults: &mut Vec<Fault>) {
    let here = s.module();
    let Some(own) = here.first().and_then(|m| layer(m).map(|l| (*m, l))) else { return };
    let mut seen: Vec<(usize, Vec<String>)> = paths(&s.code, "crate");
    for (at, leaf) in paths(&s.production, "super") {
        let up = 1 + leaf.iter().take_while(|p| *p == "super").count();
        if up <= here.len() {
            let head = here[..here.len() - up].iter().map(|p| p.to_string());
            seen.push((at, head.chain(leaf.into_iter().skip(up - 1)).collect()));
        }
    }
    for (at, path) in seen {
        let Some(to) = path.first().and_then(|m| layer(m).map(|l| (m.as_str(), l))) else { continue };
        let (from, to_name) = if to.0 != own.0 {
            if to.1 < own.1 {
                continue;
            }
            (own.0.to_string(), to.0.to_string())
        } else {
            let Some(order) = order.get(own.0) else { continue };
            let place = |name: Option<&str>| order.iter().position(|o| Some(o.as_str()) == name);
            let (a, b) = (place(here.get(1).copied()), place(path.get(1).map(String::as_str)));
            let (Some(a), Some(b)) = (a, b) else { continue };
            if b <= a {
                continue;
            }
            (format!("{}::{}", own.0, order[a]), format!("{}::{}", own.0, order[b]))
        };
        let sentence =
            format!("{from} may not import {to_name}: a module imports only lower layers (src/ARCHITECTURE.md)");
        faults.push(s.fault("direction", at, &s.code, sentence));
    }
}

/// A third-party crate: the name that code uses, the modules that may speak it, and whether a reason is given.
struct Dependency {
    name: String,
    line: usize,
    modules: Vec<String>,
    has_reason: bool,
    is_path: bool,
    is_dev: bool,
}

/// Reads the dependency tables of a Cargo.toml. A comment speaks for the lines below it up to the next comment or blank line.
fn dependencies(toml: &str) -> Vec<Dependency> {
    let (mut out, mut table, mut comment) = (Vec::new(), "", String::new());
    let mut last_was_comment = false;
    for (n, line) in toml.lines().enumerate() {
        let line = line.trim();
        if let Some(text) = line.strip_prefix('#') {
            comment = if last_was_comment { format!("{comment} {text}") } else { text.to_string() };
            last_was_comment = true;
            continue;
        }
        last_was_comment = false;
        if line.is_empty() || line.starts_with('[') {
            comment.clear();
            if let Some(name) = line.strip_prefix('[') {
                table = name.trim_end_matches(']');
            }
        } else if let (true, Some((name, value))) = (table.ends_with("dependencies"), line.split_once('=')) {
            let has_reason = comment.trim().len() > 8 || value.contains('#');
            out.push(Dependency {
                name: name.trim().trim_matches('"').replace('-', "_"),
                line: n + 1,
                modules: modules_named(&comment),
                has_reason,
                is_path: value.contains("path ="),
                is_dev: table.contains("dev-"),
            });
        }
    }
    out
}

/// Module paths at the places of a comment where they say who may: before a colon, a comma or "and".
fn modules_named(comment: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = comment;
    while let Some(start) = rest.find(|ch: char| ch.is_ascii_lowercase()) {
        rest = &rest[start..];
        let end = rest
            .char_indices()
            .find(|(i, ch)| {
                !(ch.is_alphanumeric()
                    || *ch == '_'
                    || rest[*i..].starts_with("::")
                    || rest[..*i].ends_with(':') && rest[..=*i].ends_with("::"))
            })
            .map_or(rest.len(), |(i, _)| i);
        let (word, after) = rest.split_at(end);
        let head = word.split("::").next().unwrap_or("");
        let says_who = after.starts_with(':') || after.starts_with(',') || after.starts_with(" and ");
        if (layer(head).is_some() || head == "main") && (word.contains("::") || says_who) {
            out.push(word.to_string());
        }
        rest = after.strip_prefix(':').unwrap_or(after);
    }
    out
}

fn check_vocabulary(s: &Source, dependencies: &[Dependency], faults: &mut Vec<Fault>) {
    if !s.path.starts_with("src/") {
        return;
    }
    let here = if s.path == "src/main.rs" { "main".to_string() } else { s.module().join("::") };
    for d in dependencies.iter().filter(|d| !d.is_dev && !d.is_path) {
        let allowed = d.modules.iter().any(|m| here == *m || here.starts_with(&format!("{m}::")));
        if allowed {
            continue;
        }
        for at in words(&s.production, &d.name) {
            let (before, after) = (s.production[..at].trim_end(), s.production[at + d.name.len()..].trim_start());
            let is_path = after.starts_with("::") && !before.ends_with("::") && !before.ends_with('.');
            let is_use = before.ends_with("use") && after.starts_with([';', ' ']);
            if is_path || is_use {
                let sentence = format!(
                    "{here} may not speak {}: by Cargo.toml it belongs to {}; use that module's own types",
                    d.name,
                    if d.modules.is_empty() { "nobody".into() } else { d.modules.join(", ") }
                );
                faults.push(s.fault("vocabulary", at, &s.production, sentence));
            }
        }
    }
}

fn check_lengths(s: &Source, faults: &mut Vec<Fault>) {
    let lines = s.raw.lines().count();
    if lines > FILE_LINES_MAX {
        let sentence = format!("{lines} lines; a file has at most {FILE_LINES_MAX}: cut it where its topics part");
        faults.push(s.fault("file length", 0, &s.code, sentence));
    }
    for at in words(&s.code, "fn") {
        let head = &s.code[at..];
        let name: String = head[2..].trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let Some(open) = body_of(head) else { continue };
        let lines = s.code[at..close_of(&s.code, at + open)].matches('\n').count() + 1;
        if !name.is_empty() && lines > FUNCTION_LINES_MAX {
            let sentence =
                format!("fn {name} has {lines} lines, at most {FUNCTION_LINES_MAX}: name its parts as functions");
            faults.push(s.fault("function length", at, &s.code, sentence));
        }
    }
}

/// Where a function's body opens; `None` for a declaration or a function pointer.
fn body_of(head: &str) -> Option<usize> {
    let mut depth = 0i32;
    for (k, b) in head.bytes().enumerate() {
        match b {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(k),
            b';' | b'=' if depth == 0 && (b == b';' || head.as_bytes().get(k + 1) == Some(&b' ')) => return None,
            _ => {}
        }
        if depth < 0 {
            return None;
        }
    }
    None
}

fn check_words(s: &Source, faults: &mut Vec<Fault>) {
    for (word, allowed, instead) in BANNED {
        if s.path == "tests/tidy.rs" || allowed.iter().any(|p| s.path.starts_with(p)) {
            continue;
        }
        // A measurement among the tests may print what it measured.
        let code = if word.ends_with("println!") { &s.production } else { &s.code };
        for at in words(code, word) {
            faults.push(s.fault("leftover", at, code, format!("{word} may not stay; instead: {instead}")));
        }
    }
    for word in ["TODO", "FIXME", "XXX", "HACK"] {
        for at in words(&s.comments, word).filter(|_| s.path != "tests/tidy.rs") {
            faults.push(s.fault("leftover", at, &s.comments, format!("{word} in a comment; open an issue instead")));
        }
    }
    if s.is_core() {
        for (word, instead) in BANNED_IN_CORE {
            for at in words(&s.production, word) {
                let sentence = format!("the core may not use {word}; instead: {instead}");
                faults.push(s.fault("core", at, &s.production, sentence));
            }
        }
    }
    if s.module().first().is_some_and(|m| REACHED_BY_INPUT.contains(m)) {
        for word in [".unwrap()", ".expect("] {
            for (at, _) in s.production.match_indices(word) {
                let sentence = format!("`{word}` where input reaches it; instead: `?`, `let … else`, or bug!()");
                faults.push(s.fault("panic", at, &s.production, sentence));
            }
        }
    }
    check_names(s, faults);
}

fn check_names(s: &Source, faults: &mut Vec<Fault>) {
    const VAGUE: &[&str] = &["Manager", "Controller", "Coordinator", "Processor", "Helper", "Helpers", "Util", "Utils"];
    for kind in ["struct", "enum", "trait", "type"] {
        for at in words(&s.code, kind) {
            let rest = s.code[at + kind.len()..].trim_start();
            let name: &str = &rest[..rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len())];
            if let Some(vague) = VAGUE.iter().find(|v| name.ends_with(**v)) {
                let sentence = format!("{name}: no {vague}; instead: telephony's word for what it is");
                faults.push(s.fault("name", at, &s.code, sentence));
            }
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Files below a folder with an ending, as paths from the root, sorted; build output left out.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let (mut out, mut todo) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && name != "target" && name != ".git" {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                out.push(path.strip_prefix(root()).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    out.sort();
    out
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The submodules of an ordered module, in the order of its mod.rs.
fn declared(module: &str) -> Vec<String> {
    let (code, _) = lex(&read(&format!("src/{module}/mod.rs")));
    let mut found: Vec<(usize, String)> = words(&code, "mod")
        .filter_map(|at| Some((at, code[at + 3..].split(';').next()?.trim().to_string())))
        .filter(|(_, name)| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
        .collect();
    found.sort();
    found.into_iter().map(|(_, name)| name).collect()
}

fn all_faults() -> Vec<Fault> {
    let mut faults = Vec::new();
    let order: BTreeMap<&str, Vec<String>> = ORDERED_INSIDE.iter().map(|m| (*m, declared(m))).collect();
    let manifest = dependencies(&read("Cargo.toml"));
    for path in ["src", "codecs", "tests"].iter().flat_map(|f| files(f, "rs")) {
        let s = Source::new(&path, &read(&path));
        check_direction(&s, &order, &mut faults);
        check_vocabulary(&s, &manifest, &mut faults);
        check_lengths(&s, &mut faults);
        check_words(&s, &mut faults);
    }
    for path in [vec!["Cargo.toml".into()], files("codecs", "toml"), files("tests", "toml")].concat() {
        if path.ends_with("Cargo.toml") {
            for d in dependencies(&read(&path)).iter().filter(|d| !d.has_reason && !d.is_path) {
                let sentence = format!("{} has no reason; write one in a comment above it", d.name);
                faults.push(Fault { rule: "dependency", path: path.clone(), line: d.line, sentence });
            }
        }
    }
    for pcap in files("pcap-fixtures", "pcap") {
        if !root().join(Path::new(&pcap).with_extension("md")).exists() {
            let sentence = "no .md beside it says where it comes from and what it must show".into();
            faults.push(Fault { rule: "fixture", path: pcap, line: 0, sentence });
        }
    }
    for entry in fs::read_dir(root()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !TOP_LEVEL.contains(&name.as_str()) {
            let sentence = "not in the house's plan; put it into the room that it belongs to".into();
            faults.push(Fault { rule: "top level", path: name, line: 0, sentence });
        }
    }
    faults.sort();
    faults.dedup();
    faults
}

#[test]
fn the_house_is_tidy() {
    let mut needed = BTreeSet::new();
    let mut said = Vec::new();
    for f in all_faults() {
        let waiver = WAIVERS.iter().position(|w| w.rule == f.rule && w.path == f.path && f.sentence.contains(w.what));
        match waiver {
            Some(w) => {
                needed.insert(w);
            }
            None => said.push(format!("{}:{}: {}: {}", f.path, f.line, f.rule, f.sentence)),
        }
    }
    for (n, w) in WAIVERS.iter().enumerate().filter(|(n, _)| !needed.contains(n)) {
        said.push(format!(
            "tests/tidy.rs: waiver {n} ({} in {}, \"{}\") is no longer needed: remove it",
            w.rule, w.path, w.reason
        ));
    }
    assert!(WAIVERS.iter().all(|w| w.reason.len() > 8), "a waiver needs a reason");
    assert!(said.is_empty(), "\n{}\n{} faults", said.join("\n"), said.len());
}

/// The rules that fire on a file of this path and text.
fn fired(path: &str, text: &str) -> Vec<(&'static str, usize)> {
    let s = Source::new(path, text);
    let order = BTreeMap::from([("sip", vec!["wire".to_string(), "transport".into(), "dialog".into()])]);
    let toml = "[dependencies]\n# shell::net and switch: sockets, in shell only\nlibc = \"1\"\n# sip::wire: buffers\nbytes = \"1\"\n";
    let mut faults = Vec::new();
    check_direction(&s, &order, &mut faults);
    check_vocabulary(&s, &dependencies(toml), &mut faults);
    check_lengths(&s, &mut faults);
    check_words(&s, &mut faults);
    faults.sort();
    faults.dedup();
    faults.into_iter().map(|f| (f.rule, f.line)).collect()
}

type Row<'a> = (&'a str, &'a str, &'a [(&'static str, usize)]);

#[test]
fn each_rule_fires_where_it_should_and_only_there() {
    let long = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(100));
    let rows: &[Row<'_>] = &[
        ("src/media/leg.rs", "use crate::switch::Switch;", &[("direction", 1)]),
        ("src/media/leg.rs", "use crate::{base::time, sip::wire::{Uri, Via}};", &[("direction", 1)]),
        ("src/media/leg.rs", "use crate::base::{id::Id, time};\nuse crate::rtp;", &[]),
        ("src/sip/wire/uri.rs", "use super::super::dialog::Dialog;", &[("direction", 1)]),
        ("src/sip/wire/uri.rs", "use super::message::Method;", &[]),
        ("src/sip/dialog.rs", "use super::wire::Uri; fn f() -> crate::sip::transport::Flow { g() }", &[]),
        ("src/sip/transport.rs", "fn f(d: super::dialog::Dialog) {}", &[("direction", 1)]),
        ("src/sip/wire/mod.rs", "use bytes::Bytes;", &[]),
        ("src/sip/dialog.rs", "// libc::x\nuse bytes::Bytes;", &[("vocabulary", 2)]),
        ("src/shell/net/udp.rs", "unsafe { libc::recvmmsg() }", &[]),
        ("src/shell/api.rs", "libc::getpid(); other::libc::x(); s.libc;", &[("vocabulary", 1)]),
        ("src/b2bua/mod.rs", "fn f() { let a = \"dbg!(1) crate::switch\"; dbg!(a); }", &[("leftover", 1)]),
        (
            "src/b2bua/mod.rs",
            "/* a /* TODO */ */ let c = '\"'; // x\nlet t = r#\"TODO \"quoted\" \"#;",
            &[("leftover", 1)],
        ),
        ("src/sdp/mod.rs", "fn f<'a>(x: &'a str) { x.parse().unwrap() }", &[("panic", 1)]),
        (
            "src/sdp/mod.rs",
            "#[cfg(test)]\nmod tests { fn f() { g().unwrap(); } }\nfn h() { i().expect(\"\") }",
            &[("panic", 3)],
        ),
        ("src/switch/mod.rs", "fn f() { g().unwrap(); std::time::Instant::now(); }", &[("core", 1)]),
        ("src/shell/mod.rs", "fn f() { println!(); std::time::Instant::now(); }", &[("leftover", 1)]),
        ("src/switch/mod.rs", "struct CallManager;\nenum Utility {}", &[("name", 1)]),
        ("src/base/x.rs", &long, &[("function length", 1)]),
        ("src/base/x.rs", "trait T { fn f(&self); }\nconst F: fn(u8) = g;\nfn f() -> [u8; 2] { [0; 2] }", &[]),
    ];
    for (path, text, want) in rows {
        assert_eq!(fired(path, text), *want, "{path}: {text}");
    }
}
