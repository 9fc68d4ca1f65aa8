//! Media through a relay: each call is two streams of G.711, one each way, sent evenly spread over the 20 ms.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::socket::{Socket, let_gather, monotonic_ns, now_ns, sleep_exactly, sleep_until_ns};

/// Bytes of RTP: header and 20 ms of G.711.
const LENGTH: usize = 172;
const FRAME_NS: u64 = 20_000_000;

/// What arrived of what was sent.
#[derive(Debug, Default)]
pub struct Traffic {
    pub sent: u64,
    pub received: u64,
    /// From before the send to the kernel's receipt at the far end, nanoseconds, sorted.
    pub latencies_ns: Vec<u64>,
}

impl Traffic {
    /// The latency under which this share (0 to 1) of the packets stayed, in milliseconds.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let last = self.latencies_ns.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.latencies_ns.get(at).map_or(f64::NAN, |ns| *ns as f64 / 1e6)
    }
}

/// One stream: which of the two sockets sends it, and where to.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    pub side: usize,
    pub target: SocketAddr,
}

/// The two streams of each call: the caller's side is socket 0.
pub fn streams(calls: &[[SocketAddr; 2]]) -> Vec<Stream> {
    let both = |call: &[SocketAddr; 2]| [Stream { side: 0, target: call[0] }, Stream { side: 1, target: call[1] }];
    calls.iter().flat_map(both).collect()
}

/// Two sockets, all streams of a side through one: the relay tells calls apart by its own ports.
#[derive(Debug)]
pub struct Ends {
    sockets: [Socket; 2],
}

impl Ends {
    pub fn bind(addresses: [SocketAddr; 2]) -> Ends {
        let sockets = addresses.map(|a| Socket::bind(a).unwrap_or_else(|e| panic!("{a}: {e}")));
        Ends { sockets }
    }

    /// Sends every stream for `seconds` and receives all that comes. `measured` is called when the first second, which
    /// is not counted, is over, and again at the end: what it returns is CPU time or the like at both moments.
    pub fn exchange(&self, streams: &[Stream], seconds: u32, measured: impl Fn() -> u64) -> (Traffic, u64) {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let receiver = scope.spawn(|| self.receive(streams.len() * 50 * seconds as usize, &stop));
            sleep_exactly();
            self.send(streams, 1, 0);
            let count_from = now_ns();
            let before = measured();
            let sent = self.send(streams, seconds, 50);
            let spent = measured() - before;
            thread::sleep(Duration::from_millis(300));
            stop.store(true, Ordering::Relaxed);
            let arrived = receiver.join().expect("the receiver does not panic");
            let counted = arrived.into_iter().filter(|(sent_at, _)| *sent_at >= count_from);
            let mut latencies: Vec<u64> = counted.map(|(sent_at, at)| at.saturating_sub(sent_at)).collect();
            latencies.sort_unstable();
            (Traffic { sent, received: latencies.len() as u64, latencies_ns: latencies }, spent)
        })
    }

    fn send(&self, streams: &[Stream], seconds: u32, first_frame: u32) -> u64 {
        let begin = monotonic_ns() + 1_000_000;
        let space = FRAME_NS / streams.len() as u64;
        let mut packet = [0xffu8; LENGTH];
        for frame in 0..seconds * 50 {
            let number = first_frame + frame;
            packet[..2].copy_from_slice(&[0x80, 0]);
            packet[2..4].copy_from_slice(&(number as u16).to_be_bytes());
            packet[4..8].copy_from_slice(&(number * 160).to_be_bytes());
            for (index, stream) in streams.iter().enumerate() {
                sleep_until_ns(begin + u64::from(frame) * FRAME_NS + index as u64 * space);
                packet[8..12].copy_from_slice(&(0x1000 + index as u32).to_be_bytes());
                packet[12..20].copy_from_slice(&now_ns().to_be_bytes());
                self.sockets[stream.side].send(&packet, stream.target);
            }
        }
        u64::from(seconds) * 50 * streams.len() as u64
    }

    /// Moments of sending and of receipt.
    fn receive(&self, expected: usize, stop: &AtomicBool) -> Vec<(u64, u64)> {
        let mut arrived = Vec::with_capacity(expected + expected / 10);
        let mut buffer = [0; 2048];
        while !stop.load(Ordering::Relaxed) {
            let_gather();
            for socket in &self.sockets {
                while let Some((length, _, stamp)) = socket.receive(&mut buffer) {
                    let is_media = length == LENGTH && buffer[1] & 0x7f == 0;
                    if let (true, Ok(sent_at)) = (is_media, buffer[12..20].try_into()) {
                        arrived.push((u64::from_be_bytes(sent_at), stamp));
                    }
                }
            }
        }
        arrived
    }
}
