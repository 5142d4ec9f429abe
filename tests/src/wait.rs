//! Waiting for a state with a deadline. There is no other waiting in the tests.

use std::time::{Duration, Instant};

/// How often a probe is asked.
const EVERY: Duration = Duration::from_millis(20);

/// Asks `probe` until it says yes, and returns its answer. Panics with `what` and the probe's last reason when `within`
/// has passed.
#[track_caller]
pub fn wait_until<T>(within: Duration, what: &str, mut probe: impl FnMut() -> Result<T, String>) -> T {
    match poll(within, &mut probe) {
        Ok(answer) => answer,
        Err(why) => panic!("{what}: not within {within:?}: {why}"),
    }
}

/// As [`wait_until`], but the last reason is returned.
pub fn poll<T>(within: Duration, mut probe: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let end = Instant::now() + within;
    loop {
        let why = match probe() {
            Ok(answer) => return Ok(answer),
            Err(why) => why,
        };
        if Instant::now() >= end {
            return Err(why);
        }
        std::thread::sleep(EVERY);
    }
}

/// `Ok` if `holds`, else `why`. For probes of one condition.
pub fn check(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}
