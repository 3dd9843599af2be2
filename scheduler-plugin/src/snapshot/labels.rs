//! Node labels in columns: one column a key, one small number a value.
//!
//! A selector is evaluated once on each distinct value, and then is a look-up of numbers for each node. Topology keys
//! (`topology.kubernetes.io/zone`) are the same columns: two nodes are in one place if their numbers are equal.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Row;
use crate::selector;
use crate::wire::{Map, Requirement};

/// The number of a value in its column; 0 if the node lacks the label.
pub type ValueId = u32;

/// All labels of all nodes.
#[derive(Debug, Default)]
pub struct Labels {
    by_key: BTreeMap<Arc<str>, usize>,
    columns: Vec<LabelColumn>,
}

/// The values of one label.
#[derive(Debug, Default)]
pub struct LabelColumn {
    rows: Vec<ValueId>,
    /// Number to text; the first is that of absence.
    values: Vec<Value>,
    ids: HashMap<Arc<str>, ValueId>,
    free: Vec<ValueId>,
}

#[derive(Debug, Default)]
struct Value {
    text: Arc<str>,
    nodes: u32,
}

impl Labels {
    /// Replaces the labels of a node.
    pub(super) fn set(&mut self, row: Row, old: &Map, new: &Map) {
        for key in old.keys().filter(|key| !new.contains_key(*key)) {
            if let Some(&column) = self.by_key.get(key.as_str()) {
                self.columns[column].set(row, None);
            }
        }
        for (key, value) in new {
            let column = match self.by_key.get(key.as_str()) {
                Some(&column) => column,
                None => {
                    let column = self.columns.len();
                    self.columns.push(LabelColumn { values: vec![Value::default()], ..LabelColumn::default() });
                    self.by_key.insert(Arc::from(key.as_str()), column);
                    column
                }
            };
            self.columns[column].set(row, Some(value));
        }
    }

    /// The column of a key; `None` if no node has had that label.
    pub fn column(&self, key: &str) -> Option<&LabelColumn> {
        self.by_key.get(key).map(|&column| &self.columns[column])
    }

    /// The number of a key's column, for looking at it often. Stays the same for ever.
    pub fn column_number(&self, key: &str) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// A column by its number.
    pub fn numbered(&self, number: usize) -> &LabelColumn {
        &self.columns[number]
    }

    /// The value of a node's label.
    pub fn get(&self, row: Row, key: &str) -> Option<&str> {
        self.column(key)?.text(row)
    }

    /// A requirement, evaluated on all values that nodes have.
    pub fn matcher(&self, requirement: &Requirement) -> Matcher {
        let Some(&index) = self.by_key.get(requirement.key.as_str()) else {
            return Matcher::constant(selector::satisfies(requirement, None));
        };
        let column = &self.columns[index];
        if let ("In", [value]) = (requirement.operator.as_str(), requirement.values.as_slice()) {
            return match column.ids.get(value.as_str()) {
                Some(&id) => Matcher::Value(index, id),
                None => Matcher::constant(false),
            };
        }
        let verdict = |(id, value): (usize, &Value)| {
            let text = (id > 0).then_some(&*value.text);
            selector::satisfies(requirement, text)
        };
        Matcher::Values(index, column.values.iter().enumerate().map(verdict).collect())
    }

    /// The matcher for a label that must have a value.
    pub fn pair_matcher(&self, key: &str, value: &str) -> Matcher {
        let found = self.by_key.get(key).and_then(|&index| Some((index, *self.columns[index].ids.get(value)?)));
        match found {
            Some((index, id)) => Matcher::Value(index, id),
            None => Matcher::constant(false),
        }
    }
}

impl LabelColumn {
    fn set(&mut self, row: Row, text: Option<&str>) {
        let row = row as usize;
        if self.rows.len() <= row {
            self.rows.resize(row + 1, 0);
        }
        let id = text.map_or(0, |text| self.id(text));
        if id > 0 {
            self.values[id as usize].nodes += 1;
        }
        let old = std::mem::replace(&mut self.rows[row], id);
        if old > 0 {
            self.release(old);
        }
    }

    fn id(&mut self, text: &str) -> ValueId {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let text: Arc<str> = Arc::from(text);
        let value = Value { text: text.clone(), nodes: 0 };
        let id = if let Some(id) = self.free.pop() {
            self.values[id as usize] = value;
            id
        } else {
            self.values.push(value);
            ValueId::try_from(self.values.len() - 1).expect("fewer values than nodes")
        };
        self.ids.insert(text, id);
        id
    }

    fn release(&mut self, id: ValueId) {
        let value = &mut self.values[id as usize];
        value.nodes -= 1;
        if value.nodes == 0 {
            self.ids.remove(&value.text);
            self.free.push(id);
        }
    }

    /// The number of a node's value; 0 if the node lacks the label.
    pub fn value(&self, row: Row) -> ValueId {
        self.rows.get(row as usize).copied().unwrap_or(0)
    }

    /// The node's value.
    pub fn text(&self, row: Row) -> Option<&str> {
        match self.value(row) {
            0 => None,
            id => Some(&self.values[id as usize].text),
        }
    }

    /// The number of a value; `None` if no node has had it.
    pub fn number_of(&self, text: &str) -> Option<ValueId> {
        self.ids.get(text).copied()
    }

    /// How many nodes have the value of that number.
    pub fn nodes(&self, value: ValueId) -> u32 {
        self.values.get(value as usize).map_or(0, |value| value.nodes)
    }

    /// One more than the highest number in use: the length of a table by value.
    pub fn values(&self) -> usize {
        self.values.len()
    }
}

/// A requirement that was evaluated on the values of its column. Valid until the snapshot changes.
#[derive(Clone, Debug)]
pub enum Matcher {
    /// Every node gets the same answer.
    Constant(bool),
    /// Nodes with this value in this column.
    Value(usize, ValueId),
    /// The answer by value.
    Values(usize, Vec<bool>),
}

impl Matcher {
    const fn constant(answer: bool) -> Self {
        Self::Constant(answer)
    }

    /// Whether a node satisfies the requirement.
    pub fn matches(&self, labels: &Labels, row: Row) -> bool {
        match self {
            Self::Constant(answer) => *answer,
            Self::Value(column, value) => labels.columns[*column].value(row) == *value,
            Self::Values(column, answers) => answers[labels.columns[*column].value(row) as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Map {
        pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn columns_follow_the_nodes_labels() {
        let mut labels = Labels::default();
        let (a, b) = (map(&[("zone", "a"), ("disk", "ssd")]), map(&[("zone", "b")]));
        labels.set(0, &Map::new(), &a);
        labels.set(1, &Map::new(), &b);
        assert_eq!(labels.get(0, "disk"), Some("ssd"));
        assert_eq!(labels.get(1, "disk"), None);
        let zone_a = labels.pair_matcher("zone", "a");
        assert!(zone_a.matches(&labels, 0) && !zone_a.matches(&labels, 1));
        labels.set(0, &a, &b);
        assert_eq!(labels.get(0, "zone"), Some("b"));
        assert_eq!(labels.get(0, "disk"), None);
        // The number of a value that no node has any more is used again.
        labels.set(1, &b, &map(&[("zone", "c")]));
        assert_eq!(labels.column("zone").map(LabelColumn::values), Some(3));
    }

    #[test]
    fn requirements_see_absence() {
        let mut labels = Labels::default();
        labels.set(0, &Map::new(), &map(&[("cores", "8")]));
        labels.set(1, &Map::new(), &map(&[("x", "y")]));
        let check = |key: &str, operator: &str, values: &[&str], expect: [bool; 2]| {
            let matcher = labels.matcher(&Requirement {
                key: key.to_owned(),
                operator: operator.to_owned(),
                values: values.iter().map(|&value| value.to_owned()).collect(),
            });
            assert_eq!([0, 1].map(|row| matcher.matches(&labels, row)), expect, "{key} {operator}");
        };
        check("cores", "Gt", &["4"], [true, false]);
        check("cores", "NotIn", &["8"], [false, true]);
        check("cores", "In", &["8"], [true, false]);
        check("cores", "In", &["8", "16"], [true, false]);
        check("cores", "DoesNotExist", &[], [false, true]);
        check("unknown", "DoesNotExist", &[], [true, true]);
        check("unknown", "NotIn", &["1"], [true, true]);
        check("unknown", "Exists", &[], [false, false]);
    }
}
