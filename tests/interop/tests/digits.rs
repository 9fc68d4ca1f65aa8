//! Digits over the wire: every way in (RFC 4733, both forms of INFO, tones in the sound) to every way out, once each.

use codecs::dtmf::{Detector, Event};
use interop::carriers::Carriers;
use interop::rtp::Heard;
use interop::scratch::free_ports;
use interop::sipp::{Side, Sipp, Step};
use interop::sound::{RATE, pcmu_decode};
use interop::tandem::Setup;
use std::f64::consts::TAU;
use std::thread::sleep;
use std::time::Duration;

/// Payload type of telephone-events in every description here.
const EVENTS: u8 = 101;

#[derive(Debug, Clone, Copy, PartialEq)]
enum In {
    Event,
    InfoRelay,
    InfoPlain,
    Tone,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Out {
    Event,
    Info,
    Tone,
}

/// What came to the called party.
#[derive(Debug, PartialEq, Eq)]
struct Came {
    events: String,
    tones: String,
    infos: usize,
}

/// A second and a half of silence, 120 ms of the digit 5, and silence for as long as any call here.
fn a_five() -> Vec<i16> {
    let silent = |ms: u32| vec![0; (RATE / 1_000 * ms) as usize];
    let tone = (0..RATE / 1_000 * 120).map(|n| {
        let part = |hz: f64| (TAU * hz * f64::from(n) / f64::from(RATE)).sin();
        (6_000.0 * (part(770.0) + part(1_336.0))) as i16
    });
    [silent(1_500), tone.collect(), silent(20_000)].concat()
}

/// Events by their timestamps, each once.
fn events_in(heard: &Heard) -> String {
    let mut begun: Vec<u32> = Vec::new();
    let mut digits = String::new();
    for packet in heard.packets.iter().filter(|p| p.payload_type == EVENTS) {
        if let (false, Some(event)) = (begun.contains(&packet.timestamp), packet.payload.first()) {
            begun.push(packet.timestamp);
            digits.push(b"0123456789*#ABCD".get(usize::from(*event)).map_or('?', |c| char::from(*c)));
        }
    }
    digits
}

fn tones_in(heard: &Heard) -> String {
    let (mut detector, mut digits) = (Detector::new(), String::new());
    for packet in heard.packets.iter().filter(|p| p.payload_type == 0) {
        let sound: Vec<i16> = packet.payload.iter().map(|byte| pcmu_decode(*byte)).collect();
        detector.process(&sound, |event| {
            if let Event::Begin { digit } = event {
                digits.push(digit);
            }
        });
    }
    digits
}

/// One call, one press of 5.
fn press(stage: &Carriers, callee: &Sipp<'_>, from: In) -> Came {
    let talk = |extra: &[Step]| -> Vec<Step> {
        let begin = [Step::Invite, Step::May(100), Step::May(180), Step::Expect(200), Step::Ack, Step::Pause(1_500)];
        let end = [Step::Pause(1_000), Step::Bye, Step::Expect(200)];
        [&begin, extra, &end].concat()
    };
    let steps = match from {
        In::InfoRelay => talk(&[Step::Info("dtmf-relay", '5'), Step::Expect(200)]),
        In::InfoPlain => talk(&[Step::Info("dtmf", '5'), Step::Expect(200)]),
        In::Event | In::Tone => talk(&[]),
    };
    // Who has events and sends INFO all the same is waited for, whether it sends the event too.
    // Each by a name of its own, or its addresses would be read from what the one before it wrote.
    let names = [format!("near-{from:?}"), format!("far-{from:?}")];
    let events = matches!(from, In::Event | In::InfoRelay);
    let caller = Sipp { name: &names[0], events, ..stage.caller("200", &steps) };
    let callee = &Sipp { name: &names[1], ..callee.clone() };
    let signal = if from == In::Tone { a_five() } else { vec![0; 160] };
    let (near, far) = (stage.sound(&caller, &signal, 0), stage.sound(callee, &[0; 160], 0));
    let (mut callee, mut caller) = (stage.start(callee), stage.start(&caller));
    near.send_to(caller.wait_media(1));
    far.send_to(callee.wait_media(1));
    sleep(Duration::from_millis(500));
    if from == In::Event {
        near.press(5);
    }
    stage.finish(&mut caller, &mut [&mut callee]);
    let heard = far.stop();
    let infos = callee.messages().matches("Signal=5").count();
    Came { events: events_in(&heard), tones: tones_in(&heard), infos }
}

fn every_way_to(to: Out) {
    let port = free_ports(2);
    let trunks = format!(
        "  - {{ name: by-info, targets: [\"sip:127.0.0.5:{port}\"], inbound: [127.0.0.5/32], context: from-carrier, dtmf: info }}\n"
    );
    let trunk = if to == Out::Info { "by-info" } else { "far" };
    let rule = format!(
        "    - {{ match: {{ to: /^2\\d+$/ }}, do: [ {{ dial: {{ number: \"${{to}}\", trunks: [{trunk}] }} }} ] }}\n"
    );
    let stage = Carriers::with(&format!("digits-{to:?}"), &rule, &Setup { trunks: &trunks, ..Setup::default() });
    let plain: &[Step] = &[
        Step::Get("INVITE"),
        Step::Reply(180),
        Step::ReplySdp(200, "sendrecv"),
        Step::Get("ACK"),
        Step::Get("BYE"),
        Step::Reply(200),
    ];
    let told: &[Step] = &[
        Step::Get("INVITE"),
        Step::Reply(180),
        Step::ReplySdp(200, "sendrecv"),
        Step::Get("ACK"),
        Step::Get("INFO"),
        Step::Reply(200),
        Step::Get("BYE"),
        Step::Reply(200),
    ];
    let callee = match to {
        Out::Info => {
            let far = stage.callee(told);
            Sipp {
                rtp_port: far.rtp_port,
                ..Sipp::new("far", Side::Callee, told, "127.0.0.5", port, stage.tandem.sip())
            }
        }
        Out::Event => stage.callee(plain),
        Out::Tone => Sipp { events: false, ..stage.callee(plain) },
    };
    for from in [In::Event, In::InfoRelay, In::InfoPlain, In::Tone] {
        let came = press(&stage, &callee, from);
        let (mut wanted, five) = (Came { events: String::new(), tones: String::new(), infos: 0 }, "5".to_owned());
        match to {
            Out::Event => wanted.events = five,
            Out::Info => wanted.infos = 1,
            Out::Tone => wanted.tones = five,
        }
        assert_eq!(came, wanted, "{from:?} to {to:?}:\n{}", stage.tandem.command(&["trace", "last"]).1);
    }
}

#[test]
fn every_way_in_comes_out_as_events() {
    every_way_to(Out::Event);
}

#[test]
fn every_way_in_comes_out_by_info() {
    every_way_to(Out::Info);
}

#[test]
fn every_way_in_comes_out_as_tones() {
    every_way_to(Out::Tone);
}

#[test]
fn a_message_ends_by_a_tone_of_a_caller_who_has_no_events() {
    let rule = "    - { match: { to: /^2\\d+$/ }, do: [ answer, { record: { max_length: 8s, timeout: 6s, finish_on_key: \"5\", \
                beep: false } }, hangup ] }\n";
    let stage = Carriers::new("digits-record", rule);
    let steps: &[Step] = &[
        Step::Invite,
        Step::May(100),
        Step::May(180),
        Step::Expect(200),
        Step::Ack,
        Step::Get("BYE"),
        Step::Reply(200),
    ];
    let caller = Sipp { events: false, ..stage.caller("200", steps) };
    let near = stage.sound(&caller, &a_five(), 0);
    let mut caller = stage.start(&caller);
    near.send_to(caller.wait_media(1));
    stage.finish(&mut caller, &mut []);
    let (_, trace) = stage.tandem.command(&["trace", "last"]);
    assert!(trace.contains("a key was pressed") && trace.contains("by in-band"), "{trace}");
}
