//! The program in the kernel against [`Model`]: what it passes on, and how. Where the system refuses programs, they say so.

use super::*;
use crate::base::rng::Rng;
use crate::media::forward::Model;
use crate::rtp::packet::Fields;
use crate::rtp::stats::Scatter;
use mailbox::LETTERS;
use program::{DONE, NEXT, REDIRECT};

const PORTS: (u16, u16) = (30_000, 30_099);
const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

struct Bench {
    program: OwnedFd,
    kernel: Arc<Kernel>,
}

fn bench() -> Option<Bench> {
    let made = || -> io::Result<Bench> {
        let (entries, boxes) = (Shared::new(50)?, Boxes::new(50)?);
        let setup = Setup { map: entries.fd(), boxes: boxes.fd(), first_port: PORTS.0, entries: 50, loopback: 1 };
        let program = system::load(&program::program(setup).unwrap())?;
        let (interfaces, links) = Default::default();
        let kernel = Kernel { entries, boxes, first_port: PORTS.0, interfaces, links, offset: 0 };
        Ok(Bench { program, kernel: Arc::new(kernel) })
    };
    match made() {
        Ok(bench) => Some(bench),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            println!("SKIPPED: this system refuses programs of ours: {error}");
            None
        }
        Err(error) => panic!("the kernel refuses the program: {error}"),
    }
}

/// The sum of the Internet (RFC 1071); 0 over what is right, its own included.
fn internet_sum(parts: &[&[u8]]) -> u16 {
    let words = parts
        .iter()
        .flat_map(|part| part.chunks(2))
        .map(|w| u32::from(u16::from_be_bytes([w[0], w.get(1).copied().unwrap_or(0)])));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

fn udp_sum(packet: &[u8]) -> u16 {
    internet_sum(&[&packet[26..34], &[0, 17], &packet[38..40], &packet[34..]])
}

fn datagram(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let mut p = vec![0; 42];
    p[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    p[12..14].copy_from_slice(&[8, 0]);
    p[14] = 0x45;
    p[16..18].copy_from_slice(&(28 + payload.len() as u16).to_be_bytes());
    p[18..20].copy_from_slice(&[0x12, 0x34]);
    (p[20], p[22], p[23]) = (0x40, 57, 17);
    p[26..30].copy_from_slice(&from.ip().octets());
    p[30..34].copy_from_slice(&to.ip().octets());
    p[34..36].copy_from_slice(&from.port().to_be_bytes());
    p[36..38].copy_from_slice(&to.port().to_be_bytes());
    p[38..40].copy_from_slice(&(8 + payload.len() as u16).to_be_bytes());
    p.extend(payload);
    let sum = internet_sum(&[&p[14..34]]);
    p[24..26].copy_from_slice(&sum.to_be_bytes());
    let sum = udp_sum(&p);
    p[40..42].copy_from_slice(&sum.to_be_bytes());
    p
}

fn at(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(HERE, port)
}

fn forward(rng: &mut Rng) -> Forward {
    let fields = |rng: &mut Rng| Fields {
        marker: false,
        payload_type: rng.below(128) as u8,
        sequence: rng.next_u32() as u16,
        timestamp: rng.next_u32(),
        ssrc: rng.next_u32(),
    };
    let scatter = Scatter { arrived: Instant::ZERO, estimate_16us: 1_600, max_us: 100, sum_us: 9, count: 9 };
    Forward {
        port: 0,
        by: 1,
        source: at(4_000).into(),
        to: at(5_000).into(),
        comes: fields(rng),
        leaves: fields(rng),
        step: 160,
        clock_rate: 8_000,
        scatter,
    }
}

/// What a peer may send in place of the packet that is due: most often just that.
fn packet(rng: &mut Rng, f: &Forward, n: u32) -> (u16, u16, Vec<u8>) {
    let (mut fields, mut source, mut target) = (f.comes, 4_000, 30_010);
    fields.sequence = fields.sequence.wrapping_add(n as u16);
    fields.timestamp = fields.timestamp.wrapping_add(n.wrapping_mul(f.step));
    let what = rng.below(24);
    match what {
        0 => fields.sequence = fields.sequence.wrapping_add(1),
        1 => fields.sequence = fields.sequence.wrapping_sub(1),
        2 => fields.timestamp ^= 1 << rng.below(32),
        3 => fields.ssrc ^= 1 << rng.below(32),
        4 => fields.marker = true,
        5 => fields.payload_type ^= 1,
        6 => source = 4_001,
        7 => target = 30_012,
        _ => {}
    }
    let mut payload = vec![0; 12 + rng.below(200) as usize];
    fields.write(&mut payload);
    payload.iter_mut().skip(12).for_each(|b| *b = rng.next_u32() as u8);
    match what {
        8 => payload[0] |= 0x20,
        9 => payload[0] |= 0x10,
        10 => payload[0] |= 1,
        11 => payload.truncate(rng.below(12) as usize),
        _ => {}
    }
    (source, target, payload)
}

#[test]
fn the_kernel_passes_on_what_the_model_does() {
    let Some(bench) = bench() else { return };
    let mut rng = Rng::from_seed(0x466f_7277);
    for round in 0..60 {
        let f = forward(&mut rng);
        let exit = Exit { from: at(30_020), interface: 0 };
        let local = if round % 2 == 0 { HERE } else { Ipv4Addr::UNSPECIFIED };
        let entry = bench.kernel.entries.get(5).unwrap();
        let plan = Plan::new(&f, at(4_000), local, at(5_000), exit, TRAFFIC_CLASS);
        // SAFETY: one thread.
        unsafe { entry.arm(plan, &f, 0) };
        let mut model = Model::new(f);
        for _ in 0..60 {
            let (source, target, payload) = packet(&mut rng, &f, model.passed.packets);
            let sent = datagram(at(source), at(target), &payload);
            let (answer, came) = system::test_run(&bench.program, &sent).unwrap();
            let mut expected = payload.clone();
            let passes = target == 30_010 && model.pass(Instant::ZERO, at(source).into(), &mut expected);
            if !passes {
                assert_eq!((answer as i32, &came), (NEXT, &sent));
                continue;
            }
            assert_eq!(answer, REDIRECT);
            assert_eq!(came[14..34].to_vec(), {
                let mut ip = datagram(at(30_020), at(5_000), &expected)[14..34].to_vec();
                (ip[1], ip[8]) = (TRAFFIC_CLASS, 64);
                (ip[10], ip[11]) = (0, 0);
                let sum = internet_sum(&[&ip]);
                ip[10..12].copy_from_slice(&sum.to_be_bytes());
                ip
            });
            assert_eq!((&came[34..38], &came[42..]), (&datagram(at(30_020), at(5_000), &[])[34..38], &expected[..]));
            assert_eq!(udp_sum(&came), 0, "the sum is right");
        }
        let passed = entry.passed(true, 0);
        assert_eq!((passed.packets, passed.octets), (model.passed.packets, model.passed.octets));
        assert!(passed.packets > 10, "{passed:?}");
        let sent = datagram(at(4_000), at(30_010), &packet(&mut Rng::from_seed(1), &f, passed.packets).2);
        assert_eq!(system::test_run(&bench.program, &sent).unwrap().0 as i32, NEXT, "nothing after the end");
        assert_eq!(entry.passed(false, 0).packets, passed.packets);
    }
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let Some(bench) = bench() else { return };
    let mut rng = Rng::from_seed(7);
    let f = forward(&mut rng);
    let plan = Plan::new(&f, at(4_000), HERE, at(5_000), Exit { from: at(30_020), interface: 0 }, 0);
    // SAFETY: one thread.
    unsafe { bench.kernel.entries.get(5).unwrap().arm(plan, &f, 0) };
    let mut payload = [0; 172];
    f.comes.write(&mut payload);
    let good = datagram(at(4_000), at(30_010), &payload);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = good.clone();
        change(&mut packet);
        packet
    };
    let others = [
        changed(&|p| p[13] = 6),
        changed(&|p| p[14] = 0x46),
        changed(&|p| p[20] = 0x20),
        changed(&|p| p[21] = 1),
        changed(&|p| p[23] = 6),
        changed(&|p| p[29] = 2),
        changed(&|p| p[33] = 2),
        changed(&|p| p[17] -= 1),
        changed(&|p| p[39] += 1),
        changed(&|p| p.truncate(p.len() - 1)),
        changed(&|p| p.truncate(53)),
        datagram(at(4_000), at(29_998), &payload),
        datagram(at(4_000), at(30_011), &payload),
        datagram(at(4_000), at(30_100), &payload),
        datagram(at(4_000), at(1), &payload),
        datagram(at(4_000), at(65_534), &payload),
    ];
    for (n, packet) in others.iter().enumerate() {
        let (answer, after) = system::test_run(&bench.program, packet).unwrap();
        assert_eq!((answer as i32, &after), (NEXT, packet), "packet {n}");
    }
    assert_eq!(system::test_run(&bench.program, &good).unwrap().0, REDIRECT);
    // Without a sum it has none afterwards; a wrong one stays wrong by as much.
    let due = |n: u16| {
        let mut payload = payload;
        let next = Fields {
            sequence: f.comes.sequence.wrapping_add(n),
            timestamp: f.comes.timestamp.wrapping_add(160 * u32::from(n)),
            ..f.comes
        };
        next.write(&mut payload);
        datagram(at(4_000), at(30_010), &payload)
    };
    let mut bare = due(1);
    bare[40..42].copy_from_slice(&[0, 0]);
    assert_eq!(system::test_run(&bench.program, &bare).unwrap().1[40..42], [0, 0]);
    let mut damaged = due(2);
    damaged[60] ^= 1;
    let (answer, after) = system::test_run(&bench.program, &damaged).unwrap();
    assert_eq!((answer, udp_sum(&after) == 0), (REDIRECT, false));
}

/// A peer's packet number `n`, of a length of its own.
fn spoken(n: u32) -> Vec<u8> {
    let mut payload: Vec<u8> = (0..12 + n * 7 % 221).map(|i| (i * 31 + n) as u8).collect();
    payload[0] = 0x80;
    payload
}

fn taken(collector: &mut Collector) -> Vec<(u32, Vec<u8>)> {
    let mut bytes = [0; LETTER_MAX];
    let mut found = Vec::new();
    while let Some(Collected { port, source, at: moment, length }) = collector.take(&mut bytes) {
        assert_eq!(source, at(4_000).into());
        assert!(moment > Instant::ZERO);
        found.push((port, bytes[..length].to_vec()));
    }
    found
}

#[test]
fn what_waits_is_collected_in_its_order_and_the_rest_comes_by_the_socket() {
    let Some(bench) = bench() else { return };
    let mut collector = Collector::new(bench.kernel.clone());
    let run = |packet: &[u8]| system::test_run(&bench.program, packet).unwrap().0 as i32;
    let says = |n: u32| run(&datagram(at(4_000), at(30_010), &spoken(n)));
    assert_eq!(says(0), NEXT, "nobody collects");
    collector.open(5, at(30_010), at(4_000), 0);
    let mut rng = Rng::from_seed(0x0042_6f78);
    let (mut waiting, mut next) = (Vec::new(), 0);
    for _ in 0..2_000 {
        if rng.below(3) == 0 {
            collector.look();
            assert_eq!(taken(&mut collector), std::mem::take(&mut waiting));
            continue;
        }
        let has_room = waiting.len() < LETTERS as usize;
        assert_eq!(says(next), if has_room { DONE } else { NEXT });
        waiting.extend(has_room.then(|| (5, spoken(next))));
        next += 1;
    }
    assert!(collector.count() > 1_000);
    collector.look();
    taken(&mut collector);
    let mut long = vec![0x80; LETTER_MAX];
    assert_eq!(run(&datagram(at(4_000), at(30_010), &long)), DONE, "the longest that fits");
    long.push(0);
    for (name, packet) in [
        ("too long", datagram(at(4_000), at(30_010), &long)),
        ("too short", datagram(at(4_000), at(30_010), &[0x80; 11])),
        ("from elsewhere", datagram(at(4_001), at(30_010), &spoken(1))),
        ("to another port", datagram(at(4_000), at(30_012), &spoken(1))),
    ] {
        assert_eq!(run(&packet), NEXT, "{name}");
    }
    let mut damaged = datagram(at(4_000), at(30_010), &spoken(60));
    damaged[60] ^= 1;
    assert_eq!(run(&damaged), DONE);
    collector.look();
    assert_eq!(taken(&mut collector).len(), 1, "what is damaged is not given out");
}

#[test]
fn a_box_that_is_closed_is_read_to_its_end_and_then_anothers() {
    let Some(bench) = bench() else { return };
    let free = |bench: &Bench| std::iter::from_fn(|| bench.kernel.boxes.take()).collect::<Vec<_>>();
    let mut collector = Collector::new(bench.kernel.clone());
    let run = |n: u32| system::test_run(&bench.program, &datagram(at(4_000), at(30_010), &spoken(n))).unwrap().0 as i32;
    collector.open(5, at(30_010), at(4_000), 0);
    assert_eq!([run(1), run(2)], [DONE; 2]);
    collector.close(5);
    assert_eq!(run(3), NEXT);
    collector.open(5, at(30_010), at(4_000), 0);
    assert_eq!(run(4), DONE);
    collector.look();
    assert_eq!(taken(&mut collector), [1, 2, 4].map(|n| (5, spoken(n))));
    collector.look();
    assert_eq!(run(5), DONE);
    collector.forget(5);
    assert_eq!(run(6), NEXT);
    collector.look();
    assert_eq!(taken(&mut collector), [], "the port may be another's already");
    collector.look();
    assert!(!collector.is_open());
    let boxes = free(&bench);
    assert_eq!(boxes.len(), 50, "all are given back");
    boxes.into_iter().for_each(|b| bench.kernel.boxes.give(b));
    // A stream that the kernel passes on is not collected; one that is collected can be given to it.
    let f = forward(&mut Rng::from_seed(3));
    let plan = Plan::new(&f, at(4_000), HERE, at(5_000), Exit { from: at(30_020), interface: 0 }, 0);
    let entry = bench.kernel.entries.get(5).unwrap();
    // SAFETY: one thread.
    unsafe { entry.arm(plan, &f, 0) };
    collector.open(5, at(30_010), at(4_000), 0);
    assert!(!collector.is_open());
    assert_eq!(free(&bench).len(), 50);
}
