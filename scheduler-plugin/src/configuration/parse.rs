//! From YAML to [`Configuration`], field by field, so that every complaint names its field.

pub(super) mod extenders;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Configuration, PluginReference, PluginSet, ProfileConfiguration};
use crate::profile::Point;

const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
const KIND: &str = "KubeSchedulerConfiguration";
/// Fields of the file that concern the process, not decisions; they are accepted and have no effect here.
const OF_THE_PROCESS: [&str; 6] = [
    "leaderElection",
    "clientConnection",
    "enableProfiling",
    "enableContentionProfiling",
    "delayCacheUntilActive",
    "parallelism",
];

/// Why a configuration file is not accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigurationError {
    /// It is not YAML.
    #[error("not valid YAML: {0}")]
    Yaml(String),
    /// It is for another program or version.
    #[error("no kind {kind:?} is registered for version {api_version:?}: expected {KIND} of {API_VERSION}")]
    Kind {
        /// The `apiVersion` found.
        api_version: String,
        /// The `kind` found.
        kind: String,
    },
    /// It has a field that does not exist.
    #[error("strict decoding error: unknown field {0:?}")]
    UnknownField(String),
    /// A field has a value that makes no sense.
    #[error("{field}: {message}")]
    Field {
        /// The field's path.
        field: String,
        /// What is wrong.
        message: String,
    },
}

type Result<T> = std::result::Result<T, ConfigurationError>;

/// A value in the file and where it stands.
struct Node<'a> {
    value: &'a Value,
    path: String,
}

fn invalid(path: &str, message: impl Into<String>) -> ConfigurationError {
    ConfigurationError::Field { field: path.to_owned(), message: message.into() }
}

impl<'a> Node<'a> {
    /// The fields of a mapping, all of which must be known.
    fn fields(&self, known: &[&str]) -> Result<&'a Map<String, Value>> {
        let Value::Object(fields) = self.value else {
            return Err(invalid(&self.path, "must be a mapping"));
        };
        match fields.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(ConfigurationError::UnknownField(self.child_path(key))),
            None => Ok(fields),
        }
    }

    fn child_path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// A field; `None` if it is absent or null.
    fn get(&self, key: &str) -> Option<Node<'a>> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        let path = self.child_path(key);
        Some(Node { value, path })
    }

    /// The elements of a list field; none if it is absent.
    fn list(&self, key: &str) -> Result<Vec<Node<'a>>> {
        let Some(list) = self.get(key) else { return Ok(Vec::new()) };
        let Value::Array(items) = list.value else {
            return Err(invalid(&list.path, "must be a list"));
        };
        let item = |(place, value)| Node { value, path: format!("{}[{place}]", list.path) };
        Ok(items.iter().enumerate().map(item).collect())
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let text = node.value.as_str();
        text.map(Some).ok_or_else(|| invalid(&node.path, "must be a string"))
    }

    fn integer(&self, key: &str) -> Result<Option<i64>> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let number = node.value.as_i64();
        number.map(Some).ok_or_else(|| invalid(&node.path, "must be an integer"))
    }

    /// False if it is absent.
    fn boolean(&self, key: &str) -> Result<bool> {
        let Some(node) = self.get(key) else { return Ok(false) };
        node.value.as_bool().ok_or_else(|| invalid(&node.path, "must be true or false"))
    }

    fn percentage(&self, key: &str) -> Result<Option<u32>> {
        let Some(number) = self.integer(key)? else { return Ok(None) };
        let percentage = u32::try_from(number).ok().filter(|number| *number <= 100);
        let wrong = || {
            let message = format!("Invalid value: {number}: not in valid range [0-100]");
            invalid(&self.child_path(key), message)
        };
        percentage.map(Some).ok_or_else(wrong)
    }
}

pub(super) fn configuration(text: &str) -> Result<Configuration> {
    let value: Value = serde_saphyr::from_str(text).map_err(|error| ConfigurationError::Yaml(error.to_string()))?;
    let root = Node { value: &value, path: String::new() };
    let (api_version, kind) = match root.value {
        Value::Object(_) => (root.text("apiVersion")?.unwrap_or(""), root.text("kind")?.unwrap_or("")),
        _ => ("", ""),
    };
    if (api_version, kind) != (API_VERSION, KIND) {
        return Err(ConfigurationError::Kind { api_version: api_version.to_owned(), kind: kind.to_owned() });
    }
    let own = [
        "apiVersion",
        "kind",
        "percentageOfNodesToScore",
        "podInitialBackoffSeconds",
        "podMaxBackoffSeconds",
        "profiles",
        "extenders",
    ];
    root.fields(&[&own[..], &OF_THE_PROCESS[..]].concat())?;
    if let Some(number) = root.integer("parallelism")?.filter(|number| *number <= 0) {
        let message = format!("Invalid value: {number}: should be an integer value greater than zero");
        return Err(invalid("parallelism", message));
    }
    let defaults = Configuration::default();
    let (initial, max) = backoffs(&root, &defaults)?;
    let percentage = root.percentage("percentageOfNodesToScore")?;
    let mut profiles = Vec::new();
    for node in root.list("profiles")? {
        let mut profile = profile(&node)?;
        profile.percentage_of_nodes_to_score = profile.percentage_of_nodes_to_score.or(percentage);
        profiles.push(profile);
    }
    let mut names = BTreeSet::new();
    for (place, profile) in profiles.iter().enumerate() {
        if !names.insert(&profile.scheduler_name) {
            let message = format!("Duplicate value: {:?}", profile.scheduler_name);
            return Err(invalid(&format!("profiles[{place}].schedulerName"), message));
        }
    }
    if profiles.is_empty() {
        profiles = defaults.profiles;
        profiles[0].percentage_of_nodes_to_score = percentage;
    }
    let extenders = extenders::extenders(&root)?;
    Ok(Configuration { pod_initial_backoff: initial, pod_max_backoff: max, profiles, extenders })
}

fn backoffs(root: &Node<'_>, defaults: &Configuration) -> Result<(Duration, Duration)> {
    const INITIAL: &str = "podInitialBackoffSeconds";
    const MAX: &str = "podMaxBackoffSeconds";
    let initial = root.integer(INITIAL)?.unwrap_or(defaults.pod_initial_backoff.as_secs().cast_signed());
    let max = root.integer(MAX)?.unwrap_or(defaults.pod_max_backoff.as_secs().cast_signed());
    if initial <= 0 {
        return Err(invalid(INITIAL, format!("Invalid value: {initial}: must be greater than 0")));
    }
    if max < initial {
        let why = "must be greater than or equal to PodInitialBackoffSeconds";
        return Err(invalid(MAX, format!("Invalid value: {max}: {why}")));
    }
    let seconds = |number: i64| Duration::from_secs(number.unsigned_abs());
    Ok((seconds(initial), seconds(max)))
}

fn profile(node: &Node<'_>) -> Result<ProfileConfiguration> {
    node.fields(&["schedulerName", "percentageOfNodesToScore", "plugins", "pluginConfig"])?;
    let mut profile = ProfileConfiguration {
        scheduler_name: node.text("schedulerName")?.unwrap_or("default-scheduler").to_owned(),
        percentage_of_nodes_to_score: node.percentage("percentageOfNodesToScore")?,
        ..ProfileConfiguration::default()
    };
    if profile.scheduler_name.is_empty() {
        return Err(invalid(&node.child_path("schedulerName"), "Required value"));
    }
    if let Some(plugins) = node.get("plugins") {
        let keys: Vec<String> = Point::ALL.iter().map(|point| point.key()).collect();
        let known: Vec<&str> = keys.iter().map(String::as_str).chain(["multiPoint"]).collect();
        plugins.fields(&known)?;
        if let Some(set) = plugins.get("multiPoint") {
            profile.multi_point = plugin_set(&set)?;
        }
        for (point, key) in Point::ALL.into_iter().zip(&keys) {
            if let Some(set) = plugins.get(key) {
                profile.points.insert(point, plugin_set(&set)?);
            }
        }
    }
    profile.plugin_config = plugin_config(node)?;
    Ok(profile)
}

fn plugin_config(node: &Node<'_>) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    for config in node.list("pluginConfig")? {
        config.fields(&["name", "args"])?;
        let name = config.text("name")?.unwrap_or("");
        if name.is_empty() {
            return Err(invalid(&config.child_path("name"), "Required value"));
        }
        let args = config.get("args").map_or(Value::Null, |args| args.value.clone());
        if args != Value::Null && !args.is_object() {
            return Err(invalid(&config.child_path("args"), "must be a mapping"));
        }
        if let Some(args) = config.get("args") {
            check_type(&args, name)?;
        }
        if !args.is_null() && all.insert(name.to_owned(), args).is_some() {
            return Err(invalid(&config.path, format!("Duplicate value: {name:?}")));
        }
    }
    Ok(all)
}

/// Arguments may say for which plugin they are. What plugins from elsewhere call theirs is not known here.
fn check_type(args: &Node<'_>, plugin: &str) -> Result<()> {
    const GROUP: &str = "kubescheduler.config.k8s.io";
    let kind = format!("{plugin}Args");
    let (given, version) = (args.text("kind")?.unwrap_or(&kind), args.text("apiVersion")?.unwrap_or(API_VERSION));
    let is_default = crate::plugins::DEFAULT.iter().any(|(name, _)| *name == plugin);
    if is_default && given != kind {
        let message = format!("args for plugin {plugin} were not of type {kind}.{GROUP}, got {given}.{GROUP}");
        return Err(invalid(&args.child_path("kind"), message));
    }
    if is_default && version != API_VERSION {
        let message = format!("no kind {given:?} is registered for version {version:?}: expected {API_VERSION}");
        return Err(invalid(&args.child_path("apiVersion"), message));
    }
    Ok(())
}

fn plugin_set(node: &Node<'_>) -> Result<PluginSet> {
    node.fields(&["enabled", "disabled"])?;
    let references = |key| node.list(key)?.iter().map(reference).collect::<Result<Vec<_>>>();
    Ok(PluginSet { enabled: references("enabled")?, disabled: references("disabled")? })
}

fn reference(node: &Node<'_>) -> Result<PluginReference> {
    node.fields(&["name", "weight"])?;
    let name = node.text("name")?.unwrap_or("");
    if name.is_empty() {
        return Err(invalid(&node.child_path("name"), "Required value"));
    }
    let weight = node.integer("weight")?.unwrap_or(0);
    if weight < 0 {
        return Err(invalid(&node.child_path("weight"), format!("Invalid value: {weight}: must not be negative")));
    }
    Ok(PluginReference { name: name.to_owned(), weight })
}
