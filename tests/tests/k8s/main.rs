//! The product on a real Kubernetes, seen from outside. All cases of a run share one cluster of three nodes, each in a
//! zone of its own, and work in namespaces of their own; a case that breaks nodes starts a cluster for itself.
//!
//! Each case runs on a fixed sample of servers, or on those that REDISNODE_FAMILIES names; those that are ignored run with
//! `make test-k8s-all`, on all. Where a machine cannot have nodes, the cases say so in the last lines of `make test`, and
//! the others run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod charts;
mod claims;
mod cluster;
mod cookbook;
mod deaths;
mod harness;
mod healing;
mod idle_twin;
mod leaders;
mod load;
mod nodes;
mod product;
mod resource;
mod rights;
mod run;
mod under_load;
mod upgrade;
