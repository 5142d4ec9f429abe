//! Cuts a replica's new link, so that the one after it streams at once; [`redisnode_agent_core::relink`] says when and why.

use redisnode_proto::report::ServerState;

use super::reconcile::Reconciler;
use super::shared::whole;
use crate::resp::Command;

impl Reconciler {
    /// A replica whose link is cut counts as linked from its next look on, a hundredth of a second later.
    pub(super) async fn relink_if_new(&mut self, server: &mut ServerState) {
        let ServerState::Running(running) = server else { return };
        if !self.relink.seen(running, self.shared.now()) {
            return;
        }
        running.replication.link_up = false;
        let Ok(connection) = self.eye.open(&self.shared).await else { return };
        if let Err(error) = connection.demand(&Command::new("CLIENT").args_from(["KILL", "TYPE", "master"])).await {
            tracing::info!(error = %whole(&error), "the replica's new link is left as it is; it may stream a second late");
        }
    }
}
