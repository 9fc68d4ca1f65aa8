//! Payments: an application conducts a payment of one who is on a call. See `switch::pay::assisted`.

use super::answer::{Failure, answer as answered, created, date};
use super::form::Form;
use super::{Ask, Rest};
use crate::base::time::Duration;
use crate::event::CallId;
use crate::shell::clock::wall;
use crate::switch::{Operator, PaymentAsk, Reply};
use crate::verb::pay::{BANK_ACCOUNTS, CardType, Field, Pay, TokenType, hundredths};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;

pub async fn answer(rest: &Rest, ask: &Ask, call: &str, parts: &[&str]) -> Result<Response, Failure> {
    let call_id: CallId = call.parse().map_err(|()| ask.not_found())?;
    let form = &ask.form;
    let wanted = match (parts, ask.method.clone()) {
        ([], Method::POST) => PaymentAsk::Begin { key: required(form, "IdempotencyKey")?, pay: Box::new(pay(form)?) },
        ([sid], Method::POST) => {
            required(form, "IdempotencyKey")?;
            update((*sid).to_owned(), form)?
        }
        ([] | [_], _) => return Err(Failure::method()),
        _ => return Err(ask.not_found()),
    };
    let is_new = matches!(wanted, PaymentAsk::Begin { .. });
    let status: Arc<str> = required(form, "StatusCallback")?.into();
    match rest.operate(Operator::Payment { call: call_id, status, ask: wanted }).await? {
        Reply::Payment(sid) if is_new => Ok(created(&shown(ask, call, &sid))),
        Reply::Payment(sid) => Ok(answered(StatusCode::ACCEPTED, &shown(ask, call, &sid))),
        Reply::Refused(why) => Err(Failure::new(StatusCode::CONFLICT, 20_409, why)),
        _ => Err(ask.not_found()),
    }
}

fn shown(ask: &Ask, call: &str, sid: &str) -> Value {
    let account = &ask.account;
    let now = date(wall());
    let uri = format!("/2010-04-01/Accounts/{account}/Calls/{call}/Payments/{sid}.json");
    json!({ "sid": sid, "account_sid": account, "call_sid": call, "date_created": now, "date_updated": now, "uri": uri })
}

fn required(form: &Form, name: &str) -> Result<String, Failure> {
    let missing = || Failure::bad(20_001, format!("Missing required parameter {name} in the post body"));
    form.some(name).map(str::to_owned).ok_or_else(missing)
}

/// One of a list of words.
fn choice<T>(form: &Form, name: &str, words: &[&str], parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Failure> {
    let Some(text) = form.some(name) else { return Ok(None) };
    parse(text).map(Some).ok_or_else(|| Failure::parameter(name, text, &format!("one of {}", words.join(", "))))
}

/// Words parted by spaces or commas.
fn words<T>(form: &Form, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Failure> {
    let text = form.some(name).unwrap_or_default();
    let each = text.split([' ', ',']).filter(|word| !word.is_empty());
    each.map(|word| parse(word).ok_or_else(|| Failure::parameter(name, word, "words that Pay knows"))).collect()
}

fn update(sid: String, form: &Form) -> Result<PaymentAsk, Failure> {
    let names = Field::ALL.map(Field::as_str);
    match (choice(form, "Capture", &names, Field::parse)?, form.some("Status")) {
        (Some(field), None) => Ok(PaymentAsk::Capture { sid, field }),
        (None, Some("complete")) => Ok(PaymentAsk::End { sid, completes: true }),
        (None, Some("cancel")) => Ok(PaymentAsk::End { sid, completes: false }),
        (None, Some(other)) => Err(Failure::parameter("Status", other, "complete or cancel")),
        _ => Err(Failure::bad(20_001, "One of Capture and Status is required")),
    }
}

fn pay(form: &Form) -> Result<Pay, Failure> {
    let usual = Pay::<String>::default();
    let amount = form.some("ChargeAmount").unwrap_or_default();
    if !amount.is_empty() && hundredths(amount).is_none() {
        return Err(Failure::parameter("ChargeAmount", amount, "an amount below 1,000,000"));
    }
    if let Some(input) = form.some("Input").filter(|input| *input != "dtmf") {
        return Err(Failure::parameter("Input", input, "dtmf"));
    }
    let bank = |word: &str| BANK_ACCOUNTS.into_iter().find(|kind| *kind == word);
    let kind = choice(form, "BankAccountType", &BANK_ACCOUNTS, bank)?.unwrap_or(BANK_ACCOUNTS[0]);
    let methods = ["credit-card", "ach-debit"];
    let by_bank = choice(form, "PaymentMethod", &methods, |w| methods.iter().position(|m| *m == w))? == Some(1);
    let cards = words(form, "ValidCardTypes", CardType::parse)?;
    let tokens = TokenType::ALL.map(TokenType::as_str);
    let parameters = match form.some("Parameter") {
        None => Vec::new(),
        // The published example is written with apostrophes.
        Some(text) => {
            let read = serde_json::from_str(text).or_else(|_| serde_json::from_str(&text.replace('\'', "\"")));
            let Ok(Value::Object(pairs)) = read else {
                return Err(Failure::parameter("Parameter", text, "an object of JSON with one level"));
            };
            let text = |value: Value| if let Value::String(text) = value { text } else { value.to_string() };
            pairs.into_iter().map(|(name, value)| (name, text(value))).collect()
        }
    };
    Ok(Pay {
        connector: form.some("PaymentConnector").map_or(usual.connector, str::to_owned),
        bank: by_bank.then_some(kind),
        security_code: form.flag("SecurityCode")?.unwrap_or(true),
        postal_code: form.flag("PostalCode")?.unwrap_or(true),
        min_postal_code_length: form.number("MinPostalCodeLength", 0, 12)?.unwrap_or(0) as u32,
        timeout: Duration::from_secs(form.number("Timeout", 1, 600)?.unwrap_or(5)),
        valid_cards: if cards.is_empty() { usual.valid_cards } else { cards },
        token: choice(form, "TokenType", &tokens, TokenType::parse)?.unwrap_or_default(),
        amount: amount.to_owned(),
        currency: form.some("Currency").map_or(usual.currency, str::to_owned),
        description: form.some("Description").unwrap_or_default().to_owned(),
        parameters,
        matching: words(form, "RequireMatchingInputs", Field::parse)?,
        ..Pay::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payments_are_read_and_refused() {
        let read = |text: &str| pay(&Form::read(text).unwrap());
        let made = read(
            "ChargeAmount=12.00&PaymentConnector=shop&PaymentMethod=ach-debit&BankAccountType=consumer-savings&\
             ValidCardTypes=visa%20jcb&Parameter=%7B'name'%3A'foobar'%7D&TokenType=one-time&Timeout=9&SecurityCode=false",
        );
        let made = made.ok().unwrap();
        assert_eq!(
            (made.connector.as_str(), made.bank, made.amount.as_str()),
            ("shop", Some("consumer-savings"), "12.00")
        );
        assert_eq!(made.parameters, [("name".to_owned(), "foobar".to_owned())]);
        assert!(!made.security_code && made.token == TokenType::OneTime && made.valid_cards.len() == 2);
        for wrong in
            ["ChargeAmount=1e9", "Input=speech", "ValidCardTypes=gold", "TokenType=x", "Parameter=1", "Timeout=0"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let update = |text: &str| update("PK".into(), &Form::read(text).unwrap());
        assert!(matches!(update("Capture=security-code"), Ok(PaymentAsk::Capture { field: Field::SecurityCode, .. })));
        assert!(matches!(update("Status=complete"), Ok(PaymentAsk::End { completes: true, .. })));
        for wrong in ["", "Capture=x", "Status=x", "Capture=postal-code&Status=cancel"] {
            assert!(update(wrong).is_err(), "{wrong}");
        }
    }
}
