//! Agents, launchers and real servers as pods have them: an address of their own for each member, the same ports for all,
//! everything told by environment variables, the server found by the launcher. No coordinator runs: the test says the
//! Layout once.
//!
//! Each member has its own loopback address, so a change of addresses needs no rights.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that panics fails its test, which is what it is for"
)]

mod addresses;
mod containers;
mod data;
mod pod;
mod scene;
