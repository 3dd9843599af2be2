//! Nodes that no plugin tells apart, together: a decision asks one node of each group and not all of them.
//!
//! Five thousand nodes on which the same few templates run are some dozen groups: nodes with the same kept score, in the same
//! zone, with as many pods that count on them. Groups follow the journal: a pod that comes moves its node to another one.

use std::collections::HashMap;

use steersman_machinery::random::Random;

use crate::plugin::{Counts, Difference};
use crate::snapshot::{Row, Snapshot};

/// Labels with at most so many values tell nodes apart by the value, so that nodes stay in their group when pods come; others
/// by what is counted there, so that there are few groups. Few in tests, whose clusters are small.
const FEW_VALUES: usize = if cfg!(test) { 5 } else { 64 };
const NOWHERE: u32 = u32::MAX;

/// The nodes in groups. Valid for one order of nodes: whoever changes labels begins anew.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// What tells nodes apart, besides their kept scores.
    features: Vec<Feature>,
    by_key: HashMap<Box<[i64]>, u32>,
    groups: Vec<Group>,
    /// Groups without nodes, to be used again.
    free: Vec<u32>,
    /// By row: its group, and its place in the order of nodes.
    of: Vec<u32>,
    places: Vec<u32>,
    /// Rows that may have to move.
    touched: Vec<Row>,
    is_stale: bool,
}

/// One difference, as it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Feature {
    column: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Value,
    CountByValue,
    CountByRow,
}

#[derive(Debug, Default)]
struct Group {
    /// A number for each feature, and the kept score.
    key: Box<[i64]>,
    /// Where its nodes are in the order, rising; empty if the group is not in use.
    places: Vec<u32>,
}

impl Feature {
    fn new(difference: &Difference<'_>, snapshot: &Snapshot) -> Self {
        let few = snapshot.labels().numbered(difference.column).values() <= FEW_VALUES;
        let kind = match difference.counts {
            Counts::ByRow(_) => Kind::CountByRow,
            Counts::ByValue(_) if !few => Kind::CountByValue,
            _ => Kind::Value,
        };
        Self { column: difference.column, kind }
    }

    /// The number by which a node differs from others.
    fn of(self, difference: &Difference<'_>, snapshot: &Snapshot, row: Row) -> i64 {
        let value = snapshot.labels().numbered(self.column).value(row);
        match (self.kind, difference.counts) {
            // Who lacks the label differs from all who have it.
            _ if value == 0 => i64::MIN,
            (Kind::CountByValue, Counts::ByValue(counts)) => counts.get(value as usize).copied().unwrap_or(0),
            (Kind::CountByRow, Counts::ByRow(counts)) => counts.get(row as usize).copied().unwrap_or(0),
            _ => i64::from(value),
        }
    }
}

impl Groups {
    /// Forgets everything.
    pub(super) fn begin(&mut self, snapshot: &Snapshot) {
        *self = Self { is_stale: true, ..Self::default() };
        self.of.resize(snapshot.rows(), NOWHERE);
        self.places.resize(snapshot.rows(), NOWHERE);
        for (place, &row) in (0..).zip(snapshot.order()) {
            self.places[row as usize] = place;
        }
    }

    /// All nodes may have to move.
    pub(super) fn touch_all(&mut self) {
        self.is_stale = true;
    }

    /// Something has changed on these nodes, which also counts for others with the same value of a label.
    pub(super) fn touch(&mut self, rows: &[Row], snapshot: &Snapshot) {
        if self.is_stale {
            return;
        }
        self.touched.extend_from_slice(rows);
        for feature in self.features.iter().filter(|feature| feature.kind == Kind::CountByValue) {
            let column = snapshot.labels().numbered(feature.column);
            for &row in rows {
                let value = column.value(row);
                if column.nodes(value) > 1 {
                    self.touched.extend(snapshot.order().iter().filter(|other| column.value(**other) == value));
                }
            }
        }
        self.is_stale = self.touched.len() > self.of.len();
    }

    /// Brings the groups up to date; `passes` and `scores` are by row.
    pub(super) fn update(
        &mut self,
        differences: &[Difference<'_>],
        snapshot: &Snapshot,
        (passes, scores): (&[bool], &[i64]),
    ) {
        let features = || differences.iter().map(|difference| Feature::new(difference, snapshot));
        if !features().eq(self.features.iter().copied()) {
            self.features = features().collect();
            self.by_key.clear();
            self.groups.clear();
            self.free.clear();
            self.of.fill(NOWHERE);
            self.is_stale = true;
        }
        let touched = std::mem::take(&mut self.touched);
        let rows = if std::mem::take(&mut self.is_stale) { snapshot.order() } else { &touched };
        let mut key = Vec::with_capacity(differences.len() + 1);
        for &row in rows {
            key.clear();
            if passes[row as usize] {
                let numbers = self.features.iter().zip(differences);
                key.extend(numbers.map(|(feature, difference)| feature.of(difference, snapshot, row)));
                key.push(scores[row as usize]);
            }
            self.put(row, &key);
        }
        self.touched = touched;
        self.touched.clear();
    }

    /// Puts a node into the group with this key; into none if the key is empty.
    fn put(&mut self, row: Row, key: &[i64]) {
        let (place, old) = (self.places[row as usize], self.of[row as usize]);
        if place == NOWHERE {
            return;
        }
        if old != NOWHERE {
            let group = &mut self.groups[old as usize];
            if *group.key == *key {
                return;
            }
            if let Ok(found) = group.places.binary_search(&place) {
                group.places.remove(found);
            }
            if group.places.is_empty() {
                self.by_key.remove(&group.key);
                self.free.push(old);
            }
        }
        self.of[row as usize] = if key.is_empty() { NOWHERE } else { self.group(key) };
        if let Some(group) = self.groups.get_mut(self.of[row as usize] as usize)
            && let Err(found) = group.places.binary_search(&place)
        {
            group.places.insert(found, place);
        }
    }

    /// The group with that key.
    fn group(&mut self, key: &[i64]) -> u32 {
        if let Some(&group) = self.by_key.get(key) {
            return group;
        }
        let group = self.free.pop().unwrap_or_else(|| {
            self.groups.push(Group::default());
            u32::try_from(self.groups.len() - 1).expect("no more groups than nodes")
        });
        self.groups[group as usize].key = key.into();
        self.by_key.insert(key.into(), group);
        group
    }

    /// A node of each group.
    pub(super) fn representatives(&self, snapshot: &Snapshot) -> Vec<Row> {
        let first = |group: &Group| group.places.first().map(|place| snapshot.order()[*place as usize]);
        self.groups.iter().filter_map(first).collect()
    }

    /// All nodes of the groups with these representatives, in order.
    pub(super) fn members(&self, representatives: &[Row], snapshot: &Snapshot) -> Vec<Row> {
        let mut is_meant = vec![false; self.groups.len()];
        let mut count = 0;
        for row in representatives {
            let group = self.of[*row as usize] as usize;
            is_meant[group] = true;
            count += self.groups[group].places.len();
        }
        if count == snapshot.len() {
            return snapshot.order().to_vec();
        }
        let meant = |row: &Row| is_meant.get(self.of[*row as usize] as usize).is_some_and(|meant| *meant);
        snapshot.order().iter().filter(|row| meant(row)).copied().collect()
    }

    /// A node with the best total, of those in the groups with these representatives; one of them at random if there are
    /// several.
    pub(super) fn pick(&self, snapshot: &Snapshot, (rows, totals): (&[Row], &[i64]), random: &Random) -> Option<Row> {
        let best = totals.iter().max()?;
        let tied = rows.iter().zip(totals).filter(|(_, total)| *total == best);
        let tied: Vec<&[u32]> = tied.map(|(row, _)| &*self.groups[self.of[*row as usize] as usize].places).collect();
        let count: usize = tied.iter().map(|places| places.len()).sum();
        let pick = if count > 1 { usize::try_from(random.below(count as u64)).unwrap_or(0) } else { 0 };
        Some(snapshot.order()[nth(&tied, pick)? as usize])
    }
}

/// The n-th of the numbers in several rising lists, from 0 on.
fn nth(lists: &[&[u32]], n: usize) -> Option<u32> {
    if let [only] = lists {
        return only.get(n).copied();
    }
    let (mut low, mut high) = (0, lists.iter().filter_map(|list| list.last()).max().copied()?);
    while low < high {
        let middle = low + (high - low) / 2;
        let up_to: usize = lists.iter().map(|list| list.partition_point(|number| *number <= middle)).sum();
        if up_to > n { high = middle } else { low = middle + 1 }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_of_several_lists_is_that_of_their_union() {
        let random = Random::seeded(1);
        for _ in 0..200 {
            let mut lists = vec![Vec::new(); 1 + random.below(4) as usize];
            let all: Vec<u32> = (0..60).filter(|_| random.below(3) == 0).collect();
            for &number in &all {
                let list = random.below(lists.len() as u64) as usize;
                lists[list].push(number);
            }
            let lists: Vec<&[u32]> = lists.iter().map(Vec::as_slice).collect();
            for (n, &expect) in all.iter().enumerate() {
                assert_eq!(nth(&lists, n), Some(expect), "{lists:?}");
            }
        }
    }
}
