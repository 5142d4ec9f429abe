//! Where specs come from: a local file, or the Kubernetes resource.

mod local_file;
pub mod parse;
mod resource;

use std::future::Future;

use redisnode_proto::spec::RedisCluster;

pub use local_file::LocalFile;
pub use resource::Resource;

/// The newest valid resource, and what is wrong with an edit that came after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The newest valid resource.
    pub resource: RedisCluster,
    /// Which edit it is.
    pub generation: u64,
    /// Why a newer edit is not obeyed, a sentence.
    pub invalid_edit: Option<String>,
}

/// Yields validated specs.
pub trait Source: Send {
    /// What is wanted now.
    fn wanted(&self) -> &Wanted;

    /// Comes back when [`Self::wanted`] has changed. May be dropped at any time without losing a change.
    fn changed(&mut self) -> impl Future<Output = ()> + Send;
}
