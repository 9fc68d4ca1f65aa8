//! The configuration in force, as YAML that can be read again. The only place that names the YAML writer.

use super::{
    Capture, Certificate, Config, Credentials, Forwarding, Guard, HeaderRule, Hep, Lcr, ListenerTls, Manners, MediaIo,
    NumberRule, Quality, RecogniserKind, Register, Toll, Trunk, TrunkTls, User, UserSecret,
    identity::{Identities, TrunkIdentity},
};
use crate::base::money::Money;
use crate::base::time::Duration;
use crate::base::yaml::write_duration;
use serde_yaml::{Mapping, Value};
use std::path::Path;

/// What stands in the place of a secret.
const REDACTED: &str = "<secret>";

/// Every value in force, defaults too; secrets are redacted. Paths as they are.
pub fn to_yaml(config: &Config) -> String {
    let mut out = map([
        ("node", text(&config.node)),
        ("data_dir", text(&config.data_dir.display().to_string())),
        ("store", text(&config.store)),
        ("sip", sip(config)),
        ("media", media(config)),
        ("recording", recording(config)),
        ("http", http(config)),
        ("limits", limits(config)),
        ("web", web(config)),
        ("speech", speech(config)),
    ]);
    if let Value::Mapping(m) = &mut out {
        put(
            m,
            "parking",
            map([("slots", text(&config.parking.shown())), ("timeout", duration(config.parking.timeout))]),
        );
        put(m, "capture", capture(&config.capture));
        if let Some(target) = &config.hep {
            put(m, "hep", hep(target));
        }
        put(m, "pay", pay(config));
        put(m, "lcr", lcr(&config.lcr));
        put(m, "tolls", Value::Sequence(config.tolls.iter().map(toll).collect()));
        put(m, "trunks", Value::Sequence(config.trunks.iter().map(trunk).collect()));
        put(m, "users", Value::Sequence(config.users.iter().map(user).collect()));
        put(m, "dialplans", list(config.dialplans.iter().map(|p| p.display().to_string())));
        put(m, "drain_timeout", duration(config.drain_timeout));
        put(m, "pci", config.pci.into());
    }
    serde_yaml::to_string(&out).unwrap_or_default()
}

fn capture(capture: &Capture) -> Value {
    map([
        ("enabled", capture.enabled.into()),
        ("memory_mb", (capture.memory as u64 / 1_000_000).into()),
        ("per_call_kb", (capture.per_call as u64 / 1_000).into()),
        ("keep", duration(capture.keep)),
        ("ended", (capture.ended as u64).into()),
    ])
}

fn hep(hep: &Hep) -> Value {
    let scheme = if hep.is_tcp { "tcp" } else { "udp" };
    let mut m = vec![("target", text(&format!("{scheme}://{}", hep.target))), ("id", hep.id.into())];
    m.extend(hep.password.as_ref().map(|_| ("password", text(REDACTED))));
    map(m)
}

fn amount(micros: u64) -> Value {
    text(&Money(micros).to_string())
}

fn quality(q: &Quality) -> Vec<(&'static str, Value)> {
    let mut m = vec![("asr", q.asr.into()), ("acd", duration(q.acd)), ("pdd", duration(q.pdd))];
    m.extend((q.mos > 0).then(|| ("mos", amount(u64::from(q.mos) * 10_000))));
    m
}

fn lcr(lcr: &Lcr) -> Value {
    let mut m = vec![("currency", text(&lcr.currency)), ("timezone", text(&lcr.timezone))];
    m.extend(lcr.max_price.map(|price| ("max_price", amount(price))));
    m.push(("quality", map(quality(&lcr.quality))));
    map(m)
}

fn toll(toll: &Toll) -> Value {
    let mut m = vec![("name", text(&toll.name)), ("per", text(toll.per.as_str()))];
    for (key, prefixes) in [("prefixes", &toll.prefixes), ("except", &toll.except)] {
        m.extend((!prefixes.is_empty()).then(|| (key, list(prefixes.iter().cloned()))));
    }
    m.extend(toll.calls.map(|n| ("calls", n.into())));
    m.extend(toll.calls_per_hour.map(|n| ("calls_per_hour", n.into())));
    m.extend(toll.spend_per_hour.map(|n| ("spend_per_hour", amount(n))));
    m.extend(toll.hours.as_ref().map(|hours| ("hours", text(hours))));
    m.push(("then", text(if toll.stops { "refuse" } else { "alert" })));
    m.push(("status", toll.status.into()));
    map(m)
}

fn pay(config: &Config) -> Value {
    let connector = |c: &super::pay::Connector| {
        let mut m = vec![("name", text(&c.name)), ("type", text(c.kind.as_str())), ("url", text(&c.url))];
        match (&c.authorization, c.kind) {
            (Some(_), super::pay::Kind::Stripe) => m.push(("key", text(REDACTED))),
            (Some(_), super::pay::Kind::Generic) => {
                m.extend([("username", text(REDACTED)), ("password", text(REDACTED))]);
            }
            (None, _) => {}
        }
        map(m)
    };
    map([("connectors", Value::Sequence(config.pay.iter().map(connector).collect()))])
}

fn sip(config: &Config) -> Value {
    let listen = config.sip.listen.iter().map(|l| format!("{}://{}", l.scheme.as_str(), l.address));
    let mut m = vec![("domain", text(&config.sip.domain)), ("listen", list(listen))];
    m.extend(config.sip.external_address.map(|a| ("external_address", text(&a.to_string()))));
    m.extend(config.sip.tls.as_ref().map(|tls| ("tls", listener_tls(tls))));
    m.push(("user_agent", text(&config.sip.user_agent)));
    m.extend(config.sip.anonymous_context.iter().map(|c| ("anonymous_context", text(c))));
    let reach = &config.sip.reach;
    if !reach.name_servers.is_empty() {
        m.push(("dns", map([("servers", list(reach.name_servers.iter().map(ToString::to_string)))])));
    }
    m.push(("local_nets", list(reach.local_nets.iter().map(|n| format!("{}/{}", n.address, n.prefix)))));
    if !reach.websocket_origins.is_empty() {
        m.push(("websocket_origins", list(reach.websocket_origins.iter().cloned())));
    }
    m.push(("udp_max", (reach.udp_max as u64).into()));
    m.push(("guard", guard(&config.sip.guard)));
    m.push(("identity", identity(&config.sip.identity)));
    let timers = config.sip.session_timers;
    let seconds = |s: u32| duration(Duration::from_secs(u64::from(s)));
    m.push((
        "session_timers",
        map([
            ("expires", seconds(timers.expires_s)),
            ("min_se", seconds(timers.min_se_s)),
            ("refresher", text(timers.refresher.as_str())),
        ]),
    ));
    map(m)
}

fn identity(identity: &Identities) -> Value {
    let mut m = Vec::new();
    if let Some(signing) = &identity.signing {
        m.extend(certificate(&signing.own));
        m.push(("x5u", text(&signing.x5u)));
        m.extend(signing.origid.iter().map(|id| ("origid", text(id))));
    }
    m.push(("numbers", list(identity.numbers.iter().cloned())));
    m.extend(identity.roots.as_ref().map(|roots| ("roots", path(roots))));
    m.extend([("fresh", duration(identity.fresh)), ("wait", duration(identity.wait))]);
    m.push(("verstat", text(identity.verstat.as_str())));
    map(m)
}

fn trunk_identity(identity: &TrunkIdentity) -> Value {
    let mut m = vec![("sign", text(identity.sign.as_str())), ("verify", text(identity.verify.as_str()))];
    m.extend(identity.numbers.as_ref().map(|numbers| ("numbers", list(numbers.iter().cloned()))));
    map(m)
}

fn path(path: &Path) -> Value {
    text(&path.display().to_string())
}

fn certificate(own: &Certificate) -> Vec<(&'static str, Value)> {
    vec![("certificate", path(&own.certificate)), ("key", path(&own.key))]
}

fn listener_tls(tls: &ListenerTls) -> Value {
    let mut m = certificate(&tls.own);
    if let Some(ca) = &tls.client_ca {
        m.push(("client_ca", path(ca)));
        m.push(("client_certificate", text(if tls.client_optional { "optional" } else { "required" })));
    }
    map(m)
}

fn trunk_tls(tls: &TrunkTls) -> Value {
    let mut m = tls.own.as_ref().map(certificate).unwrap_or_default();
    m.extend(tls.ca.as_ref().map(|ca| ("ca", path(ca))));
    let pins = tls.pins.iter().map(|pin| pin.map(|b| format!("{b:02X}")).join(":"));
    m.push(("pin", list(pins)));
    m.push(("verify", Value::Bool(tls.verify)));
    map(m)
}

fn guard(guard: &Guard) -> Value {
    let ban = map([
        ("failures", guard.ban.failures.into()),
        ("within", duration(guard.ban.within)),
        ("for", duration(guard.ban.duration)),
    ]);
    map([
        ("requests", text(&format!("{}/s", guard.requests))),
        ("ban", ban),
        ("allow", list(guard.allow.iter().map(|n| format!("{}/{}", n.address, n.prefix)))),
        ("late", duration(guard.late)),
    ])
}

fn media(config: &Config) -> Value {
    let media = &config.media;
    map([
        ("address", list(media.addresses.iter().map(ToString::to_string))),
        ("ports", text(&format!("{}-{}", media.ports.0, media.ports.1))),
        ("threads", text(&media.threads.map_or("auto".into(), |n| n.to_string()))),
        ("io", text(io_name(media.io))),
        ("forwarding", text(forwarding_name(media.forwarding))),
        ("codecs", list(media.codecs.iter().cloned())),
        ("country", text(&media.country)),
        ("prompts", text(&media.prompts.display().to_string())),
        ("srtp", text(media.srtp.as_str())),
        ("rtp_timeout", duration(media.rtp_timeout.unwrap_or_default())),
    ])
}

const fn forwarding_name(forwarding: Forwarding) -> &'static str {
    match forwarding {
        Forwarding::Auto => "auto",
        Forwarding::Kernel => "kernel",
        Forwarding::Threads => "threads",
    }
}

const fn io_name(io: MediaIo) -> &'static str {
    match io {
        MediaIo::Auto => "auto",
        MediaIo::Epoll => "epoll",
        MediaIo::IoUring => "io_uring",
    }
}

fn recording(config: &Config) -> Value {
    let recording = &config.recording;
    let days = recording.retention.map_or(0, |d| d.as_secs() / 86_400);
    let mut m = vec![
        ("format", text(&recording.format)),
        ("channels", text(if recording.mono { "mono" } else { "dual" })),
        ("retention", text(&format!("{days}d"))),
    ];
    if recording.key.is_some() {
        let old_keys = list(recording.old_keys.iter().map(|_| REDACTED.to_owned()));
        m.push(("encryption", map([("key", text(REDACTED)), ("old_keys", old_keys)])));
    }
    map(m)
}

fn http(config: &Config) -> Value {
    let mut m = vec![("listen", text(&config.http.listen.to_string()))];
    if let Some(sid) = &config.http.account_sid {
        m.push(("auth", map([("account_sid", text(sid)), ("auth_token", text(REDACTED))])));
    }
    m.push(("behind_proxy", Value::Bool(config.http.behind_proxy)));
    m.extend(config.http.tls.as_ref().map(|tls| ("tls", map(certificate(tls)))));
    map(m)
}

fn web(config: &Config) -> Value {
    let web = &config.web;
    let networks = web.allow_private.iter().map(|n| format!("{}/{}", n.address, n.prefix));
    map([
        ("allow_private", list(networks)),
        ("files", text(&web.files.display().to_string())),
        ("host_requests", web.host_requests.into()),
    ])
}

fn speech(config: &Config) -> Value {
    let speech = &config.speech;
    let provider = if speech.url.is_some() { "http" } else { "espeak" };
    let mut m =
        vec![("provider", text(provider)), ("program", text(&speech.program)), ("at_once", speech.at_once.into())];
    m.extend(speech.url.as_ref().map(|url| ("url", text(url))));
    let (recogniser, url) = match &speech.recogniser {
        RecogniserKind::None => ("none", None),
        RecogniserKind::Vosk(url) => ("vosk", Some(url)),
        RecogniserKind::PocketSphinx => ("pocketsphinx", None),
        RecogniserKind::Tones => ("tones", None),
    };
    m.push(("recogniser", text(recogniser)));
    m.extend(url.map(|url| ("recogniser_url", text(url))));
    m.push(("recogniser_program", text(&speech.recogniser_program)));
    m.push(("recognised_at_once", speech.recognised_at_once.into()));
    map(m)
}

fn limits(config: &Config) -> Value {
    let limits = &config.limits;
    map([
        ("calls", limits.calls.into()),
        ("cps", limits.cps.into()),
        ("call_duration", duration(limits.call_duration)),
        ("emergency", list(limits.emergency.iter().cloned())),
    ])
}

fn trunk(trunk: &Trunk) -> Value {
    let targets = trunk
        .targets
        .iter()
        .map(|t| map([("uri", text(&t.uri)), ("priority", t.priority.into()), ("weight", t.weight.into())]));
    let networks = trunk.inbound.iter().map(|n| format!("{}/{}", n.address, n.prefix));
    let networks = networks.chain(trunk.inbound_hosts.iter().cloned());
    let credentials = |key, c: &Option<Credentials>| {
        let shown = c.as_ref().map(|c| map([("username", text(&c.username)), ("password", text(REDACTED))]));
        shown.map(|v| (key, v))
    };
    let mut m = vec![
        ("name", text(&trunk.name)),
        ("targets", Value::Sequence(targets.collect())),
        ("inbound", list(networks)),
        ("context", text(&trunk.context)),
    ];
    m.extend(credentials("auth", &trunk.auth));
    m.extend(credentials("inbound_auth", &trunk.inbound_auth));
    m.extend(trunk.byoc.domain.as_ref().map(|domain| ("domain", text(domain))));
    m.extend(trunk.byoc.disaster.as_ref().map(|disaster| ("disaster", text(disaster.as_str()))));
    m.push(("register", trunk.register.as_ref().map_or(Value::Bool(false), register)));
    m.push(("limits", map([("calls", trunk.calls_max.into()), ("cps", trunk.cps_max.into())])));
    m.extend(manners(&trunk.manners));
    m.extend(trunk.rates.as_ref().map(|file| ("rates", path(file))));
    m.push(("weight", trunk.weight.into()));
    let mut health = quality(&trunk.health.quality);
    health.extend([("window", duration(trunk.health.window)), ("samples", trunk.health.samples.into())]);
    health.push(("rest", duration(trunk.health.rest)));
    m.push(("health", map(health)));
    m.push(("options_failures", trunk.options_failures.into()));
    m.push(("options_ping", duration(trunk.options_ping.unwrap_or_default())));
    m.push(("codecs", list(trunk.codecs.iter().cloned())));
    m.push(("media", text(if trunk.media_direct { "direct" } else { "anchored" })));
    m.extend(trunk.srtp.map(|s| ("srtp", text(s.as_str()))));
    m.push(("dtmf", text(trunk.dtmf.as_str())));
    m.push(("pci", trunk.pci.into()));
    m.push(("refer", text(trunk.refer.as_str())));
    m.push(("redirects", text(trunk.manners.redirects.as_str())));
    m.push(("diversions", text(trunk.manners.diversions.as_str())));
    m.extend(trunk.tls.as_ref().map(|tls| ("tls", trunk_tls(tls))));
    m.push(("identity", trunk_identity(&trunk.identity)));
    map(m)
}

fn manners(manners: &Manners) -> Vec<(&'static str, Value)> {
    let pair = |name: &str, value: &str| {
        let mut m = Mapping::new();
        m.insert(text(name), text(value));
        Value::Mapping(m)
    };
    let header = |rule: &HeaderRule| match rule {
        HeaderRule::Add(name, value) => map([("add", pair(name, value))]),
        HeaderRule::Replace(name, value) => map([("replace", pair(name, value))]),
        HeaderRule::Remove(name) => map([("remove", text(name))]),
        HeaderRule::Pass(name) => map([("pass", text(name))]),
    };
    let headers = |rules: &[HeaderRule]| Value::Sequence(rules.iter().map(header).collect());
    let number = |r: &NumberRule| map([("match", text(&r.matches)), ("to", text(&r.to))]);
    let numbers = |rules: &[NumberRule]| Value::Sequence(rules.iter().map(number).collect());
    let caller = &manners.caller_id;
    let mut caller_id = vec![
        ("from", text(caller.from.as_str())),
        ("send", text(caller.send.map_or("from", crate::config::Identity::as_str))),
        ("trust", caller.trusted.into()),
        ("privacy", text(if caller.shows_withheld { "ignore" } else { "honour" })),
    ];
    caller_id.extend(caller.user.iter().map(|user| ("user", text(user))));
    caller_id.extend(caller.domain.iter().map(|domain| ("domain", text(domain))));
    vec![
        ("headers", map([("inbound", headers(&manners.headers_in)), ("outbound", headers(&manners.headers_out))])),
        ("caller_id", map(caller_id)),
        ("numbers", map([("inbound", numbers(&manners.numbers_in)), ("outbound", numbers(&manners.numbers_out))])),
    ]
}

fn register(register: &Register) -> Value {
    let mut m = vec![("expires", duration(register.expires))];
    m.extend(register.contact_user.iter().map(|user| ("contact_user", text(user))));
    m.extend(register.domain.iter().map(|domain| ("domain", text(domain))));
    map(m)
}

fn user(user: &User) -> Value {
    let secret = match user.secret {
        UserSecret::Password(_) => "password",
        UserSecret::Ha1(_) => "ha1",
    };
    let mut m = vec![("name", text(&user.name)), (secret, text(REDACTED)), ("context", text(&user.context))];
    m.extend(user.display.iter().map(|d| ("display", text(d))));
    m.push(("numbers", list(user.numbers.iter().cloned())));
    m.extend(user.srtp.map(|s| ("srtp", text(s.as_str()))));
    m.push(("dtmf", text(user.dtmf.as_str())));
    m.push(("refer", text(user.refer.as_str())));
    m.push(("redirects", text(user.redirects.as_str())));
    let (own, forward) = (&user.availability, &user.availability.forward);
    let mut sent: Vec<_> = [("always", &forward.always), ("busy", &forward.busy), ("no_answer", &forward.no_answer)]
        .into_iter()
        .filter_map(|(key, to)| Some((key, text(to.as_deref()?))))
        .collect();
    if !sent.is_empty() {
        sent.push(("after", duration(forward.after)));
        m.push(("forward", map(sent)));
    }
    if !user.pickup_groups.is_empty() {
        m.push(("pickup_group", list(user.pickup_groups.iter().cloned())));
    }
    m.extend([("dnd", own.dnd.into()), ("call_waiting", own.call_waiting.into())]);
    map(m)
}

fn map(pairs: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let mut m = Mapping::new();
    pairs.into_iter().for_each(|(key, value)| put(&mut m, key, value));
    Value::Mapping(m)
}

fn put(m: &mut Mapping, key: &'static str, value: Value) {
    m.insert(text(key), value);
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn duration(d: Duration) -> Value {
    text(&write_duration(d))
}

fn list(items: impl Iterator<Item = String>) -> Value {
    Value::Sequence(items.map(Value::String).collect())
}
