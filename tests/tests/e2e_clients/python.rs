//! The Python client `kubernetes`.

use std::path::Path;

use steersman_tests::site::{Site, tool};

/// An informer-style watch, server-side apply with a conflict, a custom resource, a rollout, a paged list.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(python_client), ignore = "needs the Python client in target/tools: cargo xtask tools")]
async fn the_python_client_works_an_afternoon() {
    let site = Site::start().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e_clients/afternoon.py");
    let said = site.ok(site.command("python3").env("PYTHONPATH", tool("python")).arg(script)).await;
    let done: Vec<&str> = said.lines().collect();
    assert_eq!(done, ["informer", "apply", "conflict", "custom resource", "rollout", "pages", "errors"]);
}
