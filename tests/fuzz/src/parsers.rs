//! Each parser on bytes as they come, and what must hold of what it accepts.

use bytes::Bytes;
use std::net::SocketAddr;
use tandem::base::pii::Secret;
use tandem::base::rng::Rng;
use tandem::base::time::Instant;
use tandem::config::{Config, NoSecrets};
use tandem::dialplan::{CallFacts, Dialplan, Names};
use tandem::rtp::srtp::{KeySource, Keys, Master, OVERHEAD_MAX, Session, Suite};
use tandem::rtp::{packet, rtcp, telephone_event};
use tandem::sdp::{self, AudioFormat, Crypto, Direction, LocalAudio, Order, SessionDescription};
use tandem::shell::dns::message::{self, Reading, Said};
use tandem::sip::auth::{Challenger, DigestClient, Policy, Tries};
use tandem::sip::locate::{Answer, Kind, Record};
use tandem::sip::wire::{Framer, HeaderName, Message, NameAddr, Params, Uri, Via, Writer};

const SOURCE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5060);

/// Reads all that a message can be asked for.
fn ask(m: &Message) {
    let _ = (m.method(), m.method_str(), m.request_uri(), m.status(), m.reason(), m.branch(), m.call_id(), m.cseq());
    let _ = (m.from_tag(), m.to_tag(), m.content_type(), m.body(), m.header_named("x-fuzz"));
    for (name, value) in m.fields() {
        assert!(!value.contains('\0') || !name.is_empty());
    }
    for name in [HeaderName::Via, HeaderName::Contact, HeaderName::Route, HeaderName::Allow, HeaderName::Require] {
        m.headers(name).for_each(|v| assert!(v.len() <= m.bytes().len()));
    }
    if let Some(via) = m.via() {
        let _ = via.response_target(SOURCE);
    }
    for addr in [m.from(), m.to(), m.contact()].into_iter().flatten() {
        let _ = (addr.display(), addr.tag(), addr.parsed_uri());
    }
}

/// What is accepted is answered in a form that we accept ourselves.
pub fn sip_message(data: &[u8]) {
    let read = match Message::parse(Bytes::copy_from_slice(data)) {
        Ok(m) => m,
        Err((_, partial)) => {
            if let Some(m) = partial {
                ask(&m);
                let _ = Writer::stateless_response(&m, 400, "Bad Request", SOURCE);
            }
            return;
        }
    };
    ask(&read);
    if !read.is_request() {
        return;
    }
    let answer = Writer::response_to(&read, 486, "", "tag", SOURCE).finish();
    let lines = answer.windows(2).filter(|w| w == b"\r\n").count();
    let fields = read.headers(HeaderName::Via).count() + 5;
    assert!(lines <= 1 + fields + 1, "a header smuggled in: {:?}", String::from_utf8_lossy(&answer));
    // Control characters are blanked in the answer, and what is left may not be a Call-ID.
    let is_clean = !data.iter().any(|b| b.is_ascii_control() && !b"\r\n\t".contains(b)) && lone_cr(data).is_none();
    let again = Message::parse(answer.clone());
    assert!(!is_clean || again.is_ok(), "our answer is not read: {:?}", String::from_utf8_lossy(&answer));
}

fn lone_cr(data: &[u8]) -> Option<usize> {
    (0..data.len()).find(|&n| data[n] == b'\r' && data.get(n + 1) != Some(&b'\n'))
}

/// The same messages come out however the stream is cut; the first byte says how.
pub fn sip_stream(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let cut = usize::from(*cut).max(1);
    let take = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut framer, mut out, mut failed) = (Framer::default(), Vec::new(), false);
        for piece in pieces {
            framer.push(piece);
            loop {
                match framer.next_message() {
                    Ok(Some(m)) => out.push(m),
                    Ok(None) => break,
                    Err(_) => {
                        failed = true;
                        break;
                    }
                }
            }
        }
        (out, failed)
    };
    let whole = take(&mut data.chunks(60_000));
    let cut = take(&mut data.chunks(cut));
    assert_eq!(whole, cut, "the cuts matter");
    for m in whole.0 {
        sip_message(&m);
    }
}

pub fn sip_headers(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(uri) = Uri::parse(text) {
        let _ = (uri.ip(), uri.user_decoded());
        if let Some(other) = text.split_once('\n').and_then(|(_, t)| Uri::parse(t)) {
            assert_eq!(uri.equivalent(&other), other.equivalent(&uri), "equivalence has a direction");
        }
    }
    if let Some(via) = Via::parse(text) {
        let _ = (via.branch(), via.response_target(SOURCE));
    }
    if let Some(addr) = NameAddr::parse(text) {
        let _ = (addr.display(), addr.tag(), addr.parsed_uri());
    }
    for (name, _) in Params(text).iter() {
        let _ = Params(text).get(name);
    }
    let _ = HeaderName::from_token(text);
    let (name, value) = text.split_once('\n').unwrap_or(("INVITE", text));
    let mut challenger = Challenger::new("fuzz", [7; 32], Policy::default());
    let attempt = tandem::sip::auth::Attempt { method: name, request_uri: "sip:fuzz", body: b"", value };
    assert!(challenger.verify_value(Instant::ZERO, attempt, |_| None).is_err());
    let challenge = Writer::response(401, "")
        .header(HeaderName::Via, "SIP/2.0/UDP h;branch=z9hG4bKx")
        .header(HeaderName::From, "<sip:a@b>;tag=1")
        .header(HeaderName::To, "<sip:a@b>;tag=2")
        .header(HeaderName::CallId, "c")
        .header(HeaderName::CSeq, "1 INVITE")
        .header(HeaderName::WwwAuthenticate, value)
        .finish();
    if let Ok(m) = Message::parse(challenge) {
        let mut client = DigestClient::new("user", Secret::new("password".into()));
        if client.challenged(&m, &mut Tries::default()).is_ok() {
            for (_, header) in client.authorize(&mut Rng::from_seed(1), "INVITE", "sip:x", b"") {
                assert!(!header.contains(['\r', '\n']));
            }
        }
    }
}

/// What is read is written in a form that reads and writes as the same again, and an answer to it can be read too.
pub fn sdp(data: &[u8]) {
    let Ok(read) = SessionDescription::parse(data) else { return };
    let text = read.to_string();
    let again = SessionDescription::parse(text.as_bytes()).map(|a| a.to_string());
    assert_eq!(again.as_deref(), Ok(text.as_str()));
    let local = LocalAudio {
        rtp: SOURCE,
        rtcp: None,
        session_id: 1,
        version: 1,
        formats: ["pcmu", "pcma"].iter().filter_map(|n| AudioFormat::by_name(n)).collect(),
        telephone_event: true,
        ptime_ms: 20,
        direction: Direction::SendRecv,
        order: Order::Theirs,
        single: false,
        crypto: vec![Crypto::new(1, "AES_CM_128_HMAC_SHA1_80", &[7; 30])],
        plain: data.len() % 2 == 0,
    };
    if let Ok(answer) = sdp::answer(&read, &local) {
        let text = answer.description.to_string();
        assert!(SessionDescription::parse(text.as_bytes()).is_ok(), "our answer is not read: {text:?}");
    }
    let _ = sdp::accept(&read, &sdp::offer(&local));
}

pub fn rtp(data: &[u8]) {
    if let Ok(header) = packet::Header::parse(data) {
        let payload = header.payload(data);
        assert!(payload.len() <= data.len());
        if let Some(block) = telephone_event::Block::parse(payload) {
            telephone_event::Receiver::default().receive(header.timestamp, block);
        }
    }
    let _ = packet::is_rtcp(data);
}

pub fn rtcp(data: &[u8]) {
    let Some(compound) = rtcp::parse(data) else { return };
    let mut packets = 0;
    for packet in compound {
        packets += 1;
        if let rtcp::Packet::SenderReport { blocks, .. } | rtcp::Packet::ReceiverReport { blocks, .. } = packet {
            assert!(blocks.count() <= 31);
        }
    }
    assert!(packets > 0 && packets <= data.len() / 4);
}

/// Nothing that we did not protect is taken or changed, and what we protect comes through. The first byte chooses the suite.
pub fn srtp(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let suite = Suite::ALL[usize::from(*first) % Suite::ALL.len()];
    let mut source = KeySource::new([*first; 32]);
    let (a, b) = (Master::generate(suite, &mut source), Master::generate(suite, &mut source));
    let mut near = Session::new(Keys { send: a.clone(), receive: b.clone() });
    let mut far = Session::new(Keys { send: b, receive: a });
    let mut buffer = data.to_vec();
    assert!(far.unprotect_rtp(&mut buffer).is_err() && far.unprotect_rtcp(&mut buffer).is_err() && buffer == data);
    buffer.resize(data.len() + OVERHEAD_MAX, 0);
    if let Ok(len) = near.protect_rtp(&mut buffer, data.len()) {
        assert_eq!(far.unprotect_rtp(&mut buffer[..len]), Ok(data.len()));
        assert_eq!(&buffer[..data.len()], data);
    }
    let mut buffer = [data, &[0; OVERHEAD_MAX]].concat();
    if let Ok(len) = near.protect_rtcp(&mut buffer, data.len()) {
        assert_eq!(far.unprotect_rtcp(&mut buffer[..len]), Ok(data.len()));
        assert_eq!(&buffer[..data.len()], data);
    }
}

pub fn yaml_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::read("tandem.yaml", text, &NoSecrets) {
        Ok(read) => assert!(!read.config.node.is_empty()),
        Err(faults) => assert!(!faults.is_empty()),
    }
}

/// What is accepted can be asked for a route, and its scripts end or wait.
pub fn yaml_dialplan(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(plan) = Dialplan::load(&[("fuzz.yaml".into(), text.into())], &Names::ANY) else { return };
    let names: Vec<String> = plan.contexts().map(String::from).collect();
    for context in names {
        let facts = CallFacts {
            from: "+12125550123",
            from_name: "Fuzz",
            to: "100",
            trunk: Some("acme"),
            user: None,
            header: &|_| Some("value".into()),
            at: tandem::base::time::Wall(1_795_446_000_000_000),
            proof: Default::default(),
        };
        let _ = plan.explain(&context, &facts);
        let Ok(mut taken) = plan.route(&context, &facts) else { continue };
        for _ in 0..100 {
            match taken.script.next() {
                tandem::verb::Next::Do { .. } => taken.script.finished(tandem::verb::Outcome::Failed),
                _ => break,
            }
        }
    }
}

/// What is accepted is run to its end, whatever comes of its steps; what is not says where.
pub fn markup(data: &[u8]) {
    match tandem::markup::read(data, "text/xml", "https://fuzz.example/voice?secret=1") {
        Err(fault) => assert!(fault.at.line > 0 && fault.error.code() > 11_000, "{fault}"),
        Ok(document) => {
            assert!(document.warnings.len() <= 50);
            let at = tandem::base::time::Wall(1_795_446_000_000_000);
            let mut script = tandem::verb::Script::new(document.program.into(), document.entry, at);
            for n in 0..1_000 {
                let outcome = [tandem::verb::Outcome::Done, tandem::verb::Outcome::Failed][n % 2];
                match script.next() {
                    tandem::verb::Next::Do { action, .. } => {
                        let _ = (action.to_string(), action.fields());
                        script.finished(outcome);
                    }
                    _ => break,
                }
            }
        }
    }
}

pub fn wav(data: &[u8]) {
    let path = std::path::PathBuf::from(format!("/dev/shm/tandem-fuzz-{}.wav", std::process::id()));
    if std::fs::write(&path, data).is_ok() {
        let read = tandem::shell::media::prompt::read(&path);
        assert!(read.is_ok() || read.is_err_and(|e| !e.to_string().is_empty()));
        let _ = std::fs::remove_file(&path);
    }
}

/// What a name server says to a question of ours: only records of the kind, only names that can be asked for again.
pub fn dns(data: &[u8]) {
    const NAME: &str = "a.example";
    let Some((choice, message)) = data.split_first() else { return };
    let kind = [Kind::A, Kind::Aaaa, Kind::Srv, Kind::Naptr][usize::from(choice % 4)];
    // Most of what comes would fail by its number and its question alone.
    let Some(question) = message::write(7, NAME, kind) else { return };
    let mut whole = question;
    if choice & 4 != 0 {
        whole.clear();
        whole.extend_from_slice(message);
    } else {
        // The question stays; flags, counts of records and what follows come from the input.
        let (head, rest) = message.split_at(message.len().min(10));
        for (place, octet) in [2, 3, 6, 7, 8, 9, 10, 11].into_iter().zip(head) {
            whole[place] = if place == 2 { octet | 0x80 } else { *octet };
        }
        whole.extend_from_slice(rest);
    }
    let plain = |name: &str| name.len() <= 253 && !name.contains(|c: char| c.is_control() || c == ' ');
    match message::read(&whole, 7, NAME, kind) {
        Reading::Said(Said::Answer(Answer::Found { records, .. })) => {
            assert!(!records.is_empty());
            for record in records {
                match record {
                    Record::Address(ip) => assert_eq!(ip.is_ipv4(), kind == Kind::A),
                    Record::Srv { target, .. } => assert!(kind == Kind::Srv && plain(&target)),
                    Record::Naptr { replacement, .. } => assert!(kind == Kind::Naptr && plain(&replacement)),
                }
            }
        }
        Reading::Said(Said::Alias(name)) => {
            assert!(plain(&name) && !name.is_empty());
            let _ = message::write(8, &name, kind);
        }
        _ => {}
    }
}
