//! Whether a text can stand as an address to call. The wire's own reading is `sip::wire`'s.

use std::net::{Ipv4Addr, Ipv6Addr};

/// `sip:[user@]host[:port][;parameters]`, `sips:…` or `tel:number`.
pub fn is_uri(text: &str) -> bool {
    let printable = |t: &str| t.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&b));
    match text.split_once(':') {
        Some(("sip" | "sips", rest)) if printable(rest) => {
            let rest = rest.rsplit_once('@').map_or(rest, |(user, host)| if user.is_empty() { "" } else { host });
            let end = rest.find([';', '?']).unwrap_or(rest.len());
            rest.get(..end).is_some_and(is_host_port)
        }
        Some(("tel", rest)) => {
            let number = rest.split(';').next().unwrap_or_default();
            number.bytes().any(|b| b.is_ascii_digit())
                && number.bytes().all(|b| b.is_ascii_digit() || b"+-.()*#".contains(&b))
        }
        _ => false,
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
pub fn is_host_port(text: &str) -> bool {
    let port = |p: &str| p.parse::<u16>().is_ok_and(|p| p > 0) && !p.starts_with('+');
    if let Some(rest) = text.strip_prefix('[') {
        let Some((ip, after)) = rest.split_once(']') else { return false };
        return ip.parse::<Ipv6Addr>().is_ok() && (after.is_empty() || after.strip_prefix(':').is_some_and(port));
    }
    match text.split_once(':') {
        Some((host, p)) => is_host(host) && port(p),
        None => is_host(text),
    }
}

/// A host name or an IPv4 address.
pub fn is_host(text: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    // What looks like an address has to be one.
    let numeric = name.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
    if numeric { text.parse::<Ipv4Addr>().is_ok() } else { name.len() <= 253 && name.split('.').all(label) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_typing_errors() {
        let good = [
            "sip:127.0.0.1:7070",
            "sip:bob@example.com",
            "sips:+1415@[2001:db8::1]:5061;transport=tls",
            "tel:+1-415-555",
            "sip:a@b;x=y?h=v",
            "sip:carrier",
        ];
        for text in good {
            assert!(is_uri(text), "{text}");
        }
        let bad = [
            "",
            "sip:",
            "127.0.0.1",
            "sip:127.0.0.1:99999",
            "sip:256.0.0.1",
            "sip:a b@c",
            "sip:@host",
            "http://x",
            "tel:",
            "tel:abc",
            "sip:[::1",
            "sip:host:",
            "sip:host:+5",
            "sip:a..b",
            "sip:<a@b>",
        ];
        for text in bad {
            assert!(!is_uri(text), "{text}");
        }
    }
}
