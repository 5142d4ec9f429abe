//! A folder for one test, gone with it.

use std::path::{Path, PathBuf};

/// Removed with all it holds when dropped.
pub(crate) struct TestFolder(PathBuf);

impl TestFolder {
    /// A new empty folder. `name` is unique among the tests of this crate.
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("redisnode-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
