//! Watchers beside a running test: how often each slot moves, and how long each server is silent.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::view::{SLOTS, view};

/// Counts, by looking several times a second, how often each slot goes from one shard to another. A change of primary
/// inside a shard is no move.
#[derive(Debug)]
pub struct SlotWatch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<u32>>>,
}

impl SlotWatch {
    /// Watches the servers on `ports`, those that are up.
    pub fn start(ports: Vec<u16>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut moves = vec![0; SLOTS];
            let mut before = Claims::seen_on(&ports);
            while !told.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(200));
                let now = Claims::seen_on(&ports);
                before = before.count_moves(now, &mut moves);
            }
            moves
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends, and says how many slots moved at all, and the most often that one slot moved.
    pub fn stop(mut self) -> (usize, u32) {
        self.stop.store(true, Ordering::Relaxed);
        let moves =
            self.thread.take().map(|thread| thread.join().expect("the watcher does not panic")).unwrap_or_default();
        (moves.iter().filter(|times| **times > 0).count(), moves.into_iter().max().unwrap_or(0))
    }
}

impl Drop for SlotWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What each server says of itself alone: others may know it late.
#[derive(Debug)]
struct Claims {
    owner: Vec<Option<(u64, String)>>,
    primary_of: BTreeMap<String, String>,
}

impl Claims {
    fn seen_on(ports: &[u16]) -> Self {
        let mut claims = Self { owner: vec![None; SLOTS], primary_of: BTreeMap::new() };
        for view in ports.iter().filter_map(|port| view(*port).ok()) {
            let Some(node) = view.nodes.iter().find(|node| node.id == view.myself) else { continue };
            if let Some(primary) = &node.primary {
                claims.primary_of.insert(node.id.clone(), primary.clone());
            }
            for slot in &node.slots {
                let claim = Some((node.epoch, node.id.clone()));
                let owner = &mut claims.owner[usize::from(*slot)];
                *owner = claim.max(owner.take());
            }
        }
        claims
    }

    /// Counts the slots that went to another shard; a slot that nobody claims now is as before.
    fn count_moves(self, mut now: Self, moves: &mut [u32]) -> Self {
        for (slot, times) in moves.iter_mut().enumerate() {
            match (&self.owner[slot], &now.owner[slot]) {
                (Some((_, old)), Some((_, new))) => {
                    let follows = |claims: &Self, replica, primary| claims.primary_of.get(replica) == Some(primary);
                    let same_shard = old == new || follows(&self, new, old) || follows(&now, old, new);
                    *times += u32::from(!same_shard);
                }
                (old, None) => now.owner[slot].clone_from(old),
                (None, Some(_)) => {}
            }
        }
        now
    }
}

/// Asks every server several times a second and keeps the longest silence of any that is up.
#[derive(Debug)]
pub struct StallWatch {
    stop: Arc<AtomicBool>,
    longest: Arc<Mutex<(Duration, u16)>>,
}

impl StallWatch {
    /// Watches the servers on `ports`, also those that start later.
    pub fn start(ports: Vec<u16>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let longest = Arc::new(Mutex::new((Duration::ZERO, 0)));
        for port in ports {
            let (stop, longest) = (stop.clone(), longest.clone());
            std::thread::spawn(move || watch(port, &stop, &longest));
        }
        Self { stop, longest }
    }

    /// Ends, and says the longest silence and whose it was.
    pub fn stop(self) -> (Duration, u16) {
        *self.longest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StallWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn watch(port: u16, stop: &AtomicBool, longest: &Mutex<(Duration, u16)>) {
    let mut connection: Option<TcpStream> = None;
    while !stop.load(Ordering::Relaxed) {
        if connection.is_none() {
            connection = connect(port);
        }
        if let Some(stream) = &mut connection {
            let asked = Instant::now();
            let answered = ping(stream);
            // A server that went away was not blocked; one that is there and says nothing is.
            if answered.is_ok() {
                let mut longest = longest.lock().unwrap_or_else(PoisonError::into_inner);
                *longest = (*longest).max((asked.elapsed(), port));
            } else {
                connection = None;
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn connect(port: u16) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_mins(1))).ok()?;
    Some(stream)
}

fn ping(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 256];
    if stream.read(&mut answer)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
