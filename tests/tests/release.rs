//! A release, as `.ci/release.sh` makes it: from a repository made for the test, of programs that only know their version,
//! without images. What it refuses, what it gives out, and that the same commit gives the same bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use redisnode_tests::kube::Kubernetes;

const VERSION: &str = "7.8.9-rc.1";
const PROGRAMS: [&str; 3] = ["kubectl-rediscluster", "redis-coordinator", "redisnode"];
/// What a release needs of the tree.
const NEEDED: [&str; 8] =
    [".ci", ".gitignore", "CHANGELOG.md", "Cargo.lock", "Cargo.toml", "charts", "docker", "tests/setup.sh"];

/// A repository with one commit.
struct Repository {
    folder: PathBuf,
    helm: PathBuf,
}

impl Repository {
    /// `None`, after the reason has been said, where helm is not.
    fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let helm = Kubernetes::program("helm")?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("redisnode-release-{}-{number}", std::process::id()));
        let repository = Self { folder, helm };
        let tree = repository.tree();
        fs::create_dir_all(tree.join("tests")).unwrap();
        for name in NEEDED {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
            let copied = Command::new("cp").arg("-r").args([from, tree.join(name)]).status().unwrap();
            assert!(copied.success(), "{name} is copied");
        }
        repository.programs(VERSION);
        repository.git(&["init", "--quiet"]);
        repository.commit();
        Some(repository)
    }

    fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// Programs that say that they are of this version.
    fn programs(&self, version: &str) {
        let folder = self.folder.join("programs").join(architecture());
        fs::create_dir_all(&folder).unwrap();
        for name in PROGRAMS {
            let path = folder.join(name);
            fs::write(&path, format!("#!/bin/sh\necho {name} {version}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(args).current_dir(self.tree()).env("GIT_CONFIG_GLOBAL", "/dev/null");
        for (who, name) in [("AUTHOR", "a"), ("COMMITTER", "c")] {
            command.env(format!("GIT_{who}_NAME"), name).env(format!("GIT_{who}_EMAIL"), "test@example.com");
            command.env(format!("GIT_{who}_DATE"), "2026-01-02T03:04:05Z");
        }
        let output = command.output().expect("git runs");
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "a commit"]);
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.tree().join(name), text).unwrap();
    }

    fn run(&self, version: &str) -> Output {
        let mut command = Command::new("bash");
        command.arg(self.tree().join(".ci/release.sh")).arg(version).env("IMAGES", "no").env("HELM", &self.helm);
        command.env("REDISNODE_PROGRAMS", self.folder.join("programs")).env_remove("DOCKER_REGISTRY");
        command.output().expect("bash runs")
    }

    /// Makes a release; the folder with it.
    #[track_caller]
    fn release(&self, version: &str) -> PathBuf {
        let output = self.run(version);
        assert!(output.status.success(), "{}", stderr(&output));
        self.tree().join("dist").join(version)
    }

    /// It is refused with a sentence that has `words`, and nothing is there that was not.
    #[track_caller]
    fn refuses(&self, version: &str, words: &str) {
        let before = self.given_out();
        let output = self.run(version);
        assert!(!output.status.success(), "{version} is refused");
        assert!(stderr(&output).contains(words), "{words:?} is not in: {}", stderr(&output));
        assert_eq!(self.given_out(), before);
    }

    /// Names in dist, but for the folder with what is kept between releases.
    fn given_out(&self) -> BTreeSet<String> {
        names(&self.tree().join("dist")).into_iter().filter(|name| name != ".build").collect()
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// What a program prints about `file`.
#[track_caller]
fn of(program: &Path, args: &[&str], file: &Path) -> String {
    let output = Command::new(program).args(args).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_release_has_one_version_and_checksums_and_leaves_the_tree_as_it_is() {
    let Some(repository) = Repository::new() else { return };
    let dist = repository.release(VERSION);
    let archive = format!("redisnode-{VERSION}-linux-{}.tar.gz", architecture());
    let charts = ["redis-coordinator", "redis-cluster"].map(|name| format!("{name}-{VERSION}.tgz"));
    let others = ["CHANGELOG.md", "SHA256SUMS", "index.yaml", "rediscluster-crd.yaml"].map(str::to_owned);
    let wanted: BTreeSet<String> = others.into_iter().chain(charts.clone()).chain([archive.clone()]).collect();
    assert_eq!(names(&dist), wanted);
    let members = of(Path::new("tar"), &["-tzf"], &dist.join(archive));
    assert_eq!(members.lines().collect::<BTreeSet<_>>(), BTreeSet::from(PROGRAMS));
    for chart in &charts {
        let shown = of(&repository.helm, &["show", "chart"], &dist.join(chart));
        assert!(shown.contains(&format!("\nversion: {VERSION}\n")), "{shown}");
        assert!(shown.contains(&format!("appVersion: {VERSION}\n")), "{shown}");
    }
    let index = fs::read_to_string(dist.join("index.yaml")).unwrap();
    let index: serde_json::Value = serde_saphyr::from_str(&index).unwrap();
    for (chart, file) in ["redis-coordinator", "redis-cluster"].iter().zip(&charts) {
        let listed = index.pointer(&format!("/entries/{chart}/0")).expect("each chart is listed");
        let sum = of(Path::new("sha256sum"), &[], &dist.join(file));
        assert_eq!(listed.get("digest").and_then(|digest| digest.as_str()), sum.split_whitespace().next());
        assert_eq!(listed.pointer("/urls/0").and_then(|url| url.as_str()), Some(file.as_str()));
        assert_eq!(listed.get("created").and_then(|date| date.as_str()), Some("2026-01-02T03:04:05Z"));
    }
    let checked = Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&dist).output();
    let checked = checked.unwrap();
    assert!(checked.status.success(), "{}", stderr(&checked));
    let sums = fs::read_to_string(dist.join("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), wanted.len() - 1, "all but itself: {sums}");
    assert_eq!(repository.git(&["status", "--porcelain", "--ignored"]), "!! dist/\n");
}

#[test]
fn the_copy_that_is_built_has_the_version_in_cargos_files() {
    let Some(repository) = Repository::new() else { return };
    repository.release(VERSION);
    let source = repository.tree().join("dist/.build/source");
    let manifest = fs::read_to_string(source.join("Cargo.toml")).unwrap();
    assert!(manifest.contains(&format!("[workspace.package]\nversion = \"{VERSION}\"\n")), "{manifest}");
    let (was, is) = (repository.tree().join("Cargo.lock"), source.join("Cargo.lock"));
    let (was, is) = (fs::read_to_string(was).unwrap(), fs::read_to_string(is).unwrap());
    let changed: Vec<(&str, &str)> = was.lines().zip(is.lines()).filter(|(was, is)| was != is).collect();
    assert_eq!(was.lines().count(), is.lines().count());
    // The crates of the workspace, each once, and no crate from elsewhere.
    let own = format!("version = \"{}\"", env!("CARGO_PKG_VERSION"));
    assert_eq!(changed.len(), 8);
    assert!(changed.iter().all(|(was, is)| *was == own && *is == format!("version = \"{VERSION}\"")), "{changed:?}");
}

#[test]
fn the_same_commit_gives_the_same_bytes() {
    let (Some(one), Some(other)) = (Repository::new(), Repository::new()) else { return };
    let sums = [&one, &other].map(|repository| {
        let dist = repository.release(VERSION);
        fs::read_to_string(dist.join("SHA256SUMS")).unwrap()
    });
    assert_eq!(sums[0], sums[1]);
}

#[test]
fn the_entry_of_the_changelog_is_its_own_or_else_what_is_unreleased() {
    let Some(repository) = Repository::new() else { return };
    let entry = |version: &str| {
        repository.programs(version);
        fs::read_to_string(repository.release(version).join("CHANGELOG.md")).unwrap()
    };
    let head = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- New.\n\n";
    repository.write("CHANGELOG.md", &format!("{head}## [1.0.0] - 2026-01-01\n\n- Old.\n\n[1.0.0]: somewhere\n"));
    repository.commit();
    assert_eq!(entry("1.1.0"), "## [1.1.0] - 2026-01-02\n\n### Added\n\n- New.\n");
    assert_eq!(entry("1.0.0"), "## [1.0.0] - 2026-01-02\n\n- Old.\n");
    repository.write("CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n\n## [1.0.0] - 2026-01-01\n\n- Old.\n");
    repository.commit();
    repository.refuses("1.2.0", "CHANGELOG.md says nothing about 1.2.0");
}

#[test]
fn what_is_no_version_or_no_commit_or_was_released_is_refused_with_a_sentence() {
    let Some(repository) = Repository::new() else { return };
    for wrong in ["1.2", "1.2.3.4", "01.2.3", "1.2.3-", "1.2.3-rc..1", "1.2.3-01", "latest", "../../tmp", "1.2.3 "] {
        repository.refuses(wrong, "is not a semantic version");
    }
    repository.refuses("v1.2.3", "write VERSION=1.2.3");
    repository.refuses("1.2.3+linux", "leave it out");
    repository.refuses("", "release.sh VERSION");
    repository.refuses("1.2.3", "and not 1.2.3");
    repository.write("charts/new", "not committed");
    repository.refuses(VERSION, "charts/new");
    fs::remove_file(repository.tree().join("charts/new")).unwrap();
    repository.release(VERSION);
    repository.refuses(VERSION, "has been released");
    repository.git(&["tag", "v7.8.9"]);
    repository.write("CHANGELOG.md", "## [Unreleased]\n\n- More.\n");
    repository.commit();
    repository.refuses("7.8.9", "the tag v7.8.9 is another commit");
}

#[test]
fn a_missing_program_is_named() {
    let Some(repository) = Repository::new() else { return };
    fs::remove_file(repository.folder.join("programs").join(architecture()).join("redisnode")).unwrap();
    repository.refuses(VERSION, "there is no program redisnode");
}
