//! What a caller says reaches an application as words: by a server that speaks Vosk's published protocol (ours, marked as such), and
//! by pocketsphinx where it is installed.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use interop::app::App;
use interop::carriers::Carriers;
use interop::process::until;
use interop::sipp::{Sipp, Step};
use interop::sound::loudness;
use interop::talker::{Talker, spoken_packets};
use interop::tandem::Setup;
use tungstenite::Message;

/// What a fake server was sent: the first message, the sound, the last message.
#[derive(Debug, Default, Clone)]
struct Session {
    config: String,
    sound: Vec<i16>,
    last: String,
}

/// Answers each piece of sound with what it has understood so far, and the end with a sentence.
fn fake_vosk() -> (SocketAddr, Arc<Mutex<Vec<Session>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let sessions = Arc::<Mutex<Vec<Session>>>::default();
    let keep = Arc::clone(&sessions);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let keep = Arc::clone(&keep);
            thread::spawn(move || {
                let mut socket = tungstenite::accept(stream).expect("a WebSocket");
                let mut session = Session::default();
                while let Ok(message) = socket.read() {
                    match message {
                        Message::Text(text) if text.contains("eof") => {
                            session.last = text.to_string();
                            keep.lock().expect("no holder panics").push(session.clone());
                            let words = r#"{"result": [{"conf": 0.9, "word": "sales"}, {"conf": 0.7, "word": "please"}],
                                            "text": "sales please"}"#;
                            let _ = socket.send(Message::text(words));
                        }
                        Message::Text(text) => session.config = text.to_string(),
                        Message::Binary(bytes) => {
                            session.sound.extend(bytes.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])));
                            let _ = socket.send(Message::text(r#"{"partial" : "sales"}"#));
                        }
                        _ => {}
                    }
                }
            });
        }
    });
    (address, sessions)
}

/// Calls, says it, and waits until the application has been told what was understood at /said. A machine that stands still for
/// seconds swallows what is said then: it is said up to three times.
fn say(stage: &Carriers, app: &App, text: &str, expected: &str) -> interop::app::Request {
    for _ in 0..3 {
        let said = say_once(stage, app, text);
        if said.parameter("SpeechResult").as_deref() == Some(expected) {
            return said;
        }
        eprintln!("understood: {:?}", said.parameter("SpeechResult"));
    }
    panic!("\"{expected}\" was not understood:\n{}", stage.tandem.command(&["trace", "last"]).1)
}

fn say_once(stage: &Carriers, app: &App, text: &str) -> interop::app::Request {
    let steps = [
        Step::Invite,
        Step::May(100),
        Step::May(180),
        Step::Expect(200),
        Step::Ack,
        Step::Get("BYE"),
        Step::Reply(200),
    ];
    let sound = spoken_packets(stage.scratch.path(), text);
    let before = app.asked().len();
    // What SIPp writes of a call lies under its name.
    let name = format!("near-{before}");
    let caller = Sipp { name: &name, ..stage.caller("200", &steps) };
    let mut talker = Talker::new(SocketAddr::new(caller.ip.parse().expect("an address"), caller.rtp_port));
    let mut running = stage.start(&caller);
    talker.say(running.wait_media(1), sound);
    let new = || app.asked().into_iter().skip(before).find(|r| r.path == "/said");
    let said = until(Duration::from_secs(120), new);
    let said = said.unwrap_or_else(|| panic!("nothing was told:\n{}", stage.tandem.command(&["trace", "last"]).1));
    running.finish(Duration::from_secs(60));
    talker.stop();
    said
}

fn app(gather: &str) -> App {
    App::start(&[("/voice", gather), ("/said", "<Hangup/>")])
}

fn stage(name: &str, app: &App, speech: &str) -> Carriers {
    let rule = format!("    - do: [ {{ markup: \"{}\" }} ]\n", app.url("/voice"));
    let more = format!("web: {{ allow_private: [127.0.0.0/8] }}\nspeech: {speech}\n");
    Carriers::with(name, &rule, &Setup { more: &more, ..Setup::default() })
}

#[test]
fn a_recognisers_server_is_given_the_sound_and_its_words_are_told() {
    let (vosk, sessions) = fake_vosk();
    let app = app(
        "<Gather input='dtmf speech' actionOnEmptyResult='true' action='/said' timeout='20' speechTimeout='1' hints='sales, support' \
                   partialResultCallback='/part'/>",
    );
    let stage = stage("speech-vosk", &app, &format!("{{ recogniser: vosk, recogniser_url: \"ws://{vosk}\" }}"));
    let said = say(&stage, &app, "I want to speak to somebody who sells something", "sales please");
    assert_eq!(said.parameter("Confidence").as_deref(), Some("0.8"));
    let part = until(Duration::from_secs(30), || app.asked().into_iter().find(|r| r.path == "/part"));
    let part = part.expect("what is understood so far is told");
    assert_eq!(part.parameter("UnstableSpeechResult").as_deref(), Some("sales"));
    let sessions = sessions.lock().expect("no holder panics").clone();
    let session = sessions.last().expect("a session");
    let config: serde_json::Value = serde_json::from_str(&session.config).expect("JSON");
    assert_eq!(config["config"]["sample_rate"], 16_000);
    assert_eq!(config["config"]["phrase_list"][1], "support");
    assert!(session.last.contains("\"eof\""));
    let seconds = session.sound.len() as f64 / 16_000.0;
    assert!((1.0..20.0).contains(&seconds), "{seconds:.1} s of sound");
    assert!(loudness(&session.sound) > 300.0, "{}", loudness(&session.sound));
    stage.tandem.assert_nothing_left();
}

#[test]
fn pocketsphinx_understands_what_is_said() {
    if Command::new("pocketsphinx_continuous").arg("-help").output().is_err() {
        return eprintln!("pocketsphinx is not installed: not tested");
    }
    let app =
        app("<Gather input='speech' actionOnEmptyResult='true' action='/said' timeout='20' speechTimeout='auto' \
                   hints='sales, support, billing, opening hours'/>");
    let stage = stage("speech-sphinx", &app, "{ recogniser: pocketsphinx }");
    for text in ["billing", "opening hours"] {
        let said = say(&stage, &app, text, text);
        assert_eq!(said.parameter("Confidence").as_deref(), Some("0.0"), "it does not say how sure it is");
    }
}
