//! Who leads, as pure rules over what was seen of the Lease. Clocks of other machines are never compared with our own: a
//! holder is dead when its Lease has not changed for its duration, by our clock since we saw it last.

use std::time::{Duration, Instant};

/// For how long a leader that does not renew is left alone.
pub(super) const DURATION: Duration = Duration::from_secs(15);
/// A leader that could not renew for so long writes nothing any more. Shorter than [`DURATION`]: it stops before another
/// one may begin.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(10);
/// How often a leader renews, and how often the others look.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(2);

/// The Lease as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Who holds it; nobody after a leader has ended in order.
    pub(super) holder: Option<String>,
    /// Differs with each change of the Lease.
    pub(super) version: String,
    /// The holder's promise: it renews within this.
    pub(super) duration: Duration,
}

/// What to do about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Write it with our name: nobody holds it, its holder is dead, or it is ours already.
    Take,
    /// Somebody else leads.
    Follow,
}

/// What a process that does not lead remembers of the Lease.
#[derive(Debug, Default)]
pub(super) struct Watched {
    last: Option<(Seen, Instant)>,
}

impl Watched {
    /// The Lease was read; the answer came at `answered_at`. What to do about it. A new sight counts from the answer, not
    /// from the question: that may have been on its way for as long as the Lease lasts, and the holder renewed it meanwhile
    /// (seen: a process that had been cut off took the Lease of a living leader).
    pub(super) fn saw(&mut self, now: Seen, me: &str, answered_at: Instant) -> Verdict {
        let since = match self.last.take() {
            Some((before, since)) if before == now => since,
            _ => answered_at,
        };
        let verdict = judge(&now, me, answered_at.saturating_duration_since(since));
        self.last = Some((now, since));
        verdict
    }

    /// Who held it when it was read last.
    pub(super) fn holder(&self) -> Option<&str> {
        self.last.as_ref()?.0.holder.as_deref()
    }
}

/// What to do about a Lease that has not changed since `unchanged_for`.
fn judge(seen: &Seen, me: &str, unchanged_for: Duration) -> Verdict {
    match seen.holder.as_deref() {
        None | Some("") => Verdict::Take,
        Some(holder) if holder == me => Verdict::Take,
        Some(_) if unchanged_for >= seen.duration => Verdict::Take,
        Some(_) => Verdict::Follow,
    }
}

/// Whether a leader that renewed `since` may write.
pub(super) fn may_write(since: Duration) -> bool {
    since < GIVE_UP_AFTER
}

/// For how much longer nobody else can begin to lead, seen from a leader that renewed `since`; zero if it may not write.
pub(super) fn lasts(since: Duration) -> Duration {
    if may_write(since) { DURATION.saturating_sub(since).saturating_sub(RENEW_EVERY) } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> Seen {
        Seen { holder: Some(holder.to_owned()), version: "1".to_owned(), duration: DURATION }
    }

    #[test]
    fn a_living_leader_is_followed_and_a_silent_one_is_replaced_after_its_own_duration() {
        assert_eq!(judge(&held_by("a"), "b", Duration::from_secs(14)), Verdict::Follow);
        assert_eq!(judge(&held_by("a"), "b", Duration::from_secs(15)), Verdict::Take);
        let patient = Seen { duration: Duration::from_mins(1), ..held_by("a") };
        assert_eq!(judge(&patient, "b", Duration::from_secs(59)), Verdict::Follow);
    }

    #[test]
    fn a_holder_is_dead_only_when_two_answers_that_far_apart_show_the_same() {
        let mut watched = Watched::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let renewed = |version: &str| Seen { version: version.to_owned(), ..held_by("a") };
        assert_eq!(watched.saw(renewed("1"), "b", at(0)), Verdict::Follow);
        assert_eq!(watched.saw(renewed("2"), "b", at(60)), Verdict::Follow, "it was renewed while nothing was heard");
        assert_eq!(watched.saw(renewed("2"), "b", at(74)), Verdict::Follow);
        assert_eq!(watched.saw(renewed("2"), "b", at(75)), Verdict::Take);
        assert_eq!(watched.holder(), Some("a"));
    }

    #[test]
    fn a_lease_that_nobody_holds_or_that_is_ours_is_taken_at_once() {
        assert_eq!(judge(&held_by(""), "b", Duration::ZERO), Verdict::Take);
        assert_eq!(judge(&held_by("b"), "b", Duration::ZERO), Verdict::Take);
        assert_eq!(judge(&Seen { holder: None, ..held_by("") }, "b", Duration::ZERO), Verdict::Take);
    }

    #[test]
    fn a_leader_stops_before_another_one_may_begin() {
        assert!(may_write(Duration::from_secs(9)));
        assert!(!may_write(GIVE_UP_AFTER));
        const { assert!(GIVE_UP_AFTER.as_secs() + RENEW_EVERY.as_secs() < DURATION.as_secs()) };
    }

    #[test]
    fn what_a_leader_waits_for_ends_before_another_one_may_begin() {
        assert_eq!(lasts(Duration::ZERO), Duration::from_secs(13));
        assert_eq!(lasts(Duration::from_secs(9)), Duration::from_secs(4));
        assert_eq!(lasts(GIVE_UP_AFTER), Duration::ZERO);
    }
}
