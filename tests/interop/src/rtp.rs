//! One end of a G.711 call: sends a signal at 50 packets a second and keeps every packet that it gets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::sound::{pcma_decode, pcma_encode, pcmu_decode, pcmu_encode};

/// Samples a packet: 20 ms.
const FRAME: usize = 160;

/// One RTP packet as it arrived.
#[derive(Debug, Clone)]
pub struct Packet {
    pub at: Instant,
    pub from: SocketAddr,
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload: Vec<u8>,
}

fn read_packet(bytes: &[u8], from: SocketAddr) -> Option<Packet> {
    let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let header = 12 + 4 * usize::from(first & 0x0f);
    if first >> 6 != 2 {
        return None;
    }
    Some(Packet {
        at: Instant::now(),
        from,
        payload_type: second & 0x7f,
        marker: second & 0x80 != 0,
        sequence: word(0)? as u16,
        timestamp: word(4)?,
        ssrc: word(8)?,
        payload: bytes.get(header..)?.to_vec(),
    })
}

#[derive(Debug, Default)]
struct Shared {
    target: Mutex<Option<SocketAddr>>,
    heard: Mutex<Vec<Packet>>,
    control: Mutex<Vec<Vec<u8>>>,
    muted: AtomicBool,
    quiet: AtomicBool,
    /// An event that is being sent, and how many packets of it have been.
    pressed: Mutex<Option<(u8, u16)>>,
    stop: AtomicBool,
}

/// A running end. It sends nothing until it knows its target.
#[derive(Debug)]
pub struct RtpEnd {
    shared: Arc<Shared>,
    port: u16,
    threads: Vec<JoinHandle<()>>,
}

impl RtpEnd {
    /// Binds `port` and the RTCP port above it at `ip`. `signal` is sent over and over in `payload_type` 0 or 8.
    pub fn start(ip: &str, port: u16, signal: &[i16], payload_type: u8) -> RtpEnd {
        let ip: IpAddr = ip.parse().expect("an address");
        let media = UdpSocket::bind((ip, port)).unwrap_or_else(|e| panic!("{ip}:{port}: {e}"));
        let control = UdpSocket::bind((ip, port + 1)).unwrap_or_else(|e| panic!("{ip}:{}: {e}", port + 1));
        let shared = Arc::new(Shared::default());
        let encode = if payload_type == 8 { pcma_encode } else { pcmu_encode };
        let payload: Vec<u8> = signal.iter().map(|s| encode(*s)).collect();
        let sender = media.try_clone().expect("a socket has two handles");
        let threads = vec![
            spawn(&shared, move |shared| receive(&media, shared)),
            spawn(&shared, move |shared| send(&sender, shared, &payload, payload_type)),
            spawn(&shared, move |shared| receive_control(&control, shared)),
        ];
        RtpEnd { shared, port, threads }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on the signal goes there.
    pub fn send_to(&self, target: SocketAddr) {
        *self.shared.target.lock().expect("no holder panics") = Some(target);
    }

    /// Stops or resumes sending; receiving goes on.
    pub fn set_quiet(&self, quiet: bool) {
        self.shared.quiet.store(quiet, Ordering::Relaxed);
    }

    /// Sends silence instead of the signal, or the signal again.
    pub fn set_muted(&self, muted: bool) {
        self.shared.muted.store(muted, Ordering::Relaxed);
    }

    /// Sends a digit as RFC 4733 in payload type 101, in place of sound: 120 ms, its end three times.
    pub fn press(&self, event: u8) {
        *self.shared.pressed.lock().expect("no holder panics") = Some((event, 0));
    }

    /// How many RTP packets have arrived.
    pub fn count(&self) -> usize {
        self.shared.heard.lock().expect("no holder panics").len()
    }

    /// Stops; everything that arrived.
    pub fn stop(mut self) -> Heard {
        self.end();
        let packets = std::mem::take(&mut *self.shared.heard.lock().expect("no holder panics"));
        let control = std::mem::take(&mut *self.shared.control.lock().expect("no holder panics"));
        Heard { packets, control }
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("an RTP thread does not panic");
        }
    }
}

impl Drop for RtpEnd {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(shared: &Arc<Shared>, work: impl FnOnce(&Shared) + Send + 'static) -> JoinHandle<()> {
    let shared = shared.clone();
    thread::spawn(move || work(&shared))
}

fn receive(socket: &UdpSocket, shared: &Shared) {
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout is set");
    let mut buffer = [0; 2048];
    while !shared.stop.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer)
            && let Some(packet) = read_packet(&buffer[..length], from)
        {
            shared.heard.lock().expect("no holder panics").push(packet);
        }
    }
}

fn receive_control(socket: &UdpSocket, shared: &Shared) {
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout is set");
    let mut buffer = [0; 2048];
    while !shared.stop.load(Ordering::Relaxed) {
        if let Ok((length, _)) = socket.recv_from(&mut buffer) {
            shared.control.lock().expect("no holder panics").push(buffer[..length].to_vec());
        }
    }
}

fn send(socket: &UdpSocket, shared: &Shared, payload: &[u8], payload_type: u8) {
    let ssrc = 0x5eed_0000 | u32::from(socket.local_addr().map_or(0, |a| a.port()));
    let begin = Instant::now();
    // A pause takes time and no sequence numbers, as in every phone.
    let (mut next, mut sequence, mut event_at) = (0u32, 0u16, 0u32);
    while !shared.stop.load(Ordering::Relaxed) {
        let due = begin + Duration::from_millis(20) * next;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let target = *shared.target.lock().expect("no holder panics");
        if let (Some(target), false) = (target, shared.quiet.load(Ordering::Relaxed)) {
            let mut pressed = shared.pressed.lock().expect("no holder panics");
            let (first, timestamp) = match *pressed {
                Some((_, sent)) => {
                    event_at = if sent == 0 { next * FRAME as u32 } else { event_at };
                    (101 | if sent == 0 { 0x80 } else { 0 }, event_at)
                }
                None => (payload_type, next * FRAME as u32),
            };
            let mut packet = vec![0x80, first];
            packet.extend(sequence.to_be_bytes());
            packet.extend(timestamp.to_be_bytes());
            packet.extend(ssrc.to_be_bytes());
            match *pressed {
                Some((event, sent)) => {
                    let end = if sent >= 5 { 0x80 } else { 0 };
                    packet.extend([event, end | 10]);
                    packet.extend(((sent.min(5) + 1) * FRAME as u16).to_be_bytes());
                    *pressed = (sent < 7).then_some((event, sent + 1));
                }
                None if shared.muted.load(Ordering::Relaxed) => {
                    packet.extend([if payload_type == 8 { 0xd5 } else { 0xff }; FRAME]);
                }
                None => packet.extend((0..FRAME).map(|i| payload[(next as usize * FRAME + i) % payload.len()])),
            }
            drop(pressed);
            let _ = socket.send_to(&packet, target);
            sequence = sequence.wrapping_add(1);
        }
        next += 1;
    }
}

/// What one end got.
#[derive(Debug)]
pub struct Heard {
    pub packets: Vec<Packet>,
    /// RTCP, one entry a datagram.
    pub control: Vec<Vec<u8>>,
}

impl Heard {
    /// The G.711 payloads in order of arrival, decoded. DTMF and comfort noise are left out.
    pub fn samples(&self) -> Vec<i16> {
        let decode = |p: &Packet| -> Vec<i16> {
            match p.payload_type {
                0 => p.payload.iter().map(|b| pcmu_decode(*b)).collect(),
                8 => p.payload.iter().map(|b| pcma_decode(*b)).collect(),
                _ => Vec::new(),
            }
        };
        self.packets.iter().flat_map(decode).collect()
    }

    /// Packets of each payload type.
    pub fn payload_types(&self) -> BTreeMap<u8, usize> {
        let mut counts = BTreeMap::new();
        for packet in &self.packets {
            *counts.entry(packet.payload_type).or_insert(0) += 1;
        }
        counts
    }

    /// Faults of the stream as a receiver sees them (RFC 3550): SSRC changed, sequence or timestamp not continuous.
    /// Empty for a perfect stream.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (index, pair) in self.packets.windows(2).enumerate() {
            let [a, b] = pair else { continue };
            if a.ssrc != b.ssrc {
                faults.push(format!("packet {index}: SSRC {:08x} became {:08x}", a.ssrc, b.ssrc));
            }
            if b.sequence != a.sequence.wrapping_add(1) {
                faults.push(format!("packet {index}: sequence {} followed by {}", a.sequence, b.sequence));
            }
            let step = b.timestamp.wrapping_sub(a.timestamp) as usize;
            if step != a.payload.len() && !b.marker {
                faults.push(format!("packet {index}: timestamp moved by {step}"));
            }
        }
        faults
    }
}
