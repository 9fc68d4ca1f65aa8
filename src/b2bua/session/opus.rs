//! What a peer's description says of the Opus that it takes.

use crate::media::command::OpusWanted;
use crate::sdp::AudioFormat;

/// Of the format that we send; what it does not say has RFC 7587's default (§6.1).
pub fn wanted(format: &AudioFormat) -> OpusWanted {
    let number = |name: &str| format.parameter(name).and_then(|value| value.parse().ok()).unwrap_or(0);
    let is_set = |name: &str| format.parameter(name) == Some("1");
    if format.codec != crate::sdp::Codec::Opus {
        return OpusWanted::default();
    }
    OpusWanted {
        playback_hz: number("maxplaybackrate"),
        bitrate_max: number("maxaveragebitrate"),
        fec: is_set("useinbandfec"),
        dtx: is_set("usedtx"),
        constant: is_set("cbr"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_its_default() {
        let opus = AudioFormat::by_name("opus").expect("a codec of ours");
        let none = OpusWanted { fec: false, ..OpusWanted::default() };
        let rows = [
            (None, none),
            (Some("stereo=1;sprop-stereo=1"), none),
            (Some("minptime=10;useinbandfec=1"), OpusWanted::default()),
            (
                Some("maxplaybackrate=16000; maxaveragebitrate=20000; usedtx=1; cbr=1; useinbandfec=0"),
                OpusWanted { playback_hz: 16_000, bitrate_max: 20_000, fec: false, dtx: true, constant: true },
            ),
            (Some("maxplaybackrate=x;maxaveragebitrate=-1;usedtx=2"), none),
        ];
        for (fmtp, expected) in rows {
            let format = AudioFormat { fmtp: fmtp.map(str::to_owned), ..opus.clone() };
            assert_eq!(wanted(&format), expected, "{fmtp:?}");
        }
    }
}
