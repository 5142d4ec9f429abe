//! The charts, as `helm template` renders them: no cluster is needed. What Helm and Kubernetes make of them is a matter of
//! the tests in pods.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod chart;
mod cluster;
mod coordinator;
mod values;
