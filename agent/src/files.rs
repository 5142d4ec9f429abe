//! Files that must survive a power cut whole: either the old content or the new one, never a part.
//!
//! One writer per path: the new content passes through a fixed name beside it, so that a crash leaves at most one
//! such file, which the next write replaces. The functions block; they are meant for small files.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system, or this user's share of it, is full. The old content is still in place.
    #[error("disk full: free space on {}; {} was not written", folder.display(), path.display())]
    DiskFull {
        /// The folder on the full file system.
        folder: PathBuf,
        /// The file that was to be written.
        path: PathBuf,
    },
    /// The system refused something else.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is there, but its content is not what it should be.
    #[error("{} line {line}, column {column}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Counted from 1; 0 if the content could not be written as JSON.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What is wrong.
        reason: String,
    },
}

/// Replaces a file's content, durably: when this returns, a power cut does not bring the old content back.
pub fn write_durably(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let folder = folder_of(path);
    let passing = passing_name(path);
    let written = write_and_sync(&passing, content).and_then(|()| fs::rename(&passing, path));
    if let Err(source) = written {
        // On a full disk the part that was written is in the way; if it is not there, all the better.
        drop(fs::remove_file(&passing));
        return Err(refused("write", path, source));
    }
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| refused("make durable the folder", folder, source))
}

/// Replaces a file's content with this value as JSON, durably.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), FileError> {
    let mut content = serde_json::to_vec_pretty(value).map_err(|error| content_error(path, &error))?;
    content.push(b'\n');
    write_durably(path, &content)
}

/// The value in a JSON file; none if there is no such file. An empty or broken file is [`FileError::Content`]: what
/// was in it is unknown, which is not the same as nothing.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    let content = match fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(refused("read", path, source)),
    };
    serde_json::from_slice(&content).map(Some).map_err(|error| content_error(path, &error))
}

/// The sentence for what the system said about a file; a full disk gets one of its own.
pub(crate) fn refused(action: &'static str, path: &Path, source: io::Error) -> FileError {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            FileError::DiskFull { folder: folder_of(path).to_owned(), path: path.to_owned() }
        }
        _ => FileError::Io { action, path: path.to_owned(), source },
    }
}

fn write_and_sync(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn passing_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

fn content_error(path: &Path, error: &serde_json::Error) -> FileError {
    FileError::Content {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
        reason: without_place(&error.to_string()),
    }
}

/// serde_json ends its sentences with the place, which stands at the start of ours.
fn without_place(reason: &str) -> String {
    reason.rsplit_once(" at line ").map_or(reason, |(reason, _)| reason).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::TestFolder;

    #[test]
    fn what_is_written_is_read_and_nothing_is_left_beside_it() {
        let folder = TestFolder::new("files-write");
        let path = folder.path().join("ledger.json");
        assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), None);
        write_json(&path, &vec![1, 2]).unwrap();
        write_json(&path, &vec![3]).unwrap();
        assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), Some(vec![3]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_crash_left_is_replaced() {
        let folder = TestFolder::new("files-crash");
        let path = folder.path().join("ledger.json");
        fs::write(folder.path().join("ledger.json.new"), "[1, 2, 3, 4, 5, 6 half of a longer").unwrap();
        write_json(&path, &vec![3]).unwrap();
        assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), Some(vec![3]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn broken_content_is_named_by_file_and_line() {
        let folder = TestFolder::new("files-broken");
        let path = folder.path().join("ledger.json");
        fs::write(&path, "[\n1,\nx]").unwrap();
        let message = read_json::<Vec<u8>>(&path).unwrap_err().to_string();
        assert!(message.contains("ledger.json line 3, column 1: expected value"), "{message}");
        assert_eq!(message.matches("line").count(), 1, "{message}");
        fs::write(&path, "").unwrap();
        assert!(matches!(read_json::<Vec<u8>>(&path), Err(FileError::Content { .. })));
    }

    #[test]
    fn a_failed_write_leaves_the_old_content() {
        let folder = TestFolder::new("files-failed");
        let path = folder.path().join("ledger.json");
        write_json(&path, &vec![1]).unwrap();
        fs::create_dir(folder.path().join("ledger.json.new")).unwrap();
        let error = write_json(&path, &vec![2]).unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error}");
        assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), Some(vec![1]));
    }

    #[test]
    fn a_full_disk_says_what_to_do() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let source = write_and_sync(full, b"x").unwrap_err();
        let message = refused("write", Path::new("/data/ledger.json"), source).to_string();
        assert_eq!(message, "disk full: free space on /data; /data/ledger.json was not written");
    }
}
