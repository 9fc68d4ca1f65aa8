//! How speech sounds after loss: our ear beside silence in place of what is lost, and beside baresip's receiver on the same
//! packets. PESQ (ITU-T P.862, narrow band, against what was spoken), and segmental SNR of what was lost and of everything (against
//! the same packets without loss).

mod hear;
mod phone;
mod score;
mod stream;

use crate::{Choice, say};
use interop::scratch::Scratch;
use serde_json::{Map, Value, json};
use stream::{Loss, Sent, Stream};
use tandem::media::command::Codec;

/// Of each voice.
const SECONDS: usize = 16;
const VOICES: [&str; 4] = ["slt", "rms", "awb", "kal"];
const CODECS: [(&str, Codec); 2] = [("g711", Codec::Pcmu), ("opus", Codec::Opus)];
const LOSSES: [(&str, Loss); 2] = [("random", Loss::Random), ("bursty", Loss::Bursty)];

/// What somebody made of a stream.
pub struct Heard {
    pub who: &'static str,
    pub sound: Vec<i16>,
}

/// The part `quality` of the line.
pub fn quality(choice: &Choice) -> Value {
    let scratch = Scratch::new("quality");
    let python = score::python();
    let spoken = VOICES.map(|voice| stream::speech(&scratch, voice, SECONDS));
    let mut line = Map::new();
    for (codec_name, codec) in CODECS {
        let mut of_codec = Map::new();
        for (loss_name, loss) in LOSSES {
            let streams: Vec<Stream> =
                spoken.iter().zip(1..).map(|(speech, seed)| Stream::new(codec, speech, loss, seed)).collect();
            let heard = listen(&scratch, &format!("{codec_name}-{loss_name}"), &streams, choice);
            of_codec.insert(
                loss_name.to_owned(),
                judge(&scratch, python.as_deref(), (codec_name, loss_name), &streams, &heard),
            );
        }
        line.insert(codec_name.to_owned(), Value::Object(of_codec));
    }
    Value::Object(line)
}

/// Everybody's of each stream; baresip hears all at the same time, as it takes theirs.
fn listen(scratch: &Scratch, name: &str, streams: &[Stream], choice: &Choice) -> Vec<Vec<Heard>> {
    let mut heard: Vec<Vec<Heard>> = streams
        .iter()
        .map(|s| {
            let silence = Heard { who: "silence", sound: hear::silence(s) };
            vec![Heard { who: "tandem", sound: hear::ours(s) }, silence]
        })
        .collect();
    if choice.subject("peers") {
        std::thread::scope(|scope| {
            let phones: Vec<_> = streams
                .iter()
                .enumerate()
                .map(|(n, s)| {
                    let folder = scratch.path().join(format!("{name}-{n}"));
                    scope.spawn(move || phone::baresip(&folder, s))
                })
                .collect();
            for (phone, heard) in phones.into_iter().zip(&mut heard) {
                let sound = phone.join().unwrap_or_else(|fault| std::panic::resume_unwind(fault));
                heard.push(Heard { who: "baresip", sound });
            }
        });
    }
    heard
}

/// Means over the voices.
fn judge(
    scratch: &Scratch,
    python: Option<&std::path::Path>,
    (codec, loss): (&str, &str),
    streams: &[Stream],
    heard: &[Vec<Heard>],
) -> Value {
    let mut out = Map::new();
    for n in 0..heard.first().map_or(0, Vec::len) {
        let of: Vec<(&Stream, &Heard)> = streams.iter().zip(heard).filter_map(|(s, h)| Some((s, h.get(n)?))).collect();
        let Some(who) = of.first().map(|(_, h)| h.who) else { continue };
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let snr = |of_lost: bool| {
            mean(
                of.iter()
                    .map(|(s, h)| score::segmental_snr_db(&s.whole, &h.sound, |n| !of_lost || s.packets[n].lost))
                    .collect(),
            )
        };
        let (of_lost, all) = (snr(true), snr(false));
        let pesq = python
            .map(|python| mean(of.iter().map(|(s, h)| score::pesq(scratch, python, &s.speech, &h.sound)).collect()));
        let shown = pesq.map_or("-".to_owned(), |p| format!("{p:.2}"));
        say(
            who,
            &format!(
                "{codec} {loss}: PESQ {shown}, segmental SNR {of_lost:.1} dB of what was lost, {all:.1} dB of all"
            ),
        );
        let rounded = |x: f64, to: f64| (x * to).round() / to;
        out.insert(
            who.to_owned(),
            json!({
                "pesq": pesq.map(|p| rounded(p, 100.0)),
                "snr_of_lost_db": rounded(of_lost, 10.0),
                "snr_db": rounded(all, 10.0),
            }),
        );
    }
    let lost = streams.iter().flat_map(|s| &s.packets).filter(|p: &&Sent| p.lost).count();
    let sent: usize = streams.iter().map(|s| s.packets.len()).sum();
    out.insert("lost_percent".to_owned(), json!((1_000.0 * lost as f64 / sent.max(1) as f64).round() / 10.0));
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bench's streams in small, without PESQ and without baresip.
    #[test]
    fn what_is_made_up_is_nearer_to_what_was_lost_than_silence_is() {
        let scratch = Scratch::new("quality-test");
        let speech = stream::speech(&scratch, VOICES[0], 6);
        for (name, codec) in CODECS {
            for (loss_name, loss) in LOSSES {
                let stream = Stream::new(codec, &speech, loss, 3);
                let snr = |sound: &[i16]| score::segmental_snr_db(&stream.whole, sound, |n| stream.packets[n].lost);
                let (ours, silence) = (snr(&hear::ours(&stream)), snr(&hear::silence(&stream)));
                println!("{name} {loss_name}: {ours:.1} dB, silence {silence:.1} dB");
                let least = match loss {
                    Loss::Random => silence + 0.5,
                    Loss::Bursty => silence,
                };
                assert!(ours > least, "{name} {loss_name}: {ours:.1} dB, silence {silence:.1} dB");
                let whole = score::segmental_snr_db(&stream.whole, &stream.whole, |_| true);
                assert!((34.9..=35.0).contains(&whole), "{whole}");
            }
        }
    }
}
