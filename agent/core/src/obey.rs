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
