//! How fast nodes of a zone may be taken for lost. When many are, it is more likely that the network is at fault.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::objects::Node;

/// Nodes a second in a zone that is well (upstream's `--node-eviction-rate`).
const RATE: f64 = 0.1;
/// Nodes a second in a large zone of which a part is down (`--secondary-node-eviction-rate`).
const SECONDARY_RATE: f64 = 0.01;
/// How many nodes a large zone has at least, and one more (`--large-cluster-size-threshold`).
const LARGE: usize = 50;
/// Which part of a zone has to be down for that (`--unhealthy-zone-threshold`).
const UNHEALTHY: f64 = 0.55;
/// How many nodes are down at least before that is asked.
const FEW: usize = 2;

/// Region and zone of a node.
pub type Zone = (String, String);

/// The zone of a node.
pub fn zone_of(node: &Node) -> Zone {
    let label = |key: &str| node.metadata.labels.get(key).unwrap_or_default().to_owned();
    (label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"))
}

/// How a zone is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nobody has looked yet.
    #[default]
    Initial,
    /// Well.
    Normal,
    /// Nothing of it can be reached.
    FullDisruption,
    /// A large part of it cannot be reached.
    PartialDisruption,
}

/// How many nodes of a zone are there, and how many of them are not ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All of them.
    pub nodes: usize,
    /// Those that are not ready.
    pub not_ready: usize,
}

impl Count {
    /// How the zone is.
    pub fn state(self) -> State {
        let part = self.not_ready as f64 / self.nodes.max(1) as f64;
        match self.not_ready {
            not_ready if not_ready > 0 && not_ready == self.nodes => State::FullDisruption,
            not_ready if not_ready > FEW && part >= UNHEALTHY => State::PartialDisruption,
            _ => State::Normal,
        }
    }

    fn rate(self, state: State) -> f64 {
        match state {
            State::PartialDisruption if self.nodes > LARGE => SECONDARY_RATE,
            State::PartialDisruption => 0.0,
            _ => RATE,
        }
    }
}

/// The nodes of a zone that wait to be tainted, and when the next one may be.
#[derive(Debug, Default)]
struct Line {
    state: State,
    rate: f64,
    waiting: BTreeSet<String>,
    next: Option<Timestamp>,
}

/// All zones.
#[derive(Debug, Default)]
pub struct Zones(BTreeMap<Zone, Line>);

/// What is to be done about all nodes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    GoOn,
    /// Nobody can be reached: then it is us. No pod is driven away.
    Spare,
    /// Somebody can be reached again: all nodes get a new chance.
    StartOver,
}

impl Zones {
    /// Takes in how the zones are now.
    pub fn update(&mut self, counts: &BTreeMap<Zone, Count>) -> Verdict {
        self.0.retain(|zone, _| counts.contains_key(zone));
        for zone in counts.keys() {
            self.0.entry(zone.clone()).or_default();
        }
        let is_full = |state: State| state == State::FullDisruption;
        let (was_down, is_down) =
            (self.0.values().all(|line| is_full(line.state)), counts.values().all(|count| is_full(count.state())));
        for (zone, line) in &mut self.0 {
            let count = counts.get(zone).copied().unwrap_or_default();
            line.state = count.state();
            line.rate = if is_down { 0.0 } else { count.rate(line.state) };
            if is_down {
                line.waiting.clear();
            }
        }
        match (was_down, is_down) {
            _ if counts.is_empty() => Verdict::GoOn,
            (false, true) => Verdict::Spare,
            (true, false) => Verdict::StartOver,
            _ => Verdict::GoOn,
        }
    }

    /// Lets a node wait for its turn.
    pub fn wait(&mut self, node: &Node) {
        let line = self.0.entry(zone_of(node)).or_default();
        if line.rate > 0.0 || line.state == State::Initial {
            line.waiting.insert(node.metadata.name.clone());
        }
    }

    /// The node need not wait any more.
    pub fn forget(&mut self, name: &str) {
        for line in self.0.values_mut() {
            line.waiting.remove(name);
        }
    }

    /// Whether a node waits.
    pub fn is_waiting(&self) -> bool {
        self.0.values().any(|line| !line.waiting.is_empty())
    }

    /// The nodes whose turn it is, at most one of each zone.
    pub fn due(&mut self, now: Timestamp) -> Vec<String> {
        let mut due = Vec::new();
        for line in self.0.values_mut() {
            if line.rate <= 0.0 || line.next.is_some_and(|next| next > now) {
                continue;
            }
            if let Some(name) = line.waiting.pop_first() {
                let pause = SignedDuration::from_secs_f64(1.0 / line.rate);
                line.next = now.checked_add(pause).ok();
                due.push(name);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    fn zone(name: &str) -> Zone {
        (String::new(), name.to_owned())
    }

    fn counts(all: &[(&str, usize, usize)]) -> BTreeMap<Zone, Count> {
        all.iter()
            .map(|(name, nodes, not_ready)| (zone(name), Count { nodes: *nodes, not_ready: *not_ready }))
            .collect()
    }

    #[test]
    fn a_zone_is_as_well_as_its_nodes() {
        for (nodes, not_ready, expect) in [
            (3, 0, State::Normal),
            (3, 2, State::Normal),
            (3, 3, State::FullDisruption),
            (1, 1, State::FullDisruption),
            (10, 5, State::Normal),
            (10, 6, State::PartialDisruption),
        ] {
            assert_eq!(Count { nodes, not_ready }.state(), expect, "{not_ready} of {nodes}");
        }
    }

    #[test]
    fn nodes_wait_their_turn() {
        let named = |name: &str| Node {
            metadata: steersman_framework::meta::Meta { name: name.to_owned(), ..Default::default() },
            ..Node::default()
        };
        let mut zones = Zones::default();
        assert_eq!(zones.update(&counts(&[("", 5, 2)])), Verdict::GoOn);
        zones.wait(&named("a"));
        zones.wait(&named("b"));
        assert_eq!(zones.due(NOW), ["a"]);
        assert_eq!(zones.due(NOW + SignedDuration::from_secs(9)), Vec::<String>::new());
        assert_eq!(zones.due(NOW + SignedDuration::from_secs(10)), ["b"]);
        assert!(!zones.is_waiting());
    }

    #[test]
    fn when_nobody_answers_nobody_is_driven_away() {
        let mut zones = Zones::default();
        zones.update(&counts(&[("a", 2, 0), ("b", 1, 0)]));
        assert_eq!(zones.update(&counts(&[("a", 2, 2), ("b", 1, 0)])), Verdict::GoOn);
        assert_eq!(zones.update(&counts(&[("a", 2, 2), ("b", 1, 1)])), Verdict::Spare);
        assert_eq!(zones.update(&counts(&[("a", 2, 2), ("b", 1, 1)])), Verdict::GoOn);
        assert_eq!(zones.update(&counts(&[("a", 2, 2), ("b", 1, 0)])), Verdict::StartOver);
    }
}
