//! Session timers (RFC 4028), in both roles: what is asked for, what is agreed, who refreshes, and when a session that nobody has
//! refreshed is over.

use super::{Heard, Leg, State};
use crate::b2bua::endpoint::{Body, Endpoint, MAX_FORWARDS};
use crate::base::time::{Duration, Instant, Now};
use crate::config::{Refresher, SESSION_MIN_S, SessionTimers};
use crate::sip::auth::Tries;
use crate::sip::transaction::ClientId;
use crate::sip::wire::{HeaderName, Message, Method, Writer};

/// How often a 422 is answered with a longer interval.
const RAISES_MAX: u8 = 3;
/// The longest interval that is raised to: a day.
const EXPIRES_MAX_S: u32 = 86_400;

/// The leg's session timer.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    /// What the peer's last INVITE or UPDATE said.
    asked: Option<Terms>,
    /// What a 422 has raised our wish to; 0 if none has.
    raised_s: u32,
    raises: u8,
    agreed: Option<Agreed>,
    /// The next thing to do.
    due: Option<Instant>,
    /// `due` has changed since the call looked.
    changed: bool,
    /// Our UPDATE under way, and whether it has answered a challenge.
    update: Option<(ClientId, bool)>,
    /// The peer took no UPDATE: re-INVITE.
    no_update: bool,
}

/// Headers of a message that may set a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    expires_s: Option<u32>,
    min_s: u32,
    /// `refresher=uas`: true.
    refresher_is_uas: Option<bool>,
    supported: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Agreed {
    interval_s: u32,
    ours: bool,
    /// The session is over then.
    end: Instant,
}

impl Terms {
    pub fn of(message: &Message) -> Terms {
        let value = message.header(HeaderName::SessionExpires).unwrap_or_default();
        let mut parameters = value.split(';').skip(1).filter_map(|p| p.split_once('='));
        let refresher = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("refresher"));
        Terms {
            expires_s: message.number(HeaderName::SessionExpires).map(|s| s.min(EXPIRES_MAX_S)),
            min_s: message.number(HeaderName::MinSe).unwrap_or(SESSION_MIN_S).min(EXPIRES_MAX_S),
            refresher_is_uas: refresher.map(|(_, who)| who.trim().eq_ignore_ascii_case("uas")),
            supported: message.lists(HeaderName::Supported, "timer") || message.lists(HeaderName::Require, "timer"),
        }
    }

    /// The interval of our 200, and whether we, the UAS, refresh (§9 and its table 2).
    fn answered(self, wish: SessionTimers) -> Option<(u32, bool)> {
        let own = (wish.expires_s > 0).then(|| wish.expires_s.max(self.min_s));
        let interval = match (self.expires_s, own) {
            (Some(asked), Some(own)) => asked.min(own),
            (asked, own) => asked.or(own)?,
        };
        let interval = interval.max(SESSION_MIN_S);
        let ours = match self.refresher_is_uas {
            _ if !self.supported => true,
            Some(uas) => uas,
            None => wish.refresher == Refresher::Us,
        };
        Some((interval, ours))
    }
}

/// A peer asks for a shorter session than we keep up (§9): 422 with this Min-SE.
pub fn too_short(request: &Message, wish: SessionTimers) -> Option<u32> {
    let terms = Terms::of(request);
    // A 422 helps only who knows it.
    terms.expires_s.filter(|s| *s < wish.min_se_s && terms.supported).map(|_| wish.min_se_s)
}

impl Expiry {
    pub fn asked(&mut self, request: &Message) {
        self.asked = Some(Terms::of(request));
    }

    /// Writes what our 2xx says of the timer, and starts it.
    pub fn write_answer(&mut self, writer: Writer, wish: SessionTimers, now: Instant) -> Writer {
        let Some(asked) = self.asked else { return writer };
        let Some((interval_s, ours)) = asked.answered(wish) else {
            self.stop();
            return writer;
        };
        self.start(now, interval_s, ours);
        let writer = if ours { writer } else { writer.header(HeaderName::Require, "timer") };
        let who = if ours { "uas" } else { "uac" };
        writer.header(HeaderName::SessionExpires, format_args!("{interval_s};refresher={who}"))
    }

    /// Writes what an INVITE or UPDATE of ours asks for.
    pub fn write_request(&self, writer: Writer, wish: SessionTimers) -> Writer {
        let interval_s = self.agreed.map_or(wish.expires_s, |a| a.interval_s).max(self.raised_s);
        if interval_s == 0 {
            return writer;
        }
        let ours = match (self.agreed, wish.refresher) {
            (Some(agreed), _) => Some(agreed.ours),
            (None, Refresher::Us) => Some(true),
            (None, Refresher::Peer) => Some(false),
            (None, Refresher::Auto) => None,
        };
        let who = ours.map_or("", |ours| if ours { ";refresher=uac" } else { ";refresher=uas" });
        let writer = writer.header(HeaderName::SessionExpires, format_args!("{interval_s}{who}"));
        let min_s = wish.min_se_s.max(self.raised_s);
        if min_s > SESSION_MIN_S { writer.header(HeaderName::MinSe, min_s) } else { writer }
    }

    /// Takes what a 2xx to our INVITE or UPDATE says (§7.2). A peer that says nothing is refreshed by us if we asked for that.
    pub fn agree(&mut self, response: &Message, wish: SessionTimers, now: Instant) {
        let terms = Terms::of(response);
        let asked_s = self.agreed.map_or(wish.expires_s, |a| a.interval_s).max(self.raised_s);
        match terms.expires_s {
            Some(interval_s) => self.start(now, interval_s.max(SESSION_MIN_S), terms.refresher_is_uas != Some(true)),
            None if asked_s > 0 => self.start(now, asked_s, true),
            None => self.stop(),
        }
    }

    /// A 422: true if we ask again, for longer.
    pub fn raise(&mut self, response: &Message) -> bool {
        let min_s = response.number(HeaderName::MinSe).unwrap_or(0);
        let asked = self.raised_s.max(self.agreed.map_or(0, |a| a.interval_s));
        if min_s <= asked || min_s > EXPIRES_MAX_S || self.raises >= RAISES_MAX {
            return false;
        }
        (self.raised_s, self.raises) = (min_s, self.raises + 1);
        true
    }

    /// Half the interval for who refreshes; a third of it, 32 s at most, before its end for who waits for that (§10).
    fn start(&mut self, now: Instant, interval_s: u32, ours: bool) {
        let interval = Duration::from_secs(u64::from(interval_s));
        let margin = Duration::from_secs(u64::from((interval_s / 3).min(32)));
        let end = now + interval.saturating_sub(margin);
        self.agreed = Some(Agreed { interval_s, ours, end });
        self.schedule(if ours { now + Duration::from_secs(u64::from(interval_s / 2)) } else { end });
    }

    fn stop(&mut self) {
        (self.agreed, self.due, self.changed) = (None, None, true);
    }

    fn schedule(&mut self, at: Instant) {
        self.due = Some(self.agreed.map_or(at, |a| at.min(a.end)));
        self.changed = true;
    }
}

impl Leg {
    /// When [`Leg::on_session_due`] is to be called.
    pub const fn session_timer(&self) -> Option<Instant> {
        self.expiry.due
    }

    /// When [`Leg::on_session_due`] is to be called, if that has changed.
    pub fn session_due(&mut self) -> Option<Option<Instant>> {
        if !self.is_alive() && self.expiry.due.take().is_some() {
            return Some(None);
        }
        std::mem::take(&mut self.expiry.changed).then_some(self.expiry.due)
    }

    /// Refreshes the session, or ends it if nobody has; true if it is over.
    pub fn on_session_due(&mut self, ep: &mut Endpoint, now: Now) -> bool {
        let (State::Up, Some(agreed)) = (self.state, self.expiry.agreed) else { return false };
        if now.mono >= agreed.end {
            self.send_bye(ep, now, Some("Session Expired"));
            return true;
        }
        if agreed.ours {
            // Until the refresh is answered, the end is what is waited for.
            self.expiry.schedule(agreed.end);
            self.refresh_session(ep, now, false);
        }
        false
    }

    /// By UPDATE where the peer takes it, which no offer need go with (§7.4); else by a re-INVITE with what we said last.
    fn refresh_session(&mut self, ep: &mut Endpoint, now: Now, again: bool) {
        let by_update = self.takes_update && !self.expiry.no_update;
        let described = if by_update || !self.session.is_ready() { None } else { self.session.local(None).ok() };
        match described {
            Some(body) if self.may_reoffer() => {
                if let Some(id) = self.reoffer(ep, now, Some(&body)) {
                    self.refreshing = Some(id);
                }
            }
            // A re-INVITE of somebody's is under way: it refreshes the session itself, or we try again.
            Some(_) => self.expiry.schedule(now.mono + Duration::from_secs(2)),
            None => self.send_update(ep, now, again),
        }
    }

    fn send_update(&mut self, ep: &mut Endpoint, now: Now, again: bool) {
        let contact = ep.contact(self.dialog.flow());
        let authorization = self.authorization(ep, Method::Update);
        let (expiry, wish) = (&self.expiry, ep.session_timers);
        let id = ep.request(now.mono, &mut self.dialog, Method::Update, MAX_FORWARDS, |mut w| {
            for (name, value) in authorization {
                w = w.header(name, value);
            }
            w = w.header(HeaderName::Contact, contact).header(HeaderName::Supported, crate::b2bua::endpoint::SUPPORTED);
            expiry.write_request(w, wish).finish()
        });
        self.expiry.update = Some((id, again));
    }

    /// A response to the UPDATE that refreshes; `None` if it is another request's.
    pub(super) fn on_update_response(
        &mut self,
        ep: &mut Endpoint,
        now: Now,
        id: ClientId,
        response: &Message,
    ) -> Option<Heard> {
        let (_, again) = self.expiry.update.filter(|(known, _)| *known == id)?;
        let status = response.status();
        if status < 200 {
            return Some(Heard::Nothing);
        }
        self.expiry.update = None;
        if self.state != State::Up {
            return Some(Heard::Nothing);
        }
        match status {
            200..=299 => {
                self.dialog.refresh_target(response);
                self.expiry.agree(response, ep.session_timers, now.mono);
            }
            422 if self.expiry.raise(response) => self.refresh_session(ep, now, false),
            401 | 407 if !again => {
                let digest = self.digest.as_mut();
                if digest.is_some_and(|d| d.client.challenged(response, &mut Tries::default()).is_ok()) {
                    self.send_update(ep, now, true);
                }
            }
            408 | 481 => {
                self.send_bye(ep, now, None);
                return Some(Heard::Reoffered { status, body: None });
            }
            491 | 500 => {
                let after = self.glare_delay(ep);
                self.expiry.schedule(now.mono + after);
            }
            _ => {
                self.expiry.no_update = true;
                self.refresh_session(ep, now, false);
            }
        }
        Some(Heard::Nothing)
    }

    /// Our UPDATE got no response: the dialog is gone (RFC 3261 §12.2.1.2).
    pub(super) fn on_update_lost(&mut self, ep: &mut Endpoint, now: Now, id: ClientId, status: u16) -> Option<Heard> {
        self.expiry.update.take_if(|(known, _)| *known == id)?;
        if self.state == State::Up {
            self.send_bye(ep, now, None);
        }
        Some(Heard::Reoffered { status, body: None })
    }

    /// The re-INVITE that refreshes was refused: asked again where that helps; else the session ends when its time is over.
    pub(super) fn on_refresh_refused(&mut self, ep: &mut Endpoint, now: Now, response: &Message) {
        match response.status() {
            422 if self.expiry.raise(response) => self.refresh_session(ep, now, false),
            491 | 500 => {
                let after = self.glare_delay(ep);
                self.expiry.schedule(now.mono + after);
            }
            401 | 407 => {
                let digest = self.digest.as_mut();
                if digest.is_some_and(|d| d.client.challenged(response, &mut Tries::default()).is_ok()) {
                    self.expiry.schedule(now.mono + Duration::from_secs(1));
                }
            }
            _ => {}
        }
    }

    /// How long to wait after a 491 before asking again (RFC 3261 §14.1): 2.1 to 4 s for whose Call-ID it is, else up to 2 s.
    pub fn glare_delay(&self, ep: &mut Endpoint) -> Duration {
        let tens = if self.invite_in.is_none() { 210 + ep.rng().below(191) } else { ep.rng().below(201) };
        Duration::from_millis(tens * 10)
    }

    /// The answer to the re-INVITE that refreshes: the session is as it was, or the peer has changed it with that.
    pub(super) fn on_refreshed(&mut self, body: Option<Body>) -> Heard {
        if let Some(body) = body {
            // What the peer says now is no reason to end what worked until now.
            let _ = self.session.take_answer(&body);
        }
        Heard::Refreshed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn message(headers: &str) -> Message {
        let text = format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKq\r\nFrom: <sip:b@b>;tag=1\r\nTo: <sip:a@a>\r\nCall-ID: c1\r\n\
             CSeq: 1 INVITE\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text)).expect("a test message parses")
    }

    const OFF: SessionTimers = SessionTimers { expires_s: 0, min_se_s: 90, refresher: Refresher::Auto };
    const ON: SessionTimers = SessionTimers { expires_s: 600, min_se_s: 120, refresher: Refresher::Us };

    #[test]
    fn what_is_asked_is_answered_and_what_is_not_is_ours_to_wish() {
        let rows = [
            ("", OFF, None),
            ("Session-Expires: 300\r\nSupported: timer\r\n", OFF, Some((300, false))),
            ("x: 300;refresher=uas\r\nk: timer\r\n", OFF, Some((300, true))),
            ("Session-Expires: 300; refresher=UAC\r\nSupported: timer\r\n", ON, Some((300, false))),
            ("Session-Expires: 3000\r\nSupported: timer\r\n", ON, Some((600, true))),
            ("Session-Expires: 3000\r\nMin-SE: 2000\r\nSupported: timer\r\n", ON, Some((2000, true))),
            ("Session-Expires: 300;refresher=uac\r\n", OFF, Some((300, true))),
            ("", ON, Some((600, true))),
            ("Supported: timer\r\n", ON, Some((600, true))),
            ("Session-Expires: x\r\n", OFF, None),
        ];
        for (headers, wish, want) in rows {
            assert_eq!(Terms::of(&message(headers)).answered(wish), want, "{headers}");
        }
    }

    #[test]
    fn a_short_session_is_refused_to_who_knows_why() {
        let short = message("Session-Expires: 100\r\nSupported: timer\r\n");
        assert_eq!((too_short(&short, ON), too_short(&short, OFF)), (Some(120), None));
        assert_eq!(too_short(&message("Session-Expires: 100\r\n"), ON), None);
    }

    #[test]
    fn who_refreshes_does_so_at_half_and_who_waits_gives_up_before_the_end() {
        let at = |s: u64| Instant::ZERO + Duration::from_secs(s);
        for (headers, due, end) in [
            ("Session-Expires: 300;refresher=uac\r\n", 150, 268),
            ("Session-Expires: 300;refresher=uas\r\n", 268, 268),
            ("Session-Expires: 90;refresher=uas\r\n", 60, 60),
            ("Session-Expires: 1;refresher=uas\r\n", 60, 60),
            ("", 300, 568),
        ] {
            let mut expiry = Expiry::default();
            expiry.agree(&message(headers), ON, at(0));
            assert_eq!((expiry.due, expiry.agreed.unwrap().end), (Some(at(due)), at(end)), "{headers}");
        }
        let mut none = Expiry::default();
        none.agree(&message(""), OFF, at(0));
        assert_eq!((none.due, none.agreed), (None, None));
    }

    #[test]
    fn a_422_is_answered_with_more_and_not_for_ever() {
        let mut expiry = Expiry::default();
        let longer = |s: u32| message(&format!("Min-SE: {s}\r\n"));
        assert!(expiry.raise(&longer(700)) && !expiry.raise(&longer(700)) && !expiry.raise(&message("")));
        assert!(expiry.raise(&longer(800)) && expiry.raise(&longer(900)) && !expiry.raise(&longer(1000)));
        let written = expiry.write_request(Writer::request("INVITE", "sip:a@b"), ON).finish();
        let written = String::from_utf8_lossy(&written).into_owned();
        assert!(
            written.contains("Session-Expires: 900;refresher=uac\r\n") && written.contains("Min-SE: 900\r\n"),
            "{written}"
        );
    }
}
