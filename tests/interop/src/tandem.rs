//! The switch itself, started with a configuration of the test's own.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_rustls::rustls::ClientConfig;

use crate::certificates;
use crate::process::{Process, on_cores, until};
use crate::scratch::{free_ports, top};

const ACCOUNT: &str = "AC00000000000000000000000000000001";
pub const TOKEN: &str = "interop";

/// What is written into tandem.yaml and the dialplan beside what every test needs.
#[derive(Debug, Clone)]
pub struct Setup<'a> {
    /// Items of `trunks:`, as YAML, indented by two.
    pub trunks: &'a str,
    /// Items of `users:`.
    pub users: &'a str,
    /// The whole dialplan file.
    pub dialplan: &'a str,
    /// Lines at the top level of tandem.yaml.
    pub more: &'a str,
    /// Keys of `sip.tls`; where there are any, TLS is listened to beside the rest ([`Tandem::tls`]).
    pub tls: &'a str,
    /// HTTP speaks TLS, with `host.pem` and `host.key` of the folder, which `ca.pem` vouches for (`certificates::write`).
    pub https: bool,
    /// Lines of `sip:`, indented by two.
    pub sip: &'a str,
    /// Pairs of RTP and RTCP ports that the switch has.
    pub pairs: u16,
    /// Where SIP is listened to.
    pub ip: &'a str,
    /// `MEDIA_THREADS`; the switch's own default where none.
    pub threads: Option<u16>,
    /// The program, relative to the repository; that of [`program`] where none.
    pub program: Option<&'a str>,
    /// `--log-level`; the switch's own default where none.
    pub level: Option<&'a str>,
    /// Cores that it may run on, as taskset writes them; any where none.
    pub cores: Option<&'a str>,
    /// `media.forwarding`; MEDIA_FORWARDING of the environment, or the switch's own default, where none.
    pub forwarding: Option<&'a str>,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Setup {
            trunks: "",
            users: "",
            dialplan: "contexts: {}\n",
            more: "",
            tls: "",
            https: false,
            sip: "",
            pairs: 50,
            ip: "127.0.0.1",
            threads: None,
            program: None,
            level: None,
            cores: None,
            forwarding: None,
        }
    }
}

/// A switch that runs and is ready.
#[derive(Debug)]
pub struct Tandem {
    pub process: Process,
    program: PathBuf,
    config: PathBuf,
    sip: SocketAddr,
    http: SocketAddr,
    /// Who vouches for its HTTP, where that speaks TLS.
    trust: Option<Arc<ClientConfig>>,
    ports: (u16, u16),
}

/// The program under test: `$TANDEM`, else what cargo built last, release or debug.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("TANDEM") {
        return top().join(path);
    }
    let built = ["target/debug/tandem", "target/release/tandem"].map(|path| top().join(path));
    let age = |path: &PathBuf| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    let newest = built.into_iter().filter(|path| age(path).is_some()).max_by_key(age);
    newest.expect("tandem is built: `cargo build` first")
}

impl Tandem {
    /// Starts the switch with its files in `folder` and waits until it says that it is ready.
    pub fn start(folder: &Path, setup: &Setup<'_>) -> Tandem {
        let media = free_ports(2 * setup.pairs);
        let port = free_ports(4);
        let ip: IpAddr = setup.ip.parse().expect("an address");
        let (sip, http) = (SocketAddr::new(ip, port), SocketAddr::from(([127, 0, 0, 1], port + 2)));
        let ports = (media, media + 2 * setup.pairs - 1);
        let config = folder.join("tandem.yaml");
        if setup.https {
            certificates::write(folder);
        }
        std::fs::write(&config, configuration(setup, sip, http, ports)).expect("tandem.yaml is written");
        std::fs::write(folder.join("dialplan.yaml"), setup.dialplan).expect("the dialplan is written");
        let program = setup.program.map_or_else(program, |path| top().join(path));
        let mut command = on_cores(program.as_os_str(), setup.cores);
        command.args(["run", "--config"]).arg(&config);
        if let Some(level) = setup.level {
            command.args(["--log-level", level]);
        }
        let process = Process::start("tandem", &mut command, folder);
        let trust = setup.https.then(|| certificates::trust(&folder.join("ca.pem")));
        let mut tandem = Tandem { process, program, config, sip, http, trust, ports };
        let ready = until(Duration::from_secs(10), || {
            if let Some(status) = tandem.process.ended() {
                panic!("tandem ended with {status}:\n{}", tandem.process.tail());
            }
            matches!(tandem.http_get("/readyz"), Ok((200, _))).then_some(())
        });
        assert!(ready.is_some(), "tandem is not ready after 10 s:\n{}", tandem.process.tail());
        tandem
    }

    pub fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// Where SIP over TLS is listened to.
    pub fn tls(&self) -> SocketAddr {
        SocketAddr::new(self.sip.ip(), self.sip.port() + 1)
    }

    /// Where its HTTP answers.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    pub fn is_media_port(&self, port: u16) -> bool {
        (self.ports.0..=self.ports.1).contains(&port)
    }

    /// Runs a command of tandem against this switch: status and all that it printed.
    pub fn command(&self, arguments: &[&str]) -> (i32, String) {
        self.command_with(&self.config, arguments)
    }

    /// As [`Tandem::command`], with another configuration that names this switch.
    pub fn command_with(&self, config: &Path, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(&self.program).args(arguments).arg("--config").arg(config).output();
        let output = output.expect("tandem runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap_or(-1), text)
    }

    /// A GET with the switch's own credentials. Panics on any answer but 200.
    pub fn get(&self, path: &str) -> String {
        match self.http_get(path) {
            Ok((200, body)) => body,
            answer => panic!("GET {path}: {answer:?}\n{}", self.process.tail()),
        }
    }

    /// Makes a resource below the account of the REST interface; what is answered.
    pub fn post_form(&self, collection: &str, form: &[(&str, &str)]) -> Value {
        let body: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let path = format!("/2010-04-01/Accounts/{ACCOUNT}/{collection}.json");
        let (status, text) = self.http_ask("POST", &path, &body.join("&")).expect("an answer");
        assert!(status == 200 || status == 201, "POST {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("POST {path}: {e}: {text}"))
    }

    /// Sends a form, as it goes over the wire, to a path of the account's REST resources; status and body.
    pub fn post(&self, path: &str, form: &str) -> (u16, String) {
        let path = format!("/2010-04-01/Accounts/{ACCOUNT}/{path}");
        self.http_ask("POST", &path, form).unwrap_or_else(|e| panic!("POST {path}: {e}\n{}", self.process.tail()))
    }

    pub fn get_json(&self, path: &str) -> Value {
        let body = self.get(path);
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("GET {path}: {e}: {body}"))
    }

    /// Waits until `count` calls have ended and are stored; their records, oldest first.
    pub fn cdrs(&self, count: usize) -> Vec<Value> {
        let stored = || self.metric("tandem_store_records_total").filter(|n| *n >= count as f64);
        if until(Duration::from_secs(10), stored).is_none() {
            let all = self.metrics().iter().map(|(name, value)| format!("{name} {value}\n")).collect::<String>();
            panic!("{count} calls are not stored after 10 s:\n{all}{}", self.process.tail());
        }
        let (mut records, mut page) = (Vec::new(), String::new());
        loop {
            let found = self.get_json(&format!("/tandem/v1/cdrs?limit=1000{page}"));
            records.extend(found["cdrs"].as_array().expect("a list of records").iter().cloned());
            match found["next"].as_str() {
                Some(next) => page = format!("&page={next}"),
                None => break,
            }
        }
        records.sort_by_key(|r| r["started"].as_str().map(str::to_owned));
        records
    }

    /// Nothing of a call is left: no leg, port, transaction or timer. Waits for the longest of RFC 3261's timers, 32 s
    /// (H, F, B), and names what stayed.
    pub fn assert_nothing_left(&self) {
        const GAUGES: [&str; 7] = [
            "tandem_calls_active",
            "tandem_legs_active",
            "tandem_media_legs_active",
            "tandem_transactions_server",
            "tandem_transactions_client",
            "tandem_cdrs_unacknowledged",
            "tandem_timers",
        ];
        let left = || {
            let metrics = self.metrics();
            let of = |name: &str| metrics.iter().find(|(n, _)| n == name).map_or(f64::NAN, |(_, value)| *value);
            let left: Vec<String> =
                GAUGES.iter().filter(|name| of(name) != 0.0).map(|name| format!("{name} {}", of(name))).collect();
            left
        };
        let gone = until(Duration::from_secs(45), || left().is_empty().then_some(()));
        assert!(gone.is_some(), "left over: {:?}\n{}", left(), self.process.tail());
        assert_eq!(self.metric("tandem_bugs_total"), Some(0.0), "invariants found broken");
    }

    /// The timeline of a call, as `tandem trace` prints it.
    pub fn trace(&self, call: &str) -> String {
        let (status, text) = self.command(&["trace", call]);
        assert_eq!(status, 0, "tandem trace {call}: {text}");
        text
    }

    /// The samples of /metrics: name with labels, value.
    pub fn metrics(&self) -> Vec<(String, f64)> {
        let text = self.get("/metrics");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|l| l.rsplit_once(' ')).filter_map(|(n, v)| Some((n.to_owned(), v.parse().ok()?))).collect()
    }

    /// The sum of a metric over its labels; `None` where it is not exposed.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let all = self.metrics();
        let own = all.iter().filter(|(n, _)| n.split('{').next() == Some(name));
        own.map(|(_, value)| *value).reduce(|a, b| a + b)
    }
}

fn configuration(setup: &Setup<'_>, sip: SocketAddr, http: SocketAddr, ports: (u16, u16)) -> String {
    let threads = setup.threads.map_or_else(|| "auto".to_owned(), |t| t.to_string());
    // For measurements: one way through the kernel beside another.
    let io = std::env::var("MEDIA_IO").unwrap_or_else(|_| "auto".to_owned());
    let forwarding = setup.forwarding.map(str::to_owned);
    let forwarding =
        forwarding.unwrap_or_else(|| std::env::var("MEDIA_FORWARDING").unwrap_or_else(|_| "auto".to_owned()));
    let list = |key: &str, items: &str| if items.is_empty() { String::new() } else { format!("{key}:\n{items}") };
    let secure = SocketAddr::new(sip.ip(), sip.port() + 1);
    let (listen, tls) = match setup.tls {
        "" => (String::new(), String::new()),
        keys => (format!(", \"tls://{secure}\""), format!("  tls: {{ {keys} }}\n")),
    };
    let https = if setup.https { "  tls: { certificate: host.pem, key: host.key }\n" } else { "" };
    format!(
        "node: interop\ndata_dir: ./data\nsip:\n  domain: pbx.example.com\n  listen: [\"udp://{sip}\", \"tcp://{sip}\"{listen}]\n{tls}{}\
         media:\n  address: {}\n  ports: {}-{}\n  threads: {threads}\n  io: {io}\n  forwarding: {forwarding}\n\
         http:\n  listen: {http}\n{https}  auth: {{ account_sid: {ACCOUNT}, auth_token: {TOKEN} }}\n\
         dialplans: [dialplan.yaml]\n{}{}{}",
        setup.sip,
        sip.ip(),
        ports.0,
        ports.1,
        list("trunks", setup.trunks),
        list("users", setup.users),
        setup.more,
    )
}

fn encoded(text: &str) -> String {
    let each = |b: u8| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(each).collect()
}

/// A connection, with TLS or without.
trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

impl Tandem {
    /// Status and body, or why nobody answers.
    fn http_get(&self, path: &str) -> Result<(u16, String), String> {
        self.http_ask("GET", path, "")
    }

    fn http_ask(&self, method: &str, path: &str, body: &str) -> Result<(u16, String), String> {
        let (began, address) = (Instant::now(), self.http);
        let failed =
            |step: &str, e: std::io::Error| format!("{step} failed after {} ms: {e}", began.elapsed().as_millis());
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1));
        let stream = stream.map_err(|e| failed("the connection", e))?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(|e| failed("a timeout", e))?;
        let mut stream: Box<dyn Wire> = match &self.trust {
            Some(trust) => Box::new(certificates::secured(stream, address.ip(), trust)),
            None => Box::new(stream),
        };
        let credentials = base64(format!("{ACCOUNT}:{TOKEN}").as_bytes());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Basic {credentials}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).map_err(|e| failed("the request", e))?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map_err(|e| failed(&format!("reading, after {} bytes,", answer.len()), e))?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer without an end of its head")?;
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or("an answer without a status")?;
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        Ok((status, if chunked { unchunk(body) } else { body.to_owned() }))
    }
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let Some(length) = usize::from_str_radix(length.trim(), 16).ok().filter(|n| *n > 0) else { break };
        whole.push_str(rest.get(..length).unwrap_or(rest));
        body = rest.get(length + 2..).unwrap_or("");
    }
    whole
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() { digit as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn chunks_are_joined() {
        assert_eq!(unchunk("3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"), "abcd");
    }
}
