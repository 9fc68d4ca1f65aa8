//! Names of hosts as calls meet them: servers that fail over, addresses that change, requests that are too long.

use super::*;
use crate::sip::locate::{Answer, Kind, Record};
use std::net::IpAddr;

const FIRST: &str = "127.0.0.1:7001";
const SECOND: &str = "127.0.0.1:7002";

/// Two servers of c.example by SRV, both at the address of a.example.
fn zone(name: &str, kind: Kind, address: &str) -> Answer {
    let server = |priority, port| Record::Srv { priority, weight: 0, port, target: "a.example".into() };
    let records = match (name, kind) {
        ("_sip._udp.c.example", Kind::Srv) => vec![server(1, 7001), server(2, 7002)],
        ("a.example" | "source.example", Kind::A) => vec![Record::Address(address.parse::<IpAddr>().unwrap())],
        _ => return Answer::Absent { ttl: None },
    };
    Answer::Found { records, ttl: Duration::from_secs(60) }
}

/// Answers all that is asked of name servers.
fn name_server(b: &mut Bench, address: &str) {
    while let Some(query) = b.queries.pop() {
        let answer = zone(&query.question.name, query.question.kind, address);
        b.input(Input::Resolved { id: query.id, answer });
    }
}

fn branch(message: &Message) -> String {
    message.branch().to_owned()
}

#[test]
fn a_call_to_a_name_waits_for_it_and_fails_over_to_its_next_server() {
    let mut b = Bench::new(&DIAL.replace("sip:200@127.0.0.1:7000", "sip:200@c.example"));
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    assert!(b.sent.iter().all(|(_, m)| m.status() == 100), "nobody can be called yet");
    name_server(&mut b, "127.0.0.1");
    let first = b.last(FIRST).clone();
    assert_eq!((first.method(), first.request_uri()), (Method::Invite, "sip:200@c.example"));
    b.pass(Duration::from_millis(2_100));
    let second = b.last(SECOND).clone();
    assert_eq!(second.method(), Method::Invite);
    assert_ne!(branch(&first), branch(&second));
    b.answer(SECOND, &second, "200 OK", "callee", Some(5000));
    assert_eq!(b.last(CALLER).status(), 200);
    // The next call spares itself the silent one.
    b.sent.clear();
    b.receive(CALLER, request("INVITE", 2, 1, "", &sdp(4000)));
    assert!(b.sent.iter().any(|(to, _)| to.to_string() == SECOND));
    assert!(b.sent.iter().all(|(to, _)| to.to_string() != FIRST));
}

#[test]
fn a_name_that_is_never_answered_ends_the_waiting() {
    let mut b = Bench::new(&DIAL.replace("sip:200@127.0.0.1:7000", "sip:200@c.example"));
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    b.pass(Duration::from_secs(5));
    assert_eq!(b.last(CALLER).status(), 480);
    // The answer that comes then finds nobody.
    name_server(&mut b, "127.0.0.1");
    assert!(b.sent.iter().all(|(to, _)| to.to_string() != FIRST));
}

#[test]
fn a_source_by_name_follows_its_address() {
    let mut setup = setup(DIAL);
    let config = Arc::make_mut(&mut setup.config);
    config.sip.anonymous_context = None;
    (config.trunks[0].inbound, config.trunks[0].inbound_hosts) = (Vec::new(), vec!["source.example".into()]);
    let mut b = Bench::with(setup);
    b.pass(Duration::from_secs(3));
    name_server(&mut b, "10.0.0.1");
    let invite = Message::parse(request("INVITE", 9, 1, "", "").into_bytes().into()).unwrap();
    let knows = |b: &Bench, ip: &str| b.switch.world.trunk_of_request(ip.parse().unwrap(), &invite).is_some();
    assert!(knows(&b, "10.0.0.1") && knows(&b, "::ffff:10.0.0.1") && !knows(&b, "10.0.0.2"));
    // Neither is counted by the guard, however much it sends; who has no name of a trunk is.
    let admitted = |b: &mut Bench, ip: &str| -> usize {
        let peer = format!("{ip}:5060").parse().unwrap();
        let flow = Flow { listener: ListenerId(0), transport: Transport::Udp, peer, connection: 0 };
        let admits = |b: &mut Bench| b.switch.world.guard_admits(flow, b"INVITE sip:a@b SIP/2.0\r\n");
        (0..500).filter(|_| matches!(admits(b), Verdict::Admitted | Verdict::Exempt)).count()
    };
    b.pass(Duration::from_secs(3));
    assert_eq!((admitted(&mut b, "10.0.0.1"), admitted(&mut b, "10.0.0.2") < 500), (500, true));
    for _ in 0..40 {
        b.pass(Duration::from_secs(2));
        name_server(&mut b, "10.0.0.2");
    }
    assert!(knows(&b, "10.0.0.2") && knows(&b, "10.0.0.1"), "the old one has its grace");
    for _ in 0..200 {
        b.pass(Duration::from_secs(2));
        name_server(&mut b, "10.0.0.2");
    }
    assert!(knows(&b, "10.0.0.2") && !knows(&b, "10.0.0.1"));
}

#[test]
fn a_request_too_long_for_a_datagram_goes_by_tcp_and_by_udp_where_that_is_refused() {
    let tcp_listener = |setup: &mut Setup| {
        let local: SocketAddr = US.parse().unwrap();
        setup.listeners.push(Listener { id: ListenerId(1), transport: Transport::Tcp, local, advertised: local });
        Arc::make_mut(&mut setup.config).sip.reach.udp_max = 300;
    };
    let invites = |b: &Bench| -> Vec<Message> {
        let to_callee = b.sent.iter().filter(|(to, m)| to.to_string() == CALLEE && m.method() == Method::Invite);
        to_callee.filter(|(_, m)| m.is_request()).map(|(_, m)| m.clone()).collect()
    };
    let mut setup = setup(DIAL);
    tcp_listener(&mut setup);
    let mut b = Bench::with(setup);
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    let by_tcp = invites(&b).remove(0);
    assert_eq!(by_tcp.via().map(|v| v.transport), Some("TCP"));
    let flow =
        Flow { listener: ListenerId(1), transport: Transport::Tcp, peer: CALLEE.parse().unwrap(), connection: 0 };
    b.input(Input::FlowFailed { flow });
    let by_udp = invites(&b).remove(1);
    assert_eq!(by_udp.via().map(|v| v.transport), Some("UDP"));
    assert_ne!(branch(&by_tcp), branch(&by_udp));
    assert_eq!(by_tcp.call_id(), by_udp.call_id(), "one request, by two ways");
    b.answer(CALLEE, &by_udp, "200 OK", "callee", Some(5000));
    assert_eq!(b.last(CALLER).status(), 200);
    // TCP was refused a moment ago: not tried again at once.
    b.sent.clear();
    b.receive(CALLER, request("INVITE", 2, 1, "", &sdp(4000)));
    assert_eq!(invites(&b)[0].via().map(|v| v.transport), Some("UDP"));
    // Who says UDP gets UDP.
    let mut setup = self::setup(&DIAL.replace("127.0.0.1:7000", "127.0.0.1:7000;transport=udp"));
    tcp_listener(&mut setup);
    let mut b = Bench::with(setup);
    b.receive(CALLER, request("INVITE", 3, 1, "", &sdp(4000)));
    assert_eq!(invites(&b)[0].via().map(|v| v.transport), Some("UDP"));
}

#[test]
fn a_peer_is_told_the_address_by_which_it_knows_us() {
    let far: SocketAddr = "198.51.100.7:7000".parse().unwrap();
    let check = |callee: &str, want: &str| {
        let mut setup = setup(&DIAL.replace(CALLEE, callee));
        let config = Arc::make_mut(&mut setup.config);
        config.sip.external_address = Some([203, 0, 113, 5].into());
        config.sip.reach.local_nets = vec![Network { address: [127, 0, 0, 0].into(), prefix: 8 }];
        let mut b = Bench::with(setup);
        b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
        let invite = b.last(callee).clone();
        assert_eq!(invite.via().map(|v| v.host), Some(want));
        assert_eq!(invite.contact().and_then(|c| c.parsed_uri()).map(|u| u.host.to_owned()).as_deref(), Some(want));
        let body = String::from_utf8(invite.body().to_vec()).unwrap();
        assert!(body.contains(&format!("c=IN IP4 {want}\r\n")), "{body}");
        b.answer(callee, &invite, "200 OK", "callee", Some(5000));
        let ok = b.last(CALLER).clone();
        let body = String::from_utf8(ok.body().to_vec()).unwrap();
        assert!(body.contains("c=IN IP4 127.0.0.1\r\n"), "the caller is near: {body}");
        assert_eq!(ok.contact().map(|c| c.uri), Some("sip:127.0.0.1:5060"));
    };
    check(&far.to_string(), "203.0.113.5");
    check(CALLEE, "127.0.0.1");
}

#[test]
fn of_several_listeners_the_nearest_speaks() {
    let mut setup = setup(DIAL);
    setup.listeners.clear();
    for (n, local) in ["203.0.113.5:5060", "10.0.0.5:5060", "192.168.1.5:5060", "127.0.0.1:5060", "[2001:db8::5]:5060"]
        .into_iter()
        .enumerate()
    {
        let local: SocketAddr = local.parse().unwrap();
        let id = ListenerId(n as u16);
        setup.listeners.push(Listener { id, transport: Transport::Udp, local, advertised: local });
    }
    let nets = ["10.0.0.0", "192.168.0.0", "127.0.0.0"].map(|net| Network { address: net.parse().unwrap(), prefix: 8 });
    Arc::make_mut(&mut setup.config).sip.reach.local_nets = nets.to_vec();
    let b = Bench::with(setup);
    for (peer, want) in [
        ("198.51.100.1:5060", Some(0)),
        ("8.8.8.8:5060", Some(0)),
        ("10.9.9.9:5060", Some(1)),
        ("192.168.1.77:5060", Some(2)),
        ("127.0.0.9:5060", Some(3)),
        ("[2001:db8::9]:5060", Some(4)),
    ] {
        let flow = b.switch.world.ep.flow_to_address(peer.parse().unwrap(), Transport::Udp);
        assert_eq!(flow.map(|f| f.listener.0), want, "{peer}");
    }
}
