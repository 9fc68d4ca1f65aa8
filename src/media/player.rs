//! Sound that we make ourselves: prompts and tones, at 8 kHz.

use codecs::tone::{ToneGenerator, ToneSpec};
use std::sync::Arc;

/// Samples a second of everything that is played.
pub const SAMPLE_RATE: u32 = 8_000;

/// A prompt, decoded.
#[derive(PartialEq, Eq)]
pub struct Prompt {
    pub samples: Box<[i16]>,
}

impl std::fmt::Debug for Prompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prompt({} ms)", self.samples.len() / 8)
    }
}

#[derive(Debug, Default)]
enum Sound {
    #[default]
    None,
    /// A prompt that is being read.
    Waiting,
    /// A prompt that could not be read.
    Missing,
    Prompt(Arc<Prompt>),
    Tone(Box<ToneGenerator>),
}

/// One playing: what sounds and how far it has got. What sounded stays until the player is dropped, which is not the shard's
/// to do.
#[derive(Debug, Default)]
pub struct Player {
    sound: Sound,
    /// Of the prompt, in samples.
    position: usize,
    /// Rounds left, the present one included; 0 is for ever.
    loops: u32,
    /// Samples left; `None` is without limit.
    left: Option<u64>,
    ended: bool,
}

/// How a player's buffer was filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filled {
    Sound,
    /// The last of it; or, with `played` false, nothing, as there was nothing to play.
    End {
        played: bool,
    },
    /// Nothing, as the prompt is still being read or the end has been told.
    Nothing,
}

impl Player {
    /// A prompt, `loops` times; 0 is for ever.
    pub fn prompt(prompt: Arc<Prompt>, loops: u32) -> Player {
        Player { sound: Sound::Prompt(prompt), loops, ..Player::default() }
    }

    /// A prompt that comes later by [`Player::load`].
    pub fn waiting(loops: u32) -> Player {
        Player { sound: Sound::Waiting, loops, ..Player::default() }
    }

    /// A tone, until its own end or for `duration_ms`.
    pub fn tone(spec: &ToneSpec, duration_ms: Option<u64>) -> Player {
        let left = duration_ms.map(|ms| ms.saturating_mul(u64::from(SAMPLE_RATE) / 1_000));
        let generator = Box::new(ToneGenerator::new(spec, SAMPLE_RATE));
        Player { sound: Sound::Tone(generator), left, ..Player::default() }
    }

    /// Nothing that could be played: it ends when it begins.
    pub fn missing() -> Player {
        Player { sound: Sound::Missing, ..Player::default() }
    }

    pub const fn is_waiting(&self) -> bool {
        matches!(self.sound, Sound::Waiting)
    }

    /// The awaited prompt has been read, or could not be.
    pub fn load(&mut self, prompt: Option<Arc<Prompt>>) {
        if self.is_waiting() {
            self.sound = prompt.map_or(Sound::Missing, Sound::Prompt);
        }
    }

    /// It is over. `false` if it was, and its end has been told.
    pub fn end(&mut self) -> bool {
        !std::mem::replace(&mut self.ended, true)
    }

    /// Fills the whole buffer, with zeros after the end.
    pub fn fill(&mut self, out: &mut [i16]) -> Filled {
        let filled = match &mut self.sound {
            _ if self.ended => 0,
            Sound::None | Sound::Waiting | Sound::Missing => 0,
            Sound::Prompt(prompt) => copy(&prompt.samples, &mut self.position, &mut self.loops, out),
            Sound::Tone(generator) => generator.fill(out),
        };
        let within = self.left.map_or(out.len(), |left| usize::try_from(left).unwrap_or(usize::MAX).min(out.len()));
        let heard = filled.min(within);
        out.iter_mut().skip(heard).for_each(|s| *s = 0);
        if self.ended || matches!(self.sound, Sound::None | Sound::Waiting) {
            return Filled::Nothing;
        }
        self.left = self.left.map(|left| left - within as u64);
        self.ended = self.left == Some(0) || self.is_over();
        match self.ended {
            true => Filled::End { played: self.has_sound() },
            false => Filled::Sound,
        }
    }

    fn has_sound(&self) -> bool {
        match &self.sound {
            Sound::Prompt(prompt) => !prompt.samples.is_empty(),
            Sound::Tone(_) => true,
            Sound::None | Sound::Waiting | Sound::Missing => false,
        }
    }

    fn is_over(&self) -> bool {
        match &self.sound {
            Sound::Prompt(p) => p.samples.is_empty() || self.loops == 1 && self.position >= p.samples.len(),
            Sound::Tone(generator) => generator.is_finished(),
            Sound::None | Sound::Waiting => false,
            Sound::Missing => true,
        }
    }
}

/// Copies a prompt round after round; how many samples were written.
fn copy(samples: &[i16], position: &mut usize, loops: &mut u32, out: &mut [i16]) -> usize {
    let mut written = 0;
    while written < out.len() && !samples.is_empty() {
        let rest = samples.get(*position..).unwrap_or(&[]);
        if rest.is_empty() {
            if *loops == 1 {
                break;
            }
            *loops = loops.saturating_sub(1);
            *position = 0;
            continue;
        }
        let count = rest.len().min(out.len() - written);
        for (to, from) in out.iter_mut().skip(written).zip(rest.iter().take(count)) {
            *to = *from;
        }
        written += count;
        *position += count;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(len: i16) -> Arc<Prompt> {
        Arc::new(Prompt { samples: (1..=len).collect() })
    }

    /// Fills 4 samples at a time, at most 8 times, until the end.
    fn play(mut player: Player) -> (Vec<i16>, Option<bool>) {
        let mut heard = Vec::new();
        for _ in 0..8 {
            let mut buffer = [99; 4];
            match player.fill(&mut buffer) {
                Filled::Sound => heard.extend(buffer),
                Filled::End { played } => {
                    heard.extend(buffer);
                    assert_eq!(player.fill(&mut buffer), Filled::Nothing, "the end is told once");
                    return (heard, Some(played));
                }
                Filled::Nothing => assert_eq!(buffer, [0; 4]),
            }
        }
        (heard, None)
    }

    #[test]
    fn prompts_sound_whole_and_as_often_as_asked() {
        assert_eq!(play(Player::prompt(ramp(4), 1)), (vec![1, 2, 3, 4], Some(true)));
        assert_eq!(play(Player::prompt(ramp(5), 1)), (vec![1, 2, 3, 4, 5, 0, 0, 0], Some(true)));
        assert_eq!(play(Player::prompt(ramp(3), 2)), (vec![1, 2, 3, 1, 2, 3, 0, 0], Some(true)));
        assert_eq!(play(Player::prompt(ramp(0), 0)), (vec![0; 4], Some(false)));
        let (heard, end) = play(Player::prompt(ramp(3), 0));
        assert_eq!((heard.len(), end, &heard[28..]), (32, None, &[2, 3, 1, 2][..]));
    }

    #[test]
    fn a_prompt_may_come_late_or_never() {
        let mut late = Player::waiting(1);
        assert_eq!(late.fill(&mut [1; 4]), Filled::Nothing);
        late.load(Some(ramp(4)));
        late.load(None);
        assert_eq!(play(late), (vec![1, 2, 3, 4], Some(true)));
        let mut never = Player::waiting(1);
        never.load(None);
        assert_eq!(play(never), (vec![0; 4], Some(false)));
        assert_eq!(play(Player::default()), (vec![], None));
    }

    #[test]
    fn a_tone_ends_at_its_duration_or_of_itself() {
        let dial = codecs::tone::by_name("us", "dial").unwrap();
        let mut player = Player::tone(&dial, Some(30));
        let mut buffer = [0; 160];
        assert_eq!(player.fill(&mut buffer), Filled::Sound);
        assert_eq!(player.fill(&mut buffer), Filled::End { played: true });
        assert!(buffer[70..80].iter().any(|s| *s != 0) && buffer[80..].iter().all(|s| *s == 0));
        let sit = codecs::tone::by_name("us", "sit").unwrap().repeated(codecs::tone::Repeat::Times(2));
        let mut player = Player::tone(&sit, None);
        let count = (0..10_000).take_while(|_| player.fill(&mut buffer) == Filled::Sound).count();
        assert_eq!(sit.duration_ms().map(|ms| ms.div_ceil(20)), Some(count as u64 + 1));
    }
}
