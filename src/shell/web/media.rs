//! Media by address: fetched once, kept on disk as WAV while the server says it is the same, bounded.

use super::fetch::{Fetcher, Wanted};
use super::message::Fields;
use super::sound;
use super::url::shown;
use crate::event::CallId;
use crate::web::{Address, Confidential, Fault, Parameters, Reason};
use sha1::{Digest, Sha1};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

/// Largest answer, and how many of them are read at once: their product bounds the memory.
const MEDIA_BYTES_MAX: usize = 16 << 20;
const MEDIA_AT_ONCE_MAX: usize = 8;
/// All files together; beyond, those go that were asked for longest ago.
const KEPT_BYTES_MAX: u64 = 1 << 30;
const KEPT_MAX: usize = 4_096;

#[derive(Clone, Debug)]
struct Kept {
    file: Arc<str>,
    bytes: u64,
    etag: Option<String>,
    modified: Option<String>,
    fresh_until: Instant,
    used: u64,
}

/// What was fetched.
pub struct Shelf {
    folder: PathBuf,
    kept: RefCell<BTreeMap<String, Kept>>,
    /// One fetch an address at a time: who comes meanwhile takes what it brings.
    under_way: RefCell<BTreeMap<String, Rc<Mutex<()>>>>,
    places: Semaphore,
    uses: RefCell<u64>,
}

/// A folder that is there and empty: which file is whose is not known after a restart. Its absolute path.
pub fn emptied(folder: &Path) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(folder)?.flatten() {
        if entry.path().extension().is_some_and(|e| e == "wav" || e == "part") {
            std::fs::remove_file(entry.path())?;
        }
    }
    folder.canonicalize()
}

impl Shelf {
    pub fn new(folder: PathBuf) -> Shelf {
        let (kept, under_way, uses) = (RefCell::default(), RefCell::default(), RefCell::default());
        Shelf { folder, kept, under_way, places: Semaphore::new(MEDIA_AT_ONCE_MAX), uses }
    }

    fn next_use(&self) -> u64 {
        let mut uses = self.uses.borrow_mut();
        *uses += 1;
        *uses
    }

    fn find(&self, url: &str) -> Option<Kept> {
        let used = self.next_use();
        let mut kept = self.kept.borrow_mut();
        let found = kept.get_mut(url)?;
        found.used = used;
        Some(found.clone())
    }

    /// Writes a file whose name nobody has had.
    async fn write(&self, url: &str, bytes: Vec<u8>) -> Result<(Arc<str>, u64), Fault> {
        let hash = Sha1::digest(url.as_bytes()).iter().take(10).fold(String::new(), |hex, b| format!("{hex}{b:02x}"));
        let path = self.folder.join(format!("{hash}-{}.wav", self.next_use()));
        let made = path.clone();
        let written = tokio::task::spawn_blocking(move || make(&made, bytes)).await;
        let why = match written {
            Ok(Ok(bytes)) => return Ok((path.to_string_lossy().into(), bytes)),
            Ok(Err(fault)) => fault,
            Err(e) => (Reason::Internal, e.to_string()),
        };
        Err(Fault::new(why.0, shown(url), why.1))
    }

    fn keep(&self, url: &str, one: Kept) {
        let mut kept = self.kept.borrow_mut();
        let mut gone: Vec<Arc<str>> = kept.insert(url.to_owned(), one).map(|old| old.file).into_iter().collect();
        let mut bytes: u64 = kept.values().map(|k| k.bytes).sum();
        while bytes > KEPT_BYTES_MAX || kept.len() > KEPT_MAX {
            let Some(oldest) = kept.iter().min_by_key(|(_, k)| k.used).map(|(url, _)| url.clone()) else { break };
            if let Some(old) = kept.remove(&oldest) {
                bytes -= old.bytes;
                gone.push(old.file);
            }
        }
        // Whoever was told of such a file has had it read by then: the player takes whole files.
        tokio::task::spawn_local(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            let remove = move || gone.iter().for_each(|file| drop(std::fs::remove_file(&**file)));
            let _ = tokio::task::spawn_blocking(remove).await;
        });
    }

    /// A file of our own: played as it is if it is PCM, else a copy of it.
    pub async fn of_file(&self, path: &Path, url: &str) -> Result<Arc<str>, Fault> {
        let _place = self.places.acquire().await;
        let read = path.to_owned();
        let checked = tokio::task::spawn_blocking(move || {
            let length = std::fs::metadata(&read).map_err(|e| e.to_string())?.len();
            if length > MEDIA_BYTES_MAX as u64 {
                return Err(format!("the file is longer than {} MB", MEDIA_BYTES_MAX >> 20));
            }
            let bytes = std::fs::read(&read).map_err(|e| e.to_string())?;
            if bytes.starts_with(b"RIFF") { Ok(None) } else { Ok(Some(bytes)) }
        });
        let checked = checked.await.map_err(|e| Fault::new(Reason::Internal, url, e.to_string()))?;
        match checked.map_err(|why| Fault::new(Reason::Retrieval, url, why))? {
            None => Ok(path.to_string_lossy().into()),
            Some(bytes) => {
                let (file, bytes) = self.write(url, bytes).await?;
                let (etag, modified, fresh_until, used) = (None, None, Instant::now(), self.next_use());
                self.keep(url, Kept { file: file.clone(), bytes, etag, modified, fresh_until, used });
                Ok(file)
            }
        }
    }
}

fn make(path: &Path, bytes: Vec<u8>) -> Result<u64, (Reason, String)> {
    let wav = sound::to_wav(bytes).map_err(|why| (Reason::PlayContentType, why))?;
    let part = path.with_extension("part");
    let written = std::fs::write(&part, &wav).and_then(|()| std::fs::rename(&part, path));
    written.map_err(|e| (Reason::Internal, format!("the cache cannot be written: {e}")))?;
    Ok(wav.len() as u64)
}

impl Fetcher {
    /// The path of a WAV file with what an address gives.
    pub async fn media(&self, call: CallId, address: &Address) -> Result<Arc<str>, Fault> {
        let url = &*address.url;
        let turn = Rc::clone(self.shelf.under_way.borrow_mut().entry(url.to_owned()).or_default());
        let result = {
            let _turn = turn.lock().await;
            self.media_in_turn(call, address).await
        };
        drop(turn);
        // The last to go takes the entry with it.
        self.shelf.under_way.borrow_mut().retain(|_, turn| Rc::strong_count(turn) > 1);
        result
    }

    async fn media_in_turn(&self, call: CallId, address: &Address) -> Result<Arc<str>, Fault> {
        let url = &*address.url;
        let kept = self.shelf.find(url);
        if let Some(fresh) = kept.as_ref().filter(|k| Instant::now() < k.fresh_until) {
            return Ok(fresh.file.clone());
        }
        let mut fields = Fields::default();
        if let Some(kept) = &kept {
            kept.etag.iter().for_each(|v| fields.put("if-none-match", v));
            kept.modified.iter().for_each(|v| fields.put("if-modified-since", v));
        }
        let _place = self.shelf.places.acquire().await;
        let parameters = Parameters::new();
        let wanted = Wanted {
            call,
            parameters: &parameters,
            fields,
            body_max: MEDIA_BYTES_MAX,
            secret: &Confidential::default(),
            takes_all: false,
        };
        let (seen, answer) = self.request(address, &wanted).await?;
        let fresh_until = Instant::now() + freshness(answer.header("cache-control").unwrap_or_default());
        if answer.status() == 304 {
            let Some(mut kept) = kept else {
                return Err(Fault::new(Reason::Retrieval, shown(url), "the server answered 304 to who has nothing"));
            };
            kept.fresh_until = fresh_until;
            let file = kept.file.clone();
            self.shelf.kept.borrow_mut().insert(url.to_owned(), kept);
            return Ok(file);
        }
        let type_of = answer.header("content-type").unwrap_or_default().to_ascii_lowercase();
        if type_of.starts_with("text/") {
            return Err(Fault::new(Reason::PlayContentType, shown(&seen.seen()), format!("the answer is {type_of}")));
        }
        let own = |name: &str| answer.header(name).map(str::to_owned);
        let (etag, modified) = (own("etag"), own("last-modified"));
        let (file, bytes) = self.shelf.write(url, answer.body.to_vec()).await?;
        let used = self.shelf.next_use();
        self.shelf.keep(url, Kept { file: file.clone(), bytes, etag, modified, fresh_until, used });
        Ok(file)
    }
}

/// For how long an answer needs no second look (RFC 9111 §5.2.2); a day at most.
fn freshness(cache_control: &str) -> Duration {
    let mut age = Duration::ZERO;
    for directive in cache_control.split(',').map(|d| d.trim_ascii().to_ascii_lowercase()) {
        match directive.split_once('=') {
            None if directive == "no-store" || directive == "no-cache" => return Duration::ZERO,
            Some(("max-age", seconds)) => age = Duration::from_secs(seconds.trim_matches('"').parse().unwrap_or(0)),
            _ => {}
        }
    }
    age.min(Duration::from_secs(86_400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_fresh_for_as_long_as_it_says() {
        let rows = [
            ("", 0),
            ("max-age=60", 60),
            ("public, Max-Age=\"5\"", 5),
            ("max-age=60, no-cache", 0),
            ("max-age=x", 0),
            ("max-age=9999999", 86_400),
        ];
        for (header, seconds) in rows {
            assert_eq!(freshness(header).as_secs(), seconds, "{header}");
        }
    }
}
