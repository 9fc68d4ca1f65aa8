//! Which trunks a number goes by, in which order, and what a leg by one costs.

use super::call::Call;
use super::world::World;
use crate::b2bua::leg::{Leg, Peer};
use crate::base::time::{Duration, Now};
use crate::config::Quality;
use crate::event::{Charge, Side, What};
use crate::rates::{Asked, Candidate, Order, Rate, Standing};
use std::sync::Arc;

/// A number as the dialplan gave it, and the rate of the trunk by which it is called.
#[derive(Clone, Debug)]
pub struct Priced {
    pub number: String,
    pub rate: Option<Arc<Rate>>,
}

impl World {
    pub fn priced(&self, trunk: &str, number: &str) -> Arc<Priced> {
        let rate = self.rates.lookup(trunk, number, self.now.wall).cloned();
        Arc::new(Priced { number: number.to_owned(), rate })
    }
}

impl Call {
    /// The trunks for a number, in the order in which they are tried; the reason stands on the timeline.
    pub fn trunks_for(&mut self, w: &mut World, number: &str, named: &[String], lcr: bool) -> Vec<String> {
        let config = Arc::clone(&w.config);
        let is_meant = |name: &str| match named.is_empty() {
            // Markup names no trunks: all are tried, in the order of the configuration.
            true => !lcr || w.rates.card(name).is_some(),
            false => named.iter().any(|n| n == name),
        };
        let emergency = w.is_emergency(number);
        if lcr {
            let trunks = config.trunks.iter().filter(|t| is_meant(&t.name));
            let candidates = trunks.map(|t| Candidate {
                trunk: &t.name,
                weight: t.weight,
                standing: w.trunks.standing(&t.name, &config.lcr.quality, w.now.mono),
            });
            let candidates = candidates.collect();
            let asked = Asked { number, at: w.now.wall, emergency };
            let mut rng = w.ep.rng().fork();
            let order = Order::of(&w.rates, &config.lcr, &asked, candidates, Some(&mut rng));
            self.note(w, Side::Call, What::Route(format!("least cost for {number}: {order}").into()));
            return order.trunks().map(str::to_owned).collect();
        }
        let all = || config.trunks.iter().map(|t| t.name.clone());
        let trunks: Vec<String> = if named.is_empty() { all().collect() } else { named.to_vec() };
        let out = |name: &String| match w.trunks.standing(name, &Quality::NONE, w.now.mono) {
            Standing::Out(why) if !emergency => Some(why),
            _ => None,
        };
        let (healthy, left): (Vec<String>, Vec<String>) = trunks.into_iter().partition(|t| out(t).is_none());
        for name in &left {
            let why = out(name).unwrap_or_default();
            let how = if healthy.is_empty() { "tried all the same, as no other is left" } else { "left out" };
            self.note(w, Side::Call, What::Route(format!("{name} is taken out ({why}): {how}").into()));
        }
        if healthy.is_empty() { left } else { healthy }
    }

    /// An attempt rings.
    pub fn tried_rings(&mut self, w: &World, index: u8) {
        for tried in self.tried.iter_mut().filter(|t| t.leg == index && t.rang.is_none()) {
            tried.rang = tried.called.map(|at| w.now.mono.since(at));
        }
    }

    /// An attempt was answered, or refused by whomever; what was given up since another answered, or the caller left, is not told.
    pub fn measure_tried(&mut self, w: &mut World, index: u8, answered: bool) {
        let found = self.tried.iter_mut().find(|t| t.leg == index && !t.measured && t.called.is_some());
        let Some(tried) = found else { return };
        tried.measured = true;
        let rang = tried.rang.or_else(|| tried.called.filter(|_| answered).map(|at| w.now.mono.since(at)));
        let trunk = tried.trunk.clone();
        w.measure(&trunk, |measured, now| measured.tried(now, answered, rang));
    }

    /// The call is over, and what was heard from trunks has been accounted for.
    pub fn measure_trunks(&mut self, w: &mut World, at: Now) {
        for tried in &self.tried {
            let Some(leg) = self.legs.get(usize::from(tried.leg)) else { continue };
            let is_its = matches!(&leg.peer, Peer::Trunk(name) if *name == tried.trunk);
            let Some(answered) = leg.answered.filter(|_| is_its) else { continue };
            let talked = leg.ended.unwrap_or(at).mono.since(answered.mono);
            let mos = leg.session.quality().and_then(|q| q.mos);
            w.measure(&tried.trunk, |measured, now| measured.ended(now, talked, mos));
        }
    }

    /// What a leg costs that ended at `at`, or goes on.
    pub fn charge_of(&self, w: &World, index: usize, leg: &Leg, at: Now) -> Option<Box<Charge>> {
        let Peer::Trunk(trunk) = &leg.peer else { return None };
        let tried = self.tried.iter().rev().find(|t| usize::from(t.leg) == index && t.trunk == *trunk)?;
        let rate = tried.priced.as_ref()?.rate.as_ref()?;
        let ended = leg.ended.unwrap_or(at);
        let talked = leg.answered.map_or(Duration::ZERO, |a| ended.mono.since(a.mono));
        Some(Box::new(Charge {
            prefix: rate.prefix.clone(),
            price_per_minute: rate.price,
            cost: rate.cost(talked),
            currency: w.config.lcr.currency.clone(),
        }))
    }
}
