//! Whether the coordinator that wrote a status still leads: a status does not say how old it is.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{Api, Client};

/// A Lease that was not renewed for so long is nobody's; coordinators renew every two seconds. Generous, since the clock of
/// this machine is another one.
const SILENT_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// What is waited for if nobody holds the Lease (`namespace/name`); nothing if somebody does, or if the user may not see it.
pub(super) async fn silent(client: &Client, lease: Option<&str>) -> Option<String> {
    let (namespace, name) = lease?.split_once('/')?;
    let lease = Api::<Lease>::namespaced(client.clone(), namespace).get_opt(name).await.ok()?;
    let why = unheld(lease.as_ref(), Timestamp::now())?;
    Some(format!(
        "a coordinator: {why} (Lease {namespace}/{name}), so this status is of then; verify asks the agents, which go on \
         with what they were told"
    ))
}

fn unheld(lease: Option<&Lease>, now: Timestamp) -> Option<String> {
    let Some(spec) = lease.and_then(|lease| lease.spec.as_ref()) else { return Some("none leads".to_owned()) };
    if spec.holder_identity.as_deref().is_none_or(str::is_empty) {
        return Some("none leads".to_owned());
    }
    let since = now.duration_since(spec.renew_time.as_ref()?.0);
    (since > SILENT_AFTER).then(|| format!("none leads since {} s", since.as_secs()))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    fn lease(holder: &str, renewed: Timestamp) -> Lease {
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            renew_time: Some(MicroTime(renewed)),
            ..LeaseSpec::default()
        };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    #[test]
    fn who_renews_leads_and_a_lease_that_is_given_up_gone_or_old_is_nobodys() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let ago = |seconds| now.checked_sub(SignedDuration::from_secs(seconds)).unwrap();
        assert_eq!(unheld(Some(&lease("a", ago(59))), now), None);
        assert_eq!(unheld(Some(&lease("a", ago(61))), now).unwrap(), "none leads since 61 s");
        assert!(unheld(Some(&lease("", ago(1))), now).is_some() && unheld(None, now).is_some());
    }
}
