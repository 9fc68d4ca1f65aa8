//! A name server of the tests' own, on loopback, kind or hostile.

use super::*;
use crate::sip::locate::Record;
use simple_dns::rdata::{A, CNAME, RData, SOA, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord};

/// No label may be so long.
const LONG: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example";

type Script = fn(&str, bool) -> Vec<Vec<u8>>;

fn name(text: &str) -> Name<'_> {
    Name::new_unchecked(text)
}

fn found<'a>(owner: &'a str, ttl: u32, data: RData<'a>) -> ResourceRecord<'a> {
    ResourceRecord::new(name(owner), CLASS::IN, ttl, data)
}

fn a(owner: &str, ttl: u32, last: u8) -> ResourceRecord<'_> {
    found(owner, ttl, RData::A(A { address: u32::from_be_bytes([10, 0, 0, last]) }))
}

fn alias<'a>(owner: &'a str, to: &'a str) -> ResourceRecord<'a> {
    found(owner, 50, RData::CNAME(CNAME(name(to))))
}

/// An answer without its number and question, which [`serve`] puts in.
fn says(
    rcode: RCODE,
    flags: PacketFlag,
    answers: Vec<ResourceRecord<'_>>,
    authority: Vec<ResourceRecord<'_>>,
) -> Vec<u8> {
    let mut packet = Packet::new_reply(0);
    packet.set_flags(PacketFlag::RESPONSE | flags);
    *packet.rcode_mut() = rcode;
    (packet.answers, packet.name_servers) = (answers, authority);
    packet.build_bytes_vec().unwrap()
}

fn ok(answers: Vec<ResourceRecord<'_>>) -> Vec<u8> {
    says(RCODE::NoError, PacketFlag::empty(), answers, Vec::new())
}

/// The answer with the question's number and question.
fn fitted(answer: &[u8], question: &[u8]) -> Vec<u8> {
    let Ok(mut packet) = Packet::parse(answer) else { return answer.to_vec() };
    let asked = Packet::parse(question).unwrap();
    packet.set_id(asked.id());
    packet.questions = asked.questions;
    packet.build_bytes_vec().unwrap()
}

/// What the server does with a question: the datagrams (or, by TCP, the first of them) that go back.
fn script(asked: &str, is_tcp: bool) -> Vec<Vec<u8>> {
    let soa = SOA { mname: name("ns"), rname: name("r"), serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 77 };
    match asked {
        "plain.example" => vec![ok(vec![a("plain.example", 300, 1), a("plain.example", 200, 2)])],
        "_sip._udp.plain.example" => {
            let srv = SRV { priority: 1, weight: 2, port: 5070, target: name("a.plain.example") };
            vec![ok(vec![found("_sip._udp.plain.example", 60, RData::SRV(srv))])]
        }
        "alias.example" => vec![ok(vec![alias("alias.example", "b.example"), a("b.example", 100, 3)])],
        "elsewhere.example" => vec![ok(vec![alias("elsewhere.example", "plain.example")])],
        "loop.example" => vec![ok(vec![alias("loop.example", "pool.example"), alias("pool.example", "loop.example")])],
        "ring1.example" => vec![ok(vec![alias("ring1.example", "ring2.example")])],
        "ring2.example" => vec![ok(vec![alias("ring2.example", "ring1.example")])],
        "none.example" => {
            let authority = vec![found("example", 900, RData::SOA(soa))];
            vec![says(RCODE::NameError, PacketFlag::empty(), Vec::new(), authority)]
        }
        "long.example" if is_tcp => vec![ok((0..200).map(|n| a("long.example", 60, n)).collect())],
        "long.example" => vec![says(RCODE::NoError, PacketFlag::TRUNCATION, Vec::new(), Vec::new())],
        "cut.example" => vec![says(RCODE::NoError, PacketFlag::TRUNCATION, Vec::new(), Vec::new())],
        "broken.example" => vec![says(RCODE::ServerFailure, PacketFlag::empty(), Vec::new(), Vec::new())],
        // Garbage, pointers that point at themselves, and then the truth.
        "hostile.example" => vec![
            b"\xff".to_vec(),
            vec![0xc0; 600],
            [&[0, 0, 0x80, 0, 0, 1, 0, 1, 0, 0, 0, 0][..], &[0xc0, 12, 0, 1, 0, 1, 0xc0, 12]].concat(),
            ok(vec![a("hostile.example", 60, 9)]),
        ],
        // What belongs to another name is not taken.
        "poisoned.example" => vec![ok(vec![a("bank.example", 60, 66)])],
        _ => Vec::new(),
    }
}

async fn serve(script: Script) -> SocketAddr {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = udp.local_addr().unwrap();
    let tcp = tokio::net::TcpListener::bind(address).await.unwrap();
    let asked = |question: &[u8]| {
        let packet = Packet::parse(question).unwrap();
        packet.questions[0].qname.to_string()
    };
    tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        while let Ok((n, from)) = udp.recv_from(&mut buffer).await {
            for answer in script(&asked(&buffer[..n]), false) {
                // A forger does not know the number.
                udp.send_to(&answer, from).await.unwrap();
                udp.send_to(&fitted(&answer, &buffer[..n]), from).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut question).await.unwrap();
            for answer in script(&asked(&question), true).into_iter().take(1) {
                let answer = fitted(&answer, &question);
                stream.write_u16(answer.len() as u16).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        }
    });
    address
}

fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Failed => "failed".into(),
        Answer::Absent { ttl } => format!("absent {:?}", ttl.map(|t| t.as_secs())),
        Answer::Found { records, ttl } => {
            let one = |r: &Record| match r {
                Record::Address(ip) => ip.to_string(),
                Record::Srv { port, target, .. } => format!("{target}:{port}"),
                Record::Naptr { replacement, .. } => replacement.to_string(),
            };
            let all: Vec<String> = records.iter().take(3).map(one).collect();
            format!("{} for {}, {} of them", all.join(" "), ttl.as_secs(), records.len())
        }
    }
}

#[tokio::test]
async fn answers_are_read_whatever_else_comes() {
    let servers = vec![serve(script).await];
    let asker = Asker { servers, system: System { resolv: "/nowhere".into(), hosts: "/nowhere".into() } };
    let rows = [
        ("plain.example", Kind::A, "10.0.0.1 10.0.0.2 for 200, 2 of them"),
        ("_sip._udp.plain.example", Kind::Srv, "a.plain.example:5070 for 60, 1 of them"),
        ("alias.example", Kind::A, "10.0.0.3 for 50, 1 of them"),
        ("elsewhere.example", Kind::A, "10.0.0.1 10.0.0.2 for 200, 2 of them"),
        ("loop.example", Kind::A, "failed"),
        ("ring1.example", Kind::A, "failed"),
        ("none.example", Kind::A, "absent Some(77)"),
        ("plain.example", Kind::Aaaa, "absent None"),
        ("long.example", Kind::A, "10.0.0.0 10.0.0.1 10.0.0.2 for 60, 200 of them"),
        ("cut.example", Kind::A, "failed"),
        ("broken.example", Kind::A, "failed"),
        ("hostile.example", Kind::A, "10.0.0.9 for 60, 1 of them"),
        ("poisoned.example", Kind::A, "absent None"),
        ("localhost", Kind::A, "127.0.0.1 for 30, 1 of them"),
        (LONG, Kind::A, "absent None"),
    ];
    for (name, kind, want) in rows {
        let answer = asker.resolve(&Question { name: name.into(), kind }).await;
        assert_eq!(shown(&answer), want, "{name}");
    }
}

#[tokio::test]
async fn a_server_that_is_silent_or_gone_leaves_it_to_the_next() {
    let (silent, kind) = (serve(|_, _| Vec::new()).await, serve(script).await);
    let gone: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let question = Question { name: "plain.example".into(), kind: Kind::A };
    let system = || System { resolv: "/nowhere".into(), hosts: "/nowhere".into() };
    let asker = Asker { servers: vec![gone, silent, kind], system: system() };
    assert_eq!(shown(&asker.resolve(&question).await), "10.0.0.1 10.0.0.2 for 200, 2 of them");
    let asker = Asker { servers: vec![gone], system: system() };
    assert_eq!(shown(&asker.resolve(&question).await), "failed");
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_octets_break_the_reading(mut octets in proptest::collection::vec(any::<u8>(), 0..512), number in any::<u16>()) {
            message::read(&octets, number, "a.example", Kind::A);
            // The same with a head that is ours.
            if let Some(head) = message::write(number, "a.example", Kind::A) {
                let head = fitted(&ok(Vec::new()), &head);
                octets.splice(0..0, head);
                octets[7] = 3;
                message::read(&octets, number, "a.example", Kind::A);
            }
        }
    }
}
