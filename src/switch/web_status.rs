//! Status callbacks: who is told how a call goes, and what.

use super::call::Call;
use super::world::World;
use crate::base::time::Duration;
use crate::web::{Address, Parameters};

/// Moments of a call that are told, in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Progress {
    Initiated,
    Ringing,
    Answered,
    Completed,
}

impl Progress {
    pub const ALL: [Progress; 4] = [Progress::Initiated, Progress::Ringing, Progress::Answered, Progress::Completed];

    /// As `statusCallbackEvent` writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Progress::Initiated => "initiated",
            Progress::Ringing => "ringing",
            Progress::Answered => "answered",
            Progress::Completed => "completed",
        }
    }
}

/// Who is told of which moments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watch {
    address: Address,
    events: Vec<Progress>,
    /// Number of the next callback of the call.
    next: u32,
}

impl Watch {
    /// `events` as markup and REST write them, with blanks or commas between; none, or none that is known, is the end alone.
    pub fn new(address: Address, events: &str) -> Watch {
        let named = |p: &Progress| events.split([' ', ',']).any(|name| name.eq_ignore_ascii_case(p.as_str()));
        let mut events: Vec<Progress> = Progress::ALL.into_iter().filter(named).collect();
        if events.is_empty() {
            events.push(Progress::Completed);
        }
        Watch { address, events, next: 0 }
    }
}

impl Call {
    /// Tells whoever watches, if this moment is asked for. The end is told before the call's record is made.
    pub fn progress(&mut self, w: &mut World, progress: Progress) {
        let Some(watch) = self.watched.as_mut().filter(|watch| watch.events.contains(&progress)) else { return };
        let (address, number) = (watch.address.clone(), watch.next);
        watch.next += 1;
        let mut more: Parameters = vec![
            ("CallbackSource".into(), "call-progress-events".into()),
            ("SequenceNumber".into(), number.to_string()),
            ("Timestamp".into(), w.now.wall.rfc2822()),
        ];
        if progress == Progress::Completed {
            more.extend(self.ended_parameters());
        }
        let status = match progress {
            Progress::Initiated => "initiated",
            Progress::Ringing => "ringing",
            Progress::Answered => "in-progress",
            Progress::Completed => self.status(),
        };
        more.push(("CallStatus".into(), status.to_owned()));
        self.call_back_as(w, address, more);
    }

    /// How long the call was, in seconds and in minutes begun, and the status that said its end.
    fn ended_parameters(&self) -> Parameters {
        let Some((ending, at)) = &self.ending else { return Parameters::new() };
        let talked = self.answered.map_or(Duration::ZERO, |answered| at.mono.since(answered.mono));
        let seconds = talked.as_secs();
        let status = if self.answered.is_some() { 200 } else { ending.status };
        vec![
            ("CallDuration".into(), seconds.to_string()),
            ("Duration".into(), seconds.div_ceil(60).to_string()),
            ("SipResponseCode".into(), status.to_string()),
        ]
    }
}
