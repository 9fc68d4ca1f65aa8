//! Which addresses may be asked: a webhook's address comes from an application, and may not lead into our own network.

use crate::config::Network;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Lets through what is on the public Internet, and what the configuration names (`web.allow_private`).
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allowed: Vec<Network>,
}

impl Guard {
    pub fn new(allowed: Vec<Network>) -> Guard {
        Guard { allowed }
    }

    pub fn lets(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.allowed.iter().any(|network| network.contains(ip)) || is_public(ip)
    }
}

/// IANA's special-purpose registries (RFC 6890): only what is globally reachable.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_broadcast()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        // Shared by carriers (RFC 6598), protocol assignments, benchmarks (RFC 2544), the future.
        || (a == 100 && b & 0xc0 == 64)
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || (a == 198 && b & 0xfe == 18)
        || a >= 240;
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    // Addresses that carry another: by translation (RFC 6052) and by 6to4 (RFC 3056).
    let embedded = |high: u16, low: u16| is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match s {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        [0x2001, second, ..] if second < 0x200 => false,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // What is global begins with 001 (RFC 4291 §2.4).
        _ => s[0] & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_public_or_allowed_is_let_through() {
        let guard = Guard::new(vec![
            Network { address: [10, 1, 0, 0].into(), prefix: 16 },
            Network { address: "fd00::".parse().unwrap(), prefix: 64 },
        ]);
        let refused = "0.0.0.0 0.1.2.3 10.0.0.1 10.2.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.9.9.9 169.254.169.254 172.16.0.1 \
                       172.31.255.255 192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 \
                       203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 \
                       ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1::1 2002:a9fe:a9fe::1 2001::1 2001:db8::1 fe80::1 \
                       fc00::1 fd00:1::1 ff02::1 100::1 3fff::1";
        for ip in refused.split_whitespace() {
            assert!(!guard.lets(ip.parse().unwrap()), "{ip}");
        }
        let let_through = "1.1.1.1 9.255.255.255 11.0.0.1 100.63.0.1 100.128.0.1 172.15.0.1 172.32.0.1 192.0.1.1 198.17.0.1 223.255.255.254 \
                           10.1.2.3 ::ffff:10.1.2.3 ::ffff:8.8.8.8 fd00::5 2600::1 2a00:1450::1 64:ff9b::808:808 2002:808:808::1";
        for ip in let_through.split_whitespace() {
            assert!(guard.lets(ip.parse().unwrap()), "{ip}");
        }
    }
}
