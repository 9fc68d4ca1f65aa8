//! A web page in Chromium: JsSIP's phones over WSS, by Tandem's HTTP port with a certificate.

use std::time::Duration;

use interop::carriers::{Carriers, ending};
use interop::chromium::Browser;
use interop::rtp::{Heard, RtpEnd};
use interop::scratch::free_ports;
use interop::sipp::Step;
use interop::sound::{find, melody};
use interop::tandem::Setup;
use serde_json::{Value, json};

const USERS: &str =
    "  - { name: alice, password: a, context: from-carrier }\n  - { name: bob, password: b, context: from-carrier }\n";
const RULES: &str = "    - { match: { to: [alice, bob] }, do: [ { dial: { user: \"${to}\", timeout: 30s } } ] }\n    \
                     - { match: { to: /^2\\d+$/ }, do: [ { dial: { number: \"${to}\", trunks: [far], timeout: 30s } } ] }\n";

/// A switch and a browser; `None` where there is no browser.
fn stage(name: &str) -> Option<(Carriers, Browser)> {
    let stage = Carriers::with(name, RULES, &Setup { users: USERS, https: true, ..Setup::default() });
    let browser = Browser::open(stage.scratch.path())?;
    Some((stage, browser))
}

fn register(stage: &Carriers, browser: &Browser, user: &str, password: &str, port: u16) {
    let url = format!("wss://{}/sip", stage.tandem.http());
    browser.order(json!({ "do": "register", "user": user, "password": password, "url": url, "port": port }));
}

fn any(_: &Value) -> bool {
    true
}

fn heard_well(name: &str, heard: &Heard, song: &[i16]) {
    let found = find(&song[..8_000], &heard.samples());
    assert!(found.correlation > 0.99, "{name} heard {} packets, {found:?}", heard.packets.len());
}

/// From when the switch has named its port to a page's phone, its song goes there.
fn sing(browser: &Browser, user: &str, sound: &RtpEnd) {
    let media = browser.wait(user, "remote", any)["media"].as_u64().and_then(|port| u16::try_from(port).ok());
    sound.send_to(([127, 0, 0, 1], media.expect("a port")).into());
}

/// Which of the documents about a line this is.
fn version(told: &Value) -> u64 {
    let body = told["body"].as_str().unwrap_or_default();
    let number = body.split("version=\"").nth(2).and_then(|rest| rest.split('"').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[test]
fn a_page_writes_watches_a_line_and_is_told_why_its_call_is_refused() {
    let Some((stage, browser)) = stage("chromium-writes") else { return };
    register(&stage, &browser, "alice", "wrong", 0);
    assert_eq!(browser.wait("alice", "refused", any)["cause"], "Authentication Error");
    register(&stage, &browser, "alice", "a", 0);
    register(&stage, &browser, "bob", "b", free_ports(2));
    browser.wait("alice", "registered", any);
    browser.wait("bob", "registered", any);
    let registrations = stage.tandem.get("/tandem/v1/registrations").to_ascii_lowercase();
    assert_eq!(registrations.matches("\"wss\"").count(), 2, "{registrations}");

    browser.order(json!({ "do": "options", "user": "alice", "to": "bob" }));
    let options = browser.wait("alice", "options", any);
    assert_eq!(options["status"], 200, "{options}");
    browser.order(json!({ "do": "message", "user": "alice", "to": "bob", "text": "are you there?" }));
    assert_eq!(browser.wait("bob", "message", any)["text"], "are you there?");
    browser.wait("alice", "delivered", |told| told["status"] == 200);

    let kind = "application/dialog-info+xml";
    browser.order(json!({ "do": "subscribe", "user": "alice", "to": "bob", "event": "dialog", "accept": kind }));
    let shows =
        |state: &'static str| move |told: &Value| told["body"].as_str().is_some_and(|body| body.contains(state));
    let first = browser.wait("alice", "notify", shows("<dialog-info"));
    assert!(!first["body"].to_string().contains("<state>"), "the line rests: {first}");
    let steps = [
        Step::Invite,
        Step::May(100),
        Step::May(180),
        Step::Expect(200),
        Step::Ack,
        Step::Get("BYE"),
        Step::Reply(200),
    ];
    let caller = stage.caller("bob", &steps);
    let mut caller = stage.start(&caller);
    let talks = browser.wait("alice", "notify", shows("<state>confirmed</state>"));
    browser.order(json!({ "do": "hangUp", "user": "bob" }));
    caller.finish(Duration::from_secs(30));
    let later = |told: &Value| version(told) > version(&talks) && !shows("<state>confirmed")(told);
    browser.wait("alice", "notify", later);

    // Chromium offers DTLS-SRTP alone.
    browser.order(json!({ "do": "call", "user": "alice", "to": "200" }));
    let refused = browser.wait("alice", "failed", any);
    assert_eq!(refused["status"], 488, "{refused}");
    let warning = refused["warning"].as_str().unwrap_or_default();
    assert!(warning.starts_with("302 ") && warning.contains("UDP/TLS/RTP/SAVPF is not supported"), "{refused}");
}

#[test]
fn a_page_calls_and_is_called_over_wss() {
    let Some((stage, browser)) = stage("chromium-calls") else { return };
    let songs = [51, 52, 53, 54].map(|seed| melody(seed, 2));
    let port = free_ports(4);
    let [alice, bob] = [0, 1].map(|n: usize| RtpEnd::start("127.0.0.1", port + 2 * n as u16, &songs[n], 0));
    register(&stage, &browser, "alice", "a", port);
    register(&stage, &browser, "bob", "b", port + 2);
    browser.wait("alice", "registered", any);
    browser.wait("bob", "registered", any);

    let steps = [
        Step::Get("INVITE"),
        Step::Reply(180),
        Step::ReplySdp(200, "sendrecv"),
        Step::Get("ACK"),
        Step::Get("BYE"),
        Step::Reply(200),
    ];
    let callee = stage.callee(&steps);
    let far = stage.sound(&callee, &songs[2], 0);
    let mut callee = stage.start(&callee);
    browser.order(json!({ "do": "call", "user": "alice", "to": "200", "port": port }));
    far.send_to(callee.wait_media(1));
    sing(&browser, "alice", &alice);
    browser.wait("alice", "confirmed", any);

    // Meanwhile the other phone of the page is called.
    let steps = [
        Step::Invite,
        Step::May(100),
        Step::May(180),
        Step::Expect(200),
        Step::Ack,
        Step::Pause(4_000),
        Step::Bye,
        Step::Expect(200),
    ];
    let caller = stage.caller("bob", &steps);
    let near = stage.sound(&caller, &songs[3], 0);
    let mut caller = stage.start(&caller);
    sing(&browser, "bob", &bob);
    near.send_to(caller.wait_media(1));
    caller.finish(Duration::from_secs(60));
    assert_eq!(browser.wait("bob", "ended", any)["originator"], "remote");
    browser.order(json!({ "do": "hangUp", "user": "alice" }));
    callee.finish(Duration::from_secs(60));

    for record in stage.tandem.cdrs(2) {
        assert_eq!(ending(&record), ("caller", "hangup"), "{record}");
    }
    heard_well("alice", &alice.stop(), &songs[2]);
    heard_well("the far side", &far.stop(), &songs[0]);
    heard_well("bob", &bob.stop(), &songs[3]);
    heard_well("the caller", &near.stop(), &songs[1]);
    // Closed, the page takes its bindings with it.
    for user in ["alice", "bob"] {
        browser.order(json!({ "do": "stop", "user": user }));
        browser.wait(user, "unregistered", any);
    }
}
