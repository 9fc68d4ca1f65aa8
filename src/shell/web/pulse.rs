//! A timer that is always pending while there is work. tokio's runtime wakes itself by a system call for a timer that ends before all
//! others, so for each first limit of a request; beside this one those are set without.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// Shorter than the usual limits of a request, and long enough to cost nothing.
const PERIOD: Duration = Duration::from_secs(2);

#[derive(Default)]
pub struct Pulse {
    /// `None`: nothing came for a period.
    next: Option<Pin<Box<Sleep>>>,
    /// Something came since the last.
    is_busy: bool,
}

impl Pulse {
    /// Waits for what comes next. What has come begins the pulse, or keeps it up.
    pub async fn beside<T>(&mut self, coming: impl Future<Output = T>) -> T {
        let mut coming = pin!(coming);
        let come = poll_fn(|context| {
            if let Poll::Ready(come) = coming.as_mut().poll(context) {
                return Poll::Ready(come);
            }
            while let Some(next) = &mut self.next
                && next.as_mut().poll(context).is_ready()
            {
                match std::mem::take(&mut self.is_busy) {
                    true => next.as_mut().reset(Instant::now() + PERIOD),
                    false => self.next = None,
                }
            }
            Poll::Pending
        });
        let come = come.await;
        self.is_busy = true;
        self.next.get_or_insert_with(|| Box::pin(sleep(PERIOD)));
        come
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn it_beats_while_something_comes_and_then_stops() {
        let mut pulse = Pulse::default();
        assert_eq!(pulse.beside(ready(1)).await, 1);
        assert!(timeout(PERIOD * 3 / 2, pulse.beside(pending::<()>())).await.is_err());
        assert!(pulse.next.is_some(), "something came in the first period");
        assert_eq!(pulse.beside(ready(2)).await, 2);
        assert!(timeout(PERIOD, pulse.beside(pending::<()>())).await.is_err());
        assert!(pulse.next.is_some(), "and in the second");
        assert!(timeout(PERIOD, pulse.beside(pending::<()>())).await.is_err());
        assert!(pulse.next.is_none(), "nothing in the third");
    }
}
