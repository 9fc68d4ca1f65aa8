//! File → what the wire layer says, and what the switch answers.
//!
//! The second column assumes a sender that is a known trunk, a dialplan that answers every call, a registrar that
//! challenges, and no credentials in the request (but for those written in it). What another implementation may do as well
//! is said in the row.

pub struct Row {
    pub file: &'static str,
    pub wire: Wire,
    /// The final answer over a datagram; `None`: no answer at all.
    pub answer: Option<u16>,
    pub why: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Wire {
    /// Read; its summary in one line.
    Reads(String),
    BadRequest(u16, String),
    BadResponse(String),
    NotSip,
}

fn reads(file: &'static str, summary: &str, answer: Option<u16>, why: &'static str) -> Row {
    Row { file, wire: Wire::Reads(summary.to_owned()), answer, why }
}

fn refused(file: &'static str, status: u16, reason: &str, answer: Option<u16>, why: &'static str) -> Row {
    Row { file, wire: Wire::BadRequest(status, reason.to_owned()), answer, why }
}

fn dropped(file: &'static str, reason: &str, why: &'static str) -> Row {
    Row { file, wire: Wire::BadResponse(reason.to_owned()), answer: None, why }
}

fn not_sip(file: &'static str, why: &'static str) -> Row {
    Row { file, wire: Wire::NotSip, answer: None, why }
}

/// The 49 messages of RFC 4475, in its order.
pub fn rfc4475() -> Vec<Row> {
    let mut rows = valid();
    rows.extend(invalid());
    rows.extend(transaction_and_application());
    rows
}

/// §3.1.1: valid messages.
fn valid() -> Vec<Row> {
    vec![
        reads(
            "wsinv",
            "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam CSeq 9",
            Some(481),
            "folds, spaces and odd cases are syntax, not faults; its To tag names no dialog of ours (RFC 3261 §12.2.2; \
             Asterisk says so too)",
        ),
        reads(
            "intmeth",
            "!interesting-Method0123456789_*+`.%indeed'~ \
             sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com CSeq 139122385",
            Some(501),
            "a well-formed request of a method that nobody knows",
        ),
        reads(
            "esc01",
            "INVITE sip:sips%3Auser%40example.com@example.net CSeq 234234",
            Some(200),
            "escapes are decoded after the URI is split",
        ),
        reads(
            "escnull",
            "REGISTER sip:example.com CSeq 14398234",
            Some(401),
            "an escaped NUL is a character of the user name",
        ),
        reads(
            "esc02",
            "RE%47IST%45R sip:registrar.example.com CSeq 29344",
            Some(501),
            "% escapes nothing in a method or a header name",
        ),
        reads("lwsdisp", "OPTIONS sip:user@example.com CSeq 60", Some(200), "no space is needed before <"),
        reads(
            "longreq",
            "INVITE sip:user@example.com CSeq 3882340",
            Some(200),
            "long values and 34 Vias are within the bounds",
        ),
        reads("dblreq", "REGISTER sip:example.com CSeq 8", Some(401), "octets after the body are no second request"),
        reads(
            "semiuri",
            "OPTIONS sip:user;par=u%40example.net@example.com CSeq 8",
            Some(200),
            "the parameter belongs to the user part",
        ),
        reads(
            "transports",
            "OPTIONS sip:user@example.com CSeq 60",
            Some(200),
            "unknown transports stand below the top Via",
        ),
        reads(
            "mpart01",
            "MESSAGE sip:kumiko@example.org CSeq 1",
            Some(415),
            "a text that is signed: no kind of text that is passed on; the body is binary",
        ),
        reads(
            "unreason",
            "200 = 2**3 * 5**2 но сто девяносто девять - простое (INVITE)",
            None,
            "a response to no request of ours; the phrase is UTF-8",
        ),
        reads("noreason", "100  (INVITE)", None, "a response to no request of ours; the phrase may be empty"),
    ]
}

/// §3.1.2: invalid messages.
fn invalid() -> Vec<Row> {
    vec![
        refused("badinv01", 400, "Malformed Via", Some(400), "empty values in a Via list"),
        refused("clerr", 400, "Content-Length exceeds the message", Some(400), "the datagram was cut"),
        refused("ncl", 400, "Malformed Content-Length", Some(400), "a negative length"),
        refused("scalar02", 400, "CSeq number out of range", Some(400), "CSeq past 2^31"),
        dropped("scalarlg", "CSeq number out of range", "a response that fits no request"),
        refused("quotbal", 400, "Malformed To", Some(400), "a quoted string that does not end"),
        refused("ltgtruri", 400, "Request-URI in angle brackets", Some(400), "a Request-URI is no name-addr"),
        refused("lwsruri", 400, "Malformed Request-Line", Some(400), "white space inside the Request-URI"),
        reads(
            "lwsstart",
            "INVITE sip:user@example.com CSeq 1893884",
            Some(200),
            "extra spaces in the Request-Line harm nobody",
        ),
        reads(
            "trws",
            "OPTIONS sip:remote-target@example.com CSeq 238923",
            Some(200),
            "spaces after the version harm nobody",
        ),
        refused(
            "escruri",
            400,
            "Request-URI with headers",
            Some(400),
            "headers in a Request-URI could smuggle a Route",
        ),
        reads("baddate", "INVITE sip:user@example.com CSeq 1392934", Some(200), "nothing depends on Date"),
        refused("regbadct", 400, "Malformed Contact", Some(400), "a URI with headers outside <>"),
        reads(
            "badaspec",
            "OPTIONS sip:user@example.org CSeq 3923239",
            Some(200),
            "spaces inside <> can be cut off without doubt",
        ),
        reads(
            "baddn",
            "OPTIONS sip:t.watson@example.org CSeq 3923239",
            Some(200),
            "the comma can only belong to the display name",
        ),
        refused("badvers", 505, "Version Not Supported", Some(505), "SIP/7.0"),
        refused("mismatch01", 400, "CSeq method does not match", Some(400), "OPTIONS with the CSeq of an INVITE"),
        refused(
            "mismatch02",
            400,
            "CSeq method does not match",
            Some(400),
            "as above; RFC 4475 §3.1.2.18 would as soon see 501 for the method",
        ),
        dropped("bigcode", "Malformed Status-Line", "a status of ten digits"),
    ]
}

/// §3.2: transaction layer, §3.3: application layer, §3.4: backward compatibility.
fn transaction_and_application() -> Vec<Row> {
    vec![
        reads(
            "badbranch",
            "OPTIONS sip:user@example.com CSeq 8",
            Some(200),
            "a magic cookie alone identifies nothing: matched as RFC 2543 does",
        ),
        refused("insuf", 400, "Missing From", Some(400), "no Call-ID, From and To"),
        reads("unkscm", "OPTIONS nobodyKnowsThisScheme:totallyopaquecontent CSeq 3923423", Some(416), "unknown scheme"),
        reads("novelsc", "OPTIONS soap.beep://192.0.2.103:3002 CSeq 3923423", Some(416), "known elsewhere, not in SIP"),
        reads(
            "unksm2",
            "REGISTER sip:example.com CSeq 234902",
            Some(400),
            "RFC 4475 §3.3.4: an address of record must be a SIP URI, so no challenge comes first",
        ),
        reads(
            "bext01",
            "OPTIONS sip:user@example.com CSeq 8",
            Some(420),
            "Require names what nobody supports; Unsupported lists it",
        ),
        reads(
            "invut",
            "INVITE sip:user@example.com CSeq 235448",
            Some(415),
            "a body of an unknown type; Accept names SDP",
        ),
        reads("regaut01", "REGISTER sip:example.com CSeq 9338", Some(401), "credentials of an unknown scheme are none"),
        refused("multi01", 400, "Several CSeq", Some(400), "two values where one may stand: nobody knows which counts"),
        refused("mcl01", 400, "Several Content-Length", Some(400), "two lengths: nobody knows where the message ends"),
        reads("bcast", "200 OK (INVITE)", None, "a response to no request of ours, never sent on by its Via"),
        reads(
            "zeromf",
            "OPTIONS sip:user@example.com CSeq 39234321",
            Some(200),
            "RFC 4475 §3.3.11: Max-Forwards 0 stops a proxy, which says 483; an endpoint answers as ever",
        ),
        reads("cparam01", "REGISTER sip:example.com CSeq 2", Some(401), "outside <> the parameter is the Contact's"),
        reads("cparam02", "REGISTER sip:example.com CSeq 3", Some(401), "inside <> the parameter is the URI's"),
        reads(
            "regescrt",
            "REGISTER sip:example.com CSeq 14398234",
            Some(401),
            "a Contact's URI may have headers inside <>",
        ),
        reads(
            "sdp01",
            "INVITE sip:user@example.com CSeq 8",
            Some(406),
            "RFC 4475 §3.3.15: Accept leaves out SDP, which the answer must be; some phones answer regardless",
        ),
        reads(
            "inv2543",
            "INVITE sip:UserB@example.com CSeq 56",
            Some(200),
            "RFC 4475 §3.4.1: RFC 2543 had no branch, no From tag, and no Contact in every INVITE",
        ),
    ]
}

/// Further messages in the same spirit, seen from phones, gateways and scanners.
pub fn ours() -> Vec<Row> {
    const CALL: &str = "INVITE sip:+49301234567@pbx.example.net CSeq 1";
    const REGISTER: &str = "REGISTER sip:example.org CSeq 1";
    const OPTIONS: &str = "OPTIONS sip:pbx.example.net CSeq 1";
    vec![
        reads("folded", CALL, Some(200), "folded From and Call-ID"),
        reads("spacecolon", CALL, Some(200), "white space before colons"),
        reads("compact", CALL, Some(200), "compact header names"),
        reads("lwssemi", CALL, Some(200), "white space around ;"),
        reads("lwsequal", CALL, Some(200), "white space around ="),
        reads("lwsslash", CALL, Some(200), "white space around / and in sent-by"),
        reads("vialist", CALL, Some(200), "three Vias on one line"),
        reads("contactcomma", REGISTER, Some(401), "commas in quotes and in <> end no Contact"),
        reads("sipinstance", REGISTER, Some(401), "a quoted parameter with <> in it, as every WebRTC phone sends"),
        reads("unkmethod", "WIBBLE sip:pbx.example.net CSeq 1", Some(501), "unknown method"),
        reads("teluri", "INVITE tel:+49-30-1234567;phone-context=+49 CSeq 1", Some(200), "tel: is a number to call"),
        reads("unkuri", "INVITE mailto:anna@example.org CSeq 1", Some(416), "a scheme that nobody can call"),
        reads("dotuser", "INVITE sip:john.doe@pbx.example.net CSeq 1", Some(200), "a dot in the user part"),
        reads(
            "semiuser",
            "INVITE sip:+49301234567;phone-context=+49;cpc=ordinary@pbx.example.net;user=phone CSeq 1",
            Some(200),
            "parameters of a number inside the user part",
        ),
        reads("uriheaders", CALL, Some(200), "headers in a Contact's URI"),
        reads("escquote", CALL, Some(200), "escaped quotes and <> in a display name"),
        reads(
            "ipv6uri",
            "INVITE sip:+49301234567@[2001:db8::10]:5070;transport=udp CSeq 1",
            Some(200),
            "IPv6 references",
        ),
        reads("unktransport", CALL, Some(200), "an unknown transport in the top Via"),
        reads("nolength", CALL, Some(200), "a datagram without Content-Length"),
        reads("shortlength", CALL, Some(200), "a datagram longer than its message"),
        refused("longlength", 400, "Content-Length exceeds the message", Some(400), "a datagram one octet short"),
        reads("binarybody", "MESSAGE sip:anna@pbx.example.net CSeq 1", Some(415), "a body of all 256 octets"),
        reads("digestsha256", REGISTER, Some(401), "SHA-256 credentials with a nonce that is not ours"),
        reads("digestnc", REGISTER, Some(401), "a nonce count with a hex digit"),
        reads("barefrom", CALL, Some(200), "From without <>: the tag is From's"),
        reads("lfonly", CALL, Some(200), "lines that end with LF"),
        reads("leadingcrlf", CALL, Some(200), "empty lines before the start line"),
        reads("latin1", CALL, Some(200), "a display name in Latin-1"),
        reads("barecr", OPTIONS, Some(200), "a lone CR ends no line, so no header is smuggled in"),
        reads("nul", OPTIONS, Some(200), "a NUL inside a value"),
        refused("manyfields", 400, "Too many header fields", Some(400), "more fields than the bound"),
        not_sip("http", "a web scanner"),
        not_sip("stun", "a STUN binding request"),
    ]
}

/// Where a stream makes another thing of a file than a datagram does: all final answers, in order, and whether the stream
/// has lost its frame then.
pub struct Streamed {
    pub file: &'static str,
    pub answers: &'static [u16],
    pub lost: bool,
    pub why: &'static str,
}

/// All other files are answered as datagrams are, and leave the stream in frame.
pub fn over_stream() -> Vec<Streamed> {
    let row = |file, answers, lost, why| Streamed { file, answers, lost, why };
    vec![
        row(
            "dblreq",
            &[401, 400],
            true,
            "the second message is read too; its SDP has a line `m =`, and its body is longer than it says",
        ),
        row("clerr", &[], false, "the rest of the body is still to come"),
        row("longlength", &[], false, "the rest of the body is still to come"),
        row("ncl", &[400], true, "without a length nobody knows where the next message begins"),
        row("mcl01", &[400], true, "without one length nobody knows where the next message begins"),
        row("manyfields", &[400], true, "the length is among the fields past the bound"),
        row("inv2543", &[200], false, "without a length there is no body: the 200 has our offer"),
        row("nolength", &[200], false, "without a length there is no body: the 200 has our offer"),
        row("shortlength", &[200], true, "octets that are no message follow"),
        row("http", &[], true, "a web scanner"),
        row("stun", &[], true, "a STUN binding request"),
    ]
}
