//! One member: its folder, its address, and the processes of its two containers.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redisnode_proto::Address;

use crate::scene::Ports;

/// A member. Its processes end with it.
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) ip: IpAddr,
    pub(crate) folder: PathBuf,
    pub(crate) ports: Ports,
    pub(crate) agent: Option<Child>,
    pub(crate) launcher: Option<Child>,
}

/// What all agents of a scene are told.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) token_file: PathBuf,
    pub(crate) peers: String,
    pub(crate) founding: bool,
    /// Where launchers find the server.
    pub(crate) path: String,
}

impl Pod {
    pub(crate) fn address(&self) -> Address {
        let Ports { client, bus, http } = self.ports;
        Address { ip: self.ip, port: client, bus_port: bus, http_port: http }
    }

    pub(crate) fn server(&self) -> SocketAddr {
        self.address().server()
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.address().agent()
    }

    pub(crate) fn start(&mut self, told: &Told) {
        self.start_launcher(told);
        self.start_agent(told);
    }

    pub(crate) fn start_launcher(&mut self, told: &Told) {
        fs::create_dir_all(&self.folder).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_redisnode"));
        command.args(["launch", "--dir"]).arg(&self.folder).env("PATH", &told.path);
        self.launcher = Some(self.spawn(command, "launcher.log"));
    }

    pub(crate) fn start_agent(&mut self, told: &Told) {
        fs::create_dir_all(&self.folder).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_redisnode"));
        command.arg("agent").env_clear();
        let mut set = |name: &str, value: &str| {
            command.env(format!("REDISNODE_{name}"), value);
        };
        set("NAME", &self.name);
        set("UID", &format!("uid-of-{}", self.name));
        set("CLUSTER", "test.pods");
        set("DIR", self.folder.to_str().unwrap());
        set("TOKEN_FILE", told.token_file.to_str().unwrap());
        set("SERVER", "auto");
        set("IP", &self.ip.to_string());
        set("PORT", &self.ports.client.to_string());
        set("BUS_PORT", &self.ports.bus.to_string());
        set("HTTP_PORT", &self.ports.http.to_string());
        set("PEERS", &told.peers);
        set("MAY_FOUND", &told.founding.to_string());
        set("LOG", "info,redisnode_agent::node::greet=debug");
        self.agent = Some(self.spawn(command, "agent.log"));
    }

    fn spawn(&self, mut command: Command, log: &str) -> Child {
        let log = File::options().append(true).create(true).open(self.folder.join(log)).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// Kills the whole pod at once.
    pub(crate) fn kill(&mut self) {
        self.kill_server_container();
        end(&mut self.agent);
    }

    /// Kills launcher and server, as the kernel does when the container has no memory left.
    pub(crate) fn kill_server_container(&mut self) {
        let servers = self.servers();
        end(&mut self.launcher);
        for server in servers {
            kill(Pid::from_raw(server), Signal::SIGKILL).ok();
        }
    }

    /// Asks a process to end.
    pub(crate) fn terminate(child: Option<&Child>) {
        let pid = child.unwrap().id();
        kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGTERM).unwrap();
    }

    /// Processes that work in the folder, less the launcher.
    pub(crate) fn servers(&self) -> Vec<i32> {
        let launcher = self.launcher.as_ref().map(|child| i32::try_from(child.id()).unwrap());
        let works_here = |pid: &i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == self.folder);
        let all = fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| Some(*pid) != launcher && works_here(pid)).collect()
    }

    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.kill();
    }
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        child.kill().ok();
        child.wait().ok();
    }
}
