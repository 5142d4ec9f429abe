//! Keys of slots that others own, on a primary: taken away where the owner has them too.

use redisnode_proto::{NodeName, SlotSet};

use super::data::{Data, Key, Op};
use super::world::World;

impl World {
    pub(crate) fn drop_doubles(&mut self, node: usize, slots: &SlotSet, owner: &NodeName) {
        let Some(other) = self.node_named(owner).filter(|other| self.net.reach(node, *other)) else { return };
        let there = self.nodes[other].server.as_ref().filter(|server| !server.stopped && server.state_ok);
        let Some(there) = there.filter(|server| slots.is_subset(&server.me().slots)).map(|server| &server.data) else {
            return;
        };
        let Some(server) = &self.nodes[node].server else { return };
        let here = server.data.keys().filter(|key| slots.contains(key.slot));
        let doubles: Vec<Key> = here.filter(|key| there.contains_key(key)).copied().collect();
        let before: Data = server.data.clone();
        self.with_server(node, |server, _| doubles.iter().for_each(|key| server.emit(Op::Delete(*key))));
        let (name, keys) = (self.name(node).clone(), doubles.len());
        self.say(|| format!("{name}: drops {keys} keys of slots {slots}, which {owner} owns and has too"));
        self.check_wipe(node, &before, "its agent dropped doubles");
    }
}
