//! What is promised, with the power lost at every step of the disk, every step failing once, and every bit flipped once.

mod simulated;

use std::collections::{BTreeMap, BTreeSet};

use steersman_machinery::random::Random;

use self::simulated::{Loss, Plan, SimulatedDisk};
use super::*;
use crate::testing::{delete, put, ready};
use crate::{Expect, MemoryStore};

const RESOURCES: [&str; 2] = ["pods", "nodes"];
const LOSSES: [Loss; 4] = [Loss::All, Loss::None, Loss::SecondHalf, Loss::Sectors];

/// resource/name → revision.
type Objects = BTreeMap<String, Revision>;

/// What happens, and what is there after each revision at which a power loss may leave the store.
struct Story {
    batches: Vec<Vec<Vec<Write>>>,
    states: BTreeMap<Revision, Objects>,
}

impl Story {
    /// Puts and deletes, some of them together, some in one batch.
    fn tell(seed: u64, length: usize) -> Self {
        let random = Random::seeded(seed);
        let below = |limit: u64| random.next_u64() % limit;
        let memory = MemoryStore::default();
        let mut story = Self { batches: Vec::new(), states: [(0, Objects::new())].into() };
        for _ in 0..length {
            let mut batch = Vec::new();
            for _ in 0..=below(3) {
                let writes: Vec<Write> =
                    (0..=below(2)).map(|place| write(&memory, place, below(4), below(400))).collect();
                ready(memory.commit_all(writes.clone())).unwrap();
                story.states.insert(memory.revision(), objects(&memory));
                batch.push(writes);
            }
            story.batches.push(batch);
        }
        story
    }
}

/// Two writes of one transaction go to different resources, so that none depends on the other.
fn write(memory: &MemoryStore, place: u64, name: u64, size: u64) -> Write {
    let (resource, name) = (RESOURCES[place as usize], format!("object-{name}"));
    let found = ready(memory.get(&Key::new(resource, "ns", &name))).unwrap();
    let payload = "x".repeat(size as usize);
    match found {
        Some(entry) if size < 100 => delete(resource, &name, Expect::Revision(entry.revision)),
        Some(entry) => put(resource, &name, &payload, Expect::Revision(entry.revision)),
        None => put(resource, &name, &payload, Expect::Absent),
    }
}

fn objects(store: &impl Store) -> Objects {
    let mut objects = Objects::new();
    for resource in RESOURCES {
        for entry in ready(store.snapshot(resource, At::Latest)).unwrap().range(None, None) {
            let version = format!(r#""resourceVersion":"{}""#, entry.revision);
            assert!(String::from_utf8_lossy(entry.bytes()).contains(&version));
            objects.insert(format!("{resource}/{}", entry.key.name), entry.revision);
        }
    }
    objects
}

fn options() -> Options {
    Options { checkpoint_after: 1500, ..Options::default() }
}

/// Commits a batch; the last revision that was acknowledged, if all were.
fn commit(committer: &mut Committer<SimulatedDisk>, batch: &[Vec<Write>]) -> Option<Revision> {
    let (requests, mut answers): (Vec<_>, Vec<_>) = batch
        .iter()
        .map(|writes| {
            let (sender, answer) = oneshot::channel();
            (Request::Writes(writes.clone(), sender), answer)
        })
        .unzip();
    committer.commit(requests);
    let entries = answers.iter_mut().map(|answer| answer.try_recv().expect("it was answered").ok());
    entries.collect::<Option<Vec<_>>>()?.last()?.last().map(|entry| entry.revision)
}

/// Lets the story happen until the disk refuses. Returns the last revision that was acknowledged or visible.
fn happen(story: &Story, disk: &SimulatedDisk) -> Revision {
    let Ok((memory, mut committer)) = start(disk.clone(), options()) else {
        return 0;
    };
    let mut acknowledged = 0;
    for batch in &story.batches {
        if let Some(revision) = commit(&mut committer, batch) {
            acknowledged = revision;
        }
        assert_eq!(memory.revision(), acknowledged, "nobody sees what was not acknowledged");
        committer.maintain();
    }
    while committer.is_checkpointing() {
        committer.maintain();
    }
    acknowledged
}

/// The store on this disk is one of the story, at `least` or later, and goes on.
fn check(story: &Story, disk: &SimulatedDisk, least: Revision, what: &str) {
    let (memory, mut committer) = start(disk.clone(), options()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let revision = memory.revision();
    assert!(revision >= least, "{what}: {least} was acknowledged, {revision} is there");
    assert_eq!(Some(&objects(&*memory)), story.states.get(&revision), "{what}: at {revision}");
    let next = commit(&mut committer, &[vec![put("pods", "new", "", Expect::Absent)]]);
    assert_eq!(next, Some(revision + 1), "{what}");
    let (again, _) = start(disk.clone(), options()).unwrap_or_else(|error| panic!("{what}, again: {error}"));
    assert_eq!((again.revision(), objects(&*again)), (revision + 1, objects(&*memory)), "{what}: the second time");
}

#[test]
fn a_loss_of_power_at_any_step_loses_nothing_that_was_acknowledged() {
    let mut revisions = BTreeSet::new();
    for seed in 0..3 {
        let story = Story::tell(seed, 25);
        let whole = SimulatedDisk::default();
        assert_eq!(Some(&happen(&story, &whole)), story.states.keys().last());
        let checkpoints = whole.contents().keys().filter(|name| name.starts_with("checkpoint-")).count();
        assert_eq!(checkpoints, 1, "the story is long enough for checkpoints, and old ones go");
        for step in 0..=whole.steps() {
            let disk = SimulatedDisk::new(Plan { power_lost_at: Some(step), ..Plan::default() });
            let acknowledged = happen(&story, &disk);
            revisions.insert(acknowledged);
            for loss in LOSSES {
                check(&story, &disk.after(loss), acknowledged, &format!("seed {seed}, step {step}, lost {loss:?}"));
            }
        }
    }
    assert!(revisions.len() > 30, "power was lost at many revisions: {revisions:?}");
}

#[test]
fn a_step_that_fails_loses_nothing_that_was_acknowledged() {
    let story = Story::tell(7, 25);
    let whole = SimulatedDisk::default();
    let last = happen(&story, &whole);
    let mut went_on = 0;
    for step in 0..whole.steps() {
        let disk = SimulatedDisk::new(Plan { failing: Some(step), ..Plan::default() });
        let acknowledged = happen(&story, &disk);
        went_on += usize::from(acknowledged == last);
        for loss in LOSSES {
            check(&story, &disk.after(loss), acknowledged, &format!("step {step}, lost {loss:?}"));
        }
    }
    assert!(went_on > 0, "a checkpoint that fails stops nobody");
}

#[test]
fn a_bit_that_flipped_is_found() {
    let disk = SimulatedDisk::default();
    happen(&Story::tell(1, 12), &disk);
    let contents = disk.contents();
    assert_eq!(contents.len(), 2, "a checkpoint and a log: {:?}", contents.keys());
    for (name, bytes) in &contents {
        for bit in 0..bytes.len() * 8 {
            let mut flipped = contents.clone();
            flipped.entry(name.clone()).and_modify(|bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            let opened = start(SimulatedDisk::with(&flipped), options());
            assert!(matches!(opened, Err(OpenError::Damaged { .. })), "bit {bit} of {name}");
        }
    }
}

#[test]
fn a_file_that_is_missing_is_found() {
    let disk = SimulatedDisk::default();
    happen(&Story::tell(1, 12), &disk);
    let contents = disk.contents();
    for name in contents.keys() {
        let mut left = contents.clone();
        left.remove(name);
        let error = start(SimulatedDisk::with(&left), options()).err().expect("it is refused").to_string();
        assert!(error.contains("missing"), "{error}");
    }
}

#[tokio::test]
async fn a_folder_is_opened_again_and_by_one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let store = DurableStore::open(&path, Options::default()).unwrap();
    let (one, two) = (put("pods", "a", "1", Expect::Absent), put("pods", "b", "2", Expect::Absent));
    let mut watch = store.watch("pods", 0).await.unwrap();
    let (first, second) = futures::join!(store.commit(one), store.commit(two));
    assert_eq!(first.unwrap().revision + second.unwrap().revision, 3);
    assert_eq!(watch.next().await.unwrap().revision, 1);
    let busy = DurableStore::open(&path, Options::default()).err().unwrap().to_string();
    assert_eq!(busy, "another process uses it");
    let before = objects(&store);
    drop(store);
    let store = DurableStore::open(&path, Options::default()).unwrap();
    assert_eq!((store.revision(), objects(&store)), (2, before));
    assert!(matches!(store.watch("pods", 1).await, Err(StoreError::Compacted { .. })), "the history is gone");
    let refused = store.commit(put("pods", "a", "", Expect::Absent)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Conflict(Some(entry)) if entry.revision == 1));
    assert!(store.compact(9).await.is_err());
    #[cfg(unix)]
    for file in std::fs::read_dir(&path).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}
