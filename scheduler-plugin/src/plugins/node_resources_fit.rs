//! NodeResourcesFit: a pod needs room; and which node has room decides how full nodes become.

mod scoring;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;

use scoring::ResourceScorer;
pub(crate) use scoring::resources_or_default;
pub use scoring::{
    RequestedToCapacityRatio, ResourceSpec, ScoringStrategy, ScoringStrategyType, UtilizationShapePoint,
};

use crate::cluster_event::{ActionType, ClusterEvent, EventObject, EventResource, Happening, QueueingHint};
use crate::cycle_state::CycleState;
use crate::plugin::{
    Candidates, Dependence, FilterPlugin, LooksAt, Normalization, Plugin, PreFilterPlugin, PreFilterResult,
    ScorePlugin, Scored,
};
use crate::plugins::dynamic_resources::is_left_to_devices;
use crate::pod::{Pod, PodSpec};
use crate::registry::DeviceResources;
use crate::resources::{amount, is_extended};
use crate::snapshot::{CPU, DEVICE_CLASS_PREFIX, EPHEMERAL_STORAGE, MEMORY, NodeRef, PODS, ResourceId, Row, Snapshot};
use crate::status::{Code, Status};
use crate::wire::{DeviceClass, Map, Node};

pub(super) const NAME: &str = "NodeResourcesFit";
const PRE_FILTER: &str = "PreFilterNodeResourcesFit";

/// `NodeResourcesFitArgs`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NodeResourcesFitArgs {
    /// Extended resources that are not looked at.
    pub ignored_resources: BTreeSet<String>,
    /// Prefixes (`example.com`) of extended resources that are not looked at.
    pub ignored_resource_groups: BTreeSet<String>,
    /// How nodes with room are compared.
    pub scoring_strategy: ScoringStrategy,
}

/// Compares what pods ask for with what nodes have left.
#[derive(Debug)]
pub struct NodeResourcesFit {
    ignored: BTreeSet<String>,
    ignored_groups: BTreeSet<String>,
    scorer: ResourceScorer,
    devices: DeviceResources,
}

/// Resources that are not counted as scalars, apart from pods.
const NATIVE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// One resource that a pod asks for.
struct Want {
    /// `None` if no node has the resource.
    id: Option<ResourceId>,
    amount: i64,
    insufficient: Cow<'static, str>,
    /// Whether nodes that have none of it may have devices instead: then DynamicResources decides.
    may_be_devices: bool,
}

struct Wants(Vec<Want>);

impl NodeResourcesFit {
    /// The plugin with these arguments.
    ///
    /// # Errors
    /// If the scoring strategy makes no sense.
    pub fn new(args: NodeResourcesFitArgs, devices: DeviceResources) -> Result<Self, String> {
        Ok(Self {
            devices,
            ignored: args.ignored_resources,
            ignored_groups: args.ignored_resource_groups,
            scorer: ResourceScorer::new(args.scoring_strategy)?,
        })
    }

    fn wants(&self, pod: &Pod, snapshot: &Snapshot) -> Wants {
        let requests = &pod.spec.requests;
        let native = [
            (CPU, requests.cpu, "Insufficient cpu"),
            (MEMORY, requests.memory, "Insufficient memory"),
            (EPHEMERAL_STORAGE, requests.ephemeral_storage, "Insufficient ephemeral-storage"),
        ];
        let mut wants: Vec<Want> = native
            .into_iter()
            .map(|(id, amount, insufficient)| Want {
                id: Some(id),
                amount,
                insufficient: insufficient.into(),
                may_be_devices: false,
            })
            .collect();
        wants.extend(requests.scalars.iter().filter(|(name, _)| !self.is_ignored(name)).map(|(name, amount)| Want {
            id: snapshot.resource_id(name),
            amount: *amount,
            insufficient: format!("Insufficient {name}").into(),
            may_be_devices: is_left_to_devices(name, snapshot),
        }));
        wants.retain(|want| want.amount > 0);
        Wants(wants)
    }

    /// Whether a node with these amounts has room for the pod if nobody else is there.
    fn fits_at_all(&self, pod: &Pod, allocatable: &Map) -> bool {
        let requests = &pod.spec.requests;
        let has = |name: &str| allocatable.get(name).map_or(0, |text| amount(name, text));
        let may_be_devices = |name: &Arc<str>| has(name) == 0 && self.devices.any(std::iter::once(name));
        has("pods") >= 1
            && NATIVE.iter().all(|name| requests.get(name) <= has(name))
            && requests
                .scalars
                .iter()
                .all(|(name, want)| self.is_ignored(name) || *want <= has(name) || may_be_devices(name))
    }

    /// Whether there is more of anything that the pod asks for.
    fn has_grown(&self, pod: &Pod, old: &Map, new: &Map) -> bool {
        let requests = &pod.spec.requests;
        let of = |list: &Map, name: &str| list.get(name).map_or(0, |text| amount(name, text));
        let grew = |name: &str| of(new, name) > of(old, name);
        let became_devices =
            |name: &Arc<str>| of(new, name) == 0 && of(old, name) > 0 && self.devices.any(std::iter::once(name));
        grew("pods")
            || NATIVE.iter().any(|name| requests.get(name) > 0 && grew(name))
            || requests.scalars.iter().any(|(name, want)| *want > 0 && (grew(name) || became_devices(name)))
    }

    fn is_ignored(&self, name: &Arc<str>) -> bool {
        let group = name.split('/').next().unwrap_or_default();
        is_extended(name) && (self.ignored.contains(&**name) || self.ignored_groups.contains(group))
    }
}

/// Whether a pod that asks for less now leaves something that this one asks for.
fn gives_way(pod: &PodSpec, old: &PodSpec, new: &PodSpec) -> bool {
    let (wanted, before, after) = (&pod.requests, &old.requests, &new.requests);
    let scalars = wanted.scalars.keys().map(AsRef::as_ref);
    let freed = |name: &str| wanted.get(name) > 0 && after.get(name) < before.get(name);
    NATIVE.into_iter().chain(scalars).any(freed)
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn dependence(&self, _: &Pod) -> Dependence {
        Dependence::Node
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::pod(ActionType::DELETE.or(ActionType::UPDATE_POD_SCALE_DOWN)),
            ClusterEvent::node(ActionType::ADD.or(ActionType::UPDATE_NODE_ALLOCATABLE)),
            ClusterEvent::of(EventResource::DeviceClass, ActionType::ADD.or(ActionType::UPDATE)),
        ]
    }

    fn queueing_hint(&self, pod: &Pod, happening: &Happening) -> QueueingHint {
        let helps = match &happening.object {
            EventObject::Node { old, new } => {
                let grew = |old: &Arc<Node>| self.has_grown(pod, &old.status.allocatable, &new.status.allocatable);
                self.fits_at_all(pod, &new.status.allocatable) && old.as_ref().is_none_or(grew)
            }
            EventObject::AssignedPod { old: Some(old), new: Some(new) } => gives_way(&pod.spec, &old.spec, &new.spec),
            object => object.change_of::<DeviceClass>().is_none_or(|(_, class)| {
                let is_asked_for = |name: &Arc<str>| {
                    let implicit = name.strip_prefix(DEVICE_CLASS_PREFIX);
                    class.is_some_and(|class| {
                        class.spec.extended_resource_name.as_deref() == Some(name)
                            || implicit == Some(class.metadata.name.as_str())
                    })
                };
                pod.spec.requests.scalars.keys().any(is_asked_for)
            }),
        };
        if helps { QueueingHint::Queue } else { QueueingHint::Skip }
    }

    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        Some(self)
    }

    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }

    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        Some(self)
    }
}

impl PreFilterPlugin for NodeResourcesFit {
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, snapshot: &Snapshot) -> Result<PreFilterResult, Status> {
        state.write(PRE_FILTER, self.wants(pod, snapshot));
        Ok(PreFilterResult::ALL_NODES)
    }
}

fn lacks(want: &Want, snapshot: &Snapshot, row: Row) -> bool {
    let column = want.id.map(|id| snapshot.resource(id));
    let lacks =
        column.is_none_or(|column| want.amount > column.allocatable[row as usize] - column.requested[row as usize]);
    lacks && !(want.may_be_devices && column.is_none_or(|column| column.allocatable[row as usize] == 0))
}

impl FilterPlugin for NodeResourcesFit {
    fn looks_at(&self) -> LooksAt {
        LooksAt::Amounts
    }

    fn filter(&self, state: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Status {
        let (snapshot, row) = (node.snapshot(), node.row());
        let made;
        let Wants(wants) = match state.read(PRE_FILTER) {
            Some(wants) => wants,
            None => {
                made = self.wants(pod, snapshot);
                &made
            }
        };
        let mut reasons: Vec<Cow<'static, str>> = Vec::new();
        let mut code = Code::Unschedulable;
        let pods = snapshot.resource(PODS);
        if pods.requested[row as usize] + 1 > pods.allocatable[row as usize] {
            reasons.push("Too many pods".into());
        }
        for want in wants.iter().filter(|want| lacks(want, snapshot, row)) {
            reasons.push(want.insufficient.clone());
            let allocatable = want.id.map_or(0, |id| snapshot.resource(id).allocatable[row as usize]);
            if want.amount > allocatable {
                code = Code::UnschedulableAndUnresolvable;
            }
        }
        if reasons.is_empty() { Status::success() } else { Status::with_reasons(code, reasons) }
    }

    fn filter_nodes(&self, state: &CycleState, _: &Pod, candidates: &mut Candidates<'_>) {
        let snapshot = candidates.snapshot();
        let Some(Wants(wants)) = state.read(PRE_FILTER) else { return };
        let pods = snapshot.resource(PODS);
        candidates.retain(|row| {
            pods.requested[row as usize] < pods.allocatable[row as usize]
                && !wants.iter().any(|want| lacks(want, snapshot, row))
        });
    }
}

impl ScorePlugin for NodeResourcesFit {
    fn normalization(&self) -> Normalization {
        Normalization::None
    }

    fn score(&self, _: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Result<i64, Status> {
        Ok(self.scorer.score(&self.scorer.resources(&pod.spec, node.snapshot()), node.row()))
    }

    fn score_nodes(&self, _: &CycleState, pod: &Pod, nodes: Scored<'_>, scores: &mut [i64]) -> Result<(), Status> {
        let resources = self.scorer.resources(&pod.spec, nodes.snapshot);
        for (score, &row) in scores.iter_mut().zip(nodes.rows) {
            *score = self.scorer.score(&resources, row);
        }
        Ok(())
    }
}
