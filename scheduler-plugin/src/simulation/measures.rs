//! How good a placement is as a whole.

use serde::Serialize;

use crate::pod::Pod;
use crate::snapshot::{CPU, MEMORY, ResourceId, Row, Snapshot};

/// What became of a workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measures {
    /// Pods of the workload that got a node.
    pub placed: usize,
    /// Those that did not.
    pub unplaced: usize,
    /// Pods that had to make room.
    pub evicted: usize,
    /// Nodes on which pods are.
    pub used_nodes: usize,
    /// Nodes to which pods may go.
    pub nodes: usize,
    /// How cpu is used.
    pub cpu: Use,
    /// How memory is used.
    pub memory: Use,
}

/// How one resource is used; shares are from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// What pods have asked for, of what there is.
    pub utilization: f64,
    /// Of what is free, the share that lies on nodes to which one more pod of the workload's average size can't go.
    pub fragmentation: f64,
    /// The standard deviation of the utilization of the nodes: 0 if all are used alike.
    pub imbalance: f64,
    /// The utilization of each node, the highest first.
    pub by_node: Vec<f64>,
}

/// Measures a cluster after `workload` was scheduled.
pub(super) fn measure(snapshot: &Snapshot, workload: &[&Pod], (placed, evicted): (usize, usize)) -> Measures {
    let rows: Vec<Row> =
        snapshot.order().iter().copied().filter(|&row| !snapshot.unschedulable_column()[row as usize]).collect();
    let mean = |amount: fn(&Pod) -> i64| {
        let sum: i128 = workload.iter().map(|pod| i128::from(amount(pod))).sum();
        i64::try_from(sum / workload.len().max(1) as i128).unwrap_or(i64::MAX)
    };
    let average = [mean(|pod| pod.spec.requests.cpu), mean(|pod| pod.spec.requests.memory)];
    let full = |row: Row| (CPU..=MEMORY).any(|id| free(snapshot, id, row) < average[id]);
    Measures {
        placed,
        unplaced: workload.len() - placed,
        evicted,
        used_nodes: rows.iter().filter(|&&row| !snapshot.node(row).pods().is_empty()).count(),
        nodes: rows.len(),
        cpu: usage(snapshot, CPU, &rows, full),
        memory: usage(snapshot, MEMORY, &rows, full),
    }
}

fn free(snapshot: &Snapshot, id: ResourceId, row: Row) -> i64 {
    let column = snapshot.resource(id);
    (column.allocatable[row as usize] - column.requested[row as usize]).max(0)
}

#[expect(clippy::cast_precision_loss, reason = "shares are for people")]
fn usage(snapshot: &Snapshot, id: ResourceId, rows: &[Row], full: impl Fn(Row) -> bool) -> Use {
    let column = snapshot.resource(id);
    let share = |part: i128, whole: i128| if whole > 0 { part as f64 / whole as f64 } else { 0.0 };
    let sum = |values: &[i64]| rows.iter().map(|&row| i128::from(values[row as usize])).sum();
    let lost = rows.iter().filter(|&&row| full(row)).map(|&row| i128::from(free(snapshot, id, row))).sum();
    let all_free = rows.iter().map(|&row| i128::from(free(snapshot, id, row))).sum();
    let of_node = |&row: &Row| share(column.requested[row as usize].into(), column.allocatable[row as usize].into());
    let mut by_node: Vec<f64> = rows.iter().map(of_node).collect();
    by_node.sort_by(|a, b| b.total_cmp(a));
    let count = by_node.len().max(1) as f64;
    let mean = by_node.iter().sum::<f64>() / count;
    let variance = by_node.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    Use {
        utilization: share(sum(&column.requested), sum(&column.allocatable)),
        fragmentation: share(lost, all_free),
        imbalance: variance.sqrt(),
        by_node,
    }
}
