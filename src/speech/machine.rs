//! Who has answered: a person, a machine or a fax, by Twilio's published measures ("Answering Machine Detection"): a person says
//! little and waits, a machine goes on. Pure: it is given what a detector of voice says of each frame, and what tone is in it.

use super::endpoint::HANGOVER;
use crate::base::time::Duration;

/// Twilio's `MachineDetection…` of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// DetectMessageEnd: a machine is told of when its greeting is over.
    pub to_end: bool,
    /// After so long it is unknown. 3 to 59 s.
    pub timeout: Duration,
    /// Speech that is shorter is a person's. 1 to 6 s.
    pub speech: Duration,
    /// Silence after which speech is over. 0.5 to 5 s.
    pub speech_end: Duration,
    /// Silence at the begin after which it is unknown. 2 to 10 s.
    pub silence: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            to_end: false,
            timeout: Duration::from_secs(30),
            speech: Duration::from_millis(2_400),
            speech_end: Duration::from_millis(1_200),
            silence: Duration::from_millis(5_000),
        }
    }
}

/// Twilio's `AnsweredBy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnsweredBy {
    Human,
    Fax,
    Unknown,
    MachineStart,
    MachineEndBeep,
    MachineEndSilence,
    /// The time was over while the greeting went on.
    MachineEndOther,
}

impl AnsweredBy {
    pub const fn as_str(self) -> &'static str {
        match self {
            AnsweredBy::Human => "human",
            AnsweredBy::Fax => "fax",
            AnsweredBy::Unknown => "unknown",
            AnsweredBy::MachineStart => "machine_start",
            AnsweredBy::MachineEndBeep => "machine_end_beep",
            AnsweredBy::MachineEndSilence => "machine_end_silence",
            AnsweredBy::MachineEndOther => "machine_end_other",
        }
    }
}

/// What is in a frame.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Sound {
    Silence,
    Voice,
    /// One tone and nothing else, of so many Hz.
    Tone(f32),
}

/// A called fax's answer tone (T.30's CED) and a calling one's (CNG), with their tolerances, in Hz.
const FAX: [(f32, f32); 2] = [(2_100.0, 20.0), (1_100.0, 38.0)];
/// One of them that lasts so long is a fax; CNG is half a second.
const FAX_LASTS: Duration = Duration::from_millis(400);
/// A beep is a tone of these frequencies, steady to so many Hz, and so long.
const BEEP_HZ: std::ops::RangeInclusive<f32> = 350.0..=2_600.0;
const BEEP_STEADY_HZ: f32 = 30.0;
const BEEP_LASTS: Duration = Duration::from_millis(160);

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Detector {
    settings: Settings,
    total: Duration,
    /// From the first voice to the latest.
    speech: Duration,
    /// Since the latest voice, or since the begin.
    silence: Duration,
    is_machine: bool,
    /// Frequency of the tone that lasts, and how long.
    tone: Option<(f32, Duration)>,
}

impl Detector {
    pub fn new(settings: Settings) -> Detector {
        let zero = Duration::ZERO;
        Detector { settings, total: zero, speech: zero, silence: zero, is_machine: false, tone: None }
    }

    /// How long it has listened.
    pub const fn total(&self) -> Duration {
        self.total
    }

    /// Takes a frame of so long; who it is, once. Voice is told with the detector's hangover.
    pub fn push(&mut self, sound: Sound, frame: Duration) -> Option<AnsweredBy> {
        self.total += frame;
        if let Some(by) = self.follow_tone(sound, frame) {
            return Some(by);
        }
        if sound == Sound::Voice {
            // A pause within what is said belongs to it.
            self.speech = if self.speech == Duration::ZERO { frame } else { self.speech + self.silence + frame };
            self.silence = Duration::ZERO;
        } else {
            self.silence += frame;
        }
        self.judge()
    }

    fn judge(&mut self) -> Option<AnsweredBy> {
        let of = self.settings;
        let has_spoken = self.speech > Duration::ZERO;
        let said = Duration::from_micros(self.speech.as_micros().saturating_sub(HANGOVER.as_micros()) as u64);
        if !self.is_machine && said >= of.speech {
            self.is_machine = true;
            if !of.to_end {
                return Some(AnsweredBy::MachineStart);
            }
        }
        let is_quiet = self.silence > Duration::ZERO && self.silence + HANGOVER >= of.speech_end;
        if has_spoken && is_quiet && self.tone.is_none() {
            return Some(if self.is_machine { AnsweredBy::MachineEndSilence } else { AnsweredBy::Human });
        }
        if !has_spoken && self.silence >= of.silence {
            return Some(AnsweredBy::Unknown);
        }
        let late = if self.is_machine { AnsweredBy::MachineEndOther } else { AnsweredBy::Unknown };
        (self.total >= of.timeout).then_some(late)
    }

    /// A fax's tone while it lasts, or a beep that is over.
    fn follow_tone(&mut self, sound: Sound, frame: Duration) -> Option<AnsweredBy> {
        let Sound::Tone(hz) = sound else {
            let ended = self.tone.take();
            let is_beep = ended.is_some_and(|(hz, lasted)| BEEP_HZ.contains(&hz) && lasted >= BEEP_LASTS);
            // A machine's greeting may be shorter than a person's: the beep tells.
            let is_told = is_beep && self.speech > Duration::ZERO;
            let by = if self.settings.to_end { AnsweredBy::MachineEndBeep } else { AnsweredBy::MachineStart };
            return is_told.then_some(by);
        };
        let lasted = match self.tone {
            Some((before, lasted)) if (before - hz).abs() <= BEEP_STEADY_HZ => lasted + frame,
            _ => frame,
        };
        self.tone = Some((hz, lasted));
        let is_fax = FAX.iter().any(|(of, off)| (of - hz).abs() <= *off) && lasted >= FAX_LASTS;
        (is_fax && self.speech == Duration::ZERO).then_some(AnsweredBy::Fax)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Sound::{Silence, Tone, Voice};

    const TO_END: Settings = Settings {
        to_end: true,
        timeout: Duration::from_secs(30),
        speech: Duration::from_millis(2_400),
        speech_end: Duration::from_millis(1_200),
        silence: Duration::from_millis(5_000),
    };

    /// Runs in milliseconds; who it is and when it was known.
    fn check(settings: Settings, runs: &[(Sound, u64)]) -> Option<(&'static str, u64)> {
        let (mut detector, mut at) = (Detector::new(settings), 0);
        for (sound, ms) in runs {
            for _ in 0..ms / 20 {
                at += 20;
                if let Some(by) = detector.push(*sound, Duration::from_millis(20)) {
                    assert_eq!(detector.total(), Duration::from_millis(at));
                    return Some((by.as_str(), at));
                }
            }
        }
        None
    }

    /// Runs of voice have the hangover of 200 ms in them.
    #[test]
    fn greetings_are_told_apart() {
        type Row<'a> = (&'a str, bool, &'a [(Sound, u64)], Option<(&'static str, u64)>);
        let hello = &[(Silence, 600), (Voice, 800), (Silence, 5_000)];
        let machine = &[(Silence, 600), (Voice, 3_000), (Silence, 400), (Voice, 2_000), (Silence, 5_000)];
        let beeps = &[(Silence, 600), (Voice, 4_000), (Silence, 400), (Tone(1_000.0), 400), (Silence, 5_000)];
        let brief = &[(Silence, 300), (Voice, 1_200), (Silence, 500), (Tone(440.0), 300), (Silence, 3_000)];
        let two_tones = &[(Voice, 4_000), (Tone(700.0), 100), (Tone(900.0), 100), (Silence, 2_000)];
        let rows: &[Row<'_>] = &[
            ("hello?", false, hello, Some(("human", 2_400))),
            ("hello?", true, hello, Some(("human", 2_400))),
            ("a greeting", false, machine, Some(("machine_start", 3_200))),
            ("a greeting to its end", true, machine, Some(("machine_end_silence", 7_000))),
            ("to the beep", true, beeps, Some(("machine_end_beep", 5_420))),
            ("a brief greeting and a beep", true, brief, Some(("machine_end_beep", 2_320))),
            ("a brief greeting and a beep", false, brief, Some(("machine_start", 2_320))),
            ("a jingle is no beep", true, two_tones, Some(("machine_end_silence", 5_000))),
            ("silence", false, &[(Silence, 10_000)], Some(("unknown", 5_000))),
            ("a fax that is called", false, &[(Silence, 1_000), (Tone(2_100.0), 3_000)], Some(("fax", 1_400))),
            ("a fax that calls", true, &[(Tone(1_105.0), 500)], Some(("fax", 400))),
            ("ringing goes on", false, &[(Tone(440.0), 60_000)], Some(("unknown", 5_000))),
            ("a greeting for ever", true, &[(Voice, 60_000)], Some(("machine_end_other", 30_000))),
            ("it is not over yet", false, &[(Silence, 4_000)], None),
        ];
        for (name, to_end, runs, expected) in rows {
            assert_eq!(check(Settings { to_end: *to_end, ..TO_END }, runs), *expected, "{name}");
        }
    }

    #[test]
    fn the_measures_are_the_operators() {
        let ms = Duration::from_millis;
        let long_hello = [(Voice, 1_700), (Silence, 5_000)];
        let rows = [
            (Settings { speech: ms(1_000), ..Settings::default() }, "machine_start", 1_200),
            (Settings { speech_end: ms(3_000), ..Settings::default() }, "human", 4_500),
            (Settings { timeout: ms(2_000), ..Settings::default() }, "unknown", 2_000),
        ];
        for (settings, by, at) in rows {
            assert_eq!(check(settings, &long_hello), Some((by, at)));
        }
        let quiet = Settings { silence: ms(2_000), ..Settings::default() };
        assert_eq!(check(quiet, &[(Silence, 9_000)]), Some(("unknown", 2_000)));
    }
}
