//! A deterministic simulator of crsqlite-sync.
pub mod model;
