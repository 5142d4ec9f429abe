//! Locks on files of a member's folder: one agent, one launcher and one server work on it at a time.
//!
//! All are advisory locks of the whole file (flock). The kernel drops one when the last process that has it open ends,
//! however it ends, so a lock that is held means that somebody lives. The file itself stays; its presence means nothing.
//! Nothing here breaks a lock or asks whether the process written in it still exists.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long taking a lock goes on against a holder that may only be looking ([`probe`] holds a shared lock for an
/// instant).
pub const PATIENCE: Duration = Duration::from_millis(50);
const PAUSE: Duration = Duration::from_millis(1);

/// A lock that this process holds until the value is dropped.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// What can be seen of a lock from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockState {
    /// The file is there and nobody holds it: whoever did is dead.
    Free,
    /// Somebody holds it.
    Held,
    /// There is no such file: nobody ever held it here.
    Missing,
}

/// Why a lock could not be taken or looked at.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error(
        "{} is held by {}: stop that process first, or use another folder",
        path.display(),
        holder.map_or("another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Held {
        /// The lock's file.
        path: PathBuf,
        /// The process that wrote its number in it, if it is readable.
        holder: Option<u32>,
    },
    /// The file could not be used; whether the lock is held is unknown.
    #[error("cannot use the lock {}", path.display())]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl FolderLock {
    /// Takes the lock and writes this process's number in its file, which is made if it is missing. Waits up to
    /// [`PATIENCE`], blocking. Errors: [`LockError::Held`] names the holder; [`LockError::Io`].
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let Some(mut file) = lock_exclusively(path)? else {
            return Err(LockError::Held { path: path.to_owned(), holder: holder(path) });
        };
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = written {
            // The number only serves a message. On a full disk the lock itself still works, and so must we.
            tracing::warn!(path = %path.display(), %error, "cannot write the process number in the lock");
        }
        Ok(Self { _file: file })
    }
}

/// Looks at a lock without keeping it. Two looks at once do not see each other.
pub fn probe(path: &Path) -> Result<LockState, LockError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(LockState::Missing),
        Err(source) => {
            return Err(LockError::Io { path: path.to_owned(), source });
        }
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(LockState::Free),
        Err(TryLockError::WouldBlock) => Ok(LockState::Held),
        Err(TryLockError::Error(source)) => Err(LockError::Io { path: path.to_owned(), source }),
    }
}

/// The locked file, made if it is missing; none if it was held by others during all of [`PATIENCE`]. Blocks so long.
pub(crate) fn lock_exclusively(path: &Path) -> Result<Option<File>, LockError> {
    let io = |source| LockError::Io { path: path.to_owned(), source };
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
    let until = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(source)) => return Err(io(source)),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => return Ok(None),
            // A waiting lock has no time-out and could not be given up, so it is asked again.
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
        }
    }
}

/// The process number that the holder wrote, if it has.
fn holder(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(32).read_to_string(&mut text)).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::TestFolder;

    #[test]
    fn a_second_holder_is_told_who_the_first_one_is() {
        let folder = TestFolder::new("lock-second");
        let path = folder.path().join("agent.lock");
        let lock = FolderLock::acquire(&path).unwrap();
        let message = FolderLock::acquire(&path).unwrap_err().to_string();
        let pid = format!("process {}", std::process::id());
        assert!(message.contains(&pid) && message.contains("agent.lock"), "{message}");
        drop(lock);
        FolderLock::acquire(&path).unwrap();
    }

    #[test]
    fn a_look_tells_missing_free_and_held_apart() {
        let folder = TestFolder::new("lock-probe");
        let path = folder.path().join("server.lock");
        assert_eq!(probe(&path).unwrap(), LockState::Missing);
        let lock = FolderLock::acquire(&path).unwrap();
        assert_eq!(probe(&path).unwrap(), LockState::Held);
        drop(lock);
        assert_eq!(probe(&path).unwrap(), LockState::Free);
        assert_eq!(probe(&path).unwrap(), LockState::Free, "a look leaves nothing behind");
    }

    #[test]
    fn looks_do_not_see_each_other_and_taking_waits_for_them() {
        let folder = TestFolder::new("lock-looks");
        let path = folder.path().join("server.lock");
        drop(FolderLock::acquire(&path).unwrap());
        let look = File::open(&path).unwrap();
        look.try_lock_shared().unwrap();
        assert_eq!(probe(&path).unwrap(), LockState::Free);
        let waiting = std::thread::spawn(move || FolderLock::acquire(&path));
        std::thread::sleep(Duration::from_millis(10));
        drop(look);
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_used_is_not_a_free_lock() {
        let folder = TestFolder::new("lock-unusable");
        let below_a_file = folder.path().join("file").join("server.lock");
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(matches!(probe(&below_a_file), Err(LockError::Io { .. })));
        assert!(matches!(FolderLock::acquire(&below_a_file), Err(LockError::Io { .. })));
    }
}
