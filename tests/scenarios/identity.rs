//! Identity headers of scripts, and who judges them: a right signature is made of what is signed, by anybody.

use super::text::Msg;
use tandem::event::IdentityCdr;
use tandem::sip::identity::{Attest, Claims, Event, Fault, Kind, Order, Party, Signed, claims, number, signing_input};

const X5U: &str = "https://sti.example/c.pem";
const ORIGIN: &str = "123e4567-e89b-12d3-a456-426655440000";

/// A right signature.
fn sign(input: &str) -> Vec<u8> {
    let sum = input.bytes().fold(7u64, |sum, b| sum.wrapping_mul(1_099_511_628_211) ^ u64::from(b));
    sum.to_be_bytes().repeat(8)
}

/// What the shell would answer.
pub fn judge(order: Order) -> Event {
    match order {
        Order::Sign { id, input } => Event::Signed { id, signature: Ok(sign(&input)) },
        Order::Verify { id, candidate } => {
            let wrong = || Fault::new(Kind::Invalid, "the signature does not fit");
            let result = if candidate.signature == sign(&candidate.input) { Ok(()) } else { Err(wrong()) };
            Event::Verified { id, result }
        }
    }
}

pub fn token(what: &str, from: &str, to: &str, now: i64) -> String {
    let party = |text: &str| Party::Number(number(text).unwrap_or_default());
    let mut said = Claims {
        iat: if what == "stale" { now - 61 } else { now },
        orig: party(if what == "stranger" { "+1666" } else { from }),
        dest: vec![party(if what == "elsewhere" { "1666" } else { to })],
        attest: Attest::from_name(what).or(Some(Attest::A)),
        origid: Some(ORIGIN.into()),
    };
    if matches!(what, "base" | "div") {
        (said.attest, said.origid) = (None, None);
    }
    let input = signing_input(X5U, &said);
    let signature = if what == "forged" { vec![b'F'; 64] } else { sign(&input) };
    let value = Signed::write(&input, &signature, X5U, what != "base");
    match what {
        "broken" => "nonsense".into(),
        "div" => value.replace("ppt=shaken", "ppt=div"),
        _ => value,
    }
}

/// For the ladder: what an INVITE's token says, where a verdict stands, why a response says that there is a fault.
pub fn told(msg: &Msg) -> String {
    let mut text = String::new();
    if let Some(signed) = Signed::parse(msg.get("Identity")) {
        let said = claims(signed.payload).expect("claims");
        let who = |party: &Party| party.as_number().unwrap_or("?").to_owned();
        let dest: Vec<String> = said.dest.iter().map(who).collect();
        let attest = said.attest.map_or("base", Attest::as_str);
        let by = if signed.info == X5U { "" } else { "our " };
        text += &format!(" ({by}{attest} {}>{})", who(&said.orig), dest.join(" "));
    }
    for name in ["P-Asserted-Identity", "From"] {
        if let Some((_, rest)) = msg.get(name).split_once(";verstat=") {
            let short = if name == "From" { "From" } else { "PAI" };
            let verdict = rest.split(['@', ';', '>']).next().unwrap_or("");
            text += &format!(" ({short} {})", verdict.replace("TN-Validation", "").trim_matches('-'));
        }
    }
    if let Some(cause) = msg.get("Reason").strip_prefix("STIR;cause=") {
        text += &format!(" (STIR {})", cause.split(';').next().unwrap_or(""));
    }
    text
}

pub fn shown(i: &IdentityCdr) -> String {
    let fault = i.fault.as_ref().map(|(kind, why)| format!("{kind}: {why}"));
    let all = [
        i.verstat.map(str::to_owned),
        i.attest.map(|a| format!("attested {a}")),
        fault,
        i.signed.map(|a| format!("signed {a}")),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
