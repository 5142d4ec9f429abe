//! The processes that belong to a folder, and signals to them. A test knows its processes by its own temporary folder:
//! one that works in it or has it in its arguments was started by that test and by nobody else.

use std::fs;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A living process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its arguments, joined by blanks.
    pub command: String,
}

/// Every living process that works in `folder` or below, or names it in its arguments, but not this process.
pub fn under(folder: &Path) -> Vec<Process> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if pid == std::process::id().cast_signed() {
            continue;
        }
        if let Some(command) = belongs(&entry.path(), folder) {
            found.push(Process { pid, command });
        }
    }
    found
}

/// Whether the process is there and not a zombie.
pub fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with(['Z', 'X'])))
}

/// Sends a signal; a process that has gone already is fine.
pub fn signal(pid: i32, signal: Signal) {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => panic!("cannot send {signal} to {pid}: {error}"),
    }
}

/// Kills every process of the folder, and those that they start meanwhile.
pub fn kill_all_under(folder: &Path) {
    for _ in 0..50 {
        let living = under(folder);
        if living.is_empty() {
            return;
        }
        for process in living {
            signal(process.pid, Signal::SIGKILL);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Resident memory in bytes.
pub fn resident_bytes(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Processor time used so far, in clock ticks (100 a second on Linux).
pub fn cpu_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

fn belongs(process: &Path, folder: &Path) -> Option<String> {
    let command = fs::read(process.join("cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned();
    let works_in: Option<PathBuf> = fs::read_link(process.join("cwd")).ok();
    let named = folder.to_str().is_some_and(|folder| command.contains(folder));
    let inside = works_in.is_some_and(|works_in| works_in.starts_with(folder));
    (!command.is_empty() && (named || inside)).then_some(command)
}
