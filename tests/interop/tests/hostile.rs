//! A thousand calls at once ask web servers that are slow, dead, wrong or endless, beside calls that talk. Each gets its fallback, or
//! ends with the published error; the calls that talk hear nothing of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use interop::app::App;
use interop::carriers::{Carriers, NEAR, ending};
use interop::process::until;
use interop::scratch::free_ports;
use interop::sipp::{Side, Sipp, Step};
use interop::sound::melody;
use interop::tandem::Setup;

/// Calls to each server with a fallback, and as many without.
const CALLS: u32 = 40;
const PER_SECOND: u32 = 5;
/// How long a server keeps a request before it misbehaves, so that all calls wait at once. Below the longest wait, 15 s.
const HOLD: Duration = Duration::from_secs(9);
/// What memory a thousand such may take: one server's answer would be 400 MB, were it read.
const GROWTH_MAX: f64 = 160e6;

/// One tick in so many may be late since the machine has other work: none is where it has not.
const BUSY: usize = 100;

/// How a server misbehaves, the scheme of its address and what stands behind it, and the errors that are published for it. A server
/// that does not answer is left alone after a while, which is a failure of connection.
struct Kind {
    name: &'static str,
    scheme: &'static str,
    overrides: &'static str,
    codes: &'static [u32],
    /// `None` where nobody listens or nobody accepts.
    answer: Option<fn(&mut TcpStream) -> std::io::Result<()>>,
    is_listening: bool,
}

const fn kind(name: &'static str, codes: &'static [u32], answer: fn(&mut TcpStream) -> std::io::Result<()>) -> Kind {
    Kind { name, scheme: "http", overrides: "", codes, answer: Some(answer), is_listening: true }
}

const KINDS: &[Kind] = &[
    Kind { overrides: "#rt=10000", ..kind("slow", &[11_200, 11_205], |s| s.read(&mut [0; 1]).map(drop)) },
    Kind { answer: None, overrides: "#ct=4000&rt=4000", ..kind("dead", &[11_200, 11_205], |_| Ok(())) },
    Kind { answer: None, is_listening: false, ..kind("refusing", &[11_205], |_| Ok(())) },
    kind("resetting", &[11_200, 11_205], |_| Ok(())),
    kind("redirecting", &[11_215], |s| {
        s.write_all(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")
    }),
    kind("large", &[11_750], |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n<Response>")?;
        (0..80).try_for_each(|_| s.write_all(&[b' '; 65_536]))
    }),
    kind("html", &[12_100, 12_300], |s| answer(s, "text/html", b"<!DOCTYPE html><title>hi</title><p>Hello<br>there")),
    kind("half", &[12_100], |s| answer(s, "text/xml", b"<Response><Say>Hello, and")),
    kind("broken off", &[11_200, 11_205], |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 900\r\n\r\n<Response><Say>")
    }),
    kind("charset", &[12_100], |s| {
        answer(s, "text/xml; charset=utf-8", b"<Response><Say>\xff\xfe caf\xe9</Say></Response>")
    }),
    Kind {
        overrides: "#tt=12000",
        ..kind("dripping", &[11_200, 11_205], |s| {
            s.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 900\r\n\r\n")?;
            loop {
                s.write_all(b" ")?;
                thread::sleep(Duration::from_millis(500));
            }
        })
    },
    Kind {
        scheme: "https",
        // A fatal alert: handshake_failure (RFC 8446 §6.2).
        ..kind("refusing TLS", &[11_205, 11_220], |s| s.write_all(&[0x15, 3, 3, 0, 2, 2, 40]))
    },
    kind("no HTTP", &[11_200, 11_205, 11_206], |s| s.write_all(b"220 smtp.example.com ESMTP\r\n\r\n")),
];

fn answer(s: &mut TcpStream, kind: &str, body: &[u8]) -> std::io::Result<()> {
    write!(s, "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len())?;
    s.write_all(body)
}

/// Serves one kind at an address of its own; where it is.
fn serve(kind: &'static Kind, index: usize) -> SocketAddr {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 5, index as u8 + 1], 0))).expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    if !kind.is_listening {
        return address;
    }
    let small = |work: Box<dyn FnOnce() + Send>| thread::Builder::new().stack_size(192 * 1024).spawn(work).map(drop);
    let accept = move || match kind.answer {
        // It keeps the port and never looks at it.
        None => loop {
            thread::park();
            drop(listener.local_addr());
        },
        Some(behave) => listener.incoming().map_while(Result::ok).for_each(|stream| {
            small(Box::new(move || misbehave(stream, kind, behave))).expect("a thread for a connection");
        }),
    };
    small(Box::new(accept)).expect("a thread for a server");
    address
}

fn misbehave(mut stream: TcpStream, kind: &Kind, behave: fn(&mut TcpStream) -> std::io::Result<()>) {
    let (mut buffer, mut is_first) = ([0; 4_096], true);
    loop {
        match stream.read(&mut buffer) {
            Ok(len) if len > 0 => {}
            _ => return,
        }
        if is_first && kind.name != "dripping" {
            thread::sleep(HOLD);
        }
        is_first = false;
        if behave(&mut stream).is_err() || kind.name != "redirecting" {
            return;
        }
    }
}

const FALLS_BACK: &[Step] = &[Step::Invite, Step::May(100), Step::Expect(486), Step::AckFailure];
const FAILS: &[Step] = &[Step::Invite, Step::May(100), Step::Expect(500), Step::AckFailure];
const TALKS: &[Step] = &[
    Step::Invite,
    Step::May(100),
    Step::May(180),
    Step::Expect(200),
    Step::Ack,
    Step::Pause(36_000),
    Step::Bye,
    Step::Expect(200),
];
const LISTENS: &[Step] =
    &[Step::Get("INVITE"), Step::ReplySdp(200, "sendrecv"), Step::Get("ACK"), Step::Get("BYE"), Step::Reply(200)];

fn party<'a>(name: &'a str, to: &'a str, steps: &'a [Step], port: u16, switch: SocketAddr) -> Sipp<'a> {
    Sipp { to, rtp_port: port + 40, ..Sipp::new(name, Side::Caller, steps, NEAR, port, switch) }
}

fn rules(app: &App) -> String {
    let rule = |to: String, step: String| format!("    - {{ match: {{ to: \"{to}\" }}, do: [ {step} ] }}\n");
    let hostile = KINDS.iter().enumerate().flat_map(|(index, kind)| {
        let url = format!("{}://{}/voice{}", kind.scheme, serve(kind, index), kind.overrides);
        let backed = format!("{{ markup: {{ url: \"{url}\", fallback: \"{}\" }} }}", app.url("/busy"));
        [rule(format!("1{index:02}"), backed), rule(format!("2{index:02}"), format!("{{ markup: \"{url}\" }}"))]
    });
    let talk = "{ dial: { number: \"300\", trunks: [far] } }".to_owned();
    hostile.collect::<String>() + &rule("300".into(), talk) + &rule("400".into(), "answer, { conference: all }".into())
}

#[test]
fn a_thousand_hostile_servers_hold_up_nobody_else() {
    let app = App::start(&[("/busy", "<Reject reason=\"busy\"/>")]);
    let more = "web: { allow_private: [127.0.0.0/8] }\n";
    let setup = Setup { more, pairs: 1_200, ..Setup::default() };
    let stage = Carriers::with("hostile", &rules(&app), &setup);
    let port = free_ports(90);
    let switch = stage.tandem.sip();

    // One call is relayed, four are mixed.
    let far = stage.callee(LISTENS);
    let talkers: Vec<Sipp<'_>> = [("talker", "300"), ("m1", "400"), ("m2", "400"), ("m3", "400"), ("m4", "400")]
        .into_iter()
        .enumerate()
        .map(|(n, (name, to))| party(name, to, TALKS, port + 2 * n as u16, switch))
        .collect();
    let (mut called, far_end) = (stage.start(&far), stage.sound(&far, &melody(7, 5), 0));
    let mut talking: Vec<_> = talkers.iter().map(|t| (stage.start(t), stage.sound(t, &melody(8, 5), 0))).collect();
    for (running, end) in &talking {
        end.send_to(running.wait_media(1));
    }
    far_end.send_to(called.wait_media(1));
    let before = stage.tandem.metrics();
    let of = |all: &[(String, f64)], name: &str| all.iter().filter(|(n, _)| n == name).map(|(_, v)| *v).sum::<f64>();

    let hostile = |first: char, steps, at: u16| {
        (0..KINDS.len())
            .map(|n| {
                let (name, to) = (format!("hostile-{first}{n:02}"), format!("{first}{n:02}"));
                let all = Sipp {
                    calls: CALLS,
                    calls_per_second: PER_SECOND,
                    ..party(&name, &to, steps, port + at + n as u16, switch)
                };
                stage.start(&all)
            })
            .collect::<Vec<_>>()
    };
    let begin = Instant::now();
    let mut callers = hostile('1', FALLS_BACK, 10);
    callers.extend(hostile('2', FAILS, 10 + KINDS.len() as u16));
    let (mut waiting, mut memory) = (0.0f64, 0.0f64);
    let all = CALLS as usize * callers.len();
    let done = until(Duration::from_secs(90), || {
        let now = stage.tandem.metrics();
        waiting = waiting.max(of(&now, "tandem_web_fetches_waiting"));
        memory = memory.max(of(&now, "tandem_resident_bytes"));
        (of(&now, "tandem_store_records_total") >= all as f64).then_some(())
    });
    let took = begin.elapsed();
    for caller in &mut callers {
        caller.finish(Duration::from_secs(30));
    }
    assert!(done.is_some(), "{all} calls ended");
    let after = stage.tandem.metrics();
    let grown = |name: &str| of(&after, name) - of(&before, name);
    let late = grown("tandem_media_ticks_late_total");
    println!(
        "= {all} calls in {:.1} s, {waiting:.0} fetches at once; {late} ticks late; longest turn {:.1} ms; memory {:.0} MB, at most {:.0} MB",
        took.as_secs_f64(),
        of(&after, "tandem_control_turn_max_microseconds") / 1e3,
        of(&before, "tandem_resident_bytes") / 1e6,
        memory / 1e6
    );
    for (running, _) in &mut talking {
        running.finish(Duration::from_secs(60));
    }
    called.finish(Duration::from_secs(60));
    let heard = std::iter::once(far_end).chain(talking.into_iter().map(|(_, end)| end));
    for (n, end) in heard.enumerate() {
        let heard = end.stop();
        let (count, faults) = (heard.packets.len(), heard.faults());
        assert!(count > 1_000 && faults.len() <= count / BUSY, "party {n}, {count} packets: {faults:?}");
    }
    assert!(memory - of(&before, "tandem_resident_bytes") < GROWTH_MAX, "{memory}");
    assert!(waiting > 300.0, "they waited at once: {waiting}");
    assert!(late <= 5.0 * 50.0 * took.as_secs_f64() / BUSY as f64, "{late} ticks of other calls were late");
    told(&stage, all);
}

/// Each hostile call has the ending that belongs to it, and the timelines name what is published.
fn told(stage: &Carriers, all: usize) {
    let records = stage.tandem.cdrs(all + 5);
    for (index, kind) in KINDS.iter().enumerate() {
        for (first, reason) in [('1', "rejected"), ('2', "document_failed")] {
            let to = format!("{first}{index:02}");
            let own: Vec<_> = records.iter().filter(|r| r["to"] == to.as_str()).collect();
            let odd: Vec<_> = own.iter().filter(|r| ending(r).1 != reason).collect();
            assert!(own.len() == CALLS as usize && odd.is_empty(), "{}, {to}: {} calls, {odd:?}", kind.name, own.len());
            for record in own.iter().step_by(13) {
                let trace = stage.tandem.trace(record["call"].as_str().expect("a call's name"));
                let is_named = kind.codes.iter().any(|code| trace.contains(&format!("{code} ")));
                assert!(is_named, "{}: none of {:?}\n{trace}", kind.name, kind.codes);
            }
        }
    }
}
