//! Moves of many slots in one piece, done by the servers themselves: how large a piece is, how long it may take, what the
//! servers' words for it mean, and who owns the slots in the end.

use redisnode_proto::topology::View;
use redisnode_proto::{ConfigEpoch, Millis, NodeId, Slot, SlotSet};

use super::group::{GroupLimit, group};

/// What one piece may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceLimit {
    /// Keys.
    pub keys: u64,
    /// Bytes in the source's memory.
    pub bytes: u64,
}

/// The first of these slots, each with how many keys it holds, that make one piece; `key_bytes` is the size of a key as far
/// as it is known.
pub fn piece(candidates: &[(Slot, u64)], key_bytes: u64, limit: PieceLimit) -> (SlotSet, u64) {
    let keys = limit.keys.min(limit.bytes / key_bytes.max(1)).max(1);
    let chosen: SlotSet =
        group(candidates.iter().copied(), GroupLimit { slots: usize::MAX, keys }).into_iter().collect();
    let held = candidates.iter().filter(|(slot, _)| chosen.contains(*slot)).map(|(_, keys)| keys).sum();
    (chosen, held)
}

/// Keys a second and bytes a second that any pair of servers should reach: below it, something is wrong.
const SLOWEST: (u64, u64) = (2_000, 2_000_000);
/// Even an empty piece needs the servers to agree.
const AT_LEAST: Millis = Millis(20_000);

/// How long a piece may take before it is ended. Servers may wait or try again for ever (Valkey in `waiting-to-pause`
/// under steady writes, Redis in `failed`: both from their source).
pub fn deadline(keys: u64, key_bytes: u64) -> Millis {
    let by_keys = keys.saturating_mul(1000) / SLOWEST.0;
    let by_bytes = keys.saturating_mul(key_bytes).saturating_mul(1000) / SLOWEST.1;
    Millis(AT_LEAST.0.saturating_add(by_keys.max(by_bytes)))
}

/// How far the servers say that a piece is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Under way.
    Running,
    /// It waits for its turn: another child of the server's is at work.
    Queued,
    /// It is over; the servers' words if it did not end well.
    Over(Option<String>),
    /// It was ended together with a job of another pair, which is nobody's failure: it is begun again.
    Swept,
}

/// The phase of an export as `CLUSTER GETSLOTMIGRATIONS` shows it. What this reader does not know is under way: only the
/// servers' own last words end a job. `swept` says whether all exports of the server were cancelled since this one began, for
/// the sake of another pair: the server cannot cancel one alone.
pub fn export_phase(state: &str, message: &str, swept: bool) -> Phase {
    match state {
        "cancelled" if swept => Phase::Swept,
        "success" => Phase::Over(None),
        "failed" | "cancelled" if message.is_empty() => Phase::Over(Some(format!("the server says {state}"))),
        "failed" | "cancelled" => Phase::Over(Some(message.to_owned())),
        "waiting-to-snapshot" => Phase::Queued,
        _ => Phase::Running,
    }
}

/// The phase of an import as `CLUSTER MIGRATION STATUS` shows it. One that has failed is tried again by the server without
/// end: to us it is over, and has to be cancelled.
pub fn import_phase(state: &str, last_error: &str, retries: u64) -> Phase {
    let error = || if last_error.is_empty() { format!("the server says {state}") } else { last_error.to_owned() };
    match state {
        "completed" => Phase::Over(None),
        "canceled" | "failed" => Phase::Over(Some(error())),
        _ if retries > 0 => Phase::Over(Some(error())),
        _ => Phase::Running,
    }
}

/// Whether exports in these states may be cancelled: the server's command ends all of them. Once writes are held the target
/// may take the slots at any moment, and a job that is cancelled then lets writes flow at the source that are lost when the
/// target's claim comes (from the server's source; simulated). Such a job is over within seconds by itself.
pub fn may_cancel<'a>(states: impl IntoIterator<Item = &'a str>) -> bool {
    states.into_iter().all(|state| !matches!(state, "failover-paused" | "failover-granted"))
}

/// Whether a task of `CLUSTER MIGRATION STATUS` still does something, or may.
pub fn is_live(state: &str) -> bool {
    !matches!(state, "completed" | "canceled")
}

/// Whether a task of `CLUSTER MIGRATION STATUS` is one that this server gave slots in and that has failed for good: the
/// server keeps it until its target comes back, which a target that was flushed or restarted does not, and opens none of its
/// slots meanwhile ("currently in an active atomic slot migration", measured on 8.6). It holds no writes any more.
pub fn is_left_behind(operation: &str, state: &str) -> bool {
    operation == "migrate" && state == "failed"
}

/// Whether a server refuses to begin because another move is at work there, which ends by itself. Whatever else it says may
/// last: a slot that an earlier move has marked stays marked as long as this one claims it, and is waited for in vain
/// (simulated).
pub fn is_busy(refusal: &str) -> bool {
    refusal.contains("already in progress")
}

/// Whether the target knows the source's epoch. It takes the slots under the epoch after the highest that it knows, and
/// under its own if that is the highest: with an older one of the source, a claim of the source that is still on its way
/// wins the slots back, after the source has dropped their keys (simulated).
pub fn knows_epoch(target: &View, source: &NodeId, epoch: ConfigEpoch) -> bool {
    target.node(source).is_some_and(|node| node.epoch >= epoch)
}

/// Of these slots, those that have surely arrived: the target shows them as its own, and the source does not. Whatever a
/// job says, this is what counts.
pub fn arrived(slots: &SlotSet, source: &View, target: &View, target_id: &NodeId) -> SlotSet {
    let mine = source.myself().map(|me| me.slots.clone()).unwrap_or_default();
    let theirs = target.myself().filter(|me| me.id == *target_id).map(|me| me.slots.clone()).unwrap_or_default();
    slots.intersection(&theirs).difference(&mine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(keys: &[u64]) -> Vec<(Slot, u64)> {
        (0u16..).map(|n| Slot::try_from(n).unwrap()).zip(keys.iter().copied()).collect()
    }

    #[test]
    fn a_piece_ends_by_keys_or_by_bytes_and_has_one_slot_at_least() {
        let limit = PieceLimit { keys: 100, bytes: 10_000 };
        assert_eq!(piece(&slots(&[60, 60, 60]), 1, limit).1, 120);
        assert_eq!(piece(&slots(&[60, 60, 60]), 200, limit).1, 60);
        assert_eq!(piece(&slots(&[5_000, 1]), 1_000_000, limit).1, 5_000, "a slot is never split");
        assert_eq!(piece(&slots(&[0; 300]), 0, limit).0.len(), 300);
    }

    #[test]
    fn a_larger_piece_may_take_longer_and_none_for_ever() {
        assert_eq!(deadline(0, 0), AT_LEAST);
        assert!(deadline(1_000_000, 100) > deadline(1_000, 100));
        assert!(deadline(1, 1 << 30) > Millis(500_000), "one huge key");
        assert!(deadline(u64::MAX, u64::MAX) > AT_LEAST);
    }

    #[test]
    fn nothing_is_cancelled_while_a_target_may_take_slots() {
        assert!(may_cancel(["replicating", "waiting-to-pause", "success"]));
        assert!(may_cancel([]));
        assert!(!may_cancel(["snapshotting", "failover-paused"]));
        assert!(!may_cancel(["failover-granted", "failed"]));
    }

    #[test]
    fn only_another_move_is_waited_for_without_end() {
        assert!(is_busy("ERR another ASM task is already in progress"));
        assert!(!is_busy("ERR all slot states must be STABLE"));
    }

    #[test]
    fn only_the_servers_last_words_end_a_job() {
        for state in ["connecting", "snapshotting", "failover-granted", "a state of tomorrow"] {
            assert_eq!(export_phase(state, "", false), Phase::Running, "{state}");
        }
        assert_eq!(export_phase("waiting-to-snapshot", "", false), Phase::Queued);
        assert_eq!(export_phase("success", "", true), Phase::Over(None));
        assert_eq!(export_phase("failed", "Data was flushed", true), Phase::Over(Some("Data was flushed".into())));
    }

    #[test]
    fn a_job_that_was_cancelled_for_another_pairs_sake_has_not_failed() {
        assert_eq!(export_phase("cancelled", "", true), Phase::Swept);
        assert_eq!(export_phase("cancelled", "", false), Phase::Over(Some("the server says cancelled".into())));
        assert_eq!(export_phase("failed", "no", true), Phase::Over(Some("no".into())), "it failed before");
    }

    #[test]
    fn a_task_that_is_tried_again_is_over_though_the_server_does_not_say_so() {
        assert_eq!(import_phase("accumulate-buffer", "", 0), Phase::Running);
        assert_eq!(import_phase("failed", "no", 0), Phase::Over(Some("no".into())));
        assert_eq!(import_phase("connecting", "no", 1), Phase::Over(Some("no".into())));
        assert_eq!(import_phase("completed", "", 0), Phase::Over(None));
        assert!(is_live("failed") && !is_live("canceled"));
    }

    #[test]
    fn only_a_failed_task_of_the_source_keeps_slots_shut_for_ever() {
        assert!(is_left_behind("migrate", "failed"));
        assert!(!is_left_behind("import", "failed"), "its agent follows it");
        assert!(!is_left_behind("migrate", "stream-eof"), "the target may take the slots at any moment");
    }
}
