//! Callers' identities: verified before the dialplan sees a call, signed before a call goes out. [`crate::sip::identity`] says how.

use super::Switch;
use super::call::{Call, Doing};
use super::io::Output;
use super::manners::caller_of;
use super::world::{CallKey, CallTimer, World};
use crate::b2bua::endpoint::Body;
use crate::b2bua::leg::Peer;
use crate::base::time::Duration;
use crate::config::identity::{Sign, Told, Verify, is_among};
use crate::event::{Class, Direction, Ending, IdentityCdr, Side, What};
use crate::sip::dialog::Tag;
use crate::sip::identity::{
    Attest, Claimed, Claims, Event, FIELD, Fault, Found, IDENTITIES_MAX, Kind, Order, OrderId, Party, Replays, Signed,
    TOKEN_MAX, Verstat, check, origin, signing_input,
};
use crate::sip::wire::{Message, Uri};
use std::collections::HashMap;

/// How long an INVITE waits for its signature; it then goes without one.
const SIGNING: Duration = Duration::from_secs(1);

/// What all calls share.
#[derive(Default)]
pub struct Identities {
    waiting: HashMap<OrderId, CallKey>,
    last: u64,
    replays: Replays,
}

/// What is known and wanted of a call's identities.
#[derive(Default)]
pub struct CallIdentity {
    proof: Option<Box<Proof>>,
    /// Identity values of the caller, for whom they may be passed on to.
    received: Vec<String>,
    unsigned: Vec<Unsigned>,
    /// What was said of the caller to who was called last.
    signed: Option<Attest>,
}

/// What became of the caller's.
struct Proof {
    verstat: Verstat,
    claimed: Claimed,
    fault: Option<Fault>,
}

/// A verification that a call waits for.
#[derive(Debug)]
pub struct Verifying {
    id: OrderId,
    invite: Message,
    claimed: Claimed,
    signature: Vec<u8>,
}

/// A leg whose INVITE waits for its signature, or will.
struct Unsigned {
    leg: Tag,
    attest: Attest,
    x5u: String,
    claims: Claims,
    /// The order under way, the token's first half, and the description that the INVITE carries.
    asked: Option<(OrderId, String, Option<Body>)>,
}

/// Whom an INVITE names as caller and called.
pub struct Named<'a> {
    pub trunk: &'a str,
    pub caller: &'a str,
    pub called: &'a str,
    /// The dialplan chose the caller's number.
    pub is_set: bool,
    /// "A", "B", "C" or "none", as the dialplan says.
    pub attest: Option<&'a str>,
}

impl World {
    fn identity_order(&mut self, call: CallKey, order: impl FnOnce(OrderId) -> Order) -> OrderId {
        self.identities.last += 1;
        let id = OrderId(self.identities.last);
        self.identities.waiting.insert(id, call);
        self.output(Output::Identity(order(id)));
        id
    }
}

impl Switch {
    pub(super) fn on_identity(&mut self, event: Event) {
        let id = match &event {
            Event::Signed { id, .. } | Event::Verified { id, .. } => *id,
        };
        let Some(key) = self.world.identities.waiting.remove(&id) else { return };
        self.with_call(key, |call, w| match event {
            Event::Signed { id, signature } => call.on_signed(w, id, signature),
            Event::Verified { id, result } => call.on_verified(w, id, result),
        });
    }
}

// ---- calls that come in ----------------------------------------------------------------------------------------------

impl Call {
    /// Lets the dialplan decide, when it is known who calls.
    pub fn verify_and_route(&mut self, w: &mut World, request: &Message) {
        if w.manners.signs() {
            self.identity.received = received(request);
        }
        let policy = match &self.source {
            Peer::Trunk(name) => w.trunks.get(name).map_or(Verify::Pass, |t| t.identity.verify),
            Peer::User(_) => Verify::Pass,
            Peer::Uri(_) => Verify::Mark,
        };
        if policy == Verify::Pass || w.config.sip.identity.roots.is_none() {
            return self.route(w, request);
        }
        let (orig, dest) = self.parties(w, request);
        match check(request, &orig, &dest, w.now.wall, w.config.sip.identity.fresh) {
            Found::Nothing => {
                let fault = Fault::new(Kind::Absent, "the INVITE carries no Identity");
                self.proved(w, request, Verstat::None, Claimed::default(), Some(fault));
            }
            Found::Wrong(claimed, fault) => self.proved(w, request, Verstat::Failed, claimed, Some(fault)),
            Found::ToVerify(claimed, candidate) => {
                let signature = candidate.signature.clone();
                let id = w.identity_order(self.key, |id| Order::Verify { id, candidate });
                let invite = request.clone();
                self.doing = Doing::Verifying(Box::new(Verifying { id, invite, claimed, signature }));
                let wait = w.config.sip.identity.wait;
                self.set_timer(w, CallTimer::Identity, wait);
            }
        }
    }

    /// Caller and called in each form that counts: as signed by who sent the call, and as our own rules write them.
    fn parties(&self, w: &World, request: &Message) -> (Vec<Party>, Vec<Party>) {
        let domain = &w.config.sip.domain;
        let trunk = match &self.source {
            Peer::Trunk(name) => w.trunks.get(name),
            _ => None,
        };
        let caller = trunk.map_or(request.from(), |t| caller_of(t.manners.caller_id.from, request));
        let of = |uri: Option<Uri<'_>>| uri.map(|uri| Party::of_uri(&uri));
        let own = |number: &str| Some(number).filter(|n| !n.is_empty()).map(|n| Party::of_user(n, domain));
        let orig = [of(caller.and_then(|c| c.parsed_uri())), own(&self.from)];
        let to = request.to().and_then(|to| to.parsed_uri());
        let dest = [of(to), of(Uri::parse(request.request_uri())), own(&self.to)];
        (orig.into_iter().flatten().collect(), dest.into_iter().flatten().collect())
    }

    fn on_verified(&mut self, w: &mut World, id: OrderId, result: Result<(), Fault>) {
        let awaited = matches!(&self.doing, Doing::Verifying(v) if v.id == id);
        if !awaited || self.ending.is_some() {
            return;
        }
        let Doing::Verifying(verifying) = std::mem::replace(&mut self.doing, Doing::Nothing) else { return };
        self.cancel_timer(w, CallTimer::Identity);
        let Verifying { invite, claimed, signature, .. } = *verifying;
        let fresh = w.config.sip.identity.fresh;
        let mut first = || w.identities.replays.first(w.now.mono, fresh, &signature, invite.call_id());
        let fault = match result {
            Ok(()) if !first() => Some(Fault::new(Kind::Stale, "the token was used for another call")),
            Ok(()) => None,
            Err(fault) => Some(fault),
        };
        let verstat = if fault.is_some() { Verstat::Failed } else { Verstat::Passed };
        self.proved(w, &invite, verstat, claimed, fault);
    }

    /// What was waited for did not come in time: a verification has failed, an INVITE goes unsigned.
    pub fn on_identity_timer(&mut self, w: &mut World) {
        if let Doing::Verifying(verifying) = &self.doing {
            let late = Fault::new(Kind::BadInfo, "the certificate took too long");
            return self.on_verified(w, verifying.id, Err(late));
        }
        let late: Vec<OrderId> = self.identity.unsigned.iter().filter_map(|u| Some(u.asked.as_ref()?.0)).collect();
        for id in late {
            self.on_signed(w, id, Err("it took too long".into()));
        }
    }

    fn proved(&mut self, w: &mut World, request: &Message, verstat: Verstat, claimed: Claimed, fault: Option<Fault>) {
        let attest = claimed.attest.map_or(String::new(), |a| format!(", attested {}", a.as_str()));
        let why = fault.as_ref().map_or(String::new(), |f| format!(": {}", f.why));
        self.note(w, Side::Call, What::Note(format!("identity: {}{attest}{why}", verstat.as_str()).into()));
        match verstat {
            Verstat::Passed => w.counters.identities_passed += 1,
            Verstat::Failed => w.counters.identities_failed += 1,
            Verstat::None => {}
        }
        let suffix = claimed.attest.filter(|_| verstat != Verstat::None);
        let suffix = suffix.map_or(String::new(), |a| format!("-{}", a.as_str()));
        self.signalled.set_verstat(format!("{}{suffix}", verstat.as_str()));
        let refusing = match &self.source {
            Peer::Trunk(name) => w.trunks.get(name).is_some_and(|t| t.identity.verify == Verify::Refuse),
            _ => false,
        };
        let refusal = fault.as_ref().filter(|_| refusing && !w.is_emergency(&self.to)).map(|f| f.kind);
        if let Some(fault) = fault.as_ref().filter(|f| f.kind != Kind::Absent || refusal.is_some()) {
            self.legs[0].set_reason(fault.reason());
        }
        self.identity.proof = Some(Box::new(Proof { verstat, claimed, fault }));
        match refusal {
            None => self.route(w, request),
            Some(kind) => {
                let ending = Ending::new(Class::Caller, "identity", kind.status());
                self.finish_with_phrase(w, ending, kind.phrase());
            }
        }
    }

    /// What verification says, for the dialplan: by us, or by a carrier that we trust to have done it.
    pub fn verstat(&self) -> (&str, &str) {
        let carriers = || {
            self.signalled
                .verstat()
                .map_or("", |text| text.split_once("-Passed").map_or(text, |(head, _)| &text[..head.len() + 7]))
        };
        match &self.identity.proof {
            Some(proof) => (proof.verstat.as_str(), proof.claimed.attest.map_or("", Attest::as_str)),
            None => (carriers(), ""),
        }
    }

    /// The verdict, where a called party is told it there.
    pub fn told_verstat(&self, w: &World, place: Told) -> Option<&'static str> {
        let proof = self.identity.proof.as_ref()?;
        (w.config.sip.identity.verstat == place).then(|| proof.verstat.as_str())
    }

    /// For the record.
    pub fn identity_cdr(&self) -> Option<IdentityCdr> {
        let CallIdentity { proof, signed, .. } = &self.identity;
        if proof.is_none() && signed.is_none() {
            return None;
        }
        let claimed = proof.as_ref().map(|p| p.claimed.clone()).unwrap_or_default();
        let fault = proof.as_ref().and_then(|p| p.fault.as_ref());
        Some(IdentityCdr {
            verstat: proof.as_ref().map(|p| p.verstat.as_str()),
            attest: claimed.attest.map(Attest::as_str),
            origid: claimed.origid,
            fault: fault.map(|f| (f.kind.as_str(), f.why.clone())),
            signed: signed.map(Attest::as_str),
        })
    }
}

/// The Identity values of an INVITE that can be passed on: those of the full form, which say by themselves what was signed.
fn received(request: &Message) -> Vec<String> {
    let fields =
        request.fields().filter(|(name, _)| name.eq_ignore_ascii_case(FIELD) || name.eq_ignore_ascii_case("y"));
    let whole = |value: &&str| value.len() <= TOKEN_MAX && Signed::parse(value).is_some_and(|s| !s.is_compact());
    fields.map(|(_, value)| value).filter(whole).take(IDENTITIES_MAX).map(str::to_owned).collect()
}

// ---- calls that go out -----------------------------------------------------------------------------------------------

impl Call {
    /// Decides what is said of the caller to a trunk: headers that go along at once, or a signature that the INVITE waits for.
    pub fn attest(&mut self, w: &World, leg: Tag, named: &Named<'_>) -> Vec<(String, String)> {
        let Some(trunk) = w.trunks.get(named.trunk) else { return Vec::new() };
        let (Some(signing), true) = (
            &w.config.sip.identity.signing,
            trunk.identity.sign != Sign::None || named.attest.is_some_and(|a| a != "none"),
        ) else {
            return Vec::new();
        };
        let domain = &w.config.sip.domain;
        let (orig, dest) = (Party::of_user(named.caller, domain), Party::of_user(named.called, domain));
        let own = named.attest.is_none() && trunk.identity.sign == Sign::Auto;
        if own && self.may_pass(&orig, &dest) {
            return self.identity.received.iter().map(|value| (FIELD.to_owned(), value.clone())).collect();
        }
        let attest = match (named.attest, trunk.identity.sign) {
            (Some(word), _) => Attest::from_name(word),
            (None, Sign::As(letter)) => Attest::from_name(letter.encode_utf8(&mut [0; 4])),
            (None, _) => Some(self.right_to(w, named)),
        };
        let Some(attest) = attest else { return Vec::new() };
        if orig.as_number().is_none() {
            self.note(w, Side::Call, What::Note("identity: not signed, since the caller has no number".into()));
            return Vec::new();
        }
        let origid = signing.origid.clone().unwrap_or_else(|| origin(&w.config.node, self.source.as_str()));
        let claims = Claims { iat: 0, orig, dest: vec![dest], attest: Some(attest), origid: Some(origid) };
        self.identity.unsigned.push(Unsigned { leg, attest, x5u: signing.x5u.clone(), claims, asked: None });
        Vec::new()
    }

    /// What was signed for the call that came in holds for the one that goes out.
    fn may_pass(&self, orig: &Party, dest: &Party) -> bool {
        let failed = self.identity.proof.as_ref().is_some_and(|p| p.verstat == Verstat::Failed);
        let same = |value: &String| {
            let claims = Signed::parse(value).and_then(|s| crate::sip::identity::claims(s.payload).ok());
            claims.is_some_and(|c| c.orig == *orig && c.dest.contains(dest))
        };
        !failed && self.identity.received.iter().any(same)
    }

    /// The caller's right to the number shown, as `sign: auto` sees it (ATIS-1000074 §5.2.3).
    fn right_to(&self, w: &World, named: &Named<'_>) -> Attest {
        let is_ours = is_among(&w.config.sip.identity.numbers, named.caller);
        let customer = |has_right: bool| if has_right || is_ours { Attest::A } else { Attest::B };
        match &self.source {
            _ if self.direction == Direction::Outbound => customer(false),
            Peer::User(name) => {
                let has = w.user(name).is_some_and(|user| is_among(&user.numbers, named.caller));
                customer(has || is_among(std::slice::from_ref(name), named.caller))
            }
            Peer::Trunk(name) => match w.trunks.get(name).and_then(|t| t.identity.numbers.as_ref()) {
                Some(numbers) => customer(is_among(numbers, named.caller)),
                // What came from elsewhere is shown with a number of ours only where the dialplan says so.
                None if named.is_set && is_ours => Attest::A,
                None => Attest::C,
            },
            Peer::Uri(_) if named.is_set && is_ours => Attest::A,
            Peer::Uri(_) => Attest::C,
        }
    }

    /// Has an INVITE signed that is about to go out; gives its description back if there is nothing to be waited for.
    pub fn sign_first(&mut self, w: &mut World, index: u8, body: Option<Body>) -> Option<Option<Body>> {
        let Some(tag) = self.legs.get(usize::from(index)).map(|leg| leg.dialog().local_tag()) else {
            return Some(body);
        };
        let key = self.key;
        let Some(unsigned) = self.identity.unsigned.iter_mut().find(|u| u.leg == tag) else { return Some(body) };
        unsigned.claims.iat = w.now.wall.as_micros().div_euclid(1_000_000);
        let input = signing_input(&unsigned.x5u, &unsigned.claims);
        let order = input.clone();
        let id = w.identity_order(key, |id| Order::Sign { id, input: order });
        unsigned.asked = Some((id, input, body));
        self.set_timer(w, CallTimer::Identity, SIGNING);
        None
    }

    fn on_signed(&mut self, w: &mut World, id: OrderId, signature: Result<Vec<u8>, String>) {
        let asked = |u: &Unsigned| u.asked.as_ref().is_some_and(|(asked, ..)| *asked == id);
        let Some(at) = self.identity.unsigned.iter().position(asked) else { return };
        let Unsigned { leg, attest, x5u, asked, .. } = self.identity.unsigned.swap_remove(at);
        if self.identity.unsigned.iter().all(|u| u.asked.is_none()) && !matches!(self.doing, Doing::Verifying(_)) {
            self.cancel_timer(w, CallTimer::Identity);
        }
        let Some(index) = self.legs.iter().position(|l| l.dialog().local_tag() == leg) else { return };
        let Some((_, input, body)) = asked.filter(|_| self.ending.is_none()) else { return };
        let index = index as u8;
        match signature {
            Ok(signature) => {
                let value = Signed::write(&input, &signature, &x5u, true);
                self.legs[usize::from(index)].add_header(FIELD, value);
                self.identity.signed = Some(attest);
                w.counters.identities_signed += 1;
                self.note(w, Side::Leg(index), What::Note(format!("identity: signed {}", attest.as_str()).into()));
            }
            Err(why) => self.note(w, Side::Leg(index), What::Note(format!("identity: not signed: {why}").into())),
        }
        self.send_invite_now(w, index, body);
    }
}
