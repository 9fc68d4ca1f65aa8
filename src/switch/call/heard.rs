//! What legs and media tell the call.

use super::{Call, Doing};
use crate::b2bua::leg::{Asked, Heard, Leg};
use crate::event::{Class, Ending, Side, What};
use crate::media::command::{self as media, PlayId};
use crate::switch::transfer::Wish;
use crate::switch::world::{LegRef, World};
use crate::verb::Outcome;
use std::net::SocketAddr;

impl Call {
    pub fn on_asked(&mut self, w: &mut World, index: u8, asked: Asked) {
        if matches!(asked, Asked::Bye) {
            self.pass_cause(w, index);
            self.texts_lost(w, index);
        }
        match asked {
            Asked::Nothing => {}
            Asked::Bye if self.seeks_party() => self.on_refused(w, index, 487, ""),
            Asked::Bye if index == 0 => self.finish(w, Ending::new(self.class_of_party(), "hangup", 0)),
            Asked::Bye => self.on_leg_lost(w, index, Ending::new(Class::Callee, "hangup", 0)),
            Asked::Pracked { body } => self.on_pracked(w, index, &body),
            Asked::Reoffer { body } => self.on_reoffer(w, index, body),
            Asked::Refer(to) => w.wish(Wish::Refer { me: LegRef { call: self.key, leg: index }, to }),
            Asked::ReferTold { status } => self.on_refer_told(w, index, status),
            Asked::Text(id, text) => self.on_text(w, index, id, *text),
            Asked::Info { body } => body.iter().for_each(|body| self.on_info(w, index, body)),
        }
    }

    pub fn on_heard(&mut self, w: &mut World, index: u8, heard: Heard) {
        match heard {
            Heard::Nothing | Heard::Ended => {}
            Heard::Progress { status, body } => self.on_progress(w, index, status, body),
            Heard::Answered { body } => {
                // What others have refused with is not why this one will end.
                self.legs.iter_mut().for_each(|leg| leg.tell_cause(None));
                self.on_answered(w, index, body);
            }
            Heard::Refused { status, reason } => {
                self.pass_cause(w, index);
                self.on_refused(w, index, status, &reason);
            }
            Heard::Referred { status } => self.on_referred(w, index, status),
            Heard::TextAnswered { writer, octets, status } => self.on_text_answered(w, writer, octets, status),
            Heard::Refreshed => self.refresh_media(w, index),
            Heard::Reoffered { status, body } => {
                self.on_reoffered(w, index, status, body);
                let lost = self.legs.get(usize::from(index)).is_some_and(|l| !l.is_alive());
                if lost {
                    self.on_leg_lost(w, index, Ending::new(Class::Peer, "reinvite_failed", status));
                }
            }
        }
    }

    /// The cause that a leg's peer has given is told to whoever loses its call by that (RFC 3326 §2).
    pub fn pass_cause(&mut self, w: &mut World, index: u8) {
        let cause = self.legs.get(usize::from(index)).and_then(Leg::cause);
        if let Some(cause) = cause {
            self.note(w, Side::Leg(index), What::Note(format!("Q.850 cause {cause}").into()));
        }
        // Of those who ring side by side, none ends since another has refused.
        let loses = |leg: &&mut Leg| leg.index != index && leg.is_alive() && (index == 0 || leg.index == 0);
        let others = self.legs.iter_mut().filter(loses);
        others.for_each(|leg| leg.tell_cause(cause));
    }

    /// A leg that was up is gone or going: the caller's ends the call, the joined one's leaves the rest to the script.
    pub fn on_leg_lost(&mut self, w: &mut World, index: u8, ending: Ending) {
        if self.arrival_lost(w, index) {
            return;
        }
        match self.doing {
            _ if index == 0 && !self.seeks_party() => self.finish(w, ending),
            _ if index == self.front && self.aside.is_some() => self.end_aside(w, false),
            Doing::Bridged(callee) if callee == index => self.on_callee_left(w, ending),
            _ => {}
        }
    }

    pub fn on_media(&mut self, w: &mut World, event: media::Event) {
        match event {
            media::Event::Opened { leg, rtp } => self.on_media_opened(w, leg, rtp),
            media::Event::OpenFailed { leg, why } => self.on_media_open_failed(w, leg, why),
            media::Event::PlayEnded { id, played, .. } => self.on_play_ended(w, id, played),
            media::Event::Latched { leg, source } => self.media_note(w, leg, format!("RTP from {source}")),
            media::Event::Refused { leg, source } => {
                self.media_note(w, leg, format!("foreign RTP from {source} refused"))
            }
            media::Event::Unprotected { leg, source } => {
                self.media_note(w, leg, format!("RTP from {source} refused: the SRTP key does not fit"))
            }
            media::Event::Digit { leg, digit, duration_ms, method } => {
                if let Some(index) = self.leg_of(leg) {
                    let duration_ms = u16::try_from(duration_ms).unwrap_or(u16::MAX);
                    self.on_digit(w, index, media::Press { digit, duration_ms }, method);
                }
            }
            media::Event::Unheard { leg } => self.on_unheard(w, leg),
            media::Event::Timeout { leg } => self.on_media_timeout(w, leg),
            media::Event::Speaker { .. } | media::Event::RoomPlayEnded { .. } => {}
            media::Event::Closed { leg, quality } => {
                if let Some(index) = self.leg_of(leg) {
                    self.legs[usize::from(index)].session.closed(quality);
                }
            }
        }
    }

    fn media_note(&mut self, w: &World, leg: media::LegId, text: String) {
        if let Some(index) = self.leg_of(leg) {
            self.note(w, Side::Leg(index), What::Media(text.into()));
        }
    }

    pub fn on_media_opened(&mut self, w: &mut World, leg: media::LegId, rtp: SocketAddr) {
        let seed = w.ep.rng().next_u64();
        let rtp = self.seen_from(w, leg, rtp);
        if !self.seeks_party() && self.legs[0].session.media() == Some(leg) {
            self.legs[0].session.opened(rtp, seed);
            self.on_settling(w, 0);
            match std::mem::replace(&mut self.doing, Doing::Nothing) {
                Doing::AwaitMedia(action) => self.go_on_with(w, action),
                other => self.doing = other,
            }
        } else if let Some(index) = self.arriving_by(leg) {
            self.on_arrival_media(w, index, Some((rtp, seed)));
        } else {
            self.on_attempt_media(w, leg, Some((rtp, seed)));
        }
    }

    /// What the leg's peer knows our address by.
    fn seen_from(&self, w: &World, leg: media::LegId, rtp: SocketAddr) -> SocketAddr {
        let of = self.legs.iter().find(|l| l.session.media() == Some(leg));
        let peer = of.map(|l| l.dialog().flow().peer.ip());
        SocketAddr::new(peer.map_or(rtp.ip(), |peer| w.ep.outward(peer, rtp.ip())), rtp.port())
    }

    pub fn on_media_open_failed(&mut self, w: &mut World, leg: media::LegId, why: &'static str) {
        self.note(w, Side::Call, What::Media(format!("no media port: {why}").into()));
        if !self.seeks_party() && self.legs[0].session.media() == Some(leg) {
            self.legs[0].session.forget();
            self.finish(w, Ending::new(Class::Tandem, "no_media_port", 503));
        } else if let Some(index) = self.arriving_by(leg) {
            self.on_arrival_media(w, index, None);
        } else {
            self.on_attempt_media(w, leg, None);
        }
    }

    pub fn on_play_ended(&mut self, w: &mut World, id: PlayId, played: bool) {
        if matches!(self.doing, Doing::Beeping(beep, _) if beep == id)
            && let Doing::Beeping(_, record) = std::mem::replace(&mut self.doing, Doing::Nothing)
        {
            if let Some(outcome) = self.message_begins(w, record) {
                self.step_done(w, outcome);
            }
            return;
        }
        self.own_tune_ends(w, Some(id));
        self.on_list_play_ended(w, id, played);
        if matches!(self.doing, Doing::Playing(playing) if playing == id) {
            if !played {
                self.note(w, Side::Leg(0), What::Media("the prompt could not be played".into()));
            }
            self.step_done(w, if played { Outcome::Done } else { Outcome::Failed });
        }
    }

    /// A party that is to speak has sent nothing for some seconds.
    fn on_unheard(&mut self, w: &mut World, leg: media::LegId) {
        let joined = self.leg_of(leg).is_some_and(|index| self.partner(index).is_some());
        let what = if joined { "no RTP for 5 s: the other party hears nothing" } else { "no RTP for 5 s" };
        self.media_note(w, leg, what.to_owned());
    }

    pub fn on_media_timeout(&mut self, w: &mut World, leg: media::LegId) {
        let Some(index) = self.leg_of(leg) else { return };
        self.note(w, Side::Leg(index), What::Media("no RTP from the peer".into()));
        if index != 0 && self.transferor() == Some(index) {
            self.with_leg(w, index, |leg, ep, now| leg.hang_up(ep, now, 0, ""));
            return;
        }
        self.finish(w, Ending::new(Class::Peer, "rtp_timeout", 0));
    }

    pub fn leg_of(&self, media: media::LegId) -> Option<u8> {
        self.legs.iter().position(|l| l.session.media() == Some(media)).map(|i| i as u8)
    }
}
