//! A leg's sound: its ear and its mouth, and what it plays.

use super::{Carried, FRAME_MAX, Leg, Setting, playing, protection};
use crate::base::time::Instant;
use crate::media::bridge::Bridge;
use crate::media::command::{Codec, Format, PlayId};
use crate::media::ear::{Ear, Heard};
use crate::media::frame::Rate;
use crate::media::jitter::Packet;
use crate::media::mouth::{Mouth, PAYLOAD_MAX};
use crate::media::player::{Filled, SAMPLE_RATE};
use crate::rtp::packet::{HEADER_LEN, Header};
use codecs::cache::fetch;
use std::net::SocketAddr;

/// Packets for which a codec that can be relayed is still decoded, while no pause comes: 2 s at 20 ms.
const LINGER_MAX: u16 = 100;

impl Leg {
    /// Gives the ear what it is to hear. Where it wakes, the moment from which it is to be pulled.
    #[inline]
    pub(super) fn listen(
        &mut self,
        now: Instant,
        header: &Header,
        carried: Carried,
        payload: &[u8],
    ) -> Option<Instant> {
        let ear = self.ear.as_mut()?;
        let (codec, duration) = match carried {
            Carried::Media(codec) => (Some(codec), codec.duration(payload)),
            Carried::Event => (None, 0),
        };
        if codec.is_some() {
            let format = self.formats.iter().position(|f| f.is_some_and(|f| f.payload_type == header.payload_type));
            let needed = format.is_some_and(|n| self.heard_formats & 1 << n != 0);
            // Back from sound to relay: not in the middle of a word, of which the ear holds a part.
            if needed {
                (self.by_ear, self.lingered) = (true, 0);
            } else if self.by_ear
                && !ear.is_idle()
                && self.lingered < LINGER_MAX
                && !(ear.is_quiet() && self.lingered > 0)
            {
                self.lingered += 1;
            } else {
                self.by_ear = false;
                ear.clear();
                return None;
            }
        }
        if duration == 0 && codec.is_some_and(|c| c.rate().is_some()) {
            return None;
        }
        let Header { ssrc, sequence, timestamp, .. } = *header;
        let clock_rate = codec.map_or(self.receive_rate, Codec::clock_rate);
        ear.put(now, &Packet { ssrc, sequence, timestamp, clock_rate, duration, codec, payload })
    }

    /// What it may say. At most [`FORMATS_MAX`].
    fn formats(&self) -> impl Iterator<Item = (usize, Format)> {
        self.formats.iter().enumerate().filter_map(|(n, f)| Some((n, (*f)?)))
    }

    /// Whether what it may say reaches a listener that sends `sent` only as sound: bit n is its format n.
    pub fn needs_sound(&self, sent: Option<Codec>) -> u8 {
        let Some(sent) = sent.filter(|s| s.rate().is_some()) else { return 0 };
        let unbridged = |codec: Codec| codec.rate().is_some() && Bridge::between(codec, sent).is_none();
        let needed = self.formats().filter(|(_, f)| unbridged(f.codec)).fold(0, |bits, (n, _)| bits | 1 << n);
        let noise =
            self.formats().filter(|(_, f)| f.codec == Codec::ComfortNoise).fold(0, |bits, (n, _)| bits | 1 << n);
        if needed == 0 { 0 } else { needed | noise }
    }

    /// All that it may say that can be heard as sound: bit n is its format n.
    pub fn sounds(&self) -> u8 {
        let audible = |codec: Codec| codec.rate().is_some() || codec == Codec::ComfortNoise;
        self.formats().filter(|(_, f)| audible(f.codec)).fold(0, |bits, (n, _)| bits | 1 << n)
    }

    /// Its codec, where frames of 20 ms at 8 kHz become packets without a mouth.
    pub fn plain(&self) -> Option<Codec> {
        let state = &self.setting.state;
        self.sent().filter(|codec| codec.is_g711() && matches!(state.ptime_ms, 0 | 20..=24))
    }

    /// Says 20 ms that have been encoded in its [`Leg::plain`] codec.
    pub fn say_encoded(
        &mut self,
        due: Instant,
        payload: &[u8],
        mut send: impl FnMut(SocketAddr, &[u8], Option<&[u8]>),
    ) {
        let state = &self.setting.state;
        let to = self.latch.target().filter(|_| state.sending);
        let (Some(format), Some(to)) = (state.send, to) else { return };
        let mut packet = [0; HEADER_LEN + FRAME_MAX];
        let Some(packet) = packet.get_mut(..HEADER_LEN + payload.len()) else { return };
        let (header, body) = packet.split_at_mut(HEADER_LEN);
        body.copy_from_slice(payload);
        self.stream.generated(due, payload.len() as u32, SAMPLE_RATE, format.payload_type).write(header);
        self.stream.count(payload.len());
        protection::seal(&mut self.protection, packet, |wire| send(to, packet, wire));
    }

    /// Codec that is sent to the peer.
    pub fn sent(&self) -> Option<Codec> {
        self.setting.state.send.map(|f| f.codec)
    }

    /// Gives it an ear for the formats of `needed` (bits as of [`Leg::needs_sound`]), or takes it. `wanted`: the widest rate
    /// that is of use. `true` if there is one.
    pub fn set_ear(&mut self, needed: u8, wanted: Rate, seed: u32) -> bool {
        self.heard_formats = needed;
        let heard = self.heard();
        let receive = &self.setting.state.receive;
        if needed == 0 {
            self.by_ear = false;
            (self.ear, self.heard_before) = (None, heard);
        } else if self.ear.as_ref().is_none_or(|ear| !ear.fits(receive, wanted)) {
            (self.ear, self.heard_before) = (Some(Ear::new(receive, wanted, seed)), heard);
        }
        self.ear.is_some()
    }

    /// What its ears have counted.
    pub fn heard(&self) -> Heard {
        self.ear.as_ref().map_or(self.heard_before, |ear| ear.heard().and(self.heard_before))
    }

    /// A packet is about to come.
    #[inline]
    pub fn foresee_packet(&self) {
        fetch(&self.setting.state);
        self.protection.iter().for_each(|protection| protection.foresee_received());
        self.ear.iter().for_each(|ear| ear.foresee_packet());
    }

    /// A packet is about to be made for it.
    #[inline]
    pub fn foresee_sent(&self) {
        fetch(&self.setting.state);
        self.protection.iter().for_each(|protection| protection.foresee_sent());
    }

    /// Its ear is about to be pulled.
    #[inline]
    pub fn foresee_pull(&self) {
        self.ear.iter().for_each(|ear| ear.foresee_pull());
    }

    /// The same, a while later.
    #[inline]
    pub fn foresee_take(&self) {
        self.ear.iter().for_each(|ear| ear.foresee_take());
    }

    pub fn ear(&mut self) -> Option<&mut Ear> {
        self.ear.as_deref_mut()
    }

    /// Gives it a mouth for sound of that rate, or takes it.
    pub fn set_mouth(&mut self, needed: Option<Rate>) {
        let state = &self.setting.state;
        let (Some(rate), Some(Format { codec, .. })) = (needed, state.send) else {
            self.mouth = None;
            return;
        };
        if self.mouth.as_ref().is_none_or(|m| !m.fits(codec, state.ptime_ms, rate)) {
            self.mouth = Mouth::new(codec, state.ptime_ms, rate);
        }
        let wanted = state.opus;
        self.mouth.iter_mut().for_each(|m| m.want(wanted));
    }

    /// How much its encoder may spend; see [`Mouth::spend`].
    pub fn spend(&mut self, complexity: u8) {
        self.mouth.iter_mut().for_each(|m| m.spend(complexity));
    }

    /// Whether what it says reaches those who may need an ear for it by its ear now, and by no relay.
    pub const fn speaks_by_ear(&self) -> bool {
        self.by_ear
    }

    /// Whether it can be made to say what an ear has heard.
    pub const fn has_mouth(&self) -> bool {
        self.mouth.is_some()
    }

    /// Says sound that is due at `due`; the packets that are full go to `send`, as they are and as they go over the wire.
    pub fn say(
        &mut self,
        due: Instant,
        rate: Rate,
        samples: &[i16],
        mut send: impl FnMut(SocketAddr, &[u8], Option<&[u8]>),
    ) {
        if self.dials() {
            return;
        }
        let generates = self.generates();
        let state = &self.setting.state;
        let to = self.latch.target().filter(|_| state.sending);
        let (Some(mouth), Some(format), Some(to)) = (&mut self.mouth, state.send, to) else { return };
        mouth.push(due, rate, samples);
        let mut payload = [0; PAYLOAD_MAX];
        let mut packet = [0; HEADER_LEN + PAYLOAD_MAX];
        while let Some(spoken) = mouth.next(&mut payload) {
            let clock_rate = format.codec.clock_rate();
            let sound = payload.get(..spoken.len).unwrap_or_default();
            if sound.is_empty() {
                continue;
            }
            let fields = match generates {
                true => self.stream.generated(spoken.due, spoken.duration, clock_rate, format.payload_type),
                false => self.stream.continued(spoken.due, spoken.duration, clock_rate, format.payload_type),
            };
            let (header, body) = packet.split_at_mut(HEADER_LEN);
            fields.write(header);
            for (to, from) in body.iter_mut().zip(sound) {
                *to = *from;
            }
            self.stream.count(sound.len());
            let packet = packet.get(..HEADER_LEN + sound.len()).unwrap_or_default();
            protection::seal(&mut self.protection, packet, |wire| send(to, packet, wire));
        }
    }

    /// Makes what is due at `due`, as far as it makes its packets itself; they go to `send` like those of [`Leg::say`]. Returns the end of a playing.
    pub fn generate(
        &mut self,
        due: Instant,
        mut send: impl FnMut(SocketAddr, &[u8], Option<&[u8]>),
    ) -> Option<(PlayId, bool)> {
        if self.dials() {
            self.send_digits(due, send);
            return None;
        }
        let samples = (self.ptime_steps() * 5 * u64::from(SAMPLE_RATE) / 1_000) as usize;
        let Setting { state, player, .. } = &mut *self.setting;
        // Before the negotiation a playing waits; while the peer holds, it goes on.
        let format = state.send.filter(|_| state.remote_rtp.is_some())?;
        let id = playing(state);
        if format.codec.rate().is_none() || !format.codec.is_g711() && self.mouth.is_none() {
            return id.filter(|_| player.end()).map(|id| (id, false));
        }
        let mut sound = [0; FRAME_MAX];
        let frame = sound.get_mut(..samples)?;
        let mut ended = None;
        if let Some(id) = id {
            match player.fill(frame) {
                Filled::Sound => {}
                Filled::End { played } => ended = Some((id, played)),
                Filled::Nothing => return None,
            }
        }
        let Some(to) = self.latch.target().filter(|_| state.sending && !matches!(ended, Some((_, false)))) else {
            return ended;
        };
        self.put(due, format, to, frame, &mut send);
        ended
    }
}
