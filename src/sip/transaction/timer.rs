//! Timers of the four machines (RFC 3261 §17, table 4; RFC 6026 §7, §8) and the two that one transaction may run at a time.

use crate::base::time::{Duration, Instant};

/// Estimate of the round trip.
pub const T1: Duration = Duration::from_millis(500);
/// Longest interval between retransmissions of a non-INVITE request or of an INVITE response.
pub const T2: Duration = Duration::from_secs(4);
/// Longest time that a message stays in the network.
pub const T4: Duration = Duration::from_secs(5);
/// 64·T1: how long a request waits for its response.
pub const T1_64: Duration = Duration::from_secs(32);

/// What a transaction waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timer {
    /// INVITE again, T1 doubling without a cap; unreliable transports only.
    A,
    /// No response to INVITE: 64·T1.
    B,
    /// No final response to INVITE after a provisional one; each 101–199 starts it anew (§16.6 step 11).
    C,
    /// Absorbs retransmitted non-2xx finals to INVITE: 32 s; zero on reliable transports.
    D,
    /// Non-INVITE request again, T1 doubling up to T2; unreliable transports only.
    E,
    /// No final response to a non-INVITE request: 64·T1.
    F,
    /// Non-2xx final to INVITE again, T1 doubling up to T2; unreliable transports only.
    G,
    /// No ACK to a non-2xx final: 64·T1.
    H,
    /// Absorbs retransmitted ACKs: T4; zero on reliable transports.
    I,
    /// Absorbs retransmitted non-INVITE requests: 64·T1; zero on reliable transports.
    J,
    /// Absorbs retransmitted responses to non-INVITE requests: T4; zero on reliable transports.
    K,
    /// Absorbs retransmitted INVITEs after a 2xx (RFC 6026): 64·T1. Also how long the ACK to the 2xx is waited for.
    L,
    /// Lets further 2xx through to the user (RFC 6026): 64·T1.
    M,
    /// The user has not answered an INVITE: 200 ms, then 100 (§17.2.1).
    Trying,
    /// The last provisional response to INVITE again, each minute, so that no proxy gives the call up (§13.3.1.1).
    Provisional,
    /// A reliable provisional response to INVITE again, T1 doubling without a cap, on every transport (RFC 3262 §3).
    Reliable,
    /// No PRACK to a reliable provisional response: 64·T1 (RFC 3262 §3).
    Pracked,
    /// 2xx to INVITE again, T1 doubling up to T2, on every transport (§13.3.1.4).
    Ok,
    /// No final response to a cancelled INVITE: 64·T1 (§9.1).
    Cancelled,
    /// The user has never answered a non-INVITE request: 64·T1, when the peer has given up too (RFC 4320).
    Unanswered,
}

/// How a timer runs over a reliable transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reliable {
    /// As over an unreliable one.
    Same,
    /// Not at all (retransmission), or for no time (lingering).
    Off,
}

impl Timer {
    /// The one table: name, first interval, cap of the doubled interval, over reliable transports.
    const fn row(self) -> (&'static str, Duration, Duration, Reliable) {
        use Reliable::{Off, Same};
        match self {
            Timer::A => ("timer A", T1, Duration::MAX, Off),
            Timer::B => ("timer B", T1_64, T1_64, Same),
            Timer::C => ("timer C", Duration::from_secs(180), Duration::from_secs(180), Same),
            Timer::D => ("timer D", T1_64, T1_64, Off),
            Timer::E => ("timer E", T1, T2, Off),
            Timer::F => ("timer F", T1_64, T1_64, Same),
            Timer::G => ("timer G", T1, T2, Off),
            Timer::H => ("timer H", T1_64, T1_64, Same),
            Timer::I => ("timer I", T4, T4, Off),
            Timer::J => ("timer J", T1_64, T1_64, Off),
            Timer::K => ("timer K", T4, T4, Off),
            Timer::L => ("timer L", T1_64, T1_64, Same),
            Timer::M => ("timer M", T1_64, T1_64, Same),
            Timer::Trying => ("100 Trying due", Duration::from_millis(200), T1, Same),
            Timer::Provisional => ("1xx again", Duration::from_secs(60), Duration::from_secs(60), Same),
            Timer::Reliable => ("reliable 1xx again", T1, Duration::MAX, Same),
            Timer::Pracked => ("PRACK awaited", T1_64, T1_64, Same),
            Timer::Ok => ("2xx again", T1, T2, Same),
            Timer::Cancelled => ("cancelled INVITE", T1_64, T1_64, Same),
            Timer::Unanswered => ("request unanswered", T1_64, T1_64, Same),
        }
    }

    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The time that it runs when first set; zero if it does not run over this transport.
    pub const fn first(self, reliable: bool) -> Duration {
        let (_, first, _, over_reliable) = self.row();
        if reliable && matches!(over_reliable, Reliable::Off) { Duration::ZERO } else { first }
    }

    fn doubled(self, interval: Duration) -> Duration {
        interval.saturating_mul(2).min(self.row().2)
    }
}

/// What one transaction waits for: the next retransmission, and the end of its state.
#[derive(Debug, Default)]
pub(super) struct Clock {
    again: Option<(Timer, Instant, Duration)>,
    limit: Option<(Timer, Instant)>,
}

impl Clock {
    /// Retransmission from now on; nothing where the transport does it.
    pub fn start_again(&mut self, now: Instant, timer: Timer, reliable: bool) {
        let interval = timer.first(reliable);
        self.again = (interval > Duration::ZERO).then(|| (timer, now + interval, interval));
    }

    /// Timer E stays at T2 once a provisional response has come (§17.1.2.2).
    pub fn slow_again(&mut self) {
        if let Some((_, _, interval)) = &mut self.again {
            *interval = T2;
        }
    }

    pub fn stop_again(&mut self) {
        self.again = None;
    }

    /// The state ends when `timer` has run; replaces the limit before. False if it runs for no time: the state ends now.
    #[must_use]
    pub fn start_limit(&mut self, now: Instant, timer: Timer, reliable: bool) -> bool {
        let length = timer.first(reliable);
        self.start_limit_of(now, timer, length);
        length > Duration::ZERO
    }

    pub fn start_limit_of(&mut self, now: Instant, timer: Timer, length: Duration) {
        self.limit = Some((timer, now + length));
    }

    pub fn stop_limit(&mut self) {
        self.limit = None;
    }

    /// The nearer of the two.
    pub fn next(&self) -> Option<(Instant, Timer)> {
        let again = self.again.map(|(timer, at, _)| (at, timer));
        let limit = self.limit.map(|(timer, at)| (at, timer));
        match (again, limit) {
            (Some(a), Some(l)) => Some(if a.0 < l.0 { a } else { l }),
            (a, l) => a.or(l),
        }
    }

    /// The timer that has run out, if any; the end of the state first. A retransmission is set anew, from `now`, so that a
    /// late wake-up never bursts.
    pub fn take_due(&mut self, now: Instant) -> Option<Timer> {
        if let Some((timer, at)) = self.limit
            && at <= now
        {
            self.limit = None;
            return Some(timer);
        }
        let (timer, at, interval) = self.again.filter(|(_, at, _)| *at <= now)?;
        let interval = timer.doubled(interval);
        self.again = Some((timer, now + interval, interval));
        debug_assert!(at <= now);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moments in ms at which `timer` runs out within 40 s, beside a limit of 32 s.
    fn schedule(timer: Timer, reliable: bool) -> Vec<u64> {
        let mut clock = Clock::default();
        clock.start_again(Instant::ZERO, timer, reliable);
        assert!(clock.start_limit(Instant::ZERO, Timer::B, reliable));
        let mut at = Vec::new();
        while let Some((now, _)) = clock.next() {
            match clock.take_due(now) {
                Some(Timer::B) => break,
                Some(_) => at.push(now.as_micros() / 1000),
                None => unreachable!(),
            }
        }
        at
    }

    #[test]
    fn intervals_double_up_to_their_cap_and_not_over_reliable_transports() {
        let capped = [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];
        let rows: [(Timer, bool, &[u64]); 6] = [
            (Timer::A, false, &[500, 1500, 3500, 7500, 15500, 31500]),
            (Timer::A, true, &[]),
            (Timer::E, false, &capped),
            (Timer::G, false, &capped),
            (Timer::G, true, &[]),
            (Timer::Ok, true, &capped),
        ];
        for (timer, reliable, want) in rows {
            assert_eq!(schedule(timer, reliable), want, "{timer:?} reliable {reliable}");
        }
    }

    #[test]
    fn a_late_wake_up_retransmits_once_and_a_limit_wins() {
        let at = Instant::from_micros;
        let mut clock = Clock::default();
        clock.start_again(at(0), Timer::E, false);
        assert!(clock.start_limit(at(0), Timer::F, false));
        assert_eq!(clock.take_due(at(20_000_000)), Some(Timer::E));
        assert_eq!(clock.take_due(at(20_000_000)), None);
        assert_eq!(clock.next(), Some((at(21_000_000), Timer::E)));
        assert_eq!(clock.take_due(at(40_000_000)), Some(Timer::F));
    }
}
