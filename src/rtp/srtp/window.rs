//! The packet index: its estimate from a sequence number, and the window against replay (RFC 3711 §3.3.1, §3.3.2).

/// Indexes behind the highest that are told apart; an older packet is refused.
pub const WINDOW: u64 = 128;
/// A key protects no more RTP packets of one SSRC (RFC 3711 §9.2).
pub const RTP_INDEX_MAX: u64 = (1 << 48) - 1;
/// Nor more RTCP packets.
pub const RTCP_INDEX_MAX: u32 = (1 << 31) - 1;

/// Why an index is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stale {
    Seen,
    Old,
}

/// The highest index that was taken, and which of the 127 below it were.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    highest: u64,
    seen: u128,
}

impl Window {
    /// One that has taken `index`, and nothing before.
    pub const fn new(index: u64) -> Window {
        Window { highest: index, seen: 1 }
    }

    pub const fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether `index` may be taken.
    pub const fn check(&self, index: u64) -> Result<(), Stale> {
        if index > self.highest {
            return Ok(());
        }
        match self.highest - index {
            WINDOW.. => Err(Stale::Old),
            behind if self.seen >> behind & 1 == 1 => Err(Stale::Seen),
            _ => Ok(()),
        }
    }

    /// Takes an index that [`Window::check`] allows.
    pub const fn take(&mut self, index: u64) {
        if index > self.highest {
            let ahead = index - self.highest;
            self.seen = if ahead < WINDOW { self.seen << ahead } else { 0 };
            self.seen |= 1;
            self.highest = index;
        } else if self.highest - index < WINDOW {
            self.seen |= 1 << (self.highest - index);
        }
    }

    /// The index of a packet by its sequence number: the one that is nearest to the highest (RFC 3711 §3.3.1). There is none
    /// below 0; a stream that leaps there before its first rollover is taken as ahead.
    pub const fn estimate(&self, sequence: u16) -> u64 {
        let (roc, last) = (self.highest >> 16, (self.highest & 0xffff) as u16);
        let roc = if last < 0x8000 {
            if sequence > last && sequence - last > 0x8000 { roc.saturating_sub(1) } else { roc }
        } else if last - 0x8000 > sequence {
            roc + 1
        } else {
            roc
        };
        roc << 16 | sequence as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_index_is_taken_once_and_none_from_behind_the_window() {
        let mut window = Window::new(1_000);
        for (index, expected) in [
            (1_000, Err(Stale::Seen)),
            (999, Ok(())),
            (999, Err(Stale::Seen)),
            (873, Ok(())),
            (872, Err(Stale::Old)),
            (1_001, Ok(())),
            (873, Err(Stale::Old)),
            (874, Ok(())),
            (1_200, Ok(())),
            (1_072, Err(Stale::Old)),
            (1_073, Ok(())),
            (1_200, Err(Stale::Seen)),
        ] {
            let got = window.check(index);
            assert_eq!(got, expected, "{index}");
            if got.is_ok() {
                window.take(index);
            }
        }
        assert_eq!(window.highest(), 1_200);
    }

    #[test]
    fn the_index_is_the_nearest() {
        for (highest, sequence, index) in [
            (0x0_0005, 0x0006, 0x0_0006),
            (0x0_ffff, 0x0000, 0x1_0000),
            (0x0_9000, 0x0fff, 0x1_0fff),
            (0x0_9000, 0x1000, 0x0_1000),
            (0x1_0000, 0xffff, 0x0_ffff),
            (0x1_0005, 0x8006, 0x0_8006),
            (0x1_0005, 0x8005, 0x1_8005),
            (0x0_0005, 0xffff, 0x0_ffff),
            (0x7_1234, 0x1233, 0x7_1233),
            (RTP_INDEX_MAX, 0, RTP_INDEX_MAX + 1),
        ] {
            assert_eq!(Window::new(highest).estimate(sequence), index, "{highest:#x} {sequence:#x}");
        }
    }
}
