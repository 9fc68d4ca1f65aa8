use super::*;
use std::f64::consts::TAU;

const PACKET_MAX: usize = 6 * FRAME_OCTETS_MAX;

/// Something like a voice: a gliding pitch with harmonics that fall off, a syllable each quarter of a second.
fn voice(rate: Rate, ms: usize) -> Vec<i16> {
    let hz = f64::from(rate.hz());
    let mut phase = 0.0;
    let sample = |n: usize| {
        let t = n as f64 / hz;
        phase += TAU * (260.0 + 25.0 * (TAU * 1.7 * t).sin()) / hz;
        let wave: f64 = (1..13).map(|k| (f64::from(k) * phase).sin() / f64::from(k)).sum();
        (5000.0 * wave * (0.6 + 0.4 * (TAU * 4.0 * t).sin())) as i16
    };
    (0..rate.hz() as usize * ms / 1000).map(sample).collect()
}

fn tone(rate: Rate, hz: f64, ms: usize) -> Vec<i16> {
    let step = TAU * hz / f64::from(rate.hz());
    (0..rate.hz() as usize * ms / 1000).map(|n| (8000.0 * (n as f64 * step).sin()) as i16).collect()
}

fn packets(encoder: &mut Encoder, samples: &[i16], ms: usize) -> Vec<Vec<u8>> {
    let mut packet = [0; PACKET_MAX];
    let frames = samples.chunks_exact(encoder.rate().hz() as usize * ms / 1000);
    frames.map(|frame| encoder.encode(frame, &mut packet).map(|n| packet[..n].to_vec()).unwrap()).collect()
}

fn decoded(rate: Rate, packets: &[Vec<u8>]) -> Vec<i16> {
    let (mut decoder, mut all) = (Decoder::new(rate), vec![]);
    let mut samples = vec![0; rate.packet_samples_max()];
    for packet in packets {
        let n = decoder.decode(Some(packet), &mut samples).unwrap();
        all.extend_from_slice(&samples[..n]);
    }
    all
}

fn energy(samples: &[i16]) -> f64 {
    samples.iter().map(|&s| f64::from(s).powi(2)).sum()
}

/// Signal to noise in dB of `output` against `input` that came `lag` samples earlier.
fn snr(input: &[i16], output: &[i16], lag: usize) -> f64 {
    let pairs = input.iter().zip(&output[lag..]);
    let noise: f64 = pairs.map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum();
    10.0 * (energy(&input[..output.len() - lag]) / noise).log10()
}

/// Share of a tone's energy in the whole, 0..=1.
fn share(samples: &[i16], rate: Rate, hz: f64) -> f64 {
    let step = TAU * hz / f64::from(rate.hz());
    let (mut re, mut im) = (0.0, 0.0);
    for (n, &s) in samples.iter().enumerate() {
        re += f64::from(s) * (n as f64 * step).cos();
        im += f64::from(s) * (n as f64 * step).sin();
    }
    2.0 * (re * re + im * im) / (samples.len() as f64 * energy(samples))
}

/// A codec of speech keeps the sound rather than the wave: high ratios are not to be had.
#[test]
fn a_voice_comes_back_at_every_rate_and_packet_time() {
    for (rate, bits, snr_min) in
        [(Rate::Hz8000, 24_000, 7.0), (Rate::Hz16000, 32_000, 7.0), (Rate::Hz48000, 64_000, 5.0)]
    {
        for ms in [10, 20, 40, 60] {
            let mut encoder = Encoder::new(rate);
            encoder.set_bitrate(bits).unwrap();
            let input = voice(rate, 2400);
            let packets = packets(&mut encoder, &input, ms);
            let ticks = ms as u32 * 48;
            assert!(packets.iter().all(|p| duration_48k(p) == Some(ticks)), "{rate:?} {ms}");
            let output = decoded(rate, &packets);
            assert_eq!(output.len(), input.len());
            let got = snr(&input, &output, encoder.lookahead());
            assert!(got > snr_min, "{rate:?} {ms} ms: {got:.1} dB");
        }
    }
}

#[test]
fn what_one_rate_encodes_another_decodes() {
    for from in Rate::ALL {
        for to in Rate::ALL {
            let sent = packets(&mut Encoder::new(from), &tone(from, 1000.0, 500), 20);
            let output = decoded(to, &sent);
            assert_eq!(output.len(), to.hz() as usize / 2);
            let heard = share(&output[output.len() / 4..], to, 1000.0);
            assert!(heard > 0.95, "{from:?} to {to:?}: {heard:.3}");
        }
    }
}

#[test]
fn losses_are_concealed_and_fade() {
    for rate in Rate::ALL {
        let (mut encoder, mut decoder) = (Encoder::new(rate), Decoder::new(rate));
        let frame = rate.hz() as usize / 50;
        let mut samples = vec![0; frame];
        for packet in packets(&mut encoder, &tone(rate, 400.0, 400), 20) {
            assert_eq!(decoder.decode(Some(&packet), &mut samples), Ok(frame));
        }
        let before = energy(&samples);
        assert_eq!(decoder.decode(None, &mut samples), Ok(frame));
        assert!(energy(&samples) > before / 4.0 && share(&samples, rate, 400.0) > 0.8, "{rate:?}");
        (0..100).for_each(|_| assert_eq!(decoder.decode(None, &mut samples), Ok(frame)));
        assert!(energy(&samples) < before / 1000.0, "{rate:?}: a long loss ends in silence");
        assert_eq!(decoder.decode(None, &mut samples[..frame / 2]), Ok(frame / 2));
        assert_eq!(decoder.decode(None, &mut samples[..frame / 2 + 1]), Err(Fault::Argument));
    }
}

/// Every fifth packet is lost; the copy in the next one must come nearer to what the encoder meant than a guess does.
#[test]
fn fec_recovers_what_a_guess_does_not() {
    for rate in Rate::ALL {
        let mut encoder = Encoder::new(rate);
        encoder.set_bitrate(32_000).unwrap();
        encoder.set_fec(true, 20).unwrap();
        let sent = packets(&mut encoder, &voice(rate, 4000), 20);
        let whole = decoded(rate, &sent);
        let frame = rate.hz() as usize / 50;
        let lossy = |recover: bool| {
            let (mut decoder, mut noise, mut samples) = (Decoder::new(rate), 0.0, vec![0; frame]);
            for (n, packet) in sent.iter().enumerate() {
                let done = match (n % 5 == 4, recover, sent.get(n + 1)) {
                    (false, ..) => decoder.decode(Some(packet), &mut samples),
                    (true, true, Some(next)) => decoder.decode_fec(next, &mut samples),
                    (true, ..) => decoder.decode(None, &mut samples),
                };
                assert_eq!(done, Ok(frame));
                let meant = &whole[n * frame..][..frame];
                if n % 5 == 4 {
                    noise +=
                        meant.iter().zip(&samples).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum::<f64>();
                }
            }
            noise
        };
        let gain = 10.0 * (lossy(false) / lossy(true)).log10();
        assert!(gain > 3.0, "{rate:?}: FEC gains {gain:.1} dB");
    }
}

#[test]
fn dtx_makes_pauses_short_and_a_narrow_band_keeps_the_rest_out() {
    let mut encoder = Encoder::new(Rate::Hz16000);
    encoder.set_dtx(true).unwrap();
    let sent = packets(&mut encoder, &vec![0; 32_000], 20);
    let short = sent.iter().filter(|p| p.len() <= DTX_OCTETS_MAX).count();
    assert!(short > sent.len() / 2, "{short} of {} short", sent.len());

    let sum: Vec<i16> =
        tone(Rate::Hz16000, 1000.0, 1000).iter().zip(tone(Rate::Hz16000, 6000.0, 1000)).map(|(&a, b)| a + b).collect();
    for (band, high_min, high_max) in [(Band::Wide, 0.2, 0.6), (Band::of_playback_rate(8000), 0.0, 0.01)] {
        let mut encoder = Encoder::new(Rate::Hz16000);
        encoder.set_band_max(band).unwrap();
        let output = decoded(Rate::Hz16000, &packets(&mut encoder, &sum, 20));
        let high = share(&output[8000..], Rate::Hz16000, 6000.0);
        assert!((high_min..=high_max).contains(&high), "{band:?}: {high:.3}");
    }
}

#[test]
fn a_reset_begins_anew_and_keeps_the_settings() {
    let input = voice(Rate::Hz8000, 400);
    let mut encoder = Encoder::new(Rate::Hz8000);
    encoder.set_bitrate(12_000).unwrap();
    let first = packets(&mut encoder, &input, 20);
    encoder.reset();
    assert_eq!(packets(&mut encoder, &input, 20), first);
    let mut decoder = Decoder::new(Rate::Hz8000);
    let mut run = || -> Vec<i16> {
        decoder.reset();
        let mut samples = [0; 160];
        first.iter().flat_map(|p| decoder.decode(Some(p), &mut samples).map(|_| samples).unwrap()).collect()
    };
    assert_eq!(run(), run());
}

#[test]
fn lengths_and_settings_out_of_range_are_refused() {
    let mut encoder = Encoder::new(Rate::Hz8000);
    let mut packet = [0; PACKET_MAX];
    for samples in [0, 1, 79, 81, 159, 161, 240, 960] {
        assert_eq!(encoder.encode(&vec![0; samples], &mut packet), Err(Fault::Argument), "{samples}");
    }
    assert_eq!(encoder.encode(&[0; 160], &mut []), Err(Fault::Short));
    assert_eq!(encoder.set_complexity(11), Err(Fault::Argument));
    assert!(
        encoder.set_bitrate(0).is_ok() && encoder.set_bitrate(u32::MAX).is_ok() && encoder.set_fec(true, 255).is_ok()
    );
    let mut decoder = Decoder::new(Rate::Hz8000);
    let n = encoder.encode(&[0; 160], &mut packet).unwrap();
    assert_eq!(decoder.decode(Some(&packet[..n]), &mut [0; 159]), Err(Fault::Short));
    assert_eq!(decoder.decode(Some(&[]), &mut [0; 160]), Err(Fault::Malformed));
    assert_eq!(decoder.decode(None, &mut []), Err(Fault::Short));
    assert_eq!(Rate::from_hz(44_100), None);
    assert!(Rate::ALL.iter().all(|&r| Rate::from_hz(r.hz()) == Some(r)));
}

#[test]
fn a_packet_tells_its_duration_without_being_decoded() {
    // TOC octets by RFC 6716 §3.1: configuration, stereo, code; and the count octet of code 3.
    for (packet, ticks) in [
        (&[0b0000_0000u8][..], Some(480)),
        (&[0b0000_1000], Some(960)),
        (&[0b0001_1100, 0], Some(2880)),
        (&[0b0001_1001, 0], Some(5760)),
        (&[0b1000_0000], Some(120)),
        (&[0b1111_1011, 3], Some(2880)),
        (&[0b1111_1011, 7], None),
        (&[0b1111_1011, 0], None),
        (&[0b1111_1011], None),
        (&[], None),
    ] {
        assert_eq!(duration_48k(packet), ticks, "{packet:?}");
    }
}

#[test]
fn no_octets_at_all_make_it_panic() {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut decoders = Rate::ALL.map(Decoder::new);
    let sent = packets(&mut Encoder::new(Rate::Hz16000), &voice(Rate::Hz16000, 1000), 20);
    let mut samples = vec![0; Rate::Hz48000.packet_samples_max()];
    let (mut taken, mut refused) = (0, 0);
    for round in 0..100_000 {
        // Half are noise (many with a TOC that says long silence), half are packets with one octet changed.
        let mut packet = sent[next() % sent.len()].clone();
        if round % 2 == 0 {
            packet = (0..next() % [4, 40, 400][next() % 3]).map(|_| next() as u8).collect();
        } else {
            let at = next() % packet.len();
            packet[at] = next() as u8;
        }
        let decoder = &mut decoders[next() % 3];
        let reach = [samples.len(), 160, 7][next() % 3];
        let done = if next() % 8 == 0 {
            decoder.decode_fec(&packet, &mut samples[..reach])
        } else {
            decoder.decode(Some(&packet), &mut samples[..reach])
        };
        match done {
            Ok(n) => {
                assert!(n <= reach);
                taken += 1;
            }
            Err(_) => refused += 1,
        }
        let _ = duration_48k(&packet);
    }
    assert!(taken > 10_000 && refused > 1_000, "{taken} taken, {refused} refused");
}

#[test]
fn a_shard_may_be_on_any_thread() {
    fn sendable<T: Send>() {}
    sendable::<Encoder>();
    sendable::<Decoder>();
}
