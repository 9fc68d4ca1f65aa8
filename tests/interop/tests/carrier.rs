//! Calls from one carrier to another, both SIPp, with sound of our own checked at both ends.

use std::thread;
use std::time::Duration;

use interop::carriers::{Carriers, ending};
use interop::process::until;
use interop::rtp::Heard;
use interop::sipp::{Codec, Sipp, Step};
use interop::sound::{find, melody};
use interop::tandem::Setup;

const TO_FAR: &str = "    - { name: to far, match: { to: /^2\\d+$/ }, do: [ { dial: { number: \"${to}\", trunks: [far], timeout: 2s } } ] }\n";

#[test]
fn a_call_carries_sound_both_ways_and_leaves_a_record() {
    let stage = Carriers::new("basic", TO_FAR);
    let (song_a, song_b) = (melody(11, 2), melody(12, 2));
    let steps = talk(4000);
    let (caller, callee) = (stage.caller("200", &steps), stage.callee(ANSWER));
    let (near, far) = (stage.sound(&caller, &song_a, 0), stage.sound(&callee, &song_b, 0));
    let mut callee = stage.start(&callee);
    let mut caller = stage.start(&caller);
    let (at_far, at_near) = (callee.wait_media(1), caller.wait_media(1));
    assert!(
        stage.tandem.is_media_port(at_far.port()) && stage.tandem.is_media_port(at_near.port()),
        "media is anchored"
    );
    far.send_to(at_far);
    near.send_to(at_near);
    let live = until(Duration::from_secs(2), || {
        let (_, text) = stage.tandem.command(&["calls", "--json"]);
        text.contains("+12125550123").then_some(text)
    });
    let live: serde_json::Value = serde_json::from_str(&live.expect("the call is listed")).expect("a JSON array");
    assert_eq!((live.as_array().map(Vec::len), live[0]["to"].as_str()), (Some(1), Some("200")));
    let record = stage.finish(&mut caller, &mut [&mut callee]);

    heard_well("near", &near.stop(), &song_b);
    heard_well("far", &far.stop(), &song_a);
    assert_eq!(ending(&record), ("caller", "hangup"), "{record}");
    assert_eq!(record["trunk"], "near");
    assert_eq!(
        (&record["from"], &record["to"], &record["rule"]),
        (&"+12125550123".into(), &"200".into(), &"to far".into())
    );
    let billable = record["billable_us"].as_u64().unwrap_or(0);
    assert!((3_800_000..5_000_000).contains(&billable), "{billable} µs were billable");
    let legs = record["legs"].as_array().expect("legs");
    assert_eq!(legs.len(), 2);
    for leg in legs {
        let packets = leg["quality"]["packets_received"].as_u64().unwrap_or(0);
        assert!((150..260).contains(&packets), "{packets} packets were received: {leg}");
        assert_eq!(leg["quality"]["packets_lost"], 0, "{leg}");
        assert!(leg["quality"]["mos"].as_f64().unwrap_or(0.0) > 4.0, "{leg}");
    }
    let trace = stage.tandem.trace(record["call"].as_str().expect("a call's name"));
    for word in ["INVITE", "180", "200", "ACK", "BYE", "to far", "hangup"] {
        assert!(trace.contains(word), "the timeline has no {word}:\n{trace}");
    }
    stage.tandem.assert_nothing_left();
}

#[test]
fn nothing_of_one_leg_is_seen_on_the_other() {
    let stage = Carriers::new("topology", TO_FAR);
    let steps = talk(300);
    let (caller, callee) = (stage.caller("200", &steps), stage.callee(ANSWER));
    let mut callee = stage.start(&callee);
    let mut caller = stage.start(&caller);
    stage.finish(&mut caller, &mut [&mut callee]);
    let (near, far) = (caller.messages(), callee.messages());
    let values = |text: &str, name: &str| -> Vec<String> {
        let mut found: Vec<String> =
            text.lines().filter_map(|l| l.strip_prefix(name)).map(|v| v.trim().to_owned()).collect();
        found.sort();
        found.dedup();
        found
    };
    for header in ["Call-ID:", "Via:", "Contact:", "o="] {
        let (near, far) = (values(&near, header), values(&far, header));
        // The switch's own Contact may be the same on both; no party's own may.
        let leaked: Vec<_> = near.iter().filter(|v| far.contains(v) && !v.contains("127.0.0.1:")).collect();
        assert!(!near.is_empty() && leaked.is_empty(), "{header} {leaked:?}");
    }
    assert!(!far.contains("127.0.0.2") && !near.contains("127.0.0.3"), "an address leaked");
}

#[test]
fn u_law_is_transcoded_to_a_law() {
    let stage = Carriers::new("transcode", TO_FAR);
    let (song_a, song_b) = (melody(13, 2), melody(14, 2));
    let steps = talk(4000);
    let caller = Sipp { codec: Codec::Pcmu, ..stage.caller("200", &steps) };
    let callee = Sipp { codec: Codec::Pcma, ..stage.callee(ANSWER) };
    let (near, far) = (stage.sound(&caller, &song_a, 0), stage.sound(&callee, &song_b, 8));
    let mut callee = stage.start(&callee);
    let mut caller = stage.start(&caller);
    far.send_to(callee.wait_media(1));
    near.send_to(caller.wait_media(1));
    stage.finish(&mut caller, &mut [&mut callee]);
    let (near, far) = (near.stop(), far.stop());
    assert_eq!(near.payload_types().keys().copied().collect::<Vec<_>>(), [0], "the caller hears what it offered");
    assert_eq!(far.payload_types().keys().copied().collect::<Vec<_>>(), [8], "the callee hears what it answered");
    heard_well("near", &near, &song_b);
    heard_well("far", &far, &song_a);
}

#[test]
fn a_caller_that_offers_nothing_is_offered_something() {
    let stage = Carriers::new("late-offer", TO_FAR);
    let (song_a, song_b) = (melody(15, 2), melody(16, 2));
    let steps = [
        Step::InviteLate,
        Step::May(100),
        Step::May(180),
        Step::Expect(200),
        Step::AckSdp("sendrecv"),
        Step::Pause(4_000),
        Step::Bye,
        Step::Expect(200),
    ];
    let (caller, callee) = (stage.caller("200", &steps), stage.callee(ANSWER));
    let (near, far) = (stage.sound(&caller, &song_a, 0), stage.sound(&callee, &song_b, 0));
    let mut callee = stage.start(&callee);
    let mut caller = stage.start(&caller);
    far.send_to(callee.wait_media(1));
    near.send_to(caller.wait_media(1));
    let record = stage.finish(&mut caller, &mut [&mut callee]);
    assert!(callee.messages().contains("m=audio"), "the far side is offered at once");
    heard_well("near", &near.stop(), &song_b);
    heard_well("far", &far.stop(), &song_a);
    assert_eq!(ending(&record), ("caller", "hangup"), "{record}");
    stage.tandem.assert_nothing_left();
}

#[test]
fn early_media_reaches_the_caller_before_the_answer() {
    let stage = Carriers::new("early", TO_FAR);
    let song = melody(15, 2);
    let caller = stage.caller(
        "200",
        &[
            Step::Invite,
            Step::May(100),
            Step::Expect(183),
            Step::Expect(200),
            Step::Ack,
            Step::Pause(300),
            Step::Bye,
            Step::Expect(200),
        ],
    );
    let callee = stage.callee(&[
        Step::Get("INVITE"),
        Step::ReplySdp(183, "sendrecv"),
        Step::Pause(1900),
        Step::ReplySdp(200, "sendrecv"),
        Step::Get("ACK"),
        Step::Get("BYE"),
        Step::Reply(200),
    ]);
    let (near, far) = (stage.sound(&caller, &[0; 160], 0), stage.sound(&callee, &song, 0));
    let mut callee = stage.start(&callee);
    let mut caller = stage.start(&caller);
    far.send_to(callee.wait_media(1));
    near.send_to(caller.wait_media(1));
    let early = until(Duration::from_millis(1500), || (near.count() > 40).then_some(()));
    assert!(early.is_some(), "{} packets came before the answer", near.count());
    stage.finish(&mut caller, &mut [&mut callee]);
    let heard = near.stop();
    assert!(find(&song[..8000], &heard.samples()).correlation > 0.99);
}

#[test]
fn hold_is_answered_for_anchored_media_and_the_stream_stays_one() {
    let stage = Carriers::new("hold", TO_FAR);
    let (song_a, song_b) = (melody(16, 2), melody(17, 2));
    let (caller, callee) = (stage.caller("200", HOLDING), stage.callee(HANGING_UP));
    let (near, far) = (stage.sound(&caller, &song_a, 0), stage.sound(&callee, &song_b, 0));
    let mut callee = stage.start(&callee);
    let mut caller = stage.start(&caller);
    far.send_to(callee.wait_media(1));
    near.send_to(caller.wait_media(1));
    // The holder sends nothing while it holds, and must hear nothing.
    caller.wait_media(2);
    near.set_quiet(true);
    thread::sleep(Duration::from_millis(300));
    let held = near.count();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(near.count(), held, "the holder hears the other side");
    caller.wait_media(3);
    near.set_quiet(false);
    let record = stage.finish(&mut caller, &mut [&mut callee]);
    assert_eq!(ending(&record), ("callee", "hangup"), "{record}");
    let answers: Vec<String> = caller.directions();
    assert_eq!(answers, ["sendrecv", "recvonly", "sendrecv"], "what the switch answered");
    for (name, heard, song) in [("near", near.stop(), &song_b), ("far", far.stop(), &song_a)] {
        assert!(find(&song[..8000], &heard.samples()).correlation > 0.99, "{name}");
        let ssrcs: std::collections::BTreeSet<u32> = heard.packets.iter().map(|p| p.ssrc).collect();
        assert_eq!(ssrcs.len(), 1, "{name} saw the SSRC change");
        let steps = heard.packets.windows(2).map(|p| p[1].sequence.wrapping_sub(p[0].sequence));
        let jumps: Vec<u16> = steps.filter(|s| *s != 1).collect();
        assert!(jumps.is_empty(), "{name}'s sequence numbers jump by {jumps:?}: {} packets", heard.packets.len());
    }
}

#[test]
fn hold_passes_through_where_media_is_direct() {
    const DIRECT: &str =
        "    - { match: { to: /^2\\d+$/ }, do: [ { dial: { number: \"${to}\", trunks: [far], media: direct } } ] }\n";
    let stage = Carriers::new("hold-direct", DIRECT);
    let (caller, callee) = (stage.caller("200", HOLDING), stage.callee(HELD));
    let mut callee = stage.start(&callee);
    let mut caller = stage.start(&caller);
    assert_eq!(callee.wait_media(1), stage.caller("", &[]).media(), "SDP is untouched");
    let record = stage.finish(&mut caller, &mut [&mut callee]);
    assert_eq!(ending(&record), ("callee", "hangup"), "{record}");
    assert_eq!(callee.directions(), ["sendrecv", "sendonly", "sendrecv"], "what the callee was asked");
    assert_eq!(caller.directions(), ["sendrecv", "recvonly", "sendrecv"], "what the caller was answered");
}

#[test]
fn tcp_in_and_udp_out() {
    let stage = Carriers::new("tcp", TO_FAR);
    let steps = talk(300);
    let record = stage.play(&Sipp { tcp: true, ..stage.caller("200", &steps) }, &stage.callee(ANSWER));
    assert_eq!(ending(&record), ("caller", "hangup"), "{record}");
}

#[test]
fn failures_end_the_call_with_their_reason() {
    let rejecting = |code| vec![Step::Get("INVITE"), Step::Reply(code), Step::Get("ACK")];
    let refused = |code| vec![Step::Invite, Step::May(100), Step::May(180), Step::Expect(code), Step::AckFailure];
    let check = |name: &str, calling: &[Step], called: &[Step], expected: (&str, &str)| {
        let stage = Carriers::new(name, TO_FAR);
        let record = stage.play(&stage.caller("200", calling), &stage.callee(called));
        assert_eq!(ending(&record), expected, "{name}: {record}");
        assert!(record["answered"].is_null(), "{name} was never answered");
    };
    check("busy", &refused(486), &rejecting(486), ("callee", "busy"));
    check("declined", &refused(603), &rejecting(603), ("callee", "rejected"));
    check("no-answer", &refused(480), CANCELLED, ("callee", "no_answer"));
    check("cancelled", CANCELLING, CANCELLED, ("caller", "cancelled"));
}

#[test]
fn a_number_that_no_rule_takes_is_not_found() {
    let stage = Carriers::new("nowhere", TO_FAR);
    let caller = stage.caller("900", &[Step::Invite, Step::May(100), Step::Expect(404), Step::AckFailure]);
    let mut caller = stage.start(&caller);
    let record = stage.finish(&mut caller, &mut []);
    assert_eq!(ending(&record).1, "no_route", "{record}");
}

#[test]
fn a_second_trunk_takes_over_from_one_that_fails() {
    const BOTH: &str = "    - { match: { to: /^2\\d+$/ }, do: [ { dial: { number: \"${to}\", trunks: [far, farther], timeout: 10s } } ] }\n";
    let stage = Carriers::new("failover", BOTH);
    let failing = stage.callee(&[Step::Get("INVITE"), Step::Reply(503), Step::Get("ACK")]);
    let steps = talk(300);
    let (caller, other) = (stage.caller("200", &steps), stage.other_callee(ANSWER));
    let mut failing = stage.start(&failing);
    let mut other = stage.start(&other);
    let mut caller = stage.start(&caller);
    let record = stage.finish(&mut caller, &mut [&mut failing, &mut other]);
    assert_eq!(ending(&record), ("caller", "hangup"), "{record}");
    let legs = record["legs"].as_array().expect("legs");
    let tried: Vec<_> = legs.iter().map(|l| (l["peer"].as_str(), l["status"].as_u64())).collect();
    assert_eq!(tried[1..], [(Some("far"), Some(503)), (Some("farther"), Some(200))]);
}

#[test]
fn a_foreign_source_is_not_let_into_the_call() {
    let stage = Carriers::new("foreign", TO_FAR);
    let (song_a, song_b) = (melody(18, 2), melody(19, 2));
    let steps = talk(4000);
    let (caller, callee) = (stage.caller("200", &steps), stage.callee(ANSWER));
    let (near, far) = (stage.sound(&caller, &song_a, 0), stage.sound(&callee, &song_b, 0));
    let mut callee = stage.start(&callee);
    let mut caller = stage.start(&caller);
    far.send_to(callee.wait_media(1));
    let at_near = caller.wait_media(1);
    near.send_to(at_near);
    thread::sleep(Duration::from_millis(500));
    let spare = stage.spare();
    let stranger = interop::rtp::RtpEnd::start(&spare.ip().to_string(), spare.port(), &melody(20, 2), 0);
    stranger.send_to(at_near);
    stage.finish(&mut caller, &mut [&mut callee]);
    heard_well("far", &far.stop(), &song_a);
    assert_eq!(stranger.stop().packets.len(), 0, "the stranger heard the call");
}

#[test]
fn the_address_family_does_not_matter() {
    let dialplan = "contexts:\n  internal:\n    - { match: { to: echo }, do: [ answer, echo ] }\n";
    let scratch = interop::scratch::Scratch::new("ipv6");
    let trunks = "  - { name: near, targets: [\"sip:[::1]:9\"], inbound: [\"::1/128\"], context: internal }\n";
    let setup = Setup { trunks, dialplan, ip: "::1", ..Setup::default() };
    let tandem = interop::tandem::Tandem::start(scratch.path(), &setup);
    let port = interop::scratch::free_ports(4);
    let steps = talk(2500);
    let caller = Sipp {
        to: "echo",
        rtp_port: port + 2,
        ..Sipp::new("near", interop::sipp::Side::Caller, &steps, "::1", port, tandem.sip())
    };
    let song = melody(21, 2);
    let near = interop::rtp::RtpEnd::start("::1", port + 2, &song, 0);
    let mut caller = caller.start(scratch.path());
    near.send_to(caller.wait_media(1));
    caller.finish(Duration::from_secs(20));
    heard_well("near", &near.stop(), &song);
}

/// A stream without a fault in which the other side's song is recognised.
fn heard_well(name: &str, heard: &Heard, song: &[i16]) {
    let found = find(&song[..8000], &heard.samples());
    assert!(found.correlation > 0.99, "{name} heard {} packets, {found:?}", heard.packets.len());
    assert!(heard.faults().is_empty(), "{name}: {:?}", heard.faults());
}

fn talk(milliseconds: u32) -> [Step; 8] {
    [
        Step::Invite,
        Step::May(100),
        Step::May(180),
        Step::Expect(200),
        Step::Ack,
        Step::Pause(milliseconds),
        Step::Bye,
        Step::Expect(200),
    ]
}

const ANSWER: &[Step] = &[
    Step::Get("INVITE"),
    Step::Reply(180),
    Step::ReplySdp(200, "sendrecv"),
    Step::Get("ACK"),
    Step::Get("BYE"),
    Step::Reply(200),
];
const CANCELLING: &[Step] = &[
    Step::Invite,
    Step::May(100),
    Step::Expect(180),
    Step::Pause(300),
    Step::Cancel,
    Step::Expect(200),
    Step::Expect(487),
    Step::AckFailure,
];
const CANCELLED: &[Step] =
    &[Step::Get("INVITE"), Step::Reply(180), Step::Get("CANCEL"), Step::Reply(200), Step::Reply(487), Step::Get("ACK")];
const HOLDING: &[Step] = &[
    Step::Invite,
    Step::May(100),
    Step::May(180),
    Step::Expect(200),
    Step::Ack,
    Step::Pause(2500),
    Step::Reinvite("sendonly"),
    Step::May(100),
    Step::Expect(200),
    Step::Ack,
    Step::Pause(1000),
    Step::Reinvite("sendrecv"),
    Step::May(100),
    Step::Expect(200),
    Step::Ack,
    Step::Get("BYE"),
    Step::Reply(200),
];
const HANGING_UP: &[Step] = &[
    Step::Get("INVITE"),
    Step::Reply(180),
    Step::ReplySdp(200, "sendrecv"),
    Step::Get("ACK"),
    Step::Pause(5500),
    Step::Bye,
    Step::Expect(200),
];
const HELD: &[Step] = &[
    Step::Get("INVITE"),
    Step::Reply(180),
    Step::ReplySdp(200, "sendrecv"),
    Step::Get("ACK"),
    Step::Get("INVITE"),
    Step::ReplySdp(200, "recvonly"),
    Step::Get("ACK"),
    Step::Get("INVITE"),
    Step::ReplySdp(200, "sendrecv"),
    Step::Get("ACK"),
    Step::Pause(1500),
    Step::Bye,
    Step::Expect(200),
];
