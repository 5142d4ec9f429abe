//! The gap probe: one thread per shard writes one key of that shard all the time, on a plain connection, and goes
//! to another node at once when its own fails. So it measures the servers, not a client's patience.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::at::At;
use crate::view::{self, View, key_in};

/// Pause between writes.
const EVERY: Duration = Duration::from_millis(1);
/// Shorter ones are not told of one by one.
const GAP: Duration = Duration::from_millis(20);
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
    times: Arc<Mutex<Times>>,
    thread: JoinHandle<(Duration, u64)>,
}

/// When a shard took writes.
#[derive(Debug, Default)]
struct Times {
    last: Option<Instant>,
    /// From one acknowledged write to the next.
    gaps: Vec<(Instant, Instant)>,
}

impl Times {
    fn acknowledged(&mut self, now: Instant) {
        let before = self.last.replace(now);
        self.gaps.extend(before.filter(|before| now - *before >= GAP).map(|before| (before, now)));
    }

    /// The longest time without a write that ended after a moment, or has not ended; none was longer than a few writes take
    /// if it is zero.
    fn longest_since(&self, from: Instant) -> Duration {
        let over = self.gaps.iter().filter(|(_, end)| *end > from).map(|(begin, end)| *end - *begin);
        let open = self.last.map(|last| last.elapsed()).filter(|open| *open >= GAP);
        over.chain(open).max().unwrap_or_default()
    }
}

fn lock(times: &Mutex<Times>) -> MutexGuard<'_, Times> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GapProbe {
    /// Starts a probe on every shard that `view` shows.
    pub fn start(view: &View) -> Self {
        Self::beside(view, &[], EVERY)
    }

    /// As [`GapProbe::start`], with so long between writes. When none of the nodes that it knows answers any more it learns the
    /// new ones from `seeds`.
    pub fn beside(view: &View, seeds: &[At], every: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let nodes = addresses(view);
        let shards = view.owners().into_iter().map(|owner| {
            let key = key_in("gap-probe-", &owner.slots);
            let (acknowledged, times) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Times::default())));
            let probe = Probe {
                key: key.clone(),
                every,
                seeds: seeds.to_vec(),
                nodes: nodes.clone(),
                stop: stop.clone(),
                acknowledged: acknowledged.clone(),
                times: times.clone(),
                at: owner.at().expect("an owner has an address").into(),
                failures: 0,
            };
            Shard { port: owner.port, key, acknowledged, times, thread: std::thread::spawn(move || probe.run()) }
        });
        Self { shards: shards.collect(), stop }
    }

    /// The longest time that any shard was without writes and that ended after a moment, or has not ended.
    pub fn longest_since(&self, from: Instant) -> Duration {
        self.shards.iter().map(|shard| lock(&shard.times).longest_since(from)).max().unwrap_or_default()
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
    every: Duration,
    seeds: Vec<At>,
    nodes: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    times: Arc<Mutex<Times>>,
    at: SocketAddr,
    /// In a row.
    failures: usize,
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
                    (last_ok, last, self.failures) = (Some(now), value, 0);
                    lock(&self.times).acknowledged(now);
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(self.every);
                }
                // A redirect: the same at once at the node that it names.
                Ok(false) => connection = None,
                Err(_) => {
                    connection = None;
                    self.ask_another();
                    std::thread::sleep(EVERY);
                }
            }
        }
        let open = last_ok.map_or(Duration::MAX, |before| before.elapsed());
        (longest.max(open), last)
    }

    fn ask_another(&mut self) {
        self.failures += 1;
        if self.failures.is_multiple_of(self.nodes.len())
            && let Some(view) = self.seeds.iter().find_map(|at| view::view(*at).ok())
        {
            self.nodes = addresses(&view);
        }
        self.at = self.nodes[self.failures % self.nodes.len()];
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
        match moved(&line) {
            Some(at) if at != self.at => {
                self.at = at;
                Ok(false)
            }
            _ => Err(io::Error::other(line)),
        }
    }
}

/// The address in `-MOVED <slot> <ip>:<port>`.
fn moved(line: &str) -> Option<SocketAddr> {
    let (ip, port) = line.strip_prefix("-MOVED ")?.trim().split(' ').nth(1)?.rsplit_once(':')?;
    Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
}

/// Where the nodes that a view shows are.
fn addresses(view: &View) -> Vec<SocketAddr> {
    view.nodes.iter().filter_map(view::Node::at).map(SocketAddr::from).collect()
}

fn connect(at: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}
