//! Offer and answer of one leg (RFC 3264), and the media leg behind it.
//!
//! A session knows our last description, the peer's unanswered offer, and what both have agreed; from that and from what the leg
//! is to hear it makes the desired state of its media leg. The other party's session is only ever looked at, to choose codecs that
//! need no transcoding; nothing of its description is copied but codec parameters.

use super::endpoint::Body;
use crate::base::time::Duration;
use crate::event::Quality;
use crate::media::command::{Codec as MediaCodec, Command, Format, Hears, LegId, LegState, TapId};
use crate::sdp::{self, AudioFormat, Codec, Direction, LocalAudio, NegotiatedAudio, Order, SessionDescription};
use std::net::SocketAddr;

/// Milliseconds of sound per packet that we wish for.
const PTIME_MS: u16 = 20;

/// Why a description cannot be used: the status that says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unacceptable(pub u16);

#[derive(Debug, Default)]
enum Port {
    #[default]
    None,
    Opening(LegId),
    Open(LegId, SocketAddr),
    Closing(LegId),
    Closed,
}

#[derive(Debug, Default)]
pub struct Session {
    port: Port,
    session_id: u64,
    /// What we sent last: offer or answer.
    ours: Option<Box<SessionDescription>>,
    /// The peer's offer that has no answer yet.
    offered: Option<Box<SessionDescription>>,
    /// We have offered and await the answer.
    asked: bool,
    agreed: Option<Box<NegotiatedAudio>>,
    hears: Hears,
    tap: Option<TapId>,
    set: Option<Box<LegState>>,
    quality: Option<Box<Quality>>,
}

impl Session {
    // ---- the media leg ---------------------------------------------------------------------------------------------

    /// A port has been asked for.
    pub fn open(&mut self, leg: LegId) {
        self.port = Port::Opening(leg);
    }

    pub fn opened(&mut self, rtp: SocketAddr, seed: u64) {
        if let Port::Opening(leg) = self.port {
            self.port = Port::Open(leg, rtp);
            // Positive as a signed 32-bit number, which is all that some peers read.
            self.session_id = seed >> 33;
        }
    }

    /// The port could not be had.
    pub fn forget(&mut self) {
        self.port = Port::Closed;
    }

    pub const fn media(&self) -> Option<LegId> {
        match self.port {
            Port::Opening(leg) | Port::Open(leg, _) | Port::Closing(leg) => Some(leg),
            Port::None | Port::Closed => None,
        }
    }

    /// There is an address to put into a description.
    pub const fn is_ready(&self) -> bool {
        matches!(self.port, Port::Open(..))
    }

    /// Nothing is open: there never was a port, or its account is in.
    pub const fn is_closed(&self) -> bool {
        matches!(self.port, Port::None | Port::Closed)
    }

    /// Gives the port back.
    pub fn close(&mut self) -> Option<Command> {
        let (Port::Opening(leg) | Port::Open(leg, _)) = self.port else { return None };
        self.port = Port::Closing(leg);
        (self.offered, self.ours, self.set) = (None, None, None);
        Some(Command::Close { leg })
    }

    pub fn closed(&mut self, quality: Box<Quality>) {
        self.port = Port::Closed;
        self.quality = Some(quality);
    }

    pub fn quality(&self) -> Option<&Quality> {
        self.quality.as_deref()
    }

    // ---- offer and answer ------------------------------------------------------------------------------------------

    /// Keeps the peer's offer until [`Session::local`] answers it.
    pub fn take_offer(&mut self, body: &Body) -> Result<(), Unacceptable> {
        let offer = parse(body)?;
        self.offered = Some(Box::new(offer));
        Ok(())
    }

    /// A fresh offer to a called party, with the codecs of `limit` that the other party has or that we can transcode for it.
    ///
    /// `shared`: the other party's description may be settled by somebody else before this one answers (a tone of ours, another
    /// leg that rings), so where it has a codec that we transcode, only such are offered.
    pub fn offer(&mut self, limit: &[String], other: Option<&Session>, shared: bool) -> Body {
        let mut formats = offer_formats(limit, other);
        if shared && formats.iter().any(is_ours) {
            formats.retain(is_ours);
        }
        self.describe_offer(formats)
    }

    /// Sound can go from one to the other: one codec, or two that we transcode.
    pub fn meets(&self, other: &Session) -> bool {
        match (&self.agreed, &other.agreed) {
            (Some(a), Some(b)) => a.send.is_same_as(&b.send) || is_ours(&a.send) && is_ours(&b.send),
            _ => true,
        }
    }

    /// The peer neither sends nor wants to be sent anything.
    pub fn is_mute(&self) -> bool {
        self.agreed.as_ref().is_some_and(|a| a.on_hold && (!a.direction.receives() || a.remote_rtp.is_none()))
    }

    fn describe_offer(&mut self, formats: Vec<AudioFormat>) -> Body {
        let local = self.local_audio(formats, false);
        let description = match &self.ours {
            Some(previous) => sdp::reoffer(&local, previous),
            None => sdp::offer(&local),
        };
        self.asked = true;
        self.keep(description)
    }

    fn keep(&mut self, description: SessionDescription) -> Body {
        let body = Body::sdp(description.to_string());
        self.ours = Some(Box::new(description));
        body
    }

    /// Our description for the peer: the answer to its offer if there is one that has none; else what we said last; else an
    /// offer. `like` is the party whose codec is preferred; without it only what we can make ourselves is taken.
    pub fn local(&mut self, limit: &[String], like: Option<&Session>) -> Result<Body, Unacceptable> {
        if !self.is_ready() {
            return Err(Unacceptable(503));
        }
        if let Some(offer) = &self.offered {
            let local = self.local_audio(answer_formats(limit, like), true);
            let mut answer = sdp::answer(offer, &local).map_err(|fault| Unacceptable(fault.status()))?;
            if let Some(previous) = &self.ours {
                answer.description.supersede(previous);
            }
            self.offered = None;
            self.agreed = Some(Box::new(answer.audio));
            return Ok(self.keep(answer.description));
        }
        match &self.ours {
            Some(ours) => Ok(Body::sdp(ours.to_string())),
            None => Ok(self.describe_offer(answer_formats(limit, like))),
        }
    }

    /// An offer in an established session, for a peer that asked by a re-INVITE without one.
    ///
    /// What was agreed stays first; G.711 follows where we can transcode from it.
    pub fn offer_again(&mut self, limit: &[String]) -> Result<Body, Unacceptable> {
        if !self.is_ready() {
            return Err(Unacceptable(503));
        }
        let formats = offer_formats(limit, Some(self));
        Ok(self.describe_offer(formats))
    }

    /// The peer's answer to our offer; a later one replaces an earlier one (early media of several forks).
    pub fn take_answer(&mut self, body: &Body) -> Result<(), Unacceptable> {
        let answer = parse(body)?;
        let offer = self.ours.as_ref().ok_or(Unacceptable(400))?;
        let agreed = sdp::accept(&answer, offer).map_err(|_| Unacceptable(488))?;
        self.agreed = Some(Box::new(agreed));
        self.asked = false;
        Ok(())
    }

    /// We have offered, and the peer has not answered.
    pub const fn awaits_answer(&self) -> bool {
        self.asked
    }

    /// The peer has offered, or has answered us: we may describe ourselves in a provisional response.
    pub const fn is_described(&self) -> bool {
        self.offered.is_some() || self.agreed.is_some()
    }

    pub const fn is_negotiated(&self) -> bool {
        self.agreed.is_some()
    }

    /// The peer has put us on hold.
    pub fn is_held(&self) -> bool {
        self.agreed.as_ref().is_some_and(|a| a.on_hold)
    }

    /// Name of the codec that we send.
    pub fn codec_name(&self) -> Option<&'static str> {
        self.agreed.as_ref().map(|a| match a.send.codec {
            Codec::Pcmu => "pcmu",
            Codec::Pcma => "pcma",
            Codec::G722 => "g722",
            Codec::Opus => "opus",
            _ => "other",
        })
    }

    fn local_audio(&self, formats: Vec<AudioFormat>, single: bool) -> LocalAudio {
        let rtp = match self.port {
            Port::Open(_, rtp) => rtp,
            _ => SocketAddr::from(([0, 0, 0, 0], 0)),
        };
        LocalAudio {
            rtp,
            rtcp: None,
            session_id: self.session_id,
            version: self.session_id,
            formats,
            telephone_event: true,
            ptime_ms: PTIME_MS,
            direction: Direction::SendRecv,
            order: Order::Ours,
            single,
        }
    }

    // ---- what the media leg is to do -------------------------------------------------------------------------------

    /// Says what the leg hears; the command that makes it so, if that is a change.
    pub fn hear(&mut self, hears: Hears, rtp_timeout: Option<Duration>) -> Option<Command> {
        self.hears = hears;
        self.refresh(rtp_timeout)
    }

    /// Says who listens in; the command that makes it so, if that is a change.
    pub fn tap(&mut self, tap: Option<TapId>, rtp_timeout: Option<Duration>) -> Option<Command> {
        self.tap = tap;
        self.refresh(rtp_timeout)
    }

    /// The command that brings the media leg in line with what has been negotiated since.
    pub fn refresh(&mut self, rtp_timeout: Option<Duration>) -> Option<Command> {
        let (Port::Open(leg, _), Some(agreed)) = (&self.port, &self.agreed) else { return None };
        let leg = *leg;
        let state = LegState {
            remote_rtp: agreed.remote_rtp,
            remote_rtcp: agreed.remote_rtcp,
            send: Some(media_format(&agreed.send)),
            receive: agreed.receive.iter().map(media_format).collect(),
            dtmf_send: agreed.dtmf.map(|d| d.send),
            dtmf_receive: agreed.dtmf.map(|d| d.receive),
            ptime_ms: agreed.ptime_ms as u8,
            sending: agreed.direction.sends(),
            receiving: agreed.direction.receives(),
            latch: true,
            hears: self.hears.clone(),
            tap: self.tap,
            rtp_timeout: rtp_timeout.filter(|_| !agreed.on_hold),
            srtp: None,
        };
        if self.set.as_deref() == Some(&state) {
            return None;
        }
        self.set = Some(Box::new(state.clone()));
        Some(Command::Set { leg, state: Box::new(state) })
    }

    /// Speech formats that the peer has offered or agreed to.
    fn peer_formats(&self) -> Option<Vec<AudioFormat>> {
        if let Some(agreed) = &self.agreed {
            return Some(vec![agreed.send.clone()]);
        }
        let offer = self.offered.as_ref()?;
        let streams = offer.media.iter().filter(|m| m.kind == sdp::Kind::Audio && m.port != 0);
        Some(streams.flat_map(|m| m.audio_formats()).filter(|f| f.codec.is_speech()).collect())
    }
}

fn parse(body: &Body) -> Result<SessionDescription, Unacceptable> {
    if !body.is_sdp() {
        return Err(Unacceptable(415));
    }
    SessionDescription::parse(&body.bytes).map_err(|fault| Unacceptable(fault.status()))
}

fn named(limit: &[String]) -> impl Iterator<Item = AudioFormat> {
    limit.iter().filter_map(|name| AudioFormat::by_name(name))
}

/// Codecs that we decode and encode ourselves.
fn is_ours(format: &AudioFormat) -> bool {
    matches!(format.codec, Codec::Pcmu | Codec::Pcma)
}

/// Codecs of `limit`, in its order: those of the other party under its payload types, then those that we can transcode for it.
fn offer_formats(limit: &[String], other: Option<&Session>) -> Vec<AudioFormat> {
    let Some(theirs) = other.and_then(Session::peer_formats) else {
        return named(limit).filter(is_ours).collect();
    };
    let transcodable = theirs.iter().any(is_ours);
    let shared = named(limit)
        .filter_map(|f| theirs.iter().find(|t| t.codec == f.codec && t.clock_rate == f.clock_rate).cloned());
    let mut formats: Vec<AudioFormat> = shared.collect();
    for format in named(limit).filter(|f| transcodable && is_ours(f)) {
        if formats.iter().all(|f| f.codec != format.codec) {
            formats.push(format);
        }
    }
    formats
}

/// Codecs for an answer: the one that the other party uses first, then those that we can transcode to and from it.
fn answer_formats(limit: &[String], like: Option<&Session>) -> Vec<AudioFormat> {
    let Some(agreed) = like.and_then(|s| s.agreed.as_ref()) else {
        return named(limit).filter(is_ours).collect();
    };
    let mut formats = vec![agreed.send.clone()];
    if is_ours(&agreed.send) {
        formats.extend(named(limit).filter(|f| is_ours(f) && f.codec != agreed.send.codec));
    }
    formats
}

fn media_format(format: &AudioFormat) -> Format {
    let codec = match format.codec {
        Codec::Pcmu => MediaCodec::Pcmu,
        Codec::Pcma => MediaCodec::Pcma,
        Codec::G722 => MediaCodec::G722,
        Codec::Opus => MediaCodec::Opus,
        Codec::ComfortNoise => MediaCodec::ComfortNoise,
        _ => MediaCodec::Opaque { clock_rate: format.clock_rate },
    };
    Format { codec, payload_type: format.payload_type }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(seed: u64, port: u16) -> Session {
        let mut s = Session::default();
        s.open(LegId(seed));
        s.opened(SocketAddr::from(([127, 0, 0, 1], port)), seed << 33);
        s
    }

    fn limit() -> Vec<String> {
        ["opus", "g722", "pcmu", "pcma"].map(str::to_owned).to_vec()
    }

    fn offer(lines: &str) -> Body {
        Body::sdp(format!("v=0\r\no=x 9 9 IN IP4 10.9.9.9\r\ns=secret\r\nc=IN IP4 10.9.9.9\r\nt=0 0\r\n{lines}"))
    }

    fn text(body: &Body) -> String {
        String::from_utf8_lossy(&body.bytes).into_owned()
    }

    /// Runs a call: the caller's offer, our offer to the callee, its answer, our answer to the caller.
    fn bridge(caller_offer: &str, callee_answer: &str) -> (String, String, Session, Session) {
        let (mut caller, mut callee) = (ready(1, 4000), ready(2, 5000));
        caller.take_offer(&offer(caller_offer)).unwrap();
        let out = callee.offer(&limit(), Some(&caller), false);
        callee.take_answer(&offer(callee_answer)).unwrap();
        let back = caller.local(&limit(), Some(&callee)).unwrap();
        (text(&out), text(&back), caller, callee)
    }

    #[test]
    fn a_common_codec_is_relayed_and_nothing_of_the_other_description_leaks() {
        let (out, back, caller, callee) = bridge(
            "m=audio 6000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n",
            "m=audio 7000 RTP/AVP 8\r\n",
        );
        assert!(out.contains("m=audio 5000 RTP/AVP 0 8 101\r\n"), "{out}");
        assert!(back.contains("m=audio 4000 RTP/AVP 8 101\r\n"), "{back}");
        assert!(!out.contains("10.9.9.9") && !back.contains("10.9.9.9") && !out.contains("secret"));
        assert_eq!((caller.codec_name(), callee.codec_name()), (Some("pcma"), Some("pcma")));
    }

    #[test]
    fn codecs_that_we_do_not_speak_pass_from_end_to_end() {
        let lines = "m=audio 6000 RTP/AVP 96 0\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n";
        let (out, back, ..) = bridge(lines, "m=audio 7000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n");
        assert!(out.contains("m=audio 5000 RTP/AVP 96 0 8"), "{out}");
        assert!(back.contains("m=audio 4000 RTP/AVP 96"), "{back}");
    }

    #[test]
    fn g711_is_transcoded_where_the_sides_differ() {
        let (out, back, ..) = bridge("m=audio 6000 RTP/AVP 0\r\n", "m=audio 7000 RTP/AVP 8\r\n");
        assert!(out.contains("RTP/AVP 0 8"), "{out}");
        assert!(back.contains("m=audio 4000 RTP/AVP 0\r\n"), "{back}");
    }

    #[test]
    fn alone_we_take_only_what_we_can_make() {
        let mut s = ready(1, 4000);
        s.take_offer(&offer("m=audio 6000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n")).unwrap();
        assert_eq!(s.local(&limit(), None), Err(Unacceptable(488)));
        let wrong = Body { content_type: "text/plain".into(), bytes: "x".into() };
        assert_eq!(ready(2, 1).take_offer(&wrong), Err(Unacceptable(415)));
    }

    #[test]
    fn a_hold_stops_sending_and_the_version_goes_up_once() {
        let (_, first, mut caller, callee) = bridge("m=audio 6000 RTP/AVP 0\r\n", "m=audio 7000 RTP/AVP 0\r\n");
        let set = caller.hear(Hears::Leg(LegId(2)), None);
        assert!(matches!(set, Some(Command::Set { .. })) && caller.hear(Hears::Leg(LegId(2)), None).is_none());
        caller.take_offer(&offer("m=audio 6000 RTP/AVP 0\r\na=inactive\r\n")).unwrap();
        let second = text(&caller.local(&limit(), Some(&callee)).unwrap());
        assert!(second.contains("a=inactive") && caller.is_held(), "{second}");
        let origin = |t: &str| t.lines().nth(1).unwrap().to_owned();
        assert_ne!(origin(&first), origin(&second));
        let Some(Command::Set { state, .. }) = caller.refresh(None) else { panic!("a hold changes the state") };
        assert!(!state.sending && !state.receiving);
        assert_eq!(text(&caller.local(&limit(), None).unwrap()), second);
    }
}
