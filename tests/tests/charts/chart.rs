//! Runs helm on a chart of this repository.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use redisnode_tests::kube::Kubernetes;
use serde_json::Value;

/// Built from Go modules, helm knows no version of Kubernetes by itself. The oldest that the charts are for.
const OLDEST: &str = "1.29.0";
/// What newer ones have, and the charts use where it is there.
const POLICIES: &str = "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy";

/// A chart.
pub(crate) struct Chart {
    helm: PathBuf,
    name: &'static str,
}

impl Chart {
    /// By the name of its folder. `None`, after the reason has been said, where helm is not.
    pub(crate) fn find(name: &'static str) -> Option<Self> {
        Some(Self { helm: Kubernetes::program("helm")?, name })
    }

    fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts").join(self.name)
    }

    /// A file of it.
    pub(crate) fn file(&self, path: &str) -> String {
        let path = self.folder().join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// A file of it, read as YAML (or JSON).
    pub(crate) fn yaml(&self, path: &str) -> Value {
        serde_saphyr::from_str(&self.file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// What it renders to with these values, for the release `shop` in the namespace `ns`; helm's words if it refuses.
    pub(crate) fn render(&self, values: &Value, more: &[&str]) -> Result<Rendered, String> {
        self.render_as("shop", values, more)
    }

    /// As [`Chart::render`], for another release.
    pub(crate) fn render_as(&self, release: &str, values: &Value, more: &[&str]) -> Result<Rendered, String> {
        let folder = self.folder().display().to_string();
        let fixed = ["template", release, &folder, "--namespace", "ns", "--kube-version", OLDEST, "--values", "-"];
        let output = self.helm(&[&fixed[..], &["--api-versions", POLICIES], more].concat(), &values.to_string());
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let text = String::from_utf8(output.stdout).expect("YAML is text");
        let documents = text.split("\n---\n").map(|document| {
            serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("not YAML: {error}\n{document}"))
        });
        Ok(Rendered(documents.filter(|document: &Value| !document.is_null()).collect()))
    }

    /// As [`Chart::render`], which must succeed.
    #[track_caller]
    pub(crate) fn rendered(&self, values: &Value) -> Rendered {
        self.render(values, &[]).unwrap_or_else(|said| panic!("{said}"))
    }

    /// `helm lint` finds nothing, not even to warn of.
    #[track_caller]
    pub(crate) fn lint(&self, values: &Value) {
        let folder = self.folder().display().to_string();
        let args = ["lint", &folder, "--strict", "--kube-version", OLDEST, "--values", "-"];
        let output = self.helm(&args, &values.to_string());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    fn helm(&self, args: &[&str], input: &str) -> Output {
        let own = std::env::temp_dir().join(format!("redisnode-helm-{}", std::process::id()));
        let mut command = Command::new(&self.helm);
        for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(name, &own);
        }
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("helm cannot be started: {error}"));
        child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("helm reads its values");
        child.wait_with_output().expect("its output can be read")
    }
}

/// What a chart rendered to.
pub(crate) struct Rendered(pub(crate) Vec<Value>);

impl Rendered {
    /// `Kind/name` of everything.
    pub(crate) fn all(&self) -> BTreeSet<String> {
        let name = |object: &Value| format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]));
        self.0.iter().map(name).collect()
    }

    /// The one of a kind, whatever its name.
    #[track_caller]
    pub(crate) fn one(&self, kind: &str) -> &Value {
        let mut found = self.0.iter().filter(|object| object["kind"] == kind);
        let one = found.next().unwrap_or_else(|| panic!("no {kind} in {:?}", self.all()));
        assert!(found.next().is_none(), "more than one {kind} in {:?}", self.all());
        one
    }
}

/// A text, or else nothing.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The texts of a list.
pub(crate) fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(text).collect()
}
