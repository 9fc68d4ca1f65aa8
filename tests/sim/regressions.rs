//! Seeds beyond the usual ones that once failed, and why.

pub const SEEDS: &[(u64, &str)] = &[];
