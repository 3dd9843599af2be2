//! The decisions of a workload alone: no API server, no clients, one thread.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;
use steersman_machinery::random::Random;
use steersman_scheduler_plugin::cache::Cache;
use steersman_scheduler_plugin::cycle::{Outcome, Search, post_filter, schedule_one};
use steersman_scheduler_plugin::pod::Pod;
use steersman_scheduler_plugin::profile::Profile;
use steersman_scheduler_plugin::registry::Handle;
use steersman_scheduler_plugin::snapshot::SelectingKind;
use steersman_scheduler_plugin::{Options, profiles};
use tokio::time::Instant;

use crate::workload::{MEASURED, Tables, Template, Workload};

/// How many pods wait at a time until those that make room for them are gone.
const MAKING_ROOM: usize = 16;

/// How long decisions took: the choice of a node and counting the pod there, or finding out who has to make room.
pub(crate) struct Decisions {
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
    pub(crate) mean: Duration,
}

struct Decider<'a> {
    cache: Cache,
    search: Search,
    profile: &'a Profile,
    /// Pods for which a node is held, and who has to go there first.
    waiting: VecDeque<(Arc<Pod>, Vec<Arc<Pod>>)>,
    times: Vec<Duration>,
}

impl Decider<'_> {
    /// One attempt.
    fn attempt(&mut self, pod: &Arc<Pod>) -> Result<()> {
        let start = Instant::now();
        let mut decision = schedule_one(pod, self.cache.snapshot_mut(), self.profile, &mut self.search);
        match decision.outcome {
            Outcome::Node(node) => {
                self.cache.nominate(pod, None);
                self.cache.assume(Arc::new(Pod { node_name: Some(node), pending: None, ..(**pod).clone() }));
            }
            Outcome::Unschedulable(mut diagnosis) => {
                let notes = (&mut decision.state, &mut *diagnosis);
                let result = post_filter(pod, self.cache.snapshot_mut(), self.profile, notes);
                let _ = std::hint::black_box(diagnosis.message());
                if let Some(Some(node)) = result.nominated_node_name {
                    self.cache.nominate(pod, Some(&node));
                    let pod = Arc::new(Pod { nominated_node_name: Some(node.into()), ..(**pod).clone() });
                    self.waiting.push_back((pod, result.victims));
                }
            }
            Outcome::Error(status) => bail!("{status}"),
        }
        self.times.push(start.elapsed());
        Ok(())
    }

    /// So many at most go on waiting.
    fn make_room(&mut self, waiting: usize) -> Result<()> {
        while self.waiting.len() > waiting {
            let Some((pod, victims)) = self.waiting.pop_front() else { break };
            victims.iter().for_each(|victim| drop(self.cache.remove_pod(&victim.uid)));
            self.attempt(&pod)?;
        }
        Ok(())
    }

    /// Decides for so many pods of a template.
    fn place(&mut self, template: &Template, (namespace, prefix): (&str, &str), count: usize) -> Result<()> {
        for number in 0..count {
            let mut object: serde_json::Value = serde_json::from_str(&template.number(number).1)?;
            object["metadata"]["uid"] = json!(format!("{namespace}/{prefix}-{number}"));
            object["spec"]["schedulerName"] = json!("default-scheduler");
            let pod = self.cache.intern(&serde_json::from_value(object)?);
            self.attempt(&pod)?;
            self.make_room(MAKING_ROOM)?;
        }
        self.make_room(0)
    }
}

/// Decides for all pods of a workload; who has to make room for them does, and those that fit nowhere even so are passed over.
pub(crate) fn decide(tables: &Tables, workload: &Workload) -> Result<Decisions> {
    let options = Options::default();
    let profiles = profiles(&options, &Handle::for_tests())?;
    let profile = &profiles["default-scheduler"];
    let (search, waiting, times) = (Search::remembering(Random::seeded(1)), VecDeque::new(), Vec::new());
    let mut decider = Decider { cache: Cache::default(), search, profile, waiting, times };
    fill(tables, workload, &mut decider.cache)?;
    let mut place = |template: &str, names: (&str, &str), count: usize| -> Result<()> {
        for template in tables.volumes(template, names) {
            for number in 0..count {
                let object: serde_json::Value = serde_json::from_str(&template.number(number).1)?;
                decider
                    .cache
                    .set_stored(object["kind"].as_str().unwrap_or_default(), &object)
                    .map_err(anyhow::Error::msg)?;
            }
        }
        decider.times.clear();
        decider.place(&tables.pod(template, names), names, count)
    };
    let namespaces = workload.namespaces.unwrap_or(1);
    for (index, (count, template)) in workload.init.iter().enumerate() {
        for number in 0..namespaces {
            let namespace = if namespaces > 1 { format!("init-ns-{number}") } else { "sched-0".to_owned() };
            place(template, (&namespace, &format!("init-{index}")), count / namespaces)?;
        }
    }
    place(&workload.measured.1, (MEASURED, "measured"), workload.measured.0)?;
    let mut times = decider.times;
    times.sort();
    let mean = times.iter().sum::<Duration>() / u32::try_from(times.len())?;
    Ok(Decisions { median: percentile(&times, 50), p99: percentile(&times, 99), mean })
}

/// Nodes, namespaces, services.
fn fill(tables: &Tables, workload: &Workload, cache: &mut Cache) -> Result<()> {
    let first = (0..workload.namespaces.unwrap_or(0)).map(|number| format!("init-ns-{number}"));
    for name in first.chain(["sched-0".to_owned(), MEASURED.to_owned()]) {
        let namespace = json!({"metadata": {"name": name, "labels": {"team": "devops"}}});
        cache.set_namespace(&serde_json::from_value(namespace)?);
    }
    let mut number = 0;
    for (count, template) in &workload.nodes {
        for _ in 0..*count {
            let node = tables.node(template, number);
            if let Some(limit) = workload.csi_limit {
                let name = node["metadata"]["name"].as_str().unwrap_or_default();
                cache.set_stored("CSINode", &Tables::csi_node(name, limit)).map_err(anyhow::Error::msg)?;
            }
            cache.set_node(Arc::new(serde_json::from_value(node)?));
            number += 1;
        }
    }
    for name in &workload.prepare {
        let mut service: serde_json::Value = serde_json::from_str(&tables.object(name).number(0).1)?;
        service["metadata"]["namespace"] = json!(MEASURED);
        cache.set_selecting(SelectingKind::Service, &serde_json::from_value(service)?);
    }
    Ok(())
}

/// The value that so many percent of all do not exceed.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}
