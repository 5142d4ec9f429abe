//! `status`: by the coordinator's word if one runs, else by what the agents say and the planner makes of it.

use std::io::IsTerminal;
use std::time::Duration;

use redis_coordinator::admin::STATUS;
use redisnode_planner::status;
use redisnode_proto::spec::RedisCluster;
use redisnode_proto::status::{ClusterStatus, ConditionType, Truth};

use crate::cli::{Format, StatusArgs};
use crate::gather::Place;
use crate::{Verdict, put, table};

const DEADLINE: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_secs(1);

/// Shows it, once or until Ctrl-C.
pub(crate) async fn run(place: &Place, args: &StatusArgs) -> Result<Verdict, String> {
    if let Some(name) = args.name.as_ref().filter(|name| **name != place.cluster.name) {
        return Err(format!("the cluster here is {}, not {name}", place.cluster.name));
    }
    if !args.watch {
        let resource = gather(place).await?;
        put(&shown(&resource, args.output)?);
        return Ok(verdict(&resource));
    }
    let is_terminal = std::io::stdout().is_terminal();
    let mut before = String::new();
    loop {
        let text = match gather(place).await {
            Ok(resource) => shown(&resource, args.output)?,
            Err(sentence) => format!("{sentence}\n"),
        };
        if is_terminal {
            put(&format!("\x1b[H\x1b[2J{text}"));
        } else if text != before {
            put(&format!("{text}\n"));
        }
        before = text;
        tokio::time::sleep(EVERY).await;
    }
}

/// The resource with its status.
async fn gather(place: &Place) -> Result<RedisCluster, String> {
    if let Some(coordinator) = place.dir.running_coordinator()? {
        // One that does not answer is no worse than none.
        if let Ok(resource) = place.client.get_json(coordinator.listen, STATUS, DEADLINE).await {
            return Ok(resource);
        }
    }
    let snapshot = place.snapshot().await?;
    let mut resource = snapshot.resource.clone();
    let mut status = status(&snapshot.world(&snapshot.resource));
    status.waiting_for.push("a coordinator: none answers; what the agents were told goes on without it".to_owned());
    resource.status = Some(status);
    Ok(resource)
}

fn shown(resource: &RedisCluster, format: Format) -> Result<String, String> {
    let status = resource.status.clone().unwrap_or_default();
    Ok(match format {
        Format::Table => table::text(resource, &status, false),
        Format::Wide => table::text(resource, &status, true),
        Format::Json => serde_json::to_string_pretty(resource).map_err(|error| error.to_string())? + "\n",
        Format::Yaml => serde_saphyr::to_string(resource).map_err(|error| error.to_string())?,
    })
}

fn verdict(resource: &RedisCluster) -> Verdict {
    let is_ready = |status: &ClusterStatus| {
        let ready = status.conditions.iter().find(|condition| condition.kind == ConditionType::Ready);
        ready.is_some_and(|condition| condition.status == Truth::True)
    };
    if resource.status.as_ref().is_some_and(is_ready) { Verdict::Good } else { Verdict::Bad }
}

#[cfg(test)]
mod tests {
    use redisnode_proto::status::Condition;

    use super::*;
    use crate::testing::resource;

    #[test]
    fn only_a_ready_cluster_is_healthy_and_an_unknown_one_is_not() {
        let mut resource = resource();
        assert_eq!(verdict(&resource), Verdict::Bad);
        for (status, expected) in
            [(Truth::True, Verdict::Good), (Truth::False, Verdict::Bad), (Truth::Unknown, Verdict::Bad)]
        {
            let ready = Condition::new(ConditionType::Ready, status, "", "");
            resource.status = Some(ClusterStatus { conditions: vec![ready], ..ClusterStatus::default() });
            assert_eq!(verdict(&resource), expected, "{status:?}");
        }
    }

    #[test]
    fn what_is_shown_as_yaml_or_json_is_the_resource() {
        let mut resource = resource();
        resource.status = Some(ClusterStatus { summary: "OK".to_owned(), ..ClusterStatus::default() });
        let json = shown(&resource, Format::Json).unwrap();
        assert_eq!(serde_json::from_str::<RedisCluster>(&json).unwrap(), resource);
        let yaml = shown(&resource, Format::Yaml).unwrap();
        assert_eq!(serde_saphyr::from_str::<RedisCluster>(&yaml).unwrap(), resource);
    }
}
