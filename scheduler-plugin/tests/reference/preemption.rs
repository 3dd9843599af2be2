//! DefaultPreemption: who has to go, and where.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::selectors::{is_empty, matches};
use super::{Code, NodeInfo, Reference, State, Verdict, histogram, namespace, pod_labels, priority};

/// What is to be done for a pod that fits nowhere.
#[derive(Debug, PartialEq, Eq)]
pub enum Preemption {
    /// One of these nodes, each with those who would have to go.
    Nodes(Vec<(String, BTreeSet<String>)>),
    /// Nothing, because of this.
    Nothing(String),
}

struct Candidate {
    node: String,
    victims: Vec<Pod>,
    violations: usize,
}

fn started(pod: &Pod) -> Timestamp {
    let start = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    start.map_or(Timestamp::MAX, |start| start.0)
}

fn sort_by_importance(pods: &mut [Pod]) {
    pods.sort_by(|a, b| priority(b).cmp(&priority(a)).then(started(a).cmp(&started(b))));
}

fn is_ineligible(reference: &Reference<'_>, pod: &Pod, verdict: &Verdict) -> Option<&'static str> {
    if pod.spec.as_ref().unwrap().preemption_policy.as_deref() == Some("Never") {
        return Some("preemption: not eligible due to preemptionPolicy=Never.");
    }
    let nominated = pod.status.as_ref()?.nominated_node_name.as_deref()?;
    let absent = !verdict.refused.contains_key(nominated);
    if absent || verdict.refused.get(nominated).is_some_and(|refusal| refusal.code == Code::Unresolvable) {
        return None;
    }
    let info = reference.infos.iter().find(|info| info.name() == nominated)?;
    let leaving = |other: &Pod| {
        let conditions = other.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let preempted = conditions.into_iter().any(|condition| {
            condition.type_ == "DisruptionTarget"
                && condition.status == "True"
                && condition.reason.as_deref() == Some("PreemptionByScheduler")
        });
        priority(other) < priority(pod) && other.metadata.deletion_timestamp.is_some() && preempted
    };
    let waits = "preemption: not eligible due to a terminating pod on the nominated node.";
    info.pods.iter().any(leaving).then_some(waits)
}

/// What PostFilter does. DynamicResources comes first; for a pod without claims it does nothing and says so, unless it
/// could not even prepare: that it takes for an error, which ends PostFilter.
pub fn post_filter(reference: &Reference<'_>, pod: &Pod, verdict: &Verdict) -> Preemption {
    if verdict.aborted {
        return Preemption::Nothing("not found".to_owned());
    }
    let first = if verdict.state.devices.is_empty() { "no new claims to deallocate" } else { "still not schedulable" };
    match preempt(reference, pod, verdict) {
        Preemption::Nothing(why) => Preemption::Nothing(format!("{first}, {why}")),
        nodes @ Preemption::Nodes(_) => nodes,
    }
}

fn preempt(reference: &Reference<'_>, pod: &Pod, verdict: &Verdict) -> Preemption {
    if let Some(why) = is_ineligible(reference, pod, verdict) {
        return Preemption::Nothing(why.to_owned());
    }
    let total = reference.infos.len();
    let mut reasons = vec!["Preemption is not helpful for scheduling".to_owned(); total - verdict.helpful.len()];
    let mut candidates = Vec::new();
    for info in reference.infos.iter().filter(|info| verdict.helpful.iter().any(|name| name == info.name())) {
        match victims_on(reference, pod, &verdict.state, info) {
            Ok(candidate) => candidates.push(candidate),
            Err(why) => reasons.extend(why),
        }
    }
    let Some(least) = candidates.iter().map(harm).min() else {
        let parts = histogram(&reasons);
        return Preemption::Nothing(format!("preemption: 0/{total} nodes are available: {parts}."));
    };
    let names = |candidate: &Candidate| {
        let name = |victim: &Pod| format!("{}/{}", namespace(victim), victim.metadata.name.as_deref().unwrap());
        (candidate.node.clone(), candidate.victims.iter().map(name).collect())
    };
    Preemption::Nodes(candidates.iter().filter(|candidate| harm(candidate) == least).map(names).collect())
}

fn harm(candidate: &Candidate) -> (usize, i32, i64, usize, std::cmp::Reverse<Timestamp>) {
    let highest = candidate.victims.iter().map(priority).max().unwrap_or(i32::MIN);
    let sum = candidate.victims.iter().map(|victim| i64::from(priority(victim)) + (1 << 31)).sum();
    let most_important = candidate.victims.iter().filter(|victim| priority(victim) == highest);
    let earliest = most_important.map(started).min().unwrap_or(Timestamp::MAX);
    (candidate.violations, highest, sum, candidate.victims.len(), std::cmp::Reverse(earliest))
}

fn victims_on(reference: &Reference<'_>, pod: &Pod, state: &State, info: &NodeInfo) -> Result<Candidate, Vec<String>> {
    let (mut state, mut info) = (state.clone(), info.clone());
    let lower: Vec<Pod> = info.pods.iter().filter(|other| priority(other) < priority(pod)).cloned().collect();
    if lower.is_empty() {
        return Err(vec!["No preemption victims found for incoming pod".to_owned()]);
    }
    for other in &lower {
        reference.remove_pod(pod, other, &mut state, &mut info);
    }
    reference.filter_beside_nominated(pod, &state, &info).map_err(|refusal| refusal.reasons)?;
    // Whoever has not started starts now, whenever now is: so of two the later one comes first.
    let (unstarted, mut lower): (Vec<Pod>, Vec<Pod>) =
        lower.into_iter().partition(|other| started(other) == Timestamp::MAX);
    lower.extend(unstarted.into_iter().rev());
    sort_by_importance(&mut lower);
    let (violating, others) = split_by_budgets(&lower, &reference.world.budgets);
    let mut victims = Vec::new();
    let mut violations = 0;
    for (violates, other) in
        violating.into_iter().map(|other| (true, other)).chain(others.into_iter().map(|other| (false, other)))
    {
        reference.add_pod(pod, &other, &mut state, &mut info);
        if reference.filter_beside_nominated(pod, &state, &info).is_err() {
            reference.remove_pod(pod, &other, &mut state, &mut info);
            violations += usize::from(violates);
            victims.push(other);
        }
    }
    sort_by_importance(&mut victims);
    Ok(Candidate { node: info.name().to_owned(), victims, violations })
}

fn split_by_budgets(pods: &[Pod], budgets: &[PodDisruptionBudget]) -> (Vec<Pod>, Vec<Pod>) {
    let allowed = |budget: &PodDisruptionBudget| {
        budget.status.as_ref().and_then(|status| status.disruptions_allowed).unwrap_or(0)
    };
    let mut allowed: Vec<i32> = budgets.iter().map(allowed).collect();
    let (mut violating, mut others) = (Vec::new(), Vec::new());
    for pod in pods {
        let mut violates = false;
        for (budget, allowed) in budgets.iter().zip(&mut allowed) {
            let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            let disrupted = budget.status.as_ref().and_then(|status| status.disrupted_pods.as_ref());
            let labels = pod_labels(pod);
            if labels.is_empty()
                || budget.metadata.namespace.as_deref() != Some(namespace(pod))
                || selector.is_none_or(is_empty)
                || !matches(selector, &labels)
                || disrupted.is_some_and(|disrupted| disrupted.contains_key(pod.metadata.name.as_ref().unwrap()))
            {
                continue;
            }
            *allowed -= 1;
            violates |= *allowed < 0;
        }
        if violates { violating.push(pod.clone()) } else { others.push(pod.clone()) }
    }
    (violating, others)
}
