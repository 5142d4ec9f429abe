//! What the product is compared with, each once: redis-cli, a script, the server's own command, a replica's full sync; all
//! on one filled cluster of plain servers, there and back again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use redisnode_tests::measure::load::Load;
use redisnode_tests::procs;
use redisnode_tests::raw::RawServers;
use redisnode_tests::servers::Server;
use redisnode_tests::view::{self, View};
use redisnode_tests::wait::{check, wait_until};

use crate::atomic;
use crate::budget;
use crate::data::Data;
use crate::plan::{Direction, pairs};
use crate::result::{Line, Measured, Results, Way};
use crate::run::Run;
use crate::script::{self, Pace};
use crate::wanted::Wanted;

/// The script's numbers: 20 keys a command, and commands in flight from gentle to hard.
const SCRIPT_KEYS: usize = 20;
const SCRIPT_IN_FLIGHT: [usize; 3] = [2, 8, 32];
/// Slots that the script opens at once: fewer cost time, more cost the client's p99.
const SCRIPT_OPEN: usize = 64;
/// What redis-cli is tuned with: keys in one command.
const CLI_PIPELINE: &str = "100";
/// The client's p99 under which the script is compared, where the product's own is lower.
const CALM: Duration = Duration::from_millis(10);
/// How long nodes may take to agree.
const AGREE: Duration = Duration::from_secs(30);

pub(crate) fn measure(server: &Server, data: Data, wanted: &Wanted, results: &mut Results) {
    if !["cli", "tuned", "script", "atomic", "sync"].iter().any(|way| wanted.way(way)) {
        return;
    }
    let raw = Raw::start(server, 5);
    data.fill(raw.first());
    let directions = wanted.directions(&server.family);
    let mut add = |direction: Direction, way: Way, is: Measured| {
        if directions.contains(&direction) {
            let (server, family) = (server.version.clone(), server.family.clone());
            results.add(Line { server, family, data, direction, way, is });
        }
    };
    if let Some(atomic) = atomic::has(raw.first()).filter(|_| wanted.way("atomic")) {
        for direction in Direction::ALL {
            let name = || atomic.name().to_owned();
            add(direction, Way::Atomic, raw.scripted(data, direction, name, |pairs| atomic.run(pairs)));
        }
    }
    if wanted.way("script") {
        script(&raw, data, results, server, &directions);
    }
    let mut add = |direction: Direction, way: Way, is: Measured| {
        if directions.contains(&direction) {
            let (server, family) = (server.version.clone(), server.family.clone());
            results.add(Line { server, family, data, direction, way, is });
        }
    };
    for (way, word, options) in
        [(Way::Tuned, "tuned", &["--cluster-pipeline", CLI_PIPELINE][..]), (Way::Cli, "cli", &[])]
    {
        if wanted.way(word) {
            // Even when one direction alone is wanted the other brings the cluster back for what follows.
            let ends = way == Way::Cli && !directions.contains(&Direction::Shrink);
            for direction in Direction::ALL.into_iter().filter(|direction| *direction == Direction::Grow || !ends) {
                add(direction, way.clone(), raw.cli(data, direction, options));
            }
        }
    }
    if wanted.way("sync") {
        add(directions.first().copied().unwrap_or(Direction::Grow), Way::Sync, raw.sync(data));
    }
}

/// Of the script's numbers, those that are fastest at no more than the client's p99 beside the product, or beside nothing
/// at [`CALM`]; and where all are above it the gentlest.
fn script(raw: &Raw, data: Data, results: &mut Results, server: &Server, directions: &[Direction]) {
    let mut runs: Vec<(Direction, Measured)> = Vec::new();
    for in_flight in SCRIPT_IN_FLIGHT {
        let pace = Pace { keys: SCRIPT_KEYS, in_flight, connections: 1, open: SCRIPT_OPEN, together: true };
        for direction in Direction::ALL {
            let name = || format!("{SCRIPT_KEYS} keys x {in_flight}");
            runs.push((
                direction,
                raw.scripted(data, direction, name, |pairs| script::run(pairs, raw.primaries(), pace)),
            ));
        }
    }
    for direction in directions {
        let ours = results.find(&server.family, data, *direction, &Way::Ours(budget::DEFAULT));
        let bound = ours.map_or(CALM, |line| line.is.client.at(0.99)).max(CALM);
        let of = |run: &&(Direction, Measured)| run.0 == *direction;
        let calm = runs.iter().filter(of).filter(|run| run.1.client.at(0.99) <= bound).min_by_key(|run| run.1.took);
        let gentlest = || runs.iter().filter(of).min_by_key(|run| run.1.client.at(0.99));
        let Some((_, is)) = calm.or_else(gentlest).cloned() else { continue };
        let (server, family) = (server.version.clone(), server.family.clone());
        results.add(Line { server, family, data, direction: *direction, way: Way::Script, is });
    }
}

/// Plain servers: three primaries that own all slots, a fourth that owns none, and perhaps one more outside of the cluster.
pub(crate) struct Raw(RawServers);

impl Raw {
    pub(crate) fn start(server: &Server, count: u16) -> Self {
        let servers = RawServers::start(server, count, 15_000);
        servers.create_of(&servers.ports[..3], 0);
        let raw = Self(servers);
        raw.join(raw.fourth());
        raw.wait_settled();
        raw
    }

    pub(crate) fn first(&self) -> u16 {
        self.0.ports[0]
    }

    pub(crate) fn primaries(&self) -> &[u16] {
        &self.0.ports[..4]
    }

    /// Waits until the primaries agree on owners and epochs, and no two have the same epoch. A move that begins earlier may
    /// lose slots: a target that has not heard of its source's newest epoch takes them with a lower one (seen on Redis 7.0).
    fn wait_settled(&self) -> View {
        wait_until(AGREE, "the nodes agree", || {
            let agreed = view::agreed(self.primaries())?;
            let epochs = |view: &View| -> BTreeMap<String, u64> {
                view.nodes.iter().map(|node| (node.id.clone(), node.epoch)).collect()
            };
            let wanted = epochs(&agreed);
            check(wanted.values().collect::<BTreeSet<_>>().len() == wanted.len(), || format!("epochs {wanted:?}"))?;
            for port in self.primaries() {
                let found = epochs(&view::view(*port)?);
                check(found == wanted, || format!("127.0.0.1:{port} sees the epochs {found:?} instead of {wanted:?}"))?;
            }
            Ok(agreed)
        })
    }

    /// Processor time of each primary so far.
    pub(crate) fn cpu(&self) -> Vec<Duration> {
        let ticks = self.primaries().iter().map(|port| procs::cpu_ticks(self.0.pid(*port)).expect("the server runs"));
        ticks.map(|ticks| Duration::from_millis(ticks * 10)).collect()
    }

    fn fourth(&self) -> u16 {
        self.0.ports[3]
    }

    fn join(&self, port: u16) {
        let meet = ["CLUSTER", "MEET", "127.0.0.1", &self.first().to_string()].map(str::to_owned);
        view::text(port, &meet.each_ref().map(String::as_str)).expect("the node meets another");
    }

    /// A move by a script: it begins when the script does.
    pub(crate) fn scripted(
        &self,
        data: Data,
        direction: Direction,
        name: impl FnOnce() -> String,
        act: impl FnOnce(&[crate::plan::Pair]),
    ) -> Measured {
        let before = self.wait_settled();
        let pairs = pairs(&before, self.fourth(), direction);
        let run = Run::prepare(self.first(), self.fourth(), data, direction);
        let began = Instant::now();
        act(&pairs);
        let measured = run.finish(|_| began, name);
        self.wait_settled();
        measured
    }

    /// A move by redis-cli: it begins with the first slot that is seen to be opened.
    pub(crate) fn cli(&self, data: Data, direction: Direction, options: &[&str]) -> Measured {
        let before = self.wait_settled();
        let fourth = before.on_port(self.fourth()).expect("the fourth node is known").id.clone();
        let first = format!("127.0.0.1:{}", self.first());
        let weight = format!("{fourth}=0");
        let words = match direction {
            Direction::Grow => vec![
                "--cluster",
                "reshard",
                &first,
                "--cluster-from",
                "all",
                "--cluster-to",
                &fourth,
                "--cluster-slots",
                "4096",
                "--cluster-yes",
            ],
            Direction::Shrink => vec!["--cluster", "rebalance", &first, "--cluster-weight", &weight],
        };
        let words: Vec<String> = words.iter().chain(options).map(ToString::to_string).collect();
        let run = Run::prepare(self.first(), self.fourth(), data, direction);
        let command = Instant::now();
        self.0.cli(&words);
        let measured = run.finish(|run| run.seen().first.unwrap_or(command), || options.join(" "));
        self.wait_settled();
        measured
    }

    /// The last server becomes a replica of the first; from the command to a link that is up.
    fn sync(&self, data: Data) -> Measured {
        let replica = *self.0.ports.last().expect("there are servers");
        self.join(replica);
        wait_until(AGREE, "the last node joins", || view::agreed(&self.0.ports));
        view::text(self.first(), &["CONFIG", "SET", "repl-diskless-sync-delay", "0"]).expect("the primary obeys");
        let load = Load::start(self.first(), 1000);
        wait_until(AGREE, "the client is answered", || check(load.answered() > 500, String::new));
        let primary = view::view(self.first()).expect("the primary answers").myself;
        let began = Instant::now();
        view::text(replica, &["CLUSTER", "REPLICATE", &primary]).expect("the node becomes a replica");
        wait_until(Duration::from_mins(2), "the replica is in sync", || {
            let up = view::info(replica)?.get("master_link_status").is_some_and(|status| status == "up");
            check(up, || "its link is down".to_owned())
        });
        let ended = Instant::now();
        let keys = view::text(self.first(), &["DBSIZE"]).expect("an answer").parse().expect("a number");
        let client = load.between(began, ended);
        Measured { took: ended - began, keys, big_keys: data.big_keys_at(self.first()), client, how: String::new() }
    }
}
