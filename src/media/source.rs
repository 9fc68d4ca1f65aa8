//! Which of a peer's sources is heard: one at a time. Two SSRCs that send at once (a device that forks, a mixer that forgot to stop)
//! would make one line of time of two, which runs ahead.

use crate::base::time::{Duration, Instant};

/// Whoever was heard keeps its place until it has been silent for so long, against those whose place it took.
const SILENT: Duration = Duration::from_millis(100);
/// Sources that are remembered as superseded.
const LEFT: usize = 4;

/// See the module's documentation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources {
    /// Who is heard, and when it last was.
    heard: Option<(u32, Instant)>,
    /// Those before it, the latest first.
    left: [Option<u32>; LEFT],
}

impl Sources {
    /// Whether media of `ssrc` is heard. A new source is at once; one that it took the place of, only after a silence.
    #[inline]
    pub fn admit(&mut self, now: Instant, ssrc: u32) -> bool {
        if let Some((heard, at)) = self.heard
            && heard != ssrc
        {
            if self.left.contains(&Some(ssrc)) && now.since(at) < SILENT {
                return false;
            }
            let place = self.left.iter().position(|l| *l == Some(ssrc)).unwrap_or(LEFT - 1);
            if let Some(newer) = self.left.get_mut(..=place) {
                newer.rotate_right(1);
                newer[0] = Some(heard);
            }
        }
        self.heard = Some((ssrc, now));
        true
    }

    /// Who is heard has been until now.
    pub fn goes_on(&mut self, now: Instant) {
        self.heard.iter_mut().for_each(|(_, at)| *at = now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: milliseconds, source, whether it is heard.
    #[track_caller]
    fn check(rows: &[(u64, u32, bool)]) {
        let mut sources = Sources::default();
        for (ms, ssrc, heard) in rows {
            assert_eq!(sources.admit(Instant::from_micros(ms * 1_000), *ssrc), *heard, "{ms}");
        }
    }

    #[test]
    fn one_is_heard_at_a_time() {
        // A change is heard at once, also back and forth after a silence.
        check(&[(0, 1, true), (20, 1, true), (40, 2, true), (60, 2, true), (160, 1, true), (300, 2, true)]);
        // Two at once: the newer.
        check(&[
            (0, 1, true),
            (20, 1, true),
            (25, 2, true),
            (40, 1, false),
            (45, 2, true),
            (60, 1, false),
            (65, 2, true),
        ]);
        // Three at once: the newest.
        check(&[
            (0, 1, true),
            (1, 2, true),
            (2, 3, true),
            (20, 1, false),
            (21, 2, false),
            (22, 3, true),
            (40, 1, false),
        ]);
        // The one that stays is heard when the other has stopped.
        check(&[
            (0, 1, true),
            (5, 2, true),
            (20, 1, false),
            (40, 1, false),
            (104, 1, false),
            (106, 1, true),
            (110, 2, false),
        ]);
    }
}
