//! What may not be in a capture: passwords and answers to challenges, keys of media, and digits that are secrets. What is taken out
//! is written over by `x`, so that lengths stay as they were.

/// A line's end: just past its line feed.
fn line_end(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| from + n + 1)
}

/// The value of a message's Call-ID; `None` if its header has none.
pub fn call_id(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = line_end(bytes, start_of(bytes));
    while at < bytes.len() {
        let line = &bytes[at..line_end(bytes, at)];
        at += line.len();
        let value = match line.first()? {
            b'\r' | b'\n' => return None,
            b'c' | b'C' => line.get(7..).filter(|_| line[..7].eq_ignore_ascii_case(b"call-id")),
            b'i' | b'I' => line.get(1..),
            _ => continue,
        };
        let value = value.map(<[u8]>::trim_ascii_start).and_then(|value| value.strip_prefix(b":"));
        if let Some(value) = value {
            return Some(value.trim_ascii());
        }
    }
    None
}

/// Where the first line begins: some peers send line ends before it.
fn start_of(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len())
}

/// Where the body begins.
fn body_of(bytes: &[u8]) -> usize {
    let mut at = start_of(bytes);
    while at < bytes.len() {
        let end = line_end(bytes, at);
        if bytes[at..end].trim_ascii_end().is_empty() {
            return end;
        }
        at = end;
    }
    bytes.len()
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|w| w.eq_ignore_ascii_case(what))
}

fn mask(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|b| !matches!(b, b'\r' | b'\n')).for_each(|b| *b = b'x');
}

/// The message without its digits, if it is one that carries digits: an INFO, or another request that says so.
pub fn mask_digits(bytes: &[u8]) -> Option<Vec<u8>> {
    let line = &bytes[start_of(bytes)..];
    let is_info = line.get(..5).is_some_and(|method| method.eq_ignore_ascii_case(b"INFO "));
    let may = ["NOTIFY ", "MESSAGE "].iter().any(|m| line.get(..m.len()).is_some_and(|l| l == m.as_bytes()));
    let body = if is_info || may { body_of(bytes) } else { return None };
    let head = &bytes[..body];
    let says = || [&b"dtmf"[..], b"telephone-event", b"kpml"].iter().any(|what| contains(head, what));
    if !is_info && !says() {
        return None;
    }
    let mut masked = bytes.to_vec();
    mask(&mut masked[body..]);
    Some(masked)
}

/// The message without passwords, answers to challenges and keys.
pub fn without_secrets(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let body = body_of(bytes);
    let mut at = start_of(bytes);
    let mut is_secret = false;
    while at < out.len() {
        let end = line_end(bytes, at);
        let line = &mut out[at..end];
        if at >= body {
            mask_keys(line);
        } else if matches!(line.first(), Some(b' ' | b'\t')) && is_secret {
            mask_answer(line);
        } else {
            is_secret = bears_credentials(line);
            if is_secret {
                mask_credentials(line);
            }
            mask_uri_passwords(line);
        }
        at = end;
    }
    out
}

fn bears_credentials(line: &[u8]) -> bool {
    let name = line.split(|b| *b == b':').next().unwrap_or_default().trim_ascii_end();
    let names = [&b"authorization"[..], b"proxy-authorization", b"authentication-info", b"proxy-authentication-info"];
    names.iter().any(|n| name.eq_ignore_ascii_case(n))
}

/// Of a digest its answer; of anything else all behind the scheme.
fn mask_credentials(line: &mut [u8]) {
    let Some(colon) = line.iter().position(|b| *b == b':') else { return };
    let value = colon + 1 + line[colon + 1..].iter().take_while(|b| b.is_ascii_whitespace()).count();
    let scheme = value + line[value..].iter().take_while(|b| !b.is_ascii_whitespace()).count();
    let is_info = line[..colon].to_ascii_lowercase().ends_with(b"-info");
    if is_info || line[value..scheme].eq_ignore_ascii_case(b"digest") {
        mask_answer(&mut line[colon + 1..]);
    } else {
        mask(&mut line[scheme..]);
    }
}

/// `response="…"` and `rspauth="…"`.
fn mask_answer(line: &mut [u8]) {
    for name in [&b"response"[..], b"rspauth"] {
        let mut from = 0;
        while let Some(found) = line[from..].windows(name.len()).position(|w| w.eq_ignore_ascii_case(name)) {
            let rest = from + found + name.len();
            from = rest;
            let Some(value) = line[rest..].iter().position(|b| !b.is_ascii_whitespace()) else { break };
            if line[rest + value] != b'=' {
                continue;
            }
            let end = line[rest..].iter().position(|b| *b == b',').map_or(line.len(), |n| rest + n);
            let masked = line[rest + value + 1..end].iter_mut();
            masked.filter(|b| !b.is_ascii_whitespace() && **b != b'"').for_each(|b| *b = b'x');
        }
    }
}

/// `a=crypto:… inline:KEY`, `k=…`, `a=ice-pwd:…`.
fn mask_keys(line: &mut [u8]) {
    let mask_after = |line: &mut [u8], what: &[u8]| {
        let mut from = 0;
        while let Some(n) = line[from..].windows(what.len()).position(|w| w.eq_ignore_ascii_case(what)) {
            let key = from + n + what.len();
            let end = line[key..].iter().position(|b| matches!(b, b';' | b' ' | b'\r' | b'\n'));
            from = end.map_or(line.len(), |n| key + n);
            mask(&mut line[key..from]);
        }
    };
    if line.starts_with(b"k=") {
        mask(&mut line[2..]);
    } else if line.starts_with(b"a=") {
        mask_after(line, b"inline:");
        mask_after(line, b"ice-pwd:");
    }
}

/// `sip:user:PASSWORD@host`.
fn mask_uri_passwords(line: &mut [u8]) {
    let mut from = 0;
    while let Some(n) =
        line[from..].windows(4).position(|w| w.eq_ignore_ascii_case(b"sip:") || w.eq_ignore_ascii_case(b"ips:"))
    {
        let user = from + n + 4;
        from = user;
        let stop =
            line[user..].iter().position(|b| matches!(b, b'@' | b'>' | b'<' | b' ' | b'"' | b',' | b'\r' | b'\n'));
        let Some(at) = stop.map(|n| user + n).filter(|at| line[*at] == b'@') else { continue };
        if let Some(colon) = line[user..at].iter().position(|b| *b == b':') {
            mask(&mut line[user + colon + 1..at]);
        }
    }
}
