//! Security contexts that the restricted pod-security level takes, as far as the user does not say otherwise.

use k8s_openapi::api::core::v1::{Capabilities, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext};

use super::Cluster;

/// Nobody's user and group: images of servers name one of their own only in their entry points, which do not run.
const USER: i64 = 10_001;

/// Of the pod. A user is chosen only where neither the template nor the platform does.
pub(super) fn pod(cluster: &Cluster, pod: &mut PodSpec) {
    let is_given = pod.security_context.is_some();
    let context = pod.security_context.get_or_insert_with(PodSecurityContext::default);
    context.run_as_non_root.get_or_insert(true);
    context
        .seccomp_profile
        .get_or_insert_with(|| SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None });
    if !is_given && !cluster.users_are_assigned {
        context.run_as_user = Some(USER);
        context.fs_group = Some(USER);
        // Without it every file of a large volume would be visited at each start.
        context.fs_group_change_policy = Some("OnRootMismatch".to_owned());
    }
}

/// Of a container of ours.
pub(super) fn container(given: Option<SecurityContext>) -> SecurityContext {
    let mut context = given.unwrap_or_default();
    context.allow_privilege_escalation.get_or_insert(false);
    context.read_only_root_filesystem.get_or_insert(true);
    context.capabilities.get_or_insert_with(|| Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None });
    context
}
