//! What a client is told of a pod specification that is accepted: what does nothing, or soon will.
//! Source: `k8s.io/kubernetes/pkg/api/pod/warnings.go`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use steersman_machinery::field::{go_quote, show};
use steersman_machinery::{meta, names};

use crate::kinds::check::{Cursor, amount, collect};

/// Labels of nodes that have other names now.
const RENAMED_LABELS: &[(&str, &str, &str)] = &[
    ("beta.kubernetes.io/arch", "v1.14", "kubernetes.io/arch"),
    ("beta.kubernetes.io/os", "v1.14", "kubernetes.io/os"),
    ("failure-domain.beta.kubernetes.io/region", "v1.17", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "v1.17", "topology.kubernetes.io/zone"),
    ("beta.kubernetes.io/instance-type", "v1.17", "node.kubernetes.io/instance-type"),
];
/// Volumes that no node mounts any more.
const OLD_VOLUMES: &[(&str, &str)] = &[
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const NO_SELECTOR: &str = "a null labelSelector results in matching no pod";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// The warnings about the pod or the template at `path` of `object`.
pub(crate) fn all(object: &Value, path: &[&str]) -> Vec<String> {
    let mut warnings = Vec::new();
    collect(object, |root| {
        let template = root.down(path);
        let spec = template.at("spec");
        annotations(&template, &mut warnings);
        node_labels(&spec, &mut warnings);
        topology_spread(&spec, &mut warnings);
        pairs_once(&spec, ("hostAliases", "ip"), &mut warnings);
        for volume in spec.at("volumes").items() {
            for (source, text) in OLD_VOLUMES {
                if volume.at(source).is_set() {
                    warnings.push(format!("{}: {text}", volume.at(source).path));
                }
            }
        }
        pairs_once(&spec, ("imagePullSecrets", "name"), &mut warnings);
        for list in ["initContainers", "containers"] {
            spec.at(list).items().for_each(|container| of_container(&container, &mut warnings));
        }
        let grace = spec.at("terminationGracePeriodSeconds");
        if grace.int().is_some_and(|seconds| seconds < 0) {
            warnings
                .push(format!("{}: must be >= 0; negative values are invalid and will be treated as 1.", grace.path));
        }
        affinity_selectors(&spec, &mut warnings);
    });
    warnings
}

fn annotations(template: &Cursor<'_>, warnings: &mut Vec<String>) {
    for (key, entry) in template.down(&["metadata", "annotations"]).entries() {
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            warnings
                .push(format!(r#"{}: non-functional in v1.27+; use the "seccompProfile" field instead"#, entry.path));
        }
    }
}

fn renamed(place: &Cursor<'_>, label: &str) -> Option<String> {
    let (_, since, instead) = RENAMED_LABELS.iter().find(|(name, _, _)| *name == label)?;
    Some(format!(r#"{}: deprecated since {since}; use "{instead}" instead"#, place.path))
}

fn node_labels(spec: &Cursor<'_>, warnings: &mut Vec<String>) {
    for (label, entry) in spec.at("nodeSelector").entries() {
        warnings.extend(renamed(&entry, label));
    }
    let affinity = spec.at("affinity").at("nodeAffinity");
    let required = affinity.at(REQUIRED).at("nodeSelectorTerms");
    let preferred = affinity.at("preferredDuringSchedulingIgnoredDuringExecution");
    for term in required.items().chain(preferred.items().map(|term| term.at("preference"))) {
        for requirement in term.at("matchExpressions").items() {
            let key = requirement.at("key");
            warnings.extend(renamed(&key, key.text()));
        }
    }
}

fn topology_spread(spec: &Cursor<'_>, warnings: &mut Vec<String>) {
    for constraint in spec.at("topologySpreadConstraints").items() {
        let (key, selector) = (constraint.at("topologyKey"), constraint.at("labelSelector"));
        warnings.extend(renamed(&key, key.text()));
        if !selector.is_set() {
            warnings.push(format!("{}: {NO_SELECTOR}", selector.path));
        }
    }
}

fn affinity_selectors(spec: &Cursor<'_>, warnings: &mut Vec<String>) {
    for sort in ["podAffinity", "podAntiAffinity"] {
        let affinity = spec.at("affinity").at(sort);
        let preferred = affinity.at("preferredDuringSchedulingIgnoredDuringExecution");
        let terms = affinity.at(REQUIRED).items().chain(preferred.items().map(|term| term.at("podAffinityTerm")));
        for term in terms {
            let selector = term.at("labelSelector");
            if !selector.is_set() {
                warnings.push(format!("{}: {NO_SELECTOR}", selector.path));
            }
        }
    }
}

/// Items of a list are known by one field: it should be there, and each value once.
fn pairs_once(spec: &Cursor<'_>, (list, field): (&str, &str), warnings: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for item in spec.at(list).items() {
        let value = item.at(field);
        if value.is_empty() {
            warnings.push(format!("{}: invalid empty {field} \"\"", value.path));
        } else if seen.contains(value.text()) {
            warnings.push(format!("{}: duplicate {field} {}", value.path, go_quote(value.text())));
        }
        seen.insert(value.text());
    }
}

fn of_container(container: &Cursor<'_>, warnings: &mut Vec<String>) {
    for list in ["limits", "requests"] {
        let list = container.at("resources").at(list);
        for name in ["memory", "ephemeral-storage"] {
            let entry = list.key(name);
            if entry.is_set() && !amount::is_whole(amount::of(entry.value)) {
                warnings.push(format!(
                    "{}: fractional byte value {} is invalid, must be an integer",
                    entry.path,
                    show(entry.value)
                ));
            }
        }
    }
    let mut defined = BTreeSet::new();
    for variable in container.at("env").items() {
        let name = variable.at("name").text();
        let extends = variable.at("value").text().contains(&format!("$({name})"));
        if defined.contains(name) && !extends {
            warnings.push(format!(
                "{}: hides previous definition of {}, which may be dropped when using apply",
                variable.path,
                go_quote(name)
            ));
        }
        defined.insert(name);
    }
    let mut ports = BTreeMap::new();
    for port in container.at("ports").items() {
        let number = |field: &str| port.at(field).int().unwrap_or_default();
        let text = |field: &str| port.at(field).text();
        let key = (number("containerPort"), text("protocol"), text("hostIP"), number("hostPort"));
        match ports.get(&key) {
            Some(first) => warnings.push(format!("{}: duplicate port definition with {first}", port.path)),
            None => drop(ports.insert(key, port.path.clone())),
        }
    }
}

/// The warning about a name that makes bad host names of pods.
pub(crate) fn name(object: &Value) -> Option<String> {
    let complaints = names::dns1123_label(meta::name(object));
    (!complaints.is_empty()).then(|| {
        format!(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]",
            complaints.join(" ")
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(spec: Value, expect: &[&str]) {
        assert_eq!(all(&json!({"spec": spec}), &[]), expect);
    }

    #[test]
    fn what_does_nothing_is_named() {
        let container = |fields: Value| json!({"containers": [fields]});
        check(
            container(
                json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}, {"name": "A", "value": "$(A)3"}]}),
            ),
            &[r#"spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply"#],
        );
        check(
            container(json!({"ports": [{"containerPort": 80, "name": "a"}, {"containerPort": 80, "name": "b"}]})),
            &["spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"],
        );
        check(
            container(json!({"resources": {"requests": {"memory": "500m", "cpu": "500m"}}})),
            &[
                r#"spec.containers[0].resources.requests[memory]: fractional byte value "500m" is invalid, must be an integer"#,
            ],
        );
        check(
            json!({"nodeSelector": {"beta.kubernetes.io/os": "linux"}, "imagePullSecrets": [{"name": ""}]}),
            &[
                r#"spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead"#,
                r#"spec.imagePullSecrets[0].name: invalid empty name """#,
            ],
        );
        check(
            json!({"topologySpreadConstraints": [{"topologyKey": "zone"}], "volumes": [{"name": "g", "glusterfs": {}}]}),
            &[
                "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
                "spec.volumes[0].glusterfs: deprecated in v1.25, non-functional in v1.26+",
            ],
        );
    }
}
