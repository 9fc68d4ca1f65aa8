//! Calls without media: what one costs, how many a core carries, how long one takes through.

use std::time::Duration;

use interop::scratch::Scratch;
use interop::sipp::{Side, Sipp, Step};
use serde_json::{Map, Value, json};

use crate::endpoints::Endpoints;
use crate::subject::{Kind, Places, Subject};
use crate::usage::{cores, cpu_ns, pin, unpin};
use crate::{Choice, say};

const CALLS_PER_SECOND: u32 = 100;
const CALLS: u32 = 3000;

/// SIPp on both sides at 100 calls a second: CPU a call, from INVITE to BYE.
pub fn calls(choice: &Choice) -> Value {
    each(choice, |kind| {
        let scratch = Scratch::new(&format!("bench-calls-{}", kind.name()));
        let places = Places::free();
        let subject = Subject::start(kind, scratch.path(), places, 400, None);
        let side = |name, side, steps, at: std::net::SocketAddr, ip| Sipp {
            calls: CALLS,
            calls_per_second: CALLS_PER_SECOND,
            to: "1000000",
            ..Sipp::new(name, side, steps, ip, at.port(), subject.address())
        };
        let mut callee = side("callee", Side::Callee, CALLEE, places.callee, "127.0.0.3").start(scratch.path());
        let before = cpu_ns(subject.pid());
        let mut caller = side("caller", Side::Caller, CALLER, places.caller, "127.0.0.2").start(scratch.path());
        let counts = caller.finish(Duration::from_secs(120));
        let far = callee.finish(Duration::from_secs(60));
        let cpu_ms = (cpu_ns(subject.pid()) - before) as f64 / 1e6 / f64::from(CALLS);
        let again = counts.retransmissions + far.retransmissions;
        say(kind.name(), &format!("{cpu_ms:.3} CPU-ms a call, {} failed, {again} retransmissions", counts.failed));
        json!({ "calls_per_second": CALLS_PER_SECOND, "calls": CALLS, "cpu_ms_per_call": round(cpu_ms, 4),
                "failed": counts.failed, "retransmissions": again })
    })
}

/// The highest rate that a subject kept to one core carries without a failed call and without a message sent twice.
pub fn ceiling(choice: &Choice) -> Value {
    let alone = cores() > 1;
    if alone {
        pin(0);
    }
    let found = each(choice, |kind| {
        let scratch = Scratch::new(&format!("bench-ceiling-{}", kind.name()));
        let places = Places::free();
        let subject = Subject::start(kind, scratch.path(), places, 400, Some(if alone { "1" } else { "0" }));
        let mut ends = Endpoints::new(subject.address(), places.caller, places.callee, places.media);
        let (mut good, mut bad, mut rate) = (0.0, f64::INFINITY, 300.0);
        let mut complaint = None;
        while bad - good > 0.05 * good.max(100.0) {
            // What a loaded machine spoils once is tried again; what fails twice is the subject's limit.
            let holds = step(&mut ends, rate) || step(&mut ends, rate);
            say(kind.name(), &format!("{rate:.0} calls/s {}", if holds { "carried" } else { "not carried" }));
            if holds {
                good = rate;
            } else {
                bad = rate;
                let repeated = format!("{} messages were sent twice", ends.tally.repeated);
                complaint = Some(ends.tally.complaint.clone().unwrap_or(repeated));
            }
            rate = if bad.is_finite() { (good + bad) / 2.0 } else { rate * 1.5 };
            if rate < 20.0 {
                break;
            }
        }
        json!({ "calls_per_second": good.round(), "not_carried": bad.round(), "because": complaint })
    });
    unpin();
    found
}

fn step(ends: &mut Endpoints, rate: f64) -> bool {
    std::thread::sleep(Duration::from_millis(500));
    ends.clear();
    ends.run((rate * 8.0) as usize, rate, Some(Duration::from_millis(50)));
    ends.tally.failed == 0 && ends.tally.repeated == 0
}

/// From INVITE in to INVITE out, at ten calls a second.
pub fn delay(choice: &Choice) -> Value {
    each(choice, |kind| {
        let scratch = Scratch::new(&format!("bench-delay-{}", kind.name()));
        let places = Places::free();
        let subject = Subject::start(kind, scratch.path(), places, 400, None);
        let mut ends = Endpoints::new(subject.address(), places.caller, places.callee, places.media);
        ends.run(20, 10.0, Some(Duration::from_millis(100)));
        ends.clear();
        ends.run(200, 10.0, Some(Duration::from_millis(100)));
        let mut delays = ends.tally.post_dial_ns.clone();
        delays.sort_unstable();
        let at =
            |share: f64| delays.get((delays.len() as f64 * share) as usize).map_or(f64::NAN, |ns| *ns as f64 / 1e6);
        let (median, p95) = (at(0.5), at(0.95));
        say(kind.name(), &format!("{median:.3} ms median, {p95:.3} ms at 95 %, {} failed", ends.tally.failed));
        json!({ "calls": 200, "median_ms": round(median, 4), "p95_ms": round(p95, 4), "failed": ends.tally.failed })
    })
}

fn each(choice: &Choice, measure: impl Fn(Kind) -> Value) -> Value {
    let found = Kind::chosen(choice).into_iter().map(|kind| (kind.name().to_owned(), measure(kind)));
    Value::Object(found.collect::<Map<String, Value>>())
}

/// A figure with so many decimals, and null for none.
pub fn round(value: f64, decimals: i32) -> Value {
    let scale = 10f64.powi(decimals);
    json!((value * scale).round() / scale)
}

pub const CALLER: &[Step] = &[
    Step::Invite,
    Step::May(100),
    Step::May(180),
    Step::Expect(200),
    Step::Ack,
    Step::Pause(100),
    Step::Bye,
    Step::Expect(200),
];
/// A caller whom the switch itself answers.
pub const ANSWERED: &[Step] =
    &[Step::Invite, Step::May(100), Step::Expect(200), Step::Ack, Step::Pause(100), Step::Bye, Step::Expect(200)];
pub const CALLEE: &[Step] = &[
    Step::Get("INVITE"),
    Step::Reply(180),
    // A proxy with several processes overtakes itself when both come at once, and SIPp gives up on a 180 after the 200.
    Step::Pause(20),
    Step::ReplySdp(200, "sendrecv"),
    Step::Get("ACK"),
    Step::Get("BYE"),
    Step::Reply(200),
];
