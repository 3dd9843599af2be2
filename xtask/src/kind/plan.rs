//! What is to be done, as a list: a pure function of what was asked for. `execute` does it, `--dry-run` prints it.

use std::fmt;
use std::path::PathBuf;

use super::config;

/// What somebody asked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// The cluster's name.
    pub(super) cluster: String,
    /// docker or podman.
    pub(super) engine: String,
    /// What the nodes run.
    pub(super) node_image: String,
    /// Whether our scheduler is the one for every pod, or for those that name it.
    pub(super) scheduler: Scheduler,
    /// The image of our programs.
    pub(super) image: String,
    /// Its tag.
    pub(super) tag: String,
}

/// For which pods ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Scheduler {
    /// For those with `schedulerName: steersman`; the built-in one does the rest.
    Second,
    /// For all; the built-in one is stopped.
    Default,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A program has to be there.
    Require { program: String, hint: &'static str },
    /// A file is written.
    Write { path: PathBuf, content: String },
    /// A program is run.
    Run(Run),
    /// A person is told.
    Say(String),
}

/// A program to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// The program and its arguments.
    pub(super) command: Vec<String>,
    /// It is not run if this other command prints that line.
    pub(super) unless: Option<(Vec<String>, String)>,
    /// What takes back what it did by half.
    pub(super) undo: Option<Vec<String>>,
}

/// Where the chart is installed.
pub(super) const NAMESPACE: &str = "steersman-system";
/// The release's name, and with it that of its objects.
const RELEASE: &str = "steersman";
const CONFIG: &str = "target/kind/cluster.yaml";
/// Only this project's: that of the user is left alone.
pub(super) const KUBECONFIG: &str = "target/kind/kubeconfig";
const ARCHIVE: &str = crate::image::DEFAULT_FILE;
/// What shows that it works.
const SAMPLES: [&str; 2] = ["samples/web.yaml", "samples/nginx.yaml"];

/// A cluster that is steered by our controllers and our scheduler.
pub(super) fn up(wanted: &Wanted) -> Vec<Step> {
    let name = &wanted.cluster;
    let mut steps = required(wanted);
    steps.push(Step::Write { path: CONFIG.into(), content: config::render(&wanted.node_image) });
    // Its deployments wait for our controllers: only the nodes are waited for.
    let create = format!("create cluster --name {name} --config {CONFIG} --kubeconfig {KUBECONFIG} --wait 180s");
    steps.push(Step::Run(Run {
        unless: Some((wanted.kind("get clusters").command, name.clone())),
        undo: Some(delete(wanted).command),
        ..wanted.kind(&create)
    }));
    // A cluster from before may have another port, and the file may be gone.
    steps.push(Step::Run(wanted.kind(&format!("export kubeconfig --name {name} --kubeconfig {KUBECONFIG}"))));
    steps.extend(images(wanted));
    steps.push(install(wanted));
    steps.extend(wait());
    steps.push(built_in_scheduler(wanted));
    for sample in SAMPLES {
        steps.push(Step::Run(kubectl(&format!("apply -f {sample}"))));
    }
    steps.push(Step::Run(kubectl("rollout status deployment/web --timeout 180s")));
    steps.push(Step::Say(to_try(wanted)));
    steps
}

/// The cluster goes, with what was written for it.
pub(super) fn down(wanted: &Wanted) -> Vec<Step> {
    let mut steps = required(wanted);
    steps.truncate(2);
    steps.push(Step::Run(delete(wanted)));
    steps
}

/// The programs are built anew and the running ones replaced.
pub(super) fn load(wanted: &Wanted) -> Vec<Step> {
    let mut steps = required(wanted);
    steps.extend(images(wanted));
    let restart =
        format!("rollout restart deployment,statefulset -n {NAMESPACE} -l app.kubernetes.io/instance={RELEASE}");
    steps.push(Step::Run(kubectl(&restart)));
    steps.extend(wait());
    steps
}

fn required(wanted: &Wanted) -> Vec<Step> {
    let engine = match wanted.engine.as_str() {
        "podman" => "install podman from your distribution, or use --engine docker",
        _ => "install Docker Engine or Docker Desktop and start it, or use --engine podman",
    };
    let tools = "cargo xtask tools puts it into target/tools/bin";
    let require = |program: &str, hint| Step::Require { program: program.to_owned(), hint };
    vec![
        require(&wanted.engine, engine),
        require(
            "kind",
            "kind 0.33 or newer: apt-get install kind, brew install kind, or `go install sigs.k8s.io/kind@v0.33.0`",
        ),
        require("kubectl", tools),
        require("helm", tools),
    ]
}

fn images(wanted: &Wanted) -> Vec<Step> {
    let Wanted { cluster, image, tag, .. } = wanted;
    vec![
        Step::Run(run(&format!("cargo xtask image --out {ARCHIVE} --name {image} --tag {tag}"))),
        Step::Run(wanted.kind(&format!("load image-archive {ARCHIVE} --name {cluster}"))),
    ]
}

/// Installs the chart, or brings it to what is wanted now.
fn install(wanted: &Wanted) -> Step {
    let scheduler = match wanted.scheduler {
        Scheduler::Second => "second",
        Scheduler::Default => "default",
    };
    let Wanted { image, tag, .. } = wanted;
    Step::Run(run(&format!(
        "helm upgrade --install {RELEASE} charts/steersman --kubeconfig {KUBECONFIG} --namespace {NAMESPACE} \
         --create-namespace --set workloads.apiGroup=apps --set scheduler.mode={scheduler} \
         --set image.repository={image} --set image.tag={tag}"
    )))
}

/// The controllers first: they bring up the scheduler.
fn wait() -> Vec<Step> {
    ["statefulset/steersman-controllers", "deployment/steersman-scheduler"]
        .map(|workload| kubectl(&format!("rollout status {workload} -n {NAMESPACE} --timeout 180s")))
        .map(Step::Run)
        .into()
}

fn delete(wanted: &Wanted) -> Run {
    wanted.kind(&format!("delete cluster --name {} --kubeconfig {KUBECONFIG}", wanted.cluster))
}

/// Stops the built-in scheduler, which the kubelet runs as long as its manifest lies where it looks; or has it back.
fn built_in_scheduler(wanted: &Wanted) -> Step {
    let (from, to) = match wanted.scheduler {
        Scheduler::Second => (ASIDE, MANIFESTS),
        Scheduler::Default => (MANIFESTS, ASIDE),
    };
    let Wanted { engine, cluster, .. } = wanted;
    let within = format!("{engine} exec {cluster}-control-plane");
    let file = "kube-scheduler.yaml";
    Step::Run(Run {
        unless: Some((words(&format!("{within} ls {to}")), file.to_owned())),
        ..run(&format!("{within} mv {from}/{file} {to}/{file}"))
    })
}

/// Where the kubelet of the control plane looks for what it is to run.
const MANIFESTS: &str = "/etc/kubernetes/manifests";
/// And where it does not.
const ASIDE: &str = "/etc/kubernetes";

fn to_try(wanted: &Wanted) -> String {
    let scheduler = match wanted.scheduler {
        Scheduler::Second => "put `schedulerName: steersman` into a pod and see who binds it:",
        Scheduler::Default => "our scheduler binds every pod:",
    };
    format!(
        "\nThe cluster is steered by Steersman. To try:\n\n\
         \x20   export KUBECONFIG=$PWD/{KUBECONFIG}\n\
         \x20   kubectl get deployments,pods -o wide\n\
         \x20   kubectl set image deployment/web web=nginx:mainline && kubectl rollout status deployment/web\n\
         \x20   kubectl rollout undo deployment/web\n\
         \x20   kubectl get deployment web --show-managed-fields -o yaml   # who wrote the status\n\n\
         {scheduler}\n\n\
         \x20   kubectl get events --field-selector reason=Scheduled\n\n\
         After a change of the code: cargo xtask kind-load. To end: cargo xtask kind-down.\n"
    )
}

impl Wanted {
    /// kind, told which engine has the nodes.
    fn kind(&self, arguments: &str) -> Run {
        match self.engine.as_str() {
            "docker" => run(&format!("kind {arguments}")),
            engine => run(&format!("env KIND_EXPERIMENTAL_PROVIDER={engine} kind {arguments}")),
        }
    }
}

fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(str::to_owned).collect()
}

fn run(command: &str) -> Run {
    Run { command: words(command), ..Run::default() }
}

fn kubectl(arguments: &str) -> Run {
    run(&format!("kubectl --kubeconfig {KUBECONFIG} {arguments}"))
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Require { program, hint } => write!(f, "need {program} ({hint})"),
            Self::Write { path, content } => {
                write!(f, "write {}:", path.display())?;
                content.lines().try_for_each(|line| write!(f, "\n    {line}"))
            }
            Self::Run(run) => {
                write!(f, "run {}", run.command.join(" "))?;
                if let Some((probe, line)) = &run.unless {
                    write!(f, "\n    unless `{}` prints {line}", probe.join(" "))?;
                }
                if let Some(undo) = &run.undo {
                    write!(f, "\n    if that fails: {}", undo.join(" "))?;
                }
                Ok(())
            }
            Self::Say(text) => {
                f.write_str("say")?;
                text.trim()
                    .lines()
                    .try_for_each(|line| if line.is_empty() { writeln!(f) } else { write!(f, "\n    {line}") })
            }
        }
    }
}

#[cfg(test)]
mod tests;
