//! Who understands speech: by the configuration's `speech.recogniser`.

use super::sphinx::{self, Sphinx};
use super::tones::Tones;
use super::vosk::Vosk;
use crate::config::{Config, RecogniserKind};
use crate::speech::Words;
use std::path::PathBuf;

/// A sentence that was said; `confidence` 0.0 is not known.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Text {
    pub text: String,
    pub confidence: f32,
}

/// What a piece of sound has brought.
#[derive(Clone, PartialEq, Debug)]
pub enum Understood {
    Nothing,
    SoFar(String),
    /// A sentence is over.
    Sentence(Text),
}

/// One turn of speech; what fails has a sentence for the timeline. May wait.
pub trait Recogniser {
    /// Takes sound, mono and at the rate that it was opened with.
    fn take(&mut self, sound: &[i16]) -> Result<Understood, String>;
    /// No more comes: what it has not told yet.
    fn end(&mut self) -> Result<Option<Text>, String>;
}

#[derive(Clone, Debug)]
pub enum Provider {
    /// Nobody.
    None,
    Vosk {
        url: String,
    },
    Sphinx {
        program: String,
        /// For grammars.
        folder: PathBuf,
    },
    /// Says which tone it hears: for tests.
    Tones,
}

impl Provider {
    pub fn of(config: &Config) -> Provider {
        let speech = &config.speech;
        match &speech.recogniser {
            RecogniserKind::None => Provider::None,
            RecogniserKind::Vosk(url) => Provider::Vosk { url: url.clone() },
            RecogniserKind::PocketSphinx => {
                Provider::Sphinx { program: speech.recogniser_program.clone(), folder: config.data_dir.join("speech") }
            }
            RecogniserKind::Tones => Provider::Tones,
        }
    }

    /// Whether it can be asked at all, before anybody speaks.
    pub fn can_hear(&self, words: &Words) -> Result<(), String> {
        match self {
            Provider::None => Err("no recogniser is configured".to_owned()),
            Provider::Sphinx { program, .. } => sphinx::can_hear(program, &words.language),
            Provider::Vosk { .. } | Provider::Tones => Ok(()),
        }
    }

    pub fn open(&self, words: &Words, rate: u32) -> Result<Box<dyn Recogniser>, String> {
        Ok(match self {
            Provider::None => return Err("no recogniser is configured".to_owned()),
            Provider::Vosk { url } => Box::new(Vosk::open(url, &words.hints, rate)?),
            Provider::Sphinx { program, folder } => Box::new(Sphinx::open(program, folder, &words.hints)?),
            Provider::Tones => Box::new(Tones::new(rate)),
        })
    }
}
