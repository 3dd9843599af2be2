//! The words in which each kind says what is wrong with an object: a cursor that walks through the object, knows where
//! it stands and collects the errors. Source: `k8s.io/apimachinery/pkg/api/validation`,
//! `k8s.io/kubernetes/pkg/apis/core/validation`.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::names;

pub(crate) mod amount;
pub(crate) mod client;
pub(crate) mod conditions;
pub(crate) mod dump;
pub(crate) mod selector;
pub(crate) mod text;

/// What an immutable field says.
pub(crate) const IMMUTABLE: &str = "field is immutable";
const NEGATIVE: &str = "must be greater than or equal to 0";
static NULL: Value = Value::Null;

/// A place in an object, and where its errors go.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    /// What is there; null if nothing is.
    pub(crate) value: &'a Value,
    /// Where it is.
    pub(crate) path: Path,
    sink: &'a RefCell<ErrorList>,
}

/// All that `check` finds wrong with `object`, in the order in which it finds it.
pub(crate) fn collect(object: &Value, check: impl FnOnce(Cursor<'_>)) -> ErrorList {
    let sink = RefCell::new(ErrorList::new());
    check(Cursor { value: object, path: Path::default(), sink: &sink });
    sink.into_inner()
}

/// Whether two values mean the same: what is absent, null, an empty text or an empty list is the same.
pub(crate) fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    let empty = |value: Option<&Value>| match value {
        None | Some(Value::Null | Value::Bool(false)) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        _ => false,
    };
    match (a, b) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => same_fields(a, b),
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(Some(a), Some(b)))
        }
        (a, b) => a == b || (empty(a) && empty(b)),
    }
}

fn same_fields(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.iter().all(|(key, value)| same(Some(value), b.get(key)))
        && b.iter().all(|(key, value)| a.contains_key(key) || same(None, Some(value)))
}

impl<'a> Cursor<'a> {
    /// The same errors, another place.
    pub(crate) fn with(&self, value: Option<&'a Value>, path: Path) -> Self {
        Self { value: value.unwrap_or(&NULL), path, sink: self.sink }
    }

    /// This place, with a changed copy of what is there.
    pub(crate) fn with_local<'b>(&self, value: &'b Value) -> Cursor<'b>
    where
        'a: 'b,
    {
        Cursor { value, path: self.path.clone(), sink: self.sink }
    }

    /// The field `name`.
    pub(crate) fn at(&self, name: &str) -> Self {
        self.with(self.value.get(name), self.path.child(name))
    }

    /// The field at the end of `names`.
    pub(crate) fn down(&self, names: &[&str]) -> Self {
        names.iter().fold(self.clone(), |here, name| here.at(name))
    }

    /// The map entry `key`.
    pub(crate) fn key(&self, key: &str) -> Self {
        self.with(self.value.get(key), self.path.key(key))
    }

    /// The items of a list; none if there is no list.
    pub(crate) fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        let here = self.clone();
        let items: &'a [Value] = self.value.as_array().map_or(&[], Vec::as_slice);
        items.iter().enumerate().map(move |(index, item)| here.with(Some(item), here.path.index(index)))
    }

    /// The entries of a map, in order of their keys, each at `path[key]`.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        let here = self.clone();
        let entries: Option<&'a Map<String, Value>> = self.value.as_object();
        entries
            .into_iter()
            .flatten()
            .map(move |(key, value)| (key.as_str(), here.with(Some(value), here.path.key(key))))
    }

    /// Whether anything is there.
    pub(crate) fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// Whether nothing is there, or an empty text, list or map.
    pub(crate) fn is_empty(&self) -> bool {
        match self.value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        }
    }

    /// The number of items of a list or of a map.
    pub(crate) fn len(&self) -> usize {
        match self.value {
            Value::Array(items) => items.len(),
            Value::Object(fields) => fields.len(),
            _ => 0,
        }
    }

    /// The text; empty if there is none.
    pub(crate) fn text(&self) -> &'a str {
        self.value.as_str().unwrap_or_default()
    }

    /// The whole number, if there is one.
    pub(crate) fn int(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// Whether it is true.
    pub(crate) fn is_true(&self) -> bool {
        self.value.as_bool().unwrap_or_default()
    }

    /// Adds an error.
    pub(crate) fn push(&self, error: FieldError) {
        self.sink.borrow_mut().push(error);
    }

    /// The number of errors so far.
    pub(crate) fn errors(&self) -> usize {
        self.sink.borrow().len()
    }

    /// `Required value`.
    pub(crate) fn required(&self, detail: &str) {
        self.push(FieldError::required(&self.path, detail));
    }

    /// `Forbidden`.
    pub(crate) fn forbidden(&self, detail: impl Into<String>) {
        self.push(FieldError::forbidden(&self.path, detail));
    }

    /// `Invalid value` with what is there.
    pub(crate) fn invalid(&self, detail: impl Into<String>) {
        self.push(FieldError::invalid(&self.path, self.value, detail));
    }

    /// `Invalid value` with the text that is there, which may be empty.
    pub(crate) fn invalid_text(&self, detail: impl Into<String>) {
        self.push(FieldError::invalid_str(&self.path, self.text(), detail));
    }

    /// `Invalid value` with another text than what is there.
    pub(crate) fn invalid_str(&self, shown: &str, detail: impl Into<String>) {
        self.push(FieldError::invalid_str(&self.path, shown, detail));
    }

    /// `Invalid value` with something else than what is there, in the form in which it is to be shown.
    pub(crate) fn invalid_as(&self, shown: impl Into<String>, detail: impl Into<String>) {
        self.push(FieldError::invalid_shown(&self.path, shown, detail));
    }

    /// `Duplicate value` with what is there.
    pub(crate) fn duplicate(&self) {
        self.push(FieldError::duplicate(&self.path, self.value));
    }

    /// `Not found` with the text that is there.
    pub(crate) fn not_found(&self) {
        self.push(FieldError::not_found(&self.path, &Value::from(self.text())));
    }

    /// `Unsupported value` with the text that is there.
    pub(crate) fn not_supported(&self, supported: &[&str]) {
        self.push(FieldError::not_supported(&self.path, self.text(), supported));
    }

    /// Complains `Required value` if nothing is there; returns whether something is.
    pub(crate) fn must_be_set(&self) -> bool {
        if self.is_empty() {
            self.required("");
            return false;
        }
        true
    }

    /// Complains `Required value` if nothing is there at all, not even something empty; returns whether something is.
    pub(crate) fn must_be_set_at_all(&self) -> bool {
        if !self.is_set() {
            self.required("");
        }
        self.is_set()
    }

    /// A number that is not negative, if it is there.
    pub(crate) fn not_negative(&self) {
        if self.int().is_some_and(|number| number < 0) {
            self.invalid(NEGATIVE);
        }
    }

    /// A number greater than 0, if it is there.
    pub(crate) fn positive(&self) {
        if self.int().is_some_and(|number| number <= 0) {
            self.invalid("must be greater than 0");
        }
    }

    /// A number greater than zero; nothing is zero.
    pub(crate) fn greater_than_zero(&self) {
        let number = self.int().unwrap_or_default();
        if number <= 0 {
            self.invalid_as(number.to_string(), "must be greater than zero");
        }
    }

    /// A number in a range of which both ends belong to it.
    pub(crate) fn in_range(&self, low: i64, high: i64) {
        let number = self.int().unwrap_or_default();
        if !(low..=high).contains(&number) {
            self.invalid_as(number.to_string(), format!("must be between {low} and {high}, inclusive"));
        }
    }

    /// A port number, if it is there.
    pub(crate) fn port(&self) {
        self.in_range(1, 65535);
    }

    /// One of `supported`, if it is there.
    pub(crate) fn one_of(&self, supported: &[&str]) {
        if self.is_set() && !supported.contains(&self.text()) {
            self.not_supported(supported);
        }
    }

    /// One of `supported`; nothing is `Required value`.
    pub(crate) fn must_be_one_of(&self, supported: &[&str]) {
        if self.must_be_set() {
            self.one_of(supported);
        }
    }

    /// A text that `complaints` has nothing to say about, whether it is there or not.
    pub(crate) fn named(&self, complaints: fn(&str) -> Vec<String>) {
        for complaint in complaints(self.text()) {
            self.invalid_text(complaint);
        }
    }

    /// A name: nothing is `Required value`, otherwise what `complaints` says.
    pub(crate) fn must_be_named(&self, complaints: fn(&str) -> Vec<String>) {
        if self.must_be_set() {
            self.named(complaints);
        }
    }

    /// Complains if the value differs from `old`.
    pub(crate) fn immutable(&self, old: Option<&Value>) {
        if !same(Some(self.value), old) {
            self.invalid(IMMUTABLE);
        }
    }

    /// Complains about every text that stands here for the second time.
    pub(crate) fn once(&self, seen: &mut BTreeSet<String>) -> bool {
        let fresh = seen.insert(self.text().to_owned());
        if !fresh {
            self.duplicate();
        }
        fresh
    }

    /// Labels: qualified names as keys, label values as values. All errors are at the map itself.
    pub(crate) fn labels(&self) {
        for (key, entry) in self.entries() {
            for complaint in names::qualified_name(key) {
                self.invalid_str(key, complaint);
            }
            for complaint in names::label_value(entry.text()) {
                self.invalid_str(entry.text(), complaint);
            }
        }
    }

    /// Annotations: qualified names as keys. All errors are at the map itself.
    pub(crate) fn annotations(&self) {
        for (key, _) in self.entries() {
            for complaint in names::qualified_name(&key.to_lowercase()) {
                self.invalid_str(key, complaint);
            }
        }
    }

    /// A number or a percentage; negative numbers and other texts are wrong.
    pub(crate) fn int_or_percent(&self) {
        match self.value {
            Value::String(text) if text::percent(text).is_none() => self.invalid(text::PERCENT_RULE),
            Value::String(_) => {}
            _ => self.not_negative(),
        }
    }

    /// A percentage of at most 100.
    pub(crate) fn at_most_100_percent(&self) {
        if text::percent(self.text()).is_some_and(|percent| percent > 100) {
            self.invalid("must not be greater than 100%");
        }
    }
}

/// A value as Go prints a struct: its fields in the order of `order`, then all others.
pub(crate) fn show_in_order(value: &Value, order: &[&str]) -> String {
    match value {
        Value::Object(fields) => {
            let rank = |key: &str| order.iter().position(|name| *name == key).unwrap_or(order.len());
            let mut entries: Vec<_> = fields.iter().filter(|(_, value)| !value.is_null()).collect();
            entries.sort_by_key(|(key, _)| rank(key));
            let entries: Vec<String> = entries
                .into_iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), show_in_order(value, order)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| show_in_order(item, order)).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
pub(crate) fn messages(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn absent_null_and_empty_are_the_same() {
        let cases = [
            (json!({"a": null, "b": []}), json!({}), true),
            (json!({"a": ""}), json!({"b": false}), true),
            (json!({"a": {}}), json!({}), false),
            (json!({"a": 0}), json!({}), false),
            (json!([{"x": 1}]), json!([{"x": 1, "y": null}]), true),
            (json!({"a": [1]}), json!({"a": [1, 2]}), false),
        ];
        for (a, b, expect) in cases {
            assert_eq!(same(Some(&a), Some(&b)), expect, "{a} {b}");
            assert_eq!(same(Some(&b), Some(&a)), expect, "{b} {a}");
        }
    }

    #[test]
    fn structs_print_in_the_order_of_their_declaration() {
        let selector = json!({"matchExpressions": [{"operator": "In", "key": "a"}], "matchLabels": {"x": "y"}});
        assert_eq!(
            show_in_order(&selector, &["matchLabels", "matchExpressions", "key", "operator"]),
            r#"{"matchLabels":{"x":"y"},"matchExpressions":[{"key":"a","operator":"In"}]}"#
        );
    }
}
