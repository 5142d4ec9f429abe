//! After a replica's link has come up: cut once where the next one streams at once ([`redisnode_agent_core::relink`] says
//! when and why), and watched until the replica has caught up ([`redisnode_agent_core::catch_up`]).

use redisnode_proto::report::ServerState;

use super::reconcile::Reconciler;
use super::shared::whole;
use crate::resp::Command;

impl Reconciler {
    /// Notes whether a linked replica has yet to catch up; as long as it has, its primary's agent is asked.
    pub(super) fn catch_up(&mut self, server: &mut ServerState) {
        let ServerState::Running(running) = server else { return };
        let primary = running.view.myself().and_then(|me| me.primary.clone());
        let name = primary.and_then(|id| self.with_situation(|s| s.name_of(&id)));
        let catching_up = {
            let state = self.shared.state();
            let peer = name.as_ref().and_then(|name| state.peers.get(name));
            self.catch_up.seen(running, peer, self.shared.now())
        };
        running.replication.catching_up = catching_up;
        if catching_up {
            self.ask(name.into_iter().collect());
        }
    }

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
