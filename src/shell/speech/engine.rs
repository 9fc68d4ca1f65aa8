//! Who makes the sound: espeak-ng as a process for each part, or a server that takes JSON and gives audio.

use crate::shell::web::to_wav;
use crate::speech::{Fault, Reason};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a part may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest sound of a part.
const SOUND_BYTES_MAX: u64 = 16 << 20;

/// By the configuration's `speech.provider`.
#[derive(Clone, Debug)]
pub enum Engine {
    /// A program that understands espeak-ng's options.
    Process {
        program: String,
    },
    Http {
        agent: ureq::Agent,
        url: String,
    },
}

/// A part to be spoken.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The inside of an SSML document if `is_ssml`.
    pub text: &'a str,
    pub is_ssml: bool,
    /// The engine's voice, and what markup called it.
    pub voice: &'a str,
    pub asked_language: &'a str,
    pub asked_voice: &'a str,
}

fn fault(detail: impl Into<Box<str>>) -> Fault {
    Fault::new(Reason::Text, detail)
}

impl Engine {
    pub fn http(url: String) -> Engine {
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build();
        Engine::Http { agent: config.into(), url }
    }

    /// Writes a WAV file.
    pub fn speak(&self, part: &Part<'_>, file: &Path) -> Result<(), Fault> {
        match self {
            Engine::Process { program } => by_process(program, part, file),
            Engine::Http { agent, url } => by_http(agent, url, part, file),
        }
    }
}

fn by_process(program: &str, part: &Part<'_>, file: &Path) -> Result<(), Fault> {
    let mut command = Command::new(program);
    command.args(["-m", "--stdin", "-v", part.voice, "-s", "160", "-w"]).arg(file);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => fault(format!("{program} is not installed: apt-get install espeak-ng")),
        _ => fault(format!("{program} does not start: {e}")),
    })?;
    let text = match part.is_ssml {
        true => format!("<speak>{}</speak>", part.text),
        false => super::text::escaped(part.text),
    };
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read has ended, and its status says so. A part fits a pipe's buffer.
        let _ = stdin.write_all(text.as_bytes());
    }
    let ended = wait(&mut child, PATIENCE);
    if ended != Some(true) {
        let _ = child.kill();
        let _ = child.wait();
        return Err(fault(match ended {
            Some(_) => format!("{program} failed"),
            None => format!("{program} took longer than {} s", PATIENCE.as_secs()),
        }));
    }
    match std::fs::metadata(file) {
        Ok(made) if made.len() > 44 => Ok(()),
        _ => Err(fault(format!("{program} made no sound of it"))),
    }
}

/// Whether it ended well; `None` if it has not ended in time.
fn wait(child: &mut Child, patience: Duration) -> Option<bool> {
    let until = Instant::now() + patience;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) => return None,
            Err(_) => return Some(false),
        }
    }
}

fn by_http(agent: &ureq::Agent, url: &str, part: &Part<'_>, file: &Path) -> Result<(), Fault> {
    let body = serde_json::json!({
        "text": part.text,
        "ssml": part.is_ssml,
        "language": part.asked_language,
        "voice": part.asked_voice,
    });
    let answer = agent.post(url).header("Content-Type", "application/json").send(body.to_string());
    let mut answer = answer.map_err(|e| fault(format!("the speech provider failed: {e}")))?;
    let sound = answer.body_mut().with_config().limit(SOUND_BYTES_MAX).read_to_vec();
    let sound = sound.map_err(|e| fault(format!("the speech provider's answer broke off: {e}")))?;
    let wav = to_wav(sound).map_err(|why| fault(format!("the speech provider's answer cannot be played: {why}")))?;
    std::fs::write(file, wav).map_err(|e| fault(format!("the cache cannot be written: {e}")))
}
