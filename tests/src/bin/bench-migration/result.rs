//! What was measured, and the table of it.

use std::time::Duration;

use redisnode_tests::measure::load::Latencies;
use redisnode_tests::measure::table::{Table, time};

use crate::data::Data;
use crate::plan::Direction;

/// A way to move slots, or what it is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The product, with this budget for the client's latency.
    Ours(&'static str),
    /// redis-cli as it comes.
    Cli,
    /// redis-cli, tuned.
    Tuned,
    /// Pipelined MIGRATE by a script.
    Script,
    /// The server's own command.
    Atomic,
    /// A replica's full sync.
    Sync,
}

/// One measured move.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) took: Duration,
    /// All keys that moved.
    pub(crate) keys: u64,
    /// Big ones among them.
    pub(crate) big_keys: u64,
    pub(crate) client: Latencies,
    /// How it was done, in a word or two.
    pub(crate) how: String,
}

/// A row.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) server: String,
    pub(crate) family: String,
    pub(crate) data: Data,
    pub(crate) direction: Direction,
    pub(crate) way: Way,
    pub(crate) is: Measured,
}

/// All rows.
#[derive(Debug, Default)]
pub(crate) struct Results(pub(crate) Vec<Line>);

impl Results {
    pub(crate) fn add(&mut self, line: Line) {
        let Line { data, direction, way, is, .. } = &line;
        eprintln!(
            "  {} {} {}{}: {} {}, client {} / {} / {}{}",
            data.name(),
            direction.name(),
            way.name(),
            is.words(),
            time(is.took),
            data.speed(is.keys, is.big_keys, is.took),
            time(is.client.at(0.5)),
            time(is.client.at(0.99)),
            time(is.client.at(1.0)),
            is.lost(),
        );
        self.0.push(line);
    }

    /// The row of another way with the same server, data and direction; a full sync has no direction.
    pub(crate) fn beside(&self, line: &Line, way: &Way) -> Option<&Line> {
        self.find(&line.family, line.data, line.direction, way)
    }

    pub(crate) fn find(&self, family: &str, data: Data, direction: Direction, way: &Way) -> Option<&Line> {
        self.0.iter().find(|line| {
            line.family == family
                && line.data == data
                && line.way == *way
                && (line.direction == direction || *way == Way::Sync)
        })
    }

    pub(crate) fn table(&self) -> Table<14> {
        let mut table = Table::new([
            "server", "data", "move", "way", "time", "speed", "p50", "p99", "max", "x cli", "x tuned", "x script",
            "x atomic", "x sync",
        ]);
        for line in &self.0 {
            let against = |way: Way| match (&line.way, self.beside(line, &way)) {
                (Way::Ours(_), Some(other)) => format!("{:.2}", ratio(line, other)),
                _ => "-".to_owned(),
            };
            let Measured { took, keys, big_keys, client, .. } = &line.is;
            table.push([
                line.server.clone(),
                line.data.name().to_owned(),
                if line.way == Way::Sync { "-".to_owned() } else { line.direction.name().to_owned() },
                format!("{}{}{}", line.way.name(), line.is.words(), line.is.lost()),
                time(*took),
                line.data.speed(*keys, *big_keys, *took),
                time(client.at(0.5)),
                time(client.at(0.99)),
                time(client.at(1.0)),
                against(Way::Cli),
                against(Way::Tuned),
                against(Way::Script),
                against(Way::Atomic),
                against(Way::Sync),
            ]);
        }
        table
    }
}

/// How many times as fast one is as another, by keys in a second; big keys count alone where there are any.
#[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
pub(crate) fn ratio(one: &Line, other: &Line) -> f64 {
    let speed = |line: &Line| {
        let amount = if line.data.is_one_big_key() { line.is.big_keys } else { line.is.keys };
        amount as f64 / line.is.took.as_secs_f64()
    };
    speed(one) / speed(other)
}

impl Way {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Ours("") => "redisnode".to_owned(),
            Self::Ours(budget) => format!("redisnode, budget {budget}"),
            Self::Cli => "cli as it comes".to_owned(),
            Self::Tuned => "cli tuned".to_owned(),
            Self::Script => "bare MIGRATE".to_owned(),
            Self::Atomic => "bare atomic".to_owned(),
            Self::Sync => "replica's full sync".to_owned(),
        }
    }
}

impl Measured {
    fn words(&self) -> String {
        if self.how.is_empty() { String::new() } else { format!(" ({})", self.how) }
    }

    fn lost(&self) -> String {
        match self.client.lost() {
            0 => String::new(),
            lost => format!(", {lost} of {} requests failed: {:?}", self.client.count(), self.client.errors),
        }
    }
}
