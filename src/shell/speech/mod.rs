//! Say: text becomes WAV files on disk, part by part, by a few threads; what was spoken before is there at once.

mod engine;
mod store;
mod text;
mod voice;

use crate::config::Config;
use crate::shell::mail::Mail;
use crate::speech::{Event, Fault, Order, Reason, Say, SayId, TEXT_CHARS_MAX};
use crate::switch::Input;
use engine::{Engine, Part};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use store::Store;

/// Texts that wait for a thread; a Say beyond fails.
const WAITING_MAX: usize = 512;

#[derive(Clone, Debug)]
pub struct Settings {
    engine: Engine,
    cache: PathBuf,
    threads: usize,
}

impl Settings {
    pub fn of(config: &Config) -> Settings {
        let speech = &config.speech;
        let engine = match &speech.url {
            Some(url) => Engine::http(url.clone()),
            None => Engine::Process { program: speech.program.clone() },
        };
        Settings { engine, cache: config.data_dir.join("speech"), threads: speech.at_once as usize }
    }
}

/// The control thread's end. Nothing here waits.
pub struct Speech {
    says: SyncSender<Box<Say>>,
    cancelled: Cancelled,
}

/// Texts that wait or are spoken and that nobody listens to any more.
type Cancelled = Arc<Mutex<BTreeSet<SayId>>>;

/// Starts the threads; they end when the [`Speech`] is dropped.
pub fn start(settings: &Settings, mail: &Mail) -> io::Result<Speech> {
    let (says, waiting) = sync_channel(WAITING_MAX);
    let (waiting, cancelled) = (Arc::new(Mutex::new(waiting)), Cancelled::default());
    let store = Arc::new(Store::open(&settings.cache)?);
    for n in 0..settings.threads {
        let (waiting, store) = (Arc::clone(&waiting), Arc::clone(&store));
        let (engine, mail, cancelled) = (settings.engine.clone(), mail.clone(), Arc::clone(&cancelled));
        let speaker = Speaker { engine, store, mail, cancelled };
        std::thread::Builder::new().name(format!("speech-{n}")).spawn(move || speaker.run(&waiting))?;
    }
    Ok(Speech { says, cancelled })
}

impl Speech {
    /// Leaves an order; the answer to one that cannot be taken.
    pub fn order(&self, order: Order) -> Option<Input> {
        match order {
            Order::Say(say) => {
                let id = say.id;
                self.says.try_send(say).is_err().then(|| {
                    let why = Fault::new(Reason::Text, "too many texts wait to be spoken");
                    Input::Speech(Event::Failed { id, why })
                })
            }
            Order::Cancel(id) => {
                let mut cancelled = self.cancelled.lock().unwrap_or_else(PoisonError::into_inner);
                // One that has been spoken meanwhile stands here until it is pushed out.
                while cancelled.len() >= 2 * WAITING_MAX {
                    cancelled.pop_first();
                }
                cancelled.insert(id);
                None
            }
            Order::Listen(_) | Order::Enough(_) => None,
        }
    }
}

struct Speaker {
    engine: Engine,
    store: Arc<Store>,
    mail: Mail,
    cancelled: Cancelled,
}

impl Speaker {
    fn run(&self, waiting: &Mutex<Receiver<Box<Say>>>) {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(say) = next else { return };
            if let Err(why) = self.say(&say) {
                tracing::warn!(call = %say.call, "a text is not spoken: {why}");
                self.mail.tell(Input::Speech(Event::Failed { id: say.id, why }));
            }
            self.cancelled.lock().unwrap_or_else(PoisonError::into_inner).remove(&say.id);
        }
    }

    fn is_cancelled(&self, id: SayId) -> bool {
        self.cancelled.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }

    fn say(&self, say: &Say) -> Result<(), Fault> {
        if say.text.chars().count() > TEXT_CHARS_MAX {
            return Err(Fault::new(Reason::Text, format!("the text is longer than {TEXT_CHARS_MAX} characters")));
        }
        let voice = voice::of(&say.language, &say.voice)?;
        let parts = match say.is_ssml {
            true => text::ssml(&say.text).into_iter().collect(),
            false => text::sentences(&say.text),
        };
        if parts.is_empty() {
            return Err(Fault::new(Reason::Text, "there is nothing to say"));
        }
        let count = parts.len();
        for (n, text) in parts.iter().enumerate() {
            if self.is_cancelled(say.id) {
                return Ok(());
            }
            let (asked_language, asked_voice) = (&*say.language, &*say.voice);
            let part = Part { text, is_ssml: say.is_ssml, voice: &voice, asked_language, asked_voice };
            let file = self.store.file(&part, |file| self.engine.speak(&part, file))?;
            self.mail.tell(Input::Speech(Event::Said { id: say.id, file, is_last: n + 1 == count }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
