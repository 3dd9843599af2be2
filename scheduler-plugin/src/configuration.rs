//! The configuration file: `KubeSchedulerConfiguration` of `kubescheduler.config.k8s.io/v1`.

mod extender;
mod parse;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::plugins::{DEFAULT, gang_scheduling};
use crate::profile::Point;
pub use extender::{ExtenderConfiguration, ExtenderTls, ManagedResource};
pub use parse::ConfigurationError;

/// A duration as Go writes it: `1m30s`, `100ms`, `0.5s`.
pub(crate) fn duration(text: &str) -> Option<std::time::Duration> {
    parse::extenders::duration(text)
}

/// The scheduler's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// How long a pod waits after its first failure.
    pub pod_initial_backoff: Duration,
    /// How long a pod waits at most.
    pub pod_max_backoff: Duration,
    /// One profile for each `schedulerName`.
    pub profiles: Vec<ProfileConfiguration>,
    /// Programs that are asked about nodes.
    pub extenders: Vec<ExtenderConfiguration>,
}

/// One profile.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileConfiguration {
    /// The name by which pods choose it.
    pub scheduler_name: String,
    /// The share of nodes to look at, in percent; all if it is not given, and 0 for a share that depends on their number.
    pub percentage_of_nodes_to_score: Option<u32>,
    /// Plugins at all extension points they take part in; merged with those of the default profile.
    pub multi_point: PluginSet,
    /// Plugins at single extension points.
    pub points: BTreeMap<Point, PluginSet>,
    /// Arguments by plugin.
    pub plugin_config: BTreeMap<String, Value>,
}

/// Plugins that are switched on and off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginSet {
    /// On, in this order.
    pub enabled: Vec<PluginReference>,
    /// Off; `*` is all of the default ones.
    pub disabled: Vec<PluginReference>,
}

/// A plugin's name and weight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginReference {
    /// The name.
    pub name: String,
    /// How much its score counts; 0 for the default.
    pub weight: i64,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            pod_initial_backoff: Duration::from_secs(1),
            pod_max_backoff: Duration::from_secs(10),
            profiles: vec![ProfileConfiguration {
                scheduler_name: "default-scheduler".to_owned(),
                ..ProfileConfiguration::default()
            }],
            extenders: Vec::new(),
        }
    }
}

impl Configuration {
    /// Reads a configuration file; what is not in it has upstream's default.
    ///
    /// # Errors
    /// If it is not YAML, has unknown fields, or values that make no sense; the error names the field.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigurationError> {
        parse::configuration(text)
    }
}

impl Configuration {
    /// The same with groups of the Workload API placed all or none, under every profile that does not switch the plugin off:
    /// what kube-scheduler does with `--feature-gates=GangScheduling=true`.
    #[must_use]
    pub fn with_gang_scheduling(mut self) -> Self {
        for profile in &mut self.profiles {
            let plugins = &mut profile.multi_point;
            let is_it = |other: &PluginReference| other.name == gang_scheduling::NAME;
            let is_off = |other: &PluginReference| is_it(other) || other.name == "*";
            if !plugins.enabled.iter().any(is_it) && !plugins.disabled.iter().any(is_off) {
                plugins.enabled.push(PluginReference { name: gang_scheduling::NAME.to_owned(), weight: 0 });
            }
        }
        self
    }

    /// The resources that extenders look after and NodeResourcesFit does not.
    pub(crate) fn resources_of_extenders(&self) -> Vec<&str> {
        let managed = self.extenders.iter().flat_map(|extender| &extender.managed_resources);
        managed.filter(|resource| resource.ignored_by_scheduler).map(|resource| resource.name.as_str()).collect()
    }
}

impl ProfileConfiguration {
    /// The same, with resources that NodeResourcesFit is to leave alone.
    pub(crate) fn ignoring(&self, resources: &[&str]) -> Self {
        let mut changed = self.clone();
        if !resources.is_empty() {
            let args =
                changed.plugin_config.entry("NodeResourcesFit".to_owned()).or_insert_with(|| Value::Object(Map::new()));
            let ignored = args["ignoredResources"].as_array().cloned().unwrap_or_default();
            let added = resources.iter().map(|name| Value::from(*name));
            args["ignoredResources"] = ignored.into_iter().chain(added).collect();
        }
        changed
    }

    /// The plugins after the default profile's have been merged in.
    pub(crate) fn effective_plugins(&self) -> (PluginSet, &BTreeMap<Point, PluginSet>) {
        let off = |name: &str| {
            let off = |other: &PluginReference| other.name == name || other.name == "*";
            self.multi_point.disabled.iter().any(off)
        };
        let mut enabled: Vec<_> = DEFAULT
            .iter()
            .filter(|(name, _)| !off(name))
            .map(|&(name, weight)| PluginReference { name: name.to_owned(), weight })
            .collect();
        for custom in &self.multi_point.enabled {
            match enabled.iter_mut().find(|other| other.name == custom.name) {
                Some(other) => other.clone_from(custom),
                None => enabled.push(custom.clone()),
            }
        }
        let multi_point = PluginSet { enabled, disabled: Vec::new() };
        (multi_point, &self.points)
    }
}

#[cfg(test)]
mod tests;
