//! Random histories of the simulator: whatever breaks, no acknowledged write is lost that the rules can keep, and the
//! cluster becomes what was asked for. `REDISNODE_SIM_SEED=n` replays one history, `REDISNODE_SIM_SEEDS=n` runs so many.
//! `REDISNODE_SIM_TRACE=n` puts every decision of node n into the event log, of which `REDISNODE_SIM_LOG=n` lines are kept.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use redisnode_tests::sim::{Outcome, random_history};

/// The first seed; the others follow it.
const FIRST: u64 = 1;
/// How many histories a plain run has.
const HISTORIES: u64 = 2000;
/// Broken histories that are told in full.
const TOLD: usize = 3;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
}

/// Runs `count` histories on all cores; the broken ones, in order of their seeds.
fn broken(first: u64, count: u64) -> Vec<Outcome> {
    let next = AtomicU64::new(first);
    let broken = Mutex::new(Vec::new());
    let (acknowledged, excused) = (AtomicU64::new(0), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let outcome = random_history(seed, None);
                    acknowledged.fetch_add(outcome.acknowledged as u64, Ordering::Relaxed);
                    excused.fetch_add(outcome.excused as u64, Ordering::Relaxed);
                    if outcome.broken.is_some() {
                        broken.lock().unwrap().push(outcome);
                    }
                }
            });
        }
    });
    println!(
        "{count} histories, {} acknowledged writes, {} of them with a documented loss",
        acknowledged.into_inner(),
        excused.into_inner()
    );
    let mut broken = broken.into_inner().unwrap();
    broken.sort_by_key(|outcome| outcome.seed);
    broken
}

#[test]
fn random_histories_break_no_invariant() {
    if let Some(seed) = number("REDISNODE_SIM_SEED") {
        let outcome = random_history(seed, None);
        println!("{}", outcome.story());
        assert!(outcome.broken.is_none(), "seed {seed} breaks an invariant, see its story above");
        return;
    }
    let count = number("REDISNODE_SIM_SEEDS").unwrap_or(HISTORIES);
    let broken = broken(FIRST, count);
    for outcome in broken.iter().take(TOLD) {
        println!("{}", outcome.story());
    }
    let seeds: Vec<String> = broken
        .iter()
        .map(|outcome| {
            let (invariant, detail) = outcome.broken.clone().unwrap_or_default();
            format!("  seed {} ({}): {invariant}: {detail}", outcome.seed, outcome.title)
        })
        .collect();
    assert!(broken.is_empty(), "{} of {count} histories break an invariant:\n{}", broken.len(), seeds.join("\n"));
}

#[test]
fn a_history_replays_from_its_seed() {
    let (once, again) = (random_history(7, None), random_history(7, None));
    assert_eq!(once.log, again.log);
    assert_eq!(once.acknowledged, again.acknowledged);
    assert!(once.acknowledged > 0);
}
