//! The shell of the workload: the client and the open loop. All judgement is in the model.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis::cluster_async::ClusterConnection;
use redis::{ErrorKind, RedisError, Value};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::audit::Audit;
use super::client::{Client, connect};
use super::fill::fill;
use super::keys::{Kind, tagged, tags};
use super::model::{Answer, KeyModel, What, Write};
use super::read_back::audit;
use super::stats::Stats;
use super::{Options, commands};
use crate::at::At;
use crate::view::{SLOTS, View, slot_of};
use crate::wait::wait_until;

/// Most writes in flight.
const IN_FLIGHT: usize = 4_000;
/// So long the first of the servers may take to be reached.
const REACHED: Duration = Duration::from_secs(10);
/// Writes at once while keys are made, and reads at once while they are audited.
pub(super) const AT_ONCE: usize = 128;

/// A running client. Stops when dropped.
#[derive(Debug)]
pub struct Workload {
    runtime: Runtime,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    driver: Option<JoinHandle<()>>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) models: Mutex<Vec<KeyModel>>,
    pub(super) made_at: Instant,
    pub(super) stats: Mutex<Stats>,
    pub(super) shard_of_slot: Vec<usize>,
    pub(super) client: Client,
}

impl Workload {
    /// Connects, writes every key once, and begins. `seeds` are where the client may start (a port is one of this
    /// machine). Panics if the client cannot connect or a first write fails.
    pub fn start<A: Copy + Into<At>>(seeds: &[A], options: Options) -> Self {
        let mut workload = Self::prepare(seeds, options);
        workload.begin();
        workload
    }

    /// As [`Workload::start`], but does not begin: the keys are there, nothing is written.
    pub fn prepare<A: Copy + Into<At>>(seeds: &[A], options: Options) -> Self {
        let seeds = addresses(seeds);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        // A Service leads to its pods a moment after they are ready.
        let view = wait_until(REACHED, "a node of the cluster answers", || {
            let views = seeds.iter().map(|at| crate::view::view(*at));
            views.reduce(Result::or).unwrap_or_else(|| Err("there are no seeds".to_owned()))
        });
        let (shards, shard_of_slot) = shards(&view);
        let client = runtime.block_on(Client::connect(&seeds, options.retries)).expect("the cluster client connects");
        let shared = Arc::new(Shared {
            models: Mutex::new(models(&options)),
            made_at: Instant::now(),
            options,
            stats: Mutex::new(Stats::new(shards)),
            shard_of_slot,
            client,
        });
        runtime.block_on(async { fill(&shared, &shared.client.connection()).await });
        let stats = lock(&shared.stats).clone();
        assert!(stats.errors.is_empty(), "the keys cannot be made: {stats}");
        *lock(&shared.stats) = Stats::new(shards);
        Self { runtime, shared, stop: watch::Sender::new(false), driver: None }
    }

    /// Begins to write.
    pub fn begin(&mut self) {
        self.window();
        self.shared.client.answered();
        self.driver = Some(self.runtime.spawn(drive(self.shared.clone(), self.stop.subscribe())));
    }

    /// What was seen since the last call (or the beginning).
    pub fn window(&self) -> Stats {
        let mut stats = lock(&self.shared.stats);
        let fresh = Stats::new(stats.shards());
        let mut window = std::mem::replace(&mut *stats, fresh);
        window.close();
        window
    }

    /// How many writes were acknowledged since the last window.
    pub fn acknowledged(&self) -> u64 {
        lock(&self.shared.stats).acknowledged
    }

    /// What was seen since the last window, as a line; the window goes on.
    pub fn so_far(&self) -> String {
        lock(&self.shared.stats).to_string()
    }

    /// How many errors and redirects reached the caller since the last window.
    pub fn errors(&self) -> u64 {
        let stats = lock(&self.shared.stats);
        stats.errors.values().sum::<u64>() + stats.redirects
    }

    /// The slot of a key, by its number.
    pub fn slot(&self, key: u32) -> u16 {
        slot_of(&lock(&self.shared.models)[key as usize].name)
    }

    /// Ends the writing, waits for what is in flight, and returns the last window.
    pub fn stop(&mut self) -> Stats {
        self.stop.send_replace(true);
        if let Some(driver) = self.driver.take() {
            self.runtime.block_on(driver).expect("the workload does not panic");
        }
        self.window()
    }

    /// Stops, reads everything back with a new client, and compares.
    pub fn audit<A: Copy + Into<At>>(&mut self, seeds: &[A]) -> Audit {
        let seeds = addresses(seeds);
        if self.driver.is_some() {
            self.stop();
        }
        self.runtime.block_on(async {
            let connection = match connect(&seeds, 16).await {
                Ok(connection) => connection,
                Err(error) => return Audit { unread: vec![format!("no connection: {error}")], ..Audit::default() },
            };
            audit(&self.shared, &connection).await
        })
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

fn addresses<A: Copy + Into<At>>(seeds: &[A]) -> Vec<At> {
    seeds.iter().map(|at| (*at).into()).collect()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_millis()).expect("the clock is before the year 292 million")
}

fn models(options: &Options) -> Vec<KeyModel> {
    let tags = tags(options.slots);
    let model = |id, kind| KeyModel::new(id, kind, tagged(&tags, id, kind));
    let mut models: Vec<KeyModel> = (0..options.keys).map(|id| model(id, Kind::of(id))).collect();
    if options.big_value {
        models.push(model(options.keys, Kind::BigValue));
    }
    if options.big_hash_fields > 0 {
        models.push(model(u32::try_from(models.len()).expect("few keys"), Kind::BigHash));
    }
    models
}

/// Numbers the shards as they are now.
fn shards(view: &View) -> (usize, Vec<usize>) {
    let owners = view.owners();
    let mut shard_of_slot = vec![usize::MAX; SLOTS];
    for (shard, owner) in owners.iter().enumerate() {
        for slot in &owner.slots {
            shard_of_slot[usize::from(*slot)] = shard;
        }
    }
    (owners.len(), shard_of_slot)
}

/// Sends writes at their times until told to stop, whatever became of the earlier ones.
async fn drive(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut rng = StdRng::seed_from_u64(shared.options.seed);
    let begun = Instant::now();
    let interval = Duration::from_secs(1) / shared.options.rate.max(1);
    let places = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut flying = JoinSet::new();
    let watch = tokio::spawn({
        let (shared, places) = (shared.clone(), places.clone());
        async move { shared.client.watch(|| places.available_permits() < IN_FLIGHT).await }
    });
    let mut due = begun;
    while begun.elapsed() < shared.options.at_most {
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
        while due <= Instant::now() {
            let intended = due;
            due += interval;
            let Some(write) = choose(&shared, &mut rng) else { continue };
            let Ok(place) = places.clone().try_acquire_owned() else {
                give_back(&shared, &write);
                continue;
            };
            let shared = shared.clone();
            flying.spawn(async move {
                send(&shared, &shared.client.connection(), &write, intended).await;
                drop(place);
            });
        }
        while flying.try_join_next().is_some() {}
    }
    while flying.join_next().await.is_some() {}
    watch.abort();
}

/// A random key that has no write in flight, and its next write.
fn choose(shared: &Shared, rng: &mut StdRng) -> Option<Write> {
    let mut models = lock(&shared.models);
    let count = models.len();
    for _ in 0..100 {
        let model = &mut models[rng.random_range(0..count)];
        if model.busy {
            continue;
        }
        if let Some(write) = model.next(rng, now_ms()) {
            model.busy = true;
            return Some(write);
        }
    }
    lock(&shared.stats).held_back += 1;
    None
}

fn give_back(shared: &Shared, write: &Write) {
    lock(&shared.models)[write.key as usize].busy = false;
    lock(&shared.stats).held_back += 1;
}

pub(super) async fn send(shared: &Shared, connection: &ClusterConnection, write: &Write, intended: Instant) {
    lock(&shared.stats).sent += 1;
    let command = commands::write(write);
    let mut connection = connection.clone();
    let stuck = shared.client.stuck();
    let reply = tokio::select! {
        reply = command.query_async::<Value>(&mut connection) => Some(reply),
        () = tokio::time::sleep(shared.options.patience) => None,
        () = stuck => {
            lock(&shared.stats).stuck += 1;
            let mut models = lock(&shared.models);
            let model = &mut models[write.key as usize];
            model.busy = false;
            model.uncertain(write);
            return;
        }
    };
    let at = Instant::now();
    let slot = slot_of(&write.name);
    let is_stuck = reply.is_none() && shared.client.owner_answers(slot).await;
    let mut models = lock(&shared.models);
    let model = &mut models[write.key as usize];
    model.busy = false;
    match reply {
        Some(Ok(reply)) => {
            shared.client.answered();
            let answer: Answer = commands::answer(&write.what, &reply);
            model.acknowledged(write, &answer, at);
            let shard = shared.shard_of_slot[usize::from(slot)];
            lock(&shared.stats).acknowledged(shard, intended, at);
        }
        Some(Err(error)) => {
            model.uncertain(write);
            // A redirect that the client gave up following is one all the same: it says where to go.
            match kind_of(&error) {
                kind if kind == "ASK" || kind == "MOVED" => lock(&shared.stats).redirects += 1,
                kind => lock(&shared.stats).failed(kind, describe(write, &error.to_string())),
            }
        }
        None if is_stuck => {
            model.uncertain(write);
            lock(&shared.stats).stuck += 1;
        }
        None => {
            model.uncertain(write);
            lock(&shared.stats).failed("no answer".to_owned(), describe(write, "no answer in time"));
        }
    }
}

fn describe(write: &Write, error: &str) -> String {
    let what = match &write.what {
        What::Put(_) => "put",
        What::Remove(_) => "remove",
        What::Append => "append",
        What::Count => "count",
        What::Deliver => "deliver",
        What::Settle(_) => "settle",
    };
    format!("{what} {:?}:{}: {error}", write.kind, write.key)
}

/// A short name for an error: the server's own word, or what the client says happened.
pub(super) fn kind_of(error: &RedisError) -> String {
    if let Some(code) = error.code() {
        return code.to_owned();
    }
    match error.kind() {
        ErrorKind::Io if error.is_timeout() => "time-out".to_owned(),
        ErrorKind::Io if error.is_connection_refusal() => "connection refused".to_owned(),
        ErrorKind::Io => "connection broken".to_owned(),
        kind => format!("{kind:?}"),
    }
}

/// Every key: its number, its kind, its name.
pub(super) fn keys(shared: &Shared) -> Vec<(u32, Kind, Vec<u8>)> {
    lock(&shared.models).iter().map(|model| (model.id, model.kind, model.name.clone())).collect()
}
