//! The harness against itself: SIPp calls SIPp, with sound both ways, and nothing of Tandem between.

use std::time::Duration;

use interop::rtp::RtpEnd;
use interop::scratch::{Scratch, free_ports};
use interop::sipp::{Side, Sipp, Step};
use interop::sound::{find, melody};

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
