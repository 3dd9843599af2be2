//! The loop that runs the pods of all nodes: changes and timers make pods due, and due pods are written, some at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use kube::Client;
use kube::api::Patch;
use serde_json::Value;
use steersman_framework::runtime::Context;
use tokio::time::Instant;

use super::address::Block;
use super::feed::{self, Change};
use super::lifecycle::{self, Runtime};
use super::object::PodObject;
use super::view::{Key, PodView, Pool};
use super::{stable_hash, status};
use crate::api::{self, MAX_IN_FLIGHT, Place};
use crate::node::Nodes;
use crate::options::Options;
use crate::timers::Timers;

/// The number of a pod, in the order in which they were seen.
type Id = u64;

/// Runs the pods until the shutdown.
pub(crate) async fn run(context: Context, nodes: Arc<Nodes>, options: Arc<Options>) {
    let mut manager = Manager::new(&context, nodes, options);
    let mut changes = std::pin::pin!(feed::changes(context.client.clone()));
    let mut shutdown = std::pin::pin!(context.shutdown.requested());
    let mut in_flight = FuturesUnordered::new();
    loop {
        while let Some(id) = manager.timers.pop_due(Instant::now()) {
            manager.enqueue(id);
        }
        while in_flight.len() < MAX_IN_FLIGHT
            && let Some((id, act)) = manager.next_act()
        {
            let client = context.client.clone();
            in_flight.push(async move { (id, act.perform(&client).await) });
        }
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some((id, result)) = in_flight.next() => manager.finish(id, result),
            Some(change) = changes.next() => manager.apply(change),
            () = manager.timers.sleep() => {}
        }
    }
    api::drain(in_flight).await;
}

struct Manager {
    clock: steersman_machinery::clock::SharedClock,
    options: Arc<Options>,
    nodes: Arc<Nodes>,
    blocks: Vec<Block>,
    /// Boxed, because a map that grows at its end is half empty.
    pods: BTreeMap<Id, Box<Pod>>,
    pool: Pool,
    by_name: BTreeMap<Arc<Key>, Id>,
    next_id: Id,
    /// Pods that are due, first come, first served; each at most once.
    queue: VecDeque<Id>,
    timers: Timers<Id>,
    /// Counts the lists, to find the pods that the last one did not tell.
    list: u64,
}

struct Pod {
    view: PodView,
    runtime: Runtime,
    node: usize,
    /// The hash of the status that the API server has; none before the first write.
    written: Option<u64>,
    /// The hash of the status that is under way.
    writing: u64,
    /// Whether nothing has happened to the pod since its status was rendered, which was written or is under way.
    rendered: bool,
    queued: bool,
    in_flight: bool,
    /// Whether its address is taken from the node's block.
    holds_address: bool,
    /// The request to remove it was granted; only finalizers hold it.
    removed: bool,
    failures: u32,
    list: u64,
}

/// A request to the API server.
struct Act {
    pod: Arc<Key>,
    kind: ActKind,
}

enum ActKind {
    WriteStatus(Value),
    Remove { uid: Box<str> },
}

/// What was done.
enum Done {
    Written,
    Removed,
}

impl Act {
    async fn perform(self, client: &Client) -> kube::Result<Done> {
        let path = format!("/api/v1/namespaces/{}/pods", self.pod.namespace);
        match self.kind {
            ActKind::WriteStatus(patch) => {
                let place = Place { path: &path, name: &self.pod.name, subresource: Some("status") };
                api::patch(client, place, Patch::Strategic(&patch)).await.map(|()| Done::Written)
            }
            ActKind::Remove { uid } => {
                api::delete_now(client, &path, &self.pod.name, &uid).await.map(|()| Done::Removed)
            }
        }
    }
}

impl Manager {
    fn new(context: &Context, nodes: Arc<Nodes>, options: Arc<Options>) -> Self {
        let blocks = (0..nodes.len()).map(|index| {
            let (first, size) = nodes.get(index).pods;
            Block::new(first, size)
        });
        Self {
            clock: Arc::clone(&context.clock),
            blocks: blocks.collect(),
            options,
            nodes,
            pods: BTreeMap::new(),
            pool: Pool::default(),
            by_name: BTreeMap::new(),
            next_id: 0,
            queue: VecDeque::new(),
            timers: Timers::default(),
            list: 0,
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::ListBegins => self.list += 1,
            Change::ListEnds => {
                let list = self.list;
                let gone = self.pods.iter().filter(|(_, pod)| pod.list != list);
                let gone: Vec<Id> = gone.map(|(id, _)| *id).collect();
                gone.into_iter().for_each(|id| self.forget(id));
            }
            Change::Applied(pod) => self.observe(*pod),
            Change::Deleted(pod) => {
                if let Some(id) = self.find(&pod) {
                    self.forget(id);
                }
            }
        }
    }

    fn observe(&mut self, object: PodObject) {
        let known = self.find(&object);
        let known = known.filter(|id| {
            // Another pod of the same name took its place unseen.
            let same = self.pods[id].view.uid == object.metadata.uid;
            if !same {
                self.forget(*id);
            }
            same
        });
        match known {
            Some(id) => {
                let list = self.list;
                let Some(pod) = self.pods.get_mut(&id) else { return };
                pod.list = list;
                let mut view = PodView::new(object);
                if pod.view != view {
                    self.pool.share(&mut view);
                    let key = Arc::clone(&pod.view.key);
                    pod.view = PodView { key, ..view };
                    pod.rendered = false;
                    self.enqueue(id);
                }
            }
            None => {
                if let Some(node) = self.nodes.index_of(&object.spec.node_name) {
                    self.adopt(object, node);
                }
            }
        }
    }

    fn adopt(&mut self, object: PodObject, node: usize) {
        let now = self.clock.now();
        let status = object.status.clone();
        let mut view = PodView::new(object);
        self.pool.share(&mut view);
        let runtime = Runtime::adopt(&view, &status, now);
        let id = self.next_id;
        self.next_id += 1;
        let was_run = status.start_time.is_some();
        let written = was_run.then(|| hash(&status::render(&view, &runtime, self.nodes.get(node))));
        self.by_name.insert(Arc::clone(&view.key), id);
        let mut pod = Pod {
            view,
            runtime,
            node,
            written,
            writing: 0,
            rendered: false,
            queued: false,
            in_flight: false,
            holds_address: false,
            removed: false,
            failures: 0,
            list: self.list,
        };
        if let Some(address) = pod.runtime.address
            && !pod.runtime.phase(&pod.view).is_terminal()
            && !pod.view.host_network
        {
            self.blocks[node].reserve(address);
            pod.holds_address = true;
        }
        self.pods.insert(id, Box::new(pod));
        self.enqueue(id);
    }

    fn find(&self, object: &PodObject) -> Option<Id> {
        let key = Key { namespace: object.metadata.namespace.clone(), name: object.metadata.name.clone() };
        self.by_name.get(&key).copied()
    }

    fn forget(&mut self, id: Id) {
        self.timers.clear(id);
        if let Some(mut pod) = self.pods.remove(&id) {
            pod.release_address(&mut self.blocks);
            self.by_name.remove(&pod.view.key);
        }
    }

    fn enqueue(&mut self, id: Id) {
        if let Some(pod) = self.pods.get_mut(&id)
            && !pod.queued
        {
            pod.queued = true;
            self.queue.push_back(id);
        }
    }

    /// Takes pods off the queue until one needs a request. A pod whose last request is under way is looked at again when
    /// that is done.
    fn next_act(&mut self) -> Option<(Id, Act)> {
        while let Some(id) = self.queue.pop_front() {
            let Some(pod) = self.pods.get_mut(&id) else { continue };
            pod.queued = false;
            if !pod.in_flight
                && let Some(act) = self.plan(id)
            {
                return Some((id, act));
            }
        }
        None
    }

    /// Lets the pod's time pass, and says what the API server is to be told.
    fn plan(&mut self, id: Id) -> Option<Act> {
        let now = self.clock.now();
        let pod = self.pods.get_mut(&id)?;
        let before = pod.runtime.clone();
        let next = lifecycle::advance(&pod.view, &mut pod.runtime, &self.options, now);
        match next.wake {
            Some(wake) => self.timers.set(id, moment(wake, now)),
            None => self.timers.clear(id),
        }
        if pod.removed {
            return None;
        }
        pod.assign_address(&self.nodes, &mut self.blocks);
        // Nobody sees the last status of a pod that goes with the next request, unless a finalizer keeps it.
        if next.remove && !pod.view.has_finalizers {
            return Some(pod.act(ActKind::Remove { uid: pod.view.uid.clone() }));
        }
        if !(pod.rendered && pod.runtime == before) {
            let status = status::render(&pod.view, &pod.runtime, self.nodes.get(pod.node));
            let hash = hash(&status);
            pod.rendered = true;
            if pod.written != Some(hash) {
                pod.writing = hash;
                let patch = status::patch(&pod.view, status, pod.written.is_some());
                return Some(pod.act(ActKind::WriteStatus(patch)));
            }
        }
        next.remove.then(|| {
            let uid = pod.view.uid.clone();
            pod.act(ActKind::Remove { uid })
        })
    }

    fn finish(&mut self, id: Id, result: kube::Result<Done>) {
        // It may have gone meanwhile.
        let Some(pod) = self.pods.get_mut(&id) else { return };
        pod.in_flight = false;
        match result {
            Ok(done) => {
                pod.failures = 0;
                match done {
                    Done::Written => pod.written = Some(pod.writing),
                    Done::Removed => pod.removed = true,
                }
                self.enqueue(id);
            }
            Err(error) if api::code(&error) == 404 => {
                tracing::debug!(namespace = %pod.view.key.namespace, pod = %pod.view.key.name, "gone already");
                pod.removed = true;
            }
            Err(error) => {
                pod.failures += 1;
                pod.rendered = false;
                tracing::warn!(namespace = %pod.view.key.namespace, pod = %pod.view.key.name, %error, "shall retry");
                self.timers.set(id, Instant::now() + api::retry_delay(pod.failures));
            }
        }
    }
}

impl Pod {
    /// A pod has an address from its start, and gives it back at its end; its status goes on showing it.
    fn assign_address(&mut self, nodes: &Nodes, blocks: &mut [Block]) {
        if self.runtime.end.is_some() || self.runtime.phase(&self.view).is_terminal() {
            self.release_address(blocks);
        } else if self.runtime.started && self.runtime.address.is_none() {
            if self.view.host_network {
                self.runtime.address = Some(nodes.get(self.node).address);
            } else {
                self.runtime.address = blocks[self.node].take();
                self.holds_address = self.runtime.address.is_some();
            }
        }
    }

    fn release_address(&mut self, blocks: &mut [Block]) {
        if let Some(address) = self.runtime.address
            && std::mem::take(&mut self.holds_address)
        {
            blocks[self.node].release(address);
        }
    }

    fn act(&mut self, kind: ActKind) -> Act {
        self.in_flight = true;
        Act { pod: Arc::clone(&self.view.key), kind }
    }
}

/// When the clock will show `wake`; a little later than now at least, so that rounding does not make the loop spin.
fn moment(wake: Timestamp, now: Timestamp) -> Instant {
    let wait = std::time::Duration::try_from(wake.duration_since(now)).unwrap_or_default();
    Instant::now() + wait.max(std::time::Duration::from_millis(1))
}

fn hash(status: &Value) -> u64 {
    stable_hash(&status.to_string())
}
