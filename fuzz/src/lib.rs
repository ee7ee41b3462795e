//! What the fuzz targets call: the entries of the normal run's property test, and what that begins with.
//! Decides nothing.

#[path = "../../tests/decoders/entries/mod.rs"]
pub mod entries;
#[path = "../../tests/decoders/seeds.rs"]
pub mod seeds;
#[cfg(feature = "relay")]
#[path = "../../server/tests/decoders/entry.rs"]
pub mod relay;
