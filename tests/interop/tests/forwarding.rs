//! Relay in the kernel between SIPps, and a conference whose members' packets it collects: sound, digits and accounts are as ever, on
//! loopback and between two hosts. Where the system takes no programs of ours, packets pass by the media threads and only that is checked.

use std::thread::sleep;
use std::time::Duration;

use interop::lan::{Host, Lan, PHONES, SWITCH};
use interop::rtp::RtpEnd;
use interop::scratch::{Scratch, free_ports};
use interop::sipp::{Side, Sipp, Step};
use interop::sound::{find, likeness, melody};
use interop::tandem::{Setup, Tandem};

const RULES: &str = "contexts:\n  from-carrier:\n    - { name: across, match: { to: /^.+$/ }, do: [ { dial: { number: \"${to}\", trunks: [far] } } ] }\n";
const MEETING: &str = "contexts:\n  from-carrier:\n    - { name: room, match: { to: /^.+$/ }, do: [ { conference: { name: room, beep: false } } ] }\n";
/// A caller who talks for eight seconds.
const CALLS: [Step; 8] = [
    Step::Invite,
    Step::May(100),
    Step::May(180),
    Step::Expect(200),
    Step::Ack,
    Step::Pause(8_500),
    Step::Bye,
    Step::Expect(200),
];

fn trunks(ips: [&str; 2], port: u16) -> String {
    let trunk = |(name, ip, port): (&str, &str, u16)| {
        format!("  - {{ name: {name}, targets: [\"sip:{ip}:{port}\"], inbound: [{ip}/32], context: from-carrier }}\n")
    };
    [("near", ips[0], port), ("far", ips[1], port + 1)].map(trunk).concat()
}

/// Two parties talk for eight seconds; the caller presses a key after four. `enter` puts this thread on a host.
fn call(name: &str, switch: &str, ips: [&str; 2], enter: impl Fn(Host)) {
    let (scratch, port) = (Scratch::new(name), free_ports(12));
    enter(Host::Switch);
    let trunks = trunks(ips, port);
    let setup = Setup { trunks: &trunks, dialplan: RULES, ip: switch, ..Setup::default() };
    let tandem = Tandem::start(scratch.path(), &setup);
    enter(Host::Phones);
    let answers =
        [Step::Get("INVITE"), Step::ReplySdp(200, "sendrecv"), Step::Get("ACK"), Step::Get("BYE"), Step::Reply(200)];
    let side = |name, side, steps, n: usize| Sipp {
        to: "5551000",
        rtp_port: port + 4 + 2 * n as u16,
        ..Sipp::new(name, side, steps, ips[n], port + n as u16, tandem.sip())
    };
    let (caller, callee) = (side("near", Side::Caller, &CALLS, 0), side("far", Side::Callee, &answers, 1));
    let songs = [melody(71, 9), melody(72, 9)];
    let ends = [(&caller, &songs[0]), (&callee, &songs[1])].map(|(s, song)| RtpEnd::start(s.ip, s.rtp_port, song, 0));
    let (mut far, mut near) = (callee.start(scratch.path()), caller.start(scratch.path()));
    ends[0].send_to(near.wait_media(1));
    ends[1].send_to(far.wait_media(1));
    sleep(Duration::from_secs(4));
    ends[0].press(5);
    sleep(Duration::from_secs(4));
    ends.iter().for_each(|end| end.set_quiet(true));
    near.finish(Duration::from_secs(20));
    far.finish(Duration::from_secs(20));
    let [near, far] = ends.map(RtpEnd::stop);
    enter(Host::Switch);
    for (who, heard, song) in [("near", &near, &songs[1]), ("far", &far, &songs[0])] {
        let (faults, samples) = (heard.faults(), heard.samples());
        assert!(heard.packets.len() > 350, "{who} got {} packets", heard.packets.len());
        let part = find(&song[24_000..32_000], &samples);
        assert!(part.correlation > 0.99, "{who} heard {} samples: {part:?}", samples.len());
        // The digit stands in place of sound: its own steps are no faults of the stream.
        assert!(faults.iter().all(|f| f.contains("timestamp")), "{who}: {faults:?}");
        let ssrcs: std::collections::BTreeSet<u32> = heard.packets.iter().map(|p| p.ssrc).collect();
        assert_eq!(ssrcs.len(), 1, "{who}: one stream");
    }
    let events = far.payload_types().get(&101).copied().unwrap_or(0);
    assert!(events >= 6, "{events} packets of the digit passed");
    let record = tandem.cdrs(1).remove(0);
    let quality = |leg: usize, key: &str| record["legs"][leg]["quality"][key].as_u64().unwrap_or(u64::MAX);
    for (leg, own, other) in [(0, &near, &far), (1, &far, &near)] {
        assert_eq!(quality(leg, "packets_sent"), own.packets.len() as u64, "{record}");
        assert_eq!(quality(leg, "packets_lost"), 0, "{record}");
        let (received, relayed) = (quality(leg, "packets_received"), other.packets.len() as u64);
        assert!(received >= relayed && received <= relayed + 10, "{received} came, {relayed} left: {record}");
    }
    let forwarded = tandem.metric("tandem_media_packets_forwarded_total").unwrap_or(0.0);
    match tandem.metric("tandem_media_kernel") {
        Some(1.0) => assert!(forwarded > 600.0, "the kernel relayed {forwarded} packets of some 800"),
        _ => println!("SKIPPED: this system takes no programs of ours; {forwarded}"),
    }
    tandem.assert_nothing_left();
}

/// Two callers meet in a conference.
fn meet(name: &str, switch: &str, ips: [&str; 2], enter: impl Fn(Host)) {
    let (scratch, port) = (Scratch::new(name), free_ports(12));
    enter(Host::Switch);
    let trunks = trunks(ips, port);
    let setup = Setup { trunks: &trunks, dialplan: MEETING, ip: switch, ..Setup::default() };
    let tandem = Tandem::start(scratch.path(), &setup);
    enter(Host::Phones);
    let caller = |name, n: usize| Sipp {
        to: "5551000",
        rtp_port: port + 4 + 2 * n as u16,
        ..Sipp::new(name, Side::Caller, &CALLS, ips[n], port + n as u16, tandem.sip())
    };
    let (callers, songs) = ([caller("near", 0), caller("far", 1)], [melody(81, 9), melody(82, 9)]);
    let ends = [0, 1].map(|n| RtpEnd::start(ips[n], callers[n].rtp_port, &songs[n], 0));
    let mut running = callers.map(|caller| caller.start(scratch.path()));
    for (end, caller) in ends.iter().zip(&mut running) {
        end.send_to(caller.wait_media(1));
    }
    sleep(Duration::from_secs(8));
    ends.iter().for_each(|end| end.set_quiet(true));
    running.iter_mut().for_each(|caller| {
        caller.finish(Duration::from_secs(20));
    });
    let heard = ends.map(RtpEnd::stop);
    enter(Host::Switch);
    for (n, heard) in heard.iter().enumerate() {
        let (faults, samples) = (heard.faults(), heard.samples());
        // A mixer that the machine keeps from its work for a tick leaves one out, and says so by the timestamp.
        let likeness = likeness(&songs[1 - n][16_000..56_000], &samples, 1_600);
        assert!(likeness > 0.98, "{n} heard {likeness} in {} samples: {faults:?}", samples.len());
        assert!(faults.iter().all(|f| f.contains("timestamp")), "{n}: {faults:?}");
    }
    let records = tandem.cdrs(2);
    for record in &records {
        let quality = &record["legs"][0]["quality"];
        assert_eq!(quality["packets_lost"], 0, "{record}");
        assert!(quality["packets_received"].as_u64() > Some(350), "{record}");
    }
    let collected = tandem.metric("tandem_media_packets_collected_total").unwrap_or(0.0);
    match tandem.metric("tandem_media_kernel") {
        Some(1.0) => assert!(collected > 400.0, "the kernel collected {collected} packets of some 800"),
        _ => println!("SKIPPED: this system takes no programs of ours; {collected}"),
    }
    tandem.assert_nothing_left();
}

#[test]
fn a_conference_on_loopback_is_collected_by_the_kernel() {
    meet("collecting-lo", "127.0.0.1", ["127.0.0.2", "127.0.0.3"], |_| {});
}

#[test]
fn a_conference_between_two_hosts_is_collected_by_the_kernel() {
    let Some(lan) = Lan::new() else { return };
    meet("collecting-lan", SWITCH, PHONES, |host| lan.enter(host));
}

#[test]
fn a_call_on_loopback_is_relayed_by_the_kernel() {
    call("forwarding-lo", "127.0.0.1", ["127.0.0.2", "127.0.0.3"], |_| {});
}

#[test]
fn a_call_between_two_hosts_is_relayed_by_the_kernel() {
    let Some(lan) = Lan::new() else { return };
    call("forwarding-lan", SWITCH, PHONES, |host| lan.enter(host));
}
