//! When a primary gives its role away: the Layout wishes it, a person does, or the agent is stopping.

use redisnode_proto::topology::{Role, View};

use super::Duty;
use crate::situation::Situation;

pub(super) fn hand_off(s: &Situation<'_>, view: &View, out: &mut Vec<Duty>) {
    let owns = view.myself().is_some_and(|me| me.role == Role::Primary && !me.slots.is_empty());
    if !owns {
        return;
    }
    if let Some(to) = &s.inbox.handoff {
        out.push(Duty::HandOff { to: to.clone() });
        return;
    }
    let wished = s.my_shard().and_then(|shard| shard.handoff.as_ref()).filter(|wish| wish.from == s.me.name);
    if let Some(wish) = wished {
        out.push(Duty::HandOff { to: Some(wish.to.clone()) });
    }
}
