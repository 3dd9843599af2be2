//! The smallest whole program: gives every namespace a ConfigMap `motd`, and gives it back when somebody deletes it.
//!
//! ```sh
//! cargo run -p steersman-framework --features component --example motd -- --kubeconfig ~/.kube/config --leader-elect=false
//! curl localhost:8080/readyz?verbose localhost:8080/metrics
//! ```

use std::process::ExitCode;

use clap::Parser;
use serde_json::json;
use steersman_framework::api::{Api, Resource, is_already_exists, is_namespace_terminating, is_not_found};
use steersman_framework::component::{self, Component, FileSettings, Flags, Identity, Settings};
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::informer::{Delta, Informers};
use steersman_framework::meta::{ObjectKey, Partial};
use steersman_framework::queue::{Priority, WorkQueue};
use steersman_framework::runtime::Context;

const IDENTITY: Identity = Identity { name: "motd-controller", version: env!("CARGO_PKG_VERSION"), port: 8080 };
const MAP: &str = "motd";

static NAMESPACES: Resource = Resource::cluster("", "v1", "Namespace", "namespaces");
static CONFIG_MAPS: Resource = Resource::namespaced("", "v1", "ConfigMap", "configmaps");

async fn motd(context: Context) {
    let api = Api::new(context.client.clone(), IDENTITY.name);
    let informers = Informers::new(api.clone(), context.shutdown.clone());
    let namespaces = informers.informer::<Partial>(&NAMESPACES);
    // Only those of that name: the server selects, and the cache holds no others.
    let maps = informers.selected::<Partial>(&CONFIG_MAPS, "metadata.name=motd");
    informers.tell(&context.health);

    // A handler says which namespace to look at, and nothing about what is wrong with it.
    let queue = WorkQueue::named("motd", &context.metrics);
    let changed = queue.clone();
    namespaces.on_change(move |delta: &Delta<Partial>| {
        if let Some(namespace) = &delta.new {
            let priority = if delta.listed { Priority::Low } else { Priority::High };
            changed.add_with(namespace.metadata.name.clone(), priority);
        }
    });
    let lost = queue.clone();
    maps.on_change(move |delta: &Delta<Partial>| {
        if let (Some(map), None) = (&delta.old, &delta.new) {
            lost.add(map.metadata.namespace.clone());
        }
    });

    let sync = |namespace: String| {
        let (api, maps) = (api.clone(), maps.clone());
        async move {
            if maps.get(&ObjectKey::new(&namespace, MAP)).is_some() {
                return Ok(Outcome::Done);
            }
            let body = json!({"metadata": {"name": MAP}, "data": {"text": "welcome"}});
            match api.create::<Partial>(&CONFIG_MAPS, &namespace, &body).await {
                Ok(_) => Ok(Outcome::Done),
                // There is no place for it any more.
                Err(error) if is_not_found(&error) || is_namespace_terminating(&error) => Ok(Outcome::Done),
                Err(error) if is_already_exists(&error) => Ok(Outcome::Done),
                // Comes again: after 5 ms, 10 ms, 20 ms, …
                Err(error) => Err(error),
            }
        }
    };
    let synced = async {
        namespaces.synced().await;
        maps.synced().await;
    };
    let workers = Workers { name: IDENTITY.name, concurrency: 2, max_retries: None };
    let work = run_when(synced, workers, &queue, context.shutdown.clone(), sync);
    tokio::join!(informers.run(), work);
}

/// Gives every namespace a ConfigMap `motd`.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    component::start(&arguments.flags.log.clone(), async move {
        let settings = Settings::new(IDENTITY, &arguments.flags, &FileSettings::default())?;
        component::run(Component::new(IDENTITY, settings), |context| async move {
            motd(context).await;
            Ok(())
        })
        .await
    })
}
