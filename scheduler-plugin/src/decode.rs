//! Reading objects, and saying where what can't be read stands: serde tells only what it expected.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// The value as a type; the error begins with the path of what is wrong.
pub(crate) fn decode<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    let complaint = |value: &Value| T::deserialize(value).err().map(|error| error.to_string());
    T::deserialize(value).map_err(|error| {
        let (mut path, error) = (place(value, &complaint), error.to_string());
        if error.starts_with("unknown field") {
            // The complaint itself has the name.
            path.truncate(path.rfind('.').unwrap_or(0));
        }
        if path.is_empty() { error } else { format!("{path}: {error}") }
    })
}

/// The smallest part without which the complaint is another one, or none; of several that give the same, the first.
fn place(value: &Value, complaint: &dyn Fn(&Value) -> Option<String>) -> String {
    let original = complaint(value);
    let (mut path, mut pointer) = (String::new(), String::new());
    loop {
        let steps = parts(value.pointer(&pointer).unwrap_or(&Value::Null));
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut rest = value.clone();
            rest.pointer_mut(&pointer).into_iter().for_each(change);
            complaint(&rest)
        };
        let matters = |step: &&Step| changed(&|part| step.remove(part)) != original;
        let suffices = |step: &&Step| changed(&|part| step.keep_alone(part)) == original;
        let Some(step) = steps.iter().find(matters).or_else(|| steps.iter().find(suffices)) else { return path };
        match step {
            Step::Key(key) => {
                let dot = if path.is_empty() { "" } else { "." };
                path.push_str(&format!("{dot}{key}"));
                pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")));
            }
            Step::Item(number) => {
                path.push_str(&format!("[{number}]"));
                pointer.push_str(&format!("/{number}"));
            }
        }
    }
}

enum Step {
    Key(String),
    Item(usize),
}

impl Step {
    fn remove(&self, from: &mut Value) {
        match (self, from) {
            (Self::Key(key), Value::Object(fields)) => _ = fields.remove(key),
            (Self::Item(number), Value::Array(items)) => _ = items.remove(*number),
            _ => {}
        }
    }

    /// Removes everything beside it.
    fn keep_alone(&self, from: &mut Value) {
        match (self, from) {
            (Self::Key(key), Value::Object(fields)) => fields.retain(|other, _| other == key),
            (Self::Item(number), Value::Array(items)) => *items = vec![items[*number].take()],
            _ => {}
        }
    }
}

fn parts(value: &Value) -> Vec<Step> {
    match value {
        Value::Object(fields) => fields.keys().cloned().map(Step::Key).collect(),
        Value::Array(items) => (0..items.len()).map(Step::Item).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire;

    #[test]
    fn errors_name_the_place() {
        let check = |object: Value, expect: &str| {
            assert_eq!(decode::<wire::Pod>(&object).map(drop), Err(expect.to_owned()), "{object}");
        };
        check(
            json!({"metadata": {"name": "a", "namespace": 5}, "spec": {"containers": []}}),
            "metadata.namespace: invalid type: integer `5`, expected a string",
        );
        check(
            json!({"spec": {"containers": [{"name": "c"}, {"name": "d", "ports": [{"hostPort": "http"}]}]}}),
            "spec.containers[1].ports[0].hostPort: invalid type: string \"http\", expected i32",
        );
        check(
            json!({"metadata": {"labels": {"a": null}}, "spec": {"nodeSelector": {"b": null}, "containers": null}}),
            "metadata.labels.a: invalid type: null, expected a string",
        );
        check(json!("a"), "invalid type: string \"a\", expected struct Pod");
    }
}
