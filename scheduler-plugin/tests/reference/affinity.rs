//! InterPodAffinity.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm, WeightedPodAffinityTerm};

use super::selectors::matches;
use super::{Code, Map, NodeInfo, Reference, Refusal, namespace, pod_labels};

/// A number for each pair of topology key and value.
pub type Pairs = BTreeMap<(String, String), i64>;

#[derive(Clone, Default)]
pub struct Counts {
    /// Required anti-affinity terms of existing pods that mean the incoming pod.
    existing_anti: Pairs,
    /// Pods that all required affinity terms of the incoming pod mean.
    affinity: Pairs,
    /// Pods that its required anti-affinity terms mean.
    anti: Pairs,
    has_terms: bool,
}

impl Counts {
    pub fn is_skipped(&self) -> bool {
        !self.has_terms && self.existing_anti.is_empty()
    }
}

fn required(pod: &Pod) -> Vec<PodAffinityTerm> {
    let affinity = pod.spec.as_ref().unwrap().affinity.as_ref().and_then(|affinity| affinity.pod_affinity.clone());
    affinity.and_then(|own| own.required_during_scheduling_ignored_during_execution).unwrap_or_default()
}

fn required_anti(pod: &Pod) -> Vec<PodAffinityTerm> {
    let affinity = pod.spec.as_ref().unwrap().affinity.as_ref().and_then(|affinity| affinity.pod_anti_affinity.clone());
    affinity.and_then(|own| own.required_during_scheduling_ignored_during_execution).unwrap_or_default()
}

fn preferred(pod: &Pod) -> Vec<WeightedPodAffinityTerm> {
    let affinity = pod.spec.as_ref().unwrap().affinity.as_ref().and_then(|affinity| affinity.pod_affinity.clone());
    affinity.and_then(|own| own.preferred_during_scheduling_ignored_during_execution).unwrap_or_default()
}

fn preferred_anti(pod: &Pod) -> Vec<WeightedPodAffinityTerm> {
    let affinity = pod.spec.as_ref().unwrap().affinity.as_ref().and_then(|affinity| affinity.pod_anti_affinity.clone());
    affinity.and_then(|own| own.preferred_during_scheduling_ignored_during_execution).unwrap_or_default()
}

/// Whether a term of `owner` means `other`.
fn term_matches(reference: &Reference<'_>, term: &PodAffinityTerm, owner: &Pod, other: &Pod) -> bool {
    let listed = term.namespaces.as_deref().unwrap_or_default();
    let in_namespace = if listed.is_empty() && term.namespace_selector.is_none() {
        namespace(owner) == namespace(other)
    } else {
        let find =
            |name: &str| reference.world.namespaces.iter().find(|one| one.metadata.name.as_deref() == Some(name));
        let labels = find(namespace(other)).and_then(|one| one.metadata.labels.clone()).unwrap_or_default();
        listed.iter().any(|name| name == namespace(other)) || matches(term.namespace_selector.as_ref(), &labels)
    };
    in_namespace && matches(term.label_selector.as_ref(), &pod_labels(other))
}

fn matches_all(reference: &Reference<'_>, owner: &Pod, other: &Pod) -> bool {
    let terms = required(owner);
    !terms.is_empty() && terms.iter().all(|term| term_matches(reference, term, owner, other))
}

fn count(pairs: &mut Pairs, labels: &Map, key: &str, amount: i64) {
    if let Some(value) = labels.get(key) {
        let pair = (key.to_owned(), value.clone());
        let sum = pairs.entry(pair.clone()).or_default();
        *sum += amount;
        if *sum == 0 {
            pairs.remove(&pair);
        }
    }
}

pub fn change(
    reference: &Reference<'_>,
    (pod, other): (&Pod, &Pod),
    (counts, info): (&mut Counts, &NodeInfo),
    amount: i64,
) {
    let labels = info.labels();
    for term in required_anti(other) {
        if term_matches(reference, &term, other, pod) {
            count(&mut counts.existing_anti, &labels, &term.topology_key, amount);
        }
    }
    if matches_all(reference, pod, other) {
        for term in required(pod) {
            count(&mut counts.affinity, &labels, &term.topology_key, amount);
        }
    }
    for term in required_anti(pod) {
        if term_matches(reference, &term, pod, other) {
            count(&mut counts.anti, &labels, &term.topology_key, amount);
        }
    }
}

pub fn pre_filter(reference: &Reference<'_>, pod: &Pod) -> Counts {
    let has_terms = !required(pod).is_empty() || !required_anti(pod).is_empty();
    let mut counts = Counts { has_terms, ..Counts::default() };
    for info in &reference.infos {
        for other in &info.pods {
            change(reference, (pod, other), (&mut counts, info), 1);
        }
    }
    counts
}

fn satisfies_affinity(reference: &Reference<'_>, pod: &Pod, counts: &Counts, labels: &Map) -> bool {
    let mut all = true;
    for term in required(pod) {
        let Some(value) = labels.get(&term.topology_key) else { return false };
        let pair = (term.topology_key.clone(), value.clone());
        all &= counts.affinity.get(&pair).is_some_and(|count| *count > 0);
    }
    all || counts.affinity.is_empty() && matches_all(reference, pod, pod)
}

pub fn filter(pod: &Pod, reference: &Reference<'_>, counts: &Counts, info: &NodeInfo) -> Result<(), Refusal> {
    let labels = info.labels();
    let refuse = |code, reason| Err(Refusal::new("InterPodAffinity", code, reason));
    if !satisfies_affinity(reference, pod, counts, &labels) {
        return refuse(Code::Unresolvable, "node(s) didn't match pod affinity rules");
    }
    for term in required_anti(pod) {
        let pair = labels.get(&term.topology_key).map(|value| (term.topology_key.clone(), value.clone()));
        if pair.and_then(|pair| counts.anti.get(&pair)).is_some_and(|count| *count > 0) {
            return refuse(Code::Unschedulable, "node(s) didn't match pod anti-affinity rules");
        }
    }
    for pair in labels {
        if counts.existing_anti.get(&pair).is_some_and(|count| *count > 0) {
            return refuse(Code::Unschedulable, "node(s) didn't satisfy existing pods anti-affinity rules");
        }
    }
    Ok(())
}

/// How much the pods that run make places better or worse; `None` if there is nothing to compare.
pub fn pre_score(reference: &Reference<'_>, pod: &Pod) -> Option<Pairs> {
    let prefers = !preferred(pod).is_empty() || !preferred_anti(pod).is_empty();
    if reference.args.ignore_preferred_terms_of_existing_pods && !prefers {
        return None;
    }
    let mut pairs = Pairs::new();
    for info in &reference.infos {
        let labels = info.labels();
        let mut add = |key: &str, amount: i64| {
            if let Some(value) = labels.get(key) {
                *pairs.entry((key.to_owned(), value.clone())).or_default() += amount;
            }
        };
        for other in &info.pods {
            let mut weighted = |terms: &[WeightedPodAffinityTerm], sign: i64, owner: &Pod, meant: &Pod| {
                for term in terms {
                    if term_matches(reference, &term.pod_affinity_term, owner, meant) {
                        add(&term.pod_affinity_term.topology_key, sign * i64::from(term.weight));
                    }
                }
            };
            weighted(&preferred(pod), 1, pod, other);
            weighted(&preferred_anti(pod), -1, pod, other);
            weighted(&preferred(other), 1, other, pod);
            weighted(&preferred_anti(other), -1, other, pod);
            let hard = reference.args.hard_pod_affinity_weight;
            for term in required(other).iter().filter(|_| hard > 0) {
                if term_matches(reference, term, other, pod) {
                    add(&term.topology_key, hard);
                }
            }
        }
    }
    (!pairs.is_empty()).then_some(pairs)
}

pub fn score(pairs: &Pairs, info: &NodeInfo) -> i64 {
    info.labels().into_iter().map(|pair| pairs.get(&pair).copied().unwrap_or(0)).sum()
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "the rule rounds so")]
pub fn normalize(raw: &[i64]) -> Vec<i64> {
    let (min, max) = (*raw.iter().min().unwrap(), *raw.iter().max().unwrap());
    let share = |score: &i64| if max > min { 100.0 * ((score - min) as f64 / (max - min) as f64) } else { 0.0 };
    raw.iter().map(|score| share(score) as i64).collect()
}
