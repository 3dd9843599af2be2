//! Services, ReplicationControllers, ReplicaSets and StatefulSets: who selects a pod says what it is to be spread from.

use std::collections::BTreeMap;

use crate::pod::PodSpec;
use crate::selector;
use crate::wire::{self, LabelSelector};

/// A kind of object that selects pods. Services come first, so that they can be found together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SelectingKind {
    /// `v1.Service`.
    Service,
    /// `v1.ReplicationController`.
    ReplicationController,
    /// `apps/v1.ReplicaSet`.
    ReplicaSet,
    /// `apps/v1.StatefulSet`.
    StatefulSet,
}

impl std::str::FromStr for SelectingKind {
    type Err = String;

    fn from_str(kind: &str) -> Result<Self, String> {
        match kind {
            "Service" => Ok(Self::Service),
            "ReplicationController" => Ok(Self::ReplicationController),
            "ReplicaSet" => Ok(Self::ReplicaSet),
            "StatefulSet" => Ok(Self::StatefulSet),
            other => Err(format!("{other} does not select pods")),
        }
    }
}

/// All objects that select pods, by namespace, kind and name.
#[derive(Debug, Default)]
pub struct Selecting {
    by_namespace: BTreeMap<String, BTreeMap<(SelectingKind, String), LabelSelector>>,
}

impl Selecting {
    /// Adds or replaces an object; whether that makes a difference.
    pub(super) fn set(&mut self, kind: SelectingKind, object: &wire::Selecting) -> bool {
        let key = (kind, object.metadata.name.clone());
        let selector = object.spec.selector.clone().unwrap_or_default();
        let simple = matches!(kind, SelectingKind::Service | SelectingKind::ReplicationController);
        let selector = if simple {
            serde_json::from_value(selector)
                .map(|match_labels| LabelSelector { match_labels, ..LabelSelector::default() })
        } else {
            serde_json::from_value(selector)
        };
        let namespace = self.by_namespace.entry(object.metadata.namespace.clone()).or_default();
        match selector {
            Ok(selector) if namespace.get(&key) == Some(&selector) => false,
            Ok(selector) => {
                namespace.insert(key, selector);
                true
            }
            Err(_) => namespace.remove(&key).is_some(),
        }
    }

    pub(super) fn remove(&mut self, kind: SelectingKind, metadata: &wire::Metadata) {
        if let Some(namespace) = self.by_namespace.get_mut(&metadata.namespace) {
            namespace.remove(&(kind, metadata.name.clone()));
        }
    }

    pub(super) fn clear(&mut self, kind: SelectingKind) {
        for namespace in self.by_namespace.values_mut() {
            namespace.retain(|(other, _), _| *other != kind);
        }
    }

    /// What all services that select the pod and its controller select, taken together; `None` if that is nothing.
    /// Source: `pkg/scheduler/framework/plugins/helper`, `DefaultSelector`.
    pub fn default_selector(&self, spec: &PodSpec) -> Option<LabelSelector> {
        let namespace = self.by_namespace.get(&*spec.namespace)?;
        let mut merged = LabelSelector::default();
        let before = (SelectingKind::ReplicationController, String::new());
        for (_, found) in namespace.range(..before) {
            if !found.match_labels.is_empty() && selector::matches(found, &spec.labels) {
                merged.match_labels.extend(found.match_labels.clone());
            }
        }
        if let Some(owner) = &spec.controller {
            let kind = match (owner.api_version.as_str(), owner.kind.as_str()) {
                ("v1", "ReplicationController") => Some(SelectingKind::ReplicationController),
                ("apps/v1", "ReplicaSet") => Some(SelectingKind::ReplicaSet),
                ("apps/v1", "StatefulSet") => Some(SelectingKind::StatefulSet),
                _ => None,
            };
            let found = kind.and_then(|kind| namespace.get(&(kind, owner.name.clone())));
            if let Some(found) = found {
                if kind == Some(SelectingKind::ReplicationController) {
                    merged.match_labels.extend(found.match_labels.clone());
                } else {
                    // In addition: what services say of the same key holds as well.
                    let requirement = |(key, value): (&String, &String)| wire::Requirement {
                        key: key.clone(),
                        operator: "In".to_owned(),
                        values: vec![value.clone()],
                    };
                    merged.match_expressions.extend(found.match_labels.iter().map(requirement));
                }
                merged.match_expressions.extend(found.match_expressions.iter().cloned());
            }
        }
        (merged != LabelSelector::default()).then_some(merged)
    }
}
