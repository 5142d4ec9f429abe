//! The file that a test gives to the coordinator.

use std::fmt::Write as _;

/// What the file asks for.
#[derive(Clone, Debug)]
pub struct Spec {
    /// `metadata.name`.
    pub name: String,
    /// `numberOfMaster`.
    pub primaries: usize,
    /// `replicationFactor`.
    pub replicas: usize,
    /// `nodeTimeout` in seconds.
    pub node_timeout: u32,
    /// Whether there is `storage`.
    pub storage: bool,
    /// `redisConfig`.
    pub config: Vec<(String, String)>,
    /// `metadata.annotations`.
    pub annotations: Vec<(String, String)>,
    /// Other fields, a line each: `maxMemory: {size: 1Gi}`.
    pub lines: Vec<String>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            name: "test".to_owned(),
            primaries: 3,
            replicas: 1,
            node_timeout: 15,
            storage: false,
            config: Vec::new(),
            annotations: Vec::new(),
            lines: Vec::new(),
        }
    }
}

impl Spec {
    /// So many primaries with so many replicas each.
    pub fn of(primaries: usize, replicas: usize) -> Self {
        Self { primaries, replicas, ..Self::default() }
    }

    /// With data on disk.
    pub fn stored(self) -> Self {
        Self { storage: true, ..self }
    }

    /// How many nodes it asks for.
    pub fn nodes(&self) -> usize {
        self.primaries * (1 + self.replicas)
    }

    /// The file.
    pub fn yaml(&self) -> String {
        let head = "apiVersion: redisnode.io/v1alpha1\nkind: RedisCluster\nmetadata:\n  name:";
        let mut yaml = format!("{head} {}\n", self.name);
        if !self.annotations.is_empty() {
            yaml.push_str("  annotations:\n");
        }
        for (name, value) in &self.annotations {
            writeln!(yaml, "    {name}: {value:?}").expect("a string grows");
        }
        let (primaries, replicas, timeout) = (self.primaries, self.replicas, self.node_timeout);
        writeln!(yaml, "spec:\n  numberOfMaster: {primaries}\n  replicationFactor: {replicas}")
            .expect("a string grows");
        writeln!(yaml, "  nodeTimeout: {timeout}s").expect("a string grows");
        if self.storage {
            yaml.push_str("  storage: {}\n");
        }
        if !self.config.is_empty() {
            yaml.push_str("  redisConfig:\n");
        }
        for (directive, value) in &self.config {
            writeln!(yaml, "    {directive}: {value:?}").expect("a string grows");
        }
        for line in &self.lines {
            writeln!(yaml, "  {line}").expect("a string grows");
        }
        yaml
    }
}
