//! What a payer enters, field by field: kept here until the gateway has it, shown as a mask, wiped when it goes.

use crate::base::keys::Keys;
use crate::base::time::Wall;
use crate::verb::pay::{CardType, FIELD_MAX, Field, Pay, PayError};
use crate::web::Parameters;
use std::collections::BTreeMap;

/// What a key does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Took {
    More,
    /// The field is over.
    Over,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Entry {
    pub pay: Pay,
    entered: BTreeMap<Field, Keys>,
    keys: Keys,
    /// The first of two entries that must match.
    first: Option<Keys>,
    pub card: Option<CardType>,
    /// Counted for each field, from 1.
    pub attempt: u32,
    pub error: Option<PayError>,
}

/// What became of a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Right,
    /// It is to be entered once more, the same.
    Again,
    Wrong(PayError),
}

impl Entry {
    pub fn new(pay: Pay) -> Entry {
        let (entered, keys) = (BTreeMap::new(), Keys::default());
        Entry { pay, entered, keys, first: None, card: None, attempt: 1, error: None }
    }

    /// A field begins, whatever was entered for it before.
    pub fn begin(&mut self, field: Field) {
        self.entered.remove(&field);
        self.keys.wipe();
        (self.first, self.attempt, self.error) = (None, 1, None);
        if field == Field::CardNumber {
            self.card = None;
        }
    }

    pub const fn is_second(&self) -> bool {
        self.first.is_some()
    }

    pub fn take(&mut self, field: Field, key: char) -> Took {
        if key == '#' {
            return Took::Over;
        }
        if key.is_ascii_digit() {
            self.keys.push(key, FIELD_MAX);
        }
        let card = match field {
            Field::CardNumber if self.keys.len() >= 6 => CardType::of(self.keys.expose()),
            Field::CardNumber => None,
            _ => self.card,
        };
        let is_full = field.digits(card).is_some_and(|n| self.keys.len() >= n) || self.keys.len() == FIELD_MAX;
        if is_full { Took::Over } else { Took::More }
    }

    /// A field is over, by its last digit, the key or the time.
    pub fn judge(&mut self, field: Field, now: Wall) -> Verdict {
        let keys = std::mem::take(&mut self.keys);
        let checked = match keys.is_empty() {
            true => Err(PayError::Timeout),
            false => self.pay.check(field, &keys, self.card, now),
        };
        let wrong = match (checked, self.first.take()) {
            (Err(error), _) => error,
            (Ok(()), Some(first)) if !first.is_same(&keys) => PayError::InputMatchingFailed,
            (Ok(()), None) if self.pay.matching.contains(&field) => {
                self.first = Some(keys);
                return Verdict::Again;
            }
            (Ok(()), _) => {
                if field == Field::CardNumber {
                    self.card = CardType::of(keys.expose());
                }
                self.entered.insert(field, keys);
                self.error = None;
                return Verdict::Right;
            }
        };
        self.attempt += 1;
        self.error = Some(wrong);
        Verdict::Wrong(wrong)
    }

    /// For the gateway.
    pub fn value(&self, field: Field) -> Option<&str> {
        self.entered.get(&field).map(Keys::expose)
    }

    pub fn has(&self, field: Field) -> bool {
        self.entered.contains_key(&field)
    }

    /// What is entered of a field so far, as anybody may see it: the last four digits of a card or an account, and of nothing else.
    fn mask(field: Field, keys: &Keys, is_whole: bool) -> String {
        let shown = match field {
            Field::CardNumber | Field::BankAccountNumber if is_whole && keys.len() > 8 => 4,
            _ => 0,
        };
        let tail = keys.expose().get(keys.len() - shown..).unwrap_or_default();
        "x".repeat(keys.len() - shown) + tail
    }

    /// What may be told of all that was entered, and of what is being.
    pub fn masked(&self, current: Option<Field>) -> Parameters {
        let whole = self.entered.iter().map(|(field, keys)| (*field, Entry::mask(*field, keys, true)));
        let part = current.filter(|f| !self.has(*f)).map(|field| (field, Entry::mask(field, &self.keys, false)));
        let mut told: Parameters =
            whole.chain(part).map(|(field, mask)| (field.parameter().to_owned(), mask)).collect();
        told.extend(self.card.map(|card| ("PaymentCardType".to_owned(), card.as_str().to_owned())));
        told
    }

    /// Nothing is left of it but the masks.
    pub fn wipe(&mut self) {
        self.entered.clear();
        self.keys.wipe();
        self.first = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall(1_795_392_000_000_000);

    fn enter(entry: &mut Entry, field: Field, digits: &str) -> Verdict {
        let count = digits.chars().count();
        for (n, key) in digits.chars().enumerate() {
            if entry.take(field, key) == Took::Over {
                assert_eq!(n + 1, count, "{field:?} {digits}");
            }
        }
        entry.judge(field, NOW)
    }

    #[test]
    fn fields_are_entered_judged_and_shown_as_masks() {
        let mut entry = Entry::new(Pay { matching: vec![Field::SecurityCode], ..Pay::default() });
        assert_eq!(enter(&mut entry, Field::CardNumber, "5424180279791732"), Verdict::Right);
        assert_eq!(enter(&mut entry, Field::ExpirationDate, "0825"), Verdict::Wrong(PayError::InvalidDate));
        assert_eq!((entry.attempt, entry.error), (2, Some(PayError::InvalidDate)));
        assert_eq!(enter(&mut entry, Field::ExpirationDate, "0828"), Verdict::Right);
        entry.begin(Field::SecurityCode);
        assert_eq!(enter(&mut entry, Field::SecurityCode, "937"), Verdict::Again);
        assert_eq!(enter(&mut entry, Field::SecurityCode, "938"), Verdict::Wrong(PayError::InputMatchingFailed));
        assert_eq!(enter(&mut entry, Field::SecurityCode, "937"), Verdict::Again);
        assert_eq!(enter(&mut entry, Field::SecurityCode, "937"), Verdict::Right);
        assert_eq!(entry.take(Field::PostalCode, '9'), Took::More);
        let told = entry.masked(Some(Field::PostalCode));
        let told: Vec<String> = told.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let expected = [
            "PaymentCardNumber=xxxxxxxxxxxx1732",
            "ExpirationDate=xxxx",
            "SecurityCode=xxx",
            "PaymentCardPostalCode=x",
            "PaymentCardType=mastercard",
        ];
        assert_eq!(told, expected);
        let shown = format!("{entry:?}");
        assert!(!shown.contains("5424") && !shown.contains("937") && !shown.contains("0828"), "{shown}");
        assert_eq!(enter(&mut entry, Field::PostalCode, "#"), Verdict::Right);
        entry.begin(Field::PostalCode);
        assert_eq!(enter(&mut entry, Field::PostalCode, "#"), Verdict::Wrong(PayError::Timeout));
        entry.wipe();
        assert!(entry.masked(None).len() == 1 && entry.value(Field::CardNumber).is_none());
    }
}
