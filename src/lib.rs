//! Tandem: a telephony softswitch with a contact center in it.
//!
//! The core (`switch` and all below it) is a deterministic state machine: it reads no clock, opens no socket and awaits
//! nothing. `shell` is the only module that touches the world. Modules stand in layer order; `tests/tidy.rs` holds the
//! order. Start reading at `src/ARCHITECTURE.md`.

// The order of a hash table is not deterministic; .clippy.toml bans its iterators, this its loops.
#![warn(clippy::iter_over_hash_type)]

pub mod base;

pub mod config;
pub mod event;
pub mod rtp;
pub mod sdp;

pub mod media;
pub mod sip;
pub mod speech;
pub mod web;

pub mod recording;
pub mod verb;

pub mod b2bua;
pub mod dialplan;
pub mod markup;
pub mod rates;

pub mod switch;

pub mod shell;
