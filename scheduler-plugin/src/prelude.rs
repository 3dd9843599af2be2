//! What nearly every plugin needs: `use steersman_scheduler_plugin::prelude::*;`.

pub use std::sync::Arc;
pub use std::time::Duration;

pub use crate::cluster_event::{ActionType, ClusterEvent, EventResource, Happening, QueueingHint};
pub use crate::configuration::Configuration;
pub use crate::cycle_state::CycleState;
pub use crate::plugin::{
    BindPlugin, Binding, Dependence, FilterPlugin, Normalization, PermitPlugin, Plugin, PodChange, PodObserver,
    PostBindPlugin, PostFilterContext, PostFilterPlugin, PostFilterResult, PreBindPlugin, PreEnqueuePlugin,
    PreFilterPlugin, PreFilterResult, PreScorePlugin, QueueSortPlugin, ReservePlugin, ScorePlugin, Scored,
};
pub use crate::pod::Pod;
pub use crate::queue::QueuedPod;
pub use crate::registry::{Args, Handle, Registry};
pub use crate::resources::MAX_NODE_SCORE;
pub use crate::snapshot::{NodeRef, Row, Snapshot};
pub use crate::status::{Code, Status};
pub use crate::watched::{Watched, Watches};
pub use steersman_framework::api::Resource;
