//! What crosses the machines: matching, merging, limits, flows.

pub(super) mod bench;

use super::*;
use crate::sip::transport::Transport::{Tcp, Udp};
use crate::sip::wire::{HeaderName, Writer};
use bench::{Bench, check, our_request, parse};

#[test]
fn a_request_is_matched_by_branch_sent_by_and_method() {
    let rows = [
        // (second request, taken for a retransmission)
        ("> OPTIONS", true),
        ("> OPTIONS host=192.0.2.1", true),
        ("> OPTIONS host=192.0.2.1:5061", false),
        ("> OPTIONS host=192.0.2.2", false),
        ("> OPTIONS branch=z9hG4bK-peer2", false),
        ("> INFO", false),
        // The transaction is named by its Via alone.
        ("> OPTIONS cseq=2", true),
    ];
    for (second, again) in rows {
        let mut bench = Bench::new(Udp, Limits::default());
        assert_eq!(bench.step("> OPTIONS to=t"), "Request OPTIONS");
        let out = bench.step(&format!("{second} to=t"));
        assert_eq!(out.is_empty(), again, "{second}: {out}");
    }
}

#[test]
fn clients_of_rfc_2543_are_matched_by_call_id_cseq_and_the_rest() {
    for branch in ["branch=", "branch=1", "branch=z9hG4bK"] {
        let row = |what: &str| format!("> {what} {branch}");
        check(
            Udp,
            &[
                (&row("INVITE"), "Request INVITE"),
                (&row("INVITE"), ""),
                ("respond 180", "tx 180 INVITE"),
                (&row("INVITE"), "tx 180 INVITE"),
                (&row("CANCEL"), "tx 200 CANCEL, Cancelled"),
                ("respond 487", "tx 487 INVITE"),
                (&row("ACK to=ours"), ""),
                ("run 5000", "5000 ServerEnded"),
            ],
        );
        // The next request within the same dialog has another CSeq.
        check(
            Udp,
            &[
                (&row("INFO to=t cseq=2"), "Request INFO"),
                (&row("INFO to=t cseq=2"), ""),
                (&row("INFO to=t cseq=3"), "Request INFO"),
            ],
        );
    }
}

#[test]
fn a_merged_request_gets_482_and_a_retried_one_does_not() {
    check(
        Udp,
        &[
            ("> INVITE", "Request INVITE"),
            ("> INVITE", ""),
            ("> INVITE branch=z9hG4bK-fork", "tx 482 INVITE"),
            ("> ACK branch=z9hG4bK-fork to=any", "Ack"),
            ("respond 200", "tx 200 INVITE"),
            ("> INVITE branch=z9hG4bK-fork", "tx 482 INVITE"),
        ],
    );
    check(
        Udp,
        &[
            ("> INVITE", "Request INVITE"),
            ("respond 503", "tx 503 INVITE"),
            ("> INVITE branch=z9hG4bK-retry", "Request INVITE"),
        ],
    );
    check(Udp, &[("> INVITE", "Request INVITE"), ("> INVITE branch=z9hG4bK-next cseq=2", "Request INVITE")]);
    check(Udp, &[("> INFO to=t", "Request INFO"), ("> INFO to=t branch=z9hG4bK-next", "Request INFO")]);
}

#[test]
fn beyond_the_limit_new_requests_get_503_and_dialogs_can_still_end() {
    let limits = Limits { transactions_max: 2, retry_after_s: 7, ..Limits::default() };
    let mut bench = Bench::new(Udp, limits);
    let rows = [
        ("> INVITE", "Request INVITE"),
        ("> OPTIONS branch=z9hG4bK-2", "Request OPTIONS"),
        ("> OPTIONS branch=z9hG4bK-3 cseq=3", "tx 503 OPTIONS"),
        ("> INVITE", ""),
        ("> BYE branch=z9hG4bK-4 to=t", "Request BYE"),
        ("> BYE branch=z9hG4bK-5 to=t", "tx 503 BYE"),
        ("run 32000", "200 tx 100 INVITE, 32000 ServerEnded, 32000 ServerEnded"),
        ("> OPTIONS branch=z9hG4bK-3 cseq=3", "Request OPTIONS"),
    ];
    for (step, want) in rows {
        assert_eq!(bench.step(step), want, "{step}");
    }
    assert_eq!(bench.layer.counts(), (2, 0));
}

#[test]
fn a_full_table_forgets_what_has_lingered_for_t4() {
    let mut bench = Bench::new(Udp, Limits { transactions_max: 2, retry_after_s: 7, ..Limits::default() });
    let rows = [
        ("> OPTIONS", "Request OPTIONS"),
        ("respond 200", "tx 200 OPTIONS"),
        ("run 1000", ""),
        ("> OPTIONS branch=z9hG4bK-2 cseq=2", "Request OPTIONS"),
        ("> OPTIONS branch=z9hG4bK-3 cseq=3", "tx 503 OPTIONS"),
        ("> OPTIONS", "tx 200 OPTIONS"),
        ("run 5000", ""),
        ("> OPTIONS branch=z9hG4bK-3 cseq=3", "ServerEnded, Request OPTIONS"),
        // Those that nobody has answered stay.
        ("> OPTIONS branch=z9hG4bK-4 cseq=4", "tx 503 OPTIONS"),
        ("run 40000", "33000 ServerEnded, 37000 ServerEnded"),
    ];
    for (step, want) in rows {
        assert_eq!(bench.step(step), want, "{step}");
    }
    assert_eq!(bench.layer.counts(), (0, 0));
}

#[test]
fn stateless_answers_are_the_same_each_time() {
    let mut sent = Vec::new();
    let mut bench = Bench::new(Udp, Limits { transactions_max: 0, retry_after_s: 7, ..Limits::default() });
    for _ in 0..2 {
        bench.receive(&our_request("OPTIONS", 1));
        match bench.layer.poll() {
            Some(Output::Transmit { bytes, .. }) => sent.push(bytes),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sent[0], sent[1]);
    let answer = parse(sent.remove(0));
    assert_eq!((answer.status(), answer.header(HeaderName::RetryAfter)), (503, Some("7")));
    assert!(!answer.to_tag().is_empty());
}

#[test]
fn a_stream_that_breaks_fails_what_went_over_whichever_connection_was_open() {
    let mut layer = Transactions::default();
    let bench = Bench::new(Tcp, Limits::default());
    let flow = |connection, port| Flow { connection, peer: ([192, 0, 2, 1], port).into(), ..bench.flow };
    let flows = [flow(0, 5060), flow(3, 5060), flow(4, 5060), flow(0, 5070)];
    let ids: Vec<_> = (0..)
        .zip(flows)
        .map(|(n, flow)| {
            let bytes = Bytes::from(our_request("OPTIONS", n));
            layer.request(Instant::ZERO, flow, Method::Options, &format!("z9hG4bK-{n}"), bytes)
        })
        .collect();
    while layer.poll().is_some() {}
    layer.flow_failed(Instant::ZERO, flow(3, 5060));
    let mut failed = Vec::new();
    while let Some(output) = layer.poll() {
        if let Output::Event(Event::Failed { id }) = output {
            failed.push(id);
        }
    }
    assert_eq!(failed, [ids[1], ids[0]]);
    assert_eq!(layer.counts(), (0, 2));
}

#[test]
fn a_response_goes_where_the_via_says_over_udp_and_back_over_a_stream() {
    let rows = [
        (Udp, "192.0.2.77:5080", "192.0.2.1:5080"),
        (Udp, "192.0.2.77:5080;rport", "192.0.2.1:5060"),
        (Udp, "192.0.2.77", "192.0.2.1:5060"),
        (Tcp, "192.0.2.77:5080", "192.0.2.1:5060"),
    ];
    for (transport, via, want) in rows {
        let mut bench = Bench::new(transport, Limits::default());
        bench.receive(&our_request("OPTIONS", 1).replace("10.0.0.1;", &format!("{via};")));
        let Some(Output::Event(Event::Request { id, request, flow })) = bench.layer.poll() else { panic!("{via}") };
        let bytes = Writer::response_to(&request, 200, "", "t", flow.peer).finish();
        assert!(bench.layer.respond(bench.now, id, 200, bytes));
        match bench.layer.poll() {
            Some(Output::Transmit { flow, .. }) => assert_eq!(flow.peer.to_string(), want, "{transport:?} {via}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_deadline_says_why_and_nothing_is_left_behind() {
    let mut bench = Bench::new(Udp, Limits::default());
    assert_eq!(bench.layer.deadline(), None);
    let ms = |n| Instant::ZERO + Duration::from_millis(n);
    bench.step("> INVITE");
    assert_eq!(bench.layer.deadline(), Some((ms(200), "100 Trying due")));
    bench.step("respond 180");
    assert_eq!(bench.layer.deadline(), Some((ms(60_000), "1xx again")));
    bench.step("send INVITE");
    assert_eq!(bench.layer.deadline(), Some((ms(500), "timer A")));
    bench.step("< 180");
    bench.step("cancel");
    assert_eq!(bench.layer.deadline(), Some((ms(500), "timer E")));
    bench.step("< 487");
    bench.step("< 200 CANCEL");
    bench.step("respond 603");
    bench.step("> ACK to=ours");
    bench.step("> INVITE branch=z9hG4bK-once");
    bench.step("once 401");
    bench.step("run 100000");
    assert_eq!((bench.layer.counts(), bench.layer.deadline()), ((0, 0), None));
    bench.layer.assert_empty();
}

impl Transactions {
    /// No index outlives its transaction.
    fn assert_empty(&self) {
        assert!(self.servers.is_empty() && self.clients.is_empty() && self.shared.timers.is_empty());
    }
}
