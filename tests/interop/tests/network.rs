//! Many calls through a network that loses 2 % of the packets in both directions on both sides: none fails, nothing is
//! left. 1,000 calls, or `SOAK_CALLS` (`make soak`: 10,000).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use interop::lossy::Link;
use interop::scratch::{Scratch, free_ports};
use interop::sipp::{Side, Sipp, Step};
use interop::tandem::{Setup, Tandem};

const CALLS_PER_SECOND: u32 = 100;
const LOSS: f64 = 0.02;

#[test]
fn calls_survive_a_network_that_loses_packets() {
    let calls: u32 = std::env::var("SOAK_CALLS").ok().and_then(|n| n.parse().ok()).unwrap_or(500);
    let scratch = Scratch::new("network");
    let port = free_ports(8);
    let at = |ip: u8, offset: u16| SocketAddr::from(([127, 0, 0, ip], port + offset));
    let trunks = format!(
        "  - {{ name: near, targets: [\"sip:{}\"], inbound: [127.0.0.2/32], context: in }}\n  \
         - {{ name: far, targets: [\"sip:{}\"], inbound: [127.0.0.3/32], context: in }}\n",
        at(2, 2),
        at(3, 2)
    );
    let dialplan =
        "contexts:\n  in:\n    - { match: { to: /^\\d+$/ }, do: [ { dial: { number: \"${to}\", trunks: [far] } } ] }\n";
    // A call lasts a second, and one that loses packets some more: 64 s of the longest are room enough.
    let setup = Setup { trunks: &trunks, dialplan, pairs: 1500, ..Setup::default() };
    let tandem = Tandem::start(scratch.path(), &setup);
    let near = Link::start(41, LOSS, at(2, 0), at(2, 1), at(2, 2), tandem.sip());
    let far = Link::start(42, LOSS, at(3, 0), at(3, 1), at(3, 2), tandem.sip());
    let callee =
        Sipp { calls, public: Some(at(3, 2)), ..Sipp::new("far", Side::Callee, CALLED, "127.0.0.3", port, at(3, 1)) };
    let caller = Sipp {
        calls,
        calls_per_second: CALLS_PER_SECOND,
        public: Some(at(2, 2)),
        to: "200",
        ..Sipp::new("near", Side::Caller, CALLING, "127.0.0.2", port, at(2, 1))
    };
    let mut callee = callee.start(scratch.path());
    let begin = Instant::now();
    let mut caller = caller.start(scratch.path());
    let limit = Duration::from_secs(u64::from(calls / CALLS_PER_SECOND) + 60);
    let counts = caller.finish(limit);
    let took = begin.elapsed();
    callee.finish(limit);
    assert_eq!((counts.successful, counts.failed), (u64::from(calls), 0));
    let (carried, lost) = [near.counts(), far.counts()].iter().fold((0, 0), |sum, c| (sum.0 + c.0, sum.1 + c.1));
    let share = lost as f64 / (carried + lost) as f64;
    assert!((0.015..0.025).contains(&share), "the network lost {lost} of {}", carried + lost);

    let records = tandem.cdrs(calls as usize);
    assert_eq!(records.len(), calls as usize, "one record a call");
    let odd: Vec<_> = records.iter().filter(|r| r["ending"]["reason"] != "hangup" || r["answered"].is_null()).collect();
    assert!(odd.is_empty(), "{} calls ended otherwise, the first: {}", odd.len(), odd[0]);
    tandem.assert_nothing_left();
    println!(
        "= {calls} calls in {:.1} s, {lost} of {} packets lost, {} sent again by SIPp; no call failed, nothing left",
        took.as_secs_f64(),
        carried + lost,
        counts.retransmissions
    );
}

const CALLING: &[Step] = &[
    Step::Invite,
    Step::May(100),
    Step::May(180),
    Step::Expect(200),
    Step::Ack,
    Step::Pause(1000),
    Step::Bye,
    Step::Expect(200),
];
const CALLED: &[Step] = &[
    Step::Get("INVITE"),
    Step::Reply(180),
    Step::ReplySdp(200, "sendrecv"),
    Step::MayGet("INVITE"),
    Step::MayGet("ACK"),
    Step::Get("BYE"),
    Step::Reply(200),
    Step::Linger(10_000),
];
