//! Legs with SRTP: what is on each side of the shard, what is refused, what a new key does.

use crate::rig::{PCMA, PCMU, Rig, keys, packet, peer, state};
use std::net::SocketAddr;
use std::time::Duration;
use tandem::media::command::{Event, Format, Hears, LegId, LegState};
use tandem::rtp::packet::Header;
use tandem::rtp::rtcp;
use tandem::rtp::srtp::{Keys, OVERHEAD_MAX, Session, Suite};

/// A peer that speaks SRTP.
struct Phone {
    n: u64,
    session: Session,
    sequence: u16,
}

impl Phone {
    fn new(n: u64, keys: Keys) -> Phone {
        Phone { n, session: Session::new(keys), sequence: 32_700 }
    }

    fn sealed(&mut self, format: Format, payload: &[u8]) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut bytes = packet(format.payload_type, self.sequence, u32::from(self.sequence) * 160, 0xabcd, payload);
        let len = bytes.len();
        bytes.resize(len + OVERHEAD_MAX, 0);
        let len = self.session.protect_rtp(&mut bytes, len).unwrap();
        bytes.truncate(len);
        bytes
    }

    fn say(&mut self, rig: &mut Rig, format: Format, payload: &[u8]) {
        let bytes = self.sealed(format, payload);
        rig.receive(self.n, peer(self.n as u16), &bytes);
    }

    /// What the shard sent to it, decrypted: payload type and payload.
    fn hear(&mut self, rig: &mut Rig) -> Vec<(u8, Vec<u8>)> {
        let mine = |(port, ..): &&mut (u32, SocketAddr, Vec<u8>)| u64::from(*port) == self.n;
        let mut heard = Vec::new();
        for (_, _, bytes) in rig.kept.rtp.iter_mut().filter(mine) {
            let len = self.session.unprotect_rtp(bytes).expect("a packet under our key");
            let header = Header::parse(&bytes[..len]).unwrap();
            heard.push((header.payload_type, header.payload(&bytes[..len]).to_vec()));
        }
        rig.kept.rtp.retain(|(port, ..)| u64::from(*port) != self.n);
        heard
    }
}

fn secure(n: u16, format: Format, hears: Hears, keys: Keys) -> LegState {
    LegState { srtp: Some(Box::new(keys)), ..state(n, format, hears) }
}

/// Leg 1 with SRTP and leg 2 without hear each other.
fn mixed(suite: Suite, two: Format) -> (Rig, Phone) {
    let mut rig = Rig::bridged(PCMU, two);
    let (ours, theirs) = keys(suite);
    rig.set(1, secure(1, PCMU, Hears::Leg(LegId(2)), ours));
    (rig, Phone::new(1, theirs))
}

#[test]
fn a_protected_and_a_plain_phone_hear_each_other() {
    for suite in Suite::ALL {
        for two in [PCMU, PCMA] {
            let (mut rig, mut phone) = mixed(suite, two);
            for n in 0..200u8 {
                phone.say(&mut rig, PCMU, &[n; 160]);
                let sent = rig.sent();
                let expected = if two == PCMU { n } else { codecs::g711::ulaw_to_alaw(n) };
                assert_eq!((sent[0].port, &sent[0].payload), (2, &vec![expected; 160]));
                rig.say(2, two.payload_type, u16::from(n), u32::from(n) * 160, 0xb);
                let expected = if two == PCMU { 0x55 } else { codecs::g711::alaw_to_ulaw(0x55) };
                assert!(!rig.kept.rtp[0].2[12..].starts_with(&[expected; 8]), "plain on the wire");
                assert_eq!(phone.hear(&mut rig), [(0, vec![expected; 160])]);
            }
            assert_eq!(rig.close(1).packets_refused, 0);
        }
    }
}

#[test]
fn two_keys_meet_in_one_call_and_an_echo_comes_back() {
    let mut rig = Rig::bridged(PCMU, PCMU);
    let (ours, theirs) = keys(Suite::AeadAes256Gcm);
    rig.set(1, secure(1, PCMU, Hears::Leg(LegId(2)), ours));
    let mut one = Phone::new(1, theirs);
    let (ours, theirs) = keys(Suite::AesCm128HmacSha1_32);
    rig.set(2, secure(2, PCMU, Hears::Leg(LegId(1)), ours.clone()));
    let mut two = Phone::new(2, theirs);
    for n in 0..50 {
        one.say(&mut rig, PCMU, &[n; 160]);
        assert_eq!(two.hear(&mut rig), [(0, vec![n; 160])]);
        two.say(&mut rig, PCMU, &[n ^ 0xff; 160]);
        assert_eq!(one.hear(&mut rig), [(0, vec![n ^ 0xff; 160])]);
    }
    rig.set(2, secure(2, PCMU, Hears::Echo, ours.clone()));
    two.say(&mut rig, PCMU, &[7; 160]);
    assert_eq!(two.hear(&mut rig), [(0, vec![7; 160])]);
    // What we make ourselves.
    rig.set(2, secure(2, PCMU, Hears::Silence, ours));
    rig.pass_ms(100);
    assert_eq!(two.hear(&mut rig), vec![(0, vec![0xff; 160]); 5]);
}

#[test]
fn what_the_key_does_not_protect_is_refused_counted_and_told_once() {
    let (mut rig, mut phone) = mixed(Suite::AesCm128HmacSha1_80, PCMU);
    let good = phone.sealed(PCMU, &[1; 160]);
    let mut forged = good.clone();
    forged[100] ^= 1;
    rig.receive(1, peer(66), &forged);
    rig.receive(1, peer(66), &packet(0, 1, 0, 9, &[0; 160]));
    rig.receive(1, peer(66), b"\x80");
    rig.receive_rtcp(1, peer(1), &[0x80, 201, 0, 1, 0, 0, 0, 9]);
    assert_eq!(rig.events(), [Event::Unprotected { leg: LegId(1), source: peer(66) }]);
    rig.receive(1, peer(1), &good);
    rig.receive(1, peer(1), &good);
    // Nothing of a stranger's has moved the latch.
    assert_eq!(rig.events(), [Event::Latched { leg: LegId(1), source: peer(1) }]);
    assert_eq!(rig.sent().len(), 1);
    let quality = rig.close(1);
    assert_eq!((quality.packets_refused, quality.packets_unprotected, quality.packets_replayed), (5, 4, 1));
    assert_eq!(quality.packets_received, 1);
}

#[test]
fn a_new_key_loses_nothing_and_the_same_one_begins_nothing_anew() {
    let (mut rig, mut phone) = mixed(Suite::AesCm128HmacSha1_80, PCMU);
    let (ours, theirs) = keys(Suite::AesCm128HmacSha1_80);
    for n in 0..40 {
        phone.say(&mut rig, PCMU, &[n; 160]);
        rig.say(2, 0, u16::from(n), u32::from(n) * 160, 0xb);
    }
    // A re-INVITE with the same keys, as a hold is.
    rig.set(1, LegState { ptime_ms: 30, ..secure(1, PCMU, Hears::Leg(LegId(2)), ours) });
    phone.say(&mut rig, PCMU, &[0; 160]);
    rig.say(2, 0, 40, 6_400, 0xb);
    assert_eq!(phone.hear(&mut rig).len(), 41);
    let late = phone.sealed(PCMU, &[1; 160]);
    let (ours, fresh) = keys(Suite::AeadAes128Gcm);
    rig.set(1, secure(1, PCMU, Hears::Leg(LegId(2)), ours));
    rig.receive(1, peer(1), &late);
    let mut next = Phone { n: 1, session: Session::new(fresh), sequence: phone.sequence };
    next.say(&mut rig, PCMU, &[2; 160]);
    rig.say(2, 0, 41, 6_560, 0xb);
    assert_eq!(next.hear(&mut rig).len(), 1);
    assert_eq!(rig.sent().iter().filter(|s| s.port == 2).count(), 43);
    assert_ne!(theirs, *next.session.keys());
    // Without keys again, it is plain again.
    rig.set(1, state(1, PCMU, Hears::Leg(LegId(2))));
    rig.say(1, 0, 9, 0, 0xa);
    rig.say(2, 0, 42, 6_720, 0xb);
    assert_eq!(rig.sent().len(), 2);
    assert_eq!(rig.close(1).packets_refused, 0);
}

/// What we protect under a key once left is under another SSRC, so that no index is used twice.
#[test]
fn a_key_that_comes_back_begins_under_another_ssrc() {
    let (mut rig, _) = mixed(Suite::AeadAes128Gcm, PCMU);
    let mut named = Vec::new();
    let with = |suite| secure(1, PCMU, Hears::Leg(LegId(2)), keys(suite).0);
    for (n, state) in [
        with(Suite::AeadAes128Gcm),
        with(Suite::AesCm128HmacSha1_80),
        LegState { ptime_ms: 30, ..with(Suite::AesCm128HmacSha1_80) },
        state(1, PCMU, Hears::Leg(LegId(2))),
        with(Suite::AeadAes128Gcm),
    ]
    .into_iter()
    .enumerate()
    {
        rig.set(1, state);
        rig.say(2, 0, n as u16, n as u32 * 160, 0xb);
        let sent = rig.kept.rtp.pop().expect("a packet").2;
        named.push(u32::from_be_bytes([sent[8], sent[9], sent[10], sent[11]]));
    }
    let [first, second, held, plain, again] = named[..] else { panic!("{named:?}") };
    assert!(first != second && second == held && held == plain && again != plain && again != first && again != second);
}

#[test]
fn reports_are_protected_too() {
    let (mut rig, mut phone) = mixed(Suite::AeadAes256Gcm, PCMU);
    for n in 0..10 {
        phone.say(&mut rig, PCMU, &[n; 160]);
        rig.say(2, 0, u16::from(n), u32::from(n) * 160, 0xb);
    }
    rig.pass(Duration::from_secs(9));
    let ssrc = Header::parse(&rig.kept.rtp.iter().find(|(port, ..)| *port == 1).unwrap().2).unwrap().ssrc;
    let mut report = vec![0x81, 201, 0, 7, 0, 0, 0xab, 0xcd];
    report.extend(ssrc.to_be_bytes());
    report.extend([0, 0, 0, 5, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    let len = report.len();
    report.resize(len + OVERHEAD_MAX, 0);
    let len = phone.session.protect_rtcp(&mut report, len).unwrap();
    rig.receive_rtcp(1, peer(1), &report[..len]);
    let quality = rig.close(1);
    assert_eq!((quality.remote_lost, quality.remote_jitter_ms, quality.packets_refused), (Some(5), Some(1.0), 0));
    let mut reports = 0;
    for (_, _, bytes) in rig.kept.rtcp.iter_mut().filter(|(port, ..)| *port == 1) {
        let len = phone.session.unprotect_rtcp(bytes).expect("a report under our key");
        reports += rtcp::parse(&bytes[..len]).unwrap().count();
    }
    assert!(reports >= 4, "{reports}");
}
