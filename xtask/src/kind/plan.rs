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
    /// A program has to be there, of this version or a newer one if one is named: `program version` tells.
    Require { program: String, version: Option<(u32, u32)>, hint: &'static str },
    /// A file is written.
    Write { path: PathBuf, content: String },
    /// A file is removed if it is there.
    Remove { path: PathBuf },
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
    pub(super) unless: Option<Probe>,
    /// It is run only if this other command prints that line.
    pub(super) when: Option<Probe>,
    /// What takes back what it did by half, and a file that is there while it is under way: whoever finds it knows that
    /// somebody was interrupted, and takes that back first.
    pub(super) undo: Option<(Vec<String>, PathBuf)>,
    /// What to do if it fails.
    pub(super) hint: Option<String>,
}

/// A command, and a line that it may print.
pub(super) type Probe = (Vec<String>, String);

/// Where the chart is installed.
const NAMESPACE: &str = "steersman-system";
/// The release's name, and with it that of its objects.
const RELEASE: &str = "steersman";
const CONFIG: &str = "target/kind/cluster.yaml";
/// Is there while a cluster is being made.
const HALF_MADE: &str = "target/kind/half-made";
/// Only this project's: that of the user is left alone.
const KUBECONFIG: &str = "target/kind/kubeconfig";
/// Where helm works.
const IN_CLUSTER: &str = "--kubeconfig target/kind/kubeconfig --namespace steersman-system";
const ARCHIVE: &str = crate::image::DEFAULT_FILE;
/// What shows that it works.
const SAMPLES: [&str; 2] = ["samples/web.yaml", "samples/nginx.yaml"];

/// A cluster that is steered by our controllers and our scheduler.
pub(super) fn up(wanted: &Wanted) -> Vec<Step> {
    let mut steps = required(wanted);
    steps.push(Step::Write { path: CONFIG.into(), content: config::render(&wanted.node_image) });
    steps.extend(cluster(wanted));
    steps.extend(images(wanted));
    // Whoever binds pods has to be there while ours is replaced.
    if wanted.scheduler == Scheduler::Second {
        steps.push(built_in_scheduler(wanted));
    }
    steps.extend(install(wanted));
    steps.extend(wait());
    if wanted.scheduler == Scheduler::Default {
        steps.push(built_in_scheduler(wanted));
    }
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
    steps.extend([CONFIG, KUBECONFIG, HALF_MADE].map(|path| Step::Remove { path: path.into() }));
    steps
}

/// The nodes, and the way to them.
fn cluster(wanted: &Wanted) -> Vec<Step> {
    let Wanted { cluster: name, engine, node_image, .. } = wanted;
    let pull = Run {
        unless: Some((words(&format!("{engine} image inspect --format present {node_image}")), "present".to_owned())),
        hint: Some(
            "the nodes' image is some 400 MB; behind a proxy, the engine needs to know of it. --node-image takes one that you \
             have"
                .to_owned(),
        ),
        ..run(&format!("{engine} pull {node_image}"))
    };
    // Its deployments wait for our controllers: only the nodes are waited for.
    let create = format!("create cluster --name {name} --config {CONFIG} --kubeconfig {KUBECONFIG} --wait 180s");
    let create = Run {
        unless: Some((wanted.kind("get clusters").command, name.clone())),
        undo: Some((delete(wanted).command, HALF_MADE.into())),
        hint: Some(
            "what there was of the cluster was deleted. kind.sigs.k8s.io/docs/user/known-issues may know why"
                .to_owned(),
        ),
        ..wanted.kind(&create)
    };
    // A cluster from before may have another port, and the file may be gone.
    let export = wanted.kind(&format!("export kubeconfig --name {name} --kubeconfig {KUBECONFIG}"));
    let nodes = Run {
        hint: Some(format!(
            "nodes that were stopped (by a restart of the machine, say) are started by `{engine} start {name}-control-plane \
             {name}-worker {name}-worker2`; a cluster that is beyond help by cargo xtask kind-down and kind-up"
        )),
        ..kubectl("wait --for=condition=Ready nodes --all --timeout 180s")
    };
    [pull, create, export, nodes].map(Step::Run).into()
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
    let require = |program: &str, hint| Step::Require { program: program.to_owned(), version: None, hint };
    vec![
        require(&wanted.engine, engine),
        Step::Require {
            program: "kind".to_owned(),
            version: Some(config::KIND),
            hint: "kind 0.33 or newer: cargo xtask tools puts it into target/tools/kind where apt is; else brew install kind, or \
                   `go install sigs.k8s.io/kind@v0.33.0`",
        },
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
fn install(wanted: &Wanted) -> [Step; 2] {
    let scheduler = match wanted.scheduler {
        Scheduler::Second => "second",
        Scheduler::Default => "default",
    };
    let Wanted { image, tag, .. } = wanted;
    // helm refuses to go on where it was interrupted.
    let take_back = Run {
        when: Some((words(&format!("helm list --pending --short {IN_CLUSTER}")), RELEASE.to_owned())),
        ..run(&format!("helm uninstall {RELEASE} {IN_CLUSTER} --wait"))
    };
    let install = run(&format!(
        "helm upgrade --install {RELEASE} charts/steersman {IN_CLUSTER} --create-namespace \
         --set workloads.apiGroup=apps --set scheduler.mode={scheduler} \
         --set scheduler.plugins={{Coscheduling}} --set image.repository={image} --set image.tag={tag}"
    ));
    [take_back, install].map(Step::Run)
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
            Self::Require { program, hint, .. } => write!(f, "need {program} ({hint})"),
            Self::Remove { path } => write!(f, "remove {}", path.display()),
            Self::Write { path, content } => {
                write!(f, "write {}:", path.display())?;
                content.lines().try_for_each(|line| write!(f, "\n    {line}"))
            }
            Self::Run(run) => {
                write!(f, "run {}", run.command.join(" "))?;
                for (word, probe) in [("unless", &run.unless), ("when", &run.when)] {
                    if let Some((probe, line)) = probe {
                        write!(f, "\n    {word} `{}` prints {line}", probe.join(" "))?;
                    }
                }
                if let Some((undo, marker)) = &run.undo {
                    write!(f, "\n    if that fails, or was interrupted ({}): {}", marker.display(), undo.join(" "))?;
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
