//! The table that is printed, and the small arithmetic of measuring.

use std::fmt;
use std::time::Duration;

/// Rows: what, on which server, ours, the peer's.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<[String; 4]>);

impl Table {
    pub(crate) fn row(&mut self, what: &str, server: &str, ours: String, peer: String) {
        eprintln!("  {what}: {ours} (peer: {peer})");
        self.0.push([what.to_owned(), server.to_owned(), ours, peer]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["measured", "server", "redisnode", "peer"].map(str::to_owned);
        let widths: [usize; 4] = std::array::from_fn(|column| {
            self.0.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or(0)
        });
        let line = |f: &mut fmt::Formatter<'_>, row: &[String; 4]| {
            for (cell, width) in row.iter().zip(widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")
        };
        line(f, &head)?;
        line(f, &widths.map(|width| "-".repeat(width)))?;
        self.0.iter().try_for_each(|row| line(f, row))
    }
}

/// The middle one.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// `1.23 s`, `87 ms` or `0.9 ms`.
pub(crate) fn time(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    match time {
        _ if ms >= 1000.0 => format!("{:.2} s", ms / 1000.0),
        _ if ms >= 10.0 => format!("{ms:.0} ms"),
        _ => format!("{ms:.1} ms"),
    }
}

/// Thousands a second.
pub(crate) fn rate(count: usize, time: Duration) -> String {
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let per_second = count as f64 / time.as_secs_f64();
    format!("{:.0} k/s", per_second / 1000.0)
}

/// Mebibytes.
pub(crate) fn mib(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let mib = bytes as f64 / 1024.0 / 1024.0;
    format!("{mib:.1} MiB")
}

/// What share of a core a number of clock ticks (100 a second, as Linux shows them to programs) is of a span.
pub(crate) fn share_of_a_core(ticks: u64, of: Duration) -> String {
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let share = ticks as f64 / 100.0 / of.as_secs_f64() * 100.0;
    format!("{share:.2} %")
}
