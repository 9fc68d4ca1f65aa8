//! `make captures`: writes the files of pcap-fixtures/ again, from real programs on loopback. Needs dumpcap (package
//! tshark) and the right to capture on `lo`.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use interop::baresip::{Phone, RunningPhone};
use interop::kamailio::{self, Role};
use interop::process::{Process, until};
use interop::scratch::{Scratch, free_ports, top};
use interop::sipp::{Codec, Side, Sipp, Step};
use interop::sound::melody;

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    for (name, call) in CALLS {
        if !chosen.is_empty() && !chosen.iter().any(|c| c == name) {
            continue;
        }
        let room = Room::open(name);
        call(&room);
        let length = room.close();
        println!("  {name:28} {length:7} bytes");
        assert!(length < 200_000, "{name} is too long to keep");
    }
}

/// Captures one call.
type Call = fn(&Room);

const CALLS: &[(&str, Call)] = &[
    ("baresip-register-digest", register),
    ("baresip-call-pcmu", |room| baresip_call(room, "pcmu", |_, _| {})),
    ("baresip-call-pcma", |room| baresip_call(room, "pcma", |_, _| {})),
    ("baresip-hold-resume", |room| baresip_call(room, "pcmu", hold)),
    ("baresip-dtmf-rfc4733", |room| baresip_call(room, "pcmu", press)),
    ("sipp-cancel", |room| sipp_call(room, false, CANCELLING, CANCELLED)),
    ("sipp-busy", |room| sipp_call(room, false, REFUSED, BUSY)),
    ("sipp-reinvite", |room| sipp_call(room, false, HOLDING, HELD)),
    ("sipp-tcp", |room| sipp_call(room, true, CALLING, CALLED)),
    ("kamailio-407-digest", trunk),
];

/// One capture: a folder, ports, and dumpcap listening to exactly those ports.
struct Room {
    scratch: Scratch,
    port: u16,
    dumpcap: Process,
    file: PathBuf,
}

impl Room {
    fn open(name: &str) -> Room {
        let scratch = Scratch::new(&format!("capture-{name}"));
        let port = free_ports(50);
        let file = top().join("pcap-fixtures").join(format!("{name}.pcap"));
        let mut command = Command::new("dumpcap");
        command.args(["-i", "lo", "-P", "-q", "-f", &format!("portrange {port}-{}", port + 49), "-w"]).arg(&file);
        let mut dumpcap = Process::start("dumpcap", &mut command, scratch.path());
        let ready = until(Duration::from_secs(10), || {
            assert!(dumpcap.ended().is_none(), "{}", dumpcap.tail());
            dumpcap.printed().contains("File:").then_some(())
        });
        assert!(ready.is_some(), "dumpcap does not start: {}", dumpcap.tail());
        Room { scratch, port, dumpcap, file }
    }

    fn at(&self, offset: u16) -> SocketAddr {
        ([127, 0, 0, 1], self.port + offset).into()
    }

    /// Ends the capture; the file's length.
    fn close(mut self) -> u64 {
        thread::sleep(Duration::from_millis(300));
        self.dumpcap.signal(libc::SIGINT);
        self.dumpcap.wait(Duration::from_secs(5));
        fs::metadata(&self.file).map_or(0, |m| m.len())
    }
}

fn phone<'a>(user: &'a str, registrar: &'a str, port: u16, codec: &'a str, plays: &'a [i16]) -> Phone<'a> {
    Phone { user, password: "secret", registrar, port, codec, transport: "udp", encryption: "", plays, dials: None }
}

fn register(room: &Room) {
    let _kamailio = kamailio::start(room.scratch.path(), room.at(0), room.at(1), Role::Registrar, None);
    let registrar = room.at(0).to_string();
    let alice = phone("alice", &registrar, room.port + 2, "pcmu", &[0; 160]).start(room.scratch.path());
    alice.wait_registered();
}

/// alice registers at Kamailio, bob calls her through it; sound goes from phone to phone.
fn baresip_call(room: &Room, codec: &str, during: fn(&RunningPhone, &RunningPhone)) {
    let _kamailio = kamailio::start(room.scratch.path(), room.at(0), room.at(1), Role::Registrar, None);
    let registrar = room.at(0).to_string();
    let (song_a, song_b) = (melody(1, 5), melody(2, 5));
    let alice = phone("alice", &registrar, room.port + 2, codec, &song_a).start(room.scratch.path());
    alice.wait_registered();
    let bob = phone("bob", &registrar, room.port + 2 + Phone::PORTS, codec, &song_b).start(room.scratch.path());
    bob.wait_registered();
    bob.command("dial", &format!("sip:alice@{registrar}"));
    bob.wait_established();
    during(&alice, &bob);
    bob.wait_hung_up();
    alice.wait_hung_up();
}

fn hold(_: &RunningPhone, bob: &RunningPhone) {
    thread::sleep(Duration::from_millis(1500));
    bob.command("hold", "");
    thread::sleep(Duration::from_millis(1500));
    bob.command("resume", "");
}

fn press(_: &RunningPhone, bob: &RunningPhone) {
    thread::sleep(Duration::from_millis(1000));
    for digit in ["1", "9", "*", "#"] {
        bob.command("sndcode", digit);
        thread::sleep(Duration::from_millis(400));
    }
}

/// SIPp calls SIPp through Kamailio.
fn sipp_call(room: &Room, tcp: bool, caller: &[Step], callee: &[Step]) {
    between(room, Role::Proxy, tcp, caller, callee);
}

fn trunk(room: &Room) {
    between(room, Role::Trunk, false, CHALLENGED, CALLED);
}

fn between(room: &Room, role: Role, tcp: bool, caller: &[Step], callee: &[Step]) {
    let folder = room.scratch.path();
    let _kamailio = kamailio::start(folder, room.at(0), room.at(1), role, None);
    let callee = Sipp::new("callee", Side::Callee, callee, "127.0.0.1", room.port + 1, room.at(0));
    let mut callee = callee.start(folder);
    let caller = Sipp {
        tcp,
        codec: Codec::Both,
        credentials: Some(kamailio::CREDENTIALS),
        ..Sipp::new("caller", Side::Caller, caller, "127.0.0.1", room.port + 3, room.at(0))
    };
    let mut caller = caller.start(folder);
    caller.finish(Duration::from_secs(20));
    callee.finish(Duration::from_secs(20));
}

const CALLING: &[Step] = &[
    Step::Invite,
    Step::May(100),
    Step::May(180),
    Step::Expect(200),
    Step::Ack,
    Step::Pause(500),
    Step::Bye,
    Step::Expect(200),
];
const CALLED: &[Step] = &[
    Step::Get("INVITE"),
    Step::Reply(180),
    Step::ReplySdp(200, "sendrecv"),
    Step::Get("ACK"),
    Step::Get("BYE"),
    Step::Reply(200),
];
const CHALLENGED: &[Step] = &[
    Step::Invite,
    Step::May(100),
    Step::Expect(407),
    Step::AckFailure,
    Step::InviteWithDigest,
    Step::May(100),
    Step::May(180),
    Step::Expect(200),
    Step::Ack,
    Step::Pause(200),
    Step::Bye,
    Step::Expect(200),
];
const CANCELLING: &[Step] = &[
    Step::Invite,
    Step::May(100),
    Step::Expect(180),
    Step::Pause(500),
    Step::Cancel,
    Step::Expect(200),
    Step::Expect(487),
    Step::AckFailure,
];
const CANCELLED: &[Step] =
    &[Step::Get("INVITE"), Step::Reply(180), Step::Get("CANCEL"), Step::Reply(200), Step::Reply(487), Step::Get("ACK")];
const REFUSED: &[Step] = &[Step::Invite, Step::May(100), Step::Expect(486), Step::AckFailure];
const BUSY: &[Step] = &[Step::Get("INVITE"), Step::Reply(486), Step::Get("ACK")];
const HOLDING: &[Step] = &[
    Step::Invite,
    Step::May(100),
    Step::May(180),
    Step::Expect(200),
    Step::Ack,
    Step::Pause(200),
    Step::Reinvite("sendonly"),
    Step::May(100),
    Step::Expect(200),
    Step::Ack,
    Step::Pause(200),
    Step::Reinvite("sendrecv"),
    Step::May(100),
    Step::Expect(200),
    Step::Ack,
    Step::Get("BYE"),
    Step::Reply(200),
];
const HELD: &[Step] = &[
    Step::Get("INVITE"),
    Step::Reply(180),
    Step::ReplySdp(200, "sendrecv"),
    Step::Get("ACK"),
    Step::Get("INVITE"),
    Step::ReplySdp(200, "recvonly"),
    Step::Get("ACK"),
    Step::Get("INVITE"),
    Step::ReplySdp(200, "sendrecv"),
    Step::Get("ACK"),
    Step::Pause(200),
    Step::Bye,
    Step::Expect(200),
];
