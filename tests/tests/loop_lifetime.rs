//! A cluster starts ready and ends without a trace.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::{Api, ListParams, PostParams};
use steersman::Cluster;
use steersman_machinery::clock::{Clock, FixedClock};
use steersman_tests::manifests::deployment;
use steersman_tests::wait::until_rolled_out;

/// Tells how many owners it has.
struct Counted(Arc<AtomicUsize>);

impl Clock for Counted {
    fn now(&self) -> Timestamp {
        FixedClock(Timestamp::UNIX_EPOCH).now()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_ready_when_it_is_given_out() {
    let cluster = Cluster::builder().nodes(4).virtual_time().start().await.unwrap();
    let nodes = Api::<Node>::all(cluster.client()).list(&ListParams::default()).await.unwrap();
    assert_eq!(nodes.items.len(), 4);
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    let mut map = ConfigMap::default();
    map.metadata.name = Some("a".to_owned());
    maps.create(&PostParams::default(), &map).await.unwrap();
    maps.get("a").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_cluster_leaves_nothing_behind() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let freed = Arc::new(AtomicUsize::new(0));
    let cluster = Cluster::builder().nodes(3).clock(Arc::new(Counted(freed.clone()))).start().await.unwrap();
    let client = cluster.client();
    let deployments = Api::default_namespaced(client.clone());
    deployments.create(&PostParams::default(), &deployment("web", 2)).await.unwrap();
    until_rolled_out(&deployments, "web").await;
    assert!(metrics.num_alive_tasks() > before);
    drop((cluster, client, deployments));
    // Aborted tasks are freed when the runtime comes to them.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(metrics.num_alive_tasks(), before, "tasks are still running");
    assert_eq!(freed.load(Ordering::SeqCst), 1, "somebody still holds the cluster's clock, and with it its state");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_can_be_stopped_in_order() {
    let cluster = Cluster::builder().nodes(3).virtual_time().start().await.unwrap();
    cluster.stop().await;
}

#[tokio::test]
async fn kubectl_and_the_client_in_process_see_one_cluster() {
    let cluster = Cluster::builder().without_scheduler().without_controllers().start().await.unwrap();
    let served = cluster.serve(([127, 0, 0, 1], 0)).await.unwrap();
    let kubeconfig = kube::config::Kubeconfig::from_yaml(served.kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
    let over_tls: Api<ConfigMap> = Api::default_namespaced(kube::Client::try_from(config).unwrap());
    let in_process: Api<ConfigMap> = Api::default_namespaced(cluster.client());

    let mut map = ConfigMap::default();
    map.metadata.name = Some("a".to_owned());
    let created = over_tls.create(&PostParams::default(), &map).await.unwrap();
    assert_eq!(in_process.get("a").await.unwrap(), created);
    // The same pipeline: the same refusal, word for word.
    let errors =
        [over_tls.create(&PostParams::default(), &map).await, in_process.create(&PostParams::default(), &map).await];
    let [one, other] = errors.map(|created| created.unwrap_err().to_string());
    assert_eq!(one, other);
}
