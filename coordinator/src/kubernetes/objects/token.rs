//! The Secret with the cluster's token. It is made once; what is in it is never derived.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::Cluster;

/// The key of the token.
pub const TOKEN: &str = "token";
/// The key that is there until the cluster has been founded: nodes that start with it may be founders. A key of the
/// Secret and not of the pods' template, which would change with it, and every pod with the template.
pub const MAY_FOUND: &str = "may-found";

/// The name of the Secret of the cluster `name`.
pub fn token_name(name: &str) -> String {
    format!("{name}-token")
}

/// The Secret with `token` (printable). `may_found`: the cluster has never been founded.
pub fn token_secret(cluster: &Cluster, token: &str, may_found: bool) -> Secret {
    let text = |text: &str| ByteString(text.as_bytes().to_vec());
    let mut data = vec![(TOKEN.to_owned(), text(token))];
    data.extend(may_found.then(|| (MAY_FOUND.to_owned(), text("true"))));
    Secret {
        metadata: cluster.metadata(cluster.token_secret()),
        type_: Some("Opaque".to_owned()),
        data: Some(data.into_iter().collect()),
        ..Secret::default()
    }
}
