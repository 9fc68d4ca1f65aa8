//! The main thread's work while the switch runs: signals, systemd, the end.

use super::{BROKEN, DONE, End, Running};
use crate::shell::mail::Mail;
use crate::switch::{Operator, Reply};
use sd_notify::NotifyState;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

/// How long calls that are hung up at the end have to say goodbye.
const FAREWELL: Duration = Duration::from_secs(2);
/// The same after a second SIGTERM.
const SHORT_FAREWELL: Duration = Duration::from_millis(500);

/// The signals that mean something.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.hangup.recv() => Heard::Reload,
            _ = self.terminate.recv() => Heard::End,
            _ = self.interrupt.recv() => Heard::End,
        }
    }

    /// SIGTERM or SIGINT.
    async fn end(&mut self) {
        while self.next().await != Heard::End {}
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Heard {
    Reload,
    End,
}

fn notify(states: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(states);
}

impl Running {
    /// Waits for the end, whoever wants it; the exit code.
    pub async fn supervise(mut self) -> u8 {
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => {
                tracing::error!(%error, "signals cannot be heard");
                self.mail.stop();
                return self.finish(None).await;
            }
        };
        let watchdog = tokio::spawn(feed_watchdog(self.mail.clone()));
        // The loop answers: calls can come.
        if self.mail.report().await.is_some() {
            notify(&[NotifyState::Ready]);
            tracing::info!("ready");
        }
        let end = loop {
            tokio::select! {
                end = &mut self.ended => break Some(end.unwrap_or(End::Panicked)),
                heard = signals.next() => match heard {
                    Heard::Reload => self.reload().await,
                    Heard::End => break self.drain(&mut signals).await,
                },
            }
        };
        notify(&[NotifyState::Stopping]);
        watchdog.abort();
        self.finish(end).await
    }

    async fn reload(&self) {
        let begin = NotifyState::monotonic_usec_now();
        if let Ok(begin) = begin {
            notify(&[NotifyState::Reloading, begin]);
        }
        match self.reloader.reload().await {
            Ok(()) => tracing::info!("the new configuration is in force"),
            Err(faults) => {
                for fault in &faults {
                    tracing::error!("{fault}");
                }
                tracing::error!(faults = faults.len(), "the configuration stays as it was");
            }
        }
        notify(&[NotifyState::Ready]);
    }

    /// Takes no new calls and waits for the last one, for `drain_timeout`, or for a second signal; then hangs up what is left.
    async fn drain(&mut self, signals: &mut Signals) -> Option<End> {
        notify(&[NotifyState::Stopping]);
        let patience = self.reloader.drain_timeout().await;
        tracing::info!(timeout_s = patience.as_secs(), "draining; a second signal ends at once");
        self.mail.operator(Operator::Drain).await;
        let farewell = tokio::select! {
            end = &mut self.ended => return Some(end.unwrap_or(End::Panicked)),
            () = tokio::time::sleep(patience) => FAREWELL,
            () = signals.end() => SHORT_FAREWELL,
        };
        let left = hang_up_all(&self.mail).await;
        tracing::warn!(calls = left, "calls are hung up");
        let end = tokio::select! {
            end = timeout(farewell, &mut self.ended) => end.ok().map(|end| end.unwrap_or(End::Panicked)),
            () = signals.end() => None,
        };
        if end.is_none() {
            self.mail.stop();
        }
        end
    }

    /// Joins the threads: records that are on their way reach the store.
    async fn finish(self, end: Option<End>) -> u8 {
        let Running { ended, control, ledger, condition, .. } = self;
        let end = match end {
            Some(end) => end,
            None => timeout(FAREWELL, ended).await.ok().and_then(Result::ok).unwrap_or(End::Panicked),
        };
        let joined = tokio::task::spawn_blocking(move || (control.join().is_ok(), ledger.join().is_ok()));
        // The ledger itself bounds its farewell to a failing store.
        if !matches!(timeout(Duration::from_secs(8), joined).await, Ok(Ok((_, true)))) {
            tracing::error!("the ledger did not end");
        }
        let lost = condition.records_lost.load(Ordering::Relaxed);
        if lost > 0 {
            tracing::error!(lost, "records are in the log only");
        }
        match end {
            End::Done => {
                tracing::info!("tandem ends");
                DONE
            }
            End::Failed(why) => {
                tracing::error!("{why}");
                BROKEN
            }
            End::Panicked => {
                tracing::error!("the control thread broke off: see the bug above");
                BROKEN
            }
        }
    }
}

/// Ends every call that lives; how many.
async fn hang_up_all(mail: &Mail) -> usize {
    let Some(Reply::Calls(calls)) = mail.operator(Operator::Calls).await else { return 0 };
    for call in &calls {
        mail.operator(Operator::Hangup(call.call)).await;
    }
    calls.len()
}

/// Tells systemd's watchdog that the control thread turns; a loop that hangs is not fed, and systemd starts it again.
async fn feed_watchdog(mail: Mail) {
    let Some(interval) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = tokio::time::interval(interval / 3);
    loop {
        ticks.tick().await;
        if matches!(timeout(interval / 3, mail.report()).await, Ok(Some(_))) {
            notify(&[NotifyState::Watchdog]);
        }
    }
}
