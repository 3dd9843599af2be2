//! What is behind pods and nodes: logs, commands, proxies.

use serde_json::json;
use steersman_tests::kubectl::Kubectl;
use steersman_tests::site::sample;
use steersman_tests::webhooks::WebhookServer;

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn simulated_pods_have_logs_and_run_no_commands() {
    let kubectl = Kubectl::start().await;
    kubectl.ok(&format!("apply -f {}", sample("nginx.yaml"))).await;
    kubectl.ok("rollout status deployment/nginx --timeout=30s").await;
    let log = kubectl.ok("logs deployment/nginx").await;
    assert!(log.starts_with("simulated container nginx of image nginx:stable started"), "{log}");
    kubectl.ok("run job --image=job:1 --restart=Never --annotations=steersman.dev/logs=hello").await;
    kubectl.ok("wait --for=condition=Ready pod/job --timeout=30s").await;
    assert_eq!(kubectl.ok("logs job --tail=5").await, "hello\n");
    let refused = kubectl.err("exec job -- ls -l").await;
    let (complaint, end) = refused.split_once('\n').unwrap();
    assert!(complaint.starts_with("exec: node node-"), "{refused}");
    assert!(complaint.ends_with(" is simulated: nothing runs in its containers"), "{refused}");
    assert_eq!(end, "command terminated with exit code 126\n");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn a_request_is_passed_on_to_the_server_of_a_node() {
    let kubectl = Kubectl::start().await;
    let server = WebhookServer::start(env!("CARGO_BIN_EXE_webhook_server"), &["localhost"]).await;
    let status = json!({
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": server.port}},
    });
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "outside"}, "status": status});
    kubectl.ok_with("create -f -", &node.to_string()).await;
    assert_eq!(kubectl.ok("get --raw /api/v1/nodes/outside/proxy/garbage").await, "<html>");
    drop(server);
    let refused = kubectl.err("get --raw /api/v1/nodes/outside/proxy/garbage").await;
    let why = "Error from server (ServiceUnavailable): error trying to reach service: dial tcp 127.0.0.1:";
    assert!(refused.starts_with(why) && refused.ends_with("connect: connection refused\n"), "{refused}");
}
