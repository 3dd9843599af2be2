//! What of Kubernetes is served that is not by default, and what is not that is: kube-apiserver's `--feature-gates` and
//! `--runtime-config`.
//! Source: `k8s.io/kubernetes/pkg/features`, `k8s.io/apiserver/pkg/server/{options,resourceconfig}`.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use serde_json::Value;
use steersman_machinery::schema::builtin::{self, ResourceInfo};

/// A feature that a gate switches on. All of these are off by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// `DRAWorkloadResourceClaims`: groups of pods can share claims on devices (KEP-5729).
    DraWorkloadResourceClaims,
    /// `GangScheduling`: groups are placed all or none (KEP-4671). Needs [`Feature::GenericWorkload`].
    GangScheduling,
    /// `GenericWorkload`: `Workload`, `PodGroup`, and pods that name their group (KEP-4671).
    GenericWorkload,
    /// `TaintTolerationComparisonOperators`: tolerations can compare numbers (KEP-5471).
    TaintTolerationComparisonOperators,
    /// `TopologyAwareWorkloadScheduling`: groups can ask for one topology domain (KEP-5732).
    TopologyAwareWorkloadScheduling,
    /// `WorkloadAwarePreemption`: groups have a priority, and say how they may be disrupted (KEP-5710).
    WorkloadAwarePreemption,
}

const GATES: [(&str, Feature); 6] = [
    ("DRAWorkloadResourceClaims", Feature::DraWorkloadResourceClaims),
    ("GangScheduling", Feature::GangScheduling),
    ("GenericWorkload", Feature::GenericWorkload),
    ("TaintTolerationComparisonOperators", Feature::TaintTolerationComparisonOperators),
    ("TopologyAwareWorkloadScheduling", Feature::TopologyAwareWorkloadScheduling),
    ("WorkloadAwarePreemption", Feature::WorkloadAwarePreemption),
];

/// Which features are on. Parse it from `Name=true,Other=false`; `AllAlpha` stands for all that are off by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features(BTreeSet<Feature>);

/// Why a flag cannot be read. The texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// There is no such gate.
    #[error("unrecognized feature gate: {0}")]
    Gate(String),
    /// A gate without a value.
    #[error("missing bool value for {0}")]
    Missing(String),
    /// A value that is neither true nor false.
    #[error("invalid value of {0}: {1}, err: strconv.ParseBool: parsing {1:?}: invalid syntax")]
    Value(String, String),
    /// A feature whose foundation is off.
    #[error("{0} is enabled, but depends on features that are disabled: [{1}]")]
    Dependency(&'static str, &'static str),
    /// There is no such version of an API group.
    #[error("group version {0} that has not been registered")]
    GroupVersion(String),
}

impl Features {
    /// Whether a feature is on.
    pub fn has(&self, feature: Feature) -> bool {
        self.0.contains(&feature)
    }

    /// All gates, and whether each is on.
    pub(crate) fn gates(&self) -> impl Iterator<Item = (&'static str, bool)> {
        GATES.iter().map(|(name, feature)| (*name, self.has(*feature)))
    }

    fn has_gate(&self, name: &str) -> bool {
        GATES.iter().any(|(gate, feature)| *gate == name && self.has(*feature))
    }
}

impl FromStr for Features {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut on = BTreeSet::new();
        for entry in entries(text) {
            let (name, value) = entry.split_once('=').ok_or_else(|| Invalid::Missing(entry.to_owned()))?;
            let value = truth(name.trim(), value.trim())?;
            let meant: Vec<Feature> = match name.trim() {
                "AllAlpha" => GATES.iter().map(|(_, feature)| *feature).collect(),
                "AllBeta" => Vec::new(),
                name => {
                    let gate = GATES.iter().find(|(gate, _)| *gate == name);
                    vec![gate.ok_or_else(|| Invalid::Gate(name.to_owned()))?.1]
                }
            };
            for feature in meant {
                if value {
                    on.insert(feature)
                } else {
                    on.remove(&feature)
                };
            }
        }
        let foundation = on.contains(&Feature::GenericWorkload);
        let stands_alone = |feature: &Feature| *feature == Feature::TaintTolerationComparisonOperators;
        let others = GATES.iter().find(|(_, feature)| on.contains(feature) && !stands_alone(feature));
        match others {
            Some((name, _)) if !foundation => Err(Invalid::Dependency(name, "GenericWorkload")),
            _ => Ok(Self(on)),
        }
    }
}

/// Which versions and resources are served, by `api/all`, `api/ga`, `api/beta`, `api/alpha`, `GROUP/VERSION` or
/// `GROUP/VERSION/RESOURCE`. Parse it from `scheduling.k8s.io/v1alpha2=true,batch/v1/cronjobs=false`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeConfig(BTreeMap<String, bool>);

impl FromStr for RuntimeConfig {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut config = BTreeMap::new();
        for entry in entries(text) {
            let (key, value) = entry.split_once('=').unwrap_or((entry, "true"));
            let value = if value.is_empty() { true } else { truth(key, value)? };
            let known = |(group, version): (&str, &str)| {
                let of_default = builtin::resources().iter();
                let mut all = of_default.chain(builtin::gated_resources().iter().map(|(_, info)| info));
                all.any(|info| info.group == group && info.version == version)
            };
            if !WORDS.contains(&key) && !place(key).is_some_and(|(place, _)| known(place)) {
                return Err(Invalid::GroupVersion(key.to_owned()));
            }
            config.insert(key.to_owned(), value);
        }
        Ok(Self(config))
    }
}

/// What stands for many versions at once, in the order in which they are heeded.
const WORDS: [&str; 4] = ["api/all", "api/ga", "api/beta", "api/alpha"];

/// Group and version, and the resource if one is named.
fn place(key: &str) -> Option<((&str, &str), Option<&str>)> {
    if key == "v1" {
        return Some((("", "v1"), None));
    }
    let mut parts = key.splitn(3, '/');
    let (group, version) = (parts.next()?, parts.next()?);
    // The core group has no name: `api/v1` and `/v1` mean it.
    let group = if group == "api" { "" } else { group };
    Some(((group, version), parts.next()))
}

impl RuntimeConfig {
    fn serves(&self, info: &ResourceInfo) -> bool {
        let stage = match &info.version {
            version if version.contains("alpha") => "api/alpha",
            version if version.contains("beta") => "api/beta",
            _ => "api/ga",
        };
        let mut served = stage == "api/ga";
        for word in WORDS.iter().filter(|word| **word == stage || **word == "api/all") {
            served = self.0.get(*word).copied().unwrap_or(served);
        }
        let own = |wanted: Option<&str>| {
            let is_it = |key: &str| place(key) == Some(((info.group.as_str(), info.version.as_str()), wanted));
            self.0.iter().find(|(key, _)| is_it(key)).map(|(_, served)| *served)
        };
        own(Some(&info.resource)).or_else(|| own(None)).unwrap_or(served)
    }
}

/// The built-in resources that are served, in the order of discovery.
pub fn served(features: &Features, config: &RuntimeConfig) -> impl Iterator<Item = &'static ResourceInfo> {
    let gated = builtin::gated_resources().iter().filter(|(gate, _)| features.has_gate(gate)).map(|(_, info)| info);
    builtin::resources().iter().chain(gated).filter(|info| config.serves(info))
}

/// The fields that objects of a resource cannot have since their features are off, as paths in which `*` is every item of
/// a list. Upstream drops them from what is written.
pub fn disabled_fields(features: &Features, group: &str, resource: &str) -> Vec<Vec<&'static str>> {
    let template = ["spec", "template", "spec", "schedulingGroup"];
    let of_pods: &[&'static str] = match (group, resource) {
        ("", "pods") => &["spec", "schedulingGroup"],
        ("", "podtemplates") => &["template", "spec", "schedulingGroup"],
        ("batch", "cronjobs") => &["spec", "jobTemplate", "spec", "template", "spec", "schedulingGroup"],
        ("batch", "jobs") | ("", "replicationcontrollers") => &template,
        ("apps", "daemonsets" | "deployments" | "replicasets" | "statefulsets") => &template,
        _ => &[],
    };
    let of_groups: &[&'static str] = match (group, resource) {
        ("scheduling.k8s.io", "podgroups") => &["spec"],
        ("scheduling.k8s.io", "workloads") => &["spec", "podGroupTemplates", "*"],
        _ => &[],
    };
    let mut disabled = Vec::new();
    if !of_pods.is_empty() && !features.has(Feature::GenericWorkload) {
        disabled.push(of_pods.to_vec());
    }
    let fields = [
        ("schedulingConstraints", Feature::TopologyAwareWorkloadScheduling),
        ("resourceClaims", Feature::DraWorkloadResourceClaims),
        ("disruptionMode", Feature::WorkloadAwarePreemption),
        ("priorityClassName", Feature::WorkloadAwarePreemption),
        ("priority", Feature::WorkloadAwarePreemption),
    ];
    for (field, _) in fields.into_iter().filter(|(_, feature)| !of_groups.is_empty() && !features.has(*feature)) {
        disabled.push(of_groups.iter().copied().chain([field]).collect());
    }
    disabled
}

/// Takes a field away, wherever the path leads.
pub(crate) fn forget(object: &mut Value, path: &[&str]) {
    match path {
        [] => {}
        [field] => drop(object.as_object_mut().and_then(|fields| fields.remove(*field))),
        ["*", rest @ ..] => object.as_array_mut().into_iter().flatten().for_each(|item| forget(item, rest)),
        [field, rest @ ..] => {
            if let Some(inner) = object.get_mut(*field) {
                forget(inner, rest);
            }
        }
    }
}

fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// Source: Go's `strconv.ParseBool`.
fn truth(name: &str, value: &str) -> Result<bool, Invalid> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Invalid::Value(name.to_owned(), value.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn gates_are_read_as_upstream_reads_them() {
        let check = |text: &str, expect: Result<&[Feature], &str>| {
            let read = text.parse::<Features>().map_err(|error| error.to_string());
            let expect = expect.map(|on| Features(on.iter().copied().collect())).map_err(str::to_owned);
            assert_eq!(read, expect, "{text}");
        };
        check("", Ok(&[]));
        check("GenericWorkload=true", Ok(&[Feature::GenericWorkload]));
        check("GenericWorkload=true, GangScheduling=t", Ok(&[Feature::GenericWorkload, Feature::GangScheduling]));
        check("AllAlpha=true,AllAlpha=false", Ok(&[]));
        check("TaintTolerationComparisonOperators=true", Ok(&[Feature::TaintTolerationComparisonOperators]));
        check("Nothing=true", Err("unrecognized feature gate: Nothing"));
        check("GenericWorkload", Err("missing bool value for GenericWorkload"));
        let syntax = r#"invalid value of GenericWorkload: yes, err: strconv.ParseBool: parsing "yes": invalid syntax"#;
        check("GenericWorkload=yes", Err(syntax));
        let alone = "GangScheduling is enabled, but depends on features that are disabled: [GenericWorkload]";
        check("GangScheduling=true", Err(alone));
    }

    #[test]
    fn versions_and_resources_are_switched_by_the_most_exact_word() {
        let all: Features = "AllAlpha=true".parse().unwrap();
        let check = |features: &Features, config: &str, (group, version, resource): (&str, &str, &str)| {
            let config: RuntimeConfig = config.parse().unwrap();
            served(features, &config).any(|it| it.group == group && it.version == version && it.resource == resource)
        };
        let groups = ("scheduling.k8s.io", "v1alpha2", "podgroups");
        assert!(!check(&all, "", groups), "alpha versions are off");
        assert!(check(&all, "scheduling.k8s.io/v1alpha2=true", groups));
        assert!(check(&all, "api/alpha", groups));
        assert!(check(&all, "api/all=true", groups));
        assert!(!check(&all, "api/all=true,api/alpha=false", groups));
        assert!(!check(&all, "api/all=true,scheduling.k8s.io/v1alpha2/podgroups=false", groups));
        assert!(!check(&Features::default(), "api/all=true", groups), "the gate is off");
        let jobs = ("batch", "v1", "jobs");
        assert!(check(&all, "batch/v1/cronjobs=false", jobs) && !check(&all, "batch/v1=false", jobs));
        assert!(!check(&all, "v1=false", ("", "v1", "pods")) && !check(&all, "api/v1=false", ("", "v1", "pods")));
        let error = "batch/v9=true".parse::<RuntimeConfig>().unwrap_err().to_string();
        assert_eq!(error, "group version batch/v9 that has not been registered");
    }

    #[test]
    fn fields_of_features_that_are_off_are_forgotten() {
        let mut object = json!({"spec": {"podGroupTemplates": [{"name": "a", "priority": 1}, {"name": "b"}]}});
        for path in disabled_fields(&Features::default(), "scheduling.k8s.io", "workloads") {
            forget(&mut object, &path);
        }
        assert_eq!(object, json!({"spec": {"podGroupTemplates": [{"name": "a"}, {"name": "b"}]}}));
        assert!(disabled_fields(&"AllAlpha=true".parse().unwrap(), "", "pods").is_empty());
    }
}
