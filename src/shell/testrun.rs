//! `tandem test`: finding dialplan files and the configuration that names them, and running their tests.

use crate::base::yaml::{Fault, Position};
use crate::config::{Config, Secrets};
use crate::dialplan::{Dialplan, EntryPoints, Names, TestResult};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What came of the tests of some files.
#[derive(Default, Debug)]
pub struct Report {
    /// What cannot be read; nothing was run of such a file.
    pub faults: Vec<Fault>,
    pub results: Vec<TestResult>,
}

impl Report {
    pub fn passed(&self) -> usize {
        self.results.iter().filter(|r| r.failure.is_none()).count()
    }

    pub fn failed(&self) -> usize {
        self.results.len() - self.passed()
    }

    /// Every test passed, and every file could be read.
    pub fn is_good(&self) -> bool {
        self.failed() == 0 && self.faults.is_empty()
    }
}

/// One line a test, the failed ones with what was expected and what came; the count is last.
impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.faults.iter().try_for_each(|fault| writeln!(f, "{fault}"))?;
        for result in &self.results {
            match &result.failure {
                None => writeln!(f, "ok    {}: {}", result.at, result.name)?,
                Some(failure) => {
                    writeln!(f, "FAIL  {}: {}", result.at, result.name)?;
                    failure.lines().try_for_each(|line| writeln!(f, "      {line}"))?;
                }
            }
        }
        if !self.faults.is_empty() {
            let (n, s) = (self.faults.len(), if self.faults.len() == 1 { "" } else { "s" });
            writeln!(f, "{n} fault{s}; the tests of files with faults were not run")?;
        }
        writeln!(f, "{} passed, {} failed", self.passed(), self.failed())
    }
}

/// Runs the tests of dialplan files and of folders of them. Which trunks and users there are, and where they enter, is said by
/// `config` if it is given, else by the `tandem.yaml` in the file's folder or one above that names the file.
pub fn run_tests(paths: &[PathBuf], config: Option<&Path>) -> Report {
    let mut report = Report::default();
    let mut wanted = BTreeMap::new();
    for path in paths {
        if let Err(e) = collect(path, path.is_file(), 0, &mut wanted) {
            report.faults.push(fault(
                path,
                format!("cannot be read: {e}"),
                "expected a dialplan file or a folder of them",
            ));
        }
    }
    let mut groups: BTreeMap<Option<PathBuf>, Vec<PathBuf>> = BTreeMap::new();
    for real in wanted.keys() {
        let found = config.map(Path::to_path_buf).or_else(|| config_of(real));
        groups.entry(found).or_default().push(real.clone());
    }
    for (config, files) in groups {
        run_group(config.as_deref(), &files, &wanted, &mut report);
    }
    report
}

/// Files of one configuration, or of none.
fn run_group(config: Option<&Path>, files: &[PathBuf], wanted: &BTreeMap<PathBuf, PathBuf>, report: &mut Report) {
    let read = match config.map(read_config).transpose() {
        Ok(read) => read,
        Err(faults) => return report.faults.extend(faults),
    };
    let named = read.as_ref().map_or_else(BTreeSet::new, named_files);
    // What one configuration names is one dialplan; any other file is one by itself.
    let (together, alone): (Vec<&PathBuf>, Vec<&PathBuf>) = files.iter().partition(|f| named.contains(*f));
    let mut plans: Vec<Vec<&PathBuf>> = alone.into_iter().map(|f| vec![f]).collect();
    if !together.is_empty() {
        plans.insert(0, named.iter().collect());
    }
    let shown = |real: &Path| wanted.get(real).map_or(real, PathBuf::as_path).display().to_string();
    let asked: BTreeSet<String> = files.iter().map(|f| shown(f)).collect();
    for plan in plans {
        let mut texts = Vec::new();
        for real in plan {
            match std::fs::read_to_string(real) {
                Ok(text) => texts.push((shown(real), text)),
                Err(e) => report.faults.push(fault(Path::new(&shown(real)), format!("cannot be read: {e}"), "")),
            }
        }
        let trunks: Option<Vec<String>> = read.as_ref().map(|c| c.trunks.iter().map(|t| t.name.clone()).collect());
        let users: Option<Vec<String>> = read.as_ref().map(|c| c.users.iter().map(|u| u.name.clone()).collect());
        let names = Names { trunks: trunks.as_deref(), users: users.as_deref(), ..Names::ANY };
        let entry = read.as_ref().map(EntryPoints::of).unwrap_or_default();
        match Dialplan::load(&texts, &names) {
            Ok(plan) => {
                let of_asked = |r: &TestResult| r.at.rsplit_once(':').is_some_and(|(file, _)| asked.contains(file));
                report.results.extend(plan.run_tests(&entry).into_iter().filter(of_asked));
            }
            Err(faults) => report.faults.extend(faults),
        }
    }
}

/// Deepest folder that is looked into, and highest that is looked up to.
const FOLDERS_MAX: usize = 8;

/// Dialplan files under a path: by their real place, as the user would write them.
fn collect(path: &Path, named: bool, depth: usize, out: &mut BTreeMap<PathBuf, PathBuf>) -> std::io::Result<()> {
    if path.is_dir() {
        let mut entries: Vec<PathBuf> =
            std::fs::read_dir(path)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
        entries.sort();
        for entry in entries.iter().filter(|e| depth < FOLDERS_MAX && !is_hidden(e)) {
            collect(entry, false, depth + 1, out)?;
        }
        return Ok(());
    }
    let real = path.canonicalize()?;
    if named || (is_yaml(path) && !is_config(path)) {
        out.insert(real, path.to_path_buf());
    }
    Ok(())
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'))
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "yaml" || e == "yml")
}

fn is_config(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n == "tandem.yaml")
}

/// The nearest `tandem.yaml` at or above a file that names it.
fn config_of(file: &Path) -> Option<PathBuf> {
    let candidates = file.ancestors().skip(1).take(FOLDERS_MAX).map(|folder| folder.join("tandem.yaml"));
    candidates.filter(|c| c.is_file()).find(|c| read_config(c).is_ok_and(|config| named_files(&config).contains(file)))
}

/// The real places of the files that a configuration names: its folders are not looked into deeper.
fn named_files(config: &Config) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    for path in &config.dialplans {
        let Ok(entries) = std::fs::read_dir(path) else {
            all.extend(path.canonicalize());
            continue;
        };
        let files = entries.flatten().map(|e| e.path()).filter(|p| p.is_file() && is_yaml(p) && !is_config(p));
        all.extend(files.filter_map(|p| p.canonicalize().ok()));
    }
    all
}

fn read_config(path: &Path) -> Result<Config, Vec<Fault>> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| vec![fault(path, format!("cannot be read: {e}"), "expected a configuration")])?;
    let mut config = Config::read(&path.display().to_string(), &text, &Unneeded)?.config;
    config.resolve_paths(path.parent().unwrap_or(Path::new(".")));
    Ok(config)
}

/// Tests need no secret, so one that is not there is no fault.
struct Unneeded;

impl Secrets for Unneeded {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().or_else(|| Some("0".repeat(32)))
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Ok("0".repeat(32))
    }
}

fn fault(file: &Path, what: String, expected: &str) -> Fault {
    Fault { file: file.display().to_string().into(), at: Position::default(), what, expected: expected.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = "contexts:\n  c:\n    - { match: { to: a }, do: [ answer, echo ] }\n  d: []\ntests:\n  \
                        - { name: good, call: { trunk: t, to: a }, expect: [ answer, echo ] }\n  \
                        - { name: bad, call: { trunk: t, to: a }, expect: [ { dial: bob } ] }\n";

    /// A folder with these files; gone when dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn with(name: &str, files: &[(&str, &str)]) -> Folder {
            let folder = std::env::temp_dir().join(format!("tandem-testrun-{}-{name}", std::process::id()));
            for (path, text) in files {
                let path = folder.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Folder(folder)
        }

        fn run(&self, path: &str) -> String {
            let report = run_tests(&[self.0.join(path)], None).to_string();
            report.replace(&format!("{}/", self.0.display()), "")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_configuration_above_says_where_calls_enter() {
        let config = "trunks: [ { name: t, context: c, inbound: 10.0.0.1, auth: { username: u, password: env:TANDEM_NO } } ]\n\
                      dialplans: [plans/]\n";
        let folder = Folder::with("above", &[("tandem.yaml", config), ("plans/p.yaml", PLAN)]);
        let want = "ok    plans/p.yaml:6: good\n\
                    FAIL  plans/p.yaml:7: bad\n\
                    \u{20}     expected: dial user=bob (plans/p.yaml:7)\n\
                    \u{20}     route:    rule \"plans/p.yaml:3\" of context \"c\" took it: to is \"a\"\n\
                    \u{20}     got:      answer (plans/p.yaml:3)\n\
                    \u{20}               echo (plans/p.yaml:3)\n\
                    \u{20}               the caller hangs up\n\
                    1 passed, 1 failed\n";
        assert_eq!(folder.run("plans"), want);
    }

    /// What `tandem test dialplans/` runs.
    #[test]
    fn the_shipped_dialplans_pass() {
        let report = run_tests(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans")], None);
        assert!(report.is_good() && report.passed() >= 30, "{report}");
    }

    #[test]
    fn without_a_configuration_the_context_has_to_be_said() {
        let folder = Folder::with("alone", &[("p.yaml", PLAN), ("q.yaml", "contexts: { a: [ { do: ansewr } ] }")]);
        let said = folder.run("p.yaml");
        assert!(said.contains("to know where the call enters") && said.ends_with("0 passed, 2 failed\n"), "{said}");
        let said = folder.run("q.yaml");
        assert!(said.starts_with("q.yaml:1:24: unknown step \"ansewr\"; did you mean \"answer\"?"), "{said}");
        assert!(said.ends_with("1 fault; the tests of files with faults were not run\n0 passed, 0 failed\n"), "{said}");
        assert!(folder.run("r.yaml").starts_with("r.yaml: cannot be read: "));
    }
}
