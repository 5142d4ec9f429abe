//! A counter that grows by one. Its answers show what was lost and when: a later answer must be greater.

use std::time::Instant;

use crate::workload::audit::{Fault, Finding};
use crate::workload::keys::Kind;

/// The answers so far.
#[derive(Debug, Default)]
pub(in crate::workload) struct Counter {
    issued: u32,
    standing: Vec<(i64, Instant)>,
    lost: Vec<Instant>,
    uncertain: i64,
}

impl Counter {
    pub(super) fn issue(&mut self) -> u32 {
        self.issued += 1;
        self.issued
    }

    pub(super) fn acknowledged(&mut self, answer: Option<i64>, at: Instant) {
        let answer = answer.unwrap_or(0);
        let lost = past(&self.standing, answer - 1);
        self.lost.extend(self.standing.drain(lost..).map(|(_, at)| at));
        self.standing.push((answer, at));
    }

    pub(super) fn uncertain(&mut self) {
        self.uncertain += 1;
    }

    pub(super) fn judge(&self, key: u32, found: Option<i64>) -> Vec<Finding> {
        let finding =
            |fault, acknowledged_at, detail| Finding { fault, kind: Kind::Counter, key, acknowledged_at, detail };
        let found = found.unwrap_or(0);
        let kept = past(&self.standing, found);
        let late = self.standing.iter().skip(kept).map(|(_, at)| at);
        let mut findings: Vec<Finding> = late
            .chain(&self.lost)
            .map(|at| finding(Fault::Lost, Some(*at), format!("an acknowledged step is gone; it is at {found}")))
            .collect();
        let most = i64::try_from(kept).unwrap_or(i64::MAX) + self.uncertain;
        if found > most {
            findings.push(finding(Fault::Doubled, None, format!("is at {found}, at most {most} steps were sent")));
        }
        findings
    }
}

/// How many of the answers are not greater than `number`.
fn past(standing: &[(i64, Instant)], number: i64) -> usize {
    standing.partition_point(|(answer, _)| *answer <= number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(answers: &[i64], uncertain: i64, found: i64) -> Vec<Fault> {
        let mut counter = Counter { uncertain, ..Counter::default() };
        for answer in answers {
            counter.acknowledged(Some(*answer), Instant::now());
        }
        counter.judge(1, Some(found)).into_iter().map(|finding| finding.fault).collect()
    }

    #[test]
    fn lost_and_doubled_steps_are_seen() {
        assert_eq!(faults(&[1, 2, 3], 0, 3), []);
        assert_eq!(faults(&[1, 2, 3], 1, 4), []);
        assert_eq!(faults(&[1, 2, 3], 0, 2), [Fault::Lost]);
        assert_eq!(faults(&[1, 2, 2], 0, 2), [Fault::Lost]);
        assert_eq!(faults(&[1, 2, 4], 0, 4), [Fault::Doubled]);
    }
}
