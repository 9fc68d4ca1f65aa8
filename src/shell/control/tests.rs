//! The loop with a core that echoes.

use super::*;
use crate::base::time::Wall;
use crate::event::{CallId, CallRecord, Cdr, Class, Ending, Fact, Timeline};
use crate::shell::mail::{Mail, mail};
use crate::shell::net::tls::Tls;
use crate::shell::net::{Limits, bind};
use crate::shell::store::{Fault, Store};
use crate::switch::{Operator, Reply};
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};

/// Answers every message with `>` in front; `late` with an answer 3 ms later; `end` with the end of a call; `command` commands the media.
#[derive(Default)]
struct Echo {
    outputs: VecDeque<Output>,
    late: Option<(Instant, Flow)>,
    counters: Counters,
    is_draining: bool,
    inputs: Arc<Mutex<Vec<String>>>,
}

pub fn record(call: CallId) -> Box<CallRecord> {
    let cdr = Cdr {
        direction: crate::event::Direction::Inbound,
        call,
        node: "n".into(),
        from: "+12125550123".into(),
        to: "100".into(),
        trunk: None,
        user: Some("alice".into()),
        context: "internal".into(),
        rule: "r".into(),
        started: Wall(1_000_000),
        answered: None,
        ended: Wall(2_000_000),
        duration_us: 1_000_000,
        billable_us: 0,
        post_dial_delay_us: None,
        ending: Ending::new(Class::Caller, "cancelled", 487),
        legs: Vec::new(),
        transfers: Vec::new(),
        answered_by: None,
        identity: None,
    };
    Box::new(CallRecord { cdr, timeline: Timeline::default(), started: Wall(1_000_000) })
}

impl Core for Echo {
    fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Received { flow, bytes } if bytes == "late" => {
                self.late = Some((now.mono + Duration::from_millis(3), flow));
            }
            Input::Received { bytes, .. } if bytes == "panic" => panic!("asked to"),
            Input::Received { bytes, .. } if bytes == "end" => {
                self.counters.cdrs_unacknowledged += 1;
                self.outputs.push_back(Output::Fact(Fact::CallEnded(record(CallId(7)))));
            }
            Input::Received { bytes, .. } if bytes == "command" => {
                self.outputs.push_back(Output::Media(media::Command::Close { leg: media::LegId(1) }));
            }
            Input::Received { flow, bytes } => {
                self.counters.messages_received += 1;
                let answer = [b">", &bytes[..]].concat();
                self.outputs.push_back(Output::Send { flow, bytes: answer.into() });
            }
            Input::Tick => {
                let (_, flow) = self.late.take_if(|(at, _)| *at <= now.mono).expect("a tick without a deadline");
                self.outputs.push_back(Output::Send { flow, bytes: Bytes::from_static(b">late") });
            }
            Input::Operator { id, ask } => {
                self.is_draining |= matches!(ask, Operator::Drain);
                self.outputs.push_back(Output::Reply { id, reply: Reply::Done });
            }
            Input::Stored { call } => {
                assert_eq!(call, CallId(7));
                self.counters.cdrs_unacknowledged -= 1;
            }
            Input::FlowFailed { flow } => self.inputs.lock().unwrap().push(format!("failed {}", flow.connection)),
            Input::Recording(_) | Input::Late { .. } => {}
            Input::Media(event) => self.inputs.lock().unwrap().push(format!("{event:?}")),
            Input::Web(event) => self.inputs.lock().unwrap().push(format!("{event:?}")),
            Input::Speech(event) => self.inputs.lock().unwrap().push(format!("{event:?}")),
            Input::Resolved { .. } | Input::Identity(_) => {}
        }
    }
    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
    fn deadline(&self) -> Option<(Instant, &'static str)> {
        self.late.map(|(at, _)| (at, "late"))
    }
    fn counters(&self) -> &Counters {
        &self.counters
    }
    fn is_drained(&self) -> bool {
        self.is_draining && self.counters.cdrs_unacknowledged == 0
    }
}

pub struct NoMedia;

impl Media for NoMedia {
    fn command(&mut self, _: media::Command) {}
    fn event(&mut self) -> Option<media::Event> {
        None
    }
    fn fd(&self) -> Option<RawFd> {
        None
    }
    fn clear(&mut self) {}
}

/// Answers a command with more events than a turn hears, and wakes nobody.
#[derive(Default)]
struct Talkative(usize);

impl Talkative {
    const EVENTS: usize = 2 * MAIL_MAX + 1;
}

impl Media for Talkative {
    fn command(&mut self, _: media::Command) {
        self.0 = Self::EVENTS;
    }
    fn event(&mut self) -> Option<media::Event> {
        self.0 = self.0.checked_sub(1)?;
        Some(media::Event::Timeout { leg: media::LegId(1) })
    }
    fn fd(&self) -> Option<RawFd> {
        None
    }
    fn clear(&mut self) {}
}

struct Kept(Arc<Mutex<Vec<CallId>>>);

impl Store for Kept {
    fn append(&mut self, records: &[Box<CallRecord>]) -> Result<(), Fault> {
        self.0.lock().unwrap().extend(records.iter().map(|r| r.cdr.call));
        Ok(())
    }

    fn keep(&mut self, _: &std::collections::BTreeMap<String, crate::event::Changed>) -> Result<(), Fault> {
        Ok(())
    }

    fn send(&mut self, _: &[Box<crate::event::Outgoing>]) -> Result<(), Fault> {
        Ok(())
    }
}

/// What a test holds of a loop.
pub struct Around {
    pub mail: Mail,
    pub udp: Vec<SocketAddr>,
    tcp: SocketAddr,
    inputs: Arc<Mutex<Vec<String>>>,
    pub kept: Arc<Mutex<Vec<CallId>>>,
    pub ledger: std::thread::JoinHandle<()>,
    runtime: tokio::runtime::Runtime,
}

pub fn parts(limits: Limits) -> (Parts<impl Core + Send + 'static, NoMedia>, Around) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listen = |scheme| crate::config::Listen { scheme, address: "127.0.0.1:0".parse().unwrap() };
    let bound = bind(&[listen(crate::config::Scheme::Udp), listen(crate::config::Scheme::Tcp)]).unwrap();
    let (mail, mailbox) = mail().unwrap();
    let streams = {
        let _inside = runtime.enter();
        Streams::new(mail.clone(), limits, bound.streams, Tls::default()).unwrap()
    };
    let (acks, kept) = (mail.clone(), Arc::new(Mutex::default()));
    let store = Kept(Arc::clone(&kept));
    let (ledger, _, ledger_thread) = crate::shell::ledger::start(store, move |c| acks.stored(c)).unwrap();
    let (core, clock) = (Echo::default(), Clock::new());
    let inputs = Arc::clone(&core.inputs);
    let (udp, tcp) = (bound.udp.iter().map(Udp::local).collect(), bound.listeners[1].2);
    let parts = Parts {
        core,
        media: NoMedia,
        clock,
        udp: bound.udp,
        streams,
        mailbox,
        ledger,
        outside: Outside::default(),
        capture: Capture::default(),
    };
    (parts, Around { mail, udp, tcp, inputs, kept, ledger: ledger_thread, runtime })
}

struct Running {
    around: Around,
    thread: std::thread::JoinHandle<std::io::Result<()>>,
}

impl std::ops::Deref for Running {
    type Target = Around;
    fn deref(&self) -> &Around {
        &self.around
    }
}

fn start(limits: Limits) -> Running {
    start_with(limits, NoMedia)
}

fn start_with(limits: Limits, media: impl Media + Send + 'static) -> Running {
    let (Parts { core, clock, udp, streams, mailbox, ledger, .. }, around) = parts(limits);
    let mut control = Control::new(Parts {
        core,
        media,
        clock,
        udp,
        streams,
        mailbox,
        ledger,
        outside: Outside::default(),
        capture: Capture::default(),
    })
    .unwrap();
    Running { around, thread: std::thread::spawn(move || control.run()) }
}

impl Running {
    fn end(self) -> Arc<Mutex<Vec<CallId>>> {
        self.runtime.block_on(self.mail.operator(Operator::Drain));
        self.thread.join().unwrap().unwrap();
        self.around.kept
    }
}

pub fn phone() -> UdpSocket {
    let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
    phone.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    phone
}

fn hear(phone: &UdpSocket) -> String {
    let mut buffer = [0; 100];
    let n = phone.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..n]).into_owned()
}

#[test]
fn datagrams_are_answered_and_deadlines_kept() {
    let running = start(Limits::default());
    let phone = phone();
    for message in ["a", "late", "b"] {
        phone.send_to(message.as_bytes(), running.udp[0]).unwrap();
    }
    assert_eq!([hear(&phone), hear(&phone), hear(&phone)], [">a", ">b", ">late"]);
    let report = running.runtime.block_on(running.mail.report()).unwrap();
    assert_eq!((report.datagrams_received, report.counters.messages_received), (3, 2));
    assert_eq!(report.deadlines, [("late", 1)]);
    assert!(running.end().lock().unwrap().is_empty());
}

#[test]
fn a_stun_keep_alive_is_answered_and_the_switch_hears_nothing_of_it() {
    let running = start(Limits::default());
    let phone = phone();
    let request = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!";
    phone.send_to(request, running.udp[0]).unwrap();
    let mut answer = [0; 100];
    let n = phone.recv(&mut answer).unwrap();
    assert_eq!((n, &answer[..2], &answer[8..20]), (32, &b"\x01\x01"[..], &b"transaction!"[..]));
    let report = running.runtime.block_on(running.mail.report()).unwrap();
    assert_eq!((report.datagrams_received, report.counters.messages_received), (1, 0));
    running.end();
}

#[test]
fn draining_waits_until_the_store_has_the_record() {
    let running = start(Limits::default());
    let phone = phone();
    phone.send_to(b"end", running.udp[0]).unwrap();
    phone.send_to(b"x", running.udp[0]).unwrap();
    assert_eq!(hear(&phone), ">x");
    assert_eq!(*running.end().lock().unwrap(), [CallId(7)]);
}

#[test]
fn a_closed_port_is_told_as_a_failed_flow() {
    let running = start(Limits::default());
    let (phone, gone) = (phone(), phone());
    gone.send_to(b"late", running.udp[0]).unwrap();
    drop(gone);
    let begin = std::time::Instant::now();
    while running.inputs.lock().unwrap().is_empty() && begin.elapsed() < Duration::from_secs(5) {
        phone.send_to(b"x", running.udp[0]).unwrap();
        hear(&phone);
    }
    assert_eq!(*running.inputs.lock().unwrap(), ["failed 0"]);
    running.end();
}

#[test]
fn media_events_beyond_a_turns_share_are_heard_without_another_wake_up() {
    let running = start_with(Limits::default(), Talkative::default());
    phone().send_to(b"command", running.udp[0]).unwrap();
    let begin = std::time::Instant::now();
    let heard = || running.inputs.lock().unwrap().len();
    while heard() < Talkative::EVENTS && begin.elapsed() < Duration::from_secs(5) {
        std::thread::yield_now();
    }
    assert_eq!(heard(), Talkative::EVENTS);
    running.end();
}

mod streams {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    const MESSAGE: &str = "OPTIONS sip:a SIP/2.0\r\nContent-Length: 2\r\n\r\nhi";

    fn connect(to: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    }

    fn read(stream: &mut TcpStream, n: usize) -> String {
        let mut buffer = vec![0; n];
        stream.read_exact(&mut buffer).unwrap();
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn messages_are_cut_out_of_the_stream_and_pings_answered() {
        let running = start(Limits::default());
        let mut stream = connect(running.tcp);
        let (first, rest) = MESSAGE.split_at(20);
        stream.write_all(first.as_bytes()).unwrap();
        stream.write_all(format!("{rest}\r\n\r\n{MESSAGE}").as_bytes()).unwrap();
        let both = read(&mut stream, 2 * (MESSAGE.len() + 1) + 2);
        assert_eq!(
            (both.matches(&format!(">{MESSAGE}")).count(), both.replace(MESSAGE, "").replace('>', "")),
            (2, "\r\n".into())
        );
        running.end();
    }

    #[test]
    fn garbage_ends_the_connection() {
        let running = start(Limits::default());
        let mut stream = connect(running.tcp);
        stream.write_all(b"\x16\x03\x01 this is no SIP\r\n\r\n").unwrap();
        assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0);
        running.end();
    }

    #[test]
    fn a_full_table_refuses_and_a_silent_connection_is_closed() {
        let running =
            start(Limits { connections_max: 1, first_message: Duration::from_millis(200), ..Limits::default() });
        let (mut first, mut second) = (connect(running.tcp), connect(running.tcp));
        assert_eq!(second.read(&mut [0; 1]).unwrap_or(0), 0);
        assert_eq!(first.read(&mut [0; 1]).unwrap(), 0);
        running.end();
    }

    #[test]
    fn connection_zero_reuses_or_opens_and_failure_is_told() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (mail, mut mailbox) = mail().unwrap();
        let streams = {
            let _inside = runtime.enter();
            Streams::new(mail, Limits::default(), Vec::new(), Tls::default()).unwrap()
        };
        let far = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = far.local_addr().unwrap();
        let flow =
            Flow { listener: crate::sip::transport::ListenerId(0), transport: Transport::Tcp, peer, connection: 0 };
        assert!(streams.send(flow, Bytes::from_static(b"one,")) && streams.send(flow, Bytes::from_static(b"two")));
        let mut accepted = far.accept().unwrap().0;
        assert_eq!((read(&mut accepted, 7).as_str(), streams.connections()), ("one,two", 1));
        accepted.write_all(MESSAGE.as_bytes()).unwrap();
        drop((accepted, far));
        let mut next = || match runtime.block_on(mailbox.streams.recv()) {
            Some(Input::Received { flow, .. }) => ("received", flow.connection),
            Some(Input::FlowFailed { flow }) => ("failed", flow.connection),
            other => panic!("{other:?}"),
        };
        assert_eq!([next(), next(), next()], [("received", 1), ("failed", 0), ("failed", 1)]);
        assert!(streams.send(flow, Bytes::from_static(b"nobody")), "the attempt is under way");
        assert_eq!([next(), next()], [("failed", 0), ("failed", 2)]);
        assert_eq!(streams.connections(), 0);
        assert!(!streams.send(Flow { connection: 9, ..flow }, Bytes::new()), "an unknown connection is not opened");
    }
}
