//! Starts the server: with the lock as its standard input, its log as its output, in a process group of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{SERVER_LOCK, SERVER_LOG};
use crate::files::{FileError, refused};
use crate::lock::{LockError, lock_exclusively};

/// A log of more bytes than this is put aside at the next start.
const LARGEST_LOG: u64 = 16 * 1024 * 1024;
/// How much of the log's end is told when the server ends.
const TAIL_LINES: usize = 20;
const TAIL_BYTES: u64 = 16 * 1024;

/// What came of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It runs. Its log begins at this place of the file.
    Running { pid: u32, log_from: u64 },
    /// Another server, or a child of one, lives.
    Occupied,
    /// It does not run, for this reason.
    Failed(String),
}

/// Starts a server in the current folder, unless one lives there.
pub(super) fn start(argv: &[String]) -> Outcome {
    let lock = match lock_exclusively(Path::new(SERVER_LOCK)) {
        Ok(Some(lock)) => lock,
        Ok(None) => return Outcome::Occupied,
        Err(LockError::Io { source, .. }) => return Outcome::Failed(sentence("use", SERVER_LOCK, source)),
        Err(error @ LockError::Held { .. }) => return Outcome::Failed(error.to_string()),
    };
    match open_log() {
        Ok((log, from)) => spawn(argv, lock, log, from),
        Err(error) => Outcome::Failed(sentence("open", SERVER_LOG, error)),
    }
}

/// The last lines that a server wrote whose log begins at `from`. A log that cannot be read gives none.
pub(super) fn tail(from: u64) -> Vec<String> {
    read_tail(from).unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot read the end of the server's log");
        Vec::new()
    })
}

/// The lock goes into the child and this function's copy ends here, whatever happens: from then on only the server
/// and its children hold it.
fn spawn(argv: &[String], lock: File, log: File, log_from: u64) -> Outcome {
    let Some((program, args)) = argv.split_first() else {
        return Outcome::Failed("the order to start names no program".to_owned());
    };
    let errors = match log.try_clone() {
        Ok(errors) => errors,
        Err(error) => return Outcome::Failed(format!("cannot share the server's log: {error}")),
    };
    let spawned = Command::new(program)
        .args(args)
        .stdin(Stdio::from(lock))
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(errors))
        .process_group(0)
        .spawn();
    match spawned {
        // Its end is taken by `reap`, with that of all other children.
        Ok(child) => Outcome::Running { pid: child.id(), log_from },
        Err(error) => Outcome::Failed(not_spawned(program, &error)),
    }
}

fn not_spawned(program: &str, error: &io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::NotFound => "install it, or name the right path",
        ErrorKind::PermissionDenied => "make it executable for this user",
        _ => "see that it is a program for this machine, and that memory and processes are left",
    };
    format!("cannot start {program}: {error}; {advice}")
}

/// The log, to be appended to, and its length.
fn open_log() -> io::Result<(File, u64)> {
    let is_large = fs::metadata(SERVER_LOG).is_ok_and(|log| log.len() > LARGEST_LOG);
    if is_large {
        fs::rename(SERVER_LOG, format!("{SERVER_LOG}.1"))?;
    }
    let log = OpenOptions::new().append(true).create(true).open(SERVER_LOG)?;
    let length = log.metadata()?.len();
    Ok((log, length))
}

fn read_tail(from: u64) -> io::Result<Vec<String>> {
    let mut log = File::open(SERVER_LOG)?;
    let from = from.max(log.metadata()?.len().saturating_sub(TAIL_BYTES));
    log.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    log.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let last = lines.iter().skip(lines.len().saturating_sub(TAIL_LINES));
    Ok(last.map(|line| (*line).to_owned()).collect())
}

/// What the system said about a file of the current folder, in one sentence with the whole path.
fn sentence(action: &'static str, name: &str, error: io::Error) -> String {
    let path = std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name));
    match refused(action, &path, error) {
        FileError::Io { action, path, source } => format!("cannot {action} {}: {source}", path.display()),
        error @ (FileError::DiskFull { .. } | FileError::Content { .. }) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_with_the_folder_to_clear() {
        let said = sentence("open", SERVER_LOG, io::Error::from(ErrorKind::StorageFull));
        let here = std::env::current_dir().unwrap();
        assert!(said.starts_with(&format!("disk full: free space on {}; ", here.display())), "{said}");
        let said = sentence("use", SERVER_LOCK, io::Error::from(ErrorKind::PermissionDenied));
        assert!(said.starts_with("cannot use /") && said.ends_with("server.lock: permission denied"), "{said}");
    }
}
