//! What the audit found, for people and for assertions.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use super::keys::Kind;

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An acknowledged write is gone.
    Lost,
    /// There is something that nobody wrote.
    NeverWritten,
    /// It expires at another time, or should have expired.
    Ttl,
    /// A write was applied twice.
    Doubled,
    /// Entries are in another order.
    Disordered,
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What.
    pub fault: Fault,
    /// In a key of which kind.
    pub kind: Kind,
    /// The key's number.
    pub key: u32,
    /// When the first write that is lost was acknowledged, if that can be said.
    pub acknowledged_at: Option<Instant>,
    /// For people.
    pub detail: String,
}

/// All that is wrong.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// How many keys were read.
    pub keys: usize,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Keys that could not be read, and why. Such an audit says nothing of them.
    pub unread: Vec<String>,
}

impl Audit {
    /// How many findings of a kind.
    pub fn count(&self, fault: Fault) -> usize {
        self.findings.iter().filter(|finding| finding.fault == fault).count()
    }

    /// Panics unless everything was read and nothing is wrong.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.findings.is_empty() && self.unread.is_empty(), "{self}");
    }

    /// Panics unless everything was read and nothing is wrong but this.
    #[track_caller]
    pub fn assert_clean_but(&self, excused: Fault) {
        self.only(|finding| finding.fault != excused).assert_clean();
    }

    /// The findings that count.
    #[must_use]
    pub fn only(&self, counts: impl Fn(&Finding) -> bool) -> Self {
        let findings = self.findings.iter().filter(|finding| counts(finding)).cloned().collect();
        Self { keys: self.keys, findings, unread: self.unread.clone() }
    }

    /// Panics unless everything was read and nothing is wrong but what was acknowledged when `excused` says, as just
    /// before a kill -9. A client that sends a write again after its connection broke doubles it by itself, so that is
    /// not held against the servers.
    #[track_caller]
    pub fn assert_kept_but(&self, excused: impl Fn(Instant) -> bool) {
        let counts = |finding: &Finding| match finding.fault {
            Fault::Doubled | Fault::Disordered => false,
            Fault::Lost | Fault::NeverWritten | Fault::Ttl => !finding.acknowledged_at.is_some_and(&excused),
        };
        self.only(counts).assert_clean();
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for finding in &self.findings {
            *counts.entry(format!("{:?} {:?}", finding.fault, finding.kind)).or_default() += 1;
        }
        write!(f, "{} keys read, {} could not be; wrong: {counts:?}", self.keys, self.unread.len())?;
        for finding in self.findings.iter().take(15) {
            let ago =
                finding.acknowledged_at.map(|at| format!(", acknowledged {:?} ago", at.elapsed())).unwrap_or_default();
            write!(f, "\n  {:?} {:?}:{}: {}{ago}", finding.fault, finding.kind, finding.key, finding.detail)?;
        }
        for unread in self.unread.iter().take(5) {
            write!(f, "\n  unread: {unread}")?;
        }
        Ok(())
    }
}
