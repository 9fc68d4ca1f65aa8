//! A recogniser whose words are known: "tone 450" for each tone of half a second or more, by its frequency to 50 Hz. For tests.

use super::recogniser::{Recogniser, Text, Understood};
use codecs::tone;

/// Frames of 20 ms that make a word.
const FRAMES_MIN: u32 = 15;

#[derive(Debug)]
pub struct Tones {
    rate: u32,
    rest: Vec<i16>,
    now: Option<(u32, u32)>,
    words: Vec<String>,
}

impl Tones {
    pub const fn new(rate: u32) -> Tones {
        Tones { rate, rest: Vec::new(), now: None, words: Vec::new() }
    }

    fn frame(&mut self, frame: &[i16]) -> bool {
        let step = tone::single(frame, self.rate).map(|hz| (hz / 50.0).round() as u32 * 50);
        self.now = match (self.now, step) {
            (Some((hz, count)), Some(step)) if hz == step => Some((hz, count + 1)),
            (_, step) => step.map(|step| (step, 1)),
        };
        let is_word = self.now.is_some_and(|(_, count)| count == FRAMES_MIN);
        if let (true, Some((hz, _))) = (is_word, self.now) {
            self.words.push(format!("tone {hz}"));
        }
        is_word
    }
}

impl Recogniser for Tones {
    fn take(&mut self, sound: &[i16]) -> Result<Understood, String> {
        self.rest.extend_from_slice(sound);
        let (frame, rest) = (self.rate as usize / 50, std::mem::take(&mut self.rest));
        let frames = rest.chunks_exact(frame.max(1));
        self.rest = frames.remainder().to_vec();
        let mut is_news = false;
        for frame in frames {
            is_news |= self.frame(frame);
        }
        Ok(if is_news { Understood::SoFar(self.words.join(" ")) } else { Understood::Nothing })
    }

    fn end(&mut self) -> Result<Option<Text>, String> {
        Ok(Some(Text { text: self.words.join(" "), confidence: 1.0 }))
    }
}
