//! What a party says to a gather, beside or instead of keys.

use super::Gathering;
use crate::base::time::Duration;
use crate::event::{Side, What};
use crate::speech::{self, Heard, NO_RECOGNISER, Words};
use crate::switch::call::{Call, Doing};
use crate::switch::listening::Whose;
use crate::switch::world::World;
use crate::verb::Outcome;
use crate::web::Parameters;
use std::sync::Arc;

/// What may be said and not understood before the gather is over.
const ATTEMPTS_MAX: u8 = 3;
/// A recogniser that has heard speech is waited for so long beyond the longest speech.
const GRACE: Duration = Duration::from_secs(20);

/// Where a gather is with what is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Spoken {
    #[default]
    Unheard,
    /// Somebody listens, for the so-manieth time.
    Listens(u8),
    /// And the caller speaks. So many times it was told what is understood so far.
    Speaks(u8, u32),
    /// Keys were pressed, or nobody can listen.
    Ended,
}

/// What was said.
#[derive(Clone, Debug)]
pub(super) struct Said {
    text: Arc<str>,
    /// 0.0 where the recogniser does not say.
    confidence: f32,
}

impl Said {
    /// Twilio's, also where nothing was said.
    pub fn parameters(said: Option<Said>) -> Parameters {
        let (text, confidence) = said.map_or_else(|| (String::new(), "0.0".to_owned()), Said::into_variables);
        vec![("SpeechResult".to_owned(), text), ("Confidence".to_owned(), confidence)]
    }

    pub fn into_variables(self) -> (String, String) {
        (self.text.to_string(), format!("{:?}", self.confidence))
    }
}

impl Gathering {
    /// How long the caller may be silent.
    pub(super) fn patience(&self) -> Duration {
        match self.spoken {
            Spoken::Speaks(..) => self.gather.listening.max_time + GRACE,
            _ => self.gather.timeout,
        }
    }

    fn words(&self) -> Words {
        let of = &self.gather.listening;
        Words {
            language: of.language.as_str().into(),
            hints: of.hints.as_str().into(),
            pause: of.timeout,
            speech_max: of.max_time,
            is_partial: of.partial.is_some(),
        }
    }
}

impl Call {
    /// Somebody listens from now on, if what is said counts and nobody does.
    pub(super) fn recognise(&mut self, w: &mut World) {
        let Doing::Gathering(gathering) = &mut self.doing else { return };
        if gathering.spoken != Spoken::Unheard || !gathering.gather.speech {
            return;
        }
        gathering.spoken = Spoken::Listens(1);
        let words = gathering.words();
        let front = self.front;
        self.listen(w, front, Whose::Gather, speech::What::Words(words));
    }

    /// What who listens to a gather has heard.
    pub fn on_speech(&mut self, w: &mut World, heard: Heard) {
        let front = self.front;
        let Doing::Gathering(gathering) = &mut self.doing else { return };
        let (Spoken::Listens(attempt) | Spoken::Speaks(attempt, _)) = gathering.spoken else { return };
        match heard {
            Heard::Began => {
                gathering.spoken = Spoken::Speaks(attempt, 0);
                self.note(w, Side::Leg(front), What::Media("the caller speaks".into()));
                self.barge_in(w);
            }
            Heard::Partial(text) => self.tell_partial(w, &text),
            Heard::Words { text, .. } if text.is_empty() && attempt < ATTEMPTS_MAX => {
                gathering.spoken = Spoken::Listens(attempt + 1);
                let words = gathering.words();
                self.note(w, Side::Leg(front), What::Note("what was said was not understood".into()));
                self.listen(w, front, Whose::Gather, speech::What::Words(words));
                self.barge_in(w);
            }
            Heard::Words { text, confidence } => {
                let said = Some(Said { text, confidence }).filter(|said| !said.text.is_empty());
                let text = said.as_ref().map_or(0, |said| said.text.split_whitespace().count());
                self.note(w, Side::Call, What::Note(format!("{text} words understood").into()));
                if let Some(outcome) = self.gathered_with(w, None, said) {
                    self.step_done(w, outcome);
                }
            }
            Heard::Failed(why) => self.is_deaf(w, &why),
            Heard::Answered { .. } => {}
        }
    }

    /// Nobody can listen: keys are all that is left.
    fn is_deaf(&mut self, w: &mut World, why: &str) {
        let text = format!("{NO_RECOGNISER} Gather: what is said is not recognised: {why}");
        self.note(w, Side::Call, What::Note(text.into()));
        let Doing::Gathering(gathering) = &mut self.doing else { return };
        gathering.spoken = Spoken::Ended;
        let is_listening = gathering.is_listening;
        if gathering.gather.dtmf {
            if is_listening {
                self.await_keys(w);
            }
            return;
        }
        if let Doing::Gathering(gathering) = std::mem::replace(&mut self.doing, Doing::Nothing)
            && !is_listening
        {
            self.stop_playing(w, gathering.prompts);
        }
        self.step_done(w, Outcome::Failed);
    }

    fn tell_partial(&mut self, w: &mut World, text: &str) {
        let Doing::Gathering(gathering) = &mut self.doing else { return };
        let Spoken::Speaks(_, sequence) = &mut gathering.spoken else { return };
        let Some(hook) = gathering.gather.listening.partial.clone() else { return };
        let number = *sequence;
        *sequence += 1;
        let address = self.address(&hook);
        let told = [
            ("UnstableSpeechResult", text.to_owned()),
            ("StableSpeechResult", String::new()),
            ("Stability", "0.0".to_owned()),
            ("SequenceNumber", number.to_string()),
        ];
        let told = told.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.call_back(w, address, told);
    }
}
