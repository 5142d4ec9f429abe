//! Copies this very program into a folder, from where a container whose image does not have it runs it as its launcher.
//!
//! The folder is a volume of the pod. An init container may run again beside a launcher that is still running: the file
//! is replaced, never written to.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The name in the folder.
pub const PROGRAM: &str = "redisnode";
/// Whoever may see the folder may run the program, whatever its user id.
const MODE: u32 = 0o755;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The running program cannot be read.
    #[error("cannot read this program itself: mount /proc")]
    Own(#[source] io::Error),
    /// The folder is full.
    #[error("disk full: free space on {}; the program was not installed", .0.display())]
    Full(PathBuf),
    /// The folder cannot be written.
    #[error(
        "cannot install into {}: mount a volume there that this user may write to, and from which programs may be run",
        dir.display()
    )]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Puts a copy of the running program into `dir`, which is made if it is missing, and gives its path. A second time
/// changes nothing that anybody could see.
pub fn install(dir: &Path) -> Result<PathBuf, InstallError> {
    let mut own = File::open("/proc/self/exe").map_err(InstallError::Own)?;
    let target = dir.join(PROGRAM);
    copy(&mut own, dir, &target).map_err(|source| match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => InstallError::Full(dir.to_owned()),
        _ => InstallError::Folder { dir: dir.to_owned(), source },
    })?;
    Ok(target)
}

fn copy(own: &mut File, dir: &Path, target: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let passing = dir.join(format!(".{PROGRAM}.new"));
    let written = write(own, &passing).and_then(|()| fs::rename(&passing, target));
    if written.is_err() {
        drop(fs::remove_file(&passing));
    }
    written?;
    File::open(dir)?.sync_all()
}

fn write(own: &mut File, path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    io::copy(own, &mut file)?;
    // Said, not left to the umask.
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::TestFolder;

    fn names(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_copy_is_whole_and_can_be_run_by_everybody() {
        let folder = TestFolder::new("install");
        let dir = folder.path().join("new").join("bin");
        let target = install(&dir).unwrap();
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(fs::read(&target).unwrap() == own, "the copy differs");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(names(&dir), [PROGRAM]);
    }

    #[test]
    fn what_a_cut_install_left_and_an_old_copy_are_replaced() {
        let folder = TestFolder::new("install-again");
        let old = folder.path().join(PROGRAM);
        fs::write(&old, "old").unwrap();
        fs::write(folder.path().join(".redisnode.new"), "half").unwrap();
        let in_use = File::open(&old).unwrap();
        assert_eq!(install(folder.path()).unwrap(), install(folder.path()).unwrap());
        assert_eq!(names(folder.path()), [PROGRAM]);
        assert_eq!(in_use.metadata().unwrap().len(), 3, "who runs the old one keeps it");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named_with_what_to_do() {
        let folder = TestFolder::new("install-nowhere");
        fs::write(folder.path().join("file"), "").unwrap();
        let dir = folder.path().join("file").join("bin");
        let sentence = install(&dir).unwrap_err().to_string();
        assert!(sentence.contains("file/bin: mount a volume"), "{sentence}");
    }
}
