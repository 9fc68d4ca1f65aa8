//! Pay: a caller is asked for a card or a bank account, field by field, and a gateway takes the payment. What is entered is known to
//! [`entry`] alone, and leaves it in one request to the gateway.

pub mod assisted;
mod entry;
mod gateway;

use super::call::{Call, Doing};
use super::sound::Playlist;
use super::world::{CallTimer, World};
use crate::event::{Side, What};
use crate::media::command::Hears;
use crate::verb::pay::{Field, Pay, PayError};
use crate::verb::{Outcome, Prompt, Say};
use crate::web::{self, Address, FetchId, Method, Parameters, Want};
use entry::{Entry, Took, Verdict};
use gateway::{Gateway, Next, Request, Settled};

/// "Pay: Connector does not support …" and its kin are 64,000 and more; this one is of no connector of that name.
const NO_CONNECTOR: &str = "Pay: there is no connector of that name";

/// A Pay that goes on.
#[derive(Debug)]
pub struct Paying {
    /// Twilio's name of a payment.
    sid: String,
    entry: Entry,
    fields: Vec<Field>,
    at: usize,
    pub prompts: Playlist,
    is_listening: bool,
    /// With the gateway.
    charging: Option<(FetchId, Gateway)>,
}

impl Paying {
    fn field(&self) -> Option<Field> {
        self.fields.get(self.at).copied()
    }
}

/// How a Pay ends, in Twilio's words.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Result {
    Success,
    Connector(String),
    Star,
    TooMany,
    Validation(String),
    HungUp,
}

impl Result {
    const fn as_str(&self) -> &'static str {
        match self {
            Result::Success => "success",
            Result::Connector(_) => "payment-connector-error",
            Result::Star => "caller-interrupted-with-star",
            Result::TooMany => "too-many-failed-attempts",
            Result::Validation(_) => "validation-error",
            Result::HungUp => "caller-hung-up",
        }
    }
}

fn told(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

fn method_of(pay: &Pay) -> &'static str {
    if pay.bank.is_some() { "ach-debit" } else { "credit-card" }
}

/// What is wrong with a Pay as it is written.
fn wrong(w: &World, pay: &Pay) -> Option<String> {
    if !w.config.pay.iter().any(|c| c.name == pay.connector) {
        return Some(format!("{NO_CONNECTOR}: {}", pay.connector));
    }
    let is_amount = pay.amount.is_empty() || crate::verb::pay::hundredths(&pay.amount).is_some();
    (!is_amount).then(|| format!("Pay: {} is no amount below 1,000,000", pay.amount))
}

impl World {
    /// Twilio's name for a new payment.
    fn new_payment(&mut self) -> String {
        let (a, b) = (self.ep.rng().next_u64(), self.ep.rng().next_u64());
        format!("PK{a:016x}{b:016x}")
    }
}

impl Call {
    /// The step `pay`.
    pub fn pay(&mut self, w: &mut World, pay: Pay) -> Option<Outcome> {
        self.seal(w, self.front);
        let (sid, wrong) = (w.new_payment(), wrong(w, &pay));
        let (fields, entry) = (pay.fields(), Entry::new(pay));
        let mut paying =
            Paying { sid, entry, fields, at: 0, prompts: Playlist::default(), is_listening: false, charging: None };
        if let Some(wrong) = wrong {
            return self.pay_over(w, paying, Result::Validation(wrong), Parameters::new());
        }
        // What was typed before anybody could know that it is a card is not taken for one.
        self.ahead.wipe();
        paying.entry.begin(paying.field().unwrap_or(Field::CardNumber));
        self.ask_field(w, paying);
        None
    }

    /// Lets a field be entered, for the first time or once more.
    fn ask_field(&mut self, w: &mut World, mut paying: Paying) {
        let (field, entry) = (paying.field(), &paying.entry);
        let prompts = prompts_of(entry, field);
        self.tell_payment(w, &paying);
        (paying.prompts, paying.is_listening) = (Playlist::new(prompts), false);
        let is_over = self.play_next(w, &mut paying.prompts);
        self.doing = Doing::Paying(Box::new(paying));
        if is_over {
            self.await_payer(w);
        }
    }

    /// The prompts are over, or a key has come: the time runs.
    pub fn await_payer(&mut self, w: &mut World) {
        let Doing::Paying(paying) = &mut self.doing else { return };
        if paying.charging.is_some() {
            return;
        }
        paying.is_listening = true;
        let (timeout, leg) = (paying.entry.pay.timeout, self.front);
        self.hear(w, leg, Hears::Silence);
        self.set_timer(w, CallTimer::Step, timeout);
    }

    /// A key of the payer.
    pub fn on_payer_key(&mut self, w: &mut World, key: char) {
        let Doing::Paying(paying) = &mut self.doing else { return };
        let Some(field) = paying.field().filter(|_| paying.charging.is_none()) else { return };
        if key == '*' {
            return self.end_paying(w, Result::Star);
        }
        let took = paying.entry.take(field, key);
        if !paying.is_listening {
            let prompts = std::mem::take(&mut paying.prompts);
            self.stop_playing(w, prompts);
        }
        match took {
            Took::More => self.await_payer(w),
            Took::Over => self.field_over(w),
        }
    }

    /// False if the timer was another's.
    pub fn on_payer_timer(&mut self, w: &mut World) -> bool {
        let is_mine = matches!(&self.doing, Doing::Paying(paying) if paying.is_listening && paying.charging.is_none());
        if is_mine {
            self.field_over(w);
        }
        is_mine
    }

    fn field_over(&mut self, w: &mut World) {
        self.cancel_timer(w, CallTimer::Step);
        let Doing::Paying(paying) = &mut self.doing else { return };
        let Some(field) = paying.field() else { return };
        let verdict = paying.entry.judge(field, w.now.wall);
        let is_last = paying.entry.attempt > paying.entry.pay.max_attempts;
        let text = match verdict {
            Verdict::Right => format!("{} is entered", field.as_str()),
            Verdict::Again => format!("{} is to be entered once more", field.as_str()),
            Verdict::Wrong(error) => format!("{}: {}", field.as_str(), error.as_str()),
        };
        self.note(w, Side::Call, What::Note(text.into()));
        if matches!(verdict, Verdict::Wrong(_)) && is_last {
            return self.end_paying(w, Result::TooMany);
        }
        let Doing::Paying(mut paying) = std::mem::replace(&mut self.doing, Doing::Nothing) else { return };
        if verdict == Verdict::Right {
            paying.at += 1;
            match paying.field() {
                Some(next) => paying.entry.begin(next),
                None => return self.charge(w, *paying),
            }
        }
        self.ask_field(w, *paying);
    }

    // ---- the gateway -----------------------------------------------------------------------------------------------

    fn charge(&mut self, w: &mut World, mut paying: Paying) {
        let connector = w.config.pay.iter().find(|c| c.name == paying.entry.pay.connector).cloned();
        let Some(connector) = connector else {
            self.doing = Doing::Paying(Box::new(paying));
            return self.end_paying(w, Result::Validation(NO_CONNECTOR.to_owned()));
        };
        self.tell_payment(w, &paying);
        let (gateway, request) = Gateway::begin(&connector, paying.sid.clone(), &paying.entry);
        let id = self.ask_gateway(w, request);
        paying.charging = Some((id, gateway));
        let wait = paying.entry.pay.prompt_for(None, None, paying.entry.card, 1, false).unwrap_or_default();
        paying.prompts = Playlist::new(wait.to_vec());
        if self.play_next(w, &mut paying.prompts) {
            let leg = self.front;
            self.hear(w, leg, Hears::Silence);
        }
        self.doing = Doing::Paying(Box::new(paying));
    }

    fn ask_gateway(&mut self, w: &mut World, request: Request) -> FetchId {
        self.fetch_with(w, Want::Reply, request.address, None, request.parameters, request.secret)
    }

    /// The gateway has answered, or cannot be asked; false if it was not asked by the step.
    pub fn on_gateway(
        &mut self,
        w: &mut World,
        id: FetchId,
        page: &std::result::Result<Box<web::Page>, web::Fault>,
    ) -> bool {
        let Doing::Paying(paying) = &mut self.doing else { return self.on_assisted_gateway(w, id, page) };
        let Some((_, gateway)) = paying.charging.as_mut().filter(|(asked, _)| *asked == id) else {
            return self.on_assisted_gateway(w, id, page);
        };
        match gateway.answered(page.as_ref().ok().map(|page| (page.status, page.body()))) {
            Next::Ask(request) => {
                let asked = self.ask_gateway(w, request);
                if let Doing::Paying(paying) = &mut self.doing
                    && let Some((id, _)) = &mut paying.charging
                {
                    *id = asked;
                }
            }
            Next::Over(settled) => self.settled(w, settled),
        }
        true
    }

    fn settled(&mut self, w: &mut World, settled: Settled) {
        let Doing::Paying(mut paying) = std::mem::replace(&mut self.doing, Doing::Nothing) else { return };
        let prompts = std::mem::take(&mut paying.prompts);
        self.stop_playing(w, prompts);
        let pay = &paying.entry.pay;
        let is_asked_again = settled.is_declined
            && paying.entry.attempt <= pay.max_attempts
            && pay.prompts.iter().any(|p| p.errors.contains(&PayError::CardDeclined));
        paying.charging = None;
        if is_asked_again {
            // Another card may do, if the application has words for it.
            let attempt = paying.entry.attempt + 1;
            paying.entry.wipe();
            paying.at = 0;
            paying.entry.begin(paying.field().unwrap_or(Field::CardNumber));
            (paying.entry.attempt, paying.entry.error) = (attempt, Some(PayError::CardDeclined));
            return self.ask_field(w, *paying);
        }
        let result = if settled.is_paid { Result::Success } else { Result::Connector(settled.error) };
        if let Some(outcome) = self.pay_over(w, *paying, result, settled.told) {
            self.step_done(w, outcome);
        }
    }

    // ---- the end ---------------------------------------------------------------------------------------------------

    fn end_paying(&mut self, w: &mut World, result: Result) {
        let Doing::Paying(mut paying) = std::mem::replace(&mut self.doing, Doing::Nothing) else { return };
        let prompts = std::mem::take(&mut paying.prompts);
        self.stop_playing(w, prompts);
        if let Some(outcome) = self.pay_over(w, *paying, result, Parameters::new()) {
            self.step_done(w, outcome);
        }
    }

    /// The payment is over: all that was entered is gone. An outcome, unless an application says what follows.
    fn pay_over(&mut self, w: &mut World, paying: Paying, result: Result, more: Parameters) -> Option<Outcome> {
        let Paying { mut entry, .. } = paying;
        self.cancel_timer(w, CallTimer::Step);
        let parameters = result_parameters(&entry, &result, more);
        entry.wipe();
        self.note(w, Side::Call, What::Note(format!("the payment is over: {}", result.as_str()).into()));
        if let Some(status) = &entry.pay.status {
            let address = self.address(status);
            self.call_back(w, address, parameters.clone());
        }
        if let Some(script) = &mut self.script {
            let value =
                |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap_or_default();
            for (variable, name) in [
                ("pay_result", "Result"),
                ("pay_token", "PaymentToken"),
                ("pay_confirmation", "PaymentConfirmationCode"),
                ("pay_card", "PaymentCardNumber"),
                ("pay_card_type", "PaymentCardType"),
                ("pay_error", "PaymentError"),
            ] {
                script.set(variable, value(name));
            }
        }
        if let Some(action) = &entry.pay.action
            && self.ask(w, action, parameters)
        {
            return None;
        }
        Some(match result {
            Result::Success => Outcome::Done,
            Result::Star => Outcome::Cancelled,
            Result::TooMany => Outcome::None,
            Result::Connector(_) | Result::Validation(_) | Result::HungUp => Outcome::Failed,
        })
    }

    /// The payer has hung up while it was asked, or while the gateway had it: the application is told.
    pub fn leave_payment(&mut self, w: &mut World) {
        self.leave_assisted(w);
        let Doing::Paying(paying) = &mut self.doing else { return };
        let parameters = result_parameters(&paying.entry, &Result::HungUp, Parameters::new());
        paying.entry.wipe();
        let hooks = [paying.entry.pay.status.clone(), paying.entry.pay.action.clone()];
        for hook in hooks.into_iter().flatten().filter(|hook| !hook.url.is_empty()) {
            let address = self.address(&hook);
            self.call_back(w, address, parameters.clone());
        }
    }

    /// Tells the status callback what is asked for now.
    fn tell_payment(&mut self, w: &mut World, paying: &Paying) {
        let Some(status) = paying.entry.pay.status.clone() else { return };
        let parameters = progress(&paying.sid, &paying.entry, paying.field());
        let address = self.address(&status);
        self.call_back(w, address, parameters);
    }
}

/// What is told while a payment goes on.
fn progress(sid: &str, entry: &Entry, field: Option<Field>) -> Parameters {
    let mut parameters = vec![
        told("Sid", sid),
        told("PaymentMethod", method_of(&entry.pay)),
        told("PaymentConnector", entry.pay.connector.as_str()),
        told("For", field.map_or("payment-processing", Field::as_str)),
        told("Attempt", entry.attempt.to_string()),
    ];
    parameters.extend(entry.error.map(|error| told("ErrorType", error.as_str())));
    let required: Vec<&str> = entry.pay.fields().into_iter().filter(|f| !entry.has(*f)).map(Field::as_str).collect();
    parameters.push(told("Required", required.join(" ")));
    parameters.extend(entry.masked(None));
    parameters
}

fn result_parameters(entry: &Entry, result: &Result, more: Parameters) -> Parameters {
    let mut parameters = vec![
        told("Result", result.as_str()),
        told("PaymentMethod", method_of(&entry.pay)),
        told("PaymentConnector", entry.pay.connector.as_str()),
    ];
    if let Result::Connector(why) | Result::Validation(why) = result {
        parameters.push(told("PaymentError", why.as_str()));
    }
    parameters.extend(entry.masked(None));
    parameters.extend(more);
    parameters
}

/// What is heard before a field: what the application has written for the case, or our words.
fn prompts_of(entry: &Entry, field: Option<Field>) -> Vec<Prompt> {
    let written = entry.pay.prompt_for(field, entry.error, entry.card, entry.attempt, entry.is_second());
    if let Some(prompts) = written {
        return prompts.to_vec();
    }
    let say = |text: &str| {
        let (voice, language) = (String::new(), entry.pay.language.clone());
        Prompt::Say(Say { text: text.to_owned(), is_ssml: false, voice, language, loops: 1 })
    };
    let why = entry.error.map(|error| say(error.text()));
    let again = entry.is_second().then(|| say("Please enter it once more."));
    why.into_iter().chain(again.or_else(|| field.map(|field| say(field.text())))).collect()
}

/// A request's address, for what is configured.
pub fn hook_address(url: &str) -> Address {
    Address::new(url, Method::Post)
}
