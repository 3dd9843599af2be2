//! Deployments from apply to all pods existing, to all pods ready, and to all pods replaced.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::PEER;
use crate::world::World;

/// Pods that fit on a node.
const PODS_PER_NODE: usize = 100;
/// How many requests of this program are under way.
const AT_ONCE: usize = 16;
/// Nothing measured here takes that long.
const PATIENCE: Duration = Duration::from_secs(900);
/// How often it is looked whether it is done.
const LOOK: Duration = Duration::from_millis(10);

/// How many Deployments of how many pods.
pub(crate) struct Load {
    /// Deployments.
    pub(crate) deployments: usize,
    /// Pods of each.
    pub(crate) replicas: usize,
}

impl Load {
    fn pods(&self) -> usize {
        self.deployments * self.replicas
    }
}

/// Measures a load in a world, and prints a line.
pub(crate) async fn measure(world: &World, load: &Load) -> Result<()> {
    let exist = {
        let running = world.start(0).await?;
        until_served(&running.client).await?;
        let (begun, cpu) = (Instant::now(), cpu_time()?);
        apply(&running.client, load).await?;
        until_pods(&running.client, load.pods()).await?;
        (begun.elapsed(), cpu_time()?.saturating_sub(cpu))
    };
    // A rolling update needs room for a quarter more, and for pods that are on their way out.
    let running = world.start(load.pods().div_ceil(PODS_PER_NODE) * 3 / 2 + 1).await?;
    until_served(&running.client).await?;
    let begun = Instant::now();
    apply(&running.client, load).await?;
    until_rolled_out(&running.client, load, 1).await?;
    let ready = begun.elapsed();
    let begun = Instant::now();
    update(&running.client, load).await?;
    until_rolled_out(&running.client, load, 2).await?;
    let rolled = begun.elapsed();

    let (time, cpu) = exist;
    let rate = load.pods() as f64 / time.as_secs_f64();
    println!(
        "{:<10} {:>16} {:>8.2} s {:>10.0} {:>8.1} {:>9.0} us {:>9.1} s {:>8.1} s",
        world.name(),
        format!("{} x {}", load.deployments, load.replicas),
        time.as_secs_f64(),
        rate,
        rate / PEER,
        cpu.as_secs_f64() * 1e6 / load.pods() as f64,
        ready.as_secs_f64(),
        rolled.as_secs_f64(),
    );
    Ok(())
}

/// The processor time of this process; in process it is all there is, over TLS it is that of the controllers.
pub(crate) fn cpu_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name, which may have spaces, stands in parentheses; user and system time come 11 and 12 fields behind it, in
    // hundredths of a second.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace().skip(11).take(2));
    let ticks: u64 = fields.context("no times")?.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(10 * ticks))
}

fn deployment(name: &str, replicas: usize) -> Result<Deployment> {
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": "app:1"}]},
            },
        },
    }))?)
}

/// Waits until pods can be made.
pub(crate) async fn until_served(client: &Client) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
    let begun = Instant::now();
    while accounts.get_opt("default").await?.is_none() {
        ensure!(begun.elapsed() < PATIENCE, "the controllers did not start");
        sleep(LOOK).await;
    }
    Ok(())
}

pub(crate) async fn apply(client: &Client, load: &Load) -> Result<()> {
    let deployments: &Api<Deployment> = &Api::default_namespaced(client.clone());
    let create = |number: usize| async move {
        let deployment = deployment(&format!("web-{number}"), load.replicas)?;
        deployments.create(&PostParams::default(), &deployment).await.context("a Deployment could not be created")
    };
    stream::iter((0..load.deployments).map(create)).buffer_unordered(AT_ONCE).try_for_each(|_| async { Ok(()) }).await
}

async fn update(client: &Client, load: &Load) -> Result<()> {
    let deployments: &Api<Deployment> = &Api::default_namespaced(client.clone());
    let patch = &Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": [
        {"name": "main", "image": "app:2"},
    ]}}}}));
    let patch = |number: usize| async move {
        deployments.patch(&format!("web-{number}"), &PatchParams::default(), patch).await.context("not patched")
    };
    stream::iter((0..load.deployments).map(patch)).buffer_unordered(AT_ONCE).try_for_each(|_| async { Ok(()) }).await
}

/// Waits until there are so many pods. The server counts them.
pub(crate) async fn until_pods(client: &Client, count: usize) -> Result<()> {
    let begun = Instant::now();
    loop {
        let request = http::Request::get("/api/v1/namespaces/default/pods?limit=1").body(Vec::new())?;
        let list: serde_json::Value = client.request(request).await?;
        let present = list["items"].as_array().map_or(0, Vec::len);
        let more = list["metadata"]["remainingItemCount"].as_u64().unwrap_or_default();
        if present + more as usize >= count {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "there are {} pods", present + more as usize);
        sleep(LOOK).await;
    }
}

/// Waits until every Deployment has its pods of that generation, and no others.
async fn until_rolled_out(client: &Client, load: &Load, generation: i64) -> Result<()> {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let is_done = |deployment: &Deployment| {
        let status = deployment.status.clone().unwrap_or_default();
        let all = i32::try_from(load.replicas).ok();
        let counts = [status.available_replicas, status.updated_replicas, status.replicas];
        status.observed_generation >= Some(generation) && counts.iter().all(|count| *count == all)
    };
    let begun = Instant::now();
    // They finish in about this order, so that each is looked at a few times.
    for number in 0..load.deployments {
        let name = format!("web-{number}");
        loop {
            let deployment = deployments.get(&name).await?;
            if is_done(&deployment) {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "{name} is not rolled out: {:?}", deployment.status);
            sleep(LOOK).await;
        }
    }
    let all = deployments.list(&ListParams::default()).await?.items;
    ensure!(all.iter().all(is_done), "a Deployment was rolled out and is not any more");
    Ok(())
}
