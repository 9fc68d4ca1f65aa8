//! Signatures of callers' identities: what [`crate::sip::identity`] orders is done here, on a thread of its own that is started by the
//! first order, so that who signs and verifies nothing pays nothing, and a slow server of certificates holds nothing else up.
//!
//! Signing needs a key and a secret random number for each signature, which the core must not have; `ring` draws the number.

mod certificate;
mod material;
mod shelf;
#[cfg(test)]
mod tests;

pub use material::{Keys, Material, load};

use crate::config::{Config, Network};
use crate::shell::mail::Mail;
use crate::sip::identity::{Candidate, Event, Fault, Kind, Order};
use crate::switch::Input;
use shelf::Shelf;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

/// Orders that wait for the thread; further ones are refused.
const ORDERS_MAX: usize = 4_096;
/// Verifications that wait for a certificate; further ones fail.
const WAITING_MAX: usize = 1_024;

/// The control thread's end. Nothing here waits.
pub struct Identity {
    orders: Option<mpsc::Sender<Order>>,
    keys: Keys,
    allowed: Vec<Network>,
    wait: Duration,
    mail: Mail,
}

impl Identity {
    pub fn new(config: &Config, keys: Keys, mail: Mail) -> Identity {
        let (allowed, wait) = (config.web.allow_private.clone(), config.sip.identity.wait);
        Identity { orders: None, keys, allowed, wait, mail }
    }

    /// Leaves an order; the answer to one that cannot be taken.
    pub fn order(&mut self, order: Order) -> Option<Input> {
        if self.orders.is_none() {
            match self.start() {
                Ok(orders) => self.orders = Some(orders),
                Err(error) => return Some(Input::Identity(order.refused(&format!("no thread: {error}")))),
            }
        }
        let refused = match self.orders.as_ref()?.try_send(order) {
            Ok(()) => return None,
            Err(mpsc::error::TrySendError::Full(order) | mpsc::error::TrySendError::Closed(order)) => order,
        };
        Some(Input::Identity(refused.refused("too many are under way")))
    }

    fn start(&self) -> std::io::Result<mpsc::Sender<Order>> {
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(8).build()?;
        let (keys, allowed, wait, mail) = (self.keys.clone(), self.allowed.clone(), self.wait, self.mail.clone());
        std::thread::Builder::new().name("identity".into()).spawn(move || {
            let shelf = Rc::new(Shelf::new(allowed, wait));
            LocalSet::new().block_on(&runtime, run(inbox, keys, shelf, mail));
            runtime.shutdown_background();
        })?;
        Ok(orders)
    }
}

async fn run(mut inbox: mpsc::Receiver<Order>, keys: Keys, shelf: Rc<Shelf>, mail: Mail) {
    let waiting = Rc::new(Cell::new(0usize));
    while let Some(order) = inbox.recv().await {
        match order {
            Order::Sign { id, input } => {
                let signature = keys.now().sign(input.as_bytes());
                mail.stream(Input::Identity(Event::Signed { id, signature })).await;
            }
            order if waiting.get() >= WAITING_MAX => {
                mail.stream(Input::Identity(order.refused("too many wait for certificates"))).await;
            }
            Order::Verify { id, candidate } => {
                waiting.set(waiting.get() + 1);
                let (material, shelf, mail) = (keys.now(), Rc::clone(&shelf), mail.clone());
                let waiting = Rc::clone(&waiting);
                tokio::task::spawn_local(async move {
                    let result = verify(&material, &shelf, &candidate).await;
                    waiting.set(waiting.get() - 1);
                    mail.stream(Input::Identity(Event::Verified { id, result })).await;
                });
            }
        }
    }
}

async fn verify(material: &Material, shelf: &Shelf, candidate: &Candidate) -> Result<(), Fault> {
    let chain = shelf.chain(&candidate.x5u).await.map_err(|why| Fault::new(Kind::BadInfo, why))?;
    material.verify(&chain, candidate)
}
