use super::*;
use crate::base::time::Wall;
use crate::verb::{Action, Next, Outcome, Script};

fn document(inside: &str) -> Document {
    read_xml(format!("<Response>{inside}</Response>").as_bytes(), "http://a/b?key=1").expect("the document is read")
}

fn actions(document: Document) -> Vec<Action> {
    let mut script = Script::new(document.program.into(), document.entry, Wall(0));
    let mut out = Vec::new();
    while let Next::Do { action, at } = script.next() {
        assert!(at.starts_with("http://a/b:"), "{at}");
        let outcome = if matches!(action, Action::Dial(_)) { Outcome::Answered } else { Outcome::Done };
        out.push(action);
        script.finished(outcome);
    }
    out
}

/// The steps of a document, and what is told of it.
#[track_caller]
fn check(inside: &str, steps: &[&str], warnings: &[u32]) {
    let document = document(inside);
    let told: Vec<u32> = document.warnings.iter().map(|w| w.code).collect();
    assert_eq!(told, warnings, "{:?}", document.warnings);
    let done: Vec<String> = actions(document).iter().map(Action::to_string).collect();
    assert_eq!(done, steps);
}

#[test]
fn verbs_become_steps() {
    check("", &[], &[]);
    check("<Say>Hello &amp; welcome</Say>", &["answer", "say text=\"Hello & welcome\""], &[]);
    check(
        "<Say voice='man' language='de-DE' loop='0'>Ja</Say>",
        &["answer", "say text=Ja voice=man language=de-DE loop=0"],
        &[],
    );
    check(
        "<Play>a.wav</Play><Play loop='3'>b.wav</Play>",
        &["answer", "play file=a.wav", "play file=b.wav loop=3"],
        &[],
    );
    check("<Play digits='1w2#'/>", &["answer", "play digits=1w2#"], &[]);
    check("<Pause length='3'/><Pause/>", &["pause duration=3s", "pause duration=1s"], &[]);
    check("<Redirect method='GET'>next.xml?a=1&amp;b=2</Redirect>", &["redirect url=next.xml?a=1&b=2 method=GET"], &[]);
    check("<Reject/>", &["reject status=603"], &[]);
    check("<Reject reason='busy'/>", &["reject status=486"], &[]);
    check("<Leave/><Hangup/><Say>no</Say>", &["leave", "hangup"], &[]);
    check("<Hangup/>", &["answer", "hangup"], &[]);
    check("<Echo/>", &["answer", "echo"], &[]);
    check("<Sms to='+1'>hi</Sms>", &["message text=hi to=+1"], &[]);
    check("<Refer><Sip>sip:a@b</Sip></Refer>", &["answer", "refer uri=sip:a@b"], &[]);
    check("<Enqueue waitUrl='w.xml'>support</Enqueue>", &["answer", "enqueue name=support wait_url=w.xml"], &[]);
    check("<Start><Recording channels='mono'/></Start>", &["record_call action=start channels=mono"], &[]);
    check("<Start><Stream url='wss://x'/></Start>", &["unavailable what=<Start><Stream>"], &[]);
}

#[test]
fn gather_has_its_prompts_and_twilios_values() {
    check(
        "<Gather><Say>One</Say><Play>x.wav</Play><Pause length='2'/></Gather>",
        &["answer", "gather timeout=5s prompt=\"say One\" prompt=\"play x.wav\" prompt=\"pause 2s\""],
        &[],
    );
    check(
        "<Gather input='dtmf speech' numDigits='4' timeout='9' finishOnKey='' action='/d' hints='a, b' language='en-GB'/>",
        &[
            "answer",
            "gather digits=4 timeout=9s finish_on_key=none input=\"dtmf speech\" action=/d language=en-GB hints=\"a, b\"",
        ],
        &[],
    );
    check(
        "<Gather timeout='soon' finishOnKey='12' numDigits='0' colour='red'/>",
        &["answer", "gather digits=1 timeout=5s finish_on_key=1"],
        &[12_200, 13_310, 13_313, 13_314],
    );
    check("<Gather><Dial>1</Dial></Gather>", &["answer", "gather timeout=5s"], &[13_320]);
}

#[test]
fn dial_has_nouns() {
    check(
        "<Dial callerId='+14155550100' timeout='9'>+1 (415) 555-0199</Dial><Say>after</Say>",
        &["answer", "dial number=+14155550199 timeout=9s caller_id=+14155550100 time_limit=4h", "say text=after"],
        &[],
    );
    check(
        "<Dial answerOnBridge='true' sequential='true' action='/x'><Client>alice</Client><Sip>sip:b@c?X-A=b%20c</Sip></Dial>",
        &["dial user=alice uri=sip:b@c timeout=30s strategy=sequential time_limit=4h action=/x"],
        &[],
    );
    check(
        "<Dial><Conference beep='onEnter' muted='true'>room</Conference></Dial>",
        &["answer", "conference name=room beep=on_enter muted=true"],
        &[],
    );
    check("<Dial><Queue>q</Queue></Dial>", &["answer", "dial queue=q timeout=30s"], &[]);
    check("<Dial><Sip>nonsense</Sip></Dial>", &["answer"], &[13_243, 13_223]);
    check("<Dial><Sim>DE1</Sim></Dial>", &["answer", "unavailable what=\"<Dial> to <Sim>\""], &[]);
    let read = actions(document(
        "<Dial answerOnBridge='true'><Number url='/w' sendDigits='ww1' byoc='acme' statusCallback='/s' statusCallbackEvent='ringing answered'>100</Number></Dial>",
    ));
    let Action::Dial(dial) = &read[0] else { panic!("{read:?}") };
    let callee = &dial.callees[0];
    assert_eq!((callee.url.as_ref().map(|h| h.url.as_str()), callee.send_digits.as_str()), (Some("/w"), "ww1"));
    assert_eq!(callee.status.as_ref().map(|s| s.events.join(" ")), Some("ringing answered".to_owned()));
}

#[test]
fn what_is_unknown_is_told_and_skipped() {
    check("<Shout>a</Shout><Say pitch='1'>b</Say>", &["answer", "say text=b"], &[12_200, 12_200]);
    check("<say>a</say>", &[], &[12_200]);
    check("<Say/>", &[], &[13_520]);
    check("<Play/>", &[], &[12_200]);
    let many = "<x/>".repeat(500);
    assert_eq!(document(&many).warnings.len(), WARNINGS_MAX);
}

#[test]
fn ssml_is_kept_as_it_stands() {
    let read = actions(document("<Say voice='Polly.Amy'>A <break time=\"1s\"/> &amp; <emphasis>b</emphasis></Say>"));
    let Action::Say(say) = &read[1] else { panic!("{read:?}") };
    assert!(say.is_ssml);
    assert_eq!(say.text, "A <break time=\"1s\"/> &amp; <emphasis>b</emphasis>");
}

#[test]
fn what_is_no_document_has_its_published_number() {
    let rows: [(&[u8], u32, u32); 9] = [
        (b"", 12_100, 1),
        (b"<Response><Say>half", 12_100, 1),
        (b"<Response>\n<Say></Response>", 12_100, 2),
        (b"hello", 12_100, 1),
        (b"\n<Request/>", 12_102, 2),
        (b"<Response version='2'/>", 12_101, 1),
        (b"<Response>\n\xff</Response>", 12_100, 2),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><Response>&b;</Response>", 12_100, 1),
        (b" <?xml version='1.0'?><Response/>", 12_100, 1),
    ];
    for (body, code, line) in rows {
        let fault = read_xml(body, "x").unwrap_err();
        assert_eq!((fault.error.code(), fault.at.line), (code, line), "{fault}");
    }
    let deep = format!("<Response>{}{}</Response>", "<Say>".repeat(40), "</Say>".repeat(40));
    assert_eq!(read_xml(deep.as_bytes(), "x").unwrap_err().error, Error::Document);
    let deeper = "<a>".repeat(21_000);
    assert_eq!(read_xml(deeper.as_bytes(), "x").unwrap_err().error, Error::Document);
    let large = format!("<Response>{}</Response>", " ".repeat(DOCUMENT_MAX));
    assert_eq!(read_xml(large.as_bytes(), "x").unwrap_err().error, Error::TooLarge);
}

#[test]
fn text_is_said_and_sound_is_played() {
    let of =
        |kind: &str| read(b" hello ", kind, "http://a/b:").map(|d| actions(d).iter().map(Action::to_string).collect());
    assert_eq!(of("text/plain"), Ok(vec!["answer".to_owned(), "say text=hello".to_owned()]));
    assert_eq!(of("audio/mpeg"), Ok(vec!["answer".to_owned(), "play file=http://a/b:".to_owned()]));
    assert_eq!(of("image/png").unwrap_err().error, Error::ContentType);
}

/// The table is that of the specification: no element and no attribute is missing or made up.
#[test]
fn the_table_is_the_specification() {
    let spec = include_str!("../../tests/markup/voice.tsv");
    let rows = spec.lines().filter(|line| !line.starts_with('#'));
    let ours = table::ELEMENTS.iter().flat_map(|e| {
        let head = format!("{}\t{}", e.key, e.name);
        let rest: Vec<String> = e.attributes.iter().map(|a| format!("{head}\t{a}")).collect();
        std::iter::once(head).chain(rest)
    });
    assert_eq!(ours.collect::<Vec<_>>(), rows.collect::<Vec<_>>());
    for element in table::ELEMENTS {
        for key in element.children {
            assert!(table::ELEMENTS.iter().any(|e| e.key == *key), "{key}");
        }
    }
}

/// What is said to be tested is, and nothing is left out: `make coverage-markup` prints this table.
#[test]
fn the_coverage_table_has_every_attribute_and_names_tests_that_are_there() {
    let tests = [
        include_str!("tests.rs"),
        include_str!("../switch/tests/markup.rs"),
        include_str!("../switch/tests/byoc.rs"),
        include_str!("../switch/tests/queue.rs"),
        include_str!("../switch/tests/markup_effects.rs"),
        include_str!("../switch/tests/markup_nouns.rs"),
        include_str!("../switch/tests/speech.rs"),
        include_str!("../switch/tests/refer.rs"),
        include_str!("../switch/tests/pay/markup.rs"),
    ]
    .concat();
    let table = include_str!("../../tests/markup/coverage.tsv");
    let mut rows = table.lines().filter(|line| !line.starts_with('#'));
    for element in table::ELEMENTS {
        for attribute in std::iter::once("-").chain(element.attributes.iter().copied()) {
            let row: Vec<&str> = rows.next().unwrap_or_default().split('\t').collect();
            let [key, name, state, what] = row[..] else { panic!("{row:?}") };
            assert_eq!((key, name), (element.key, attribute));
            match state {
                "effect" | "read" => assert!(tests.contains(&format!("fn {what}()")), "there is no test {what}"),
                "open" | "none" => assert!(!what.is_empty(), "{row:?}"),
                _ => panic!("{row:?}"),
            }
        }
    }
    assert_eq!(rows.next(), None);
}

#[test]
fn pay_is_read_with_its_prompts_and_parameters() {
    use crate::verb::Verb;
    use crate::verb::pay::{CardType, Field, PayError, TokenType};
    let text = "<Response><Pay input='dtmf' action='/done' statusCallback='/s' statusCallbackMethod='GET' timeout='9' maxAttempts='2' \
        securityCode='false' postalCode='94105' minPostalCodeLength='5' paymentConnector='shop' paymentMethod='ach-debit' \
        bankAccountType='commercial-checking' tokenType='one-time' chargeAmount='20.45' currency='eur' description='a pizza' \
        validCardTypes='visa, jcb' language='de-DE'><Parameter name='order' value='7'/>\
        <Prompt for='payment-card-number' errorType='timeout input-timeout' cardType='visa' attempt='1 2' \
        requireMatchingInputs='true'><Say>Again</Say></Prompt><Prompt for='payment-processing'><Pause/></Prompt>\
        <Prompt for='nothing'><Say>x</Say></Prompt></Pay></Response>";
    let document = read(text.as_bytes(), "text/xml", "http://a.test/").expect("it is read");
    let pay = document.program.steps().find_map(|step| if let Verb::Pay(pay) = &step.verb { Some(pay) } else { None });
    let pay = pay.expect("it pays").map(&mut |text| text.as_literal().unwrap_or_default().to_owned());
    assert_eq!(
        document.warnings.len(),
        1,
        "a prompt for nothing: {:?}",
        document.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    );
    assert_eq!(
        (pay.connector.as_str(), pay.bank, pay.amount.as_str(), pay.currency.as_str(), pay.max_attempts),
        ("shop", Some("commercial-checking"), "20.45", "eur", 2)
    );
    assert_eq!((pay.security_code, pay.postal_code, pay.known_postal_code.as_deref()), (false, false, Some("94105")));
    assert_eq!((pay.min_postal_code_length, pay.timeout.as_secs(), pay.language.as_str()), (5, 9, "de-DE"));
    assert_eq!((pay.valid_cards, pay.token), (vec![CardType::Visa, CardType::Jcb], TokenType::OneTime));
    assert_eq!((pay.description.as_str(), pay.parameters), ("a pizza", vec![("order".to_owned(), "7".to_owned())]));
    assert_eq!(pay.action.map(|hook| hook.url), Some("/done".to_owned()));
    assert_eq!(pay.status.map(|hook| (hook.url, hook.method)), Some(("/s".to_owned(), crate::web::Method::Get)));
    let [first, second] = pay.prompts.as_slice() else { panic!("{:?}", pay.prompts) };
    assert_eq!((first.fields.as_slice(), first.attempts.as_slice()), (&[Some(Field::CardNumber)][..], &[1, 2][..]));
    assert_eq!((first.errors.len(), first.errors[0], first.cards[0]), (2, PayError::Timeout, CardType::Visa));
    assert_eq!((second.fields.as_slice(), pay.matching.as_slice()), (&[None][..], &[Field::CardNumber][..]));
}
