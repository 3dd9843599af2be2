//! The devices that a node can reach, and what is left of what they share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use steersman_machinery::quantity::Quantity;

use crate::node_selector::Terms;
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
    /// Whether no name stands for two devices, or for two sets of counters.
    is_valid: bool,
}

/// What a node can reach.
pub(super) struct Reachable {
    /// The devices that can be given; those that a pod may have to wait for come last.
    pub(super) devices: Vec<Place>,
    /// A pool that is being updated, by its name with the driver's.
    pub(super) incomplete: Option<String>,
    /// A pool that nobody can make sense of.
    pub(super) invalid: Option<String>,
}

/// All pools of the cluster.
pub(super) struct Pools(BTreeMap<(String, String), Pool>);

impl Pools {
    pub(super) fn new(slices: &Table<ResourceSlice>) -> Self {
        let mut pools: BTreeMap<(String, String), Pool> = BTreeMap::new();
        let new = |generation| Pool { generation, slices: Vec::new(), is_valid: true };
        for slice in slices.iter() {
            let spec = &slice.spec;
            let generation = spec.pool.generation;
            let pool = pools.entry((spec.driver.clone(), spec.pool.name.clone()));
            let pool = pool.or_insert_with(|| new(generation));
            if generation > pool.generation {
                *pool = new(generation);
            }
            if generation == pool.generation {
                pool.slices.push(slice.clone());
            }
        }
        for pool in pools.values_mut() {
            pool.is_valid = pool.has_unique_names();
        }
        Self(pools)
    }

    /// What a node can reach. Only pools of which a slice is meant for the node play a role.
    pub(super) fn reachable(&self, node: NodeRef<'_>) -> Reachable {
        let (mut found, mut waiting) = (Vec::new(), Vec::new());
        let (mut incomplete, mut invalid) = (None, None);
        for ((driver, name), pool) in &self.0 {
            let here: Vec<_> = pool.slices.iter().filter(|slice| is_meant_for(slice, node)).collect();
            let Some(first) = here.first() else { continue };
            if first.spec.pool.resource_slice_count != pool.slices.len() {
                incomplete.get_or_insert_with(|| format!("{driver}/{name}"));
                continue;
            }
            if !pool.is_valid {
                invalid.get_or_insert_with(|| format!("{driver}/{name}"));
                continue;
            }
            let places = here.into_iter().flat_map(places).filter(|place| reaches(place.reach(), node));
            let places: Vec<Place> = places.collect();
            let waits = places.iter().any(|place| !place.device().binding_conditions.is_empty());
            if waits { waiting.extend(places) } else { found.extend(places) }
        }
        found.append(&mut waiting);
        Reachable { devices: found, incomplete, invalid }
    }

    /// What is left of the counters that devices share, once these devices are taken.
    pub(super) fn counters_left(&self, taken: &AllocatedState) -> CountersLeft {
        let mut left = CountersLeft::default();
        for ((driver, name), pool) in &self.0 {
            for set in pool.slices.iter().flat_map(|slice| &slice.spec.shared_counters) {
                for (counter, amount) in &set.counters {
                    let key = (driver.clone(), name.clone(), set.name.clone(), counter.clone());
                    left.0.insert(key, quantity(&amount.value));
                }
            }
            for place in pool.slices.iter().flat_map(places).filter(|place| taken.has_any(&place.id())) {
                left.take(&place);
            }
        }
        left
    }
}

impl Pool {
    fn has_unique_names(&self) -> bool {
        let (mut devices, mut sets) = (BTreeSet::new(), BTreeSet::new());
        self.slices.iter().flat_map(places).all(|place| devices.insert(place.device().name.clone()))
            && self.slices.iter().flat_map(|slice| &slice.spec.shared_counters).all(|set| sets.insert(&set.name))
    }
}

fn places(slice: &Arc<ResourceSlice>) -> impl Iterator<Item = Place> {
    let slice = slice.clone();
    (0..slice.spec.devices.len()).map(move |index| Place { slice: slice.clone(), index })
}

/// Whether a slice has anything for a node; it need not be a device.
fn is_meant_for(slice: &ResourceSlice, node: NodeRef<'_>) -> bool {
    if slice.spec.per_device_node_selection {
        return slice.spec.devices.iter().any(|device| reaches(&device.reach, node));
    }
    reaches(&slice.spec.reach, node)
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

/// A quantity; unreadable text counts 0: the API server does not let it through.
pub(super) fn quantity(text: &str) -> Quantity {
    Quantity::parse(text).unwrap_or(Quantity::from_milli(0))
}

/// The devices that somebody has.
#[derive(Clone, Debug, Default)]
pub(super) struct AllocatedState {
    /// Those that somebody has for himself.
    pub(super) devices: BTreeSet<DeviceId>,
    /// How much of each capacity is taken of those that several have.
    pub(super) shared: BTreeMap<DeviceId, BTreeMap<String, Quantity>>,
}

impl AllocatedState {
    /// Counts a device that somebody has.
    pub(super) fn add(&mut self, device: DeviceId, share: Option<&BTreeMap<String, String>>) {
        match share {
            None => _ = self.devices.insert(device),
            Some(consumed) => {
                let taken = self.shared.entry(device).or_default();
                for (name, amount) in consumed {
                    let sum = taken.entry(name.clone()).or_insert(Quantity::from_milli(0));
                    *sum = *sum + quantity(amount);
                }
            }
        }
    }

    fn has_any(&self, device: &DeviceId) -> bool {
        self.devices.contains(device) || self.shared.contains_key(device)
    }
}

/// Amounts by driver, pool, set and counter.
#[derive(Clone, Default)]
pub(super) struct CountersLeft(BTreeMap<(String, String, String, String), Quantity>);

impl CountersLeft {
    /// Whether there is enough left for a device.
    pub(super) fn suffices(&self, place: &Place) -> bool {
        let enough = |set: &Counters| {
            set.counters.iter().all(|(counter, amount)| {
                let key = (place.driver().to_owned(), place.pool().to_owned(), set.name.clone(), counter.clone());
                self.0.get(&key).is_some_and(|left| *left >= quantity(&amount.value))
            })
        };
        place.device().consumes_counters.iter().all(enough)
    }

    /// A device is taken.
    pub(super) fn take(&mut self, place: &Place) {
        self.change(place, |left, amount| left - amount);
    }

    /// A device is given back.
    pub(super) fn give_back(&mut self, place: &Place) {
        self.change(place, |left, amount| left + amount);
    }

    fn change(&mut self, place: &Place, to: fn(Quantity, Quantity) -> Quantity) {
        for set in &place.device().consumes_counters {
            for (counter, amount) in &set.counters {
                let key = (place.driver().to_owned(), place.pool().to_owned(), set.name.clone(), counter.clone());
                let left = self.0.entry(key).or_insert(Quantity::from_milli(0));
                *left = to(*left, quantity(&amount.value));
            }
        }
    }
}
