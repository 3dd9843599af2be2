//! A heap whose order comes from outside, and from whose middle things can be taken.

use std::collections::HashMap;
use std::sync::Arc;

/// A binary heap of things that have a uid.
#[derive(Debug)]
pub(super) struct Heap<T> {
    items: Vec<(Arc<str>, T)>,
    places: HashMap<Arc<str>, usize>,
}

impl<T> Default for Heap<T> {
    fn default() -> Self {
        Self { items: Vec::new(), places: HashMap::new() }
    }
}

impl<T> Heap<T> {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn peek(&self) -> Option<&T> {
        self.items.first().map(|(_, item)| item)
    }

    pub(super) fn get(&self, uid: &str) -> Option<&T> {
        let &place = self.places.get(uid)?;
        Some(&self.items[place].1)
    }

    pub(super) fn get_mut(&mut self, uid: &str) -> Option<&mut T> {
        let &place = self.places.get(uid)?;
        Some(&mut self.items[place].1)
    }

    pub(super) fn uids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.items.iter().map(|(uid, _)| uid)
    }

    pub(super) fn contains(&self, uid: &str) -> bool {
        self.places.contains_key(uid)
    }

    /// Puts an item in; one of the same uid is replaced.
    pub(super) fn push(&mut self, uid: Arc<str>, item: T, less: impl Fn(&T, &T) -> bool) {
        self.remove(&uid, &less);
        self.places.insert(uid.clone(), self.items.len());
        self.items.push((uid, item));
        self.up(self.items.len() - 1, &less);
    }

    pub(super) fn pop(&mut self, less: impl Fn(&T, &T) -> bool) -> Option<T> {
        let uid = self.items.first()?.0.clone();
        self.remove(&uid, less)
    }

    pub(super) fn remove(&mut self, uid: &str, less: impl Fn(&T, &T) -> bool) -> Option<T> {
        let place = self.places.remove(uid)?;
        let (_, item) = self.items.swap_remove(place);
        if place < self.items.len() {
            self.places.insert(self.items[place].0.clone(), place);
            self.fix(place, &less);
        }
        Some(item)
    }

    fn fix(&mut self, place: usize, less: &impl Fn(&T, &T) -> bool) {
        if self.up(place, less) == place {
            self.down(place, less);
        }
    }

    fn up(&mut self, mut place: usize, less: &impl Fn(&T, &T) -> bool) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if !less(&self.items[place].1, &self.items[parent].1) {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
        place
    }

    fn down(&mut self, mut place: usize, less: &impl Fn(&T, &T) -> bool) {
        loop {
            let mut first = place;
            for child in [2 * place + 1, 2 * place + 2] {
                if child < self.items.len() && less(&self.items[child].1, &self.items[first].1) {
                    first = child;
                }
            }
            if first == place {
                return;
            }
            self.swap(place, first);
            place = first;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.items.swap(a, b);
        for place in [a, b] {
            if let Some(known) = self.places.get_mut(&self.items[place].0) {
                *known = place;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_out_in_order_whatever_was_taken_from_the_middle() {
        let mut heap = Heap::default();
        let less = |a: &u32, b: &u32| a < b;
        for item in [5_u32, 3, 9, 1, 7, 8, 2] {
            heap.push(item.to_string().into(), item, less);
        }
        assert_eq!(heap.remove("3", less), Some(3));
        assert_eq!(heap.remove("3", less), None);
        heap.push("9".into(), 0, less);
        let all: Vec<_> = std::iter::from_fn(|| heap.pop(less)).collect();
        assert_eq!(all, [0, 1, 2, 5, 7, 8]);
    }
}
