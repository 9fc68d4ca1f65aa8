//! Dialogs (RFC 3261 §12): identifiers, sequence numbers, route set, and the requests that go inside one.

use super::transport::Flow;
use super::wire::{HeaderName, Message, NameAddr, Uri, Writer};
use std::fmt;

/// Our own tag: 64 random bits, printed as 16 hexadecimal digits, so that a dialog is found by a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Tag(pub u64);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Tag {
    /// `None` for a tag that we never wrote.
    pub fn parse(text: &str) -> Option<Tag> {
        if text.len() != 16 {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(Tag)
    }
}

/// Why a request inside a dialog is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutOfOrder {
    /// CSeq lower than the last one: 500 (§12.2.2).
    OldSequence,
    /// Call-ID or remote tag are another dialog's: 481.
    NotThisDialog,
}

/// One dialog, seen from our side.
#[derive(Clone, Debug)]
pub struct Dialog {
    call_id: Box<str>,
    local_tag: Tag,
    /// "" while the peer has none (RFC 2543 peers, UAC before the first response).
    remote_tag: Box<str>,
    /// From and To values as we write them, without tags.
    local: Box<str>,
    remote: Box<str>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    /// The peer's Contact URI.
    target: Box<str>,
    routes: Vec<Box<str>>,
    flow: Flow,
    /// Send along the flow on which the peer reached us, whatever its Contact says: registered phones behind NAT.
    sticky: bool,
}

/// The most Record-Route values kept of a message; more is a fault of the peer.
const ROUTES_MAX: usize = 32;

impl Dialog {
    /// As UAS, from the INVITE (§12.1.1).
    pub fn from_request(request: &Message, local_tag: Tag, flow: Flow, sticky: bool) -> Dialog {
        Dialog {
            call_id: request.call_id().into(),
            local_tag,
            remote_tag: request.from_tag().into(),
            local: without_tag(request.header(HeaderName::To).unwrap_or_default()),
            remote: without_tag(request.header(HeaderName::From).unwrap_or_default()),
            local_cseq: 0,
            remote_cseq: request.cseq().map(|c| c.number),
            // RFC 2543 sends to From's URI where there is no Contact.
            target: contact_uri(request).or(request.from().map(|from| from.uri)).unwrap_or_default().into(),
            routes: request.headers(HeaderName::RecordRoute).take(ROUTES_MAX).map(Into::into).collect(),
            flow,
            sticky,
        }
    }

    /// As UAC, before any response: enough to write the INVITE. `local` and `remote` are From and To values without tags.
    pub fn outgoing(
        call_id: String,
        local_tag: Tag,
        local: String,
        remote: String,
        target: String,
        flow: Flow,
    ) -> Dialog {
        Dialog {
            call_id: call_id.into(),
            local_tag,
            remote_tag: "".into(),
            local: local.into(),
            remote: remote.into(),
            local_cseq: 0,
            remote_cseq: None,
            target: target.into(),
            routes: Vec::new(),
            flow,
            sticky: false,
        }
    }

    /// As UAC, the dialog that a tagged 1xx or a 2xx to our INVITE creates (§12.1.2); also refreshes one (§12.2.1.2).
    pub fn established(&self, response: &Message, flow: Flow, sticky: bool) -> Dialog {
        let mut dialog = self.clone();
        dialog.remote_tag = response.to_tag().into();
        dialog.routes = response.headers(HeaderName::RecordRoute).take(ROUTES_MAX).map(Into::into).collect();
        dialog.routes.reverse();
        dialog.sticky = sticky;
        dialog.flow = flow;
        if let Some(uri) = contact_uri(response) {
            dialog.target = uri.into();
        }
        dialog
    }

    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    pub const fn local_tag(&self) -> Tag {
        self.local_tag
    }

    pub fn remote_tag(&self) -> &str {
        &self.remote_tag
    }

    /// The peer, as From and To name it, without its tag.
    pub fn remote(&self) -> &str {
        &self.remote
    }

    pub const fn flow(&self) -> Flow {
        self.flow
    }

    /// The peer sent something in this dialog from elsewhere: answer there from now on if the dialog is sticky.
    pub fn moved(&mut self, flow: Flow) {
        if self.sticky || flow.transport.is_reliable() {
            self.flow = flow;
        }
    }

    /// A route set that is known before there is a dialog: a binding's Path (RFC 3327 §5.4), a Service-Route (RFC 3608 §5).
    pub fn set_routes(&mut self, routes: &[String]) {
        self.routes = routes.iter().take(ROUTES_MAX).map(|route| route.as_str().into()).collect();
    }

    /// Keeps to the flow that it has.
    pub fn sticky(self) -> Dialog {
        Dialog { sticky: true, ..self }
    }

    /// The peer's Contact URI, or the URI called while there is none.
    pub fn target(&self) -> &str {
        &self.target
    }

    pub const fn is_sticky(&self) -> bool {
        self.sticky
    }

    /// Goes on counting from a number that was used before this dialog was known.
    pub const fn start_cseq(&mut self, cseq: u32) {
        self.local_cseq = cseq;
    }

    pub const fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    pub fn next_cseq(&mut self) -> u32 {
        self.local_cseq += 1;
        self.local_cseq
    }

    /// Checks a request that names our tag, and takes its sequence number (§12.2.2).
    pub fn accept(&mut self, request: &Message) -> Result<(), OutOfOrder> {
        if request.call_id() != &*self.call_id || request.from_tag() != &*self.remote_tag {
            return Err(OutOfOrder::NotThisDialog);
        }
        let Some(cseq) = request.cseq() else { return Err(OutOfOrder::NotThisDialog) };
        if self.remote_cseq.is_some_and(|last| cseq.number < last) {
            return Err(OutOfOrder::OldSequence);
        }
        self.remote_cseq = Some(cseq.number);
        Ok(())
    }

    /// Takes the Contact of a target refresh request or its 2xx.
    pub fn refresh_target(&mut self, message: &Message) {
        if let Some(uri) = contact_uri(message) {
            self.target = uri.into();
        }
    }

    /// The URI that decides where a request of this dialog is sent.
    pub fn next_hop(&self) -> &str {
        self.routes.first().and_then(|r| NameAddr::parse(r)).map_or(&self.target, |r| r.uri)
    }

    /// Begins a request of this dialog: request line, Via, Max-Forwards, From, To, Call-ID, CSeq, Route. `via` is our whole Via
    /// value with its branch.
    pub fn request(&self, method: &str, cseq: u32, via: &str, max_forwards: u8) -> Writer {
        let strict = self.routes.first().and_then(|r| NameAddr::parse(r)).filter(|r| !is_loose(r));
        let uri = without_headers(strict.map_or(&*self.target, |r| r.uri));
        let mut w = Writer::request(method, uri)
            .header(HeaderName::Via, via)
            .header(HeaderName::MaxForwards, max_forwards)
            .header(HeaderName::From, format_args!("{};tag={}", self.local, self.local_tag));
        w = if self.remote_tag.is_empty() {
            w.header(HeaderName::To, &self.remote)
        } else {
            w.header(HeaderName::To, format_args!("{};tag={}", self.remote, self.remote_tag))
        };
        w = w.header(HeaderName::CallId, &self.call_id).header(HeaderName::CSeq, format_args!("{cseq} {method}"));
        for route in self.routes.iter().skip(usize::from(strict.is_some())) {
            w = w.header(HeaderName::Route, route);
        }
        if strict.is_some() { w.header(HeaderName::Route, format_args!("<{}>", self.target)) } else { w }
    }
}

fn is_loose(route: &NameAddr<'_>) -> bool {
    Uri::parse(route.uri).is_some_and(|u| u.params.get("lr").is_some())
}

fn contact_uri(message: &Message) -> Option<&str> {
    message.contact().map(|c| c.uri).filter(|uri| !uri.is_empty() && *uri != "*")
}

/// A Request-URI has no headers, though a Contact's URI may (RFC 3261 §19.1.1).
fn without_headers(uri: &str) -> &str {
    let headers = Uri::parse(uri).map_or("", |uri| uri.headers);
    uri.strip_suffix(headers).and_then(|uri| uri.strip_suffix('?')).filter(|_| !headers.is_empty()).unwrap_or(uri)
}

/// A From or To value without its tag parameter, its other parameters dropped: they are the sender's, not the dialog's.
fn without_tag(value: &str) -> Box<str> {
    let Some(addr) = NameAddr::parse(value) else { return value.into() };
    if addr.display_raw.is_empty() {
        format!("<{}>", addr.uri).into()
    } else {
        format!("{} <{}>", addr.display_raw, addr.uri).into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::transport::{ListenerId, Transport};
    use super::*;
    use bytes::Bytes;

    fn flow() -> Flow {
        Flow { listener: ListenerId(0), transport: Transport::Udp, peer: ([127, 0, 0, 1], 5070).into(), connection: 0 }
    }

    fn message(text: &str) -> Message {
        read(Bytes::from(text.replace('\n', "\r\n")))
    }

    fn read(bytes: Bytes) -> Message {
        Message::parse(bytes).expect("a test message parses")
    }

    fn invite() -> Message {
        message(
            "INVITE sip:100@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKa\nRecord-Route: <sip:p1;lr>\n\
             Record-Route: <sip:p2;lr>\nFrom: \"Bob, B.\" <sip:bob@b.example>;tag=bb\nTo: <sip:100@a.example>\nCall-ID: c1\n\
             CSeq: 7 INVITE\nContact: <sip:bob@10.0.0.9:5062>\nContent-Length: 0\n\n",
        )
    }

    #[test]
    fn as_uas_requests_go_back_along_the_route_set() {
        let mut d = Dialog::from_request(&invite(), Tag(0xab), flow(), false);
        let cseq = d.next_cseq();
        let bye = read(d.request("BYE", cseq, "SIP/2.0/UDP x;branch=z9hG4bKb", 70).finish());
        assert_eq!(bye.request_uri(), "sip:bob@10.0.0.9:5062");
        assert_eq!(bye.headers(HeaderName::Route).collect::<Vec<_>>(), ["<sip:p1;lr>", "<sip:p2;lr>"]);
        assert_eq!((bye.from_tag(), bye.to_tag()), ("00000000000000ab", "bb"));
        assert_eq!(bye.header(HeaderName::To), Some("\"Bob, B.\" <sip:bob@b.example>;tag=bb"));
        assert_eq!(d.next_hop(), "sip:p1;lr");
    }

    #[test]
    fn a_request_uri_takes_no_headers_of_a_contact() {
        for (uri, want) in [
            ("sip:b@10.0.0.9?Subject=x&a=b", "sip:b@10.0.0.9"),
            ("sip:b@10.0.0.9;ob?Route=%3Csip:x%3E", "sip:b@10.0.0.9;ob"),
            ("sip:b?c@10.0.0.9", "sip:b?c@10.0.0.9"),
            ("sip:b@10.0.0.9", "sip:b@10.0.0.9"),
            ("sip:b@10.0.0.9?", "sip:b@10.0.0.9?"),
        ] {
            assert_eq!(without_headers(uri), want);
        }
    }

    #[test]
    fn a_strict_router_gets_the_request_uri_and_the_target_goes_last() {
        let mut d = Dialog::from_request(&invite(), Tag(1), flow(), false);
        d.routes = vec!["<sip:strict.example>".into(), "<sip:p2;lr>".into()];
        let bye = read(d.request("BYE", 1, "SIP/2.0/UDP x;branch=z9hG4bKb", 70).finish());
        assert_eq!(bye.request_uri(), "sip:strict.example");
        assert_eq!(bye.headers(HeaderName::Route).collect::<Vec<_>>(), ["<sip:p2;lr>", "<sip:bob@10.0.0.9:5062>"]);
    }

    #[test]
    fn sequence_numbers_may_repeat_but_not_go_back() {
        let mut d = Dialog::from_request(&invite(), Tag(1), flow(), false);
        let with = |cseq: u32, tag: &str| {
            message(&format!(
                "BYE sip:x SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bKq\nFrom: <sip:b@b>;tag={tag}\nTo: <sip:a@a>;tag=1\nCall-ID: c1\n\
                 CSeq: {cseq} BYE\nContent-Length: 0\n\n"
            ))
        };
        assert_eq!(d.accept(&with(7, "bb")), Ok(()));
        assert_eq!(d.accept(&with(9, "bb")), Ok(()));
        assert_eq!(d.accept(&with(8, "bb")), Err(OutOfOrder::OldSequence));
        assert_eq!(d.accept(&with(10, "zz")), Err(OutOfOrder::NotThisDialog));
    }

    #[test]
    fn as_uac_the_response_names_the_dialog_and_reverses_the_routes() {
        let d = Dialog::outgoing("c".into(), Tag(5), "<sip:a@a>".into(), "<sip:b@b>".into(), "sip:b@b".into(), flow());
        let ok = message(
            "SIP/2.0 200 OK\nVia: SIP/2.0/UDP h;branch=z9hG4bKq\nRecord-Route: <sip:p1;lr>, <sip:p2;lr>\nFrom: <sip:a@a>;tag=5\n\
             To: <sip:b@b>;tag=t2\nCall-ID: c\nCSeq: 1 INVITE\nContact: <sip:b@10.2.2.2>\nContent-Length: 0\n\n",
        );
        let d = d.established(&ok, flow(), false);
        assert_eq!((d.remote_tag(), d.next_hop()), ("t2", "sip:p2;lr"));
        assert_eq!(Tag::parse(&Tag(5).to_string()), Some(Tag(5)));
    }
}
