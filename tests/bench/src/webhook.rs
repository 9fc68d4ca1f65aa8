//! What a webhook costs: the same call by an application's markup and by YAML, in turns, at 200 calls a second.

use std::path::Path;
use std::time::Duration;

use interop::app::App;
use interop::scratch::Scratch;
use interop::sipp::{Side, Sipp};
use interop::tandem::{Setup, Tandem};
use serde_json::{Map, Value, json};

use crate::signalling::{ANSWERED, CALLEE, CALLER, round};
use crate::subject::Places;
use crate::usage::cpu_ns;
use crate::{Choice, say};

const CALLS_PER_SECOND: u32 = 200;
/// Calls of each kind a round.
const CALLS: u32 = 800;
/// Rounds that count, of which the one in the middle is told; the first, in which memory and connections are fetched for
/// both, does not.
const ROUNDS: usize = 5;

/// One verb both ways. The rest of a caller's scenario is the same.
struct Verb {
    name: &'static str,
    yaml: &'static str,
    markup: &'static str,
    has_callee: bool,
}

const VERBS: [Verb; 2] = [
    Verb {
        name: "dial",
        yaml: "{ dial: { number: \"1000000\", trunks: [far] } }",
        markup: "<Dial answerOnBridge=\"true\"><Number byoc=\"far\">1000000</Number></Dial>",
        has_callee: true,
    },
    // Nobody else is called: all that the call costs, beside the webhook, is the caller's leg.
    Verb {
        name: "gather",
        yaml: "answer, { gather: { digits: 1, timeout: 10s } }",
        markup: "<Gather numDigits=\"1\" timeout=\"10\"/>",
        has_callee: false,
    },
];

/// CPU of the switch alone a call, by YAML and by a webhook, and the one as a multiple of the other.
pub fn webhook(choice: &Choice) -> Value {
    if !choice.subject("tandem") {
        return Value::Null;
    }
    let found = VERBS.iter().map(|verb| (verb.name.to_owned(), both(verb)));
    json!({ "tandem": Value::Object(found.collect::<Map<String, Value>>()) })
}

fn both(verb: &Verb) -> Value {
    let scratch = Scratch::new(&format!("bench-webhook-{}", verb.name));
    let places = Places::free();
    let app = App::start(&[("/voice", verb.markup)]);
    let trunks = format!(
        "  - {{ name: near, targets: [\"sip:{}\"], inbound: [127.0.0.2/32], context: in }}\n  \
         - {{ name: far, targets: [\"sip:{}\"], inbound: [127.0.0.3/32], context: in }}\n",
        places.caller, places.callee
    );
    let dialplan = format!(
        "contexts:\n  in:\n    - match: {{ to: 1000000 }}\n      do: [ {} ]\n    - match: {{ to: 2000000 }}\n      \
         do: [ {{ markup: \"{}\" }} ]\n",
        verb.yaml,
        app.url("/voice")
    );
    let setup = Setup {
        trunks: &trunks,
        dialplan: &dialplan,
        more: "web: { allow_private: [127.0.0.0/8] }\n",
        pairs: 400,
        program: Some("target/release/tandem"),
        ..Setup::default()
    };
    let tandem = Tandem::start(scratch.path(), &setup);
    let (mut cpu_ns, mut failed, mut again) = ([Vec::new(), Vec::new()], 0, 0);
    for counts in (0..=ROUNDS).map(|n| n > 0) {
        for (to, rounds) in ["1000000", "2000000"].into_iter().zip(&mut cpu_ns) {
            let (ns, lost, repeated) = calls(&tandem, scratch.path(), places, to, verb.has_callee);
            rounds.extend(counts.then_some(ns));
            failed += lost;
            again += repeated;
        }
    }
    let connections = tandem.metric("tandem_web_connections_total");
    let [yaml, markup] = cpu_ns.map(|rounds| middle(rounds) as f64 / 1e6 / f64::from(CALLS));
    let ratio = markup / yaml;
    say(
        verb.name,
        &format!(
            "{yaml:.3} CPU-ms a call by YAML, {markup:.3} by a webhook: {ratio:.2} times; {failed} failed, \
             {again} retransmissions, {connections:?} connections"
        ),
    );
    json!({ "calls_per_second": CALLS_PER_SECOND, "calls": CALLS * ROUNDS as u32, "yaml_cpu_ms_per_call": round(yaml, 4),
            "webhook_cpu_ms_per_call": round(markup, 4), "ratio": round(ratio, 3), "failed": failed,
            "retransmissions": again, "connections": connections })
}

/// What half of the rounds took less than.
fn middle(mut rounds: Vec<u64>) -> u64 {
    rounds.sort_unstable();
    rounds.get(rounds.len() / 2).copied().unwrap_or(0)
}

/// One kind's calls of a round: CPU in ns, calls that failed, messages sent again.
fn calls(tandem: &Tandem, folder: &Path, places: Places, to: &str, has_callee: bool) -> (u64, u64, u64) {
    let side = |name, side, steps, at: std::net::SocketAddr, ip| Sipp {
        calls: CALLS,
        calls_per_second: CALLS_PER_SECOND,
        to,
        ..Sipp::new(name, side, steps, ip, at.port(), tandem.sip())
    };
    let callee = side("callee", Side::Callee, CALLEE, places.callee, "127.0.0.3");
    let mut callee = has_callee.then(|| callee.start(folder));
    let steps = if has_callee { CALLER } else { ANSWERED };
    let before = cpu_ns(tandem.process.pid());
    let mut caller = side("caller", Side::Caller, steps, places.caller, "127.0.0.2").start(folder);
    let near = caller.finish(Duration::from_secs(60));
    let far = callee.as_mut().map(|callee| callee.finish(Duration::from_secs(60)));
    let cpu = cpu_ns(tandem.process.pid()) - before;
    let again = near.retransmissions + far.map_or(0, |far| far.retransmissions);
    (cpu, near.failed, again)
}
