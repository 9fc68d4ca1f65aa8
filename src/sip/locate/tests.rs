//! Zones in, hops out.

use super::*;
use crate::base::rng::Rng;

/// A zone: lines of `name kind data`; `!name kind` is a server that fails.
fn zone(text: &str, question: &Question) -> Answer {
    let mut records = Vec::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let kind = match words[1] {
            "NAPTR" => Kind::Naptr,
            "SRV" => Kind::Srv,
            "A" => Kind::A,
            "AAAA" => Kind::Aaaa,
            other => panic!("{other}"),
        };
        let (is_failing, name) = words[0].strip_prefix('!').map_or((false, words[0]), |n| (true, n));
        if kind != question.kind || name != &*question.name {
            continue;
        }
        if is_failing {
            return Answer::Failed;
        }
        let n = |i: usize| words[i].parse().unwrap();
        records.push(match kind {
            Kind::Naptr => Record::Naptr {
                order: n(2),
                preference: n(3),
                flags: words[4].into(),
                service: words[5].into(),
                replacement: words[6].into(),
            },
            Kind::Srv => {
                Record::Srv { priority: n(2), weight: n(3), port: n(4), target: words[5].trim_end_matches('.').into() }
            }
            Kind::A | Kind::Aaaa => Record::Address(words[2].parse().unwrap()),
        });
    }
    match records.is_empty() {
        true => Answer::Absent { ttl: None },
        false => Answer::Found { records, ttl: Duration::from_secs(60) },
    }
}

const ALL: &[(Transport, bool)] = &[
    (Transport::Udp, true),
    (Transport::Tcp, true),
    (Transport::Tls, true),
    (Transport::Udp, false),
    (Transport::Tcp, false),
];

fn target(uri: &str) -> Target {
    Target::of(&Uri::parse(uri).unwrap()).unwrap()
}

fn at(s: u64) -> Instant {
    Instant::from_micros(s * 1_000_000)
}

/// Asks until nothing is awaited; the hops, and what was asked.
fn settle(locator: &mut Locator, now: Instant, uri: &str, text: &str, rng: &mut Rng) -> (Vec<Hop>, usize) {
    let (target, mut asked) = (target(uri), 0);
    for _ in 0..8 {
        let found = locator.locate(now, &target, ALL, rng);
        let mut progressed = false;
        while let Some(query) = locator.poll() {
            asked += 1;
            progressed = true;
            assert!(locator.answer(now, query.id, zone(text, &query.question)));
        }
        if found.is_complete && !progressed {
            return (found.hops, asked);
        }
    }
    panic!("{uri} is never settled");
}

fn shown(hops: &[Hop]) -> String {
    let one = |h: &Hop| format!("{} {}", h.transport.as_param(), h.address);
    hops.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_host_is_located_as_rfc_3263_says() {
    let full = "
        c.example NAPTR 50 50 s SIPS+D2T _sips._tcp.c.example
        c.example NAPTR 90 50 s SIP+D2T _sip._tcp.c.example
        c.example NAPTR 100 50 s SIP+D2U _sip._udp.c.example
        c.example NAPTR 10 50 u E2U+sip !^.*$!sip:x@y!
        _sips._tcp.c.example SRV 0 1 5061 tls.c.example
        _sip._tcp.c.example SRV 1 0 5060 b.c.example
        _sip._tcp.c.example SRV 0 0 5070 a.c.example
        _sip._udp.c.example SRV 0 0 5080 a.c.example.
        tls.c.example A 10.0.0.9
        a.c.example A 10.0.0.1
        a.c.example AAAA 2001:db8::1
        b.c.example A 10.0.0.2
        c.example A 10.0.0.100";
    let services = "
        _sip._tcp.s.example SRV 0 0 5070 a.s.example
        _sip._udp.s.example SRV 0 0 5080 a.s.example
        a.s.example A 10.0.0.1";
    let check = |zone: &str, uri: &str, want: &str| {
        let hops = settle(&mut Locator::default(), at(0), uri, zone, &mut Rng::from_seed(1)).0;
        assert_eq!(shown(&hops), want, "{uri}");
    };
    // NAPTR decides, all of it in order.
    check(
        full,
        "sip:c.example",
        "tls 10.0.0.9:5061, tcp 10.0.0.1:5070, tcp [2001:db8::1]:5070, tcp 10.0.0.2:5060, udp 10.0.0.1:5080, udp [2001:db8::1]:5080",
    );
    check(full, "sips:c.example", "tls 10.0.0.9:5061");
    // A transport goes to its SRV, a port to the addresses.
    check(full, "sip:c.example;transport=tcp", "tcp 10.0.0.1:5070, tcp [2001:db8::1]:5070, tcp 10.0.0.2:5060");
    check(full, "sip:C.Example.:5099", "udp 10.0.0.100:5099");
    check(full, "sip:c.example:5099;transport=tls", "tls 10.0.0.100:5099");
    check(full, "sip:x@10.9.9.9;transport=tcp", "tcp 10.9.9.9:5060");
    check(full, "sip:x@c.example;maddr=10.9.9.8", "udp 10.9.9.8:5060");
    check(full, "sip:[2001:db8::5]:5062", "udp [2001:db8::5]:5062");
    // Without NAPTR: SRV of what is spoken.
    check(services, "sip:s.example", "udp 10.0.0.1:5080, tcp 10.0.0.1:5070");
    // Without SRV: the addresses.
    check("h.example A 10.0.0.7", "sip:h.example", "udp 10.0.0.7:5060");
    check("h.example A 10.0.0.7", "sips:h.example", "tls 10.0.0.7:5061");
    check("h.example A 10.0.0.7", "sip:h.example;transport=tcp", "tcp 10.0.0.7:5060");
    // A service that is not there, and names that are not.
    check("_sip._udp.n.example SRV 0 0 0 .\nn.example A 10.0.0.1", "sip:n.example;transport=udp", "");
    check("", "sip:nowhere.example", "");
    check("!h.example A", "sip:h.example:5060", "");
    // An order that points nowhere leaves the next.
    check(
        "c.example NAPTR 1 1 s SIP+D2T _sip._tcp.gone.example\nc.example NAPTR 2 1 s SIP+D2U _sip._udp.s.example\n_sip._udp.s.example SRV 0 0 5 a.s.example\na.s.example A 10.0.0.1",
        "sip:c.example",
        "udp 10.0.0.1:5",
    );
    assert!(Target::of(&Uri::parse("sip:a;transport=sctp").unwrap()).is_none());
    assert!(Target::of(&Uri::parse("sips:a;transport=udp").unwrap()).is_none());
}

#[test]
fn weights_are_kept_over_many_requests_and_priorities_always() {
    let zone = "
        _sip._udp.w.example SRV 10 60 1 a.w.example
        _sip._udp.w.example SRV 10 30 2 a.w.example
        _sip._udp.w.example SRV 10 10 3 a.w.example
        _sip._udp.w.example SRV 20 1000 4 a.w.example
        a.w.example A 10.0.0.1";
    let (mut locator, mut rng) = (Locator::default(), Rng::from_seed(7));
    let mut first = [0u32; 5];
    for n in 0..10_000 {
        let (hops, asked) = settle(&mut locator, at(0), "sip:w.example;transport=udp", zone, &mut rng);
        assert!(asked == 0 || n == 0, "answers are kept");
        let ports: Vec<u16> = hops.iter().map(|h| h.address.port()).collect();
        assert_eq!((ports.len(), ports[3]), (4, 4), "all of one priority come before the next");
        first[usize::from(ports[0])] += 1;
    }
    for (port, want) in [(1, 6_000), (2, 3_000), (3, 1_000)] {
        assert!(first[port].abs_diff(want) < 200, "{first:?}");
    }
}

#[test]
fn answers_live_as_long_as_they_say_and_longer_while_nobody_answers() {
    let (old, new) = ("h.example A 10.0.0.1", "h.example A 10.0.0.2");
    let (mut locator, mut rng) = (Locator::default(), Rng::from_seed(1));
    let mut look = |s: u64, zone: &str| {
        let (hops, asked) = settle(&mut locator, at(s), "sip:h.example:5060", zone, &mut rng);
        (shown(&hops), asked)
    };
    let (one, two) = ("udp 10.0.0.1:5060".to_owned(), "udp 10.0.0.2:5060".to_owned());
    assert_eq!(look(0, old).0, one);
    assert_eq!(look(59, new), (one, 0), "within its TTL");
    assert_eq!(look(60, new).0, two, "the address has changed");
    let down = "!h.example A\n!h.example AAAA";
    assert_eq!(look(120, down).0, two, "stale, while the server is down");
    assert_eq!(look(121, down), (two.clone(), 0), "and not asked at once again");
    assert_eq!(look(123, down).0, two);
    assert_eq!(look(200, "").0, "", "there is no such name any more");
    assert_eq!(look(230, new).1, 0, "which is remembered");
    assert_eq!(look(260, new).0, two);
    assert_eq!(look(260 + 60 + 86_401, down).0, "", "too old to be true");
}

#[test]
fn what_failed_is_tried_last_until_it_is_forgiven() {
    let zone =
        "_sip._udp.f.example SRV 0 0 1 a.f.example\n_sip._udp.f.example SRV 1 0 2 a.f.example\na.f.example A 10.0.0.1";
    let (mut locator, mut rng) = (Locator::default(), Rng::from_seed(1));
    let uri = "sip:f.example;transport=udp";
    let mut ports = |locator: &mut Locator, s: u64| -> Vec<u16> {
        settle(locator, at(s), uri, zone, &mut rng).0.iter().map(|h| h.address.port()).collect()
    };
    assert_eq!(ports(&mut locator, 0), [1, 2]);
    let hop = Hop { transport: Transport::Udp, address: ([10, 0, 0, 1], 1).into() };
    locator.failed(at(1), hop, None);
    assert_eq!(ports(&mut locator, 2), [2, 1]);
    assert_eq!(ports(&mut locator, 31), [1, 2], "30 s later it may try again");
    locator.failed(at(32), hop, None);
    locator.reached(hop);
    assert_eq!(ports(&mut locator, 33), [1, 2], "it has answered");
}
