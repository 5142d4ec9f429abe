//! What tests of this crate share.

use redisnode_proto::spec::RedisCluster;
use redisnode_proto::status::NodeStatus;
use redisnode_proto::topology::Role;

pub(crate) fn resource() -> RedisCluster {
    let value = serde_json::json!({
        "apiVersion": "redisnode.io/v1alpha1", "kind": "RedisCluster", "metadata": { "name": "my" },
    });
    serde_json::from_value(value).unwrap()
}

pub(crate) fn node(name: &str, role: Option<Role>, primary: Option<&str>) -> NodeStatus {
    NodeStatus {
        name: name.parse().unwrap(),
        shard: Some("shard-1".parse().unwrap()),
        role,
        node_id: Some("0ba1af8c623416ef995175c0f6c1b132d94f7e94".parse().unwrap()),
        primary: primary.map(|name| name.parse().unwrap()),
        address: "127.0.0.1:7000".to_owned(),
        host: None,
        zone: Some("a".to_owned()),
        ready: true,
        state: "Running".to_owned(),
        message: None,
        server_version: Some("redis 8.0.1".to_owned()),
        slots: Vec::new(),
        keys: Some(12),
        used_memory: Some(3 << 20),
        max_memory: None,
    }
}
