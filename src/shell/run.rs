//! `tandem run`: everything is read and bound before anything starts; then signals decide.

mod banner;
mod reload;
mod supervise;
#[cfg(test)]
mod tests;

use super::api::{self, Api};
use super::capture::{self, Capture, Secrecy};
use super::clock::Clock;
use super::control::{Control, Core, Media, Parts};
use super::dns::Dns;
use super::dumps;
use super::files::{self, Loaded};
use super::hearing;
use super::hep;
use super::identity::{Identity, Keys};
use super::ledger::{self, Condition};
use super::logs;
use super::mail::{Mail, Mailbox, mail};
use super::media::{MediaEngine, MediaSettings, Prompts};
use super::net::tls::Tls;
use super::net::{self, Bound, Limits, Streams, advertised, describe, raise_open_files};
use super::outside::Outside;
use super::recording::{self, folder::OnDisk};
use super::resident;
use super::speech;
use super::store::{self, Recordings, Sqlite};
use super::web;
use crate::config::Config;
use crate::sip::transport::{Listener, ListenerId, Transport};
use crate::switch::{Setup, Switch};
use reload::Reloader;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Done; bad configuration or a system that refuses what is needed; no address to listen on; our own fault.
const DONE: u8 = 0;
const BAD: u8 = 1;
const NOT_BOUND: u8 = 3;
const BROKEN: u8 = 70;

/// Why a switch did not start: exit code and sentence.
struct Refusal(u8, String);

/// How the control thread ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Drained, or stopped as it was told to.
    Done,
    Failed(String),
    Panicked,
}

/// Runs until drained or stopped; the exit code.
pub fn run(file: &Path, format: Option<logs::Format>, level: &str) -> u8 {
    if let Err(sentence) = logs::start(format, level) {
        return refuse(&Refusal(2, sentence));
    }
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current().name().unwrap_or("?").to_owned();
        let trace = std::backtrace::Backtrace::force_capture();
        tracing::error!(target: "bug", thread, %trace, "{panic}");
    }));
    resident::keep();
    let loaded = match files::load(file) {
        Ok(loaded) => loaded,
        Err(faults) => {
            let sentences: Vec<String> = faults.iter().map(ToString::to_string).collect();
            return refuse(&Refusal(BAD, sentences.join("\n")));
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return refuse(&Refusal(BAD, format!("the runtime does not start: {}", describe(&e)))),
    };
    let code = runtime.block_on(async {
        match start(loaded).await {
            Ok(running) => running.supervise().await,
            Err(refusal) => refuse(&refusal),
        }
    });
    // A reader of the store that still waits for the disk does not hold the end up.
    runtime.shutdown_background();
    code
}

/// One line on stderr for whoever started the program, whatever the log's format.
fn refuse(Refusal(code, sentence): &Refusal) -> u8 {
    super::cli::complain(sentence);
    *code
}

/// What runs, as the main thread sees it.
struct Running {
    mail: Mail,
    ended: oneshot::Receiver<End>,
    control: std::thread::JoinHandle<()>,
    ledger: std::thread::JoinHandle<()>,
    condition: Arc<Condition>,
    reloader: Arc<Reloader>,
}

/// What must be had before threads start.
struct Grants {
    bound: Bound,
    http: std::net::TcpListener,
    store: Sqlite,
    prompts: Arc<Prompts>,
    folder: OnDisk,
    rows: Recordings,
}

fn acquire(loaded: &Loaded) -> Result<Grants, Refusal> {
    let (file, config) = (&loaded.file, &loaded.config);
    let bound = net::bind(&config.sip.listen)
        .map_err(|fault| Refusal(NOT_BOUND, files::sip_bind_sentence(file, config, &fault)))?;
    let listen = config.http.listen;
    let http = std::net::TcpListener::bind(listen).map_err(|e| {
        let sentence = format!("could not listen on http://{listen}: {}", describe(&e));
        Refusal(NOT_BOUND, files::bind_sentence(file, "http.listen", None, &sentence))
    })?;
    let path = store::file(&config.data_dir);
    let store = Sqlite::open(&path).map_err(|fault| Refusal(BAD, format!("{}: {fault}", path.display())))?;
    let prompts = Prompts::new(config.media.prompts.clone())
        .map_err(|e| Refusal(BAD, format!("the prompts' thread does not start: {}", describe(&e))))?;
    let faults = prompts.preload(loaded.dialplan.prompts());
    if !faults.is_empty() {
        let sentences: Vec<String> = faults.iter().map(ToString::to_string).collect();
        return Err(Refusal(BAD, sentences.join("\n")));
    }
    let rows = Recordings::open(&path).map_err(|fault| Refusal(BAD, format!("{}: {fault}", path.display())))?;
    let folder = recording::folder(&config.data_dir);
    let folder = OnDisk::open(&folder).map_err(|e| {
        let why = match e.kind() {
            std::io::ErrorKind::WouldBlock => "another process records there".into(),
            _ => describe(&e),
        };
        Refusal(BAD, format!("{}: {why}", folder.display()))
    })?;
    Ok(Grants { bound, http, store, prompts, folder, rows })
}

/// Whether callers may be asked for what nobody else may know.
fn has_secrets(loaded: &Loaded) -> bool {
    loaded.config.is_pci() || loaded.dialplan.is_pci()
}

/// Where callers may be asked for what nobody else may know, no image of the memory is left behind.
fn keep_secret(loaded: &Loaded) -> Result<(), Refusal> {
    if !has_secrets(loaded) {
        return Ok(());
    }
    dumps::forbid().map_err(|e| Refusal(BAD, format!("pci: core dumps cannot be forbidden: {}", describe(&e))))
}

async fn start(mut loaded: Loaded) -> Result<Running, Refusal> {
    let tls = Tls::new(std::mem::take(&mut loaded.tls));
    let keys = Keys::new(std::mem::take(&mut loaded.identity));
    keep_secret(&loaded)?;
    let files_max = raise_open_files();
    let Grants { bound, http, store, prompts, folder, rows } = acquire(&loaded)?;
    let system = |what: &str| {
        let what = what.to_owned();
        move |e: std::io::Error| Refusal(BAD, format!("{what}: {}", describe(&e)))
    };
    let mut listening = bound.listeners.clone();
    let sip = web_listener(&loaded.config, &http, &mut listening);
    let listeners = listeners(&loaded.config, &listening);
    banner::banner(&loaded, &listeners, http.local_addr().unwrap_or(loaded.config.http.listen), files_max);
    let (mail, mailbox) = mail().map_err(system("no event descriptor"))?;
    let acks = mail.clone();
    let (ledger, condition, ledger_thread) =
        ledger::start(store, move |calls| acks.stored(calls)).map_err(system("the ledger's thread does not start"))?;
    let streams = Streams::new(mail.clone(), Limits::default(), bound.streams, tls.clone())
        .map_err(system("the stream listeners"))?;
    let setup = setup(&loaded, listeners.clone());
    let secrecy = Secrecy::default();
    let capture = capture(&loaded, &listeners, &secrecy).map_err(system("the capture agent's thread"))?;
    let held = (tls.clone(), keys.clone(), secrecy);
    let reloader = Arc::new(Reloader::new(&loaded, listeners, mail.clone(), Arc::clone(&prompts), held));
    let (begun, ended) = oneshot::channel();
    let clock = Clock::new();
    let seed = random().map_err(system("no random numbers"))?;
    let settings = media_settings(&loaded.config, u64::from_le_bytes(seed));
    let udp = bound.udp;
    let sip = api::Sip {
        streams: streams.clone(),
        listener: sip.0,
        transport: sip.1,
        tls,
        origins: loaded.config.sip.reach.websocket_origins.clone().into(),
    };
    let web = web::start(web::Settings::of(&loaded.config, u64::from_le_bytes(seed)), mail.clone());
    let web = web.map_err(system("the web client does not start"))?;
    let speech = speech::start(&speech::Settings::of(&loaded.config), &mail);
    let speech = speech.map_err(system("the speech threads do not start"))?;
    let (hearing_settings, hearing_mail) = (hearing::Settings::of(&loaded.config), mail.clone());
    let dns = Dns::start(&loaded.config.sip.reach.name_servers, mail.clone());
    let identity = Identity::new(&loaded.config, keys, mail.clone());
    let (recordings, recorded) = (recording::Settings::of(&loaded.config), mail.clone());
    let (thread_streams, thread_mail) = (streams.clone(), mailbox);
    let (known, changed) = (known(&loaded.config), changed(&loaded.config));
    let control = std::thread::Builder::new().name("control".into()).spawn(move || {
        let make = move || -> std::io::Result<_> {
            let mut media = MediaEngine::start(settings, prompts, clock)?;
            let taps = media.take_taps();
            let heard = media.take_overheard();
            let hearing = hearing::start(hearing_settings, heard, clock, &hearing_mail)?;
            let parts = recording::Parts { settings: recordings, folder, rows, taps, clock };
            media.attach(recording::start(parts, move |event| recorded.recording(event))?);
            let mut core = Switch::new(setup, u64::from_le_bytes(random()?), clock.now());
            core.set_nonce_key(random()?);
            core.set_key_seed(random()?);
            core.set_settings(known);
            core.set_changed(changed);
            let (streams, mailbox): (Streams, Mailbox) = (thread_streams, thread_mail);
            Control::new(Parts {
                core,
                media,
                clock,
                udp,
                streams,
                mailbox,
                ledger,
                outside: Outside::new(web, speech, dns, hearing, identity),
                capture,
            })
        };
        let _ = begun.send(guard(make));
    });
    let control = control.map_err(system("the control thread does not start"))?;
    let api = Arc::new(Api {
        mail: mail.clone(),
        store: store::file(&loaded.config.data_dir),
        realm: loaded.config.sip.domain.clone(),
        condition: Arc::clone(&condition),
        recordings: recording::Settings::of(&loaded.config),
        credentials: files::credentials(&loaded.config.http),
        reload: {
            let reloader = Arc::clone(&reloader);
            Box::new(move || {
                let reloader = Arc::clone(&reloader);
                Box::pin(async move { reloader.reload().await })
            })
        },
        connections: Box::new(move || streams.connections()),
    });
    tokio::spawn(async move {
        if let Err(error) = api::serve(http, api, Some(sip)).await {
            tracing::error!(%error, "the HTTP interface ended");
        }
    });
    Ok(Running { mail, ended, control, ledger: ledger_thread, condition, reloader })
}

/// What is kept of calls' messages, and who is sent a copy.
fn capture(loaded: &Loaded, listeners: &[Listener], secrecy: &Secrecy) -> std::io::Result<Capture> {
    secrecy.set(has_secrets(loaded));
    let exporter = loaded.config.hep.as_ref().map(hep::start).transpose()?;
    let (settings, listeners, secrecy) = (loaded.config.capture.clone(), listeners.to_vec(), secrecy.clone());
    Ok(Capture::new(capture::Parts { settings, listeners, secrecy, exporter }))
}

/// What the REST interface has been told.
fn known(config: &Config) -> crate::switch::Settings {
    store::known(&store::file(&config.data_dir), &config.sip.domain).unwrap_or_else(|fault| {
        tracing::warn!(%fault, "the settings of the REST interface cannot be read");
        Default::default()
    })
}

/// What users have changed of where their calls go.
fn changed(config: &Config) -> std::collections::BTreeMap<String, crate::event::Changed> {
    store::changed(&store::file(&config.data_dir)).unwrap_or_else(|fault| {
        tracing::warn!(%fault, "what users changed of their forwarding cannot be read");
        Default::default()
    })
}

/// Runs the loop; a panic in it is logged by the hook, and what the ledger was owed is handed over. Nothing goes on with a core
/// whose state nobody knows: the process ends and systemd starts it again.
fn guard<C: Core, M: Media>(make: impl FnOnce() -> std::io::Result<Control<C, M>>) -> End {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    let mut control = match catch_unwind(AssertUnwindSafe(make)) {
        Ok(Ok(control)) => control,
        Ok(Err(e)) => return End::Failed(format!("the control thread does not start: {}", describe(&e))),
        Err(_) => return End::Panicked,
    };
    match catch_unwind(AssertUnwindSafe(|| control.run())) {
        Ok(Ok(())) => End::Done,
        Ok(Err(e)) => End::Failed(format!("the control thread cannot wait: {}", describe(&e))),
        Err(_) => {
            control.rescue();
            End::Panicked
        }
    }
}

/// The HTTP port as SIP's listener for WebSockets, after those of `sip.listen`.
fn web_listener(
    config: &Config,
    http: &std::net::TcpListener,
    listening: &mut Vec<(ListenerId, Transport, SocketAddr)>,
) -> (ListenerId, Transport) {
    let is_secure = config.http.tls.is_some() || config.http.behind_proxy;
    let transport = if is_secure { Transport::Wss } else { Transport::Ws };
    let id = ListenerId(u16::try_from(listening.len()).unwrap_or(u16::MAX));
    listening.push((id, transport, http.local_addr().unwrap_or(config.http.listen)));
    (id, transport)
}

/// The listening addresses as the core writes them into Via and Contact.
fn listeners(config: &Config, bound: &[(ListenerId, Transport, SocketAddr)]) -> Vec<Listener> {
    let towards = config.trunks.iter().flat_map(|t| &t.targets).find_map(|t| {
        let uri = crate::sip::wire::Uri::parse(&t.uri)?;
        uri.ip()
    });
    let listener = |&(id, transport, local): &(ListenerId, Transport, SocketAddr)| Listener {
        id,
        transport,
        local,
        advertised: advertised(local, None, towards),
    };
    bound.iter().map(listener).collect()
}

/// What the core is built from.
fn setup(loaded: &Loaded, listeners: Vec<Listener>) -> Setup {
    Setup {
        config: Arc::new(loaded.config.clone()),
        dialplan: Arc::clone(&loaded.dialplan),
        rates: Arc::clone(&loaded.rates),
        listeners,
    }
}

fn media_settings(config: &Config, seed: u64) -> MediaSettings {
    let wildcard = config.media.addresses.iter().find(|ip| ip.is_unspecified());
    MediaSettings {
        addresses: config.media.addresses.clone(),
        external: wildcard.map(|ip| advertised(SocketAddr::new(*ip, 0), None, None).ip()),
        ports: config.media.ports,
        threads: config.media.threads,
        io: config.media.io,
        forwarding: config.media.forwarding,
        country: config.media.country.clone(),
        seed,
    }
}

/// Octets of the system's randomness.
pub fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut octets = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut octets)?;
    Ok(octets)
}

/// Whether all who can reach the address are on this machine.
fn is_local(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
