//! A namespace of one case, at the restricted pod-security level unless told otherwise. It goes when dropped; if the
//! case has failed, it first says what is in it.

use std::time::Duration;

use serde_json::Value;

use super::{Kubernetes, Pod};
use crate::wait::{check, poll, wait_until};

/// How long its pods may take to end when it is dropped.
const END: Duration = Duration::from_secs(30);

/// A namespace that exists until this is dropped.
#[derive(Debug)]
pub struct Namespace<'k> {
    /// The cluster that it is in.
    pub kube: &'k Kubernetes,
    /// Its name.
    pub name: String,
}

impl Kubernetes {
    /// A new namespace that enforces the restricted level. Its name must be used by nobody else in this cluster.
    #[track_caller]
    pub fn namespace(&self, name: &str) -> Namespace<'_> {
        self.namespace_of_level(name, "restricted")
    }

    /// As [`Kubernetes::namespace`], of another level: `baseline` or `privileged` (for what a test needs beside pods of
    /// the product).
    #[track_caller]
    pub fn namespace_of_level(&self, name: &str, level: &str) -> Namespace<'_> {
        let labels = serde_json::json!({"pod-security.kubernetes.io/enforce": level});
        let object =
            serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        if let Err(why) = self.api().create("/api/v1/namespaces", &object) {
            panic!("{why}");
        }
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        wait_until(Duration::from_secs(20), "the namespace gets its service account", || self.api().get(&account));
        Namespace { kube: self, name: name.to_owned() }
    }
}

impl Namespace<'_> {
    /// The path of something in it: `path("apis/apps/v1", "statefulsets/x")`.
    pub fn path(&self, group: &str, rest: &str) -> String {
        format!("/{group}/namespaces/{}/{rest}", self.name)
    }

    /// The reason and the message of each event about an object, in no particular order.
    pub fn events(&self, kind: &str, name: &str) -> Result<Vec<(String, String)>, String> {
        let events = self.kube.api().list(&self.path("api/v1", "events"))?.into_iter();
        let about =
            events.filter(|event| event["involvedObject"]["kind"] == kind && event["involvedObject"]["name"] == name);
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        Ok(about.map(|event| (text(&event, "reason"), text(&event, "message"))).collect())
    }

    /// kubectl in this namespace. Panics with what it says on an error.
    #[track_caller]
    pub fn kubectl(&self, args: &[&str]) -> String {
        self.kube.kubectl(&[&["--namespace", &self.name], args].concat())
    }

    /// Applies YAML in this namespace. Panics with what the API server says if it refuses.
    #[track_caller]
    pub fn apply(&self, yaml: &str) {
        if let Err(refused) = self.try_apply(yaml) {
            panic!("{refused}\n{yaml}");
        }
    }

    /// As [`Namespace::apply`], with the API server's words if it refuses.
    pub fn try_apply(&self, yaml: &str) -> Result<String, String> {
        let args = [
            "--namespace",
            &self.name,
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=tests",
            "-f",
            "-",
        ];
        let output = self.kube.run_with("kubectl", &args, yaml);
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok(out.into_owned()) } else { Err(error.trim().to_owned()) }
    }

    /// The pods with a label (`app=x`), all with an empty selector, by name.
    pub fn pods(&self, selector: &str) -> Result<Vec<Pod>, String> {
        let selector = selector.replace('/', "%2F").replace('=', "%3D");
        let path = format!("/api/v1/namespaces/{}/pods?labelSelector={selector}", self.name);
        let mut pods: Vec<Pod> = self.kube.api().list(&path)?.iter().map(Pod::read).collect::<Result<_, _>>()?;
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pods)
    }

    /// A pod by its name.
    pub fn pod(&self, name: &str) -> Result<Pod, String> {
        Pod::read(&self.kube.api().get(&format!("/api/v1/namespaces/{}/pods/{name}", self.name))?)
    }

    /// Waits until exactly `count` pods have the label and all are ready and stay.
    #[track_caller]
    pub fn wait_ready(&self, selector: &str, count: usize, within: Duration) -> Vec<Pod> {
        wait_until(within, &format!("{count} pods with {selector} are ready"), || {
            let pods = self.pods(selector)?;
            let good = pods.iter().filter(|pod| pod.is_ready && !pod.is_ending).count();
            if good == count && pods.len() == count { Ok(pods) } else { Err(format!("{good} of {} are", pods.len())) }
        })
    }

    /// A command in a pod's container; its standard output, or what it says on an error.
    pub fn exec(&self, pod: &str, container: &str, args: &[&str]) -> Result<String, String> {
        let begin = ["--namespace", &self.name, "exec", pod, "--container", container, "--"];
        let output = self.kube.run("kubectl", &[&begin, args].concat());
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok(out.into_owned()) } else { Err(error.trim().to_owned()) }
    }

    /// What is in it, and what happened: for a case that failed.
    pub fn describe(&self) -> String {
        let show = |args: &[&str]| {
            let output = self.kube.run("kubectl", &[&["--namespace", &self.name], args].concat());
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let events = show(&["get", "events", "--sort-by=.lastTimestamp"]);
        let last: Vec<&str> = events.lines().rev().take(25).collect();
        let pods = self.pods("").unwrap_or_default();
        let logs = pods.iter().map(|pod| {
            let text = show(&["logs", &pod.name, "--all-containers", "--prefix", "--tail=8"]);
            format!("-- {} {:?} {:?}\n{text}", pod.name, pod.phase, pod.restarts)
        });
        let logs: Vec<String> = logs.collect();
        let ours = show(&["get", "rediscluster", "-o", "wide", "--ignore-not-found"]);
        let all = show(&["get", "all,pvc", "-o", "wide", "--ignore-not-found"]);
        format!("{ours}{all}\n{}\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"), logs.join("\n"))
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.describe());
        }
        let path = format!("/api/v1/namespaces/{}", self.name);
        let deleted = self.kube.api().delete(&path, None);
        if std::thread::panicking() {
            return;
        }
        let gone = deleted
            .and_then(|()| poll(END, || check(self.kube.api().is_gone(&path)?, || "something in it stays".to_owned())));
        if let Err(why) = gone {
            eprintln!("namespace {} is not gone: {why}", self.name);
        }
    }
}
