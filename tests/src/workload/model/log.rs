//! A list or a stream: entries are only appended, each is unique, so a lost one and a doubled one are both seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rand::RngExt;
use rand::rngs::StdRng;

use super::{Answer, What, Write};
use crate::workload::audit::{Fault, Finding};
use crate::workload::keys::Kind;
use crate::workload::value::origin;

/// An entry that was found: the id of a stream's entry, and the value.
#[derive(Clone, Debug)]
pub(in crate::workload) struct Entry {
    pub(in crate::workload) id: Option<String>,
    pub(in crate::workload) value: Vec<u8>,
}

/// What was appended, delivered to the group, and settled by it.
#[derive(Debug, Default)]
pub(in crate::workload) struct Log {
    issued: u32,
    appended: BTreeMap<u32, (Instant, Option<String>)>,
    maybe_appended: BTreeSet<u32>,
    delivered: BTreeMap<String, Instant>,
    maybe_delivered: bool,
    settled: BTreeMap<String, Instant>,
    maybe_settled: BTreeSet<String>,
}

impl Log {
    pub(super) fn next(&mut self, is_stream: bool, rng: &mut StdRng) -> (u32, What) {
        self.issued += 1;
        let open =
            self.delivered.keys().find(|id| !self.settled.contains_key(*id) && !self.maybe_settled.contains(*id));
        let what = match (is_stream, rng.random_range(0..5), open) {
            (true, 0, _) if !self.appended.is_empty() => What::Deliver,
            (true, 1, Some(id)) => What::Settle(id.clone()),
            _ => What::Append,
        };
        (self.issued, what)
    }

    pub(super) fn acknowledged(&mut self, write: &Write, answer: &Answer, at: Instant) {
        match &write.what {
            What::Deliver => self.delivered.extend(answer.ids.iter().map(|id| (id.clone(), at))),
            What::Settle(id) => {
                self.settled.insert(id.clone(), at);
            }
            _ => {
                self.appended.insert(write.seq, (at, answer.ids.first().cloned()));
            }
        }
    }

    pub(super) fn uncertain(&mut self, write: &Write) {
        match &write.what {
            What::Deliver => self.maybe_delivered = true,
            What::Settle(id) => {
                self.maybe_settled.insert(id.clone());
            }
            _ => {
                self.maybe_appended.insert(write.seq);
            }
        }
    }

    pub(super) fn judge(&self, key: u32, kind: Kind, entries: &[Entry], pending: &[String]) -> Vec<Finding> {
        let finding = |fault, acknowledged_at, detail| Finding { fault, kind, key, acknowledged_at, detail };
        let mut findings = Vec::new();
        let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
        let mut last = 0;
        for entry in entries {
            let Some(seq) = origin(key, 0, kind.value_len(), &entry.value).filter(|seq| self.knows(*seq)) else {
                findings.push(finding(Fault::NeverWritten, None, format!("has an entry that nobody wrote: {entry:?}")));
                continue;
            };
            *seen.entry(seq).or_default() += 1;
            let Some((at, _)) = self.appended.get(&seq) else { continue };
            if seq < last {
                findings.push(finding(Fault::Disordered, Some(*at), format!("has entry {seq} after {last}")));
            }
            last = last.max(seq);
        }
        for (seq, at, id, there) in self.under_other_ids(key, kind, entries) {
            findings.push(finding(Fault::Lost, Some(at), format!("entry {seq} is {there:?}, was {id:?}")));
        }
        for (seq, (at, _)) in self.appended.iter().filter(|(seq, _)| !seen.contains_key(seq)) {
            findings.push(finding(Fault::Lost, Some(*at), format!("entry {seq} is gone")));
        }
        for (seq, times) in seen.iter().filter(|(_, times)| **times > 1) {
            findings.push(finding(Fault::Doubled, None, format!("entry {seq} is there {times} times")));
        }
        findings.extend(self.judge_group(pending).into_iter().map(|(fault, at, detail)| finding(fault, at, detail)));
        findings
    }

    /// Acknowledged entries that are there, but not under the id that was acknowledged. One that a client sent again after
    /// its connection broke may be there under another id as well.
    fn under_other_ids<'a>(
        &'a self,
        key: u32,
        kind: Kind,
        entries: &'a [Entry],
    ) -> impl Iterator<Item = (u32, Instant, &'a Option<String>, Vec<&'a Option<String>>)> {
        self.appended.iter().filter_map(move |(seq, (at, id))| {
            let of_seq = entries.iter().filter(|entry| origin(key, 0, kind.value_len(), &entry.value) == Some(*seq));
            let there: Vec<_> = of_seq.map(|entry| &entry.id).collect();
            (!there.is_empty() && !there.contains(&id)).then_some((*seq, *at, id, there))
        })
    }

    fn knows(&self, seq: u32) -> bool {
        self.appended.contains_key(&seq) || self.maybe_appended.contains(&seq)
    }

    fn judge_group(&self, pending: &[String]) -> Vec<(Fault, Option<Instant>, String)> {
        let mut faults = Vec::new();
        let pending: BTreeSet<&String> = pending.iter().collect();
        for (id, at) in &self.delivered {
            match (self.settled.get(id), pending.contains(id)) {
                (Some(at), true) => {
                    faults.push((Fault::Lost, Some(*at), format!("{id} was settled and is pending again")));
                }
                (None, false) if !self.maybe_settled.contains(id) => {
                    faults.push((Fault::Lost, Some(*at), format!("{id} was delivered and is not pending")));
                }
                _ => {}
            }
        }
        for id in pending.into_iter().filter(|id| !self.delivered.contains_key(*id) && !self.maybe_delivered) {
            faults.push((Fault::Doubled, None, format!("{id} is pending, and was delivered to nobody")));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::value::value;

    fn entry(seq: u32) -> Entry {
        Entry { id: None, value: value(1, 0, seq, 100) }
    }

    fn log(appended: &[u32], uncertain: &[u32]) -> Log {
        Log {
            appended: appended.iter().map(|seq| (*seq, (Instant::now(), None))).collect(),
            maybe_appended: uncertain.iter().copied().collect(),
            ..Log::default()
        }
    }

    fn faults(log: &Log, found: &[Entry]) -> Vec<Fault> {
        log.judge(1, Kind::List, found, &[]).into_iter().map(|finding| finding.fault).collect()
    }

    #[test]
    fn lost_doubled_foreign_and_swapped_entries_are_seen() {
        let log = log(&[1, 2], &[3]);
        assert_eq!(faults(&log, &[entry(1), entry(2)]), []);
        assert_eq!(faults(&log, &[entry(1), entry(2), entry(3)]), []);
        assert_eq!(faults(&log, &[entry(2)]), [Fault::Lost]);
        assert_eq!(faults(&log, &[entry(1), entry(2), entry(2)]), [Fault::Doubled]);
        assert_eq!(faults(&log, &[entry(1), entry(2), entry(4)]), [Fault::NeverWritten]);
        assert_eq!(faults(&log, &[entry(2), entry(1)]), [Fault::Disordered]);
    }

    #[test]
    fn an_entry_that_a_client_sent_twice_is_not_lost_as_long_as_one_has_the_acknowledged_id() {
        let mut log = log(&[1], &[]);
        log.appended.insert(1, (Instant::now(), Some("2-0".to_owned())));
        let under = |id: &str| Entry { id: Some(id.to_owned()), ..entry(1) };
        assert_eq!(faults(&log, &[under("2-0")]), []);
        assert_eq!(faults(&log, &[under("1-0"), under("2-0")]), [Fault::Doubled]);
        assert_eq!(faults(&log, &[under("1-0")]), [Fault::Lost]);
    }

    #[test]
    fn the_group_keeps_what_it_was_told() {
        let mut log = Log::default();
        log.delivered.insert("1-1".to_owned(), Instant::now());
        log.delivered.insert("2-1".to_owned(), Instant::now());
        log.settled.insert("2-1".to_owned(), Instant::now());
        let group =
            |pending: &[&str]| log.judge_group(&pending.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>()).len();
        assert_eq!(group(&["1-1"]), 0);
        assert_eq!(group(&[]), 1);
        assert_eq!(group(&["1-1", "2-1"]), 1);
        assert_eq!(group(&["1-1", "3-1"]), 1);
    }
}
