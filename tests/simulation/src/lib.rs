//! A deterministic simulator of crsqlite-sync: whole worlds of devices, connections and relays in virtual time, each
//! replayed exactly by its seed. Checks that replicas converge; never used by what ships.
//!
//! - [`model`]: one cr-sqlite database in memory; [`store`]: the engine's port to it
//! - [`world`]: time and events; `clients`, `network`, `calls`: what moves in them; `chaos`: what goes wrong; `check`: what
//!   must hold afterwards, `audit`: what must hold all along; `tabs`: leaders that were replaced
//! - `relay`, [`contract`], `peer`, `app`, `device`: who takes part; [`plan`]: what a seed makes of them
//! - [`run`]: seeds on all cores; [`directed`]: scripts for what dice seldom do; [`mutants`]: who notices that a rule is left out
//! - [`histories`]: what the model makes of random SQL, to be compared with the real package
//! - [`scenario`]: worlds as data, for the model and for the real package, whose relays are [`served`]

mod app;
mod audit;
mod calls;
mod chaos;
mod check;
mod clients;
pub mod contract;
pub mod damage;
mod device;
pub mod directed;
pub mod histories;
pub mod model;
pub mod mutants;
mod network;
mod peer;
pub mod plan;
mod relay;
pub mod rng;
pub mod run;
pub mod scenario;
pub mod served;
pub mod store;
mod tabs;
pub mod world;
