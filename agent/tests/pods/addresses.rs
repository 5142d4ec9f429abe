//! All pods come back with other addresses, some of them with each other's, and there is no coordinator.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::data::{missing, write};
use crate::scene::{PATIENT, Scene, ip, servers};

/// How long a cluster may take to be whole again.
const HEALS_WITHIN: Duration = Duration::from_secs(15);

/// Kills everything, deals the addresses anew, starts everything, and says how long it took to heal.
async fn deal_anew(scene: &mut Scene, addresses: &[IpAddr]) -> Duration {
    for pod in &mut scene.pods {
        pod.kill();
    }
    for (pod, ip) in scene.pods.iter_mut().zip(addresses) {
        pod.ip = *ip;
    }
    let begun = Instant::now();
    scene.start_all();
    scene.until_ready(PATIENT).await;
    begun.elapsed()
}

async fn exchanged(family: &str, net: u8) {
    let Some(path) = servers(family) else { return };
    let mut scene = Scene::start(&format!("exchanged-{family}"), net, 3, path, 8).await;
    write(&scene).await;
    // Every pod gets another one's address, but the last, which gets a new one.
    let addresses: Vec<IpAddr> = [2, 3, 4, 5, 6, 7].map(|host| ip(net, host)).into();
    let took = deal_anew(&mut scene, &addresses).await;
    println!("{family}: whole again after {took:?}");
    assert_eq!(missing(&scene).await, 0, "keys are lost");
    assert!(took < HEALS_WITHIN, "it took {took:?}");
    // And the other way round: what was learnt is not in the way the next time.
    let addresses: Vec<IpAddr> = [4, 5, 6, 1, 2, 3].map(|host| ip(net, host)).into();
    let took = deal_anew(&mut scene, &addresses).await;
    println!("{family}: whole again after {took:?}");
    assert_eq!(missing(&scene).await, 0, "keys are lost");
    assert!(took < HEALS_WITHIN, "it took {took:?}");
}

#[tokio::test]
async fn addresses_are_exchanged_on_the_installed_server() {
    exchanged("system", 1).await;
}

#[tokio::test]
async fn addresses_are_exchanged_on_valkey() {
    exchanged("valkey-9.1", 2).await;
}

#[tokio::test]
async fn a_member_whose_names_are_old_is_found_by_the_others() {
    let Some(path) = servers("system") else { return };
    let mut scene = Scene::start("old-names", 3, 2, path, 8).await;
    write(&scene).await;
    let fresh = scene.told.peers.clone();
    for pod in &mut scene.pods {
        pod.kill();
    }
    for (pod, host) in scene.pods.iter_mut().zip(5..) {
        pod.ip = ip(3, host);
    }
    let begun = Instant::now();
    scene.start_all();
    let port = scene.pods[0].ports.http;
    scene.pods[0].kill();
    // Where everybody was before.
    scene.told.peers = (1..5).map(|host| format!("{}:{port}", ip(3, host))).collect::<Vec<_>>().join(",");
    let told = scene.told.clone();
    scene.pods[0].start(&told);
    scene.told.peers = fresh;
    scene.until_ready(PATIENT).await;
    let took = begun.elapsed();
    println!("whole again after {took:?}");
    assert_eq!(missing(&scene).await, 0, "keys are lost");
    assert!(took < HEALS_WITHIN, "it took {took:?}");
}
