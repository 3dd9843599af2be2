//! Label selectors: `app=web,tier in (a,b),!debug`.
//! Source: Kubernetes doc "Labels and Selectors"; `k8s.io/apimachinery/pkg/labels`, whose error texts these are.

use std::fmt;

use serde_json::Value;

use crate::field::{self, FieldError, Path};
use crate::{meta, names};

mod parse;

/// Which sets of labels are selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    nothing: bool,
    requirements: Vec<Requirement>,
}

/// One condition on labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// What must hold for its value.
    pub operator: Operator,
    /// The values to compare with, sorted, each once.
    pub values: Vec<String>,
}

/// What must hold for the value of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `key=value`.
    Equals,
    /// `key==value`: the same.
    DoubleEquals,
    /// `key!=value`: another value, or no such label.
    NotEquals,
    /// `key in (a,b)`.
    In,
    /// `key notin (a,b)`: another value, or no such label.
    NotIn,
    /// `key`: the label is there.
    Exists,
    /// `!key`: the label is not there.
    DoesNotExist,
    /// `key>5`: a whole number that is greater.
    GreaterThan,
    /// `key<5`: a whole number that is less.
    LessThan,
}

/// Why a text or an object is no label selector; the text is upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);

impl Selector {
    /// Selects everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects nothing.
    pub fn nothing() -> Self {
        Self { nothing: true, requirements: Vec::new() }
    }

    /// Reads the form of the query parameter `labelSelector`. An empty text selects everything.
    ///
    /// # Errors
    /// If the text has another form, or a key or value can't be that of a label.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        parse::run(text).map(Self::of).map_err(SelectorError)
    }

    /// Reads a `metav1.LabelSelector` in JSON: one without conditions selects everything, an absent one (null) nothing.
    ///
    /// # Errors
    /// If an operator is unknown, or a key or value can't be that of a label.
    pub fn from_label_selector(selector: &Value) -> Result<Self, SelectorError> {
        if selector.is_null() {
            return Ok(Self::nothing());
        }
        let mut requirements = Vec::new();
        for (key, value) in meta::pairs(selector, &["matchLabels"]) {
            requirements.push(Requirement::new(key, Operator::Equals, vec![value.to_owned()])?);
        }
        for expression in meta::items(selector, &["matchExpressions"]) {
            let operator = match meta::text(expression, &["operator"]) {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    let shown = field::go_quote(other);
                    return Err(SelectorError(format!("{shown} is not a valid label selector operator")));
                }
            };
            let values = meta::items(expression, &["values"]).iter();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            requirements.push(Requirement::new(meta::text(expression, &["key"]), operator, values)?);
        }
        Ok(Self::of(requirements))
    }

    /// Selects what has all these labels, such as the selector of a Service. No labels select everything.
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let requirement = |(key, value): (&str, &str)| Requirement {
            key: key.to_owned(),
            operator: Operator::Equals,
            values: vec![value.to_owned()],
        };
        Self::of(labels.into_iter().map(requirement).collect())
    }

    fn of(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { nothing: false, requirements }
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether nothing is selected, whatever the labels.
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// The conditions, all of which must hold, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether labels are selected; `get` looks one up.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|it| it.matches(get(&it.key)))
    }

    /// Whether the labels of an object are selected.
    pub fn matches_object(&self, object: &Value) -> bool {
        self.matches(|key| meta::label(object, key))
    }
}

impl Requirement {
    /// A condition on labels; sorts the values.
    ///
    /// # Errors
    /// If the key or a value can't be that of a label, or the operator takes another number of values.
    pub fn new(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Self, SelectorError> {
        values.sort();
        values.dedup();
        let path = Path::new("values");
        let mut errors = Vec::new();
        let complaints = names::qualified_name(key);
        if !complaints.is_empty() {
            errors.push(FieldError::invalid_str(&Path::new("key"), key, complaints.join("; ")));
        }
        if let Some(why) = operator.count_fault(values.len()) {
            errors.push(FieldError::invalid(&path, &Value::from(values.clone()), why));
        }
        for (at, value) in values.iter().enumerate() {
            let path = path.index(at);
            if operator.is_numeric() && value.parse::<i64>().is_err() {
                let why = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(FieldError::invalid_str(&path, value, why));
            }
            let complaints = names::label_value(value);
            if !complaints.is_empty() {
                errors.push(FieldError::invalid_str(&path.key(key), value, complaints.join("; ")));
            }
        }
        if !errors.is_empty() {
            return Err(SelectorError(field::aggregate(&errors)));
        }
        let key = key.to_owned();
        Ok(Self { key, operator, values })
    }

    /// Whether the value of the label (`None` if it is absent) fulfils the condition.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let listed = || value.is_some_and(|value| self.values.iter().any(|it| it == value));
        match self.operator {
            Operator::Equals | Operator::DoubleEquals | Operator::In => listed(),
            Operator::NotEquals | Operator::NotIn => !listed(),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self.compares(value, |value, bound| value > bound),
            Operator::LessThan => self.compares(value, |value, bound| value < bound),
        }
    }

    fn compares(&self, value: Option<&str>, holds: impl Fn(i64, i64) -> bool) -> bool {
        let number = |text: &str| text.parse::<i64>().ok();
        let bound = self.values.first().and_then(|it| number(it));
        value.and_then(number).zip(bound).is_some_and(|(value, bound)| holds(value, bound))
    }
}

impl Operator {
    fn is_numeric(self) -> bool {
        matches!(self, Self::GreaterThan | Self::LessThan)
    }

    fn count_fault(self, count: usize) -> Option<&'static str> {
        match self {
            Self::In | Self::NotIn if count == 0 => Some("for 'in', 'notin' operators, values set can't be empty"),
            Self::In | Self::NotIn => None,
            Self::Equals | Self::DoubleEquals | Self::NotEquals if count != 1 => {
                Some("exact-match compatibility requires one single value")
            }
            Self::Exists | Self::DoesNotExist if count != 0 => {
                Some("values set must be empty for exists and does not exist")
            }
            Self::GreaterThan | Self::LessThan if count != 1 => {
                Some("for 'Gt', 'Lt' operators, exactly one value is required")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let values = self.values.join(",");
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// The canonical form, as in `status.selector` of a Scale. That of a selector of nothing is empty, as upstream's.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, requirement) in self.requirements.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
