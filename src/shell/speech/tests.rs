//! Speakers with a program that stands for the engine, and with a server.

use super::*;
use crate::event::CallId;
use crate::shell::mail::{Mailbox, mail};
use crate::shell::web::wav;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

struct Bench {
    speech: Speech,
    mailbox: Mailbox,
    runtime: tokio::runtime::Runtime,
    folder: PathBuf,
    last: u64,
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tandem-speech-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A program that takes espeak-ng's options, counts its runs and writes what it read behind a WAV head.
fn program(folder: &std::path::Path) -> String {
    let path = folder.join("speaker");
    std::fs::write(
        &path,
        format!(
            "#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\ntext=$(cat)\ncase $text in *fail*) exit 1;; *silent*) exit 0;; esac\n\
             echo \"$text\" >> '{0}/runs'\nprintf '%044d%s' 0 \"$text\" > \"$1\"\n",
            folder.display()
        ),
    )
    .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

impl Bench {
    fn new(folder: PathBuf, engine: Engine) -> Bench {
        let (mail, mailbox) = mail().unwrap();
        let settings = Settings { engine, cache: folder.join("cache"), threads: 1 };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Bench { speech: start(&settings, &mail).unwrap(), mailbox, runtime, folder, last: 0 }
    }

    fn order(&mut self, text: &str, is_ssml: bool) -> SayId {
        self.last += 1;
        let id = SayId(self.last);
        let (language, voice) = ("en-GB".into(), "alice".into());
        let say = Say { id, call: CallId(1), text: text.into(), is_ssml, language, voice };
        assert!(self.speech.order(Order::Say(Box::new(say))).is_none());
        id
    }

    /// The files' contents, or the fault's words.
    fn say(&mut self, text: &str, is_ssml: bool) -> Result<Vec<String>, String> {
        let (asked, mut parts) = (self.order(text, is_ssml), Vec::new());
        loop {
            match self.runtime.block_on(self.mailbox.streams.recv()) {
                Some(Input::Speech(Event::Said { id, file, is_last })) if id == asked => {
                    parts.push(String::from_utf8_lossy(&std::fs::read(&*file).unwrap()[44..]).into_owned());
                    if is_last {
                        return Ok(parts);
                    }
                }
                Some(Input::Speech(Event::Failed { id, why })) if id == asked => return Err(why.to_string()),
                other => panic!("{other:?}"),
            }
        }
    }

    fn runs(&self) -> usize {
        std::fs::read_to_string(self.folder.join("runs")).unwrap_or_default().lines().count()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_text_comes_in_sentences_and_the_second_time_from_the_cache() {
    let folder = folder("cache");
    let engine = Engine::Process { program: program(&folder) };
    let mut b = Bench::new(folder, engine);
    let parts = ["Welcome to us & them.", "Please hold the line."].map(str::to_owned);
    let spoken = [parts[0].replace('&', "&amp;"), parts[1].clone()].to_vec();
    assert_eq!(b.say(&parts.join(" "), false), Ok(spoken.clone()));
    assert_eq!(b.say(&parts.join("  "), false), Ok(spoken));
    assert_eq!(b.runs(), 2);
    let ssml = b.say("Hi <break time=\"1s\"/><audio src=\"x\"/>you", true);
    assert_eq!(ssml, Ok(vec!["<speak>Hi <break time=\"1000ms\"/>you</speak>".to_owned()]));
}

#[test]
fn what_cannot_be_spoken_fails_and_says_why() {
    let folder = folder("faults");
    let engine = Engine::Process { program: program(&folder) };
    let mut b = Bench::new(folder, engine);
    let long = "a".repeat(TEXT_CHARS_MAX + 1);
    let rows = [
        (" ", "nothing to say"),
        ("please fail now", "failed"),
        ("be silent", "made no sound"),
        (&long, "longer than 4096"),
    ];
    for (text, why) in rows {
        let said = b.say(text, false).unwrap_err();
        assert!(said.starts_with("13520 Say: Invalid text") && said.contains(why), "{said}");
    }
    assert_eq!(b.say("and goes on", false), Ok(vec!["and goes on".to_owned()]));
    let mut missing = Bench::new(self::folder("missing"), Engine::Process { program: "/no/such/espeak-ng".into() });
    assert!(missing.say("Hello", false).unwrap_err().contains("not installed"));
}

#[test]
fn a_text_that_nobody_listens_to_is_not_spoken() {
    let folder = folder("cancel");
    let engine = Engine::Process { program: program(&folder) };
    let mut b = Bench::new(folder, engine);
    let id = SayId(b.last + 1);
    assert!(b.speech.order(Order::Cancel(id)).is_none());
    b.order("never to be heard", false);
    assert_eq!(b.say("the next one", false), Ok(vec!["the next one".to_owned()]));
    assert_eq!(b.runs(), 1);
}

#[test]
fn a_server_is_told_in_json_and_gives_sound() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/speak", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut seen, mut octets) = (Vec::new(), [0; 1024]);
        while !seen.ends_with(b"}") {
            let n = stream.read(&mut octets).unwrap();
            seen.extend_from_slice(&octets[..n]);
        }
        let sound = wav(&[0x4142; 4], 8_000, 1);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            sound.len()
        );
        stream.write_all(&[head.as_bytes(), &sound].concat()).unwrap();
        String::from_utf8(seen).unwrap()
    });
    let mut b = Bench::new(folder("http"), Engine::http(url));
    assert_eq!(b.say("Hello there", false), Ok(vec!["BABABABA".to_owned()]));
    let seen = server.join().unwrap();
    let json: serde_json::Value = serde_json::from_str(&seen[seen.find('{').unwrap()..]).unwrap();
    assert_eq!(
        json,
        serde_json::json!({ "text": "Hello there", "ssml": false, "language": "en-GB", "voice": "alice" })
    );
}
