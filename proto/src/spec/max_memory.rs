//! How much data each server may hold, and what gives way when it is full.
//!
//! A share is taken of the memory of the server's container. The same resource runs locally, where there are no
//! containers: a share of what the podTemplate says is the same amount there. Refuses a share of nothing, and an amount
//! that would have the container killed before the server is full.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::count;
use super::{ClusterSpec, ConfigValue, EvictionPolicy, Invalid, Opaque, Quantity};

/// The share of the memory that data may take, in percent, where neither a share nor an amount is given. The rest is for
/// replication buffers, for the pages that a fork copies while it saves, and for fragmentation.
pub const DEFAULT_PERCENT: u32 = 75;
/// The largest share, in percent. A server that fills its container is killed by it.
pub const MAX_PERCENT: u32 = 95;
/// The least amount, in bytes: an empty server takes about as much, and would refuse every write with less.
pub const MIN_SIZE: u64 = 1 << 20;
/// The directives that `maxMemory` sets.
pub const MEMORY_DIRECTIVES: [&str; 2] = ["maxmemory", "maxmemory-policy"];

/// How much data each server may hold: a share of its container's memory limit (of its request, if it has no limit), or an
/// amount. A change is made while the servers run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MaxMemory {
    /// The share of the memory limit of podTemplate's container redis (of its request, if it has no limit) that data may
    /// take, in percent: 1 to 95, and 75 if neither this nor size is given. Replication buffers, saves and fragmentation
    /// need the rest. While containers of different sizes run, the smallest one counts.
    #[serde(deserialize_with = "count::percent", skip_serializing_if = "Option::is_none")]
    pub percent: Option<u32>,
    /// An amount in place of percent, for instance 3Gi: 1Mi or more, and at most 95 percent of the memory limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// What gives way when a server is full.
    pub policy: EvictionPolicy,
}

/// The memory of a server's container, in bytes; neither where there is no container, or nothing is said of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerMemory {
    /// `resources.limits.memory`: with more it is killed.
    pub limit: Option<u64>,
    /// `resources.requests.memory`: so much is kept free for it.
    pub request: Option<u64>,
}

impl ContainerMemory {
    /// That of the container `redis` of a podTemplate. An amount that cannot be read counts as none.
    pub fn of_template(template: Option<&Opaque>) -> Self {
        let of = |kind: &str| amount(template, kind)?.parse::<Quantity>().ok().map(Quantity::bytes);
        Self { limit: of("limits"), request: of("requests") }
    }

    fn base(self) -> Option<u64> {
        self.limit.or(self.request)
    }
}

impl MaxMemory {
    /// `maxmemory` in bytes, in a container like each of these: the least of all that is known of them. Absent if there is
    /// nothing to take a share of.
    pub fn bytes(&self, containers: impl IntoIterator<Item = ContainerMemory>) -> Option<u64> {
        let size = self.size.as_ref().and_then(|size| size.parse::<Quantity>().ok()).map(Quantity::bytes);
        let of = |memory: ContainerMemory| match size {
            Some(_) => memory.limit.map(|limit| share(limit, MAX_PERCENT)),
            None => memory.base().map(|base| share(base, self.share())),
        };
        containers.into_iter().filter_map(of).chain(size).min()
    }

    fn share(&self) -> u32 {
        self.percent.unwrap_or(DEFAULT_PERCENT)
    }
}

/// The directives of `spec.maxMemory` for servers in `running` containers and in those that the spec asks for: until the
/// last smaller container is replaced none is told that it has more.
pub(super) fn directives(
    spec: &ClusterSpec,
    running: impl IntoIterator<Item = ContainerMemory>,
) -> Vec<(String, String)> {
    let Some(asked) = &spec.max_memory else { return Vec::new() };
    let wanted = ContainerMemory::of_template(spec.pod_template.as_ref());
    let bytes = asked.bytes(running.into_iter().chain([wanted]));
    let values = [bytes.map(|bytes| bytes.to_string()), Some(asked.policy.to_string())];
    let named = MEMORY_DIRECTIVES.into_iter().zip(values);
    named.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

pub(super) fn validate(spec: &ClusterSpec) -> Vec<Invalid> {
    let Some(asked) = &spec.max_memory else { return Vec::new() };
    let mut found = twice(&spec.redis_config);
    let mut wrong = |field: &str, message: String| found.push(Invalid::new(format!("spec.{field}"), message));
    let memory = ContainerMemory::of_template(spec.pod_template.as_ref());
    for kind in ["limits", "requests"] {
        if let Some(Err(bad)) = amount(spec.pod_template.as_ref(), kind).map(|text| text.parse::<Quantity>()) {
            wrong(&format!("podTemplate.spec.containers.redis.resources.{kind}.memory"), bad.to_string());
        }
    }
    if asked.percent.is_some_and(|percent| percent == 0 || percent > MAX_PERCENT) {
        wrong("maxMemory.percent", format!("write a number from 1 to {MAX_PERCENT}; the rest is for what is not data"));
    }
    match asked.size.as_deref().map(|text| (text, text.parse::<Quantity>())) {
        Some(_) if asked.percent.is_some() => {
            wrong("maxMemory", "percent and size are two words for the same; keep one of them".to_owned());
        }
        Some((_, Err(bad))) => wrong("maxMemory.size", bad.to_string()),
        Some((text, Ok(size))) => {
            if let Some(message) = bad_size(text, size.bytes(), memory.limit) {
                wrong("maxMemory.size", message);
            }
        }
        None if memory.base().is_none() => {
            let message = format!(
                "there is no memory limit to take {} percent of; write resources.limits.memory (or requests.memory) into \
                 the container redis of spec.podTemplate, or an amount as spec.maxMemory.size, for instance 3Gi",
                asked.share()
            );
            wrong("maxMemory", message);
        }
        None => {}
    }
    found
}

/// A `maxMemory:` with nothing behind it would mean none, which its writer hardly wants.
pub(super) fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<MaxMemory>, D::Error> {
    let given = Option::<MaxMemory>::deserialize(deserializer)?;
    let empty = || {
        D::Error::custom(format!(
            "maxMemory is empty; write maxMemory: {{}} for {DEFAULT_PERCENT} percent of the memory limit, or leave it out"
        ))
    };
    given.map(Some).ok_or_else(empty)
}

fn twice(config: &BTreeMap<String, ConfigValue>) -> Vec<Invalid> {
    let ours = |name: &&String| MEMORY_DIRECTIVES.iter().any(|ours| name.eq_ignore_ascii_case(ours));
    let message = "spec.maxMemory sets this directive; leave it out here, or leave out spec.maxMemory";
    config.keys().filter(ours).map(|name| Invalid::new(format!("spec.redisConfig.{name}"), message)).collect()
}

fn bad_size(text: &str, bytes: u64, limit: Option<u64>) -> Option<String> {
    if bytes < MIN_SIZE {
        return Some(format!("{text} is less than an empty server takes; write 1Mi or more, for instance 3Gi"));
    }
    let most = share(limit?, MAX_PERCENT);
    (bytes > most).then(|| {
        let most = most / MIN_SIZE;
        format!(
            "{text} is more than {MAX_PERCENT} percent of the container's memory limit, which would kill the server \
             before it is full; write at most {most}Mi, or raise the limit"
        )
    })
}

fn share(whole: u64, percent: u32) -> u64 {
    // In parts, so that no product is too large to count.
    let percent = u64::from(percent);
    (whole / 100).saturating_mul(percent).saturating_add((whole % 100).saturating_mul(percent) / 100)
}

/// `resources.<kind>.memory` of the container `redis`, as it is written.
fn amount(template: Option<&Opaque>, kind: &str) -> Option<String> {
    let containers = template?.get("spec")?.get("containers")?.as_array()?;
    let server = containers.iter().find(|container| container.get("name").is_some_and(|name| name == "redis"))?;
    let amount = server.get("resources")?.get(kind)?.get("memory")?;
    Some(amount.as_str().map_or_else(|| amount.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::settings;

    fn spec(json: &str) -> ClusterSpec {
        serde_json::from_str(json).unwrap()
    }

    fn in_container(max_memory: &str, resources: &str) -> ClusterSpec {
        let template = format!(r#"{{"spec":{{"containers":[{{"name":"redis","resources":{resources}}}]}}}}"#);
        spec(&format!(r#"{{"maxMemory":{max_memory},"podTemplate":{template}}}"#))
    }

    fn found(spec: &ClusterSpec) -> Vec<String> {
        validate(spec).iter().map(ToString::to_string).collect()
    }

    fn lines(spec: &ClusterSpec, running: &[ContainerMemory]) -> Vec<String> {
        assert_eq!(found(spec), [""; 0]);
        let config = settings(spec, running.iter().copied()).redis_config;
        config.iter().map(|(name, value)| format!("{name} {value}")).collect()
    }

    #[test]
    fn a_share_is_taken_of_the_limit_else_of_the_request() {
        for (resources, bytes) in [
            (r#"{"limits":{"memory":"4Gi"},"requests":{"memory":"1Gi"}}"#, 3_u64 << 30),
            (r#"{"requests":{"memory":"4G"}}"#, 3_000_000_000),
            (r#"{"limits":{"memory":1000000}}"#, 750_000),
        ] {
            let lines = lines(&in_container("{}", resources), &[]);
            assert_eq!(lines, [format!("maxmemory {bytes}"), "maxmemory-policy noeviction".to_owned()]);
        }
        let spec = in_container(r#"{"percent":50,"policy":"allkeys-lru"}"#, r#"{"limits":{"memory":"101"}}"#);
        assert_eq!(lines(&spec, &[]), ["maxmemory 50", "maxmemory-policy allkeys-lru"]);
        assert_eq!(share(u64::MAX, 95), u64::MAX / 100 * 95 + 14);
    }

    #[test]
    fn an_amount_needs_no_container() {
        assert_eq!(lines(&spec(r#"{"maxMemory":{"size":"1Gi"}}"#), &[])[0], "maxmemory 1073741824");
        let spec = in_container(r#"{"size":"1Gi"}"#, r#"{"requests":{"memory":"1Mi"}}"#);
        assert_eq!(lines(&spec, &[])[0], "maxmemory 1073741824", "a request is no limit");
    }

    #[test]
    fn while_containers_differ_the_smallest_counts() {
        let memory = |limit: u64| ContainerMemory { limit: Some(limit), request: None };
        let grown = in_container("{}", r#"{"limits":{"memory":"4000"}}"#);
        assert_eq!(lines(&grown, &[memory(4000), memory(1000)])[0], "maxmemory 750");
        assert_eq!(lines(&grown, &[memory(4000), ContainerMemory::default()])[0], "maxmemory 3000");
        let sized = in_container(r#"{"size":"2Mi"}"#, r#"{"limits":{"memory":"4Mi"}}"#);
        assert_eq!(lines(&sized, &[memory(1 << 20)])[0], format!("maxmemory {}", share(1 << 20, 95)));
        assert_eq!(lines(&sized, &[memory(4 << 20)])[0], format!("maxmemory {}", 2 << 20));
    }

    #[test]
    fn a_share_of_nothing_says_where_to_write_what() {
        for spec in [spec(r#"{"maxMemory":{}}"#), in_container("{}", "{}")] {
            let found = found(&spec);
            assert!(found.len() == 1 && found[0].contains("no memory limit to take 75 percent of"), "{found:?}");
            assert!(found[0].contains("write resources.limits.memory") && found[0].contains("spec.maxMemory.size"));
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write() {
        let limit = r#"{"limits":{"memory":"1Gi"}}"#;
        for (max_memory, said) in [
            (r#"{"percent":0}"#, "spec.maxMemory.percent: write a number from 1 to 95"),
            (r#"{"percent":96}"#, "write a number from 1 to 95"),
            (r#"{"percent":50,"size":"1Mi"}"#, "keep one of them"),
            (r#"{"size":"1gb"}"#, "spec.maxMemory.size: \"1gb\" is no size"),
            (r#"{"size":"500m"}"#, "500m is less than an empty server takes; write 1Mi or more"),
            (r#"{"size":"1Gi"}"#, "write at most 972Mi, or raise the limit"),
        ] {
            let found = found(&in_container(max_memory, limit));
            assert!(found.len() == 1 && found[0].contains(said), "{max_memory}: {found:?}");
        }
        let unreadable = found(&in_container(r#"{"size":"1Gi"}"#, r#"{"limits":{"memory":"much"}}"#));
        assert!(unreadable.len() == 1 && unreadable[0].contains("resources.limits.memory: \"much\" is no size"));
        let twice = spec(r#"{"maxMemory":{"size":"1Gi"},"redisConfig":{"MaxMemory":"1gb","maxmemory-policy":"x"}}"#);
        let twice = found(&twice);
        assert!(
            twice.len() == 2 && twice[0].starts_with("spec.redisConfig.MaxMemory: spec.maxMemory sets"),
            "{twice:?}"
        );
    }

    #[test]
    fn a_percentage_that_is_no_number_and_an_empty_field_are_errors_that_name_them() {
        let error = |json: &str| serde_json::from_str::<ClusterSpec>(json).unwrap_err().to_string();
        let percent = error(r#"{"maxMemory":{"percent":"75%"}}"#);
        assert!(percent.contains("expected percent to be a whole number from 1 to 95"), "{percent}");
        assert!(error(r#"{"maxMemory":null}"#).contains("write maxMemory: {} for 75 percent"));
        assert!(error(r#"{"maxMemory":{"policy":"lru"}}"#).contains("\"lru\" is no eviction policy"));
    }
}
