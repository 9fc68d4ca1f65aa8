//! The vectors of the RFCs, and what must hold of any packet.

use super::cipher::{ENCRYPTED, Keystream, Transform};
use super::*;
use crate::base::rng::Rng;
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|c| u8::from_str_radix(std::str::from_utf8(c).unwrap(), 16).unwrap()).collect()
}

fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |n, b| n << 8 | u128::from(*b))
}

/// A key of `suite` whose bytes count from `first`.
fn master(suite: Suite, first: u8, mki: &[u8]) -> Master {
    let material: Vec<u8> = (0..suite.material_len() as u8).map(|n| n.wrapping_add(first)).collect();
    Master::new(suite, &material, mki).unwrap()
}

/// Two ends of one leg.
fn pair(suite: Suite, mki: &[u8]) -> (Session, Session) {
    let (a, b) = (master(suite, 1, mki), master(suite, 101, mki));
    let keys = |send: &Master, receive: &Master| Keys { send: send.clone(), receive: receive.clone() };
    (Session::new(keys(&a, &b)), Session::new(keys(&b, &a)))
}

fn rtp(sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 0, (sequence >> 8) as u8, sequence as u8, 0, 0, 0, 9];
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..160u8).map(|n| n ^ sequence as u8));
    packet
}

fn rtcp(ssrc: u32) -> Vec<u8> {
    let mut packet = hex("81c90007");
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xab; 24]);
    packet
}

fn seal(session: &mut Session, packet: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + OVERHEAD_MAX, 0);
    let len = session.protect_rtp(&mut buffer, packet.len())?;
    buffer.truncate(len);
    Ok(buffer)
}

fn seal_rtcp(session: &mut Session, packet: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + OVERHEAD_MAX, 0);
    let len = session.protect_rtcp(&mut buffer, packet.len())?;
    buffer.truncate(len);
    Ok(buffer)
}

fn open(session: &mut Session, packet: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut buffer = packet.to_vec();
    let taken = session.unprotect_rtp(&mut buffer);
    assert!(taken.is_ok() || buffer == packet, "a refused packet was changed");
    buffer.truncate(taken?);
    Ok(buffer)
}

fn open_rtcp(session: &mut Session, packet: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut buffer = packet.to_vec();
    let taken = session.unprotect_rtcp(&mut buffer);
    assert!(taken.is_ok() || buffer == packet, "a refused packet was changed");
    buffer.truncate(taken?);
    Ok(buffer)
}

// ---- vectors -----------------------------------------------------------------------------------------------------------

#[test]
fn keystreams_of_rfc_3711_and_rfc_6188() {
    let check = |key: &str, rows: &[(usize, &str)]| {
        let mut out = vec![0; 16 << 16];
        Keystream::new(&hex(key)).apply(number(&hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd")), &mut out);
        for (block, expected) in rows {
            assert_eq!(out[block * 16..block * 16 + 16], hex(expected), "{key} {block:#x}");
        }
    };
    // RFC 3711 B.2.
    check(
        "2b7e151628aed2a6abf7158809cf4f3c",
        &[
            (0, "e03ead0935c95e80e166b16dd92b4eb4"),
            (1, "d23513162b02d0f72a43a2fe4a5f97ab"),
            (2, "41e95b3bb0a2e8dd477901e4fca894c0"),
            (0xfeff, "ec8cdf7398607cb0f2d21675ea9ea1e4"),
            (0xff00, "362b7c3c6773516318a077d7fc5073ae"),
            (0xff01, "6a2cc3787889374fbeb4c81b17ba6c44"),
        ],
    );
    // RFC 6188 §7.2.
    check(
        "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98",
        &[(0, "92bdd28a93c3f52511c677d08b5515a4"), (1, "9da71b2378a854f67050756ded165bac")],
    );
}

#[test]
fn session_keys_of_rfc_3711_and_rfc_6188() {
    let check = |suite, key: &str, rows: [&str; 3]| {
        let master = Master::new(suite, &hex(key), &[]).unwrap();
        for (label, expected) in rows.iter().enumerate() {
            let expected = hex(expected);
            assert_eq!(Transform::derived(&master, label as u8, expected.len()), expected, "{suite:?} {label}");
        }
    };
    // RFC 3711 B.3.
    check(
        Suite::AesCm128HmacSha1_80,
        "e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6",
        [
            "c61e7a93744f39ee10734afe3ff7a087",
            "cebe321f6ff7716b6fd4ab49af256a15 6d38baa48f0a0acf3c34e2359e6cdbce e049646c43d9327ad175578ef7227098 \
             6371c10c9a369ac2f94a8c5fbcdddc25 6d6e919a48b610ef17c2041e47403576 6b68642c59bbfc2f34db60dbdfb2",
            "30cbbc08863d8c85d49db34a9ae1",
        ],
    );
    // RFC 6188 §7.3.
    check(
        Suite::AesCm256HmacSha1_80,
        "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6 3b04803de51ee7c96423ab5b78d2",
        [
            "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
            "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
            "fa31791685ca444a9e07c6c64e93",
        ],
    );
}

#[test]
fn packets_that_other_implementations_test_themselves_with() {
    let key = hex("e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6");
    for (suite, tag) in [(Suite::AesCm128HmacSha1_80, "b78d6acc99ea179b8dbb"), (Suite::AesCm128HmacSha1_32, "b78d6acc")]
    {
        let master = Master::new(suite, &key, &[]).unwrap();
        let mut session = Session::new(Keys { send: master.clone(), receive: master });
        let plain = hex("800f1234decafbadcafebabe abababababababababababababababab");
        let sealed = hex(&format!("800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 {tag}"));
        assert_eq!(seal(&mut session, &plain), Ok(sealed.clone()));
        assert_eq!(open(&mut session, &sealed), Ok(plain));
        let plain = hex("81c8000bcafebabe abababababababababababababababab");
        let sealed = hex("81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798");
        session.outbound.wind(0xcafe_babe, 0, 0);
        assert_eq!(open_rtcp(&mut session, &sealed), Ok(plain.clone()));
        let mut other = Session::new(session.keys().clone());
        other.outbound.wind(0xcafe_babe, 0, 0);
        assert_eq!(seal_rtcp(&mut other, &plain), Ok(sealed));
    }
}

#[test]
fn packets_of_rfc_7714() {
    let salt = b"Quid pro quo";
    let key = |len: u8| (0..len).collect::<Vec<u8>>();
    let rtp =
        hex("8040f17b8041f8d35501a0b2 47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573");
    let rtcp = hex(
        "81c8000d4d617273 4e5450314e545032525450200000042a0000e9304c756e61 deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
    );
    let rows = [
        (
            Suite::AeadAes128Gcm,
            16,
            // §16.1, §17.1.
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833 899d7f27beb16a9152cf765ee4390cce",
            "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade",
        ),
        (
            Suite::AeadAes256Gcm,
            32,
            // §16.2, §17.2.
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b 7aa3db36dfffd6b0f9bb7878d7a76c13",
            "d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be",
        ),
    ];
    for (suite, len, sealed_rtp, sealed_rtcp) in rows {
        let transform = Transform::with_session_keys(suite, &key(len), salt);
        let at = (0x5501_a0b2, 0xf17b);
        let (mut packet, mut tag) = (rtp.clone(), [0; 16]);
        assert!(transform.seal_rtp(at, 12, &mut packet, &mut tag));
        assert_eq!([&packet[12..], &tag].concat(), hex(sealed_rtp), "{suite:?}");
        assert!(transform.open_rtp(at, 12, &mut packet, &tag) && packet == rtp);

        let (mut packet, ssrc) = (rtcp.clone(), 0x4d61_7273);
        assert!(transform.seal_rtcp((ssrc, 0x5d4), &mut packet, &mut tag));
        assert_eq!([&packet[8..], &tag].concat(), hex(sealed_rtcp), "{suite:?}");
        assert!(transform.open_rtcp((ssrc, ENCRYPTED | 0x5d4), &mut packet, &tag) && packet == rtcp);
    }
    // §17.3: a tag, and nothing encrypted.
    let transform = Transform::with_session_keys(Suite::AeadAes128Gcm, &key(16), salt);
    let mut packet = rtcp.clone();
    let tag = hex("841dd9683dd78ec92ae58790125f62b3");
    assert!(transform.open_rtcp((0x4d61_7273, 0x5d4), &mut packet, &tag) && packet == rtcp);
    assert!(!transform.open_rtcp((0x4d61_7273, 0x5d5), &mut packet, &tag));
}

// ---- streams -----------------------------------------------------------------------------------------------------------

#[test]
fn every_suite_comes_through_with_and_without_mki() {
    for suite in Suite::ALL {
        for mki in [&[][..], &[1, 2, 3, 4]] {
            let (mut a, mut b) = pair(suite, mki);
            for n in 0..400u16 {
                let plain = rtp(65_400u16.wrapping_add(n), 7);
                let sealed = seal(&mut a, &plain).unwrap();
                assert!(sealed.len() <= plain.len() + OVERHEAD_MAX && sealed[..12] == plain[..12]);
                assert_ne!(sealed[12..172], plain[12..]);
                assert_eq!(open(&mut b, &sealed), Ok(plain), "{suite:?}");
                assert_eq!(open(&mut b, &sealed), Err(Refused::Replayed));
                assert_eq!(open(&mut a, &sealed), Err(Refused::Forged), "a packet sent back to its sender");
                let report = rtcp(7);
                let sealed = seal_rtcp(&mut a, &report).unwrap();
                assert_eq!(open_rtcp(&mut b, &sealed), Ok(report));
                assert_eq!(open_rtcp(&mut b, &sealed), Err(Refused::Replayed));
            }
        }
        assert_eq!(Suite::from_name(&suite.name().to_lowercase()), Some(suite));
    }
}

#[test]
fn loss_and_disorder_around_the_rollover() {
    let (mut a, mut b) = pair(Suite::AesCm128HmacSha1_80, &[]);
    let mut sealed: Vec<Vec<u8>> =
        (0..300u16).map(|n| seal(&mut a, &rtp(65_436u16.wrapping_add(n), 7)).unwrap()).collect();
    sealed[90..].chunks_mut(7).for_each(<[_]>::reverse);
    for (n, packet) in sealed.iter().enumerate().filter(|(n, _)| n % 11 != 5) {
        assert!(open(&mut b, packet).is_ok(), "{n}");
    }
    // A sender takes no sequence number twice, and none from long ago.
    assert_eq!(seal(&mut a, &rtp(100, 7)), Err(Refused::Replayed));
    assert_eq!(seal(&mut a, &rtp(65_436, 7)), Err(Refused::Replayed));
}

#[test]
fn what_is_forged_leaves_no_trace() {
    for suite in Suite::ALL {
        let (mut a, mut b) = pair(suite, &[9]);
        let sealed = seal(&mut a, &rtp(1, 7)).unwrap();
        let report = seal_rtcp(&mut a, &rtcp(7)).unwrap();
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 0x10;
            assert!(open(&mut b, &bad).is_err(), "{suite:?} {at}");
            assert!(open(&mut b, &sealed[..at]).is_err());
        }
        for at in 0..report.len() {
            let mut bad = report.clone();
            bad[at] ^= 0x10;
            assert!(open_rtcp(&mut b, &bad).is_err(), "{suite:?} {at}");
            assert!(open_rtcp(&mut b, &report[..at]).is_err());
        }
        assert_eq!(b.inbound[0].as_ref().unwrap().streams(), 0, "state of a stranger is kept");
        assert!(open(&mut b, &sealed).is_ok() && open_rtcp(&mut b, &report).is_ok());
    }
}

#[test]
fn the_key_ends_with_its_indexes() {
    let (mut a, mut b) = pair(Suite::AeadAes128Gcm, &[]);
    a.outbound.wind(7, RTP_INDEX_MAX - 1, u64::from(RTCP_INDEX_MAX) - 1);
    b.inbound[0].as_mut().unwrap().wind(7, RTP_INDEX_MAX - 1, u64::from(RTCP_INDEX_MAX) - 1);
    let last = seal(&mut a, &rtp(0xffff, 7)).unwrap();
    assert!(open(&mut b, &last).is_ok());
    assert_eq!(seal(&mut a, &rtp(0, 7)), Err(Refused::Exhausted));
    assert_eq!(open(&mut b, &rtp(0, 7)), Err(Refused::Exhausted));
    let last = seal_rtcp(&mut a, &rtcp(7)).unwrap();
    assert!(open_rtcp(&mut b, &last).is_ok());
    assert_eq!(seal_rtcp(&mut a, &rtcp(7)), Err(Refused::Exhausted));
}

#[test]
fn streams_are_bounded_in_both_directions() {
    let (mut a, mut b) = pair(Suite::AesCm128HmacSha1_80, &[]);
    let mut sealed = Vec::new();
    for round in 0..3 {
        for ssrc in 1..=STREAMS_MAX as u32 {
            sealed.push(seal(&mut a, &rtp(round, ssrc)).unwrap());
        }
    }
    assert_eq!(seal(&mut a, &rtp(1, 99)), Err(Refused::Exhausted));
    assert_eq!(seal_rtcp(&mut a, &rtcp(99)), Err(Refused::Exhausted));
    assert!(sealed.iter().all(|packet| open(&mut b, packet).is_ok()));
    // A peer that changes its SSRC more often is followed.
    let (mut c, _) = pair(Suite::AesCm128HmacSha1_80, &[]);
    for ssrc in 100..120 {
        c.outbound = Outbound::new(&c.keys.send);
        let packet = seal(&mut c, &rtp(1, ssrc)).unwrap();
        assert!(open(&mut b, &packet).is_ok());
        assert_eq!(open(&mut b, &packet), Err(Refused::Replayed));
        assert_eq!(b.inbound[0].as_ref().unwrap().streams(), STREAMS_MAX);
    }
}

#[test]
fn a_new_key_loses_nothing_and_the_old_one_ends() {
    for (from, to) in
        [(Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_80), (Suite::AeadAes256Gcm, Suite::AesCm128HmacSha1_32)]
    {
        let (mut a, mut b) = pair(from, &[]);
        for n in 0..100u16 {
            let packet = seal(&mut a, &rtp(65_500u16.wrapping_add(n), 7)).unwrap();
            assert!(open(&mut b, &packet).is_ok());
        }
        let late: Vec<_> = (64..74).map(|n| seal(&mut a, &rtp(n, 7)).unwrap()).collect();
        // Our own key stays, the peer's changes.
        let fresh = master(to, 200, &[]);
        let mut next_a = Session::new(Keys { send: fresh.clone(), receive: a.keys.receive.clone() });
        let mut next_b = Session::new(Keys { send: b.keys.send.clone(), receive: fresh });
        assert!(!next_a.follow(&mut a) && next_b.follow(&mut b));
        assert!(open(&mut next_b, &late[0]).is_ok());
        for n in 74..100 {
            let packet = seal(&mut next_a, &rtp(n, 7)).unwrap();
            assert!(open(&mut next_b, &packet).is_ok(), "{n}");
        }
        assert!(late[1..].iter().all(|packet| open(&mut next_b, packet).is_ok()));
        assert!(late.iter().all(|packet| open(&mut next_b, packet) == Err(Refused::Replayed)));
        let back = seal(&mut next_b, &rtp(1, 8)).unwrap();
        assert!(open(&mut next_a, &back).is_ok());
        for n in 100..300 {
            let packet = seal(&mut next_a, &rtp(n, 7)).unwrap();
            assert!(open(&mut next_b, &packet).is_ok(), "{n}");
        }
        let stray = seal(&mut a, &rtp(301, 7)).unwrap();
        assert_eq!(open(&mut next_b, &stray), Err(Refused::Forged), "the former key is over");
        // The same keys once more: nothing begins anew.
        let again = seal(&mut next_a, &rtp(300, 7)).unwrap();
        assert!(open(&mut next_b, &again).is_ok());
        let mut same = Session::new(next_b.keys.clone());
        assert!(same.follow(&mut next_b));
        assert_eq!(open(&mut same, &again), Err(Refused::Replayed));
    }
}

#[test]
fn a_sender_that_goes_on_counting_under_a_new_key_is_followed() {
    let (mut a, mut b) = pair(Suite::AesCm128HmacSha1_80, &[]);
    for sequence in [65_000, 65_535, 0, 5] {
        let packet = seal(&mut a, &rtp(sequence, 7)).unwrap();
        assert!(open(&mut b, &packet).is_ok());
    }
    let fresh = master(Suite::AesCm128HmacSha1_80, 200, &[]);
    let mut next = Session::new(Keys { send: b.keys.send.clone(), receive: fresh.clone() });
    assert!(next.follow(&mut b));
    let mut counting = Session::new(Keys { send: fresh, receive: a.keys.receive.clone() });
    counting.outbound.wind(7, 0x1_0005, 0);
    let packet = seal(&mut counting, &rtp(6, 7)).unwrap();
    assert!(open(&mut next, &packet).is_ok());
}

#[test]
fn keys_come_from_their_seed_and_never_twice() {
    let draw = |source: &mut KeySource| Master::generate(Suite::AeadAes256Gcm, source).material().to_vec();
    let (mut a, mut b) = (KeySource::new([7; 32]), KeySource::new([7; 32]));
    let first: Vec<_> = (0..50).map(|_| draw(&mut a)).collect();
    assert!(first.iter().all(|key| *key == draw(&mut b)));
    let mut sorted = first.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((sorted.len(), first[0].len()), (50, 44));
    assert!(first.iter().all(|key| key.iter().any(|b| *b != 0)));
    let shown = format!("{:?} {:?}", a, master(Suite::AeadAes128Gcm, 1, &[]));
    assert_eq!(shown, "<secret> AEAD_AES_128_GCM <secret>");
    assert!(Master::new(Suite::AesCm128HmacSha1_80, &[0; 29], &[]).is_none());
    assert!(Master::new(Suite::AesCm128HmacSha1_80, &[0; 30], &[0; MKI_LEN_MAX + 1]).is_none());
}

#[test]
fn random_packets_are_refused() {
    let mut rng = Rng::from_seed(3);
    for suite in Suite::ALL {
        let (_, mut b) = pair(suite, &[]);
        for _ in 0..20_000 {
            let mut packet: Vec<u8> = (0..rng.below(64)).map(|_| rng.next_u32() as u8).collect();
            if let Some(first) = packet.first_mut() {
                *first = *first & 0x3f | 0x80;
            }
            assert!(open(&mut b, &packet).is_err() && open_rtcp(&mut b, &packet).is_err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_packet_comes_through_or_is_refused(
        (suite, head) in (0..6usize, 0..32u8),
        body in prop::collection::vec(any::<u8>(), 0..1_400),
        flip in any::<prop::sample::Index>(),
    ) {
        let suite = Suite::ALL[suite];
        let (mut a, mut b) = pair(suite, &[]);
        let packet = [&[0x80 | head, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7][..], &body].concat();
        match seal(&mut a, &packet) {
            Ok(sealed) => {
                let mut bad = sealed.clone();
                bad[flip.index(sealed.len())] ^= 1;
                prop_assert!(open(&mut b, &bad).is_err());
                prop_assert_eq!(open(&mut b, &sealed), Ok(packet));
            }
            Err(why) => prop_assert_eq!(why, Refused::Malformed),
        }
        let report = [&[0x80, 200, 0, 1, 0, 0, 0, 7][..], &body].concat();
        let sealed = seal_rtcp(&mut a, &report).unwrap();
        prop_assert_eq!(open_rtcp(&mut b, &sealed), Ok(report));
    }
}

/// The key came after the first packets, and the sequence wrapped between.
#[test]
fn a_stream_is_taken_whose_begin_was_missed_before_the_wrap() {
    for suite in [Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm] {
        let (mut sender, mut receiver) = pair(suite, &[]);
        for sequence in 65_500..=65_535u16 {
            seal(&mut sender, &rtp(sequence, 7)).unwrap();
        }
        for sequence in 0..4u16 {
            let sealed = seal(&mut sender, &rtp(sequence, 7)).unwrap();
            assert_eq!(open(&mut receiver, &sealed), Ok(rtp(sequence, 7)), "{suite:?} {sequence}");
            assert!(open(&mut receiver, &sealed).is_err(), "{suite:?}: a replay");
        }
    }
}
