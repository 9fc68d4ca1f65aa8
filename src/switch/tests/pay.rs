//! Payments by phone, through a gateway that is a fake of ours.

mod markup;

use super::*;
use crate::base::pii::Secret;
use crate::config::pay::{Connector, Kind};
use crate::media::command::{Event as Heard, Method as By, Tones};
use crate::verb::pay::{Field, Pay};
use crate::web::{Content, Event, Fetch, Order, Page};

const CARD: &str = "5424180279791732";

const RULE: &str = "contexts:\n  any:\n    - do: [ { pay: { amount: '20.45', attempts: 2, postal_code: false, status_callback: 'http://a.test/status', \
    prompts: [ { prompt: { pause: 1s } }, { for: payment-card-number, error: card-declined, prompt: [ { pause: 1s } ] } ] }, on: { none: [ { log: 'too many' } ], \
    cancelled: [ { log: star } ], failed: [ { log: 'failed: ${pay_error}' } ] } }, \
    { log: 'paid ${pay_result} ${pay_confirmation} ${pay_card} ${pay_card_type}' }, { pause: 9s } ]\n";

fn with_gateway(rule: &str) -> Setup {
    let mut setup = setup(rule);
    let authorization = Some(Secret::new("Basic x".into()));
    let url = "https://gateway.test/pay".to_owned();
    let connector = Connector { name: "Default".into(), kind: Kind::Generic, url, authorization };
    Arc::make_mut(&mut setup.config).pay = vec![connector];
    setup
}

fn payer(rule: &str) -> Bench {
    let mut b = Bench::new(rule);
    // 2026-11-23: cards end in months to come.
    b.now.wall = Wall(1_795_392_000_000_000);
    b.switch = Switch::new(with_gateway(rule), 7, b.now);
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    let tag = format!(";tag={}", b.last(CALLER).to_tag());
    b.receive(CALLER, request("ACK", 1, 1, &tag, ""));
    b
}

impl Bench {
    fn types(&mut self, keys: &str) {
        let leg = *self.states.keys().next().unwrap();
        for digit in keys.chars() {
            self.pass(Duration::from_millis(400));
            self.input(Input::Media(Heard::Digit { leg, digit, duration_ms: 100, method: By::Inband }));
        }
    }

    fn at_gateway(&self) -> Option<&Fetch> {
        let fetches = self.web.iter().rev().filter_map(|o| if let Order::Fetch(f) = o { Some(&**f) } else { None });
        fetches.into_iter().find(|f| f.address.url.contains("gateway.test"))
    }

    fn gateway_says(&mut self, status: u16, body: &str) {
        let (id, url) = self.at_gateway().map(|f| (f.id, f.address.url.clone())).expect("the gateway is asked");
        let content = Content::Body(body.as_bytes().to_vec().into());
        let page = Page { url, status, content_type: "application/json".into(), content, fell_back: None };
        self.input(Input::Web(Event::Fetched { id, result: Ok(Box::new(page)) }));
    }

    /// The timelines of live calls, and all that servers were told but what is confidential.
    fn seen(&self) -> String {
        let live: Vec<String> = self.switch.calls.iter().map(|(_, c)| format!("{:?}", c.timeline)).collect();
        live.concat() + &format!("{:?}", self.web)
    }

    fn all_told(&self, name: &str) -> Vec<&str> {
        let callbacks = self.web.iter().filter_map(|o| if let Order::Callback(c) = o { Some(c) } else { None });
        callbacks
            .map(|c| c.parameters.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str()))
            .collect()
    }
}

#[test]
fn a_card_is_asked_for_charged_and_told_as_a_mask() {
    let mut b = payer(RULE);
    let leg = *b.states.keys().next().unwrap();
    assert_eq!(b.states[&leg].tones, Tones::Sealed);
    b.types("4111111111111112#");
    assert!(b.seen().contains("payment-card-number: invalid-card-number"), "{}", b.seen());
    b.types(CARD);
    b.types("0828937");
    let fetch = b.at_gateway().expect("the gateway is asked");
    let json = fetch.secret.json.as_ref().map(Secret::expose).unwrap_or_default();
    assert!(json.contains(CARD) && json.contains("\"cvv\":\"937\"") && json.contains("\"expiry_month\":\"08\""));
    b.gateway_says(200, r#"{"charge_id":"ch_7","error_code":null}"#);
    let seen = b.seen();
    assert!(seen.contains("paid success ch_7 xxxxxxxxxxxx1732 mastercard"), "{seen}");
    assert!(!seen.contains(CARD) && !seen.contains("937") && !seen.contains("0828"), "{seen}");
    assert_eq!(
        b.all_told("For"),
        ["payment-card-number", "payment-card-number", "expiration-date", "security-code", "payment-processing", ""]
    );
    assert_eq!(b.all_told("ErrorType"), ["", "invalid-card-number", "", "", "", ""]);
    assert_eq!(b.all_told("Result").last(), Some(&"success"));
}

#[test]
fn a_payment_ends_in_each_of_its_ways() {
    type Way = fn(&mut Bench);
    let pay: Way = |b| {
        b.types(CARD);
        b.types("0828937");
    };
    let rows: [(Way, &str); 6] = [
        (|b| b.types("1#2#"), "too many"),
        (|b| b.pass(Duration::from_secs(15)), "too many"),
        (|b| b.types("5424*"), "star"),
        (
            |b| {
                b.types(CARD);
                b.types("0828937");
                b.gateway_says(500, "oops");
            },
            "failed: the gateway answered 500 without JSON",
        ),
        (
            |b| {
                b.types(CARD);
                b.types("0828937");
                let id = b.at_gateway().unwrap().id;
                let fault = crate::web::Fault::new(crate::web::Reason::Connection, "https://gateway.test", "refused");
                b.input(Input::Web(Event::Fetched { id, result: Err(fault) }));
            },
            "failed: the gateway did not answer",
        ),
        (
            |b| {
                b.types(CARD);
                b.types("0828937");
                b.gateway_says(200, r#"{"error_code":"card_declined","error_message":"no"}"#);
                b.pass(Duration::from_secs(2));
                b.types("4111111111111111#");
                b.types("0828937");
                b.gateway_says(200, r#"{"charge_id":"ch_8"}"#);
            },
            "paid success ch_8 xxxxxxxxxxxx1111 visa",
        ),
    ];
    for (way, line) in rows {
        let mut b = payer(RULE);
        way(&mut b);
        let seen = b.seen();
        assert!(seen.contains(line), "{line}: {seen}");
        assert!(!seen.contains(CARD) && !seen.contains("937") && !seen.contains("5424"), "{line}: {seen}");
    }
    // Whoever hangs up while the gateway has it: the application is told, and nothing is left.
    let mut b = payer(RULE);
    pay(&mut b);
    let tag = format!(";tag={}", b.sent.iter().rev().find(|(_, m)| m.status() == 200).unwrap().1.to_tag());
    b.receive(CALLER, request("BYE", 1, 2, &tag, ""));
    b.pass(Duration::from_secs(60));
    assert_eq!(b.all_told("Result").last(), Some(&"caller-hung-up"));
    assert!(b.switch.calls.iter().next().is_none() && !b.seen().contains(CARD));
}

#[test]
fn a_pay_that_cannot_be_asked_says_why() {
    for (pay, why) in
        [("amount: '1', connector: other", "no connector of that name: other"), ("amount: '${from}'", "is no amount")]
    {
        let rule = format!(
            "contexts:\n  any:\n    - do: [ {{ pay: {{ {pay} }}, on: {{ failed: [ {{ log: '${{pay_result}} ${{pay_error}}' }} ] }} }}, {{ pause: 5s }} ]\n"
        );
        let b = payer(&rule);
        let seen = b.seen();
        assert!(seen.contains("validation-error") && seen.contains(why), "{seen}");
    }
}

#[test]
fn an_agent_helps_and_hears_nothing_of_it() {
    let mut b = payer(
        "contexts:\n  any:\n    - do: [ answer, { gather: { digits: 9, timeout: 60s } }, { log: 'gathered ${digits}' }, { pause: 9s } ]\n",
    );
    let call = b.switch.calls.iter().next().map(|(_, c)| c.id).unwrap();
    let ask = |b: &mut Bench, ask| {
        let before = b.replies.len();
        b.input(Input::Operator { id: 9, ask: Operator::Payment { call, status: "http://a.test/s".into(), ask } });
        format!("{:?}", b.replies.get(before))
    };
    let begin =
        |key: &str| PaymentAsk::Begin { key: key.into(), pay: Box::new(Pay { postal_code: false, ..Pay::default() }) };
    let first = ask(&mut b, begin("k"));
    let sid = first.split('"').nth(1).unwrap_or_default().to_owned();
    assert!(sid.starts_with("PK") && sid.len() == 34, "{first}");
    assert_eq!(ask(&mut b, begin("k")), first, "the same key is the same payment");
    assert!(ask(&mut b, begin("other")).contains("Refused"));
    let leg = *b.states.keys().next().unwrap();
    assert_eq!(b.states[&leg].tones, Tones::Sealed);
    b.types("99");
    let capture = |field| PaymentAsk::Capture { sid: sid.clone(), field };
    ask(&mut b, capture(Field::CardNumber));
    b.types("1234#");
    assert!(b.all_told("ErrorType").contains(&"invalid-card-number"));
    b.types(CARD);
    assert!(ask(&mut b, PaymentAsk::End { sid: sid.clone(), completes: true }).contains(&sid));
    assert_eq!(b.all_told("Result").last(), Some(&"missing-required-inputs"));
    ask(&mut b, capture(Field::ExpirationDate));
    b.types("0828");
    ask(&mut b, capture(Field::SecurityCode));
    b.types("937");
    assert!(ask(&mut b, PaymentAsk::End { sid: "PKother".into(), completes: true }).contains("NotFound"));
    ask(&mut b, PaymentAsk::End { sid: sid.clone(), completes: true });
    ask(&mut b, PaymentAsk::End { sid: sid.clone(), completes: true });
    let asked = b.web.iter().filter(|o| matches!(o, Order::Fetch(f) if f.address.url.contains("gateway"))).count();
    assert_eq!(asked, 1, "completed once, whatever is asked again");
    b.gateway_says(200, r#"{"token_id":"tok_1"}"#);
    assert_eq!((b.all_told("Result").last(), b.all_told("PaymentToken").last()), (Some(&"success"), Some(&"tok_1")));
    assert_ne!(b.states[&leg].tones, Tones::Sealed);
    let seen = b.seen();
    assert!(!seen.contains(CARD) && !seen.contains("937") && seen.contains("xxxxxxxxxxxx1732"), "{seen}");
    // What was entered for the payment was none of the script's.
    b.types("555");
    assert!(!b.seen().contains("gathered 5424"));
}
