//! `plan`: what the planner makes of what the agents say now, for the present spec or an edited one. Changes nothing.

use std::path::Path;

use redis_coordinator::source::parse::parse;
use redisnode_planner::{Plan, plan};
use redisnode_proto::spec::RedisCluster;

use crate::cli::{Format, PlanArgs};
use crate::place::Place;
use crate::{Verdict, put};

/// Shows it.
pub(crate) async fn run(place: &impl Place, args: &PlanArgs) -> Result<Verdict, String> {
    let edited = args.file.as_deref().map(|path| about(edited(path)?, path, place.name())).transpose()?;
    let snapshot = place.snapshot().await?;
    let plan = plan(&snapshot.world(edited.as_ref().unwrap_or(&snapshot.resource)));
    let value = serde_json::json!({
        "membersWanted": plan.members_wanted,
        "next": plan.next,
        "restart": plan.restart,
        "remove": plan.remove,
        "declined": plan.declined,
        "layout": plan.layout,
    });
    let text = match args.output {
        Format::Table | Format::Wide => text(&plan, snapshot.machine.len()),
        Format::Json => serde_json::to_string_pretty(&value).map_err(|error| error.to_string())? + "\n",
        Format::Yaml => serde_saphyr::to_string(&value).map_err(|error| error.to_string())?,
    };
    put(&text);
    Ok(Verdict::Good)
}

/// The RedisCluster in the file.
pub(crate) fn edited(path: &Path) -> Result<RedisCluster, String> {
    let place = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {place}: {error}"))?;
    parse(&text).map_err(|why| format!("{place}: {why}"))
}

fn about(resource: RedisCluster, path: &Path, name: &str) -> Result<RedisCluster, String> {
    let found = &resource.metadata.name;
    if found != name {
        return Err(format!("{} is about the cluster {found}, and the one here is {name}", path.display()));
    }
    Ok(resource)
}

/// For people.
fn text(plan: &Plan, members: usize) -> String {
    let mut next: Vec<String> = plan.next.iter().map(|intent| intent.message.clone()).collect();
    let wanted = usize::try_from(plan.members_wanted).unwrap_or(usize::MAX);
    if wanted > members {
        next.insert(0, format!("{} more members are started, {wanted} in all", wanted - members));
    }
    next.extend(plan.restart.iter().map(|name| format!("the server of {name} restarts")));
    next.extend(plan.remove.iter().map(|name| format!("{name} is removed")));
    if next.is_empty() {
        next.push(if plan.declined.is_empty() {
            "nothing: the cluster is what the spec asks for".to_owned()
        } else {
            "nothing now".to_owned()
        });
    }
    let mut text = section("next", &next);
    if !plan.declined.is_empty() {
        let declined = plan.declined.iter().map(|declined| format!("{} ({:?})", declined.message, declined.why));
        text.push_str(&section("not now", &declined.collect::<Vec<_>>()));
    }
    text
}

fn section(title: &str, sentences: &[String]) -> String {
    std::iter::once(format!("{title}:\n")).chain(sentences.iter().map(|sentence| format!("  {sentence}\n"))).collect()
}

#[cfg(test)]
mod tests {
    use redisnode_planner::{Declined, Intent, IntentKind, Why};
    use redisnode_proto::status::ClusterStatus;

    use super::*;

    fn plan() -> Plan {
        Plan {
            layout: None,
            members_wanted: 6,
            paused: false,
            remove: Vec::new(),
            restart: Vec::new(),
            status: ClusterStatus::default(),
            declined: Vec::new(),
            next: Vec::new(),
            events: Vec::new(),
        }
    }

    #[test]
    fn a_cluster_that_is_as_wanted_has_nothing_next() {
        assert_eq!(text(&plan(), 6), "next:\n  nothing: the cluster is what the spec asks for\n");
    }

    #[test]
    fn what_is_next_and_what_is_not_now_are_sentences_with_their_reasons() {
        let mut plan = plan();
        plan.next.push(Intent::new(IntentKind::Join, "my-5 joins"));
        plan.declined.push(Declined::new(Why::OnlyCopy, "my-3 stays"));
        plan.restart.push("my-1".parse().unwrap());
        let expected = "\
next:
  2 more members are started, 6 in all
  my-5 joins
  the server of my-1 restarts
not now:
  my-3 stays (OnlyCopy)
";
        assert_eq!(text(&plan, 4), expected);
    }

    #[test]
    fn a_file_about_another_cluster_is_refused() {
        let path = std::env::temp_dir().join(format!("kubectl-rediscluster-plan-{}.yaml", std::process::id()));
        std::fs::write(&path, "apiVersion: redisnode.io/v1alpha1\nkind: RedisCluster\nmetadata:\n  name: your\n")
            .unwrap();
        let error = about(edited(&path).unwrap(), &path, "my").unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert!(error.ends_with("is about the cluster your, and the one here is my"), "{error}");
    }
}
