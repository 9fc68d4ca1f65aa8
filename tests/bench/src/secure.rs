//! The same calls over TCP and over TLS, on connections that stay: what the cipher adds to the CPU that a call takes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use interop::scratch::{Scratch, free_ports};
use interop::tandem::{Setup, Tandem};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::message::{Message, finish, read, response, sdp};
use crate::signalling::round;
use crate::usage::{cores, cpu_ns, pin, unpin};
use crate::{Choice, say};

/// Connections of the caller's, which stay open; the switch opens its own to the callee.
const CONNECTIONS: usize = 4;
const CALLS_PER_SECOND: f64 = 200.0;
const CALLS: usize = 2_000;
const HOLD: Duration = Duration::from_millis(100);
/// Each transport is measured so many times, in turn, and its median taken.
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Tcp,
    Tls,
}

impl By {
    const fn name(self) -> &'static str {
        match self {
            By::Tcp => "tcp",
            By::Tls => "tls",
        }
    }
}

/// CPU a call over both, and their ratio.
pub fn secure(choice: &Choice) -> Value {
    if !choice.subject("tandem") {
        return Value::Null;
    }
    let scratch = Scratch::new("bench-tls-tandem");
    let identity = certify(scratch.path());
    let alone = cores() > 1;
    if alone {
        pin(0);
    }
    let port = free_ports(4);
    let callee = |by| SocketAddr::from(([127, 0, 0, 3], if by == By::Tcp { port } else { port + 1 }));
    let trunks = format!(
        "  - {{ name: near, targets: [\"sip:127.0.0.2:{}\"], inbound: [127.0.0.2/32], context: in }}\n  \
         - {{ name: tcp, targets: [\"sip:{};transport=tcp\"], context: in }}\n  \
         - {{ name: tls, targets: [\"sip:{};transport=tls\"], tls: {{ ca: ca.pem }}, context: in }}\n",
        port + 2,
        callee(By::Tcp),
        callee(By::Tls)
    );
    let setup = Setup {
        trunks: &trunks,
        dialplan: "contexts:\n  in:\n    - { name: one, match: { to: /^1\\d+$/ }, do: [ { dial: { number: \"${to}\", trunks: [tcp] } } ] }\n    \
                   - { name: two, match: { to: /^2\\d+$/ }, do: [ { dial: { number: \"${to}\", trunks: [tls] } } ] }\n",
        tls: "certificate: host.pem, key: host.key",
        pairs: 400,
        cores: alone.then_some("1"),
        program: Some("target/release/tandem"),
        ..Setup::default()
    };
    let tandem = Tandem::start(scratch.path(), &setup);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap_or_else(|e| panic!("{e}"));
    let found = runtime.block_on(async {
        for by in [By::Tcp, By::Tls] {
            let listener = TcpListener::bind(callee(by)).await.unwrap_or_else(|e| panic!("{}: {e}", callee(by)));
            tokio::spawn(be_called(listener, by, identity.clone()));
        }
        measure(&tandem, &identity).await
    });
    if alone {
        unpin();
    }
    found
}

async fn measure(tandem: &Tandem, identity: &Identity) -> Value {
    let mut callers = HashMap::new();
    for by in [By::Tcp, By::Tls] {
        callers.insert(by.name(), connect(tandem, by, identity).await);
    }
    let (mut first, mut found, mut failed) = (0, [Vec::new(), Vec::new()], 0);
    for turn in 0..=ROUNDS {
        for (place, by) in [By::Tcp, By::Tls].into_iter().enumerate() {
            let Some(callers) = callers.get_mut(by.name()) else { continue };
            let before = cpu_ns(tandem.process.pid());
            let completed = place_all(callers, first, by, if turn == 0 { 200 } else { CALLS }).await;
            let cpu_ms = (cpu_ns(tandem.process.pid()) - before) as f64 / 1e6 / completed.max(1) as f64;
            first += CALLS;
            // The first turn opens the connections and warms all that is made once.
            if turn > 0 {
                failed += CALLS - completed;
                say(by.name(), &format!("{cpu_ms:.3} CPU-ms a call, {completed} of {CALLS} completed"));
                found[place].push(cpu_ms);
            }
        }
    }
    let [tcp, tls] = found.map(|mut all| {
        all.sort_by(f64::total_cmp);
        all[ROUNDS / 2]
    });
    say("tandem", &format!("{tcp:.3} CPU-ms a call over TCP, {tls:.3} over TLS: {:.2} times", tls / tcp));
    json!({ "tandem": { "calls_per_second": CALLS_PER_SECOND, "calls": ROUNDS * CALLS, "failed": failed,
        "tcp_cpu_ms_per_call": round(tcp, 4), "tls_cpu_ms_per_call": round(tls, 4), "tls_to_tcp": round(tls / tcp, 3) } })
}

/// What both sides show and trust.
#[derive(Clone)]
struct Identity {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// An authority, a certificate of it for 127.0.0.1 (the switch) and 127.0.0.3 (the callee).
fn certify(folder: &Path) -> Identity {
    let mut params = CertificateParams::new([]).expect("an authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let names = ["127.0.0.1".to_owned(), "127.0.0.3".to_owned()];
    let host = CertificateParams::new(names).expect("a host").signed_by(&key, &ca).expect("a certificate");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a certificate is written");
    write("ca.pem", &ca.pem());
    write("host.pem", &host.pem());
    write("host.key", &key.serialize_pem());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).expect("a certificate")).expect("a root");
    let chain = vec![CertificateDer::from_pem_slice(host.pem().as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("a key");
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("a server");
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Identity { server: Arc::new(server), client: Arc::new(client) }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection, and what of a message has come.
struct Line {
    stream: Box<dyn Stream>,
    own: SocketAddr,
    by: By,
    come: Vec<u8>,
}

impl Line {
    fn new(stream: Box<dyn Stream>, own: SocketAddr, by: By) -> Line {
        Line { stream, own, by, come: Vec::new() }
    }

    async fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes()).await?;
        self.stream.flush().await
    }

    /// Takes in what waits; it may be dropped while it waits, and nothing is lost.
    async fn hear(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16_384];
        match self.stream.read(&mut buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => {
                self.come.extend_from_slice(&buffer[..length]);
                Ok(())
            }
        }
    }

    /// The next whole message.
    fn next(&mut self) -> Option<Vec<u8>> {
        let head = self.come.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&self.come[..head]);
        let length = text.lines().find_map(|l| l.strip_prefix("Content-Length:")?.trim().parse::<usize>().ok());
        let whole = head + length.unwrap_or(0);
        (self.come.len() >= whole).then(|| self.come.drain(..whole).collect())
    }

    /// `uri` where answers and requests are to come by this transport.
    fn contact(&self, user: &str) -> String {
        format!("<sip:{user}@{};transport={}>", self.own, self.by.name())
    }
}

async fn be_called(listener: TcpListener, by: By, identity: Identity) {
    let own = listener.local_addr().unwrap_or_else(|e| panic!("{e}"));
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let acceptor = TlsAcceptor::from(Arc::clone(&identity.server));
        tokio::spawn(async move {
            let stream: Box<dyn Stream> = match by {
                By::Tcp => Box::new(stream),
                By::Tls => match acceptor.accept(stream).await {
                    Ok(stream) => Box::new(stream),
                    Err(error) => return eprintln!("the callee's handshake: {error}"),
                },
            };
            let mut line = Line::new(stream, own, by);
            while line.hear().await.is_ok() {
                while let Some(bytes) = line.next() {
                    let answers = read(&bytes).map(|m| answers(&line, &m)).unwrap_or_default();
                    for text in answers {
                        let _ = line.send(&text).await;
                    }
                }
            }
        });
    }
}

/// What the callee says to a request.
fn answers(line: &Line, request: &Message<'_>) -> Vec<String> {
    let plain = format!("<sip:callee@{}>", line.own);
    let say =
        |status, body: &str| response(request, status, "e", line.own, body).replace(&plain, &line.contact("callee"));
    match request.method {
        _ if request.status != 0 => Vec::new(),
        "INVITE" => vec![say("180 Ringing", ""), say("200 OK", &sdp(line.own))],
        "ACK" => Vec::new(),
        _ => vec![say("200 OK", "")],
    }
}

async fn connect(tandem: &Tandem, by: By, identity: &Identity) -> Vec<Line> {
    let mut lines = Vec::new();
    for _ in 0..CONNECTIONS {
        let open = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::from(([127, 0, 0, 2], 0)))?;
            let stream = socket.connect(if by == By::Tls { tandem.tls() } else { tandem.sip() }).await?;
            stream.set_nodelay(true)?;
            let own = stream.local_addr()?;
            let name = ServerName::try_from("127.0.0.1").map_err(io::Error::other)?;
            let stream: Box<dyn Stream> = match by {
                By::Tcp => Box::new(stream),
                By::Tls => Box::new(TlsConnector::from(Arc::clone(&identity.client)).connect(name, stream).await?),
            };
            io::Result::Ok(Line::new(stream, own, by))
        };
        lines.push(open.await.unwrap_or_else(|e| panic!("a connection over {}: {e}", by.name())));
    }
    lines
}

/// Places calls on all lines at once; how many were completed.
async fn place_all(lines: &mut Vec<Line>, first: usize, by: By, calls: usize) -> usize {
    let (target, each) = (first, calls / lines.len());
    let tasks: Vec<_> = lines
        .drain(..)
        .enumerate()
        .map(|(n, line)| {
            // A number begins with the transport by which the callee is reached.
            let base = if by == By::Tcp { 1_000_000 } else { 2_000_000 };
            tokio::spawn(place(line, base + target + n * each, each, CONNECTIONS))
        })
        .collect();
    let mut completed = 0;
    for task in tasks {
        if let Ok((line, done)) = task.await {
            lines.push(line);
            completed += done;
        }
    }
    completed
}

/// Places `count` calls at a share of the rate, ends each, and waits until all are over; the line again, and how many were completed.
async fn place(mut line: Line, first: usize, count: usize, lines: usize) -> (Line, usize) {
    let begun = Instant::now();
    let (mut placed, mut over, mut completed) = (0, 0, 0);
    let mut hang_up: BinaryHeap<Reverse<(Instant, String)>> = BinaryHeap::new();
    let last = Duration::from_secs_f64(count as f64 * lines as f64 / CALLS_PER_SECOND) + PATIENCE;
    while over < count && begun.elapsed() < last {
        let mut next = begun + last;
        if placed < count {
            let due = begun + Duration::from_secs_f64(placed as f64 * lines as f64 / CALLS_PER_SECOND);
            if Instant::now() >= due {
                let text = invite(&line, first + placed);
                placed += 1;
                if line.send(&text).await.is_err() {
                    break;
                }
                continue;
            }
            next = due;
        }
        if hang_up.peek().is_some_and(|Reverse((at, _))| *at <= Instant::now()) {
            if let Some(Reverse((_, text))) = hang_up.pop() {
                let _ = line.send(&text).await;
            }
            continue;
        }
        if let Some(Reverse((at, _))) = hang_up.peek() {
            next = next.min(*at);
        }
        match tokio::time::timeout(next.saturating_duration_since(Instant::now()), line.hear()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => break,
            Err(_) => continue,
        }
        while let Some(bytes) = line.next() {
            let Some(message) = read(&bytes) else { continue };
            match (message.method, message.status) {
                ("INVITE", 200) => {
                    let ack = within(&line, &message, "ACK", 1);
                    hang_up.push(Reverse((Instant::now() + HOLD, within(&line, &message, "BYE", 2))));
                    let _ = line.send(&ack).await;
                }
                ("INVITE", 300..) => over += 1,
                ("BYE", 200) => {
                    over += 1;
                    completed += 1;
                }
                _ => {}
            }
        }
    }
    (line, completed)
}

fn via(line: &Line, branch: &str) -> String {
    format!("Via: SIP/2.0/{} {};rport;branch=z9hG4bK{branch}\r\n", line.by.name().to_uppercase(), line.own)
}

fn invite(line: &Line, number: usize) -> String {
    let own = line.own;
    let head = format!(
        "INVITE sip:{number}@pbx.example.com SIP/2.0\r\n{}Max-Forwards: 70\r\nFrom: <sip:+12125550123@{own}>;tag=b{number}\r\n\
         To: <sip:{number}@pbx.example.com>\r\nCall-ID: {number}@bench\r\nCSeq: 1 INVITE\r\nContact: {}\r\n",
        via(line, &format!("I{number}")),
        line.contact("caller")
    );
    finish(head, &sdp(own))
}

/// A request within the dialog that a 200 has made.
fn within(line: &Line, answer: &Message<'_>, method: &str, sequence: u32) -> String {
    let head = format!(
        "{method} {} SIP/2.0\r\n{}Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {sequence} {method}\r\n",
        answer.contact,
        via(line, &format!("{method}{}", answer.call_id)),
        answer.from,
        answer.to,
        answer.call_id
    );
    finish(head, "")
}
