//! Digest as server: challenges, and the judgement of what comes back (RFC 7616 §3.3–3.5).

use super::params::{self, Scheme};
use super::{Algorithm, Inputs, Kind, Qop, hex, hmac};
use crate::base::pii::{Secret, constant_time_eq};
use crate::base::time::{Duration, Instant};
use crate::sip::wire::{Message, Uri};
use std::collections::BTreeMap;

/// What is offered, and its bounds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Algorithms offered, one challenge each, in this order, the same nonce in each. MD5 alone is the default: many
    /// phones read the first only, and some (libre 1 to 3) give up altogether at one that they do not know. An HA1 that is
    /// stored instead of a password answers its own algorithm only.
    pub algorithms: Vec<Algorithm>,
    /// How long a nonce is good for; afterwards the client is told `stale` and comes again without asking its user.
    pub nonce_lifetime: Duration,
    /// Nonces whose counts are remembered. Beyond it the oldest become stale.
    pub nonces_max: usize,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { algorithms: vec![Algorithm::Md5], nonce_lifetime: Duration::from_secs(300), nonces_max: 100_000 }
    }
}

/// What is known of a user: a password, or H(username:realm:password) in hexadecimal for one algorithm.
#[derive(Clone, Copy, Debug)]
pub enum Credential<'a> {
    Password(&'a Secret),
    Ha1(Algorithm, &'a Secret),
}

/// Somebody who has proven to be it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    pub name: String,
}

/// Why not; for logs and counters. The peer is told only `stale`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reason {
    /// No credentials for our realm: challenge.
    Absent,
    /// Credentials that cannot be read.
    Malformed,
    /// An algorithm that was not offered, or for which nothing is stored.
    Algorithm,
    UnknownUser,
    WrongPassword,
    /// The digest is right but was made for another number than the Request-URI's.
    WrongUri,
    /// The digest is right but its nonce is too old, or not of this run.
    StaleNonce,
    /// The digest is right but its nonce count has been seen.
    Replayed,
}

impl Reason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Absent => "no-credentials",
            Reason::Malformed => "malformed-credentials",
            Reason::Algorithm => "algorithm-not-offered",
            Reason::UnknownUser => "unknown-user",
            Reason::WrongPassword => "wrong-password",
            Reason::WrongUri => "wrong-uri",
            Reason::StaleNonce => "stale-nonce",
            Reason::Replayed => "replayed",
        }
    }
}

/// Refused: challenge anew, with `stale` handed to [`Challenger::challenge`] (phones take a second challenge without it
/// for a wrong password).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Denied {
    pub reason: Reason,
    /// The password was right: the client may come again with the new nonce without asking its user.
    pub stale: bool,
}

impl Denied {
    const fn because(reason: Reason) -> Denied {
        Denied { reason, stale: matches!(reason, Reason::StaleNonce | Reason::Replayed) }
    }
}

/// A request that shows credentials.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    pub method: &'a str,
    pub request_uri: &'a str,
    /// For `auth-int`.
    pub body: &'a [u8],
    /// Value of Authorization or Proxy-Authorization.
    pub value: &'a str,
}

/// When a nonce was made, in ms, and its number.
type NonceId = (u64, u32);

/// Which counts of one nonce have been used: the highest, and a bit for each of the 64 up to it.
#[derive(Clone, Copy, Default, Debug)]
struct Window {
    top: u32,
    seen: u64,
}

impl Window {
    /// No count will do any more.
    const CLOSED: Window = Window { top: u32::MAX, seen: u64::MAX };

    /// False if `count` has been used, or is too far behind to tell.
    fn take(&mut self, count: u32) -> bool {
        if count > self.top {
            self.seen = self.seen.checked_shl(count - self.top).unwrap_or(0) | 1;
            self.top = count;
            return true;
        }
        let bit = 1u64.checked_shl(self.top - count).unwrap_or(0);
        let is_new = count > 0 && bit != 0 && self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }
}

/// Challenges for one realm. A nonce is its moment and number under a keyed hash, so nothing is kept of those that never
/// come back; of those that do, the counts used.
pub struct Challenger {
    realm: String,
    key: [u8; 32],
    policy: Policy,
    serial: u32,
    used: BTreeMap<NonceId, Window>,
    /// Nonces up to this one have been forgotten for want of room.
    forgotten: Option<NonceId>,
}

impl Challenger {
    /// `key` is secret and random, from the shell; with another key all nonces of before are stale.
    pub fn new(realm: &str, key: [u8; 32], policy: Policy) -> Challenger {
        Challenger { realm: realm.to_owned(), key, policy, serial: 0, used: BTreeMap::new(), forgotten: None }
    }

    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Header values of a 401 or 407, one an algorithm.
    pub fn challenge(&mut self, now: Instant, stale: bool) -> Vec<String> {
        self.serial = self.serial.wrapping_add(1);
        let nonce = self.nonce((now.as_micros() / 1000, self.serial));
        let value = |algorithm: &Algorithm| {
            let writer = params::Writer::new().quoted("realm", &self.realm).quoted("nonce", &nonce);
            let writer = if stale { writer.token("stale", "true") } else { writer };
            writer.token("algorithm", algorithm.as_str()).quoted("qop", "auth").finish()
        };
        self.policy.algorithms.iter().map(value).collect()
    }

    /// Judges the credentials that `request` carries for our realm, if any. `lookup` is asked once, by username.
    pub fn verify<'s>(
        &mut self,
        now: Instant,
        kind: Kind,
        request: &Message,
        lookup: impl FnOnce(&str) -> Option<Credential<'s>>,
    ) -> Result<User, Denied> {
        let found = request.headers(kind.answer_header()).find_map(|value| Some((value, self.ours(value)?)));
        let (value, shown) = found.ok_or(Denied::because(Reason::Absent))?;
        let (method, request_uri, body) = (request.method_str(), request.request_uri(), request.body());
        self.judge(now, Attempt { method, request_uri, body, value }, &shown, lookup)
    }

    /// As [`Challenger::verify`], for one header value.
    pub fn verify_value<'s>(
        &mut self,
        now: Instant,
        attempt: Attempt<'_>,
        lookup: impl FnOnce(&str) -> Option<Credential<'s>>,
    ) -> Result<User, Denied> {
        let shown = self.ours(attempt.value).ok_or(Denied::because(Reason::Absent))?;
        self.judge(now, attempt, &shown, lookup)
    }

    fn judge<'s>(
        &mut self,
        now: Instant,
        attempt: Attempt<'_>,
        shown: &Scheme<'_>,
        lookup: impl FnOnce(&str) -> Option<Credential<'s>>,
    ) -> Result<User, Denied> {
        let (qop, count) = count_of(shown).ok_or(Denied::because(Reason::Malformed))?;
        let offered = Algorithm::parse(shown.get("algorithm"))
            .filter(|(algorithm, session)| !session && self.policy.algorithms.contains(algorithm));
        let (algorithm, session) = offered.ok_or(Denied::because(Reason::Algorithm))?;
        let username = shown.get("username");
        let known = lookup(username);
        let ha1 = self.ha1(algorithm, username, known)?;
        let (nonce, cnonce, nc, uri) = (shown.get("nonce"), shown.get("cnonce"), shown.get("nc"), shown.get("uri"));
        let (method, body) = (attempt.method, attempt.body);
        let expected = Inputs { algorithm, session, qop, nonce, cnonce, nc, method, uri, body }.response(&ha1);
        let response = shown.get("response").to_ascii_lowercase();
        let right = constant_time_eq(expected.as_bytes(), response.as_bytes());
        if known.is_none() {
            return Err(Denied::because(Reason::UnknownUser));
        }
        if !right {
            return Err(Denied::because(Reason::WrongPassword));
        }
        if !covers(uri, attempt.request_uri) {
            return Err(Denied::because(Reason::WrongUri));
        }
        self.take(now, nonce, count).map_err(Denied::because)?;
        Ok(User { name: username.to_owned() })
    }

    fn ours<'a>(&self, value: &'a str) -> Option<Scheme<'a>> {
        params::parse(value).into_iter().find(|s| s.is_digest() && s.get("realm") == self.realm)
    }

    /// An unknown user costs the same as a wrong password.
    fn ha1(&self, algorithm: Algorithm, username: &str, known: Option<Credential<'_>>) -> Result<String, Denied> {
        match known {
            Some(Credential::Password(password)) => Ok(algorithm.ha1(username, &self.realm, password.expose())),
            Some(Credential::Ha1(stored, ha1)) if stored == algorithm => Ok(ha1.expose().to_ascii_lowercase()),
            Some(Credential::Ha1(..)) => Err(Denied::because(Reason::Algorithm)),
            None => Ok(algorithm.ha1(username, &self.realm, "nobody's password")),
        }
    }

    fn nonce(&self, (ms, serial): NonceId) -> String {
        let mac = hmac(&self.key, &[&ms.to_be_bytes(), &serial.to_be_bytes(), self.realm.as_bytes()]);
        let (half, _) = mac.split_at(16);
        format!("{ms:012x}{serial:08x}{}", hex(half))
    }

    /// Whether `nonce` is one of ours; not whether it is still good.
    fn read_nonce(&self, nonce: &str) -> Option<NonceId> {
        let ms = u64::from_str_radix(nonce.get(..12)?, 16).ok()?;
        let serial = u32::from_str_radix(nonce.get(12..20)?, 16).ok()?;
        constant_time_eq(self.nonce((ms, serial)).as_bytes(), nonce.as_bytes()).then_some((ms, serial))
    }

    /// Uses up one count of a nonce; without a count, the nonce.
    fn take(&mut self, now: Instant, nonce: &str, count: Option<u32>) -> Result<(), Reason> {
        let now_ms = now.as_micros() / 1000;
        let lifetime_ms = u64::try_from(self.policy.nonce_lifetime.as_millis()).unwrap_or(u64::MAX);
        let oldest_ms = now_ms.saturating_sub(lifetime_ms);
        while self.used.first_key_value().is_some_and(|((ms, _), _)| *ms < oldest_ms) {
            self.used.pop_first();
        }
        let id = self.read_nonce(nonce).ok_or(Reason::StaleNonce)?;
        if id.0 < oldest_ms || id.0 > now_ms {
            return Err(Reason::StaleNonce);
        }
        if let Some(window) = self.used.get_mut(&id) {
            let taken = count.is_some_and(|count| window.take(count));
            return if taken { Ok(()) } else { Err(Reason::Replayed) };
        }
        if self.forgotten.is_some_and(|forgotten| id <= forgotten) {
            return Err(Reason::StaleNonce);
        }
        let mut window = Window::default();
        match count {
            Some(count) if !window.take(count) => return Err(Reason::Replayed),
            Some(_) => {}
            None => window = Window::CLOSED,
        }
        self.used.insert(id, window);
        if self.used.len() > self.policy.nonces_max {
            self.forgotten = self.used.pop_first().map(|(id, _)| id).max(self.forgotten);
        }
        Ok(())
    }
}

/// The protection that the client chose, and its count; `None` if they make no sense.
fn count_of(shown: &Scheme<'_>) -> Option<(Qop, Option<u32>)> {
    let qop = match shown.get("qop") {
        "" => return Some((Qop::None, None)),
        qop if qop.eq_ignore_ascii_case("auth") => Qop::Auth,
        qop if qop.eq_ignore_ascii_case("auth-int") => Qop::AuthInt,
        _ => return None,
    };
    let count = u32::from_str_radix(shown.get("nc"), 16).ok()?;
    Some((qop, Some(count)))
}

/// The digest's URI must name the same user as the Request-URI, so that a captured one cannot call another number; host,
/// port and parameters may differ, because proxies and phones rewrite them.
fn covers(digest_uri: &str, request_uri: &str) -> bool {
    match (Uri::parse(digest_uri), Uri::parse(request_uri)) {
        (Some(digest), Some(request)) if !digest.user.is_empty() && !request.user.is_empty() => {
            digest.user_decoded() == request.user_decoded()
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{request, response};
    use super::super::{DigestClient, Tries};
    use super::*;
    use crate::base::rng::Rng;

    const KEY: [u8; 32] = [7; 32];

    fn at(s: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(s)
    }

    fn policy(algorithms: &[Algorithm]) -> Policy {
        Policy { algorithms: algorithms.to_vec(), ..Policy::default() }
    }

    /// A phone with alice's name and `password` that has read `challenge`.
    fn phone(password: &str, challenges: &[String]) -> DigestClient {
        let mut client = DigestClient::new("alice", Secret::new(password.into()));
        let challenges: Vec<&str> = challenges.iter().map(String::as_str).collect();
        client.challenged(&response(401, &challenges), &mut Tries::default()).unwrap();
        client
    }

    fn authorization(phone: &mut DigestClient, uri: &str, body: &[u8]) -> String {
        phone.authorize(&mut Rng::from_seed(3), "INVITE", uri, body).remove(0).1
    }

    /// The verdict on a header value of an INVITE to sip:100@example.org, for alice whose password is "secret".
    fn verdict(challenger: &mut Challenger, now: Instant, value: &str) -> String {
        let secret = Secret::new("secret".into());
        let attempt = Attempt { method: "INVITE", request_uri: "sip:100@example.org", body: b"sdp", value };
        let lookup = |name: &str| (name == "alice").then_some(Credential::Password(&secret));
        match challenger.verify_value(now, attempt, lookup) {
            Ok(user) => user.name,
            Err(denied) => format!("{}{}", denied.reason.as_str(), if denied.stale { " stale" } else { "" }),
        }
    }

    #[test]
    fn what_the_client_answers_the_server_accepts() {
        for algorithms in [&[Algorithm::Md5] as &[_], &[Algorithm::Sha512_256, Algorithm::Md5], &[Algorithm::Sha256]] {
            let mut challenger = Challenger::new("example.org", KEY, policy(algorithms));
            let challenges = challenger.challenge(at(1), false);
            assert_eq!(challenges.len(), algorithms.len());
            for (password, want) in [("secret", "alice"), ("Secret", "wrong-password"), ("", "wrong-password")] {
                let value = authorization(&mut phone(password, &challenges), "sip:100@example.org", b"sdp");
                assert_eq!(verdict(&mut challenger, at(1), &value), want, "{value}");
            }
        }
    }

    #[test]
    fn credentials_are_judged_by_every_part() {
        let mut challenger = Challenger::new("example.org", KEY, Policy::default());
        let value = authorization(&mut phone("secret", &challenger.challenge(at(0), false)), "sip:100@10.0.0.1", b"");
        let rows = [
            ("realm=\"example.org\"", "realm=\"example.com\"", "no-credentials"),
            ("Digest", "Basic", "no-credentials"),
            ("\"alice\"", "\"bob\"", "unknown-user"),
            ("algorithm=MD5", "algorithm=SHA-256", "algorithm-not-offered"),
            ("algorithm=MD5", "algorithm=MD5-sess", "algorithm-not-offered"),
            ("qop=auth", "qop=other", "malformed-credentials"),
            ("qop=auth", "qop=auth-int", "wrong-password"),
            ("nc=00000001", "nc=zz", "malformed-credentials"),
            ("nc=00000001", "nc=00000002", "wrong-password"),
            ("sip:100@10.0.0.1", "sip:101@10.0.0.1", "wrong-password"),
            ("response=\"", "response=\"0", "wrong-password"),
            ("nonce=\"", "nonce=\"0", "wrong-password"),
            ("", "", "alice"),
            ("", "", "replayed stale"),
        ];
        for (from, to, want) in rows {
            assert!(value.contains(from));
            assert_eq!(verdict(&mut challenger, at(0), &value.replacen(from, to, 1)), want, "{from} -> {to}");
        }
        assert_eq!(verdict(&mut challenger, at(0), ""), "no-credentials");
    }

    #[test]
    fn a_digest_for_one_number_does_not_call_another() {
        let mut challenger = Challenger::new("example.org", KEY, Policy::default());
        let mut phone = phone("secret", &challenger.challenge(at(0), false));
        let rows = [
            ("sip:100@example.org:5060;transport=udp", "alice"),
            ("sip:example.org", "alice"),
            ("sip:900@example.org", "wrong-uri"),
        ];
        for (uri, want) in rows {
            let value = authorization(&mut phone, uri, b"");
            assert_eq!(verdict(&mut challenger, at(0), &value), want, "{uri}");
        }
    }

    #[test]
    fn each_count_is_good_once_within_a_window() {
        let mut window = Window::default();
        let rows = [
            (0, false),
            (1, true),
            (1, false),
            (3, true),
            (2, true),
            (2, false),
            (100, true),
            (37, true),
            (36, false),
            (37, false),
            (u32::MAX, true),
            (u32::MAX, false),
            (100, false),
        ];
        for (count, want) in rows {
            assert_eq!(window.take(count), want, "{count}");
        }
    }

    #[test]
    fn old_and_foreign_nonces_are_stale_if_the_password_is_right() {
        let mut challenger = Challenger::new("example.org", KEY, Policy::default());
        let mut other = Challenger::new("example.org", [8; 32], Policy::default());
        let challenges = challenger.challenge(at(100), false);
        let foreign = other.challenge(at(100), false);
        let rows = [
            (&challenges, "secret", 400, "alice"),
            (&challenges, "secret", 401, "stale-nonce stale"),
            (&challenges, "wrong", 401, "wrong-password"),
            (&challenges, "secret", 99, "stale-nonce stale"),
            (&foreign, "secret", 100, "stale-nonce stale"),
            (&foreign, "wrong", 100, "wrong-password"),
        ];
        for (challenges, password, s, want) in rows {
            let value = authorization(&mut phone(password, challenges), "sip:100@example.org", b"");
            assert_eq!(verdict(&mut challenger, at(s), &value), want, "{password} at {s}");
        }
        assert!(challenger.challenge(at(0), true)[0].contains("stale=true"));
        assert!(challenger.used.len() <= 1);
    }

    #[test]
    fn a_nonce_without_counts_is_good_once() {
        let mut challenger = Challenger::new("example.org", KEY, Policy::default());
        let old_style = |challenger: &mut Challenger| {
            let challenges = challenger.challenge(at(0), false);
            let without_qop: Vec<String> = challenges.iter().map(|c| c.replace(", qop=\"auth\"", "")).collect();
            authorization(&mut phone("secret", &without_qop), "sip:100@example.org", b"")
        };
        let value = old_style(&mut challenger);
        assert_eq!(verdict(&mut challenger, at(0), &value), "alice");
        assert_eq!(verdict(&mut challenger, at(0), &value), "replayed stale");
        let value = old_style(&mut challenger);
        assert_eq!(verdict(&mut challenger, at(0), &value), "alice");
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_cannot_be_replayed() {
        let mut challenger = Challenger::new("example.org", KEY, Policy { nonces_max: 3, ..Policy::default() });
        let mut values = Vec::new();
        for s in 0..5 {
            let value =
                authorization(&mut phone("secret", &challenger.challenge(at(s), false)), "sip:100@example.org", b"");
            assert_eq!(verdict(&mut challenger, at(s), &value), "alice");
            values.push(value);
        }
        assert_eq!(challenger.used.len(), 3);
        for (value, want) in values.iter().zip(["stale-nonce stale", "stale-nonce stale", "replayed stale"]) {
            assert_eq!(verdict(&mut challenger, at(5), value), want);
        }
    }

    #[test]
    fn a_stored_ha1_answers_its_own_algorithm_and_a_message_is_searched_for_our_realm() {
        let algorithms = [Algorithm::Sha256, Algorithm::Md5];
        let md5 = Secret::new(Algorithm::Md5.ha1("alice", "example.org", "secret").to_uppercase());
        for (offered, want) in [(Algorithm::Md5, Ok("alice")), (Algorithm::Sha256, Err(Reason::Algorithm))] {
            let mut challenger = Challenger::new("example.org", KEY, policy(&algorithms));
            let challenges = challenger.challenge(at(0), false);
            let one: Vec<String> =
                challenges.into_iter().filter(|c| c.contains(&format!("={},", offered.as_str()))).collect();
            let mut phone = phone("secret", &one);
            let mut headers = vec!["Authorization: Digest realm=\"elsewhere\", nonce=\"x\"".to_owned()];
            for (name, value) in phone.authorize(&mut Rng::from_seed(1), "REGISTER", "sip:example.org", b"") {
                headers.push(format!("{}: {value}", name.as_str()));
            }
            let message = request("REGISTER", "sip:example.org", &headers);
            let lookup = |_: &str| Some(Credential::Ha1(Algorithm::Md5, &md5));
            let got = challenger.verify(at(0), Kind::Www, &message, lookup);
            assert_eq!(got.as_ref().map(|user| user.name.as_str()).map_err(|denied| denied.reason), want);
            let absent = challenger.verify(at(0), Kind::Proxy, &message, lookup);
            assert_eq!(absent, Err(Denied { reason: Reason::Absent, stale: false }));
        }
    }
}
