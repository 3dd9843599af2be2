//! One workload through the API: everything is made ready, then pods are created and counted when they have a node.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use steersman::Cluster;
use steersman_framework::clock::SystemClock;
use steersman_framework::runtime::{Context as Component, Shutdown};
use steersman_machinery::random::Random;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::load::{Observer, WITH_NODE, create, send};
use crate::report::Throughput;
use crate::workload::{MEASURED, Tables, Template, Workload};

/// Upstream's harness switches these off too: nobody makes service accounts, nodes have no taints, priorities are given.
const ADMISSION_OFF: [&str; 3] = ["ServiceAccount", "TaintNodesByCondition", "Priority"];

/// Runs a workload. Over TLS, the scheduler, the creator and the observer each have a connection pool of their own.
pub(crate) async fn run(tables: &Tables, workload: &Workload, tls: bool) -> Result<Throughput> {
    let cluster = Cluster::builder().without_controllers().without_scheduler().disable_admission(ADMISSION_OFF);
    let cluster = cluster.start().await?;
    let served = if tls { Some(cluster.serve(([127, 0, 0, 1], 0)).await?) } else { None };
    let client = async |agent: &str| match &served {
        None => anyhow::Ok(cluster.client_of(agent)),
        Some(served) => {
            let config = Kubeconfig::from_yaml(served.kubeconfig())?;
            Ok(Client::try_from(Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?)?)
        }
    };
    let (trigger, shutdown) = Shutdown::new();
    let context = Component::new(client("kube-scheduler").await?, Arc::new(SystemClock), Random::seeded(1), shutdown);
    let bench = Bench { tables, workload, client: client("bench").await?, observed: cluster.client_of("observer") };
    bench.prepare().await?;
    let scheduler = tokio::spawn(async move {
        steersman_scheduler_plugin::run(context, steersman_scheduler_plugin::Options::default()).await
    });
    let mut throughput = bench.measure().await?;
    trigger.trigger();
    scheduler.await?.context("the scheduler")?;
    let events = Request::get(format!("/apis/events.k8s.io/v1/namespaces/{MEASURED}/events")).body(Vec::new())?;
    throughput.told = bench.observed.request_text(events).await?.matches(r#""reason":"Scheduled""#).count();
    cluster.stop().await;
    Ok(throughput)
}

struct Bench<'a> {
    tables: &'a Tables,
    workload: &'a Workload,
    client: Client,
    /// Always in process: what it costs is not what is measured.
    observed: Client,
}

impl Bench<'_> {
    async fn namespace(&self, name: &str, labels: serde_json::Value) -> Result<()> {
        let object =
            serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        send(&self.client, "POST", "/api/v1/namespaces", object.to_string()).await
    }

    /// The namespaces of the pods that come first.
    fn first_namespaces(&self) -> Vec<String> {
        match self.workload.namespaces {
            Some(count) => (0..count).map(|number| format!("init-ns-{number}")).collect(),
            None => vec!["sched-0".to_owned()],
        }
    }

    /// Everything that is there before pods are.
    async fn prepare(&self) -> Result<()> {
        let devops = || serde_json::json!({"team": "devops"});
        for name in self.first_namespaces().iter().map(String::as_str).chain([MEASURED, "churn"]) {
            self.namespace(name, devops()).await?;
        }
        let mut first = 0;
        for (count, template) in &self.workload.nodes {
            for number in first..first + count {
                // The number of a node that goes by its own name starts anew.
                let number = if first > 0 && template == "big" { number - first } else { number };
                let node = self.tables.node(template, number);
                let name = node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                send(&self.client, "POST", "/api/v1/nodes", node.to_string()).await?;
                if let Some(limit) = self.workload.csi_limit {
                    let object = Tables::csi_node(&name, limit).to_string();
                    send(&self.client, "POST", "/apis/storage.k8s.io/v1/csinodes", object).await?;
                }
            }
            first += count;
        }
        for name in &self.workload.prepare {
            create(&self.client, &[self.tables.object(name)], (0, 1)).await?;
        }
        Ok(())
    }

    async fn pods(&self, template: &str, place: (&str, &str), range: (usize, usize)) -> Result<()> {
        create(&self.client, &self.tables.volumes(template, place), range).await?;
        create(&self.client, &[self.tables.pod(template, place)], range).await
    }

    async fn measure(&self) -> Result<Throughput> {
        if let Some((count, template)) = &self.workload.gated {
            self.pods(template, ("sched-0", "gated"), (0, *count)).await?;
        }
        let namespaces = self.first_namespaces();
        let mut observer = Observer::start(&self.observed, None, WITH_NODE).await?;
        let mut expect = 0;
        for (place, (count, template)) in self.workload.init.iter().enumerate() {
            let prefix = format!("init-{place}");
            for (number, namespace) in namespaces.iter().enumerate() {
                let share = count / namespaces.len() + usize::from(number < count % namespaces.len());
                self.pods(template, (namespace, &prefix), (0, share)).await?;
            }
            expect += count;
            observer.wait(expect).await.with_context(|| format!("first pods: {template}"))?;
        }
        drop(observer);
        let (count, template) = &self.workload.measured;
        let place = (MEASURED, "measured");
        create(&self.client, &self.tables.volumes(template, place), (0, *count)).await?;
        let mut beside = Vec::new();
        beside.extend(self.workload.churn.is_some().then(|| self.churn()));
        beside.extend(self.workload.deletes_a_second.map(|rate| self.deletes(rate)));
        let mut observer = Observer::start(&self.observed, Some(MEASURED), WITH_NODE).await?;
        let start = Instant::now();
        let busy = crate::report::cpu_time();
        create(&self.client, &[self.tables.pod(template, place)], (0, *count)).await?;
        let created = start.elapsed();
        observer.wait(*count).await?;
        beside.iter().for_each(JoinHandle::abort);
        Ok(Throughput { start, samples: observer.samples(), created, cpu: crate::report::cpu_time() - busy, told: 0 })
    }

    /// Creates objects again and again.
    fn churn(&self) -> JoinHandle<()> {
        let churn = self.workload.churn.clone().expect("asked before");
        let templates: Vec<Template> = churn.create.iter().map(|name| self.tables.object(name)).collect();
        let client = self.client.clone();
        tokio::spawn(async move {
            let mut turns = tokio::time::interval(Duration::from_millis(churn.every_ms));
            for turn in 0.. {
                turns.tick().await;
                // Every second turn deletes what the one before has created.
                let (delete, number) = if churn.recreate { (turn % 2 == 1, turn / 2) } else { (false, turn) };
                for template in &templates {
                    let (path, body) = template.number(number);
                    let object: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
                    let name = object["metadata"]["name"].as_str().unwrap_or_default();
                    let done = if delete {
                        send(&client, "DELETE", &format!("{path}/{name}"), r#"{"gracePeriodSeconds": 0}"#.to_owned())
                            .await
                    } else {
                        send(&client, "POST", &path, body.clone()).await
                    };
                    if let Err(error) = done {
                        eprintln!("churn: {error:#}");
                    }
                }
            }
        })
    }

    /// Deletes the first pods one after the other.
    fn deletes(&self, rate: u32) -> JoinHandle<()> {
        let client = self.client.clone();
        let count = self.workload.init.first().map_or(0, |(count, _)| *count);
        tokio::spawn(async move {
            let mut turns = tokio::time::interval(Duration::from_secs(1) / rate);
            for number in 0..count {
                turns.tick().await;
                let path = format!("/api/v1/namespaces/sched-0/pods/init-0-{number}");
                if let Err(error) = send(&client, "DELETE", &path, "{}".to_owned()).await {
                    eprintln!("deletes: {error:#}");
                }
            }
        })
    }
}
