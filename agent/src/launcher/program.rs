//! Which server there is in the launcher's container, and what would be loaded with it. The agent may live in another
//! container, and cannot look for itself.

use std::env;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;

use super::protocol::Program;

/// What an agent says that leaves the choice to the launcher.
pub const AUTO: &str = "auto";
/// The servers that are looked for then, and where their stock images keep the modules that their own entry points load.
const KNOWN: [(&str, &str); 2] =
    [("redis-server", "/usr/local/lib/redis/modules"), ("valkey-server", "/usr/lib/valkey")];
/// A version is printed within milliseconds; on a machine under load it may take a while.
const VERSION_WITHIN: Duration = Duration::from_secs(10);
/// A version line has some hundred bytes.
const MOST_OUTPUT: u64 = 4096;

/// Looks for the program that the agent asks for, and asks it for its version.
pub(super) async fn find(asked: String) -> Program {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let (program, modules) = match look_for(&asked, &folders) {
        Ok(found) => found,
        Err(missing) => return Program { asked, missing: Some(missing), ..Program::default() },
    };
    match version(&program).await {
        Ok(version) => Program { asked, path: program, version, modules, missing: None },
        Err(error) => {
            let missing = format!(
                "the server's program {program} cannot be run ({error}): install it, or name another one; it must be a \
                 program for this machine"
            );
            Program { asked, missing: Some(missing), ..Program::default() }
        }
    }
}

/// The program's path and the modules of its image. The error is a sentence.
fn look_for(asked: &str, folders: &[PathBuf]) -> Result<(String, Vec<String>), String> {
    if asked != AUTO {
        return Ok((asked.to_owned(), Vec::new()));
    }
    let found = KNOWN.iter().find_map(|(name, modules)| {
        let program = folders.iter().map(|folder| folder.join(name)).find(|path| is_executable(path))?;
        Some((program.to_str()?.to_owned(), modules_in(Path::new(modules))))
    });
    found.ok_or_else(|| {
        let searched: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        format!(
            "there is no redis-server and no valkey-server in {}: use an image that has one of them in its PATH",
            searched.join(":")
        )
    })
}

/// The servers refuse a module that this user may not execute, and would not start with it.
fn modules_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_module = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "so") && is_executable(path);
    let mut modules: Vec<String> =
        entries.filter(is_module).filter_map(|path| path.into_os_string().into_string().ok()).collect();
    modules.sort();
    modules
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// What `--version` prints. The child's end is taken by `reap`, with that of all others.
async fn version(program: &str) -> io::Result<String> {
    let mut child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let Some(output) = child.stdout.take() else { return Ok(String::new()) };
    let mut text = Vec::new();
    let mut output = Receiver::from_owned_fd(OwnedFd::from(output))?.take(MOST_OUTPUT);
    let Ok(read) = timeout(VERSION_WITHIN, output.read_to_end(&mut text)).await else {
        end(child.id());
        let why = format!("it has not told its version within {} s", VERSION_WITHIN.as_secs());
        return Err(io::Error::new(io::ErrorKind::TimedOut, why));
    };
    read.map(|_| String::from_utf8_lossy(&text).trim().to_owned())
}

/// Kills a child whose end has not been taken: else the number may be another process's.
fn end(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX));
    let look = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT);
    if look == Ok(WaitStatus::StillAlive)
        && let Err(error) = kill(pid, Signal::SIGKILL)
    {
        tracing::warn!(%pid, %error, "cannot end a program that hangs");
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;
    use crate::test_folder::TestFolder;

    fn file(path: &Path, mode: u32) {
        fs::write(path, "#!/bin/sh\necho 'Redis server v=7.0.15 sha=0'\n").unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn redis_is_taken_before_valkey_and_neither_if_it_cannot_be_run() {
        let folder = TestFolder::new("program-auto");
        let folders = [PathBuf::from("/nonexistent"), folder.path().to_owned()];
        let sentence = look_for(AUTO, &folders).unwrap_err();
        assert!(sentence.contains("no redis-server and no valkey-server") && sentence.contains("/nonexistent:"));
        file(&folder.path().join("redis-server"), 0o644);
        assert!(look_for(AUTO, &folders).is_err());
        file(&folder.path().join("valkey-server"), 0o755);
        assert!(look_for(AUTO, &folders).unwrap().0.ends_with("/valkey-server"));
        file(&folder.path().join("redis-server"), 0o755);
        assert!(look_for(AUTO, &folders).unwrap().0.ends_with("/redis-server"));
        assert_eq!(look_for("my-server", &folders).unwrap().0, "my-server");
    }

    #[test]
    fn modules_that_the_server_would_refuse_are_left_out() {
        let folder = TestFolder::new("program-modules");
        for (name, mode) in [("b.so", 0o755), ("a.so", 0o755), ("not.so", 0o644), ("readme.txt", 0o755)] {
            file(&folder.path().join(name), mode);
        }
        let names: Vec<String> = ["a.so", "b.so"].map(|name| folder.path().join(name).display().to_string()).into();
        assert_eq!(modules_in(folder.path()), names);
        assert!(modules_in(Path::new("/nonexistent")).is_empty());
    }

    #[tokio::test]
    async fn a_program_tells_its_version_or_why_it_cannot_be_run() {
        let folder = TestFolder::new("program-version");
        let path = folder.path().join("server");
        file(&path, 0o755);
        let found = find(path.display().to_string()).await;
        assert_eq!((found.version.as_str(), found.missing), ("Redis server v=7.0.15 sha=0", None));
        let missing = find("/nonexistent/server".into()).await.missing.unwrap();
        assert!(missing.starts_with("the server's program /nonexistent/server cannot be run"), "{missing}");
    }
}
