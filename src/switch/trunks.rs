//! Trunks: which of their targets are up, how many calls they carry, how fast calls come.

mod health;

use super::io::TrunkView;
use super::registrant::Registrants;
use super::world::{TimerKey, World};
use crate::base::limit::Bucket;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::config::{Quality, Trunk, TrunkTarget};
use crate::event::Fact;
use crate::rates::Standing;
pub use health::Figures;
use health::{Change, Measured};

/// How often a target that is down is asked whether it is back.
const PROBE: Duration = Duration::from_secs(10);

struct Target {
    config: TrunkTarget,
    up: bool,
    why: String,
    /// Pings in a row that failed.
    failures: u32,
    /// When a ping was answered last: what became of those sent before says nothing.
    answered: Option<Instant>,
}

struct State {
    config: Trunk,
    targets: Vec<Target>,
    calls: u32,
    bucket: Bucket,
    measured: Measured,
}

/// Why a trunk takes no call now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    Calls,
    Cps,
    Unknown,
}

impl Full {
    pub const fn as_str(self) -> &'static str {
        match self {
            Full::Calls => "limit_trunk_calls",
            Full::Cps => "limit_trunk_cps",
            Full::Unknown => "unknown_trunk",
        }
    }
}

pub struct Trunks(Vec<State>);

impl Trunks {
    pub fn new(config: &[Trunk], now: Instant) -> Trunks {
        Trunks(config.iter().map(|t| State::new(t, now)).collect())
    }

    /// Takes a new configuration; a trunk that stays keeps its calls, and a target what pings and calls have said of it.
    pub fn reload<'a>(&mut self, config: impl Iterator<Item = &'a Trunk>, now: Instant) {
        let mut old = std::mem::take(&mut self.0);
        for trunk in config {
            let mut state = State::new(trunk, now);
            if let Some(i) = old.iter().position(|s| s.config.name == trunk.name) {
                let before = old.swap_remove(i);
                state.calls = before.calls;
                state.measured = before.measured;
                state.measured.reload(&trunk.health);
                if before.config.cps_max == trunk.cps_max {
                    state.bucket = before.bucket;
                }
                for target in &mut state.targets {
                    if let Some(known) = before.targets.iter().find(|t| t.config.uri == target.config.uri) {
                        (target.up, target.why) = (known.up, known.why.clone());
                    }
                }
            }
            self.0.push(state);
        }
    }

    pub fn by_username(&self, username: &str) -> Option<&Trunk> {
        let knows = |t: &&Trunk| t.inbound_auth.as_ref().is_some_and(|c| c.username == username);
        self.0.iter().map(|s| &s.config).find(knows)
    }

    /// The files' and those of the REST API.
    pub fn all(&self) -> impl Iterator<Item = &Trunk> {
        self.0.iter().map(|s| &s.config)
    }

    pub fn get(&self, name: &str) -> Option<&Trunk> {
        self.0.iter().map(|s| &s.config).find(|t| t.name == name)
    }

    /// Books one more call, or says why not.
    pub fn admit(&mut self, name: &str, now: Instant) -> Result<(), Full> {
        let state = self.0.iter_mut().find(|s| s.config.name == name).ok_or(Full::Unknown)?;
        if state.config.calls_max > 0 && state.calls >= state.config.calls_max {
            return Err(Full::Calls);
        }
        if !state.bucket.take(now) {
            return Err(Full::Cps);
        }
        state.calls += 1;
        Ok(())
    }

    /// Books a call that is about to be refused: its leg gives the place back like any other.
    pub fn overbook(&mut self, name: &str) {
        if let Some(state) = self.0.iter_mut().find(|s| s.config.name == name) {
            state.calls += 1;
        }
    }

    pub fn release(&mut self, name: &str) {
        if let Some(state) = self.0.iter_mut().find(|s| s.config.name == name) {
            state.calls = state.calls.saturating_sub(1);
        }
    }

    /// How well a trunk has done of late; `asked` is what it is to reach.
    pub fn standing(&self, name: &str, asked: &Quality, now: Instant) -> Standing {
        let Some(state) = self.0.iter().find(|s| s.config.name == name) else { return Standing::Good };
        match (state.measured.out(), state.measured.below(now, asked)) {
            (Some(why), _) => Standing::Out(why.to_owned()),
            (None, Some(why)) => Standing::Poor(why),
            (None, None) => Standing::Good,
        }
    }

    /// The URIs of a trunk's targets that are up, in the order in which to try them: by priority, then by weight at random
    /// (RFC 2782's way).
    pub fn targets(&self, name: &str, rng: &mut Rng) -> Vec<String> {
        let Some(state) = self.0.iter().find(|s| s.config.name == name) else { return Vec::new() };
        let mut left: Vec<&TrunkTarget> = state.targets.iter().filter(|t| t.up).map(|t| &t.config).collect();
        left.sort_by_key(|t| t.priority);
        let mut order = Vec::with_capacity(left.len());
        while let Some(priority) = left.first().map(|t| t.priority) {
            let same = left.iter().take_while(|t| t.priority == priority).count();
            let total: u64 = left[..same].iter().map(|t| u64::from(t.weight)).sum();
            // Without weights the order is as written.
            let mut ticket = if total == 0 { 0 } else { rng.below(total) };
            let pick = left[..same].iter().position(|t| {
                let mine = u64::from(t.weight);
                let hit = total == 0 || ticket < mine;
                ticket = ticket.saturating_sub(mine);
                hit
            });
            order.push(left.remove(pick.unwrap_or(0)).uri.clone());
        }
        order
    }

    /// How many targets a trunk has, up or not, by its place.
    pub fn target_uri(&self, trunk: usize, target: usize) -> Option<(&Trunk, &str)> {
        let state = self.0.get(trunk)?;
        Some((&state.config, state.targets.get(target)?.config.uri.as_str()))
    }

    /// A target's place, by the names that calls know.
    pub fn place(&self, name: &str, uri: &str) -> Option<(usize, usize)> {
        let trunk = self.0.iter().position(|s| s.config.name == name)?;
        let target = self.0.get(trunk)?.targets.iter().position(|t| t.config.uri == uri)?;
        Some((trunk, target))
    }

    /// Every target that is to be pinged: (trunk, target), by place; those that are down always.
    pub fn pinged(&self) -> Vec<(usize, usize)> {
        let wants = |s: &State, t: usize| s.config.options_ping.is_some() || s.targets.get(t).is_some_and(|t| !t.up);
        let trunks = self.0.iter().enumerate();
        trunks.flat_map(|(i, s)| (0..s.targets.len()).filter(move |t| wants(s, *t)).map(move |t| (i, t))).collect()
    }

    /// A ping has been answered since `sent`.
    pub fn answered_since(&self, trunk: usize, target: usize, sent: Instant) -> bool {
        let target = self.0.get(trunk).and_then(|s| s.targets.get(target));
        target.and_then(|t| t.answered).is_some_and(|at| at > sent)
    }

    pub fn answered(&mut self, trunk: usize, target: usize, now: Instant) {
        if let Some(target) = self.0.get_mut(trunk).and_then(|s| s.targets.get_mut(target)) {
            target.answered = Some(now);
        }
    }

    /// Books a ping that failed; true if that was one too many.
    pub fn ping_failed(&mut self, trunk: usize, target: usize) -> bool {
        let Some(state) = self.0.get_mut(trunk) else { return false };
        let most = state.config.options_failures.max(1);
        let Some(target) = state.targets.get_mut(target) else { return false };
        target.failures = target.failures.saturating_add(1);
        target.failures >= most
    }

    /// When to ping a target next; `None`: not before it fails.
    pub fn ping_after(&self, trunk: usize, target: usize) -> Option<Duration> {
        let state = self.0.get(trunk)?;
        let is_down = state.targets.get(target).is_some_and(|t| !t.up);
        let every = state.config.options_ping;
        if is_down { Some(every.map_or(PROBE, |every| every.min(PROBE))) } else { every }
    }

    /// Books what a ping said; true if the target's state changed.
    pub fn set_up(&mut self, trunk: usize, target: usize, up: bool, why: &str) -> bool {
        let Some(target) = self.0.get_mut(trunk).and_then(|s| s.targets.get_mut(target)) else { return false };
        let changed = target.up != up;
        target.failures = 0;
        target.up = up;
        target.why.clear();
        target.why.push_str(why);
        changed
    }

    /// All trunks, with their registrations.
    pub fn views(&self, registrants: &Registrants, now: Instant) -> Vec<TrunkView> {
        let target = |t: &Target| (t.config.uri.clone(), t.up, t.why.clone());
        self.0
            .iter()
            .map(|s| TrunkView {
                name: s.config.name.clone(),
                targets: s.targets.iter().map(target).collect(),
                addresses: Vec::new(),
                calls: s.calls,
                calls_max: s.config.calls_max,
                health: (s.measured.state(), s.measured.out().unwrap_or_default().to_owned()),
                figures: s.measured.figures(now),
                registration: registrants.state_of(&s.config.name, now),
            })
            .collect()
    }
}

impl World {
    /// Books how a call by a trunk fared, and takes the trunk out if that was one too many.
    pub fn measure(&mut self, trunk: &str, book: impl FnOnce(&mut Measured, Instant) -> Option<Change>) {
        let now = self.now.mono;
        let Some(place) = self.trunks.0.iter().position(|s| s.config.name == trunk) else { return };
        let Some(state) = self.trunks.0.get_mut(place) else { return };
        if let Some(Change::Out { why, rest }) = book(&mut state.measured, now) {
            let rest_s = rest.as_secs();
            self.set_timer(now + rest, TimerKey::Rested(place));
            self.fact(Fact::TrunkOut { trunk: trunk.to_owned(), why, rest_s });
        }
    }

    /// Takes trunks back that have rested; places may have changed since by a reload, so all are looked at.
    pub fn look_at_rests(&mut self) {
        let now = self.now.mono;
        let back = |s: &mut State| s.measured.on_rest_over(now).map(|_| s.config.name.clone());
        let back: Vec<String> = self.trunks.0.iter_mut().filter_map(back).collect();
        back.into_iter().for_each(|trunk| self.fact(Fact::TrunkBack { trunk }));
    }

    pub fn trunk_views(&self) -> Vec<TrunkView> {
        self.trunks.views(&self.registrants, self.now.mono)
    }

    /// As [`World::trunk_views`], with where each target is reached now.
    pub fn located_trunk_views(&mut self) -> Vec<TrunkView> {
        let mut views = self.trunk_views();
        for view in &mut views {
            view.addresses = view.targets.iter().map(|(uri, ..)| self.shown_ways(uri)).collect();
        }
        views
    }
}

impl State {
    fn new(config: &Trunk, now: Instant) -> State {
        let target = |t: &TrunkTarget| Target {
            config: t.clone(),
            up: true,
            why: "not tried yet".to_owned(),
            failures: 0,
            answered: None,
        };
        State {
            targets: config.targets.iter().map(target).collect(),
            calls: 0,
            bucket: Bucket::new(config.cps_max, now),
            measured: Measured::new(&config.health),
            config: config.clone(),
        }
    }
}
