//! Scheduling without an API server: objects in, placements out. What `steersman schedule` does.
//!
//! Pods are tried in the order in which they are given, and again as long as that places another one, as a scheduler
//! would after the event. Pods that have to make room are gone at once. Nothing is bound: what plugins do in PreBind and
//! Bind does not happen.

mod defaults;
mod measures;
mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use steersman_machinery::clock::SharedClock;
use steersman_machinery::random::Random;
use tokio::time::Instant;

use crate::cache::Cache;
use crate::cycle::{Limits, Outcome, Search, Summary, commit, post_filter, schedule_one};
use crate::cycle_state::CycleState;
use crate::decode::decode;
use crate::pod::Pod;
use crate::profile::{Point, Profile};
use crate::registry::Handle;
use crate::scheduler::{Error, Options, profiles};
use crate::snapshot::SelectingKind;
use crate::status::Status;
use crate::waiting::{Held, WaitingPods};
use crate::watched::Watches;
use crate::wire;
pub use measures::{Measures, Use};
pub use objects::{ObjectError, objects};

/// A cluster as it was dumped, and a scheduler for it.
pub struct Simulation {
    cache: Cache,
    profiles: Arc<BTreeMap<Arc<str>, Profile>>,
    search: Search,
    waiting: WaitingPods,
    classes: defaults::PriorityClasses,
    /// Pods of the cluster that have no node.
    pending: Vec<Value>,
    /// The names of those that have one.
    running: BTreeSet<String>,
    /// Objects of kinds that no plugin reads.
    ignored: BTreeMap<String, usize>,
    held: Vec<Waiting>,
    watches: Watches,
    explain: Option<Limits>,
}

/// What became of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// The pod, as `namespace/name`.
    pub pod: String,
    /// Its node.
    pub node: Option<String>,
    /// The node's score; `None` if there was nothing to compare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<i64>,
    /// Why it has no node.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The pods that had to make room for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evicted: Vec<String>,
    /// Why there and not elsewhere, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Summary>,
}

/// What became of a workload, and how good that is as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Each pod, in the order in which they were given.
    pub placements: Vec<Placement>,
    /// The whole.
    pub measures: Measures,
}

/// A pod that a Permit plugin holds.
struct Waiting {
    held: Held,
    placed: Arc<Pod>,
    state: CycleState,
    place: usize,
}

impl Simulation {
    /// A scheduler with these options in a cluster of these objects. Choices between equals are drawn from `random`.
    ///
    /// # Errors
    /// [`Error`] if the configuration does not fit the plugins.
    pub fn new(options: &Options, clock: SharedClock, random: &Random) -> Result<Self, Error> {
        let handle = Handle::detached(clock, random.fork());
        let profiles = Arc::new(profiles(options, &handle)?);
        Ok(Self {
            cache: Cache::default(),
            profiles,
            watches: handle.watches,
            search: Search::new(random.fork()),
            waiting: handle.waiting_pods,
            classes: defaults::PriorityClasses::default(),
            pending: Vec::new(),
            running: BTreeSet::new(),
            ignored: BTreeMap::new(),
            held: Vec::new(),
            explain: None,
        })
    }

    /// Explains each decision, so far.
    pub fn explain(&mut self, limits: Limits) {
        self.explain = Some(limits);
    }

    /// Adds what the cluster has. Kinds of which no plugin reads anything are left out.
    ///
    /// # Errors
    /// If an object does not have the form of its kind.
    pub fn add(&mut self, objects: &[Value]) -> Result<(), ObjectError> {
        let classes = objects.iter().filter(|object| objects::kind(object) == "PriorityClass");
        classes.for_each(|class| self.classes.add(class));
        objects.iter().try_for_each(|object| self.add_one(object))
    }

    /// The kinds that were left out, and how many objects of them.
    pub fn ignored(&self) -> &BTreeMap<String, usize> {
        &self.ignored
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.cache.snapshot().len()
    }

    /// The pods of the cluster that have no node.
    pub fn pending(&self) -> &[Value] {
        &self.pending
    }

    fn add_one(&mut self, object: &Value) -> Result<(), ObjectError> {
        if objects::name(object).is_empty() && objects::kind(object) != "Pod" {
            return Err(ObjectError::of(object, "metadata.name: Required value"));
        }
        match objects::kind(object) {
            "Node" => _ = self.cache.set_node(Arc::new(parse(&defaults::node(object.clone())?)?)),
            "Pod" => self.add_pod(object)?,
            "PriorityClass" => {}
            "Namespace" => self.cache.set_namespace(&parse(object)?),
            "PodDisruptionBudget" => self.cache.set_budget(parse(object)?),
            "Service" => self.cache.set_selecting(SelectingKind::Service, &parse(object)?),
            "ReplicationController" => {
                self.cache.set_selecting(SelectingKind::ReplicationController, &parse(object)?);
            }
            "ReplicaSet" => self.cache.set_selecting(SelectingKind::ReplicaSet, &parse(object)?),
            "StatefulSet" => self.cache.set_selecting(SelectingKind::StatefulSet, &parse(object)?),
            _ => {
                if !self
                    .cache
                    .set_stored(objects::kind(object), object)
                    .map_err(|error| ObjectError::of(object, error))?
                    && !self.watches.offer(object)
                {
                    *self.ignored.entry(objects::kind(object).to_owned()).or_default() += 1;
                }
            }
        }
        Ok(())
    }

    fn add_pod(&mut self, object: &Value) -> Result<(), ObjectError> {
        let pod = defaults::pod(object.clone(), &self.classes, self.pending.len())?;
        let read: wire::Pod = parse(&pod)?;
        if matches!(read.status.phase.as_str(), "Succeeded" | "Failed") {
            return Ok(());
        }
        if read.spec.node_name.is_empty() {
            self.pending.push(pod);
        } else {
            let pod = self.cache.intern(&read);
            self.observe(&pod);
            self.running.insert(pod.key());
            self.cache.set_pod(pod);
        }
        Ok(())
    }

    /// Schedules pods, or the pods that objects with a template stand for, in that order. What else a manifest has (services,
    /// claims) is there by then, as if it had been [added](Self::add).
    ///
    /// # Errors
    /// If no object is a pod or stands for one, or one does not have the form of its kind.
    pub fn schedule(&mut self, workload: &[Value]) -> Result<Report, ObjectError> {
        let has_pods = workload.iter().any(objects::has_pods);
        let (workload, beside): (Vec<&Value>, Vec<&Value>) =
            workload.iter().partition(|object| !has_pods || objects::has_pods(object));
        self.add(&beside.into_iter().map(objects::in_namespace).collect::<Vec<_>>())?;
        let (mut pods, mut names) = (Vec::new(), BTreeSet::new());
        for object in workload {
            for pod in objects::pods_of(object)? {
                let pod = defaults::pod(pod, &self.classes, pods.len())?;
                let mut read: wire::Pod = parse(&pod)?;
                read.spec.node_name.clear();
                let read = self.cache.intern(&read);
                if !names.insert(read.key()) {
                    let why = format!("{} is there twice: the pods need names of their own", read.key());
                    return Err(ObjectError::of(&pod, why));
                }
                if self.running.contains(&read.key()) {
                    let why = format!("{} runs in the cluster already: leave it out there, or rename it", read.key());
                    return Err(ObjectError::of(&pod, why));
                }
                pods.push(read);
            }
        }
        // All of them exist before the first is scheduled.
        pods.iter().for_each(|pod| self.observe(pod));
        let mut placements: Vec<Placement> = pods.iter().map(|pod| Placement::of(pod)).collect();
        let mut open: Vec<usize> = (0..pods.len()).collect();
        loop {
            for &place in &open {
                self.attempt(&pods[place], place, &mut placements);
                self.settle(&mut placements);
            }
            let before = open.len();
            // Who had to make room is gone; who is held is neither placed nor to be tried again.
            let gone = |place: &usize| placements.iter().any(|other| other.evicted.contains(&placements[*place].pod));
            let held = |place: &usize| self.held.iter().any(|waiting| waiting.place == *place);
            open.retain(|place| placements[*place].node.is_none() && !gone(place) && !held(place));
            if open.is_empty() || open.len() == before {
                break;
            }
        }
        self.give_up(&mut placements);
        let placed = placements.iter().filter(|placement| placement.node.is_some()).count();
        let evicted = placements.iter().map(|placement| placement.evicted.len()).sum();
        let workload: Vec<&Pod> = pods.iter().map(|pod| &**pod).collect();
        let measures = measures::measure(self.cache.snapshot(), &workload, (placed, evicted));
        Ok(Report { placements, measures })
    }

    fn observe(&self, pod: &Pod) {
        let plugins = self.profiles.values().flat_map(Profile::observers);
        plugins.filter_map(|plugin| plugin.as_pod_observer()).for_each(|observer| observer.pod_set(pod));
    }

    fn attempt(&mut self, pod: &Arc<Pod>, place: usize, placements: &mut [Placement]) {
        let profiles = self.profiles.clone();
        let Some(profile) = profiles.get(&pod.spec.scheduler_name) else {
            let message = format!("no profile is called {:?}", pod.spec.scheduler_name);
            return placements[place].message = message;
        };
        if let Some(message) = kept_back(pod, profile) {
            return placements[place].message = message;
        }
        let mut decision = schedule_one(pod, self.cache.snapshot_mut(), profile, &mut self.search);
        if let Outcome::Unschedulable(diagnosis) = &mut decision.outcome
            && diagnosis.nodes > 0
        {
            let notes = (&mut decision.state, &mut **diagnosis);
            let result = post_filter(pod, self.cache.snapshot_mut(), profile, notes);
            if let Some(Some(node)) = result.nominated_node_name
                && pod.nominated_node_name.is_none()
            {
                self.evict(&result.victims, (place, pod), placements);
                // As after the victims have gone: the node is asked first.
                let again = Pod { nominated_node_name: Some(node.into()), ..(**pod).clone() };
                return self.attempt(&Arc::new(again), place, placements);
            }
        }
        let message = decision.message();
        if let Some(limits) = self.explain {
            let explanation = decision.explain(pod, self.cache.snapshot(), profile);
            placements[place].explanation = Some(Summary::new(pod, &explanation, (profile, message.clone()), limits));
        }
        placements[place].message = message;
        if let Outcome::Node(node) = &decision.outcome {
            let row = self.cache.snapshot().node_by_name(node).map(|node| node.row());
            placements[place].score = row.and_then(|row| decision.score_of(row));
            let node = node.clone();
            self.place(pod, (profile, &node, decision.state), place, placements);
        }
    }

    /// Victims are gone at once.
    fn evict(&mut self, victims: &[Arc<Pod>], (place, by): (usize, &Pod), placements: &mut [Placement]) {
        for victim in victims {
            self.cache.remove_pod(&victim.uid);
            let plugins = self.profiles.values().flat_map(Profile::observers);
            plugins.filter_map(|plugin| plugin.as_pod_observer()).for_each(|it| it.pod_removed(&victim.uid));
            self.waiting.reject(&victim.uid, "", "preempted");
            let key = victim.key();
            if let Some(other) = placements.iter_mut().find(|other| other.pod == key) {
                other.node = None;
                other.score = None;
                other.message = format!("had to make room for {}", by.key());
            }
            placements[place].evicted.push(key);
        }
    }

    fn place(
        &mut self,
        pod: &Arc<Pod>,
        (profile, node, mut state): (&Profile, &Arc<str>, CycleState),
        place: usize,
        placements: &mut [Placement],
    ) {
        let placed = Arc::new(Pod { node_name: Some(node.clone()), pending: None, ..(**pod).clone() });
        self.cache.assume(placed.clone());
        let committed = commit::reserve(profile, &placed, node, &mut state)
            .and_then(|()| commit::permit(profile, &placed, node, &mut state));
        match committed {
            Ok(waits) if waits.is_empty() => placements[place].node = Some(node.to_string()),
            Ok(waits) => {
                let held = self.waiting.hold(placed.uid.clone(), &waits, Instant::now());
                self.held.push(Waiting { held, placed, state, place });
            }
            Err(status) => self.undo(&placed, state, (place, &status), placements),
        }
    }

    fn undo(&mut self, pod: &Pod, mut state: CycleState, why: (usize, &Status), placements: &mut [Placement]) {
        let node = pod.node_name.clone().unwrap_or_default();
        if let Some(profile) = self.profiles.get(&pod.spec.scheduler_name) {
            commit::unreserve(profile, pod, &node, &mut state);
        }
        self.cache.forget(&pod.uid);
        let (place, status) = why;
        placements[place].score = None;
        placements[place].message = match status.plugin() {
            "" => status.message(),
            plugin => format!("{plugin}: {status}"),
        };
    }

    /// Looks who of those that are held was let go or refused.
    fn settle(&mut self, placements: &mut [Placement]) {
        while let Some(next) = self.held.iter().position(|waiting| waiting.held.settled().is_some()) {
            let Waiting { held, placed, state, place } = self.held.remove(next);
            match held.settled() {
                Some(status) if status.is_success() => {
                    placements[place].node = placed.node_name.as_deref().map(str::to_owned);
                }
                Some(status) => self.undo(&placed, state, (place, &status), placements),
                None => {}
            }
        }
    }

    /// Nobody else comes: who is still held is not placed.
    fn give_up(&mut self, placements: &mut [Placement]) {
        while let Some(Waiting { held, placed, state, place }) = self.held.pop() {
            let by: Vec<_> = held.plugins().collect();
            let status = Status::unschedulable(format!("held at Permit by {} to the end", by.join(", ")));
            self.undo(&placed, state, (place, &status), placements);
        }
    }
}

impl Placement {
    fn of(pod: &Pod) -> Self {
        Self { pod: pod.key(), node: None, score: None, message: String::new(), evicted: Vec::new(), explanation: None }
    }
}

/// Why a pod is not tried at all.
fn kept_back(pod: &Pod, profile: &Profile) -> Option<String> {
    if pod.spec.terminating {
        return Some("it is being deleted".to_owned());
    }
    profile.at(Point::PreEnqueue).iter().find_map(|entry| {
        let status = entry.plugin.as_pre_enqueue()?.pre_enqueue(pod);
        (!status.is_success()).then(|| format!("{}: {status}", entry.plugin.name()))
    })
}

fn parse<T: DeserializeOwned>(object: &Value) -> Result<T, ObjectError> {
    decode(object).map_err(|error| ObjectError::of(object, error))
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation").field("nodes", &self.nodes()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
