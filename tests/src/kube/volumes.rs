//! Static local volumes: the test cluster has no provisioner, so a test makes the volumes that claims are bound to. They
//! are folders of the cluster's own, and one that was released is not given to another claim.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::json;

use super::Kubernetes;

/// A volume on one node. The API object and the folder stay until the cluster ends, as a disk would.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its folder, as this machine sees it.
    pub folder: PathBuf,
}

impl Kubernetes {
    /// A volume of one GiB (in name) that only pods on this node can use, for claims of this storage class. Any user id
    /// may write to it. Its class keeps tests apart: a claim of one test is never bound to the volume of another.
    #[track_caller]
    pub fn local_volume(&self, name: &str, node: u8, class: &str) -> Volume {
        let folder = self.folder().join("volumes").join(name);
        fs::create_dir_all(&folder).expect("the cluster's folder can be written");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("it is ours");
        let here = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [format!("node-{node}")]});
        let object = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
            "persistentVolumeReclaimPolicy": "Retain", "local": {"path": folder},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}}}});
        if let Err(why) = self.api().create("/api/v1/persistentvolumes", &object) {
            panic!("{why}");
        }
        Volume { name: name.to_owned(), folder }
    }

    /// A storage class without provisioner: claims wait until their pod is scheduled, and then get a local volume.
    #[track_caller]
    pub fn local_class(&self, name: &str) {
        let object = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
            "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"});
        if let Err(why) = self.api().create("/apis/storage.k8s.io/v1/storageclasses", &object) {
            panic!("{why}");
        }
    }
}
