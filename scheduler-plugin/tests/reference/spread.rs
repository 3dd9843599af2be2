//! PodTopologySpread.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Pod, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::nodes::{is_repelled, pod_may_use};
use super::selectors::{is_empty, matches};
use super::{Code, Map, NodeInfo, Reference, Refusal, namespace, pod_labels};

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

#[derive(Clone)]
pub struct Constraint {
    key: String,
    max_skew: i64,
    min_domains: i64,
    selector: Option<LabelSelector>,
    honors_affinity: bool,
    honors_taints: bool,
}

#[derive(Clone, Default)]
pub struct Counts {
    pub constraints: Vec<Constraint>,
    /// For each constraint the number of pods by the value of its key.
    domains: Vec<BTreeMap<String, i64>>,
}

fn constraint(given: &TopologySpreadConstraint, labels: &Map) -> Constraint {
    let mut selector = given.label_selector.clone();
    for key in given.match_label_keys.iter().flatten() {
        if let (Some(selector), Some(value)) = (&mut selector, labels.get(key)) {
            selector.match_expressions.get_or_insert_default().push(LabelSelectorRequirement {
                key: key.clone(),
                operator: "In".to_owned(),
                values: Some(vec![value.clone()]),
            });
        }
    }
    Constraint {
        key: given.topology_key.clone(),
        max_skew: i64::from(given.max_skew),
        min_domains: i64::from(given.min_domains.unwrap_or(1)),
        selector,
        honors_affinity: given.node_affinity_policy.as_deref().unwrap_or("Honor") == "Honor",
        honors_taints: given.node_taints_policy.as_deref().unwrap_or("Ignore") == "Honor",
    }
}

/// What services and the owner select, merged; `None` if nothing selects the pod.
fn default_selector(reference: &Reference<'_>, pod: &Pod) -> Option<LabelSelector> {
    let (world, labels) = (reference.world, pod_labels(pod));
    let mut merged = LabelSelector::default();
    let pairs = merged.match_labels.get_or_insert_default();
    for service in &world.services {
        let Some(selector) = service.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else { continue };
        let here = service.metadata.namespace.as_deref() == Some(namespace(pod));
        if here && selector.iter().all(|(key, value)| labels.get(key) == Some(value)) {
            pairs.extend(selector.clone());
        }
    }
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    if let Some(owner) = owners.iter().find(|owner| owner.controller == Some(true)) {
        let named = |meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
            meta.namespace.as_deref() == Some(namespace(pod)) && meta.name.as_deref() == Some(owner.name.as_str())
        };
        let set = match (owner.api_version.as_str(), owner.kind.as_str()) {
            ("v1", "ReplicationController") => {
                let found = world.controllers.iter().find(|one| named(&one.metadata));
                pairs.extend(found.and_then(|one| one.spec.as_ref()?.selector.clone()).unwrap_or_default());
                None
            }
            ("apps/v1", "ReplicaSet") => {
                let found = world.replica_sets.iter().find(|one| named(&one.metadata));
                found.map(|one| one.spec.as_ref().unwrap().selector.clone())
            }
            ("apps/v1", "StatefulSet") => {
                let found = world.stateful_sets.iter().find(|one| named(&one.metadata));
                found.map(|one| one.spec.as_ref().unwrap().selector.clone())
            }
            _ => None,
        };
        let expressions = merged.match_expressions.get_or_insert_default();
        for (key, value) in set.iter().flat_map(|set| set.match_labels.iter().flatten()) {
            let values = Some(vec![value.clone()]);
            expressions.push(LabelSelectorRequirement { key: key.clone(), operator: "In".to_owned(), values });
        }
        expressions.extend(set.into_iter().flat_map(|set| set.match_expressions.unwrap_or_default()));
    }
    (!is_empty(&merged)).then_some(merged)
}

/// The pod's constraints of one kind; the default ones if it has none of either kind.
fn constraints(reference: &Reference<'_>, pod: &Pod, kind: &str) -> Vec<Constraint> {
    let own = pod.spec.as_ref().unwrap().topology_spread_constraints.clone().unwrap_or_default();
    if !own.is_empty() {
        let labels = pod_labels(pod);
        return own.iter().filter(|one| one.when_unsatisfiable == kind).map(|one| constraint(one, &labels)).collect();
    }
    let system = |key: &str, max_skew| TopologySpreadConstraint {
        topology_key: key.to_owned(),
        max_skew,
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..TopologySpreadConstraint::default()
    };
    let defaults = reference.args.default_constraints.clone();
    let defaults = defaults.unwrap_or_else(|| vec![system(HOSTNAME, 3), system(ZONE, 5)]);
    let Some(selector) = default_selector(reference, pod) else { return Vec::new() };
    let of_kind = defaults.iter().filter(|one| one.when_unsatisfiable == kind);
    of_kind.map(|one| Constraint { selector: Some(selector.clone()), ..constraint(one, &Map::new()) }).collect()
}

fn has_all_keys(constraints: &[Constraint], info: &NodeInfo) -> bool {
    constraints.iter().all(|one| info.labels().contains_key(&one.key))
}

fn includes(constraint: &Constraint, pod: &Pod, info: &NodeInfo) -> bool {
    (!constraint.honors_affinity || pod_may_use(pod, info)) && (!constraint.honors_taints || !is_repelled(pod, info))
}

fn matching(constraint: &Constraint, pod: &Pod, info: &NodeInfo) -> i64 {
    if constraint.selector.as_ref().is_none_or(is_empty) {
        return 0;
    }
    let counts = |other: &&Pod| {
        other.metadata.deletion_timestamp.is_none()
            && namespace(other) == namespace(pod)
            && matches(constraint.selector.as_ref(), &pod_labels(other))
    };
    i64::try_from(info.pods.iter().filter(counts).count()).unwrap()
}

pub fn pre_filter(reference: &Reference<'_>, pod: &Pod) -> Counts {
    let constraints = constraints(reference, pod, "DoNotSchedule");
    let mut domains = vec![BTreeMap::new(); constraints.len()];
    for info in reference.infos.iter().filter(|info| has_all_keys(&constraints, info)) {
        for (constraint, domains) in constraints.iter().zip(&mut domains) {
            if includes(constraint, pod, info) {
                *domains.entry(info.labels()[&constraint.key].clone()).or_default() += matching(constraint, pod, info);
            }
        }
    }
    Counts { constraints, domains }
}

/// A pod comes or goes. Unlike in PreFilter nobody asks whether it is on its way out, or whether the selector is empty.
pub fn change(pod: &Pod, other: &Pod, (counts, info): (&mut Counts, &NodeInfo), amount: i64) {
    if namespace(other) != namespace(pod) || !has_all_keys(&counts.constraints, info) {
        return;
    }
    for (constraint, domains) in counts.constraints.iter().zip(&mut counts.domains) {
        if matches(constraint.selector.as_ref(), &pod_labels(other)) && includes(constraint, pod, info) {
            *domains.entry(info.labels()[&constraint.key].clone()).or_default() += amount;
        }
    }
}

pub fn filter(pod: &Pod, counts: &Counts, info: &NodeInfo) -> Result<(), Refusal> {
    let plugin = "PodTopologySpread";
    for (constraint, domains) in counts.constraints.iter().zip(&counts.domains) {
        let labels = info.labels();
        let Some(value) = labels.get(&constraint.key) else {
            let reason = "node(s) didn't match pod topology spread constraints (missing required label)";
            return Err(Refusal::new(plugin, Code::Unresolvable, reason));
        };
        let enough = i64::try_from(domains.len()).unwrap() >= constraint.min_domains;
        let minimum = if enough { domains.values().copied().min().unwrap_or(0) } else { 0 };
        let itself = i64::from(matches(constraint.selector.as_ref(), &pod_labels(pod)));
        let skew = domains.get(value).copied().unwrap_or(0) + itself - minimum;
        if skew > constraint.max_skew {
            let reason = "node(s) didn't match pod topology spread constraints";
            return Err(Refusal::new(plugin, Code::Unschedulable, reason));
        }
    }
    Ok(())
}

pub struct Soft {
    constraints: Vec<Constraint>,
    ignored: BTreeSet<String>,
    /// By the value of the key, a missing one being the empty one.
    domains: Vec<BTreeMap<String, i64>>,
    weights: Vec<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "the rule computes so")]
pub fn pre_score(reference: &Reference<'_>, pod: &Pod, feasible: &[&NodeInfo]) -> Option<Soft> {
    let constraints = constraints(reference, pod, "ScheduleAnyway");
    if constraints.is_empty() {
        return None;
    }
    let own = pod.spec.as_ref().unwrap().topology_spread_constraints.as_ref().is_some_and(|own| !own.is_empty());
    let require_all = own || reference.args.default_constraints.is_some();
    let mut ignored = BTreeSet::new();
    let mut domains: Vec<BTreeMap<String, i64>> = vec![BTreeMap::new(); constraints.len()];
    for info in feasible {
        if require_all && !has_all_keys(&constraints, info) {
            ignored.insert(info.name().to_owned());
            continue;
        }
        for (constraint, domains) in constraints.iter().zip(&mut domains) {
            domains.insert(info.labels().get(&constraint.key).cloned().unwrap_or_default(), 0);
        }
    }
    let mut weights = Vec::new();
    for (constraint, domains) in constraints.iter().zip(&domains) {
        let size = if constraint.key == HOSTNAME { feasible.len() - ignored.len() } else { domains.len() };
        weights.push((size as f64 + 2.0).ln());
    }
    for info in &reference.infos {
        if require_all && !has_all_keys(&constraints, info) {
            continue;
        }
        for (constraint, domains) in constraints.iter().zip(&mut domains) {
            let value = info.labels().get(&constraint.key).cloned().unwrap_or_default();
            if let Some(sum) = domains.get_mut(&value).filter(|_| includes(constraint, pod, info)) {
                *sum += matching(constraint, pod, info);
            }
        }
    }
    Some(Soft { constraints, ignored, domains, weights })
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "the rule rounds so")]
pub fn score(pod: &Pod, soft: &Soft, info: &NodeInfo) -> i64 {
    if soft.ignored.contains(info.name()) {
        return 0;
    }
    let mut score = 0.0;
    for (place, constraint) in soft.constraints.iter().enumerate() {
        let Some(value) = info.labels().get(&constraint.key).cloned() else { continue };
        let host = constraint.key == HOSTNAME;
        let count = if host { matching(constraint, pod, info) } else { soft.domains[place][&value] };
        score += count as f64 * soft.weights[place] + (constraint.max_skew - 1) as f64;
    }
    score.round() as i64
}

pub fn normalize(soft: &Soft, feasible: &[&NodeInfo], raw: &[i64]) -> Vec<i64> {
    let ignored: Vec<bool> = feasible.iter().map(|info| soft.ignored.contains(info.name())).collect();
    let compared = || raw.iter().zip(&ignored).filter(|(_, ignored)| !**ignored).map(|(score, _)| *score);
    let (min, max) = (compared().min().unwrap_or(0), compared().max().unwrap_or(0));
    let one = |(score, ignored): (&i64, &bool)| match (ignored, max) {
        (true, _) => 0,
        (false, 0) => 100,
        (false, max) => 100 * (max + min - score) / max,
    };
    raw.iter().zip(&ignored).map(one).collect()
}
