//! JSON merge patch: null deletes, objects merge, everything else replaces. Source: RFC 7386.

use serde_json::Value;

use super::without_nulls;

/// The document after the patch. A patch that is not an object replaces the whole document; the API refuses such a one
/// before it comes here.
pub fn apply(document: &Value, patch: &Value) -> Value {
    let mut merged = document.clone();
    merge_into(&mut merged, patch);
    merged
}

fn merge_into(target: &mut Value, patch: &Value) {
    let (Value::Object(patch), Value::Object(fields)) = (patch, &mut *target) else {
        *target = without_nulls(patch.clone());
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge_into(fields.entry(name.as_str()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::patch::tests_support::any_json;

    /// The examples of RFC 7386, appendix A.
    #[test]
    fn the_rfcs_examples_hold() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (document, patch, expect) in cases {
            assert_eq!(apply(&document, &patch), expect, "{document} + {patch}");
        }
    }

    #[test]
    fn nulls_within_what_comes_new_are_dropped() {
        let cases = [
            (json!({"a": [1]}), json!({"a": [{"b": null, "c": 1}, null]}), json!({"a": [{"c": 1}, null]})),
            (json!({}), json!({"a": [{"b": {"c": null}}]}), json!({"a": [{"b": {}}]})),
        ];
        for (document, patch, expect) in cases {
            assert_eq!(apply(&document, &patch), expect, "{document} + {patch}");
        }
    }

    /// The least merge patch that turns `old` into `new`.
    fn diff(old: &Value, new: &Value) -> Value {
        let (Value::Object(old), Value::Object(new)) = (old, new) else {
            return new.clone();
        };
        let mut patch = crate::Object::new();
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            patch.insert(name.clone(), Value::Null);
        }
        for (name, value) in new {
            match old.get(name) {
                Some(before) if before == value => {}
                Some(before) => drop(patch.insert(name.clone(), diff(before, value))),
                None => drop(patch.insert(name.clone(), value.clone())),
            }
        }
        Value::Object(patch)
    }

    proptest! {
        #[test]
        fn applying_a_difference_gives_the_new_document(old in any_json(), new in any_json()) {
            let old = apply(&json!({}), &old);
            let new = apply(&json!({}), &new);
            prop_assert_eq!(apply(&old, &diff(&old, &new)), new);
        }

        #[test]
        fn applying_twice_is_applying_once(document in any_json(), patch in any_json()) {
            let once = apply(&document, &patch);
            prop_assert_eq!(apply(&once, &patch), once);
        }
    }
}
