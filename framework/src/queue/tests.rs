use futures::FutureExt;

use super::*;
use crate::metrics::Metrics;

fn take(queue: &WorkQueue<&'static str>) -> Option<&'static str> {
    queue.next().now_or_never()
}

#[tokio::test(start_paused = true)]
async fn a_key_is_in_the_queue_once_and_in_order() {
    let queue = WorkQueue::default();
    for key in ["b", "a", "b", "c"] {
        queue.add(key);
    }
    assert_eq!([take(&queue), take(&queue), take(&queue), take(&queue)], [Some("b"), Some("a"), Some("c"), None]);
}

#[tokio::test(start_paused = true)]
async fn a_key_added_while_processed_runs_again_after() {
    let queue = WorkQueue::default();
    queue.add("a");
    assert_eq!(take(&queue), Some("a"));
    queue.add("a");
    assert_eq!(take(&queue), None, "never two workers at a time");
    queue.done(&"a");
    assert_eq!(take(&queue), Some("a"));
    queue.done(&"a");
    assert!(queue.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_change_overtakes_a_resync_and_moves_a_key_up() {
    let queue = WorkQueue::default();
    queue.add_with("resync", Priority::Low);
    queue.add_with("both", Priority::Low);
    queue.add("change");
    queue.add("both");
    assert_eq!([take(&queue), take(&queue), take(&queue)], [Some("change"), Some("both"), Some("resync")]);
}

#[tokio::test(start_paused = true)]
async fn delayed_keys_come_when_due_and_the_earlier_time_counts() {
    let queue = WorkQueue::default();
    let start = Instant::now();
    queue.add_after("a", Duration::from_secs(60));
    queue.add_after("b", Duration::from_secs(30));
    queue.add_after("a", Duration::from_secs(10));
    assert_eq!(queue.next().await, "a");
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(queue.next().await, "b");
    assert_eq!(start.elapsed().as_secs(), 30);
    // No delay is too long for the clock.
    queue.add_after("c", Duration::MAX);
    assert!(!queue.is_idle() && queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn failures_double_the_delay_until_forgotten() {
    let queue = WorkQueue::default();
    let mut delays = Vec::new();
    for _ in 0..4 {
        let before = Instant::now();
        queue.add_rate_limited("a");
        let key = queue.next().await;
        queue.done(&key);
        delays.push(before.elapsed().as_millis());
    }
    assert_eq!(delays, [5, 10, 20, 40]);
    assert_eq!(queue.failures(&"a"), 4);
    queue.forget(&"a");
    assert_eq!(queue.failures(&"a"), 0);
    assert_eq!(backoff(40), BACKOFF_MAX);
}

#[tokio::test(start_paused = true)]
async fn many_failures_at_once_are_spread() {
    let limits = Limits { per_second: 10.0, burst: 3, ..Limits::default() };
    let queue = WorkQueue::limited("test", &Metrics::default(), limits);
    let start = Instant::now();
    for key in 0..6 {
        queue.add_rate_limited(key);
    }
    let mut times = Vec::new();
    for _ in 0..6 {
        let key = queue.next().await;
        queue.done(&key);
        times.push(start.elapsed().as_millis());
    }
    assert_eq!(times, [5, 5, 5, 100, 200, 300]);
    queue.add_backed_off(9);
    queue.next().await;
    assert_eq!(start.elapsed().as_millis(), 305, "what is not a failure does not count");
}

#[tokio::test(start_paused = true)]
async fn what_is_looked_at_again_gets_a_turn_in_a_flood_of_changes() {
    let queue = WorkQueue::default();
    for key in 0..3 {
        queue.add_with(1000 + key, Priority::Low);
    }
    for key in 0..100 {
        queue.add(key);
    }
    let order: Vec<u32> = (0..48).filter_map(|_| queue.next().now_or_never()).collect();
    let low: Vec<usize> = (0..48).filter(|at| order[*at] >= 1000).collect();
    assert_eq!(low, [15, 31, 47]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_key_waits_for_all_others() {
    let queue = WorkQueue::default();
    for key in ["busy", "a", "b"] {
        queue.add(key);
    }
    let mut order = Vec::new();
    for _ in 0..6 {
        let key = queue.next().await;
        queue.add(key);
        queue.done(&key);
        order.push(key);
    }
    assert_eq!(order, ["busy", "a", "b", "busy", "a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn the_metrics_are_upstreams() {
    let metrics = Metrics::recording();
    let queue = WorkQueue::named("replicaset", &metrics);
    queue.add("a");
    queue.add("a");
    queue.add("b");
    tokio::time::sleep(Duration::from_secs(2)).await;
    queue.next().await;
    queue.add("a");
    tokio::time::sleep(Duration::from_secs(3)).await;
    queue.add_rate_limited("c");
    let check = |lines: &[&str]| {
        let text = metrics.render();
        for line in lines {
            assert!(text.lines().any(|have| have == *line), "{line} in\n{text}");
        }
    };
    check(&[
        r#"workqueue_adds_total{name="replicaset"} 3"#,
        r#"workqueue_depth{name="replicaset"} 1"#,
        r#"workqueue_retries_total{name="replicaset"} 1"#,
        r#"workqueue_queue_duration_seconds_count{name="replicaset"} 1"#,
        r#"workqueue_queue_duration_seconds_sum{name="replicaset"} 2"#,
        r#"workqueue_queue_duration_seconds_bucket{name="replicaset",le="1e-08"} 0"#,
        r#"workqueue_queue_duration_seconds_bucket{name="replicaset",le="9.999999999999999e-06"} 0"#,
        r#"workqueue_queue_duration_seconds_bucket{name="replicaset",le="+Inf"} 1"#,
        r#"workqueue_unfinished_work_seconds{name="replicaset"} 3"#,
        r#"workqueue_longest_running_processor_seconds{name="replicaset"} 3"#,
        r#"workqueue_work_duration_seconds_count{name="replicaset"} 0"#,
    ]);
    queue.done(&"a");
    check(&[
        r#"workqueue_depth{name="replicaset"} 2"#,
        r#"workqueue_work_duration_seconds_sum{name="replicaset"} 3"#,
        r#"workqueue_unfinished_work_seconds{name="replicaset"} 0"#,
    ]);
}

mod properties {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What may happen to a queue.
    #[derive(Clone, Debug)]
    enum Step {
        Add(u8, bool),
        AddAfter(u8, u64),
        Fail(u8),
        Take,
        Done(usize),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..8_u8, any::<bool>()).prop_map(|(key, low)| Step::Add(key, low)),
            (0..8_u8, 0..50_u64).prop_map(|(key, millis)| Step::AddAfter(key, millis)),
            (0..8_u8).prop_map(Step::Fail),
            Just(Step::Take),
            Just(Step::Take),
            (0..4_usize).prop_map(Step::Done),
            (0..40_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        /// Whatever happens: no key is with two workers, none is handed out that nobody asked for, and everything that was
        /// asked for is handed out in the end.
        #[test]
        fn no_key_is_doubled_invented_or_lost(steps in prop::collection::vec(step(), 0..60)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let queue = WorkQueue::default();
                let mut working: Vec<u8> = Vec::new();
                let mut wanted: BTreeSet<u8> = BTreeSet::new();
                let mut asked = [0; 8];
                for step in steps {
                    if let Step::Add(key, _) | Step::AddAfter(key, _) | Step::Fail(key) = &step {
                        wanted.insert(*key);
                        asked[usize::from(*key)] += 1;
                    }
                    match step {
                        Step::Add(key, low) => {
                            queue.add_with(key, if low { Priority::Low } else { Priority::High });
                        }
                        Step::AddAfter(key, millis) => queue.add_after(key, Duration::from_millis(millis)),
                        Step::Fail(key) => queue.add_rate_limited(key),
                        Step::Take => if let Some(key) = queue.next().now_or_never() {
                            assert!(!working.contains(&key), "{key} is with two workers");
                            assert!(asked[usize::from(key)] > 0, "nobody asked for {key}");
                            asked[usize::from(key)] -= 1;
                            wanted.remove(&key);
                            working.push(key);
                        },
                        Step::Done(at) => if at < working.len() {
                            queue.done(&working.remove(at));
                        },
                        Step::Wait(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
                    }
                }
                for key in working {
                    queue.done(&key);
                }
                while !queue.is_idle() {
                    let key = queue.next().await;
                    wanted.remove(&key);
                    queue.done(&key);
                }
                assert!(wanted.is_empty(), "lost: {wanted:?}");
            });
        }
    }
}
