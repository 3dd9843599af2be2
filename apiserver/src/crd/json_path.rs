//! The part of JSONPath that printer columns, selectable fields and scale paths use: `.a.b`, `['x']`, `[0]`, `[*]`,
//! `[?(@.type=="Ready")]`. Source: Kubernetes doc "JSONPath Support".

use serde_json::Value;

/// A path that has been read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// `.name`, `['name']`.
    Field(String),
    /// `[0]`; negative numbers count from the end.
    Index(i64),
    /// `[*]`, `.*`.
    All,
    /// `[?(@.path == value)]`, and the same with `!=`.
    Filter { path: JsonPath, equals: bool, value: Value },
    /// `[?(@.path)]`.
    Exists(JsonPath),
}

impl JsonPath {
    /// Reads a path; `None` if it uses anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = match rest.strip_prefix('[') {
                Some(inner) => bracket(inner)?,
                None => dotted(rest.strip_prefix('.')?),
            };
            steps.extend(step);
            rest = after;
        }
        Some(Self(steps))
    }

    /// The names of the steps, if all are fields.
    pub fn fields(&self) -> Option<Vec<&str>> {
        fn name(step: &Step) -> Option<&str> {
            match step {
                Step::Field(name) => Some(name),
                _ => None,
            }
        }
        self.0.iter().map(name).collect()
    }

    /// The values at the path, in order.
    pub fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![value];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.of(value)).collect();
        }
        found
    }
}

impl Step {
    fn of<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match (self, value) {
            (Self::Field(name), _) => value.get(name).into_iter().collect(),
            (Self::Index(index), Value::Array(list)) => {
                let len = i64::try_from(list.len()).unwrap_or(i64::MAX);
                let index = if *index < 0 { index + len } else { *index };
                usize::try_from(index).ok().and_then(|index| list.get(index)).into_iter().collect()
            }
            (Self::All, Value::Array(list)) => list.iter().collect(),
            (Self::All, Value::Object(map)) => map.values().collect(),
            (Self::Filter { path, equals, value: wanted }, Value::Array(list)) => {
                let is = |item: &&Value| path.find(item).iter().any(|found| same(found, wanted));
                list.iter().filter(|item| is(item) == *equals).collect()
            }
            (Self::Exists(path), Value::Array(list)) => {
                list.iter().filter(|item| !path.find(item).is_empty()).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

/// The step after a dot; none for a dot that is followed by a bracket or by nothing.
fn dotted(text: &str) -> (Option<Step>, &str) {
    let mut name = String::new();
    let mut chars = text.chars();
    loop {
        let rest = chars.as_str();
        match chars.next() {
            Some('\\') => name.extend(chars.next()),
            Some('.' | '[') | None => {
                let step = match name.as_str() {
                    "" => None,
                    "*" => Some(Step::All),
                    _ => Some(Step::Field(name)),
                };
                return (step, rest);
            }
            Some(c) => name.push(c),
        }
    }
}

/// The step in a bracket that has been opened.
fn bracket(text: &str) -> Option<(Option<Step>, &str)> {
    if let Some(filter) = text.strip_prefix("?(") {
        let end = closing(filter)?;
        let step = filter_step(&filter[..end])?;
        return Some((Some(step), filter[end + 1..].strip_prefix(']')?));
    }
    let end = match text.chars().next()? {
        quote @ ('\'' | '"') => text[1..].find(quote)? + 2,
        _ => text.find(']')?,
    };
    let inner = text[..end].trim();
    let step = match literal(inner) {
        Some(Value::String(name)) => Step::Field(name),
        _ if inner == "*" => Step::All,
        _ => Step::Index(inner.parse().ok()?),
    };
    Some((Some(step), text[end..].strip_prefix(']')?))
}

/// Where the parenthesis is closed that has been opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, ')') => return Some(at),
            _ => {}
        }
    }
    None
}

fn filter_step(text: &str) -> Option<Step> {
    let path = |text: &str| JsonPath::parse(text.trim().strip_prefix('@')?);
    let operators = [("==", true), ("!=", false)];
    for (operator, equals) in operators {
        if let Some((left, right)) = text.split_once(operator) {
            return Some(Step::Filter { path: path(left)?, equals, value: literal(right.trim())? });
        }
    }
    Some(Step::Exists(path(text)?))
}

/// A quoted text, a number or a truth value.
fn literal(text: &str) -> Option<Value> {
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) {
            return Some(Value::from(inner));
        }
    }
    serde_json::from_str(text).ok().filter(|value: &Value| !value.is_object() && !value.is_array())
}

#[cfg(test)]
mod tests;
