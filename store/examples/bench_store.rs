//! `cargo xtask bench store`: writes a second and how long each takes, in memory and with the log on a disk, and how long it
//! takes to open a folder again.
//!
//! The argument is the folder to write to, which decides what a sync costs.
#![expect(clippy::print_stdout, reason = "the figures are for a person at a terminal")]
#![allow(clippy::expect_used, reason = "a bench that cannot go on says why and ends")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use steersman_store::durable::Options;
use steersman_store::{Attributes, Draft, DurableStore, Expect, Key, MemoryStore, Store, Write};
use tokio::time::Instant;

/// How many writes there are in each row, and objects in the folder that is opened again.
const WRITES: usize = 20_000;
const OBJECTS: usize = 100_000;
/// What the object of a usual pod weighs.
const BYTES: usize = 1_500;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("the argument is the folder to write to"));
    println!("{:<12} {:>8} {:>12} {:>10} {:>10}", "store", "writers", "writes/s", "p50", "p99");
    for writers in [1, 16, 256] {
        row("in memory", Arc::new(MemoryStore::default()), writers, WRITES).await;
    }
    for (index, (writers, writes)) in [(1, WRITES / 10), (16, WRITES), (256, WRITES)].into_iter().enumerate() {
        let store = DurableStore::open(&folder.join(index.to_string()), Options::default()).expect("a new folder");
        row("with a log", Arc::new(store), writers, writes).await;
    }
    reopen(&folder.join("reopened")).await;
}

async fn row(name: &str, store: Arc<dyn Store>, writers: usize, writes: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (store, next) = (Arc::clone(&store), Arc::clone(&next));
            tokio::spawn(async move {
                let mut took = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= writes {
                        return took;
                    }
                    let begun = Instant::now();
                    store.commit(create(number)).await.expect("nobody else writes there");
                    took.push(begun.elapsed());
                }
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.expect("writers do not panic"));
    }
    let rate = writes as f64 / started.elapsed().as_secs_f64();
    took.sort();
    let at = |share: f64| millis(took[((took.len() - 1) as f64 * share) as usize]);
    println!("{name:<12} {writers:>8} {rate:>12.0} {:>10} {:>10}", at(0.5), at(0.99));
}

async fn reopen(folder: &std::path::Path) {
    let store = DurableStore::open(folder, Options::default()).expect("a new folder");
    for batch in 0..OBJECTS / 1000 {
        let writes = (0..1000).map(|number| create(batch * 1000 + number)).collect();
        store.commit_all(writes).await.expect("nobody else writes there");
    }
    drop(store);
    let started = Instant::now();
    let store = DurableStore::open(folder, Options::default()).expect("what was written can be read");
    println!("opened {OBJECTS} objects again in {}, at revision {}", millis(started.elapsed()), store.revision());
}

fn create(number: usize) -> Write {
    let key = Key::new("pods", &format!("namespace-{}", number % 10), &format!("pod-{number}"));
    let head = format!(r#"{{"payload":"{}","metadata":{{"name":"{}","resourceVersion":""#, "x".repeat(BYTES), key.name);
    let at = head.len();
    let draft = Draft::new(format!(r#"{head}"}}}}"#).into_bytes(), at);
    Write::Put { key, draft, attributes: Arc::new(Attributes::default()), expect: Expect::Absent }
}

fn millis(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1000.0)
}
