//! Percent-encoding, as forms and queries have it.

/// `%2B` and `+` are a plus and a blank. `None`: broken, or not UTF-8.
pub fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'+' => out.push(b' '),
            b'%' => {
                let (high, low) = (char::from(bytes.next()?).to_digit(16)?, char::from(bytes.next()?).to_digit(16)?);
                out.push(u8::try_from(high << 4 | low).ok()?);
            }
            _ => out.push(b),
        }
    }
    String::from_utf8(out).ok()
}
