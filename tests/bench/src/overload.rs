//! Twice the rate that the switch can take: what is completed, what is refused, and how long all else waits.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use interop::scratch::{Scratch, free_ports};
use serde_json::{Value, json};

use crate::endpoints::Endpoints;
use crate::flood::p95_ms;
use crate::signalling::round;
use crate::subject::{Kind, Places, Subject};
use crate::usage::{cores, pin, unpin};
use crate::{Choice, say};

const HOLD: Duration = Duration::from_millis(50);
const LEAD: Duration = Duration::from_millis(1_500);
const WINDOW: Duration = Duration::from_millis(2_500);
/// The window at twice the peak.
const LONG: Duration = Duration::from_secs(10);
const PROBE: Duration = Duration::from_millis(50);
/// An OPTIONS that is answered later has waited for a repetition of its own.
const PATIENCE: Duration = Duration::from_millis(450);

/// Completed calls a second at their peak and at twice its rate, each held for ten seconds, on one core.
pub fn overload(choice: &Choice) -> Value {
    if !choice.subject("tandem") {
        return Value::Null;
    }
    let scratch = Scratch::new("bench-overload-tandem");
    let places = Places::free();
    let alone = cores() > 1;
    if alone {
        pin(0);
    }
    let subject = Subject::start(Kind::TandemAnchored, scratch.path(), places, 3_000, alone.then_some("1"));
    let mut ends = Endpoints::new(subject.address(), places.caller, places.callee, places.media);
    let brief = peak(&mut ends);
    ends.clear();
    // What ended keeps its transactions for 32 s, and they cost: both rates are held for the same time, one after the other.
    let peak = ends.run_for(brief, LEAD, LONG, HOLD) as f64 / LONG.as_secs_f64();
    say(
        "tandem",
        &format!("{brief:.0} calls/s for {} s: {peak:.0} completed, {} failed", LONG.as_secs(), ends.tally.failed),
    );
    ends.clear();
    let probe = Probe::start(subject.address());
    let begun = Instant::now();
    let completed = ends.run_for(2.0 * peak, LEAD, LONG, HOLD);
    let settled_s = begun.elapsed().as_secs_f64();
    let (asked, answered, options_p95) = probe.stop();
    if alone {
        unpin();
    }
    let tally = &ends.tally;
    let rate = completed as f64 / LONG.as_secs_f64();
    let share = rate / peak;
    let otherwise = tally.failed - tally.refused;
    let (invite, refusal, bye) = (p95_ms(&tally.answered_ns), p95_ms(&tally.refused_ns), p95_ms(&tally.ended_ns));
    say(
        "tandem",
        &format!(
            "peak {peak:.0} calls/s completed; at {:.0} offered {rate:.0} ({:.0} %): {} placed, {} completed, {} refused with 503 and \
             Retry-After, {otherwise} failed otherwise, {} messages sent twice; at 95 %: answered after {invite:.0} ms, refused after \
             {refusal:.0} ms, BYE after {bye:.0} ms, OPTIONS after {options_p95:.0} ms ({answered} of {asked}); all over after {settled_s:.0} s",
            2.0 * peak,
            share * 100.0,
            tally.placed,
            tally.completed,
            tally.refused,
            tally.repeated
        ),
    );
    if let Some(complaint) = &tally.complaint {
        say("tandem", complaint);
    }
    json!({ "tandem": {
        "peak_brief_per_second": brief.round(), "peak_per_second": peak.round(), "offered_per_second": (2.0 * peak).round(), "completed_per_second": rate.round(),
        "share_of_peak": round(share, 3), "placed": tally.placed, "completed": tally.completed, "refused_503": tally.refused,
        "failed_otherwise": otherwise, "repeated": tally.repeated, "answered_p95_ms": round(invite, 1),
        "refused_p95_ms": round(refusal, 1), "bye_p95_ms": round(bye, 1), "options_p95_ms": round(options_p95, 1),
        "options_asked": asked, "options_answered": answered,
    } })
}

/// Raises the rate until more offered calls complete no more.
fn peak(ends: &mut Endpoints) -> f64 {
    let (mut best, mut rate, mut worse) = (0.0, 500.0, 0);
    while worse < 2 {
        ends.clear();
        let completed = ends.run_for(rate, LEAD, WINDOW, HOLD) as f64 / WINDOW.as_secs_f64();
        say("tandem", &format!("{rate:.0} calls/s offered, {completed:.0} completed, {} failed", ends.tally.failed));
        worse = if completed < best * 1.03 { worse + 1 } else { 0 };
        best = f64::max(best, completed);
        rate *= 1.25;
    }
    best
}

/// A thread that asks for OPTIONS, as a carrier does that wants to know whether we are there.
struct Probe {
    thread: JoinHandle<(usize, Vec<u64>)>,
    stop: Arc<AtomicBool>,
}

impl Probe {
    fn start(switch: SocketAddr) -> Probe {
        let stop = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&stop);
        let own = SocketAddr::from(([127, 0, 0, 2], free_ports(2)));
        let socket = UdpSocket::bind(own).unwrap_or_else(|e| panic!("{own}: {e}"));
        let _ = socket.set_read_timeout(Some(PATIENCE));
        let thread = std::thread::spawn(move || {
            let (mut asked, mut delays, mut buffer) = (0, Vec::new(), [0; 2048]);
            while !over.load(Ordering::Relaxed) {
                asked += 1;
                let text = format!(
                    "OPTIONS sip:{switch} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKo{asked}\r\nMax-Forwards: 70\r\n\
                     From: <sip:probe@{own}>;tag=o{asked}\r\nTo: <sip:{switch}>\r\nCall-ID: o{asked}@probe\r\nCSeq: 1 OPTIONS\r\n\
                     Content-Length: 0\r\n\r\n"
                );
                let sent = Instant::now();
                let _ = socket.send_to(text.as_bytes(), switch);
                let mark = format!("Call-ID: o{asked}@probe");
                while sent.elapsed() < PATIENCE {
                    let Ok((length, _)) = socket.recv_from(&mut buffer) else { break };
                    let text = String::from_utf8_lossy(&buffer[..length]);
                    if text.starts_with("SIP/2.0 200") && text.contains(&mark) {
                        delays.push(sent.elapsed().as_nanos() as u64);
                        break;
                    }
                }
                std::thread::sleep(PROBE.saturating_sub(sent.elapsed()));
            }
            (asked, delays)
        });
        Probe { thread, stop }
    }

    /// How many were asked, how many answered, and the delay of 95 % of those in ms.
    fn stop(self) -> (usize, usize, f64) {
        self.stop.store(true, Ordering::Relaxed);
        let (asked, delays) = self.thread.join().unwrap_or_default();
        (asked, delays.len(), p95_ms(&delays))
    }
}
