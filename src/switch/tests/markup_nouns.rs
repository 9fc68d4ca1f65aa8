//! Whom a Dial calls, by each of its nouns: what the called side is sent, and what the application is asked and told.

use super::guard::{PHONE, house, with_password};
use super::markup::APP;
use super::*;
use crate::speech::Order as Speech;
use crate::web::Method as Verb;

const TOLD: &str =
    "url='w' method='GET' statusCallback='/s' statusCallbackMethod='GET' statusCallbackEvent='ringing answered'";

/// A call to the application, beside alice's registered phone, whose first document is this.
fn serve(document: &str) -> Bench {
    let mut b = house(APP, |_| {});
    assert_eq!(with_password(&mut b, PHONE, &mut 0, "wonder"), 200);
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    b.serve(document);
    b
}

#[test]
fn numbers_and_clients_are_called_with_all_their_attributes() {
    let rows = [
        (CALLEE, "+15557", format!("<Number {TOLD} sendDigits='12'>+15557</Number>")),
        (PHONE, "alice", format!("<Client {TOLD}>alice</Client>")),
        (PHONE, "alice", format!("<Client {TOLD}><Identity>alice</Identity></Client>")),
    ];
    for (place, user, noun) in rows {
        let mut b = serve(&format!("<Dial>{noun}</Dial>"));
        let invite = b.last(place).clone();
        assert_eq!(invite.method(), Method::Invite, "{noun}");
        assert!(invite.request_uri().starts_with(&format!("sip:{user}@")), "{}", invite.request_uri());
        b.answer(place, &invite, "180 Ringing", "callee", None);
        b.answer(place, &invite, "200 OK", "callee", Some(5000));
        if noun.contains("sendDigits") {
            let sent = |b: &Bench| b.dialled.iter().map(|(_, press)| press.digit).collect::<String>();
            assert_eq!(sent(&b), "12", "{noun}");
        }
        // Before both are joined the one who has answered hears a document.
        b.pass(Duration::from_secs(1));
        assert_eq!((&*b.asked().address.url, b.asked().address.method), ("http://a.test/app/w", Verb::Get), "{noun}");
        let status = |c: &crate::web::Callback| {
            let found = c.parameters.iter().find(|(n, _)| n == "CallStatus").map(|(_, v)| v.clone());
            (c.address.url.to_string(), c.address.method, found.unwrap_or_default())
        };
        let told: Vec<_> = b.callbacks().into_iter().map(status).collect();
        let expected = ["ringing", "in-progress"].map(|s| ("http://a.test/s".to_owned(), Verb::Get, s.to_owned()));
        assert_eq!(told, expected, "{noun}");
    }
}

#[test]
fn who_is_asked_for_credentials_gives_those_of_the_noun() {
    let rows = [
        "<Sip username='ann' password='secret'>sip:200@127.0.0.1:7000</Sip>",
        "<Sip><Uri username='ann' password='secret'>sip:200@127.0.0.1:7000</Uri></Sip>",
        "<Sip><Uri username='ann' password='other'>sip:200@127.0.0.1:7000</Uri></Sip>",
    ];
    let mut values = Vec::new();
    for noun in rows {
        let mut b = serve(&format!("<Dial>{noun}</Dial>"));
        let invite = b.last(CALLEE).clone();
        let challenge = "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"far\", nonce=\"n1\"";
        b.answer(CALLEE, &invite, challenge, "callee", None);
        let again = b.sent.iter().rev().find(|(to, m)| to.to_string() == CALLEE && m.method() == Method::Invite);
        let value = again.and_then(|(_, m)| m.header_named("Authorization").map(str::to_owned)).unwrap_or_default();
        assert!(value.contains("username=\"ann\"") && value.contains("realm=\"far\""), "{noun}: {value}");
        values.push(value);
    }
    // Each switch begins with the same randomness: only the password tells the two apart.
    assert_ne!(values[1], values[2]);
    let mut b = serve("<Dial><Sip>sip:200@127.0.0.1:7000</Sip></Dial>");
    let invite = b.last(CALLEE).clone();
    let sent = b.sent.len();
    b.answer(
        CALLEE,
        &invite,
        "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"far\", nonce=\"n1\"",
        "callee",
        None,
    );
    let again =
        b.sent[sent..].iter().filter(|(to, m)| to.to_string() == CALLEE && m.method() == Method::Invite).count();
    assert_eq!(again, 0, "who has no credentials gives up");
}

#[test]
fn the_speaker_gets_ssml_as_it_stands() {
    let inside = "<p><s>One <w role=\"amazon:VB\">read</w> <sub alias=\"mercury\">Hg</sub></s></p><say-as interpret-as=\"date\" \
                  format=\"mdy\">1/2/2026</say-as><prosody volume=\"loud\" rate=\"slow\" pitch=\"high\">two</prosody><phoneme \
                  alphabet=\"ipa\" ph=\"x\">three</phoneme><lang xml:lang=\"fr-FR\">quatre</lang><emphasis level=\"strong\">five\
                  </emphasis><break strength=\"weak\"/>";
    let b = serve(&format!("<Say>{inside}</Say>"));
    let said = b.speech.iter().find_map(|o| if let Speech::Say(say) = o { Some(say) } else { None });
    let said = said.expect("something is said");
    assert!(said.is_ssml);
    assert_eq!(said.text.trim(), inside);
}
