//! Which of several nodes a pod gets: upstream's `test/integration/scheduler/scoring`.

use std::collections::BTreeMap;

use super::*;
use crate::configuration::Configuration;

/// Where a pod goes, whatever the seed would choose between equals.
async fn chosen(name: &str, before: Vec<(&'static str, Value)>, pod: Value, configuration: &str, node: &str) {
    let world = World::default();
    before.into_iter().for_each(|(collection, object)| world.set(collection, object));
    world.set("pods", changed(wants("p", json!({})), pod));
    let options = Options { configuration: configured(configuration), ..Options::default() };
    beside(&world, options, seconds(2)).await;
    assert_eq!(world.node_of("p").as_deref(), Some(node), "{name}: {:?}", world.writes());
}

fn configured(text: &str) -> Configuration {
    let header = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
    Configuration::from_yaml(&format!("{header}{text}")).unwrap()
}

/// Only this plugin scores.
fn only(plugin: &str) -> String {
    format!("profiles: [{{plugins: {{score: {{disabled: [{{name: '*'}}], enabled: [{{name: {plugin}}}]}}}}}}]\n")
}

/// Two nodes for which nothing else speaks.
fn two() -> Vec<(&'static str, Value)> {
    ["n1", "n2"].map(|name| with(name, json!({"metadata": {"labels": {"zone": name}}}))).into()
}

fn labelled(mut pod: (&'static str, Value), labels: Value) -> (&'static str, Value) {
    merge(&mut pod.1, json!({"metadata": {"labels": labels}}));
    pod
}

#[tokio::test(start_paused = true)]
async fn node_resources_scoring() {
    let sidecar = json!({"initContainers": [{"name": "s", "image": "app:1", "restartPolicy": "Always",
        "resources": {"requests": {"cpu": "1"}}}]});
    let before = || [two(), vec![on("n1", "a", sidecar.clone())]].concat();
    for (strategy, node) in [("LeastAllocated", "n2"), ("MostAllocated", "n1")] {
        let args = format!(
            "profiles: [{{pluginConfig: [{{name: NodeResourcesFit, args: {{scoringStrategy: {{type: {strategy}, resources: \
             [{{name: cpu, weight: 1}}]}}}}}}], plugins: {{score: {{disabled: [{{name: '*'}}], enabled: [{{name: \
             NodeResourcesFit}}]}}}}}}]\n"
        );
        chosen(strategy, before(), json!({"spec": asks("cpu", "1")}), &args, node).await;
    }
}

#[tokio::test(start_paused = true)]
async fn node_affinity_and_image_locality_scoring() {
    let preference = json!({"weight": 20, "preference": {"matchExpressions": [
        {"key": "zone", "operator": "In", "values": ["n2"]}]}});
    let prefers = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preference]}});
    chosen("affinity", two(), json!({"spec": {"affinity": prefers}}), &only("NodeAffinity"), "n2").await;
    let mut nodes = two();
    let images = json!({"status": {"images": [{"names": ["app:1"], "sizeBytes": 900 * 1024 * 1024}]}});
    merge(&mut nodes[1].1, images);
    chosen("image", nodes, json!({}), &only("ImageLocality"), "n2").await;
}

#[tokio::test(start_paused = true)]
async fn pod_affinity_scoring() {
    let term = |more: Value| {
        let term = json!({"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "zone"});
        json!([{"weight": 50, "podAffinityTerm": changed(term, more)}])
    };
    let soft = |kind: &str, terms: Value| json!({"spec": {"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": terms}}}});
    let web = |node: &'static str, more: Value| {
        let (collection, pod) = labelled(on(node, &format!("on-{node}"), json!({})), json!({"app": "web"}));
        (collection, changed(pod, more))
    };
    let namespace = ("namespaces", json!({"metadata": {"name": "other", "labels": {"team": "x"}}}));
    let elsewhere = json!({"metadata": {"namespace": "other"}});
    let only = only("InterPodAffinity");
    let there = || [two(), vec![web("n2", json!({}))]].concat();
    let other = || [two(), vec![namespace.clone(), web("n2", elsewhere.clone())]].concat();
    chosen("affinity", there(), soft("podAffinity", term(json!({}))), &only, "n2").await;
    chosen("anti-affinity", there(), soft("podAntiAffinity", term(json!({}))), &only, "n1").await;
    let selected = term(json!({"namespaceSelector": {"matchLabels": {"team": "x"}}}));
    chosen("a namespace that is selected", other(), soft("podAffinity", selected.clone()), &only, "n2").await;
    chosen("a namespace to stay away from", other(), soft("podAntiAffinity", selected), &only, "n1").await;
    // Those that run have their wishes too.
    let wished = soft(
        "podAffinity",
        json!([{"weight": 50, "podAffinityTerm":
        {"labelSelector": {"matchLabels": {"app": "p"}}, "topologyKey": "zone"}}]),
    );
    chosen("a wish of who runs", [two(), vec![web("n2", wished.clone())]].concat(), json!({}), &only, "n2").await;
    let required = json!({"spec": {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "p"}}, "topologyKey": "zone"}]}}}});
    chosen("what who runs requires", [two(), vec![web("n2", required)]].concat(), json!({}), &only, "n2").await;
}

#[tokio::test(start_paused = true)]
async fn taint_toleration_scoring() {
    let taint = |value: &str| json!({"spec": {"taints": [{"key": "k", "value": value, "effect": "PreferNoSchedule"}]}});
    let tolerates = |operator: &str, value: &str| json!({"spec": {"tolerations": [{"key": "k", "operator": operator, "value": value, "effect": "PreferNoSchedule"}]}});
    let nodes = |first: Value, second: Value| vec![with("n1", first), with("n2", second)];
    let only = only("TaintToleration");
    chosen("nothing tolerated", nodes(taint("v"), json!({})), json!({}), &only, "n2").await;
    chosen("one tolerated", nodes(taint("v"), taint("w")), tolerates("Equal", "w"), &only, "n2").await;
    chosen("more than", nodes(taint("100"), taint("900")), tolerates("Gt", "500"), &only, "n2").await;
    chosen("less than", nodes(taint("900"), taint("100")), tolerates("Lt", "500"), &only, "n2").await;
}

#[tokio::test(start_paused = true)]
async fn pod_topology_spread_scoring() {
    let constraint = |key: &str, when: &str, more: Value| {
        let constraint = json!({"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": when,
            "labelSelector": {"matchLabels": {"app": "web"}}});
        changed(constraint, more)
    };
    let pod = |constraints: Value| json!({"metadata": {"labels": {"app": "web"}}, "spec": {"topologySpreadConstraints": constraints}});
    let web = |node: &'static str, number: usize| {
        labelled(on(node, &format!("{node}-{number}"), json!({})), json!({"app": "web"}))
    };
    let filled = |counts: [usize; 3]| {
        let names = ["n1", "n2", "n3"];
        let node = |(name, zone): (&'static str, &str)| with(name, json!({"metadata": {"labels": {"zone": zone}}}));
        let mut objects: Vec<_> = names.into_iter().zip(["a", "b", "b"]).map(node).collect();
        for (name, count) in names.into_iter().zip(counts) {
            objects.extend((0..count).map(|number| web(name, number)));
        }
        objects
    };
    let only = only("PodTopologySpread");
    let host = "kubernetes.io/hostname";
    let soft = |key: &str| constraint(key, "ScheduleAnyway", json!({}));
    chosen("soft", filled([3, 2, 1]), pod(json!([soft(host)])), &only, "n3").await;
    chosen("two soft ones", filled([2, 0, 3]), pod(json!([soft("zone"), soft(host)])), &only, "n2").await;
    let hard = constraint("zone", "DoNotSchedule", json!({}));
    chosen("hard and soft", filled([3, 1, 0]), pod(json!([hard, soft(host)])), &only, "n3").await;
    let versioned = constraint(host, "ScheduleAnyway", json!({"matchLabelKeys": ["version"]}));
    let mut objects = filled([0, 3, 3]);
    objects.push(labelled(web("n1", 9), json!({"version": "2"})));
    objects.push(labelled(web("n2", 9), json!({"version": "2"})));
    let newer = changed(pod(json!([versioned])), json!({"metadata": {"labels": {"version": "2"}}}));
    chosen("versions told apart", objects, newer, &only, "n3").await;
    // What is tainted for the pod is no domain if taints are honored; its pods do not count.
    let (mut objects, mut better) = (filled([1, 0, 2]), 0);
    for (_, object) in &mut objects {
        if object["metadata"]["name"] == "n2" {
            object["spec"]["taints"] = json!([{"key": "k", "effect": "NoSchedule"}]);
            better += 1;
        }
    }
    assert_eq!(better, 1);
    let honoring = constraint(host, "ScheduleAnyway", json!({"nodeTaintsPolicy": "Honor"}));
    chosen("taints honored", objects, pod(json!([honoring])), &only, "n1").await;
}

#[tokio::test(start_paused = true)]
async fn default_pod_topology_spread_scoring() {
    for percentage in ["", "percentageOfNodesToScore: 0\n"] {
        let world = World::default();
        for number in 0..300 {
            let zone = format!("zone-{}", number / 100);
            let labels = json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}});
            world.set("nodes", changed(node(&format!("node-{number:03}"), "4"), labels));
        }
        world.set(
            "services",
            json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {"selector": {"app": "web"}}}),
        );
        let options = Options { configuration: configured(percentage), ..Options::default() };
        let script = async {
            let mut count = 0;
            for total in [3, 12, 27] {
                while count < total {
                    let (_, pod) = labelled(("pods", wants(&format!("p{count}"), json!({}))), json!({"app": "web"}));
                    world.set("pods", pod);
                    count += 1;
                }
                seconds(2).await;
                let mut zones = BTreeMap::<usize, usize>::new();
                for number in 0..count {
                    let node = world.node_of(&format!("p{number}")).unwrap();
                    let node: usize = node["node-".len()..].parse().unwrap();
                    *zones.entry(node / 100).or_default() += 1;
                }
                assert!(zones.len() == 3 && zones.values().all(|have| *have == total / 3), "{total}: {zones:?}");
            }
        };
        beside(&world, options, script).await;
    }
}
