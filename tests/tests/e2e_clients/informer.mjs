// What a JavaScript program does with a cluster. Prints the name of each piece of work that went well.

import * as k8s from "@kubernetes/client-node";

const config = new k8s.KubeConfig();
config.loadFromDefault();
const apps = config.makeApiClient(k8s.AppsV1Api);
const core = config.makeApiClient(k8s.CoreV1Api);
const namespace = "default";

const informer = k8s.makeInformer(config, "/apis/apps/v1/namespaces/default/deployments", () =>
  apps.listNamespacedDeployment({ namespace }),
);

/// Resolves when the informer shows `done` of an object.
function shown(event, done) {
  return new Promise((resolve) => {
    const listener = (object) => {
      if (done(object)) {
        informer.off(event, listener);
        resolve(object);
      }
    };
    informer.on(event, listener);
  });
}

function expect(condition, why) {
  if (!condition) {
    console.error(why);
    process.exit(1);
  }
}

// Stopping aborts the informer's own request, which it reports as an error.
let stopping = false;
informer.on("error", (error) => expect(stopping, `the informer failed: ${error}`));
await informer.start();

const labels = { app: "web" };
const template = { metadata: { labels }, spec: { containers: [{ name: "web", image: "web:1" }] } };
const available = shown("update", (it) => it.status?.availableReplicas === 2);
await apps.createNamespacedDeployment({
  namespace,
  body: { metadata: { name: "web" }, spec: { replicas: 2, selector: { matchLabels: labels }, template } },
});
await available;
expect(informer.get("web", namespace)?.status.availableReplicas === 2, "the cache is behind its own event");
console.log("rollout");

const scaled = shown("update", (it) => it.status?.availableReplicas === 4);
const mergePatch = k8s.setHeaderOptions("Content-Type", k8s.PatchStrategy.MergePatch);
await apps.patchNamespacedDeployment({ name: "web", namespace, body: { spec: { replicas: 4 } } }, mergePatch);
await scaled;
const pods = await core.listNamespacedPod({ namespace, labelSelector: "app=web" });
expect(pods.items.length === 4, `there are ${pods.items.length} pods`);
console.log("patch");

const gone = shown("delete", (it) => it.metadata.name === "web");
await apps.deleteNamespacedDeployment({ name: "web", namespace });
await gone;
expect(informer.list(namespace).length === 0, "the cache keeps what is gone");
console.log("delete");

try {
  await core.readNamespacedPod({ name: "nobody", namespace });
  expect(false, "a pod that does not exist was read");
} catch (error) {
  expect(error.code === 404 && JSON.parse(error.body).reason === "NotFound", `unexpected: ${error}`);
  console.log("error");
}
stopping = true;
await informer.stop();
process.exit(0);
