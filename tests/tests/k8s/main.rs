//! The product on a real Kubernetes, seen from outside. All cases of a run share one cluster of three nodes, each in a
//! zone of its own, and work in namespaces of their own; a case that breaks nodes starts a cluster for itself.
//!
//! Where a machine cannot have nodes, those cases say so in the last lines of `make test`, and the others run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod charts;
mod cluster;
mod cookbook;
mod harness;
mod healing;
mod leaders;
mod product;
mod resource;
mod rights;
mod under_load;
