//! Digits on their way to a leg's peer: one after the other, as events (RFC 4733) or as tones, with a pause behind each.

use super::command::{DIGITS_MAX, Press};
use super::player::SAMPLE_RATE;
use crate::rtp::telephone_event::{Packet, Sender};
use codecs::dtmf;
use codecs::tone::ToneGenerator;

/// Between the packets of an event, in milliseconds.
pub const STEP_MS: u32 = 20;
/// Shortest and longest digit that is sent, in milliseconds.
const ON_MS_MIN: u32 = 40;
const ON_MS_MAX: u32 = 30_000;
/// Pause after a tone, in milliseconds; Q.24 wants 40. After an event its two further end packets are as long.
const OFF_MS: u32 = 60;

/// See the module's documentation. It stays with its leg, so that nothing is freed where time is short.
#[derive(Debug)]
pub struct Dialer {
    queue: [Option<Press>; DIGITS_MAX],
    sending: Sending,
    /// Samples of silence to send before a tone.
    lead: usize,
    /// Timestamp of the event that is being sent, once its first packet is out.
    pub begun: Option<u32>,
}

#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a dialer is boxed as a whole, and a tone is not to be allocated on a tick"
)]
enum Sending {
    Nothing,
    Event(Sender),
    Tone(ToneGenerator),
}

impl Dialer {
    pub fn new() -> Box<Dialer> {
        Box::new(Dialer { queue: [None; DIGITS_MAX], sending: Sending::Nothing, lead: 0, begun: None })
    }

    /// Digits after those that wait. How many found no room or are none.
    pub fn push(&mut self, digits: &[Press]) -> usize {
        let known = digits.iter().filter(|p| dtmf::frequencies(p.digit).is_some());
        let free = self.queue.iter_mut().filter(|place| place.is_none());
        let taken = known.zip(free).map(|(press, place)| *place = Some(*press)).count();
        digits.len() - taken
    }

    /// The peer's decoder has followed another encoder so far: 100 ms of silence come before the next tone, by which both are at
    /// one (an adaptive codec such as G.722 would distort its begin).
    pub const fn lead_in(&mut self) {
        self.lead = SAMPLE_RATE as usize / 10;
    }

    /// Nothing is being sent, and nothing waits.
    pub const fn is_idle(&self) -> bool {
        matches!(self.sending, Sending::Nothing) && matches!(self.queue, [None, ..])
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.queue = [None; DIGITS_MAX];
        (self.sending, self.begun) = (Sending::Nothing, None);
    }

    fn next(&mut self) -> Option<(char, u32)> {
        self.queue.rotate_left(1);
        let press = self.queue.last_mut()?.take()?;
        Some((press.digit, u32::from(press.duration_ms).clamp(ON_MS_MIN, ON_MS_MAX)))
    }

    /// The next packet of an event, of `clock_rate` Hz, that is due every [`STEP_MS`]; its timestamp is that of the event's begin
    /// (in `begun` from the first packet on) and the packet's offset. `None` when all is sent.
    pub fn packet(&mut self, clock_rate: u32) -> Option<Packet> {
        loop {
            if let Sending::Event(sender) = &mut self.sending
                && let Some(packet) = sender.next_packet()
            {
                return Some(packet);
            }
            self.sending = Sending::Nothing;
            self.begun = None;
            let (digit, ms) = self.next()?;
            let units = clock_rate / 1_000;
            let step = u16::try_from(STEP_MS * units).unwrap_or(u16::MAX);
            self.sending = Sender::new(digit, ms * units, step).map_or(Sending::Nothing, Sending::Event);
        }
    }

    /// Fills a packet with what is due of a tone and its pause. `false` when all is sent.
    pub fn tone(&mut self, out: &mut [i16]) -> bool {
        if self.lead > 0 && !self.is_idle() {
            self.lead = self.lead.saturating_sub(out.len());
            out.fill(0);
            return true;
        }
        loop {
            if let Sending::Tone(tone) = &mut self.sending
                && tone.fill(out) > 0
            {
                return true;
            }
            self.sending = Sending::Nothing;
            let Some((digit, ms)) = self.next() else { return false };
            let spec = dtmf::tone(digit, dtmf::LEVEL_DBM0, ms, OFF_MS);
            let tone = spec.map(|spec| ToneGenerator::new(&spec, SAMPLE_RATE));
            self.sending = tone.map_or(Sending::Nothing, Sending::Tone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::telephone_event::{Block, Receiver};
    use codecs::dtmf::{Detector, Event};

    fn presses(digits: &str, duration_ms: u16) -> Vec<Press> {
        digits.chars().map(|digit| Press { digit, duration_ms }).collect()
    }

    #[test]
    fn events_follow_each_other_with_a_pause_between() {
        for (clock_rate, ms, expected_ms) in [(8_000, 100, 100), (48_000, 1_500, 1_500), (16_000, 0, 40)] {
            let mut dialer = Dialer::new();
            assert_eq!(dialer.push(&presses("55#", ms)), 0);
            let (mut receiver, mut told, mut steps, mut ended) = (Receiver::default(), Vec::new(), 0, 0);
            while let Some(packet) = dialer.packet(clock_rate) {
                let now = steps * STEP_MS * (clock_rate / 1_000);
                assert_eq!(packet.marker, dialer.begun.is_none());
                let begun = *dialer.begun.get_or_insert(now);
                if packet.marker && steps > 0 {
                    assert!(now - ended >= 40 * (clock_rate / 1_000), "{clock_rate}: {ended} to {now}");
                }
                let block = Block::parse(&packet.payload).unwrap();
                ended = begun + packet.timestamp_offset + u32::from(block.duration);
                told.extend(receiver.receive(begun + packet.timestamp_offset, block));
                steps += 1;
            }
            let told: Vec<_> = told.iter().map(|d| (d.digit, d.duration / (clock_rate / 1_000))).collect();
            assert_eq!(told, [('5', expected_ms), ('5', expected_ms), ('#', expected_ms)]);
            assert!(dialer.is_idle());
        }
    }

    #[test]
    fn tones_are_found_again_one_by_one_in_packets_of_any_length() {
        for (samples, ms) in [(80, 100), (160, 40), (240, 70), (480, 100)] {
            let mut dialer = Dialer::new();
            dialer.push(&presses("0123456789*#ABCD00", ms));
            let (mut detector, mut told) = (Detector::new(), String::new());
            let mut packet = [0; 480];
            while dialer.tone(&mut packet[..samples]) {
                detector.process(&packet[..samples], |event| match event {
                    Event::End { digit, .. } => told.push(digit),
                    Event::Begin { .. } => {}
                });
            }
            assert_eq!((told.as_str(), dialer.is_idle()), ("0123456789*#ABCD00", true), "{samples} samples, {ms} ms");
        }
    }

    #[test]
    fn what_is_too_much_or_no_digit_is_dropped_and_order_is_kept() {
        let mut dialer = Dialer::new();
        assert_eq!(dialer.push(&presses("1x2", 40)), 1);
        assert_eq!(dialer.push(&presses(&"3".repeat(40), 40)), 10);
        let mut told = String::new();
        while let Some(packet) = dialer.packet(8_000) {
            if packet.marker {
                told.push(crate::rtp::telephone_event::digit_of(packet.payload[0]).unwrap());
                dialer.push(&presses("4", 40));
            }
            if told.len() > 40 {
                dialer.clear();
            }
        }
        assert!(told.starts_with(&format!("12{}4", "3".repeat(30))) && dialer.is_idle(), "{told}");
    }
}
