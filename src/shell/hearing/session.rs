//! A turn of speech and its recogniser, on a thread of its own: it may wait for a server or a process, and nobody waits for it.

use super::recogniser::{Provider, Recogniser, Text, Understood};
use super::{Counts, Tell};
use crate::speech::{Event, HEARD_BYTES_MAX, Heard, Listen, ListenId, What, Words};
use crate::switch::Input;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// Pieces that wait for a recogniser: 10 s; the rest is dropped and counted.
const PIECES_MAX: usize = 500;

enum Piece {
    Sound(Vec<i16>),
    End,
}

/// The ear's end. A recogniser whose session is dropped without an end is given up.
pub struct Session {
    pieces: SyncSender<Piece>,
    counts: Arc<Counts>,
}

impl Session {
    /// Gives sound to the recogniser; false if that has said all that it will.
    pub fn sound(&mut self, sound: Vec<i16>) -> bool {
        match self.pieces.try_send(Piece::Sound(sound)) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    /// The turn is over.
    pub fn end(&mut self) {
        // With a full queue the dropping of this session says so.
        let _ = self.pieces.try_send(Piece::End);
    }
}

/// Begins sessions, so many at once.
pub struct Sessions {
    provider: Provider,
    max: usize,
    tell: Tell,
    counts: Arc<Counts>,
}

impl Sessions {
    pub fn new(provider: Provider, max: usize, tell: Tell, counts: Arc<Counts>) -> Sessions {
        Sessions { provider, max, tell, counts }
    }

    /// Whether somebody can listen so.
    pub fn can_hear(&self, listen: &Listen) -> Result<(), String> {
        match &listen.what {
            What::Words(words) => self.provider.can_hear(words),
            What::Machine(_) => Ok(()),
        }
    }

    pub fn begin(&mut self, id: ListenId, words: &Words, rate: u32) -> Result<Session, String> {
        let running = self.counts.sessions.fetch_add(1, Ordering::Relaxed);
        let begun = if running >= self.max as u64 {
            Err(format!("{} speak already", self.max))
        } else {
            self.spawn(id, words.clone(), rate)
        };
        if begun.is_err() {
            self.counts.sessions.fetch_sub(1, Ordering::Relaxed);
        }
        begun
    }

    fn spawn(&self, id: ListenId, words: Words, rate: u32) -> Result<Session, String> {
        let (pieces, coming) = sync_channel(PIECES_MAX);
        let (provider, tell, counts) = (self.provider.clone(), Arc::clone(&self.tell), Arc::clone(&self.counts));
        let run = move || {
            if let Some(what) = turn(&provider, id, &words, rate, &coming, &tell) {
                tell(Input::Speech(Event::Heard { id, what }));
            }
            counts.sessions.fetch_sub(1, Ordering::Relaxed);
        };
        let thread = std::thread::Builder::new().name(format!("recogniser-{id}"));
        thread.spawn(run).map_err(|e| format!("no thread: {e}"))?;
        Ok(Session { pieces, counts: Arc::clone(&self.counts) })
    }
}

/// One turn; what was said, or why that is not known. `None` if nobody wants to know.
fn turn(
    provider: &Provider,
    id: ListenId,
    words: &Words,
    rate: u32,
    pieces: &Receiver<Piece>,
    tell: &Tell,
) -> Option<Heard> {
    let failed = |why: String| {
        tracing::warn!("speech is not recognised: {why}");
        Some(Heard::Failed(why.into()))
    };
    let mut recogniser: Box<dyn Recogniser> = match provider.open(words, rate) {
        Ok(recogniser) => recogniser,
        Err(why) => return failed(why),
    };
    let (mut all, mut latest) = (Vec::<Text>::new(), String::new());
    loop {
        let understood = match pieces.recv().ok()? {
            Piece::Sound(sound) => recogniser.take(&sound),
            Piece::End => {
                return match recogniser.end() {
                    Ok(last) => {
                        all.extend(last);
                        Some(together(&all))
                    }
                    Err(why) => failed(why),
                };
            }
        };
        match understood {
            Err(why) => return failed(why),
            Ok(Understood::Nothing) => {}
            Ok(Understood::SoFar(text)) => {
                if words.is_partial && !text.is_empty() && text != latest {
                    let what = Heard::Partial(cut(&text).into());
                    tell(Input::Speech(Event::Heard { id, what }));
                    latest = text;
                }
            }
            Ok(Understood::Sentence(text)) => {
                all.push(text);
                // Where the recogniser may say when a turn is over, it has.
                if words.pause.is_none() {
                    return Some(together(&all));
                }
            }
        }
    }
}

fn cut(text: &str) -> &str {
    let end = (0..=HEARD_BYTES_MAX.min(text.len())).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

fn together(all: &[Text]) -> Heard {
    let said: Vec<&Text> = all.iter().filter(|t| !t.text.is_empty()).collect();
    let text = said.iter().map(|t| t.text.as_str()).collect::<Vec<_>>().join(" ");
    let confidence = said.iter().map(|t| t.confidence).sum::<f32>() / said.len().max(1) as f32;
    Heard::Words { text: cut(&text).into(), confidence: (confidence.clamp(0.0, 1.0) * 1e4).round() / 1e4 }
}
