//! The real cluster client, and a watch over it.
//!
//! redis-rs (seen with 1.8.1) can lock itself up for good: a request that follows a redirect to a node which the client
//! did not know yet waits for the lock on its connections, a refresh of the slots waits behind it, and the client polls
//! no request while it refreshes. That is no fault of the servers, so a client is replaced, and its writes in flight
//! count as stuck, not as errors. Only one thing tells this from servers that do not answer: a new client, started from
//! nothing, writes to every part of the cluster at once. If it cannot, nothing is replaced, and a write that is not answered
//! in time counts as an error unless the slot's owner takes another one at once.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{RedisError, cmd};
use tokio::sync::{Semaphore, watch};

use crate::at::At;
use crate::view::{self, SLOTS, slot_of};

/// How often the client is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// No answer at all for this long makes a client suspect.
const SUSPECT: Duration = Duration::from_secs(1);
/// A new client must be through in this time, or the servers are to blame.
const PROOF: Duration = Duration::from_secs(1);
/// How often the owner of a slot is asked for a write before it counts as one that does not answer: a node that is asked who
/// the owner is may be gone.
const PROOF_TRIES: usize = 3;
/// How many owners are asked at once: hundreds of writes may wait, and what asks for them all at once is late itself.
const ASKED_AT_ONCE: usize = 8;
/// Keys that a new client writes for the proof: enough to hit every shard of a small cluster.
const PROOF_KEYS: usize = 64;

/// The client in use.
#[derive(Debug)]
pub(super) struct Client {
    seeds: Vec<At>,
    retries: u32,
    now: Mutex<Current>,
    replaced: watch::Sender<()>,
    asked: Semaphore,
    /// The nodes when somebody last showed the cluster. (A Service may lead to a pod that is gone.)
    nodes: Arc<Mutex<Vec<At>>>,
}

struct Current {
    connection: ClusterConnection,
    answered_at: Instant,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "answered {:?} ago", self.answered_at.elapsed())
    }
}

impl Client {
    pub(super) async fn connect(seeds: &[At], retries: u32) -> Result<Self, RedisError> {
        let connection = connect(seeds, retries).await?;
        LazyLock::force(&KEYS);
        let now = Mutex::new(Current { connection, answered_at: Instant::now() });
        let (replaced, asked) = (watch::Sender::new(()), Semaphore::new(ASKED_AT_ONCE));
        Ok(Self { seeds: seeds.to_vec(), retries, now, replaced, asked, nodes: Arc::default() })
    }

    pub(super) fn connection(&self) -> ClusterConnection {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).connection.clone()
    }

    /// A write was answered.
    pub(super) fn answered(&self) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).answered_at = Instant::now();
    }

    /// Ends when the client that is in use now has been replaced.
    pub(super) fn stuck(&self) -> impl Future<Output = ()> + use<> {
        let mut replaced = self.replaced.subscribe();
        async move {
            // An error means that the workload has ended, and then nobody waits for this.
            if replaced.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether the owner of a slot takes a write to it at once: then one that is not answered waits in the client. (A client
    /// that connects to an address where nobody is any more holds up all that it is asked meanwhile.)
    pub(super) async fn owner_answers(&self, slot: u16) -> bool {
        let Ok(_turn) = self.asked.acquire().await else { return false };
        for _ in 0..PROOF_TRIES {
            let (seeds, nodes) = (self.seeds.clone(), self.nodes.clone());
            let asked = tokio::task::spawn_blocking(move || takes_a_write(&seeds, &nodes, slot));
            if matches!(tokio::time::timeout(PROOF, asked).await, Ok(Ok(Ok(())))) {
                return true;
            }
        }
        false
    }

    /// Watches for ever. `in_flight` says whether any write waits for an answer.
    pub(super) async fn watch(&self, in_flight: impl Fn() -> bool) {
        loop {
            tokio::time::sleep(LOOK).await;
            if in_flight() {
                self.replace_if_stuck().await;
            }
        }
    }

    /// Replaces a client that has not answered for long although a new one can write everywhere.
    async fn replace_if_stuck(&self) {
        let silent_for = self.now.lock().unwrap_or_else(PoisonError::into_inner).answered_at.elapsed();
        if silent_for < SUSPECT {
            return;
        }
        let fresh = tokio::time::timeout(PROOF, async {
            let fresh = connect(&self.seeds, self.retries).await?;
            try_join_all((0..PROOF_KEYS).map(|n| prove(fresh.clone(), n))).await?;
            Ok::<_, RedisError>(fresh)
        });
        let Ok(Ok(connection)) = fresh.await else { return };
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Current { connection, answered_at: Instant::now() };
        self.replaced.send_replace(());
    }
}

/// A key of each slot that no test has. Found once: to look for one takes thousands of tries.
static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut keys = vec![String::new(); SLOTS];
    let mut missing = SLOTS;
    for key in (0_u64..).map(|n| format!("proof-of-slot:{n}")) {
        let place = &mut keys[usize::from(slot_of(key.as_bytes()))];
        if place.is_empty() {
            *place = key;
            missing -= 1;
        }
        if missing == 0 {
            break;
        }
    }
    keys
});

/// Whether the owner of a slot, as any of these shows it, takes a write to it on a fresh connection.
fn takes_a_write(seeds: &[At], nodes: &Mutex<Vec<At>>, slot: u16) -> Result<(), String> {
    let known = || nodes.lock().unwrap_or_else(PoisonError::into_inner);
    // Who does not answer is asked last from now on.
    let mut asked = known().clone();
    asked.extend(seeds);
    let shown = asked.iter().enumerate().find_map(|(at, node)| Some((at, view::view(*node).ok()?)));
    let (at, view) = shown.ok_or("nobody shows the cluster")?;
    if at > 0 || known().is_empty() {
        *known() = view.nodes.iter().filter(|node| !node.is_bad).filter_map(view::Node::at).collect();
    }
    let owner = view.owner_of_slots()[usize::from(slot)].ok_or("the slot has no owner")?;
    let owner = view.nodes[owner].at().ok_or("nobody knows where the owner is")?;
    view::call(owner, &["SET", &KEYS[usize::from(slot)], "1", "PX", "60000"]).map(drop)
}

async fn prove(mut connection: ClusterConnection, n: usize) -> Result<(), RedisError> {
    cmd("SET").arg(format!("proof:{n}")).arg(n).arg("PX").arg(60_000).query_async(&mut connection).await
}

/// The waits between the client's own retries are short, so that an outage is seen as errors, not as patience.
pub(super) async fn connect(seeds: &[At], retries: u32) -> Result<ClusterConnection, RedisError> {
    let seeds = seeds.iter().map(|at| (at.host(), at.port()));
    let client = ClusterClientBuilder::new(seeds)
        .retries(retries)
        .min_retry_wait(2)
        .max_retry_wait(20)
        .connection_timeout(Duration::from_secs(2))
        .response_timeout(Duration::from_secs(10))
        .build()?;
    client.get_async_connection().await
}
