//! What name servers have answered, and what they are being asked.

use super::{Answer, Query, QueryId, Question, Record};
use crate::base::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};

/// Questions remembered; the one not used for longest goes.
const ENTRIES_MAX: usize = 2_048;
/// Queries under way; more are not asked, as if nobody had answered.
const PENDING_MAX: usize = 256;
/// Records kept of one answer.
const RECORDS_MAX: usize = 64;

/// Bounds of what is believed of a TTL. RFC 2181 §8 allows any; less than a second would ask for each message.
const TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(86_400));
/// The same of "there is none" (RFC 2308 §5: hours are too long), and what holds if the server does not say.
const ABSENT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(900));
const ABSENT_UNTOLD: Duration = Duration::from_secs(60);
/// How long after a failure nobody asks again: doubled with each further one.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// How long an expired answer is still given while no server answers (RFC 8767 §5).
const STALE: Duration = Duration::from_secs(86_400);

struct Entry {
    records: Vec<Record>,
    /// Until when what is known may be given; `None`: nothing was ever answered.
    good: Option<Instant>,
    /// From when on it is asked again.
    expires: Instant,
    used: Instant,
    asking: Option<QueryId>,
    failures: u32,
}

/// What is known of a question.
pub enum Look<'a> {
    /// The records, none if there are none or nobody answers.
    Known(&'a [Record]),
    /// Nothing yet, and it is being asked.
    Awaited,
}

#[derive(Default)]
pub struct Cache {
    entries: BTreeMap<Question, Entry>,
    pending: BTreeMap<QueryId, Question>,
    out: VecDeque<Query>,
    last: u64,
}

impl Cache {
    pub fn poll(&mut self) -> Option<Query> {
        self.out.pop_front()
    }

    /// Looks a question up, and has it asked if that is due.
    pub fn look(&mut self, now: Instant, question: Question) -> Look<'_> {
        if !self.entries.contains_key(&question) {
            if self.pending.len() >= PENDING_MAX {
                return Look::Known(&[]);
            }
            self.make_room();
            let new = Entry { records: Vec::new(), good: None, expires: now, used: now, asking: None, failures: 0 };
            self.entries.insert(question.clone(), new);
        }
        let room = self.pending.len() < PENDING_MAX;
        let Some(entry) = self.entries.get_mut(&question) else { return Look::Known(&[]) };
        entry.used = now;
        if entry.expires <= now && entry.asking.is_none() && room {
            self.last += 1;
            let id = QueryId(self.last);
            entry.asking = Some(id);
            self.pending.insert(id, question.clone());
            self.out.push_back(Query { id, question });
        }
        match entry.good {
            Some(good) if now <= good => Look::Known(&entry.records),
            _ if entry.asking.is_some() && entry.failures == 0 => Look::Awaited,
            _ => Look::Known(&[]),
        }
    }

    /// See [`super::Locator::answer`].
    pub fn answer(&mut self, now: Instant, id: QueryId, answer: Answer) -> bool {
        let Some(question) = self.pending.remove(&id) else { return false };
        let Some(entry) = self.entries.get_mut(&question) else { return false };
        entry.asking = None;
        let (records, ttl) = match answer {
            Answer::Failed => {
                let wait = RETRY.0.saturating_mul(1 << entry.failures.min(10)).min(RETRY.1);
                entry.failures = entry.failures.saturating_add(1);
                entry.expires = now + wait;
                return true;
            }
            Answer::Found { records, ttl } if !records.is_empty() => (records, ttl.clamp(TTL.0, TTL.1)),
            Answer::Found { .. } => (Vec::new(), ABSENT_UNTOLD),
            Answer::Absent { ttl } => (Vec::new(), ttl.unwrap_or(ABSENT_UNTOLD).clamp(ABSENT.0, ABSENT.1)),
        };
        entry.records = records;
        entry.records.truncate(RECORDS_MAX);
        entry.failures = 0;
        entry.expires = now + ttl;
        entry.good = Some(entry.expires + STALE);
        true
    }

    fn make_room(&mut self) {
        while self.entries.len() >= ENTRIES_MAX {
            let idle = self.entries.iter().filter(|(_, e)| e.asking.is_none());
            let Some(oldest) = idle.min_by_key(|(_, e)| e.used).map(|(q, _)| q.clone()) else { return };
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn what_is_remembered_and_asked_is_bounded() {
        let mut cache = Cache::default();
        let question = |n: u64| Question { name: format!("h{n}.example").into(), kind: Kind::A };
        for n in 0..10_000 {
            let now = Instant::from_micros(n);
            cache.look(now, question(n));
            if n % 3 == 0
                && let Some(query) = cache.poll()
            {
                assert!(cache.answer(now, query.id, Answer::Absent { ttl: None }));
                assert!(!cache.answer(now, query.id, Answer::Failed), "answered once");
            }
        }
        assert!(cache.entries.len() <= ENTRIES_MAX && cache.pending.len() <= PENDING_MAX);
    }
}
