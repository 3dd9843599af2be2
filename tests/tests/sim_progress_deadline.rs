//! Ten minutes of a rollout that does not get anywhere, in virtual time.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, PostParams};
use serde_json::json;
use steersman::Cluster;
use steersman_tests::manifests::deployment_with;
use steersman_tests::wait::{condition, until_within};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_deployment_whose_pods_never_become_ready_exceeds_its_deadline() {
    let cluster = Cluster::builder().nodes(3).virtual_time().start().await.unwrap();
    let deployments: Api<Deployment> = Api::default_namespaced(cluster.client());
    let unready = json!({
        "progressDeadlineSeconds": 600,
        "template": {"metadata": {"annotations": {"steersman.dev/ready": "false"}}},
    });
    let start = Instant::now();
    deployments.create(&PostParams::default(), &deployment_with("web", 3, unready)).await.unwrap();
    let patience = Duration::from_secs(3600);
    let web = until_within(patience, &deployments, "web", "past its deadline", |web| {
        condition(web.unwrap(), "Progressing").is_some_and(|progressing| progressing.status == "False")
    })
    .await
    .unwrap();

    let waited = start.elapsed();
    assert!((600..=602).contains(&waited.as_secs()), "it took {waited:?} of virtual time");
    let progressing = condition(&web, "Progressing").unwrap();
    assert_eq!(progressing.reason.as_deref(), Some("ProgressDeadlineExceeded"));
    let message = progressing.message.unwrap();
    assert!(
        message.starts_with("ReplicaSet \"web-") && message.ends_with("\" has timed out progressing."),
        "{message}"
    );
    let status = web.status.unwrap();
    assert_eq!(status.unavailable_replicas, Some(3));
    assert_eq!(status.updated_replicas, Some(3));
}
