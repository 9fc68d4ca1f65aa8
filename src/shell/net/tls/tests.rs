use super::*;
use crate::shell::mail::{Mailbox, mail};
use crate::shell::net::{Limits, Streams, bind};
use crate::sip::transport::{Flow, ListenerId, NameId};
use crate::switch::Input;
use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use std::net::SocketAddr;
use std::time::Duration;

/// A folder of PEM files that is removed with it.
pub struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tandem-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    /// An authority `NAME.pem`, and by it the certificate `NAME-host.pem` and key `NAME-host.key` for localhost and 127.0.0.1.
    pub fn authority(&self, name: &str, years: (i32, i32)) {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        self.put(&format!("{name}.pem"), &ca.pem());
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &ca).unwrap();
        self.put(&format!("{name}-host.pem"), &certificate.pem());
        self.put(&format!("{name}-host.key"), &key.serialize_pem());
    }

    /// A configuration whose `sip.tls`, `http` and trunk (to 127.0.0.1 and localhost) say what is given.
    fn config(&self, sip: &str, trunk: &str) -> Config {
        let text = format!(
            "sip: {{ listen: tls://127.0.0.1:5061, tls: {{ {sip} }} }}\n\
             trunks: [ {{ name: t, context: c, targets: [\"sips:127.0.0.1\", \"sips:localhost\"], tls: {{ {trunk} }} }} ]"
        );
        let mut config = Config::read("t.yaml", &text, &crate::config::NoSecrets).unwrap().config;
        config.resolve_paths(&self.0);
        config
    }

    /// For an HTTP port with the first authority's certificate, and for a client that trusts it.
    pub fn http(&self) -> Tls {
        let mut config = self.config(HOST, "ca: a.pem");
        config.http.tls = config.sip.tls.as_ref().map(|tls| tls.own.clone());
        Tls::new(load(&config, SystemTime::now()).unwrap())
    }

    fn pin(&self, file: &str) -> String {
        use sha2::{Digest, Sha256};
        let text = std::fs::read(self.0.join(file)).unwrap();
        let octets: [u8; 32] = Sha256::digest(CertificateDer::from_pem_slice(&text).unwrap()).into();
        octets.map(|b| format!("{b:02X}")).join(":")
    }
}

const HOST: &str = "certificate: a-host.pem, key: a-host.key";

#[test]
fn files_that_cannot_serve_are_named_with_their_place() {
    let folder = Folder::new("faults");
    folder.authority("a", (2020, 4000));
    folder.authority("b", (2020, 4000));
    folder.authority("old", (2020, 2021));
    folder.authority("new", (3000, 3001));
    folder.put("text.pem", "no certificate\n");
    let rows = [
        (HOST, "ca: b.pem", ""),
        (
            "certificate: nothing.pem, key: a-host.key",
            "",
            "sip tls certificate: nothing.pem cannot be read: no such file or directory; expected a PEM file",
        ),
        (
            "certificate: text.pem, key: a-host.key",
            "",
            "sip tls certificate: text.pem holds no certificate; expected one in PEM, from -----BEGIN CERTIFICATE----- on",
        ),
        (
            "certificate: a-host.pem, key: a-host.pem",
            "",
            "sip tls key: a-host.pem holds no private key; expected one in PEM, without a passphrase",
        ),
        (
            "certificate: a-host.pem, key: b-host.key",
            "",
            "sip tls key: b-host.key is not the key of a-host.pem; expected the private key that the certificate was made for",
        ),
        (
            "certificate: old-host.pem, key: old-host.key",
            "",
            "sip tls certificate: old-host.pem has expired on 2021-01-01; expected a certificate that is valid today",
        ),
        (
            "certificate: new-host.pem, key: new-host.key",
            "",
            "sip tls certificate: new-host.pem is valid from 3000-01-01 only; expected a certificate that is valid today",
        ),
        (
            "certificate: a-host.pem, key: a-host.key, client_ca: text.pem",
            "",
            "sip tls client_ca: text.pem holds no certificate; expected one in PEM, from -----BEGIN CERTIFICATE----- on",
        ),
        (
            HOST,
            "ca: nothing.pem",
            "trunks 0 tls ca: nothing.pem cannot be read: no such file or directory; expected a PEM file",
        ),
        (
            HOST,
            "certificate: a-host.pem, key: b-host.key",
            "trunks 0 tls key: b-host.key is not the key of a-host.pem; expected the private key that the certificate was made for",
        ),
    ];
    for (sip, trunk, want) in rows {
        let faults = load(&folder.config(sip, trunk), SystemTime::now()).err().unwrap_or_default();
        let shown = faults.iter().map(|f| {
            let place: Vec<String> = f
                .place
                .iter()
                .map(|k| match k {
                    Key::Name(name) => (*name).to_owned(),
                    Key::Item(n) => n.to_string(),
                })
                .collect();
            format!("{}: {}; {}", place.join(" "), f.what, f.expected)
        });
        let shown = shown.collect::<Vec<_>>().join("\n").replace(&format!("{}/", folder.0.display()), "");
        assert_eq!(shown, want, "{sip} {trunk}");
    }
}

/// Two ends on one runtime: what one sends the other hears.
struct Ends {
    runtime: tokio::runtime::Runtime,
    server: Tls,
    client: Streams,
    listening: Streams,
    heard: Mailbox,
    told: Mailbox,
    address: SocketAddr,
}

const MESSAGE: &str = "OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n";

impl Ends {
    fn new(server: &Config, client: &Config, limits: Limits) -> Ends {
        let material = |config| Tls::new(load(config, SystemTime::now()).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let _inside = runtime.enter();
        let listen =
            crate::config::Listen { scheme: crate::config::Scheme::Tls, address: "127.0.0.1:0".parse().unwrap() };
        let bound = bind(&[listen]).unwrap();
        let address = bound.listeners[0].2;
        let ((in_mail, heard), (out_mail, told), tls) = (mail().unwrap(), mail().unwrap(), material(server));
        let listening = Streams::new(in_mail, limits, bound.streams, tls.clone()).unwrap();
        let client = Streams::new(out_mail, limits, Vec::new(), material(client)).unwrap();
        drop(_inside);
        Ends { runtime, server: tls, client, listening, heard, told, address }
    }

    /// Sends by address or by a name; whether it arrives.
    fn arrives(&mut self, name: Option<&str>) -> bool {
        let flow = Flow { listener: ListenerId(0), transport: Transport::Tls, peer: self.address, connection: 0 };
        let flow = name.map_or(flow, |name| flow.to_named(NameId::of(name)));
        assert!(self.client.send(flow, Bytes::from_static(MESSAGE.as_bytes())));
        let Ends { runtime, heard, told, .. } = self;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    Some(input) = heard.streams.recv() => if matches!(input, Input::Received { .. }) { return true },
                    Some(Input::FlowFailed { flow: failed }) = told.streams.recv() => if failed == flow { return false },
                }
            }
        })
    }
}

#[test]
fn a_peer_is_verified_by_authority_name_pin_and_certificate() {
    let folder = Folder::new("verify");
    folder.authority("a", (2020, 4000));
    folder.authority("b", (2020, 4000));
    let own = "certificate: b-host.pem, key: b-host.key";
    let (mutual, optional) =
        (format!("{HOST}, client_ca: b.pem"), format!("{HOST}, client_ca: b.pem, client_certificate: optional"));
    let (pin, other) = (folder.pin("a-host.pem"), folder.pin("b-host.pem"));
    let (name, elsewhere) = (Some("LocalHost"), Some("elsewhere.example.com"));
    let rows = [
        (HOST, "ca: a.pem".to_owned(), None, true),
        (HOST, "ca: a.pem".to_owned(), name, true),
        (HOST, "ca: b.pem".to_owned(), name, false),
        // No trunk's name.
        (HOST, "ca: a.pem".to_owned(), elsewhere, false),
        (HOST, String::new(), None, false),
        (HOST, "verify: false".to_owned(), None, true),
        (HOST, format!("pin: [\"{other}\", \"{pin}\"]"), None, true),
        (HOST, format!("pin: \"{other}\""), None, false),
        (HOST, format!("pin: \"{pin}\", ca: b.pem"), None, false),
        (&mutual, format!("ca: a.pem, {own}"), None, true),
        (&mutual, "ca: a.pem".to_owned(), None, false),
        (&mutual, "ca: a.pem, certificate: a-host.pem, key: a-host.key".to_owned(), None, false),
        (&optional, "ca: a.pem".to_owned(), None, true),
    ];
    for (sip, trunk, name, want) in rows {
        let mut ends = Ends::new(&folder.config(sip, ""), &folder.config(HOST, &trunk), Limits::default());
        assert_eq!(ends.arrives(name), want, "{sip} | {trunk} | {name:?}");
    }
}

#[test]
fn a_trunks_own_connection_serves_our_requests_if_it_proves_the_trunk() {
    let folder = Folder::new("alias");
    folder.authority("a", (2020, 4000));
    folder.authority("b", (2020, 4000));
    let mutual = format!("{HOST}, client_ca: b.pem");
    let rows = [
        // Whom the server takes for its trunk, Via's sent-by, by which name it calls, whether the connection serves.
        ("ca: b.pem", "127.0.0.1:7061;alias", None, true),
        ("ca: b.pem", "127.0.0.1:7061;alias", Some("localhost"), true),
        ("ca: b.pem", "localhost:7061;alias", Some("localhost"), true),
        ("ca: b.pem", "LOCALHOST:7061;branch=z9hG4bK1;alias", Some("localhost"), true),
        ("ca: b.pem", "localhost:7061;alias", None, true),
        // Not wished, another port, another's address, another's name, another authority's certificate, anybody's.
        ("ca: b.pem", "127.0.0.1:7061", None, false),
        ("ca: b.pem", "127.0.0.1:7062;alias", None, false),
        ("ca: b.pem", "127.0.0.2:7061;alias", None, false),
        ("ca: b.pem", "elsewhere.example:7061;alias", Some("localhost"), false),
        ("ca: a.pem", "127.0.0.1:7061;alias", None, false),
        ("verify: false", "127.0.0.1:7061;alias", None, false),
    ];
    for (trunk, sent_by, name, want) in rows {
        let own = "ca: a.pem, certificate: b-host.pem, key: b-host.key";
        let mut ends = Ends::new(&folder.config(&mutual, trunk), &folder.config(HOST, own), Limits::default());
        let text = format!(
            "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TLS {sent_by}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\n\
             CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        let there = Flow { listener: ListenerId(0), transport: Transport::Tls, peer: ends.address, connection: 0 };
        assert!(ends.client.send(there, Bytes::from(text)));
        let Some(Input::Received { .. }) = ends.runtime.block_on(ends.heard.streams.recv()) else {
            panic!("{sent_by}")
        };
        let peer = "127.0.0.1:7061".parse().unwrap();
        let back = Flow { peer, ..there };
        let back = name.map_or(back, |name| back.to_named(NameId::of(name)));
        assert_eq!(ends.listening.local(back).is_some(), want, "{trunk} {sent_by} {name:?}");
        if want {
            assert!(ends.listening.send(back, Bytes::from_static(MESSAGE.as_bytes())));
            let heard = ends.runtime.block_on(ends.told.streams.recv());
            assert!(matches!(heard, Some(Input::Received { .. })), "{sent_by}");
        }
    }
}

#[test]
fn a_new_certificate_is_for_new_handshakes() {
    let folder = Folder::new("reload");
    folder.authority("a", (2020, 4000));
    let config = folder.config(HOST, "ca: a.pem");
    let mut ends = Ends::new(&config, &config, Limits::default());
    assert!(ends.arrives(None));
    folder.authority("a", (2020, 4000));
    ends.server.replace(load(&config, SystemTime::now()).unwrap());
    assert!(ends.arrives(None), "the connection that stands stays");
    assert!(!ends.arrives(Some("localhost")), "the old authority did not sign the new certificate");
}

#[test]
fn silent_handshakes_are_bounded_in_number_and_time() {
    use std::io::Read;
    let folder = Folder::new("silent");
    folder.authority("a", (2020, 4000));
    let config = folder.config(HOST, "ca: a.pem");
    let limits = Limits { handshake: Duration::from_millis(300), handshakes_per_source_max: 2, ..Limits::default() };
    let mut ends = Ends::new(&config, &config, limits);
    let mut silent: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect(ends.address).unwrap()).collect();
    for stream in silent.iter_mut().rev() {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0, "closed");
    }
    assert!(ends.arrives(None), "there is room again");
}
