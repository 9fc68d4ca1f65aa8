//! Where the control thread leaves what HTTP servers and speakers are to do.

use crate::speech;
use crate::switch::Input;
use crate::web::{Event, Fault, Order, Reason};

/// The control thread's end; nothing here waits.
#[derive(Debug, Default)]
pub struct Outside;

impl Outside {
    /// Leaves an order; the answer to one that cannot be taken.
    pub fn web(&mut self, order: Order) -> Option<Input> {
        let Order::Fetch(fetch) = order else { return None };
        let fault = Fault::new(Reason::Internal, fetch.address.url, "nothing can be fetched");
        Some(Input::Web(Event::Fetched { id: fetch.id, result: Err(fault) }))
    }

    /// As [`Outside::web`].
    pub fn speech(&mut self, order: speech::Order) -> Option<Input> {
        let speech::Order::Say(say) = order else { return None };
        let why = speech::Fault::new(speech::Reason::Text, "there is no speaker");
        Some(Input::Speech(speech::Event::Failed { id: say.id, why }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web;

    #[test]
    fn an_order_that_cannot_be_taken_is_answered() {
        let fetch = web::Fetch {
            id: web::FetchId(3),
            call: crate::event::CallId(1),
            want: web::Want::Document,
            address: web::Address::new("http://a/", web::Method::Get),
            fallback: None,
            parameters: Vec::new(),
        };
        let answer = Outside.web(Order::Fetch(Box::new(fetch)));
        assert!(matches!(answer, Some(Input::Web(Event::Fetched { id: web::FetchId(3), result: Err(_) }))));
        assert!(Outside.web(Order::Forget(crate::event::CallId(1))).is_none());
    }
}
