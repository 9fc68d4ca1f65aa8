//! What a seed makes: nodes, peers, dialplan, calls, faults.

use super::legs::{AckStyle, Behaviour, CallPlan, Change};
use super::node::Node;
use super::party::{Key, Kind, Noise, Party};
use super::setup::{DOMAIN, config, dialplan, listeners, node_addresses, trunk, user};
use super::world::{Chaos, What, World};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use tandem::base::rng::Rng;
use tandem::base::time::{Duration, Instant};
use tandem::config::Config;
use tandem::switch::Setup;

/// The last call begins before this, registrations are kept up until it is surely over, and then all must come to rest.
pub const CALLS_END: Duration = Duration::from_secs(60);
pub const REGISTER_END: Duration = Duration::from_secs(180);
pub const REST: Duration = Duration::from_secs(640);

/// The dialplan of a node: every kind of step that moves signalling.
fn rules(rng: &mut Rng, users: &[String], trunks: &[String], direct: bool) -> String {
    let trunks_list = trunks.join(", ");
    let media = if direct { ", media: direct" } else { "" };
    let ringback = if rng.chance(200) && !direct { ", ringback: us" } else { "" };
    let limit = if rng.chance(200) { ", time_limit: 10s" } else { "" };
    let mut targets: Vec<String> = users.iter().map(|u| format!("{{ user: {u} }}")).collect();
    targets.push(format!("{{ number: \"+14155550199\", trunks: [{trunks_list}] }}"));
    let targets = targets.join(", ");
    format!(
        r#"contexts:
  all:
    - match: {{ to: /^(echo|play|pause)$/, from: /0$/ }}
      do: [ {{ conference: {{ name: all, end_on_exit: true, wait: jazz.wav }} }}, {{ play: bye.wav }} ]
    - match: {{ to: /^(echo|play|pause)$/, from: /[1-4]$/ }}
      do: [ answer, {{ conference: {{ name: all, start_on_enter: false, max_participants: 3 }} }}, {{ play: bye.wav }} ]
    - match: {{ to: /^(echo|play|pause)$/, from: /[56]$/ }}
      do: [ {{ enqueue: {{ name: all, wait: jazz.wav, max: 3 }} }}, {{ play: bye.wav }} ]
    - match: {{ to: /^(echo|play|pause|early)$/, from: /[78]$/ }}
      do: [ {{ dial: {{ queue: all, timeout: 9s{limit} }}, on: {{ answered: [ {{ enqueue: all }} ] }} }}, {{ play: bye.wav }} ]
    - match: {{ to: echo }}
      do: [ answer, echo ]
    - match: {{ to: play }}
      do: [ answer, {{ play: welcome.wav }}, {{ play: bye.wav }} ]
    - match: {{ to: early }}
      do: [ {{ tone: {{ name: ringback, duration: 2s }} }}, {{ reject: busy }} ]
    - match: {{ to: reject }}
      do: [ {{ reject: 603 }} ]
    - match: {{ to: pause }}
      do: [ answer, {{ pause: 3s }}, hangup ]
    - match: {{ to: group }}
      do: [ {{ dial: {{ group: {{ strategy: simultaneous, targets: [ {targets} ] }}, timeout: 12s{ringback} }} }} ]
    - match: {{ to: hunt }}
      do: [ {{ dial: {{ group: {{ strategy: sequential, targets: [ {targets} ] }}, timeout: 4s{ringback}{limit} }} }} ]
    - match: {{ to: answered }}
      do:
        - answer
        - play: please-wait.wav
        - dial: {{ number: "+14155550111", trunks: [{trunks_list}], timeout: 10s{limit} }}
        - play: sorry.wav
    - match: {{ to: /^u\d+$/ }}
      do:
        - dial: {{ user: "${{to}}", timeout: 15s{ringback} }}
          on:
            busy: [ {{ play: busy.wav }} ]
            no_answer: [ {{ dial: {{ number: "+14155550122", trunks: [{trunks_list}], timeout: 10s }} }} ]
    - match: {{ to: /^9(\d+)$/ }}
      do: [ {{ dial: {{ number: "+$1", trunks: [{trunks_list}], timeout: 20s{ringback}{limit}{media} }} }} ]
    - match: {{ to: /^7(\w+)$/ }}
      do: [ {{ dial: {{ number: "$1", trunks: [{trunks_list}], timeout: 20s }} }} ]
    - match: {{ to: /^\+/ }}
      do: [ {{ dial: {{ number: "${{to}}", trunks: [{trunks_list}] }} }} ]
"#
    )
}

fn seconds(rng: &mut Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(1000 * from + rng.below(1000 * (to - from) + 1))
}

pub fn sample(seed: u64) -> World {
    let mut w = World::new(seed);
    let mut rng = w.rng.fork();
    let lossless = rng.chance(400);
    w.net.delay_us = 500 + rng.below(40_000);
    w.net.jitter_us = rng.below(20_000);
    if !lossless {
        w.net.loss = rng.below(100) as u32;
        w.net.twice = rng.below(60) as u32;
        w.net.late = rng.below(60) as u32;
    }
    let node_count = if rng.chance(150) { 2 } else { 1 };
    let direct = rng.chance(100);
    w.books.direct = direct;
    let mut setups: Vec<(Config, Vec<String>)> =
        (0..node_count).map(|n| (config(&format!("node{n}"), &node_addresses(n)), Vec::new())).collect();
    for i in 0..1 + rng.below(3) as usize {
        add_carrier(&mut w, &mut rng, i, &mut setups, lossless);
    }
    for j in 0..rng.below(5) as usize {
        add_phone(&mut w, &mut rng, j, &mut setups, lossless);
    }
    for (n, (mut config, users)) in setups.into_iter().enumerate() {
        let mut node_rng = rng.fork();
        if node_count > 1 {
            config.trunks.push(trunk("peer", node_addresses(1 - n)[0], false, None));
        }
        // A world has few messages, so late is slow here: from 100 ms on, and all is refused at half a second.
        config.sip.guard.late = Duration::from_secs(1);
        // Digits are secret in some worlds: each is sealed, and told to its action alone.
        config.pci = seed % 10 == 3;
        sample_limits(&mut config, &mut node_rng);
        let trunks: Vec<String> = config.trunks.iter().map(|t| t.name.clone()).collect();
        let text = rules(&mut node_rng, &users, &trunks, direct) + super::app::RULE;
        let addresses = node_addresses(n);
        let setup = Setup {
            config: Arc::new(config),
            dialplan: dialplan(&text),
            rates: Arc::default(),
            listeners: listeners(&addresses),
        };
        let media = [addresses[0].ip(), addresses[2].ip()];
        let ports = if node_rng.chance(100) { 3 } else { 200 };
        w.nodes.push(Node::new(&format!("node{n}"), addresses, media, ports, setup, node_rng));
    }
    sample_calls(&mut w, &mut rng);
    sample_faults(&mut w, &mut rng);
    sample_transfers(&mut w, seed);
    super::app::sample(&mut w, seed);
    w
}

/// Callers that transfer whom they called. Drawn apart, so that the seeds of before make the worlds of before but for this.
fn sample_transfers(w: &mut World, seed: u64) {
    let mut rng = Rng::from_seed(seed ^ 0x7265_6665_7221);
    for call in w.parties.iter_mut().flat_map(|p| &mut p.calls) {
        if rng.chance(200) {
            let change = if rng.chance(400) { Change::Attend } else { Change::Transfer(rng.below(8) as u8) };
            call.reinvites.push((seconds(&mut rng, 0, 12), change));
        }
    }
}

fn sample_limits(config: &mut Config, rng: &mut Rng) {
    if rng.chance(200) {
        config.limits.calls = 1 + rng.below(4) as u32;
    }
    if rng.chance(100) {
        config.limits.cps = 1 + rng.below(3) as u32;
    }
    if rng.chance(200) {
        config.limits.call_duration = seconds(rng, 5, 40);
    }
    for t in &mut config.trunks {
        if rng.chance(200) {
            t.calls_max = 1 + rng.below(2) as u32;
        }
        if rng.chance(300) {
            t.options_ping = Some(Duration::from_secs(10 + rng.below(30)));
        }
    }
}

fn add_carrier(w: &mut World, rng: &mut Rng, i: usize, setups: &mut [(Config, Vec<String>)], lossless: bool) {
    let home = rng.below(setups.len() as u64) as usize;
    let home = if i == 0 { 0 } else { home };
    let v6 = rng.chance(150);
    let at: SocketAddr = match v6 {
        true => format!("[fd00:9::{}]:5060", 10 + i).parse().expect("an address"),
        false => SocketAddr::from(([10, 9, 1, 10 + i as u8], 5060)),
    };
    let auth = rng.chance(250).then(|| (format!("acc{i}"), format!("pw{i}")));
    let is_stream = rng.chance(200);
    let name = format!("carrier{i}");
    setups[home].0.trunks.push(trunk(&name, at, is_stream, auth.clone()));
    join(w, rng, Kind::Carrier { challenges: auth }, &name, (at, at), home, is_stream, lossless);
}

fn add_phone(w: &mut World, rng: &mut Rng, j: usize, setups: &mut [(Config, Vec<String>)], lossless: bool) {
    let home = rng.below(setups.len() as u64) as usize;
    let nat = rng.chance(300);
    // Two phones of one user, at times.
    let user_name = if j == 3 { "u0".to_string() } else { format!("u{j}") };
    let local = match nat {
        true => SocketAddr::from(([192, 168, 0, 10 + j as u8], 5060)),
        false => SocketAddr::from(([10, 9, 2, 10 + j as u8], 5060)),
    };
    let public = if nat { SocketAddr::from(([198, 51, 100, 10 + j as u8], 20_000)) } else { local };
    let (config, users) = &mut setups[home];
    if !users.contains(&user_name) {
        config.users.push(user(&user_name, "secret"));
        users.push(user_name.clone());
    }
    let kind = Kind::Phone { user: user_name, password: "secret".into() };
    let is_stream = rng.chance(200);
    let p = join(w, rng, kind, &format!("phone{j}"), (local, public), home, is_stream, lossless);
    let expires_s = 30 + rng.below(90) as u32;
    let party = &mut w.parties[p];
    party.registering = true;
    party.expires_s = expires_s;
    let begin = Duration::from_millis(rng.below(800));
    w.schedule(begin, What::Timer { party: p, key: Key::Register });
    let end = REGISTER_END + seconds(rng, 0, 20);
    w.schedule(end, What::Timer { party: p, key: Key::Unregister });
}

#[expect(clippy::too_many_arguments, reason = "a peer has so many properties")]
fn join(
    w: &mut World,
    rng: &mut Rng,
    kind: Kind,
    name: &str,
    (local, public): (SocketAddr, SocketAddr),
    home: usize,
    is_stream: bool,
    lossless: bool,
) -> usize {
    let n = w.parties.len();
    let home = node_addresses(home)[if local.is_ipv6() { 2 } else { 0 }];
    let mut p = Party::new(name, kind, local, home, 0x100 * (n as u32 + 1), rng.fork());
    p.is_stream = is_stream;
    p.lossless = lossless;
    p.pesters = rng.chance(100);
    p.behaviour = behaviour(rng);
    w.net.join(public, public == local);
    w.parties.push(p);
    n
}

fn behaviour(rng: &mut Rng) -> Behaviour {
    let mut rate = |most: u64| if rng.chance(400) { rng.below(most) as u32 } else { 0 };
    let b = Behaviour {
        busy: rate(300),
        decline: rate(200),
        error: rate(400),
        redirect: rate(150),
        silent: rate(300),
        ring_forever: rate(300),
        at_once: rate(300),
        early_media: rate(1000),
        fork: rate(500),
        hangup: rate(700),
        reinvite: rate(600),
        cancel_race: rate(600),
        payloads: vec![],
    };
    let payloads = [
        &[0u8, 8, 101][..],
        &[8, 0, 101],
        &[0],
        &[8, 101],
        &[9, 0, 101],
        &[0, 8],
        &[111, 9, 8, 101],
        &[111, 0],
        &[9, 8],
    ];
    Behaviour { payloads: payloads[rng.below(payloads.len() as u64) as usize].to_vec(), ..b }
}

fn sample_calls(w: &mut World, rng: &mut Rng) {
    let numbers =
        ["echo", "play", "early", "reject", "pause", "group", "hunt", "answered", "nowhere", "u0", "u1", "u2"];
    for _ in 0..1 + rng.below(10) {
        let p = rng.below(w.parties.len() as u64) as usize;
        let to = match rng.below(100) {
            0..35 => format!("9141555501{:02}", rng.below(100)),
            35..55 => format!("u{}", rng.below(3)),
            55..65 if w.nodes.len() > 1 => format!("7{}", numbers[rng.below(12) as usize]),
            _ => numbers[rng.below(12) as usize].to_string(),
        };
        let mut plan = CallPlan::plain(&to, seconds(rng, 0, 60));
        if rng.chance(250) {
            let latest_ms = if rng.chance(300) { 100 } else { 12_000 };
            plan.cancel_after = Some(Duration::from_millis(rng.below(latest_ms)));
            plan.eager_cancel = rng.chance(200);
        }
        plan.ack = match rng.below(10) {
            0 => AckStyle::Slow(Duration::from_millis(rng.below(6_000))),
            1 => AckStyle::Lost(1 + rng.below(3) as u32),
            2 if rng.chance(300) => AckStyle::Lost(1_000),
            _ => AckStyle::Prompt,
        };
        plan.bye_before_ack = rng.chance(30);
        plan.offerless = rng.chance(50);
        for _ in 0..if rng.chance(300) { 1 + rng.below(4) } else { 0 } {
            let change = [Change::Hold, Change::Resume, Change::Codec, Change::Address][rng.below(4) as usize];
            plan.reinvites.push((seconds(rng, 0, 15), change));
        }
        let n = w.parties[p].calls.len();
        w.parties[p].calls.push(plan);
        // Often at one moment, so that calls meet.
        let at = if rng.chance(300) { seconds(rng, 3, 5) } else { seconds(rng, 2, CALLS_END.as_secs()) };
        w.schedule(at, What::Timer { party: p, key: Key::Call(n) });
    }
}

fn sample_faults(w: &mut World, rng: &mut Rng) {
    let nodes = w.nodes.len() as u64;
    let mut plan: Vec<(Duration, Chaos)> = Vec::new();
    let mut some = |rate: u32, rng: &mut Rng, make: &dyn Fn(&mut Rng) -> Chaos| {
        if rng.chance(rate) {
            for _ in 0..1 + rng.below(2) {
                let chaos = make(rng);
                plan.push((seconds(rng, 3, 70), chaos));
            }
        }
    };
    some(150, rng, &|r| Chaos::WallStep(r.below(7_200) as i64 - 3_600));
    some(150, rng, &|r| Chaos::Reload(r.below(nodes) as usize));
    some(300, rng, &|r| Chaos::Ask(r.below(nodes) as usize));
    some(80, rng, &|_| Chaos::BreakStreams);
    some(80, rng, &|r| Chaos::Silence(r.below(nodes) as usize));
    some(80, rng, &|r| Chaos::HangUp(r.below(nodes) as usize));
    let nats: Vec<usize> = (0..w.parties.len()).filter(|p| w.net.public(*p) != w.parties[*p].local).collect();
    if !nats.is_empty() {
        some(150, rng, &|r| Chaos::Rebind(nats[r.below(nats.len() as u64) as usize]));
    }
    if rng.chance(60) {
        let (n, at) = (rng.below(nodes) as usize, seconds(rng, 5, 60));
        plan.push((at, Chaos::Drain(n)));
        if rng.chance(300) {
            plan.push((at + seconds(rng, 1, 10), Chaos::Undrain(n)));
        }
    }
    if rng.chance(120) {
        let (n, at) = (rng.below(nodes) as usize, seconds(rng, 4, 60));
        plan.push((at, Chaos::Crash(n)));
        plan.push((at + seconds(rng, 0, 20), Chaos::Restart(n)));
    }
    for (at, chaos) in plan {
        w.schedule(at, What::Chaos(chaos));
    }
    if rng.chance(250) {
        for _ in 0..1 + rng.below(6) {
            let p = rng.below(w.parties.len() as u64) as usize;
            let noise = noise(rng, &w.parties[p]);
            w.parties[p].noise.push(noise);
            let n = w.parties[p].noise.len() - 1;
            w.schedule(seconds(rng, 1, 70), What::Timer { party: p, key: Key::Noise(n) });
        }
    }
}

fn noise(rng: &mut Rng, party: &Party) -> Noise {
    match rng.below(8) {
        0 => Noise::Options,
        1 => Noise::UnknownMethod,
        2 => Noise::Require,
        3 => Noise::StrayBye,
        _ if party.is_stream => Noise::Options,
        4 => Noise::Bytes(Bytes::from_static(b"\r\n\r\n")),
        5 => Noise::Bytes((0..rng.below(200)).map(|_| rng.next_u32() as u8).collect()),
        _ => Noise::Bytes(mutant(rng, party)),
    }
}

/// A request with a few of its bytes changed, or cut short.
fn mutant(rng: &mut Rng, party: &Party) -> Bytes {
    let n = rng.below(1_000_000);
    let method = ["INVITE", "OPTIONS", "REGISTER", "BYE", "ACK", "SUBSCRIBE"][rng.below(6) as usize];
    let at = party.local;
    let mut bytes = format!(
        "{method} sip:echo@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bKmutant{n}\r\nMax-Forwards: 70\r\n\
         From: \"M\" <sip:mutant@{DOMAIN}>;tag=mu{n}\r\nTo: <sip:echo@{DOMAIN}>\r\nCall-ID: mutant{n}\r\nCSeq: 7 {method}\r\n\
         Contact: <sip:mutant@{at}>\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes();
    // Via and Call-ID stay, so that answers find their way and are known for what they are.
    let keep = bytes.windows(4).position(|w| w == b"Max-").unwrap_or(0);
    for _ in 0..1 + rng.below(8) {
        let (at, byte) = (rng.below(bytes.len() as u64) as usize, rng.next_u32() as u8);
        let line = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
        if (at < 8 || at > keep) && !bytes[line..].starts_with(b"Call-ID") && !bytes[line..].starts_with(b"Contact") {
            bytes[at] = byte;
        }
    }
    if rng.chance(200) {
        bytes.truncate(rng.below(bytes.len() as u64) as usize);
    }
    bytes.into()
}

/// The last moment of a world.
pub fn end() -> Instant {
    Instant::from_micros(1_000_000) + REST
}

/// How many OPTIONS pings may be under way at rest: to any target, since one that a call found dead is asked too.
pub fn pings(node: &Node) -> u64 {
    node.setup.config.trunks.iter().map(|t| t.targets.len() as u64).sum()
}
