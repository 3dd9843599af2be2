//! On `steersman up`: each component alone in place of its counterpart, all together, and what remains of them.

use serde_json::Value;
use steersman_tests::chart::NAMESPACE;
use steersman_tests::processes::Process;
use steersman_tests::stage::Stage;

use crate::PROGRAMS;
use crate::scenarios::{self, Town};

/// The log is read by the harness; leases are short, so that another takes over soon.
const ALWAYS: &str = "--set log.format=text --set leaderElection.leaseDuration=4s --set leaderElection.renewDeadline=3s \
                      --set leaderElection.retryPeriod=500ms";

/// Pods of a group are bound all or none.
const GANGS: &str = "--set scheduler.plugins={Coscheduling}";

/// Two replicas of each of these.
async fn start(stage: &Stage, components: &[&str]) -> Vec<Process> {
    let mut running = Vec::new();
    for component in components {
        for _ in 0..2 {
            running.push(stage.replica(component, stage.address()).await);
        }
    }
    running
}

/// Nobody was refused anything: the chart's roles suffice.
fn assert_allowed(running: &[Process]) {
    for process in running {
        let log = process.log();
        assert!(!log.contains("forbidden"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(helm, kubectl, own_folders)), ignore = "needs helm and kubectl (cargo xtask tools), and unshare")]
async fn the_controllers_alone_stand_in_for_their_counterparts() {
    let stage = Stage::up(PROGRAMS, "--nodes 2 --controllers *,-deployment,-replicaset").await;
    stage.install(&format!("--set workloads.apiGroup=apps --set scheduler.enabled=false {ALWAYS}")).await;
    let running = start(&stage, &["controllers"]).await;
    let town = Town::settle(stage.client().await, "apps", None).await;
    scenarios::our_controllers_are_in_charge(&town).await;
    scenarios::a_deployment_lives_its_life(&town).await;
    scenarios::leave(town).await;
    assert_allowed(&running);
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(helm, kubectl, own_folders)), ignore = "needs helm and kubectl (cargo xtask tools), and unshare")]
async fn the_scheduler_alone_is_a_second_one() {
    // The built-in controllers would bring the chart's pods up as simulated ones: that is what they are here.
    let stage = Stage::up(PROGRAMS, "--nodes 2").await;
    stage.install(&format!("--set controllers.enabled=false {GANGS} {ALWAYS}")).await;
    let running = start(&stage, &["scheduler"]).await;
    let town = Town::settle(stage.client().await, "apps", Some("steersman")).await;
    scenarios::our_scheduler_is_in_charge(&town).await;
    scenarios::a_deployment_lives_its_life(&town).await;
    scenarios::a_gang_is_bound_as_a_whole(&town).await;
    assert_allowed(&running);
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(helm, kubectl, own_folders)), ignore = "needs helm and kubectl (cargo xtask tools), and unshare")]
async fn our_own_group_lives_beside_the_built_in_controllers_and_leaves_nothing_behind() {
    let stage = Stage::up(PROGRAMS, "--nodes 2").await;
    let before = objects(&stage).await;
    stage
        .install(&format!(
            "--set crds.keep=false {ALWAYS} --set-string tests.podAnnotations.steersman\\.dev/exit-code=0"
        ))
        .await;
    let running = start(&stage, &["controllers", "scheduler"]).await;
    let town = Town::settle(stage.client().await, "apps.steersman.dev", Some("steersman")).await;
    scenarios::our_controllers_are_in_charge(&town).await;
    scenarios::our_scheduler_is_in_charge(&town).await;
    scenarios::a_deployment_lives_its_life(&town).await;
    scenarios::leave(town).await;
    // The pod of the test is bound by our scheduler, or it does not end.
    let tested = stage.helm(&format!("test steersman -n {NAMESPACE} --timeout 60s")).await;
    assert!(tested.contains("Succeeded"), "{tested}");
    assert_allowed(&running);

    assert_served(&running[0], "controllers").await;
    assert_served(&running[2], "scheduler").await;

    drop(running);
    stage.helm(&format!("uninstall steersman -n {NAMESPACE} --wait --timeout 60s")).await;
    // The pods of its own workloads go a moment later.
    for _ in 0..60 {
        if labelled(&stage).await.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    assert_eq!(labelled(&stage).await, "");
    // The components made these themselves; they go with the namespace, as the guide says.
    let leases = stage.kubectl(&format!("get leases -n {NAMESPACE} -o name")).await;
    assert_eq!(leases.lines().count(), 2, "{leases}");
    stage.kubectl(&format!("delete namespace {NAMESPACE} --wait")).await;
    assert_eq!(objects(&stage).await, before);
}

/// The component tells every metric that its dashboard shows, and every one that an alert is about.
async fn assert_served(process: &Process, component: &str) {
    let file = |name: &str| {
        let path = format!("{}/../charts/steersman/files/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let dashboard: Value = serde_json::from_str(&file(&format!("dashboards/{component}.json"))).unwrap();
    let alerts: Value = serde_saphyr::from_str(&file("alerts.yaml")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let shown = panels.flat_map(|panel| panel["targets"].as_array().unwrap()).map(|target| &target["expr"]);
    let alerts = ["all", component].into_iter().flat_map(|list| alerts[list].as_array().unwrap());
    let (_, told) = process.get("/metrics").await;
    for expression in shown.chain(alerts.map(|alert| &alert["expr"])) {
        let expression = expression.as_str().unwrap();
        let words = expression.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
        let metric = words.into_iter().find(|word| {
            ["leader_", "rest_client_", "workqueue_", "scheduler_"].iter().any(|prefix| word.starts_with(prefix))
        });
        let metric = metric.unwrap_or_else(|| panic!("{expression} has no metric")).trim_end_matches("_bucket");
        assert!(told.contains(&format!("# TYPE {metric} ")), "{component} does not tell {metric}:\n{told}");
    }
}

/// Everything there is, but for what comes and goes by itself.
async fn objects(stage: &Stage) -> String {
    let kinds = stage.kubectl("api-resources --verbs list,delete -o name").await;
    let passing = ["events", "events.events.k8s.io", "endpointslices.discovery.k8s.io", "endpoints"];
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !passing.contains(kind)).collect();
    let all = stage.kubectl(&format!("get {} -A --ignore-not-found -o name --show-kind", kinds.join(","))).await;
    // The node's own leases, and what leading components of the cluster itself keep.
    all.lines().map(|line| format!("{line}\n")).collect()
}

/// What has the labels of the release, whatever it is.
async fn labelled(stage: &Stage) -> String {
    let kinds = stage.kubectl("api-resources --verbs list -o name").await.lines().collect::<Vec<_>>().join(",");
    stage.kubectl(&format!("get {kinds} -A --ignore-not-found -o name -l app.kubernetes.io/instance=steersman")).await
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(helm, kubectl, own_folders)), ignore = "needs helm and kubectl (cargo xtask tools), and unshare")]
async fn all_together_go_on_when_a_leader_is_killed() {
    let stage = Stage::up(PROGRAMS, "--nodes 2 --no-scheduler --controllers *,-deployment,-replicaset").await;
    stage.install(&format!("--set workloads.apiGroup=apps --set scheduler.mode=default {GANGS} {ALWAYS}")).await;
    let client = stage.client().await;
    let town = Town::settle(client.clone(), "apps", None).await;
    for component in ["controllers", "scheduler"] {
        let first = stage.replica(component, stage.address()).await;
        let leader = scenarios::leader(&client, component, "").await;
        let others = start(&stage, &["controllers", "scheduler"]).await;
        let name = format!("before-{component}");
        town.create(&name, 2).await;
        town.complete(&name).await;
        town.roll(&name, 1).await;
        first.signal("KILL").await;
        town.complete(&name).await;
        scenarios::leader(&client, component, &leader).await;
        town.roll(&name, 0).await;
        town.complete(&name).await;
        assert_allowed(&others);
        // Those who lead now give their leases back.
        for mut process in others {
            process.signal("TERM").await;
            assert!(process.end().await.success(), "{}", process.log());
        }
    }
    let running = start(&stage, &["controllers", "scheduler"]).await;
    scenarios::a_gang_is_bound_as_a_whole(&town).await;
    assert_allowed(&running);
}
