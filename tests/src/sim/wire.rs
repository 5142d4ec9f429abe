//! The connection between the two sides of a move in one piece: words arrive in order or not at all, and either side may
//! die, hang or be cut off between any two of them.

use rand::RngExt;
use redisnode_proto::SlotSet;

use super::clock::Time;
use super::data::Data;
use super::ids::{Addr, Id};
use super::temper::Temper;
use super::whole::{Mover, Parcel, Side, Step, Word};
use super::world::{Event, World};

/// `repl-timeout`, shortened.
const TIMEOUT: Time = 10_000;
/// A connection comes to be within this.
const CONNECTED_WITHIN: Time = 1000;

impl World {
    pub(crate) fn post(&mut self, from: usize, words: Vec<(Addr, Parcel)>) {
        for (to, parcel) in words {
            let most = if matches!(parcel.word, Word::Snapshot(_)) { 300 } else { 3 };
            let delay = self.rng.random_range(1..=most);
            self.after(delay, Event::Word { from, to, sent_at: self.now, parcel: Box::new(parcel) });
        }
    }

    pub(crate) fn word_arrives(&mut self, from: usize, to: Addr, sent_at: Time, parcel: Box<Parcel>) {
        let Some(node) = self.node_at(to) else { return };
        let (now, reached) = (self.now, self.net.servers_reach(from, node));
        let sender = self.nodes[from].addr;
        let Some(server) = self.nodes[node].server.as_mut().filter(|_| now < sent_at + TIMEOUT) else { return };
        // What a server holds for its clients holds the client that brings keys too (Valkey).
        let held = server.whole.into.contains_key(&parcel.job)
            && (server.is_paused_by_a_client(now) || now < server.handoff_pause_until);
        if !reached || server.stopped || server.is_loading(now) || held {
            self.after(20, Event::Word { from, to, sent_at, parcel });
            return;
        }
        let Parcel { job, link, number, ref word } = *parcel;
        if let Word::Offer(id, slots) = word {
            let (id, slots) = (*id, slots.clone());
            self.with_server(node, |server, ctx| server.offered(ctx, job, (id, sender, link), &slots));
            return;
        }
        if let Word::Ask(id, slots) = word {
            let (id, slots) = (*id, slots.clone());
            self.with_server(node, |server, ctx| server.asked_to_give(ctx, job, (id, sender, link), &slots));
            return;
        }
        let is_source = server.whole.out.contains_key(&job);
        let side = server.whole.out.get_mut(&job).or(server.whole.into.get_mut(&job));
        let Some(side) = side.filter(|side| side.link == link) else { return };
        if number > side.taken + 1 {
            self.after(5, Event::Word { from, to, sent_at, parcel });
            return;
        }
        (side.taken, side.heard_at) = (number, now);
        self.hear_word(node, from, job, is_source, parcel.word);
    }

    fn hear_word(&mut self, node: usize, from: usize, job: u64, is_source: bool, word: Word) {
        let decides = matches!(word, Word::Paused | Word::Request | Word::Grant);
        let hangs = matches!(self.temper, Temper::Hangs(of) if self.rng.random_range(0..of) == 0);
        let full = self.temper == Temper::Fails;
        if self.traced == Some(node) {
            let (name, text) = (self.name(node).clone(), format!("{word:?}"));
            self.say(|| format!("{name}: move {job:x}: {text}"));
        }
        self.with_server(node, |server, ctx| {
            if is_source {
                server.hear_as_source(ctx, job, word, hangs);
            } else {
                server.hear_as_target(ctx, job, word, full);
            }
        });
        if self.rough && decides {
            match self.rng.random_range(0..160) {
                0 | 1 => self.crash_server(node, "in the middle of a move"),
                2 | 3 => self.crash_server(from, "in the middle of a move"),
                4 | 5 => self.kill_agent(node),
                6 | 7 => self.kill_agent(from),
                _ => {}
            }
        }
    }

    /// A server has taken slots. Its source has held its writes for it, unless it was waited for in vain: what that one has
    /// acknowledged since is lost by the servers' own rules, and the source's server says so.
    pub(crate) fn took(&mut self, node: usize, job: u64, slots: &SlotSet, from: Id) {
        let name = self.name(node).clone();
        let epoch = self.nodes[node].server.as_ref().map_or(0, |server| server.me().epoch);
        self.say(|| format!("{name}: took slots {slots} in one piece under epoch {epoch}"));
        let Some(source) = self.node_of(from) else { return };
        let late = self.nodes[source].server.as_ref().is_some_and(|server| {
            server.whole.over.get(&job).is_some_and(|how| how.as_ref().is_err_and(|why| why.starts_with("Unpaused")))
        });
        if late || self.is_apart(source) || self.is_apart(node) {
            let data = self.nodes[source].server.as_ref().map(|server| server.data.clone()).unwrap_or_default();
            let theirs: Data = data.into_iter().filter(|(key, _)| slots.contains(key.slot)).collect();
            self.excuse_difference(&theirs, node);
        }
    }

    /// A server that has taken slots dies before their former owner has heard of it: what it kept of them is all there is.
    pub(crate) fn excuse_just_taken(&mut self, node: usize) {
        let Some(dead) = self.nodes[node].server.as_ref().filter(|server| server.is_primary()) else { return };
        let others = self.nodes.iter().filter_map(|place| place.server.as_ref()).filter(|other| other.id != dead.id);
        let theirs =
            others.filter(|other| other.is_primary()).map(|other| other.me().slots.intersection(&dead.me().slots));
        let both = theirs.fold(SlotSet::new(), |all, slots| all.union(&slots));
        let data: Vec<_> =
            dead.data.iter().filter(|(key, _)| both.contains(key.slot)).map(|(_, value)| value.clone()).collect();
        if self.keeping != super::disk::Keeping::Everything {
            self.oracle.excuse(data.iter());
        }
    }

    /// The clock work of both sides, and connections that have ended.
    pub(crate) fn tend_wires(&mut self, node: usize) {
        let Some(server) = &self.nodes[node].server else { return };
        if server.whole.out.is_empty() && server.whole.into.is_empty() && server.whole.retries.is_empty() {
            return;
        }
        self.with_server(node, |server, ctx| {
            server.tend_giving(ctx);
            server.tend_taking(ctx);
        });
        let Some(server) = &self.nodes[node].server else { return };
        let sides = server.whole.out.iter().map(|(job, side)| (*job, true, side.clone()));
        let sides: Vec<(u64, bool, Side)> =
            sides.chain(server.whole.into.iter().map(|(job, side)| (*job, false, side.clone()))).collect();
        for (job, is_source, side) in sides {
            match self.other_side(node, job, &side) {
                Some(true) => self.heard(node, job, is_source),
                Some(false) if side.step == Step::Connecting && self.now < side.since + CONNECTED_WITHIN => {}
                None if self.now < side.heard_at + TIMEOUT => {}
                Some(false) | None => self.lost(node, job, is_source),
            }
        }
    }

    /// Whether the other side still has the connection; nothing if it cannot be reached.
    fn other_side(&self, node: usize, job: u64, side: &Side) -> Option<bool> {
        let Some(other) = self.node_at(side.addr) else { return Some(false) };
        if !self.net.servers_reach(node, other) {
            return None;
        }
        let Some(server) = self.nodes[other].server.as_ref() else { return Some(false) };
        let both = [server.whole.out.get(&job), server.whole.into.get(&job)];
        if !both.into_iter().flatten().any(|known| known.link == side.link) {
            return Some(false);
        }
        (!server.stopped).then_some(true)
    }

    fn heard(&mut self, node: usize, job: u64, is_source: bool) {
        let now = self.now;
        let Some(whole) = self.nodes[node].server.as_mut().map(|server| &mut server.whole) else { return };
        let sides = if is_source { &mut whole.out } else { &mut whole.into };
        if let Some(side) = sides.get_mut(&job) {
            side.heard_at = now;
        }
    }

    fn lost(&mut self, node: usize, job: u64, is_source: bool) {
        self.with_server(node, |server, ctx| {
            if is_source {
                server.lost_as_source(job);
            } else {
                server.fail_taking(ctx, job, "Connection lost to source");
            }
        });
    }

    /// INFO of a server, as far as moves ask for it.
    pub(crate) fn info(&self, node: usize) -> String {
        let Some(server) = &self.nodes[node].server else { return String::new() };
        let saving = u8::from(self.now < server.saving_until || self.temper == Temper::Saves);
        let syncing = |place: &super::world::Node| {
            place
                .server
                .as_ref()
                .is_some_and(|s| matches!(s.link, super::server::Link::Syncing { from } if from == server.id))
        };
        let replicas = self.nodes.iter().filter(|place| syncing(place)).enumerate();
        let lines: Vec<String> = replicas
            .map(|(number, place)| {
                format!("slave{number}:ip={},port=6379,state=send_bulk,offset=0,lag=0", place.addr.ip())
            })
            .collect();
        let lines = lines.join("\r\n");
        format!(
            "rdb_bgsave_in_progress:{saving}\r\naof_rewrite_in_progress:0\r\nrole:master\r\nmaster_repl_offset:0\r\n\
             master_replid:0\r\nmaster_replid2:0\r\nsecond_repl_offset:-1\r\nconnected_slaves:0\r\n{lines}"
        )
    }

    /// Whether histories of this flavor move slots in one piece.
    pub(crate) fn moves_whole(&self) -> bool {
        matches!(self.flavor.moves, Some(Mover::Source | Mover::Target))
    }
}
