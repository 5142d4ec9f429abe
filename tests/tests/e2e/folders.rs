//! A member's folder is gone, foreign, or another member's. It is recognised and said; nothing is wiped, and no two
//! clusters become one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use redisnode_tests::cluster::{LocalCluster, Spec};
use redisnode_tests::servers::Server;
use redisnode_tests::view;
use redisnode_tests::wait::{check, wait_until};

use crate::run::{cases, missing, put, wait_in_sync, wait_replica};

cases! {
    removed_while_down: "system", "valkey-9.1";
    of_another_cluster: "system";
    exchanged: "system";
}

fn removed_while_down(server: &Server) {
    let cluster = LocalCluster::start(server, Spec::of(3, 1).stored());
    let keys = put(&cluster.ports(), "folder-", 200);
    wait_in_sync(&cluster);
    let member = cluster.a_primary();
    cluster.kill_whole(&member, Duration::from_millis(300), |member| fs::remove_dir_all(&member.folder).unwrap());
    wait_replica(&cluster, &member, Duration::from_mins(1));
    cluster.wait_settled(Duration::from_secs(30));
    assert_eq!(missing(&cluster.ports(), &keys), Vec::<String>::new());
}

fn of_another_cluster(server: &Server) {
    let mut other = LocalCluster::start(server, Spec { name: "other".to_owned(), ..Spec::of(3, 0).stored() });
    let foreign = put(&other.ports(), "foreign-", 60);
    let stranger = other.a_primary();
    let foreign_ids: Vec<String> =
        other.wait_settled(Duration::from_secs(5)).nodes.into_iter().map(|node| node.id).collect();
    let cluster = LocalCluster::start(server, Spec::of(3, 1).stored());
    let keys = put(&cluster.ports(), "own-", 200);
    wait_in_sync(&cluster);
    let member = cluster.a_primary();
    other.stop(Signal::SIGTERM);
    let (from, kept) = (stranger.folder.clone(), cluster.folder().join("kept"));
    cluster.kill_whole(&member, Duration::from_millis(300), |member| {
        fs::rename(&member.folder, &kept).unwrap();
        copy(&from, &member.folder);
    });
    wait_until(Duration::from_mins(1), "the foreign folder is said, with the node's name", || {
        let said = cluster.status_text() + &cluster.said();
        check(said.contains(&member.name) && said.contains("other"), || said.clone())
    });
    wait_until(Duration::from_mins(1), "all own keys can be read", || {
        let survivors: Vec<u16> = cluster.ports().into_iter().filter(|port| *port != member.port).collect();
        let gone = missing(&survivors, &keys);
        check(gone.is_empty(), || format!("{} keys cannot", gone.len()))
    });
    for port in cluster.ports() {
        let Ok(view) = view::view(port) else { continue };
        assert!(view.nodes.iter().all(|node| !foreign_ids.contains(&node.id)), "two clusters joined: {view:?}");
    }
    assert!(holds(&cluster.dir, "foreign-"), "the foreign data is still on disk ({} keys)", foreign.len());
}

fn exchanged(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec::of(3, 1).stored());
    let keys = put(&cluster.ports(), "swap-", 200);
    let members = cluster.members();
    let view = cluster.wait_settled(Duration::from_secs(5));
    let primaries: Vec<_> = view.owners().iter().map(|node| cluster.member_on(node.port)).collect();
    cluster.stop(Signal::SIGTERM);
    let (a, b, spare) = (&primaries[0].folder, &primaries[1].folder, cluster.folder().join("spare"));
    fs::rename(a, &spare).and_then(|()| fs::rename(b, a)).and_then(|()| fs::rename(&spare, b)).unwrap();
    cluster.start_coordinator();
    wait_until(Duration::from_mins(1), "the exchange is said, or healed", || {
        if cluster.settled().is_ok() {
            return Ok(());
        }
        let said = cluster.status_text() + &cluster.said();
        check(said.contains("folder") && primaries.iter().take(2).any(|member| said.contains(&member.name)), || {
            said.clone()
        })
    });
    let survivors: Vec<u16> = members.iter().map(|member| member.port).collect();
    let lost = wait_until(Duration::from_mins(1), "the keys that can be read are counted", || {
        let up: Vec<u16> = survivors.iter().copied().filter(|port| view::view(*port).is_ok()).collect();
        check(!up.is_empty(), || "no server is up".to_owned())?;
        Ok(missing(&up, &keys).len())
    });
    assert!(lost == 0 || holds(&cluster.dir, "swap-"), "{lost} keys are neither served nor on disk");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Whether any file of the folder holds a text.
fn holds(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return holds(&path, text);
        }
        fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
    })
}
