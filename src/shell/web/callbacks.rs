//! Callbacks: those of one call leave one after the other, each is tried some times, and a server that is dead costs a bounded queue.

use super::fetch::{Fetcher, Wanted};
use super::message::Fields;
use crate::event::CallId;
use crate::web::{Callback, Fault, Reason};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// All that wait, and those of one call; further ones are lost, and counted.
const WAITING_MAX: u64 = 16 * 1024;
const OF_A_CALL_MAX: usize = 256;
/// What is waited before each further attempt.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(20)];
/// What a server may answer to a callback; nobody reads it.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

pub struct Callbacks {
    fetcher: Rc<Fetcher>,
    /// Calls with a callback under way, and what waits behind it. A call's entry goes with its last.
    queues: RefCell<BTreeMap<CallId, VecDeque<Last>>>,
}

/// What stands in a call's queue.
enum Last {
    Callback(Box<Callback>),
    /// Nothing more comes: its cookies may go.
    Forget,
}

impl Callbacks {
    pub fn new(fetcher: Rc<Fetcher>) -> Rc<Callbacks> {
        Rc::new(Callbacks { fetcher, queues: RefCell::default() })
    }

    pub fn take(self: &Rc<Self>, callback: Box<Callback>) {
        let figures = &self.fetcher.figures;
        figures.callbacks.fetch_add(1, Relaxed);
        let call = callback.call;
        let waiting = self.queues.borrow().get(&call).map_or(0, VecDeque::len);
        if waiting >= OF_A_CALL_MAX || figures.callbacks_waiting.load(Relaxed) >= WAITING_MAX {
            figures.callbacks_lost.fetch_add(1, Relaxed);
            return tracing::warn!(%call, url = super::url::shown(&callback.address.url), "no room for a callback");
        }
        figures.callbacks_waiting.fetch_add(1, Relaxed);
        self.push(call, Last::Callback(callback));
    }

    pub fn forget(self: &Rc<Self>, call: CallId) {
        let is_idle = !self.queues.borrow().contains_key(&call);
        if is_idle {
            return self.fetcher.forget(call);
        }
        self.push(call, Last::Forget);
    }

    /// Nothing waits any more.
    pub async fn told(&self) {
        while !self.queues.borrow().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn push(self: &Rc<Self>, call: CallId, last: Last) {
        let mut queues = self.queues.borrow_mut();
        let begins = !queues.contains_key(&call);
        queues.entry(call).or_default().push_back(last);
        if begins {
            tokio::task::spawn_local(Rc::clone(self).drain(call));
        }
    }

    async fn drain(self: Rc<Self>, call: CallId) {
        loop {
            let next = self.queues.borrow_mut().get_mut(&call).and_then(VecDeque::pop_front);
            match next {
                Some(Last::Callback(callback)) => {
                    self.deliver(&callback).await;
                    self.fetcher.figures.callbacks_waiting.fetch_sub(1, Relaxed);
                }
                Some(Last::Forget) => self.fetcher.forget(call),
                None => break,
            }
        }
        self.queues.borrow_mut().remove(&call);
    }

    async fn deliver(&self, callback: &Callback) {
        let figures = &self.fetcher.figures;
        let mut pauses = PAUSES.iter();
        loop {
            let wanted = Wanted {
                secret: &crate::web::Confidential::default(),
                takes_all: false,
                call: callback.call,
                parameters: &callback.parameters,
                fields: Fields::default(),
                body_max: ANSWER_BYTES_MAX,
            };
            let Err(fault) = self.fetcher.request(&callback.address, &wanted).await else { return };
            // What the server said is heard, however long it went on.
            if fault.reason == Reason::TooLarge {
                return;
            }
            let pause = pauses.next().filter(|_| may_pass(&fault));
            let Some(pause) = pause else {
                figures.callbacks_lost.fetch_add(1, Relaxed);
                return tracing::warn!(call = %callback.call, "a callback is given up: {fault}");
            };
            figures.callbacks_retried.fetch_add(1, Relaxed);
            tokio::time::sleep(*pause).await;
        }
    }
}

/// A failure that may be gone later; a refusal by the server (4xx) is not.
fn may_pass(fault: &Fault) -> bool {
    match fault.reason {
        Reason::Retrieval => !fault.detail.starts_with("the server answered 4") || fault.detail.ends_with("429"),
        Reason::Connection | Reason::BadHost | Reason::Protocol => true,
        _ => false,
    }
}
