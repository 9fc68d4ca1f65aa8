//! Properties over generated input: nothing panics, and what the writer writes the reader reads back.

use super::super::*;
use bytes::Bytes;
use proptest::prelude::*;
use std::net::SocketAddr;

const SEEDS: [&str; 3] = [
    "INVITE sip:bob@[2001:db8::1]:5060;lr?a=b SIP/2.0\r\nVia: SIP/2.0/UDP h:1;branch=z9hG4bKx;rport,SIP/2.0/TCP g\r\n\
     f: \"A \\\" B\" <sip:a@b>;tag=1\r\nTo: <tel:+1;x=y>\r\n ;z\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nm: <sip:c@d>;q=1, *\r\nl: 2\r\n\r\nhi",
    "SIP/2.0 200 OK\r\nv: SIP/2.0/TLS h;maddr=1.2.3.4\r\nFrom: sip:a@b;tag=1\r\nTo: sip:c@d;tag=2\r\ni: c\r\nCSeq: 1 BYE\r\n\r\n",
    "REGISTER sip:r SIP/2.0\nVia: SIP/2.0/WSS h;branch=b\nFrom: <sip:a@b>\nTo: <sip:a@b>\ni: c\nCSeq: 2 REGISTER\nExpires: 9\n\n",
];

/// Calls everything that a message offers.
fn exercise(message: &Message) {
    let source = SocketAddr::from(([192, 0, 2, 1], 5060));
    let _ =
        (message.to_string(), message.method(), message.reason(), message.cseq(), message.body(), message.body_bytes());
    let _ = (message.branch(), message.call_id(), message.content_type(), message.number(HeaderName::Expires));
    for (name, token, value) in message.named_fields() {
        let _ = (message.header(name), message.header_named(token), unquote(value).len());
        for value in message.headers(name) {
            let _ = Via::parse(value).map(|via| (via.branch().len(), via.response_target(source)));
            if let Some(address) = NameAddr::parse(value) {
                let _ = (address.display(), address.tag(), address.params.iter().count());
                if let Some(uri) = address.parsed_uri() {
                    assert!(uri.equivalent(&uri), "{}", uri.raw);
                    let _ = (uri.user_decoded(), uri.password(), uri.host_kind());
                }
            }
        }
    }
    let _ = (message.via(), message.from(), message.to(), message.contact());
    let _ = Writer::response_to(message, 200, "", "t", source).finish();
    let _ = Writer::stateless_response(message, 400, "", source);
}

fn read(octets: &[u8]) {
    match Message::parse(Bytes::copy_from_slice(octets)) {
        Ok(message) | Err((_, Some(message))) => exercise(&message),
        Err(_) => {}
    }
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9.!%*_+`'~-]{1,20}"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_octets_are_read_without_panic(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        read(&octets);
        let mut framer = Framer::default();
        framer.push(&octets);
        while let Ok(Some(message)) = framer.next_message() {
            read(&message);
        }
        let _ = framer.partial();
    }

    #[test]
    fn damaged_messages_are_read_without_panic(
        seed in 0..SEEDS.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4u8), 1..12),
    ) {
        const SPICE: &[u8] = b"\r\n\t ;,=\"\\<>@:/?[]%*\0\xff\xc3\x80a0";
        let mut octets = SEEDS[seed].as_bytes().to_vec();
        for (at, spice, kind) in damage {
            let at = at.index(octets.len().max(1)).min(octets.len().saturating_sub(1));
            let spice = SPICE[spice.index(SPICE.len())];
            match kind {
                0 if !octets.is_empty() => octets[at] = spice,
                1 if !octets.is_empty() => drop(octets.remove(at)),
                2 => octets.insert(at, spice),
                _ => octets.truncate(at + 1),
            }
        }
        read(&octets);
    }

    #[test]
    fn what_is_written_is_read_back(
        method in token(),
        user in "[a-z0-9%.;?&=+$,/-]{0,12}",
        call_id in token(),
        number in 0..=0x7fff_ffffu32,
        tag in token(),
        subject in "\\PC{0,40}",
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        prop_assume!(!method.to_ascii_uppercase().starts_with("SIP/"));
        let uri = format!("sip:{user}@example.com");
        let from = format!("\"x\" <{uri}>;tag={tag}");
        let written = Writer::request(&method, &uri)
            .header(HeaderName::Via, format_args!("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{tag}"))
            .header(HeaderName::From, &from)
            .header(HeaderName::To, format_args!("<{uri}>"))
            .header(HeaderName::CallId, &call_id)
            .header(HeaderName::CSeq, format_args!("{number} {method}"))
            .header(HeaderName::Subject, &subject)
            .finish_with_body("application/octet-stream", &body);
        let m = Message::parse(written.clone()).expect("written");
        prop_assert_eq!(m.bytes(), &written);
        prop_assert_eq!((m.method_str(), m.request_uri(), m.call_id(), m.from_tag(), m.to_tag()), (&*method, &*uri, &*call_id, &*tag, ""));
        prop_assert_eq!(m.branch(), format!("z9hG4bK{tag}"));
        prop_assert_eq!(m.cseq().map(|cseq| cseq.number), Some(number));
        prop_assert_eq!(m.from().map(|from| from.uri), Some(&*uri));
        prop_assert_eq!(m.body(), &body[..]);
        let answer = Message::parse(Writer::response_to(&m, 486, "", "a", SocketAddr::from(([192, 0, 2, 7], 5062))).finish());
        let answer = answer.expect("answer");
        prop_assert_eq!((answer.status(), answer.call_id(), answer.to_tag(), answer.method_str()), (486, &*call_id, "a", &*method));
        prop_assert_eq!(answer.via().and_then(|via| via.params.get("received")), Some("192.0.2.7"));
    }

    #[test]
    fn no_value_ends_its_line(name in "\\PC{0,12}", value in any::<String>(), reason in any::<String>()) {
        let written = Writer::response(200, &reason).raw_header(&name, &value).header(HeaderName::Server, &value).finish();
        let text = String::from_utf8_lossy(&written).into_owned();
        let lines = text.split('\n').count();
        // Start line, Server, Content-Length and two empty ends; one more if the name could be written.
        prop_assert!(lines == 5 || lines == 6, "{text:?}");
        prop_assert!(text.lines().all(|line| !line.contains('\r')), "{text:?}");
    }

    #[test]
    fn a_stream_is_cut_the_same_however_it_arrives(cuts in prop::collection::vec(1..60usize, 1..40)) {
        let message = "OPTIONS sip:a SIP/2.0\r\nl : 5\r\nX: y\r\n z\r\n\r\n12345";
        let stream = message.repeat(4);
        let mut framer = Framer::default();
        let mut rest = stream.as_bytes();
        let mut cut = 0;
        for size in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            framer.push(piece);
            rest = after;
            while let Some(whole) = framer.next_message().expect("framed") {
                prop_assert_eq!(&whole[..], message.as_bytes());
                cut += 1;
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(cut, 4);
    }
}
