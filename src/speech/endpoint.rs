//! When somebody begins to speak and when the turn is over, from a detector of voice, frame by frame.

use crate::base::time::Duration;

/// How long the detector of voice goes on after it (`codecs::vad`).
pub const HANGOVER: Duration = Duration::from_millis(200);
/// Voice that is shorter is a click or a cough; with the detector's hangover.
const BEGIN: Duration = Duration::from_millis(300);
/// The pause that ends a turn where nobody says which.
pub const PAUSE: Duration = Duration::from_millis(900);

/// What a frame changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    Waiting,
    /// Somebody speaks; the voice began so long ago.
    Began(Duration),
    Speaking,
    Over,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pause: Duration,
    speech_max: Duration,
    /// Since the voice began; zero while nobody speaks.
    voice: Duration,
    silence: Duration,
    /// Since the turn began.
    turn: Option<Duration>,
}

impl Endpoint {
    pub fn new(pause: Option<Duration>, speech_max: Duration) -> Endpoint {
        let pause = pause.unwrap_or(PAUSE).max(HANGOVER);
        Endpoint { pause, speech_max, voice: Duration::ZERO, silence: Duration::ZERO, turn: None }
    }

    /// Takes a frame of so long. After [`Turn::Over`] nothing is to be asked.
    pub fn push(&mut self, is_voice: bool, frame: Duration) -> Turn {
        (self.voice, self.silence) = match is_voice {
            true => (self.voice + frame, Duration::ZERO),
            false => (Duration::ZERO, self.silence + frame),
        };
        let Some(turn) = &mut self.turn else {
            if self.voice < BEGIN {
                return Turn::Waiting;
            }
            self.turn = Some(self.voice);
            return Turn::Began(self.voice);
        };
        *turn += frame;
        let is_over =
            self.silence + HANGOVER >= self.pause && self.silence > Duration::ZERO || *turn >= self.speech_max;
        if is_over { Turn::Over } else { Turn::Speaking }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs of voice and silence in milliseconds, and at which millisecond it began and was over.
    fn check(pause_ms: Option<u64>, max_ms: u64, runs: &[(bool, u64)]) -> (Option<u64>, Option<u64>) {
        let (pause, max) = (pause_ms.map(Duration::from_millis), Duration::from_millis(max_ms));
        let (mut endpoint, mut at) = (Endpoint::new(pause, max), 0);
        let (mut began, mut over) = (None, None);
        for (is_voice, ms) in runs {
            for _ in 0..ms / 20 {
                at += 20;
                match endpoint.push(*is_voice, Duration::from_millis(20)) {
                    Turn::Began(_) => began = Some(at),
                    Turn::Over => over = over.or(Some(at)),
                    Turn::Waiting | Turn::Speaking => {}
                }
            }
        }
        (began, over)
    }

    #[test]
    fn turns_begin_and_end() {
        type Row<'a> = (&'a str, Option<u64>, u64, &'a [(bool, u64)], (Option<u64>, Option<u64>));
        let rows: &[Row<'_>] = &[
            ("nothing", None, 60_000, &[(false, 5_000)], (None, None)),
            ("a click", None, 60_000, &[(true, 220), (false, 5_000)], (None, None)),
            ("a word", None, 60_000, &[(false, 1_000), (true, 600), (false, 5_000)], (Some(1_300), Some(2_300))),
            (
                "a pause within",
                None,
                60_000,
                &[(true, 600), (false, 500), (true, 600), (false, 5_000)],
                (Some(300), Some(2_400)),
            ),
            ("a pause of its own", Some(3_000), 60_000, &[(true, 600), (false, 5_000)], (Some(300), Some(3_400))),
            ("for too long", None, 2_000, &[(true, 10_000)], (Some(300), Some(2_000))),
        ];
        for (name, pause, max, runs, expected) in rows {
            assert_eq!(check(*pause, *max, runs), *expected, "{name}");
        }
    }
}
