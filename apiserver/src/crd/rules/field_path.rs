//! `fieldPath` of a rule: `.a.b`, `.a['b.c']`.

use serde_json::Value;
use steersman_machinery::field::Path;
use steersman_machinery::meta;

/// The path as errors show it; `None` if it is malformed or the schema has no such field. Lists can't be reached into.
pub fn normalize(text: &str, schema: &Value) -> Option<String> {
    let mut rest = text.trim();
    let (mut schema, mut path) = (schema, Path::default());
    while !rest.is_empty() {
        let (name, after) = match rest.strip_prefix('.') {
            Some(after) => {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
            None => quoted(rest.strip_prefix("['")?)?,
        };
        if name.is_empty() {
            return None;
        }
        let property = meta::at(schema, &["properties", &name]);
        let value = schema.get("additionalProperties").filter(|schema| schema.is_object());
        (schema, path) = match (property, value) {
            (Some(property), _) => (property, path.child(&name)),
            (None, Some(value)) => (value, path.key(&name)),
            (None, None) => return None,
        };
        rest = after;
    }
    Some(path.as_str().to_owned())
}

/// The name in quotes, and what follows its bracket.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '\\' => name.push(chars.next()?),
            '\'' => return Some((name, chars.as_str().strip_prefix(']')?)),
            c => name.push(c),
        }
    }
}
