//! Who has the floor: the active speaker, with enough patience that a cough does not take it.

use super::seat::Voice;
use crate::media::command::LegId;

/// In frames of 20 ms: speech that takes a floor which nobody has (100 ms), …
const TAKES: u16 = 5;
/// … speech louder by [`LOUDER_DB`] that takes it from one who speaks (400 ms), …
const WINS: u16 = 20;
const LOUDER_DB: f32 = 6.0;
/// … silence after which anybody who speaks has it (600 ms), …
const YIELDS: u16 = 30;
/// … and silence after which nobody has it (3 s).
const EMPTIES: u16 = 150;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Floor {
    holder: Option<LegId>,
    /// Frames of the holder's silence.
    silent: u16,
    /// Who would have it, and for how many frames.
    rival: Option<LegId>,
    waited: u16,
}

impl Floor {
    pub const fn holder(&self) -> Option<LegId> {
        self.holder
    }

    /// Takes how loud each seat is that may have the floor. Returns the holder if it is another one now.
    pub fn tick(&mut self, voices: impl Iterator<Item = (LegId, Option<Voice>)>) -> Option<Option<LegId>> {
        let (mut holder, mut loudest) = (None, None::<(LegId, f32)>);
        for (leg, voice) in voices {
            let Some(voice) = voice else { continue };
            if Some(leg) == self.holder {
                holder = Some(voice);
            } else if voice.speaks && loudest.is_none_or(|(_, level)| voice.level_dbov > level) {
                loudest = Some((leg, voice.level_dbov));
            }
        }
        self.silent = if holder.is_some_and(|v| v.speaks) { 0 } else { self.silent.saturating_add(1) };
        let patience = match holder {
            Some(_) if self.silent >= YIELDS => TAKES,
            Some(v) if v.speaks && loudest.is_some_and(|(_, level)| level < v.level_dbov + LOUDER_DB) => u16::MAX,
            Some(_) => WINS,
            None => TAKES,
        };
        let rival = loudest.map(|(leg, _)| leg).filter(|_| patience < u16::MAX);
        self.waited = if rival.is_some() && rival == self.rival { self.waited + 1 } else { u16::from(rival.is_some()) };
        self.rival = rival;
        let before = self.holder;
        if rival.is_some() && self.waited >= patience {
            (self.holder, self.rival, self.waited, self.silent) = (rival, None, 0, 0);
        } else if holder.is_none() || self.silent >= EMPTIES {
            self.holder = None;
        }
        (self.holder != before).then_some(self.holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs of (frames, level of A, level of B; 0 is silence), and who has the floor at the end of each: `a`, `b` or `-`.
    fn check(runs: &[(usize, f32, f32)], holders: &str) {
        let mut floor = Floor::default();
        let mut changes = 0;
        let said: String = runs
            .iter()
            .map(|(frames, a, b)| {
                let voice = |level: f32| {
                    Some(Voice { speaks: level < 0.0, level_dbov: if level < 0.0 { level } else { -90.0 } })
                };
                for _ in 0..*frames {
                    let before = floor.holder();
                    let told = floor.tick([(LegId(1), voice(*a)), (LegId(2), voice(*b))].into_iter());
                    assert_eq!(told, (floor.holder() != before).then_some(floor.holder()));
                    changes += usize::from(told.is_some());
                }
                floor.holder().map_or('-', |leg| if leg.0 == 1 { 'a' } else { 'b' })
            })
            .collect();
        assert_eq!(said, holders, "{runs:?}");
        let mut shown = String::from("-");
        shown.push_str(holders);
        let seen = shown.as_bytes().windows(2).filter(|w| w[0] != w[1]).count();
        assert_eq!(changes, seen, "nobody had it in between: {runs:?}");
    }

    #[test]
    fn the_floor_goes_to_who_speaks() {
        check(&[(4, -20.0, 0.0), (1, -20.0, 0.0)], "-a");
        // A cough of 200 ms, then a shout that lasts.
        check(&[(50, -30.0, 0.0), (10, -30.0, -10.0), (50, -30.0, 0.0), (30, -30.0, -10.0)], "aaab");
        // As loud as the holder: it stays, until the holder is silent for long enough.
        check(&[(50, -20.0, 0.0), (200, -20.0, -18.0), (10, 0.0, -18.0), (20, 0.0, -18.0)], "aaab");
        // A pause keeps it, a long one does not.
        check(&[(50, -20.0, 0.0), (100, 0.0, 0.0), (100, 0.0, 0.0), (10, 0.0, -40.0)], "aa-b");
    }

    #[test]
    fn who_is_muted_or_gone_has_no_floor() {
        let mut floor = Floor::default();
        let voice = Voice { speaks: true, level_dbov: -20.0 };
        for _ in 0..10 {
            floor.tick([(LegId(1), Some(voice))].into_iter());
        }
        assert_eq!(floor.holder(), Some(LegId(1)));
        assert_eq!(floor.tick([(LegId(1), None)].into_iter()), Some(None));
    }
}
