//! One call's run of a program: variables and an explicit cursor.

use super::program::{BlockId, ConferenceStep, DialStep, Program, TargetKind, Verb};
use super::text::{Text, Variables, clean};
use super::{Action, Conference, Dial, Outcome, Strategy, Target};
use crate::base::rng::Rng;
use crate::base::time::Wall;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// What a script wants next.
#[derive(Clone, PartialEq, Debug)]
pub enum Next {
    /// Perform it, then call [`Script::finished`].
    Do {
        action: Action,
        /// `file:line` for the timeline.
        at: Arc<str>,
    },
    /// The last step is done: the switch hangs up.
    End,
    /// More than [`Script::STEPS_MAX`] steps without anything that takes time: a loop in the dialplan.
    Runaway,
}

/// Where a script stands: the blocks that are open, outermost first, each with the index of its current step.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cursor(Vec<(BlockId, u32)>);

/// `3.0/7.2`: step 0 of block 3, in it step 2 of block 7.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (block, step)) in self.0.iter().enumerate() {
            write!(f, "{}{}.{step}", if i > 0 { "/" } else { "" }, block.0)?;
        }
        if self.0.is_empty() { f.write_str("end") } else { Ok(()) }
    }
}

/// One call's run of a [`Program`]: variables and cursor.
#[derive(Clone)]
pub struct Script {
    program: Arc<Program>,
    variables: Variables,
    cursor: Cursor,
    /// The moment at which the call arrived, which `hours` in a condition sees.
    at: Wall,
    /// Steps since the last one that took time.
    steps: u32,
    state: State,
}

#[derive(Clone, PartialEq, Debug)]
enum State {
    /// The cursor stands before a step.
    Ready,
    /// The step's action is with the switch.
    Waiting(Box<(Action, Arc<str>)>),
    Ended,
    Runaway,
}

impl Script {
    pub const STEPS_MAX: u32 = 10_000;

    pub fn new(program: Arc<Program>, entry: BlockId, at: Wall) -> Script {
        let cursor = Cursor(vec![(entry, 0)]);
        Script { program, variables: Variables::new(), cursor, at, steps: 0, state: State::Ready }
    }

    /// Begins with the variables of the script before it.
    pub fn after(self, before: Script) -> Script {
        Script { variables: before.variables, ..self }
    }

    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    pub fn variables(&self) -> &Variables {
        &self.variables
    }

    /// The action that the switch performs.
    pub fn waiting(&self) -> Option<&Action> {
        match &self.state {
            State::Waiting(what) => Some(&what.0),
            State::Ready | State::Ended | State::Runaway => None,
        }
    }

    /// Whether some way through the rest of the script leads into a conference.
    pub fn may_confer(&self) -> bool {
        let mut seen = BTreeSet::new();
        let mut left: Vec<BlockId> = self.cursor.0.iter().map(|(block, _)| *block).collect();
        while let Some(block) = left.pop() {
            if !seen.insert(block) {
                continue;
            }
            for step in (0..).map_while(|index| self.program.step(block, index)) {
                left.extend(step.on.iter().map(|(_, block)| *block));
                match &step.verb {
                    // Nobody knows what a document that is yet to be fetched will say.
                    Verb::Conference(_) | Verb::Enqueue(_) | Verb::Dequeue(_) | Verb::Redirect(_) => return true,
                    Verb::Gather { gather, .. } if gather.action.is_some() => return true,
                    Verb::Pay(pay) if pay.action.is_some() => return true,
                    Verb::Dial(dial) if dial.after.action.is_some() => return true,
                    Verb::Record(record) if record.action.is_some() => return true,
                    Verb::Gather { cases, .. } => left.extend(cases.iter().map(|(_, block)| *block)),
                    Verb::Goto(block) => left.push(*block),
                    Verb::Branch { cases, otherwise } => {
                        left.extend(cases.iter().map(|(_, block)| *block).chain(*otherwise));
                    }
                    _ => {}
                }
            }
        }
        false
    }

    /// Whether the step that goes on has a case for what was entered.
    pub fn names(&self, entered: &str) -> bool {
        let step = self.cursor.0.last().and_then(|(block, index)| self.program.step(*block, *index));
        step.is_some_and(
            |step| matches!(&step.verb, Verb::Gather { cases, .. } if cases.iter().any(|(d, _)| d == entered)),
        )
    }

    /// Control characters are taken out, since values end up in header lines.
    pub fn set(&mut self, name: &str, value: String) {
        self.variables.insert(Arc::from(super::text::variable_name(name)), clean(value));
    }

    /// The next action. Calling it again before `finished` gives the same action.
    #[allow(clippy::should_implement_trait, reason = "it is no iterator: it repeats itself until `finished`")]
    pub fn next(&mut self) -> Next {
        let program = Arc::clone(&self.program);
        loop {
            match &self.state {
                State::Waiting(what) => return Next::Do { action: what.0.clone(), at: Arc::clone(&what.1) },
                State::Ended => return Next::End,
                State::Runaway => return Next::Runaway,
                State::Ready => {}
            }
            self.steps += 1;
            let Some((block, index)) = self.cursor.0.last().copied() else {
                self.state = State::Ended;
                continue;
            };
            match program.step(block, index) {
                None => self.leave_block(),
                Some(_) if self.steps > Self::STEPS_MAX => self.state = State::Runaway,
                Some(step) => {
                    if let Some(action) = self.run(&step.verb) {
                        self.state = State::Waiting(Box::new((action, Arc::clone(&step.at))));
                    }
                }
            }
        }
    }

    fn leave_block(&mut self) {
        self.cursor.0.pop();
        self.advance();
    }

    fn advance(&mut self) {
        if let Some(top) = self.cursor.0.last_mut() {
            top.1 += 1;
        }
    }

    /// What the switch is to do for a step, or `None` if the step was done here and the cursor moved.
    fn run(&mut self, verb: &Verb) -> Option<Action> {
        let v = &self.variables;
        Some(match verb {
            Verb::Answer => Action::Answer,
            Verb::Reject { status, reason } => Action::Reject { status: *status, reason: reason.expand(v) },
            Verb::Play { file, loops } => Action::Play { file: file.expand(v).into(), loops: *loops },
            Verb::Say(say) => Action::Say(Box::new(say.map(&mut |t| t.expand(v)))),
            Verb::SendDigits(digits) => Action::SendDigits(digits.expand(v)),
            Verb::Gather { gather, .. } => Action::Gather(Box::new(gather.map(&mut |t| t.expand(v)))),
            Verb::Pay(pay) => Action::Pay(Box::new(pay.map(&mut |t| t.expand(v)))),
            Verb::Enqueue(enqueue) => Action::Enqueue(Box::new(enqueue.map(&mut |t| t.expand(v)))),
            Verb::Dequeue(dequeue) => Action::Dequeue(Box::new(dequeue.map(&mut |t| t.expand(v)))),
            Verb::Leave => Action::Leave,
            Verb::Redirect(redirect) => Action::Redirect(redirect.map(&mut |t| t.expand_uri(v))),
            Verb::Refer(refer) => Action::Refer(Box::new(refer.map(&mut |t| t.expand_uri(v)))),
            Verb::Sms(sms) => Action::Sms(Box::new(sms.map(&mut |t| t.expand(v)))),
            Verb::Unavailable(what) => Action::Unavailable(what.clone()),
            Verb::Feature(feature) => Action::Feature(Box::new(feature.map(&mut |t| t.expand(v)))),
            Verb::Tone { tone, country, duration } => {
                let country = country.clone().unwrap_or_else(|| Arc::from(""));
                Action::Tone { tone: *tone, country, duration: *duration }
            }
            Verb::Echo { duration } => Action::Echo { duration: *duration },
            Verb::Dial(dial) => Action::Dial(Box::new(self.dial(dial))),
            Verb::Conference(conference) => Action::Conference(Box::new(self.conference(conference))),
            Verb::Record(record) => Action::Record(record.clone()),
            Verb::RecordCall(asked, status) => Action::RecordCall(*asked, status.clone()),
            Verb::Pause(duration) => Action::Pause(*duration),
            Verb::Hangup { reason } => Action::Hangup { reason: reason.expand(v) },
            Verb::Log(line) => Action::Log(line.expand(v)),
            Verb::Set(pairs) => {
                for (name, value) in pairs {
                    let value = value.expand(&self.variables);
                    self.variables.insert(Arc::clone(name), clean(value));
                }
                self.advance();
                return None;
            }
            Verb::Branch { cases, otherwise } => {
                let taken = cases.iter().find(|(c, _)| c.holds(v, self.at)).map(|(_, block)| *block).or(*otherwise);
                match taken {
                    Some(block) => self.cursor.0.push((block, 0)),
                    None => self.advance(),
                }
                return None;
            }
            Verb::Goto(block) => {
                self.cursor.0 = vec![(*block, 0)];
                return None;
            }
        })
    }

    fn dial(&self, step: &DialStep) -> Dial {
        let v = &self.variables;
        let expand = |text: &Option<Text>| text.as_ref().map(|t| t.expand(v)).filter(|t| !t.is_empty());
        let order = if step.weighted { self.draw(step) } else { (0..step.targets.len()).collect() };
        let targets = order.iter().filter_map(|i| step.targets.get(*i)).map(|target| match &target.kind {
            TargetKind::User(name) => Target::User(name.expand(v)),
            TargetKind::Number { number, trunks, lcr } => {
                let trunks = trunks.iter().map(|t| t.expand(v)).collect();
                Target::Number { number: number.expand(v), trunks, lcr: *lcr }
            }
            TargetKind::Uri(uri) => Target::Uri(uri.expand_uri(v)),
        });
        Dial {
            targets: targets.collect(),
            strategy: step.strategy,
            timeout: step.timeout,
            caller_id: expand(&step.caller_id),
            caller_name: expand(&step.caller_name),
            attest: step.attest.clone(),
            media: step.media,
            codecs: step.codecs.clone(),
            time_limit: step.time_limit,
            ringback: step.ringback.clone(),
            record: step.record,
            headers: step.headers.iter().map(|(name, value)| (name.clone(), value.expand(v))).collect(),
            after: step.after.clone(),
            callees: order.iter().map(|i| step.callees.get(*i).cloned().unwrap_or_default()).collect(),
        }
    }

    fn conference(&self, step: &ConferenceStep) -> Conference {
        let v = &self.variables;
        let expand = |text: &Option<Text>| text.as_ref().map(|t| t.expand(v)).filter(|t| !t.is_empty());
        Conference {
            name: step.name.expand(v),
            beep: step.beep,
            muted: step.muted,
            coach: expand(&step.coach),
            start_on_enter: step.start_on_enter,
            end_on_exit: step.end_on_exit,
            max_participants: step.max_participants,
            wait: expand(&step.wait).map(Arc::from),
            hooks: step.hooks.clone(),
        }
    }

    /// An order of the targets in which each place is drawn by weight. The seed is the call's id and the step, so that a call
    /// replayed makes the same choice.
    fn draw(&self, step: &DialStep) -> Vec<usize> {
        let id = self.variables.get("call_id").map_or("", String::as_str);
        let bytes = id.bytes().chain(self.cursor.to_string().into_bytes()).chain(self.at.0.to_le_bytes());
        let seed = bytes.fold(0xCBF2_9CE4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3));
        let mut rng = Rng::from_seed(seed);
        let mut left: Vec<(usize, u64)> = step.targets.iter().map(|t| u64::from(t.weight)).enumerate().collect();
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let mut drawn = rng.below(left.iter().map(|(_, w)| w).sum());
            let place = left.iter().position(|(_, w)| {
                let here = drawn < *w;
                drawn = drawn.saturating_sub(*w);
                here
            });
            order.push(left.remove(place.unwrap_or(0)).0);
        }
        order
    }

    /// Reports how the action went. If the step has a block for the outcome under `on:` it is entered, and the script goes on
    /// with the next step after it. After `dial`: `Answered` without a block ends the script; any other outcome without a block goes
    /// on with the next step. `reject` and `hangup` end the script. The variable `dial_status` holds the outcome of the last `dial`.
    pub fn finished(&mut self, outcome: Outcome) {
        let State::Waiting(what) = std::mem::replace(&mut self.state, State::Ready) else {
            self.state = State::Ended;
            crate::bug!("an outcome of a script that waits for none");
            return;
        };
        let is_dial = matches!(what.0, Action::Dial(_) | Action::Dequeue(_));
        if is_dial {
            self.set("dial_status", outcome.as_str().to_owned());
        }
        if takes_time(&what.0, outcome) {
            self.steps = 0;
        }
        let program = Arc::clone(&self.program);
        let entered = self.variables.get("digits").cloned().unwrap_or_default();
        let block = self.cursor.0.last().and_then(|(block, index)| program.step(*block, *index)).and_then(|step| {
            let case = match &step.verb {
                Verb::Gather { cases, .. } if outcome == Outcome::Done => cases.iter().find(|(d, _)| *d == entered),
                _ => None,
            };
            let on = step.on.iter().find(|(o, _)| *o == outcome).map(|(_, block)| *block);
            case.map(|(_, block)| *block).or(on)
        });
        match (block, what.0) {
            (Some(block), _) => self.cursor.0.push((block, 0)),
            (None, Action::Reject { .. } | Action::Hangup { .. }) => self.end(),
            (None, Action::Dial(_) | Action::Dequeue(_) | Action::Feature(_)) if outcome == Outcome::Answered => {
                self.end()
            }
            (None, _) => self.advance(),
        }
    }

    fn end(&mut self) {
        self.cursor.0.clear();
        self.state = State::Ended;
    }
}

/// Whether an action that went so cannot be repeated without end at one moment.
fn takes_time(action: &Action, outcome: Outcome) -> bool {
    match action {
        Action::Dial(_) | Action::Play { .. } | Action::Echo { .. } | Action::Tone { .. } | Action::Conference(_) => {
            outcome != Outcome::Failed
        }
        Action::Say(_)
        | Action::SendDigits(_)
        | Action::Gather(_)
        | Action::Pay(_)
        | Action::Enqueue(_)
        | Action::Refer(_)
        | Action::Dequeue(_) => outcome != Outcome::Failed,
        Action::Leave | Action::Redirect(_) | Action::Sms(_) | Action::Unavailable(_) => false,
        Action::Feature(feature) => feature.takes_time() && outcome != Outcome::Failed,
        Action::Pause(duration) => !duration.is_zero(),
        Action::Record(_) => outcome != Outcome::Failed,
        Action::Answer | Action::Reject { .. } | Action::RecordCall(..) | Action::Hangup { .. } | Action::Log(_) => {
            false
        }
    }
}

/// Without the variables: what somebody typed may be among them.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({self})")
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Ready => "ready",
            State::Waiting(what) => what.0.verb(),
            State::Ended => "ended",
            State::Runaway => "runaway",
        };
        write!(f, "{} {state}", self.cursor)
    }
}

/// Strategy under which a group's targets are tried.
impl Strategy {
    pub const fn as_str(self) -> &'static str {
        match self {
            Strategy::Sequential => "sequential",
            Strategy::Simultaneous => "simultaneous",
        }
    }
}
