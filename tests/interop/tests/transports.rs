//! TLS beside programs of others: phones register and call over it, and what a connection that waits costs.

use std::io::{Read, Write};
use std::net::TcpStream;

use interop::baresip::Phone;
use interop::certificates;
use interop::scratch::{Scratch, free_ports};
use interop::sound::{likeness, melody};
use interop::tandem::{Setup, Tandem};

const TLS: &str = "certificate: host.pem, key: host.key";
const DIALPLAN: &str = "contexts:\n  internal:\n    - { name: phones, match: { to: /^[a-z]+$/ }, do: [ { dial: { user: \"${to}\", timeout: 10s } } ] }\n";

/// baresip (OpenSSL) registers and is called over the connection that it opened; both hear each other.
#[test]
fn two_phones_call_over_tls() {
    let scratch = Scratch::new("tls-phones");
    certificates::write(scratch.path());
    let users = "  - { name: alice, password: secret-a, context: internal }\n  - { name: bob, password: secret-b, context: internal }\n";
    let tandem = Tandem::start(scratch.path(), &Setup { users, dialplan: DIALPLAN, tls: TLS, ..Setup::default() });
    let registrar = tandem.tls().to_string();
    let port = free_ports(2 * Phone::PORTS);
    let (song_a, song_b) = (melody(43, 3), melody(44, 3));
    let alice = Phone {
        user: "alice",
        password: "secret-a",
        registrar: &registrar,
        port,
        codec: "pcmu",
        transport: "tls",
        encryption: "",
        plays: &song_a,
        dials: None,
    };
    let bob = Phone { user: "bob", password: "secret-b", port: port + Phone::PORTS, plays: &song_b, ..alice.clone() };
    let (alice, bob) = (alice.start(scratch.path()), bob.start(scratch.path()));
    alice.wait_registered();
    bob.wait_registered();
    let registrations = tandem.get("/tandem/v1/registrations");
    assert_eq!(registrations.to_ascii_lowercase().matches("\"tls\"").count(), 2, "{registrations}");
    bob.command("dial", &format!("sip:alice@{registrar};transport=tls"));
    bob.wait_established();
    bob.wait_hung_up();
    alice.wait_hung_up();
    let (_, trace) = tandem.command(&["trace", "last"]);
    for (name, song, heard) in [("bob", &song_a, bob.heard()), ("alice", &song_b, alice.heard())] {
        let alike = likeness(&song[..16_000], &heard, 400);
        assert!(alike >= 0.9, "{name} heard {} samples, likeness {alike}:\n{trace}", heard.len());
    }
    assert_eq!(tandem.cdrs(1).remove(0)["legs"].as_array().map(Vec::len), Some(2), "{trace}");
}

/// Resident memory of a process, in kB.
fn resident_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("a line of its memory");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

const IDLE: usize = 2_000;
const OPTIONS: &str = "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:9;branch=z9hG4bK1;rport\r\n\
    Max-Forwards: 70\r\nFrom: <sip:b@127.0.0.1>;tag=1\r\nTo: <sip:a@127.0.0.1>\r\nCall-ID: idle\r\nCSeq: 1 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

/// Each has shaken hands, asked something and been answered before it waits.
#[test]
fn an_idle_tls_connection_takes_at_most_40_kb() {
    let scratch = Scratch::new("tls-idle");
    certificates::write(scratch.path());
    let tandem = Tandem::start(scratch.path(), &Setup { tls: TLS, ..Setup::default() });
    let trust = certificates::trust(&scratch.path().join("ca.pem"));
    let connect = || {
        let stream = TcpStream::connect(tandem.tls()).expect("the switch listens");
        let mut stream = certificates::secured(stream, tandem.tls().ip(), &trust);
        stream.write_all(OPTIONS.as_bytes()).expect("the handshake is done");
        let mut answer = [0; 2048];
        let n = stream.read(&mut answer).expect("an answer");
        assert!(answer[..n].starts_with(b"SIP/2.0 200 "), "{}", String::from_utf8_lossy(&answer[..n]));
        stream
    };
    // What the first ones make is made once.
    let mut connections: Vec<_> = (0..50).map(|_| connect()).collect();
    let before = resident_kb(tandem.process.pid());
    connections.extend((0..IDLE).map(|_| connect()));
    let each = (resident_kb(tandem.process.pid()) - before) as f64 / IDLE as f64;
    println!("{IDLE} idle TLS connections take {each:.1} kB each");
    assert_eq!(tandem.metric("tandem_stream_connections"), Some((IDLE + 50) as f64));
    assert!(each <= 40.0, "{each:.1} kB each");
}

/// What a reload refuses, it names; the certificate in force stays.
#[test]
fn a_reload_refuses_a_certificate_without_its_key() {
    let scratch = Scratch::new("tls-reload");
    certificates::write(scratch.path());
    let tandem = Tandem::start(scratch.path(), &Setup { tls: TLS, ..Setup::default() });
    let key = std::fs::read(scratch.path().join("host.key")).expect("a key");
    std::fs::write(scratch.path().join("host.key"), "none\n").expect("a file is written");
    let (status, text) = tandem.command(&["reload"]);
    assert!(
        status != 0 && text.contains("host.key holds no private key") && text.contains("tandem.yaml:"),
        "{status} {text}"
    );
    std::fs::write(scratch.path().join("host.key"), key).expect("a file is written");
    certificates::write(scratch.path());
    assert_eq!(tandem.command(&["reload"]).0, 0);
}
