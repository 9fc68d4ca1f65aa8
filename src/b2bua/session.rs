//! Offer and answer of one leg (RFC 3264), and the media leg behind it.
//!
//! A session knows our last description, the peer's unanswered offer, and what both have agreed; from that and from what the leg
//! is to hear it makes the desired state of its media leg. The other party's session is only ever looked at, to choose codecs that
//! need no transcoding; nothing of its description is copied but codec parameters.

mod digits;
pub mod fax;
mod opus;

use super::endpoint::Body;
use super::preference::{costs, for_answer, for_offer, is_ours, media_format, meet};
use super::security::{Security, media_keys};
use crate::base::time::Duration;
use crate::config::Dtmf;
use crate::event::Quality;
use crate::media::command::{Command, Hears, LegId, LegState, TapId, Tones};
use crate::rtp::srtp::Suite;
use crate::sdp::{self, AudioFormat, Codec, Direction, LocalAudio, NegotiatedAudio, Order, SessionDescription};
use std::net::SocketAddr;

/// Milliseconds of sound per packet that we wish for.
const PTIME_MS: u16 = 20;
/// Characters of a warning.
const WARNING_MAX: usize = 200;

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
    /// Names of the codecs that this leg may have, in order of preference.
    limit: Vec<String>,
    security: Security,
    /// What we sent last: offer or answer.
    ours: Option<Box<SessionDescription>>,
    /// The peer's offer that has no answer yet.
    offered: Option<Box<SessionDescription>>,
    /// We have offered and await the answer.
    asked: bool,
    agreed: Option<Box<NegotiatedAudio>>,
    /// Speech codecs of the peer's last offer or answer: it can change to another of them.
    can: Vec<AudioFormat>,
    /// What our re-INVITE proposes, while it has no answer; `ours` stays in force until then.
    proposed: Option<Box<SessionDescription>>,
    /// The peer did not change its codec when it was asked to: it is not asked again before it offers something itself.
    keeps: bool,
    /// Why the peer's last offer was not taken.
    fault: Option<Box<sdp::NegotiationFault>>,
    /// Instead of sound.
    fax: fax::Fax,
    hears: Hears,
    tap: Option<TapId>,
    listener: Option<TapId>,
    dtmf: Dtmf,
    tones_wanted: Tones,
    set: Option<Box<LegState>>,
    quality: Option<Box<Quality>>,
}

impl Session {
    // ---- the media leg ---------------------------------------------------------------------------------------------

    /// A port has been asked for, for a leg that may have these codecs and is protected so.
    pub fn open(&mut self, leg: LegId, limit: Vec<String>, security: Security) {
        self.port = Port::Opening(leg);
        (self.limit, self.security) = (limit, security);
    }

    /// The same session for a port elsewhere, which is yet to be opened: what both sides have said stays.
    pub fn follow(&self) -> Session {
        Session {
            session_id: self.session_id,
            ours: self.ours.clone(),
            offered: self.offered.clone(),
            agreed: self.agreed.clone(),
            can: self.can.clone(),
            dtmf: self.dtmf,
            ..Session::default()
        }
    }

    pub fn opened(&mut self, rtp: SocketAddr, seed: u64) {
        if let Port::Opening(leg) = self.port {
            self.port = Port::Open(leg, rtp);
            // Positive as a signed 32-bit number, which is all that some peers read. One that moved keeps its own.
            self.session_id = if self.ours.is_some() { self.session_id } else { seed >> 33 };
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
        (self.offered, self.ours, self.set, self.proposed) = (None, None, None, None);
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
        self.can = speech_of(&offer);
        self.keeps = false;
        self.offered = Some(Box::new(offer));
        Ok(())
    }

    /// Whether the peer's offer, if it made one, is protected as it must be: known before anybody else's phone rings.
    pub fn admit(&mut self) -> Result<(), Unacceptable> {
        let Some(offer) = &self.offered else { return Ok(()) };
        let admitted = sdp::admits(offer, &self.security.keys(), self.security.takes_plain());
        admitted.map_err(|fault| self.refused(fault))
    }

    fn refused(&mut self, fault: sdp::NegotiationFault) -> Unacceptable {
        let status = fault.status();
        self.fault = Some(Box::new(fault));
        Unacceptable(status)
    }

    /// What a refusal of the peer's offer tells it more: the value of a Warning header (RFC 3261 §20.43).
    pub fn warning(&self) -> Option<String> {
        let fault = self.fault.as_deref()?;
        // Names in it are the peer's own words.
        let is_plain = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
        let text: String = fault.to_string().chars().filter(is_plain).take(WARNING_MAX).collect();
        Some(format!("{} tandem \"{text}\"", fault.warn_code()))
    }

    /// A fresh offer to a called party: codecs that the other party has, and those that we can transcode for it.
    ///
    /// `shared`: the other party's description may be settled by somebody else before this one answers (a tone of ours, another
    /// leg that rings), so where it has a codec that we transcode, only such are offered.
    pub fn offer(&mut self, other: Option<&Session>, shared: bool) -> Body {
        let mut formats = for_offer(&self.limit, other.and_then(Session::peer_formats).as_deref());
        if shared && formats.iter().any(is_ours) {
            formats.retain(is_ours);
        }
        self.describe_offer(formats)
    }

    /// Sound can go from one to the other: one codec, or two that we transcode.
    pub fn meets(&self, other: &Session) -> bool {
        match (&self.agreed, &other.agreed) {
            (Some(a), Some(b)) => meet(&a.send, &b.send),
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
    pub fn local(&mut self, like: Option<&Session>) -> Result<Body, Unacceptable> {
        if !self.is_ready() {
            return Err(Unacceptable(503));
        }
        let like = like.and_then(|s| s.agreed.as_ref()).map(|a| &a.send);
        if let Some(offer) = &self.offered {
            let local = self.local_audio(for_answer(&self.limit, like), true);
            let mut answer = match sdp::answer(offer, &local) {
                Ok(answer) => answer,
                Err(fault) => return Err(self.refused(fault)),
            };
            self.fault = None;
            if let Some(previous) = &self.ours {
                answer.description.supersede(previous);
            }
            (self.offered, self.fax) = (None, fax::Fax::default());
            self.agreed = Some(Box::new(answer.audio));
            return Ok(self.keep(answer.description));
        }
        match &self.ours {
            Some(ours) => Ok(Body::sdp(ours.to_string())),
            None => Ok(self.describe_offer(for_answer(&self.limit, like))),
        }
    }

    /// An offer in an established session, for a peer that asked by a re-INVITE without one.
    ///
    /// What was agreed stays first; what we can transcode from it follows.
    pub fn offer_again(&mut self) -> Result<Body, Unacceptable> {
        if !self.is_ready() {
            return Err(Unacceptable(503));
        }
        let formats = for_answer(&self.limit, self.agreed.as_ref().map(|a| &a.send));
        Ok(self.describe_offer(formats))
    }

    /// The peer's answer to our offer; a later one replaces an earlier one (early media of several forks).
    pub fn take_answer(&mut self, body: &Body) -> Result<(), Unacceptable> {
        let answer = parse(body)?;
        let offer = self.ours.as_ref().ok_or(Unacceptable(400))?;
        let agreed = sdp::accept(&answer, offer).map_err(|_| Unacceptable(488))?;
        self.can = agreed.sendable().cloned().collect();
        self.agreed = Some(Box::new(agreed));
        self.asked = false;
        Ok(())
    }

    // ---- one codec for both, where both can ------------------------------------------------------------------------

    /// An offer that has this peer change to the codec that the other party uses, where that spares a decoder and an encoder, the
    /// peer has said that it has that codec, and nothing else is under way.
    pub fn propose(&mut self, other: &Session) -> Option<Body> {
        if self.fax.is_on() {
            return self.propose_speech(other);
        }
        let (agreed, theirs) = (self.agreed.as_deref()?, &other.agreed.as_deref()?.send);
        let busy = self.asked || self.offered.is_some() || self.proposed.is_some() || self.keeps;
        let held = agreed.on_hold || !self.is_ready();
        if busy || held || !costs(&agreed.send, theirs) {
            return None;
        }
        let allowed = for_offer(&self.limit, Some(std::slice::from_ref(theirs)));
        let wanted = self.can.iter().find(|f| f.is_same_as(theirs) && allowed.iter().any(|a| a.is_same_as(f)))?.clone();
        let proposed = sdp::reoffer(&self.local_audio(vec![wanted], false), self.ours.as_deref()?);
        let body = Body::sdp(proposed.to_string());
        self.proposed = Some(Box::new(proposed));
        Some(body)
    }

    /// The answer to what we proposed; `None` is a refusal, and all stays as it was. True if something has changed.
    pub fn take_proposed(&mut self, answer: Option<&Body>) -> bool {
        let Some(proposed) = self.proposed.take() else { return false };
        self.keeps = true;
        let agreed = answer.and_then(|body| parse(body).ok()).and_then(|answer| sdp::accept(&answer, &proposed).ok());
        match (agreed, &mut self.ours) {
            (Some(agreed), _) => {
                self.fax = fax::Fax::default();
                self.agreed = Some(Box::new(agreed));
                self.ours = Some(proposed);
                true
            }
            (None, Some(ours)) => {
                // What we say next differs from what was refused, so its version does (RFC 3264 §8).
                let version = proposed.origin.version.parse::<u64>().unwrap_or(0);
                ours.origin.version = version.wrapping_add(1).to_string();
                false
            }
            (None, None) => false,
        }
    }

    /// What we proposed crossed an offer of the peer's: it may be proposed again.
    pub fn withdraw(&mut self) {
        if self.take_proposed(None) {
            crate::bug!("a proposal without an answer was taken");
        }
        self.keeps = false;
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

    /// Name of the SRTP suite that we protect with.
    pub fn suite_name(&self) -> Option<&'static str> {
        let secured = self.agreed.as_ref()?.secured.as_ref()?;
        Suite::from_name(&secured.send.suite).map(Suite::name)
    }

    /// Codec and suite, for the timeline.
    pub fn spoken(&self) -> String {
        if self.fax.is_on() {
            return "fax by T.38".to_owned();
        }
        let codec = self.codec_name().unwrap_or("no codec");
        self.suite_name().map_or_else(|| codec.to_owned(), |suite| format!("{codec}, SRTP {suite}"))
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
            telephone_event: matches!(self.dtmf, Dtmf::Auto | Dtmf::Rfc4733),
            ptime_ms: PTIME_MS,
            direction: Direction::SendRecv,
            order: Order::Ours,
            single,
            crypto: self.security.keys(),
            plain: self.security.takes_plain(),
        }
    }

    // ---- what the media leg is to do -------------------------------------------------------------------------------

    pub const fn hears(&self) -> &Hears {
        &self.hears
    }

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

    /// Says who listens to the peer; the command that makes it so, if that is a change.
    pub fn listen(&mut self, listener: Option<TapId>, rtp_timeout: Option<Duration>) -> Option<Command> {
        self.listener = listener;
        self.refresh(rtp_timeout)
    }

    /// The command that brings the media leg in line with what has been negotiated since.
    pub fn refresh(&mut self, rtp_timeout: Option<Duration>) -> Option<Command> {
        let (Port::Open(leg, _), Some(agreed)) = (&self.port, &self.agreed) else { return None };
        let leg = *leg;
        let state = self.fax_state().unwrap_or_else(|| LegState {
            remote_rtp: agreed.remote_rtp,
            remote_rtcp: agreed.remote_rtcp,
            send: Some(media_format(&agreed.send)),
            receive: agreed.receive.iter().map(media_format).collect(),
            dtmf_send: agreed.dtmf.map(|d| d.send),
            dtmf_receive: agreed.dtmf.map(|d| d.receive),
            dtmf_clock: agreed.dtmf.map_or(0, |d| d.clock_rate),
            tones: self.tones(),
            ptime_ms: agreed.ptime_ms as u8,
            opus: opus::wanted(&agreed.send),
            sending: agreed.direction.sends(),
            receiving: agreed.direction.receives(),
            latch: true,
            hears: self.hears.clone(),
            tap: self.tap,
            listener: self.listener,
            rtp_timeout: rtp_timeout.filter(|_| !agreed.on_hold),
            datagrams: false,
            srtp: agreed.secured.as_ref().and_then(media_keys).map(Box::new),
        });
        if self.set.as_deref() == Some(&state) {
            return None;
        }
        self.set = Some(Box::new(state.clone()));
        Some(Command::Set { leg, state: Box::new(state) })
    }

    /// Speech formats that the peer uses, or can change to if both need no more than we can transcode.
    fn peer_formats(&self) -> Option<Vec<AudioFormat>> {
        let Some(agreed) = &self.agreed else { return self.offered.as_ref().map(|_| self.can.clone()) };
        let others = self.can.iter().filter(|f| is_ours(f) && is_ours(&agreed.send) && !f.is_same_as(&agreed.send));
        Some(std::iter::once(&agreed.send).chain(others).cloned().collect())
    }
}

fn parse(body: &Body) -> Result<SessionDescription, Unacceptable> {
    let text = body.session_description().ok_or(Unacceptable(415))?;
    SessionDescription::parse(&text).map_err(|fault| Unacceptable(fault.status()))
}

/// Every codec of speech in a description's audio streams.
fn speech_of(description: &SessionDescription) -> Vec<AudioFormat> {
    let streams = description.media.iter().filter(|m| m.kind == sdp::Kind::Audio && m.port != 0);
    streams.flat_map(|m| m.audio_formats()).filter(|f| f.codec.is_speech()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Srtp;

    fn ready(seed: u64, port: u16) -> Session {
        ready_with(Srtp::Off, seed, port)
    }

    fn ready_with(srtp: Srtp, seed: u64, port: u16) -> Session {
        let mut s = Session::default();
        s.open(LegId(seed), limit(), Security::new(srtp, [seed as u8; 32]));
        s.opened(SocketAddr::from(([127, 0, 0, 1], port)), seed << 33);
        s
    }

    fn limit() -> Vec<String> {
        ["opus", "g722", "g729", "pcmu", "pcma"].map(str::to_owned).to_vec()
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
        let out = callee.offer(Some(&caller), false);
        callee.take_answer(&offer(callee_answer)).unwrap();
        let back = caller.local(Some(&callee)).unwrap();
        (text(&out), text(&back), caller, callee)
    }

    #[test]
    fn a_common_codec_is_relayed_and_nothing_of_the_other_description_leaks() {
        let (out, back, caller, callee) = bridge(
            "m=audio 6000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n",
            "m=audio 7000 RTP/AVP 8\r\n",
        );
        assert!(out.contains("m=audio 5000 RTP/AVP 0 8 111 9 101 100\r\n"), "{out}");
        assert!(back.contains("m=audio 4000 RTP/AVP 8 101\r\n"), "{back}");
        assert!(!out.contains("10.9.9.9") && !back.contains("10.9.9.9") && !out.contains("secret"));
        assert_eq!((caller.codec_name(), callee.codec_name()), (Some("pcma"), Some("pcma")));
    }

    #[test]
    fn codecs_that_we_do_not_speak_pass_from_end_to_end() {
        let lines = "m=audio 6000 RTP/AVP 18 0\r\na=fmtp:18 annexb=no\r\n";
        let (out, back, ..) = bridge(lines, "m=audio 7000 RTP/AVP 18\r\n");
        assert!(out.contains("m=audio 5000 RTP/AVP 18 0 8 111 9") && out.contains("a=fmtp:18 annexb=no"), "{out}");
        assert!(back.contains("m=audio 4000 RTP/AVP 18"), "{back}");
    }

    #[test]
    fn g711_is_transcoded_where_the_sides_differ() {
        let (out, back, ..) = bridge("m=audio 6000 RTP/AVP 0\r\n", "m=audio 7000 RTP/AVP 8\r\n");
        assert!(out.contains("RTP/AVP 0 8 111 9"), "{out}");
        assert!(back.contains("m=audio 4000 RTP/AVP 0\r\n"), "{back}");
    }

    #[test]
    fn alone_we_take_only_what_we_can_make() {
        let mut s = ready(1, 4000);
        s.take_offer(&offer("m=audio 6000 RTP/AVP 18\r\n")).unwrap();
        assert_eq!(s.local(None), Err(Unacceptable(488)));
        let wrong = Body { content_type: "text/plain".into(), bytes: "x".into() };
        assert_eq!(ready(2, 1).take_offer(&wrong), Err(Unacceptable(415)));
    }

    #[test]
    fn a_hold_stops_sending_and_the_version_goes_up_once() {
        let (_, first, mut caller, callee) = bridge("m=audio 6000 RTP/AVP 0\r\n", "m=audio 7000 RTP/AVP 0\r\n");
        let set = caller.hear(Hears::Leg(LegId(2)), None);
        assert!(matches!(set, Some(Command::Set { .. })) && caller.hear(Hears::Leg(LegId(2)), None).is_none());
        caller.take_offer(&offer("m=audio 6000 RTP/AVP 0\r\na=inactive\r\n")).unwrap();
        let second = text(&caller.local(Some(&callee)).unwrap());
        assert!(second.contains("a=inactive") && caller.is_held(), "{second}");
        let origin = |t: &str| t.lines().nth(1).unwrap().to_owned();
        assert_ne!(origin(&first), origin(&second));
        let Some(Command::Set { state, .. }) = caller.refresh(None) else { panic!("a hold changes the state") };
        assert!(!state.sending && !state.receiving);
        assert_eq!(text(&caller.local(None).unwrap()), second);
    }

    /// A caller whom we have answered alone, with a codec that the called party turns out not to have.
    fn crossed() -> (Session, Session) {
        let (mut caller, mut callee) = (ready(1, 4000), ready(2, 5000));
        caller.take_offer(&offer("m=audio 6000 RTP/AVP 9 8 0\r\n")).unwrap();
        assert!(text(&caller.local(None).unwrap()).contains("RTP/AVP 9\r\n"));
        let out = text(&callee.offer(Some(&caller), false));
        assert!(out.contains("RTP/AVP 9 0 8 111 101 100\r\n"), "{out}");
        callee.take_answer(&offer("m=audio 7000 RTP/AVP 8\r\n")).unwrap();
        assert!(caller.meets(&callee));
        (caller, callee)
    }

    #[test]
    fn who_can_is_asked_to_change_to_the_other_partys_codec() {
        let (mut caller, mut callee) = crossed();
        assert!(callee.propose(&caller).is_none(), "the called party has one codec");
        let body = text(&caller.propose(&callee).unwrap());
        assert!(body.contains("m=audio 4000 RTP/AVP 8 101\r\n") && body.contains("o=- 1 2 IN"), "{body}");
        assert!(caller.propose(&callee).is_none() && caller.codec_name() == Some("g722"));
        assert!(caller.take_proposed(Some(&offer("m=audio 6000 RTP/AVP 8\r\n"))));
        assert_eq!(caller.codec_name(), Some("pcma"));
        assert!(caller.propose(&callee).is_none());
    }

    #[test]
    fn who_refuses_keeps_its_codec_and_is_asked_again_only_after_an_offer_of_its_own() {
        for refusal in [None, Some(offer("m=audio 0 RTP/AVP 8\r\n")), Some(offer("m=audio 6000 RTP/AVP 3\r\n"))] {
            let (mut caller, callee) = crossed();
            caller.propose(&callee).unwrap();
            assert!(!caller.take_proposed(refusal.as_ref()));
            assert!(caller.propose(&callee).is_none() && caller.codec_name() == Some("g722"));
            let still = text(&caller.local(None).unwrap());
            assert!(still.contains("RTP/AVP 9\r\n") && still.contains("o=- 1 3 IN"), "{still}");
            caller.take_offer(&offer("m=audio 6000 RTP/AVP 9 8\r\n")).unwrap();
            caller.local(None).unwrap();
            assert!(caller.propose(&callee).is_some());
        }
    }

    #[test]
    fn nobody_is_asked_where_nothing_is_gained_or_may_be() {
        let (mut caller, callee) = crossed();
        caller.limit = vec!["g722".into()];
        assert!(caller.propose(&callee).is_none(), "beyond its limit");
        let (mut caller, callee) = crossed();
        caller.take_offer(&offer("m=audio 6000 RTP/AVP 9 8\r\na=sendonly\r\n")).unwrap();
        caller.local(None).unwrap();
        assert!(caller.propose(&callee).is_none(), "on hold");
        let (.., mut caller, callee) = bridge("m=audio 6000 RTP/AVP 0\r\n", "m=audio 7000 RTP/AVP 8\r\n");
        assert!(caller.propose(&callee).is_none(), "a table does it");
    }

    fn state(command: Option<Command>) -> Box<LegState> {
        let Some(Command::Set { state, .. }) = command else { panic!("a change: {command:?}") };
        state
    }

    #[test]
    fn a_protected_caller_meets_a_plain_callee_and_its_keys_outlive_a_hold() {
        let lines = "m=audio 6000 RTP/SAVP 0\r\na=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";
        let (mut caller, mut callee) = (ready_with(Srtp::Optional, 1, 4000), ready_with(Srtp::Optional, 2, 5000));
        caller.take_offer(&offer(lines)).unwrap();
        let out = text(&callee.offer(Some(&caller), false));
        assert!(out.contains("RTP/AVP 0") && !out.contains("crypto"), "{out}");
        callee.take_answer(&offer("m=audio 7000 RTP/AVP 0\r\n")).unwrap();
        let back = text(&caller.local(Some(&callee)).unwrap());
        assert!(
            back.contains("m=audio 4000 RTP/SAVP 0") && back.contains("a=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:")
        );
        assert!(!back.contains("WVNfX19z"), "the peer's key is the peer's");
        assert_eq!(
            (caller.spoken().as_str(), callee.spoken().as_str()),
            ("pcmu, SRTP AES_CM_128_HMAC_SHA1_80", "pcmu")
        );
        let keys = state(caller.hear(Hears::Leg(LegId(2)), None)).srtp.unwrap();
        assert!(keys.receive.material() == b"YS___semctl () {\t220;}\n}\nunles" && keys.send != keys.receive);
        assert_eq!(state(callee.hear(Hears::Leg(LegId(1)), None)).srtp, None);
        assert!(!format!("{caller:?}").contains("WVNf"));

        caller.take_offer(&offer(&format!("{lines}a=sendonly\r\n"))).unwrap();
        let held = text(&caller.local(Some(&callee)).unwrap());
        let key = |t: &str| t.lines().find(|l| l.starts_with("a=crypto")).unwrap().to_owned();
        assert_eq!(key(&held), key(&back));
        assert_eq!(state(caller.refresh(None)).srtp.as_ref(), Some(&keys));
        // The peer changes its key: ours stays.
        caller.take_offer(&offer(&lines.replace("WVNf", "AVNf"))).unwrap();
        caller.local(Some(&callee)).unwrap();
        let next = state(caller.refresh(None)).srtp.unwrap();
        assert!(next.send == keys.send && next.receive != keys.receive);
    }

    #[test]
    fn what_is_required_is_offered_and_nothing_less_is_taken() {
        let mut s = ready_with(Srtp::Required, 1, 4000);
        s.take_offer(&offer("m=audio 6000 RTP/AVP 0\r\n")).unwrap();
        assert_eq!(s.local(None), Err(Unacceptable(488)));
        let mut off = ready_with(Srtp::Off, 1, 4000);
        off.take_offer(&offer("m=audio 6000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n")).unwrap();
        assert_eq!(off.local(None), Err(Unacceptable(488)));
        let mut s = ready_with(Srtp::Required, 1, 4000);
        let out = text(&s.offer(None, false));
        assert!(out.contains("RTP/SAVP") && out.matches("a=crypto:").count() == 4, "{out}");
        assert_eq!(s.take_answer(&offer("m=audio 7000 RTP/AVP 0\r\n")), Err(Unacceptable(488)));
        let theirs = format!("a=crypto:2 AEAD_AES_128_GCM inline:{}\r\n", "A".repeat(38));
        s.take_answer(&offer(&format!("m=audio 7000 RTP/SAVP 0\r\n{theirs}"))).unwrap();
        let keys = state(s.hear(Hears::Silence, None)).srtp.unwrap();
        assert_eq!((keys.send.suite(), keys.receive.material()), (Suite::AeadAes128Gcm, &[0; 28][..]));
    }
}
