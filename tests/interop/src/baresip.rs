//! baresip as a phone: plays a WAV when a call is up, records what it hears, ends the call at the end of the WAV.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{Process, until};
use crate::sound::{read_wav, write_wav};

/// How a phone is started.
#[derive(Debug, Clone)]
pub struct Phone<'a> {
    pub user: &'a str,
    pub password: &'a str,
    /// `127.0.0.1:5060`: where it registers, and the domain of its address.
    pub registrar: &'a str,
    /// Its SIP port; TLS takes the one above, RTP the 18 after these, commands the last.
    pub port: u16,
    pub codec: &'a str,
    /// `tls`: it trusts the authority in `ca.pem` of the folder that it is started in, and nobody else.
    pub transport: &'a str,
    /// `mediaenc`: empty for plain RTP, `srtp` (RTP/AVP with keys), `srtp-mand` (RTP/SAVP), `srtp-mandf` (RTP/SAVPF).
    pub encryption: &'a str,
    /// What it plays when a call is up. The call ends with it.
    pub plays: &'a [i16],
    /// URI to call once registered.
    pub dials: Option<&'a str>,
}

/// A phone that runs.
#[derive(Debug)]
pub struct RunningPhone {
    pub process: Process,
    folder: PathBuf,
    commands: u16,
}

impl Phone<'_> {
    /// Ports that a phone takes, from `port` on.
    pub const PORTS: u16 = 22;

    /// Starts baresip with its files in `folder/USER`. Incoming calls are answered at once.
    pub fn start(&self, folder: &Path) -> RunningPhone {
        self.start_as(folder, &self.account(), "")
    }

    /// The same for a phone that subscribes to the messages that wait for it.
    ///
    /// Its module subscribes for ever, deaf to all answers, where the registration succeeds within the millisecond after the
    /// module's start: so the account is added when the phone is up.
    pub fn start_with_messages(&self, folder: &Path) -> RunningPhone {
        let phone = self.start_as(folder, "", "module_app mwi.so\n");
        phone.wait_for("baresip is ready", "ready");
        phone.command("uanew", self.account().trim_end());
        phone
    }

    /// The same for a phone whose command `message` writes to this URI.
    pub fn start_writing_to(&self, folder: &Path, uri: &str) -> RunningPhone {
        let own = folder.join(self.user);
        fs::create_dir_all(&own).unwrap_or_else(|e| panic!("{}: {e}", own.display()));
        fs::write(own.join("current_contact"), uri).expect("a phone's file is written");
        self.start_in(folder, &self.account(), &format!("\"Friend\" <{uri}>\n"), "module_app contact.so\n")
    }

    fn start_as(&self, folder: &Path, account: &str, modules: &str) -> RunningPhone {
        self.start_in(folder, account, "", modules)
    }

    fn start_in(&self, folder: &Path, account: &str, contacts: &str, modules: &str) -> RunningPhone {
        let folder = folder.join(self.user);
        fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a phone's file is written");
        write_wav(&folder.join("plays.wav"), self.plays);
        write("config", &(self.config(&folder) + modules));
        write("accounts", account);
        write("contacts", contacts);
        let mut command = Command::new("baresip");
        command.arg("-f").arg(&folder).args(["-v", "-s"]);
        if let Some(uri) = self.dials {
            command.args(["-e", &format!("/dial {uri}")]);
        }
        RunningPhone { process: Process::start(self.user, &mut command, &folder), folder, commands: self.port + 21 }
    }

    fn config(&self, folder: &Path) -> String {
        let (port, folder) = (self.port, folder.display());
        let trust = if self.transport == "tls" { format!("sip_cafile {folder}/../ca.pem\n") } else { String::new() };
        format!(
            "poll_method epoll\nsip_listen 127.0.0.1:{port}\nnet_interface 127.0.0.1\ncall_max_calls 4\n\
             audio_source aufile,{folder}/plays.wav\naudio_player aubridge,nowhere\naudio_alert aubridge,nowhere\n\
             audio_buffer 20-160\nausrc_srate 8000\nausrc_channels 1\nausrc_format s16\nauplay_format s16\nauenc_format s16\naudec_format s16\n\
             rtcp_mux no\njitter_buffer_delay 1-5\nrtp_ports {}-{}\nsnd_path {folder}\n\
             module_path /usr/lib/baresip/modules\nmodule opus.so\nmodule g722.so\nmodule g711.so\nmodule srtp.so\nmodule sndfile.so\nmodule aubridge.so\n\
             module aufile.so\nmodule_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n\
             ctrl_tcp_listen 127.0.0.1:{}\n{trust}",
            port + 2,
            port + 20,
            port + 21
        )
    }

    fn account(&self) -> String {
        // It finds a codec by all that tells it from others.
        let codec = match self.codec {
            "opus" => "opus/48000/2",
            "g722" => "G722/16000/1",
            narrow => narrow,
        };
        // Registering again after five minutes is never reached; a phone that only dials still registers.
        let encryption =
            if self.encryption.is_empty() { String::new() } else { format!(";mediaenc={}", self.encryption) };
        format!(
            "<sip:{}@{};transport={}>;auth_pass={};regint=300;answermode=auto;audio_codecs={}{encryption}\n",
            self.user, self.registrar, self.transport, self.password, codec
        )
    }
}

impl RunningPhone {
    /// Types a command: `hold`, `resume`, `dial`, `hangup`, `sndcode` with a digit.
    pub fn command(&self, name: &str, parameter: &str) {
        let text = format!("{{\"command\":\"{name}\",\"params\":\"{parameter}\"}}");
        let mut stream = TcpStream::connect(("127.0.0.1", self.commands)).expect("baresip takes commands");
        write!(stream, "{}:{text},", text.len()).expect("a command is sent");
        stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout is set");
        // Events of the call arrive on the same stream, before and after the answer.
        let (mut answer, mut buffer) = (String::new(), [0; 2048]);
        while !answer.contains("\"response\":true") {
            let length = stream.read(&mut buffer).expect("baresip answers a command");
            assert!(length > 0, "{name} {parameter}: {answer}");
            answer.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        assert!(answer.contains("\"ok\":true"), "{name} {parameter}: {answer}");
    }

    /// Waits until the registrar accepted it. Panics with its log otherwise.
    pub fn wait_registered(&self) {
        self.wait_for("200 OK", "registered");
    }

    pub fn wait_established(&self) {
        self.wait_for("Call established", "in a call");
    }

    /// Waits until its call is over.
    pub fn wait_hung_up(&self) {
        self.wait_for("terminated (duration", "out of its call");
    }

    fn wait_for(&self, text: &str, state: &str) {
        let seen = until(Duration::from_secs(20), || self.process.printed().contains(text).then_some(()));
        assert!(seen.is_some(), "the phone was never {state}:\n{}", self.process.tail());
    }

    /// The sound that it decoded, at 8 kHz. After the call's end only.
    pub fn heard(&self) -> Vec<i16> {
        let recordings = fs::read_dir(&self.folder).expect("the phone's folder is there");
        let mut paths: Vec<PathBuf> = recordings
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .collect();
        paths.sort();
        paths.iter().flat_map(|path| read_wav(path)).collect()
    }
}
