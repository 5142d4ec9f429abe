//! Which members are to be looked for: those that nobody knows the place of, or that have left the place that is known.

use redisnode_proto::report::ServerState;
use redisnode_proto::{Layout, NodeId, NodeName};

use crate::situation::{Answer, Peers};

/// The members of the Layout that the own server is not connected to, or whose agents have not answered when they were
/// last called. As long as the server does not run: all whose agents have not been heard.
pub fn missing(me: &NodeName, layout: &Layout, server: &ServerState, peers: &Peers) -> Vec<NodeName> {
    let names = layout.members.iter().map(|member| &member.member.name).filter(|name| *name != me);
    names.filter(|name| is_missing(name, layout, server, peers)).cloned().collect()
}

fn is_missing(name: &NodeName, layout: &Layout, server: &ServerState, peers: &Peers) -> bool {
    let is_heard = match peers.get(name).map(|peer| &peer.answer) {
        Some(Answer::Silent { .. }) => return true,
        Some(Answer::Heard { .. }) => true,
        Some(Answer::NeverAsked) | None => false,
    };
    let Some(running) = server.running() else { return !is_heard };
    let line = id_of(name, layout, peers).and_then(|id| running.view.node(&id));
    !line.is_some_and(|node| node.connected && !node.handshake)
}

/// The id of a member's server: by its own agent's last word, else by the Layout.
pub fn id_of(name: &NodeName, layout: &Layout, peers: &Peers) -> Option<NodeId> {
    let said = match peers.get(name).map(|peer| &peer.answer) {
        Some(Answer::Heard { report, .. }) => report.server.running().map(|running| running.view.me.clone()),
        Some(Answer::Silent { .. } | Answer::NeverAsked) | None => None,
    };
    said.or_else(|| layout.member(name)?.node_id.clone())
}

#[cfg(test)]
mod tests {
    use redisnode_proto::report::ServerState;

    use super::*;
    use crate::testing::{NOW, Scene, name, next_id, said, silence};

    fn of(scene: &Scene) -> Vec<NodeName> {
        missing(&name(scene.node), scene.ledger.layout.as_ref().unwrap(), &scene.server, &scene.peers)
    }

    #[test]
    fn nobody_is_missing_in_a_healthy_cluster_whoever_was_asked() {
        let mut scene = Scene::new(0, 3, 1);
        assert!(of(&scene).is_empty());
        scene.peers.clear();
        assert!(of(&scene).is_empty(), "a connected server is where its line says");
    }

    #[test]
    fn who_is_not_connected_or_unknown_is_missing() {
        let mut scene = Scene::new(0, 3, 1);
        scene.view().nodes.iter_mut().find(|node| node.id == crate::testing::id(2)).unwrap().connected = false;
        assert_eq!(of(&scene), [name(2)]);
        scene.view().nodes.retain(|node| node.id != crate::testing::id(4));
        assert_eq!(of(&scene), [name(2), name(4)]);
    }

    #[test]
    fn who_has_a_new_id_is_missing_until_the_server_knows_that_one() {
        let mut scene = Scene::new(0, 3, 1);
        crate::testing::running_of(&mut said(&mut scene.peers, 1).server).view.me = next_id(1);
        assert_eq!(of(&scene), [name(1)]);
    }

    #[test]
    fn a_silent_agent_is_missing_although_its_server_is_connected() {
        let mut scene = Scene::new(0, 3, 1);
        silence(&mut scene.peers, 5, NOW);
        assert_eq!(of(&scene), [name(5)], "its agent may have another address by now");
    }

    #[test]
    fn before_the_server_runs_everybody_is_missing_who_was_not_heard() {
        let mut scene = Scene::new(0, 3, 1);
        scene.server = ServerState::Starting;
        assert!(of(&scene).is_empty());
        scene.peers.remove(&name(3));
        assert_eq!(of(&scene), [name(3)]);
    }
}
