//! Role-based access control: bindings give the rules of roles to subjects.
//! Source: Kubernetes doc "Using RBAC Authorization"; `kubernetes/plugin/pkg/auth/authorizer/rbac`.

mod bindings;
mod roles;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use steersman_machinery::group::GroupResource;
use steersman_machinery::status::Status;
use steersman_store::{Entry, Snapshot};

use self::bindings::{Binding, Bindings, RoleRef};
use self::roles::Roles;
use super::rule::PolicyRule;
use super::{Attributes, Rules, Verdict};
use crate::authentication::UserInfo;

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";
/// ClusterRoles, as the store names them.
pub const CLUSTER_ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
/// Roles, as the store names them.
pub const ROLES: &str = "roles.rbac.authorization.k8s.io";
/// ClusterRoleBindings, as the store names them.
pub const CLUSTER_ROLE_BINDINGS: &str = "clusterrolebindings.rbac.authorization.k8s.io";
/// RoleBindings, as the store names them.
pub const ROLE_BINDINGS: &str = "rolebindings.rbac.authorization.k8s.io";

/// What RBAC decides on.
#[derive(Clone, Debug)]
pub(super) struct Snapshots {
    pub(super) cluster_roles: Snapshot,
    pub(super) roles: Snapshot,
    pub(super) cluster_role_bindings: Snapshot,
    pub(super) role_bindings: Snapshot,
}

/// The roles and bindings of one moment, by whom they concern. Roles are read when they are first asked for.
#[derive(Debug, Default)]
pub(super) struct Index {
    snapshots: Option<Snapshots>,
    cluster_roles: Arc<Roles>,
    roles: Arc<Roles>,
    cluster: Arc<Bindings>,
    namespaces: Arc<BTreeMap<Box<str>, Arc<Bindings>>>,
}

impl Index {
    /// Whether it shows what these snapshots do. This looks at no object.
    pub(super) fn is_current(&self, now: &Snapshots) -> bool {
        self.snapshots.as_ref().is_some_and(|then| {
            then.cluster_roles.shows_the_same(&now.cluster_roles)
                && then.roles.shows_the_same(&now.roles)
                && then.cluster_role_bindings.shows_the_same(&now.cluster_role_bindings)
                && then.role_bindings.shows_the_same(&now.role_bindings)
        })
    }

    /// The index of these snapshots. What they have in common with the present ones is not read again.
    pub(super) fn renewed(&self, now: Snapshots) -> Self {
        let then = self.snapshots.as_ref();
        let kept = |of: fn(&Snapshots) -> &Snapshot| then.is_some_and(|then| of(then).shows_the_same(of(&now)));
        Self {
            cluster_roles: match kept(|all| &all.cluster_roles) {
                true => Arc::clone(&self.cluster_roles),
                false => Arc::new(self.cluster_roles.of(now.cluster_roles.clone())),
            },
            roles: match kept(|all| &all.roles) {
                true => Arc::clone(&self.roles),
                false => Arc::new(self.roles.of(now.roles.clone())),
            },
            cluster: match kept(|all| &all.cluster_role_bindings) {
                true => Arc::clone(&self.cluster),
                false => Arc::new(Bindings::new(now.cluster_role_bindings.range(None, None).cloned().collect(), "")),
            },
            namespaces: match kept(|all| &all.role_bindings) {
                true => Arc::clone(&self.namespaces),
                false => Arc::new(self.namespaced(&now.role_bindings)),
            },
            snapshots: Some(now),
        }
    }

    fn namespaced(&self, now: &Snapshot) -> BTreeMap<Box<str>, Arc<Bindings>> {
        let mut entries: BTreeMap<Box<str>, Vec<Arc<Entry>>> = BTreeMap::new();
        for entry in now.range(None, None) {
            match entries.get_mut(&*entry.key.namespace) {
                Some(list) => list.push(Arc::clone(entry)),
                None => drop(entries.insert((&*entry.key.namespace).into(), vec![Arc::clone(entry)])),
            }
        }
        let renewed = entries.into_iter().map(|(namespace, entries)| {
            let known = self.namespaces.get(&namespace).filter(|known| known.shows(&entries)).cloned();
            let bindings = known.unwrap_or_else(|| Arc::new(Bindings::new(entries, &namespace)));
            (namespace, bindings)
        });
        renewed.collect()
    }

    /// Whether a role says yes. RBAC never says no.
    pub(super) fn decide(&self, attributes: &Attributes<'_>) -> Verdict {
        let mut errors = vec![];
        let found = self.visit(attributes.user, attributes.namespace(), |grant| match grant {
            Grant::Rules { binding, subject, rules } if rules.iter().any(|rule| rule.allows(attributes)) => {
                ControlFlow::Break(format!("RBAC: allowed by {}", binding.describe(subject)))
            }
            Grant::Rules { .. } => ControlFlow::Continue(()),
            Grant::Missing(error) => {
                errors.push(error);
                ControlFlow::Continue(())
            }
        });
        match found {
            ControlFlow::Break(reason) => Verdict::allow(reason),
            ControlFlow::Continue(()) if errors.is_empty() => Verdict::default(),
            ControlFlow::Continue(()) => Verdict::no_opinion(format!("RBAC: {}", aggregate(&errors))),
        }
    }

    /// The rules that a user has in a namespace; those at the cluster scope if it is empty.
    pub(super) fn rules_for(&self, user: &UserInfo, namespace: &str) -> Rules {
        let (mut rules, mut errors) = (vec![], vec![]);
        let _: ControlFlow<()> = self.visit(user, namespace, |grant| {
            match grant {
                Grant::Rules { rules: granted, .. } => rules.extend_from_slice(granted),
                Grant::Missing(error) => errors.push(error),
            }
            ControlFlow::Continue(())
        });
        let errors = if errors.is_empty() { vec![] } else { vec![aggregate(&errors)] };
        Rules { rules, incomplete: false, errors }
    }

    fn visit<B>(
        &self,
        user: &UserInfo,
        namespace: &str,
        mut visitor: impl FnMut(Grant<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let namespaced = self.namespaces.get(namespace).filter(|_| !namespace.is_empty());
        for bindings in [Some(&self.cluster), namespaced].into_iter().flatten() {
            for (binding, subject) in bindings.of(user) {
                match self.role(&binding.role, namespace) {
                    Ok(rules) => visitor(Grant::Rules { binding, subject, rules: &rules })?,
                    Err(error) => visitor(Grant::Missing(error))?,
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn role(&self, role: &RoleRef, namespace: &str) -> Result<Arc<[PolicyRule]>, String> {
        let name = role.name.as_str();
        let (kind, found) = match role.kind.as_str() {
            "ClusterRole" => ("clusterrole", self.cluster_roles.get("", name)),
            "Role" => ("role", self.roles.get(namespace, name)),
            other => return Err(format!("unsupported role reference kind: {other:?}")),
        };
        found.ok_or_else(|| Status::not_found(&GroupResource::new(GROUP, kind), name).message)
    }

    /// The rules of a role that a binding refers to; `None` if it does not exist.
    pub(super) fn referenced(&self, kind: &str, namespace: &str, name: &str) -> Option<Arc<[PolicyRule]>> {
        if kind == "ClusterRole" { self.cluster_roles.get("", name) } else { self.roles.get(namespace, name) }
    }
}

/// What a binding gives to a user.
enum Grant<'a> {
    /// Rules.
    Rules { binding: &'a Binding, subject: usize, rules: &'a [PolicyRule] },
    /// Nothing: its role cannot be found.
    Missing(String),
}

/// Several errors as upstream shows them: each once.
fn aggregate(errors: &[String]) -> String {
    let mut unique: Vec<&str> = vec![];
    for error in errors {
        if !unique.contains(&error.as_str()) {
            unique.push(error);
        }
    }
    match unique.as_slice() {
        [one] => (*one).to_owned(),
        several => format!("[{}]", several.join(", ")),
    }
}

#[cfg(test)]
mod tests;
