//! The health of nodes: who has been silent for how long, and what follows. Pure: it is told what there is and what time
//! it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::objects::{Node, NodeCondition, Taint};
use super::taints::{NO_EXECUTE, NOT_READY, UNREACHABLE, plan_no_execute};
use super::zones::{Count, Verdict, Zone, Zones, zone_of};

/// How long a node may be silent (upstream's `--node-monitor-grace-period`).
const GRACE: SignedDuration = SignedDuration::from_secs(50);
/// How long a new node may take to say something (`--node-startup-grace-period`).
const STARTUP_GRACE: SignedDuration = SignedDuration::from_secs(60);
/// The label of nodes that do not count when it is asked how a zone is.
const EXCLUDED: &str = "node.kubernetes.io/exclude-disruption";
/// What is not known any more of a node that is silent.
const CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// An event about the node.
    Tell {
        /// The node.
        node: Arc<Node>,
        /// The reason of the event.
        reason: &'static str,
        /// Its message.
        message: String,
    },
    /// Sets conditions of the node.
    SetConditions {
        /// The node.
        node: Arc<Node>,
        /// Those that change.
        conditions: Vec<NodeCondition>,
    },
    /// Sets the taints of the node.
    SetTaints {
        /// The node.
        node: Arc<Node>,
        /// All of them.
        taints: Vec<Taint>,
    },
    /// The pods of the node are not ready any more.
    MarkPodsNotReady {
        /// The node's name.
        node: String,
    },
}

/// What is remembered of a node.
#[derive(Clone, Debug)]
struct Health {
    /// The condition `Ready` as it was last seen.
    ready: Option<NodeCondition>,
    /// The renewal of the lease that was last seen.
    renewed: String,
    /// When the node said something last, by our own clock.
    heard: Timestamp,
}

/// What is remembered of all nodes.
#[derive(Debug, Default)]
pub struct Monitor {
    nodes: BTreeMap<String, Health>,
    known: BTreeMap<String, Arc<Node>>,
    zones: Zones,
}

impl Monitor {
    /// Looks at all nodes; `leases` has the renewals by the names of the nodes.
    pub fn look(&mut self, nodes: &[Arc<Node>], leases: &BTreeMap<String, String>, now: Timestamp) -> Vec<Action> {
        let mut actions = self.take_in(nodes);
        let mut counts: BTreeMap<Zone, Count> = BTreeMap::new();
        for node in nodes {
            let renewed = leases.get(&node.metadata.name).map_or("", String::as_str);
            let ready = self.judge(node, renewed, now, &mut actions);
            // Some nodes come and go as they like, and say nothing about their zone.
            if node.metadata.labels.get(EXCLUDED).is_none() {
                let count = counts.entry(zone_of(node)).or_default();
                count.nodes += 1;
                count.not_ready += usize::from(ready != "True");
            }
        }
        match self.zones.update(&counts) {
            Verdict::GoOn => {}
            Verdict::Spare => {
                for node in nodes {
                    actions.retain(|action| !matches!(action, Action::SetTaints { node: it, .. } if it == node));
                    actions.extend(taints(node, None, now));
                }
            }
            Verdict::StartOver => self.nodes.values_mut().for_each(|health| health.heard = now),
        }
        actions
    }

    /// The nodes whose turn it is get the taint that drives their pods away.
    pub fn evict(&mut self, now: Timestamp) -> Vec<Action> {
        let due = self.zones.due(now);
        let nodes = due.iter().filter_map(|name| self.known.get(name));
        nodes.filter_map(|node| taints(node, wanted(ready(node).map_or("Unknown", |it| &it.status)), now)).collect()
    }

    /// Whether a node waits for that.
    pub fn is_evicting(&self) -> bool {
        self.zones.is_waiting()
    }

    /// Notes which nodes there are.
    fn take_in(&mut self, nodes: &[Arc<Node>]) -> Vec<Action> {
        let present: BTreeSet<&str> = nodes.iter().map(|node| node.metadata.name.as_str()).collect();
        let mut actions = Vec::new();
        let event = |node: &Arc<Node>, reason: &'static str, text: &str| {
            let name = &node.metadata.name;
            let message = format!("Node {name} event: {}", text.replace("{}", name));
            Action::Tell { node: Arc::clone(node), reason, message }
        };
        for (name, node) in &self.known {
            if !present.contains(name.as_str()) {
                actions.push(event(node, "RemovingNode", "Removing Node {} from Controller"));
                self.zones.forget(name);
            }
        }
        for node in nodes.iter().filter(|node| !self.known.contains_key(&node.metadata.name)) {
            actions.push(event(node, "RegisteredNode", "Registered Node {} in Controller"));
        }
        self.nodes.retain(|name, _| present.contains(name.as_str()));
        self.known = nodes.iter().map(|node| (node.metadata.name.clone(), Arc::clone(node))).collect();
        actions
    }

    /// Decides about one node; returns the status of its condition `Ready` as it is from now on.
    fn judge(&mut self, node: &Arc<Node>, renewed: &str, now: Timestamp, actions: &mut Vec<Action>) -> String {
        let heard = self.listen(node, renewed, now);
        let observed = ready(node);
        let grace = if observed.is_some() { GRACE } else { STARTUP_GRACE };
        let silent = heard.checked_add(grace).is_ok_and(|end| now > end);
        let before = observed.map_or("Unknown", |condition| condition.status.as_str());
        let after = if silent { "Unknown" } else { before };
        if silent {
            let conditions = unknown(node, now);
            // The rest goes with it: what is unknown already is not written again.
            if conditions.iter().any(|condition| condition.kind == "Ready") {
                actions.push(Action::SetConditions { node: Arc::clone(node), conditions });
            }
        }
        if observed.is_none() && !silent {
            // It has not come up yet, and still may.
            return after.to_owned();
        }
        match wanted(before) {
            None => {
                actions.extend(taints(node, None, now));
                self.zones.forget(&node.metadata.name);
            }
            Some(key) if has_other(node, key) => actions.extend(taints(node, Some(key), now)),
            Some(key) if !node.spec.taints.iter().any(|taint| taint.is(key, NO_EXECUTE)) => self.zones.wait(node),
            Some(_) => {}
        }
        if before == "True" && after != "True" {
            let message = format!("Node {} status is now: NodeNotReady", node.metadata.name);
            actions.push(Action::Tell { node: Arc::clone(node), reason: "NodeNotReady", message });
            actions.push(Action::MarkPodsNotReady { node: node.metadata.name.clone() });
        }
        if let Some(health) = self.nodes.get_mut(&node.metadata.name) {
            health.ready = observed.cloned();
        }
        after.to_owned()
    }

    /// When the node said something last.
    fn listen(&mut self, node: &Node, renewed: &str, now: Timestamp) -> Timestamp {
        let observed = ready(node);
        let first = || Health {
            ready: None,
            renewed: String::new(),
            heard: match observed {
                Some(_) => now,
                None => node.metadata.creation_timestamp.unwrap_or(now),
            },
        };
        let health = self.nodes.entry(node.metadata.name.clone()).or_insert_with(first);
        let heartbeat = |condition: Option<&NodeCondition>| condition.map(|it| it.last_heartbeat_time);
        if observed.is_some() && heartbeat(observed) != heartbeat(health.ready.as_ref()) {
            health.heard = now;
        }
        if renewed > health.renewed.as_str() {
            health.renewed = renewed.to_owned();
            health.heard = now;
        }
        health.heard
    }
}

fn ready(node: &Node) -> Option<&NodeCondition> {
    node.condition("Ready")
}

/// The taint that a node gets whose condition `Ready` has this status.
fn wanted(ready: &str) -> Option<&'static str> {
    match ready {
        "True" => None,
        "False" => Some(NOT_READY),
        _ => Some(UNREACHABLE),
    }
}

fn has_other(node: &Node, key: &str) -> bool {
    let other = if key == NOT_READY { UNREACHABLE } else { NOT_READY };
    node.spec.taints.iter().any(|taint| taint.is(other, NO_EXECUTE))
}

fn taints(node: &Arc<Node>, wanted: Option<&str>, now: Timestamp) -> Option<Action> {
    plan_no_execute(node, wanted, now).map(|taints| Action::SetTaints { node: Arc::clone(node), taints })
}

/// The conditions that become unknown.
fn unknown(node: &Node, now: Timestamp) -> Vec<NodeCondition> {
    let condition = |kind: &&str| match node.condition(kind) {
        Some(known) if known.status == "Unknown" => None,
        Some(known) => Some(NodeCondition {
            status: "Unknown".to_owned(),
            reason: "NodeStatusUnknown".to_owned(),
            message: "Kubelet stopped posting node status.".to_owned(),
            last_transition_time: Some(now),
            ..known.clone()
        }),
        None => Some(NodeCondition {
            kind: (*kind).to_owned(),
            status: "Unknown".to_owned(),
            reason: "NodeStatusNeverUpdated".to_owned(),
            message: "Kubelet never posted node status.".to_owned(),
            last_heartbeat_time: node.metadata.creation_timestamp,
            last_transition_time: Some(now),
        }),
    };
    CONDITIONS.iter().filter_map(condition).collect()
}

#[cfg(test)]
mod tests;
