//! A colleague's lamp at a program that others wrote: SIPp subscribes to a phone's line and sees it ring, talk and rest.

use std::process::Command;
use std::time::Duration;

use interop::baresip::Phone;
use interop::process::{Process, until};
use interop::scratch::{Scratch, free_ports};
use interop::sound::melody;
use interop::tandem::{Setup, Tandem};

const DIALPLAN: &str = "contexts:\n  internal:\n    - { name: phones, match: { to: /^[a-z]+$/ }, do: [ { dial: { user: \"${to}\", timeout: 10s } } ] }\n";

const HEAD: &str = "Via: SIP/2.0/UDP [local_ip]:[local_port];rport;branch=[branch]\nMax-Forwards: 70\n\
    From: <sip:carol@[remote_ip]>;tag=[pid]c[call_number]\nTo: <sip:alice@[remote_ip]>\nCall-ID: [call_id]\nCSeq: [cseq] SUBSCRIBE\n\
    Contact: <sip:carol@[local_ip]:[local_port]>\nEvent: dialog\nAccept: application/dialog-info+xml\nExpires: 600\n";

/// SUBSCRIBE with digest; then each NOTIFY is answered, for ever.
fn scenario() -> String {
    let subscribe = |more: &str| {
        format!(
            "<send retrans=\"500\"><![CDATA[\nSUBSCRIBE sip:alice@[remote_ip]:[remote_port] SIP/2.0\n{HEAD}{more}Content-Length: 0\n\n]]></send>\n"
        )
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<scenario name=\"lamp\">\n{}<recv response=\"401\" auth=\"true\"/>\n\
         {}<recv response=\"200\"/>\n<label id=\"1\"/>\n<recv request=\"NOTIFY\"/>\n<send next=\"1\"><![CDATA[\nSIP/2.0 200 OK\n[last_Via:]\n\
         [last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\nContent-Length: 0\n\n]]></send>\n</scenario>\n",
        subscribe(""),
        subscribe("[authentication]\n")
    )
}

#[test]
fn a_lamp_shows_a_line_that_rings_talks_and_rests() {
    let scratch = Scratch::new("lamps");
    let users: String = ["alice", "bob", "carol"]
        .map(|name| format!("  - {{ name: {name}, password: secret-{name}, context: internal }}\n"))
        .concat();
    let tandem = Tandem::start(scratch.path(), &Setup { users: &users, dialplan: DIALPLAN, ..Setup::default() });
    let (registrar, port) = (tandem.sip().to_string(), free_ports(2 * Phone::PORTS + 2));
    let song = melody(45, 2);
    let alice = Phone {
        user: "alice",
        password: "secret-alice",
        registrar: &registrar,
        port,
        codec: "pcmu",
        transport: "udp",
        encryption: "",
        plays: &song,
        dials: None,
    };
    let bob = Phone { user: "bob", password: "secret-bob", port: port + Phone::PORTS, ..alice.clone() };
    let (alice, bob) = (alice.start(scratch.path()), bob.start(scratch.path()));
    alice.wait_registered();
    bob.wait_registered();

    let file = |name: &str| scratch.path().join(name);
    std::fs::write(file("lamp.xml"), scenario()).expect("the scenario is written");
    let mut command = Command::new("sipp");
    command.arg("-sf").arg(file("lamp.xml")).args(["-i", "127.0.0.1", "-p", &(port + 2 * Phone::PORTS).to_string()]);
    command.args(["-m", "1", "-nostdin", "-au", "carol", "-ap", "secret-carol"]);
    command.args(["-trace_msg", "-message_file"]).arg(file("lamp.messages")).arg(&registrar);
    let lamp = Process::start("lamp", &mut command, scratch.path());
    let seen = || std::fs::read_to_string(file("lamp.messages")).unwrap_or_default();
    let shows = |what: &str, count: usize| {
        let found = until(Duration::from_secs(30), || (seen().matches(what).count() >= count).then_some(()));
        assert!(found.is_some(), "no {count} × {what}:\n{}\n{}", seen(), lamp.tail());
    };
    shows("<dialog-info", 1);
    assert!(!seen().contains("<state>"), "the line is idle:\n{}", seen());
    bob.command("dial", &format!("sip:alice@{registrar}"));
    shows("<state>confirmed</state>", 1);
    let before = seen().matches("<dialog-info").count();
    bob.wait_hung_up();
    alice.wait_hung_up();
    shows("<dialog-info", before + 1);
    let text = seen();
    let last = text.rsplit("<dialog-info").next().unwrap_or_default();
    assert!(!last.contains("<state>confirmed"), "the line rests:\n{last}");
}
