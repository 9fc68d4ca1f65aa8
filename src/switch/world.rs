//! What all calls share: the endpoint, the configuration in force, registrations, trunks, timers, and the way out.

use super::conference::Conferences;
use super::guard::{Guard, Load, Refused};
use super::io::{Counters, Output, Setup};
use super::manners::AllManners;
use super::registrant::Registrants;
use super::subscribe::Subscriptions;
use super::tolls::Tolls;
use super::transfer::Wish;
use super::trunks::Trunks;
use crate::b2bua::endpoint::Endpoint;
use crate::b2bua::leg::{Leg, Peer};
use crate::b2bua::security::Security;
use crate::base::id::Id;
use crate::base::limit::Bucket;
use crate::base::rng::Rng;
use crate::base::time::{Instant, Now};
use crate::base::timers::Timers;
use crate::config::{Config, Srtp, User};
use crate::dialplan::Dialplan;
use crate::event::{CallId, Fact};
use crate::media::command as media;
use crate::rates::Rates;
use crate::rtp::srtp::KeySource;
use crate::sip::auth::{Challenger, Policy};
use crate::sip::dialog::Tag;
use crate::sip::registrar::Registrar;
use crate::sip::transaction::{ClientId, ServerId};
use crate::sip::wire::Method;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Answers to calls that are over come one by one; more than this is a flood.
const STRANGERS_PER_SECOND: u32 = 20;

/// Marks ids of calls.
pub struct CallKind;
pub type CallKey = Id<CallKind>;

/// One leg of one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LegRef {
    pub call: CallKey,
    pub leg: u8,
}

/// Whose a client transaction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    Leg(LegRef, Method),
    /// A leg's whose call is over.
    Over,
    /// A NOTIFY of a subscription.
    Notify(Tag),
    Ping(Ping),
    /// A REGISTER to a trunk.
    Register(u32),
    /// A MESSAGE, by one of its ways.
    Text {
        text: u64,
        way: u8,
    },
}

/// Where a leg is, found by the tag of its dialog. It stays until the call is over, since transactions outlive their dialog.
#[derive(Clone, Copy, Debug)]
struct Place {
    leg: LegRef,
    /// Requests may still name the dialog.
    is_live: bool,
}

/// A client transaction as it is kept: a leg's goes by its tag, so that a leg that changes its place changes one entry.
#[derive(Clone, Copy, Debug)]
enum Booked {
    Leg(Tag, Method),
    Other(Purpose),
}

/// OPTIONS to a trunk's target, by places in the trunk list of one reload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ping {
    pub trunk: usize,
    pub target: usize,
    pub generation: u32,
    pub sent: Instant,
}

/// What a call waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CallTimer {
    /// The end of a `pause` or an `echo` with a duration.
    Step,
    /// A stage of a hunt has rung long enough.
    Ring,
    /// The leg has heard nothing at all, and there is another target to try.
    Unreachable(u8),
    /// A user's phone has rung for so long that the call is forwarded.
    NoAnswer(u8),
    /// Digits of the leg that came by INFO, and may come as events too.
    Digits(u8),
    /// The leg's session is to be refreshed, or is over.
    Session(u8),
    /// The leg's peer asked something of us while we asked it: we ask again.
    Glare(u8),
    /// The leg has transferred its call, and may hang up by itself until then.
    Referred(u8),
    /// Addresses of those to be called have been waited for.
    Names,
    /// A verification or a signature has been waited for.
    Identity,
    /// A party that pays has entered nothing for so long.
    Payment,
    /// The longest that the call may last (`limits.call_duration`).
    CallLimit,
    /// The longest that a dial may be joined (`time_limit`).
    TalkLimit,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TimerKey {
    Call(CallKey, CallTimer),
    Ping {
        trunk: usize,
        target: usize,
    },
    /// A registration with a trunk is due.
    Register(u32),
    /// Names of trunks are looked at.
    Names,
    /// A subscription ends.
    Subscription(Tag),
    /// What a user has published of itself ends.
    Published,
    /// A trunk that fared badly has been out for long enough; by place.
    Rested(usize),
}

impl TimerKey {
    /// For the histogram of wake-ups.
    pub const fn reason(self) -> &'static str {
        match self {
            TimerKey::Call(_, CallTimer::Step) => "call_step",
            TimerKey::Call(_, CallTimer::Ring) => "call_ring",
            TimerKey::Call(_, CallTimer::Unreachable(_)) => "call_unreachable",
            TimerKey::Call(_, CallTimer::NoAnswer(_)) => "call_no_answer",
            TimerKey::Call(_, CallTimer::Digits(_)) => "call_digits",
            TimerKey::Call(_, CallTimer::Session(_)) => "session_timer",
            TimerKey::Call(_, CallTimer::Glare(_)) => "call_glare",
            TimerKey::Call(_, CallTimer::Referred(_)) => "call_referred",
            TimerKey::Call(_, CallTimer::Names) => "call_names",
            TimerKey::Call(_, CallTimer::Identity) => "call_identity",
            TimerKey::Call(_, CallTimer::Payment) => "call_payment",
            TimerKey::Call(_, CallTimer::CallLimit | CallTimer::TalkLimit) => "call_limit",
            TimerKey::Ping { .. } => "trunk_ping",
            TimerKey::Rested(_) => "trunk_rested",
            TimerKey::Register(_) => "trunk_register",
            TimerKey::Names => "names",
            TimerKey::Subscription(_) | TimerKey::Published => "subscription",
        }
    }
}

pub struct World {
    pub now: Now,
    pub ep: Endpoint,
    pub config: Arc<Config>,
    pub dialplan: Arc<Dialplan>,
    pub registrar: Registrar,
    pub manners: AllManners,
    /// Places of users in the configuration, by name: there are many.
    pub user_places: HashMap<String, usize>,
    pub challenger: Challenger,
    pub trunks: Trunks,
    pub rates: Arc<Rates>,
    pub tolls: Tolls,
    pub registrants: Registrants,
    pub timers: Timers<TimerKey>,
    pub counters: Counters,
    pub conferences: Conferences,
    pub queues: super::queue::Queues,
    /// What the REST API keeps.
    pub settings: super::settings::Settings,
    pub draining: bool,
    pub guard: Guard,
    pub names: super::names::Names,
    pub identities: super::verify::Identities,
    /// How late we are, and what share of what is new is taken.
    pub load: Load,
    pub refused: Refused,
    /// Calls a second of the whole switch.
    pub cps: Bucket,
    pub nonce_key: [u8; 32],
    /// Where the SRTP keys of each leg come from.
    pub keys: KeySource,
    pub ping_times: Vec<(Instant, TimerKey)>,
    /// Counts the reloads: the answer to a ping from before one says nothing.
    pub ping_generation: u32,
    /// How many answers a second to calls that are over are acknowledged and hung up.
    pub strangers: Bucket,
    out: VecDeque<Output>,
    places: HashMap<Tag, Place>,
    servers: HashMap<ServerId, Tag>,
    clients: HashMap<ClientId, Booked>,
    media: HashMap<media::LegId, CallKey>,
    media_next: u64,
    play_next: u64,
    taps: HashMap<media::TapId, CallKey>,
    tap_next: u64,
    pub subscriptions: Subscriptions,
    pub texts: super::message::Texts,
    /// Parked calls, by slot.
    pub parked: std::collections::BTreeMap<String, CallKey>,
    /// What users have changed of where their calls go.
    pub changed: std::collections::BTreeMap<String, crate::event::Changed>,
    /// What calls want that concerns others too.
    pub wishes: VecDeque<Wish>,
    /// Answers of servers and speakers that calls wait for.
    pub awaited: super::web::Awaited,
    /// Documents that were read before.
    pub documents: crate::markup::Known,
}

fn places(config: &Config) -> HashMap<String, usize> {
    config.users.iter().enumerate().map(|(place, user)| (user.name.clone(), place)).collect()
}

impl World {
    pub fn new(setup: &Setup, mut rng: Rng, now: Now) -> World {
        let mut nonce_key = [0; 32];
        nonce_key.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&rng.next_u64().to_le_bytes()));
        let keys = KeySource::new(nonce_key);
        let mut ep = Endpoint::new(setup.listeners.clone(), rng.fork(), &setup.config.sip.user_agent);
        ep.udp_max = setup.config.sip.reach.udp_max;
        ep.external = setup.config.sip.external_address;
        ep.local_nets.clone_from(&setup.config.sip.reach.local_nets);
        ep.session_timers = setup.config.sip.session_timers;
        World {
            now,
            ep,
            registrar: Registrar::default(),
            user_places: places(&setup.config),
            manners: AllManners::new(&setup.config),
            challenger: Challenger::new(&setup.config.sip.domain, nonce_key, Policy::default()),
            nonce_key,
            keys,
            cps: Bucket::new(setup.config.limits.cps, now.mono),
            ping_times: Vec::new(),
            trunks: Trunks::new(&setup.config.trunks, now.mono),
            rates: Arc::clone(&setup.rates),
            tolls: Tolls::new(&setup.config),
            registrants: Registrants::default(),
            config: Arc::clone(&setup.config),
            dialplan: Arc::clone(&setup.dialplan),
            timers: Timers::default(),
            counters: Counters::default(),
            conferences: Conferences::default(),
            queues: super::queue::Queues::default(),
            settings: super::settings::Settings::default(),
            draining: false,
            guard: Guard::new(&setup.config, now.mono),
            names: super::names::Names::default(),
            identities: super::verify::Identities::default(),
            load: Load::new(now.mono),
            refused: Refused::default(),
            ping_generation: 0,
            strangers: Bucket::new(STRANGERS_PER_SECOND, now.mono),
            out: VecDeque::new(),
            places: HashMap::new(),
            servers: HashMap::new(),
            clients: HashMap::new(),
            media: HashMap::new(),
            media_next: 1,
            play_next: 1,
            taps: HashMap::new(),
            tap_next: 1,
            subscriptions: Subscriptions::default(),
            texts: super::message::Texts::default(),
            parked: std::collections::BTreeMap::new(),
            changed: std::collections::BTreeMap::new(),
            wishes: VecDeque::new(),
            awaited: super::web::Awaited::default(),
            documents: crate::markup::Known::default(),
        }
    }

    /// A realm of another name makes all nonces of before stale.
    pub fn new_challenger(&mut self, realm: &str) {
        self.challenger = Challenger::new(realm, self.nonce_key, Policy::default());
    }

    /// Keeps what a call wants until the call is done with what it does.
    pub fn wish(&mut self, wish: Wish) {
        self.wishes.push_back(wish);
    }

    /// The configuration in force from now on.
    pub fn set_config(&mut self, config: &Arc<Config>) {
        self.config = Arc::clone(config);
        self.user_places = places(config);
        self.manners = AllManners::new(config);
    }

    pub fn user(&self, name: &str) -> Option<&User> {
        self.config.users.get(*self.user_places.get(name)?)
    }

    pub fn output(&mut self, output: Output) {
        self.out.push_back(output);
    }

    pub fn fact(&mut self, fact: Fact) {
        self.out.push_back(Output::Fact(fact));
    }

    pub fn pop_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    pub fn set_timer(&mut self, at: Instant, key: TimerKey) {
        self.timers.set(at, key);
    }

    // ---- who is who ------------------------------------------------------------------------------------------------

    /// The leg whose dialog has this tag of ours, while requests may name it.
    pub fn dialog(&self, tag: Tag) -> Option<LegRef> {
        self.places.get(&tag).filter(|place| place.is_live).map(|place| place.leg)
    }

    /// A leg is here from now on, be it new or from elsewhere.
    pub fn add_dialog(&mut self, tag: Tag, leg: LegRef) {
        self.places.insert(tag, Place { leg, is_live: true });
    }

    /// Tells whose the messages of a leg are, if anybody keeps them.
    pub fn trace_leg(&mut self, call: CallId, leg: &Leg) {
        if self.config.traces_messages() {
            self.output(Output::Leg { call, call_id: leg.dialog().call_id().into() });
        }
    }

    /// The dialog is over; what is under way in it still finds its leg.
    pub fn remove_dialog(&mut self, tag: Tag) {
        if let Some(place) = self.places.get_mut(&tag) {
            place.is_live = false;
        }
    }

    /// The call is over: its legs are found no more.
    pub fn forget_legs<'a>(&mut self, call: CallKey, legs: impl Iterator<Item = &'a Leg>) {
        for tag in legs.map(|leg| leg.dialog().local_tag()) {
            // A leg that has left this call for another one has its place there.
            if self.places.get(&tag).is_some_and(|place| place.leg.call == call) {
                self.places.remove(&tag);
            }
        }
    }

    /// A leg of the call has another number from now on.
    pub fn renumber(&mut self, tag: Tag, leg: LegRef) {
        if let Some(place) = self.places.get_mut(&tag) {
            place.leg = leg;
        }
    }

    fn place(&self, tag: Tag) -> Option<LegRef> {
        self.places.get(&tag).map(|place| place.leg)
    }

    pub fn server(&self, id: ServerId) -> Option<LegRef> {
        self.servers.get(&id).and_then(|tag| self.place(*tag))
    }

    pub fn add_server(&mut self, id: ServerId, leg: Tag) {
        self.servers.insert(id, leg);
    }

    pub fn remove_server(&mut self, id: ServerId) -> Option<LegRef> {
        let tag = self.servers.remove(&id)?;
        self.place(tag)
    }

    pub fn client(&self, id: ClientId) -> Option<Purpose> {
        self.clients.get(&id).map(|booked| self.purpose(*booked))
    }

    fn purpose(&self, booked: Booked) -> Purpose {
        match booked {
            Booked::Leg(tag, method) => self.place(tag).map_or(Purpose::Over, |leg| Purpose::Leg(leg, method)),
            Booked::Other(purpose) => purpose,
        }
    }

    /// A request of a leg's, by the tag of its dialog.
    pub fn add_leg_client(&mut self, id: ClientId, leg: Tag, method: Method) {
        self.clients.insert(id, Booked::Leg(leg, method));
    }

    pub fn add_client(&mut self, id: ClientId, purpose: Purpose) {
        self.clients.insert(id, Booked::Other(purpose));
    }

    pub fn remove_client(&mut self, id: ClientId) -> Option<Purpose> {
        let booked = self.clients.remove(&id)?;
        Some(self.purpose(booked))
    }

    // ---- media -----------------------------------------------------------------------------------------------------

    /// Numbers a media leg for a call and asks for its ports, where the other legs of `group` are.
    pub fn open_media(&mut self, call: CallKey, group: u64, v6: bool) -> media::LegId {
        let leg = media::LegId(self.media_next);
        self.media_next += 1;
        self.media.insert(leg, call);
        self.counters.media_legs_active += 1;
        let family = if v6 { media::Family::V6 } else { media::Family::V4 };
        self.output(Output::Media(media::Command::Open { leg, group, family }));
        leg
    }

    /// A number to which no limit of calls holds.
    pub fn is_emergency(&self, number: &str) -> bool {
        self.config.limits.emergency.iter().any(|e| e == number)
    }

    /// How the media of a leg with this peer is protected, by the configuration in force: its trunk's or user's word, or all's.
    pub fn security(&mut self, peer: &Peer) -> Security {
        let own = match peer {
            Peer::Trunk(name) => self.trunks.get(name).and_then(|t| t.srtp),
            Peer::User(name) => self.user(name).and_then(|u| u.srtp),
            Peer::Uri(_) => None,
        };
        let policy = own.unwrap_or(self.config.media.srtp);
        let mut seed = [0; 32];
        if policy != Srtp::Off {
            self.keys.fill(&mut seed);
        }
        Security::new(policy, seed)
    }

    pub fn media_owner(&self, leg: media::LegId) -> Option<CallKey> {
        self.media.get(&leg).copied()
    }

    pub fn media_closed(&mut self, leg: media::LegId) {
        if self.media.remove(&leg).is_some() {
            self.counters.media_legs_active -= 1;
        }
    }

    /// Numbers a tap of a call.
    pub fn new_tap(&mut self, call: CallKey) -> media::TapId {
        let tap = self.room_tap();
        self.taps.insert(tap, call);
        tap
    }

    /// Numbers a tap of a room, which is no call's.
    pub const fn room_tap(&mut self) -> media::TapId {
        self.tap_next += 1;
        media::TapId(self.tap_next - 1)
    }

    pub fn tap_owner(&self, tap: media::TapId) -> Option<CallKey> {
        self.taps.get(&tap).copied()
    }

    /// The recorder tells nothing more of it.
    pub fn tap_ended(&mut self, tap: media::TapId) {
        self.taps.remove(&tap);
    }

    pub fn new_play(&mut self) -> media::PlayId {
        self.play_next += 1;
        media::PlayId(self.play_next)
    }
}
