//! What is wrong with a resource, each as a sentence that says what to write instead.
//!
//! Types refuse what they can while the file is read; here is what takes more than one field or a list of rules.

use std::collections::BTreeMap;

use super::{
    API_VERSION, ClusterSpec, ConfigValue, ContainerMemory, KIND, RedisCluster, Storage, labels, max_memory, rename,
    reserved,
};
use crate::layout::Settings;

/// The most primaries, and the most members: the servers' bus is not made for more (Redis Cluster specification).
pub const MAX_PRIMARIES: u32 = 1000;
/// The most replicas that a primary may have.
pub const MAX_REPLICATION_FACTOR: u32 = 5;
/// The longest name of a cluster: what is made from it must fit into a label of 63 characters.
pub const MAX_NAME: usize = 52;

/// A field that is not right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    /// Which, for instance `spec.numberOfMaster`.
    pub field: String,
    /// What is wrong and what to write instead, a sentence.
    pub message: String,
}

impl Invalid {
    pub(super) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl RedisCluster {
    /// Everything that is wrong with it; never an empty list.
    pub fn validate(&self) -> Result<(), Vec<Invalid>> {
        let mut found = Vec::new();
        found.extend(constant("apiVersion", &self.api_version, API_VERSION));
        found.extend(constant("kind", &self.kind, KIND));
        found.extend(name(&self.metadata.name));
        found.extend(sizes(&self.spec));
        found.extend(directives(&self.spec.redis_config));
        found.extend(passwords(&self.spec.redis_config));
        found.extend(rename::validate(&self.spec.rename_commands));
        found.extend(max_memory::validate(&self.spec));
        found.extend(self.spec.migration.validate());
        found.extend(self.spec.storage.iter().flat_map(Storage::validate));
        found.extend(service(&self.metadata.name, self.spec.service_name.as_deref()));
        found.extend(labels::validate(&self.spec.additional_labels));
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}

/// What every server is configured with, from a spec that is valid. `running` is the memory of the containers that servers
/// run in now, as far as there are any. Names of directives are written in lower case.
pub fn settings(spec: &ClusterSpec, running: impl IntoIterator<Item = ContainerMemory>) -> Settings {
    let directive = |(name, value): (&String, &ConfigValue)| (name.to_ascii_lowercase(), value.to_string());
    let given = spec.redis_config.iter().map(directive);
    Settings {
        node_timeout: spec.node_timeout.millis(),
        storage: spec.storage.is_some(),
        redis_config: given.chain(max_memory::directives(spec, running)).collect(),
        rename_commands: rename::normalized(&spec.rename_commands),
        migration: spec.migration.settings(),
        balance: spec.balance,
    }
}

fn constant(field: &str, found: &str, wanted: &str) -> Option<Invalid> {
    (found != wanted).then(|| Invalid::new(field, format!("{found:?} is not known here; write {wanted}")))
}

fn name(name: &str) -> Option<Invalid> {
    let good = name.len() <= MAX_NAME && is_dns_label(name);
    let what = "write 1 to 52 characters of a-z, 0-9 and '-', a letter first, no '-' at the end";
    (!good).then(|| Invalid::new("metadata.name", format!("{name:?} cannot name a cluster; {what}")))
}

fn is_dns_label(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-') && name.chars().all(fits)
}

/// The clients' Service stands beside that of the nodes, `<cluster>-nodes`.
fn service(cluster: &str, service: Option<&str>) -> Option<Invalid> {
    let service = service?;
    let message = if service.len() > 63 || !is_dns_label(service) {
        let what = "write 1 to 63 characters of a-z, 0-9 and '-', a letter first, no '-' at the end, or leave it out";
        format!("{service:?} cannot name a Service; {what}")
    } else if service.strip_suffix("-nodes") == Some(cluster) {
        format!("{service} is the Service that the nodes find each other by; write another name, or leave it out")
    } else {
        return None;
    };
    Some(Invalid::new("spec.serviceName", message))
}

fn sizes(spec: &ClusterSpec) -> Vec<Invalid> {
    let (primaries, replicas) = (spec.number_of_master, spec.replication_factor);
    let mut found = Vec::new();
    if !(1..=MAX_PRIMARIES).contains(&primaries) {
        let message = format!("{primaries} primaries cannot be; write a number from 1 to {MAX_PRIMARIES}");
        found.push(Invalid::new("spec.numberOfMaster", message));
    }
    if replicas > MAX_REPLICATION_FACTOR {
        let message = format!("{replicas} replicas are too many; write a number from 0 to {MAX_REPLICATION_FACTOR}");
        found.push(Invalid::new("spec.replicationFactor", message));
    }
    let away = spec.rollout.max_unavailable;
    if !(1..=MAX_PRIMARIES).contains(&away) {
        let message = format!("{away} nodes cannot be away at a time; write a number from 1 to {MAX_PRIMARIES}");
        found.push(Invalid::new("spec.rollout.maxUnavailable", message));
    }
    if found.is_empty() && spec.members() > MAX_PRIMARIES {
        let (members, most) = (spec.members(), MAX_PRIMARIES / (replicas + 1));
        let message = format!(
            "{primaries} primaries with {replicas} replicas each are {members} nodes, and {MAX_PRIMARIES} are the most; \
             write at most {most}, or a smaller replicationFactor"
        );
        found.push(Invalid::new("spec.numberOfMaster", message));
    }
    found
}

fn directives(config: &BTreeMap<String, ConfigValue>) -> Vec<Invalid> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for (written, value) in config {
        let name = written.to_ascii_lowercase();
        if let Some(why) = directive(&name, value) {
            found.push(Invalid::new(format!("spec.redisConfig.{written}"), why));
        }
        if let Some(first) = seen.insert(name, written) {
            let message = format!("it is the same directive as {first}; write it once");
            found.push(Invalid::new(format!("spec.redisConfig.{written}"), message));
        }
    }
    found
}

fn directive(name: &str, value: &ConfigValue) -> Option<String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.len() > 64 || !name.chars().all(fits) {
        return Some("no directive has such a name; write one as in redis.conf, its values behind the colon".into());
    }
    if let Some(why) = reserved(name) {
        return Some(format!("this directive is reserved: {why}"));
    }
    let broken = value.as_str().contains(['\n', '\r', '\0']);
    broken.then(|| "its value has a line break or a zero byte; write it on one line".to_owned())
}

/// Every node is a client of every other one: they must all know one password, by the same spelling.
fn passwords(config: &BTreeMap<String, ConfigValue>) -> Vec<Invalid> {
    let value = |wanted: &str| config.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let mut found = Vec::new();
    for name in ["requirepass", "masterauth", "primaryauth"] {
        let Some((written, password)) = value(name) else { continue };
        let field = format!("spec.redisConfig.{written}");
        if !password.is_text() {
            found.push(Invalid::new(&field, "a password must keep its spelling; put it in quotes"));
        }
        let required = value("requirepass").map_or("", |(_, password)| password.as_str());
        if password.as_str() != required {
            let message = "it must be the same as requirepass, which every node has; write the same, or leave it out";
            found.push(Invalid::new(&field, message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Millis;

    fn read(spec: &str) -> Result<RedisCluster, serde_json::Error> {
        serde_json::from_str(&format!(
            r#"{{"apiVersion":"redisnode.io/v1alpha1","kind":"RedisCluster","metadata":{{"name":"my-redis"}},"spec":{spec}}}"#
        ))
    }

    /// What is found, a line each.
    fn found(spec: &str) -> Vec<String> {
        match read(spec).unwrap().validate() {
            Ok(()) => Vec::new(),
            Err(found) => found.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn defaults_are_three_primaries_with_a_replica_each() {
        let cluster = read("{}").unwrap();
        assert_eq!(cluster.validate(), Ok(()));
        assert_eq!(cluster.spec, ClusterSpec::default());
        assert_eq!((cluster.spec.members(), cluster.spec.node_timeout.millis()), (6, Millis(15_000)));
    }

    #[test]
    fn sizes_out_of_bounds_say_what_to_write() {
        let refused = |spec: &str, text: &str| {
            let found = found(spec);
            assert!(found.len() == 1 && found[0].contains(text), "{spec}: {found:?}");
        };
        refused(r#"{"numberOfMaster":0}"#, "spec.numberOfMaster: 0 primaries cannot be; write a number from 1 to 1000");
        refused(r#"{"numberOfMaster":20000}"#, "write a number from 1 to 1000");
        refused(r#"{"replicationFactor":6}"#, "spec.replicationFactor: 6 replicas are too many");
        refused(
            r#"{"numberOfMaster":400,"replicationFactor":2}"#,
            "1200 nodes, and 1000 are the most; write at most 333",
        );
        assert!(found(r#"{"numberOfMaster":1000,"replicationFactor":0}"#).is_empty());
        assert!(found(r#"{"numberOfMaster":1,"replicationFactor":5}"#).is_empty());
    }

    #[test]
    fn at_least_one_node_may_be_away() {
        assert_eq!(read("{}").unwrap().spec.rollout.max_unavailable, 1);
        assert!(found(r#"{"rollout":{"maxUnavailable":3}}"#).is_empty());
        for away in [0, 1001] {
            let found = found(&format!(r#"{{"rollout":{{"maxUnavailable":{away}}}}}"#));
            assert!(found.len() == 1 && found[0].contains("write a number from 1 to 1000"), "{found:?}");
        }
        let error = read(r#"{"rollout":{"maxUnavailable":"25%"}}"#).unwrap_err().to_string();
        assert!(error.contains("expected maxUnavailable to be a whole number from 1 to 1000"), "{error}");
    }

    #[test]
    fn what_is_no_count_is_an_error_that_names_the_field() {
        for (value, said) in [
            ("-1", "`-1`"),
            ("1.5", "`1.5`"),
            (r#""three""#, "\"three\""),
            ("5000000000", "5000000000"),
            ("null", "null"),
        ] {
            let error = read(&format!(r#"{{"numberOfMaster":{value}}}"#)).unwrap_err().to_string();
            let wanted = "expected numberOfMaster to be a whole number from 1 to 1000";
            assert!(error.contains(said) && error.contains(wanted), "{error}");
        }
        let error = read(r#"{"replicationFactor":-1}"#).unwrap_err().to_string();
        assert!(error.contains("expected replicationFactor to be a whole number from 0 to 5"), "{error}");
    }

    #[test]
    fn an_empty_storage_is_not_taken_for_none() {
        assert!(read(r#"{"storage":{}}"#).unwrap().spec.storage.is_some());
        let error = read(r#"{"storage":null}"#).unwrap_err().to_string();
        assert!(error.contains("write storage: {} to keep data on disk, or leave it out"), "{error}");
    }

    #[test]
    fn the_name_must_fit_what_is_made_from_it() {
        let long = "a".repeat(MAX_NAME + 1);
        for bad in ["", "My-redis", "1redis", "redis-", "-redis", "re.dis", "re_dis", &long] {
            assert!(name(bad).unwrap().message.contains("write 1 to 52 characters"), "{bad:?}");
        }
        for good in ["a", "my-redis", "r2-d2", &long[1..]] {
            assert_eq!(name(good), None, "{good:?}");
        }
    }

    #[test]
    fn the_clients_service_has_a_name_of_its_own() {
        assert!(found(r#"{"serviceName":"cache","additionalLabels":{"team":"a"},"podTemplate":{}}"#).is_empty());
        for (name, said) in
            [("Cache", "cannot name a Service"), ("", "cannot name"), ("my-redis-nodes", "find each other")]
        {
            let found = found(&format!(r#"{{"serviceName":"{name}"}}"#));
            assert!(found.len() == 1 && found[0].contains(said), "{found:?}");
        }
    }

    #[test]
    fn another_kind_or_version_is_refused() {
        let mut cluster = read("{}").unwrap();
        cluster.kind = "RedisSentinel".to_owned();
        cluster.api_version = "redisnode.io/v9".to_owned();
        let found = cluster.validate().unwrap_err();
        assert_eq!(
            found[0].to_string(),
            "apiVersion: \"redisnode.io/v9\" is not known here; write redisnode.io/v1alpha1"
        );
        assert_eq!(found[1].field, "kind");
    }

    #[test]
    fn directives_are_checked_in_any_case_of_letters() {
        let spec =
            r#"{"redisConfig":{"Port":7,"cluster-enabled":"no","maxmemory":"1gb","save 900":1,"MAXMEMORY":"2gb"}}"#;
        let found = found(spec);
        let has = |text: &str| assert!(found.iter().any(|line| line.contains(text)), "{text}: {found:?}");
        has("spec.redisConfig.Port: this directive is reserved: each node gets its own addresses");
        has("spec.redisConfig.cluster-enabled: this directive is reserved");
        has("spec.redisConfig.save 900: no directive has such a name");
        has("spec.redisConfig.maxmemory: it is the same directive as MAXMEMORY");
        assert_eq!(found.len(), 4);
    }

    #[test]
    fn a_value_of_two_lines_cannot_smuggle_a_directive_in() {
        for value in ["100mb\\nport 1", "100mb\\rport 1", "100mb\\u0000"] {
            let found = found(&format!(r#"{{"redisConfig":{{"maxmemory":"{value}"}}}}"#));
            assert!(found.len() == 1 && found[0].contains("line break"), "{found:?}");
        }
    }

    #[test]
    fn passwords_keep_their_spelling_and_are_one() {
        assert!(found(r#"{"redisConfig":{"requirepass":"a b","masterauth":"a b"}}"#).is_empty());
        assert!(found(r#"{"redisConfig":{"requirepass":"secret"}}"#).is_empty());
        let number = found(r#"{"redisConfig":{"requirepass":123}}"#);
        assert!(number.len() == 1 && number[0].contains("in quotes"), "{number:?}");
        for config in [r#"{"requirepass":"a","masterauth":"b"}"#, r#"{"PrimaryAuth":"b"}"#] {
            let found = found(&format!(r#"{{"redisConfig":{config}}}"#));
            assert!(found.len() == 1 && found[0].contains("same as requirepass"), "{found:?}");
        }
    }

    #[test]
    fn settings_are_what_the_server_reads() {
        let spec =
            r#"{"nodeTimeout":"5s","storage":{},"redisConfig":{"MaxMemory":"1gb","save":[3600,1],"appendonly":true}}"#;
        let settings = settings(&read(spec).unwrap().spec, []);
        assert_eq!((settings.node_timeout, settings.storage), (Millis(5_000), true));
        let lines: Vec<_> = settings.redis_config.iter().map(|(name, value)| format!("{name} {value}")).collect();
        assert_eq!(lines, ["appendonly yes", "maxmemory 1gb", "save 3600 1"]);
    }
}
