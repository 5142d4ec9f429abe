//! Whether slots are on their way, by the word of the servers alone: one by one, or in a piece that the servers move.

use crate::view;

/// A party of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who gives slots.
    Source,
    /// Who gets them.
    Target,
}

impl Side {
    /// How an open slot is written in CLUSTER NODES.
    fn mark(self) -> &'static str {
        match self {
            Self::Source => "->",
            Self::Target => "-<-",
        }
    }

    /// How a job of the servers is called, by Valkey and by Redis.
    fn operations(self) -> [&'static str; 2] {
        match self {
            Self::Source => ["EXPORT", "migrate"],
            Self::Target => ["IMPORT", "import"],
        }
    }
}

/// States of jobs that are over, of Valkey and of Redis.
const OVER: [&str; 5] = ["success", "failed", "cancelled", "completed", "canceled"];

/// Whether the server on a port is that party of a move now.
pub fn is_moving(port: u16, side: Side) -> bool {
    let opened = || {
        let view = view::view(port).ok()?;
        let node = view.on_port(port).filter(|node| node.is_primary)?;
        Some(node.open.iter().any(|open| open.contains(side.mark())))
    };
    opened().unwrap_or_default() || has_job(port, side)
}

/// Whether the server lists a job that is not over.
fn has_job(port: u16, side: Side) -> bool {
    let lists = [&["CLUSTER", "GETSLOTMIGRATIONS"][..], &["CLUSTER", "MIGRATION", "STATUS", "ALL"]];
    let jobs =
        lists.iter().filter_map(|list| view::call(port, list).ok()).filter_map(|answer| answer.into_sequence().ok());
    jobs.flatten().any(|job| {
        let words: Vec<String> = job
            .into_sequence()
            .unwrap_or_default()
            .iter()
            .filter_map(|word| redis::from_redis_value(word.clone()).ok())
            .collect();
        let after = |name: &str| {
            words.iter().position(|word| word == name).and_then(|at| words.get(at + 1)).cloned().unwrap_or_default()
        };
        side.operations().contains(&after("operation").as_str()) && !OVER.contains(&after("state").as_str())
    })
}
