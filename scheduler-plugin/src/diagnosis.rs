//! Why no node could be found, as it is told to people.
//! Source: `pkg/scheduler/framework`, `FitError`.

mod node_to_status;

use std::collections::{BTreeMap, BTreeSet};

use crate::snapshot::Row;
use crate::status::{Code, Status};
pub(crate) use node_to_status::Marks;
pub use node_to_status::NodeToStatus;

/// Why no node is feasible.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// The number of nodes in the cluster.
    pub nodes: usize,
    /// Each node that was looked at, with the answer of the plugin that rejected it.
    pub node_to_status: NodeToStatus,
    /// The answer that counts for all nodes that were not looked at.
    pub absent: Option<Status>,
    /// The plugins that rejected the pod or a node.
    pub unschedulable_plugins: BTreeSet<&'static str>,
    /// The plugins that wait for somebody else to act.
    pub pending_plugins: BTreeSet<&'static str>,
    /// What a PreFilter plugin said, if it rejected the pod.
    pub pre_filter_message: String,
    /// What PostFilter plugins said.
    pub post_filter_message: String,
}

impl Diagnosis {
    /// Notes which plugin rejected.
    pub(crate) fn add_plugin(&mut self, status: &Status) {
        if status.plugin().is_empty() {
            return;
        }
        match status.code() {
            Code::Pending => self.pending_plugins.insert(status.plugin()),
            _ => self.unschedulable_plugins.insert(status.plugin()),
        };
    }

    /// Notes which plugins rejected nodes.
    pub(crate) fn add_plugins(&mut self) {
        let answers = self.node_to_status.clone();
        answers.counts().for_each(|(status, _)| self.add_plugin(status));
    }

    /// The answer that a node got.
    pub fn status_of(&self, row: Row) -> Option<&Status> {
        self.node_to_status.get(row).or(self.absent.as_ref())
    }

    /// The message of the event and the condition: `0/3 nodes are available: 1 Insufficient cpu, …`.
    pub fn message(&self) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let mut message = if self.pre_filter_message.is_empty() {
            let absent = self.nodes - self.node_to_status.len();
            let absent = self.absent.as_ref().map(|status| (status, absent));
            no_node_because(self.nodes, self.node_to_status.counts().chain(absent))
        } else {
            format!("{} {}.", no_node_available(self.nodes), self.pre_filter_message)
        };
        if !self.post_filter_message.is_empty() {
            message.push(' ');
            message.push_str(&self.post_filter_message);
        }
        message
    }
}

/// The beginning of the message.
pub(crate) fn no_node_available(nodes: usize) -> String {
    format!("0/{nodes} nodes are available:")
}

/// The message: what nodes were told, each with how many of them.
pub(crate) fn no_node_because<'a>(nodes: usize, answers: impl Iterator<Item = (&'a Status, usize)>) -> String {
    let (message, parts) = (no_node_available(nodes), histogram(answers));
    if parts.is_empty() { message } else { format!("{message} {parts}.") }
}

/// Equal reasons counted, and sorted as text: `1 Insufficient cpu, 10 Too many pods, 2 …`.
pub(crate) fn histogram<'a>(statuses: impl Iterator<Item = (&'a Status, usize)>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (status, nodes) in statuses.filter(|(_, nodes)| *nodes > 0) {
        for reason in status.reasons() {
            *counts.entry(reason).or_default() += nodes;
        }
    }
    let mut parts: Vec<_> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.sort();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_counts_reasons_and_sorts_them_as_text() {
        let mut diagnosis = Diagnosis { nodes: 14, ..Diagnosis::default() };
        for row in 0..10 {
            diagnosis.node_to_status.insert(row, Status::unresolvable("node(s) were unschedulable"));
        }
        let both = vec!["Insufficient cpu".into(), "Insufficient memory".into()];
        let both = Status::with_reasons(Code::Unschedulable, both);
        diagnosis.node_to_status.insert(10, both.clone());
        diagnosis.node_to_status.insert(11, both);
        diagnosis.absent = Some(Status::unresolvable("node(s) didn't satisfy plugin(s) [NodeAffinity]"));
        assert_eq!(
            diagnosis.message(),
            "0/14 nodes are available: 10 node(s) were unschedulable, 2 Insufficient cpu, 2 Insufficient memory, \
             2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
        );
        diagnosis.pre_filter_message = "pod affinity terms conflict".to_owned();
        diagnosis.post_filter_message = "nothing helps".to_owned();
        assert_eq!(diagnosis.message(), "0/14 nodes are available: pod affinity terms conflict. nothing helps");
        assert_eq!(Diagnosis::default().message(), "no nodes available to schedule pods");
    }
}
