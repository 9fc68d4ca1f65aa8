//! What operators wrote in `tandem.yaml`, typed. Reading files and secrets from the environment is the shell's.

mod availability;
pub mod byoc;
mod edge;
pub mod identity;
mod manners;
pub mod outside;
mod parking;
pub mod pay;
mod print;
mod reach;
mod read;
pub mod routing;
mod secrets;
mod session_timers;
pub mod shapes;
mod uri;
mod visibility;

/// Codecs by the names that the configuration and dialplans use.
pub const CODECS: &[&str] =
    &["opus", "g722", "pcmu", "pcma", "g729", "g723", "g728", "gsm", "ilbc", "speex", "amr", "amr-wb"];

pub use availability::is_dialled;
pub use availability::{Availability, Forward};
pub use edge::{Ban, Guard, Register};
pub use manners::{CallerId, Diversions, HeaderRule, Identity, Manners, NumberRule, Redirects};
pub use outside::RecogniserKind;
pub use parking::Parking;
pub use print::to_yaml;
pub use reach::Reach;
pub use read::{Located, Named};
pub use routing::{Health, Lcr, Per, Quality, Toll};
pub use secrets::{NoSecrets, Secrets};
pub use session_timers::{Refresher, SESSION_MIN_S, SessionTimers};
pub use uri::{is_host, is_host_port, is_uri};
pub use visibility::{Capture, Hep};

use crate::base::pii::Secret;
use crate::base::time::Duration;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub node: String,
    pub data_dir: PathBuf,
    /// `sqlite`, or a `postgres://` address.
    pub store: String,
    pub sip: Sip,
    pub media: Media,
    pub http: Http,
    pub recording: Recording,
    pub limits: Limits,
    pub web: outside::Web,
    pub speech: outside::Speech,
    pub lcr: Lcr,
    pub tolls: Vec<Toll>,
    pub trunks: Vec<Trunk>,
    pub users: Vec<User>,
    /// Files and folders, relative to the configuration's folder.
    pub dialplans: Vec<PathBuf>,
    pub drain_timeout: Duration,
    /// What callers enter is a secret in every call.
    pub pci: bool,
    /// Gateways that take payments.
    pub pay: Vec<pay::Connector>,
    pub capture: Capture,
    pub parking: Parking,
    pub hep: Option<Hep>,
}

impl Config {
    /// Whether anybody wants to know which messages are which call's.
    pub const fn traces_messages(&self) -> bool {
        self.capture.enabled || self.hep.is_some()
    }

    /// Whether calls may hold digits that nobody else may know.
    pub fn is_pci(&self) -> bool {
        self.pci || !self.pay.is_empty() || self.trunks.iter().any(|trunk| trunk.pci)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sip {
    pub domain: String,
    pub listen: Vec<Listen>,
    pub external_address: Option<IpAddr>,
    pub user_agent: String,
    /// Of `tls://` listeners; required if there is one.
    pub tls: Option<ListenerTls>,
    /// Context of calls from a source that is no trunk and gives no credentials; `None`: they are challenged, then refused.
    pub anonymous_context: Option<String>,
    pub guard: Guard,
    pub session_timers: SessionTimers,
    pub reach: Reach,
    pub identity: identity::Identities,
}

/// PEM files of a certificate chain and of its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// TLS where we are the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    pub own: Certificate,
    /// Peers show a certificate that one of these signed.
    pub client_ca: Option<PathBuf>,
    /// A peer without a certificate is let in too; it is then no more than one over TCP.
    pub client_optional: bool,
}

/// TLS towards a trunk's targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkTls {
    /// `None`: the roots that the system trusts.
    pub ca: Option<PathBuf>,
    /// SHA-256 of certificates, one of which the target must show; without `ca` nothing else of it is checked.
    pub pins: Vec<[u8; 32]>,
    /// Shown to a target that asks for it.
    pub own: Option<Certificate>,
    pub verify: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Udp,
    Tcp,
    Tls,
}

impl Scheme {
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Udp => "udp",
            Scheme::Tcp => "tcp",
            Scheme::Tls => "tls",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    pub scheme: Scheme,
    pub address: SocketAddr,
}

/// How packets of sound pass the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MediaIo {
    /// io_uring where the kernel offers it, else epoll.
    #[default]
    Auto,
    Epoll,
    IoUring,
}

/// Who passes on what is only relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Forwarding {
    /// The kernel where it takes a program of ours, else the media threads.
    #[default]
    Auto,
    Kernel,
    Threads,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// At most one of each family.
    pub addresses: Vec<IpAddr>,
    /// Inclusive; RTP takes the even ones.
    pub ports: (u16, u16),
    /// `None`: cores − 1, at least 1.
    pub threads: Option<usize>,
    pub io: MediaIo,
    pub forwarding: Forwarding,
    /// Order of preference: "pcmu", "pcma", …
    pub codecs: Vec<String>,
    /// Country of tones ("us").
    pub country: String,
    /// Where prompts named by a relative path lie.
    pub prompts: PathBuf,
    /// SRTP with whom nothing else is said of.
    pub srtp: Srtp,
    /// A leg that hears nothing from its peer for so long is ended; `None` never.
    pub rtp_timeout: Option<Duration>,
}

/// Whether media is protected by SRTP, with keys in the session description (RFC 4568).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Srtp {
    /// Plain RTP only.
    #[default]
    Off,
    /// What is offered is taken; we offer plain RTP.
    Optional,
    /// Plain RTP is refused with 488; we offer SRTP only.
    Required,
}

impl Srtp {
    pub const ALL: [Srtp; 3] = [Srtp::Off, Srtp::Optional, Srtp::Required];

    pub const fn as_str(self) -> &'static str {
        match self {
            Srtp::Off => "off",
            Srtp::Optional => "optional",
            Srtp::Required => "required",
        }
    }

    pub fn from_name(name: &str) -> Option<Srtp> {
        Srtp::ALL.into_iter().find(|s| s.as_str() == name)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    pub listen: SocketAddr,
    pub account_sid: Option<String>,
    pub auth_token: Option<Secret>,
    /// Required to bind a non-loopback address without TLS.
    pub behind_proxy: bool,
    pub tls: Option<Certificate>,
}

/// How calls are recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// "wav", "ulaw" or "opus".
    pub format: String,
    /// Both parties in one channel instead of one each, where the dialplan does not say.
    pub mono: bool,
    /// Older recordings are removed; `None` never.
    pub retention: Option<Duration>,
    /// 32 bytes as hexadecimal digits; `None`: recordings are not sealed.
    pub key: Option<Secret>,
    /// Keys of before, which still open what they sealed.
    pub old_keys: Vec<Secret>,
}

/// Limits of the whole switch; 0 is no limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    pub calls: u32,
    pub cps: u32,
    /// Longest call, answered to end; zero is no limit.
    pub call_duration: Duration,
    /// Numbers to which no limit of calls holds.
    pub emergency: Vec<String>,
}

/// How digits are exchanged with a peer. By INFO they are taken from everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Dtmf {
    /// RFC 4733 where it is negotiated, else as tones.
    #[default]
    Auto,
    /// As nothing else.
    Rfc4733,
    /// By SIP INFO; RFC 4733 is not offered.
    Info,
    /// As tones; RFC 4733 is not offered.
    Inband,
}

impl Dtmf {
    pub const fn as_str(self) -> &'static str {
        match self {
            Dtmf::Auto => "auto",
            Dtmf::Rfc4733 => "rfc4733",
            Dtmf::Info => "info",
            Dtmf::Inband => "inband",
        }
    }
}

/// What a REFER does that a peer sends (RFC 3515).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Refer {
    /// We place the call, and the other party notices nothing.
    #[default]
    Terminate,
    /// It is sent on to the other party, and so are those of others to this peer.
    Pass,
    Refuse,
}

impl Refer {
    pub const ALL: [Refer; 3] = [Refer::Terminate, Refer::Pass, Refer::Refuse];

    pub const fn as_str(self) -> &'static str {
        match self {
            Refer::Terminate => "terminate",
            Refer::Pass => "pass",
            Refer::Refuse => "refuse",
        }
    }

    pub fn from_name(name: &str) -> Option<Refer> {
        Refer::ALL.into_iter().find(|r| r.as_str() == name)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trunk {
    pub name: String,
    pub targets: Vec<TrunkTarget>,
    /// Sources that are this trunk without a challenge.
    pub inbound: Vec<Network>,
    /// Names of hosts whose addresses are this trunk's too, in lower case.
    pub inbound_hosts: Vec<String>,
    pub context: String,
    pub auth: Option<Credentials>,
    /// Credentials that the trunk gives us when it is not recognised by source.
    pub inbound_auth: Option<Credentials>,
    /// `None`: we do not register with it.
    pub register: Option<Register>,
    pub calls_max: u32,
    pub cps_max: u32,
    pub options_ping: Option<Duration>,
    pub manners: Manners,
    /// A rate card, CSV.
    pub rates: Option<PathBuf>,
    /// Its share among trunks of one price.
    pub weight: u32,
    pub health: Health,
    /// Pings in a row that a target may miss less one; 0 as 1.
    pub options_failures: u32,
    /// Empty: `media.codecs`.
    pub codecs: Vec<String>,
    /// Transport of targets whose URI names none.
    pub media_direct: bool,
    /// `None`: `media.srtp`.
    pub srtp: Option<Srtp>,
    pub dtmf: Dtmf,
    /// What is entered in its calls is a secret.
    pub pci: bool,
    pub refer: Refer,
    /// `None`: verified by the system's roots.
    pub tls: Option<TrunkTls>,
    pub identity: identity::TrunkIdentity,
    pub byoc: byoc::Byoc,
}

impl Trunk {
    /// One that is called at these targets, and of which nothing else is said.
    pub fn at(name: &str, targets: Vec<TrunkTarget>) -> Trunk {
        Trunk {
            name: name.to_owned(),
            targets,
            inbound: Vec::new(),
            inbound_hosts: Vec::new(),
            context: String::new(),
            auth: None,
            inbound_auth: None,
            register: None,
            calls_max: 0,
            cps_max: 0,
            options_ping: None,
            manners: Manners::default(),
            rates: None,
            weight: 1,
            health: Health::default(),
            options_failures: 1,
            codecs: Vec::new(),
            media_direct: false,
            srtp: None,
            dtmf: Dtmf::default(),
            pci: false,
            refer: Refer::default(),
            tls: None,
            identity: identity::TrunkIdentity::default(),
            byoc: byoc::Byoc::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct TrunkTarget {
    /// As written: `sip:host:port;transport=tcp`.
    pub uri: String,
    /// Lower is tried first.
    pub priority: u16,
    pub weight: u16,
}

/// A CIDR block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub address: IpAddr,
    pub prefix: u8,
}

impl Network {
    pub fn contains(&self, ip: IpAddr) -> bool {
        let (a, b, bits) = match (self.address, ip.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
            _ => return false,
        };
        let shift = bits - u32::from(self.prefix).min(bits);
        shift == 128 || a >> shift == b >> shift
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Credentials {
    pub username: String,
    pub password: Secret,
}

#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub name: String,
    pub secret: UserSecret,
    pub context: String,
    /// Shown as caller's name.
    pub display: Option<String>,
    /// `None`: `media.srtp`.
    pub srtp: Option<Srtp>,
    pub dtmf: Dtmf,
    pub redirects: Redirects,
    pub refer: Refer,
    /// Numbers that are its own, beside its name.
    pub numbers: Vec<String>,
    pub availability: Availability,
    /// Whose ringing calls it may answer by `pickup`: those of users of the same groups.
    pub pickup_groups: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum UserSecret {
    Password(Secret),
    /// MD5 of user:realm:password, as hexadecimal.
    Ha1(Secret),
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod network_tests {
    use super::*;

    #[test]
    fn networks_contain_by_prefix() {
        let check = |net: &str, prefix, ip: &str| {
            Network { address: net.parse().unwrap(), prefix }.contains(ip.parse().unwrap())
        };
        assert!(check("127.0.0.0", 8, "127.9.9.9") && !check("127.0.0.1", 32, "127.0.0.2"));
        assert!(check("0.0.0.0", 0, "8.8.8.8") && !check("0.0.0.0", 0, "::1"));
        assert!(
            check("2001:db8::", 32, "2001:db8:1::5")
                && check("::", 0, "::1")
                && check("10.0.0.0", 8, "::ffff:10.1.1.1")
        );
    }
}
