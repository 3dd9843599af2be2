//! A resource of one's own: its definition, an instance, its table, its scale.

use steersman_tests::kubectl::Kubectl;
use steersman_tests::site::sample;

async fn with_definition() -> Kubectl {
    let kubectl = Kubectl::start().await;
    let created = kubectl.ok(&format!("apply -f {}", sample("crontab-crd.yaml"))).await;
    assert_eq!(created, "customresourcedefinition.apiextensions.k8s.io/crontabs.samples.steersman.dev created\n");
    kubectl.ok("wait --for=condition=Established crd/crontabs.samples.steersman.dev --timeout=30s").await;
    kubectl
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn an_instance_has_defaults_columns_and_scale() {
    let kubectl = with_definition().await;
    let crontab = sample("crontab.yaml");
    assert_eq!(kubectl.ok(&format!("create -f {crontab}")).await, "crontab.samples.steersman.dev/nightly created\n");
    assert_eq!(kubectl.ok("get ct nightly -o jsonpath={.spec.image}").await, "busybox:stable");
    let table = kubectl.ok("get crontabs").await;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "SCHEDULE", "REPLICAS", "AGE"]);
    assert_eq!(rows[1][..7], ["nightly", "30", "2", "*", "*", "*", "2"]);
    let scaled = kubectl.ok("scale crontab nightly --replicas=5").await;
    assert_eq!(scaled, "crontab.samples.steersman.dev/nightly scaled\n");
    assert_eq!(kubectl.ok("get ct nightly -o jsonpath={.spec.replicas}").await, "5");
    let explained = kubectl.ok("explain crontab.spec.schedule").await;
    assert!(explained.contains("When to start, in cron's five fields."), "{explained}");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn an_instance_can_be_applied_on_both_sides() {
    let kubectl = with_definition().await;
    let crontab = sample("crontab.yaml");
    let name = "crontab.samples.steersman.dev/nightly";
    assert_eq!(kubectl.ok(&format!("apply -f {crontab}")).await, format!("{name} created\n"));
    let changed = std::fs::read_to_string(&crontab).unwrap().replace("replicas: 2", "replicas: 3");
    assert_eq!(kubectl.ok_with("apply -f -", &changed).await, format!("{name} configured\n"));
    let applied = kubectl.ok_with("apply --server-side --force-conflicts -f -", &changed).await;
    assert_eq!(applied, format!("{name} serverside-applied\n"));
    assert_eq!(kubectl.ok("get ct nightly -o jsonpath={.spec.replicas}").await, "3");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn its_schema_is_enforced() {
    let kubectl = with_definition().await;
    let crontab = std::fs::read_to_string(sample("crontab.yaml")).unwrap();
    let refused = kubectl.err_with("create -f -", &crontab.replace("replicas: 2", "replicas: 11")).await;
    let expect = "The CronTab \"nightly\" is invalid: spec.replicas: Invalid value: 11: \
                  spec.replicas in body should be less than or equal to 10\n";
    assert_eq!(refused, expect);
    let unknown = kubectl.err_with("create -f -", &crontab.replace("replicas: 2", "replica: 2")).await;
    assert!(unknown.contains("strict decoding error: unknown field \"spec.replica\""), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn with_its_definition_the_instances_go() {
    let kubectl = with_definition().await;
    kubectl.ok(&format!("apply -f {}", sample("crontab.yaml"))).await;
    kubectl.ok(&format!("delete -f {}", sample("crontab-crd.yaml"))).await;
    let gone = kubectl.err("get crontabs").await;
    // kubectl remembers the resource for a while.
    assert_eq!(
        gone,
        "Error from server (NotFound): Unable to list \"samples.steersman.dev/v1, Resource=crontabs\": the server could not \
         find the requested resource (get crontabs.samples.steersman.dev)\n"
    );
}
