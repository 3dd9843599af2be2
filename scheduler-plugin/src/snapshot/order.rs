//! The order in which nodes are looked at: one of each zone in turn, so that the search is fair to zones.
//! Source: `pkg/scheduler/backend/cache`, `nodeTree`.

use std::sync::Arc;

use super::Row;
use crate::wire::Map;

const ZONE: [&str; 2] = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];
const REGION: [&str; 2] = ["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"];

/// Nodes by zone, both in the order of their appearance.
#[derive(Debug, Default)]
pub(super) struct NodeOrder {
    zones: Vec<(String, Vec<Row>)>,
    rows: Arc<Vec<Row>>,
    stale: bool,
}

impl NodeOrder {
    pub(super) fn add(&mut self, zone: &str, row: Row) {
        match self.zones.iter_mut().find(|(name, _)| name == zone) {
            Some((_, rows)) => rows.push(row),
            None => self.zones.push((zone.to_owned(), vec![row])),
        }
        self.stale = true;
    }

    pub(super) fn remove(&mut self, zone: &str, row: Row) {
        if let Some((_, rows)) = self.zones.iter_mut().find(|(name, _)| name == zone) {
            rows.retain(|&other| other != row);
        }
        self.zones.retain(|(_, rows)| !rows.is_empty());
        self.stale = true;
    }

    /// Brings `rows` up to date; call it after changes.
    pub(super) fn refresh(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let all = Arc::make_mut(&mut self.rows);
        all.clear();
        let longest = self.zones.iter().map(|(_, rows)| rows.len()).max().unwrap_or(0);
        for turn in 0..longest {
            let in_turn = self.zones.iter().filter_map(|(_, rows)| rows.get(turn));
            all.extend(in_turn);
        }
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn shared(&self) -> Arc<Vec<Row>> {
        self.rows.clone()
    }
}

/// Region and zone of a node as one text; empty if it has neither.
pub(super) fn zone_of(labels: &Map) -> String {
    let get = |keys: [&str; 2]| keys.iter().find_map(|&key| labels.get(key)).map_or("", String::as_str);
    match (get(REGION), get(ZONE)) {
        ("", "") => String::new(),
        (region, zone) => format!("{region}\0{zone}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_take_turns() {
        let mut order = NodeOrder::default();
        for (zone, row) in [("a", 0), ("a", 1), ("b", 2), ("a", 3), ("c", 4), ("c", 5)] {
            order.add(zone, row);
        }
        order.refresh();
        assert_eq!(order.rows(), [0, 2, 4, 1, 5, 3]);
        order.remove("b", 2);
        order.refresh();
        assert_eq!(order.rows(), [0, 4, 1, 5, 3]);
    }
}
