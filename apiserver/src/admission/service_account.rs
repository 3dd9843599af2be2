//! `ServiceAccount`: every pod has a service account, and its token mounted unless it does not want that.
//! Source: Kubernetes doc "Managing Service Accounts", section "ServiceAccount admission controller".

mod references;

use std::sync::Arc;

use futures::future::FutureExt;
use serde_json::{Value, json};
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use super::{Attributes, Operation, Plugin, Verdict, pass};

/// Where the token is mounted.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// What the volume with the token begins with.
pub(crate) const VOLUME: &str = "kube-api-access-";
/// The annotation of pods that a node made by itself.
const MIRROR_POD: &str = "kubernetes.io/config.mirror";
/// The life of the mounted token: an hour and a little, by which the server knows that it may be extended.
const TOKEN_SECONDS: u32 = 3607;

pub(super) struct ServiceAccount;

impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        let concerned = attributes.operation == Operation::Create && attributes.is("", "pods");
        if !concerned || meta::annotation(object, MIRROR_POD).is_some() {
            return pass();
        }
        async move {
            if meta::text(object, &["spec", "serviceAccountName"]).is_empty() {
                meta::set(object, &["spec", "serviceAccountName"], "default");
            }
            let account = account(attributes, object).await?;
            meta::set(object, &["spec", "serviceAccount"], meta::name(&account));
            if wants_token(object, &account) {
                mount_token(object, &attributes.server.random.name_suffix(5));
            }
            if meta::items(object, &["spec", "imagePullSecrets"]).is_empty()
                && let Some(secrets) = account.get("imagePullSecrets")
            {
                meta::set(object, &["spec", "imagePullSecrets"], secrets.clone());
            }
            Ok(())
        }
        .boxed()
        .right_future()
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, object: Option<&'a Value>) -> Verdict<'a> {
        let is_pod = attributes.resource.group.is_empty() && attributes.resource.name == "pods";
        let lists: &[(&str, &str)] = match (attributes.operation, attributes.subresource) {
            (Operation::Create, "") => &references::CONTAINERS,
            (Operation::Update, "ephemeralcontainers") => &references::EPHEMERAL,
            _ => return pass(),
        };
        let Some(pod) = object.filter(|_| is_pod) else { return pass() };
        async move {
            let refuse = |why: String| attributes.forbidden(pod, why);
            if meta::annotation(pod, MIRROR_POD).is_some() {
                return references::mirror_pod(pod).map_err(|why| refuse(why.to_owned()));
            }
            if meta::text(pod, &["spec", "serviceAccountName"]).is_empty() {
                let (namespace, name) = (attributes.namespace, attributes.name);
                return Err(refuse(format!("no service account specified for pod {namespace}/{name}")));
            }
            let account = account(attributes, pod).await?;
            match references::are_limited(&account) {
                true => references::limit(pod, &account, lists).map_err(refuse),
                false => Ok(()),
            }
        }
        .boxed()
        .right_future()
    }
}

/// The account of a pod.
async fn account(attributes: &Attributes<'_>, pod: &Value) -> Result<Arc<Value>, Status> {
    let name = meta::text(pod, &["spec", "serviceAccountName"]);
    let account = attributes.server.configuration("serviceaccounts", attributes.namespace, name).await?;
    account.ok_or_else(|| missing(attributes, pod, name))
}

fn missing(attributes: &Attributes<'_>, pod: &Value, name: &str) -> Status {
    let namespace = attributes.namespace;
    let why = format!("error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found");
    attributes.forbidden(pod, why)
}

fn wants_token(pod: &Value, account: &Value) -> bool {
    let says = |value: Option<&Value>| value.and_then(Value::as_bool);
    says(meta::at(pod, &["spec", "automountServiceAccountToken"]))
        .or_else(|| says(account.get("automountServiceAccountToken")))
        .unwrap_or(true)
}

fn mount_token(pod: &mut Value, suffix: &str) {
    let volumes = meta::items(pod, &["spec", "volumes"]).iter().map(|volume| meta::text(volume, &["name"]));
    // A pod that was made after another one, or that comes here again, may have it.
    let present = volumes.into_iter().find(|name| name.starts_with(VOLUME)).map(str::to_owned);
    let volume = present.clone().unwrap_or_else(|| format!("{VOLUME}{suffix}"));
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let Some(containers) = meta::at_mut(pod, &["spec", list]).and_then(Value::as_array_mut) else { continue };
        for container in containers {
            let mounts = meta::items(container, &["volumeMounts"]);
            if mounts.iter().any(|mount| meta::text(mount, &["mountPath"]) == MOUNT_PATH) {
                continue;
            }
            let mount = json!({"name": volume, "mountPath": MOUNT_PATH, "readOnly": true});
            append(container, "volumeMounts", mount);
            mounted = true;
        }
    }
    if mounted && present.is_none() {
        append(meta::at_mut(pod, &["spec"]).unwrap_or(&mut Value::Null), "volumes", token_volume(&volume));
    }
}

fn append(owner: &mut Value, list: &str, item: Value) {
    if let Some(owner) = owner.as_object_mut()
        && let Some(items) = owner.entry(list).or_insert_with(|| json!([])).as_array_mut()
    {
        items.push(item);
    }
}

fn token_volume(name: &str) -> Value {
    json!({
        "name": name,
        "projected": {
            "defaultMode": 420,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [
                    {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                ]}},
            ],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_mounted_once_into_each_container() {
        let mut pod = json!({"spec": {"containers": [
            {"name": "a"}, {"name": "b", "volumeMounts": [{"name": "own", "mountPath": MOUNT_PATH}]}]}});
        mount_token(&mut pod, "abcde");
        assert_eq!(meta::items(&pod["spec"]["containers"][0], &["volumeMounts"])[0]["name"], "kube-api-access-abcde");
        assert_eq!(meta::items(&pod["spec"]["containers"][1], &["volumeMounts"]).len(), 1);
        assert_eq!(pod["spec"]["volumes"][0]["projected"]["defaultMode"], 420);
        append(&mut pod["spec"], "containers", json!({"name": "late"}));
        mount_token(&mut pod, "fghij");
        assert_eq!(pod["spec"]["containers"][2]["volumeMounts"][0]["name"], "kube-api-access-abcde");
        assert_eq!(meta::items(&pod, &["spec", "volumes"]).len(), 1, "the volume that is there is used");
    }

    #[test]
    fn the_pod_decides_over_its_account() {
        let no = json!({"automountServiceAccountToken": false});
        assert!(wants_token(&json!({}), &json!({})));
        assert!(!wants_token(&json!({}), &no));
        assert!(wants_token(&json!({"spec": {"automountServiceAccountToken": true}}), &no));
    }
}
