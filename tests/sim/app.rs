//! The application of the simulated worlds: a web server that answers late, wrongly or not at all, an engine that speaks, and what
//! calls that ask them are held to. Calls to "app" are its.

use super::keys::{Asked, Keys, Running};
use super::legs::{By, CallPlan, Change};
use super::party::Key;
use super::text::Msg;
use super::world::{What, World};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use tandem::base::rng::Rng;
use tandem::base::time::Duration;
use tandem::event::CallId;
use tandem::media::command::{Event as MediaEvent, LegId, Method};
use tandem::speech;
use tandem::switch::{Input, Output};
use tandem::web::{Content, Event, Fault, Fetch, FetchId, Order, Page, Reason, Want};

pub const RULE: &str = "    - match: { to: app }\n      do: [ { markup: { url: \"https://a.test/start\", fallback: \"https://a.test/spare\" } } ]\n";
/// Documents that one call gets; the last ends it.
const DOCUMENTS_MAX: u32 = 7;
/// An answer that is lost is given up by the shell after so long.
const GIVEN_UP: Duration = Duration::from_secs(15);

#[derive(Default)]
pub struct App {
    calls: BTreeMap<CallId, Served>,
    /// Latest call of a SIP Call-ID.
    by_sip: BTreeMap<String, CallId>,
    /// Asked, and neither answered nor given up.
    open: BTreeMap<(usize, u32, FetchId), CallId>,
    cancelled: BTreeSet<(usize, u32, FetchId)>,
    /// INFOs that were taken.
    infos: BTreeSet<(String, u32)>,
    named: u32,
    /// Requests with digits, and digits in them.
    pub gathered: [u64; 2],
}

#[derive(Default)]
struct Served {
    keys: Keys,
    /// Presses that came, by their numbers.
    seen: BTreeSet<u32>,
    documents: u32,
    /// Its document was broken, so that the fallback may be asked.
    may_spare: bool,
    is_over: bool,
    is_forgotten: bool,
}

/// What the server will have said, when it arrives.
pub struct Answer {
    call: CallId,
    running: Option<Running>,
    is_broken: bool,
    event: Event,
}

/// A key that comes as an event.
pub struct Press {
    pub node: usize,
    pub epoch: u32,
    leg: LegId,
    call_id: String,
    key: (u32, char),
}

fn chosen<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.below(of.len() as u64) as usize]
}

/// Callers of the application, in half of the worlds. Drawn apart, so that the seeds of before make the worlds of before but for this.
pub fn sample(w: &mut World, seed: u64) {
    let mut rng = Rng::from_seed(seed ^ 0x6761_7468_6572);
    if rng.chance(500) {
        return;
    }
    for _ in 0..1 + rng.below(3) {
        let p = rng.below(w.parties.len() as u64) as usize;
        let mut plan = CallPlan::plain("app", Duration::from_millis(rng.below(40_000)));
        // INFO is sent again after a loss: the same key as an event is another press by then.
        let kinds: &[By] =
            if w.parties[p].lossless { &[By::Event, By::Info, By::Both] } else { &[By::Event, By::Info] };
        plan.by = chosen(&mut rng, kinds);
        let mut at_ms = 0;
        for _ in 0..rng.below(8) {
            at_ms += rng.below(4_000);
            for _ in 0..1 + rng.below(4) {
                at_ms += if plan.by == By::Both { 150 } else { 60 } + rng.below(700);
                let key = chosen(&mut rng, &['1', '2', '3', '4', '0', '#', '#', '*']);
                plan.keys.push((Duration::from_millis(at_ms), key));
            }
        }
        match rng.below(10) {
            0..4 => plan.hangup_after = None,
            // In the moment of a key, or just beside it.
            4..7 => plan.hangup_after = Some(Duration::from_millis((at_ms + rng.below(40)).saturating_sub(20))),
            _ => {}
        }
        plan.offerless = rng.chance(50);
        if rng.chance(150) {
            let change = chosen(&mut rng, &[Change::Hold, Change::Codec, Change::Address]);
            plan.reinvites.push((Duration::from_millis(rng.below(8_000)), change));
            plan.reinvites.push((Duration::from_millis(8_000 + rng.below(8_000)), Change::Resume));
        }
        if rng.chance(80) {
            plan.cancel_after = Some(Duration::from_millis(rng.below(3_000)));
        }
        let n = w.parties[p].calls.len();
        w.parties[p].calls.push(plan);
        w.schedule(Duration::from_millis(2_000 + rng.below(58_000)), What::Timer { party: p, key: Key::Call(n) });
    }
}

/// An INFO: its Call-ID and sequence number, the number of the press, and its digit.
pub type Info = (String, u32, (u32, char));

/// The INFO that the switch is handed.
pub fn info(input: &Input) -> Option<Info> {
    let Input::Received { bytes, .. } = input else { return None };
    let m = bytes.starts_with(b"INFO ").then(|| Msg::parse(bytes).ok())??;
    let key = m.body.strip_prefix("Signal=")?.chars().next()?;
    let press = m.body.rsplit_once("Press=")?.1.trim().parse().ok()?;
    Some((m.call_id().to_string(), m.cseq().0, (press, key)))
}

impl World {
    /// A digit by INFO counts when the switch has taken it: it said 200, for the first time.
    pub fn info_taken(&mut self, (call_id, cseq, key): Info, outs: &[Output]) {
        let is_taken = |out: &Output| {
            let Output::Send { bytes, .. } = out else { return false };
            let m = bytes.starts_with(b"SIP/2.0 200").then(|| Msg::parse(bytes).ok()).flatten();
            m.is_some_and(|m| m.call_id() == call_id && m.cseq() == (cseq, "INFO"))
        };
        if outs.iter().any(is_taken) && self.app.infos.insert((call_id.clone(), cseq)) {
            self.app_key(&call_id, key, Method::Info);
        }
    }

    fn app_key(&mut self, call_id: &str, (press, key): (u32, char), method: Method) {
        let Some(call) = self.app.by_sip.get(call_id).and_then(|call| self.app.calls.get_mut(call)) else { return };
        // What comes by both is pressed when the first of them comes.
        if !call.seen.insert(press) {
            return;
        }
        self.ladder.note(self.now, format!("{key} by {} is in {call_id}", method.as_str()));
        call.keys.pressed(self.now, key);
    }

    /// A caller presses a key whose event comes to the leg that has the caller's address.
    pub fn app_press(&mut self, party: usize, call_id: String, media: SocketAddr, key: (u32, char)) {
        let home = self.parties[party].home;
        let Some(node) = self.nodes.iter().position(|n| n.addresses.contains(&home)) else { return };
        let Some(leg) = self.nodes[node].media.leg_from(media) else { return };
        let press = Press { node, epoch: self.nodes[node].epoch, leg, call_id, key };
        self.schedule(Duration::from_millis(20), What::Press(press));
    }

    pub fn app_pressed(&mut self, press: Press) {
        let Press { node, leg, call_id, key, .. } = press;
        if !self.nodes[node].media.is_open(leg) {
            return;
        }
        self.app_key(&call_id, key, Method::Rfc4733);
        let event = MediaEvent::Digit { leg, digit: key.1, duration_ms: 100, method: Method::Rfc4733 };
        self.feed(node, Input::Media(event));
    }

    /// What the switch asks of servers.
    pub fn app_order(&mut self, n: usize, order: Order) {
        match order {
            Order::Fetch(fetch) => self.app_asked(n, &fetch),
            Order::Cancel(id) => {
                let key = (n, self.nodes[n].epoch, id);
                if self.app.open.remove(&key).is_none() {
                    self.fault("", format!("{id:?} is given up, and is not awaited"));
                }
                self.app.cancelled.insert(key);
            }
            Order::Callback(_) => {}
            Order::Forget(call) => {
                let served = self.app.calls.entry(call).or_default();
                if std::mem::replace(&mut served.is_forgotten, true) {
                    self.fault("", format!("{call} is forgotten twice"));
                }
            }
        }
    }

    fn app_asked(&mut self, n: usize, fetch: &Fetch) {
        let key = (n, self.nodes[n].epoch, fetch.id);
        self.app.open.insert(key, fetch.call);
        let call_id = parameter(fetch, "SipCallId").to_string();
        let served = self.app.calls.entry(fetch.call).or_default();
        if served.is_over || served.is_forgotten {
            self.fault(&call_id, format!("{} asks {} after its end", fetch.call, fetch.address.url));
        }
        let answer = match fetch.want {
            Want::Document => {
                self.app.by_sip.insert(call_id.clone(), fetch.call);
                if let Err(what) = self.app_judge(fetch) {
                    self.fault(&call_id, what);
                }
                self.app_document(fetch)
            }
            _ => self.app_sound(fetch),
        };
        let mut rng = self.app_rng.fork();
        let delay = match rng.below(100) {
            0..3 => GIVEN_UP,
            3..15 => Duration::from_millis(rng.below(8_000)),
            _ => Duration::from_millis(1 + rng.below(300)),
        };
        self.schedule(delay, What::Web { node: n, epoch: key.1, id: fetch.id, answer: Box::new(answer) });
    }

    /// Whether a document may be asked for now, with this.
    fn app_judge(&mut self, fetch: &Fetch) -> Result<(), String> {
        let secret = fetch.secret.form.iter().find(|(name, _)| name == "Digits").map(|(_, value)| value.expose());
        let digits = secret.unwrap_or_else(|| parameter(fetch, "Digits"));
        let served = self.app.calls.entry(fetch.call).or_default();
        let path = fetch.address.url.strip_prefix("https://a.test/").unwrap_or_default();
        let (kind, id) = path.split_once('/').unwrap_or((path, "0"));
        let id: u32 = id.parse().map_err(|_| format!("{path} is asked"))?;
        match kind {
            "start" if served.documents == 0 => Ok(()),
            "spare" if std::mem::take(&mut served.may_spare) => Ok(()),
            "next" => served.keys.went_on(id),
            "took" => {
                self.app.gathered[0] += 1;
                self.app.gathered[1] += digits.len() as u64;
                served.keys.told(self.now, id, digits, parameter(fetch, "FinishedOnKey"))
            }
            _ => Err(format!("{path} is asked after {} documents", served.documents)),
        }
    }

    fn app_document(&mut self, fetch: &Fetch) -> Answer {
        let served = self.app.calls.entry(fetch.call).or_default();
        served.documents += 1;
        let is_last = served.documents >= DOCUMENTS_MAX;
        let mut rng = self.app_rng.fork();
        self.app.named += 100;
        let (text, running) = document(&mut rng, self.app.named, is_last);
        let url = fetch.address.url.clone();
        let (text, is_broken) = match rng.below(100) {
            0..4 => ("<Response><Gather numDigits='1'".to_owned(), true),
            _ => (format!("<Response>{text}</Response>"), false),
        };
        self.ladder.note(self.now, format!("{url} will answer {text}"));
        let fault = || Fault::new(Reason::Retrieval, url.clone(), "the server answered 500");
        let dice = rng.below(100);
        let result = if dice < 4 {
            Err(fault())
        } else {
            let fell_back = (dice < 8).then(fault);
            let (content_type, content) = ("text/xml".into(), Content::Body(text.into()));
            Ok(Box::new(Page { url: url.clone(), status: 200, content_type, content, fell_back }))
        };
        // A page of the fallback's is not followed by another question to it.
        let is_broken = is_broken && result.as_ref().is_ok_and(|page| page.fell_back.is_none());
        let running = (result.is_ok() && !is_broken).then_some(running);
        Answer { call: fetch.call, running, is_broken, event: Event::Fetched { id: fetch.id, result } }
    }

    fn app_sound(&mut self, fetch: &Fetch) -> Answer {
        let url = fetch.address.url.clone();
        let result = if self.app_rng.chance(100) {
            Err(Fault::new(Reason::PlayContentType, url, "text/html"))
        } else {
            let content = Content::File("/cache/sound.wav".into());
            Ok(Box::new(Page { url, status: 200, content_type: "audio/wav".into(), content, fell_back: None }))
        };
        Answer { call: fetch.call, running: None, is_broken: false, event: Event::Fetched { id: fetch.id, result } }
    }

    /// An answer arrives; that of a question which was given up at times too.
    pub fn app_answers(&mut self, node: usize, epoch: u32, id: FetchId, answer: Answer) {
        let is_awaited = self.app.open.remove(&(node, epoch, id)).is_some();
        if !is_awaited && self.app_rng.chance(500) {
            return;
        }
        if let Some(served) = self.app.calls.get_mut(&answer.call).filter(|_| is_awaited) {
            served.may_spare = answer.is_broken;
            if let Some(running) = answer.running {
                served.keys.running = Some(Running { since: self.now, ..running });
            }
        }
        self.feed(node, Input::Web(answer.event));
    }

    /// A text is spoken in parts, or cannot be; nobody is listened to.
    pub fn app_speech(&mut self, n: usize, order: speech::Order) {
        let speech::Order::Say(say) = order else { return };
        let (mut rng, id) = (self.app_rng.fork(), say.id);
        let mut at_ms = 1 + rng.below(400);
        let mut tell = |w: &mut World, event| {
            w.schedule(Duration::from_millis(at_ms), What::Speech { node: n, epoch: w.nodes[n].epoch, event });
            at_ms += 1 + rng.below(900);
        };
        if self.app_rng.chance(400) {
            tell(self, speech::Event::Said { id, file: "/cache/part.wav".into(), is_last: false });
        }
        let event = match self.app_rng.chance(100) {
            true => speech::Event::Failed { id, why: speech::Fault::new(speech::Reason::Text, "no engine") },
            false => speech::Event::Said { id, file: "/cache/last.wav".into(), is_last: true },
        };
        tell(self, event);
    }

    pub fn app_ended(&mut self, call: CallId) {
        if let Some(served) = self.app.calls.get_mut(&call) {
            served.is_over = true;
        }
    }

    /// What must hold after every step: nothing is asked any more for a call whose record is made.
    pub fn app_check(&mut self) {
        let is_over = |call: &CallId| self.app.calls.get(call).is_some_and(|c| c.is_over && !c.is_forgotten);
        if let Some(call) = self.app.calls.keys().find(|call| is_over(call)) {
            return self.fault("", format!("{call} has its record and is not forgotten"));
        }
        let left = self.app.open.iter().find(|(_, call)| self.app.calls.get(call).is_none_or(|c| c.is_over));
        if let Some(((_, _, id), call)) = left {
            self.fault("", format!("{call} has its record, and {id:?} is still awaited"));
        }
    }

    /// A node that crashed waits for nothing.
    pub fn app_crashed(&mut self, n: usize) {
        self.app.open.retain(|(node, ..), _| *node != n);
    }

    pub fn app_rest(&mut self) {
        if let Some(((.., id), call)) = self.app.open.first_key_value() {
            self.fault("", format!("{id:?} of {call} is awaited at rest"));
        }
    }
}

fn parameter<'a>(fetch: &'a Fetch, name: &str) -> &'a str {
    fetch.parameters.iter().rev().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str())
}

/// Something to be heard, or nothing.
fn sound(rng: &mut Rng) -> &'static str {
    chosen(
        rng,
        &[
            "",
            "",
            "<Play>/m.wav</Play>",
            "<Say>Press a key</Say>",
            "<Pause length='1'/>",
            "<Play>/a.wav</Play><Say>B</Say>",
        ],
    )
}

/// A document, and how it may end. Its gathers are numbered from `id` on.
fn document(rng: &mut Rng, id: u32, is_last: bool) -> (String, Running) {
    let mut running = Running::default();
    let mut text = if rng.chance(300) { sound(rng).to_owned() } else { String::new() };
    if is_last || rng.chance(60) {
        text += chosen(rng, &["", "<Hangup/>", "<Say>Bye</Say>"]);
        return (text, running);
    }
    for n in 0..chosen(rng, &[0, 1, 1, 1, 1, 2]) {
        let asked = Asked {
            id: id + n,
            digits: chosen(rng, &[None, Some(1), Some(1), Some(2), Some(3), Some(5)]),
            finish: chosen(rng, &[Some('#'), Some('#'), Some('*'), None]),
            timeout: Duration::from_secs(1 + rng.below(4)),
            on_empty: rng.chance(300),
        };
        let digits = asked.digits.map_or_else(String::new, |n| format!(" numDigits='{n}'"));
        let finish = asked.finish.map_or_else(String::new, String::from);
        text += &format!(
            "<Gather action='/took/{}' timeout='{}' finishOnKey='{finish}' actionOnEmptyResult='{}' bargeIn='{}'{digits}>{}</Gather>",
            asked.id,
            asked.timeout.as_secs(),
            asked.on_empty,
            rng.chance(700),
            sound(rng),
        );
        running.gathers.push_back(asked);
    }
    if rng.chance(850) {
        text += &format!("<Redirect>/next/{id}</Redirect>");
        running.redirect = Some(id);
    }
    (text, running)
}
