//! The worker loop: takes keys out of a queue, runs one worker a key, several keys at a time, and retries what failed.

use std::fmt;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::queue::WorkQueue;
use crate::runtime::Shutdown;

/// What a sync that went well asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing, until something changes.
    Done,
    /// To be called again after this time.
    After(Duration),
    /// To be called again soon, with the delay of a failure, without being one.
    Soon,
}

/// How a controller works its queue off.
#[derive(Clone, Copy, Debug)]
pub struct Workers {
    /// The controller's name, for the log.
    pub name: &'static str,
    /// How many keys are processed at a time.
    pub concurrency: usize,
    /// After how many failures in a row a key is dropped until its next event; `None`: never.
    pub max_retries: Option<u32>,
}

/// Processes keys until `shutdown` is requested, then finishes what is in flight and returns.
///
/// All syncs run on the calling task, so they are concurrent but not parallel, and their order depends on nothing but
/// the order of events.
pub async fn run<K, F, E>(workers: Workers, queue: WorkQueue<K>, shutdown: Shutdown, sync: impl Fn(K) -> F)
where
    K: Ord + Clone + fmt::Display,
    F: Future<Output = Result<Outcome, E>>,
    E: fmt::Display,
{
    let mut running = FuturesUnordered::new();
    let mut stopping = false;
    let stop = shutdown.requested();
    let mut stop = std::pin::pin!(stop);
    loop {
        if stopping && running.is_empty() {
            return;
        }
        tokio::select! {
            biased;
            () = &mut stop, if !stopping => stopping = true,
            Some((key, result)) = running.next(), if !running.is_empty() => finish(workers, &queue, key, result),
            key = queue.next(), if !stopping && running.len() < workers.concurrency => {
                let work = sync(key.clone());
                running.push(async move { (key, work.await) });
            }
        }
    }
}

fn finish<K: Ord + Clone + fmt::Display, E: fmt::Display>(
    workers: Workers,
    queue: &WorkQueue<K>,
    key: K,
    result: Result<Outcome, E>,
) {
    match result {
        Ok(Outcome::Done) => queue.forget(&key),
        Ok(Outcome::After(delay)) => {
            queue.forget(&key);
            queue.add_after(key.clone(), delay);
        }
        Ok(Outcome::Soon) => queue.add_rate_limited(key.clone()),
        Err(error) if workers.max_retries.is_some_and(|max| queue.failures(&key) >= max) => {
            tracing::error!(controller = workers.name, object = %key, %error, "giving up until the next change");
            queue.forget(&key);
        }
        Err(error) => {
            tracing::debug!(controller = workers.name, object = %key, %error, "sync failed, retrying");
            queue.add_rate_limited(key.clone());
        }
    }
    queue.done(&key);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::time::Instant;

    use super::*;

    fn workers(concurrency: usize, max_retries: Option<u32>) -> Workers {
        Workers { name: "test", concurrency, max_retries }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_run_side_by_side_and_shutdown_lets_them_finish() {
        let (trigger, shutdown) = Shutdown::new();
        let queue = WorkQueue::default();
        for key in ["a", "b", "c"] {
            queue.add(key);
        }
        let log = Arc::new(Mutex::new(Vec::new()));
        let sync = |key: &'static str| {
            let log = Arc::clone(&log);
            async move {
                log.lock().push(format!("start {key}"));
                tokio::time::sleep(Duration::from_secs(1)).await;
                log.lock().push(format!("end {key}"));
                Ok::<_, String>(Outcome::Done)
            }
        };
        let stop = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            trigger.trigger();
        };
        futures::join!(run(workers(2, None), queue.clone(), shutdown, sync), stop);
        assert_eq!(*log.lock(), ["start a", "start b", "end a", "end b"]);
        assert_eq!(queue.len(), 1, "c was not begun");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_key_is_retried_and_then_dropped() {
        let (trigger, shutdown) = Shutdown::new();
        let queue = WorkQueue::default();
        queue.add("a");
        let start = Instant::now();
        let calls = Mutex::new(Vec::new());
        let sync = |_: &'static str| {
            calls.lock().push(start.elapsed().as_millis());
            async { Err::<Outcome, _>("no") }
        };
        let stop = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            trigger.trigger();
        };
        futures::join!(run(workers(1, Some(3)), queue.clone(), shutdown, sync), stop);
        assert_eq!(*calls.lock(), [0, 5, 15, 35]);
        assert!(queue.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn a_sync_may_ask_to_be_called_again() {
        let (trigger, shutdown) = Shutdown::new();
        let queue = WorkQueue::default();
        queue.add("a");
        let start = Instant::now();
        let calls = Mutex::new(Vec::new());
        let sync = |_: &'static str| {
            let mut calls = calls.lock();
            calls.push(start.elapsed().as_secs());
            let again = if calls.len() < 3 { Outcome::After(Duration::from_secs(601)) } else { Outcome::Done };
            async move { Ok::<_, String>(again) }
        };
        let stop = async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            trigger.trigger();
        };
        futures::join!(run(workers(1, None), queue, shutdown, sync), stop);
        assert_eq!(*calls.lock(), [0, 601, 1202]);
    }
}
