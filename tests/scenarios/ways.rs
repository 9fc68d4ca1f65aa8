//! How messages travel: names, transports, and networks behind an address of their own.

use super::stage::{address, party_of};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tandem::base::time::Duration;
use tandem::sip::locate::{Answer, Kind, Query, Record};
use tandem::sip::transport::{Flow, Listener, ListenerId, Transport};

/// Listeners beside those of the simulation: TLS, and the HTTP port.
pub const TLS: u16 = 4;
pub const HTTP: u16 = 5;

pub fn listeners(mut known: Vec<Listener>) -> Vec<Listener> {
    let more = [(TLS, Transport::Tls, 5061), (HTTP, Transport::Ws, 8080)];
    for (id, transport, port) in more {
        let local = SocketAddr::from(([10, 0, 0, 1], port));
        known.push(Listener { id: ListenerId(id), transport, local, advertised: local });
    }
    known
}

#[derive(Default)]
pub struct Ways {
    /// Parties that speak over streams of their own.
    over: BTreeMap<String, Transport>,
    /// Parties whose Via and Contact name an address that nobody reaches.
    behind_nat: Vec<String>,
    /// `srv NAME` to its records as a script writes them.
    names: BTreeMap<String, String>,
    /// The stream on which the switch speaks to a party, once it does.
    opened: BTreeMap<String, Flow>,
}

impl Ways {
    /// `over alice ws`, `nat alice`, `name srv _sip._udp.acme.example 10,1,5060,a.acme.example`. False: it is none of them.
    pub fn learn(&mut self, line: &str) -> bool {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["over", party, transport] => {
                let transport = match transport {
                    "tcp" => Transport::Tcp,
                    "tls" => Transport::Tls,
                    "ws" => Transport::Ws,
                    _ => return false,
                };
                self.over.insert(party.into(), transport);
            }
            ["nat", party] => self.behind_nat.push(party.into()),
            ["name", kind, name, ..] => {
                self.names.insert(format!("{kind} {name}"), words[3..].join(" "));
            }
            _ => return false,
        }
        true
    }

    /// Where the party says that it is.
    pub fn says(&self, party: &str) -> SocketAddr {
        let at = address(party);
        let SocketAddr::V4(v4) = at else { return at };
        let last = v4.ip().octets()[3];
        if self.behind_nat.iter().any(|p| p == party) { SocketAddr::from(([192, 168, 7, last], 5060)) } else { at }
    }

    pub fn transport(&self, party: &str) -> Transport {
        self.over.get(party).copied().unwrap_or(Transport::Udp)
    }

    /// `;transport=` of its Contact.
    pub fn parameter(&self, party: &str) -> String {
        match self.transport(party) {
            Transport::Udp => String::new(),
            other => format!(";transport={}", other.as_param()),
        }
    }

    /// The flow by which what a party sends comes in.
    pub fn flow(&self, dialog: &str) -> Flow {
        let party = party_of(dialog);
        let own = Flow { listener: ListenerId(0), transport: Transport::Udp, peer: address(party), connection: 0 };
        let (listener, transport) = match self.transport(party) {
            Transport::Udp => return self.opened.get(party).copied().unwrap_or(own),
            Transport::Tls => (TLS, Transport::Tls),
            Transport::Tcp => (1, Transport::Tcp),
            other => (HTTP, other),
        };
        Flow { listener: ListenerId(listener), transport, connection: 1 + u64::from(party.as_bytes()[0]), ..own }
    }

    /// The switch has sent over this flow: what answers comes back by it.
    pub fn sent(&mut self, party: &str, flow: Flow) {
        if flow.transport == Transport::Udp {
            self.opened.remove(party);
        } else {
            let connection = if flow.connection == 0 { 900 } else { flow.connection };
            self.opened.insert(party.into(), Flow { connection, ..flow });
        }
    }

    /// What name servers say: the question and the answer in a few words, and the answer.
    pub fn resolve(&self, query: &Query) -> (String, String, Answer) {
        let kind = match query.question.kind {
            Kind::Naptr => "naptr",
            Kind::Srv => "srv",
            Kind::A => "a",
            Kind::Aaaa => "aaaa",
        };
        let asked = format!("{kind} {}", query.question.name);
        let Some(rows) = self.names.get(&asked) else {
            return (asked, "nothing".into(), Answer::Absent { ttl: Some(Duration::from_secs(300)) });
        };
        let records = rows.split(' ').map(|row| record(query.question.kind, row)).collect();
        (asked, rows.clone(), Answer::Found { records, ttl: Duration::from_secs(300) })
    }
}

fn record(kind: Kind, row: &str) -> Record {
    let fields: Vec<&str> = row.split(',').collect();
    let number = |n: usize| fields[n].parse().unwrap_or_else(|_| panic!("not a number: {row}"));
    match kind {
        Kind::Naptr => Record::Naptr {
            order: number(0),
            preference: number(1),
            flags: fields[2].into(),
            service: fields[3].into(),
            replacement: fields[4].into(),
        },
        Kind::Srv => Record::Srv { priority: number(0), weight: number(1), port: number(2), target: fields[3].into() },
        Kind::A | Kind::Aaaa => Record::Address(row.parse().unwrap_or_else(|_| panic!("no address: {row}"))),
    }
}
