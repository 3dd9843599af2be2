//! Pods that wait to be scheduled: ready ones, ones that failed lately, and ones for which something has to happen
//! first. Source: `pkg/scheduler/backend/queue`.

mod counted;
mod heap;
mod parked;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use steersman_framework::metrics::Metrics;
use tokio::time::Instant;

use crate::cluster_event::{
    ActionType, ClusterEvent, EventObject, EventResource, FORCE_ACTIVATE, Happening, QueueingHint, pod_changes,
};
use crate::pod::Pod;
use crate::profile::{Point, Profile, sorter};
use counted::{Counted, Hints};
use heap::Heap;
use parked::Parked;

/// How long a pod stays with the unschedulable ones before it is tried again without a reason.
const MAX_IN_UNSCHEDULABLE: Duration = Duration::from_secs(5 * 60);
/// What happened to a pod that was tried in vain.
const FAILURE: &str = "ScheduleAttemptFailure";
/// How often pods that have stayed that long are looked for.
const UNSCHEDULABLE_FLUSH: Duration = Duration::from_secs(30);
/// Backoffs end together in windows of this length, so that priorities count among those that end about the same time.
const BACKOFF_WINDOW: Duration = Duration::from_secs(1);
/// Events that are remembered for pods that were taken out; beyond it the oldest are dropped, and a pod that comes back
/// later than that is tried again without a reason. Ten seconds of a busy cluster.
const MAX_RECENT: usize = 100_000;

/// How long a pod that failed waits before it is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// After the first failure; doubles with each.
    pub initial: Duration,
    /// At most; zero for no wait at all.
    pub max: Duration,
    /// From when on windows are counted.
    pub epoch: Instant,
}

/// Whether a pod that failed is worth another attempt. The order is from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// No.
    Skip,
    /// After what is left of its backoff.
    AfterBackoff,
    /// At once: somebody has acted for whom a plugin waited.
    Immediately,
}

impl Backoff {
    /// The beginning of the window in which a moment lies.
    fn window(&self, moment: Instant) -> Instant {
        let since = moment.saturating_duration_since(self.epoch);
        moment - Duration::from_nanos((since.as_nanos() % BACKOFF_WINDOW.as_nanos()) as u64)
    }

    fn after(&self, failures: u32) -> Duration {
        if failures == 0 || self.max.is_zero() {
            return Duration::ZERO;
        }
        let doublings = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        self.initial.saturating_mul(doublings).min(self.max)
    }
}

/// A pod in the queue.
#[derive(Clone, Debug)]
pub struct QueuedPod {
    /// The pod.
    pub pod: Arc<Pod>,
    /// When it first came.
    pub initial_timestamp: Instant,
    /// When it was last put into the queue: the second sort key.
    pub timestamp: Instant,
    /// The order in which pods of the same moment came: the last sort key.
    pub sequence: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was first ready to be tried.
    pub first_ready: Option<Instant>,
    /// When it was taken out to be tried.
    pub taken: Option<Instant>,
    /// How often it was rejected.
    pub unschedulable_count: u32,
    /// How often in a row trying it failed for reasons of our own.
    pub consecutive_errors: u32,
    /// Who rejected it the last time.
    pub unschedulable_plugins: BTreeSet<&'static str>,
    /// Who waits for somebody else to act.
    pub pending_plugins: BTreeSet<&'static str>,
    /// The plugin that keeps it from being tried at all.
    pub gated_by: Option<&'static str>,
    /// Whether it is tried again without a reason.
    pub flushed: bool,
    /// How many events had happened when it was taken out.
    events_seen: u64,
}

impl QueuedPod {
    fn backoff_until(&self, backoff: &Backoff) -> Instant {
        let failures = match self.consecutive_errors {
            0 => self.unschedulable_count,
            errors => errors,
        };
        backoff.window(self.timestamp + backoff.after(failures))
    }

    fn rejectors(&self) -> impl Iterator<Item = &'static str> {
        self.unschedulable_plugins.iter().chain(&self.pending_plugins).copied()
    }
}

/// What became of a pod that was tried.
#[derive(Clone, Debug, Default)]
pub struct Failure {
    /// Who rejected it; nobody if the failure was our own.
    pub unschedulable_plugins: BTreeSet<&'static str>,
    /// Who waits for somebody else to act.
    pub pending_plugins: BTreeSet<&'static str>,
}

/// All pods that wait.
#[derive(Debug)]
pub struct Queue {
    profiles: Arc<BTreeMap<Arc<str>, Profile>>,
    backoff: Backoff,
    active: Heap<QueuedPod>,
    /// Pods that were rejected.
    backing_off: Heap<QueuedPod>,
    /// Pods whose attempts failed for reasons of our own: they wait in any case.
    erring: Heap<QueuedPod>,
    unschedulable: Parked,
    /// Pods that were taken out, as they were then, with the number of the event that comes next.
    in_flight: BTreeMap<Arc<str>, (u64, Arc<Pod>)>,
    sequence: u64,
    events: u64,
    /// What happened since the pod that is out for the longest time was taken out; the last has the number `events - 1`.
    recent: VecDeque<Happening>,
    next_flush: Option<Instant>,
    counted: Counted,
}

impl Queue {
    /// An empty queue for the pods of these profiles.
    pub fn new(profiles: Arc<BTreeMap<Arc<str>, Profile>>, backoff: Backoff) -> Self {
        Self {
            profiles,
            backoff,
            active: Heap::default(),
            backing_off: Heap::default(),
            erring: Heap::default(),
            unschedulable: Parked::default(),
            in_flight: BTreeMap::new(),
            sequence: 0,
            events: 0,
            recent: VecDeque::new(),
            next_flush: None,
            counted: Counted::default(),
        }
    }

    /// Counts pods that come in.
    pub(crate) fn count_in(&mut self, metrics: Metrics) {
        self.counted = Counted::new(metrics);
    }

    /// How many pods a plugin keeps from being tried at all.
    pub(crate) fn count_gated(&self) -> usize {
        self.unschedulable.values().filter(|queued| queued.gated_by.is_some()).count()
    }

    fn profile(&self, pod: &Pod) -> Option<&Profile> {
        self.profiles.get(&pod.spec.scheduler_name)
    }

    /// How many pods are ready, backing off, and waiting for something.
    pub fn lengths(&self) -> (usize, usize, usize) {
        (self.active.len(), self.backing_off.len() + self.erring.len(), self.unschedulable.len())
    }

    /// Whether a pod is in the queue or taken out of it and not yet done.
    pub fn contains(&self, uid: &str) -> bool {
        self.active.contains(uid)
            || self.backing_off.contains(uid)
            || self.erring.contains(uid)
            || self.unschedulable.contains_key(uid)
            || self.in_flight.contains_key(uid)
    }

    /// The uids of all pods in the queue; not of those that were taken out.
    pub fn uids(&self) -> BTreeSet<Arc<str>> {
        let heaps = self.active.uids().chain(self.backing_off.uids()).chain(self.erring.uids());
        heaps.chain(self.unschedulable.keys()).cloned().collect()
    }

    /// Puts a new pod in, or brings one that is there up to date.
    pub fn set(&mut self, pod: Arc<Pod>, now: Instant) {
        let uid = pod.uid.clone();
        if let Some((_, old)) = self.in_flight.get_mut(&uid) {
            let changes = if is_same(old, &pod) { Vec::new() } else { pod_changes(old, &pod) };
            *old = pod.clone();
            for event in changes {
                self.remember(&Happening { event, object: EventObject::Pod(pod.clone()) });
            }
            return;
        }
        for heap in [&mut self.active, &mut self.backing_off, &mut self.erring] {
            if let Some(queued) = heap.get_mut(&uid) {
                queued.pod = pod;
                return;
            }
        }
        if let Some(mut queued) = self.unschedulable.remove(&uid) {
            // With an equal spec nothing has changed that a plugin can see; often it was our own write of the status.
            let changes = if is_same(&queued.pod, &pod) { Vec::new() } else { pod_changes(&queued.pod, &pod) };
            queued.pod = pod.clone();
            let own = |event| Happening { event, object: EventObject::Pod(pod.clone()) };
            let best = changes.into_iter().map(own).map(|it| (self.ask(&queued, &it), it)).rev();
            match best.max_by_key(|(worth, _)| *worth) {
                Some((worth, happening)) if worth > Worth::Skip => self.put(queued, worth, (now, &happening.label())),
                _ => self.unschedulable.insert(uid, queued),
            }
            return;
        }
        self.sequence += 1;
        let queued = QueuedPod {
            pod,
            initial_timestamp: now,
            timestamp: now,
            sequence: self.sequence,
            attempts: 0,
            first_ready: None,
            taken: None,
            unschedulable_count: 0,
            consecutive_errors: 0,
            unschedulable_plugins: BTreeSet::new(),
            pending_plugins: BTreeSet::new(),
            gated_by: None,
            flushed: false,
            events_seen: 0,
        };
        self.activate(queued, "UnschedulablePodAdd");
    }

    /// Takes a pod out for good.
    pub fn remove(&mut self, uid: &str) -> Option<Arc<Pod>> {
        let profiles = self.profiles.clone();
        let less = |a: &QueuedPod, b: &QueuedPod| less(&profiles, a, b);
        let backoff = self.backoff;
        let found = self.active.remove(uid, less);
        let later = |a: &QueuedPod, b: &QueuedPod| backoff_less((&profiles, &backoff), a, b);
        let found = found.or_else(|| self.backing_off.remove(uid, later));
        let found = found.or_else(|| self.erring.remove(uid, later));
        let found = found.or_else(|| self.unschedulable.remove(uid));
        found.inspect(|queued| self.counted.rejectors(queued, -1)).map(|queued| queued.pod)
    }

    /// The pod to be tried next. Say [`done`](Self::done) or [`failed`](Self::failed) afterwards.
    pub fn pop(&mut self) -> Option<QueuedPod> {
        let profiles = self.profiles.clone();
        let mut queued = self.active.pop(|a, b| less(&profiles, a, b))?;
        queued.attempts += 1;
        let now = Instant::now();
        queued.taken = Some(now);
        self.counted.rejectors(&queued, -1);
        queued.events_seen = self.events;
        self.in_flight.insert(queued.pod.uid.clone(), (self.events, queued.pod.clone()));
        self.counted.popped(self.in_flight.len());
        Some(queued)
    }

    /// The pod that was taken out is settled.
    pub fn done(&mut self, uid: &str) {
        self.in_flight.remove(uid);
        self.counted.popped(self.in_flight.len());
        self.forget_old_events();
    }

    /// What happened while a pod was out.
    fn since(&self, seen: u64) -> impl Iterator<Item = &Happening> {
        let first = self.events - self.recent.len() as u64;
        self.recent.iter().skip(usize::try_from(seen.saturating_sub(first)).unwrap_or(usize::MAX))
    }

    /// Keeps an event for the pods that are out.
    fn remember(&mut self, happening: &Happening) {
        self.events += 1;
        if self.in_flight.is_empty() {
            return self.drop_events(self.recent.len());
        }
        self.recent.push_back(happening.clone());
        self.counted.remembered(happening, 1);
        if self.recent.len() > MAX_RECENT {
            self.drop_events(1);
        }
    }

    /// Forgets the oldest events.
    fn drop_events(&mut self, count: usize) {
        self.recent.drain(..count).for_each(|happening| self.counted.remembered(&happening, -1));
    }

    fn forget_old_events(&mut self) {
        // Usually nobody has to look: nothing happened meanwhile.
        if self.recent.is_empty() {
            return;
        }
        let oldest = self.in_flight.values().map(|(seen, _)| *seen).min().unwrap_or(self.events);
        let keep = usize::try_from(self.events - oldest).unwrap_or(usize::MAX);
        self.drop_events(self.recent.len().saturating_sub(keep));
    }

    /// The pod that was taken out could not be scheduled, and comes back.
    pub fn failed(&mut self, mut queued: QueuedPod, failure: Failure, now: Instant) {
        self.in_flight.remove(&queued.pod.uid);
        self.counted.popped(self.in_flight.len());
        queued.unschedulable_plugins = failure.unschedulable_plugins;
        queued.pending_plugins = failure.pending_plugins;
        let rejected = queued.rejectors().next().is_some();
        if rejected {
            queued.unschedulable_count += 1;
            queued.consecutive_errors = 0;
        } else {
            queued.consecutive_errors += 1;
        }
        self.counted.rejectors(&queued, 1);
        queued.timestamp = now;
        queued.flushed = false;
        self.sequence += 1;
        queued.sequence = self.sequence;
        // If something happened meanwhile it may have been what the pod waits for.
        let lost = queued.events_seen + (self.recent.len() as u64) < self.events && !self.recent.is_empty();
        let worth = if rejected && !lost {
            self.since(queued.events_seen).map(|happening| self.ask(&queued, happening)).max()
        } else {
            Some(Worth::AfterBackoff)
        };
        self.forget_old_events();
        self.put(queued, worth.unwrap_or(Worth::Skip), (now, FAILURE));
    }

    /// Where a pod belongs that was tried before.
    fn put(&mut self, queued: QueuedPod, worth: Worth, (now, event): (Instant, &str)) {
        match worth {
            Worth::Skip => {
                self.counted.came_in("unschedulable", event);
                self.unschedulable.insert(queued.pod.uid.clone(), queued);
                self.next_flush.get_or_insert(now + UNSCHEDULABLE_FLUSH);
            }
            Worth::AfterBackoff => self.requeue(queued, now, event),
            Worth::Immediately => self.activate(queued, event),
        }
    }

    /// Something happened: the pods that it may help are tried again.
    pub fn happened(&mut self, happening: &Happening, now: Instant) {
        self.happened_except("", happening, now);
    }

    /// The same, for something that is known not to help one of the pods.
    pub(crate) fn happened_except(&mut self, uid: &str, happening: &Happening, now: Instant) {
        self.remember(happening);
        if self.unschedulable.is_empty() {
            return;
        }
        // Plugins of one name register the same events in every profile.
        let profiles = self.profiles.values();
        let interested: BTreeSet<_> = profiles.flat_map(|profile| profile.interested(&happening.event)).collect();
        // Extenders don't say what they wait for.
        if !self.unschedulable.concerns(interested.iter().chain([&crate::extender::NAME])) {
            return;
        }
        let others = self.unschedulable.values().filter(|queued| *queued.pod.uid != *uid);
        let hints = self.counted.ask();
        let worth = others.map(|queued| (queued.pod.uid.clone(), self.worth(queued, happening, &interested, &hints)));
        let helped: Vec<_> = worth.filter(|(_, worth)| *worth > Worth::Skip).collect();
        self.counted.asked(hints, happening);
        let mut helped: Vec<_> =
            helped.into_iter().filter_map(|(uid, worth)| Some((self.unschedulable.remove(&uid)?, worth))).collect();
        helped.sort_by_key(|(queued, _)| queued.sequence);
        let event = if self.counted.is_recording() { happening.label() } else { String::new() };
        for (queued, worth) in helped {
            self.put(queued, worth, (now, &event));
        }
    }

    /// Whether an event may help a pod that could not be scheduled.
    fn ask(&self, queued: &QueuedPod, happening: &Happening) -> Worth {
        let hints = self.counted.ask();
        let worth = self.is_worth(queued, happening, &hints);
        self.counted.asked(hints, happening);
        worth
    }

    fn is_worth(&self, queued: &QueuedPod, happening: &Happening, hints: &Hints) -> Worth {
        match &happening.object {
            // What happened to a pod that waits helps nobody else.
            EventObject::Pod(pod) if pod.uid != queued.pod.uid => return Worth::Skip,
            // Somebody wants this pod to be tried.
            EventObject::Pod(_) if happening.event == ClusterEvent::ANY => return Worth::AfterBackoff,
            _ => {}
        }
        let interested = self.profile(&queued.pod).map(|profile| profile.interested(&happening.event));
        self.worth(queued, happening, &interested.unwrap_or_default(), hints)
    }

    /// The same; `interested`: the plugins that registered its kind.
    fn worth(
        &self,
        queued: &QueuedPod,
        happening: &Happening,
        interested: &BTreeSet<&'static str>,
        hints: &Hints,
    ) -> Worth {
        let Some(profile) = self.profile(&queued.pod) else { return Worth::Skip };
        let helps = |name: &'static str| {
            // Extenders don't say what they wait for.
            name == crate::extender::NAME
                || interested.contains(name)
                    && hints.note(name, profile.hint(name, &queued.pod, happening)) == QueueingHint::Queue
        };
        let (pending, rejecting) = (&queued.pending_plugins, &queued.unschedulable_plugins);
        let worth = match queued.gated_by {
            Some(plugin) => helps(plugin),
            None if pending.iter().any(|name| helps(name)) => return Worth::Immediately,
            None => pending.is_empty() && rejecting.is_empty() || rejecting.iter().any(|name| helps(name)),
        };
        if worth { Worth::AfterBackoff } else { Worth::Skip }
    }

    /// The victims of a pod were asked to go. It is ready now if it only waited for that, or if that failed.
    pub(crate) fn preempted(&mut self, uid: &str, all: bool) {
        let waited = |queued: &QueuedPod| queued.gated_by == Some("DefaultPreemption");
        if self.unschedulable.get(uid).is_some_and(|queued| !all || waited(queued))
            && let Some(queued) = self.unschedulable.remove(uid)
        {
            self.activate(queued, "PreemptionComplete");
        }
    }

    /// Does what is due, and says when to come again.
    pub fn tick(&mut self, now: Instant) -> Option<Instant> {
        let backoff = self.backoff;
        let over = |queued: &QueuedPod| queued.backoff_until(&backoff) <= now;
        while self.backing_off.peek().is_some_and(over) {
            let Some(queued) = self.pop_backing_off() else { break };
            self.activate(queued, "BackoffComplete");
        }
        while self.erring.peek().is_some_and(over) {
            let profiles = self.profiles.clone();
            let Some(queued) = self.erring.pop(|a, b| backoff_less((&profiles, &backoff), a, b)) else { break };
            self.activate(queued, "BackoffComplete");
        }
        if self.next_flush.is_some_and(|flush| flush <= now) {
            let stale = |queued: &&QueuedPod| {
                queued.gated_by.is_none() && now.duration_since(queued.timestamp) > MAX_IN_UNSCHEDULABLE
            };
            let stale: Vec<_> =
                self.unschedulable.values().filter(stale).map(|queued| queued.pod.uid.clone()).collect();
            for uid in stale {
                if let Some(mut queued) = self.unschedulable.remove(&uid) {
                    queued.flushed = true;
                    self.requeue(queued, now, "UnschedulableTimeout");
                }
            }
            self.next_flush = (!self.unschedulable.is_empty()).then(|| now + UNSCHEDULABLE_FLUSH);
        }
        let due = |queued: &QueuedPod| queued.backoff_until(&backoff);
        let (rejected, erred) = (self.backing_off.peek().map(due), self.erring.peek().map(due));
        [rejected, erred, self.next_flush].into_iter().flatten().min()
    }

    /// A plugin wants a pod to be tried at once. What is being tried comes back at once if it fails. The backoff is waited
    /// for only if a plugin wants that: else pods of a gang that has no room would call each other for ever.
    pub(crate) fn force_activate(&mut self, uid: &str, now: Instant) {
        if let Some((_, pod)) = self.in_flight.get(uid) {
            let object = EventObject::Pod(pod.clone());
            return self.remember(&Happening { event: ClusterEvent::ANY, object });
        }
        let queued = self.unschedulable.get(uid).or_else(|| self.backing_off.get(uid));
        if queued.is_some_and(|queued| self.profile(&queued.pod).is_some_and(|it| it.keeps_backoff(&queued.pod))) {
            if let Some(queued) = self.unschedulable.remove(uid) {
                self.requeue(queued, now, FORCE_ACTIVATE);
            }
            return;
        }
        let (profiles, backoff) = (self.profiles.clone(), self.backoff);
        let later = |a: &QueuedPod, b: &QueuedPod| backoff_less((&profiles, &backoff), a, b);
        let backing_off = self.backing_off.remove(uid, later).or_else(|| self.erring.remove(uid, later));
        if let Some(queued) = backing_off.or_else(|| self.unschedulable.remove(uid)) {
            self.activate(queued, FORCE_ACTIVATE);
        }
    }

    /// Nothing is ready, so a pod that was rejected need not wait: trying it costs nothing. Errors do wait, and pods for
    /// which a plugin wants it.
    pub fn pop_early(&mut self) -> Option<QueuedPod> {
        let first = self.backing_off.peek().filter(|_| self.active.len() == 0)?;
        if self.profile(&first.pod).is_some_and(|profile| profile.keeps_backoff(&first.pod)) {
            return None;
        }
        let queued = self.pop_backing_off()?;
        self.activate(queued, "PopFromBackoffQ");
        self.pop()
    }

    fn pop_backing_off(&mut self) -> Option<QueuedPod> {
        let backoff = self.backoff;
        let profiles = self.profiles.clone();
        self.backing_off.pop(|a, b| backoff_less((&profiles, &backoff), a, b))
    }

    /// Back into the queue: first the rest of the backoff, if there is any.
    fn requeue(&mut self, queued: QueuedPod, now: Instant, event: &str) {
        if queued.gated_by.is_none() && queued.backoff_until(&self.backoff) > now {
            let (profiles, backoff) = (self.profiles.clone(), self.backoff);
            let uid = queued.pod.uid.clone();
            self.counted.came_in("backoff", event);
            let heap = if queued.consecutive_errors > 0 { &mut self.erring } else { &mut self.backing_off };
            heap.push(uid, queued, |a, b| backoff_less((&profiles, &backoff), a, b));
        } else {
            self.activate(queued, event);
        }
    }

    /// Among the ready ones, unless a plugin objects.
    fn activate(&mut self, mut queued: QueuedPod, event: &str) {
        let uid = queued.pod.uid.clone();
        queued.gated_by = self.profile(&queued.pod).and_then(|profile| {
            let objects = |entry: &&crate::profile::Entry| {
                let plugin = entry.plugin.as_pre_enqueue();
                plugin.is_some_and(|plugin| !plugin.pre_enqueue(&queued.pod).is_success())
            };
            profile.at(Point::PreEnqueue).iter().find(objects).map(|entry| entry.plugin.name())
        });
        if let Some(plugin) = queued.gated_by {
            if queued.unschedulable_plugins.insert(plugin) {
                self.counted.rejector(&queued, plugin, 1);
            }
            self.counted.came_in("unschedulable", event);
            self.unschedulable.insert(uid, queued);
        } else {
            let profiles = self.profiles.clone();
            queued.first_ready.get_or_insert_with(Instant::now);
            self.counted.came_in("active", event);
            self.active.push(uid, queued, |a, b| less(&profiles, a, b));
        }
    }
}

/// Whether nothing about a pod has changed that a plugin can see.
fn is_same(old: &Pod, new: &Pod) -> bool {
    old.spec_id == new.spec_id && old.resource_claim_statuses == new.resource_claim_statuses
}

/// The order of pods that are ready; all profiles have the same sorter.
fn less(profiles: &BTreeMap<Arc<str>, Profile>, a: &QueuedPod, b: &QueuedPod) -> bool {
    let Some(profile) = profiles.get(&a.pod.spec.scheduler_name) else { return false };
    let Some(entry) = profile.at(Point::QueueSort).first() else { return false };
    let sorter = sorter(entry.plugin.as_ref());
    if sorter.less(a, b) {
        return true;
    }
    a.sequence < b.sequence && !sorter.less(b, a)
}

/// The order of pods that back off.
fn backoff_less((profiles, backoff): (&BTreeMap<Arc<str>, Profile>, &Backoff), a: &QueuedPod, b: &QueuedPod) -> bool {
    let (first, second) = (a.backoff_until(backoff), b.backoff_until(backoff));
    first < second || first == second && less(profiles, a, b)
}

/// An event of which nothing more is known than its kind.
pub(crate) fn plain(resource: EventResource, action: ActionType) -> Happening {
    Happening { event: ClusterEvent { resource, action }, object: EventObject::None }
}

#[cfg(test)]
mod tests;
