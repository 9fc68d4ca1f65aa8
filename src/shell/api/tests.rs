//! Each path over a real connection, with a control thread that answers from a table.

use super::*;
use crate::base::pii::Secret;
use crate::base::time::{Instant, Wall};
use crate::event::{CallId, CallRecord, Side, What};
use crate::shell::control::tests::record;
use crate::shell::mail::{Answer, Ask, Mailbox, Report, mail};
use crate::shell::store::{Sqlite, Store};
use crate::switch::{CallView, ConferenceView, Operator, ParticipantView, RegistrationView, Reply, TrunkView};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

const LIVE: CallId = CallId(1);
const STORED: CallId = CallId(2);

fn sample(call: CallId) -> Box<CallRecord> {
    let mut record = record(call);
    record.timeline.push(Instant::from_micros(5_000), Side::Call, What::Route("rule `r`".into()));
    record.timeline.push(Instant::from_micros(7_500), Side::Leg(0), What::Ended(record.cdr.ending));
    record
}

fn view(call: CallId) -> CallView {
    CallView {
        call,
        direction: crate::event::Direction::Inbound,
        from: "+1".into(),
        to: "100".into(),
        trunk: None,
        user: Some("alice".into()),
        rule: "r".into(),
        state: "answered",
        started: Wall(1_000_000),
        answered: Some(Wall(2_000_000)),
        answered_by: None,
        peers: vec!["bob".into()],
    }
}

fn reply(ask: Operator) -> Reply {
    match ask {
        Operator::Calls => Reply::Calls(vec![view(LIVE)]),
        Operator::Call(LIVE) => Reply::Call(Box::new((view(LIVE), *sample(LIVE)))),
        Operator::Conferences => Reply::Conferences(vec![ConferenceView {
            name: "sales".into(),
            sid: "CF00000000000000000000000000000001".into(),
            state: "waiting",
            since: Wall(1_000_000),
            participants: vec![ParticipantView {
                call: LIVE,
                name: "alice".into(),
                joined: Wall(1_000_000),
                muted: true,
                hold: false,
                deaf: false,
                coach: None,
                volume_db: -6,
                end_on_exit: false,
                start_on_enter: true,
                label: String::new(),
                speaking: false,
            }],
        }]),
        Operator::Participant { conference, call: LIVE, .. } if conference == "sales" => Reply::Done,
        Operator::Announce { conference, .. } | Operator::EndConference { conference, .. } if conference == "sales" => {
            Reply::Done
        }
        Operator::Run { call: LIVE, .. } => Reply::Done,
        Operator::RecordConference { .. } => Reply::Recording(crate::event::RecordingId(6)),
        Operator::Record { call: LIVE, .. } => Reply::Recording(crate::event::RecordingId(5)),
        Operator::Originate(asked) if asked.to == "busy" => Reply::Refused("limit_calls".into()),
        Operator::Originate(_) => Reply::Placed(LIVE),
        Operator::Hangup(LIVE) | Operator::Drain | Operator::Undrain => Reply::Done,
        Operator::Trunks => Reply::Trunks(vec![TrunkView {
            name: "acme".into(),
            targets: vec![("sip:127.0.0.1:7070".into(), false, "no answer to OPTIONS".into())],
            addresses: vec![vec!["udp/127.0.0.1:7070".into()]],
            calls: 1,
            calls_max: 5,
            health: ("in", String::new()),
            figures: crate::switch::Figures::default(),
            registration: None,
        }]),
        Operator::Registrations => Reply::Registrations(vec![RegistrationView {
            user: "alice".into(),
            contact: "sip:alice@127.0.0.1".into(),
            source: "127.0.0.1:5062".parse().unwrap(),
            transport: "udp",
            expires_s: 60,
            user_agent: "baresip".into(),
        }]),
        Operator::Forwarding { user, set } if user == "alice" => match set.always.as_deref() {
            Some("2 0") => Reply::Refused("\"2 0\" is no number".into()),
            always => Reply::Forwarding(Box::new(crate::switch::ForwardingView {
                user,
                availability: crate::config::Availability { dnd: true, ..Default::default() },
                changed: crate::event::Changed { always: always.map(|_| None), ..Default::default() },
            })),
        },
        _ => Reply::NotFound,
    }
}

/// Stands for the control thread.
async fn control(mut mailbox: Mailbox) {
    while let Some((ask, answer)) = mailbox.asks.recv().await {
        let answered = match ask {
            Ask::Operator(ask) => Answer::Reply(reply(ask)),
            Ask::Capture(_) => Answer::Capture(None),
            Ask::Report => {
                let media = vec![metrics::Sample::gauge("media_legs", "Legs", 9)];
                Answer::Report(Box::new(Report { turns: 42, media, ..Report::default() }))
            }
        };
        let _ = answer.send(answered);
    }
}

/// The usual configuration, with a data folder.
fn config(folder: &std::path::Path) -> crate::config::Config {
    crate::config::Config { data_dir: folder.into(), ..Default::default() }
}

pub struct Served {
    runtime: tokio::runtime::Runtime,
    address: std::net::SocketAddr,
    condition: Arc<Condition>,
    pub authorization: String,
    pub folder: std::path::PathBuf,
}

pub fn serve_api() -> Served {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let folder = format!("tandem-api-{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(folder);
    let store = folder.join("db");
    Sqlite::open(&store).unwrap().append(&[sample(STORED)]).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (mail, mailbox) = mail().unwrap();
    let condition = Arc::<Condition>::default();
    let credentials = Credentials { account_sid: "AC1".into(), auth_token: Secret::new("t".into()) };
    let authorization = credentials.header();
    let api = Api {
        mail,
        store,
        realm: "pbx.example.com".into(),
        condition: Arc::clone(&condition),
        recordings: crate::shell::recording::Settings::of(&config(&folder)),
        credentials: Some(credentials),
        reload: Box::new(|| Box::pin(async { Err(vec!["a.yaml:1:1: no".into(), "a.yaml:2:1: nor this".into()]) })),
        connections: Box::new(|| 3),
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(control(mailbox));
    runtime.spawn(async move { serve(listener, Arc::new(api), None).await });
    Served { runtime, address, condition, authorization, folder }
}

impl Served {
    /// Status and body.
    fn ask(&self, method: &str, path: &str, authorization: &str) -> (u16, String) {
        self.ask_with(method, path, authorization, "")
    }

    pub fn ask_with(&self, method: &str, path: &str, authorization: &str, body: &str) -> (u16, String) {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {authorization}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        (status, text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.into()))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn each_path_answers() {
    let served = serve_api();
    let rows: &[(&str, &str, u16, &str)] = &[
        ("GET", "/tandem/v1/calls", 200, r#""state":"answered""#),
        ("GET", "/tandem/v1/calls/CA00000000000000000000000000000001", 200, r#""live":true"#),
        ("GET", "/tandem/v1/calls/last", 200, r#""live":true"#),
        ("GET", "/tandem/v1/calls/CA00000000000000000000000000000002", 200, r#""live":false"#),
        (
            "GET",
            "/tandem/v1/calls/CA00000000000000000000000000000002/timeline",
            200,
            r#"{"at_us":2500,"kind":"ended","leg":0,"#,
        ),
        ("GET", "/tandem/v1/calls/CA00000000000000000000000000000003", 404, r#""code":"not_found""#),
        ("GET", "/tandem/v1/calls/CA00000000000000000000000000000002/pcap", 404, "nothing is kept"),
        ("GET", "/tandem/v1/calls/5/pcap", 400, "CA and 32"),
        ("GET", "/tandem/v1/calls/5", 400, "CA and 32 hexadecimal digits"),
        ("DELETE", "/tandem/v1/calls/CA00000000000000000000000000000001", 200, "CA0000"),
        ("POST", "/tandem/v1/calls/CA00000000000000000000000000000002/hangup", 404, "no live call"),
        ("GET", "/tandem/v1/conferences", 200, r#""name":"sales""#),
        ("GET", "/tandem/v1/conferences", 200, r#""volume_db":-6"#),
        ("DELETE", "/tandem/v1/conferences/sales", 200, r#"{"done":true}"#),
        ("DELETE", "/tandem/v1/conferences/other", 404, "not_found"),
        ("DELETE", "/tandem/v1/conferences/sales/participants/CA00000000000000000000000000000001", 200, "done"),
        ("DELETE", "/tandem/v1/conferences/sales/participants/5", 400, "CA and 32"),
        ("POST", "/tandem/v1/conferences/sales/announcements", 400, "the body is not"),
        ("GET", "/tandem/v1/trunks", 200, "no answer to OPTIONS"),
        ("GET", "/tandem/v1/registrations", 200, "127.0.0.1:5062"),
        ("GET", "/tandem/v1/cdrs?user=alice&limit=1", 200, r#""next":null"#),
        ("GET", "/tandem/v1/cdrs?from=nobody", 200, r#"{"cdrs":[],"next":null}"#),
        ("GET", "/tandem/v1/cdrs?format=csv", 200, "CA00000000000000000000000000000002,n,+12125550123,100,,alice,"),
        ("GET", "/tandem/v1/cdrs?page=x", 400, "page"),
        ("POST", "/tandem/v1/reload", 422, "a.yaml:2:1: nor this"),
        ("POST", "/tandem/v1/drain", 200, r#"{"draining":true}"#),
        ("POST", "/tandem/v1/undrain", 200, r#"{"draining":false}"#),
        ("GET", "/tandem/v1/users/alice/forwarding", 200, r#""changed":[],"dnd":true"#),
        ("GET", "/tandem/v1/users/nobody/forwarding", 404, "there is no user nobody"),
        ("POST", "/tandem/v1/users/alice/forwarding", 400, "the body is not"),
        ("GET", "/tandem/v1/openapi.json", 200, "3.1.0"),
        ("GET", "/metrics", 200, "tandem_media_legs 9"),
        ("GET", "/metrics", 200, "tandem_control_turns_total 42"),
        ("GET", "/tandem/v1/nothing", 404, "openapi.json"),
        ("POST", "/tandem/v1/calls", 400, "the body is not"),
        ("PUT", "/tandem/v1/calls", 405, "method_not_allowed"),
        ("GET", "/healthz", 200, "ok"),
        ("GET", "/readyz", 200, "ready"),
    ];
    for (method, path, status, part) in rows {
        let (got, body) = served.ask(method, path, &served.authorization);
        assert!(got == *status && body.contains(part), "{method} {path}: {got}\n{body}");
    }
}

#[test]
fn a_participant_is_changed_by_a_body() {
    let served = serve_api();
    let path = "/tandem/v1/conferences/sales/participants/CA00000000000000000000000000000001";
    let announcements = "/tandem/v1/conferences/sales/announcements";
    let rows = [
        (path, r#"{"muted":true,"volume_db":-6}"#, 200, "done"),
        (path, "{}", 200, "done"),
        (path, r#"{"mute":true}"#, 400, "unknown field"),
        (path, r#"{"volume_db":13}"#, 400, "-30 to 12"),
        (announcements, r#"{"file":"news/today.wav"}"#, 200, "done"),
        (announcements, r#"{"file":"../secret.wav"}"#, 400, "relative to media.prompts"),
        (announcements, r#"{"file":"/etc/secret.wav"}"#, 400, "relative to media.prompts"),
    ];
    for (path, body, status, part) in rows {
        let (got, answer) = served.ask_with("POST", path, &served.authorization, body);
        assert!(got == status && answer.contains(part), "{body}: {got}\n{answer}");
    }
}

#[test]
fn a_call_is_placed_by_a_body() {
    let served = serve_api();
    let rows = [
        (r#"{"to":"100","do":"[ echo ]"}"#, 200, "CA00000000000000000000000000000001"),
        (r#"{"to":"100","context":"internal","number":"200","timeout_s":5}"#, 200, "CA0"),
        (r#"{"to":"busy","do":"[ echo ]"}"#, 409, "limit_calls"),
        (r#"{"to":"100"}"#, 400, "name either"),
        (r#"{"to":"100","do":"[ dance ]"}"#, 400, "dance"),
        (r#"{"to":"100","do":"[ echo ]","timeout_s":0}"#, 400, "1 to 600"),
        (r#"{"to":"100","do":"[ echo ]","wait":0}"#, 400, "unknown field"),
    ];
    for (body, status, part) in rows {
        let (got, answer) = served.ask_with("POST", "/tandem/v1/calls", &served.authorization, body);
        assert!(got == status && answer.contains(part), "{body}: {got}\n{answer}");
    }
}

#[test]
fn forwarding_is_changed_by_a_body() {
    let served = serve_api();
    let path = "/tandem/v1/users/alice/forwarding";
    let rows = [
        (r#"{"always":"off","dnd":true}"#, 200, r#""changed":["always"]"#),
        ("{}", 200, r#""changed":[]"#),
        (r#"{"always":"2 0"}"#, 400, "is no number"),
        (r#"{"dnd":"on"}"#, 400, "boolean"),
        (r#"{"after":"20s"}"#, 400, "unknown field"),
    ];
    for (body, status, part) in rows {
        let (got, answer) = served.ask_with("POST", path, &served.authorization, body);
        assert!(got == status && answer.contains(part), "{body}: {got}\n{answer}");
    }
}

#[test]
fn only_health_is_open_and_a_failing_store_is_not_ready() {
    let served = serve_api();
    for (_, path, _) in routes() {
        let (status, body) =
            served.ask("GET", &path.replace("{call}", "last").replace("{name}", "sales"), "Basic eDp5");
        assert_eq!(status, 401, "{path}: {body}");
    }
    served.condition.is_failing.store(true, Ordering::Relaxed);
    assert_eq!(served.ask("GET", "/readyz", "").0, 503);
    assert_eq!(served.ask("GET", "/healthz", "").0, 200);
    assert!(served.runtime.metrics().num_workers() > 0);
}

#[test]
fn openapi_describes_the_routes_and_nothing_else() {
    let document: serde_json::Value = serde_json::from_str(include_str!("openapi.json")).unwrap();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        described.extend(methods.as_object().unwrap().keys().map(|m| (m.clone(), path.clone())));
    }
    let routed: BTreeSet<_> = routes().iter().map(|(m, p, _)| (m.to_string(), p.to_string())).collect();
    assert_eq!(described, routed);
    // Every schema that is referred to exists.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#/").skip(1).filter_map(|r| r.split('"').next()) {
        assert!(document.pointer(&format!("/{reference}")).is_some(), "{reference}");
    }
}
