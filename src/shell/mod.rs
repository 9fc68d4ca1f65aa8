//! The only part that touches the world: threads, sockets, clocks, disk.
//!
//! One control thread owns the switch and the SIP UDP sockets ([`control`]); one ledger thread logs facts and stores calls
//! ([`ledger`]); the main thread runs a small tokio runtime for TCP, HTTP and signals; media threads are [`media`]'s.
//! What the threads tell the control thread goes through [`mail`], bounded.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]

pub mod api;
pub mod capture;
pub mod cli;
pub mod client;
pub mod clock;
pub mod control;
pub mod dns;
pub mod dumps;
pub mod explain;
pub mod files;
pub mod hearing;
pub mod hep;
mod identity;
pub mod ledger;
pub mod logs;
pub mod mail;
pub mod media;
pub mod net;
pub mod outside;
pub mod rates;
pub mod recording;
mod resident;
pub mod run;
pub mod schema;
pub mod speech;
pub mod store;
pub mod testrun;
pub mod web;
