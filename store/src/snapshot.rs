//! The objects of one resource as of one revision, in order of namespace and name.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdSet;

use crate::{Entry, Key, Revision};

/// The objects of one resource as of one revision. Cheap to clone; never changes.
#[derive(Clone)]
pub struct Snapshot {
    /// The revision that this shows: every write up to it is in, none after it is.
    pub revision: Revision,
    objects: Objects,
}

/// Objects in order. Each costs a pointer here: the key is read from the entry.
pub(crate) type Objects = OrdSet<Slot>;

/// An entry that is ordered by its place within the resource.
#[derive(Clone)]
pub(crate) struct Slot(pub(crate) Arc<Entry>);

/// A namespace and a name; how slots are looked up without making one.
pub(crate) trait Place {
    fn place(&self) -> (&str, &str);
}

impl Snapshot {
    pub(crate) fn new(revision: Revision, objects: Objects) -> Self {
        Self { revision, objects }
    }

    /// The revision that this shows.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Whether the other shows exactly the same objects: nothing was written to the resource in between. It takes the
    /// same time however many there are.
    pub fn shows_the_same(&self, other: &Self) -> bool {
        self.objects.ptr_eq(&other.objects)
    }

    /// The object of that name. Cluster-scoped objects have the namespace "".
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Entry>> {
        find(&self.objects, namespace, name)
    }

    /// The objects, by namespace, then by name; only those of `namespace` if it is given, and only those strictly after
    /// the (namespace, name) `after` if it is given (no object needs to be there).
    pub fn range<'a>(
        &'a self,
        namespace: Option<&str>,
        after: Option<(&str, &str)>,
    ) -> impl Iterator<Item = &'a Arc<Entry>> + use<'a> {
        // The smallest string above a namespace is the namespace with a zero byte behind.
        let end = namespace.map(|namespace| format!("{namespace}\0"));
        let first = namespace.map(|namespace| (namespace, ""));
        let (first, end) = (first, end.as_deref().map(|end| (end, "")));
        let lower = match (&first, &after) {
            (Some(first), Some(after)) if after >= first => Bound::Excluded(after as &dyn Place),
            (Some(first), _) => Bound::Included(first as &dyn Place),
            (None, Some(after)) => Bound::Excluded(after as &dyn Place),
            (None, None) => Bound::Unbounded,
        };
        let upper = match &end {
            Some(end) => Bound::Excluded(end as &dyn Place),
            None => Bound::Unbounded,
        };
        let beyond = matches!((&after, &end), (Some(after), Some(end)) if after >= end);
        (!beyond).then(|| self.objects.range::<_, dyn Place>((lower, upper))).into_iter().flatten().map(|slot| &slot.0)
    }

    /// How many objects [`range`](Self::range) would return. It walks over pointers and reads no object: some
    /// nanoseconds each.
    pub fn count(&self, namespace: Option<&str>, after: Option<(&str, &str)>) -> usize {
        match (namespace, after) {
            (None, None) => self.len(),
            _ => self.range(namespace, after).count(),
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("revision", &self.revision).field("objects", &self.objects.len()).finish()
    }
}

/// The object at a place.
pub(crate) fn find<'a>(objects: &'a Objects, namespace: &str, name: &str) -> Option<&'a Arc<Entry>> {
    objects.get::<dyn Place>(&(namespace, name)).map(|slot| &slot.0)
}

/// The namespace as it stands in the key of an object that is there already, so that all of them share one string.
pub(crate) fn intern_namespace(objects: &Objects, namespace: &str) -> Option<Arc<str>> {
    let first: (&str, &str) = (namespace, "");
    let next = objects.get_next::<dyn Place>(&first)?;
    (*next.0.key.namespace == *namespace).then(|| Arc::clone(&next.0.key.namespace))
}

/// Takes the object at that place away.
pub(crate) fn remove(objects: &mut Objects, key: &Key) {
    objects.remove::<dyn Place>(&(&*key.namespace, &*key.name));
}

impl Place for Slot {
    fn place(&self) -> (&str, &str) {
        (&self.0.key.namespace, &self.0.key.name)
    }
}

impl Place for (&str, &str) {
    fn place(&self) -> (&str, &str) {
        *self
    }
}

impl<'a> Borrow<dyn Place + 'a> for Slot {
    fn borrow(&self) -> &(dyn Place + 'a) {
        self
    }
}

impl Ord for dyn Place + '_ {
    /// Objects of one namespace share its name, so that they need not compare it.
    fn cmp(&self, other: &Self) -> Ordering {
        let ((mine, name), (theirs, other)) = (self.place(), other.place());
        let namespace = if std::ptr::eq(mine, theirs) { Ordering::Equal } else { mine.cmp(theirs) };
        namespace.then_with(|| name.cmp(other))
    }
}

impl PartialOrd for dyn Place + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Place + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for dyn Place + '_ {}

impl Ord for Slot {
    fn cmp(&self, other: &Self) -> Ordering {
        (self as &dyn Place).cmp(other)
    }
}

impl PartialOrd for Slot {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Slot {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::entry;

    fn snapshot(places: &[(&str, &str)]) -> Snapshot {
        let slots = places.iter().map(|(namespace, name)| Slot(entry(namespace, name, 1)));
        Snapshot::new(1, slots.collect())
    }

    #[test]
    fn a_range_starts_after_a_place_and_stays_in_its_namespace() {
        let snapshot = snapshot(&[("a", "y"), ("a", "x"), ("a-b", "x"), ("b", "x"), ("b", "z"), ("c", "m")]);
        type Case<'a> = (Option<&'a str>, Option<(&'a str, &'a str)>, &'a [&'a str]);
        let cases: &[Case<'_>] = &[
            (None, None, &["a/x", "a/y", "a-b/x", "b/x", "b/z", "c/m"]),
            (None, Some(("a", "y")), &["a-b/x", "b/x", "b/z", "c/m"]),
            (None, Some(("b", "y")), &["b/z", "c/m"]),
            (None, Some(("c", "m")), &[]),
            (Some("a"), None, &["a/x", "a/y"]),
            (Some("a"), Some(("a", "x")), &["a/y"]),
            (Some("a"), Some(("a", "y")), &[]),
            (Some("b"), Some(("a", "x")), &["b/x", "b/z"]),
            (Some("a"), Some(("b", "x")), &[]),
            (Some("a"), Some(("a\0", "")), &[]),
            (Some("aa"), None, &[]),
        ];
        for (namespace, after, expect) in cases {
            let found: Vec<String> = snapshot
                .range(*namespace, *after)
                .map(|entry| format!("{}/{}", entry.key.namespace, entry.key.name))
                .collect();
            assert_eq!(found, *expect, "{namespace:?} {after:?}");
            assert_eq!(snapshot.count(*namespace, *after), expect.len());
        }
    }

    #[test]
    fn objects_are_found_by_namespace_and_name() {
        let snapshot = snapshot(&[("", "node-1"), ("a", "x")]);
        assert!(snapshot.get("", "node-1").is_some());
        assert!(snapshot.get("a", "x").is_some());
        assert!(snapshot.get("a", "node-1").is_none());
        assert_eq!((snapshot.len(), snapshot.is_empty()), (2, false));
    }
}
