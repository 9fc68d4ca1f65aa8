use super::*;
use crate::base::time::{Duration, Instant, Wall};
use crate::sip::wire::Message;
use bytes::Bytes;

const X5U: &str = "https://cert.example.org/passport.cer";
/// RFC 8225 Appendix A.
const RFC_INPUT: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9jZXJ0LmV4YW1wbGUub3JnL3Bhc3Nwb3J0LmNlciJ9.eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI6MTQ3MTM3NTQxOCwib3JpZyI6eyJ0biI6IjEyMTU1NTUxMjEyIn19";
const NOW: i64 = 1_471_375_430;

fn wall(s: i64) -> Wall {
    Wall(s * 1_000_000)
}

fn tn(text: &str) -> Party {
    Party::Number(text.into())
}

fn invite(lines: &str) -> Message {
    let text = format!(
        "INVITE sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nFrom: <sip:+12155551212@a>;tag=1\r\n\
         To: <sip:alice@example.com>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n{lines}Content-Length: 0\r\n\r\n"
    );
    Message::parse(Bytes::from(text)).expect("a test message parses")
}

fn claims(iat: i64) -> Claims {
    Claims {
        iat,
        orig: tn("12155551212"),
        dest: vec![Party::Uri("sip:alice@example.com".into())],
        attest: Some(Attest::A),
        origid: Some("123e4567-e89b-12d3-a456-426655440000".into()),
    }
}

fn field(input: &str, info: &str, ppt: &str) -> String {
    let signature = "A".repeat(86);
    format!("Identity: {input}.{signature};info=<{info}>;alg=ES256{ppt}\r\n")
}

fn found(lines: &str) -> Found {
    let dest = [Party::Uri("sip:alice@example.com".into()), tn("100")];
    check(&invite(lines), &[tn("12155551212")], &dest, wall(NOW), Duration::from_secs(60))
}

#[test]
fn the_base_passport_is_that_of_the_appendix() {
    let base = Claims { attest: None, origid: None, ..claims(1_471_375_418) };
    assert_eq!(signing_input(X5U, &base), RFC_INPUT);
}

#[test]
fn a_shaken_passport_has_the_shape_of_rfc_8588() {
    let input = signing_input(
        "https://biloxi.example.org/biloxi.cer",
        &Claims { dest: vec![tn("12155551213")], ..claims(1_443_208_345) },
    );
    let (head, payload) = input.split_once('.').expect("two parts");
    let text = |part: &str| String::from_utf8(passport::decode(part).expect("Base64")).expect("UTF-8");
    assert_eq!(
        text(head),
        r#"{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://biloxi.example.org/biloxi.cer"}"#
    );
    assert_eq!(
        text(payload),
        r#"{"attest":"A","dest":{"tn":["12155551213"]},"iat":1443208345,"orig":{"tn":"12155551212"},"origid":"123e4567-e89b-12d3-a456-426655440000"}"#
    );
}

#[test]
fn numbers_have_one_form() {
    for (text, want) in [
        ("+1-215-555-1212", Some("12155551212")),
        ("(215) 555.1212", Some("2155551212")),
        ("*67", Some("*67")),
        ("alice", None),
        ("+", None),
        ("", None),
        ("1234567890123456", None),
    ] {
        assert_eq!(number(text).as_deref(), want, "{text}");
    }
    assert_eq!(Party::of_user("alice", "Example.COM"), Party::Uri("sip:alice@example.com".into()));
}

#[test]
fn a_token_that_fits_is_to_be_verified() {
    let input = signing_input(X5U, &claims(NOW - 5));
    for (name, ppt) in
        [("Identity", ";ppt=shaken"), ("identity", ";ppt=\"shaken\""), ("y", ""), ("Identity", ";other=1")]
    {
        let line = field(&input, X5U, ppt).replacen("Identity", name, 1);
        let Found::ToVerify(claimed, candidate) = found(&line) else { panic!("{line}: {:?}", found(&line)) };
        assert_eq!((claimed.attest, &candidate.input, candidate.x5u.as_str()), (Some(Attest::A), &input, X5U));
    }
}

#[test]
fn what_does_not_fit_is_told_by_its_kind() {
    let shaken = |claims: Claims| field(&signing_input(X5U, &claims), X5U, ";ppt=shaken");
    let right = || claims(NOW);
    let rows: [(String, Kind); 15] = [
        (shaken(claims(NOW - 61)), Kind::Stale),
        (shaken(claims(NOW + 61)), Kind::Stale),
        (shaken(claims(i64::MIN)), Kind::Stale),
        (format!("Date: Tue, 16 Aug 2016 19:22:10 GMT\r\n{}", shaken(right())), Kind::Stale),
        (shaken(Claims { orig: tn("12155551213"), ..right() }), Kind::Invalid),
        (shaken(Claims { dest: vec![tn("101")], ..right() }), Kind::Invalid),
        (shaken(Claims { dest: vec![], ..right() }), Kind::Invalid),
        (shaken(Claims { origid: None, ..right() }), Kind::Invalid),
        (field(&signing_input(X5U, &Claims { attest: None, ..right() }), X5U, ";ppt=shaken"), Kind::Invalid),
        (shaken(right()).replace("ES256", "RS256"), Kind::Unsupported),
        (field(&signing_input(X5U, &right()), "https://other/", ";ppt=shaken"), Kind::BadInfo),
        (field("e30.e30", X5U, ";ppt=shaken"), Kind::Invalid),
        ("Identity: nonsense\r\n".into(), Kind::Invalid),
        ("Identity: a.b.c;info=<x>\r\n".into(), Kind::Invalid),
        (field(".", X5U, ";ppt=shaken"), Kind::Invalid),
    ];
    for (lines, want) in rows {
        match found(&lines) {
            Found::Wrong(_, fault) => assert_eq!(fault.kind, want, "{lines}: {}", fault.why),
            other => panic!("{lines}: {other:?}"),
        }
    }
}

#[test]
fn kinds_of_tokens_that_we_do_not_know_are_none() {
    let other = field(&signing_input(X5U, &claims(NOW)).replacen("shaken", "div", 1), X5U, ";ppt=div");
    assert_eq!(found(&other), Found::Nothing);
    assert_eq!(found(""), Found::Nothing);
    let both = format!("{other}{}", field(&signing_input(X5U, &claims(NOW)), X5U, ";ppt=shaken"));
    assert!(matches!(found(&both), Found::ToVerify(..)));
}

#[test]
fn the_compact_form_is_made_again_from_the_invite() {
    let lines = format!("Date: Tue, 16 Aug 2016 19:23:38 GMT\r\n{}", field(".", X5U, ""));
    let Found::ToVerify(claimed, candidate) = found(&lines) else { panic!("{:?}", found(&lines)) };
    assert_eq!((claimed, candidate.input.as_str()), (Claimed::default(), RFC_INPUT));
    for lines in [field(".", X5U, ""), format!("Date: yesterday\r\n{}", field(".", X5U, ""))] {
        assert!(matches!(found(&lines), Found::Wrong(_, Fault { kind: Kind::Invalid, .. })), "{lines}");
    }
}

#[test]
fn a_token_serves_one_call() {
    let (mut seen, fresh) = (Replays::default(), Duration::from_secs(60));
    let at = |s: u64| Instant::from_micros(s * 1_000_000);
    let rows = [
        (1, 7u8, "a", true),
        (2, 7, "a", true),
        (3, 7, "b", false),
        (4, 8, "b", true),
        (120, 7, "b", false),
        (121, 7, "b", true),
    ];
    for (s, octet, call, want) in rows {
        assert_eq!(seen.first(at(s), fresh, &[octet; 64], call), want, "{s} {octet} {call}");
    }
}

#[test]
fn the_memory_of_used_tokens_is_bounded() {
    let mut seen = Replays::default();
    for n in 0..70_000u32 {
        let signature: Vec<u8> = n.to_be_bytes().into_iter().cycle().take(64).collect();
        assert!(seen.first(Instant::ZERO, Duration::from_secs(60), &signature, "c"));
    }
    assert!(!seen.first(Instant::ZERO, Duration::from_secs(60), &69_999u32.to_be_bytes().repeat(16), "d"));
    assert!(seen.first(Instant::ZERO, Duration::from_secs(60), &0u32.to_be_bytes().repeat(16), "d"));
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_panics(value in "[ -~]{0,200}", date in "[ -~]{0,40}") {
            let _ = found(&format!("Identity: {value}\r\nDate: {date}\r\n"));
            let _ = Signed::parse(&value);
        }

        #[test]
        fn no_claims_panic(payload in "[ -~]{0,120}") {
            let _ = passport::claims(&passport::encode(payload.as_bytes()));
        }
    }
}
