//! Decisions compared with recorded ones of the reference scheduler, if somebody has a folder of them.
//!
//! A case is a JSON file with `config` (a `KubeSchedulerConfiguration` or null), `objects` (what is there) and `pods`
//! (steps, of which those with `pod` and `outcome` are decided and compared).

#![expect(clippy::unwrap_used, reason = "a case that can't be read is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use steersman_machinery::random::Random;
use steersman_scheduler_plugin::cache::Cache;
use steersman_scheduler_plugin::cycle::{Decision, Outcome, Search, post_filter, schedule_one};
use steersman_scheduler_plugin::plugin::PostFilterResult;
use steersman_scheduler_plugin::profile::Profile;
use steersman_scheduler_plugin::registry::Handle;
use steersman_scheduler_plugin::{Configuration, Options, profiles};

/// Kinds of objects that are kept as they come and have a namespace.
const NAMESPACED: [&str; 3] = ["PersistentVolumeClaim", "CSIStorageCapacity", "ResourceClaim"];

struct Case {
    profiles: BTreeMap<Arc<str>, Profile>,
    cache: Cache,
    classes: BTreeMap<String, Value>,
    overheads: BTreeMap<String, Value>,
    search: Search,
    faults: Vec<String>,
}

impl Case {
    fn new(config: &Value) -> Self {
        let mut configuration = Configuration::default();
        if !config.is_null() {
            let given = Configuration::from_yaml(&config.to_string()).unwrap();
            configuration.profiles.extend(given.profiles);
        }
        let handle = Handle::for_tests();
        let options = Options { configuration, ..Options::default() };
        let mut cache = Cache::default();
        cache.set_namespace(
            &serde_json::from_value(
                json!({"metadata": {"name": "default", "labels": {"kubernetes.io/metadata.name": "default"}}}),
            )
            .unwrap(),
        );
        let class = |value: i64| json!({"value": value});
        let classes = [
            ("system-cluster-critical".to_owned(), class(2_000_000_000)),
            ("system-node-critical".to_owned(), class(2_000_001_000)),
        ];
        Self {
            profiles: profiles(&options, &handle).unwrap(),
            cache,
            classes: classes.into(),
            overheads: BTreeMap::new(),
            search: Search::new(Random::seeded(1)),
            faults: Vec::new(),
        }
    }

    /// What the API server would have filled in.
    fn defaulted(&self, pod: &Value) -> Value {
        let mut pod = pod.clone();
        let name = pod["metadata"]["name"].clone();
        if pod["metadata"]["namespace"].is_null() {
            pod["metadata"]["namespace"] = json!("default");
        }
        pod["metadata"]["uid"] = json!(format!("{}/{name}", pod["metadata"]["namespace"]));
        let spec = pod["spec"].as_object_mut().unwrap();
        spec.entry("schedulerName").or_insert(json!("default-scheduler"));
        let default = self.classes.values().find(|class| class["globalDefault"] == json!(true));
        let named = spec.get("priorityClassName").and_then(Value::as_str).and_then(|name| self.classes.get(name));
        if let Some(class) = named.or(default) {
            spec.insert("priority".to_owned(), class["value"].clone());
            spec.entry("preemptionPolicy").or_insert(class["preemptionPolicy"].clone());
        }
        if let Some(overhead) =
            spec.get("runtimeClassName").and_then(Value::as_str).and_then(|name| self.overheads.get(name))
        {
            spec.insert("overhead".to_owned(), overhead.clone());
        }
        for key in ["containers", "initContainers"] {
            for container in spec.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
                requests_from_limits(&mut container["resources"]);
            }
        }
        if let Some(resources) = spec.get_mut("resources") {
            requests_from_limits(resources);
        }
        if spec.get("hostNetwork") == Some(&json!(true)) {
            let containers = spec["containers"].as_array_mut().into_iter().flatten();
            for port in containers.flat_map(|container| container["ports"].as_array_mut().into_iter().flatten()) {
                port["hostPort"] = port["containerPort"].clone();
            }
        }
        let tolerations = spec.entry("tolerations").or_insert(json!([]));
        for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
            let toleration = json!({"key": key, "operator": "Exists", "effect": "NoExecute"});
            tolerations.as_array_mut().unwrap().push(toleration);
        }
        let labels = pod["metadata"]["labels"].clone();
        label_keys(&labels, &mut pod["spec"]["affinity"]);
        pod
    }

    fn object(&mut self, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        match object["kind"].as_str().unwrap() {
            "Node" => _ = self.cache.set_node(Arc::new(serde_json::from_value(object.clone()).unwrap())),
            "Pod" => {
                let pod = serde_json::from_value(self.defaulted(object)).unwrap();
                let pod = self.cache.intern(&pod);
                let finished = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
                if pod.node_name.is_some() && !finished {
                    self.cache.set_pod(pod);
                }
            }
            "PodDisruptionBudget" => {
                let mut object = object.clone();
                let namespace = &mut object["metadata"]["namespace"];
                if namespace.is_null() {
                    *namespace = json!("default");
                }
                self.cache.set_budget(serde_json::from_value(object).unwrap());
            }
            "PriorityClass" => _ = self.classes.insert(name, object.clone()),
            "RuntimeClass" => _ = self.overheads.insert(name, object["overhead"]["podFixed"].clone()),
            "Namespace" => {
                let mut object = object.clone();
                object["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
                self.cache.set_namespace(&serde_json::from_value(object).unwrap());
            }
            kind @ ("Service" | "ReplicationController" | "ReplicaSet" | "StatefulSet") => {
                let mut object = object.clone();
                let namespace = &mut object["metadata"]["namespace"];
                if namespace.is_null() {
                    *namespace = json!("default");
                }
                self.cache.set_selecting(kind.parse().unwrap(), &serde_json::from_value(object).unwrap());
            }
            kind => {
                let mut object = object.clone();
                let metadata = object["metadata"].as_object_mut().unwrap();
                metadata.entry("uid").or_insert(json!(name));
                if NAMESPACED.contains(&kind) {
                    metadata.entry("namespace").or_insert(json!("default"));
                }
                if kind == "StorageClass" && object["volumeBindingMode"].is_null() {
                    object["volumeBindingMode"] = json!("Immediate");
                }
                assert!(self.cache.set_stored(kind, &object).unwrap(), "{object}");
            }
        }
    }

    fn step(&mut self, step: &Value) -> bool {
        let (pod, expected) = (&step["pod"], &step["outcome"]);
        if pod.is_null() {
            return false;
        }
        if !expected["pending"].is_null() {
            return true;
        }
        let pod = self.cache.intern(&serde_json::from_value(self.defaulted(pod)).unwrap());
        let profile = &self.profiles[&pod.spec.scheduler_name];
        let mut decision = schedule_one(&pod, self.cache.snapshot_mut(), profile, &mut self.search);
        let mut result = PostFilterResult::default();
        if let Outcome::Unschedulable(diagnosis) = &mut decision.outcome
            && diagnosis.nodes > 0
        {
            result = post_filter(&pod, self.cache.snapshot_mut(), profile, (&mut decision.state, diagnosis));
        }
        let mut faults = compare(&decision, expected, &self.cache);
        let mut victims: Vec<String> = result.victims.iter().map(|victim| victim.key()).collect();
        victims.sort();
        if json!(victims) != expected["victims"] && !(victims.is_empty() && expected["victims"].is_null()) {
            faults.push(format!("victims: {victims:?} instead of {}", expected["victims"]));
        }
        self.faults.extend(faults.into_iter().map(|fault| format!("{}: {fault}", pod.name)));
        if !step["hold"].is_null() {
            return false;
        }
        for victim in result.victims {
            self.cache.remove_pod(&victim.uid);
        }
        if let Some(node) = expected["nodes"][0].as_str() {
            let mut placed = (*pod).clone();
            placed.node_name = Some(node.into());
            self.cache.set_pod(Arc::new(placed));
        }
        true
    }
}

/// Merges `matchLabelKeys` and `mismatchLabelKeys` into selectors, wherever they are.
fn label_keys(labels: &Value, value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| label_keys(labels, item)),
        Value::Object(fields) => {
            for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
                for key in fields.get(field).and_then(Value::as_array).cloned().into_iter().flatten() {
                    let label = &labels[key.as_str().unwrap()];
                    if !label.is_null() {
                        let expressions = &mut fields["labelSelector"]["matchExpressions"];
                        let requirement = json!({"key": key, "operator": operator, "values": [label]});
                        match expressions {
                            Value::Array(all) => all.push(requirement),
                            none => *none = json!([requirement]),
                        }
                    }
                }
            }
            fields.values_mut().for_each(|value| label_keys(labels, value));
        }
        _ => {}
    }
}

fn requests_from_limits(resources: &mut Value) {
    let Some(limits) = resources["limits"].as_object().cloned() else { return };
    for (name, limit) in limits {
        if resources["requests"][&name].is_null() {
            resources["requests"][&name] = limit;
        }
    }
}

fn compare(decision: &Decision, expected: &Value, cache: &Cache) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |what: &str, found: Value, expected: &Value| {
        if found != *expected {
            faults.push(format!("{what}: {found} instead of {expected}"));
        }
    };
    match &decision.outcome {
        Outcome::Error(status) => check("error", json!(status.message()), &Value::Null),
        Outcome::Unschedulable(diagnosis) => {
            check("message", json!(diagnosis.message()), &expected["message"]);
        }
        Outcome::Node(node) if !expected["message"].is_null() => check("node", json!(**node), &expected["message"]),
        Outcome::Node(node) => {
            let name = |row: u32| cache.snapshot().node(row).name().to_string();
            let sorted: BTreeMap<String, usize> =
                decision.feasible.iter().enumerate().map(|(place, row)| (name(*row), place)).collect();
            let best = decision.totals.iter().max();
            let best: BTreeSet<_> = match best {
                Some(best) => sorted
                    .iter()
                    .filter(|(_, place)| decision.totals[**place] == *best)
                    .map(|(name, _)| name.clone())
                    .collect(),
                None => BTreeSet::from([node.to_string()]),
            };
            check("nodes", json!(best), &expected["nodes"]);
            if !expected["feasible"].is_null() {
                check("feasible", json!(sorted.keys().collect::<Vec<_>>()), &expected["feasible"]);
                let scores: BTreeMap<&str, Vec<i64>> = decision
                    .scores
                    .iter()
                    .map(|scores| (scores.plugin, sorted.values().map(|place| scores.scores[*place]).collect()))
                    .collect();
                check("scores", json!(scores), &expected["scores"]);
            }
        }
    }
    faults
}

#[test]
#[ignore = "needs a folder of recorded cases, named in RECORDED_DECISIONS"]
fn decisions_are_the_recorded_ones() {
    let folder = std::env::var("RECORDED_DECISIONS").expect("RECORDED_DECISIONS names a folder");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut passed, mut failed) = (0, 0);
    for file in files {
        let case: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let mut run = Case::new(&case["config"]);
        case["objects"].as_array().unwrap().iter().for_each(|object| run.object(object));
        for step in case["pods"].as_array().unwrap() {
            if !run.step(step) || !run.faults.is_empty() {
                break;
            }
        }
        if run.faults.is_empty() {
            passed += 1;
        } else {
            failed += 1;
            println!("{}: {}", case["name"], run.faults.join("; "));
        }
    }
    println!("{passed} passed, {failed} failed");
    assert_eq!(failed, 0);
}
