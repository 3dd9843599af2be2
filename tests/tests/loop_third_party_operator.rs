//! An operator as a user of kube-rs writes it, run unmodified against the cluster: its own resource, a finalizer, an owned
//! Deployment, a status.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{GroupVersionKind, Object};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::{wait, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::json;
use steersman::Cluster;
use steersman_tests::wait::until;

#[derive(Clone, Debug, Deserialize, Serialize)]
struct WebsiteSpec {
    image: String,
    replicas: i32,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct WebsiteStatus {
    #[serde(default)]
    ready_replicas: i32,
}

type Website = Object<WebsiteSpec, WebsiteStatus>;

const FINALIZER: &str = "operators.example.com/cleanup";

fn website_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("operators.example.com", "v1", "Website"))
}

fn definition() -> CustomResourceDefinition {
    serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "websites.operators.example.com"},
        "spec": {
            "group": "operators.example.com",
            "scope": "Namespaced",
            "names": {"plural": "websites", "singular": "website", "kind": "Website"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["image"], "properties": {
                        "image": {"type": "string"},
                        "replicas": {"type": "integer", "default": 2},
                    }},
                    "status": {"type": "object", "properties": {"readyReplicas": {"type": "integer"}}},
                }}},
            }],
        },
    }))
    .expect("this is a definition")
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Kube(#[from] kube::Error),
    #[error("the finalizer failed: {0}")]
    Finalizer(#[source] Box<kube::runtime::finalizer::Error<Error>>),
}

/// The Deployment that a Website asks for.
fn deployment_of(website: &Website) -> serde_json::Value {
    let labels = json!({"website": website.name_any()});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": website.name_any(),
            "ownerReferences": [website.controller_owner_ref(&website_resource()).expect("it was read from the API")],
        },
        "spec": {
            "replicas": website.spec.replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "web", "image": website.spec.image}]},
            },
        },
    })
}

async fn apply(website: &Website, client: &Client) -> Result<Action, Error> {
    let namespace = website.namespace().expect("a Website has a namespace");
    let name = website.name_any();
    let params = PatchParams::apply("website-operator").force();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let deployment = deployments.patch(&name, &params, &Patch::Apply(deployment_of(website))).await?;
    let ready = deployment.status.and_then(|status| status.ready_replicas).unwrap_or_default();
    let websites: Api<Website> = Api::namespaced_with(client.clone(), &namespace, &website_resource());
    let status = json!({"status": {"readyReplicas": ready}});
    websites.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(Action::requeue(Duration::from_secs(300)))
}

/// Leaves a note that the website is gone; something that no garbage collector does.
async fn clean_up(website: &Website, client: &Client) -> Result<Action, Error> {
    let notes: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-public");
    let mut note = ConfigMap::default();
    note.metadata.name = Some(format!("closed-{}", website.name_any()));
    notes.create(&PostParams::default(), &note).await?;
    Ok(Action::await_change())
}

async fn reconcile(website: Arc<Website>, client: Arc<Client>) -> Result<Action, Error> {
    let namespace = website.namespace().expect("a Website has a namespace");
    let websites: Api<Website> = Api::namespaced_with((*client).clone(), &namespace, &website_resource());
    finalizer(&websites, FINALIZER, website, |event| async {
        match event {
            Event::Apply(website) => apply(&website, &client).await,
            Event::Cleanup(website) => clean_up(&website, &client).await,
        }
    })
    .await
    .map_err(|error| Error::Finalizer(Box::new(error)))
}

async fn run_operator(client: Client) {
    let websites: Api<Website> = Api::all_with(client.clone(), &website_resource());
    let deployments: Api<Deployment> = Api::all(client.clone());
    Controller::new_with(websites, watcher::Config::default(), website_resource())
        .owns(deployments, watcher::Config::default())
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_secs(1)), Arc::new(client))
        .for_each(|_| async {})
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_kube_runtime_controller_runs_unmodified() {
    let cluster = Cluster::builder().nodes(3).virtual_time().start().await.unwrap();
    let client = cluster.client();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply("website-operator");
    definitions.patch("websites.operators.example.com", &params, &Patch::Apply(definition())).await.unwrap();
    let established = wait::conditions::is_crd_established();
    let established = wait::await_condition(definitions, "websites.operators.example.com", established);
    tokio::time::timeout(Duration::from_secs(60), established).await.expect("it is established soon").unwrap();
    let operator = tokio::spawn(run_operator(cluster.client_of("website-operator/1")));

    let websites: Api<Website> = Api::default_namespaced_with(client.clone(), &website_resource());
    let mut website =
        Website::new("blog", &website_resource(), WebsiteSpec { image: "blog:1".to_owned(), replicas: 2 });
    website.metadata.namespace = Some("default".to_owned());
    websites.create(&PostParams::default(), &website).await.unwrap();
    let ready = |wanted| {
        move |website: Option<&Website>| {
            website.and_then(|website| website.status.as_ref()).is_some_and(|status| status.ready_replicas == wanted)
        }
    };
    until(&websites, "blog", "ready", ready(2)).await;
    let scale = Patch::Merge(json!({"spec": {"replicas": 4}}));
    websites.patch("blog", &PatchParams::default(), &scale).await.unwrap();
    until(&websites, "blog", "scaled", ready(4)).await;

    websites.delete("blog", &DeleteParams::default()).await.unwrap();
    until(&websites, "blog", "gone", |website| website.is_none()).await;
    let notes: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-public");
    notes.get("closed-blog").await.expect("the finalizer ran");
    let deployments: Api<Deployment> = Api::default_namespaced(client);
    until(&deployments, "blog", "collected", |deployment| deployment.is_none()).await;
    operator.abort();
}
