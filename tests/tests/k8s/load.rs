//! A client that writes through pod addresses all the while, step by step: which errors it may see, and what it may lose.

use std::time::{Duration, Instant};

use redisnode_tests::at::At;
use redisnode_tests::gap::GapProbe;
use redisnode_tests::kube::Pod;
use redisnode_tests::view;
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::workload::{Options, Stats, Workload};

use crate::product::Cluster;
use crate::run::Row;

/// Between two writes of the probe.
const PROBED_EVERY: Duration = Duration::from_millis(10);
/// How long the client may take to begin.
const BEGUN: Duration = Duration::from_mins(1);
/// Writes acknowledged this short before a death may be lost: replication is asynchronous.
const LAST: Duration = Duration::from_millis(100);
/// What a client sees of a pod that goes while it talks to it: its connection ends, or a new one does not come to be.
const RECONNECTS: [&str; 4] = ["connection broken", "connection refused", "time-out", "ClusterConnectionNotFound"];

/// What the client may see in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sees {
    /// No error at all, but redirects that it follows.
    Nothing,
    /// Connections that end with their pods.
    Reconnects,
    /// Anything: somebody died.
    Anything,
}

/// A client's load on a cluster, which runs inside its network.
pub(crate) struct Load<'c, 'n, 'k> {
    cluster: &'c Cluster<'n, 'k>,
    family: String,
    workload: Workload,
    /// Writes to each shard beside the client, and knows how long none took writes: the client may wait for pods that are gone.
    probe: Option<GapProbe>,
    has_reconnected: bool,
}

impl<'c, 'n, 'k> Load<'c, 'n, 'k> {
    pub(crate) fn start(cluster: &'c Cluster<'n, 'k>, family: &str) -> Self {
        // It begins at the Service, and learns the pods' addresses there: in a roll all of these change, and a client that
        // has to begin anew would wait for dead ones.
        let servers = [cluster.service()];
        let (workload, probe) = cluster.namespace.kube.inside(|| {
            let options = Options { keys: 1_100, rate: 500, at_most: Duration::from_mins(10), ..Options::default() };
            let workload = Workload::start(&servers, options);
            wait_until(BEGUN, "it writes", || check(workload.acknowledged() > 500, || workload.so_far()));
            let view = wait_until(BEGUN, "a server shows the cluster", || view::view(servers[0]));
            (workload, GapProbe::beside(&view, &servers, PROBED_EVERY))
        });
        Self { cluster, family: family.to_owned(), workload, probe: Some(probe), has_reconnected: false }
    }

    /// One piece of work under the load, and a line of the table for it; says how long a shard was without writes.
    pub(crate) fn step<T>(&mut self, name: &str, sees: Sees, work: impl FnOnce() -> T) -> (T, Duration) {
        drop(self.workload.window());
        let mut row = Row::begin(name, &self.family);
        let begun = Instant::now();
        let done = work();
        let stats = self.workload.window();
        let gap = self.probe.as_ref().expect("the client writes").longest_since(begun);
        println!("{name} on {}: gap {gap:?}; the client's {:?}, {stats}", self.family, stats.gaps().into_iter().max());
        judge(&stats, sees);
        self.has_reconnected |= sees != Sees::Nothing;
        row.note(format!("gap {:.1} s", gap.as_secs_f64()));
        (done, gap)
    }

    /// Waits until so many more writes were acknowledged.
    pub(crate) fn goes_on(&self, writes: u64) {
        let before = self.workload.acknowledged();
        let more = || self.workload.acknowledged().saturating_sub(before);
        wait_until(BEGUN, "writes go on", || check(more() >= writes, || self.workload.so_far()));
    }

    /// The client's connections have broken: what it sent again may count twice, and that is not the servers' doing.
    pub(crate) fn reconnected(&mut self) {
        self.has_reconnected = true;
    }

    /// Ends the writing: what was acknowledged until now is there for good.
    pub(crate) fn pause(&mut self) {
        self.probe.take().map(GapProbe::stop);
        let stats = self.cluster.namespace.kube.inside(|| self.workload.stop());
        assert!(stats.acknowledged > 0, "{stats}");
    }

    /// Nothing is lost.
    pub(crate) fn end(self) {
        self.end_but(|_| false);
    }

    /// Nothing is lost but what was acknowledged when `excused` says.
    pub(crate) fn end_but(mut self, excused: impl Fn(Instant) -> bool) {
        self.probe.take().map(GapProbe::stop);
        let servers = addresses(&self.cluster.pods().unwrap());
        let audit = self.cluster.namespace.kube.inside(|| self.workload.audit(&servers));
        if self.has_reconnected {
            audit.assert_kept_but(excused);
        } else {
            audit.assert_clean();
        }
        assert!(audit.keys > 1_000, "{audit}");
    }
}

fn judge(stats: &Stats, sees: Sees) {
    match sees {
        Sees::Nothing => stats.assert_no_errors(),
        Sees::Reconnects => {
            let other: Vec<_> = stats.errors.keys().filter(|kind| !RECONNECTS.contains(&kind.as_str())).collect();
            assert!(other.is_empty() && stats.acknowledged > 0, "{other:?}: {stats}");
        }
        Sees::Anything => {}
    }
}

/// Whether a write was acknowledged so short before a death between two moments that it may be lost.
pub(crate) fn just_before(written: Instant, (earliest, latest): (Instant, Instant)) -> bool {
    written + LAST >= earliest && written <= latest
}

/// Where the servers of these pods are.
pub(crate) fn addresses(pods: &[Pod]) -> Vec<At> {
    pods.iter().filter(|pod| pod.ip.is_some()).map(|pod| pod.at(6379)).collect()
}
