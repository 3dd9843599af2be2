//! The loop that registers the nodes, renews their leases and reports their statuses: one for all of them.
//!
//! The nodes' renewals are spread over the interval, so that thousands of nodes make a steady trickle of writes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube::Client;
use kube::api::Patch;
use serde::Deserialize;
use serde_json::{Value, json};
use steersman_framework::runtime::Context;
use tokio::time::Instant;

use super::{Nodes, object};
use crate::api::{self, MAX_IN_FLIGHT, Place};
use crate::timers::Timers;
use crate::{Error, Options};

/// What is to be done for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Register,
    /// Looks whether the node is still there, after its lease went.
    FindNode,
    CreateLease,
    RenewLease,
    ReportStatus,
}

/// What came of it.
struct Done {
    node: usize,
    task: Task,
    result: kube::Result<Option<String>>,
}

#[derive(Default)]
struct State {
    /// The uid; empty until registered.
    uid: String,
    failures: u32,
}

/// Registers the nodes and keeps them alive until the shutdown.
pub(crate) async fn run(context: Context, nodes: Arc<Nodes>, options: Arc<Options>) -> Result<(), Error> {
    let mut heart = Heart {
        states: (0..nodes.len()).map(|_| State::default()).collect(),
        queue: (0..nodes.len()).map(|node| (node, Task::Register)).collect(),
        timers: Timers::default(),
        context,
        nodes,
        options,
    };
    let mut in_flight = FuturesUnordered::new();
    let shutdown = heart.context.shutdown.clone();
    let mut shutdown = std::pin::pin!(shutdown.requested());
    loop {
        while let Some(due) = heart.timers.pop_due(Instant::now()) {
            heart.queue.push_back(due);
        }
        while in_flight.len() < MAX_IN_FLIGHT
            && let Some((node, task)) = heart.queue.pop_front()
        {
            in_flight.push(heart.perform(node, task));
        }
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(done) = in_flight.next() => heart.finish(done)?,
            () = heart.timers.sleep() => {}
        }
    }
    api::drain(in_flight).await;
    Ok(())
}

struct Heart {
    context: Context,
    nodes: Arc<Nodes>,
    options: Arc<Options>,
    states: Vec<State>,
    queue: VecDeque<(usize, Task)>,
    timers: Timers<(usize, Task)>,
}

impl Heart {
    fn perform(&self, node: usize, task: Task) -> impl Future<Output = Done> + use<> {
        let client = self.context.client.clone();
        let clock = Arc::clone(&self.context.clock);
        let (nodes, options) = (Arc::clone(&self.nodes), Arc::clone(&self.options));
        let uid = self.states[node].uid.clone();
        async move {
            let (now, this) = (clock.now(), nodes.get(node));
            let result = match task {
                Task::Register => register(&client, &nodes, node, object::node(&nodes, this, now)).await.map(Some),
                Task::FindNode => {
                    let found = api::get::<Registered>(&client, object::NODES, &this.name).await;
                    found.map(|found| Some(found.metadata.uid))
                }
                Task::CreateLease => create_lease(&client, object::lease(this, &uid, &options, now)).await,
                Task::RenewLease => {
                    let patch = object::renewal(this, &options, now);
                    let place = place(object::LEASES, &this.name, None);
                    api::patch(&client, place, Patch::Merge(&patch)).await.map(|()| None)
                }
                Task::ReportStatus => {
                    let patch = json!({ "status": object::heartbeat(now) });
                    let place = place(object::NODES, &this.name, Some("status"));
                    api::patch(&client, place, Patch::Strategic(&patch)).await.map(|()| None)
                }
            };
            Done { node, task, result }
        }
    }

    /// Notes what came of a task, and when the next one is due.
    fn finish(&mut self, Done { node, task, result }: Done) -> Result<(), Error> {
        let state = &mut self.states[node];
        let name = &self.nodes.get(node).name;
        match result {
            Ok(uid) => {
                state.failures = 0;
                if let Some(uid) = uid {
                    tracing::info!(node = name, uid, "registered");
                    state.uid = uid;
                }
                self.schedule_next(node, task);
            }
            Err(source) if task == Task::Register && matches!(api::code(&source), 400 | 422) => {
                return Err(Error::Register { name: name.clone(), source: Box::new(source) });
            }
            // Somebody deleted the node, and the lease went with it; or only the lease.
            Err(error) if task == Task::RenewLease && api::code(&error) == 404 => {
                self.queue.push_back((node, Task::FindNode));
            }
            // As upstream, a kubelet does not register a second time; it goes on once somebody else restores the node.
            Err(error) if matches!(task, Task::FindNode | Task::ReportStatus) && api::code(&error) == 404 => {
                tracing::debug!(node = name, "the node is gone");
                let again = Instant::now() + self.options.status_interval;
                self.timers.set((node, task), again);
            }
            Err(error) => {
                state.failures += 1;
                tracing::warn!(node = name, ?task, %error, "shall retry");
                self.timers.set((node, task), Instant::now() + api::retry_delay(state.failures));
            }
        }
        Ok(())
    }

    fn schedule_next(&mut self, node: usize, done: Task) {
        let now = Instant::now();
        match done {
            Task::Register => {
                self.queue.push_back((node, Task::CreateLease));
                let first = self.share(node, self.options.status_interval);
                self.timers.set((node, Task::ReportStatus), now + first);
            }
            Task::FindNode => self.queue.push_back((node, Task::CreateLease)),
            Task::CreateLease => {
                let first = self.share(node, self.options.lease_renew_interval);
                self.timers.set((node, Task::RenewLease), now + first);
            }
            Task::RenewLease => {
                self.timers.set((node, Task::RenewLease), now + self.options.lease_renew_interval);
            }
            Task::ReportStatus => {
                self.timers.set((node, Task::ReportStatus), now + self.options.status_interval);
            }
        }
    }

    /// The part of an interval after which a node's turn first comes, so that the nodes spread over it.
    fn share(&self, node: usize, interval: Duration) -> Duration {
        interval.mul_f64((node + 1) as f64 / self.nodes.len() as f64)
    }
}

/// What is read of a node.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Registered {
    metadata: RegisteredMeta,
    status: RegisteredStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RegisteredMeta {
    uid: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RegisteredStatus {
    conditions: Vec<Value>,
}

/// Creates the node, or takes the one over that is there. Returns its uid.
async fn register(client: &Client, nodes: &Nodes, index: usize, object: Value) -> kube::Result<String> {
    let node = nodes.get(index);
    let (uid, complete) = match api::create::<Registered>(client, object::NODES, &object).await {
        // A server may drop the status of a new object.
        Ok(created) => (created.metadata.uid, !created.status.conditions.is_empty()),
        Err(error) if api::code(&error) == 409 => {
            let labels = json!({ "metadata": { "labels": object::labels(nodes, node) } });
            api::patch(client, place(object::NODES, &node.name, None), Patch::Merge(&labels)).await?;
            let found: Registered = api::get(client, object::NODES, &node.name).await?;
            (found.metadata.uid, false)
        }
        Err(error) => return Err(error),
    };
    if !complete {
        let status = json!({ "status": object["status"] });
        let place = place(object::NODES, &node.name, Some("status"));
        api::patch(client, place, Patch::Strategic(&status)).await?;
    }
    Ok(uid)
}

/// Creates the lease; one that is there is renewed instead, with its next turn.
async fn create_lease(client: &Client, lease: Value) -> kube::Result<Option<String>> {
    match api::create::<serde::de::IgnoredAny>(client, object::LEASES, &lease).await {
        Err(error) if api::code(&error) != 409 => Err(error),
        _ => Ok(None),
    }
}

fn place<'a>(path: &'a str, name: &'a str, subresource: Option<&'a str>) -> Place<'a> {
    Place { path, name, subresource }
}
