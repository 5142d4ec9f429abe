//! Being in the cluster's network: a thread enters it, and what the thread starts (threads, runtimes, processes) is in
//! it too. So a client, a whole workload or a program reaches pods and services from the test process itself.

use std::panic::resume_unwind;

use nix::sched::{CloneFlags, setns};

use super::Kubernetes;

impl Kubernetes {
    /// Runs `work` in the cluster's network. What it makes stays there: a tokio runtime with its workers, a child
    /// process. But a runtime's `block_on` polls on the thread that calls it, so call such things from inside as well.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let Some(network) = &self.network else { return work() };
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(network, CloneFlags::CLONE_NEWNET).expect("root may enter the network");
                work()
            });
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }
}
