//! What always holds of the patches, whatever they are applied to. The seed is fixed, so that a failure comes again.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Map, Value, json};

use super::tests_support::any_json;
use super::{json as json_patch, strategic};
use crate::group::GroupVersionKind;
use crate::schema::{TypeRef, builtin};

/// The seed of every test here.
const SEED: u64 = 1_847;

fn config() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(SEED), failure_persistence: None, ..ProptestConfig::default() }
}

fn with_deployment<T>(run: impl FnOnce(TypeRef<'_>) -> T) -> T {
    let ty = builtin::type_of(&GroupVersionKind::new("apps", "v1", "Deployment")).expect("a built-in kind");
    run(builtin::schema().type_ref(&ty))
}

/// A name and a text.
type Pair = (String, String);

/// What people apply: labels, finalizers, a number, containers with variables.
#[derive(Clone, Debug)]
struct Manifest {
    labels: Vec<Pair>,
    finalizers: Vec<String>,
    replicas: Option<i64>,
    containers: Vec<(String, String, Vec<Pair>)>,
}

impl Manifest {
    fn object(&self) -> Value {
        let containers: Vec<Value> = self
            .containers
            .iter()
            .map(|(name, image, env)| {
                let env: Vec<Value> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
                json!({"name": name, "image": image, "env": env})
            })
            .collect();
        let labels: Map<String, Value> = self.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let mut object = json!({
            "metadata": {"labels": labels, "finalizers": self.finalizers},
            "spec": {"template": {"spec": {"containers": containers}}},
        });
        if let Some(replicas) = self.replicas {
            object["spec"]["replicas"] = json!(replicas);
        }
        object
    }
}

/// Manifests whose names begin with `prefix`, so that those of others have other names.
fn manifests(prefix: &'static str) -> impl Strategy<Value = Manifest> {
    let name = move || (0..4_u8).prop_map(move |at| format!("{prefix}{at}"));
    let pairs = move || prop::collection::btree_map(name(), "[x-z]", 0..3).prop_map(|map| map.into_iter().collect());
    let container = (name(), "[x-z]", pairs());
    (
        pairs(),
        prop::collection::btree_set(name(), 0..3),
        proptest::option::of(0..5_i64),
        prop::collection::vec(container, 0..3),
    )
        .prop_map(|(labels, finalizers, replicas, mut containers)| {
            containers.sort();
            containers.dedup_by(|a, b| a.0 == b.0);
            Manifest { labels, finalizers: finalizers.into_iter().collect(), replicas, containers }
        })
}

/// The patch that a client sends who applied `old` before and wants `new` now: what it no longer says, it takes away.
fn difference(old: &Manifest, new: &Manifest) -> Value {
    let gone = |old: &[Pair], new: &[Pair]| -> Vec<String> {
        old.iter().map(|(key, _)| key.clone()).filter(|key| !new.iter().any(|(other, _)| other == key)).collect()
    };
    let mut patch = new.object();
    for key in gone(&old.labels, &new.labels) {
        patch["metadata"]["labels"][key] = Value::Null;
    }
    let lost: Vec<_> = old.finalizers.iter().filter(|it| !new.finalizers.contains(it)).collect();
    if !lost.is_empty() {
        patch["metadata"]["$deleteFromPrimitiveList/finalizers"] = json!(lost);
    }
    if old.replicas.is_some() && new.replicas.is_none() {
        patch["spec"]["replicas"] = Value::Null;
    }
    let containers = patch["spec"]["template"]["spec"]["containers"].as_array_mut().expect("a list");
    for (name, _, env) in &old.containers {
        match new.containers.iter().position(|(other, ..)| other == name) {
            None => containers.push(json!({"name": name, "$patch": "delete"})),
            Some(at) => {
                let list = containers[at]["env"].as_array_mut().expect("a list");
                list.extend(
                    gone(env, &new.containers[at].2).into_iter().map(|it| json!({"name": it, "$patch": "delete"})),
                );
            }
        }
    }
    patch
}

/// The object with its lists in an order of their own, and without what is empty.
fn normal(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), normal(value)))
            .filter(|(_, value)| !matches!(value, Value::Object(map) if map.is_empty()))
            .filter(|(_, value)| !matches!(value, Value::Array(list) if list.is_empty()))
            .collect(),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(normal).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        scalar => scalar.clone(),
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_client_gets_what_it_wants_and_leaves_alone_what_others_added(
        old in manifests("mine"), new in manifests("mine"), mut others in manifests("other"),
    ) {
        others.replicas = None;
        with_deployment(|ty| {
            let live = strategic::apply(&old.object(), &others.object(), ty).expect("a plain patch applies");
            let got = strategic::apply(&live, &difference(&old, &new), ty).expect("a difference applies");
            let want = strategic::apply(&new.object(), &others.object(), ty).expect("a plain patch applies");
            prop_assert_eq!(normal(&got), normal(&want));
            Ok(())
        })?;
    }

    #[test]
    fn a_strategic_merge_patch_twice_is_once(old in manifests("mine"), new in manifests("mine")) {
        with_deployment(|ty| {
            let patch = difference(&old, &new);
            let once = strategic::apply(&old.object(), &patch, ty).expect("a difference applies");
            prop_assert_eq!(strategic::apply(&once, &patch, ty).expect("and applies again"), once);
            Ok(())
        })?;
    }

    #[test]
    fn what_is_added_can_be_removed(document in any_json(), value in any_json()) {
        let document = json!({"a": document});
        let add = json!([{"op": "add", "path": "/b", "value": value}]);
        let remove = json!([{"op": "remove", "path": "/b"}]);
        let apply = |document: &Value, patch: &Value| json_patch::apply(document, patch.to_string().as_bytes());
        let added = apply(&document, &add).expect("an object takes a member");
        prop_assert_eq!(&added["b"], &value);
        prop_assert_eq!(apply(&added, &remove).expect("the member is there"), document);
    }

    #[test]
    fn a_move_is_a_copy_and_a_removal(value in any_json(), other in any_json()) {
        let document = json!({"from": value, "other": other});
        let apply = |patch: Value| json_patch::apply(&document, patch.to_string().as_bytes());
        let moved = apply(json!([{"op": "move", "from": "/from", "path": "/to"}])).expect("it is there");
        let copied = apply(json!([
            {"op": "copy", "from": "/from", "path": "/to"},
            {"op": "remove", "path": "/from"},
        ]));
        prop_assert_eq!(copied.expect("it is there"), moved);
    }

    #[test]
    fn a_patch_with_one_operation_that_fails_does_nothing(document in any_json(), value in any_json()) {
        let patch = json!([
            {"op": "replace", "path": "", "value": value},
            {"op": "test", "path": "", "value": {"no": "such document"}},
        ]);
        prop_assert!(json_patch::apply(&document, patch.to_string().as_bytes()).is_err());
    }

    #[test]
    fn a_test_holds_of_what_is_there(document in any_json()) {
        let patch = json!([{"op": "test", "path": "", "value": document}]);
        prop_assert_eq!(json_patch::apply(&document, patch.to_string().as_bytes()).expect("it is so"), document);
    }
}
