//! `steersman schedule`: where pods would go, and why, without a cluster.

mod plot;
mod table;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use steersman_framework::clock::SystemClock;
use steersman_machinery::random::Random;

use crate::scheduler::cycle::Limits;
use crate::scheduler::simulation::{Report, Simulation, objects};
use crate::scheduler::{Configuration, Options};

/// What to schedule, and where.
#[derive(Args, Debug)]
pub(crate) struct Schedule {
    /// What the cluster has, as `kubectl get nodes,pods,… -A -o yaml` prints it; may be given again.
    #[arg(long, value_name = "FILE", required = true)]
    cluster: Vec<PathBuf>,
    /// The pods to schedule, or what has a template for pods; those of the cluster that have no node if it is left out. A
    /// node that they name already plays no role.
    #[arg(long, value_name = "FILE")]
    pods: Vec<PathBuf>,
    /// A KubeSchedulerConfiguration; kube-scheduler's defaults if it is left out.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Another KubeSchedulerConfiguration, to compare with.
    #[arg(long, value_name = "FILE", conflicts_with = "explain")]
    compare: Option<PathBuf>,
    /// Tell for each pod what every plugin says about the nodes.
    #[arg(long)]
    explain: bool,
    /// Draw how the nodes are used, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
    /// Chooses between equally good nodes: the same number, the same choices.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For both.
    Yaml,
}

/// A configuration under its name, and what becomes of the pods with it.
struct Run {
    name: String,
    report: Report,
}

/// Schedules, and prints what became of it.
pub(crate) fn run(schedule: &Schedule) -> Result<()> {
    let cluster = read_all(&schedule.cluster)?;
    let pods = if schedule.pods.is_empty() { None } else { Some(read_all(&schedule.pods)?) };
    let workload = Workload { schedule, cluster: &cluster, pods: pods.as_deref() };
    let mut runs = vec![workload.run(schedule.config.as_deref())?];
    if let Some(other) = &schedule.compare {
        runs.push(workload.run(Some(other))?);
    }
    if let Some(path) = &schedule.plot {
        fs::write(path, plot::svg(&runs)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let text = render(schedule, &runs)?;
    // Nobody may want to read it to the end (`| head`).
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(())
}

struct Workload<'a> {
    schedule: &'a Schedule,
    cluster: &'a [(String, Vec<Value>)],
    pods: Option<&'a [(String, Vec<Value>)]>,
}

impl Workload<'_> {
    fn run(&self, config: Option<&Path>) -> Result<Run> {
        let configuration = match config {
            Some(path) => Configuration::from_yaml(&read(path)?).with_context(|| path.display().to_string())?,
            None => Configuration::default(),
        };
        let name = config.map_or_else(|| "default".to_owned(), |path| path.display().to_string());
        let options = Options { configuration, ..Options::default() };
        let random = Random::seeded(self.schedule.seed);
        let mut simulation = Simulation::new(&options, Arc::new(SystemClock), &random).with_context(|| name.clone())?;
        for (file, objects) in self.cluster {
            simulation.add(objects).with_context(|| file.clone())?;
        }
        if simulation.nodes() == 0 {
            let files: Vec<&str> = self.cluster.iter().map(|(file, _)| file.as_str()).collect();
            bail!("{}: there are no nodes; dump them with: kubectl get nodes,pods -A -o yaml", files.join(", "));
        }
        if self.schedule.explain {
            let readable = self.schedule.output == Form::Table;
            simulation.explain(if readable { Limits::READABLE } else { Limits::NONE });
        }
        if let Some(files) = self.pods.filter(|files| files.iter().all(|(_, objects)| objects.is_empty())) {
            let files: Vec<&str> = files.iter().map(|(file, _)| file.as_str()).collect();
            bail!("{}: there are no pods, and nothing that has a template for pods", files.join(", "));
        }
        let report = match self.pods {
            // In one go, so that pods of different files count for each other.
            Some([(file, pods)]) => simulation.schedule(pods).with_context(|| file.clone())?,
            Some(files) => {
                let all: Vec<Value> = files.iter().flat_map(|(_, pods)| pods).cloned().collect();
                simulation.schedule(&all)?
            }
            None => {
                let pending = simulation.pending().to_vec();
                if pending.is_empty() {
                    bail!("every pod has a node: say which pods to schedule with --pods");
                }
                simulation.schedule(&pending)?
            }
        };
        Ok(Run { name, report })
    }
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<(String, Vec<Value>)>> {
    let read = |path: &PathBuf| {
        let name = path.display().to_string();
        let objects = objects(&read(path)?).with_context(|| name.clone())?;
        Ok((name, objects))
    };
    paths.iter().map(read).collect()
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn render(schedule: &Schedule, runs: &[Run]) -> Result<String> {
    let value = || match runs {
        [run] => json!(run.report),
        runs => runs.iter().map(|run| json!({"configuration": run.name, "report": run.report})).collect(),
    };
    Ok(match schedule.output {
        Form::Table => table::text(runs, schedule.explain),
        Form::Json => format!("{}\n", serde_json::to_string_pretty(&value())?),
        Form::Yaml => serde_saphyr::to_string(&value())?,
    })
}
