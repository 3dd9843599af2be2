//! What the printers are written with: column definitions as constants, and short names for reading an object.

use jiff::Timestamp;
use serde_json::Value;
use steersman_machinery::meta;

use super::{Column, Printer, duration};

/// What stands for nothing.
pub(super) const NONE: &str = "<none>";
/// What stands for a field that was not set, in the newer printers.
pub(super) const UNSET: &str = "<unset>";
/// How many items of a list a cell shows before it counts the rest.
pub(super) const SHOWN: usize = 3;

/// A column as a constant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Def {
    name: &'static str,
    kind: &'static str,
    format: &'static str,
    description: &'static str,
    priority: i32,
}

/// The name of the object.
pub(super) const NAME: Def = named(
    "Name",
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow \
         a client to request the generation of an appropriate name automatically. Name is primarily intended for \
         creation idempotence and configuration definition. Cannot be updated. More info: \
         https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
);

/// The name of the object, where `-o wide` alone shows it.
pub(super) const WIDE_NAME: Def = Def { priority: 1, ..NAME };

/// The name of the object, where nothing marks it as such.
pub(super) const PLAIN_NAME: Def = Def { format: "", ..NAME };

/// How long ago the object was made.
pub(super) const AGE: Def = text("Age", CREATED);

/// When the object was made.
pub(super) const CREATED_AT: Def = Def { kind: "date", ..text("Created At", CREATED) };

/// What upstream says of `metadata.creationTimestamp`.
const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is \
     not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is \
     represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
     https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// A column of texts.
pub(super) const fn text(name: &'static str, description: &'static str) -> Def {
    Def { name, kind: "string", format: "", description, priority: 0 }
}

/// A column of names: of the object, or of another one.
pub(super) const fn named(name: &'static str, description: &'static str) -> Def {
    Def { format: "name", ..text(name, description) }
}

/// A column of whole numbers.
pub(super) const fn integer(name: &'static str, description: &'static str) -> Def {
    Def { kind: "integer", ..text(name, description) }
}

/// A column of truth values.
pub(super) const fn boolean(name: &'static str, description: &'static str) -> Def {
    Def { kind: "boolean", ..text(name, description) }
}

/// A column of texts that only `-o wide` shows.
pub(super) const fn wide(name: &'static str, description: &'static str) -> Def {
    Def { priority: 1, ..text(name, description) }
}

/// The printer of a built-in kind.
#[derive(Clone, Copy)]
pub(super) struct Native {
    pub(super) columns: &'static [Def],
    pub(super) cells: fn(&Row<'_>) -> Vec<Value>,
    pub(super) conditions: fn(&Value) -> Vec<Value>,
}

impl Native {
    /// A printer whose rows carry no conditions.
    pub(super) const fn new(columns: &'static [Def], cells: fn(&Row<'_>) -> Vec<Value>) -> Self {
        Self { columns, cells, conditions: |_| Vec::new() }
    }
}

impl Printer for Native {
    fn columns(&self) -> Vec<Column> {
        self.columns
            .iter()
            .map(|def| Column {
                name: def.name.to_owned(),
                kind: def.kind.to_owned(),
                format: def.format.to_owned(),
                description: def.description.to_owned(),
                priority: def.priority,
            })
            .collect()
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        (self.cells)(&Row { object, now })
    }

    fn row_conditions(&self, object: &Value) -> Vec<Value> {
        (self.conditions)(object)
    }
}

/// The cells of a row.
macro_rules! cells {
    ($($cell:expr),* $(,)?) => { vec![$(serde_json::Value::from($cell)),*] };
}
pub(super) use cells;

/// An object to print, and when. Paths are dotted: `spec.nodeName`.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) object: &'a Value,
    pub(super) now: Timestamp,
}

impl<'a> Row<'a> {
    /// The value at the path.
    pub(super) fn at(&self, path: &str) -> Option<&'a Value> {
        at(self.object, path)
    }

    /// The text at the path; empty if there is none.
    pub(super) fn text(&self, path: &str) -> &'a str {
        text_at(self.object, path)
    }

    /// The text at the path, or what stands for it if it is empty.
    pub(super) fn text_or(&self, path: &str, instead: &'a str) -> &'a str {
        non_empty(self.text(path), instead)
    }

    /// The whole number at the path; 0 if there is none.
    pub(super) fn integer(&self, path: &str) -> i64 {
        self.at(path).and_then(Value::as_i64).unwrap_or_default()
    }

    /// The truth value at the path; false if there is none.
    pub(super) fn flag(&self, path: &str) -> bool {
        self.at(path).and_then(Value::as_bool).unwrap_or_default()
    }

    /// The list at the path; empty if there is none.
    pub(super) fn list(&self, path: &str) -> &'a [Value] {
        list_at(self.object, path)
    }

    /// How many entries the map or list at the path has.
    pub(super) fn count(&self, path: &str) -> usize {
        match self.at(path) {
            Some(Value::Object(map)) => map.len(),
            Some(Value::Array(list)) => list.len(),
            _ => 0,
        }
    }

    /// The name of the object.
    pub(super) fn name(&self) -> &'a str {
        meta::name(self.object)
    }

    /// The age of the object.
    pub(super) fn age(&self) -> String {
        self.since("metadata.creationTimestamp")
    }

    /// How long ago the time at the path was.
    pub(super) fn since(&self, path: &str) -> String {
        duration::since(self.text(path), self.now)
    }

    /// Whether the object is on its way out.
    pub(super) fn is_deleting(&self) -> bool {
        meta::deletion_timestamp(self.object).is_some()
    }

    /// Whether the status has a condition of that type that is true.
    pub(super) fn has_condition(&self, kind: &str) -> bool {
        self.condition(kind).is_some_and(|condition| text_at(condition, "status") == "True")
    }

    /// The first condition of that type in the status.
    pub(super) fn condition(&self, kind: &str) -> Option<&'a Value> {
        self.list("status.conditions").iter().find(|condition| text_at(condition, "type") == kind)
    }

    /// The map of texts at the path as `k=v,…`.
    pub(super) fn labels(&self, path: &str) -> String {
        labels(self.at(path))
    }

    /// Names and images of the containers of the pod spec at the path.
    pub(super) fn containers(&self, pod_spec: &str) -> (String, String) {
        let containers = list_at(self.at(pod_spec).unwrap_or(&Value::Null), "containers");
        let joined = |field| containers.iter().map(|it| text_at(it, field)).collect::<Vec<_>>().join(",");
        (joined("name"), joined("image"))
    }
}

/// The value at the dotted path.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, step| value.get(step)).filter(|value| !value.is_null())
}

/// The text at the dotted path; empty if there is none.
pub(super) fn text_at<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// The list at the dotted path; empty if there is none.
pub(super) fn list_at<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The text, or what stands for it if it is empty.
pub(super) fn non_empty<'a>(text: &'a str, instead: &'a str) -> &'a str {
    if text.is_empty() { instead } else { text }
}

/// A quantity, an int-or-percent or any other scalar, as it is written.
pub(super) fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The scalar, or what stands for it if there is none.
pub(super) fn scalar_or(value: Option<&Value>, instead: &str) -> String {
    value.map_or_else(|| instead.to_owned(), scalar)
}

/// A map of texts as `k=v,…` in order of the keys.
pub(super) fn labels(map: Option<&Value>) -> String {
    let pairs: Vec<_> = map
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() { NONE.to_owned() } else { pairs.join(",") }
}

/// A label selector as its requirements in order of their keys; `None` if one makes no sense.
pub(super) fn selector(value: Option<&Value>) -> Option<String> {
    let empty = Value::Null;
    let value = value.unwrap_or(&empty);
    let mut requirements: Vec<(&str, String)> =
        meta::pairs(value, &["matchLabels"]).map(|(key, value)| (key, format!("{key}={value}"))).collect();
    for expression in list_at(value, "matchExpressions") {
        let key = text_at(expression, "key");
        let mut values: Vec<_> = list_at(expression, "values").iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let text = match (text_at(expression, "operator"), values.as_slice()) {
            ("In", [_, ..]) => format!("{key} in ({})", values.join(",")),
            ("NotIn", [_, ..]) => format!("{key} notin ({})", values.join(",")),
            ("Exists", []) => key.to_owned(),
            ("DoesNotExist", []) => format!("!{key}"),
            _ => return None,
        };
        requirements.push((key, text));
    }
    requirements.sort_by_key(|(key, _)| *key);
    Some(requirements.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(","))
}

/// A label selector; `<none>` if it is empty, `<error>` if it makes no sense.
pub(super) fn selector_or_none(value: Option<&Value>) -> String {
    match selector(value) {
        Some(text) if text.is_empty() => NONE.to_owned(),
        Some(text) => text,
        None => "<error>".to_owned(),
    }
}

/// The first items, joined by commas, and how many more there are.
pub(super) fn first_few(items: &[String], empty: &str) -> String {
    match items {
        [] => empty.to_owned(),
        _ if items.len() <= SHOWN => items.join(","),
        _ => format!("{} + {} more...", items[..SHOWN].join(","), items.len() - SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_are_written_in_order_of_their_keys() {
        let check = |value: Value, expect: &str| assert_eq!(selector_or_none(Some(&value)), expect, "{value}");
        check(json!({}), NONE);
        check(json!({"matchLabels": {"b": "2", "a": "1"}}), "a=1,b=2");
        check(
            json!({"matchLabels": {"m": "1"}, "matchExpressions": [
                {"key": "z", "operator": "In", "values": ["y", "x"]},
                {"key": "n", "operator": "NotIn", "values": ["x"]},
                {"key": "a", "operator": "Exists"},
                {"key": "o", "operator": "DoesNotExist"}]}),
            "a,m=1,n notin (x),!o,z in (x,y)",
        );
        check(json!({"matchExpressions": [{"key": "a", "operator": "In"}]}), "<error>");
    }

    #[test]
    fn long_lists_are_cut() {
        let list = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert_eq!(first_few(&list(0), NONE), NONE);
        assert_eq!(first_few(&list(3), NONE), "0,1,2");
        assert_eq!(first_few(&list(5), NONE), "0,1,2 + 2 more...");
    }
}
