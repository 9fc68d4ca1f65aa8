//! Agent-assisted Pay, by the REST resource Payments: an application says which field a party enters next, while it talks to somebody. That
//! one hears no digit of it (`Tones::Sealed`).

use super::entry::{Entry, Took, Verdict};
use super::gateway::{Gateway, Next, Settled};
use super::{NO_CONNECTOR, hook_address, progress, told, wrong};
use crate::event::{CallId, Side, What};
use crate::media::command::Tones;
use crate::switch::Switch;
use crate::switch::call::Call;
use crate::switch::io::{Output, Reply};
use crate::switch::world::{CallTimer, World};
use crate::verb::pay::{Field, Pay};
use crate::web::{self, FetchId, Parameters};
use std::sync::Arc;

/// What REST asks of a payment.
#[derive(Debug)]
pub enum PaymentAsk {
    /// Answered by [`Reply::Payment`].
    Begin {
        key: String,
        pay: Box<Pay>,
    },
    Capture {
        sid: String,
        field: Field,
    },
    /// True: the gateway takes it; false: it is forgotten.
    End {
        sid: String,
        completes: bool,
    },
}

/// A payment that an application conducts.
#[derive(Debug)]
pub struct Assisted {
    sid: String,
    /// By which the application tells it from others.
    key: String,
    leg: u8,
    entry: Entry,
    field: Option<Field>,
    status: Arc<str>,
    charging: Option<(FetchId, Gateway)>,
}

impl Assisted {
    pub const fn leg(&self) -> u8 {
        self.leg
    }
}

impl Switch {
    pub(in crate::switch) fn payment(&mut self, sid: CallId, status: Arc<str>, ask: PaymentAsk) -> Reply {
        // A leg's name is its call's, counted up: see `Call::leg_sid`.
        let found = (0..8u8).find_map(|leg| {
            let call = CallId(sid.0.wrapping_sub(u128::from(leg)));
            self.ids.get(&call).map(|key| (*key, leg))
        });
        let Some((key, leg)) = found else { return Reply::NotFound };
        let mut reply = Reply::NotFound;
        self.with_call(key, |call, w| reply = call.on_payment(w, leg, status, ask));
        reply
    }
}

impl Call {
    fn on_payment(&mut self, w: &mut World, leg: u8, status: Arc<str>, ask: PaymentAsk) -> Reply {
        let is_there = self.legs.get(usize::from(leg)).is_some_and(|l| l.is_alive() && l.answered.is_some());
        if self.ending.is_some() || !is_there && (leg != 0 || self.answered.is_none()) {
            return Reply::NotFound;
        }
        match ask {
            PaymentAsk::Begin { key, pay } => self.begin_payment(w, leg, status, (key, *pay)),
            PaymentAsk::Capture { sid, field } => {
                let Some(assisted) = self.assisted.as_mut().filter(|a| a.sid == sid) else { return Reply::NotFound };
                if assisted.charging.is_some() || !assisted.entry.pay.fields().contains(&field) {
                    return Reply::Refused(format!("{} is not asked for now", field.as_str()));
                }
                assisted.status = status;
                assisted.field = Some(field);
                assisted.entry.begin(field);
                self.note(w, Side::Leg(leg), What::Note(format!("payment: {} is captured", field.as_str()).into()));
                self.tell_assisted(w, Parameters::new());
                Reply::Payment(sid)
            }
            PaymentAsk::End { sid, completes } => {
                let Some(assisted) = self.assisted.as_mut().filter(|a| a.sid == sid) else { return Reply::NotFound };
                assisted.status = status;
                match completes {
                    true => self.complete_payment(w),
                    false => self.end_assisted(w, vec![told("Result", "payment-canceled")]),
                }
                Reply::Payment(sid)
            }
        }
    }

    fn begin_payment(&mut self, w: &mut World, leg: u8, status: Arc<str>, (key, pay): (String, Pay)) -> Reply {
        // Asked once more with the same key, it is the same payment.
        if let Some(known) = self.assisted.as_ref().filter(|a| a.key == key) {
            return Reply::Payment(known.sid.clone());
        }
        if self.assisted.is_some() || self.direct {
            let why = if self.direct { "its media does not pass here" } else { "a payment goes on in this call" };
            return Reply::Refused(why.to_owned());
        }
        if let Some(wrong) = wrong(w, &pay) {
            return Reply::Refused(wrong);
        }
        let sid = w.new_payment();
        self.seal(w, leg);
        let entry = Entry::new(pay);
        let assisted = Assisted { sid: sid.clone(), key, leg, entry, field: None, status, charging: None };
        self.assisted = Some(Box::new(assisted));
        self.tell_assisted(w, Parameters::new());
        Reply::Payment(sid)
    }

    /// A key of the party that pays: true if it was the payment's.
    pub fn on_assisted_key(&mut self, w: &mut World, leg: u8, key: char) -> bool {
        let Some(assisted) = self.assisted.as_mut().filter(|a| a.leg == leg) else { return false };
        // While no field is asked for, nothing is taken; nobody else is told either.
        let Some(field) = assisted.field.filter(|_| assisted.charging.is_none()) else { return true };
        let (took, timeout) = (assisted.entry.take(field, key), assisted.entry.pay.timeout);
        match took {
            Took::More => {
                self.set_timer(w, CallTimer::Payment, timeout);
                self.tell_assisted(w, vec![told("PartialResult", "true")]);
            }
            Took::Over => self.on_assisted_over(w),
        }
        true
    }

    /// A field is over: its last digit, the key or the time.
    pub fn on_assisted_over(&mut self, w: &mut World) {
        self.cancel_timer(w, CallTimer::Payment);
        let Some(assisted) = &mut self.assisted else { return };
        let Some(field) = assisted.field else { return };
        let verdict = assisted.entry.judge(field, w.now.wall);
        if verdict == Verdict::Right {
            assisted.field = None;
        }
        let more = match verdict {
            Verdict::Right => vec![told("Capture", field.as_str())],
            Verdict::Again => vec![told("Capture", "matching-required")],
            Verdict::Wrong(_) => Parameters::new(),
        };
        self.tell_assisted(w, more);
    }

    fn complete_payment(&mut self, w: &mut World) {
        let Some(assisted) = &mut self.assisted else { return };
        if assisted.charging.is_some() {
            return;
        }
        let missing: Vec<&str> =
            assisted.entry.pay.fields().into_iter().filter(|f| !assisted.entry.has(*f)).map(Field::as_str).collect();
        if !missing.is_empty() {
            let text = format!("missing: {}", missing.join(" "));
            return self.tell_assisted(w, vec![told("Result", "missing-required-inputs"), told("PaymentError", text)]);
        }
        let Some(connector) = w.config.pay.iter().find(|c| c.name == assisted.entry.pay.connector).cloned() else {
            return self.tell_assisted(w, vec![told("Result", "validation-error"), told("PaymentError", NO_CONNECTOR)]);
        };
        let (gateway, request) = Gateway::begin(&connector, assisted.sid.clone(), &assisted.entry);
        let id = self.ask_gateway(w, request);
        if let Some(assisted) = &mut self.assisted {
            (assisted.charging, assisted.field) = (Some((id, gateway)), None);
        }
    }

    pub fn on_assisted_gateway(
        &mut self,
        w: &mut World,
        id: FetchId,
        page: &Result<Box<web::Page>, web::Fault>,
    ) -> bool {
        let asked = self.assisted.as_mut().and_then(|a| a.charging.as_mut()).filter(|(asked, _)| *asked == id);
        let Some((_, gateway)) = asked else { return false };
        match gateway.answered(page.as_ref().ok().map(|page| (page.status, page.body()))) {
            Next::Ask(request) => {
                let asked = self.ask_gateway(w, request);
                if let Some((id, _)) = self.assisted.as_mut().and_then(|a| a.charging.as_mut()) {
                    *id = asked;
                }
            }
            Next::Over(Settled { is_paid, error, told: more, .. }) => {
                let result = if is_paid { "success" } else { "payment-connector-error" };
                let mut parameters = vec![told("Result", result)];
                parameters.extend((!is_paid).then(|| told("PaymentError", error)));
                parameters.extend(more);
                self.end_assisted(w, parameters);
            }
        }
        true
    }

    /// The payment is over: what was entered is gone, and the party is heard as before.
    fn end_assisted(&mut self, w: &mut World, parameters: Parameters) {
        self.tell_assisted(w, parameters);
        self.cancel_timer(w, CallTimer::Payment);
        let Some(assisted) = self.assisted.take() else { return };
        let leg = assisted.leg;
        drop(assisted);
        if let Some(leg) = self.legs.get_mut(usize::from(leg)) {
            leg.session.want_tones(Tones::Passed);
        }
        match self.partner(leg) {
            Some(other) => self.join(w, leg, other),
            None => {
                let timeout = w.config.media.rtp_timeout;
                let set = self.legs.get_mut(usize::from(leg)).and_then(|leg| leg.session.refresh(timeout));
                set.into_iter().for_each(|set| w.output(Output::Media(set)));
            }
        }
    }

    /// The call is over while a payment goes on.
    pub fn leave_assisted(&mut self, w: &mut World) {
        if self.assisted.is_some() {
            self.tell_assisted(w, vec![told("Result", "caller-hung-up")]);
            self.assisted = None;
        }
    }

    fn tell_assisted(&mut self, w: &mut World, more: Parameters) {
        let Some(assisted) = &self.assisted else { return };
        let mut parameters = progress(&assisted.sid, &assisted.entry, assisted.field);
        if assisted.field.is_none() && assisted.charging.is_none() {
            parameters.retain(|(name, _)| name != "For");
        }
        let known: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
        let partial = assisted.entry.masked(assisted.field);
        let partial: Parameters = partial.into_iter().filter(|(name, _)| !known.contains(&name.as_str())).collect();
        parameters.extend(partial);
        parameters.extend(more);
        parameters.push(told("CallSid", self.leg_sid(assisted.leg).to_string()));
        let address = hook_address(&self.resolved(&assisted.status));
        self.call_back_as(w, address, parameters);
    }
}
