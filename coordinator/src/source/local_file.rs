//! A resource in a local file, looked at every 200 ms. An editor may write it in place or replace it; a moment in
//! which it is missing or half written is an invalid edit that heals itself, so it is believed only at a second look.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use redisnode_proto::spec::RedisCluster;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::parse::parse;
use super::{Source, Wanted};
use crate::files::{FileError, Readable, write_durably};
use crate::machine::local::{Directives, trial};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often it is read although its time has not changed: a change within the clock's grain leaves no other trace.
const READ_EVERY: u32 = 5;

/// A resource in a file. New directives are tried on a server before they are believed.
#[derive(Debug)]
pub struct LocalFile {
    path: PathBuf,
    wanted: Wanted,
    /// The text of the newest valid resource.
    text: String,
    /// Where that text is kept for others to read.
    copy: Option<PathBuf>,
    /// What was read last, and when it was written.
    seen: Seen,
    looks: Interval,
    looked: u32,
    /// The server that directives are tried on.
    server: Option<PathBuf>,
    trials: JoinSet<Tried>,
    /// The directives that were tried last, and how that ended; `None` while it has not.
    tried: Option<(Directives, Option<Result<(), String>>)>,
}

type Tried = (Directives, Result<(), String>);

/// What is in the file now.
enum Judged {
    Valid(Box<RedisCluster>, String),
    Invalid(String),
    /// Its directives are being tried.
    NotYet,
}

#[derive(Clone, Debug, PartialEq)]
struct Seen {
    stamp: Option<(SystemTime, u64)>,
    text: Result<String, String>,
}

impl LocalFile {
    /// Reads `path`, which must hold a valid resource. The error is a sentence with the file's name.
    pub fn open(path: &Path) -> Result<Self, String> {
        let seen = look(path);
        let text = seen.text.clone()?;
        let resource = parse(&text).map_err(|why| format!("{}: {why}", path.display()))?;
        let wanted = Wanted { resource, generation: 1, invalid_edit: None };
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            path: path.to_owned(),
            wanted,
            text,
            copy: None,
            seen,
            looks,
            looked: 0,
            server: None,
            trials: JoinSet::new(),
            tried: None,
        })
    }

    /// Tries new directives on `server` from now on, before they are believed. Those of the present resource now: the
    /// error is a sentence.
    pub async fn try_directives_on(&mut self, server: PathBuf) -> Result<(), String> {
        trial(&server, &Directives::of(&self.wanted.resource.spec))
            .await
            .map_err(|why| format!("{}: {why}", self.path.display()))?;
        self.server = Some(server);
        Ok(())
    }

    /// Keeps the text of the newest valid resource in `copy` from now on.
    pub fn keep_copy(&mut self, copy: PathBuf) -> Result<(), FileError> {
        write_durably(&copy, self.text.as_bytes(), Readable::ByOthers)?;
        self.copy = Some(copy);
        Ok(())
    }

    /// Takes a look; true when what is wanted has changed.
    fn take(&mut self, now: Seen) -> bool {
        let settled = now.text == self.seen.text;
        self.seen = now;
        let before = self.wanted.clone();
        match self.judged() {
            Judged::Valid(resource, text) => {
                if *resource != self.wanted.resource {
                    self.wanted.resource = *resource;
                    self.wanted.generation = self.wanted.generation.saturating_add(1);
                }
                self.wanted.invalid_edit = None;
                self.keep(text);
            }
            Judged::Invalid(why) if settled => self.wanted.invalid_edit = Some(why),
            Judged::Invalid(_) | Judged::NotYet => {}
        }
        self.wanted != before
    }

    fn keep(&mut self, text: String) {
        if text == self.text {
            return;
        }
        self.text = text;
        // The copy serves the command line only: without it the cluster goes on.
        if let Some(copy) = &self.copy
            && let Err(error) = write_durably(copy, self.text.as_bytes(), Readable::ByOthers)
        {
            tracing::warn!(error = String::from(error), "cannot keep a copy of the spec");
        }
    }

    fn judged(&mut self) -> Judged {
        let (resource, text) = match self.parsed() {
            Ok(parsed) => parsed,
            Err(why) => return Judged::Invalid(why),
        };
        match self.tried(Directives::of(&resource.spec)) {
            Some(Ok(())) => Judged::Valid(Box::new(resource), text),
            Some(Err(why)) => Judged::Invalid(format!("{}: {why}", self.path.display())),
            None => Judged::NotYet,
        }
    }

    /// How the trial of these directives ended; begins it if need be.
    fn tried(&mut self, directives: Directives) -> Option<Result<(), String>> {
        let known = Directives::of(&self.wanted.resource.spec);
        let Some(server) = self.server.clone().filter(|_| directives != known) else { return Some(Ok(())) };
        if let Some((last, end)) = &self.tried
            && *last == directives
        {
            return end.clone();
        }
        self.tried = Some((directives.clone(), None));
        self.trials.spawn(async move {
            let end = trial(&server, &directives).await;
            (directives, end)
        });
        None
    }

    fn end_trial(&mut self, (directives, end): Tried) {
        if let Some((last, open)) = &mut self.tried
            && *last == directives
        {
            *open = Some(end);
        }
    }

    fn parsed(&self) -> Result<(RedisCluster, String), String> {
        let text = self.seen.text.clone()?;
        let place = self.path.display();
        let resource = parse(&text).map_err(|why| format!("{place}: {why}"))?;
        let (was, is) = (&self.wanted.resource.metadata.name, &resource.metadata.name);
        if was != is {
            return Err(format!(
                "{place}: metadata.name was {was} and is {is} now: a cluster cannot be renamed; put the name back, or \
                 start the other cluster beside it"
            ));
        }
        Ok((resource, text))
    }
}

impl Source for LocalFile {
    fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    async fn changed(&mut self) {
        loop {
            tokio::select! {
                _ = self.looks.tick() => {}
                Some(Ok(tried)) = self.trials.join_next() => {
                    self.end_trial(tried);
                    if self.take(look(&self.path)) {
                        return;
                    }
                }
            }
            self.looked = self.looked.wrapping_add(1);
            let unchanged = stamp(&self.path) == self.seen.stamp && self.wanted.invalid_edit.is_none();
            if unchanged && !self.looked.is_multiple_of(READ_EVERY) {
                continue;
            }
            if self.take(look(&self.path)) {
                return;
            }
        }
    }
}

fn look(path: &Path) -> Seen {
    let stamp = stamp(path);
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    Seen { stamp, text }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn resource(name: &str, primaries: u32) -> String {
        format!(
            "apiVersion: redisnode.io/v1alpha1\nkind: RedisCluster\nmetadata:\n  name: {name}\nspec:\n  \
             numberOfMaster: {primaries}\n"
        )
    }

    async fn changed(file: &mut LocalFile) -> Wanted {
        tokio::time::timeout(Duration::from_secs(10), file.changed()).await.expect("a change is seen");
        file.wanted().clone()
    }

    #[tokio::test]
    async fn an_edit_in_place_and_an_atomic_replacement_are_both_seen() {
        let folder = Folder::new("source-edit");
        let path = folder.path().join("cluster.yaml");
        std::fs::write(&path, resource("my", 3)).unwrap();
        let mut file = LocalFile::open(&path).unwrap();
        let copy = folder.path().join("spec.yaml");
        file.keep_copy(copy.clone()).unwrap();
        std::fs::write(&path, resource("my", 4)).unwrap();
        let wanted = changed(&mut file).await;
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), resource("my", 4));
        assert_eq!((wanted.resource.spec.number_of_master, wanted.generation), (4, 2));
        let beside = folder.path().join(".cluster.yaml.swp");
        std::fs::write(&beside, resource("my", 5)).unwrap();
        std::fs::rename(&beside, &path).unwrap();
        let wanted = changed(&mut file).await;
        assert_eq!((wanted.resource.spec.number_of_master, wanted.generation), (5, 3));
    }

    #[tokio::test]
    async fn an_invalid_edit_keeps_the_last_valid_one_and_says_why_until_it_is_mended() {
        let folder = Folder::new("source-invalid");
        let path = folder.path().join("cluster.yaml");
        std::fs::write(&path, resource("my", 3)).unwrap();
        let mut file = LocalFile::open(&path).unwrap();
        for (wrong, word) in [(resource("my", 0), "numberOfMaster"), (resource("other", 3), "renamed")] {
            std::fs::write(&path, wrong).unwrap();
            let wanted = changed(&mut file).await;
            assert_eq!((wanted.resource.spec.number_of_master, wanted.generation), (3, 1));
            assert!(wanted.invalid_edit.as_ref().is_some_and(|why| why.contains(word)), "{wanted:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(changed(&mut file).await.invalid_edit.unwrap().contains("cannot read"));
        std::fs::write(&path, resource("my", 3)).unwrap();
        let wanted = changed(&mut file).await;
        assert_eq!((wanted.generation, wanted.invalid_edit), (1, None));
    }

    #[test]
    fn a_half_written_file_is_not_believed_at_first_look() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        let folder = Folder::new("source-half");
        let path = folder.path().join("cluster.yaml");
        std::fs::write(&path, resource("my", 3)).unwrap();
        let mut file = LocalFile::open(&path).unwrap();
        let half = || Seen { stamp: None, text: Ok("apiVersion: red".to_owned()) };
        assert!(!file.take(half()));
        assert!(file.take(half()), "the second look believes it");
    }

    #[tokio::test]
    async fn new_directives_are_tried_before_they_are_believed() {
        let folder = Folder::new("source-trial");
        let path = folder.path().join("cluster.yaml");
        std::fs::write(&path, resource("my", 3)).unwrap();
        let mut file = LocalFile::open(&path).unwrap();
        // Stands for a server that knows the policy lru and no other one.
        let server = folder.path().join("server");
        let script = "#!/bin/sh\ngrep policy | grep -v lru || exec sleep 60\necho no such policy\nexit 1\n";
        std::fs::write(&server, script).unwrap();
        std::fs::set_permissions(&server, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        file.server = Some(server);
        let with = |policy: &str| format!("{}  redisConfig: {{maxmemory-policy: {policy}}}\n", resource("my", 4));
        std::fs::write(&path, with("nonsense")).unwrap();
        let wanted = changed(&mut file).await;
        assert!(wanted.invalid_edit.unwrap().contains("no such policy"));
        assert_eq!(wanted.resource.spec.number_of_master, 3);
        std::fs::write(&path, with("lru")).unwrap();
        let wanted = changed(&mut file).await;
        assert_eq!((wanted.invalid_edit, wanted.resource.spec.number_of_master), (None, 4));
    }

    #[tokio::test]
    async fn a_missing_file_is_one_sentence() {
        let error = LocalFile::open(Path::new("/nonexistent/cluster.yaml")).unwrap_err();
        assert!(error.starts_with("cannot read /nonexistent/cluster.yaml"), "{error}");
    }
}
