//! What `tandem.yaml` may hold: the one table for checking, for defaults and for `tandem schema`.

use super::session_timers::SESSION_TIMERS;
use super::{CODECS, is_host, is_uri, read};
use crate::base::yaml::{Shape, Type, key, required};

pub static FILE: Shape = Shape {
    name: "configuration",
    doc: "The configuration of one Tandem. Every text may be env:NAME or file:PATH. Paths are relative to this file's folder.",
    keys: &[
        key("node", NAME, "tandem-1", "This machine's name in records and metrics."),
        key("data_dir", Type::Text, "data", "Where the database and recordings lie."),
        key(
            "store",
            Type::Form("sqlite, or postgres://user@host/db", is_store),
            "sqlite",
            "Where records are kept. PostgreSQL is not yet available.",
        ),
        key("sip", Type::Map(&SIP), "", "Signalling."),
        key("media", Type::Map(&MEDIA), "", "Sound."),
        key("recording", Type::Map(&RECORDING), "", "Recordings of calls and messages."),
        key("http", Type::Map(&HTTP), "", "REST, metrics, health."),
        key("limits", Type::Map(&LIMITS), "", "Limits of the whole switch."),
        key("web", Type::Map(&super::outside::WEB), "", "Webhooks and media by address."),
        key("speech", Type::Map(&super::outside::SPEECH), "", "How text becomes sound."),
        key("parking", Type::Map(&super::parking::PARKING), "", "Where calls are parked."),
        key("capture", Type::Map(&super::visibility::CAPTURE), "", "What is kept of each call's SIP messages."),
        key("hep", Type::Map(&super::visibility::HEP), "", "A capture server that gets a copy of all SIP messages."),
        key("pay", Type::Map(&super::pay::PAY), "", "Payments by phone."),
        key("lcr", Type::Map(&super::routing::LCR), "", "Least-cost routing."),
        key("tolls", Type::List(&Type::Map(&super::routing::TOLL)), "", "Caps on calls to classes of destinations."),
        key("trunks", Type::List(&Type::Map(&TRUNK)), "", "Carriers and other switches."),
        key("users", Type::List(&Type::Map(&USER)), "", "Phones that register."),
        key("dialplans", Type::OneOrMore(&Type::Text), "", "Dialplan files, and folders of them."),
        key("drain_timeout", Type::Duration, "5m", "How long a drain waits for calls to end."),
        key("pci", Type::Bool, "false", "What callers enter is a secret in every call; see README, \"Secret digits\"."),
    ],
    prefixed: None,
};

pub(super) const NAME: Type = Type::Form("a name of letters, digits and . _ + -", is_name);
const COUNT: Type = Type::Int(0, 4_294_967_295);
const SRTP: Type = Type::Choice(&["off", "optional", "required"]);
const CODEC_LIST: Type = Type::List(&Type::Choice(CODECS));

pub static SIP: Shape = Shape {
    name: "sip section",
    doc: "Signalling.",
    keys: &[
        key(
            "domain",
            Type::Form("a host name or an address", is_domain),
            "localhost",
            "Realm of credentials, and the domain of our users.",
        ),
        key(
            "listen",
            Type::OneOrMore(&LISTEN),
            "udp://127.0.0.1:5060",
            "Addresses to listen on; default udp and tcp on 127.0.0.1:5060.",
        ),
        key("external_address", Type::Form("an IP address", is_ip), "", "What peers see of us behind NAT."),
        key("tls", Type::Map(&TLS), "", "Certificate of tls:// listeners; `tandem reload` reads it again."),
        key(
            "local_nets",
            Type::OneOrMore(&NETWORK),
            "",
            "Where peers know us by our own address, not by external_address; default the private networks.",
        ),
        key(
            "websocket_origins",
            Type::OneOrMore(&super::reach::ORIGIN),
            "",
            "Pages that may open WebSockets, by the Origin that browsers send; default any.",
        ),
        key("dns", Type::Map(&super::reach::DNS), "", "How names of hosts are resolved."),
        key(
            "udp_max",
            Type::Int(0, 65_535),
            "1300",
            "Octets: a longer request goes by TCP, if there is a tcp:// listener and the target does not say transport=udp; 0: never.",
        ),
        key("user_agent", Type::Text, "Tandem", "Told in User-Agent and Server."),
        key(
            "anonymous_context",
            NAME,
            "",
            "Where calls enter that are from no trunk and give no credentials; they are refused if missing.",
        ),
        key("guard", Type::Map(&super::edge::GUARD), "", "Who is kept out."),
        key("identity", Type::Map(&super::identity::IDENTITY), "", "Callers' identities, signed and verified."),
        key("session_timers", Type::Map(&SESSION_TIMERS), "", "Refreshing of sessions (RFC 4028)."),
    ],
    prefixed: None,
};

static LISTEN: Type = Type::Form("an address such as udp://127.0.0.1:5060, tcp://… or tls://…", is_listen);

pub static TLS: Shape = Shape {
    name: "tls section",
    doc: "",
    keys: &[
        required("certificate", Type::Text, "PEM file of the certificate chain."),
        required("key", Type::Text, "PEM file of the private key."),
        key(
            "client_ca",
            Type::Text,
            "",
            "PEM file of authorities: peers must show a certificate that one of them signed.",
        ),
        key(
            "client_certificate",
            Type::Choice(&["required", "optional"]),
            "required",
            "optional: a peer may also show none; only with client_ca.",
        ),
    ],
    prefixed: None,
};

pub static TRUNK_TLS: Shape = Shape {
    name: "trunk's tls section",
    doc: "",
    keys: &[
        key("ca", Type::Text, "", "PEM file of the authorities that it is verified by; the system's roots if missing."),
        key(
            "pin",
            Type::OneOrMore(&PIN),
            "",
            "SHA-256 of the certificates that it may show, as `openssl x509 -fingerprint -sha256` prints it; without ca nothing else of them is checked.",
        ),
        key("certificate", Type::Text, "", "PEM file of the certificate chain that we show if asked."),
        key("key", Type::Text, "", "PEM file of its private key."),
        key("verify", Type::Bool, "true", "false: any certificate will do, and anybody in between may listen."),
    ],
    prefixed: None,
};

static PIN: Type = Type::Form("a fingerprint of 32 bytes in hexadecimal, such as 9F:86:…", is_pin);

/// 32 octets as hexadecimal digits, with colons between them or not.
pub fn pin(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|b| *b != b':')
        .map(|b| char::from(b).to_digit(16))
        .map(|d| d.map(|d| d as u8))
        .collect::<Option<_>>()?;
    let octets: Vec<u8> = digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |sum, d| sum << 4 | d)).collect();
    octets.try_into().ok().filter(|_| digits.len() == 64)
}

fn is_pin(text: &str) -> bool {
    pin(text).is_some()
}

pub static HTTP_TLS: Shape = Shape {
    name: "http's tls section",
    doc: "",
    keys: &[
        required("certificate", Type::Text, "PEM file of the certificate chain."),
        required("key", Type::Text, "PEM file of the private key."),
    ],
    prefixed: None,
};

pub static MEDIA: Shape = Shape {
    name: "media section",
    doc: "Sound.",
    keys: &[
        key("address", Type::OneOrMore(&IP), "127.0.0.1", "Where RTP is received; at most one address of each family."),
        key(
            "ports",
            Type::Form("a range of ports such as 30000-39999", is_ports),
            "30000-39999",
            "Ports of RTP (even) and RTCP (odd).",
        ),
        key(
            "threads",
            Type::Form("auto, or a number from 1 to 256", is_threads),
            "auto",
            "Media threads; auto is the number of cores less one.",
        ),
        key("io", Type::Choice(MEDIA_IO), "auto", "How packets pass the kernel; auto: io_uring where it is offered."),
        key(
            "forwarding",
            Type::Choice(FORWARDING),
            "auto",
            "Who passes on plain relay; auto: the kernel where it may (IPv4, Linux 6.6, CAP_BPF and CAP_NET_ADMIN).",
        ),
        key("codecs", CODEC_LIST, "", "What is offered, in order of preference; default opus, g722, pcmu, pcma."),
        key(
            "country",
            Type::Form("a country whose tones are known, such as us, uk or de", is_country),
            "us",
            "Whose tones are played.",
        ),
        key("prompts", Type::Text, "prompts", "Folder of the prompts."),
        key(
            "srtp",
            SRTP,
            "optional",
            "SRTP with keys in the session description. optional: what is offered is taken, and plain RTP offered; required: plain RTP is refused (488), and SRTP offered.",
        ),
        key("rtp_timeout", Type::Duration, "60s", "A leg that hears nothing for so long is ended; 0s never."),
    ],
    prefixed: None,
};

const FORWARDING: &[&str] = &["auto", "kernel", "threads"];
const MEDIA_IO: &[&str] = &["auto", "io_uring", "epoll"];

static IP: Type = Type::Form("an IP address", is_ip);

pub static RECORDING: Shape = Shape {
    name: "recording section",
    doc: "Recordings of calls and messages, in data_dir/recordings.",
    keys: &[
        key(
            "format",
            Type::Choice(&["wav", "ulaw", "opus"]),
            "wav",
            "wav: PCM of 16 bits; ulaw: WAV of G.711, half the size; opus: Opus in Ogg, a fifth, at the price of encoding.",
        ),
        key("channels", Type::Choice(&["dual", "mono"]), "dual", "A channel for each party, or one for both."),
        key("retention", Type::Form("days such as 90d; 0d for ever", is_days), "0d", "Older recordings are removed."),
        key(
            "encryption",
            Type::Map(&ENCRYPTION),
            "",
            "Seals recordings with AES-256-GCM, each under a key of its own.",
        ),
    ],
    prefixed: None,
};

pub static ENCRYPTION: Shape = Shape {
    name: "encryption section",
    doc: "",
    keys: &[
        required("key", Type::Secret, "The key that seals the files' keys: 64 hexadecimal digits, by env: or file:."),
        key("old_keys", Type::OneOrMore(&Type::Secret), "", "Keys of before: what they sealed can still be read."),
    ],
    prefixed: None,
};

/// `90d`.
pub fn days(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('d').filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().filter(|days| *days <= 36_500)
}

fn is_days(text: &str) -> bool {
    days(text).is_some()
}

pub static HTTP: Shape = Shape {
    name: "http section",
    doc: "REST, metrics, health.",
    keys: &[
        key(
            "listen",
            Type::Form("an address and a port such as 127.0.0.1:8080", is_socket),
            "127.0.0.1:8080",
            "Where it listens.",
        ),
        key("auth", Type::Map(&AUTH), "", "Credentials that requests must give."),
        key(
            "behind_proxy",
            Type::Bool,
            "false",
            "A proxy in front speaks TLS, so another address than loopback is safe.",
        ),
        key("tls", Type::Map(&HTTP_TLS), "", "Speak HTTPS and WSS; `tandem reload` reads the certificate again."),
    ],
    prefixed: None,
};

pub static AUTH: Shape = Shape {
    name: "auth section",
    doc: "",
    keys: &[
        required("account_sid", Type::Text, "The account: AC and 32 hexadecimal digits."),
        required("auth_token", Type::Secret, "Its token."),
    ],
    prefixed: None,
};

pub static LIMITS: Shape = Shape {
    name: "limits section",
    doc: "Limits of the whole switch; 0 is none.",
    keys: &[
        key("calls", COUNT, "0", "Calls at once."),
        key("cps", COUNT, "0", "New calls a second."),
        key("call_duration", Type::Duration, "12h", "Longest call, from the answer; 0s is no limit."),
        key("emergency", Type::OneOrMore(&Type::Text), "", "Numbers to which no limit of calls holds, such as 112."),
    ],
    prefixed: None,
};

const REFER: Type = Type::Choice(&["terminate", "pass", "refuse"]);
const DTMF: Type = Type::Choice(&["auto", "rfc4733", "info", "inband"]);

pub static TRUNK: Shape = Shape {
    name: "trunk",
    doc: "A carrier or another switch.",
    keys: &[
        required("name", NAME, "Its name in dialplans and records."),
        key("targets", Type::List(&Type::Short(&TARGET, "uri")), "", "Where calls to it go, tried in order."),
        key(
            "inbound",
            Type::OneOrMore(&super::reach::SOURCE),
            "",
            "Sources that are this trunk without a challenge; of a host's name all of its addresses, as they change.",
        ),
        required("context", NAME, "Where its calls enter the dialplan."),
        key("auth", Type::Map(&CREDENTIALS), "", "How we answer its challenge."),
        key(
            "inbound_auth",
            Type::Map(&CREDENTIALS),
            "",
            "What it answers to ours, when its source is not in `inbound`.",
        ),
        super::byoc::DOMAIN,
        super::byoc::DISASTER,
        key(
            "register",
            Type::Short(&super::edge::REGISTER, "enabled"),
            "",
            "Register with its targets: true, or how. Its calls may then come from anywhere, to our Contact.",
        ),
        key("limits", Type::Map(&TRUNK_LIMITS), "", "Limits of this trunk; 0 is none."),
        key(
            "options_ping",
            Type::Duration,
            "",
            "Ask its targets by OPTIONS so often, and leave out those that do not answer. One that a call finds dead is asked anyway.",
        ),
        key("rates", Type::Text, "", "Its rate card, a CSV file; see README, \"Least cost\"."),
        key("weight", Type::Int(0, 1_000_000), "1", "Its share of the calls among trunks of one price (`lcr`)."),
        key("health", Type::Map(&super::routing::HEALTH), "", "When it is taken out since its calls fare badly."),
        key("headers", Type::Map(&super::manners::HEADERS), "", "What is done to headers."),
        key("caller_id", Type::Map(&super::manners::CALLER_ID), "", "Which header names the caller."),
        key(
            "numbers",
            Type::Map(&super::manners::NUMBERS),
            "",
            "The form of numbers, before the dialplan and after it.",
        ),
        key(
            "options_failures",
            Type::Int(1, 100),
            "1",
            "How many OPTIONS in a row a target misses before it is left out.",
        ),
        key("codecs", CODEC_LIST, "", "What is offered to it; media.codecs if missing."),
        key("media", Type::Choice(&["anchored", "direct"]), "anchored", "direct: no media through Tandem."),
        key("srtp", SRTP, "", "SRTP with it; media.srtp if missing."),
        key("pci", Type::Bool, "false", "What is entered in its calls is a secret."),
        key("dtmf", DTMF, "auto", "How digits reach it; auto: as RFC 4733 where that is negotiated, else as tones."),
        key(
            "redirects",
            Type::Choice(&["follow", "pass", "refuse"]),
            "refuse",
            "What a 3xx does. follow: its contacts are called, in order, as calls of this trunk; pass: the caller gets it; refuse: it is a refusal as others.",
        ),
        key(
            "diversions",
            Type::Choice(&["off", "diversion", "history_info", "both"]),
            "diversion",
            "How it is told that one of our users has forwarded a call to it: Diversion (RFC 5806), History-Info (RFC 7044).",
        ),
        key(
            "refer",
            REFER,
            "terminate",
            "What its REFER does. terminate: we place the call; pass: it is sent on to the other party, and theirs to it; refuse: 403.",
        ),
        key(
            "tls",
            Type::Map(&TRUNK_TLS),
            "",
            "How targets by sips: or transport=tls are verified, and what we show them.",
        ),
        key(
            "identity",
            Type::Map(&super::identity::TRUNK_IDENTITY),
            "",
            "Whether callers' identities are signed and verified.",
        ),
    ],
    prefixed: None,
};

pub(super) static NETWORK: Type = Type::Form("an address or a network such as 192.0.2.0/24", is_network);

pub static TARGET: Shape = Shape {
    name: "target",
    doc: "",
    keys: &[
        required("uri", Type::Form("an address such as sip:127.0.0.1:7070", is_target), "Where to."),
        key("priority", Type::Int(0, 65_535), "0", "Lower is tried first."),
        key("weight", Type::Int(0, 65_535), "1", "Share among targets of one priority."),
    ],
    prefixed: None,
};

pub static CREDENTIALS: Shape = Shape {
    name: "set of credentials",
    doc: "",
    keys: &[required("username", Type::Text, "The name."), required("password", Type::Secret, "The password.")],
    prefixed: None,
};

pub static TRUNK_LIMITS: Shape = Shape {
    name: "set of limits",
    doc: "",
    keys: &[key("calls", COUNT, "0", "Calls at once."), key("cps", COUNT, "0", "New calls a second.")],
    prefixed: None,
};

pub static USER: Shape = Shape {
    name: "user",
    doc: "A phone that registers; it gives a password or its ha1.",
    keys: &[
        required("name", NAME, "What it registers as, and its name in dialplans."),
        key("password", Type::Secret, "", "Its password."),
        key("ha1", Type::Secret, "", "MD5 of name:domain:password, 32 hexadecimal digits, in place of a password."),
        required("context", NAME, "Where its calls enter the dialplan."),
        key("display", Type::Text, "", "Shown as the caller's name."),
        key(
            "numbers",
            Type::OneOrMore(&super::identity::NUMBER),
            "",
            "Numbers that it may call with as its own, beside its name; see sip.identity.",
        ),
        key("srtp", SRTP, "", "SRTP with it; media.srtp if missing."),
        key("dtmf", DTMF, "auto", "How digits reach it; auto: as RFC 4733 where that is negotiated, else as tones."),
        key(
            "redirects",
            Type::Choice(&["follow", "pass", "refuse"]),
            "follow",
            "What a 3xx does. follow: whom the dialplan has for its contacts in our domain, in the user's context, is called; pass: the caller gets it; refuse: it is a refusal as others.",
        ),
        key(
            "refer",
            REFER,
            "terminate",
            "What its REFER does. terminate: we place the call; pass: it is sent on to the other party, and theirs to it; refuse: 403.",
        ),
        key("forward", Type::Map(&super::availability::FORWARD), "", "Where its calls go instead."),
        key(
            "pickup_group",
            Type::OneOrMore(&Type::Text),
            "",
            "Whose ringing calls it may answer: those of users of the same groups.",
        ),
        key("dnd", Type::Bool, "false", "Do not disturb: its phones do not ring, and it is busy (486)."),
        key("call_waiting", Type::Bool, "true", "false: while it rings or talks, it is busy (486) for others."),
    ],
    prefixed: None,
};

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
}

fn is_store(text: &str) -> bool {
    text == "sqlite"
        || ["postgres://", "postgresql://"].iter().any(|p| text.strip_prefix(p).is_some_and(|r| !r.is_empty()))
}

pub(super) fn is_domain(text: &str) -> bool {
    is_host(text) || is_ip(text)
}

fn is_ip(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

fn is_socket(text: &str) -> bool {
    text.parse::<std::net::SocketAddr>().is_ok()
}

fn is_listen(text: &str) -> bool {
    read::listen(text).is_some()
}

fn is_ports(text: &str) -> bool {
    read::ports(text).is_some()
}

fn is_threads(text: &str) -> bool {
    text == "auto" || text.parse::<u16>().is_ok_and(|n| (1..=256).contains(&n))
}

/// A country whose tones are known.
pub fn is_country(text: &str) -> bool {
    codecs::tone::by_name(text, "busy").is_some()
}

fn is_network(text: &str) -> bool {
    read::network(text).is_some()
}

fn is_target(text: &str) -> bool {
    is_uri(text) && !text.starts_with("tel:")
}
