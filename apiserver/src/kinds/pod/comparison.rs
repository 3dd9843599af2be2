//! Tolerations that compare numbers (KEP-5471): behind the gate `TaintTolerationComparisonOperators`, and for objects that have
//! some already. Validation refuses their operators; here that is taken back.
//! Source: `k8s.io/kubernetes/pkg/{apis/core/validation,api/pod}`.

use serde_json::Value;
use steersman_machinery::field::{ErrorType, FieldError, Path};
use steersman_machinery::meta;

/// What is said of a value that is no number.
const NO_NUMBER: &str = "must be a valid decimal integer in canonical form";

/// Lets the operators be used that compare numbers if the gate is `on`, or if the list of tolerations had them before; then the
/// values have to be numbers.
pub(crate) fn judge(errors: Vec<FieldError>, object: &Value, old: Option<&Value>, on: bool) -> Vec<FieldError> {
    let mut judged = Vec::with_capacity(errors.len());
    for error in errors {
        match refused(&error).filter(|(list, _)| on || old.is_some_and(|old| uses(old, list))) {
            None => judged.push(error),
            Some((list, index)) => {
                let path = list.iter().skip(1).fold(Path::new(list[0]), |path, field| path.child(field));
                let value =
                    meta::items(object, &list).get(index).map_or("", |toleration| meta::text(toleration, &["value"]));
                let wrong = complaint(value);
                judged.extend(wrong.map(|why| FieldError::invalid_str(&path.index(index).child("value"), value, why)));
            }
        }
    }
    judged
}

/// The list of tolerations and the place in it, if the error is that one of them compares numbers.
fn refused(error: &FieldError) -> Option<(Vec<&str>, usize)> {
    if error.error_type != ErrorType::NotSupported || !matches!(error.value.as_str(), "\"Lt\"" | "\"Gt\"") {
        return None;
    }
    let (list, index) = error.field.as_str().strip_suffix("].operator")?.rsplit_once('[')?;
    let fields: Vec<&str> = list.split('.').collect();
    (fields.last() == Some(&"tolerations")).then_some((fields, index.parse().ok()?))
}

fn uses(object: &Value, list: &[&str]) -> bool {
    let compares = |toleration: &Value| matches!(meta::text(toleration, &["operator"]), "Lt" | "Gt");
    meta::items(object, list).iter().any(compares)
}

/// What is wrong with a number: it is written as a person would, and has 64 bits.
fn complaint(value: &str) -> Option<&'static str> {
    if value.is_empty() {
        return Some("must be non-empty");
    }
    let digits = value.strip_prefix('-').unwrap_or(value);
    let canonical = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !canonical || value != "0" && digits.starts_with('0') {
        return Some(NO_NUMBER);
    }
    value.parse::<i64>().is_err().then_some("must be a 64-bit integer")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::check;
    use crate::kinds::pod::scheduling;

    fn told(object: &Value, old: Option<&Value>, on: bool) -> Vec<String> {
        let errors = check::collect(object, |root| scheduling::tolerations(&root.at("spec").at("tolerations")));
        check::messages(&judge(errors, object, old, on))
    }

    fn pod(operator: &str, value: &str) -> Value {
        json!({"spec": {"tolerations": [{"key": "a", "operator": "Exists"}, {"key": "k", "operator": operator, "value": value}]}})
    }

    #[test]
    fn operators_that_compare_numbers_need_their_gate_or_somebody_who_has_them() {
        let refused = "spec.tolerations[1].operator: Unsupported value: \"Gt\": supported values: \"Equal\", \"Exists\", \"Lt\", \"Gt\"";
        let object = pod("Gt", "5");
        assert_eq!(told(&object, None, false), [refused]);
        assert_eq!(told(&object, Some(&pod("Equal", "5")), false), [refused]);
        assert_eq!(told(&object, Some(&pod("Lt", "7")), false), [""; 0]);
        assert_eq!(told(&object, None, true), [""; 0]);
        assert_eq!(told(&pod("Ge", "5"), None, true).len(), 1);
    }

    #[test]
    fn what_is_compared_is_a_number_as_people_write_it() {
        for value in ["0", "5", "-5", "950", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(told(&pod("Lt", value), None, true), [""; 0], "{value}");
        }
        for value in ["0950", "-0", "+5", "-", "1.5", "high", "1e3"] {
            let expected = format!("spec.tolerations[1].value: Invalid value: \"{value}\": {NO_NUMBER}");
            assert_eq!(told(&pod("Lt", value), None, true), [expected], "{value}");
        }
        let expected = "spec.tolerations[1].value: Invalid value: \"\": must be non-empty";
        assert_eq!(told(&pod("Gt", ""), None, true), [expected]);
        assert_eq!(told(&pod("Gt", "9223372036854775808"), None, true).len(), 1);
    }
}
