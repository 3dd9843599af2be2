//! Gangs in the whole loop, in virtual time.

use super::*;
use crate::Configuration;
use serde_json::Value;

fn options(plugin: &str) -> Options {
    let sort = match plugin {
        "Coscheduling" => "    queueSort: {enabled: [{name: Coscheduling}], disabled: [{name: '*'}]}\n",
        _ => "",
    };
    let text = format!(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n- plugins:\n    \
         multiPoint: {{enabled: [{{name: {plugin}}}]}}\n{sort}"
    );
    Options { configuration: Configuration::from_yaml(&text).unwrap(), ..Options::default() }
}

fn group(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "PodGroup", "spec": spec,
           "metadata": {"name": name, "namespace": "default", "creationTimestamp": "2026-05-01T09:00:00Z"}})
}

/// Adds pods of one cpu to a group.
fn members(world: &World, group: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let mut pod = pod(&format!("{group}{number:03}"), "1");
        pod["metadata"]["labels"]["scheduling.x-k8s.io/pod-group"] = json!(group);
        world.set("pods", pod);
    }
}

fn bound(world: &World, group: &str) -> usize {
    (0..200).filter(|number| world.node_of(&format!("{group}{number:03}")).is_some()).count()
}

#[tokio::test(start_paused = true)]
async fn a_gang_is_bound_when_its_last_member_has_come() {
    let world = World::default();
    world.set("nodes", node("n1", "200"));
    world.set("nodes", node("n2", "200"));
    world.set("podgroups", group("a", json!({"minMember": 150})));
    members(&world, "a", 0..149);
    let script = async {
        seconds(40).await;
        assert_eq!(bound(&world, "a"), 0);
        members(&world, "a", 149..150);
        seconds(20).await;
        // More than there may be bindings under way at a time: waiting ones do not count.
        assert_eq!(bound(&world, "a"), 150);
    };
    beside(&world, options("Coscheduling"), script).await;
}

#[tokio::test(start_paused = true)]
async fn a_gang_that_does_not_fit_holds_nothing_and_is_tried_with_pauses() {
    let world = World::default();
    world.set("nodes", node("n1", "3"));
    world.set("podgroups", group("a", json!({"minMember": 4})));
    members(&world, "a", 0..4);
    let script = async {
        seconds(30).await;
        assert_eq!(bound(&world, "a"), 0);
        world.set("pods", pod("single", "3"));
        seconds(30).await;
        assert!(world.node_of("single").is_some(), "{:?}", world.writes());
        world.delete("pods", "single");
        world.set("nodes", node("n2", "1"));
        seconds(60).await;
        assert_eq!(bound(&world, "a"), 4);
    };
    beside(&world, options("Coscheduling"), script).await;
    let attempts = world.writes().iter().filter(|write| write.starts_with("FailedScheduling")).count();
    assert!(attempts < 200, "{attempts} attempts in two minutes");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_others_waits_as_long_as_the_group_says() {
    let world = World::default();
    world.set("nodes", node("n1", "4"));
    world.set("podgroups", group("a", json!({"minMember": 3, "scheduleTimeoutSeconds": 20})));
    members(&world, "a", 0..2);
    // The third is there, but not to be scheduled by us: nobody notices in time.
    let mut other = pod("a002", "1");
    other["metadata"]["labels"]["scheduling.x-k8s.io/pod-group"] = json!("a");
    other["spec"]["schedulerName"] = json!("another");
    world.set("pods", other);
    let script = async {
        seconds(19).await;
        let nominated = |name: &str| format!(r#"status {name} {{"nominatedNodeName":"n1"}}"#);
        assert_eq!(world.writes(), ["a000", "a001"].map(nominated), "they wait");
        seconds(2).await;
        let timeout = "rejected due to timeout after waiting 20s at plugin Coscheduling";
        assert!(world.writes().iter().any(|write| write.contains(timeout)), "{:?}", world.writes());
        assert!(world.writes().iter().any(|write| write.contains("rejection in Unreserve") || write.contains(timeout)));
    };
    beside(&world, options("Coscheduling"), script).await;
    assert_eq!(bound(&world, "a"), 0);
}

#[tokio::test(start_paused = true)]
async fn two_gangs_with_room_for_one_do_not_hold_each_other_up() {
    let world = World::default();
    world.set("nodes", node("n1", "4"));
    for name in ["a", "b"] {
        world.set("podgroups", group(name, json!({"minMember": 3})));
    }
    for number in 0..3 {
        for name in ["a", "b"] {
            members(&world, name, number..number + 1);
        }
    }
    let script = async {
        seconds(60).await;
        let (first, second) = if bound(&world, "a") > 0 { ("a", "b") } else { ("b", "a") };
        assert_eq!((bound(&world, first), bound(&world, second)), (3, 0));
        for number in 0..3 {
            world.delete("pods", &format!("{first}{number:03}"));
        }
        seconds(60).await;
        assert_eq!(bound(&world, second), 3);
    };
    beside(&world, options("Coscheduling"), script).await;
}

/// A group of the Workload API.
fn pod_group(name: &str, policy: Value) -> Value {
    json!({"apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "PodGroup", "spec": {"schedulingPolicy": policy},
        "metadata": {"name": name, "namespace": "default", "uid": name, "generation": 1}})
}

/// Adds pods of one cpu to a group of the Workload API.
fn scheduled_with(world: &World, group: &str, numbers: std::ops::Range<usize>, spec: &Value) {
    for number in numbers {
        let mut pod = pod(&format!("{group}{number:03}"), "1");
        world::merge(&mut pod, json!({ "spec": spec }));
        pod["spec"]["schedulingGroup"] = json!({ "podGroupName": group });
        world.set("pods", pod);
    }
}

/// Status, reason and message of the group's condition.
fn condition(world: &World, group: &str) -> [String; 3] {
    let condition = world.get("podgroups", group)["status"]["conditions"][0].clone();
    ["status", "reason", "message"].map(|field| condition[field].as_str().unwrap_or("none").to_owned())
}

const SCHEDULED: [&str; 3] = ["True", "Scheduled", ""];
const UNSCHEDULABLE: [&str; 3] = ["False", "Unschedulable", "pod group is unschedulable"];

#[tokio::test(start_paused = true)]
async fn the_gang_policy_of_the_workload_api_binds_all_or_none() {
    let world = World::default();
    world.set("nodes", node("n1", "2"));
    let add = |numbers| scheduled_with(&world, "w", numbers, &json!({}));
    add(0..1);
    let script = async {
        seconds(5).await;
        world.set("podgroups", pod_group("w", json!({"gang": {"minCount": 3}})));
        add(1..3);
        seconds(100).await;
        assert_eq!(bound(&world, "w"), 0, "there is room for two");
        assert_eq!(condition(&world, "w"), UNSCHEDULABLE);
        world.set("pods", pod("single", "2"));
        seconds(10).await;
        assert!(world.node_of("single").is_some(), "those that can not run hold nothing: {:?}", world.writes());
        world.set("nodes", node("n2", "3"));
        seconds(30).await;
        assert_eq!(bound(&world, "w"), 3);
        assert_eq!(condition(&world, "w"), SCHEDULED);
        // More come, for whom there is no room: what was said stays.
        add(3..4);
        seconds(30).await;
        assert_eq!((bound(&world, "w"), condition(&world, "w")), (3, SCHEDULED.map(str::to_owned)));
    };
    beside(&world, options("GangScheduling"), script).await;
    let written = world.writes().iter().filter(|write| *write == "patch podgroups w").count();
    assert_eq!(written, 2, "each once");
}

#[tokio::test(start_paused = true)]
async fn pod_group_scheduling() {
    // The policy, how many pods there are, how many of those get a node where there is room for three, and what is said.
    let gang = |count: usize| json!({"gang": {"minCount": count}});
    for (policy, pods, expected, said) in [
        (gang(2), 1, 0, ["none"; 3]),
        (gang(2), 2, 2, SCHEDULED),
        (gang(2), 5, 3, SCHEDULED),
        (gang(3), 3, 3, SCHEDULED),
        (gang(4), 4, 0, UNSCHEDULABLE),
        (gang(4), 6, 0, UNSCHEDULABLE),
        (json!({"basic": {}}), 2, 2, SCHEDULED),
        (json!({"basic": {}}), 5, 3, SCHEDULED),
    ] {
        let world = World::default();
        world.set("nodes", node("n1", "3"));
        world.set("podgroups", pod_group("w", policy.clone()));
        scheduled_with(&world, "w", 0..pods, &json!({}));
        beside(&world, options("GangScheduling"), seconds(60)).await;
        assert_eq!(bound(&world, "w"), expected, "{policy} {pods}: {:?}", world.writes());
        assert_eq!(condition(&world, "w"), said, "{policy} {pods}: {:?}", world.writes());
    }
    // Two compete for room that suffices for one of them, and come turn by turn.
    let world = World::default();
    world.set("nodes", node("n1", "4"));
    for name in ["a", "b"] {
        world.set("podgroups", pod_group(name, gang(3)));
    }
    for number in 0..3 {
        ["a", "b"].iter().for_each(|name| scheduled_with(&world, name, number..number + 1, &json!({})));
    }
    let script = async {
        seconds(60).await;
        let (first, second) = if bound(&world, "a") > 0 { ("a", "b") } else { ("b", "a") };
        assert_eq!((bound(&world, first), bound(&world, second)), (3, 0), "{:?}", world.writes());
        (0..3).for_each(|number| world.delete("pods", &format!("{first}{number:03}")));
        seconds(60).await;
        assert_eq!(bound(&world, second), 3);
    };
    beside(&world, options("GangScheduling"), script).await;
    // An important one pushes others out.
    let world = World::default();
    world.set("nodes", node("n1", "2"));
    for name in ["x", "y"] {
        let mut low = pod(name, "1");
        world::merge(&mut low, json!({"spec": {"nodeName": "n1", "priority": 1}}));
        world.set("pods", low);
    }
    world.set("podgroups", pod_group("w", gang(2)));
    scheduled_with(&world, "w", 0..2, &json!({"priority": 10}));
    beside(&world, options("GangScheduling"), seconds(60)).await;
    assert_eq!(bound(&world, "w"), 2, "{:?}", world.writes());
    assert_eq!(condition(&world, "w"), SCHEDULED);
}
