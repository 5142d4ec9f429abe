//! The page for people: conditions, nodes, what is waited for. It refreshes itself and changes nothing.

use redisnode_proto::spec::RedisCluster;
use redisnode_proto::status::{ClusterStatus, NodeStatus};
use redisnode_proto::topology::Role;

use crate::console::bar;
use crate::reconcile::Shown;

const STYLE: &str = "body{font:14px/1.4 system-ui,sans-serif;margin:2em;color:#222}table{border-collapse:collapse;\
                     margin:1em 0}td,th{padding:.2em .8em .2em 0;text-align:left;border-bottom:1px solid #ddd}\
                     .no{color:#b00}progress{width:24em}";

/// The page.
pub(super) fn html(shown: &Shown) -> String {
    let (title, body) = match &shown.resource {
        Some(resource) => (resource.metadata.name.clone(), body(resource, shown)),
        None => ("redisnode".to_owned(), "<p>Nothing was decided yet.</p>".to_owned()),
    };
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=2><title>{0}</title>\
         <style>{STYLE}</style><h1>{0}</h1>{body}</html>",
        escape(&title)
    )
}

fn body(resource: &RedisCluster, shown: &Shown) -> String {
    let status = resource.status.clone().unwrap_or_default();
    let conditions = status.conditions.iter().map(|condition| {
        row(&[
            &format!("{:?}", condition.kind),
            &format!("{:?}", condition.status),
            &condition.reason,
            &condition.message,
        ])
    });
    let nodes = status.nodes.iter().map(node);
    let waits = list("Not done now", status.waiting_for.iter().map(String::as_str));
    let next = list("Next", shown.next.iter().map(|intent| intent.message.as_str()));
    let events = status.events.iter().rev().take(20).map(|event| format!("{}: {}", event.reason, event.message));
    let events: Vec<String> = events.collect();
    let events = list("Lately", events.iter().map(String::as_str));
    format!(
        "<p><b>{}</b>, placement {}{}</p>{}<table>{}</table><table><tr><th>Node<th>Role<th>Address<th>State<th>Keys\
         <th>Memory<th>Slots</tr>{}</table>{waits}{next}{events}",
        escape(&status.summary),
        escape(&status.placement),
        status.placement_reason.as_deref().map(|why| format!(" ({})", escape(why))).unwrap_or_default(),
        progress(&status),
        conditions.collect::<String>(),
        nodes.collect::<String>(),
    )
}

fn progress(status: &ClusterStatus) -> String {
    let Some(progress) = &status.progress else { return String::new() };
    let all = progress.slots_done.saturating_add(progress.slots_left);
    let sentence = escape(&bar::sentence(&status.summary, progress));
    format!("<p><progress max={all} value={}></progress> {sentence}</p>", progress.slots_done)
}

fn node(node: &NodeStatus) -> String {
    let role = match (node.role, &node.primary) {
        (Some(Role::Primary), _) => "primary".to_owned(),
        (Some(Role::Replica), Some(primary)) => format!("replica of {primary}"),
        (Some(Role::Replica), None) => "replica".to_owned(),
        (None, _) => "?".to_owned(),
    };
    let state = match &node.message {
        Some(message) => format!("{}: {message}", node.state),
        None => node.state.clone(),
    };
    let keys = node.keys.map(bar::count).unwrap_or_default();
    let memory = node.used_memory.map(bar::bytes).unwrap_or_default();
    let slots: Vec<String> = node.slots.iter().map(ToString::to_string).collect();
    row(&[node.name.as_str(), &role, &node.address, &state, &keys, &memory, &slots.join(" ")])
}

fn row(cells: &[&str]) -> String {
    format!("<tr>{}</tr>", each("<td>", cells.iter().copied()))
}

fn list<'a>(title: &str, sentences: impl Iterator<Item = &'a str>) -> String {
    let items = each("<li>", sentences);
    if items.is_empty() { items } else { format!("<h2>{title}</h2><ul>{items}</ul>") }
}

fn each<'a>(tag: &str, texts: impl Iterator<Item = &'a str>) -> String {
    texts.flat_map(|text| [tag.to_owned(), escape(text)]).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_become_markup() {
        let sentence = list("Next", std::iter::once("<script>alert(\"x\")</script>"));
        assert!(sentence.contains("&lt;script&gt;alert(&quot;x&quot;)"), "{sentence}");
        assert!(!sentence.contains("<script>"));
    }
}
