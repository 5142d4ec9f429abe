//! The modelled world: nodes, network, clients, coordinators, and the queue of what happens next. One history runs in
//! one world, in one thread, and depends on nothing but its seed.

use std::rc::Rc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redisnode_proto::{ClusterId, Member, NodeName};

use super::agent::Agent;
use super::bus::Message;
use super::call::{Call, Reply};
use super::client::Push;
use super::clock::{Queue, Time};
use super::coordinator::Coordinators;
use super::data::{Key, Op};
use super::disk::{Disk, Keeping};
use super::faults::Fault;
use super::flavor::Flavor;
use super::ids::Addr;
use super::mutation::Mutation;
use super::net::Net;
use super::oracle::Oracle;
use super::server::{Ctx, Note, Server};
use super::temper::Temper;
use super::whole::Parcel;

/// A node: its name and folder, and what runs there.
pub(crate) struct Node {
    pub(crate) member: Member,
    pub(crate) addr: Addr,
    pub(crate) disk: Disk,
    pub(crate) server: Option<Server>,
    pub(crate) agent: Option<Agent>,
    /// The pod does not exist any more.
    pub(crate) gone: bool,
    /// Ids that its server had before it lost its folder: their replicas still look for them at its address.
    pub(crate) former: Vec<super::ids::Id>,
    /// Up to which offset the server's stream has been sent.
    pub(crate) streamed: u64,
    /// When the last operation on its way to this replica arrives.
    pub(crate) link_clock: Time,
    /// The last dump, where dumps are kept.
    pub(crate) dump: super::data::Data,
}

/// What can happen.
pub(crate) enum Event {
    /// The clock work of a server's life.
    Cron { node: usize, run: u64 },
    /// A message on the bus arrives.
    Bus { from: usize, to: Addr, message: Rc<Message> },
    /// A word reaches the other side of a move in one piece.
    Word { from: usize, to: Addr, sent_at: Time, parcel: Box<Parcel> },
    /// An operation reaches a replica.
    Stream { from: usize, node: usize, link: u64, offset: u64, op: Op },
    /// A full sync has been received and is loaded.
    SyncLoad { node: usize, link: u64 },
    /// A client's write reaches a server.
    Push(Push),
    /// The next client write begins.
    Client,
    /// An agent looks again.
    Tick { node: usize, life: u64, regular: bool },
    /// A call reaches an agent.
    Call(Box<Call>),
    /// An answer (or its absence) reaches the caller.
    Reply(Box<Reply>),
    /// A coordinator looks again.
    Coordinator { life: u64 },
    /// A Layout or Report of a coordinator's exchange arrives.
    Exchange(Box<super::coordinator::Exchange>),
    /// Something breaks or is mended.
    Fault(Fault),
}

/// A world.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) queue: Queue<Event>,
    pub(crate) rng: StdRng,
    pub(crate) nodes: Vec<Node>,
    pub(crate) net: Net,
    pub(crate) flavor: Flavor,
    pub(crate) keeping: Keeping,
    pub(crate) node_timeout: Time,
    pub(crate) keys: Vec<Key>,
    pub(crate) oracle: Oracle,
    pub(crate) coordinators: Coordinators,
    pub(crate) mutation: Option<Mutation>,
    pub(crate) cluster: ClusterId,
    pub(crate) lives: u64,
    pub(crate) next_addr: u16,
    /// Clients write.
    pub(crate) writing: bool,
    /// The write whose every move goes to the event log, and who had it last.
    pub(crate) followed: Option<(u32, Vec<String>)>,
    /// The node whose every decision goes to the event log.
    pub(crate) traced: Option<usize>,
    /// Random delays of agents and crashes within their work.
    pub(crate) rough: bool,
    /// How moves in one piece go.
    pub(crate) temper: Temper,
}

impl World {
    pub(crate) fn new(seed: u64, flavor: Flavor, keeping: Keeping, node_timeout: Time) -> Self {
        Self {
            now: 0,
            queue: Queue::new(),
            rng: StdRng::seed_from_u64(seed),
            nodes: Vec::new(),
            net: Net::default(),
            flavor,
            keeping,
            node_timeout,
            keys: Vec::new(),
            oracle: Oracle::keeping(number("REDISNODE_SIM_LOG").and_then(|n| usize::try_from(n).ok())),
            coordinators: Coordinators::default(),
            mutation: None,
            cluster: "sim".parse().unwrap(),
            lives: 0,
            next_addr: 1,
            writing: false,
            followed: number("REDISNODE_SIM_WRITE").and_then(|n| Some((u32::try_from(n).ok()?, Vec::new()))),
            traced: number("REDISNODE_SIM_TRACE").and_then(|n| usize::try_from(n).ok()),
            rough: false,
            temper: Temper::Even,
        }
    }

    pub(crate) fn after(&mut self, delay: Time, event: Event) {
        self.queue.push(self.now + delay, event);
    }

    pub(crate) fn say(&mut self, text: impl FnOnce() -> String) {
        self.oracle.log(self.now, text);
    }

    pub(crate) fn name(&self, node: usize) -> &NodeName {
        &self.nodes[node].member.name
    }

    pub(crate) fn node_named(&self, name: &NodeName) -> Option<usize> {
        self.nodes.iter().position(|node| node.member.name == *name && !node.gone)
    }

    pub(crate) fn node_at(&self, addr: Addr) -> Option<usize> {
        self.nodes.iter().position(|node| node.addr == addr && !node.gone)
    }

    pub(crate) fn next_life(&mut self) -> u64 {
        self.lives += 1;
        self.lives
    }

    /// Lets things happen until `until`, or until an invariant is broken.
    pub(crate) fn run_until(&mut self, until: Time) {
        while self.oracle.broken.is_none() {
            let Some((at, event)) = self.queue.pop() else { break };
            if at > until {
                self.queue.push(at, event);
                break;
            }
            self.now = at;
            self.step(event);
            self.follow_write();
        }
        self.now = self.now.max(until);
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Cron { node, run } => self.server_cron(node, run),
            Event::Bus { from, to, message } => self.deliver(from, to, &message),
            Event::Word { from, to, sent_at, parcel } => self.word_arrives(from, to, sent_at, parcel),
            Event::Stream { from, node, link, offset, op } => self.stream_arrives(from, node, link, offset, op),
            Event::SyncLoad { node, link } => self.load_sync(node, link),
            Event::Push(push) => self.push(push),
            Event::Client => self.next_write(),
            Event::Tick { node, life, regular } => self.agent_tick(node, life, regular),
            Event::Call(call) => self.call_arrives(&call),
            Event::Reply(reply) => self.reply_arrives(*reply),
            Event::Coordinator { life } => self.coordinator_tick(life),
            Event::Exchange(exchange) => self.exchange(*exchange),
            Event::Fault(fault) => self.apply_fault(&fault),
        }
    }

    /// Lets a running server do something, then sends what it sends and notes what it did.
    pub(crate) fn with_server<R>(
        &mut self,
        node: usize,
        work: impl FnOnce(&mut Server, &mut Ctx<'_>) -> R,
    ) -> Option<R> {
        let server = self.nodes[node].server.as_mut()?;
        let mut ctx = Ctx { now: self.now, rng: &mut self.rng, out: Vec::new(), words: Vec::new(), notes: Vec::new() };
        let result = work(server, &mut ctx);
        server.tell_changes(&mut ctx);
        let (out, words, notes) = (ctx.out, ctx.words, ctx.notes);
        for (to, message) in out {
            let delay = self.net.bus_delay(&mut self.rng);
            self.after(delay, Event::Bus { from: node, to, message });
        }
        self.post(node, words);
        for note in notes {
            self.note(node, note);
        }
        self.send_stream(node);
        Some(result)
    }

    fn note(&mut self, node: usize, note: Note) {
        let name = self.name(node).clone();
        match note {
            Note::Promoted { epoch, how } => {
                self.say(|| format!("{name}: {how} under epoch {epoch}"));
                self.promoted(node);
            }
            Note::Collided { with, old } => {
                let epoch = self.nodes[node].server.as_ref().map_or(0, |server| server.me().epoch);
                self.say(|| format!("{name}: epoch collision with {with}: now {epoch}"));
                self.collided(node, old);
            }
            Note::Follows(id) => self.say(|| format!("{name}: follows {id}")),
            Note::Dropped { before, why } => {
                self.say(|| format!("{name}: dropped keys: {why}"));
                self.check_wipe(node, &before, why);
            }
            Note::Took { job, slots, from } => self.took(node, job, &slots, from),
            Note::Said(text) => self.say(|| format!("{name}: {text}")),
        }
    }

    fn server_cron(&mut self, node: usize, run: u64) {
        let Some(server) = &self.nodes[node].server else { return };
        if server.run != run {
            return;
        }
        let busy = server.stopped || server.is_loading(self.now);
        self.after(super::failure::CRON, Event::Cron { node, run });
        if busy {
            return;
        }
        self.with_server(node, Server::cron);
        self.tend_wires(node);
        self.tend_link(node);
    }

    fn deliver(&mut self, from: usize, to: Addr, message: &Message) {
        let Some(node) = self.node_at(to) else { return self.refused(from, to) };
        if !self.net.servers_reach(from, node) {
            return;
        }
        let Some(server) = &self.nodes[node].server else { return self.refused(from, to) };
        if server.stopped || server.is_loading(self.now) {
            return;
        }
        self.with_server(node, |server, ctx| server.receive(ctx, message));
    }

    /// Nobody listens there: the sender's link to that address is down.
    fn refused(&mut self, from: usize, to: Addr) {
        let Some(server) = &mut self.nodes[from].server else { return };
        let me = server.id;
        for (_, peer) in server.table.iter_mut().filter(|(id, p)| **id != me && p.addr == Some(to)) {
            peer.connected = false;
        }
    }

    /// A moment within `most`, small ones more often.
    pub(crate) fn jitter(&mut self, most: Time) -> Time {
        let limit = self.rng.random_range(0..=most);
        self.rng.random_range(0..=limit)
    }
}

/// A number in the environment, for a person who looks into a history.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}
