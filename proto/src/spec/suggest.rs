//! The field that was probably meant by one that is not known.

/// Every field whose misspelling is refused: all of the resource but its metadata and status.
const FIELDS: [&str; 30] = [
    "additionalLabels",
    "apiVersion",
    "balance",
    "kind",
    "maxBytesPerSecond",
    "maxLatency",
    "maxMemory",
    "maxUnavailable",
    "metadata",
    "migration",
    "nodeTimeout",
    "numberOfMaster",
    "pause",
    "percent",
    "podTemplate",
    "policy",
    "redisConfig",
    "renameCommands",
    "replicationFactor",
    "rollout",
    "serviceName",
    "size",
    "spec",
    "status",
    "storage",
    "storageClassName",
    "volumeClaimTemplate",
    "whenDeleted",
    "whenScaled",
    "withoutReplicas",
];

/// Every field whose misspelling is refused, in alphabetical order.
pub fn known_fields() -> &'static [&'static str] {
    &FIELDS
}

/// The known field nearest to `field`, if one is near enough to have been meant. Upper and lower case are alike.
pub fn suggest(field: &str) -> Option<&'static str> {
    nearest(field, &FIELDS)
}

/// The word of `words` nearest to `written`, if one is near enough to have been meant.
pub(super) fn nearest<'w>(written: &str, words: &[&'w str]) -> Option<&'w str> {
    let near = words.iter().map(|known| (distance(&written.to_lowercase(), &known.to_lowercase()), *known));
    let allowed = (written.chars().count() / 3).clamp(1, 4);
    near.filter(|(edits, _)| *edits <= allowed).min().map(|(_, known)| known)
}

/// A sentence to put behind the message `error` of a reader (JSON or YAML) that met an unknown field.
pub fn hint(error: &str) -> Option<String> {
    let (_, rest) = error.split_once("unknown field `")?;
    let (field, _) = rest.split_once('`')?;
    suggest(field).map(|known| format!("Did you mean {known}?"))
}

/// How many characters must be put in, taken out or replaced to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (index, left) in a.chars().enumerate() {
        let mut next = vec![index + 1];
        for (pair, right) in row.windows(2).zip(b.chars()) {
            let (Some(diagonal), Some(above), Some(before)) = (pair.first(), pair.last(), next.last()) else { break };
            let replaced = diagonal + usize::from(left != right);
            next.push(replaced.min(above + 1).min(before + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{ClusterSpec, MaxMemory, Migration, Opaque, RedisCluster, Storage};

    #[test]
    fn finds_what_was_meant() {
        for (written, meant) in [
            ("numberOfMasters", "numberOfMaster"),
            ("numberofmaster", "numberOfMaster"),
            ("replicationFaktor", "replicationFactor"),
            ("replicaFactor", "replicationFactor"),
            ("nodeTimeOut", "nodeTimeout"),
            ("redisConf", "redisConfig"),
            ("storge", "storage"),
            ("apiversion", "apiVersion"),
        ] {
            assert_eq!(suggest(written), Some(meant), "{written}");
        }
        assert_eq!(suggest("image"), None);
        assert_eq!(suggest(""), None);
    }

    #[test]
    fn the_hint_fits_the_message_of_a_reader() {
        let error = serde_json::from_str::<ClusterSpec>(r#"{"numberOfMasters": 3}"#).unwrap_err().to_string();
        assert!(error.contains("unknown field `numberOfMasters`"), "{error}");
        assert_eq!(hint(&error).as_deref(), Some("Did you mean numberOfMaster?"));
        assert_eq!(hint("missing field `name`"), None);
    }

    #[test]
    fn the_list_has_every_field_of_the_spec() {
        let spec = ClusterSpec {
            storage: Some(Storage {
                size: Some(String::new()),
                storage_class_name: Some(String::new()),
                volume_claim_template: Some(Opaque::new()),
                ..Storage::default()
            }),
            redis_config: [("save".to_owned(), "".into())].into(),
            rename_commands: [(String::new(), String::new())].into(),
            max_memory: Some(MaxMemory { percent: Some(1), size: Some(String::new()), ..MaxMemory::default() }),
            migration: Migration { max_bytes_per_second: Some(String::new()), ..Migration::default() },
            service_name: Some(String::new()),
            pod_template: Some(Opaque::new()),
            additional_labels: [(String::new(), String::new())].into(),
            ..ClusterSpec::default()
        };
        let cluster = RedisCluster {
            api_version: String::new(),
            kind: String::new(),
            metadata: crate::spec::Metadata::default(),
            spec,
            status: Some(crate::status::ClusterStatus::default()),
        };
        let json = serde_json::to_value(&cluster).unwrap();
        let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let mut all = keys(&json);
        all.extend(keys(&json["spec"]));
        for field in ["maxMemory", "migration", "rollout", "storage"] {
            all.extend(keys(&json["spec"][field]));
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all, known_fields());
    }

    #[test]
    fn distance_counts_edits() {
        for (a, b, edits) in
            [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3), ("ab", "ba", 2), ("same", "same", 0)]
        {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }
}
