//! Which codecs a leg is offered and answered: what both parties have first, so that packets are relayed; else what is cheapest to
//! transcode for the sound that there is.

use crate::media::command::{Codec as MediaCodec, Format};
use crate::sdp::{AudioFormat, Codec};

/// What the media legs are told of a format.
pub fn media_format(format: &AudioFormat) -> Format {
    let codec = match format.codec {
        Codec::Pcmu => MediaCodec::Pcmu,
        Codec::Pcma => MediaCodec::Pcma,
        Codec::G722 => MediaCodec::G722,
        Codec::Opus => MediaCodec::Opus,
        Codec::ComfortNoise => MediaCodec::ComfortNoise,
        _ => MediaCodec::Opaque { clock_rate: format.clock_rate },
    };
    Format { codec, payload_type: format.payload_type }
}

/// Codecs that we decode and encode ourselves; all others are only relayed.
pub fn is_ours(format: &AudioFormat) -> bool {
    matches!(format.codec, Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Opus)
}

/// Between the two laws of G.711 a table does it, packet by packet.
pub const fn is_g711(format: &AudioFormat) -> bool {
    matches!(format.codec, Codec::Pcmu | Codec::Pcma)
}

/// Sound can go from one to the other: one codec, or two that we transcode.
pub fn meet(a: &AudioFormat, b: &AudioFormat) -> bool {
    a.is_same_as(b) || is_ours(a) && is_ours(b)
}

/// Two codecs that only a decoder and an encoder can bring together.
pub fn costs(a: &AudioFormat, b: &AudioFormat) -> bool {
    !(a.is_same_as(b) || is_g711(a) && is_g711(b))
}

/// For an offer to a party that is to talk to one who has `theirs`: what of `limit` both have, then what we can transcode for them.
/// `theirs` is `None` while nobody is there: what we can make.
pub fn for_offer(limit: &[String], theirs: Option<&[AudioFormat]>) -> Vec<AudioFormat> {
    let Some(theirs) = theirs else { return ours_beside(limit, &[]) };
    let mut formats: Vec<AudioFormat> = named(limit)
        .filter_map(|f| theirs.iter().find(|t| t.codec == f.codec && t.clock_rate == f.clock_rate).cloned())
        .collect();
    let readable: Vec<AudioFormat> = theirs.iter().filter(|f| is_ours(f)).cloned().collect();
    if !readable.is_empty() {
        add(&mut formats, ours_beside(limit, &readable));
    }
    formats
}

/// For an answer to a party that is to talk to one who uses `like`: that codec, then those that we can transcode to and from it.
pub fn for_answer(limit: &[String], like: Option<&AudioFormat>) -> Vec<AudioFormat> {
    let Some(like) = like else { return ours_beside(limit, &[]) };
    let mut formats = vec![like.clone()];
    if is_ours(like) {
        add(&mut formats, ours_beside(limit, std::slice::from_ref(like)));
    }
    formats
}

fn named(limit: &[String]) -> impl Iterator<Item = AudioFormat> {
    limit.iter().filter_map(|name| AudioFormat::by_name(name))
}

fn add(formats: &mut Vec<AudioFormat>, more: Vec<AudioFormat>) {
    for format in more {
        if formats.iter().all(|f| f.codec != format.codec) {
            formats.push(format);
        }
    }
}

/// What of `limit` we can make, for a bridge to one of `others`. To G.711 the other law of G.711 goes first: it costs nothing, and a
/// wider band would carry no more.
fn ours_beside(limit: &[String], others: &[AudioFormat]) -> Vec<AudioFormat> {
    let is_narrow = !others.is_empty() && others.iter().all(is_g711);
    let mut formats: Vec<AudioFormat> = named(limit).filter(is_ours).collect();
    if is_narrow {
        formats.sort_by_key(|f| !is_g711(f));
    }
    for format in formats.iter_mut().filter(|f| f.codec == Codec::Opus) {
        let hz = if is_narrow { 8_000 } else { 16_000 };
        // What lies above is neither played nor recorded by us, so the peer need not code it (RFC 7587 §6.1).
        format.fmtp = Some(format!("useinbandfec=1;maxplaybackrate={hz};sprop-maxcapturerate={hz}"));
    }
    formats
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &str) -> Vec<AudioFormat> {
        names.split_whitespace().map(|name| AudioFormat::by_name(name).unwrap()).collect()
    }

    fn limit(names: &str) -> Vec<String> {
        names.split_whitespace().map(str::to_owned).collect()
    }

    fn names(formats: &[AudioFormat]) -> String {
        formats.iter().map(|f| f.codec.name().to_ascii_lowercase()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_both_have_is_offered_first_and_what_costs_least_next() {
        let all = "opus g722 pcmu pcma";
        let rows = [
            (all, "", ""),
            (all, "pcmu", "pcmu pcma opus g722"),
            (all, "pcma pcmu", "pcmu pcma opus g722"),
            (all, "opus", "opus g722 pcmu pcma"),
            (all, "g722 pcma", "g722 pcma opus pcmu"),
            (all, "g729", ""),
            (all, "g729 pcma", "pcma pcmu opus g722"),
            ("g729 pcma", "g729 pcmu", "g729 pcma"),
            ("pcma", "opus", "pcma"),
            ("pcma pcmu", "g722", "pcma pcmu"),
            ("g729", "opus", ""),
        ];
        for (allowed, theirs, want) in rows {
            assert_eq!(names(&for_offer(&limit(allowed), Some(&list(theirs)))), want, "{allowed} for {theirs}");
        }
        assert_eq!(names(&for_offer(&limit("g729 opus pcma"), None)), "opus pcma");
    }

    #[test]
    fn an_answer_follows_the_other_party() {
        let rows = [
            ("opus g722 pcmu pcma", Some("pcma"), "pcma pcmu opus g722"),
            ("opus g722 pcmu pcma", Some("g722"), "g722 opus pcmu pcma"),
            ("opus g722 pcmu pcma", Some("opus"), "opus g722 pcmu pcma"),
            ("opus pcmu", Some("g729"), "g729"),
            ("g729 g722 pcmu", None, "g722 pcmu"),
        ];
        for (allowed, like, want) in rows {
            let like = like.map(|name| AudioFormat::by_name(name).unwrap());
            assert_eq!(names(&for_answer(&limit(allowed), like.as_ref())), want, "{allowed} like {like:?}");
        }
    }

    #[test]
    fn opus_beside_g711_says_that_nothing_above_4_khz_is_wanted() {
        for (theirs, hz) in [("pcmu pcma", 8_000), ("g722 pcma", 16_000)] {
            let offered = for_offer(&limit("opus"), Some(&list(theirs)));
            let fmtp = format!("useinbandfec=1;maxplaybackrate={hz};sprop-maxcapturerate={hz}");
            assert_eq!(offered[0].fmtp.as_deref(), Some(fmtp.as_str()));
        }
        let relayed = for_offer(&limit("opus"), Some(&list("opus")));
        assert_eq!(relayed[0].fmtp.as_deref(), Some("useinbandfec=1"));
    }

    #[test]
    fn what_costs_and_what_does_not() {
        let rows = [
            ("pcmu", "pcmu", true, false),
            ("pcmu", "pcma", true, false),
            ("pcmu", "opus", true, true),
            ("opus", "opus", true, false),
            ("g729", "g729", true, false),
            ("g729", "pcmu", false, true),
        ];
        for (a, b, meets, transcodes) in rows {
            let (a, b) = (&list(a)[0], &list(b)[0]);
            assert_eq!((meet(a, b), costs(a, b)), (meets, transcodes), "{a:?} {b:?}");
        }
    }
}
