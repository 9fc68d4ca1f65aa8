//! `tandem.yaml` → [`Config`].

use super::secrets::{NoSecrets, Secrets, resolve};
use super::session_timers::{SESSION_TIMERS, SessionTimers};
use super::{
    CODECS, Certificate, Config, Credentials, Dtmf, Forwarding, Http, Limits, Listen, ListenerTls, Media, MediaIo,
    Network, Recording, Redirects, Refer, Scheme, Sip, Srtp, Trunk, TrunkTarget, TrunkTls, User, UserSecret, edge,
    manners, shapes,
};
use crate::base::pii::Secret;
use crate::base::time::Duration;
use crate::base::yaml::{Fault, Fields, Kind, Node, Position, Reader, Type, parse, parse_duration};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

static FILE: Type = Type::Map(&shapes::FILE);

/// A configuration that is right in itself, and what it takes from elsewhere.
#[derive(Clone, Debug)]
pub struct Located {
    pub config: Config,
    pub file: Arc<str>,
    /// Contexts of the dialplan that it names, where, and whose they are.
    pub contexts: Vec<Named>,
    /// Patterns of number rules, and what they make of a number (`whose`).
    pub patterns: Vec<Named>,
    /// Dialplan files and folders, as written.
    pub dialplans: Vec<Named>,
}

/// A name that a file uses and another place defines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    pub name: String,
    pub at: Position,
    /// "trunk acme"
    pub whose: String,
}

impl Config {
    /// Reads a configuration file's text; `file` stands in faults.
    pub fn read(file: &str, text: &str, secrets: &dyn Secrets) -> Result<Located, Vec<Fault>> {
        let mut node = parse(file, text).map_err(|fault| vec![fault])?;
        let mut reader = Reader::new(file);
        // An empty file is a configuration of defaults.
        if node.is_null() {
            node.kind = Kind::Map(Vec::new());
        }
        resolve(&mut reader, &mut node, secrets);
        reader.check(&node, &FILE);
        let mut found = Found { reader, contexts: Vec::new(), patterns: Vec::new() };
        let config = found.config(&node);
        let dialplans = Fields::of(&node, &shapes::FILE).items("dialplans").iter();
        let dialplans =
            dialplans.filter_map(|n| Some(Named { name: n.text()?.into(), at: n.at, whose: String::new() }));
        let dialplans = dialplans.collect();
        let file = Arc::clone(found.reader.file());
        match found.reader.is_clean() {
            true => Ok(Located { config, file, contexts: found.contexts, patterns: found.patterns, dialplans }),
            false => Err(found.reader.into_faults()),
        }
    }

    /// Makes relative paths relative to the configuration's folder.
    pub fn resolve_paths(&mut self, folder: &Path) {
        let Config { data_dir, media, web, dialplans, sip, http, trunks, .. } = self;
        let listener = sip.tls.as_mut().map(|tls| (&mut tls.own, tls.client_ca.as_mut()));
        let clients = trunks.iter_mut().filter_map(|t| t.tls.as_mut());
        let (own, ca): (Vec<_>, Vec<_>) = listener
            .into_iter()
            .map(|(own, ca)| (Some(own), ca))
            .chain(clients.map(|tls| (tls.own.as_mut(), tls.ca.as_mut())))
            .unzip();
        let own =
            own.into_iter().flatten().chain(http.tls.as_mut()).flat_map(|own| [&mut own.certificate, &mut own.key]);
        let ca = ca.into_iter().flatten();
        let signing = sip.identity.signing.as_mut().map(|s| [&mut s.own.certificate, &mut s.own.key]);
        let identity = signing.into_iter().flatten().chain(sip.identity.roots.as_mut());
        let paths = [data_dir, &mut media.prompts, &mut web.files].into_iter().chain(dialplans);
        for path in paths.chain(own).chain(ca).chain(identity) {
            *path = folder.join(&*path);
        }
        for path in trunks.iter_mut().filter_map(|t| t.rates.as_mut()) {
            *path = folder.join(&*path);
        }
    }
}

/// What an empty file means.
impl Default for Config {
    fn default() -> Config {
        match Config::read("default", "", &NoSecrets) {
            Ok(located) => located.config,
            Err(faults) => {
                crate::bug!("the defaults are wrong: {faults:?}");
                let node = Node::new(Position::default(), Kind::Map(Vec::new()));
                Found { reader: Reader::new("default"), contexts: Vec::new(), patterns: Vec::new() }.config(&node)
            }
        }
    }
}

/// Stands for a section that is missing.
pub(super) static EMPTY: Node = Node { at: Position { line: 0, column: 0 }, kind: Kind::Null, written: None };

struct Found {
    reader: Reader,
    contexts: Vec<Named>,
    patterns: Vec<Named>,
}

impl Found {
    fn config(&mut self, node: &Node) -> Config {
        let f = Fields::of(node, &shapes::FILE);
        let section = |key| f.get(key).unwrap_or(&EMPTY);
        let limits = Fields::of(section("limits"), &shapes::LIMITS);
        let config = Config {
            node: f.string("node"),
            data_dir: f.string("data_dir").into(),
            store: f.string("store"),
            sip: self.sip(&Fields::of(section("sip"), &shapes::SIP)),
            media: self.media(&Fields::of(section("media"), &shapes::MEDIA)),
            http: self.http(&Fields::of(section("http"), &shapes::HTTP)),
            recording: self.recording(&Fields::of(section("recording"), &shapes::RECORDING)),
            limits: Limits {
                calls: limits.int("calls"),
                cps: limits.int("cps"),
                call_duration: limits.duration("call_duration").unwrap_or_default(),
                emergency: limits.texts("emergency"),
            },
            web: super::outside::web(&Fields::of(section("web"), &super::outside::WEB)),
            speech: self.speech(section("speech")),
            lcr: super::routing::lcr(&Fields::of(section("lcr"), &super::routing::LCR)),
            tolls: Vec::new(),
            trunks: f.items("trunks").iter().map(|n| self.trunk(&Fields::of(n, &shapes::TRUNK))).collect(),
            users: f.items("users").iter().filter_map(|n| self.user(&Fields::of(n, &shapes::USER))).collect(),
            dialplans: f.texts("dialplans").into_iter().map(Into::into).collect(),
            drain_timeout: f.duration("drain_timeout").unwrap_or_default(),
            pci: f.flag("pci"),
            parking: super::parking::read(&Fields::of(section("parking"), &super::parking::PARKING)),
            capture: super::visibility::capture(&Fields::of(section("capture"), &super::visibility::CAPTURE)),
            hep: super::visibility::hep(f.get("hep")),
            pay: super::pay::connectors(&mut self.reader, &Fields::of(section("pay"), &super::pay::PAY)),
        };
        let tolls = super::routing::tolls(&mut self.reader, f.items("tolls"), &config.trunks);
        let config = Config { tolls, ..config };
        self.reachable(&config, &f);
        self.unique(f.items("trunks"), "trunk");
        self.unique(f.items("users"), "user");
        self.own_networks(f.items("trunks"));
        self.secure_targets(&config, f.items("trunks"));
        super::identity::unmet(&mut self.reader, &config, f.items("trunks"));
        config
    }

    fn sip(&mut self, f: &Fields<'_>) -> Sip {
        let mut listens: Vec<Listen> = Vec::new();
        for node in f.items("listen") {
            let Some(one) = node.text().and_then(listen) else { continue };
            if listens.contains(&one) {
                self.reader.fault(node.at, format!("{} stands twice", node.shown()), "expected each address once");
            }
            if one.scheme == Scheme::Tls && f.get("tls").is_none() {
                let expected = "expected sip.tls with its certificate and key";
                self.reader.fault(node.at, format!("{} needs a certificate", node.shown()), expected);
            }
            listens.push(one);
        }
        match f.get("listen") {
            Some(node) if node.items().is_empty() => {
                self.reader.fault(node.at, "no address to listen on", "expected at least one");
            }
            Some(_) => {}
            None => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 5060));
                listens = [Scheme::Udp, Scheme::Tcp].map(|scheme| Listen { scheme, address }).to_vec();
            }
        }
        Sip {
            domain: f.string("domain"),
            listen: listens,
            external_address: f.text("external_address").and_then(|t| t.parse().ok()),
            user_agent: f.string("user_agent"),
            tls: f.get("tls").map(listener_tls),
            anonymous_context: self.context(f, "anonymous_context", "anonymous calls"),
            guard: edge::guard(&Fields::of(f.get("guard").unwrap_or(&EMPTY), &edge::GUARD)),
            reach: super::reach::reach(f),
            identity: {
                let own = Fields::of(f.get("identity").unwrap_or(&EMPTY), &super::identity::IDENTITY);
                super::identity::identities(&mut self.reader, &own)
            },
            session_timers: {
                let timers = Fields::of(f.get("session_timers").unwrap_or(&EMPTY), &SESSION_TIMERS);
                SessionTimers::read(&mut self.reader, &timers)
            },
        }
    }

    fn speech(&mut self, node: &Node) -> super::outside::Speech {
        let f = Fields::of(node, &super::outside::SPEECH);
        let speech = super::outside::speech(&f);
        if f.text("provider") == Some("http") && speech.url.is_none() {
            self.reader.fault(f.at(), "a provider without an address", "expected speech.url");
        }
        if matches!(&speech.recogniser, super::RecogniserKind::Vosk(url) if url.is_empty()) {
            self.reader.fault(f.at(), "a recogniser without an address", "expected speech.recogniser_url");
        }
        speech
    }

    fn media(&mut self, f: &Fields<'_>) -> Media {
        let mut addresses: Vec<IpAddr> = Vec::new();
        for node in f.items("address") {
            let Some(ip) = node.text().and_then(|t| t.parse::<IpAddr>().ok()) else { continue };
            if addresses.iter().any(|a| a.is_ipv4() == ip.is_ipv4()) {
                let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
                let what = format!("a second {family} address, {}", node.shown());
                self.reader.fault(node.at, what, "expected at most one address of each family");
            }
            addresses.push(ip);
        }
        if addresses.is_empty() {
            addresses.push(Ipv4Addr::LOCALHOST.into());
        }
        let codecs = match f.get("codecs") {
            None => ["opus", "g722", "pcmu", "pcma"].map(str::to_owned).to_vec(),
            Some(node) => {
                if node.items().is_empty() {
                    self.reader.fault(node.at, "no codec", format!("expected some of {}", CODECS.join(", ")));
                }
                self.codecs(f)
            }
        };
        Media {
            addresses,
            ports: f.text("ports").and_then(ports).unwrap_or((30_000, 39_999)),
            threads: f.text("threads").and_then(|t| t.parse().ok()),
            io: match f.text("io") {
                Some("epoll") => MediaIo::Epoll,
                Some("io_uring") => MediaIo::IoUring,
                _ => MediaIo::Auto,
            },
            forwarding: match f.text("forwarding") {
                Some("kernel") => Forwarding::Kernel,
                Some("threads") => Forwarding::Threads,
                _ => Forwarding::Auto,
            },
            codecs,
            country: f.string("country"),
            prompts: f.string("prompts").into(),
            srtp: srtp(f).unwrap_or_default(),
            rtp_timeout: f.duration("rtp_timeout").filter(|d| !d.is_zero()),
        }
    }

    fn recording(&mut self, f: &Fields<'_>) -> Recording {
        let encryption = f.get("encryption").map(|node| Fields::of(node, &shapes::ENCRYPTION));
        let (mut key, mut old_keys) = (None, Vec::new());
        if let Some(e) = &encryption {
            key = e.get("key").and_then(|node| self.sealing_key(node));
            old_keys = e.items("old_keys").iter().filter_map(|node| self.sealing_key(node)).collect();
        }
        let retention = f.text("retention").and_then(shapes::days).filter(|days| *days > 0);
        Recording {
            format: f.string("format"),
            mono: f.text("channels") == Some("mono"),
            retention: retention.map(|days| Duration::from_secs(days * 86_400)),
            key,
            old_keys,
        }
    }

    fn sealing_key(&mut self, node: &Node) -> Option<Secret> {
        // What could not be resolved has been said already.
        let text = node.text().filter(|text| node.written.as_deref() != Some(*text))?;
        let is_key = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_key {
            let expected = "expected 32 bytes as 64 hexadecimal digits, as `openssl rand -hex 32` makes them";
            self.reader.fault(node.at, "this is no key for recordings", expected);
        }
        is_key.then(|| Secret::new(text.to_owned()))
    }

    fn codecs(&mut self, f: &Fields<'_>) -> Vec<String> {
        let mut seen = Vec::new();
        for node in f.items("codecs") {
            let Some(name) = node.text() else { continue };
            if seen.iter().any(|s| s == name) {
                self.reader.fault(node.at, format!("the codec {name} stands twice"), "expected each once");
            }
            seen.push(name.to_owned());
        }
        seen
    }

    fn http(&mut self, f: &Fields<'_>) -> Http {
        let auth = f.get("auth").map(|n| Fields::of(n, &shapes::AUTH));
        let listen: SocketAddr =
            f.text("listen").and_then(|t| t.parse().ok()).unwrap_or((Ipv4Addr::LOCALHOST, 8080).into());
        let http = Http {
            listen,
            account_sid: auth.as_ref().and_then(|a| a.text("account_sid")).map(str::to_owned),
            auth_token: auth.as_ref().and_then(|a| a.text("auth_token")).map(|t| Secret::new(t.to_owned())),
            behind_proxy: f.flag("behind_proxy"),
            tls: f.get("tls").map(|node| certificate(&Fields::of(node, &shapes::HTTP_TLS))),
        };
        if let Some(node) = f.get("listen").filter(|_| !listen.ip().is_loopback()) {
            if !http.behind_proxy && http.tls.is_none() {
                let what = format!("{listen} is not loopback, and credentials would travel unencrypted");
                let expected =
                    "expected a loopback address, http.tls, or behind_proxy: true if a proxy in front of it speaks TLS";
                self.reader.fault(node.at, what, expected);
            } else if http.auth_token.is_none() {
                let what = format!("{listen} is not loopback, and anybody could give orders");
                self.reader.fault(node.at, what, "expected http.auth with account_sid and auth_token");
            }
        }
        http
    }

    fn trunk(&mut self, f: &Fields<'_>) -> Trunk {
        let name = f.string("name");
        let limits = Fields::of(f.get("limits").unwrap_or(&EMPTY), &shapes::TRUNK_LIMITS);
        let targets = f.items("targets").iter().map(|node| {
            let t = Fields::short(node, &shapes::TARGET, "uri");
            let number = |key| u16::try_from(t.int(key)).unwrap_or(u16::MAX);
            TrunkTarget { uri: t.string("uri"), priority: number("priority"), weight: number("weight") }
        });
        let trunk = Trunk {
            targets: targets.collect(),
            inbound: f.items("inbound").iter().filter_map(|n| network(n.text()?)).collect(),
            inbound_hosts: super::reach::inbound_hosts(f),
            context: self.context(f, "context", &format!("trunk {name}")).unwrap_or_default(),
            auth: f.get("auth").map(credentials),
            inbound_auth: f.get("inbound_auth").map(credentials),
            register: f.get("register").and_then(edge::register),
            calls_max: limits.int("calls"),
            cps_max: limits.int("cps"),
            manners: manners::read(&mut self.reader, f, &mut self.patterns),
            rates: f.text("rates").map(Into::into),
            weight: f.int("weight"),
            health: super::routing::health(&Fields::of(f.get("health").unwrap_or(&EMPTY), &super::routing::HEALTH)),
            options_failures: f.int("options_failures"),
            options_ping: f.duration("options_ping").filter(|d| !d.is_zero()),
            codecs: self.codecs(f),
            media_direct: f.text("media") == Some("direct"),
            srtp: srtp(f),
            refer: f.text("refer").and_then(Refer::from_name).unwrap_or_default(),
            dtmf: dtmf(f),
            pci: f.flag("pci"),
            byoc: super::byoc::read(f),
            tls: f.get("tls").map(|node| self.trunk_tls(&Fields::of(node, &shapes::TRUNK_TLS))),
            identity: {
                let own = f.get("identity").unwrap_or(&EMPTY);
                super::identity::trunk(&Fields::of(own, &super::identity::TRUNK_IDENTITY))
            },
            name,
        };
        let name = &trunk.name;
        if f.items("targets").is_empty() && f.items("inbound").is_empty() && trunk.inbound_auth.is_none() {
            let what = format!("trunk {name} can neither be called nor call");
            self.reader.fault(f.at(), what, "expected targets, inbound or inbound_auth");
        }
        if trunk.register.is_some() {
            self.registration(f, name, trunk.targets.is_empty());
        }
        if let (Some(node), Some(ping)) = (f.get("options_ping"), trunk.options_ping)
            && ping < Duration::from_secs(1)
        {
            self.reader.fault(
                node.at,
                format!("{} is too often", node.shown()),
                "expected at least 1s, or 0s for never",
            );
        }
        trunk
    }

    /// A registration needs a registrar, and a time that carriers grant.
    fn registration(&mut self, f: &Fields<'_>, name: &str, no_targets: bool) {
        let Some(node) = f.get("register") else { return };
        if no_targets {
            let what = format!("trunk {name} has nobody to register with");
            self.reader.fault(node.at, what, "expected targets beside it");
        }
        let expires = Fields::short(node, &edge::REGISTER, "enabled").get("expires");
        let asked = expires.and_then(Node::text).and_then(|t| parse_duration(t).ok());
        if let (Some(node), Some(asked)) = (expires, asked)
            && !(edge::EXPIRES.0..=edge::EXPIRES.1).contains(&asked)
        {
            self.reader.fault(node.at, format!("{} cannot be asked for", node.shown()), "expected 20s to 24h");
        }
    }

    fn trunk_tls(&mut self, f: &Fields<'_>) -> TrunkTls {
        let own = match (f.text("certificate"), f.text("key")) {
            (Some(_), Some(_)) => Some(certificate(f)),
            (None, None) => None,
            _ => {
                self.reader.fault(f.at(), "a certificate and its key go together", "expected both, or neither");
                None
            }
        };
        TrunkTls {
            ca: f.text("ca").map(Into::into),
            pins: f.texts("pin").iter().filter_map(|text| shapes::pin(text)).collect(),
            own,
            verify: f.flag("verify"),
        }
    }

    fn user(&mut self, f: &Fields<'_>) -> Option<User> {
        let name = f.string("name");
        let context = self.context(f, "context", &format!("user {name}")).unwrap_or_default();
        let secret = match (f.get("password"), f.get("ha1")) {
            (Some(node), None) => UserSecret::Password(Secret::new(node.text()?.to_owned())),
            (None, Some(node)) => {
                let text = node.text()?;
                if !node.is_unresolved() && (text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit())) {
                    let what = format!("the ha1 of user {name} is none");
                    self.reader.fault(node.at, what, "expected 32 hexadecimal digits: MD5 of name:domain:password");
                }
                UserSecret::Ha1(Secret::new(text.to_ascii_lowercase()))
            }
            (both, _) => {
                let has = if both.is_some() { "both a password and a ha1" } else { "neither a password nor a ha1" };
                self.reader.fault(f.at(), format!("user {name} has {has}"), "expected one of them");
                return None;
            }
        };
        Some(User {
            name,
            secret,
            context,
            display: f.text("display").map(str::to_owned),
            srtp: srtp(f),
            redirects: f.text("redirects").and_then(Redirects::from_name).unwrap_or_default(),
            numbers: f.texts("numbers"),
            refer: f.text("refer").and_then(Refer::from_name).unwrap_or_default(),
            dtmf: dtmf(f),
            availability: super::availability::read(f),
            pickup_groups: f.texts("pickup_group"),
        })
    }

    fn context(&mut self, f: &Fields<'_>, key: &str, whose: &str) -> Option<String> {
        let node = f.get(key)?;
        let name = node.text()?.to_owned();
        self.contexts.push(Named { name: name.clone(), at: node.at, whose: whose.to_owned() });
        Some(name)
    }

    /// Addresses that are told to peers have to be addresses.
    fn reachable(&mut self, config: &Config, f: &Fields<'_>) {
        if config.sip.external_address.is_some() {
            return;
        }
        let unspecified = config.sip.listen.iter().any(|l| l.address.ip().is_unspecified());
        let sip = f.get("sip").and_then(|s| s.get("listen")).filter(|_| unspecified);
        let unspecified = config.media.addresses.iter().any(IpAddr::is_unspecified);
        let media = f.get("media").and_then(|m| m.get("address")).filter(|_| unspecified);
        for node in sip.into_iter().chain(media) {
            let expected = "expected the address of one interface, or sip.external_address beside it";
            self.reader.fault(node.at, "peers cannot be told an address that stands for all", expected);
        }
    }

    fn unique(&mut self, nodes: &[Node], kind: &str) {
        let mut seen: BTreeMap<&str, Position> = BTreeMap::new();
        for name in nodes.iter().filter_map(|n| n.get("name")) {
            let Some(text) = name.text() else { continue };
            if let Some(first) = seen.insert(text, name.at) {
                let what = format!("a second {kind} \"{text}\", first at {}:{}", first.line, first.column);
                self.reader.fault(name.at, what, "expected a name of its own for each");
            }
        }
    }

    /// What goes out by TLS goes from a listener of ours.
    fn secure_targets(&mut self, config: &Config, trunks: &[Node]) {
        if config.sip.listen.iter().any(|l| l.scheme == Scheme::Tls) {
            return;
        }
        for node in trunks.iter().filter_map(|t| t.get("targets")).flat_map(Node::items) {
            let uri = node.get("uri").unwrap_or(node);
            let Some(text) = uri.text().map(str::to_ascii_lowercase) else { continue };
            if text.starts_with("sips:") || text.contains(";transport=tls") {
                let what = format!("{} is reached by TLS, and nothing listens there", uri.shown());
                self.reader.fault(uri.at, what, "expected a tls:// address in sip.listen beside it");
            }
        }
    }

    /// One source cannot be two trunks.
    fn own_networks(&mut self, trunks: &[Node]) {
        let mut seen: Vec<(Network, Position)> = Vec::new();
        for node in trunks.iter().filter_map(|t| t.get("inbound")).flat_map(Node::items) {
            let Some(net) = node.text().and_then(network) else { continue };
            if let Some((_, first)) = seen.iter().find(|(n, _)| *n == net) {
                let what = format!("{} stands twice, first at {}:{}", node.shown(), first.line, first.column);
                self.reader.fault(node.at, what, "expected each source in one trunk");
            }
            seen.push((net, node.at));
        }
    }
}

fn certificate(f: &Fields<'_>) -> Certificate {
    Certificate { certificate: f.string("certificate").into(), key: f.string("key").into() }
}

fn listener_tls(node: &Node) -> ListenerTls {
    let f = Fields::of(node, &shapes::TLS);
    ListenerTls {
        own: certificate(&f),
        client_ca: f.text("client_ca").map(Into::into),
        client_optional: f.text("client_certificate") == Some("optional"),
    }
}

fn dtmf(f: &Fields<'_>) -> Dtmf {
    match f.text("dtmf") {
        Some("rfc4733") => Dtmf::Rfc4733,
        Some("info") => Dtmf::Info,
        Some("inband") => Dtmf::Inband,
        _ => Dtmf::Auto,
    }
}

fn srtp(f: &Fields<'_>) -> Option<Srtp> {
    f.text("srtp").and_then(Srtp::from_name)
}

fn credentials(node: &Node) -> Credentials {
    let f = Fields::of(node, &shapes::CREDENTIALS);
    Credentials { username: f.string("username"), password: Secret::new(f.string("password")) }
}

/// `udp://127.0.0.1:5060`
pub(super) fn listen(text: &str) -> Option<Listen> {
    let (scheme, address) = text.split_once("://")?;
    let scheme = match scheme {
        "udp" => Scheme::Udp,
        "tcp" => Scheme::Tcp,
        "tls" => Scheme::Tls,
        _ => return None,
    };
    Some(Listen { scheme, address: address.parse().ok()? })
}

/// `30000-39999`: at least one pair, no port that only root may take.
pub(super) fn ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first >= 1024 && first.checked_next_multiple_of(2)? < last).then_some((first, last))
}

/// `192.0.2.0/24`, or one address. Bits after the prefix must be zero, since they would mean something else than they say.
pub(super) fn network(text: &str) -> Option<Network> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address.parse::<IpAddr>().ok()?, Some(prefix.parse::<u8>().ok()?)),
        None => (text.parse::<IpAddr>().ok()?, None),
    };
    let (value, bits) = match address {
        IpAddr::V4(a) => (u128::from(a.to_bits()), 32),
        IpAddr::V6(a) => (a.to_bits(), 128),
    };
    let prefix = prefix.unwrap_or(bits);
    let host_bits = u32::from(bits.checked_sub(prefix)?);
    let rest = if host_bits == 128 { value } else { value & ((1u128 << host_bits) - 1) };
    (rest == 0).then_some(Network { address, prefix })
}
