//! Speech is no digit: ten minutes of several voices, by ffmpeg's `flite` source, through the detector.

use std::path::Path;
use std::process::Command;

use codecs::dtmf::{Detector, Event};
use codecs::g711;
use interop::scratch::Scratch;

/// Voices of flite, and seconds of each: 600 together.
const VOICES: [&str; 4] = ["awb", "kal", "rms", "slt"];
const SECONDS: usize = 150;

/// Words for each: some five minutes. flite speaks all that it is given before it gives the first sample.
const WORDS: usize = 700;

/// The words of this repository's own pages, without what is not spoken.
fn words() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pages = ["src/ARCHITECTURE.md", "CHANGELOG.md", "README.md"];
    let text: String = pages.iter().map(|page| std::fs::read_to_string(root.join(page)).expect(page)).collect();
    let spoken = text.replace(|c: char| !c.is_ascii_alphanumeric() && !".,".contains(c), " ");
    let words: Vec<&str> = spoken.split_whitespace().collect();
    words.chunks(WORDS).map(|part| part.join(" ")).collect()
}

#[test]
fn ten_minutes_of_speech_hold_no_digit() {
    let scratch = Scratch::new("talk_off");
    let sound = scratch.path().join("speech.raw");
    for (voice, words) in VOICES.into_iter().zip(words()) {
        let text = scratch.write("words.txt", &words);
        let source = format!("flite=textfile={}:voice={voice}", text.display());
        let seconds = SECONDS.to_string();
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", &source, "-t", &seconds]);
        let done = command.args(["-ar", "8000", "-ac", "1", "-f", "s16le"]).arg(&sound).output();
        let done = done.unwrap_or_else(|e| panic!("cannot start ffmpeg: {e} (`make packages` installs it)"));
        assert!(done.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&done.stderr));
        let octets = std::fs::read(&sound).unwrap();
        let speech: Vec<i16> = octets.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        assert!(speech.len() >= SECONDS * 8_000 - 160, "{voice}: {} samples", speech.len());
        let (mut detector, mut digits, mut suspected) = (Detector::new(), String::new(), 0);
        for frame in speech.chunks(160) {
            let heard: Vec<i16> = frame.iter().map(|s| g711::ulaw_decode(g711::ulaw_encode(*s))).collect();
            detector.process(&heard, |event| match event {
                Event::Begin { digit } => digits.push(digit),
                Event::End { .. } => {}
            });
            suspected += usize::from(detector.suspects());
        }
        println!("{voice}: {} s, digits \"{digits}\", packets suspected {suspected}", speech.len() / 8_000);
        assert_eq!(digits, "", "{voice}");
        // What is suspected is silenced where the other party gets its digits otherwise: 20 ms each.
        assert!(suspected <= SECONDS / 5, "{voice}: {suspected} packets");
    }
}
