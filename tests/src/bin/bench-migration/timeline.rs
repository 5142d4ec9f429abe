//! Twelve primaries to sixteen through the product: when each pair of source and target had its job, as bars.

use std::fmt;
use std::time::{Duration, Instant};

use redisnode_tests::cluster::{LocalCluster, Spec};
use redisnode_tests::measure::load::{Latencies, Load};
use redisnode_tests::measure::owners::OwnerWatch;
use redisnode_tests::measure::table::time;
use redisnode_tests::servers::Server;
use redisnode_tests::view::SLOTS;
use redisnode_tests::wait::{check, wait_until};

use crate::data::Data;
use crate::jobs::{JobWatch, Names, Span};

const FROM: u16 = 12;
const TO: u16 = 16;
const PATIENCE: Duration = Duration::from_mins(2);
/// Characters of the longest bar.
const WIDTH: u32 = 60;

/// What was seen.
pub(crate) struct Timeline {
    pub(crate) family: String,
    server: String,
    began: Instant,
    ended: Instant,
    pairs: Vec<(Names, Span)>,
    client: Latencies,
}

pub(crate) fn measure(server: &Server) -> Timeline {
    eprintln!("measuring: {FROM} to {TO} primaries on {}", server.version);
    let mut cluster = LocalCluster::start(server, Spec::of(usize::from(FROM), 0));
    Data::Small.fill(cluster.first_port());
    let load = Load::start(cluster.first_port(), 1000);
    wait_until(Duration::from_secs(20), "the client is answered", || check(load.answered() > 500, String::new));
    let jobs = JobWatch::start(&cluster, TO);
    let targets: Vec<OwnerWatch> = (FROM..TO).map(|n| OwnerWatch::start(cluster.first_port() + n)).collect();
    cluster.edit(|spec| spec.primaries = usize::from(TO));
    let share = SLOTS / usize::from(TO);
    let ended = targets.iter().map(|target| match target.until(share, PATIENCE) {
        Ok(ended) => ended,
        Err(last) => panic!("the move does not end: a new node has {last}"),
    });
    let ended = ended.max().expect("there are targets");
    cluster.wait_settled(Duration::from_mins(1));
    let mut pairs: Vec<(Names, Span)> = jobs.spans().into_iter().collect();
    pairs.sort_by_key(|(_, span)| span.start);
    let began = pairs.first().map(|(_, span)| span.start);
    let began = began.or(targets.iter().filter_map(|target| target.seen().first).min()).expect("something was seen");
    let client = load.between(began, ended);
    Timeline { family: server.family.clone(), server: server.version.clone(), began, ended, pairs, client }
}

impl Timeline {
    pub(crate) fn whole(&self) -> Duration {
        self.ended.saturating_duration_since(self.began)
    }

    pub(crate) fn longest(&self) -> Duration {
        self.pairs.iter().map(|(_, span)| span.end - span.start).max().unwrap_or_default()
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.pairs.len();
        writeln!(
            f,
            "{FROM} to {TO} primaries on {}, {pairs} pairs, each from its job's start to its end:",
            self.server
        )?;
        let last = self.pairs.iter().map(|(_, span)| span.end).max().unwrap_or(self.ended).max(self.ended);
        let all = (last - self.began).max(Duration::from_millis(1));
        let column = |at: Instant| {
            let share = at.saturating_duration_since(self.began).as_secs_f64() / all.as_secs_f64();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place on a line")]
            let column = (share * f64::from(WIDTH)) as usize;
            column
        };
        for ((source, target), span) in &self.pairs {
            let (from, to) = (column(span.start), column(span.end));
            let bar = format!("{}{}", " ".repeat(from), "#".repeat((to - from).max(1)));
            let drivers = span.drivers.iter().cloned().collect::<Vec<_>>().join("+");
            let (start, end) = (span.start - self.began, span.end - self.began);
            writeln!(f, "  {source:>10} > {target:<10} |{bar:61}| {:>8} - {:<8} {drivers}", time(start), time(end))?;
        }
        let client = [0.5, 0.99, 1.0].map(|share| time(self.client.at(share))).join(" / ");
        for ((source, target), span) in &self.pairs {
            for reason in span.failed.iter().chain(&span.stalled) {
                writeln!(f, "  {source} > {target} was held up: {reason}")?;
            }
        }
        writeln!(
            f,
            "  whole {}, longest pair {}, client's p50 / p99 / max {client}, {} requests failed",
            time(self.whole()),
            time(self.longest()),
            self.client.lost()
        )
    }
}
