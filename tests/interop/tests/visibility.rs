//! What is seen of calls from outside: a call's capture read by tcpdump, and copies of its messages taken by Kamailio (HEP).

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use interop::carriers::{Carriers, ending};
use interop::process::{Process, until};
use interop::scratch::{free_ports, top};
use interop::sipp::Step;
use interop::tandem::Setup;

const RULE: &str = "    - { match: { to: /^2\\d+$/ }, do: [ { dial: { number: \"${to}\", trunks: [far] } } ] }\n";
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
const ANSWER: &[Step] = &[
    Step::Get("INVITE"),
    Step::Reply(180),
    Step::ReplySdp(200, "sendrecv"),
    Step::Get("ACK"),
    Step::Get("BYE"),
    Step::Reply(200),
];

/// What tcpdump says of a file; it checks all lengths and, with -vv, each checksum.
fn tcpdump(file: &Path) -> String {
    let read = Command::new("tcpdump").args(["-nn", "-vv", "-A", "-r"]).arg(file).output();
    let read = read.expect("cannot start tcpdump (`make packages` installs what the tests call)");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    String::from_utf8_lossy(&read.stdout).into_owned()
}

#[test]
fn a_calls_capture_is_read_by_tcpdump() {
    let stage = Carriers::with("capture", RULE, &Setup { more: "capture: { enabled: true }\n", ..Setup::default() });
    let (caller, callee) = (stage.caller("200", TALK), stage.callee(ANSWER));
    let record = stage.play(&caller, &callee);
    assert_eq!(ending(&record), ("caller", "hangup"), "{record}");
    let file = stage.scratch.path().join("call.pcap");
    let call = record["call"].as_str().expect("a call's name");
    let (status, said) = stage.tandem.command(&["pcap", call, "-o", &file.display().to_string()]);
    assert_eq!((status, said.as_str()), (0, ""));
    let text = tcpdump(&file);
    // Both legs: INVITE, 100, 180, 200, ACK, BYE, 200; the called party sends no 100 of its own.
    let packets = text.matches(" > 127.0.0.").count();
    assert!((12..=16).contains(&packets), "{packets} packets:\n{text}");
    assert_eq!(text.matches("udp sum ok").count(), packets, "{text}");
    let (sip, near) = (stage.tandem.sip(), SocketAddr::new(caller.ip.parse().expect("an address"), caller.port));
    let far = SocketAddr::new(callee.ip.parse().expect("an address"), callee.port);
    let dotted = |a: SocketAddr| format!("{}.{}", a.ip(), a.port());
    for (from, to) in [(near, sip), (sip, near), (sip, far), (far, sip)] {
        let way = format!("{} > {}:", dotted(from), dotted(to));
        assert!(text.matches(&way).count() >= 3, "{way}\n{text}");
    }
    assert_eq!(text.matches("INVITE sip:200@").count(), 2, "{text}");
    let (status, said) = stage.tandem.command(&["pcap", "CA00000000000000000000000000000009"]);
    assert!(status == 1 && said.contains("nothing is kept of the messages"), "{status} {said}");
}

#[test]
fn a_capture_server_gets_both_legs_under_the_calls_name() {
    let server = SocketAddr::from(([127, 0, 0, 1], free_ports(2)));
    let more = format!("hep: {{ target: \"udp://{server}\", id: 4711, password: h3p }}\n");
    let stage = Carriers::with("hep", RULE, &Setup { more: &more, ..Setup::default() });
    let folder = stage.scratch.path();
    let mut command = Command::new("kamailio");
    command.arg("-f").arg(top().join("tests/peers/sipcapture.cfg")).args(["-DD", "-E", "-m", "64", "-M", "8"]);
    command.args(["-A", &format!("LISTEN=udp:{server}"), "-A", &format!("DB=\"text://{}\"", folder.display())]);
    command.arg("-Y").arg(folder).arg("-w").arg(folder);
    let kamailio = Process::start("sipcapture", &mut command, folder);
    let bound = until(Duration::from_secs(20), || UdpSocket::bind(server).is_err().then_some(()));
    assert!(bound.is_some(), "kamailio does not listen:\n{}", kamailio.tail());
    let (caller, callee) = (stage.caller("200", TALK), stage.callee(ANSWER));
    let record = stage.play(&caller, &callee);
    let call = record["call"].as_str().expect("a call's name");
    let seen = || -> Vec<String> {
        let text = kamailio.printed();
        let own = text.lines().filter_map(|l| l.split_once("captured ")).map(|(_, what)| what.to_owned());
        own.filter(|what| what.contains(&format!("correlation={call}"))).collect()
    };
    let enough = until(Duration::from_secs(20), || (seen().len() >= 12).then_some(()));
    let seen = seen();
    assert!(enough.is_some(), "{seen:#?}\n{}", kamailio.tail());
    let sip = stage.tandem.sip();
    let (near, far) = (format!("{}:{}", caller.ip, caller.port), format!("{}:{}", callee.ip, callee.port));
    for way in [format!("{near}>{sip}"), format!("{sip}>{near}"), format!("{sip}>{far}"), format!("{far}>{sip}")] {
        assert!(seen.iter().filter(|line| line.starts_with(&format!("{way} "))).count() >= 3, "{way}: {seen:#?}");
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    for line in &seen {
        assert!(line.contains("agent=4711 key=h3p version=3 type=1 at="), "{line}");
        let at = line.split("at=").nth(1).and_then(|at| at.trim().parse::<u64>().ok());
        assert!(at.is_some_and(|at| (now - 120..=now).contains(&at)), "{line}");
    }
    assert_eq!(stage.tandem.metric("tandem_hep_dropped_total"), Some(0.0));
    let (status, said) = stage.tandem.command(&["pcap", call]);
    assert!(status == 1 && said.contains("nothing is kept"), "what is not asked for is not kept: {said}");
}
