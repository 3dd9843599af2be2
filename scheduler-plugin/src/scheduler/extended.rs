//! Attempts in which programs beside the scheduler have a say. They ask over HTTP and wait for the answers, and so does
//! the queue, as in upstream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::Scheduler;
use crate::cycle::{Decision, Outcome, Summary, choose, find, post_filter};
use crate::diagnosis::Diagnosis;
use crate::extender::{Extender, MetaPod, MetaVictims, NAME, Question};
use crate::plugin::PostFilterResult;
use crate::plugins::default_preemption::{CANDIDATES, Candidate, pick};
use crate::pod::Pod;
use crate::profile::Profile;
use crate::queue::QueuedPod;
use crate::snapshot::Row;
use crate::status::Status;

/// A pod and the nodes as the API server shows them, and who has a say on the pod.
struct Whole {
    pod: Value,
    nodes: BTreeMap<String, Value>,
    interested: Vec<Arc<Extender>>,
}

impl Scheduler {
    /// Decides for one pod, with extenders.
    pub(super) async fn attempt_extended(&mut self, queued: QueuedPod) {
        let pod = queued.pod.clone();
        let profiles = self.profiles.clone();
        let Some(profile) = profiles.get(&pod.spec.scheduler_name).filter(|_| !self.is_leaving(&pod)) else {
            return self.queue.done(&pod.uid);
        };
        if self.cache.snapshot().is_empty() {
            return self.unschedulable(queued, &Diagnosis::default(), None);
        }
        let whole = match self.whole(&pod).await {
            Ok(whole) => whole,
            Err(why) => return self.failed(queued, &Status::error(why)),
        };
        let mut decision = Decision::new();
        let begun = self.instruments.now();
        let decided = self.decide_extended(&pod, profile, &whole, &mut decision).await;
        self.instruments.decided(&profile.scheduler_name, begun, &decision.took);
        match decided {
            Ok(node) => {
                decision.outcome = Outcome::Node(node.clone());
                let explained = self.explain(&pod, profile, &decision);
                self.tell(&pod, explained);
                let binder = whole.interested.iter().find(|extender| extender.binds()).cloned();
                self.place(queued, &node, (decision.state, binder));
            }
            Err(Outcome::Unschedulable(mut diagnosis)) => {
                let explained = self.explanations.is_some().then(|| Outcome::Unschedulable(diagnosis.clone()));
                let explained = explained.and_then(|outcome| {
                    decision.outcome = outcome;
                    self.explain(&pod, profile, &decision)
                });
                // Extenders may be asked about all of them.
                decision.state.write(CANDIDATES, Vec::<Candidate>::new());
                let notes = (&mut decision.state, &mut *diagnosis);
                let result = post_filter(&pod, self.cache.snapshot_mut(), profile, notes);
                let result = self.ask_about_victims(&whole, result, (&decision, &mut diagnosis)).await;
                self.send_outbox();
                self.preempt(&pod, &result);
                self.tell(&pod, explained.map(|summary| Summary { message: diagnosis.message(), ..summary }));
                self.unschedulable(queued, &diagnosis, result.nominated_node_name);
            }
            Err(Outcome::Error(status)) => self.failed(queued, &status),
            Err(Outcome::Node(_)) => self.queue.done(&pod.uid),
        }
    }

    /// The objects whole: the scheduler itself keeps only what it needs.
    async fn whole(&self, pod: &Pod) -> Result<Whole, String> {
        let path = format!("/api/v1/namespaces/{}/pods/{}", pod.spec.namespace, pod.name);
        let object = self.get(&path).await?;
        let interested: Vec<_> =
            self.extenders.iter().filter(|extender| extender.is_interested(&object)).cloned().collect();
        let mut nodes = BTreeMap::new();
        if interested.iter().any(|extender| !extender.knows_nodes()) {
            let mut list = self.get("/api/v1/nodes?resourceVersion=0").await?;
            let items = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
            let named = |node: Value| Some((node["metadata"]["name"].as_str()?.to_owned(), node));
            nodes = items.into_iter().filter_map(named).collect();
        }
        Ok(Whole { pod: object, nodes, interested })
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
        let sent = self.client().request(request).await;
        sent.map_err(|error| steersman_framework::api::message(&error))
    }

    async fn decide_extended(
        &mut self,
        pod: &Arc<Pod>,
        profile: &Profile,
        whole: &Whole,
        decision: &mut Decision,
    ) -> Result<Arc<str>, Outcome> {
        let mut why = self.find_extended(pod, profile, whole, decision).await?;
        if decision.feasible.is_empty() && pod.nominated_node_name.is_some() {
            // The nominated node was asked alone; an extender does not like it.
            let elsewhere = Arc::new(Pod { nominated_node_name: None, ..(**pod).clone() });
            *decision = Decision::new();
            why = self.find_extended(&elsewhere, profile, whole, decision).await?;
        }
        if decision.feasible.is_empty() {
            return Err(Outcome::Unschedulable(why));
        }
        let mut bonus: BTreeMap<String, i64> = BTreeMap::new();
        if decision.feasible.len() > 1 {
            let names = self.names(&decision.feasible);
            for extender in whole.interested.iter().filter(|extender| extender.prioritizes()) {
                self.instruments.prioritizing(1);
                let scored = extender.prioritize(&whole.question(), &names).await;
                self.instruments.prioritizing(-1);
                match scored {
                    Ok(scores) => scores.into_iter().for_each(|(node, score)| *bonus.entry(node).or_default() += score),
                    Err(error) => tracing::warn!(error, "an extender could not score nodes"),
                }
            }
        }
        let search = (&mut self.search, &mut *decision);
        match choose(pod, self.cache.snapshot(), profile, search, &bonus)? {
            Outcome::Node(node) => Ok(node),
            other => Err(other),
        }
    }

    /// The nodes that plugins and extenders let pass, and why the others are not.
    async fn find_extended(
        &mut self,
        pod: &Pod,
        profile: &Profile,
        whole: &Whole,
        decision: &mut Decision,
    ) -> Result<Box<Diagnosis>, Outcome> {
        let search = (&mut self.search, &mut *decision, true);
        let why = find(pod, self.cache.snapshot_mut(), profile, search)?;
        let mut why = why.unwrap_or_default();
        for extender in whole.interested.iter().filter(|extender| extender.filters()) {
            if decision.feasible.is_empty() {
                break;
            }
            let names = self.names(&decision.feasible);
            let filtered = match extender.filter(&whole.question(), &names).await {
                Ok(filtered) => filtered,
                Err(error) if extender.is_ignorable() => {
                    tracing::warn!(error, "an extender is left out");
                    continue;
                }
                Err(error) => return Err(Outcome::Error(Status::error(error))),
            };
            let passed: BTreeSet<&String> = filtered.feasible.iter().collect();
            if passed.len() < names.len() {
                why.unschedulable_plugins.insert(NAME);
            }
            for (row, name) in decision.feasible.iter().zip(&names) {
                let status = match (filtered.unresolvable.get(name), filtered.failed.get(name)) {
                    (Some(reason), _) => Status::unresolvable(reason.clone()),
                    (None, Some(reason)) => Status::unschedulable(reason.clone()),
                    (None, None) => continue,
                };
                decision.refused_by_extenders.push((*row, status.clone().by(NAME)));
                why.node_to_status.insert(*row, status.by(NAME));
            }
            let mut place = names.iter();
            decision.feasible.retain(|_| place.next().is_some_and(|name| passed.contains(name)));
        }
        Ok(why)
    }

    fn names(&self, rows: &[Row]) -> Vec<String> {
        rows.iter().map(|row| self.cache.snapshot().node(*row).name().to_string()).collect()
    }

    /// Lets extenders take nodes out of those on which room could be made, and compares what is left.
    async fn ask_about_victims(
        &mut self,
        whole: &Whole,
        result: PostFilterResult,
        (decision, diagnosis): (&Decision, &mut Diagnosis),
    ) -> PostFilterResult {
        let asked: Vec<_> = whole.interested.iter().filter(|extender| extender.preempts()).collect();
        let candidates = decision.state.read::<Vec<Candidate>>(CANDIDATES).cloned().unwrap_or_default();
        if asked.is_empty() || result.victims.is_empty() || candidates.is_empty() {
            return result;
        }
        let cleared = PostFilterResult { nominated_node_name: Some(None), ..PostFilterResult::default() };
        let mut left: BTreeMap<String, MetaVictims> = BTreeMap::new();
        let rows: Vec<Row> = candidates.iter().map(|candidate| candidate.row).collect();
        for (candidate, node) in candidates.iter().zip(self.names(&rows)) {
            let pods = candidate.victims.iter().map(|victim| MetaPod { uid: victim.uid.to_string() }).collect();
            let violations = i64::try_from(candidate.violations).unwrap_or(i64::MAX);
            left.insert(node, MetaVictims { pods, violations });
        }
        for extender in asked {
            let whole_victims = match self.whole_victims(extender, &candidates, &left).await {
                Ok(victims) => victims,
                Err(error) => {
                    diagnosis.post_filter_message = error;
                    return cleared;
                }
            };
            match extender.process_preemption(&whole.pod, &left, &whole_victims).await {
                Ok(mut agreed) => {
                    let empty =
                        agreed.iter().find(|(_, victims)| victims.pods.is_empty()).map(|(node, _)| node.clone());
                    if let Some(node) = empty.filter(|_| !extender.is_ignorable()) {
                        diagnosis.post_filter_message = format!("expected at least one victim pod on node {node:?}");
                        return cleared;
                    }
                    agreed.retain(|_, victims| !victims.pods.is_empty());
                    left = agreed;
                }
                Err(error) if extender.is_ignorable() => tracing::warn!(error, "an extender is left out"),
                Err(error) => {
                    diagnosis.post_filter_message = error;
                    return cleared;
                }
            }
            if left.is_empty() {
                break;
            }
        }
        let Some(best) = pick(self.agreed(candidates, &left)) else {
            diagnosis.post_filter_message = "no candidate node for preemption".to_owned();
            return cleared;
        };
        let node = self.cache.snapshot().node(best.row).name().to_string();
        PostFilterResult { nominated_node_name: Some(Some(node)), victims: best.victims }
    }

    /// The candidates that are left, each with the victims that are left.
    fn agreed(&self, candidates: Vec<Candidate>, left: &BTreeMap<String, MetaVictims>) -> Vec<Candidate> {
        let mut agreed = Vec::new();
        for mut candidate in candidates {
            let Some(victims) = left.get(&**self.cache.snapshot().node(candidate.row).name()) else { continue };
            candidate.victims.retain(|victim| victims.pods.iter().any(|pod| pod.uid == *victim.uid));
            candidate.violations = usize::try_from(victims.violations).unwrap_or(0);
            agreed.push(candidate);
        }
        agreed
    }

    /// The victims with all that there is to know of them; nothing for an extender that knows them itself.
    async fn whole_victims(
        &self,
        extender: &Extender,
        candidates: &[Candidate],
        left: &BTreeMap<String, MetaVictims>,
    ) -> Result<BTreeMap<String, Value>, String> {
        let mut all = BTreeMap::new();
        if extender.knows_nodes() {
            return Ok(all);
        }
        for candidate in candidates {
            let node = self.cache.snapshot().node(candidate.row).name().to_string();
            let Some(victims) = left.get(&node) else { continue };
            let mut pods = Vec::new();
            for victim in candidate.victims.iter().filter(|it| victims.pods.iter().any(|pod| pod.uid == *it.uid)) {
                let path = format!("/api/v1/namespaces/{}/pods/{}", victim.spec.namespace, victim.name);
                pods.push(self.get(&path).await?);
            }
            all.insert(node, json!({"Pods": pods, "NumPDBViolations": victims.violations}));
        }
        Ok(all)
    }
}

impl Whole {
    fn question(&self) -> Question<'_> {
        Question { pod: &self.pod, nodes: &self.nodes }
    }
}
