//! Commands about configuration and dialplans as they lie on disk: no switch has to run.

use super::args::{Common, Explain};
use super::{Sentence, print};
use crate::shell::explain::{Ask, explain as explain_call};
use crate::shell::{clock, files, schema as schemas, testrun};
use crate::verb::parse_moment;
use std::path::{Path, PathBuf};

/// Reads all that `tandem run` would read; each fault on a line of its own. `show` prints what is in force.
pub fn check(file: &Path, show: bool) -> Result<(), Sentence> {
    match files::load(file) {
        Ok(loaded) if show => {
            print(&crate::config::to_yaml(&loaded.config));
            Ok(())
        }
        Ok(_) => {
            print(&format!("{}: no faults\n", file.display()));
            Ok(())
        }
        Err(faults) => {
            faults.iter().for_each(|fault| print(&format!("{fault}\n")));
            let count = if faults.len() == 1 { "1 fault".into() } else { format!("{} faults", faults.len()) };
            Err(format!("{}: {count}", file.display()).into())
        }
    }
}

/// Runs the tests of dialplans. A configuration that is not named is looked for beside and above them.
pub fn test(common: &Common, paths: &[PathBuf]) -> Result<(), Sentence> {
    let named = common.config != Path::new("tandem.yaml");
    let report = testrun::run_tests(paths, named.then_some(common.config.as_path()));
    print(&report.to_string());
    if report.is_good() { Ok(()) } else { Err("not all tests passed".into()) }
}

pub fn explain(common: &Common, asked: &Explain) -> Result<(), Sentence> {
    let loaded = files::load(&common.config).map_err(|faults| {
        let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
        said.join("\n")
    })?;
    let expected = "expected --at such as 2026-11-23T10:00:00-05:00";
    let at = asked.at.as_deref().map(|text| parse_moment(text).map_err(|what| format!("{what}; {expected}")));
    let ask = Ask {
        to: &asked.to,
        from: &asked.from,
        trunk: asked.trunk.as_deref(),
        user: asked.user.as_deref(),
        at: at.transpose()?.unwrap_or_else(clock::wall),
    };
    print(&explain_call(&loaded.config, &loaded.dialplan, &ask)?);
    Ok(())
}

pub fn schema(of_dialplan: bool) -> Result<(), Sentence> {
    let schema = if of_dialplan { schemas::dialplan_schema() } else { schemas::schema() };
    print(&format!("{schema:#}\n"));
    Ok(())
}
