//! The term of this life: above every term that was read and the one written down, and itself written down, durably,
//! before the first Layout of this life. So no two lives of a coordinator share a term.

use std::future::Future;
use std::path::PathBuf;

use redisnode_proto::generation::next_term;
use serde::{Deserialize, Serialize};

use crate::files::{FileError, read_json, write_json};

/// Where terms are written down.
pub trait TermStore: Send {
    /// The highest term that was written down, as far as known here; zero for none.
    fn written(&self) -> u64;

    /// Writes `term` down, durably, if that is higher than all that was written before, by whomever. The error is a
    /// sentence; then nothing was written, or nobody knows.
    fn write(&mut self, term: u64) -> impl Future<Output = Result<(), String>> + Send;
}

/// Keeps the term in a file.
#[derive(Debug)]
pub struct TermFile {
    path: PathBuf,
    written: u64,
}

#[derive(Serialize, Deserialize)]
struct Written {
    term: u64,
}

impl TermFile {
    /// The term in `path`; zero if there is no such file. A broken file is an error: guessing could repeat a term.
    pub fn open(path: PathBuf) -> Result<Self, FileError> {
        let written = read_json::<Written>(&path)?.map_or(0, |written| written.term);
        Ok(Self { path, written })
    }
}

impl TermStore for TermFile {
    fn written(&self) -> u64 {
        self.written
    }

    /// Whoever has the folder's lock is alone with it: the file needs no comparison.
    async fn write(&mut self, term: u64) -> Result<(), String> {
        write_json(&self.path, &Written { term }).map_err(String::from)?;
        self.written = term;
        Ok(())
    }
}

/// The term of this life, or the one that it would take.
#[derive(Debug)]
pub struct Term<T> {
    store: T,
    taken: Option<u64>,
}

impl<T: TermStore> Term<T> {
    /// No term is taken yet.
    pub fn new(store: T) -> Self {
        Self { store, taken: None }
    }

    /// The term of this life, or the one it would take now that the terms `read` are known.
    pub fn now_or_next(&self, read: impl IntoIterator<Item = u64>) -> u64 {
        self.taken.unwrap_or_else(|| next_term(self.store.written(), read))
    }

    /// Whether a Layout may be published under [`Self::now_or_next`].
    pub fn is_taken(&self) -> bool {
        self.taken.is_some()
    }

    /// Writes `term` down as this life's.
    pub async fn take(&mut self, term: u64) -> Result<(), String> {
        self.store.write(term).await?;
        self.taken = Some(term);
        Ok(())
    }

    /// Another life has published under this term or a higher one: the next Layout needs a new one.
    pub fn give_up(&mut self) {
        self.taken = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn term(folder: &Folder) -> Term<TermFile> {
        Term::new(TermFile::open(folder.path().join("term")).unwrap())
    }

    #[tokio::test]
    async fn the_next_life_has_a_higher_term_although_it_reads_none() {
        let folder = Folder::new("term-lives");
        let mut first = term(&folder);
        assert_eq!(first.now_or_next([4]), 5);
        first.take(5).await.unwrap();
        assert_eq!(first.now_or_next([9]), 5, "a term that is taken stays");
        assert_eq!(term(&folder).now_or_next([]), 6);
    }

    #[tokio::test]
    async fn an_overtaken_life_takes_a_term_above_the_one_it_read() {
        let folder = Folder::new("term-overtaken");
        let mut term = term(&folder);
        term.take(1).await.unwrap();
        term.give_up();
        assert!(!term.is_taken());
        assert_eq!(term.now_or_next([7]), 8);
        assert_eq!(term.now_or_next([]), 2);
    }

    #[test]
    fn a_broken_term_file_is_an_error_and_not_zero() {
        let folder = Folder::new("term-broken");
        let path = folder.path().join("term");
        std::fs::write(&path, "").unwrap();
        TermFile::open(path).unwrap_err();
    }
}
