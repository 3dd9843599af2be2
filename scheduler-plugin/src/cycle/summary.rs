//! A decision told by verdicts: nodes about which the same is to be said are told together, so that it can be read at
//! thousands of nodes as well.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{Explanation, Verdict};
use crate::pod::Pod;
use crate::profile::{Point, Profile};

/// How much a summary tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most groups; the feasible ones with the best scores and the largest of the others come first.
    pub groups: usize,
    /// The most nodes that are named in a group.
    pub nodes: usize,
}

impl Limits {
    /// Everything.
    pub const NONE: Self = Self { groups: usize::MAX, nodes: usize::MAX };
    /// What people read.
    pub const READABLE: Self = Self { groups: 8, nodes: 5 };
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The pod, as `namespace/name`.
    pub pod: String,
    /// The profile that decided.
    pub scheduler_name: String,
    /// The node that was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Why there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How many nodes there are.
    pub nodes: usize,
    /// By how much each plugin's score was multiplied.
    pub weights: BTreeMap<&'static str, i64>,
    /// Nodes about which the same is to be said.
    pub groups: Vec<Group>,
    /// How many nodes are in groups that are not told.
    #[serde(skip_serializing_if = "is_zero")]
    pub untold: usize,
}

/// Nodes about which the same is to be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// What.
    #[serde(flatten)]
    pub finding: Finding,
    /// How many nodes they are.
    pub count: usize,
    /// Their names: the chosen one first, then in order.
    pub nodes: Vec<String>,
}

/// What is to be said about some nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict")]
pub enum Finding {
    /// They can run the pod.
    Feasible {
        /// The sum of the weighted scores; none if there was nothing to compare.
        #[serde(skip_serializing_if = "Option::is_none")]
        score: Option<i64>,
        /// What each plugin gives, weighted.
        scores: BTreeMap<&'static str, i64>,
    },
    /// A plugin refused them.
    Refused {
        /// The plugin.
        plugin: &'static str,
        /// `Unschedulable`: preemption could help; `UnschedulableAndUnresolvable`: it can't.
        code: String,
        /// Why.
        reasons: Vec<String>,
    },
    /// Enough feasible nodes were found before it was their turn.
    NotLookedAt,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Summary {
    /// Tells an explanation; `message` says why there is no node, if there is none.
    pub fn new(pod: &Pod, explanation: &Explanation, (profile, message): (&Profile, String), limits: Limits) -> Self {
        let mut groups = group(explanation);
        let told = groups.len().min(limits.groups);
        let untold = groups.drain(told..).map(|group| group.count).sum();
        for group in &mut groups {
            if let Some(chosen) = &explanation.chosen
                && let Some(place) = group.nodes.iter().position(|name| name == chosen)
            {
                group.nodes[..=place].rotate_right(1);
            }
            group.nodes.truncate(limits.nodes);
        }
        Self {
            pod: pod.key(),
            scheduler_name: profile.scheduler_name.to_string(),
            node: explanation.chosen.clone(),
            message,
            nodes: explanation.nodes.len(),
            weights: profile.at(Point::Score).iter().map(|entry| (entry.plugin.name(), entry.weight)).collect(),
            groups,
            untold,
        }
    }
}

/// Groups in the order in which they are told: the best nodes, the most frequent refusals, the rest.
fn group(explanation: &Explanation) -> Vec<Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for (name, verdict) in &explanation.nodes {
        let finding = Finding::of(verdict);
        let key = format!("{finding:?}");
        let group = groups.entry(key).or_insert_with(|| Group { finding, count: 0, nodes: Vec::new() });
        group.count += 1;
        group.nodes.push(name.clone());
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by_key(|group| match &group.finding {
        Finding::Feasible { score, .. } => (0, -score.unwrap_or(0), 0),
        Finding::Refused { .. } => (1, 0, usize::MAX - group.count),
        Finding::NotLookedAt => (2, 0, 0),
    });
    groups
}

impl Finding {
    fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Feasible { scores, total } => Self::Feasible {
                score: (!scores.is_empty()).then_some(*total),
                scores: scores.iter().copied().collect(),
            },
            Verdict::Refused(status) => Self::Refused {
                plugin: status.plugin(),
                code: format!("{:?}", status.code()),
                reasons: status.reasons().iter().map(ToString::to_string).collect(),
            },
            Verdict::NotLookedAt => Self::NotLookedAt,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pod, nodes, message, .. } = self;
        match &self.node {
            Some(node) => writeln!(f, "{pod}: {node}, of {}", nodes_word(*nodes))?,
            None => writeln!(f, "{pod}: no node, of {}\n  {message}", nodes_word(*nodes))?,
        }
        for group in &self.groups {
            self.tell(group, f)?;
        }
        if self.untold > 0 {
            writeln!(f, "  and {} more", nodes_word(self.untold))?;
        }
        Ok(())
    }
}

impl Summary {
    fn tell(&self, group: &Group, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if group.nodes.len() < group.count { ", …" } else { "" };
        let nodes = format!("{}: {}{more}", nodes_word(group.count), group.nodes.join(", "));
        match &group.finding {
            Finding::Feasible { score: None, .. } => writeln!(f, "  feasible, nothing to compare with, {nodes}"),
            Finding::Feasible { score: Some(score), scores } => {
                writeln!(f, "  score {score}, {nodes}")?;
                let parts = scores.iter().filter(|(_, score)| **score != 0).map(|(plugin, score)| {
                    match self.weights.get(plugin).copied().unwrap_or(1) {
                        1 => format!("{plugin} {score}"),
                        weight => format!("{plugin} {score} ({weight}×{})", score / weight),
                    }
                });
                let parts: Vec<_> = parts.collect();
                if parts.is_empty() { Ok(()) } else { writeln!(f, "    {}", parts.join(", ")) }
            }
            Finding::Refused { plugin, reasons, .. } => {
                let by = if plugin.is_empty() { "" } else { " by " };
                writeln!(f, "  refused{by}{plugin}, {nodes}\n    {}", reasons.join(", "))
            }
            Finding::NotLookedAt => writeln!(f, "  not looked at, {nodes}"),
        }
    }
}

fn nodes_word(count: usize) -> String {
    if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Cluster, requests};

    fn summary(cluster: &mut Cluster, cpu: &str, limits: Limits) -> Summary {
        let pod = cluster.pod("", &requests(&json!({"cpu": cpu})));
        let decision = cluster.decide(&pod);
        let message = decision.message();
        let explanation = decision.explain(&pod, cluster.cache.snapshot(), &cluster.profile);
        Summary::new(&pod, &explanation, (&cluster.profile, message), limits)
    }

    #[test]
    fn nodes_about_which_the_same_is_to_be_said_are_told_together() {
        let names: Vec<String> = (0..90).map(|number| format!("n{number:02}")).collect();
        let mut cluster = Cluster::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for name in &names[..50] {
            cluster.run(name, "", &requests(&json!({"cpu": "2"})));
        }
        cluster.node("x", &json!({"spec": {"unschedulable": true}}));
        let told = summary(&mut cluster, "1", Limits { groups: 8, nodes: 1 });
        assert_eq!(told.groups.iter().map(|group| group.count).collect::<Vec<_>>(), [40, 50, 1]);
        assert_eq!(told.groups[0].nodes, [told.node.clone().unwrap()], "the chosen one comes first");
        let lines: Vec<String> = told.to_string().lines().skip(2).map(str::to_owned).collect();
        let expect = [
            "    NodeResourcesBalancedAllocation 68, NodeResourcesFit 86, TaintToleration 300 (3×100)",
            "  score 428, 50 nodes: n00, …",
            "    NodeResourcesBalancedAllocation 68, NodeResourcesFit 60, TaintToleration 300 (3×100)",
            "  refused by NodeUnschedulable, 1 node: x",
            "    node(s) were unschedulable",
        ];
        assert_eq!(lines, expect);
        let short = summary(&mut cluster, "1", Limits { groups: 1, nodes: 1 });
        assert_eq!((short.groups.len(), short.untold), (1, 51));
        assert!(short.to_string().ends_with("  and 51 nodes more\n"), "{short}");
    }

    #[test]
    fn a_pod_without_a_node_has_a_message() {
        let mut cluster = Cluster::new(&["n1"]);
        let told = summary(&mut cluster, "9", Limits::READABLE);
        let expect = "default/p1: no node, of 1 node\n  0/1 nodes are available: 1 Insufficient cpu.\n  \
                      refused by NodeResourcesFit, 1 node: n1\n    Insufficient cpu\n";
        assert_eq!(told.to_string(), expect);
        let json = serde_json::to_value(&told).unwrap();
        assert_eq!(json["groups"][0]["verdict"], "Refused");
        assert_eq!(json["groups"][0]["code"], "UnschedulableAndUnresolvable");
    }
}
