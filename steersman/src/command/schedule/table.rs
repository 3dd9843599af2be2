//! Placements and measures for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Run;
use crate::scheduler::simulation::{Measures, Placement, Report, Use};

/// One run: where each pod goes. Two: what differs.
pub(super) fn text(runs: &[Run], explain: bool) -> String {
    let mut text = String::new();
    match runs {
        [run] if explain => explanations(&run.report, &mut text),
        [run] => text.push_str(&placements(&run.report)),
        runs => text.push_str(&differences(runs)),
    }
    text.push('\n');
    text.push_str(&measures(runs));
    text
}

fn placements(report: &Report) -> String {
    let mut rows = vec![["POD", "NODE", "SCORE", "REMARK"].map(str::to_owned).to_vec()];
    rows.extend(report.placements.iter().map(|placement| {
        let score = placement.score.map_or_else(|| "-".to_owned(), |score| score.to_string());
        vec![placement.pod.clone(), node(placement), score, remark(placement)]
    }));
    columns(&rows)
}

fn node(placement: &Placement) -> String {
    placement.node.clone().unwrap_or_else(|| "-".to_owned())
}

fn remark(placement: &Placement) -> String {
    match placement.evicted.as_slice() {
        [] => placement.message.clone(),
        evicted => format!("evicts {}", evicted.join(", ")),
    }
}

fn explanations(report: &Report, text: &mut String) {
    for placement in &report.placements {
        match &placement.explanation {
            Some(explanation) => text.push_str(&explanation.to_string()),
            None => text.push_str(&format!("{}: no node\n  {}\n", placement.pod, placement.message)),
        }
        if !placement.evicted.is_empty() {
            text.push_str(&format!("  {}\n", remark(placement)));
        }
    }
}

/// The pods that go elsewhere.
fn differences(runs: &[Run]) -> String {
    let mut rows = vec![vec!["POD".to_owned()]];
    rows[0].extend(runs.iter().map(|run| run.name.clone()));
    let count = runs[0].report.placements.len();
    for place in 0..count {
        let nodes: Vec<String> = runs.iter().map(|run| node(&run.report.placements[place])).collect();
        if nodes.iter().any(|node| *node != nodes[0]) {
            rows.push([vec![runs[0].report.placements[place].pod.clone()], nodes].concat());
        }
    }
    let differ = rows.len() - 1;
    let mut text = format!("{differ} of {count} pods go elsewhere\n");
    if differ > 0 {
        text.push('\n');
        text.push_str(&columns(&rows));
    }
    text
}

fn measures(runs: &[Run]) -> String {
    type Cell = fn(&Measures) -> String;
    type UseCell = fn(&Use) -> f64;
    let counts: [(&str, Cell); 4] = [
        ("pods placed", |measures| measures.placed.to_string()),
        ("pods unplaced", |measures| measures.unplaced.to_string()),
        ("pods evicted", |measures| measures.evicted.to_string()),
        ("nodes with pods", |measures| format!("{} of {}", measures.used_nodes, measures.nodes)),
    ];
    let shares: [(&str, UseCell); 4] = [
        ("utilization", |usage| usage.utilization),
        ("fragmentation", |usage| usage.fragmentation),
        ("imbalance", |usage| usage.imbalance),
        ("fullest node", |usage| usage.by_node.first().copied().unwrap_or(0.0)),
    ];
    let mut rows = Vec::new();
    if runs.len() > 1 {
        rows.push([vec![String::new()], runs.iter().map(|run| run.name.clone()).collect()].concat());
    }
    for (name, cell) in counts {
        let cells = runs.iter().map(|run| cell(&run.report.measures)).collect();
        rows.push([vec![name.to_owned()], cells].concat());
    }
    for (resource, of) in [("cpu", (|it| &it.cpu) as fn(&Measures) -> &Use), ("memory", |it| &it.memory)] {
        for (name, share) in shares {
            let cells = runs.iter().map(|run| percent(share(of(&run.report.measures)))).collect();
            rows.push([vec![format!("{resource} {name}")], cells].concat());
        }
    }
    let mut text = columns(&rows);
    if let [run] = runs {
        text.push_str(&reasons(&run.report));
    }
    text
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Why pods have no node, if there are many of them: each reason once.
fn reasons(report: &Report) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for placement in report.placements.iter().filter(|placement| placement.node.is_none()) {
        *counts.entry(&placement.message).or_default() += 1;
    }
    let mut text = String::new();
    for (message, count) in counts.into_iter().filter(|(_, count)| *count > 1) {
        _ = writeln!(text, "{count} pods: {message}");
    }
    text
}

/// Rows with aligned columns; the last one is as long as it likes.
fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            _ = write!(line, "{cell:width$}   ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
