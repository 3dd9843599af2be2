//! The decisions of a workload alone: no API server, no clients, one thread.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;
use steersman_machinery::random::Random;
use steersman_scheduler_plugin::cache::Cache;
use steersman_scheduler_plugin::cycle::{Outcome, Search, schedule_one};
use steersman_scheduler_plugin::pod::Pod;
use steersman_scheduler_plugin::registry::Handle;
use steersman_scheduler_plugin::snapshot::SelectingKind;
use steersman_scheduler_plugin::{Options, profiles};
use tokio::time::Instant;

use crate::workload::{MEASURED, Tables, Workload};

/// How long decisions took, the choice of a node and counting the pod there.
pub(crate) struct Decisions {
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
    pub(crate) mean: Duration,
}

/// Decides for all pods of a workload; those that fit nowhere are passed over. `None` for workloads with volumes, which
/// take more than nodes and pods.
pub(crate) fn decide(tables: &Tables, workload: &Workload) -> Result<Option<Decisions>> {
    if workload.csi_limit.is_some() {
        return Ok(None);
    }
    let options = Options::default();
    let profiles = profiles(&options, &Handle::for_tests())?;
    let profile = &profiles["default-scheduler"];
    let (mut cache, mut search) = (Cache::default(), Search::remembering(Random::seeded(1)));
    fill(tables, workload, &mut cache)?;
    let mut place = |template: &str, (namespace, prefix): (&str, &str), count: usize| -> Result<Vec<Duration>> {
        let template = tables.pod(template, (namespace, prefix));
        let mut times = Vec::with_capacity(count);
        for number in 0..count {
            let mut object: serde_json::Value = serde_json::from_str(&template.number(number).1)?;
            object["metadata"]["uid"] = json!(format!("{namespace}/{prefix}-{number}"));
            object["spec"]["schedulerName"] = json!("default-scheduler");
            let pod = cache.intern(&serde_json::from_value(object)?);
            let start = Instant::now();
            let decision = schedule_one(&pod, cache.snapshot_mut(), profile, &mut search);
            match decision.outcome {
                Outcome::Node(node) => {
                    cache.assume(Arc::new(Pod { node_name: Some(node), pending: None, ..(*pod).clone() }));
                }
                Outcome::Unschedulable(_) => {}
                Outcome::Error(status) => bail!("{status}"),
            }
            times.push(start.elapsed());
        }
        Ok(times)
    };
    let namespaces = workload.namespaces.unwrap_or(1);
    for (index, (count, template)) in workload.init.iter().enumerate() {
        for number in 0..namespaces {
            let namespace = if namespaces > 1 { format!("init-ns-{number}") } else { "sched-0".to_owned() };
            place(template, (&namespace, &format!("init-{index}")), count / namespaces)?;
        }
    }
    let mut times = place(&workload.measured.1, (MEASURED, "measured"), workload.measured.0)?;
    times.sort();
    let mean = times.iter().sum::<Duration>() / u32::try_from(times.len())?;
    Ok(Some(Decisions { median: percentile(&times, 50), p99: percentile(&times, 99), mean }))
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
            cache.set_node(Arc::new(serde_json::from_value(tables.node(template, number))?));
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
