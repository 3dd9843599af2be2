//! `cargo xtask bench fairness`: what one user waits for a small get while another floods the server with lists.
//!
//! The argument is the `steersman` command to measure. It is started twice: with priority and fairness, and without. The flood
//! is a process of its own (this program again) of a lower priority: what is measured is the server, and not which of three
//! processes a machine with two cores runs first.
#![expect(clippy::print_stdout, reason = "the figures are for a person at a terminal")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// What every list goes through.
const PODS: usize = 2_000;
/// The floods: whole lists, and pages as clients ask for them.
const FLOODS: [&str; 2] = ["/api/v1/pods", "/api/v1/pods?limit=500"];
/// Lists a second that the flood offers, in ticks of 10 ms, and for how long.
const LISTS_PER_SECOND: usize = 2_000;
const TICK: Duration = Duration::from_millis(10);
const FLOOD: Duration = Duration::from_secs(10);
/// The most lists that are under way; what is over it is not sent.
const UNDER_WAY: usize = 500;
/// How long the flood has to build up before anybody looks.
const HEAD_START: Duration = Duration::from_secs(2);
/// How long gets are measured, and the pause after each: a person at a terminal, not another flood.
const MEASURED: Duration = Duration::from_secs(6);
const PAUSE: Duration = Duration::from_millis(5);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match arguments.as_slice() {
        [word, kubeconfig, path] if word == "flood" => runtime.block_on(async {
            let flood = flood(config(Path::new(kubeconfig), Some("robot")).await?, path).await?;
            println!("{} {} {}", flood.answered, flood.refused, flood.unsent);
            Ok(())
        }),
        [command] => {
            let folder = std::env::temp_dir().join(format!("steersman-fairness-{}", std::process::id()));
            std::fs::create_dir_all(&folder)?;
            println!(
                "a get while another user offers {LISTS_PER_SECOND} lists a second ({PODS} pods); aim: at most 5 x idle"
            );
            let measured = runtime.block_on(async {
                let command = Path::new(command);
                measure("with priority and fairness", command, &folder, &["--enable-priority-and-fairness=true"])
                    .await?;
                measure("without", command, &folder, &["--enable-priority-and-fairness=false"]).await
            });
            std::fs::remove_dir_all(&folder)?;
            measured
        }
        _ => bail!("the argument is the command to measure"),
    }
}

async fn measure(label: &str, command: &Path, folder: &Path, flags: &[&str]) -> Result<()> {
    let kubeconfig = folder.join("kubeconfig");
    // The other run's kubeconfig may lie there.
    let _ = std::fs::remove_file(&kubeconfig);
    let _process = start(command, &kubeconfig, flags).await?;
    fill(&Client::try_from(config(&kubeconfig, None).await?)?).await?;
    let person = Client::try_from(config(&kubeconfig, Some("person")).await?)?;
    println!("\n{label}");
    for path in FLOODS {
        let idle = gets(&person).await?;
        // It runs when nobody else wants to: what is measured is who waits in the server, not who waits for a core.
        let flood = Command::new("chrt")
            .args(["--idle", "0"])
            .arg(std::env::current_exe()?)
            .arg("flood")
            .args([kubeconfig.as_os_str(), path.as_ref()])
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the flood cannot be started")?;
        sleep(HEAD_START).await;
        let flooded = gets(&person).await?;
        let said = flood.wait_with_output().await?;
        let said = String::from_utf8_lossy(&said.stdout);
        let [answered, refused, unsent] = said.split_whitespace().collect::<Vec<_>>()[..] else {
            bail!("the flood failed: {said}")
        };
        println!("  {path}");
        for (what, percent) in [("median", 50), ("90th percentile", 90), ("99th percentile", 99)] {
            let (before, during) = (percentile(&idle, percent), percentile(&flooded, percent));
            let ratio = during.as_secs_f64() / before.as_secs_f64();
            println!("    {what:<16} idle {:>9}   under the flood {:>9}   ratio {ratio:>6.1}", ms(before), ms(during));
        }
        println!(
            "    {} gets idle, {} under the flood; lists: {answered} answered whole, {refused} refused with 429, \
             {unsent} not sent",
            idle.len(),
            flooded.len()
        );
    }
    Ok(())
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((sorted.len() * percent / 100).min(last)).copied().unwrap_or_default()
}

async fn start(command: &Path, kubeconfig: &Path, flags: &[&str]) -> Result<Child> {
    let start = Instant::now();
    let process = Command::new(command)
        .args(["up", "--port", "0", "--controllers", "none", "--no-scheduler", "--kubeconfig"])
        .arg(kubeconfig)
        .args(flags)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", command.display()))?;
    // The file appears whole, when the port is served.
    while !kubeconfig.exists() {
        ensure!(start.elapsed() < Duration::from_secs(30), "it is not ready after 30 s");
        sleep(Duration::from_millis(10)).await;
    }
    Ok(process)
}

/// The administrator, or who they act as: administrators wait for nobody.
async fn config(kubeconfig: &Path, user: Option<&str>) -> Result<Config> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    if let Some(user) = user {
        config.headers.push((HeaderName::from_static("impersonate-user"), HeaderValue::from_str(user)?));
    }
    Ok(config)
}

/// Makes the pods, what is got, and the rights of both users.
async fn fill(client: &Client) -> Result<()> {
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "bench"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": (["person", "robot"].map(|name| json!({"kind": "User", "name": name}))),
    }))?;
    let once = PostParams::default();
    Api::all(client.clone()).create(&once, &binding).await?;
    // No controller makes it here.
    let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "default"}}))?;
    Api::default_namespaced(client.clone()).create(&once, &account).await?;
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "small"}, "data": {"a": "b"}}))?;
    Api::default_namespaced(client.clone()).create(&once, &map).await?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let create = |number: usize| {
        let (pods, once) = (pods.clone(), once.clone());
        async move {
            let pod: Pod = serde_json::from_value(json!({
                "metadata": {"name": format!("pod-{number}"), "labels": {"app": "bench"}},
                "spec": {"containers": [{"name": "main", "image": "app:1"}]},
            }))?;
            pods.create(&once, &pod).await.context("a pod could not be created")
        }
    };
    stream::iter((0..PODS).map(create)).buffer_unordered(8).try_for_each(|_| async { Ok(()) }).await
}

/// Gets the same small object again and again; returns how long each took, the shortest first.
async fn gets(client: &Client) -> Result<Vec<Duration>> {
    let (mut took, end) = (Vec::new(), Instant::now() + MEASURED);
    while Instant::now() < end {
        let request = Request::get("/api/v1/namespaces/default/configmaps/small").body(Vec::new())?;
        let sent = Instant::now();
        client.request_text(request).await?;
        took.push(sent.elapsed());
        sleep(PAUSE).await;
    }
    took.sort_unstable();
    Ok(took)
}

/// What became of the flood.
struct Flood {
    answered: u64,
    refused: u64,
    unsent: u64,
}

/// Offers lists for a while, whatever becomes of them.
async fn flood(config: Config, path: &str) -> Result<Flood> {
    let client = Client::try_from(config)?;
    let (answered, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let under_way = Arc::new(AtomicUsize::new(0));
    let (mut unsent, end) = (0, Instant::now() + FLOOD);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut lists = tokio::task::JoinSet::new();
    while Instant::now() < end {
        ticks.tick().await;
        while lists.try_join_next().is_some() {}
        for _ in 0..LISTS_PER_SECOND * TICK.as_millis() as usize / 1000 {
            if under_way.load(Ordering::Relaxed) >= UNDER_WAY {
                unsent += 1;
                continue;
            }
            under_way.fetch_add(1, Ordering::Relaxed);
            let (client, answered, refused, under_way) =
                (client.clone(), answered.clone(), refused.clone(), under_way.clone());
            let path = path.to_owned();
            lists.spawn(async move {
                match list(&client, &path).await {
                    Ok(200) => answered.fetch_add(1, Ordering::Relaxed),
                    Ok(429) => refused.fetch_add(1, Ordering::Relaxed),
                    _ => 0,
                };
                under_way.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
    lists.shutdown().await;
    Ok(Flood { answered: answered.load(Ordering::Relaxed), refused: refused.load(Ordering::Relaxed), unsent })
}

/// Lists all pods and throws them away; returns the code of the answer.
async fn list(client: &Client, path: &str) -> Result<u16> {
    let request = Request::get(path).body(kube::client::Body::empty())?;
    let mut response = client.send(request).await?;
    while let Some(frame) = response.body_mut().frame().await {
        frame?;
    }
    Ok(response.status().as_u16())
}
