//! As many writes as the machine gives, by transactions, scripts and commands of several keys, each to the keys of one
//! slot, from clients that follow redirects and send the next request as soon as the last one is answered. Every answer is
//! compared with what must be there, and in the end every key.

mod answer;
mod group;
mod line;
mod sender;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::view::{self, View, slot_of};
use crate::wait::check;
use group::Group;
use sender::Sender;

/// Clients. Each has a request of each of its groups on the way, so few are enough to keep every server busy, and leave the
/// processor to the servers.
const CLIENTS: usize = 2;
/// Wrong things that are kept to be shown.
const SHOWN: usize = 10;

/// Writes that go on until they are stopped, or this is dropped.
#[derive(Debug)]
pub struct Storm {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Tally>>,
}

/// What has become of the requests.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests that were done, and acknowledged as they should be.
    pub acknowledged: u64,
    /// Requests that were refused as a whole and sent again, by the server's word.
    pub refused: BTreeMap<String, u64>,
    /// The first answers that are not what they must be.
    pub wrong: Vec<String>,
    groups: Vec<Group>,
}

impl Storm {
    /// Begins, with a group of keys for each tag (see [`crate::workload::tags`]), in the cluster of these servers.
    pub fn start(ports: &[u16], tags: &[String]) -> Self {
        let view = ports.iter().find_map(|port| view::view(*port).ok()).expect("a node answers");
        let owners = view.owner_of_slots();
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut senders: Vec<Sender> = (0..CLIENTS).map(|_| Sender::default()).collect();
        for (tag, client) in tags.iter().zip((0..CLIENTS).cycle()) {
            let owner = owners[usize::from(slot_of(tag.as_bytes()))].expect("every slot has an owner");
            senders[client].add(Group::new(tag), view.nodes[owner].port);
        }
        let begin = |sender: Sender| {
            let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
            std::thread::spawn(move || sender.run(&stop, &acknowledged))
        };
        let clients = senders.into_iter().map(begin).collect();
        Self { stop, acknowledged, clients }
    }

    /// How many requests were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Ends, when what is on the way is answered.
    pub fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for client in self.clients.drain(..) {
            all.add(client.join().expect("a client notes what is wrong, and does not panic"));
        }
        all
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Tally {
    fn add(&mut self, mut other: Self) {
        self.acknowledged += other.acknowledged;
        for (word, times) in other.refused {
            *self.refused.entry(word).or_default() += times;
        }
        self.groups.append(&mut other.groups);
        other.wrong.into_iter().for_each(|wrong| self.note(wrong));
    }

    fn note(&mut self, wrong: String) {
        if self.wrong.len() < SHOWN {
            self.wrong.push(wrong);
        }
    }

    /// Reads all keys from the owners of their slots. Panics unless every answer was right and every acknowledged write is
    /// there, whole.
    #[track_caller]
    pub fn assert_kept(&self, view: &View) {
        let kept: Result<(), String> = self.groups.iter().try_for_each(|group| {
            let owners = view.owner_of_slots();
            let owner = owners[usize::from(group.slot())].ok_or("a slot has no owner")?;
            let held =
                view::call(view.nodes[owner].port, &group.read().iter().map(String::as_str).collect::<Vec<_>>())?;
            let held: Vec<Option<String>> = redis::from_redis_value(held).map_err(|error| error.to_string())?;
            check(held == group.wanted(), || format!("{group:?} has {held:?}"))
        });
        assert!(self.wrong.is_empty() && kept.is_ok(), "{kept:?}, {:?}", self.wrong);
    }
}
