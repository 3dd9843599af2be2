//! What a change costs does not depend on what else there is: the controllers ask for nothing but what changed.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use steersman::Cluster;
use steersman_tests::manifests::{deployment, image_patch};
use steersman_tests::wait::{until, until_rolled_out};

/// What the controllers ask for when a Deployment is scaled, rolled out and deleted beside `others`.
async fn requests(others: usize) -> BTreeMap<String, usize> {
    let cluster = Cluster::builder().nodes(2).virtual_time().record_requests().start().await.unwrap();
    let deployments: Api<Deployment> = Api::default_namespaced(cluster.client());
    let names: Vec<String> = (0..others).map(|other| format!("other-{other}")).collect();
    for name in names.iter().map(String::as_str).chain(["web"]) {
        deployments.create(&PostParams::default(), &deployment(name, 2)).await.unwrap();
    }
    for name in names.iter().map(String::as_str).chain(["web"]) {
        until_rolled_out(&deployments, name).await;
    }
    // What is still under way ends.
    tokio::time::sleep(Duration::from_secs(5)).await;
    cluster.audit().clear();

    for patch in [json!({"spec": {"replicas": 3}}), image_patch("app:2")] {
        deployments.patch("web", &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
        until_rolled_out(&deployments, "web").await;
    }
    deployments.delete("web", &DeleteParams::foreground()).await.unwrap();
    until(&deployments, "web", "gone", |deployment| deployment.is_none()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;

    asked(&cluster)
}

/// What the controllers have asked for.
fn asked(cluster: &Cluster) -> BTreeMap<String, usize> {
    let audit = cluster.audit();
    assert_eq!(audit.dropped(), 0);
    let ours = audit.matching(|record| record.user_agent.starts_with("kube-controller-manager"));
    let mut counts = BTreeMap::new();
    for record in ours {
        let info = &record.info;
        // Watches begin anew by time, and what is served is asked by time.
        if info.is_resource && info.verb != "watch" && info.resource != "leases" && info.resource != "events" {
            *counts.entry(format!("{} {}", info.verb, info.resource)).or_default() += 1;
        }
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn a_change_costs_the_same_in_a_small_and_in_a_large_cluster() {
    let small = requests(1).await;
    assert!(small.keys().all(|what| !what.starts_with("list")), "{small:?}");
    assert_eq!(small["create pods"], 4, "{small:?}");
    assert_eq!(small, requests(12).await);
}

/// What the controllers ask for while so many Deployments of one pod each come to be.
async fn births(count: usize) -> BTreeMap<String, usize> {
    let cluster = Cluster::builder().nodes(2).virtual_time().record_requests().start().await.unwrap();
    let deployments: Api<Deployment> = Api::default_namespaced(cluster.client());
    // The collector begins to watch everything.
    tokio::time::sleep(Duration::from_secs(5)).await;
    cluster.audit().clear();
    for number in 0..count {
        deployments.create(&PostParams::default(), &deployment(&format!("web-{number}"), 1)).await.unwrap();
    }
    for number in 0..count {
        until_rolled_out(&deployments, &format!("web-{number}")).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    asked(&cluster)
}

#[tokio::test(start_paused = true)]
async fn a_deployment_of_one_pod_costs_the_same_whether_it_is_one_or_one_of_many() {
    let (one, many) = (births(1).await, births(40).await);
    let most = [("create pods", 1), ("create replicasets", 1), ("update deployments", 3), ("update replicasets", 3)];
    let most: BTreeMap<String, usize> = most.map(|(what, count)| (what.to_owned(), count)).into();
    for (counts, deployments) in [(one, 1), (many, 40)] {
        assert!(counts.keys().eq(most.keys()), "nothing is read: {counts:?}");
        assert!(counts.iter().all(|(what, count)| *count <= deployments * most[what]), "{counts:?}");
    }
}
