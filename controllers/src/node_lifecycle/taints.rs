//! Which taints a node is to have.

use jiff::Timestamp;

use super::objects::{Node, Taint};

/// The node says that it is not ready.
pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// The node says nothing.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const NO_SCHEDULE: &str = "NoSchedule";
/// The effect that drives pods away.
pub const NO_EXECUTE: &str = "NoExecute";
/// Condition, status, and the taint that follows.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

fn taint(key: &str, effect: &str, now: Timestamp) -> Taint {
    Taint { key: key.to_owned(), effect: effect.to_owned(), time_added: Some(now), ..Taint::default() }
}

/// The taints of a node whose `NoSchedule` taints follow its conditions; `None` if they do already.
pub fn plan_no_schedule(node: &Node, now: Timestamp) -> Option<Vec<Taint>> {
    let holds = |(kind, status, _): &&(&str, &str, &str)| node.condition(kind).is_some_and(|it| it.status == *status);
    let closed = node.spec.unschedulable.then_some(UNSCHEDULABLE);
    let wanted: Vec<&str> = BY_CONDITION.iter().filter(holds).map(|(_, _, key)| *key).chain(closed).collect();
    let ours = |taint: &Taint| {
        taint.effect == NO_SCHEDULE
            && (taint.key == UNSCHEDULABLE || BY_CONDITION.iter().any(|(_, _, key)| *key == taint.key))
    };
    replace(node, ours, NO_SCHEDULE, &wanted, now)
}

/// The taints of a node that has this one `NoExecute` taint of the two about its health, or none; `None` if that is so
/// already.
pub fn plan_no_execute(node: &Node, wanted: Option<&str>, now: Timestamp) -> Option<Vec<Taint>> {
    let ours = |taint: &Taint| taint.is(NOT_READY, NO_EXECUTE) || taint.is(UNREACHABLE, NO_EXECUTE);
    let wanted: Vec<&str> = wanted.into_iter().collect();
    replace(node, ours, NO_EXECUTE, &wanted, now)
}

fn replace(
    node: &Node,
    ours: impl Fn(&Taint) -> bool,
    effect: &str,
    wanted: &[&str],
    now: Timestamp,
) -> Option<Vec<Taint>> {
    let present = &node.spec.taints;
    let stays = |taint: &&Taint| !ours(taint) || wanted.contains(&taint.key.as_str());
    let missing = wanted.iter().filter(|key| !present.iter().any(|taint| taint.is(key, effect)));
    let mut taints: Vec<Taint> = present.iter().filter(stays).cloned().collect();
    taints.extend(missing.map(|key| taint(key, effect, now)));
    (taints != *present).then_some(taints)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::NOW;

    fn node(taints: &[(&str, &str)], conditions: &[(&str, &str)], unschedulable: bool) -> Node {
        let taints: Vec<_> = taints.iter().map(|(key, effect)| json!({"key": key, "effect": effect})).collect();
        let conditions: Vec<_> =
            conditions.iter().map(|(kind, status)| json!({"type": kind, "status": status})).collect();
        let spec = json!({"taints": taints, "unschedulable": unschedulable});
        serde_json::from_value(json!({"spec": spec, "status": {"conditions": conditions}})).unwrap()
    }

    fn show(taints: Option<Vec<Taint>>) -> Option<Vec<String>> {
        let short = |key: &str| key.trim_start_matches("node.kubernetes.io/").to_owned();
        taints.map(|taints| taints.iter().map(|taint| format!("{}:{}", short(&taint.key), taint.effect)).collect())
    }

    #[test]
    fn taints_follow_conditions() {
        let check = |node: Node, expect: Option<&[&str]>| {
            let expect = expect.map(|expect| expect.iter().map(|taint| (*taint).to_owned()).collect());
            assert_eq!(show(plan_no_schedule(&node, NOW)), expect);
        };
        check(node(&[(NOT_READY, "NoSchedule")], &[("Ready", "True")], false), Some(&[]));
        check(node(&[(NOT_READY, "NoSchedule")], &[], false), Some(&[]));
        check(node(&[], &[("Ready", "True")], false), None);
        check(
            node(&[("mine", "NoSchedule")], &[("Ready", "False")], false),
            Some(&["mine:NoSchedule", "not-ready:NoSchedule"]),
        );
        check(node(&[(NOT_READY, "NoSchedule")], &[("Ready", "Unknown")], false), Some(&["unreachable:NoSchedule"]));
        check(
            node(&[(NOT_READY, "NoExecute")], &[("Ready", "True"), ("DiskPressure", "True")], true),
            Some(&["not-ready:NoExecute", "disk-pressure:NoSchedule", "unschedulable:NoSchedule"]),
        );
    }

    #[test]
    fn one_taint_at_most_drives_pods_away() {
        let both = node(&[(NOT_READY, "NoExecute"), ("mine", "NoExecute")], &[], false);
        assert_eq!(show(plan_no_execute(&both, None, NOW)), Some(vec!["mine:NoExecute".to_owned()]));
        let swapped = Some(vec!["mine:NoExecute".to_owned(), "unreachable:NoExecute".to_owned()]);
        assert_eq!(show(plan_no_execute(&both, Some(UNREACHABLE), NOW)), swapped);
        assert_eq!(show(plan_no_execute(&both, Some(NOT_READY), NOW)), None);
    }
}
