//! Dialogs of the simulated peers: what a caller and a callee do, sampled, and what they are owed.

use super::party::{Key, Kind, Party, T1, T1_64, T2};
use super::sdp::{Sdp, Way};
use super::setup::DOMAIN;
use super::text::Msg;
use std::collections::BTreeMap;
use tandem::base::time::{Duration, Instant};

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum LegTimer {
    Cancel,
    Hangup,
    Reinvite(Change),
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
            port: 20_000 + 4 * n as u16,
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
            o.call_id != l.call_id && !o.remote_tag.is_empty() && matches!(o.state, State::Answered | State::Proceeding)
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

    // ---- the side that is called ----

    pub fn incoming(&mut self, msg: &Msg) {
        if let Some(challenge) = self.challenge_to(msg) {
            let answer = Msg::reply(msg, 407, "challenge").with("Proxy-Authenticate", challenge);
            return self.respond_failure(None, msg, answer);
        }
        let b = self.behaviour.clone();
        let mut plan = CallPlan::plain("", self.millis(100, 40_000));
        if !self.rng.chance(b.hangup) {
            plan.hangup_after = None;
        }
        if self.rng.chance(b.reinvite) {
            let change = [Change::Hold, Change::Codec, Change::Address][self.rng.below(3) as usize];
            plan.reinvites = vec![(self.millis(0, 3000), change), (self.millis(3000, 9000), Change::Resume)];
        }
        // Drawn from the call itself, so that the seeds of before make the worlds of before but for this.
        let drawn = msg.call_id().bytes().fold(7u64, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
        // Whoever called may have left the call to others.
        plan.hangup_after = plan.hangup_after.or(Some(Duration::from_secs(200)));
        if drawn.is_multiple_of(6) {
            let change = if drawn.is_multiple_of(4) { Change::Attend } else { Change::Transfer((drawn / 64) as u8) };
            plan.reinvites.push((Duration::from_millis(drawn / 7 % 6_000), change));
        }
        let leg = self.new_leg(false, msg.call_id(), msg.clone(), plan);
        let l = &mut self.legs[leg];
        l.state = State::Proceeding;
        l.local = msg.get("To").into();
        l.remote = msg.get("From").split(";tag=").next().unwrap_or("").into();
        l.remote_tag = msg.tag_of_from().into();
        l.target = msg.contact().into();
        if msg.contact().is_empty() || (!msg.body.is_empty() && Sdp::parse(&msg.body).is_err()) {
            self.blame(self.now, msg.call_id(), "INVITE without Contact, or with a bad session description".into());
        }
        self.decide(leg, &b);
    }

    fn decide(&mut self, leg: usize, b: &Behaviour) {
        let mut dice = self.rng.below(1000) as u32;
        let mut is = |weight: u32| {
            let hit = dice < weight;
            dice = dice.saturating_sub(weight) + if hit { 100_000 } else { 0 };
            hit
        };
        let (silent, forever) = (is(b.silent), is(b.ring_forever));
        let kinds = [is(b.busy), is(b.decline), is(b.error), is(b.redirect), is(b.at_once)];
        if silent {
            self.legs[leg].state = State::Ended;
            return;
        }
        let verdict = match kinds {
            [true, ..] => 486,
            [_, true, ..] => 603,
            [_, _, true, ..] => [500, 503, 404, 408, 480][self.rng.below(5) as usize],
            [_, _, _, true, _] => 302,
            _ => 200,
        };
        self.legs[leg].verdict = verdict;
        let ring = self.millis(0, 2000);
        let talk = ring + self.millis(0, 8000);
        if kinds[4] {
            return self.final_answer(leg);
        }
        if verdict == 200 || self.rng.chance(300) {
            self.after(ring, Key::Leg(leg, LegTimer::Progress));
        }
        if !forever {
            self.after(talk, Key::Leg(leg, LegTimer::Final));
        }
    }

    fn progress(&mut self, leg: usize) {
        let early = self.rng.chance(self.behaviour.early_media);
        let invite = self.legs[leg].invite.clone();
        let (tag, marker) = (self.legs[leg].local_tag.clone(), self.legs[leg].marker.clone());
        let mut answer =
            Msg::reply(&invite, if early { 183 } else { 180 }, &tag).with("Contact", self.contact(&marker));
        if early && !invite.body.is_empty() && self.shape_answer(leg, &invite.body) {
            answer = answer.sdp(self.legs[leg].sdp.write());
        }
        self.respond(&invite, answer);
    }

    /// Makes our description an answer to this offer; false if nothing fits.
    fn shape_answer(&mut self, leg: usize, offer: &str) -> bool {
        let mine = self.behaviour.payloads.clone();
        let l = &mut self.legs[leg];
        let Ok(offer) = Sdp::parse(offer) else { return false };
        l.sdp.payloads = offer.payloads.iter().copied().filter(|p| mine.contains(p)).collect();
        l.sdp.way = offer.way.mirrored();
        l.sdp.payloads.iter().any(|p| *p != 101)
    }

    fn final_answer(&mut self, leg: usize) {
        let invite = self.legs[leg].invite.clone();
        if self.legs[leg].verdict != 200 {
            let (status, tag) = (self.legs[leg].verdict, self.legs[leg].local_tag.clone());
            let mut answer = Msg::reply(&invite, status, &tag);
            if status == 302 {
                answer = answer.with("Contact", format!("<sip:elsewhere@{}>", self.local));
            }
            self.legs[leg].state = State::Ended;
            return self.respond_failure(Some(leg), &invite, answer);
        }
        if !invite.body.is_empty() && !self.shape_answer(leg, &invite.body) {
            let tag = self.legs[leg].local_tag.clone();
            self.legs[leg].state = State::Ended;
            return self.respond_failure(Some(leg), &invite, Msg::reply(&invite, 488, &tag));
        }
        self.legs[leg].state = State::Answered;
        self.legs[leg].answered = true;
        self.send_ok(leg, &invite);
        self.talk(leg);
        if self.rng.chance(self.behaviour.fork) {
            let delay = self.millis(0, 1500);
            self.after(delay, Key::Leg(leg, LegTimer::Fork));
        }
    }

    /// A fork of the callee's side answers too: the switch owes it ACK and BYE.
    fn second_answer(&mut self, leg: usize) {
        let invite = self.legs[leg].invite.clone();
        let mut plan = self.legs[leg].plan.clone();
        (plan.hangup_after, plan.reinvites) = (None, Vec::new());
        let (local, remote, remote_tag, target) = {
            let l = &self.legs[leg];
            (l.local.clone(), l.remote.clone(), l.remote_tag.clone(), l.target.clone())
        };
        let twin = self.new_leg(false, invite.call_id(), invite.clone(), plan);
        let l = &mut self.legs[twin];
        (l.local, l.remote, l.remote_tag, l.target) = (local, remote, remote_tag, target);
        (l.state, l.answered) = (State::Answered, true);
        if !invite.body.is_empty() {
            self.shape_answer(twin, &invite.body);
        }
        self.send_ok(twin, &invite);
    }

    fn send_ok(&mut self, leg: usize, request: &Msg) {
        let marker = self.legs[leg].marker.clone();
        let contact = self.contact(&marker);
        let l = &mut self.legs[leg];
        let is_offer = request.body.is_empty();
        if is_offer {
            l.sdp.way = Way::SendRecv;
        }
        let msg = Msg::reply(request, 200, &l.local_tag).with("Contact", contact).sdp(l.sdp.write());
        let cseq = request.cseq().0;
        l.ok = Some(Ok200 { cseq, msg: msg.clone(), since: self.now, interval: T1, is_offer });
        self.respond(request, msg);
        self.after(T1, Key::Leg(leg, LegTimer::ResendOk(cseq)));
    }

    fn resend_ok(&mut self, leg: usize, cseq: u32) {
        let now = self.now;
        let l = &mut self.legs[leg];
        let Some(ok) = l.ok.as_mut().filter(|ok| ok.cseq == cseq) else { return };
        if now.since(ok.since) >= T1_64 {
            let is_open = l.state == State::Answered;
            let (created, call_id) = (l.created, l.call_id.clone());
            l.ok = None;
            self.blame_silence(created, &call_id, "200 to INVITE was never acknowledged".into());
            if is_open {
                self.send_bye(leg);
            }
            return;
        }
        ok.interval = (ok.interval * 2).min(T2);
        let (interval, msg) = (ok.interval, ok.msg.clone());
        self.resend_answer(&msg);
        self.after(interval, Key::Leg(leg, LegTimer::ResendOk(cseq)));
    }

    fn respond_failure(&mut self, leg: Option<usize>, request: &Msg, answer: Msg) {
        if let (Some(leg), false) = (leg, self.is_stream) {
            self.legs[leg].failure = Some((answer.clone(), self.now, T1));
            self.after(T1, Key::Leg(leg, LegTimer::ResendFailure));
        }
        if let Some(leg) = leg {
            self.legs[leg].status = answer.status();
        }
        self.respond(request, answer);
    }

    fn resend_failure(&mut self, leg: usize) {
        let now = self.now;
        let Some((msg, since, interval)) = &mut self.legs[leg].failure else { return };
        *interval = (*interval * 2).min(T2);
        let (msg, since, interval) = (msg.clone(), *since, *interval);
        if now.since(since) >= T1_64 {
            self.legs[leg].failure = None;
            let created = self.legs[leg].created;
            return self.blame_silence(created, msg.call_id(), format!("{} was never acknowledged", msg.summary()));
        }
        self.resend_answer(&msg);
        self.after(interval, Key::Leg(leg, LegTimer::ResendFailure));
    }

    pub fn leg_ack(&mut self, msg: &Msg) {
        let Some(leg) = self.legs.iter().position(|l| l.call_id == msg.call_id() && l.local_tag == msg.tag_of_to())
        else {
            return;
        };
        let l = &mut self.legs[leg];
        if l.failure.as_ref().is_some_and(|(m, ..)| m.branch() == msg.branch()) {
            l.failure = None;
        }
        if l.ok.as_ref().is_some_and(|ok| ok.cseq == msg.cseq().0) {
            let is_offer = l.ok.take().is_some_and(|ok| ok.is_offer);
            let created = l.created;
            if is_offer {
                match Sdp::parse(&msg.body) {
                    Ok(answer) => {
                        if let Some(e) = self.legs[leg].sdp.answer_fault(&answer) {
                            self.blame(created, msg.call_id(), format!("ACK: {e}"));
                        }
                    }
                    // Only who hangs up at once may leave it out.
                    Err(_) => self.after(T2, Key::Leg(leg, LegTimer::AnswerOwed)),
                }
            }
        }
    }

    pub fn leg_cancel(&mut self, msg: &Msg) {
        let found = self.legs.iter().position(|l| !l.is_caller && l.invite.branch() == msg.branch());
        let status = if found.is_some() { 200 } else { 481 };
        let tag = found.map_or("none".into(), |leg| self.legs[leg].local_tag.clone());
        if let Some(leg) = found.filter(|leg| self.legs[*leg].state == State::Proceeding) {
            self.legs[leg].cancelled = true;
            let invite = self.legs[leg].invite.clone();
            if self.rng.chance(self.behaviour.cancel_race) {
                self.legs[leg].verdict = 200;
                self.legs[leg].plan.reinvites.clear();
                self.final_answer(leg);
            } else {
                self.legs[leg].state = State::Ended;
                self.respond_failure(Some(leg), &invite, Msg::reply(&invite, 487, &tag));
            }
        }
        self.respond(msg, Msg::reply(msg, status, &tag));
    }

    /// Requests of dialogs: BYE, re-INVITE and the rest.
    pub fn leg_request(&mut self, msg: &Msg) {
        let found = self.legs.iter().position(|l| {
            l.call_id == msg.call_id()
                && l.local_tag == msg.tag_of_to()
                && (l.remote_tag.is_empty() || l.remote_tag == msg.tag_of_from())
        });
        let Some(leg) = found else {
            return self.respond(msg, Msg::reply(msg, 481, "unknown"));
        };
        let (state, created) = (self.legs[leg].state, self.legs[leg].created);
        match msg.method() {
            "BYE" => {
                if state == State::Proceeding || state == State::Calling {
                    self.blame(created, msg.call_id(), format!("BYE while {state:?}"));
                }
                let l = &mut self.legs[leg];
                l.state = State::Ended;
                l.ok = None;
                self.respond(msg, Msg::reply(msg, 200, ""));
            }
            "INVITE" => self.incoming_reinvite(leg, msg),
            "UPDATE" | "INFO" | "OPTIONS" | "NOTIFY" => self.respond(msg, Msg::reply(msg, 200, "")),
            _ => self.respond(msg, Msg::reply(msg, 405, "").with("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS")),
        }
    }

    fn incoming_reinvite(&mut self, leg: usize, msg: &Msg) {
        let l = &mut self.legs[leg];
        let status = match l.state {
            State::Ending | State::Ended => 481,
            _ if l.reinvite => 491,
            _ => 200,
        };
        if status != 200 {
            return self.respond(msg, Msg::reply(msg, status, ""));
        }
        l.sdp.version += 1;
        l.target = msg.contact().into();
        if !msg.body.is_empty() && !self.shape_answer(leg, &msg.body) {
            return self.respond(msg, Msg::reply(msg, 488, ""));
        }
        self.send_ok(leg, msg);
    }
}
