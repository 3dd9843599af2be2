//! On the cluster that somebody names.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use steersman_tests::chart::NAMESPACE;

use crate::scenarios::{self, Town};

#[tokio::test]
#[cfg_attr(not(given_cluster), ignore = "needs STEERSMAN_E2E_KUBECONFIG: a cluster with the chart installed")]
async fn the_components_steer_the_given_cluster() {
    let path = std::env::var_os("STEERSMAN_E2E_KUBECONFIG").expect("the test is ignored without");
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    // What the chart was installed with.
    let said = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let group = said("STEERSMAN_E2E_API_GROUP", "apps.steersman.dev");
    let scheduler = said("STEERSMAN_E2E_SCHEDULER", "steersman");
    let scheduler = (scheduler != "default-scheduler").then_some(scheduler.as_str());

    let town = Town::settle(client.clone(), &group, scheduler).await;
    scenarios::our_controllers_are_in_charge(&town).await;
    scenarios::our_scheduler_is_in_charge(&town).await;
    scenarios::a_deployment_lives_its_life(&town).await;
    scenarios::a_gang_is_bound_as_a_whole(&town).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    for component in ["controllers", "scheduler"] {
        let leader = scenarios::leader(&client, component, "").await;
        // A replica calls itself after its host, which is its pod.
        let pod = leader.split('_').next().unwrap_or_default();
        pods.delete(pod, &DeleteParams::default().grace_period(0)).await.unwrap();
        scenarios::leader(&client, component, &leader).await;
        town.create(&format!("after-{component}"), 2).await;
        town.complete(&format!("after-{component}")).await;
    }
    scenarios::leave(town).await;
}
