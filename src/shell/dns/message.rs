//! Messages of name servers (RFC 1035): one question out, one answer in.

use crate::base::time::Duration;
use crate::sip::locate::{Answer, Kind, Record};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Aliases within one answer.
const CHAIN_MAX: usize = 8;

/// What a server has said.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    Answer(Answer),
    /// The name is another's, of which nothing is said.
    Alias(String),
    /// It cannot or will not answer.
    Nothing,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    Said(Said),
    /// It is to be asked by TCP.
    Truncated,
    /// No answer to our question, or no message at all.
    NotOurs,
}

const fn type_of(kind: Kind) -> TYPE {
    match kind {
        Kind::Naptr => TYPE::NAPTR,
        Kind::Srv => TYPE::SRV,
        Kind::A => TYPE::A,
        Kind::Aaaa => TYPE::AAAA,
    }
}

/// The question; `None` if the name cannot be one.
pub fn write(number: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(number);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).ok()?;
    packet.questions.push(Question::new(name, QTYPE::TYPE(type_of(kind)), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().ok()
}

fn text(name: &Name<'_>) -> String {
    name.to_string().trim_end_matches('.').to_ascii_lowercase()
}

/// Names that we go on with: what a host's or a service's name is made of.
fn is_plain(name: &str) -> bool {
    name.len() <= 253 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Reads what has come for a question.
pub fn read(bytes: &[u8], number: u16, name: &str, kind: Kind) -> Reading {
    let Ok(packet) = Packet::parse(bytes) else { return Reading::NotOurs };
    let asked = packet.questions.first();
    let is_ours = packet.id() == number
        && packet.has_flags(PacketFlag::RESPONSE)
        && asked.is_some_and(|q| text(&q.qname).eq_ignore_ascii_case(name) && q.qtype == QTYPE::TYPE(type_of(kind)));
    if !is_ours {
        return Reading::NotOurs;
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Reading::Truncated;
    }
    Reading::Said(match packet.rcode() {
        RCODE::NoError => answer(&packet, name, kind),
        RCODE::NameError => Said::Answer(absent(&packet)),
        _ => Said::Nothing,
    })
}

fn answer(packet: &Packet<'_>, name: &str, kind: Kind) -> Said {
    let (mut name, mut ttl) = (name.to_ascii_lowercase(), u32::MAX);
    let mut is_alias = false;
    for _ in 0..CHAIN_MAX {
        let mut records = Vec::new();
        let mut alias = None;
        for found in packet.answers.iter().filter(|r| r.class == CLASS::IN && text(&r.name) == name) {
            match record(&found.rdata) {
                Some(record) if is_of(&record, kind) => {
                    ttl = ttl.min(found.ttl);
                    records.push(record);
                }
                _ => {
                    if let RData::CNAME(next) = &found.rdata {
                        ttl = ttl.min(found.ttl);
                        // An alias of the root leads nowhere.
                        alias = Some(text(&next.0)).filter(|next| !next.is_empty() && is_plain(next));
                    }
                }
            }
        }
        if !records.is_empty() {
            return Said::Answer(Answer::Found { records, ttl: Duration::from_secs(u64::from(ttl)) });
        }
        match alias {
            Some(next) => (name, is_alias) = (next, true),
            None if is_alias => return Said::Alias(name),
            None => return Said::Answer(absent(packet)),
        }
    }
    Said::Nothing
}

/// How long there is nothing: the lesser of the SOA's own life and its minimum (RFC 2308 §5).
fn absent(packet: &Packet<'_>) -> Answer {
    let soa = packet.name_servers.iter().find_map(|r| match &r.rdata {
        RData::SOA(soa) => Some(r.ttl.min(soa.minimum)),
        _ => None,
    });
    Answer::Absent { ttl: soa.map(|s| Duration::from_secs(u64::from(s))) }
}

fn is_of(record: &Record, kind: Kind) -> bool {
    match record {
        Record::Naptr { .. } => kind == Kind::Naptr,
        Record::Srv { .. } => kind == Kind::Srv,
        Record::Address(ip) => kind == if ip.is_ipv4() { Kind::A } else { Kind::Aaaa },
    }
}

fn record(data: &RData<'_>) -> Option<Record> {
    Some(match data {
        RData::A(a) => Record::Address(Ipv4Addr::from(a.address).into()),
        RData::AAAA(a) => Record::Address(Ipv6Addr::from(a.address).into()),
        RData::SRV(srv) => {
            let target = text(&srv.target);
            is_plain(&target).then_some(())?;
            Record::Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target: target.into() }
        }
        RData::NAPTR(naptr) => {
            let replacement = text(&naptr.replacement);
            is_plain(&replacement).then_some(())?;
            Record::Naptr {
                order: naptr.order,
                preference: naptr.preference,
                flags: naptr.flags.to_string().into(),
                service: naptr.services.to_string().into(),
                replacement: replacement.into(),
            }
        }
        _ => return None,
    })
}
