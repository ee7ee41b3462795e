//! What the fuzz targets call: the entries of the normal run's property test, and what that begins with.
//! Decides nothing.

#[path = "../../tests/decoders/entries/mod.rs"]
pub mod entries;
#[cfg(feature = "relay")]
#[path = "../../server/tests/decoders/entry.rs"]
pub mod relay;
#[path = "../../tests/decoders/seeds.rs"]
pub mod seeds;
