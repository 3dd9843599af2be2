//! One seed, one trace: a scenario that is run again writes the same to the API, in the same order.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use steersman::{Cluster, Write};
use steersman_tests::manifests::{deployment, image_patch};
use steersman_tests::wait::{until, until_rolled_out};

/// Two rollouts side by side, a change of image, a scaling, a deletion.
async fn scenario(seed: u64) -> Vec<Write> {
    let cluster = Cluster::builder().nodes(5).seed(seed).virtual_time().record_writes().start().await.unwrap();
    let deployments: Api<Deployment> = Api::default_namespaced(cluster.client());
    for name in ["a", "b"] {
        deployments.create(&PostParams::default(), &deployment(name, 4)).await.unwrap();
    }
    for name in ["a", "b"] {
        until_rolled_out(&deployments, name).await;
    }
    let patch = Patch::Strategic(image_patch("app:2"));
    deployments.patch("a", &PatchParams::default(), &patch).await.unwrap();
    until_rolled_out(&deployments, "a").await;
    deployments.delete("b", &DeleteParams::foreground()).await.unwrap();
    until(&deployments, "b", "gone", |deployment| deployment.is_none()).await;
    cluster.writes()
}

#[test]
fn one_seed_gives_one_trace_of_writes() {
    let run = |seed| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(scenario(seed))
    };
    let (first, second) = (run(7), run(7));
    // More than the nodes' leases alone: pods were made, bound, run, replaced and deleted.
    assert!(first.len() > 100, "only {} writes", first.len());
    for (at, (first, second)) in first.iter().zip(&second).enumerate() {
        assert_eq!(first, second, "write {at}");
    }
    assert_eq!(first.len(), second.len());
    assert_ne!(first, run(8), "the seed has no effect");
}
