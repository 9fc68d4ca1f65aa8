use super::*;
use crate::sip::transport::{ListenerId, Transport};

fn at(s: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(s)
}

fn flow(transport: Transport, port: u16, connection: u64) -> Flow {
    Flow { listener: ListenerId(0), transport, peer: ([192, 0, 2, 1], port).into(), connection }
}

/// A REGISTER: `CALL-ID CSEQ` and header lines, parted by `|`.
fn message(head: &str) -> Message {
    let mut parts = head.split('|').map(str::trim);
    let (call_id, cseq) = parts.next().and_then(|h| h.split_once(' ')).unwrap();
    let headers: String = parts.map(|header| format!("{header}\r\n")).collect();
    let text = format!(
        "REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
         From: <sip:a@x>;tag=f\r\nTo: <sip:a@x>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\n{headers}\
         Content-Length: 0\r\n\r\n"
    );
    Message::parse(text.into()).unwrap()
}

fn verdict(reply: Result<RegisterReply, Fault>) -> String {
    match reply {
        Ok(reply) => reply.contacts.join(", "),
        Err(fault) => {
            let headers: Vec<String> = fault.headers.iter().map(|(n, v)| format!("{} {v}", n.as_str())).collect();
            format!("{} {}", fault.status, headers.join(" ")).trim().to_owned()
        }
    }
}

/// Each row: at which second, what is sent for "a" over UDP, what is answered.
fn check(rows: &[(u64, &str, &str)]) {
    let mut registrar = Registrar::default();
    for (s, head, want) in rows {
        let reply =
            registrar.register(at(*s), "a", &message(head), flow(Transport::Udp, 5060, 0), &mut Rng::from_seed(1));
        assert_eq!(verdict(reply), *want, "at {s}: {head}");
    }
}

#[test]
fn expires_comes_from_the_contact_the_header_or_the_default() {
    check(&[(0, "c 1 | Contact: <sip:a@h>;expires=100 | Expires: 200", "<sip:a@h>;expires=100")]);
    check(&[(0, "c 1 | Contact: sip:a@h | Expires: 200", "<sip:a@h>;expires=200")]);
    check(&[(0, "c 1 | Contact: <sip:a@h>", "<sip:a@h>;expires=3600")]);
    check(&[(0, "c 1 | Contact: <sip:a@h>;expires=soon", "<sip:a@h>;expires=3600")]);
    check(&[(0, "c 1 | Contact: <sip:a@h>;expires=99999999999999999999", "<sip:a@h>;expires=7200")]);
    check(&[(0, "c 1 | Contact: <sip:a@h>;expires=86400", "<sip:a@h>;expires=7200")]);
    check(&[(0, "c 1 | Contact: <sip:a@h>;expires=59", "423 Min-Expires 60")]);
    check(&[(0, "c 1 | Contact: <sip:a@h>;expires=60", "<sip:a@h>;expires=60")]);
}

#[test]
fn a_binding_is_refreshed_queried_removed_and_expires() {
    check(&[
        (0, "c 1", ""),
        (0, "c 2 | Contact: <sip:a@h>;expires=100", "<sip:a@h>;expires=100"),
        (40, "c 3", "<sip:a@h>;expires=60"),
        // Equivalent by §19.1.4.
        (50, "c 4 | Contact: <sip:%61@H>;expires=100", "<sip:%61@H>;expires=100"),
        (149, "c 5", "<sip:%61@H>;expires=1"),
        (150, "c 6", ""),
        (200, "c 7 | Contact: <sip:a@h>", "<sip:a@h>;expires=3600"),
        (200, "c 8 | Contact: <sip:other@h>;expires=0", "<sip:a@h>;expires=3600"),
        (200, "c 9 | Contact: <sip:a@h> | Expires: 0", ""),
    ]);
}

#[test]
fn several_contacts_come_best_first() {
    check(&[
        (
            0,
            "c 1 | Contact: <sip:a@h1>;q=0.5, <sip:a@h2>;q=0.7",
            "<sip:a@h2>;expires=3600;q=0.700, <sip:a@h1>;expires=3600;q=0.500",
        ),
        (
            10,
            "d 1 | Contact: \"Desk, 2\" <sip:a@h3;transport=tcp>;q=0.5;expires=300",
            "<sip:a@h2>;expires=3590;q=0.700, <sip:a@h3;transport=tcp>;expires=300;q=0.500, <sip:a@h1>;expires=3590;q=0.500",
        ),
        (
            10,
            "c 2 | Contact: <sip:a@h2>;expires=0 | m: <sip:a@h1>;expires=60",
            "<sip:a@h1>;expires=60, <sip:a@h3;transport=tcp>;expires=300;q=0.500",
        ),
        // The same one twice: the later word counts.
        (10, "e 1 | Contact: <sip:a@h1>, <sip:a@h1>;expires=0", "<sip:a@h3;transport=tcp>;expires=300;q=0.500"),
    ]);
}

#[test]
fn the_star_removes_all_or_is_refused() {
    check(&[
        (0, "c 1 | Contact: <sip:a@h1>", "<sip:a@h1>;expires=3600"),
        (0, "d 7 | Contact: <sip:a@h2>;q=1.0", "<sip:a@h1>;expires=3600, <sip:a@h2>;expires=3600"),
        (0, "c 2 | Contact: *", "400"),
        (0, "c 2 | Contact: * | Expires: 60", "400"),
        (0, "c 2 | Contact: * | Contact: <sip:a@h1> | Expires: 0", "400"),
        // Older than what one of the bindings has seen: nothing is removed.
        (0, "d 6 | Contact: * | Expires: 0", "500"),
        (0, "d 8 | Contact: <sip:a@h2>", "<sip:a@h1>;expires=3600, <sip:a@h2>;expires=3600"),
        (0, "e 1 | Contact: * | Expires: 0", ""),
        (0, "e 1 | Contact: * | Expires: 0", ""),
    ]);
}

#[test]
fn a_late_request_does_not_undo_a_newer_one() {
    check(&[
        (0, "c 5 | Contact: <sip:a@h1>", "<sip:a@h1>;expires=3600"),
        (1, "c 5 | Contact: <sip:a@h1>;expires=0", "500"),
        (1, "c 4 | Contact: <sip:a@h2>, <sip:a@h1>;expires=60", "500"),
        (1, "c 4", "<sip:a@h1>;expires=3599"),
        // Another Call-ID: the phone has restarted.
        (1, "d 1 | Contact: <sip:a@h1>;expires=60", "<sip:a@h1>;expires=60"),
    ]);
}

#[test]
fn one_instance_takes_one_place() {
    let i = "+sip.instance=\"<urn:uuid:1>\"";
    let j = "+sip.instance=\"<urn:uuid:2>\"";
    check(&[
        (0, &format!("c 1 | Contact: <sip:a@h:1>;{i}"), &format!("<sip:a@h:1>;expires=3600;{i}")),
        // Restarted, behind another port.
        (9, &format!("d 1 | Contact: <sip:a@h:2>;{i}"), &format!("<sip:a@h:2>;expires=3600;{i}")),
        (9, &format!("e 1 | Contact: <sip:a@h:1>;{i};expires=0"), &format!("<sip:a@h:2>;expires=3600;{i}")),
        (
            9,
            &format!("e 2 | Contact: <sip:a@h:1>;{j};expires=60"),
            &format!("<sip:a@h:2>;expires=3600;{i}, <sip:a@h:1>;expires=60;{j}"),
        ),
    ]);
    let out = "Supported: path, outbound";
    check(&[
        (
            0,
            &format!("c 1 | {out} | Contact: <sip:a@h:1>;{i};reg-id=1"),
            &format!("<sip:a@h:1>;expires=3600;{i};reg-id=1"),
        ),
        (
            5,
            &format!("d 1 | {out} | Contact: <sip:a@h:1>;{i};reg-id=2"),
            &format!("<sip:a@h:1>;expires=3600;{i};reg-id=2, <sip:a@h:1>;expires=3595;{i};reg-id=1"),
        ),
        (
            6,
            &format!("c 2 | {out} | Contact: <sip:a@h:7>;{i};reg-id=1;expires=60"),
            &format!("<sip:a@h:7>;expires=60;{i};reg-id=1, <sip:a@h:1>;expires=3599;{i};reg-id=2"),
        ),
    ]);
    // Without outbound there is no reg-id.
    check(&[(0, &format!("c 1 | Contact: <sip:a@h>;{i};reg-id=1"), &format!("<sip:a@h>;expires=3600;{i}"))]);
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let long = format!("c 1 | Contact: <sip:{}@h>", "a".repeat(1100));
    let rows = [
        ("c 1 | Contact: <sip:a@h", "400"),
        ("c 1 | Contact: <mailto:a@h>", "400"),
        ("c 1 | Contact: <>", "400"),
        (long.as_str(), "400"),
    ];
    for row in rows {
        check(&[(0, row.0, row.1)]);
    }
}

#[test]
fn contacts_are_limited_by_address_and_in_all() {
    let limits = Limits { contacts_per_aor: 2, bindings_max: 3, ..Limits::default() };
    let mut registrar = Registrar::new(limits);
    let rows = [
        ("a", "c 1 | Contact: <sip:1@h>, <sip:2@h>, <sip:3@h>", "403"),
        ("a", "c 1 | Contact: <sip:1@h>, <sip:2@h>", ""),
        ("a", "c 2 | Contact: <sip:3@h>", "403"),
        ("a", "c 3 | Contact: <sip:3@h>, <sip:2@h>;expires=0", ""),
        ("b", "c 1 | Contact: <sip:1@h>", ""),
        ("b", "c 2 | Contact: <sip:2@h>", "503 Retry-After 60"),
        ("b", "c 3 | Contact: <sip:1@h>", ""),
        ("b", "c 4 | Contact: <sip:1@h>;expires=0", ""),
        ("c", "c 1 | Contact: <sip:1@h>", ""),
    ];
    for (aor, head, want) in rows {
        let reply =
            registrar.register(at(0), aor, &message(head), flow(Transport::Udp, 5060, 0), &mut Rng::from_seed(1));
        let got = if reply.is_ok() { String::new() } else { verdict(reply) };
        assert_eq!(got, want, "{aor}: {head}");
    }
    assert_eq!(registrar.counts(), (3, 2));
    let all: Vec<String> = registrar.iter().map(|(aor, _, b)| format!("{aor} {}", b.contact.expose())).collect();
    assert_eq!(all, ["a sip:1@h", "a sip:3@h", "c sip:1@h"]);
}

/// "+a" added, "-a Why" gone.
fn changes(registrar: &mut Registrar) -> String {
    let mut out = Vec::new();
    while let Some(change) = registrar.poll() {
        out.push(match change {
            Change::Added { aor, .. } => format!("+{aor}"),
            Change::Gone { aor, why, .. } => format!("-{aor} {why:?}"),
        });
    }
    out.join(" ")
}

#[test]
fn changes_are_told_and_refreshes_are_not() {
    let mut registrar = Registrar::default();
    let udp = flow(Transport::Udp, 5060, 0);
    assert_eq!(registrar.deadline(), None);
    for (s, aor, head, want) in [
        (0, "a", "c 1 | Contact: <sip:1@h>;expires=60", "+a"),
        (0, "b", "c 1 | Contact: <sip:1@h>;expires=90, <sip:2@h>;expires=80", "+b +b"),
        (30, "a", "c 2 | Contact: <sip:1@h>;expires=60", ""),
        (30, "b", "c 2 | Contact: <sip:1@h>;expires=0", "-b Unregistered"),
    ] {
        registrar.register(at(s), aor, &message(head), udp, &mut Rng::from_seed(1)).unwrap();
        assert_eq!(changes(&mut registrar), want, "{head}");
    }
    assert_eq!(registrar.deadline(), Some((at(80), "registration expires")));
    registrar.handle_timeout(at(79));
    assert_eq!(changes(&mut registrar), "");
    registrar.handle_timeout(at(80));
    assert_eq!(changes(&mut registrar), "-b Expired");
    assert_eq!(registrar.remove_aor("a"), 1);
    assert_eq!(changes(&mut registrar), "-a Removed");
    assert_eq!((registrar.deadline(), registrar.counts()), (None, (0, 0)));
}

#[test]
fn a_call_goes_back_over_the_flow_and_a_closed_one_takes_its_bindings() {
    let mut registrar = Registrar::default();
    let (old, new) = (flow(Transport::Tcp, 40001, 7), flow(Transport::Tcp, 40002, 8));
    let udp = flow(Transport::Udp, 40003, 0);
    for (aor, head, flow) in [
        ("a", "c 1 | Contact: <sip:a@10.0.0.5>", old),
        ("b", "c 1 | Contact: <sip:b@10.0.0.6>", old),
        ("c", "c 1 | Contact: <sip:c@10.0.0.7>", udp),
        // The phone has connected again.
        ("a", "c 2 | Contact: <sip:a@10.0.0.5>", new),
    ] {
        registrar.register(at(0), aor, &message(head), flow, &mut Rng::from_seed(1)).unwrap();
    }
    assert_eq!(registrar.lookup(at(0), "a")[0].flow, new);
    assert_eq!(registrar.lookup(at(0), "c")[0].flow, udp);
    changes(&mut registrar);
    registrar.flow_failed(old);
    registrar.flow_failed(udp);
    assert_eq!(changes(&mut registrar), "-b FlowClosed");
    assert_eq!((registrar.lookup(at(0), "a").len(), registrar.lookup(at(0), "b").len()), (1, 0));
    registrar.flow_failed(new);
    registrar.handle_timeout(at(9999));
    assert_eq!((registrar.counts(), registrar.by_flow.len(), registrar.timers.len()), ((0, 0), 0, 0));
}

#[test]
fn path_and_outbound_are_answered() {
    let head = "c 1 | Supported: outbound, path | Path: <sip:p1;lr>, <sip:p2;lr> | User-Agent: phone/1 | \
                Contact: <sip:a@h>;+sip.instance=\"<urn:uuid:1>\";reg-id=1";
    let mut registrar = Registrar::default();
    let reply =
        registrar.register(at(0), "a", &message(head), flow(Transport::Udp, 5060, 0), &mut Rng::from_seed(1)).unwrap();
    let headers: Vec<String> = reply.headers().map(|(name, value)| format!("{}: {value}", name.as_str())).collect();
    let want = [
        "Contact: <sip:a@h>;expires=3600;+sip.instance=\"<urn:uuid:1>\";reg-id=1",
        "Path: <sip:p1;lr>",
        "Path: <sip:p2;lr>",
        "Require: outbound",
        "Flow-Timer: 25",
    ];
    assert_eq!(headers, want);
    let binding = registrar.lookup(at(0), "a")[0];
    assert_eq!((binding.path.len(), binding.user_agent.as_str()), (2, "phone/1"));
}

/// What a 200 gives as temporary GRUUs, and all it says without them.
fn gruus(reply: &RegisterReply) -> (Vec<String>, String) {
    let all = reply.contacts.join(", ");
    let temporary: Vec<String> =
        all.split("temp-gruu=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
    let shown = temporary.iter().fold(all, |text, gruu| text.replace(gruu.as_str(), "T"));
    (temporary, shown)
}

#[test]
fn a_phone_is_reached_by_uris_of_its_own() {
    let mut registrar = Registrar::default();
    let mut rng = Rng::from_seed(1);
    let udp = flow(Transport::Udp, 5060, 0);
    let mut register = |registrar: &mut Registrar, s: u64, head: &str| {
        gruus(&registrar.register(at(s), "a", &message(head), udp, &mut rng).unwrap())
    };
    let desk = "Supported: gruu | Contact: <sip:a@h1>;+sip.instance=\"<urn:uuid:1>\"";
    let (first, shown) = register(&mut registrar, 0, &format!("c 1 | {desk}"));
    let want =
        "<sip:a@h1>;expires=3600;+sip.instance=\"<urn:uuid:1>\";pub-gruu=\"sip:a@x;gr=urn:uuid:1\";temp-gruu=\"T\"";
    assert_eq!(shown, want);
    // A phone that does not ask gets none, and neither does one without an instance.
    assert!(
        !register(&mut registrar, 0, "d 1 | Contact: <sip:a@h2>;+sip.instance=\"<urn:uuid:2>\"").1.contains("gruu")
    );
    assert!(
        !register(&mut registrar, 0, "e 1 | Supported: gruu | Contact: <sip:a@h3>;expires=60")
            .1
            .starts_with("<sip:a@h3>;expires=60;pub")
    );
    let (second, _) = register(&mut registrar, 9, &format!("c 2 | {desk}"));
    assert_ne!(first, second, "each REGISTER gives a new one");
    let found = |registrar: &Registrar, uri: &str| {
        let phone = registrar.phone_of(at(9), &Uri::parse(uri).unwrap());
        phone.map(|phone| phone.map_or(String::new(), |(aor, instance)| format!("{aor} {instance}")))
    };
    let here = Ok("a <urn:uuid:1>".to_owned());
    for (uri, want) in [
        ("sip:a@x", Ok(String::new())),
        ("sip:a@x;gr", Ok(String::new())),
        ("sip:a@x;gr=urn:uuid:1", here.clone()),
        ("sip:a@x;gr=URN%3auuid:1", here.clone()),
        ("sip:a@x;gr=urn:uuid:9", Err(480)),
        ("sip:tgruu.0@x;gr", Err(404)),
        (&first[0], here.clone()),
        (&second[0], here.clone()),
    ] {
        assert_eq!(found(&registrar, uri), want, "{uri}");
    }
    // Restarted: what its former life gave away ends.
    let (third, _) = register(&mut registrar, 9, &format!("r 1 | {desk}"));
    assert_eq!((found(&registrar, &second[0]), found(&registrar, &third[0])), (Err(404), here));
    for n in 2..30 {
        register(&mut registrar, 9, &format!("r {n} | {desk}"));
    }
    assert_eq!(found(&registrar, &third[0]), Err(404), "only the newest are kept");
    registrar.remove_aor("a");
    assert_eq!(registrar.temporary.len(), 0);
}

#[test]
fn outbound_needs_a_first_hop_that_keeps_the_flow() {
    let contact = "Supported: outbound | Contact: <sip:a@h>;+sip.instance=\"<urn:uuid:1>\";reg-id=1";
    for (between, want) in [
        ("", true),
        ("Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK2", false),
        ("Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK2 | Path: <sip:p1;lr>", false),
        ("Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK2 | Path: <sip:p1;lr>, <sip:edge;lr;ob>", true),
        ("Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK2 | Path: <sip:p1;lr;ob>, <sip:edge;lr>", false),
    ] {
        let mut registrar = Registrar::default();
        let head = format!("c 1 | {between} | {contact}").replace("|  |", "|");
        let reply =
            registrar.register(at(0), "a", &message(&head), flow(Transport::Tcp, 5060, 3), &mut Rng::from_seed(1));
        assert_eq!(
            reply.map(|r| r.flow_timer).map_err(|f| f.status),
            if want { Ok("120") } else { Err(439) },
            "{between}"
        );
    }
}
