//! What happens to a pod as time goes by. Pure: the pod, what runs of it, and the time give what runs next, and when to
//! look again.

mod adopt;
#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::view::{ContainerSpec, PodView, Role};
use crate::annotations::Exit as ScriptedExit;
use crate::options::Options;

/// The second restart in a row waits this long, each further one twice as long as the one before.
/// Source: `pkg/kubelet` (`backOffPeriod`), as are the next two.
const FIRST_BACKOFF: Duration = Duration::from_secs(10);

/// The longest wait before a restart.
const LAST_BACKOFF: Duration = Duration::from_secs(300);

/// A container that ran this long before it ended is restarted at once again: twice the longest wait.
const BACKOFF_FORGOTTEN: Duration = Duration::from_secs(600);

/// What runs of a pod.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Runtime {
    /// When the kubelet saw the pod first: its `startTime`.
    pub(super) seen: Timestamp,
    /// The pod's own address, as soon as it has one.
    pub(super) address: Option<Ipv4Addr>,
    /// Whether the sandbox is up and the init containers are done.
    pub(super) started: bool,
    /// In the order of the view's containers.
    pub(super) containers: Box<[Container]>,
    pub(super) conditions: [Condition; 4],
    /// When the kubelet saw that the pod is being deleted.
    pub(super) stopping: Option<Timestamp>,
    /// Why nothing runs any more and nothing will.
    pub(super) end: Option<End>,
    /// Whether the scheduler did not set the condition PodScheduled, so that the kubelet has to.
    pub(super) sets_scheduled: bool,
}

/// What runs of a container.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Container {
    pub(super) image: Arc<str>,
    pub(super) state: State,
    pub(super) ready: bool,
    pub(super) restarts: u32,
    /// Restarts since it last ran for long.
    pub(super) recent_restarts: u32,
    pub(super) last: Option<Box<Exit>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Creating,
    Running {
        since: Timestamp,
    },
    BackOff {
        until: Timestamp,
    },
    /// Boxed, because most containers never end.
    Terminated(Box<Exit>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
    pub(super) code: i32,
}

/// A condition and since when it has been so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) holds: bool,
    pub(super) since: Timestamp,
}

/// The index of a condition in [`Runtime::conditions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConditionType {
    PodReadyToStartContainers,
    Initialized,
    ContainersReady,
    Ready,
}

/// Why a pod ended before its containers did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Deleted,
    DeadlineExceeded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

/// What to do after [`advance`], besides telling the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Next {
    /// The pod has stopped and is to be removed from the API.
    pub(super) remove: bool,
    /// When something will happen by itself.
    pub(super) wake: Option<Timestamp>,
}

impl ConditionType {
    /// In the order in which they are told.
    pub(super) const ALL: [(Self, &'static str); 4] = [
        (Self::PodReadyToStartContainers, "PodReadyToStartContainers"),
        (Self::Initialized, "Initialized"),
        (Self::ContainersReady, "ContainersReady"),
        (Self::Ready, "Ready"),
    ];
}

impl Phase {
    /// Whether nothing will run any more.
    pub(super) fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

impl Runtime {
    /// Of a pod that was just seen.
    pub(super) fn new(view: &PodView, now: Timestamp) -> Self {
        let container = |spec: &ContainerSpec| Container {
            image: Arc::clone(&spec.image),
            state: State::Creating,
            ready: false,
            restarts: 0,
            recent_restarts: 0,
            last: None,
        };
        Self {
            seen: now,
            address: None,
            started: false,
            containers: view.containers.iter().map(container).collect(),
            conditions: [Condition { holds: false, since: now }; 4],
            stopping: None,
            end: None,
            sets_scheduled: false,
        }
    }

    /// A condition.
    pub(super) fn condition(&self, condition: ConditionType) -> Condition {
        self.conditions[condition as usize]
    }

    /// The phase, from the states of the main containers. Source: `getPhase` in `pkg/kubelet`.
    pub(super) fn phase(&self, view: &PodView) -> Phase {
        let mut main = members(view, &self.containers, Role::Main).peekable();
        match self.end {
            Some(End::DeadlineExceeded) => return Phase::Failed,
            Some(End::Deleted) if !self.started => return Phase::Failed,
            _ if !self.started || main.peek().is_none() => return Phase::Pending,
            _ => {}
        }
        let mut failed = false;
        for container in main {
            match &container.state {
                State::Terminated(exit) => failed |= exit.code != 0,
                _ => return Phase::Running,
            }
        }
        if failed { Phase::Failed } else { Phase::Succeeded }
    }
}

/// Lets everything happen that is due at `now`.
pub(super) fn advance(view: &PodView, runtime: &mut Runtime, options: &Options, now: Timestamp) -> Next {
    let mut step = Step { view, options, now, wake: None };
    step.end(runtime);
    if runtime.end.is_none() && !runtime.phase(view).is_terminal() {
        step.start(runtime);
        if runtime.started {
            step.run(runtime);
        }
    }
    step.probe(runtime);
    step.settle(runtime);
    let ended = runtime.end.is_some() || runtime.phase(view).is_terminal();
    Next { remove: ended && view.deletion.is_some(), wake: step.wake.filter(|_| !ended) }
}

/// One call of [`advance`].
struct Step<'a> {
    view: &'a PodView,
    options: &'a Options,
    now: Timestamp,
    wake: Option<Timestamp>,
}

impl Step<'_> {
    /// Whether a moment has come; if not, it is a reason to wake.
    fn is_due(&mut self, at: Timestamp) -> bool {
        if at <= self.now {
            return true;
        }
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        false
    }

    /// Stops everything if the pod is being deleted, or ran for as long as it may.
    fn end(&mut self, runtime: &mut Runtime) {
        if runtime.end.is_some() || runtime.phase(self.view).is_terminal() {
            return;
        }
        let deadline = self.view.active_deadline.map(|deadline| after(runtime.seen, deadline));
        if deadline.is_some_and(|deadline| self.is_due(deadline)) {
            self.stop(runtime, End::DeadlineExceeded);
            return;
        }
        let Some(deletion) = self.view.deletion else { return };
        let stopping = *runtime.stopping.get_or_insert(self.now);
        let delay = self.view.script().termination_delay.unwrap_or(self.options.termination_delay);
        let stopped = after(stopping, delay).min(deletion);
        if !runtime.started || self.is_due(stopped) {
            self.stop(runtime, End::Deleted);
        }
    }

    /// Everything that runs ends in good order; what waits does not run again.
    fn stop(&self, runtime: &mut Runtime, end: End) {
        runtime.end = Some(end);
        for container in &mut runtime.containers {
            match container.state {
                State::Running { since } => container.state = State::Terminated(self.exit(since, 0)),
                State::BackOff { .. } => {
                    let last = container.last.clone();
                    container.state = State::Terminated(last.unwrap_or_else(|| self.exit(self.now, 0)));
                }
                State::Creating | State::Terminated(_) => {}
            }
        }
    }

    fn exit(&self, started: Timestamp, code: i32) -> Box<Exit> {
        Box::new(Exit { started, finished: self.now, code })
    }

    /// Brings the sandbox up, runs the init containers through, and starts the others.
    fn start(&mut self, runtime: &mut Runtime) {
        let delay = self.view.script().start_delay.unwrap_or(self.options.start_delay);
        if runtime.started || !self.is_due(after(runtime.seen, delay)) {
            return;
        }
        runtime.started = true;
        for (spec, container) in self.view.containers.iter().zip(&mut runtime.containers) {
            container.image = Arc::clone(&spec.image);
            container.state = match spec.role {
                Role::Init => State::Terminated(self.exit(self.now, 0)),
                Role::Sidecar | Role::Main => State::Running { since: self.now },
            };
        }
    }

    fn run(&mut self, runtime: &mut Runtime) {
        for (spec, container) in self.view.containers.iter().zip(&mut runtime.containers) {
            match spec.role {
                Role::Init => {}
                Role::Sidecar => self.run_container(spec, container, None),
                Role::Main => self.run_container(spec, container, self.view.script().exit),
            }
        }
        if runtime.phase(self.view).is_terminal() {
            for (spec, container) in self.view.containers.iter().zip(&mut runtime.containers) {
                if let (Role::Sidecar, State::Running { since }) = (spec.role, &container.state) {
                    container.state = State::Terminated(self.exit(*since, 0));
                }
            }
        }
    }

    /// Takes a container through what is due. Ends, because each restart but the first waits.
    fn run_container(&mut self, spec: &ContainerSpec, container: &mut Container, exit: Option<ScriptedExit>) {
        let restartable = matches!(container.state, State::Running { .. } | State::BackOff { .. });
        if restartable && *container.image != *spec.image {
            container.image = Arc::clone(&spec.image);
            if let State::Running { since } = container.state {
                container.last = Some(self.exit(since, 0));
            }
            self.restart(container);
        }
        loop {
            match container.state {
                State::Running { since } => {
                    let Some(exit) = exit else { return };
                    if !self.is_due(after(since, exit.after)) {
                        return;
                    }
                    self.end_container(container, self.exit(since, exit.code));
                }
                State::BackOff { until } if self.is_due(until) => self.restart(container),
                _ => return,
            }
        }
    }

    fn end_container(&self, container: &mut Container, exit: Box<Exit>) {
        if !self.view.restart_policy.restarts(exit.code) {
            container.state = State::Terminated(exit);
            return;
        }
        if after(exit.started, BACKOFF_FORGOTTEN) < exit.finished {
            container.recent_restarts = 0;
        }
        container.state = State::BackOff { until: after(exit.finished, backoff(container.recent_restarts)) };
        container.last = Some(exit);
    }

    fn restart(&self, container: &mut Container) {
        container.restarts += 1;
        container.recent_restarts += 1;
        container.state = State::Running { since: self.now };
    }

    /// Finds out which containers are ready.
    fn probe(&mut self, runtime: &mut Runtime) {
        let delay = self.view.script().ready_delay.unwrap_or(self.options.ready_delay);
        for (spec, container) in self.view.containers.iter().zip(&mut runtime.containers) {
            container.ready = match &container.state {
                State::Running { since } => !self.view.script().hold_unready && self.is_due(after(*since, delay)),
                State::Terminated(exit) => spec.role == Role::Init && exit.code == 0,
                State::Creating | State::BackOff { .. } => false,
            };
        }
    }

    /// Brings the conditions up to date.
    fn settle(&self, runtime: &mut Runtime) {
        let view = self.view;
        let runs = runtime.started && runtime.end.is_none() && !runtime.phase(view).is_terminal();
        let needs_init = view.containers.iter().any(|spec| spec.role != Role::Main);
        let ready = runtime.started && runtime.containers.iter().all(|container| container.ready);
        let gates = view.gates.iter().all(|gate| gate.status.as_deref() == Some("True"));
        for (condition, holds) in [
            (ConditionType::PodReadyToStartContainers, runs),
            (ConditionType::Initialized, runtime.started || !needs_init),
            (ConditionType::ContainersReady, ready),
            (ConditionType::Ready, ready && gates),
        ] {
            let condition = &mut runtime.conditions[condition as usize];
            if condition.holds != holds {
                *condition = Condition { holds, since: self.now };
            }
        }
    }
}

/// How long the next restart waits, after that many.
fn backoff(restarts: u32) -> Duration {
    match restarts.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_BACKOFF.saturating_mul(1 << doublings.min(16)).min(LAST_BACKOFF),
    }
}

/// The wait that a container is in, for its message.
pub(super) fn current_backoff(container: &Container) -> Duration {
    backoff(container.recent_restarts)
}

/// The containers that play a part.
pub(super) fn members<'a>(
    view: &'a PodView,
    containers: &'a [Container],
    role: Role,
) -> impl Iterator<Item = &'a Container> {
    let pairs = view.containers.iter().zip(containers);
    pairs.filter(move |(spec, _)| spec.role == role).map(|(_, container)| container)
}

/// `moment` + `delay`, or the end of time.
fn after(moment: Timestamp, delay: Duration) -> Timestamp {
    let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
    moment.saturating_add(delay).unwrap_or(Timestamp::MAX)
}
