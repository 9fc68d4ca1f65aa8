//! Time as data. The shell reads the clocks and hands both readings to the core with each input.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
pub use std::time::Duration;

/// A monotonic moment, in microseconds since an origin that the shell chose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    pub const ZERO: Instant = Instant(0);

    pub const fn from_micros(us: u64) -> Self {
        Instant(us)
    }

    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, d: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A wall-clock moment, in microseconds since 1970-01-01T00:00:00Z. It may step; nothing is timed by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Wall(pub i64);

impl Wall {
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// RFC 3339 in UTC with milliseconds: `2026-11-22T16:15:00.123Z`.
    pub fn rfc3339(self) -> String {
        let (secs, us) = (self.0.div_euclid(1_000_000), self.0.rem_euclid(1_000_000));
        let (y, mo, d) = civil_from_days(secs.div_euclid(86_400));
        let s = secs.rem_euclid(86_400);
        format!("{y:04}-{mo:02}-{d:02}T{:02}:{:02}:{:02}.{:03}Z", s / 3600, s / 60 % 60, s % 60, us / 1000)
    }
}

impl Wall {
    /// RFC 2822 in UTC: `Sun, 22 Nov 2026 16:15:00 +0000`.
    pub fn rfc2822(self) -> String {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let secs = self.0.div_euclid(1_000_000);
        let (days, s) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let name = DAYS[days.rem_euclid(7) as usize];
        let month = MONTHS.get(month as usize - 1).copied().unwrap_or_default();
        format!("{name}, {day:02} {month} {year:04} {:02}:{:02}:{:02} +0000", s / 3600, s / 60 % 60, s % 60)
    }
}

/// Days since 1970-01-01 to year, month, day (proleptic Gregorian).
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// Both clocks at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    pub mono: Instant,
    pub wall: Wall,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_prints_as_rfc3339() {
        let rows = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000Z"),
            (1_795_364_100_123_000, "2026-11-22T16:15:00.123Z"),
            (-1_000, "1969-12-31T23:59:59.999Z"),
        ];
        for (us, text) in rows {
            assert_eq!(Wall(us).rfc3339(), text);
        }
    }

    #[test]
    fn wall_clock_prints_as_rfc2822() {
        let rows = [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
            (1_795_364_100_123_000, "Sun, 22 Nov 2026 16:15:00 +0000"),
            (-1_000_000, "Wed, 31 Dec 1969 23:59:59 +0000"),
        ];
        for (us, text) in rows {
            assert_eq!(Wall(us).rfc2822(), text);
        }
    }
}
