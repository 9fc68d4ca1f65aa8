//! Redaction by type: what names a person or opens a door does not print itself.

use std::fmt;

/// A number, URI or name of a person. `Debug` shows the last two characters only; `expose` gives the value to the wire,
/// the CDR and the API, which are its purpose.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Pii<T>(T);

impl<T> Pii<T> {
    pub const fn new(value: T) -> Self {
        Pii(value)
    }

    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: AsRef<str>> fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.as_ref();
        let tail = s.char_indices().rev().nth(1).map_or(0, |(i, _)| i);
        if s.chars().count() <= 4 { f.write_str("…") } else { write!(f, "…{}", &s[tail..]) }
    }
}

/// A password, key or token. Never printed, wiped when dropped, compared in constant time.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    pub const fn new(value: String) -> Self {
        Secret(value)
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        constant_time_eq(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl Eq for Secret {}

/// Equality whose time depends on the lengths only.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && std::hint::black_box(a.iter().zip(b).fold(0u8, |acc, (x, y)| acc | (x ^ y))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_prints_its_tail_and_a_secret_nothing() {
        assert_eq!(format!("{:?}", Pii::new("+14155550100")), "…00");
        assert_eq!(format!("{:?}", Pii::new("100")), "…");
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "<secret>");
        assert!(
            Secret::new("a".into()) == Secret::new("a".into()) && Secret::new("a".into()) != Secret::new("b".into())
        );
    }
}
