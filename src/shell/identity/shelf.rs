//! Certificates by their addresses: fetched through the guard that webhooks have, kept for as long as the server says, within bounds.

use super::certificate::{Chain, read};
use crate::config::Network;
use crate::shell::web::plain::{Getter, Got};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Addresses remembered; beyond, what expires first is forgotten.
const SHELF_MAX: usize = 1_024;
/// The longest chain, in octets.
const CHAIN_MAX: usize = 64 << 10;
/// How long a chain is kept if its server does not say, at least, and at most; and how long it is remembered that there was none.
const KEEP: Duration = Duration::from_secs(3_600);
const KEEP_MIN: Duration = Duration::from_secs(60);
const KEEP_MAX: Duration = Duration::from_secs(86_400);
const KEEP_FAULT: Duration = Duration::from_secs(10);
/// Longer addresses are not asked.
const URL_MAX: usize = 1_024;

type Cell = Rc<OnceCell<(Result<Rc<Chain>, String>, Duration)>>;

struct Entry {
    cell: Cell,
    until: Instant,
}

pub struct Shelf {
    getter: Getter,
    allowed: Vec<Network>,
    wait: Duration,
    entries: RefCell<BTreeMap<String, Entry>>,
}

impl Shelf {
    pub fn new(allowed: Vec<Network>, wait: Duration) -> Shelf {
        Shelf { getter: Getter::new(allowed.clone()), allowed, wait, entries: RefCell::default() }
    }

    /// The chain at an address; those who ask for one that is being fetched wait for the same answer.
    pub async fn chain(&self, url: &str) -> Result<Rc<Chain>, String> {
        if !self.may_ask(url) {
            return Err("the certificate is at no https:// address".into());
        }
        let cell = self.cell(url);
        let (result, keep) = cell.get_or_init(|| self.fetch(url)).await.clone();
        if let Some(entry) = self.entries.borrow_mut().get_mut(url).filter(|e| Rc::ptr_eq(&e.cell, &cell)) {
            entry.until = entry.until.min(Instant::now() + keep);
        }
        result
    }

    /// What was fetched must not have been changed on its way; within our own networks we are asked to believe that.
    fn may_ask(&self, url: &str) -> bool {
        if url.len() > URL_MAX {
            return false;
        }
        let Some(rest) = url.strip_prefix("http://") else { return url.starts_with("https://") };
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let ip = host.parse::<IpAddr>().or_else(|_| host.parse::<std::net::SocketAddr>().map(|a| a.ip()));
        ip.is_ok_and(|ip| self.allowed.iter().any(|net| net.contains(ip)))
    }

    fn cell(&self, url: &str) -> Cell {
        let now = Instant::now();
        let mut entries = self.entries.borrow_mut();
        if let Some(entry) = entries.get(url).filter(|e| e.until > now) {
            return Rc::clone(&entry.cell);
        }
        if entries.len() >= SHELF_MAX {
            entries.retain(|_, e| e.until > now);
        }
        while entries.len() >= SHELF_MAX {
            let first = entries.iter().min_by_key(|(_, e)| e.until).map(|(url, _)| url.clone());
            first.and_then(|url| entries.remove(&url));
        }
        let cell = Cell::default();
        entries.insert(url.to_owned(), Entry { cell: Rc::clone(&cell), until: now + KEEP_MAX });
        cell
    }

    async fn fetch(&self, url: &str) -> (Result<Rc<Chain>, String>, Duration) {
        let got = self.getter.get(url, self.wait, CHAIN_MAX).await;
        let Got { body, max_age } = match got {
            Ok(got) => got,
            Err(why) => return (Err(why), KEEP_FAULT),
        };
        match read(&body) {
            Ok(chain) => (Ok(Rc::new(chain)), max_age.unwrap_or(KEEP).clamp(KEEP_MIN, KEEP_MAX)),
            Err(why) => (Err(why), KEEP_FAULT),
        }
    }
}
