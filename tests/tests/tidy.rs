//! The repository's own rules, as tests: what the pure cores may depend on, that each file says what it holds, that no
//! file became the place for everything, and that wire words stay where replies are parsed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates that decide, and must do nothing else.
const PURE: [&str; 3] = ["redisnode-proto", "redisnode-agent-core", "redisnode-planner"];
/// What would give a pure crate a runtime, a clock, a random number or a socket.
const FORBIDDEN: [&str; 12] =
    ["tokio", "hyper", "kube", "nix", "jiff", "chrono", "time", "rand", "mio", "socket2", "reqwest", "getrandom"];
const LONGEST_FILE: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace").to_owned()
}

/// Everything that `package` is built with, its own name too.
fn dependencies(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "-p", package, "-e", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["proto", "agent", "coordinator", "tests"] {
        sources(&root().join(folder), &mut found);
    }
    assert!(found.len() > 100, "the sources are looked for in the right place");
    found
}

#[test]
fn the_pure_crates_have_no_runtime_no_clock_and_no_sockets() {
    for package in PURE {
        let dependencies = dependencies(package);
        assert!(dependencies.iter().any(|name| name == package), "{package} is looked at");
        let wrong: Vec<&String> = dependencies.iter().filter(|name| FORBIDDEN.contains(&name.as_str())).collect();
        assert!(wrong.is_empty(), "{package} depends on {wrong:?}");
    }
}

#[test]
fn the_two_sides_do_not_know_each_other() {
    for (package, other) in [("redisnode-agent", "redisnode-planner"), ("redis-coordinator", "redisnode-agent-core")] {
        let dependencies = dependencies(package);
        assert!(!dependencies.iter().any(|name| name == other), "{package} depends on {other}");
    }
}

#[test]
fn each_file_says_what_it_holds() {
    let silent = |path: &&PathBuf| !fs::read_to_string(path).expect("a readable file").starts_with("//!");
    let silent: Vec<PathBuf> = all_sources().iter().filter(silent).cloned().collect();
    assert!(silent.is_empty(), "these files do not begin with a `//!` line: {silent:?}");
}

#[test]
fn no_file_became_the_place_for_everything() {
    let long = |path: &PathBuf| {
        let lines = fs::read_to_string(path).expect("a readable file").lines().count();
        (lines > LONGEST_FILE).then(|| format!("{} ({lines} lines)", path.display()))
    };
    let long: Vec<String> = all_sources().iter().filter_map(long).collect();
    assert!(long.is_empty(), "split these: {long:?}");
}

#[test]
fn the_pure_cores_never_say_the_wires_words() {
    let mut found = Vec::new();
    for folder in ["agent/core/src", "coordinator/planner/src"] {
        sources(&root().join(folder), &mut found);
    }
    let speaks = |path: &&PathBuf| {
        let text = fs::read_to_string(path).expect("a readable file").to_lowercase();
        // The resource's own field, and the servers' directives, keep the names that their users know.
        let text = text.replace("number_of_master", "").replace("numberofmaster", "");
        let text = text.replace("masterauth", "").replace("masteruser", "").replace("masterdown", "");
        text.contains("master") || text.contains("slave")
    };
    let wrong: Vec<PathBuf> = found.iter().filter(speaks).cloned().collect();
    assert!(wrong.is_empty(), "primary and replica are the words: {wrong:?}");
}
