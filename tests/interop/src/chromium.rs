//! Chromium with a page of the test's in it, whose phones are JsSIP's. The page asks the test what to do and tells it what happened,
//! both by HTTP.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::app::App;
use crate::certificates;
use crate::node;
use crate::process::{Process, until};
use crate::scratch::top;

const PAGE: &str =
    "<!doctype html><title>phones</title><script src=\"/jssip.js\"></script><script src=\"/page.js\"></script>";
/// For a browser that does nothing but run one page: no questions, no traffic of its own, a microphone that beeps.
const FLAGS: [&str; 16] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-first-run",
    "--no-proxy-server",
    "--password-store=basic",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
];

/// A browser that shows the page until it is dropped.
pub struct Browser {
    process: Process,
    page: App,
    orders: Arc<Mutex<VecDeque<Value>>>,
}

impl Browser {
    /// Takes the certificate in `folder` (see [`certificates::write`]). `None`, with a line that says so, where there is no Chromium
    /// or nothing that bundles JsSIP.
    pub fn open(folder: &Path) -> Option<Browser> {
        let Some(program) = ["chromium", "google-chrome"].iter().find_map(|name| path_of(name)) else {
            eprintln!("SKIPPED: there is no Chromium");
            return None;
        };
        let library = std::fs::read_to_string(node::jssip_for_browsers()?).expect("JsSIP in one file");
        let script = std::fs::read_to_string(top().join("tests/interop/chromium/page.js")).expect("the page's script");
        let orders = Arc::<Mutex<VecDeque<Value>>>::default();
        let queue = Arc::clone(&orders);
        let page = App::with(move |request| match request.path.as_str() {
            "/" => (200, "text/html", PAGE.to_owned()),
            "/jssip.js" => (200, "text/javascript; charset=utf-8", library.clone()),
            "/page.js" => (200, "text/javascript; charset=utf-8", script.clone()),
            "/next" => {
                let next = queue.lock().expect("no holder panics").pop_front();
                (200, "application/json", next.unwrap_or(Value::Null).to_string())
            }
            "/tell" => (204, "text/plain", String::new()),
            _ => (404, "text/plain", String::new()),
        });
        let mut command = Command::new(program);
        command.args(FLAGS).arg(format!("--user-data-dir={}", folder.join("chromium").display()));
        command.arg(format!("--ignore-certificate-errors-spki-list={}", certificates::fingerprint(folder)));
        command.arg(page.url("/")).env("HOME", folder);
        Some(Browser { process: Process::start("chromium", &mut command, folder), page, orders })
    }

    /// Has the page do something; `page.js` says what there is.
    pub fn order(&self, order: Value) {
        self.orders.lock().expect("no holder panics").push_back(order);
    }

    /// All that the page has told.
    pub fn told(&self) -> Vec<Value> {
        let asked = self.page.asked();
        let told = asked.iter().filter(|request| request.path == "/tell");
        told.map(|request| serde_json::from_str(&request.body).unwrap_or(json!({ "event": "unreadable" }))).collect()
    }

    /// Waits for an event of a user's phone that is as wanted.
    pub fn wait(&self, user: &str, event: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let is_it = |told: &Value| told["event"] == event && told["user"] == user && wanted(told);
        let found = until(Duration::from_secs(60), || self.told().into_iter().find(&is_it));
        found.unwrap_or_else(|| panic!("{user}: never {event}: {:#?}\n{}", self.told(), self.process.tail()))
    }
}

fn path_of(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
