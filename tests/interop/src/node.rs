//! Programs on Node with packages of npm.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::process::Process;
use crate::scratch::top;

/// Packages beside Twilio's SDK, whose version stands in tests/api/node-sdk.
const PACKAGES: [(&str, &str); 3] = [("jssip", "3.13.8"), ("jssip-node-websocket", "3.0.0"), ("esbuild", "0.27.2")];
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

/// JsSIP in one file that a page can load, as `JsSIP`; `None` as of [`modules`].
pub fn jssip_for_browsers() -> Option<PathBuf> {
    let modules = modules()?;
    let _one = INSTALLS.lock().unwrap_or_else(PoisonError::into_inner);
    let bundle = modules.join("jssip-for-browsers.js");
    if !bundle.is_file() {
        let made = bundle.with_extension(std::process::id().to_string());
        let mut esbuild = Command::new(modules.join("esbuild/bin/esbuild"));
        esbuild.arg(modules.join("jssip")).args([
            "--bundle",
            "--format=iife",
            "--global-name=JsSIP",
            "--log-level=error",
        ]);
        esbuild.arg(format!("--outfile={}", made.display()));
        assert!(esbuild.status().is_ok_and(|status| status.success()), "JsSIP is bundled");
        std::fs::rename(&made, &bundle).expect("the bundle has its name");
    }
    Some(bundle)
}

/// Runs tests/interop/node/NAME.js.
pub fn start(name: &str, modules: &Path, environment: &[(&str, &str)], folder: &Path) -> Process {
    let script = top().join("tests/interop/node").join(name).with_extension("js");
    let mut node = Command::new("node");
    node.arg(script).env("NODE_PATH", modules).envs(environment.iter().copied());
    Process::start(name, &mut node, folder)
}
