//! The API groups whose Deployments and ReplicaSets are kept: `apps`, and our own, whose kinds have the same spec and
//! status. The controllers are written once; what differs between the groups is here.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use steersman_crds::APPS_GROUP;
use steersman_framework::api::Resource;
use steersman_framework::meta::StringMap;
use steersman_framework::selector::LabelSelector;

use crate::objects::{DEPLOYMENTS, REPLICA_SETS};

/// One group's Deployments and ReplicaSets.
#[derive(Clone, Copy, Debug)]
pub struct Workloads {
    /// The resource of its Deployments.
    pub deployments: &'static Resource,
    /// The resource of its ReplicaSets.
    pub replica_sets: &'static Resource,
}

static OWN_DEPLOYMENTS: Resource = Resource::namespaced(APPS_GROUP, "v1", "Deployment", "deployments");
static OWN_REPLICA_SETS: Resource = Resource::namespaced(APPS_GROUP, "v1", "ReplicaSet", "replicasets");

impl Workloads {
    /// Kubernetes' own: `apps/v1`.
    pub const APPS: Self = Self { deployments: &DEPLOYMENTS, replica_sets: &REPLICA_SETS };
    /// The custom resources of `apps.steersman.dev/v1`.
    pub const STEERSMAN: Self = Self { deployments: &OWN_DEPLOYMENTS, replica_sets: &OWN_REPLICA_SETS };

    /// Whether they are custom resources, for which the API server does less: it takes no strategic merge patches, its
    /// status subresource takes no annotations, and it neither fills in all defaults nor checks all that it checks for
    /// `apps`.
    pub fn is_custom(&self) -> bool {
        is_custom(self.deployments)
    }

    /// The first for Kubernetes' own kinds, the second for ours: what tells the two apart where both are kept.
    pub(crate) fn either<T>(&self, apps: T, own: T) -> T {
        if self.is_custom() { own } else { apps }
    }

    /// What makes a selector impossible to act upon; always `None` for kinds that the API server validates itself. Pods
    /// of a template that the selector does not match would be let go as soon as they are made, and made again.
    pub(crate) fn objection(&self, selector: &LabelSelector, template: &Value) -> Option<&'static str> {
        if !self.is_custom() {
            return None;
        }
        if selector.is_empty() {
            return Some("a non-empty selector is required");
        }
        let labels = template.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
        let labels: StringMap = labels.filter_map(|(key, value)| Some((key, value.as_str()?))).collect();
        (!selector.matches(&labels)).then_some("`selector` does not match template `labels`")
    }
}

/// Whether a resource is one of our own.
pub(crate) fn is_custom(resource: &Resource) -> bool {
    *resource.group == *APPS_GROUP
}

/// Which groups' Deployments and ReplicaSets are kept. Parse it from `apps`, `apps.steersman.dev` or `both`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApiGroups {
    /// Kubernetes' own.
    #[default]
    Apps,
    /// Those of `apps.steersman.dev`, for a cluster whose own controllers stay in charge of `apps`.
    Steersman,
    /// Both, side by side.
    Both,
}

impl ApiGroups {
    /// The groups.
    pub fn workloads(self) -> &'static [Workloads] {
        match self {
            Self::Apps => &[Workloads::APPS],
            Self::Steersman => &[Workloads::STEERSMAN],
            Self::Both => &[Workloads::APPS, Workloads::STEERSMAN],
        }
    }

    /// Whether the definitions of our own kinds are needed.
    pub fn needs_definitions(self) -> bool {
        self != Self::Apps
    }
}

impl fmt::Display for ApiGroups {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Apps => "apps",
            Self::Steersman => APPS_GROUP,
            Self::Both => "both",
        })
    }
}

/// A group that has no Deployments and ReplicaSets which could be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no API group {0:?} to keep; there are: apps, apps.steersman.dev, both")]
pub struct UnknownApiGroup(pub String);

impl FromStr for ApiGroups {
    type Err = UnknownApiGroup;

    fn from_str(text: &str) -> Result<Self, UnknownApiGroup> {
        [Self::Apps, Self::Steersman, Self::Both]
            .into_iter()
            .find(|groups| groups.to_string() == text)
            .ok_or_else(|| UnknownApiGroup(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn groups_are_read_as_they_are_written() {
        for groups in [ApiGroups::Apps, ApiGroups::Steersman, ApiGroups::Both] {
            assert_eq!(groups.to_string().parse(), Ok(groups));
        }
        let error = "batch".parse::<ApiGroups>().unwrap_err().to_string();
        assert_eq!(error, "there is no API group \"batch\" to keep; there are: apps, apps.steersman.dev, both");
    }

    #[test]
    fn what_no_server_validates_is_checked_here() {
        let check = |selector: Value, labels: Value, sound: bool| {
            let selector = serde_json::from_value(selector).unwrap();
            let template = json!({"metadata": {"labels": labels}});
            assert_eq!(Workloads::STEERSMAN.objection(&selector, &template).is_none(), sound, "{selector:?} {labels}");
            assert_eq!(Workloads::APPS.objection(&selector, &template), None);
        };
        check(json!({"matchLabels": {"a": "1"}}), json!({"a": "1", "b": "2"}), true);
        check(json!({"matchLabels": {"a": "1"}}), json!({"a": "2"}), false);
        check(json!({"matchLabels": {"a": "1"}}), json!(null), false);
        check(json!({}), json!({"a": "1"}), false);
    }
}
