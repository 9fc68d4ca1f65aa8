//! A party that the script sends elsewhere (Twilio's Refer): the REFER goes to whom the script speaks to (RFC 3515), and the step is over
//! when its NOTIFYs say how the new call went. What the party does with the call that it has with us is its affair: phones end it.

use super::{Call, Doing, TRANSFERS_MAX};
use crate::b2bua::leg::Leg;
use crate::base::time::Duration;
use crate::event::{Side, TransferCdr, TransferKind, What};
use crate::media::command::Hears;
use crate::sip::wire::Uri;
use crate::switch::dialing::escape_user;
use crate::switch::world::{CallTimer, World};
use crate::verb::{Outcome, Refer};
use crate::web::Parameters;

/// How long a party may take to tell how its new call goes: as long as its subscription usually lives.
const TOLD_WITHIN: Duration = Duration::from_secs(180);
/// "Dial->Sip: Invalid SIP URI".
const INVALID_URI: u32 = 13_243;

/// A REFER of the script's.
#[derive(Debug)]
pub struct Referring {
    refer: Refer,
    /// False: the ACK of our 200 is awaited, since an early dialog takes no REFER.
    is_sent: bool,
    /// What was answered to the REFER.
    answered: Option<u16>,
    /// What the latest NOTIFY told of the new call.
    told: Option<u16>,
}

impl Referring {
    /// What the application is told, by Twilio's "TwiML Voice: Refer".
    fn parameters(&self, is_cancelled: bool) -> Parameters {
        let refused = self.answered.is_some_and(|status| status >= 300);
        let status = match self.told {
            _ if is_cancelled => Some("canceled"),
            _ if refused => Some("failed"),
            Some(100..=199) => Some("ringing"),
            told => told.map(|told| match outcome(told) {
                Outcome::Done => "in-progress",
                Outcome::Busy => "busy",
                Outcome::NoAnswer => "no-answer",
                _ => "failed",
            }),
        };
        let told = [
            ("ReferCallStatus", status.map(str::to_owned)),
            ("ReferSipResponseCode", self.answered.map(|status| status.to_string())),
            ("NotifySipResponseCode", self.told.map(|status| status.to_string())),
        ];
        told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// How the new call of the one who was referred went.
const fn outcome(status: u16) -> Outcome {
    match status {
        200..=299 => Outcome::Done,
        486 | 600 => Outcome::Busy,
        408 | 480 | 487 | 603 => Outcome::NoAnswer,
        _ => Outcome::Failed,
    }
}

impl Call {
    /// Begins to send the caller elsewhere; the outcome if that cannot be.
    pub fn send_away(&mut self, w: &mut World, refer: Refer) -> Option<Outcome> {
        let is_one = |uri: &str| {
            let is_clean = !uri.contains(|c: char| c.is_whitespace() || c.is_control() || "<>\"".contains(c));
            is_clean && Uri::parse(uri).is_some_and(|uri| !uri.host.is_empty())
        };
        if !is_one(&refer.uri) {
            let text = format!("{INVALID_URI} Refer: {:?} is no SIP address", refer.uri);
            self.note(w, Side::Call, What::Note(text.into()));
            return Some(Outcome::Failed);
        }
        let (to, by) = (refer.uri.clone(), "script".to_owned());
        self.note(w, Side::Call, What::Note(format!("{}: {by} to {to}", TransferKind::Passed.as_str()).into()));
        if self.transfers.len() < TRANSFERS_MAX {
            let kind = TransferKind::Passed;
            self.transfers.push(TransferCdr { at: w.now.wall, kind, by, to, status: 0, call: None });
        }
        self.hear(w, 0, Hears::Silence);
        self.doing = Doing::Referring(Box::new(Referring { refer, is_sent: false, answered: None, told: None }));
        self.set_timer(w, CallTimer::Step, TOLD_WITHIN);
        self.send_refer(w);
        None
    }

    /// The dialog is confirmed, or was already: the REFER goes out.
    pub fn send_refer(&mut self, w: &mut World) {
        let Doing::Referring(referring) = &mut self.doing else { return };
        if referring.is_sent || !self.legs.first().is_some_and(Leg::is_up) {
            return;
        }
        referring.is_sent = true;
        let to = format!("<{}>", referring.refer.uri);
        let by = format!("<sip:{}@{}>", escape_user(&self.to), w.config.sip.domain);
        let sent = self.with_leg(w, 0, |leg, ep, now| leg.refer(ep, now, &to, &by));
        if sent != Some(true) {
            self.note(w, Side::Leg(0), What::Note("it is referred already".into()));
            self.referred(w, Outcome::Failed, 491);
        }
    }

    /// The caller's answer to the REFER; true if it was the script's.
    pub fn on_refer_answered(&mut self, w: &mut World, index: u8, status: u16) -> bool {
        let Doing::Referring(referring) = &mut self.doing else { return false };
        if index != 0 {
            return false;
        }
        referring.answered = Some(status);
        if status >= 300 {
            self.referred(w, Outcome::Failed, status);
        }
        true
    }

    /// How the caller gets on where it was sent; true if it was by the script.
    pub fn on_refer_notified(&mut self, w: &mut World, index: u8, status: u16) -> bool {
        let Doing::Referring(referring) = &mut self.doing else { return false };
        if index != 0 {
            return false;
        }
        referring.told = Some(status);
        // A NOTIFY may overtake the 202 (RFC 3515 §2.4.4).
        referring.answered = referring.answered.or(Some(202));
        if status >= 200 {
            self.referred(w, outcome(status), status);
        }
        true
    }

    /// Nobody has told in time; false if the timer was another's.
    pub fn on_refer_timer(&mut self, w: &mut World) -> bool {
        if !matches!(self.doing, Doing::Referring(_)) {
            return false;
        }
        self.note(w, Side::Leg(0), What::Note("it has not told how it got on".into()));
        self.referred(w, Outcome::Failed, 408);
        true
    }

    /// It is over: the application is asked what follows, or the next step does.
    fn referred(&mut self, w: &mut World, outcome: Outcome, status: u16) {
        let Doing::Referring(referring) = std::mem::replace(&mut self.doing, Doing::Nothing) else { return };
        self.cancel_timer(w, CallTimer::Step);
        self.transfer_ends(status);
        self.took_time();
        let parameters = referring.parameters(false);
        let is_asked = referring.refer.action.as_ref().is_some_and(|action| self.ask(w, action, parameters));
        if !is_asked {
            self.step_done(w, outcome);
        }
    }

    /// The call ends before the caller has told: the application is told so, and nothing it says counts.
    pub fn refer_ends(&mut self, w: &mut World) {
        let Doing::Referring(referring) = &self.doing else { return };
        let Some(action) = &referring.refer.action else { return };
        let (address, parameters) = (self.address(action), referring.parameters(true));
        if !address.url.is_empty() {
            self.call_back(w, address, parameters);
        }
    }
}
