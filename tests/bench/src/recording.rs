//! Recording: what 500 calls cost beyond their relay by the media threads (the kernel's costs next to nothing, and passes by no recorder), each
//! recorded with a channel for each party.

use interop::scratch::Scratch;
use serde_json::{Value, json};

use crate::endpoints::Endpoints;
use crate::relay::{Ends, streams};
use crate::signalling::round;
use crate::subject::{Kind, Places, Subject};
use crate::usage::cpu_ns;
use crate::{Choice, say};

const CALLS: usize = 500;
const SECONDS: u32 = 8;
/// With and without by turns, as the machine's own pace changes; the one in the middle counts.
const ROUNDS: usize = 3;

/// CPU of a second of all calls in milliseconds, packets lost, and what was recorded.
struct Found {
    cpu_ms: f64,
    lost: u64,
    p50_ms: f64,
    recordings: Vec<Value>,
    dropped: Option<f64>,
}

/// 500 calls relayed, and 500 calls relayed and recorded.
pub fn recording(choice: &Choice) -> Value {
    if !choice.subject("tandem") {
        return Value::Null;
    }
    let (mut plain, mut recorded) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        plain.push(measure(Kind::TandemThreads));
        recorded.push(measure(Kind::TandemRecording));
    }
    let [plain, recorded] = [plain, recorded].map(|mut rounds| {
        rounds.sort_by(|a, b| a.cpu_ms.total_cmp(&b.cpu_ms));
        rounds.swap_remove(ROUNDS / 2)
    });
    let share = (recorded.cpu_ms - plain.cpu_ms) / plain.cpu_ms;
    let complete = recorded.recordings.iter().filter(|r| r["status"] == "complete").count();
    let seconds = |r: &Value| r["duration_us"].as_u64().unwrap_or(0) as f64 / 1e6;
    let shortest = recorded.recordings.iter().map(seconds).fold(f64::INFINITY, f64::min);
    say(
        "tandem",
        &format!(
            "relay {:.1} CPU-ms a second, recorded {:.1}: {share:.3} × the relay on top; {complete} complete, the shortest \
             {shortest:.1} s; lost {} and {}, p50 {:.3} and {:.3} ms, dropped {:?}",
            plain.cpu_ms, recorded.cpu_ms, plain.lost, recorded.lost, plain.p50_ms, recorded.p50_ms, recorded.dropped
        ),
    );
    json!({ "tandem": {
        "calls": CALLS,
        "relay_cpu_ms_per_second": round(plain.cpu_ms, 2),
        "recorded_cpu_ms_per_second": round(recorded.cpu_ms, 2),
        "share_of_relay": round(share, 4),
        "complete": complete,
        "shortest_s": round(shortest, 2),
        "packets_dropped": recorded.dropped,
        "lost": [plain.lost, recorded.lost],
        "p50_ms": [round(plain.p50_ms, 4), round(recorded.p50_ms, 4)],
    } })
}

fn measure(kind: Kind) -> Found {
    let (places, scratch) = (Places::free(), Scratch::new(&format!("bench-{}", kind.name())));
    let ends = Ends::bind(places.media);
    let subject = Subject::start(kind, scratch.path(), places, 2 * CALLS as u16 + 20, None);
    let mut calls = Endpoints::new(subject.address(), places.caller, places.callee, places.media);
    calls.run(CALLS, 100.0, None);
    let media = calls.media();
    assert_eq!(media.len(), CALLS, "calls are up: {:?}", calls.tally.complaint);
    let (traffic, cpu) = ends.exchange(&streams(&media), SECONDS, || cpu_ns(subject.pid()));
    calls.hang_up_all(100.0);
    let Subject::Tandem(tandem) = &subject else { unreachable!("only Tandem is measured here") };
    let listed = || -> Vec<Value> {
        let (_, text) = tandem.command(&["recordings", "ls", "--json", "--limit", "1000"]);
        serde_json::from_str(&text).unwrap_or_default()
    };
    let wanted = if kind == Kind::TandemRecording { CALLS } else { 0 };
    let all = || Some(listed()).filter(|rows| rows.len() >= wanted);
    let recordings = interop::process::until(std::time::Duration::from_secs(30), all).unwrap_or_else(listed);
    let dropped = ["tandem_media_taps_dropped_total", "tandem_media_taps_dropped"];
    Found {
        cpu_ms: cpu as f64 / 1e6 / f64::from(SECONDS),
        lost: traffic.sent.saturating_sub(traffic.received),
        p50_ms: traffic.quantile_ms(0.5),
        recordings,
        dropped: dropped.into_iter().find_map(|name| tandem.metric(name)),
    }
}
