//! Clients: each write has a number of its own; it follows redirects like a cluster client, and what is acknowledged is
//! accounted for.

use rand::RngExt;
use redisnode_proto::Slot;

use super::clock::Time;
use super::commands::WriteReply;
use super::data::Key;
use super::ids::Id;
use super::world::{Event, World};

/// How long a client tries one write.
const PATIENCE: Time = 3000;

/// A write on its way.
pub(crate) struct Push {
    pub(crate) key: Key,
    pub(crate) number: u32,
    pub(crate) node: usize,
    pub(crate) asking: bool,
    pub(crate) until: Time,
}

impl World {
    /// Makes `slots` slots with one to three keys each.
    pub(crate) fn make_keys(&mut self, slots: usize) {
        for _ in 0..slots {
            let slot = Slot::try_from(self.rng.random_range(0..16384u16)).unwrap();
            for number in 0..self.rng.random_range(1..=3u8) {
                self.keys.push(Key { slot, number });
            }
        }
    }

    /// Begins one write and schedules the next.
    pub(crate) fn next_write(&mut self) {
        if !self.writing {
            return;
        }
        let pause = self.rng.random_range(10..70);
        self.after(pause, Event::Client);
        let key = self.keys[self.rng.random_range(0..self.keys.len())];
        let number = self.oracle.next_write();
        let push = Push { key, number, node: self.any_node(), asking: false, until: self.now + PATIENCE };
        self.push(push);
    }

    /// One write to `key`, beginning at `node`.
    pub(crate) fn push_once(&mut self, node: usize, key: Key) {
        let number = self.oracle.next_write();
        self.push(Push { key, number, node, asking: false, until: self.now + PATIENCE });
    }

    fn any_node(&mut self) -> usize {
        self.rng.random_range(0..self.nodes.len().max(1))
    }

    pub(crate) fn push(&mut self, mut push: Push) {
        if self.now > push.until {
            return;
        }
        let node = push.node;
        let Some(server) = self.nodes.get_mut(node).and_then(|n| n.server.as_mut()) else {
            return self.elsewhere(push);
        };
        if server.stopped {
            self.after(20, Event::Push(push));
            return;
        }
        let reply = server.write(self.now, push.key, push.number, push.asking);
        if self.traced == Some(node) {
            let (name, number, key) = (self.name(node).clone(), push.number, push.key);
            self.say(|| format!("{name}: write {number} to {key:?}: {reply:?}"));
        }
        let go_to = match reply {
            WriteReply::Done { epoch } => {
                self.send_stream(node);
                self.acknowledged(node, push.key, push.number, epoch);
                return;
            }
            WriteReply::Held => {
                self.after(15, Event::Push(push));
                return;
            }
            WriteReply::Down => return self.elsewhere(push),
            WriteReply::Moved(id) => {
                push.asking = false;
                self.known_address(node, id)
            }
            WriteReply::Ask(id) => {
                push.asking = true;
                self.known_address(node, id)
            }
        };
        match go_to {
            Some(next) if next != node => {
                push.node = next;
                let delay = self.rng.random_range(1..4);
                self.after(delay, Event::Push(push));
            }
            Some(_) | None => self.elsewhere(push),
        }
    }

    fn known_address(&self, node: usize, id: Id) -> Option<usize> {
        let addr = self.nodes[node].server.as_ref()?.table.get(&id)?.addr?;
        self.node_at(addr)
    }

    fn elsewhere(&mut self, mut push: Push) {
        (push.node, push.asking) = (self.any_node(), false);
        let delay = self.rng.random_range(20..120);
        self.after(delay, Event::Push(push));
    }
}
