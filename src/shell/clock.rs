//! The clocks. Nobody else reads them.

use crate::base::time::{Instant, Now, Wall};
use std::time::SystemTime;

/// Both clocks; the monotonic one counts from the clock's making.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    #[expect(clippy::new_without_default, reason = "the moment of making matters")]
    pub fn new() -> Self {
        Clock { origin: std::time::Instant::now() }
    }

    pub fn mono(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    pub fn now(&self) -> Now {
        Now { mono: self.mono(), wall: wall() }
    }
}

/// The wall clock; before 1970 it reads 1970.
pub fn wall() -> Wall {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
