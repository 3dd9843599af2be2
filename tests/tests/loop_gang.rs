//! The Workload API from the request to the binding: a gang is bound when all of it is there, or not at all.

#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, PostParams};
use serde_json::{Value, json};
use steersman::Cluster;
use steersman::scheduler::{Configuration, Options};

async fn create(cluster: &Cluster, kind: &str, object: Value) {
    let gvk = GroupVersionKind::gvk("scheduling.k8s.io", "v1alpha2", kind);
    let api: Api<DynamicObject> = Api::default_namespaced_with(cluster.client(), &ApiResource::from_gvk(&gvk));
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

async fn add(pods: &Api<Pod>, name: &str, cpu: &str) {
    let pod = json!({
        "metadata": { "name": name },
        "spec": {
            "schedulingGroup": { "podGroupName": "g" },
            "containers": [{ "name": "c", "image": "i", "resources": { "requests": { "cpu": cpu } } }],
        },
    });
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
}

async fn bound(pods: &Api<Pod>) -> usize {
    tokio::time::sleep(Duration::from_secs(30)).await;
    let all = pods.list(&ListParams::default()).await.unwrap().items;
    all.iter().filter(|pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some())).count()
}

#[tokio::test(start_paused = true)]
async fn a_gang_of_the_workload_api_is_bound_whole() {
    let builder = Cluster::builder().nodes(2).virtual_time();
    let builder = builder
        .controllers("podgroup-protection".parse().unwrap())
        .api_features("GenericWorkload=true,GangScheduling=true".parse().unwrap())
        .runtime_config("scheduling.k8s.io/v1alpha2=true".parse().unwrap())
        .scheduler(Options { configuration: Configuration::default().with_gang_scheduling(), ..Options::default() });
    let cluster = builder.disable_admission(["ServiceAccount"]).start().await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    let gang = json!({ "gang": { "minCount": 3 } });

    add(&pods, "a", "1").await;
    assert_eq!(bound(&pods).await, 0, "there is no group yet");
    let template = json!({ "name": "t", "schedulingPolicy": gang });
    create(&cluster, "Workload", json!({ "metadata": { "name": "w" }, "spec": { "podGroupTemplates": [template] } }))
        .await;
    let from = json!({ "workload": { "workloadName": "w", "podGroupTemplateName": "t" } });
    let spec = json!({ "podGroupTemplateRef": from, "schedulingPolicy": gang });
    create(&cluster, "PodGroup", json!({ "metadata": { "name": "g" }, "spec": spec })).await;
    add(&pods, "b", "1").await;
    assert_eq!(bound(&pods).await, 0, "there are two of three");
    add(&pods, "c", "1").await;
    assert_eq!(bound(&pods).await, 3);
    let groups: Api<DynamicObject> = Api::default_namespaced_with(
        cluster.client(),
        &ApiResource::from_gvk(&GroupVersionKind::gvk("scheduling.k8s.io", "v1alpha2", "PodGroup")),
    );
    let condition = groups.get("g").await.unwrap().data["status"]["conditions"][0].clone();
    let said = ["type", "status", "reason", "message"].map(|field| condition[field].as_str().unwrap());
    assert_eq!(said, ["PodGroupScheduled", "True", "Scheduled", ""]);

    // It stays while pods belong to it.
    groups.delete("g", &DeleteParams::default()).await.unwrap();
    for (name, last) in [("a", false), ("b", false), ("c", true)] {
        assert!(groups.get("g").await.unwrap().metadata.deletion_timestamp.is_some());
        pods.delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(groups.get_opt("g").await.unwrap().is_none(), last, "{name}");
    }
    cluster.stop().await;
}
