//! An agent's port, and whoever can reach it: garbage, halves, giants, very many connections, slow ones. The node stays live
//! and ready all the while, its agent small, its clients served.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use redisnode_tests::cluster::{LocalCluster, Spec, Which};
use redisnode_tests::procs;
use redisnode_tests::servers::Server;
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::workload::Options;

use crate::run::{cases, load};

cases! {
    an_agent_that_is_abused_stays_live_ready_and_small alone: "system";
}

/// What an agent may take at any moment.
const MOST: u64 = 16 << 20;
/// An answer of a probe; a kubelet waits as long by default.
const PROBED_WITHIN: Duration = Duration::from_secs(1);
/// A node is taken for broken after so many failed probes one after the other, by Kubernetes' default.
const FAILURES: u32 = 3;
const STEP: Duration = Duration::from_secs(30);
const CONNECTIONS: u64 = 10_000;
/// File descriptors of this process that are not such connections.
const OTHERS: u64 = 500;

fn an_agent_that_is_abused_stays_live_ready_and_small(server: &Server) {
    let cluster = LocalCluster::start(server, Spec::of(3, 0));
    let member = cluster.members().remove(0);
    let agent = SocketAddr::from(([127, 0, 0, 1], member.port + 1000));
    let token = std::fs::read_to_string(cluster.dir.join("token")).unwrap();
    let mut load = load(&cluster, Options { keys: 1_000, ..Options::default() });
    let watch = Watch::start(agent, cluster.pid(&member, Which::Agent).expect("the agent runs"));
    let kinds: [(&str, &dyn Fn()); 6] = [
        ("garbage", &|| garbage(agent)),
        ("half a body", &|| halves(agent, token.trim())),
        ("a giant without a token", &|| giant(agent, "wrong", "401")),
        ("a giant", &|| giant(agent, token.trim(), "413")),
        ("slow clients", &|| slow(agent)),
        ("very many connections", &|| many(agent)),
    ];
    for (kind, abuse) in kinds {
        let begun = Instant::now();
        abuse();
        println!("{kind}: {:?}", begun.elapsed());
        watch.assert_well(kind);
    }
    watch.stop();
    let stats = load.stop();
    println!("{stats}");
    stats.assert_no_errors();
    load.audit(&cluster.ports()).assert_clean();
    cluster.verify().unwrap();
}

fn connect(agent: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&agent, STEP).unwrap();
    stream.set_read_timeout(Some(STEP)).unwrap();
    stream.set_write_timeout(Some(STEP)).unwrap();
    stream
}

/// Sends as much of it as is taken: who is abused may hang up.
fn send(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    match stream.write_all(bytes) {
        Ok(()) => true,
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => false,
        Err(error) => panic!("{error}"),
    }
}

fn garbage(agent: SocketAddr) {
    let mut word = 0x2545_f491_4f6c_dd1d_u64;
    for length in 1..200 {
        let noise = std::iter::repeat_with(|| {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            word.to_le_bytes()[0]
        });
        let bytes: Vec<u8> = noise.take(length * 50).collect();
        send(&mut connect(agent), &bytes);
        send(&mut connect(agent), format!("GET /{} HTTP/1.1\r\n", "x".repeat(length * 500)).as_bytes());
    }
}

fn head(token: &str, length: u64) -> Vec<u8> {
    let head = "PUT /v1/layout HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    format!("{head}x-redisnode-token: {token}\r\ncontent-length: {length}\r\n\r\n").into_bytes()
}

/// Held open until all are there.
fn halves(agent: SocketAddr, token: &str) {
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut stream = connect(agent);
        send(&mut stream, &head(token, 1 << 20));
        send(&mut stream, &vec![b'['; 1 << 19]);
        held.push(stream);
    }
}

/// A body of 1 GB, of which at least the first part is sent; what is answered has this code.
fn giant(agent: SocketAddr, token: &str, code: &str) {
    let mut stream = connect(agent);
    let whole = 1_000_000_000;
    send(&mut stream, &head(token, whole));
    let part = vec![b'['; 1 << 20];
    let mut answer = [0; 12];
    let mut reader = stream.try_clone().unwrap();
    let answered = std::thread::spawn(move || reader.read_exact(&mut answer).map(|()| answer));
    for _ in 0..whole >> 20 {
        if answered.is_finished() || !send(&mut stream, &part) {
            break;
        }
    }
    let answer = answered.join().unwrap().expect("it is answered before it is hung up");
    assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {code}"));
}

/// A byte now and then, of many at once.
fn slow(agent: SocketAddr) {
    let mut all: Vec<TcpStream> = (0..400).map(|_| connect(agent)).collect();
    for byte in b"GET /v1/report HTTP/1.1\r\nhost: x\r\n" {
        all.retain_mut(|stream| send(stream, &[*byte]));
    }
    assert!(!all.is_empty());
}

/// As many as this process may have, held open together.
fn many(agent: SocketAddr) {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let count = CONNECTIONS.min(most.saturating_sub(OTHERS));
    let held: Vec<TcpStream> = (0..count).map(|_| connect(agent)).collect();
    println!("{} connections", held.len());
}

/// Probes a node as a kubelet does, only more often, and looks at its agent's memory.
struct Watch {
    agent: SocketAddr,
    pid: i32,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<u64, String>>,
}

impl Watch {
    fn start(agent: SocketAddr, pid: i32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = std::thread::spawn(move || {
            let (mut failed, mut most) = (0, 0);
            while !stopped.load(Ordering::Relaxed) {
                most = most.max(procs::resident_bytes(pid).ok_or("the agent is gone")?);
                match probe(agent, "/livez").and_then(|()| probe(agent, "/readyz")) {
                    Ok(()) => failed = 0,
                    Err(why) if failed + 1 >= FAILURES => return Err(why),
                    Err(_) => failed += 1,
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(most)
        });
        Self { agent, pid, stop, task }
    }

    /// Now, and until now.
    fn assert_well(&self, after: &str) {
        assert!(!self.task.is_finished(), "{after}: a probe failed {FAILURES} times, or the agent is gone");
        wait_until(STEP, "it is live and ready", || {
            probe(self.agent, "/livez").and_then(|()| probe(self.agent, "/readyz"))
        });
        let now = procs::resident_bytes(self.pid).expect("the agent runs");
        println!("  {} KiB", now >> 10);
        assert!(now < MOST, "{after}: the agent has {now} bytes");
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let most = self.task.join().unwrap().expect("live and ready all the while");
        println!("at most {} KiB", most >> 10);
        assert!(most < MOST, "the agent had {most} bytes");
    }
}

fn probe(agent: SocketAddr, path: &str) -> Result<(), String> {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&agent, PROBED_WITHIN)?;
        stream.set_read_timeout(Some(PROBED_WITHIN))?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = asked().map_err(|error| format!("{path}: {error}"))?;
    check(answer.starts_with("HTTP/1.1 200"), || format!("{path}: {answer}"))
}
