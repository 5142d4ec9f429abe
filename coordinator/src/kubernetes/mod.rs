//! Clusters on Kubernetes: the resource they are described by.

pub mod crd;
