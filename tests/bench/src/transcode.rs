//! G.711 on one side, Opus on the other, both talking: what a decoder and an encoder each way cost, and how much later the sound
//! comes out than it went in.

use std::collections::HashMap;
use std::f64::consts::TAU;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use codecs::g711;
use codecs::opus::{Decoder, Encoder, FRAME_OCTETS_MAX, Rate};
use interop::scratch::Scratch;
use serde_json::{Map, Value, json};

use crate::endpoints::Endpoints;
use crate::media::start_rtpengine;
use crate::message::{sdp, sdp_of_opus};
use crate::signalling::round;
use crate::socket::{Socket, let_gather, monotonic_ns, now_ns, sleep_exactly, sleep_until_ns};
use crate::subject::{Kind, Places, Subject};
use crate::usage::cpu_ns;
use crate::{Choice, say};

const CALLS: usize = 30;
/// Calls whose parties beep instead of talking, so that the beeps' beginnings can be timed.
const BEEPING: usize = 4;
const SECONDS: usize = 20;
/// Not counted: jitter buffers find their depth.
const SETTLE_SECONDS: usize = 3;
const FRAME: usize = 160;
const FRAME_NS: u64 = 20_000_000;
/// Frames from one beep to the next. Not a multiple of anything that a jitter buffer does.
const BEEP_FRAMES: usize = 37;
/// What our own endpoint says.
const OPUS: u8 = 111;

pub fn transcode(choice: &Choice) -> Value {
    let mut found = Map::new();
    let places = Places::free();
    let sockets = places.media.map(|a| Socket::bind(a).unwrap_or_else(|e| panic!("{a}: {e}")));
    if choice.subject("tandem") {
        let scratch = Scratch::new("bench-transcode-tandem");
        let subject = Subject::start(Kind::TandemAnchored, scratch.path(), places, 2 * CALLS as u16 + 20, None);
        let mut calls = Endpoints::new(subject.address(), places.caller, places.callee, places.media);
        calls.describes = [sdp, sdp_of_opus];
        calls.run(CALLS, 50.0, None);
        let media = calls.media();
        assert_eq!(media.len(), CALLS, "calls are up: {:?}", calls.tally.complaint);
        found.insert("tandem".to_owned(), measure("tandem", &sockets, (&media, OPUS), subject.pid()));
        calls.hang_up_all(100.0);
    }
    if choice.subject("peers") {
        let scratch = Scratch::new("bench-transcode-rtpengine");
        let mut engine = start_rtpengine(scratch.path(), 4 * CALLS as u16 + 40);
        let (media, numbers): (Vec<_>, Vec<u8>) = (0..CALLS).map(|call| engine.transcode(call, places.media)).unzip();
        let pid = engine.process.pid();
        found.insert("rtpengine".to_owned(), measure("rtpengine", &sockets, (&media, numbers[0]), pid));
    }
    Value::Object(found)
}

/// Ten seconds of a voice: gliding pitch, harmonics, syllables without pauses; or beeps of 100 ms in silence.
fn sound(beeping: bool) -> Vec<i16> {
    let mut phase = 0.0;
    let sample = |n: usize| {
        let t = n as f64 / 8000.0;
        if beeping {
            let within = n % (BEEP_FRAMES * FRAME);
            return if within < 800 { (12_000.0 * (TAU * 1000.0 * t).sin()) as i16 } else { 0 };
        }
        phase += TAU * (170.0 + 40.0 * (t * 7.0).sin()) / 8000.0;
        let wave: f64 = (1..16).map(|k| (f64::from(k) * phase).sin() / f64::from(k)).sum();
        (4500.0 * wave * (0.6 + 0.4 * (TAU * 4.0 * t).sin())) as i16
    };
    (0..BEEP_FRAMES * FRAME * 14).map(sample).collect()
}

/// RTP payloads of a sound, 20 ms each.
fn payloads(samples: &[i16], opus: bool) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(Rate::Hz8000);
    let frames = samples.chunks_exact(FRAME);
    let encode = |frame: &[i16]| {
        let mut payload = vec![0; if opus { FRAME_OCTETS_MAX } else { FRAME }];
        let length = match opus {
            true => encoder.encode(frame, &mut payload).expect("20 ms are encoded"),
            false => g711::ulaw_encode_slice(frame, &mut payload),
        };
        payload.truncate(length);
        payload
    };
    frames.map(encode).collect()
}

/// Payloads by whether they beep, and whether they are Opus.
type Voices = [[Vec<Vec<u8>>; 2]; 2];

/// One direction of a call: from which socket, to which port of the subject, and from which port its other side's sound will come.
struct Stream {
    side: usize,
    payload_type: u8,
    target: SocketAddr,
    heard_from: SocketAddr,
    beeps: bool,
}

#[derive(Default)]
struct Heard {
    /// When each packet came.
    at: Vec<u64>,
    /// Numbers left out.
    gaps: u64,
    sequence: Option<u16>,
    /// Moments of receipt and payloads, of beeping calls only.
    sound: Vec<(u64, Vec<u8>)>,
}

fn measure(name: &str, sockets: &[Socket; 2], (media, opus): (&[[SocketAddr; 2]], u8), pid: u32) -> Value {
    let stream = |(call, ends): (usize, &[SocketAddr; 2])| {
        [0, 1].map(|side| Stream {
            side,
            payload_type: [0, opus][side],
            target: ends[side],
            heard_from: ends[1 - side],
            beeps: call < BEEPING,
        })
    };
    let streams: Vec<Stream> = media.iter().enumerate().flat_map(stream).collect();
    let voices: Voices = [false, true].map(|beeps| [false, true].map(|opus| payloads(&sound(beeps), opus)));
    let stop = AtomicBool::new(false);
    let (heard, beeps, cpu, window) = thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(sockets, &streams, &stop));
        sleep_exactly();
        send(sockets, &streams, &voices, 0..SETTLE_SECONDS * 50);
        let (before, begin) = (cpu_ns(pid), now_ns());
        let beeps = send(sockets, &streams, &voices, SETTLE_SECONDS * 50..(SETTLE_SECONDS + SECONDS) * 50);
        let (cpu, window) = (cpu_ns(pid) - before, begin..now_ns());
        thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
        (receiver.join().expect("the receiver does not panic"), beeps, cpu, window)
    });
    let cpu_ms = cpu as f64 / 1e6 / (media.len() * SECONDS) as f64;
    let sent = streams.len() * SECONDS * 50;
    // While the last ones were sent; what comes later is what the subject makes of silence.
    let received = heard.values().flat_map(|h| &h.at).filter(|at| window.contains(at)).count();
    let gaps: u64 = heard.values().map(|h| h.gaps).sum();
    let delays = [0, 1].map(|side| delay_ms(&streams, side, &heard, &beeps));
    let (to_opus, to_g711) = (delays[0].0, delays[1].0);
    say(
        name,
        &format!(
            "{cpu_ms:.2} CPU-ms a call-second; delay p50 {to_opus:.1} ms to Opus, {to_g711:.1} ms to G.711; {gaps} gaps, \
             {received} packets for {sent}"
        ),
    );
    json!({ "calls": media.len(), "cpu_ms_per_call_second": round(cpu_ms, 3), "sent": sent, "received": received,
            "gaps": gaps, "to_opus_p50_ms": round(to_opus, 2), "to_g711_p50_ms": round(to_g711, 2),
            "beeps_timed": delays[0].1 + delays[1].1 })
}

/// Sends frames of every stream, evenly spread; returns when each frame was sent, by stream.
fn send(
    sockets: &[Socket; 2],
    streams: &[Stream],
    voices: &Voices,
    frames: std::ops::Range<usize>,
) -> HashMap<(usize, usize), u64> {
    let begin = monotonic_ns() + 1_000_000;
    let space = FRAME_NS / streams.len() as u64;
    let mut beeps = HashMap::new();
    let mut packet = Vec::with_capacity(FRAME_OCTETS_MAX + 12);
    let first = frames.start;
    for frame in frames {
        for (index, stream) in streams.iter().enumerate() {
            sleep_until_ns(begin + (frame - first) as u64 * FRAME_NS + index as u64 * space);
            let opus = stream.side == 1;
            let voice = &voices[usize::from(stream.beeps)][usize::from(opus)];
            let clock = if opus { 960 } else { 160 };
            packet.clear();
            packet.extend([0x80, stream.payload_type]);
            packet.extend((frame as u16).to_be_bytes());
            packet.extend((frame as u32 * clock).to_be_bytes());
            packet.extend((0x2000 + index as u32).to_be_bytes());
            packet.extend(&voice[frame % voice.len()]);
            if stream.beeps && frame % BEEP_FRAMES == 0 {
                beeps.insert((index, frame), now_ns());
            }
            sockets[stream.side].send(&packet, stream.target);
        }
    }
    beeps
}

/// What came, by the subject's port that sent it.
fn receive(sockets: &[Socket; 2], streams: &[Stream], stop: &AtomicBool) -> HashMap<SocketAddr, Heard> {
    let mut heard: HashMap<SocketAddr, Heard> = HashMap::new();
    let beeping: Vec<SocketAddr> = streams.iter().filter(|s| s.beeps).map(|s| s.heard_from).collect();
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let_gather();
        for socket in sockets {
            while let Some((length, source, stamp)) = socket.receive(&mut buffer) {
                // RTCP comes from other ports.
                let source = SocketAddr::from(source);
                if length <= 12 || !matches!(buffer[1] & 0x7f, 0 | 96..=127) {
                    continue;
                }
                let known = heard.entry(source).or_default();
                let sequence = u16::from_be_bytes([buffer[2], buffer[3]]);
                if let Some(last) = known.sequence {
                    let step = sequence.wrapping_sub(last);
                    known.gaps += if step < 1000 { u64::from(step).saturating_sub(1) } else { 0 };
                }
                known.sequence = Some(sequence);
                known.at.push(stamp);
                if beeping.contains(&source) {
                    known.sound.push((stamp, buffer[12..length].to_vec()));
                }
            }
        }
    }
    heard
}

/// Median of how long after its first sample was sent a beep's first sample was received, of the streams that `side` sends;
/// and how many beeps were timed. Both moments are the packet's plus the sample's place in it; the codecs' own delay is in it.
fn delay_ms(
    streams: &[Stream],
    side: usize,
    heard: &HashMap<SocketAddr, Heard>,
    beeps: &HashMap<(usize, usize), u64>,
) -> (f64, usize) {
    let mut delays = Vec::new();
    for (index, stream) in streams.iter().enumerate().filter(|(_, s)| s.beeps && s.side == side) {
        let Some(heard) = heard.get(&stream.heard_from) else { continue };
        let begins = onsets(&heard.sound, side == 0);
        for (_, &sent) in beeps.iter().filter(|((of, _), _)| *of == index) {
            // The next beep is 740 ms away.
            let next = begins.iter().find(|&&at| at >= sent).map(|at| at - sent);
            delays.extend(next.filter(|&delay| delay < 400_000_000));
        }
    }
    delays.sort_unstable();
    let median = delays.get(delays.len() / 2).map_or(f64::NAN, |ns| *ns as f64 / 1e6);
    (median, delays.len())
}

/// Moments at which sound begins after 200 ms of near silence.
fn onsets(packets: &[(u64, Vec<u8>)], opus: bool) -> Vec<u64> {
    let (mut decoder, mut samples) = (Decoder::new(Rate::Hz8000), vec![0; Rate::Hz8000.packet_samples_max()]);
    let (mut found, mut quiet) = (Vec::new(), 0);
    for (at, payload) in packets {
        let length = match opus {
            true => decoder.decode(Some(payload), &mut samples).unwrap_or(0),
            false => g711::ulaw_decode_slice(payload, &mut samples),
        };
        for (n, sample) in samples[..length].iter().enumerate() {
            if sample.unsigned_abs() < 3000 {
                quiet += 1;
                continue;
            }
            if quiet > 1600 {
                found.push(at + n as u64 * 125_000);
            }
            quiet = 0;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beep_is_heard_where_it_begins() {
        for opus in [false, true] {
            let packets = payloads(&sound(true), opus);
            let stamped: Vec<_> = packets.into_iter().enumerate().map(|(n, p)| (n as u64 * FRAME_NS, p)).collect();
            let found = onsets(&stamped, opus);
            // All but the first, which no silence precedes.
            assert_eq!(found.len(), 13, "opus {opus}");
            for (n, at) in found.iter().enumerate() {
                let late = *at as i64 - ((n + 1) * BEEP_FRAMES) as i64 * FRAME_NS as i64;
                assert!((0..9_000_000).contains(&late), "opus {opus}: {late} ns");
            }
        }
    }
}
