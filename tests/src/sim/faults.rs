//! What breaks, and how it is mended.

use rand::RngExt;
use redisnode_proto::Member;

use super::agent::Agent;
use super::clock::Time;
use super::disk::{Conf, Disk, Keeping};
use super::ids::Addr;
use super::world::{Event, Node, World};

/// A fault, or its end.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The server alone is killed; its agent sees it at once.
    KillServer(usize),
    /// The agent alone is killed, and is back after a while.
    KillAgent(usize, Time),
    /// Server and agent are killed together, and are back after a while.
    KillNode(usize, Time),
    /// The pod is deleted with its folder: a new incarnation comes after a while.
    LoseFolder(usize, Time),
    /// SIGTERM to the node, back after a while.
    StopInOrder(usize, Time),
    /// The server is stopped (SIGSTOP) for a while.
    Freeze(usize, Time),
    Thaw(usize),
    /// A node is cut off from all others for a while.
    Island(usize, Time),
    /// Two nodes do not reach each other for a while.
    Cut(usize, usize, Time),
    Mend,
    Lossy(u32),
    SlowBus(Time),
    /// An agent starts again.
    StartAgent(usize, u64),
    /// A dump is written, where dumps are kept.
    Dump(usize),
    KillCoordinator(Time),
    /// A second coordinator starts beside the first.
    SecondCoordinator,
    StartCoordinator,
    Spec(u32, u32),
    /// A user empties the server of a node.
    Flush(usize),
    /// A user holds the writes of a server for a while.
    Pause(usize, Time),
    /// The server's child writes a dump for a while.
    Save(usize, Time),
}

impl World {
    pub(crate) fn apply_fault(&mut self, fault: &Fault) {
        self.say(|| format!("fault: {fault:?}"));
        match fault {
            Fault::KillServer(node) => self.crash_server(*node, "killed"),
            Fault::KillAgent(node, back) => {
                self.kill_agent(*node);
                self.start_agent_after(*node, *back);
            }
            Fault::KillNode(node, back) => {
                self.kill_agent_quietly(*node);
                self.crash_server(*node, "killed with its agent");
                self.move_address(*node);
                self.start_agent_after(*node, *back);
            }
            Fault::LoseFolder(node, back) => self.lose_folder(*node, *back),
            Fault::StopInOrder(node, back) => {
                let now = self.now;
                if let Some(agent) = &mut self.nodes[*node].agent {
                    agent.stopping.get_or_insert(now);
                }
                self.start_agent_after(*node, 13_000 + back);
            }
            Fault::Freeze(node, back) => self.freeze(*node, *back),
            Fault::Thaw(node) => {
                if let Some(server) = &mut self.nodes[*node].server {
                    server.stopped = false;
                }
                self.net.last_cut.insert(*node, self.now);
            }
            Fault::Island(node, back) => {
                self.cut_off(*node);
                self.net.islands.insert(*node);
                self.after(*back, Event::Fault(Fault::Mend));
            }
            Fault::Cut(a, b, back) => {
                self.cut_off(*a);
                self.cut_off(*b);
                self.net.cuts.insert((*a.min(b), *a.max(b)));
                self.after(*back, Event::Fault(Fault::Mend));
            }
            Fault::Mend => self.mend(),
            Fault::Lossy(percent) => self.net.lossy = *percent,
            Fault::SlowBus(most) => self.net.slow_bus = *most,
            Fault::StartAgent(node, lives) => {
                let place = &self.nodes[*node];
                if place.agent.is_none() && !place.gone && *lives == place.member_lives() {
                    self.start_agent(*node);
                }
            }
            Fault::Dump(node) => self.dump(*node),
            Fault::KillCoordinator(back) => {
                self.kill_coordinators();
                self.after(*back, Event::Fault(Fault::StartCoordinator));
            }
            Fault::SecondCoordinator | Fault::StartCoordinator => self.start_coordinator(),
            Fault::Spec(primaries, factor) => self.change_spec(*primaries, *factor),
            Fault::Flush(node) => self.flush(*node),
            Fault::Pause(node, time) => {
                let time = *time;
                self.with_server(*node, |server, ctx| {
                    server.client_pause_until = ctx.now + time;
                    server.pause_ends_moves(ctx);
                });
            }
            Fault::Save(node, time) => {
                let time = *time;
                self.with_server(*node, |server, ctx| server.saving_until = ctx.now + time);
            }
        }
    }

    /// A node of the machine is made: an empty folder, an agent, a new incarnation.
    pub(crate) fn make_node(&mut self, name: redisnode_proto::NodeName) {
        let uid = format!("u{}", self.next_life()).parse().unwrap();
        let addr = Addr(self.next_addr);
        self.next_addr += 1;
        let member = Member { name, uid };
        let node = Node {
            member,
            addr,
            disk: Disk::default(),
            server: None,
            agent: None,
            gone: false,
            former: Vec::new(),
            streamed: 0,
            link_clock: 0,
            dump: super::data::Data::new(),
        };
        self.nodes.push(node);
        self.start_agent(self.nodes.len() - 1);
    }

    fn start_agent_after(&mut self, node: usize, delay: Time) {
        let lives = self.nodes[node].member_lives();
        self.after(delay, Event::Fault(Fault::StartAgent(node, lives)));
    }

    pub(crate) fn kill_agent(&mut self, node: usize) {
        let name = self.name(node).clone();
        self.say(|| format!("{name}: agent dies"));
        self.kill_agent_quietly(node);
        let back = 200 + self.jitter(3000);
        self.start_agent_after(node, back);
    }

    fn kill_agent_quietly(&mut self, node: usize) {
        let _: Option<Agent> = self.nodes[node].agent.take();
    }

    /// The server process dies: what it kept is on disk, what is only in its memory is gone.
    pub(crate) fn crash_server(&mut self, node: usize, why: &str) {
        self.excuse_unreplicated(node);
        self.excuse_just_taken(node);
        let place = &mut self.nodes[node];
        let Some(server) = place.server.take() else { return };
        place.disk.conf = Some(Conf::of(&server));
        place.disk.data = match self.keeping {
            Keeping::Nothing => None,
            Keeping::Everything => Some(server.data.clone()),
            Keeping::OldDumps => Some(place.dump.clone()),
        };
        let id = server.id;
        self.lose_stream(node, id);
        self.hang_up(node, id);
        let name = self.name(node).clone();
        self.say(|| format!("{name}: server dies ({why})"));
        self.excuse_vanished();
        let soon = 1 + self.jitter(5);
        self.wake(node, soon);
    }

    /// The others see their connections to a dead process end at once.
    pub(crate) fn hang_up(&mut self, node: usize, id: super::ids::Id) {
        for other in 0..self.nodes.len() {
            let reached = self.net.servers_reach(node, other);
            let server = self.nodes[other].server.as_mut().filter(|_| reached);
            if let Some(peer) = server.and_then(|server| server.table.get_mut(&id)) {
                peer.connected = false;
            }
        }
    }

    /// What a dead server has sent to replicas that it did not reach never arrives.
    fn lose_stream(&mut self, node: usize, primary: super::ids::Id) {
        let now = self.now;
        let net = &self.net;
        let cut = self.nodes.iter_mut().enumerate().filter(|(index, _)| !net.servers_reach(node, *index));
        for (_, place) in cut {
            if let Some(replica) = place.server.as_mut().filter(|server| server.primary() == Some(primary)) {
                replica.unlink(now);
            }
        }
    }

    fn lose_folder(&mut self, node: usize, back: Time) {
        self.kill_agent_quietly(node);
        self.crash_server(node, "its pod is deleted");
        if let Some(id) = self.nodes[node].disk.conf.as_ref().map(|conf| conf.id) {
            self.oracle.buries(id);
            self.nodes[node].former.push(id);
        }
        self.nodes[node].disk = Disk::default();
        self.nodes[node].dump.clear();
        let uid = format!("u{}", self.next_life()).parse().unwrap();
        self.nodes[node].member.uid = uid;
        self.move_address(node);
        self.excuse_vanished();
        self.start_agent_after(node, back);
    }

    /// A restarted pod has another address; now and then one that somebody else had before.
    fn move_address(&mut self, node: usize) {
        if self.rng.random_range(0..2) == 0 {
            return;
        }
        let free = (1..self.next_addr).map(Addr).find(|addr| self.node_at(*addr).is_none());
        let reuse = free.filter(|_| self.rng.random_range(0..2) == 0);
        self.nodes[node].addr = reuse.unwrap_or(Addr(self.next_addr));
        if reuse.is_none() {
            self.next_addr += 1;
        }
    }

    fn freeze(&mut self, node: usize, back: Time) {
        self.cut_off(node);
        if let Some(server) = &mut self.nodes[node].server {
            server.stopped = true;
            self.after(back, Event::Fault(Fault::Thaw(node)));
        }
    }

    /// From now on the servers' own rules may drop what this node does.
    fn cut_off(&mut self, node: usize) {
        self.excuse_unreplicated(node);
        self.net.last_cut.insert(node, self.now);
        self.net.cut_since.insert(node, self.now);
    }

    fn mend(&mut self) {
        let now = self.now;
        let cut: Vec<usize> =
            self.net.islands.iter().copied().chain(self.net.cuts.iter().flat_map(|(a, b)| [*a, *b])).collect();
        self.net.last_cut.extend(cut.into_iter().map(|node| (node, now)));
        self.net.islands.clear();
        self.net.cuts.clear();
    }

    /// What a user deletes is not lost.
    fn flush(&mut self, node: usize) {
        let Some(server) = self.nodes[node].server.as_ref().filter(|server| server.is_primary()) else { return };
        let data = server.data.clone();
        self.oracle.excuse(data.values());
        self.with_server(node, super::server::Server::flush);
    }

    fn dump(&mut self, node: usize) {
        if let Some(server) = &self.nodes[node].server {
            self.nodes[node].dump = server.data.clone();
        }
    }
}

impl Node {
    /// Which incarnation this is, for what is scheduled for it.
    fn member_lives(&self) -> u64 {
        self.member.uid.as_str()[1..].parse().unwrap()
    }
}
