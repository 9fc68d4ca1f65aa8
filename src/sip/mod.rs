//! SIP (RFC 3261): from bytes to dialogs, each part below using only those above it.

pub mod wire;

pub mod transport;

pub mod locate;

pub mod transaction;

pub mod dialog;

pub mod replaces;

pub mod auth;

pub mod registrar;

pub mod identity;
