//! A disk of its own for each node of a cluster, that can be full and have room again. They are tmpfs in a mount
//! namespace of the thread that makes them and of what that thread starts, so nobody else sees them, and they end with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use redisnode_tests::wait::{check, wait_until};

/// More than a server of a round writes.
const ROOM: &str = "size=200m";

/// The disks, and the folder that they are in. Gone when dropped.
#[derive(Debug)]
pub(crate) struct Disks {
    disks: Vec<PathBuf>,
    aside: PathBuf,
}

impl Disks {
    /// Moves each of these folders, in which nobody works now, to a disk that is mounted below `aside`, or says why that
    /// cannot be done here.
    pub(crate) fn on(folders: Vec<PathBuf>, aside: &Path) -> Result<Self, String> {
        unshare(CloneFlags::CLONE_NEWNS).map_err(|error| format!("no mount namespace: {error} (it needs root)"))?;
        run("mount", &["--make-rprivate", "/"])?;
        let mut made = Self { disks: Vec::new(), aside: aside.to_owned() };
        for folder in folders {
            // The folder becomes a link: a folder that something is mounted on could not be removed when its node leaves.
            let name = folder.file_name().ok_or("a folder of a node has a name")?;
            let disk = aside.join(name);
            std::fs::create_dir_all(&disk).map_err(|error| error.to_string())?;
            run("mount", &["-t", "tmpfs", "-o", ROOM, "tmpfs", text(&disk)])?;
            made.disks.push(disk.clone());
            run("cp", &["-a", &format!("{}/.", text(&folder)), text(&disk)])?;
            std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
            std::os::unix::fs::symlink(&disk, &folder).map_err(|error| error.to_string())?;
        }
        Ok(made)
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for disk in &self.disks {
            run("umount", &["-l", text(disk)]).ok();
        }
        // The cluster could not remove these when it ended, before.
        self.aside.parent().map(std::fs::remove_dir_all);
    }
}

/// From now on not a byte more can be written to the disk of a node.
pub(crate) fn fill(folder: &Path) {
    // What is written between the look and the mount makes it too small to be allowed.
    wait_until(Duration::from_secs(5), "the disk is full", || {
        let used = run("df", &["--output=used", "-B1K", text(folder)])?;
        let kib = used.split_whitespace().last().unwrap_or_default().to_owned();
        check(kib.parse::<u64>().is_ok_and(|kib| kib > 0), || used)?;
        resize(folder, &format!("size={kib}k"))
    });
}

/// There is room again.
pub(crate) fn free(folder: &Path) {
    resize(folder, ROOM).expect("a disk can grow");
}

fn resize(folder: &Path, size: &str) -> Result<(), String> {
    run("mount", &["-o", &format!("remount,{size}"), text(folder)]).map(drop)
}

fn text(folder: &Path) -> &str {
    folder.to_str().expect("a plain path")
}

fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    check(output.status.success(), || {
        format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim())
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
