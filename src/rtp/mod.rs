//! See src/ARCHITECTURE.md.
