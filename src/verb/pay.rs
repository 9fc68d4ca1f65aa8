//! Twilio's Pay: what a caller is asked for, what is right of it, and what is said.

use super::{Hook, Prompt};
use crate::base::keys::Keys;
use crate::base::time::{Duration, Wall};
use crate::base::yaml::write_duration;

/// Digits of a field at most, whatever it is.
pub const FIELD_MAX: usize = 32;

/// One thing that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Field {
    CardNumber,
    ExpirationDate,
    SecurityCode,
    PostalCode,
    BankRoutingNumber,
    BankAccountNumber,
}

impl Field {
    pub const ALL: [Field; 6] = [
        Field::CardNumber,
        Field::ExpirationDate,
        Field::SecurityCode,
        Field::PostalCode,
        Field::BankRoutingNumber,
        Field::BankAccountNumber,
    ];

    /// As Twilio's `for` and `Capture` write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Field::CardNumber => "payment-card-number",
            Field::ExpirationDate => "expiration-date",
            Field::SecurityCode => "security-code",
            Field::PostalCode => "postal-code",
            Field::BankRoutingNumber => "bank-routing-number",
            Field::BankAccountNumber => "bank-account-number",
        }
    }

    pub fn parse(text: &str) -> Option<Field> {
        Field::ALL.into_iter().find(|f| f.as_str() == text)
    }

    /// The parameter that tells of it.
    pub const fn parameter(self) -> &'static str {
        match self {
            Field::CardNumber => "PaymentCardNumber",
            Field::ExpirationDate => "ExpirationDate",
            Field::SecurityCode => "SecurityCode",
            Field::PostalCode => "PaymentCardPostalCode",
            Field::BankRoutingNumber => "BankRoutingNumber",
            Field::BankAccountNumber => "BankAccountNumber",
        }
    }

    /// What is said where no Prompt is written for it.
    pub const fn text(self) -> &'static str {
        match self {
            Field::CardNumber => "Please enter your credit card number, followed by the pound key.",
            Field::ExpirationDate => {
                "Please enter your expiration date, two digits for the month and two digits for the year."
            }
            Field::SecurityCode => "Please enter the security code of your card, followed by the pound key.",
            Field::PostalCode => "Please enter your postal code, followed by the pound key.",
            Field::BankRoutingNumber => "Please enter your bank's routing number, nine digits.",
            Field::BankAccountNumber => "Please enter your bank account number, followed by the pound key.",
        }
    }

    /// With so many digits it is over, without a key.
    pub const fn digits(self, card: Option<CardType>) -> Option<usize> {
        match self {
            Field::CardNumber => match card {
                Some(card) => card.only_length(),
                None => None,
            },
            Field::ExpirationDate => Some(4),
            Field::SecurityCode => match card {
                Some(CardType::Amex) => Some(4),
                Some(_) => Some(3),
                None => None,
            },
            Field::BankRoutingNumber => Some(9),
            Field::PostalCode | Field::BankAccountNumber => None,
        }
    }
}

/// Kinds of cards, by the ranges of their first digits (ISO/IEC 7812; the schemes publish them).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CardType {
    Visa,
    Mastercard,
    Amex,
    Maestro,
    Discover,
    Optima,
    Jcb,
    DinersClub,
    Enroute,
}

impl CardType {
    pub const ALL: [CardType; 9] = [
        CardType::Visa,
        CardType::Mastercard,
        CardType::Amex,
        CardType::Maestro,
        CardType::Discover,
        CardType::Optima,
        CardType::Jcb,
        CardType::DinersClub,
        CardType::Enroute,
    ];

    /// What Pay takes where nothing is said.
    pub const USUAL: [CardType; 3] = [CardType::Visa, CardType::Mastercard, CardType::Amex];

    pub const fn as_str(self) -> &'static str {
        match self {
            CardType::Visa => "visa",
            CardType::Mastercard => "mastercard",
            CardType::Amex => "amex",
            CardType::Maestro => "maestro",
            CardType::Discover => "discover",
            CardType::Optima => "optima",
            CardType::Jcb => "jcb",
            CardType::DinersClub => "diners-club",
            CardType::Enroute => "enroute",
        }
    }

    pub fn parse(text: &str) -> Option<CardType> {
        CardType::ALL.into_iter().find(|t| t.as_str() == text)
    }

    /// The kind of a card by its number's first digits. Optima cards are American Express's (3707, 3717 and their like stand
    /// among Amex's), so that a number of theirs is told as Amex.
    pub fn of(number: &str) -> Option<CardType> {
        let first = |digits: usize| number.get(..digits).and_then(|d| d.parse::<u32>().ok()).unwrap_or(0);
        Some(match (first(1), first(2), first(3), first(4), first(6)) {
            (_, 34 | 37, ..) => CardType::Amex,
            (_, _, _, 2014 | 2149, _) => CardType::Enroute,
            (_, 36 | 38 | 39, ..) | (_, _, 300..=305 | 309, ..) => CardType::DinersClub,
            (_, _, _, 3528..=3589, _) => CardType::Jcb,
            (_, 51..=55, ..) | (_, _, _, 2221..=2720, _) => CardType::Mastercard,
            (_, 65, ..) | (_, _, 644..=649, ..) | (_, _, _, 6011, _) | (.., 622_126..=622_925) => CardType::Discover,
            (_, 50 | 56..=58 | 63 | 67, ..) | (_, _, _, 6000..=6999, _) => CardType::Maestro,
            (4, ..) => CardType::Visa,
            _ => return None,
        })
    }

    const fn has_length(self, length: usize) -> bool {
        match self {
            CardType::Visa => matches!(length, 13 | 16 | 19),
            CardType::Mastercard => length == 16,
            CardType::Amex | CardType::Optima | CardType::Enroute => length == 15,
            CardType::Maestro => length >= 12 && length <= 19,
            CardType::Discover | CardType::Jcb => length >= 16 && length <= 19,
            CardType::DinersClub => length >= 14 && length <= 19,
        }
    }

    /// Where all its numbers are equally long; other cards end by the key or by time.
    const fn only_length(self) -> Option<usize> {
        match self {
            CardType::Mastercard => Some(16),
            CardType::Amex | CardType::Optima | CardType::Enroute => Some(15),
            _ => None,
        }
    }

    /// Whether a card of this kind may be taken where these may.
    fn is_among(self, valid: &[CardType]) -> bool {
        valid.contains(&self) || self == CardType::Amex && valid.contains(&CardType::Optima)
    }
}

/// Why a field is asked for again, as Twilio's `errorType`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PayError {
    Timeout,
    InvalidCardNumber,
    InvalidCardType,
    InvalidDate,
    InvalidSecurityCode,
    InvalidPostalCode,
    InvalidBankRoutingNumber,
    InvalidBankAccountNumber,
    InputMatchingFailed,
    CardDeclined,
    InternalError,
}

impl PayError {
    pub const ALL: [PayError; 11] = [
        PayError::Timeout,
        PayError::InvalidCardNumber,
        PayError::InvalidCardType,
        PayError::InvalidDate,
        PayError::InvalidSecurityCode,
        PayError::InvalidPostalCode,
        PayError::InvalidBankRoutingNumber,
        PayError::InvalidBankAccountNumber,
        PayError::InputMatchingFailed,
        PayError::CardDeclined,
        PayError::InternalError,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            PayError::Timeout => "timeout",
            PayError::InvalidCardNumber => "invalid-card-number",
            PayError::InvalidCardType => "invalid-card-type",
            PayError::InvalidDate => "invalid-date",
            PayError::InvalidSecurityCode => "invalid-security-code",
            PayError::InvalidPostalCode => "invalid-postal-code",
            PayError::InvalidBankRoutingNumber => "invalid-bank-routing-number",
            PayError::InvalidBankAccountNumber => "invalid-bank-account-number",
            PayError::InputMatchingFailed => "input-matching-failed",
            PayError::CardDeclined => "card-declined",
            PayError::InternalError => "internal-error",
        }
    }

    pub fn parse(text: &str) -> Option<PayError> {
        PayError::ALL.into_iter().find(|e| e.as_str() == text)
    }

    /// What is said before the field is asked for again.
    pub const fn text(self) -> &'static str {
        match self {
            PayError::Timeout => "Sorry, I did not get that.",
            PayError::InvalidCardNumber => "That card number is not valid.",
            PayError::InvalidCardType => "That type of card is not accepted.",
            PayError::InvalidDate => "That expiration date is not valid.",
            PayError::InvalidSecurityCode => "That security code is not valid.",
            PayError::InvalidPostalCode => "That postal code is not valid.",
            PayError::InvalidBankRoutingNumber => "That routing number is not valid.",
            PayError::InvalidBankAccountNumber => "That account number is not valid.",
            PayError::InputMatchingFailed => "The two entries differ.",
            PayError::CardDeclined => "The card was declined.",
            PayError::InternalError => "Something went wrong.",
        }
    }
}

/// When a written prompt is heard; empty lists are always.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PayPrompt<T = String> {
    /// `None` is the one while the payment is processed.
    pub fields: Vec<Option<Field>>,
    pub errors: Vec<PayError>,
    pub cards: Vec<CardType>,
    pub attempts: Vec<u32>,
    /// Of the second entry, where both must match.
    pub matching: bool,
    pub prompts: Vec<Prompt<T>>,
}

/// What comes of a payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TokenType {
    OneTime,
    #[default]
    Reusable,
    PaymentMethod,
}

impl TokenType {
    pub const ALL: [TokenType; 3] = [TokenType::Reusable, TokenType::OneTime, TokenType::PaymentMethod];

    pub const fn as_str(self) -> &'static str {
        match self {
            TokenType::OneTime => "one-time",
            TokenType::Reusable => "reusable",
            TokenType::PaymentMethod => "payment-method",
        }
    }

    pub fn parse(text: &str) -> Option<TokenType> {
        TokenType::ALL.into_iter().find(|t| t.as_str() == text)
    }
}

/// The kinds of bank accounts, the usual one first.
pub const BANK_ACCOUNTS: [&str; 3] = ["consumer-checking", "consumer-savings", "commercial-checking"];

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pay<T = String> {
    pub connector: String,
    /// A bank account in place of a card, and which kind.
    pub bank: Option<&'static str>,
    pub security_code: bool,
    /// Asked for; or the code that is known already.
    pub postal_code: bool,
    pub known_postal_code: Option<T>,
    pub min_postal_code_length: u32,
    pub timeout: Duration,
    pub max_attempts: u32,
    pub valid_cards: Vec<CardType>,
    pub token: TokenType,
    /// Above zero a charge; else a token is made.
    pub amount: T,
    pub currency: String,
    pub description: T,
    pub language: String,
    /// Further parameters for the connector.
    pub parameters: Vec<(String, T)>,
    pub prompts: Vec<PayPrompt<T>>,
    /// Entered twice.
    pub matching: Vec<Field>,
    pub action: Option<Hook<T>>,
    pub status: Option<Hook<T>>,
}

impl<T: Default> Default for Pay<T> {
    fn default() -> Pay<T> {
        Pay {
            connector: "Default".to_owned(),
            bank: None,
            security_code: true,
            postal_code: true,
            known_postal_code: None,
            min_postal_code_length: 0,
            timeout: Duration::from_secs(5),
            max_attempts: 3,
            valid_cards: CardType::USUAL.to_vec(),
            token: TokenType::default(),
            amount: T::default(),
            currency: "usd".to_owned(),
            description: T::default(),
            language: "en-US".to_owned(),
            parameters: Vec::new(),
            prompts: Vec::new(),
            matching: Vec::new(),
            action: None,
            status: None,
        }
    }
}

impl<T> Pay<T> {
    pub fn map<U>(&self, f: &mut dyn FnMut(&T) -> U) -> Pay<U> {
        let prompt = |p: &PayPrompt<T>, f: &mut dyn FnMut(&T) -> U| PayPrompt {
            fields: p.fields.clone(),
            errors: p.errors.clone(),
            cards: p.cards.clone(),
            attempts: p.attempts.clone(),
            matching: p.matching,
            prompts: p.prompts.iter().map(|p| p.map(f)).collect(),
        };
        Pay {
            connector: self.connector.clone(),
            bank: self.bank,
            security_code: self.security_code,
            postal_code: self.postal_code,
            known_postal_code: self.known_postal_code.as_ref().map(&mut *f),
            min_postal_code_length: self.min_postal_code_length,
            timeout: self.timeout,
            max_attempts: self.max_attempts,
            valid_cards: self.valid_cards.clone(),
            token: self.token,
            amount: f(&self.amount),
            currency: self.currency.clone(),
            description: f(&self.description),
            language: self.language.clone(),
            parameters: self.parameters.iter().map(|(name, value)| (name.clone(), f(value))).collect(),
            prompts: self.prompts.iter().map(|p| prompt(p, f)).collect(),
            matching: self.matching.clone(),
            action: self.action.as_ref().map(|hook| hook.map(f)),
            status: self.status.as_ref().map(|hook| hook.map(f)),
        }
    }

    /// What is asked for, in order.
    pub fn fields(&self) -> Vec<Field> {
        if self.bank.is_some() {
            return vec![Field::BankRoutingNumber, Field::BankAccountNumber];
        }
        let mut fields = vec![Field::CardNumber, Field::ExpirationDate];
        fields.extend(self.postal_code.then_some(Field::PostalCode));
        fields.extend(self.security_code.then_some(Field::SecurityCode));
        fields
    }
}

impl Pay {
    /// Above zero: in hundredths of the currency.
    pub fn hundredths(&self) -> Option<u64> {
        hundredths(&self.amount).filter(|n| *n > 0)
    }

    /// What is wrong with what was entered; `now` decides about dates.
    pub fn check(&self, field: Field, keys: &Keys, card: Option<CardType>, now: Wall) -> Result<(), PayError> {
        let digits = keys.expose();
        let wrong = |is_right: bool, error: PayError| if is_right { Ok(()) } else { Err(error) };
        match field {
            Field::CardNumber => {
                let known = CardType::of(digits).filter(|t| t.has_length(digits.len()) && is_luhn(digits));
                let card = known.ok_or(PayError::InvalidCardNumber)?;
                wrong(card.is_among(&self.valid_cards), PayError::InvalidCardType)
            }
            Field::ExpirationDate => wrong(is_date(digits, now), PayError::InvalidDate),
            Field::SecurityCode => {
                let wanted = if card == Some(CardType::Amex) { 4 } else { 3 };
                wrong(digits.len() == wanted, PayError::InvalidSecurityCode)
            }
            Field::PostalCode => {
                let least = self.min_postal_code_length.max(1) as usize;
                wrong(digits.len() >= least && digits.len() <= 12, PayError::InvalidPostalCode)
            }
            Field::BankRoutingNumber => wrong(is_routing(digits), PayError::InvalidBankRoutingNumber),
            Field::BankAccountNumber => wrong((4..=17).contains(&digits.len()), PayError::InvalidBankAccountNumber),
        }
    }

    /// What is heard before a field: the first prompt that is written for this case, those that say more of it first; else
    /// nothing, and the usual text is said.
    pub fn prompt_for(
        &self,
        field: Option<Field>,
        error: Option<PayError>,
        card: Option<CardType>,
        attempt: u32,
        matching: bool,
    ) -> Option<&[Prompt]> {
        let fits = |p: &&PayPrompt| {
            (p.fields.is_empty() && field.is_some() || p.fields.contains(&field))
                && (p.errors.is_empty() || error.is_some_and(|e| p.errors.contains(&e)))
                && (p.cards.is_empty() || card.is_some_and(|c| p.cards.contains(&c)))
                && (p.attempts.is_empty() || p.attempts.contains(&attempt))
                && p.matching == matching
        };
        let said = |p: &&PayPrompt| {
            [p.errors.is_empty(), p.attempts.is_empty(), p.cards.is_empty(), p.fields.is_empty()].map(|none| !none)
        };
        let mut fitting: Vec<&PayPrompt> = self.prompts.iter().filter(fits).collect();
        fitting.sort_by_key(|p| std::cmp::Reverse(said(p)));
        fitting.first().map(|p| p.prompts.as_slice())
    }

    pub(super) fn describe(&self, out: &mut Vec<(&'static str, String)>) {
        out.push(("connector", self.connector.clone()));
        out.push(("amount", self.amount.clone()));
        if !self.amount.is_empty() {
            out.push(("currency", self.currency.clone()));
        }
        out.push(("method", if self.bank.is_some() { "ach-debit" } else { "credit-card" }.to_owned()));
        out.push(("timeout", write_duration(self.timeout)));
        out.push(("attempts", self.max_attempts.to_string()));
        out.extend(self.action.iter().map(|hook| ("action", hook.url.clone())));
    }
}

/// "12", "12.3", "12.34" below a million.
pub fn hundredths(amount: &str) -> Option<u64> {
    let (whole, part) = amount.split_once('.').unwrap_or((amount, ""));
    let is_number = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + part.len() == 0 || whole.len() > 6 || part.len() > 2 || !is_number(whole) || !is_number(part) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    Some(whole * 100 + format!("{part:0<2}").parse::<u64>().ok()?)
}

/// ISO/IEC 7812-1, annex B.
fn is_luhn(digits: &str) -> bool {
    let weighed = digits.bytes().rev().enumerate().map(|(n, b)| {
        let digit = u32::from(b.wrapping_sub(b'0'));
        let double = if n % 2 == 1 { digit * 2 } else { digit };
        if double > 9 { double - 9 } else { double }
    });
    digits.bytes().all(|b| b.is_ascii_digit()) && weighed.sum::<u32>().is_multiple_of(10)
}

/// The check digit of an American bank's routing number.
fn is_routing(digits: &str) -> bool {
    let weights = [3, 7, 1].into_iter().cycle();
    let sum: u32 = digits.bytes().zip(weights).map(|(b, weight)| u32::from(b.wrapping_sub(b'0')) * weight).sum();
    digits.len() == 9 && digits.bytes().all(|b| b.is_ascii_digit()) && sum.is_multiple_of(10) && sum > 0
}

/// MMYY that is not over, and not beyond twenty years.
fn is_date(digits: &str, now: Wall) -> bool {
    let (Some(month), Some(year)) = (number(digits, 0), number(digits, 2)) else { return false };
    let (current, this_month) = year_and_month(now);
    let ends = (2_000 + year) * 12 + month;
    let today = current * 12 + this_month;
    digits.len() == 4 && (1..=12).contains(&month) && (today..=today + 240).contains(&ends)
}

fn number(digits: &str, at: usize) -> Option<u32> {
    digits.get(at..at + 2)?.parse().ok()
}

/// Of the civil calendar, UTC.
fn year_and_month(now: Wall) -> (u32, u32) {
    let days = now.as_micros() / 86_400_000_000 + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (u32::try_from(year).unwrap_or(1_970), month as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23.
    const NOW: Wall = Wall(1_795_392_000_000_000);

    fn keys(text: &str) -> Keys {
        let mut keys = Keys::default();
        text.chars().for_each(|c| assert!(keys.push(c, FIELD_MAX)));
        keys
    }

    #[test]
    fn cards_are_known_by_their_numbers() {
        for (number, card) in [
            ("4111111111111111", Some("visa")),
            ("4222222222222", Some("visa")),
            ("5555555555554444", Some("mastercard")),
            ("2223003122003222", Some("mastercard")),
            ("378282246310005", Some("amex")),
            ("6011111111111117", Some("discover")),
            ("3056930009020004", Some("diners-club")),
            ("30569309025904", Some("diners-club")),
            ("3566002020360505", Some("jcb")),
            ("6759649826438453", Some("maestro")),
            ("201400000000009", Some("enroute")),
            ("9111111111111111", None),
            ("", None),
        ] {
            assert_eq!(CardType::of(number).map(CardType::as_str), card, "{number}");
            let pay = Pay { valid_cards: CardType::ALL.to_vec(), ..Pay::default() };
            let is_right = pay.check(Field::CardNumber, &keys(number), None, NOW).is_ok();
            assert_eq!(is_right, card.is_some(), "{number}");
        }
    }

    #[test]
    fn each_field_is_checked_by_its_own_rule() {
        let pay = Pay { min_postal_code_length: 5, ..Pay::default() };
        let rows = [
            (Field::CardNumber, "4111111111111112", None, Some("invalid-card-number")),
            (Field::CardNumber, "411111111111111", None, Some("invalid-card-number")),
            (Field::CardNumber, "6011111111111117", None, Some("invalid-card-type")),
            (Field::ExpirationDate, "1126", None, None),
            (Field::ExpirationDate, "1026", None, Some("invalid-date")),
            (Field::ExpirationDate, "1327", None, Some("invalid-date")),
            (Field::ExpirationDate, "0147", None, Some("invalid-date")),
            (Field::ExpirationDate, "0146", None, None),
            (Field::ExpirationDate, "012", None, Some("invalid-date")),
            (Field::SecurityCode, "123", Some(CardType::Visa), None),
            (Field::SecurityCode, "1234", Some(CardType::Visa), Some("invalid-security-code")),
            (Field::SecurityCode, "1234", Some(CardType::Amex), None),
            (Field::PostalCode, "94105", None, None),
            (Field::PostalCode, "9410", None, Some("invalid-postal-code")),
            (Field::BankRoutingNumber, "021000021", None, None),
            (Field::BankRoutingNumber, "021000022", None, Some("invalid-bank-routing-number")),
            (Field::BankAccountNumber, "123", None, Some("invalid-bank-account-number")),
            (Field::BankAccountNumber, "000123456789", None, None),
        ];
        for (field, text, card, error) in rows {
            let found = pay.check(field, &keys(text), card, NOW).err().map(PayError::as_str);
            assert_eq!(found, error, "{field:?} {text}");
        }
    }

    #[test]
    fn amounts_are_whole_hundredths_below_a_million() {
        for (text, expected) in [
            ("20.45", Some(2_045)),
            ("20", Some(2_000)),
            ("0.5", Some(50)),
            (".99", Some(99)),
            ("999999.99", Some(99_999_999)),
            ("1000000", None),
            ("1.234", None),
            ("-1", None),
            ("", None),
            (".", None),
            ("1e3", None),
        ] {
            assert_eq!(hundredths(text), expected, "{text}");
        }
    }

    #[test]
    fn the_prompt_that_says_most_of_a_case_is_heard() {
        let prompt = |fields: &[Field], errors: &[PayError], attempts: &[u32], file: &str| PayPrompt {
            fields: fields.iter().copied().map(Some).collect(),
            errors: errors.to_vec(),
            cards: Vec::new(),
            attempts: attempts.to_vec(),
            matching: false,
            prompts: vec![Prompt::Play { file: file.to_owned(), loops: 1 }],
        };
        let pay = Pay {
            prompts: vec![
                prompt(&[Field::CardNumber], &[], &[], "card"),
                prompt(&[Field::CardNumber], &[PayError::Timeout], &[], "again"),
                prompt(&[Field::CardNumber], &[], &[3], "last"),
                PayPrompt { fields: vec![None], ..prompt(&[], &[], &[], "wait") },
            ],
            ..Pay::default()
        };
        let heard = |field, error, attempt| match pay.prompt_for(field, error, None, attempt, false) {
            Some([Prompt::Play { file, .. }]) => file.as_str(),
            _ => "",
        };
        let card = Some(Field::CardNumber);
        assert_eq!(heard(card, None, 1), "card");
        assert_eq!(heard(card, Some(PayError::Timeout), 2), "again");
        assert_eq!(heard(card, Some(PayError::InvalidCardNumber), 3), "last");
        assert_eq!(heard(Some(Field::PostalCode), None, 1), "");
        assert_eq!(heard(None, None, 1), "wait");
    }
}
