//! Which controllers run: kube-controller-manager's `--controllers`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::storage_protection::POD_GROUP_PROTECTION;

/// The controllers there are, by upstream's names.
pub const NAMES: [&str; 18] = [
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "disruption-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "serviceaccount-controller",
    "taint-eviction-controller",
    "ttl-after-finished-controller",
    "volumeattributesclass-protection-controller",
];

/// Controllers for kinds that a cluster need not have, so that they run where they are named only: those of
/// scheduler-plugins, and that of the Workload API, which upstream's gate GenericWorkload switches on.
pub const OPT_IN: [&str; 3] = ["elasticquota-controller", "podgroup-controller", POD_GROUP_PROTECTION];

/// Names from before 1.28 that are more than a name of today without its ending.
/// Source: `k8s.io/kubernetes/cmd/kube-controller-manager/names` (`KCMControllerAliases`).
const OLD_NAMES: [(&str, &str); 6] = [
    ("endpoint", "endpoints-controller"),
    ("garbagecollector", "garbage-collector-controller"),
    ("nodelifecycle", "node-lifecycle-controller"),
    ("podgc", "pod-garbage-collector-controller"),
    ("pv-protection", "persistentvolume-protection-controller"),
    ("pvc-protection", "persistentvolumeclaim-protection-controller"),
];

/// A set of controllers. Parse it from a comma-separated list: names switch controllers on, `*` or `all` all of them but
/// those of [`OPT_IN`], `none` none, and `-name` one off. `-controller` at the end of a name may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerSelection(BTreeSet<&'static str>);

/// A name that no controller has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no controller {name:?}; there are: {}", NAMES.join(", "))]
pub struct UnknownController {
    /// The name.
    pub name: String,
}

impl ControllerSelection {
    /// All controllers.
    pub fn all() -> Self {
        Self(NAMES.into())
    }

    /// No controller.
    pub fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// The same and the one that lets groups of the Workload API go, for a server that holds them: upstream's gate
    /// GenericWorkload. None stays none.
    pub fn with_pod_group_protection(mut self) -> Self {
        if !self.0.is_empty() {
            self.0.insert(POD_GROUP_PROTECTION);
        }
        self
    }

    /// Whether the controller of this full name is to run.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

impl fmt::Display for ControllerSelection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().copied().collect();
        formatter.write_str(&names.join(","))
    }
}

impl Default for ControllerSelection {
    fn default() -> Self {
        Self::all()
    }
}

impl FromStr for ControllerSelection {
    type Err = UnknownController;

    /// As upstream does: a name or its negation counts more than `*`, wherever it stands.
    fn from_str(text: &str) -> Result<Self, UnknownController> {
        let mut selection = Self::none();
        let mut off = BTreeSet::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            match (entry, entry.strip_prefix('-')) {
                ("*" | "all", _) => selection.0.extend(NAMES),
                ("none", _) => selection.0.clear(),
                (_, Some(name)) => {
                    off.insert(full_name(name)?);
                }
                (name, None) => {
                    selection.0.insert(full_name(name)?);
                }
            }
        }
        selection.0.retain(|name| !off.contains(name));
        Ok(selection)
    }
}

/// The full name of a controller, which may be given without its ending, or by its old name.
pub(crate) fn full_name(name: &str) -> Result<&'static str, UnknownController> {
    let name = OLD_NAMES.iter().find(|(old, _)| *old == name).map_or(name, |(_, new)| new);
    let matches = |known: &&&str| **known == name || known.strip_suffix("-controller") == Some(name);
    NAMES.iter().chain(&OPT_IN).find(matches).copied().ok_or_else(|| UnknownController { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[&str]) {
        let got: ControllerSelection = text.parse().unwrap();
        let names: Vec<&str> = got.0.iter().map(|name| name.trim_end_matches("-controller")).collect();
        assert_eq!(names, expect, "{text}");
    }

    #[test]
    fn lists_are_read_as_kube_controller_manager_does() {
        let all: Vec<&str> = NAMES.iter().map(|name| name.trim_end_matches("-controller")).collect();
        let without = |off: &[&str]| all.iter().copied().filter(|name| !off.contains(name)).collect::<Vec<_>>();
        check("*", &all);
        check("all", &all);
        check("", &[]);
        check("none", &[]);
        check("deployment,replicaset-controller", &["deployment", "replicaset"]);
        check("*,-deployment-controller,-replicaset", &without(&["deployment", "replicaset"]));
        check("-namespace, *", &without(&["namespace"]));
        check("endpoint,garbagecollector", &["endpoints", "garbage-collector"]);
        check("podgroup,elasticquota-controller", &["elasticquota", "podgroup"]);
        check("podgroup-protection", &["podgroup-protection"]);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "*,-job".parse::<ControllerSelection>().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("there is no controller \"job\"; there are: clusterrole-aggregation-controller,")
        );
    }
}
