//! Programs on Node with packages of npm.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::process::Process;
use crate::scratch::top;

/// Packages beside Twilio's SDK, whose version stands in tests/api/node-sdk.
const PACKAGES: [(&str, &str); 2] = [("jssip", "3.13.8"), ("jssip-node-websocket", "3.0.0")];
static INSTALLS: Mutex<()> = Mutex::new(());

/// Node's modules with the packages in them; `None`, with a line that says so, where there is neither npm nor a network.
pub fn modules() -> Option<PathBuf> {
    let _one = INSTALLS.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = top().join("target/node-api");
    let modules = folder.join("node_modules");
    let sdk = std::fs::read_to_string(top().join("tests/api/node-sdk")).expect("the SDK's version");
    let packages = [("twilio", sdk.trim())].into_iter().chain(PACKAGES);
    let is_there = |name: &str| modules.join(name).join("package.json").is_file();
    if !packages.clone().all(|(name, _)| is_there(name)) {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&folder);
        npm.args(packages.map(|(name, version)| format!("{name}@{version}")));
        if !npm.status().is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: there is no Node with its packages");
            return None;
        }
    }
    Some(modules)
}

/// Runs tests/interop/node/NAME.js.
pub fn start(name: &str, modules: &Path, environment: &[(&str, &str)], folder: &Path) -> Process {
    let script = top().join("tests/interop/node").join(name).with_extension("js");
    let mut node = Command::new("node");
    node.arg(script).env("NODE_PATH", modules).envs(environment.iter().copied());
    Process::start(name, &mut node, folder)
}
