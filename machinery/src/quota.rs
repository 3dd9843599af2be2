//! What an object costs a ResourceQuota, and whether the quota is about it. Admission charges by this, the controller
//! counts by it.
//! Source: Kubernetes doc "Resource Quotas"; `k8s.io/kubernetes/pkg/quota/v1/evaluator/core`,
//! `k8s.io/apiserver/pkg/quota/v1/generic`.

mod claims;
mod devices;
mod pods;
mod scopes;
mod services;

use jiff::Timestamp;
use serde_json::Value;

use crate::group::GroupResource;
use crate::meta;
use crate::quantity::{Format, Quantity};
use crate::resource_list::{self, ResourceList};

pub use pods::{is_terminating, missing};

/// Core resources whose objects are also counted under their plain name.
const COUNTED_BY_NAME: [&str; 4] = ["configmaps", "replicationcontrollers", "resourcequotas", "secrets"];

/// Knows what the objects of one resource cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluator {
    /// `count/deployments.apps`.
    count: String,
    sort: Sort,
}

/// How objects are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Pods,
    Services,
    PersistentVolumeClaims,
    ResourceClaims,
    /// One is like the other; under this name, too.
    Counted(Option<&'static str>),
}

/// Whether objects of a resource cost nothing, whatever a quota says.
pub fn is_ignored(resource: &GroupResource) -> bool {
    resource.resource == "events" && matches!(resource.group.as_str(), "" | "events.k8s.io")
}

impl Evaluator {
    /// The evaluator of a namespaced resource.
    pub fn of(resource: &GroupResource) -> Self {
        let sort = match (resource.group.as_str(), resource.resource.as_str()) {
            ("", "pods") => Sort::Pods,
            ("", "services") => Sort::Services,
            ("", "persistentvolumeclaims") => Sort::PersistentVolumeClaims,
            ("resource.k8s.io", "resourceclaims") => Sort::ResourceClaims,
            ("", name) => Sort::Counted(COUNTED_BY_NAME.into_iter().find(|known| *known == name)),
            _ => Sort::Counted(None),
        };
        Self { count: format!("count/{resource}"), sort }
    }

    /// The evaluator of pods.
    pub fn pods() -> Self {
        Self { count: "count/pods".to_owned(), sort: Sort::Pods }
    }

    /// Whether what is counted under that name comes from objects of this resource.
    pub fn tracks(&self, name: &str) -> bool {
        name == self.count
            || match self.sort {
                Sort::Pods => pods::tracks(name),
                Sort::Services => services::tracks(name),
                Sort::PersistentVolumeClaims => claims::tracks(name),
                Sort::ResourceClaims => devices::tracks(name),
                Sort::Counted(alias) => alias == Some(name),
            }
    }

    /// Whether an update can change what an object costs. (What is merely counted costs the same all its life.)
    pub fn changes(&self) -> bool {
        !matches!(self.sort, Sort::Counted(_))
    }

    /// What an object costs.
    pub fn usage(&self, object: &Value, now: Timestamp) -> ResourceList {
        let mut usage = match self.sort {
            Sort::Pods => pods::usage(object, now),
            Sort::Services => services::usage(object),
            Sort::PersistentVolumeClaims => claims::usage(object),
            Sort::ResourceClaims => devices::usage(object),
            Sort::Counted(alias) => alias.map(|name| (name.to_owned(), count(1))).into_iter().collect(),
        };
        usage.insert(self.count.clone(), count(1));
        usage
    }

    /// Whether an object is in all the scopes of a quota.
    pub fn in_scopes(&self, quota: &Value, object: &Value) -> bool {
        scopes::of(quota).all(|scope| match self.sort {
            Sort::Pods => scopes::pod(&scope, object),
            Sort::PersistentVolumeClaims => scopes::claim(&scope, object),
            _ => false,
        })
    }

    /// Whether a quota restricts an object: it has limits for what the object costs, and the object is in its scopes.
    pub fn matches(&self, quota: &Value, object: &Value) -> bool {
        let hard = meta::at(quota, &["status", "hard"]).and_then(Value::as_object);
        hard.is_some_and(|hard| hard.keys().any(|name| self.tracks(name))) && self.in_scopes(quota, object)
    }

    /// What all the objects together cost a quota, of what is `limited`.
    pub fn total<'a>(
        &self,
        quota: &Value,
        objects: impl IntoIterator<Item = &'a Value>,
        limited: &ResourceList,
        now: Timestamp,
    ) -> ResourceList {
        let tracked = resource_list::only(limited, |name| self.tracks(name));
        let mut total: ResourceList = tracked.keys().map(|name| (name.clone(), Quantity::ZERO)).collect();
        for object in objects.into_iter().filter(|object| self.in_scopes(quota, object)) {
            let usage = resource_list::only(&self.usage(object, now), |name| tracked.contains_key(name));
            resource_list::add(&mut total, &usage);
        }
        total
    }
}

fn count(number: usize) -> Quantity {
    Quantity::from_units(i64::try_from(number).unwrap_or(i64::MAX), Format::DecimalSi)
}

#[cfg(test)]
mod tests;
