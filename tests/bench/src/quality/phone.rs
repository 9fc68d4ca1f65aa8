//! baresip hears a stream: called directly, with its own jitter buffer and its own concealment (its module `plc` for G.711,
//! libopus' for Opus); it records what it decodes.

use super::stream::{Sent, Stream};
use crate::message;
use interop::process::{Process, until};
use interop::scratch::free_ports;
use interop::sound::read_wav;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tandem::media::command::Codec;
use tandem::rtp::packet::HEADER_LEN;

/// Ports of a call: baresip's SIP, ours, our RTP and RTCP, baresip's RTP.
const PORTS: u16 = 16;

/// What it heard, at 8 kHz.
pub fn baresip(folder: &Path, stream: &Stream) -> Vec<i16> {
    fs::create_dir_all(folder).expect("a folder is made");
    let port = free_ports(PORTS);
    let codec = if stream.codec == Codec::Opus { "opus/48000/2" } else { "pcmu" };
    let (own, shown) = (port + 1, folder.display());
    // The module does mono only, and takes the recorder down with it where it cannot.
    let concealment = if stream.codec == Codec::Opus { "" } else { "module plc.so\n" };
    let config = format!(
        "poll_method epoll\nsip_listen 127.0.0.1:{port}\nnet_interface 127.0.0.1\ncall_max_calls 4\n\
         audio_source aubridge,elsewhere\naudio_player aubridge,nowhere\naudio_alert aubridge,nowhere\n\
         ausrc_channels 1\nausrc_format s16\nauplay_format s16\nauenc_format s16\naudec_format s16\n\
         rtp_ports {}-{}\nsnd_path {shown}\nmodule_path /usr/lib/baresip/modules\nmodule opus.so\nmodule g711.so\n\
         {concealment}module sndfile.so\nmodule aubridge.so\nmodule_tmp account.so\nmodule_app menu.so\n",
        port + 4,
        port + 14
    );
    let account = format!("<sip:peer@127.0.0.1:{port}>;regint=0;answermode=auto;audio_codecs={codec}\n");
    for (name, text) in [("config", config.as_str()), ("accounts", &account), ("contacts", "")] {
        fs::write(folder.join(name), text).expect("a phone's file is written");
    }
    let mut command = Command::new("baresip");
    command.arg("-f").arg(folder).args(["-v", "-s"]);
    let phone = Process::start("baresip", &mut command, folder);
    let ready = until(Duration::from_secs(10), || phone.printed().contains("baresip is ready").then_some(()));
    assert!(ready.is_some(), "baresip does not start:\n{}", phone.tail());
    call(port, own, stream).unwrap_or_else(|e| panic!("{e}:\n{}", phone.tail()));
    let over = until(Duration::from_secs(10), || phone.printed().contains("terminated").then_some(()));
    assert!(over.is_some(), "baresip's call does not end:\n{}", phone.tail());
    std::thread::sleep(Duration::from_millis(200));
    let files = fs::read_dir(folder).expect("the phone's folder is there");
    let recorded = files.filter_map(|f| Some(f.ok()?.path())).find(|p| p.to_string_lossy().ends_with("-dec.wav"));
    read_wav(&recorded.unwrap_or_else(|| panic!("baresip recorded nothing:\n{}", phone.tail())))
}

/// Calls, sends the stream at its times, hangs up.
fn call(port: u16, own: u16, stream: &Stream) -> Result<(), String> {
    let signalling = UdpSocket::bind(("127.0.0.1", own)).map_err(|e| e.to_string())?;
    let media = UdpSocket::bind(("127.0.0.1", own + 1)).map_err(|e| e.to_string())?;
    signalling.set_read_timeout(Some(Duration::from_secs(5))).map_err(|e| e.to_string())?;
    let at = SocketAddr::from(([127, 0, 0, 1], own + 1));
    let sdp = if stream.codec == Codec::Opus { message::sdp_of_opus(at) } else { message::sdp(at) };
    let request = |method: &str, sequence: u32, to: &str, body: &str| {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} sip:peer@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bK{method}{sequence};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:bench@127.0.0.1:{own}>;tag=bench\r\nTo: {to}\r\nCall-ID: quality-{port}@bench\r\n\
             CSeq: {sequence} {}\r\nContact: <sip:bench@127.0.0.1:{own}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            if method == "ACK" { "INVITE" } else { method },
            body.len()
        )
    };
    let send = |text: &str| signalling.send_to(text.as_bytes(), ("127.0.0.1", port)).map_err(|e| e.to_string());
    send(&request("INVITE", 1, &format!("<sip:peer@127.0.0.1:{port}>"), &sdp))?;
    let mut buffer = [0; 4_096];
    let (to, target, payload_type) = loop {
        let (len, _) = signalling.recv_from(&mut buffer).map_err(|e| format!("no answer: {e}"))?;
        let Some(answer) = message::read(&buffer[..len]) else { continue };
        match answer.status {
            200 => {
                let text = String::from_utf8_lossy(&buffer[..len]);
                let offered = if stream.codec == Codec::Opus { payload_type_of(&text) } else { 0 };
                break (answer.to.to_owned(), answer.media.ok_or("no media in its answer")?, offered);
            }
            100..200 => {}
            status => return Err(format!("it answers {status}")),
        }
    };
    send(&request("ACK", 1, &to, ""))?;
    let begin = Instant::now() + Duration::from_millis(300);
    let mut order: Vec<&Sent> = stream.packets.iter().filter(|p| !p.lost).collect();
    order.sort_by_key(|p| p.at_us);
    for sent in order {
        let at = begin + Duration::from_micros(sent.at_us);
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        let mut packet = vec![0x80, payload_type];
        packet.extend(sent.sequence.to_be_bytes());
        packet.extend(sent.timestamp.to_be_bytes());
        packet.extend(0x5eed_u32.to_be_bytes());
        debug_assert_eq!(packet.len(), HEADER_LEN);
        packet.extend(&sent.payload);
        media.send_to(&packet, target).map_err(|e| e.to_string())?;
    }
    std::thread::sleep(Duration::from_millis(300));
    send(&request("BYE", 2, &to, ""))?;
    Ok(())
}

/// Of Opus in an answer.
fn payload_type_of(answer: &str) -> u8 {
    let lines = answer.lines().filter_map(|line| line.strip_prefix("a=rtpmap:"));
    let found = lines.filter_map(|line| line.split_once(" opus/")).next();
    found.and_then(|(number, _)| number.parse().ok()).unwrap_or(96)
}
