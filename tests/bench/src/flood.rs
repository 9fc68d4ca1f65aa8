//! A flood of what strangers send, from many sources, while good calls and registrations go on.

use std::mem::{size_of, size_of_val, zeroed};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use interop::scratch::Scratch;
use interop::tandem::Tandem;
use serde_json::{Value, json};

use crate::endpoints::Endpoints;
use crate::register::Phones;
use crate::signalling::round;
use crate::subject::{Kind, Places, Subject};
use crate::usage::{cores, cpu_ns, pin, rss_kb, unpin};
use crate::{Choice, say};

const PER_SECOND: u64 = 5_000;
const CALLS_PER_SECOND: f64 = 100.0;
/// Good calls beside the flood, a minute of them, and before it.
const CALLS: usize = 6_000;
const CALLS_BEFORE: usize = 500;
const HOLD: Duration = Duration::from_millis(100);
/// Phones that register with digest beside the calls, from a source that nothing vouches for.
const PHONES: usize = 200;
const PHONES_PER_SECOND: u64 = 20;
/// Half of the flood comes from so many sources again and again; the other half of it from sources never seen before.
const STEADY_SOURCES: u64 = 500;

/// 5,000 malformed or unauthorised requests a second from many sources beside 100 calls a second.
pub fn flood(choice: &Choice) -> Value {
    if !choice.subject("tandem") {
        return Value::Null;
    }
    let scratch = Scratch::new("bench-flood-tandem");
    let places = Places::free();
    let alone = cores() > 1;
    if alone {
        pin(0);
    }
    let users: String =
        (0..PHONES).map(|n| format!("  - {{ name: phone{n}, password: secret-{n}, context: in }}\n")).collect();
    // Loopback is no exempt source here, but for the trunks.
    let sip = "  guard: { allow: [192.0.2.1] }\n";
    let subject =
        Subject::start_with(Kind::TandemAnchored, scratch.path(), places, 400, alone.then_some("1"), (&users, sip));
    let Some(tandem) = subject.tandem() else { return Value::Null };
    let mut ends = Endpoints::new(subject.address(), places.caller, places.callee, places.media);
    ends.run(CALLS_BEFORE, CALLS_PER_SECOND, Some(HOLD));
    let quiet_p95 = p95_ms(&ends.tally.post_dial_ns);
    ends.clear();

    let found = beside(&subject, tandem, &mut ends);
    if alone {
        unpin();
    }
    json!({ "tandem": found, "quiet_p95_ms": round(quiet_p95, 3) })
}

fn beside(subject: &Subject, tandem: &Tandem, ends: &mut Endpoints) -> Value {
    let (pid, switch) = (subject.pid(), subject.address());
    let (rss_before, cpu_before, begun) = (rss_kb(pid), cpu_ns(pid), Instant::now());
    let flood = Flood::start(switch);
    let phones = std::thread::spawn(move || {
        let mut phones = Phones::new(switch, PHONES, PHONES_PER_SECOND);
        phones.round().0
    });
    ends.run(CALLS / 2, CALLS_PER_SECOND, Some(HOLD));
    let rss_middle = rss_kb(pid);
    ends.run(CALLS / 2, CALLS_PER_SECOND, Some(HOLD));
    let registered = phones.join().unwrap_or(0);
    let (sent, elapsed) = (flood.stop(), begun.elapsed().as_secs_f64());
    let cpu = (cpu_ns(pid) - cpu_before) as f64 / 1e9 / elapsed;
    let rss = rss_kb(pid);
    let metric = |name: &str| tandem.metric(&format!("tandem_{name}")).unwrap_or(f64::NAN);
    let (banned, dropped, limited) =
        (metric("sources_banned"), metric("messages_banned_total"), metric("messages_limited_total"));
    let (known, refused) = (metric("sources_known"), metric("overload_refused_total"));
    let p95 = p95_ms(&ends.tally.post_dial_ns);
    let rate = sent as f64 / elapsed;
    say(
        "tandem",
        &format!(
            "{rate:.0} bad messages/s for {elapsed:.0} s: {} of {} calls completed, {} failed, {} messages sent twice, {registered} of \
             {PHONES} phones registered; {p95:.2} ms at 95 %; {banned} sources banned of {known} known, {dropped} messages \
             dropped unread, {refused} refused by load; {rss_before} kB before, {rss_middle} in the middle, {rss} after; {cpu:.2} cores",
            ends.tally.completed, CALLS, ends.tally.failed, ends.tally.repeated
        ),
    );
    if let Some(complaint) = &ends.tally.complaint {
        say("tandem", complaint);
    }
    json!({
        "bad_per_second": rate.round(), "seconds": elapsed.round(), "calls": CALLS, "completed": ends.tally.completed,
        "failed": ends.tally.failed, "repeated": ends.tally.repeated, "phones": PHONES, "registered": registered,
        "p95_ms": round(p95, 3), "sources_banned": banned, "sources_known": known, "dropped_unread": dropped,
        "limited": limited, "overload_refused": refused, "cpu_cores": round(cpu, 3),
        "rss_kb": [rss_before, rss_middle, rss],
    })
}

/// The delay that 95 % of them stay within, in ms.
pub fn p95_ms(delays_ns: &[u64]) -> f64 {
    let mut sorted = delays_ns.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() * 95 / 100).map_or(f64::NAN, |ns| *ns as f64 / 1e6)
}

/// A thread that sends until it is stopped.
struct Flood {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Flood {
    fn start(switch: SocketAddr) -> Flood {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (over, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap_or_else(|e| panic!("a port for the flood: {e}"));
        let thread = std::thread::spawn(move || {
            let begun = Instant::now();
            let port = socket.local_addr().map_or(0, |a| a.port());
            let mut n = 0;
            while !over.load(Ordering::Relaxed) {
                while (begun.elapsed().as_micros() as u64) * PER_SECOND / 1_000_000 > n {
                    let source = source(n);
                    let text = message(n, source, port, switch);
                    if send_from(&socket, source, switch, &text) {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    n += 1;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Flood { thread, stop, sent }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        self.sent.load(Ordering::Relaxed)
    }
}

/// Where message `n` comes from: every second one from a source of its own.
fn source(n: u64) -> Ipv4Addr {
    let (network, host) = if n.is_multiple_of(2) { (1, n / 2 % STEADY_SOURCES) } else { (32, n / 2) };
    Ipv4Addr::from((127 << 24) | ((network << 16) + host as u32))
}

/// What strangers send; `n` walks through the kinds, whatever its source.
fn message(n: u64, source: Ipv4Addr, port: u16, switch: SocketAddr) -> Vec<u8> {
    let head = |method: &str, user: &str| {
        format!(
            "{method} sip:{user}@{switch} SIP/2.0\r\nVia: SIP/2.0/UDP {source}:{port};branch=z9hG4bKf{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@{switch}>;tag=f{n}\r\nTo: <sip:{user}@{switch}>\r\nCall-ID: {n}@flood\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:{user}@{source}:{port}>\r\n"
        )
    };
    let end = "Content-Length: 0\r\n\r\n";
    let text = match n / 2 % 8 {
        0 => "GET / HTTP/1.1\r\nHost: pbx\r\n\r\n".to_owned(),
        1 => format!("INVITE sip:{n}@{switch} SIP/2.0\r\nVia: SIP/2.0/UDP {source}:{port}\r\n"),
        2 => head("INVITE", "900441234567") + end,
        3 => {
            let digest = format!(
                "Authorization: Digest username=\"phone1\", realm=\"pbx.example.com\", nonce=\"{n:032x}\", uri=\"sip:{switch}\", \
                 response=\"{n:032x}\", algorithm=MD5, cnonce=\"1\", nc=00000001, qop=auth\r\n"
            );
            head("REGISTER", "phone1") + &digest + end
        }
        4 => head("OPTIONS", "100") + "User-Agent: friendly-scanner\r\n" + end,
        5 => head("BYE", "100") + end,
        6 => head("INVITE", "100") + "Content-Length: nine\r\n\r\n",
        _ => return vec![(n & 0xff) as u8 | 1; 200],
    };
    text.into_bytes()
}

/// Sends from one of loopback's 16 million addresses, without a socket for each.
fn send_from(socket: &UdpSocket, source: Ipv4Addr, target: SocketAddr, bytes: &[u8]) -> bool {
    let SocketAddr::V4(target) = target else { return false };
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = [0u64; 8];
    // SAFETY: all three are plain data for which zero is a valid value.
    let (mut to, mut header, mut info): (libc::sockaddr_in, libc::msghdr, libc::in_pktinfo) =
        unsafe { (zeroed(), zeroed(), zeroed()) };
    to.sin_family = libc::AF_INET as libc::sa_family_t;
    to.sin_port = target.port().to_be();
    to.sin_addr.s_addr = u32::from(*target.ip()).to_be();
    info.ipi_spec_dst.s_addr = u32::from(source).to_be();
    header.msg_name = (&raw mut to).cast();
    header.msg_namelen = size_of_val(&to) as u32;
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    // SAFETY: `control` has room for one header with its structure; the macros stay within msg_controllen; the kernel only reads.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(size_of::<libc::in_pktinfo>() as u32) as usize;
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        (*first).cmsg_level = libc::IPPROTO_IP;
        (*first).cmsg_type = libc::IP_PKTINFO;
        (*first).cmsg_len = libc::CMSG_LEN(size_of::<libc::in_pktinfo>() as u32) as usize;
        std::ptr::write_unaligned(libc::CMSG_DATA(first).cast(), info);
        libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT) >= 0
    }
}
