//! Supervisory tones by country: ITU-T E.180 supplement 2, and TR-TSY-000506 for North America.

use super::{Repeat, Segment, ToneSpec};

/// Countries known to [`by_name`], as ISO 3166 codes in lower case; `itu` is the default of the CEPT countries.
pub const COUNTRIES: &[&str] =
    &["itu", "us", "uk", "de", "fr", "it", "es", "nl", "ch", "at", "se", "jp", "au", "br", "in", "mx"];

const CEPT_DBM0: f32 = -13.0;
const SIT_DBM0: f32 = -16.0;

/// Tones of one country.
struct Country {
    dial: ToneSpec,
    ringback: ToneSpec,
    busy: ToneSpec,
    congestion: ToneSpec,
    sit: ToneSpec,
}

/// Before a message is recorded, the same in all countries.
const BEEP: ToneSpec = ToneSpec::new(&[Segment::new(&[1_000], -13.0, 400, 0)], Repeat::Times(1));

/// The tone that a country uses, or `None` for a country or a name that is not known.
///
/// Names: `ringback` (`ring`, `ringing`), `busy`, `congestion` (`reorder`, `fast_busy`), `dial`, `sit` (`info`, special
/// information tone), `beep`. `gb` is `uk`; `ca` is `us`; `cept` and `default` are `itu`.
pub fn by_name(country: &str, name: &str) -> Option<ToneSpec> {
    let country = match country {
        "itu" | "cept" | "default" => &ITU,
        "us" | "ca" => &US,
        "uk" | "gb" => &UK,
        "de" => &DE,
        "fr" => &FR,
        "it" => &IT,
        "es" => &ES,
        "nl" => &NL,
        "ch" => &CH,
        "at" => &AT,
        "se" => &SE,
        "jp" => &JP,
        "au" => &AU,
        "br" => &BR,
        "in" => &IN,
        "mx" => &MX,
        _ => return None,
    };
    match name {
        "ringback" | "ring" | "ringing" => Some(country.ringback),
        "busy" => Some(country.busy),
        "congestion" | "reorder" | "fast_busy" => Some(country.congestion),
        "dial" => Some(country.dial),
        "sit" | "info" => Some(country.sit),
        "beep" => Some(BEEP),
        _ => None,
    }
}

const fn on_off(freqs_hz: &[u16], dbm0: f32, on_ms: u32, off_ms: u32) -> ToneSpec {
    ToneSpec::new(&[Segment::new(freqs_hz, dbm0, on_ms, off_ms)], Repeat::Forever)
}

const fn steady(freqs_hz: &[u16], dbm0: f32) -> ToneSpec {
    on_off(freqs_hz, dbm0, 0, 0)
}

const fn cadence(segments: &[Segment]) -> ToneSpec {
    ToneSpec::new(segments, Repeat::Forever)
}

const fn cept(freq_hz: u16, on_ms: u32, off_ms: u32) -> Segment {
    Segment::new(&[freq_hz], CEPT_DBM0, on_ms, off_ms)
}

const fn modulated(freq_hz: u16, modulation_hz: u16, on_ms: u32, off_ms: u32) -> Segment {
    let mut segment = Segment::new(&[freq_hz], CEPT_DBM0, on_ms, off_ms);
    segment.modulation_hz = modulation_hz;
    segment
}

/// E.180 §8: three tones of 330 ms, rising, then a second's pause.
const SIT: ToneSpec = cadence(&[
    Segment::new(&[950], SIT_DBM0, 330, 0),
    Segment::new(&[1400], SIT_DBM0, 330, 0),
    Segment::new(&[1800], SIT_DBM0, 330, 1000),
]);

const ITU: Country = Country {
    dial: steady(&[425], CEPT_DBM0),
    ringback: on_off(&[425], CEPT_DBM0, 1000, 4000),
    busy: on_off(&[425], CEPT_DBM0, 500, 500),
    congestion: on_off(&[425], CEPT_DBM0, 200, 200),
    sit: SIT,
};

const US: Country = Country {
    dial: steady(&[350, 440], -13.0),
    ringback: on_off(&[440, 480], -19.0, 2000, 4000),
    busy: on_off(&[480, 620], -24.0, 500, 500),
    congestion: on_off(&[480, 620], -24.0, 250, 250),
    sit: SIT,
};

const UK: Country = Country {
    dial: steady(&[350, 440], -16.0),
    ringback: cadence(&[Segment::new(&[400, 450], -16.0, 400, 200), Segment::new(&[400, 450], -16.0, 400, 2000)]),
    busy: on_off(&[400], -19.0, 375, 375),
    congestion: cadence(&[Segment::new(&[400], -19.0, 400, 350), Segment::new(&[400], -16.0, 225, 525)]),
    sit: SIT,
};

const DE: Country =
    Country { busy: on_off(&[425], CEPT_DBM0, 480, 480), congestion: on_off(&[425], CEPT_DBM0, 240, 240), ..ITU };

const FR: Country = Country {
    dial: steady(&[440], CEPT_DBM0),
    ringback: on_off(&[440], CEPT_DBM0, 1500, 3500),
    busy: on_off(&[440], CEPT_DBM0, 500, 500),
    congestion: on_off(&[440], CEPT_DBM0, 250, 250),
    sit: SIT,
};

const IT: Country = Country { dial: cadence(&[cept(425, 200, 200), cept(425, 600, 1000)]), ..ITU };

const ES: Country = Country {
    ringback: on_off(&[425], CEPT_DBM0, 1500, 3000),
    busy: on_off(&[425], CEPT_DBM0, 200, 200),
    congestion: cadence(&[cept(425, 200, 200), cept(425, 200, 200), cept(425, 200, 600)]),
    ..ITU
};

const NL: Country = Country { congestion: on_off(&[425], CEPT_DBM0, 250, 250), ..ITU };

const CH: Country = ITU;

const AT: Country = Country {
    dial: steady(&[420], CEPT_DBM0),
    ringback: on_off(&[420], CEPT_DBM0, 1000, 5000),
    busy: on_off(&[420], CEPT_DBM0, 400, 400),
    congestion: on_off(&[420], CEPT_DBM0, 200, 200),
    sit: SIT,
};

const SE: Country = Country {
    ringback: on_off(&[425], CEPT_DBM0, 1000, 5000),
    busy: on_off(&[425], CEPT_DBM0, 250, 250),
    congestion: on_off(&[425], CEPT_DBM0, 250, 750),
    ..ITU
};

const JP: Country = Country {
    dial: steady(&[400], CEPT_DBM0),
    ringback: cadence(&[modulated(400, 16, 1000, 2000)]),
    busy: on_off(&[400], CEPT_DBM0, 500, 500),
    congestion: on_off(&[400], CEPT_DBM0, 500, 500),
    sit: SIT,
};

const AU: Country = Country {
    dial: steady(&[413, 438], -16.0),
    ringback: cadence(&[Segment::new(&[413, 438], -16.0, 400, 200), Segment::new(&[413, 438], -16.0, 400, 2000)]),
    busy: on_off(&[425], CEPT_DBM0, 375, 375),
    // The second burst is 10 dB down.
    congestion: cadence(&[cept(425, 375, 375), Segment::new(&[425], CEPT_DBM0 - 10.0, 375, 375)]),
    sit: on_off(&[425], CEPT_DBM0, 2500, 500),
};

const BR: Country = Country {
    busy: on_off(&[425], CEPT_DBM0, 250, 250),
    congestion: cadence(&[cept(425, 250, 250), cept(425, 750, 250)]),
    ..ITU
};

const IN: Country = Country {
    dial: cadence(&[modulated(400, 25, 0, 0)]),
    ringback: cadence(&[modulated(400, 25, 400, 200), modulated(400, 25, 400, 2000)]),
    busy: on_off(&[400], CEPT_DBM0, 750, 750),
    congestion: on_off(&[400], CEPT_DBM0, 250, 250),
    sit: SIT,
};

const MX: Country =
    Country { busy: on_off(&[425], CEPT_DBM0, 250, 250), congestion: on_off(&[425], CEPT_DBM0, 250, 250), ..ITU };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_their_other_names() {
        for country in COUNTRIES.iter().chain(&["gb", "ca", "cept", "default"]) {
            for (name, other) in [("ringback", "ring"), ("congestion", "reorder"), ("sit", "info")] {
                assert_eq!(by_name(country, name), by_name(country, other));
                assert!(by_name(country, name).is_some());
            }
        }
        assert_eq!(by_name("xx", "busy"), None);
        assert_eq!(by_name("us", "buzz"), None);
    }

    #[test]
    fn cadences() {
        type Row = (&'static str, &'static str, &'static [(u16, u32, u32)]);
        let rows: [Row; 6] = [
            ("us", "busy", &[(480, 500, 500)]),
            ("uk", "ringback", &[(400, 400, 200), (400, 400, 2000)]),
            ("de", "busy", &[(425, 480, 480)]),
            ("es", "congestion", &[(425, 200, 200), (425, 200, 200), (425, 200, 600)]),
            ("fr", "ringback", &[(440, 1500, 3500)]),
            ("se", "ringback", &[(425, 1000, 5000)]),
        ];
        for (country, name, expected) in rows {
            let spec = by_name(country, name).unwrap();
            let got: Vec<_> = spec.segments().iter().map(|s| (s.freqs_hz[0], s.on_ms, s.off_ms)).collect();
            assert_eq!(got, expected, "{country} {name}");
            assert_eq!(spec.repeat(), Repeat::Forever);
        }
    }
}
