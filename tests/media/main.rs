//! The media plane: a shard in simulated time, and the engine with its threads over loopback.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "phones have sockets and a clock")]

mod captures;
mod conference;
mod counting;
mod digits;
mod engine;
mod relay;
mod rig;
mod secure;
mod shard;
mod sound;
mod transcode;
mod zero_alloc;
