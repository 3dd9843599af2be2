//! Which secrets a pod may refer to: none if a node made it, and those of its account if that says so.
//! Source: `kubernetes/plugin/pkg/admission/serviceaccount`, whose texts these are.

use serde_json::Value;
use steersman_machinery::meta;

/// Says that the pods of an account may only use the secrets that it lists.
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";
/// Lists of containers that are there from the start, and what their members are called.
pub(super) const CONTAINERS: [(&str, &str); 2] = [("initContainers", "init container"), ("containers", "container")];
/// The list of containers that come later.
pub(super) const EPHEMERAL: [(&str, &str); 1] = [("ephemeralContainers", "ephemeral container")];

/// What a pod that a node made by itself may not refer to.
pub(super) fn mirror_pod(pod: &Value) -> Result<(), &'static str> {
    if !meta::text(pod, &["spec", "serviceAccountName"]).is_empty() {
        return Err("a mirror pod may not reference service accounts");
    }
    if refers_to_a_secret(pod) {
        return Err("a mirror pod may not reference secrets");
    }
    let sources =
        meta::items(pod, &["spec", "volumes"]).iter().flat_map(|volume| meta::items(volume, &["projected", "sources"]));
    match sources.into_iter().any(|source| source.get("serviceAccountToken").is_some()) {
        true => Err("a mirror pod may not use ServiceAccountToken volume projections"),
        false => Ok(()),
    }
}

fn refers_to_a_secret(pod: &Value) -> bool {
    let in_volume = |volume: &Value| {
        let sources = meta::items(volume, &["projected", "sources"]);
        volume.get("secret").is_some()
            || sources.iter().any(|source| source.get("secret").is_some())
            || volume.as_object().into_iter().flatten().any(|(_, source)| {
                ["secretRef", "nodePublishSecretRef"]
                    .iter()
                    .any(|field| source.get(field).is_some_and(Value::is_object))
            })
            || !meta::text(volume, &["azureFile", "secretName"]).is_empty()
    };
    let containers = CONTAINERS.iter().chain(&EPHEMERAL).flat_map(|(list, _)| meta::items(pod, &["spec", list]));
    let in_container = |container: &Value| {
        variables(container).next().is_some()
            || meta::items(container, &["envFrom"]).iter().any(|from| from.get("secretRef").is_some())
    };
    !meta::items(pod, &["spec", "imagePullSecrets"]).is_empty()
        || meta::items(pod, &["spec", "volumes"]).iter().any(in_volume)
        || containers.into_iter().any(in_container)
}

/// The variables that come from secrets: their names and those of the secrets.
fn variables(container: &Value) -> impl Iterator<Item = (&str, &str)> {
    meta::items(container, &["env"]).iter().filter_map(|variable| {
        let secret = meta::at(variable, &["valueFrom", "secretKeyRef"])?;
        Some((meta::text(variable, &["name"]), meta::text(secret, &["name"])))
    })
}

/// Whether an account lets its pods use only the secrets that it lists.
pub(super) fn are_limited(account: &Value) -> bool {
    matches!(meta::annotation(account, ENFORCE), Some("1" | "t" | "T" | "true" | "TRUE" | "True"))
}

/// The first reference to a secret that the account does not list. What is there from the start is looked at whole.
pub(super) fn limit(pod: &Value, account: &Value, lists: &[(&str, &str)]) -> Result<(), String> {
    let listed =
        |list: &str, name: &str| meta::items(account, &[list]).iter().any(|it| meta::text(it, &["name"]) == name);
    let of = meta::name(account);
    let from_the_start = lists.len() == CONTAINERS.len();
    let volumes = meta::items(pod, &["spec", "volumes"]).iter().filter(|_| from_the_start);
    for secret in volumes.filter_map(|volume| volume.get("secret")) {
        let name = meta::text(secret, &["secretName"]);
        if !listed("secrets", name) {
            return Err(format!(
                "volume with secret.secretName=\"{name}\" is not allowed because service account {of} does not reference that secret"
            ));
        }
    }
    for (list, what) in lists {
        for container in meta::items(pod, &["spec", list]) {
            if let Some((variable, name)) = variables(container).find(|(_, name)| !listed("secrets", name)) {
                let own = meta::text(container, &["name"]);
                return Err(format!(
                    "{what} {own} with envVar {variable} referencing secret.secretName=\"{name}\" is not allowed because service account {of} does not reference that secret"
                ));
            }
        }
    }
    let pulls = meta::items(pod, &["spec", "imagePullSecrets"]).iter().enumerate().filter(|_| from_the_start);
    for (index, name) in pulls.map(|(index, pull)| (index, meta::text(pull, &["name"]))) {
        if !listed("imagePullSecrets", name) {
            return Err(format!(
                "imagePullSecrets[{index}].name=\"{name}\" is not allowed because service account {of} does not reference that imagePullSecret"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_node_makes_uses_no_secrets() {
        for (spec, expect) in [
            (json!({}), Ok(())),
            (json!({"serviceAccountName": "a"}), Err("a mirror pod may not reference service accounts")),
            (json!({"volumes": [{"secret": {}}]}), Err("a mirror pod may not reference secrets")),
            (json!({"volumes": [{"cephfs": {"secretRef": {}}}]}), Err("a mirror pod may not reference secrets")),
            (json!({"imagePullSecrets": [{"name": "x"}]}), Err("a mirror pod may not reference secrets")),
            (json!({"containers": [{"envFrom": [{"secretRef": {}}]}]}), Err("a mirror pod may not reference secrets")),
            (
                json!({"volumes": [{"projected": {"sources": [{"serviceAccountToken": {}}]}}]}),
                Err("a mirror pod may not use ServiceAccountToken volume projections"),
            ),
        ] {
            assert_eq!(mirror_pod(&json!({"spec": spec})), expect, "{spec}");
        }
    }

    #[test]
    fn an_account_may_limit_the_secrets_of_its_pods() {
        let account = json!({
            "metadata": {"name": "a", "annotations": {ENFORCE: "true"}},
            "secrets": [{"name": "s"}], "imagePullSecrets": [{"name": "p"}],
        });
        assert!(are_limited(&account) && !are_limited(&json!({})));
        let env = |secret: &str| json!([{"name": "c", "env": [{"name": "V", "valueFrom": {"secretKeyRef": {"name": secret}}}]}]);
        let not = |what: &str, sort: &str| {
            Err(format!("{what} is not allowed because service account a does not reference that {sort}"))
        };
        for (spec, expect) in [
            (
                json!({"volumes": [{"secret": {"secretName": "s"}}], "containers": env("s"), "imagePullSecrets": [{"name": "p"}]}),
                Ok(()),
            ),
            (
                json!({"volumes": [{"secret": {"secretName": "t"}}]}),
                not("volume with secret.secretName=\"t\"", "secret"),
            ),
            (
                json!({"initContainers": env("t")}),
                not("init container c with envVar V referencing secret.secretName=\"t\"", "secret"),
            ),
            (
                json!({"containers": env("t")}),
                not("container c with envVar V referencing secret.secretName=\"t\"", "secret"),
            ),
            (json!({"imagePullSecrets": [{"name": "s"}]}), not("imagePullSecrets[0].name=\"s\"", "imagePullSecret")),
        ] {
            assert_eq!(limit(&json!({"spec": spec}), &account, &CONTAINERS), expect, "{spec}");
        }
        let late = json!({"spec": {"ephemeralContainers": env("t"), "imagePullSecrets": [{"name": "s"}]}});
        assert_eq!(
            limit(&late, &account, &EPHEMERAL),
            not("ephemeral container c with envVar V referencing secret.secretName=\"t\"", "secret")
        );
    }
}
