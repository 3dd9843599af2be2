//! Who has to go for whom, and what is held meanwhile: upstream's `test/integration/scheduler/preemption` and
//! `nominated_node_name`.

use super::*;
use crate::configuration::PluginReference;

pub(super) fn ranked(name: &str, priority: i64, cpu: &str, change: Value) -> Value {
    changed(changed(pod(name, cpu), json!({"spec": {"priority": priority}})), change)
}

pub(super) fn placed(node: &str, name: &str, priority: i64, cpu: &str) -> Value {
    ranked(name, priority, cpu, json!({"spec": {"nodeName": node}}))
}

fn nominated(node: &str) -> Value {
    json!({"status": {"nominatedNodeName": node}})
}

pub(super) fn world(nodes: &[(&str, &str)], objects: impl IntoIterator<Item = (&'static str, Value)>) -> World {
    let world = World::default();
    nodes.iter().for_each(|(name, cpu)| world.set("nodes", node(name, cpu)));
    objects.into_iter().for_each(|(collection, object)| world.set(collection, object));
    world
}

pub(super) fn gone(world: &World) -> Vec<String> {
    let mut gone: Vec<_> = world
        .writes()
        .iter()
        .filter_map(|write| Some(write.strip_prefix("delete ")?.split(' ').next()?.to_owned()))
        .collect();
    gone.sort();
    gone
}

#[tokio::test(start_paused = true)]
async fn preemption() {
    let away = json!({"spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "low"}}, "topologyKey": "kubernetes.io/hostname"}]}}}});
    let never = json!({"spec": {"preemptionPolicy": "Never"}});
    let picky = json!({"spec": {"nodeSelector": {"kubernetes.io/hostname": "n2"}}});
    let cases = [
        ("room", ranked("p", 9, "2", json!({})), true),
        ("anti-affinity", ranked("p", 9, "0", away), true),
        ("it would be useless", ranked("p", 9, "3", json!({})), false),
        ("it would be useless there", ranked("p", 9, "2", picky), false),
        ("equals", ranked("p", 1, "2", json!({})), false),
        ("policy Never", ranked("p", 9, "2", never), false),
    ];
    for (name, pod, helps) in cases {
        let world = world(&[("n1", "2")], [("pods", placed("n1", "low", 1, "1")), ("pods", pod)]);
        beside(&world, Options::default(), seconds(5)).await;
        assert_eq!(gone(&world) == ["low"], helps, "{name} {:?}", world.writes());
        assert_eq!(world.node_of("p").is_some(), helps, "{name} {:?}", world.writes());
    }
    let world =
        world(&[("n1", "2")], [("pods", placed("n1", "low", 1, "1")), ("pods", ranked("p", 9, "2", json!({})))]);
    let mut options = Options::default();
    let disabled = PluginReference { name: "DefaultPreemption".to_owned(), weight: 0 };
    options.configuration.profiles[0].multi_point.disabled.push(disabled);
    beside(&world, options, seconds(5)).await;
    assert_eq!(gone(&world), [""; 0], "the plugin is off");
}

fn budget(name: &str, labels: Value, allowed: i64) -> (&'static str, Value) {
    let budget = json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"selector": {"matchLabels": labels}},
        "status": {"disruptionsAllowed": allowed}});
    ("poddisruptionbudgets", budget)
}

#[tokio::test(start_paused = true)]
async fn pdb_in_preemption() {
    let of = |node: &str, name: &str, priority: i64, cpu: &str, group: &str| {
        let labels = json!({"metadata": {"labels": {"group": group}}});
        ("pods", changed(placed(node, name, priority, cpu), labels))
    };
    let high = || ("pods", ranked("p", 9, "2", json!({})));
    let budgets = |allowed: i64| budget("b", json!({"group": "guarded"}), allowed);
    let one = [budgets(0), of("n1", "low", 1, "2", "guarded"), of("n1", "mid", 5, "2", "free"), high()];
    let two = [budgets(0), of("n1", "low", 1, "4", "guarded"), of("n2", "mid", 5, "4", "free"), high()];
    let fewer = [
        budgets(0),
        budget("c", json!({"group": "half"}), 1),
        of("n1", "a", 1, "2", "guarded"),
        of("n1", "b", 1, "2", "guarded"),
        of("n2", "c", 5, "2", "half"),
        of("n2", "d", 5, "2", "half"),
        ("pods", ranked("p", 9, "4", json!({}))),
    ];
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Vec<(&'static str, Value)>, &'a [&'a str]);
    let cases: [Case<'_>; 3] = [
        ("the one that may go, though it is more important", &[("n1", "4")], one.into(), &["mid"]),
        ("the node where nobody is guarded", &[("n1", "4"), ("n2", "4")], two.into(), &["mid"]),
        ("the node where fewer are", &[("n1", "4"), ("n2", "4")], fewer.into(), &["c", "d"]),
    ];
    for (name, nodes, objects, victims) in cases {
        let world = world(nodes, objects);
        beside(&world, Options::default(), seconds(10)).await;
        assert_eq!(gone(&world), victims, "{name} {:?}", world.writes());
        assert!(world.node_of("p").is_some(), "{name} {:?}", world.writes());
    }
}

#[tokio::test(start_paused = true)]
async fn read_write_once_pod_preemption() {
    let claim = |name: &str| {
        let claim = json!({"metadata": {"name": name, "namespace": "default", "uid": name,
                "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
            "spec": {"volumeName": name, "accessModes": ["ReadWriteOncePod"]}, "status": {"phase": "Bound"}});
        ("persistentvolumeclaims", claim)
    };
    let volume = |name: &str| {
        let volume = json!({"metadata": {"name": name}, "status": {"phase": "Bound"},
            "spec": {"csi": {"driver": "x.example.com", "volumeHandle": name}, "accessModes": ["ReadWriteOncePod"]}});
        ("persistentvolumes", volume)
    };
    let uses = |claims: &[&str]| {
        let volumes: Vec<_> =
            claims.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}})).collect();
        json!({"spec": {"volumes": volumes}})
    };
    let volumes = || [claim("x"), volume("x"), claim("y"), volume("y")];
    let user = |name: &str, claims: &[&str]| ("pods", changed(placed("n1", name, 1, "0"), uses(claims)));
    let cases = [
        ("one pod", vec![user("a", &["x"]), user("other", &[])], vec!["x"], vec!["a"]),
        ("two pods", vec![user("a", &["x"]), user("b", &["y"])], vec!["x", "y"], vec!["a", "b"]),
        ("one pod with two volumes", vec![user("a", &["x", "y"])], vec!["x", "y"], vec!["a"]),
    ];
    for (name, users, claims, victims) in cases {
        let world = world(&[("n1", "4")], volumes().into_iter().chain(users));
        world.set("pods", ranked("p", 9, "0", uses(&claims)));
        beside(&world, Options::default(), seconds(10)).await;
        assert_eq!(gone(&world), victims, "{name} {:?}", world.writes());
        assert!(world.node_of("p").is_some(), "{name} {:?}", world.writes());
    }
}

#[tokio::test(start_paused = true)]
async fn preemption_starvation_and_races() {
    // Many of low priority wait for the same room; and they come again when they are asked to go.
    let world = world(&[("n1", "2")], [("pods", placed("n1", "a0", 1, "1")), ("pods", placed("n1", "a1", 1, "1"))]);
    world.stay_when_asked_to_go();
    for number in 0..20 {
        world.set("pods", ranked(&format!("w{number}"), 1, "1", json!({})));
    }
    let script = async {
        seconds(2).await;
        world.set("pods", ranked("p", 9, "2", json!({})));
        seconds(5).await;
        assert_eq!(world.get("pods", "p")["status"]["nominatedNodeName"], json!("n1"), "{:?}", world.writes());
        for name in ["a0", "a1"] {
            world.delete("pods", name);
            world.set("pods", ranked(&format!("{name}-again"), 1, "1", json!({})));
            seconds(3).await;
        }
        seconds(10).await;
        assert_eq!(world.node_of("p").as_deref(), Some("n1"), "{:?}", world.writes());
        let others = (0..20).filter(|number| world.node_of(&format!("w{number}")).is_some()).count();
        assert_eq!(others, 0);
    };
    beside(&world, Options::default(), script).await;
    assert_eq!(gone(&world), ["a0", "a1"], "each is asked once");
}

#[tokio::test(start_paused = true)]
async fn nominated_node() {
    let noted = |world: &World, name: &str| world.get("pods", name)["status"]["nominatedNodeName"].clone();
    // The place that is being made for one goes to another that is more important.
    let low_on = |node: &str| ("pods", placed(node, "low", 1, "1"));
    let first = world(&[("n1", "1")], [low_on("n1"), ("pods", ranked("mid", 5, "1", json!({})))]);
    first.stay_when_asked_to_go();
    let script = async {
        seconds(2).await;
        assert_eq!(noted(&first, "mid"), json!("n1"));
        first.set("pods", ranked("high", 9, "1", json!({})));
        seconds(3).await;
        first.delete("pods", "low");
        seconds(15).await;
        assert_eq!(first.node_of("high").as_deref(), Some("n1"), "{:?}", first.writes());
        assert_eq!(first.node_of("mid"), None);
        assert!(noted(&first, "mid").is_null(), "{:?}", first.writes());
    };
    beside(&first, Options::default(), script).await;
    // The node goes, and with it the promise.
    let second = world(&[("n1", "1")], [low_on("n1"), ("pods", ranked("mid", 5, "1", json!({})))]);
    second.stay_when_asked_to_go();
    let script = async {
        seconds(2).await;
        assert_eq!(noted(&second, "mid"), json!("n1"));
        second.delete("nodes", "n1");
        second.delete("pods", "low");
        second.set("nodes", node("n2", "0"));
        seconds(20).await;
        assert_eq!(second.node_of("mid"), None);
        assert!(noted(&second, "mid").is_null(), "{:?}", second.writes());
    };
    beside(&second, Options::default(), script).await;
}

#[tokio::test(start_paused = true)]
async fn prefer_nominated_node() {
    for (name, room, expected) in [("it fits", "4", "n2"), ("it does not", "500m", "n1")] {
        let world = world(&[("n1", "8"), ("n2", room)], [("pods", ranked("p", 1, "1", nominated("n2")))]);
        beside(&world, Options::default(), seconds(2)).await;
        assert_eq!(world.node_of("p").as_deref(), Some(expected), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn preemption_and_nominated_node_name_scenarios() {
    let gated = |node: &str| changed(nominated(node), json!({"spec": {"schedulingGates": [{"name": "g"}]}}));
    let held = |priority: i64| ("pods", ranked("held", priority, "1", gated("n1")));
    // Somebody else said where a pod will be: the room is held against pods that are not more important.
    for (name, priority, placed) in [("lower", 1, false), ("equal", 5, false), ("higher", 9, true)] {
        let world = world(&[("n1", "1")], [held(5)]);
        let script = async {
            seconds(1).await;
            world.set("pods", ranked("p", priority, "1", json!({})));
            seconds(5).await;
        };
        beside(&world, Options::default(), script).await;
        assert_eq!(world.node_of("p").is_some(), placed, "{name} {:?}", world.writes());
    }
    // It is taken back, or comes later.
    let freed = world(&[("n1", "1")], [held(5)]);
    let script = async {
        freed.set("pods", ranked("p", 1, "1", json!({})));
        seconds(5).await;
        assert_eq!(freed.node_of("p"), None);
        freed.set("pods", ranked("held", 5, "1", json!({"spec": {"schedulingGates": [{"name": "g"}]}})));
        seconds(15).await;
        assert_eq!(freed.node_of("p").as_deref(), Some("n1"), "{:?}", freed.writes());
    };
    beside(&freed, Options::default(), script).await;
    // A node that is not there, or does not fit, is no reason to wait.
    for node in ["nowhere", "small"] {
        let world = world(&[("n1", "4"), ("small", "0")], [("pods", ranked("p", 1, "1", nominated(node)))]);
        beside(&world, Options::default(), seconds(2)).await;
        assert_eq!(world.node_of("p").as_deref(), Some("n1"), "{node}");
    }
    // Preemption overrides what was said.
    let objects = [
        ("pods", placed("n1", "low", 1, "1")),
        ("pods", placed("small", "high", 10, "1")),
        ("pods", ranked("p", 9, "1", nominated("small"))),
    ];
    let overridden = world(&[("n1", "1"), ("small", "1")], objects);
    overridden.stay_when_asked_to_go();
    beside(&overridden, Options::default(), seconds(2)).await;
    assert_eq!(overridden.get("pods", "p")["status"]["nominatedNodeName"], json!("n1"), "{:?}", overridden.writes());
}

#[tokio::test(start_paused = true)]
async fn async_preemption() {
    // While others are being asked to go, the pod is not tried; less important ones can't take the place, and a more
    // important one can.
    for (name, priority, taken) in [("lower", 2, false), ("higher", 20, true)] {
        let world = world(&[("n1", "1")], [("pods", placed("n1", "low", 1, "1"))]);
        world.set_latency(Duration::from_secs(1));
        world.set("pods", ranked("p", 9, "1", json!({})));
        let script = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            world.set("pods", ranked("q", priority, "1", json!({})));
            seconds(15).await;
        };
        beside(&world, Options::default(), script).await;
        assert!(gone(&world).iter().all(|victim| victim == "low"), "{name} {:?}", world.writes());
        assert_eq!(
            (world.node_of("q").is_some(), world.node_of("p").is_some()),
            (taken, !taken),
            "{name} {:?}",
            world.writes()
        );
    }
    // There is room for both.
    let roomy = world(&[("n1", "2")], [("pods", placed("n1", "low", 1, "2"))]);
    roomy.set_latency(Duration::from_secs(1));
    ["p", "q"].into_iter().for_each(|name| roomy.set("pods", ranked(name, 9, "1", json!({}))));
    beside(&roomy, Options::default(), seconds(30)).await;
    assert!(["p", "q"].iter().all(|name| roomy.node_of(name).is_some()), "{:?}", roomy.writes());
    assert!(gone(&roomy).iter().all(|victim| victim == "low"), "{:?}", roomy.writes());
}
