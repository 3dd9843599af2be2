//! A decision told node by node.

use std::collections::BTreeMap;
use std::fmt;

use super::{Decision, Outcome, filter_one};
use crate::pod::Pod;
use crate::profile::Profile;
use crate::snapshot::{Row, Snapshot};
use crate::status::Status;

/// Why each node was chosen, passed over or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// All nodes by name.
    pub nodes: BTreeMap<String, Verdict>,
    /// The node that was chosen.
    pub chosen: Option<String>,
}

/// What was found out about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can run the pod.
    Feasible {
        /// The weighted score of each plugin; empty if there was nothing to compare.
        scores: Vec<(&'static str, i64)>,
        /// Their sum.
        total: i64,
    },
    /// A plugin refused it.
    Refused(Status),
    /// Enough feasible nodes were found before it was its turn.
    NotLookedAt,
}

impl Decision {
    /// Tells the decision node by node. Give what the decision was made from, unchanged: refused nodes are asked again.
    pub fn explain(&self, pod: &Pod, snapshot: &Snapshot, profile: &Profile) -> Explanation {
        let places: BTreeMap<Row, usize> = self.feasible.iter().enumerate().map(|(place, row)| (*row, place)).collect();
        let verdict = |row: Row| {
            if let Some(&place) = places.get(&row) {
                let mut scores: Vec<_> =
                    self.scores.iter().map(|scores| (scores.plugin, scores.scores[place])).collect();
                let total = self.totals.get(place).copied().unwrap_or(0);
                let beside = total - scores.iter().map(|(_, score)| score).sum::<i64>();
                if beside != 0 {
                    scores.push((crate::extender::NAME, beside));
                }
                return Verdict::Feasible { scores, total };
            }
            if let Outcome::Unschedulable(diagnosis) = &self.outcome
                && let Some(status) = diagnosis.status_of(row)
            {
                return Verdict::Refused(status.clone());
            }
            if let Some((_, status)) = self.refused_by_extenders.iter().find(|(refused, _)| *refused == row) {
                return Verdict::Refused(status.clone());
            }
            let status = filter_one(pod, snapshot, profile, &self.state, row);
            if status.is_success() { Verdict::NotLookedAt } else { Verdict::Refused(status) }
        };
        let node = |row: &Row| (snapshot.node(*row).name().to_string(), verdict(*row));
        let chosen = match &self.outcome {
            Outcome::Node(node) => Some(node.to_string()),
            _ => None,
        };
        Explanation { nodes: snapshot.order().iter().map(node).collect(), chosen }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, verdict) in &self.nodes {
            let mark = if self.chosen.as_ref() == Some(name) { '*' } else { ' ' };
            match verdict {
                Verdict::Feasible { scores, total } => {
                    write!(f, "{mark} {name}: {total}")?;
                    for (plugin, score) in scores {
                        write!(f, " {plugin}={score}")?;
                    }
                    writeln!(f)?;
                }
                Verdict::Refused(status) => writeln!(f, "{mark} {name}: {}: {status}", status.plugin())?,
                Verdict::NotLookedAt => writeln!(f, "{mark} {name}: not looked at")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{Cluster, requests};

    #[test]
    fn a_decision_is_told_node_by_node() {
        let mut cluster = Cluster::new(&["n1", "n2"]);
        cluster.node("n3", &json!({"spec": {"unschedulable": true}}));
        cluster.run("n1", "", &requests(&json!({"cpu": "2"})));
        let pod = cluster.pod("", &requests(&json!({"cpu": "1"})));
        let decision = cluster.decide(&pod);
        let told = decision.explain(&pod, cluster.cache.snapshot(), &cluster.profile).to_string();
        assert_eq!(
            told,
            "  n1: 428 TaintToleration=300 NodeResourcesFit=60 DynamicResources=0 NodeResourcesBalancedAllocation=68 \
             ImageLocality=0\n\
             * n2: 454 TaintToleration=300 NodeResourcesFit=86 DynamicResources=0 NodeResourcesBalancedAllocation=68 \
             ImageLocality=0\n  \
             n3: NodeUnschedulable: node(s) were unschedulable\n"
        );
    }

    #[test]
    fn a_refusal_is_told_node_by_node() {
        let mut cluster = Cluster::new(&["n1"]);
        let pod = cluster.pod("", &requests(&json!({"cpu": "5"})));
        let decision = cluster.decide(&pod);
        let told = decision.explain(&pod, cluster.cache.snapshot(), &cluster.profile).to_string();
        assert_eq!(told, "  n1: NodeResourcesFit: Insufficient cpu\n");
    }
}
