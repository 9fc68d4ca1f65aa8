//! The canary sweep: known card digits are played into a running switch by every method in two codecs, and everything that it
//! leaves behind is searched for them, its memory too, and what the other party of a call hears. Where they are secret nothing is found;
//! where they are not, the same scanners find them.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use interop::app::App;
use interop::carriers::Carriers;
use interop::process::until;
use interop::sipp::{Codec, Sipp, Step};
use interop::sound::read_wav;
use interop::talker::{Came, Talker, Voice, decoded, digits, loudest, plan};
use interop::tandem::Setup;

const CARD: &str = "5424180279791732";
const CVV: &str = "937";
const EXPIRY: &str = "0828";
/// Where nobody heard a tone, nothing at a tone's frequencies is louder: 40 dB below what was sent.
const SILENT: f64 = 50.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Rfc4733,
    Info,
    Tones,
}

/// Every form in which digits could be written.
fn forms(digits: &str) -> Vec<(&'static str, Vec<u8>)> {
    let spaced: String = digits.chars().flat_map(|c| [c, ' ']).collect();
    let grouped = digits.as_bytes().chunks(4).map(|c| String::from_utf8_lossy(c).into_owned()).collect::<Vec<_>>();
    let bcd = |d: &str| d.as_bytes().chunks_exact(2).map(|p| (p[0] - b'0') << 4 | (p[1] - b'0')).collect::<Vec<u8>>();
    let reversed: String = digits.chars().rev().collect();
    let wide = |bytes: [u8; 2]| bytes;
    let mut all = vec![
        ("ASCII", digits.as_bytes().to_vec()),
        ("reversed", reversed.into_bytes()),
        ("spaced", spaced.trim_end().as_bytes().to_vec()),
        ("grouped", grouped.join(" ").into_bytes()),
        ("dashed", grouped.join("-").into_bytes()),
        ("UTF-16LE", digits.bytes().flat_map(|b| wide([b, 0])).collect()),
        ("UTF-16BE", digits.bytes().flat_map(|b| wide([0, b])).collect()),
        ("URL-encoded", digits.bytes().flat_map(|b| format!("%{b:02X}").into_bytes()).collect()),
        ("as octets", digits.bytes().map(|b| b - b'0').collect()),
        ("BCD", bcd(digits)),
    ];
    // Base64 looks different at each of three offsets; the characters at the ends depend on what stands beside.
    for (offset, name) in [(0, "Base64"), (1, "Base64 +1"), (2, "Base64 +2")] {
        let text = base64(&[&vec![b'x'; offset], digits.as_bytes()].concat());
        let (from, to) = ([0, 2, 3][offset], text.len() - 4);
        all.push((name, text.as_bytes()[from..to].to_vec()));
    }
    all
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, b| word << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        (0..=chunk.len()).for_each(|n| text.push(char::from(SIGNS[(word >> (18 - 6 * n)) as usize & 63])));
    }
    text
}

/// In which forms the digits stand in it.
fn found_in(bytes: &[u8], digits: &str) -> Vec<&'static str> {
    let stands = |form: &[u8]| bytes.windows(form.len()).any(|w| w == form);
    forms(digits).into_iter().filter(|(_, form)| stands(form)).map(|(name, _)| name).collect()
}

/// All that the switch wrote: its folder, without what its peers keep for themselves.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").map_while(Result::ok) {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let is_peers = ["near", "far", "heard-"].iter().any(|peer| name.starts_with(peer));
        match path.is_dir() {
            true => found.extend(files(&path)),
            false if !is_peers => found.push(path),
            false => {}
        }
    }
    found
}

fn call(stage: &Carriers, name: &str, by: By, voice: Voice) {
    let all = [CARD, CVV, EXPIRY].concat();
    let begin = [Step::Invite, Step::May(100), Step::May(180), Step::Expect(200), Step::Ack];
    let mut steps = begin.to_vec();
    if by == By::Info {
        steps.push(Step::Pause(700));
        for digit in all.chars() {
            steps.extend([Step::Info("dtmf-relay", digit), Step::Expect(200), Step::Pause(80)]);
        }
        // The last digit ends the call.
        steps.pop();
    }
    steps.extend([Step::Get("BYE"), Step::Reply(200)]);
    let codec = if voice == Voice::Opus { Codec::Opus } else { Codec::Pcmu };
    let caller = Sipp { name, codec, events: by == By::Rfc4733, ..stage.caller("200", &steps) };
    let mut near = Talker::new(SocketAddr::new(caller.ip.parse().expect("an address"), caller.rtp_port));
    let mut running = stage.start(&caller);
    let digits = if by == By::Info { "" } else { &all };
    near.say(running.wait_media(1), plan(voice, digits, by == By::Tones, by == By::Rfc4733, 700, 20_000));
    running.finish(Duration::from_secs(30));
    near.stop();
}

/// The caller's channel of each recording, as it is exported.
fn recordings(stage: &Carriers, count: usize) -> Vec<Vec<i16>> {
    let rows = until(Duration::from_secs(15), || {
        let (_, text) = stage.tandem.command(&["recordings", "ls", "--json"]);
        let rows: serde_json::Value = serde_json::from_str(&text).ok()?;
        let complete = rows.as_array()?.iter().filter(|r| r["status"] == "complete").count();
        (complete == count).then_some(rows)
    });
    let rows = rows.expect("the recordings are complete");
    let ids = rows.as_array().into_iter().flatten().filter_map(|r| r["recording"].as_str().map(str::to_owned));
    ids.enumerate()
        .map(|(n, id)| {
            let file = stage.scratch.path().join(format!("heard-{n}.wav"));
            let (status, said) =
                stage.tandem.command(&["recordings", "export", &id, "-o", &file.display().to_string()]);
            assert_eq!(status, 0, "{said}");
            read_wav(&file)
        })
        .collect()
}

/// The card's number in all that a process holds in memory which it may write to: how many octets there are, and what was found where.
fn in_memory(pid: u32) -> std::io::Result<(usize, Vec<String>)> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let overlap = 64;
    let forms: Vec<(&str, String)> = forms(CARD).into_iter().map(|(name, form)| (name, as_text(&form))).collect();
    let (mut octets, mut found) = (0, Vec::new());
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
        let place = words.nth(3).unwrap_or("anonymous");
        let bounds = range.split_once('-').map(|(a, b)| (u64::from_str_radix(a, 16), u64::from_str_radix(b, 16)));
        let (Some((Ok(mut at), Ok(end))), true) = (bounds, rights.starts_with("rw")) else { continue };
        let mut chunk = vec![0; 1 << 20];
        while at < end {
            let len = chunk.len().min((end - at) as usize);
            let Ok(len) = memory.read_at(&mut chunk[..len], at) else { break };
            if len == 0 {
                break;
            }
            let read = &chunk[..len];
            if read.iter().any(|o| *o != 0) {
                octets += len;
                let text = as_text(read);
                let stand = forms.iter().filter(|(_, form)| text.contains(form));
                found.extend(stand.map(|(name, _)| format!("{name} in {place}")));
            }
            // What lies across two chunks is read twice.
            at += if len > overlap && at + (len as u64) < end { len - overlap } else { len } as u64;
        }
    }
    Ok((octets, found))
}

/// Octets as characters, since strings are searched fast whatever the optimisation.
fn as_text(bytes: &[u8]) -> String {
    bytes.iter().map(|octet| char::from(*octet)).collect()
}

/// What a core dump would hold, though nobody may write one.
fn search_memory(stage: &Carriers, name: &str, is_secret: bool) {
    match in_memory(stage.tandem.process.pid()) {
        Ok((octets, found)) => {
            println!("{name}: {octets} octets of memory searched, {found:?}");
            assert!(octets > 1_000_000, "{octets}");
            assert_eq!(found.is_empty(), is_secret, "{found:?}");
        }
        // Who has secrets shows its memory to root alone.
        Err(e) => assert!(is_secret && e.kind() == std::io::ErrorKind::PermissionDenied, "{e}"),
    }
}

/// Six calls in which an application asks for a card; what is left behind of it.
fn sweep(is_secret: bool) {
    let app = App::start(&[("/expiry", "<Redirect>/next</Redirect>"), ("/next", "<Hangup/>")]);
    let action = app.url("/expiry");
    let rule = format!(
        "    - match: {{ to: /^2\\d+$/ }}\n      do:\n        - answer\n        - record_call: {{ action: start, channels: dual }}\n        \
         - gather: {{ digits: 16, timeout: 4s, prompt: {{ pause: 5s }} }}\n        - log: \"card ${{digits}}\"\n        \
         - gather: {{ digits: 3, timeout: 4s }}\n        - log: \"cvv ${{digits}}\"\n        \
         - gather: {{ digits: 4, timeout: 4s, action: \"{action}\" }}\n"
    );
    let more = format!(
        "pci: {is_secret}\nweb: {{ allow_private: [127.0.0.0/8] }}\nrecording: {{ format: wav }}\ncapture: {{ enabled: true }}\n"
    );
    let name = if is_secret { "pci-on" } else { "pci-off" };
    let mut stage = Carriers::with(name, &rule, &Setup { more: &more, level: Some("trace"), ..Setup::default() });
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", stage.tandem.process.pid())).expect("limits");
    let core = limits.lines().find(|l| l.starts_with("Max core file size")).unwrap_or_default();
    assert!(!is_secret || core.split_whitespace().nth(4) == Some("0"), "{core}");

    let mut count = 0;
    for voice in [Voice::Pcmu, Voice::Opus] {
        for by in [By::Rfc4733, By::Info, By::Tones] {
            call(&stage, &format!("near-{voice:?}-{by:?}"), by, voice);
            count += 1;
        }
    }
    let cdrs = format!("{:?}", stage.tandem.cdrs(count));
    // The capture worked, whichever way: its own action was told the expiry.
    let asked = app.asked();
    let own: Vec<_> = asked.iter().filter(|r| r.path == "/expiry").map(|r| r.parameter("Digits")).collect();
    assert_eq!(own, vec![Some(EXPIRY.to_owned()); count], "{}", stage.tandem.command(&["trace", "last"]).1);
    let others: String = asked.iter().filter(|r| r.path != "/expiry").map(|r| r.head.clone() + &r.body).collect();
    assert!(others.contains("/next") && !others.contains(&format!("={EXPIRY}")), "{others}");

    // What was heard: an ear that no detector has.
    let mut telling = 0;
    for sound in recordings(&stage, count) {
        assert!(sound.len() > 16_000, "something is recorded of each call");
        let (heard, most) = (digits(&sound), loudest(&sound));
        if !is_secret && heard == [CARD, CVV, EXPIRY].concat() {
            telling += 1;
            continue;
        }
        assert!(heard.is_empty() && most < SILENT, "{heard:?}, {most:.0}");
    }
    assert_eq!(telling, if is_secret { 0 } else { 2 }, "of tones, in either codec");

    // What is kept of the messages: of two calls the digits came by INFO.
    let mut in_captures = 0;
    for record in stage.tandem.cdrs(count) {
        let file = stage.scratch.path().join(format!("heard-{}.pcap", record["call"].as_str().expect("a call's name")));
        let call = record["call"].as_str().expect("a call's name");
        let (status, said) = stage.tandem.command(&["pcap", call, "-o", &file.display().to_string()]);
        assert_eq!(status, 0, "{said}");
        let bytes = std::fs::read(&file).expect("a capture");
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("INVITE sip:200@") && !found_in(&bytes, CARD).contains(&"ASCII"), "{text}");
        let signals: String = text.split("Signal=").skip(1).filter_map(|s| s.chars().next()).collect();
        in_captures += usize::from(signals.contains(CARD));
        assert!(!is_secret || (found_in(&bytes, CARD).is_empty() && !signals.contains(|c: char| c.is_ascii_digit())));
        assert_eq!(signals.is_empty(), is_secret || !text.contains("INFO sip:"), "{text}");
    }
    assert_eq!(in_captures, if is_secret { 0 } else { 2 });

    // What was written: while it runs, and when it has ended.
    let traces: String =
        stage.tandem.cdrs(count).iter().filter_map(|r| r["call"].as_str()).map(|c| stage.tandem.trace(c)).collect();
    let log = stage.tandem.process.printed();
    let live = [("CDR", &cdrs), ("timeline", &traces), ("log", &log)];
    for (what, text) in live {
        let mut found = found_in(text.as_bytes(), CARD);
        // Three digits alone stand in many a number: they are looked for where the dialplan would show them.
        found.extend(text.contains("cvv 937").then_some("CVV"));
        let is_shown = !is_secret && what != "CDR";
        assert_eq!(!found.is_empty(), is_shown, "{what}: {found:?}");
    }
    search_memory(&stage, name, is_secret);
    stage.tandem.process.signal(15);
    stage.tandem.process.wait(Duration::from_secs(10));
    let all = files(stage.scratch.path());
    assert!(all.len() >= 8, "{all:?}");
    let mut holding = Vec::new();
    for path in &all {
        let bytes = std::fs::read(path).unwrap_or_default();
        if path.extension().is_some_and(|e| e == "wav") {
            continue;
        }
        let found = found_in(&bytes, CARD);
        if !found.is_empty() {
            holding.push((path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(), found));
        }
    }
    match is_secret {
        true => assert!(holding.is_empty(), "{holding:?}"),
        false => {
            let names: String = holding.iter().map(|(name, _)| name.as_str()).collect();
            assert!(names.contains("tandem.log") && names.contains("sqlite"), "the log and the store: {holding:?}");
        }
    }
    println!("{name}: {count} calls, {} files searched in {} forms", all.len(), forms(CARD).len());
}

#[test]
fn nothing_is_found_of_what_is_a_secret() {
    sweep(true);
}

#[test]
fn everything_is_found_of_what_is_none() {
    sweep(false);
}

/// What a party that hears RTP can tell of keys: events, or tones in the sound.
fn shown(came: &[Came]) -> String {
    let events = came.iter().filter(|(kind, payload)| *kind == 101 && payload.len() == 4);
    let mut all: String = events.filter_map(|(_, p)| "0123456789*#ABCD".chars().nth(usize::from(p[0]))).collect();
    all += &digits(&decoded(came));
    all
}

/// A caller talks to an agent. What it presses reaches the agent, until a payment asks for its card.
fn agent_hears(stage: &Carriers, app: &App, by: By, voice: Voice) {
    let name = format!("near-{voice:?}-{by:?}");
    let far_name = format!("far-{voice:?}-{by:?}");
    let calls = [
        Step::Invite,
        Step::May(100),
        Step::May(180),
        Step::Expect(200),
        Step::Ack,
        Step::Get("BYE"),
        Step::Reply(200),
    ];
    let takes =
        [Step::Get("INVITE"), Step::ReplySdp(200, "sendrecv"), Step::Get("ACK"), Step::Get("BYE"), Step::Reply(200)];
    let codec = if voice == Voice::Opus { Codec::Opus } else { Codec::Pcmu };
    let caller = Sipp { name: &name, codec, events: by == By::Rfc4733, ..stage.caller("200", &calls) };
    let callee = Sipp { name: &far_name, ..stage.callee(&takes) };
    let mut near = Talker::new(SocketAddr::new(caller.ip.parse().expect("an address"), caller.rtp_port));
    let far = Talker::new(SocketAddr::new(callee.ip.parse().expect("an address"), callee.rtp_port));
    let mut agent = stage.start(&callee);
    let mut running = stage.start(&caller);
    let switch = running.wait_media(1);
    let says = |keys: &str, after_ms| plan(voice, keys, by == By::Tones, by == By::Rfc4733, 700, after_ms);
    // Longer than a busy machine needs for what is to be seen meanwhile.
    near.say(switch, says("159", 2_000));
    let trace = || stage.tandem.command(&["trace", "last"]).1;
    let all =
        until(Duration::from_secs(15), || "159".chars().all(|key| shown(&far.came()).contains(key)).then_some(()));
    assert!(all.is_some(), "{voice:?} {by:?}: what is no secret is heard: {:?}\n{}", shown(&far.came()), trace());

    // The last key that is no secret is over.
    let is_quiet = |came: &[Came]| came.iter().rev().take(15).all(|(kind, _)| *kind != 101);
    assert!(until(Duration::from_secs(10), || is_quiet(&far.came()).then_some(())).is_some(), "a key does not end");
    let live = stage.tandem.get_json("/tandem/v1/calls");
    let call = live["calls"]
        .as_array()
        .and_then(|all| all.first())
        .and_then(|c| c["call"].as_str())
        .expect("a live call")
        .to_owned();
    let told = app.url(&format!("/{voice:?}-{by:?}"));
    let form = format!("IdempotencyKey={voice:?}{by:?}&StatusCallback={told}&PostalCode=false");
    let (status, payment) = stage.tandem.post(&format!("Calls/{call}/Payments.json"), &form);
    assert_eq!(status, 201, "{payment}");
    let payment: serde_json::Value = serde_json::from_str(&payment).expect("JSON");
    let path = format!("Calls/{call}/Payments/{}.json", payment["sid"].as_str().unwrap_or_default());
    let (status, said) =
        stage.tandem.post(&path, &format!("IdempotencyKey=c&StatusCallback={told}&Capture=payment-card-number"));
    assert_eq!(status, 202, "{said}");
    let before = far.came().len();
    near.say(switch, says(CARD, 5_000));
    let masked = || {
        let asked = app.asked().into_iter().filter(|r| told.ends_with(&r.path));
        asked.filter_map(|r| r.parameter("PaymentCardNumber")).find(|number| number.ends_with("1732"))
    };
    let masked = until(Duration::from_secs(30), masked);
    assert_eq!(masked.as_deref(), Some("xxxxxxxxxxxx1732"), "{voice:?} {by:?}:\n{}", trace());
    // The rest of the last key, had anything of it been let through.
    let count = far.came().len();
    let rest = until(Duration::from_secs(10), || (far.came().len() >= count + 25).then_some(()));
    assert!(rest.is_some(), "the agent goes on hearing the caller");
    let (status, said) = stage.tandem.post(&format!("Calls/{call}.json"), "Status=completed");
    assert_eq!(status, 200, "{said}");
    running.finish(Duration::from_secs(30));
    agent.finish(Duration::from_secs(30));
    near.stop();
    let came = far.stop().split_off(before);
    assert!(came.len() > 50, "{} packets are heard while the card is entered", came.len());
    let events = came.iter().filter(|(kind, _)| *kind == 101).count();
    let sound = decoded(&came);
    assert_eq!((events, digits(&sound).as_str()), (0, ""), "{voice:?} {by:?}");
    assert!(loudest(&sound) < SILENT, "{voice:?} {by:?}: {:.0}", loudest(&sound));
}

#[test]
fn an_agent_is_sent_nothing_of_a_card_that_is_entered_for_a_payment() {
    let app = App::start(&[]);
    let rule = "    - match: { to: /^2\\d+$/ }\n      do: [ { dial: { number: \"${to}\", trunks: [far] } } ]\n";
    let more = format!(
        "web: {{ allow_private: [127.0.0.0/8] }}\npay:\n  connectors:\n    - {{ name: Default, type: generic, url: \"{}\", username: shop, password: secret }}\n",
        app.url("/gateway")
    );
    let stage = Carriers::with("pci-legs", rule, &Setup { more: &more, ..Setup::default() });
    for voice in [Voice::Pcmu, Voice::Opus] {
        for by in [By::Rfc4733, By::Tones] {
            agent_hears(&stage, &app, by, voice);
        }
    }
}
