//! Watchers beside a running test: how often each slot moves, and how long each server is silent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::view::{SLOTS, View, view};

/// Counts, by looking several times a second, how often each slot goes from one shard to another. A change of primary
/// inside a shard is no move.
#[derive(Debug)]
pub struct SlotWatch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<u32>>>,
}

impl SlotWatch {
    /// Watches through the first of `ports` that answers.
    pub fn start(ports: Vec<u16>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut moves = vec![0; SLOTS];
            let mut before: Option<View> = None;
            while !told.load(Ordering::Relaxed) {
                let now = ports.iter().find_map(|port| view(*port).ok());
                if let (Some(before), Some(now)) = (&before, &now) {
                    count(before, now, &mut moves);
                }
                before = now.or(before);
                std::thread::sleep(Duration::from_millis(100));
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

fn count(before: &View, now: &View, moves: &mut [u32]) {
    let (old, new) = (before.owner_of_slots(), now.owner_of_slots());
    for (slot, times) in moves.iter_mut().enumerate() {
        let (Some(old), Some(new)) = (old[slot], new[slot]) else { continue };
        let (old, new) = (&before.nodes[old], &now.nodes[new]);
        let same_shard = old.id == new.id
            || before.nodes.iter().any(|node| node.id == new.id && node.primary.as_ref() == Some(&old.id))
            || now.nodes.iter().any(|node| node.id == old.id && node.primary.as_ref() == Some(&new.id));
        *times += u32::from(!same_shard);
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
