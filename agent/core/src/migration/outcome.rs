//! What an answer to `MIGRATE` means. REPLACE only where this agent itself saw a time-out, against the same source, of a
//! slot that it had opened itself: otherwise the target's key may be newer than ours, and REPLACE would lose it
//! (measured: a list of 100 became 1).

use redisnode_proto::NodeId;

/// An earlier try to move the same keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The source's id at that time.
    pub source: NodeId,
    /// It ended in a time-out or a broken connection: what arrived is not known.
    pub timed_out: bool,
    /// The slot was open already when this move took it up: the target may have had the keys before, and newer ones.
    pub resumed: bool,
}

/// What follows from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterMigrate {
    /// The keys are at the target (or gone: expired, deleted by a client).
    Moved,
    /// It is not known which keys arrived: try the same ones again, with REPLACE.
    RetryWithReplace,
    /// Try the same ones again as they are, later: the target is busy loading or out of memory for now.
    Later {
        /// The server's words.
        reason: String,
    },
    /// One of these keys cannot be moved, nor can its slot be closed: the others go on, one key a command until it is
    /// known which one it is.
    StopKey {
        /// What happened and what to do, a sentence.
        reason: String,
    },
    /// Nothing can be moved to this target now: stop and say so.
    Stop {
        /// What happened and what to do, a sentence.
        reason: String,
    },
}

/// Whether the next `MIGRATE` of these keys carries REPLACE.
pub fn must_replace(attempts: &[Attempt], source: &NodeId) -> bool {
    attempts.iter().any(|attempt| attempt.timed_out && !attempt.resumed && attempt.source == *source)
}

/// What the server's answer means; `error` is its error text, `None` for `OK` and `NOKEY`.
pub fn after_migrate(error: Option<&str>) -> AfterMigrate {
    let Some(error) = error else { return AfterMigrate::Moved };
    if error.starts_with("IOERR") {
        return AfterMigrate::RetryWithReplace;
    }
    if error.contains("BUSYKEY") {
        let reason = format!(
            "the target already holds a key of this slot, and this agent saw no time-out that would explain it; compare the key on both servers and delete the older one ({error})"
        );
        return AfterMigrate::StopKey { reason };
    }
    if ["LOADING", "OOM", "TRYAGAIN", "MASTERDOWN", "CLUSTERDOWN"].iter().any(|word| error.contains(word)) {
        return AfterMigrate::Later { reason: error.to_owned() };
    }
    if error.contains("DUMP payload version") {
        let reason = format!(
            "the target's server is older than this one and cannot read its keys: update the target first ({error})"
        );
        return AfterMigrate::Stop { reason };
    }
    AfterMigrate::Stop { reason: format!("MIGRATE was refused: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> NodeId {
        String::from(digit).repeat(40).parse().unwrap()
    }

    #[test]
    fn replace_only_after_a_time_out_against_the_same_source() {
        let timed_out = Attempt { source: id('a'), timed_out: true, resumed: false };
        let refused = Attempt { source: id('a'), timed_out: false, resumed: false };
        assert!(!must_replace(&[], &id('a')));
        assert!(!must_replace(std::slice::from_ref(&refused), &id('a')));
        assert!(must_replace(&[refused, timed_out.clone()], &id('a')));
        assert!(!must_replace(std::slice::from_ref(&timed_out), &id('b')), "a new primary's keys may be newer");
        let resumed = Attempt { resumed: true, ..timed_out };
        assert!(!must_replace(&[resumed], &id('a')), "the source may have come back from an old dump meanwhile");
    }

    #[test]
    fn a_busy_key_stops_its_slot_alone() {
        let after =
            after_migrate(Some("ERR Target instance replied with error: BUSYKEY Target key name already exists."));
        assert!(matches!(after, AfterMigrate::StopKey { .. }));
    }

    #[test]
    fn an_unknown_outcome_is_not_taken_for_moved() {
        let after = after_migrate(Some("IOERR error or timeout reading to target instance"));
        assert_eq!(after, AfterMigrate::RetryWithReplace);
    }

    #[test]
    fn a_target_that_is_busy_is_tried_again_and_an_older_one_stops_the_move() {
        for busy in ["LOADING Redis is loading", "OOM command not allowed", "TRYAGAIN Multiple keys", "CLUSTERDOWN x"] {
            let answer = format!("ERR Target instance replied with error: {busy}");
            assert!(matches!(after_migrate(Some(&answer)), AfterMigrate::Later { .. }), "{busy}");
        }
        let older = "ERR Target instance replied with error: ERR DUMP payload version or checksum are wrong";
        let AfterMigrate::Stop { reason } = after_migrate(Some(older)) else { panic!() };
        assert!(reason.contains("update the target first"), "{reason}");
        assert!(matches!(after_migrate(Some("ERR syntax error")), AfterMigrate::Stop { .. }));
        assert_eq!(after_migrate(None), AfterMigrate::Moved);
    }
}
