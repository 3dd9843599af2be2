//! Rules about a pod and a node alone: NodeUnschedulable, NodeName, TaintToleration, NodeAffinity, NodePorts,
//! ImageLocality.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{NodeAffinity, Pod, PreferredSchedulingTerm, Taint, Toleration};

use super::selectors::{selector_matches, term_matches};
use super::{Args, Code, NodeInfo, Reference, Refusal};

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    if !effect.is_empty() && effect != taint.effect || !key.is_empty() && key != taint.key {
        return false;
    }
    match text(&toleration.operator).as_str() {
        "" | "Equal" => text(&toleration.value) == text(&taint.value),
        "Exists" => true,
        operator => {
            let number = |value: &Option<String>| {
                let written = text(value);
                let digits = written.strip_prefix('-').unwrap_or(&written);
                let is_plain = written == "0" || digits.starts_with(|first: char| ('1'..='9').contains(&first));
                written.parse::<i64>().ok().filter(|_| is_plain)
            };
            match (number(&taint.value), number(&toleration.value)) {
                (Some(of_taint), Some(own)) => operator == "Lt" && of_taint < own || operator == "Gt" && of_taint > own,
                _ => false,
            }
        }
    }
}

fn tolerations(pod: &Pod) -> &[Toleration] {
    pod.spec.as_ref().unwrap().tolerations.as_deref().unwrap_or_default()
}

fn taints(info: &NodeInfo) -> &[Taint] {
    info.node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

pub fn is_repelled(pod: &Pod, info: &NodeInfo) -> bool {
    let binding = |taint: &&Taint| taint.effect == "NoSchedule" || taint.effect == "NoExecute";
    let tolerated = |taint: &Taint| tolerations(pod).iter().any(|one| tolerates(one, taint));
    taints(info).iter().filter(binding).any(|taint| !tolerated(taint))
}

pub fn node_unschedulable(pod: &Pod, info: &NodeInfo) -> Result<(), Refusal> {
    let cordoned = info.node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    if cordoned && !tolerations(pod).iter().any(|one| tolerates(one, &taint)) {
        return Err(Refusal::new("NodeUnschedulable", Code::Unresolvable, "node(s) were unschedulable"));
    }
    Ok(())
}

pub fn node_name(pod: &Pod, info: &NodeInfo) -> Result<(), Refusal> {
    match &pod.spec.as_ref().unwrap().node_name {
        Some(name) if name != info.name() => {
            Err(Refusal::new("NodeName", Code::Unresolvable, "node(s) didn't match the requested node name"))
        }
        _ => Ok(()),
    }
}

pub fn taint_toleration(pod: &Pod, info: &NodeInfo) -> Result<(), Refusal> {
    if is_repelled(pod, info) {
        return Err(Refusal::new("TaintToleration", Code::Unresolvable, "node(s) had untolerated taint(s)"));
    }
    Ok(())
}

pub fn unwelcome_taints(pod: &Pod, info: &NodeInfo) -> i64 {
    let soft = |one: &&Toleration| matches!(one.effect.as_deref().unwrap_or_default(), "" | "PreferNoSchedule");
    let tolerated = |taint: &Taint| tolerations(pod).iter().filter(soft).any(|one| tolerates(one, taint));
    let unwelcome = |taint: &&Taint| taint.effect == "PreferNoSchedule" && !tolerated(taint);
    i64::try_from(taints(info).iter().filter(unwelcome).count()).unwrap()
}

pub enum PreFilter {
    Skip,
    All,
    Only(BTreeSet<String>),
    Conflict,
}

fn affinity_of(pod: &Pod) -> Option<&NodeAffinity> {
    pod.spec.as_ref().unwrap().affinity.as_ref()?.node_affinity.as_ref()
}

/// If every term names nodes, only those are looked at.
pub fn node_affinity_pre_filter(pod: &Pod, args: &Args) -> PreFilter {
    let required = affinity_of(pod).and_then(|own| own.required_during_scheduling_ignored_during_execution.as_ref());
    let selector = pod.spec.as_ref().unwrap().node_selector.as_ref().is_some_and(|selector| !selector.is_empty());
    let added = args.added_affinity.as_ref();
    let added = added.and_then(|added| added.required_during_scheduling_ignored_during_execution.as_ref());
    let Some(required) = required else {
        return if selector || added.is_some() { PreFilter::All } else { PreFilter::Skip };
    };
    if required.node_selector_terms.is_empty() {
        return PreFilter::All;
    }
    let mut names = BTreeSet::new();
    for term in &required.node_selector_terms {
        let mut of_term: Option<BTreeSet<String>> = None;
        for field in term.match_fields.iter().flatten() {
            if field.key == "metadata.name" && field.operator == "In" {
                let listed: BTreeSet<String> = field.values.iter().flatten().cloned().collect();
                of_term =
                    Some(of_term.map_or(listed.clone(), |before| before.intersection(&listed).cloned().collect()));
            }
        }
        match of_term {
            Some(of_term) => names.extend(of_term),
            None => return PreFilter::All,
        }
    }
    if names.is_empty() { PreFilter::Conflict } else { PreFilter::Only(names) }
}

/// Whether the pod's selector and required affinity allow the node.
pub fn pod_may_use(pod: &Pod, info: &NodeInfo) -> bool {
    let labels = info.labels();
    let selector = pod.spec.as_ref().unwrap().node_selector.iter().flatten();
    let required = affinity_of(pod).and_then(|own| own.required_during_scheduling_ignored_during_execution.as_ref());
    selector.into_iter().all(|(key, value)| labels.get(key) == Some(value))
        && required.is_none_or(|required| selector_matches(required, info))
}

pub fn node_affinity(pod: &Pod, args: &Args, info: &NodeInfo) -> Result<(), Refusal> {
    let added = args.added_affinity.as_ref();
    let added = added.and_then(|added| added.required_during_scheduling_ignored_during_execution.as_ref());
    let refuse = |reason| Err(Refusal::new("NodeAffinity", Code::Unresolvable, reason));
    if added.is_some_and(|added| !selector_matches(added, info)) {
        return refuse("node(s) didn't match scheduler-enforced node affinity");
    }
    if !pod_may_use(pod, info) {
        return refuse("node(s) didn't match Pod's node affinity/selector");
    }
    Ok(())
}

fn preferred<'a>(pod: &'a Pod, args: &'a Args) -> Vec<&'a PreferredSchedulingTerm> {
    let of = |affinity: Option<&'a NodeAffinity>| {
        affinity.and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_ref())
    };
    of(affinity_of(pod)).into_iter().flatten().chain(of(args.added_affinity.as_ref()).into_iter().flatten()).collect()
}

pub fn has_preferred_node_affinity(pod: &Pod, args: &Args) -> bool {
    !preferred(pod, args).is_empty()
}

pub fn preferred_node_affinity(pod: &Pod, args: &Args, info: &NodeInfo) -> i64 {
    let all = preferred(pod, args);
    all.iter().filter(|term| term_matches(&term.preference, info)).map(|term| i64::from(term.weight)).sum()
}

/// Address, protocol and port of containers and sidecars.
pub fn host_ports(pod: &Pod) -> Vec<(String, String, i32)> {
    let spec = pod.spec.as_ref().unwrap();
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let mut ports = Vec::new();
    for container in spec.containers.iter().chain(sidecars) {
        for port in container.ports.iter().flatten() {
            if let Some(number) = port.host_port.filter(|number| *number > 0) {
                let or = |text: &Option<String>, default: &str| {
                    text.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
                };
                ports.push((or(&port.host_ip, "0.0.0.0"), or(&port.protocol, "TCP"), number));
            }
        }
    }
    ports
}

pub fn node_ports(pod: &Pod, info: &NodeInfo) -> Result<(), Refusal> {
    let any = "0.0.0.0";
    let taken: Vec<_> = info.pods.iter().flat_map(host_ports).collect();
    for (address, protocol, port) in host_ports(pod) {
        let conflicts = taken.iter().any(|(other_address, other_protocol, other_port)| {
            *other_port == port
                && *other_protocol == protocol
                && (*other_address == address || other_address == any || address == any)
        });
        if conflicts {
            let reason = "node(s) didn't have free ports for the requested pod ports";
            return Err(Refusal::new("NodePorts", Code::Unschedulable, reason));
        }
    }
    Ok(())
}

fn with_tag(image: &str) -> String {
    let place = |what| image.rfind(what).map_or(-1, |place| i64::try_from(place).unwrap());
    if place(':') <= place('/') { format!("{image}:latest") } else { image.to_owned() }
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "the rule rounds so")]
pub fn image_locality(reference: &Reference<'_>, pod: &Pod, info: &NodeInfo) -> i64 {
    let size_on = |info: &NodeInfo, wanted: &str| -> Option<i64> {
        let images = info.node.status.as_ref().and_then(|status| status.images.as_ref());
        let named = |image: &&k8s_openapi::api::core::v1::ContainerImage| {
            image.names.iter().flatten().any(|name| name == wanted)
        };
        images.into_iter().flatten().find(named).map(|image| image.size_bytes.unwrap_or(0))
    };
    let spec = pod.spec.as_ref().unwrap();
    let containers: Vec<_> = spec.init_containers.iter().flatten().chain(&spec.containers).collect();
    let volumes = spec.volumes.iter().flatten().filter_map(|volume| volume.image.as_ref()?.reference.clone());
    let images = containers.iter().map(|container| container.image.clone().unwrap_or_default()).chain(volumes);
    let mut sum = 0;
    for image in images.map(|image| with_tag(&image)) {
        if let Some(size) = size_on(info, &image) {
            let nodes = reference.infos.iter().filter(|info| size_on(info, &image).is_some()).count();
            let spread = nodes as f64 / reference.infos.len() as f64;
            sum += (size as f64 * spread) as i64;
        }
    }
    let mib = 1024 * 1024;
    let (least, most) = (23 * mib, 1000 * mib * i64::try_from(containers.len()).unwrap());
    100 * (sum.clamp(least, most) - least) / (most - least)
}
