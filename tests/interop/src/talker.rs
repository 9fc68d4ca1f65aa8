//! A party that says prepared packets, one each 20 ms, and keeps what it gets: G.711 or Opus, digits as events or as tones.

use std::f64::consts::TAU;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use codecs::opus;

use crate::process::until;
use crate::sound::{RATE, pcmu_encode, read_wav};

/// Samples a packet: 20 ms at 8 kHz.
const FRAME: usize = 160;
/// Of a digit, and of the pause behind it, in frames.
const ON: usize = 4;
const OFF: usize = 4;

/// What a party speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    Pcmu,
    Opus,
}

impl Voice {
    pub const fn payload_type(self) -> u8 {
        match self {
            Voice::Pcmu => 0,
            Voice::Opus => 111,
        }
    }

    const fn clock_khz(self) -> u32 {
        match self {
            Voice::Pcmu => 8,
            Voice::Opus => 48,
        }
    }
}

/// A packet to be sent: payload type, marker, timestamp, payload.
pub type Planned = (u8, bool, u32, Vec<u8>);

/// `before` and `after` in milliseconds of near-silence around digits, each 80 ms with a pause of 80: as tones, or as events of payload
/// type 101, or as nothing (who sends them by another way).
pub fn plan(voice: Voice, digits: &str, tones: bool, events: bool, before_ms: u32, after_ms: u32) -> Vec<Planned> {
    let mut sound = vec![0i16; (RATE / 1_000 * before_ms) as usize];
    let mut begins = Vec::new();
    for digit in digits.chars() {
        begins.push((sound.len() / FRAME, digit));
        let (low, high) = codecs::dtmf::frequencies(digit).expect("a digit");
        let tone = (0..ON * FRAME).map(|n| {
            let part = |hz: u16| (TAU * f64::from(hz) * n as f64 / f64::from(RATE)).sin();
            if tones { (5_000.0 * (part(low) + part(high))) as i16 } else { 0 }
        });
        sound.extend(tone);
        sound.extend(vec![0; OFF * FRAME]);
    }
    sound.extend(vec![0; (RATE / 1_000 * after_ms) as usize]);
    // A line is never dead silent.
    for (n, sample) in sound.iter_mut().enumerate() {
        *sample += ((n * 7_919) % 13) as i16 - 6;
    }
    let mut encoder = opus::Encoder::new(opus::Rate::Hz8000);
    let mut packets = Vec::new();
    for (n, frame) in sound.chunks_exact(FRAME).enumerate() {
        let step = voice.clock_khz() * 20;
        let timestamp = n as u32 * step;
        let pressed = begins.iter().find(|(begin, _)| events && (*begin..begin + ON + 2).contains(&n));
        if let Some((begin, digit)) = pressed {
            let (at, last) = (n - begin, ON - 1);
            let event = "0123456789*#ABCD".find(*digit).unwrap_or(0) as u8;
            let duration = ((at.min(last) + 1) as u32 * step) as u16;
            let end = if at >= last { 0x80 } else { 0 };
            let [high, low] = duration.to_be_bytes();
            packets.push((101, at == 0, *begin as u32 * step, vec![event, end | 10, high, low]));
            continue;
        }
        let payload = match voice {
            Voice::Pcmu => frame.iter().map(|s| pcmu_encode(*s)).collect(),
            Voice::Opus => {
                let mut octets = vec![0; 400];
                let len = encoder.encode(frame, &mut octets).expect("it is encoded");
                octets.truncate(len);
                octets
            }
        };
        packets.push((voice.payload_type(), n == 0, timestamp, payload));
    }
    packets
}

/// Packets of G.711 for these samples at 8 kHz.
fn packets(sound: &[i16]) -> Vec<Planned> {
    let frames = sound.chunks_exact(FRAME).enumerate();
    let packet = |(n, f): (usize, &[i16])| (0, n == 0, (n * FRAME) as u32, f.iter().map(|s| pcmu_encode(*s)).collect());
    frames.map(packet).collect()
}

/// A text as espeak-ng says it, with two seconds of near-silence before and 25 after. Its files are written to `folder`.
pub fn spoken_packets(folder: &Path, text: &str) -> Vec<Planned> {
    let (file, narrow) = (folder.join("said.wav"), folder.join("narrow.wav"));
    let made = Command::new("espeak-ng").args(["-s", "140", "-w"]).arg(&file).arg(text).status();
    assert!(made.is_ok_and(|s| s.success()), "espeak-ng speaks");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-loglevel", "error", "-y", "-i"]).arg(&file).args(["-ar", "8000"]).arg(&narrow);
    assert!(ffmpeg.status().is_ok_and(|s| s.success()), "ffmpeg resamples");
    let mut sound = vec![0; 16_000];
    sound.extend(read_wav(&narrow));
    sound.extend(vec![0; 200_000]);
    for (n, sample) in sound.iter_mut().enumerate() {
        *sample = sample.saturating_add(((n * 7_919) % 13) as i16 - 6);
    }
    packets(&sound)
}

/// A packet that came: payload type and payload.
pub type Came = (u8, Vec<u8>);

/// A party that talks.
#[derive(Debug)]
pub struct Talker {
    came: Arc<Mutex<Vec<Came>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    socket: UdpSocket,
    /// Packets that were handed over, and the clock behind them.
    said: (u16, u32),
}

impl Talker {
    /// A party that hears at `at` and says nothing yet.
    pub fn new(at: SocketAddr) -> Talker {
        // SIPp takes ports for media of its own for a moment.
        let socket = until(Duration::from_secs(5), || UdpSocket::bind(at).ok());
        let socket = socket.unwrap_or_else(|| panic!("{at} is taken"));
        let (came, stop) = (Arc::<Mutex<Vec<Came>>>::default(), Arc::<AtomicBool>::default());
        let (ears, keep, end) = (socket.try_clone().expect("a second handle"), Arc::clone(&came), Arc::clone(&stop));
        ears.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let hears = thread::spawn(move || {
            let mut bytes = [0; 2_000];
            while !end.load(Ordering::Relaxed) {
                let Ok(len) = ears.recv(&mut bytes) else { continue };
                if len > 12 && bytes[0] >> 6 == 2 {
                    keep.lock().expect("no holder panics").push((bytes[1] & 0x7f, bytes[12..len].to_vec()));
                }
            }
        });
        Talker { came, stop, threads: vec![hears], socket, said: (0, 0) }
    }

    /// All that has come so far.
    pub fn came(&self) -> Vec<Came> {
        self.came.lock().expect("no holder panics").clone()
    }

    /// Says the packets, one each 20 ms, from when what was to be said before has been: it goes on in the same stream.
    pub fn say(&mut self, to: SocketAddr, packets: Vec<Planned>) {
        self.threads.drain(1..).for_each(|before| before.join().expect("a talker does not panic"));
        let (first, clock) = self.said;
        let step = packets.get(1).map_or(0, |p| p.2) - packets.first().map_or(0, |p| p.2);
        self.said = (first + packets.len() as u16, clock + packets.len() as u32 * step);
        let (mouth, end) = (self.socket.try_clone().expect("a second handle"), Arc::clone(&self.stop));
        self.threads.push(thread::spawn(move || {
            let begin = Instant::now();
            for (n, (payload_type, marker, timestamp, payload)) in packets.into_iter().enumerate() {
                let due = begin + Duration::from_millis(20 * n as u64);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let mut packet = vec![0x80, payload_type | u8::from(marker) << 7];
                packet.extend((first + n as u16).to_be_bytes());
                packet.extend((clock + timestamp).to_be_bytes());
                packet.extend(0x0c0f_fee0_u32.to_be_bytes());
                packet.extend(payload);
                let _ = mouth.send_to(&packet, to);
            }
        }));
    }

    /// Stops; all that came.
    pub fn stop(mut self) -> Vec<Came> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().expect("a talker does not panic"));
        std::mem::take(&mut *self.came.lock().expect("no holder panics"))
    }
}

/// What came as sound at 8 kHz.
pub fn decoded(came: &[Came]) -> Vec<i16> {
    let (mut decoder, mut sound) = (opus::Decoder::new(opus::Rate::Hz8000), Vec::new());
    for (payload_type, payload) in came {
        match payload_type {
            0 => sound.extend(payload.iter().map(|o| crate::sound::pcmu_decode(*o))),
            111 => {
                let mut frame = [0; 960];
                let len = decoder.decode(Some(payload), &mut frame).unwrap_or(0);
                sound.extend_from_slice(&frame[..len]);
            }
            _ => {}
        }
    }
    sound
}

/// Digits that a detector finds among it.
pub fn digits(sound: &[i16]) -> String {
    let (mut detector, mut found) = (codecs::dtmf::Detector::new(), String::new());
    detector.process(sound, |event| {
        if let codecs::dtmf::Event::Begin { digit } = event {
            found.push(digit);
        }
    });
    found
}

/// The loudest 10 ms at any of the eight frequencies, as an amplitude: the finest ear for what is left of tones.
pub fn loudest(sound: &[i16]) -> f64 {
    let mut most: f64 = 0.0;
    for window in sound.chunks_exact(80) {
        for hz in [697.0, 770.0, 852.0, 941.0, 1_209.0, 1_336.0, 1_477.0, 1_633.0_f64] {
            let part = |f: fn(f64) -> f64| -> f64 {
                window.iter().enumerate().map(|(n, s)| f64::from(*s) * f(TAU * hz * n as f64 / 8_000.0)).sum()
            };
            most = most.max(part(f64::sin).hypot(part(f64::cos)) / 40.0);
        }
    }
    most
}
