//! Wrong input: one clear sentence, no process left behind, nothing lost.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use redisnode_tests::cluster::{LocalCluster, Spec};
use redisnode_tests::procs;
use redisnode_tests::servers::Server;
use redisnode_tests::wait::{check, poll, wait_until};

use crate::run::{cases, missing, put};

cases! {
    files_are_refused: "system";
    a_missing_server_is_said: "system";
    a_server_that_exits_at_once_is_said: "system";
    a_port_in_use_is_said: "system";
    a_folder_in_use_is_refused: "system";
    a_folder_of_another_cluster_is_refused: "system";
    a_full_disk_is_said: "system";
    an_invalid_edit_changes_nothing: "system";
}

/// Runs a coordinator that should refuse. Its exit code and what it said on the error output.
#[track_caller]
fn refused(cluster: &LocalCluster, mut command: Command) -> (i32, String) {
    let path = cluster.folder().join("refused.err");
    let errors = fs::File::create(&path).unwrap();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn().unwrap();
    let ended = poll(Duration::from_secs(20), || child.try_wait().ok().flatten().ok_or_else(|| "it runs".to_owned()));
    let said = fs::read_to_string(&path).unwrap();
    if ended.is_err() {
        child.kill().ok();
        child.wait().ok();
    }
    let status = ended.unwrap_or_else(|_| panic!("it was not refused within 20 s; it said {said:?}"));
    (status.code().unwrap_or(-1), said)
}

/// One sentence that a person can act on.
#[track_caller]
fn assert_sentence(said: &str, about: &str) {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(lines.len(), 1, "one sentence about {about}: {said:?}");
    assert!(said.to_lowercase().contains(&about.to_lowercase()), "it names {about}: {said:?}");
    assert!(!said.contains("panicked"), "{said:?}");
}

#[track_caller]
fn assert_nothing_runs(cluster: &LocalCluster) {
    let left = procs::under(cluster.folder());
    assert!(left.is_empty(), "left behind: {left:?}");
}

fn files_are_refused(server: &Server) {
    let cluster = LocalCluster::unstarted(server, Spec::default());
    let good = cluster.spec.yaml();
    let with = |from: &str, to: &str| good.replace(from, to);
    for (text, about) in [
        (with("numberOfMaster", "numberOfMasters"), "numberOfMasters"),
        (with("replicationFactor", "replicas"), "replicas"),
        (format!("{good}  colour: red\n"), "colour"),
        (with("numberOfMaster: 3", "numberOfMaster: 0"), "numberOfMaster"),
        (with("numberOfMaster: 3", "numberOfMaster: -1"), "numberOfMaster"),
        (with("numberOfMaster: 3", "numberOfMaster: 1.5"), "numberOfMaster"),
        (with("numberOfMaster: 3", "numberOfMaster: 20000"), "numberOfMaster"),
        (with("replicationFactor: 1", "replicationFactor: -1"), "replicationFactor"),
        (with("nodeTimeout: 15s", "nodeTimeout: soon"), "nodeTimeout"),
        (with("kind: RedisCluster", "kind: Deployment"), "kind"),
        (format!("{good}  redisConfig:\n    cluster-enabled: \"no\"\n"), "cluster-enabled"),
        (format!("{good}  redisConfig:\n    port: \"1\"\n"), "port"),
        ("spec: [".to_owned(), "cluster.yaml"),
        (String::new(), "cluster.yaml"),
    ] {
        cluster.write(&text);
        let (code, said) = refused(&cluster, cluster.command());
        assert!(code == 1 || code == 2, "{about}: exit {code}, {said:?}");
        assert_sentence(&said, about);
        assert_nothing_runs(&cluster);
    }
    fs::remove_file(&cluster.file).unwrap();
    let (_, said) = refused(&cluster, cluster.command());
    assert_sentence(&said, "cluster.yaml");
}

fn a_missing_server_is_said(server: &Server) {
    let mut cluster = LocalCluster::unstarted(server, Spec::default());
    cluster.server.server = "/nowhere/redis-server".into();
    let (code, said) = refused(&cluster, cluster.command());
    assert_ne!(code, 0);
    assert_sentence(&said, "/nowhere/redis-server");
    assert_nothing_runs(&cluster);
}

/// It may end, or go on and show it: an edit of the file can mend it.
fn a_server_that_exits_at_once_is_said(server: &Server) {
    let spec = Spec { config: vec![("maxmemory-policy".to_owned(), "nonsense".to_owned())], ..Spec::default() };
    let mut cluster = LocalCluster::unstarted(server, spec);
    cluster.start_coordinator();
    wait_until(Duration::from_secs(30), "the wrong directive is named", || {
        let said = cluster.said() + &cluster.status_text();
        check(said.contains("maxmemory-policy"), || said.clone())
    });
    let alive = cluster.coordinator_pid().is_some_and(procs::is_alive);
    if alive {
        cluster.edit(|spec| spec.config.clear());
        cluster.wait_healthy_line(Duration::from_secs(45));
    } else {
        assert_nothing_runs(&cluster);
    }
}

fn a_port_in_use_is_said(server: &Server) {
    let cluster = LocalCluster::unstarted(server, Spec::default());
    for offset in [2, 1_001, 10_001] {
        let port = cluster.first_port() + offset;
        let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let (code, said) = refused(&cluster, cluster.command());
        assert_ne!(code, 0);
        assert_sentence(&said, &port.to_string());
        assert_nothing_runs(&cluster);
    }
}

fn a_folder_in_use_is_refused(server: &Server) {
    let cluster = LocalCluster::start(server, Spec::of(3, 0));
    let (code, said) = refused(&cluster, cluster.command());
    assert_ne!(code, 0);
    assert_sentence(&said, "in use");
    cluster.settled().expect("the first one is not disturbed");
}

fn a_folder_of_another_cluster_is_refused(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec::of(3, 0).stored());
    let keys = put(&cluster.ports(), "mine-", 30);
    cluster.stop(nix::sys::signal::Signal::SIGTERM);
    cluster.edit(|spec| "different".clone_into(&mut spec.name));
    let (code, said) = refused(&cluster, cluster.command());
    assert_ne!(code, 0);
    assert_sentence(&said, "different");
    assert_nothing_runs(&cluster);
    cluster.edit(|spec| "test".clone_into(&mut spec.name));
    cluster.start_coordinator();
    cluster.wait_healthy_line(Duration::from_secs(30));
    assert_eq!(missing(&cluster.ports(), &keys), Vec::<String>::new());
}

/// Needs a file system of its own, so it runs where one can be mounted.
fn a_full_disk_is_said(server: &Server) {
    let mut cluster = LocalCluster::unstarted(server, Spec::of(3, 0).stored());
    let disk = cluster.folder().join("disk");
    fs::create_dir_all(&disk).unwrap();
    cluster.dir = disk.join("dir");
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&disk).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        println!("skipped: a small file system cannot be mounted here");
        return;
    }
    fs::write(disk.join("filler"), vec![0; 52 * 1024]).ok();
    cluster.start_coordinator();
    let found = poll(Duration::from_secs(30), || {
        let said = (cluster.said() + &cluster.status_text()).to_lowercase();
        check(said.contains("no space") || said.contains("disk") && said.contains("full"), || said.clone())
    });
    procs::kill_all_under(cluster.folder());
    cluster.kill_coordinator();
    let unmounted = Command::new("umount").arg("-l").arg(&disk).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    found.expect("the full disk is said");
}

fn an_invalid_edit_changes_nothing(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec::of(3, 0));
    let keys = put(&cluster.ports(), "valid-", 30);
    let before = cluster.wait_settled(Duration::from_secs(5));
    let good = cluster.spec.yaml();
    for (bad, about) in
        [(good.replace("numberOfMaster: 3", "numberOfMaster: 0"), "numberOfMaster"), ("{".to_owned(), "")]
    {
        cluster.write(&bad);
        wait_until(Duration::from_secs(10), "a condition says that the file is wrong", || {
            let status = cluster.status_text();
            check(status.to_lowercase().contains("invalid") && status.contains(about), || status.clone())
        });
        let now = cluster.wait_agreed();
        assert_eq!(now.owner_of_slots().len(), before.owner_of_slots().len());
        assert_eq!(missing(&cluster.ports(), &keys), Vec::<String>::new());
    }
    cluster.edit(|spec| spec.primaries = 4);
    cluster.wait_settled(Duration::from_mins(1));
}
