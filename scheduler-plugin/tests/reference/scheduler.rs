//! kube-scheduler's rules once more, slow and literal: one function a rule, everything computed anew from the objects for
//! every question. It shares nothing with the scheduler that it judges.
//!
//! Source: `pkg/scheduler` of Kubernetes 1.36.

pub mod affinity;
pub mod devices;
pub mod nodes;
pub mod preemption;
pub mod resources;
pub mod selectors;
pub mod spread;
pub mod volumes;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{
    Namespace, Node, NodeAffinity, Pod, ReplicationController, Service, TopologySpreadConstraint,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::Value;

pub type Map = BTreeMap<String, String>;

/// Everything that there is.
#[derive(Clone, Default)]
pub struct World {
    pub nodes: Vec<Node>,
    /// Pods on nodes.
    pub pods: Vec<Pod>,
    /// Pods for which the node in their status is held.
    pub nominated: Vec<Pod>,
    pub namespaces: Vec<Namespace>,
    pub services: Vec<Service>,
    pub controllers: Vec<ReplicationController>,
    pub replica_sets: Vec<ReplicaSet>,
    pub stateful_sets: Vec<StatefulSet>,
    pub budgets: Vec<PodDisruptionBudget>,
    /// Volumes, devices, claims on both, and whatever belongs to them, each with its kind.
    pub stored: Vec<Value>,
}

/// A node with the pods on it.
#[derive(Clone)]
pub struct NodeInfo {
    pub node: Node,
    pub pods: Vec<Pod>,
}

impl NodeInfo {
    pub fn name(&self) -> &str {
        self.node.metadata.name.as_deref().unwrap()
    }

    pub fn labels(&self) -> Map {
        self.node.metadata.labels.clone().unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    Least,
    Most,
    Ratio,
}

/// The arguments of all plugins.
#[derive(Clone, Debug)]
pub struct Args {
    pub disabled: BTreeSet<String>,
    pub weights: BTreeMap<&'static str, i64>,
    pub strategy: Strategy,
    pub shape: Vec<(i64, i64)>,
    pub fit_resources: Vec<(String, i64)>,
    pub ignored_resources: BTreeSet<String>,
    pub ignored_groups: BTreeSet<String>,
    pub balanced_resources: Vec<String>,
    pub added_affinity: Option<NodeAffinity>,
    pub hard_pod_affinity_weight: i64,
    pub ignore_preferred_terms_of_existing_pods: bool,
    /// `None` for the system's.
    pub default_constraints: Option<Vec<TopologySpreadConstraint>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Unschedulable,
    Unresolvable,
}

/// Why a node is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub plugin: &'static str,
    pub code: Code,
    pub reasons: Vec<String>,
}

impl Refusal {
    pub fn new(plugin: &'static str, code: Code, reason: &str) -> Self {
        Self { plugin, code, reasons: vec![reason.to_owned()] }
    }
}

/// What PreFilter leaves for Filter.
#[derive(Clone, Default)]
pub struct State {
    pub skipped: BTreeSet<&'static str>,
    pub affinity: affinity::Counts,
    pub spread: spread::Counts,
    pub claims: volumes::Claims,
    pub devices: devices::Claims,
}

/// What a plugin gives the feasible nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scores {
    pub plugin: &'static str,
    pub raw: Vec<i64>,
    pub normalized: Vec<i64>,
}

/// The answer for a pod.
#[derive(Default)]
pub struct Verdict {
    /// In order of the nodes.
    pub feasible: Vec<String>,
    /// For every node that was looked at and refused.
    pub refused: BTreeMap<String, Refusal>,
    pub rejectors: BTreeSet<&'static str>,
    /// If no node is feasible.
    pub message: Option<String>,
    pub scores: Vec<Scores>,
    pub totals: BTreeMap<String, i64>,
    /// For what follows: the notes, and who may be looked at in preemption.
    pub state: State,
    pub helpful: Vec<String>,
    /// A PreFilter plugin ended the cycle, before others could prepare.
    pub aborted: bool,
}

impl Verdict {
    /// A PreFilter plugin ends the cycle.
    fn abort(mut self, total: usize, (plugin, why): (&'static str, String)) -> Self {
        self.message = Some(format!("0/{total} nodes are available: {why}."));
        self.rejectors.insert(plugin);
        self.aborted = true;
        self
    }
}

pub const FILTERS: [&str; 13] = [
    "NodeUnschedulable",
    "NodeName",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "VolumeRestrictions",
    "NodeVolumeLimits",
    "VolumeBinding",
    "VolumeZone",
    "PodTopologySpread",
    "InterPodAffinity",
    "DynamicResources",
];

pub struct Reference<'a> {
    pub world: &'a World,
    pub args: &'a Args,
    pub infos: Vec<NodeInfo>,
    /// Pods on nodes that are gone.
    pub strays: Vec<Pod>,
}

impl<'a> Reference<'a> {
    pub fn new(world: &'a World, args: &'a Args) -> Self {
        let info = |node: &Node| {
            let here = |pod: &&Pod| pod.spec.as_ref().unwrap().node_name == node.metadata.name;
            NodeInfo { node: node.clone(), pods: world.pods.iter().filter(here).cloned().collect() }
        };
        let is_known = |pod: &Pod| {
            let name = &pod.spec.as_ref().unwrap().node_name;
            world.nodes.iter().any(|node| node.metadata.name == *name)
        };
        let strays = world.pods.iter().filter(|pod| !is_known(pod)).cloned().collect();
        Self { world, args, infos: world.nodes.iter().map(info).collect(), strays }
    }

    pub fn enabled(&self, plugin: &str) -> bool {
        !self.args.disabled.contains(plugin)
    }

    /// One cycle.
    pub fn schedule(&self, pod: &Pod) -> Verdict {
        let mut verdict = Verdict::default();
        let total = self.infos.len();
        if total == 0 {
            verdict.message = Some("no nodes available to schedule pods".to_owned());
            return verdict;
        }
        let mut allowed: Option<BTreeSet<String>> = None;
        if self.enabled("NodeAffinity") {
            match nodes::node_affinity_pre_filter(pod, self.args) {
                nodes::PreFilter::Skip => _ = verdict.state.skipped.insert("NodeAffinity"),
                nodes::PreFilter::All => {}
                nodes::PreFilter::Only(names) => allowed = Some(names),
                nodes::PreFilter::Conflict => {
                    return verdict.abort(total, ("NodeAffinity", "pod affinity terms conflict".to_owned()));
                }
            }
        }
        if nodes::host_ports(pod).is_empty() {
            verdict.state.skipped.insert("NodePorts");
        }
        match volumes::pre_filter(self, pod, &mut verdict.state.skipped) {
            Ok(claims) => verdict.state.claims = claims,
            Err(why) => return verdict.abort(total, why),
        }
        verdict.state.spread = spread::pre_filter(self, pod);
        if verdict.state.spread.constraints.is_empty() {
            verdict.state.skipped.insert("PodTopologySpread");
        }
        verdict.state.affinity = affinity::pre_filter(self, pod);
        if verdict.state.affinity.is_skipped() {
            verdict.state.skipped.insert("InterPodAffinity");
        }
        match devices::pre_filter(self, pod) {
            Ok(claims) => verdict.state.devices = claims,
            Err(why) => {
                verdict = verdict.abort(total, ("DynamicResources", why));
                // It has noted that there is nothing to be given back.
                verdict.aborted = false;
                return verdict;
            }
        }
        let nominated = pod.status.as_ref().and_then(|status| status.nominated_node_name.clone());
        if let Some(info) = self.infos.iter().find(|info| nominated.as_deref() == Some(info.name())) {
            // Feasible nodes are not sought any further if the nominated one will do.
            if self.filter_beside_nominated(pod, &verdict.state, info).is_ok() {
                verdict.feasible.push(info.name().to_owned());
            }
        }
        if verdict.feasible.is_empty() {
            self.filter_all(pod, allowed.as_ref(), &mut verdict);
        }
        if verdict.feasible.is_empty() {
            self.fail(allowed.is_some(), &mut verdict);
        } else if verdict.feasible.len() > 1 {
            self.score(pod, &mut verdict);
        }
        verdict
    }

    fn filter_all(&self, pod: &Pod, allowed: Option<&BTreeSet<String>>, verdict: &mut Verdict) {
        for info in &self.infos {
            if allowed.is_some_and(|allowed| !allowed.contains(info.name())) {
                continue;
            }
            match self.filter_beside_nominated(pod, &verdict.state, info) {
                Ok(()) => verdict.feasible.push(info.name().to_owned()),
                Err(refusal) => {
                    if refusal.code == Code::Unschedulable {
                        verdict.helpful.push(info.name().to_owned());
                    }
                    verdict.rejectors.insert(refusal.plugin);
                    verdict.refused.insert(info.name().to_owned(), refusal);
                }
            }
        }
    }

    fn fail(&self, restricted: bool, verdict: &mut Verdict) {
        let mut reasons: Vec<String> = verdict.refused.values().flat_map(|refusal| refusal.reasons.clone()).collect();
        if restricted {
            let absent = self.infos.len() - verdict.refused.len();
            reasons.extend(vec!["node(s) didn't satisfy plugin(s) [NodeAffinity]".to_owned(); absent]);
            verdict.rejectors.insert("NodeAffinity");
        }
        verdict.message = Some(format!("0/{} nodes are available: {}.", self.infos.len(), histogram(&reasons)));
    }

    /// The first plugin that refuses the node.
    pub fn filter(&self, pod: &Pod, state: &State, info: &NodeInfo) -> Result<(), Refusal> {
        for plugin in FILTERS {
            if !self.enabled(plugin) || state.skipped.contains(plugin) {
                continue;
            }
            match plugin {
                "NodeUnschedulable" => nodes::node_unschedulable(pod, info)?,
                "NodeName" => nodes::node_name(pod, info)?,
                "TaintToleration" => nodes::taint_toleration(pod, info)?,
                "NodeAffinity" => nodes::node_affinity(pod, self.args, info)?,
                "NodePorts" => nodes::node_ports(pod, info)?,
                "NodeResourcesFit" => resources::fit(pod, self.args, info)?,
                "VolumeRestrictions" => volumes::restrictions(pod, &state.claims, info)?,
                "NodeVolumeLimits" => volumes::limits(self, pod, info)?,
                "VolumeBinding" => volumes::binding(self, pod, info)?,
                "VolumeZone" => volumes::zone(self, pod, info)?,
                "DynamicResources" => devices::filter(self, &state.devices, info)?,
                "PodTopologySpread" => spread::filter(pod, &state.spread, info)?,
                _ => affinity::filter(pod, self, &state.affinity, info)?,
            }
        }
        Ok(())
    }

    /// With the pods for which the node is held and that are not less important; and then without.
    pub fn filter_beside_nominated(&self, pod: &Pod, state: &State, info: &NodeInfo) -> Result<(), Refusal> {
        let against = |other: &&Pod| {
            let node = other.status.as_ref().and_then(|status| status.nominated_node_name.as_deref());
            node == Some(info.name()) && priority(other) >= priority(pod) && other.metadata.uid != pod.metadata.uid
        };
        let others: Vec<&Pod> = self.world.nominated.iter().filter(against).collect();
        if !others.is_empty() {
            let (mut state, mut info) = (state.clone(), info.clone());
            for other in others {
                self.add_pod(pod, other, &mut state, &mut info);
            }
            self.filter(pod, &state, &info)?;
        }
        self.filter(pod, state, info)
    }

    pub fn add_pod(&self, pod: &Pod, other: &Pod, state: &mut State, info: &mut NodeInfo) {
        info.pods.push(other.clone());
        self.tell(pod, other, (state, info), 1);
    }

    pub fn remove_pod(&self, pod: &Pod, other: &Pod, state: &mut State, info: &mut NodeInfo) {
        info.pods.retain(|present| present.metadata.uid != other.metadata.uid);
        self.tell(pod, other, (state, info), -1);
    }

    fn tell(&self, pod: &Pod, other: &Pod, (state, info): (&mut State, &NodeInfo), amount: i64) {
        if !state.skipped.contains("VolumeRestrictions") {
            volumes::change(pod, other, &mut state.claims, amount);
        }
        if self.enabled("PodTopologySpread") && !state.skipped.contains("PodTopologySpread") {
            spread::change(pod, other, (&mut state.spread, info), amount);
        }
        if self.enabled("InterPodAffinity") && !state.skipped.contains("InterPodAffinity") {
            affinity::change(self, (pod, other), (&mut state.affinity, info), amount);
        }
    }

    fn score(&self, pod: &Pod, verdict: &mut Verdict) {
        let feasible: Vec<&NodeInfo> =
            verdict.feasible.iter().map(|name| self.infos.iter().find(|info| info.name() == name).unwrap()).collect();
        let mut scores: Vec<Scores> = Vec::new();
        let mut add = |plugin, raw: Option<Vec<i64>>, normalize: &dyn Fn(&[i64]) -> Vec<i64>| {
            if let Some(raw) = raw.filter(|_| self.enabled(plugin)) {
                scores.push(Scores { plugin, normalized: normalize(&raw), raw });
            }
        };
        let each = |score: &dyn Fn(&NodeInfo) -> i64| Some(feasible.iter().map(|info| score(info)).collect());
        let as_is = |raw: &[i64]| raw.to_vec();
        add("TaintToleration", each(&|info| nodes::unwelcome_taints(pod, info)), &|raw| default_normalize(raw, true));
        let preferred = nodes::has_preferred_node_affinity(pod, self.args);
        let raw = each(&|info| nodes::preferred_node_affinity(pod, self.args, info)).filter(|_| preferred);
        add("NodeAffinity", raw, &|raw| default_normalize(raw, false));
        add("NodeResourcesFit", each(&|info| resources::fit_score(pod, self.args, info)), &as_is);
        let soft = spread::pre_score(self, pod, &feasible);
        let raw = soft.as_ref().map(|soft| feasible.iter().map(|info| spread::score(pod, soft, info)).collect());
        let normalize = |raw: &[i64]| spread::normalize(soft.as_ref().unwrap(), &feasible, raw);
        add("PodTopologySpread", raw, &normalize);
        let sympathies = affinity::pre_score(self, pod);
        let raw = sympathies.map(|all| feasible.iter().map(|info| affinity::score(&all, info)).collect());
        add("InterPodAffinity", raw, &affinity::normalize);
        let raw = each(&|info| resources::balanced_score(pod, self.args, info));
        add("DynamicResources", each(&|info| devices::score(self, &verdict.state.devices, info)), &|raw| {
            default_normalize(raw, false)
        });
        add("NodeResourcesBalancedAllocation", raw.filter(|_| resources::changes_balance(pod, self.args)), &as_is);
        add("ImageLocality", each(&|info| nodes::image_locality(self, pod, info)), &as_is);
        for (place, name) in verdict.feasible.iter().enumerate() {
            let weighted = |scores: &Scores| scores.normalized[place] * self.args.weights[scores.plugin];
            verdict.totals.insert(name.clone(), scores.iter().map(weighted).sum());
        }
        verdict.scores = scores;
    }
}

pub fn default_normalize(raw: &[i64], reverse: bool) -> Vec<i64> {
    let max = raw.iter().copied().max().unwrap();
    if max == 0 {
        return vec![if reverse { 100 } else { 0 }; raw.len()];
    }
    let share = |score: &i64| if reverse { 100 - 100 * score / max } else { 100 * score / max };
    raw.iter().map(share).collect()
}

/// Equal reasons counted, and the counts sorted as text.
pub fn histogram(reasons: &[String]) -> String {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut parts: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.sort();
    parts.join(", ")
}

pub fn priority(pod: &Pod) -> i32 {
    pod.spec.as_ref().unwrap().priority.unwrap_or(0)
}

pub fn pod_labels(pod: &Pod) -> Map {
    pod.metadata.labels.clone().unwrap_or_default()
}

pub fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap()
}
