//! The step `pay`.

use super::shapes::{METHOD, PROMPT};
use super::steps::Compiler;
use crate::base::time::Duration;
use crate::base::yaml::{Fields, Reader, Shape, Type, key};
use crate::verb::pay::{BANK_ACCOUNTS, CardType, Field, Pay, PayError, PayPrompt, TokenType, hundredths};
use crate::verb::{Hook, Text, Verb};

const FIELDS: Type = Type::OneOrMore(&Type::Choice(&[
    "payment-card-number",
    "expiration-date",
    "security-code",
    "postal-code",
    "bank-routing-number",
    "bank-account-number",
    "payment-processing",
]));
const CARDS: Type = Type::OneOrMore(&Type::Choice(&[
    "visa",
    "mastercard",
    "amex",
    "maestro",
    "discover",
    "optima",
    "jcb",
    "diners-club",
    "enroute",
]));
const ERRORS: Type = Type::OneOrMore(&Type::Choice(&[
    "timeout",
    "invalid-card-number",
    "invalid-card-type",
    "invalid-date",
    "invalid-security-code",
    "invalid-postal-code",
    "invalid-bank-routing-number",
    "invalid-bank-account-number",
    "input-matching-failed",
    "card-declined",
    "internal-error",
]));

pub static PAY: Shape = Shape {
    name: "pay",
    doc: "What is entered is a secret. Then ${pay_result}, ${pay_token}, ${pay_confirmation}, ${pay_card}, ${pay_card_type} and \
          ${pay_error} say how it went. Done: paid; failed: the gateway's or the configuration's fault; none: too many attempts; \
          cancelled: by the key *.",
    keys: &[
        key("amount", Type::Text, "", "What is charged, such as 20.45; a token is made if missing."),
        key("currency", Type::Text, "usd", "ISO 4217."),
        key("description", Type::Text, "", "For the gateway."),
        key("connector", Type::Text, "Default", "One of `pay: connectors` of the configuration."),
        key("method", Type::Choice(&["credit-card", "ach-debit"]), "credit-card", "A card, or a bank account."),
        key(
            "bank_account",
            Type::Choice(&["consumer-checking", "consumer-savings", "commercial-checking"]),
            "consumer-checking",
            "Which kind of account.",
        ),
        key("security_code", Type::Bool, "true", "Asked for."),
        key("postal_code", Type::Text, "true", "true: asked for; false; or the code that is known."),
        key("min_postal_code_length", Type::Int(0, 12), "0", "Its shortest."),
        key("timeout", Type::Duration, "5s", "Silence after the prompt, and between two digits."),
        key("attempts", Type::Int(1, 10), "3", "At each field."),
        key("cards", CARDS, "visa, mastercard, amex", "Which are taken."),
        key(
            "token",
            Type::Choice(&["reusable", "one-time", "payment-method"]),
            "reusable",
            "What is made if nothing is charged.",
        ),
        key("matching", FIELDS, "", "Entered twice, the same."),
        key("language", Type::Text, "en-US", "Of the words that are said where no prompt is written."),
        key("prompts", Type::List(&Type::Map(&PAY_PROMPT)), "", "What is heard in place of them."),
        key("parameters", Type::Dict(&Type::Text), "", "Further parameters for the gateway."),
        key("action", Type::Text, "", "An address that is told how it went; its document is what follows."),
        key("action_method", METHOD, "POST", "How it is asked."),
        key("status_callback", Type::Text, "", "An address that is told of each field."),
    ],
    prefixed: None,
};

static PAY_PROMPT: Shape = Shape {
    name: "prompt of a payment",
    doc: "The one that says most of a case is heard.",
    keys: &[
        key("for", FIELDS, "", "Before these fields; payment-processing: while the gateway has it."),
        key("error", ERRORS, "", "After these errors only."),
        key("cards", CARDS, "", "Of these cards only."),
        key("attempt", Type::OneOrMore(&Type::Int(1, 10)), "", "At these attempts only."),
        key("prompt", Type::OneOrMore(&Type::OneOf(&PROMPT)), "", "What is heard."),
    ],
    prefixed: None,
};

/// Words of which each is known: the shape has been checked.
fn words<T>(f: &Fields<'_>, name: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
    f.texts(name).iter().filter_map(|word| parse(word)).collect()
}

impl Compiler<'_> {
    pub(super) fn pay(&mut self, reader: &mut Reader, f: &Fields<'_>) -> Verb {
        let usual = Pay::<Text>::default();
        let mut prompts = Vec::new();
        for node in f.items("prompts") {
            let p = Fields::of(node, &PAY_PROMPT);
            let field =
                |word: &str| if word == "payment-processing" { Some(None) } else { Field::parse(word).map(Some) };
            prompts.push(PayPrompt {
                fields: words(&p, "for", field),
                errors: words(&p, "error", PayError::parse),
                cards: words(&p, "cards", CardType::parse),
                attempts: words(&p, "attempt", |word| word.parse().ok()),
                matching: false,
                prompts: self.prompts(reader, p.items("prompt")),
            });
        }
        let amount = self.field(reader, f, "amount").unwrap_or_default();
        if let (Some(node), Some(written)) = (f.get("amount"), amount.as_literal())
            && hundredths(written).is_none()
        {
            reader.fault(
                node.at,
                format!("{} is no amount", node.shown()),
                "expected one below 1000000, such as 20.45",
            );
        }
        let (postal_code, known_postal_code) = match f.text("postal_code") {
            None | Some("true") => (true, None),
            Some("false") => (false, None),
            Some(_) => (false, self.field(reader, f, "postal_code")),
        };
        let parameters = f.get("parameters").map(|node| {
            let pair = |(name, value): &(_, _)| {
                Some((crate::base::yaml::Node::text(name)?.to_owned(), self.text(reader, value)?))
            };
            node.pairs().iter().filter_map(pair).collect()
        });
        let cards = words(f, "cards", CardType::parse);
        let account = f.text("bank_account").unwrap_or_default();
        let bank = BANK_ACCOUNTS.into_iter().find(|kind| *kind == account).unwrap_or(BANK_ACCOUNTS[0]);
        let (method, or) =
            (method_of_action(f), |text: String, usual: String| if text.is_empty() { usual } else { text });
        let pay = Pay {
            connector: or(f.string("connector"), usual.connector),
            bank: (f.text("method") == Some("ach-debit")).then_some(bank),
            security_code: f.text("security_code") != Some("false"),
            postal_code,
            known_postal_code,
            min_postal_code_length: f.int("min_postal_code_length"),
            timeout: f.duration("timeout").unwrap_or(Duration::from_secs(5)),
            max_attempts: f.int("attempts"),
            valid_cards: if cards.is_empty() { usual.valid_cards } else { cards },
            token: f.text("token").and_then(TokenType::parse).unwrap_or_default(),
            amount,
            currency: or(f.string("currency"), usual.currency),
            description: self.field(reader, f, "description").unwrap_or_default(),
            language: or(f.string("language"), usual.language),
            parameters: parameters.unwrap_or_default(),
            prompts,
            matching: words(f, "matching", Field::parse),
            action: self.field(reader, f, "action").map(|url| Hook::new(url, method)),
            status: self.field(reader, f, "status_callback").map(|url| Hook::new(url, crate::web::Method::Post)),
        };
        Verb::Pay(Box::new(pay))
    }
}

fn method_of_action(f: &Fields<'_>) -> crate::web::Method {
    f.text("action_method").and_then(crate::web::Method::parse).unwrap_or_default()
}
