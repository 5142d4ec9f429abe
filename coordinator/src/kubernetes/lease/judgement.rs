//! Who leads, as pure rules over what was seen of the Lease. Clocks of other machines are never compared with our own: a
//! holder is dead when its Lease has not changed for its duration, by our clock since we saw it last.

use std::time::Duration;

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

/// What to do about a Lease that has not changed since `unchanged_for`.
pub(super) fn judge(seen: &Seen, me: &str, unchanged_for: Duration) -> Verdict {
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
