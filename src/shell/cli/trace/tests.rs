//! The picture, character by character.

use super::*;

fn traced(live: bool) -> Traced {
    let leg = |direction: &str, peer: &str, status| {
        json!({
            "direction": direction, "peer": peer, "sip_call_id": "x", "flow": "udp/127.0.0.1:5062", "started": "s",
            "answered": null, "ended": "e", "status": status, "codec": "pcmu", "quality": null,
        })
    };
    let mut legs = vec![leg("inbound", "acme", 200), leg("outbound", "alice", 486), leg("outbound", "bob", 200)];
    legs[2]["quality"] = json!({
        "packets_received": 100, "bytes_received": 1, "packets_sent": 99, "bytes_sent": 1, "packets_lost": 2,
        "packets_duplicate": 0, "packets_reordered": 0, "packets_refused": 0, "jitter_ms": 0.5, "jitter_ms_max": 1.25,
        "remote_lost": null, "remote_jitter_ms": null, "round_trip_ms": 10.0, "mos": 4.38, "digits": 0,
    });
    let entries = json!([
        { "at_us": 0, "leg": 0, "kind": "received", "text": "INVITE sip:100@pbx.example.com", "cseq": 1, "peer": "127.0.0.1:7070" },
        { "at_us": 120, "kind": "route", "text": "rule \"main\" took it" },
        { "at_us": 130, "kind": "step", "text": "dial alice, bob", "place": "a.yaml:7" },
        { "at_us": 250, "leg": 1, "kind": "sent", "text": "INVITE sip:alice@1.2.3.4", "cseq": 1 },
        { "at_us": 300, "leg": 2, "kind": "sent", "text": "INVITE sip:bob@1.2.3.4", "cseq": 1 },
        { "at_us": 900, "leg": 1, "kind": "received", "text": "486 Busy Here", "cseq": 1 },
        { "at_us": 12_345_678, "leg": 2, "kind": "media", "text": "latched 1.2.3.4:4000" },
        { "at_us": 12_400_000, "kind": "ended", "text": "caller: hangup" },
    ]);
    serde_json::from_value(json!({
        "live": live, "state": "bridged",
        "cdr": {
            "call": "CA1", "node": "n1", "from": "+1", "to": "100", "trunk": "acme", "user": null, "context": "in",
            "rule": "main", "started": "s", "answered": "a", "ended": "e", "duration_us": 12_400_000,
            "billable_us": 11_000_000, "post_dial_delay_us": 250,
            "ending": { "class": "caller", "reason": "hangup", "status": 0 }, "legs": legs,
        },
        "timeline": { "started": "2026-11-22T16:15:00.000Z", "dropped": 3, "entries": entries },
    }))
    .unwrap()
}

#[test]
fn a_call_is_drawn() {
    let picture = ladder(&traced(false));
    let golden = include_str!("golden.txt");
    assert_eq!(picture, golden, "\n{picture}");
    assert!(ladder(&traced(true)).contains("goes on: bridged\n"));
}

#[test]
fn long_labels_keep_their_cseq() {
    let rows = [
        ("200 OK (1)", 20, "200 OK (1)"),
        ("INVITE sip:a-very-long-name (12)", 20, "INVITE sip:a-.. (12)"),
        ("abcdef", 4, "ab.."),
    ];
    for (text, max, want) in rows {
        assert_eq!(shorten(text, max), want);
    }
}
