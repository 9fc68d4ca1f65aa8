//! As much of SIP as two endpoints that we wrote ourselves need. Nothing here is a parser for the world.

use std::net::SocketAddr;

/// A received message, cut into what an endpoint needs.
#[derive(Debug)]
pub struct Message<'a> {
    /// Status of a response; 0 for a request.
    pub status: u16,
    /// Method of the request, or of the request that a response answers.
    pub method: &'a str,
    /// The Request-URI; empty for a response.
    pub uri: &'a str,
    pub call_id: &'a str,
    pub sequence: u32,
    pub from: &'a str,
    pub to: &'a str,
    pub contact: &'a str,
    /// Whole Via and Record-Route lines, in order.
    pub vias: Vec<&'a str>,
    pub record_routes: Vec<&'a str>,
    /// It says when to try again.
    pub retry_after: bool,
    /// Where the SDP says that media goes.
    pub media: Option<SocketAddr>,
}

/// Reads a message; `None` for anything that is not one.
pub fn read(bytes: &[u8]) -> Option<Message<'_>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (one, two) = (first.next()?, first.next()?);
    let response = one == "SIP/2.0";
    let mut message = Message {
        status: if response { two.parse().ok()? } else { 0 },
        method: if response { "" } else { one },
        uri: if response { "" } else { two },
        call_id: "",
        sequence: 0,
        from: "",
        to: "",
        contact: "",
        vias: Vec::new(),
        record_routes: Vec::new(),
        retry_after: false,
        media: media_of(body),
    };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "via" | "v" => message.vias.push(line),
            "record-route" => message.record_routes.push(value),
            "call-id" | "i" => message.call_id = value,
            "from" | "f" => message.from = value,
            "to" | "t" => message.to = value,
            "contact" | "m" => message.contact = value.trim_start_matches('<').split('>').next().unwrap_or(""),
            "retry-after" => message.retry_after = true,
            "cseq" => {
                let (number, method) = value.split_once(' ')?;
                message.sequence = number.parse().ok()?;
                message.method = method.trim();
            }
            _ => {}
        }
    }
    Some(message)
}

/// Address and port of the first audio stream.
pub fn media_of(sdp: &str) -> Option<SocketAddr> {
    let after = |prefix: &str| sdp.lines().find_map(|line| line.strip_prefix(prefix));
    let ip = after("c=IN IP4 ")?.trim().parse().ok()?;
    let port = after("m=audio ")?.split(' ').next()?.parse().ok()?;
    Some(SocketAddr::new(ip, port))
}

/// An offer or an answer of G.711 µ-law.
pub fn sdp(media: SocketAddr) -> String {
    let (ip, port) = (media.ip(), media.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
    )
}

/// An answer of Opus under payload type 111.
pub fn sdp_of_opus(media: SocketAddr) -> String {
    sdp(media).replace("RTP/AVP 0\r\na=rtpmap:0 PCMU/8000", "RTP/AVP 111\r\na=rtpmap:111 opus/48000/2")
}

/// Ends a message's head with its body.
pub fn finish(head: String, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!("{head}{kind}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A response that repeats what it must (RFC 3261 §8.2.6.2).
pub fn response(request: &Message<'_>, status: &str, tag: &str, contact: SocketAddr, body: &str) -> String {
    let mut head = format!("SIP/2.0 {status}\r\n");
    for via in &request.vias {
        head.push_str(via);
        head.push_str("\r\n");
    }
    for route in &request.record_routes {
        head.push_str(&format!("Record-Route: {route}\r\n"));
    }
    let tag = if request.to.contains("tag=") { String::new() } else { format!(";tag={tag}") };
    head.push_str(&format!(
        "From: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\nCSeq: {} {}\r\nContact: <sip:callee@{contact}>\r\n",
        request.from, request.to, request.call_id, request.sequence, request.method
    ));
    finish(head, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_answers() {
        let invite = "INVITE sip:1@127.0.0.1 SIP/2.0\r\nVia: a\r\nVia: b\r\nRecord-Route: <sip:p;lr>\r\nFrom: <sip:x>;tag=1\r\n\
                      To: <sip:y>\r\nCall-ID: k\r\nCSeq: 7 INVITE\r\nContact: <sip:x@127.0.0.1:9>\r\n\r\n";
        let request = read(invite.as_bytes()).expect("a request");
        assert_eq!((request.method, request.uri, request.contact), ("INVITE", "sip:1@127.0.0.1", "sip:x@127.0.0.1:9"));
        let own: SocketAddr = "127.0.0.1:5".parse().expect("an address");
        let text = response(&request, "200 OK", "2", own, &sdp(own));
        let answer = read(text.as_bytes()).expect("a response");
        assert_eq!((answer.status, answer.method, answer.sequence), (200, "INVITE", 7));
        assert_eq!((answer.vias.len(), answer.record_routes.len()), (2, 1));
        assert_eq!((answer.to, answer.media), ("<sip:y>;tag=2", Some(own)));
        assert!(read(b"no message").is_none());
    }
}
