//! The status that a pod is given, from what runs of it.

use serde_json::{Value, json};
use steersman_machinery::clock::format_time;

use super::lifecycle::{Condition, ConditionType, Container, End, Exit, Phase, Runtime, State, current_backoff};
use super::stable_hash;
use super::view::{ContainerSpec, PodView, Role};
use crate::node::Node;

/// The PodStatus, as far as it is the kubelet's.
pub(super) fn render(view: &PodView, runtime: &Runtime, node: &Node) -> Value {
    let phase = runtime.phase(view);
    let mut status = json!({
        "phase": phase_name(phase),
        "observedGeneration": view.generation,
        "conditions": conditions(view, runtime, phase),
        "hostIP": node.address,
        "hostIPs": [{ "ip": node.address }],
        "startTime": format_time(runtime.seen),
        "containerStatuses": container_statuses(view, runtime, |role| role == Role::Main),
    });
    let init = container_statuses(view, runtime, |role| role != Role::Main);
    if !init.is_empty() {
        status["initContainerStatuses"] = Value::Array(init);
    }
    if let Some(address) = runtime.address {
        status["podIP"] = json!(address);
        status["podIPs"] = json!([{ "ip": address }]);
    }
    if runtime.end == Some(End::DeadlineExceeded) {
        status["reason"] = json!("DeadlineExceeded");
        status["message"] = json!("Pod was active on the node longer than the specified deadline");
    }
    status
}

/// A strategic merge patch that brings the status to `status`; fails with a conflict if the pod is another by now.
/// With `overwrites`, conditions that were written before lose their old reason and message.
pub(super) fn patch(view: &PodView, mut status: Value, overwrites: bool) -> Value {
    if overwrites {
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            for field in ["reason", "message"] {
                if condition[field].is_null() {
                    condition[field] = Value::Null;
                }
            }
        }
    }
    json!({ "metadata": { "uid": view.uid }, "status": status })
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Running => "Running",
        Phase::Succeeded => "Succeeded",
        Phase::Failed => "Failed",
    }
}

fn conditions(view: &PodView, runtime: &Runtime, phase: Phase) -> Vec<Value> {
    let mut conditions: Vec<_> = ConditionType::ALL
        .iter()
        .map(|(condition, name)| {
            let why = explain(view, runtime, phase, *condition);
            condition_value(view, name, runtime.condition(*condition), why)
        })
        .collect();
    if runtime.sets_scheduled {
        let condition = Condition { holds: true, since: runtime.seen };
        conditions.push(condition_value(view, "PodScheduled", condition, None));
    }
    conditions
}

fn condition_value(view: &PodView, name: &str, condition: Condition, why: Option<(&str, Option<String>)>) -> Value {
    let mut value = json!({
        "type": name,
        "status": if condition.holds { "True" } else { "False" },
        "lastTransitionTime": format_time(condition.since),
        "observedGeneration": view.generation,
    });
    if let Some((reason, message)) = why {
        value["reason"] = json!(reason);
        if let Some(message) = message {
            value["message"] = json!(message);
        }
    }
    value
}

/// Reason and message of a condition. Source: `pkg/kubelet/status/generate.go`.
fn explain<'a>(
    view: &PodView,
    runtime: &Runtime,
    phase: Phase,
    condition: ConditionType,
) -> Option<(&'a str, Option<String>)> {
    match (condition, phase) {
        (ConditionType::PodReadyToStartContainers, _) => None,
        (_, Phase::Succeeded) => Some(("PodCompleted", None)),
        (ConditionType::Initialized, _) => {
            let message = || format!("containers with incomplete status: [{}]", unready(view, runtime, true));
            (!runtime.condition(condition).holds).then(|| ("ContainersNotInitialized", Some(message())))
        }
        (_, Phase::Failed) => Some(("PodFailed", None)),
        _ if !runtime.condition(ConditionType::ContainersReady).holds => {
            let message = format!("containers with unready status: [{}]", unready(view, runtime, false));
            Some(("ContainersNotReady", Some(message)))
        }
        (ConditionType::Ready, _) if !runtime.condition(condition).holds => {
            Some(("ReadinessGatesNotReady", Some(closed_gates(view))))
        }
        _ => None,
    }
}

/// The names of the containers that are not ready: init containers that are not done, or all others.
fn unready(view: &PodView, runtime: &Runtime, init: bool) -> String {
    let pairs = view.containers.iter().zip(&runtime.containers);
    let names = pairs
        .filter(|(spec, container)| {
            !container.ready && if init { spec.role != Role::Main } else { spec.role != Role::Init }
        })
        .map(|(spec, _)| &*spec.name);
    names.collect::<Vec<_>>().join(" ")
}

fn closed_gates(view: &PodView) -> String {
    let messages = view.gates.iter().filter_map(|gate| match gate.status.as_deref() {
        Some("True") => None,
        Some(status) => {
            Some(format!("the status of pod readiness gate \"{}\" is not \"True\", but {status}", gate.condition))
        }
        None => Some(format!("corresponding condition of pod readiness gate \"{}\" does not exist.", gate.condition)),
    });
    messages.collect::<Vec<_>>().join(", ")
}

fn container_statuses(view: &PodView, runtime: &Runtime, wanted: impl Fn(Role) -> bool) -> Vec<Value> {
    let pairs = view.containers.iter().zip(&runtime.containers);
    pairs
        .filter(|(spec, _)| wanted(spec.role))
        .map(|(spec, container)| container_status(view, spec, container))
        .collect()
}

fn container_status(view: &PodView, spec: &ContainerSpec, container: &Container) -> Value {
    let created = container.state != State::Creating;
    let mut status = json!({
        "name": spec.name,
        "state": state(view, spec, container),
        "lastState": {},
        "ready": container.ready,
        "restartCount": container.restarts,
        "image": *container.image,
        "imageID": if created { image_id(&container.image) } else { String::new() },
        "started": matches!(container.state, State::Running { .. }),
    });
    if created {
        status["containerID"] = json!(container_id(view, spec, container.restarts));
    }
    if let Some(last) = &container.last {
        // While it waits for its next run, the last one is the current one too.
        let waits = matches!(container.state, State::BackOff { .. });
        let previous = container.restarts.saturating_sub(u32::from(!waits));
        status["lastState"] = json!({ "terminated": terminated(view, spec, last, previous) });
    }
    status
}

fn state(view: &PodView, spec: &ContainerSpec, container: &Container) -> Value {
    match &container.state {
        State::Creating => {
            let initializing = spec.role == Role::Main && view.containers.iter().any(|spec| spec.role == Role::Init);
            let reason = if initializing { "PodInitializing" } else { "ContainerCreating" };
            json!({ "waiting": { "reason": reason } })
        }
        State::Running { since } => json!({ "running": { "startedAt": format_time(*since) } }),
        State::Terminated(exit) => json!({ "terminated": terminated(view, spec, exit, container.restarts) }),
        State::BackOff { .. } => {
            let message = format!(
                "back-off {} restarting failed container={} pod={}_{}({})",
                go_duration(current_backoff(container).as_secs()),
                spec.name,
                view.key.name,
                view.key.namespace,
                view.uid
            );
            json!({ "waiting": { "reason": "CrashLoopBackOff", "message": message } })
        }
    }
}

fn terminated(view: &PodView, spec: &ContainerSpec, exit: &Exit, restarts: u32) -> Value {
    json!({
        "containerID": container_id(view, spec, restarts),
        "exitCode": exit.code,
        "finishedAt": format_time(exit.finished),
        "reason": if exit.code == 0 { "Completed" } else { "Error" },
        "startedAt": format_time(exit.started),
    })
}

/// Seconds as Go prints a duration: `10s`, `2m40s`, `5m0s`.
fn go_duration(seconds: u64) -> String {
    match seconds / 60 {
        0 => format!("{seconds}s"),
        minutes => format!("{minutes}m{}s", seconds % 60),
    }
}

/// The same image has the same id on all nodes.
fn image_id(image: &str) -> String {
    let name = image.split('@').next().unwrap_or(image);
    // A colon in the last part is a tag's; one before is a registry port's.
    let repository = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    };
    format!("{repository}@sha256:{}", digest(&image))
}

/// Each start of a container has an id of its own.
fn container_id(view: &PodView, spec: &ContainerSpec, restarts: u32) -> String {
    format!("steersman://{}", digest(&(&view.uid, &spec.name, restarts)))
}

/// 64 hexadecimal digits that depend on nothing but the input.
fn digest(value: &impl std::hash::Hash) -> String {
    (0..4u8).map(|part| format!("{:016x}", stable_hash(&(part, value)))).collect()
}
