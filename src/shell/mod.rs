//! See src/ARCHITECTURE.md.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]
