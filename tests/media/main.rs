//! The media plane: a shard in simulated time, and the engine with its threads over loopback.

mod engine;
#[allow(dead_code, reason = "the shard's own tests use the rest")]
mod rig;
