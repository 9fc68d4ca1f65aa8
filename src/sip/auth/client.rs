//! Digest as client: reading challenges and answering them (RFC 7616 §3.4, RFC 3261 §22.2–22.3).

use super::params::{self, Scheme};
use super::{Algorithm, Inputs, Kind, Qop};
use crate::base::pii::Secret;
use crate::base::rng::Rng;
use crate::sip::wire::{HeaderName, Message};

/// Realms that one client answers at a time: the server's and those of proxies on the way.
const REALMS_MAX: usize = 8;

/// Why there is no use in sending the request again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// No challenge in the response.
    NoChallenge,
    /// None that we can answer (scheme, algorithm, qop).
    Unsupported,
    /// Our answer was not accepted.
    Rejected,
}

/// How often one request has answered each realm. Kept by the request's user, new for each new request.
#[derive(Clone, Default, Debug)]
pub struct Tries(Vec<(Kind, String, u8)>);

impl Tries {
    /// True if an answer to this challenge may succeed: it is the first, or the one before was only stale.
    fn another(&mut self, challenge: &Challenge) -> bool {
        let same = |(kind, realm, _): &(Kind, String, u8)| *kind == challenge.kind && *realm == challenge.realm;
        let Some(at) = self.0.iter().position(same) else {
            self.0.push((challenge.kind, challenge.realm.clone(), 1));
            return self.0.len() <= REALMS_MAX;
        };
        let Some((_, _, tries)) = self.0.get_mut(at) else { return false };
        *tries = tries.saturating_add(1);
        *tries == 2 && challenge.stale
    }
}

/// A challenge that we can answer.
#[derive(Clone, Debug)]
struct Challenge {
    kind: Kind,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    session: bool,
    /// The answer names the algorithm if the challenge did.
    names_algorithm: bool,
    qop: Qop,
    stale: bool,
    /// Ours, one a nonce; "" until first used.
    cnonce: String,
    /// Requests answered with this nonce.
    count: u32,
}

impl Challenge {
    fn read(kind: Kind, scheme: &Scheme<'_>) -> Option<Challenge> {
        if !scheme.is_digest() || scheme.get("nonce").is_empty() {
            return None;
        }
        let (algorithm, session) = Algorithm::parse(scheme.get("algorithm"))?;
        let offers = |qop: &str| scheme.get("qop").split(',').any(|o| o.trim().eq_ignore_ascii_case(qop));
        let qop = match scheme.get("qop") {
            "" => Qop::None,
            _ if offers("auth") => Qop::Auth,
            _ if offers("auth-int") => Qop::AuthInt,
            _ => return None,
        };
        let owned = |name: &str| scheme.get(name).to_owned();
        Some(Challenge {
            kind,
            realm: owned("realm"),
            nonce: owned("nonce"),
            opaque: Some(owned("opaque")).filter(|opaque| !opaque.is_empty()),
            algorithm,
            session,
            names_algorithm: !scheme.get("algorithm").is_empty(),
            qop,
            stale: scheme.get("stale").eq_ignore_ascii_case("true"),
            cnonce: String::new(),
            count: 0,
        })
    }

    fn answers_same_as(&self, other: &Challenge) -> bool {
        self.kind == other.kind && self.realm == other.realm
    }
}

/// Answers the challenges of one peer with one set of credentials; nonces are used again, with a rising count, until the
/// peer calls them stale.
#[derive(Debug)]
pub struct DigestClient {
    username: String,
    password: Secret,
    challenges: Vec<Challenge>,
}

impl DigestClient {
    pub fn new(username: &str, password: Secret) -> DigestClient {
        DigestClient { username: username.to_owned(), password, challenges: Vec::new() }
    }

    /// Reads the challenges of a 401 or 407. `Ok`: send the request again, with a new branch, a CSeq one higher, and what
    /// [`DigestClient::authorize`] gives.
    ///
    /// Of several challenges for one realm the strongest that we support is answered; several realms are answered each.
    pub fn challenged(&mut self, response: &Message, tries: &mut Tries) -> Result<(), Refused> {
        let mut chosen: Vec<Challenge> = Vec::new();
        let mut any = false;
        for kind in [Kind::Www, Kind::Proxy] {
            for scheme in response.headers(kind.challenge_header()).flat_map(params::parse) {
                any = true;
                let Some(challenge) = Challenge::read(kind, &scheme) else { continue };
                match chosen.iter_mut().find(|c| c.answers_same_as(&challenge)) {
                    Some(best) if best.algorithm < challenge.algorithm => *best = challenge,
                    Some(_) => {}
                    None => chosen.push(challenge),
                }
            }
        }
        if chosen.is_empty() {
            return Err(if any { Refused::Unsupported } else { Refused::NoChallenge });
        }
        for challenge in chosen {
            if !tries.another(&challenge) {
                self.challenges.retain(|c| !c.answers_same_as(&challenge));
                return Err(Refused::Rejected);
            }
            self.keep(challenge);
        }
        Ok(())
    }

    /// Header fields for a request: one for each realm that has challenged. Empty before the first challenge.
    pub fn authorize(&mut self, rng: &mut Rng, method: &str, uri: &str, body: &[u8]) -> Vec<(HeaderName, String)> {
        let (username, password) = (&self.username, &self.password);
        let answer =
            |c: &mut Challenge| (c.kind.answer_header(), answer(c, rng, (username, password), (method, uri, body)));
        self.challenges.iter_mut().map(answer).collect()
    }

    fn keep(&mut self, challenge: Challenge) {
        self.challenges.retain(|c| !c.answers_same_as(&challenge));
        if self.challenges.len() == REALMS_MAX {
            self.challenges.remove(0);
        }
        self.challenges.push(challenge);
    }
}

fn answer(
    challenge: &mut Challenge,
    rng: &mut Rng,
    (username, password): (&str, &Secret),
    request: (&str, &str, &[u8]),
) -> String {
    if challenge.cnonce.is_empty() {
        challenge.cnonce = format!("{:016x}", rng.next_u64());
    }
    challenge.count = challenge.count.saturating_add(1);
    let nc = format!("{:08x}", challenge.count);
    let (method, uri, body) = request;
    let Challenge { algorithm, session, qop, nonce, cnonce, realm, .. } = &*challenge;
    let (algorithm, session, qop) = (*algorithm, *session, *qop);
    let inputs = Inputs { algorithm, session, qop, nonce, cnonce, nc: &nc, method, uri, body };
    let response = inputs.response(&algorithm.ha1(username, realm, password.expose()));
    let mut writer = params::Writer::new()
        .quoted("username", username)
        .quoted("realm", realm)
        .quoted("nonce", nonce)
        .quoted("uri", uri)
        .quoted("response", &response);
    if challenge.names_algorithm {
        let suffix = if session { "-sess" } else { "" };
        writer = writer.token("algorithm", &format!("{}{suffix}", algorithm.as_str()));
    }
    let qop = match qop {
        Qop::None => "",
        Qop::Auth => "auth",
        Qop::AuthInt => "auth-int",
    };
    if !qop.is_empty() {
        writer = writer.token("qop", qop).token("nc", &nc);
    }
    if !qop.is_empty() || session {
        writer = writer.quoted("cnonce", cnonce);
    }
    match &challenge.opaque {
        Some(opaque) => writer.quoted("opaque", opaque).finish(),
        None => writer.finish(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::response;
    use super::*;

    fn client() -> DigestClient {
        DigestClient::new("al\"ice", Secret::new("secret".into()))
    }

    /// What the client answers, with the values that differ from run to run cut out.
    fn answers(client: &mut DigestClient) -> String {
        let mut out = String::new();
        for (name, value) in client.authorize(&mut Rng::from_seed(1), "INVITE", "sip:b@x", b"body") {
            let read = params::parse(&value);
            let get = |name| read[0].get(name).to_owned();
            out += &format!("{} {} n={} q={} nc={} ", name.as_str(), get("realm"), get("nonce"), get("qop"), get("nc"));
            out += &format!(
                "a={} o={} c={} r={};",
                get("algorithm"),
                get("opaque"),
                get("cnonce").len(),
                get("response").len()
            );
            assert_eq!((get("username"), get("uri")), ("al\"ice".to_owned(), "sip:b@x".to_owned()));
        }
        out
    }

    #[test]
    fn the_strongest_challenge_of_each_realm_is_answered() {
        let rows: [(u16, &[&str], &str); 8] = [
            (401, &[r#"Digest realm="r", nonce="1""#], "Authorization r n=1 q= nc= a= o= c=0 r=32;"),
            (
                407,
                &[r#"Digest realm="r", nonce="1", qop="auth", algorithm=MD5, opaque="x""#],
                "Proxy-Authorization r n=1 q=auth nc=00000001 a=MD5 o=x c=16 r=32;",
            ),
            (
                401,
                &[
                    r#"Digest realm="r", nonce="1", algorithm=MD5"#,
                    r#"Digest realm="r", nonce="2", algorithm=SHA-512-256, qop="auth-int,auth""#,
                    r#"Digest realm="r", nonce="3", algorithm=SHA-256, qop="auth""#,
                    r#"Digest realm="r", nonce="4", algorithm=SHA-3, qop="auth""#,
                ],
                "Authorization r n=2 q=auth nc=00000001 a=SHA-512-256 o= c=16 r=64;",
            ),
            (
                401,
                &[r#"Digest realm="r", nonce="1", algorithm=md5-sess, qop=auth-int"#],
                "Authorization r n=1 q=auth-int nc=00000001 a=MD5-sess o= c=16 r=32;",
            ),
            (
                407,
                &[r#"Digest realm="r", nonce="1""#, r#"Digest realm="s", nonce="2""#, r#"Basic realm="t""#],
                "Proxy-Authorization r n=1 q= nc= a= o= c=0 r=32;Proxy-Authorization s n=2 q= nc= a= o= c=0 r=32;",
            ),
            (401, &[r#"Basic realm="r""#], "Unsupported"),
            (401, &[r#"Digest realm="r", nonce="1", qop="other""#], "Unsupported"),
            (401, &[], "NoChallenge"),
        ];
        for (status, challenges, want) in rows {
            let mut client = client();
            let got = match client.challenged(&response(status, challenges), &mut Tries::default()) {
                Ok(()) => answers(&mut client),
                Err(refused) => format!("{refused:?}"),
            };
            assert_eq!(got, want, "{challenges:?}");
        }
    }

    #[test]
    fn a_rejected_answer_is_not_sent_again_and_a_stale_one_once() {
        let plain = r#"Digest realm="r", nonce="1", qop="auth""#;
        let stale = r#"Digest realm="r", nonce="2", qop="auth", stale=true"#;
        let rows: [(&[&str], &[bool]); 4] = [
            (&[plain, plain], &[true, false]),
            (&[plain, stale], &[true, true]),
            (&[plain, stale, stale], &[true, true, false]),
            (&[stale, stale, plain], &[true, true, false]),
        ];
        for (challenges, want) in rows {
            let (mut client, mut tries) = (client(), Tries::default());
            let mut got = Vec::new();
            for challenge in challenges {
                got.push(client.challenged(&response(407, &[challenge]), &mut tries).is_ok());
            }
            assert_eq!(got, want, "{challenges:?}");
        }
        // A realm behind the first: answered in its turn.
        let (mut client, mut tries) = (client(), Tries::default());
        assert_eq!(client.challenged(&response(407, &[plain]), &mut tries), Ok(()));
        assert_eq!(client.challenged(&response(401, &[plain]), &mut tries), Ok(()));
    }

    #[test]
    fn counts_rise_on_one_nonce_and_begin_anew_on_the_next() {
        let mut client = client();
        assert_eq!(answers(&mut client), "");
        for (nonce, want) in [("1", ["00000001", "00000002"]), ("2", ["00000001", "00000002"])] {
            let challenge = format!(r#"Digest realm="r", nonce="{nonce}", qop="auth""#);
            assert_eq!(client.challenged(&response(401, &[&challenge]), &mut Tries::default()), Ok(()));
            for nc in want {
                assert!(answers(&mut client).contains(&format!("n={nonce} q=auth nc={nc}")));
            }
        }
    }
}
