//! What else clients do with a server while its slots move, besides reading and writing keys: functions, keys that expire,
//! shard channels, client-side caches. They meet what the servers document, and what docs/operations.md says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis::{Client, Connection, PushKind, RedisError, Value, cmd};
use redisnode_tests::cluster::{LocalCluster, Spec};
use redisnode_tests::servers::Server;
use redisnode_tests::view::{self, key_in};
use redisnode_tests::wait::{check, wait_until};

use crate::run::{cases, fill};

cases! {
    functions_and_expiries_go_along_and_listeners_are_told: "system", "redis-8.6", "valkey-9.1";
}

const STEP: Duration = Duration::from_mins(1);
/// Of the slots that a fourth primary gets from the first one.
const SLOT: u16 = 5000;
/// So that the move takes a while.
const KEYS: usize = 20_000;
/// What the functions of this test are.
const LIBRARY: &str = "#!lua name=counting\n\
    redis.register_function('add', function(keys, args) return redis.call('INCRBY', keys[1], args[1]) end)";
/// How long a key has to live that is to expire within the test, and one that is not.
const SOON: Duration = Duration::from_secs(3);
const LATE: Duration = Duration::from_hours(1);

fn functions_and_expiries_go_along_and_listeners_are_told(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec::of(3, 1));
    let (first, fourth) = (cluster.first_port(), cluster.first_port() + 6);
    for node in cluster.wait_agreed().owners() {
        view::text(node.port, &["FUNCTION", "LOAD", LIBRARY]).unwrap();
    }
    fill(&cluster, KEYS, 100);
    let [soon, late, cached, channel, counted] =
        ["soon:", "late:", "cached:", "channel:", "counted:"].map(|prefix| key_in(prefix, &[SLOT]));
    let caller = Caller::start(cluster.ports(), counted);
    view::text(first, &["SET", &late, "x", "PX", &LATE.as_millis().to_string()]).unwrap();
    view::text(first, &["SET", &cached, "x"]).unwrap();
    let mut cache = Listener::connect(first);
    cache.run(&["CLIENT", "TRACKING", "ON"]).unwrap();
    cache.run(&["GET", &cached]).unwrap();
    let mut subscriber = Listener::connect(first);
    subscriber.subscribe(&channel);
    publish(first, &channel, &mut subscriber);
    let set_at = Instant::now();
    view::text(first, &["SET", &soon, "x", "PX", &SOON.as_millis().to_string()]).unwrap();

    cluster.edit(|spec| spec.primaries = 4);
    let view = cluster.wait_settled(STEP);
    let owner = view.owner_of_slots()[usize::from(SLOT)].expect("the slot has an owner");
    assert_eq!(view.nodes[owner].port, fourth);

    caller.assert_all_counted(fourth);
    let left: i128 = view::text(fourth, &["PTTL", &late]).unwrap().parse().unwrap();
    assert!(left > 0 && left <= LATE.as_millis().cast_signed(), "{left} ms");
    wait_until(STEP, "the cache is told that its key has gone", || cache.heard(&PushKind::Invalidate, &cached));
    wait_until(STEP, "the subscriber is told that its channel has gone", || {
        subscriber.heard(&PushKind::SUnsubscribe, &channel)
    });
    let refused = Listener::connect(first).run(&["SSUBSCRIBE", &channel]).unwrap_err();
    assert!(refused.redirect_node().is_some_and(|(to, _)| to.ends_with(&format!(":{fourth}"))), "{refused}");
    let mut subscriber = Listener::connect(fourth);
    subscriber.subscribe(&channel);
    publish(fourth, &channel, &mut subscriber);
    wait_until(SOON * 2, "the key has expired", || {
        let exists = view::text(fourth, &["EXISTS", &soon])?;
        check(exists == "0", || "it is there".to_owned())
    });
    assert!(set_at.elapsed() >= SOON, "it did not live its time");
}

/// A message comes to a subscriber.
fn publish(port: u16, channel: &str, subscriber: &mut Listener) {
    assert_eq!(view::text(port, &["SPUBLISH", channel, "hello"]).unwrap(), "1", "one has heard it");
    wait_until(STEP, "the message arrives", || subscriber.heard(&PushKind::SMessage, channel));
}

/// A connection that hears what the server tells by itself.
struct Listener {
    connection: Connection,
    told: Vec<(PushKind, String)>,
}

impl Listener {
    fn connect(port: u16) -> Self {
        let client = Client::open(format!("redis://127.0.0.1:{port}/?protocol=resp3")).unwrap();
        let connection = client.get_connection_with_timeout(STEP).unwrap();
        connection.set_read_timeout(Some(STEP)).unwrap();
        Self { connection, told: Vec::new() }
    }

    /// The server's answer; what it tells before is kept.
    fn run(&mut self, args: &[&str]) -> Result<Value, RedisError> {
        self.send(args)?;
        loop {
            match self.connection.recv_response()? {
                Value::Push { kind, data } => self.told.push((kind, format!("{data:?}"))),
                Value::ServerError(error) => return Err(error.into()),
                answer => return Ok(answer),
            }
        }
    }

    /// What the server tells is the answer.
    fn subscribe(&mut self, channel: &str) {
        self.send(&["SSUBSCRIBE", channel]).unwrap();
        wait_until(STEP, "it is subscribed", || self.heard(&PushKind::SSubscribe, channel));
    }

    fn send(&mut self, args: &[&str]) -> Result<(), RedisError> {
        let (name, rest) = args.split_first().expect("a command has a name");
        self.connection.send_packed_command(&cmd(name).arg(rest).get_packed_command())
    }

    /// Whether the server has told this of a key or channel.
    fn heard(&mut self, kind: &PushKind, of: &str) -> Result<(), String> {
        // What it has told comes before its answer.
        self.run(&["PING"]).map_err(|error| error.to_string())?;
        check(self.told.iter().any(|(told, data)| told == kind && data.contains(of)), || format!("{:?}", self.told))
    }
}

/// Calls a function all the while, through redirections.
struct Caller {
    key: String,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    task: JoinHandle<Result<(), String>>,
}

impl Caller {
    fn start(ports: Vec<u16>, key: String) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counter, counted) = (Arc::clone(&stop), Arc::clone(&acknowledged), key.clone());
        let task = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(call_on(&ports, &counted, &stopped, &counter)).map_err(|error| error.to_string())
        });
        let caller = Self { key, stop, acknowledged, task };
        let called = || check(caller.acknowledged.load(Ordering::Relaxed) > 0, || "never yet".to_owned());
        wait_until(STEP, "the function is called", called);
        caller
    }

    /// Every call that was answered is in the count, and nothing else.
    fn assert_all_counted(self, owner: u16) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.join().expect("it does not panic").expect("every call was answered");
        let counted = view::text(owner, &["GET", &self.key]).unwrap();
        assert_eq!(counted, self.acknowledged.load(Ordering::Relaxed).to_string());
        assert_eq!(view::text(owner, &["FCALL", "add", "1", &self.key, "0"]).unwrap(), counted, "it is there too");
    }
}

async fn call_on(ports: &[u16], key: &str, stop: &AtomicBool, acknowledged: &AtomicU64) -> Result<(), RedisError> {
    let nodes: Vec<String> = ports.iter().map(|port| format!("redis://127.0.0.1:{port}")).collect();
    let mut connection = redis::cluster::ClusterClient::new(nodes)?.get_async_connection().await?;
    while !stop.load(Ordering::Relaxed) {
        cmd("FCALL").arg("add").arg(1).arg(key).arg(1).query_async::<u64>(&mut connection).await?;
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
