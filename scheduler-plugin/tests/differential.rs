//! The scheduler against a slow, literal reference, over random clusters: the same nodes feasible, the others refused by
//! the same plugin with the same words, every plugin's scores before and after normalization, the totals, the best
//! nodes, and who is preempted.
//!
//! `DIFFERENTIAL_VERDICTS=1000000 cargo test --release -p steersman-scheduler-plugin --test differential` goes on until
//! so many (pod, node) verdicts were compared; `DIFFERENTIAL_SEED` says where to begin.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a difference is a failed test")]
#![expect(unreachable_pub, reason = "the modules are this test's own")]

#[path = "reference/random.rs"]
mod random;
#[path = "reference/scheduler.rs"]
mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod as ApiPod;
use random::{Generator, Size};
use reference::preemption::{self, Preemption};
use reference::{Args, Reference, Refusal, Strategy, Verdict, World};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use steersman_machinery::random::Random;
use steersman_scheduler_plugin::cache::Cache;
use steersman_scheduler_plugin::cycle::{self, Decision, Outcome, Search, post_filter, schedule_one};
use steersman_scheduler_plugin::pod::Pod;
use steersman_scheduler_plugin::profile::{Point, Profile};
use steersman_scheduler_plugin::registry::Handle;
use steersman_scheduler_plugin::status::{Code, Status};
use steersman_scheduler_plugin::{Configuration, Options, profiles};

/// As many as a test run has time for.
const VERDICTS: u64 = 4_000;
const SIZES: [Size; 3] = [
    Size { nodes: 6, pods: 16, steps: 12 },
    Size { nodes: 20, pods: 40, steps: 12 },
    Size { nodes: 64, pods: 90, steps: 8 },
];

fn parse<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

/// One cluster twice: as the scheduler keeps it, and as plain objects.
struct Case {
    generator: Generator,
    world: World,
    args: Args,
    cache: Cache,
    profile: Profile,
    search: Search,
    /// Another one, which keeps what it finds out for pods that are alike.
    remembering: Search,
    verdicts: u64,
}

impl Case {
    fn new(seed: u64, size: Size) -> Self {
        let mut generator = Generator::new(seed);
        let profile = generator.profile();
        let configuration = json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "profiles": [profile],
        });
        let configuration = Configuration::from_yaml(&configuration.to_string()).unwrap();
        let options = Options { configuration, ..Options::default() };
        let mut profiles = profiles(&options, &Handle::for_tests()).unwrap();
        let mut case = Self {
            generator,
            world: World::default(),
            args: args(&profile),
            cache: Cache::default(),
            profile: profiles.pop_first().unwrap().1,
            search: Search::new(Random::seeded(seed)),
            remembering: Search::remembering(Random::seeded(seed)),
            verdicts: 0,
        };
        case.fill(size);
        case
    }

    fn fill(&mut self, size: Size) {
        for namespace in Generator::namespaces() {
            self.cache.set_namespace(&parse(&namespace));
            self.world.namespaces.push(parse(&namespace));
        }
        for (kind, object) in self.generator.selecting() {
            self.cache.set_selecting(kind.parse().unwrap(), &parse(&object));
            match kind {
                "Service" => self.world.services.push(parse(&object)),
                "ReplicaSet" => self.world.replica_sets.push(parse(&object)),
                "StatefulSet" => self.world.stateful_sets.push(parse(&object)),
                _ => self.world.controllers.push(parse(&object)),
            }
        }
        for _ in 0..self.generator.below(3) {
            let budget = self.generator.budget();
            self.cache.set_budget(parse(&budget));
            self.world.budgets.push(parse(&budget));
        }
        for _ in 0..=self.generator.below(size.nodes) {
            let node = self.generator.node(None);
            self.set_node(&node);
        }
        let nodes: Vec<String> = self.world.nodes.iter().map(|node| node.metadata.name.clone().unwrap()).collect();
        for object in self.generator.stored(&nodes) {
            assert!(self.cache.set_stored(object["kind"].as_str().unwrap(), &object).unwrap(), "{object}");
            self.world.stored.push(object);
        }
        for _ in 0..self.generator.below(size.pods) {
            let node = self.some_node();
            let pod = self.generator.running(&node);
            self.set_pod(&pod);
        }
    }

    fn some_node(&self) -> String {
        let place = usize::try_from(self.generator.below(self.world.nodes.len() as u64)).unwrap();
        self.world.nodes[place].metadata.name.clone().unwrap()
    }

    fn set_node(&mut self, node: &Value) {
        self.cache.set_node(Arc::new(parse(node)));
        let node: k8s_openapi::api::core::v1::Node = parse(node);
        match self.world.nodes.iter_mut().find(|other| other.metadata.name == node.metadata.name) {
            Some(other) => *other = node,
            None => self.world.nodes.push(node),
        }
    }

    fn remove_node(&mut self, name: &str) {
        self.cache.remove_node(name);
        self.world.nodes.retain(|node| node.metadata.name.as_deref() != Some(name));
    }

    fn set_pod(&mut self, pod: &Value) {
        let interned = self.cache.intern(&parse(pod));
        self.cache.set_pod(interned);
        let pod: ApiPod = parse(pod);
        self.world.pods.retain(|other| other.metadata.uid != pod.metadata.uid);
        self.world.pods.push(pod);
    }

    fn remove_pod(&mut self, uid: &str) {
        self.cache.remove_pod(uid);
        self.world.pods.retain(|pod| pod.metadata.uid.as_deref() != Some(uid));
    }

    fn nominate(&mut self, pod: &Value, node: Option<&str>) {
        let interned = self.cache.intern(&parse(pod));
        self.cache.nominate(&interned, node);
        self.world.nominated.retain(|other| other.metadata.uid.as_deref() != pod["metadata"]["uid"].as_str());
        if let Some(node) = node {
            let mut pod: ApiPod = parse(pod);
            pod.status.get_or_insert_default().nominated_node_name = Some(node.to_owned());
            self.world.nominated.push(pod);
        }
    }

    /// Something changes between two decisions.
    fn change(&mut self) {
        match self.generator.below(8) {
            0 => {
                let name = self.some_node();
                let node = self.generator.node(Some(&name));
                self.set_node(&node);
            }
            1 => {
                let node = self.generator.node(None);
                self.set_node(&node);
            }
            2 if self.world.nodes.len() > 1 => {
                let name = self.some_node();
                self.remove_node(&name);
                // Sometimes it comes back, with the pods that it had.
                if self.generator.once_in(2) {
                    let node = self.generator.node(Some(&name));
                    self.set_node(&node);
                }
            }
            3 | 4 if !self.world.pods.is_empty() => {
                let place = usize::try_from(self.generator.below(self.world.pods.len() as u64)).unwrap();
                let old = self.world.pods[place].clone();
                let uid = old.metadata.uid.clone().unwrap();
                if self.generator.once_in(2) {
                    return self.remove_pod(&uid);
                }
                // It becomes another pod of the same name: labels, resources, whatever.
                let mut pod = self.generator.running(old.spec.unwrap().node_name.as_deref().unwrap());
                (pod["metadata"]["uid"], pod["metadata"]["name"]) = (json!(uid), json!(old.metadata.name));
                self.set_pod(&pod);
            }
            5 => {
                let (pod, node) = (self.generator.pod(), self.some_node());
                self.nominate(&pod, Some(&node));
            }
            _ => {}
        }
    }

    /// Decisions about one pod, or about several that are alike; the differences.
    fn step(&mut self) -> Vec<String> {
        self.change();
        let mut pod = self.generator.pod();
        if self.generator.once_in(8) {
            pod["status"]["nominatedNodeName"] = json!(self.some_node());
        }
        let alike = if self.generator.once_in(3) { 1 + self.generator.below(6) } else { 1 };
        for copy in 0..alike {
            if copy > 0 && self.generator.once_in(2) {
                self.change();
            }
            let name = format!("{}-{copy}", pod["metadata"]["name"].as_str().unwrap());
            let mut pod = pod.clone();
            (pod["metadata"]["name"], pod["metadata"]["uid"]) = (json!(name), json!(name));
            let faults = self.decide(pod);
            if !faults.is_empty() {
                return faults;
            }
        }
        Vec::new()
    }

    /// One decision, made by either search and by the reference; the differences.
    fn decide(&mut self, mut pod: Value) -> Vec<String> {
        let api_pod: ApiPod = parse(&pod);
        let interned = self.cache.intern(&parse(&pod));
        self.verdicts += self.world.nodes.len() as u64;
        let mut decision = schedule_one(&interned, self.cache.snapshot_mut(), &self.profile, &mut self.search);
        let world = self.world.clone();
        let reference = Reference::new(&world, &self.args);
        let verdict = reference.schedule(&api_pod);
        let mut faults = self.compare(&interned, &decision, &verdict);
        let mut kept = schedule_one(&interned, self.cache.snapshot_mut(), &self.profile, &mut self.remembering);
        faults
            .extend(self.compare(&interned, &kept, &verdict).into_iter().map(|fault| format!("remembering: {fault}")));
        let mut victims = Vec::new();
        if faults.is_empty() && matches!(decision.outcome, Outcome::Unschedulable(_)) && verdict.message.is_some() {
            let expected = preemption::post_filter(&reference, &api_pod, &verdict);
            victims = self.compare_preemption(&interned, &mut decision, &expected, &mut faults);
            self.compare_preemption(&interned, &mut kept, &expected, &mut faults);
        }
        if !faults.is_empty() {
            faults.push(format!("pod: {pod}"));
            return faults;
        }
        if let Outcome::Node(node) = &decision.outcome {
            pod["spec"]["nodeName"] = json!(**node);
            pod["status"]["startTime"] = self.generator.start_time();
            self.set_pod(&pod);
        }
        for victim in victims {
            self.remove_pod(&victim);
        }
        Vec::new()
    }

    fn compare(&self, pod: &Pod, decision: &Decision, verdict: &Verdict) -> Vec<String> {
        let mut faults = Faults::default();
        let snapshot = self.cache.snapshot();
        let name = |row: u32| snapshot.node(row).name().to_string();
        match &decision.outcome {
            Outcome::Error(status) => faults.differ("error", &status.message(), &String::new()),
            Outcome::Unschedulable(diagnosis) => {
                faults.differ("message", &Some(diagnosis.message()), &verdict.message);
                faults.differ("rejectors", &diagnosis.unschedulable_plugins, &verdict.rejectors);
                let refused: BTreeMap<String, Refusal> =
                    diagnosis.node_to_status.iter().map(|(row, status)| (name(row), refusal(status))).collect();
                faults.differ("refused", &refused, &verdict.refused);
            }
            Outcome::Node(_) => {
                let places: BTreeMap<String, usize> =
                    decision.feasible.iter().enumerate().map(|(place, row)| (name(*row), place)).collect();
                let feasible: BTreeSet<&String> = places.keys().collect();
                faults.differ("feasible", &feasible, &verdict.feasible.iter().collect());
                if faults.0.is_empty() && decision.scores.is_empty() {
                    // Decided from what was kept of an equal pod: only the choice is there to be judged.
                    faults.chosen_is_best(decision, verdict);
                } else if faults.0.is_empty() {
                    self.compare_scores(pod, decision, (&places, verdict), &mut faults);
                    self.compare_refusals(pod, decision, verdict, &mut faults);
                }
            }
        }
        faults.0
    }

    fn compare_scores(
        &self,
        pod: &Pod,
        decision: &Decision,
        (places, verdict): (&BTreeMap<String, usize>, &Verdict),
        faults: &mut Faults,
    ) {
        for expected in &verdict.scores {
            let plugin = expected.plugin;
            let found = decision.scores.iter().find(|scores| scores.plugin == plugin);
            let normalized: Option<Vec<i64>> = found.map(|found| {
                let weight = self.args.weights[plugin];
                verdict.feasible.iter().map(|name| found.scores[places[name]] / weight).collect()
            });
            faults.differ(&format!("{plugin} normalized"), &normalized, &Some(expected.normalized.clone()));
            let entries = self.profile.at(Point::Score).iter();
            let Some(entry) = entries.clone().find(|entry| entry.plugin.name() == plugin) else { continue };
            let scorer = entry.plugin.as_score().unwrap();
            let raw = |name: &String| {
                let node = self.cache.snapshot().node_by_name(name).unwrap();
                scorer.score(&decision.state, pod, node).unwrap()
            };
            let raw: Vec<i64> = verdict.feasible.iter().map(raw).collect();
            faults.differ(&format!("{plugin} raw"), &raw, &expected.raw);
        }
        let expected: BTreeSet<&str> = verdict.scores.iter().map(|scores| scores.plugin).collect();
        let found = decision.scores.iter().map(|scores| scores.plugin).collect();
        faults.differ("scoring plugins", &found, &expected);
        let totals: BTreeMap<String, i64> = if verdict.feasible.len() > 1 {
            places.iter().map(|(name, place)| (name.clone(), decision.totals[*place])).collect()
        } else {
            BTreeMap::new()
        };
        faults.differ("totals", &totals, &verdict.totals);
        faults.chosen_is_best(decision, verdict);
    }

    /// Also where other nodes are feasible the refused ones are refused by the same plugin.
    fn compare_refusals(&self, pod: &Pod, decision: &Decision, verdict: &Verdict, faults: &mut Faults) {
        if !self.world.nominated.is_empty() {
            // What stands in the way may be a pod for which the node is held: that is not asked again.
            return;
        }
        for (name, expected) in &verdict.refused {
            let row = self.cache.snapshot().node_by_name(name).unwrap().row();
            let status = cycle::filter_one(pod, self.cache.snapshot(), &self.profile, &decision.state, row);
            faults.differ(name, &refusal(&status), expected);
        }
    }

    fn compare_preemption(
        &mut self,
        pod: &Pod,
        decision: &mut Decision,
        expected: &Preemption,
        faults: &mut Vec<String>,
    ) -> Vec<String> {
        let Outcome::Unschedulable(diagnosis) = &mut decision.outcome else { return Vec::new() };
        let before = self.cache.snapshot().len();
        let notes = (&mut decision.state, &mut **diagnosis);
        let result = post_filter(pod, self.cache.snapshot_mut(), &self.profile, notes);
        let node = result.nominated_node_name.flatten();
        let keys: BTreeSet<String> = result.victims.iter().map(|victim| victim.key()).collect();
        match (expected, node) {
            (Preemption::Nothing(message), None) if *message == diagnosis.post_filter_message => {}
            (Preemption::Nodes(nodes), Some(node)) if nodes.contains(&(node.clone(), keys.clone())) => {}
            (expected, node) => faults.push(format!(
                "preemption: {node:?} {keys:?} {:?} instead of {expected:?}",
                diagnosis.post_filter_message
            )),
        }
        assert_eq!(before, self.cache.snapshot().len());
        result.victims.iter().map(|victim| victim.uid.to_string()).collect()
    }
}

#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn chosen_is_best(&mut self, decision: &Decision, verdict: &Verdict) {
        if let (Outcome::Node(node), Some(best)) = (&decision.outcome, verdict.totals.values().max()) {
            self.differ("best", &verdict.totals.get(&**node), &Some(best));
        }
    }

    fn differ<T: PartialEq + std::fmt::Debug + ?Sized>(&mut self, what: &str, found: &T, expected: &T) {
        if found != expected {
            self.0.push(format!("{what}: {found:?} instead of {expected:?}"));
        }
    }
}

fn refusal(status: &Status) -> Refusal {
    let code = match status.code() {
        Code::UnschedulableAndUnresolvable => reference::Code::Unresolvable,
        _ => reference::Code::Unschedulable,
    };
    let mut reasons: Vec<String> = status.reasons().iter().map(ToString::to_string).collect();
    if status.plugin() == "NodeResourcesFit" {
        // In upstream the order of extended resources is that of a map.
        let pods = reasons.iter().filter(|reason| *reason == "Too many pods").cloned().collect::<Vec<_>>();
        reasons.retain(|reason| reason != "Too many pods");
        reasons.sort();
        reasons = [pods, reasons].concat();
    }
    Refusal { plugin: status.plugin(), code, reasons }
}

/// The profile's arguments as the reference takes them.
fn args(profile: &Value) -> Args {
    let of = |name: &str| {
        let all = profile["pluginConfig"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).map(|one| one["args"].clone()).unwrap()
    };
    let (fit, near, spread) = (of("NodeResourcesFit"), of("InterPodAffinity"), of("PodTopologySpread"));
    let strategy = &fit["scoringStrategy"];
    let resources = |list: &Value| -> Vec<(String, i64)> {
        let all = list.as_array().cloned().unwrap_or_default();
        let named = |one: &Value| (one["name"].as_str().unwrap().to_owned(), one["weight"].as_i64().unwrap());
        let given: Vec<_> = all.iter().map(named).collect();
        if given.is_empty() { vec![("cpu".to_owned(), 1), ("memory".to_owned(), 1)] } else { given }
    };
    let shape = strategy["requestedToCapacityRatio"]["shape"].as_array().cloned().unwrap_or_default();
    let names = |list: &Value| parse::<Option<BTreeSet<String>>>(list).unwrap_or_default();
    let disabled = profile["plugins"]["multiPoint"]["disabled"].as_array().unwrap();
    Args {
        disabled: disabled.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect(),
        weights: [
            ("TaintToleration", 3),
            ("NodeAffinity", 2),
            ("NodeResourcesFit", 1),
            ("PodTopologySpread", 2),
            ("InterPodAffinity", 2),
            ("DynamicResources", 2),
            ("NodeResourcesBalancedAllocation", 1),
            ("ImageLocality", 1),
        ]
        .into(),
        strategy: match strategy["type"].as_str().unwrap() {
            "LeastAllocated" => Strategy::Least,
            "MostAllocated" => Strategy::Most,
            _ => Strategy::Ratio,
        },
        shape: shape
            .iter()
            .map(|point| (point["utilization"].as_i64().unwrap(), point["score"].as_i64().unwrap()))
            .collect(),
        fit_resources: resources(&strategy["resources"]),
        ignored_resources: names(&fit["ignoredResources"]),
        ignored_groups: names(&fit["ignoredResourceGroups"]),
        balanced_resources: resources(&of("NodeResourcesBalancedAllocation")["resources"])
            .into_iter()
            .map(|(name, _)| name)
            .collect(),
        added_affinity: parse(&of("NodeAffinity")["addedAffinity"]),
        hard_pod_affinity_weight: near["hardPodAffinityWeight"].as_i64().unwrap(),
        ignore_preferred_terms_of_existing_pods: near["ignorePreferredTermsOfExistingPods"].as_bool().unwrap(),
        default_constraints: parse(&spread["defaultConstraints"]),
    }
}

/// The differences that a seed brings to light, and how many verdicts it took.
fn run(seed: u64, size: Size) -> (u64, Vec<String>) {
    let mut verdicts = 0;
    let run = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let mut case = Case::new(seed, size);
        for step in 0..size.steps {
            let faults = case.step();
            verdicts = case.verdicts;
            if !faults.is_empty() {
                return [vec![format!("step {step}, profile {:?}", case.args)], faults].concat();
            }
        }
        Vec::new()
    }));
    (verdicts, run.unwrap_or_else(|_| vec!["somebody panicked".to_owned()]))
}

/// The smallest cluster in which the same seed still shows a difference.
fn shrink(seed: u64, size: Size) -> (Size, Vec<String>) {
    let mut best = (size, run(seed, size).1);
    for nodes in [1, 2, 3, 5, 8, 16, 32] {
        for pods in [1, 3, 6, 12, 24, 48] {
            let smaller = Size { nodes, pods, steps: size.steps };
            let faults = run(seed, smaller).1;
            if nodes * pods < best.0.nodes * best.0.pods && !faults.is_empty() {
                best = (smaller, faults);
            }
        }
    }
    best
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn decisions_are_those_of_the_reference() {
    let (wanted, first) = (number("DIFFERENTIAL_VERDICTS", VERDICTS), number("DIFFERENTIAL_SEED", 1));
    let (mut verdicts, mut seed) = (0, first);
    while verdicts < wanted {
        let size = SIZES[usize::try_from(seed).unwrap() % SIZES.len()];
        let (count, faults) = run(seed, size);
        if !faults.is_empty() {
            let (size, faults) = shrink(seed, size);
            panic!("seed {seed}, {size:?}:\n{}", faults.join("\n"));
        }
        verdicts += count;
        seed += 1;
    }
    println!("{verdicts} verdicts agree, seeds {first} to {}", seed - 1);
}
