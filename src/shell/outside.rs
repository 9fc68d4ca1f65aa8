//! Where the control thread leaves what HTTP servers, speakers, listeners and name servers are to do.

use super::api::metrics::Sample;
use super::dns::Dns;
use super::hearing::Hearing;
use super::identity::Identity;
use super::speech::Speech;
use super::web::Web;
use crate::sip::identity;
use crate::sip::locate::{Answer, Query};
use crate::speech;
use crate::switch::Input;
use crate::web::{Event, Fault, Order, Reason};

/// The control thread's end; nothing here waits.
#[derive(Default)]
pub struct Outside {
    web: Option<Web>,
    speech: Option<Speech>,
    dns: Option<Dns>,
    hearing: Option<Hearing>,
    identity: Option<Identity>,
}

impl Outside {
    pub fn new(web: Web, speech: Speech, dns: Dns, hearing: Hearing, identity: Identity) -> Outside {
        Outside {
            web: Some(web),
            speech: Some(speech),
            dns: Some(dns),
            hearing: Some(hearing),
            identity: Some(identity),
        }
    }

    /// Leaves an order; the answer to one that cannot be taken.
    pub fn web(&mut self, order: Order) -> Option<Input> {
        if let Some(web) = &self.web {
            return web.order(order);
        }
        let Order::Fetch(fetch) = order else { return None };
        let fault = Fault::new(Reason::Internal, fetch.address.url, "nothing can be fetched");
        Some(Input::Web(Event::Fetched { id: fetch.id, result: Err(fault) }))
    }

    /// As [`Outside::web`].
    pub fn speech(&mut self, order: speech::Order) -> Option<Input> {
        if matches!(order, speech::Order::Listen(_) | speech::Order::Enough(_)) {
            return self.hearing(order);
        }
        if let Some(speech) = &self.speech {
            return speech.order(order);
        }
        let speech::Order::Say(say) = order else { return None };
        let why = speech::Fault::new(speech::Reason::Text, "there is no speaker");
        Some(Input::Speech(speech::Event::Failed { id: say.id, why }))
    }

    fn hearing(&self, order: speech::Order) -> Option<Input> {
        if let Some(hearing) = &self.hearing {
            return hearing.order(order);
        }
        let speech::Order::Listen(listen) = order else { return None };
        let what = speech::Heard::Failed("nobody can listen".into());
        Some(Input::Speech(speech::Event::Heard { id: listen.id, what }))
    }

    /// As [`Outside::web`].
    pub fn resolve(&mut self, query: Query) -> Option<Input> {
        if let Some(dns) = &self.dns {
            dns.ask(query);
            return None;
        }
        Some(Input::Resolved { id: query.id, answer: Answer::Failed })
    }

    /// As [`Outside::web`].
    pub fn identity(&mut self, order: identity::Order) -> Option<Input> {
        match &mut self.identity {
            Some(identity) => identity.order(order),
            None => Some(Input::Identity(order.refused("nobody signs here"))),
        }
    }

    /// Figures for `/metrics`.
    pub fn figures(&self) -> Vec<Sample> {
        let web = self.web.iter().flat_map(Web::figures);
        web.chain(self.hearing.iter().flat_map(Hearing::figures)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web;

    #[test]
    fn an_order_that_cannot_be_taken_is_answered() {
        let fetch = web::Fetch {
            secret: web::Confidential::default(),
            id: web::FetchId(3),
            call: crate::event::CallId(1),
            want: web::Want::Document,
            address: web::Address::new("http://a/", web::Method::Get),
            fallback: None,
            parameters: Vec::new(),
        };
        let answer = Outside::default().web(Order::Fetch(Box::new(fetch)));
        assert!(matches!(answer, Some(Input::Web(Event::Fetched { id: web::FetchId(3), result: Err(_) }))));
        assert!(Outside::default().web(Order::Forget(crate::event::CallId(1))).is_none());
    }
}
