//! Cookies of one call, as an application's session needs them: kept while the call lives, sent to the host that set them.

use super::url::Url;

/// Cookies of a call and octets of each; further ones are not kept.
const COOKIES_MAX: usize = 32;
const COOKIE_BYTES_MAX: usize = 4_096;

#[derive(Debug, Default)]
pub struct Jar {
    cookies: Vec<Cookie>,
}

#[derive(Debug)]
struct Cookie {
    host: String,
    path: String,
    is_secure: bool,
    name: String,
    value: String,
}

impl Jar {
    /// Takes a `Set-Cookie` header of an answer from `url` (RFC 6265 §5.2, §5.3). A Domain attribute is not honoured: a cookie
    /// goes back to the host that set it and to no other.
    pub fn take(&mut self, url: &Url, header: &str) {
        let mut parts = header.split(';').map(str::trim_ascii);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let (name, value) = (name.trim_ascii(), value.trim_ascii());
        if name.is_empty() || header.len() > COOKIE_BYTES_MAX {
            return;
        }
        let (mut path, mut is_secure, mut is_gone) = (None, false, false);
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match key.trim_ascii().to_ascii_lowercase().as_str() {
                "path" if value.starts_with('/') => path = Some(value.to_owned()),
                "secure" => is_secure = true,
                "max-age" => is_gone = value.trim_ascii().parse::<i64>().is_ok_and(|s| s <= 0),
                _ => {}
            }
        }
        let path = path.unwrap_or_else(|| default_path(&url.target));
        self.cookies.retain(|c| (c.host.as_str(), c.path.as_str(), c.name.as_str()) != (&url.host, &path, name));
        if !is_gone && self.cookies.len() < COOKIES_MAX {
            let (name, value) = (name.to_owned(), value.to_owned());
            self.cookies.push(Cookie { host: url.host.clone(), path, is_secure, name, value });
        }
    }

    /// The `Cookie` header for a request to `url`; `None` if there is none for it.
    pub fn header(&self, url: &Url) -> Option<String> {
        let path = url.target.split('?').next().unwrap_or("/");
        let is_for = |c: &&Cookie| c.host == url.host && (url.is_tls || !c.is_secure) && matches_path(path, &c.path);
        let pairs: Vec<String> =
            self.cookies.iter().filter(is_for).map(|c| format!("{}={}", c.name, c.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

/// §5.1.4.
fn default_path(target: &str) -> String {
    let path = target.split('?').next().unwrap_or("/");
    match path.rfind('/') {
        Some(at) if at > 0 => path[..at].to_owned(),
        _ => "/".to_owned(),
    }
}

fn matches_path(path: &str, cookie: &str) -> bool {
    path.strip_prefix(cookie).is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_go_back_to_whom_they_are_from() {
        let url = |text: &str| Url::parse(text).unwrap();
        let mut jar = Jar::default();
        jar.take(&url("https://a.test/app/voice?x=1"), "session=1; HttpOnly; Path=/");
        jar.take(&url("https://a.test/app/voice"), "here = 2");
        jar.take(&url("https://a.test/"), "safe=3; Secure; Domain=test");
        jar.take(&url("https://a.test/"), "nothing");
        let rows = [
            ("https://a.test/app/menu", Some("session=1; here=2; safe=3")),
            ("https://a.test/app", Some("session=1; here=2; safe=3")),
            ("https://a.test/apple", Some("session=1; safe=3")),
            ("http://a.test/x", Some("session=1")),
            ("https://b.test/app/menu", None),
        ];
        for (to, expected) in rows {
            assert_eq!(jar.header(&url(to)).as_deref(), expected, "{to}");
        }
        jar.take(&url("https://a.test/x"), "session=4; Path=/");
        jar.take(&url("https://a.test/"), "safe=; Max-Age=0");
        assert_eq!(jar.header(&url("https://a.test/")).as_deref(), Some("session=4"));
        for n in 0..100 {
            jar.take(&url("https://a.test/"), &format!("c{n}=1"));
        }
        assert_eq!(jar.header(&url("https://a.test/")).map(|h| h.split("; ").count()), Some(COOKIES_MAX - 1));
    }
}
