//! The command line of `steersman-scheduler`. Needs the feature `component`.
//!
//! A scheduler with plugins of its own is a program of one line: `command::main(registry)`.

mod reload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context as _, Result};
use clap::Parser;
use serde_json::{Map, Value, json};
use steersman_framework::component::{self, Answer, Component, FileSettings, Flags, Identity, Routes, Settings};

use crate::explanations::{self, Explanations};
use crate::registry::Registry;
use crate::{Configuration, Options};

/// The port is kube-scheduler's.
const IDENTITY: Identity = Identity { name: "steersman-scheduler", version: env!("CARGO_PKG_VERSION"), port: 10259 };

/// A scheduler with kube-scheduler's plugins, against any API server. Flags are kube-scheduler's where it has them.
#[derive(Parser, Debug)]
#[command(name = IDENTITY.name, version)]
struct Arguments {
    /// A KubeSchedulerConfiguration. Flags count more. It is read again when it changes, and on SIGHUP; of what it says, the
    /// profiles and backoffs count then.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// `GangScheduling=true` places groups of the Workload API (`scheduling.k8s.io/v1alpha2`) all or none.
    #[arg(long, value_name = "LIST")]
    feature_gates: Option<Gates>,
    /// Explain the last decision about each of this many pods at `/debug/explain?pod=namespace/name`; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 0)]
    explain: usize,
    /// Write the explanations on the pods as well, as the annotation `steersman.dev/scheduling-explanation`.
    #[arg(long, requires = "explain")]
    annotate_explanations: bool,
    #[command(flatten)]
    flags: Flags,
}

/// The feature gates that a scheduler knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Gates {
    gang_scheduling: bool,
}

impl FromStr for Gates {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut gates = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, value) = entry.split_once('=').ok_or_else(|| format!("missing bool value for {entry}"))?;
            let value = value.parse().map_err(|_| format!("invalid value of {name}: {value}"))?;
            match name {
                "GangScheduling" => gates.gang_scheduling = value,
                // What else the Workload API needs, and which tolerations there can be, is a matter of the API server.
                "GenericWorkload" | "TaintTolerationComparisonOperators" => {}
                _ => return Err(format!("unrecognized feature gate: {name}")),
            }
        }
        Ok(gates)
    }
}

impl Gates {
    fn apply(self, options: Options) -> Options {
        if !self.gang_scheduling {
            return options;
        }
        Options { configuration: options.configuration.with_gang_scheduling(), ..options }
    }
}

impl Arguments {
    fn explanations(&self) -> Option<Explanations> {
        let explanations = (self.explain > 0).then(|| Explanations::new(self.explain))?;
        Some(if self.annotate_explanations { explanations.annotating() } else { explanations })
    }
}

/// Serves what is explained.
fn routes(explanations: &Explanations) -> Routes {
    let routes = Routes::default();
    let explanations = explanations.clone();
    routes.add(explanations::PATH, move |query| {
        let (status, content_type, body) = explanations.answer(query);
        Answer { status, content_type, body }
    });
    routes
}

/// Parses the arguments and schedules until the system says to stop, with `plugins` besides those of kube-scheduler.
pub fn main(plugins: Registry) -> ExitCode {
    let arguments = Arguments::parse();
    component::start(&arguments.flags.log.clone(), run(arguments, plugins))
}

async fn run(arguments: Arguments, plugins: Registry) -> Result<()> {
    let text = arguments.config.as_deref().map(component::read).transpose()?;
    let (explanations, gates) = (arguments.explanations(), arguments.feature_gates.unwrap_or_default());
    let (mut options, general) = match (&arguments.config, &text) {
        (Some(path), Some(text)) => {
            let general = general(text).with_context(|| path.display().to_string())?;
            (options(text, &plugins, gates).with_context(|| path.display().to_string())?, general)
        }
        _ => (gates.apply(Options { plugins: plugins.clone(), ..Options::default() }), FileSettings::default()),
    };
    let settings = Settings::new(IDENTITY, &arguments.flags, &general)?;
    let profiles = &options.configuration.profiles;
    let names: Vec<&str> = profiles.iter().map(|profile| profile.scheduler_name.as_str()).collect();
    let mut component = Component::new(IDENTITY, settings).configz("profiles", json!(names));
    if let Some(explanations) = &explanations {
        component = component.routes(routes(explanations));
    }
    options.explanations = explanations;
    let file = arguments.config.zip(text);
    component::run(component, |context| reload::run(context, options, file, (plugins, gates))).await
}

/// The scheduler's own part of a configuration, found to fit the plugins.
fn options(text: &str, plugins: &Registry, gates: Gates) -> Result<Options> {
    let options =
        Options { configuration: Configuration::from_yaml(text)?, plugins: plugins.clone(), ..Options::default() };
    let options = gates.apply(options);
    crate::check(&options)?;
    Ok(options)
}

/// What a configuration says about the process.
fn general(text: &str) -> Result<FileSettings> {
    let mut fields: Map<String, Value> = serde_saphyr::from_str(text)?;
    fields.retain(|name, _| matches!(name.as_str(), "clientConnection" | "leaderElection"));
    Ok(serde_json::from_value(Value::Object(fields))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {kubeconfig: /etc/scheduler.conf, qps: 50, burst: 100}
leaderElection: {leaderElect: false}
profiles: [{schedulerName: mine}]
";

    #[test]
    fn what_concerns_the_process_is_honoured() {
        let settings = Settings::new(IDENTITY, &Flags::default(), &general(FILE).unwrap()).unwrap();
        assert_eq!(settings.leader_election, None);
        assert_eq!((settings.client.qps, settings.client.burst), (50.0, 100));
        assert_eq!(settings.serving.port(), 10259);
        assert_eq!(
            options(FILE, &Registry::default(), Gates::default()).unwrap().configuration.profiles[0].scheduler_name,
            "mine"
        );
    }

    #[test]
    fn gates_switch_gangs_on_under_every_profile_that_leaves_them_alone() {
        let gates: Gates = "GenericWorkload=true,GangScheduling=true".parse().unwrap();
        let has = |text: &str| {
            let profiles = options(text, &Registry::default(), gates).unwrap().configuration.profiles;
            profiles[0].multi_point.enabled.iter().any(|plugin| plugin.name == "GangScheduling")
        };
        assert!(has(FILE));
        let off = "schedulerName: mine, plugins: {multiPoint: {disabled: [{name: GangScheduling}]}}";
        assert!(!has(&FILE.replace("schedulerName: mine", off)));
        assert_eq!("Nothing=true".parse::<Gates>(), Err("unrecognized feature gate: Nothing".to_owned()));
    }

    #[test]
    fn a_configuration_that_does_not_fit_is_refused_before_anything_starts() {
        let unknown = FILE.replace("schedulerName: mine", "plugins: {multiPoint: {enabled: [{name: Nobody}]}}");
        let error = options(&unknown, &Registry::default(), Gates::default()).unwrap_err().to_string();
        assert!(error.contains("Nobody"), "{error}");
        assert!(general(&FILE.replace("qps", "speed")).unwrap_err().to_string().contains("speed"));
    }
}
