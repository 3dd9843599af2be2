//! How pods show: the readiness, the one word that sums up phase, containers and deletion, and the restarts.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::meta;

use super::duration;
use super::row::{AGE, NAME, NONE, Native, Row, at, cells, list_at, non_empty, text, text_at, wide};

/// Pods.
pub(super) const POD: Native = Native {
    columns: &[
        NAME,
        text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
        text("Status", "The aggregate status of the containers in this pod."),
        text(
            "Restarts",
            "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
        ),
        AGE,
        wide("IP", "The address of the pod; empty until it has one."),
        wide("Node", "The node on which the pod runs; empty until it is bound to one."),
        wide("Nominated Node", "The node on which preemption makes room for the pod."),
        wide("Readiness Gates", "How many of the conditions that gate readiness are true, out of how many."),
    ],
    cells,
    conditions,
};

fn cells(row: &Row<'_>) -> Vec<Value> {
    let summary = Summary::of(row);
    cells![
        row.name(),
        format!("{}/{}", summary.ready, summary.total),
        summary.reason,
        summary.restarts.text(row.now),
        row.age(),
        pod_ip(row),
        row.text_or("spec.nodeName", NONE),
        row.text_or("status.nominatedNodeName", NONE),
        readiness_gates(row),
    ]
}

fn conditions(object: &Value) -> Vec<Value> {
    let (reason, message) = match text_at(object, "status.phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return Vec::new(),
    };
    vec![json!({"type": "Completed", "status": "True", "reason": reason, "message": message})]
}

fn pod_ip<'a>(row: &Row<'a>) -> &'a str {
    let first = row.list("status.podIPs").first().map_or("", |ip| text_at(ip, "ip"));
    non_empty(non_empty(first, row.text("status.podIP")), NONE)
}

fn readiness_gates(row: &Row<'_>) -> String {
    let gates = row.list("spec.readinessGates");
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let is_true = |gate: &&Value| row.has_condition(text_at(gate, "conditionType"));
    format!("{}/{}", gates.iter().filter(is_true).count(), gates.len())
}

/// How often containers restarted, and when the last of them ended.
#[derive(Clone, Copy, Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count += at(status, "restartCount").and_then(Value::as_i64).unwrap_or_default();
        let ended = text_at(status, "lastState.terminated.finishedAt").parse().ok();
        self.last = self.last.max(ended);
    }

    fn text(self, now: Timestamp) -> String {
        match self.last {
            Some(last) if self.count != 0 => {
                format!("{} ({} ago)", self.count, duration::human(duration::between(last, now)))
            }
            _ => self.count.to_string(),
        }
    }
}

/// What the cells of a pod say about its containers.
struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: Restarts,
    /// The part of the restarts that is due to sidecars; these count for as long as the pod lives.
    sidecar_restarts: Restarts,
}

impl Summary {
    fn of(row: &Row<'_>) -> Self {
        let sidecars = row.list("spec.initContainers").iter().filter(|it| is_sidecar(it)).count();
        let mut summary = Self {
            ready: 0,
            total: row.count("spec.containers") + sidecars,
            reason: first_reason(row).to_owned(),
            restarts: Restarts::default(),
            sidecar_restarts: Restarts::default(),
        };
        let initializing = summary.init_containers(row);
        if !initializing || row.has_condition("Initialized") {
            summary.containers(row);
        }
        if row.is_deleting() {
            if row.text("status.reason") == "NodeLost" {
                "Unknown".clone_into(&mut summary.reason);
            } else if !matches!(row.text("status.phase"), "Succeeded" | "Failed") {
                "Terminating".clone_into(&mut summary.reason);
            }
        }
        summary
    }

    /// Takes the init containers in; tells whether one of them holds the pod up.
    fn init_containers(&mut self, row: &Row<'_>) -> bool {
        let specs = row.list("spec.initContainers");
        for (index, status) in row.list("status.initContainerStatuses").iter().enumerate() {
            let sidecar = specs.iter().any(|spec| text_at(spec, "name") == text_at(status, "name") && is_sidecar(spec));
            self.restarts.add(status);
            if sidecar {
                self.sidecar_restarts.add(status);
            }
            let terminated = at(status, "state.terminated");
            if terminated.is_some_and(|it| exit_code(it) == 0) {
                continue;
            }
            if sidecar && flag(status, "started") {
                self.ready += usize::from(flag(status, "ready"));
                continue;
            }
            if let Some(terminated) = terminated {
                self.reason = format!("Init:{}", ending(terminated));
            } else {
                self.reason = match text_at(status, "state.waiting.reason") {
                    "" | "PodInitializing" => format!("Init:{index}/{}", specs.len()),
                    reason => format!("Init:{reason}"),
                };
            }
            return true;
        }
        false
    }

    /// Takes the containers in, from the last to the first, so that the first one has the last word.
    fn containers(&mut self, row: &Row<'_>) {
        self.restarts = self.sidecar_restarts;
        let mut error = None;
        let mut running = false;
        for status in list_at(row.object, "status.containerStatuses").iter().rev() {
            self.restarts.add(status);
            let waiting = text_at(status, "state.waiting.reason");
            if !waiting.is_empty() {
                waiting.clone_into(&mut self.reason);
            } else if let Some(terminated) = at(status, "state.terminated") {
                self.reason = ending(terminated);
                if exit_code(terminated) != 0 {
                    error = Some(self.reason.clone());
                }
            } else if flag(status, "ready") && at(status, "state.running").is_some() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" {
            if running && row.has_condition("Ready") {
                "Running".clone_into(&mut self.reason);
            } else if let Some(error) = error {
                self.reason = error;
            } else if running {
                "NotReady".clone_into(&mut self.reason);
            }
        }
    }
}

fn first_reason<'a>(row: &Row<'a>) -> &'a str {
    let gated =
        row.condition("PodScheduled").is_some_and(|condition| text_at(condition, "reason") == "SchedulingGated");
    if gated { "SchedulingGated" } else { non_empty(row.text("status.reason"), row.text("status.phase")) }
}

/// Why a container ended.
fn ending(terminated: &Value) -> String {
    let signal = at(terminated, "signal").and_then(Value::as_i64).unwrap_or_default();
    match (text_at(terminated, "reason"), signal) {
        ("", 0) => format!("ExitCode:{}", exit_code(terminated)),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn exit_code(terminated: &Value) -> i64 {
    at(terminated, "exitCode").and_then(Value::as_i64).unwrap_or_default()
}

fn is_sidecar(container: &Value) -> bool {
    meta::text(container, &["restartPolicy"]) == "Always"
}

fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or_default()
}

#[cfg(test)]
mod tests;
