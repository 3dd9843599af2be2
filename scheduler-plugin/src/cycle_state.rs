//! What plugins remember between the extension points of one scheduling attempt.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A place for each plugin's notes on one attempt to schedule one pod.
#[derive(Default)]
pub struct CycleState {
    values: BTreeMap<&'static str, Box<dyn Any + Send + Sync>>,
    skip_filter: BTreeSet<&'static str>,
    activated: BTreeSet<Arc<str>>,
    /// Whether it is found out how long single plugins take.
    pub(crate) times_plugins: bool,
}

impl CycleState {
    /// Keeps a value under a key, usually the plugin's name and point (`PreFilterNodePorts`).
    pub fn write<T: Any + Send + Sync>(&mut self, key: &'static str, value: T) {
        self.values.insert(key, Box::new(value));
    }

    /// The value kept under that key; `None` if there is none or it has another type.
    pub fn read<T: Any>(&self, key: &'static str) -> Option<&T> {
        self.values.get(key)?.downcast_ref()
    }

    /// The value kept under that key, to be changed.
    pub fn read_mut<T: Any>(&mut self, key: &'static str) -> Option<&mut T> {
        self.values.get_mut(key)?.downcast_mut()
    }

    /// Leaves the Filter of a plugin out for this attempt.
    pub(crate) fn skip_filter(&mut self, plugin: &'static str) {
        self.skip_filter.insert(plugin);
    }

    /// Lets the Filter of a plugin take part again.
    pub(crate) fn unskip_filter(&mut self, plugin: &str) {
        self.skip_filter.remove(plugin);
    }

    /// Whether the Filter of a plugin is left out.
    pub(crate) fn skips_filter(&self, plugin: &str) -> bool {
        self.skip_filter.contains(plugin)
    }

    /// Has these pods tried at once, whatever they wait for: when the attempt has come as far as to a binding. (Upstream:
    /// the key `kubernetes.io/pods-to-activate`.)
    pub fn activate(&mut self, uids: impl IntoIterator<Item = Arc<str>>) {
        self.activated.extend(uids);
    }

    /// The pods to be tried at once; none a second time.
    pub(crate) fn take_activated(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.activated)
    }

    /// Forgets the value.
    pub fn delete(&mut self, key: &'static str) {
        self.values.remove(key);
    }
}

impl std::fmt::Debug for CycleState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_under_their_key_and_type() {
        let mut state = CycleState::default();
        state.write("a", 1_u32);
        if let Some(value) = state.read_mut::<u32>("a") {
            *value += 1;
        }
        assert_eq!(state.read::<u32>("a"), Some(&2));
        assert_eq!(state.read::<i64>("a"), None);
        state.delete("a");
        assert_eq!(state.read::<u32>("a"), None);
    }
}
