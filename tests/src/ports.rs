//! Ports for one test: a block of them that no other test process holds and that nothing listens on.
//!
//! A node on port p also needs p + 1000 (its agent) and p + 10000 (the cluster bus), so a block is a range of p. Blocks
//! are held by a locked file in the system's temporary folder for as long as the [`Ports`] lives.

use std::fs::{self, File};
use std::net::TcpListener;

/// Nodes that fit into a block.
pub const PER_BLOCK: u16 = 24;

/// A block of ports, held until dropped.
#[derive(Debug)]
pub struct Ports {
    /// The first server port. [`PER_BLOCK`] - 1 more follow it.
    pub first: u16,
    _held: File,
}

impl Ports {
    /// Takes a free block. `REDISNODE_TEST_PORTS=FROM-TO` sets where server ports may be; otherwise a range is used
    /// whose bus ports stay below those that the system gives to clients.
    pub fn take() -> Self {
        let (from, to) = range();
        let locks = std::env::temp_dir().join("redisnode-test-ports");
        fs::create_dir_all(&locks).expect("the temporary folder can be written");
        let blocks = (to - from) / PER_BLOCK;
        // Two processes that start together need not fight over the first block.
        let offset = u16::try_from(std::process::id() % u32::from(blocks)).unwrap_or(0);
        for n in 0..blocks {
            let first = from + (n + offset) % blocks * PER_BLOCK;
            let file = File::create(locks.join(first.to_string())).expect("a lock file can be written");
            if file.try_lock().is_ok() && is_free(first) {
                return Self { first, _held: file };
            }
        }
        panic!("no {PER_BLOCK} free ports between {from} and {to}: set REDISNODE_TEST_PORTS=FROM-TO to another range");
    }

    /// The address for the coordinator's own pages, beside the agents' ports.
    pub fn listen(&self) -> String {
        format!("127.0.0.1:{}", self.first + 1000 + PER_BLOCK - 1)
    }
}

fn range() -> (u16, u16) {
    let Ok(text) = std::env::var("REDISNODE_TEST_PORTS") else { return (20000, 20960) };
    text.split_once('-')
        .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)))
        .filter(|(from, to)| from + PER_BLOCK <= *to && *to < 55000)
        .unwrap_or_else(|| panic!("REDISNODE_TEST_PORTS={text}: give two ports, like 20000-20960"))
}

fn is_free(first: u16) -> bool {
    let all = (first..first + PER_BLOCK).flat_map(|port| [port, port + 1000, port + 10000]);
    all.into_iter().all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
}
