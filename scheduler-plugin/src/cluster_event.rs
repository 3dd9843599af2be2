//! What happens in the cluster that can make an unschedulable pod schedulable.
//! Source: `k8s.io/kube-scheduler/framework`, `ClusterEvent`; KEP-4247 (queueing hints).

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::pod::Pod;
use crate::wire;

/// The kind of object that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventResource {
    /// Pods: those on nodes, and the waiting pod itself.
    Pod,
    /// Pods that have no node yet: new ones, other than the waiting pod itself.
    UnscheduledPod,
    /// Objects that a plugin asked for ([`crate::watched::Watches`]), by the full name of the resource
    /// (`podgroups.scheduling.x-k8s.io`).
    Custom(&'static str),
    /// Nodes.
    Node,
    /// Namespaces, services and owners: what selects pods.
    Selector,
    /// Persistent volume claims.
    Claim,
    /// Persistent volumes.
    PersistentVolume,
    /// Storage classes.
    StorageClass,
    /// What CSI drivers can do on nodes.
    CsiNode,
    /// CSI drivers.
    CsiDriver,
    /// The room that CSI drivers have.
    CsiStorageCapacity,
    /// Volumes that are attached to nodes.
    VolumeAttachment,
    /// Claims on devices.
    ResourceClaim,
    /// Classes of devices.
    DeviceClass,
    /// What drivers have on nodes.
    ResourceSlice,
    /// Anything.
    Any,
}

/// A set of ways in which an object changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ActionType(u16);

impl ActionType {
    /// It is new.
    pub const ADD: Self = Self(1);
    /// It is gone.
    pub const DELETE: Self = Self(1 << 1);
    /// A node has other allocatable amounts.
    pub const UPDATE_NODE_ALLOCATABLE: Self = Self(1 << 2);
    /// A node has other labels.
    pub const UPDATE_NODE_LABEL: Self = Self(1 << 3);
    /// A node has other taints, or was uncordoned.
    pub const UPDATE_NODE_TAINT: Self = Self(1 << 4);
    /// A pod has other labels.
    pub const UPDATE_POD_LABEL: Self = Self(1 << 5);
    /// A pod asks for less.
    pub const UPDATE_POD_SCALE_DOWN: Self = Self(1 << 6);
    /// A pod tolerates more.
    pub const UPDATE_POD_TOLERATION: Self = Self(1 << 7);
    /// A pod has lost its last scheduling gate.
    pub const UPDATE_POD_SCHEDULING_GATES_ELIMINATED: Self = Self(1 << 8);
    /// It changed in another way.
    pub const UPDATE_OTHER: Self = Self(1 << 9);
    /// A node says that it can do other things.
    pub const UPDATE_NODE_DECLARED_FEATURE: Self = Self(1 << 10);
    /// A pod got a claim that was made from its template.
    pub const UPDATE_POD_GENERATED_RESOURCE_CLAIM: Self = Self(1 << 11);
    /// It changed in any way.
    pub const UPDATE: Self = Self(0b1111_1111_1100);
    /// Anything.
    pub const ALL: Self = Self(0b1111_1111_1111);

    /// Both sets together.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether both sets have something in common.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Debug for ActionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActionType({:#b})", self.0)
    }
}

/// A kind of event, for a plugin to say what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterEvent {
    /// What changed.
    pub resource: EventResource,
    /// How.
    pub action: ActionType,
}

impl ClusterEvent {
    /// Anything at all.
    pub const ANY: Self = Self { resource: EventResource::Any, action: ActionType::ALL };

    /// A change of a node.
    pub const fn node(action: ActionType) -> Self {
        Self { resource: EventResource::Node, action }
    }

    /// A change of a pod.
    pub const fn pod(action: ActionType) -> Self {
        Self { resource: EventResource::Pod, action }
    }

    /// A change of something else.
    pub const fn of(resource: EventResource, action: ActionType) -> Self {
        Self { resource, action }
    }

    /// As upstream's metrics call it (`NodeAdd`); the pods that happen are those on nodes.
    pub(crate) fn label(&self) -> String {
        let resource = match self.resource {
            EventResource::Pod => "AssignedPod",
            EventResource::UnscheduledPod => "UnschedulablePod",
            EventResource::Custom(name) => name,
            EventResource::Node => "Node",
            EventResource::Selector => "Selector",
            EventResource::Claim => "PersistentVolumeClaim",
            EventResource::PersistentVolume => "PersistentVolume",
            EventResource::StorageClass => "storage.k8s.io/StorageClass",
            EventResource::CsiNode => "storage.k8s.io/CSINode",
            EventResource::CsiDriver => "storage.k8s.io/CSIDriver",
            EventResource::CsiStorageCapacity => "storage.k8s.io/CSIStorageCapacity",
            EventResource::VolumeAttachment => "storage.k8s.io/VolumeAttachment",
            EventResource::ResourceClaim => "resource.k8s.io/ResourceClaim",
            EventResource::DeviceClass => "resource.k8s.io/DeviceClass",
            EventResource::ResourceSlice => "resource.k8s.io/ResourceSlice",
            EventResource::Any => "*",
        };
        let actions = [
            (ActionType::ADD, "Add"),
            (ActionType::DELETE, "Delete"),
            (ActionType::UPDATE_NODE_ALLOCATABLE, "UpdateNodeAllocatable"),
            (ActionType::UPDATE_NODE_LABEL, "UpdateNodeLabel"),
            (ActionType::UPDATE_NODE_TAINT, "UpdateNodeTaint"),
            (ActionType::UPDATE_POD_LABEL, "UpdatePodLabel"),
            (ActionType::UPDATE_POD_SCALE_DOWN, "UpdatePodScaleDown"),
            (ActionType::UPDATE_POD_TOLERATION, "UpdatePodToleration"),
            (ActionType::UPDATE_POD_SCHEDULING_GATES_ELIMINATED, "UpdatePodSchedulingGatesEliminated"),
            (ActionType::UPDATE_NODE_DECLARED_FEATURE, "UpdateNodeDeclaredFeature"),
            (ActionType::UPDATE_POD_GENERATED_RESOURCE_CLAIM, "UpdatePodGeneratedResourceClaim"),
            (ActionType::UPDATE_OTHER, "Update"),
            (ActionType::UPDATE, "Update"),
            (ActionType::ALL, "All"),
        ];
        let action = actions.iter().find(|(action, _)| *action == self.action).map_or("Update", |(_, name)| name);
        format!("{resource}{action}")
    }

    /// Whether an event of kind `other` is of this kind.
    pub fn covers(&self, other: &Self) -> bool {
        let either_is_any = self.resource == EventResource::Any || other.resource == EventResource::Any;
        (either_is_any || self.resource == other.resource) && self.action.intersects(other.action)
    }
}

/// The object of an event.
#[derive(Clone, Debug)]
pub enum EventObject {
    /// Nothing in particular.
    None,
    /// A pod on a node that came, changed or went; before and after.
    AssignedPod {
        /// As it was; `None` if it is new.
        old: Option<Arc<Pod>>,
        /// As it is; `None` if it is gone.
        new: Option<Arc<Pod>>,
    },
    /// The waiting pod itself, as it is now.
    Pod(Arc<Pod>),
    /// An object that is of interest by its name.
    Named {
        /// Its namespace; empty if it has none.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// An object that is kept as the API sends it; before and after. See [`EventObject::change_of`].
    Stored {
        /// As it was; `None` if it is new.
        old: Option<StoredObject>,
        /// As it is; `None` if it is gone.
        new: Option<StoredObject>,
    },
    /// A node that came or changed; before and after.
    Node {
        /// As it was; `None` if it is new.
        old: Option<Arc<wire::Node>>,
        /// As it is.
        new: Arc<wire::Node>,
    },
}

/// An object of any of the kinds that are kept as the API sends them.
pub type StoredObject = Arc<dyn Any + Send + Sync>;

impl EventObject {
    /// An object that is kept as the API sends it, before and after what happened; `None` if it is of another kind.
    pub fn change_of<T: 'static>(&self) -> Option<(Option<&T>, Option<&T>)> {
        let Self::Stored { old, new } = self else { return None };
        let is_other = |object: &Option<StoredObject>| object.as_deref().is_some_and(|it| !it.is::<T>());
        if is_other(old) || is_other(new) {
            return None;
        }
        let (old, new) = (old.as_deref(), new.as_deref());
        Some((old.and_then(|it| it.downcast_ref()), new.and_then(|it| it.downcast_ref())))
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Happening {
    /// Its kind.
    pub event: ClusterEvent,
    /// To what it happened.
    pub object: EventObject,
}

impl Happening {
    /// As upstream's metrics call it: what happens to a waiting pod itself is told apart from what happens to those on nodes.
    pub(crate) fn label(&self) -> String {
        match (&self.object, self.event) {
            (EventObject::Pod(_), ClusterEvent::ANY) => FORCE_ACTIVATE.to_owned(),
            (EventObject::Pod(_), ClusterEvent { resource: EventResource::Pod, action }) => {
                ClusterEvent::of(EventResource::UnscheduledPod, action).label()
            }
            _ => self.event.label(),
        }
    }
}

/// What upstream's metrics call it if a plugin wants a pod to be tried.
pub(crate) const FORCE_ACTIVATE: &str = "ForceActivate";

/// Whether an event is worth another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueingHint {
    /// The pod may be schedulable now.
    Queue,
    /// The event does not help this pod.
    Skip,
}

/// In which ways a node changed; empty if in none that matters.
pub(crate) fn node_changes(old: &wire::Node, new: &wire::Node) -> Vec<ClusterEvent> {
    let uncordoned = old.spec.unschedulable && !new.spec.unschedulable;
    [
        (old.status.allocatable != new.status.allocatable, ActionType::UPDATE_NODE_ALLOCATABLE),
        (old.metadata.labels != new.metadata.labels, ActionType::UPDATE_NODE_LABEL),
        (old.spec.taints != new.spec.taints || uncordoned, ActionType::UPDATE_NODE_TAINT),
        (old.status.declared_features != new.status.declared_features, ActionType::UPDATE_NODE_DECLARED_FEATURE),
    ]
    .into_iter()
    .filter(|(changed, _)| *changed)
    .map(|(_, action)| ClusterEvent::node(action))
    .collect()
}

/// In which ways a pod changed; a generic update if in none of the known ones.
pub(crate) fn pod_changes(old: &Pod, new: &Pod) -> Vec<ClusterEvent> {
    let generated = old.resource_claim_statuses != new.resource_claim_statuses;
    let (old, new) = (&old.spec, &new.spec);
    let (before, after) = (&old.requests, &new.requests);
    let less = after.cpu < before.cpu
        || after.memory < before.memory
        || after.ephemeral_storage < before.ephemeral_storage
        || before.scalars.iter().any(|(name, amount)| after.get(name) < *amount);
    let known = [
        (old.labels != new.labels, ActionType::UPDATE_POD_LABEL),
        (less, ActionType::UPDATE_POD_SCALE_DOWN),
        (
            !old.scheduling_gates.is_empty() && new.scheduling_gates.is_empty(),
            ActionType::UPDATE_POD_SCHEDULING_GATES_ELIMINATED,
        ),
        (old.tolerations.len() != new.tolerations.len(), ActionType::UPDATE_POD_TOLERATION),
        (generated, ActionType::UPDATE_POD_GENERATED_RESOURCE_CLAIM),
    ];
    let events = known.into_iter().filter(|(changed, _)| *changed).map(|(_, action)| ClusterEvent::pod(action));
    let events: Vec<_> = events.collect();
    if events.is_empty() { vec![ClusterEvent::pod(ActionType::UPDATE_OTHER)] } else { events }
}
