use super::*;
use crate::base::yaml::Fault;
use proptest::prelude::*;

struct Given;

impl Secrets for Given {
    fn env(&self, name: &str) -> Option<String> {
        (name == "ACME_PASSWORD").then(|| "s3cret".to_owned())
    }
    fn file(&self, path: &str) -> Result<String, String> {
        if path == "token" { Ok("t0ken\n".into()) } else { Err("there is no such file".into()) }
    }
}

fn read(text: &str) -> Result<Located, Vec<Fault>> {
    Config::read("t.yaml", text, &Given)
}

const FULL: &str = r#"
node: tandem-1
data_dir: ./data
store: sqlite
sip:
  domain: pbx.example.com
  listen: [udp://127.0.0.1:5060, tcp://127.0.0.1:5060, tls://127.0.0.1:5061]
  external_address: 203.0.113.5
  tls: { certificate: cert.pem, key: key.pem }
media:
  address: 127.0.0.1
  ports: 30000-39999
  threads: auto
  codecs: [opus, g722, pcmu, pcma]
http:
  listen: 127.0.0.1:8080
  auth: { account_sid: AC00, auth_token: file:token }
trunks:
  - name: acme
    targets: [sip:127.0.0.1:7070, { uri: "sip:b:5070;transport=tcp", priority: 1, weight: 5 }]
    inbound: [127.0.0.1/32, 2001:db8::/32]
    context: from-carrier
    auth: { username: tandem, password: env:ACME_PASSWORD }
    register: false
    limits: { calls: 500, cps: 50 }
    options_ping: 30s
    codecs: [pcmu, pcma]
users:
  - name: alice
    password: secret
    context: internal
  - { name: "007", ha1: 0123456789abcdef0123456789ABCDEF, context: internal, display: James }
dialplans: [dialplans/]
capture: { enabled: true, memory_mb: 8, per_call_kb: 64, keep: 5m, ended: 3 }
hep: { target: "tcp://[2001:db8::9]:9060", id: 7, password: h3p }
"#;

/// A trunk that uses every word of the edge.
const EDGE: &str = r#"
sip:
  guard: { requests: 20/s, ban: { failures: 5, within: 2m, for: 1h }, allow: [10.0.0.0/8], late: 50ms }
trunks:
  - name: gamma
    context: c
    targets: [sip:sbc.gamma.example]
    register: { expires: 5m, contact_user: "4930123", domain: gamma.example }
    headers: { inbound: [ { remove: [X-A, X-B] }, { pass: X-C } ], outbound: [ { add: { X-D: d } }, { replace: { X-E: e } } ] }
    caller_id: { from: rpid, send: pai, privacy: ignore, user: "4930123", domain: gamma.example }
    numbers: { country: 49, inbound: [ { match: /^9(.*)$/, to: "$1" } ], outbound: [ { match: "112", to: "110" } ] }
    rates: gamma.csv
    weight: 3
    health: { asr: 20, acd: 10s, pdd: 8s, mos: 3.5, window: 10m, samples: 5, rest: 1m }
lcr: { currency: EUR, timezone: Europe/Berlin, max_price: 0.5, quality: { asr: 30, mos: 3.25 } }
tolls:
  - { name: premium, prefixes: ["+1900"], except: "190055", per: trunk, calls: 2, calls_per_hour: 9, spend_per_hour: 1.5, hours: "20:00-07:00", then: alert, status: 403 }
  - { name: all, calls: 0 }
"#;

#[test]
fn the_edge_of_a_trunk_is_read() {
    let mut config = read(EDGE).unwrap().config;
    let trunk = config.trunks.remove(0);
    let manners = &trunk.manners;
    assert_eq!((manners.headers_in.len(), manners.headers_out.len(), manners.numbers_in.len()), (3, 2, 3));
    assert_eq!(manners.headers_out[0], HeaderRule::Add("X-D".into(), "d".into()));
    assert_eq!((manners.caller_id.from, manners.caller_id.send), (Identity::Rpid, Some(Identity::Pai)));
    let guard = config.sip.guard;
    assert_eq!((guard.requests, guard.ban.failures, guard.late), (20, 5, Duration::from_millis(50)));
    assert_eq!((guard.ban.duration, guard.allow.len()), (Duration::from_secs(3600), 1));
    let default = Config::default().sip.guard;
    assert!(default.allow.iter().any(|n| n.contains("127.0.0.9".parse().unwrap())) && default.requests == 50);
    let (expires, text) = (Duration::from_secs(300), |t: &str| Some(t.to_owned()));
    let want = Register { expires, contact_user: text("4930123"), domain: text("gamma.example") };
    assert_eq!(trunk.register, Some(want));
    let short = "trunks: [ { name: a, context: c, targets: [sip:10.0.0.1], register: true } ]";
    let want = Register { expires: Duration::from_secs(600), contact_user: None, domain: None };
    assert_eq!(read(short).unwrap().config.trunks[0].register, Some(want));
}

#[test]
fn the_whole_file_is_read() {
    let located = read(FULL).unwrap();
    let c = &located.config;
    assert_eq!((c.node.as_str(), c.sip.domain.as_str(), c.sip.listen.len()), ("tandem-1", "pbx.example.com", 3));
    let kept = Capture { enabled: true, memory: 8_000_000, per_call: 64_000, keep: Duration::from_secs(300), ended: 3 };
    assert_eq!(c.capture, kept);
    let hep = c.hep.as_ref().unwrap();
    assert_eq!((hep.is_tcp, hep.target.as_str(), hep.id), (true, "[2001:db8::9]:9060", 7));
    assert_eq!(hep.password, Some(Secret::new("h3p".into())));
    assert!(read("hep: { target: \"udp://10.0.0.1\" }").is_err() && read("hep: { id: 1 }").is_err());
    assert_eq!((c.media.ports, c.media.threads, c.media.codecs.len()), ((30_000, 39_999), None, 4));
    assert_eq!(c.http.auth_token, Some(Secret::new("t0ken".into())));
    let trunk = c.trunks.first().unwrap();
    assert_eq!((trunk.calls_max, trunk.cps_max, trunk.options_ping), (500, 50, Some(Duration::from_secs(30))));
    assert_eq!(trunk.auth.as_ref().unwrap().password, Secret::new("s3cret".into()));
    let targets: Vec<_> = trunk.targets.iter().map(|t| (t.uri.as_str(), t.priority, t.weight)).collect();
    assert_eq!(targets, [("sip:127.0.0.1:7070", 0, 1), ("sip:b:5070;transport=tcp", 1, 5)]);
    let james = c.users.get(1).unwrap();
    assert_eq!((james.name.as_str(), james.display.as_deref()), ("007", Some("James")));
    assert_eq!(james.secret, UserSecret::Ha1(Secret::new("0123456789abcdef0123456789abcdef".into())));
    let named: Vec<_> = located.contexts.iter().map(|n| (n.name.as_str(), n.whose.as_str(), n.at.line)).collect();
    assert_eq!(
        named,
        [("from-carrier", "trunk acme", 22), ("internal", "user alice", 31), ("internal", "user 007", 32)]
    );
}

#[test]
fn what_is_printed_reads_as_the_same_without_its_secrets() {
    let tls = "trunks: [ { name: a, context: c, inbound: 10.0.0.1, tls: { ca: ca.pem, certificate: c.pem, key: k.pem, verify: false, pin: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 } } ]\nsip: { tls: { certificate: c, key: k, client_ca: ca, client_certificate: optional } }\nhttp: { listen: 10.0.0.1:443, tls: { certificate: c, key: k }, auth: { account_sid: a, auth_token: t0ken } }";
    for text in [FULL, "", tls, "trunks: [ { name: a, context: c, inbound: 10.0.0.0/8, media: direct } ]", EDGE] {
        let config = read(text).unwrap().config;
        let printed = to_yaml(&config);
        for secret in ["s3cret", "t0ken", "h3p", "password: secret", "0123456789abcdef"] {
            assert!(!printed.contains(secret), "{printed}");
        }
        let again = printed.replace("ha1: <secret>", "ha1: 0123456789abcdef0123456789abcdef");
        let read_again = read(&again).unwrap().config;
        assert_eq!(to_yaml(&read_again), printed);
        assert_eq!((read_again.sip, read_again.media, read_again.limits), (config.sip, config.media, config.limits));
        let tls = |c: &[Trunk]| c.iter().map(|t| t.tls.clone()).collect::<Vec<_>>();
        let manners = |c: &[Trunk]| c.iter().map(|t| t.manners.clone()).collect::<Vec<_>>();
        assert_eq!(manners(&read_again.trunks), manners(&config.trunks));
        assert_eq!((tls(&read_again.trunks), read_again.http.tls), (tls(&config.trunks), config.http.tls));
    }
}

#[test]
fn an_empty_file_means_the_defaults() {
    let c = Config::default();
    let listen: Vec<_> = c.sip.listen.iter().map(|l| (l.scheme, l.address.to_string())).collect();
    assert_eq!(listen, [(Scheme::Udp, "127.0.0.1:5060".into()), (Scheme::Tcp, "127.0.0.1:5060".into())]);
    assert_eq!((c.limits.calls, c.limits.call_duration), (0, Duration::from_secs(12 * 3600)));
    assert_eq!((c.media.rtp_timeout, c.drain_timeout), (Some(Duration::from_secs(60)), Duration::from_secs(300)));
    assert!(c.trunks.is_empty() && c.sip.anonymous_context.is_none() && c.http.listen.ip().is_loopback());
}

/// Each text and its only fault.
fn check_faults(rows: &[(&str, &str)]) {
    for (text, want) in rows {
        let faults = read(text).expect_err(text);
        assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), [*want], "{text}");
    }
}

#[test]
fn faults_of_sections_say_where_and_what_was_expected() {
    check_faults(&[
        (
            "nod: x",
            "t.yaml:1:1: unknown key \"nod\" in a configuration; did you mean \"node\"? Known: node, data_dir, store, sip, media, recording, http, limits, web, speech, parking, capture, hep, pay, lcr, tolls, trunks, users, dialplans, drain_timeout, pci",
        ),
        (
            "drain_timeout: 20",
            "t.yaml:1:16: the duration 20 has no unit; expected a number and a unit, such as 20s, 500ms or 1m30s",
        ),
        ("sip: { session_timers: { min_se: 60s } }", "t.yaml:1:34: min_se of 60s; expected 90s to 86400s"),
        (
            "sip: { session_timers: { min_se: 2m, expires: 100s } }",
            "t.yaml:1:47: expires of 100s; expected 120s to 86400s",
        ),
        (
            "sip: { listen: 5060 }",
            "t.yaml:1:16: \"5060\" does not fit; expected an address such as udp://127.0.0.1:5060, tcp://… or tls://…",
        ),
        (
            "sip: { listen: [udp://127.0.0.1:5060, udp://127.0.0.1:5060] }",
            "t.yaml:1:39: \"udp://127.0.0.1:5060\" stands twice; expected each address once",
        ),
        (
            "sip: { listen: tls://127.0.0.1:5061 }",
            "t.yaml:1:16: \"tls://127.0.0.1:5061\" needs a certificate; expected sip.tls with its certificate and key",
        ),
        (
            "sip: { listen: udp://0.0.0.0:5060 }",
            "t.yaml:1:16: peers cannot be told an address that stands for all; expected the address of one interface, or sip.external_address beside it",
        ),
        (
            "media: { ports: 40000-30000 }",
            "t.yaml:1:17: \"40000-30000\" does not fit; expected a range of ports such as 30000-39999",
        ),
        (
            "media: { ports: 65535-65535 }",
            "t.yaml:1:17: \"65535-65535\" does not fit; expected a range of ports such as 30000-39999",
        ),
        (
            "media: { codecs: [pcmu, pcmx] }",
            "t.yaml:1:25: unknown value \"pcmx\"; did you mean \"pcmu\"? Known: opus, g722, pcmu, pcma, g729, g723, g728, gsm, ilbc, speex, amr, amr-wb",
        ),
        (
            "recording: { encryption: { key: env:NOPE } }",
            "t.yaml:1:33: the environment has no NOPE; expected it to be set",
        ),
        (
            "recording: { encryption: { key: abc } }",
            "t.yaml:1:33: this is no key for recordings; expected 32 bytes as 64 hexadecimal digits, as `openssl rand -hex 32` makes them",
        ),
        (
            "media: { address: [127.0.0.1, 10.0.0.1] }",
            "t.yaml:1:31: a second IPv4 address, \"10.0.0.1\"; expected at most one address of each family",
        ),
    ]);
}

#[test]
fn faults_of_prices_and_caps_say_where() {
    check_faults(&[
        (
            "tolls: [ { name: t } ]",
            "t.yaml:1:10: toll t caps nothing; expected calls, calls_per_hour or spend_per_hour",
        ),
        (
            "tolls: [ { name: t, spend_per_hour: 5 } ]",
            "t.yaml:1:37: spend without prices; expected rates of at least one trunk",
        ),
        (
            "tolls: [ { name: t, calls: 1, prefixes: dear } ]",
            "t.yaml:1:41: \"dear\" does not fit; expected leading digits of a number such as +4490",
        ),
        ("lcr: { max_price: much }", "t.yaml:1:19: \"much\" does not fit; expected an amount such as 0.50"),
        (
            "lcr: { quality: { mos: 7 } }",
            "t.yaml:1:24: \"7\" does not fit; expected a mean opinion score from 1 to 5 such as 3.5",
        ),
    ]);
}

#[test]
fn faults_of_peers_say_where_and_what_was_expected() {
    check_faults(&[
        (
            "http: { listen: 0.0.0.0:8080 }",
            "t.yaml:1:17: 0.0.0.0:8080 is not loopback, and credentials would travel unencrypted; expected a loopback address, http.tls, or behind_proxy: true if a proxy in front of it speaks TLS",
        ),
        (
            "http: { listen: 10.0.0.1:8080, behind_proxy: true }",
            "t.yaml:1:17: 10.0.0.1:8080 is not loopback, and anybody could give orders; expected http.auth with account_sid and auth_token",
        ),
        (
            "http: { auth: { account_sid: AC, auth_token: env:NOPE } }",
            "t.yaml:1:46: the environment has no NOPE; expected it to be set",
        ),
        (
            "node: file:nothing",
            "t.yaml:1:7: the file nothing cannot be read: there is no such file; expected a readable file",
        ),
        (
            "drain_timeout: env:ACME_PASSWORD",
            "t.yaml:1:16: \"env:ACME_PASSWORD\" is no duration; expected a number and a unit, such as 20s, 500ms or 1m30s",
        ),
        (
            "trunks: [ { name: a, context: c } ]",
            "t.yaml:1:11: trunk a can neither be called nor call; expected targets, inbound or inbound_auth",
        ),
        (
            "trunks: [ { name: a, context: c, targets: [ sip:a, { uri: sips:b.example } ] } ]",
            "t.yaml:1:59: \"sips:b.example\" is reached by TLS, and nothing listens there; expected a tls:// address in sip.listen beside it",
        ),
        (
            "sip: { dns: { servers: [ 10.0.0.1, ns.example ] } }",
            "t.yaml:1:36: \"ns.example\" does not fit; expected an address such as 192.0.2.53 or 127.0.0.1:5353",
        ),
        (
            "trunks: [ { name: a, context: c, inbound: 10.0.0.1/8 } ]",
            "t.yaml:1:43: \"10.0.0.1/8\" does not fit; expected an address, a network such as 192.0.2.0/24, or the name of a host",
        ),
        (
            "trunks: [ { name: a, context: c, targets: [carrier] } ]",
            "t.yaml:1:44: \"carrier\" does not fit; expected an address such as sip:127.0.0.1:7070",
        ),
        (
            "trunks: [ { name: a, context: c, inbound: 10.0.0.1 }, { name: b, context: c, inbound: 10.0.0.1/32 } ]",
            "t.yaml:1:87: \"10.0.0.1/32\" stands twice, first at 1:43; expected each source in one trunk",
        ),
        (
            "trunks: [ { name: a, context: c, inbound: 10.0.0.1, register: true } ]",
            "t.yaml:1:63: trunk a has nobody to register with; expected targets beside it",
        ),
        (
            "trunks: [ { name: a, context: c, targets: [sip:10.0.0.1], register: { expires: 5s } } ]",
            "t.yaml:1:80: \"5s\" cannot be asked for; expected 20s to 24h",
        ),
        (
            "trunks: [ { name: a, context: c, inbound: 10.0.0.1, headers: { outbound: [ { remove: Via } ] } } ]",
            "t.yaml:1:86: Tandem writes Via itself; expected another header",
        ),
        (
            "trunks: [ { name: a, context: c, inbound: 10.0.0.1, headers: { outbound: [ { add: { X-A: 1 }, remove: X-B } ] } } ]",
            "t.yaml:1:76: this is no header rule; expected one of add, remove, replace, pass",
        ),
        (
            "trunks: [ { name: a, context: c, targets: [sip:10.0.0.1], register: yes } ]",
            "t.yaml:1:69: \"yes\" is neither true nor false; expected true or false",
        ),
        (
            "users: [ { name: a, context: c, password: x }, { name: a, context: c, password: x } ]",
            "t.yaml:1:56: a second user \"a\", first at 1:18; expected a name of its own for each",
        ),
        (
            "users: [ { name: a, context: c } ]",
            "t.yaml:1:10: user a has neither a password nor a ha1; expected one of them",
        ),
        (
            "users: [ { name: a, context: c, ha1: 12 } ]",
            "t.yaml:1:38: the ha1 of user a is none; expected 32 hexadecimal digits: MD5 of name:domain:password",
        ),
        (
            "users: [ { name: a, password: x } ]",
            "t.yaml:1:10: this user has no \"context\"; expected a name of letters, digits and . _ + -: Where its calls enter the dialplan.",
        ),
        ("users: { name: a }", "t.yaml:1:8: a mapping stands here; expected a list"),
        (
            "- a",
            "t.yaml:1:1: a list stands here; expected the keys of a configuration: node, data_dir, store, sip, media, recording, http, limits, web, speech, parking, capture, hep, pay, lcr, tolls, trunks, users, dialplans, drain_timeout, pci",
        ),
    ]);
    let secret = read("users: [ { name: a, context: c, password: hunter2, ha1: hunter2 } ]").expect_err("both");
    assert!(!format!("{secret:?}").contains("hunter2"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The whole file with something else in the place of one line, or cut: read or refused, never a panic.
    #[test]
    fn any_text_is_read_or_refused(line in 0..40usize, instead in "[ a-z:{}\\[\\],/.0-9-]{0,30}|\\PC{0,20}", cut in 0..1_500usize) {
        let mut lines: Vec<&str> = FULL.lines().collect();
        if let Some(place) = lines.get_mut(line) {
            *place = &instead;
        }
        let text: String = lines.join("\n").chars().take(cut).collect();
        let _ = read(&text);
    }
}
