//! Codecs and signal generators: pure functions over samples.
//!
//! Samples are 16-bit linear, mono. Nothing here does input or output or reads a clock; only `opus` calls another crate.
//! State lives in plain structs that the caller owns; processing allocates nothing unless its doc says so.

pub mod agc;
pub mod cache;
pub mod cng;
pub mod dtmf;
pub mod g711;
pub mod g722;
pub mod level;
pub mod mix;
pub mod opus;
pub mod plc;
pub mod resample;
pub mod tone;
pub mod vad;
mod wave;
