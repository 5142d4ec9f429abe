//! Small files that must survive a power cut whole, and locks that tell who is alive. All calls block, for little.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system is full; the old content is still in place.
    #[error("the disk is full: free some space; {} was not written", path.display())]
    DiskFull {
        /// The file.
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
        source: io::Error,
    },
    /// It is there, but its content is not what it should be.
    #[error("{} is broken ({why}): put it back from a copy, or use another folder", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl FileError {
    /// The sentence for what the system said about `path`.
    pub fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { action, path, source },
        }
    }
}

impl From<FileError> for String {
    /// The error with its causes in one line.
    fn from(error: FileError) -> Self {
        crate::failure::whole(&error)
    }
}

/// Whether others on this machine may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readable {
    /// They may, as the umask says.
    ByOthers,
    /// Only by its owner.
    ByOwner,
}

/// Replaces the content of `path`, durably: either the old content is there or the new one, never a part.
pub fn write_durably(path: &Path, content: &[u8], readable: Readable) -> Result<(), FileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let passing = path.with_file_name(name);
    let written = write_and_sync(&passing, content, readable).and_then(|()| fs::rename(&passing, path));
    if let Err(source) = written {
        // On a full disk the part that was written is in the way; if it is not there, all the better.
        drop(fs::remove_file(&passing));
        return Err(FileError::io("write", path, source));
    }
    sync_folder(path.parent().unwrap_or(Path::new("/")))
}

/// Makes the names in `folder` durable.
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| FileError::io("make durable", folder, source))
}

/// [`write_durably`] of a value as JSON.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), FileError> {
    let broken = |error: serde_json::Error| FileError::Content { path: path.to_owned(), why: error.to_string() };
    let mut content = serde_json::to_vec_pretty(value).map_err(broken)?;
    content.push(b'\n');
    write_durably(path, &content, Readable::ByOthers)
}

/// The value in a JSON file; `None` if there is no such file. A broken one is an error: what was in it is unknown.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    let content = match fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(FileError::io("read", path, source)),
    };
    let broken = |error: serde_json::Error| FileError::Content { path: path.to_owned(), why: error.to_string() };
    serde_json::from_slice(&content).map(Some).map_err(broken)
}

fn write_and_sync(path: &Path, content: &[u8], readable: Readable) -> io::Result<()> {
    let mode = if readable == Readable::ByOwner { 0o600 } else { 0o666 };
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// A lock that this process holds until the value is dropped, with its process number in it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What can be seen of a lock from outside. A file that is not there was never held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockState {
    /// Nobody holds it: whoever did is dead.
    Free,
    /// Somebody holds it; the process number that is written in it, if one is.
    Held(Option<u32>),
}

impl Lock {
    /// Takes the lock, or tells the process number of who has it.
    pub fn take(path: &Path) -> Result<Result<Self, Option<u32>>, FileError> {
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).open(path);
        let mut file = opened.map_err(|source| FileError::io("open the lock", path, source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(written_pid(path))),
            Err(TryLockError::Error(source)) => return Err(FileError::io("lock", path, source)),
        }
        // The number serves messages only: without it (full disk) the lock works all the same.
        if let Err(error) = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())) {
            tracing::warn!(path = %path.display(), %error, "cannot write the process number into the lock");
        }
        Ok(Ok(Self { _file: file }))
    }
}

/// Looks at a lock without keeping it.
pub fn look(path: &Path) -> Result<LockState, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(LockState::Free),
        Err(source) => return Err(FileError::io("open the lock", path, source)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(LockState::Free),
        Err(TryLockError::WouldBlock) => Ok(LockState::Held(written_pid(path))),
        Err(TryLockError::Error(source)) => Err(FileError::io("look at the lock", path, source)),
    }
}

/// Whether surely nobody holds it. A lock that cannot be looked at may be held.
pub fn is_free(path: &Path) -> bool {
    matches!(look(path), Ok(LockState::Free))
}

fn written_pid(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn what_is_written_is_read_and_nothing_is_left_beside_it() {
        let folder = Folder::new("files-write");
        let path = folder.path().join("file.json");
        assert_eq!(read_json::<u32>(&path).unwrap(), None);
        write_json(&path, &1).unwrap();
        write_json(&path, &2).unwrap();
        assert_eq!(read_json::<u32>(&path).unwrap(), Some(2));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_broken_file_is_not_an_absent_one() {
        let folder = Folder::new("files-broken");
        let path = folder.path().join("file.json");
        fs::write(&path, "").unwrap();
        assert!(matches!(read_json::<u32>(&path), Err(FileError::Content { .. })));
    }

    #[test]
    fn a_secret_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new("files-secret");
        let path = folder.path().join("token");
        write_durably(&path, b"x", Readable::ByOwner).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_second_one_to_lock_is_told_who_was_first() {
        let folder = Folder::new("files-lock");
        let path = folder.path().join("lock");
        assert_eq!(look(&path).unwrap(), LockState::Free);
        let held = Lock::take(&path).unwrap().unwrap();
        assert_eq!(Lock::take(&path).unwrap().unwrap_err(), Some(std::process::id()));
        assert_eq!(look(&path).unwrap(), LockState::Held(Some(std::process::id())));
        drop(held);
        assert_eq!(look(&path).unwrap(), LockState::Free);
        Lock::take(&path).unwrap().unwrap();
    }

    #[test]
    fn a_full_disk_is_said_as_such() {
        let full = io::Error::from(ErrorKind::StorageFull);
        assert!(FileError::io("write", Path::new("/x"), full).to_string().contains("free some space"));
    }
}
