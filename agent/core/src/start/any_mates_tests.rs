//! Whatever the mates say, a start never wipes what one of them holds, and nobody is told beside the promised one.

use proptest::prelude::*;
use redisnode_proto::ledger::CleanStop;
use redisnode_proto::report::{Running, ServerState};
use redisnode_proto::topology::Role;
use redisnode_proto::{Millis, Offset};

use super::StartAct;
use super::check_tests::{Check, SINCE, promotes};
use super::promise_tests::promise;
use crate::situation::{Answer, Peer};
use crate::testing::{dead, heard, id, layout, line, name, report, running, view};

/// A mate in any state.
fn any_mate(node: usize) -> impl Strategy<Value = Option<Peer>> {
    (0u8..7, any::<bool>(), any::<bool>(), 0u64..3, 995u64..1005, any::<bool>(), any::<bool>()).prop_map(
        move |(state, stopping, synced, keys, offset, follows, same_history)| {
            let layout = layout(1, 2);
            let mut server = running(view(node, &layout));
            (server.synced_since_start, server.keys, server.replication.offset) = (synced, keys, Offset(offset));
            if !follows {
                line(&mut server.view, node).primary = Some(id(9));
            }
            if !same_history {
                server.replication.replication_id = "another".into();
            }
            let server = match state {
                0 => return None,
                1 => return Some(Peer { answer: Answer::Silent { since: SINCE } }),
                2 => dead(),
                3 => ServerState::Loading,
                _ => ServerState::Running(Box::new(server)),
            };
            let mut report = report(node, &layout, server);
            (report.stopping, report.disk.has_data) = (stopping, keys > 0);
            Some(heard(report, Millis(SINCE.0 + 50)))
        },
    )
}

proptest! {
    #[test]
    fn a_primary_never_starts_while_a_mate_holds_synced_data_past_its_ordered_stop(
        mates in (any_mate(1), any_mate(2)),
        clean in proptest::option::of(995u64..1005),
        (has_data, refuse, promised) in (any::<bool>(), any::<bool>(), any::<bool>()),
        waited in 0u64..10_000,
    ) {
        let mut check = Check::new(0, 1, 2);
        check.peers = [(1, mates.0), (2, mates.1)].into_iter().filter_map(|(n, peer)| Some((name(n), peer?))).collect();
        check.disk.has_data = has_data;
        check.now = Millis(SINCE.0 + waited);
        check.ledger.clean_stop = clean.map(|offset| CleanStop {
            offset: Offset(offset), replication_id: "history".into(), role: Role::Primary,
        });
        if refuse { check.refused.insert(name(1)); }
        if promised { check.ledger.promise = Some(promise(1)); }
        let past = |running: &Running| running.replication.replication_id != "history"
            || clean.is_none_or(|stop| running.replication.offset.0 > stop) || !has_data;
        let newer = check.peers.values().filter_map(|peer| peer.heard_since(SINCE)?.server.running()).any(|r| {
            r.synced_since_start && r.view.myself().unwrap().primary == Some(id(0)) && past(r)
        });
        let verdict = check.verdict();
        let starts = matches!(verdict.act, StartAct::Start { .. });
        prop_assert!(!(newer && starts), "{verdict:?}");
        // Nor does it start empty beside a mate that has not said what it has.
        let unheard = [1, 2].iter().any(|n| check.peers.get(&name(*n)).and_then(|p| p.heard_since(SINCE)).is_none());
        prop_assert!(!(starts && !has_data && unheard), "{verdict:?}");
        // Nobody else is told while one is promised and has not been released.
        if let (true, Some((_, chosen))) = (promised && !refuse, promotes(&verdict)) {
            let released = check.peers.get(&name(1)).and_then(|peer| peer.heard_since(SINCE))
                .is_some_and(|report| report.server.is_certainly_down());
            prop_assert!(chosen == name(1) || released, "{verdict:?}");
        }
    }
}
