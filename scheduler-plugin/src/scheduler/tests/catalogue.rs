//! What upstream's end-to-end suites (`test/e2e/scheduling`) ask of a scheduler, row by row under their names: what they see
//! are events on the pod, where it runs, and who had to go.

mod cluster;
mod filters;
mod hindered;
mod preemption;
mod scoring;

use serde_json::Value;

use super::world::merge;
use super::*;

/// A cluster, a pod that comes, and the node that it gets.
struct Row {
    name: &'static str,
    before: Vec<(&'static str, Value)>,
    pod: Value,
    node: Option<&'static str>,
}

fn changed(mut object: Value, change: Value) -> Value {
    merge(&mut object, change);
    object
}

fn wants(name: &str, spec: Value) -> Value {
    changed(pod(name, "0"), json!({ "spec": spec }))
}

fn on(node: &str, name: &str, spec: Value) -> (&'static str, Value) {
    ("pods", changed(wants(name, spec), json!({"spec": {"nodeName": node}})))
}

fn asks(resource: &str, amount: &str) -> Value {
    json!({"containers": [{"name": "c", "image": "app:1", "resources": {"requests": {resource: amount}}}]})
}

fn with(name: &str, change: Value) -> (&'static str, Value) {
    ("nodes", changed(node(name, "4"), change))
}

fn has(resource: &str, amount: &str) -> Value {
    json!({"status": {"allocatable": {resource: amount}}})
}

fn near(operator: &str, value: &str) -> Value {
    let term = json!({"matchExpressions": [{"key": "e2e", "operator": operator, "values": [value]}]});
    let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}});
    json!({"affinity": {"nodeAffinity": required}})
}

fn port(ip: &str, protocol: &str) -> Value {
    let port = json!({"containerPort": 8080, "hostPort": 54321, "hostIP": ip, "protocol": protocol});
    json!({"containers": [{"name": "c", "image": "app:1", "ports": [port]}]})
}

fn tainted() -> Value {
    json!({"metadata": {"labels": {"e2e": "42"}}, "spec": {"taints": [{"key": "t", "value": "v", "effect": "NoSchedule"}]}})
}

fn tolerating() -> Value {
    json!({"nodeSelector": {"e2e": "42"}, "tolerations": [{"key": "t", "value": "v", "effect": "NoSchedule"}]})
}

fn row(name: &'static str, before: Vec<(&'static str, Value)>, pod: Value, node: Option<&'static str>) -> Row {
    Row { name, before, pod: wants("p", pod), node }
}

fn predicates() -> Vec<Row> {
    let labelled = || vec![with("n1", json!({})), with("n2", json!({"metadata": {"labels": {"e2e": "42"}}}))];
    let storage = "ephemeral-storage";
    let overhead = changed(asks("example.com/foo", "200"), json!({"overhead": {"example.com/foo": "250"}}));
    let preferred = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100,
        "podAffinityTerm": {"labelSelector": {"matchLabels": {"app": "other"}}, "topologyKey": "kubernetes.io/hostname"}}]}});
    let nicer = json!({"spec": {"taints": [{"key": "x", "effect": "PreferNoSchedule"}]}});
    vec![
        row(
            "limits of ephemeral storage",
            vec![with("n1", has(storage, "10Gi")), on("n1", "a", asks(storage, "10Gi"))],
            asks(storage, "1Gi"),
            None,
        ),
        row(
            "overhead counts",
            vec![with("n1", has("example.com/foo", "1000")), on("n1", "a", asks("example.com/foo", "700"))],
            overhead,
            None,
        ),
        row(
            "resource limits of pods",
            vec![with("n1", json!({})), on("n1", "a", asks("cpu", "2800m"))],
            asks("cpu", "2"),
            None,
        ),
        row("a node selector that nothing matches", labelled(), json!({"nodeSelector": {"e2e": "43"}}), None),
        row("a node selector that one node matches", labelled(), json!({"nodeSelector": {"e2e": "42"}}), Some("n2")),
        row("a node affinity that nothing matches", labelled(), near("In", "43"), None),
        row("a node affinity that one node matches", labelled(), near("In", "42"), Some("n2")),
        row("a taint that is tolerated", vec![with("n1", json!({})), with("n2", tainted())], tolerating(), Some("n2")),
        row("a taint that is not", vec![with("n2", tainted())], json!({"nodeSelector": {"e2e": "42"}}), None),
        row(
            "one port on two addresses",
            vec![with("n1", json!({})), on("n1", "a", port("10.0.0.1", "TCP"))],
            port("10.0.0.2", "TCP"),
            Some("n1"),
        ),
        row(
            "one port of two protocols",
            vec![with("n1", json!({})), on("n1", "a", port("10.0.0.1", "TCP"))],
            port("10.0.0.1", "UDP"),
            Some("n1"),
        ),
        row(
            "a port on all addresses",
            vec![with("n1", json!({})), on("n1", "a", port("0.0.0.0", "TCP"))],
            port("10.0.0.1", "TCP"),
            None,
        ),
        row(
            "a preferred anti-affinity",
            vec![with("n1", json!({})), with("n2", json!({})), on("n1", "other", json!({}))],
            json!({ "affinity": preferred }),
            Some("n2"),
        ),
        row("taints that are better avoided", vec![with("n1", nicer), with("n2", json!({}))], json!({}), Some("n2")),
    ]
}

#[tokio::test(start_paused = true)]
async fn scheduler_predicates_and_priorities() {
    for Row { name, before, pod, node } in predicates() {
        let world = World::default();
        before.into_iter().for_each(|(collection, object)| world.set(collection, object));
        world.set("pods", pod);
        beside(&world, Options::default(), seconds(2)).await;
        assert_eq!(world.node_of("p").as_deref(), node, "{name}: {:?}", world.writes());
        let event = node.map_or("FailedScheduling 0/".to_owned(), |node| {
            format!("Scheduled Successfully assigned default/p to {node}")
        });
        assert!(world.writes().iter().any(|write| write.starts_with(&event)), "{name}: {:?}", world.writes());
    }
}

#[tokio::test(start_paused = true)]
async fn a_taint_that_goes_lets_the_pod_come() {
    let world = World::default();
    let (collection, object) = with("n1", tainted());
    world.set(collection, object);
    world.set("pods", wants("p", json!({"nodeSelector": {"e2e": "42"}})));
    let script = async {
        seconds(2).await;
        assert_eq!(world.node_of("p"), None);
        world.set("nodes", changed(node("n1", "4"), json!({"metadata": {"labels": {"e2e": "42"}}})));
        seconds(2).await;
    };
    beside(&world, Options::default(), script).await;
    assert_eq!(world.node_of("p").as_deref(), Some("n1"));
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_set_spread_over_nodes() {
    for (hard, total) in [("DoNotSchedule", 4), ("ScheduleAnyway", 4)] {
        let world = World::default();
        for name in ["n1", "n2"] {
            world.set("nodes", changed(node(name, "4"), json!({"metadata": {"labels": {"zone": name}}})));
        }
        let constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": hard,
            "labelSelector": {"matchLabels": {"app": "web"}}});
        for number in 0..total {
            let spec =
                json!({"metadata": {"labels": {"app": "web"}}, "spec": {"topologySpreadConstraints": [constraint]}});
            world.set("pods", changed(pod(&format!("p{number}"), "0"), spec));
        }
        beside(&world, Options::default(), seconds(2)).await;
        let there = (0..total).filter(|number| world.node_of(&format!("p{number}")).as_deref() == Some("n1")).count();
        assert_eq!(there, 2, "{hard}");
    }
}

fn of_priority(name: &str, priority: i64, units: &str) -> Value {
    changed(wants(name, asks("example.com/units", units)), json!({"spec": {"priority": priority}}))
}

/// Who is deleted if `p` comes to a node with 1,000 units where these run.
async fn victims(running: &[(&str, i64, &str)], p: Value) -> Vec<String> {
    let world = World::default();
    let (collection, object) = with("n1", has("example.com/units", "1000"));
    world.set(collection, object);
    for (name, priority, units) in running {
        world.set("pods", changed(of_priority(name, *priority, units), json!({"spec": {"nodeName": "n1"}})));
    }
    world.set("pods", p);
    beside(&world, Options::default(), seconds(10)).await;
    let writes = world.writes();
    let gone = writes.iter().filter_map(|write| write.strip_prefix("delete ")?.split(' ').next().map(str::to_owned));
    let gone: Vec<_> = gone.collect();
    for name in &gone {
        let condition = format!("status {name} DisruptionTarget=True PreemptionByScheduler");
        assert!(writes.iter().any(|write| write.starts_with(&condition)), "{writes:?}");
    }
    assert_eq!(world.node_of("p").is_some(), !gone.is_empty(), "{writes:?}");
    gone
}

#[tokio::test(start_paused = true)]
async fn scheduler_preemption() {
    let critical = 2_000_000_000;
    let low_and_medium = [("low", 1, "600"), ("medium", 100, "400")];
    assert_eq!(victims(&low_and_medium, of_priority("p", 1000, "600")).await, ["low"], "basic preemption");
    assert_eq!(victims(&low_and_medium, of_priority("p", critical, "500")).await, ["low"], "a critical pod");
    assert_eq!(victims(&low_and_medium, of_priority("p", 0, "500")).await, [""; 0], "nobody is less important");
    let path = [("p1", 1, "200"), ("p2", 2, "300"), ("p3", 3, "450")];
    let mut gone = victims(&path, of_priority("p", 4, "500")).await;
    gone.sort();
    assert_eq!(gone, ["p1", "p2"], "the preemption path: each once, the third not at all");
}
