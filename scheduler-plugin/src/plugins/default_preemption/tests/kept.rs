//! What is known of nodes of one kind against what is found out on each of them.

use std::sync::Arc;

use serde_json::{Value, json};
use steersman_machinery::random::Random;

use super::super::{CANDIDATES, Candidate};
use crate::cycle::{Decision, Outcome, Search, post_filter, schedule_one};
use crate::pod::Pod;
use crate::profile::Profile;
use crate::snapshot::Snapshot;
use crate::testing::{Cluster, profile, requests};

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

    fn some_node(&self) -> String {
        format!("n{}", self.below(self.nodes))
    }

    fn node(&mut self, number: usize) {
        let zone = ["zone=a", "zone=b", "disk=ssd"][self.below(3)];
        let cpu = ["3", "4"][self.below(2)];
        let cordoned = self.below(12) == 0;
        let change = json!({"spec": {"unschedulable": cordoned}, "status": {"allocatable": {"cpu": cpu}}});
        self.cluster.node(&format!("n{number} {zone}"), &change);
    }

    fn run(&mut self) {
        let mut spec = requests(&json!({"cpu": (["1", "2"][self.below(2)])}));
        spec["priority"] = json!(self.below(2));
        spec["nodeName"] = json!(self.some_node());
        if self.below(20) == 0 {
            spec["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 80}]);
        }
        let pod = self.cluster.pod(["app=web", ""][self.below(2)], &spec);
        let start = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"][self.below(2)];
        let start_time = (self.below(4) > 0).then(|| start.parse().unwrap());
        let pod = Arc::new(Pod { start_time, ..(*pod).clone() });
        self.cluster.cache.set_pod(pod.clone());
        self.running.push(pod);
    }

    fn budget(&mut self) {
        let disrupted = if self.below(3) == 0 { json!({"p7": "2026-01-01T00:00:00Z"}) } else { json!({}) };
        let budget = json!({
            "metadata": {"name": format!("b{}", self.below(2)), "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}},
            "status": {"disruptionsAllowed": self.below(3), "disruptedPods": disrupted},
        });
        self.cluster.cache.set_budget(serde_json::from_value(budget).unwrap());
    }

    fn happen(&mut self) {
        match self.below(16) {
            0 => self.node(self.below(self.nodes)),
            1 => _ = self.cluster.cache.remove_node(&self.some_node()),
            2 => self.budget(),
            3 => self.cluster.cache.snapshot_mut().clear_budgets(),
            4..6 if !self.nominated.is_empty() => {
                let pod = self.nominated.swap_remove(self.below(self.nominated.len()));
                self.cluster.cache.nominate(&pod, None);
            }
            6..9 if !self.running.is_empty() => {
                let pod = self.running.swap_remove(self.below(self.running.len()));
                self.cluster.cache.remove_pod(&pod.uid);
            }
            9..15 => self.run(),
            _ => {}
        }
    }

    fn wish(&self) -> Value {
        let mut spec = requests(&json!({"cpu": (["2", "3", "4", "5"][self.below(4)])}));
        spec["priority"] = json!(1 + self.below(2));
        match self.below(8) {
            0 => spec["nodeSelector"] = json!({"zone": "a"}),
            1 => spec["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 80}]),
            2 => {
                let term =
                    json!({"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"});
                spec["affinity"] =
                    json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
            }
            _ => {}
        }
        spec
    }
}

/// What came out: the node and who has to go, or the messages.
fn outcome(
    pod: &Pod,
    decision: &mut Decision,
    (snapshot, profile): (&mut Snapshot, &Profile),
) -> (Option<String>, Vec<Arc<Pod>>, String) {
    match &mut decision.outcome {
        Outcome::Node(node) => (Some(node.to_string()), Vec::new(), String::new()),
        Outcome::Error(status) => (None, Vec::new(), status.message()),
        Outcome::Unschedulable(diagnosis) => {
            let result = post_filter(pod, snapshot, profile, (&mut decision.state, diagnosis));
            (result.nominated_node_name.flatten(), result.victims, diagnosis.message())
        }
    }
}

/// How often the same pods have to go, whatever was known before.
fn check(seed: u64, nodes: usize) -> usize {
    let (cluster, random) = (Cluster::new(&[]), Random::seeded(seed));
    let mut world = World { cluster, random, running: Vec::new(), nominated: Vec::new(), nodes };
    (0..nodes).for_each(|number| world.node(number));
    (0..nodes * 2).for_each(|_| world.run());
    let args = json!({"minCandidateNodesAbsolute": 5});
    let profiles = [(); 2].map(|()| profile(&[("DefaultPreemption", args.clone())]));
    let (mut remembering, mut anew) = (Search::remembering(Random::seeded(0)), Search::new(Random::seeded(0)));
    let mut preempted = 0;
    for step in 0..120 {
        world.happen();
        let wish = world.wish();
        for _ in 0..=world.below(5) {
            let pod = world.cluster.pod("", &wish);
            let lots = world.random.next_u64();
            (remembering.random, anew.random) = (Random::seeded(lots), Random::seeded(lots));
            let snapshot = world.cluster.cache.snapshot_mut();
            let mut expect = schedule_one(&pod, snapshot, &profiles[0], &mut anew);
            // Who wants all candidates gets them anew.
            expect.state.write(CANDIDATES, Vec::<Candidate>::new());
            let expect = outcome(&pod, &mut expect, (snapshot, &profiles[0]));
            let mut found = schedule_one(&pod, snapshot, &profiles[1], &mut remembering);
            let found = outcome(&pod, &mut found, (snapshot, &profiles[1]));
            assert_eq!(found, expect, "seed {seed}, step {step}: {wish}");
            let (node, victims, message) = found;
            let placed = Arc::new(Pod { node_name: node.as_deref().map(Arc::from), ..(*pod).clone() });
            if message.is_empty() {
                world.cluster.cache.assume(placed.clone());
                world.running.push(placed);
            } else if let Some(node) = node {
                preempted += 1;
                world.cluster.cache.nominate(&pod, Some(&node));
                world.nominated.push(pod);
                if world.below(2) == 0 {
                    victims.iter().for_each(|victim| drop(world.cluster.cache.remove_pod(&victim.uid)));
                    world.running.retain(|other| !victims.iter().any(|victim| victim.uid == other.uid));
                }
            }
        }
    }
    preempted
}

#[test]
fn what_is_known_of_a_kind_of_nodes_is_what_would_be_found_out_on_each() {
    let preempted: usize = (0..5).map(|seed| check(seed, 10 + 8 * seed as usize)).sum();
    assert!(preempted > 150, "only {preempted} times pods had to go");
}
