//! Ready and live: neither is a bare PING.

use redisnode_proto::judge;
use redisnode_proto::report::ServerState;
use redisnode_proto::topology::Role;

use crate::situation::Situation;

/// Whether the node does its part: the server answers, is not loading, is in the cluster, its state is ok, and it
/// serves its slots or is a replica in sync. The error says what is missing.
pub fn is_ready(s: &Situation<'_>) -> Result<(), String> {
    let running = match s.server {
        ServerState::Running(running) => running,
        ServerState::Waiting { reason }
        | ServerState::Refused { reason }
        | ServerState::Dead { reason }
        | ServerState::Unknown { reason } => return Err(reason.clone()),
        ServerState::Starting => return Err("the server is starting".into()),
        ServerState::Loading => return Err("the server is loading its data".into()),
        ServerState::Retired => return Err("the member has left the cluster".into()),
    };
    let Some(layout) = s.layout() else { return Err("no Layout has come yet".into()) };
    if s.stopping {
        return Err("the node is stopping".into());
    }
    if running.writes_paused {
        return Err("writes are held until it is sure that this node still owns its slots".into());
    }
    let view = &running.view;
    if layout.members.len() > 1 && view.nodes.iter().filter(|node| !node.handshake).count() < 2 {
        return Err("the server has not met the others yet".into());
    }
    if !view.state_ok {
        return Err("the cluster's state is not ok in this server's eyes: a majority of the primaries is out of its reach, or slots are missing".into());
    }
    match running.replication.role {
        Role::Primary => Ok(()),
        Role::Replica if judge::is_in_sync(running) => Ok(()),
        Role::Replica if judge::is_linked(running) => {
            Err("the replica is linked, and not known yet to hold what was written while it synced".into())
        }
        Role::Replica => Err("the replica is not in sync with its primary yet".into()),
    }
}

/// Whether the agent's container should live on: the server answers, or has a good reason not to. An agent that waits
/// in its start check, whose server loads, or is dead and about to be started again, is live.
pub fn is_live(server: &ServerState, silent_for_ms: u64, allowed_ms: u64) -> Result<(), String> {
    match server {
        ServerState::Unknown { reason } if silent_for_ms > allowed_ms => {
            Err(format!("{reason}, for {} s", silent_for_ms / 1000))
        }
        ServerState::Unknown { .. }
        | ServerState::Running(_)
        | ServerState::Waiting { .. }
        | ServerState::Refused { .. }
        | ServerState::Dead { .. }
        | ServerState::Starting
        | ServerState::Loading
        | ServerState::Retired => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use redisnode_proto::topology::Role;

    use super::*;
    use crate::testing::{Scene, alone, dead};

    fn missing(node: usize, edit: impl FnOnce(&mut Scene)) -> String {
        let mut scene = Scene::new(node, 3, 1);
        assert_eq!(is_ready(&scene.situation()), Ok(()));
        edit(&mut scene);
        is_ready(&scene.situation()).unwrap_err()
    }

    #[test]
    fn a_node_that_does_not_do_its_part_is_not_ready_and_says_why() {
        assert!(missing(0, |s| s.server = dead()).contains("killed"));
        assert!(missing(0, |s| s.server = ServerState::Loading).contains("loading"));
        assert!(missing(0, |s| s.ledger.layout = None).contains("Layout"));
        assert!(missing(0, |s| s.stopping = true).contains("stopping"));
        assert!(missing(0, |s| s.running().writes_paused = true).contains("writes are held"));
        assert!(missing(0, |s| s.running().view = alone(0)).contains("not met"));
        assert!(missing(0, |s| s.view().state_ok = false).contains("not ok"));
        assert!(missing(3, |s| s.running().replication.link_up = false).contains("not in sync"));
        assert!(missing(3, |s| s.running().replication.catching_up = true).contains("while it synced"));
        let mut only = Scene::new(0, 1, 0);
        assert_eq!(is_ready(&only.situation()), Ok(()));
        only.running().replication.role = Role::Primary;
        assert_eq!(is_ready(&only.situation()), Ok(()), "the only member has nobody to meet");
    }

    #[test]
    fn only_a_server_that_lives_and_is_silent_for_too_long_costs_the_agent_its_life() {
        let silent = ServerState::Unknown { reason: "no answer".into() };
        assert!(is_live(&silent, 1000, 1000).is_ok());
        assert!(is_live(&silent, 5000, 1000).unwrap_err().contains("5 s"));
        for excused in [dead(), ServerState::Loading, ServerState::Starting, ServerState::Retired] {
            assert!(is_live(&excused, 1_000_000, 1000).is_ok(), "{excused:?}");
        }
    }
}
