//! What kubelets may do: a node reads what the pods bound to it refer to, and writes what is its own.
//! Source: Kubernetes doc "Using Node Authorization"; `kubernetes/plugin/pkg/auth/authorizer/node`.

mod relations;

use steersman_machinery::fields;

use super::{Attributes, Target, Verdict, bootstrap};
use crate::authentication::UserInfo;

pub(crate) use relations::MIRROR_POD;
pub(super) use relations::Relations;

/// What the names of nodes' users begin with.
const USER_PREFIX: &str = "system:node:";
/// The group of all nodes.
const NODES: &str = "system:nodes";
/// The namespace of the nodes' heartbeats.
const LEASES: &str = "kube-node-lease";

/// The node that a user is.
pub fn identity(user: &UserInfo) -> Option<&str> {
    let name = user.name.strip_prefix(USER_PREFIX)?;
    user.groups.iter().any(|group| group == NODES).then_some(name)
}

/// What a request of a node is about.
#[derive(Clone, Copy)]
struct Request<'a> {
    node: &'a str,
    verb: &'a str,
    subresource: &'a str,
    namespace: &'a str,
    name: &'a str,
    fields: &'a str,
}

/// Whether the node may. It has no opinion about users that are no nodes.
pub(super) fn decide(relations: Option<&Relations>, attributes: &Attributes<'_>) -> Verdict {
    let (Some(node), Some(relations)) = (identity(attributes.user), relations) else {
        return Verdict::default();
    };
    if node.is_empty() {
        return Verdict::no_opinion(format!("unknown node for user {:?}", attributes.user.name));
    }
    let Target::Resource { group, resource, subresource, namespace, name } = attributes.target else {
        return by_rule(attributes);
    };
    let request =
        Request { node, verb: attributes.verb, subresource, namespace, name, fields: attributes.field_selector };
    let answer = match (group, resource) {
        ("", "secrets") => request.reads(|| relations.secret(node, namespace, name)),
        ("", "configmaps") => request.reads(|| relations.config_map(node, namespace, name)),
        ("", "persistentvolumeclaims") if subresource == "status" => {
            request.writes_status(|| relations.claim(node, namespace, name))
        }
        ("", "persistentvolumeclaims") => request.gets(|| relations.claim(node, namespace, name)),
        ("", "persistentvolumes") => request.gets(|| relations.volume(node, name)),
        ("resource.k8s.io", "resourceclaims") => request.gets(|| relations.resource_claim(node, namespace, name)),
        ("storage.k8s.io", "volumeattachments") => request.gets(|| relations.attachment(node, name)),
        ("", "serviceaccounts") => request.makes_token(|| relations.service_account(node, namespace, name)),
        ("coordination.k8s.io", "leases") => request.keeps_lease(),
        ("storage.k8s.io", "csinodes") => request.keeps_csi_node(),
        ("resource.k8s.io", "resourceslices") => request.keeps_slices(relations),
        ("", "nodes") => request.is_about_node(),
        ("", "pods") => request.is_about_pod(relations),
        _ => return by_rule(attributes),
    };
    match answer {
        Ok(()) => Verdict::allow(""),
        Err(reason) => Verdict::no_opinion(reason),
    }
}

/// What all nodes may do alike.
fn by_rule(attributes: &Attributes<'_>) -> Verdict {
    let allowed = bootstrap::rules_of("system:node").iter().any(|rule| rule.allows(attributes));
    if allowed { Verdict::allow("") } else { Verdict::default() }
}

type Answer = Result<(), String>;

impl Request<'_> {
    fn related(&self, found: impl FnOnce() -> bool) -> Answer {
        if self.name.is_empty() {
            return Err("No Object name found".to_owned());
        }
        if found() { Ok(()) } else { Err(self.unrelated()) }
    }

    fn unrelated(&self) -> String {
        format!("no relationship found between node '{}' and this object", self.node)
    }

    fn reads(&self, found: impl FnOnce() -> bool) -> Answer {
        if !matches!(self.verb, "get" | "list" | "watch") {
            return Err("can only read resources of this type".to_owned());
        }
        if !self.subresource.is_empty() {
            return Err("cannot read subresource".to_owned());
        }
        if self.namespace.is_empty() {
            return Err("can only read namespaced object of this type".to_owned());
        }
        self.related(found)
    }

    fn gets(&self, found: impl FnOnce() -> bool) -> Answer {
        if self.verb != "get" {
            return Err("can only get individual resources of this type".to_owned());
        }
        if !self.subresource.is_empty() {
            return Err("cannot get subresource".to_owned());
        }
        self.related(found)
    }

    fn writes_status(&self, found: impl FnOnce() -> bool) -> Answer {
        match self.verb {
            "update" | "patch" => self.related(found),
            _ => Err("can only get/update/patch this type".to_owned()),
        }
    }

    fn makes_token(&self, found: impl FnOnce() -> bool) -> Answer {
        if self.verb != "create" || self.name.is_empty() {
            return Err("can only create tokens for individual service accounts".to_owned());
        }
        if self.subresource != "token" {
            return Err("can only create token subresource of serviceaccount".to_owned());
        }
        self.related(found)
    }

    fn keeps_lease(&self) -> Answer {
        if !matches!(self.verb, "get" | "create" | "update" | "patch" | "delete") {
            return Err("can only get, create, update, patch, or delete a node lease".to_owned());
        }
        if self.namespace != LEASES {
            return Err(format!("can only access leases in the {LEASES:?} system namespace"));
        }
        // Who creates a lease does not name it in the path; NodeRestriction looks at the object.
        if self.verb != "create" && self.name != self.node {
            return Err("can only access node lease with the same name as the requesting node".to_owned());
        }
        Ok(())
    }

    fn keeps_csi_node(&self) -> Answer {
        if !matches!(self.verb, "get" | "create" | "update" | "patch" | "delete") {
            return Err("can only get, create, update, patch, or delete a CSINode".to_owned());
        }
        if !self.subresource.is_empty() {
            return Err("cannot authorize CSINode subresources".to_owned());
        }
        if self.verb != "create" && self.name != self.node {
            return Err("can only access CSINode with the same name as the requesting node".to_owned());
        }
        Ok(())
    }

    fn keeps_slices(&self, relations: &Relations) -> Answer {
        if !self.subresource.is_empty() {
            return Err("cannot authorize ResourceSlice subresources".to_owned());
        }
        match self.verb {
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => self.related(|| relations.slice(self.node, self.name)),
            "watch" | "list" | "deletecollection" if self.selects("nodeName") => Ok(()),
            "watch" | "list" | "deletecollection" => {
                Err("can only list/watch/deletecollection resourceslices with nodeName field selector".to_owned())
            }
            _ => Err("only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, \
                      patch, delete, deletecollection"
                .to_owned()),
        }
    }

    /// NodeRestriction confines what is allowed here to the node's own object.
    fn is_about_node(&self) -> Answer {
        match (self.subresource, self.verb) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
            ("", "get" | "list" | "watch") if self.name == self.node => Ok(()),
            ("", "get" | "list" | "watch") if self.name.is_empty() => {
                Err(format!("node '{}' cannot read all nodes, only its own Node object", self.node))
            }
            ("", "get" | "list" | "watch") => {
                Err(format!("node '{}' cannot read '{}', only its own Node object", self.node, self.name))
            }
            _ => Err(String::new()),
        }
    }

    /// NodeRestriction confines what is allowed here to the node's own pods.
    fn is_about_pod(&self, relations: &Relations) -> Answer {
        let pod = || relations.pod(self.node, self.namespace, self.name);
        match (self.subresource, self.verb) {
            ("", "get") => self.gets(pod),
            ("", "list" | "watch") if self.selects("spec.nodeName") => Ok(()),
            ("", "list" | "watch") if !self.name.is_empty() => self.related(pod),
            ("", "list" | "watch") => Err("can only list/watch pods with spec.nodeName field selector".to_owned()),
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => Err(String::new()),
        }
    }

    /// Whether only objects are asked for whose field has the node's name.
    fn selects(&self, field: &str) -> bool {
        fields::Selector::parse(self.fields).is_ok_and(|selector| selector.exact_match(field) == Some(self.node))
    }
}

#[cfg(test)]
mod tests;
