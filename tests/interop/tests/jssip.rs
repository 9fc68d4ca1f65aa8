//! JsSIP, the phone of web pages, over WebSocket: it registers, calls, is called, and both ends hear each other. It runs on Node; what
//! it signals is JsSIP's, its sound is the test's.

use std::time::Duration;

use interop::carriers::{Carriers, ending};
use interop::node;
use interop::process::{Process, until};
use interop::rtp::{Heard, RtpEnd};
use interop::scratch::free_ports;
use interop::sipp::Step;
use interop::sound::{find, melody};
use interop::tandem::Setup;
use serde_json::Value;

const USERS: &str = "  - { name: alice, password: a, context: from-carrier }\n";
const RULES: &str = "    - { match: { to: alice }, do: [ { dial: { user: alice, timeout: 10s } } ] }\n    \
                     - { match: { to: /^2\\d+$/ }, do: [ { dial: { number: \"${to}\", trunks: [far], timeout: 10s } } ] }\n";
const ANSWER: &[Step] = &[
    Step::Get("INVITE"),
    Step::Reply(180),
    Step::ReplySdp(200, "sendrecv"),
    Step::Get("ACK"),
    Step::Get("BYE"),
    Step::Reply(200),
];

/// A page's phone.
struct Page {
    node: Process,
    sound: RtpEnd,
}

impl Page {
    /// `None` where there is no Node; `calls` is whom it calls once it is registered.
    fn open(stage: &Carriers, song: &[i16], password: &str, calls: &str) -> Option<Page> {
        let modules = node::modules()?;
        let port = free_ports(2);
        let sound = RtpEnd::start("127.0.0.1", port, song, 0);
        let (address, port) = (stage.tandem.http().to_string(), port.to_string());
        let all = [("ADDRESS", &*address), ("PORT", &port), ("USER", "alice"), ("PASSWORD", password), ("CALL", calls)];
        Some(Page { node: node::start("jssip", &modules, &all, stage.scratch.path()), sound })
    }

    /// Waits for an event of JsSIP's.
    fn wait(&self, event: &str) -> Value {
        let look = || {
            let printed = self.node.printed();
            let events = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            events.into_iter().find(|e| e["event"] == event)
        };
        until(Duration::from_secs(30), look).unwrap_or_else(|| panic!("never {event}:\n{}", self.node.tail()))
    }

    /// From when the switch has named its port, its song goes there.
    fn sing(&self) {
        let media = self.wait("remote")["media"].as_str().and_then(|port| port.parse::<u16>().ok()).expect("a port");
        self.sound.send_to(([127, 0, 0, 1], media).into());
    }
}

fn stage(name: &str) -> Carriers {
    Carriers::with(name, RULES, &Setup { users: USERS, ..Setup::default() })
}

fn heard_well(name: &str, heard: &Heard, song: &[i16]) {
    let found = find(&song[..8_000], &heard.samples());
    assert!(found.correlation > 0.99, "{name} heard {} packets, {found:?}", heard.packets.len());
}

#[test]
fn a_web_page_calls_and_is_heard() {
    let stage = stage("jssip-calls");
    let (song_a, song_b) = (melody(51, 2), melody(52, 2));
    let callee = stage.callee(ANSWER);
    let far = stage.sound(&callee, &song_b, 0);
    let mut callee = stage.start(&callee);
    let Some(page) = Page::open(&stage, &song_a, "a", "200") else { return };
    page.wait("registered");
    far.send_to(callee.wait_media(1));
    page.sing();
    page.wait("confirmed");
    std::thread::sleep(Duration::from_secs(4));
    // The page is closed: JsSIP ends its call and its registration.
    page.node.signal(libc::SIGTERM);
    callee.finish(Duration::from_secs(30));
    let record = stage.tandem.cdrs(1).remove(0);
    assert_eq!(ending(&record), ("caller", "hangup"), "{record}");
    heard_well("the page", &page.sound.stop(), &song_b);
    heard_well("the far side", &far.stop(), &song_a);
    stage.tandem.assert_nothing_left();
}

#[test]
fn a_web_page_is_called_where_its_connection_is() {
    let stage = stage("jssip-called");
    let (song_a, song_b) = (melody(53, 2), melody(54, 2));
    let Some(page) = Page::open(&stage, &song_a, "a", "") else { return };
    page.wait("registered");
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
    let caller = stage.caller("alice", &steps);
    let near = stage.sound(&caller, &song_b, 0);
    let mut caller = stage.start(&caller);
    page.sing();
    near.send_to(caller.wait_media(1));
    caller.finish(Duration::from_secs(30));
    assert_eq!(page.wait("ended")["by"], "remote");
    heard_well("the page", &page.sound.stop(), &song_b);
    heard_well("the caller", &near.stop(), &song_a);
}

#[test]
fn a_wrong_password_registers_no_web_page() {
    let stage = stage("jssip-wrong");
    let Some(page) = Page::open(&stage, &[0; 160], "wrong", "") else { return };
    assert_eq!(page.wait("refused")["cause"], "Authentication Error");
}
