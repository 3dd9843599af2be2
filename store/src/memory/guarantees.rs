//! The guarantees that Kubernetes asks of a watch (KEP-2340), over random histories and against a model.
//!
//! Ordered, Unique, Atomic, Reliable, Resumable and Bookmarkable are the names that etcd's API guarantees use.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::testing::{delete, put, ready};

const RESOURCES: [&str; 2] = ["pods", "nodes"];

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    /// Creates or updates an object.
    Put { resource: usize, name: u8 },
    /// Deletes it if it is there.
    Delete { resource: usize, name: u8 },
    /// Compacts up to a share of the history, in percent.
    Compact(u64),
    /// The watcher reads up to that many events.
    Read(usize),
}

/// name → (revision of its last write).
type Objects = BTreeMap<String, Revision>;

/// The history of one resource, kept whole.
#[derive(Default)]
struct Model {
    /// What was there after each revision that wrote to this resource.
    states: BTreeMap<Revision, Objects>,
    /// (revision, kind, name, revision of the previous content).
    events: Vec<(Revision, EventKind, String, Option<Revision>)>,
}

impl Model {
    fn at(&self, revision: Revision) -> Objects {
        let last = self.states.range(..=revision).next_back();
        last.map(|(_, objects)| objects.clone()).unwrap_or_default()
    }

    fn record(&mut self, revision: Revision, kind: EventKind, name: String) {
        let mut objects = self.at(revision);
        let previous = match kind {
            EventKind::Put => objects.insert(name.clone(), revision),
            EventKind::Delete => objects.remove(&name),
        };
        self.states.insert(revision, objects);
        self.events.push((revision, kind, name, previous));
    }

    /// The events after one revision, up to and including another.
    fn between(&self, after: Revision, until: Revision) -> &[(Revision, EventKind, String, Option<Revision>)] {
        let index = |revision| self.events.partition_point(|event| event.0 <= revision);
        &self.events[index(after)..index(until)]
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..2usize, 0..6u8).prop_map(|(resource, name)| Step::Put { resource, name }),
        3 => (0..2usize, 0..6u8).prop_map(|(resource, name)| Step::Delete { resource, name }),
        1 => (0..=100u64).prop_map(Step::Compact),
        3 => (0..8usize).prop_map(Step::Read),
    ];
    prop::collection::vec(step, 1..120)
}

fn seen(event: &Event) -> (Revision, EventKind, String, Option<Revision>) {
    let previous = event.previous.as_ref().map(|entry| entry.revision);
    (event.revision, event.kind, event.entry.key.name.to_string(), previous)
}

fn write(store: &MemoryStore, models: &mut [Model; 2], (resource, name): (usize, u8), kind: EventKind) {
    let name = format!("object-{name}");
    let found = ready(store.get(&Key::new(RESOURCES[resource], "ns", &name))).unwrap();
    let expect = found.as_ref().map_or(Expect::Absent, |entry| Expect::Revision(entry.revision));
    let write = match kind {
        EventKind::Put => put(RESOURCES[resource], &name, "", expect),
        EventKind::Delete => delete(RESOURCES[resource], &name, expect),
    };
    match ready(store.commit(write)) {
        Ok(entry) => models[resource].record(entry.revision, kind, name),
        Err(error) => assert!(matches!(error, StoreError::Conflict(None)), "{error}"),
    }
}

/// Reads up to `limit` events; starts anew from a list if the watch fell behind, as a reflector does.
/// `objects` is what the reader has put together from list and watch.
fn read(store: &MemoryStore, model: &Model, watch: &mut Watch, objects: &mut Objects, limit: usize) {
    for _ in 0..limit {
        let before = watch.revision();
        match watch.try_next() {
            Ok(Some(event)) => {
                let after = watch.revision();
                assert!(event.revision > before && after >= event.revision, "ordered, unique, bookmarkable");
                assert_eq!(model.between(before, event.revision), [seen(&event)], "reliable, atomic");
                assert_eq!(event.entry.revision, event.revision);
                let name = event.entry.key.name.to_string();
                match event.kind {
                    EventKind::Put => objects.insert(name, event.revision),
                    EventKind::Delete => objects.remove(&name),
                };
                assert_eq!(*objects, model.at(after), "the reader's copy is the truth at the bookmark");
            }
            Ok(None) => {
                assert_eq!(watch.revision(), store.revision(), "caught up");
                assert_eq!(*objects, model.at(store.revision()), "list and watch agree with the list");
                return;
            }
            Err(StoreError::Compacted { requested, oldest }) => {
                assert!(requested < oldest);
                assert!(!model.between(requested, store.revision()).is_empty(), "only if it missed something");
                let snapshot = ready(store.snapshot(RESOURCES[0], At::Latest)).unwrap();
                *objects = names(&snapshot);
                *watch = ready(store.watch(RESOURCES[0], snapshot.revision())).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn names(snapshot: &Snapshot) -> Objects {
    let entries = snapshot.range(None, None);
    entries.map(|entry| (entry.key.name.to_string(), entry.revision)).collect()
}

/// Every revision either answers as the model does, or is compacted; watches and snapshots agree about which.
fn check_every_revision(store: &MemoryStore, resource: &str, model: &Model) {
    let current = store.revision();
    let mut answers = false;
    for revision in 0..=current {
        let snapshot = ready(store.snapshot(resource, At::Exactly(revision)));
        let watch = ready(store.watch(resource, revision));
        match (snapshot, watch) {
            (Ok(snapshot), Ok(mut watch)) => {
                answers = true;
                assert_eq!(names(&snapshot), model.at(revision), "at {revision}");
                let mut events = Vec::new();
                while let Some(event) = watch.try_next().unwrap() {
                    events.push(seen(&event));
                }
                assert_eq!(events, model.between(revision, current), "resumable from {revision}");
            }
            (Err(StoreError::Compacted { .. }), Err(StoreError::Compacted { .. })) => {
                assert!(!answers, "a revision is gone, an older one is kept");
            }
            (snapshot, watch) => panic!("at {revision}: {snapshot:?}, {watch:?}"),
        }
    }
    assert!(answers, "the last revision can always be read");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn watches_and_snapshots_tell_one_history(steps in steps(), history in 16..64usize) {
        let store = MemoryStore::new(Options { history, history_bytes: 3_000, rewrites: 0 });
        let mut models = [Model::default(), Model::default()];
        let (mut watch, mut objects) = (ready(store.watch(RESOURCES[0], 0)).unwrap(), Objects::new());
        for step in steps {
            match step {
                Step::Put { resource, name } => write(&store, &mut models, (resource, name), EventKind::Put),
                Step::Delete { resource, name } => write(&store, &mut models, (resource, name), EventKind::Delete),
                Step::Compact(percent) => ready(store.compact(store.revision() * percent / 100)).unwrap(),
                Step::Read(limit) => read(&store, &models[0], &mut watch, &mut objects, limit),
            }
        }
        read(&store, &models[0], &mut watch, &mut objects, usize::MAX);
        for (resource, model) in RESOURCES.iter().zip(&models) {
            check_every_revision(&store, resource, model);
        }
    }
}
