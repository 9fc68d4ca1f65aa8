//! Pay, its prompts and its parameters.

use super::attributes::{Attributes, SCHEMA, Warnings};
use super::nouns;
use super::tree::Node;
use crate::verb::pay::{BANK_ACCOUNTS, CardType, Field, Pay, PayError, PayPrompt, TokenType, hundredths};
use crate::verb::{Hook, Text};

/// Parameters and prompts of one Pay.
const PARTS_MAX: usize = 64;

pub fn pay(node: &Node, text: &str, warnings: &mut Warnings) -> Pay<Text> {
    let prompts: Vec<PayPrompt<Text>> =
        of(node, "Prompt").filter_map(|prompt| self::prompt(prompt, text, warnings)).collect();
    let parameters = of(node, "Parameter").map(|parameter| {
        let a = Attributes::new(parameter, warnings);
        (a.string("name"), Text::literal(&a.string("value")))
    });
    let parameters = parameters.collect();
    let mut matching: Vec<Field> = Vec::new();
    for prompt in of(node, "Prompt") {
        let mut a = Attributes::new(prompt, warnings);
        if a.flag("requireMatchingInputs", SCHEMA, false) {
            matching.extend(fields(&a).into_iter().flatten());
        }
    }
    let mut a = Attributes::new(node, warnings);
    a.choice("input", SCHEMA, &["dtmf"]);
    let bank_type = a.choice("bankAccountType", SCHEMA, &BANK_ACCOUNTS);
    let bank = (a.choice("paymentMethod", SCHEMA, &["credit-card", "ach-debit"]) == "ach-debit").then_some(bank_type);
    let (postal_code, known_postal_code) = match a.text("postalCode") {
        Some("false") => (false, None),
        None | Some("true") => (true, None),
        Some(known) => (false, Some(Text::literal(known))),
    };
    let cards = list(&a, "validCardTypes", CardType::parse);
    let literal = |hook: Hook| hook.map(&mut |url| Text::literal(url));
    let amount = a.string("chargeAmount");
    if !amount.is_empty() && hundredths(&amount).is_none() {
        a.warnings.tell(SCHEMA, node.at, format!("chargeAmount=\"{amount}\": expected an amount below 1000000"));
    }
    let usual = Pay::<Text>::default();
    let or = |given: String, usual: String| if given.is_empty() { usual } else { given };
    Pay {
        connector: or(a.string("paymentConnector"), usual.connector),
        bank,
        security_code: a.flag("securityCode", SCHEMA, true),
        postal_code,
        known_postal_code,
        min_postal_code_length: a.number("minPostalCodeLength", SCHEMA, (0, 12)).unwrap_or(0),
        timeout: a.seconds("timeout", SCHEMA, 5, (1, 600)),
        max_attempts: a.number("maxAttempts", SCHEMA, (1, 10)).unwrap_or(3),
        valid_cards: if cards.is_empty() { usual.valid_cards } else { cards },
        token: TokenType::parse(a.choice("tokenType", SCHEMA, &TokenType::ALL.map(TokenType::as_str)))
            .unwrap_or_default(),
        amount: Text::literal(&amount),
        currency: or(a.string("currency"), usual.currency),
        description: Text::literal(&a.string("description")),
        language: or(a.string("language"), usual.language),
        parameters,
        prompts,
        matching,
        action: a.hook("action", "method", SCHEMA).map(literal),
        status: a.hook("statusCallback", "statusCallbackMethod", SCHEMA).map(literal),
    }
}

fn of<'a>(node: &'a Node, name: &'a str) -> impl Iterator<Item = &'a Node> {
    node.children.iter().filter(move |child| child.name == name).take(PARTS_MAX)
}

fn list<T>(a: &Attributes<'_>, name: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let text = a.text(name).unwrap_or_default();
    text.split([' ', ',']).filter(|word| !word.is_empty()).filter_map(parse).collect()
}

/// `None` stands for the time while the payment is processed.
fn fields(a: &Attributes<'_>) -> Vec<Option<Field>> {
    list(a, "for", |word| if word == "payment-processing" { Some(None) } else { Field::parse(word).map(Some) })
}

fn prompt(node: &Node, text: &str, warnings: &mut Warnings) -> Option<PayPrompt<Text>> {
    let known = node.children.iter().filter(|n| matches!(n.name.as_str(), "Say" | "Play" | "Pause"));
    let prompts: Vec<_> = known.filter_map(|n| nouns::prompt(n, text, warnings)).collect();
    let a = Attributes::new(node, warnings);
    let fields = fields(&a);
    if fields.is_empty() && a.text("for").is_some() {
        a.warnings.tell(SCHEMA, node.at, "<Prompt>: \"for\" names nothing that Pay asks for: it is skipped");
        return None;
    }
    Some(PayPrompt {
        fields,
        errors: list(&a, "errorType", |word| match word {
            // As Twilio's first version named it.
            "input-timeout" => Some(PayError::Timeout),
            word => PayError::parse(word),
        }),
        cards: list(&a, "cardType", CardType::parse),
        attempts: list(&a, "attempt", |word| word.parse().ok()),
        matching: false,
        prompts,
    })
}
