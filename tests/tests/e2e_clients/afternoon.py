"""What a Python program does with a cluster. Prints the name of each piece of work that went well."""

import sys
import threading

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

config.load_kube_config()
core, apps = client.CoreV1Api(), client.AppsV1Api()
extensions, custom = client.ApiextensionsV1Api(), client.CustomObjectsApi()


def done(what):
    print(what, flush=True)


def expect(condition, why):
    if not condition:
        sys.exit(why)


def informer():
    """List, then watch from the list's version until three changes were seen."""
    seen = []
    listed = core.list_namespaced_config_map("default")
    version = listed.metadata.resource_version

    def follow():
        stream = watch.Watch()
        for event in stream.stream(core.list_namespaced_config_map, "default", resource_version=version):
            if event["object"].metadata.name == "watched":
                seen.append((event["type"], (event["object"].data or {}).get("n")))
            if len(seen) == 3:
                stream.stop()

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="watched"), data={"n": "1"})
    core.create_namespaced_config_map("default", body)
    core.patch_namespaced_config_map("watched", "default", {"data": {"n": "2"}})
    core.delete_namespaced_config_map("watched", "default")
    follower.join(30)
    expect(seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")], f"the watch showed {seen}")
    done("informer")


def server_side_apply():
    """Two managers and one field."""
    resource = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="v1", kind="ConfigMap")

    def apply(manager, value, force=False):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"color": value}}
        return resource.server_side_apply(
            body=body, namespace="default", name="applied", field_manager=manager, force_conflicts=force
        )

    apply("one", "red")
    again = apply("one", "red")
    expect(again.metadata.managedFields[0].manager == "one", "the manager is not recorded")
    done("apply")
    try:
        apply("two", "blue")
        expect(False, "there was no conflict")
    except dynamic.exceptions.ConflictError as error:
        expect("conflict with \\\"one\\\": .data.color" in str(error), f"the conflict says {error}")
    expect(apply("two", "blue", force=True).data.color == "blue", "force changed nothing")
    done("conflict")


def custom_resource():
    """A definition, an instance, its status, and a value that the schema refuses."""
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "properties": {
                    "spec": {
                        "type": "object",
                        "properties": {"size": {"type": "integer", "minimum": 1, "default": 3}},
                    },
                    "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
                },
            }
        },
    }
    names = {"plural": "boats", "singular": "boat", "kind": "Boat"}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "boats.sea.example.com"},
        "spec": {"group": "sea.example.com", "scope": "Namespaced", "names": names, "versions": [version]},
    }
    extensions.create_custom_resource_definition(definition)
    for event in watch.Watch().stream(extensions.list_custom_resource_definition, timeout_seconds=30):
        conditions = event["object"].status.conditions or []
        if any(it.type == "Established" and it.status == "True" for it in conditions):
            break
    where = ("sea.example.com", "v1", "default", "boats")
    boat = {"apiVersion": "sea.example.com/v1", "kind": "Boat", "metadata": {"name": "ada"}, "spec": {}}
    made = custom.create_namespaced_custom_object(*where, boat)
    expect(made["spec"]["size"] == 3, "the default is missing")
    custom.patch_namespaced_custom_object_status(*where, "ada", {"status": {"ready": True}})
    expect(custom.get_namespaced_custom_object(*where, "ada")["status"]["ready"], "the status is not kept")
    try:
        custom.patch_namespaced_custom_object(*where, "ada", {"spec": {"size": 0}})
        expect(False, "a size of 0 was taken")
    except ApiException as error:
        expect(error.status == 422 and "greater than or equal to 1" in error.body, f"the refusal says {error.body}")
    done("custom resource")


def rollout():
    """A Deployment becomes available; the watch tells when."""
    labels = {"app": "web"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "web", "image": "web:1", "ports": [{"containerPort": 80}]}]},
    }
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    apps.create_namespaced_deployment("default", {"metadata": {"name": "web"}, "spec": spec})
    for event in watch.Watch().stream(apps.list_namespaced_deployment, "default", timeout_seconds=60):
        if event["object"].status.available_replicas == 3:
            break
    pods = core.list_namespaced_pod("default", label_selector="app=web", field_selector="status.phase=Running").items
    expect(len(pods) == 3, f"{len(pods)} pods run")
    done("rollout")


def pages():
    """A list in pages has everything once."""
    for number in range(7):
        body = client.V1Secret(metadata=client.V1ObjectMeta(name=f"s{number}"), string_data={"k": "v"})
        core.create_namespaced_secret("default", body)
    names, token = [], None
    while True:
        page = core.list_namespaced_secret("default", limit=3, _continue=token)
        names += [it.metadata.name for it in page.items if it.metadata.name.startswith("s")]
        token = page.metadata._continue
        if not token:
            break
    expect(names == [f"s{number}" for number in range(7)], f"the pages have {names}")
    done("pages")


def errors():
    """Refusals arrive as what they are."""
    for call, status, reason in [
        (lambda: core.read_namespaced_pod("nobody", "default"), 404, "NotFound"),
        (lambda: core.create_namespace({"metadata": {"name": "default"}}), 409, "AlreadyExists"),
        (lambda: core.create_namespace({"metadata": {"name": "Not_A_Name"}}), 422, "Invalid"),
    ]:
        try:
            call()
            expect(False, f"{reason} did not come")
        except ApiException as error:
            expect(error.status == status and reason in error.body, f"expected {reason}, got {error.body}")
    done("errors")


for work in (informer, server_side_apply, custom_resource, rollout, pages, errors):
    work()
