//! Text scripts in, SIP ladders out, compared with the ladders in this folder. `BLESS=1 cargo test --test scenarios` writes
//! them again; read the difference before committing it.
//!
//! A script's lines:
//!
//! ```text
//! # a comment, copied to the top of the ladder
//! limit calls 1                     of the whole switch; or `limit TRUNK 1`
//! srtp bob required                 a user's or trunk's policy, where it is not `optional`
//! trunk gamma register: true        a trunk's own words in tandem.yaml, beside name, context, targets and inbound
//! rates acme 1,0.01,US 44,0.02,UK   a trunk's rate card: prefix, price, name
//! config lcr: { max_price: 1 }      words at the top of tandem.yaml: lcr and tolls
//! user bob dnd: true                a user's own words, beside name, password and context
//! sip guard: { requests: 5/s }      words of the sip section
//! user bob numbers: [+1555]         words of a user
//! page http://a.example/voice <Response/>    what an application answers; nobody answers elsewhere
//! show From Privacy                 headers that the ladder prints below each request, and answer to OPTIONS, that has them
//! over alice tls                    a phone or trunk by a stream of its own: tcp, tls, ws
//! nat alice                         its Via and Contact name an address that nobody reaches
//! name srv _sip._udp.a.example 10,1,5060,b.a.example     what name servers say: naptr, srv, a, aaaa
//! registered bob carol              phones that have registered before it begins
//! alice: INVITE bob                 a request out of the blue: METHOD USER [words]
//! bob: 180                          the answer to the last open request at bob
//! bob: 200 BYE                      … to the last open BYE
//! bob: 183 sdp rel                  a reliable provisional response (`rel skip`: one before it is missing)
//! alice: ACK | BYE | CANCEL | reINVITE [hold] [pcma] [port] | PRACK [sdp] [wrong] | UPDATE [sdp]
//! operator: place bob echo           a call of our own to bob, or +1999 by acme and beta; then what the dialplan says of `echo`
//! operator: redirect echo            the call of ours does what the dialplan says of `echo` from now on
//! alice: INFO digit 5                a key that is pressed
//! alice: MESSAGE bob new says hello   a text; `type image/png`: of another kind
//! operator: hangup
//! operator: late 60                 what comes has waited 60 ms for the switch
//! wait 32s
//! ```
//!
//! `gamma: 200 REGISTER expires 60` grants a registration, `423 REGISTER min 120` asks for a longer one; `stranger: INVITE
//! binding` calls the Contact that the switch has registered.
//!
//! `alice/2` is alice's second dialog. Words after a request: `auth` answers the last challenge, `nosdp`, `stale`, a codec
//! (`pcma`), `caller NUMBER`, `with Name:value` (a header; `~` is a space), `token WHAT` (an Identity header: A, B, C, or stale, stranger, elsewhere, forged, base, div, broken, again), `require TAG`, `supported TAG`, `expires SESSION-EXPIRES`, `min-se MIN-SE`, `allow METHOD`, `forwards N`, `srtp`, `srtp4` (by tag 4), `rekey`, `plain`. Phones are alice, bob, carol; trunks
//! acme, beta, gamma (which asks for credentials); anybody else is a stranger. A refusal is acknowledged by itself; the
//! network is instant and loses nothing.

// The simulation uses more of what they share.
#[path = "../sim/digest.rs"]
mod digest;
mod identity;
#[allow(dead_code)]
#[path = "../sim/media.rs"]
mod media;
mod script;
#[path = "../sim/sdp.rs"]
mod sdp;
#[path = "../sim/setup.rs"]
mod setup;
mod stage;
#[allow(dead_code)]
#[path = "../sim/text.rs"]
mod text;
mod topology;
mod ways;

use std::path::{Path, PathBuf};

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = std::fs::read_dir(folder).expect("the folder of this file");
    let mut found: Vec<PathBuf> = entries.map(|e| e.expect("a file").path()).collect();
    found.retain(|p| p.extension().is_some_and(|e| e == "scenario"));
    found.sort();
    found
}

#[test]
fn ladders_are_as_they_were() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    let scripts = scripts();
    for path in &scripts {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).expect("a script");
        let ladder = script::run(&text).unwrap_or_else(|e| format!("{name}: {e}\n"));
        let golden = path.with_extension("ladder");
        if bless {
            std::fs::write(&golden, &ladder).expect("the ladder can be written");
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != ladder {
            wrong.push(format!("{name} draws now:\n{ladder}"));
        }
    }
    assert!(wrong.is_empty(), "{}\nBLESS=1 takes them as they are", wrong.join("\n"));
    println!("= {} ladders", scripts.len());
}

/// Each scenario, file and test that the README's table names is there, and no line shows nothing.
#[test]
fn what_the_table_names_is_there() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(top.join("tests/scenarios/README.md")).expect("the table");
    let rows = table.lines().filter(|l| l.starts_with("| ")).skip(1);
    let (mut missing, mut count) = (Vec::new(), 0);
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, what, scenarios, elsewhere, _] = cells[..] else { panic!("three columns: {row}") };
        let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        for name in names(scenarios) {
            if !top.join(format!("tests/scenarios/{name}.scenario")).is_file() {
                missing.push(format!("{what}: scenario {name}"));
            }
        }
        for name in names(elsewhere) {
            let found = match name.split_once(' ') {
                Some((file, test)) => std::fs::read_to_string(top.join("tests/interop/tests").join(file))
                    .is_ok_and(|text| text.contains(&format!("fn {test}("))),
                None => top.join(&name).is_file(),
            };
            if !found {
                missing.push(format!("{what}: {name}"));
            }
        }
        if names(scenarios).is_empty() && names(elsewhere).is_empty() {
            missing.push(format!("{what}: nothing"));
        }
        count += 1;
    }
    assert!(missing.is_empty() && count > 30, "{count} lines; missing: {missing:#?}");
}
