//! Asking name servers what the core wants to know: /etc/hosts first, then each server, by UDP and, if an answer does not fit, by TCP.
//!
//! An answer is believed if it comes from the address that was asked, to the port that asked (a new one each time), with the number and
//! the question that were sent. What else comes is ignored while time is left: it may be forged to end the question early.

pub mod message;
mod system;
#[cfg(test)]
mod tests;

use super::mail::Mail;
use crate::sip::locate::{Answer, Kind, Query, Question};
use crate::switch::Input;
use message::{Reading, Said};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use system::System;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long one server may take, and how often each is asked.
const PATIENCE: Duration = Duration::from_millis(1_000);
const ROUNDS: usize = 2;
/// How long all of one question may take.
const ALL: Duration = Duration::from_secs(8);
/// Names of names that are followed.
const ALIASES_MAX: usize = 8;
/// The longest datagram that is read.
const DATAGRAM_MAX: usize = 4_096;
/// How long what /etc/hosts says holds.
const HOSTS_TTL: Duration = Duration::from_secs(30);

/// The control thread's end; nothing here waits.
pub struct Dns {
    runtime: tokio::runtime::Handle,
    asker: Arc<Asker>,
    mail: Mail,
}

impl Dns {
    /// `servers`: those of the configuration; none: the system's. Call it within the runtime.
    pub fn start(servers: &[SocketAddr], mail: Mail) -> Dns {
        let asker = Arc::new(Asker { servers: servers.to_vec(), system: System::default() });
        Dns { runtime: tokio::runtime::Handle::current(), asker, mail }
    }

    /// Asks; the answer comes by mail. The core has a bound on how much it asks at once.
    pub fn ask(&self, query: Query) {
        let (asker, mail) = (Arc::clone(&self.asker), self.mail.clone());
        self.runtime.spawn(async move {
            let answer = timeout(ALL, asker.resolve(&query.question)).await.unwrap_or(Answer::Failed);
            mail.stream(Input::Resolved { id: query.id, answer }).await;
        });
    }
}

struct Asker {
    /// None: the system's.
    servers: Vec<SocketAddr>,
    system: System,
}

impl Asker {
    async fn resolve(&self, question: &Question) -> Answer {
        if let Some(answer) = self.in_hosts(question) {
            return answer;
        }
        let settings = self.system.settings();
        let servers = if self.servers.is_empty() { &settings.servers } else { &self.servers };
        let mut absent = Answer::Failed;
        for name in settings.names(question) {
            match self.follow(servers, &name, question.kind).await {
                Answer::Absent { ttl } => absent = Answer::Absent { ttl },
                other => return other,
            }
        }
        absent
    }

    /// Follows aliases that a server has not followed itself.
    async fn follow(&self, servers: &[SocketAddr], name: &str, kind: Kind) -> Answer {
        let mut name = name.to_owned();
        for _ in 0..ALIASES_MAX {
            match self.ask_all(servers, &name, kind).await {
                Said::Answer(answer) => return answer,
                Said::Alias(next) => name = next,
                Said::Nothing => return Answer::Failed,
            }
        }
        tracing::debug!(name, "aliases of names do not end");
        Answer::Failed
    }

    async fn ask_all(&self, servers: &[SocketAddr], name: &str, kind: Kind) -> Said {
        for _ in 0..ROUNDS {
            for server in servers {
                match ask(*server, name, kind).await {
                    Ok(Said::Nothing) => {}
                    Ok(said) => return said,
                    Err(error) => tracing::debug!(%server, name, %error, "a name server gave no answer"),
                }
            }
        }
        Said::Nothing
    }

    /// What /etc/hosts says of a name; `None`: nothing.
    fn in_hosts(&self, question: &Question) -> Option<Answer> {
        if !matches!(question.kind, Kind::A | Kind::Aaaa) {
            return (&*question.name == "localhost").then_some(Answer::Absent { ttl: None });
        }
        let mut known = self.system.hosts(&question.name);
        if known.is_empty() && &*question.name == "localhost" {
            known = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        }
        if known.is_empty() {
            return None;
        }
        known.retain(|ip| ip.is_ipv4() == (question.kind == Kind::A));
        Some(match known.is_empty() {
            true => Answer::Absent { ttl: Some(HOSTS_TTL) },
            false => Answer::Found {
                records: known.into_iter().map(crate::sip::locate::Record::Address).collect(),
                ttl: HOSTS_TTL,
            },
        })
    }
}

/// Asks one server once.
async fn ask(server: SocketAddr, name: &str, kind: Kind) -> io::Result<Said> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let number = u16::from_le_bytes(super::run::random()?);
    let Some(question) = message::write(number, name, kind) else {
        // What cannot be asked is not there.
        return Ok(Said::Answer(Answer::Absent { ttl: None }));
    };
    match timeout(PATIENCE, by_udp(server, &question, number, name, kind)).await.map_err(late)?? {
        Reading::Said(said) => Ok(said),
        _ => timeout(PATIENCE, by_tcp(server, &question, number, name, kind)).await.map_err(late)?,
    }
}

async fn by_udp(server: SocketAddr, question: &[u8], number: u16, name: &str, kind: Kind) -> io::Result<Reading> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Connected: the kernel drops what others send, and tells us that nobody is there.
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let n = socket.recv(&mut buffer).await?;
        match message::read(&buffer[..n], number, name, kind) {
            Reading::NotOurs => {}
            reading => return Ok(reading),
        }
    }
}

async fn by_tcp(server: SocketAddr, question: &[u8], number: u16, name: &str, kind: Kind) -> io::Result<Said> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    match message::read(&answer, number, name, kind) {
        Reading::Said(said) => Ok(said),
        Reading::Truncated | Reading::NotOurs => Ok(Said::Nothing),
    }
}
