//! The table that is printed: what, on which server, ours, the peer's.

use std::fmt;

use redisnode_tests::measure::table;

pub(crate) use redisnode_tests::measure::table::{median, mib, rate, share_of_a_core, time};

/// Rows that are shown as they come, too.
#[derive(Debug)]
pub(crate) struct Table(table::Table<4>);

impl Default for Table {
    fn default() -> Self {
        Self(table::Table::new(["measured", "server", "redisnode", "peer"]))
    }
}

impl Table {
    pub(crate) fn row(&mut self, what: &str, server: &str, ours: String, peer: String) {
        eprintln!("  {what}: {ours} (peer: {peer})");
        self.0.push([what.to_owned(), server.to_owned(), ours, peer]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
