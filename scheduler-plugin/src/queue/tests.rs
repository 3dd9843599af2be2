//! The queue under virtual time.

use serde_json::json;

use super::*;
use crate::testing::{Cluster, profile};

struct Bench {
    cluster: Cluster,
    queue: Queue,
}

impl Bench {
    fn new() -> Self {
        let profile = profile(&[]);
        let profiles = BTreeMap::from([(profile.scheduler_name.clone(), profile)]);
        let backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(10), epoch: Instant::now() };
        Self { cluster: Cluster::new(&[]), queue: Queue::new(Arc::new(profiles), backoff) }
    }

    /// A new pod of that priority; its name.
    fn add(&mut self, priority: i32) -> String {
        let pod = self.cluster.pod("", &json!({"priority": priority}));
        let name = pod.name.to_string();
        self.queue.set(pod, Instant::now());
        name
    }

    fn pop(&mut self) -> Option<String> {
        self.queue.pop().map(|queued| queued.pod.name.to_string())
    }

    /// Takes the next pod out and says it was rejected by these plugins (an error if there are none).
    fn fail(&mut self, plugins: &[&'static str]) {
        let queued = self.queue.pop().unwrap();
        let failure = Failure { unschedulable_plugins: plugins.iter().copied().collect(), ..Failure::default() };
        self.queue.failed(queued, failure, Instant::now());
    }

    fn happened(&mut self, event: ClusterEvent) {
        self.queue.happened(&plain(event.resource, event.action), Instant::now());
    }
}

async fn millis(count: u64) {
    tokio::time::sleep(Duration::from_millis(count)).await;
}

#[tokio::test(start_paused = true)]
async fn higher_priorities_come_first_then_earlier_pods() {
    let mut bench = Bench::new();
    let names = [0, 5, 0, 5].map(|priority| bench.add(priority));
    let order = std::iter::from_fn(|| bench.pop()).collect::<Vec<_>>();
    assert_eq!(order, [1, 3, 0, 2].map(|place: usize| names[place].clone()));
}

#[tokio::test(start_paused = true)]
async fn errors_back_off_twice_as_long_each_time_up_to_the_limit() {
    let mut bench = Bench::new();
    bench.add(0);
    for wait in [1, 2, 4, 8, 10, 10] {
        bench.fail(&[]);
        let due = bench.queue.tick(Instant::now()).unwrap();
        assert_eq!(due - Instant::now(), Duration::from_secs(wait));
        assert!(bench.queue.pop_early().is_none(), "errors wait even if nothing else is to be done");
        millis(wait * 1000).await;
        bench.queue.tick(Instant::now());
        assert_eq!(bench.queue.lengths(), (1, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_pod_waits_for_an_event_that_its_rejector_registered() {
    let mut bench = Bench::new();
    bench.add(0);
    bench.fail(&["NodeAffinity"]);
    assert_eq!(bench.queue.lengths(), (0, 0, 1));
    bench.happened(ClusterEvent::pod(ActionType::DELETE));
    bench.happened(ClusterEvent::node(ActionType::UPDATE_NODE_ALLOCATABLE));
    assert_eq!(bench.queue.lengths(), (0, 0, 1));
    bench.happened(ClusterEvent::node(ActionType::UPDATE_NODE_LABEL));
    assert_eq!(bench.queue.lengths(), (0, 1, 0), "it still backs off");
    assert!(bench.queue.pop_early().is_some(), "but need not if nothing else is to be done");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_nodes_hears_of_their_taints_too() {
    for (plugin, hears) in [("NodeAffinity", true), ("NodeResourcesFit", true), ("SchedulingGates", false)] {
        let mut bench = Bench::new();
        bench.add(0);
        bench.fail(&[plugin]);
        bench.happened(ClusterEvent::node(ActionType::UPDATE_NODE_TAINT));
        assert_eq!(bench.queue.lengths().1, usize::from(hears), "{plugin}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_its_backoff_an_event_makes_a_pod_ready_at_once() {
    let mut bench = Bench::new();
    bench.add(0);
    bench.fail(&["NodeResourcesFit"]);
    millis(1500).await;
    bench.happened(ClusterEvent::pod(ActionType::DELETE));
    assert_eq!(bench.queue.lengths(), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_event_during_the_attempt_is_not_lost() {
    let mut bench = Bench::new();
    bench.add(0);
    let queued = bench.queue.pop().unwrap();
    bench.happened(ClusterEvent::pod(ActionType::DELETE));
    let failure = Failure { unschedulable_plugins: ["NodeResourcesFit"].into(), ..Failure::default() };
    bench.queue.failed(queued, failure, Instant::now());
    assert_eq!(bench.queue.lengths(), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_waited_five_minutes_is_tried_without_a_reason() {
    let mut bench = Bench::new();
    bench.add(0);
    bench.fail(&["NodeAffinity"]);
    let start = Instant::now();
    while bench.queue.lengths() == (0, 0, 1) {
        let due = bench.queue.tick(Instant::now());
        if let Some(due) = due.filter(|due| *due > Instant::now()) {
            tokio::time::sleep_until(due).await;
        }
    }
    assert_eq!(start.elapsed(), Duration::from_secs(330));
    assert_eq!(bench.queue.lengths(), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn removed_pods_are_gone_wherever_they_were() {
    let mut bench = Bench::new();
    for plugins in [None, Some(&[][..]), Some(&["NodeAffinity"][..])] {
        let name = bench.add(0);
        if let Some(plugins) = plugins {
            bench.fail(plugins);
        }
        assert!(bench.queue.contains(&name));
        assert!(bench.queue.remove(&name).is_some());
        assert_eq!(bench.queue.lengths(), (0, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_happened_during_the_attempt_counts_only_if_it_helps() {
    let mut bench = Bench::new();
    bench.add(0);
    let queued = bench.queue.pop().unwrap();
    bench.happened(ClusterEvent::node(ActionType::UPDATE_NODE_LABEL));
    let failure = Failure { unschedulable_plugins: ["NodeResourcesFit"].into(), ..Failure::default() };
    bench.queue.failed(queued, failure, Instant::now());
    assert_eq!(bench.queue.lengths(), (0, 0, 1));
    assert!(bench.queue.recent.is_empty(), "nobody is out, so nothing is remembered");
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_waited_for_somebody_does_not_wait_for_the_backoff() {
    let mut bench = Bench::new();
    for out in [true, false] {
        bench.add(0);
        let queued = bench.queue.pop().unwrap();
        let failure = Failure { pending_plugins: ["NodeResourcesFit"].into(), ..Failure::default() };
        if out {
            bench.happened(ClusterEvent::pod(ActionType::DELETE));
            bench.queue.failed(queued, failure, Instant::now());
        } else {
            bench.queue.failed(queued, failure, Instant::now());
            bench.happened(ClusterEvent::pod(ActionType::DELETE));
        }
        assert_eq!(bench.queue.lengths(), (1, 0, 0));
        bench.queue.pop();
    }
}

#[tokio::test(start_paused = true)]
async fn backoffs_end_in_windows_in_which_priorities_count() {
    let mut bench = Bench::new();
    let mut names = Vec::new();
    for (priority, wait) in [(0, 300), (5, 300), (0, 0)] {
        names.push(bench.add(priority));
        bench.fail(&["NodeAffinity"]);
        bench.happened(ClusterEvent::node(ActionType::UPDATE_NODE_LABEL));
        millis(wait).await;
    }
    // All three failed within one second: their backoff ends at the same time, and the important one comes first.
    assert_eq!(bench.queue.tick(Instant::now()).map(|due| due - Instant::now()), Some(Duration::from_millis(400)));
    millis(400).await;
    bench.queue.tick(Instant::now());
    let order = std::iter::from_fn(|| bench.pop()).collect::<Vec<_>>();
    assert_eq!(order, [1, 0, 2].map(|place: usize| names[place].clone()));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_erred_does_not_stand_in_the_way_of_a_rejected_one() {
    let mut bench = Bench::new();
    bench.add(0);
    bench.fail(&[]);
    let rejected = bench.add(0);
    bench.fail(&["NodeAffinity"]);
    bench.happened(ClusterEvent::node(ActionType::UPDATE_NODE_LABEL));
    assert_eq!(bench.queue.lengths(), (0, 2, 0));
    assert_eq!(bench.queue.pop_early().map(|queued| queued.pod.name.to_string()), Some(rejected));
    assert!(bench.queue.pop_early().is_none());
}
