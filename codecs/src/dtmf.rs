//! Dual-tone multi-frequency digits in the voice band: making them (Q.23) and finding them (limits of Q.24).

use crate::tone::{Repeat, Segment, ToneSpec};

mod detector;

pub use detector::{Detector, Event};

/// Low and high group in Hz, by row and column of the keypad (Q.23 §5).
const LOW_HZ: [u16; 4] = [697, 770, 852, 941];
const HIGH_HZ: [u16; 4] = [1209, 1336, 1477, 1633];
const KEYPAD: [[char; 4]; 4] = [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// Level of each tone that phones send, in dBm0 (Q.23 leaves it to national use; −9 and −7 are usual).
pub const LEVEL_DBM0: f32 = -8.0;

/// The frequencies of `0`–`9`, `*`, `#`, `A`–`D` (also in lower case), low then high, in Hz.
pub fn frequencies(digit: char) -> Option<(u16, u16)> {
    let digit = digit.to_ascii_uppercase();
    let row = KEYPAD.iter().position(|row| row.contains(&digit))?;
    let column = KEYPAD[row].iter().position(|&key| key == digit)?;
    Some((LOW_HZ[row], HIGH_HZ[column]))
}

/// One digit and the pause after it, for [`crate::tone::ToneGenerator`].
pub fn tone(digit: char, level_dbm0: f32, on_ms: u32, off_ms: u32) -> Option<ToneSpec> {
    let (low, high) = frequencies(digit)?;
    Some(ToneSpec::new(&[Segment::new(&[low, high], level_dbm0, on_ms.max(1), off_ms)], Repeat::Times(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keypad() {
        let rows = [('1', 697, 1209), ('5', 770, 1336), ('9', 852, 1477), ('0', 941, 1336), ('#', 941, 1477)];
        for (digit, low, high) in rows {
            assert_eq!(frequencies(digit), Some((low, high)));
        }
        assert_eq!(frequencies('d'), Some((941, 1633)));
        assert_eq!(frequencies('E'), None);
        assert_eq!(tone('5', -8.0, 80, 40).unwrap().duration_ms(), Some(120));
        assert!(tone('x', -8.0, 80, 40).is_none());
    }
}
