//! The coordinator in a test's namespace, and clusters that it runs there.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use redisnode_tests::at::At;
use redisnode_tests::kube::{Image, Namespace, Pod};
use redisnode_tests::replicas;
use redisnode_tests::servers::Server;
use redisnode_tests::view::{self, View};
use redisnode_tests::wait::{check, wait_until};
use serde_json::Value;

/// The resource in the API's paths.
const GROUP: &str = "apis/redisnode.io/v1alpha1";
/// How long a deployment of images that are there may take.
const SOON: Duration = Duration::from_mins(1);

/// A chart of this repository.
pub(crate) fn chart(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts").join(name).display().to_string()
}

/// Installs the definition of the resource, and the chart with one coordinator for this namespace alone: with no more
/// rights than the chart gives it.
pub(crate) fn install(namespace: &Namespace<'_>, server: &Server) {
    let kube = namespace.kube;
    // All cases share one definition, so it is no release's.
    kube.apply(include_str!("../../../charts/redis-coordinator/files/crd.yaml"));
    let install = ["install", "coordinator", &chart("redis-coordinator")];
    release(namespace, server, &install, &kube.agent_image(), &kube.coordinator_image());
}

/// Has Helm make a release of the coordinator with these images, and waits until they run.
pub(crate) fn release(namespace: &Namespace<'_>, server: &Server, words: &[&str], agent: &Image, coordinator: &Image) {
    let kube = namespace.kube;
    let image = kube.server_image(server);
    for image in [agent, coordinator, &image] {
        kube.load(image);
    }
    let values = serde_json::json!({
        "fullnameOverride": "coordinator", "podLabels": {"app": "coordinator"}, "replicas": 1, "namespaced": true,
        "crd": {"install": false}, "image": of_values(coordinator), "agentImage": of_values(agent),
        "serverImage": image.name,
    });
    let args = [words, &["--namespace", &namespace.name, "--values", "-"]].concat();
    let output = kube.run_with("helm", &args, &values.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    namespace.kubectl(&["rollout", "status", "deployment", "coordinator", "--timeout=60s"]);
    namespace.wait_ready("app=coordinator", 1, SOON);
}

/// An image as the charts' values name it.
pub(crate) fn of_values(image: &Image) -> Value {
    let (repository, tag) = image.name.rsplit_once(':').expect("its name has a tag");
    serde_json::json!({"repository": repository, "tag": tag, "pullPolicy": "Never"})
}

/// A cluster of the product.
pub(crate) struct Cluster<'n, 'k> {
    pub(crate) namespace: &'n Namespace<'k>,
    pub(crate) name: &'static str,
}

impl<'n, 'k> Cluster<'n, 'k> {
    /// Applies a RedisCluster with this spec (YAML lines).
    pub(crate) fn apply(namespace: &'n Namespace<'k>, name: &'static str, spec: &str) -> Self {
        let spec = spec.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");
        namespace.apply(&format!(
            "apiVersion: redisnode.io/v1alpha1\nkind: RedisCluster\nmetadata: {{name: {name}}}\nspec:\n{spec}"
        ));
        Self { namespace, name }
    }

    /// The resource as the API server has it.
    pub(crate) fn resource(&self) -> Result<Value, String> {
        self.namespace.kube.api().get(&self.namespace.path(GROUP, &format!("redisclusters/{}", self.name)))
    }

    /// Changes the spec.
    #[track_caller]
    pub(crate) fn patch(&self, spec: &Value) {
        let path = self.namespace.path(GROUP, &format!("redisclusters/{}", self.name));
        let patched = self.namespace.kube.api().patch(&path, &serde_json::json!({ "spec": spec }));
        patched.unwrap_or_else(|why| panic!("{why}"));
    }

    /// Its pods.
    pub(crate) fn pods(&self) -> Result<Vec<Pod>, String> {
        self.namespace.pods(&format!("app.kubernetes.io/instance={},app.kubernetes.io/component=node", self.name))
    }

    /// A pod whose label says that its server is a primary.
    #[track_caller]
    pub(crate) fn a_primary(&self) -> Pod {
        let is_primary = |pod: &Pod| pod.labels.get("redisnode.io/role").is_some_and(|role| role == "primary");
        self.pods().unwrap().into_iter().find(is_primary).expect("a pod is labelled as a primary")
    }

    /// Where its Service for clients is.
    #[track_caller]
    pub(crate) fn service(&self) -> At {
        let path = self.namespace.path("api/v1", &format!("services/{}", self.name));
        let service = self.namespace.kube.api().get(&path).unwrap_or_else(|why| panic!("{why}"));
        let ip: IpAddr =
            service["spec"]["clusterIP"].as_str().and_then(|ip| ip.parse().ok()).expect("it has an address");
        SocketAddr::new(ip, 6379).into()
    }

    /// The StatefulSet as the API server has it.
    pub(crate) fn set(&self) -> Result<Value, String> {
        self.namespace.kube.api().get(&self.namespace.path("apis/apps/v1", &format!("statefulsets/{}", self.name)))
    }

    /// What its status says of lost data.
    pub(crate) fn losses(&self) -> Vec<String> {
        let events = self.namespace.events("RedisCluster", self.name).unwrap();
        let conditions = self.resource().unwrap()["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let shown = conditions.iter().filter(|condition| condition["reason"] == "DataLost").map(Value::to_string);
        let told = events.into_iter().filter(|(reason, _)| reason == "DataLost").map(|(_, message)| message);
        shown.chain(told).collect()
    }

    /// Waits until it is Ready in the newest edit of its spec, with so many pods, and until the servers agree.
    #[track_caller]
    pub(crate) fn wait_ready(&self, members: usize, within: Duration) -> View {
        wait_until(within, "the cluster is Ready, and its servers agree", || self.ready(members))
    }

    fn ready(&self, members: usize) -> Result<View, String> {
        let resource = self.resource()?;
        let (wanted, seen) = (&resource["metadata"]["generation"], &resource["status"]["observedGeneration"]);
        check(wanted == seen, || format!("generation {wanted}, seen {seen}: {}", resource["status"]))?;
        let conditions = resource["status"]["conditions"].as_array().ok_or("no conditions")?;
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready").ok_or("no Ready")?;
        check(ready["status"] == "True", || resource["status"].to_string())?;
        let pods = self.pods()?;
        check(pods.len() == members, || format!("{} pods", pods.len()))?;
        let addresses: Vec<_> = pods.iter().filter(|pod| pod.ip.is_some()).map(|pod| pod.at(6379)).collect();
        self.namespace.kube.inside(|| view::agreed(&addresses))
    }

    /// Waits until it is so, and every replica has what its primary has: who dies then takes only its last moments along.
    #[track_caller]
    pub(crate) fn wait_caught_up(&self, members: usize, within: Duration) {
        wait_until(within, "replicas have everything", || {
            let view = self.ready(members)?;
            self.namespace.kube.inside(|| replicas::caught_up(&view))
        });
    }
}
