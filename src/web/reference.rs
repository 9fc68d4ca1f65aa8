//! Relative addresses, by RFC 3986 §5.

/// The address that `reference` means in a document that came from `base`. A `base` without a scheme is the path of a local file.
pub fn resolve(base: &str, reference: &str) -> String {
    let reference = reference.trim_ascii();
    if scheme(reference).is_some() || base.is_empty() {
        return reference.to_owned();
    }
    let base = base.split('#').next().unwrap_or_default();
    let (prefix, path, query) = parts(base);
    if let Some(rest) = reference.strip_prefix("//") {
        return match scheme(base) {
            Some(scheme) => format!("{scheme}://{rest}"),
            None => reference.to_owned(),
        };
    }
    let (reference, fragment) = cut(reference, '#');
    let (its_path, its_query) = cut(reference, '?');
    if its_path.is_empty() {
        let query = if its_query.is_empty() { query } else { its_query };
        return format!("{prefix}{path}{query}{fragment}");
    }
    let merged = if its_path.starts_with('/') {
        its_path.to_owned()
    } else {
        let folder = path.rfind('/').map_or("", |at| &path[..=at]);
        let root = if folder.is_empty() && !prefix.is_empty() { "/" } else { folder };
        format!("{root}{its_path}")
    };
    format!("{prefix}{}{its_query}{fragment}", without_dots(&merged))
}

/// The scheme of an absolute address (§3.1).
pub(super) fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    is_scheme.then_some(scheme)
}

/// What stands before a character, and the rest with it.
fn cut(text: &str, at: char) -> (&str, &str) {
    text.split_at(text.find(at).unwrap_or(text.len()))
}

/// Scheme and authority, path, query with its mark.
fn parts(url: &str) -> (&str, &str, &str) {
    let (url, query) = cut(url, '?');
    let begin = match url.find("://") {
        Some(at) if scheme(url).is_some() => url[at + 3..].find('/').map_or(url.len(), |slash| at + 3 + slash),
        _ => scheme(url).map_or(0, |s| s.len() + 1),
    };
    let (prefix, path) = url.split_at(begin);
    (prefix, path, query)
}

/// §5.2.4. Leading dots of a relative path stay, since what it is relative to is not known here.
fn without_dots(path: &str) -> String {
    let (mut out, mut ends_open): (Vec<&str>, bool) = (Vec::new(), false);
    let is_absolute = path.starts_with('/');
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        ends_open = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." if out.last().is_some_and(|last| *last != "..") => {
                out.pop();
            }
            ".." if is_absolute => {}
            other => out.push(other),
        }
    }
    let open = if ends_open && !out.is_empty() { "/" } else { "" };
    format!("{}{}{open}", if is_absolute { "/" } else { "" }, out.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_as_rfc_3986_shows() {
        let rfc = "http://a/b/c/d;p?q";
        let rows = [
            (rfc, "g:h", "g:h"),
            (rfc, "g", "http://a/b/c/g"),
            (rfc, "./g", "http://a/b/c/g"),
            (rfc, "g/", "http://a/b/c/g/"),
            (rfc, "/g", "http://a/g"),
            (rfc, "//g", "http://g"),
            (rfc, "?y", "http://a/b/c/d;p?y"),
            (rfc, "g?y", "http://a/b/c/g?y"),
            (rfc, "#s", "http://a/b/c/d;p?q#s"),
            (rfc, "g?y#s", "http://a/b/c/g?y#s"),
            (rfc, "", "http://a/b/c/d;p?q"),
            (rfc, ".", "http://a/b/c/"),
            (rfc, "..", "http://a/b/"),
            (rfc, "../g", "http://a/b/g"),
            (rfc, "../../../g", "http://a/g"),
            (rfc, "/./g", "http://a/g"),
            (rfc, "g;x=1/../y", "http://a/b/c/y"),
            (rfc, "g?y/../x", "http://a/b/c/g?y/../x"),
            ("http://host", "menu.xml", "http://host/menu.xml"),
            ("https://host:8443/a/b.php?x=1#rc=2", "c.php", "https://host:8443/a/c.php"),
            ("https://host/a", "https://other/x", "https://other/x"),
            ("markup/menu.xml", "sales.xml", "markup/sales.xml"),
            ("markup/menu.xml", "../other/sales.xml", "other/sales.xml"),
            ("menu.xml", "../sales.xml", "../sales.xml"),
            ("file:/etc/menu.xml", "sales.xml", "file:/etc/sales.xml"),
            ("", "http://x/", "http://x/"),
            ("http://h/a/ü.xml", " é.xml ", "http://h/a/é.xml"),
        ];
        for (base, reference, expected) in rows {
            assert_eq!(resolve(base, reference), expected, "{base} + {reference}");
        }
    }
}
