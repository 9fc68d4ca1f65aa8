//! One media leg: what comes from a peer, what goes to it, and its account.

mod datagram;
mod dialing;
mod forwarding;
mod sound;

use super::bridge::Bridge;
use super::command::{Codec, Format, Hears, LegId, LegState, PlayId};
use super::digits::Dialer;
use super::ear::{Ear, Heard};
use super::latch::{Latch, Verdict};
use super::mouth::Mouth;
use super::player::Player;
use super::protection::{self, Protection};
use super::report::{NtpClock, Reports};
use super::source::Sources;
use super::stream::{Origin, Relayed, Stream};
use super::tap::Tapped;
use super::tones::{Found, Listening};
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::event::Quality;
use crate::rtp::packet::{Fields, Header};
use crate::rtp::rtcp::REPORT_LEN_MAX;
use crate::rtp::srtp::{OVERHEAD_MAX, Refused};
use crate::rtp::stats::{Arrival, G711, Reception, mos};
use crate::rtp::telephone_event::{self as telephone, Digit};
use std::net::SocketAddr;

/// Receive formats that are looked at; [`LegState::receive`] says so.
const FORMATS_MAX: usize = 8;
/// A digit whose end packets were lost is over when nothing of it came for so long (RFC 4733 §2.5.2.2: three intervals).
const DIGIT_PAUSE: Duration = Duration::from_millis(150);
/// A silence so long is worth being told: one-way audio. Phones that suppress silence send comfort noise more often.
const UNHEARD: Duration = Duration::from_secs(5);
/// Sound per packet that we make: 60 ms at 8 kHz.
const FRAME_MAX: usize = 480;
/// What a listener's packet and its playout buffer add to the way there, for the E-model, in milliseconds.
const PLAYOUT_MS: f32 = 40.0;
/// The packet alone, where the buffer's part has been measured.
const PACKET_MS: f32 = 20.0;

/// Room for a report, protected or not.
pub const REPORT_ROOM: usize = REPORT_LEN_MAX + OVERHEAD_MAX;

/// A leg's desired state, and the player and the protection that it asks for, made and freed on the control thread's side.
#[derive(Debug, Default)]
pub struct Setting {
    pub state: LegState,
    pub player: Player,
    /// Until the setting is in force: then the leg has it, where it is found without the setting.
    protection: Option<Box<Protection>>,
    /// Where digits are looked for among the sound.
    listening: Option<Box<Listening>>,
}

impl Setting {
    /// Derives the keys that the state brings with it.
    pub fn new(state: LegState, player: Player) -> Setting {
        let protection = state.srtp.as_deref().map(|keys| Box::new(Protection::new(keys)));
        let listening = Listening::new(state.tones, &state.receive);
        Setting { state, player, protection, listening }
    }
}

/// What a packet that was taken carries.
#[derive(Clone, Copy, Debug)]
pub enum Carried {
    Media(Codec),
    Event,
}

/// A packet that was taken, for whoever hears the leg.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    pub header: Header,
    pub carried: Carried,
    /// It is heard by the ear, where there is a mouth.
    by_ear: bool,
    relayed: Relayed,
    /// Of an event, and its clock in Hz.
    block: Option<telephone::Block>,
    event_clock: u32,
}

impl Taken {
    /// Of its timestamps, in Hz.
    pub const fn clock_rate(&self) -> u32 {
        self.relayed.clock_rate
    }
}

/// What a packet did; at most three events are told of one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Received {
    pub taken: Option<Taken>,
    pub latched: bool,
    pub refused: bool,
    pub digits: [Option<Digit>; 2],
    pub tones: Found,
    /// It waits with what the leg's peer said before; see [`Leg::release`].
    pub held: bool,
    /// The ear has woken, and is to be pulled from here on.
    pub pull_from: Option<Instant>,
}

/// See the module's documentation.
///
/// ```text
///              ┌ latch ─ payload type ─ reception (loss, jitter) ─ events (digits) ┬─► bridge ─► stream of each leg that hears it
///  peer ═ port ┤                                                                   └─► ear ──┐  (on the tick, where there is no bridge)
///              │                                                                             ▼
///              └ stream ◄─┬─ bridge ◄── the leg heard (relay; on receipt)        mouth of each leg that hears it
///                         ├─ mouth ◄── the ear of the leg heard, player, silence (on the tick)
///                         └─ player, silence, where G.711 is sent
/// ```
///
/// Decryption stands before the latch, encryption behind the stream ([`Protection`]); a mixer and taps take what ears give.
#[derive(Debug)]
pub struct Leg {
    pub id: LegId,
    setting: Box<Setting>,
    /// The setting's.
    protection: Option<Box<Protection>>,
    latch: Latch,
    sources: Sources,
    formats: [Option<Format>; FORMATS_MAX],
    reception: Reception,
    events: telephone::Receiver,
    /// Arrival of the latest packet of an event.
    event_at: Instant,
    stream: Stream,
    /// While somebody needs its sound, and the formats that are needed so: bit n is `formats[n]`.
    ear: Option<Box<Ear>>,
    heard_formats: u8,
    /// Its packets are decoded, not relayed, for those who have a mouth; for so many of a codec that could be relayed.
    by_ear: bool,
    lingered: u16,
    /// By the ears that it had before.
    heard_before: Heard,
    /// While its packets are made from sound that is not G.711's alone.
    mouth: Option<Box<Mouth>>,
    /// From the first digits on that it is to send.
    dialer: Option<Box<Dialer>>,
    reports: Reports,
    /// Where the peer's RTCP came from.
    rtcp_source: Option<SocketAddr>,
    origin: Origin,
    /// Clock rate of the latest media that came, in Hz.
    receive_rate: u32,
    receive_codec: Option<Codec>,
    /// When RTP last came, or began to be expected.
    heard_at: Instant,
    timeout_told: bool,
    /// Whether the silence since `heard_at` has been told.
    unheard_told: bool,
    refused: u64,
    /// Of them, those that the peer's key did not protect.
    unprotected: u64,
    /// And those that came again.
    replayed: u64,
    digits: u32,
    account: Box<Quality>,
}

impl Leg {
    /// A leg that nothing is known of yet. `account` is given back by [`Leg::close`].
    pub fn new(now: Instant, id: LegId, mut setting: Box<Setting>, account: Box<Quality>, rng: &mut Rng) -> Leg {
        Leg {
            id,
            protection: setting.protection.take(),
            setting,
            latch: Latch::default(),
            sources: Sources::default(),
            formats: [None; FORMATS_MAX],
            reception: Reception::default(),
            events: telephone::Receiver::default(),
            event_at: now,
            stream: Stream::new(rng),
            ear: None,
            heard_formats: 0,
            by_ear: false,
            lingered: 0,
            heard_before: Heard::default(),
            mouth: None,
            dialer: None,
            reports: Reports::new(now, rng),
            rtcp_source: None,
            origin: Origin { leg: id, run: 0 },
            receive_rate: 8_000,
            receive_codec: None,
            heard_at: now,
            timeout_told: false,
            unheard_told: false,
            refused: 0,
            unprotected: 0,
            replayed: 0,
            digits: 0,
            account,
        }
    }

    pub fn hears(&self) -> &Hears {
        &self.setting.state.hears
    }

    /// Who listens in, if anybody does and there is something to hear.
    #[inline]
    pub fn tapped(&self) -> Option<Tapped> {
        Some(Tapped { tap: self.setting.state.tap?, sent: self.setting.state.send? })
    }

    /// Who listens to its owner.
    #[inline]
    pub fn listened(&self) -> Option<Tapped> {
        Some(Tapped { tap: self.setting.state.listener?, sent: self.setting.state.send? })
    }

    /// Whether packets are made for it on the tick.
    pub fn generates(&self) -> bool {
        self.dials()
            || matches!(self.hears(), Hears::Silence | Hears::Play { .. } | Hears::Tone { .. } | Hears::Room(_))
    }

    /// Sound per packet that we make, in steps of 5 ms: 2 to 12.
    pub fn ptime_steps(&self) -> u64 {
        match self.setting.state.ptime_ms {
            // The packets of an event.
            _ if self.setting.state.dtmf_send.is_some() && self.dials() => 4,
            0 => 4,
            ms => u64::from(ms / 5).clamp(2, 12),
        }
    }

    /// Makes the desired state so, and returns the former one. A playing that both name goes on.
    pub fn set(&mut self, now: Instant, mut setting: Box<Setting>) -> Box<Setting> {
        let (old, new) = (&mut self.setting, &mut setting);
        if old.state.hears != new.state.hears {
            if playing(&old.state).is_some() && playing(&old.state) == playing(&new.state) {
                std::mem::swap(&mut old.player, &mut new.player);
            } else {
                self.stream.switch();
                self.mouth.iter_mut().for_each(|m| m.clear());
            }
        } else if playing(&old.state).is_some() {
            std::mem::swap(&mut old.player, &mut new.player);
        }
        std::mem::swap(&mut self.protection, &mut new.protection);
        if let Some(current) = &mut self.protection
            && !new.protection.as_mut().is_some_and(|before| current.follow(before))
        {
            self.stream.rename();
        }
        // What is no longer in force goes where the former setting goes.
        std::mem::swap(&mut old.protection, &mut new.protection);
        if let (Some(new), Some(old)) = (&mut new.listening, &mut old.listening) {
            new.follow(old);
        }
        if new.state.remote_rtp != old.state.remote_rtp {
            self.rtcp_source = None;
            self.stream.switch();
        }
        // What was not sent while on hold takes no sequence numbers: the peer would count it as lost.
        if new.state.sending && !old.state.sending {
            self.stream.switch();
        }
        if new.state.receiving && (!old.state.receiving || old.state.remote_rtp.is_none()) {
            self.heard_at = now;
            self.reception.resume();
            self.ear.iter_mut().for_each(|e| e.clear());
            self.origin.run = self.origin.run.wrapping_add(1);
        }
        if old.state.rtp_timeout != new.state.rtp_timeout {
            self.heard_at = now;
        }
        self.latch.set(now, new.state.remote_rtp, new.state.latch);
        for (i, slot) in self.formats.iter_mut().enumerate() {
            *slot = new.state.receive.get(i).copied();
        }
        std::mem::replace(&mut self.setting, setting)
    }

    /// The prompt of a playing has been read, or could not be.
    pub fn load(&mut self, id: PlayId, prompt: Option<std::sync::Arc<super::player::Prompt>>) {
        if playing(&self.setting.state) == Some(id) {
            self.setting.player.load(prompt);
        }
    }

    /// What came, decrypted in place if the leg has keys; an error if the peer's key does not protect it, which says whether it
    /// is the first such packet. One that came before is refused too, and nothing to tell: networks double packets.
    #[inline]
    pub fn open<'b>(&mut self, is_rtcp: bool, bytes: &'b mut [u8]) -> Result<&'b mut [u8], bool> {
        let Some(protection) = &mut self.protection else { return Ok(bytes) };
        protection.open(is_rtcp, bytes).map_err(|why| {
            self.refused += 1;
            if why == Refused::Replayed {
                self.replayed += 1;
                return false;
            }
            self.unprotected += 1;
            self.unprotected == 1
        })
    }

    /// Gives `send` an RTP packet as it goes out: a protected copy if the leg has keys. `None` if it cannot be protected.
    #[inline]
    pub fn seal<T>(&mut self, packet: &[u8], send: impl FnOnce(Option<&[u8]>) -> T) -> T {
        protection::seal(&mut self.protection, packet, send)
    }

    /// Takes a packet from the RTP port.
    #[inline]
    pub fn receive(&mut self, now: Instant, source: SocketAddr, bytes: &mut [u8]) -> Received {
        let mut received = Received::default();
        let known = Header::parse(bytes).ok().and_then(|h| Some((h, self.carried(h.payload_type)?)));
        let Some((header, carried)) = known else {
            self.refused += 1;
            return received;
        };
        match self.latch.judge(now, source) {
            Verdict::Accept => {}
            Verdict::Learned => received.latched = true,
            Verdict::Refuse { first } => {
                self.refused += 1;
                received.refused = first;
                return received;
            }
            Verdict::Early => {
                self.refused += 1;
                return received;
            }
        }
        if !self.setting.state.receiving {
            return received;
        }
        self.heard_at = now;
        if matches!(carried, Carried::Media(_)) && !self.sources.admit(now, header.ssrc) {
            self.refused += 1;
            return received;
        }
        match self.reception.packet(header.ssrc, header.sequence, header.payload_range().len()) {
            Arrival::Next | Arrival::Late => {}
            Arrival::First => {
                self.origin.run = self.origin.run.wrapping_add(1);
                received.digits[0] = self.events.restart();
            }
            Arrival::Duplicate | Arrival::Stray => return received,
        }
        if let Carried::Media(codec) = carried {
            received.tones = self.find_tones(now, codec, &header, bytes);
        }
        let (payload, mut block) = (header.payload(bytes), None);
        let duration = match carried {
            Carried::Media(codec) => {
                self.receive_rate = codec.clock_rate();
                self.receive_codec = codec.rate().map_or(self.receive_codec, |_| Some(codec));
                self.reception.timestamp(now, header.timestamp, self.receive_rate);
                if self.hold(now, codec, &header, bytes) {
                    received.held = true;
                    return received;
                }
                codec.duration(payload).max(1)
            }
            Carried::Event => {
                self.event_at = now;
                block = telephone::Block::parse(payload);
                received.digits[1] = block.and_then(|b| self.events.receive(header.timestamp, b));
                0
            }
        };
        self.digits += received.digits.iter().flatten().count() as u32;
        if self.is_sealed() {
            return received;
        }
        received.pull_from = self.listen(now, &header, carried, payload);
        let relayed = Relayed::new(self.origin, &header, duration, self.receive_rate);
        let event_clock = self.event_clock();
        received.taken = Some(Taken { header, carried, by_ear: self.by_ear, relayed, block, event_clock });
        received
    }

    #[inline]
    fn carried(&self, payload_type: u8) -> Option<Carried> {
        if self.setting.state.dtmf_receive == Some(payload_type) {
            return Some(Carried::Event);
        }
        let format = self.formats.iter().flatten().find(|f| f.payload_type == payload_type)?;
        Some(Carried::Media(format.codec))
    }

    /// Takes a packet that another leg (or this one, if it hears its echo) has taken, and says what becomes of it: the fields
    /// of its new header and where it goes, and by which bridge.
    #[inline]
    pub fn hear(&mut self, now: Instant, taken: &Taken) -> Option<(Fields, SocketAddr, Bridge)> {
        let state = &self.setting.state;
        let to = self.latch.target().filter(|_| state.sending && !self.dials())?;
        let (payload_type, bridge) = match taken.carried {
            Carried::Event => {
                let (block, clocks) = (taken.block?, (taken.event_clock, self.event_clock()));
                let (fields, duration) = self.stream.event(now, &taken.relayed, block, clocks, state.dtmf_send?)?;
                self.stream.count(taken.header.payload_range().len());
                let is_same = duration == block.duration;
                return Some((fields, to, if is_same { Bridge::Relay } else { Bridge::Lasting(duration) }));
            }
            Carried::Media(_) if taken.by_ear && self.mouth.is_some() => return None,
            Carried::Media(Codec::ComfortNoise) if !self.stream.is_generated() => {
                let noise = self.formats.iter().flatten().find(|f| f.codec == Codec::ComfortNoise)?;
                (noise.payload_type, Bridge::Relay)
            }
            Carried::Media(spoken) => {
                let format = state.send?;
                (format.payload_type, Bridge::between(spoken, format.codec)?)
            }
        };
        let fields = self.stream.relayed(now, &taken.relayed, payload_type)?;
        self.stream.count(taken.header.payload_range().len());
        Some((fields, to, bridge))
    }

    /// What is due whether packets come or not: a digit whose end was lost, and the peer's silence.
    pub fn look(&mut self, now: Instant) -> (Option<Digit>, bool) {
        let over = self.events.is_open() && now.since(self.event_at) >= DIGIT_PAUSE;
        let digit = if over { self.events.finish() } else { None };
        self.digits += u32::from(digit.is_some());
        let state = &self.setting.state;
        let silent = state.receiving
            && state.remote_rtp.is_some()
            && state.rtp_timeout.is_some_and(|limit| now.since(self.heard_at) >= limit);
        (digit, silent && !std::mem::replace(&mut self.timeout_told, silent))
    }

    /// Whether a silence of the peer has just become long enough to be told.
    pub fn falls_silent(&mut self, now: Instant) -> bool {
        let state = &self.setting.state;
        let counts = state.receiving && state.remote_rtp.is_some() && state.rtp_timeout.is_some();
        let silent = counts && now.since(self.heard_at) >= UNHEARD;
        !std::mem::replace(&mut self.unheard_told, silent) && silent
    }

    /// Takes RTCP from the peer; `own_port` is false where it came to the RTP port.
    pub fn receive_rtcp(&mut self, now: Instant, clock: NtpClock, source: SocketAddr, own_port: bool, bytes: &[u8]) {
        let is_peer = self.latch.target().is_some_and(|peer| peer.ip() == source.ip());
        if !is_peer || !self.reports.read(now, clock, &self.stream, bytes) {
            self.refused += 1;
            return;
        }
        if let Some((lost, mouth)) = self.reports.take_remote_share().zip(self.mouth.as_mut()) {
            mouth.expect_loss(lost);
        }
        if own_port && self.setting.state.latch {
            self.rtcp_source = Some(source);
        }
    }

    /// The report that is due, and where it goes.
    pub fn report<'b>(
        &mut self,
        now: Instant,
        clock: NtpClock,
        rng: &mut Rng,
        buffer: &'b mut [u8; REPORT_ROOM],
    ) -> Option<(SocketAddr, &'b [u8])> {
        if !self.reports.is_due(now) {
            return None;
        }
        self.reports.postpone(now, rng);
        let to = self.rtcp_target()?;
        Some((to, self.write_report(now, clock, false, buffer)?))
    }

    fn write_report<'b>(
        &mut self,
        now: Instant,
        clock: NtpClock,
        bye: bool,
        buffer: &'b mut [u8; REPORT_ROOM],
    ) -> Option<&'b [u8]> {
        let plain = buffer.first_chunk_mut()?;
        let reception = (&mut self.reception, self.receive_rate);
        let len = self.reports.write(now, clock, &self.stream, reception, bye, plain).len();
        let len = match &mut self.protection {
            None => len,
            Some(protection) => protection.seal_report(buffer, len)?,
        };
        buffer.get(..len)
    }

    /// RTCP goes by RTP's port on both sides (RFC 5761): one address was negotiated for both.
    pub fn is_multiplexed(&self) -> bool {
        let state = &self.setting.state;
        state.remote_rtcp.is_some() && state.remote_rtcp == state.remote_rtp
    }

    /// Where the peer's RTCP came from; else, behind a NAT, next to its RTP; else what was negotiated.
    fn rtcp_target(&self) -> Option<SocketAddr> {
        let state = &self.setting.state;
        if state.datagrams {
            return None;
        }
        if self.is_multiplexed() {
            return self.latch.target();
        }
        let next = |rtp: SocketAddr| rtp.port().checked_add(1).map(|port| SocketAddr::new(rtp.ip(), port));
        let negotiated = state.remote_rtp?;
        self.rtcp_source
            .or_else(|| self.latch.translated().and_then(next))
            .or(state.remote_rtcp)
            .or_else(|| next(negotiated))
            .filter(|to| !to.ip().is_unspecified() && to.port() > 0)
    }

    /// The leg's end: the last report with BYE, if it ever sent or received; its account; its setting, to be freed elsewhere.
    pub fn close<'b>(mut self, now: Instant, clock: NtpClock, buffer: &'b mut [u8; REPORT_ROOM]) -> Closed<'b> {
        let used = self.stream.packets() > 0 || self.reception.received() > 0;
        let to = self.rtcp_target().filter(|_| used);
        let bye = to.and_then(|to| Some((to, self.write_report(now, clock, true, buffer)?)));
        *self.account = self.quality();
        self.setting.protection = self.protection.take();
        Closed { bye, account: self.account, setting: self.setting }
    }

    fn quality(&self) -> Quality {
        let (reception, reports) = (&self.reception, &self.reports);
        let (jitter_ms, jitter_ms_max) = reception.jitter_ms();
        let (received, lost) = (reception.received(), reception.lost());
        let round_trip_ms = reports.round_trip_ms();
        let heard = self.heard();
        let (buffer_ms, buffer_ms_max) = heard.delay_ms().unzip();
        // What an ear measured; else what a listener's buffer is likely to be.
        let playout_ms = buffer_ms.map_or(2.0 * jitter_ms + PLAYOUT_MS, |ms| ms + PACKET_MS);
        let delay_ms = round_trip_ms.unwrap_or(0.0) / 2.0 + playout_ms;
        // Packets that come too late are lost to who listens.
        let loss = lost as f32 / (received + lost).max(1) as f32;
        let loss = heard.lost_share().map_or(loss, |share| share.max(loss));
        let impairment = self.receive_codec.map_or(G711, Codec::impairment);
        Quality {
            packets_received: received,
            bytes_received: reception.bytes(),
            packets_sent: self.stream.packets(),
            bytes_sent: self.stream.octets(),
            packets_lost: lost,
            packets_duplicate: reception.duplicates(),
            packets_reordered: reception.late(),
            packets_refused: self.refused,
            packets_unprotected: self.unprotected,
            packets_replayed: self.replayed,
            jitter_ms,
            jitter_ms_max,
            concealed: heard.concealed_share(),
            clipped: heard.clipped_share(),
            packets_late: heard.late,
            packets_overflow: heard.overflow,
            buffer_ms,
            buffer_ms_max,
            remote_lost: reports.remote_lost(),
            remote_jitter_ms: reports.remote_jitter_ms(),
            round_trip_ms,
            mos: (received > 0).then(|| mos(impairment, loss, delay_ms)),
            digits: self.digits,
        }
    }
}

/// What a closed leg leaves.
pub struct Closed<'b> {
    pub bye: Option<(SocketAddr, &'b [u8])>,
    pub account: Box<Quality>,
    pub setting: Box<Setting>,
}

/// The playing that a state asks for.
pub const fn playing(state: &LegState) -> Option<PlayId> {
    match &state.hears {
        Hears::Play { id, .. } | Hears::Tone { id, .. } => Some(*id),
        Hears::Nothing | Hears::Silence | Hears::Leg(_) | Hears::Echo | Hears::Room(_) => None,
    }
}
