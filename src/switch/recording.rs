//! Recording a call, or a caller's message. The recorder is the shell's: orders go out, and what it tells comes back as an input.

use super::call::{Call, Doing};
use super::io::Output;
use super::world::{CallTimer, World};
use crate::base::time::{Duration, Now};
use crate::event::{RecordingId, Side, What};
use crate::media::command::{Hears, TapId, Tone, Tones};
use crate::recording::command::{Event, Order, Paused, Sides, Start};
use crate::verb::{Action, Channels, Outcome, Record, RecordCall, Script, StatusHook};

/// A recorder that is asked to stop answers within half a second; one that does not is not waited for longer.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Recordings of one call whose end somebody is told.
const TOLD_MAX: usize = 16;

/// Why there is a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    /// The call's, until it ends.
    Call,
    /// A dial's, until that ends.
    Dial,
    /// The step `record`.
    Message,
}

/// A recording that goes on.
#[derive(Clone, Copy, Debug)]
pub struct Recording {
    tap: TapId,
    id: RecordingId,
    whose: Whose,
    since: Now,
}

impl Call {
    /// The recording that goes on.
    pub fn recorded_now(&self) -> Option<RecordingId> {
        self.recording.map(|r| r.id)
    }

    /// Begins a recording of the caller's leg; `None` if there is one already.
    fn start_recording(
        &mut self,
        w: &mut World,
        whose: Whose,
        sides: Sides,
        trim: bool,
        quiet_after: Option<Duration>,
    ) -> Option<TapId> {
        if self.recording.is_some() {
            self.note(w, Side::Call, What::Note("the call is recorded already: one recording at a time".into()));
            return None;
        }
        let tap = w.new_tap(self.key);
        let id = RecordingId(u128::from(w.ep.rng().next_u64()) << 64 | u128::from(w.ep.rng().next_u64()));
        let start = Start { tap, id, call: self.id, conference: None, at: w.now, sides, trim, quiet_after };
        w.output(Output::Record(Order::Start(Box::new(start))));
        self.recording = Some(Recording { tap, id, whose, since: w.now });
        self.tap_caller(w, Some(tap));
        let kind = match sides {
            Sides::Said => "the caller's message",
            Sides::Mono => "both parties in one channel",
            Sides::Dual => "a channel for each party",
        };
        self.note(w, Side::Call, What::Media(format!("recording {id}: {kind}").into()));
        Some(tap)
    }

    fn tap_caller(&mut self, w: &mut World, tap: Option<TapId>) {
        let timeout = w.config.media.rtp_timeout.filter(|_| self.answered.is_some());
        if let Some(leg) = self.legs.first_mut()
            && leg.is_alive()
            && let Some(set) = leg.session.tap(tap, timeout)
        {
            w.output(Output::Media(set));
        }
    }

    /// Ends the recording that is one of these.
    fn stop_recording(&mut self, w: &mut World, whose: &[Whose]) {
        let Some(recording) = self.recording.take_if(|r| whose.contains(&r.whose)) else { return };
        w.output(Output::Record(Order::Stop { tap: recording.tap, at: w.now.mono }));
        self.tap_caller(w, None);
        let after = w.now.mono.since(recording.since.mono);
        let text = format!("recording {} ended after {:.1} s", recording.id, after.as_secs_f32());
        self.note(w, Side::Call, What::Media(text.into()));
    }

    /// The call is over, and whatever is recorded of it.
    pub fn end_recording(&mut self, w: &mut World) {
        self.stop_recording(w, &[Whose::Call, Whose::Dial, Whose::Message]);
    }

    /// A message is given up.
    pub fn end_message(&mut self, w: &mut World) {
        self.stop_recording(w, &[Whose::Message]);
    }

    // ---- a whole call ----------------------------------------------------------------------------------------------

    /// The step `record_call`.
    pub fn record_call(&mut self, w: &mut World, asked: RecordCall, status: Option<StatusHook>) -> Outcome {
        if self.direct {
            self.note(w, Side::Call, What::Note("media is direct: nothing can be recorded".into()));
            return Outcome::Failed;
        }
        let at = w.now.mono;
        let running = self.recording.map(|r| r.tap);
        match (asked, running) {
            (RecordCall::Start(channels), _) => {
                let sides = sides(w, channels);
                let started = self.start_recording(w, Whose::Call, sides, false, None);
                if started.is_some() {
                    self.told_of(status);
                }
                return if started.is_some() { Outcome::Done } else { Outcome::Failed };
            }
            (_, None) => {
                self.note(w, Side::Call, What::Note("the call is not recorded".into()));
                return Outcome::Failed;
            }
            (RecordCall::Stop, Some(_)) => self.stop_recording(w, &[Whose::Call, Whose::Dial]),
            (RecordCall::Pause { skip }, Some(tap)) => {
                let how = if skip { Paused::Skip } else { Paused::Silence };
                w.output(Output::Record(Order::Pause { tap, at, how }));
                self.note(w, Side::Call, What::Media("recording paused".into()));
            }
            (RecordCall::Resume, Some(tap)) => {
                w.output(Output::Record(Order::Resume { tap, at }));
                self.note(w, Side::Call, What::Media("recording resumed".into()));
            }
        }
        Outcome::Done
    }

    /// A dial that is to be recorded has come so far: it rings, or it is answered.
    pub fn record_dial(&mut self, w: &mut World, channels: Option<Channels>) {
        if self.direct {
            self.note(w, Side::Call, What::Note("media is direct: nothing can be recorded".into()));
        } else if self.recording.is_none_or(|r| r.whose != Whose::Dial) {
            let sides = sides(w, channels);
            let (trim, status) = match self.script.as_ref().and_then(Script::waiting) {
                Some(Action::Dial(dial)) => (dial.after.trim, dial.after.recording.clone()),
                Some(Action::Dequeue(asked)) => (asked.after.trim, asked.after.recording.clone()),
                _ => (false, None),
            };
            if self.start_recording(w, Whose::Dial, sides, trim, None).is_some() {
                self.dialled.recording = self.recording.map(|r| r.id);
                self.told_of(status);
            }
        }
    }

    /// Who is told when the recording that has begun is complete.
    fn told_of(&mut self, status: Option<StatusHook>) {
        if let (Some(recording), Some(status)) = (self.recording, status)
            && self.recordings_told.len() < TOLD_MAX
        {
            self.recordings_told.push((recording.tap, recording.id, status));
        }
    }

    pub fn dial_recorded(&mut self, w: &mut World) {
        self.stop_recording(w, &[Whose::Dial]);
    }

    // ---- a message -------------------------------------------------------------------------------------------------

    /// The step `record`: a beep, then the caller's message.
    pub fn record_message(&mut self, w: &mut World, record: Box<Record>) -> Option<Outcome> {
        if !record.beep {
            return self.message_begins(w, record);
        }
        let id = w.new_play();
        let country = w.config.media.country.as_str().into();
        self.hear(w, 0, Hears::Tone { id, tone: Tone::Beep, country, duration: None });
        self.doing = Doing::Beeping(id, record);
        None
    }

    pub fn message_begins(&mut self, w: &mut World, record: Box<Record>) -> Option<Outcome> {
        // Who has no other way ends the message by a tone. It is in the recording, as whoever pressed the key heard it.
        self.want_tones(Tones::Told);
        self.hear(w, 0, Hears::Silence);
        let quiet_after = Some(record.timeout).filter(|t| !t.is_zero());
        if self.start_recording(w, Whose::Message, Sides::Said, record.trim, quiet_after).is_none() {
            return Some(Outcome::Failed);
        }
        self.told_of(record.status.clone());
        self.set_timer(w, CallTimer::Step, record.max_length);
        self.doing = Doing::Recording(record);
        None
    }

    /// The message is over: a digit, silence, or its longest time. What the recorder has of it is awaited.
    fn message_ends(&mut self, w: &mut World, why: &str) {
        let Some(recording) = self.recording else { return };
        self.note(w, Side::Call, What::Media(format!("the message ends: {why}").into()));
        self.want_tones(Tones::Passed);
        self.stop_recording(w, &[Whose::Message]);
        self.doing = Doing::Saving(recording.tap, recording.id);
        self.set_timer(w, CallTimer::Step, STOP_TIMEOUT);
    }

    /// True if the timer of the step was the message's.
    pub fn on_message_timer(&mut self, w: &mut World) -> bool {
        match self.doing {
            Doing::Recording(_) => self.message_ends(w, "its longest time"),
            Doing::Saving(..) => self.step_done(w, Outcome::Failed),
            _ => return false,
        }
        true
    }

    /// A digit may end the message.
    pub fn on_message_digit(&mut self, w: &mut World, digit: char) {
        if let Doing::Recording(record) = &self.doing
            && record.finish_on_key.contains(digit)
        {
            self.set_variable("recording_key", digit.to_string());
            self.message_ends(w, "a key was pressed");
        }
    }

    fn want_tones(&mut self, wanted: Tones) {
        if let Some(leg) = self.legs.first_mut() {
            leg.session.want_tones(wanted);
        }
    }

    pub fn set_variable(&mut self, name: &str, value: String) {
        if let Some(script) = &mut self.script {
            script.set(name, value);
        }
    }

    // ---- what the recorder tells -----------------------------------------------------------------------------------

    pub fn on_recording(&mut self, w: &mut World, event: Event) {
        match event {
            Event::Quiet { tap } => {
                if matches!(self.doing, Doing::Recording(_)) && self.recording.is_some_and(|r| r.tap == tap) {
                    self.message_ends(w, "silence");
                }
            }
            Event::Stopped { tap, duration, heard } => self.on_recorded(w, tap, duration, heard),
            Event::Failed { tap, why } => {
                self.note(w, Side::Call, What::Media(format!("the recording failed: {why}").into()));
                if self.recording.is_none_or(|r| r.tap != tap) {
                    return;
                }
                // It is over, so that another one can begin.
                self.end_recording(w);
                if matches!(self.doing, Doing::Recording(_)) {
                    self.step_done(w, Outcome::Failed);
                }
            }
        }
    }

    fn on_recorded(&mut self, w: &mut World, tap: TapId, duration: Duration, heard: bool) {
        if let Some(at) = self.recordings_told.iter().position(|(told, _, _)| *told == tap) {
            let (_, id, status) = self.recordings_told.remove(at);
            self.tell_recording(w, id, &status, duration.as_millis().div_ceil(1_000) as u64);
        }
        let Doing::Saving(saved, id) = self.doing else { return };
        if saved != tap {
            return;
        }
        self.set_variable("recording", id.to_string());
        self.set_variable("recording_duration", duration.as_millis().div_ceil(1_000).to_string());
        // Twilio's Record goes on with the next verb if nothing was said.
        self.step_done(w, if heard { Outcome::Done } else { Outcome::Failed });
    }
}

fn sides(w: &World, channels: Option<Channels>) -> Sides {
    let usual = if w.config.recording.mono { Channels::Mono } else { Channels::Dual };
    match channels.unwrap_or(usual) {
        Channels::Mono => Sides::Mono,
        Channels::Dual => Sides::Dual,
    }
}
