//! An API server that has too much to do: of all requests some are put off (429), some fail (500, 502, 503, 504), with a word on
//! when to come again or without. Everything happens all the same, and nobody asks without end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response, header};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::client::Body;
use serde_json::json;
use steersman::Cluster;
use steersman_framework::component::client::polite::{Manners, polite};
use steersman_framework::metrics::Metrics;
use steersman_framework::runtime::{Context, Shutdown};
use steersman_machinery::random::Random;
use steersman_tests::manifests::{deployment_with, image_patch};
use steersman_tests::wait::until_rolled_out;
use tokio::time::sleep;

/// What an overloaded server answers: the code, and when to come again.
const ANSWERS: [(u16, Option<&str>); 7] =
    [(429, Some("1")), (429, None), (500, None), (502, None), (503, Some("2")), (503, None), (504, None)];

/// A server that does only some of what it is asked for, and counts.
#[derive(Clone)]
struct Overloaded {
    random: Random,
    share: f64,
    asked: Arc<AtomicUsize>,
}

impl Overloaded {
    fn client(&self, client: Client) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, client) = (server.clone(), client.clone());
            async move {
                server.asked.fetch_add(1, Ordering::Relaxed);
                let Some((code, after)) = server.refusal() else { return client.send(request).await };
                let mut response = Response::builder().status(code);
                if let Some(after) = after {
                    response = response.header(header::RETRY_AFTER, after);
                }
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                    "message": "too much to do"});
                Ok(response.body(Body::from(status.to_string().into_bytes())).expect("these are valid headers"))
            }
        });
        Client::new(service, "default")
    }

    fn refusal(&self) -> Option<(u16, Option<&'static str>)> {
        let refuses = self.random.unit() < self.share;
        let place = usize::try_from(self.random.below(ANSWERS.len() as u64)).ok()?;
        refuses.then(|| ANSWERS[place])
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_server_puts_off_or_fails_at_is_done_in_the_end() {
    for seed in 1..=3 {
        let cluster = Cluster::builder().virtual_time().nodes(2).without_controllers().without_scheduler();
        let cluster = cluster.start().await.unwrap();
        let server = Overloaded { random: Random::seeded(seed), share: 0.3, asked: Arc::default() };
        let (_running, shutdown) = Shutdown::new();
        let metrics = Metrics::recording();
        let context = |seed| {
            let manners = Manners { qps: 0.0, burst: 1, random: Random::seeded(seed), metrics: metrics.clone() };
            let client = polite(&server.client(cluster.client()), manners);
            Context::new(client, cluster.clock(), Random::seeded(seed), shutdown.clone())
        };
        tokio::spawn(steersman_controllers::run(context(seed), steersman_controllers::Options::default()));
        tokio::spawn(steersman_scheduler_plugin::run(
            context(seed + 9),
            steersman_scheduler_plugin::Options::default(),
        ));
        let deployments: Api<Deployment> = Api::default_namespaced(cluster.client());
        deployments.create(&PostParams::default(), &deployment_with("web", 5, json!({}))).await.unwrap();
        until_rolled_out(&deployments, "web").await;
        deployments.patch("web", &PatchParams::default(), &Patch::Strategic(image_patch("app:2"))).await.unwrap();
        until_rolled_out(&deployments, "web").await;
        let told = metrics.render();
        for code in ["429", "503"] {
            let retried = format!("rest_client_request_retries_total{{code=\"{code}\"");
            assert!(told.contains(&retried), "{told}");
        }
        // Then it is quiet, but for watches that are asked for again.
        sleep(Duration::from_secs(60)).await;
        let before = server.asked.load(Ordering::Relaxed);
        sleep(Duration::from_secs(600)).await;
        let more = server.asked.load(Ordering::Relaxed) - before;
        assert!(more < 2500, "{more} requests in ten minutes in which nothing happened");
    }
}
