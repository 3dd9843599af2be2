//! The plugin changes where pods go.

#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::json;
use steersman::kubelet::{self, NodeTemplate};
use steersman::{Cluster, scheduler};

/// A node that costs something, with room for a pod.
fn node(name: &str, cpu: &str, cents: &str) -> NodeTemplate {
    let mut node = NodeTemplate { name: name.to_owned(), ..NodeTemplate::default() };
    node.capacity.insert("cpu".to_owned(), cpu.to_owned());
    node.labels.insert("example.com/cents-per-hour".to_owned(), cents.to_owned());
    node
}

/// Where a pod goes that asks for this scheduler, if the cheap node is small and the large one is expensive.
async fn placed_by(scheduler_name: &str) -> String {
    let configuration = scheduler::Configuration::from_yaml(include_str!("../config.yaml")).unwrap();
    let plugins = steersman_sample_scheduler_plugin::plugins();
    let nodes = vec![node("small", "2", "7"), node("large", "64", "90")];
    let cluster = Cluster::builder()
        .virtual_time()
        .without_controllers()
        .disable_admission(["ServiceAccount"])
        .scheduler(scheduler::Options { configuration, plugins, ..scheduler::Options::default() })
        .kubelet(kubelet::Options { nodes, ..kubelet::Options::default() })
        .start()
        .await
        .unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    let pod = json!({
        "metadata": {"name": "a"},
        "spec": {
            "schedulerName": scheduler_name,
            "containers": [{"name": "app", "image": "nginx:1", "resources": {"requests": {"cpu": "1"}}}],
        },
    });
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let bound = |pod: Option<&Pod>| pod.is_some_and(|pod| node_of(pod).is_some());
    let waited = tokio::time::timeout(Duration::from_secs(30), await_condition(pods, "a", bound)).await;
    node_of(&waited.expect("it is bound soon").unwrap().unwrap()).unwrap()
}

fn node_of(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.node_name.clone()
}

#[tokio::test(start_paused = true)]
async fn thrifty_pods_go_to_the_cheap_node_and_others_to_the_idle_one() {
    assert_eq!(placed_by("default-scheduler").await, "large");
    assert_eq!(placed_by("thrifty").await, "small");
}
