//! The plugins that come with the scheduler, one a file, under their upstream names.

pub mod capacity_scheduling;
pub mod coscheduling;
pub mod default_binder;
pub mod default_preemption;
pub mod dynamic_resources;
mod gang;
pub mod gang_scheduling;
pub mod image_locality;
pub mod inter_pod_affinity;
pub mod node_affinity;
pub mod node_declared_features;
pub mod node_name;
pub mod node_ports;
pub mod node_resources_balanced_allocation;
pub mod node_resources_fit;
pub mod node_unschedulable;
pub mod node_volume_limits;
pub mod pod_topology_spread;
pub mod priority_sort;
pub mod scheduling_gates;
pub mod taint_toleration;
pub mod target_load_packing;
pub mod volume_binding;
pub mod volume_restrictions;
pub mod volume_zone;
mod volumes;

use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::plugin::Plugin;
use crate::registry::Registry;

/// The plugins of the default profile in the order of upstream's, with their weights (0: not a matter of weight).
pub(crate) const DEFAULT: &[(&str, i64)] = &[
    ("SchedulingGates", 0),
    ("PrioritySort", 0),
    ("NodeUnschedulable", 0),
    ("NodeName", 0),
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("NodePorts", 0),
    ("NodeResourcesFit", 1),
    ("VolumeRestrictions", 0),
    ("NodeVolumeLimits", 0),
    ("VolumeBinding", 0),
    ("VolumeZone", 0),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
    ("DynamicResources", 2),
    ("DefaultPreemption", 0),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
    ("DefaultBinder", 0),
    ("NodeDeclaredFeatures", 0),
];

/// Registers a plugin that is made from arguments of a type.
fn with_args<A, P>(registry: &mut Registry, name: &str, make: fn(A) -> Result<P, String>)
where
    A: DeserializeOwned + Default + 'static,
    P: Plugin,
{
    registry.register(name, move |args, _| {
        let plugin: Arc<dyn Plugin> = Arc::new(make(args.parse()?)?);
        Ok(plugin)
    });
}

/// All of them.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::new();
    registry
        .add(scheduling_gates::SchedulingGates)
        .add(priority_sort::PrioritySort)
        .add(node_unschedulable::NodeUnschedulable)
        .add(node_name::NodeName)
        .add(node_declared_features::NodeDeclaredFeatures)
        .add(taint_toleration::TaintToleration)
        .add(node_ports::NodePorts)
        .add(volume_restrictions::VolumeRestrictions)
        .add(node_volume_limits::NodeVolumeLimits)
        .add(volume_zone::VolumeZone)
        .add(image_locality::ImageLocality)
        .add(default_binder::DefaultBinder);
    registry.register(default_preemption::NAME, |args, handle| {
        let plugin: Arc<dyn Plugin> = Arc::new(default_preemption::DefaultPreemption::new(args.parse()?, handle)?);
        Ok(plugin)
    });
    registry.register(dynamic_resources::NAME, |args, handle| {
        let plugin: Arc<dyn Plugin> = Arc::new(dynamic_resources::DynamicResources::new(&args.parse()?, handle)?);
        Ok(plugin)
    });
    registry.register(capacity_scheduling::NAME, |_, handle| {
        let plugin: Arc<dyn Plugin> = Arc::new(capacity_scheduling::CapacityScheduling::new(handle));
        Ok(plugin)
    });
    registry.register(target_load_packing::NAME, |args, handle| {
        let plugin: Arc<dyn Plugin> = Arc::new(target_load_packing::TargetLoadPacking::new(&args.parse()?, handle)?);
        Ok(plugin)
    });
    registry.register(coscheduling::NAME, |args, handle| {
        let plugin: Arc<dyn Plugin> = Arc::new(coscheduling::Coscheduling::new(args.parse()?, handle)?);
        Ok(plugin)
    });
    registry.register(gang_scheduling::NAME, |_, handle| {
        let plugin: Arc<dyn Plugin> = Arc::new(gang_scheduling::GangScheduling::new(handle));
        Ok(plugin)
    });
    registry.register(volume_binding::NAME, |args, handle| {
        let plugin: Arc<dyn Plugin> = Arc::new(volume_binding::VolumeBinding::new(args.parse()?, handle)?);
        Ok(plugin)
    });
    with_args(&mut registry, node_affinity::NAME, node_affinity::NodeAffinity::new);
    registry.register(node_resources_fit::NAME, |args, handle| {
        let devices = handle.device_resources.clone();
        let plugin: Arc<dyn Plugin> = Arc::new(node_resources_fit::NodeResourcesFit::new(args.parse()?, devices)?);
        Ok(plugin)
    });
    with_args(
        &mut registry,
        node_resources_balanced_allocation::NAME,
        node_resources_balanced_allocation::NodeResourcesBalancedAllocation::new,
    );
    with_args(&mut registry, pod_topology_spread::NAME, pod_topology_spread::PodTopologySpread::new);
    with_args(&mut registry, inter_pod_affinity::NAME, inter_pod_affinity::InterPodAffinity::new);
    registry
}

/// Brings scores into the range from 0 to 100 in proportion to the highest; the other way round if `reverse`.
fn normalize(scores: &mut [i64], reverse: bool) {
    use crate::resources::MAX_NODE_SCORE;
    let max = scores.iter().max().copied().unwrap_or(0);
    for score in scores {
        if max > 0 {
            *score = MAX_NODE_SCORE * *score / max;
        }
        if reverse {
            *score = MAX_NODE_SCORE - *score;
        }
    }
}

#[cfg(test)]
mod tests;
