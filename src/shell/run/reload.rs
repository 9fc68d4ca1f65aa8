//! Reload: everything is read and checked, then handed to the core whole; or nothing changes, and every fault is told.

use crate::config::{Certificate, Config, Http};
use crate::shell::capture::Secrecy;
use crate::shell::files::{self, Loaded};
use crate::shell::identity::Keys;
use crate::shell::mail::Mail;
use crate::shell::media::Prompts;
use crate::shell::net::tls::Tls;
use crate::sip::transport::Listener;
use crate::switch::{Operator, Reply};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Reloads one at a time.
pub struct Reloader {
    file: PathBuf,
    listeners: Vec<Listener>,
    mail: Mail,
    prompts: Arc<Prompts>,
    tls: Tls,
    secrecy: Secrecy,
    keys: Keys,
    /// The configuration in force.
    current: Mutex<Config>,
}

impl Reloader {
    pub fn new(
        loaded: &Loaded,
        listeners: Vec<Listener>,
        mail: Mail,
        prompts: Arc<Prompts>,
        (tls, keys, secrecy): (Tls, Keys, Secrecy),
    ) -> Reloader {
        let (file, current) = (loaded.file.clone(), Mutex::new(loaded.config.clone()));
        Reloader { file, listeners, mail, prompts, tls, secrecy, keys, current }
    }

    /// Applies the file as it is now; every fault, if it stays as it was.
    pub async fn reload(&self) -> Result<(), Vec<String>> {
        let mut current = self.current.lock().await;
        let (file, prompts) = (self.file.clone(), Arc::clone(&self.prompts));
        let read = move || {
            let loaded =
                files::load(&file).map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
            let faults = prompts.preload(loaded.dialplan.prompts());
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            if faults.is_empty() { Ok(loaded) } else { Err(faults) }
        };
        let loaded = tokio::task::spawn_blocking(read).await.map_err(|e| vec![e.to_string()])??;
        let fixed = fixed(&current, &loaded.config);
        if !fixed.is_empty() {
            return Err(fixed);
        }
        super::keep_secret(&loaded).map_err(|refusal| vec![refusal.1])?;
        if super::has_secrets(&loaded) {
            // Before the first call of the new configuration; calls of the old one may still be asked, so it is never taken back.
            self.secrecy.set(true);
        }
        let setup = super::setup(&loaded, self.listeners.clone());
        match self.mail.operator(Operator::Reload(Box::new(setup))).await {
            Some(Reply::Done) => {
                *current = loaded.config;
                self.tls.replace(loaded.tls);
                self.keys.replace(loaded.identity);
                Ok(())
            }
            Some(Reply::Refused(why)) => Err(vec![why]),
            Some(other) => Err(vec![format!("the switch answered {other:?}")]),
            None => Err(vec!["the switch is stopping".into()]),
        }
    }

    pub async fn drain_timeout(&self) -> std::time::Duration {
        self.current.lock().await.drain_timeout
    }
}

/// What holds sockets, threads or files open cannot change while they are: a sentence for each such change.
fn fixed(old: &Config, new: &Config) -> Vec<String> {
    let keys = [
        ("node", old.node != new.node),
        ("data_dir", old.data_dir != new.data_dir),
        ("store", old.store != new.store),
        ("sip.listen", old.sip.listen != new.sip.listen),
        ("sip.external_address", old.sip.external_address != new.sip.external_address),
        ("sip.websocket_origins", old.sip.reach.websocket_origins != new.sip.reach.websocket_origins),
        ("sip.dns", old.sip.reach.name_servers != new.sip.reach.name_servers),
        ("media.address", old.media.addresses != new.media.addresses),
        ("media.ports", old.media.ports != new.media.ports),
        ("media.threads", old.media.threads != new.media.threads),
        ("media.prompts", old.media.prompts != new.media.prompts),
        ("recording.format", old.recording.format != new.recording.format),
        ("recording.retention", old.recording.retention != new.recording.retention),
        (
            "recording.encryption",
            (&old.recording.key, &old.recording.old_keys) != (&new.recording.key, &new.recording.old_keys),
        ),
        ("capture", old.capture != new.capture),
        ("hep", old.hep != new.hep),
        ("speech", old.speech != new.speech),
        ("web", old.web != new.web),
        ("http", without_certificate(&old.http) != without_certificate(&new.http)),
    ];
    let changed = keys.iter().filter(|(_, is_changed)| *is_changed);
    changed.map(|(key, _)| format!("{key} cannot change while the switch runs: drain and start it again")).collect()
}

/// Another certificate is taken, but not TLS where there was none.
fn without_certificate(http: &Http) -> Http {
    let tls = http.tls.as_ref().map(|_| Certificate { certificate: Default::default(), key: Default::default() });
    Http { tls, ..http.clone() }
}
