//! Confines nodes to their own objects: their Node, the pods bound to them, their Lease and CSINode.
//! Source: Kubernetes doc "Admission Control in Kubernetes", NodeRestriction;
//! `kubernetes/plugin/pkg/admission/noderestriction`.

use std::collections::BTreeSet;

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::meta;
use steersman_machinery::pod::references;
use steersman_machinery::status::Status;

use super::{Attributes, Operation, Plugin, Verdict, pass};
use crate::authorization::node;

const LEASES: &str = "kube-node-lease";
/// Labels in Kubernetes' domains that a kubelet may set on its node.
const KUBELET_LABELS: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

pub(super) struct NodeRestriction;

impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        if node::identity(&attributes.origin.user).is_none() {
            return pass();
        }
        async move { check(attributes, Some(object)).await }.boxed().right_future()
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, object: Option<&'a Value>) -> Verdict<'a> {
        // What is there to be written was looked at before.
        if object.is_some() || node::identity(&attributes.origin.user).is_none() {
            return pass();
        }
        async move { check(attributes, None).await }.boxed().right_future()
    }
}

async fn check(attributes: &Attributes<'_>, object: Option<&Value>) -> Result<(), Status> {
    let Some(node) = node::identity(&attributes.origin.user) else {
        return Ok(());
    };
    let write = Write { attributes, node, object: object.unwrap_or(&Value::Null) };
    if node.is_empty() {
        return write.refuse(format!("could not determine node from user {:?}", attributes.origin.user.name));
    }
    let Attributes { resource, subresource, .. } = attributes;
    match (resource.group.as_str(), resource.name.as_str(), *subresource) {
        ("", "pods", "") => write.pod().await,
        ("", "pods", "status") => write.pod_status(),
        ("", "pods", "eviction") => write.eviction().await,
        ("", "pods", other) => {
            write.refuse(format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"))
        }
        ("", "nodes", _) => write.node(),
        ("", "persistentvolumeclaims", "status") => write.claim_status(),
        ("", "persistentvolumeclaims", _) => write.refuse("may only update PVC status"),
        ("", "serviceaccounts", "token") => write.token().await,
        ("coordination.k8s.io", "leases", _) => write.lease(),
        ("storage.k8s.io", "csinodes", _) => {
            write.own("can only access CSINode with the same name as the requesting node")
        }
        ("resource.k8s.io", "resourceslices", _) => write.slice(),
        _ => Ok(()),
    }
}

/// A write of a node.
struct Write<'a> {
    attributes: &'a Attributes<'a>,
    node: &'a str,
    object: &'a Value,
}

impl Write<'_> {
    fn refuse(&self, why: impl Into<String>) -> Result<(), Status> {
        let resource = self.attributes.resource.group_resource();
        Err(Status::forbidden(&resource, self.attributes.name, why.into()))
    }

    fn require(&self, holds: bool, why: impl FnOnce() -> String) -> Result<(), Status> {
        if holds { Ok(()) } else { self.refuse(why()) }
    }

    fn is_on_node(&self, pod: &Value) -> bool {
        meta::text(pod, &["spec", "nodeName"]) == self.node
    }

    async fn stored_pod(&self, name: &str) -> Result<Value, Status> {
        let pod = self.attributes.server.read("pods", self.attributes.namespace, name).await?;
        pod.ok_or_else(|| Status::not_found(&self.attributes.resource.group_resource(), name))
    }

    async fn pod(&self) -> Result<(), Status> {
        let node = self.node;
        match self.attributes.operation {
            Operation::Create => self.mirror_pod().await,
            Operation::Delete => {
                let pod = self.stored_pod(self.attributes.name).await?;
                self.require(self.is_on_node(&pod), || {
                    format!("node {node:?} can only delete pods with spec.nodeName set to itself")
                })
            }
            other => self.refuse(format!(
                "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
                other.as_str()
            )),
        }
    }

    async fn mirror_pod(&self) -> Result<(), Status> {
        let (node, pod) = (self.node, self.object);
        let mirror = node::MIRROR_POD;
        self.require(meta::annotation(pod, mirror).is_some(), || {
            format!("pod does not have {mirror:?} annotation, node {node:?} can only create mirror pods")
        })?;
        self.require(self.is_on_node(pod), || {
            format!("node {node:?} can only create pods with spec.nodeName set to itself")
        })?;
        self.owner_is_node(pod).await?;
        let refers = |what: &str| format!("node {node:?} can not create pods that reference {what}");
        let account = meta::text(pod, &["spec", "serviceAccountName"]);
        self.require(account.is_empty(), || refers("a service account"))?;
        self.require(references::secrets(pod).next().is_none(), || refers("secrets"))?;
        self.require(references::config_maps(pod).next().is_none(), || refers("configmaps"))?;
        let volumes = meta::items(pod, &["spec", "volumes"]);
        let trusts = |volume: &Value| {
            meta::items(volume, &["projected", "sources"])
                .iter()
                .any(|source| source.get("clusterTrustBundle").is_some())
        };
        self.require(!volumes.iter().any(trusts), || refers("clustertrustbundles"))?;
        let claims = volumes.iter().any(|volume| volume.get("persistentVolumeClaim").is_some());
        self.require(!claims, || refers("persistentvolumeclaims"))?;
        let claims = !meta::items(pod, &["spec", "resourceClaims"]).is_empty();
        self.require(!claims, || refers("resourceclaims"))
    }

    async fn owner_is_node(&self, pod: &Value) -> Result<(), Status> {
        let node = self.node;
        let own = || format!("node {node:?} can only create pods with an owner reference set to itself");
        let [owner] = meta::items(pod, &["metadata", "ownerReferences"]) else {
            let several = !meta::items(pod, &["metadata", "ownerReferences"]).is_empty();
            let single = || format!("node {node:?} can only create pods with a single owner reference set to itself");
            return self.refuse(if several { single() } else { own() });
        };
        let text = |field: &str| meta::text(owner, &[field]);
        let flag = |field: &str| owner.get(field).and_then(Value::as_bool).unwrap_or(false);
        self.require((text("apiVersion"), text("kind"), text("name")) == ("v1", "Node", node), own)?;
        self.require(flag("controller"), || {
            format!("node {node:?} can only create pods with a controller owner reference set to itself")
        })?;
        self.require(!flag("blockOwnerDeletion"), || {
            format!("node {node:?} must not set blockOwnerDeletion on an owner reference")
        })?;
        let nodes = steersman_machinery::group::GroupResource::new("", "nodes");
        let found =
            self.attributes.server.read("nodes", "", node).await?.ok_or_else(|| Status::not_found(&nodes, node))?;
        self.require(text("uid") == meta::uid(&found), || {
            format!("node {node} UID mismatch: expected {} got {}", text("uid"), meta::uid(&found))
        })
    }

    fn pod_status(&self) -> Result<(), Status> {
        let (node, Some(old)) = (self.node, self.attributes.old) else {
            return self.refuse(format!("unexpected operation {:?}", self.attributes.operation.as_str()));
        };
        self.require(self.is_on_node(old), || {
            format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself")
        })?;
        self.require(meta::labels(old).eq(meta::labels(self.object)), || {
            format!("node {node:?} cannot update labels through pod status")
        })?;
        let claims = |pod| meta::items(pod, &["status", "resourceClaimStatuses"]).to_vec();
        self.require(claims(old) == claims(self.object), || {
            format!("node {node:?} cannot update resource claim statues")
        })
    }

    async fn eviction(&self) -> Result<(), Status> {
        let pod = self.stored_pod(self.attributes.name).await?;
        let node = self.node;
        self.require(self.is_on_node(&pod), || {
            format!("node {node} can only evict pods with spec.nodeName set to itself")
        })
    }

    fn claim_status(&self) -> Result<(), Status> {
        let Some(old) = self.attributes.old else {
            return self.refuse(format!("unexpected operation {:?}", self.attributes.operation.as_str()));
        };
        let rest = |claim: &Value| {
            let mut rest = claim.clone();
            for field in ["resourceVersion", "managedFields"] {
                meta::remove(&mut rest, &["metadata", field]);
            }
            for field in ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"] {
                meta::remove(&mut rest, &["status", field]);
            }
            rest
        };
        let node = self.node;
        self.require(rest(old) == rest(self.object), || {
            format!("node {node:?} is not allowed to update fields other than status.capacity and status.conditions")
        })
    }

    fn node(&self) -> Result<(), Status> {
        let (node, name) = (self.node, self.attributes.name);
        self.require(name == node, || format!("node {node:?} is not allowed to modify node {name:?}"))?;
        match (self.attributes.operation, self.attributes.old) {
            (Operation::Create, _) => {
                let odd = forbidden_labels(self.object, None);
                self.require(odd.is_empty(), || {
                    format!("node {node:?} is not allowed to set the following labels: {}", odd.join(", "))
                })
            }
            (Operation::Update, Some(old)) => {
                let taints = |node| meta::items(node, &["spec", "taints"]).to_vec();
                self.require(taints(old) == taints(self.object), || {
                    format!("node {node:?} is not allowed to modify taints")
                })?;
                let odd = forbidden_labels(self.object, Some(old));
                self.require(odd.is_empty(), || format!("is not allowed to modify labels: {}", odd.join(", ")))
            }
            _ => Ok(()),
        }
    }

    async fn token(&self) -> Result<(), Status> {
        let bound = |field: &str| meta::text(self.object, &["spec", "boundObjectRef", field]);
        let is_pod = bound("apiVersion") == "v1" && bound("kind") == "Pod" && !bound("name").is_empty();
        self.require(is_pod, || "node requested token not bound to a pod".to_owned())?;
        let uid = bound("uid");
        self.require(!uid.is_empty(), || "node requested token with a pod binding without a uid".to_owned())?;
        let pods = steersman_machinery::group::GroupResource::new("", "pods");
        let pod = self.attributes.server.read("pods", self.attributes.namespace, bound("name")).await?;
        let pod = pod.ok_or_else(|| Status::not_found(&pods, bound("name")))?;
        self.require(uid == meta::uid(&pod), || {
            format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            )
        })?;
        self.require(self.is_on_node(&pod), || {
            "node requested token bound to a pod scheduled on a different node".to_owned()
        })
    }

    fn lease(&self) -> Result<(), Status> {
        self.require(self.attributes.namespace == LEASES, || {
            format!("can only access leases in the {LEASES:?} system namespace")
        })?;
        self.own("can only access node lease with the same name as the requesting node")
    }

    fn own(&self, why: &str) -> Result<(), Status> {
        self.require(self.attributes.name == self.node, || why.to_owned())
    }

    fn slice(&self) -> Result<(), Status> {
        // Changes of a slice are confined by the authorizer, which knows whose it is.
        let own = meta::text(self.object, &["spec", "nodeName"]) == self.node;
        self.require(self.attributes.operation != Operation::Create || own, || {
            "can only create ResourceSlice with the same NodeName as the requesting node".to_owned()
        })
    }
}

/// The labels that differ and that a node may not decide on.
fn forbidden_labels(new: &Value, old: Option<&Value>) -> Vec<String> {
    let of = |node| meta::labels(node).collect::<BTreeSet<_>>();
    let (new, old) = (of(new), old.map(of).unwrap_or_default());
    let keys: BTreeSet<&str> = new.symmetric_difference(&old).map(|(key, _)| *key).collect();
    keys.into_iter().filter(|key| !may_label(key)).map(str::to_owned).collect()
}

fn may_label(key: &str) -> bool {
    let Some((domain, _)) = key.split_once('/') else {
        return true;
    };
    let within = |parent: &str| domain == parent || domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
    if within("node-restriction.kubernetes.io") {
        return false;
    }
    let ours = within("kubernetes.io") || within("k8s.io");
    !ours || KUBELET_LABELS.contains(&key) || within("kubelet.kubernetes.io") || within("node.kubernetes.io")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nodes_decide_on_few_labels_of_kubernetes() {
        let node = json!({"metadata": {"labels": {
            "team": "a", "example.com/x": "y", "kubernetes.io/hostname": "n", "node.kubernetes.io/anything": "z",
            "kubelet.kubernetes.io/x": "", "node-restriction.kubernetes.io/tier": "gold", "k8s.io/x": "",
            "a.node-restriction.kubernetes.io/x": "", "node-role.kubernetes.io/control-plane": "",
        }}});
        let odd = [
            "a.node-restriction.kubernetes.io/x",
            "k8s.io/x",
            "node-restriction.kubernetes.io/tier",
            "node-role.kubernetes.io/control-plane",
        ];
        assert_eq!(forbidden_labels(&node, None), odd);
        assert!(forbidden_labels(&node, Some(&node)).is_empty());
        assert_eq!(forbidden_labels(&json!({}), Some(&node)), odd, "nor may they take them away");
    }
}
