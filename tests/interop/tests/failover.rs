//! A trunk that dies: its calls go on by the next one in under 2 s, and it is left alone until it answers OPTIONS.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use interop::carriers::{Carriers, ending};
use interop::process::until;
use interop::sipp::Step;
use serde_json::Value;

const BOTH: &str = "    - { match: { to: /^2\\d+$/ }, do: [ { dial: { number: \"${to}\", trunks: [far, farther], timeout: 20s } } ] }\n";
const TALK: &[Step] = &[
    Step::Invite,
    Step::May(100),
    Step::May(180),
    Step::Expect(200),
    Step::Ack,
    Step::Pause(300),
    Step::Bye,
    Step::Expect(200),
];
const ANSWER: &[Step] =
    &[Step::Get("INVITE"), Step::ReplySdp(200, "sendrecv"), Step::Get("ACK"), Step::Get("BYE"), Step::Reply(200)];

/// A carrier whose process hangs: it takes what comes and says nothing, until it has come to.
struct Carrier {
    hangs: Arc<AtomicBool>,
    invited: Arc<AtomicUsize>,
}

impl Carrier {
    fn start(ip: &str, port: u16) -> Carrier {
        let socket = UdpSocket::bind((ip, port)).expect("a free port");
        let (hangs, invited) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let carrier = Carrier { hangs: Arc::clone(&hangs), invited: Arc::clone(&invited) };
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // An INVITE that nobody answers comes again and again.
            let mut calls = BTreeSet::new();
            while let Ok((n, peer)) = socket.recv_from(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
                let call_id = text.lines().find(|l| l.starts_with("Call-ID:")).unwrap_or_default().to_owned();
                if text.starts_with("INVITE ") && calls.insert(call_id) {
                    invited.fetch_add(1, Ordering::SeqCst);
                }
                if text.starts_with("OPTIONS ") && !hangs.load(Ordering::SeqCst) {
                    let own = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
                    let kept: Vec<&str> = text.lines().filter(|l| own.iter().any(|name| l.starts_with(name))).collect();
                    let answer = format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", kept.join("\r\n"));
                    let _ = socket.send_to(answer.as_bytes(), peer);
                }
            }
        });
        carrier
    }
}

fn is_up(stage: &Carriers, trunk: &str) -> bool {
    let all = stage.tandem.get_json("/tandem/v1/trunks");
    let found = all["trunks"].as_array().and_then(|t| t.iter().find(|t| t["name"] == trunk));
    found.is_some_and(|t| t["targets"][0]["up"] == Value::Bool(true))
}

/// One call that `farther` answers: the seconds from INVITE to 200, and its record.
fn call(stage: &Carriers, count: usize) -> (f64, Value) {
    let mut other = stage.start(&stage.other_callee(ANSWER));
    let mut caller = stage.start(&stage.caller("200", TALK));
    caller.finish(Duration::from_secs(60));
    other.finish(Duration::from_secs(60));
    let record = stage.tandem.cdrs(count).pop().expect("a record");
    assert_eq!(ending(&record), ("caller", "hangup"), "{record}");
    let us = record["duration_us"].as_f64().unwrap_or(f64::NAN) - record["billable_us"].as_f64().unwrap_or(f64::NAN);
    (us / 1e6, record)
}

#[test]
fn a_silent_trunk_is_passed_in_under_two_seconds_and_left_alone_until_it_answers() {
    let stage = Carriers::new("failover-silent", BOTH);
    let far = stage.callee(ANSWER);
    let carrier = Carrier::start(far.ip, far.port);
    assert!(is_up(&stage, "far"));
    let (first, record) = call(&stage, 1);
    assert!(first < 2.0, "{first} s until the second trunk has answered: {record}");
    assert!(!is_up(&stage, "far"));
    assert_eq!(carrier.invited.load(Ordering::SeqCst), 1, "it was tried");
    // The second call goes past it.
    let (second, record) = call(&stage, 2);
    assert!(second < 1.0, "{second} s: {record}");
    assert_eq!(record["legs"].as_array().map(Vec::len), Some(2), "{record}");
    assert_eq!(carrier.invited.load(Ordering::SeqCst), 1, "no INVITE before it has answered OPTIONS");
    // It has come to, says so, and is tried first again.
    carrier.hangs.store(false, Ordering::SeqCst);
    let back = until(Duration::from_secs(60), || is_up(&stage, "far").then_some(()));
    assert!(back.is_some(), "{}", stage.tandem.get("/tandem/v1/trunks"));
    call(&stage, 3);
    assert_eq!(carrier.invited.load(Ordering::SeqCst), 2, "it is tried again");
}

#[test]
fn a_trunk_whose_process_is_gone_costs_no_time() {
    let stage = Carriers::new("failover-gone", BOTH);
    let begin = Instant::now();
    let (setup, record) = call(&stage, 1);
    assert!(setup < 2.0, "{setup} s, {:?}: {record}", begin.elapsed());
    assert_eq!(record["legs"][1]["peer"], "far", "{record}");
    assert_eq!(record["legs"][2]["peer"], "farther", "{record}");
}
