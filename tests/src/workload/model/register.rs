//! An element that is overwritten: a string, a field, a member. The newest acknowledged write must be what is found.

use std::collections::BTreeMap;
use std::time::Instant;

use super::What;
use crate::workload::audit::{Fault, Finding};
use crate::workload::keys::Kind;
use crate::workload::value::origin;

/// How far an expiry may be off: MIGRATE sends the time that is left, not the time of day (ms).
const TTL_TOLERANCE_MS: i64 = 2_000;

/// What a write leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::workload) enum Effect {
    /// The element, until then (Unix, ms).
    Present(Option<i64>),
    /// Nothing.
    Absent,
}

/// The writes to one element.
#[derive(Debug, Default)]
pub(in crate::workload) struct Register {
    issued: u32,
    acknowledged: Vec<(u32, Effect, Instant)>,
    uncertain: Option<(u32, Effect)>,
}

impl Effect {
    pub(super) fn of(what: &What) -> Self {
        match what {
            What::Put(expires_at) => Self::Present(*expires_at),
            _ => Self::Absent,
        }
    }

    /// Whether nothing may be there at this time, and whether something may.
    fn allows(self, now_ms: i64) -> (bool, bool) {
        match self {
            Self::Absent => (true, false),
            Self::Present(None) => (false, true),
            Self::Present(Some(at)) => (now_ms >= at - TTL_TOLERANCE_MS, now_ms <= at + TTL_TOLERANCE_MS),
        }
    }
}

impl Register {
    /// The number of the next write; `None` after one of unknown outcome.
    pub(super) fn issue(&mut self) -> Option<u32> {
        if self.uncertain.is_some() {
            return None;
        }
        self.issued += 1;
        Some(self.issued)
    }

    /// The write that left the element there, if it is there.
    pub(super) fn present(&self) -> Option<u32> {
        self.acknowledged.last().filter(|(_, effect, _)| *effect != Effect::Absent).map(|(seq, _, _)| *seq)
    }

    pub(in crate::workload) fn acknowledged(&mut self, seq: u32, effect: Effect, at: Instant) {
        self.issued = self.issued.max(seq);
        self.acknowledged.push((seq, effect, at));
    }

    pub(in crate::workload) fn uncertain(&mut self, seq: u32, effect: Effect) {
        self.issued = self.issued.max(seq);
        self.uncertain = Some((seq, effect));
    }

    fn judge_absent(&self, now_ms: i64) -> Option<(Fault, Option<Instant>, String)> {
        if self.uncertain.is_some_and(|(_, effect)| effect.allows(now_ms).0) {
            return None;
        }
        let (seq, effect, _) = self.acknowledged.last()?;
        if effect.allows(now_ms).0 {
            return None;
        }
        let removed = self.acknowledged.iter().rposition(|(_, effect, _)| *effect == Effect::Absent);
        let first = self.acknowledged.get(removed.map_or(0, |at| at + 1)).map(|(_, _, at)| *at);
        Some((Fault::Lost, first, format!("gone; write {seq} was acknowledged")))
    }

    fn judge_present(&self, seq: Option<u32>, ttl: Ttl, now_ms: i64) -> Option<(Fault, Option<Instant>, String)> {
        let Some(seq) = seq else { return Some((Fault::NeverWritten, None, "holds what nobody wrote".to_owned())) };
        let later = self.acknowledged.iter().find(|(later, _, _)| *later > seq);
        let known = self.acknowledged.iter().map(|(seq, effect, _)| (*seq, *effect)).chain(self.uncertain);
        let Some((_, Effect::Present(expires_at))) = known.into_iter().find(|(known, _)| *known == seq) else {
            return Some((Fault::NeverWritten, None, format!("holds write {seq}, which was never sent")));
        };
        if let Some((later, _, at)) = later {
            return Some((Fault::Lost, Some(*at), format!("holds write {seq}; write {later} was acknowledged")));
        }
        if !Effect::Present(expires_at).allows(now_ms).1 {
            return Some((Fault::Ttl, None, format!("write {seq} should have expired")));
        }
        ttl.differs(expires_at, now_ms).then(|| (Fault::Ttl, None, format!("expires {ttl:?}, should {expires_at:?}")))
    }
}

/// The expiry that was found, where there can be one.
#[derive(Clone, Copy, Debug)]
enum Ttl {
    NotAsked,
    At(Option<i64>),
}

impl Ttl {
    fn differs(self, wanted: Option<i64>, now_ms: i64) -> bool {
        match (self, wanted) {
            // It expired after its value was read and before its expiry was asked for.
            (Self::At(None), Some(wanted)) => wanted > now_ms,
            (Self::NotAsked, _) | (Self::At(None), None) => false,
            (Self::At(Some(found)), Some(wanted)) => (found - wanted).abs() > TTL_TOLERANCE_MS,
            (Self::At(_), _) => true,
        }
    }
}

pub(super) fn judge(
    id: u32,
    kind: Kind,
    registers: &BTreeMap<u32, Register>,
    found: &BTreeMap<u32, Vec<u8>>,
    expires_at: Option<i64>,
    now_ms: i64,
) -> Vec<Finding> {
    let ttl = if kind.is_text() { Ttl::At(expires_at) } else { Ttl::NotAsked };
    let unknown = Register::default();
    let mut findings = Vec::new();
    let elements = registers.keys().chain(found.keys().filter(|element| !registers.contains_key(element)));
    for element in elements {
        let register = registers.get(element).unwrap_or(&unknown);
        let fault = match found.get(element) {
            Some(value) => register.judge_present(sequence(id, *element, kind, value), ttl, now_ms),
            None => register.judge_absent(now_ms),
        };
        findings.extend(fault.map(|(fault, acknowledged_at, detail)| Finding {
            fault,
            kind,
            key: id,
            acknowledged_at,
            detail: format!("element {element} {detail}"),
        }));
    }
    findings
}

/// A sorted set keeps the number of the write as the score, a set in the member; all else in the value.
fn sequence(id: u32, element: u32, kind: Kind, value: &[u8]) -> Option<u32> {
    match kind {
        Kind::Set | Kind::SortedSet => std::str::from_utf8(value).ok()?.parse().ok(),
        _ => origin(id, element, kind.value_len(), value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn written(effects: &[Effect]) -> Register {
        let mut register = Register::default();
        for (n, effect) in effects.iter().enumerate() {
            register.acknowledged(u32::try_from(n).unwrap() + 1, *effect, Instant::now());
        }
        register
    }

    fn fault(found: Option<(Fault, Option<Instant>, String)>) -> Option<Fault> {
        found.map(|(fault, _, _)| fault)
    }

    #[test]
    fn an_older_write_or_nothing_is_a_loss() {
        let register = written(&[Effect::Present(None), Effect::Present(None)]);
        assert_eq!(fault(register.judge_present(Some(2), Ttl::At(None), NOW)), None);
        assert_eq!(fault(register.judge_present(Some(1), Ttl::At(None), NOW)), Some(Fault::Lost));
        assert_eq!(fault(register.judge_present(Some(3), Ttl::At(None), NOW)), Some(Fault::NeverWritten));
        assert_eq!(fault(register.judge_present(None, Ttl::At(None), NOW)), Some(Fault::NeverWritten));
        assert_eq!(fault(register.judge_absent(NOW)), Some(Fault::Lost));
    }

    #[test]
    fn what_was_removed_may_not_come_back() {
        let register = written(&[Effect::Present(None), Effect::Absent]);
        assert_eq!(fault(register.judge_absent(NOW)), None);
        assert_eq!(fault(register.judge_present(Some(1), Ttl::At(None), NOW)), Some(Fault::Lost));
    }

    #[test]
    fn an_uncertain_write_may_be_there_or_not() {
        let mut register = written(&[Effect::Present(None)]);
        register.uncertain(2, Effect::Absent);
        assert_eq!(fault(register.judge_absent(NOW)), None);
        assert_eq!(fault(register.judge_present(Some(1), Ttl::At(None), NOW)), None);
        assert_eq!(register.issue(), None);
    }

    #[test]
    fn a_time_to_live_must_be_kept_and_obeyed() {
        let soon = written(&[Effect::Present(Some(NOW + 60_000))]);
        assert_eq!(fault(soon.judge_absent(NOW)), Some(Fault::Lost));
        assert_eq!(fault(soon.judge_absent(NOW + 70_000)), None);
        assert_eq!(fault(soon.judge_present(Some(1), Ttl::At(Some(NOW + 60_500)), NOW)), None);
        assert_eq!(fault(soon.judge_present(Some(1), Ttl::At(None), NOW)), Some(Fault::Ttl));
        assert_eq!(fault(soon.judge_present(Some(1), Ttl::At(Some(NOW + 60_000)), NOW + 70_000)), Some(Fault::Ttl));
    }
}
