//! Owners that are known not to be there, so that a thousand dependents ask for them once.

use std::collections::{BTreeSet, VecDeque};

/// So many owners are remembered.
const CAPACITY: usize = 500;

/// Owners that are known not to be there, by namespace of the dependent and uid.
#[derive(Debug, Default)]
pub(super) struct Absent {
    known: BTreeSet<(String, String)>,
    order: VecDeque<(String, String)>,
}

impl Absent {
    pub(super) fn contains(&self, namespace: &str, uid: &str) -> bool {
        self.known.contains(&(namespace.to_owned(), uid.to_owned()))
    }

    pub(super) fn insert(&mut self, namespace: &str, uid: &str) {
        let entry = (namespace.to_owned(), uid.to_owned());
        if !self.known.insert(entry.clone()) {
            return;
        }
        self.order.push_back(entry);
        if self.order.len() > CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut absent = Absent::default();
        for n in 0..=CAPACITY {
            absent.insert("ns", &n.to_string());
        }
        assert!(!absent.contains("ns", "0") && absent.contains("ns", "1") && !absent.contains("other", "1"));
    }
}
