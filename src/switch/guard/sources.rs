//! What is known of sources: a bounded table that forgets the one heard of longest ago.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// No place.
const NONE: u32 = u32::MAX;

/// Who is counted as one: an IPv4 address, or an IPv6 network of 64 bits, within which a host takes any address it likes.
pub fn source_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

struct Node<T> {
    source: IpAddr,
    value: T,
    newer: u32,
    older: u32,
}

/// Values by source, at most `max` of them; each look at one makes it the newest. Every operation takes constant time.
pub struct Sources<T> {
    /// Only asked, never iterated.
    places: HashMap<IpAddr, u32>,
    nodes: Vec<Node<T>>,
    newest: u32,
    oldest: u32,
    max: usize,
    forgotten: Option<(IpAddr, T)>,
}

impl<T> Sources<T> {
    /// `max` is at least 1.
    pub fn new(max: usize) -> Sources<T> {
        Sources {
            places: HashMap::new(),
            nodes: Vec::new(),
            newest: NONE,
            oldest: NONE,
            max: max.max(1),
            forgotten: None,
        }
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Without making it the newest.
    pub fn peek(&mut self, source: IpAddr) -> Option<&mut T> {
        let at = *self.places.get(&source)?;
        self.nodes.get_mut(at as usize).map(|node| &mut node.value)
    }

    /// The value of a source, made if it is not known; for want of room the oldest is forgotten.
    pub fn get_or_insert_with(&mut self, source: IpAddr, make: impl FnOnce() -> T) -> &mut T {
        let at = match self.places.get(&source) {
            Some(at) => *at,
            None => self.insert(source, make()),
        };
        if self.newest != at {
            self.unlink(at);
            self.link_newest(at);
        }
        &mut self.nodes[at as usize].value
    }

    /// What had to make room since this was last asked.
    pub fn take_forgotten(&mut self) -> Option<(IpAddr, T)> {
        self.forgotten.take()
    }

    /// In the order of their places: a function of the inputs.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (IpAddr, &mut T)> {
        self.nodes.iter_mut().map(|node| (node.source, &mut node.value))
    }

    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, &T)> {
        self.nodes.iter().map(|node| (node.source, &node.value))
    }

    fn insert(&mut self, source: IpAddr, value: T) -> u32 {
        let node = Node { source, value, newer: NONE, older: NONE };
        let at = if self.nodes.len() < self.max {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        } else {
            let at = self.oldest;
            self.unlink(at);
            let old = std::mem::replace(&mut self.nodes[at as usize], node);
            self.places.remove(&old.source);
            self.forgotten = Some((old.source, old.value));
            at
        };
        self.places.insert(source, at);
        self.link_newest(at);
        at
    }

    fn unlink(&mut self, at: u32) {
        let Node { newer, older, .. } = self.nodes[at as usize];
        match self.nodes.get_mut(newer as usize) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, at: u32) {
        let before = std::mem::replace(&mut self.newest, at);
        if let Some(node) = self.nodes.get_mut(before as usize) {
            node.newer = at;
        } else {
            self.oldest = at;
        }
        let node = &mut self.nodes[at as usize];
        (node.newer, node.older) = (NONE, before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn an_ipv6_host_is_its_network() {
        for (ip, want) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::1", "::"),
        ] {
            assert_eq!(source_of(ip.parse().unwrap()), want.parse::<IpAddr>().unwrap());
        }
    }

    /// Beside a list that is searched.
    #[test]
    fn the_oldest_is_forgotten() {
        let mut rng = crate::base::rng::Rng::from_seed(1);
        let (mut table, mut model) = (Sources::new(8), VecDeque::<(IpAddr, u64)>::new());
        for n in 0..5_000 {
            let source = IpAddr::from([10, 0, 0, rng.below(14) as u8]);
            let known = model.iter().position(|(s, _)| *s == source).and_then(|at| model.remove(at));
            let want = known.unwrap_or((source, n));
            assert_eq!(*table.get_or_insert_with(source, || n), want.1);
            model.push_front(want);
            model.truncate(8);
            assert_eq!(table.len(), model.len());
            assert!(model.iter().all(|(s, v)| table.peek(*s).copied() == Some(*v)));
        }
    }
}
