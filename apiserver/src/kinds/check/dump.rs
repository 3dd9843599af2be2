//! How upstream shows what an update changed that it may not: both specifications as Go prints its own types, and the
//! lines that differ. Source: `k8s.io/apimachinery/pkg/util/diff`, `difflib.GetUnifiedDiffString`.

use serde_json::Value;

/// The most pairs of lines that are compared; beyond, all old lines go and all new ones come. A specification of 2,000
/// lines that changes from its first line to its last stays below.
const MOST_PAIRS: usize = 4_000_000;
/// The lines of context around a difference.
const CONTEXT: usize = 3;

/// The differing lines of two texts with their context, as `diff -u` shows them, without the names of the files.
pub(crate) fn unified(old: &[String], new: &[String]) -> String {
    let steps = steps(old, new);
    let changed: Vec<usize> = (0..steps.len()).filter(|at| !matches!(steps[*at], Step::Keep(..))).collect();
    let mut hunks: Vec<(usize, usize)> = Vec::new();
    for at in changed {
        let (from, to) = (at.saturating_sub(CONTEXT), (at + CONTEXT + 1).min(steps.len()));
        match hunks.last_mut() {
            Some(last) if from <= last.1 => last.1 = to,
            _ => hunks.push((from, to)),
        }
    }
    hunks.into_iter().map(|(from, to)| hunk(&steps[..from], &steps[from..to])).collect()
}

/// One line of a comparison.
enum Step<'a> {
    Keep(&'a str),
    Remove(&'a str),
    Add(&'a str),
}

fn hunk(before: &[Step<'_>], steps: &[Step<'_>]) -> String {
    let old = |steps: &[Step<'_>]| steps.iter().filter(|step| !matches!(step, Step::Add(_))).count();
    let new = |steps: &[Step<'_>]| steps.iter().filter(|step| !matches!(step, Step::Remove(_))).count();
    let range = |start: usize, length: usize| match length {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        _ => format!("{},{length}", start + 1),
    };
    let mut text = format!("@@ -{} +{} @@\n", range(old(before), old(steps)), range(new(before), new(steps)));
    for step in steps {
        let (sign, line) = match step {
            Step::Keep(line) => (' ', line),
            Step::Remove(line) => ('-', line),
            Step::Add(line) => ('+', line),
        };
        text.push(sign);
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// A shortest way from one text to the other: the longest common subsequence of what is between their equal ends.
fn steps<'a>(old: &'a [String], new: &'a [String]) -> Vec<Step<'a>> {
    let prefix = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let suffix = old[prefix..].iter().rev().zip(new[prefix..].iter().rev()).take_while(|(old, new)| old == new).count();
    let (a, b) = (&old[prefix..old.len() - suffix], &new[prefix..new.len() - suffix]);
    if a.len().saturating_mul(b.len()) > MOST_PAIRS {
        return old.iter().map(|line| Step::Remove(line)).chain(new.iter().map(|line| Step::Add(line))).collect();
    }
    let mut lengths = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            lengths[i][j] = match a[i] == b[j] {
                true => lengths[i + 1][j + 1] + 1,
                false => lengths[i + 1][j].max(lengths[i][j + 1]),
            };
        }
    }
    let mut steps: Vec<Step<'_>> = old[..prefix].iter().map(|line| Step::Keep(line)).collect();
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            steps.push(Step::Keep(&a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && lengths[i + 1][j] >= lengths[i][j + 1]) {
            steps.push(Step::Remove(&a[i]));
            i += 1;
        } else {
            steps.push(Step::Add(&b[j]));
            j += 1;
        }
    }
    steps.extend(old[old.len() - suffix..].iter().map(|line| Step::Keep(line)));
    steps
}

/// A struct as Go prints one of its internal types: the name of each field in Go and in the API.
pub(crate) type Fields = &'static [(&'static str, &'static str, Shape)];

/// What a field of an internal type looks like.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// As in the API; null if absent.
    Same,
    /// A text; empty if absent.
    Text,
    /// A struct that is always there.
    Struct(Fields),
    /// A pointer to a struct.
    Pointer(Fields),
    /// A list of structs.
    List(Fields),
    /// As in the API; this if absent.
    Or(&'static str),
}

/// A value in the form of Go's internal type, on one line: as field errors show it.
pub(crate) fn internal(value: &Value, fields: Fields) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(go, api, shape)| {
            let shown = match (shape, value.get(api).unwrap_or(&Value::Null)) {
                (Shape::Text, Value::Null) => "\"\"".to_owned(),
                (Shape::Or(zero), Value::Null) => (*zero).to_owned(),
                (Shape::Pointer(_), Value::Null) => "null".to_owned(),
                (Shape::List(fields), Value::Array(items)) => internal_list(items, fields),
                (Shape::Struct(fields) | Shape::Pointer(fields), value) => internal(value, fields),
                (_, value) => value.to_string(),
            };
            format!("\"{go}\":{shown}")
        })
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// [`internal`] for each item of a list.
pub(crate) fn internal_list(items: &[Value], fields: Fields) -> String {
    let items: Vec<String> = items.iter().map(|item| internal(item, fields)).collect();
    format!("[{}]", items.join(","))
}

/// The lines of a value in the form of Go's internal type.
pub(crate) fn lines(value: &Value, fields: Fields) -> Vec<String> {
    let mut text = String::new();
    write_struct(&mut text, value, fields, 1);
    text.lines().map(str::to_owned).collect()
}

fn write_struct(text: &mut String, value: &Value, fields: Fields, depth: usize) {
    text.push_str("{\n");
    for (index, (go, api, shape)) in fields.iter().enumerate() {
        let separator = if index == 0 { "" } else { ",\n" };
        text.push_str(&format!("{separator}{}\"{go}\": ", " ".repeat(depth)));
        match (shape, value.get(api).unwrap_or(&Value::Null)) {
            (Shape::Text, Value::Null) => text.push_str("\"\""),
            (Shape::Or(zero), Value::Null) => text.push_str(zero),
            (Shape::Same | Shape::Text | Shape::Or(_) | Shape::List(_), value) => write_value(text, value, depth),
            (Shape::Pointer(_), Value::Null) => text.push_str("null"),
            (Shape::Struct(fields) | Shape::Pointer(fields), value) => write_struct(text, value, fields, depth + 1),
        }
    }
    text.push_str(&format!("\n{}}}", " ".repeat(depth - 1)));
}

fn write_value(text: &mut String, value: &Value, depth: usize) {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    serde::Serialize::serialize(value, &mut serializer).expect("writing JSON to memory cannot fail");
    let pretty = String::from_utf8_lossy(&bytes).replace('\n', &format!("\n{}", " ".repeat(depth)));
    text.push_str(&pretty);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_shown_in_hunks() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(unified(&lines("a b c"), &lines("a b c")), "");
        assert_eq!(
            unified(&lines("a b c d e f g"), &lines("a b c x e f g")),
            "@@ -1,7 +1,7 @@\n a\n b\n c\n-d\n+x\n e\n f\n g\n"
        );
        assert_eq!(
            unified(&lines("1 2 3 4 5 6 7 8 9 10"), &lines("0 1 2 3 4 5 6 7 8 9")),
            "@@ -1,3 +1,4 @@\n+0\n 1\n 2\n 3\n@@ -7,4 +8,3 @@\n 7\n 8\n 9\n-10\n"
        );
    }

    #[test]
    fn internal_types_on_one_line() {
        const FIELDS: Fields =
            &[("Name", "name", Shape::Text), ("On", "on", Shape::Or("false")), ("IP", "ip", Shape::Same)];
        assert_eq!(internal(&json!({"ip": "::"}), FIELDS), r#"{"Name":"","On":false,"IP":"::"}"#);
    }

    #[test]
    fn internal_types_have_their_own_names_and_zero_values() {
        const INNER: Fields = &[("Limits", "limits", Shape::Same), ("Requests", "requests", Shape::Same)];
        const OUTER: Fields = &[
            ("Resources", "resources", Shape::Struct(INNER)),
            ("Name", "name", Shape::Text),
            ("Source", "source", Shape::Pointer(INNER)),
        ];
        assert_eq!(
            lines(&json!({"resources": {"requests": {"cpu": "1"}}}), OUTER).join("\n"),
            "{\n \"Resources\": {\n  \"Limits\": null,\n  \"Requests\": {\n   \"cpu\": \"1\"\n  }\n },\n \"Name\": \"\",\n \"Source\": null\n}"
        );
    }
}
