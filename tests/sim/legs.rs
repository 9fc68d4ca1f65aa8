//! Dialogs of the simulated peers: what a caller and a callee do, sampled, and what they are owed.

mod called;
mod press;

pub use press::By;

use super::party::{Key, Kind, Party, T1, T1_64, T2};
use super::sdp::{Sdp, Way};
use super::setup::DOMAIN;
use super::text::Msg;
use std::collections::{BTreeMap, VecDeque};
use tandem::base::time::{Duration, Instant};

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum LegTimer {
    Cancel,
    Hangup,
    Reinvite(Change),
    Press(char),
    Ack,
    Progress,
    Final,
    Fork,
    ResendOk(u32),
    ResendFailure,
    AnswerOwed,
    /// The leg should be long over.
    Overdue,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Change {
    Hold,
    Resume,
    Codec,
    Address,
    /// REFER to one of [`WHERE_TO`].
    Transfer(u8),
    /// REFER to the other party of another call of this party's, if it has one.
    Attend,
}

/// Where parties transfer each other.
pub const WHERE_TO: [&str; 8] = ["echo", "u0", "u1", "u2", "group", "914155550133", "nobody", "pause"];

#[derive(Clone, Debug)]
pub enum AckStyle {
    Prompt,
    Slow(Duration),
    /// So many ACKs get lost on the way.
    Lost(u32),
}

/// One call that a party will make.
#[derive(Clone, Debug)]
pub struct CallPlan {
    pub to: String,
    pub cancel_after: Option<Duration>,
    /// From the answer. None: the other side or the switch ends it.
    pub hangup_after: Option<Duration>,
    pub ack: AckStyle,
    pub bye_before_ack: bool,
    pub reinvites: Vec<(Duration, Change)>,
    /// From the answer, in order.
    pub keys: Vec<(Duration, char)>,
    pub by: By,
    /// The INVITE has no session description; the ACK answers the 200's (RFC 3261 §14.2).
    pub offerless: bool,
    /// CANCEL even before any provisional response, against RFC 3261 §9.1.
    pub eager_cancel: bool,
}

impl CallPlan {
    pub fn plain(to: &str, hangup_after: Duration) -> CallPlan {
        CallPlan {
            to: to.into(),
            cancel_after: None,
            hangup_after: Some(hangup_after),
            ack: AckStyle::Prompt,
            bye_before_ack: false,
            reinvites: Vec::new(),
            keys: Vec::new(),
            by: By::Event,
            offerless: false,
            eager_cancel: false,
        }
    }
}

/// What a callee may do, each in per mille; the rest rings and answers.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    pub busy: u32,
    pub decline: u32,
    pub error: u32,
    pub redirect: u32,
    pub silent: u32,
    pub ring_forever: u32,
    pub at_once: u32,
    pub early_media: u32,
    pub fork: u32,
    pub hangup: u32,
    pub reinvite: u32,
    /// Answers 200 although the CANCEL has come.
    pub cancel_race: u32,
    pub payloads: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Calling,
    Proceeding,
    Answered,
    /// BYE sent.
    Ending,
    Ended,
}

/// A 200 to an INVITE that waits for its ACK.
struct Ok200 {
    cseq: u32,
    msg: Msg,
    since: Instant,
    interval: Duration,
    is_offer: bool,
}

pub struct Leg {
    pub marker: String,
    pub call_id: String,
    pub is_caller: bool,
    pub state: State,
    pub created: Instant,
    pub answered: bool,
    /// The final status of the INVITE; 0 while there is none.
    pub status: u16,
    local: String,
    remote: String,
    local_tag: String,
    remote_tag: String,
    target: String,
    cseq: u32,
    /// The initial INVITE, ours or theirs.
    invite: Msg,
    plan: CallPlan,
    cancel_wanted: bool,
    cancelled: bool,
    tried_credentials: bool,
    acks: BTreeMap<u32, Msg>,
    acks_to_lose: u32,
    ok: Option<Ok200>,
    failure: Option<(Msg, Instant, Duration)>,
    /// What a callee will say at last.
    verdict: u16,
    sdp: Sdp,
    reinvite: bool,
    retries: u32,
    /// Keys whose INFO waits for the one under way.
    infos: VecDeque<(u32, char)>,
    info_waits: bool,
    presses: u32,
}

const OVERDUE: Duration = Duration::from_secs(400);

impl Party {
    fn new_leg(&mut self, is_caller: bool, call_id: &str, invite: Msg, plan: CallPlan) -> usize {
        let n = self.legs.len();
        let marker = format!("zq{:04x}q", self.marker_base as usize + n);
        let sdp = Sdp {
            origin: format!("{marker} {}", 1000 + n),
            version: 1,
            ip: self.local.ip(),
            // Room for some changes of the address, so that no two legs of a party ever have one.
            port: 20_000 + 16 * n as u16,
            payloads: self.behaviour.payloads.clone(),
            way: Way::SendRecv,
            crypto: vec![],
        };
        self.legs.push(Leg {
            call_id: if is_caller { format!("{marker}@{}", self.local.ip()) } else { call_id.into() },
            local_tag: format!("{marker}t"),
            marker,
            is_caller,
            state: State::Calling,
            created: self.now,
            answered: false,
            status: 0,
            local: String::new(),
            remote: String::new(),
            remote_tag: String::new(),
            target: String::new(),
            cseq: 100,
            invite,
            acks_to_lose: if let AckStyle::Lost(n) = plan.ack { n } else { 0 },
            plan,
            cancel_wanted: false,
            cancelled: false,
            tried_credentials: false,
            acks: BTreeMap::new(),
            ok: None,
            failure: None,
            verdict: 0,
            sdp,
            reinvite: false,
            retries: 0,
            infos: VecDeque::new(),
            info_waits: false,
            presses: 0,
        });
        self.after(OVERDUE, Key::Leg(n, LegTimer::Overdue));
        n
    }

    pub fn start_call(&mut self, n: usize) {
        let plan = self.calls[n].clone();
        let leg = self.new_leg(true, "", Msg::request("INVITE", ""), plan.clone());
        let l = &mut self.legs[leg];
        l.local = match &self.kind {
            Kind::Phone { user, .. } => format!("<sip:{user}@{}>", self.domain),
            Kind::Carrier { .. } => format!("\"Caller {leg}\" <sip:+12125550{leg:03}@{}>", self.local.ip()),
        };
        l.target = format!("sip:{}@{}", plan.to, self.domain);
        l.remote = format!("<{}>", l.target);
        self.send_invite(leg, None);
        if let Some(delay) = plan.cancel_after {
            self.after(delay, Key::Leg(leg, LegTimer::Cancel));
        }
    }

    /// A request of the leg's dialog, without a body, with a new CSeq unless `cseq` is given.
    fn in_dialog(&mut self, leg: usize, method: &str, cseq: Option<u32>) -> Msg {
        let marker = self.legs[leg].marker.clone();
        let branch = self.new_branch(&marker);
        let via = self.via(&branch);
        let contact = self.contact(&marker);
        let l = &mut self.legs[leg];
        if cseq.is_none() {
            l.cseq += 1;
        }
        let to_tag = if l.remote_tag.is_empty() { String::new() } else { format!(";tag={}", l.remote_tag) };
        Msg::request(method, &l.target)
            .with("Via", via)
            .with("Max-Forwards", 70)
            .with("From", format!("{};tag={}", l.local, l.local_tag))
            .with("To", format!("{}{to_tag}", l.remote))
            .with("Call-ID", &l.call_id)
            .with("CSeq", format!("{} {method}", cseq.unwrap_or(l.cseq)))
            .with("Contact", contact)
    }

    fn send_invite(&mut self, leg: usize, credentials: Option<(&'static str, String)>) {
        let mut m = self.in_dialog(leg, "INVITE", None).with("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS");
        if let Some((name, value)) = credentials {
            m = m.with(name, value);
        }
        let l = &mut self.legs[leg];
        if !l.plan.offerless {
            m = m.sdp(l.sdp.write());
        }
        l.invite = m.clone();
        self.request(Some(leg), m);
    }

    pub fn leg_response(&mut self, leg: usize, request: &Msg, msg: &Msg) {
        match (msg.method(), request.tag_of_to().is_empty()) {
            ("INVITE", true) => match msg.status() {
                100..200 => self.provisional(leg, msg),
                200..300 => self.answered(leg, request, msg),
                _ => self.refused(leg, request, msg),
            },
            ("INVITE", false) => self.reinvite_response(leg, request, msg),
            ("BYE", _) if msg.status() >= 200 => {
                if ![200, 481, 408].contains(&msg.status()) {
                    self.blame(self.legs[leg].created, msg.call_id(), format!("{} to BYE", msg.status()));
                }
                self.legs[leg].state = State::Ended;
            }
            ("INFO", _) if msg.status() >= 200 => self.info_answered(leg, msg.status()),
            ("CANCEL", _) if msg.status() >= 300 && msg.status() != 481 => {
                self.blame(self.legs[leg].created, msg.call_id(), format!("{} to CANCEL", msg.status()));
            }
            _ => {}
        }
    }

    fn provisional(&mut self, leg: usize, msg: &Msg) {
        if !msg.body.is_empty() {
            self.check_answer(leg, msg);
        }
        let l = &mut self.legs[leg];
        if l.state == State::Calling {
            l.state = State::Proceeding;
        }
        if l.cancel_wanted && l.state == State::Proceeding && !l.cancelled {
            self.send_cancel(leg);
        }
    }

    fn check_answer(&mut self, leg: usize, msg: &Msg) {
        let l = &self.legs[leg];
        let fault = match Sdp::parse(&msg.body) {
            Err(e) => Some(e),
            Ok(_) if l.plan.offerless && !l.answered => None,
            Ok(answer) => l.sdp.answer_fault(&answer),
        };
        if let Some(e) = fault {
            let created = l.created;
            self.blame(created, msg.call_id(), format!("{}: {e}", msg.summary()));
        }
    }

    fn answered(&mut self, leg: usize, request: &Msg, msg: &Msg) {
        let l = &mut self.legs[leg];
        if l.answered {
            if l.remote_tag != msg.tag_of_to() {
                let created = l.created;
                return self.blame(
                    created,
                    msg.call_id(),
                    "a second 200 with another tag: forked towards the caller".into(),
                );
            }
            // Slow ACKs are not hurried, lost ones are sent again.
            if l.acks.contains_key(&request.cseq().0) {
                self.send_ack(leg, request.cseq().0);
            }
            return;
        }
        if !matches!(l.state, State::Calling | State::Proceeding) {
            return;
        }
        (l.answered, l.status, l.state) = (true, msg.status(), State::Answered);
        l.remote_tag = msg.tag_of_to().into();
        l.target = msg.contact().into();
        let created = l.created;
        if msg.tag_of_to().is_empty() || msg.contact().is_empty() || msg.body.is_empty() {
            self.blame(created, msg.call_id(), "200 to INVITE without tag, Contact or session description".into());
        } else if self.legs[leg].plan.offerless {
            self.legs[leg].answered = false;
            self.check_answer(leg, msg);
            self.legs[leg].answered = true;
            if !self.shape_answer(leg, &msg.body) {
                // Nothing fits: a valid answer that refuses, and BYE (§13.2.2.4).
                let offered = Sdp::parse(&msg.body).map_or(vec![0], |offer| offer.payloads);
                let l = &mut self.legs[leg];
                (l.sdp.payloads, l.sdp.port, l.cancel_wanted) = (offered, 0, true);
            }
        } else {
            self.check_answer(leg, msg);
        }
        let (plan, cancelled) = (self.legs[leg].plan.clone(), self.legs[leg].cancelled || self.legs[leg].cancel_wanted);
        match plan.ack {
            _ if plan.bye_before_ack && !cancelled => return self.send_bye(leg),
            AckStyle::Slow(delay) => self.after(delay, Key::Leg(leg, LegTimer::Ack)),
            _ => self.send_ack(leg, request.cseq().0),
        }
        if cancelled {
            return self.send_bye(leg);
        }
        self.talk(leg);
    }

    /// Plans what happens between answer and end.
    fn talk(&mut self, leg: usize) {
        let plan = self.legs[leg].plan.clone();
        if let Some(delay) = plan.hangup_after {
            self.after(delay, Key::Leg(leg, LegTimer::Hangup));
        }
        for (delay, change) in plan.reinvites {
            self.after(delay, Key::Leg(leg, LegTimer::Reinvite(change)));
        }
        for (delay, key) in plan.keys {
            self.after(delay, Key::Leg(leg, LegTimer::Press(key)));
        }
    }

    fn send_ack(&mut self, leg: usize, cseq: u32) {
        let ack = match self.legs[leg].acks.get(&cseq) {
            Some(ack) => ack.clone(),
            None => {
                let mut ack = self.in_dialog(leg, "ACK", Some(cseq));
                let l = &self.legs[leg];
                if l.plan.offerless && l.acks.is_empty() {
                    ack = ack.sdp(l.sdp.write());
                }
                self.legs[leg].acks.insert(cseq, ack.clone());
                ack
            }
        };
        let l = &mut self.legs[leg];
        if l.acks_to_lose > 0 {
            l.acks_to_lose -= 1;
        } else {
            self.send(&ack);
        }
    }

    fn refused(&mut self, leg: usize, request: &Msg, msg: &Msg) {
        let l = &mut self.legs[leg];
        if !matches!(l.state, State::Calling | State::Proceeding) {
            return;
        }
        let may_retry = !l.tried_credentials && !l.cancelled && !l.cancel_wanted;
        if matches!(msg.status(), 401 | 407) && may_retry {
            l.tried_credentials = true;
            if let Some(credentials) = self.answer_challenge(msg, "INVITE", request.uri()) {
                self.legs[leg].state = State::Calling;
                return self.send_invite(leg, Some(credentials));
            }
        }
        let l = &mut self.legs[leg];
        (l.state, l.status) = (State::Ended, msg.status());
        if msg.tag_of_to().is_empty() {
            let created = l.created;
            self.blame(created, msg.call_id(), format!("{} without a To tag", msg.summary()));
        }
    }

    fn send_cancel(&mut self, leg: usize) {
        let l = &mut self.legs[leg];
        l.cancelled = true;
        let mut m = Msg::request("CANCEL", l.invite.uri());
        for name in ["Via", "Max-Forwards", "From", "To", "Call-ID"] {
            m = m.with(name, l.invite.get(name));
        }
        m = m.with("CSeq", format!("{} CANCEL", l.invite.cseq().0));
        self.request(Some(leg), m);
    }

    pub fn send_bye(&mut self, leg: usize) {
        self.legs[leg].state = State::Ending;
        let m = self.in_dialog(leg, "BYE", None);
        self.request(Some(leg), m);
    }

    fn send_refer(&mut self, leg: usize, change: Change) {
        let l = &self.legs[leg];
        if l.state != State::Answered || l.ok.is_some() {
            return;
        }
        let other = self.legs.iter().rfind(|o| {
            // Nobody else comes into a call of the application's: its keys are those of one caller.
            o.plan.to != "app"
                && o.call_id != l.call_id
                && !o.remote_tag.is_empty()
                && matches!(o.state, State::Answered | State::Proceeding)
        });
        let whom = match (change, other) {
            (Change::Transfer(n), _) => format!("<sip:{}@{DOMAIN}>", WHERE_TO[usize::from(n) % WHERE_TO.len()]),
            (_, Some(o)) => {
                let named = format!("{};to-tag={};from-tag={}", o.call_id, o.remote_tag, o.local_tag);
                let escaped = named.replace('@', "%40").replace(';', "%3B").replace('=', "%3D");
                format!("<sip:other@{DOMAIN}?Replaces={escaped}>")
            }
            (_, None) => return,
        };
        let m = self.in_dialog(leg, "REFER", None).with("Refer-To", whom);
        self.request(Some(leg), m);
    }

    fn send_reinvite(&mut self, leg: usize, change: Change) {
        if matches!(change, Change::Transfer(_) | Change::Attend) {
            return self.send_refer(leg, change);
        }
        let l = &mut self.legs[leg];
        let is_busy = l.reinvite || l.ok.is_some() || (l.is_caller && !l.acks.contains_key(&l.invite.cseq().0));
        if l.state != State::Answered || is_busy {
            l.retries += 1;
            if l.state == State::Answered && l.retries < 10 {
                self.after(Duration::from_millis(300), Key::Leg(leg, LegTimer::Reinvite(change)));
            }
            return;
        }
        match change {
            Change::Hold => l.sdp.way = Way::SendOnly,
            Change::Resume => l.sdp.way = Way::SendRecv,
            Change::Codec => {
                l.sdp.payloads = if l.sdp.payloads.first() == Some(&0) { vec![8, 0, 101] } else { vec![0, 8, 101] }
            }
            Change::Address => l.sdp.port += 2,
            Change::Transfer(_) | Change::Attend => {}
        }
        l.sdp.version += 1;
        l.reinvite = true;
        let body = l.sdp.write();
        let m = self.in_dialog(leg, "INVITE", None).sdp(body);
        self.request(Some(leg), m);
    }

    fn reinvite_response(&mut self, leg: usize, request: &Msg, msg: &Msg) {
        let cseq = request.cseq().0;
        let l = &mut self.legs[leg];
        match msg.status() {
            100..200 => {}
            200..300 => {
                let is_first = !l.acks.contains_key(&cseq);
                l.reinvite = false;
                if is_first {
                    self.check_answer(leg, msg);
                }
                self.send_ack(leg, cseq);
            }
            491 => {
                l.reinvite = false;
                l.retries += 1;
                let (is_caller, retries) = (l.is_caller, l.retries);
                let delay = if is_caller { self.millis(2100, 4000) } else { self.millis(0, 2000) };
                if retries < 6 {
                    self.after(delay, Key::Leg(leg, LegTimer::Reinvite(Change::Resume)));
                }
            }
            408 | 481 => {
                l.reinvite = false;
                if l.state == State::Answered {
                    self.send_bye(leg);
                }
            }
            _ => l.reinvite = false,
        }
    }

    pub fn leg_timeout(&mut self, leg: usize, request: &Msg) {
        let l = &mut self.legs[leg];
        match request.method() {
            "INVITE" if request.tag_of_to().is_empty() => l.state = State::Ended,
            "INVITE" if l.state == State::Answered => self.send_bye(leg),
            "BYE" => l.state = State::Ended,
            "INFO" => self.info_answered(leg, 0),
            _ => {}
        }
    }

    pub fn leg_timer(&mut self, leg: usize, timer: LegTimer) {
        let l = &mut self.legs[leg];
        match (timer, l.state) {
            (LegTimer::Cancel, State::Calling) if !l.plan.eager_cancel => l.cancel_wanted = true,
            (LegTimer::Cancel, State::Calling | State::Proceeding) if l.is_caller && !l.cancelled => {
                self.send_cancel(leg)
            }
            (LegTimer::Cancel, State::Answered) => self.hang_up(leg),
            (LegTimer::Hangup, State::Answered) => self.hang_up(leg),
            (LegTimer::Press(key), _) => self.press(leg, key),
            (LegTimer::Reinvite(change), _) => self.send_reinvite(leg, change),
            (LegTimer::Ack, _) => self.send_ack(leg, self.legs[leg].invite.cseq().0),
            (LegTimer::Progress, State::Proceeding) => self.progress(leg),
            (LegTimer::Final, State::Proceeding) => self.final_answer(leg),
            (LegTimer::Fork, _) => self.second_answer(leg),
            (LegTimer::ResendOk(cseq), _) => self.resend_ok(leg, cseq),
            (LegTimer::ResendFailure, _) => self.resend_failure(leg),
            (LegTimer::AnswerOwed, State::Answered) => {
                let (created, call_id) = (l.created, l.call_id.clone());
                self.blame(created, &call_id, "ACK without the answer that it owes, and no BYE".into());
            }
            (LegTimer::Overdue, state) if state != State::Ended => {
                let (created, call_id) = (l.created, l.call_id.clone());
                l.state = State::Ended;
                self.blame(created, &call_id, format!("still {state:?} {} s after its INVITE", OVERDUE.as_secs()));
            }
            _ => {}
        }
    }

    /// BYE; a callee waits for the ACK first (RFC 3261 §15).
    fn hang_up(&mut self, leg: usize) {
        let l = &self.legs[leg];
        if !l.is_caller && l.ok.is_some() {
            return self.after(T1, Key::Leg(leg, LegTimer::Hangup));
        }
        self.send_bye(leg);
    }
}
