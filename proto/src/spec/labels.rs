//! Labels of the user's own: what Kubernetes takes, without those that the coordinator itself finds its objects by.

use std::collections::BTreeMap;

use super::Invalid;

/// Whose labels are the coordinator's: `redisnode.io/role` and whatever comes.
pub const LABEL_DOMAIN: &str = "redisnode.io/";

/// The recommended labels that the coordinator sets itself.
pub const OWN_LABELS: [&str; 5] = [
    "app.kubernetes.io/component",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/name",
    "app.kubernetes.io/part-of",
];

/// What is wrong with `additionalLabels`.
pub(super) fn validate(labels: &BTreeMap<String, String>) -> Vec<Invalid> {
    let wrong = |(name, value): (&String, &String)| {
        let why = wrong_name(name).or_else(|| (!is_value(value)).then_some(VALUE))?;
        Some(Invalid::new(format!("spec.additionalLabels.{name}"), why))
    };
    labels.iter().filter_map(wrong).collect()
}

const VALUE: &str =
    "a label's value has at most 63 letters, digits, '-', '_' and '.', and begins and ends with a letter or digit";

fn wrong_name(name: &str) -> Option<&'static str> {
    if OWN_LABELS.contains(&name) || name.starts_with(LABEL_DOMAIN) {
        return Some("the coordinator finds its objects by this label; leave it out");
    }
    let (domain, short) = name.split_once('/').map_or((None, name), |(domain, short)| (Some(domain), short));
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_part =
        |part: &str| part.starts_with(lower) && part.ends_with(lower) && part.chars().all(|c| lower(c) || c == '-');
    let is_domain = |domain: &str| domain.len() <= 253 && domain.split('.').all(is_part);
    let good = !short.is_empty() && is_value(short) && domain.is_none_or(is_domain);
    (!good).then_some("no label has such a name; write one like team or example.com/team")
}

fn is_value(value: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    let ends = value.starts_with(alphanumeric) && value.ends_with(alphanumeric);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    value.is_empty() || (value.len() <= 63 && ends && value.chars().all(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, value: &str) -> Vec<String> {
        validate(&[(name.to_owned(), value.to_owned())].into()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn labels_are_what_kubernetes_takes() {
        for (name, value) in
            [("team", "a"), ("example.com/Team_1", ""), ("a", "A-b_c.9"), ("app.kubernetes.io/version", "1")]
        {
            assert!(found(name, value).is_empty(), "{name}");
        }
        for (name, value, said) in [
            ("", "a", "no label has such a name"),
            ("-a", "a", "no label has such a name"),
            ("Example.com/a", "a", "no label has such a name"),
            ("a/b/c", "a", "no label has such a name"),
            ("/a", "a", "no label has such a name"),
            ("a", "a b", "a label's value"),
            ("a", "-", "a label's value"),
            ("app.kubernetes.io/name", "a", "leave it out"),
            ("redisnode.io/role", "a", "leave it out"),
        ] {
            let found = found(name, value);
            assert!(found.len() == 1 && found[0].contains(said), "{name}: {found:?}");
        }
        assert_eq!(found("a", &"v".repeat(64)).len(), 1);
    }
}
