//! Scripts that come from web servers: a document is asked for, read, and takes the place of the script that runs.

use super::{Call, Doing};
use crate::b2bua::leg::Peer;
use crate::config::byoc::Disaster;
use crate::event::{Class, Ending, Side, What};
use crate::markup;
use crate::media::command::Hears;
use crate::switch::web::without_secrets;
use crate::switch::world::{CallTimer, World};
use crate::verb::{DialStep, Hook, Outcome, Program, Redirect, Script, Step, Text, Verb};
use crate::web::{self, Address, Confidential, FetchId, Method, Parameters, Want};
use std::sync::Arc;

/// Documents after each other in which nothing takes time; one more is "Document retrieval limit reached".
const REDIRECTS_MAX: u32 = 40;
const TOO_MANY: u32 = 14_106;
/// Lines of warnings that one document writes on the timeline.
const WARNINGS_SHOWN: usize = 10;

/// Where the script that runs came from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Empty for the dialplan.
    pub url: Arc<str>,
    pub method: Method,
    /// Asked where another document fails.
    pub fallback: Option<Address>,
    /// Documents since something took time.
    redirects: u32,
    /// What was asked before could not be had: nothing is behind this.
    is_disaster: bool,
}

impl Call {
    /// What a relative address in the script means. Names of prompts in a dialplan are left as they are.
    pub fn resolved(&self, reference: &str) -> String {
        if self.origin.url.is_empty() {
            return reference.to_owned();
        }
        web::resolve(&self.origin.url, reference)
    }

    pub fn address(&self, hook: &Hook) -> Address {
        Address::new(self.resolved(&hook.url), hook.method)
    }

    /// A step's request, whose answer is what follows; false if there is nowhere to ask.
    pub fn ask(&mut self, w: &mut World, hook: &Hook, parameters: Parameters) -> bool {
        let address = self.address(hook);
        if address.url.is_empty() {
            return false;
        }
        self.fetch_document(w, address, parameters, Confidential::default());
        true
    }

    /// As [`Call::ask`], with what only that address is told.
    pub fn fetch_document(
        &mut self,
        w: &mut World,
        address: Address,
        mut parameters: Parameters,
        secret: Confidential,
    ) {
        self.origin.redirects += 1;
        if self.origin.redirects > REDIRECTS_MAX {
            let text =
                format!("{TOO_MANY} Document retrieval limit reached: {REDIRECTS_MAX} in which nothing takes time");
            self.note(w, Side::Call, What::Note(text.into()));
            if self.waits() {
                return self.leave_queue(w, "error");
            }
            return self.finish(w, Ending::new(Class::Script, "redirects", 500));
        }
        self.origin.method = address.method;
        if self.waits() {
            parameters.extend(self.queue_parameters(w));
        }
        let fallback = self.origin.fallback.clone();
        let id = self.fetch_with(w, Want::Document, address, fallback, parameters, secret);
        self.doing = Doing::Fetching(id);
    }

    /// Something took time: what is asked now is no loop.
    pub fn took_time(&mut self) {
        self.origin.redirects = 0;
        self.queued.iter_mut().for_each(|queued| queued.worked());
    }

    pub fn on_document(&mut self, w: &mut World, result: Result<Box<web::Page>, web::Fault>) {
        self.doing = Doing::Nothing;
        let page = match result {
            Ok(page) => page,
            Err(fault) => return self.document_failed(w, &fault.to_string()),
        };
        if let Some(fault) = &page.fell_back {
            self.note(w, Side::Call, What::Note(format!("{fault}: the fallback is asked").into()));
        }
        match w.documents.read(&page) {
            Ok(document) => {
                self.origin.url = Arc::clone(&page.url);
                self.take_document(w, document);
            }
            Err(fault) => self.document_unread(w, &page, &fault),
        }
    }

    /// What came is no document: the fallback is asked, unless this is from it.
    fn document_unread(&mut self, w: &mut World, page: &web::Page, fault: &markup::Fault) {
        let fallback = self.origin.fallback.take().filter(|_| page.fell_back.is_none());
        let Some(fallback) = fallback else { return self.document_failed(w, &fault.to_string()) };
        self.note(w, Side::Call, What::Note(format!("{fault}: the fallback is asked").into()));
        let parameters = vec![
            ("ErrorCode".to_owned(), fault.error.code().to_string()),
            ("ErrorUrl".to_owned(), page.url.to_string()),
        ];
        self.fetch_document(w, fallback, parameters, Confidential::default());
    }

    fn document_failed(&mut self, w: &mut World, why: &str) {
        self.note(w, Side::Call, What::Note(why.into()));
        if self.waits() {
            return self.leave_queue(w, "error");
        }
        if self.aside.is_some() {
            return self.end_aside(w, false);
        }
        if !self.meet_disaster(w) {
            self.finish(w, Ending::new(Class::Script, "document_failed", 500));
        }
    }

    /// What a trunk's call does, once, when what it asks for cannot be had (`disaster`): true if there is something.
    fn meet_disaster(&mut self, w: &mut World) -> bool {
        let Peer::Trunk(name) = &self.source else { return false };
        let target = w.trunks.get(name).and_then(|trunk| trunk.byoc.disaster.clone());
        let Some(target) = target.filter(|_| !self.origin.is_disaster) else { return false };
        self.note(w, Side::Call, What::Note(format!("disaster: {} takes the call", target.as_str()).into()));
        self.origin = Origin { is_disaster: true, ..Origin::default() };
        let verb = match target {
            Disaster::Document(url) => {
                Verb::Redirect(Redirect { to: Hook::new(Text::literal(&url), Method::Post), fallback: None })
            }
            Disaster::Uri(uri) => Verb::Dial(Box::new(DialStep::to_uri(&uri))),
        };
        let mut program = Program::default();
        let entry = program.add(vec![Step { verb, on: Vec::new(), at: "disaster".into() }]);
        self.script = Some(Script::new(Arc::new(program), entry, w.now.wall));
        self.doing = Doing::Nothing;
        self.cause = None;
        self.advance(w);
        true
    }

    /// A document takes the place of the script that runs; the variables stay.
    fn take_document(&mut self, w: &mut World, document: markup::Shared) {
        for warning in document.warnings.iter().take(WARNINGS_SHOWN) {
            self.note(w, Side::Call, What::Note(format!("warning {warning}").into()));
        }
        let more = document.warnings.len().saturating_sub(WARNINGS_SHOWN);
        if more > 0 {
            self.note(w, Side::Call, What::Note(format!("and {more} further warnings").into()));
        }
        let script = Script::new(document.program, document.entry, w.now.wall);
        self.script = Some(match self.script.take() {
            Some(old) => script.after(old),
            None => script,
        });
        self.doing = Doing::Nothing;
        self.cause = None;
        self.advance(w);
    }

    /// Ends what the call is doing, so that another script can begin.
    pub fn interrupt(&mut self, w: &mut World) {
        self.cancel_timer(w, CallTimer::Step);
        self.cancel_timer(w, CallTimer::Ring);
        self.cancel_timer(w, CallTimer::TalkLimit);
        self.leave_conference(w);
        self.quit_queue(w);
        self.end_message(w);
        self.dial_recorded(w);
        self.hush(w);
        self.aside = None;
        self.transfer = None;
        self.transfer_ends(487);
        self.arrivals.clear();
        for index in 1..self.legs.len() as u8 {
            self.cancel_timer(w, CallTimer::Unreachable(index));
            self.with_leg(w, index, |leg, ep, now| leg.hang_up(ep, now, 0, ""));
        }
        self.front = 0;
        if self.legs.first().is_some_and(|leg| leg.session.is_negotiated()) && !self.direct {
            self.hear(w, 0, Hears::Silence);
        }
    }

    /// A document of [`Doing::Fetching`], or sound that is to be heard.
    pub fn on_fetched(&mut self, w: &mut World, id: FetchId, result: Result<Box<web::Page>, web::Fault>) {
        if self.ending.is_some() {
            return;
        }
        if let Ok(page) = &result {
            let text = format!("{} answered {}", without_secrets(&page.url), page.status);
            self.note(w, Side::Call, What::Note(text.into()));
        }
        if matches!(self.doing, Doing::Fetching(awaited) if awaited == id) {
            return self.on_document(w, result);
        }
        if !self.on_tune(w, id, &result) && !self.on_gateway(w, id, &result) {
            self.on_list_fetched(w, id, result);
        }
    }

    /// The request that follows a step which is over; true if there is one, and its answer is awaited.
    pub fn follow_up(&mut self, w: &mut World, outcome: Outcome) -> bool {
        let Some(action) = self.script.as_ref().and_then(Script::waiting) else { return false };
        let Some((hook, parameters)) = self.follow_up_of(w, &action.clone(), outcome) else { return false };
        self.ask(w, &hook, parameters)
    }
}
