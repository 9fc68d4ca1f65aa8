//! pocketsphinx as a process a turn: sound goes to its input as raw samples of 16 kHz, sentences come as lines. Hints become a
//! grammar, since it understands a free sentence over the telephone badly and a list of phrases well.

use super::recogniser::{Recogniser, Text, Understood};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What it may take after the last sound.
const PATIENCE: Duration = Duration::from_secs(10);
/// Silence after the last sound, so that it sees that the sentence is over: half a second.
const TAIL: usize = 8_000;
const OUTPUT_BYTES_MAX: u64 = 16_384;
/// Words that it knows, of the package pocketsphinx-en-us.
const DICTIONARY: &str = "/usr/share/pocketsphinx/model/en-us/cmudict-en-us.dict";
const PHRASES_MAX: usize = 500;

/// Whether the program is there and knows the language.
pub fn can_hear(program: &str, language: &str) -> Result<(), String> {
    let is_english = language.is_empty() || language.get(..2).is_some_and(|l| l.eq_ignore_ascii_case("en"));
    if !is_english {
        return Err(format!("pocketsphinx understands English only, not {language}"));
    }
    static PATHS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    let paths = PATHS.get_or_init(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).collect()
    });
    let is_there = if program.contains('/') {
        Path::new(program).exists()
    } else {
        paths.iter().any(|folder| folder.join(program).exists())
    };
    let why = || format!("{program} is not installed: apt-get install pocketsphinx pocketsphinx-en-us");
    if is_there { Ok(()) } else { Err(why()) }
}

#[derive(Debug)]
pub struct Sphinx {
    child: Child,
    stdin: Option<ChildStdin>,
    grammar: Option<PathBuf>,
}

impl Sphinx {
    pub fn open(program: &str, folder: &Path, hints: &str) -> Result<Sphinx, String> {
        let grammar = match grammar(hints, known()) {
            Some(text) => Some(write(folder, &text)?),
            None => None,
        };
        let mut command = Command::new(program);
        command.args(["-infile", "/dev/stdin", "-logfn", "/dev/null"]);
        if let Some(file) = &grammar {
            command.arg("-jsgf").arg(file);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().map_err(|e| match e.kind() {
            ErrorKind::NotFound => format!("{program} is not installed"),
            _ => format!("{program} does not start: {e}"),
        });
        let mut child = child.inspect_err(|_| remove(grammar.as_deref()))?;
        let stdin = child.stdin.take();
        Ok(Sphinx { child, stdin, grammar })
    }

    fn write(&mut self, sound: &[i16]) -> Result<(), String> {
        let Some(stdin) = &mut self.stdin else { return Err("pocketsphinx has ended".to_owned()) };
        let bytes: Vec<u8> = sound.iter().flat_map(|s| s.to_le_bytes()).collect();
        stdin.write_all(&bytes).map_err(|e| format!("pocketsphinx has ended: {e}"))
    }
}

impl Drop for Sphinx {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
        remove(self.grammar.as_deref());
    }
}

impl Recogniser for Sphinx {
    fn take(&mut self, sound: &[i16]) -> Result<Understood, String> {
        self.write(sound)?;
        Ok(Understood::Nothing)
    }

    fn end(&mut self) -> Result<Option<Text>, String> {
        self.write(&[0; TAIL])?;
        self.stdin = None;
        let until = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait() {
                Ok(Some(_)) => break,
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
                Ok(None) => return Err(format!("pocketsphinx took longer than {} s", PATIENCE.as_secs())),
                Err(e) => return Err(format!("pocketsphinx is lost: {e}")),
            }
        }
        let mut text = String::new();
        if let Some(out) = self.child.stdout.take() {
            let read = out.take(OUTPUT_BYTES_MAX).read_to_string(&mut text);
            read.map_err(|e| format!("pocketsphinx says what nobody can read: {e}"))?;
        }
        // It does not say how sure it is.
        Ok(Some(Text { text: sentence(&text), confidence: 0.0 }))
    }
}

/// Its lines as one sentence, without its words for noises.
fn sentence(output: &str) -> String {
    let words = output.split_whitespace().filter(|w| !w.starts_with(['<', '[', '+']));
    words.map(|w| w.split('(').next().unwrap_or(w)).collect::<Vec<_>>().join(" ")
}

fn known() -> &'static HashSet<Box<str>> {
    static KNOWN: OnceLock<HashSet<Box<str>>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let text = std::fs::read_to_string(DICTIONARY).unwrap_or_default();
        text.lines().filter_map(|line| Some(line.split_whitespace().next()?.into())).collect()
    })
}

/// A grammar (JSGF) of the phrases whose words are all known; `None` if there are none.
fn grammar(hints: &str, known: &HashSet<Box<str>>) -> Option<String> {
    let phrases = hints.split(',').map(str::trim).filter(|phrase| !phrase.is_empty()).take(PHRASES_MAX);
    let phrases = phrases.map(str::to_lowercase).filter(|phrase| {
        phrase
            .split_whitespace()
            .all(|word| known.contains(word) && word.chars().all(|c| c.is_ascii_alphabetic() || c == '\''))
    });
    let mut list = String::new();
    for phrase in phrases {
        let _ = write!(list, "{}{phrase}", if list.is_empty() { "" } else { " | " });
    }
    let text = format!("#JSGF V1.0;\ngrammar hints;\npublic <hint> = ( {list} )+;\n");
    (!list.is_empty()).then_some(text)
}

fn write(folder: &Path, text: &str) -> Result<PathBuf, String> {
    static LATEST: AtomicU64 = AtomicU64::new(0);
    let name = format!("hints-{}-{}.gram", std::process::id(), LATEST.fetch_add(1, Ordering::Relaxed));
    let file = folder.join(name);
    std::fs::write(&file, text).map_err(|e| format!("{} cannot be written: {e}", file.display()))?;
    Ok(file)
}

fn remove(file: Option<&Path>) {
    // What stays behind is overwritten by the next process of this number.
    let _ = file.map(std::fs::remove_file);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_become_a_grammar_of_what_is_known() {
        let known: HashSet<Box<str>> = ["sales", "support", "my", "order"].into_iter().map(Box::from).collect();
        let rows = [
            ("", None),
            ("sales", Some("sales")),
            (" Sales, support ,my order", Some("sales | support | my order")),
            ("sales, qwertz, $OOV_CLASS_DIGIT_SEQUENCE, ;<x>", Some("sales")),
            ("qwertz", None),
        ];
        for (hints, list) in rows {
            let expected = list.map(|l| format!("#JSGF V1.0;\ngrammar hints;\npublic <hint> = ( {l} )+;\n"));
            assert_eq!(grammar(hints, &known), expected, "{hints}");
        }
    }

    #[test]
    fn lines_become_a_sentence() {
        for (lines, text) in [("yes\n", "yes"), ("<sil> go [noise] on\nplease(2)\n", "go on please"), ("\n", "")] {
            assert_eq!(sentence(lines), text);
        }
    }
}
