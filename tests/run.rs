//! `tandem run` as a process: what it says when it cannot start, reload, drain, and the end.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A folder with a configuration, its own ports, and a running switch if one was started.
struct House {
    folder: PathBuf,
    sip: u16,
    http: u16,
    switch: Option<Child>,
}

const DIALPLAN: &str = "contexts:
  in:
    - name: echo
      match: { to: echo }
      do: [ answer, echo ]
    - name: taped
      match: { to: taped }
      do: [ answer, record_call, echo ]
";

impl House {
    fn new() -> House {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let name = format!("tandem-run-{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let sip = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let house = House { folder, sip, http, switch: None };
        house.write("plan.yaml", DIALPLAN);
        house.configure("");
        house
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder.join(file), text).unwrap();
    }

    fn configure(&self, more: &str) {
        let (sip, http) = (self.sip, self.http);
        self.write(
            "tandem.yaml",
            &format!(
                "node: t
data_dir: data
sip:
  domain: example.com
  listen:
    - udp://127.0.0.1:{sip}
media: {{ address: 127.0.0.1, ports: 42000-42099 }}
http: {{ listen: '127.0.0.1:{http}' }}
trunks:
  - {{ name: carrier, targets: ['sip:127.0.0.1:9'], inbound: [127.0.0.1/32], context: in }}
dialplans: [plan.yaml]
{more}"
            ),
        );
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.args(words).arg("--config").arg(self.folder.join("tandem.yaml"));
        command
    }

    /// Exit code, stdout and stderr of a command that ends.
    fn tell(&self, words: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(words).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (status.code().unwrap_or(-1), text(stdout), text(stderr))
    }

    /// Starts the switch and waits until it is ready. Its log goes on into a file.
    fn start(&mut self) {
        self.start_with(&[]);
    }

    fn start_with(&mut self, environment: &[(&str, &str)]) {
        let mut command = self.command(&["run", "--log-format", "json"]);
        command.envs(environment.iter().copied()).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains("\"message\":\"ready\""));
        assert!(ready, "the switch ended before it was ready");
        let mut log = std::fs::File::create(self.folder.join("log")).unwrap();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = writeln!(log, "{line}");
            }
        });
        self.switch = Some(child);
    }

    fn signal(&self, name: &str) {
        let id = self.switch.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Waits for a line in the log.
    fn logged(&self, part: &str) {
        let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        until(|| log().contains(part), || format!("no `{part}` in:\n{}", log()));
    }

    /// Waits for the end; the exit code.
    fn ended(&mut self) -> i32 {
        let mut child = self.switch.take().unwrap();
        let mut code = None;
        until(
            || {
                code = child.try_wait().unwrap();
                code.is_some()
            },
            || "the switch does not end".into(),
        );
        code.and_then(|c| c.code()).unwrap_or(-1)
    }

    fn ready(&self) -> u16 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).unwrap();
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(mut child) = self.switch.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn until(mut done: impl FnMut() -> bool, why: impl Fn() -> String) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "{}", why());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A caller of `echo`, with the call established.
struct Caller {
    socket: UdpSocket,
}

impl Caller {
    fn call(house: &House) -> Caller {
        Caller::call_to(house, "echo", 40_404).0
    }

    /// A call whose RTP is at a port, and where the switch wants it.
    fn call_to(house: &House, to: &str, rtp: u16) -> (Caller, u16) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(("127.0.0.1", house.sip)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {rtp} RTP/AVP 0\r\n"
        );
        let common = |method: &str, branch: &str, to_tag: &str| {
            format!(
                "{method} sip:{to}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{branch}\r\n\
                From: <sip:me@127.0.0.1>;tag=f\r\nTo: <sip:{to}@127.0.0.1>{to_tag}\r\nCall-ID: c\r\nMax-Forwards: 70\r\n\
                Contact: <sip:me@127.0.0.1:{port}>\r\nCSeq: 1 {method}\r\n"
            )
        };
        let invite = common("INVITE", "1", "");
        let length = sdp.len();
        socket
            .send(format!("{invite}Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{sdp}").as_bytes())
            .unwrap();
        let caller = Caller { socket };
        let answer = caller.hear("SIP/2.0 200");
        let tag = answer.lines().find(|l| l.starts_with("To:")).and_then(|l| l.split_once(";tag=")).unwrap().1;
        let ack = common("ACK", "2", &format!(";tag={tag}"));
        caller.socket.send(format!("{ack}Content-Length: 0\r\n\r\n").as_bytes()).unwrap();
        let audio = answer.lines().find_map(|l| l.strip_prefix("m=audio ")).unwrap();
        (caller, audio.split(' ').next().unwrap().parse().unwrap())
    }

    /// The next message that begins so.
    fn hear(&self, begin: &str) -> String {
        let mut buffer = [0; 4_096];
        loop {
            let n = self.socket.recv(&mut buffer).unwrap_or_else(|e| panic!("waiting for {begin}: {e}"));
            let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
            if text.starts_with(begin) {
                return text;
            }
        }
    }
}

#[test]
fn what_hinders_a_start_is_one_sentence_and_an_exit_code() {
    let house = House::new();
    let file = house.folder.join("tandem.yaml").display().to_string();
    let (sip, http) = (house.sip, house.http);
    {
        let _taken = UdpSocket::bind(("127.0.0.1", sip)).unwrap();
        let sentence = format!(
            "tandem: could not listen on udp://127.0.0.1:{sip}: address already in use; is another switch running? \
            change sip.listen in {file}:6\n"
        );
        assert_eq!(house.tell(&["run"]), (3, String::new(), sentence));
    }
    {
        let _taken = TcpListener::bind(("127.0.0.1", http)).unwrap();
        let sentence = format!(
            "tandem: could not listen on http://127.0.0.1:{http}: address already in use; change http.listen in {file}:8\n"
        );
        assert_eq!(house.tell(&["run"]), (3, String::new(), sentence));
    }
    house.configure("store: postgres://tandem@db/tandem");
    let (code, _, said) = house.tell(&["run"]);
    assert!(code == 1 && said.contains("tandem.yaml:12:") && said.contains("not yet available"), "{code} {said}");
    house.configure("nodes: x");
    let (code, said, _) = house.tell(&["check"]);
    assert!(code == 1 && said.contains("tandem.yaml:12:1: ") && said.contains("node"), "{code} {said}");
    assert_eq!(house.tell(&["run", "--loud"]).0, 2);
    house.configure("");
    let (code, _, said) = house.tell(&["calls"]);
    assert!(code == 1 && said.contains("no switch answers at http://127.0.0.1"), "{code} {said}");
}

#[test]
fn a_reload_is_applied_whole_or_refused_whole() {
    let mut house = House::new();
    house.start();
    house.write("plan.yaml", &format!("{DIALPLAN}    - {{ name: more, match: {{ to: more }}, do: [ answr ] }}\n"));
    let (code, _, said) = house.tell(&["reload"]);
    assert!(
        code == 1 && said.contains("stays as it was") && said.contains("plan.yaml:9:") && said.contains("answer"),
        "{said}"
    );
    house.signal("-HUP");
    house.logged("the configuration stays as it was");
    house.write("plan.yaml", DIALPLAN);
    house.configure("trunks: []");
    assert_eq!(house.tell(&["reload"]).0, 1, "a key that stands twice");
    house.configure("limits: { calls: 7 }");
    let (code, said, _) = house.tell(&["reload"]);
    assert_eq!((code, said.as_str()), (0, "the new configuration is in force\n"));
    let text = std::fs::read_to_string(house.folder.join("tandem.yaml")).unwrap();
    house.write("tandem.yaml", &text.replace("42000-42099", "42000-42199"));
    let (code, _, said) = house.tell(&["reload"]);
    assert!(code == 1 && said.contains("media.ports cannot change while the switch runs"), "{said}");
    assert_eq!(house.ready(), 200);
    let (code, said, _) = house.tell(&["calls"]);
    assert_eq!((code, said.as_str()), (0, "no calls\n"));
    house.signal("-TERM");
    assert_eq!(house.ended(), 0);
}

#[test]
fn a_call_outlives_the_first_signal_and_not_the_second() {
    let mut house = House::new();
    house.start();
    let caller = Caller::call(&house);
    let (_, calls, _) = house.tell(&["calls", "--json"]);
    assert!(calls.starts_with('[') && calls.contains("\"to\": \"echo\""), "{calls}");
    let (_, live, _) = house.tell(&["trace", "last"]);
    assert!(live.contains("INVITE") && live.contains("goes on: "), "{live}");
    house.signal("-TERM");
    house.logged("draining");
    assert_eq!(house.ready(), 503);
    assert!(house.switch.as_mut().unwrap().try_wait().unwrap().is_none(), "the call was not waited for");
    let begin = Instant::now();
    house.signal("-TERM");
    caller.hear("BYE ");
    assert_eq!(house.ended(), 0);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    let (code, said, _) = house.tell(&["cdr", "export"]);
    assert!(code == 0 && said.lines().count() == 1 && said.contains("\"class\":\"operator\""), "{code} {said}");
    let (code, said, _) = house.tell(&["trace", "last"]);
    assert!(
        code == 0 && said.contains("<--- 200 OK (INVITE) (1) ----|") && said.contains("ended by operator"),
        "{said}"
    );
    let (code, _, said) = house.tell(&["trace", "CA00000000000000000000000000000000"]);
    assert!(code == 1 && said.contains("there is no call"), "{said}");
}

/// A caller says a louder and louder tone of one value a packet; the switch is killed meanwhile.
fn killed_while_it_records(recording: &str) -> House {
    let mut house = House::new();
    house.configure(recording);
    house.start();
    let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (_caller, port) = Caller::call_to(&house, "taped", rtp.local_addr().unwrap().port());
    let begin = Instant::now();
    for n in 0..KILLED_AFTER {
        let due = begin + Duration::from_millis(20) * u32::from(n);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut packet = vec![0x80, 0];
        packet.extend_from_slice(&n.to_be_bytes());
        packet.extend_from_slice(&(u32::from(n) * 160).to_be_bytes());
        packet.extend_from_slice(&[0, 0, 0, 7]);
        // The louder half of µ-law's negative codes.
        packet.extend_from_slice(&[(n % 64) as u8; 160]);
        rtp.send_to(&packet, ("127.0.0.1", port)).unwrap();
    }
    house.signal("-KILL");
    house.switch.take().unwrap().wait().unwrap();
    house
}

/// Packets of 20 ms that are sent before the kill.
const KILLED_AFTER: u16 = 175;

#[test]
fn what_was_recorded_survives_a_kill_up_to_the_last_second() {
    let house = killed_while_it_records("");
    let (code, said, _) = house.tell(&["recordings", "ls"]);
    assert_eq!((code, said.as_str()), (0, "no recordings\n"));
    let (code, said, wrong) = house.tell(&["recordings", "recover"]);
    assert!(code == 0 && said.contains(" recovered: "), "{said}{wrong}");
    let (_, listed, _) = house.tell(&["recordings", "ls", "--json"]);
    assert!(listed.contains("\"status\": \"recovered\"") && listed.contains("\"channels\": 2"), "{listed}");
    let file = house.folder.join("out.wav");
    let (code, _, wrong) = house.tell(&["recordings", "export", "last", "-o", file.to_str().unwrap()]);
    assert_eq!((code, wrong.as_str()), (0, ""));
    let (layout, samples) = tandem::recording::wav::read(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!((layout.channels, layout.rate), (2, 8_000));
    // What the caller said, packet by packet, without those that came before the recording was told of.
    let said: Vec<i16> = samples.iter().step_by(2).copied().collect();
    let first = said.iter().position(|s| *s != 0).unwrap();
    let code = tandem_code(said[first + 80]);
    let whole = (said.len() - first) / 160;
    assert!(whole + 50 >= usize::from(KILLED_AFTER - code), "{whole} packets of {KILLED_AFTER}, from {code} on");
    for (n, packet) in said[first..].chunks_exact(160).enumerate() {
        assert_eq!(tandem_code(packet[80]), (code + n as u16) % 64, "packet {n}");
    }
    // It heard itself.
    let heard: Vec<i16> = samples.iter().skip(1).step_by(2).copied().collect();
    assert!(heard.iter().filter(|s| **s != 0).count() > 150 * (whole - 2), "{whole}");
}

/// The µ-law code of a negative sample.
fn tandem_code(sample: i16) -> u16 {
    u16::from(codecs::g711::ulaw_encode(sample))
}

#[test]
fn a_sealed_recording_needs_its_key() {
    let keyed = |digit: char| format!("recording: {{ encryption: {{ key: '{}' }} }}", digit.to_string().repeat(64));
    let house = killed_while_it_records(&keyed('a'));
    house.configure(&keyed('b'));
    let (code, _, wrong) = house.tell(&["recordings", "recover"]);
    assert!(code == 1 && wrong.contains("is sealed with key"), "{code} {wrong}");
    house.configure(&format!(
        "recording: {{ encryption: {{ key: '{}', old_keys: ['{}'] }} }}",
        "b".repeat(64),
        "a".repeat(64)
    ));
    let (code, said, wrong) = house.tell(&["recordings", "recover"]);
    assert!(code == 0 && said.contains(" recovered: "), "{said}{wrong}");
    let file = house.folder.join("out.wav");
    let export = ["recordings", "export", "last", "-o", file.to_str().unwrap()];
    assert_eq!(house.tell(&export).0, 0);
    assert!(tandem::recording::wav::read(&std::fs::read(&file).unwrap()).unwrap().1.len() > 16_000);
    std::fs::remove_file(&file).unwrap();
    house.configure(&keyed('c'));
    let (code, _, wrong) = house.tell(&export);
    assert!(code == 1 && wrong.contains("is sealed with key") && !file.exists(), "{code} {wrong}");
}

#[test]
fn systemd_is_told_of_every_state() {
    let mut house = House::new();
    let path = house.folder.join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = |part: &str| {
        let mut buffer = [0; 500];
        loop {
            let n = socket.recv(&mut buffer).unwrap_or_else(|e| panic!("waiting for {part}: {e}"));
            if String::from_utf8_lossy(&buffer[..n]).contains(part) {
                return;
            }
        }
    };
    house.start_with(&[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "300000")]);
    told("READY=1");
    told("WATCHDOG=1");
    told("WATCHDOG=1");
    house.signal("-HUP");
    told("RELOADING=1\nMONOTONIC_USEC=");
    told("READY=1");
    house.signal("-INT");
    told("STOPPING=1");
    assert_eq!(house.ended(), 0);
}
