//! How much the encoders may spend: less while the shard is behind its time, more again when it has kept it for a while.

/// Of Opus (0 to 10), as long as there is time.
pub const COMPLEXITY_MAX: u8 = 5;
/// Steps in a period of one second.
const PERIOD: u64 = 200;
/// A tick that comes so many steps late (10 ms) is strain.
const LATE: u64 = 2;
/// Strained ticks of a period after which less is spent.
const STRAIN_MAX: u32 = 3;
/// Periods without strain after which more is spent.
const CALM: u32 = 5;

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    complexity: u8,
    until: u64,
    strained: u32,
    calm: u32,
}

impl Effort {
    pub const fn new() -> Effort {
        Effort { complexity: COMPLEXITY_MAX, until: 0, strained: 0, calm: 0 }
    }

    pub const fn complexity(self) -> u8 {
        self.complexity
    }

    /// A tick runs `step` while the clock says `current`.
    pub fn tick(&mut self, step: u64, current: u64) {
        self.strained += u32::from(current.saturating_sub(step) >= LATE);
        if current < self.until {
            return;
        }
        self.until = current + PERIOD;
        let strained = std::mem::take(&mut self.strained);
        if strained >= STRAIN_MAX {
            (self.complexity, self.calm) = (self.complexity.saturating_sub(2), 0);
        } else if strained == 0 {
            self.calm += 1;
        }
        if self.calm >= CALM {
            (self.complexity, self.calm) = ((self.complexity + 1).min(COMPLEXITY_MAX), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_drops_under_load_and_returns() {
        let mut effort = Effort::new();
        let mut step = 1_000;
        let mut run = |seconds: u64, late: u64| {
            for _ in 0..seconds * 50 {
                step += 4;
                effort.tick(step, step + late);
            }
            effort.complexity()
        };
        assert_eq!([run(10, 0), run(10, 1), run(6, 3)], [5, 5, 0]);
        let on_the_way = run(13, 0);
        assert!((1..5).contains(&on_the_way), "{on_the_way}");
        assert_eq!(run(30, 0), 5);
    }
}
