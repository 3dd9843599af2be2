//! The loop: take in what the API tells, decide for one pod after the other, and let bindings go on beside it.

mod binding;
mod explain;
mod extended;
mod failure;
mod metrics;
mod preemption;
mod updates;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use steersman_framework::api::Api;
use steersman_framework::runtime::Context;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use crate::cache::Cache;
use crate::configuration::Configuration;
use crate::cycle::{Outcome, Search, Summary, post_filter, schedule_one};
use crate::explanations::Explanations;
use crate::extender::{Extender, ExtenderError, extenders};
use crate::informers::{SOURCES, Update, informers};
use crate::plugin::Plugin;
use crate::pod::Pod;
use crate::profile::{Point, Profile, ProfileError};
use crate::queue::{Backoff, Queue, QueuedPod};
use crate::registry::{DeviceResources, Handle, KnownClaims, Outbox, Preempting, Registry};
use crate::status::Code;
use crate::waiting::{PreBinding, WaitingPods};
use crate::watched::{Source, Watches};
use crate::writer::{EventText, EventWriter, Write, send};
use binding::Bound;
use metrics::{Handling, Instruments};
use preemption::Evicted;

/// Bindings that are under way at once. Enough to keep a server with 5 ms latency busy with 25,000 a second, and few
/// enough not to hold thousands of connections or requests.
const MAX_BINDINGS: usize = 128;
/// Writes of events under way at once; beyond it events are dropped, as upstream drops them when its buffer is full.
const MAX_EVENT_WRITES: usize = 1000;
/// Updates taken in before the next decisions; so that neither a flood of updates nor one of pods starves the other.
const UPDATES_A_TURN: usize = 256;
/// Decisions made before others on the thread have their turn: a tenth of a millisecond. To be called back after each costs as
/// much as to decide.
const DECISIONS_A_TURN: usize = 8;
/// How long writes that are under way may take after the word to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// What a scheduler needs besides its context.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The configuration.
    pub configuration: Configuration,
    /// Plugins besides those that come with the scheduler; they replace those of the same name.
    pub plugins: Registry,
    /// Where decisions are explained; nowhere, if it is left out.
    pub explanations: Option<Explanations>,
}

/// Why a scheduler can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A profile can't be made.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Two profiles sort the queue differently.
    #[error("all profiles must have the same queue sort plugin, not {0:?} and {1:?}")]
    QueueSort(&'static str, &'static str),
    /// An extender can't be asked.
    #[error(transparent)]
    Extender(#[from] ExtenderError),
}

/// Schedules pods until the context's shutdown is requested.
///
/// # Errors
/// If the configuration does not fit the plugins. Failures of the API server are retried for ever.
pub async fn run(context: Context, options: Options) -> Result<(), Error> {
    let mut scheduler = Scheduler::new(&context, &options)?;
    scheduler.extenders = extenders(&options.configuration.extenders).await?;
    scheduler.run(context).await;
    Ok(())
}

/// Makes the profiles of a configuration.
///
/// # Errors
/// If the configuration does not fit the plugins.
pub fn profiles(options: &Options, handle: &Handle) -> Result<BTreeMap<Arc<str>, Profile>, Error> {
    let mut registry = Registry::in_tree();
    registry.merge(options.plugins.clone());
    let mut profiles: BTreeMap<Arc<str>, Profile> = BTreeMap::new();
    for configuration in &options.configuration.profiles {
        let ignored = options.configuration.resources_of_extenders();
        let profile = Profile::new(&configuration.ignoring(&ignored), &registry, handle)?;
        profiles.insert(profile.scheduler_name.clone(), profile);
    }
    let mut sorters = profiles.values().map(|profile| profile.queue_sort().name());
    if let Some(first) = sorters.next()
        && let Some(other) = sorters.find(|other| *other != first)
    {
        return Err(Error::QueueSort(first, other));
    }
    Ok(profiles)
}

/// Looks whether a configuration fits the plugins, without starting anything.
///
/// # Errors
/// If it does not.
pub fn check(options: &Options) -> Result<(), Error> {
    profiles(options, &Handle::for_tests()).map(|_| ())
}

/// What a task that runs beside the loop has done.
enum Finished {
    /// A pod was bound, or not.
    Bound(Box<Bound>),
    /// An event or a condition was written, or not.
    Written,
    /// The victims of a pod were asked to go; whether all could be.
    Evicted(Box<Evicted>),
}

struct Scheduler {
    extenders: Vec<Arc<Extender>>,
    profiles: Arc<BTreeMap<Arc<str>, Profile>>,
    /// Plugins that want to know of all pods.
    observers: Vec<Arc<dyn Plugin>>,
    /// What plugins asked for, and whose first list has come.
    watched: Vec<Arc<dyn Source>>,
    watched_synced: BTreeSet<usize>,
    explanations: Option<Explanations>,
    waiting: WaitingPods,
    pre_binding: PreBinding,
    preempting: Preempting,
    known_claims: KnownClaims,
    device_resources: DeviceResources,
    outbox: Outbox,
    context: Context,
    cache: Cache,
    queue: Queue,
    search: Search,
    /// Pods without a node as the API shows them, by uid: those that are in the queue or under way.
    pending: BTreeMap<Arc<str>, Arc<Pod>>,
    /// First lists that have come.
    synced: BTreeSet<u8>,
    events: EventWriter,
    tasks: JoinSet<Finished>,
    /// Tasks that bind pods.
    bindings: HashSet<Id>,
    /// Tasks that write events.
    event_writes: HashSet<Id>,
    /// The last condition write for a pod, while it may be under way: what comes next waits for it.
    writes: BTreeMap<Arc<str>, oneshot::Receiver<()>>,
    instruments: Instruments,
    handling: Handling,
}

impl Scheduler {
    fn new(context: &Context, options: &Options) -> Result<Self, Error> {
        let waiting = WaitingPods::default();
        let handle = Handle {
            waiting_pods: waiting.clone(),
            clock: context.clock.clone(),
            random: context.random.clone(),
            preempting: Preempting::default(),
            known_claims: KnownClaims::default(),
            device_resources: DeviceResources::default(),
            outbox: Outbox::default(),
            watches: Watches::default(),
            metrics: context.metrics.clone(),
        };
        let mut profiles = profiles(options, &handle)?;
        profiles.values_mut().for_each(|profile| profile.measure(&context.metrics));
        let profiles = Arc::new(profiles);
        let backoff = Backoff {
            initial: options.configuration.pod_initial_backoff,
            max: options.configuration.pod_max_backoff,
            epoch: Instant::now(),
        };
        let mut queue = Queue::new(profiles.clone(), backoff);
        queue.count_in(context.metrics.clone());
        let new = if options.explanations.is_some() { Search::new } else { Search::remembering };
        let mut search = new(context.random.clone());
        search.measuring = context.metrics.is_recording();
        Ok(Self {
            extenders: Vec::new(),
            queue,
            observers: profiles.values().flat_map(Profile::observers).cloned().collect(),
            watched: handle.watches.sources(),
            explanations: options.explanations.clone(),
            profiles,
            waiting,
            pre_binding: PreBinding::default(),
            preempting: handle.preempting,
            known_claims: handle.known_claims,
            device_resources: handle.device_resources,
            outbox: handle.outbox,
            context: context.clone(),
            cache: Cache::default(),
            search,
            pending: BTreeMap::new(),
            synced: BTreeSet::new(),
            watched_synced: BTreeSet::new(),
            events: EventWriter::default(),
            tasks: JoinSet::new(),
            bindings: HashSet::new(),
            event_writes: HashSet::new(),
            writes: BTreeMap::new(),
            instruments: Instruments::new(context),
            handling: Handling::new(&context.metrics),
        })
    }

    async fn run(mut self, context: Context) {
        let api = Api::new(context.client.clone(), "kube-scheduler");
        let (driver, mut updates) = informers(&api, &context.shutdown, &self.watched);
        let mut drivers = JoinSet::new();
        drivers.spawn(driver);
        loop {
            self.take_in(&mut updates);
            let timer = self.queue.tick(Instant::now());
            if self.decide().await {
                // Let the others on this thread have their turn: bindings, the API server in the same process.
                tokio::task::yield_now().await;
                if context.shutdown.is_requested() {
                    break;
                }
                continue;
            }
            self.instruments.show(&self.queue, &self.cache, self.synced.len());
            tokio::select! {
                biased;
                () = context.shutdown.requested() => break,
                Some(finished) = self.tasks.join_next_with_id() => self.finished(finished),
                update = updates.recv() => match update {
                    Some(update) => self.update(update),
                    None => break,
                },
                () = sleep_until(timer) => {}
            }
        }
        drop(drivers);
        let drain = async {
            while let Some(finished) = self.tasks.join_next_with_id().await {
                self.finished(finished);
            }
        };
        // What does not finish in time is given up; the next scheduler sees what became of it.
        let _ = tokio::time::timeout(DRAIN, drain).await;
    }

    /// Decides for the next pods; whether there were any. Whoever takes long is the last one for now: a pod that has found no
    /// node, and one that extenders were asked about.
    async fn decide(&mut self) -> bool {
        for decided in 0..DECISIONS_A_TURN {
            let under_way = self.bindings.len();
            let ready = self.is_synced() && self.bindings_under_way() < MAX_BINDINGS;
            let Some(queued) = ready.then(|| self.next()).flatten() else { return decided > 0 };
            if !self.extenders.is_empty() {
                self.attempt_extended(queued).await;
                return true;
            }
            self.attempt(queued);
            if self.bindings.len() == under_way {
                return true;
            }
        }
        true
    }

    /// Takes in what has come, but not for ever.
    fn take_in(&mut self, updates: &mut UnboundedReceiver<Update>) {
        while let Some(finished) = self.tasks.try_join_next_with_id() {
            self.finished(finished);
        }
        for _ in 0..UPDATES_A_TURN {
            let Ok(update) = updates.try_recv() else { return };
            self.update(update);
        }
    }

    fn is_synced(&self) -> bool {
        self.synced.len() == SOURCES && self.watched_synced.len() == self.watched.len()
    }

    /// Those that are waiting to be permitted cost nothing.
    fn bindings_under_way(&self) -> usize {
        self.bindings.len().saturating_sub(self.waiting.len())
    }

    fn next(&mut self) -> Option<QueuedPod> {
        self.queue.pop().or_else(|| self.queue.pop_early())
    }

    /// Decides for one pod.
    fn attempt(&mut self, queued: QueuedPod) {
        let pod = queued.pod.clone();
        let profiles = self.profiles.clone();
        let Some(profile) = profiles.get(&pod.spec.scheduler_name).filter(|_| !self.is_leaving(&pod)) else {
            return self.queue.done(&pod.uid);
        };
        let begun = self.instruments.now();
        let mut decision = schedule_one(&pod, self.cache.snapshot_mut(), profile, &mut self.search);
        self.instruments.decided(&profile.scheduler_name, begun, &decision.took);
        let explained = self.explain(&pod, profile, &decision);
        match decision.outcome {
            Outcome::Node(node) => {
                self.tell(&pod, explained);
                tracing::debug!(pod = pod.key(), %node, evaluated = decision.evaluated_nodes,
                    feasible = decision.feasible.len(), "a node was chosen");
                self.place(queued, &node, (decision.state, None));
            }
            Outcome::Unschedulable(mut diagnosis) => {
                let mut nomination = None;
                if diagnosis.nodes > 0 {
                    let notes = (&mut decision.state, &mut *diagnosis);
                    let begun = self.instruments.now();
                    let result = post_filter(&pod, self.cache.snapshot_mut(), profile, notes);
                    let nominated = matches!(result.nominated_node_name, Some(Some(_)));
                    let code = if nominated { Code::Success } else { Code::Unschedulable };
                    self.instruments.ran(&profile.scheduler_name, Point::PostFilter, code, begun);
                    if profile.at(Point::PostFilter).iter().any(|entry| entry.plugin.name() == "DefaultPreemption") {
                        self.instruments.preemption();
                    }
                    self.preempt(&pod, &result);
                    nomination = result.nominated_node_name;
                }
                self.send_outbox();
                self.tell(&pod, explained.map(|summary| Summary { message: diagnosis.message(), ..summary }));
                self.unschedulable(queued, &diagnosis, nomination);
            }
            Outcome::Error(status) => self.failed(queued, &status),
        }
    }

    /// Whether a pod is not worth an attempt any more; then an event says so.
    fn is_leaving(&mut self, pod: &Pod) -> bool {
        if pod.spec.terminating {
            let text = EventText::failed(format!("skip schedule deleting pod: {}", pod.key()));
            self.event(pod, &text);
        }
        pod.spec.terminating
    }

    fn finished(&mut self, finished: Result<(Id, Finished), JoinError>) {
        let id = match &finished {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        self.event_writes.remove(&id);
        if self.bindings.remove(&id) {
            self.instruments.binding(-1);
        }
        match finished {
            Ok((_, Finished::Bound(bound))) => self.bound(*bound),
            Ok((_, Finished::Written)) => {}
            Ok((_, Finished::Evicted(evicted))) => self.evicted(&evicted),
            Err(error) => tracing::error!(%error, "a task of the scheduler failed"),
        }
    }

    /// Writes an event beside the loop.
    fn event(&mut self, pod: &Pod, text: &EventText) {
        self.event_by(&pod.spec.scheduler_name, pod, text);
    }

    /// The same, said by a given scheduler.
    fn event_by(&mut self, controller: &str, pod: &Pod, text: &EventText) {
        if self.event_writes.len() >= MAX_EVENT_WRITES {
            tracing::debug!(reason = text.reason, "an event was dropped");
            return;
        }
        let now = self.context.clock.now();
        if let Some(write) = self.events.event(controller, pod, text, now) {
            let client = self.client();
            let task = self.tasks.spawn(async move {
                send(&client, write).await;
                Finished::Written
            });
            self.event_writes.insert(task.id());
        }
    }

    /// Sends what plugins want to be sent, beside the loop.
    fn send_outbox(&mut self) {
        for write in self.outbox.take() {
            let client = self.client();
            self.tasks.spawn(async move {
                send(&client, write).await;
                Finished::Written
            });
        }
    }

    /// Writes a condition beside the loop, after earlier ones of the same pod.
    fn write_condition(&mut self, pod: &Pod, write: Write) {
        let (done, receiver) = oneshot::channel();
        let earlier = self.writes.insert(pod.uid.clone(), receiver);
        let client = self.context.client.clone();
        self.tasks.spawn(async move {
            after(earlier).await;
            send(&client, write).await;
            drop(done);
            Finished::Written
        });
    }

    /// Nothing more is to be said about this pod.
    fn forget_pod(&mut self, uid: &str) {
        self.pending.remove(uid);
        self.writes.remove(uid);
        self.events.forget(uid);
    }

    fn plugins(&self, pod: &Pod, point: Point) -> Vec<Arc<dyn Plugin>> {
        let profile = self.profiles.get(&pod.spec.scheduler_name);
        let entries = profile.map_or(&[][..], |profile| profile.at(point));
        entries.iter().map(|entry| entry.plugin.clone()).collect()
    }

    fn client(&self) -> Client {
        self.context.client.clone()
    }
}

/// Waits until an earlier write has come to its end, whichever.
async fn after(earlier: Option<oneshot::Receiver<()>>) {
    if let Some(earlier) = earlier {
        // The sender is dropped when the write is done.
        let _ = earlier.await;
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
