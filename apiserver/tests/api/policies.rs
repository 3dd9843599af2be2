//! Admission policies: expressions that refuse and change writes.

use serde_json::{Value, json};

use crate::client::{Client, Reply, deployment};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

fn about(group: &str, resource: &str) -> Value {
    json!({"resourceRules": [{
        "apiGroups": [group], "apiVersions": ["v1"], "operations": ["*"], "resources": [resource]}]})
}

/// A policy with a binding of the same name.
async fn bind(client: &Client, sort: &str, name: &str, spec: Value, binding: Value) {
    let kind = format!("{GROUP}/{sort}admissionpolicies");
    let made = client.post(&kind, json!({"metadata": {"name": name}, "spec": spec})).await;
    assert_eq!(made.code, 201, "{made:?}");
    let mut spec = json!({"policyName": name});
    if sort == "validating" {
        spec["validationActions"] = json!(["Deny"]);
    }
    for (field, value) in binding.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    let kind = format!("{GROUP}/{sort}admissionpolicybindings");
    let made = client.post(&kind, json!({"metadata": {"name": name}, "spec": spec})).await;
    assert_eq!(made.code, 201, "{made:?}");
}

/// Refuses config maps for which an expression does not hold.
async fn require(client: &Client, name: &str, expression: &str, more: Value) {
    let mut spec = json!({"matchConstraints": about("", "configmaps"), "validations": [{"expression": expression}]});
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    bind(client, "validating", name, spec, Value::Null).await;
}

async fn make(client: &Client, name: &str, data: Value) -> Reply {
    client.post(MAPS, json!({"metadata": {"name": name, "labels": {"app": "x"}}, "data": data})).await
}

#[track_caller]
fn denied(reply: &Reply, code: u16, why: &str) {
    let message = reply.body["message"].as_str().unwrap_or_default();
    let end = message.split_once(" denied request: ").map_or(message, |(_, end)| end);
    assert_eq!((reply.code, end), (code, why), "{reply:?}");
}

#[tokio::test]
async fn everything_about_a_request_can_be_asked() {
    let client = Client::new().await;
    for (name, expression) in [
        ("object", "object.data.k == 'v' && oldObject == null"),
        (
            "request",
            "request.operation == 'CREATE' && request.resource.resource == 'configmaps' && request.kind.kind == 'ConfigMap'",
        ),
        ("who", "request.userInfo.username == 'kubernetes-admin' && 'system:masters' in request.userInfo.groups"),
        (
            "where",
            "request.namespace == 'default' && request.name == 'x' && !has(request.subResource) && !request.dryRun",
        ),
        (
            "namespace",
            "namespaceObject.metadata.name == 'default' && namespaceObject.metadata.creationTimestamp.getFullYear() == 2026",
        ),
        ("authorizer", "authorizer.group('').resource('secrets').namespace('x').check('create').allowed()"),
        (
            "account",
            "!authorizer.serviceAccount('default', 'some').group('').resource('secrets').check('get').allowed()",
        ),
        ("path", "authorizer.path('/healthz').check('get').allowed()"),
        ("itself", "authorizer.requestResource.check('update').allowed()"),
        ("options", "request.options.kind == 'CreateOptions'"),
    ] {
        require(&client, name, expression, Value::Null).await;
    }
    let made = make(&client, "x", json!({"k": "v"})).await;
    assert_eq!(made.code, 201, "{made:?}");
}

#[tokio::test]
async fn deletes_show_the_old_object_only() {
    let client = Client::new().await;
    make(&client, "keep", json!({"k": "v"})).await;
    require(&client, "p", "object != null || oldObject.metadata.name != 'keep'", Value::Null).await;
    let gone = client.delete(&format!("{MAPS}/keep"), json!({})).await;
    denied(&gone, 422, "failed expression: object != null || oldObject.metadata.name != 'keep'");
    let patched = client.patch("merge", &format!("{MAPS}/keep"), json!({"data": {"k": "w"}})).await;
    assert_eq!(patched.code, 200);
}

#[tokio::test]
async fn conditions_decide_whether_a_policy_applies() {
    let client = Client::new().await;
    let condition = |expression: &str| json!({"matchConditions": [{"name": "c", "expression": expression}]});
    require(&client, "never", "false", condition("request.name == 'other'")).await;
    assert_eq!(make(&client, "x", json!({})).await.code, 201);
    require(&client, "broken", "true", condition("object.data.missing == 'x'")).await;
    let why = "expression 'object.data.missing == 'x'' resulted in error: no such key: missing";
    denied(&make(&client, "y", json!({"k": "v"})).await, 422, why);
}

#[tokio::test]
async fn variables_are_lazy_and_build_on_each_other() {
    let client = Client::new().await;
    let variables = json!({
        "variables": [
            {"name": "keys", "expression": "object.data.map(k, k)"},
            {"name": "count", "expression": "variables.keys.size()"},
            {"name": "broken", "expression": "object.data.missing"},
        ],
        "validations": [{
            "expression": "variables.count < 2 || variables.broken == ''",
            "messageExpression": "'got ' + string(variables.count)",
            "reason": "Forbidden",
        }],
    });
    require(&client, "p", "true", variables).await;
    assert_eq!(make(&client, "one", json!({"a": "1"})).await.code, 201);
    let why = "expression 'variables.count < 2 || variables.broken == ''' resulted in error: no such key: missing";
    denied(&make(&client, "two", json!({"a": "1", "b": "2"})).await, 422, why);
}

#[tokio::test]
async fn messages_fall_back() {
    let client = Client::new().await;
    let check = async |message: Value, code: u16, expected: &str| {
        let mut validation = json!({"expression": "object.data.k == 'right'"});
        for (field, value) in message.as_object().unwrap() {
            validation[field] = value.clone();
        }
        let name = format!("p{}-{code}", expected.len());
        require(&client, &name, "true", json!({"validations": [validation]})).await;
        denied(&make(&client, "x", json!({"k": "v"})).await, code, expected);
        client.delete(&format!("{GROUP}/validatingadmissionpolicybindings/{name}"), json!({})).await;
    };
    check(json!({"messageExpression": "'not ' + object.data.k", "message": "m", "reason": "Forbidden"}), 403, "not v")
        .await;
    check(json!({"messageExpression": "string(object.data.missing)", "message": "given"}), 422, "given").await;
    check(json!({"messageExpression": "'two\\nlines'"}), 422, "failed expression: object.data.k == 'right'").await;
}

#[tokio::test]
async fn parameters_come_from_objects_of_any_kind() {
    let client = Client::new().await;
    let spec = |api_version: &str, kind: &str| {
        json!({
            "matchConstraints": about("", "configmaps"), "paramKind": {"apiVersion": api_version, "kind": kind},
            "validations": [{"expression": "params == null || params.metadata.name != 'strict' || object.data.k == 'v'"}],
        })
    };
    let selected = json!({"paramRef": {
        "selector": {"matchLabels": {"rules": "yes"}}, "parameterNotFoundAction": "Allow"}});
    bind(&client, "validating", "p", spec("v1", "Secret"), selected).await;
    assert_eq!(make(&client, "none", json!({"k": "w"})).await.code, 201);
    let secrets = "/api/v1/namespaces/default/secrets";
    client.post(secrets, json!({"metadata": {"name": "lax", "labels": {"rules": "yes"}}})).await;
    assert_eq!(make(&client, "lax", json!({"k": "w"})).await.code, 201);
    client.post(secrets, json!({"metadata": {"name": "strict", "labels": {"rules": "yes"}}})).await;
    assert_eq!(make(&client, "strict", json!({"k": "w"})).await.code, 422);
    assert_eq!(make(&client, "right", json!({"k": "v"})).await.code, 201);
    bind(&client, "validating", "unknown", spec("example.com/v1", "Nothing"), json!({})).await;
    let why =
        "failed to configure policy: failed to find resource referenced by paramKind: 'example.com/v1, Kind=Nothing'";
    denied(&make(&client, "x", json!({"k": "v"})).await, 422, why);
}

#[tokio::test]
async fn bindings_say_what_is_done_and_where() {
    let client = Client::new().await;
    let spec = json!({
        "matchConstraints": about("", "configmaps"), "validations": [{"expression": "false", "message": "no"}],
        "auditAnnotations": [{"key": "kind", "valueExpression": "string(object.kind)"}],
    });
    let elsewhere = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}});
    bind(&client, "validating", "p", spec, json!({"matchResources": elsewhere})).await;
    assert_eq!(make(&client, "x", json!({})).await.code, 201);
    let warn = json!({"metadata": {"name": "w"}, "spec": {"policyName": "p", "validationActions": ["Warn", "Audit"]}});
    client.post(&format!("{GROUP}/validatingadmissionpolicybindings"), warn).await;
    let made = make(&client, "y", json!({})).await;
    let warning = r#"299 - "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'w': no""#;
    assert_eq!((made.code, made.warnings.as_slice()), (201, &[warning.to_owned()][..]));
}

#[tokio::test]
async fn another_version_of_the_resource_is_shown_as_the_policy_knows_it() {
    let client = Client::new().await;
    let mut constraints = about("autoscaling", "horizontalpodautoscalers");
    constraints["resourceRules"][0]["apiVersions"] = json!(["v2"]);
    let spec = json!({
        "matchConstraints": constraints,
        "validations": [{"expression": "object.apiVersion == 'autoscaling/v2' && object.spec.metrics.size() == 2"}],
    });
    bind(&client, "validating", "p", spec, json!({})).await;
    let scaler = json!({"metadata": {"name": "x"}, "spec": {
        "maxReplicas": 2, "targetCPUUtilizationPercentage": 50,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}});
    let made = client.post("/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers", scaler).await;
    let why = "failed expression: object.apiVersion == 'autoscaling/v2' && object.spec.metrics.size() == 2";
    denied(&made, 422, why);
}

/// A mutating policy about a resource.
async fn mutate(client: &Client, name: &str, group: &str, resource: &str, mutation: Value) {
    let spec = json!({
        "matchConstraints": about(group, resource), "mutations": [mutation], "reinvocationPolicy": "IfNeeded"});
    bind(client, "mutating", name, spec, json!({})).await;
}

fn apply(expression: &str) -> Value {
    json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}})
}

fn patch(expression: &str) -> Value {
    json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}})
}

#[tokio::test]
async fn configurations_are_merged_by_the_schema_and_defaulted() {
    let client = Client::new().await;
    let expression = "Object{
        metadata: Object.metadata{labels: {'team': 'shop'}},
        spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{
            initContainers: [Object.spec.template.spec.initContainers{name: 'side', image: 'side:1'}]}}}}";
    mutate(&client, "p", "apps", "deployments", apply(expression)).await;
    let made = client.post(DEPLOYMENTS, deployment("web")).await;
    assert_eq!(made.body["metadata"]["labels"]["team"], "shop", "{made:?}");
    let pod = &made.body["spec"]["template"]["spec"];
    assert_eq!(pod["initContainers"][0]["terminationMessagePolicy"], "File", "defaulted after the merge");
    assert_eq!(pod["containers"].as_array().unwrap().len(), 1, "what it does not mention stays");
}

#[tokio::test]
async fn configurations_do_not_replace_what_has_one_owner() {
    let client = Client::new().await;
    let expression = "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{
        containers: [Object.spec.template.spec.containers{name: 'app', args: ['x']}]}}}}";
    mutate(&client, "p", "apps", "deployments", apply(expression)).await;
    let made = client.post(DEPLOYMENTS, deployment("web")).await;
    let why = "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: \
               .spec.template.spec.containers[0].args";
    denied(&made, 403, why);
    assert_eq!(made.body["reason"], "Invalid");
    let expression = "Object{metadata: Object.spec{labels: {'a': 'b'}}}";
    mutate(&client, "a-first", "apps", "deployments", apply(expression)).await;
    let made = client.post(DEPLOYMENTS, deployment("web")).await;
    let why = "type mismatch: unexpected type name \"Object.spec\", expected \"Object.metadata\", which matches field \
               name path from root Object type";
    denied(&made, 403, why);
}

#[tokio::test]
async fn operations_patch_and_later_changes_ask_again() {
    let client = Client::new().await;
    let expression = "'second' in object.data ? [JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), \
                      value: 'both'}] : []";
    mutate(&client, "a", "", "configmaps", patch(expression)).await;
    let expression = "'second' in object.data ? [] : [JSONPatch{op: 'test', path: '/data/k', value: 'v'}, \
                      JSONPatch{op: 'add', path: '/data/second', value: 'yes'}]";
    mutate(&client, "b", "", "configmaps", patch(expression)).await;
    let made = make(&client, "x", json!({"k": "v"})).await;
    assert_eq!(made.body["data"], json!({"k": "v", "second": "yes"}), "{made:?}");
    assert_eq!(made.body["metadata"]["labels"], json!({"app": "x", "a/b": "both"}));
    let other = make(&client, "y", json!({"k": "w"})).await;
    assert_eq!(other.body["data"], json!({"k": "w"}), "a test that fails keeps the patch from being applied");
}

#[tokio::test]
async fn what_is_noted_can_fail_and_messages_know_no_authorizer() {
    let client = Client::new().await;
    let annotations = json!({"auditAnnotations": [{"key": "k", "valueExpression": "string(object.data.missing)"}]});
    require(&client, "p", "true", annotations).await;
    let why = "expression 'string(object.data.missing)' resulted in error: no such key: missing";
    denied(&make(&client, "x", json!({"k": "v"})).await, 422, why);
    for (validation, expected) in [
        (
            json!({"expression": "true", "messageExpression": "authorizer.path('/').check('get').reason()"}),
            "undeclared reference to 'authorizer' (in container '')",
        ),
        (json!({"expression": "object.immutable"}), "must evaluate to bool but got dyn"),
        (json!({"expression": "true", "messageExpression": "1"}), "must evaluate to string but got int"),
    ] {
        let spec = json!({"matchConstraints": about("", "configmaps"), "validations": [validation]});
        let kind = format!("{GROUP}/validatingadmissionpolicies");
        let made = client.post(&kind, json!({"metadata": {"name": "q"}, "spec": spec})).await;
        let said = made.body["message"].as_str().unwrap();
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn policies_are_not_asked_about_policies() {
    let client = Client::new().await;
    let mut everything = about("*", "*");
    everything["resourceRules"][0]["apiVersions"] = json!(["*"]);
    let spec = json!({"matchConstraints": everything, "validations": [{"expression": "false"}]});
    bind(&client, "validating", "p", spec, json!({})).await;
    assert_eq!(make(&client, "x", json!({})).await.code, 422);
    let review = json!({"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}});
    assert_eq!(client.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).await.code, 201);
    let gone = client.delete(&format!("{GROUP}/validatingadmissionpolicybindings/p"), json!({})).await;
    assert_eq!(gone.code, 200);
    assert_eq!(make(&client, "x", json!({})).await.code, 201);
}
