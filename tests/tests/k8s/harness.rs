//! That the harness itself is what the other cases take it for: real nodes, pods, names, rules, and an end.

use std::time::Duration;

use redisnode_tests::at::At;
use redisnode_tests::kube::{Kubernetes, Namespace, Pod};
use redisnode_tests::ports::Ports;
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::workload::{Options, Workload};
use redisnode_tests::{procs, servers, view};

/// How long pods of an image that is there may take.
const SOON: Duration = Duration::from_secs(40);

/// Servers in pods, at the restricted level, with a user id that no image knows. `more` are words for the server.
fn servers_in_pods(namespace: &Namespace<'_>, name: &str, replicas: usize, more: &[&str]) -> Vec<Pod> {
    let server = servers::system();
    let image = namespace.kube.server_image(&server);
    namespace.kube.load(&image);
    namespace.apply(&format!(
        r"
apiVersion: v1
kind: Service
metadata: {{name: {name}-nodes}}
spec: {{clusterIP: None, selector: {{app: {name}}}, ports: [{{port: 6379}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 6379}}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: {name}}}
spec:
  serviceName: {name}-nodes
  replicas: {replicas}
  podManagementPolicy: Parallel
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 2
      automountServiceAccountToken: false
      securityContext:
        {{runAsNonRoot: true, runAsUser: 1234567, runAsGroup: 0, seccompProfile: {{type: RuntimeDefault}}}}
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: topology.kubernetes.io/zone
        whenUnsatisfiable: DoNotSchedule
        labelSelector: {{matchLabels: {{app: {name}}}}}
      containers:
      - name: redis
        image: {image}
        args: {args}
        volumeMounts: [{{name: data, mountPath: /data}}]
        readinessProbe: {{tcpSocket: {{port: 6379}}, periodSeconds: 1}}
        securityContext:
          {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}
      volumes: [{{name: data, emptyDir: {{}}}}]
",
        args = serde_json::json!([&["--protected-mode", "no", "--save", ""], more].concat()),
        image = image.name
    ));
    namespace.wait_ready(&format!("app={name}"), replicas, SOON)
}

#[test]
fn pods_answer_in_every_zone_and_find_each_other_by_name() {
    let Some(kube) = Kubernetes::shared() else { return };
    let namespace = kube.namespace("harness-pods");
    let pods = servers_in_pods(&namespace, "plain", 3, &[]);
    let mut nodes: Vec<&str> = pods.iter().filter_map(|pod| pod.node.as_deref()).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["node-1", "node-2", "node-3"]);
    for pod in &pods {
        assert_eq!(kube.inside(|| view::text(pod.at(6379), &["PING"])).unwrap(), "PONG");
    }
    let name = "plain-2.plain-nodes.harness-pods.svc.cluster.local";
    // A name is served a moment after its pod is ready.
    let answer = wait_until(SOON, "the name resolves", || {
        namespace.exec("plain-0", "redis", &["redis-cli", "-h", name, "CONFIG", "GET", "port"])
    });
    assert!(answer.contains("6379"), "{answer}");
    wait_until(SOON, "the Service answers", || {
        let by_service = namespace.exec("plain-0", "redis", &["redis-cli", "-h", "plain", "PING"])?;
        check(by_service.trim() == "PONG", || by_service.clone())
    });
}

#[test]
fn the_accounting_client_writes_through_pod_addresses() {
    let Some(kube) = Kubernetes::shared() else { return };
    let namespace = kube.namespace("harness-client");
    let pods = servers_in_pods(&namespace, "client", 3, &["--cluster-enabled", "yes"]);
    let servers: Vec<At> = pods.iter().map(|pod| pod.at(6379)).collect();
    let addresses: Vec<String> = servers.iter().map(At::to_string).collect();
    let create: Vec<&str> = ["redis-cli", "--cluster-yes", "--cluster", "create"].to_vec();
    let addresses = addresses.iter().map(String::as_str);
    namespace.exec("client-0", "redis", &create.into_iter().chain(addresses).collect::<Vec<_>>()).unwrap();
    let audit = kube.inside(|| {
        wait_until(SOON, "the servers agree", || view::agreed(&servers));
        let options = Options { keys: 220, rate: 500, ..Options::default() };
        let mut workload = Workload::start(&servers, options);
        wait_until(SOON, "it writes", || check(workload.acknowledged() > 500, || workload.so_far()));
        workload.stop().assert_no_errors();
        workload.audit(&servers)
    });
    audit.assert_clean();
    assert!(audit.keys >= 220);
}

#[test]
fn a_claim_keeps_its_data_on_its_node() {
    let Some(kube) = Kubernetes::shared() else { return };
    let namespace = kube.namespace("harness-volume");
    let image = kube.server_image(&servers::system());
    kube.load(&image);
    kube.local_class("harness-volume");
    let volume = kube.local_volume("harness-volume-1", 2, "harness-volume");
    namespace.apply(
        "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {storageClassName: harness-volume, \
         accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}",
    );
    namespace.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: keeper, labels: {{app: keeper}}}}, spec: {{
            securityContext: {{runAsNonRoot: true, runAsUser: 4321, seccompProfile: {{type: RuntimeDefault}}}},
            terminationGracePeriodSeconds: 2,
            volumes: [{{name: data, persistentVolumeClaim: {{claimName: data}}}}],
            containers: [{{name: redis, image: '{}', args: [--protected-mode, 'no', --appendonly, 'yes'],
              volumeMounts: [{{name: data, mountPath: /data}}],
              securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}}}]}}}}",
        image.name
    ));
    let pods = namespace.wait_ready("app=keeper", 1, SOON);
    assert_eq!(pods[0].node.as_deref(), Some("node-2"));
    wait_until(SOON, "the server writes to the volume", || {
        check(volume.folder.join("appendonlydir").exists(), || "nothing is there".to_owned())
    });
    let events = namespace.events("Pod", "keeper").unwrap();
    assert!(events.iter().any(|(reason, _)| reason == "Scheduled"), "{events:?}");
}

#[test]
fn our_programs_run_from_images_of_nothing_else() {
    let Some(kube) = Kubernetes::shared() else { return };
    let namespace = kube.namespace("harness-programs");
    for (name, image) in [("agent", kube.agent_image()), ("coordinator", kube.coordinator_image())] {
        kube.load(&image);
        namespace.apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{restartPolicy: Never,
                securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}},
                containers: [{{name: main, image: '{}', args: [--version], securityContext: {{
                  allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}}}]}}}}",
            image.name
        ));
        wait_until(SOON, &format!("the {name} says its version"), || {
            let pod = namespace.pod(name)?;
            check(pod.phase == "Succeeded", || format!("{pod:?}"))
        });
    }
}

#[test]
fn a_privileged_pod_is_refused_at_the_restricted_level() {
    let Some(kube) = Kubernetes::shared() else { return };
    let namespace = kube.namespace("harness-refused");
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: bad}, spec: {containers: [{name: c, image: any}]}}";
    let refused = namespace.try_apply(pod).unwrap_err();
    assert!(refused.contains("restricted"), "{refused}");
}

#[test]
fn what_an_account_may_not_do_is_refused_and_written_down() {
    let Some(kube) = Kubernetes::shared() else { return };
    let namespace = kube.namespace("harness-rights");
    let token = namespace.kubectl(&["create", "token", "default"]);
    let pods = ["get", "pods", "--namespace", "harness-rights", "--token", token.trim()];
    let said = kube.run("kubectl", &pods);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("forbidden"), "{said}");
    let written = wait_until(SOON, "the audit log has it", || {
        kube.forbidden("harness-rights").into_iter().next().ok_or_else(|| "nothing".to_owned())
    });
    assert_eq!((written.verb.as_str(), written.what.as_str()), ("list", "pods"));
}

#[test]
fn a_frozen_pod_is_silent_and_a_cut_pod_does_not_reach_the_other() {
    let Some(kube) = Kubernetes::shared() else { return };
    let namespace = kube.namespace("harness-cut");
    let pods = servers_in_pods(&namespace, "cut", 2, &[]);
    let (one, other) = (&pods[0], &pods[1]);
    let ask = || {
        let host = other.ip.expect("it is ready").to_string();
        namespace.exec(&one.name, "redis", &["timeout", "2", "redis-cli", "-h", &host, "PING"])
    };
    assert_eq!(ask().unwrap().trim(), "PONG");
    let cut = kube.cut_between(one.ip.unwrap(), other.ip.unwrap());
    assert!(ask().is_err(), "nothing arrives");
    drop(cut);
    assert_eq!(ask().unwrap().trim(), "PONG");
    let frozen = kube.freeze(other, "redis");
    assert!(ask().is_err(), "nobody answers");
    drop(frozen);
    wait_until(SOON, "it answers again", || ask().and_then(|answer| check(answer.trim() == "PONG", || answer)));
    // It speaks TLS, so it answers a PING with an error: that is enough to know that it was reached.
    let reaches_api = || {
        let script = "timeout 2 redis-cli -h kubernetes.default -p 443 PING 2>&1; true";
        namespace.exec(&one.name, "redis", &["sh", "-c", script]).unwrap().contains("Error")
    };
    assert!(reaches_api());
    let cut = kube.cut_from_api(one.ip.unwrap());
    assert!(!reaches_api());
    assert_eq!(ask().unwrap().trim(), "PONG");
    drop(cut);
    assert!(reaches_api());
}

#[test]
fn a_killed_node_is_lost_and_comes_back_and_at_the_end_everything_is_gone() {
    let Some(kube) = Kubernetes::start(2) else { return };
    let namespace = kube.namespace("harness-node");
    let pods = servers_in_pods(&namespace, "lost", 2, &[]);
    let pod = pods.iter().find(|pod| pod.node.as_deref() == Some("node-2")).expect("one is in each zone").clone();
    let server = kube.processes(&pod, "redis");
    assert!(server.iter().any(|pid| procs::is_alive(*pid)), "its processes are found: {server:?}");
    kube.kill_node(2);
    assert!(!server.iter().any(|pid| procs::is_alive(*pid)), "its pods die with it");
    kube.wait_node(2, false, Duration::from_secs(30));
    kube.start_node(2);
    kube.wait_node(2, true, Duration::from_secs(30));
    namespace.wait_ready("app=lost", 2, Duration::from_mins(1));
    drop(namespace);
    let folder = kube.folder().to_owned();
    drop(kube);
    assert_eq!(procs::under(&folder), Vec::new());
    assert!(!folder.exists());
}

#[test]
fn a_control_plane_needs_no_nodes() {
    let ports = Ports::take();
    let Some(kube) = Kubernetes::control_plane(ports.first) else { return };
    kube.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: here, namespace: default}, data: {a: b}}");
    let object = kube.api().get("/api/v1/namespaces/default/configmaps/here").unwrap();
    assert_eq!(object["data"]["a"], "b");
    assert!(kube.helm(&["list", "--all-namespaces"]).contains("NAMESPACE"), "helm reaches it too");
    let folder = kube.folder().to_owned();
    drop(kube);
    assert_eq!(procs::under(&folder), Vec::new());
}
