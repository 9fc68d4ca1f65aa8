//! Rate cards, read from disk.

use super::files::position;
use super::net::describe;
use crate::base::yaml::{Fault, Position};
use crate::config::Config;
use crate::rates::{Card, Rates};
use crate::verb::{Hours, is_time_zone};
use std::path::Path;

/// The cards that a configuration names, and what is wrong with them, or with the hours and the time zone that they are read in.
pub fn load(file: &Path, config: &Config, faults: &mut Vec<Fault>) -> Rates {
    let mut rates = Rates::default();
    let zone = &config.lcr.timezone;
    let mut fault = |at: Option<Position>, what: String, expected: &str| {
        let file = file.display().to_string().into();
        faults.push(Fault { file, at: at.unwrap_or_default(), what, expected: expected.into() });
    };
    if !is_time_zone(zone) {
        let expected = "expected one such as Europe/Berlin";
        fault(position(file, &["lcr", "timezone"], None), format!("unknown time zone \"{zone}\""), expected);
        return rates;
    }
    for (n, toll) in config.tolls.iter().enumerate() {
        let wrong = toll.hours.as_ref().and_then(|hours| Hours::parse(hours, zone).err());
        if let Some(wrong) = wrong {
            let expected = "expected hours such as 20:00-07:00, sat, sun";
            fault(position(file, &["tolls"], Some(n)), format!("toll {}: {wrong}", toll.name), expected);
        }
    }
    for (n, trunk) in config.trunks.iter().enumerate() {
        let Some(path) = &trunk.rates else { continue };
        match std::fs::read_to_string(path) {
            Ok(text) => match Card::read(&path.display().to_string(), &text, zone) {
                Ok(card) => rates.insert(&trunk.name, card),
                Err(found) => faults.extend(found),
            },
            Err(e) => {
                let what = format!("trunk {}: {} cannot be read: {}", trunk.name, path.display(), describe(&e));
                let at = position(file, &["trunks"], Some(n)).unwrap_or_default();
                let file = file.display().to_string().into();
                faults.push(Fault { file, at, what, expected: "expected a rate card".into() });
            }
        }
    }
    rates
}
