//! Table output: the columns that `kubectl get` shows, computed on the server.
//! Source: `kubernetes/pkg/printers/internalversion`; Kubernetes doc "Receiving resources as Tables".

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// A column of a Table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    /// The heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `name` marks the column that identifies the row; empty otherwise.
    pub format: String,
    /// What the column shows.
    pub description: String,
    /// 0: always shown; above 0: only with `-o wide`.
    pub priority: i32,
}

/// Prints objects of one kind as rows.
pub trait Printer: Send + Sync {
    /// The columns.
    fn columns(&self) -> Vec<Column>;

    /// The cells of one object, as many as there are columns. Ages are relative to `now`.
    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value>;

    /// The conditions of the row; only pods have any (`Completed`).
    fn row_conditions(&self, _object: &Value) -> Vec<Value> {
        Vec::new()
    }
}
