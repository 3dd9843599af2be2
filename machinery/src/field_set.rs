//! Sets of fields of an object, as server-side apply records who owns what.
//! Source: `metav1.FieldsV1`; `sigs.k8s.io/structured-merge-diff/fieldpath`.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fmt;

use serde_json::{Value, json};

use crate::Object;
use crate::field::go_quote;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathElement {
    /// A field of a struct or the key of a map.
    Field(String),
    /// The item of a list that has these values in its key fields: compact JSON, fields in alphabetical order.
    Key(String),
    /// The item of a set: compact JSON.
    Value(String),
    /// The item of a list at this place.
    Index(i64),
}

impl PathElement {
    /// The item that has these values in its key fields.
    pub fn key(fields: Object) -> Self {
        Self::Key(Value::Object(fields).to_string())
    }

    /// Reads the form that stands in FieldsV1: `f:name`, `k:{"name":"x"}`, `v:"x"`, `i:0`.
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        Some(match kind {
            "f" => Self::Field(rest.to_owned()),
            "k" => Self::key(serde_json::from_str(rest).ok()?),
            "v" => Self::Value(serde_json::from_str::<Value>(rest).ok()?.to_string()),
            "i" => Self::Index(rest.parse().ok()?),
            _ => return None,
        })
    }

    fn encode(&self) -> String {
        match self {
            Self::Field(name) => ["f:", name].concat(),
            Self::Key(key) => ["k:", key].concat(),
            Self::Value(value) => ["v:", value].concat(),
            Self::Index(index) => format!("i:{index}"),
        }
    }
}

/// As in conflicts: `.image`, `[name="web",protocol="TCP"]`, `[="x"]`, `[0]`.
impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(key) => {
                let fields: Object = serde_json::from_str(key).unwrap_or_default();
                let fields: Vec<String> =
                    fields.iter().map(|(name, value)| format!("{name}={}", show(value))).collect();
                write!(f, "[{}]", fields.join(","))
            }
            Self::Value(value) => {
                let value: Value = serde_json::from_str(value).unwrap_or_default();
                write!(f, "[={}]", show(&value))
            }
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => go_quote(text),
        other => other.to_string(),
    }
}

/// A set of paths, as a trie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    nodes: BTreeMap<PathElement, Node>,
}

/// What a [`FieldSet`] knows about one path: whether the path itself is in the set, and which longer ones are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The path itself is in the set.
    pub member: bool,
    /// The longer paths, relative to this one.
    pub children: FieldSet,
}

impl Node {
    /// Just the path itself.
    pub fn leaf() -> Self {
        Self { member: true, children: FieldSet::default() }
    }

    /// Whether neither the path nor a longer one is in the set.
    pub fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

/// Why FieldsV1 can't be read: a key has an unknown form, or a value is no object.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("unable to parse fields at {0:?}")]
pub struct DecodeError(String);

impl FieldSet {
    /// Whether there is no path in the set.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The steps that begin a path in the set, with what follows each; in order.
    pub fn iter(&self) -> btree_map::Iter<'_, PathElement, Node> {
        self.nodes.iter()
    }

    /// What the set knows about the paths that begin with `step`.
    pub fn get(&self, step: &PathElement) -> Option<&Node> {
        self.nodes.get(step)
    }

    /// What the set knows about the paths that begin with the field `name`. Meant for small sets: it looks at each step.
    pub fn get_field(&self, name: &str) -> Option<&Node> {
        let is = |step: &PathElement| matches!(step, PathElement::Field(field) if field == name);
        self.nodes.iter().find(|(step, _)| is(step)).map(|(_, node)| node)
    }

    /// Takes one path out; longer ones stay.
    pub fn remove(&mut self, path: &[PathElement]) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        if let btree_map::Entry::Occupied(mut entry) = self.nodes.entry(first.clone()) {
            let node = entry.get_mut();
            match rest {
                [] => node.member = false,
                rest => node.children.remove(rest),
            }
            if node.is_empty() {
                entry.remove();
            }
        }
    }

    /// Puts a whole subtree at `step`; an empty one leaves no trace.
    pub fn insert_node(&mut self, step: PathElement, node: Node) {
        if !node.is_empty() {
            self.nodes.insert(step, node);
        }
    }

    /// Puts one path into the set.
    pub fn insert(&mut self, path: &[PathElement]) {
        if let Some((first, rest)) = path.split_first() {
            let node = self.nodes.entry(first.clone()).or_default();
            match rest {
                [] => node.member = true,
                rest => node.children.insert(rest),
            }
        }
    }

    /// Whether the path is in the set.
    pub fn has(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.nodes.get(last).is_some_and(|node| node.member),
            [first, rest @ ..] => self.nodes.get(first).is_some_and(|node| node.children.has(rest)),
        }
    }

    /// The set of one path of fields.
    pub fn of_fields(path: &[&str]) -> Self {
        let mut set = Self::default();
        set.insert(&fields(path));
        set
    }

    /// Adds all paths of `other`.
    pub fn add(&mut self, other: Self) {
        for (step, theirs) in other.nodes {
            match self.nodes.entry(step) {
                btree_map::Entry::Vacant(entry) => drop(entry.insert(theirs)),
                btree_map::Entry::Occupied(mut entry) => {
                    let ours = entry.get_mut();
                    ours.member |= theirs.member;
                    ours.children.add(theirs.children);
                }
            }
        }
    }

    /// The paths that are in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut union = self.clone();
        union.add(other.clone());
        union
    }

    /// The paths that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(other, |ours, theirs| {
            theirs.map(|theirs| Node {
                member: ours.member && theirs.member,
                children: ours.children.intersection(&theirs.children),
            })
        })
    }

    /// Whether any path is in both sets.
    pub fn intersects(&self, other: &Self) -> bool {
        self.nodes.iter().any(|(step, ours)| {
            other
                .nodes
                .get(step)
                .is_some_and(|theirs| (ours.member && theirs.member) || ours.children.intersects(&theirs.children))
        })
    }

    /// The same as [`FieldSet::intersects`], of FieldsV1 as it stands; it is not read as a whole.
    pub fn intersects_encoded(&self, fields: &Value) -> bool {
        self.nodes.iter().any(|(step, ours)| {
            fields.get(step.encode()).is_some_and(|below| {
                let is_member = below.as_object().is_some_and(|it| it.is_empty() || it.contains_key("."));
                (ours.member && is_member) || ours.children.intersects_encoded(below)
            })
        })
    }

    /// The paths that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(other, |ours, theirs| {
            Some(match theirs {
                None => ours.clone(),
                Some(theirs) => {
                    Node { member: ours.member && !theirs.member, children: ours.children.difference(&theirs.children) }
                }
            })
        })
    }

    /// The paths that neither are in `other` nor begin with one that is.
    #[must_use]
    pub fn recursive_difference(&self, other: &Self) -> Self {
        self.combine(other, |ours, theirs| match theirs {
            None => Some(ours.clone()),
            Some(theirs) if theirs.member => None,
            Some(theirs) => {
                Some(Node { member: ours.member, children: ours.children.recursive_difference(&theirs.children) })
            }
        })
    }

    /// The paths that no other path in the set continues.
    #[must_use]
    pub fn leaves(&self) -> Self {
        self.combine(&Self::default(), |ours, _| {
            Some(Node { member: ours.member && ours.children.is_empty(), children: ours.children.leaves() })
        })
    }

    fn combine(&self, other: &Self, node: impl Fn(&Node, Option<&Node>) -> Option<Node>) -> Self {
        let mut result = Self::default();
        for (step, ours) in &self.nodes {
            if let Some(combined) = node(ours, other.nodes.get(step)) {
                result.insert_node(step.clone(), combined);
            }
        }
        result
    }

    /// All paths as they read in conflicts (`.spec.containers[name="web"].image`): those that end at a place before those
    /// that go on below it.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths(&mut String::new(), &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &mut String, paths: &mut Vec<String>) {
        for (step, _) in self.nodes.iter().filter(|(_, node)| node.member) {
            paths.push(format!("{prefix}{step}"));
        }
        for (step, node) in self.nodes.iter().filter(|(_, node)| !node.children.is_empty()) {
            let len = prefix.len();
            prefix.push_str(&step.to_string());
            node.children.collect_paths(prefix, paths);
            prefix.truncate(len);
        }
    }

    /// Reads FieldsV1. Errors name the key that can't be read.
    pub fn decode(fields: &Value) -> Result<Self, DecodeError> {
        Ok(decode_node(fields)?.children)
    }

    /// Writes FieldsV1.
    pub fn encode(&self) -> Value {
        let entries = self.nodes.iter().map(|(step, node)| {
            let mut value = node.children.encode();
            if let (true, false, Value::Object(fields)) = (node.member, node.children.is_empty(), &mut value) {
                fields.insert(".".to_owned(), json!({}));
            }
            (step.encode(), value)
        });
        Value::Object(entries.collect())
    }
}

fn decode_node(fields: &Value) -> Result<Node, DecodeError> {
    let Some(fields) = fields.as_object() else {
        return Err(DecodeError(fields.to_string()));
    };
    let mut node = Node::default();
    for (text, below) in fields {
        if text == "." {
            node.member = true;
            continue;
        }
        let step = PathElement::parse(text).ok_or_else(|| DecodeError(text.clone()))?;
        let mut child = decode_node(below)?;
        // A node without children stands for itself.
        child.member |= child.children.is_empty();
        node.children.nodes.insert(step, child);
    }
    Ok(node)
}

/// A path of fields.
pub fn fields(path: &[&str]) -> Vec<PathElement> {
    path.iter().map(|name| PathElement::Field((*name).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(fields: Value, paths: &[&str]) {
        let set = FieldSet::decode(&fields).unwrap();
        assert_eq!(set.paths(), paths);
        assert_eq!(set.encode(), fields);
    }

    #[test]
    fn fields_v1_reads_and_writes() {
        check(json!({}), &[]);
        check(
            json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}, "f:finalizers": {"v:\"x/y\"": {}}},
                "f:spec": {"f:replicas": {}}}),
            &[".metadata.labels", ".metadata.finalizers[=\"x/y\"]", ".metadata.labels.app", ".spec.replicas"],
        );
        check(
            json!({"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:image": {},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {}, "i:2": {}}}}}),
            &[
                ".containers[name=\"web\"]",
                ".containers[name=\"web\"].image",
                ".containers[name=\"web\"].ports[containerPort=80,protocol=\"TCP\"]",
                ".containers[name=\"web\"].ports[2]",
            ],
        );
    }

    #[test]
    fn what_is_not_fields_v1_is_refused() {
        for bad in [json!([]), json!({"x": {}}), json!({"f:a": 1}), json!({"k:{": {}}), json!({"i:x": {}})] {
            assert!(FieldSet::decode(&bad).is_err(), "{bad}");
        }
        let loose = FieldSet::decode(&json!({"k:{ \"b\": 1, \"a\": 2 }": {}})).unwrap();
        assert_eq!(loose.encode(), json!({"k:{\"a\":2,\"b\":1}": {}}));
    }

    #[test]
    fn differences_take_paths_or_whole_subtrees() {
        let set = FieldSet::decode(&json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}})).unwrap();
        let a = FieldSet::of_fields(&["a"]);
        assert_eq!(set.difference(&a).encode(), json!({"f:a": {"f:b": {}}, "f:c": {}}));
        assert_eq!(set.recursive_difference(&a).encode(), json!({"f:c": {}}));
        assert_eq!(set.leaves().encode(), json!({"f:a": {"f:b": {}}, "f:c": {}}));
        assert!(set.has(&fields(&["a", "b"])) && !set.has(&fields(&["b"])));
        let mut without = set.clone();
        without.remove(&fields(&["a"]));
        without.remove(&fields(&["c"]));
        assert_eq!(without.encode(), json!({"f:a": {"f:b": {}}}));
        assert!(without.get_field("a").is_some() && without.get_field("c").is_none());
    }

    fn any_set() -> impl Strategy<Value = FieldSet> {
        let step = prop_oneof![
            "[a-c]".prop_map(PathElement::Field),
            "[a-b]".prop_map(|name| PathElement::Key(json!({"name": name}).to_string())),
            (0..2_i64).prop_map(|number| PathElement::Value(number.to_string())),
            (0..2_i64).prop_map(PathElement::Index),
        ];
        prop::collection::vec(prop::collection::vec(step, 1..4), 0..8).prop_map(|paths| {
            let mut set = FieldSet::default();
            paths.iter().for_each(|path| set.insert(path));
            set
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(set in any_set()) {
            prop_assert_eq!(FieldSet::decode(&set.encode()).unwrap(), set);
        }

        #[test]
        fn sets_obey_the_laws(a in any_set(), b in any_set(), c in any_set()) {
            prop_assert_eq!(a.union(&b), b.union(&a));
            prop_assert_eq!(a.intersection(&b), b.intersection(&a));
            prop_assert_eq!(a.union(&b).union(&c), a.union(&b.union(&c)));
            prop_assert_eq!(a.union(&a), a.clone());
            prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
            prop_assert!(a.difference(&b).intersection(&b).is_empty());
            prop_assert_eq!(a.intersects(&b), !a.intersection(&b).is_empty());
            prop_assert_eq!(a.intersects_encoded(&b.encode()), a.intersects(&b));
            prop_assert_eq!(a.difference(&b.union(&c)), a.difference(&b).difference(&c));
            prop_assert!(a.recursive_difference(&b).difference(&a.difference(&b)).is_empty());
        }
    }
}
