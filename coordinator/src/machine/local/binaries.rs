//! Where the programs are that a member needs.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The programs of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// `redis-server` or `valkey-server`.
    pub server: PathBuf,
    /// `redisnode`.
    pub agent: PathBuf,
}

impl Binaries {
    /// The programs given, or those that are installed. The error is a sentence.
    pub fn find(server: Option<&Path>, agent: Option<&Path>) -> Result<Self, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let server = match server {
            Some(given) => given_one(given, "--server", &path)?,
            None => in_path("redis-server", &path).or_else(|| in_path("valkey-server", &path)).ok_or(
                "neither redis-server nor valkey-server is in the PATH: install one of them, or give its path with \
                 --server",
            )?,
        };
        let beside =
            || std::env::current_exe().ok().map(|own| own.with_file_name("redisnode")).filter(|p| is_program(p));
        let agent = match agent {
            Some(given) => given_one(given, "--agent", &path)?,
            None => beside().or_else(|| in_path("redisnode", &path)).ok_or(
                "redisnode is neither beside this program nor in the PATH: install it there, or give its path with \
                 --agent",
            )?,
        };
        Ok(Self { server, agent })
    }
}

/// A path, or a bare name that is looked up.
fn given_one(given: &Path, flag: &str, path: &OsStr) -> Result<PathBuf, String> {
    if given.components().count() == 1
        && let Some(found) = given.to_str().and_then(|name| in_path(name, path))
    {
        return Ok(found);
    }
    let absolute = std::path::absolute(given).map_err(|error| format!("{flag} {}: {error}", given.display()))?;
    if is_program(&absolute) {
        return Ok(absolute);
    }
    let what = if absolute.exists() { "is not a program" } else { "does not exist" };
    Err(format!("{flag} {} {what}: give the path of an executable file", given.display()))
}

fn in_path(name: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).map(|folder| folder.join(name)).find(|file| file.is_absolute() && is_program(file))
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_path_or_by_name() {
        let found = given_one(Path::new("/bin/sh"), "--server", OsStr::new("")).unwrap();
        assert_eq!(found, Path::new("/bin/sh"));
        assert_eq!(given_one(Path::new("sh"), "--server", OsStr::new("/bin")).unwrap(), Path::new("/bin/sh"));
    }

    #[test]
    fn what_is_no_program_is_refused_with_the_flag() {
        let missing = given_one(Path::new("/nonexistent/redis-server"), "--server", OsStr::new("")).unwrap_err();
        assert!(missing.starts_with("--server /nonexistent/redis-server does not exist"), "{missing}");
        let folder = given_one(Path::new("/tmp"), "--agent", OsStr::new("")).unwrap_err();
        assert!(folder.starts_with("--agent /tmp is not a program"), "{folder}");
    }
}
