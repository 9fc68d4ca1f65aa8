//! `env:NAME` and `file:PATH` in the place of any text.

use crate::base::yaml::{Kind, Node, Reader};

/// What gives the values; the environment and the disk are the shell's.
pub trait Secrets {
    fn env(&self, name: &str) -> Option<String>;
    /// The file's text; `Err` says why not: "there is no such file".
    fn file(&self, path: &str) -> Result<String, String>;
}

/// Has neither.
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn env(&self, _: &str) -> Option<String> {
        None
    }
    fn file(&self, _: &str) -> Result<String, String> {
        Err("no files are read here".into())
    }
}

/// Longest value, in bytes.
const VALUE_MAX: usize = 64 << 10;

/// Replaces the references among all values. A value stays out of faults: they show the reference.
pub(super) fn resolve(reader: &mut Reader, node: &mut Node, secrets: &dyn Secrets) {
    match &mut node.kind {
        Kind::Seq(items) => items.iter_mut().for_each(|n| resolve(reader, n, secrets)),
        Kind::Map(pairs) => pairs.iter_mut().for_each(|(_, n)| resolve(reader, n, secrets)),
        Kind::Null => {}
        Kind::Scalar { text, .. } => {
            let value = if let Some(name) = text.strip_prefix("env:") {
                let value = secrets.env(name);
                value.ok_or_else(|| (format!("the environment has no {name}"), "expected it to be set"))
            } else if let Some(path) = text.strip_prefix("file:") {
                let value = secrets.file(path).map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
                value.map_err(|why| (format!("the file {path} cannot be read: {why}"), "expected a readable file"))
            } else {
                return;
            };
            let value = match value {
                Ok(value) if value.is_empty() => Err((format!("{text} is empty"), "expected a value")),
                Ok(value) if value.len() > VALUE_MAX => Err((format!("{text} is too long"), "expected at most 64 kB")),
                other => other,
            };
            match value {
                Ok(value) => node.written = Some(std::mem::replace(text, value).into()),
                Err((what, expected)) => {
                    node.written = Some(text.as_str().into());
                    reader.fault(node.at, what, expected);
                }
            }
        }
    }
}
