//! Which pods a ReplicaSet gives up first. Source: `ActivePodsWithRanks` in `k8s.io/kubernetes/pkg/controller`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::objects::Pod;

/// What the order goes by besides the pods.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The moment at which ages are measured.
    pub now: Timestamp,
    /// Whether deletion costs count.
    pub deletion_cost: bool,
}

/// A pod with the number of its active siblings on the same node.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Active related pods on its node, itself included.
    pub rank: usize,
}

/// Ranks each of `pods` by how many active ones of `related` are on its node.
pub fn rank(pods: &[Arc<Pod>], related: &[Arc<Pod>]) -> Vec<Ranked> {
    let mut on_node: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in related.iter().filter(|pod| pod.is_active()) {
        *on_node.entry(&pod.node_name).or_default() += 1;
    }
    let ranked = pods.iter().map(|pod| Ranked {
        pod: Arc::clone(pod),
        rank: on_node.get(pod.node_name.as_str()).copied().unwrap_or_default(),
    });
    ranked.collect()
}

/// The first `count` pods to delete. Where upstream leaves the order open the smaller uid goes first.
pub fn choose(pods: &[Arc<Pod>], related: &[Arc<Pod>], count: usize, rules: Rules) -> Vec<Arc<Pod>> {
    if count >= pods.len() {
        return pods.to_vec();
    }
    let mut ranked = rank(pods, related);
    ranked.sort_unstable_by(|a, b| a.pod.metadata.uid.cmp(&b.pod.metadata.uid));
    let ordered = merge_sort(ranked, rules);
    ordered.into_iter().take(count).map(|ranked| ranked.pod).collect()
}

/// The ages of the ready ones of `chosen` as multiples of that of the youngest ready one of all `pods`; nothing if all were
/// chosen, since then nobody had to choose. Source: `reportSortingDeletionAgeRatioMetric`.
pub fn age_ratios(pods: &[Arc<Pod>], chosen: &[Arc<Pod>], now: Timestamp) -> Vec<f64> {
    if chosen.len() >= pods.len() {
        return Vec::new();
    }
    let age = |pod: &Arc<Pod>| Some(now.duration_since(pod.metadata.creation_timestamp?).as_millis());
    let ready = |pods: &[Arc<Pod>]| pods.iter().filter(|pod| pod.ready).filter_map(age).collect::<Vec<_>>();
    // Whole multiples, as upstream observes them.
    let youngest = ready(pods).into_iter().min().filter(|age| *age > 0);
    let ratio = |age: i128| youngest.map(|youngest| age / youngest);
    ready(chosen).into_iter().filter_map(ratio).filter_map(|ratio| i32::try_from(ratio).ok()).map(f64::from).collect()
}

/// The comparison is not transitive (see [`compare`]), which the standard library's sorts may answer with a panic; this
/// one always ends, and with the same order for the same input.
fn merge_sort(mut pods: Vec<Ranked>, rules: Rules) -> Vec<Ranked> {
    if pods.len() < 2 {
        return pods;
    }
    let right = pods.split_off(pods.len() / 2);
    let mut left = merge_sort(pods, rules).into_iter().peekable();
    let mut right = merge_sort(right, rules).into_iter().peekable();
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let from = if compare(b, a, rules) == Ordering::Less { &mut right } else { &mut left };
        merged.extend(from.next());
    }
    merged.extend(left);
    merged.extend(right);
    merged
}

/// Whether `a` is deleted before `b`. Not transitive: ages are compared in coarse steps and, within one, by uid.
pub fn compare(a: &Ranked, b: &Ranked, rules: Rules) -> Ordering {
    let now = rules.now;
    let cost = |pod: &Pod| if rules.deletion_cost { pod.deletion_cost } else { 0 };
    let (p, q) = (&*a.pod, &*b.pod);
    let assigned = |pod: &Pod| !pod.node_name.is_empty();
    // Finished pods are never candidates; like unknown phases they count as pending.
    let phase = |pod: &Pod| if pod.phase.is_terminal() { Default::default() } else { pod.phase };
    let order = assigned(p)
        .cmp(&assigned(q))
        .then_with(|| phase(p).cmp(&phase(q)))
        .then_with(|| p.ready.cmp(&q.ready))
        .then_with(|| cost(p).cmp(&cost(q)))
        .then_with(|| b.rank.cmp(&a.rank));
    if order != Ordering::Equal {
        return order;
    }
    if p.ready && q.ready && p.ready_since != q.ready_since {
        return younger_first(p.ready_since, q.ready_since, now).then_with(|| p.metadata.uid.cmp(&q.metadata.uid));
    }
    let restarts = q.restarts.cmp(&p.restarts).then_with(|| q.sidecar_restarts.cmp(&p.sidecar_restarts));
    if restarts != Ordering::Equal {
        return restarts;
    }
    let (created, other) = (p.metadata.creation_timestamp, q.metadata.creation_timestamp);
    if created == other {
        return Ordering::Equal;
    }
    younger_first(created, other, now).then_with(|| p.metadata.uid.cmp(&q.metadata.uid))
}

/// No time counts as the youngest; else ages are compared by their binary logarithm.
fn younger_first(a: Option<Timestamp>, b: Option<Timestamp>, now: Timestamp) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => bucket(a, now).cmp(&bucket(b, now)),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

/// The binary logarithm of the age in nanoseconds; -1 for the present and the future.
fn bucket(time: Timestamp, now: Timestamp) -> i64 {
    let age = now.as_nanosecond() - time.as_nanosecond();
    if age > 0 { i64::from(age.ilog2()) } else { -1 }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use steersman_framework::meta::Meta;

    use super::*;
    use crate::objects::Phase;

    const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);

    fn ago(hours: i64) -> Option<Timestamp> {
        Some(NOW - SignedDuration::from_hours(hours))
    }

    fn ready(since: Option<Timestamp>) -> Pod {
        Pod { node_name: "node".to_owned(), phase: Phase::Running, ready: true, ready_since: since, ..Pod::default() }
    }

    fn in_phase(phase: Phase) -> Pod {
        Pod { phase, ready: false, ..ready(None) }
    }

    fn created(pod: Pod, creation_timestamp: Option<Timestamp>) -> Pod {
        let metadata = Meta { creation_timestamp, ..Meta::default() };
        Pod { metadata, ..pod }
    }

    const RULES: Rules = Rules { now: NOW, deletion_cost: true };

    fn check(a: (Pod, usize), b: (Pod, usize), expect: Ordering) {
        let ranked = |(pod, rank)| Ranked { pod: Arc::new(pod), rank };
        let (a, b) = (ranked(a), ranked(b));
        assert_eq!(compare(&a, &b, RULES), expect, "{a:?} {b:?}");
        assert_eq!(compare(&b, &a, RULES), expect.reverse(), "{b:?} {a:?}");
    }

    fn unscheduled() -> Pod {
        Pod { node_name: String::new(), ..in_phase(Phase::Pending) }
    }

    fn restarted(restarts: i32, sidecar_restarts: i32) -> Pod {
        Pod { restarts, sidecar_restarts, ..ready(Some(NOW)) }
    }

    fn costing(deletion_cost: i32) -> Pod {
        Pod { deletion_cost, ..ready(Some(NOW)) }
    }

    #[test]
    fn the_first_difference_decides() {
        let month = 24 * 30;
        for (a, b) in [
            ((unscheduled(), 1), (in_phase(Phase::Pending), 2)),
            ((unscheduled(), 2), (in_phase(Phase::Pending), 1)),
            ((in_phase(Phase::Pending), 1), (in_phase(Phase::Unknown), 2)),
            ((in_phase(Phase::Unknown), 1), (in_phase(Phase::Running), 2)),
            ((in_phase(Phase::Running), 1), (ready(None), 1)),
            ((ready(None), 1), (ready(Some(NOW)), 1)),
            ((ready(Some(NOW)), 2), (ready(None), 1)),
            ((ready(Some(NOW)), 1), (ready(ago(month)), 1)),
            ((restarted(9001, 0), 1), (ready(Some(NOW)), 1)),
            ((restarted(9001, 9001), 1), (restarted(9001, 0), 1)),
            ((ready(Some(NOW)), 2), (restarted(9001, 0), 1)),
            ((created(ready(Some(NOW)), Some(NOW)), 1), (created(ready(Some(NOW)), ago(month)), 1)),
            ((created(ready(Some(NOW)), ago(month)), 2), (ready(Some(NOW)), 1)),
            ((costing(10), 2), (costing(100), 1)),
            ((ready(ago(2)), 1), (ready(ago(5)), 1)),
        ] {
            check(a, b, Ordering::Less);
        }
    }

    #[test]
    fn costs_count_unless_they_are_switched_off() {
        let ranked = |cost, rank| Ranked { pod: Arc::new(costing(cost)), rank };
        let off = Rules { deletion_cost: false, ..RULES };
        assert_eq!(compare(&ranked(100, 2), &ranked(10, 1), RULES), Ordering::Greater);
        assert_eq!(compare(&ranked(100, 2), &ranked(10, 1), off), Ordering::Less);
    }

    #[test]
    fn ages_of_one_magnitude_are_equal() {
        check((ready(ago(5)), 1), (ready(ago(8)), 1), Ordering::Equal);
        check((created(unscheduled(), ago(5)), 1), (created(unscheduled(), ago(8)), 1), Ordering::Equal);
        check((restarted(1, 2), 3), (restarted(1, 2), 3), Ordering::Equal);
    }

    #[test]
    fn buckets() {
        for (hours, expect) in [(2, 42), (5, 44), (8, 44), (24 * 30, 51), (0, -1), (-1, -1)] {
            assert_eq!(bucket(ago(hours).unwrap(), NOW), expect, "{hours} h");
        }
    }

    #[test]
    fn an_intransitive_order_still_sorts() {
        let pods: Vec<Arc<Pod>> = (0..200_i64)
            .map(|n| {
                let mut pod = restarted(i32::try_from(n % 3).unwrap(), 0);
                pod.ready_since = Some(NOW - SignedDuration::from_secs(5 * 3600 + n % 7));
                pod.metadata.uid = format!("{:03}", (n * 37) % 200);
                Arc::new(pod)
            })
            .collect();
        let chosen = choose(&pods, &[], 150, RULES);
        assert_eq!(chosen.len(), 150);
        let mut reversed = pods.clone();
        reversed.reverse();
        assert_eq!(chosen, choose(&reversed, &[], 150, RULES), "the order of the input does not matter");
    }

    #[test]
    fn siblings_on_a_node_are_thinned_out_first() {
        let on = |node: &str, uid: &str| {
            let mut pod = ready(Some(NOW));
            pod.node_name = node.to_owned();
            pod.metadata.uid = uid.to_owned();
            Arc::new(pod)
        };
        let ours = vec![on("a", "1"), on("b", "2")];
        let related = vec![Arc::clone(&ours[0]), Arc::clone(&ours[1]), on("b", "3")];
        assert_eq!(choose(&ours, &related, 1, RULES)[0].node_name, "b");
        assert_eq!(choose(&ours, &[], 1, RULES)[0].node_name, "a");
    }
}
