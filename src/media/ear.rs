//! What a leg says, as sound: its packets in order and in time, decoded, with what is missing made up.
//!
//! ```text
//!  packet ─► jitter ─► decoder (G.711, G.722, Opus) ─► concealer ─► queue ─► one frame a pull, every 20 ms
//!                          comfort noise ──────────────────┘
//! ```

#[cfg(test)]
mod tests;

use super::command::{Codec, Format};
use super::frame::{FRAME_SAMPLES_MAX, Frame, Kind, Rate, Source};
use super::jitter::{Advice, Jitter, Packet, Take};
use crate::base::time::{Duration, Instant};
use codecs::cache::fetch;
use codecs::level;
use codecs::resample::{Interpolator, Ratio};
use codecs::{cng, g711, g722, opus, plc};

impl std::fmt::Debug for Ear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ear({:?}, {:?})", self.rate, self.heard)
    }
}

/// Longest payload that is decoded.
const PAYLOAD_MAX: usize = 1_500;
/// 120 ms, the longest packet, behind two frames that wait for it.
const QUEUE: usize = 6 * FRAME_SAMPLES_MAX + 2 * FRAME_SAMPLES_MAX;
/// Pulls that a change of the delay waits for a quiet moment: 100 ms and 1 s.
const INSERT_PATIENCE: u32 = 5;
const REMOVE_PATIENCE: u32 = 50;
/// Pulls that show what always waits: more than any pattern of packets against pulls has.
const RESIDUE_PULLS: u32 = 8;
/// Comfort noise goes on for so long after its last description.
const NOISE_MAX: Duration = Duration::from_secs(300);
/// A frame is quiet whose samples stay below −42 dBov.
const QUIET: u16 = 260;

/// What was counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Heard {
    /// Samples given, and those of them that were made up for lost or late packets.
    pub samples: u64,
    pub concealed: u64,
    /// Of these, what was put in to wait longer: nothing was lost there.
    pub inserted: u64,
    /// Samples that are cut off at either rail.
    pub clipped: u64,
    /// Packets that came after their time, and that were skipped as too many waited.
    pub late: u64,
    pub overflow: u64,
    /// How long the fastest packets wait, in microseconds: now, at most, and their sum over `pulls`.
    pub delay_us: u64,
    pub delay_us_max: u64,
    pub delay_us_sum: u64,
    pub pulls: u64,
}

impl Heard {
    /// Of this ear and of those that the leg had before it.
    pub fn and(self, before: Heard) -> Heard {
        Heard {
            samples: self.samples + before.samples,
            concealed: self.concealed + before.concealed,
            inserted: self.inserted + before.inserted,
            clipped: self.clipped + before.clipped,
            late: self.late + before.late,
            overflow: self.overflow + before.overflow,
            delay_us: self.delay_us,
            delay_us_max: self.delay_us_max.max(before.delay_us_max),
            delay_us_sum: self.delay_us_sum + before.delay_us_sum,
            pulls: self.pulls + before.pulls,
        }
    }

    /// Share of the sound that was made up, 0 to 1; `None` where nothing was heard.
    pub fn concealed_share(&self) -> Option<f32> {
        (self.samples > 0).then(|| self.concealed as f32 / self.samples as f32)
    }

    /// Share of the sound that was lost or too late, 0 to 1; `None` where nothing was heard.
    pub fn lost_share(&self) -> Option<f32> {
        (self.samples > 0).then(|| self.concealed.saturating_sub(self.inserted) as f32 / self.samples as f32)
    }

    /// Share of the sound that was cut off, 0 to 1; `None` where nothing was heard.
    pub fn clipped_share(&self) -> Option<f32> {
        (self.samples > 0).then(|| self.clipped as f32 / self.samples as f32)
    }

    /// How long packets waited in milliseconds: mean and maximum.
    pub fn delay_ms(&self) -> Option<(f32, f32)> {
        let mean_us = self.delay_us_sum.checked_div(self.pulls)?;
        Some((mean_us as f32 / 1_000.0, self.delay_us_max as f32 / 1_000.0))
    }
}

/// See the module's documentation.
pub struct Ear {
    rate: Rate,
    jitter: Jitter,
    g722: g722::Decoder,
    /// Where it may come.
    opus: Option<opus::Decoder>,
    concealer: plc::Concealer,
    noise: cng::Generator,
    /// The sender is silent, and said how its silence sounds.
    in_noise: bool,
    /// Where narrow-band codecs may come between others.
    up: Option<Box<Interpolator>>,
    queue: [i16; QUEUE],
    queued: usize,
    source: Option<Source>,
    kind: Kind,
    quiet: bool,
    /// The least that was left by the last pulls, and how many these were.
    residue: usize,
    seen: u32,
    /// Pulls since a change of the delay was advised.
    waited: u32,
    /// Made up while nothing was there: lost, late or never sent.
    unsure: u64,
    heard: Heard,
}

impl Ear {
    /// An ear for what a leg may say; `wanted` is the rate that listeners have a use for. Allocates what its decoders need,
    /// here and nowhere else.
    pub fn new(receive: &[Format], wanted: Rate, seed: u32) -> Box<Ear> {
        let rate = rate_of(receive, wanted);
        let has_opus = receive.iter().any(|f| f.codec == Codec::Opus);
        Box::new(Ear {
            rate,
            jitter: Jitter::new(),
            g722: g722::Decoder::new(),
            opus: has_opus.then(|| opus::Decoder::new(rate.of_opus())),
            concealer: if rate == Rate::Wide { plc::Concealer::wide() } else { plc::Concealer::new() },
            noise: cng::Generator::new(seed),
            in_noise: false,
            up: (rate == Rate::Wide && has_narrow(receive)).then(|| Box::new(Interpolator::new(Ratio::Two))),
            queue: [0; QUEUE],
            queued: 0,
            source: None,
            kind: Kind::Silent,
            quiet: true,
            residue: usize::MAX,
            seen: 0,
            waited: 0,
            unsure: 0,
            heard: Heard::default(),
        })
    }

    /// Of every frame that it gives.
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Whether it is the ear that [`Ear::new`] would make.
    pub fn fits(&self, receive: &[Format], wanted: Rate) -> bool {
        let up = self.rate == Rate::Wide && has_narrow(receive);
        self.rate == rate_of(receive, wanted)
            && self.up.is_some() == up
            && self.opus.is_some() == receive.iter().any(|f| f.codec == Codec::Opus)
    }

    /// Takes a packet as it comes. The first after silence is answered by the moment from which the ear is to be pulled, so that
    /// packets wait as they have to and not for the next pull.
    pub fn put(&mut self, now: Instant, packet: &Packet<'_>) -> Option<Instant> {
        let was_idle = self.jitter.is_idle();
        self.jitter.put(now, packet);
        self.jitter.begins().filter(|_| was_idle)
    }

    /// A packet is about to be put.
    #[inline]
    pub fn foresee_packet(&self) {
        self.jitter.foresee_put();
    }

    /// A frame is about to be pulled.
    #[inline]
    pub fn foresee_pull(&self) {
        self.jitter.foresee_pull();
        self.concealer.foresee();
        fetch(&self.queued);
        fetch(&self.kind);
        fetch(&self.heard);
    }

    /// The same, a while after [`Ear::foresee_pull`]: what that has fetched says where the next packet lies.
    #[inline]
    pub fn foresee_take(&self) {
        self.jitter.foresee_take();
    }

    /// Nothing has come for a while.
    pub fn is_idle(&self) -> bool {
        self.jitter.is_idle()
    }

    /// The latest frame was a pause.
    pub const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.jitter.clear();
        (self.queued, self.residue, self.seen, self.quiet) = (0, usize::MAX, 0, true);
    }

    /// The frame that is due at `due`. `false` and silence while nobody speaks.
    pub fn pull(&mut self, due: Instant, frame: &mut Frame) -> bool {
        *frame = Frame::silent(self.rate);
        // Who has described the silence means it to go on: a peer that hears nothing at all would give the call up.
        let begun = if self.in_noise { self.jitter.begin_within(due, NOISE_MAX) } else { self.jitter.begin(due) };
        if !begun {
            (self.queued, self.seen, self.quiet, self.in_noise) = (0, 0, true, false);
            self.residue = usize::MAX;
            return false;
        }
        let wanted = self.rate.frame();
        let insert = match self.jitter.advice() {
            Advice::Keep => {
                self.waited = 0;
                false
            }
            advice => self.adjust(advice),
        };
        self.kind = Kind::Silent;
        self.trim();
        if insert {
            // After what waits, so that it goes on from there.
            let inserted = self.append_made_up(wanted) as u64;
            self.heard.concealed += inserted;
            self.heard.inserted += inserted;
        }
        self.fill(wanted);
        self.give(frame);
        (self.residue, self.seen) = (self.residue.min(self.queued), self.seen + 1);
        (frame.kind, frame.source) = (self.kind, self.source);
        let peak = level::peak(frame.samples());
        self.quiet = peak < QUIET;
        if peak >= level::RAIL {
            self.heard.clipped += level::clipped(frame.samples()) as u64;
        }
        self.jitter.done(due, self.queued as i64 * self.rate.ticks(), self.quiet);
        self.count();
        true
    }

    /// The frame that was due at `due` is not wanted, as its time has passed.
    pub fn skip(&mut self, due: Instant) {
        if !self.jitter.begin(due) {
            return;
        }
        let dropped = self.rate.frame().min(self.queued);
        self.drop_front(dropped);
        self.jitter.pass((self.rate.frame() - dropped) as i64 * self.rate.ticks());
        self.jitter.done(due, self.queued as i64 * self.rate.ticks(), self.quiet);
    }

    /// Changes the delay, if now is the moment. `true` if this frame is to be made up.
    fn adjust(&mut self, advice: Advice) -> bool {
        self.waited += 1;
        let quiet = self.quiet || self.in_noise;
        match advice {
            Advice::Insert if quiet || !self.jitter.has_next() || self.waited > INSERT_PATIENCE => {
                self.jitter.adjusted(advice);
                true
            }
            Advice::Remove if quiet || self.waited > REMOVE_PATIENCE => {
                self.fill(2 * self.rate.frame());
                self.cut();
                self.jitter.adjusted(advice);
                self.waited = 0;
                false
            }
            _ => false,
        }
    }

    /// Takes up to a frame out of what waits, where the sound is most like that before it, and blends the seam. What is less
    /// than a frame stays as delay until a pause.
    fn cut(&mut self) {
        let (frame, seam) = (self.rate.frame(), self.rate.frame() / 4);
        let all = frame + if self.seen > 0 { self.residue.min(frame / 2) } else { 0 };
        let (from, to) = self.queue.split_at_mut(seam);
        let likeness = |lag: usize| {
            let later = to.get(lag - seam..).unwrap_or_default();
            let pairs = from.iter().zip(later).map(|(a, b)| (f32::from(*a), f32::from(*b)));
            let (product, energy) = pairs.fold((0.0, 1.0), |(p, e), (a, b)| (p + a * b, e + b * b));
            product / energy.sqrt()
        };
        // At most half a frame may be left.
        let lags = all - frame / 2..=all.min(frame * 3 / 2);
        let best = lags.map(|lag| (likeness(lag), lag)).max_by(|a, b| a.0.total_cmp(&b.0));
        let lag = best.filter(|_| !self.quiet).map_or(frame, |b| b.1);
        for (n, (early, late)) in from.iter().zip(to.iter_mut().skip(lag - seam)).enumerate() {
            let share = (n + 1) as f32 / (seam + 1) as f32;
            *late = (f32::from(*early) + (f32::from(*late) - f32::from(*early)) * share) as i16;
        }
        (self.residue, self.seen) = (usize::MAX, 0);
        self.drop_front(lag);
    }

    /// Takes out in a pause what waits at every pull, and so for nothing.
    fn trim(&mut self) {
        if self.seen < RESIDUE_PULLS || !self.quiet {
            return;
        }
        self.drop_front(self.residue.min(self.queued));
        (self.residue, self.seen) = (usize::MAX, 0);
    }

    /// Decodes or makes up until so many samples wait.
    fn fill(&mut self, wanted: usize) {
        let mut payload = [0; PAYLOAD_MAX];
        while self.queued < wanted {
            let ticks = self.rate.ticks();
            match self.jitter.take(&mut payload) {
                Take::Packet { codec, len, skip, follows, sequence } => {
                    let payload = payload.get(..len).unwrap_or_default();
                    self.settle(follows && skip == 0);
                    self.decode(codec, payload, usize::try_from(skip / ticks).unwrap_or(0));
                    self.source = Some(Source { codec, sequence });
                }
                Take::Gap { ticks: gap, lost } => {
                    self.settle(!lost);
                    let next = self.jitter.peek(&mut payload).filter(|n| lost && n.0 == Codec::Opus);
                    let samples = match next {
                        Some((_, duration, len)) if gap <= duration => {
                            self.recover(payload.get(..len).unwrap_or_default(), gap)
                        }
                        Some((_, duration, _)) => {
                            self.append_made_up(self.samples(gap - duration).min(wanted - self.queued))
                        }
                        None => self.append_made_up(self.samples(gap).min(wanted - self.queued)),
                    };
                    self.heard.concealed += if lost { samples as u64 } else { 0 };
                    self.jitter.pass(samples as i64 * ticks);
                }
                Take::Empty => {
                    let samples = self.append_made_up(wanted - self.queued);
                    self.unsure += samples as u64;
                    self.jitter.pass(samples as i64 * ticks);
                }
            }
        }
    }

    /// What was made up while nothing was there was a pause of the sender's, or loss.
    fn settle(&mut self, paused: bool) {
        let unsure = std::mem::take(&mut self.unsure);
        self.heard.concealed += if paused || self.in_noise { 0 } else { unsure };
    }

    fn decode(&mut self, codec: Codec, payload: &[u8], skip: usize) {
        let Ear { queue, queued, up, .. } = self;
        let free = queue.get_mut(*queued..).unwrap_or_default();
        let written = match codec {
            Codec::Pcmu => narrow(up, payload, free, g711::ulaw_decode_slice),
            Codec::Pcma => narrow(up, payload, free, g711::alaw_decode_slice),
            Codec::G722 => self.g722.decode(payload, free),
            Codec::Opus => self.opus.as_mut().map_or(0, |opus| opus.decode(Some(payload), free).unwrap_or(0)),
            Codec::ComfortNoise => {
                self.noise.update(payload);
                self.in_noise = true;
                return;
            }
            Codec::Opaque { .. } => 0,
        };
        // What is past is dropped first: the seam is where the rest begins.
        let skip = skip.min(written);
        free.copy_within(skip..written, 0);
        let sound = free.get_mut(..written - skip).unwrap_or_default();
        self.in_noise = false;
        self.kind = Kind::Speech;
        match self.source {
            Some(before) if before.codec != codec && before.codec.rate().is_some() => self.concealer.joined(sound),
            _ => self.concealer.good(sound),
        }
        self.queued += written - skip;
    }

    fn samples(&self, ticks: i64) -> usize {
        usize::try_from(ticks / self.rate.ticks()).unwrap_or(0).max(1)
    }

    /// What was lost before `next`, from the copy in it; how many samples that is.
    fn recover(&mut self, next: &[u8], gap: i64) -> usize {
        let (from, samples) = (self.queued, self.samples(gap));
        let place = self.queue.get_mut(from..(from + whole(samples, self.rate)).min(QUEUE));
        let recovered = self.opus.as_mut().zip(place).and_then(|(opus, place)| opus.decode_fec(next, place).ok());
        match recovered {
            Some(written) => {
                let samples = samples.min(written);
                self.queued += samples;
                self.kind = self.kind.max(Kind::Concealed);
                samples
            }
            None => self.append_made_up(samples.min(self.rate.frame())),
        }
    }

    /// Returns how many samples were made up: as many as there is room for.
    fn append_made_up(&mut self, samples: usize) -> usize {
        let mut made_up = [0; 2 * FRAME_SAMPLES_MAX];
        let samples = samples.min(made_up.len()).min(QUEUE - self.queued);
        let to = self.queued + samples;
        self.conceal(&mut made_up, samples);
        for (to, from) in self.queue.iter_mut().take(to).skip(self.queued).zip(made_up) {
            *to = from;
        }
        self.queued = to;
        samples
    }

    /// Makes up so many samples at the begin of `sound`.
    fn conceal(&mut self, sound: &mut [i16; 2 * FRAME_SAMPLES_MAX], samples: usize) {
        let kind = if self.in_noise { Kind::Noise } else { Kind::Concealed };
        self.kind = self.kind.max(kind);
        if let (false, Some(Source { codec: Codec::Opus, .. }), Some(opus)) =
            (self.in_noise, self.source, &mut self.opus)
        {
            let sound = sound.get_mut(..whole(samples, self.rate)).unwrap_or_default();
            // It cannot fail for a length that Opus has.
            let _ = opus.decode(None, sound);
            return;
        }
        let sound = sound.get_mut(..samples).unwrap_or_default();
        if self.in_noise {
            self.noise.generate(sound);
            self.concealer.good(sound);
        } else {
            self.concealer.lost(sound);
        }
    }

    fn give(&mut self, frame: &mut Frame) {
        let sound = frame.samples_mut();
        let len = sound.len();
        sound.copy_from_slice(self.queue.get(..len).unwrap_or_default());
        self.drop_front(len);
    }

    fn drop_front(&mut self, samples: usize) {
        let samples = samples.min(self.queued);
        self.queue.copy_within(samples..self.queued, 0);
        self.queued -= samples;
    }

    fn count(&mut self) {
        let delay_us = self.jitter.delay_us() as u64;
        self.heard.samples += self.rate.frame() as u64;
        self.heard.delay_us = delay_us;
        self.heard.delay_us_max = self.heard.delay_us_max.max(delay_us);
        self.heard.delay_us_sum += delay_us;
        self.heard.pulls += 1;
    }

    pub fn heard(&self) -> Heard {
        let counts = self.jitter.counts();
        Heard { late: counts.late, overflow: counts.overflow, ..self.heard }
    }
}

/// Decodes G.711, and doubles its rate where the ear is wide.
fn narrow(
    up: &mut Option<Box<Interpolator>>,
    payload: &[u8],
    free: &mut [i16],
    decode: fn(&[u8], &mut [i16]) -> usize,
) -> usize {
    let Some(up) = up else { return decode(payload, free) };
    let mut sound = [0; 6 * FRAME_SAMPLES_MAX / 2];
    let written = decode(payload, &mut sound);
    up.process(sound.get(..written).unwrap_or_default(), free)
}

/// So many samples and what is missing to a whole 2.5 ms, of which Opus conceals.
fn whole(samples: usize, rate: Rate) -> usize {
    samples.next_multiple_of(rate.hz() as usize / 400)
}

fn has_narrow(receive: &[Format]) -> bool {
    receive.iter().any(|f| f.codec.rate() == Some(Rate::Narrow))
}

/// The widest of what may come; Opus is decoded at the rate that is wanted.
fn rate_of(receive: &[Format], wanted: Rate) -> Rate {
    let rates = receive.iter().filter_map(|f| if f.codec == Codec::Opus { Some(wanted) } else { f.codec.rate() });
    rates.max().unwrap_or_default()
}
