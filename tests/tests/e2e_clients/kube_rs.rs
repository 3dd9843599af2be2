//! kube-rs, over TLS from a kubeconfig: what its users build from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::wait::Condition;
use kube::runtime::{reflector, wait, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;
use steersman_tests::manifests::deployment;
use steersman_tests::site::Site;

const FINALIZER: &str = "example.com/copies";
const COPY_OF: &str = "example.com/copy-of";

/// Keeps a second ConfigMap equal to each that has the label, and takes it away by finalizer.
async fn reconcile(
    source: Arc<ConfigMap>,
    client: Arc<Client>,
) -> Result<Action, kube::runtime::finalizer::Error<kube::Error>> {
    let api: Api<ConfigMap> = Api::namespaced(Client::clone(&client), "default");
    let copy = format!("{}-copy", source.name_any());
    finalizer(&api, FINALIZER, source, |event| async {
        match event {
            Event::Apply(source) => {
                let body = json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": copy, "annotations": {COPY_OF: source.name_any()}},
                    "data": source.data,
                });
                api.patch(&copy, &PatchParams::apply("copier").force(), &Patch::Apply(body)).await?;
            }
            Event::Cleanup(_) => {
                api.delete(&copy, &DeleteParams::default()).await?;
            }
        }
        Ok(Action::await_change())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_with_a_finalizer_keeps_copies() {
    let site = Site::start().await;
    let client = site.kube().await;
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let controller = Controller::new(api.clone(), watcher::Config::default().labels("copy=yes"))
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(50)), Arc::new(client))
        .for_each(|_| async {});
    let controller = tokio::spawn(controller);
    let source: ConfigMap = serde_json::from_value(json!({
        "metadata": {"name": "a", "labels": {"copy": "yes"}}, "data": {"color": "red"},
    }))
    .unwrap();
    api.create(&PostParams::default(), &source).await.unwrap();
    let color = |value: &'static str| {
        move |copy: Option<&ConfigMap>| {
            copy.and_then(|it| it.data.as_ref()).is_some_and(|data| data.get("color").is_some_and(|it| it == value))
        }
    };
    wait::await_condition(api.clone(), "a-copy", color("red")).await.unwrap();
    let blue = Patch::Merge(json!({"data": {"color": "blue"}}));
    api.patch("a", &PatchParams::default(), &blue).await.unwrap();
    wait::await_condition(api.clone(), "a-copy", color("blue")).await.unwrap();
    let uid = api.get("a").await.unwrap().uid().unwrap();
    api.delete("a", &DeleteParams::default()).await.unwrap();
    wait::await_condition(api.clone(), "a", wait::conditions::is_deleted(&uid)).await.unwrap();
    assert!(api.get_opt("a-copy").await.unwrap().is_none(), "the copy outlived its source");
    controller.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reflector_holds_what_a_list_holds() {
    let site = Site::start().await;
    let client = site.kube().await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    deployments.create(&PostParams::default(), &deployment("web", 5)).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client, "default");
    for streaming in [false, true] {
        let (store, writer) = reflector::store();
        let configuration = watcher::Config::default().labels("app=web");
        let configuration = if streaming { configuration.streaming_lists() } else { configuration };
        let mut events = reflector(writer, watcher(pods.clone(), configuration)).boxed();
        let ready = |pod: &Pod| wait::conditions::is_pod_running().matches_object(Some(pod));
        while store.state().iter().filter(|pod| ready(pod)).count() < 5 {
            events.next().await.expect("the watch goes on").expect("it has no errors");
        }
        let listed = pods.list(&ListParams::default().labels("app=web")).await.unwrap();
        let names =
            |pods: Vec<&Pod>| pods.into_iter().map(|pod| (pod.name_any(), pod.uid())).collect::<BTreeMap<_, _>>();
        let held = store.state();
        assert_eq!(names(held.iter().map(AsRef::as_ref).collect()), names(listed.items.iter().collect()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_made_once_and_changed_where_it_stands() {
    let site = Site::start().await;
    let api: Api<ConfigMap> = Api::namespaced(site.kube().await, "default");
    for expected in ["1", "2", "3"] {
        let mut entry = api.entry("counter").await.unwrap().or_insert(|| ConfigMap {
            metadata: kube::core::ObjectMeta { name: Some("counter".into()), ..Default::default() },
            ..ConfigMap::default()
        });
        let data = entry.get_mut().data.get_or_insert_default();
        let next = data.get("n").and_then(|n| n.parse::<u32>().ok()).unwrap_or(0) + 1;
        data.insert("n".into(), next.to_string());
        entry.commit(&PostParams::default()).await.unwrap();
        assert_eq!(api.get("counter").await.unwrap().data.unwrap()["n"], expected);
    }
}
