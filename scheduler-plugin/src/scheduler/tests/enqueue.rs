//! Which events bring a rejected pod back: after the table of upstream's `test/integration/scheduler/queueing`,
//! `CoreResourceEnqueue`, by the plugin that rejects.

use serde_json::Value;

use super::world::merge;
use super::*;

/// Something that happens after the pod was rejected.
type Trigger = fn(&World);

/// A cluster in which the pod `p` is rejected, and what happens then.
struct Row {
    name: &'static str,
    before: fn(&World),
    pod: fn() -> Value,
    trigger: Trigger,
    requeued: bool,
}

fn changed(mut object: Value, change: Value) -> Value {
    merge(&mut object, change);
    object
}

fn on(name: &str, cpu: &str, change: Value) -> Value {
    changed(changed(pod(name, cpu), json!({"spec": {"nodeName": "n1"}})), change)
}

fn tainted(cpu: &str) -> Value {
    changed(node("n1", cpu), json!({"spec": {"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]}}))
}

fn cordoned(name: &str) -> Value {
    changed(node(name, "4"), json!({"spec": {"unschedulable": true}}))
}

fn labelled(name: &str, value: &str) -> Value {
    changed(node(name, "4"), json!({"metadata": {"labels": {"zone": value}}}))
}

fn near(field: &str) -> Value {
    let term = json!({"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "zone"});
    let affinity = json!({field: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    changed(pod("p", "1"), json!({"spec": {"affinity": affinity}}))
}

fn port(name: &str) -> Value {
    let ports = json!([{"containerPort": 80, "hostPort": 80}]);
    changed(pod(name, "0"), json!({"spec": {"containers": [{"name": "c", "image": "i", "ports": ports}]}}))
}

fn spread() -> Value {
    let constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}});
    changed(
        pod("p", "1"),
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"topologySpreadConstraints": [constraint]}}),
    )
}

fn web(name: &str) -> Value {
    on(name, "1", json!({"metadata": {"labels": {"app": "web"}}}))
}

fn selects(value: &str) -> Value {
    changed(pod("p", "1"), json!({"spec": {"nodeSelector": {"zone": value}}}))
}

fn claiming() -> Value {
    let volume = json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}});
    changed(pod("p", "1"), json!({"spec": {"volumes": [volume]}}))
}

fn row(name: &'static str, before: fn(&World), pod: fn() -> Value, (trigger, requeued): (Trigger, bool)) -> Row {
    Row { name, before, pod, trigger, requeued }
}

fn taints() -> Vec<Row> {
    let one = || pod("p", "1");
    vec![
        row(
            "a tainted node gets more cpu",
            |w| w.set("nodes", tainted("4")),
            one,
            (|w| w.set("nodes", tainted("8")), false),
        ),
        row(
            "the pod tolerates",
            |w| w.set("nodes", tainted("4")),
            one,
            (
                |w| {
                    w.set(
                        "pods",
                        changed(pod("p", "1"), json!({"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}})),
                    )
                },
                true,
            ),
        ),
        row(
            "the taint is taken off",
            |w| w.set("nodes", tainted("4")),
            one,
            (|w| w.set("nodes", node("n1", "4")), true),
        ),
        row(
            "a label of the pod does not matter to taints",
            |w| w.set("nodes", tainted("4")),
            one,
            (|w| w.set("pods", changed(pod("p", "1"), json!({"metadata": {"labels": {"x": "y"}}}))), false),
        ),
        row(
            "a node is uncordoned",
            |w| w.set("nodes", cordoned("n1")),
            one,
            (|w| w.set("nodes", node("n1", "4")), true),
        ),
        row(
            "another cordoned node comes",
            |w| w.set("nodes", cordoned("n1")),
            one,
            (|w| w.set("nodes", cordoned("n2")), false),
        ),
        row("a node comes", |w| w.set("nodes", cordoned("n1")), one, (|w| w.set("nodes", node("n2", "4")), true)),
    ]
}

fn resources() -> Vec<Row> {
    let full: fn(&World) = |w| {
        w.set("nodes", node("n1", "2"));
        w.set("pods", on("other", "2", json!({})));
    };
    let one = || pod("p", "1");
    vec![
        row("a pod goes", full, one, (|w| w.delete("pods", "other"), true)),
        row("the node grows", full, one, (|w| w.set("nodes", node("n1", "4")), true)),
        row("a large node comes", full, one, (|w| w.set("nodes", node("n2", "4")), true)),
        row("a small node comes", full, || pod("p", "3"), (|w| w.set("nodes", node("n2", "1")), false)),
        row(
            "a label of the node does not matter to room",
            full,
            one,
            (|w| w.set("nodes", changed(node("n1", "2"), json!({"metadata": {"labels": {"x": "y"}}}))), false),
        ),
        row("the pod wants less", full, || pod("p", "3"), (|w| w.set("pods", pod("p", "1")), true)),
        row("a pod comes", full, one, (|w| w.set("pods", on("third", "0", json!({}))), false)),
    ]
}

fn ports_and_labels() -> Vec<Row> {
    let taken: fn(&World) = |w| {
        w.set("nodes", node("n1", "4"));
        w.set("pods", changed(port("other"), json!({"spec": {"nodeName": "n1"}})));
        w.set("pods", on("third", "0", json!({})));
    };
    let ported = || port("p");
    let labels: fn(&World) = |w| w.set("nodes", labelled("n1", "a"));
    let wants_b = || selects("b");
    vec![
        row("the port is free", taken, ported, (|w| w.delete("pods", "other"), true)),
        row("a pod without the port goes", taken, ported, (|w| w.delete("pods", "third"), false)),
        row("the node gets the label", labels, wants_b, (|w| w.set("nodes", labelled("n1", "b")), true)),
        row("the node gets another label", labels, wants_b, (|w| w.set("nodes", labelled("n1", "c")), false)),
        row("a node with the label comes", labels, wants_b, (|w| w.set("nodes", labelled("n2", "b")), true)),
        row("a node without the label comes", labels, wants_b, (|w| w.set("nodes", labelled("n2", "c")), false)),
    ]
}

fn other_pods() -> Vec<Row> {
    let lonely: fn(&World) = |w| {
        w.set("nodes", labelled("n1", "a"));
        w.set("pods", on("other", "1", json!({"metadata": {"labels": {"app": "db"}}})));
    };
    let crowded: fn(&World) = |w| {
        w.set("nodes", labelled("n1", "a"));
        w.set("pods", web("other"));
    };
    let uneven: fn(&World) = |w| {
        w.set("nodes", labelled("n1", "a"));
        w.set("nodes", changed(cordoned("n2"), json!({"metadata": {"labels": {"zone": "b"}}})));
        w.set("pods", web("other"));
    };
    let (likes, dislikes) = (|| near("podAffinity"), || near("podAntiAffinity"));
    vec![
        row("a pod becomes one that is liked", lonely, likes, (|w| w.set("pods", web("other")), true)),
        row("a pod that is liked comes", lonely, likes, (|w| w.set("pods", web("third")), true)),
        row("a pod that nobody likes comes", lonely, likes, (|w| w.set("pods", on("third", "1", json!({}))), false)),
        row("a pod that is disliked goes", crowded, dislikes, (|w| w.delete("pods", "other"), true)),
        row(
            "a pod becomes one that is not disliked",
            crowded,
            dislikes,
            (|w| w.set("pods", on("other", "1", json!({"metadata": {"labels": {"app": "db"}}}))), true),
        ),
        row("a pod that counts goes", uneven, spread, (|w| w.delete("pods", "other"), true)),
        row("a node in a domain comes", uneven, spread, (|w| w.set("nodes", labelled("n3", "b")), true)),
    ]
}

fn volumes() -> Vec<Row> {
    let bare: fn(&World) = |w| w.set("nodes", node("n1", "4"));
    let waiting: fn(&World) = |w| {
        w.set("nodes", node("n1", "4"));
        w.set(
            "persistentvolumeclaims",
            json!({"metadata": {"name": "c", "namespace": "default"},
            "spec": {"storageClassName": "s", "resources": {"requests": {"storage": "1Gi"}}}}),
        );
    };
    vec![
        row(
            "the claim comes",
            bare,
            claiming,
            (
                |w| {
                    w.set(
                        "persistentvolumeclaims",
                        json!({"metadata": {"name": "c", "namespace": "default"}, "spec": {}}),
                    )
                },
                true,
            ),
        ),
        row(
            "the class comes",
            waiting,
            claiming,
            (
                |w| {
                    w.set(
                        "storageclasses",
                        json!({"metadata": {"name": "s"}, "provisioner": "x.example.com",
                "volumeBindingMode": "WaitForFirstConsumer"}),
                    )
                },
                true,
            ),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn core_resource_enqueue() {
    let rows = [taints(), resources(), ports_and_labels(), other_pods(), volumes()];
    for row in rows.into_iter().flatten() {
        let world = World::default();
        (row.before)(&world);
        world.set("pods", (row.pod)());
        let script = async {
            seconds(2).await;
            let before = world.writes().len();
            assert!(world.node_of("p").is_none() && before > 0, "{}: not rejected", row.name);
            (row.trigger)(&world);
            seconds(20).await;
            let tried = world.writes().len() > before;
            assert_eq!(tried, row.requeued, "{}: {:?}", row.name, world.writes());
        };
        beside(&world, Options::default(), script).await;
    }
}
