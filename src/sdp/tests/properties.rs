//! What holds for any bytes.

use super::offers::{ALL, BARE, REMAPPED};
use super::*;
use proptest::prelude::*;

/// Reads, writes, reads again: nothing is lost but a missing `t=`, and what we write is one line a value.
fn survives(bytes: &[u8]) {
    let Ok(mut first) = SessionDescription::parse(bytes) else { return };
    let written = first.to_string();
    if first.times.is_empty() {
        first.times.push("0 0".to_owned());
    }
    assert_eq!(SessionDescription::parse(written.as_bytes()).as_ref(), Ok(&first), "{written}");
    assert!(written.split("\r\n").all(|line| !line.contains(['\r', '\n', '\0'])));
    let ours = local(&["opus", "pcmu", "pcma", "g729"]);
    if let Ok(answer) = answer(&first, &ours) {
        assert_eq!(answer.description.media.len(), first.media.len());
        assert!(!answer.audio.receive.is_empty());
        assert!((10..=60).contains(&answer.audio.ptime_ms));
        let _ = reoffer(&ours, &answer.description).to_string();
    }
    let _ = accept(&first, &offer(&ours));
}

#[test]
fn the_offers_survive() {
    ALL.iter().chain(&[BARE, REMAPPED]).for_each(|text| survives(text.as_bytes()));
}

#[test]
fn every_cut_and_every_changed_byte_is_survived() {
    for text in ALL {
        for at in 0..text.len() {
            survives(&text.as_bytes()[..at]);
            for byte in [b'\n', b' ', b'=', b':', b'/', b'9', 0, 0xff] {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = byte;
                survives(&bytes);
            }
        }
    }
}

/// A line made of the pieces that the parser looks for.
fn line() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "m=",
        "c=",
        "a=",
        "o=",
        "s=",
        "t=",
        "b=",
        "v=0",
        "audio",
        "video",
        " ",
        " ",
        "/",
        ":",
        ":",
        "0",
        "8",
        "101",
        "65535",
        "65536",
        "RTP/AVP",
        "RTP/SAVP",
        "IN",
        "IP4",
        "IP6",
        "192.0.2.1",
        "0.0.0.0",
        "::1",
        "[",
        "]",
        "rtpmap",
        "rtpmap:0 PCMU/8000",
        "fmtp",
        "ptime",
        "rtcp",
        "rtcp-mux",
        "crypto",
        "sendonly",
        "inactive",
        "-",
        "=",
        "\t",
        "\u{b}",
        "\u{c}",
        "\u{a0}",
        "é",
        ".",
        "*",
        "telephone-event/8000",
        "opus/48000/2",
        "maxptime:20",
    ]);
    prop::collection::vec(pieces, 0..9).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&bytes);
        survives(&[b"v=0\r\n", bytes.as_slice()].concat());
    }

    #[test]
    fn any_lines(lines in prop::collection::vec(line(), 0..12)) {
        survives(format!("v=0\r\n{}", lines.join("\r\n")).as_bytes());
        survives(format!("v=0\nc=IN IP4 192.0.2.1\nm=audio 9 RTP/AVP 0 8 101\n{}", lines.join("\n")).as_bytes());
    }
}

#[test]
fn bounds() {
    let head = "v=0\r\nc=IN IP4 192.0.2.1\r\n";
    let repeated = |line: &str, times: usize| format!("{head}{}", line.repeat(times));
    let formats = |count: usize| format!("{head}m=audio 9 RTP/AVP{}\r\n", " 0".repeat(count));
    let rows = [
        ("streams", repeated("m=audio 9 RTP/AVP 0\r\n", 64), Ok(())),
        ("a stream too many", repeated("m=audio 9 RTP/AVP 0\r\n", 65), Err(ParseFault::TooManyMedia)),
        ("attributes", repeated("a=x\r\n", 512), Ok(())),
        ("an attribute too many", repeated("a=x\r\n", 513), Err(ParseFault::TooMany { line: 515 })),
        ("formats", formats(512), Ok(())),
        ("a format too many", formats(513), Err(ParseFault::TooMany { line: 3 })),
        ("64 KiB", format!("{head}s={}", "x".repeat(BYTES_MAX - head.len() - 2)), Ok(())),
        ("a byte more", format!("{head}s={}", "x".repeat(BYTES_MAX - head.len() - 1)), Err(ParseFault::TooLong)),
        ("empty", String::new(), Err(ParseFault::NotSdp)),
        ("no version", "o=- 1 1 IN IP4 192.0.2.1\r\n".to_owned(), Err(ParseFault::NotSdp)),
        ("version 1", "v=1\r\n".to_owned(), Err(ParseFault::NotSdp)),
        ("blank lines first", "\r\n\r\nv=0\r\n".to_owned(), Ok(())),
        ("port 65536", format!("{head}m=audio 65536 RTP/AVP 0\r\n"), Err(ParseFault::BadMedia { line: 3 })),
        ("no format", format!("{head}m=audio 9 RTP/AVP\r\n"), Err(ParseFault::BadMedia { line: 3 })),
        ("no format, refused", format!("{head}m=audio 0 RTP/AVP\r\n"), Ok(())),
    ];
    for (name, text, expected) in rows {
        assert_eq!(SessionDescription::parse(text.as_bytes()).map(|_| ()), expected, "{name}");
    }
}
