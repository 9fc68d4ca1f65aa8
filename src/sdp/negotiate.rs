//! Offer/answer (RFC 3264) of one audio stream; every other stream is refused.

use super::crypto::{Crypto, Secured};
use super::description::{Connection, Direction, Host, Kind, Media, Origin, Protocol, RtcpAddress, SessionDescription};
use super::format::{AudioFormat, Codec};
use std::fmt;
use std::net::SocketAddr;

/// Our side of a leg, as far as its description is concerned.
#[derive(Debug, Clone)]
pub struct LocalAudio {
    /// Where we receive RTP; also the address in `o=` and `c=`.
    pub rtp: SocketAddr,
    /// Where we receive RTCP; `None` is RTP's port + 1.
    pub rtcp: Option<SocketAddr>,
    /// `o=` session id: one for a leg's whole life.
    pub session_id: u64,
    /// `o=` version of this description; see [`SessionDescription::supersede`].
    pub version: u64,
    /// What we offer or can accept, in order of preference. Telephone events need not be among them.
    pub formats: Vec<AudioFormat>,
    /// Whether digits by RFC 4733 are offered and accepted.
    pub telephone_event: bool,
    /// Packet time that we wish and fall back to: a multiple of 10, from 10 to 60.
    pub ptime_ms: u16,
    /// What we want to do with the stream; an answer does no more.
    pub direction: Direction,
    /// Whose preference decides in an answer.
    pub order: Order,
    /// Answer with one codec rather than all common ones, so that the peer never changes codec in mid-call.
    pub single: bool,
    /// Our keys, one a suite, in order of preference; their tags are those of an offer. None: no SRTP.
    pub crypto: Vec<Crypto>,
    /// RTP without SRTP is taken, and offered; else `crypto` is.
    pub plain: bool,
}

/// Whose order of preference an answer follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The offerer's, as RFC 3264 §6.1 recommends.
    Theirs,
    Ours,
}

/// An answer, and what it settles.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub description: SessionDescription,
    pub audio: NegotiatedAudio,
}

/// What offer and answer have settled, from our side.
#[derive(Debug, Clone, PartialEq)]
pub struct NegotiatedAudio {
    /// Place of the stream among the `m=` lines.
    pub stream: usize,
    /// Where to send RTP; `None` while the peer gives no address (hold by `0.0.0.0`).
    pub remote_rtp: Option<SocketAddr>,
    /// Where to send RTCP: RTP's own address if both go by one port (RFC 5761).
    pub remote_rtcp: Option<SocketAddr>,
    /// The codec to send, under the peer's payload type and with the peer's parameters.
    pub send: AudioFormat,
    /// Further codecs that the peer takes.
    pub send_others: Vec<AudioFormat>,
    /// What the peer may send, under our payload types; where the peer's differ, theirs follow.
    pub receive: Vec<AudioFormat>,
    /// Telephone events both ways.
    pub dtmf: Option<Dtmf>,
    /// Packet time to send with.
    pub ptime_ms: u16,
    /// What we may do.
    pub direction: Direction,
    /// The peer does not want to hear us: `sendonly`, `inactive`, or `0.0.0.0` in the old manner.
    pub on_hold: bool,
    /// Keys of both directions; `None` is plain RTP.
    pub secured: Option<Secured>,
}

/// Payload types of telephone events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dtmf {
    pub send: u8,
    pub receive: u8,
    /// Equal to the codec's where the peer offers that; some offer 8,000 only.
    pub clock_rate: u32,
}

/// Why two descriptions do not meet. Every one becomes 488 in answer to an offer; an answer that cannot be accepted
/// ends the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NegotiationFault {
    /// No audio stream, or only refused ones.
    NoAudio,
    /// Audio over a transport that is not taken here.
    UnsupportedProtocol(String),
    /// SRTP is demanded here, and the stream is plain.
    Plain,
    /// No `a=crypto` that both can use.
    NoCommonCrypto,
    /// No codec is common; the names that the peer has.
    NoCommonCodec(Vec<String>),
    /// A stream with an address of the other family than ours.
    AddressFamily,
    /// A stream without any address.
    NoAddress,
    /// An address by name: the media path asks no DNS.
    HostName(String),
    /// The answer refuses the stream by port 0.
    Refused,
    /// The answer's streams are not the offer's.
    AnswerMismatch,
}

impl NegotiationFault {
    /// The SIP response to an offer.
    pub fn status(&self) -> u16 {
        488
    }

    /// The warn-code that tells the peer more (RFC 3261 §20.43).
    pub fn warn_code(&self) -> u16 {
        match self {
            NegotiationFault::AddressFamily | NegotiationFault::NoAddress | NegotiationFault::HostName(_) => 301,
            NegotiationFault::UnsupportedProtocol(_) | NegotiationFault::Plain | NegotiationFault::NoCommonCrypto => {
                302
            }
            NegotiationFault::NoAudio => 304,
            NegotiationFault::NoCommonCodec(_) => 305,
            NegotiationFault::Refused | NegotiationFault::AnswerMismatch => 399,
        }
    }
}

impl fmt::Display for NegotiationFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NegotiationFault::NoAudio => f.write_str("no audio stream"),
            NegotiationFault::UnsupportedProtocol(name) => write!(f, "audio over {name} is not supported"),
            NegotiationFault::Plain => f.write_str("SRTP is required"),
            NegotiationFault::NoCommonCrypto => f.write_str("no common crypto suite"),
            NegotiationFault::NoCommonCodec(names) => write!(f, "no common codec; the peer has {}", names.join(", ")),
            NegotiationFault::AddressFamily => f.write_str("media address of the other IP version"),
            NegotiationFault::NoAddress => f.write_str("no media address"),
            NegotiationFault::HostName(name) => write!(f, "media address by name: {name}"),
            NegotiationFault::Refused => f.write_str("the audio stream was refused"),
            NegotiationFault::AnswerMismatch => f.write_str("the answer's streams are not the offer's"),
        }
    }
}

impl std::error::Error for NegotiationFault {}

/// A codec that two legs share, as it is sent to each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    pub to_a: AudioFormat,
    pub to_b: AudioFormat,
}

/// A fresh offer: our own origin and address, the codecs in order, telephone events at each of their clock rates
/// (as 101 at 8,000 where that is free). By RTP/AVP, or RTP/SAVP with our keys where plain RTP is not taken:
/// without those of 32-bit tags, which are weak, and would make an INVITE over UDP long.
pub fn offer(local: &LocalAudio) -> SessionDescription {
    describe(local, vec![offered_stream(local)])
}

fn offered_stream(local: &LocalAudio) -> Media {
    let protocol = if local.plain { Protocol::RtpAvp } else { Protocol::RtpSavp };
    let mut stream = our_stream(local, protocol, &offered_formats(local, &[]), local.ptime_ms);
    if !local.plain {
        stream.crypto = local.crypto.iter().filter(|c| !c.has_short_tag()).map(Crypto::to_value).collect();
    }
    stream
}

/// A later offer in the session in which `previous` was our last description: the streams keep their places, codecs
/// keep their payload types (RFC 3264 §8), our keys stay, and the version goes up if anything has changed.
pub fn reoffer(local: &LocalAudio, previous: &SessionDescription) -> SessionDescription {
    let Some(place) = our_place(previous) else {
        let mut streams: Vec<Media> = previous.media.iter().map(Media::refused).collect();
        streams.push(offered_stream(local));
        return succeed(describe(local, streams), previous);
    };
    let streams = previous.media.iter().enumerate().map(|(index, stream)| {
        if index != place {
            return stream.refused();
        }
        let formats = offered_formats(local, &stream.audio_formats());
        let mut again = our_stream(local, stream.protocol.clone(), &formats, local.ptime_ms);
        again.crypto.clone_from(&stream.crypto);
        // Left out, it would end what was agreed (RFC 5761 §5.1.1).
        again.rtcp_mux = stream.rtcp_mux;
        again
    });
    let description = describe(local, streams.collect());
    succeed(description, previous)
}

fn succeed(mut description: SessionDescription, previous: &SessionDescription) -> SessionDescription {
    description.supersede(previous);
    description
}

/// Answers an offer with one audio stream: the first that has a transport and a codec in common with us. The others are
/// refused in place. Call [`SessionDescription::supersede`] on the answer if we have described this session before.
pub fn answer(offer: &SessionDescription, local: &LocalAudio) -> Result<Answer, NegotiationFault> {
    let mut fault = NegotiationFault::NoAudio;
    for (stream, media) in offer.media.iter().enumerate() {
        if media.kind != Kind::Audio || media.port == 0 {
            continue;
        }
        match answer_stream(offer, stream, media, local) {
            Ok((ours, audio)) => {
                let mut streams: Vec<Media> = offer.media.iter().map(Media::refused).collect();
                streams[stream] = ours;
                return Ok(Answer { description: describe(local, streams), audio });
            }
            // A missing codec says more than a missing transport, and that more than no stream.
            Err(new) if !matches!(fault, NegotiationFault::NoCommonCodec(_)) => fault = new,
            Err(_) => {}
        }
    }
    Err(fault)
}

fn answer_stream(
    offer: &SessionDescription,
    stream: usize,
    media: &Media,
    local: &LocalAudio,
) -> Result<(Media, NegotiatedAudio), NegotiationFault> {
    let secured = secure_answer(media, &local.crypto, local.plain)?;
    let remote = Remote::of(offer, media, local.rtp)?;
    let theirs = media.audio_formats();
    let mut pairs = pairs(&theirs, &local.formats, local.order);
    if local.single {
        pairs.truncate(1);
    }
    let Some((send, send_others)) = speech_to_send(&pairs) else {
        return Err(no_common_codec(&theirs));
    };
    // The offerer's numbers with our parameters; a codec we only pass on keeps the offerer's parameters.
    let mut receive: Vec<AudioFormat> = pairs
        .iter()
        .map(|(their, our)| AudioFormat { fmtp: our.fmtp.clone().or(their.fmtp.clone()), ..(*their).clone() })
        .collect();
    receive.extend(comfort_noise(&theirs, &local.formats, send.clock_rate));
    let event = if local.telephone_event { event_at(&theirs, send.clock_rate) } else { None };
    let dtmf = event.map(|e| Dtmf { send: e.payload_type, receive: e.payload_type, clock_rate: e.clock_rate });
    let ptime_ms = packet_time(offer, media, local.ptime_ms);
    let events = event.map(|e| AudioFormat::telephone_event(e.payload_type, e.clock_rate));
    let formats: Vec<AudioFormat> = receive.iter().cloned().chain(events).collect();
    let direction = local.direction.and(remote.our_direction());
    let mut ours = our_stream(local, media.protocol.clone(), &formats, ptime_ms);
    ours.direction = Some(direction);
    ours.crypto = secured.iter().map(|s| s.send.to_value()).collect();
    let on_hold = !remote.direction.receives() || remote.unspecified;
    ours.rtcp_mux = media.rtcp_mux;
    let (remote_rtp, remote_rtcp) = (remote.rtp, if media.rtcp_mux { remote.rtp } else { remote.rtcp });
    let audio = NegotiatedAudio {
        stream,
        remote_rtp,
        remote_rtcp,
        send,
        send_others,
        receive,
        dtmf,
        ptime_ms,
        direction,
        on_hold,
        secured,
    };
    Ok((ours, audio))
}

/// Takes the answer to our offer. Payload types may differ in the two directions: we send under the answer's and
/// receive under the offer's, and also under the answer's where that number is free, since many peers use their own.
pub fn accept(
    answer: &SessionDescription,
    our_offer: &SessionDescription,
) -> Result<NegotiatedAudio, NegotiationFault> {
    let stream = our_place(our_offer).ok_or(NegotiationFault::NoAudio)?;
    let ours = our_offer.media.get(stream).ok_or(NegotiationFault::NoAudio)?;
    let media = answer.media.get(stream).ok_or(NegotiationFault::AnswerMismatch)?;
    if media.kind != Kind::Audio {
        return Err(NegotiationFault::AnswerMismatch);
    }
    if media.port == 0 {
        return Err(NegotiationFault::Refused);
    }
    let secured = secure_offer(ours, media)?;
    let our_rtp = our_offer.rtp_of(ours).ok_or(NegotiationFault::NoAddress)?;
    let remote = Remote::of(answer, media, our_rtp)?;
    let offered = ours.audio_formats();
    let theirs = with_offered_maps(media, &offered);
    let pairs = pairs(&theirs, &offered, Order::Theirs);
    let Some((send, send_others)) = speech_to_send(&pairs) else {
        return Err(no_common_codec(&theirs));
    };
    let mut receive: Vec<AudioFormat> = pairs.iter().map(|(_, our)| (*our).clone()).collect();
    receive.extend(comfort_noise(&offered, &theirs, send.clock_rate));
    for (their, our) in &pairs {
        let free = |f: &AudioFormat| f.payload_type != their.payload_type;
        if their.payload_type != our.payload_type && offered.iter().all(free) {
            receive.push(AudioFormat { payload_type: their.payload_type, ..(*our).clone() });
        }
    }
    let their_event = event_at(&theirs, send.clock_rate);
    let dtmf = their_event.and_then(|their| {
        let our = event_at(&offered, their.clock_rate).filter(|our| our.clock_rate == their.clock_rate)?;
        Some(Dtmf { send: their.payload_type, receive: our.payload_type, clock_rate: their.clock_rate })
    });
    let offered_direction = our_offer.direction_of(ours);
    let hears = remote.direction.receives() && !remote.unspecified;
    Ok(NegotiatedAudio {
        stream,
        remote_rtp: remote.rtp,
        remote_rtcp: if ours.rtcp_mux && media.rtcp_mux { remote.rtp } else { remote.rtcp },
        send,
        send_others,
        receive,
        dtmf,
        ptime_ms: packet_time(answer, media, ours.ptime_ms.unwrap_or(20)),
        direction: offered_direction.and(remote.our_direction()),
        on_hold: offered_direction.sends() && !hears,
        secured,
    })
}

/// Whether an offer has an audio stream that is protected as we want it, whatever its codecs: by one of our keys' suites, or by
/// none where that is taken.
pub fn admits(offer: &SessionDescription, crypto: &[Crypto], plain: bool) -> Result<(), NegotiationFault> {
    let mut fault = NegotiationFault::NoAudio;
    for media in offer.media.iter().filter(|m| m.kind == Kind::Audio && m.port != 0) {
        match secure_answer(media, crypto, plain) {
            Ok(_) => return Ok(()),
            Err(new) => fault = new,
        }
    }
    Err(fault)
}

/// How an offered stream is protected: by the first of the offerer's keys whose suite we have (RFC 4568 §5.1.2). RTP/AVP with
/// `a=crypto` is what many send who would have SRTP but need not; we take it at its word.
fn secure_answer(media: &Media, crypto: &[Crypto], plain: bool) -> Result<Option<Secured>, NegotiationFault> {
    let is_plain = media.protocol.is_plain_rtp();
    if !is_plain && (!media.protocol.is_sdes() || crypto.is_empty()) {
        return Err(NegotiationFault::UnsupportedProtocol(media.protocol.as_str().to_owned()));
    }
    let chosen = Crypto::all_of(media).find_map(|receive| {
        let ours = crypto.iter().find(|ours| ours.fits(&receive))?;
        Some(Secured { send: ours.tagged(receive.tag), receive })
    });
    match chosen {
        None if is_plain && plain => Ok(None),
        None if is_plain => Err(NegotiationFault::Plain),
        None => Err(NegotiationFault::NoCommonCrypto),
        secured => Ok(secured),
    }
}

/// How the answer protects what we have offered: by the key of ours that it names by its tag.
fn secure_offer(ours: &Media, answer: &Media) -> Result<Option<Secured>, NegotiationFault> {
    let unsupported = || NegotiationFault::UnsupportedProtocol(answer.protocol.as_str().to_owned());
    if ours.crypto.is_empty() {
        return if answer.protocol.is_plain_rtp() { Ok(None) } else { Err(unsupported()) };
    }
    if !answer.protocol.is_sdes() && !answer.protocol.is_plain_rtp() {
        return Err(unsupported());
    }
    let chosen = Crypto::all_of(answer).find_map(|receive| {
        let send = Crypto::all_of(ours).find(|ours| ours.tag == receive.tag && ours.fits(&receive))?;
        Some(Secured { send, receive })
    });
    chosen.map(Some).ok_or(NegotiationFault::NoCommonCrypto)
}

/// A codec that both legs have agreed on, so that packets can be relayed: the first of `a`'s that `b` has too.
pub fn common(a: &NegotiatedAudio, b: &NegotiatedAudio) -> Option<Relay> {
    a.sendable().find_map(|to_a| {
        let to_b = b.sendable().find(|to_b| to_b.is_same_as(to_a))?;
        Some(Relay { to_a: to_a.clone(), to_b: to_b.clone() })
    })
}

impl NegotiatedAudio {
    /// Every codec that the peer takes, the preferred first.
    pub fn sendable(&self) -> impl Iterator<Item = &AudioFormat> {
        std::iter::once(&self.send).chain(&self.send_others)
    }
}

/// What a peer says of its side of a stream.
struct Remote {
    rtp: Option<SocketAddr>,
    rtcp: Option<SocketAddr>,
    direction: Direction,
    unspecified: bool,
}

impl Remote {
    fn of(description: &SessionDescription, media: &Media, ours: SocketAddr) -> Result<Remote, NegotiationFault> {
        let host = description.host_of(media).ok_or(NegotiationFault::NoAddress)?;
        if let Host::Name(name) = host {
            return Err(NegotiationFault::HostName(name.clone()));
        }
        if host.usable_ip().is_some_and(|ip| ip.to_canonical().is_ipv4() != ours.ip().to_canonical().is_ipv4()) {
            return Err(NegotiationFault::AddressFamily);
        }
        Ok(Remote {
            rtp: description.rtp_of(media),
            rtcp: description.rtcp_of(media),
            direction: description.direction_of(media),
            unspecified: host.is_unspecified(),
        })
    }

    /// What the peer lets us do. Hold by `0.0.0.0` (RFC 3264 §8.4) stops our sending only.
    fn our_direction(&self) -> Direction {
        let mirrored = self.direction.mirrored();
        Direction::new(mirrored.sends() && !self.unspecified, mirrored.receives())
    }
}

/// Codecs of speech that both have, `(theirs, ours)`, in the order of one of them.
fn pairs<'a>(
    theirs: &'a [AudioFormat],
    ours: &'a [AudioFormat],
    order: Order,
) -> Vec<(&'a AudioFormat, &'a AudioFormat)> {
    let speech = |list: &'a [AudioFormat]| list.iter().filter(|f| f.codec.is_speech());
    let find = |list: &'a [AudioFormat], format: &AudioFormat| list.iter().find(|f| f.is_same_as(format));
    match order {
        Order::Theirs => speech(theirs).filter_map(|their| Some((their, find(ours, their)?))).collect(),
        Order::Ours => speech(ours).filter_map(|our| Some((find(theirs, our)?, our))).collect(),
    }
}

fn speech_to_send(pairs: &[(&AudioFormat, &AudioFormat)]) -> Option<(AudioFormat, Vec<AudioFormat>)> {
    let (first, rest) = pairs.split_first()?;
    Some((first.0.clone(), rest.iter().map(|(their, _)| (*their).clone()).collect()))
}

fn no_common_codec(theirs: &[AudioFormat]) -> NegotiationFault {
    let names = theirs.iter().filter(|f| f.codec.is_speech()).map(|f| f.codec.name().to_owned());
    NegotiationFault::NoCommonCodec(names.collect())
}

/// Comfort noise under the numbers of `list`, if both have it at the codec's clock rate.
fn comfort_noise(list: &[AudioFormat], other: &[AudioFormat], clock_rate: u32) -> Option<AudioFormat> {
    let is_noise = |f: &&AudioFormat| f.codec == Codec::ComfortNoise && f.clock_rate == clock_rate;
    other.iter().find(is_noise).and(list.iter().find(is_noise)).cloned()
}

/// Telephone events at the codec's clock rate, else at any.
fn event_at(formats: &[AudioFormat], clock_rate: u32) -> Option<&AudioFormat> {
    let mut events = formats.iter().filter(|f| f.codec == Codec::TelephoneEvent);
    let first = events.clone().next();
    events.find(|f| f.clock_rate == clock_rate).or(first)
}

/// The peer's wish if it is one that we can meet, else ours, within the peer's maximum.
fn packet_time(description: &SessionDescription, media: &Media, ours_ms: u16) -> u16 {
    let possible = |ms: &u16| (10..=60).contains(ms) && ms.is_multiple_of(10);
    let wished = description.ptime_of(media).filter(possible).unwrap_or(ours_ms);
    match media.maxptime_ms {
        Some(max) if max >= 10 => wished.min(max / 10 * 10),
        _ => wished,
    }
}

/// The answer's formats; a number without `a=rtpmap` that our offer bound means what it meant there.
fn with_offered_maps(answer: &Media, offered: &[AudioFormat]) -> Vec<AudioFormat> {
    let described = answer.audio_formats();
    let numbers = answer.formats.iter().filter_map(|text| text.parse::<u8>().ok());
    let of_number = |list: &[AudioFormat], pt| list.iter().find(|f| f.payload_type == pt).cloned();
    numbers.filter_map(|pt| of_number(&described, pt).or_else(|| of_number(offered, pt))).collect()
}

/// Our audio stream among our own description's.
fn our_place(ours: &SessionDescription) -> Option<usize> {
    ours.media.iter().position(|m| m.kind == Kind::Audio && m.port != 0)
}

fn describe(local: &LocalAudio, media: Vec<Media>) -> SessionDescription {
    let host = Host::Ip(local.rtp.ip());
    SessionDescription {
        origin: Origin {
            username: "-".into(),
            session_id: local.session_id.to_string(),
            version: local.version.to_string(),
            host: host.clone(),
        },
        connection: Some(Connection { host }),
        times: vec!["0 0".into()],
        media,
        ..SessionDescription::default()
    }
}

fn our_stream(local: &LocalAudio, protocol: Protocol, formats: &[AudioFormat], ptime_ms: u16) -> Media {
    let mut media = Media::new(Kind::Audio, local.rtp.port(), protocol, Vec::new());
    formats.iter().for_each(|format| format.write_to(&mut media));
    media.ptime_ms = Some(ptime_ms);
    media.direction = Some(local.direction);
    let usual = local.rtp.port().checked_add(1).map(|port| SocketAddr::new(local.rtp.ip(), port));
    if let Some(rtcp) = local.rtcp.filter(|&rtcp| Some(rtcp) != usual) {
        let host = (rtcp.ip() != local.rtp.ip()).then(|| Host::Ip(rtcp.ip()));
        media.rtcp = Some(RtcpAddress { port: rtcp.port(), host });
    }
    media
}

/// Our formats and telephone events, each under a number of its own: the one it had in `bound`, else the one it brings,
/// else a free dynamic one. Past the 128th there is none left, and the rest is not offered.
fn offered_formats(local: &LocalAudio, bound: &[AudioFormat]) -> Vec<AudioFormat> {
    let mut wished: Vec<AudioFormat> =
        local.formats.iter().filter(|f| f.codec != Codec::TelephoneEvent).cloned().collect();
    if local.telephone_event {
        let mut rates: Vec<u32> = Vec::new();
        for format in wished.iter().filter(|f| f.codec.is_speech()) {
            if !rates.contains(&format.clock_rate) {
                rates.push(format.clock_rate);
            }
        }
        let given = |rate: u32| event_at(&local.formats, rate).filter(|f| f.clock_rate == rate).map(|f| f.payload_type);
        // Many take 101 for 8,000 whatever the description says.
        let customary = |rate: u32| if rate == 8000 { 101 } else { 100 };
        wished.extend(
            rates.iter().map(|&rate| AudioFormat::telephone_event(given(rate).unwrap_or(customary(rate)), rate)),
        );
    }
    let mut formats: Vec<AudioFormat> = Vec::new();
    for format in wished {
        let before = bound.iter().find(|f| f.is_same_as(&format)).map(|f| f.payload_type);
        let taken = |pt: u8| {
            formats.iter().any(|f| f.payload_type == pt)
                || bound.iter().any(|f| f.payload_type == pt && !f.is_same_as(&format))
        };
        let number = before
            .filter(|&pt| !taken(pt))
            .or_else(|| Some(format.payload_type).filter(|&pt| pt < 128 && !taken(pt)))
            .or_else(|| (96..128).find(|&pt| !taken(pt)));
        formats.extend(number.map(|payload_type| AudioFormat { payload_type, ..format }));
    }
    formats
}
