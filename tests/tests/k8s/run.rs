//! Which case runs on which servers, where its cluster is, and what came of it: a line for each, for a table.

use std::fs::OpenOptions;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use redisnode_tests::kube::{Kubernetes, Namespace};
use redisnode_tests::servers::{self, Server};
use redisnode_tests::turn::Turn;

use crate::product::install;

/// The families that everything is promised for.
const ALL: [&str; 4] = ["redis-7.0", "redis-8.6", "valkey-8.1", "valkey-9.1"];

/// A namespace of one case with a coordinator, whose clusters run one server.
pub(crate) struct Scene<'k> {
    pub(crate) kube: &'k Kubernetes,
    pub(crate) namespace: Namespace<'k>,
    pub(crate) server: Server,
}

impl<'k> Scene<'k> {
    /// In a namespace `NAME-FAMILY`.
    pub(crate) fn set(kube: &'k Kubernetes, name: &str, server: &Server) -> Self {
        let namespace = kube.namespace(&format!("{name}-{}", server.family.replace('.', "-")));
        install(&namespace, server);
        Self { kube, namespace, server: server.clone() }
    }

    /// Does one piece of work, and writes down how long it took, or that it failed.
    pub(crate) fn step<T>(&self, name: &str, work: impl FnOnce() -> T) -> T {
        let mut row = Row::begin(name, &self.server.family);
        let done = work();
        row.note(String::new());
        done
    }
}

/// Runs a case on each server of the sample, or of those that REDISNODE_FAMILIES names (`all`, or families with blanks
/// between), and fails after the last of them if any failed.
pub(crate) fn on_servers(sample: &[&str], case: impl Fn(&Server)) {
    let mut failed = Vec::new();
    for server in families(sample).iter().filter_map(|name| find(name)) {
        println!("{} ({})", server.version, server.family);
        // What failed has been said, and the other servers are worth a try.
        if catch_unwind(AssertUnwindSafe(|| case(&server))).is_err() {
            failed.push(server.family);
        }
    }
    assert!(failed.is_empty(), "failed on {}", failed.join(", "));
}

/// As [`on_servers`], each on a scene in the cluster that all share.
pub(crate) fn on_scenes(name: &str, sample: &[&str], turn: fn() -> Turn, case: impl Fn(&Scene<'_>)) {
    on_servers(sample, |server| {
        let _turn = turn();
        let Some(kube) = Kubernetes::shared() else { return };
        case(&Scene::set(kube, name, server));
    });
}

/// Whether more than the sample is wanted.
pub(crate) fn everything() -> bool {
    std::env::var_os("REDISNODE_FAMILIES").is_some_and(|named| !named.is_empty())
}

fn families(sample: &[&str]) -> Vec<String> {
    let named = std::env::var("REDISNODE_FAMILIES").unwrap_or_default();
    let named: Vec<&str> = named.split_whitespace().collect();
    let chosen = match named.as_slice() {
        [] => sample,
        ["all"] => ALL.as_slice(),
        some => some,
    };
    chosen.iter().map(|name| (*name).to_owned()).collect()
}

/// The server of a family; for 7.0 the installed one will do, where it is one.
fn find(family: &str) -> Option<Server> {
    let installed = || Some(servers::system()).filter(|server| server.version.starts_with("redis 7.0"));
    if family == "redis-7.0" { installed().or_else(|| servers::family(family)) } else { servers::family(family) }
}

/// A line of the table: an operation on a family, and what came of it. Failed, unless something was noted.
pub(crate) struct Row {
    operation: String,
    family: String,
    begun: Instant,
    noted: Option<(Duration, String)>,
}

impl Row {
    pub(crate) fn begin(operation: &str, family: &str) -> Self {
        let family = if family == "system" { "redis-7.0" } else { family };
        Self { operation: operation.to_owned(), family: family.to_owned(), begun: Instant::now(), noted: None }
    }

    /// It went well, and this is worth to be known.
    pub(crate) fn note(&mut self, what: String) {
        self.noted = Some((self.begun.elapsed(), what));
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        let came = match &self.noted {
            Some((took, what)) => {
                format!("{:.0} s{}{what}", took.as_secs_f64(), if what.is_empty() { "" } else { ", " })
            }
            None => "failed".to_owned(),
        };
        println!("{} on {}: {came}", self.operation, self.family);
        let Some(path) = std::env::var_os("REDISNODE_TABLE") else { return };
        let line = format!("{}\t{}\t{came}\n", self.operation, self.family);
        let file = OpenOptions::new().create(true).append(true).open(path);
        if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
            eprintln!("the table misses a line: {error}");
        }
    }
}
