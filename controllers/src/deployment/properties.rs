//! Rollouts in a model: the pure plans act on ReplicaSets whose pods are numbers, while templates and sizes change, pods
//! become ready and break, and ReplicaSets lag behind, in any order.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use steersman_framework::meta::StringMap;

use crate::deployment::revision::{self, REVISION};
use crate::deployment::rolling::{self, Resize};
use crate::deployment::sets::{DESIRED_REPLICAS, MAX_REPLICAS, Sets, max_surge, max_unavailable, min_available};
use crate::deployment::status::{self, PROGRESSING};
use crate::deployment::{history, scale};
use crate::objects::{Deployment, ReplicaSet, Template};

const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);
/// More rounds than any rollout of the model takes: one pod a round.
const ROUNDS: usize = 200;

/// What may happen next.
#[derive(Clone, Debug)]
enum Step {
    /// The Deployment is synced.
    Sync,
    /// A ReplicaSet is synced: it has as many pods as it wants.
    Follow(usize),
    /// So many pods of a ReplicaSet become available.
    Ready(usize, i32),
    /// One of its pods breaks.
    Break(usize),
    /// The template changes, maybe to a former one.
    Template(u8),
    /// The size changes.
    Size(i32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Sync),
        4 => (0..4_usize).prop_map(Step::Follow),
        4 => (0..4_usize, 1..5_i32).prop_map(|(at, count)| Step::Ready(at, count)),
        1 => (0..4_usize).prop_map(Step::Break),
        1 => (0..4_u8).prop_map(Step::Template),
        1 => (0..13_i32).prop_map(Step::Size),
    ]
}

/// A number or a percentage.
fn limit() -> impl Strategy<Value = Value> {
    prop_oneof![(0..6_i32).prop_map(Value::from), (0..101_u8).prop_map(|percent| format!("{percent}%").into())]
}

struct World {
    deployment: Deployment,
    sets: Vec<ReplicaSet>,
    born: i64,
}

fn template(n: u8) -> Template {
    Template::new(json!({"spec": {"containers": [{"name": "c", "image": format!("app:{n}")}]}}))
}

impl World {
    fn new(kind: &str, replicas: i32, surge: Value, unavailable: Value) -> Self {
        let strategy = json!({"type": kind, "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}});
        let spec = json!({"replicas": replicas, "strategy": strategy, "revisionHistoryLimit": 2});
        let mut deployment: Deployment = serde_json::from_value(json!({"spec": spec})).unwrap();
        deployment.spec.template = template(0);
        Self { deployment, sets: Vec::new(), born: 0 }
    }

    fn take(&mut self, step: &Step) {
        let count = self.sets.len().max(1);
        match *step {
            Step::Sync => drop(self.sync()),
            Step::Template(n) => self.deployment.spec.template = template(n),
            Step::Size(size) => self.deployment.spec.replicas = size,
            Step::Follow(at) | Step::Ready(at, _) | Step::Break(at) => {
                let Some(set) = self.sets.get_mut(at % count) else { return };
                let size = set.spec.replicas;
                let status = &mut set.status;
                match step {
                    // Pods that are of no use go first.
                    Step::Follow(_) => status.replicas = size,
                    Step::Ready(_, count) => status.available_replicas += count,
                    _ => status.available_replicas = (status.available_replicas - 1).max(0),
                }
                status.available_replicas = status.available_replicas.min(status.replicas);
            }
        }
    }

    /// The decisions of one sync, in the order of the controller; whether anything was written.
    fn sync(&mut self) -> bool {
        let mut changed = self.follow_revision();
        let sets = self.observe();
        if scale::is_scaling_event(&self.deployment, &sets) {
            let (sizes, annotate) = scale::plan_scale(&self.deployment, &sets);
            let sizes = sizes.into_iter().filter(|it| annotate || sets.all[it.place].spec.replicas != it.size);
            for resize in sizes.collect::<Vec<_>>() {
                changed |= self.resize(resize, false);
            }
            return changed | self.report();
        }
        if self.deployment.spec.strategy.kind == "Recreate" {
            let old: Vec<usize> = sets.active_old().map(|(place, _)| place).collect();
            for place in &old {
                changed |= self.resize(Resize { place: *place, size: 0 }, false);
            }
            if !old.is_empty() || sets.old().any(|(_, set)| set.status.replicas > 0) {
                return changed | self.report();
            }
        }
        changed |= self.create();
        let sets = self.observe();
        if let Some(resize) = rolling::plan_new(&self.deployment, &sets) {
            changed |= self.resize(resize, true);
        } else if self.deployment.spec.strategy.kind == "RollingUpdate" {
            for resize in rolling::plan_old(&self.deployment, &sets).steps {
                changed |= self.resize(resize, true);
            }
        }
        changed | self.clean_up() | self.report()
    }

    fn observe(&mut self) -> Sets {
        let sets = Sets::of(&self.deployment, self.sets.clone());
        self.sets.clone_from(&sets.all);
        sets
    }

    fn create(&mut self) -> bool {
        let sets = self.observe();
        if sets.new.is_some() {
            return false;
        }
        self.born += 1;
        let mut set = ReplicaSet::default();
        set.metadata.name = format!("set-{}", self.born);
        set.metadata.creation_timestamp = Some(NOW + SignedDuration::from_secs(self.born));
        set.spec.template = self.deployment.spec.template.clone();
        let next = revision::next_revision(&sets);
        revision::annotate(&mut set.metadata.annotations, &StringMap::default(), next, false);
        self.sets.push(set);
        let size = rolling::new_size(&self.deployment, &sets, 0);
        self.resize(Resize { place: self.sets.len() - 1, size }, true);
        self.follow_revision();
        true
    }

    /// Revisions only ever grow.
    fn follow_revision(&mut self) -> bool {
        let sets = self.observe();
        let Some(place) = sets.new else { return false };
        let next = revision::next_revision(&sets);
        let annotations = &mut self.sets[place].metadata.annotations;
        let before = revision::revision(annotations);
        let changed = revision::annotate(annotations, &StringMap::default(), next, true);
        let after = revision::revision(annotations);
        assert!(before <= after, "revision {before:?} became {after:?}");
        let text = annotations.get(REVISION).unwrap().to_owned();
        let former = revision::revision(&self.deployment.metadata.annotations);
        assert!(former <= after, "the Deployment's revision {former:?} became {after:?}");
        changed | self.deployment.metadata.annotations.insert(REVISION, text)
    }

    /// No write makes more pods than the surge allows, or takes pods that have to be available.
    fn resize(&mut self, resize: Resize, rolling: bool) -> bool {
        let total = |sets: &[ReplicaSet]| sets.iter().map(|set| set.spec.replicas).sum::<i32>();
        let kept = |sets: &[ReplicaSet]| -> i32 {
            sets.iter().map(|set| set.status.available_replicas.min(set.spec.replicas)).sum()
        };
        let (total_before, kept_before) = (total(&self.sets), kept(&self.sets));
        let wanted = self.deployment.spec.replicas;
        let most = wanted + max_surge(&self.deployment);
        let set = &mut self.sets[resize.place];
        let mut changed = set.spec.replicas != resize.size;
        set.spec.replicas = resize.size;
        assert!(resize.size >= 0);
        changed |= set.metadata.annotations.insert(DESIRED_REPLICAS, wanted.to_string());
        changed |= set.metadata.annotations.insert(MAX_REPLICAS, most.to_string());
        let (total, kept) = (total(&self.sets), kept(&self.sets));
        if rolling {
            assert!(total <= most.max(total_before), "{total} pods, and at most {most} are allowed");
            if resize.size < wanted {
                let least = min_available(&self.deployment).min(kept_before);
                assert!(kept >= least, "{kept} pods are left that are available, and {least} are needed");
            }
        }
        changed
    }

    fn clean_up(&mut self) -> bool {
        let sets = self.observe();
        let current = status::plan_status(&self.deployment, &sets, NOW);
        if !status::is_complete(&self.deployment, &current) {
            return false;
        }
        let gone: Vec<String> = history::plan_cleanup(&self.deployment, &sets)
            .into_iter()
            .inspect(|set| assert_eq!((set.spec.replicas, set.status.replicas), (0, 0), "it has pods"))
            .map(|set| set.metadata.name.clone())
            .collect();
        let new = sets.new_set().map(|set| &set.metadata.name);
        assert!(gone.iter().all(|name| Some(name) != new), "the present set is no history");
        self.sets.retain(|set| !gone.contains(&set.metadata.name));
        !gone.is_empty()
    }

    /// A status that was written is not written again.
    fn report(&mut self) -> bool {
        let sets = self.observe();
        let planned = status::plan_rollout_status(&self.deployment, &sets, NOW);
        let changed = planned != self.deployment.status;
        self.deployment.status = planned;
        let again = status::plan_rollout_status(&self.deployment, &sets, NOW);
        assert_eq!(again, self.deployment.status);
        changed
    }

    /// Everybody does what he has to until nothing changes any more.
    fn converge(&mut self) {
        for _ in 0..ROUNDS {
            for at in 0..self.sets.len() {
                self.take(&Step::Follow(at));
                self.take(&Step::Ready(at, i32::from(u8::MAX)));
            }
            if !self.sync() {
                return;
            }
        }
        panic!("still changing: {:?}", self.sizes());
    }

    fn sizes(&self) -> Vec<i32> {
        self.sets.iter().map(|set| set.spec.replicas).collect()
    }
}

fn check(mut world: World, steps: &[Step]) {
    world.deployment.spec.progress_deadline_seconds = Some(600);
    steps.iter().for_each(|step| world.take(step));
    world.converge();
    let sets = world.observe();
    if scale::is_scaling_event(&world.deployment, &sets) {
        // As upstream: a size that the only active set has by chance ends no scaling event, and the next one does.
        world.deployment.spec.replicas += 1;
        world.converge();
    }
    let sets = world.observe();
    let wanted = world.deployment.spec.replicas;
    assert_eq!(sets.new_set().unwrap().spec.replicas, wanted);
    assert_eq!(sets.total(), wanted, "the others are empty: {:?}", world.sizes());
    assert!(sets.old().count() <= 2, "the history is kept short");
    let condition = status::condition(&world.deployment.status, PROGRESSING).unwrap();
    assert_eq!(condition.reason, status::reason::AVAILABLE);
    assert!(!world.sync(), "a further sync writes nothing");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rolling_updates_stay_within_their_bounds_and_end(
        replicas in 0..13_i32,
        surge in limit(),
        unavailable in limit(),
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let world = World::new("RollingUpdate", replicas, surge, unavailable);
        prop_assert!(max_unavailable(&world.deployment) <= replicas);
        check(world, &steps);
    }

    #[test]
    fn recreations_end(replicas in 0..13_i32, steps in prop::collection::vec(step(), 0..80)) {
        check(World::new("Recreate", replicas, json!(null), json!(null)), &steps);
    }
}
