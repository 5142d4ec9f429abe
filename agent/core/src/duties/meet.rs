//! Members that the own server does not know are met, after their agent has proved token, name and node id: addresses
//! are dealt anew, and one MEET to a foreign node joins two clusters.

use redisnode_proto::layout::Layout;
use redisnode_proto::topology::View;
use redisnode_proto::{LayoutMember, NodeId};

use super::{Duty, ask};
use crate::situation::Situation;

pub(super) fn meet(s: &Situation<'_>, layout: &Layout, view: &View, out: &mut Vec<Duty>) {
    let mut unproved = Vec::new();
    for member in layout.members.iter().filter(|m| m.member.name != s.me.name) {
        if !is_missing(s, layout, member, view) {
            continue;
        }
        let name = &member.member.name;
        let proved = s.fresh(name).filter(|report| report.cluster == layout.cluster && report.member.name == *name);
        match proved.and_then(|report| report.server.running().map(|running| (report, running))) {
            Some((_, running)) if running.primed => unproved.push(name.clone()),
            Some((report, running)) if !layout.forget.contains(&running.view.me) && running.view.me != view.me => {
                out.push(Duty::Meet {
                    name: name.clone(),
                    id: running.view.me.clone(),
                    address: report.address.clone(),
                });
            }
            Some(_) => {}
            None => unproved.push(name.clone()),
        }
    }
    ask(out, unproved);
}

/// Nobody by the member's id is in the table, or only one that cannot be reached and whose agent says another address.
fn is_missing(s: &Situation<'_>, layout: &Layout, member: &LayoutMember, view: &View) -> bool {
    let Some(id) = s.id_of(&member.member.name) else { return !member.leaving };
    if layout.forget.contains(&id) {
        return false;
    }
    match view.node(&id) {
        Some(node) if node.handshake => false,
        Some(node) => !node.connected && has_moved(s, member, &id, view),
        None => !member.leaving,
    }
}

fn has_moved(s: &Situation<'_>, member: &LayoutMember, id: &NodeId, view: &View) -> bool {
    let (Some(report), Some(node)) = (s.fresh(&member.member.name), view.node(id)) else {
        return view.node(id).is_some_and(|node| node.no_address);
    };
    node.no_address || node.port != report.address.port || node.ip != report.address.ip.to_string()
}
