//! SIPp as a carrier: scenarios are written as steps, and what one is told about media is read back from its log.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{Process, until};

/// One step of a scenario. SIPp stops a call as failed where the next thing to arrive is not what the step expects.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// Sends INVITE with an SDP offer.
    Invite,
    /// Sends INVITE without a description: the answer offers.
    InviteLate,
    /// Sends INVITE again with the answer to the digest challenge that came last.
    InviteWithDigest,
    /// Waits for a response with this code.
    Expect(u16),
    /// A response with this code may come before the next step.
    May(u16),
    /// Sends ACK for a 2xx.
    Ack,
    /// Sends ACK for a 2xx that offers, with the answer.
    AckSdp(&'static str),
    /// Sends ACK for a final response that is no 2xx: in the INVITE's transaction.
    AckFailure,
    /// Sends CANCEL for the INVITE.
    Cancel,
    Bye,
    /// Sends INFO with a digit: `dtmf-relay` (Signal=5) or `dtmf` (the digit alone).
    Info(&'static str, char),
    /// Sends re-INVITE with SDP of this direction (`sendonly`, `sendrecv`, …).
    Reinvite(&'static str),
    /// Waits for a request.
    Get(&'static str),
    /// A request that may come before the next step.
    MayGet(&'static str),
    /// Answers the last request without a body.
    Reply(u16),
    /// Answers the last INVITE with SDP of this direction.
    ReplySdp(u16, &'static str),
    /// Waits so many milliseconds.
    Pause(u32),
    /// Stays so many milliseconds to answer retransmissions.
    Linger(u32),
}

/// Which side of the first INVITE a scenario plays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Side {
    Caller,
    Callee,
}

/// How a SIPp process is started.
#[derive(Debug, Clone)]
pub struct Sipp<'a> {
    pub name: &'a str,
    pub side: Side,
    pub steps: &'a [Step],
    /// Address of SIPp's own socket; `[::1]` written without brackets.
    pub ip: &'a str,
    pub port: u16,
    /// Where requests go: the switch. Not used by a callee.
    pub target: SocketAddr,
    /// What others are told to send to instead of `ip:port`, where a proxy stands between.
    pub public: Option<SocketAddr>,
    /// User part of the URI that is called, and of the caller.
    pub to: &'a str,
    pub from: &'a str,
    /// Port written in SDP.
    pub rtp_port: u16,
    pub codec: Codec,
    /// Whether its SDP has telephone-events.
    pub events: bool,
    pub calls: u32,
    pub calls_per_second: u32,
    pub tcp: bool,
    /// Digest user and password.
    pub credentials: Option<(&'a str, &'a str)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Codec {
    Pcmu,
    Pcma,
    Both,
    Opus,
}

impl Codec {
    fn lines(self) -> (&'static str, &'static str) {
        match self {
            Codec::Pcmu => ("0 101", "a=rtpmap:0 PCMU/8000\n"),
            Codec::Pcma => ("8 101", "a=rtpmap:8 PCMA/8000\n"),
            Codec::Opus => ("111 101", "a=rtpmap:111 opus/48000/2\n"),
            Codec::Both => ("0 8 101", "a=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\n"),
        }
    }
}

/// A SIPp that runs.
#[derive(Debug)]
pub struct Running {
    pub process: Process,
    folder: PathBuf,
    name: String,
}

impl<'a> Sipp<'a> {
    /// One call of G.711 µ-law; the fields are then set as the test needs.
    pub fn new(name: &'a str, side: Side, steps: &'a [Step], ip: &'a str, port: u16, target: SocketAddr) -> Sipp<'a> {
        Sipp {
            name,
            side,
            steps,
            ip,
            port,
            target,
            public: None,
            to: "100",
            from: "+12125550123",
            rtp_port: 6000,
            codec: Codec::Pcmu,
            events: true,
            calls: 1,
            calls_per_second: 1,
            tcp: false,
            credentials: None,
        }
    }

    /// The media address that its SDP names.
    pub fn media(&self) -> SocketAddr {
        SocketAddr::new(self.ip.parse().expect("an address"), self.rtp_port)
    }

    /// Starts SIPp; its files are `folder/NAME.*`.
    pub fn start(&self, folder: &Path) -> Running {
        let file = |ending: &str| folder.join(format!("{}.{ending}", self.name));
        fs::write(file("xml"), self.scenario()).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let mut command = Command::new("sipp");
        command.arg("-sf").arg(file("xml"));
        command.args(["-i", self.ip, "-p", &self.port.to_string(), "-m", &self.calls.to_string()]);
        command.args(["-t", if self.tcp { "t1" } else { "u1" }, "-nostdin", "-buff_size", "4194304"]);
        if self.steps.contains(&Step::MayGet("INVITE")) {
            // An INVITE that comes again because our answers were lost is no reason to give the call up.
            command.args(["-default_behaviors", "all,-abortunexp"]);
        }
        command.args(["-trace_err", "-error_file"]).arg(file("errors"));
        command.args(["-trace_logs", "-log_file"]).arg(file("calls"));
        command.args(["-trace_stat", "-fd", "1", "-stf"]).arg(file("csv"));
        if self.calls == 1 {
            command.args(["-trace_msg", "-message_file"]).arg(file("messages"));
        }
        if self.side == Side::Caller {
            command.args(["-r", &self.calls_per_second.to_string(), "-s", self.to]);
            command.args(["-l", &(self.calls_per_second * 60).to_string(), "-recv_timeout", "40000"]);
            if let Some((user, password)) = self.credentials {
                command.args(["-au", user, "-ap", password]);
            }
            command.arg(self.target.to_string());
        }
        let process = Process::start(self.name, &mut command, folder);
        Running { process, folder: folder.to_owned(), name: self.name.to_owned() }
    }

    /// `address:port` that others are told. SIPp takes brackets for a keyword, and writes an IPv6 address with them itself.
    fn own(&self) -> String {
        match self.public {
            Some(public) => public.to_string(),
            None if self.ip.contains(':') => format!("[local_ip]:{}", self.port),
            None => format!("{}:{}", self.ip, self.port),
        }
    }

    fn scenario(&self) -> String {
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<scenario name=\"tandem\">\n");
        for (index, step) in self.steps.iter().enumerate() {
            xml.push_str(&self.step(index, *step));
        }
        // SIPp refuses a variable that is set and never read.
        let set: BTreeSet<&str> = xml.split("assign_to=\"").skip(1).filter_map(|s| s.split('"').next()).collect();
        let names: Vec<&str> = set.into_iter().collect();
        if !names.is_empty() {
            xml.push_str(&format!("<Reference variables=\"{}\"/>\n", names.join(",")));
        }
        xml.push_str("</scenario>\n");
        xml
    }

    fn step(&self, index: usize, step: Step) -> String {
        match step {
            Step::Invite => self.begin(index, &self.request("INVITE", "", "sendrecv")),
            Step::InviteLate => self.begin(index, &self.request("INVITE", "", "")),
            Step::InviteWithDigest => send(true, &self.request("INVITE", "[authentication]\n", "sendrecv")),
            Step::Reinvite(direction) => self.begin(index, &self.request("re-INVITE", "", direction)),
            Step::Bye => self.begin(index, &self.request("BYE", "", "")),
            Step::Info(kind, digit) => {
                let body = if kind == "dtmf" { digit.to_string() } else { format!("Signal={digit}\nDuration=120\n") };
                let extra = format!("Content-Type: application/{kind}\nContent-Length: [len]\n\n{body}");
                self.begin(index, &self.request("INFO", "", "").replace("Content-Length: 0\n\n", &extra))
            }
            Step::Ack | Step::AckSdp(_) => {
                let of = self.transaction(index, "ack").unwrap_or_default();
                let direction = if let Step::AckSdp(direction) = step { direction } else { "" };
                send(false, &self.request("ACK", "", direction)).replacen("<send", &format!("<send{of}"), 1)
            }
            Step::AckFailure => send(false, &self.in_transaction(index, "ACK")),
            Step::Cancel => send(true, &self.in_transaction(index, "CANCEL")),
            Step::Expect(code @ (401 | 407)) => format!("<recv response=\"{code}\" auth=\"true\"/>\n"),
            Step::Expect(code) => {
                let of = self.transaction(index, "response").unwrap_or_default();
                let rrs = if (200..300).contains(&code) { " rrs=\"true\"" } else { "" };
                // SIPp's variables keep what an earlier message said: an answer to BYE names no media.
                let ends = self.steps[..index].iter().rev().find(|s| !matches!(s, Step::May(_) | Step::Expect(_)));
                let note = if matches!(ends, Some(Step::Bye | Step::Cancel | Step::Info(..))) {
                    String::new()
                } else {
                    note_media()
                };
                format!("<recv response=\"{code}\"{rrs}{of}>\n<action>\n{note}</action>\n</recv>\n")
            }
            Step::May(code) => {
                let of = self.transaction(index, "response").unwrap_or_default();
                format!("<recv response=\"{code}\" optional=\"true\"{of}/>\n")
            }
            Step::Get("INVITE") => {
                format!(
                    "<recv request=\"INVITE\" rrs=\"true\">\n<action>\n{}{}</action>\n</recv>\n",
                    note_media(),
                    note_peer()
                )
            }
            Step::Get(method) => {
                format!("<recv request=\"{method}\">\n<action>\n{}</action>\n</recv>\n", note_dialog())
            }
            // A repeated INVITE, as our 180 and 200 were both lost: nothing is to be done, the 200 is sent again until ACK. SIPp has
            // no step for it and is told by `start` not to give the call up.
            Step::MayGet("INVITE") => String::new(),
            Step::MayGet(method) => {
                format!(
                    "<recv request=\"{method}\" optional=\"true\">\n<action>\n{}</action>\n</recv>\n",
                    note_dialog()
                )
            }
            Step::Reply(code) => send(self.repeats(index, code), &self.reply(index, code, None)),
            Step::ReplySdp(code, direction) => {
                send(self.repeats(index, code), &self.reply(index, code, Some(direction)))
            }
            Step::Pause(ms) => format!("<pause milliseconds=\"{ms}\"/>\n"),
            Step::Linger(ms) => format!("<timewait milliseconds=\"{ms}\"/>\n"),
        }
    }

    /// Sends a request that begins a transaction.
    fn begin(&self, index: usize, message: &str) -> String {
        let name = if self.tells_transactions() { format!(" start_txn=\"t{index}\"") } else { String::new() };
        send(true, message).replacen("<send", &format!("<send{name}"), 1)
    }

    /// That a step is of the transaction of the request before it. Else SIPp takes a 200 to INVITE that comes again for the
    /// answer to its BYE, and doesn't send ACK again.
    fn transaction(&self, index: usize, role: &str) -> Option<String> {
        let begins =
            |s: &Step| matches!(s, Step::Invite | Step::InviteLate | Step::Reinvite(_) | Step::Bye | Step::Info(..));
        let at = self.steps[..index].iter().rposition(begins).filter(|_| self.tells_transactions())?;
        Some(format!(" {role}_txn=\"t{at}\""))
    }

    /// CANCEL and the ACK of a failure are of the INVITE's transaction, for which SIPp has no word.
    fn tells_transactions(&self) -> bool {
        let apart = |s: &Step| matches!(s, Step::Cancel | Step::AckFailure | Step::InviteWithDigest);
        !self.steps.iter().any(apart)
    }

    fn sdp(&self, direction: &str) -> String {
        let (payloads, lines) = self.codec.lines();
        let family = if self.ip.contains(':') { 6 } else { 4 };
        let (ip, port) = (self.ip, self.rtp_port);
        let (payloads, events) = match self.events {
            true if self.codec == Codec::Opus => (payloads, "a=rtpmap:101 telephone-event/48000\na=fmtp:101 0-15\n"),
            true => (payloads, "a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\n"),
            false => (payloads.trim_end_matches(" 101"), ""),
        };
        format!(
            "Content-Type: application/sdp\nContent-Length: [len]\n\nv=0\no=carrier 1 1 IN IP{family} {ip}\ns=-\n\
             c=IN IP{family} {ip}\nt=0 0\nm=audio {port} RTP/AVP {payloads}\n{lines}\
             {events}a={direction}\n"
        )
    }

    /// A request that opens or belongs to the dialog. A callee's own requests go to the caller's Contact.
    fn request(&self, method: &str, extra: &str, direction: &str) -> String {
        let (own, from) = (self.own(), self.from);
        let transport = if self.tcp { "TCP" } else { "UDP" };
        let opening = method == "INVITE";
        let name = method.trim_start_matches("re-");
        let (uri, parties) = match self.side {
            Side::Caller if opening => (
                "sip:[service]@[remote_ip]:[remote_port]".to_owned(),
                format!(
                    "From: <sip:{from}@{own}>;tag=[pid]c[call_number]\nTo: <sip:[service]@[remote_ip]:[remote_port]>\n"
                ),
            ),
            Side::Caller => (
                "[next_url]".to_owned(),
                format!(
                    "From: <sip:{from}@{own}>;tag=[pid]c[call_number]\n\
                     To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]\n[routes]\n"
                ),
            ),
            Side::Callee => ("[$uri]".to_owned(), "From:[$ct]\nTo:[$cf]\n[routes]\n".to_owned()),
        };
        let body = if direction.is_empty() { "Content-Length: 0\n\n".to_owned() } else { self.sdp(direction) };
        format!(
            "{name} {uri} SIP/2.0\nVia: SIP/2.0/{transport} {own};rport;branch=[branch]\nMax-Forwards: 70\n{parties}\
             Call-ID: [call_id]\nCSeq: [cseq] {name}\nContact: <sip:{from}@{own}>\n{extra}{body}"
        )
    }

    /// ACK of a failure and CANCEL: branch, Request-URI and CSeq number of the INVITE.
    fn in_transaction(&self, index: usize, name: &str) -> String {
        let (own, from) = (self.own(), self.from);
        let transport = if self.tcp { "TCP" } else { "UDP" };
        let tag = if name == "ACK" { "[peer_tag_param]" } else { "" };
        // SIPp makes a branch from the step's number in the scenario.
        let is_invite =
            |s: &Step| matches!(s, Step::Invite | Step::InviteLate | Step::InviteWithDigest | Step::Reinvite(_));
        let back = self.steps[..index].iter().rev().position(is_invite).map_or(0, |distance| distance + 1);
        format!(
            "{name} sip:[service]@[remote_ip]:[remote_port] SIP/2.0\n\
             Via: SIP/2.0/{transport} {own};rport;branch=[branch-{back}]\nMax-Forwards: 70\n\
             From: <sip:{from}@{own}>;tag=[pid]c[call_number]\nTo: <sip:[service]@[remote_ip]:[remote_port]>{tag}\n\
             Call-ID: [call_id]\nCSeq: [cseq] {name}\nContent-Length: 0\n\n"
        )
    }

    /// The request that a step answers.
    fn answered(&self, index: usize) -> &'static str {
        let asked = self.steps[..index].iter().rev().find_map(|step| match step {
            Step::Get(method) | Step::MayGet(method) => Some(*method),
            _ => None,
        });
        asked.unwrap_or("INVITE")
    }

    /// Final answers to INVITE are sent again until ACK; others when the request is.
    fn repeats(&self, index: usize, code: u16) -> bool {
        code >= 200 && (self.answered(index) == "INVITE" || code == 487)
    }

    fn reply(&self, index: usize, code: u16, sdp: Option<&str>) -> String {
        // A request of an existing dialog brings the tag with it.
        let in_dialog = self.steps[..index].iter().any(|s| matches!(s, Step::Get("ACK") | Step::MayGet("ACK")));
        let opens = self.side == Side::Callee && !in_dialog && code > 100;
        let tag = if opens { ";tag=[pid]s[call_number]" } else { "" };
        let own = self.own();
        let sequence = match self.answered(index) {
            "CANCEL" if code == 487 => "CSeq: [$cs] INVITE",
            _ => "[last_CSeq:]",
        };
        let body = sdp.map_or_else(|| "Content-Length: 0\n\n".to_owned(), |direction| self.sdp(direction));
        format!(
            "SIP/2.0 {code} {}\n[last_Via:]\n[last_Record-Route:]\n[last_From:]\n[last_To:]{tag}\n[last_Call-ID:]\n{sequence}\n\
             Contact: <sip:far@{own}>\n{body}",
            reason(code)
        )
    }
}

fn reason(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        480 => "Temporarily Unavailable",
        486 => "Busy Here",
        487 => "Request Terminated",
        503 => "Service Unavailable",
        603 => "Decline",
        _ => "Other",
    }
}

fn send(retransmitted: bool, message: &str) -> String {
    let timer = if retransmitted { " retrans=\"500\"" } else { "" };
    format!("<send{timer}><![CDATA[\n{message}]]></send>\n")
}

/// Logs `media ADDRESS PORT` from the SDP just received, if any.
fn note_media() -> String {
    "<ereg regexp=\"c=IN IP[46] ([^[:space:]]+)\" search_in=\"msg\" assign_to=\"c,a\"/>\n\
     <ereg regexp=\"m=audio ([0-9]+)\" search_in=\"msg\" assign_to=\"m,p\"/>\n\
     <ereg regexp=\"a=(sendrecv|sendonly|recvonly|inactive)\" search_in=\"msg\" assign_to=\"r\"/>\n\
     <log message=\"media [$a] [$p] [$r]\"/>\n"
        .to_owned()
}

/// Keeps the caller's Contact for requests of the callee's own, and the INVITE's number for an answer after CANCEL.
fn note_peer() -> String {
    "<ereg regexp=\"sip:[^>]*\" search_in=\"hdr\" header=\"Contact:\" assign_to=\"uri\"/>\n\
     <ereg regexp=\"[0-9]+\" search_in=\"hdr\" header=\"CSeq:\" assign_to=\"cs\"/>\n"
        .to_owned()
}

/// Keeps both parties as the last request named them.
fn note_dialog() -> String {
    "<ereg regexp=\".*\" search_in=\"hdr\" header=\"From:\" assign_to=\"cf\"/>\n\
     <ereg regexp=\".*\" search_in=\"hdr\" header=\"To:\" assign_to=\"ct\"/>\n"
        .to_owned()
}

/// What one SIPp counted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Counts {
    pub successful: u64,
    pub failed: u64,
    pub retransmissions: u64,
}

impl Running {
    /// Waits until SIPp ended by itself. Panics with its errors when it took too long or counted a failed call.
    pub fn finish(&mut self, limit: Duration) -> Counts {
        let status = self.process.wait(limit);
        let counts = self.counts();
        assert!(status.success(), "{} ended with {status}, {counts:?}:\n{}", self.name, self.errors());
        counts
    }

    /// The media addresses that the other side named so far, in order.
    pub fn media(&self) -> Vec<SocketAddr> {
        let log = fs::read_to_string(self.folder.join(format!("{}.calls", self.name))).unwrap_or_default();
        let lines = log.lines().filter_map(|line| line.strip_prefix("media "));
        lines
            .filter_map(|l| {
                let mut words = l.split_whitespace();
                Some(SocketAddr::new(words.next()?.parse().ok()?, words.next()?.parse().ok()?))
            })
            .collect()
    }

    /// The directions (`sendrecv`, `recvonly`, …) that the other side named so far, in order.
    pub fn directions(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.join(format!("{}.calls", self.name))).unwrap_or_default();
        let lines = log.lines().filter_map(|line| line.strip_prefix("media "));
        lines.filter_map(|l| l.split_whitespace().nth(2)?.strip_prefix("a=").map(str::to_owned)).collect()
    }

    /// Waits until the other side has named its media address `count` times; the last.
    pub fn wait_media(&self, count: usize) -> SocketAddr {
        let found = until(Duration::from_secs(10), || self.media().get(count - 1).copied());
        found.unwrap_or_else(|| {
            panic!("{} was not told where media goes:\n{}{}", self.name, self.errors(), self.messages())
        })
    }

    /// Every message that it sent and received; for single calls only.
    pub fn messages(&self) -> String {
        fs::read_to_string(self.folder.join(format!("{}.messages", self.name))).unwrap_or_default()
    }

    pub fn errors(&self) -> String {
        let text = fs::read_to_string(self.folder.join(format!("{}.errors", self.name))).unwrap_or_default();
        text.chars().take(4000).collect()
    }

    /// The last line of SIPp's statistics.
    pub fn counts(&self) -> Counts {
        let text = fs::read_to_string(self.folder.join(format!("{}.csv", self.name))).unwrap_or_default();
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().split(';').collect();
        let last: Vec<&str> = lines.last().unwrap_or_default().split(';').collect();
        let value = |name: &str| {
            let column = names.iter().position(|n| *n == name)?;
            last.get(column)?.parse().ok()
        };
        Counts {
            successful: value("SuccessfulCall(C)").unwrap_or(0),
            failed: value("FailedCall(C)").unwrap_or(0),
            retransmissions: value("Retransmissions(C)").unwrap_or(0),
        }
    }
}
