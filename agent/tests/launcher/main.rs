//! The launcher end to end: the real binary, shell scripts and real servers as its server.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that panics fails its test, which is what it is for"
)]

mod life;
mod locks;
mod raw;
mod real;
mod scene;
mod stop;
