//! Queues: who waits in which, and who takes whom out; first in, first out.
//!
//! Calls do not know each other: what happens between two of them are [`News`], handed over after each input. A call that waits is in
//! one list, or it is one of a pair; whatever ends leaves both.

use super::call::{Call, Doing};
use super::world::{CallKey, World};
use crate::base::time::{Duration, Now, Wall};
use crate::event::CallId;
use crate::media::command::{LegId, Method, Press};
use crate::verb::Hook;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// Queues at once, those of the REST API and those that calls have made. Beyond it empty ones of calls are forgotten.
pub const QUEUES_MAX: usize = 1_000;
/// Who comes when so many wait does not get in, if nobody says otherwise; and the most that anybody may say.
pub const SIZE: u32 = 1_000;
pub const SIZE_MAX: u32 = 5_000;

/// Shown as `QU` and 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QueueId(pub u128);

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QU{:032x}", self.0)
    }
}

impl std::str::FromStr for QueueId {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        let hex = s.strip_prefix("QU").filter(|h| h.len() == 32 && h.is_ascii()).ok_or(())?;
        u128::from_str_radix(hex, 16).map(QueueId).map_err(|_| ())
    }
}

impl QueueId {
    /// Of a queue that a call makes: it follows from the name, so that it is the same after a restart.
    pub fn of_name(name: &str) -> QueueId {
        let fold = |seed: u64| name.bytes().fold(seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3));
        QueueId(u128::from(fold(0xCBF2_9CE4_8422_2325)) << 64 | u128::from(fold(0x6C62_272E_07BB_0142)))
    }
}

/// All queues.
#[derive(Debug, Default)]
pub struct Queues {
    by_id: BTreeMap<QueueId, Queue>,
    /// Who is promised to, or joined with, whom: both ways.
    pairs: BTreeMap<CallKey, CallKey>,
    news: VecDeque<(CallKey, News)>,
}

#[derive(Debug)]
struct Queue {
    name: String,
    max: u32,
    since: Now,
    waiting: VecDeque<Waiting>,
    takers: VecDeque<Taker>,
}

/// One who waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub call: CallKey,
    pub id: CallId,
    pub since: Now,
}

/// One who waits for somebody to come.
#[derive(Clone, Debug)]
pub struct Taker {
    pub call: CallKey,
    pub id: CallId,
    pub end: End,
    /// What the one who waited hears before both are joined.
    pub url: Option<Hook>,
}

/// A leg that a leg of another call may hear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    pub media: LegId,
    /// How its peer gets digits.
    pub digits: Option<Method>,
}

/// What a call is told of another.
#[derive(Clone, Debug)]
pub enum News {
    /// Somebody takes this one out.
    Taken(Box<Taker>),
    /// The one who waited is here.
    Met {
        id: CallId,
        end: End,
    },
    /// The other one has left.
    Parted,
    /// The other one's leg is another from now on.
    Moved(End),
    /// The other one's phone holds, or is back.
    Held(bool),
    Digit(Press, Method),
}

/// What the operator sees of a queue.
#[derive(Clone, Debug)]
pub struct QueueView {
    pub id: QueueId,
    pub name: String,
    pub max: u32,
    pub since: Wall,
    /// In their order.
    pub members: Vec<MemberView>,
    /// Calls that wait for somebody to come.
    pub takers: usize,
}

#[derive(Clone, Debug)]
pub struct MemberView {
    pub call: CallId,
    pub since: Wall,
    pub waited_s: u64,
    /// From 1.
    pub position: usize,
}

impl QueueView {
    /// For how long those who are there have waited, on average.
    pub fn average_s(&self) -> u64 {
        let all: u64 = self.members.iter().map(|m| m.waited_s).sum();
        all.checked_div(self.members.len() as u64).unwrap_or(0)
    }
}

impl Queue {
    fn view(&self, id: QueueId, now: Now) -> QueueView {
        let member = |(n, w): (usize, &Waiting)| MemberView {
            call: w.id,
            since: w.since.wall,
            waited_s: now.mono.since(w.since.mono).as_secs(),
            position: n + 1,
        };
        QueueView {
            id,
            name: self.name.clone(),
            max: self.max,
            since: self.since.wall,
            members: self.waiting.iter().enumerate().map(member).collect(),
            takers: self.takers.len(),
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.takers.is_empty()
    }
}

impl World {
    /// The queue of a name, which is made if it is not there; `None`: there are too many.
    pub fn queue_named(&mut self, name: &str) -> Option<QueueId> {
        let setting = self.settings.queues.iter().find(|q| q.name == name);
        let (id, max) = setting.map_or((QueueId::of_name(name), SIZE), |q| (q.id, q.max));
        if !self.queues.by_id.contains_key(&id) {
            if self.queues.by_id.len() >= QUEUES_MAX {
                let kept = &self.settings.queues;
                let unused = |(id, q): &(&QueueId, &Queue)| q.is_empty() && !kept.iter().any(|k| k.id == **id);
                let oldest = self.queues.by_id.iter().filter(unused).min_by_key(|(_, q)| q.since.mono);
                let oldest = oldest.map(|(id, _)| *id)?;
                self.queues.by_id.remove(&oldest);
            }
            let (waiting, takers) = (VecDeque::new(), VecDeque::new());
            self.queues.by_id.insert(id, Queue { name: name.to_owned(), max, since: self.now, waiting, takers });
        }
        Some(id)
    }

    /// Takes a call's place at the end of a queue; false if so many wait already.
    pub fn join_queue(&mut self, id: QueueId, max: u32, new: Waiting) -> bool {
        let Some(queue) = self.queues.by_id.get_mut(&id) else { return false };
        if queue.waiting.len() >= queue.max.min(max) as usize {
            return false;
        }
        queue.waiting.push_back(new);
        self.match_queue(id);
        true
    }

    /// Gives one who was taken and not met its place back: before those that came at its moment or later.
    pub fn rejoin_queue(&mut self, id: QueueId, old: Waiting) {
        let Some(queue) = self.queues.by_id.get_mut(&id) else { return };
        let at = queue.waiting.partition_point(|w| w.since.mono < old.since.mono);
        queue.waiting.insert(at, old);
        self.match_queue(id);
    }

    pub fn add_taker(&mut self, id: QueueId, taker: Taker, is_first: bool) {
        let Some(queue) = self.queues.by_id.get_mut(&id) else { return };
        if is_first {
            queue.takers.push_front(taker)
        } else {
            queue.takers.push_back(taker)
        }
        self.match_queue(id);
    }

    /// The leg of one who waits for somebody is another from now on.
    pub fn move_taker(&mut self, call: CallKey, end: End) {
        let all = self.queues.by_id.values_mut().flat_map(|q| &mut q.takers);
        all.filter(|t| t.call == call).for_each(|t| t.end = end);
    }

    /// Whoever waits longest goes to whoever has asked first.
    fn match_queue(&mut self, id: QueueId) {
        let Queues { by_id, pairs, news } = &mut self.queues;
        let Some(queue) = by_id.get_mut(&id) else { return };
        while !queue.waiting.is_empty() && !queue.takers.is_empty() {
            let (Some(one), Some(taker)) = (queue.waiting.pop_front(), queue.takers.pop_front()) else { return };
            pairs.insert(one.call, taker.call);
            pairs.insert(taker.call, one.call);
            news.push_back((one.call, News::Taken(Box::new(taker))));
        }
    }

    /// The call is in no list and in no pair from now on; the other one of its pair is told.
    pub fn part(&mut self, call: CallKey) {
        for queue in self.queues.by_id.values_mut() {
            queue.waiting.retain(|w| w.call != call);
            queue.takers.retain(|t| t.call != call);
        }
        if let Some(other) = self.queues.pairs.remove(&call) {
            self.queues.pairs.remove(&other);
            self.queues.news.push_back((other, News::Parted));
        }
    }

    pub fn is_paired(&self, call: CallKey) -> bool {
        self.queues.pairs.contains_key(&call)
    }

    /// Tells the other one of a pair.
    pub fn tell_partner(&mut self, call: CallKey, news: News) {
        if let Some(other) = self.queues.pairs.get(&call) {
            self.queues.news.push_back((*other, news));
        }
    }

    /// What is to be told to calls that did nothing themselves, one at a time.
    pub fn queue_news(&mut self) -> Option<(CallKey, News)> {
        self.queues.news.pop_front()
    }

    pub fn queue_view(&self, id: QueueId) -> Option<QueueView> {
        self.queues.by_id.get(&id).map(|queue| queue.view(id, self.now))
    }

    pub fn queue_views(&self) -> Vec<QueueView> {
        self.queues.by_id.iter().map(|(id, queue)| queue.view(*id, self.now)).collect()
    }

    /// The REST API's queues are others: names and sizes follow, whoever waits stays.
    pub fn queues_set(&mut self) {
        for setting in &self.settings.queues {
            if let Some(queue) = self.queues.by_id.get_mut(&setting.id) {
                queue.name.clone_from(&setting.name);
                queue.max = setting.max;
            }
        }
    }

    /// A queue is removed; false if somebody waits in it.
    pub fn forget_queue(&mut self, id: QueueId) -> bool {
        match self.queues.by_id.get(&id) {
            Some(queue) if !queue.is_empty() => false,
            _ => {
                self.queues.by_id.remove(&id);
                self.settings.queues.retain(|q| q.id != id);
                true
            }
        }
    }

    /// The call of a member, or of the first.
    pub fn member(&self, id: QueueId, call: Option<CallId>) -> Option<(CallKey, MemberView)> {
        let queue = self.queues.by_id.get(&id)?;
        let at = queue.waiting.iter().position(|w| call.is_none_or(|call| w.id == call))?;
        Some((queue.waiting.get(at)?.call, queue.view(id, self.now).members.into_iter().nth(at)?))
    }
}

impl super::Switch {
    /// What would be wrong with the queues between two inputs: nothing, ever. For tests.
    pub fn queue_faults(&self) -> Vec<String> {
        let queues = &self.world.queues;
        let mut wrong = Vec::new();
        let mut places: BTreeMap<CallKey, usize> = BTreeMap::new();
        let lists = queues.by_id.values().flat_map(|q| {
            let takers = q.takers.iter().map(|t| t.call);
            q.waiting.iter().map(|w| w.call).chain(takers)
        });
        lists.chain(queues.pairs.keys().copied()).for_each(|call| *places.entry(call).or_default() += 1);
        for (key, places) in &places {
            let wants = self.calls.get(*key).is_some_and(|c| c.ending.is_none() && c.wants_place());
            if *places != 1 || !wants {
                wrong.push(format!("{key:?} has {places} places in queues, and wants one: {wants}"));
            }
        }
        for (key, call) in self.calls.iter() {
            if call.ending.is_none() && call.wants_place() && !places.contains_key(&key) {
                wrong.push(format!("{} waits, and no queue knows of it", call.id));
            }
        }
        for (a, b) in &queues.pairs {
            if queues.pairs.get(b) != Some(a) {
                wrong.push(format!("{a:?} is joined with {b:?}, and not the other way round"));
            }
        }
        for queue in queues.by_id.values() {
            if !queue.waiting.is_empty() && !queue.takers.is_empty() {
                wrong.push(format!("somebody waits in {}, and somebody waits for one", queue.name));
            }
            if !queue.waiting.iter().is_sorted_by(|a, b| a.since.mono <= b.since.mono) {
                wrong.push(format!("{}: who came first is not the first", queue.name));
            }
        }
        if !queues.news.is_empty() {
            wrong.push("news that nobody was told".to_owned());
        }
        wrong
    }
}

impl Call {
    /// It waits in a queue, waits for somebody in one, or is joined with the other.
    pub fn wants_place(&self) -> bool {
        self.queued.is_some() || matches!(self.doing, Doing::Taking(_) | Doing::Linked(_))
    }
}

/// Seconds, as webhooks write them.
pub fn seconds(duration: Duration) -> String {
    duration.as_secs().to_string()
}
