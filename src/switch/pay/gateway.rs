//! How gateways are asked. The generic connector is Twilio's "Generic Pay Connector": one request of JSON with Basic credentials.
//! The other speaks the public form interface of Stripe: payment methods, tokens, customers, payment intents.

use super::entry::Entry;
use crate::base::pii::Secret;
use crate::config::pay::{Connector, Kind};
use crate::verb::pay::{Field, TokenType};
use crate::web::{Address, Confidential, Method, Parameters};
use serde_json::Value;
use std::fmt::Write;

/// Further fields of an answer that are told to the application.
const EXTRA_MAX: usize = 32;

/// A request to a gateway.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    pub address: Address,
    pub parameters: Parameters,
    pub secret: Confidential,
}

/// How a payment went.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settled {
    pub is_paid: bool,
    /// The card itself was refused; another may do.
    pub is_declined: bool,
    pub error: String,
    /// PaymentToken, PaymentConfirmationCode, ProfileId and what the connector has further.
    pub told: Parameters,
}

/// What follows an answer.
pub enum Next {
    Ask(Request),
    Over(Settled),
}

/// A payment that is with its gateway.
#[derive(Debug)]
pub struct Gateway {
    connector: Connector,
    /// Tells the requests of one payment from those of another.
    key: String,
    amount: Option<u64>,
    currency: String,
    description: String,
    token: TokenType,
    parameters: Parameters,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Only,
    /// Stripe's card or account is made; a charge or a customer follows.
    Method,
    Customer,
    Intent,
}

impl Gateway {
    /// The first request, which has all that was entered.
    pub fn begin(connector: &Connector, key: String, entry: &Entry) -> (Gateway, Request) {
        let pay = &entry.pay;
        let amount = pay.hundredths();
        let stage = match (connector.kind, amount, pay.token) {
            (Kind::Stripe, Some(_), _) | (Kind::Stripe, None, TokenType::Reusable) => Stage::Method,
            _ => Stage::Only,
        };
        let gateway = Gateway {
            connector: connector.clone(),
            key,
            amount,
            currency: pay.currency.to_ascii_lowercase(),
            description: pay.description.clone(),
            token: pay.token,
            parameters: pay.parameters.clone(),
            stage,
        };
        let request = match connector.kind {
            Kind::Generic => gateway.generic(entry),
            Kind::Stripe => gateway.stripe(entry),
        };
        (gateway, request)
    }

    fn request(&self, path: &str, parameters: Parameters, secret: Confidential) -> Request {
        let stage = self.stage as u8;
        let secret = Confidential {
            authorization: self.connector.authorization.clone(),
            idempotency_key: Some(format!("{}-{stage}", self.key)),
            ..secret
        };
        let url = format!("{}{path}", self.connector.url.trim_end_matches('/'));
        Request { address: Address::new(url, Method::Post), parameters, secret }
    }

    fn generic(&self, entry: &Entry) -> Request {
        let pay = &entry.pay;
        let mut json = String::with_capacity(2_048);
        let mut put = |name: &str, value: &str| {
            let head = if json.is_empty() { '{' } else { ',' };
            json.push(head);
            quote(&mut json, name);
            json.push(':');
            quote(&mut json, value);
        };
        put("transaction_id", &self.key);
        put("method", if self.amount.is_some() { "charge" } else { "tokenize" });
        if let Some(amount) = self.amount {
            put("amount", &format!("{}.{:02}", amount / 100, amount % 100));
            put("currency_code", &self.currency.to_ascii_uppercase());
        } else {
            put("token_type", self.token.as_str());
        }
        put("description", &self.description);
        let names = [
            (Field::CardNumber, "cardnumber"),
            (Field::SecurityCode, "cvv"),
            (Field::PostalCode, "postal_code"),
            (Field::BankRoutingNumber, "bank_routing_number"),
            (Field::BankAccountNumber, "bank_account_number"),
        ];
        for (field, name) in names {
            if let Some(value) = entry.value(field) {
                put(name, value);
            }
        }
        if let (Some(known), false) = (&pay.known_postal_code, entry.has(Field::PostalCode)) {
            put("postal_code", known);
        }
        if let Some((month, year)) = entry.value(Field::ExpirationDate).and_then(|date| date.split_at_checked(2)) {
            put("expiry_month", month);
            put("expiry_year", year);
        }
        if let Some(kind) = pay.bank {
            put("bank_account_type", kind);
        }
        let _ = write!(json, ",\"parameters\":{{");
        for (n, (name, value)) in self.parameters.iter().enumerate() {
            json.push_str(if n > 0 { "," } else { "" });
            quote(&mut json, name);
            json.push(':');
            quote(&mut json, value);
        }
        json.push_str("}}");
        self.request("", Vec::new(), Confidential { json: Some(Secret::new(json)), ..Confidential::default() })
    }

    fn stripe(&self, entry: &Entry) -> Request {
        let is_token = self.amount.is_none() && self.token == TokenType::OneTime;
        let mut form: Vec<(String, Secret)> = Vec::new();
        let mut put = |name: &str, value: &str| form.push((name.to_owned(), Secret::new(value.to_owned())));
        match entry.pay.bank {
            None => {
                let (month, year) =
                    entry.value(Field::ExpirationDate).and_then(|d| d.split_at_checked(2)).unwrap_or_default();
                put("card[number]", entry.value(Field::CardNumber).unwrap_or_default());
                put("card[exp_month]", month);
                put("card[exp_year]", &format!("20{year}"));
                if let Some(code) = entry.value(Field::SecurityCode) {
                    put("card[cvc]", code);
                }
                let known = entry.pay.known_postal_code.as_deref();
                if let Some(code) = entry.value(Field::PostalCode).or(known) {
                    put(if is_token { "card[address_zip]" } else { "billing_details[address][postal_code]" }, code);
                }
            }
            Some(kind) => {
                let of = if is_token { "bank_account" } else { "us_bank_account" };
                let holder = if kind.starts_with("commercial") { "company" } else { "individual" };
                put(&format!("{of}[routing_number]"), entry.value(Field::BankRoutingNumber).unwrap_or_default());
                put(&format!("{of}[account_number]"), entry.value(Field::BankAccountNumber).unwrap_or_default());
                put(&format!("{of}[account_holder_type]"), holder);
                if is_token {
                    put("bank_account[country]", "US");
                    put("bank_account[currency]", &self.currency);
                } else {
                    put(
                        "us_bank_account[account_type]",
                        if kind.ends_with("savings") { "savings" } else { "checking" },
                    );
                }
            }
        }
        let kind = if entry.pay.bank.is_some() { "us_bank_account" } else { "card" };
        let (path, parameters) = match is_token {
            true => ("/v1/tokens", Vec::new()),
            false => ("/v1/payment_methods", vec![("type".to_owned(), kind.to_owned())]),
        };
        self.request(path, parameters, Confidential { form, ..Confidential::default() })
    }

    /// What an answer says, and what is asked then. `None`: none came.
    pub fn answered(&mut self, answer: Option<(u16, &[u8])>) -> Next {
        let Some((status, body)) = answer else {
            return over(Settled { error: "the gateway did not answer".into(), ..Settled::default() });
        };
        let Ok(Value::Object(reply)) = serde_json::from_slice::<Value>(body) else {
            return over(Settled {
                error: format!("the gateway answered {status} without JSON"),
                ..Settled::default()
            });
        };
        match self.connector.kind {
            Kind::Generic => over(generic_reply(status, &reply)),
            Kind::Stripe => self.stripe_reply(status, &reply),
        }
    }

    fn stripe_reply(&mut self, status: u16, reply: &Reply) -> Next {
        if let Some(error) = reply.get("error").filter(|e| e.is_object()) {
            let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let is_declined = text("code") == "card_declined" || text("type") == "card_error";
            return over(Settled { is_declined, error: text("message"), ..Settled::default() });
        }
        let id = text_of(reply, "id");
        if !(200..300).contains(&status) || id.is_empty() {
            return over(Settled { error: format!("the gateway answered {status}"), ..Settled::default() });
        }
        let told = |name: &str, value: String| (name.to_owned(), value);
        match self.stage {
            Stage::Only => over(paid(vec![told("PaymentToken", id)])),
            Stage::Method => {
                let pairs =
                    |pairs: &[(&str, String)]| pairs.iter().map(|(n, v)| told(n, v.clone())).collect::<Parameters>();
                if let Some(amount) = self.amount {
                    self.stage = Stage::Intent;
                    let kind = text_of(reply, "type");
                    let mut form = pairs(&[
                        ("amount", amount.to_string()),
                        ("currency", self.currency.clone()),
                        ("payment_method", id),
                        ("payment_method_types[]", if kind.is_empty() { "card".into() } else { kind }),
                        ("confirm", "true".to_owned()),
                    ]);
                    if !self.description.is_empty() {
                        form.push(told("description", self.description.clone()));
                    }
                    form.extend(self.parameters.iter().map(|(n, v)| told(&format!("metadata[{n}]"), v.clone())));
                    return Next::Ask(self.request("/v1/payment_intents", form, Confidential::default()));
                }
                self.stage = Stage::Customer;
                self.parameters.push(told("payment_method", id.clone()));
                Next::Ask(self.request("/v1/customers", pairs(&[("payment_method", id)]), Confidential::default()))
            }
            Stage::Customer => {
                let method = self.parameters.last().map(|(_, value)| value.clone()).unwrap_or_default();
                over(paid(vec![told("PaymentToken", method), told("ProfileId", id)]))
            }
            Stage::Intent => match text_of(reply, "status").as_str() {
                "succeeded" | "processing" | "requires_capture" => {
                    let charge = text_of(reply, "latest_charge");
                    over(paid(vec![told("PaymentConfirmationCode", if charge.is_empty() { id } else { charge })]))
                }
                other => over(Settled { error: format!("the payment is {other}"), ..Settled::default() }),
            },
        }
    }
}

type Reply = serde_json::Map<String, Value>;

const fn over(settled: Settled) -> Next {
    Next::Over(settled)
}

fn paid(told: Parameters) -> Settled {
    Settled { is_paid: true, told, ..Settled::default() }
}

/// A text or a number, as a text.
fn text_of(reply: &Reply, name: &str) -> String {
    match reply.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// `charge_id` or `token_id`, `error_code`, `error_message`; all else is told with the prefix `PayConnector_`.
fn generic_reply(status: u16, reply: &Reply) -> Settled {
    let known = [("charge_id", "PaymentConfirmationCode"), ("token_id", "PaymentToken"), ("profile_id", "ProfileId")];
    let mut told: Parameters = Vec::new();
    for (name, parameter) in known {
        let value = text_of(reply, name);
        if !value.is_empty() {
            told.push((parameter.to_owned(), value));
        }
    }
    let code = text_of(reply, "error_code");
    let is_paid = (200..300).contains(&status) && code.is_empty() && !told.is_empty();
    let own = ["charge_id", "token_id", "profile_id", "error_code", "error_message"];
    let extra = reply.keys().filter(|name| !own.contains(&name.as_str())).take(EXTRA_MAX);
    told.extend(extra.map(|name| (format!("PayConnector_{name}"), text_of(reply, name))));
    let message = text_of(reply, "error_message");
    let error = match (is_paid, message.is_empty()) {
        (true, _) => String::new(),
        (false, false) => message,
        (false, true) => format!("the gateway answered {status}, error {code}"),
    };
    let is_declined = !is_paid && code.to_ascii_lowercase().contains("declin");
    Settled { is_paid, is_declined, error, told }
}

fn quote(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(json, "\\u{:04x}", c as u32);
            }
            c => json.push(c),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Wall;
    use crate::verb::pay::Pay;

    fn entry(pay: Pay) -> Entry {
        let mut entry = Entry::new(pay);
        let fields = [
            (Field::CardNumber, "4111111111111111"),
            (Field::ExpirationDate, "0828"),
            (Field::SecurityCode, "937"),
            (Field::PostalCode, "94105"),
        ];
        for (field, digits) in fields {
            digits.chars().for_each(|key| drop(format!("{:?}", entry.take(field, key))));
            assert_eq!(entry.judge(field, Wall(1_795_392_000_000_000)), super::super::entry::Verdict::Right);
        }
        entry
    }

    fn connector(kind: Kind) -> Connector {
        Connector {
            name: "Default".into(),
            kind,
            url: "https://gateway.test/pay".into(),
            authorization: Some(Secret::new("Basic dTpw".into())),
        }
    }

    #[test]
    fn the_generic_connector_is_asked_once_and_its_answer_is_told() {
        let pay = Pay {
            amount: "20.45".into(),
            description: "a \"pizza\"\n".into(),
            parameters: vec![("order".into(), "7".into())],
            ..Pay::default()
        };
        let (mut gateway, request) = Gateway::begin(&connector(Kind::Generic), "PK1".into(), &entry(pay));
        let json = request.secret.json.as_ref().map(Secret::expose).unwrap_or_default();
        let sent: Value = serde_json::from_str(json).unwrap();
        let expected = serde_json::json!({
            "transaction_id": "PK1", "method": "charge", "amount": "20.45", "currency_code": "USD",
            "description": "a \"pizza\"\n", "cardnumber": "4111111111111111", "cvv": "937", "postal_code": "94105",
            "expiry_month": "08", "expiry_year": "28", "parameters": { "order": "7" },
        });
        assert_eq!((sent, request.address.url.as_ref()), (expected, "https://gateway.test/pay"));
        assert!(!format!("{request:?}{gateway:?}").contains("4111") && request.secret.idempotency_key.is_some());
        let rows: [(u16, &str, bool, &str, &str); 6] = [
            (
                200,
                r#"{"charge_id":"ch_1","error_code":null,"x":5}"#,
                true,
                "",
                "PaymentConfirmationCode=ch_1 PayConnector_x=5",
            ),
            (200, r#"{"token_id":"tok","profile_id":"p"}"#, true, "", "PaymentToken=tok ProfileId=p"),
            (200, r#"{"charge_id":null,"error_code":"card_declined","error_message":"no"}"#, false, "no", ""),
            (500, r#"{"charge_id":"ch_1"}"#, false, "the gateway answered 500, error ", "PaymentConfirmationCode=ch_1"),
            (200, "<html>", false, "the gateway answered 200 without JSON", ""),
            (200, "{}", false, "the gateway answered 200, error ", ""),
        ];
        for (status, body, is_paid, error, told) in rows {
            let Next::Over(settled) = gateway.answered(Some((status, body.as_bytes()))) else { panic!("{body}") };
            let pairs: Vec<String> = settled.told.iter().map(|(n, v)| format!("{n}={v}")).collect();
            assert_eq!((settled.is_paid, settled.error.as_str(), pairs.join(" ").as_str()), (is_paid, error, told));
            assert_eq!(settled.is_declined, body.contains("declined"), "{body}");
        }
    }

    #[test]
    fn stripe_is_asked_step_by_step_and_only_the_first_has_the_card() {
        let ok = |body: &'static str| Some((200, body.as_bytes()));
        let charge = Pay { amount: "1".into(), ..Pay::default() };
        let (mut gateway, request) = Gateway::begin(&connector(Kind::Stripe), "PK1".into(), &entry(charge));
        assert!(request.address.url.ends_with("/pay/v1/payment_methods"));
        let form: Vec<String> = request.secret.form.iter().map(|(n, v)| format!("{n}={}", v.expose())).collect();
        assert_eq!(
            form.join("&"),
            "card[number]=4111111111111111&card[exp_month]=08&card[exp_year]=2028&card[cvc]=937&billing_details[address][postal_code]=94105"
        );
        let Next::Ask(request) = gateway.answered(ok(r#"{"id":"pm_1","type":"card"}"#)) else { panic!() };
        assert!(request.address.url.ends_with("/v1/payment_intents") && request.secret.form.is_empty());
        assert!(request.parameters.contains(&("amount".into(), "100".into())));
        let Next::Over(paid) = gateway.answered(ok(r#"{"id":"pi_1","status":"succeeded","latest_charge":"ch_9"}"#))
        else {
            panic!()
        };
        assert_eq!(paid.told, [("PaymentConfirmationCode".to_owned(), "ch_9".to_owned())]);

        let declined = br#"{"error":{"type":"card_error","code":"card_declined","message":"Your card was declined."}}"#;
        let (mut gateway, _) = Gateway::begin(&connector(Kind::Stripe), "PK1".into(), &entry(Pay::default()));
        let Next::Over(settled) = gateway.answered(Some((402, declined))) else { panic!() };
        assert!(settled.is_declined && !settled.is_paid && settled.error == "Your card was declined.");

        let (mut gateway, _) = Gateway::begin(&connector(Kind::Stripe), "PK1".into(), &entry(Pay::default()));
        let Next::Ask(request) = gateway.answered(ok(r#"{"id":"pm_1"}"#)) else { panic!() };
        assert!(request.address.url.ends_with("/v1/customers"));
        let Next::Over(made) = gateway.answered(ok(r#"{"id":"cus_1"}"#)) else { panic!() };
        let told: Vec<&str> = made.told.iter().map(|(_, v)| v.as_str()).collect();
        assert_eq!(told, ["pm_1", "cus_1"]);

        let once = Pay { token: TokenType::OneTime, ..Pay::default() };
        let (mut gateway, request) = Gateway::begin(&connector(Kind::Stripe), "PK1".into(), &entry(once));
        assert!(request.address.url.ends_with("/v1/tokens"));
        let Next::Over(made) = gateway.answered(ok(r#"{"id":"tok_1"}"#)) else { panic!() };
        assert!(made.is_paid && made.told[0].1 == "tok_1");
        let Next::Over(lost) = gateway.answered(None) else { panic!() };
        assert!(!lost.is_paid && !lost.is_declined && !lost.error.is_empty());
    }
}
