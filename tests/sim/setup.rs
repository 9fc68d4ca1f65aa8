//! What a switch under test is set up with.

use std::net::SocketAddr;
use std::sync::Arc;
use tandem::base::pii::Secret;
use tandem::base::time::Duration;
use tandem::config::*;
use tandem::dialplan::{Dialplan, Names};
use tandem::sip::transport::{Listener, ListenerId, Transport};

pub const DOMAIN: &str = "pbx.example.com";
pub fn node_addresses(n: usize) -> Vec<SocketAddr> {
    let v4: SocketAddr = SocketAddr::from(([10, 0, 0, 1 + n as u8], 5060));
    let v6: SocketAddr = format!("[fd00::{}]:5060", 1 + n).parse().expect("an address");
    vec![v4, v4, v6, v6]
}

pub fn listeners(addresses: &[SocketAddr]) -> Vec<Listener> {
    let of = |(n, a): (usize, &SocketAddr)| Listener {
        id: ListenerId(n as u16),
        transport: if n % 2 == 0 { Transport::Udp } else { Transport::Tcp },
        local: *a,
        advertised: *a,
    };
    addresses.iter().enumerate().map(of).collect()
}

pub fn config(name: &str, addresses: &[SocketAddr]) -> Config {
    Config {
        lcr: tandem::config::Lcr::default(),
        tolls: Vec::new(),
        pci: false,
        pay: Vec::new(),
        capture: Config::default().capture,
        parking: Config::default().parking,
        hep: None,
        recording: Config::default().recording,
        node: name.into(),
        data_dir: "data".into(),
        store: "sqlite".into(),
        sip: Sip {
            domain: DOMAIN.into(),
            listen: vec![Listen { scheme: Scheme::Udp, address: addresses[0] }],
            external_address: None,
            user_agent: "tandem".into(),
            anonymous_context: None,
            tls: None,
            guard: Config::default().sip.guard,
            session_timers: Default::default(),
            reach: Default::default(),
            identity: Default::default(),
        },
        media: Media {
            forwarding: Default::default(),
            io: Default::default(),
            addresses: vec![addresses[0].ip(), addresses[2].ip()],
            ports: (30_000, 31_000),
            threads: Some(1),
            codecs: ["opus", "g722", "pcmu", "pcma"].map(String::from).to_vec(),
            country: "us".into(),
            prompts: "prompts".into(),
            srtp: Srtp::Optional,
            rtp_timeout: Some(Duration::from_secs(30)),
        },
        http: Http {
            listen: "127.0.0.1:8080".parse().expect("an address"),
            account_sid: None,
            auth_token: None,
            behind_proxy: false,
            tls: None,
        },
        web: Config::default().web,
        speech: Config::default().speech,
        limits: Limits { calls: 0, cps: 0, call_duration: Duration::ZERO, emergency: Vec::new() },
        trunks: vec![],
        users: vec![],
        dialplans: vec![],
        drain_timeout: Duration::from_secs(60),
    }
}

pub fn trunk(name: &str, at: SocketAddr, is_stream: bool, auth: Option<(String, String)>) -> Trunk {
    let transport = if is_stream { ";transport=tcp" } else { "" };
    Trunk {
        rates: None,
        weight: 1,
        health: tandem::config::Health::default(),
        pci: false,
        name: name.into(),
        targets: vec![TrunkTarget { uri: format!("sip:{at}{transport}"), priority: 0, weight: 1 }],
        inbound: vec![Network { address: at.ip(), prefix: if at.is_ipv4() { 32 } else { 128 } }],
        inbound_hosts: Vec::new(),
        context: "all".into(),
        auth: auth.map(|(username, password)| Credentials { username, password: Secret::new(password) }),
        inbound_auth: None,
        register: None,
        calls_max: 0,
        cps_max: 0,
        options_ping: None,
        options_failures: 1,
        manners: Default::default(),
        codecs: vec![],
        media_direct: false,
        srtp: None,
        dtmf: Default::default(),
        refer: Default::default(),
        tls: None,
        identity: Default::default(),
        byoc: Default::default(),
    }
}

pub fn user(name: &str, password: &str) -> User {
    let secret = UserSecret::Password(Secret::new(password.into()));
    User {
        name: name.into(),
        secret,
        context: "all".into(),
        redirects: tandem::config::Redirects::Follow,
        display: None,
        srtp: None,
        dtmf: Default::default(),
        refer: Default::default(),
        numbers: Vec::new(),
        availability: Default::default(),
        pickup_groups: Vec::new(),
    }
}

pub fn dialplan(text: &str) -> Arc<Dialplan> {
    let files = [("sim.yaml".to_string(), text.to_string())];
    Arc::new(Dialplan::load(&files, &Names::ANY).unwrap_or_else(|faults| panic!("the dialplan: {faults:?}\n{text}")))
}
