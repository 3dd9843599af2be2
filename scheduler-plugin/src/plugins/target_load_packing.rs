//! TargetLoadPacking: nodes are filled up to a target of measured cpu load, the fullest below it first. Off by default.
//!
//! The load is read from `metrics.k8s.io` (the metrics server), once every half minute; what pods will use that came since
//! is estimated from their requests and limits. A node's predicted utilization `u` (in percent, with the pod) gives, with
//! the target `t`: `(100 - t) * u / t + t` up to the target, falling from `t` to 0 as `t * (100 - u) / (100 - t)` above it,
//! and 0 above 100 % and for nodes without metrics. Shares are of what pods may take; upstream's are of the capacity.
//! Source: `sigs.k8s.io/scheduler-plugins/pkg/trimaran/targetloadpacking`; KEP 61-Trimaran there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde::Deserialize;
use steersman_framework::api::Resource;
use steersman_machinery::clock::SharedClock;

use crate::cycle_state::CycleState;
use crate::plugin::{Plugin, PodObserver, ScorePlugin};
use crate::pod::Pod;
use crate::registry::Handle;
use crate::resources::amount;
use crate::snapshot::NodeRef;
use crate::status::Status;
use crate::watched::Watched;
use crate::wire::Map;

pub(super) const NAME: &str = "TargetLoadPacking";
const NODE_METRICS: Resource = Resource::cluster("metrics.k8s.io", "v1beta1", "NodeMetrics", "nodes");
/// How often metrics are read: the metrics server has new ones every 15 seconds to a minute.
const EVERY: Duration = Duration::from_secs(30);
/// For how long a pod's load may be missing in the metrics.
const REPORTING: SignedDuration = SignedDuration::from_secs(60);

/// `TargetLoadPackingArgs`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TargetLoadPackingArgs {
    /// What containers without requests and limits will use.
    pub default_requests: Map,
    /// By how much the requests of containers without limits are multiplied.
    pub default_requests_multiplier: String,
    /// The target, in percent.
    pub target_utilization: i64,
    /// Where metrics come from: `{type: KubernetesMetricsServer}`.
    pub metric_provider: MetricProvider,
}

/// `MetricProviderSpec`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricProvider {
    /// Only `KubernetesMetricsServer`.
    #[serde(rename = "type")]
    pub provider_type: String,
}

impl Default for MetricProvider {
    fn default() -> Self {
        Self { provider_type: "KubernetesMetricsServer".to_owned() }
    }
}

impl Default for TargetLoadPackingArgs {
    fn default() -> Self {
        Self {
            default_requests: Map::from([("cpu".to_owned(), "1000m".to_owned())]),
            default_requests_multiplier: "1.5".to_owned(),
            target_utilization: 40,
            metric_provider: MetricProvider::default(),
        }
    }
}

/// What is read of `NodeMetrics`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeMetrics {
    timestamp: Option<Timestamp>,
    usage: Map,
}

/// The plugin.
pub struct TargetLoadPacking {
    target: f64,
    default_cpu: i64,
    multiplier: f64,
    metrics: Watched<NodeMetrics>,
    clock: SharedClock,
    /// Pods that came lately: by node, with when and how much they will use.
    recent: Mutex<BTreeMap<Arc<str>, Recent>>,
}

#[derive(Debug)]
struct Recent {
    node: Arc<str>,
    since: Timestamp,
    cpu: i64,
}

impl TargetLoadPacking {
    /// The plugin with these arguments.
    ///
    /// # Errors
    /// If the target is no share, the multiplier no number, or the metrics come from elsewhere.
    pub fn new(args: &TargetLoadPackingArgs, handle: &Handle) -> Result<Self, String> {
        let target = u8::try_from(args.target_utilization).ok().filter(|target| (1..100).contains(target));
        let target = target.ok_or_else(|| {
            format!("targetUtilization: Invalid value: {}: must be between 1 and 99", args.target_utilization)
        })?;
        let given = &args.default_requests_multiplier;
        let multiplier: f64 = given.parse().ok().filter(|factor| *factor >= 1.0).ok_or_else(|| {
            format!("defaultRequestsMultiplier: Invalid value: {given:?}: must be a number of at least 1")
        })?;
        let provider = &args.metric_provider.provider_type;
        if provider != "KubernetesMetricsServer" {
            return Err(format!(
                "metricProvider.type: Unsupported value: {provider:?}: supported: KubernetesMetricsServer"
            ));
        }
        Ok(Self {
            target: f64::from(target),
            default_cpu: args.default_requests.get("cpu").map_or(1000, |cpu| amount("cpu", cpu)),
            multiplier,
            metrics: handle.watches.poll(&NODE_METRICS, EVERY),
            clock: handle.clock.clone(),
            recent: Mutex::default(),
        })
    }

    /// What a pod will use, in thousandths of a core.
    fn predicted(&self, pod: &Pod) -> i64 {
        let of = |(request, limit): &(Option<i64>, Option<i64>)| match (limit, request) {
            (Some(limit), _) => *limit,
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an estimate")]
            (None, Some(request)) => (*request as f64 * self.multiplier).round() as i64,
            (None, None) => self.default_cpu,
        };
        pod.spec.container_cpu.iter().map(of).sum()
    }

    /// What pods will use on the node that the metrics do not show yet.
    fn missing(&self, node: &str, measured: Timestamp) -> i64 {
        let recent = self.recent.lock();
        let on_node = recent.values().filter(|pod| *pod.node == *node);
        on_node.filter(|pod| measured.duration_since(pod.since) < REPORTING).map(|pod| pod.cpu).sum()
    }
}

/// The score of a node with a utilization, both in percent.
#[expect(clippy::cast_possible_truncation, reason = "scores are from 0 to 100")]
fn score(utilization: f64, target: f64) -> i64 {
    if utilization > 100.0 {
        0
    } else if utilization > target {
        (target * (100.0 - utilization) / (100.0 - target)).round() as i64
    } else {
        ((100.0 - target) * utilization / target + target).round() as i64
    }
}

impl Plugin for TargetLoadPacking {
    fn name(&self) -> &'static str {
        NAME
    }
    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        Some(self)
    }
    fn as_pod_observer(&self) -> Option<&dyn PodObserver> {
        Some(self)
    }
}

impl PodObserver for TargetLoadPacking {
    fn pod_set(&self, pod: &Pod) {
        let Some(node) = &pod.node_name else { return };
        let now = self.clock.now();
        let mut recent = self.recent.lock();
        // Whatever is older than two reports is in the metrics.
        recent.retain(|_, pod| now.duration_since(pod.since) < REPORTING * 2);
        let since = pod.start_time.unwrap_or(now);
        if now.duration_since(since) < REPORTING * 2 && !recent.contains_key(&pod.uid) {
            let cpu = self.predicted(pod);
            recent.insert(pod.uid.clone(), Recent { node: node.clone(), since, cpu });
        }
    }

    fn pod_removed(&self, uid: &str) {
        self.recent.lock().remove(uid);
    }
}

impl ScorePlugin for TargetLoadPacking {
    fn score(&self, _: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Result<i64, Status> {
        let capacity = node.allocatable("cpu");
        let Some(metrics) = self.metrics.get("", node.name()).filter(|_| capacity > 0) else { return Ok(0) };
        let Some(used) = metrics.usage.get("cpu") else { return Ok(0) };
        let measured = metrics.timestamp.unwrap_or_else(|| self.clock.now());
        let used = amount("cpu", used) + self.predicted(pod) + self.missing(node.name(), measured);
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let utilization = 100.0 * used as f64 / capacity as f64;
        Ok(score(utilization, self.target))
    }
}

#[cfg(test)]
mod tests;
