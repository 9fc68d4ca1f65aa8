//! A call between SIPp's parties is recorded with a channel for each; what each said is found on its channel, at the same moment.

use std::process::Command;

use interop::carriers::Carriers;
use interop::sipp::{Codec, Sipp, Step};
use interop::sound::{RATE, find, likeness, melody, read_wav};
use interop::tandem::Setup;

const RECORDED: &str =
    "    - { match: { to: /^2\\d+$/ }, do: [ { dial: { number: \"${to}\", trunks: [far], record: dual } } ] }\n";
const KEY: &str = "0011223344556677889900112233445566778899001122334455667788990011";
/// Both songs begin within some milliseconds of each other; the tracks lie within 20 ms.
const APART_MAX: usize = RATE as usize / 20;

/// `format` and more of the section `recording`; the least likeness of what was said and what was recorded (1.0 on an idle machine; a loaded one sends late).
fn recorded(name: &str, section: &str, least: f64) {
    let more = format!("recording: {{ {section} }}\n");
    let stage = Carriers::with(name, RECORDED, &Setup { more: &more, ..Setup::default() });
    let (song_a, song_b) = (melody(41, 2), melody(42, 2));
    let caller = Sipp { codec: Codec::Pcmu, ..stage.caller("200", TALK) };
    let callee = Sipp { codec: Codec::Pcma, ..stage.callee(ANSWER) };
    let (near, far) = (stage.sound(&caller, &song_a, 0), stage.sound(&callee, &song_b, 8));
    let mut callee = stage.start(&callee);
    let mut caller = stage.start(&caller);
    far.send_to(callee.wait_media(1));
    near.send_to(caller.wait_media(1));
    let record = stage.finish(&mut caller, &mut [&mut callee]);
    let call = record["call"].as_str().expect("a call's name");

    let listed = || {
        let (_, text) = stage.tandem.command(&["recordings", "ls", "--json", "--call", call]);
        serde_json::from_str::<serde_json::Value>(&text).ok().filter(|rows| rows[0]["status"] == "complete")
    };
    let rows = interop::process::until(std::time::Duration::from_secs(10), listed).expect("a recording with its row");
    let id = rows[0]["recording"].as_str().expect("a recording's name");
    assert!(rows[0]["crosstalk"].as_f64().is_some_and(|share| share > 0.7), "{rows}");
    assert!(stage.tandem.trace(call).contains(id), "the timeline names the recording");
    let file = stage.scratch.path().join("exported");
    let (status, said) = stage.tandem.command(&["recordings", "export", id, "-o", &file.display().to_string()]);
    assert_eq!((status, said.as_str()), (0, ""));
    let [(at_a, alike_a), (at_b, alike_b)] = [(0, &song_a), (1, &song_b)].map(|(channel, song)| {
        let heard = channel_of(&file, channel);
        // Under load packets come late, and a line that moves to its place makes a second of sound some samples longer.
        (find(&song[..RATE as usize / 2], &heard).offset, likeness(song, &heard, 200))
    });
    assert!(alike_a >= least && alike_b >= least, "{alike_a} {alike_b}");
    let apart = (at_a.abs_diff(at_b)) % (2 * RATE as usize);
    let apart = apart.min(2 * RATE as usize - apart);
    assert!(apart <= APART_MAX, "the channels are {apart} samples apart");
    println!("{name}: likeness {alike_a:.3} and {alike_b:.3}, {:.1} ms apart", apart as f64 / 8.0);
    near.stop();
    far.stop();
}

/// One channel, as ffmpeg reads it.
fn channel_of(file: &std::path::Path, channel: usize) -> Vec<i16> {
    let out = file.with_extension(format!("{channel}.wav"));
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-i"]).arg(file);
    command.args(["-af", &format!("pan=mono|c0=c{channel}"), "-ar", "8000", "-c:a", "pcm_s16le"]).arg(&out);
    let done = command.output().expect("ffmpeg runs (`make packages` installs what the tests call)");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    read_wav(&out)
}

#[test]
fn each_party_is_found_on_its_channel() {
    recorded("recording-wav", "format: wav", 0.85);
}

#[test]
fn and_in_sealed_opus() {
    recorded("recording-opus", &format!("format: opus, encryption: {{ key: '{KEY}' }}"), 0.8);
}

const TALK: &[Step] = &[
    Step::Invite,
    Step::May(100),
    Step::May(180),
    Step::Expect(200),
    Step::Ack,
    Step::Pause(4000),
    Step::Bye,
    Step::Expect(200),
];
const ANSWER: &[Step] = &[
    Step::Get("INVITE"),
    Step::Reply(180),
    Step::ReplySdp(200, "sendrecv"),
    Step::Get("ACK"),
    Step::Get("BYE"),
    Step::Reply(200),
];
