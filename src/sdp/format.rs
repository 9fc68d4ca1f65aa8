//! Audio formats: what a payload type stands for.

use super::description::{FormatParameters, Media, RtpMap};

/// A codec by its registered encoding name. Names are compared without regard to case.
#[derive(Debug, Clone)]
pub enum Codec {
    Pcmu,
    Pcma,
    G722,
    Opus,
    /// RFC 4733.
    TelephoneEvent,
    /// RFC 3389.
    ComfortNoise,
    /// Any other, as written.
    Other(String),
}

impl Codec {
    pub fn from_name(name: &str) -> Codec {
        let known = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus, Codec::TelephoneEvent, Codec::ComfortNoise];
        known
            .into_iter()
            .find(|codec| name.eq_ignore_ascii_case(codec.name()))
            .unwrap_or_else(|| Codec::Other(name.to_owned()))
    }

    /// The encoding name, as in `a=rtpmap`.
    pub fn name(&self) -> &str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
            Codec::TelephoneEvent => "telephone-event",
            Codec::ComfortNoise => "CN",
            Codec::Other(name) => name,
        }
    }

    /// Whether it carries speech, and so can be a call's codec.
    pub fn is_speech(&self) -> bool {
        !matches!(self, Codec::TelephoneEvent | Codec::ComfortNoise) && !self.name().eq_ignore_ascii_case("red")
    }
}

impl PartialEq for Codec {
    fn eq(&self, other: &Codec) -> bool {
        self.name().eq_ignore_ascii_case(other.name())
    }
}

impl Eq for Codec {}

/// A codec under a payload type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioFormat {
    pub codec: Codec,
    /// 0..=127.
    pub payload_type: u8,
    /// RTP's clock in Hz; 8,000 also for G.722 (RFC 3551 §4.5.2).
    pub clock_rate: u32,
    pub channels: u8,
    /// `a=fmtp` parameters.
    pub fmtp: Option<String>,
}

/// Payload types bound for ever (RFC 3551 table 4).
const STATIC: [(u8, &str, u32, u8); 17] = [
    (0, "PCMU", 8000, 1),
    (3, "GSM", 8000, 1),
    (4, "G723", 8000, 1),
    (5, "DVI4", 8000, 1),
    (6, "DVI4", 16_000, 1),
    (7, "LPC", 8000, 1),
    (8, "PCMA", 8000, 1),
    (9, "G722", 8000, 1),
    (10, "L16", 44_100, 2),
    (11, "L16", 44_100, 1),
    (12, "QCELP", 8000, 1),
    (13, "CN", 8000, 1),
    (14, "MPA", 90_000, 1),
    (15, "G728", 8000, 1),
    (16, "DVI4", 11_025, 1),
    (17, "DVI4", 22_050, 1),
    (18, "G729", 8000, 1),
];

/// Codecs that a configuration may name and that have no payload type of their own: those that others use too.
const CUSTOMARY: [(u8, &str, u32, u8, Option<&str>); 6] = [
    (111, "opus", 48_000, 2, Some("useinbandfec=1")),
    (101, "telephone-event", 8000, 1, Some("0-16")),
    (97, "iLBC", 8000, 1, Some("mode=20")),
    (110, "speex", 8000, 1, None),
    (118, "AMR", 8000, 1, Some("octet-align=1")),
    (119, "AMR-WB", 16_000, 1, Some("octet-align=1")),
];

impl AudioFormat {
    /// A codec by the name that a configuration gives it (`pcmu`, `opus`, `g729`), under its static or customary
    /// payload type.
    pub fn by_name(name: &str) -> Option<AudioFormat> {
        let fixed = STATIC.iter().map(|&(pt, name, rate, channels)| (pt, name, rate, channels, None));
        let (payload_type, name, clock_rate, channels, fmtp) =
            fixed.chain(CUSTOMARY).find(|row| row.1.eq_ignore_ascii_case(name))?;
        let fmtp = fmtp.map(str::to_owned);
        Some(AudioFormat { codec: Codec::from_name(name), payload_type, clock_rate, channels, fmtp })
    }

    /// What a payload type stands for without `a=rtpmap`.
    pub fn by_static_type(payload_type: u8) -> Option<AudioFormat> {
        let &(_, name, clock_rate, channels) = STATIC.iter().find(|row| row.0 == payload_type)?;
        Some(AudioFormat { codec: Codec::from_name(name), payload_type, clock_rate, channels, fmtp: None })
    }

    /// Telephone events 0 to 16 at a clock rate.
    pub fn telephone_event(payload_type: u8, clock_rate: u32) -> AudioFormat {
        let fmtp = Some("0-16".to_owned());
        AudioFormat { codec: Codec::TelephoneEvent, payload_type, clock_rate, channels: 1, fmtp }
    }

    /// Whether packets of one are packets of the other, the payload type apart.
    pub fn is_same_as(&self, other: &AudioFormat) -> bool {
        self.codec == other.codec
            && self.clock_rate == other.clock_rate
            && self.channels == other.channels
            && self.framing() == other.framing()
    }

    /// The parameter that changes what a packet looks like, for the codecs that have one: two sides that disagree on it
    /// do not understand each other.
    fn framing(&self) -> Option<&str> {
        match self.codec.name() {
            name if name.eq_ignore_ascii_case("AMR") || name.eq_ignore_ascii_case("AMR-WB") => {
                Some(self.parameter("octet-align").unwrap_or("0"))
            }
            name if name.eq_ignore_ascii_case("iLBC") => Some(self.parameter("mode").unwrap_or("30")),
            _ => None,
        }
    }

    /// One `name=value` of the format's parameters.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self.fmtp.as_deref()?.split(';').filter_map(|pair| pair.split_once('='));
        pairs.map(|(n, v)| (n.trim(), v.trim())).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// Adds this format to a stream.
    pub(super) fn write_to(&self, media: &mut Media) {
        media.formats.push(self.payload_type.to_string());
        media.rtpmap.push(RtpMap {
            payload_type: self.payload_type,
            name: self.codec.name().to_owned(),
            clock_rate: self.clock_rate,
            channels: self.channels,
        });
        if let Some(parameters) = &self.fmtp {
            let format = self.payload_type.to_string();
            media.fmtp.push(FormatParameters { format, parameters: parameters.clone() });
        }
    }
}

impl Media {
    /// The stream's formats in its order; a dynamic payload type without `a=rtpmap` means nothing and is left out, as
    /// is a repeated one.
    pub fn audio_formats(&self) -> Vec<AudioFormat> {
        let mut formats: Vec<AudioFormat> = Vec::new();
        for payload_type in self.formats.iter().filter_map(|text| text.parse().ok()).filter(|&pt| pt < 128) {
            if formats.iter().any(|f| f.payload_type == payload_type) {
                continue;
            }
            let map = self.rtpmap.iter().find(|map| map.payload_type == payload_type);
            let Some(mut format) = map.map(of_map).or_else(|| AudioFormat::by_static_type(payload_type)) else {
                continue;
            };
            let parameters = self.fmtp.iter().find(|fmtp| fmtp.format.parse() == Ok(payload_type));
            format.fmtp = parameters.map(|fmtp| fmtp.parameters.clone());
            formats.push(format);
        }
        formats
    }
}

fn of_map(map: &RtpMap) -> AudioFormat {
    let codec = Codec::from_name(&map.name);
    let (clock_rate, channels) = match codec {
        // Some write the sampling rate; RFC 3551 §4.5.2 keeps the clock at 8,000.
        Codec::G722 => (8000, 1),
        // RFC 7587 §7: always 48000/2; some leave out the channels.
        Codec::Opus => (48_000, 2),
        _ => (map.clock_rate, map.channels),
    };
    AudioFormat { codec, payload_type: map.payload_type, clock_rate, channels, fmtp: None }
}
