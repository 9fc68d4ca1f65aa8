//! Typed ids: a slab whose keys are of one kind and never name a later tenant of the same slot.

use std::fmt;
use std::marker::PhantomData;

/// A key into a [`Slab`] of the kind `K`: slot and generation.
pub struct Id<K> {
    slot: u32,
    generation: u32,
    kind: PhantomData<fn() -> K>,
}

impl<K> Id<K> {
    /// As one number, for ids that cross into other threads.
    pub const fn to_u64(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    pub const fn from_u64(n: u64) -> Self {
        Id { slot: n as u32, generation: (n >> 32) as u32, kind: PhantomData }
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, o: &Self) -> bool {
        self.to_u64() == o.to_u64()
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, o: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(o))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, o: &Self) -> std::cmp::Ordering {
        self.to_u64().cmp(&o.to_u64())
    }
}
impl<K> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, h: &mut H) {
        self.to_u64().hash(h);
    }
}
impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// Values of the kind `K`, found by [`Id`]. Iteration is in slot order: deterministic.
pub struct Slab<K, T> {
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
    kind: PhantomData<fn() -> K>,
}

impl<K, T> Default for Slab<K, T> {
    fn default() -> Self {
        Slab { slots: Vec::new(), free: Vec::new(), kind: PhantomData }
    }
}

impl<K, T> Slab<K, T> {
    pub fn insert(&mut self, value: T) -> Id<K> {
        self.insert_with(|_| value)
    }

    /// Inserts a value that knows its own key.
    pub fn insert_with(&mut self, make: impl FnOnce(Id<K>) -> T) -> Id<K> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((1, None));
            (self.slots.len() - 1) as u32
        });
        let (generation, cell) = &mut self.slots[slot as usize];
        let id = Id { slot, generation: *generation, kind: PhantomData };
        *cell = Some(make(id));
        id
    }

    pub fn get(&self, id: Id<K>) -> Option<&T> {
        self.slots.get(id.slot as usize).filter(|(g, _)| *g == id.generation).and_then(|(_, v)| v.as_ref())
    }

    pub fn get_mut(&mut self, id: Id<K>) -> Option<&mut T> {
        self.slots.get_mut(id.slot as usize).filter(|(g, _)| *g == id.generation).and_then(|(_, v)| v.as_mut())
    }

    pub fn remove(&mut self, id: Id<K>) -> Option<T> {
        let (generation, cell) = self.slots.get_mut(id.slot as usize).filter(|(g, _)| *g == id.generation)?;
        let value = cell.take()?;
        *generation = generation.wrapping_add(1).max(1);
        self.free.push(id.slot);
        Some(value)
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = (Id<K>, &T)> {
        self.slots.iter().enumerate().filter_map(|(i, (generation, v))| {
            v.as_ref().map(|v| (Id { slot: i as u32, generation: *generation, kind: PhantomData }, v))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Kind;

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut slab: Slab<Kind, &str> = Slab::default();
        let a = slab.insert("a");
        assert_eq!(slab.remove(a), Some("a"));
        let b = slab.insert("b");
        assert_eq!((slab.get(a), slab.get(b), slab.len()), (None, Some(&"b"), 1));
        assert_eq!(Id::<Kind>::from_u64(b.to_u64()), b);
    }
}
