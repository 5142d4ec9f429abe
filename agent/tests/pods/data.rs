//! Keys of a test: written once, counted again later.

use std::time::Duration;

use redisnode_agent::resp::{Access, Command, Connection, Reply};

use crate::scene::Scene;

const WITHIN: Duration = Duration::from_secs(2);
const KEYS: usize = 300;

async fn connect(scene: &Scene, pod: usize) -> Option<Connection> {
    Connection::open(scene.pods[pod].server(), &Access::default(), WITHIN).await.ok()
}

/// What the server of a pod says to a command.
pub(crate) async fn ask(scene: &Scene, pod: usize, words: &[&str]) -> Option<Reply> {
    let (name, arguments) = words.split_first()?;
    connect(scene, pod).await?.run(&Command::new(name).args_from(arguments)).await.ok()
}

/// Writes the keys, each where it belongs, and waits until the replicas have them.
pub(crate) async fn write(scene: &Scene) {
    let mut primaries = Vec::new();
    for pod in 0..scene.shards {
        primaries.push(connect(scene, pod).await.unwrap());
    }
    for key in 0..KEYS {
        let set = Command::new("SET").arg(format!("key-{key}")).arg(format!("value-{key}"));
        let mut taken = 0;
        for primary in &mut primaries {
            taken += usize::from(primary.run(&set).await.unwrap().error_text().is_none());
        }
        assert_eq!(taken, 1, "key-{key} belongs to one primary");
    }
    for primary in &mut primaries {
        let wait = Command::new("WAIT").number(1).number(5000);
        assert_eq!(primary.run(&wait).await.unwrap().as_integer(), Some(1));
    }
}

/// How many of the keys cannot be read anywhere.
pub(crate) async fn missing(scene: &Scene) -> usize {
    let mut connections = Vec::new();
    for pod in 0..scene.pods.len() {
        connections.extend(connect(scene, pod).await);
    }
    let mut missing = 0;
    for key in 0..KEYS {
        let get = Command::new("GET").arg(format!("key-{key}"));
        let mut found = false;
        for connection in &mut connections {
            let reply = connection.run(&get).await;
            found |= reply.is_ok_and(|reply| reply.as_text() == Some(&format!("value-{key}")));
        }
        missing += usize::from(!found);
    }
    missing
}
