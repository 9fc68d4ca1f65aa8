//! The YAML dialplan: rules, matching, compilation into [`crate::verb::Program`]s, its tests, its explanation.

use crate::base::time::Wall;
use crate::verb::Script;

/// All contexts of all dialplan files, checked against the names that the configuration defines.
#[derive(Debug, Default)]
pub struct Dialplan {}

/// What matching sees of a call.
#[derive(Clone)]
pub struct CallFacts<'a> {
    /// User part of From's URI (or P-Asserted-Identity's from a trusted trunk), decoded.
    pub from: &'a str,
    pub from_name: &'a str,
    /// User part of the Request-URI, decoded.
    pub to: &'a str,
    pub trunk: Option<&'a str>,
    pub user: Option<&'a str>,
    /// Value of a header by its name, any case.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    pub at: Wall,
}

/// A rule that took a call.
#[derive(Debug)]
pub struct Taken {
    /// Its name, or `file:line`.
    pub rule: String,
    /// One sentence for the timeline: which rule, what matched, with which captures.
    pub why: String,
    pub script: Script,
}

impl Dialplan {
    /// The first rule of the context whose `match` and `when` hold; `Err` is the sentence that says why none did.
    pub fn route(&self, context: &str, facts: &CallFacts<'_>) -> Result<Taken, String> {
        let _ = (context, facts);
        todo!()
    }
}
