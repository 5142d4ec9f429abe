//! Replication: links, partial and full syncs, and the stream, which arrives in order and late.

use rand::RngExt;
use redisnode_proto::topology::Role;

use super::clock::Time;
use super::data::Op;
use super::server::{Link, Server};
use super::world::{Event, World};

/// `repl-timeout`, shortened.
const REPL_TIMEOUT: Time = 10_000;

impl World {
    /// The node whose server has this id.
    pub(crate) fn node_of(&self, id: super::ids::Id) -> Option<usize> {
        self.nodes.iter().position(|node| node.server.as_ref().is_some_and(|server| server.id == id))
    }

    /// What a replica's clock work does about its link.
    pub(crate) fn tend_link(&mut self, node: usize) {
        let now = self.now;
        let Some(server) = &self.nodes[node].server else { return };
        if server.is_primary() {
            self.prune_attached(node);
            return;
        }
        let Some(primary) = server.primary() else { return };
        let (link, number) = (server.link, server.link_number);
        let source = self.source_of(node, primary).filter(|at| self.serves_replicas(*at, node));
        let reachable = source.is_some_and(|at| self.net.servers_reach(at, node));
        match link {
            Link::Up { from, heard_at } if from == primary => {
                let attached = source.and_then(|at| self.nodes[at].server.as_ref()).is_some_and(|s| {
                    s.attached.get(&self.nodes[node].server.as_ref().unwrap().id).is_some_and(|(n, _)| *n == number)
                });
                let server = self.nodes[node].server.as_mut().unwrap();
                if reachable && attached {
                    server.link = Link::Up { from, heard_at: now };
                } else if (source.is_none() || reachable) || now > heard_at + REPL_TIMEOUT {
                    server.unlink(now);
                }
            }
            Link::Syncing { from } if from == primary && source.is_some() => {}
            Link::Up { .. } | Link::Syncing { .. } => self.nodes[node].server.as_mut().unwrap().unlink(now),
            Link::Down { .. } => {
                if let (Some(source), true) = (source, reachable) {
                    self.begin_sync(source, node);
                }
            }
        }
    }

    /// The node whose server a replica of `primary` reaches: replication goes by address and asks for no id, so a server
    /// that came back without its folder is copied by the replicas of its former life.
    fn source_of(&self, replica: usize, primary: super::ids::Id) -> Option<usize> {
        let successor = || {
            let addr = self.nodes[replica].server.as_ref()?.table.get(&primary)?.addr?;
            self.node_at(addr)
                .filter(|at| self.nodes[*at].former.contains(&primary) && self.nodes[*at].server.is_some())
        };
        self.node_of(primary).or_else(successor)
    }

    fn serves_replicas(&self, source: usize, replica: usize) -> bool {
        let server = self.nodes[source].server.as_ref();
        let known_at = self.nodes[replica].server.as_ref().and_then(|r| {
            let primary = r.primary()?;
            r.table.get(&primary)?.addr
        });
        server.is_some_and(|s| s.is_primary() && !s.is_loading(self.now) && !s.stopped)
            && known_at == Some(self.nodes[source].addr)
    }

    fn prune_attached(&mut self, node: usize) {
        let place = &self.nodes[node];
        let is_me = |id| place.former.contains(&id) || place.server.as_ref().is_some_and(|server| server.id == id);
        let alive: Vec<_> = self
            .nodes
            .iter()
            .filter_map(|n| n.server.as_ref())
            .filter(|s| matches!(s.link, Link::Up { from, .. } | Link::Syncing { from } if is_me(from)))
            .map(|s| (s.id, s.link_number))
            .collect();
        if let Some(server) = &mut self.nodes[node].server {
            server.attached.retain(|id, (number, _)| alive.contains(&(*id, *number)));
        }
    }

    fn begin_sync(&mut self, source: usize, node: usize) {
        let (Some(primary), Some(replica)) = (&self.nodes[source].server, &self.nodes[node].server) else { return };
        let (followed, number) = (replica.primary().unwrap_or(primary.id), replica.link_number + 1);
        let missing = partial(primary, replica);
        let (history, until) = (primary.history, primary.offset);
        let replica = self.nodes[node].server.as_mut().unwrap();
        replica.link_number = number;
        let id = replica.id;
        let Some(missing) = missing else {
            replica.link = Link::Syncing { from: followed };
            let takes = self.rng.random_range(20..400);
            self.after(takes, Event::SyncLoad { node, link: number });
            return;
        };
        replica.link = Link::Up { from: followed, heard_at: self.now };
        replica.history = history;
        for (_, op) in missing {
            replica.replay(op);
        }
        self.attach(source, id, number, until);
    }

    fn attach(&mut self, source: usize, id: super::ids::Id, number: u64, offset: u64) {
        if let Some(primary) = &mut self.nodes[source].server {
            primary.attached.insert(id, (number, offset));
        }
    }

    /// A full sync has arrived: what the replica had is replaced.
    pub(crate) fn load_sync(&mut self, node: usize, link: u64) {
        let Some(replica) = self.nodes[node].server.as_ref().filter(|s| s.link_number == link) else { return };
        let Link::Syncing { from } = replica.link else { return };
        let id = replica.id;
        let source = self
            .source_of(node, from)
            .filter(|at| self.serves_replicas(*at, node) && self.net.servers_reach(*at, node));
        let Some(source) = source else {
            self.nodes[node].server.as_mut().unwrap().unlink(self.now);
            return;
        };
        let primary = self.nodes[source].server.as_ref().unwrap();
        let (data, offset, history) = (primary.data.clone(), primary.offset, primary.history);
        let (open, staged) = (primary.open.clone(), primary.whole.staged.clone());
        let replica = self.nodes[node].server.as_mut().unwrap();
        let before = std::mem::replace(&mut replica.data, data);
        (replica.offset, replica.history) = (offset, history);
        replica.backlog.clear();
        replica.whole.staged = staged;
        replica.link = Link::Up { from, heard_at: self.now };
        if replica.flavor.marks_survive {
            replica.open = open;
        }
        self.nodes[node].streamed = offset;
        self.attach(source, id, link, offset);
        self.check_wipe(node, &before, "a full sync replaced them");
    }

    /// Sends what the server has done since the last look to its replicas.
    pub(crate) fn send_stream(&mut self, node: usize) {
        let Some(server) = &self.nodes[node].server else { return };
        if !server.untold.is_empty() {
            // It sends the stream too.
            self.with_server(node, Server::tell_changes);
            return;
        }
        let streamed = self.nodes[node].streamed.min(server.offset);
        if streamed == server.offset {
            return;
        }
        let fresh: Vec<(u64, Op)> =
            server.backlog.iter().rev().take_while(|(offset, _)| *offset > streamed).cloned().collect();
        let attached: Vec<_> = server.attached.iter().map(|(id, (number, _))| (*id, *number)).collect();
        self.nodes[node].streamed = server.offset;
        for (id, link) in attached {
            let Some(replica) = self.node_of(id) else { continue };
            for (offset, op) in fresh.iter().rev() {
                let at = (self.now + self.rng.random_range(1..=3)).max(self.nodes[replica].link_clock);
                self.nodes[replica].link_clock = at;
                self.queue.push(at, Event::Stream { from: node, node: replica, link, offset: *offset, op: op.clone() });
            }
        }
    }

    pub(crate) fn stream_arrives(&mut self, from: usize, node: usize, link: u64, offset: u64, op: Op) {
        let Some(replica) = self.nodes[node].server.as_ref().filter(|s| s.link_number == link) else { return };
        if !matches!(replica.link, Link::Up { .. }) || offset <= replica.offset {
            return;
        }
        if !self.net.servers_reach(from, node) || replica.stopped || offset > replica.offset + 1 {
            self.after(20, Event::Stream { from, node, link, offset, op });
            return;
        }
        let replica = self.nodes[node].server.as_mut().unwrap();
        let id = replica.id;
        replica.replay(op);
        self.nodes[node].streamed = offset;
        if let Some(entry) = self.nodes[from].server.as_mut().and_then(|s| s.attached.get_mut(&id)) {
            entry.1 = offset;
        }
    }
}

/// What a replica misses, if the primary still has all of it and their histories agree.
fn partial(primary: &Server, replica: &Server) -> Option<Vec<(u64, Op)>> {
    if replica.me().role != Role::Replica {
        return None;
    }
    let same = replica.history.id == primary.history.id && replica.offset <= primary.offset;
    let shared = primary.history.former.is_some_and(|(id, upto)| replica.history.id == id && replica.offset <= upto);
    if !same && !shared {
        return None;
    }
    let missing: Vec<_> = primary.backlog.iter().filter(|(offset, _)| *offset > replica.offset).cloned().collect();
    (missing.len() as u64 == primary.offset - replica.offset).then_some(missing)
}
