//! The back-to-back user agent: an [`endpoint`] that speaks SIP, [`leg`]s that are one party's side of a call, their
//! [`session`]s (offer and answer), and the [`hunt`] over targets. The switch composes them into calls.

pub mod body;

pub mod endpoint;

pub mod preference;

pub mod security;

pub mod session;

pub mod text;

pub mod leg;

pub mod hunt;
