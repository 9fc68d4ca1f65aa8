//! Speech as packets that come with the jitter of a real phone's, some of them never.

use codecs::{g711, opus};
use interop::scratch::{Scratch, top};
use std::process::Command;
use tandem::base::rng::Rng;
use tandem::media::command::Codec;
use tandem::rtp::packet::Header;

/// Samples of a packet.
pub const FRAME: usize = 160;
/// Packets at the beginning that are not lost: everybody gets under way.
const WHOLE: usize = 25;
/// What is spoken, over and over.
const TEXT: &str = "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. \
    It is easy to tell the depth of a well. These days a chicken leg is a rare dish. Rice is often served in round bowls. \
    The juice of lemons makes fine punch. The box was thrown beside the parked truck. Four hours of steady work faced us. ";

/// Which packets are lost.
#[derive(Debug, Clone, Copy)]
pub enum Loss {
    /// 5 %, each by itself.
    Random,
    /// Gilbert and Elliott's two states, 2.5 packets a burst, 5 % in all.
    Bursty,
}

/// A packet on its way.
#[derive(Debug)]
pub struct Sent {
    pub at_us: u64,
    pub sequence: u16,
    /// In the codec's clock.
    pub timestamp: u32,
    pub payload: Vec<u8>,
    pub lost: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Stream {
    pub codec: Codec,
    pub packets: Vec<Sent>,
    /// What was spoken, and what is heard of it without loss; 8 kHz.
    pub speech: Vec<i16>,
    pub whole: Vec<i16>,
}

/// So many seconds of a voice, at 8 kHz, by ffmpeg's `flite` source.
pub fn speech(scratch: &Scratch, voice: &str, seconds: usize) -> Vec<i16> {
    let (text, sound) = (scratch.write("words.txt", &TEXT.repeat(3)), scratch.path().join("speech.raw"));
    let source = format!("flite=textfile={}:voice={voice}", text.display());
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", &source, "-t", &seconds.to_string()]);
    let done = command.args(["-ar", "8000", "-ac", "1", "-f", "s16le"]).arg(&sound).output();
    let done = done.unwrap_or_else(|e| panic!("cannot start ffmpeg: {e} (`make packages` installs it)"));
    assert!(done.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&done.stderr));
    let octets = std::fs::read(&sound).expect("ffmpeg wrote its file");
    octets.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

impl Stream {
    pub fn new(codec: Codec, speech: &[i16], loss: Loss, seed: u64) -> Stream {
        let speech = speech.get(..speech.len() / FRAME * FRAME).unwrap_or_default();
        let (jitter, mut rng, mut in_burst) = (jitter_us(), Rng::from_seed(seed), false);
        let mut encoder = opus::Encoder::new(opus::Rate::Hz8000);
        encoder.set_fec(true, 5).expect("Opus has FEC");
        let packets: Vec<Sent> = speech
            .chunks_exact(FRAME)
            .enumerate()
            .map(|(n, frame)| {
                in_burst = rng.below(10_000) < if in_burst { 6_000 } else { 211 };
                let lost = match loss {
                    Loss::Random => rng.below(100) < 5,
                    Loss::Bursty => in_burst,
                };
                let ticks = if codec == Codec::Opus { 960 } else { 160 };
                Sent {
                    at_us: n as u64 * 20_000 + jitter[n % jitter.len()],
                    sequence: 100 + n as u16,
                    timestamp: n as u32 * ticks,
                    payload: encode(codec, &mut encoder, frame),
                    lost: lost && n >= WHOLE,
                }
            })
            .collect();
        let mut stream = Stream { codec, packets, speech: speech.to_vec(), whole: Vec::new() };
        stream.whole = super::hear::slots(&stream, |_| true);
        stream
    }
}

fn encode(codec: Codec, encoder: &mut opus::Encoder, frame: &[i16]) -> Vec<u8> {
    let mut payload = vec![0; 400];
    let len = match codec {
        Codec::Opus => encoder.encode(frame, &mut payload).expect("a frame is encoded"),
        _ => g711::ulaw_encode_slice(frame, &mut payload),
    };
    payload.truncate(len);
    payload
}

/// How much later than the fastest each packet of a captured call came, in microseconds: its longest stream.
fn jitter_us() -> Vec<u64> {
    let bytes = std::fs::read(top().join("pcap-fixtures/baresip-call-pcmu.pcap")).expect("the capture is there");
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    let mut streams: std::collections::BTreeMap<u32, Vec<i64>> = std::collections::BTreeMap::new();
    let mut rest = &bytes[24..];
    while let Some((head, after)) = rest.split_at_checked(16) {
        let (seconds, micros, len) = (number(&head[..4]), number(&head[4..8]), number(&head[8..12]) as usize);
        let (packet, next) = after.split_at(len);
        rest = next;
        let is_udp = packet.get(12..14) == Some(&[8, 0]) && packet.get(23) == Some(&17);
        let Some(Ok(header)) = packet.get(42..).filter(|_| is_udp).map(Header::parse) else { continue };
        if header.payload_type == 0 {
            let at_us = i64::from(seconds % 100_000) * 1_000_000 + i64::from(micros);
            streams.entry(header.ssrc).or_default().push(at_us - i64::from(header.timestamp) * 125);
        }
    }
    let longest = streams.into_values().max_by_key(Vec::len).expect("a stream is in the capture");
    let least = longest.iter().min().copied().unwrap_or(0);
    longest.iter().map(|transit| (transit - least).unsigned_abs()).collect()
}
