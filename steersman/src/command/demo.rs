//! `steersman demo`: the control loop, told from what its watches show.

mod narrator;
mod paint;
mod story;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use self::narrator::{Narrator, View};
use self::paint::Paint;
use self::story::{REVISION, condition, image, number, text};
use super::stop;
use crate::Cluster;

/// Enough to see pods being spread.
const NODES: usize = 3;

/// As whom the demonstration writes.
const YOU: &str = "you";

/// The image that is rolled out, besides the manifest's.
const OTHER_IMAGE: &str = "nginx:mainline";

/// What to show.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// The manifest of a Deployment.
    #[arg(long, value_name = "FILE", default_value = "samples/nginx.yaml")]
    manifest: PathBuf,
    /// At the end, apply the manifest again, serve the cluster and wait for Ctrl-C.
    #[arg(long)]
    keep: bool,
}

/// Shows every stage; fails at the first that does not converge.
pub(crate) async fn run(demo: Demo) -> Result<()> {
    let manifest = read(&demo.manifest)?;
    let cluster = Cluster::builder().nodes(NODES).start().await?;
    let mut show = Show::start(cluster.client_of(YOU), manifest).await?;
    show.apply(&format!("You apply {}", demo.manifest.display())).await?;
    show.roll_out().await?;
    show.scale(5).await?;
    show.roll_back().await?;
    show.delete().await?;
    if demo.keep {
        show.apply("You apply it again, to have something to look at").await?;
        let served = cluster.serve(([127, 0, 0, 1], 0)).await?;
        let kubeconfig = PathBuf::from("steersman.kubeconfig");
        served.write_kubeconfig(&kubeconfig)?;
        super::print_connection(&served, &kubeconfig);
        stop::requested().await?;
    }
    cluster.stop().await;
    Ok(())
}

fn read(path: &Path) -> Result<Deployment> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{} is not the manifest of a Deployment", path.display()))
}

struct Show {
    deployments: Api<Deployment>,
    sets: Api<ReplicaSet>,
    manifest: Deployment,
    name: String,
    narrator: Narrator,
}

impl Show {
    async fn start(client: Client, manifest: Deployment) -> Result<Self> {
        Ok(Self {
            name: manifest.metadata.name.clone().context("the Deployment in the manifest has no name")?,
            narrator: Narrator::start(&client, Paint::for_stdout()).await?,
            deployments: Api::default_namespaced(client.clone()),
            sets: Api::default_namespaced(client),
            manifest,
        })
    }

    async fn apply(&mut self, title: &str) -> Result<()> {
        self.narrator.begin(title)?;
        let params = PatchParams::apply(YOU).force();
        let created = self.deployments.patch(&self.name, &params, &Patch::Apply(&self.manifest)).await?;
        self.until_rolled_out(&created).await
    }

    async fn roll_out(&mut self) -> Result<()> {
        self.narrator.begin(&format!("You change the image to {OTHER_IMAGE}"))?;
        let container = self.manifest.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let container = container.and_then(|pod| pod.containers.first()).context("the manifest has no container")?;
        let containers = json!([{"name": container.name, "image": OTHER_IMAGE}]);
        self.change(Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": containers}}}}))).await
    }

    async fn scale(&mut self, replicas: i32) -> Result<()> {
        self.narrator.begin(&format!("You scale to {replicas}"))?;
        self.change(Patch::Merge(json!({"spec": {"replicas": replicas}}))).await
    }

    /// What `kubectl rollout undo` does: takes the template of the revision before.
    async fn roll_back(&mut self) -> Result<()> {
        self.narrator.begin("You roll back")?;
        let sets = self.sets.list(&Default::default()).await?;
        let revision = |set: &&ReplicaSet| -> u64 {
            let revision = set.annotations().get("deployment.kubernetes.io/revision");
            revision.and_then(|revision| revision.parse().ok()).unwrap_or_default()
        };
        let mut sets: Vec<&ReplicaSet> = sets.items.iter().collect();
        sets.sort_by_key(revision);
        let [.., before, _] = sets.as_slice() else {
            anyhow::bail!("there is no earlier revision to roll back to");
        };
        let mut template = serde_json::to_value(before.spec.as_ref().and_then(|spec| spec.template.as_ref()))?;
        if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove("pod-template-hash");
        }
        let template = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
        self.change(Patch::Json(serde_json::from_value(template)?)).await
    }

    async fn delete(&mut self) -> Result<()> {
        self.narrator.begin("You delete the Deployment; what it owns is collected")?;
        self.deployments.delete(&self.name, &DeleteParams::background()).await?;
        let gone = |view: &View| ["Deployment", "ReplicaSet", "Pod"].iter().all(|kind| view.all(kind).next().is_none());
        self.narrator.until(gone, |_| "nothing is left".to_owned()).await
    }

    async fn change(&mut self, patch: Patch<Value>) -> Result<()> {
        let params = PatchParams { field_manager: Some(YOU.to_owned()), ..PatchParams::default() };
        let changed = self.deployments.patch(&self.name, &params, &patch).await?;
        self.until_rolled_out(&changed).await
    }

    /// Waits until status has followed the spec of `wanted`.
    async fn until_rolled_out(&mut self, wanted: &Deployment) -> Result<()> {
        let generation = wanted.metadata.generation.unwrap_or_default();
        let name = self.name.clone();
        let done = |view: &View| view.get("Deployment", &name).is_some_and(|seen| is_done(seen, generation, view));
        let result = |view: &View| view.get("Deployment", &name).map(summary).unwrap_or_default();
        self.narrator.until(done, result).await
    }
}

/// Whether the Deployment's status is that of a finished rollout of this generation and only its pods are left.
fn is_done(deployment: &Value, generation: i64, view: &View) -> bool {
    let wanted = number(deployment, "/spec/replicas");
    let counts = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
    let condition_is = |kind: &str, reason: &str| {
        condition(deployment, kind)
            .is_some_and(|condition| condition["status"] == "True" && condition["reason"] == reason)
    };
    number(deployment, "/status/observedGeneration") >= generation
        && counts.iter().all(|count| number(deployment, &format!("/status/{count}")) == wanted)
        && condition_is("Available", "MinimumReplicasAvailable")
        && condition_is("Progressing", "NewReplicaSetAvailable")
        && view.all("Pod").count() == usize::try_from(wanted).unwrap_or_default()
        && view.all("Pod").all(|pod| image(pod) == image(deployment))
}

fn summary(deployment: &Value) -> String {
    format!(
        "{}/{} available, image {}, revision {}",
        number(deployment, "/status/availableReplicas"),
        number(deployment, "/spec/replicas"),
        image(deployment),
        text(deployment, REVISION),
    )
}
