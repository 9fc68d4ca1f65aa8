//! Digits of a leg: those that it sends as events or tones, and those among the sound of its peer.

use super::{Carried, FRAME_MAX, Leg, Received, Taken, protection};
use crate::base::time::Instant;
use crate::media::command::{Codec, Event, Format, Method, Press};
use crate::media::digits::Dialer;
use crate::media::player::SAMPLE_RATE;
use crate::media::stream::Relayed;
use crate::media::tones::Found;
use crate::rtp::packet::{HEADER_LEN, Header};
use crate::rtp::telephone_event::{Digit, PAYLOAD_LEN};
use std::net::SocketAddr;

impl Leg {
    /// Digits to send, after those that it still sends.
    pub fn dial(&mut self, digits: &[Press]) {
        let dialer = self.dialer.get_or_insert_with(Dialer::new);
        dialer.push(digits);
        if self.mouth.is_none() && !self.setting.state.send.is_some_and(|f| f.codec.is_g711()) {
            dialer.lead_in();
        }
    }

    /// Whether it sends digits: it hears nothing else meanwhile.
    pub fn dials(&self) -> bool {
        self.dialer.as_ref().is_some_and(|dialer| !dialer.is_idle())
    }

    /// Whether it has ever sent digits.
    pub const fn has_dialed(&self) -> bool {
        self.dialer.is_some()
    }

    /// Clock of the events that are sent, in Hz.
    pub(super) fn event_clock(&self) -> u32 {
        match (self.setting.state.dtmf_clock, self.setting.state.send) {
            (0, Some(format)) => format.codec.clock_rate(),
            (0, None) => self.receive_rate,
            (clock, _) => clock,
        }
    }

    /// A digit as it is told.
    pub fn digit(&self, digit: Digit, method: Method) -> Event {
        let units = if method == Method::Inband { 1_000 } else { u64::from(self.event_clock().max(1)) };
        let duration_ms = u32::try_from(u64::from(digit.duration) * 1_000 / units).unwrap_or(u32::MAX);
        Event::Digit { leg: self.id, digit: digit.digit, duration_ms, method }
    }

    /// Looks for tones in a packet of sound, and takes out what nobody is to hear.
    #[inline]
    pub(super) fn find_tones(&mut self, now: Instant, codec: Codec, header: &Header, bytes: &mut [u8]) -> Found {
        let Some(listening) = &mut self.setting.listening else { return Found::default() };
        let found =
            listening.hear(now, codec, header.sequence, bytes.get_mut(header.payload_range()).unwrap_or_default());
        self.digits += found.iter().flatten().count() as u32;
        found
    }

    /// Whether nobody is to hear what its peer enters.
    pub(super) fn is_sealed(&self) -> bool {
        self.setting.listening.as_ref().is_some_and(|listening| listening.is_sealed())
    }

    /// Holds a packet of sound back; false if the leg is not sealed.
    #[inline]
    pub(super) fn hold(&mut self, now: Instant, codec: Codec, header: &Header, bytes: &[u8]) -> bool {
        let Some(listening) = self.setting.listening.as_mut().filter(|l| l.is_sealed()) else { return false };
        listening.hold(now, codec, header.timestamp, bytes);
        true
    }

    /// A packet of a sealed leg that has waited long enough, in the buffer: when it came, what it is, and how long.
    pub fn release(&mut self, now: Instant, buffer: &mut [u8]) -> Option<(Instant, Received, usize)> {
        let (held, len) = self.setting.listening.as_mut()?.release(buffer)?;
        let bytes = buffer.get(..len)?;
        let header = Header::parse(bytes).ok()?;
        let (carried, payload) = (Carried::Media(held.codec), header.payload(bytes));
        let mut received = Received { pull_from: self.listen(now, &header, carried, payload), ..Received::default() };
        let duration = held.codec.duration(payload).max(1);
        let relayed = Relayed::new(self.origin, &header, duration, held.codec.clock_rate());
        let (by_ear, event_clock) = (self.by_ear, self.event_clock());
        received.taken = Some(Taken { header, carried, by_ear, relayed, block: None, event_clock });
        Some((held.at, received, len))
    }

    /// A tone that was on when its peer fell silent.
    pub fn look_for_tone(&mut self, now: Instant) -> Option<Digit> {
        let digit = self.setting.listening.as_mut()?.look(now)?;
        self.digits += 1;
        Some(digit)
    }

    /// Sends what is due of its digits; nothing if the peer can be sent nothing, and then they are forgotten.
    pub(super) fn send_digits(&mut self, due: Instant, mut send: impl FnMut(SocketAddr, &[u8], Option<&[u8]>)) {
        let Some(mut dialer) = self.dialer.take() else { return };
        let state = &self.setting.state;
        match (state.send, state.dtmf_send, self.latch.target().filter(|_| state.sending)) {
            (Some(format), Some(payload_type), Some(to)) => {
                let (clock, media_clock) = (self.event_clock(), format.codec.clock_rate());
                if let Some(event) = dialer.packet(clock) {
                    let offset = u64::from(event.timestamp_offset) * u64::from(media_clock) / u64::from(clock.max(1));
                    let fields = self.stream.own_event(due, dialer.begun, offset as u32, payload_type);
                    dialer.begun.get_or_insert(fields.timestamp);
                    let mut packet = [0; HEADER_LEN + PAYLOAD_LEN];
                    fields.write(&mut packet);
                    packet.iter_mut().skip(HEADER_LEN).zip(event.payload).for_each(|(to, from)| *to = from);
                    self.stream.count(PAYLOAD_LEN);
                    protection::seal(&mut self.protection, &packet, |wire| send(to, &packet, wire));
                }
            }
            (Some(format), None, Some(to)) if format.codec.rate().is_some() => {
                let mut sound = [0; FRAME_MAX];
                let samples = (self.ptime_steps() * 5 * u64::from(SAMPLE_RATE) / 1_000) as usize;
                if let Some(frame) = sound.get_mut(..samples)
                    && dialer.tone(frame)
                {
                    self.put(due, format, to, frame, &mut send);
                }
            }
            _ => dialer.clear(),
        }
        self.dialer = Some(dialer);
    }

    /// Sends 8 kHz sound that is due at `due`, one packet long.
    pub(super) fn put(
        &mut self,
        due: Instant,
        format: Format,
        to: SocketAddr,
        frame: &[i16],
        mut send: impl FnMut(SocketAddr, &[u8], Option<&[u8]>),
    ) {
        let mut packet = [0; HEADER_LEN + FRAME_MAX];
        let (header, payload) = packet.split_at_mut(HEADER_LEN);
        if !format.codec.encode(frame, payload) {
            return self.say(due, crate::media::frame::Rate::Narrow, frame, send);
        }
        let samples = frame.len();
        self.stream.generated(due, samples as u32, SAMPLE_RATE, format.payload_type).write(header);
        self.stream.count(samples);
        let packet = packet.get(..HEADER_LEN + samples).unwrap_or_default();
        protection::seal(&mut self.protection, packet, |wire| send(to, packet, wire));
    }
}
