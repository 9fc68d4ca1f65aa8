//! Digits that somebody typed and nobody may see: of a card, a PIN, an account.

use std::fmt;

/// Digits that one of these holds at most.
pub const KEYS_MAX: usize = 256;

/// What was typed. It is neither shown nor copied: `Debug` gives the number of digits, there is no `Display`, `Clone` or
/// serialisation, and the memory is wiped when it goes. Its room is taken at the beginning, since what grows leaves copies behind.
pub struct Keys {
    octets: Box<[u8; KEYS_MAX]>,
    len: usize,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys { octets: Box::new([0; KEYS_MAX]), len: 0 }
    }
}

impl Keys {
    /// False if there are `max` (at most [`KEYS_MAX`]) already, or if it is no ASCII character.
    pub fn push(&mut self, key: char, max: usize) -> bool {
        let place = self.octets.get_mut(..max.min(KEYS_MAX)).and_then(|all| all.get_mut(self.len));
        let (Some(place), Ok(octet)) = (place, u8::try_from(u32::from(key))) else { return false };
        if !octet.is_ascii() {
            return false;
        }
        *place = octet;
        self.len += 1;
        true
    }

    /// Takes the first away.
    pub fn take_first(&mut self) -> Option<char> {
        let first = *self.octets.get(..self.len)?.first()?;
        self.octets.copy_within(1..self.len, 0);
        self.len -= 1;
        if let Some(last) = self.octets.get_mut(self.len) {
            *last = 0;
        }
        Some(char::from(first))
    }

    pub const fn len(&self) -> usize {
        self.len
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// For whoever asked for them, and for nobody else.
    pub fn expose(&self) -> &str {
        self.octets.get(..self.len).and_then(|typed| std::str::from_utf8(typed).ok()).unwrap_or_default()
    }

    /// Whether both are the same, in a time that depends on the lengths only.
    pub fn is_same(&self, other: &Keys) -> bool {
        super::pii::constant_time_eq(self.expose().as_bytes(), other.expose().as_bytes())
    }

    pub fn wipe(&mut self) {
        self.octets.fill(0);
        self.len = 0;
        std::hint::black_box(&self.octets);
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} digits>", self.len)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.wipe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_kept_in_order_and_never_shown() {
        let mut keys = Keys::default();
        for key in "4111#".chars() {
            assert!(keys.push(key, 5));
        }
        assert!(!keys.push('9', 5) && !keys.push('é', 6));
        assert_eq!((keys.expose(), keys.len(), format!("{keys:?}").as_str()), ("4111#", 5, "<5 digits>"));
        assert_eq!(format!("{:?}", Some(Box::new(&keys))), "Some(<5 digits>)");
        assert_eq!((keys.take_first(), keys.expose()), (Some('4'), "111#"));
        assert_eq!(keys.octets[4], 0, "what was taken leaves no copy");
        let mut other = Keys::default();
        assert!(!keys.is_same(&other));
        "111#".chars().for_each(|key| assert!(other.push(key, KEYS_MAX)));
        assert!(keys.is_same(&other));
        keys.wipe();
        assert!(keys.is_empty() && keys.take_first().is_none() && keys.octets.iter().all(|o| *o == 0));
        assert_eq!((0..300).filter(|_| keys.push('1', 999)).count(), KEYS_MAX);
        assert_eq!(keys.len(), KEYS_MAX);
    }
}
