//! The JavaScript client `@kubernetes/client-node`.

use steersman_tests::site::{Site, tool};

/// An informer that follows Deployments, a rollout, a patch, a watch that is restarted by the library, an error.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(node_client), ignore = "needs the JavaScript client in target/tools: cargo xtask tools")]
async fn the_javascript_informer_follows_a_rollout() {
    let site = Site::start().await;
    // Node looks for packages in the folders above a module: it has to lie beside them.
    let packages = tool("node/node_modules");
    std::os::unix::fs::symlink(std::fs::canonicalize(packages).unwrap(), site.home().join("node_modules")).unwrap();
    let script = site.file("informer.mjs", include_str!("informer.mjs"));
    let said = site.ok(site.command("node").arg(script)).await;
    assert_eq!(said.lines().collect::<Vec<_>>(), ["rollout", "patch", "delete", "error"]);
}
