//! A client in open loop: requests leave at times fixed beforehand, whatever became of the earlier ones, and latency counts
//! from the intended time. It reads and writes small keys of its own in all slots, on several connections to each node,
//! and follows MOVED and ASK. It does not check what it reads: the accounting client does that.

mod connection;
mod latencies;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use latencies::Latencies;

use crate::measure::fill::{strings, write_command};
use crate::view::{self, slot_of};
use crate::wait::{check, poll};
use connection::Connection;

/// Keys that the client has: enough to meet every range of slots, few beside the data.
pub const KEYS: usize = 4096;
/// Bytes of a value.
const BYTES: usize = 100;
/// Connections to each node.
const CONNECTIONS: usize = 4;
/// How often a request may be sent on before it counts as failed.
const HOPS: u8 = 32;
/// How long is waited for the last answers. What has none then counts with the time it has waited.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// A running client.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    sender: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    owner_of_slot: Vec<AtomicU16>,
    slot_of_key: Vec<u16>,
    connections: Mutex<BTreeMap<u16, Vec<Arc<Connection>>>>,
    answered: Mutex<Vec<(Instant, Duration)>>,
    failed: Mutex<Vec<(Instant, String)>>,
    sent_on: AtomicU64,
}

/// One request, wherever it is now.
#[derive(Clone, Copy, Debug)]
struct Request {
    key: usize,
    writes: bool,
    intended: Instant,
    hops: u8,
}

impl Load {
    /// Starts `rate` requests a second, every third one a write, to the cluster that the node on `port` knows. The keys
    /// are written first.
    pub fn start(port: u16, rate: u32) -> Self {
        strings(port, (0..KEYS).map(name), BYTES);
        let view = view::view(port).expect("a node of the cluster answers");
        let owners = view.owner_of_slots().into_iter();
        let owner_of_slot = owners.map(|owner| AtomicU16::new(owner.map_or(port, |index| view.nodes[index].port)));
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            owner_of_slot: owner_of_slot.collect(),
            slot_of_key: (0..KEYS).map(|key| slot_of(name(key).as_bytes())).collect(),
            connections: Mutex::default(),
            answered: Mutex::default(),
            failed: Mutex::default(),
            sent_on: AtomicU64::new(0),
        });
        let sender = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.send_on_time(rate)
        });
        Self { shared, sender: Some(sender) }
    }

    /// How many requests have been answered so far.
    pub fn answered(&self) -> usize {
        lock(&self.shared.answered).len()
    }

    /// What was seen of the requests that were due between two instants. Waits for their answers.
    pub fn between(&self, from: Instant, to: Instant) -> Latencies {
        let waiting = || {
            let lines = self.shared.every_connection();
            lines.iter().flat_map(|line| line.waiting()).filter(|due| (from..=to).contains(due)).collect::<Vec<_>>()
        };
        // What never came is in the figures; nothing is to be done about it here.
        poll(LAST_ANSWERS, || check(waiting().is_empty(), String::new)).ok();
        let now = Instant::now();
        let within = |at: &Instant| (from..=to).contains(at);
        let answered =
            lock(&self.shared.answered).iter().filter(|(due, _)| within(due)).map(|(_, took)| *took).collect();
        let failed =
            lock(&self.shared.failed).iter().filter(|(due, _)| within(due)).map(|(_, why)| why.clone()).collect();
        Latencies::new(answered, waiting().into_iter().map(|due| now - due).collect(), failed)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(sender) = self.sender.take() {
            sender.join().ok();
        }
        self.shared.every_connection().iter().for_each(|connection| connection.close());
    }
}

impl Shared {
    fn send_on_time(self: &Arc<Self>, rate: u32) {
        let between = Duration::from_secs(1) / rate.max(1);
        let mut due = Instant::now();
        let mut turn = 0_usize;
        while !self.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            if due > now {
                std::thread::sleep(due - now);
                continue;
            }
            // A step that shares no factor with their number visits all keys, in no order that slots have.
            turn = turn.wrapping_add(1);
            let request = Request { key: turn * 7919 % KEYS, writes: turn.is_multiple_of(3), intended: due, hops: 0 };
            self.send(request, self.owner(request), false);
            due += between;
        }
    }

    fn owner(&self, request: Request) -> u16 {
        self.owner_of_slot[usize::from(self.slot_of_key[request.key])].load(Ordering::Relaxed)
    }

    /// Sends it to a node; a node that cannot be reached is left out until another one names it again.
    fn send(self: &Arc<Self>, request: Request, port: u16, asking: bool) {
        let connection = self.connection(port, request.key);
        if let Some(connection) = connection
            && connection.send(request, asking)
        {
            return;
        }
        self.elsewhere(request, port);
    }

    /// Tries another node, which will name the owner.
    fn elsewhere(self: &Arc<Self>, request: Request, not: u16) {
        let ports: Vec<u16> = lock(&self.connections).keys().copied().filter(|port| *port != not).collect();
        let slot = usize::from(self.slot_of_key[request.key]);
        match ports.get(usize::from(request.hops) % ports.len().max(1)) {
            Some(port) if request.hops < HOPS => {
                self.owner_of_slot[slot].store(*port, Ordering::Relaxed);
                self.send(Request { hops: request.hops + 1, ..request }, *port, false);
            }
            _ => self.fail(request, format!("the node on {not} cannot be reached")),
        }
    }

    fn connection(self: &Arc<Self>, port: u16, key: usize) -> Option<Arc<Connection>> {
        let mut connections = lock(&self.connections);
        let to_node = connections.entry(port).or_default();
        to_node.retain(|connection| connection.is_open());
        if to_node.len() < CONNECTIONS {
            to_node.extend(Connection::open(self, port));
        }
        to_node.get(key % to_node.len().max(1)).cloned()
    }

    fn every_connection(&self) -> Vec<Arc<Connection>> {
        lock(&self.connections).values().flatten().cloned().collect()
    }

    /// An answer's first line has come.
    fn answered(self: &Arc<Self>, request: Request, line: &str) {
        let Some(error) = line.strip_prefix('-') else {
            lock(&self.answered).push((request.intended, request.intended.elapsed()));
            return;
        };
        let words: Vec<&str> = error.split_whitespace().collect();
        let port = || words.get(2)?.rsplit_once(':')?.1.parse::<u16>().ok();
        match (words.first().copied(), port()) {
            (Some(word @ ("MOVED" | "ASK")), Some(port)) if request.hops < HOPS => {
                self.sent_on.fetch_add(1, Ordering::Relaxed);
                if word == "MOVED" {
                    self.owner_of_slot[usize::from(self.slot_of_key[request.key])].store(port, Ordering::Relaxed);
                }
                self.send(Request { hops: request.hops + 1, ..request }, port, word == "ASK");
            }
            _ => self.fail(request, error.to_owned()),
        }
    }

    fn fail(&self, request: Request, why: String) {
        lock(&self.failed).push((request.intended, why));
    }
}

impl Request {
    /// Appends it as the wire has it.
    fn write_to(self, buffer: &mut Vec<u8>) {
        let key = name(self.key);
        if self.writes {
            write_command(buffer, &[b"SET", key.as_bytes(), &[b'y'; BYTES]]);
        } else {
            write_command(buffer, &[b"GET", key.as_bytes()]);
        }
    }
}

fn name(key: usize) -> String {
    format!("load:{key}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
