//! Commands about configuration and dialplans as they lie on disk: no switch has to run.

use super::args::{Common, Explain};
use super::{Sentence, print};
use crate::base::time::Wall;
use crate::base::yaml::Fault;
use crate::shell::explain::{Ask, explain as explain_call, least_cost};
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

fn loaded(common: &Common) -> Result<files::Loaded, Sentence> {
    let said = |faults: Vec<Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    files::load(&common.config).map_err(|faults| said(faults).into())
}

/// A moment as it is written on the command line; now without one.
fn moment(at: Option<&str>) -> Result<Wall, Sentence> {
    let expected = "expected --at such as 2026-11-23T10:00:00-05:00";
    let at = at.map(|text| parse_moment(text).map_err(|what| format!("{what}; {expected}")));
    Ok(at.transpose()?.unwrap_or_else(clock::wall))
}

/// How many rates each card has.
pub fn rates(common: &Common) -> Result<(), Sentence> {
    let loaded = loaded(common)?;
    let rows: Vec<Vec<String>> =
        loaded.rates.cards().map(|(trunk, card)| vec![trunk.to_owned(), card.rows().to_string()]).collect();
    print(&super::table::table(&["TRUNK", "RATES"], &rows, "no trunk has rates"));
    Ok(())
}

/// What a number costs by each trunk, and the order in which least-cost routing tries them.
pub fn price(common: &Common, number: &str, at: Option<&str>) -> Result<(), Sentence> {
    let (loaded, at) = (loaded(common)?, moment(at)?);
    let currency = &loaded.config.lcr.currency;
    let mut rows = Vec::new();
    for (trunk, _) in loaded.rates.cards() {
        let Some(rate) = loaded.rates.lookup(trunk, number, at) else {
            rows.push(vec![trunk.to_owned(), "(no rate)".into()]);
            continue;
        };
        rows.push(vec![
            trunk.to_owned(),
            format!("{} {}", rate.price, currency),
            rate.setup.to_string(),
            format!("{}/{}", rate.minimum_s, rate.increment_s),
            rate.prefix.clone(),
            rate.name.clone(),
            rate.hours.as_ref().map_or("always".into(), ToString::to_string),
        ]);
    }
    let head = ["TRUNK", "A MINUTE", "SETUP", "MIN/STEP s", "PREFIX", "NAME", "HOURS"];
    print(&super::table::table(&head, &rows, "no trunk has rates"));
    if !rows.is_empty() {
        print(&format!("\nleast cost: {}\n", least_cost(&loaded.config, &loaded.rates, &[], number, at)));
    }
    Ok(())
}

pub fn explain(common: &Common, asked: &Explain) -> Result<(), Sentence> {
    let (loaded, at) = (loaded(common)?, moment(asked.at.as_deref())?);
    let ask = Ask { to: &asked.to, from: &asked.from, trunk: asked.trunk.as_deref(), user: asked.user.as_deref(), at };
    print(&explain_call(&loaded.config, &loaded.dialplan, &loaded.rates, &ask)?);
    Ok(())
}

pub fn schema(of_dialplan: bool) -> Result<(), Sentence> {
    let schema = if of_dialplan { schemas::dialplan_schema() } else { schemas::schema() };
    print(&format!("{schema:#}\n"));
    Ok(())
}
