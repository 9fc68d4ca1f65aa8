//! A bad network for UDP on loopback: carries datagrams between one party and the switch and loses some, by a seed.
//!
//! ```text
//!   party ⇄ inner socket │ link │ outer socket ⇄ switch
//! ```
//! The party sends to `inner` and names `outer` in its Via, Contact and SDP; the switch knows only `outer`.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Datagrams of one direction.
#[derive(Debug, Default)]
struct Direction {
    carried: AtomicU64,
    lost: AtomicU64,
}

/// A running link.
#[derive(Debug)]
pub struct Link {
    stop: Arc<AtomicBool>,
    directions: [Arc<Direction>; 2],
    threads: Vec<JoinHandle<()>>,
}

impl Link {
    /// Loses `loss` (0 to 1) of the datagrams of each direction.
    pub fn start(
        seed: u64,
        loss: f64,
        party: SocketAddr,
        inner: SocketAddr,
        outer: SocketAddr,
        switch: SocketAddr,
    ) -> Link {
        let bind = |address: SocketAddr| UdpSocket::bind(address).unwrap_or_else(|e| panic!("{address}: {e}"));
        let (inner, outer) = (bind(inner), bind(outer));
        let stop = Arc::new(AtomicBool::new(false));
        let directions = [Arc::new(Direction::default()), Arc::new(Direction::default())];
        let ways = [(&inner, &outer, switch), (&outer, &inner, party)];
        let threads = ways
            .into_iter()
            .zip(&directions)
            .enumerate()
            .map(|(index, ((from, to, target), direction))| {
                let (from, to) = (from.try_clone().expect("two handles"), to.try_clone().expect("two handles"));
                let (stop, direction) = (stop.clone(), direction.clone());
                let dice = Dice((seed * 2 + index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                thread::spawn(move || carry(&from, &to, target, loss, dice, &stop, &direction))
            })
            .collect();
        Link { stop, directions, threads }
    }

    /// Datagrams carried and lost so far, both directions together.
    pub fn counts(&self) -> (u64, u64) {
        let sum = |count: fn(&Direction) -> &AtomicU64| {
            self.directions.iter().map(|d| count(d).load(Ordering::Relaxed)).sum()
        };
        (sum(|d| &d.carried), sum(|d| &d.lost))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a link's thread does not panic");
        }
    }
}

fn carry(
    from: &UdpSocket,
    to: &UdpSocket,
    target: SocketAddr,
    loss: f64,
    mut dice: Dice,
    stop: &AtomicBool,
    direction: &Direction,
) {
    from.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout is set");
    let mut buffer = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, _)) = from.recv_from(&mut buffer) else { continue };
        if dice.next() < loss {
            direction.lost.fetch_add(1, Ordering::Relaxed);
        } else {
            direction.carried.fetch_add(1, Ordering::Relaxed);
            let _ = to.send_to(&buffer[..length], target);
        }
    }
}

/// xorshift: 0 to 1.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}
