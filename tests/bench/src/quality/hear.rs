//! Who hears a stream in this process: our ear, and somebody who plays silence where a packet is missing.

use super::stream::{FRAME, Sent, Stream};
use codecs::{g711, opus};
use tandem::base::time::Instant;
use tandem::media::command::{Codec, Format};
use tandem::media::ear::Ear;
use tandem::media::frame::{Frame, Rate};
use tandem::media::jitter::Packet;

/// What an ear makes of it, pulled each 20 ms from where it says.
pub fn ours(stream: &Stream) -> Vec<i16> {
    let codec = stream.codec;
    let mut ear = Ear::new(&[Format { codec, payload_type: 0 }], Rate::Narrow, 1);
    let (mut due, mut frame, mut sound) = (u64::MAX, Frame::silent(Rate::Narrow), Vec::new());
    let mut order: Vec<&Sent> = stream.packets.iter().filter(|p| !p.lost).collect();
    order.sort_by_key(|p| p.at_us);
    let end_us = order.last().map_or(0, |p| p.at_us) + 100_000;
    let mut pull = |ear: &mut Ear, until: u64, due: &mut u64| {
        while *due <= until {
            ear.pull(Instant::from_micros(1_000_000 + *due), &mut frame);
            sound.extend_from_slice(frame.samples());
            *due += 20_000;
        }
    };
    for sent in order {
        pull(&mut ear, sent.at_us, &mut due);
        let Sent { sequence, timestamp, .. } = *sent;
        let (clock_rate, duration) = (codec.clock_rate(), codec.duration(&sent.payload));
        let (codec, payload) = (Some(codec), sent.payload.as_slice());
        let packet = Packet { ssrc: 1, sequence, timestamp, clock_rate, duration, codec, payload };
        if let Some(from) = ear.put(Instant::from_micros(1_000_000 + sent.at_us), &packet) {
            due = (from.as_micros() - 1_000_000).next_multiple_of(5_000);
        }
    }
    pull(&mut ear, end_us, &mut due);
    sound
}

/// Each packet in its place, silence for those that are lost.
pub fn silence(stream: &Stream) -> Vec<i16> {
    slots(stream, |sent| !sent.lost)
}

/// Each packet that is there in its place.
pub fn slots(stream: &Stream, there: impl Fn(&Sent) -> bool) -> Vec<i16> {
    let mut decoder = opus::Decoder::new(opus::Rate::Hz8000);
    let mut sound = Vec::with_capacity(stream.packets.len() * FRAME);
    for sent in &stream.packets {
        let mut frame = [0; FRAME];
        if there(sent) {
            match stream.codec {
                Codec::Opus => decoder.decode(Some(&sent.payload), &mut frame).expect("a packet is decoded"),
                _ => g711::ulaw_decode_slice(&sent.payload, &mut frame),
            };
        }
        sound.extend_from_slice(&frame);
    }
    sound
}
