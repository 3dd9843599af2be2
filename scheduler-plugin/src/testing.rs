//! Short ways to say a cluster, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use steersman_machinery::random::Random;

use crate::cache::Cache;
use crate::configuration::ProfileConfiguration;
use crate::cycle::{Decision, Outcome, Search, post_filter, schedule_one};
use crate::pod::Pod;
use crate::profile::Profile;
use crate::registry::{Handle, Registry};

/// A cluster in memory, with the default profile unless another is given.
pub(crate) struct Cluster {
    pub(crate) cache: Cache,
    pub(crate) profile: Profile,
    pods: usize,
}

/// A profile with arguments for plugins.
pub(crate) fn profile(plugin_config: &[(&str, Value)]) -> Profile {
    let configuration = ProfileConfiguration {
        scheduler_name: "default-scheduler".to_owned(),
        plugin_config: plugin_config.iter().map(|(name, args)| ((*name).to_owned(), args.clone())).collect(),
        ..ProfileConfiguration::default()
    };
    Profile::new(&configuration, &Registry::in_tree(), &Handle::for_tests()).unwrap()
}

impl Cluster {
    /// Nodes with 4 cpu, 8 GiB and room for 20 pods, named after their labels: `n1 zone=a disk=ssd`.
    pub(crate) fn new(nodes: &[&str]) -> Self {
        let mut cluster = Self { cache: Cache::default(), profile: profile(&[]), pods: 0 };
        for node in nodes {
            cluster.node(node, &json!({}));
        }
        cluster
    }

    /// Adds a node; `change` has fields to merge in.
    pub(crate) fn node(&mut self, text: &str, change: &Value) {
        let mut words = text.split(' ');
        let name = words.next().unwrap();
        let mut labels: BTreeMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
        labels.insert("kubernetes.io/hostname", name);
        let mut node = json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {},
            "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "20"}},
        });
        merge(&mut node, change);
        self.cache.set_node(Arc::new(serde_json::from_value(node).unwrap()));
    }

    /// Adds an object that is kept as the API sends it; its `kind` says where.
    pub(crate) fn object(&mut self, object: &Value) {
        assert!(self.cache.set_stored(object["kind"].as_str().unwrap(), object).unwrap(), "{object}");
    }

    /// A pod with this spec and these labels (`app=web`).
    pub(crate) fn pod(&mut self, labels: &str, spec: &Value) -> Arc<Pod> {
        self.pods += 1;
        let name = format!("p{}", self.pods);
        let labels: BTreeMap<&str, &str> = labels.split(' ').filter_map(|word| word.split_once('=')).collect();
        let mut pod = json!({
            "metadata": {"name": name, "namespace": "default", "uid": name, "labels": labels},
            "spec": {"schedulerName": "default-scheduler", "containers": [{"name": "c", "image": "app:1"}]},
        });
        merge(&mut pod["spec"], spec);
        self.cache.intern(&serde_json::from_value(pod).unwrap())
    }

    /// Adds a pod that runs.
    pub(crate) fn run(&mut self, node: &str, labels: &str, spec: &Value) {
        let mut spec = spec.clone();
        spec["nodeName"] = json!(node);
        let pod = self.pod(labels, &spec);
        self.cache.set_pod(pod);
    }

    pub(crate) fn decide(&mut self, pod: &Pod) -> Decision {
        schedule_one(pod, self.cache.snapshot_mut(), &self.profile, &mut Search::new(Random::seeded(1)))
    }

    /// What PostFilter does about a pod that fits nowhere: `node: victims`, or what it says.
    pub(crate) fn preempt(&mut self, spec: &Value) -> String {
        let pod = self.pod("", spec);
        let mut decision = self.decide(&pod);
        let Outcome::Unschedulable(diagnosis) = &mut decision.outcome else { return "it fits".to_owned() };
        let notes = (&mut decision.state, &mut **diagnosis);
        let result = post_filter(&pod, self.cache.snapshot_mut(), &self.profile, notes);
        match result.nominated_node_name.flatten() {
            Some(node) => {
                let victims: Vec<_> = result.victims.iter().map(|victim| &*victim.name).collect();
                format!("{node}: {}", victims.join(" "))
            }
            None => diagnosis.post_filter_message.clone(),
        }
    }

    /// The names of the feasible nodes, or the message if there are none.
    pub(crate) fn feasible(&mut self, labels: &str, spec: &Value) -> String {
        let pod = self.pod(labels, spec);
        let decision = self.decide(&pod);
        match decision.outcome {
            Outcome::Unschedulable(diagnosis) => diagnosis.message(),
            Outcome::Error(status) => status.message(),
            Outcome::Node(_) => {
                let name = |row: &u32| self.cache.snapshot().node(*row).name().to_string();
                let mut names: Vec<_> = decision.feasible.iter().map(name).collect();
                names.sort();
                names.join(" ")
            }
        }
    }

    /// What a plugin gives each feasible node, in order of their names; empty if it does not score.
    pub(crate) fn scores(&mut self, plugin: &str, labels: &str, spec: &Value) -> Vec<i64> {
        let pod = self.pod(labels, spec);
        let decision = self.decide(&pod);
        let Some(scores) = decision.scores.iter().find(|scores| scores.plugin == plugin) else { return Vec::new() };
        let name = |row: &u32| self.cache.snapshot().node(*row).name().clone();
        let by_name: BTreeMap<_, _> = decision.feasible.iter().map(name).zip(&scores.scores).collect();
        by_name.into_values().copied().collect()
    }
}

/// One container with these requests.
pub(crate) fn requests(requests: &Value) -> Value {
    json!({"containers": [{"name": "c", "image": "app:1", "resources": {"requests": requests}}]})
}

/// Puts what a change says into an object.
pub(crate) fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}
