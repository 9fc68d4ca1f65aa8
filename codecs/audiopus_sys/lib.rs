//! The registry's audiopus_sys is replaced by this (`[patch]` in the workspace's Cargo.toml): the same C interface from a binding
//! that carries libopus 1.6.1.
#![no_std]
pub use opusic_sys::*;
