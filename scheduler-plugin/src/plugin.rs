//! The extension points: what a plugin can take part in.
//!
//! A plugin implements [`Plugin`] and the trait of each extension point it takes part in, and says so by returning
//! itself from the matching `as_…` method. Names and semantics are upstream's (`k8s.io/kube-scheduler/framework`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::cluster_event::{ClusterEvent, Happening, QueueingHint};
use crate::cycle_state::CycleState;
use crate::diagnosis::Diagnosis;
use crate::pod::Pod;
use crate::profile::Profile;
use crate::queue::QueuedPod;
use crate::snapshot::{NodeRef, Row, Snapshot};
use crate::status::Status;

/// A plugin: a name, and the extension points it takes part in.
pub trait Plugin: Send + Sync + 'static {
    /// The name by which configuration and messages know it.
    fn name(&self) -> &'static str;

    /// The events that can make a pod schedulable that this plugin rejected. All, unless the plugin knows better.
    fn events_to_register(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::ANY]
    }

    /// Whether such an event can help this pod, which this plugin rejected.
    fn queueing_hint(&self, pod: &Pod, happening: &Happening) -> QueueingHint {
        let _ = (pod, happening);
        QueueingHint::Queue
    }

    /// What this plugin's Filter and Score say about such a pod depends on, so that what was found out for one pod can be
    /// kept for its siblings. Whatever it is, unless the plugin knows better; then all nodes are asked anew for each pod.
    fn dependence(&self, pod: &Pod) -> Dependence {
        let _ = pod;
        Dependence::Anything
    }

    /// What tells nodes apart, so that one of those that are alike can be asked for all of them: nodes without a difference
    /// get the same answers from this plugin's Filter and Score, and NormalizeScore must depend on which scores there are and
    /// not on how often. `None`, the default, if that is not known; then all nodes are asked for each pod. Only asked for
    /// [`Dependence::Pods`].
    fn differences<'a>(&self, state: &'a CycleState, pod: &Pod, snapshot: &Snapshot) -> Option<Vec<Difference<'a>>> {
        let _ = (state, pod, snapshot);
        None
    }

    /// Itself, if it decides whether pods may enter the queue.
    fn as_pre_enqueue(&self) -> Option<&dyn PreEnqueuePlugin> {
        None
    }
    /// Itself, if it sorts the queue.
    fn as_queue_sort(&self) -> Option<&dyn QueueSortPlugin> {
        None
    }
    /// Itself, if it looks at a pod before nodes are filtered.
    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        None
    }
    /// Itself, if it filters nodes.
    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        None
    }
    /// Itself, if it acts when no node is feasible.
    fn as_post_filter(&self) -> Option<&dyn PostFilterPlugin> {
        None
    }
    /// Itself, if it looks at the feasible nodes before they are scored.
    fn as_pre_score(&self) -> Option<&dyn PreScorePlugin> {
        None
    }
    /// Itself, if it scores nodes.
    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        None
    }
    /// Itself, if it keeps something for pods that were placed.
    fn as_reserve(&self) -> Option<&dyn ReservePlugin> {
        None
    }
    /// Itself, if it can hold pods back before they are bound.
    fn as_permit(&self) -> Option<&dyn PermitPlugin> {
        None
    }
    /// Itself, if something is to be done before a pod is bound.
    fn as_pre_bind(&self) -> Option<&dyn PreBindPlugin> {
        None
    }
    /// Itself, if it binds pods.
    fn as_bind(&self) -> Option<&dyn BindPlugin> {
        None
    }
    /// Itself, if it wants to know of bound pods.
    fn as_post_bind(&self) -> Option<&dyn PostBindPlugin> {
        None
    }
    /// Itself, if it wants to know of all pods.
    fn as_pod_observer(&self) -> Option<&dyn PodObserver> {
        None
    }

    /// Whether such a pod is never tried before its backoff is over, not even if nothing else is to be done. For pods that
    /// cost others something each time they are tried.
    fn keeps_backoff(&self, pod: &Pod) -> bool {
        let _ = pod;
        false
    }
}

/// What the answers of a plugin depend on besides its configuration. Pods of one `spec` count as equal, also if they have other
/// volumes: who looks at their names, their volumes or at other objects says [`Anything`](Self::Anything) or
/// [`Anew`](Self::Anew), and so does who needs its notes after Score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependence {
    /// Whatever it is: nothing is kept.
    Anything,
    /// Whatever it is, but only PreFilter and Filter are asked: these are asked anew for each pod, and what others say is kept.
    Anew,
    /// On labels, taints and images of all nodes, on namespaces and services, and on the amounts, ports and pods of the one
    /// node that is asked about. Answers are kept until the node changes. PreScore must not look at the list of nodes, and
    /// NormalizeScore must be none, or set for all nodes with [`ScorePlugin::normalization`].
    Node,
    /// Besides, on pods of other nodes. Notes are kept, and the plugin is told of pods that come and go by
    /// [`PreFilterPlugin::update_filter`] and [`PreScorePlugin::update_score`].
    Pods,
}

/// What tells nodes apart: a label, or how many pods count where it says. Nodes without the label differ from all others.
#[derive(Clone, Copy, Debug)]
pub struct Difference<'a> {
    /// The label, by the number of its column ([`Labels::column_number`](crate::snapshot::Labels::column_number)).
    pub column: usize,
    /// What matters there.
    pub counts: Counts<'a>,
}

/// What matters at the place that a label says.
#[derive(Clone, Copy, Debug)]
pub enum Counts<'a> {
    /// Which place it is.
    None,
    /// A number by the label's value; 0 beyond the end. A pod that comes or goes changes only that of its own place.
    ByValue(&'a [i64]),
    /// A number by row; 0 beyond the end. A pod that comes or goes changes only that of its own node.
    ByRow(&'a [i64]),
}

/// A pod that came to a node or left it.
#[derive(Clone, Copy, Debug)]
pub struct PodChange<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The node's row.
    pub row: Row,
    /// 1 if it came, -1 if it left.
    pub amount: i64,
    /// The cluster as it is now: later changes are in it already.
    pub snapshot: &'a Snapshot,
}

/// How the scores of all nodes are brought into the range from 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// They are in it.
    None,
    /// In proportion to the highest; the other way round if `reverse`.
    ByMaximum {
        /// Whether the highest becomes 0.
        reverse: bool,
    },
    /// Only the plugin knows.
    Own,
}

/// Decides whether a pod may be scheduled at all yet.
pub trait PreEnqueuePlugin: Plugin {
    /// Called before a pod enters the active queue; any answer but Success keeps it out until an event that this plugin
    /// registered.
    fn pre_enqueue(&self, pod: &Pod) -> Status;
}

/// Sorts the queue; there is exactly one in each profile, the same in all.
pub trait QueueSortPlugin: Plugin {
    /// Whether `a` comes before `b`.
    fn less(&self, a: &QueuedPod, b: &QueuedPod) -> bool;
}

/// Restricts the nodes that are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PreFilterResult {
    /// The only nodes that can be feasible; `None` for no restriction.
    pub node_names: Option<BTreeSet<String>>,
}

impl PreFilterResult {
    /// No restriction.
    pub const ALL_NODES: Self = Self { node_names: None };
}

/// Looks at a pod once, before nodes are filtered.
pub trait PreFilterPlugin: Plugin {
    /// Prepares for filtering. The error [`Status::skip`] leaves this plugin's Filter out; a rejection ends the attempt.
    fn pre_filter(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        snapshot: &Snapshot,
    ) -> std::result::Result<PreFilterResult, Status>;

    /// Updates what was prepared as if `added` were on the node. For what-if questions: preemption, nominated pods.
    fn add_pod(&self, state: &mut CycleState, pod: &Pod, added: &Pod, node: NodeRef<'_>) {
        let _ = (state, pod, added, node);
    }

    /// Updates what was prepared as if `removed` were not on the node.
    fn remove_pod(&self, state: &mut CycleState, pod: &Pod, removed: &Pod, node: NodeRef<'_>) {
        let _ = (state, pod, removed, node);
    }

    /// Brings what was prepared for an equal pod up to date; false if it has to be prepared anew. Also asked if PreFilter
    /// answered Skip, and then nothing may have been kept. Only for [`Dependence::Pods`].
    fn update_filter(&self, state: &mut CycleState, pod: &Pod, change: PodChange<'_>) -> bool {
        let _ = (state, pod, change);
        false
    }
}

/// What of a node a filter looks at, apart from the notes that were made for the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LooksAt {
    /// Whatever it is.
    Anything,
    /// The node itself, and nothing that pods on it have or take.
    Node,
    /// How much there is of each resource and how much of it pods have asked for.
    Amounts,
}

/// Tells nodes that can run a pod from those that can't.
pub trait FilterPlugin: Plugin {
    /// What of a node the answers depend on. Preemption asks that: where a filter of amounts is the last that has a say, what it
    /// found out for one node counts for all with the same amounts and the same kinds of pods.
    fn looks_at(&self) -> LooksAt {
        LooksAt::Anything
    }

    /// Whether the pod can run on the node; the reason if not.
    fn filter(&self, state: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Status;

    /// The same for many nodes. Plugins that can decide by scanning a column override this; they must agree with
    /// [`filter`](Self::filter), which is asked for the reasons if no node is feasible.
    fn filter_nodes(&self, state: &CycleState, pod: &Pod, candidates: &mut Candidates<'_>) {
        let snapshot = candidates.snapshot();
        candidates.retain_success(|row| self.filter(state, pod, snapshot.node(row)));
    }
}

/// The nodes that all filters up to now let pass.
pub struct Candidates<'a> {
    snapshot: &'a Snapshot,
    rows: Vec<Row>,
    rejected: Vec<(Row, u16)>,
    plugin: u16,
    error: Option<Status>,
}

impl<'a> Candidates<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, rows: Vec<Row>, rejected: Vec<(Row, u16)>) -> Self {
        Self { snapshot, rows, rejected, plugin: 0, error: None }
    }

    /// Those that passed, and those that were rejected, each with the place of the plugin that did.
    pub(crate) fn into_parts(self) -> (Vec<Row>, Vec<(Row, u16)>) {
        (self.rows, self.rejected)
    }

    /// Says who rejects from now on: the place of a plugin in the profile's filter list.
    pub(crate) fn set_plugin(&mut self, plugin: usize) {
        self.plugin = u16::try_from(plugin).expect("fewer plugins than that in a profile");
    }

    pub(crate) fn take_error(&mut self) -> Option<Status> {
        self.error.take()
    }

    /// The snapshot that the nodes belong to.
    pub fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// The nodes, in the order in which they are looked at.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Keeps the nodes that `filter` does not reject. An error ends the attempt.
    pub fn retain_success(&mut self, filter: impl Fn(Row) -> Status) {
        let mut error = None;
        self.retain(|row| {
            let status = filter(row);
            let rejected = status.is_rejected();
            if !status.is_success() && !rejected {
                error = Some(status);
            }
            !rejected
        });
        self.error = self.error.take().or(error);
    }

    /// Keeps the nodes for which `keep` says so; the plugin rejects the others.
    pub fn retain(&mut self, mut keep: impl FnMut(Row) -> bool) {
        let (rejected, plugin) = (&mut self.rejected, self.plugin);
        self.rows.retain(|&row| {
            let stays = keep(row);
            if !stays {
                rejected.push((row, plugin));
            }
            stays
        });
    }
}

/// What a PostFilter plugin works with.
pub struct PostFilterContext<'a> {
    /// The cluster. It may be changed to ask what-if questions, and must be as before when the plugin returns.
    pub snapshot: &'a mut Snapshot,
    /// The profile, to run filters again.
    pub profile: &'a Profile,
    /// Why each node was rejected.
    pub diagnosis: &'a Diagnosis,
}

/// What a PostFilter plugin wants to be noted on the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostFilterResult {
    /// The node to be held for the pod: `Some(None)` clears it, `None` leaves it as it is.
    pub nominated_node_name: Option<Option<String>>,
    /// Pods that have to go from that node; the scheduler asks them to.
    pub victims: Vec<Arc<Pod>>,
}

/// Acts when no node is feasible, for example by making room.
pub trait PostFilterPlugin: Plugin {
    /// Success if the pod can be expected to be schedulable soon; else a rejection with the reason.
    fn post_filter(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        context: &mut PostFilterContext<'_>,
    ) -> (PostFilterResult, Status);
}

/// Looks at the feasible nodes once, before they are scored.
pub trait PreScorePlugin: Plugin {
    /// Prepares for scoring; Skip leaves this plugin's Score out.
    fn pre_score(&self, state: &mut CycleState, pod: &Pod, snapshot: &Snapshot, nodes: &[Row]) -> Status;

    /// Brings what was prepared for an equal pod up to date; false if it has to be prepared anew. Also asked if PreScore
    /// answered Skip. Only for [`Dependence::Pods`].
    fn update_score(&self, state: &mut CycleState, pod: &Pod, change: PodChange<'_>) -> bool {
        let _ = (state, pod, change);
        false
    }

    /// Whether what is prepared depends on which nodes are feasible. Only asked for [`Dependence::Pods`].
    fn depends_on_feasible(&self) -> bool {
        true
    }
}

/// Says how good each feasible node is.
pub trait ScorePlugin: Plugin {
    /// The score of a node: from 0 to 100 after [`normalize_score`](Self::normalize_score), higher is better.
    ///
    /// # Errors
    /// A status ends the attempt as an internal error.
    fn score(&self, state: &CycleState, pod: &Pod, node: NodeRef<'_>) -> std::result::Result<i64, Status>;

    /// The same for all feasible nodes; `scores` has the length of `nodes`.
    ///
    /// # Errors
    /// A status ends the attempt as an internal error.
    fn score_nodes(
        &self,
        state: &CycleState,
        pod: &Pod,
        nodes: Scored<'_>,
        scores: &mut [i64],
    ) -> std::result::Result<(), Status> {
        for (score, &row) in scores.iter_mut().zip(nodes.rows) {
            *score = self.score(state, pod, nodes.snapshot.node(row))?;
        }
        Ok(())
    }

    /// What [`normalize_score`](Self::normalize_score) does. [`Normalization::Own`] where scores are kept
    /// ([`Dependence::Node`]) means that they can't be.
    fn normalization(&self) -> Normalization {
        Normalization::Own
    }

    /// Brings all scores into the range from 0 to 100, if they aren't.
    ///
    /// # Errors
    /// A status ends the attempt as an internal error.
    fn normalize_score(
        &self,
        state: &CycleState,
        pod: &Pod,
        nodes: Scored<'_>,
        scores: &mut [i64],
    ) -> std::result::Result<(), Status> {
        let _ = (state, pod, nodes, scores);
        Ok(())
    }
}

/// The nodes that are being scored.
#[derive(Clone, Copy)]
pub struct Scored<'a> {
    /// The snapshot that they belong to.
    pub snapshot: &'a Snapshot,
    /// The feasible nodes.
    pub rows: &'a [Row],
}

/// Keeps something for pods that were placed but are not bound yet.
pub trait ReservePlugin: Plugin {
    /// Called when a node was chosen; any answer but Success undoes all reservations.
    fn reserve(&self, state: &mut CycleState, pod: &Pod, node_name: &str) -> Status;

    /// Undoes [`reserve`](Self::reserve); may come without it, and more than once.
    fn unreserve(&self, state: &mut CycleState, pod: &Pod, node_name: &str);
}

/// Can hold a pod back after a node was chosen.
pub trait PermitPlugin: Plugin {
    /// Success lets the pod go on, a rejection ends the attempt, [`Status::wait`] holds the pod until the plugin allows or
    /// rejects it through [`crate::waiting::WaitingPods`], at most for the given time.
    fn permit(&self, state: &mut CycleState, pod: &Pod, node_name: &str) -> (Status, Duration);
}

/// A pod on its way to its node.
pub struct Binding {
    /// The pod, with its node in `node_name`.
    pub pod: Arc<Pod>,
    /// The node.
    pub node_name: Arc<str>,
    /// Speaks to the API server.
    pub client: kube::Client,
}

/// Does something before a pod is bound, for example prepare volumes.
pub trait PreBindPlugin: Plugin {
    /// Whether there is anything to be done for this pod. If so, the pod says on which node it will be while it is done.
    fn will_act(&self, binding: &Binding) -> bool {
        let _ = binding;
        true
    }

    /// Any answer but Success ends the attempt.
    fn pre_bind<'a>(&'a self, binding: &'a Binding) -> BoxFuture<'a, Status>;
}

/// Binds pods to nodes.
pub trait BindPlugin: Plugin {
    /// Success if the pod is bound, Skip to leave it to the next plugin.
    fn bind<'a>(&'a self, binding: &'a Binding) -> BoxFuture<'a, Status>;
}

/// Gets to know of every pod that has not finished, of whichever scheduler: what upstream's plugins do with a handler on the
/// shared informer of pods. Called before the pod is put into the queue.
pub trait PodObserver: Send + Sync {
    /// A pod came or changed.
    fn pod_set(&self, pod: &Pod);

    /// A pod is gone, or has finished; may come for pods that were never there.
    fn pod_removed(&self, uid: &str);
}

/// Gets to know of bound pods.
pub trait PostBindPlugin: Plugin {
    /// Called when the pod was bound.
    fn post_bind<'a>(&'a self, binding: &'a Binding) -> BoxFuture<'a, ()>;
}
