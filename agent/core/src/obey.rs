//! Which Layouts an agent takes: fenced by generation, of its own cluster, and no founding after the founding.

use redisnode_proto::message::LayoutAnswer;
use redisnode_proto::{Layout, Ledger, Supersedes};

/// What the agent answers to a Layout. Only on [`LayoutAnswer::Taken`] it goes into the ledger (a repeated one is
/// the same already).
pub fn judge_layout(ledger: &Ledger, incoming: &Layout) -> LayoutAnswer {
    if incoming.cluster != ledger.cluster {
        return refused(format!(
            "this node belongs to cluster {}, the Layout is for cluster {}: check which coordinator runs where",
            ledger.cluster, incoming.cluster
        ));
    }
    let held = ledger.layout.as_ref().map(|layout| layout.generation).unwrap_or_default();
    match incoming.supersedes(ledger.layout.as_ref()) {
        Supersedes::Older => LayoutAnswer::Older { held },
        Supersedes::Conflict => LayoutAnswer::Conflict { held },
        Supersedes::Newer if incoming.founding.is_some() && is_past_founding(ledger) => refused(format!(
            "this node has already lived in the cluster (Layout {held}); a founding Layout is only for empty nodes"
        )),
        Supersedes::Same | Supersedes::Newer => LayoutAnswer::Taken,
    }
}

/// Whether founding is over for this node, whatever a Layout says.
pub fn is_past_founding(ledger: &Ledger) -> bool {
    ledger.founded || ledger.layout.as_ref().is_some_and(|layout| layout.founding.is_none())
}

fn refused(reason: String) -> LayoutAnswer {
    LayoutAnswer::Refused { reason }
}

#[cfg(test)]
mod tests {
    use redisnode_proto::Generation;

    use super::*;
    use crate::testing::{id, layout, ledger, name};

    fn held() -> Ledger {
        let mut ledger = ledger(0, &layout(3, 1));
        ledger.layout.as_mut().unwrap().generation = Generation { term: 3, sequence: 4 };
        ledger.founded = false;
        ledger
    }

    fn incoming(term: u64, sequence: u64) -> Layout {
        Layout { generation: Generation { term, sequence }, ..layout(3, 1) }
    }

    #[test]
    fn only_a_newer_layout_is_taken_and_a_repeated_one_is_the_same() {
        let held = held();
        let generation = Generation { term: 3, sequence: 4 };
        for (term, sequence) in [(3, 5), (4, 1), (3, 4)] {
            assert_eq!(judge_layout(&held, &incoming(term, sequence)), LayoutAnswer::Taken, "{term}.{sequence}");
        }
        for (term, sequence) in [(3, 3), (2, 99)] {
            let answer = judge_layout(&held, &incoming(term, sequence));
            assert_eq!(answer, LayoutAnswer::Older { held: generation }, "{term}.{sequence}");
        }
        let mut other = incoming(3, 4);
        other.shards[0].primary = name(3);
        assert_eq!(judge_layout(&held, &other), LayoutAnswer::Conflict { held: generation });
    }

    #[test]
    fn the_layout_of_another_cluster_is_refused_however_new() {
        let mut other = incoming(99, 1);
        other.cluster = "cl-2".parse().unwrap();
        let LayoutAnswer::Refused { reason } = judge_layout(&held(), &other) else { panic!() };
        assert!(reason.contains("cl-1") && reason.contains("cl-2"), "{reason}");
    }

    #[test]
    fn who_has_lived_in_a_cluster_never_founds_again() {
        let founding = Layout { founding: Some(vec![id(0)]), ..incoming(9, 1) };
        assert!(matches!(judge_layout(&held(), &founding), LayoutAnswer::Refused { .. }));
        let mut founder = held();
        founder.layout.as_mut().unwrap().founding = Some(vec![id(0)]);
        assert_eq!(judge_layout(&founder, &founding), LayoutAnswer::Taken, "a later one of the same founding");
        founder.founded = true;
        assert!(matches!(judge_layout(&founder, &founding), LayoutAnswer::Refused { .. }));
        let empty = Ledger { layout: None, founded: false, ..founder };
        assert_eq!(judge_layout(&empty, &founding), LayoutAnswer::Taken);
    }
}
