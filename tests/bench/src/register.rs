//! Registrations: 20,000 phones, each with a binding of its own, refreshed with digest.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use interop::scratch::{Scratch, free_ports};
use interop::tandem::{Setup, Tandem};
use serde_json::{Value, json};
use tandem::base::pii::Secret;
use tandem::base::rng::Rng;
use tandem::sip::auth::{DigestClient, Tries};
use tandem::sip::wire::Message;

use crate::message::read;
use crate::signalling::round;
use crate::usage::{cpu_ns, rss_kb};
use crate::{Choice, say};

const PHONES: usize = 20_000;
const PER_SECOND: u64 = 2_000;
/// An answer that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a refreshed registration costs: one request with digest, answered 200.
pub fn register(choice: &Choice) -> Value {
    if !choice.subject("tandem") {
        return Value::Null;
    }
    let scratch = Scratch::new("bench-register-tandem");
    let users: String =
        (0..PHONES).map(|n| format!("  - {{ name: phone{n}, password: secret-{n}, context: in }}\n")).collect();
    let setup = Setup {
        users: &users,
        dialplan: "contexts:\n  in: []\n",
        program: Some("target/release/tandem"),
        ..Setup::default()
    };
    let tandem = Tandem::start(scratch.path(), &setup);
    let mut phones = Phones::new(tandem.sip(), PHONES, PER_SECOND);
    phones.round();
    let (before, begun) = (cpu_ns(tandem.process.pid()), Instant::now());
    let (good, again) = phones.round();
    let cpu_ms = (cpu_ns(tandem.process.pid()) - before) as f64 / 1e6 / good.max(1) as f64;
    let rss = rss_kb(tandem.process.pid());
    say(
        "tandem",
        &format!(
            "{cpu_ms:.4} CPU-ms a REGISTER, {good} of {PHONES} refreshed in {:.1} s, {again} asked for their digest again; \
             {rss} kB of memory",
            begun.elapsed().as_secs_f64()
        ),
    );
    json!({ "tandem": { "bindings": PHONES, "refreshed": good, "asked_again": again,
                        "cpu_ms_per_register": round(cpu_ms, 4), "rss_kb": rss } })
}

struct Phone {
    digest: DigestClient,
    sequence: u32,
}

pub struct Phones {
    socket: UdpSocket,
    own: SocketAddr,
    switch: SocketAddr,
    rng: Rng,
    per_second: u64,
    phones: Vec<Phone>,
}

impl Phones {
    /// So many, of which so many a second register.
    pub fn new(switch: SocketAddr, count: usize, per_second: u64) -> Phones {
        let own = SocketAddr::from(([127, 0, 0, 2], free_ports(1)));
        let socket = UdpSocket::bind(own).unwrap_or_else(|e| panic!("{own}: {e}"));
        let phone = |n| Phone {
            digest: DigestClient::new(&format!("phone{n}"), Secret::new(format!("secret-{n}"))),
            sequence: 0,
        };
        Phones { socket, own, switch, rng: Rng::from_seed(7), per_second, phones: (0..count).map(phone).collect() }
    }

    /// Every phone registers, evenly; how many have been taken, and how many were asked for their digest again.
    pub fn round(&mut self) -> (usize, usize) {
        let (all, per_second) = (self.phones.len(), self.per_second);
        let (begun, mut sent, mut good, mut other, mut asked_again) = (Instant::now(), 0, 0, 0, 0);
        let mut last = Instant::now();
        while good + other < all && last.elapsed() < PATIENCE {
            while sent < all && begun.elapsed().as_micros() as u64 * per_second / 1_000_000 >= sent as u64 {
                self.send(sent);
                sent += 1;
            }
            match self.answer() {
                Some((_, 200)) => good += 1,
                // The first time, or a nonce that has grown old.
                Some((n, 401)) => {
                    asked_again += 1;
                    self.send(n);
                }
                Some(_) => other += 1,
                None => continue,
            }
            last = Instant::now();
        }
        (good, asked_again)
    }

    fn send(&mut self, n: usize) {
        let (own, switch) = (self.own, self.switch);
        let phone = &mut self.phones[n];
        phone.sequence += 1;
        let (sequence, uri) = (phone.sequence, format!("sip:{switch}"));
        let digest = phone.digest.authorize(&mut self.rng, "REGISTER", &uri, b"");
        let digest: String = digest.iter().map(|(name, value)| format!("{}: {value}\r\n", name.as_str())).collect();
        let text = format!(
            "REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;branch=z9hG4bK{n}.{sequence}\r\nMax-Forwards: 70\r\n\
             From: <sip:phone{n}@{switch}>;tag=f{n}\r\nTo: <sip:phone{n}@{switch}>\r\nCall-ID: phone-{n}\r\n\
             CSeq: {sequence} REGISTER\r\nContact: <sip:phone{n}@{own};line={n}>\r\nExpires: 3600\r\n{digest}Content-Length: 0\r\n\r\n"
        );
        let _ = self.socket.send_to(text.as_bytes(), switch);
    }

    /// The next answer: whose, and its status.
    fn answer(&mut self) -> Option<(usize, u16)> {
        let mut buffer = [0; 2048];
        let _ = self.socket.set_read_timeout(Some(Duration::from_micros(500)));
        let (length, _) = self.socket.recv_from(&mut buffer).ok()?;
        let bytes = buffer.get(..length)?;
        let message = read(bytes)?;
        let (n, status) = (message.call_id.strip_prefix("phone-")?.parse::<usize>().ok()?, message.status);
        if status == 401 {
            let whole = Message::parse(bytes.to_vec().into()).ok()?;
            self.phones.get_mut(n)?.digest.challenged(&whole, &mut Tries::default()).ok()?;
        }
        Some((n, status))
    }
}
