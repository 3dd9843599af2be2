//! What namespaces may use and do use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::pod::Pod;
use crate::resources::amount;

/// Quantities by resource, as the API has them.
pub(super) type List = Map<String, Value>;

/// Amounts by resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Amounts(BTreeMap<Arc<str>, i64>);

impl Amounts {
    /// What a pod asks for.
    pub(super) fn of(pod: &Pod) -> Self {
        let requests = &pod.spec.requests;
        let named =
            [("cpu", requests.cpu), ("memory", requests.memory), ("ephemeral-storage", requests.ephemeral_storage)];
        let named = named.into_iter().filter(|(_, amount)| *amount > 0);
        let mut amounts: BTreeMap<Arc<str>, i64> = named.map(|(name, amount)| (Arc::from(name), amount)).collect();
        amounts.extend(requests.scalars.iter().map(|(name, amount)| (name.clone(), *amount)));
        Self(amounts)
    }

    fn read(list: &List) -> Self {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Self(list.iter().map(|(name, value)| (Arc::from(name.as_str()), amount(name, &text(value)))).collect())
    }

    pub(super) fn add(&mut self, other: &Self, sign: i64) {
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_default() += sign * amount;
        }
    }

    fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

/// The quota of a namespace, and what is used of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Quota {
    min: Amounts,
    max: Amounts,
    used: Amounts,
}

impl Quota {
    /// Whether with this besides more would be used than is guaranteed.
    pub(super) fn is_over_min(&self, more: &Amounts) -> bool {
        let names: BTreeSet<_> = self.used.0.keys().chain(more.0.keys()).collect();
        // What nobody guarantees to the namespace it has borrowed, if it is shared at all.
        names.into_iter().any(|name| {
            let used = self.used.get(name) + more.get(name);
            self.min.0.get(name).is_some_and(|min| used > *min)
        })
    }

    /// Whether with this besides more would be used than is allowed.
    pub(super) fn is_over_max(&self, more: &Amounts) -> bool {
        self.max.0.iter().any(|(name, max)| more.get(name) > 0 && self.used.get(name) + more.get(name) > *max)
    }
}

/// All quotas, by namespace.
#[derive(Debug, Default)]
pub(super) struct Quotas(BTreeMap<String, Quota>);

impl Quotas {
    /// There is one quota a namespace; the first counts.
    pub(super) fn add(&mut self, namespace: &str, (min, max): (Option<&List>, Option<&List>), used: Amounts) {
        let read = |list: Option<&List>| list.map(Amounts::read).unwrap_or_default();
        let quota = || Quota { min: read(min), max: read(max), used };
        self.0.entry(namespace.to_owned()).or_insert_with(quota);
    }

    pub(super) fn get(&self, namespace: &str) -> Option<&Quota> {
        self.0.get(namespace)
    }

    /// As if a pod came or went.
    pub(super) fn count(&mut self, pod: &Pod, sign: i64) {
        if let Some(quota) = self.0.get_mut(&*pod.spec.namespace) {
            quota.used.add(&Amounts::of(pod), sign);
        }
    }

    /// Whether with this besides more would be used in all than is guaranteed in all.
    pub(super) fn are_over_min(&self, more: &Amounts) -> bool {
        let (mut used, mut min) = (more.clone(), Amounts::default());
        for quota in self.0.values() {
            used.add(&quota.used, 1);
            min.add(&quota.min, 1);
        }
        min.0.iter().any(|(name, min)| more.get(name) > 0 && used.get(name) > *min)
    }
}

/// What pods on nodes use, by namespace: those that the API shows there, and those for which a node was chosen.
#[derive(Debug, Default)]
pub(super) struct Usage {
    pods: BTreeMap<Arc<str>, Used>,
    namespaces: BTreeMap<Arc<str>, Amounts>,
}

#[derive(Debug)]
struct Used {
    namespace: Arc<str>,
    amounts: Amounts,
    bound: bool,
}

impl Usage {
    pub(super) fn of(&self, namespace: &str) -> Amounts {
        self.namespaces.get(namespace).cloned().unwrap_or_default()
    }

    /// A pod is on a node, or will be.
    pub(super) fn set(&mut self, pod: &Pod, bound: bool) {
        let bound = bound | self.pods.get(&pod.uid).is_some_and(|used| used.bound);
        self.remove(&pod.uid);
        let used = Used { namespace: pod.spec.namespace.clone(), amounts: Amounts::of(pod), bound };
        self.namespaces.entry(used.namespace.clone()).or_default().add(&used.amounts, 1);
        self.pods.insert(pod.uid.clone(), used);
    }

    /// A pod will not be on its node, unless the API has shown it there.
    pub(super) fn release(&mut self, uid: &str) {
        if self.pods.get(uid).is_some_and(|used| !used.bound) {
            self.remove(uid);
        }
    }

    pub(super) fn remove(&mut self, uid: &str) {
        let Some(used) = self.pods.remove(uid) else { return };
        if let Some(amounts) = self.namespaces.get_mut(&used.namespace) {
            amounts.add(&used.amounts, -1);
        }
    }
}
