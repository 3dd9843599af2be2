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

#[tokio::test(start_paused = true)]
async fn the_gang_policy_of_the_workload_api_binds_all_or_none() {
    let world = World::default();
    world.set("nodes", node("n1", "2"));
    let add = |number: usize| {
        let mut pod = pod(&format!("w{number:03}"), "1");
        pod["spec"]["schedulingGroup"] = json!({"podGroupName": "w"});
        world.set("pods", pod);
    };
    add(0);
    let script = async {
        seconds(5).await;
        world.set("podgroups", json!({"apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "PodGroup",
            "metadata": {"name": "w", "namespace": "default"}, "spec": {"schedulingPolicy": {"gang": {"minCount": 3}}}}));
        (1..3).for_each(add);
        seconds(100).await;
        assert_eq!(bound(&world, "w"), 0, "there is room for two");
        world.set("nodes", node("n2", "1"));
        seconds(30).await;
        assert_eq!(bound(&world, "w"), 3);
    };
    beside(&world, options("GangScheduling"), script).await;
}
