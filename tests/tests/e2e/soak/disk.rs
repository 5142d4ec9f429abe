//! A small disk of its own for a cluster, that can be full and have room again. It is a tmpfs in a mount namespace of
//! the thread that makes it and of what that thread starts, so nobody else sees it, and it ends with them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use redisnode_tests::wait::{check, wait_until};

/// More than all servers of a round write.
const ROOM: &str = "size=1g";

/// A disk, gone when dropped.
#[derive(Debug)]
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Mounts it on a folder, or says why that cannot be done here.
    pub(crate) fn on(folder: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        unshare(CloneFlags::CLONE_NEWNS).map_err(|error| format!("no mount namespace: {error} (it needs root)"))?;
        let target = folder.to_str().ok_or("the folder's name is no text")?;
        run("mount", &["--make-rprivate", "/"])?;
        run("mount", &["-t", "tmpfs", "-o", ROOM, "tmpfs", target])?;
        Ok(Self(folder.to_owned()))
    }

    /// From now on not a byte more can be written.
    pub(crate) fn fill(&self) {
        // What is written between the look and the mount makes it too small to be allowed.
        wait_until(Duration::from_secs(5), "the disk is full", || {
            let used = run("df", &["--output=used", "-B1K", self.folder()])?;
            let kib = used.split_whitespace().last().unwrap_or_default().to_owned();
            check(kib.parse::<u64>().is_ok_and(|kib| kib > 0), || used)?;
            self.resize(&format!("size={kib}k"))
        });
    }

    /// There is room again.
    pub(crate) fn free(&self) {
        self.resize(ROOM).expect("a disk can grow");
    }

    fn resize(&self, size: &str) -> Result<(), String> {
        run("mount", &["-o", &format!("remount,{size}"), self.folder()]).map(drop)
    }

    fn folder(&self) -> &str {
        self.0.to_str().expect("a plain path")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", self.folder()]).ok();
        self.0.parent().map(std::fs::remove_dir_all);
    }
}

fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    check(output.status.success(), || {
        format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim())
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
