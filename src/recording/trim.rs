//! Cutting the silence off both ends while it is written: the begin waits for talk, a silence waits for what follows it.

use std::collections::VecDeque;

/// Frames of 20 ms kept from before the first talk, so that its onset is whole.
const LEAD: usize = 10;
/// Frames kept after the last talk.
const TAIL: usize = 10;
/// Silence in mid of a recording that is held back; longer ones are written as they come, and stay if the recording ends in them.
const HELD_MAX: usize = 500;

/// Decides frame by frame; holds at most [`HELD_MAX`] of them.
#[derive(Clone, Debug, Default)]
pub struct Trim {
    held: VecDeque<Vec<i16>>,
    begun: bool,
}

impl Trim {
    /// Takes a frame; gives those that are to be written now, in order.
    pub fn take(&mut self, frame: &[i16], talks: bool, mut write: impl FnMut(&[i16])) {
        if talks {
            self.begun = true;
            self.held.drain(..).for_each(|f| write(&f));
            return write(frame);
        }
        self.held.push_back(frame.to_vec());
        let room = if self.begun { HELD_MAX } else { LEAD };
        if self.held.len() > room
            && let Some(oldest) = self.held.pop_front()
            && self.begun
        {
            write(&oldest);
        }
    }

    /// The end: what is still to be written.
    pub fn finish(&mut self, mut write: impl FnMut(&[i16])) {
        if self.begun {
            self.held.drain(..).take(TAIL).for_each(|f| write(&f));
        }
        self.held.clear();
    }

    /// Nobody has talked.
    pub const fn is_empty(&self) -> bool {
        !self.begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stretches of silence (even) and talk (odd), in frames; how many frames are written, and the number of the first.
    fn written(stretches: &[usize]) -> (usize, Option<i16>) {
        let (mut trim, mut out, mut n) = (Trim::default(), Vec::new(), 0i16);
        for (i, len) in stretches.iter().enumerate() {
            for _ in 0..*len {
                trim.take(&[n], i % 2 == 1, |f| out.extend_from_slice(f));
                n += 1;
            }
        }
        trim.finish(|f| out.extend_from_slice(f));
        assert!(out.is_sorted());
        (out.len(), out.first().copied())
    }

    #[test]
    fn both_ends_lose_their_silence_and_the_middle_keeps_it() {
        assert_eq!(written(&[100, 50, 100]), (70, Some(90)));
        assert_eq!(written(&[5, 50, 3]), (58, Some(0)));
        assert_eq!(written(&[0, 50, 100, 50, 0]), (200, Some(0)));
        assert_eq!(written(&[0, 1, 600, 1]), (602, Some(0)));
        assert_eq!(written(&[0, 1, 600]), (111, Some(0)));
        assert_eq!(written(&[1_000]), (0, None));
    }
}
