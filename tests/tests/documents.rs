//! Documents and examples say what the code says: each word of a status, each metric and each right of the coordinator is
//! explained in docs/operations.md, and nothing is explained there that does not exist. Alerts ask for metrics that are.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Words in code that look like a word of a status and are none.
const NO_REASONS: [&str; 1] = ["Valkey"];
/// How the coordinator's shell says a word of a status: what stands before it.
const SAID_BY: [&str; 5] =
    ["Truth::False, \"", "Problem::new(\"", "self.note(\"", "degrade(status, \"", "PlannedEvent::warning(\""];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn operations() -> String {
    read("docs/operations.md")
}

/// The code of all files below `folder`, without what is only tests.
fn code(folder: &str) -> String {
    let mut text = String::new();
    gather(&root().join(folder), &mut text);
    assert!(!text.is_empty(), "{folder} has code");
    text
}

fn gather(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && name != "tests" && name != "target" {
            gather(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !name.contains("test") {
            let file = fs::read_to_string(&path).expect("a readable file");
            text.push_str(file.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default());
        }
    }
}

/// `Word` or `TwoWords`: a capital, a small letter, and letters.
fn is_word(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_uppercase())
        && letters.next().is_some_and(|second| second.is_ascii_lowercase())
        && letters.all(|letter| letter.is_ascii_alphabetic())
}

/// The literals of `code` that are words.
fn words(code: &str) -> BTreeSet<String> {
    code.split('"').filter(|piece| is_word(piece)).map(str::to_owned).collect()
}

/// Words that follow `before`.
fn words_after<'c>(code: &'c str, before: &str) -> impl Iterator<Item = String> + use<'c> {
    let pieces: Vec<&str> = code.split(before).skip(1).collect();
    pieces.into_iter().filter_map(|piece| piece.split('"').next()).filter(|word| is_word(word)).map(str::to_owned)
}

/// Variants of an enum of `file`.
fn variants(file: &str, name: &str) -> BTreeSet<String> {
    let code = read(file);
    let body = code.split(&format!("pub enum {name} {{")).nth(1).expect("the enum is there");
    let body = body.split("\n}").next().unwrap_or_default();
    let names = body.lines().filter_map(|line| line.trim().strip_suffix(',')).filter(|name| is_word(name));
    names.map(str::to_owned).collect()
}

/// Every word that a status, a problem, an event or a reason for waiting can have.
fn all_words() -> BTreeSet<String> {
    let mut all = words(&code("coordinator/planner/src"));
    all.extend(words(&code("agent/src/node")));
    let shell: String = code("coordinator/src").split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(");
    all.extend(SAID_BY.iter().flat_map(|before| words_after(&shell, before)));
    let reasons = variants("coordinator/planner/src/decision.rs", "Why");
    let conditions = variants("proto/src/status.rs", "ConditionType");
    assert!(reasons.len() > 15 && conditions.len() == 6, "{reasons:?} {conditions:?}");
    all.extend(reasons);
    // `ClusterOK` is no word as the others are.
    all.extend(conditions.into_iter().chain(["ClusterOK".to_owned()]));
    all.retain(|word| !NO_REASONS.contains(&word.as_str()));
    assert!(all.len() > 90, "they are looked for in the right places: {all:?}");
    all
}

/// What stands in backquotes in `text`.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.lines().filter(|line| !line.starts_with("```")).flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The first cells of the tables of `text`, but for their heads.
fn first_cells(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
}

/// What stands under a heading, up to the next one as high.
fn under<'t>(text: &'t str, level: &str, name: &str) -> &'t str {
    let rest = text.split(&format!("\n{level} {name}\n")).nth(1).unwrap_or_else(|| panic!("no section {name}"));
    rest.split(&format!("\n{level} ")).next().unwrap_or_default()
}

fn section<'t>(text: &'t str, name: &str) -> &'t str {
    under(text, "##", name)
}

#[test]
fn every_word_of_a_status_is_explained() {
    let document = operations();
    let section = section(&document, "Troubleshooting");
    // Conditions are headings.
    let headings = section.lines().filter_map(|line| line.strip_prefix("### ")).flat_map(|line| line.split(", "));
    let explained: BTreeSet<&str> = quoted(section).into_iter().chain(headings).collect();
    let missing: Vec<String> = all_words().into_iter().filter(|word| !explained.contains(word.as_str())).collect();
    assert!(missing.is_empty(), "docs/operations.md, Troubleshooting, does not say what these are: {missing:?}");
}

#[test]
fn reasons_to_wait_and_states_of_nodes_have_their_own_tables() {
    let document = operations();
    let troubles = section(&document, "Troubleshooting");
    let table = |name: &str| -> BTreeSet<String> {
        first_cells(under(troubles, "###", name)).flat_map(quoted).map(str::to_owned).collect()
    };
    assert_eq!(table("What it waits for"), variants("coordinator/planner/src/decision.rs", "Why"));
    let states = read("coordinator/planner/src/status/nodes.rs");
    assert_eq!(table("States of nodes"), words(&states));
    let code = code("agent/src/node");
    let problems: BTreeSet<String> =
        code.split(".problem(").skip(1).filter_map(|rest| rest.split('"').nth(1)).map(str::to_owned).collect();
    assert_eq!(table("Problems"), problems);
}

#[test]
fn no_word_is_explained_that_no_status_has() {
    let (document, known) = (operations(), all_words());
    let told: BTreeSet<&str> = first_cells(section(&document, "Troubleshooting")).flat_map(quoted).collect();
    assert!(told.len() > 60, "the tables are found: {told:?}");
    let wrong: Vec<&&str> = told.iter().filter(|word| !known.contains(**word)).collect();
    assert!(wrong.is_empty(), "docs/operations.md explains what does not exist: {wrong:?}");
}

/// Names of metrics in `text`.
fn metrics(text: &str) -> BTreeSet<String> {
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let pieces = text.split(|letter: char| !is_name(letter));
    pieces.filter(|piece| piece.starts_with("redis_cluster_")).map(str::to_owned).collect()
}

fn exported() -> BTreeSet<String> {
    let mut all = metrics(&code("coordinator/src/admin"));
    let agent = read("agent/src/metrics.rs");
    all.extend(metrics(&agent));
    assert!(all.len() > 25, "{all:?}");
    all
}

#[test]
fn the_metrics_that_are_documented_are_those_that_are_exported() {
    let document = operations();
    assert_eq!(metrics(section(&document, "Monitoring")), exported());
}

#[test]
fn the_alerts_are_rules_of_prometheus_about_metrics_that_are() {
    let rules: Value = serde_saphyr::from_str(&read("examples/alerts.yaml")).unwrap();
    let (exported, mut names) = (exported(), BTreeSet::new());
    for group in list(&rules, "groups") {
        assert!(group.get("name").is_some_and(Value::is_string));
        for rule in list(group, "rules") {
            let name = rule.get("alert").and_then(Value::as_str).expect("an alert has a name");
            assert!(names.insert(name), "{name} is there twice");
            let keys: Vec<&str> = rule.as_object().unwrap().keys().map(String::as_str).collect();
            let known = ["alert", "annotations", "expr", "for", "labels"];
            assert!(keys.iter().all(|key| known.contains(key)), "{name}: {keys:?}");
            let expression = rule.get("expr").and_then(Value::as_str).expect("an alert has an expression");
            let asked = metrics(expression);
            assert!(!asked.is_empty() && asked.is_subset(&exported), "{name}: {asked:?}");
            for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
                assert_eq!(expression.matches(open).count(), expression.matches(close).count(), "{name}: {expression}");
            }
            for text in ["summary", "description"] {
                assert!(rule.pointer(&format!("/annotations/{text}")).is_some_and(Value::is_string), "{name}: {text}");
            }
        }
    }
    assert!(names.len() > 5, "{names:?}");
}

fn list<'v>(value: &'v Value, name: &str) -> &'v Vec<Value> {
    value.get(name).and_then(Value::as_array).unwrap_or_else(|| panic!("no list of {name}"))
}

/// Groups, resource and verbs of each rule of the coordinator, as the document's table has them.
fn rights() -> BTreeSet<String> {
    let text = read("charts/redis-coordinator/templates/_rules.tpl");
    let rules = text.lines().filter(|line| !line.contains("{{")).collect::<Vec<_>>().join("\n");
    let rules: Vec<Value> = serde_saphyr::from_str(&rules).unwrap();
    let words = |rule: &Value, name: &str| {
        let words: Vec<&str> = list(rule, name).iter().filter_map(Value::as_str).collect();
        words.join(", ")
    };
    let group = |rule: &Value| match words(rule, "apiGroups").as_str() {
        "" => "core".to_owned(),
        group => format!("`{group}`"),
    };
    let row = |rule: &Value| format!("| {} | `{}` | {} |", group(rule), words(rule, "resources"), words(rule, "verbs"));
    rules.iter().map(row).collect()
}

#[test]
fn the_rights_that_are_explained_are_those_of_the_chart() {
    let document = operations();
    let rows = section(&document, "Rights").lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    let cells = |row: &str| row.splitn(5, '|').take(4).collect::<Vec<_>>().join("|") + "|";
    let told: BTreeSet<String> = rows.map(cells).collect();
    assert_eq!(told, rights());
}

#[test]
fn workflows_have_least_rights_and_pinned_actions() {
    for name in ["ci", "release"] {
        let text = read(&format!(".github/workflows/{name}.yaml"));
        let workflow: Value = serde_saphyr::from_str(&text).unwrap();
        let rights = workflow.get("permissions").expect("the rights are said").to_string();
        assert_eq!(rights, r#"{"contents":"read"}"#, "{name}");
        let uses = text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: "));
        for action in uses.filter(|action| !action.starts_with("./")) {
            let version = action.split_once("@v").map(|(_, version)| version.parse::<u32>());
            assert!(matches!(version, Some(Ok(_))), "{name}: {action} names no major version");
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let documents = fs::read_dir(root().join("docs")).unwrap().flatten();
    let documents = documents.map(|entry| format!("docs/{}", entry.file_name().to_string_lossy()));
    for file in documents.chain(["README.md".to_owned(), "CONTRIBUTING.md".to_owned(), "CHANGELOG.md".to_owned()]) {
        let text = read(&file);
        let folder = root().join(&file).parent().unwrap().to_owned();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
            let path = target.split('#').next().unwrap_or_default();
            assert!(folder.join(path).exists(), "{file} links to {target}, which is not there");
        }
    }
}
