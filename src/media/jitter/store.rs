//! Packets that wait, in memory that is there from the start: payloads in chains of small blocks.

use crate::media::command::Codec;
use codecs::cache::fetch;

/// Packets at most.
pub const SLOTS: usize = 32;
/// Bytes of a block, and blocks: 6 kB hold 200 ms of any speech codec.
const BLOCK: usize = 64;
const BLOCKS: usize = 96;
/// No block.
const NONE: u8 = u8::MAX;

/// A packet that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// On the line (see [`super::line`]).
    pub sequence: i64,
    /// In ticks.
    pub begin: i64,
    pub duration: i64,
    /// `None` for an event: a number without sound.
    pub codec: Option<Codec>,
    /// RTP's own number.
    pub rtp_sequence: u16,
    len: u16,
    first: u8,
}

impl Waiting {
    pub const fn new(sequence: i64, begin: i64, duration: i64, codec: Option<Codec>, rtp_sequence: u16) -> Waiting {
        Waiting { sequence, begin, duration, codec, rtp_sequence, len: 0, first: NONE }
    }

    pub const fn end(&self) -> i64 {
        self.begin + self.duration
    }
}

/// See the module's documentation. A packet's slot follows from its sequence number.
#[derive(Clone, Debug)]
pub struct Store {
    slots: [Option<Waiting>; SLOTS],
    /// Which of them hold one, bit by bit: the others need not be looked at.
    used: u32,
    blocks: [[u8; BLOCK]; BLOCKS],
    /// The block after each, in a chain of a packet or of the free ones.
    after: [u8; BLOCKS],
    free: u8,
    free_count: usize,
}

impl Default for Store {
    fn default() -> Store {
        let after = std::array::from_fn(|n| if n + 1 < BLOCKS { n as u8 + 1 } else { NONE });
        Store { slots: [None; SLOTS], used: 0, blocks: [[0; BLOCK]; BLOCKS], after, free: 0, free_count: BLOCKS }
    }
}

impl Store {
    const fn slot(sequence: i64) -> usize {
        sequence as usize % SLOTS
    }

    /// What a packet is put into next.
    #[inline]
    pub fn foresee_put(&self) {
        fetch(&self.after);
        fetch(&self.free);
        fetch(&self.used);
    }

    /// Where what waits stands.
    #[inline]
    pub fn foresee_first(&self) {
        fetch(&self.used);
        fetch(&self.free);
        fetch(&self.after);
    }

    /// What waits with that number.
    #[inline]
    pub fn foresee_take(&self, sequence: i64) {
        let slot = self.slots.get(Store::slot(sequence));
        slot.into_iter().for_each(fetch);
    }

    pub fn get(&self, sequence: i64) -> Option<&Waiting> {
        self.slots.get(Store::slot(sequence))?.as_ref().filter(|w| w.sequence == sequence)
    }

    /// What stands where a packet of that number would.
    pub fn rival(&self, sequence: i64) -> Option<&Waiting> {
        self.slots.get(Store::slot(sequence))?.as_ref()
    }

    /// The first packet by number.
    pub fn first(&self) -> Option<&Waiting> {
        let (mut used, mut first) = (self.used, None::<&Waiting>);
        while used != 0 {
            let waiting = self.slots.get(used.trailing_zeros() as usize)?.as_ref()?;
            if first.is_none_or(|first| waiting.sequence < first.sequence) {
                first = Some(waiting);
            }
            used &= used - 1;
        }
        first
    }

    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Whether a payload of `len` bytes finds room.
    pub const fn has_room(&self, len: usize) -> bool {
        len.div_ceil(BLOCK) <= self.free_count
    }

    /// Keeps a packet. `false` if its slot is taken or there is no room.
    pub fn put(&mut self, mut waiting: Waiting, payload: &[u8]) -> bool {
        let slot = Store::slot(waiting.sequence);
        let (Ok(len), true) = (u16::try_from(payload.len()), self.has_room(payload.len())) else { return false };
        if self.slots.get(slot).is_none_or(Option::is_some) {
            return false;
        }
        waiting.len = len;
        // Last block first, so that the chain is in order.
        for chunk in payload.chunks(BLOCK).rev() {
            let n = self.free;
            let (Some(block), Some(after)) = (self.blocks.get_mut(usize::from(n)), self.after.get_mut(usize::from(n)))
            else {
                return false;
            };
            self.free = std::mem::replace(after, waiting.first);
            self.free_count -= 1;
            waiting.first = n;
            for (to, from) in block.iter_mut().zip(chunk) {
                *to = *from;
            }
        }
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(waiting);
            self.used |= 1 << slot;
        }
        true
    }

    /// Copies a payload as far as `out` reaches, and returns its length there.
    pub fn copy(&self, waiting: &Waiting, out: &mut [u8]) -> usize {
        let len = usize::from(waiting.len).min(out.len());
        let mut next = waiting.first;
        for chunk in out.get_mut(..len).unwrap_or_default().chunks_mut(BLOCK) {
            let Some(block) = self.blocks.get(usize::from(next)) else { break };
            chunk.copy_from_slice(block.get(..chunk.len()).unwrap_or_default());
            next = self.after.get(usize::from(next)).copied().unwrap_or(NONE);
        }
        len
    }

    /// Forgets a packet.
    pub fn remove(&mut self, sequence: i64) {
        let slot = Store::slot(sequence);
        let place = self.slots.get_mut(slot);
        let Some(waiting) = place.and_then(|s| s.take_if(|w| w.sequence == sequence)) else { return };
        self.used &= !(1 << slot);
        let mut next = waiting.first;
        while let Some(after) = self.after.get_mut(usize::from(next)) {
            let n = std::mem::replace(&mut next, *after);
            *after = std::mem::replace(&mut self.free, n);
            self.free_count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn payloads_of_any_length_come_back_and_no_block_is_lost() {
        let (mut store, mut rng) = (Store::default(), Rng::from_seed(4));
        let payload =
            |sequence: i64, len: usize| -> Vec<u8> { (0..len).map(|n| (n as i64 * 7 + sequence) as u8).collect() };
        let mut kept: Vec<(i64, usize)> = Vec::new();
        for _ in 0..20_000 {
            let (sequence, len) = (rng.below(60) as i64, rng.below(1_300) as usize);
            if rng.below(2) == 0 {
                let bytes = payload(sequence, len);
                let fits = store.rival(sequence).is_none() && store.has_room(len);
                assert_eq!(store.put(Waiting::new(sequence, 0, 0, None, 0), &bytes), fits);
                kept.extend(fits.then_some((sequence, len)));
            } else if !kept.is_empty() {
                let (sequence, len) = kept.swap_remove(rng.below(kept.len() as u64) as usize);
                let mut out = [0; 1_500];
                let waiting = *store.get(sequence).unwrap();
                assert_eq!(store.copy(&waiting, &mut out), len);
                assert_eq!(out[..len], payload(sequence, len));
                store.remove(sequence);
                store.remove(sequence);
            }
            assert_eq!(store.first().map(|w| w.sequence), kept.iter().map(|k| k.0).min());
        }
        kept.iter().for_each(|k| store.remove(k.0));
        assert!(store.is_empty() && store.free_count == BLOCKS);
    }
}
