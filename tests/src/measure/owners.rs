//! Watching the owners of slots while they change: by one node's own line of CLUSTER NODES, asked for each few
//! milliseconds on one connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::wait::{check, poll};

/// How often a node is asked: less than a hundredth of its time goes into the answers.
const EVERY: Duration = Duration::from_millis(5);

/// What the watched node has said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Slots it owns.
    pub slots: usize,
    /// When its first open slot or the first change of its number of slots was seen.
    pub first: Option<Instant>,
    /// When its number of slots was last seen to change.
    pub last: Option<Instant>,
    /// When its state was first seen ok: before, nobody can give it a slot that it serves.
    pub serves: Option<Instant>,
}

/// A watcher of one node.
#[derive(Debug)]
pub struct OwnerWatch {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl OwnerWatch {
    /// Watches the node on a port. It may not run yet, and may end.
    pub fn start(port: u16) -> Self {
        let (seen, stop) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            let mut began = false;
            move || {
                let mut connection = None;
                while !stop.load(Ordering::Relaxed) {
                    connection = connection.or_else(|| connect(port));
                    match connection.as_mut().map(look) {
                        Some(Some(own)) => {
                            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                            note(&mut seen, &mut began, own);
                        }
                        _ => connection = None,
                    }
                    std::thread::sleep(EVERY);
                }
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the node came to own exactly so many slots; the error says how many it has.
    pub fn until(&self, slots: usize, within: Duration) -> Result<Instant, String> {
        poll(within, || {
            let seen = self.seen();
            check(seen.slots == slots, || format!("{} slots instead of {slots}", seen.slots))?;
            seen.last.ok_or_else(|| "no slot has moved".to_owned())
        })
    }
}

impl Drop for OwnerWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// What a node says of itself.
struct Own {
    slots: usize,
    open: bool,
    ok: bool,
}

fn note(seen: &mut Seen, began: &mut bool, Own { slots, open, ok }: Own) {
    let now = Instant::now();
    if ok && seen.serves.is_none() {
        seen.serves = Some(now);
    }
    let changed = *began && seen.slots != slots;
    if seen.first.is_none() && (changed || open) {
        seen.first = Some(now);
    }
    if changed {
        seen.last = Some(now);
    }
    seen.slots = slots;
    *began = true;
}

fn connect(port: u16) -> Option<redis::Connection> {
    let client = redis::Client::open(("127.0.0.1", port)).ok()?;
    let connection = client.get_connection_with_timeout(Duration::from_secs(1)).ok()?;
    connection.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    Some(connection)
}

/// How many slots the node's own line has, whether any is open, and its state.
fn look(connection: &mut redis::Connection) -> Option<Own> {
    let mut both = redis::pipe();
    both.cmd("CLUSTER").arg("NODES").cmd("CLUSTER").arg("INFO");
    let (text, info): (String, String) = both.query(connection).ok()?;
    let line = text.lines().find(|line| line.contains("myself"))?;
    let mut slots = 0;
    let mut open = false;
    for range in line.split_whitespace().skip(8) {
        if range.starts_with('[') {
            open = true;
            continue;
        }
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        slots += to.parse::<usize>().ok()? + 1 - from.parse::<usize>().ok()?;
    }
    Some(Own { slots, open, ok: info.contains("cluster_state:ok") })
}
