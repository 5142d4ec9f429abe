//! From YAML to a valid resource, or to one sentence that says where it is wrong and what to write instead.

use redisnode_proto::spec::{MAX_PERCENT, MAX_PRIMARIES, MAX_REPLICATION_FACTOR, RedisCluster, suggest};

/// Whole numbers of the spec and their bounds. The YAML reader only knows that they are not whole or negative.
const NUMBERS: [(&str, u32, u32); 4] = [
    ("numberOfMaster", 1, MAX_PRIMARIES),
    ("replicationFactor", 0, MAX_REPLICATION_FACTOR),
    ("percent", 1, MAX_PERCENT),
    ("maxUnavailable", 1, MAX_PRIMARIES),
];

/// Reads and validates a resource. The error is a sentence without the file's name.
pub fn parse(text: &str) -> Result<RedisCluster, String> {
    if text.trim().is_empty() {
        return Err("it is empty: write a RedisCluster into it".to_owned());
    }
    let resource: RedisCluster = serde_saphyr::from_str(text).map_err(|error| explained(text, &error))?;
    match resource.validate() {
        Ok(()) => Ok(resource),
        Err(wrong) => Err(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    }
}

fn explained(text: &str, error: &serde_saphyr::Error) -> String {
    let plain = error.without_snippet().to_string();
    let what = plain.rsplit_once(" at line ").map_or(plain.as_str(), |(what, _)| what);
    let Some(place) = error.location() else { return what.to_owned() };
    let line = usize::try_from(place.line()).ok().and_then(|line| text.lines().nth(line.checked_sub(1)?));
    let sentence = clearer(what, line.unwrap_or_default());
    format!("line {}: {sentence}", place.line())
}

/// The reader's words, made clearer where it knows less than we do.
fn clearer(what: &str, line: &str) -> String {
    if let Some((field, _)) = what.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
        return match suggest(field) {
            Some(known) if known == field => {
                format!("{field} does not belong here; look at the indentation and at open brackets above")
            }
            Some(known) => format!("there is no field {field}; did you mean {known}?"),
            None => format!("there is no field {field}; remove it"),
        };
    }
    if what.starts_with("duplicate mapping key") {
        return format!("{} is there twice; keep one", line.trim().split(':').next().unwrap_or_default());
    }
    if what.starts_with("multiple YAML documents") {
        return "a second document begins; keep one RedisCluster per file".to_owned();
    }
    if let Some((field, _)) = what.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')) {
        let example = if field == "metadata" { "metadata: {name: my-cluster}" } else { "it" };
        return format!("{field} is missing; write {example}");
    }
    if line.trim_start().starts_with("maxMemory:") && !line.contains('{') {
        return "maxMemory has no values here; write maxMemory: {} for 75 percent of the memory limit, or leave it out"
            .to_owned();
    }
    if line.trim_start().starts_with("storage:") {
        return "storage has no values here; write storage: {} to keep data on disk, or leave it out".to_owned();
    }
    let number = line.trim().split_once(':').and_then(|(key, value)| {
        let (name, least, most) = NUMBERS.iter().find(|(name, _, _)| *name == key.trim())?;
        let value = value.split('#').next().unwrap_or_default().trim();
        Some(format!("{name} must be a whole number from {least} to {most}, not {value}"))
    });
    number.unwrap_or_else(|| what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(spec: &str) -> String {
        format!("apiVersion: redisnode.io/v1alpha1\nkind: RedisCluster\nmetadata:\n  name: my\nspec:\n{spec}")
    }

    #[test]
    fn a_resource_is_read() {
        let resource = parse(&with("  numberOfMaster: 5\n  storage: {}\n")).unwrap();
        assert_eq!(resource.spec.number_of_master, 5);
        assert!(resource.spec.storage.is_some());
    }

    #[test]
    fn a_number_that_is_none_is_named_with_its_bounds_and_its_line() {
        for wrong in ["-1", "1.5", "many", "[1]"] {
            let error = parse(&with(&format!("  numberOfMaster: {wrong} # so many\n"))).unwrap_err();
            let expected = format!("line 6: numberOfMaster must be a whole number from 1 to 1000, not {wrong}");
            assert_eq!(error, expected);
        }
        let error = parse(&with("  replicationFactor: -1\n")).unwrap_err();
        assert!(error.contains("whole number from 0 to 5, not -1"), "{error}");
    }

    #[test]
    fn a_number_out_of_bounds_is_refused() {
        for wrong in ["0", "20000"] {
            let error = parse(&with(&format!("  numberOfMaster: {wrong}\n"))).unwrap_err();
            assert!(error.contains("numberOfMaster"), "{error}");
        }
    }

    #[test]
    fn an_unknown_field_is_named_with_its_line() {
        let error = parse(&with("  numberOfMasters: 3\n")).unwrap_err();
        assert!(error.starts_with("line 6: there is no field numberOfMasters"), "{error}");
    }

    #[test]
    fn a_field_in_the_wrong_place_is_not_told_its_own_name() {
        let bracket = parse(&with("  storage: {\n  numberOfMaster: 3\n")).unwrap_err();
        assert!(bracket.starts_with("line 7: numberOfMaster does not belong here; look at"), "{bracket}");
    }

    #[test]
    fn storage_with_a_value_and_a_resource_without_a_name_are_told_what_to_write() {
        let storage = parse(&with("  storage: yes\n")).unwrap_err();
        assert_eq!(
            storage,
            "line 6: storage has no values here; write storage: {} to keep data on disk, or leave it out"
        );
        let nameless = parse("apiVersion: redisnode.io/v1alpha1\nkind: RedisCluster\nspec: {}\n").unwrap_err();
        assert!(nameless.ends_with("metadata is missing; write metadata: {name: my-cluster}"), "{nameless}");
    }

    #[test]
    fn broken_yaml_names_the_line() {
        let error = parse(&with("  numberOfMaster: \"3\n")).unwrap_err();
        assert!(error.starts_with("line 6: "), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn a_field_given_twice_an_empty_file_and_a_second_document_are_refused() {
        let twice = parse(&with("  numberOfMaster: 3\n  numberOfMaster: 4\n")).unwrap_err();
        assert_eq!(twice, "line 7: numberOfMaster is there twice; keep one");
        assert!(parse(" \n").unwrap_err().contains("empty"));
        let second = parse(&with("  numberOfMaster: 3\n---\na: b\n")).unwrap_err();
        assert!(second.contains("second document"), "{second}");
    }
}
