//! Keys and chains against what RFC 8225 published, and the shelf against a server on loopback.

use super::certificate::{Chain, Numbers, numbers, read};
use super::material::{der, fixed};
use super::*;
use crate::base::time::Wall;
use crate::config::NoSecrets;
use crate::shell::mail::{Mailbox, mail};
use crate::sip::identity::{OrderId, Party};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, IsCa, KeyPair, date_time_ymd};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;
use tokio_rustls::rustls::pki_types::SubjectPublicKeyInfoDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

const NOW: i64 = 1_790_000_000;
/// RFC 8225 Appendix A: the token, and the public key beside it. That signature fits no key that the RFC prints (OpenSSL says so
/// too); the one of the last drafts, draft-ietf-stir-passport-09 Appendix A, is by the same key and fits it.
const RFC_INPUT: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9jZXJ0LmV4YW1wbGUub3JnL3Bhc3Nwb3J0LmNlciJ9.eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI6MTQ3MTM3NTQxOCwib3JpZyI6eyJ0biI6IjEyMTU1NTUxMjEyIn19";
const RFC_SIGNATURE: &str = "VLBCIVDCaeK6M4hLJb6SHQvacAQVvoiiEOWQ/iUkqk79UD81fHQ0E1b3/GluIkba7UWYRM47ZbNFdOJquE35cw";
const DRAFT_INPUT: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9jZXJ0LmV4YW1wbGUub3JnL3Bhc3Nwb3J0LmNlciJ9.eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI6IjE0NDMyMDgzNDUiLCJvcmlnIjp7InRuIjoiMTIxNTU1NTEyMTIifX0";
const DRAFT_SIGNATURE: &str = "rq3pjT1hoRwakEGjHCnWSwUnshd0+zJ6F1VOgFWSjHBr8Qjpjlk+cpFYpFYsojNCpTzO3QfPOlckGaS6hEck7w";
const RFC_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8HNbQd/TmvCKwPKHkMF9fScavGeH\n\
    78YTU8qLS8I5HLHSSmlATLcslQMhNC/OhlWBYC626nIlo7XeebYS7Sb37g==\n\
    -----END PUBLIC KEY-----\n";

/// `[0] "709J"`, or `[1] { "12155551000", 1000 }`, or `[2] "12155551212"`.
const PROVIDER: &[u8] = b"\x30\x08\xa0\x06\x16\x04709J";
const RANGE: &[u8] = b"\x30\x15\xa1\x13\x30\x11\x16\x0b12155551000\x02\x02\x03\xe8";
const ONE: &[u8] = b"\x30\x0f\xa2\x0d\x16\x0b12155551212";

struct Made {
    folder: std::path::PathBuf,
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Made {
    fn new(name: &str) -> Made {
        let folder = std::env::temp_dir().join(format!("tandem-identity-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Made { folder }
    }

    /// `NAME-root.pem`, `NAME.pem` (leaf and intermediate) and `NAME.key`.
    fn make(&self, name: &str, list: Option<&[u8]>, years: (i32, i32)) {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::OrganizationName, name);
        let root = CertifiedIssuer::self_signed(params.clone(), KeyPair::generate().unwrap()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "Intermediate");
        let between = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "SHAKEN 709J");
        (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
        let oid = [1, 3, 6, 1, 5, 5, 7, 1, 26];
        params.custom_extensions.extend(list.map(|l| CustomExtension::from_oid_content(&oid, l.to_vec())));
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &between).unwrap();
        let put = |file: String, text: String| std::fs::write(self.folder.join(file), text).unwrap();
        put(format!("{name}-root.pem"), root.pem());
        put(format!("{name}.pem"), format!("{}{}", leaf.pem(), between.pem()));
        put(format!("{name}.key"), key.serialize_pem());
    }

    fn chain(&self, name: &str) -> Chain {
        read(&std::fs::read(self.folder.join(format!("{name}.pem"))).unwrap()).unwrap()
    }

    fn load(&self, words: &str) -> Result<Material, Vec<String>> {
        let text = format!("sip: {{ identity: {{ {words} }} }}");
        let mut config = Config::read("t", &text, &NoSecrets).unwrap().config;
        config.resolve_paths(&self.folder);
        load(&config, SystemTime::now()).map_err(|faults| faults.into_iter().map(|f| f.what).collect())
    }
}

fn own(certificate: &str, key: &str, root: &str) -> String {
    format!("certificate: {certificate}.pem, key: {key}.key, x5u: \"https://a/c\", roots: {root}-root.pem")
}

fn candidate(material: &Material, orig: Party) -> Candidate {
    let input = "aGVhZA.cGF5bG9hZA".to_owned();
    let signature = material.sign(input.as_bytes()).unwrap();
    Candidate { input, signature, x5u: "https://a/c".into(), orig, at: Wall(NOW * 1_000_000) }
}

fn number(text: &str) -> Party {
    Party::Number(text.into())
}

#[test]
fn the_published_token_is_signed_by_its_key() {
    let key = SubjectPublicKeyInfoDer::from_pem_slice(RFC_KEY.as_bytes()).unwrap();
    let key = webpki::RawPublicKeyEntity::try_from(&key).unwrap();
    let verify = |input: &str, signature: &str| {
        let signature = der(&crate::base::base64::decode(signature).unwrap()).unwrap();
        key.verify_signature(webpki::ring::ECDSA_P256_SHA256, input.as_bytes(), &signature).is_ok()
    };
    assert!(verify(DRAFT_INPUT, DRAFT_SIGNATURE));
    assert!(!verify(&DRAFT_INPUT.replacen("eyJk", "eyJl", 1), DRAFT_SIGNATURE));
    assert!(!verify(RFC_INPUT, RFC_SIGNATURE));
}

#[test]
fn signatures_have_two_forms() {
    for (r, s) in [([1; 32], [2; 32]), ([0x80; 32], [0xff; 32]), ([0; 32], [0x7f; 32])] {
        let (mut r, mut s) = (r, s);
        (r[31], s[0]) = (9, 0);
        let both = [r, s].concat();
        assert_eq!(fixed(&der(&both).unwrap()).unwrap(), both);
    }
    assert_eq!((fixed(b""), fixed(b"\x30\x02\x02\x00"), der(&[0; 63])), (None, None, None));
}

#[test]
fn what_we_sign_is_verified_and_what_is_changed_is_not() {
    let made = Made::new("sign");
    made.make("a", Some(PROVIDER), (2020, 4000));
    let material = made.load(&own("a", "a", "a")).unwrap();
    let (chain, right) = (made.chain("a"), candidate(&material, number("1")));
    assert_eq!(material.verify(&chain, &right), Ok(()));
    let mut changed = right.clone();
    changed.input.push('x');
    assert_eq!(material.verify(&chain, &changed).unwrap_err().kind, Kind::Invalid);
    let mut changed = right;
    changed.signature[5] ^= 1;
    assert_eq!(material.verify(&chain, &changed).unwrap_err().kind, Kind::Invalid);
}

#[test]
fn a_chain_is_believed_if_it_leads_to_a_root_today_and_speaks_for_the_number() {
    let made = Made::new("chain");
    for (name, list, years) in [
        ("a", Some(PROVIDER), (2020, 4000)),
        ("old", Some(PROVIDER), (2020, 2021)),
        ("new", Some(PROVIDER), (3000, 3001)),
        ("range", Some(RANGE), (2020, 4000)),
        ("one", Some(ONE), (2020, 4000)),
        ("none", None, (2020, 4000)),
    ] {
        made.make(name, list, years);
    }
    let rows = [
        ("a", "a", "1", ""),
        ("a", "old", "1", "no authority that we believe has signed the certificate"),
        ("old", "old", "1", "the certificate has expired"),
        ("new", "new", "1", "the certificate is not valid yet"),
        ("range", "range", "12155551000", ""),
        ("range", "range", "12155551999", ""),
        ("range", "range", "12155552000", "the certificate is not for this number"),
        ("range", "range", "12155550999", "the certificate is not for this number"),
        ("one", "one", "12155551212", ""),
        ("one", "one", "12155551213", "the certificate is not for this number"),
        ("none", "none", "1", ""),
    ];
    let signer = made.load(&own("a", "a", "a")).unwrap();
    for (chain, root, orig, want) in rows {
        let material = made.load(&format!("roots: {root}-root.pem")).unwrap();
        let said = material.verify(&made.chain(chain), &candidate(&signer, number(orig)));
        match said {
            // The signature is a's, so that all that is right but the signature ends there.
            Ok(()) => assert_eq!((chain, want), ("a", "")),
            Err(fault) if want.is_empty() => assert_eq!(fault.why, "the signature does not fit", "{chain} {orig}"),
            Err(fault) => {
                assert_eq!((fault.kind, fault.why.as_str()), (Kind::Unsupported, want), "{chain} {root} {orig}")
            }
        }
    }
}

#[test]
fn files_that_cannot_serve_are_named() {
    let made = Made::new("faults");
    made.make("a", Some(PROVIDER), (2020, 4000));
    made.make("old", Some(PROVIDER), (2020, 2021));
    made.make("none", None, (2020, 4000));
    made.make("broken", Some(b"\x30\x03\xa9\x01\x00"), (2020, 4000));
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    std::fs::write(made.folder.join("p384.key"), key.serialize_pem()).unwrap();
    std::fs::write(made.folder.join("p384.pem"), CertificateParams::new([]).unwrap().self_signed(&key).unwrap().pem())
        .unwrap();
    for (words, want) in [
        (own("a", "old", "a"), "is not the key of"),
        (own("old", "old", "a"), "has expired on 2021-01-01"),
        (own("none", "none", "a"), "has no TNAuthList"),
        (own("broken", "broken", "a"), "TNAuthList cannot be read"),
        (own("p384", "p384", "a"), "is no key for ES256"),
        (own("missing", "a", "a"), "cannot be read"),
        (own("a", "a", "missing"), "cannot be read"),
    ] {
        let faults = made.load(&words).expect_err(&words);
        assert!(faults.iter().any(|f| f.contains(want)), "{want}: {faults:?}");
    }
}

#[test]
fn lists_of_numbers_are_read() {
    let made = Made::new("lists");
    for (list, want) in [
        (PROVIDER, Numbers::Provider("709J".into())),
        (RANGE, Numbers::Range(12_155_551_000, 12_155_552_000)),
        (ONE, Numbers::One("12155551212".into())),
    ] {
        made.make("a", Some(list), (2020, 4000));
        assert_eq!(made.chain("a").numbers, Some(vec![want]));
    }
    for octets in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x02\x30\x00", &[0x30; 64]] {
        let _ = numbers(octets);
        assert!(read(octets).is_err() || numbers(octets).is_ok());
    }
}

// ---- the thread ------------------------------------------------------------------------------------------------------

/// A server of one file, which counts how often it is asked.
fn server(body: Vec<u8>, status: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, asked) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer);
            count.fetch_add(1, Ordering::SeqCst);
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    (port, asked)
}

fn answer(mailbox: &mut Mailbox) -> Event {
    loop {
        match mailbox.streams.try_recv() {
            Ok(Input::Identity(event)) => return event,
            Ok(other) => panic!("{other:?}"),
            Err(_) => std::thread::yield_now(),
        }
    }
}

#[test]
fn certificates_are_fetched_once_and_only_where_that_is_allowed() {
    let made = Made::new("fetch");
    made.make("a", Some(PROVIDER), (2020, 4000));
    let file = std::fs::read(made.folder.join("a.pem")).unwrap();
    let (port, asked) = server(file.clone(), "200 OK");
    let (gone, _) = server(Vec::new(), "404 Not Found");
    let (long, _) = server([file, vec![b'\n'; 70_000]].concat(), "200 OK");
    let (moved, _) = server(Vec::new(), "302 Found");
    let mut config = Config::read("t", "web: { allow_private: 127.0.0.0/8 }", &NoSecrets).unwrap().config;
    config.resolve_paths(&made.folder);
    let keys = Keys::new(made.load(&own("a", "a", "a")).unwrap());
    let (mail, mut mailbox) = mail().unwrap();
    let mut identity = Identity::new(&config, keys.clone(), mail);
    let candidate = candidate(&keys.now(), number("1"));
    let mut verify = |x5u: String| {
        let candidate = Box::new(Candidate { x5u, ..candidate.clone() });
        assert!(identity.order(Order::Verify { id: OrderId(1), candidate }).is_none());
        match answer(&mut mailbox) {
            Event::Verified { id: OrderId(1), result } => result.map_err(|f| (f.kind, f.why)),
            other => panic!("{other:?}"),
        }
    };
    for _ in 0..3 {
        assert_eq!(verify(format!("http://127.0.0.1:{port}/a.pem")), Ok(()));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    for (url, want) in [
        (format!("http://127.0.0.1:{gone}/"), "answers 404"),
        (format!("http://127.0.0.1:{moved}/"), "answers 302"),
        (format!("http://127.0.0.1:{long}/"), "longer than 64 kB"),
        ("http://10.0.0.1/a.pem".to_owned(), "no https"),
        ("https://10.0.0.1/a.pem".to_owned(), "no public address"),
        ("https://169.254.169.254/latest".to_owned(), "no public address"),
        ("file:///etc/passwd".to_owned(), "no https"),
        (format!("http://127.0.0.1.example.org:{port}/"), "no https"),
        (format!("https://a/{}", "x".repeat(2_000)), "no https"),
    ] {
        let (kind, why) = verify(url.clone()).expect_err(&url);
        assert!(kind == Kind::BadInfo && why.contains(want), "{url}: {why}");
    }
    assert!(identity.order(Order::Sign { id: OrderId(2), input: "a.b".into() }).is_none());
    assert!(matches!(answer(&mut mailbox), Event::Signed { id: OrderId(2), signature: Ok(s) } if s.len() == 64));
}
