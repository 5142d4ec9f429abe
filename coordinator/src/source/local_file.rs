//! A resource in a local file, looked at every 200 ms. An editor may write it in place or replace it; a moment in
//! which it is missing or half written is an invalid edit that heals itself, so it is believed only at a second look.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use redisnode_proto::spec::RedisCluster;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::parse::parse;
use super::{Source, Wanted};
use crate::files::{FileError, Readable, write_durably};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often it is read although its time has not changed: a change within the clock's grain leaves no other trace.
const READ_EVERY: u32 = 5;

/// A resource in a file.
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
        Ok(Self { path: path.to_owned(), wanted, text, copy: None, seen, looks, looked: 0 })
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
            Ok((resource, text)) => {
                if resource != self.wanted.resource {
                    self.wanted.resource = resource;
                    self.wanted.generation = self.wanted.generation.saturating_add(1);
                }
                self.wanted.invalid_edit = None;
                self.keep(text);
            }
            Err(why) if settled => self.wanted.invalid_edit = Some(why),
            Err(_) => {}
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

    fn judged(&self) -> Result<(RedisCluster, String), String> {
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
            self.looks.tick().await;
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
    async fn a_missing_file_is_one_sentence() {
        let error = LocalFile::open(Path::new("/nonexistent/cluster.yaml")).unwrap_err();
        assert!(error.starts_with("cannot read /nonexistent/cluster.yaml"), "{error}");
    }
}
