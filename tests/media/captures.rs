//! The captures in pcap-fixtures through an ear: streams of real phones, whole and with loss.

use std::collections::BTreeMap;
use std::path::Path;
use tandem::base::rng::Rng;
use tandem::base::time::Instant;
use tandem::media::command::{Codec, Format};
use tandem::media::ear::{Ear, Heard};
use tandem::media::frame::{Frame, Kind, Rate};
use tandem::media::jitter::Packet;
use tandem::rtp::packet::Header;

/// A packet of a stream: arrival in microseconds, and its bytes from RTP's header on.
type Arrived = (u64, Vec<u8>);

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

/// The RTP streams of a capture by source: Ethernet, IPv4, UDP.
fn streams(name: &str) -> Vec<Vec<Arrived>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcap-fixtures").join(name);
    let bytes = std::fs::read(path).expect("the capture is there");
    let mut streams: BTreeMap<u32, Vec<Arrived>> = BTreeMap::new();
    let mut rest = &bytes[24..];
    while let Some((head, after)) = rest.split_at_checked(16) {
        let (seconds, micros, len) = (number(&head[..4]), number(&head[4..8]), number(&head[8..12]) as usize);
        let (packet, next) = after.split_at(len);
        rest = next;
        let is_udp = packet.get(12..14) == Some(&[8, 0]) && packet.get(23) == Some(&17);
        let Some(payload) = packet.get(42..).filter(|_| is_udp) else { continue };
        let Ok(header) = Header::parse(payload) else { continue };
        if matches!(header.payload_type, 0 | 8 | 101) {
            let at = u64::from(seconds % 100_000) * 1_000_000 + u64::from(micros);
            streams.entry(header.ssrc).or_default().push((at, payload.to_vec()));
        }
    }
    streams.into_values().filter(|s| s.len() > 50).collect()
}

/// Pulls an ear through a stream, of which `lost` takes packets away; what it counted, and frames with sound.
fn listen(stream: &[Arrived], mut lost: impl FnMut(usize) -> bool) -> (Heard, u64) {
    let format = |codec, payload_type| Format { codec, payload_type };
    let mut ear = Ear::new(&[format(Codec::Pcmu, 0), format(Codec::Pcma, 8)], Rate::Narrow, 1);
    let (mut due, mut sounding) = (stream[0].0, 0);
    let mut frame = Frame::silent(Rate::Narrow);
    for (n, (at, bytes)) in stream.iter().enumerate() {
        while due <= *at {
            sounding += u64::from(ear.pull(Instant::from_micros(due), &mut frame) && frame.kind == Kind::Speech);
            due += 20_000;
        }
        if lost(n) {
            continue;
        }
        let header = Header::parse(bytes).expect("parsed before");
        let payload = header.payload(bytes);
        let codec = match header.payload_type {
            0 => Some(Codec::Pcmu),
            8 => Some(Codec::Pcma),
            _ => None,
        };
        let Header { ssrc, sequence, timestamp, .. } = header;
        let duration = codec.map_or(0, |c| c.duration(payload));
        let packet = Packet { ssrc, sequence, timestamp, clock_rate: 8_000, duration, codec, payload };
        if let Some(from) = ear.put(Instant::from_micros(*at), &packet) {
            due = from.as_micros().next_multiple_of(5_000);
        }
    }
    (ear.heard(), sounding)
}

#[test]
fn real_phones_are_heard_whole_with_little_delay() {
    let mut heard_any = 0;
    for name in ["baresip-call-pcmu", "baresip-call-pcma", "baresip-hold-resume", "baresip-dtmf-rfc4733"] {
        for stream in streams(&format!("{name}.pcap")) {
            let media = stream.iter().filter(|s| s.1[1] & 127 != 101).count() as u64;
            let (heard, sounding) = listen(&stream, |_| false);
            println!("{name}: {media} packets, {sounding} frames, {heard:?}");
            assert!(sounding + 8 >= media, "{name}: {sounding} frames of {media} packets");
            let concealed = heard.concealed_share().unwrap();
            assert!(concealed < 0.02 && heard.overflow == 0, "{name}: {heard:?}");
            assert!(heard.delay_ms().unwrap().0 < 45.0, "{name}: {heard:?}");
            heard_any += 1;
        }
    }
    assert!(heard_any >= 8, "{heard_any}");
}

#[test]
fn what_is_lost_of_a_real_stream_is_made_up() {
    let mut rng = Rng::from_seed(17);
    for stream in streams("baresip-call-pcmu.pcap") {
        let lost: Vec<bool> = stream.iter().enumerate().map(|(n, _)| n > 0 && rng.below(100) < 5).collect();
        let expected = lost.iter().filter(|l| **l).count() as f32 / stream.len() as f32;
        let (heard, _) = listen(&stream, |n| lost[n]);
        let concealed = heard.concealed_share().unwrap();
        assert!((concealed - expected).abs() < 0.015, "{concealed} of {expected}: {heard:?}");
    }
}
