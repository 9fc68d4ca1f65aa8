//! Media: legs, bridges, players, on shard threads that own them by value (see src/ARCHITECTURE.md, "Media").
//!
//! Here stands the sans-IO part: a [`shard`] is fed packets and ticks and gives packets. Sockets and threads are the shell's.

pub mod command;

pub mod latch;

pub mod source;
pub mod stream;

pub mod forward;
pub mod frame;

pub mod bridge;

pub mod jitter;

pub mod ear;

pub mod mouth;

pub mod music;
pub mod player;

pub use music::HOLD_MUSIC;

pub mod tap;

pub mod seal;

pub mod tones;

pub mod digits;

pub mod protection;

pub mod report;

pub mod room;

pub mod leg;

pub mod shard;
