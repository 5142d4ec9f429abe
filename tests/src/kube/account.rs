//! Accounts with the rights that the coordinator's chart gives, for coordinators that run as processes of this machine.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Kubernetes;

/// The namespace that is replaced by another one.
const ANY: &str = "any-namespace";
/// Kinds that give rights.
const KINDS: [&str; 5] = ["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];

/// An account and its rights, as the chart renders them for a namespace.
#[derive(Clone, Debug)]
pub struct Rights(Value);

impl Kubernetes {
    /// The rights that the chart gives to the coordinators of a release; `namespaced` to those that look after their own
    /// namespace alone.
    pub fn chart_rights(&self, release: &str, namespaced: bool) -> Rights {
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/redis-coordinator").display().to_string();
        let namespaced = format!("namespaced={namespaced}");
        // Built from Go modules, helm knows no version of Kubernetes by itself.
        let version = ["--kube-version", "1.34.0"];
        let args = [&["template", release, &chart, "--namespace", ANY, "--set", &namespaced][..], &version].concat();
        let text = self.helm(&args);
        let all =
            text.split("\n---\n").map(|document| serde_saphyr::from_str::<Value>(document).expect("helm writes YAML"));
        Rights(all.filter(|object| KINDS.iter().any(|kind| object["kind"] == *kind)).collect())
    }

    /// Makes the account with these rights in a namespace, and a kubeconfig of it. Answers with the kubeconfig.
    #[track_caller]
    pub fn account(&self, namespace: &str, rights: &Rights) -> PathBuf {
        let rights = rights.0.to_string().replace(ANY, namespace);
        let objects: Vec<Value> = serde_json::from_str(&rights).expect("it was JSON before");
        let mut account = None;
        for object in &objects {
            let kind = object["kind"].as_str().unwrap_or_default();
            let plural = format!("{}s", kind.to_lowercase());
            let path = match kind {
                "ServiceAccount" => {
                    account = object["metadata"]["name"].as_str();
                    format!("/api/v1/namespaces/{namespace}/{plural}")
                }
                "Role" | "RoleBinding" => {
                    format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{plural}")
                }
                _ => format!("/apis/rbac.authorization.k8s.io/v1/{plural}"),
            };
            self.api().create(&path, object).unwrap_or_else(|why| panic!("{why}"));
        }
        self.kubeconfig_of(namespace, account.expect("the chart makes an account"))
    }

    /// A kubeconfig of an account, good for an hour.
    fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let answer = self.api().create(&path, &request).unwrap_or_else(|why| panic!("{why}"));
        let token = answer["status"]["token"].as_str().expect("a token is given");
        let admin = fs::read_to_string(self.kubeconfig()).expect("it was written");
        let (before, rest) = admin.split_once("token: ").expect("the user has a token");
        let (_, after) = rest.split_once('}').expect("it ends");
        let path = self.folder().join(format!("{namespace}-{account}.kubeconfig"));
        fs::write(&path, format!("{before}token: {token}}}{after}")).expect("the folder can be written");
        path
    }
}

impl Rights {
    /// Group, resource and verb of each right.
    pub fn all(&self) -> Vec<(String, String, String)> {
        let texts = |list: &Value| -> Vec<String> {
            list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let mut all = Vec::new();
        let objects = self.0.as_array().into_iter().flatten();
        for rule in objects.flat_map(|object| object["rules"].as_array().into_iter().flatten()) {
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    let verbs = texts(&rule["verbs"]).into_iter();
                    all.extend(verbs.map(|verb| (group.clone(), resource.clone(), verb)));
                }
            }
        }
        all
    }

    /// These, but for one of them.
    pub fn without(&self, (group, resource, verb): &(String, String, String)) -> Self {
        let mut objects = self.0.clone();
        let has = |list: &Value, text: &str| list.as_array().is_some_and(|list| list.iter().any(|item| item == text));
        let lists = objects.as_array_mut().into_iter().flatten().filter_map(|object| object["rules"].as_array_mut());
        for rules in lists {
            for rule in rules.iter_mut().filter(|r| has(&r["apiGroups"], group) && has(&r["resources"], resource)) {
                if let Some(verbs) = rule["verbs"].as_array_mut() {
                    verbs.retain(|other| other != verb);
                }
            }
            // The API server takes no rule without verbs.
            rules.retain(|rule| rule["verbs"].as_array().is_some_and(|verbs| !verbs.is_empty()));
        }
        Self(objects)
    }
}
