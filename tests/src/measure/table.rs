//! Tables that are printed, and the small arithmetic of measuring.

use std::fmt;
use std::time::Duration;

/// A table with a head, printed as Markdown with columns of even width.
#[derive(Debug)]
pub struct Table<const COLUMNS: usize> {
    head: [&'static str; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// An empty one.
    pub fn new(head: [&'static str; COLUMNS]) -> Self {
        Self { head, rows: Vec::new() }
    }

    /// Adds a row at the end.
    pub fn push(&mut self, row: [String; COLUMNS]) {
        self.rows.push(row);
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.head.map(str::to_owned);
        let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
            self.rows.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or(0)
        });
        let line = |f: &mut fmt::Formatter<'_>, row: &[String; COLUMNS]| {
            for (cell, width) in row.iter().zip(widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")
        };
        line(f, &head)?;
        line(f, &widths.map(|width| "-".repeat(width)))?;
        self.rows.iter().try_for_each(|row| line(f, row))
    }
}

/// The middle one.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// `1.23 s`, `87 ms` or `0.9 ms`.
pub fn time(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    match time {
        _ if ms >= 1000.0 => format!("{:.2} s", ms / 1000.0),
        _ if ms >= 10.0 => format!("{ms:.0} ms"),
        _ => format!("{ms:.1} ms"),
    }
}

/// How many there were in each second.
#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
pub fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// Thousands a second.
pub fn rate(count: usize, time: Duration) -> String {
    format!("{:.0} k/s", per_second(count as u64, time) / 1000.0)
}

/// Mebibytes.
pub fn mib(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let mib = bytes as f64 / 1024.0 / 1024.0;
    format!("{mib:.1} MiB")
}

/// What share of a core a number of clock ticks (100 a second, as Linux shows them to programs) is of a span.
pub fn share_of_a_core(ticks: u64, of: Duration) -> String {
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let share = ticks as f64 / 100.0 / of.as_secs_f64() * 100.0;
    format!("{share:.2} %")
}
