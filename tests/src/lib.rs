//! The harness of the end-to-end tests and of the benches, and the simulator. It starts real programs, looks at real
//! servers itself, and believes nothing that the product says about its own work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test harness fails by panicking, and a panic names the line"
)]

pub mod at;
pub mod cluster;
pub mod gap;
pub mod kube;
pub mod measure;
pub mod moving;
pub mod ports;
pub mod procs;
pub mod raw;
pub mod replicas;
pub mod servers;
pub mod sim;
pub mod skip;
pub mod storm;
pub mod turn;
pub mod view;
pub mod wait;
pub mod watch;
pub mod workload;
