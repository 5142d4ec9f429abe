//! The agent of one node and the launcher of its server. What to do next is decided in the pure core
//! (`redisnode-agent-core`); this crate observes and acts.

pub mod files;
pub mod install;
pub mod launch_client;
pub mod launcher;
pub mod lock;
pub mod metrics;
pub mod node;
pub mod resp;

#[cfg(test)]
mod test_folder;
