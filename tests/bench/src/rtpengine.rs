//! rtpengine in userspace, driven by its ng protocol: bencoded dictionaries over UDP.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use interop::process::{Process, until};

use crate::message::{media_of, sdp, sdp_of_opus};

/// A running rtpengine.
#[derive(Debug)]
pub struct Rtpengine {
    pub process: Process,
    control: UdpSocket,
    counter: u32,
}

impl Rtpengine {
    /// Starts it on loopback with `threads` worker threads and the ports from `media` on.
    pub fn start(folder: &Path, control: SocketAddr, media: (u16, u16), threads: u16) -> Rtpengine {
        let mut command = Command::new("rtpengine");
        command.args(["--foreground", "--log-stderr", "--log-level=3", "--table=-1", "--interface=127.0.0.1"]);
        command.args([&format!("--listen-ng={control}"), &format!("--num-threads={threads}")]);
        command.args([&format!("--port-min={}", media.0), &format!("--port-max={}", media.1)]);
        command.arg("--config-file=none").arg("--pidfile=/dev/null");
        let process = Process::start("rtpengine", &mut command, folder);
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
        socket.connect(control).expect("loopback is reachable");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout is set");
        let mut engine = Rtpengine { process, control: socket, counter: 0 };
        let up = until(Duration::from_secs(10), || engine.ask(&[("command", "ping")]));
        assert!(up.is_some(), "rtpengine does not answer:\n{}", engine.process.tail());
        engine
    }

    /// Relays one call between the two ends: where the caller sends its media, and where the callee does.
    pub fn relay(&mut self, call: usize, ends: [SocketAddr; 2]) -> [SocketAddr; 2] {
        let id = format!("bench-{call}");
        let (offer, answer) = (sdp(ends[0]), sdp(ends[1]));
        let offered = self.media(&[
            ("call-id", &id),
            ("command", "offer"),
            ("from-tag", "a"),
            ("ICE", "remove"),
            ("sdp", &offer),
        ]);
        let answered = self.media(&[
            ("ICE", "remove"),
            ("call-id", &id),
            ("command", "answer"),
            ("from-tag", "a"),
            ("sdp", &answer),
            ("to-tag", "b"),
        ]);
        [answered, offered]
    }

    /// As `relay`, with Opus towards the callee, which the engine makes from the caller's µ-law and back; and its payload type.
    pub fn transcode(&mut self, call: usize, ends: [SocketAddr; 2]) -> ([SocketAddr; 2], u8) {
        let id = format!("bench-{call}");
        let (offer, answer) = (sdp(ends[0]), sdp_of_opus(ends[1]));
        let common = [("ICE", "remove"), ("call-id", id.as_str()), ("from-tag", "a")];
        let offered = [&common[..], &[("command", "offer"), ("sdp", &offer)]].concat();
        let wanted = "5:codecd4:maskl4:PCMUe9:transcodel4:opusee";
        let offered = self.ask_with(&offered, wanted).unwrap_or_default();
        let number = offered.split_once("a=rtpmap:").and_then(|(_, rest)| rest.split_once(" opus/48000/2"));
        let number =
            number.and_then(|(n, _)| n.parse::<u8>().ok()).unwrap_or_else(|| panic!("rtpengine offers {offered}"));
        let answer = answer.replace("111", &number.to_string());
        let answered = [&common[..], &[("command", "answer"), ("sdp", &answer), ("to-tag", "b")]].concat();
        ([self.media(&answered), media_of_answer(&offered)], number)
    }

    /// Ends a call.
    pub fn release(&mut self, call: usize) {
        let id = format!("bench-{call}");
        self.ask(&[("call-id", &id), ("command", "delete"), ("delete-delay", "0"), ("from-tag", "a")]);
    }

    fn media(&mut self, command: &[(&str, &str)]) -> SocketAddr {
        media_of_answer(&self.ask(command).unwrap_or_default())
    }

    fn ask(&mut self, command: &[(&str, &str)]) -> Option<String> {
        self.ask_with(command, "")
    }

    /// Asks with a key and a value more, bencoded already.
    fn ask_with(&mut self, command: &[(&str, &str)], more: &str) -> Option<String> {
        self.counter += 1;
        let mut text = format!("{} d", self.counter);
        for (key, value) in command {
            text.push_str(&format!("{}:{key}{}:{value}", key.len(), value.len()));
        }
        text.push_str(more);
        text.push('e');
        self.control.send(text.as_bytes()).ok()?;
        let mut buffer = [0; 8192];
        let length = self.control.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }
}

fn media_of_answer(answer: &str) -> SocketAddr {
    let sdp = answer.split_once("3:sdp").and_then(|(_, rest)| rest.split_once(':')).map_or("", |(_, sdp)| sdp);
    media_of(sdp).unwrap_or_else(|| panic!("rtpengine answered {answer}"))
}
