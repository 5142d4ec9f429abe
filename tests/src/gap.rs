//! The gap probe: one thread per shard writes one key of that shard every millisecond, on a plain connection, and goes
//! to another node at once when its own fails. So it measures the servers, not a client's patience.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::view::{View, key_in};

/// Pause between writes.
const EVERY: Duration = Duration::from_millis(1);
/// How long one answer may take before the probe asks another node. A paused server answers later; that counts.
const PATIENCE: Duration = Duration::from_millis(500);

/// Running probes, one per shard.
#[derive(Debug)]
pub struct GapProbe {
    stop: Arc<AtomicBool>,
    shards: Vec<Shard>,
}

/// What one probe saw.
#[derive(Clone, Debug)]
pub struct Gap {
    /// The port of the primary that the shard had at the beginning.
    pub port: u16,
    /// The longest time between two acknowledged writes.
    pub longest: Duration,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// The last value that was acknowledged: the key must hold it, or the one after it.
    pub last: u64,
    /// The key.
    pub key: String,
}

#[derive(Debug)]
struct Shard {
    port: u16,
    key: String,
    acknowledged: Arc<AtomicU64>,
    thread: JoinHandle<(Duration, u64)>,
}

impl GapProbe {
    /// Starts a probe on every shard that `view` shows.
    pub fn start(view: &View) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let nodes: Vec<u16> = view.nodes.iter().map(|node| node.port).collect();
        let shards = view.owners().into_iter().map(|owner| {
            let key = key_in("gap-probe-", &owner.slots);
            let acknowledged = Arc::new(AtomicU64::new(0));
            let probe = Probe {
                key: key.clone(),
                nodes: nodes.clone(),
                stop: stop.clone(),
                acknowledged: acknowledged.clone(),
                at: owner.port,
                next: 0,
            };
            Shard { port: owner.port, key, acknowledged, thread: std::thread::spawn(move || probe.run()) }
        });
        Self { shards: shards.collect(), stop }
    }

    /// Acknowledged writes to the shard whose first primary was on a port.
    pub fn acknowledged(&self, port: u16) -> u64 {
        let shard = self.shards.iter().find(|shard| shard.port == port);
        shard.map_or(0, |shard| shard.acknowledged.load(Ordering::Relaxed))
    }

    /// Ends all probes.
    pub fn stop(mut self) -> Vec<Gap> {
        self.stop.store(true, Ordering::Relaxed);
        let shards = std::mem::take(&mut self.shards);
        shards
            .into_iter()
            .map(|shard| {
                let (longest, last) = shard.thread.join().expect("a probe does not panic");
                let acknowledged = shard.acknowledged.load(Ordering::Relaxed);
                Gap { port: shard.port, longest, acknowledged, last, key: shard.key }
            })
            .collect()
    }
}

impl Drop for GapProbe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The state of one probe's thread.
struct Probe {
    key: String,
    nodes: Vec<u16>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    at: u16,
    next: usize,
}

impl Probe {
    fn run(mut self) -> (Duration, u64) {
        let mut connection: Option<BufReader<TcpStream>> = None;
        let mut last_ok: Option<Instant> = None;
        let (mut longest, mut last, mut value) = (Duration::ZERO, 0, 0);
        while !self.stop.load(Ordering::Relaxed) {
            value += 1;
            match self.write(&mut connection, value) {
                Ok(true) => {
                    let now = Instant::now();
                    longest = longest.max(last_ok.map_or(Duration::ZERO, |before| now - before));
                    (last_ok, last) = (Some(now), value);
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                // A redirect: the same at once at the node that it names.
                Ok(false) => {
                    connection = None;
                    continue;
                }
                Err(_) => {
                    connection = None;
                    self.next = (self.next + 1) % self.nodes.len();
                    self.at = self.nodes[self.next];
                }
            }
            std::thread::sleep(EVERY);
        }
        let open = last_ok.map_or(Duration::MAX, |before| before.elapsed());
        (longest.max(open), last)
    }

    /// One write: `true` acknowledged, `false` redirected.
    fn write(&mut self, connection: &mut Option<BufReader<TcpStream>>, value: u64) -> io::Result<bool> {
        let stream = match connection {
            Some(stream) => stream,
            None => connection.insert(connect(self.at)?),
        };
        let (key, value) = (&self.key, value.to_string());
        let command = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", key.len(), value.len());
        stream.get_mut().write_all(command.as_bytes())?;
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.starts_with("+OK") {
            return Ok(true);
        }
        // -MOVED <slot> <ip>:<port>
        let moved = line.strip_prefix("-MOVED ").and_then(|rest| rest.trim().rsplit(':').next()?.parse().ok());
        match moved {
            Some(port) if port != self.at => {
                self.at = port;
                Ok(false)
            }
            _ => Err(io::Error::other(line)),
        }
    }
}

fn connect(port: u16) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}
