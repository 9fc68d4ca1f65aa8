//! `/metrics`: every counter of the switch, the control loop, the ledger, the media threads and the process.

use super::{Api, Problem};
use crate::shell::ledger::Condition;
use crate::shell::mail::Report;
use crate::switch::{Counters, Operator, Reply, TrunkView};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::Ordering;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows; printed with `_total`.
    Counter,
    Gauge,
}

/// One figure. Figures of one name stand together, told apart by their label.
#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    /// Without the prefix `tandem_`.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub label: Option<(&'static str, String)>,
    pub value: f64,
}

impl Sample {
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Sample {
        Sample { name, help, kind: Kind::Counter, label: None, value: value as f64 }
    }

    pub fn gauge(name: &'static str, help: &'static str, value: u64) -> Sample {
        Sample { kind: Kind::Gauge, ..Sample::counter(name, help, value) }
    }

    #[must_use]
    pub fn labelled(self, name: &'static str, value: impl Into<String>) -> Sample {
        Sample { label: Some((name, value.into())), ..self }
    }

    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let is_whole = self.value.fract() == 0.0;
        match self.kind {
            Kind::Counter if is_whole => ConstCounter::new(self.value as u64).encode(encoder),
            Kind::Counter => ConstCounter::new(self.value).encode(encoder),
            Kind::Gauge if is_whole => ConstGauge::new(self.value as i64).encode(encoder),
            Kind::Gauge => ConstGauge::new(self.value).encode(encoder),
        }
    }
}

#[derive(Debug)]
struct Snapshot(Vec<Sample>);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for same in self.0.chunk_by(|a, b| a.name == b.name) {
            let Some(first) = same.first() else { continue };
            let kind = if first.kind == Kind::Counter { MetricType::Counter } else { MetricType::Gauge };
            let mut metric = encoder.encode_descriptor(first.name, first.help, None, kind)?;
            for sample in same {
                match &sample.label {
                    Some((name, value)) => {
                        let labels = [(*name, value.as_str())];
                        sample.encode(metric.encode_family(&labels)?)?;
                    }
                    None => {
                        sample.encode(metric)?;
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The figures as OpenMetrics text.
pub fn write(samples: Vec<Sample>) -> String {
    let mut registry = Registry::with_prefix("tandem");
    registry.register_collector(Box::new(Snapshot(samples)));
    let mut out = String::new();
    // Writing into a String does not fail.
    let _ = text::encode(&mut out, &registry);
    out
}

pub async fn metrics(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let report = api.mail.report().await.ok_or_else(Problem::gone)?;
    let mut samples = switch(&report.counters);
    if let Some(Reply::Trunks(trunks)) = api.mail.operator(Operator::Trunks).await {
        samples.extend(of_trunks(&trunks));
    }
    samples.extend(control(&report));
    samples.extend(ledger(&api.condition));
    samples.extend(report.media);
    samples.extend(process((api.connections)()));
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], write(samples)).into_response())
}

/// How each trunk's calls fare; figures of one name stand together. What no call has given is left out.
fn of_trunks(trunks: &[TrunkView]) -> Vec<Sample> {
    type Figure = fn(&TrunkView) -> Option<f64>;
    let figures: [(&'static str, &'static str, Figure); 6] = [
        ("trunk_calls", "Calls that go on by a trunk", |t| Some(f64::from(t.calls))),
        ("trunk_out", "1: taken out since its calls fare badly", |t| Some(f64::from(u8::from(t.health.0 == "out")))),
        ("trunk_asr_percent", "Share of its calls that are answered", |t| t.figures.asr_percent.map(f64::from)),
        ("trunk_acd_seconds", "Mean length of its answered calls", |t| t.figures.acd.map(|d| d.as_secs_f64())),
        ("trunk_pdd_seconds", "Mean delay until it rings", |t| t.figures.pdd.map(|d| d.as_secs_f64())),
        ("trunk_mos", "Mean opinion score of what is heard from it", |t| t.figures.mos.map(f64::from)),
    ];
    let mut samples = Vec::new();
    for (name, help, figure) in figures {
        let known = trunks.iter().filter_map(|t| Some((t, figure(t)?)));
        samples.extend(
            known.map(|(t, value)| Sample { value, ..Sample::gauge(name, help, 0) }.labelled("trunk", &*t.name)),
        );
    }
    samples
}

fn switch(c: &Counters) -> Vec<Sample> {
    let (counter, gauge) = (Sample::counter, Sample::gauge);
    vec![
        counter("calls", "Calls that came in", c.calls_total),
        counter("calls_answered", "Calls that were answered", c.calls_answered),
        gauge("calls_active", "Calls that go on", c.calls_active),
        counter("tolls_passed", "Calls that passed a cap of tolls", c.tolls_passed),
        counter("calls_refused_limit", "Calls refused by a limit of calls or of calls a second", c.calls_refused_limit),
        gauge("cdrs_unacknowledged", "Records that the store has not confirmed", c.cdrs_unacknowledged),
        gauge("legs_active", "SIP legs that live", c.legs_active),
        gauge("media_legs_active", "Media legs that are open", c.media_legs_active),
        gauge("transactions_server", "Server transactions that live", c.transactions_server),
        gauge("transactions_client", "Client transactions that live", c.transactions_client),
        gauge("timers", "Timers that run", c.timers),
        gauge("registrations", "Contacts that are registered", c.registrations),
        gauge("trunks_registered", "Trunks with which we are registered", c.trunks_registered),
        counter("registers_failed", "REGISTERs to trunks that failed", c.registers_failed),
        counter("messages_received", "SIP messages received", c.messages_received),
        counter("messages_sent", "SIP messages sent", c.messages_sent),
        counter("messages_bad", "SIP messages that could not be understood", c.messages_bad),
        counter("messages_denied", "Requests without right or with wrong credentials", c.messages_denied),
        counter("messages_banned", "SIP messages dropped unread since their source is banned", c.messages_banned),
        counter("messages_limited", "SIP messages dropped since their source sends too many", c.messages_limited),
        counter("bans", "Bans of sources", c.bans_total),
        gauge("subscriptions", "Lines, messages and presence that users watch", c.subscriptions),
        counter("identities_passed", "Callers whose signature was verified", c.identities_passed),
        counter("identities_failed", "Callers whose signature was wrong", c.identities_failed),
        counter("texts_relayed", "Texts (MESSAGE) that a receiver took", c.texts_relayed),
        counter("texts_failed", "Texts (MESSAGE) that nobody took", c.texts_failed),
        counter("identities_signed", "Calls that went out signed", c.identities_signed),
        gauge("sources_banned", "Sources that are banned", c.sources_banned),
        gauge("sources_known", "Sources that the guard remembers", c.sources_known),
        counter(
            "security_lines_dropped",
            "Lines of security events that were too many to log",
            c.security_lines_dropped,
        ),
        counter("overload_refused", "Calls and registrations refused with 503 since we were late", c.overload_refused),
        counter("retransmissions_sent", "Messages sent again by a timer", c.retransmissions_sent),
        counter("retransmissions_received", "Messages received again", c.retransmissions_received),
        gauge("draining", "1 while no new calls are taken", u64::from(c.draining)),
    ]
}

fn control(r: &Report) -> Vec<Sample> {
    let (counter, gauge) = (Sample::counter, Sample::gauge);
    let mut out = vec![
        counter("control_turns", "Turns of the control loop", r.turns),
        counter("control_busy_microseconds", "Time spent in turns of the control loop", r.busy_us),
        gauge("control_turn_max_microseconds", "Longest turn of the control loop", r.turn_us_max),
        counter("datagrams_received", "UDP datagrams received", r.datagrams_received),
        counter("datagrams_dropped", "UDP datagrams dropped because too many waited to be sent", r.datagrams_dropped),
        counter("datagrams_refused", "UDP datagrams that the network refused", r.datagrams_refused),
        gauge("datagrams_waiting", "UDP datagrams that wait to be sent", r.datagrams_waiting),
        gauge("control_late_milliseconds", "How long messages wait for the control loop", r.late_ms),
        gauge("facts_waiting", "Facts that wait for the ledger", r.facts_waiting),
        counter("facts_dropped", "Facts that found no room", r.facts_dropped),
        counter("bugs", "Invariants of this program that were found broken", crate::base::bugs()),
    ];
    let deadline = |(reason, n): &(&'static str, u64)| {
        counter("deadlines", "Deadlines that woke the switch, by reason", *n).labelled("reason", *reason)
    };
    out.extend(r.deadlines.iter().map(deadline));
    out
}

fn ledger(c: &Condition) -> Vec<Sample> {
    let read = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    vec![
        Sample::gauge("store_records_waiting", "Records that wait for a commit", read(&c.records_waiting)),
        Sample::counter("store_records", "Records committed", read(&c.records_stored)),
        Sample::counter("store_records_lost", "Records that reached the log only", read(&c.records_lost)),
        Sample::counter("store_commits", "Commits", read(&c.commits)),
        Sample::counter("store_failures", "Commits that failed and were tried again", read(&c.commit_failures)),
        Sample::gauge("store_failing", "1 while the store fails", u64::from(c.is_failing.load(Ordering::Relaxed))),
    ]
}

fn process(connections: usize) -> Vec<Sample> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64;
    vec![
        Sample::gauge("resident_bytes", "Resident memory", field("VmRSS:").unwrap_or(0) * 1024),
        Sample::gauge("threads", "Threads", field("Threads:").unwrap_or(0)),
        // One of them is the listing itself.
        Sample::gauge("open_files", "Open file descriptors", files.saturating_sub(1)),
        Sample::gauge("stream_connections", "Open SIP connections over streams", connections as u64),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_print_once_a_name_and_counters_end_in_total() {
        let text = write(vec![
            Sample::counter("calls", "Calls", 3),
            Sample::gauge("legs", "Legs", 2),
            Sample::counter("deadlines", "By reason", 1).labelled("reason", "t1"),
            Sample::counter("deadlines", "By reason", 4).labelled("reason", "a\"b"),
        ]);
        for line in ["tandem_calls_total 3", "tandem_legs 2", "tandem_deadlines_total{reason=\"t1\"} 1"] {
            assert!(text.lines().any(|l| l == line), "{line} in:\n{text}");
        }
        assert_eq!(text.matches("# TYPE tandem_deadlines counter").count(), 1, "{text}");
        assert!(text.contains("{reason=\"a\\\"b\"} 4") && text.ends_with("# EOF\n"), "{text}");
    }
}
