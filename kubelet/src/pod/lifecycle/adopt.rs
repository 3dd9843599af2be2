//! Pods that ran before this process did: what the API says of them is taken for what runs.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Condition, ConditionType, Container, End, Exit, Runtime, State, after, backoff};
use crate::pod::object::{ContainerStatus, Status, Terminated};
use crate::pod::view::{ContainerSpec, PodView};

impl Runtime {
    /// What runs of a pod, according to its status; nothing if no kubelet has written one.
    pub(in crate::pod) fn adopt(view: &PodView, status: &Status, now: Timestamp) -> Self {
        let fresh = Self::new(view, now);
        let sets_scheduled = !status.conditions.iter().any(|condition| *condition.type_ == *"PodScheduled");
        let Some(seen) = status.start_time else {
            return Self { sets_scheduled, ..fresh };
        };
        let statuses = || status.init_container_statuses.iter().chain(&status.container_statuses);
        let container = |spec: &ContainerSpec| {
            let found = statuses().find(|found| found.name == spec.name);
            adopt_container(spec, found, now)
        };
        Self {
            seen,
            address: status.pod_ip.as_deref().and_then(|address| address.parse().ok()),
            started: &*status.phase != "Pending",
            containers: view.containers.iter().map(container).collect(),
            conditions: ConditionType::ALL.map(|(_, name)| condition(status, name, now)),
            stopping: None,
            end: (status.reason.as_deref() == Some("DeadlineExceeded")).then_some(End::DeadlineExceeded),
            sets_scheduled: false,
        }
    }
}

fn adopt_container(spec: &ContainerSpec, found: Option<&ContainerStatus>, now: Timestamp) -> Container {
    let restarts = found.map_or(0, |found| found.restart_count);
    let last = found.and_then(|found| found.last_state.terminated.as_ref()).map(|last| exit(last, now));
    let state = match found.map(|found| (&found.state.running, &found.state.terminated)) {
        Some((Some(running), _)) => State::Running { since: running.started_at.unwrap_or(now) },
        Some((None, Some(terminated))) => State::Terminated(exit(terminated, now)),
        _ => match &last {
            Some(last) => State::BackOff { until: after(last.finished, backoff(restarts)) },
            None => State::Creating,
        },
    };
    Container {
        image: match found {
            Some(found) if *found.image != *spec.image => found.image.clone().into(),
            _ => Arc::clone(&spec.image),
        },
        state,
        ready: found.is_some_and(|found| found.ready),
        restarts,
        recent_restarts: restarts,
        last,
    }
}

fn exit(terminated: &Terminated, now: Timestamp) -> Box<Exit> {
    Box::new(Exit {
        started: terminated.started_at.unwrap_or(now),
        finished: terminated.finished_at.unwrap_or(now),
        code: terminated.exit_code,
    })
}

fn condition(status: &Status, name: &str, now: Timestamp) -> Condition {
    let found = status.conditions.iter().find(|condition| *condition.type_ == *name);
    Condition {
        holds: found.is_some_and(|condition| &*condition.status == "True"),
        since: found.and_then(|condition| condition.last_transition_time).unwrap_or(now),
    }
}
