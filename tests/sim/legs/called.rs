//! The side that is called: what comes to a party, and what it answers.

use super::*;

impl Party {
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

    pub(super) fn decide(&mut self, leg: usize, b: &Behaviour) {
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

    pub(super) fn progress(&mut self, leg: usize) {
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
    pub(super) fn shape_answer(&mut self, leg: usize, offer: &str) -> bool {
        let mine = self.behaviour.payloads.clone();
        let l = &mut self.legs[leg];
        let Ok(offer) = Sdp::parse(offer) else { return false };
        l.sdp.payloads = offer.payloads.iter().copied().filter(|p| mine.contains(p)).collect();
        l.sdp.way = offer.way.mirrored();
        l.sdp.payloads.iter().any(|p| *p != 101)
    }

    pub(super) fn final_answer(&mut self, leg: usize) {
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
    pub(super) fn second_answer(&mut self, leg: usize) {
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

    pub(super) fn send_ok(&mut self, leg: usize, request: &Msg) {
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

    pub(super) fn resend_ok(&mut self, leg: usize, cseq: u32) {
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

    pub(super) fn respond_failure(&mut self, leg: Option<usize>, request: &Msg, answer: Msg) {
        if let (Some(leg), false) = (leg, self.is_stream) {
            self.legs[leg].failure = Some((answer.clone(), self.now, T1));
            self.after(T1, Key::Leg(leg, LegTimer::ResendFailure));
        }
        if let Some(leg) = leg {
            self.legs[leg].status = answer.status();
        }
        self.respond(request, answer);
    }

    pub(super) fn resend_failure(&mut self, leg: usize) {
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

    pub(super) fn incoming_reinvite(&mut self, leg: usize, msg: &Msg) {
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
