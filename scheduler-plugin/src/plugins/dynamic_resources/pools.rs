//! The devices that a node can reach, and what is left of what they share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::node_selector::Terms;
use crate::resources::parse_quantity;
use crate::snapshot::{NodeRef, Snapshot, Table};
use crate::wire::{Counters, Device, NodeSelector, Reach, ResourceSlice};

/// Driver, pool and device.
pub(super) type DeviceId = (String, String, String);

/// A device of a slice.
#[derive(Clone)]
pub(super) struct Place {
    slice: Arc<ResourceSlice>,
    index: usize,
}

impl Place {
    pub(super) fn device(&self) -> &Device {
        &self.slice.spec.devices[self.index]
    }

    pub(super) fn driver(&self) -> &str {
        &self.slice.spec.driver
    }

    pub(super) fn pool(&self) -> &str {
        &self.slice.spec.pool.name
    }

    pub(super) fn id(&self) -> DeviceId {
        (self.driver().to_owned(), self.pool().to_owned(), self.device().name.clone())
    }

    /// Which nodes can reach it.
    pub(super) fn reach(&self) -> &Reach {
        let spec = &self.slice.spec;
        if spec.per_device_node_selection { &self.device().reach } else { &spec.reach }
    }
}

/// The newest generation of a pool.
struct Pool {
    generation: i64,
    slices: Vec<Arc<ResourceSlice>>,
}

/// All pools of the cluster.
pub(super) struct Pools(BTreeMap<(String, String), Pool>);

impl Pools {
    pub(super) fn new(slices: &Table<ResourceSlice>) -> Self {
        let mut pools: BTreeMap<(String, String), Pool> = BTreeMap::new();
        for slice in slices.iter() {
            let spec = &slice.spec;
            let generation = spec.pool.generation;
            let pool = pools.entry((spec.driver.clone(), spec.pool.name.clone()));
            let pool = pool.or_insert_with(|| Pool { generation, slices: Vec::new() });
            if generation > pool.generation {
                *pool = Pool { generation, slices: Vec::new() };
            }
            if generation == pool.generation {
                pool.slices.push(slice.clone());
            }
        }
        Self(pools)
    }

    /// The devices that a node can reach, and whether all slices of their pools are there. A pool in which a name stands
    /// for two devices is left out.
    pub(super) fn reachable(&self, node: NodeRef<'_>) -> (Vec<Place>, bool) {
        let (mut places, mut complete) = (Vec::new(), true);
        for pool in self.0.values() {
            let here: Vec<Place> = pool.places().filter(|place| reaches(place.reach(), node)).collect();
            if here.is_empty() || !pool.has_unique_names() {
                continue;
            }
            let whole = pool.slices.iter().all(|slice| slice.spec.pool.resource_slice_count <= pool.slices.len());
            complete &= whole;
            if whole {
                places.extend(here);
            }
        }
        (places, complete)
    }

    /// What is left of the counters that devices share, once these devices are taken.
    pub(super) fn counters_left(&self, taken: &BTreeSet<DeviceId>) -> CountersLeft {
        let mut left = CountersLeft::default();
        for ((driver, name), pool) in &self.0 {
            for set in pool.slices.iter().flat_map(|slice| &slice.spec.shared_counters) {
                for (counter, amount) in &set.counters {
                    let key = (driver.clone(), name.clone(), set.name.clone(), counter.clone());
                    left.0.insert(key, milli(&amount.value));
                }
            }
            for place in pool.places().filter(|place| taken.contains(&place.id())) {
                left.change(&place, -1);
            }
        }
        left
    }
}

impl Pool {
    fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let of = |slice: &Arc<ResourceSlice>| {
            let slice = slice.clone();
            (0..slice.spec.devices.len()).map(move |index| Place { slice: slice.clone(), index })
        };
        self.slices.iter().flat_map(of)
    }

    fn has_unique_names(&self) -> bool {
        let mut names = BTreeSet::new();
        self.places().all(|place| names.insert(place.device().name.clone()))
    }
}

fn reaches(reach: &Reach, node: NodeRef<'_>) -> bool {
    if reach.all_nodes {
        return true;
    }
    match (&reach.node_name, &reach.node_selector) {
        (Some(name), _) if !name.is_empty() => **name == **node.name(),
        (_, Some(selector)) => matches(selector, node.snapshot(), node),
        _ => false,
    }
}

/// Whether a node satisfies a selector.
pub(super) fn matches(selector: &NodeSelector, snapshot: &Snapshot, node: NodeRef<'_>) -> bool {
    Terms::new(selector, snapshot).matches(snapshot, node.row())
}

fn milli(quantity: &str) -> i64 {
    parse_quantity(quantity, 3).unwrap_or(0)
}

/// Amounts by driver, pool, set and counter.
#[derive(Default)]
pub(super) struct CountersLeft(BTreeMap<(String, String, String, String), i64>);

impl CountersLeft {
    /// Whether there is enough left for a device.
    pub(super) fn suffices(&self, place: &Place) -> bool {
        let enough = |set: &Counters| {
            set.counters.iter().all(|(counter, amount)| {
                let key = (place.driver().to_owned(), place.pool().to_owned(), set.name.clone(), counter.clone());
                self.0.get(&key).is_some_and(|left| *left >= milli(&amount.value))
            })
        };
        place.device().consumes_counters.iter().all(enough)
    }

    /// A device is taken (-1) or given back (1).
    pub(super) fn change(&mut self, place: &Place, sign: i64) {
        for set in &place.device().consumes_counters {
            for (counter, amount) in &set.counters {
                let key = (place.driver().to_owned(), place.pool().to_owned(), set.name.clone(), counter.clone());
                *self.0.entry(key).or_default() += sign * milli(&amount.value);
            }
        }
    }
}
