//! What a caller of the memory store meets, case by case.

use std::time::Duration;

use super::*;
use crate::testing::{delete, draft, put, ready};
use crate::{Attributes, Draft};

fn store(history: usize, history_bytes: usize) -> MemoryStore {
    MemoryStore::new(Options { history, history_bytes, rewrites: 0 })
}

/// Writes `count` new versions of `name`; returns the last revision.
async fn write_versions(store: &MemoryStore, resource: &str, name: &str, count: usize) -> Revision {
    let key = Key::new(resource, "ns", name);
    for version in 0..count {
        let expect = match store.get(&key).await.unwrap() {
            Some(entry) => Expect::Revision(entry.revision),
            None => Expect::Absent,
        };
        let write = put(resource, name, &version.to_string(), expect);
        store.commit(write).await.unwrap();
    }
    store.revision()
}

fn text(entry: &Entry) -> &str {
    std::str::from_utf8(entry.bytes()).unwrap()
}

#[tokio::test]
async fn a_write_happens_only_if_its_expectation_holds() {
    const FAILS: Result<Revision, Option<Revision>> = Err(Some(1));
    let cases = [
        ("create over an object", put("pods", "a", "", Expect::Absent), FAILS),
        ("update of another revision", put("pods", "a", "", Expect::Revision(7)), FAILS),
        ("update", put("pods", "a", "", Expect::Revision(1)), Ok(2)),
        ("create", put("pods", "b", "", Expect::Absent), Ok(2)),
        ("update of nothing", put("pods", "b", "", Expect::Revision(1)), Err(None)),
        ("same name elsewhere", put("nodes", "a", "", Expect::Absent), Ok(2)),
        ("delete", delete("pods", "a", Expect::Revision(1)), Ok(2)),
        ("delete of another revision", delete("pods", "a", Expect::Revision(2)), FAILS),
        ("delete of nothing", delete("pods", "b", Expect::Revision(1)), Err(None)),
        ("delete expecting nothing", delete("pods", "a", Expect::Absent), FAILS),
        ("delete of nothing, expecting nothing", delete("pods", "b", Expect::Absent), Err(None)),
    ];
    for (what, write, expect) in cases {
        let store = MemoryStore::default();
        store.commit(put("pods", "a", "", Expect::Absent)).await.unwrap();
        let done = match store.commit(write).await {
            Ok(entry) => Ok(entry.revision),
            Err(StoreError::Conflict(found)) => Err(found.map(|entry| entry.revision)),
            Err(error) => panic!("{what}: {error}"),
        };
        assert_eq!(done, expect, "{what}");
        assert_eq!(store.revision(), done.unwrap_or(1), "{what}: a failed write takes no revision");
    }
}

#[tokio::test]
async fn several_writes_happen_together_or_not_at_all() {
    let store = MemoryStore::default();
    let mut watch = store.watch("quotas", 0).await.unwrap();
    let all = vec![
        put("pods", "a", "", Expect::Absent),
        put("quotas", "q", "1", Expect::Absent),
        put("quotas", "q", "2", Expect::Revision(2)),
    ];
    let entries = store.commit_all(all).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.revision).collect::<Vec<_>>(), [1, 2, 3]);
    for expect in [2, 3] {
        assert_eq!(watch.try_next().unwrap().unwrap().revision, expect);
    }
    let all = vec![put("pods", "b", "", Expect::Absent), put("quotas", "q", "3", Expect::Revision(2))];
    let refused = store.commit_all(all).await.unwrap_err();
    assert_eq!(refused.index, 1);
    assert!(matches!(refused.error, StoreError::Conflict(Some(entry)) if entry.revision == 3));
    assert_eq!(store.revision(), 3);
    assert!(store.get(&Key::new("pods", "ns", "b")).await.unwrap().is_none());
    assert!(watch.try_next().unwrap().is_none());
}

#[tokio::test]
async fn a_deletion_tells_the_last_content_under_its_own_revision() {
    let store = MemoryStore::default();
    let mut watch = store.watch("pods", 0).await.unwrap();
    store.commit(put("pods", "a", "x", Expect::Absent)).await.unwrap();
    let deleted = store.commit(delete("pods", "a", Expect::Revision(1))).await.unwrap();
    assert!(text(&deleted).contains(r#""payload":"x""#) && text(&deleted).contains(r#""resourceVersion":"2""#));

    assert_eq!(watch.next().await.unwrap().kind, EventKind::Put);
    let event = watch.next().await.unwrap();
    assert_eq!((event.kind, event.revision, event.entry.revision), (EventKind::Delete, 2, 2));
    assert_eq!(text(&event.entry), text(&deleted));
    assert_eq!(event.previous.unwrap().revision, 1);
}

#[tokio::test]
async fn a_watch_from_the_future_returns_no_older_events() {
    let store = MemoryStore::default();
    let mut watch = store.watch("pods", 3).await.unwrap();
    assert_eq!(watch.revision(), 3);
    write_versions(&store, "pods", "a", 3).await;
    assert!(watch.try_next().unwrap().is_none());
    write_versions(&store, "pods", "a", 1).await;
    assert_eq!(watch.next().await.unwrap().revision, 4);
}

#[tokio::test]
async fn a_caught_up_watch_follows_the_writes_to_other_resources() {
    let store = MemoryStore::default();
    let mut watch = store.watch("pods", 0).await.unwrap();
    let last = write_versions(&store, "nodes", "a", 5).await;
    assert_eq!(watch.revision(), last);
    write_versions(&store, "pods", "a", 2).await;
    assert_eq!(watch.revision(), 0, "there is something to return first");
    watch.next().await.unwrap();
    assert_eq!(watch.revision(), 6);
    watch.next().await.unwrap();
    assert_eq!(watch.revision(), 7);
}

#[tokio::test]
async fn a_snapshot_of_the_past_undoes_what_came_after() {
    let store = MemoryStore::default();
    store.commit(put("pods", "a", "1", Expect::Absent)).await.unwrap();
    store.commit(put("pods", "b", "2", Expect::Absent)).await.unwrap();
    store.commit(put("pods", "a", "3", Expect::Revision(1))).await.unwrap();
    store.commit(delete("pods", "b", Expect::Revision(2))).await.unwrap();
    let expect: [&[(&str, Revision)]; 5] =
        [&[], &[("a", 1)], &[("a", 1), ("b", 2)], &[("a", 3), ("b", 2)], &[("a", 3)]];
    for (revision, expect) in (0..).zip(expect) {
        let snapshot = store.snapshot("pods", At::Exactly(revision)).await.unwrap();
        let found: Vec<_> = snapshot.range(None, None).map(|entry| (&*entry.key.name, entry.revision)).collect();
        assert_eq!((found.as_slice(), snapshot.revision()), (expect, revision));
    }
    let error = store.snapshot("pods", At::Exactly(5)).await.unwrap_err();
    assert!(matches!(error, StoreError::Future { requested: 5, current: 4 }), "{error}");
    assert_eq!(store.snapshot("nodes", At::Latest).await.unwrap().revision(), 4);
}

#[tokio::test]
async fn compacted_revisions_are_refused_in_every_resource() {
    let store = MemoryStore::default();
    write_versions(&store, "pods", "a", 4).await;
    let error = store.compact(5).await.unwrap_err();
    assert!(matches!(error, StoreError::Future { requested: 5, current: 4 }), "{error}");
    store.compact(3).await.unwrap();
    for resource in ["pods", "nodes"] {
        for revision in 0..=4 {
            let snapshot = store.snapshot(resource, At::Exactly(revision)).await.map(drop);
            let watch = store.watch(resource, revision).await.map(drop);
            for result in [snapshot, watch] {
                match result {
                    Ok(()) => assert!(revision >= 3, "{resource} at {revision}"),
                    Err(StoreError::Compacted { requested, oldest }) => {
                        assert_eq!((requested, oldest), (revision, 3), "{resource}");
                        assert!(revision < 3, "{resource} at {revision}");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn compaction_does_not_end_a_watch_that_missed_nothing() {
    let store = MemoryStore::default();
    write_versions(&store, "pods", "a", 1).await;
    let mut caught_up = store.watch("pods", 1).await.unwrap();
    let mut behind = store.watch("pods", 0).await.unwrap();
    let last = write_versions(&store, "nodes", "a", 9).await;
    store.compact(last).await.unwrap();
    assert!(caught_up.try_next().unwrap().is_none());
    assert_eq!(caught_up.revision(), last);
    let error = behind.next().await.unwrap_err();
    assert!(matches!(error, StoreError::Compacted { requested: 0, .. }), "{error}");
}

#[tokio::test]
async fn a_watch_that_is_not_read_costs_nothing_and_learns_that_it_fell_behind() {
    let store = store(20, usize::MAX);
    let mut stuck = store.watch("pods", 0).await.unwrap();
    write_versions(&store, "pods", "a", 1000).await;
    assert_eq!(store.history("pods").kept(), 20);
    let error = stuck.try_next().unwrap_err();
    assert!(matches!(error, StoreError::Compacted { requested: 0, oldest: 980 }), "{error}");
    assert!(store.watch("pods", 979).await.is_err());
    let mut fresh = store.watch("pods", 980).await.unwrap();
    assert_eq!(fresh.next().await.unwrap().revision, 981);
}

#[tokio::test]
async fn history_grows_with_what_there_is_and_shrinks_with_it() {
    let store = MemoryStore::new(Options { history: 4, history_bytes: 100, rewrites: 2 });
    let large = "x".repeat(1000);
    for name in 0..50 {
        store.commit(put("pods", &name.to_string(), &large, Expect::Absent)).await.unwrap();
    }
    assert_eq!(store.history("pods").kept(), 50, "new objects supersede nothing");
    write_versions(&store, "pods", "0", 500).await;
    let history = store.history("pods");
    assert_eq!(history.kept(), 100, "twice the objects");
    assert!(history.superseded() <= 2 * 50 * 1100, "twice their bytes: {}", history.superseded());
    for name in 0..50 {
        let key = Key::new("pods", "ns", &name.to_string());
        let expect = Expect::Revision(store.get(&key).await.unwrap().unwrap().revision);
        store.commit(delete("pods", &key.name, expect)).await.unwrap();
    }
    assert_eq!(
        store.history("pods").kept(),
        crate::history::LEAST_EVENTS,
        "nothing is left that it could be measured by"
    );
}

#[tokio::test]
async fn history_is_bounded_by_bytes_too() {
    let large = "x".repeat(1000);
    let store = store(100_000, 50_000);
    let mut expect = Expect::Absent;
    for _ in 0..500 {
        expect = Expect::Revision(store.commit(put("pods", "a", &large, expect)).await.unwrap().revision);
    }
    let history = store.history("pods");
    assert!(history.superseded() <= 50_000 && history.superseded() > 48_000);
    store.compact(500).await.unwrap();
    assert_eq!((store.history("pods").superseded(), store.history("pods").kept()), (0, 0));

    let huge = "x".repeat(100_000);
    for _ in 0..100 {
        expect = Expect::Revision(store.commit(put("pods", "a", &huge, expect)).await.unwrap().revision);
    }
    assert_eq!(store.history("pods").kept(), crate::history::LEAST_EVENTS);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_watch_is_woken_by_its_resource_only_and_may_be_cancelled() {
    let store = Arc::new(MemoryStore::default());
    let mut watch = store.watch("pods", 0).await.unwrap();
    write_versions(&store, "nodes", "a", 3).await;
    let nothing = tokio::time::timeout(Duration::from_secs(1), watch.next()).await;
    assert!(nothing.is_err(), "nodes are no pods");

    let writer = Arc::clone(&store);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        write_versions(&writer, "pods", "a", 2).await;
    });
    assert_eq!(watch.next().await.unwrap().revision, 4);
    assert_eq!(watch.next().await.unwrap().revision, 5);
}

#[tokio::test]
async fn watches_end_with_the_store() {
    let store = MemoryStore::default();
    let mut watch = store.watch("pods", 0).await.unwrap();
    let waiting = tokio::spawn(async move { watch.next().await });
    tokio::task::yield_now().await;
    drop(store);
    assert!(matches!(waiting.await.unwrap(), Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn versions_share_keys_and_unchanged_attributes() {
    let store = MemoryStore::default();
    let labels = || Arc::new(Attributes { labels: [("app".into(), "web".into())].into(), ..Attributes::default() });
    let write = |name: &str, expect| {
        let key = Key::new("pods", "ns", name);
        let draft: Draft = draft(&key, "");
        store.commit(Write::Put { key, draft, attributes: labels(), expect })
    };
    let first = write("a", Expect::Absent).await.unwrap();
    let second = write("a", Expect::Revision(1)).await.unwrap();
    let other = write("b", Expect::Absent).await.unwrap();
    assert!(Arc::ptr_eq(&first.attributes, &second.attributes));
    assert!(Arc::ptr_eq(&first.key.name, &second.key.name));
    for entry in [&second, &other] {
        assert!(Arc::ptr_eq(&first.key.namespace, &entry.key.namespace));
        assert!(Arc::ptr_eq(&first.key.resource, &entry.key.resource));
    }
}

#[test]
fn concurrent_writers_lose_nothing_and_readers_never_see_time_run_backwards() {
    const WRITERS: usize = 4;
    const WRITES: usize = 500;
    const LAST: Revision = (WRITERS * WRITES) as Revision;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = MemoryStore::default();
    let mut watch = ready(store.watch("pods", 0)).unwrap();
    let write = &|writer: usize| {
        for write in 0..WRITES {
            let name = format!("{writer}-{write}");
            let entry = ready(store.commit(put("pods", &name, "", Expect::Absent))).unwrap();
            assert!(store.revision() >= entry.revision);
        }
    };
    let read = &|| {
        let mut last = 0;
        while last < LAST {
            let snapshot = ready(store.snapshot("pods", At::Latest)).unwrap();
            assert_eq!(snapshot.len() as u64, snapshot.revision(), "each revision brings an object");
            let nodes = ready(store.snapshot("nodes", At::Latest)).unwrap();
            assert!(snapshot.revision() >= last && nodes.revision() >= snapshot.revision());
            last = snapshot.revision();
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || write(writer));
        }
        scope.spawn(read);
        scope.spawn(read);
        for revision in 1..=LAST {
            assert_eq!(runtime.block_on(watch.next()).unwrap().revision, revision);
            assert!(watch.revision() >= revision);
        }
    });
}
