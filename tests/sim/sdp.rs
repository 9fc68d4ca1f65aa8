//! Session descriptions of the simulated peers (RFC 8866, offer/answer RFC 3264): audio only.

use std::net::IpAddr;

/// Stands among payloads for fax by T.38 in the place of audio.
pub const FAX: u8 = 250;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Way {
    fn as_str(self) -> &'static str {
        match self {
            Way::SendRecv => "sendrecv",
            Way::SendOnly => "sendonly",
            Way::RecvOnly => "recvonly",
            Way::Inactive => "inactive",
        }
    }

    fn parse(text: &str) -> Option<Way> {
        [Way::SendRecv, Way::SendOnly, Way::RecvOnly, Way::Inactive].into_iter().find(|w| w.as_str() == text)
    }

    /// What an answer to this offer may say at most.
    pub fn mirrored(self) -> Way {
        match self {
            Way::SendOnly => Way::RecvOnly,
            Way::RecvOnly => Way::SendOnly,
            other => other,
        }
    }
}

/// What one side says about its audio.
#[derive(Clone, PartialEq, Debug)]
pub struct Sdp {
    pub origin: String,
    pub version: u64,
    pub ip: IpAddr,
    pub port: u16,
    pub payloads: Vec<u8>,
    pub way: Way,
    /// Values of `a=crypto`; with any it is RTP/SAVP.
    pub crypto: Vec<String>,
}

impl Sdp {
    pub fn write(&self) -> String {
        let family = if self.ip.is_ipv4() { "IP4" } else { "IP6" };
        let list: Vec<String> = self.payloads.iter().map(u8::to_string).collect();
        let protocol = if self.crypto.is_empty() { "RTP/AVP" } else { "RTP/SAVP" };
        if self.payloads == [FAX] {
            return format!(
                "v=0\r\no={} {} IN {family} {}\r\ns=-\r\nc=IN {family} {}\r\nt=0 0\r\nm=image {} udptl t38\r\n\
                 a=T38FaxVersion:0\r\na=T38FaxUdpEC:t38UDPRedundancy\r\na=x-of:{}\r\n",
                self.origin, self.version, self.ip, self.ip, self.port, self.origin
            );
        }
        let crypto: String = self.crypto.iter().map(|c| format!("a=crypto:{c}\r\n")).collect();
        let maps: String = self
            .payloads
            .iter()
            .filter_map(|p| {
                let map = match p {
                    0 => "PCMU/8000",
                    8 => "PCMA/8000",
                    9 => "G722/8000",
                    18 => "G729/8000",
                    111 => "opus/48000/2",
                    101 => "telephone-event/8000\r\na=fmtp:101 0-15",
                    _ => return None,
                };
                Some(format!("a=rtpmap:{p} {map}\r\n"))
            })
            .collect();
        format!(
            "v=0\r\no={} {} IN {family} {}\r\ns=-\r\nc=IN {family} {}\r\nt=0 0\r\nm=audio {} {protocol} {}\r\n{maps}{crypto}a={}\r\n",
            self.origin,
            self.version,
            self.ip,
            self.ip,
            self.port,
            list.join(" "),
            self.way.as_str()
        )
    }

    /// Reads what the switch wrote, strictly.
    pub fn parse(body: &str) -> Result<Sdp, String> {
        let mut order = String::new();
        let (mut origin, mut version, mut ip, mut port) = (None, None, None, None);
        let (mut payloads, mut way, mut crypto) = (Vec::new(), Way::SendRecv, Vec::new());
        for line in body.split_terminator("\r\n") {
            let (kind, value) = line.split_once('=').filter(|(k, _)| k.len() == 1).ok_or(format!("line {line:?}"))?;
            order += kind;
            let words: Vec<&str> = value.split(' ').collect();
            match (kind, &words[..]) {
                ("o", [user, id, v, "IN", "IP4" | "IP6", _]) => {
                    origin = Some(format!("{user} {id}"));
                    version = v.parse().ok();
                }
                ("c", ["IN", "IP4" | "IP6", address]) => ip = address.parse().ok(),
                ("m", ["audio", p, "RTP/AVP" | "RTP/SAVP", list @ ..]) => {
                    port = p.parse().ok();
                    payloads = list.iter().filter_map(|p| p.parse().ok()).collect();
                }
                ("m", ["image", p, "udptl", "t38"]) => (port, payloads) = (p.parse().ok(), vec![FAX]),
                ("m", _) => return Err(format!("media line {line:?}")),
                ("a", [tag, ..]) if tag.starts_with("crypto:") => crypto.push(value["crypto:".len()..].to_owned()),
                ("a", [attribute]) => way = Way::parse(attribute).unwrap_or(way),
                _ => {}
            }
        }
        let is_secure = body.contains(" RTP/SAVP ");
        let good = is_secure != crypto.is_empty()
            && order.starts_with("vos")
            && order.contains('t')
            && order.find('t') < order.find('m');
        match (origin, version, ip, port) {
            (Some(origin), Some(version), Some(ip), Some(port)) if good && !payloads.is_empty() => {
                Ok(Sdp { origin, version, ip, port, payloads, way, crypto })
            }
            _ => Err(format!("order {order}, or o=, c=, m= unreadable: {body:?}")),
        }
    }

    /// What is wrong with `answer` to this offer.
    pub fn answer_fault(&self, answer: &Sdp) -> Option<String> {
        if answer.port == 0 {
            return None;
        }
        if let Some(p) = answer.payloads.iter().find(|p| !self.payloads.contains(p)) {
            return Some(format!("answer has payload type {p}, the offer {:?}", self.payloads));
        }
        let kind = |c: &String| c.split(" inline:").next().unwrap_or_default().to_owned();
        let offered: Vec<String> = self.crypto.iter().map(kind).collect();
        if answer.crypto.len() != usize::from(!offered.is_empty())
            || answer.crypto.iter().any(|c| !offered.contains(&kind(c)))
        {
            return Some(format!("answer has keys for {:?}, the offer {offered:?}", answer.crypto));
        }
        if answer.payloads.iter().all(|p| *p == 101) {
            return Some("answer has no codec".into());
        }
        let most = self.way.mirrored();
        let fits = match most {
            Way::SendRecv => true,
            Way::SendOnly | Way::RecvOnly => answer.way == most || answer.way == Way::Inactive,
            Way::Inactive => answer.way == Way::Inactive,
        };
        if fits { None } else { Some(format!("answer is {:?}, the offer was {:?}", answer.way, self.way)) }
    }
}

#[test]
fn what_is_written_is_read_again_and_bad_answers_are_told() {
    let ip = "10.9.0.1".parse().unwrap();
    let offer = Sdp {
        origin: "x 1".into(),
        version: 2,
        ip,
        port: 4000,
        payloads: vec![8, 0, 101],
        way: Way::SendOnly,
        crypto: vec![],
    };
    assert_eq!(Sdp::parse(&offer.write()), Ok(offer.clone()));
    let answer = |payloads: &[u8], way| Sdp { payloads: payloads.to_vec(), way, ..offer.clone() };
    let rows = [(&[8u8, 101][..], Way::RecvOnly, true), (&[8], Way::SendRecv, false), (&[9], Way::RecvOnly, false)];
    for (payloads, way, good) in rows {
        assert_eq!(offer.answer_fault(&answer(payloads, way)).is_none(), good, "{payloads:?} {way:?}");
    }
}
