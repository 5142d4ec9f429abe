//! Progress of moving slots, as a bar and as a sentence. Pure.

use redisnode_proto::figures::tenths;
use redisnode_proto::status::Progress;

pub use redisnode_proto::figures::bytes;

/// Cells of the bar.
const CELLS: u32 = 24;

/// The bar.
pub fn bar(progress: &Progress) -> String {
    let all = progress.slots_done.saturating_add(progress.slots_left);
    let full = progress.slots_done.saturating_mul(CELLS).checked_div(all).unwrap_or(0);
    let cells: String = (0..CELLS).map(|cell| if cell < full { '#' } else { '-' }).collect();
    format!("[{cells}]")
}

/// The sentence.
pub fn sentence(summary: &str, progress: &Progress) -> String {
    let all = progress.slots_done.saturating_add(progress.slots_left);
    let mut parts = vec![format!("{} of {all} slots", progress.slots_done)];
    let keys = match progress.keys_left {
        Some(left) => {
            format!("{} of {} keys", count(progress.keys_done), count(progress.keys_done.saturating_add(left)))
        }
        None => format!("{} keys", count(progress.keys_done)),
    };
    parts.extend([keys, bytes(progress.bytes_done)]);
    parts.extend(progress.keys_per_second.map(|rate| format!("{} keys/s", count(rate))));
    parts.extend(progress.seconds_left.map(|left| format!("{} left", duration(left))));
    format!("{summary}: {}", parts.join(", "))
}

/// A number, shortened from ten thousand on.
pub fn count(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..1_000_000 => format!("{} k", tenths(number, 1000)),
        _ => format!("{} M", tenths(number, 1_000_000)),
    }
}

/// Seconds, as people say them.
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        Progress {
            slots_left: 300,
            slots_done: 100,
            keys_done: 12_345,
            keys_left: Some(7655),
            bytes_done: 3 << 19,
            keys_per_second: Some(5000),
            seconds_left: Some(61),
        }
    }

    #[test]
    fn progress_is_a_bar_and_a_sentence() {
        assert_eq!(bar(&progress()), "[######------------------]");
        assert_eq!(
            sentence("Rebalancing", &progress()),
            "Rebalancing: 100 of 400 slots, 12.3 k of 20.0 k keys, 1.5 MiB, 5000 keys/s, 1 min 1 s left"
        );
    }

    #[test]
    fn what_is_not_known_is_not_shown() {
        let progress = Progress { slots_left: 2, ..Progress::default() };
        assert_eq!(sentence("Scaling", &progress), "Scaling: 0 of 2 slots, 0 keys, 0 B");
        assert_eq!(bar(&Progress::default()), format!("[{}]", "-".repeat(24)));
    }
}
