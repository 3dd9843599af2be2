//! A profile: which plugins run at which extension point, in which order, with which weight.
//! Source: `pkg/scheduler/framework/runtime`, `NewFramework`.

mod measured;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use steersman_framework::metrics::Metrics;

use crate::cluster_event::{ActionType, ClusterEvent, EventResource, Happening, QueueingHint};
use crate::configuration::{PluginReference, PluginSet, ProfileConfiguration};
use crate::plugin::{BindPlugin, Plugin, QueueSortPlugin};
use crate::pod::Pod;
use crate::registry::{Args, Handle, Registry};
use crate::resources::MAX_NODE_SCORE;
use measured::Batches;
pub(crate) use measured::Measured;

/// The share of nodes that is looked at unless the configuration says another.
const ALL_NODES: u32 = 100;

/// An extension point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are upstream's, the traits of the same names explain them")]
pub enum Point {
    PreEnqueue,
    QueueSort,
    PreFilter,
    Filter,
    PostFilter,
    PreScore,
    Score,
    Reserve,
    Permit,
    PreBind,
    Bind,
    PostBind,
}

impl Point {
    /// All extension points.
    pub const ALL: [Self; 12] = [
        Self::PreEnqueue,
        Self::QueueSort,
        Self::PreFilter,
        Self::Filter,
        Self::PostFilter,
        Self::PreScore,
        Self::Score,
        Self::Reserve,
        Self::Permit,
        Self::PreBind,
        Self::Bind,
        Self::PostBind,
    ];

    /// Its key in the configuration (`preFilter`).
    pub fn key(self) -> String {
        let name = format!("{self:?}");
        let (first, rest) = name.split_at(1);
        first.to_lowercase() + rest
    }

    /// Whether a plugin takes part in it.
    pub fn has(self, plugin: &dyn Plugin) -> bool {
        match self {
            Self::PreEnqueue => plugin.as_pre_enqueue().is_some(),
            Self::QueueSort => plugin.as_queue_sort().is_some(),
            Self::PreFilter => plugin.as_pre_filter().is_some(),
            Self::Filter => plugin.as_filter().is_some(),
            Self::PostFilter => plugin.as_post_filter().is_some(),
            Self::PreScore => plugin.as_pre_score().is_some(),
            Self::Score => plugin.as_score().is_some(),
            Self::Reserve => plugin.as_reserve().is_some(),
            Self::Permit => plugin.as_permit().is_some(),
            Self::PreBind => plugin.as_pre_bind().is_some(),
            Self::Bind => plugin.as_bind().is_some(),
            Self::PostBind => plugin.as_post_bind().is_some(),
        }
    }
}

/// Why a profile can't be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("profile {profile:?}: {message}")]
pub struct ProfileError {
    /// The profile's scheduler name.
    pub profile: String,
    /// What is wrong.
    pub message: String,
}

/// A plugin at an extension point.
#[derive(Clone)]
pub struct Entry {
    /// The plugin.
    pub plugin: Arc<dyn Plugin>,
    /// How much its score counts.
    pub weight: i64,
    /// What is counted of it here.
    pub(crate) measured: Measured,
}

/// A set of plugins that schedules the pods of one `schedulerName`.
pub struct Profile {
    /// The name by which pods choose this profile.
    pub scheduler_name: Arc<str>,
    /// How many of the nodes are looked at before the best is chosen; 0 for a share that depends on their number.
    pub percentage_of_nodes_to_score: u32,
    points: BTreeMap<Point, Vec<Entry>>,
    /// What is counted of decisions for equal pods.
    pub(crate) batches: Batches,
    /// Says which profile this is.
    identity: Arc<()>,
    /// All plugins, each with the events that it registered.
    plugins: BTreeMap<&'static str, (Arc<dyn Plugin>, Vec<ClusterEvent>)>,
}

impl Profile {
    /// Makes the plugins of a profile and puts them in order.
    ///
    /// # Errors
    /// Unknown plugins, faulty arguments, a point without the plugins it needs.
    pub fn new(
        configuration: &ProfileConfiguration,
        registry: &Registry,
        handle: &Handle,
    ) -> Result<Self, ProfileError> {
        let failed = |message: String| ProfileError { profile: configuration.scheduler_name.clone(), message };
        let (multi_point, sets) = configuration.effective_plugins();
        let specific = sets.values().flat_map(|set| &set.enabled);
        let names: BTreeSet<&str> = multi_point.enabled.iter().chain(specific).map(|entry| &*entry.name).collect();
        let mut plugins = BTreeMap::new();
        for name in names {
            let Some(factory) = registry.get(name) else {
                return Err(failed(unknown(name)));
            };
            let args = Args::new(configuration.plugin_config.get(name).cloned());
            let plugin = factory(&args, handle).map_err(|error| {
                let message = format!("initializing plugin {name:?}: {error}");
                failed(message)
            })?;
            plugins.insert(name.to_owned(), plugin);
        }
        if let Some(name) = configuration.plugin_config.keys().find(|name| registry.get(name).is_none()) {
            return Err(failed(unknown(name)));
        }
        let mut points = BTreeMap::new();
        for point in Point::ALL {
            let empty = PluginSet::default();
            let set = sets.get(&point).unwrap_or(&empty);
            let entries = expand(point, set, &multi_point, &plugins).map_err(&failed)?;
            points.insert(point, entries);
        }
        let profile = Self {
            scheduler_name: Arc::from(configuration.scheduler_name.as_str()),
            percentage_of_nodes_to_score: configuration.percentage_of_nodes_to_score.unwrap_or(ALL_NODES),
            points,
            batches: Batches::default(),
            identity: Arc::default(),
            plugins: plugins
                .into_values()
                .map(|plugin| (plugin.name(), (plugin.clone(), plugin.events_to_register())))
                .collect(),
        };
        profile.check().map_err(failed)?;
        Ok(profile)
    }

    fn check(&self) -> Result<(), String> {
        match self.at(Point::QueueSort).len() {
            1 => {}
            0 => return Err("no queue sort plugin is enabled".to_owned()),
            _ => return Err("only one queue sort plugin can be enabled".to_owned()),
        }
        if self.at(Point::Bind).is_empty() {
            return Err("at least one bind plugin is needed".to_owned());
        }
        let mut sum = 0_i64;
        for entry in self.at(Point::Score) {
            let most = entry.weight.checked_mul(MAX_NODE_SCORE);
            sum = most.and_then(|most| sum.checked_add(most)).ok_or("total score of score plugins could overflow")?;
        }
        Ok(())
    }

    /// Counts from now on how often plugins are asked, and how long some of them take.
    pub(crate) fn measure(&mut self, metrics: &Metrics) {
        self.batches = Batches::new(metrics, &self.scheduler_name);
        for (point, entries) in &mut self.points {
            for entry in entries {
                entry.measured = Measured::new(metrics, &self.scheduler_name, entry.plugin.name(), *point);
            }
        }
    }

    /// The plugins at an extension point, in order.
    pub fn at(&self, point: Point) -> &[Entry] {
        self.points.get(&point).map_or(&[], Vec::as_slice)
    }

    /// The same for one profile as long as it lives, and another for every other.
    pub(crate) fn identity(&self) -> &Arc<()> {
        &self.identity
    }

    /// A plugin of this profile by its name.
    pub fn plugin(&self, name: &str) -> Option<&Arc<dyn Plugin>> {
        self.plugins.get(name).map(|(plugin, _)| plugin)
    }

    /// The plugins that registered events of this kind, or are told of them anyway.
    pub(crate) fn interested(&self, event: &ClusterEvent) -> BTreeSet<&'static str> {
        let told = |events: &Vec<ClusterEvent>| covers(events, event) || is_told_anyway(events, event);
        let interested = self.plugins.iter().filter(|(_, (_, events))| told(events));
        interested.map(|(name, _)| *name).collect()
    }

    /// What a plugin says about something that happened; what it did not ask for is worth an attempt.
    pub(crate) fn hint(&self, plugin: &str, pod: &Pod, happening: &Happening) -> QueueingHint {
        match self.plugins.get(plugin) {
            Some((plugin, events)) if covers(events, &happening.event) => plugin.queueing_hint(pod, happening),
            _ => QueueingHint::Queue,
        }
    }

    /// The plugin that sorts the queue.
    pub fn queue_sort(&self) -> Arc<dyn Plugin> {
        self.at(Point::QueueSort)[0].plugin.clone()
    }

    /// The plugins that want to know of all pods.
    pub(crate) fn observers(&self) -> impl Iterator<Item = &Arc<dyn Plugin>> {
        self.plugins.values().map(|(plugin, _)| plugin).filter(|plugin| plugin.as_pod_observer().is_some())
    }

    /// Under which names plugins registered events of a resource that they asked for: none, or its own.
    pub(crate) fn custom_events(&self, resource: &str) -> Option<&'static str> {
        let events = self.plugins.values().flat_map(|(_, events)| events);
        events.into_iter().find_map(|event| match event.resource {
            EventResource::Custom(name) if name == resource => Some(name),
            _ => None,
        })
    }

    /// Whether a plugin wants a pod not to be tried before its backoff is over.
    pub(crate) fn keeps_backoff(&self, pod: &Pod) -> bool {
        self.plugins.values().any(|(plugin, _)| plugin.keeps_backoff(pod))
    }

    /// Binders, in order.
    pub fn binders(&self) -> impl Iterator<Item = (&'static str, &dyn BindPlugin)> {
        let entries = self.at(Point::Bind).iter();
        entries.filter_map(|entry| Some((entry.plugin.name(), entry.plugin.as_bind()?)))
    }
}

/// Whether one of these events is of that kind.
fn covers(events: &[ClusterEvent], event: &ClusterEvent) -> bool {
    events.iter().any(|other| other.covers(event))
}

/// Whether a plugin that registered these events hears of one that it did not register: who waits for nodes to come, but not
/// for their taints to go, does so for a change of taints, too. Source: `pkg/scheduler`, `buildQueueingHintMap`.
fn is_told_anyway(events: &[ClusterEvent], event: &ClusterEvent) -> bool {
    let tainted = ClusterEvent::node(ActionType::UPDATE_NODE_TAINT);
    tainted.covers(event) && covers(events, &ClusterEvent::node(ActionType::ADD)) && !covers(events, &tainted)
}

fn unknown(name: &str) -> String {
    format!("plugin {name:?} does not exist")
}

/// The trait object of the sorter; a profile always has one.
pub(crate) fn sorter(plugin: &dyn Plugin) -> &dyn QueueSortPlugin {
    plugin.as_queue_sort().expect("checked when the profile was made")
}

/// The effective plugins of a point: those named there and at `multiPoint` in the order given there, then those of
/// `multiPoint`, then the others named there.
fn expand(
    point: Point,
    set: &PluginSet,
    multi_point: &PluginSet,
    plugins: &BTreeMap<String, Arc<dyn Plugin>>,
) -> Result<Vec<Entry>, String> {
    // Without a weight it is 1, even for a plugin that has another one at `multiPoint`: what is said here counts.
    let entry = |reference: &PluginReference| Entry {
        plugin: plugins[&reference.name].clone(),
        weight: reference.weight.max(1),
        measured: Measured::default(),
    };
    let mut seen = BTreeSet::new();
    for reference in &set.enabled {
        if !point.has(plugins[&reference.name].as_ref()) {
            return Err(format!("plugin {:?} does not extend {} plugin", reference.name, point.key()));
        }
        if !seen.insert(&reference.name) {
            return Err(format!("plugin {:?} already registered", reference.name));
        }
    }
    let disabled = |name: &str| set.disabled.iter().any(|other| other.name == name);
    let from_multi_point = |reference: &&PluginReference| {
        !disabled("*") && !disabled(&reference.name) && point.has(plugins[&reference.name].as_ref())
    };
    let multi: Vec<_> = multi_point.enabled.iter().filter(from_multi_point).collect();
    let in_multi = |reference: &PluginReference| multi.iter().find(|other| other.name == reference.name);
    let here = set.enabled.iter();
    let first = here.clone().filter(|reference| in_multi(reference).is_some());
    let second = multi.iter().copied().filter(|reference| !seen.contains(&reference.name));
    let third = here.filter(|reference| in_multi(reference).is_none());
    Ok(first.chain(second).chain(third).map(entry).collect())
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |entries: &Vec<Entry>| entries.iter().map(|entry| entry.plugin.name()).collect::<Vec<_>>();
        f.debug_struct("Profile")
            .field("scheduler_name", &self.scheduler_name)
            .field("points", &self.points.iter().map(|(point, entries)| (point, names(entries))).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
