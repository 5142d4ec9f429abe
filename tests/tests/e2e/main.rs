//! The product on real servers, seen from outside. One file per theme; each case runs on a fixed sample of servers, or
//! with `REDISNODE_MATRIX=N` on every server, N times.
//!
//! The binaries are found by REDISNODE_BIN: `make test` and `make test-e2e` set it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod abuse;
mod balance;
mod configure;
mod create;
mod drivers;
mod folders;
mod handoff;
mod held;
mod large_keys;
mod mixed;
mod other_uses;
mod restart;
mod room;
mod run;
mod scale;
mod soak;
mod storm;
mod takeover;
mod wrong_input;
