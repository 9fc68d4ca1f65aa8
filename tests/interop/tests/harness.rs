//! The harness against itself: SIPp calls SIPp, with sound both ways, and nothing of Tandem between.

use std::time::Duration;

use interop::baresip::Phone;
use interop::kamailio::{self, Role};
use interop::lossy::Link;
use interop::rtp::RtpEnd;
use interop::scratch::{Scratch, free_ports};
use interop::sipp::{Side, Sipp, Step};
use interop::sound::{find, likeness, melody};

#[test]
fn sipp_calls_sipp_and_both_hear_each_other() {
    let scratch = Scratch::new("harness");
    let port = free_ports(6);
    let (song_a, song_b) = (melody(1, 2), melody(2, 2));
    let near = RtpEnd::start("127.0.0.1", port + 2, &song_a, 0);
    let far = RtpEnd::start("127.0.0.1", port + 4, &song_b, 0);
    let target = ([127, 0, 0, 1], port + 1).into();
    let mut callee =
        Sipp { rtp_port: far.port(), ..Sipp::new("callee", Side::Callee, CALLEE, "127.0.0.1", port + 1, target) }
            .start(scratch.path());
    let mut caller =
        Sipp { rtp_port: near.port(), ..Sipp::new("caller", Side::Caller, CALLER, "127.0.0.1", port, target) }
            .start(scratch.path());
    far.send_to(callee.wait_media(1));
    near.send_to(caller.wait_media(1));
    assert_eq!(caller.finish(Duration::from_secs(20)).successful, 1);
    assert_eq!(callee.finish(Duration::from_secs(20)).failed, 0);
    let (near, far) = (near.stop(), far.stop());
    assert!(near.faults().is_empty(), "{:?}", near.faults());
    assert!(find(&song_b[..8000], &near.samples()).correlation > 0.99);
    assert!(find(&song_a[..8000], &far.samples()).correlation > 0.99);
}

const CALLER: &[Step] = &[
    Step::Invite,
    Step::May(100),
    Step::May(180),
    Step::Expect(200),
    Step::Ack,
    Step::Pause(4000),
    Step::Reinvite("sendonly"),
    Step::Expect(200),
    Step::Ack,
    Step::Get("BYE"),
    Step::Reply(200),
];
const CALLEE: &[Step] = &[
    Step::Get("INVITE"),
    Step::Reply(180),
    Step::ReplySdp(200, "sendrecv"),
    Step::Get("ACK"),
    Step::Get("INVITE"),
    Step::ReplySdp(200, "recvonly"),
    Step::Get("ACK"),
    Step::Bye,
    Step::Expect(200),
];

#[test]
fn kamailio_challenges_and_lets_the_right_password_through() {
    let scratch = Scratch::new("harness-kamailio");
    let port = free_ports(4);
    let (proxy, callee_at) = (([127, 0, 0, 1], port).into(), ([127, 0, 0, 1], port + 2).into());
    let _kamailio = kamailio::start(scratch.path(), proxy, callee_at, Role::Trunk, None);
    let mut callee =
        Sipp::new("callee", Side::Callee, PLAIN_CALLEE, "127.0.0.1", port + 2, proxy).start(scratch.path());
    let mut caller = Sipp {
        credentials: Some(kamailio::CREDENTIALS),
        ..Sipp::new("caller", Side::Caller, DIGEST_CALLER, "127.0.0.1", port + 3, proxy)
    }
    .start(scratch.path());
    assert_eq!(caller.finish(Duration::from_secs(20)).successful, 1);
    callee.finish(Duration::from_secs(20));
}

/// Shows that SIPp itself survives the loss that the network test puts on it: a failure there is the switch's.
#[test]
fn sipp_completes_calls_over_a_network_that_loses_packets() {
    let scratch = Scratch::new("harness-lossy");
    let port = free_ports(4);
    let at = |offset: u16| ([127, 0, 0, 1], port + offset).into();
    // As much as the network test puts on it.
    let link = Link::start(7, 0.02, at(0), at(1), at(2), at(3));
    let mut callee =
        Sipp { calls: 200, ..Sipp::new("callee", Side::Callee, PLAIN_CALLEE, "127.0.0.1", port + 3, at(2)) }
            .start(scratch.path());
    let mut caller = Sipp {
        calls: 200,
        calls_per_second: 100,
        public: Some(at(2)),
        ..Sipp::new("caller", Side::Caller, PLAIN_CALLER, "127.0.0.1", port, at(1))
    }
    .start(scratch.path());
    let counts = caller.finish(Duration::from_secs(60));
    callee.finish(Duration::from_secs(60));
    assert_eq!(counts.successful, 200);
    let (carried, lost) = link.counts();
    assert!(lost * 200 > carried && lost * 8 < carried, "{lost} lost, {carried} carried");
}

#[test]
fn baresip_calls_baresip_and_both_hear_each_other() {
    let scratch = Scratch::new("harness-baresip");
    let port = free_ports(2 * Phone::PORTS);
    let (song_a, song_b) = (melody(3, 4), melody(4, 4));
    let domain = format!("127.0.0.1:{port}");
    let alice = Phone {
        user: "alice",
        password: "none",
        registrar: &domain,
        port,
        codec: "pcmu",
        transport: "udp",
        encryption: "",
        plays: &song_a,
        dials: None,
    };
    let uri = format!("sip:alice@{domain}");
    let bob_domain = format!("127.0.0.1:{}", port + Phone::PORTS);
    let bob = Phone {
        user: "bob",
        registrar: &bob_domain,
        port: port + Phone::PORTS,
        plays: &song_b,
        dials: Some(&uri),
        ..alice.clone()
    };
    let alice = alice.start(scratch.path());
    let bob = bob.start(scratch.path());
    bob.wait_established();
    bob.wait_hung_up();
    alice.wait_hung_up();
    for (song, heard, name) in [(&song_a, bob.heard(), "bob"), (&song_b, alice.heard(), "alice")] {
        let alike = likeness(&song[..24_000], &heard, 400);
        assert!(alike > 0.9, "{name} heard {} samples, likeness {alike}", heard.len());
    }
}

const PLAIN_CALLER: &[Step] = &[
    Step::Invite,
    Step::May(100),
    Step::May(180),
    Step::Expect(200),
    Step::Ack,
    Step::Pause(500),
    Step::Bye,
    Step::Expect(200),
];
const DIGEST_CALLER: &[Step] = &[
    Step::Invite,
    Step::May(100),
    Step::Expect(407),
    Step::AckFailure,
    Step::InviteWithDigest,
    Step::May(100),
    Step::May(180),
    Step::Expect(200),
    Step::Ack,
    Step::Pause(200),
    Step::Bye,
    Step::Expect(200),
];
const PLAIN_CALLEE: &[Step] = &[
    Step::Get("INVITE"),
    Step::Reply(180),
    Step::ReplySdp(200, "sendrecv"),
    Step::MayGet("INVITE"),
    Step::MayGet("ACK"),
    Step::Get("BYE"),
    Step::Reply(200),
    Step::Linger(4000),
];
