//! Clusters on Kubernetes: the resource they are described by, and the objects that are made of it.

pub mod crd;
pub mod objects;
