//! Tables over offers as real equipment writes them, and properties over bytes of any kind.

mod offers;
mod properties;

use super::*;
use offers::*;
use std::net::SocketAddr;

fn local(codecs: &[&str]) -> LocalAudio {
    LocalAudio {
        rtp: "198.51.100.1:30000".parse().unwrap(),
        rtcp: None,
        session_id: 77,
        version: 1,
        formats: codecs.iter().map(|name| AudioFormat::by_name(name).unwrap()).collect(),
        telephone_event: true,
        ptime_ms: 20,
        direction: Direction::SendRecv,
        order: Order::Theirs,
        single: true,
        crypto: Vec::new(),
        plain: true,
    }
}

fn local_v6(codecs: &[&str]) -> LocalAudio {
    LocalAudio { rtp: "[2001:db8::1]:30000".parse().unwrap(), ..local(codecs) }
}

fn parse(text: &str) -> SessionDescription {
    SessionDescription::parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{fault}:\n{text}"))
}

fn show(format: &AudioFormat) -> String {
    format!("{}/{}", format.codec.name(), format.payload_type)
}

/// One line: what is sent where, what is received, digits, packet time, direction.
fn summary(audio: &NegotiatedAudio) -> String {
    let address = |a: Option<SocketAddr>| a.map_or("nowhere".to_owned(), |a| a.to_string());
    let receive: Vec<String> = audio.receive.iter().map(show).collect();
    let dtmf = audio.dtmf.map_or("none".to_owned(), |d| format!("{}:{}@{}", d.send, d.receive, d.clock_rate));
    let hold = if audio.on_hold { " hold" } else { "" };
    format!(
        "{} to {} rtcp {} from {} dtmf {dtmf} {}ms {}{hold}",
        show(&audio.send),
        address(audio.remote_rtp),
        address(audio.remote_rtcp),
        receive.join(","),
        audio.ptime_ms,
        audio.direction.as_str(),
    )
}

fn check(name: &str, offer: &str, local: &LocalAudio, expected: &str) {
    let offer = parse(offer);
    let got = match answer(&offer, local) {
        Ok(answer) => {
            let ours = &answer.description;
            assert_eq!(ours.media.len(), offer.media.len(), "{name}: as many streams as offered");
            for (index, (our, their)) in ours.media.iter().zip(&offer.media).enumerate() {
                assert_eq!((&our.kind, &our.protocol), (&their.kind, &their.protocol), "{name}: stream {index}");
                assert_eq!(our.port != 0, index == answer.audio.stream, "{name}: stream {index}");
            }
            assert_eq!(parse(&ours.to_string()), *ours, "{name}: reads as written");
            summary(&answer.audio)
        }
        Err(fault) => fault.to_string(),
    };
    assert_eq!(got, expected, "{name}");
}

#[test]
fn offers_of_common_equipment_are_answered() {
    let pcm = local(&["pcma", "pcmu"]);
    let wide = local(&["opus", "g722", "pcma", "pcmu"]);
    let rows: &[(&str, &str, &LocalAudio, &str)] = &[
        ("SIPp", SIPP, &pcm, "PCMU/0 to 192.0.2.10:6000 rtcp 192.0.2.10:6001 from PCMU/0 dtmf none 20ms sendrecv"),
        (
            "Asterisk",
            ASTERISK,
            &pcm,
            "PCMU/0 to 192.0.2.11:11424 rtcp 192.0.2.11:11425 from PCMU/0 dtmf 101:101@8000 20ms sendrecv",
        ),
        (
            "FreeSWITCH",
            FREESWITCH,
            &wide,
            "opus/102 to 192.0.2.12:24142 rtcp 192.0.2.12:24143 from opus/102 dtmf 103:103@48000 20ms sendrecv",
        ),
        (
            "FreeSWITCH, narrow",
            FREESWITCH,
            &pcm,
            "PCMU/0 to 192.0.2.12:24142 rtcp 192.0.2.12:24143 from PCMU/0 dtmf 101:101@8000 20ms sendrecv",
        ),
        (
            "Cisco",
            CISCO,
            &pcm,
            "PCMA/8 to 192.0.2.13:18426 rtcp 192.0.2.13:18427 from PCMA/8 dtmf 100:100@8000 20ms sendrecv",
        ),
        (
            "Polycom",
            POLYCOM,
            &wide,
            "G722/9 to 192.0.2.14:2250 rtcp 192.0.2.14:2251 from G722/9 dtmf 127:127@8000 20ms sendrecv",
        ),
        (
            "Linphone",
            LINPHONE,
            &wide,
            "opus/96 to 192.0.2.15:7078 rtcp 192.0.2.15:7079 from opus/96 dtmf 97:97@48000 20ms sendrecv",
        ),
        (
            "baresip",
            BARESIP,
            &wide,
            "opus/96 to 192.0.2.16:14832 rtcp 192.0.2.16:14833 from opus/96 dtmf 101:101@8000 20ms sendrecv",
        ),
        (
            "Grandstream, 30 ms",
            GRANDSTREAM,
            &pcm,
            "PCMA/8 to 192.0.2.21:5004 rtcp 192.0.2.21:5005 from PCMA/8 dtmf 101:101@8000 30ms sendrecv",
        ),
    ];
    for (name, offer, local, expected) in rows {
        check(name, offer, local, expected);
    }
}

#[test]
fn peculiar_offers_are_answered_or_refused() {
    let pcm = local(&["pcma", "pcmu"]);
    let rows: &[(&str, &str, &LocalAudio, &str)] = &[
        ("Chrome", CHROME, &pcm, "audio over UDP/TLS/RTP/SAVPF is not supported"),
        ("T.38", T38, &pcm, "no audio stream"),
        ("audio refused, fax instead", T38_SWITCH, &pcm, "no audio stream"),
        ("hold as of old", HOLD_2543, &pcm, "PCMU/0 to nowhere rtcp nowhere from PCMU/0 dtmf none 20ms recvonly hold"),
        (
            "secure first, plain second",
            SECURE_AND_PLAIN,
            &pcm,
            "PCMA/8 to 192.0.2.17:7002 rtcp 192.0.2.17:7003 from PCMA/8 dtmf none 20ms sendrecv",
        ),
        ("G.729 alone", G729_ONLY, &pcm, "no common codec; the peer has G729"),
        (
            "G.729 relayed",
            G729_ONLY,
            &local(&["g729"]),
            "G729/18 to 192.0.2.18:8000 rtcp 192.0.2.18:8001 from G729/18 dtmf 96:96@8000 20ms sendrecv",
        ),
        (
            "IPv6",
            IPV6,
            &local_v6(&["pcmu"]),
            "PCMU/0 to [2001:db8::20]:40000 rtcp [2001:db8::20]:40010 from PCMU/0 dtmf 101:101@8000 20ms sendrecv",
        ),
        ("IPv6 to an IPv4 leg", IPV6, &pcm, "media address of the other IP version"),
        (
            "LF only, no s= and t=",
            BARE,
            &pcm,
            "PCMU/0 to 192.0.2.19:9000 rtcp 192.0.2.19:9001 from PCMU/0 dtmf none 20ms sendrecv",
        ),
        (
            "static number remapped",
            REMAPPED,
            &pcm,
            "PCMA/0 to 192.0.2.22:9000 rtcp 192.0.2.22:9001 from PCMA/0 dtmf none 20ms sendrecv",
        ),
        ("no address", "v=0\r\nm=audio 9000 RTP/AVP 0\r\n", &pcm, "no media address"),
        (
            "a name for an address",
            "v=0\nc=IN IP4 media.example.com\nm=audio 9000 RTP/AVP 0\n",
            &pcm,
            "media address by name: media.example.com",
        ),
        ("nothing", "v=0\r\n", &pcm, "no audio stream"),
        (
            "digits alone",
            "v=0\nc=IN IP4 192.0.2.1\nm=audio 9 RTP/AVP 101\na=rtpmap:101 telephone-event/8000\n",
            &pcm,
            "no common codec; the peer has ",
        ),
        (
            "RTCP by RTP's port",
            "v=0\nc=IN IP4 192.0.2.1\nm=audio 9000 RTP/AVP 0\na=rtcp-mux\na=rtcp:9000\n",
            &pcm,
            "PCMU/0 to 192.0.2.1:9000 rtcp 192.0.2.1:9000 from PCMU/0 dtmf none 20ms sendrecv",
        ),
        (
            "RTCP would be port 65536",
            "v=0\nc=IN IP4 192.0.2.1\nm=audio 65535 RTP/AVP 0\n",
            &pcm,
            "PCMU/0 to 192.0.2.1:65535 rtcp nowhere from PCMU/0 dtmf none 20ms sendrecv",
        ),
    ];
    for (name, offer, local, expected) in rows {
        check(name, offer, local, expected);
    }
}

#[test]
fn directions_are_mirrored_and_limited() {
    let rows = [
        ("sendrecv", Direction::SendRecv, "sendrecv", false),
        ("sendonly", Direction::SendRecv, "recvonly", true),
        ("recvonly", Direction::SendRecv, "sendonly", false),
        ("inactive", Direction::SendRecv, "inactive", true),
        ("sendrecv", Direction::SendOnly, "sendonly", false),
        ("sendonly", Direction::SendOnly, "inactive", true),
        ("recvonly", Direction::RecvOnly, "inactive", false),
        ("sendrecv", Direction::Inactive, "inactive", false),
    ];
    for (theirs, ours, expected, hold) in rows {
        for place in ["session", "stream"] {
            let (session, stream) = if place == "session" { (theirs, "x") } else { ("sendrecv", theirs) };
            let text = format!("v=0\nc=IN IP4 192.0.2.1\na={session}\nm=audio 9 RTP/AVP 0\na={stream}\n");
            let got = answer(&parse(&text), &LocalAudio { direction: ours, ..local(&["pcmu"]) }).unwrap();
            assert_eq!((got.audio.direction.as_str(), got.audio.on_hold), (expected, hold), "{theirs} at the {place}");
            assert!(got.description.to_string().contains(&format!("\r\na={expected}\r\n")));
        }
    }
}

#[test]
fn packet_times() {
    let rows = [
        ("a=ptime:20", 20),
        ("a=ptime:30", 30),
        ("a=ptime:60", 60),
        ("a=ptime:0", 20),
        ("a=ptime:120", 20),
        ("a=ptime:25", 20),
        ("a=ptime:x", 20),
        ("a=ptime:10.0", 10),
        ("a=maxptime:10", 10),
        ("a=maxptime:150", 20),
        ("a=ptime:40\na=maxptime:35", 30),
        ("a=maxptime:5", 20),
        ("a=ptime:99999999", 20),
    ];
    for (lines, expected) in rows {
        let text = format!("v=0\nc=IN IP4 192.0.2.1\nm=audio 9 RTP/AVP 0\n{lines}\n");
        assert_eq!(answer(&parse(&text), &local(&["pcmu"])).unwrap().audio.ptime_ms, expected, "{lines}");
    }
    let session = "v=0\nc=IN IP4 192.0.2.1\na=ptime:30\nm=audio 9 RTP/AVP 0\n";
    assert_eq!(answer(&parse(session), &local(&["pcmu"])).unwrap().audio.ptime_ms, 30);
}

#[test]
fn preference_and_number_of_codecs() {
    let rows: [(Order, bool, &str, &[&str]); 4] = [
        (Order::Theirs, true, "opus", &["102", "103"]),
        (Order::Ours, true, "PCMA", &["8", "101"]),
        (Order::Theirs, false, "opus", &["102", "0", "8", "103"]),
        (Order::Ours, false, "PCMA", &["8", "0", "102", "101"]),
    ];
    for (order, single, send, formats) in rows {
        let local = LocalAudio { order, single, ..local(&["pcma", "pcmu", "opus"]) };
        let answer = answer(&parse(FREESWITCH), &local).unwrap();
        assert_eq!(answer.audio.send.codec.name(), send);
        assert_eq!(answer.description.media[0].formats, formats, "{order:?} {single}");
    }
}

#[test]
fn an_offer_is_written_to_the_letter() {
    let text = offer(&local(&["opus", "pcmu", "pcma"])).to_string();
    let expected = "v=0\r\no=- 77 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
        m=audio 30000 RTP/AVP 111 0 8 100 101\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\n\
        a=rtpmap:8 PCMA/8000\r\na=rtpmap:100 telephone-event/48000\r\na=rtpmap:101 telephone-event/8000\r\n\
        a=fmtp:111 useinbandfec=1\r\na=fmtp:100 0-16\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";
    assert_eq!(text, expected);
    let deaf = LocalAudio { telephone_event: false, ..local(&["pcmu"]) };
    let answered = answer(&parse(ASTERISK), &deaf).unwrap();
    assert_eq!((answered.audio.dtmf, answered.description.media[0].formats.len()), (None, 1));
    let plain = LocalAudio { rtcp: Some("198.51.100.2:9".parse().unwrap()), ..local_v6(&["pcmu"]) };
    let text = offer(&LocalAudio { direction: Direction::Inactive, telephone_event: false, ..plain }).to_string();
    assert!(text.contains("o=- 77 1 IN IP6 2001:db8::1\r\ns=-\r\nc=IN IP6 2001:db8::1\r\n"), "{text}");
    assert!(
        text.ends_with(
            "RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=rtcp:9 IN IP4 198.51.100.2\r\na=inactive\r\n"
        ),
        "{text}"
    );
}

fn check_accept(name: &str, answer: &str, expected: &str) {
    let ours = offer(&local(&["opus", "pcmu", "pcma", "g729"]));
    let answer = parse(&format!("v=0\nc=IN IP4 192.0.2.9\n{answer}\n"));
    let got = accept(&answer, &ours).map_or_else(|fault| fault.to_string(), |audio| summary(&audio));
    assert_eq!(got, expected, "{name}");
}

#[test]
fn answers_are_accepted() {
    let rows = [
        (
            "one codec",
            "m=audio 5000 RTP/AVP 8",
            "PCMA/8 to 192.0.2.9:5000 rtcp 192.0.2.9:5001 from PCMA/8 dtmf none 20ms sendrecv",
        ),
        (
            "with digits",
            "m=audio 5000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000",
            "PCMU/0 to 192.0.2.9:5000 rtcp 192.0.2.9:5001 from PCMU/0 dtmf 101:101@8000 20ms sendrecv",
        ),
        (
            "digits under another number",
            "m=audio 5000 RTP/AVP 0 127\na=rtpmap:127 telephone-event/8000",
            "PCMU/0 to 192.0.2.9:5000 rtcp 192.0.2.9:5001 from PCMU/0 dtmf 127:101@8000 20ms sendrecv",
        ),
        (
            "no rtpmap for what we bound",
            "m=audio 5000 RTP/AVP 111 100",
            "opus/111 to 192.0.2.9:5000 rtcp 192.0.2.9:5001 from opus/111 dtmf 100:100@48000 20ms sendrecv",
        ),
        (
            "another number",
            "m=audio 5000 RTP/AVP 120\na=rtpmap:120 opus/48000/2",
            "opus/120 to 192.0.2.9:5000 rtcp 192.0.2.9:5001 from opus/111,opus/120 dtmf none 20ms sendrecv",
        ),
        (
            "another number, bound by us",
            "m=audio 5000 RTP/AVP 101\na=rtpmap:101 opus/48000/2",
            "opus/101 to 192.0.2.9:5000 rtcp 192.0.2.9:5001 from opus/111 dtmf none 20ms sendrecv",
        ),
        (
            "several",
            "m=audio 5000 RTP/AVP 18 8 0",
            "G729/18 to 192.0.2.9:5000 rtcp 192.0.2.9:5001 from G729/18,PCMA/8,PCMU/0 dtmf none 20ms sendrecv",
        ),
        (
            "held",
            "m=audio 5000 RTP/AVP 0\na=inactive",
            "PCMU/0 to 192.0.2.9:5000 rtcp 192.0.2.9:5001 from PCMU/0 dtmf none 20ms inactive hold",
        ),
        (
            "held as of old",
            "m=audio 5000 RTP/AVP 0\nc=IN IP4 0.0.0.0",
            "PCMU/0 to nowhere rtcp nowhere from PCMU/0 dtmf none 20ms recvonly hold",
        ),
        (
            "a=rtcp",
            "m=audio 5000 RTP/AVP 0\na=rtcp:6000 IN IP4 192.0.2.99",
            "PCMU/0 to 192.0.2.9:5000 rtcp 192.0.2.99:6000 from PCMU/0 dtmf none 20ms sendrecv",
        ),
        ("refused", "m=audio 0 RTP/AVP 0", "the audio stream was refused"),
        ("other kind", "m=video 5000 RTP/AVP 0", "the answer's streams are not the offer's"),
        ("no stream", "", "the answer's streams are not the offer's"),
        ("never offered", "m=audio 5000 RTP/AVP 3", "no common codec; the peer has GSM"),
        ("secure", "m=audio 5000 RTP/SAVP 0", "audio over RTP/SAVP is not supported"),
    ];
    for (name, answer, expected) in rows {
        check_accept(name, answer, expected);
    }
}

#[test]
fn rtcp_shares_rtps_port_only_where_both_say_so() {
    let offered = |mux: &str| parse(&format!("v=0\nc=IN IP4 192.0.2.9\nm=audio 9000 RTP/AVP 0\n{mux}\n"));
    let rtcp_of = |audio: NegotiatedAudio| audio.remote_rtcp.map_or(0, |a| a.port());
    let (with, without) = (offered("a=rtcp-mux"), offered("a=x"));
    let ours = answer(&with, &local(&["pcmu"])).unwrap().description;
    assert!(ours.media[0].rtcp_mux && !answer(&without, &local(&["pcmu"])).unwrap().description.media[0].rtcp_mux);
    let again = reoffer(&local(&["pcmu"]), &ours);
    assert!(again.media[0].rtcp_mux, "a later offer keeps it");
    for (theirs, ours, port) in [(&with, &again, 9000), (&without, &again, 9001)] {
        assert_eq!(rtcp_of(accept(theirs, ours).unwrap()), port);
    }
    assert_eq!(rtcp_of(accept(&with, &offer(&local(&["pcmu"]))).unwrap()), 9001, "never offered");
}

#[test]
fn our_own_hold_is_not_the_peers() {
    let ours = offer(&LocalAudio { direction: Direction::Inactive, ..local(&["pcmu"]) });
    let audio = accept(&parse("v=0\nc=IN IP4 192.0.2.9\nm=audio 9 RTP/AVP 0\na=inactive\n"), &ours).unwrap();
    assert_eq!((audio.direction, audio.on_hold), (Direction::Inactive, false));
    let ours = offer(&LocalAudio { direction: Direction::SendOnly, ..local(&["pcmu"]) });
    let audio = accept(&parse("v=0\nc=IN IP4 192.0.2.9\nm=audio 9 RTP/AVP 0\na=recvonly\n"), &ours).unwrap();
    assert_eq!((audio.direction, audio.on_hold), (Direction::SendOnly, false));
}

#[test]
fn two_of_us_agree() {
    let (caller, callee) = (local(&["opus", "g722", "pcma"]), local(&["pcmu", "pcma", "g722"]));
    let ours = offer(&caller);
    let theirs = answer(&parse(&ours.to_string()), &callee).unwrap();
    let audio = accept(&parse(&theirs.description.to_string()), &ours).unwrap();
    assert_eq!(show(&audio.send), "G722/9");
    assert_eq!(show(&theirs.audio.send), "G722/9");
    assert_eq!(audio.dtmf, theirs.audio.dtmf);
    assert!(audio.dtmf.is_some_and(|d| d.clock_rate == 8000));
}

#[test]
fn the_version_goes_up_only_with_a_change() {
    let first = offer(&local(&["pcmu", "pcma"]));
    let rows: [(&str, LocalAudio, &str); 4] = [
        ("same", local(&["pcmu", "pcma"]), "1"),
        ("another session id and version", LocalAudio { session_id: 5, version: 9, ..local(&["pcmu", "pcma"]) }, "1"),
        ("hold", LocalAudio { direction: Direction::SendOnly, ..local(&["pcmu", "pcma"]) }, "2"),
        ("codec", local(&["pcmu"]), "2"),
    ];
    for (name, local, version) in rows {
        let next = reoffer(&local, &first);
        assert_eq!((next.origin.version.as_str(), next.origin.session_id.as_str()), (version, "77"), "{name}");
        assert_eq!(next.is_refresh_of(&first), version == "1", "{name}");
    }
}

#[test]
fn a_later_offer_keeps_places_and_numbers() {
    let answered = answer(&parse(SECURE_AND_PLAIN), &local(&["pcma"])).unwrap().description;
    let next = reoffer(&local(&["pcma", "pcmu"]), &answered);
    let ports: Vec<u16> = next.media.iter().map(|m| m.port).collect();
    assert_eq!(ports, [0, 30000, 0]);

    // The peer's offer bound opus to 96; our own habit is 111. 101 is bound to something else.
    let theirs =
        "v=0\nc=IN IP4 192.0.2.1\nm=audio 9 RTP/AVP 96 101\na=rtpmap:96 opus/48000/2\na=rtpmap:101 G726-32/8000\n";
    let mut ours = local(&["opus", "pcmu"]);
    ours.single = false;
    ours.formats.push(AudioFormat {
        codec: Codec::Other("g726-32".into()),
        payload_type: 120,
        clock_rate: 8000,
        channels: 1,
        fmtp: None,
    });
    let answered = answer(&parse(theirs), &ours).unwrap().description;
    assert_eq!(answered.media[0].formats, ["96", "101"]);
    ours.formats.pop();
    assert_eq!(reoffer(&ours, &answered).media[0].formats, ["96", "0", "100", "97"]);

    let refused = parse("v=0\nm=audio 0 RTP/AVP 0\nm=video 0 RTP/AVP 96\n");
    let ports: Vec<u16> = reoffer(&ours, &refused).media.iter().map(|m| m.port).collect();
    assert_eq!(ports, [0, 0, 30000]);
}

fn leg(offered: &str, codecs: &[&str]) -> NegotiatedAudio {
    let text = format!("v=0\nc=IN IP4 192.0.2.1\nm=audio 9 RTP/AVP {offered}\n");
    answer(&parse(&text), &LocalAudio { single: false, ..local(codecs) }).unwrap().audio
}

#[test]
fn common_codecs_of_two_legs() {
    let rows = [
        (leg("0", &["pcmu"]), leg("0 8", &["pcmu", "pcma"]), Some("PCMU/0 PCMU/0")),
        (leg("0", &["pcmu"]), leg("8", &["pcma"]), None),
        (leg("8 0", &["pcmu", "pcma"]), leg("0 8", &["pcmu", "pcma"]), Some("PCMA/8 PCMA/8")),
        (
            leg("96\na=rtpmap:96 opus/48000/2", &["opus"]),
            leg("111 0\na=rtpmap:111 OPUS/48000", &["opus", "pcmu"]),
            Some("opus/96 OPUS/111"),
        ),
        (
            leg("96\na=rtpmap:96 iLBC/8000\na=fmtp:96 mode=20", &["ilbc"]),
            leg("97\na=rtpmap:97 iLBC/8000\na=fmtp:97 mode=20", &["ilbc"]),
            Some("iLBC/96 iLBC/97"),
        ),
    ];
    for (a, b, expected) in rows {
        let got = common(&a, &b).map(|r| format!("{} {}", show(&r.to_a), show(&r.to_b)));
        assert_eq!(got.map(|s| s.to_lowercase()), expected.map(str::to_lowercase));
    }
    let mode_30 = "v=0\nc=IN IP4 192.0.2.1\nm=audio 9 RTP/AVP 96\na=rtpmap:96 iLBC/8000\n";
    assert_eq!(
        answer(&parse(mode_30), &local(&["ilbc"])),
        Err(NegotiationFault::NoCommonCodec(vec!["iLBC".into()])),
        "30 ms frames are not 20 ms frames"
    );
}

const SUITES: [(&str, usize); 3] =
    [("AEAD_AES_256_GCM", 44), ("AES_CM_128_HMAC_SHA1_80", 30), ("AES_CM_128_HMAC_SHA1_32", 30)];

/// We have three suites; plain RTP is taken too, or not.
fn secure(plain: bool) -> LocalAudio {
    let key = |(n, (suite, len)): (usize, &(&str, usize))| Crypto::new(n as u32 + 1, suite, &vec![n as u8; *len]);
    LocalAudio { crypto: SUITES.iter().enumerate().map(key).collect(), plain, ..local(&["pcmu"]) }
}

fn stream(protocol: &str, crypto: &[&str]) -> String {
    let lines = crypto.iter().map(|value| format!("a=crypto:{value}\n").replace("KEY", &"A".repeat(40)));
    format!("v=0\nc=IN IP4 192.0.2.1\nm=audio 5000 {protocol} 0\n{}", lines.collect::<String>())
}

/// The agreed suite under its tag, `plain`, or why not.
fn agreed(audio: Result<NegotiatedAudio, NegotiationFault>) -> String {
    match audio {
        Ok(NegotiatedAudio { secured: None, .. }) => "plain".to_owned(),
        Ok(NegotiatedAudio { secured: Some(s), .. }) => {
            assert_eq!((s.send.tag, &s.send.suite), (s.receive.tag, &s.receive.suite));
            format!("{} {}", s.send.tag, s.send.suite)
        }
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn an_offer_is_answered_in_its_kind_and_with_its_first_suite_that_we_have() {
    let (cm80, cm32) = ("7 AES_CM_128_HMAC_SHA1_80 inline:KEY", "3 AES_CM_128_HMAC_SHA1_32 inline:KEY|2^31|1:4");
    let (unknown, refused) =
        ("1 F8_128_HMAC_SHA1_80 inline:KEY", "2 AES_CM_128_HMAC_SHA1_80 inline:KEY UNENCRYPTED_SRTP");
    let short = "4 AES_CM_128_HMAC_SHA1_80 inline:AAAA";
    let (got80, got32) = ("7 AES_CM_128_HMAC_SHA1_80", "3 AES_CM_128_HMAC_SHA1_32");
    let none = "no common crypto suite";
    let rows: [(&str, &[&str], &str, &str); 9] = [
        ("RTP/SAVP", &[cm80, cm32], got80, got80),
        ("RTP/SAVPF", &[unknown, refused, short, cm32, cm80], got32, got32),
        ("RTP/SAVP", &[unknown, refused, short], none, none),
        ("RTP/SAVP", &[], none, none),
        ("RTP/AVP", &[], "plain", "SRTP is required"),
        ("RTP/AVP", &[unknown], "plain", "SRTP is required"),
        // Who would have SRTP and need not.
        ("RTP/AVP", &[cm80], got80, got80),
        (
            "UDP/TLS/RTP/SAVPF",
            &[cm80],
            "audio over UDP/TLS/RTP/SAVPF is not supported",
            "audio over UDP/TLS/RTP/SAVPF is not supported",
        ),
        ("UDPTL", &[], "audio over udptl is not supported", "audio over udptl is not supported"),
    ];
    for (protocol, crypto, optional, required) in rows {
        let offer = parse(&stream(protocol, crypto));
        for (plain, expected) in [(true, optional), (false, required)] {
            let local = secure(plain);
            let answer = answer(&offer, &local);
            if let Ok(Answer { description, audio }) = &answer {
                let ours = &description.media[0];
                assert_eq!(ours.protocol, offer.media[0].protocol);
                assert_eq!(ours.crypto.len(), usize::from(audio.secured.is_some()));
                let again = parse(&description.to_string());
                let send = Crypto::all_of(&again.media[0]).next();
                assert_eq!(send, audio.secured.as_ref().map(|s| s.send.clone()));
                // Our key for the suite, and for no other.
                let mine = local.crypto.iter().find(|c| Some(&c.suite) == send.as_ref().map(|s| &s.suite));
                assert_eq!(mine.map(Crypto::material), send.map(|s| s.material()));
            }
            assert_eq!(agreed(answer.map(|a| a.audio)), expected, "{protocol} {crypto:?} {plain}");
        }
        let off = agreed(answer(&offer, &local(&["pcmu"])).map(|a| a.audio));
        let expected = if protocol == "RTP/AVP" { "plain" } else { "is not supported" };
        assert!(off.ends_with(expected), "{off}");
    }
}

#[test]
fn our_offer_is_plain_unless_it_must_not_be_and_its_answer_names_a_key() {
    let plain = offer(&secure(true));
    assert_eq!((&plain.media[0].protocol, plain.media[0].crypto.len()), (&Protocol::RtpAvp, 0));
    assert_eq!(agreed(accept(&parse(&stream("RTP/AVP", &[])), &plain)), "plain");
    let unasked = "1 AES_CM_128_HMAC_SHA1_80 inline:KEY";
    assert_eq!(agreed(accept(&parse(&stream("RTP/AVP", &[unasked])), &plain)), "plain");
    assert_eq!(agreed(accept(&parse(&stream("RTP/SAVP", &[unasked])), &plain)), "audio over RTP/SAVP is not supported");

    let secured = offer(&secure(false));
    assert_eq!((&secured.media[0].protocol, secured.media[0].crypto.len()), (&Protocol::RtpSavp, 2));
    let none = "no common crypto suite";
    for (protocol, line, expected) in [
        ("RTP/SAVP", "2 AES_CM_128_HMAC_SHA1_80 inline:KEY", "2 AES_CM_128_HMAC_SHA1_80"),
        // A suite that we did not offer, another than that of the tag, a tag of nobody's, a key that is too short.
        ("RTP/SAVP", "3 AES_CM_128_HMAC_SHA1_32 inline:KEY", none),
        ("RTP/SAVP", "2 AEAD_AES_256_GCM inline:KEY", none),
        ("RTP/SAVP", "9 AES_CM_128_HMAC_SHA1_80 inline:KEY", none),
        ("RTP/SAVP", "1 AEAD_AES_256_GCM inline:KEY", none),
        ("RTP/AVP", "x", none),
        ("udptl", "2 AES_CM_128_HMAC_SHA1_80 inline:KEY", "audio over udptl is not supported"),
    ] {
        assert_eq!(agreed(accept(&parse(&stream(protocol, &[line])), &secured)), expected, "{line}");
    }
}

#[test]
fn a_later_description_keeps_the_keys() {
    let secured = offer(&secure(false));
    let again = reoffer(&LocalAudio { direction: Direction::SendOnly, ..secure(false) }, &secured);
    assert_eq!((&again.media[0].crypto, &again.media[0].protocol), (&secured.media[0].crypto, &Protocol::RtpSavp));
    let theirs = parse(&stream("RTP/SAVP", &["5 AES_CM_128_HMAC_SHA1_80 inline:KEY"]));
    let first = answer(&theirs, &secure(true)).unwrap();
    let mut second = answer(&theirs, &secure(true)).unwrap().description;
    second.supersede(&first.description);
    assert_eq!(second, first.description);
    assert_eq!(reoffer(&secure(true), &second).media[0].crypto, second.media[0].crypto);
}

#[test]
fn secrets_are_not_printed() {
    let description = parse(SECURE_AND_PLAIN);
    assert_eq!(description.media[0].crypto.len(), 1);
    assert!(!format!("{description:?}").contains("WVNfX19zZW1jdGwg"));
    assert!(description.to_string().contains("inline:WVNfX19zZW1jdGwg"));
}
