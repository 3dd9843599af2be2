//! For whoever writes a chart: what did my operator need to be allowed, does its role allow that, and what more does it allow?
//!
//! [`Cluster::as_service_account`] gives the client as which the operator under test runs; afterwards
//! [`Cluster::assert_role_sufficient`] and [`Cluster::assert_no_excess`] compare the chart's roles with what it did, and
//! [`Cluster::minimal_role`] writes them anew. The cluster has to be built with
//! [`record_requests`](crate::ClusterBuilder::record_requests).

mod minimal;
mod roles;

use std::collections::BTreeSet;
use std::fmt;

use kube::Client;
use steersman_apiserver::audit::{Needed, Record};
use steersman_apiserver::authentication::UserInfo;
use steersman_apiserver::authorization::rule::PolicyRule;
use steersman_apiserver::authorization::{Attributes, Target, bootstrap};
use steersman_apiserver::http::request_info::RequestInfo;

use crate::Cluster;

pub use minimal::MinimalRole;
use roles::Roles;

/// The ClusterRoles that everybody has who is known.
const OF_EVERYBODY: [&str; 3] = ["system:basic-user", "system:discovery", "system:public-info-viewer"];

/// Something that somebody asked for: a verb on a resource or a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// The namespace; empty at the cluster scope.
    pub namespace: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource; empty for a path.
    pub resource: String,
    /// The subresource; may be empty.
    pub subresource: String,
    /// The name; may be empty.
    pub name: String,
    /// The path that is no resource; empty for a resource.
    pub path: String,
    /// The verb.
    pub verb: String,
}

impl Cluster {
    /// A client of the user of that name, member of these groups and of `system:authenticated`. What it may do is up to
    /// RBAC.
    pub fn as_user(&self, name: &str, groups: &[&str]) -> Client {
        self.client_as(UserInfo::known(name, groups), "default")
    }

    /// A client of a service account, as a pod that runs under it has one. Its default namespace is the account's. The
    /// account itself need not exist.
    pub fn as_service_account(&self, namespace: &str, name: &str) -> Client {
        let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}")];
        self.client_as(UserInfo::known(&account(namespace, name), &groups), namespace)
    }

    /// What a user asked for so far, whether it was allowed or not, but for what everybody may do. A request may need more
    /// than one thing: an apply that makes an object needs `patch` and `create`.
    ///
    /// # Panics
    /// If the cluster does not [record requests](crate::ClusterBuilder::record_requests), or has forgotten some.
    pub fn accesses(&self, user: &str) -> BTreeSet<Access> {
        let history = self.recorded();
        assert!(history.dropped() == 0, "{} requests were forgotten; call audit().clear() earlier", history.dropped());
        let mut accesses = BTreeSet::new();
        for Record { user: sender, info, needed, .. } in history.records() {
            let own = (sender.name == user).then_some(&info);
            let besides = needed.iter().filter(|needed| needed.user == user).map(|Needed { info, .. }| info);
            let all = own.into_iter().chain(besides).filter(|info| !info.verb.is_empty());
            accesses.extend(all.map(Access::of));
        }
        let given: Vec<&PolicyRule> = OF_EVERYBODY.iter().flat_map(|role| bootstrap::rules_of(role)).collect();
        accesses.retain(|access| !given.iter().any(|rule| access.is_allowed_by(rule)));
        accesses
    }

    /// The smallest roles that would have allowed everything that a service account asked for so far. Names of objects are
    /// left out: those of a test say little about those of the world.
    ///
    /// # Panics
    /// As [`accesses`](Self::accesses) does.
    pub fn minimal_role(&self, namespace: &str, service_account: &str) -> MinimalRole {
        MinimalRole::of(service_account, &self.accesses(&account(namespace, service_account)))
    }

    /// Fails if something that the service account asked for is not allowed by the roles in `manifests`: YAML documents as
    /// `helm template` prints them, of which Roles, ClusterRoles and their bindings count. A role that no binding names
    /// counts as bound: a ClusterRole everywhere, a Role in its namespace or that of the account.
    ///
    /// # Panics
    /// With what is missing; if the manifests cannot be read; as [`accesses`](Self::accesses) does.
    #[track_caller]
    pub fn assert_role_sufficient(&self, namespace: &str, service_account: &str, manifests: &str) {
        let roles = Roles::parse(manifests, namespace, service_account);
        let user = account(namespace, service_account);
        let missing: BTreeSet<Access> =
            self.accesses(&user).into_iter().filter(|access| !roles.allow(access)).collect();
        assert!(
            missing.is_empty(),
            "the roles do not allow what {user} asked for:\n{}these would:\n{}",
            lines(missing.iter()),
            MinimalRole::of(service_account, &missing)
        );
    }

    /// Fails if the roles in `manifests` allow what the service account never asked for. What is given by `*` is more than
    /// was asked for.
    ///
    /// # Panics
    /// With what is too much; if the manifests cannot be read; as [`accesses`](Self::accesses) does.
    #[track_caller]
    pub fn assert_no_excess(&self, namespace: &str, service_account: &str, manifests: &str) {
        let roles = Roles::parse(manifests, namespace, service_account);
        let user = account(namespace, service_account);
        let excess = roles.excess(&self.accesses(&user));
        assert!(excess.is_empty(), "the roles allow more than {user} asked for:\n{}", lines(excess.iter()));
    }
}

fn account(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

fn lines(entries: impl Iterator<Item = impl fmt::Display>) -> String {
    entries.map(|entry| format!("  {entry}\n")).collect()
}

impl Access {
    fn of(info: &RequestInfo) -> Self {
        let path = if info.is_resource { String::new() } else { info.path.clone() };
        Self {
            namespace: info.namespace.clone(),
            group: info.group.clone(),
            resource: info.resource.clone(),
            subresource: info.subresource.clone(),
            name: info.name.clone(),
            path,
            verb: info.verb.clone(),
        }
    }

    fn is_allowed_by(&self, rule: &PolicyRule) -> bool {
        let target = match self.path.as_str() {
            "" => Target::Resource {
                group: &self.group,
                resource: &self.resource,
                subresource: &self.subresource,
                namespace: &self.namespace,
                name: &self.name,
            },
            path => Target::Path(path),
        };
        rule.allows(&Attributes { user: &UserInfo::default(), verb: &self.verb, target, field_selector: "" })
    }

    /// The resource with its subresource, as a rule names it.
    fn entry(&self) -> String {
        match self.subresource.as_str() {
            "" => self.resource.clone(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.verb)?;
        if !self.path.is_empty() {
            return f.write_str(&self.path);
        }
        f.write_str(&self.entry())?;
        if !self.group.is_empty() {
            write!(f, " ({})", self.group)?;
        }
        if !self.name.is_empty() {
            write!(f, " {:?}", self.name)?;
        }
        match self.namespace.as_str() {
            "" => f.write_str(" at the cluster scope"),
            namespace => write!(f, " in namespace {namespace}"),
        }
    }
}

#[cfg(test)]
mod tests;
