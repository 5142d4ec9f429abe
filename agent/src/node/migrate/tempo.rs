//! The speed of a job: both servers are asked all the while how fast they answer, and the core decides from that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redisnode_agent_core::migration::{Latencies, Speed};
use tokio::time::{Instant, sleep, timeout};

use super::pair::{CONNECT_WITHIN, Pair};
use crate::resp::{Command, Connection, RespError};

/// How often each server is asked: often enough to meet what clients meet, seldom enough to cost nothing.
const BEAT: Duration = Duration::from_millis(5);
/// How often the speed follows.
const DECIDE_EVERY: Duration = Duration::from_millis(100);
/// A server that is silent for longer is slow, that is all this has to know.
const SILENT: Duration = Duration::from_secs(1);

/// Shared between a job and what measures for it.
#[derive(Clone, Debug)]
pub(super) struct Tempo(Arc<Mutex<Speed>>);

impl Tempo {
    /// Full speed, as far as the spec allows.
    pub(super) fn new(pair: &Pair) -> Self {
        Self(Arc::new(Mutex::new(Speed::new(pair.bounds().max_latency))))
    }

    /// The speed now.
    pub(super) fn now(&self) -> Speed {
        *self.speed()
    }

    fn speed(&self) -> MutexGuard<'_, Speed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Measures and decides for ever. A server that cannot be asked is left out: the job itself finds out what is wrong.
    pub(super) async fn keep(&self, pair: &Pair) -> std::convert::Infallible {
        let latencies = [Mutex::new(Latencies::default()), Mutex::new(Latencies::default())];
        let decide = async {
            loop {
                sleep(DECIDE_EVERY).await;
                let slowest = latencies.iter().filter_map(|one| lock(one).p99()).max();
                let mut speed = self.speed();
                speed.set_bound(pair.bounds().max_latency);
                if let Some(p99) = slowest {
                    speed.look(p99);
                }
            }
        };
        let [here, there] = &latencies;
        tokio::join!(decide, ask(pair, true, here), ask(pair, false, there)).0
    }
}

fn lock(latencies: &Mutex<Latencies>) -> MutexGuard<'_, Latencies> {
    latencies.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks one server again and again.
async fn ask(pair: &Pair, own: bool, latencies: &Mutex<Latencies>) {
    loop {
        let address = if own { pair.shared.address.server() } else { pair.target.server() };
        // The next try is as good as this one.
        if let Ok(mut connection) = Connection::open(address, &pair.shared.access(), CONNECT_WITHIN).await {
            drop(beats(&mut connection, latencies).await);
        }
        sleep(SILENT).await;
    }
}

/// Comes back when the connection cannot be used any more.
async fn beats(connection: &mut Connection, latencies: &Mutex<Latencies>) -> Result<(), RespError> {
    connection.set_deadline(SILENT * 30);
    loop {
        sleep(BEAT).await;
        let asked = Instant::now();
        let ping = Command::new("PING");
        let mut answer = std::pin::pin!(connection.run(&ping));
        // It counts while it lasts: a silence of seconds must not be learnt of at its end.
        loop {
            match timeout(SILENT, &mut answer).await {
                Ok(answered) => break answered.map(drop)?,
                Err(_) => lock(latencies).answered(asked.elapsed()),
            }
        }
        lock(latencies).answered(asked.elapsed());
    }
}
