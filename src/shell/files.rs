//! Reading what the configuration names: the file itself, secrets, dialplans.

use super::api::Credentials;
use super::identity;
use super::media::prompt;
use super::net::tls::{self, Key, TlsFault};
use super::net::{BindFault, describe};
use crate::base::yaml::{self, Fault};
use crate::config::{Config, Http, Located, Secrets};
use crate::dialplan::{Dialplan, Names};
use crate::rates::Rates;
use crate::verb::Pattern;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A configuration with everything that it names, right as a whole.
pub struct Loaded {
    pub config: Config,
    pub dialplan: Arc<Dialplan>,
    pub rates: Arc<Rates>,
    pub file: PathBuf,
    /// Taken out by who starts or reloads.
    pub tls: tls::Material,
    /// As `tls`.
    pub identity: identity::Material,
}

/// Secrets from this process's environment and disk; relative paths are the configuration's folder's.
struct Surroundings<'a>(&'a Path);

impl Secrets for Surroundings<'_> {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(self.0.join(path)).map_err(|e| describe(&e))
    }
}

/// The folder that relative paths start from.
fn folder(file: &Path) -> &Path {
    file.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn whole(file: &Path, what: String) -> Fault {
    Fault { file: file.display().to_string().into(), at: Default::default(), what, expected: String::new() }
}

fn located(file: &Path) -> Result<Located, Vec<Fault>> {
    let text =
        std::fs::read_to_string(file).map_err(|e| vec![whole(file, format!("cannot be read: {}", describe(&e)))])?;
    let mut located = Config::read(&file.display().to_string(), &text, &Surroundings(folder(file)))?;
    located.config.resolve_paths(folder(file));
    Ok(located)
}

fn sentences(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

/// The configuration alone, for commands that ask a running switch.
pub fn config(file: &Path) -> Result<Config, Vec<String>> {
    located(file).map(|l| l.config).map_err(|faults| sentences(&faults))
}

/// The configuration, its dialplans, and whether all names that they use are defined. Every fault is told, not the first.
pub fn load(file: &Path) -> Result<Loaded, Vec<Fault>> {
    let located = located(file)?;
    let config = located.config;
    let mut faults = Vec::new();
    let texts = dialplan_texts(file, &config, &located.dialplans, &mut faults);
    let trunks: Vec<String> = config.trunks.iter().map(|t| t.name.clone()).collect();
    let users: Vec<String> = config.users.iter().map(|u| u.name.clone()).collect();
    let prompts = config.media.prompts.clone();
    let prompt = |name: &str| match prompts.join(name) {
        path if path.exists() => prompt::read(&path).map(drop).map_err(|e| e.to_string()),
        path => Err(format!("there is no file {}", path.display())),
    };
    let names = Names { trunks: Some(&trunks), users: Some(&users), prompt: &prompt };
    let dialplan = match Dialplan::load(&texts, &names) {
        Ok(dialplan) => dialplan,
        Err(more) => {
            faults.extend(more);
            faults.sort();
            return Err(faults);
        }
    };
    for named in &located.patterns {
        let fault = match Pattern::parse(&named.name) {
            Ok(pattern) => missing_group(&named.whose, pattern.groups()),
            Err(what) => Some((what, "expected a number, or /a regular expression/".to_owned())),
        };
        let fault =
            fault.map(|(what, expected)| Fault { file: Arc::clone(&located.file), at: named.at, what, expected });
        faults.extend(fault);
    }
    let contexts: BTreeSet<&str> = dialplan.contexts().collect();
    for named in located.contexts.iter().filter(|n| !contexts.contains(n.name.as_str())) {
        let hint = yaml::nearest(&named.name, contexts.iter().copied());
        let hint = hint.map_or(String::new(), |n| format!("did you mean \"{n}\"?"));
        let what = format!("{} enters at context \"{}\", which no dialplan defines", named.whose, named.name);
        faults.push(Fault { file: Arc::clone(&located.file), at: named.at, what, expected: hint });
    }
    faults.extend(not_yet(file, &config));
    let rates = super::rates::load(file, &config, &mut faults);
    let tls = tls::load(&config, std::time::SystemTime::now()).unwrap_or_else(|found| {
        faults.extend(found.iter().map(|f| tls_fault(file, f)));
        tls::Material::default()
    });
    let identity = identity::load(&config, std::time::SystemTime::now()).unwrap_or_else(|found| {
        faults.extend(found.iter().map(|f| tls_fault(file, f)));
        identity::Material::default()
    });
    match faults.is_empty() {
        true => Ok(Loaded {
            config,
            dialplan: Arc::new(dialplan),
            rates: Arc::new(rates),
            file: file.into(),
            tls,
            identity,
        }),
        false => Err(faults),
    }
}

/// What is wrong with a rewriting that names a group which its pattern has not.
fn missing_group(to: &str, groups: usize) -> Option<(String, String)> {
    let named = to.split('$').skip(1).filter_map(|rest| rest.chars().next()?.to_digit(10));
    let beyond = named.filter(|n| *n as usize > groups).max()?;
    Some((format!("\"{to}\" names ${beyond}, and the pattern has {groups} groups"), "expected a group for each".into()))
}

/// What a configuration may say and this version has not.
fn not_yet(file: &Path, config: &Config) -> Vec<Fault> {
    let fault = |at: Option<yaml::Position>, what: String, expected: &str| Fault {
        file: file.display().to_string().into(),
        at: at.unwrap_or_default(),
        what: format!("{what} is not yet available"),
        expected: expected.into(),
    };
    let mut faults = Vec::new();
    if config.store != "sqlite" {
        let kind = config.store.split(':').next().unwrap_or_default();
        faults.push(fault(position(file, &["store"], None), format!("store: {kind}"), "expected sqlite"));
    }
    faults
}

/// A certificate, key or list of authorities that cannot serve, where it is named.
fn tls_fault(file: &Path, fault: &TlsFault) -> Fault {
    let at = || {
        let text = std::fs::read_to_string(file).ok()?;
        let root = yaml::parse("", &text).ok()?;
        let step = |node: &yaml::Node, key: &Key| match key {
            Key::Name(key) => node.get(key).cloned(),
            Key::Item(n) => node.items().get(*n).cloned(),
        };
        fault.place.iter().try_fold(root, |node, key| step(&node, key)).map(|node| node.at)
    };
    Fault {
        file: file.display().to_string().into(),
        at: at().unwrap_or_default(),
        what: fault.what.clone(),
        expected: fault.expected.into(),
    }
}

/// Path and text of each dialplan file: files as named, of folders every `.yaml` and `.yml` by name, the configuration left out.
fn dialplan_texts(
    file: &Path,
    config: &Config,
    named: &[crate::config::Named],
    faults: &mut Vec<Fault>,
) -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for (n, path) in config.dialplans.iter().enumerate() {
        let at = named.get(n).map(|n| n.at).unwrap_or_default();
        match dialplan_files(path) {
            Ok(found) => paths.extend(found),
            Err(e) => {
                let what = format!("{} cannot be read: {}", path.display(), describe(&e));
                let expected = "expected a dialplan file or a folder of them".into();
                faults.push(Fault { file: file.display().to_string().into(), at, what, expected });
            }
        }
    }
    let own = file.canonicalize().ok();
    paths.retain(|p| own.is_none() || p.canonicalize().ok() != own);
    let mut texts = Vec::with_capacity(paths.len());
    for path in paths {
        match std::fs::read_to_string(&path) {
            Ok(text) => texts.push((path.display().to_string(), text)),
            Err(e) => faults.push(whole(&path, format!("cannot be read: {}", describe(&e)))),
        }
    }
    texts
}

/// The files that a path of `dialplans` means.
pub fn dialplan_files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        std::fs::metadata(path)?;
        return Ok(vec![path.into()]);
    }
    let entries = std::fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
    let is_yaml = |p: &PathBuf| p.extension().is_some_and(|e| e == "yaml" || e == "yml") && p.is_file();
    let mut files: Vec<PathBuf> = entries.into_iter().map(|e| e.path()).filter(is_yaml).collect();
    files.sort();
    Ok(files)
}

/// Where `keys`, one in another, stand in a file, or the item `n` of the list there.
pub(super) fn position(file: &Path, keys: &[&str], n: Option<usize>) -> Option<yaml::Position> {
    let text = std::fs::read_to_string(file).ok()?;
    let root = yaml::parse("", &text).ok()?;
    let node = keys.iter().try_fold(&root, |node, key| node.get(key))?;
    n.and_then(|n| node.items().get(n)).or(Some(node)).map(|node| node.at)
}

/// A port that is taken, with the line that can be changed.
pub fn bind_sentence(file: &Path, key: &str, place: Option<usize>, fault: &dyn std::fmt::Display) -> String {
    let keys: Vec<&str> = key.split('.').collect();
    let line = position(file, &keys, place).map_or(String::new(), |at| format!(":{}", at.line));
    let fault = fault.to_string();
    let stop = if fault.ends_with('?') { "" } else { ";" };
    format!("{fault}{stop} change {key} in {}{line}", file.display())
}

/// The sentence for an address of `sip.listen` that could not be had.
pub fn sip_bind_sentence(file: &Path, config: &Config, fault: &BindFault) -> String {
    let place = config.sip.listen.iter().position(|l| *l == fault.listen);
    bind_sentence(file, "sip.listen", place, fault)
}

/// The API's credentials, if the configuration has both.
pub fn credentials(http: &Http) -> Option<Credentials> {
    let (account_sid, auth_token) = http.account_sid.clone().zip(http.auth_token.clone())?;
    Some(Credentials { account_sid, auth_token })
}

/// Where a client on this machine finds the API.
pub fn base(http: &Http) -> String {
    let scheme = if http.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", reachable(http.listen))
}

/// An address that a client on this machine can connect to.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
