//! Forms as browsers write them (application/x-www-form-urlencoded).

use crate::web::Parameters;

/// Appends an octet as `%XX`.
pub fn percent(octet: u8, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(HEX[usize::from(octet >> 4)]));
    out.push(char::from(HEX[usize::from(octet & 15)]));
}

/// One name or value.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push(text, &mut out);
    out
}

fn push(text: &str, out: &mut String) {
    for b in text.bytes() {
        match b {
            b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => out.push(char::from(b)),
            b' ' => out.push('+'),
            b => percent(b, out),
        }
    }
}

/// All pairs, in order.
pub fn write(parameters: &Parameters) -> String {
    // A few characters grow to three.
    let length: usize = parameters.iter().map(|(n, v)| n.len() + v.len() + 8).sum();
    let mut out = String::with_capacity(length);
    for (name, value) in parameters {
        if !out.is_empty() {
            out.push('&');
        }
        push(name, &mut out);
        out.push('=');
        push(value, &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_written_in_order_with_repeated_names() {
        let pairs = [("To", "+1 555"), ("Digits", "1#"), ("Digits", "ü&="), ("Empty", "")];
        let pairs = pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec();
        assert_eq!(write(&pairs), "To=%2B1+555&Digits=1%23&Digits=%C3%BC%26%3D&Empty=");
    }
}
