use serde_json::{Value, json};
use steersman_store::{Attributes as Selected, Draft, Expect, Key, MemoryStore, Store, Write};

use super::*;
use crate::authorization::{Authorizer, Target};

async fn put(store: &MemoryStore, resource: &str, object: &Value) {
    let (namespace, name) =
        (object["metadata"]["namespace"].as_str().unwrap_or(""), object["metadata"]["name"].as_str());
    let key = Key::new(resource, namespace, name.unwrap());
    let mut json = object.clone();
    json["metadata"]["resourceVersion"] = json!("");
    let text = json.to_string();
    let at = text.find(r#""resourceVersion":"""#).unwrap() + r#""resourceVersion":""#.len();
    let before = store.get(&key).await.unwrap();
    let expect = before.map_or(Expect::Absent, |entry| Expect::Revision(entry.revision));
    let draft = Draft::new(text.into_bytes(), at);
    store.commit(Write::Put { key, draft, attributes: Arc::new(Selected::default()), expect }).await.unwrap();
}

async fn delete(store: &MemoryStore, resource: &str, namespace: &str, name: &str) {
    let key = Key::new(resource, namespace, name);
    let revision = store.get(&key).await.unwrap().unwrap().revision;
    store.commit(Write::Delete { key, expect: Expect::Revision(revision) }).await.unwrap();
}

fn role(namespace: &str, name: &str, verbs: &[&str]) -> Value {
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]);
    json!({"metadata": {"namespace": namespace, "name": name}, "rules": rules})
}

fn binding(namespace: &str, name: &str, role: (&str, &str), subject: Value) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": name},
        "roleRef": {"kind": role.0, "name": role.1},
        "subjects": [subject],
    })
}

async fn decide(authorizer: &Authorizer, store: &MemoryStore, user: &UserInfo, request: (&str, &str)) -> String {
    let (verb, namespace) = request;
    let target = Target::Resource { group: "", resource: "pods", subresource: "", namespace, name: "" };
    let attributes = Attributes { user, verb, target, field_selector: "" };
    let verdict = authorizer.view(store).await.unwrap().decide(&attributes);
    format!("{} {}", verdict.is_allowed(), verdict.reason)
}

#[tokio::test]
async fn bindings_give_roles_and_say_why() {
    let (store, authorizer) = (MemoryStore::default(), Authorizer::default());
    put(&store, ROLES, &role("a", "reader", &["get"])).await;
    put(&store, CLUSTER_ROLES, &role("", "lister", &["list"])).await;
    let account = json!({"kind": "ServiceAccount", "name": "robot"});
    put(&store, ROLE_BINDINGS, &binding("a", "one", ("Role", "reader"), account)).await;
    let group = json!({"kind": "Group", "name": "dev"});
    put(&store, ROLE_BINDINGS, &binding("a", "two", ("ClusterRole", "lister"), group)).await;
    let jane = json!({"kind": "User", "name": "jane"});
    put(&store, CLUSTER_ROLE_BINDINGS, &binding("", "three", ("ClusterRole", "lister"), jane.clone())).await;
    put(&store, CLUSTER_ROLE_BINDINGS, &binding("", "four", ("ClusterRole", "gone"), jane)).await;
    let robot = UserInfo::known("system:serviceaccount:a:robot", &[]);
    let (joe, jane) = (UserInfo::known("joe", &["dev"]), UserInfo::known("jane", &[]));
    let gone = "RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found";
    for (user, request, expect) in [
        (
            &robot,
            ("get", "a"),
            "true RBAC: allowed by RoleBinding \"one/a\" of Role \"reader\" to ServiceAccount \"robot/a\"",
        ),
        (&robot, ("get", "b"), "false "),
        (&robot, ("get", ""), "false "),
        (&joe, ("list", "a"), "true RBAC: allowed by RoleBinding \"two/a\" of ClusterRole \"lister\" to Group \"dev\""),
        (&joe, ("get", "a"), "false "),
        (
            &jane,
            ("list", ""),
            "true RBAC: allowed by ClusterRoleBinding \"three\" of ClusterRole \"lister\" to User \"jane\"",
        ),
        (&jane, ("get", "a"), &format!("false {gone}")),
        (&UserInfo::admin(), ("get", "b"), "true "),
    ] {
        assert_eq!(decide(&authorizer, &store, user, request).await, expect);
    }
}

#[tokio::test]
async fn a_change_counts_from_the_next_decision_on() {
    let (store, authorizer) = (MemoryStore::default(), Authorizer::default());
    let jane = UserInfo::known("jane", &[]);
    let subject = json!({"kind": "User", "name": "jane"});
    let allowed = async |store: &MemoryStore| decide(&authorizer, store, &jane, ("get", "a")).await.starts_with("true");
    assert!(!allowed(&store).await);
    put(&store, ROLE_BINDINGS, &binding("a", "b", ("Role", "r"), subject.clone())).await;
    assert!(!allowed(&store).await, "the role is missing");
    for _ in 0..3 {
        put(&store, ROLES, &role("a", "r", &["get"])).await;
        assert!(allowed(&store).await, "the role is there");
        put(&store, ROLES, &role("a", "r", &["list"])).await;
        assert!(!allowed(&store).await, "the role says something else");
        put(&store, ROLES, &role("a", "r", &["get"])).await;
        delete(&store, ROLE_BINDINGS, "a", "b").await;
        assert!(!allowed(&store).await, "the binding is gone");
        put(&store, ROLE_BINDINGS, &binding("a", "b", ("Role", "r"), subject.clone())).await;
        assert!(allowed(&store).await, "the binding is back");
        delete(&store, ROLES, "a", "r").await;
        assert!(!allowed(&store).await, "the role is gone");
    }
}

#[tokio::test]
async fn what_did_not_change_is_not_read_again() {
    let (store, authorizer) = (MemoryStore::default(), Authorizer::default());
    let subject = json!({"kind": "User", "name": "jane"});
    for namespace in ["a", "b"] {
        put(&store, ROLE_BINDINGS, &binding(namespace, "x", ("Role", "r"), subject.clone())).await;
    }
    let index = async || authorizer.roles(&store).await.unwrap();
    let before = index().await;
    assert!(Arc::ptr_eq(&before, &index().await));
    put(&store, "pods", &role("a", "unrelated", &[])).await;
    assert!(Arc::ptr_eq(&before, &index().await), "another resource was written");
    put(&store, ROLE_BINDINGS, &binding("a", "y", ("Role", "r"), subject)).await;
    let after = index().await;
    assert!(Arc::ptr_eq(&before.cluster, &after.cluster) && Arc::ptr_eq(&before.roles, &after.roles));
    assert!(Arc::ptr_eq(&before.namespaces["b"], &after.namespaces["b"]));
    assert!(!Arc::ptr_eq(&before.namespaces["a"], &after.namespaces["a"]));
}
