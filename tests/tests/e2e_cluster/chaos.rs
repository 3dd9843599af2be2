//! The API server is killed again and again while the network is bad: everything converges, nobody has to be restarted, and
//! nobody spins.

use std::time::Duration;

use steersman_tests::bad_network::BadNetwork;
use steersman_tests::processes::Process;
use steersman_tests::stage::Stage;
use tokio::time::sleep;

use crate::PROGRAMS;
use crate::scenarios::Town;

/// How often the server is killed.
const KILLS: usize = 20;
/// A rollout of four pods is four creates, four deletes, the steps of two sets and a status after each: some thirty writes;
/// events, conflicts and repeated requests beside. A hot loop makes thousands.
const WRITES_PER_ROLLOUT: usize = 150;

/// Every request, without bodies.
const POLICY: &str =
    "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n";

/// The writes of an account so far, but for those of its lease.
fn writes(stage: &Stage, account: &str) -> usize {
    let log = std::fs::read_to_string(stage.home().join("audit.log")).unwrap();
    let user = format!("\"username\":\"system:serviceaccount:steersman-system:{account}\"");
    let is_write = |line: &&str| {
        let verbs = ["create", "update", "patch", "delete"];
        verbs.iter().any(|verb| line.contains(&format!("\"verb\":\"{verb}\"")))
    };
    let own = log.lines().filter(|line| line.contains(&user) && !line.contains("\"resource\":\"leases\""));
    own.filter(is_write).count()
}

/// Resident memory, in kB.
fn memory(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Waits until the rollout is done; if it is not, tells what the components have to say.
async fn converge(town: &Town, components: &[(&str, Process); 2]) {
    if tokio::time::timeout(Duration::from_secs(120), town.complete("web")).await.is_err() {
        let logs: Vec<String> =
            components.iter().map(|(account, process)| format!("{account}:\n{}", process.log())).collect();
        panic!("the rollout is not done\n{}", logs.join("\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(helm, kubectl, own_folders)), ignore = "needs helm and kubectl (cargo xtask tools), and unshare")]
async fn an_api_server_that_is_killed_twenty_times_behind_a_bad_network() {
    let policy = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(policy.path(), POLICY).unwrap();
    let arguments = format!(
        "--nodes 2 --no-scheduler --controllers *,-deployment,-replicaset --data-dir data --audit-log-path audit.log \
         --audit-policy-file {}",
        policy.path().display()
    );
    let mut stage = Stage::up(PROGRAMS, &arguments).await;
    // The leases are those of the chart: a leader that cannot renew its own for ten seconds ends, and this test fails.
    stage.install("--set workloads.apiGroup=apps --set scheduler.mode=default --set log.format=text").await;
    let proxy = BadNetwork::start(stage.address(), 7).await;
    let components = [
        ("steersman-controllers", stage.replica("controllers", proxy.address()).await),
        ("steersman-scheduler", stage.replica("scheduler", proxy.address()).await),
    ];
    let mut town = Town::settle(stage.client().await, "apps", None).await;
    town.create("web", 4).await;
    town.complete("web").await;

    let mut before = [0; 2];
    for kill in 1..=KILLS {
        town.roll("web", kill).await;
        // Another moment of the rollout each time.
        sleep(Duration::from_millis(37 * kill as u64)).await;
        stage.restart().await;
        proxy.forward_to(stage.address());
        town = town.with(stage.client().await);
        if kill == KILLS / 4 {
            converge(&town, &components).await;
            before = [0, 1].map(|index| memory(&components[index].1));
        }
    }
    converge(&town, &components).await;
    assert!(proxy.harmed() > KILLS, "only {} connections had trouble", proxy.harmed());

    proxy.be_good();
    // Those that are already there still are cut; then it is quiet.
    sleep(Duration::from_secs(10)).await;
    let settled = components.each_ref().map(|(account, _)| writes(&stage, account));
    sleep(Duration::from_secs(5)).await;
    for (index, (account, process)) in components.iter().enumerate() {
        assert_eq!(process.get("/livez").await, (200, "ok".to_owned()), "{account} did not survive");
        let now = memory(process);
        assert!(now < before[index] + before[index] / 4 + 8192, "{account}: {} kB became {now} kB", before[index]);
        let written = writes(&stage, account);
        assert!(written <= KILLS * WRITES_PER_ROLLOUT, "{account} wrote {written} times in {KILLS} rollouts");
        assert_eq!(written, settled[index], "{account} writes although nothing is to be done");
    }
}
