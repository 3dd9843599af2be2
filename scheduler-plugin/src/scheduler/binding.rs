//! From the choice of a node to the binding.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::metrics::{Ended, Instruments};
use super::{Finished, Scheduler, after};
use crate::cluster_event::{ActionType, ClusterEvent, EventObject, Happening};
use crate::cycle::commit;
use crate::cycle_state::CycleState;
use crate::extender::Extender;
use crate::plugin::{Binding, Plugin};
use crate::pod::Pod;
use crate::profile::Point;
use crate::queue::QueuedPod;
use crate::status::{Code, Status};
use crate::waiting::{Held, PreBinding};
use crate::writer::{self, EventText};

/// A pod whose binding has come to an end.
pub(super) struct Bound {
    queued: QueuedPod,
    placed: Arc<Pod>,
    state: CycleState,
    result: Result<(), Status>,
}

/// A pod on its way.
struct Journey {
    binding: Binding,
    held: Option<Held>,
    pre_bind: Vec<Arc<dyn Plugin>>,
    pre_binding: PreBinding,
    bind: Vec<Arc<dyn Plugin>>,
    /// Binds instead of the plugins.
    binder: Option<Arc<Extender>>,
    post_bind: Vec<Arc<dyn Plugin>>,
    earlier: Option<oneshot::Receiver<()>>,
    instruments: Instruments,
}

impl Scheduler {
    /// A node was chosen: counts the pod there, lets plugins reserve and permit, and starts the binding.
    pub(super) fn place(
        &mut self,
        queued: QueuedPod,
        node: &Arc<str>,
        (mut state, binder): (CycleState, Option<Arc<Extender>>),
    ) {
        let placed = Arc::new(Pod { node_name: Some(node.clone()), pending: None, ..(*queued.pod).clone() });
        self.cache.snapshot_mut().nominate(&placed, None);
        self.cache.assume(placed.clone());
        let held = match self.commit(&placed, node, &mut state) {
            Ok(held) => held,
            Err(status) => return self.undo(queued, &placed, (state, &status)),
        };
        self.send_outbox();
        for uid in state.take_activated() {
            self.queue.force_activate(&uid, Instant::now());
        }
        let journey = Journey {
            binding: Binding { pod: placed.clone(), node_name: node.clone(), client: self.client() },
            held,
            pre_bind: self.plugins(&placed, Point::PreBind),
            pre_binding: self.pre_binding.clone(),
            bind: self.plugins(&placed, Point::Bind),
            binder,
            post_bind: self.plugins(&placed, Point::PostBind),
            earlier: self.writes.remove(&placed.uid),
            instruments: self.instruments.clone(),
        };
        let task = self.tasks.spawn(async move {
            // A panic is an error like others: what was reserved is taken back, and the pod waits before it begins anew.
            let travel = AssertUnwindSafe(journey.travel()).catch_unwind().await;
            let result = travel.unwrap_or_else(|_| Err(Status::error("a plugin panicked")));
            Finished::Bound(Box::new(Bound { queued, placed, state, result }))
        });
        self.bindings.insert(task.id());
        self.instruments.binding(1);
    }

    /// Lets the plugins reserve and permit; who holds the pod.
    fn commit(&self, pod: &Pod, node: &str, state: &mut CycleState) -> Result<Option<Held>, Status> {
        let Some(profile) = self.profiles.get(&pod.spec.scheduler_name) else { return Ok(None) };
        let begun = self.instruments.now();
        let reserved = commit::reserve(profile, pod, node, state);
        self.instruments.ran(&profile.scheduler_name, Point::Reserve, code_of(&reserved), begun);
        reserved?;
        let begun = self.instruments.now();
        let waits = commit::permit(profile, pod, node, state);
        let code = if waits.as_ref().is_ok_and(|waits| !waits.is_empty()) { Code::Wait } else { code_of(&waits) };
        self.instruments.ran(&profile.scheduler_name, Point::Permit, code, begun);
        let waits = waits?;
        Ok((!waits.is_empty()).then(|| self.waiting.hold(pod.uid.clone(), &waits, Instant::now())))
    }

    /// A binding has come to its end.
    pub(super) fn bound(&mut self, bound: Bound) {
        let Bound { queued, placed, state, result } = bound;
        match result {
            Ok(()) => {
                self.instruments.attempted(&queued, Ended::Scheduled);
                let node = placed.node_name.as_deref().unwrap_or_default();
                tracing::info!(pod = placed.key(), node, "pod was bound");
                self.event(&queued.pod, &EventText::scheduled(&placed, node));
                self.queue.done(&placed.uid);
                self.forget_pod(&placed.uid);
            }
            Err(status) => self.undo(queued, &placed, (state, &status)),
        }
    }

    /// Takes back what was reserved and assumed, and puts the pod back into the queue.
    fn undo(&mut self, queued: QueuedPod, placed: &Arc<Pod>, (mut state, status): (CycleState, &Status)) {
        let node = placed.node_name.as_deref().unwrap_or_default();
        if let Some(profile) = self.profiles.get(&placed.spec.scheduler_name) {
            commit::unreserve(profile, placed, node, &mut state);
            self.send_outbox();
        }
        if self.cache.forget(&placed.uid).is_none() && self.cache.pod(&placed.uid).is_some() {
            // The API has shown the pod on a node: it is bound, whatever the answer to the request was.
            return self.queue.done(&placed.uid);
        }
        // The room that the pod would have taken is free for others. It does not help the pod itself if that was
        // rejected; if its attempt failed for reasons of our own it is tried again anyway.
        let happening = Happening {
            event: ClusterEvent::pod(ActionType::DELETE),
            object: EventObject::AssignedPod { old: Some(placed.clone()), new: None },
        };
        self.failed(queued, status);
        self.queue.happened_except(&placed.uid, &happening, Instant::now());
    }
}

impl Journey {
    async fn travel(mut self) -> Result<(), Status> {
        after(self.earlier.take()).await;
        let acts = |plugin: &Arc<dyn Plugin>| plugin.as_pre_bind().is_some_and(|it| it.will_act(&self.binding));
        let acts = self.pre_bind.iter().any(acts);
        if acts || self.held.is_some() {
            self.tell_expectation().await;
        }
        if let Some(held) = self.held.take() {
            let begun = self.instruments.now();
            let verdict = held.verdict().await;
            self.instruments.permitted(verdict.code(), begun);
            permitted(verdict)?;
        }
        let profile = &self.binding.pod.spec.scheduler_name;
        let begun = self.instruments.now();
        let result = if acts { self.pre_bind_unless_called_back().await } else { self.pre_bind().await };
        self.instruments.ran(profile, Point::PreBind, code_of(&result), begun);
        result?;
        let begun = self.instruments.now();
        let result = self.bind().await;
        self.instruments.ran(profile, Point::Bind, code_of(&result), begun);
        result?;
        let begun = self.instruments.now();
        for plugin in &self.post_bind {
            if let Some(post_bind) = plugin.as_post_bind() {
                post_bind.post_bind(&self.binding).await;
            }
        }
        self.instruments.ran(profile, Point::PostBind, Code::Success, begun);
        Ok(())
    }

    /// Says on the pod where it will be, as that takes a while: others can count on it. Source: KEP-5278.
    async fn tell_expectation(&self) {
        let Binding { pod, node_name, client } = &self.binding;
        if pod.nominated_node_name.as_ref() != Some(node_name)
            && let Some(write) = writer::nomination(pod, Some(node_name))
        {
            writer::send(client, write).await;
        }
    }

    /// What takes a while is given up if the pod has to make room before it is bound.
    async fn pre_bind_unless_called_back(&self) -> Result<(), Status> {
        let preempted = || Err(Status::error("preempted by DefaultPreemption"));
        let recall = self.pre_binding.begin(self.binding.pod.uid.clone());
        let result = tokio::select! {
            biased;
            () = recall.called() => return preempted(),
            result = self.pre_bind() => result,
        };
        if recall.end() { result } else { preempted() }
    }

    async fn pre_bind(&self) -> Result<(), Status> {
        for plugin in &self.pre_bind {
            let Some(pre_bind) = plugin.as_pre_bind() else { continue };
            let status = pre_bind.pre_bind(&self.binding).await;
            if !status.is_skip() {
                explain("PreBind", plugin.name(), status)?;
            }
        }
        Ok(())
    }

    async fn bind(&self) -> Result<(), Status> {
        if let Some(binder) = &self.binder {
            return binder.bind(&self.binding.pod, &self.binding.node_name).await.map_err(Status::error);
        }
        for plugin in &self.bind {
            let Some(bind) = plugin.as_bind() else { continue };
            let status = bind.bind(&self.binding).await;
            if !status.is_skip() {
                return explain("Bind", plugin.name(), status);
            }
        }
        Err(Status::error("no bind plugin took the pod"))
    }
}

/// How an extension point ended, for its metrics.
fn code_of<T>(result: &Result<T, Status>) -> Code {
    result.as_ref().err().map_or(Code::Success, Status::code)
}

/// Who is rejected hears it as it is said.
fn permitted(verdict: Status) -> Result<(), Status> {
    if verdict.is_success() {
        Ok(())
    } else if verdict.is_rejected() {
        Err(verdict)
    } else {
        Err(Status::error(format!("waiting on permit for pod: {verdict}")))
    }
}

/// A rejection as it is; an error with the plugin's name.
fn explain(point: &str, plugin: &'static str, status: Status) -> Result<(), Status> {
    if status.is_success() {
        Ok(())
    } else if status.is_rejected() {
        Err(status.by(plugin))
    } else {
        Err(Status::error(format!("running {point} plugin {plugin:?}: {status}")))
    }
}
