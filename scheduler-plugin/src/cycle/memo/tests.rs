//! What is kept against what is found out anew, over clusters that change at random.

use std::sync::Arc;

use serde_json::{Value, json};
use steersman_machinery::random::Random;

use crate::cycle::{Decision, Outcome, Search, schedule_one};
use crate::pod::Pod;
use crate::snapshot::SelectingKind;
use crate::testing::{Cluster, requests};

const ZONES: [&str; 4] = ["a", "b", "c", ""];

/// The kinds of pods that come: labels, and what the spec says.
fn kinds() -> Vec<(&'static str, Value)> {
    let term = |color: &str, key: &str| json!({"labelSelector": {"matchLabels": {"color": color}}, "topologyKey": key});
    let weighted = |color: &str, key: &str| json!([{"weight": 7, "podAffinityTerm": term(color, key)}]);
    let (host, zone) = ("kubernetes.io/hostname", "zone");
    let spread = |key: &str, how: &str| json!([{"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": how, "labelSelector": {"matchLabels": {"color": "red"}}}]);
    let with = |mut spec: Value, key: &str, value: Value| {
        spec[key] = value;
        spec
    };
    let small = || requests(&json!({"cpu": "100m", "memory": "300Mi"}));
    let required =
        |color: &str, key: &str| json!({"requiredDuringSchedulingIgnoredDuringExecution": [term(color, key)]});
    let preferred =
        |color: &str, key: &str| json!({"preferredDuringSchedulingIgnoredDuringExecution": weighted(color, key)});
    let ssd = json!([{"weight": 3, "preference": {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}}]);
    let tolerations = json!([{"key": "t", "operator": "Exists"}]);
    vec![
        ("color=red", small()),
        ("color=blue", requests(&json!({"cpu": "1", "example.com/gpu": "1"}))),
        ("app=web", with(small(), "tolerations", tolerations)),
        ("color=red", with(small(), "topologySpreadConstraints", spread(zone, "DoNotSchedule"))),
        ("color=red", with(small(), "topologySpreadConstraints", spread(zone, "ScheduleAnyway"))),
        ("color=red", with(small(), "topologySpreadConstraints", spread(host, "ScheduleAnyway"))),
        (
            "color=red",
            with(
                small(),
                "topologySpreadConstraints",
                json!([
            {"maxSkew": 2, "topologyKey": host, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}},
            {"maxSkew": 3, "topologyKey": zone, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}]),
            ),
        ),
        ("color=red", with(small(), "topologySpreadConstraints", spread("rack", "DoNotSchedule"))),
        ("color=red", with(small(), "topologySpreadConstraints", spread("rack", "ScheduleAnyway"))),
        ("color=green", with(small(), "affinity", json!({"podAntiAffinity": required("green", host)}))),
        ("color=green", with(small(), "affinity", json!({"podAntiAffinity": required("red", "rack")}))),
        ("color=red", with(small(), "affinity", json!({"podAffinity": preferred("blue", "rack")}))),
        ("color=green", small()),
        ("color=blue", with(small(), "affinity", json!({"podAffinity": required("blue", zone)}))),
        ("color=red", with(small(), "affinity", json!({"podAffinity": preferred("blue", zone)}))),
        ("color=blue", with(small(), "affinity", json!({"podAntiAffinity": preferred("red", host)}))),
        (
            "",
            with(
                small(),
                "affinity",
                json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": ssd}}),
            ),
        ),
        ("", with(small(), "nodeSelector", json!({"disk": "ssd"}))),
        ("", requests(&json!({"cpu": "9"}))),
        ("color=red", with(small(), "volumes", json!([{"name": "v", "persistentVolumeClaim": {"claimName": "any"}}]))),
    ]
}

/// Claims of all sorts, and limits of some nodes.
fn volumes(cluster: &mut Cluster, nodes: usize) {
    let zone_a = json!({"required": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}});
    let sorts = [
        ("free", json!({}), "ReadWriteOnce"),
        ("local", json!({"nodeAffinity": zone_a}), "ReadWriteOnce"),
        ("lonely", json!({}), "ReadWriteOncePod"),
    ];
    for (sort, spec, mode) in sorts {
        for number in 0..6 {
            let name = format!("{sort}-{number}");
            let mut volume = json!({"kind": "PersistentVolume", "metadata": {"name": name}, "status": {"phase": "Bound"},
                "spec": {"csi": {"driver": "csi", "volumeHandle": name}, "capacity": {"storage": "1Gi"}}});
            crate::testing::merge(&mut volume["spec"], &spec);
            cluster.object(&volume);
            cluster.object(
                &json!({"kind": "PersistentVolumeClaim", "spec": {"volumeName": name, "accessModes": [mode]},
                "metadata": {"name": name, "namespace": "default", "uid": name,
                    "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
                "status": {"phase": "Bound"}}),
            );
        }
    }
    for number in (0..nodes).step_by(3) {
        let drivers = json!([{"name": "csi", "allocatable": {"count": 1}}]);
        let node = json!({"metadata": {"name": format!("n{number}")}, "spec": {"drivers": drivers}, "kind": "CSINode"});
        cluster.object(&node);
    }
}

struct World {
    cluster: Cluster,
    random: Random,
    running: Vec<Arc<Pod>>,
    nominated: Vec<Arc<Pod>>,
    nodes: usize,
}

impl World {
    fn below(&self, bound: usize) -> usize {
        self.random.below(bound as u64) as usize
    }

    fn one_of<T: Clone>(&self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn node(&mut self, number: usize) {
        let taint = |effect: &str| json!([{"key": "t", "effect": effect}]);
        let taints = [json!([]), json!([]), json!([]), taint("PreferNoSchedule"), taint("NoSchedule")];
        let images = [json!([]), json!([{"names": ["app:1"], "sizeBytes": 400_000_000}])];
        let allocatable = json!({
            "cpu": self.one_of(&["2", "4"]), "memory": "8Gi", "pods": self.one_of(&["3", "20"]), "example.com/gpu": "2",
        });
        let change = json!({
            "spec": {"taints": self.one_of(&taints), "unschedulable": self.below(10) == 0},
            "status": {"allocatable": allocatable, "images": self.one_of(&images)},
        });
        let text = match self.below(4) {
            0 => format!("n{number}"),
            1 => format!("n{number} zone={} disk=ssd", self.one_of(&ZONES)),
            2 => format!("n{number} zone={} rack=r{}", self.one_of(&ZONES), self.below(8)),
            _ => format!("n{number} zone={} rack={}", self.one_of(&ZONES), number % 7),
        };
        self.cluster.node(&text, &change);
    }

    /// Something besides decisions happens.
    fn happen(&mut self) {
        match self.below(24) {
            0 => {
                let number = self.below(self.nodes);
                self.node(number);
            }
            1 => _ = self.cluster.cache.remove_node(&format!("n{}", self.below(self.nodes))),
            2 => {
                let selector = json!({"app": "web"});
                let name = format!("s{}", self.below(2));
                let service =
                    json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"selector": selector}});
                self.cluster.cache.set_selecting(SelectingKind::Service, &serde_json::from_value(service).unwrap());
            }
            3 => {
                let (_, spec) = self.one_of(&kinds());
                let node = format!("n{}", self.below(self.nodes + 2));
                let mut spec = spec.clone();
                spec["priority"] = json!(self.below(2));
                let pod = self.cluster.pod("color=green", &spec);
                self.cluster.cache.snapshot_mut().nominate(&pod, Some(&Arc::from(node)));
                self.nominated.push(pod);
            }
            4..6 => {
                if let Some(pod) = self.nominated.pop() {
                    self.cluster.cache.snapshot_mut().nominate(&pod, None);
                }
            }
            6..12 if !self.running.is_empty() => {
                let pod = self.running.swap_remove(self.below(self.running.len()));
                self.cluster.cache.remove_pod(&pod.uid);
            }
            12..15 if !self.running.is_empty() => {
                // It is on its way out: it has its place, but is not counted everywhere.
                let place = self.below(self.running.len());
                let mut pod = (*self.running[place]).clone();
                let leaving = self.cluster.pod("color=red", &requests(&json!({"cpu": "100m"})));
                let mut spec = (*leaving.spec).clone();
                spec.terminating = true;
                (pod.spec, pod.spec_id) = (Arc::new(spec), 1_000_000 + leaving.spec_id);
                self.running[place] = Arc::new(pod);
                self.cluster.cache.set_pod(self.running[place].clone());
            }
            _ => {}
        }
    }
}

/// The choice and what it rests on.
fn told(decision: &Decision) -> (String, usize, Vec<u32>) {
    let outcome = match &decision.outcome {
        Outcome::Node(node) => node.to_string(),
        Outcome::Unschedulable(diagnosis) => diagnosis.message(),
        Outcome::Error(status) => status.message(),
    };
    (outcome, decision.evaluated_nodes, decision.feasible.clone())
}

fn check(seed: u64, nodes: usize, percentage: u32) -> usize {
    let mut cluster = Cluster::new(&[]);
    cluster.profile.percentage_of_nodes_to_score = percentage;
    let (running, nominated) = (Vec::new(), Vec::new());
    let mut world = World { cluster, random: Random::seeded(seed), running, nominated, nodes };
    (0..nodes).for_each(|number| world.node(number));
    volumes(&mut world.cluster, nodes);
    let kinds = kinds();
    let (mut remembering, mut anew) = (Search::remembering(Random::seeded(0)), Search::new(Random::seeded(0)));
    let mut from_memory = 0;
    for step in 0..160 {
        world.happen();
        let (labels, spec) = world.one_of(&kinds[..if step < 40 { 3 } else { kinds.len() }]);
        for _ in 0..=world.below(4) {
            let mut spec = spec.clone();
            if spec.get("volumes").is_some() {
                let sort = world.one_of(&["free", "free", "free", "local", "lonely"]);
                let claim = json!({"claimName": format!("{sort}-{}", world.below(6))});
                spec["volumes"] = json!([{"name": "v", "persistentVolumeClaim": claim}]);
            }
            let pod = world.cluster.pod(labels, &spec);
            // Both draw the same lots.
            let lots = world.random.next_u64();
            (remembering.random, anew.random) = (Random::seeded(lots), Random::seeded(lots));
            let (cache, profile) = (&mut world.cluster.cache, &world.cluster.profile);
            let expect = schedule_one(&pod, cache.snapshot_mut(), profile, &mut anew);
            let found = schedule_one(&pod, cache.snapshot_mut(), profile, &mut remembering);
            assert_eq!(told(&found), told(&expect), "seed {seed}, step {step}: {labels} {spec}");
            assert_eq!(remembering.next_start_node_index, anew.next_start_node_index, "seed {seed}, step {step}");
            from_memory += usize::from(found.feasible.len() > 1 && found.scores.is_empty());
            if let Outcome::Node(node) = found.outcome {
                let placed = Arc::new(Pod { node_name: Some(node), pending: None, ..(*pod).clone() });
                cache.assume(placed.clone());
                world.running.push(placed);
            }
        }
    }
    from_memory
}

#[test]
fn what_is_kept_is_what_would_be_found_out_anew() {
    let from_memory: usize = (0..8).map(|seed| check(seed, 3 + 3 * seed as usize, 100)).sum();
    assert!(from_memory > 600, "only {from_memory} decisions rested on what was kept");
}

#[test]
fn what_is_kept_serves_searches_for_enough_nodes_too() {
    let from_memory: usize = (0..1).map(|seed| check(seed, 110, 30)).sum();
    assert!(from_memory > 50, "only {from_memory} decisions rested on what was kept");
}
