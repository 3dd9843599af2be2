//! The columns of custom resources.
//! Source: `k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor`.

use jiff::Timestamp;
use serde_json::Value;
use steersman_machinery::meta;

use super::json_path::JsonPath;
use crate::printers::{Column, Printer, duration};

/// What metav1.ObjectMeta says of names; it is on the wire.
const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some \
    resources may allow a client to request the generation of an appropriate name automatically. Name is primarily \
    intended for creation idempotence and configuration definition. Cannot be updated. More info: \
    https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
/// What metav1.ObjectMeta says of the time of creation.
const CREATION_TIMESTAMP: &str = "CreationTimestamp is a timestamp representing the server time when this object was \
    created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set \
    this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. \
    More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// Prints the objects of one version of a definition.
#[derive(Clone, Debug)]
pub struct CustomPrinter {
    columns: Vec<(Column, JsonPath)>,
}

impl CustomPrinter {
    /// From an item of `spec.versions`. A version without columns of its own shows the age.
    pub fn new(version: &Value) -> Self {
        let declared = meta::items(version, &["additionalPrinterColumns"]);
        let columns = match declared {
            [] => vec![age()],
            declared => declared.iter().map(column).collect(),
        };
        Self { columns }
    }
}

fn column(declared: &Value) -> (Column, JsonPath) {
    let text = |name: &str| meta::text(declared, &[name]).to_owned();
    let path = text("jsonPath");
    let description = match text("description") {
        none if none.is_empty() => format!("Custom resource definition column (in JSONPath format): {path}"),
        given => given,
    };
    let priority = declared.get("priority").and_then(Value::as_i64);
    let column = Column {
        name: text("name"),
        kind: text("type"),
        format: text("format"),
        description,
        priority: priority.and_then(|priority| i32::try_from(priority).ok()).unwrap_or_default(),
    };
    (column, JsonPath::parse(&path).unwrap_or_default())
}

fn age() -> (Column, JsonPath) {
    let column = Column {
        name: "Age".to_owned(),
        kind: "date".to_owned(),
        format: String::new(),
        description: CREATION_TIMESTAMP.to_owned(),
        priority: 0,
    };
    (column, JsonPath::parse(".metadata.creationTimestamp").unwrap_or_default())
}

impl Printer for CustomPrinter {
    fn columns(&self) -> Vec<Column> {
        let name = Column {
            name: "Name".to_owned(),
            kind: "string".to_owned(),
            format: "name".to_owned(),
            description: NAME.to_owned(),
            priority: 0,
        };
        std::iter::once(name).chain(self.columns.iter().map(|(column, _)| column.clone())).collect()
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let cell = |(column, path): &(Column, JsonPath)| match path.find(object).first() {
            Some(value) => cell(&column.kind, value, now),
            None => Value::Null,
        };
        std::iter::once(Value::from(meta::name(object))).chain(self.columns.iter().map(cell)).collect()
    }
}

/// A value as a column of that type shows it; null if it has another type.
fn cell(kind: &str, value: &Value, now: Timestamp) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(_)) => value.clone(),
        ("string", other) => Value::from(other.to_string()),
        ("integer", Value::Number(number)) => {
            let whole = number.as_i64().or_else(|| number.as_f64().map(|number| number.trunc() as i64));
            whole.map_or(Value::Null, Value::from)
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(time)) => match time.parse::<Timestamp>() {
            Ok(then) => Value::from(duration::human(duration::between(then, now))),
            Err(_) => Value::from("<invalid>"),
        },
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_have_the_type_of_their_column() {
        let column = |name: &str, kind: &str, path: &str| json!({"name": name, "type": kind, "jsonPath": path});
        let printer = CustomPrinter::new(&json!({"additionalPrinterColumns": [
            column("Engine", "string", ".spec.engine"),
            column("Size", "integer", ".spec.size"),
            column("Ratio", "number", ".spec.ratio"),
            column("HA", "boolean", ".spec.ha"),
            column("Tags", "string", ".spec.tags"),
            column("First", "string", ".spec.tags[0]"),
            column("Nested", "string", ".spec.nested"),
            column("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status"),
            column("When", "date", ".spec.when"),
        ]}));
        let now = "2020-05-01T10:05:00Z".parse().unwrap();
        let full = json!({"metadata": {"name": "a"}, "spec": {"engine": "postgres", "size": 10, "ratio": 0.5, "ha": true,
            "tags": ["x", "y"], "nested": {"a": "b"}, "when": "2020-05-01T10:00:00Z"},
            "status": {"conditions": [{"type": "Synced", "status": "False"}, {"type": "Ready", "status": "True"}]}});
        assert_eq!(
            Value::from(printer.cells(&full, now)),
            json!(["a", "postgres", 10, 0.5, true, "[\"x\",\"y\"]", "x", "{\"a\":\"b\"}", "True", "5m"])
        );
        let bare = json!({"metadata": {"name": "b"}, "spec": {"size": "large"}});
        assert_eq!(printer.cells(&bare, now)[1..], vec![Value::Null; 9]);
        let engine = &printer.columns()[1];
        assert_eq!(engine.description, "Custom resource definition column (in JSONPath format): .spec.engine");
    }

    #[test]
    fn without_columns_the_age_is_shown() {
        let printer = CustomPrinter::new(&json!({}));
        let names: Vec<String> = printer.columns().into_iter().map(|column| column.name).collect();
        assert_eq!(names, ["Name", "Age"]);
    }
}
