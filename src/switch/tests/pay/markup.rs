//! Pay, its prompts and its parameters as documents write them, by what they do to a call: what is asked, said, sent and told.

use super::*;
use crate::speech;

const ALL: &str = "0828937";
const ROUTING: &str = "110000000";

/// A caller whose document is this Pay, and what follows it.
fn pays(attributes: &str, inside: &str) -> Bench {
    let mut b = Bench::new(crate::switch::tests::markup::APP);
    b.now.wall = Wall(1_795_392_000_000_000);
    b.switch = Switch::new(with_gateway(crate::switch::tests::markup::APP), 7, b.now);
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    b.serve(&format!("<Pay statusCallback='/told' {attributes}>{inside}</Pay><Redirect>/rest</Redirect>"));
    b.acknowledge();
    b
}

impl Bench {
    /// The texts that were to be spoken.
    fn said(&self) -> Vec<&str> {
        let text = |o: &'_ speech::Order| matches!(o, speech::Order::Say(_));
        let says = self.speech.iter().filter(|o| text(o));
        says.map(|o| if let speech::Order::Say(say) = o { &*say.text } else { "" }).collect()
    }

    /// What was told of the latest step of the payment.
    fn latest(&self, name: &str) -> &str {
        self.all_told(name).last().copied().unwrap_or_default()
    }

    /// The JSON that the gateway was sent.
    fn sent_to_gateway(&self) -> String {
        let fetch = self.at_gateway().expect("the gateway is asked");
        fetch.secret.json.as_ref().map(Secret::expose).unwrap_or_default().to_owned()
    }
}

#[test]
fn attributes_of_a_pay_decide_what_is_asked_and_what_the_gateway_gets() {
    let card = |rest: &str| format!("{CARD}{rest}");
    let zip = card("082812345#937");
    let bank = format!("{ROUTING}000123456789#");
    // Attributes, what is typed, what the gateway is sent, and what it is not.
    let rows: [(&str, &str, &[&str], &str); 13] = [
        (
            "",
            &zip,
            &["\"method\":\"tokenize\"", "\"token_type\":\"reusable\"", "\"cvv\":\"937\"", "\"postal_code\":\"12345\""],
            "amount",
        ),
        ("tokenType='one-time'", &zip, &["\"token_type\":\"one-time\""], "amount"),
        (
            "chargeAmount='20.5'",
            &zip,
            &["\"method\":\"charge\"", "\"amount\":\"20.50\"", "\"currency_code\":\"USD\""],
            "token_type",
        ),
        ("chargeAmount='20.5' currency='eur'", &zip, &["\"currency_code\":\"EUR\""], "USD"),
        ("description='Two shoes'", &zip, &["\"description\":\"Two shoes\""], "amount"),
        ("securityCode='false'", &card("082812345#"), &["\"postal_code\":\"12345\""], "cvv"),
        ("securityCode='true'", &zip, &["\"cvv\":\"937\""], "amount"),
        ("postalCode='false'", &card(ALL), &["\"cvv\":\"937\""], "postal_code"),
        ("postalCode='94110'", &card(ALL), &["\"postal_code\":\"94110\""], "12345"),
        ("input='dtmf' paymentMethod='credit-card'", &zip, &[CARD], "bank_account"),
        (
            "paymentMethod='ach-debit'",
            &bank,
            &["\"bank_account_type\":\"consumer-checking\"", ROUTING, "000123456789"],
            "cardnumber",
        ),
        (
            "paymentMethod='ach-debit' bankAccountType='commercial-checking'",
            &bank,
            &["\"bank_account_type\":\"commercial-checking\""],
            "cvv",
        ),
        ("paymentConnector='Default'", &zip, &["\"parameters\":{}"], "amount"),
    ];
    for (attributes, keys, expected, never) in rows {
        let mut b = pays(attributes, "");
        b.types(keys);
        let json = b.sent_to_gateway();
        assert!(expected.iter().all(|part| json.contains(part)) && !json.contains(never), "{attributes}: {json}");
        let method = if attributes.contains("ach") { "ach-debit" } else { "credit-card" };
        assert_eq!(b.latest("PaymentMethod"), method, "{attributes}");
    }
}

#[test]
fn attributes_of_a_pay_decide_what_is_refused_and_how_often() {
    // Attributes, what is typed, and what is told then: for what, why, result.
    let rows: [(&str, &str, [&str; 3]); 9] = [
        ("validCardTypes='visa amex'", CARD, ["payment-card-number", "invalid-card-type", ""]),
        ("validCardTypes='mastercard'", CARD, ["expiration-date", "", ""]),
        ("minPostalCodeLength='4'", &format!("{CARD}0828123#"), ["postal-code", "invalid-postal-code", ""]),
        ("minPostalCodeLength='3'", &format!("{CARD}0828123#"), ["security-code", "", ""]),
        ("maxAttempts='1'", "1#", ["", "", "too-many-failed-attempts"]),
        ("maxAttempts='2'", "1#", ["payment-card-number", "invalid-card-number", ""]),
        ("maxAttempts='2'", "1#1#", ["", "", "too-many-failed-attempts"]),
        ("", "12*", ["", "", "caller-interrupted-with-star"]),
        ("paymentConnector='nobody'", "", ["", "", "validation-error"]),
    ];
    for (attributes, keys, expected) in rows {
        let mut b = pays(attributes, "");
        b.types(keys);
        let told = ["For", "ErrorType", "Result"].map(|name| b.latest(name));
        assert_eq!(told, expected, "{attributes}, {keys}");
    }
}

#[test]
fn a_pay_waits_so_long_and_speaks_the_language_it_names() {
    let mut b = pays("timeout='7' language='de-DE'", "");
    let Some(speech::Order::Say(say)) = b.speech.last() else { panic!("something is said") };
    assert_eq!(&*say.language, "de-DE");
    b.speak(&["/cache/1.wav"]);
    b.prompt_ends();
    b.pass(Duration::from_secs(6));
    assert_eq!(b.latest("ErrorType"), "");
    b.pass(Duration::from_secs(2));
    assert_eq!(b.latest("ErrorType"), "timeout");
}

#[test]
fn a_pay_asks_its_action_and_tells_its_status_callback() {
    let mut b = pays("action='paid' statusCallbackMethod='GET' postalCode='false'", "");
    let told = b.callbacks()[0];
    assert_eq!((&*told.address.url, told.address.method), ("http://a.test/told", crate::web::Method::Get));
    b.types(CARD);
    b.types(ALL);
    b.gateway_says(200, r#"{"token_id":"tok_7"}"#);
    assert_eq!(&*b.asked().address.url, "http://a.test/app/paid");
    let told = ["Result", "PaymentToken", "PaymentCardNumber", "SecurityCode"].map(|name| b.parameter(name));
    assert_eq!(told, [Some("success"), Some("tok_7"), Some("xxxxxxxxxxxx1732"), Some("xxx")]);
    // Without an action the next verb follows.
    let mut b = pays("postalCode='false'", "");
    b.types("*");
    assert_eq!(&*b.asked().address.url, "http://a.test/rest");
}

#[test]
fn parameters_of_a_pay_reach_the_gateway() {
    let inside = "<Parameter name='order' value='A \"7\"'/><Parameter name='shop' value='9'/>";
    let mut b = pays("postalCode='false'", inside);
    b.types(CARD);
    b.types(ALL);
    let json = b.sent_to_gateway();
    assert!(json.contains(r#""parameters":{"order":"A \"7\"","shop":"9"}"#), "{json}");
}

#[test]
fn prompts_of_a_pay_are_heard_where_they_belong() {
    let inside = "<Prompt for='payment-card-number'><Say>Card</Say></Prompt>\
        <Prompt for='payment-card-number' attempt='2'><Say>Card, second</Say></Prompt>\
        <Prompt for='payment-card-number' errorType='timeout invalid-card-type'><Say>Not that card</Say></Prompt>\
        <Prompt for='security-code' cardType='visa'><Say>Visa</Say></Prompt>\
        <Prompt for='security-code' cardType='mastercard jcb'><Say>Master</Say></Prompt>\
        <Prompt for='expiration-date' errorType='invalid-date'><Say>No such date</Say></Prompt>\
        <Prompt for='payment-processing'><Say>Wait</Say></Prompt>";
    let mut b = pays("validCardTypes='mastercard' postalCode='false'", inside);
    assert_eq!(b.said(), ["Card"]);
    b.types("1#");
    assert_eq!(b.said().last(), Some(&"Card, second"));
    b.types("4111111111111111#");
    assert_eq!(b.said().last(), Some(&"Not that card"));
    b.types(CARD);
    // Nothing is written for it: our own words.
    assert!(b.said().last().is_some_and(|text| text.contains("expiration date")), "{:?}", b.said());
    b.types("1320");
    assert_eq!(b.said().last(), Some(&"No such date"));
    b.types("0828");
    assert_eq!(b.said().last(), Some(&"Master"));
    b.types("937");
    assert_eq!(b.said().last(), Some(&"Wait"));
}

#[test]
fn what_must_match_is_entered_twice() {
    let inside = "<Prompt for='bank-account-number' requireMatchingInputs='true'><Say>Account</Say></Prompt>";
    let mut b = pays("paymentMethod='ach-debit'", inside);
    b.types(ROUTING);
    b.types("000123456789#");
    assert!(b.at_gateway().is_none(), "once is not enough");
    b.types("000123456788#");
    assert_eq!([b.latest("For"), b.latest("ErrorType")], ["bank-account-number", "input-matching-failed"]);
    b.types("000123456789#000123456789#");
    assert!(b.sent_to_gateway().contains("000123456789"));
}
