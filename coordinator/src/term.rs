//! The term of this life: above every term that was read and the one written down, and itself written down, durably,
//! before the first Layout of this life. So no two lives of a coordinator share a term.

use std::path::PathBuf;

use redisnode_proto::generation::next_term;
use serde::{Deserialize, Serialize};

use crate::files::{FileError, read_json, write_json};

/// Keeps the term in a file.
#[derive(Debug)]
pub struct TermFile {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Written {
    term: u64,
}

impl TermFile {
    /// The term in `path`; zero if there is no such file. A broken file is an error: guessing could repeat a term.
    pub fn open(path: PathBuf) -> Result<(Self, u64), FileError> {
        let written = read_json::<Written>(&path)?.map_or(0, |written| written.term);
        Ok((Self { path }, written))
    }

    fn write(&self, term: u64) -> Result<(), FileError> {
        write_json(&self.path, &Written { term })
    }
}

/// The term of this life, or the one that it would take.
#[derive(Debug)]
pub struct Term {
    file: TermFile,
    written: u64,
    taken: bool,
}

impl Term {
    /// No term is taken yet; `written` is the one in the file.
    pub fn new(file: TermFile, written: u64) -> Self {
        Self { file, written, taken: false }
    }

    /// The term of this life, or the one it would take now that the terms `read` are known.
    pub fn now_or_next(&self, read: impl IntoIterator<Item = u64>) -> u64 {
        if self.taken { self.written } else { next_term(self.written, read) }
    }

    /// Whether a Layout may be published under [`Self::now_or_next`].
    pub fn is_taken(&self) -> bool {
        self.taken
    }

    /// Writes `term` down as this life's.
    pub fn take(&mut self, term: u64) -> Result<(), FileError> {
        self.file.write(term)?;
        (self.written, self.taken) = (term, true);
        Ok(())
    }

    /// Another life has published under this term or a higher one: the next Layout needs a new one.
    pub fn give_up(&mut self) {
        self.taken = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn term(folder: &Folder) -> Term {
        let (file, written) = TermFile::open(folder.path().join("term")).unwrap();
        Term::new(file, written)
    }

    #[test]
    fn the_next_life_has_a_higher_term_although_it_reads_none() {
        let folder = Folder::new("term-lives");
        let mut first = term(&folder);
        assert_eq!(first.now_or_next([4]), 5);
        first.take(5).unwrap();
        assert_eq!(first.now_or_next([9]), 5, "a term that is taken stays");
        assert_eq!(term(&folder).now_or_next([]), 6);
    }

    #[test]
    fn an_overtaken_life_takes_a_term_above_the_one_it_read() {
        let folder = Folder::new("term-overtaken");
        let mut term = term(&folder);
        term.take(1).unwrap();
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
