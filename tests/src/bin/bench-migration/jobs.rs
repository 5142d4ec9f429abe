//! The product's jobs while it moves slots: from when to when each pair of source and target had one, by the Reports of
//! the sources' agents, asked for as a long poll.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redisnode_http::{Client, Listen, ReportQuery, Token};
use redisnode_proto::Report;
use redisnode_tests::cluster::LocalCluster;

/// How long an agent may keep a question, and then answer.
const WAIT: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(2);
/// An agent that does not run yet is asked again after so long.
const AGAIN: Duration = Duration::from_millis(20);

/// Source and target, by name.
pub(crate) type Names = (String, String);

/// When a pair had a job.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) start: Instant,
    pub(crate) end: Instant,
    pub(crate) drivers: BTreeSet<String>,
    /// Tries that failed.
    pub(crate) failed: BTreeSet<String>,
    /// Why it did not go on for a while.
    pub(crate) stalled: BTreeSet<String>,
}

type Spans = Arc<Mutex<BTreeMap<Names, Span>>>;

/// A watcher of all agents of a cluster.
#[derive(Debug)]
pub(crate) struct JobWatch {
    spans: Spans,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl JobWatch {
    /// Watches the agents of the first so many nodes, those that run.
    pub(crate) fn start(cluster: &LocalCluster, nodes: u16) -> Self {
        let (spans, stop) = (Spans::default(), Arc::new(AtomicBool::new(false)));
        let client = Client::new(Some(Token::in_file(cluster.dir.join("token"))));
        let agents: Vec<SocketAddr> =
            (0..nodes).map(|n| ([127, 0, 0, 1], cluster.first_port() + 1000 + n).into()).collect();
        let thread = std::thread::spawn({
            let (spans, stop) = (Arc::clone(&spans), Arc::clone(&stop));
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                let all = agents.iter().map(|agent| follow(&client, *agent, &spans, &stop));
                runtime.block_on(futures_util::future::join_all(all));
            }
        });
        Self { spans, stop, thread: Some(thread) }
    }

    pub(crate) fn spans(&self) -> BTreeMap<Names, Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When the first job started.
    pub(crate) fn first_start(&self) -> Option<Instant> {
        self.spans().values().map(|span| span.start).min()
    }

    /// The drivers that were seen, and the tries that failed.
    pub(crate) fn drivers(&self) -> String {
        let spans = self.spans();
        let drivers: BTreeSet<&String> = spans.values().flat_map(|span| &span.drivers).collect();
        let failed: BTreeSet<&String> = spans.values().flat_map(|span| &span.failed).collect();
        let names = drivers.into_iter().cloned().collect::<Vec<_>>().join("+");
        if failed.is_empty() { names } else { format!("{names}, failed tries: {failed:?}") }
    }

    /// Why jobs did not go on for a while.
    pub(crate) fn stalled(&self) -> BTreeSet<String> {
        self.spans().into_values().flat_map(|span| span.stalled).collect()
    }
}

impl Drop for JobWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

async fn follow(client: &Client, agent: SocketAddr, spans: &Spans, stop: &AtomicBool) {
    let mut after = None;
    let mut running: BTreeSet<Names> = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) {
        match client.report(agent, ReportQuery { after, wait: WAIT }, PATIENCE).await {
            Ok(Some(report)) => {
                after = Some(Listen::of(&report));
                note(&report, &mut running, spans);
            }
            Ok(None) => {}
            Err(_) => {
                after = None;
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// A pair whose job is in the Report has it now; one whose job is in it no more has had it until now.
fn note(report: &Report, running: &mut BTreeSet<Names>, spans: &Spans) {
    let now = Instant::now();
    let mut spans = spans.lock().unwrap_or_else(PoisonError::into_inner);
    let source = report.member.name.to_string();
    let mut seen = BTreeSet::new();
    for job in &report.jobs {
        let names = (source.clone(), job.target.to_string());
        let start = now.checked_sub(Duration::from_millis(job.running_for.0)).unwrap_or(now);
        let span = spans.entry(names.clone()).or_insert_with(|| Span {
            start,
            end: now,
            drivers: BTreeSet::new(),
            failed: BTreeSet::new(),
            stalled: BTreeSet::new(),
        });
        span.start = span.start.min(start);
        span.end = now;
        // A job that has not chosen yet has none.
        span.drivers.extend(Some(job.driver.clone()).filter(|driver| !driver.is_empty()));
        span.failed.extend(job.tries.iter().map(|failed| failed.reason.clone()));
        span.stalled.extend(job.stalled.clone());
        seen.insert(names);
    }
    for names in running.difference(&seen) {
        if let Some(span) = spans.get_mut(names) {
            span.end = now;
        }
    }
    *running = seen;
}
