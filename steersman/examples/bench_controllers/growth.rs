//! What one change costs while the cluster grows: it must not depend on what else there is.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::load::{Load, apply, cpu_time, until_pods, until_served};
use crate::world::World;

/// Changes that are made one after another.
const CHANGES: usize = 200;
/// Pods of a Deployment.
const REPLICAS: usize = 10;

/// Prints what a change costs in clusters with so many pods.
pub(crate) async fn measure(sizes: &[usize]) -> Result<()> {
    println!("{:<40} {:>12} {:>12}", "one Deployment scaled by one, in process", "time", "CPU");
    for pods in sizes {
        let load = Load { deployments: (pods / REPLICAS).max(1), replicas: REPLICAS };
        let running = World::InProcess.start(0).await?;
        let client = running.client.clone();
        until_served(&client).await?;
        apply(&client, &load).await?;
        until_pods(&client, load.deployments * REPLICAS).await?;
        // What the load left in queues is worked off.
        sleep(Duration::from_secs(2)).await;
        let (begun, cpu) = (Instant::now(), cpu_time()?);
        change(&client).await?;
        let each = |time: Duration| format!("{:.0} us", time.as_secs_f64() * 1e6 / CHANGES as f64);
        let cpu = cpu_time()?.saturating_sub(cpu);
        println!("{:<40} {:>12} {:>12}", format!("among {pods} pods"), each(begun.elapsed()), each(cpu));
    }
    Ok(())
}

async fn change(client: &Client) -> Result<()> {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    for number in 0..CHANGES {
        let replicas = REPLICAS + 1 - number % 2;
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let patched = deployments.patch("web-0", &PatchParams::default(), &patch).await?;
        let begun = Instant::now();
        loop {
            let status = deployments.get("web-0").await?.status.unwrap_or_default();
            let counted = status.replicas == i32::try_from(replicas).ok();
            if counted && status.observed_generation == patched.metadata.generation {
                break;
            }
            ensure!(begun.elapsed() < Duration::from_secs(60), "not scaled: {status:?}");
            sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(())
}
