//! `status`: by the coordinator's word if one runs, else by what the agents say and the planner makes of it.

use std::io::IsTerminal;
use std::time::Duration;

use redisnode_planner::status;
use redisnode_proto::spec::RedisCluster;
use redisnode_proto::status::{ClusterStatus, ConditionType, Truth};

use crate::cli::{Format, StatusArgs};
use crate::place::Place;
use crate::place::kubernetes::Kubernetes;
use crate::{Verdict, put, table};

const EVERY: Duration = Duration::from_secs(1);

/// Shows one cluster, once or until Ctrl-C.
pub(crate) async fn run(place: &impl Place, args: &StatusArgs) -> Result<Verdict, String> {
    let look = async || {
        let resource = gather(place).await?;
        Ok((shown(&resource, args.output)?, verdict(&resource)))
    };
    show(args.watch, look).await
}

/// Shows all clusters of a Kubernetes, a line for each; the only one with its nodes.
pub(crate) async fn all(kubernetes: &Kubernetes, args: &StatusArgs) -> Result<Verdict, String> {
    let look = async || {
        let resources = kubernetes.list().await?;
        let bad = resources.iter().any(|resource| verdict(resource) == Verdict::Bad);
        let text = match resources.as_slice() {
            [] => return Err(format!("there is no RedisCluster in {}", kubernetes.here())),
            [one] => shown(one, args.output)?,
            more => listed(more, args.output)?,
        };
        Ok((text, if bad { Verdict::Bad } else { Verdict::Good }))
    };
    show(args.watch, look).await
}

async fn show(watch: bool, look: impl AsyncFn() -> Result<(String, Verdict), String>) -> Result<Verdict, String> {
    if !watch {
        let (text, verdict) = look().await?;
        put(&text);
        return Ok(verdict);
    }
    let is_terminal = std::io::stdout().is_terminal();
    let mut before = String::new();
    loop {
        let text = look().await.map_or_else(|sentence| format!("{sentence}\n"), |(text, _)| text);
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
async fn gather(place: &impl Place) -> Result<RedisCluster, String> {
    if let Some(resource) = place.told().await? {
        return Ok(resource);
    }
    let snapshot = place.snapshot().await?;
    let mut resource = snapshot.resource.clone();
    let mut status = status(&snapshot.world(&snapshot.resource));
    status.waiting_for.push("a coordinator: none answers; what the agents were told goes on without it".to_owned());
    resource.status = Some(status);
    Ok(resource)
}

fn listed(resources: &[RedisCluster], format: Format) -> Result<String, String> {
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": resources});
    Ok(match format {
        Format::Table => table::rows(resources, false),
        Format::Wide => table::rows(resources, true),
        Format::Json => serde_json::to_string_pretty(&list).map_err(|error| error.to_string())? + "\n",
        Format::Yaml => serde_saphyr::to_string(&list).map_err(|error| error.to_string())?,
    })
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
